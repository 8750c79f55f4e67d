//! Keeps the values of Secrets from plugins that could send them away.
//!
//! A step may come after one that has decrypted Secrets. One that may send requests gets tokens in place of their values, and what it returns has
//! the values put back: in Secrets, under whatever name, and nowhere else.

use std::collections::HashMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use plumb_api::Object;
use serde_json::Value;

/// The values that were taken out, by what stands in their place.
#[derive(Default)]
pub(crate) struct Withheld(HashMap<String, Value>);

impl Withheld {
    /// Takes the values out of all Secrets.
    pub(crate) fn take(objects: &[Object]) -> (Vec<Object>, Self) {
        let mut withheld = Self::default();
        let objects = objects.iter().map(|object| changed(object, |value| withheld.hide(value))).collect();
        (objects, withheld)
    }

    /// Puts the values back into Secrets.
    pub(crate) fn put_back(&self, objects: Vec<Object>) -> Vec<Object> {
        if self.0.is_empty() {
            return objects;
        }
        let back = |value: &mut Value| {
            if let Some(was) = value.as_str().and_then(|token| self.0.get(token)) {
                *value = was.clone();
            }
        };
        objects.iter().map(|object| changed(object, back)).collect()
    }

    fn hide(&mut self, value: &mut Value) {
        if value.as_str().is_some_and(is_encrypted) {
            return;
        }
        // In Base64, so that it is a value that a Secret can have.
        let token = STANDARD.encode(format!("withheld {}", self.0.len()));
        let was = std::mem::replace(value, Value::from(token.clone()));
        self.0.insert(token, was);
    }
}

/// Whether SOPS has encrypted a value, or the file that it is in Base64: whoever decrypts may have to ask a server for the key, and it is no secret.
fn is_encrypted(value: &str) -> bool {
    let is_one = |text: &str| text.starts_with("ENC[AES256_GCM,") && text.ends_with(']');
    let has = |bytes: &[u8], text: &str| bytes.windows(text.len()).any(|part| part == text.as_bytes());
    let file = || STANDARD.decode(value).ok();
    is_one(value) || file().is_some_and(|file| has(&file, "ENC[AES256_GCM,") && has(&file, "sops"))
}

/// The object, with each value changed if it is a Secret.
fn changed(object: &Object, mut change: impl FnMut(&mut Value)) -> Object {
    if object.api_version() != "v1" || object.kind() != "Secret" {
        return object.clone();
    }
    let mut fields = object.clone().into_value();
    for field in ["data", "stringData"] {
        let values = fields.get_mut(field).and_then(Value::as_object_mut);
        values.into_iter().flat_map(|values| values.values_mut()).for_each(&mut change);
    }
    // Its name and type are as they were.
    Object::new(fields).unwrap_or_else(|_| object.clone())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use serde_json::json;

    use super::*;

    fn object(kind: &str, name: &str, data: Value) -> Object {
        let mut object = json!({"apiVersion": "v1", "kind": kind, "metadata": {"name": name}});
        object.as_object_mut().unwrap().extend(data.as_object().unwrap().clone());
        Object::new(object).unwrap()
    }

    // Attack 18 (Secrets): a decrypted Secret is handed to a later plugin that has no grant for it.
    #[test]
    fn values_are_seen_by_nobody_and_are_back_in_secrets_only() {
        let secret =
            object("Secret", "a", json!({"data": {"k": "aHVudGVyMg=="}, "stringData": {"l": "hunter2"}}));
        let config = object("ConfigMap", "b", json!({"data": {"k": "plain"}}));
        let (seen, withheld) = Withheld::take(&[secret.clone(), config.clone()]);
        let text = serde_json::to_string(&seen).unwrap();
        assert!(!text.contains("hunter2") && !text.contains("aHVudGVyMg=="), "{text}");
        assert_eq!(seen[1], config);
        assert_eq!(withheld.put_back(seen.clone()), [secret.clone(), config.clone()]);

        let token = seen[0].pointer("/data/k").unwrap().clone();
        let encrypted = object(
            "Secret",
            "e",
            json!({"data": {"f": STANDARD.encode("A=ENC[AES256_GCM,data:x]\nsops_mac=ENC[AES256_GCM,data:x]\n")},
                "stringData": {"k": "ENC[AES256_GCM,data:x,iv:y,tag:z,type:str]", "l": "ENC[AES256_GCM, hunter2"}}),
        );
        let (seen, _) = Withheld::take(std::slice::from_ref(&encrypted));
        assert_eq!(seen[0].pointer("/data"), encrypted.pointer("/data"));
        assert_eq!(seen[0].pointer("/stringData/k"), encrypted.pointer("/stringData/k"));
        assert_ne!(seen[0].pointer("/stringData/l"), encrypted.pointer("/stringData/l"));

        let moved = object("ConfigMap", "c", json!({"data": {"k": token}}));
        let renamed = object("Secret", "d", json!({"data": {"k": token, "new": "bmV3"}}));
        let back = withheld.put_back(vec![moved.clone(), renamed]);
        assert_eq!(back[0], moved);
        assert_eq!(back[1], object("Secret", "d", json!({"data": {"k": "aHVudGVyMg==", "new": "bmV3"}})));
    }
}
