//! What plugins answer, in the host's own types.

use plumb_api::{Object, Sensitive};
use serde_json::Value;

use crate::CallError;
use crate::bindings::{health, types, validate};
use crate::mask::Mask;
use crate::printable::{lines, one_line};

/// What kind of mistake a plugin reports. It decides who is told, and whether trying again can help.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// The files, objects or parameters are wrong. The same input gives the same error.
    InvalidInput,
    /// A file, directory or object that the input names does not exist.
    NotFound,
    /// The input asks for something that a plugin may not do.
    Denied,
    /// The input asks for something that this plugin does not do.
    Unsupported,
    /// The plugin itself is at fault.
    Internal,
}

/// A mistake that a plugin reports. Control characters in its texts are escaped, but for line breaks and tabs in `message`
/// and `hint`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PluginError {
    /// What kind of mistake it is.
    pub kind: ErrorKind,
    /// What is wrong, as a sentence.
    pub message: String,
    /// The file the mistake is in, from the root of the tree.
    pub file: Option<String>,
    /// The line in `file`, counted from 1.
    pub line: Option<u32>,
    /// What to do about it, as a sentence.
    pub hint: Option<String>,
}

/// `clusters/production/kustomization.yaml:3: the patch names … (hint)`.
impl std::fmt::Display for PluginError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (&self.file, self.line) {
            (Some(file), Some(line)) => write!(f, "{file}:{line}: ")?,
            (Some(file), None) => write!(f, "{file}: ")?,
            (None, _) => {}
        }
        f.write_str(&self.message)?;
        match &self.hint {
            Some(hint) => write!(f, " ({hint})"),
            None => Ok(()),
        }
    }
}

/// How much a finding matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Severity {
    /// The objects must not be applied.
    Error,
    /// The objects are applied, and users see the finding as a warning event.
    Warning,
}

/// Something that a validator found wrong with one object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// How much it matters.
    pub severity: Severity,
    /// Which object, as its index in the list that was given.
    pub object: usize,
    /// Which field, as a JSON Pointer (RFC 6901); none for the object as a whole.
    pub field: Option<String>,
    /// The name of the rule.
    pub rule: String,
    /// What is wrong, as a sentence.
    pub message: String,
}

/// A file as a decryptor has decrypted it.
#[derive(Clone)]
pub struct DecryptedFile {
    /// Where it is, from the root, links followed.
    pub path: String,
    /// Its bytes.
    pub content: Sensitive<Vec<u8>>,
}

/// How an object is doing, in the words of kstatus.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum HealthStatus {
    /// It is what its spec asks for.
    Current,
    /// It is on its way to what its spec asks for.
    InProgress,
    /// It will not get there without help.
    Failed,
    /// It is being deleted.
    Terminating,
    /// The check cannot tell.
    Unknown,
}

/// What a health check found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HealthReport {
    /// How the object is doing.
    pub status: HealthStatus,
    /// Why, as a sentence; empty for [`HealthStatus::Current`].
    pub message: String,
}

/// The parameters as the contract wants them: the text of a JSON object.
pub(crate) fn parameters(parameters: &Value) -> Result<String, CallError> {
    match parameters {
        Value::Null => Ok("{}".to_owned()),
        Value::Object(_) => Ok(parameters.to_string()),
        _ => Err(CallError::InvalidParameters),
    }
}

/// An object as its JSON text.
pub(crate) fn text_of(object: &Object) -> String {
    // A map of JSON values always has a text: its keys are strings.
    serde_json::to_string(object).unwrap_or_default()
}

/// The objects as the contract wants them.
pub(crate) fn texts_of(objects: &[Object]) -> Vec<String> {
    objects.iter().map(text_of).collect()
}

/// The objects that a plugin returned. The text itself is not shown: it may hold a secret.
pub(crate) fn objects(texts: Vec<String>, mask: &Mask) -> Result<Vec<Object>, CallError> {
    let read = |(index, text): (usize, String)| {
        let invalid = |reason: String| CallError::InvalidOutput {
            what: format!("object {index}"),
            reason: one_line(&mask.hide(&reason)),
        };
        let value =
            serde_json::from_str(&text).map_err(|error| invalid(format!("it is not JSON: {error}")))?;
        Object::new(value).map_err(|error| invalid(error.to_string()))
    };
    texts.into_iter().enumerate().map(read).collect()
}

/// The findings that a validator returned about `count` objects.
pub(crate) fn findings(
    found: Vec<validate::Finding>,
    count: usize,
    mask: &Mask,
) -> Result<Vec<Finding>, CallError> {
    let read = |(index, finding): (usize, validate::Finding)| {
        let invalid = |reason: String| CallError::InvalidOutput { what: format!("finding {index}"), reason };
        let object = finding.object as usize;
        if object >= count {
            return Err(invalid(format!(
                "it is about object {object}, but there are only {count} objects, counted from 0"
            )));
        }
        if finding.field.as_ref().is_some_and(|field| !field.is_empty() && !field.starts_with('/')) {
            return Err(invalid("its field is not a JSON Pointer: it does not start with \"/\"".to_owned()));
        }
        Ok(Finding {
            severity: match finding.severity {
                validate::Severity::Error => Severity::Error,
                validate::Severity::Warning => Severity::Warning,
            },
            object,
            field: finding.field.map(|field| one_line(&mask.hide(&field))),
            rule: one_line(&mask.hide(&finding.rule)),
            message: lines(&mask.hide(&finding.message)),
        })
    };
    found.into_iter().enumerate().map(read).collect()
}

/// The errors that a plugin returned: at least one.
pub(crate) fn errors(errors: Vec<types::Error>, mask: &Mask) -> CallError {
    if errors.is_empty() {
        return CallError::InvalidOutput {
            what: "the list of errors".to_owned(),
            reason: "it is empty; a plugin that fails must say why".to_owned(),
        };
    }
    CallError::Reported(errors.into_iter().map(|error| reported(error, mask)).collect())
}

fn reported(error: types::Error, mask: &Mask) -> PluginError {
    PluginError {
        kind: match error.kind {
            types::ErrorKind::InvalidInput => ErrorKind::InvalidInput,
            types::ErrorKind::NotFound => ErrorKind::NotFound,
            types::ErrorKind::Denied => ErrorKind::Denied,
            types::ErrorKind::Unsupported => ErrorKind::Unsupported,
            types::ErrorKind::Internal => ErrorKind::Internal,
        },
        message: lines(&mask.hide(&error.message)),
        file: error.file.map(|file| one_line(&mask.hide(&file))),
        line: error.line.filter(|line| *line > 0),
        hint: error.hint.map(|hint| lines(&mask.hide(&hint))),
    }
}

impl From<health::Report> for HealthReport {
    fn from(report: health::Report) -> Self {
        Self {
            status: match report.status {
                health::Status::Current => HealthStatus::Current,
                health::Status::InProgress => HealthStatus::InProgress,
                health::Status::Failed => HealthStatus::Failed,
                health::Status::Terminating => HealthStatus::Terminating,
                health::Status::Unknown => HealthStatus::Unknown,
            },
            message: lines(&report.message),
        }
    }
}
