use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Variables to put into the rendered objects.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PostBuild {
    /// When to substitute: with `WithVariables` (the default) only if `substitute` or `substituteFrom` gives at least one variable,
    /// with `Always` in any case, so that expressions with defaults such as `${region:=eu}` work with no variable given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "SubstituteStrategy")]
    pub substitute_strategy: Option<SubstituteStrategy>,
    /// The variables and their values, for example `{cluster: prod}` for `${cluster}` in a manifest. They go before those of
    /// `substituteFrom`. The functions of bash work too: `${var:=default}`, `${var:position}` and `${var/from/to}`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub substitute: BTreeMap<String, String>,
    /// ConfigMaps and Secrets whose keys are variables. Of several with the same key, the last one counts. A change of one is rolled out at
    /// once.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub substitute_from: Vec<SubstituteReference>,
}

impl PostBuild {
    /// When to substitute.
    pub fn substitute_strategy(&self) -> SubstituteStrategy {
        self.substitute_strategy.unwrap_or_default()
    }
}

/// When to substitute variables.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum SubstituteStrategy {
    /// Only when at least one variable is given.
    #[default]
    WithVariables,
    /// Always.
    Always,
}

/// A ConfigMap or a Secret whose keys are variables.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SubstituteReference {
    /// `ConfigMap` or `Secret`.
    pub kind: ValuesKind,
    /// Its name. It has to be in the namespace of the Kustomization.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// Whether the Kustomization works without it: when it does not exist, it is taken as empty. It defaults to `false`.
    #[serde(default)]
    pub optional: bool,
}

/// The kinds that can hold values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum ValuesKind {
    /// A Secret.
    Secret,
    /// A ConfigMap.
    ConfigMap,
}
