use std::fmt;
use std::str::FromStr;

use serde::{Serialize, Serializer};

use crate::Severity;

/// Something that is looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Rule {
    /// A file with objects of Flux is not YAML.
    Unreadable,
    /// An object of Flux is not what its kind asks for.
    Invalid,
    /// A Secret, or what makes one, is in Git as it is.
    PlainSecret,
    /// Kustomizations that wait for each other.
    DependencyCycle,
    /// `spec.path` names nothing.
    MissingPath,
    /// `spec.sourceRef` names nothing.
    MissingSource,
    /// `spec.dependsOn` names nothing.
    MissingDependency,
    /// What is removed from Git stays in the cluster.
    PruneOff,
    /// A source that is looked at seldom.
    SourceIntervalLong,
    /// A source that is looked at too often.
    SourceIntervalShort,
    /// A Kustomization that is ready whatever becomes of its objects.
    NoHealthChecks,
    /// Production gets what nothing else has tried.
    NoStaging,
    /// Objects may be deleted and made anew.
    Force,
    /// A field that has no effect any longer.
    DeprecatedField,
    /// A version of the API that the cluster no longer serves.
    DeprecatedVersion,
    /// Production follows a reference that anybody who pushes moves.
    FloatingReference,
    /// A failure waits for the whole interval.
    NoRetryInterval,
    /// A health check may take as long as the interval.
    NoTimeout,
}

/// A name that no rule has.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no rule {0:?}; the rules are {names}", names = Rule::ALL.map(Rule::name).join(", "))]
pub struct UnknownRule(String);

impl Rule {
    /// All of them, the gravest first.
    pub const ALL: [Self; 18] = [
        Self::Unreadable,
        Self::Invalid,
        Self::PlainSecret,
        Self::DependencyCycle,
        Self::MissingPath,
        Self::MissingSource,
        Self::MissingDependency,
        Self::PruneOff,
        Self::SourceIntervalLong,
        Self::SourceIntervalShort,
        Self::NoHealthChecks,
        Self::NoStaging,
        Self::Force,
        Self::DeprecatedField,
        Self::DeprecatedVersion,
        Self::FloatingReference,
        Self::NoRetryInterval,
        Self::NoTimeout,
    ];

    /// The name by which a rule is switched off.
    pub fn name(self) -> &'static str {
        match self {
            Self::Unreadable => "unreadable",
            Self::Invalid => "invalid",
            Self::PlainSecret => "plain-secret",
            Self::DependencyCycle => "dependency-cycle",
            Self::MissingPath => "missing-path",
            Self::MissingSource => "missing-source",
            Self::MissingDependency => "missing-dependency",
            Self::PruneOff => "prune-off",
            Self::SourceIntervalLong => "source-interval-long",
            Self::SourceIntervalShort => "source-interval-short",
            Self::NoHealthChecks => "no-health-checks",
            Self::NoStaging => "no-staging",
            Self::Force => "force",
            Self::DeprecatedField => "deprecated-field",
            Self::DeprecatedVersion => "deprecated-version",
            Self::FloatingReference => "floating-reference",
            Self::NoRetryInterval => "no-retry-interval",
            Self::NoTimeout => "no-timeout",
        }
    }

    /// How grave it is.
    pub fn severity(self) -> Severity {
        match self {
            Self::Unreadable
            | Self::Invalid
            | Self::PlainSecret
            | Self::DependencyCycle
            | Self::MissingPath => Severity::Error,
            Self::MissingSource
            | Self::MissingDependency
            | Self::PruneOff
            | Self::SourceIntervalLong
            | Self::SourceIntervalShort
            | Self::NoHealthChecks
            | Self::NoStaging
            | Self::Force
            | Self::DeprecatedField
            | Self::DeprecatedVersion => Severity::Warning,
            Self::FloatingReference | Self::NoRetryInterval | Self::NoTimeout => Severity::Info,
        }
    }

    /// What to do about it.
    pub fn hint(self) -> &'static str {
        match self {
            Self::Unreadable => "mend the file; nothing in it can be applied",
            Self::Invalid => "write the field as `kubectl explain` describes it",
            Self::PlainSecret => {
                "encrypt it with SOPS, seal it as a SealedSecret, or have an operator fetch it; and replace what was \
                 in it, since Git keeps every version"
            }
            Self::DependencyCycle => "take one of these edges out of spec.dependsOn",
            Self::MissingPath => "set spec.path to a directory of the repository, from its root on",
            Self::MissingSource => "add the source, or correct kind, name and namespace of spec.sourceRef",
            Self::MissingDependency => {
                "add the Kustomization, or correct name and namespace in spec.dependsOn"
            }
            Self::PruneOff => {
                "set spec.prune to true; what must never be deleted keeps the annotation kustomize.toolkit.fluxcd.io/prune: disabled"
            }
            Self::SourceIntervalLong => {
                "set spec.interval to 1m or less, or have the Git server push: a Receiver with a webhook starts a fetch at once"
            }
            Self::SourceIntervalShort => {
                "set spec.interval to 1s or more; servers limit those who ask too often"
            }
            Self::NoHealthChecks => "set spec.wait to true, or name in spec.healthChecks what has to work",
            Self::NoStaging => {
                "have it depend on a Kustomization that applies staging from the same source, or let production follow a tag, a range of versions, or a branch of its own that is promoted to"
            }
            Self::Force => {
                "set spec.force to false, and annotate the few objects that may be recreated with kustomize.toolkit.fluxcd.io/force: enabled"
            }
            Self::DeprecatedField => "remove the field; it has no effect",
            Self::DeprecatedVersion => "write v1; `flux migrate -f .` does it for all files",
            Self::FloatingReference => {
                "let production follow spec.ref.semver or spec.ref.tag, so that going to production is a decision of its own"
            }
            Self::NoRetryInterval => {
                "set spec.retryInterval, for example to 1m, so that a failure that passes by itself is over soon"
            }
            Self::NoTimeout => "set spec.timeout to what the slowest object needs, for example 5m",
        }
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Rule {
    type Err = UnknownRule;

    fn from_str(text: &str) -> Result<Self, UnknownRule> {
        Self::ALL.into_iter().find(|rule| rule.name() == text).ok_or_else(|| UnknownRule(text.to_owned()))
    }
}

impl Serialize for Rule {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}
