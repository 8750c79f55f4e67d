use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::serde_rules::{is_false, non_empty};
use crate::{
    Capabilities, CommonMetadata, CrossNamespaceSourceReference, CustomHealthCheck, DeletionPolicy,
    DependencyReference, Duration, HealthPlugin, IgnoreRule, KubeConfigReference, KustomizationStatus,
    NamespacedObjectKindReference, PluginLimits, ValuesKind,
};

/// What to make of a source by which steps, how to apply it, and how to tell whether it works.
#[derive(CustomResource, Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "plumbline.dev",
    version = "v1alpha1",
    kind = "Pipeline",
    plural = "pipelines",
    singular = "pipeline",
    shortname = "pipe",
    category = "all",
    category = "plumbline",
    namespaced,
    status = "KustomizationStatus",
    derive = "PartialEq",
    doc = "A Pipeline turns a source into objects by steps of plugins and keeps the cluster as they say.",
    annotation("kustomize.toolkit.fluxcd.io/substitute", "disabled"),
    printcolumn = r#"{"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"}"#,
    printcolumn = r#"{"name": "Ready", "type": "string", "jsonPath": ".status.conditions[?(@.type==\"Ready\")].status"}"#,
    printcolumn = r#"{"name": "Status", "type": "string", "jsonPath": ".status.conditions[?(@.type==\"Ready\")].message"}"#
)]
#[serde(rename_all = "camelCase")]
pub struct PipelineSpec {
    /// The source with the files, for example `{kind: GitRepository, name: app-manifests}`.
    pub source_ref: CrossNamespaceSourceReference,
    /// How often to check that the cluster is as the source says, for example `10m`. New revisions and changes of objects do
    /// not wait for it.
    pub interval: Duration,
    /// How long to wait before a failed reconciliation is tried again, for example `1m`. It defaults to `interval`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_interval: Option<Duration>,
    /// How long all steps, applying and waiting for health may take, for example `5m`. It defaults to `interval` less 30 seconds and
    /// is at least 30 seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Duration>,
    /// What has to be ready before this Pipeline is applied: other Pipelines, for example `[{name: infrastructure}]`, or any other
    /// objects, for example `[{kind: Kustomization, name: infrastructure}]`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub depends_on: Vec<DependencyReference>,
    /// Whether to leave the cluster alone until further notice. A reconciliation that is under way is not stopped. It defaults to
    /// `false`.
    #[serde(default, skip_serializing_if = "is_false")]
    pub suspend: bool,
    /// The steps, each of which gets what the one before it has made. The first is a renderer, which turns files into objects; a later renderer
    /// adds its objects to those that are there. A transformer changes objects, and a validator says what is wrong with them.
    #[schemars(
        length(min = 1, max = 32),
        extend("x-kubernetes-validations" = [{
            "rule": "self.all(a, self.exists_one(b, (has(b.name) ? b.name : b.plugin) == (has(a.name) ? a.name : a.plugin)))",
            "message": "two steps have the same name; give each step that uses the same plugin a name of its own",
        }])
    )]
    pub steps: Vec<PipelineStep>,
    /// How to apply the objects. By default what is gone from the steps is deleted from the cluster.
    #[serde(default, skip_serializing_if = "is_default")]
    pub apply: PipelineApply,
    /// How to tell whether what was applied works. By default the Pipeline is ready when everything was applied.
    #[serde(default, skip_serializing_if = "is_default")]
    pub health: PipelineHealth,
}

pub(crate) fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// A plugin, and what it is told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PipelineStep {
    /// What errors call the step, for example `policy`. It has to be unique in the Pipeline, and defaults to the name of the plugin.
    #[serde(default, deserialize_with = "non_empty", skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63), regex(pattern = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"))]
    pub name: Option<String>,
    /// The plugin: the name of a `Plugin` of this namespace, or of one that is built in, for example `kustomize`. A `Plugin` goes before a
    /// built-in one of the same name. `krm` runs a KRM function that lies in the source.
    #[schemars(
        length(min = 1, max = 63),
        regex(pattern = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$")
    )]
    pub plugin: String,
    /// The parameters of the plugin, an object of any form: its documentation says which there are. For example `{path: ./deploy}` for
    /// `kustomize`.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    #[schemars(schema_with = "any_object")]
    pub with: Map<String, Value>,
    /// ConfigMaps and Secrets of this namespace whose values are put into `with`, one after the other: they take the place of what is there. A
    /// change of one is rolled out at once.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    pub with_from: Vec<ParameterSource>,
    /// A CEL expression; when it is false, the step is left out. For example `source.ref == 'main'`. Its variables are `source`, with the
    /// fields `kind`, `name`, `namespace`, `revision`, `ref` and `digest`, and `pipeline` with `kind`, `name` and `namespace`.
    #[serde(default, deserialize_with = "non_empty", skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub when: Option<String>,
    /// Whether what the step makes is applied. With `false` the objects of a renderer are there for the steps after it, and taken out in the end:
    /// for example the CustomResourceDefinitions that a validator compares objects with, and that another Kustomization applies. It defaults to
    /// `true`.
    #[serde(default = "yes")]
    pub apply: bool,
    /// How much the plugin may use: less than the controller, the `Plugin` and policies allow it, never more.
    #[serde(default, skip_serializing_if = "is_default")]
    pub limits: PluginLimits,
    /// What the plugin is handed besides objects and parameters; nothing by default. It gets what the step hands over, a policy allows,
    /// and the service account of the Pipeline may do.
    #[serde(default, skip_serializing_if = "is_default")]
    pub capabilities: Capabilities,
}

impl PipelineStep {
    /// What errors call the step.
    pub fn name(&self) -> &str {
        self.name.as_deref().unwrap_or(&self.plugin)
    }
}

/// An object with any fields, which the API server keeps as they are.
pub(crate) fn any_object(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({"type": "object", "x-kubernetes-preserve-unknown-fields": true})
}

/// A ConfigMap or Secret whose values are put into the parameters of a step. Each value is a string.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ParameterSource {
    /// `ConfigMap` or `Secret`.
    pub kind: ValuesKind,
    /// Its name. It has to be in the namespace of the Pipeline.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// The key whose value is put in. By default all keys are, as an object that is merged with what is there.
    #[serde(default, deserialize_with = "non_empty", skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub key: Option<String>,
    /// Where in the parameters, as a JSON Pointer (RFC 6901), for example `/labels/tier`. Objects on the way are made. It defaults to the field
    /// that is called like `key`, and to the parameters as a whole when there is no `key`.
    #[serde(default, deserialize_with = "non_empty", skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024), regex(pattern = "^/"))]
    pub to: Option<String>,
    /// Whether the Pipeline works without it: when the object or its `key` does not exist, nothing is put in. It defaults to `false`.
    #[serde(default, skip_serializing_if = "is_false")]
    pub optional: bool,
}

/// How the objects of a Pipeline are applied.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PipelineApply {
    /// Whether to delete what the steps no longer give from the cluster: only objects that this Pipeline has applied itself are deleted.
    /// Deletions of more than half of ten or more objects wait for a confirmation; the annotation `plumbline.dev/prune-limit` sets
    /// another limit. It defaults to `true`.
    #[serde(default = "yes")]
    pub prune: bool,
    /// Whether to delete and create objects anew that cannot be changed, because a field is immutable. This can lose data and
    /// interrupts service. It defaults to `false`.
    #[serde(default, skip_serializing_if = "is_false")]
    pub force: bool,
    /// The namespace to put all objects into that have one. It goes before the namespaces that the steps give them.
    #[serde(default, deserialize_with = "non_empty", skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub target_namespace: Option<String>,
    /// The service account of this namespace to apply the objects as, and to read the cluster as for plugins: what it may not do, the Pipeline
    /// cannot do. It defaults to the one that the controller was started with, and without that to the controller's own.
    #[serde(default, deserialize_with = "non_empty", skip_serializing_if = "Option::is_none")]
    pub service_account_name: Option<String>,
    /// The cluster to apply to, when it is not the one that the Pipeline is in. Together with `serviceAccountName`, it is the service
    /// account of that name in the other cluster that the objects are applied as.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kube_config: Option<KubeConfigReference>,
    /// Fields that others may change, such as `/spec/replicas` where an autoscaler is at work: they are not put back.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ignore: Vec<IgnoreRule>,
    /// What to do with the applied objects when the Pipeline is deleted: `MirrorPrune` (the default) deletes them if `prune` is
    /// true, `Delete` deletes them, `WaitForTermination` deletes them and waits until they are gone, and `Orphan` leaves them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "DeletionPolicy")]
    pub deletion_policy: Option<DeletionPolicy>,
    /// Labels and annotations that all objects are given. They go before those of the same key that the steps give.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub common_metadata: Option<CommonMetadata>,
}

fn yes() -> bool {
    true
}

/// With pruning, and nothing else.
impl Default for PipelineApply {
    fn default() -> Self {
        Self {
            prune: true,
            force: false,
            target_namespace: None,
            service_account_name: None,
            kube_config: None,
            ignore: Vec::new(),
            deletion_policy: None,
            common_metadata: None,
        }
    }
}

/// How to tell whether what a Pipeline has applied works.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PipelineHealth {
    /// Whether all applied objects have to be healthy for the Pipeline to be ready. It defaults to `false`.
    #[serde(default, skip_serializing_if = "is_false")]
    pub wait: bool,
    /// The objects that have to be healthy for the Pipeline to be ready. They are not looked at when `wait` is true.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub checks: Vec<NamespacedObjectKindReference>,
    /// How to tell the health of custom resources, in CEL. It is waited for when `wait` or `checks` is set.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub exprs: Vec<CustomHealthCheck>,
    /// The plugins that tell how the objects of some kinds are. An entry of `exprs` for a kind goes before them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    pub plugins: Vec<HealthPlugin>,
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]
    use rstest::rstest;
    use serde_json::json;

    use super::*;

    fn read(spec: &str) -> Result<PipelineSpec, serde_yaml::Error> {
        let source = "sourceRef: {kind: GitRepository, name: shop}";
        serde_yaml::from_str(&format!("{{{source}, interval: 10m, {spec}}}"))
    }

    #[test]
    fn what_is_not_given_has_a_default() {
        let spec = read("steps: [{plugin: kustomize}, {name: sizes, plugin: labels}]").unwrap();
        assert!(spec.apply.prune);
        assert!(!spec.health.wait);
        assert_eq!(spec.steps.iter().map(PipelineStep::name).collect::<Vec<_>>(), ["kustomize", "sizes"]);
        let spec = read("steps: [{plugin: kustomize}], apply: {force: true}").unwrap();
        assert!(spec.apply.prune, "as when nothing is said of how to apply");
    }

    #[rstest]
    #[case("steps: [{plugin: a, with: [1]}]", "invalid type: sequence, expected a map")]
    #[case(
        "steps: [{plugin: a, withFrom: [{kind: Pod, name: a}]}]",
        "unknown variant `Pod`, expected `Secret` or `ConfigMap`"
    )]
    #[case("steps: [{plugin: a, limits: {memory: 1X}}]", "\"1X\" is not a number of bytes")]
    #[case("steps: [{name: a}]", "missing field `plugin`")]
    fn a_wrong_spec_is_refused_with_the_reason(#[case] spec: &str, #[case] message: &str) {
        let error = read(spec).unwrap_err().to_string();
        assert!(error.contains(message), "{error}");
    }

    fn every_field() -> Value {
        json!({
            "apiVersion": "plumbline.dev/v1alpha1",
            "kind": "Pipeline",
            "metadata": {"name": "shop", "namespace": "team-a"},
            "spec": {
                "sourceRef": {"kind": "GitRepository", "name": "shop"},
                "interval": "10m",
                "retryInterval": "1m",
                "timeout": "5m",
                "dependsOn": [{"name": "infra"}],
                "suspend": true,
                "steps": [{
                    "name": "sizes",
                    "plugin": "labels",
                    "with": {"labels": {"tier": "web"}, "count": 1, "list": [null, 1.5, true]},
                    "withFrom": [{"kind": "ConfigMap", "name": "settings", "key": "tier", "to": "/labels/tier", "optional": true}],
                    "when": "source.ref == 'main'",
                    "apply": false,
                    "limits": {"wallTime": "10s", "memory": "128Mi", "output": "16Mi"},
                    "capabilities": {
                        "secrets": [{"name": "token", "secretRef": {"name": "api", "key": "token"}}],
                        "clusterRead": [{"apiVersion": "v1", "kind": "ConfigMap", "namespaces": ["team-a"]}],
                        "http": [{"host": "vault.example.com", "port": 8200, "insecure": true, "allowPrivateAddresses": true}],
                        "clock": true,
                        "random": true,
                    },
                }],
                "apply": {
                    "prune": false, "force": true, "targetNamespace": "web", "serviceAccountName": "deployer",
                    "kubeConfig": {"secretRef": {"name": "prod"}},
                    "ignore": [{"paths": ["/spec/replicas"], "target": {"kind": "Deployment"}}],
                    "deletionPolicy": "Orphan",
                    "commonMetadata": {"labels": {"a": "b"}, "annotations": {"c": "d"}},
                },
                "health": {
                    "wait": true,
                    "checks": [{"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}],
                    "exprs": [{"apiVersion": "example.com/v1", "current": "true"}],
                    "plugins": [{
                        "plugin": "health-cel",
                        "kinds": [{"group": "example.com", "kind": "Database"}, {"apiVersion": "example.com/v1", "kind": "Cache"}],
                        "with": {"rules": []},
                        "onUnknown": "Fail",
                        "limits": {"memory": "64Mi"},
                    }],
                },
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
        let read: Pipeline = serde_json::from_value(every_field()).unwrap();
        assert_eq!(serde_json::to_value(&read).unwrap(), every_field());
    }

    /// Guards the test above: a field that is added to the type has to be added there.
    #[test]
    fn the_object_with_every_field_has_every_field() {
        crate::crds::every_field::<Pipeline>(&every_field());
    }
}
