//! The formats of files, each taken apart into its values, with their places in the text. What is decrypted is put into the place of what was encrypted, so
//! that the rest stays as SOPS wrote it.

mod dotenv;
mod flat;
mod ini;
mod json;
mod yaml;

use std::ops::Range;

use serde_json::Value;

use crate::cipher::Scalar;

/// The format of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// YAML, of one document or several.
    Yaml,
    /// JSON.
    Json,
    /// `NAME=value` in lines.
    Dotenv,
    /// Sections of `name = value`.
    Ini,
    /// Any bytes, which SOPS puts into JSON.
    Binary,
}

/// A value of a file.
#[derive(Clone, Debug, PartialEq)]
pub struct Leaf {
    /// The names that lead to it. Places in lists have none.
    pub path: Vec<String>,
    /// The comments before it, and before what it is in. Files that go by names have none.
    pub comments: Vec<String>,
    /// The value, or a comment.
    pub content: Content,
    /// Where it stands in the text.
    pub span: Range<usize>,
    /// How far a text of several lines is indented, in YAML.
    pub indent: usize,
}

/// What stands in a place.
#[derive(Clone, Debug, PartialEq)]
pub enum Content {
    /// A value.
    Value(Scalar),
    /// A comment, without what marks it as one.
    Comment(String),
}

/// A file, taken apart.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Document {
    /// Its values, in their order.
    pub leaves: Vec<Leaf>,
    /// What SOPS has written beside them; none when it has not encrypted the file.
    pub metadata: Option<Value>,
    /// Where that stands, in order.
    pub cut: Vec<Range<usize>>,
}

/// Why a file cannot be taken apart. It has nothing of its text in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unreadable {
    /// The line, counted from 1, if it is known.
    pub line: Option<usize>,
    /// What is wrong, as a sentence.
    pub problem: &'static str,
}

impl Unreadable {
    fn new(problem: &'static str) -> Self {
        Self { line: None, problem }
    }

    fn at(line: usize, problem: &'static str) -> Self {
        Self { line: Some(line), problem }
    }
}

/// How deeply values may be nested.
const DEEPEST: usize = 128;

impl Format {
    /// The format of a file by its name, as Flux tells it.
    pub fn of_path(path: &str) -> Self {
        match path.rsplit_once('.').map(|(_, ending)| ending) {
            Some("yaml" | "yml") => Self::Yaml,
            Some("json" | "dockerconfigjson") => Self::Json,
            Some("env") => Self::Dotenv,
            Some("ini") => Self::Ini,
            _ => Self::Binary,
        }
    }

    /// The format of a file that SOPS has encrypted, by what it writes into each; none for a file that it has not.
    pub fn of_encrypted(bytes: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(bytes).ok()?;
        if !text.contains("ENC[AES256_GCM,") {
            return None;
        }
        let line = |start: &str| text.lines().any(|line| line.starts_with(start));
        if text.trim_start().starts_with('{') {
            let document = json::read(text).ok()?;
            document.metadata.as_ref()?.get("mac")?;
            let is_binary = document.leaves.iter().all(|leaf| leaf.path == ["data"]);
            return Some(if is_binary { Self::Binary } else { Self::Json });
        }
        if line("sops_mac=ENC[") {
            return Some(Self::Dotenv);
        }
        if line("[sops]") {
            return Some(Self::Ini);
        }
        (line("sops:") && text.contains("mac: ENC[")).then_some(Self::Yaml)
    }

    /// The format of a file by its content, if SOPS has encrypted it; its name decides whether JSON stands for itself or for other bytes.
    pub fn of_file(name: &str, bytes: &[u8]) -> Option<Self> {
        match (Self::of_encrypted(bytes)?, Self::of_path(name)) {
            (Self::Binary, Self::Json) => Some(Self::Json),
            (format, _) => Some(format),
        }
    }

    /// Takes a file apart.
    pub fn read(self, text: &str) -> Result<Document, Unreadable> {
        match self {
            Self::Yaml => yaml::read(text),
            Self::Json | Self::Binary => json::read(text),
            Self::Dotenv => dotenv::read(text),
            Self::Ini => ini::read(text),
        }
    }

    /// How a value stands in the text; none if it is one that the format cannot hold.
    pub fn spell(self, leaf: &Leaf, value: &Scalar) -> Option<String> {
        match self {
            Self::Yaml => yaml::spell(value, leaf.indent),
            Self::Json | Self::Binary => json::spell(value),
            Self::Dotenv => dotenv::spell(value),
            Self::Ini => ini::spell(value),
        }
    }

    /// What the file ends with once what SOPS wrote is taken out.
    pub fn tidy(self, text: String) -> String {
        match self {
            // A blank line stood before the section.
            Self::Ini => format!("{}\n", text.trim_end()),
            _ => text,
        }
    }
}

#[cfg(not(target_family = "wasm"))]
impl Format {
    /// The text, with what SOPS writes beside the values.
    pub(crate) fn with_metadata(self, text: &str, metadata: &Value) -> String {
        match self {
            Self::Yaml => yaml::with_metadata(text, metadata),
            Self::Json | Self::Binary => json::with_metadata(text, metadata),
            Self::Dotenv => format!("{}{}", ended(text), dotenv::metadata(metadata)),
            Self::Ini => format!("{}{}", ended(text), ini::metadata(metadata)),
        }
    }
}

/// The text with a line break at its end.
#[cfg(not(target_family = "wasm"))]
fn ended(text: &str) -> String {
    if text.is_empty() || text.ends_with('\n') { text.to_owned() } else { format!("{text}\n") }
}

/// A number as Go writes it: with an exponent, of so many digits at least, where that of the number is not among these.
fn float(number: f64, plain: Range<i32>, digits: usize) -> String {
    let scientific = format!("{number:e}");
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    match exponent.parse::<i32>() {
        Ok(exponent) if !plain.contains(&exponent) => {
            let sign = if exponent < 0 { '-' } else { '+' };
            format!("{mantissa}e{sign}{:0digits$}", exponent.unsigned_abs())
        }
        _ => number.to_string(),
    }
}

/// The text of a value.
fn text_of(value: &Scalar) -> Option<String> {
    String::from_utf8(value.to_bytes().into_owned()).ok()
}

#[cfg(test)]
mod tests;
