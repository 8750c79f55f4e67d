use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{GroupVersionKind, Object, ObjectId};

/// The objects that a Kustomization has applied and will prune, in the order in which they were rendered.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Inventory {
    /// One entry an object.
    pub entries: Vec<InventoryEntry>,
}

/// One object of an [`Inventory`].
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub struct InventoryEntry {
    /// The object, as `NAMESPACE_NAME_GROUP_KIND`.
    pub id: String,
    /// The API version in which it was applied, without the group: `v1`.
    #[serde(rename = "v")]
    pub version: String,
}

impl InventoryEntry {
    /// The entry that lists an object.
    pub fn of(object: &Object) -> Self {
        Self { id: object.id().to_string(), version: object.gvk().version }
    }

    /// Which object this is, and in which version; `None` when the id, which anybody who may write the status could have
    /// written, is not one, or is one that no object can have.
    pub fn parse(&self) -> Option<(ObjectId, GroupVersionKind)> {
        let id: ObjectId = self.id.parse().ok()?;
        if is_in_no_path(&id.name) || is_in_no_path(&id.namespace) {
            return None;
        }
        let gvk = GroupVersionKind {
            group: id.group_kind.group.clone(),
            version: self.version.clone(),
            kind: id.group_kind.kind.clone(),
        };
        Some((id, gvk))
    }

    /// Whether it is a CustomResourceDefinition.
    pub fn is_definition(&self) -> bool {
        self.parse().is_some_and(|(_, gvk)| {
            gvk.group == "apiextensions.k8s.io" && gvk.kind == "CustomResourceDefinition"
        })
    }
}

/// What Kubernetes allows in no name of any kind (`ValidatePathSegmentName`).
fn is_in_no_path(name: &str) -> bool {
    matches!(name, "." | "..") || name.contains(['/', '%'])
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]
    use serde_json::json;

    use super::*;

    #[test]
    fn an_entry_is_written_as_flux_does_and_leads_back_to_the_object() {
        let metadata = json!({"name": "web", "namespace": "default"});
        let object =
            Object::new(json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata}))
                .unwrap();
        let entry = InventoryEntry::of(&object);
        assert_eq!(
            serde_json::to_value(&entry).unwrap(),
            json!({"id": "default_web_apps_Deployment", "v": "v1"})
        );
        assert_eq!(entry.parse(), Some((object.id(), object.gvk())));
    }

    #[test]
    fn an_entry_that_somebody_broke_is_none() {
        let entry = InventoryEntry { id: "web".to_owned(), version: "v1".to_owned() };
        assert_eq!(entry.parse(), None);
    }

    // Attack 22 (multi-tenancy): an inventory that was forged.
    #[rstest::rstest]
    #[case("default_web_apps_Deployment", true)]
    #[case("_system:node_rbac.authorization.k8s.io_ClusterRole", true)]
    #[case("default_.._apps_Deployment", false)]
    #[case(".._web_apps_Deployment", false)]
    #[case("../../api_x__Secret", false)]
    #[case("default_..%2fx__Secret", false)]
    #[case("", false)]
    fn what_can_be_no_object_is_no_entry(#[case] id: &str, #[case] expected: bool) {
        let entry = InventoryEntry { id: id.to_owned(), version: "v1".to_owned() };
        assert_eq!(entry.parse().is_some(), expected);
    }
}
