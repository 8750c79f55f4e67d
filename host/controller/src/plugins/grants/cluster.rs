//! Reads objects of a cluster for a plugin, as whoever applies the result.

use std::sync::Arc;
use std::time::Duration;

use kube::Client;
use kube::api::{Api, ListParams};
use kube::core::DynamicObject;
use plumb_api::{ClusterReadGrant, GrantedNamespaces, GroupVersionKind, Object, is_object_name};
use plumb_apply::{Kind, KindError, Kinds};
use plumb_plugin::{ClusterReader, ObjectKind, ReadError};
use tokio::time::Instant;

use crate::status::{bounded, said};

/// How long the cluster has to say whether it knows a kind.
const DISCOVERY: Duration = Duration::from_secs(20);
/// Objects that are asked for at once.
const PAGE: u32 = 500;
/// The most objects of one list.
const MOST: usize = 10_000;
/// Reads what was granted.
pub(super) struct Reader {
    client: Client,
    kinds: Arc<Kinds>,
    granted: Vec<ClusterReadGrant>,
}

impl Reader {
    /// `granted` names its namespaces.
    pub(super) fn new(client: Client, kinds: Arc<Kinds>, granted: Vec<ClusterReadGrant>) -> Self {
        Self { client, kinds, granted }
    }

    async fn kind(&self, kind: &ObjectKind) -> Result<Kind, ReadError> {
        let gvk = GroupVersionKind::new(&kind.api_version, &kind.kind);
        let known = self.kinds.resolve(&gvk, Instant::now() + DISCOVERY).await;
        known.map_err(|error| match error {
            KindError::Unknown(_) => ReadError::UnknownKind,
            KindError::Discovery(_) => ReadError::Failed(error.to_string()),
        })
    }

    fn api(&self, kind: &Kind, namespace: Option<&str>) -> Api<DynamicObject> {
        let client = self.client.clone();
        match namespace {
            Some(namespace) => Api::namespaced_with(client, namespace, &kind.resource),
            None => Api::all_with(client, &kind.resource),
        }
    }
}

/// The namespaces in which a kind may be read.
fn namespaces<'a>(
    granted: &'a [ClusterReadGrant],
    kind: &ObjectKind,
) -> Result<GrantedNamespaces<'a>, ReadError> {
    // The grants name their namespaces.
    ClusterReadGrant::namespaces(granted, &kind.api_version, &kind.kind, "").ok_or_else(|| {
        let text = format!("the step hands over no {kind}; add it to capabilities.clusterRead of the step");
        ReadError::Denied(text)
    })
}

fn other_namespace(kind: &ObjectKind, namespace: &str) -> ReadError {
    ReadError::Denied(format!(
        "the step hands over no {kind} of the namespace '{namespace}'; add it to the namespaces of capabilities.clusterRead"
    ))
}

#[async_trait::async_trait]
impl ClusterReader for Reader {
    async fn get(
        &self,
        kind: &ObjectKind,
        namespace: Option<&str>,
        name: &str,
    ) -> Result<Option<Object>, ReadError> {
        let granted = namespaces(&self.granted, kind)?;
        let resolved = self.kind(kind).await?;
        let namespace = match (resolved.is_namespaced, namespace) {
            (false, _) => None,
            (true, Some(namespace)) if granted.have(namespace) => Some(namespace),
            (true, Some(namespace)) => return Err(other_namespace(kind, namespace)),
            (true, None) => {
                return Err(ReadError::Denied(format!("a {kind} is in a namespace, which has to be named")));
            }
        };
        // They become parts of a path.
        if !is_object_name(name) || namespace.is_some_and(|namespace| !is_object_name(namespace)) {
            return Ok(None);
        }
        let found = bounded(self.api(&resolved, namespace).get_opt(name)).await.map_err(refused)?;
        found.map(object).transpose()
    }

    async fn list(
        &self,
        kind: &ObjectKind,
        namespace: Option<&str>,
        label_selector: Option<&str>,
    ) -> Result<Vec<Object>, ReadError> {
        let granted = namespaces(&self.granted, kind)?;
        let resolved = self.kind(kind).await?;
        let asked: Vec<Option<&str>> = match (resolved.is_namespaced, namespace, &granted) {
            (false, _, _) | (true, None, GrantedNamespaces::All) => vec![None],
            (true, Some(namespace), _) if granted.have(namespace) => vec![Some(namespace)],
            (true, Some(namespace), _) => return Err(other_namespace(kind, namespace)),
            (true, None, GrantedNamespaces::These(names)) => names.iter().copied().map(Some).collect(),
        };
        let mut objects = Vec::new();
        for namespace in asked {
            if namespace.is_some_and(|namespace| !is_object_name(namespace)) {
                continue;
            }
            let api = self.api(&resolved, namespace);
            let mut params = ListParams::default().limit(PAGE);
            params.label_selector = label_selector.map(str::to_owned);
            loop {
                let page = bounded(api.list(&params)).await.map_err(refused)?;
                let next = page.metadata.continue_.filter(|next| !next.is_empty());
                for found in page.items {
                    objects.push(object(with_type(found, kind))?);
                }
                if objects.len() > MOST {
                    let text =
                        format!("there are more than {MOST} {kind}; name a namespace or a label selector");
                    return Err(ReadError::Failed(text));
                }
                match next {
                    Some(next) => params.continue_token = Some(next),
                    None => break,
                }
            }
        }
        Ok(objects)
    }
}

/// In a list, the objects do not say what they are.
fn with_type(mut found: DynamicObject, kind: &ObjectKind) -> DynamicObject {
    found.types.get_or_insert_with(|| kube::core::TypeMeta {
        api_version: kind.api_version.clone(),
        kind: kind.kind.clone(),
    });
    found
}

/// Without what changes all the time and says nothing about the object.
fn object(mut found: DynamicObject) -> Result<Object, ReadError> {
    found.metadata.managed_fields = None;
    let unusable = |reason: String| ReadError::Failed(format!("the API server sent something odd: {reason}"));
    let value = serde_json::to_value(&found).map_err(|error| unusable(error.to_string()))?;
    Object::new(value).map_err(|error| unusable(error.to_string()))
}

fn refused(error: kube::Error) -> ReadError {
    match &error {
        kube::Error::Api(status) if status.code == 403 || status.code == 401 => {
            ReadError::Forbidden(status.message.clone())
        }
        error => ReadError::Failed(said(error)),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use std::collections::BTreeSet;

    use rstest::rstest;

    use super::*;

    fn granted(yaml: &str) -> Vec<ClusterReadGrant> {
        serde_yaml::from_str(yaml).unwrap()
    }

    // Attack 28 (plugins): a plugin that reads what the step does not hand over.
    #[rstest]
    #[case::named("[{apiVersion: v1, kind: ConfigMap, namespaces: [a]}]", "a", Some(true))]
    #[case::other_namespace("[{apiVersion: v1, kind: ConfigMap, namespaces: [a]}]", "b", Some(false))]
    #[case::any_namespace("[{apiVersion: v1, kind: ConfigMap, namespaces: ['*']}]", "b", Some(true))]
    #[case::two(
        "[{apiVersion: v1, kind: ConfigMap, namespaces: [a]}, {apiVersion: v1, kind: ConfigMap, namespaces: [b]}]",
        "b",
        Some(true)
    )]
    #[case::other_kind("[{apiVersion: v1, kind: Secret, namespaces: ['*']}]", "a", None)]
    #[case::other_group("[{apiVersion: x/v1, kind: ConfigMap, namespaces: ['*']}]", "a", None)]
    #[case::any_kind("[{apiVersion: v1, kind: '*', namespaces: [a]}]", "a", Some(true))]
    fn only_what_was_granted_is_read(
        #[case] yaml: &str,
        #[case] namespace: &str,
        #[case] expected: Option<bool>,
    ) {
        let granted = granted(yaml);
        let kind = ObjectKind { api_version: "v1".to_owned(), kind: "ConfigMap".to_owned() };
        let found = namespaces(&granted, &kind).map(|namespaces| namespaces.have(namespace));
        assert_eq!(found.ok(), expected);
    }

    #[test]
    fn a_list_of_all_is_of_what_was_granted() {
        let granted = granted(
            "[{apiVersion: v1, kind: ConfigMap, namespaces: [b, a]}, {apiVersion: v1, kind: Secret, namespaces: ['*']}]",
        );
        let kind = ObjectKind { api_version: "v1".to_owned(), kind: "ConfigMap".to_owned() };
        assert_eq!(
            namespaces(&granted, &kind).unwrap(),
            GrantedNamespaces::These(BTreeSet::from(["a", "b"]))
        );
    }
}
