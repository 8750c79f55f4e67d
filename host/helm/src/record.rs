//! Records of releases, in Helm's storage format v1: JSON, compressed with gzip, in base64, in a Secret of type `helm.sh/release.v1`.
//!
//! A record is kept as it was read, with fields that nobody here knows, so that reading and writing one loses nothing.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use flate2::Compression;
use flate2::read::MultiGzDecoder;
use flate2::write::GzEncoder;
use jiff::Timestamp;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kube_meta::ObjectMeta;
use plumb_api::ReleaseStatus;
use serde_json::{Map, Value, json};

use crate::hooks::{Hook, HookRun};
use crate::rendered::RenderedRelease;

use k8s_openapi::apimachinery::pkg::apis::meta::v1 as kube_meta;

/// The type of Secrets with records.
pub const SECRET_TYPE: &str = "helm.sh/release.v1";
/// The selector of labels that finds the records of Helm.
pub const OWNER_SELECTOR: &str = "owner=helm";
/// The key of the Secret that holds the record.
const DATA_KEY: &str = "release";
/// Labels that Helm writes itself; all others are those of the release.
const SYSTEM_LABELS: [&str; 6] = ["name", "owner", "status", "version", "createdAt", "modifiedAt"];
/// How much a Secret can hold, in bytes (`MaxSecretSize` of Kubernetes).
pub const MAX_SECRET: usize = 1024 * 1024;
/// How large a record may be before it is compressed, in bytes. A Secret full of base64 holds 768 KiB of gzip; charts come to a tenth of their
/// size, and what goes beyond a hundredth is made to fill memories.
pub const MAX_RECORD: usize = 64 * 1024 * 1024;

/// Why a Secret is no record of a release that can be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// The Secret has no key `release`.
    #[error("Secret {0} is no record of a Helm release: it has no key \"release\"")]
    NoData(String),
    /// What the Secret holds is not base64.
    #[error("Secret {0} is no record of a Helm release: its data is not base64")]
    NotBase64(String),
    /// What the Secret holds cannot be decompressed.
    #[error("Secret {0} is no record of a Helm release: its data is not gzip")]
    NotGzip(String),
    /// The record is larger than any that Helm writes.
    #[error(
        "the Helm release in Secret {0} has more than {MAX_RECORD} bytes when it is decompressed; it is not read"
    )]
    TooLarge(String),
    /// The record is not JSON of an object with a name and a version.
    #[error("Secret {0} is no record of a Helm release: it is not JSON with a name, a version, and an info")]
    NotARelease(String),
}

/// A record that is too large for a Secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the record of Helm release {release} takes {size} bytes, and a Secret holds {MAX_SECRET}; all files of the chart and all rendered \
     manifests are in it: take files that the chart does not need out with .helmignore, or split the chart"
)]
pub struct RecordTooLarge {
    /// The release, as `NAMESPACE/NAME.vVERSION`.
    pub release: String,
    /// How many bytes it takes.
    pub size: usize,
}

/// The record of a release.
#[derive(Clone, PartialEq)]
pub struct Release {
    fields: Map<String, Value>,
    /// Labels that somebody gave the release (`helm install --labels`).
    labels: BTreeMap<String, String>,
}

/// What a new record says besides what was rendered.
#[derive(Clone, Debug)]
pub struct NewRelease<'a> {
    /// The name of the release.
    pub name: &'a str,
    /// The namespace that it is installed to.
    pub namespace: &'a str,
    /// Its revision.
    pub version: i64,
    /// Its status: `pending-install` or `pending-upgrade`.
    pub status: ReleaseStatus,
    /// A sentence about it.
    pub description: &'a str,
    /// When the release was first installed; the same as `at` for an install.
    pub first_deployed: Timestamp,
    /// When it is made.
    pub at: Timestamp,
}

impl Release {
    /// The record of what was rendered, before anything of it is done. The values are those that were composed, not those of the chart.
    pub fn new(new: &NewRelease<'_>, rendered: &RenderedRelease, config: &Map<String, Value>) -> Self {
        let hooks: Vec<Value> = rendered.hooks.iter().map(|hook| hook.to_record()).collect();
        let fields = json!({
            "name": new.name,
            "info": {
                "first_deployed": time_text(new.first_deployed),
                "last_deployed": time_text(new.at),
                "description": new.description,
                "status": new.status,
                "notes": rendered.notes,
            },
            "chart": rendered.chart,
            "config": config,
            "manifest": rendered.manifest,
            "hooks": hooks,
            "version": new.version,
            "namespace": new.namespace,
            "apply_method": "ssa",
        });
        let Value::Object(mut fields) = fields else {
            return Self { fields: Map::new(), labels: BTreeMap::new() };
        };
        // Go leaves out what is empty.
        fields.retain(|_, value| !crate::go::is_empty(value));
        if let Some(Value::Object(info)) = fields.get_mut("info") {
            info.retain(|_, value| !crate::go::is_empty(value));
        }
        Self { fields, labels: BTreeMap::new() }
    }

    /// A new revision that is what this one was: for a rollback from `current`, the newest, to this one.
    pub fn rolled_back(&self, current: &Self, at: Timestamp) -> Self {
        let mut target = self.clone();
        target.fields.insert("version".to_owned(), (current.version() + 1).into());
        let first = current.info("first_deployed").cloned();
        let description = format!("Rollback to {}", self.version());
        let info = target.info_mut();
        info.remove("deleted");
        info.extend(first.map(|first| ("first_deployed".to_owned(), first)));
        info.insert("last_deployed".to_owned(), time_text(at).into());
        target.set_status(ReleaseStatus::PendingRollback, &description);
        target
    }

    /// The same record without the files of the chart, which take most of its memory. It is not to be written.
    #[must_use]
    pub fn without_files(&self) -> Self {
        let other = self.fields.iter().filter(|(key, _)| *key != "chart");
        let mut fields: Map<String, Value> = other.map(|(key, value)| (key.clone(), value.clone())).collect();
        if let Some(metadata) = self.fields.get("chart").and_then(|chart| chart.get("metadata")) {
            fields.insert("chart".to_owned(), json!({ "metadata": metadata }));
        }
        Self { fields, labels: self.labels.clone() }
    }

    /// The name of the release.
    pub fn name(&self) -> &str {
        self.text("name")
    }

    /// The namespace that the release is installed to.
    pub fn namespace(&self) -> &str {
        self.text("namespace")
    }

    /// The revision of the release, counted from 1.
    pub fn version(&self) -> i64 {
        self.fields.get("version").and_then(Value::as_i64).unwrap_or_default()
    }

    /// The release as Flux's messages name it: `NAMESPACE/NAME.vVERSION`.
    pub fn full_name(&self) -> String {
        format!("{}/{}.v{}", self.namespace(), self.name(), self.version())
    }

    /// The status of the release. One that Helm does not have counts as unknown.
    pub fn status(&self) -> ReleaseStatus {
        let status = self.info("status").cloned().unwrap_or_default();
        serde_json::from_value(status).unwrap_or(ReleaseStatus::Unknown)
    }

    /// The sentence about the release.
    pub fn description(&self) -> &str {
        self.info("description").and_then(Value::as_str).unwrap_or_default()
    }

    /// The notes of the chart, as they were rendered.
    pub fn notes(&self) -> &str {
        self.info("notes").and_then(Value::as_str).unwrap_or_default()
    }

    /// When the release was first installed.
    pub fn first_deployed(&self) -> Option<Timestamp> {
        self.time("first_deployed")
    }

    /// When this revision was made.
    pub fn last_deployed(&self) -> Option<Timestamp> {
        self.time("last_deployed")
    }

    /// When the release was uninstalled.
    pub fn deleted(&self) -> Option<Timestamp> {
        self.time("deleted")
    }

    /// The rendered objects, as YAML, without the hooks.
    pub fn manifest(&self) -> &str {
        self.text("manifest")
    }

    /// The values that the chart was given, without its own.
    pub fn config(&self) -> Map<String, Value> {
        self.fields.get("config").and_then(Value::as_object).cloned().unwrap_or_default()
    }

    /// The chart, as Helm stores it.
    pub fn chart(&self) -> Option<&Value> {
        self.fields.get("chart")
    }

    /// A field of the chart's `Chart.yaml`: `name`, `version`, `appVersion`.
    pub fn chart_field(&self, field: &str) -> &str {
        let metadata = self.fields.get("chart").and_then(|chart| chart.get("metadata"));
        metadata.and_then(|metadata| metadata.get(field)).and_then(Value::as_str).unwrap_or_default()
    }

    /// The hooks of the release, in the order of the record.
    pub fn hooks(&self) -> Vec<Hook> {
        let hooks = self.fields.get("hooks").and_then(Value::as_array);
        hooks.into_iter().flatten().filter_map(Hook::from_record).collect()
    }

    /// The labels of the release.
    pub fn labels(&self) -> &BTreeMap<String, String> {
        &self.labels
    }

    /// All fields, as they are stored.
    pub fn fields(&self) -> &Map<String, Value> {
        &self.fields
    }

    /// Sets the status and the sentence about it.
    pub fn set_status(&mut self, status: ReleaseStatus, description: &str) {
        let info = self.info_mut();
        info.insert("status".to_owned(), status.as_str().into());
        info.insert("description".to_owned(), description.into());
    }

    /// Sets the status, and leaves the sentence as it is: a release that is superseded keeps what was said about it.
    pub fn supersede(&mut self) {
        self.info_mut().insert("status".to_owned(), ReleaseStatus::Superseded.as_str().into());
    }

    /// Notes when the release was uninstalled.
    pub fn set_deleted(&mut self, at: Timestamp) {
        self.info_mut().insert("deleted".to_owned(), time_text(at).into());
    }

    /// Notes how a hook has run. The hook is the one at `index` of [`Self::hooks`]; there is nothing to note where there is none.
    pub fn set_hook_run(&mut self, index: usize, run: &HookRun) {
        let hooks = self.fields.get_mut("hooks").and_then(Value::as_array_mut);
        let mut readable = hooks.into_iter().flatten().filter(|hook| Hook::from_record(hook).is_some());
        if let Some(Value::Object(hook)) = readable.nth(index) {
            hook.insert("last_run".to_owned(), run.to_record());
        }
    }

    fn text(&self, field: &str) -> &str {
        self.fields.get(field).and_then(Value::as_str).unwrap_or_default()
    }

    fn time(&self, field: &str) -> Option<Timestamp> {
        self.info(field).and_then(Value::as_str).and_then(|text| text.parse().ok())
    }

    fn info(&self, field: &str) -> Option<&Value> {
        self.fields.get("info").and_then(|info| info.get(field))
    }

    fn info_mut(&mut self) -> &mut Map<String, Value> {
        let info = self.fields.entry("info").or_insert_with(|| Value::Object(Map::new()));
        if !info.is_object() {
            *info = Value::Object(Map::new());
        }
        #[expect(clippy::expect_used, reason = "it has just been made an object where it was none")]
        info.as_object_mut().expect("an object")
    }
}

/// The name of the Secret of a revision: `sh.helm.release.v1.NAME.vVERSION`.
pub fn secret_name(release: &str, version: i64) -> String {
    format!("sh.helm.release.v1.{release}.v{version}")
}

/// The selector of labels that finds the records of one release.
pub fn selector(release: &str) -> String {
    format!("name={release},{OWNER_SELECTOR}")
}

/// Whether a record is written for the first time; Helm notes the time under another label then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Write {
    /// It is new.
    Create,
    /// It takes the place of the one that is there.
    Update,
}

/// The Secret that stores a record, to be put into the storage namespace.
pub fn encode(release: &Release, write: Write, at: Timestamp) -> Result<Secret, RecordTooLarge> {
    // A map of JSON values always has a text: its keys are strings.
    let json = serde_json::to_string(&release.fields).unwrap_or_default();
    let mut gzip = GzEncoder::new(Vec::new(), Compression::best());
    // Writing to memory cannot fail.
    let compressed = gzip.write_all(json.as_bytes()).and_then(|()| gzip.finish()).unwrap_or_default();
    let data = BASE64.encode(compressed).into_bytes();
    if data.len() > MAX_SECRET {
        return Err(RecordTooLarge { release: release.full_name(), size: data.len() });
    }
    let mut labels = release.labels.clone();
    let time = match write {
        Write::Create => "createdAt",
        Write::Update => "modifiedAt",
    };
    labels.extend(
        [
            ("name", release.name().to_owned()),
            ("owner", "helm".to_owned()),
            ("status", release.status().as_str().to_owned()),
            ("version", release.version().to_string()),
            (time, at.as_second().to_string()),
        ]
        .map(|(key, value)| (key.to_owned(), value)),
    );
    Ok(Secret {
        metadata: ObjectMeta {
            name: Some(secret_name(release.name(), release.version())),
            labels: Some(labels),
            ..ObjectMeta::default()
        },
        type_: Some(SECRET_TYPE.to_owned()),
        data: Some(BTreeMap::from([(DATA_KEY.to_owned(), ByteString(data))])),
        ..Secret::default()
    })
}

/// The record that a Secret stores. Records of Helm versions that did not compress are read too.
pub fn decode(secret: &Secret) -> Result<Release, RecordError> {
    let name = || secret.metadata.name.clone().unwrap_or_default();
    let data = secret
        .data
        .as_ref()
        .and_then(|data| data.get(DATA_KEY))
        .ok_or_else(|| RecordError::NoData(name()))?;
    let bytes = BASE64.decode(&data.0).map_err(|_| RecordError::NotBase64(name()))?;
    let json = if bytes.starts_with(&[0x1f, 0x8b, 0x08]) { decompress(&bytes, &name())? } else { bytes };
    let Ok(Value::Object(fields)) = serde_json::from_slice(&json) else {
        return Err(RecordError::NotARelease(name()));
    };
    let labels = secret.metadata.labels.clone().unwrap_or_default();
    let is_own = |(key, _): &(String, String)| !SYSTEM_LABELS.contains(&key.as_str());
    let release = Release { fields, labels: labels.into_iter().filter(is_own).collect() };
    let is_one = !release.name().is_empty()
        && release.version() > 0
        && release.fields.get("info").is_some_and(Value::is_object);
    is_one.then_some(release).ok_or_else(|| RecordError::NotARelease(name()))
}

/// Attack 8 (sources): gzip that fills the memory. No more is unpacked than a record may have.
fn decompress(bytes: &[u8], name: &str) -> Result<Vec<u8>, RecordError> {
    let mut json = Vec::new();
    let mut limited = MultiGzDecoder::new(bytes).take(MAX_RECORD as u64 + 1);
    limited.read_to_end(&mut json).map_err(|_| RecordError::NotGzip(name.to_owned()))?;
    if json.len() > MAX_RECORD {
        return Err(RecordError::TooLarge(name.to_owned()));
    }
    Ok(json)
}

/// Which records to delete before a new one is written, so that there are no more than `max_history` with it: the oldest first, and never the
/// one that is deployed. `None` keeps all.
pub fn to_prune(records: &[Release], max_history: Option<usize>) -> Vec<&Release> {
    let Some(room) = max_history.map(|most| most.saturating_sub(1)) else { return Vec::new() };
    let mut oldest_first: Vec<&Release> = records.iter().collect();
    oldest_first.sort_by_key(|release| release.version());
    let is_deployed = |release: &&&Release| release.status() == ReleaseStatus::Deployed;
    let deployed = oldest_first.iter().rev().find(is_deployed).map(|release| release.version());
    let too_many = oldest_first.len().saturating_sub(room);
    oldest_first.into_iter().filter(|release| Some(release.version()) != deployed).take(too_many).collect()
}

/// A time as Go writes it.
pub(crate) fn time_text(time: Timestamp) -> String {
    time.to_string()
}

#[cfg(test)]
#[path = "record/tests.rs"]
mod tests;
