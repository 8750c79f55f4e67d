//! Entries of `status.history`, with the digests of Flux's helm-controller, so that a release can be taken over from it and given back.

use std::collections::BTreeMap;

use jiff::Timestamp;
use plumb_api::{ReleaseAction, ReleaseSnapshot, ReleaseStatus, Test, TestHookStatus, Time};
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256, Sha384, Sha512};

use crate::go::{self, Struct};
use crate::hooks::HookEvent;
use crate::record::Release;
use crate::values::Values;

/// The version of the way in which digests are computed, that of Helm 4.
pub const API_VERSION: &str = "v2";
/// How many snapshots are kept where none of them can be rolled back to.
const NEWEST: usize = 5;

/// The snapshot of a record, as it is now.
pub fn of(release: &Release, action: Option<ReleaseAction>, oci_digest: Option<&str>) -> ReleaseSnapshot {
    let time = |time: Option<Timestamp>| Time(time.unwrap_or(Timestamp::UNIX_EPOCH));
    let non_empty = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    ReleaseSnapshot {
        api_version: Some(API_VERSION.to_owned()),
        digest: format!("sha256:{}", hex::encode(Sha256::digest(observation(release, oci_digest)))),
        name: release.name().to_owned(),
        namespace: release.namespace().to_owned(),
        version: release.version(),
        status: release.status(),
        action,
        chart_name: release.chart_field("name").to_owned(),
        chart_version: release.chart_field("version").to_owned(),
        app_version: non_empty(release.chart_field("appVersion")),
        config_digest: Values::from(release.config()).digest(),
        first_deployed: time(release.first_deployed()),
        last_deployed: time(release.last_deployed()),
        deleted: release.deleted().map(Time),
        test_hooks: None,
        oci_digest: oci_digest.map(ToOwned::to_owned),
    }
}

/// Whether a record is still what it was when the snapshot was taken. One that was taken by a Flux that computed digests otherwise is
/// believed, as Flux does.
pub fn is_of(snapshot: &ReleaseSnapshot, release: &Release) -> bool {
    if snapshot.api_version.as_deref() != Some(API_VERSION) {
        return true;
    }
    let bytes = observation(release, snapshot.oci_digest.as_deref());
    let actual = match snapshot.digest.split_once(':') {
        Some(("sha256", _)) => hex::encode(Sha256::digest(bytes)),
        Some(("sha384", _)) => hex::encode(Sha384::digest(bytes)),
        Some(("sha512", _)) => hex::encode(Sha512::digest(bytes)),
        _ => return false,
    };
    snapshot.digest.split_once(':').is_some_and(|(_, digest)| digest == actual)
}

/// Whether the snapshot is of the same revision as a record.
pub fn targets(snapshot: &ReleaseSnapshot, release: &Release) -> bool {
    (snapshot.name.as_str(), snapshot.namespace.as_str(), snapshot.version)
        == (release.name(), release.namespace(), release.version())
}

/// Notes in a history how a record is now: in the snapshot of its revision, whose tests and OCI digest stay, or in a new one.
pub fn observe(
    history: &mut Vec<ReleaseSnapshot>,
    release: &Release,
    action: Option<ReleaseAction>,
    oci_digest: Option<&str>,
) {
    if let Some(before) = history.iter_mut().find(|snapshot| targets(snapshot, release)) {
        let after = of(release, action.or(before.action), before.oci_digest.as_deref());
        *before = ReleaseSnapshot { test_hooks: before.test_hooks.take(), ..after };
    } else {
        history.push(of(release, action, oci_digest));
    }
    newest_first(history);
}

/// The snapshot that would be rolled back to: the newest before the latest that was in use, and, unless tests do not count, none of whose
/// tests failed.
pub fn previous(history: &[ReleaseSnapshot], ignore_tests: bool) -> Option<&ReleaseSnapshot> {
    let mut newest_first: Vec<&ReleaseSnapshot> = history.iter().collect();
    newest_first.sort_by_key(|snapshot| std::cmp::Reverse(snapshot.version));
    newest_first.into_iter().skip(1).find(|snapshot| can_be_previous(snapshot, ignore_tests))
}

fn can_be_previous(snapshot: &ReleaseSnapshot, ignore_tests: bool) -> bool {
    matches!(snapshot.status, ReleaseStatus::Deployed | ReleaseStatus::Superseded)
        && (ignore_tests || !snapshot.has_failed_test())
}

/// Drops what is older than the snapshot that would be rolled back to; where there is none, all but the newest five.
pub fn truncate(history: &mut Vec<ReleaseSnapshot>, ignore_tests: bool) {
    newest_first(history);
    let previous = history.iter().skip(1).position(|snapshot| can_be_previous(snapshot, ignore_tests));
    history.truncate(previous.map_or(NEWEST, |index| index + 2));
}

/// Drops all but the newest five.
pub fn truncate_to_newest(history: &mut Vec<ReleaseSnapshot>) {
    newest_first(history);
    history.truncate(NEWEST);
}

fn newest_first(history: &mut [ReleaseSnapshot]) {
    history.sort_by_key(|snapshot| std::cmp::Reverse(snapshot.version));
}

/// How the tests of a record ended, of those that the spec selects.
pub fn tests(release: &Release, test: &Test) -> BTreeMap<String, TestHookStatus> {
    let hooks =
        release.hooks().into_iter().filter(|hook| hook.runs_at(HookEvent::Test) && test.selects(&hook.name));
    let status = |run: crate::hooks::HookRun| TestHookStatus {
        last_started: run.started_at.map(Time),
        last_completed: run.completed_at.map(Time),
        phase: run.phase,
    };
    hooks.map(|hook| (hook.name, status(hook.last_run))).collect()
}

/// What Flux's digest of a release is of: parts of the record, as Go writes them. Test hooks are not among them, so that running tests is no
/// change.
fn observation(release: &Release, oci_digest: Option<&str>) -> String {
    let fields = release.fields();
    let config =
        fields.get("config").filter(|config| !go::is_empty(config)).map_or("null".to_owned(), go::json);
    let metadata = fields.get("chart").and_then(|chart| chart.get("metadata")).and_then(Value::as_object);
    let oci_digest = oci_digest.map(Value::from);
    let observation = Struct::default()
        .field("name", &go::text(release.name()))
        .field("version", &release.version().to_string())
        .field("info", &info(fields.get("info").and_then(Value::as_object)))
        .field("chartMetadata", &chart_metadata(metadata))
        .field("config", &config)
        .field("manifest", &go::text(release.manifest()))
        .field("hooks", &hooks(fields.get("hooks").and_then(Value::as_array)))
        .field("namespace", &go::text(release.namespace()))
        .non_empty("ociDigest", oci_digest.as_ref());
    observation.finish() + "\n"
}

fn info(info: Option<&Map<String, Value>>) -> String {
    let Some(info) = info else { return "{}".to_owned() };
    let mut json = Struct::default();
    for field in ["first_deployed", "last_deployed", "deleted"] {
        json = json.non_empty(field, time(info.get(field)).as_ref());
    }
    for field in ["description", "status", "notes"] {
        json = json.non_empty(field, info.get(field));
    }
    json.finish()
}

/// A time as Go writes it after it has read it; `None` for none.
fn time(value: Option<&Value>) -> Option<Value> {
    const ZERO: &str = "0001-01-01T00:00:00Z";
    let text = value?.as_str()?;
    let zone = text.rfind(['Z', '+', '-']).filter(|at| *at > "2006-01-02".len())?;
    let (time, zone) = text.split_at(zone);
    let time = if time.contains('.') { time.trim_end_matches('0').trim_end_matches('.') } else { time };
    let zone = if matches!(zone, "+00:00" | "-00:00") { "Z" } else { zone };
    Some(format!("{time}{zone}")).filter(|text| text != ZERO).map(Value::from)
}

fn chart_metadata(metadata: Option<&Map<String, Value>>) -> String {
    let Some(metadata) = metadata else { return "{}".to_owned() };
    let plain = |json: Struct, fields: &[&str]| {
        fields.iter().fold(json, |json, field| json.non_empty(field, metadata.get(*field)))
    };
    let list = |json: Struct, field: &str, item: fn(&Map<String, Value>) -> String| {
        let items = metadata.get(field).and_then(Value::as_array).filter(|items| !items.is_empty());
        let one = |value: &Value| value.as_object().map_or("null".to_owned(), item);
        match items {
            None => json,
            Some(items) => {
                json.field(field, &format!("[{}]", items.iter().map(one).collect::<Vec<_>>().join(",")))
            }
        }
    };
    let json = plain(Struct::default(), &["name", "home", "sources", "version", "description", "keywords"]);
    let json = list(json, "maintainers", |maintainer| {
        let fields = ["name", "email", "url"].into_iter();
        fields.fold(Struct::default(), |json, field| json.non_empty(field, maintainer.get(field))).finish()
    });
    let json = plain(
        json,
        &[
            "icon",
            "apiVersion",
            "condition",
            "tags",
            "appVersion",
            "deprecated",
            "annotations",
            "kubeVersion",
        ],
    );
    list(json, "dependencies", dependency).non_empty("type", metadata.get("type")).finish()
}

fn dependency(dependency: &Map<String, Value>) -> String {
    let text = |field: &str| go::text(dependency.get(field).and_then(Value::as_str).unwrap_or_default());
    let json = Struct::default()
        .field("name", &text("name"))
        .non_empty("version", dependency.get("version"))
        .field("repository", &text("repository"));
    let rest = ["condition", "tags", "enabled", "import-values", "alias"].into_iter();
    rest.fold(json, |json, field| json.non_empty(field, dependency.get(field))).finish()
}

fn hooks(hooks: Option<&Vec<Value>>) -> String {
    let is_test = |hook: &&Map<String, Value>| {
        let events = hook.get("events").and_then(Value::as_array);
        events.is_some_and(|events| events.iter().any(|event| event == "test"))
    };
    let hooks: Vec<String> = hooks
        .into_iter()
        .flatten()
        .filter_map(Value::as_object)
        .filter(|hook| !is_test(hook))
        .map(hook)
        .collect();
    if hooks.is_empty() { "null".to_owned() } else { format!("[{}]", hooks.join(",")) }
}

fn hook(hook: &Map<String, Value>) -> String {
    let run = hook.get("last_run").and_then(Value::as_object);
    let field = |field: &str| run.and_then(|run| run.get(field));
    let last_run = Struct::default()
        .non_empty("started_at", time(field("started_at")).as_ref())
        .non_empty("completed_at", time(field("completed_at")).as_ref())
        .field("phase", &go::text(field("phase").and_then(Value::as_str).unwrap_or_default()))
        .finish();
    let json = ["name", "kind", "path", "manifest", "events"].into_iter();
    let json = json.fold(Struct::default(), |json, field| json.non_empty(field, hook.get(field)));
    let rest = ["weight", "delete_policies", "output_log_policies"].into_iter();
    rest.fold(json.field("last_run", &last_run), |json, field| json.non_empty(field, hook.get(field)))
        .finish()
}

#[cfg(test)]
#[path = "snapshot/tests.rs"]
mod tests;
