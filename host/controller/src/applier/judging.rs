//! Who judges the objects of an applier, and what plugins say of them. Plugins run where renders do, never on the runtime's workers.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use plumb_api::{Capabilities, Object, PluginLimits};
use plumb_apply::{Health, HealthStatus};
use plumb_health::{Answer, Checks, Choice, Question};
use plumb_pipeline::{Parameters, PluginName, StepSpec};
use plumb_plugin::Plugin;
use serde_json::Map;

use super::expressions::Expressions;
use super::run::Run;
use super::state::ApplierStatus;
use crate::clusters::Actor;
use crate::context::Context;
use crate::plugins::{Asking, Runs, resolve};

/// How long plugins may take for the objects of one applier whenever it is looked at. What is left is asked about the next time.
const ALL: Duration = Duration::from_secs(30);

/// The plugins that the spec chooses for some kinds, those that Plugins of the namespace are, and the rules that come with Plumbline.
pub(super) async fn checks(
    run: &Run<'_, impl ApplierStatus>,
    actor: &Arc<Actor>,
    expressions: &Expressions,
) -> Checks {
    let context = run.context;
    let mut checks = Checks::new(expressions.health.clone(), context.health_rules.clone());
    for entry in &run.spec.health.plugins {
        add(&mut checks, Choice::of(entry), run, actor).await;
    }
    for plugin in context.plugins.health_checks(&run.id.key.namespace) {
        if let Some(choice) = Choice::of_plugin(&plugin) {
            add(&mut checks, choice, run, actor).await;
        }
    }
    checks
}

/// Adds a plugin that was chosen, if it is there and policies allow it, with as much as it may use.
async fn add(checks: &mut Checks, choice: Choice<'_>, run: &Run<'_, impl ApplierStatus>, actor: &Arc<Actor>) {
    let (plugin, limits) = match resolve_check(&choice, run, actor).await {
        Ok((plugin, limits)) => (Ok(plugin), limits),
        Err(why) => (Err(why), PluginLimits::default()),
    };
    let most = plumb_health::limits(run.context.config.plugin_memory);
    checks.choose(Choice { limits, ..choice }, plugin, most);
}

/// It is handed nothing but objects.
async fn resolve_check(
    choice: &Choice<'_>,
    run: &Run<'_, impl ApplierStatus>,
    actor: &Arc<Actor>,
) -> Result<(Plugin, PluginLimits), String> {
    let step = StepSpec {
        name: choice.name.to_owned(),
        plugin: PluginName::Any(choice.name.to_owned()),
        parameters: Parameters::Given { with: Map::new(), with_from: Vec::new() },
        when: None,
        apply: true,
        limits: choice.limits.clone(),
        capabilities: Capabilities::default(),
        decryption: None,
    };
    let asking = Asking { namespace: &run.id.key.namespace, actor, secrets: BTreeMap::new() };
    let resolved = resolve(run.context, asking, &step).await.map_err(|error| error.to_string())?;
    match resolved.runs {
        Runs::Plugin(plugin) => Ok((plugin, resolved.limits)),
        Runs::Krm => Err("a KRM function cannot tell how objects are".to_owned()),
    }
}

/// The health of objects, in their order.
pub(super) async fn judge(
    context: &Arc<Context>,
    namespace: &str,
    checks: &Checks,
    objects: Vec<Arc<Object>>,
    now: Timestamp,
) -> Vec<Health> {
    let mut healths = Vec::with_capacity(objects.len());
    let (mut places, mut questions) = (Vec::new(), Vec::new());
    for (place, object) in objects.iter().enumerate() {
        let look = || context.checker.look(checks, object, now);
        let answer = match checks.has_expression(&object.gvk()) {
            true => tokio::task::block_in_place(look),
            false => look(),
        };
        match answer {
            Answer::Known(health) => healths.push(health),
            Answer::Ask(question) => {
                healths.push(not_looked_at());
                places.push(place);
                questions.push(question);
            }
        }
    }
    if !questions.is_empty() {
        let answers = ask(context, namespace, questions, now).await;
        for (place, answer) in places.into_iter().zip(answers) {
            if let Some(health) = healths.get_mut(place) {
                *health = answer;
            }
        }
    }
    healths
}

/// What is true of an object before anybody has looked at it.
pub(super) fn not_looked_at() -> Health {
    Health::new(HealthStatus::Unknown, "not looked at yet")
}

/// Asks plugins, as one of those who render.
async fn ask(
    context: &Arc<Context>,
    namespace: &str,
    questions: Vec<Question>,
    now: Timestamp,
) -> Vec<Health> {
    let permit = context.renders.acquire(namespace).await;
    let working = context.clone();
    let asking = tokio::task::spawn_blocking(move || {
        let _permit = permit;
        working.checker.ask(&questions, ALL, now, &working.renders_cancelled)
    });
    // What broke down is asked again.
    asking.await.unwrap_or_default()
}
