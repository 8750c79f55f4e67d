#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::collections::BTreeMap;

use jiff::Timestamp;
use plumb_api::{Object, ObjectId};
use serde_json::{Value, json};

use super::situation::Situation;
use super::story::tell;
use crate::reader::Read;

const REVISION: &str = "main@sha1:9f2c41d0";

fn object(value: Value) -> Object {
    Object::new(value).unwrap()
}

fn condition(type_: &str, status: &str, reason: &str, message: &str) -> Value {
    json!({"type": type_, "status": status, "reason": reason, "message": message})
}

/// Changes fields: `{"spec": {"suspend": true}}`.
fn with(object: Object, more: &Value) -> Object {
    fn merge(into: &mut Value, more: &Value) {
        match (into, more) {
            (Value::Object(into), Value::Object(more)) => {
                for (key, value) in more {
                    merge(into.entry(key.clone()).or_insert(Value::Null), value);
                }
            }
            (into, more) => *into = more.clone(),
        }
    }
    let mut value = object.into_value();
    merge(&mut value, more);
    self::object(value)
}

/// A Kustomization that is ready.
fn kustomization(name: &str) -> Object {
    object(json!({
        "apiVersion": "kustomize.toolkit.fluxcd.io/v1", "kind": "Kustomization",
        "metadata": {"name": name, "namespace": "flux-system", "generation": 1, "finalizers": ["finalizers.fluxcd.io"]},
        "spec": {"path": format!("./{name}"), "sourceRef": {"kind": "GitRepository", "name": "repo"}},
        "status": {
            "observedGeneration": 1, "lastAppliedRevision": REVISION, "lastAttemptedRevision": REVISION,
            "conditions": [condition("Ready", "True", "ReconciliationSucceeded", "Applied revision")],
        },
    }))
}

fn failing(name: &str, reason: &str, message: &str) -> Object {
    let conditions = json!([condition("Ready", "False", reason, message)]);
    with(kustomization(name), &json!({"status": {"conditions": conditions}}))
}

fn after(object: Object, names: &[&str]) -> Object {
    let names: Vec<Value> = names.iter().map(|name| json!({"name": name})).collect();
    with(object, &json!({"spec": {"dependsOn": names}}))
}

fn source() -> Object {
    object(json!({
        "apiVersion": "source.toolkit.fluxcd.io/v1", "kind": "GitRepository",
        "metadata": {"name": "repo", "namespace": "flux-system", "generation": 1},
        "spec": {"url": "https://git.example/repo", "secretRef": {"name": "git"}},
        "status": {
            "observedGeneration": 1, "artifact": {"revision": REVISION},
            "conditions": [condition("Ready", "True", "Succeeded", "stored artifact")],
        },
    }))
}

fn failing_source(reason: &str, message: &str) -> Object {
    let conditions = json!([
        condition("Ready", "False", reason, message),
        condition("FetchFailed", "True", reason, message)
    ]);
    with(source(), &json!({"status": {"conditions": conditions}}))
}

fn deployment(more: &Value) -> Object {
    let deployment = json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web", "namespace": "shop", "generation": 1},
        "spec": {"replicas": 1, "selector": {"matchLabels": {"app": "web"}}},
        "status": {"observedGeneration": 1, "replicas": 1, "updatedReplicas": 1, "unavailableReplicas": 1},
    });
    with(object(deployment), more)
}

fn applied(object: Object, ids: &[&str], spec: &Value) -> Object {
    let entries: Vec<Value> = ids.iter().map(|id| json!({"id": id, "v": "v1"})).collect();
    with(object, &json!({"spec": spec, "status": {"inventory": {"entries": entries}}}))
}

fn situation(subject: Object, others: &[Object]) -> Situation {
    let others = others.iter().map(|object| (object.id(), Read::Found(object.clone()))).collect();
    let (healths, pods, warnings) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
    Situation { subject, others, healths, pods, warnings, now: Timestamp::UNIX_EPOCH }
}

fn id(text: &str) -> ObjectId {
    text.parse().unwrap()
}

/// With a source that is well.
fn story(subject: Object, others: &[Object]) -> String {
    tell(&situation(subject, &[&[source()], others].concat()))
}

#[test]
fn ready() {
    insta::assert_snapshot!(story(kustomization("apps"), &[]), @"Kustomization flux-system/apps is ready: it has applied main@sha1:9f2c41d0.");
}

#[test]
fn ready_but_not_well() {
    let conditions = json!([
        condition("Ready", "True", "ReconciliationSucceeded", ""),
        condition(
            "Healthy",
            "False",
            "HealthCheckFailed",
            "Deployment/shop/web Failed: container app is in CrashLoopBackOff."
        ),
    ]);
    let apps = with(kustomization("apps"), &json!({"status": {"conditions": conditions}}));
    insta::assert_snapshot!(story(apps, &[]), @"Kustomization flux-system/apps is ready: it has applied main@sha1:9f2c41d0. Not all of its objects are well, though it does not wait for them: Deployment/shop/web Failed: container app is in CrashLoopBackOff.");
}

#[test]
fn ready_at_an_older_revision_of_a_source_that_fails() {
    let source = failing_source("GitOperationFailed", "git.example does not answer");
    insta::assert_snapshot!(tell(&situation(kustomization("apps"), &[source])), @"Kustomization flux-system/apps is ready: it has applied main@sha1:9f2c41d0. No newer commit will arrive, because GitRepository flux-system/repo cannot be fetched: git.example does not answer. See whether spec.url and spec.ref are right, and then try again with `plumb reconcile source repo -n flux-system`.");
    let newer = with(self::source(), &json!({"status": {"artifact": {"revision": "main@sha1:aaaaaaaa"}}}));
    insta::assert_snapshot!(tell(&situation(kustomization("apps"), &[newer])), @"Kustomization flux-system/apps is ready: it has applied main@sha1:9f2c41d0. Its source has main@sha1:aaaaaaaa, which it has not applied yet.");
}

#[test]
fn suspended() {
    let apps = with(failing("apps", "BuildFailed", "x"), &json!({"spec": {"suspend": true}}));
    insta::assert_snapshot!(story(apps, &[]), @"Kustomization flux-system/apps is not ready: it is suspended, so that nothing is fetched, applied or put back. Resume it with `plumb resume kustomization apps -n flux-system`.");
}

#[test]
fn never_looked_at() {
    let apps = with(kustomization("apps"), &json!({"status": {"conditions": null}}));
    insta::assert_snapshot!(story(apps, &[]), @"Kustomization flux-system/apps is not ready: it has no status: no controller has looked at this Kustomization yet. See whether the controller runs, and whether it reconciles this namespace and this kind: `kubectl get pods -n plumbline-system`.");
}

#[test]
fn without_its_source() {
    let apps = failing("apps", "ArtifactFailed", "GitRepository 'flux-system/repo' does not exist");
    let mut situation = situation(apps, &[]);
    situation.others.insert(source().id(), Read::Missing);
    insta::assert_snapshot!(tell(&situation), @"Kustomization flux-system/apps is not ready: it takes its files from GitRepository flux-system/repo, which does not exist. Create it, or correct spec.sourceRef.");
}

#[test]
fn with_a_source_that_was_never_fetched() {
    let apps = failing("apps", "ArtifactFailed", "GitRepository 'flux-system/repo' has no artifact yet");
    let source = failing_source(
        "AuthenticationFailed",
        "the server asks for other credentials than those of Secret flux-system/git",
    );
    let source = with(source, &json!({"status": {"artifact": null}}));
    insta::assert_snapshot!(tell(&situation(apps.clone(), std::slice::from_ref(&source))), @"Kustomization flux-system/apps is not ready: it waits for GitRepository flux-system/repo, which cannot be fetched: the server asks for other credentials than those of Secret flux-system/git. Put credentials that work into Secret flux-system/git.");
    let suspended = with(source, &json!({"spec": {"suspend": true}}));
    insta::assert_snapshot!(tell(&situation(apps, &[suspended])), @"Kustomization flux-system/apps is not ready: it waits for GitRepository flux-system/repo, which is suspended, so that nothing is fetched, applied or put back. Resume it with `plumb resume source repo -n flux-system`.");
}

#[test]
fn behind_a_chain_of_dependencies() {
    let apps = after(
        failing("apps", "DependencyNotReady", "dependency 'flux-system/infra' is not ready"),
        &["infra", "other"],
    );
    let infra = after(failing("infra", "DependencyNotReady", ""), &["crds"]);
    let crds = failing("crds", "BuildFailed", "step kustomize: kustomization.yaml:3: no such file: crd.yaml");
    insta::assert_snapshot!(story(apps, &[infra, crds, failing("other", "BuildFailed", "x")]), @"Kustomization flux-system/apps is not ready: it waits for Kustomization flux-system/infra, which waits for Kustomization flux-system/crds, which cannot be rendered at main@sha1:9f2c41d0: step kustomize: kustomization.yaml:3: no such file: crd.yaml. Mend the files below ./crds and push; `plumb render crds` shows the same on a laptop. Kustomization flux-system/apps also waits for Kustomization flux-system/other.");
}

#[test]
fn behind_a_dependency_that_does_not_exist() {
    let apps = after(
        failing("apps", "DependencyNotReady", "dependency 'flux-system/infra' does not exist"),
        &["infra"],
    );
    let mut situation = situation(apps, &[source()]);
    situation.others.insert(kustomization("infra").id(), Read::Missing);
    insta::assert_snapshot!(tell(&situation), @"Kustomization flux-system/apps is not ready: it depends on Kustomization flux-system/infra, which does not exist. Create it, or correct spec.dependsOn of Kustomization flux-system/apps.");
}

#[test]
fn behind_a_dependency_of_an_older_revision() {
    let infra =
        with(kustomization("infra"), &json!({"status": {"lastAppliedRevision": "main@sha1:00000000"}}));
    let apps = after(failing("apps", "DependencyNotReady", ""), &["infra"]);
    insta::assert_snapshot!(story(apps, &[infra]), @"Kustomization flux-system/apps is not ready: it waits for Kustomization flux-system/infra, which is ready but has not applied the newest revision of their source yet. That is usually a matter of moments.");
}

#[test]
fn behind_an_expression() {
    let dependency = json!([{"name": "infra", "readyExpr": "dep.status.foo == 'bar'"}]);
    let apps = failing(
        "apps",
        "DependencyNotReady",
        "dependency 'flux-system/infra' is not ready: readyExpr is false",
    );
    let apps = with(apps, &json!({"spec": {"dependsOn": dependency}}));
    insta::assert_snapshot!(story(apps, &[kustomization("infra")]), @"Kustomization flux-system/apps is not ready: it waits for Kustomization flux-system/infra, which is ready, but not as spec.dependsOn[].readyExpr asks. See whether the expression is what is meant.");
}

#[test]
fn behind_an_object_of_another_kind() {
    let dependency =
        json!([{"apiVersion": "apps/v1", "kind": "Deployment", "name": "web", "namespace": "shop"}]);
    let apps = with(failing("apps", "DependencyNotReady", ""), &json!({"spec": {"dependsOn": dependency}}));
    let mut situation = situation(apps, &[source(), deployment(&json!({}))]);
    situation
        .warnings
        .insert(id("shop_web_apps_Deployment"), ("FailedCreate".to_owned(), "exceeded quota".to_owned()));
    insta::assert_snapshot!(tell(&situation), @"Kustomization flux-system/apps is not ready: it waits for Deployment shop/web, which is InProgress: Available: 0/1. The last warning about Deployment shop/web: FailedCreate: exceeded quota.");
}

#[test]
fn in_a_circle() {
    let a = after(failing("a", "DependencyNotReady", ""), &["b"]);
    let b = after(failing("b", "DependencyNotReady", ""), &["c"]);
    let c = after(failing("c", "DependencyNotReady", ""), &["b"]);
    insta::assert_snapshot!(story(a, &[b, c]), @"Kustomization flux-system/a is not ready: it waits for Kustomization flux-system/b, which waits for Kustomization flux-system/c, which waits for Kustomization flux-system/b, which waits for itself: flux-system/b → flux-system/c → flux-system/b. None of them will ever be applied: take one of these edges out of spec.dependsOn.");
    let own = after(failing("own", "DependencyNotReady", ""), &["own"]);
    insta::assert_snapshot!(story(own, &[]), @"Kustomization flux-system/own is not ready: it waits for Kustomization flux-system/own, which waits for itself: flux-system/own → flux-system/own. None of them will ever be applied: take one of these edges out of spec.dependsOn.");
}

#[test]
fn a_build_that_fails() {
    let apps =
        failing("apps", "BuildFailed", "step kustomize: web.yaml:4: yaml: line 4: did not find expected key");
    insta::assert_snapshot!(story(apps, &[]), @"Kustomization flux-system/apps is not ready: it cannot be rendered at main@sha1:9f2c41d0: step kustomize: web.yaml:4: yaml: line 4: did not find expected key. Mend the files below ./apps and push; `plumb render apps` shows the same on a laptop.");
}

#[test]
fn access_that_is_denied() {
    let apps = failing(
        "apps",
        "AccessDenied",
        "GitRepository/other/repo is of another namespace, which --no-cross-namespace-refs forbids",
    );
    insta::assert_snapshot!(story(apps, &[]), @"Kustomization flux-system/apps is not ready: it asks for what it may not have: GitRepository/other/repo is of another namespace, which --no-cross-namespace-refs forbids. Refer to objects of its own namespace, or have an administrator allow it.");
}

#[test]
fn pruning_that_is_refused() {
    let message = "30 of 40 objects would be deleted, more than plumbline.dev/prune-limit allows (50%); to confirm, annotate the Kustomization";
    insta::assert_snapshot!(story(failing("apps", "PruneFailed", message), &[]), @"Kustomization flux-system/apps is not ready: it has applied main@sha1:9f2c41d0, but did not delete what is no longer in the source: 30 of 40 objects would be deleted, more than plumbline.dev/prune-limit allows (50%); to confirm, annotate the Kustomization. If so much is meant to go, confirm it as the message says; otherwise bring the files back.");
}

#[test]
fn a_kind_that_the_cluster_lacks() {
    let message = "Widget/shop/a: the cluster does not know the kind Widget of example.com/v1: its CustomResourceDefinition may be missing, or not serve this version";
    insta::assert_snapshot!(story(failing("apps", "ReconciliationFailed", message), &[]), @"Kustomization flux-system/apps is not ready: it cannot be applied at main@sha1:9f2c41d0, because the cluster lacks a kind: Widget/shop/a: the cluster does not know the kind Widget of example.com/v1: its CustomResourceDefinition may be missing, or not serve this version. Have the CustomResourceDefinition applied first: put it into the same source, or depend on the Kustomization or HelmRelease that brings it.");
}

#[test]
fn another_failure() {
    let message =
        "Service/shop/web: spec.ports: Required value\nDeployment/shop/web: spec.selector: Required value";
    insta::assert_snapshot!(story(failing("apps", "ReconciliationFailed", message), &[]), @"Kustomization flux-system/apps is not ready: it cannot be applied at main@sha1:9f2c41d0: Service/shop/web: spec.ports: Required value; Deployment/shop/web: spec.selector: Required value.");
}

#[test]
fn objects_that_do_not_become_well() {
    let apps = failing(
        "apps",
        "HealthCheckFailed",
        "timeout after 30s waiting for: [Deployment/shop/web status: 'InProgress']",
    );
    let apps = applied(apps, &["shop_web_apps_Deployment", "shop_gone__ConfigMap"], &json!({"wait": true}));
    let mut situation = situation(apps, &[source(), deployment(&json!({}))]);
    situation.others.insert(id("shop_gone__ConfigMap"), Read::Missing);
    let waiting = json!([{"name": "app", "state": {"waiting": {"reason": "ImagePullBackOff", "message": "no such image"}}}]);
    let pod =
        object(json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "web-1", "namespace": "shop"},
        "status": {"phase": "Pending", "containerStatuses": waiting}}));
    situation.pods.insert(id("shop_web_apps_Deployment"), vec![pod]);
    situation
        .warnings
        .insert(id("shop_web_apps_Deployment"), ("FailedCreate".to_owned(), "exceeded quota".to_owned()));
    insta::assert_snapshot!(tell(&situation), @"Kustomization flux-system/apps is not ready: it has applied main@sha1:9f2c41d0 and waited in vain for 2 objects that are not well: ConfigMap shop/gone is NotFound: there is no such object; Deployment shop/web is InProgress: Available: 0/1; Pod web-1: container app is in ImagePullBackOff: no such image. The last warning about Deployment shop/web: FailedCreate: exceeded quota. Look at it with `kubectl describe deployment web -n shop`.");
}

#[test]
fn an_object_that_is_not_applied_but_checked() {
    let check = json!([{"apiVersion": "apps/v1", "kind": "Deployment", "name": "web", "namespace": "shop"}]);
    let apps = with(
        failing("apps", "Progressing", "Running health checks"),
        &json!({"spec": {"healthChecks": check}}),
    );
    let mut situation = situation(apps, &[source()]);
    situation
        .others
        .insert(id("shop_web_apps_Deployment"), Read::Refused("deployments is forbidden".to_owned()));
    insta::assert_snapshot!(tell(&situation), @"Kustomization flux-system/apps is not ready: it has applied main@sha1:9f2c41d0 and waits for an object that is not well: Deployment shop/web is Unknown: deployments is forbidden. Look at it with `kubectl describe deployment web -n shop`.");
}

#[test]
fn at_work() {
    insta::assert_snapshot!(story(failing("apps", "Progressing", "Reconciliation in progress"), &[]), @"Kustomization flux-system/apps is not ready: it is at work on main@sha1:9f2c41d0: Reconciliation in progress.");
}

const DELETED: &str = "2026-01-01T00:00:00Z";

#[test]
fn being_deleted_and_held_by_a_finalizer_of_somebody_else() {
    let metadata = json!({"metadata": {"deletionTimestamp": DELETED, "finalizers": ["finalizers.fluxcd.io", "example.com/hold"]}});
    insta::assert_snapshot!(story(with(kustomization("apps"), &metadata), &[]), @"Kustomization flux-system/apps is being deleted since 2026-01-01T00:00:00Z, and is held by the finalizer example.com/hold. Whoever put it there has to remove it: the controller that it names may no longer run.");
}

#[test]
fn being_deleted_and_waiting_for_an_object() {
    let ready =
        json!([condition("Ready", "Unknown", "Progressing", "waiting until these are gone: Namespace/shop")]);
    let more = json!({"metadata": {"deletionTimestamp": DELETED}, "status": {"conditions": ready}});
    let apps = applied(with(kustomization("apps"), &more), &["_shop__Namespace"], &json!({}));
    let namespace = object(json!({"apiVersion": "v1", "kind": "Namespace",
        "metadata": {"name": "shop", "deletionTimestamp": DELETED, "finalizers": ["example.com/hold"]}}));
    insta::assert_snapshot!(story(apps, &[namespace]), @"Kustomization flux-system/apps is being deleted since 2026-01-01T00:00:00Z, and keeps its finalizer finalizers.fluxcd.io until its objects are gone. These are not gone yet: Namespace shop (it is being deleted, and waits for its finalizers: example.com/hold). The controller says: waiting until these are gone: Namespace/shop. Whoever put the finalizers there has to remove them.");
    let alone = with(kustomization("apps"), &json!({"metadata": {"deletionTimestamp": DELETED}}));
    insta::assert_snapshot!(story(alone, &[]), @"Kustomization flux-system/apps is being deleted since 2026-01-01T00:00:00Z, and keeps its finalizer finalizers.fluxcd.io until its objects are gone. If that goes on, see whether the controller runs.");
}

#[test]
fn a_source_that_fails() {
    insta::assert_snapshot!(tell(&situation(failing_source("URLInvalid", "spec.url is not an address"), &[])), @"GitRepository flux-system/repo is not ready: it cannot be fetched: spec.url is not an address. Correct spec.url.");
    insta::assert_snapshot!(tell(&situation(source(), &[])), @"GitRepository flux-system/repo is ready: it has fetched main@sha1:9f2c41d0.");
}

#[test]
fn a_chart_that_fails() {
    let of = |kind: &str, name: &str, spec: Value, status: Value| {
        object(
            json!({"apiVersion": "source.toolkit.fluxcd.io/v1", "kind": kind, "spec": spec, "status": status,
            "metadata": {"name": name, "namespace": "flux-system", "generation": 1}}),
        )
    };
    let failed = |reason: &str, message: &str| json!({"observedGeneration": 1, "conditions": [condition("Ready", "False", reason, message)]});
    let chart = |status: Value| {
        of(
            "HelmChart",
            "web",
            json!({"chart": "web", "sourceRef": {"kind": "HelmRepository", "name": "charts"}}),
            status,
        )
    };
    let repository = |spec: Value, status: Value| of("HelmRepository", "charts", spec, status);
    let waits = failed("NoSourceArtifact", "no artifact available");
    let down = repository(
        json!({"url": "https://charts.example"}),
        failed("Failed", "charts.example does not answer"),
    );
    insta::assert_snapshot!(tell(&situation(chart(waits), &[down])), @"HelmChart flux-system/web is not ready: it waits for HelmRepository flux-system/charts, which cannot be fetched: charts.example does not answer. See whether spec.url and spec.ref are right, and then try again with `plumb reconcile helmrepository charts -n flux-system`.");
    let missing = failed("InvalidChartReference", "no 'web' chart with version matching '9.x' found");
    let registry = repository(json!({"url": "oci://registry.example", "type": "oci"}), json!({}));
    insta::assert_snapshot!(tell(&situation(chart(missing), std::slice::from_ref(&registry))), @"HelmChart flux-system/web is not ready: it cannot be fetched: no 'web' chart with version matching '9.x' found. Correct spec.chart and spec.version.");
    insta::assert_snapshot!(tell(&situation(registry, &[])), @"HelmRepository flux-system/charts is a registry, which is asked when a chart is wanted.");
}

#[test]
fn an_object_of_another_kind() {
    insta::assert_snapshot!(tell(&situation(deployment(&json!({})), &[])), @"Deployment shop/web is not ready: it is InProgress: Available: 0/1.");
    let well = json!({"status": {"readyReplicas": 1, "availableReplicas": 1, "unavailableReplicas": null,
        "conditions": [{"type": "Available", "status": "True"}]}});
    insta::assert_snapshot!(tell(&situation(deployment(&well), &[])), @"Deployment shop/web is well: Available: 1/1.");
}
