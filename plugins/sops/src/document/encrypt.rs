//! Encrypts files as SOPS does. It needs random numbers, which a plugin has not, so it is for tests and for programs that use this crate.

use serde_json::{Map, Value};

use super::{Mac, is_due, place, write};
use crate::cipher::{DataKey, Scalar};
use crate::document::FileError;
use crate::format::{Content, Format, Unreadable};
use crate::keys::sealed;
use crate::metadata::{BadMetadata, Metadata};

/// For whom, and what.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Recipients of age (`age1…`, or public keys of SSH), and armoured public keys of OpenPGP. Each list is a group; of several groups all are
    /// needed.
    pub recipients: Vec<Vec<String>>,
    /// One of the rules that say what is encrypted, for example `encrypted_regex`, with its value.
    pub rule: Option<(&'static str, String)>,
    /// Whether the MAC is over encrypted values only.
    pub mac_only_encrypted: bool,
    /// When, in the form of RFC 3339.
    pub last_modified: String,
}

/// Why a file cannot be encrypted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EncryptError {
    /// It is not in its format, or encrypted already.
    File(FileError),
    /// A recipient is none.
    Recipient(String),
}

/// The file, encrypted.
///
/// # Errors
///
/// When it is not in its format, or a recipient is none.
pub fn encrypt(bytes: &[u8], format: Format, options: &Options) -> Result<Vec<u8>, EncryptError> {
    let wrapped;
    let text = match format {
        Format::Binary => {
            wrapped = format!("{{\n\t\"data\": {}\n}}\n", Value::from(String::from_utf8_lossy(bytes)));
            wrapped.as_str()
        }
        _ => std::str::from_utf8(bytes).map_err(|_| {
            EncryptError::File(FileError::Unreadable(Unreadable { line: None, problem: "it is not UTF-8" }))
        })?,
    };
    let document = format.read(text).map_err(|why| EncryptError::File(FileError::Unreadable(why)))?;
    if document.metadata.is_some() {
        let there = BadMetadata::Field("mac", "is there already: the file is encrypted");
        return Err(EncryptError::File(FileError::Metadata(there)));
    }
    let key = DataKey::generate();
    let mut fields = fields(options, &key)?;
    let metadata = Metadata::read(&Value::Object(fields.clone()))
        .map_err(|why| EncryptError::File(FileError::Metadata(why)))?;
    let mut mac = Mac::new(options.mac_only_encrypted);
    let mut values = Vec::new();
    for leaf in &document.leaves {
        let is_due = is_due(leaf, &metadata);
        let place = place(&leaf.path);
        let encrypted = match &leaf.content {
            Content::Value(value) => {
                mac.add(value, is_due);
                key.encrypt(value, &place)
            }
            Content::Comment(text) => key.encrypt_comment(text, &place),
        };
        values.push(is_due.then(|| Scalar::Text(encrypted.into_bytes())));
    }
    let mac = Scalar::Text(mac.finish().into_bytes());
    fields.insert("mac".to_owned(), key.encrypt(&mac, &options.last_modified).into());
    let body = write(text, format, &document, &values).map_err(EncryptError::File)?;
    Ok(format.with_metadata(&body, &Value::Object(fields)).into_bytes())
}

/// All metadata but for the MAC.
fn fields(options: &Options, key: &DataKey) -> Result<Map<String, Value>, EncryptError> {
    let groups = sealed(&options.recipients, key).map_err(EncryptError::Recipient)?;
    let mut fields = Map::new();
    match <[Value; 1]>::try_from(groups) {
        Ok([group]) => fields.extend(group.as_object().cloned().unwrap_or_default()),
        Err(groups) => {
            fields.insert("shamir_threshold".to_owned(), groups.len().into());
            fields.insert("key_groups".to_owned(), groups.into());
        }
    }
    fields.insert("lastmodified".to_owned(), options.last_modified.clone().into());
    fields.insert("mac".to_owned(), "not yet".into());
    if let Some((rule, value)) = &options.rule {
        fields.insert((*rule).to_owned(), value.clone().into());
    }
    if options.mac_only_encrypted {
        fields.insert("mac_only_encrypted".to_owned(), true.into());
    }
    fields.insert("version".to_owned(), "3.10.2".into());
    Ok(fields)
}
