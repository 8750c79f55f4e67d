use std::fmt;
use std::str::FromStr;

use crate::Object;
use crate::annotations::{APPLIER, OWNER_NAME, OWNER_NAMESPACE, RELEASE_OWNER_NAME, RELEASE_OWNER_NAMESPACE};

/// A kind whose objects apply others. It is written as Kubernetes has it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ApplierKind {
    /// Flux's.
    #[default]
    Kustomization,
    /// Steps of plugins.
    Pipeline,
    /// Flux's, for charts of Helm.
    HelmRelease,
}

/// Text that is not an [`ApplierKind`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a kind whose objects apply others; use Kustomization, Pipeline or HelmRelease")]
pub struct UnknownApplierKind(String);

impl ApplierKind {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Kustomization, Self::Pipeline, Self::HelmRelease];

    /// The kind as Kubernetes has it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Kustomization => "Kustomization",
            Self::Pipeline => "Pipeline",
            Self::HelmRelease => "HelmRelease",
        }
    }

    /// The API group of the kind.
    pub const fn group(self) -> &'static str {
        match self {
            Self::Kustomization => "kustomize.toolkit.fluxcd.io",
            Self::Pipeline => "plumbline.dev",
            Self::HelmRelease => "helm.toolkit.fluxcd.io",
        }
    }

    /// The group and version of the kind.
    pub const fn api_version(self) -> &'static str {
        match self {
            Self::Kustomization => "kustomize.toolkit.fluxcd.io/v1",
            Self::Pipeline => "plumbline.dev/v1alpha1",
            Self::HelmRelease => "helm.toolkit.fluxcd.io/v2",
        }
    }

    /// The labels by which objects name an owner of this kind.
    pub const fn labels(self) -> OwnerLabels {
        match self {
            Self::Kustomization | Self::Pipeline => OwnerLabels::Kustomize,
            Self::HelmRelease => OwnerLabels::Helm,
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

/// The labels by which an object names whom it belongs to. Those of one kind of applier can be watched together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum OwnerLabels {
    /// Those of Kustomizations, and with [`APPLIER`] those of Pipelines.
    Kustomize,
    /// Those of HelmReleases.
    Helm,
}

impl OwnerLabels {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Kustomize, Self::Helm];

    /// The key of the label with the name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Kustomize => OWNER_NAME,
            Self::Helm => RELEASE_OWNER_NAME,
        }
    }

    /// The key of the label with the namespace.
    pub const fn namespace(self) -> &'static str {
        match self {
            Self::Kustomize => OWNER_NAMESPACE,
            Self::Helm => RELEASE_OWNER_NAMESPACE,
        }
    }

    /// Whom these labels of an object name; `None` when it does not have both, or has another one with a kind that is not known.
    pub fn owner(self, object: &Object) -> Option<Owner> {
        let label = |key| object.label(key).filter(|value| !value.is_empty()).map(str::to_owned);
        let kind = match (self, object.label(APPLIER)) {
            (Self::Helm, _) => ApplierKind::HelmRelease,
            (Self::Kustomize, None) => ApplierKind::Kustomization,
            (Self::Kustomize, Some(kind)) => {
                kind.parse().ok().filter(|kind: &ApplierKind| kind.labels() == self)?
            }
        };
        Some(Owner { kind, namespace: label(self.namespace())?, name: label(self.name())? })
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

    /// Whom the ownership labels of an object name; of two, as while an object moves from a HelmRelease to a Kustomization, the Kustomization.
    pub fn of(object: &Object) -> Option<Self> {
        Self::all_of(object).next()
    }

    /// Everybody whom the ownership labels of an object name: one at most for each of [`OwnerLabels::ALL`].
    pub fn all_of(object: &Object) -> impl Iterator<Item = Self> {
        OwnerLabels::ALL.into_iter().filter_map(|labels| labels.owner(object))
    }

    /// Puts the ownership labels on an object, and takes off those of others. Those of a Kustomization and of a HelmRelease are Flux's and no
    /// others.
    pub fn stamp(&self, object: &mut Object) {
        for others in OwnerLabels::ALL.into_iter().filter(|labels| *labels != self.kind.labels()) {
            object.remove_label(others.name());
            object.remove_label(others.namespace());
        }
        object.set_label(self.kind.labels().name(), &self.name);
        object.set_label(self.kind.labels().namespace(), &self.namespace);
        match self.kind {
            ApplierKind::Kustomization | ApplierKind::HelmRelease => object.remove_label(APPLIER),
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
    #[case::release(json!({RELEASE_OWNER_NAME: "a", RELEASE_OWNER_NAMESPACE: "b"}), Some("HelmRelease b/a"))]
    #[case::no_release(json!({OWNER_NAME: "a", OWNER_NAMESPACE: "b", APPLIER: "HelmRelease"}), None)]
    #[case::two(json!({OWNER_NAME: "a", OWNER_NAMESPACE: "b", RELEASE_OWNER_NAME: "c", RELEASE_OWNER_NAMESPACE: "d"}), Some("Kustomization b/a"))]
    #[case::half(json!({OWNER_NAME: "a"}), None)]
    #[case::empty(json!({OWNER_NAME: "a", OWNER_NAMESPACE: ""}), None)]
    fn labels_name_the_owner(#[case] labels: Value, #[case] expected: Option<&str>) {
        assert_eq!(Owner::of(&labelled(labels)).map(|owner| owner.to_string()).as_deref(), expected);
    }

    // Attack 21 (multi-tenancy): labels in the source that name another owner.
    #[rstest]
    fn nobody_elses_labels_pass_for_ours(
        #[values(ApplierKind::Kustomization, ApplierKind::Pipeline, ApplierKind::HelmRelease)]
        kind: ApplierKind,
        #[values("Pipeline", "Kustomization", "HelmRelease", "Other")] forged: &str,
    ) {
        let owner = Owner { kind, namespace: "b".to_owned(), name: "a".to_owned() };
        let mut object = labelled(json!({
            OWNER_NAME: "x", OWNER_NAMESPACE: "y", APPLIER: forged, RELEASE_OWNER_NAME: "x", RELEASE_OWNER_NAMESPACE: "y",
        }));
        owner.stamp(&mut object);
        assert_eq!(Owner::all_of(&object).collect::<Vec<_>>(), [owner]);
    }
}
