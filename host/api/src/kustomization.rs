use std::collections::BTreeMap;
use std::time::Duration as StdDuration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::conditions::conditions_schema;
use crate::serde_rules::{is_false, non_empty};
use crate::{
    CrossNamespaceSourceReference, CustomHealthCheck, DependencyReference, Duration, History, IgnoreRule,
    Image, Inventory, KubeConfigReference, LocalObjectReference, NamespacedObjectKindReference, Patch,
    PostBuild,
};

/// What to apply from a source, how, and how to tell whether it works.
#[derive(CustomResource, Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "kustomize.toolkit.fluxcd.io",
    version = "v1",
    kind = "Kustomization",
    plural = "kustomizations",
    singular = "kustomization",
    shortname = "ks",
    category = "all",
    category = "fluxcd",
    category = "fluxcd-appliers",
    namespaced,
    status = "KustomizationStatus",
    derive = "PartialEq",
    doc = "A Kustomization renders a directory of a source and keeps the cluster as it says.",
    annotation("kustomize.toolkit.fluxcd.io/substitute", "disabled"),
    printcolumn = r#"{"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"}"#,
    printcolumn = r#"{"name": "Ready", "type": "string", "jsonPath": ".status.conditions[?(@.type==\"Ready\")].status"}"#,
    printcolumn = r#"{"name": "Status", "type": "string", "jsonPath": ".status.conditions[?(@.type==\"Ready\")].message"}"#
)]
#[serde(rename_all = "camelCase")]
pub struct KustomizationSpec {
    /// Labels and annotations that all objects are given. They go before those of the same key in the manifests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub common_metadata: Option<CommonMetadata>,
    /// What has to be ready before this Kustomization is applied: other Kustomizations, for example `[{name: infrastructure}]`, or any other
    /// objects.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub depends_on: Vec<DependencyReference>,
    /// How to decrypt what SOPS has encrypted in the source.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decryption: Option<Decryption>,
    /// How often to check that the cluster is as the source says, for example `10m`. New revisions and changes of objects do
    /// not wait for it. The controller spreads the Kustomizations out a little, so that they are not all checked at once.
    pub interval: Duration,
    /// How long to wait before a failed reconciliation is tried again, for example `1m`. It defaults to `interval`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_interval: Option<Duration>,
    /// The cluster to apply to, when it is not the one that the Kustomization is in. Together with `serviceAccountName`, it is the service
    /// account of that name in the other cluster that the objects are applied as.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kube_config: Option<KubeConfigReference>,
    /// The directory of the source to render, for example `./clusters/production`. When it has no `kustomization.yaml`, one is made
    /// that lists all manifests in it and below. It defaults to the root of the source. Nothing outside the source can be read.
    #[serde(default, deserialize_with = "non_empty", skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// Variables to put into the rendered objects: `${name}` becomes the value of `name`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub post_build: Option<PostBuild>,
    /// Whether to delete what is no longer in the source from the cluster: only objects that this Kustomization has applied itself are
    /// deleted. Deletions of more than half of ten or more objects wait for a confirmation; the annotation `plumbline.dev/prune-limit` sets
    /// another limit. It has to be given; `true` is what most want.
    pub prune: bool,
    /// What to do with the applied objects when the Kustomization is deleted: `MirrorPrune` (the default) deletes them if `prune` is
    /// true, `Delete` deletes them, `WaitForTermination` deletes them and waits until they are gone, and `Orphan` leaves them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "DeletionPolicy")]
    pub deletion_policy: Option<DeletionPolicy>,
    /// The objects that have to be healthy for the Kustomization to be ready. They are not looked at when `wait` is true.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub health_checks: Vec<NamespacedObjectKindReference>,
    /// Text to put before the names of all objects, for example `staging-`.
    #[serde(default, deserialize_with = "non_empty", skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 200))]
    pub name_prefix: Option<String>,
    /// Text to put after the names of all objects, for example `-v2`.
    #[serde(default, deserialize_with = "non_empty", skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 200))]
    pub name_suffix: Option<String>,
    /// Patches for the rendered objects: strategic merge or JSON Patch (RFC 6902).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub patches: Vec<Patch>,
    /// Images whose name, tag or digest is to be replaced.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub images: Vec<Image>,
    /// The service account of this namespace to apply the objects as: what it may not do, the Kustomization cannot do. It defaults to
    /// the one that the controller was started with, and without that to the controller's own.
    #[serde(default, deserialize_with = "non_empty", skip_serializing_if = "Option::is_none")]
    pub service_account_name: Option<String>,
    /// The source with the files, for example `{kind: GitRepository, name: app-manifests}`.
    pub source_ref: CrossNamespaceSourceReference,
    /// Whether to leave the cluster alone until further notice. A reconciliation that is under way is not stopped. It defaults to
    /// `false`.
    #[serde(default, skip_serializing_if = "is_false")]
    pub suspend: bool,
    /// The namespace to put all objects into that have one. It goes before the namespaces of the manifests.
    #[serde(default, deserialize_with = "non_empty", skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub target_namespace: Option<String>,
    /// How long rendering, applying and waiting for health may take, for example `5m`. It defaults to `interval` less 30 seconds and
    /// is at least 30 seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Duration>,
    /// Whether to delete and create objects anew that cannot be changed, because a field is immutable. This can lose data and
    /// interrupts service. It defaults to `false`.
    #[serde(default)]
    pub force: bool,
    /// Whether all applied objects have to be healthy for the Kustomization to be ready. It defaults to `false`.
    #[serde(default, skip_serializing_if = "is_false")]
    pub wait: bool,
    /// What kustomize is to note in the objects about how they were made: `originAnnotations` for the file that they come from,
    /// `transformerAnnotations` for what changed them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub build_metadata: Vec<BuildMetadataOption>,
    /// Kustomize components to add, as paths relative to `path`: `../../components/tls`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub components: Vec<String>,
    /// Whether to leave out the components that the source does not have instead of failing. It defaults to `false`.
    #[serde(default, skip_serializing_if = "is_false")]
    pub ignore_missing_components: bool,
    /// How to tell the health of custom resources, in CEL. It is waited for when `wait` or `healthChecks` is set.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub health_check_exprs: Vec<CustomHealthCheck>,
    /// Fields that others may change, such as `/spec/replicas` where an autoscaler is at work: they are not put back.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ignore: Vec<IgnoreRule>,
    /// Deprecated: it has no effect, since the API server now validates all objects before any is applied. `none`, `client` and `server`
    /// are accepted, so that old manifests still work, and answered with a warning event. Remove it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Validation")]
    pub validation: Option<Validation>,
}

/// The shortest time that rendering, applying and waiting for health is given.
const MIN_TIMEOUT: StdDuration = StdDuration::from_secs(30);

impl KustomizationSpec {
    /// How long to wait before a failed reconciliation is tried again.
    pub fn retry_interval(&self) -> StdDuration {
        self.retry_interval.as_ref().unwrap_or(&self.interval).to_std()
    }

    /// How long rendering, applying and waiting for health may take: at least 30 seconds.
    pub fn timeout(&self) -> StdDuration {
        let given = self.timeout.as_ref().map(Duration::to_std);
        given.unwrap_or_else(|| self.interval.to_std().saturating_sub(MIN_TIMEOUT)).max(MIN_TIMEOUT)
    }

    /// What to do with the applied objects when the Kustomization is deleted.
    pub fn on_deletion(&self) -> OnDeletion {
        match self.deletion_policy.unwrap_or_default() {
            DeletionPolicy::MirrorPrune if self.prune => OnDeletion::Delete,
            DeletionPolicy::MirrorPrune | DeletionPolicy::Orphan => OnDeletion::Orphan,
            DeletionPolicy::Delete => OnDeletion::Delete,
            DeletionPolicy::WaitForTermination => OnDeletion::DeleteAndWait,
        }
    }
}

/// Labels and annotations that all objects are given.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CommonMetadata {
    /// The annotations, for example `{contact: team-a@example.com}`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// The labels, for example `{team: a}`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
}

/// How to decrypt the encrypted files of the source.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Decryption {
    /// What the files are encrypted with: `sops`.
    pub provider: DecryptionProvider,
    /// The service account of the same namespace whose identity opens the keys of a cloud's key service, where the Secret has no credentials
    /// for it. It defaults to what the operator says, or to the identity of the controller.
    #[serde(default, deserialize_with = "non_empty", skip_serializing_if = "Option::is_none")]
    pub service_account_name: Option<String>,
    /// The Secret with the private keys: age keys under names that end in `.agekey`, PGP keys under names that end in `.asc`,
    /// and credentials of key services under the names that Flux has for them. It defaults to what the operator gives.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_ref: Option<LocalObjectReference>,
}

/// What encrypted files are encrypted with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum DecryptionProvider {
    /// <https://getsops.io>
    Sops,
}

/// `spec.deletionPolicy`, as it is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum DeletionPolicy {
    /// `Delete` when `prune` is true, otherwise `Orphan`.
    #[default]
    MirrorPrune,
    /// Delete the objects.
    Delete,
    /// Delete the objects and wait until they are gone.
    WaitForTermination,
    /// Leave the objects in the cluster.
    Orphan,
}

/// What to do with the applied objects when their Kustomization is deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnDeletion {
    /// Leave them in the cluster.
    Orphan,
    /// Delete them.
    Delete,
    /// Delete them and wait until they are gone.
    DeleteAndWait,
}

/// What kustomize notes in the objects.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum BuildMetadataOption {
    /// The file that the object comes from.
    OriginAnnotations,
    /// What changed the object.
    TransformerAnnotations,
}

/// `spec.validation` of manifests that are older than the API version v1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Validation {
    /// No validation.
    None,
    /// `kubectl apply --dry-run=client`.
    Client,
    /// `kubectl apply --dry-run=server`.
    Server,
}

/// What the controller has done for a Kustomization or a Pipeline.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct KustomizationStatus {
    /// The generation of the object that the controller last looked at; -1 when it has not looked yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// How the object is doing: Ready, Healthy, and where they apply Reconciling and Stalled.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "conditions_schema")]
    pub conditions: Vec<Condition>,
    /// The revision of the source that was last applied with success, for example `main@sha1:9f2c…`.
    #[serde(default, deserialize_with = "non_empty", skip_serializing_if = "Option::is_none")]
    pub last_applied_revision: Option<String>,
    /// The revision that the applied artifact was itself made from, as its metadata has it: for an OCI artifact the value of
    /// `org.opencontainers.image.revision`. It is not written yet.
    #[serde(default, deserialize_with = "non_empty", skip_serializing_if = "Option::is_none")]
    pub last_applied_origin_revision: Option<String>,
    /// The revision of the source that was last tried.
    #[serde(default, deserialize_with = "non_empty", skip_serializing_if = "Option::is_none")]
    pub last_attempted_revision: Option<String>,
    /// The objects that were applied, and that will be deleted when the source no longer has them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inventory: Option<Inventory>,
    /// The last reconciliations, five at most, the newest first.
    #[serde(default, skip_serializing_if = "History::is_empty")]
    pub history: History,
    /// The value that the annotation `reconcile.fluxcd.io/requestedAt` had when it was last acted upon.
    #[serde(default, deserialize_with = "non_empty", skip_serializing_if = "Option::is_none")]
    pub last_handled_reconcile_at: Option<String>,
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]
    use rstest::rstest;
    use serde_json::{Value, json};

    use super::*;
    use crate::SourceKind;

    /// A spec with the fields that are required; more of them, or others, as YAML.
    fn spec(more: &str) -> KustomizationSpec {
        let mut fields =
            json!({"interval": "5m", "prune": true, "sourceRef": {"kind": "GitRepository", "name": "apps"}});
        let more: Value = serde_yaml::from_str(&format!("{{{more}}}")).unwrap();
        fields.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        serde_json::from_value(fields).unwrap()
    }

    #[rstest]
    #[case::less_than_the_interval("", 270)]
    #[case::at_least("interval: 40s", 30)]
    #[case::short_interval("interval: 10s", 30)]
    #[case::given("timeout: 2m", 120)]
    #[case::given_too_short("timeout: 5s", 30)]
    fn the_timeout_follows_the_interval(#[case] more: &str, #[case] seconds: u64) {
        assert_eq!(spec(more).timeout(), StdDuration::from_secs(seconds));
    }

    #[rstest]
    #[case("", 300)]
    #[case("retryInterval: 1m", 60)]
    #[case("retryInterval: 1h", 3600)]
    fn the_retry_interval_is_the_interval_unless_given(#[case] more: &str, #[case] seconds: u64) {
        assert_eq!(spec(more).retry_interval(), StdDuration::from_secs(seconds));
    }

    #[rstest]
    #[case("prune: true", OnDeletion::Delete)]
    #[case("prune: false", OnDeletion::Orphan)]
    #[case("prune: true, deletionPolicy: MirrorPrune", OnDeletion::Delete)]
    #[case("prune: false, deletionPolicy: MirrorPrune", OnDeletion::Orphan)]
    #[case("prune: false, deletionPolicy: Delete", OnDeletion::Delete)]
    #[case("prune: false, deletionPolicy: WaitForTermination", OnDeletion::DeleteAndWait)]
    #[case("prune: true, deletionPolicy: Orphan", OnDeletion::Orphan)]
    fn what_happens_on_deletion(#[case] more: &str, #[case] expected: OnDeletion) {
        assert_eq!(spec(more).on_deletion(), expected);
    }

    #[rstest]
    #[case("{kind: GitRepository, name: apps}", "team", "GitRepository/apps")]
    #[case("{kind: GitRepository, name: apps, namespace: ''}", "team", "GitRepository/apps")]
    #[case(
        "{kind: OCIRepository, name: apps, namespace: flux-system}",
        "flux-system",
        "OCIRepository/flux-system/apps"
    )]
    fn the_source_is_in_the_same_namespace_unless_given(
        #[case] source: &str,
        #[case] namespace: &str,
        #[case] text: &str,
    ) {
        let source_ref = spec(&format!("sourceRef: {source}")).source_ref;
        assert_eq!(source_ref.namespace_or("team"), namespace);
        assert_eq!(source_ref.to_string(), text);
    }

    #[test]
    fn old_and_unknown_fields_do_not_break_reading() {
        let spec = spec("validation: client, fieldOfTheFuture: {a: 1}, path: ''");
        assert_eq!(spec.validation, Some(Validation::Client));
        assert_eq!(spec.path, None, "an empty path is none");
    }

    #[rstest]
    #[case("{}", "missing field `interval`")]
    #[case("{interval: 5m, sourceRef: {kind: GitRepository, name: a}}", "missing field `prune`")]
    #[case(
        "{interval: 5d, prune: true, sourceRef: {kind: GitRepository, name: a}}",
        "\"5d\" is not a duration: \"d\" is not a unit; use h, m, s or ms, and 24h for a day"
    )]
    #[case(
        "{interval: 5m, prune: true, sourceRef: {kind: HelmChart, name: a}}",
        "unknown variant `HelmChart`, expected one of `OCIRepository`, `GitRepository`, `Bucket`, `ExternalArtifact`"
    )]
    fn a_wrong_spec_is_refused_with_the_reason(#[case] yaml: &str, #[case] message: &str) {
        let value: Value = serde_yaml::from_str(yaml).unwrap();
        assert_eq!(serde_json::from_value::<KustomizationSpec>(value).unwrap_err().to_string(), message);
    }

    /// Every field of the definition, in the form in which Flux writes it.
    fn every_field() -> Value {
        let selector = json!({
            "group": "apps", "version": "v1", "kind": "Deployment", "namespace": "default", "name": "web",
            "annotationSelector": "a=b", "labelSelector": "c=d",
        });
        json!({
            "apiVersion": "kustomize.toolkit.fluxcd.io/v1",
            "kind": "Kustomization",
            "metadata": {"name": "apps", "namespace": "flux-system"},
            "spec": {
                "commonMetadata": {"annotations": {"a": "b"}, "labels": {"c": "d"}},
                "dependsOn": [{"name": "infra", "namespace": "other", "readyExpr": "dep.status.x == self.status.x"}],
                "decryption": {"provider": "sops", "serviceAccountName": "keys", "secretRef": {"name": "age"}},
                "interval": "60m",
                "retryInterval": "90s",
                "kubeConfig": {"configMapRef": {"name": "prod"}, "secretRef": {"name": "prod", "key": "value"}},
                "path": "./clusters/production",
                "postBuild": {
                    "substituteStrategy": "Always",
                    "substitute": {"a": "b"},
                    "substituteFrom": [{"kind": "ConfigMap", "name": "vars", "optional": true}],
                },
                "prune": true,
                "deletionPolicy": "WaitForTermination",
                "healthChecks": [{"apiVersion": "apps/v1", "kind": "Deployment", "name": "web", "namespace": "default"}],
                "namePrefix": "a-",
                "nameSuffix": "-b",
                "patches": [{"patch": "- op: remove\n  path: /spec/replicas", "target": selector}],
                "images": [{"name": "app", "newName": "ghcr.io/app", "newTag": "v2", "digest": "sha256:ab"}],
                "serviceAccountName": "deployer",
                "sourceRef": {"apiVersion": "source.toolkit.fluxcd.io/v1", "kind": "GitRepository", "name": "apps", "namespace": "other"},
                "suspend": true,
                "targetNamespace": "web",
                "timeout": "3m0s",
                "force": true,
                "wait": true,
                "buildMetadata": ["originAnnotations", "transformerAnnotations"],
                "components": ["../tls"],
                "ignoreMissingComponents": true,
                "healthCheckExprs": [{"apiVersion": "example.com/v1", "kind": "Db", "current": "true", "inProgress": "false", "failed": "false"}],
                "ignore": [{"paths": ["/spec/replicas"], "target": selector}],
                "validation": "server",
            },
            "status": {
                "observedGeneration": -1,
                "conditions": [{
                    "type": "Ready", "status": "True", "reason": "ReconciliationSucceeded", "message": "Applied",
                    "observedGeneration": 2, "lastTransitionTime": "2026-01-01T00:00:00Z",
                }],
                "lastAppliedRevision": "main@sha1:ab",
                "lastAppliedOriginRevision": "main@sha1:cd",
                "lastAttemptedRevision": "main@sha1:ef",
                "inventory": {"entries": [{"id": "default_web_apps_Deployment", "v": "v1"}]},
                "history": [{
                    "digest": "sha256:ab", "firstReconciled": "2026-01-01T00:00:00Z", "lastReconciled": "2026-01-02T00:00:00Z",
                    "lastReconciledDuration": "1.5s", "lastReconciledStatus": "ReconciliationSucceeded",
                    "totalReconciliations": 2, "metadata": {"revision": "main@sha1:ab"},
                }],
                "lastHandledReconcileAt": "token",
            },
        })
    }

    #[test]
    fn an_object_with_every_field_is_written_as_it_was_read() {
        let object = every_field();
        let read: Kustomization = serde_json::from_value(object.clone()).unwrap();
        assert_eq!(serde_json::to_value(&read).unwrap(), object);
        assert_eq!(read.spec.source_ref.kind, SourceKind::GitRepository);
    }

    /// Guards the test above: a field that is added to the type has to be added there.
    #[test]
    fn the_object_with_every_field_has_every_field() {
        crate::crds::every_field::<Kustomization>(&every_field());
    }
}
