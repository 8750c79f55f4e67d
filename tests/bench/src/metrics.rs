//! What pages of metrics say, and sums over it. Pure.

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use prometheus_parse::{Labels, Scrape, Value};
use serde::Serialize;

/// The resources that the work is about, as (group, resource).
const RESOURCES: [(&str, &str); 12] = [
    ("kustomize.toolkit.fluxcd.io", "kustomizations"),
    ("helm.toolkit.fluxcd.io", "helmreleases"),
    ("source.toolkit.fluxcd.io", "gitrepositories"),
    ("source.toolkit.fluxcd.io", "helmrepositories"),
    ("source.toolkit.fluxcd.io", "helmcharts"),
    // The records of releases.
    ("", "secrets"),
    ("apps", "deployments"),
    ("", "serviceaccounts"),
    ("", "services"),
    ("networking.k8s.io", "ingresses"),
    ("", "events"),
    ("events.k8s.io", "events"),
];

/// How many requests there were of each verb. A dry run is a verb of its own.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub(crate) struct Requests(BTreeMap<String, u64>);

impl Requests {
    /// Reads the API server's own count, as far as it is about [`RESOURCES`].
    ///
    /// The count is of the whole cluster and names no client, so what others send has to be left out by what it is:
    /// - `PUT`: the controllers of Kubernetes write statuses that way, neither contender writes these resources so;
    /// - `WATCH`: it is counted when it ends, which happens every few minutes to everybody's watches;
    /// - the subresource `token`, which the controllers of Kubernetes ask for.
    ///
    /// The label `component` does not tell who asks, but which server answers: it is `apiserver` for all of them.
    ///
    /// What the benchmark sends is subtracted by whoever knows of it.
    pub(crate) fn of_api_server(page: &str) -> anyhow::Result<Self> {
        let mut requests = Self::default();
        for (labels, count) in samples(page, "apiserver_request_total")? {
            let label = |name: &str| labels.get(name).unwrap_or_default();
            let is_ours = RESOURCES.contains(&(label("group"), label("resource")))
                && !["PUT", "WATCH", "CONNECT"].contains(&label("verb"))
                && label("subresource") != "token";
            if !is_ours {
                continue;
            }
            let dry_run = if label("dry_run").is_empty() { "" } else { " (dry run)" };
            *requests.0.entry(format!("{}{dry_run}", label("verb"))).or_default() += count as u64;
        }
        Ok(requests)
    }

    /// Counts requests of a verb.
    pub(crate) fn add(&mut self, verb: &str, count: u64) {
        *self.0.entry(verb.to_owned()).or_default() += count;
    }

    /// What was added since `before`. Verbs without any are left out.
    pub(crate) fn since(&self, before: &Self) -> Self {
        let difference = |(verb, count): (&String, &u64)| {
            let count = count.saturating_sub(before.0.get(verb).copied().unwrap_or_default());
            (count > 0).then(|| (verb.clone(), count))
        };
        Self(self.0.iter().filter_map(difference).collect())
    }

    /// All verbs together.
    pub(crate) fn total(&self) -> u64 {
        self.0.values().sum()
    }

    /// The verbs with their counts.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, u64)> {
        self.0.iter().map(|(verb, count)| (verb.as_str(), *count))
    }
}

/// The sum of all samples of a counter that have these labels; zero when there is none.
pub(crate) fn sum(page: &str, name: &str, having: &[(&str, &str)]) -> anyhow::Result<u64> {
    let has_all = |labels: &Labels| having.iter().all(|(label, value)| labels.get(label) == Some(value));
    let counted = samples(page, name)?.into_iter().filter(|(labels, _)| has_all(labels));
    Ok(counted.map(|(_, count)| count as u64).sum())
}

/// How many objects of a kind in a namespace have been reconciled at least once, by Flux's metric, which both contenders have.
pub(crate) fn looked_at(page: &str, kind: &str, namespace: &str) -> anyhow::Result<usize> {
    let samples = samples(page, "gotk_reconcile_duration_seconds_count")?;
    let names = samples.iter().filter_map(|(labels, count)| {
        let is_one = labels.get("kind") == Some(kind) && labels.get("namespace") == Some(namespace);
        (is_one && *count > 0.0).then(|| labels.get("name")).flatten()
    });
    Ok(names.collect::<HashSet<_>>().len())
}

/// The value below or at which so many percent of the values are, by the nearest rank; `None` when there are no values.
pub(crate) fn percentile(values: &[Duration], percent: u8) -> Option<Duration> {
    let mut sorted = values.to_vec();
    sorted.sort_unstable();
    let rank = (sorted.len() * usize::from(percent.min(100))).div_ceil(100).max(1);
    sorted.get(rank - 1).copied()
}

/// The samples of one metric. Other lines are not even parsed: the API server's page has tens of thousands.
fn samples(page: &str, name: &str) -> anyhow::Result<Vec<(Labels, f64)>> {
    let is_sample = |line: &&str| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', ' ']));
    let lines = page.lines().filter(is_sample).map(|line| Ok(line.to_owned()));
    let number = |value| match value {
        Value::Counter(number) | Value::Gauge(number) | Value::Untyped(number) => Some(number),
        Value::Histogram(_) | Value::Summary(_) => None,
    };
    let samples = Scrape::parse(lines)?.samples.into_iter();
    Ok(samples.filter_map(|sample| Some((sample.labels, number(sample.value)?))).collect())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use rstest::rstest;

    const API_SERVER: &str = r#"# HELP apiserver_request_total [STABLE] Counter of apiserver requests
# TYPE apiserver_request_total counter
apiserver_request_total{code="200",component="apiserver",dry_run="",group="apps",resource="deployments",scope="resource",subresource="",verb="APPLY",version="v1"} 3
apiserver_request_total{code="201",component="apiserver",dry_run="",group="apps",resource="deployments",scope="resource",subresource="",verb="APPLY",version="v1"} 2
apiserver_request_total{code="200",component="apiserver",dry_run="All",group="",resource="services",scope="resource",subresource="",verb="APPLY",version="v1"} 7
apiserver_request_total{code="200",component="apiserver",dry_run="",group="kustomize.toolkit.fluxcd.io",resource="kustomizations",scope="resource",subresource="status",verb="PATCH",version="v1"} 11
apiserver_request_total{code="201",component="apiserver",dry_run="",group="events.k8s.io",resource="events",scope="resource",subresource="",verb="POST",version="v1"} 1e+06
apiserver_request_total{code="200",component="apiserver",dry_run="",group="apps",resource="deployments",scope="resource",subresource="status",verb="PUT",version="v1"} 100
apiserver_request_total{code="200",component="apiserver",dry_run="",group="",resource="services",scope="cluster",subresource="",verb="WATCH",version="v1"} 100
apiserver_request_total{code="201",component="apiserver",dry_run="",group="",resource="serviceaccounts",scope="resource",subresource="token",verb="POST",version="v1"} 100
apiserver_request_total{code="200",component="apiserver",dry_run="",group="apps",resource="replicasets",scope="resource",subresource="",verb="GET",version="v1"} 100
apiserver_request_total{code="200",component="apiserver",dry_run="",group="",resource="deployments",scope="resource",subresource="",verb="GET",version="v1"} 100
apiserver_request_terminations_total{code="429",component="",group="apps",resource="deployments",verb="GET"} 100
"#;

    fn requests(counts: &[(&str, u64)]) -> Requests {
        Requests(counts.iter().map(|(verb, count)| ((*verb).to_owned(), *count)).collect())
    }

    #[test]
    fn the_api_servers_count_is_read_without_what_others_send() {
        let read = Requests::of_api_server(API_SERVER).unwrap();
        let expected = requests(&[("APPLY", 5), ("APPLY (dry run)", 7), ("PATCH", 11), ("POST", 1_000_000)]);
        assert_eq!(read, expected);
        assert_eq!(read.total(), 1_000_023);
    }

    #[test]
    fn a_difference_leaves_out_what_did_not_change() {
        let before = requests(&[("GET", 5), ("LIST", 2), ("PATCH", 9)]);
        let after = requests(&[("APPLY", 1), ("GET", 5), ("LIST", 3), ("PATCH", 10)]);
        let difference = after.since(&before);
        assert_eq!(difference, requests(&[("APPLY", 1), ("LIST", 1), ("PATCH", 1)]));
        assert_eq!(difference.since(&requests(&[("APPLY", 2)])), requests(&[("LIST", 1), ("PATCH", 1)]));
    }

    #[test]
    fn own_requests_are_added_to_what_is_subtracted() {
        let mut before = requests(&[("PATCH", 9)]);
        before.add("PATCH", 100);
        before.add("POST", 1);
        assert_eq!(requests(&[("PATCH", 112), ("POST", 1)]).since(&before), requests(&[("PATCH", 3)]));
    }

    #[test]
    fn objects_that_were_looked_at_are_counted_once() {
        let page = r#"# TYPE gotk_reconcile_duration_seconds histogram
gotk_reconcile_duration_seconds_bucket{kind="Kustomization",name="a",namespace="apps",le="0.01"} 1
gotk_reconcile_duration_seconds_count{kind="Kustomization",name="a",namespace="apps"} 2
gotk_reconcile_duration_seconds_count{kind="Kustomization",name="b",namespace="apps"} 1
gotk_reconcile_duration_seconds_count{kind="Kustomization",name="c",namespace="apps"} 0
gotk_reconcile_duration_seconds_count{kind="Kustomization",name="d",namespace="other"} 1
gotk_reconcile_duration_seconds_count{kind="GitRepository",name="e",namespace="apps"} 1
"#;
        assert_eq!(looked_at(page, "Kustomization", "apps").unwrap(), 2);
    }

    #[test]
    fn a_counter_is_summed_over_its_labels() {
        let page = "# TYPE plumb_api_requests counter\nplumb_api_requests_total{verb=\"apply\"} 40\n\
                    plumb_api_requests_total{verb=\"get\"} 2\nplumb_renders_total{result=\"succeeded\"} 7\n";
        assert_eq!(sum(page, "plumb_api_requests_total", &[("verb", "apply")]).unwrap(), 40);
        assert_eq!(sum(page, "plumb_api_requests_total", &[]).unwrap(), 42);
        assert_eq!(sum(page, "plumb_api_requests", &[]).unwrap(), 0);
    }

    #[rstest]
    #[case::half_of_one(&[7], 50, 7)]
    #[case::half(&[4, 1, 3, 2], 50, 2)]
    #[case::most(&[4, 1, 3, 2], 99, 4)]
    #[case::all(&[4, 1, 3, 2], 100, 4)]
    #[case::none_is_the_least(&[4, 1, 3, 2], 0, 1)]
    fn percentiles_are_values_that_were_measured(
        #[case] values: &[u64],
        #[case] percent: u8,
        #[case] expected: u64,
    ) {
        let values: Vec<Duration> = values.iter().copied().map(Duration::from_millis).collect();
        assert_eq!(percentile(&values, percent), Some(Duration::from_millis(expected)));
    }

    #[test]
    fn p99_of_a_hundred_leaves_one_out() {
        let values: Vec<Duration> = (1..=100).map(Duration::from_millis).collect();
        assert_eq!(percentile(&values, 99), Some(Duration::from_millis(99)));
        assert_eq!(percentile(&[], 99), None);
    }
}
