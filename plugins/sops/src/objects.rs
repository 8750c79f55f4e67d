//! Objects that are encrypted.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use plumbline_plugin::{Error, Errors, Object};
use serde_json::{Map, Value};

use crate::cipher::{DataKey, Scalar, Undecryptable, is_encrypted};
use crate::document;
use crate::format::Format;
use crate::keys::Keyring;
use crate::metadata::{FIELD, Metadata};

/// Says of an object that it stays as it is.
const DECRYPT: &str = "kustomize.toolkit.fluxcd.io/decrypt";
/// What it says.
const DISABLED: &str = "disabled";
/// How deeply values may be nested.
const DEEPEST: usize = 128;

/// Decrypts all objects that are encrypted.
///
/// The MAC of an object is not looked at: it is over the file in the order of its lines, and kustomize has changed the one and the other. Each value
/// is authenticated by itself, with its place.
///
/// # Errors
///
/// Every object that cannot be decrypted.
pub fn decrypt(objects: Vec<Object>, keys: &Keyring) -> Result<Vec<Object>, Errors> {
    let (mut decrypted, mut errors) = (Vec::new(), Errors::default());
    for object in objects {
        match decrypt_one(object, keys) {
            Ok(object) => decrypted.push(object),
            Err(wrong) => errors.extend(wrong),
        }
    }
    errors.or(decrypted)
}

/// Whether an object asks to stay as it is.
fn is_disabled(object: &Object) -> bool {
    object.annotation(DECRYPT).is_some_and(|value| value.eq_ignore_ascii_case(DISABLED))
}

fn decrypt_one(object: Object, keys: &Keyring) -> Result<Object, Errors> {
    if is_disabled(&object) {
        return Ok(object);
    }
    let name = name(&object);
    let mut fields = object.into_value();
    let metadata = fields.get(FIELD).filter(|metadata| metadata.get("mac").is_some());
    let Some(metadata) = metadata.cloned() else {
        decrypt_files(&mut fields, &name, keys)?;
        refuse_encrypted(&fields, &name)?;
        return Ok(Object::new(fields)?);
    };
    let metadata = Metadata::read(&metadata)
        .map_err(|bad| Error::invalid(format!("{name} cannot be decrypted: {bad}")))?;
    let key = keys.open(&metadata).map_err(|locked| {
        Error::invalid(format!("{name} cannot be decrypted: {locked}"))
            .hint("Hand over a key that it is encrypted for, or encrypt it for one that is handed over.")
    })?;
    if let Some(fields) = fields.as_object_mut() {
        fields.remove(FIELD);
    }
    let mut walk =
        Walk { metadata: &metadata, key: &key, path: Vec::new(), errors: Errors::default(), name: &name };
    walk.value(&mut fields);
    walk.errors.or(())?;
    Ok(Object::new(fields)?)
}

/// `Secret shop/database`.
fn name(object: &Object) -> String {
    match object.namespace() {
        Some(namespace) => format!("{} {namespace}/{}", object.kind(), object.name()),
        None => format!("{} {}", object.kind(), object.name()),
    }
}

/// Decrypts what of the data of a Secret is a file that SOPS has encrypted, as a generator of kustomize puts it there.
fn decrypt_files(fields: &mut Value, name: &str, keys: &Keyring) -> Result<(), Errors> {
    if fields["kind"] != "Secret" || fields["apiVersion"] != "v1" {
        return Ok(());
    }
    let mut errors = Errors::default();
    for (key, value) in fields.get_mut("data").and_then(Value::as_object_mut).into_iter().flatten() {
        // What is no Base64 is for the API server to tell.
        let Some(bytes) = value.as_str().and_then(|text| STANDARD.decode(text).ok()) else { continue };
        if let Ok(text) = std::str::from_utf8(&bytes)
            && is_encrypted(text.trim_end())
        {
            errors.push(Error::invalid(format!(
                "{name}: data.{key} is a single value that SOPS has encrypted, out of the file that it is from"
            )));
        }
        let Some(format) = Format::of_file(key, &bytes) else { continue };
        match document::decrypt(&bytes, format, keys) {
            Ok(plain) => *value = STANDARD.encode(plain).into(),
            Err(wrong) => {
                errors.push(Error::invalid(format!("{name}: data.{key} cannot be decrypted: {wrong}")))
            }
        }
    }
    errors.or(())
}

/// Refuses values that are encrypted and that nothing says how to decrypt: they would be applied as they are.
fn refuse_encrypted(fields: &Value, name: &str) -> Result<(), Errors> {
    match first_encrypted(fields, DEEPEST) {
        None => Ok(()),
        Some(path) => Err(Error::invalid(format!(
            "{name} has a value that SOPS has encrypted, {path}, and no `sops.mac`: it was taken out, or the value comes from another file"
        ))
        .hint(format!(
            "Encrypt the file again. If the object is to keep the value as it is, annotate it with {DECRYPT}: {DISABLED}."
        ))
        .into()),
    }
}

fn first_encrypted(value: &Value, depth: usize) -> Option<String> {
    let depth = depth.checked_sub(1)?;
    let below = |name: String, rest: String| if rest.is_empty() { name } else { format!("{name}.{rest}") };
    match value {
        Value::String(text) => is_encrypted(text).then(String::new),
        Value::Array(items) => items
            .iter()
            .enumerate()
            .find_map(|(index, item)| Some(below(index.to_string(), first_encrypted(item, depth)?))),
        Value::Object(fields) => {
            fields.iter().find_map(|(name, value)| Some(below(name.clone(), first_encrypted(value, depth)?)))
        }
        _ => None,
    }
}

struct Walk<'a> {
    metadata: &'a Metadata,
    key: &'a DataKey,
    /// The names that lead to the value.
    path: Vec<String>,
    errors: Errors,
    name: &'a str,
}

impl Walk<'_> {
    fn value(&mut self, value: &mut Value) {
        match value {
            Value::Null => {}
            Value::Object(fields) => self.fields(fields),
            Value::Array(items) => items.iter_mut().for_each(|item| self.value(item)),
            Value::String(text) => match self.text(text) {
                Ok(Some(decrypted)) => *value = decrypted,
                Ok(None) => {}
                Err(why) => self.wrong(why),
            },
            Value::Bool(_) | Value::Number(_) => {
                if self.must_be_encrypted() {
                    self.wrong(Undecryptable::NotEncrypted);
                }
            }
        }
    }

    fn fields(&mut self, fields: &mut Map<String, Value>) {
        for (name, value) in fields {
            self.path.push(name.clone());
            self.value(value);
            self.path.pop();
        }
    }

    /// Whether the rule of the file says so. Comments are not here any more: of files that go by them, what is encrypted is decrypted.
    fn must_be_encrypted(&self) -> bool {
        let path: Vec<&str> = self.path.iter().map(String::as_str).collect();
        self.metadata.rule.is_by_name() && self.metadata.rule.encrypts(&path, [])
    }

    fn text(&self, text: &str) -> Result<Option<Value>, Undecryptable> {
        let is_due = match self.metadata.rule.is_by_name() {
            true => self.must_be_encrypted(),
            false => is_encrypted(text),
        };
        if !is_due {
            return Ok(None);
        }
        json(self.key.decrypt(text, &document::place(&self.path))?).map(Some)
    }

    fn wrong(&mut self, why: Undecryptable) {
        let (name, path) = (self.name, self.path.join("."));
        self.errors.push(Error::invalid(format!("{name}: the value of {path} {}", why.what())));
    }
}

fn json(scalar: Scalar) -> Result<Value, Undecryptable> {
    Ok(match scalar {
        Scalar::Text(text) => Value::String(String::from_utf8(text).map_err(|_| Undecryptable::Type)?),
        Scalar::Integer(number) => Value::from(number),
        Scalar::Float(number) => Value::from(number),
        Scalar::Bool(truth) => Value::Bool(truth),
        Scalar::Time(time) => Value::String(time),
    })
}

#[cfg(test)]
mod tests;
