//! What a rule is made of. The build script reads the pack with these types, too.

use serde::{Deserialize, Serialize};

/// How to tell the health of the objects of some kinds. The fields that `spec.healthCheckExprs` of Flux has mean the same here.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Rule {
    /// Of it only the group counts. A group that starts with `*` is all that end in the rest.
    pub api_version: String,
    /// One kind; without it and `kinds` all of the group.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// Several kinds.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub kinds: Vec<String>,
    /// When it is true, the object is on its way, whatever the others say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub in_progress: Option<String>,
    /// When it is true, the object will not get there without help.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed: Option<String>,
    /// When it is true, the object is what its spec asks for.
    pub current: String,
    /// Makes the message of an object that is not current.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// The conditions that are told where there is no message, the most telling first. One that
    /// tells of trouble when it is true has a `!` in front: `!Degraded`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub about: Vec<String>,
    /// Where to read why the rule is as it is.
    #[serde(default, skip_serializing)]
    pub source: Vec<String>,
}

impl Rule {
    /// The group that it is for, which may be a pattern; empty for the core group.
    pub fn group(&self) -> &str {
        self.api_version.split_once('/').map_or("", |(group, _)| group)
    }

    /// The kinds that it names; none means all of its group.
    pub fn kinds(&self) -> impl Iterator<Item = &str> {
        self.kind.iter().chain(&self.kinds).map(String::as_str)
    }

    /// Whether it is for a kind.
    pub fn is_for(&self, group: &str, kind: &str) -> bool {
        let is_of_group = match self.group().strip_prefix('*') {
            Some(end) => group.ends_with(end),
            None => group == self.group(),
        };
        is_of_group && (self.kinds().next().is_none() || self.kinds().any(|named| named == kind))
    }
}
