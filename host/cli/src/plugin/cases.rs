//! Golden cases: each folder in `tests/` is what a plugin is given, and what must come of it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, bail};
use async_trait::async_trait;
use plumb_api::{Object, Sensitive};
use plumb_plugin::{
    Call, CallError, Clock, ClusterReader, Finding, Grants, HealthReport, HealthStatus, HttpClient,
    HttpError, HttpRequest, HttpResponse, ObjectKind, Plugin, PluginError, Random, ReadError, Severity,
    World,
};
use plumb_tree::{Directory, View};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::output;
use crate::workbench::selected;

/// The largest file of a tree in bytes, as in the controller.
const LARGEST_FILE: u64 = 64 << 20;

/// What came of a call, in the form in which it is kept: YAML.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Outcome {
    /// Objects, findings or a report; or the errors.
    pub(super) result: Result<Vec<Value>, Vec<Value>>,
    /// What was logged with level `warn`.
    pub(super) warnings: Vec<String>,
}

/// One folder.
#[derive(Debug)]
pub(super) struct Case {
    pub(super) name: String,
    directory: PathBuf,
}

/// What a call is given.
pub(super) struct Input {
    objects: Vec<Object>,
    parameters: Value,
    grants: Granted,
}

/// `grants.yaml`: what the step of the case hands over.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Granted {
    secrets: Option<BTreeMap<String, String>>,
    /// Objects that the cluster has.
    cluster: Option<Vec<Value>>,
    /// What is answered to requests, the first that fits.
    http: Option<Vec<Answer>>,
    /// Seconds since 1970.
    clock: Option<u64>,
    /// Every byte of the seed.
    random: Option<u8>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Answer {
    #[serde(default = "get")]
    method: String,
    url: String,
    #[serde(default = "ok")]
    status: u16,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    #[serde(default)]
    body: String,
}

fn get() -> String {
    "GET".to_owned()
}

fn ok() -> u16 {
    200
}

/// The cases of a plugin, in the order of their names.
pub(super) fn find(directory: &Path) -> anyhow::Result<Vec<Case>> {
    let tests = directory.join("tests");
    let failed = || format!("cannot read {}; each folder in it is a case", tests.display());
    let mut cases = Vec::new();
    for entry in fs::read_dir(&tests).with_context(failed)? {
        let directory = entry.with_context(failed)?.path();
        if directory.is_dir() {
            let name = directory.file_name().unwrap_or_default().to_string_lossy().into_owned();
            cases.push(Case { name, directory });
        }
    }
    if cases.is_empty() {
        bail!(
            "{} has no cases: each is a folder with input.yaml, or with tree/ for a renderer",
            tests.display()
        );
    }
    cases.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(cases)
}

impl Case {
    /// What the call is given, but for the tree of a renderer.
    pub(super) fn input(&self) -> anyhow::Result<Input> {
        let objects = documents(&self.directory.join("input.yaml"))?.unwrap_or_default();
        let object =
            |value| Object::new(value).with_context(|| format!("in {}/input.yaml", self.directory.display()));
        let objects = objects.into_iter().map(object).collect::<anyhow::Result<_>>()?;
        let parameters = one(&self.directory.join("parameters.yaml"))?.unwrap_or_else(|| json!({}));
        let grants = one(&self.directory.join("grants.yaml"))?.unwrap_or_default();
        Ok(Input { objects, parameters, grants })
    }

    /// Calls the plugin. A plugin that breaks down, or goes over a limit, is an error here: no case expects that.
    pub(super) fn run(&self, plugin: &Plugin, input: &Input, call: &Call) -> anyhow::Result<Outcome> {
        let Input { objects, parameters, .. } = input;
        let result = match plugin.world() {
            World::Renderer => plugin.render(self.tree()?, &with_path(parameters), call).map(|o| values(&o)),
            World::Transformer => plugin.transform(objects, parameters, call).map(|objects| values(&objects)),
            World::KrmFunction => plugin.function(objects, parameters, call).map(|objects| values(&objects)),
            World::Validator => {
                plugin.validate(objects, parameters, call).map(|found| found.iter().map(finding).collect())
            }
            World::HealthCheck => match &objects[..] {
                [object] => {
                    plugin.check_health(object, parameters, call).map(|report| vec![self::report(&report)])
                }
                _ => bail!("a health check is given one object; input.yaml has {}", objects.len()),
            },
        };
        let result = match result {
            Ok(result) => Ok(result),
            Err(CallError::Reported(errors)) => Err(errors.iter().map(error).collect()),
            Err(error) => return Err(error.into()),
        };
        Ok(Outcome { result, warnings: call.warnings.take() })
    }

    fn tree(&self) -> anyhow::Result<Arc<View>> {
        let tree = self.directory.join("tree");
        let opened = Directory::open(&tree).with_context(|| format!("cannot open {}", tree.display()))?;
        Ok(Arc::new(View::new(Arc::new(opened), LARGEST_FILE)))
    }

    /// What must come of it; none when that was never written down.
    pub(super) fn expected(&self) -> anyhow::Result<Option<Outcome>> {
        let expected = documents(&self.directory.join("expected.yaml"))?;
        let errors = one::<Vec<Value>>(&self.directory.join("errors.yaml"))?;
        let warnings = one(&self.directory.join("warnings.yaml"))?.unwrap_or_default();
        let result = match (expected, errors) {
            (Some(_), Some(_)) => bail!("it has both expected.yaml and errors.yaml; a call ends one way"),
            (Some(expected), None) => Ok(expected),
            (None, Some(errors)) => Err(errors),
            (None, None) => return Ok(None),
        };
        Ok(Some(Outcome { result, warnings }))
    }

    /// Writes down what came of it as what must come of it.
    pub(super) fn accept(&self, outcome: &Outcome) -> anyhow::Result<()> {
        let (expected, errors) = match &outcome.result {
            Ok(values) => (Some(text_of(values)?), None),
            Err(errors) => (None, Some(output::yaml(errors)?)),
        };
        let warnings = (!outcome.warnings.is_empty()).then(|| output::yaml(&outcome.warnings)).transpose()?;
        for (name, text) in
            [("expected.yaml", expected), ("errors.yaml", errors), ("warnings.yaml", warnings)]
        {
            let file = self.directory.join(name);
            let done = match text {
                Some(text) => fs::write(&file, text),
                None => match fs::remove_file(&file) {
                    Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
                    _ => Ok(()),
                },
            };
            done.with_context(|| format!("cannot write {}", file.display()))?;
        }
        Ok(())
    }
}

impl Input {
    /// A call with what the case grants.
    pub(super) fn call(&self) -> anyhow::Result<Call> {
        let Granted { secrets, cluster, http, clock, random } = self.grants.clone();
        let objects = |values: Vec<Value>| values.into_iter().map(Object::new).collect::<Result<Vec<_>, _>>();
        let cluster = cluster.map(objects).transpose().context("in grants.yaml")?;
        let grants = Grants {
            secrets: secrets.map(|secrets| {
                secrets.into_iter().map(|(name, value)| (name, Sensitive::new(value.into_bytes()))).collect()
            }),
            cluster: cluster.map(|objects| Arc::new(Cluster(objects)) as Arc<dyn ClusterReader>),
            http: http.map(|answers| Arc::new(Answers(answers)) as Arc<dyn HttpClient>),
            clock: clock.map(|seconds| Arc::new(Standing(seconds)) as Arc<dyn Clock>),
            random: random.map(|byte| Arc::new(Fixed(byte)) as Arc<dyn Random>),
        };
        Ok(Call { grants, ..Call::default() })
    }

    pub(super) fn objects(&self) -> usize {
        self.objects.len()
    }
}

/// The host adds `path`; the root unless the case says another.
fn with_path(parameters: &Value) -> Value {
    let mut parameters = parameters.clone();
    if let Some(map) = parameters.as_object_mut() {
        map.entry("path").or_insert_with(|| json!(""));
    }
    parameters
}

/// The outcome as people read it.
pub(super) fn text(outcome: &Outcome) -> anyhow::Result<String> {
    let mut text = match &outcome.result {
        Ok(values) => text_of(values)?,
        Err(errors) => format!("errors:\n{}", output::yaml(errors)?),
    };
    if !outcome.warnings.is_empty() {
        text += &format!("warnings:\n{}", output::yaml(&outcome.warnings)?);
    }
    Ok(text)
}

fn text_of(values: &[Value]) -> anyhow::Result<String> {
    let documents: anyhow::Result<Vec<String>> = values.iter().map(output::yaml).collect();
    Ok(documents?.join("---\n"))
}

/// The documents of a file, if there is one. Empty ones are left out.
fn documents(file: &Path) -> anyhow::Result<Option<Vec<Value>>> {
    let Some(text) = read(file)? else { return Ok(None) };
    let documents = serde_yaml::Deserializer::from_str(&text).map(Value::deserialize);
    let documents: Vec<Value> =
        documents.collect::<Result<_, _>>().with_context(|| format!("cannot use {}", file.display()))?;
    Ok(Some(documents.into_iter().filter(|document| !document.is_null()).collect()))
}

fn one<T: DeserializeOwned>(file: &Path) -> anyhow::Result<Option<T>> {
    let Some(text) = read(file)? else { return Ok(None) };
    serde_yaml::from_str(&text).map(Some).with_context(|| format!("cannot use {}", file.display()))
}

fn read(file: &Path) -> anyhow::Result<Option<String>> {
    match fs::read_to_string(file) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("cannot read {}", file.display())),
    }
}

fn values(objects: &[impl Serialize]) -> Vec<Value> {
    // What came as JSON is JSON.
    objects.iter().map(|object| serde_json::to_value(object).unwrap_or_default()).collect()
}

fn error(error: &PluginError) -> Value {
    let kind = match error.kind {
        plumb_plugin::ErrorKind::InvalidInput => "invalid-input",
        plumb_plugin::ErrorKind::NotFound => "not-found",
        plumb_plugin::ErrorKind::Denied => "denied",
        plumb_plugin::ErrorKind::Unsupported => "unsupported",
        plumb_plugin::ErrorKind::Internal => "internal",
    };
    present(json!({
        "kind": kind,
        "message": error.message,
        "file": error.file,
        "line": error.line,
        "hint": error.hint,
    }))
}

fn finding(finding: &Finding) -> Value {
    let severity = match finding.severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
    };
    present(json!({
        "severity": severity,
        "object": finding.object,
        "field": finding.field,
        "rule": finding.rule,
        "message": finding.message,
    }))
}

fn report(report: &HealthReport) -> Value {
    let status = match report.status {
        HealthStatus::Current => "current",
        HealthStatus::InProgress => "in-progress",
        HealthStatus::Failed => "failed",
        HealthStatus::Terminating => "terminating",
        HealthStatus::Unknown => "unknown",
    };
    json!({"status": status, "message": report.message})
}

/// Without the fields that are null.
fn present(mut value: Value) -> Value {
    if let Some(map) = value.as_object_mut() {
        map.retain(|_, value| !value.is_null());
    }
    value
}

/// The objects of `grants.yaml`.
struct Cluster(Vec<Object>);

#[async_trait]
impl ClusterReader for Cluster {
    async fn get(
        &self,
        kind: &ObjectKind,
        namespace: Option<&str>,
        name: &str,
    ) -> Result<Option<Object>, ReadError> {
        let is_it =
            |object: &&Object| is(object, kind) && object.namespace() == namespace && object.name() == name;
        Ok(self.0.iter().find(is_it).cloned())
    }

    async fn list(
        &self,
        kind: &ObjectKind,
        namespace: Option<&str>,
        label_selector: Option<&str>,
    ) -> Result<Vec<Object>, ReadError> {
        let is_one =
            |object: &&Object| is(object, kind) && (namespace.is_none() || object.namespace() == namespace);
        selected(self.0.iter().filter(is_one), label_selector)
    }
}

fn is(object: &Object, kind: &ObjectKind) -> bool {
    object.api_version() == kind.api_version && object.kind() == kind.kind
}

/// The answers of `grants.yaml`.
struct Answers(Vec<Answer>);

#[async_trait]
impl HttpClient for Answers {
    async fn send(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let fits = |answer: &&Answer| answer.url == request.url && answer.method == request.method;
        let answer = self.0.iter().find(fits).ok_or_else(|| {
            HttpError::Denied("grants.yaml of this case has no answer to such a request".to_owned())
        })?;
        let headers = answer.headers.iter().map(|(name, value)| (name.clone(), value.clone().into_bytes()));
        Ok(HttpResponse {
            status: answer.status,
            headers: headers.collect(),
            body: answer.body.clone().into_bytes(),
        })
    }
}

/// A seed of one byte, again and again: a test has to be the same every time.
struct Fixed(u8);

impl Random for Fixed {
    fn seed(&self) -> Option<[u8; 32]> {
        Some([self.0; 32])
    }
}

/// A clock that stands at a time.
struct Standing(u64);

impl Clock for Standing {
    fn now(&self) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(self.0)
    }
}
