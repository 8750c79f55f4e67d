//! The values of a chart, put together from files: each over the one before, key by key.

use plumb_tree::{NodeKind, TreeError, View};
use serde_json::{Map, Value};

use crate::helm::{ChartError, metadata};

/// The files that take the place of the chart's own values. As in Flux, the chart's own file alone is no other.
pub fn replacing_values(files: &[String]) -> &[String] {
    match files {
        [file] if matches!(file.as_str(), "values.yaml" | "./values.yaml") => &[],
        files => files,
    }
}

/// What came of it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Merged {
    /// The new `values.yaml`, as JSON: which is YAML that nobody can read in two ways.
    pub(crate) yaml: Vec<u8>,
    /// The files that were there.
    pub(crate) files: Vec<String>,
}

/// Merges files of a tree. Paths are relative to `root`, which links may not lead out of.
pub(crate) fn merge(
    view: &View,
    root: &str,
    paths: &[String],
    ignores_missing: bool,
) -> Result<Merged, ChartError> {
    let (mut merged, mut files) = (Map::new(), Vec::new());
    for path in paths {
        let failed = |reason: String| ChartError::Values { path: path.clone(), reason };
        let bytes = match read(view, root, path) {
            Ok(bytes) => bytes,
            Err(TreeError::NotFound(_)) if ignores_missing => continue,
            Err(TreeError::NotFound(_)) => {
                return Err(failed(
                    "does not exist; add it, or set spec.ignoreMissingValuesFiles".to_owned(),
                ));
            }
            Err(error) => return Err(failed(format!("cannot be read: {error}"))),
        };
        over(&mut merged, metadata::values(&bytes).map_err(failed)?);
        files.push(path.clone());
    }
    let yaml = serde_json::to_vec_pretty(&Value::Object(merged))
        .map_err(|error| ChartError::Values { path: paths.join(", "), reason: error.to_string() })?;
    Ok(Merged { yaml, files })
}

fn read(view: &View, root: &str, path: &str) -> Result<Vec<u8>, TreeError> {
    // A path never leads above where it is relative to, even if that is not the root of the tree.
    let path = plumb_tree::TreePath::new(path)?;
    let path = format!("{root}/{path}");
    match view.stat(&path)?.kind {
        NodeKind::File => view.read(&path),
        NodeKind::Directory => Err(TreeError::IsADirectory(path)),
        NodeKind::Opaque => Err(TreeError::NotFound(path)),
    }
}

/// As Helm lays one set of values over another: mappings are merged, everything else is replaced.
fn over(below: &mut Map<String, Value>, above: Map<String, Value>) {
    for (key, value) in above {
        match (below.get_mut(&key), value) {
            (Some(Value::Object(below)), Value::Object(above)) => over(below, above),
            (_, value) => {
                below.insert(key, value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

    use std::sync::Arc;

    use plumb_tree::{Memory, TreePath};
    use rstest::rstest;
    use serde_json::json;

    use super::*;

    fn tree() -> View {
        let path = |path| TreePath::new(path).unwrap();
        let tree = Memory::new()
            .with_file(&path("web/values.yaml"), "a: {b: 1, c: [1]}\nd: 1\n")
            .with_file(&path("web/prod.yaml"), "a: {b: 2, c: [2]}\nd: null\n")
            .with_file(&path("secret.yaml"), "a: 1");
        View::new(Arc::new(tree), 1 << 20)
    }

    #[rstest]
    #[case::none(&[], 0)]
    #[case::its_own(&["./values.yaml"], 0)]
    #[case::another(&["prod.yaml"], 1)]
    #[case::its_own_and_another(&["values.yaml", "prod.yaml"], 2)]
    fn the_own_file_of_a_chart_alone_replaces_nothing(#[case] files: &[&str], #[case] expected: usize) {
        let files: Vec<String> = files.iter().map(|file| (*file).to_owned()).collect();
        assert_eq!(replacing_values(&files).len(), expected);
    }

    fn merged(paths: &[&str], ignores_missing: bool) -> Result<(Value, Vec<String>), ChartError> {
        let paths: Vec<String> = paths.iter().map(|path| (*path).to_owned()).collect();
        let merged = merge(&tree(), "web", &paths, ignores_missing)?;
        Ok((serde_json::from_slice(&merged.yaml).unwrap(), merged.files))
    }

    #[test]
    fn each_file_is_laid_over_the_one_before() {
        let (values, files) = merged(&["values.yaml", "./prod.yaml"], false).unwrap();
        assert_eq!(values, json!({"a": {"b": 2, "c": [2]}, "d": null}));
        assert_eq!(files, ["values.yaml", "./prod.yaml"]);
    }

    #[test]
    fn a_file_that_is_missing_is_told_or_left_out() {
        let message =
            "the values file \"x.yaml\" does not exist; add it, or set spec.ignoreMissingValuesFiles";
        assert_eq!(merged(&["x.yaml"], false).unwrap_err().to_string(), message);
        assert_eq!(merged(&["x.yaml", "prod.yaml"], true).unwrap().1, ["prod.yaml"]);
    }

    // Attack 10 (sources): a path that leads up.
    #[test]
    fn no_path_leads_above_the_chart() {
        let error = merged(&["../secret.yaml"], true).unwrap_err();
        assert_eq!(error.reason(), plumb_api::Reason::ValuesFilesError);
    }
}
