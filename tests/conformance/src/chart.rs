//! The cases of Helm: charts, and what upstream Helm and the plugin make of them.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;
use plumb_plugin::{Call, CallError, Grants, SystemClock, SystemRandom, World};
use plumb_tree::{Directory, View};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::case::{folders, marker};
use crate::plugin::{load, messages};
use crate::{OwnWords, Rendering, folder};

/// Larger than any file of a case.
const MAX_FILE_BYTES: u64 = 1 << 20;

/// A chart, and what it is rendered with.
#[derive(Clone, Debug)]
pub struct ChartCase {
    /// The name of its folder: what it shows.
    pub name: String,
    /// Its folder: the root of the tree.
    pub root: PathBuf,
    /// The parameters of the step.
    pub parameters: Value,
    /// Set where the plugin does not say what Helm says.
    pub own_words: Option<OwnWords>,
}

/// The file `case.json` of a case, which most do without.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Marker {
    #[serde(default)]
    parameters: serde_json::Map<String, Value>,
    own_words: Option<OwnWords>,
}

/// The folder of the charts.
pub fn charts_folder() -> PathBuf {
    folder().join("charts")
}

/// All cases of a folder, in the order of their names.
pub fn charts(folder: &Path) -> anyhow::Result<Vec<ChartCase>> {
    let case = |(name, root): (String, PathBuf)| {
        let Marker { mut parameters, own_words } = marker(&root)?;
        parameters.insert("as".to_owned(), json!("release"));
        parameters.entry("path").or_insert_with(|| json!("chart"));
        Ok(ChartCase { name, root, parameters: parameters.into(), own_words })
    };
    folders(folder)?.into_iter().map(case).collect()
}

/// What upstream Helm makes of a chart.
#[derive(Clone, Debug, Deserialize)]
pub struct NativeRelease {
    /// The name of the case.
    pub case: String,
    error: Option<String>,
    #[serde(flatten)]
    release: Value,
}

/// Which functions the templates of a case call.
#[derive(Clone, Debug, Deserialize)]
pub struct UsedFunctions {
    /// The name of the case.
    pub case: String,
    /// Their names.
    pub functions: Vec<String>,
}

impl NativeRelease {
    /// What of it is compared.
    pub fn rendering(&self) -> Rendering {
        match &self.error {
            Some(error) => Rendering::Error(error.trim_end().to_owned()),
            None => Rendering::Objects(vec![compared(&self.release).to_string()]),
        }
    }
}

/// The plugin helm.
#[derive(Debug)]
pub struct Helm(plumb_plugin::Plugin);

impl Helm {
    /// Loads the plugin as [`crate::Plugin::load`] does.
    pub fn load(cache: &Path) -> anyhow::Result<Self> {
        Ok(Self(load("helm", World::Renderer, cache)?))
    }

    /// Renders a case, which may use randomness and the clock. An error of this function is one that says nothing about the case, such as a
    /// limit that was met.
    pub fn render(&self, case: &ChartCase) -> anyhow::Result<Rendering> {
        let tree = Directory::open(&case.root).with_context(|| format!("opening {}", case.root.display()))?;
        let view = Arc::new(View::new(Arc::new(tree), MAX_FILE_BYTES));
        let grants = Grants {
            clock: Some(Arc::new(SystemClock)),
            random: Some(Arc::new(SystemRandom)),
            ..Grants::default()
        };
        match self.0.render(view, &case.parameters, &Call { grants, ..Call::default() }) {
            Ok(objects) => {
                let release = objects.first().map(serde_json::to_value).context("there is no release")??;
                Ok(Rendering::Objects(vec![compared(&release).to_string()]))
            }
            Err(CallError::Reported(errors)) => Ok(Rendering::Error(messages(errors).trim_end().to_owned())),
            Err(error) => Err(error.into()),
        }
    }
}

/// What both have of a release. A tree has no times of files; what the plugin makes of manifests besides is compared with them in its own tests.
fn compared(release: &Value) -> Value {
    let without = |list: &Value, field: &str| {
        let mut list = list.clone();
        for item in list.as_array_mut().into_iter().flatten() {
            item.as_object_mut().map(|item| item.remove(field));
        }
        list
    };
    let mut chart = release["chart"].clone();
    for field in ["modtime", "schemamodtime"] {
        chart.as_object_mut().map(|chart| chart.remove(field));
    }
    for files in ["templates", "files"] {
        chart[files] = without(&chart[files], "modtime");
    }
    json!({
        "manifest": lines(&release["manifest"]),
        "hooks": without(&release["hooks"], "object"),
        "crds": without(&release["crds"], "objects"),
        "notes": release["notes"],
        "chart": chart,
        "config": release["config"],
        "values": release["values"],
    })
}

/// A text by its lines, with their ends, so that a difference is shown as one line.
fn lines(text: &Value) -> Value {
    text.as_str().map_or(Value::Null, |text| text.split_inclusive('\n').collect())
}
