//! What a Kustomization and a Pipeline come down to.

use std::collections::BTreeSet;
use std::time::Duration as StdDuration;

use plumb_api::{
    Capabilities, CrossNamespaceSourceReference, DependencyReference, Duration, KustomizationSpec,
    OnDeletion, ParameterSource, PipelineApply, PipelineHealth, PipelineSpec, PipelineStep, PluginLimits,
    PostBuild, ValuesKind,
};
use serde_json::{Map, Value};

use crate::kustomization;

/// What to render, how to apply it, and how to tell whether it works: a Kustomization or a Pipeline, without the difference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spec {
    /// The source with the files.
    pub source_ref: CrossNamespaceSourceReference,
    /// How often to look when nothing has happened.
    pub interval: Duration,
    /// See [`Spec::retry_interval`].
    pub retry_interval: Option<Duration>,
    /// See [`Spec::timeout`].
    pub timeout: Option<Duration>,
    /// What has to be ready first. Each names its kind.
    pub depends_on: Vec<DependencyReference>,
    /// Whether to leave the cluster alone.
    pub suspend: bool,
    /// The steps, in their order.
    pub steps: Vec<StepSpec>,
    /// How to apply.
    pub apply: PipelineApply,
    /// How to tell whether what was applied works.
    pub health: PipelineHealth,
}

/// A step as its author wrote it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StepSpec {
    /// What errors call it.
    pub name: String,
    /// Which plugin runs.
    pub plugin: PluginName,
    /// What the plugin is told.
    pub parameters: Parameters,
    /// CEL; when it is false, the step is left out.
    pub when: Option<String>,
    /// Whether what it makes is applied.
    pub apply: bool,
    /// How much the plugin may use.
    pub limits: PluginLimits,
    /// What the step hands to the plugin.
    pub capabilities: Capabilities,
    /// What it decrypts with: the step hands over the keys as well.
    pub decryption: Option<Decryption>,
}

/// What a Kustomization decrypts with: its `spec.decryption`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decryption {
    /// Where the keys are. They are handed over as secrets.
    pub keys: Keys,
    /// The service account whose identity opens keys of key services, where the keys have no credentials for them.
    pub service_account: Option<String>,
}

/// Where the keys come from that decrypt what a Kustomization renders.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Keys {
    /// All values of this Secret, by their keys: `secretRef`.
    Secret(String),
    /// What the operator gives those who name none.
    OfOperator,
}

/// How a step names its plugin.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum PluginName {
    /// One that is built in, whatever Plugins the namespace has: those of a Kustomization.
    Builtin(String),
    /// A `Plugin` of the namespace, else one that is built in.
    Any(String),
}

impl PluginName {
    /// The name alone.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Builtin(name) | Self::Any(name) => name,
        }
    }
}

/// What a plugin is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Parameters {
    /// A JSON object, and what is put into it.
    Given {
        /// `with`.
        with: Map<String, Value>,
        /// `withFrom`.
        with_from: Vec<ParameterSource>,
    },
    /// The variables of a Kustomization. The step is left out when there are none and the strategy is `WithVariables`.
    Variables(PostBuild),
}

/// A ConfigMap or a Secret that a spec reads in the namespace of its object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct InputName<'a> {
    /// Whether it is a Secret.
    pub is_secret: bool,
    /// Its name.
    pub name: &'a str,
}

impl<'a> InputName<'a> {
    /// A ConfigMap or a Secret.
    pub fn new(kind: ValuesKind, name: &'a str) -> Self {
        Self { is_secret: kind == ValuesKind::Secret, name }
    }

    /// `ConfigMap` or `Secret`.
    pub fn kind(self) -> ValuesKind {
        if self.is_secret { ValuesKind::Secret } else { ValuesKind::ConfigMap }
    }
}

/// The shortest time that rendering, applying and waiting for health is given.
const MIN_TIMEOUT: StdDuration = StdDuration::from_secs(30);

impl Spec {
    /// How long to wait before a failed reconciliation is tried again.
    pub fn retry_interval(&self) -> StdDuration {
        self.retry_interval.as_ref().unwrap_or(&self.interval).to_std()
    }

    /// How long rendering, applying and waiting for health may take: at least 30 seconds.
    pub fn timeout(&self) -> StdDuration {
        let given = self.timeout.as_ref().map(Duration::to_std);
        given.unwrap_or_else(|| self.interval.to_std().saturating_sub(MIN_TIMEOUT)).max(MIN_TIMEOUT)
    }

    /// What to do with the applied objects when the object is deleted.
    pub fn on_deletion(&self) -> OnDeletion {
        use plumb_api::DeletionPolicy::{Delete, MirrorPrune, Orphan, WaitForTermination};
        match self.apply.deletion_policy.unwrap_or_default() {
            MirrorPrune if self.apply.prune => OnDeletion::Delete,
            MirrorPrune | Orphan => OnDeletion::Orphan,
            Delete => OnDeletion::Delete,
            WaitForTermination => OnDeletion::DeleteAndWait,
        }
    }

    /// Whether a step decrypts with the keys that the operator gives.
    pub fn uses_operator_keys(&self) -> bool {
        let decryptions = self.steps.iter().filter_map(|step| step.decryption.as_ref());
        decryptions.map(|decryption| &decryption.keys).any(|keys| *keys == Keys::OfOperator)
    }

    /// The ConfigMaps and Secrets that the steps read, each once: whoever renders fetches and watches them.
    pub fn inputs(&self) -> impl Iterator<Item = InputName<'_>> {
        let all: BTreeSet<InputName<'_>> = self.steps.iter().flat_map(StepSpec::inputs).collect();
        all.into_iter()
    }
}

impl StepSpec {
    /// A step with a built-in plugin, as a Kustomization has them.
    pub fn builtin(plugin: &str, parameters: Parameters) -> Self {
        Self {
            name: plugin.to_owned(),
            plugin: PluginName::Builtin(plugin.to_owned()),
            parameters,
            when: None,
            apply: true,
            limits: PluginLimits::default(),
            capabilities: Capabilities::default(),
            decryption: None,
        }
    }

    /// The ConfigMaps and Secrets that the step reads.
    fn inputs(&self) -> Vec<InputName<'_>> {
        let keys = self.decryption.iter().filter_map(|decryption| match &decryption.keys {
            Keys::Secret(name) => Some(name),
            Keys::OfOperator => None,
        });
        let secrets = self.capabilities.secrets.iter().map(|secret| &secret.secret_ref.name).chain(keys);
        let secrets = secrets.map(|name| InputName::new(ValuesKind::Secret, name));
        match &self.parameters {
            Parameters::Given { with_from, .. } => {
                let from = with_from.iter().map(|from| InputName::new(from.kind, &from.name));
                from.chain(secrets).collect()
            }
            Parameters::Variables(post_build) => {
                let from = post_build.substitute_from.iter();
                from.map(|from| InputName::new(from.kind, &from.name)).chain(secrets).collect()
            }
        }
    }
}

impl From<&KustomizationSpec> for Spec {
    fn from(spec: &KustomizationSpec) -> Self {
        Self {
            source_ref: spec.source_ref.clone(),
            interval: spec.interval.clone(),
            retry_interval: spec.retry_interval.clone(),
            timeout: spec.timeout.clone(),
            depends_on: with_kind(&spec.depends_on, "kustomize.toolkit.fluxcd.io/v1", "Kustomization"),
            suspend: spec.suspend,
            steps: kustomization::step_specs(spec),
            apply: PipelineApply {
                prune: spec.prune,
                force: spec.force,
                target_namespace: spec.target_namespace.clone(),
                service_account_name: spec.service_account_name.clone(),
                kube_config: spec.kube_config.clone(),
                ignore: spec.ignore.clone(),
                deletion_policy: spec.deletion_policy,
                common_metadata: spec.common_metadata.clone(),
            },
            health: PipelineHealth {
                wait: spec.wait,
                checks: spec.health_checks.clone(),
                exprs: spec.health_check_exprs.clone(),
                plugins: Vec::new(),
            },
        }
    }
}

impl From<&PipelineSpec> for Spec {
    fn from(spec: &PipelineSpec) -> Self {
        Self {
            source_ref: spec.source_ref.clone(),
            interval: spec.interval.clone(),
            retry_interval: spec.retry_interval.clone(),
            timeout: spec.timeout.clone(),
            depends_on: with_kind(&spec.depends_on, "plumbline.dev/v1alpha1", "Pipeline"),
            suspend: spec.suspend,
            steps: spec.steps.iter().map(StepSpec::from).collect(),
            apply: spec.apply.clone(),
            health: spec.health.clone(),
        }
    }
}

impl From<&PipelineStep> for StepSpec {
    fn from(step: &PipelineStep) -> Self {
        Self {
            name: step.name().to_owned(),
            plugin: PluginName::Any(step.plugin.clone()),
            parameters: Parameters::Given { with: step.with.clone(), with_from: step.with_from.clone() },
            when: step.when.clone(),
            apply: step.apply,
            limits: step.limits.clone(),
            capabilities: step.capabilities.clone(),
            decryption: None,
        }
    }
}

/// The dependencies, each with its kind: by default that of the object that depends.
fn with_kind(
    dependencies: &[DependencyReference],
    own_version: &str,
    own_kind: &str,
) -> Vec<DependencyReference> {
    let applier = |kind: &str| match kind {
        "Kustomization" => Some("kustomize.toolkit.fluxcd.io/v1"),
        "Pipeline" => Some("plumbline.dev/v1alpha1"),
        _ => None,
    };
    let complete = |dependency: &DependencyReference| {
        let mut dependency = dependency.clone();
        match &dependency.kind {
            None => {
                dependency.kind = Some(own_kind.to_owned());
                dependency.api_version.get_or_insert_with(|| own_version.to_owned());
            }
            Some(kind) if dependency.api_version.is_none() => {
                dependency.api_version = applier(kind).map(str::to_owned);
            }
            Some(_) => {}
        }
        dependency
    };
    dependencies.iter().map(complete).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use rstest::rstest;

    use super::*;

    fn pipeline(more: &str) -> Spec {
        let steps = if more.contains("steps:") { "" } else { "steps: [{plugin: yaml}], " };
        let text = format!("{{sourceRef: {{kind: GitRepository, name: a}}, interval: 5m, {steps}{more}}}");
        Spec::from(&serde_yaml::from_str::<PipelineSpec>(&text).unwrap())
    }

    fn kustomization(more: &str) -> Spec {
        let text =
            format!("{{sourceRef: {{kind: GitRepository, name: a}}, interval: 5m, prune: true, {more}}}");
        Spec::from(&serde_yaml::from_str::<KustomizationSpec>(&text).unwrap())
    }

    #[rstest]
    #[case::less_than_the_interval("", 270)]
    #[case::given("timeout: 2m", 120)]
    #[case::given_too_short("timeout: 5s", 30)]
    fn both_kinds_have_the_same_timeout(#[case] more: &str, #[case] seconds: u64) {
        for spec in [pipeline(more), kustomization(more)] {
            assert_eq!(spec.timeout(), StdDuration::from_secs(seconds));
            assert_eq!(spec.retry_interval(), StdDuration::from_secs(300));
        }
    }

    #[test]
    fn deletion_follows_pruning_unless_something_else_is_said() {
        assert_eq!(pipeline("").on_deletion(), OnDeletion::Delete);
        assert_eq!(pipeline("apply: {prune: false}").on_deletion(), OnDeletion::Orphan);
        assert_eq!(
            kustomization("deletionPolicy: WaitForTermination").on_deletion(),
            OnDeletion::DeleteAndWait
        );
    }

    #[rstest]
    #[case("{name: a}", ("Pipeline", Some("plumbline.dev/v1alpha1")))]
    #[case("{kind: Kustomization, name: a}", ("Kustomization", Some("kustomize.toolkit.fluxcd.io/v1")))]
    #[case("{kind: Secret, name: a}", ("Secret", None))]
    #[case("{kind: Deployment, apiVersion: apps/v1, name: a}", ("Deployment", Some("apps/v1")))]
    fn a_dependency_is_of_the_same_kind_unless_given(
        #[case] dependency: &str,
        #[case] expected: (&str, Option<&str>),
    ) {
        let spec = pipeline(&format!("dependsOn: [{dependency}]"));
        let [dependency] = &spec.depends_on[..] else { unreachable!() };
        assert_eq!((dependency.kind.as_deref().unwrap(), dependency.api_version.as_deref()), expected);
    }

    #[test]
    fn everything_that_steps_read_is_an_input_once() {
        let spec = pipeline(
            "steps: [{plugin: a, withFrom: [{kind: ConfigMap, name: c}, {kind: Secret, name: s, key: k}]}, \
             {plugin: b, capabilities: {secrets: [{name: x, secretRef: {name: s}}, {name: y, secretRef: {name: t}}]}}]",
        );
        let inputs: Vec<_> = spec.inputs().map(|input| (input.kind(), input.name)).collect();
        assert_eq!(
            inputs,
            [(ValuesKind::ConfigMap, "c"), (ValuesKind::Secret, "s"), (ValuesKind::Secret, "t")]
        );
        let spec = kustomization("postBuild: {substituteFrom: [{kind: Secret, name: vars}]}");
        assert_eq!(spec.inputs().count(), 1);
    }

    #[test]
    fn a_kustomization_is_kustomize_and_variables_where_they_are_asked_for() {
        let names = |spec: &Spec| spec.steps.iter().map(|step| step.name.clone()).collect::<Vec<_>>();
        assert_eq!(names(&kustomization("")), ["kustomize"]);
        assert_eq!(names(&kustomization("postBuild: {substitute: {a: b}}")), ["kustomize", "substitute"]);
    }

    #[test]
    fn what_is_rendered_is_decrypted_before_variables_are_put_in() {
        let spec = kustomization(
            "decryption: {provider: sops, secretRef: {name: keys}}, postBuild: {substitute: {a: b}}",
        );
        let names: Vec<_> = spec.steps.iter().map(|step| step.name.as_str()).collect();
        assert_eq!(names, ["kustomize", "sops", "substitute"]);
        assert_eq!(spec.inputs().collect::<Vec<_>>(), [InputName { is_secret: true, name: "keys" }]);
        assert!(!spec.uses_operator_keys());
        let spec = kustomization("decryption: {provider: sops, serviceAccountName: robot}");
        assert!(spec.uses_operator_keys() && spec.inputs().count() == 0);
        let accounts: Vec<_> = spec.steps.iter().filter_map(|step| step.decryption.as_ref()).collect();
        assert_eq!(accounts[0].service_account.as_deref(), Some("robot"));
    }
}
