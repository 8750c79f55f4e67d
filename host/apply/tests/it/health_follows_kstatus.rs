use jiff::Timestamp;
use plumb_api::{Object, ObjectId};
use plumb_apply::{Health, HealthStatus, health, summarise, with_pods};
use rstest::rstest;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::object;

const NOW: &str = "2026-01-01T00:01:00Z";

fn now() -> Timestamp {
    NOW.parse().unwrap()
}

/// The rows of `health.yaml` for one kind.
#[derive(Deserialize)]
struct Table {
    #[serde(rename = "apiVersion")]
    api_version: String,
    kind: String,
    rows: Vec<Row>,
}

#[derive(Deserialize)]
struct Row {
    #[serde(default)]
    metadata: Value,
    #[serde(default)]
    spec: Value,
    #[serde(default)]
    status: Value,
    is: String,
    because: String,
}

impl Row {
    fn object(&self, table: &Table) -> Object {
        let mut value =
            json!({"apiVersion": table.api_version, "kind": table.kind, "metadata": {"name": "x"}});
        for (field, part) in [("spec", &self.spec), ("status", &self.status)] {
            if !part.is_null() {
                value[field] = part.clone();
            }
        }
        for (field, part) in self.metadata.as_object().into_iter().flatten() {
            value["metadata"][field] = part.clone();
        }
        object(value)
    }
}

#[test]
fn in_every_row_of_the_table() {
    let tables: Vec<Table> = serde_yaml::from_str(include_str!("health.yaml")).unwrap();
    let mut wrong = Vec::new();
    for table in &tables {
        for (index, row) in table.rows.iter().enumerate() {
            let Health { status, message } = health(&row.object(table), now());
            if status.as_str() != row.is || message != row.because {
                wrong.push(format!(
                    "{} row {}: expected {} because {:?}, found {status} because {message:?}",
                    table.kind,
                    index + 1,
                    row.is,
                    row.because
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn pod(name: &str, status: Value) -> Object {
    object(json!({"apiVersion": "v1", "kind": "Pod", "status": status,
        "metadata": {"name": name, "namespace": "default", "creationTimestamp": "2026-01-01T00:00:00Z"}}))
}

fn waiting(reason: &str, message: &str) -> Value {
    json!({"phase": "Running", "containerStatuses": [
        {"name": "app", "state": {"waiting": {"reason": reason, "message": message}}}]})
}

fn unschedulable() -> Value {
    json!({"phase": "Pending", "conditions": [
        {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/3 nodes are available"}]})
}

#[rstest]
#[case::crashing(vec![pod("a", waiting("CrashLoopBackOff", "back-off 10s"))], "Ready: 0/1; Pod a: container app is in CrashLoopBackOff: back-off 10s")]
#[case::image(vec![pod("a", waiting("ImagePullBackOff", ""))], "Ready: 0/1; Pod a: container app is in ImagePullBackOff")]
#[case::no_node(vec![pod("a", unschedulable())], "Ready: 0/1; Pod a: no node takes the pod: 0/3 nodes are available")]
#[case::only_starting(vec![pod("a", waiting("ContainerCreating", ""))], "Ready: 0/1")]
#[case::one_of_them(vec![pod("b", waiting("CrashLoopBackOff", "")), pod("a", json!({"phase": "Pending"}))], "Ready: 0/1; Pod b: container app is in CrashLoopBackOff")]
#[case::two(vec![pod("b", waiting("CrashLoopBackOff", "")), pod("a", waiting("ErrImagePull", "no such image"))], "Ready: 0/1; Pod a: container app is in ErrImagePull: no such image (and 1 more pod)")]
#[case::three(vec![pod("b", unschedulable()), pod("a", unschedulable()), pod("c", unschedulable())], "Ready: 0/1; Pod a: no node takes the pod: 0/3 nodes are available (and 2 more pods)")]
#[case::none(vec![], "Ready: 0/1")]
fn pods_explain_a_workload(#[case] pods: Vec<Object>, #[case] message: &str) {
    let workload = Health::new(HealthStatus::InProgress, "Ready: 0/1");
    assert_eq!(with_pods(workload, &pods, now()), Health::new(HealthStatus::InProgress, message));
}

#[test]
fn a_workload_that_is_current_needs_no_explanation() {
    let workload = Health::new(HealthStatus::Current, "Available: 1/1");
    assert_eq!(with_pods(workload.clone(), &[pod("a", unschedulable())], now()), workload);
}

#[test]
fn how_a_container_has_ended_is_told_and_not_what_it_said() {
    let ended = |code: i64, reason: &str| {
        let terminated =
            json!({"exitCode": code, "reason": reason, "message": "the password is canary-4712"});
        let statuses = json!([{"name": "init", "state": {"terminated": {"exitCode": 0}}}, {"name": "a", "state": {"terminated": terminated}}]);
        pod("migrate-x", json!({"phase": "Failed", "containerStatuses": statuses}))
    };
    let told = |pod: &Object| plumb_apply::ending(pod);
    assert_eq!(told(&ended(3, "Error")).as_deref(), Some("container a has ended with exit code 3"));
    assert_eq!(
        told(&ended(137, "OOMKilled")).as_deref(),
        Some("container a has ended with exit code 137 (OOMKilled)")
    );
    assert_eq!(told(&ended(0, "Completed")), None);
    let job = Health::new(HealthStatus::Failed, "Job has failed");
    let message = "Job has failed; Pod migrate-x: container a has ended with exit code 3";
    assert_eq!(with_pods(job, &[ended(3, "Error")], now()), Health::new(HealthStatus::Failed, message));
}

#[rstest]
#[case(&[], 3, "0 of 0 objects current")]
#[case(&[HealthStatus::Current], 3, "1 of 1 object current")]
#[case(&[HealthStatus::Current, HealthStatus::Current], 3, "2 of 2 objects current")]
#[case(&[HealthStatus::InProgress, HealthStatus::Current], 3, "1 of 2 objects current, 1 InProgress: Pod/n/p0 InProgress: why 0")]
#[case(
    &[HealthStatus::InProgress, HealthStatus::Failed, HealthStatus::InProgress],
    2,
    "0 of 3 objects current, 1 Failed, 2 InProgress: Pod/n/p1 Failed: why 1; Pod/n/p0 InProgress: why 0; and 1 more"
)]
#[case(&[HealthStatus::Failed, HealthStatus::NotFound], 0, "0 of 2 objects current, 1 Failed, 1 NotFound")]
fn the_summary_names_the_worst(
    #[case] states: &[HealthStatus],
    #[case] names: usize,
    #[case] expected: &str,
) {
    let objects: Vec<(ObjectId, Health)> = states
        .iter()
        .enumerate()
        .map(|(index, status)| {
            let id = format!("n_p{index}__Pod").parse().unwrap();
            (id, Health::new(*status, format!("why {index}")))
        })
        .collect();
    assert_eq!(summarise(objects.iter().map(|(id, health)| (id, health)), names), expected);
}
