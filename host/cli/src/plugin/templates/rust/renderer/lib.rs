//! Makes a ConfigMap of the files in a directory.

use plumbline_plugin::{Errors, Object, Tree, renderer};
use serde::Deserialize;
use serde_json::json;

/// What a step says under `with:`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Parameters {
    /// The directory to render, which the host adds where the step says none.
    path: String,
    /// The name of the ConfigMap.
    name: String,
}

fn render(tree: &Tree<'_>, parameters: Parameters) -> Result<Vec<Object>, Errors> {
    let mut object = Object::new(
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": parameters.name}, "data": {}}),
    )?;
    for file in tree.files(&parameters.path)? {
        let key = file.rsplit('/').next().unwrap_or_default();
        object.set(&format!("/data/{key}"), tree.read_text(&file)?);
    }
    Ok(vec![object])
}

renderer!(render);
