use std::sync::Arc;

use plumb_api::{GroupVersionKind, HealthCheckKind, HealthPlugin, OnUnknown, PluginLimits};
use plumb_apply::Health;
use plumb_cel::{HealthExpression, HealthExpressions};
use plumb_plugin::{Limits, Plugin};
use serde_json::Value;

use crate::check::{Check, Unfit, lowered, unknown};

/// Who judges objects, for a Kustomization or a Pipeline. For a kind it is the first of: its entry of `healthCheckExprs`, the plugin that was chosen
/// for it, and the rules that come with Plumbline; kstatus judges what is left.
#[derive(Default)]
pub struct Checks {
    expressions: Arc<HealthExpressions>,
    chosen: Vec<Chosen>,
    rules: Option<Arc<Check>>,
}

/// A plugin that was chosen for some kinds.
struct Chosen {
    kinds: Vec<HealthCheckKind>,
    /// The health of all objects of these kinds when the plugin cannot be had.
    check: Result<Arc<Check>, Health>,
}

/// Who judges an object.
pub(crate) enum Judge<'a> {
    Expression(&'a HealthExpression),
    Check(&'a Arc<Check>),
    /// It was chosen, and cannot be had.
    Missing(&'a Health),
    Kstatus,
}

/// A plugin as it was chosen.
pub struct Choice<'a> {
    /// Its name, for messages.
    pub name: &'a str,
    /// The kinds that it is for.
    pub kinds: &'a [HealthCheckKind],
    /// What it is told.
    pub with: Value,
    /// What it means that it cannot tell.
    pub on_unknown: OnUnknown,
    /// How much it may use, where that is less than any may.
    pub limits: PluginLimits,
}

impl<'a> Choice<'a> {
    /// An entry of `spec.health.plugins`.
    pub fn of(entry: &'a HealthPlugin) -> Self {
        Self {
            name: &entry.plugin,
            kinds: &entry.kinds,
            with: Value::Object(entry.with.clone()),
            on_unknown: entry.on_unknown,
            limits: entry.limits.clone(),
        }
    }

    /// What a Plugin says under `spec.healthCheck`, if it does.
    pub fn of_plugin(plugin: &'a plumb_api::Plugin) -> Option<Self> {
        let check = plugin.spec.health_check.as_ref()?;
        Some(Self {
            name: plugin.metadata.name.as_deref()?,
            kinds: &check.kinds,
            with: Value::Object(check.with.clone()),
            on_unknown: check.on_unknown,
            limits: plugin.spec.limits.clone(),
        })
    }
}

impl Checks {
    /// With `healthCheckExprs`, and the rules that come with Plumbline where they are to be used.
    pub fn new(expressions: Arc<HealthExpressions>, rules: Option<Arc<Check>>) -> Self {
        Self { expressions, chosen: Vec::new(), rules }
    }

    /// Adds a plugin that was chosen, or why it cannot be had. What was added before goes before it. `most` is what any plugin may use at most.
    pub fn choose(&mut self, choice: Choice<'_>, plugin: Result<Plugin, String>, most: Limits) {
        let Choice { name, kinds, with, on_unknown, limits } = choice;
        let check = plugin.and_then(|plugin| {
            let limits = lowered(most, &limits);
            Check::chosen(plugin, with, on_unknown, limits).map_err(|unfit: Unfit| unfit.to_string())
        });
        let missing = |why| unknown(on_unknown, format!("the plugin {name} cannot be asked: {why}"));
        self.chosen.push(Chosen { kinds: kinds.to_vec(), check: check.map(Arc::new).map_err(missing) });
    }

    /// Whether there is an expression for a kind: some milliseconds of work.
    pub fn has_expression(&self, kind: &GroupVersionKind) -> bool {
        self.expressions.of(&kind.group, &kind.kind).is_some()
    }

    pub(crate) fn judge(&self, kind: &GroupVersionKind) -> Judge<'_> {
        if let Some(expression) = self.expressions.of(&kind.group, &kind.kind) {
            return Judge::Expression(expression);
        }
        let is_for = |chosen: &&Chosen| chosen.kinds.iter().any(|entry| entry.is(&kind.group, &kind.kind));
        match (self.chosen.iter().find(is_for), &self.rules) {
            (Some(Chosen { check: Ok(check), .. }), _) => Judge::Check(check),
            (Some(Chosen { check: Err(health), .. }), _) => Judge::Missing(health),
            (None, Some(rules)) if is_custom(&kind.group) => Judge::Check(rules),
            (None, _) => Judge::Kstatus,
        }
    }
}

/// Kubernetes' own groups whose names have a dot. kstatus knows their kinds, and those of Flux.
const KUBERNETES: &[&str] = &[
    "admissionregistration.k8s.io",
    "apiextensions.k8s.io",
    "apiregistration.k8s.io",
    "authentication.k8s.io",
    "authorization.k8s.io",
    "certificates.k8s.io",
    "coordination.k8s.io",
    "discovery.k8s.io",
    "events.k8s.io",
    "flowcontrol.apiserver.k8s.io",
    "networking.k8s.io",
    "node.k8s.io",
    "rbac.authorization.k8s.io",
    "resource.k8s.io",
    "scheduling.k8s.io",
    "storage.k8s.io",
];

/// Whether the rules may know kinds of a group.
fn is_custom(group: &str) -> bool {
    group.contains('.')
        && !KUBERNETES.contains(&group)
        && !group.ends_with(".toolkit.fluxcd.io")
        && group != "plumbline.dev"
}
