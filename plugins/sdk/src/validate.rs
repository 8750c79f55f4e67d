/// How much a finding matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// The objects must not be applied.
    Error,
    /// The objects are applied, and users see the finding as a warning event.
    Warning,
}

/// Something that is wrong with one object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// How much it matters.
    pub severity: Severity,
    /// Which object, as its index in the list that was given, counted from 0.
    pub object: usize,
    /// Which field, as a JSON Pointer (RFC 6901); none for the object as a whole.
    pub field: Option<String>,
    /// The name of the rule, for people who want to look it up.
    pub rule: String,
    /// What is wrong, as a sentence.
    pub message: String,
}

impl Finding {
    /// Objects with this finding must not be applied.
    pub fn error(object: usize, rule: impl Into<String>, message: impl Into<String>) -> Self {
        Self { severity: Severity::Error, object, field: None, rule: rule.into(), message: message.into() }
    }

    /// Objects with this finding are applied.
    pub fn warning(object: usize, rule: impl Into<String>, message: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, ..Self::error(object, rule, message) }
    }

    /// Which field, as a JSON Pointer, for example `/spec/replicas`.
    #[must_use]
    pub fn field(mut self, pointer: impl Into<String>) -> Self {
        self.field = Some(pointer.into());
        self
    }
}
