//! Objects in files of YAML documents.

use anyhow::Context as _;
use plumb_api::Kustomization;
use serde::Deserialize as _;
use serde_json::Value;

/// The documents of a text that are not empty.
pub(crate) fn documents(text: &str) -> anyhow::Result<Vec<Value>> {
    let read = |(index, document)| {
        // What is wrong with it may be a Secret: the place has to do.
        Value::deserialize(document).map_err(|_| anyhow::anyhow!("document {} is not YAML", index + 1))
    };
    let documents: Vec<Value> =
        serde_yaml::Deserializer::from_str(text).enumerate().map(read).collect::<Result<_, _>>()?;
    Ok(documents.into_iter().filter(|document| !document.is_null()).collect())
}

/// Every Flux Kustomization among the documents of a text; other objects are passed over.
pub(crate) fn kustomizations(text: &str) -> anyhow::Result<Vec<Kustomization>> {
    let mut found = Vec::new();
    for (index, document) in serde_yaml::Deserializer::from_str(text).enumerate() {
        let value =
            Value::deserialize(document).with_context(|| format!("document {} is not YAML", index + 1))?;
        let is = |field: &str, wanted: &str| value.get(field).and_then(Value::as_str) == Some(wanted);
        if is("kind", "Kustomization") && is("apiVersion", "kustomize.toolkit.fluxcd.io/v1") {
            let object = serde_json::from_value(value)
                .with_context(|| format!("the Kustomization in document {} is wrong", index + 1))?;
            found.push(object);
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    const SOURCE: &str =
        "apiVersion: source.toolkit.fluxcd.io/v1\nkind: GitRepository\nmetadata: {name: a}\n";

    #[test]
    fn other_objects_are_passed_over() {
        let text = format!(
            "{SOURCE}---\napiVersion: kustomize.toolkit.fluxcd.io/v1\nkind: Kustomization\nmetadata: {{name: apps}}\n\
             spec: {{interval: 5m, prune: true, sourceRef: {{kind: GitRepository, name: a}}}}\n"
        );
        let found = kustomizations(&text).unwrap();
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].metadata.name.as_deref(), Some("apps"));
        assert!(kustomizations(SOURCE).unwrap().is_empty());
    }

    #[test]
    fn a_wrong_kustomization_is_an_error_that_names_the_field() {
        let text = "apiVersion: kustomize.toolkit.fluxcd.io/v1\nkind: Kustomization\nmetadata: {name: a}\nspec: {interval: 5m}\n";
        let error = format!("{:#}", kustomizations(text).unwrap_err());
        assert!(error.contains("document 1") && error.contains("missing field"), "{error}");
    }
}
