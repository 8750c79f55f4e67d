//! The HelmChart that is made of `spec.chart`: in the namespace of its source, named after the HelmRelease.

use std::collections::BTreeMap;

use kube::api::{Api, DeleteParams, Patch, PatchParams};
use kube::core::{ApiResource, DynamicObject, GroupVersionKind};
use plumb_api::{HelmChart, HelmChartTemplate, HelmRelease, Object, Reason};
use plumb_apply::RELEASE_FIELD_MANAGER;
use serde_json::{Map, Value, json};

use super::Turn;
use crate::applier::failure::{Failure, Retry};
use crate::status::{bounded, said};
use crate::{Key, Tenancy};

/// Creates, updates or deletes the HelmChart, as the spec says. What is as it should be costs no request.
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
    // After a restart nothing is remembered, and the watch knows it.
    if live.is_some_and(|live| run.memory.own.helm_chart == Some(digest) || is_as_wanted(&live, &object)) {
        run.memory.own.helm_chart = Some(digest);
        run.status.helm_chart = name;
        return Ok(());
    }
    let api = charts(run, &key.namespace);
    let params = PatchParams::apply(RELEASE_FIELD_MANAGER).force();
    let applied = bounded(api.patch(&key.name, &params, &Patch::Apply(object.fields()))).await;
    applied.map_err(|error| failed(&format!("could not apply HelmChart '{key}'"), &error))?;
    run.memory.own.helm_chart = Some(digest);
    run.status.helm_chart = name;
    Ok(())
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
    let Ok(wanted) = serde_json::from_value::<HelmChart>(Value::Object(wanted.fields().clone())) else {
        return false;
    };
    let has = |live: Option<&BTreeMap<String, String>>, wanted: Option<&BTreeMap<String, String>>| {
        let mut wanted = wanted.into_iter().flatten();
        wanted.all(|(key, value)| live.is_some_and(|live| live.get(key) == Some(value)))
    };
    live.spec == wanted.spec
        && has(live.metadata.labels.as_ref(), wanted.metadata.labels.as_ref())
        && has(live.metadata.annotations.as_ref(), wanted.metadata.annotations.as_ref())
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
}
