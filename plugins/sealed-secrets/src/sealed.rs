//! SealedSecrets, and the Secrets that they are.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use plumbline_plugin::{Error, Errors, Object};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use zeroize::Zeroizing;

use crate::keys::Keys;
use crate::template::{self, Unfilled, Values};

const API_VERSION: &str = "bitnami.com/v1alpha1";
const KIND: &str = "SealedSecret";
const CLUSTER_WIDE: &str = "sealedsecrets.bitnami.com/cluster-wide";
const NAMESPACE_WIDE: &str = "sealedsecrets.bitnami.com/namespace-wide";
/// Annotations that are about sealing, and mean nothing on a Secret that nobody unseals again.
const ABOUT_SEALING: &str = "sealedsecrets.bitnami.com/";

/// Where a value may be opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scope {
    /// Under one name in one namespace.
    Strict,
    /// Under any name in one namespace.
    Namespace,
    /// Anywhere.
    Cluster,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Spec {
    #[serde(default)]
    encrypted_data: Option<BTreeMap<String, String>>,
    /// The whole Secret as one value, as the first version had it.
    #[serde(default)]
    data: Option<String>,
    #[serde(default)]
    template: Option<Template>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Template {
    metadata: Metadata,
    #[serde(rename = "type")]
    kind: Option<String>,
    immutable: Option<bool>,
    /// Templates, into which values are put.
    data: Option<BTreeMap<String, String>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Metadata {
    labels: Option<BTreeMap<String, String>>,
    annotations: Option<BTreeMap<String, String>>,
    finalizers: Option<Vec<String>>,
}

/// Whether an object is a SealedSecret.
pub fn is_sealed(object: &Object) -> bool {
    object.is(API_VERSION, KIND)
}

/// The Secret that a SealedSecret is. `namespace` is that of one that names none.
///
/// # Errors
///
/// Every value that cannot be opened.
pub fn unseal(object: &Object, namespace: Option<&str>, keys: &Keys) -> Result<Object, Errors> {
    let place = object.namespace().or(namespace);
    let name = match place {
        Some(namespace) => format!("{KIND} {namespace}/{}", object.name()),
        None => format!("{KIND} {}", object.name()),
    };
    let wrong = |what: &str| Error::invalid(format!("{name} {what}")).file(object.file());
    let spec = object.get("/spec").cloned().unwrap_or_default();
    let spec = Spec::deserialize(spec)
        .map_err(|_| wrong("is not one that can be unsealed: its spec has another structure"))?;
    if spec.data.is_some() {
        return Err(Error::unsupported(format!(
            "{name} has the field spec.data of the first version, which is not supported"
        ))
        .file(object.file())
        .hint("Seal it again with kubeseal, which writes spec.encryptedData.")
        .into());
    }
    let template = spec.template.unwrap_or_default();
    let label = label(object, place).ok_or_else(|| {
        wrong("names no namespace, and was sealed for one")
            .hint("Set metadata.namespace, or `namespace` in `with` of the step.")
    })?;
    let (mut values, mut errors) = (Values::new(), Errors::default());
    for (key, value) in spec.encrypted_data.unwrap_or_default() {
        match open(&value, &label, keys) {
            Ok(plain) => {
                values.insert(key, plain);
            }
            Err(why) => errors.push(wrong(&format!("cannot be unsealed: the value of {key} {why}"))),
        }
    }
    let opened = errors.or(values)?;
    let (mut data, mut errors) = (encoded(&opened), Errors::default());
    for (key, text) in template.data.iter().flatten() {
        match template::fill(text, &opened) {
            // A template goes before a value with the same key.
            Ok(filled) => {
                data.insert(key.clone(), STANDARD.encode(filled.as_slice()).into());
            }
            Err(why) => {
                let what =
                    format!("cannot be unsealed: the entry {key} of spec.template.data {}", why.what());
                errors.push(match why {
                    Unfilled::Unsupported(_) => {
                        Error::unsupported(format!("{name} {what}")).file(object.file())
                    }
                    _ => wrong(&what),
                });
            }
        }
    }
    errors.or(())?;
    Ok(Object::new(secret(object, template, data))?)
}

fn open(value: &str, label: &str, keys: &Keys) -> Result<Zeroizing<Vec<u8>>, &'static str> {
    // Base64 in Go may go over several lines.
    let value = value.trim().replace(['\r', '\n'], "");
    let sealed = STANDARD.decode(value).map_err(|_| "is damaged: it is not Base64")?;
    keys.open(&sealed, label).map_err(|why| why.what())
}

/// Values as `data` of a Secret has them.
fn encoded(values: &Values) -> Map<String, Value> {
    values.iter().map(|(key, value)| (key.clone(), STANDARD.encode(value.as_slice()).into())).collect()
}

fn scope(object: &Object) -> Scope {
    let says = |annotation| object.annotation(annotation) == Some("true");
    if says(CLUSTER_WIDE) {
        Scope::Cluster
    } else if says(NAMESPACE_WIDE) {
        Scope::Namespace
    } else {
        Scope::Strict
    }
}

/// What values were sealed for; none when that is a namespace and nobody says which.
fn label(object: &Object, namespace: Option<&str>) -> Option<String> {
    Some(match scope(object) {
        Scope::Cluster => String::new(),
        Scope::Namespace => namespace?.to_owned(),
        Scope::Strict => format!("{}/{}", namespace?, object.name()),
    })
}

/// The Secret: its name is that of the SealedSecret, all else is of the template.
fn secret(object: &Object, template: Template, data: Map<String, Value>) -> Value {
    let Metadata { labels, annotations, finalizers } = template.metadata;
    let annotations = annotations.map(|annotations| {
        let kept = annotations.into_iter().filter(|(name, _)| !name.starts_with(ABOUT_SEALING));
        kept.collect::<BTreeMap<_, _>>()
    });
    let mut metadata = Map::from_iter([("name".to_owned(), Value::from(object.name()))]);
    let mut add =
        |field: &str, value: Option<Value>| metadata.extend(value.map(|value| (field.to_owned(), value)));
    add("namespace", object.namespace().map(Value::from));
    add("labels", labels.filter(|labels| !labels.is_empty()).map(|labels| json!(labels)));
    add(
        "annotations",
        annotations.filter(|annotations| !annotations.is_empty()).map(|annotations| json!(annotations)),
    );
    add(
        "finalizers",
        finalizers.filter(|finalizers| !finalizers.is_empty()).map(|finalizers| json!(finalizers)),
    );
    let mut secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "data": data});
    if let Some(kind) = template.kind.filter(|kind| !kind.is_empty()) {
        secret["type"] = kind.into();
    }
    if let Some(immutable) = template.immutable {
        secret["immutable"] = immutable.into();
    }
    secret
}

#[cfg(test)]
mod tests;
