//! The HelmChart that is made of `spec.chart`: in the namespace of its source, named after the HelmRelease.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use kube::ResourceExt as _;
use kube::api::{Api, DeleteParams, ObjectMeta, Patch, PatchParams};
use kube::core::{ApiResource, DynamicObject, GroupVersionKind};
use plumb_api::{ConditionType, HelmChart, HelmChartTemplate, HelmRelease, Object, Reason, conditions};
use plumb_apply::{Digest, RELEASE_FIELD_MANAGER};
use serde_json::{Map, Value, json};

use super::Turn;
use crate::applier::failure::{Failure, Retry};
use crate::status::{bounded, said};
use crate::{Key, Tenancy};

/// How long the watch may take until it shows what was applied. What it has not shown by then was deleted before it could.
const WATCH_LAG: Duration = Duration::from_secs(10);

/// The HelmChart as it is to be, once it was like that.
#[derive(Debug)]
pub(super) struct Applied {
    digest: Digest,
    uid: Option<String>,
    /// What the API server counted it as: a higher one is a change by somebody else.
    generation: Option<i64>,
    resource_version: Option<String>,
    at: Instant,
    /// Whether the watch has shown this very object: once it shows none, somebody has deleted it.
    was_shown: bool,
}

impl Applied {
    /// What the API server has answered, or what the watch shows, of an object of which the watch shows `live`.
    fn new(digest: Digest, meta: ObjectMeta, live: Option<&HelmChart>) -> Self {
        Self {
            digest,
            was_shown: live.is_some_and(|live| live.metadata.uid == meta.uid),
            uid: meta.uid,
            generation: meta.generation,
            resource_version: meta.resource_version,
            at: Instant::now(),
        }
    }

    /// Whether what the watch shows is older than what was applied, so that it tells nothing of it.
    fn is_ahead_of(&self, live: Option<&HelmChart>) -> bool {
        let Some(live) = live else { return !self.was_shown && self.at.elapsed() < WATCH_LAG };
        let number = |version: &Option<String>| version.as_deref()?.parse::<u64>().ok();
        // Where versions are no numbers, nothing is known of their order.
        number(&live.metadata.resource_version)
            .zip(number(&self.resource_version))
            .is_some_and(|(live, applied)| live < applied)
    }

    /// Whether nobody has changed it since.
    fn is_kept(&self, live: &HelmChart, wanted: &Object) -> bool {
        live.metadata.uid == self.uid
            && live.metadata.generation <= self.generation
            && has_metadata(live, wanted)
    }
}

/// Creates, updates or deletes the HelmChart, as the spec says, and puts back what others have changed in it. What is as it should be costs no request.
pub(super) async fn keep(run: &mut Turn<'_>, release: &HelmRelease) -> Result<(), Failure> {
    let wanted = release.spec.chart.as_ref().map(|template| (key(release, template), template));
    let name = wanted.as_ref().map(|(key, _)| key.to_string());
    if run.status.helm_chart.is_some() && run.status.helm_chart != name {
        delete(run).await?;
    }
    let Some((key, template)) = wanted else { return Ok(()) };
    allow(run, &key)?;
    let object = helm_chart(release, template, &key)?;
    let digest = plumb_apply::desired_digest(&object);
    let live = run.context.sources.helm_chart(&key);
    if let Some(applied) = run.memory.own.helm_chart.as_mut().filter(|applied| applied.digest == digest) {
        if applied.is_ahead_of(live.as_deref()) {
            return Ok(());
        }
        applied.was_shown |= live.is_some();
        if live.as_deref().is_some_and(|live| applied.is_kept(live, &object)) {
            return Ok(());
        }
    }
    // After a restart nothing is remembered, and the watch knows it.
    if let Some(live) = live.as_deref().filter(|live| is_as_wanted(live, &object)) {
        run.memory.own.helm_chart = Some(Applied::new(digest, live.metadata.clone(), Some(live)));
        run.status.helm_chart = name;
        return Ok(());
    }
    let api = charts(run, &key.namespace);
    let params = PatchParams::apply(RELEASE_FIELD_MANAGER).force();
    let applied = bounded(api.patch(&key.name, &params, &Patch::Apply(object.fields()))).await;
    let applied = applied.map_err(|error| failed(&format!("could not apply HelmChart '{key}'"), &error))?;
    tracing::debug!(object = %run.id, helm_chart = %key, "applied the HelmChart");
    run.memory.own.helm_chart = Some(Applied::new(digest, applied.metadata, live.as_deref()));
    run.status.helm_chart = name;
    Ok(())
}

/// Fails until there is an artifact of the HelmChart as it was applied: that of an earlier one may be another chart. A HelmChart that somebody has
/// suspended serves what it has.
pub(super) fn await_artifact(run: &Turn<'_>) -> Result<(), Failure> {
    let Some(applied) = &run.memory.own.helm_chart else { return Ok(()) };
    let source = run.object.source();
    let there = run.context.sources.helm_chart(&source.key);
    let is_suspended = there.as_ref().is_some_and(|there| there.spec.suspend);
    // Another controller says in the status what its artifact was made for, and takes that back while it makes another.
    if is_suspended
        || !run.context.fetches(source.kind)
        || run.context.artifacts.made_for(&source) >= applied.generation
    {
        return Ok(());
    }
    let status = there.as_ref().and_then(|there| there.status.as_ref());
    let ready = status.and_then(|status| conditions::find(&status.conditions, ConditionType::Ready));
    let why = match ready {
        Some(ready) if ready.status == "False" => ready.message.clone(),
        _ => "it was not fetched yet as it is now".to_owned(),
    };
    // No watch tells that what it has never shown will not come.
    let retry = if applied.was_shown { Retry::Source } else { Retry::Health(WATCH_LAG) };
    Err(Failure::new(Reason::SourceNotReady, retry, format!("{source} is not ready: {why}")))
}

/// Deletes the HelmChart that was made, if there is one.
pub(super) async fn delete(run: &mut Turn<'_>) -> Result<(), Failure> {
    let Some((namespace, name)) = run.status.helm_chart.as_deref().and_then(|chart| chart.split_once('/'))
    else {
        run.status.helm_chart = None;
        return Ok(());
    };
    let key = Key { namespace: namespace.to_owned(), name: name.to_owned() };
    allow(run, &key)?;
    let api = charts(run, &key.namespace);
    match bounded(api.delete(&key.name, &DeleteParams::background())).await {
        Err(error) if !matches!(&error, kube::Error::Api(status) if status.is_not_found()) => {
            Err(failed(&format!("could not delete HelmChart '{key}'"), &error))
        }
        Ok(_) | Err(_) => {
            run.status.helm_chart = None;
            run.memory.own.helm_chart = None;
            Ok(())
        }
    }
}

/// Where the HelmChart of a release is.
pub(super) fn key(release: &HelmRelease, template: &HelmChartTemplate) -> Key {
    let own = release.metadata.namespace.as_deref().unwrap_or_default();
    Key { namespace: template.spec.source_ref.namespace_or(own).to_owned(), name: release.helm_chart_name() }
}

/// Attack 21 (multi-tenancy): a HelmChart in another namespace is a way to its sources.
fn allow(run: &Turn<'_>, key: &Key) -> Result<(), Failure> {
    allowed(&run.context.config.tenancy, &run.id.key.namespace, key)
}

fn allowed(tenancy: &Tenancy, own: &str, key: &Key) -> Result<(), Failure> {
    if !tenancy.no_cross_namespace_refs || key.namespace == own {
        return Ok(());
    }
    let message = format!("can't access HelmChart '{key}': cross-namespace references have been blocked");
    Err(Failure::new(Reason::AccessDenied, Retry::Never, message))
}

fn charts(run: &Turn<'_>, namespace: &str) -> Api<DynamicObject> {
    let resource = ApiResource::from_gvk_with_plural(
        &GroupVersionKind::gvk("source.toolkit.fluxcd.io", "v1", "HelmChart"),
        "helmcharts",
    );
    Api::namespaced_with(run.context.client.clone(), namespace, &resource)
}

/// The HelmChart as it is applied.
fn helm_chart(release: &HelmRelease, template: &HelmChartTemplate, key: &Key) -> Result<Object, Failure> {
    let spec = &template.spec;
    let mut fields = match serde_json::to_value(spec) {
        Ok(Value::Object(fields)) => fields,
        _ => Map::new(),
    };
    fields
        .insert("sourceRef".to_owned(), json!({"kind": spec.source_ref.kind, "name": spec.source_ref.name}));
    let interval = spec.interval.as_ref().unwrap_or(&release.spec.interval);
    fields.insert("interval".to_owned(), json!(interval));
    let metadata = template.metadata.clone().unwrap_or_default();
    let mut labels = metadata.labels;
    labels.insert(
        plumb_api::annotations::RELEASE_OWNER_NAME.to_owned(),
        release.metadata.name.clone().unwrap_or_default(),
    );
    labels.insert(
        plumb_api::annotations::RELEASE_OWNER_NAMESPACE.to_owned(),
        release.metadata.namespace.clone().unwrap_or_default(),
    );
    let mut meta = json!({"name": key.name, "namespace": key.namespace, "labels": labels});
    if !metadata.annotations.is_empty()
        && let Some(meta) = meta.as_object_mut()
    {
        meta.insert("annotations".to_owned(), json!(metadata.annotations));
    }
    let object = json!({
        "apiVersion": "source.toolkit.fluxcd.io/v1", "kind": "HelmChart", "metadata": meta, "spec": fields,
    });
    Object::new(object)
        .map_err(|error| Failure::new(Reason::ReconciliationFailed, Retry::Never, error.to_string()))
}

/// Whether a HelmChart has what would be applied, and nothing else in its spec.
fn is_as_wanted(live: &HelmChart, wanted: &Object) -> bool {
    let Ok(wanted_chart) = serde_json::from_value::<HelmChart>(Value::Object(wanted.fields().clone())) else {
        return false;
    };
    live.spec == wanted_chart.spec && has_metadata(live, wanted)
}

/// Whether a HelmChart has the labels and annotations that would be applied. Others may have added more.
fn has_metadata(live: &HelmChart, wanted: &Object) -> bool {
    let has = |field: &str, live: &BTreeMap<String, String>| {
        let wanted = wanted.pointer(&format!("/metadata/{field}")).and_then(Value::as_object);
        wanted.into_iter().flatten().all(|(key, value)| live.get(key).map(String::as_str) == value.as_str())
    };
    has("labels", live.labels()) && has("annotations", live.annotations())
}

fn failed(what: &str, error: &kube::Error) -> Failure {
    Failure::new(Reason::ReconciliationFailed, Retry::Backoff, format!("{what}: {}", said(error)))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::the_same(json!({}), json!({"a": "b"}), true)]
    #[case::more_labels(json!({}), json!({"a": "b", "c": "d"}), true)]
    #[case::fewer_labels(json!({}), json!({}), false)]
    #[case::another_label(json!({}), json!({"a": "c"}), false)]
    #[case::another_version(json!({"version": "2.x"}), json!({"a": "b"}), false)]
    #[case::a_field_that_is_wanted_no_more(json!({"valuesFiles": ["a.yaml"]}), json!({"a": "b"}), false)]
    fn what_is_as_wanted_is_not_applied(#[case] more: Value, #[case] labels: Value, #[case] expected: bool) {
        let source = json!({"kind": "HelmRepository", "name": "charts"});
        let object = |more: &Value, labels: &Value| {
            let mut spec = json!({"chart": "web", "version": "1.x", "interval": "1h", "sourceRef": source, "reconcileStrategy": "ChartVersion"});
            for (field, value) in more.as_object().unwrap() {
                spec[field] = value.clone();
            }
            json!({
                "apiVersion": "source.toolkit.fluxcd.io/v1", "kind": "HelmChart",
                "metadata": {"name": "shop-web", "namespace": "shop", "labels": labels}, "spec": spec,
            })
        };
        let wanted = Object::new(object(&json!({}), &json!({"a": "b"}))).unwrap();
        let live: HelmChart = serde_json::from_value(object(&more, &labels)).unwrap();
        assert_eq!(is_as_wanted(&live, &wanted), expected);
    }

    fn chart(uid: &str, generation: i64, labels: Value) -> Value {
        json!({
            "apiVersion": "source.toolkit.fluxcd.io/v1", "kind": "HelmChart",
            "metadata": {"name": "shop-web", "namespace": "shop", "uid": uid, "generation": generation, "labels": labels},
            "spec": {"chart": "web", "interval": "5m", "sourceRef": {"kind": "HelmRepository", "name": "charts"}},
        })
    }

    #[rstest]
    #[case::as_applied("1", 2, json!({"team": "shop", "more": "x"}), true)]
    #[case::of_an_earlier_generation("1", 1, json!({"team": "shop"}), true)]
    #[case::its_spec_was_changed("1", 3, json!({"team": "shop"}), false)]
    #[case::another_of_the_same_name("2", 1, json!({"team": "shop"}), false)]
    #[case::a_label_was_changed("1", 2, json!({"team": "other"}), false)]
    #[case::a_label_was_removed("1", 2, json!({}), false)]
    fn what_others_change_is_noticed(
        #[case] uid: &str,
        #[case] generation: i64,
        #[case] labels: Value,
        #[case] expected: bool,
    ) {
        let wanted = Object::new(chart("", 0, json!({"team": "shop"}))).unwrap();
        let digest = plumb_apply::desired_digest(&wanted);
        let meta = ObjectMeta { uid: Some("1".to_owned()), generation: Some(2), ..ObjectMeta::default() };
        let applied = Applied::new(digest, meta, None);
        let live: HelmChart = serde_json::from_value(chart(uid, generation, labels)).unwrap();
        assert_eq!(applied.is_kept(&live, &wanted), expected);
    }

    /// A HelmChart as the watch shows it: its UID and resource version.
    fn shown(live: Option<(&str, &str)>) -> Option<HelmChart> {
        live.map(|(uid, version)| {
            let mut live: HelmChart = serde_json::from_value(chart(uid, 1, json!({}))).unwrap();
            live.metadata.resource_version = Some(version.to_owned());
            live
        })
    }

    #[rstest]
    #[case::it_was_just_created(None, None, true)]
    #[case::it_was_just_changed(Some(("1", "6")), Some(("1", "6")), true)]
    #[case::by_somebody_else_before(Some(("1", "6")), Some(("1", "7")), true)]
    #[case::the_one_before_was_deleted(Some(("0", "6")), Some(("0", "6")), true)]
    #[case::it_is_as_it_was_applied(None, Some(("1", "10")), false)]
    #[case::it_was_changed_since(None, Some(("1", "11")), false)]
    #[case::it_was_there_and_is_gone(Some(("1", "6")), None, false)]
    #[case::versions_are_no_numbers(None, Some(("1", "six")), false)]
    fn what_the_watch_has_yet_to_show_is_not_applied_again(
        #[case] before: Option<(&str, &str)>,
        #[case] live: Option<(&str, &str)>,
        #[case] expected: bool,
    ) {
        let digest = plumb_apply::desired_digest(&Object::new(chart("", 0, json!({}))).unwrap());
        let version = Some("10".to_owned());
        let meta =
            ObjectMeta { uid: Some("1".to_owned()), resource_version: version, ..ObjectMeta::default() };
        let mut applied = Applied::new(digest, meta, shown(before).as_ref());
        assert_eq!(applied.is_ahead_of(shown(live).as_ref()), expected);

        applied.at = applied.at.checked_sub(WATCH_LAG).unwrap();
        let is_late = live.is_some() && expected;
        assert_eq!(applied.is_ahead_of(shown(live).as_ref()), is_late, "what never came is made again");
    }
}
