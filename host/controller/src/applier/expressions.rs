//! What the spec says in languages of its own: CEL expressions, JSON pointers and selectors. Read once a generation, and compared with
//! the definitions of the kinds that they are about, so that a mistake is told when it is made and not after a timeout.

use std::collections::HashSet;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use futures::future::join_all;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::CustomResourceExt as _;
use kube::api::Api;
use plumb_api::{ApplierKind, GroupVersionKind, HelmRelease, Kustomization, Pipeline, Reason};
use plumb_apply::IgnoreRules;
use plumb_cel::{HealthExpressions, ReadyExpression};
use plumb_pipeline::{Spec, Steps};
use serde_json::Value;

use super::dependencies::{applier_kind, kind_of};
use super::failure::{Failure, Retry};
use crate::clusters::Actor;
use crate::status::bounded;

/// Each `readyExpr` may take some milliseconds whenever the object is looked at; more than these are refused.
const READY_EXPRESSIONS: usize = 256;

/// The expressions of a spec.
pub(super) struct Expressions {
    /// `spec.ignore`.
    pub(super) ignore: IgnoreRules,
    /// `spec.healthCheckExprs`.
    pub(super) health: Arc<HealthExpressions>,
    /// The steps, with their `when`.
    pub(super) steps: Steps,
    /// `readyExpr` of each entry of `spec.dependsOn`, in its order.
    pub(super) ready: Vec<Option<ReadyExpression>>,
}

impl Expressions {
    /// Reads all of them; every mistake is told.
    pub(super) fn read(spec: &Spec, own: ApplierKind) -> Result<Self, Failure> {
        let mut mistakes = Vec::new();
        let health = HealthExpressions::compile(&spec.health.exprs).map_err(|errors| {
            mistakes.extend(errors.iter().map(|error| in_its_place(&format!("spec.{error}"), own)));
        });
        let mut ready = Vec::new();
        let many = spec.depends_on.iter().filter(|dependency| dependency.ready_expr.is_some()).count();
        if many > READY_EXPRESSIONS {
            let message =
                format!("spec.dependsOn: {many} entries have a readyExpr, {READY_EXPRESSIONS} are allowed");
            return Err(Failure::new(Reason::InvalidCELExpression, Retry::Never, message));
        }
        for (index, dependency) in spec.depends_on.iter().enumerate() {
            let field = format!("spec.dependsOn[{index}].readyExpr");
            let read = dependency.ready_expr.as_deref().map(ReadyExpression::compile).transpose();
            match read {
                Ok(expression) => {
                    mistakes.extend(expression.iter().flat_map(|expression| {
                        let findings = check_ready(expression, own, &kind_of(dependency, own), None);
                        findings.into_iter().map(|finding| format!("{field}: {finding}")).collect::<Vec<_>>()
                    }));
                    ready.push(expression);
                }
                Err(error) => mistakes.push(format!("{field}: {error}")),
            }
        }
        let ignore = IgnoreRules::compile(&spec.apply.ignore);
        // A mistake in a step will be there the next time, too.
        let steps =
            Steps::read(spec).map_err(|error| Failure { retry: Retry::Never, ..Failure::from(error) })?;
        match (health, ignore) {
            (Ok(health), Ok(ignore)) if mistakes.is_empty() => {
                Ok(Self { ignore, health: Arc::new(health), steps, ready })
            }
            (_, Err(error)) if mistakes.is_empty() => {
                let message = in_its_place(&error.to_string(), own);
                Err(Failure::new(Reason::ReconciliationFailed, Retry::Never, message))
            }
            _ => Err(Failure::new(Reason::InvalidCELExpression, Retry::Never, mistakes.join("\n"))),
        }
    }
}

/// A message about a field of a Kustomization, as one about the field that it is in an applier of the kind.
fn in_its_place(message: &str, own: ApplierKind) -> String {
    match own {
        ApplierKind::Kustomization => message.to_owned(),
        ApplierKind::Pipeline => message.replacen("spec.healthCheckExprs", "spec.health.exprs", 1).replacen(
            "spec.ignore",
            "spec.apply.ignore",
            1,
        ),
        ApplierKind::HelmRelease => message.replacen("spec.ignore", "spec.driftDetection.ignore", 1),
    }
}

/// What a `readyExpr` looks at and the objects do not have. `dependency` is the schema of the kind that it is about, if it is known.
fn check_ready(
    expression: &ReadyExpression,
    own: ApplierKind,
    kind: &GroupVersionKind,
    dependency: Option<&Value>,
) -> Vec<String> {
    let anything = Value::Bool(true);
    let dependency = applier_kind(kind).map(schema).or(dependency).unwrap_or(&anything);
    let findings = plumb_cel::check(expression.expression(), &[("dep", dependency), ("self", schema(own))]);
    findings.iter().map(ToString::to_string).collect()
}

/// The schema of a kind that the controller knows by itself.
fn schema(kind: ApplierKind) -> &'static Value {
    // To make one takes milliseconds.
    static KUSTOMIZATION: LazyLock<Value> = LazyLock::new(|| schema_or_any(&Kustomization::crd()));
    static PIPELINE: LazyLock<Value> = LazyLock::new(|| schema_or_any(&Pipeline::crd()));
    static HELM_RELEASE: LazyLock<Value> = LazyLock::new(|| schema_or_any(&HelmRelease::crd()));
    match kind {
        ApplierKind::Kustomization => &KUSTOMIZATION,
        ApplierKind::Pipeline => &PIPELINE,
        ApplierKind::HelmRelease => &HELM_RELEASE,
    }
}

fn schema_or_any(crd: &CustomResourceDefinition) -> Value {
    let version = crd.spec.versions.first().map(|version| version.name.as_str());
    version.and_then(|version| schema_of(crd, version)).unwrap_or(Value::Bool(true))
}

fn schema_of(crd: &CustomResourceDefinition, version: &str) -> Option<Value> {
    let version = crd.spec.versions.iter().find(|served| served.name == version)?;
    serde_json::to_value(version.schema.as_ref()?.open_api_v3_schema.as_ref()?).ok()
}

/// The kinds whose definitions the expressions have been compared with.
#[derive(Default)]
pub(super) struct Compared(HashSet<GroupVersionKind>);

/// How long the API server has to hand out a definition. What cannot be had is compared the next time.
const DEFINITION: Duration = Duration::from_secs(5);

/// Compares the expressions with the definitions of the kinds that they are about, as far as the cluster has them and as far as that
/// was not done yet.
pub(super) async fn compare(
    spec: &Spec,
    own: ApplierKind,
    expressions: &Expressions,
    compared: &mut Compared,
    actor: &Arc<Actor>,
) -> Result<(), Failure> {
    let checks = spec
        .health
        .exprs
        .iter()
        .filter_map(|check| Some(GroupVersionKind::new(&check.api_version, check.kind.as_deref()?)));
    // Those that are on appliers were compared when they were read.
    let dependencies = spec
        .depends_on
        .iter()
        .filter(|dependency| dependency.ready_expr.is_some())
        .map(|dependency| kind_of(dependency, own))
        .filter(|kind| applier_kind(kind).is_none());
    let kinds: HashSet<GroupVersionKind> =
        checks.chain(dependencies).filter(|kind| !compared.0.contains(kind)).collect();
    let definitions = join_all(kinds.iter().map(|kind| definition(actor, kind))).await;
    let mut mistakes = Vec::new();
    for (kind, definition) in kinds.into_iter().zip(definitions) {
        let schema = match definition {
            Definition::Schema(schema) => schema,
            Definition::None => {
                compared.0.insert(kind);
                continue;
            }
            Definition::Unknown => continue,
        };
        if let Some(health) = expressions.health.of(&kind.group, &kind.kind) {
            let findings = health.check(&schema);
            mistakes.extend(
                findings
                    .iter()
                    .map(|finding| format!("spec.healthCheckExprs for {}: {finding}", kind.kind))
                    .map(|message| in_its_place(&message, own)),
            );
        }
        for (index, (dependency, ready)) in spec.depends_on.iter().zip(&expressions.ready).enumerate() {
            if let Some(ready) = ready.as_ref().filter(|_| kind_of(dependency, own) == kind) {
                let findings = check_ready(ready, own, &kind, Some(&schema));
                mistakes.extend(
                    findings.iter().map(|finding| format!("spec.dependsOn[{index}].readyExpr: {finding}")),
                );
            }
        }
        compared.0.insert(kind);
    }
    if mistakes.is_empty() {
        return Ok(());
    }
    // The definition may be the one that is wrong: it is compared again.
    *compared = Compared::default();
    Err(Failure::new(Reason::InvalidCELExpression, Retry::Interval, mistakes.join("\n")))
}

/// What says which fields the objects of a kind have.
enum Definition {
    Schema(Value),
    /// The kind is served and has none: it is not a custom resource, or its definition leaves all open.
    None,
    /// The kind is not served yet, or the API server has not answered.
    Unknown,
}

async fn definition(actor: &Arc<Actor>, gvk: &GroupVersionKind) -> Definition {
    let Some(kind) = actor.cluster.kinds.known(gvk) else { return Definition::Unknown };
    let api: Api<CustomResourceDefinition> = Api::all(actor.cluster.client().clone());
    let name = format!("{}.{}", kind.resource.plural, kind.resource.group);
    match tokio::time::timeout(DEFINITION, bounded(api.get_opt(&name))).await {
        Ok(Ok(crd)) => {
            crd.and_then(|crd| schema_of(&crd, &gvk.version)).map_or(Definition::None, Definition::Schema)
        }
        Ok(Err(_)) | Err(_) => Definition::Unknown,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use plumb_api::KustomizationSpec;
    use rstest::rstest;
    use serde_json::json;

    use super::*;

    fn read(fields: Value) -> Result<Expressions, Failure> {
        let mut all =
            json!({"interval": "5m", "prune": true, "sourceRef": {"kind": "GitRepository", "name": "apps"}});
        all.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        let spec: KustomizationSpec = serde_json::from_value(all).unwrap();
        Expressions::read(&Spec::from(&spec), ApplierKind::Kustomization)
    }

    // Attack 16 (rendering): an expression that looks at a field which is not there is a mistake at once, not a timeout.
    #[rstest]
    #[case::none(json!({}), None)]
    #[case::good(json!({"dependsOn": [{"name": "a", "readyExpr": "dep.status.lastAppliedRevision == self.status.lastAppliedRevision"}]}), None)]
    #[case::syntax(json!({"dependsOn": [{"name": "a", "readyExpr": "dep.("}]}), Some("spec.dependsOn[0].readyExpr: "))]
    #[case::no_such_field(
        json!({"dependsOn": [{"name": "a", "readyExpr": "dep.status.lastAplied == 'x'"}]}),
        Some("spec.dependsOn[0].readyExpr: there is no field `dep.status.lastAplied`")
    )]
    #[case::no_field_of_our_own(
        json!({"dependsOn": [{"apiVersion": "example.com/v1", "kind": "Widget", "name": "a", "readyExpr": "self.status.oops"}]}),
        Some("spec.dependsOn[0].readyExpr: there is no field `self.status.oops`")
    )]
    #[case::of_another_kind(
        json!({"dependsOn": [{"apiVersion": "example.com/v1", "kind": "Widget", "name": "a", "readyExpr": "dep.status.anything"}]}),
        None
    )]
    #[case::health(
        json!({"healthCheckExprs": [{"apiVersion": "example.com/v1", "kind": "Widget", "current": "status."}]}),
        Some("spec.healthCheckExprs[0].current: ")
    )]
    #[case::ignore(json!({"ignore": [{"paths": ["spec/replicas"]}]}), Some("spec.ignore[0].paths[0]: "))]
    fn a_mistake_is_told_at_once(#[case] fields: Value, #[case] expected: Option<&str>) {
        let failure = read(fields).err();
        match (&failure, expected) {
            (None, None) => {}
            (Some(failure), Some(expected)) => {
                assert!(failure.message.starts_with(expected), "{}", failure.message);
                assert_eq!(failure.retry, Retry::Never);
            }
            _ => panic!("{failure:?}"),
        }
    }

    // Attack 23 (multi-tenancy): ten thousand dependencies, each with an expression over all of them.
    #[rstest]
    #[case(256, None)]
    #[case(10_000, Some("spec.dependsOn: 10000 entries have a readyExpr, 256 are allowed"))]
    fn only_so_many_expressions_are_evaluated(#[case] many: usize, #[case] expected: Option<&str>) {
        let all: Vec<Value> = (0..many)
            .map(|number| json!({"name": format!("d{number}"), "readyExpr": "self.spec.prune"}))
            .collect();
        let failure = read(json!({ "dependsOn": all })).err();
        assert_eq!(failure.map(|failure| failure.message).as_deref(), expected);
    }

    #[test]
    fn every_mistake_is_told() {
        let failure = read(json!({
            "dependsOn": [{"name": "a", "readyExpr": "("}, {"name": "b", "readyExpr": "other.spec"}],
            "healthCheckExprs": [{"apiVersion": "v1", "kind": "A", "current": ")"}],
        }));
        let message = failure.err().unwrap().message;
        for field in ["dependsOn[0]", "dependsOn[1]", "healthCheckExprs[0]"] {
            assert!(message.contains(field), "{message}");
        }
    }
}
