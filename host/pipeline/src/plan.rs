//! From the steps of a spec to steps that can run.

use std::collections::BTreeMap;
use std::fmt;

use plumb_api::{Capability, PluginLimits, PostBuild, Sensitive, SubstituteStrategy};
use plumb_cel::{EvaluateError, WhenError, WhenExpression};
use plumb_plugin::{Grants, Host, Plugin};
use serde_json::{Map, Value, json};

use crate::builtin::asks_when_needed;
use crate::engine::{Runs, Step};
use crate::values::{self, ValueError, check_pointer};
use crate::{InputName, Parameters, Spec, StepSpec, Values, Variables};

/// The name of the step's plugin that runs a KRM function of the source.
pub const KRM: &str = "krm";

/// The steps of a spec, read: what can be wrong with them whatever they are run on has been found.
#[derive(Clone, Debug)]
pub struct Steps(Vec<Read>);

#[derive(Clone, Debug)]
struct Read {
    spec: StepSpec,
    when: Option<WhenExpression>,
}

/// What is rendered, and by whom: the variables of `when`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Situation {
    /// `Pipeline` or `Kustomization`.
    pub kind: String,
    /// The namespace of that object.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// The source, with its namespace.
    pub source_kind: String,
    /// The namespace of the source.
    pub source_namespace: String,
    /// The name of the source.
    pub source_name: String,
    /// Its revision, for example `main@sha1:9f2c…`; none where nothing was fetched, as on a laptop.
    pub revision: Option<String>,
    /// What identifies the files of the revision.
    pub digest: Option<String>,
}

impl Situation {
    fn source(&self) -> Value {
        let mut source = Map::new();
        let mut field = |name: &str, value: &str| source.insert(name.to_owned(), value.into());
        field("kind", &self.source_kind);
        field("namespace", &self.source_namespace);
        field("name", &self.source_name);
        if let Some(revision) = &self.revision {
            field("revision", revision);
            if let Some((reference, _)) = revision.rsplit_once('@') {
                field("ref", reference);
            }
        }
        if let Some(digest) = &self.digest {
            field("digest", digest);
        }
        Value::Object(source)
    }

    fn pipeline(&self) -> Value {
        json!({"kind": self.kind, "namespace": self.namespace, "name": self.name})
    }
}

/// Provides plugins and what they may do. The controller's looks at Plugins and policies, that of the command line at files.
pub trait Plugins {
    /// The plugin of a step, and what of what the step hands over it may have. `secrets` holds the values of the step's
    /// `capabilities.secrets`, and the keys of its `decryption`.
    ///
    /// # Errors
    ///
    /// When there is no such plugin, it may not run here, or the step hands over more than is allowed.
    fn provide(
        &self,
        step: &StepSpec,
        secrets: BTreeMap<String, Sensitive<Vec<u8>>>,
    ) -> Result<Provided, Unavailable>;
}

/// A plugin for one step.
pub struct Provided {
    /// What runs.
    pub plugin: Code,
    /// What the operator allows it to use.
    pub limits: PluginLimits,
    /// What it may ask for.
    pub grants: Grants,
}

/// What runs in a step.
#[derive(Clone, Debug)]
pub enum Code {
    /// A plugin.
    Plugin(Plugin),
    /// A KRM function that lies in the source and is loaded by this host.
    InSource(Host),
}

/// Why a plugin cannot run in a step.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unavailable {
    /// It has to be waited for: the plugin is being fetched, or was not looked at yet. The text says for what.
    #[error("{0}")]
    NotYet(String),
    /// Somebody has to change something. The text says what.
    #[error("{0}")]
    Refused(String),
}

/// Why steps cannot run: every mistake that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlanError(Vec<Mistake>);

/// What is wrong with a step.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("step {step:?}: {why}")]
pub struct Mistake {
    /// The name of the step.
    pub step: String,
    /// What is wrong with it.
    pub why: Why,
}

/// What can be wrong with a step before it runs.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Why {
    /// Another step has its name.
    #[error("another step has the same name; give each step that uses the same plugin a name of its own")]
    SameName,
    /// `when` is no expression.
    #[error("when: {0}")]
    When(WhenError),
    /// `when` has no truth value here.
    #[error("when: {0}")]
    Undecided(EvaluateError),
    /// A value cannot be had or put in.
    #[error("{field}: {error}")]
    Value {
        /// `withFrom`, `capabilities.secrets`, `spec.decryption.secretRef` or `spec.postBuild.substituteFrom`.
        field: &'static str,
        /// What is wrong.
        error: ValueError,
    },
    /// The plugin cannot run here.
    #[error(transparent)]
    Unavailable(Unavailable),
    /// The plugin asks for something that the step does not hand over.
    #[error("the plugin {plugin} asks for {capability}, and the step does not hand it over; {}", hint(*.capability))]
    NotHandedOver {
        /// The name of the plugin.
        plugin: String,
        /// What it asks for.
        capability: Capability,
    },
    /// `with.module` of a KRM function of the source is missing.
    #[error(
        "with.module is missing: it names the file of the KRM function in the source, for example functions/set.wasm"
    )]
    NoModule,
}

fn hint(capability: Capability) -> &'static str {
    match capability {
        Capability::Secrets => {
            "add for example capabilities: {secrets: [{name: token, secretRef: {name: my-secret, key: token}}]}"
        }
        Capability::ClusterRead => {
            "add for example capabilities: {clusterRead: [{apiVersion: v1, kind: ConfigMap}]}"
        }
        Capability::Http => "add for example capabilities: {http: [{host: vault.example.com}]}",
        Capability::Clock => "add capabilities: {clock: true}",
        Capability::Random => "add capabilities: {random: true}",
    }
}

impl PlanError {
    /// Every mistake, in the order of the steps.
    pub fn mistakes(&self) -> &[Mistake] {
        &self.0
    }

    /// Whether all there is to do is to wait: a plugin is on its way.
    pub fn is_waiting(&self) -> bool {
        self.0.iter().all(|mistake| matches!(mistake.why, Why::Unavailable(Unavailable::NotYet(_))))
    }

    /// Whether an expression is wrong, which is reported with a reason of its own.
    pub fn is_of_an_expression(&self) -> bool {
        self.0.iter().any(|mistake| matches!(mistake.why, Why::When(_) | Why::Undecided(_)))
    }
}

impl fmt::Display for PlanError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, mistake) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            mistake.fmt(f)?;
        }
        Ok(())
    }
}

impl std::error::Error for PlanError {}

impl Steps {
    /// Reads the steps of a spec.
    ///
    /// # Errors
    ///
    /// Every expression, pointer and name that is wrong.
    pub fn read(spec: &Spec) -> Result<Self, PlanError> {
        let (mut steps, mut mistakes) = (Vec::new(), Vec::new());
        for (index, step) in spec.steps.iter().enumerate() {
            let mut wrong = |why| mistakes.push(Mistake { step: step.name.clone(), why });
            if spec.steps.iter().take(index).any(|other| other.name == step.name) {
                wrong(Why::SameName);
            }
            if let Parameters::Given { with, with_from } = &step.parameters {
                for to in with_from.iter().filter_map(|from| from.to.as_deref()) {
                    if let Err(error) = check_pointer(to) {
                        wrong(Why::Value { field: "withFrom", error });
                    }
                }
                if step.is_in_source() && with_from.is_empty() && !with.contains_key("module") {
                    wrong(Why::NoModule);
                }
            }
            match step.when.as_deref().map(WhenExpression::compile).transpose() {
                Ok(when) => steps.push(Read { spec: step.clone(), when }),
                Err(error) => wrong(Why::When(error)),
            }
        }
        if mistakes.is_empty() { Ok(Self(steps)) } else { Err(PlanError(mistakes)) }
    }

    /// The steps that run in a situation, as they are written: a provider that has to wait for plugins looks for theirs first. One whose `when`
    /// has no truth value is among them, for [`Self::plan`] to tell.
    pub fn running(&self, situation: &Situation) -> impl Iterator<Item = &StepSpec> {
        let (source, pipeline) = (situation.source(), situation.pipeline());
        let runs = move |read: &&Read| {
            read.when.as_ref().is_none_or(|when| when.evaluate(&source, &pipeline).unwrap_or(true))
        };
        self.0.iter().filter(runs).map(|read| &read.spec)
    }

    /// The steps that run in a situation, with their parameters, plugins and grants. Nothing is fetched or called here.
    ///
    /// # Errors
    ///
    /// Every step that cannot run, with every reason.
    pub fn plan(
        &self,
        situation: &Situation,
        values: &Values,
        plugins: &dyn Plugins,
    ) -> Result<Vec<Step>, PlanError> {
        let (source, pipeline) = (situation.source(), situation.pipeline());
        let (mut planned, mut mistakes) = (Vec::new(), Vec::new());
        for Read { spec, when } in &self.0 {
            let runs = when.as_ref().map_or(Ok(true), |when| when.evaluate(&source, &pipeline));
            let step = match runs {
                Ok(true) => plan_step(spec, values, plugins),
                Ok(false) => Ok(None),
                Err(error) => Err(vec![Why::Undecided(error)]),
            };
            match step {
                Ok(step) => planned.extend(step),
                Err(all) => {
                    mistakes.extend(all.into_iter().map(|why| Mistake { step: spec.name.clone(), why }));
                }
            }
        }
        if mistakes.is_empty() { Ok(planned) } else { Err(PlanError(mistakes)) }
    }
}

impl StepSpec {
    /// Whether the step runs a KRM function that lies in the source.
    pub(crate) fn is_in_source(&self) -> bool {
        self.plugin.as_str() == KRM
    }
}

/// The step, or none when it has nothing to do.
fn plan_step(spec: &StepSpec, values: &Values, plugins: &dyn Plugins) -> Result<Option<Step>, Vec<Why>> {
    let of = |field| move |error| Why::Value { field, error };
    let parameters = match &spec.parameters {
        Parameters::Given { with, with_from } => values::parameters(with, with_from, values)
            .map_err(|errors| errors.into_iter().map(of("withFrom")).collect::<Vec<_>>()),
        Parameters::Variables(post_build) => {
            let variables = variables(post_build, values).map_err(|errors| {
                errors.into_iter().map(of("spec.postBuild.substituteFrom")).collect::<Vec<_>>()
            })?;
            if !substitutes(post_build, &variables) {
                return Ok(None);
            }
            Ok(variables.parameters())
        }
    };
    let secrets = values::secrets(&spec.capabilities.secrets, values)
        .map_err(|errors| errors.into_iter().map(of("capabilities.secrets")).collect::<Vec<_>>());
    let secrets = secrets.and_then(|mut secrets| {
        if let Some(decryption) = &spec.decryption {
            let keys = values
                .keys(&decryption.keys)
                .map_err(|error| vec![of("spec.decryption.secretRef")(error)])?;
            secrets.extend(keys.clone());
        }
        Ok(secrets)
    });
    let (parameters, secrets) = match (parameters, secrets) {
        (Ok(parameters), Ok(secrets)) => (parameters, secrets),
        (parameters, secrets) => {
            return Err(parameters.err().into_iter().chain(secrets.err()).flatten().collect());
        }
    };
    let provided = plugins.provide(spec, secrets).map_err(|error| vec![Why::Unavailable(error)])?;
    refuse_ungranted(&provided)?;
    let (runs, parameters) = match provided.plugin {
        Code::Plugin(plugin) => (Runs::Plugin(plugin), parameters),
        Code::InSource(host) => in_source(host, parameters)?,
    };
    Ok(Some(Step {
        name: spec.name.clone(),
        runs,
        parameters,
        apply: spec.apply,
        limits: spec.limits.min(&provided.limits),
        grants: provided.grants,
    }))
}

/// What the plugin asks for and was not given, unless only its input can tell whether it is needed.
fn refuse_ungranted(provided: &Provided) -> Result<(), Vec<Why>> {
    let Code::Plugin(plugin) = &provided.plugin else { return Ok(()) };
    let missing = plugin.wants().missing(&provided.grants);
    if missing.is_empty() || asks_when_needed(plugin.name()) {
        return Ok(());
    }
    let not_handed_over =
        |capability| Why::NotHandedOver { plugin: plugin.name().to_owned(), capability: in_spec(capability) };
    Err(missing.into_iter().map(not_handed_over).collect())
}

fn in_spec(capability: plumb_plugin::Capability) -> Capability {
    match capability {
        plumb_plugin::Capability::Secrets => Capability::Secrets,
        plumb_plugin::Capability::ClusterRead => Capability::ClusterRead,
        plumb_plugin::Capability::Http => Capability::Http,
        plumb_plugin::Capability::Clock => Capability::Clock,
        plumb_plugin::Capability::Random => Capability::Random,
    }
}

/// Where the KRM function lies, and what it is told.
fn in_source(host: Host, mut parameters: Value) -> Result<(Runs, Value), Vec<Why>> {
    let module = parameters.get("module").and_then(Value::as_str).map(str::to_owned);
    let module = module.ok_or_else(|| vec![Why::NoModule])?;
    let config = parameters.get_mut("config").map_or(Value::Null, Value::take);
    Ok((Runs::InSource { host, module }, config))
}

/// Without variables nothing is replaced, unless that is asked for: `${name:=default}` then stays as it is.
fn substitutes(post_build: &PostBuild, variables: &Variables) -> bool {
    match post_build.substitute_strategy() {
        SubstituteStrategy::WithVariables => !variables.is_empty(),
        SubstituteStrategy::Always => true,
    }
}

/// The variables of a Kustomization, and every reason why there are none.
fn variables(post_build: &PostBuild, values: &Values) -> Result<Variables, Vec<ValueError>> {
    let (mut all, mut errors) = (Vec::new(), Vec::new());
    for reference in &post_build.substitute_from {
        match values.get(InputName::new(reference.kind, &reference.name)) {
            Some(data) => match values::texts(data, reference.kind, &reference.name) {
                Ok(texts) => all.push(texts),
                Err(error) => errors.push(error),
            },
            None if reference.optional => {}
            None => {
                errors.push(ValueError::NoObject { kind: reference.kind, name: reference.name.clone() });
            }
        }
    }
    if errors.is_empty() { Ok(Variables::merge(&all, &post_build.substitute)) } else { Err(errors) }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn variables_are_put_in_when_there_are_some_or_always() {
        let some = Variables::merge([], &[("a".to_owned(), "b".to_owned())].into());
        let post_build = |json: Value| serde_json::from_value::<PostBuild>(json).unwrap();
        assert!(substitutes(&post_build(json!({})), &some));
        assert!(!substitutes(&post_build(json!({})), &Variables::default()));
        let always = post_build(json!({"substituteStrategy": "Always"}));
        assert!(substitutes(&always, &Variables::default()));
    }
}
