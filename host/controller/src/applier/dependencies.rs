//! `spec.dependsOn`: what has to be ready first. Pure.

use std::collections::HashMap;

use plumb_api::{ApplierKind, ConditionType, DependencyReference, GroupVersionKind, ObjectId, conditions};
use plumb_apply::{Health, HealthStatus, Live};
use plumb_cel::ReadyExpression;
use serde_json::Value;

use super::{Applier, ApplierId};
use crate::Key;

/// What those who depend on an applier look at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Standing {
    /// What it has applied, while it is ready.
    readiness: Option<(Option<i64>, Option<String>)>,
    /// What a `readyExpr` may look at besides, but for times.
    rest: String,
}

impl Standing {
    pub(crate) fn of(object: &Applier) -> Self {
        let (generation, applied) = (object.meta().generation, object.applied_revision());
        let conditions: Vec<_> = object
            .conditions()
            .iter()
            .map(|one| (&one.type_, &one.status, &one.reason, one.observed_generation))
            .collect();
        Self {
            readiness: is_ready(object).then(|| (generation, applied.map(str::to_owned))),
            rest: format!("{generation:?} {conditions:?} {:?} {applied:?}", object.attempted_revision()),
        }
    }

    /// What decides without a `readyExpr`; `None` while it is not ready.
    pub(crate) fn readiness(&self) -> Option<&(Option<i64>, Option<String>)> {
        self.readiness.as_ref()
    }
}

/// Whether a dependency of `own` is on the applier `other`.
pub(crate) fn is_on(dependency: &DependencyReference, own: &ApplierId, other: &ApplierId) -> bool {
    applier_of(dependency, own).is_some_and(|applier| applier == *other)
}

/// The kind of a dependency: that of who depends on it, unless it says otherwise.
pub(super) fn kind_of(dependency: &DependencyReference, own: ApplierKind) -> GroupVersionKind {
    let kind = dependency.kind.as_deref().unwrap_or(own.as_str());
    let default = kind.parse().map_or("v1", ApplierKind::api_version);
    GroupVersionKind::new(dependency.api_version.as_deref().unwrap_or(default), kind)
}

/// The kind of applier that a kind is; `None` for another.
pub(super) fn applier_kind(gvk: &GroupVersionKind) -> Option<ApplierKind> {
    ApplierKind::ALL.into_iter().find(|kind| kind.as_str() == gvk.kind && kind.group() == gvk.group)
}

/// The applier that a dependency of `own` is on, which the controller knows by itself; `None` for an object of another kind.
pub(super) fn applier_of(dependency: &DependencyReference, own: &ApplierId) -> Option<ApplierId> {
    let kind = applier_kind(&kind_of(dependency, own.kind))?;
    let namespace = dependency.namespace_or(&own.key.namespace).to_owned();
    Some(ApplierId { kind, key: Key { namespace, name: dependency.name.clone() } })
}

/// The object that a dependency names.
pub(super) fn id_of(dependency: &DependencyReference, own: &ApplierId) -> ObjectId {
    ObjectId {
        namespace: dependency.namespace_or(&own.key.namespace).to_owned(),
        name: dependency.name.clone(),
        group_kind: kind_of(dependency, own.kind).group_kind(),
    }
}

/// What is known of the objects that others depend on.
pub(super) trait Known {
    /// An applier, if there is such a one.
    fn applier(&self, id: &ApplierId) -> Option<Applier>;

    /// Another object: as far as it is known, and otherwise why it is not.
    fn object(&self, id: &ObjectId) -> Result<Live, String>;

    /// How an object is that was found.
    fn health(&self, id: &ObjectId) -> Health;
}

/// Who waits, and for which revision.
pub(super) struct Waiting<'a> {
    pub(super) object: &'a Applier,
    pub(super) id: &'a ApplierId,
    pub(super) revision: &'a str,
    /// `readyExpr` of each dependency, in their order.
    pub(super) ready: &'a [Option<ReadyExpression>],
}

impl Waiting<'_> {
    /// Why a dependency is not ready, for each that is not; empty when all are.
    ///
    /// An applier of the same source must have applied the same revision, so that one commit is rolled out in order. A `readyExpr`
    /// takes the place of the check.
    pub(super) fn unmet(&self, known: &dyn Known) -> Vec<String> {
        let own = match self.ready.iter().any(Option::is_some) {
            true => self.object.to_value(),
            false => Value::Null,
        };
        let expressions =
            self.ready.iter().map(|ready| ready.as_ref().map(|ready| Ready { expression: ready, own: &own }));
        let dependencies = self.object.depends_on().iter().zip(expressions.chain(std::iter::repeat(None)));
        let mut unmet: Vec<String> =
            dependencies.filter_map(|(dependency, ready)| self.check(dependency, ready, known)).collect();
        if !unmet.is_empty() {
            unmet.extend(self.cycle(known).map(|cycle| format!("cycle: {cycle}")));
        }
        unmet
    }

    /// The way from this applier back to it, as `a → b → a`, if there is one over more than itself.
    fn cycle(&self, known: &dyn Known) -> Option<String> {
        // Each applier is reached from one other: following that back gives the way.
        let mut reached_from: HashMap<ApplierId, ApplierId> = HashMap::new();
        let mut reached = vec![self.id.clone()];
        while let Some(here) = reached.pop() {
            let Some(object) = known.applier(&here) else { continue };
            for there in object.depends_on().iter().filter_map(|dependency| applier_of(dependency, &here)) {
                if there == *self.id && here != *self.id {
                    let mut way = vec![there, here.clone()];
                    while let Some(before) = reached_from.get(way.last()?) {
                        way.push(before.clone());
                    }
                    way.reverse();
                    return Some(self.tell(&way));
                }
                if there != *self.id && !reached_from.contains_key(&there) {
                    reached_from.insert(there.clone(), here.clone());
                    reached.push(there);
                }
            }
        }
        None
    }

    /// A way in which kinds are named when there is more than one.
    fn tell(&self, way: &[ApplierId]) -> String {
        let is_of_one_kind = way.iter().all(|id| id.kind == self.id.kind);
        let name = |id: &ApplierId| if is_of_one_kind { id.key.to_string() } else { id.to_string() };
        way.iter().map(name).collect::<Vec<_>>().join(" → ")
    }

    fn check(
        &self,
        dependency: &DependencyReference,
        ready: Option<Ready<'_>>,
        known: &dyn Known,
    ) -> Option<String> {
        let Some(wanted) = applier_of(dependency, self.id) else {
            return self.check_object(dependency, ready, known);
        };
        if wanted == *self.id {
            return Some(format!("'{}' is this {} itself", wanted.key, wanted.kind));
        }
        let name = match wanted.kind == self.id.kind {
            true => format!("'{}'", wanted.key),
            false => format!("{} '{}'", wanted.kind, wanted.key),
        };
        let Some(found) = known.applier(&wanted) else {
            return Some(format!("{name} does not exist"));
        };
        if let Some(ready) = ready {
            return ready.unmet(&found.to_value(), &name);
        }
        if !is_ready(&found) {
            return Some(format!("{name} is not ready"));
        }
        // A release tells the version of its chart, not the revision of the source.
        let of_releases = wanted.kind == ApplierKind::HelmRelease || self.id.kind == ApplierKind::HelmRelease;
        if !of_releases
            && self.object.source() == found.source()
            && found.applied_revision() != Some(self.revision)
        {
            return Some(format!("{name} has not applied revision {} yet", self.revision));
        }
        None
    }

    fn check_object(
        &self,
        dependency: &DependencyReference,
        ready: Option<Ready<'_>>,
        known: &dyn Known,
    ) -> Option<String> {
        let id = id_of(dependency, self.id);
        let name = format!("'{}'", id.human());
        match known.object(&id) {
            Err(why) => Some(format!("{name}: {why}")),
            Ok(Live::Unknown) => Some(format!("{name} was not looked at yet")),
            Ok(Live::Absent) => Some(format!("{name} does not exist")),
            Ok(Live::Present(object)) => match ready {
                Some(ready) => ready.unmet(&Value::Object(object.fields().clone()), &name),
                None => {
                    let health = known.health(&id);
                    let is_ready = health.status == HealthStatus::Current;
                    let message = if health.message.is_empty() {
                        String::new()
                    } else {
                        format!(": {}", health.message)
                    };
                    (!is_ready).then(|| format!("{name} is not ready ({:?}{message})", health.status))
                }
            },
        }
    }
}

/// A `readyExpr`, and who waits: made to a value once, as there may be many expressions.
#[derive(Clone, Copy)]
struct Ready<'a> {
    expression: &'a ReadyExpression,
    own: &'a Value,
}

impl Ready<'_> {
    /// Why the dependency is not ready, if it is not.
    fn unmet(self, dependency: &Value, name: &str) -> Option<String> {
        match self.expression.evaluate(dependency, self.own) {
            Ok(true) => None,
            Ok(false) => Some(format!("{name} is not ready according to readyExpr")),
            Err(error) => Some(format!("{name} is not ready: readyExpr: {error}")),
        }
    }
}

fn is_ready(object: &Applier) -> bool {
    !object.is_being_deleted()
        && object.observed_generation().is_some()
        && object.observed_generation() == object.meta().generation
        && conditions::is_true(object.conditions(), ConditionType::Ready)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use std::sync::Arc;

    use plumb_api::{Kustomization, Object};
    use rstest::rstest;
    use serde_json::{Value, json};

    use super::*;

    fn kustomization(name: &str, spec: Value, status: Value) -> Applier {
        let mut all =
            json!({"interval": "5m", "prune": true, "sourceRef": {"kind": "GitRepository", "name": "apps"}});
        all.as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
        let object: Kustomization = serde_json::from_value(json!({
            "apiVersion": "kustomize.toolkit.fluxcd.io/v1",
            "kind": "Kustomization",
            "metadata": {"name": name, "namespace": "default", "generation": 2},
            "spec": all,
            "status": status,
        }))
        .unwrap();
        Applier::Kustomization(Arc::new(object))
    }

    fn status(ready: &str, generation: i64, revision: &str) -> Value {
        let condition = json!({
            "type": "Ready", "status": ready, "reason": "X", "message": "", "lastTransitionTime": "2026-01-01T00:00:00Z",
        });
        json!({"observedGeneration": generation, "conditions": [condition], "lastAppliedRevision": revision})
    }

    /// What is in the cluster.
    struct Cluster {
        appliers: HashMap<ApplierId, Applier>,
        objects: HashMap<String, Result<Live, String>>,
    }

    impl Cluster {
        fn of(appliers: impl IntoIterator<Item = Applier>) -> Self {
            let appliers = appliers.into_iter().map(|object| (object.id(), object)).collect();
            Self { appliers, objects: HashMap::new() }
        }

        fn with(object: Value) -> Self {
            let object = Object::new(object).unwrap();
            let live = (object.id().human(), Ok(Live::Present(Arc::new(object))));
            Self { objects: HashMap::from([live]), ..Self::of([]) }
        }
    }

    impl Known for Cluster {
        fn applier(&self, id: &ApplierId) -> Option<Applier> {
            self.appliers.get(id).cloned()
        }

        fn object(&self, id: &ObjectId) -> Result<Live, String> {
            self.objects.get(&id.human()).cloned().unwrap_or(Ok(Live::Absent))
        }

        fn health(&self, id: &ObjectId) -> Health {
            match self.object(id) {
                Ok(Live::Present(object)) => plumb_apply::health(&object, jiff::Timestamp::UNIX_EPOCH),
                _ => Health::not_found(),
            }
        }
    }

    fn unmet(object: &Applier, known: &Cluster) -> Vec<String> {
        let expression = |dependency: &DependencyReference| {
            dependency.ready_expr.as_deref().map(|text| ReadyExpression::compile(text).unwrap())
        };
        let ready: Vec<_> = object.depends_on().iter().map(expression).collect();
        let id = object.id();
        Waiting { object, id: &id, revision: "main@sha1:aa", ready: &ready }.unmet(known)
    }

    #[rstest]
    #[case::ready(json!({}), status("True", 2, "main@sha1:aa"), &[])]
    #[case::not_ready(json!({}), status("False", 2, "main@sha1:aa"), &["'default/base' is not ready"])]
    #[case::no_status(json!({}), json!(null), &["'default/base' is not ready"])]
    #[case::changed_since(json!({}), status("True", 1, "main@sha1:aa"), &["'default/base' is not ready"])]
    #[case::older_revision(json!({}), status("True", 2, "main@sha1:bb"), &["'default/base' has not applied revision main@sha1:aa yet"])]
    #[case::older_revision_of_another_source(
        json!({"sourceRef": {"kind": "GitRepository", "name": "other"}}), status("True", 2, "main@sha1:bb"), &[]
    )]
    fn a_dependency_must_be_ready_at_the_same_revision(
        #[case] spec: Value,
        #[case] status: Value,
        #[case] expected: &[&str],
    ) {
        let app = kustomization("app", json!({"dependsOn": [{"name": "base"}]}), json!(null));
        assert_eq!(unmet(&app, &Cluster::of([kustomization("base", spec, status)])), expected);
    }

    #[test]
    fn every_unmet_dependency_is_named() {
        let app = kustomization(
            "app",
            json!({"dependsOn": [{"name": "a"}, {"name": "b", "namespace": "other"}, {"name": "app"}]}),
            json!(null),
        );
        let expected = [
            "'default/a' does not exist",
            "'other/b' does not exist",
            "'default/app' is this Kustomization itself",
        ];
        assert_eq!(unmet(&app, &Cluster::of([])), expected);
    }

    // Attack 23 (multi-tenancy): a cycle of dependencies is named, and looking for one ends.
    #[test]
    fn a_cycle_is_named() {
        let on = |name: &str, other: &str| {
            kustomization(name, json!({"dependsOn": [{"name": other}]}), json!(null))
        };
        let cluster = Cluster::of([on("a", "b"), on("b", "c"), on("c", "a"), on("outside", "a")]);
        let expected = ["'default/b' is not ready", "cycle: default/a → default/b → default/c → default/a"];
        assert_eq!(unmet(&on("a", "b"), &cluster), expected);
        assert_eq!(
            unmet(&on("outside", "a"), &cluster),
            ["'default/a' is not ready"],
            "it is in no cycle itself"
        );
    }

    // Attack 23 (multi-tenancy): ten thousand dependencies.
    #[test]
    fn many_dependencies_are_all_looked_at() {
        let all: Vec<Value> = (0..10_000).map(|number| json!({"name": format!("d{number}")})).collect();
        let app = kustomization("app", json!({ "dependsOn": all }), json!(null));
        let others = (0..10_000).map(|number| {
            kustomization(&format!("d{number}"), json!({"dependsOn": [{"name": "app"}]}), json!(null))
        });
        let cluster = Cluster::of(others.chain([app.clone()]));
        assert_eq!(unmet(&app, &cluster).len(), 10_001);
    }

    #[rstest]
    #[case::kustomization("dep.status.lastAppliedRevision == 'main@sha1:bb'", &[])]
    #[case::itself("self.metadata.name == 'app'", &[])]
    #[case::not_yet("dep.status.lastAppliedRevision == 'x'", &["'default/base' is not ready according to readyExpr"])]
    fn an_expression_takes_the_place_of_the_check(#[case] expression: &str, #[case] expected: &[&str]) {
        let app = kustomization(
            "app",
            json!({"dependsOn": [{"name": "base", "readyExpr": expression}]}),
            json!(null),
        );
        let base = kustomization("base", json!({}), status("False", 1, "main@sha1:bb"));
        assert_eq!(unmet(&app, &Cluster::of([base])), expected);
    }

    #[rstest]
    #[case::ready(json!({}), &[])]
    #[case::not_ready(
        json!({"status": {"conditions": [{"type": "Ready", "status": "False", "message": "no disk"}]}}),
        &["'Widget/default/disk' is not ready (InProgress: no disk)"]
    )]
    #[case::absent(json!({"metadata": {"name": "other", "namespace": "default"}}), &["'Widget/default/disk' does not exist"])]
    fn any_object_can_be_waited_for(#[case] fields: Value, #[case] expected: &[&str]) {
        let mut widget = json!({"apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": "disk", "namespace": "default"}});
        widget.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        let app = kustomization(
            "app",
            json!({"dependsOn": [{"apiVersion": "example.com/v1", "kind": "Widget", "name": "disk"}]}),
            json!(null),
        );
        assert_eq!(unmet(&app, &Cluster::with(widget)), expected);
    }
}
