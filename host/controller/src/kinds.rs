use std::fmt;
use std::str::FromStr;

use plumb_api::{ApplierKind, SourceKind};

/// A kind of objects that can be reconciled. It is written as Kubernetes has it, for example `OCIRepository`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A source.
    Source(SourceKind),
    /// What applies objects.
    Applier(ApplierKind),
}

/// Text that is not a [`Kind`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a kind that can be reconciled; the kinds are {all}", all = Kind::ALL.map(Kind::as_str).join(", "))]
pub struct UnknownKind(String);

impl Kind {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Source(SourceKind::GitRepository),
        Self::Source(SourceKind::OciRepository),
        Self::Source(SourceKind::Bucket),
        Self::Source(SourceKind::HelmRepository),
        Self::Source(SourceKind::HelmChart),
        Self::Source(SourceKind::ExternalArtifact),
        Self::Applier(ApplierKind::Kustomization),
        Self::Applier(ApplierKind::Pipeline),
        Self::Applier(ApplierKind::HelmRelease),
    ];

    fn as_str(self) -> &'static str {
        match self {
            Self::Source(kind) => kind.as_str(),
            Self::Applier(kind) => kind.as_str(),
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Kind {
    type Err = UnknownKind;

    fn from_str(text: &str) -> Result<Self, UnknownKind> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text).ok_or_else(|| UnknownKind(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn kinds_are_written_as_kubernetes_has_them() {
        for kind in Kind::ALL {
            assert_eq!(kind.to_string().parse::<Kind>().unwrap(), kind);
        }
        assert_eq!(
            "ImagePolicy".parse::<Kind>().unwrap_err().to_string(),
            "\"ImagePolicy\" is not a kind that can be reconciled; the kinds are GitRepository, OCIRepository, Bucket, \
             HelmRepository, HelmChart, ExternalArtifact, Kustomization, Pipeline, HelmRelease"
        );
    }
}
