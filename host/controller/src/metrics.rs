//! What Prometheus is told: Flux's `gotk_*` names, and `plumb_*` of our own.

use std::time::Duration;

use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;

use plumb_apply::{CountRequests, Verb};
use plumb_pipeline::Origin;

use crate::Key;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Labels {
    kind: &'static str,
    name: String,
    namespace: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RenderLabels {
    result: &'static str,
    cached: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct VerbLabels {
    verb: &'static str,
}

/// The metrics of this process. Those of an object are removed when it is gone.
pub(crate) struct Metrics {
    registry: Registry,
    duration: Family<Labels, Histogram, fn() -> Histogram>,
    ready: Family<Labels, Gauge>,
    suspended: Family<Labels, Gauge>,
    renders: Family<RenderLabels, Counter>,
    drift_repairs: Counter,
    panics: Counter,
    requests: Family<VerbLabels, Counter>,
}

/// Flux's buckets: 10 ms to half an hour.
fn duration_histogram() -> Histogram {
    Histogram::new(exponential_buckets(0.01, 2.0, 18))
}

impl Metrics {
    pub(crate) fn new() -> Self {
        let mut metrics = Self {
            registry: Registry::default(),
            duration: Family::new_with_constructor(duration_histogram),
            ready: Family::default(),
            suspended: Family::default(),
            renders: Family::default(),
            drift_repairs: Counter::default(),
            panics: Counter::default(),
            requests: Family::default(),
        };
        let registry = &mut metrics.registry;
        registry.register(
            "gotk_reconcile_duration_seconds",
            "The duration in seconds of a reconciliation",
            metrics.duration.clone(),
        );
        registry.register(
            "gotk_ready_status",
            "1 when the object is Ready, 0 when it is not",
            metrics.ready.clone(),
        );
        registry.register("gotk_suspend_status", "1 when the object is suspended", metrics.suspended.clone());
        registry.register(
            "plumb_renders",
            "Renders, by whether they failed, and by whether the cache had the result, so that no plugin ran",
            metrics.renders.clone(),
        );
        registry.register(
            "plumb_drift_repairs",
            "Objects put back after something else had changed or deleted them",
            metrics.drift_repairs.clone(),
        );
        registry.register("plumb_panics", "Reconciliations that ended in a panic", metrics.panics.clone());
        registry.register(
            "plumb_api_requests",
            "Requests to the API server on behalf of managed objects",
            metrics.requests.clone(),
        );
        metrics
    }

    pub(crate) fn reconciled(&self, kind: &'static str, key: &Key, took: Duration) {
        self.duration.get_or_create(&labels(kind, key)).observe(took.as_secs_f64());
    }

    pub(crate) fn ready(&self, kind: &'static str, key: &Key, ready: bool) {
        self.ready.get_or_create(&labels(kind, key)).set(ready.into());
    }

    pub(crate) fn suspended(&self, kind: &'static str, key: &Key, suspended: bool) {
        self.suspended.get_or_create(&labels(kind, key)).set(suspended.into());
    }

    pub(crate) fn gone(&self, kind: &'static str, key: &Key) {
        let labels = labels(kind, key);
        self.duration.remove(&labels);
        self.ready.remove(&labels);
        self.suspended.remove(&labels);
    }

    /// Counts a render: where its result came from, or `None` when it failed.
    pub(crate) fn rendered(&self, result: Option<Origin>) {
        let (result, cached) = match result {
            Some(Origin::Plugins) => ("succeeded", "false"),
            Some(Origin::Cache) => ("succeeded", "true"),
            None => ("failed", "false"),
        };
        self.renders.get_or_create(&RenderLabels { result, cached }).inc();
    }

    pub(crate) fn repaired(&self, objects: usize) {
        self.drift_repairs.inc_by(objects as u64);
    }

    pub(crate) fn panicked(&self) {
        self.panics.inc();
    }

    /// The metrics in the text format of OpenMetrics.
    pub(crate) fn encode(&self) -> String {
        let mut text = String::new();
        // Writing into a string does not fail.
        let _ = text::encode(&mut text, &self.registry);
        text
    }
}

impl CountRequests for Metrics {
    fn count(&self, verb: Verb) {
        let verb = match verb {
            Verb::Get => "get",
            Verb::DryRun => "dry-run",
            Verb::Apply => "apply",
            Verb::Patch => "patch",
            Verb::Delete => "delete",
        };
        self.requests.get_or_create(&VerbLabels { verb }).inc();
    }
}

fn labels(kind: &'static str, key: &Key) -> Labels {
    Labels { kind, name: key.name.clone(), namespace: key.namespace.clone() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_metric_is_described() {
        let metrics = Metrics::new();
        let key = Key { namespace: "shop".to_owned(), name: "web".to_owned() };
        metrics.reconciled("Kustomization", &key, Duration::from_secs(1));
        metrics.ready("Kustomization", &key, true);
        metrics.suspended("Kustomization", &key, false);
        metrics.rendered(None);
        metrics.repaired(1);
        metrics.panicked();
        metrics.count(Verb::Get);
        let (text, page) = (metrics.encode(), include_str!("../../../docs/metrics.md"));
        let types = text.lines().filter_map(|line| line.strip_prefix("# TYPE "));
        let described: Vec<bool> = types
            .map(|line| line.split(' ').next().unwrap_or_default())
            .map(|name| {
                page.contains(&format!("| `{name}` ")) || page.contains(&format!("| `{name}_total` "))
            })
            .collect();
        assert_eq!(described, [true; 7], "{text}");
    }
}
