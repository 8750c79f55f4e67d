//! Objects in files of YAML documents.

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
