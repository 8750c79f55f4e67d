use std::fmt;

use serde::Serialize;

use crate::Rule;
use crate::document::Place;

/// How grave a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Worth a thought.
    Info,
    /// It will hurt some day.
    Warning,
    /// It does not work, or it gives something away.
    Error,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Error => "error",
        })
    }
}

/// Something that should be otherwise.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What was looked for.
    pub rule: Rule,
    /// How grave it is.
    pub severity: Severity,
    /// The object, for example `Kustomization/flux-system/apps`; empty when a file cannot be read.
    pub object: String,
    /// The file, from the root of the tree on; none for an object of a cluster.
    pub file: Option<String>,
    /// The line of the field in the file, counted from 1.
    pub line: Option<usize>,
    /// What is wrong, as a sentence without the object's name at its start.
    pub message: String,
    /// What to do.
    pub hint: String,
}

/// What is wrong with an object, before it is said where the object stands.
#[derive(Clone, Debug)]
pub(crate) struct Problem {
    pub(crate) rule: Rule,
    /// The keys that lead to the field.
    pub(crate) field: &'static [&'static str],
    pub(crate) message: String,
}

impl Problem {
    pub(crate) fn new(rule: Rule, field: &'static [&'static str], message: impl Into<String>) -> Self {
        Self { rule, field, message: message.into() }
    }

    /// The finding about `object`.
    pub(crate) fn of(self, object: String, place: Option<&Place>) -> Finding {
        Finding {
            rule: self.rule,
            severity: self.rule.severity(),
            object,
            file: place.map(|place| place.file.clone()),
            line: place.map(|place| place.line_of(self.field)),
            message: self.message,
            hint: self.rule.hint().to_owned(),
        }
    }
}

/// `Kustomization/flux-system/apps`, or without the namespace where none is known.
pub(crate) fn object_name(kind: &str, namespace: Option<&str>, name: &str) -> String {
    match namespace {
        Some(namespace) => format!("{kind}/{namespace}/{name}"),
        None => format!("{kind}/{name}"),
    }
}
