//! Secrets that are in Git as they are. Only the names of their keys are ever told.

use base64::Engine as _;
use plumb_api::Object;
use serde_json::{Map, Value};

use crate::Rule;
use crate::finding::{Finding, Problem, object_name};
use crate::kustomization::switches_off;

/// What SOPS puts around an encrypted value (<https://getsops.io/docs>).
const ENCRYPTED: &str = "ENC[";
/// How many keys a message names.
const NAMED: usize = 5;

/// Looks for plain Secrets in rendered objects: those that a generator of kustomize makes are in no file.
pub fn lint_rendered(objects: &[Object]) -> Vec<Finding> {
    let lint = |object: &Object| {
        let value = Value::Object(object.fields().clone());
        let name = object_name("Secret", object.namespace(), object.name());
        Some(problem(&value)?.of(name, None))
    };
    objects.iter().filter_map(lint).collect()
}

/// What is wrong with an object, if it is a Secret whose values can be read.
pub(crate) fn problem(object: &Value) -> Option<Problem> {
    let is = |field: &str, wanted: &str| object.get(field).and_then(Value::as_str) == Some(wanted);
    if !is("kind", "Secret") || !is("apiVersion", "v1") {
        return None;
    }
    let ignored =
        object.pointer("/metadata/annotations").and_then(|all| all.get(crate::LINT_IGNORE)?.as_str());
    if switches_off(ignored, Rule::PlainSecret) {
        return None;
    }
    let values = |field: &str| object.get(field).and_then(Value::as_object);
    let plain: Vec<String> =
        ["data", "stringData"].into_iter().flat_map(|field| plain_keys(field, values(field))).collect();
    let field: &[&str] = match plain.first()?.starts_with("data.") {
        true => &["data"],
        false => &["stringData"],
    };
    let message = match object.get("sops").is_some() {
        true => format!(
            "it is encrypted by SOPS, but not all of it: {} can be read by anybody who can read the repository",
            list(&plain)
        ),
        false => format!(
            "it is not encrypted: {} can be read by anybody who can read the repository",
            list(&plain)
        ),
    };
    Some(Problem::new(Rule::PlainSecret, field, message))
}

fn plain_keys(field: &str, values: Option<&Map<String, Value>>) -> Vec<String> {
    let is_plain = |value: &Value| match value {
        Value::String(text) => !text.is_empty() && !is_encrypted(text) && !is_variable(text),
        Value::Null => false,
        _ => true,
    };
    let plain = values.into_iter().flatten().filter(|(_, value)| is_plain(value));
    plain.map(|(key, _)| format!("{field}.{key}")).collect()
}

/// Whether a value is encrypted by itself, or is, in base64, a file that is.
fn is_encrypted(text: &str) -> bool {
    let decoded = || base64::engine::general_purpose::STANDARD.decode(text.trim()).ok();
    text.starts_with(ENCRYPTED) || decoded().is_some_and(|bytes| is_encrypted_file(&bytes))
}

/// A variable that is put in later, from a Secret of the cluster.
fn is_variable(text: &str) -> bool {
    text.starts_with("${") && text.ends_with('}')
}

/// Whether SOPS has encrypted a file: every format that it writes has encrypted values and a checksum.
pub(crate) fn is_encrypted_file(bytes: &[u8]) -> bool {
    let has = |text: &str| bytes.windows(text.len()).any(|part| part == text.as_bytes());
    has("ENC[AES256_GCM,") && has("sops")
}

/// What is wrong with a `kustomization.yaml` that makes Secrets. `read` gives the bytes of a file beside it.
pub(crate) fn generators(object: &Value, read: impl Fn(&str) -> Option<Vec<u8>>) -> Vec<(String, Problem)> {
    let generators = object.get("secretGenerator").and_then(Value::as_array);
    let mut found = Vec::new();
    for generator in generators.into_iter().flatten() {
        let texts = |field: &str| {
            let list = generator.get(field).and_then(Value::as_array).into_iter().flatten();
            let one = generator.get(field).and_then(Value::as_str).into_iter().map(str::to_owned);
            list.filter_map(|value| Some(value.as_str()?.to_owned())).chain(one).collect::<Vec<_>>()
        };
        let literals = texts("literals").into_iter().filter_map(|literal| {
            let (key, value) = literal.split_once('=')?;
            (!value.is_empty() && !is_variable(value)).then(|| format!("the literal {key}"))
        });
        let files = ["files", "envs", "env"].into_iter().flat_map(texts).filter_map(|file| {
            let path = file.split_once('=').map_or(file.as_str(), |(_, path)| path);
            let bytes = read(path)?;
            (!bytes.is_empty() && !is_encrypted_file(&bytes)).then(|| format!("the file {path}"))
        });
        let plain: Vec<String> = literals.chain(files).collect();
        if !plain.is_empty() {
            let name = generator.get("name").and_then(Value::as_str).unwrap_or("(without a name)");
            let namespace = generator.get("namespace").and_then(Value::as_str);
            let message = format!(
                "secretGenerator makes it of what is not encrypted: {} can be read by anybody who can read the repository",
                list(&plain)
            );
            let problem = Problem::new(Rule::PlainSecret, &["secretGenerator"], message);
            found.push((object_name("Secret", namespace, name), problem));
        }
    }
    found
}

fn list(names: &[String]) -> String {
    let named = names.iter().take(NAMED).cloned().collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(NAMED) {
        0 => named,
        more => format!("{named} and {more} more"),
    }
}
