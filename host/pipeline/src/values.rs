//! ConfigMaps and Secrets, as steps use them.

use std::collections::{BTreeMap, HashMap};

use plumb_api::{NamedSecret, ParameterSource, Sensitive, ValuesKind};
use serde_json::{Map, Value};

use crate::{InputName, Keys};

/// The bytes of a ConfigMap or a Secret, by key.
pub type Data = BTreeMap<String, Sensitive<Vec<u8>>>;

/// The ConfigMaps and Secrets of a namespace, as far as somebody has fetched them. What is not here does not exist.
#[derive(Clone, Default)]
pub struct Values {
    objects: HashMap<(ValuesKind, String), Data>,
    operator_keys: Data,
}

/// How the keys of age end that the operator may give to all.
const AGE_KEY: &str = ".agekey";

impl Values {
    /// Adds an object that exists.
    pub fn insert(&mut self, kind: ValuesKind, name: impl Into<String>, data: Data) {
        self.objects.insert((kind, name.into()), data);
    }

    /// Adds what the operator gives to those who name no keys. Only keys of age are taken: credentials are not handed to everybody.
    pub fn insert_operator_keys(&mut self, data: &Data) {
        let keys = data.iter().filter(|(name, _)| name.ends_with(AGE_KEY));
        self.operator_keys.extend(keys.map(|(name, key)| (name.clone(), key.clone())));
    }

    /// The object, if it exists.
    pub fn get(&self, input: InputName<'_>) -> Option<&Data> {
        self.objects.get(&(input.kind(), input.name.to_owned()))
    }

    /// The keys that decrypt, by their names.
    pub(crate) fn keys(&self, keys: &Keys) -> Result<&Data, ValueError> {
        match keys {
            Keys::OfOperator => Ok(&self.operator_keys),
            Keys::Secret(name) => self
                .get(InputName::new(ValuesKind::Secret, name))
                .ok_or_else(|| ValueError::NoKeys { name: name.clone() }),
        }
    }
}

/// Why a value cannot be used. No message has anything of a value in it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ValueError {
    /// The object does not exist, and is not optional.
    #[error("{kind:?} {name} does not exist; create it, or set optional: true")]
    NoObject {
        /// Its kind.
        kind: ValuesKind,
        /// Its name.
        name: String,
    },
    /// The Secret with the keys that decrypt does not exist.
    #[error(
        "Secret {name} does not exist; create it with the keys, for example with a key of age under identity.agekey"
    )]
    NoKeys {
        /// Its name.
        name: String,
    },
    /// The object has no such key, and that is not optional.
    #[error("{kind:?} {name} has no key {key:?}; add it, or set optional: true")]
    NoKey {
        /// The kind of the object.
        kind: ValuesKind,
        /// Its name.
        name: String,
        /// The key.
        key: String,
    },
    /// A value is not text.
    #[error("{kind:?} {name}: the value of {key:?} is not text in UTF-8")]
    NotText {
        /// The kind of the object.
        kind: ValuesKind,
        /// Its name.
        name: String,
        /// The key.
        key: String,
    },
    /// The place in the parameters is not a JSON Pointer.
    #[error("{0:?} is not a JSON Pointer (RFC 6901): it starts with / and writes ~ as ~0 and / as ~1")]
    NotAPointer(String),
    /// The way to the place leads through something that is neither an object nor an entry of a list.
    #[error("nothing can be put at {to}: {at} is {found}")]
    NoPlace {
        /// The whole pointer.
        to: String,
        /// Up to where it could be followed.
        at: String,
        /// What is there.
        found: &'static str,
    },
}

/// The values of an object that are text. Those of a Secret have to be; a ConfigMap says itself which are not, and they are left out.
pub(crate) fn texts(
    data: &Data,
    kind: ValuesKind,
    name: &str,
) -> Result<BTreeMap<String, Sensitive<String>>, ValueError> {
    let mut texts = BTreeMap::new();
    for (key, value) in data {
        match std::str::from_utf8(value.expose()) {
            Ok(text) => {
                texts.insert(key.clone(), Sensitive::new(text.to_owned()));
            }
            Err(_) if kind == ValuesKind::ConfigMap => {}
            Err(_) => {
                return Err(ValueError::NotText { kind, name: name.to_owned(), key: key.clone() });
            }
        }
    }
    Ok(texts)
}

/// The parameters of a step: `with`, and what `with_from` puts into it, one after the other.
pub(crate) fn parameters(
    with: &Map<String, Value>,
    with_from: &[ParameterSource],
    values: &Values,
) -> Result<Value, Vec<ValueError>> {
    let (mut parameters, mut errors) = (Value::Object(with.clone()), Vec::new());
    for source in with_from {
        if let Err(error) = put_source(&mut parameters, source, values) {
            errors.push(error);
        }
    }
    if errors.is_empty() { Ok(parameters) } else { Err(errors) }
}

fn put_source(parameters: &mut Value, source: &ParameterSource, values: &Values) -> Result<(), ValueError> {
    let ParameterSource { kind, name, key, to, optional } = source;
    let Some(data) = values.get(InputName::new(*kind, name)) else {
        let missing = ValueError::NoObject { kind: *kind, name: name.clone() };
        return if *optional { Ok(()) } else { Err(missing) };
    };
    let Some(key) = key else {
        let texts = texts(data, *kind, name)?;
        let all =
            texts.iter().map(|(key, value)| (key.clone(), Value::from(value.expose().as_str()))).collect();
        return put(parameters, to.as_deref().unwrap_or_default(), Value::Object(all));
    };
    let to = to.clone().unwrap_or_else(|| format!("/{}", key.replace('~', "~0").replace('/', "~1")));
    match data.get(key) {
        Some(value) => match std::str::from_utf8(value.expose()) {
            Ok(text) => put(parameters, &to, Value::from(text)),
            Err(_) => Err(ValueError::NotText { kind: *kind, name: name.clone(), key: key.clone() }),
        },
        None if *optional => Ok(()),
        None => Err(ValueError::NoKey { kind: *kind, name: name.clone(), key: key.clone() }),
    }
}

/// Whether a text is a JSON Pointer.
pub(crate) fn check_pointer(to: &str) -> Result<(), ValueError> {
    let mut rest = to.split('~').skip(1);
    let is_pointer = (to.is_empty() || to.starts_with('/')) && rest.all(|part| part.starts_with(['0', '1']));
    if is_pointer { Ok(()) } else { Err(ValueError::NotAPointer(to.to_owned())) }
}

/// Puts a value at a JSON Pointer. Objects on the way are made; an object is merged with one that is there; `-` adds to a list.
fn put(root: &mut Value, to: &str, value: Value) -> Result<(), ValueError> {
    check_pointer(to)?;
    let (mut place, mut at) = (root, String::new());
    for part in to.split('/').skip(1) {
        let name = part.replace("~1", "/").replace("~0", "~");
        let no_place = |found: &'static str| ValueError::NoPlace {
            to: to.to_owned(),
            at: if at.is_empty() { "the whole".to_owned() } else { at.clone() },
            found,
        };
        place = match place {
            Value::Object(fields) => fields.entry(name).or_insert_with(|| Value::Object(Map::new())),
            Value::Array(items) => {
                if name == "-" {
                    items.push(Value::Object(Map::new()));
                }
                let index = if name == "-" { Some(items.len() - 1) } else { name.parse::<usize>().ok() };
                match index.and_then(|index| items.get_mut(index)) {
                    Some(item) => item,
                    None => return Err(no_place("a list that has no such entry")),
                }
            }
            Value::Null => return Err(no_place("null")),
            Value::Bool(_) => return Err(no_place("true or false")),
            Value::Number(_) => return Err(no_place("a number")),
            Value::String(_) => return Err(no_place("text")),
        };
        at = format!("{at}/{part}");
    }
    match (place, value) {
        (Value::Object(fields), Value::Object(more)) => fields.extend(more),
        (place, value) => *place = value,
    }
    Ok(())
}

/// The values that a step hands to its plugin by name.
///
/// # Errors
///
/// When a Secret or a key does not exist: every one of them.
pub fn secrets(
    named: &[NamedSecret],
    values: &Values,
) -> Result<BTreeMap<String, Sensitive<Vec<u8>>>, Vec<ValueError>> {
    let (mut secrets, mut errors) = (BTreeMap::new(), Vec::new());
    for secret in named {
        let (kind, name) = (ValuesKind::Secret, &secret.secret_ref.name);
        let key = secret.key();
        match values.get(InputName::new(kind, name)).map(|data| data.get(key)) {
            Some(Some(value)) => {
                secrets.insert(secret.name.clone(), value.clone());
            }
            Some(None) => errors.push(ValueError::NoKey { kind, name: name.clone(), key: key.to_owned() }),
            None => errors.push(ValueError::NoObject { kind, name: name.clone() }),
        }
    }
    if errors.is_empty() { Ok(secrets) } else { Err(errors) }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use rstest::rstest;
    use serde_json::json;

    use super::*;

    fn values() -> Values {
        let data = |entries: &[(&str, &[u8])]| -> Data {
            entries.iter().map(|(key, value)| ((*key).to_owned(), Sensitive::new(value.to_vec()))).collect()
        };
        let mut values = Values::default();
        values.insert(ValuesKind::ConfigMap, "settings", data(&[("tier", b"web"), ("a/b", b"c")]));
        values.insert(ValuesKind::ConfigMap, "mixed", data(&[("text", b"x"), ("bytes", b"\xff")]));
        values.insert(ValuesKind::Secret, "keys", data(&[("token", b"hunter2"), ("bytes", b"\xff")]));
        values
    }

    fn made(with: Value, from: &str) -> Result<Value, Vec<String>> {
        let from: Vec<ParameterSource> = serde_yaml::from_str(&format!("[{from}]")).unwrap();
        let made = parameters(with.as_object().unwrap(), &from, &values());
        made.map_err(|errors| errors.iter().map(ToString::to_string).collect())
    }

    #[rstest]
    #[case::a_field_called_like_the_key("{kind: ConfigMap, name: settings, key: tier}", json!({"labels": {"a": "b"}, "tier": "web"}))]
    #[case::at_a_pointer("{kind: ConfigMap, name: settings, key: tier, to: /labels/a}", json!({"labels": {"a": "web"}}))]
    #[case::ways_are_made("{kind: ConfigMap, name: settings, key: tier, to: /x/y~1z}", json!({"labels": {"a": "b"}, "x": {"y/z": "web"}}))]
    #[case::a_key_with_a_slash("{kind: ConfigMap, name: settings, key: a/b}", json!({"labels": {"a": "b"}, "a/b": "c"}))]
    #[case::all_at_the_top("{kind: ConfigMap, name: mixed}", json!({"labels": {"a": "b"}, "text": "x"}))]
    #[case::all_merged("{kind: ConfigMap, name: settings, to: /labels}", json!({"labels": {"a": "b", "tier": "web", "a/b": "c"}}))]
    #[case::optional("{kind: Secret, name: none, optional: true}, {kind: Secret, name: keys, key: none, optional: true}", json!({"labels": {"a": "b"}}))]
    #[case::the_later_goes_before("{kind: Secret, name: keys, key: token, to: /t}, {kind: ConfigMap, name: settings, key: tier, to: /t}", json!({"labels": {"a": "b"}, "t": "web"}))]
    fn values_are_put_into_the_parameters(#[case] from: &str, #[case] expected: Value) {
        assert_eq!(made(json!({"labels": {"a": "b"}}), from), Ok(expected));
    }

    #[rstest]
    #[case("/list/1", json!(["a", "web", "c"]))]
    #[case("/list/-", json!(["a", "b", "c", "web"]))]
    fn entries_of_lists_are_replaced_and_added(#[case] to: &str, #[case] expected: Value) {
        let from = format!("{{kind: ConfigMap, name: settings, key: tier, to: {to}}}");
        assert_eq!(made(json!({"list": ["a", "b", "c"]}), &from), Ok(json!({ "list": expected })));
    }

    /// Every mistake is told, and none with a value.
    #[test]
    fn what_cannot_be_put_in_is_told_without_the_value() {
        let from = "{kind: ConfigMap, name: none}, {kind: Secret, name: keys, key: none}, {kind: Secret, name: keys}, \
            {kind: Secret, name: keys, key: bytes}, {kind: Secret, name: keys, key: token, to: /labels/a/b}, \
            {kind: Secret, name: keys, key: token, to: /list/7}, {kind: Secret, name: keys, key: token, to: /a~b}";
        insta::assert_snapshot!(made(json!({"labels": {"a": "b"}, "list": []}), from).unwrap_err().join("\n"), @r#"
        ConfigMap none does not exist; create it, or set optional: true
        Secret keys has no key "none"; add it, or set optional: true
        Secret keys: the value of "bytes" is not text in UTF-8
        Secret keys: the value of "bytes" is not text in UTF-8
        nothing can be put at /labels/a/b: /labels/a is text
        nothing can be put at /list/7: /list is a list that has no such entry
        "/a~b" is not a JSON Pointer (RFC 6901): it starts with / and writes ~ as ~0 and / as ~1
        "#);
    }
}
