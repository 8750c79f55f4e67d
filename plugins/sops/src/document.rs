//! Whole files: their values and their MAC.

use sha2::{Digest as _, Sha512};
use subtle::ConstantTimeEq as _;

use crate::cipher::{DataKey, Scalar, Undecryptable};
use crate::format::{Content, Document, Format, Leaf, Unreadable};
use crate::keys::{Keyring, Locked};
use crate::metadata::{BadMetadata, Metadata};
use crate::rules::Rule;

/// With these bytes begins what the MAC of encrypted values only is over, so that it never is that of all values.
const ONLY_ENCRYPTED: [u8; 32] = [
    0x8a, 0x3f, 0xd2, 0xad, 0x54, 0xce, 0x66, 0x52, 0x7b, 0x10, 0x34, 0xf3, 0xd1, 0x47, 0xbe, 0x0b, 0x0b,
    0x97, 0x5b, 0x3b, 0xf4, 0x4f, 0x72, 0xc6, 0xfd, 0xad, 0xec, 0x81, 0x76, 0xf2, 0x7d, 0x69,
];

/// Why a file cannot be decrypted. No message has anything of a value in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FileError {
    /// It is not in its format.
    Unreadable(Unreadable),
    /// What SOPS wrote beside the values cannot be used.
    Metadata(BadMetadata),
    /// No key opens it.
    Locked(Locked),
    /// A value cannot be decrypted: the names that lead to it, and why.
    Value(String, Undecryptable),
    /// A decrypted value is one that the format cannot hold: the names that lead to it.
    Spelling(String),
    /// The MAC is none, or not that of the values.
    Mac,
}

impl FileError {
    /// The line, if it is known.
    pub fn line(&self) -> Option<u32> {
        match self {
            Self::Unreadable(Unreadable { line, .. }) => line.and_then(|line| u32::try_from(line).ok()),
            _ => None,
        }
    }
}

impl std::fmt::Display for FileError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Unreadable(Unreadable { problem, .. }) => f.write_str(problem),
            Self::Metadata(bad) => bad.fmt(f),
            Self::Locked(locked) => locked.fmt(f),
            Self::Value(path, why) => write!(f, "the value of {path} {}", why.what()),
            Self::Spelling(path) => write!(f, "the value of {path} is not text, which this format cannot hold"),
            Self::Mac => f.write_str(
                "its MAC is not that of its values: somebody has changed, added, removed or moved some after SOPS wrote it",
            ),
        }
    }
}

/// The file, decrypted.
///
/// # Errors
///
/// When it is not what SOPS writes, no key opens it, or it was changed since.
pub fn decrypt(bytes: &[u8], format: Format, keys: &Keyring) -> Result<Vec<u8>, FileError> {
    let not_text = FileError::Unreadable(Unreadable { line: None, problem: "it is not UTF-8" });
    let text = std::str::from_utf8(bytes).map_err(|_| not_text)?;
    let document = format.read(text).map_err(FileError::Unreadable)?;
    let missing =
        FileError::Metadata(BadMetadata::Field("mac", "is missing: the file is not encrypted by SOPS"));
    let metadata = Metadata::read(document.metadata.as_ref().ok_or(missing)?).map_err(FileError::Metadata)?;
    let key = keys.open(&metadata).map_err(FileError::Locked)?;
    let (plain, mac) = values(&document, &metadata, &key)?;
    check_mac(&mac, &metadata, &key)?;
    match (format, document.leaves.first().map(|leaf| &leaf.content)) {
        (Format::Binary, Some(Content::Value(value))) => {
            let value = plain.first().and_then(Option::as_ref).unwrap_or(value);
            Ok(value.to_bytes().into_owned())
        }
        _ => write(text, format, &document, &plain).map(String::into_bytes),
    }
}

/// The place that SOPS binds a value to.
pub fn place(path: &[String]) -> String {
    format!("{}:", path.join(":"))
}

/// Whether a value is encrypted by the rule of the file.
fn is_due(leaf: &Leaf, metadata: &Metadata) -> bool {
    let path: Vec<&str> = leaf.path.iter().map(String::as_str).collect();
    // A comment that says that something is not encrypted is not encrypted itself; one that says what is, neither.
    let own = match (&leaf.content, &metadata.rule) {
        (Content::Comment(text), Rule::NotComment(_)) => Some(text.as_str()),
        _ => None,
    };
    metadata.rule.encrypts(&path, leaf.comments.iter().map(String::as_str).chain(own))
}

/// What stands in the place of each leaf, if it is something else, and the MAC over all values.
fn values(
    document: &Document,
    metadata: &Metadata,
    key: &DataKey,
) -> Result<(Vec<Option<Scalar>>, String), FileError> {
    let mut mac = Mac::new(metadata.mac_only_encrypted);
    let mut plain = Vec::new();
    for leaf in &document.leaves {
        let is_due = is_due(leaf, metadata);
        let decrypted = match (&leaf.content, is_due) {
            (_, false) => None,
            // One that is not encrypted is from an older SOPS.
            (Content::Comment(text), true) => key.decrypt(text.trim_end(), &place(&leaf.path)).ok(),
            (Content::Value(Scalar::Text(text)), true) => {
                let text = std::str::from_utf8(text).unwrap_or_default();
                let wrong = |why| FileError::Value(leaf.path.join("."), why);
                Some(key.decrypt(text, &place(&leaf.path)).map_err(wrong)?)
            }
            (Content::Value(_), true) => {
                return Err(FileError::Value(leaf.path.join("."), Undecryptable::NotEncrypted));
            }
        };
        if let Content::Value(value) = &leaf.content {
            mac.add(decrypted.as_ref().unwrap_or(value), is_due);
        }
        plain.push(decrypted);
    }
    Ok((plain, mac.finish()))
}

/// The hash over values in their order.
struct Mac {
    hash: Sha512,
    only_encrypted: bool,
}

impl Mac {
    fn new(only_encrypted: bool) -> Self {
        let mut hash = Sha512::new();
        if only_encrypted {
            hash.update(ONLY_ENCRYPTED);
        }
        Self { hash, only_encrypted }
    }

    fn add(&mut self, value: &Scalar, is_encrypted: bool) {
        if is_encrypted || !self.only_encrypted {
            self.hash.update(value.to_bytes());
        }
    }

    fn finish(self) -> String {
        format!("{:X}", self.hash.finalize())
    }
}

fn check_mac(mac: &str, metadata: &Metadata, key: &DataKey) -> Result<(), FileError> {
    let written = key.decrypt(&metadata.mac, &metadata.last_modified).map_err(|_| FileError::Mac)?;
    match bool::from(written.to_bytes().as_ref().ct_eq(mac.as_bytes())) {
        true => Ok(()),
        false => Err(FileError::Mac),
    }
}

/// The text without the metadata, and with other values in their places.
fn write(
    text: &str,
    format: Format,
    document: &Document,
    values: &[Option<Scalar>],
) -> Result<String, FileError> {
    let mut edits = Vec::new();
    for (leaf, value) in document.leaves.iter().zip(values) {
        let Some(value) = value else { continue };
        let spelled = match leaf.content {
            Content::Comment(_) => String::from_utf8(value.to_bytes().into_owned()).ok(),
            Content::Value(_) => format.spell(leaf, value),
        };
        let spelled = spelled.ok_or_else(|| FileError::Spelling(leaf.path.join(".")))?;
        edits.push((leaf.span.clone(), spelled));
    }
    edits.extend(document.cut.iter().map(|range| (range.clone(), String::new())));
    edits.sort_by_key(|(range, _)| range.start);
    let (mut out, mut at) = (String::with_capacity(text.len()), 0);
    for (range, new) in edits {
        out.push_str(text.get(at..range.start).unwrap_or_default());
        out.push_str(&new);
        at = range.end;
    }
    out.push_str(text.get(at..).unwrap_or_default());
    Ok(format.tidy(out))
}

#[cfg(not(target_family = "wasm"))]
pub mod encrypt;

#[cfg(test)]
mod tests;
