#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]
use rstest::rstest;
use serde_json::json;

use super::*;

fn spec(yaml: &str) -> HelmReleaseSpec {
    let mut value: Value =
        serde_yaml::from_str("{interval: 5m, chartRef: {kind: HelmChart, name: web}}").unwrap();
    let given: Map<String, Value> = serde_yaml::from_str(yaml).unwrap();
    value.as_object_mut().unwrap().extend(given);
    serde_json::from_value(value).unwrap()
}

#[test]
fn what_is_not_said_is_as_in_flux() {
    let spec = spec("{install: {}, upgrade: {}, uninstall: {}}");
    assert_eq!(spec.timeout(), StdDuration::from_secs(300));
    assert_eq!(spec.max_history(), Some(5));
    assert_eq!(spec.drift_mode(), DriftMode::Disabled);
    assert_eq!(spec.post_render_strategy(), PostRenderStrategy::Combined);
    assert_eq!(spec.wait_strategy(), WaitStrategyName::Poller);
    assert_eq!(spec.install.unwrap().crds(), CrdsPolicy::Create);
    let upgrade = spec.upgrade.unwrap();
    assert_eq!(upgrade.crds(), CrdsPolicy::Skip);
    assert_eq!(upgrade.chart_name_change_strategy(), ChartNameChangeStrategy::Reinstall);
    assert_eq!(spec.uninstall.unwrap().deletion_propagation, DeletionPropagation::Background);
    assert_eq!(spec.values, None);
}

#[rstest]
#[case("{maxHistory: 0}", None)]
#[case("{maxHistory: -3}", None)]
#[case("{maxHistory: 10}", Some(10))]
fn zero_revisions_are_all(#[case] yaml: &str, #[case] expected: Option<usize>) {
    assert_eq!(spec(yaml).max_history(), expected);
}

#[rstest]
#[case("{}", json!({}))]
#[case("{values: null}", json!({}))]
#[case("{values: [1]}", json!({}))]
#[case("{values: {a: {b: 1}}}", json!({"a": {"b": 1}}))]
fn values_are_an_object_or_none(#[case] yaml: &str, #[case] expected: Value) {
    assert_eq!(Value::Object(spec(yaml).values()), expected);
}

#[rstest]
#[case("{}", CrdsPolicy::Create)]
#[case("{skipCRDs: true}", CrdsPolicy::Skip)]
#[case("{skipCRDs: true, crds: CreateReplace}", CrdsPolicy::Skip)]
#[case("{crds: CreateReplace}", CrdsPolicy::CreateReplace)]
fn the_old_way_to_leave_definitions_out_still_counts(#[case] yaml: &str, #[case] expected: CrdsPolicy) {
    let install: Install = serde_yaml::from_str(yaml).unwrap();
    assert_eq!(install.crds(), expected);
}

#[rstest]
#[case("{name: RemediateOnFailure}", None)]
#[case("{name: RetryOnFailure}", Some(300))]
#[case("{name: RetryOnFailure, retryInterval: 30s}", Some(30))]
fn a_retry_has_an_interval(#[case] yaml: &str, #[case] seconds: Option<u64>) {
    let strategy: ActionStrategy = serde_yaml::from_str(yaml).unwrap();
    assert_eq!(strategy.retry_interval(), seconds.map(StdDuration::from_secs));
}

#[rstest]
#[case("[]", true)]
#[case("[{name: a}]", true)]
#[case("[{name: b}]", false)]
#[case("[{name: b, exclude: true}]", true)]
#[case("[{name: a, exclude: true}]", false)]
#[case("[{name: a}, {name: a, exclude: true}]", false)]
#[case("[{name: b}, {name: c, exclude: true}]", false)]
fn filters_choose_tests(#[case] filters: &str, #[case] expected: bool) {
    let test = Test { filters: serde_yaml::from_str(filters).unwrap(), ..Test::default() };
    assert_eq!(test.selects("a"), expected);
}

#[rstest]
#[case("null", false, false)]
#[case("{}", true, false)]
#[case("{a: {phase: Succeeded}}", true, false)]
#[case("{a: {phase: Succeeded}, b: {}}", false, false)]
#[case("{a: {phase: Running}}", false, false)]
#[case("{a: {phase: Failed}, b: {}}", true, true)]
fn a_release_was_tested_when_all_tests_succeeded_or_one_failed(
    #[case] hooks: &str,
    #[case] tested: bool,
    #[case] failed: bool,
) {
    let mut snapshot: ReleaseSnapshot =
        serde_json::from_value(every_field()["status"]["history"][0].clone()).unwrap();
    snapshot.test_hooks = serde_yaml::from_str(hooks).unwrap();
    assert_eq!((snapshot.has_been_tested(), snapshot.has_failed_test()), (tested, failed));
}

#[test]
fn a_word_that_a_later_helm_has_is_unknown() {
    assert_eq!(serde_json::from_value::<ReleaseStatus>(json!("paused")).unwrap(), ReleaseStatus::Unknown);
    for status in ReleaseStatus::ALL {
        assert_eq!(serde_json::to_value(status).unwrap(), status.as_str());
        assert_eq!(serde_json::from_value::<ReleaseStatus>(json!(status.as_str())).unwrap(), *status);
    }
}

#[rstest]
#[case("{}", "missing field `interval`")]
#[case(
    "{interval: 5m, chartRef: {kind: GitRepository, name: a}}",
    "unknown variant `GitRepository`, expected one of `OCIRepository`, `HelmChart`, `ExternalArtifact`"
)]
#[case(
    "{interval: 5m, chart: {spec: {chart: a, sourceRef: {kind: OCIRepository, name: a}}}}",
    "unknown variant `OCIRepository`, expected one of `HelmRepository`, `GitRepository`, `Bucket`"
)]
fn a_wrong_spec_is_refused_with_the_reason(#[case] yaml: &str, #[case] message: &str) {
    let value: Value = serde_yaml::from_str(yaml).unwrap();
    assert_eq!(serde_json::from_value::<HelmReleaseSpec>(value).unwrap_err().to_string(), message);
}

/// Every field of the definition, in the form in which Flux writes it.
fn every_field() -> Value {
    let target = json!({"kind": "Deployment", "name": "web"});
    json!({
        "apiVersion": "helm.toolkit.fluxcd.io/v2",
        "kind": "HelmRelease",
        "metadata": {"name": "web", "namespace": "shop"},
        "spec": {
            "chart": {
                "metadata": {"labels": {"a": "b"}, "annotations": {"c": "d"}},
                "spec": {
                    "chart": "web", "version": "1.x", "interval": "10m", "reconcileStrategy": "Revision",
                    "sourceRef": {"apiVersion": "source.toolkit.fluxcd.io/v1", "kind": "HelmRepository", "name": "charts", "namespace": "other"},
                    "valuesFiles": ["values.yaml", "prod.yaml"], "ignoreMissingValuesFiles": true,
                    "verify": {"provider": "notation", "secretRef": {"name": "keys"}},
                },
            },
            "chartRef": {"apiVersion": "source.toolkit.fluxcd.io/v1", "kind": "OCIRepository", "name": "web", "namespace": "other"},
            "interval": "60m",
            "kubeConfig": {"secretRef": {"name": "prod", "key": "value"}},
            "suspend": true,
            "releaseName": "shop-web",
            "targetNamespace": "apps",
            "storageNamespace": "records",
            "dependsOn": [{"name": "database", "namespace": "other", "readyExpr": "dep.status.failures == 0"}],
            "timeout": "3m0s",
            "maxHistory": 0,
            "serviceAccountName": "deployer",
            "persistentClient": false,
            "driftDetection": {"mode": "warn", "ignore": [{"paths": ["/spec/replicas"], "target": target}]},
            "install": {
                "timeout": "1m", "strategy": {"name": "RetryOnFailure", "retryInterval": "1m30s"},
                "remediation": {"retries": -1, "ignoreTestFailures": false, "remediateLastFailure": true},
                "disableTakeOwnership": true, "disableWait": true, "disableWaitForJobs": true, "disableHooks": true,
                "disableOpenAPIValidation": true, "disableSchemaValidation": true, "replace": true, "skipCRDs": true,
                "crds": "CreateReplace", "createNamespace": true, "serverSideApply": false,
            },
            "upgrade": {
                "timeout": "1m", "strategy": {"name": "RemediateOnFailure"},
                "remediation": {"retries": 3, "ignoreTestFailures": true, "remediateLastFailure": false, "strategy": "uninstall"},
                "disableTakeOwnership": true, "disableWait": true, "disableWaitForJobs": true, "disableHooks": true,
                "disableOpenAPIValidation": true, "disableSchemaValidation": true, "force": true, "preserveValues": true,
                "cleanupOnFail": true, "crds": "Create", "serverSideApply": "disabled", "chartNameChangeStrategy": "InPlaceUpdate",
            },
            "test": {"enable": true, "timeout": "1m", "ignoreFailures": true, "filters": [{"name": "a", "exclude": true}]},
            "rollback": {
                "timeout": "1m", "disableWait": true, "disableWaitForJobs": true, "disableHooks": true, "recreate": true,
                "force": true, "cleanupOnFail": true, "serverSideApply": "auto",
            },
            "uninstall": {
                "timeout": "1m", "disableHooks": true, "keepHistory": true, "disableWait": true, "deletionPropagation": "foreground",
            },
            "valuesFrom": [{
                "kind": "Secret", "name": "values", "valuesKey": "tag", "targetPath": "image.tag", "optional": true, "literal": true,
            }],
            "values": {"replicas": 2},
            "commonMetadata": {"annotations": {"a": "b"}, "labels": {"c": "d"}},
            "postRenderers": [{"kustomize": {
                "patches": [{"patch": "- op: remove\n  path: /spec/replicas", "target": target}],
                "images": [{"name": "app", "newName": "ghcr.io/app", "newTag": "v2", "digest": "sha256:ab"}],
            }}],
            "postRenderStrategy": "nohooks",
            "waitStrategy": {"name": "legacy"},
            "healthCheckExprs": [{"apiVersion": "example.com/v1", "kind": "Db", "current": "true"}],
        },
        "status": {
            "observedGeneration": -1,
            "observedPostRenderersDigest": "sha256:01",
            "observedCommonMetadataDigest": "sha256:02",
            "lastAttemptedGeneration": 2,
            "conditions": [{
                "type": "Ready", "status": "True", "reason": "InstallSucceeded", "message": "Helm install succeeded",
                "observedGeneration": 2, "lastTransitionTime": "2026-01-01T00:00:00Z",
            }],
            "helmChart": "other/shop-web",
            "storageNamespace": "records",
            "history": [{
                "apiVersion": "v2", "digest": "sha256:03", "name": "shop-web", "namespace": "apps", "version": 3, "status": "deployed",
                "action": "upgrade", "chartName": "web", "chartVersion": "1.2.3", "appVersion": "4", "configDigest": "sha256:04",
                "firstDeployed": "2026-01-01T00:00:00Z", "lastDeployed": "2026-01-02T00:00:00Z", "deleted": "2026-01-03T00:00:00Z",
                "testHooks": {"web-test": {
                    "lastStarted": "2026-01-02T00:00:00Z", "lastCompleted": "2026-01-02T00:00:01Z", "phase": "Succeeded",
                }},
                "ociDigest": "sha256:05",
            }],
            "inventory": {"entries": [{"id": "apps_web_apps_Deployment", "v": "v1"}]},
            "lastAttemptedReleaseAction": "upgrade",
            "lastAttemptedReleaseActionDuration": "1.5s",
            "failures": 1,
            "installFailures": 2,
            "upgradeFailures": 3,
            "lastAttemptedRevision": "1.2.3+0123456789ab",
            "lastAttemptedRevisionDigest": "sha256:05",
            "lastAttemptedValuesChecksum": "06",
            "lastReleaseRevision": 3,
            "lastAttemptedConfigDigest": "sha256:04",
            "lastHandledResetAt": "a",
            "lastHandledReconcileAt": "b",
            "lastHandledForceAt": "c",
        },
    })
}

#[test]
fn an_object_with_every_field_is_written_as_it_was_read() {
    let object = every_field();
    let read: HelmRelease = serde_json::from_value(object.clone()).unwrap();
    assert_eq!(serde_json::to_value(&read).unwrap(), object);
    let latest = read.status.as_ref().unwrap().latest().unwrap();
    assert_eq!(latest.full_release_name(), "apps/shop-web.v3");
    assert_eq!(latest.versioned_chart_name(), "web@1.2.3");
    assert_eq!(read.helm_chart_name(), "shop-web");
}

/// Guards the test above: a field that is added to the type has to be added there.
#[test]
fn the_object_with_every_field_has_every_field() {
    crate::crds::every_field::<HelmRelease>(&every_field());
}

#[test]
fn namespaces_are_that_of_the_object_unless_given() {
    let mut release: HelmRelease = serde_json::from_value(every_field()).unwrap();
    assert_eq!((release.release_namespace(), release.storage_namespace()), ("apps".into(), "records".into()));
    release.spec.target_namespace = None;
    release.spec.storage_namespace = None;
    assert_eq!((release.release_namespace(), release.storage_namespace()), ("shop".into(), "shop".into()));
}
