use std::fmt;
use std::str::FromStr;

use crate::Object;
use crate::annotations::{APPLIER, OWNER_NAME, OWNER_NAMESPACE};

/// A kind whose objects apply others. It is written as Kubernetes has it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ApplierKind {
    /// Flux's.
    #[default]
    Kustomization,
    /// Steps of plugins.
    Pipeline,
}

/// Text that is not an [`ApplierKind`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a kind whose objects apply others; use Kustomization or Pipeline")]
pub struct UnknownApplierKind(String);

impl ApplierKind {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Kustomization, Self::Pipeline];

    /// The kind as Kubernetes has it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Kustomization => "Kustomization",
            Self::Pipeline => "Pipeline",
        }
    }

    /// The API group of the kind.
    pub const fn group(self) -> &'static str {
        match self {
            Self::Kustomization => "kustomize.toolkit.fluxcd.io",
            Self::Pipeline => "plumbline.dev",
        }
    }

    /// The group and version of the kind.
    pub const fn api_version(self) -> &'static str {
        match self {
            Self::Kustomization => "kustomize.toolkit.fluxcd.io/v1",
            Self::Pipeline => "plumbline.dev/v1alpha1",
        }
    }
}

impl fmt::Display for ApplierKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for ApplierKind {
    type Err = UnknownApplierKind;

    fn from_str(text: &str) -> Result<Self, UnknownApplierKind> {
        let kind = Self::ALL.into_iter().find(|kind| kind.as_str() == text);
        kind.ok_or_else(|| UnknownApplierKind(text.to_owned()))
    }
}

/// Whom an object belongs to, as its ownership labels name him. A Kustomization and a Pipeline of the same name are two owners.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Owner {
    /// Its kind.
    pub kind: ApplierKind,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

/// `KIND NAMESPACE/NAME`.
impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}/{}", self.kind, self.namespace, self.name)
    }
}

impl Owner {
    /// A Kustomization.
    pub fn kustomization(namespace: impl Into<String>, name: impl Into<String>) -> Self {
        Self { kind: ApplierKind::Kustomization, namespace: namespace.into(), name: name.into() }
    }

    /// Whom the ownership labels of an object name; `None` when it does not have both that name an object, or the third names a kind that
    /// is not known.
    pub fn of(object: &Object) -> Option<Self> {
        let label = |key| object.label(key).filter(|value| !value.is_empty()).map(str::to_owned);
        let kind = match object.label(APPLIER) {
            None => ApplierKind::Kustomization,
            Some(kind) => kind.parse().ok()?,
        };
        Some(Self { kind, namespace: label(OWNER_NAMESPACE)?, name: label(OWNER_NAME)? })
    }

    /// Puts the ownership labels on an object. Those of a Kustomization are Flux's and no others.
    pub fn stamp(&self, object: &mut Object) {
        object.set_label(OWNER_NAME, &self.name);
        object.set_label(OWNER_NAMESPACE, &self.namespace);
        match self.kind {
            ApplierKind::Kustomization => object.remove_label(APPLIER),
            ApplierKind::Pipeline => object.set_label(APPLIER, self.kind.as_str()),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use rstest::rstest;
    use serde_json::{Value, json};

    use super::*;

    fn labelled(labels: Value) -> Object {
        let metadata = json!({"name": "web", "labels": labels});
        Object::new(json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata})).unwrap()
    }

    #[rstest]
    #[case::kustomization(json!({OWNER_NAME: "a", OWNER_NAMESPACE: "b"}), Some("Kustomization b/a"))]
    #[case::pipeline(json!({OWNER_NAME: "a", OWNER_NAMESPACE: "b", APPLIER: "Pipeline"}), Some("Pipeline b/a"))]
    #[case::odd(json!({OWNER_NAME: "a", OWNER_NAMESPACE: "b", APPLIER: "Other"}), None)]
    #[case::half(json!({OWNER_NAME: "a"}), None)]
    #[case::empty(json!({OWNER_NAME: "a", OWNER_NAMESPACE: ""}), None)]
    fn labels_name_the_owner(#[case] labels: Value, #[case] expected: Option<&str>) {
        assert_eq!(Owner::of(&labelled(labels)).map(|owner| owner.to_string()).as_deref(), expected);
    }

    // Attack 21 (multi-tenancy): labels in the source that name another owner.
    #[rstest]
    fn nobody_elses_labels_pass_for_ours(
        #[values(ApplierKind::Kustomization, ApplierKind::Pipeline)] kind: ApplierKind,
        #[values("Pipeline", "Kustomization", "Other")] forged: &str,
    ) {
        let owner = Owner { kind, namespace: "b".to_owned(), name: "a".to_owned() };
        let mut object = labelled(json!({OWNER_NAME: "x", OWNER_NAMESPACE: "y", APPLIER: forged}));
        owner.stamp(&mut object);
        assert_eq!(Owner::of(&object), Some(owner));
    }
}
