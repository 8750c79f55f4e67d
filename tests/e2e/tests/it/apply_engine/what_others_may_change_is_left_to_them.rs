use anyhow::Result;
use kube::ResourceExt as _;
use kube::api::{Patch, PatchParams};
use plumb_api::{GroupKind, ObjectId};
use plumb_apply::{IgnoreRules, Live, LiveState as _};
use serde_json::{Value, json};

use super::engine::{Engine, deployment, told};

async fn engine(begins: &str, paths: &[&str]) -> Result<Engine> {
    let mut engine = Engine::new(begins).await?;
    let rule = json!({"paths": paths, "target": {"kind": "Deployment"}});
    engine.policy.ignore = IgnoreRules::compile(&[serde_json::from_value(rule)?])?;
    Ok(engine)
}

/// Changes the Deployment `web` as somebody else, and waits until the watch has told of it.
async fn change_as(engine: &Engine, manager: &str, patch: &Patch<Value>) -> Result<()> {
    let mut changes = engine.live.subscribe();
    let params = match patch {
        Patch::Apply(_) => PatchParams::apply(manager).force(),
        _ => PatchParams { field_manager: Some(manager.to_owned()), ..PatchParams::default() },
    };
    let changed = engine.api("apps/v1", "Deployment", "deployments").patch("web", &params, patch).await?;
    let written: u64 = changed.resource_version().unwrap_or_default().parse()?;
    let (kinds, id) = ([engine.kind("apps/v1", "Deployment").await?], id(engine));
    // The cluster's own controllers write the status: the first change that is told need not be this one.
    while seen(&engine.live.view(&kinds).live(&id)) < written {
        engine.next_change(&mut changes).await?;
    }
    Ok(())
}

fn id(engine: &Engine) -> ObjectId {
    let group_kind = GroupKind { group: "apps".to_owned(), kind: "Deployment".to_owned() };
    ObjectId { namespace: engine.namespace.clone(), name: "web".to_owned(), group_kind }
}

/// The resource version of an object that is watched; 0 when there is none.
fn seen(live: &Live) -> u64 {
    let Live::Present(object) = live else { return 0 };
    let version = object.pointer("/metadata/resourceVersion").and_then(Value::as_str);
    version.and_then(|version| version.parse().ok()).unwrap_or(0)
}

async fn spec(engine: &Engine) -> Result<Value> {
    Ok(engine.api("apps/v1", "Deployment", "deployments").get("web").await?.data["spec"].clone())
}

fn paused(replicas: i64) -> Value {
    let mut deployment = deployment("web", replicas);
    deployment["spec"]["paused"] = json!(true);
    deployment
}

#[tokio::test]
async fn replicas_that_an_autoscaler_has_set() -> Result<()> {
    let mut engine = engine("scaled", &["/spec/replicas"]).await?;
    engine.sync_well(&[deployment("web", 0)]).await?;
    let mut changes = engine.live.subscribe();
    let scale = Patch::Merge(json!({"spec": {"replicas": 2}}));
    let api = engine.api("apps/v1", "Deployment", "deployments");
    api.patch_subresource("scale", "web", &PatchParams::default(), &scale).await?;
    engine.next_change(&mut changes).await?;

    let (outcome, requests) = engine.sync_well(&[deployment("web", 1)]).await?;
    assert_eq!((told(&outcome), requests), (vec![], 0), "the ignored field is no reason to apply");
    engine.sync_well(&[paused(1)]).await?;
    let after = spec(&engine).await?;
    assert_eq!((&after["replicas"], &after["paused"]), (&json!(2), &json!(true)));
    let (_, requests) = engine.sync_well(&[paused(1)]).await?;
    assert_eq!(requests, 0);
    Ok(())
}

#[tokio::test]
async fn a_field_that_another_has_applied_is_its_own() -> Result<()> {
    let mut engine = engine("shared", &["/spec/replicas"]).await?;
    engine.sync_well(&[deployment("web", 0)]).await?;
    let apply = |replicas: u32| {
        Patch::Apply(json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"},
            "spec": {"replicas": replicas}}))
    };
    // The same value: now both own it, until we apply the next time.
    change_as(&engine, "keda", &apply(0)).await?;
    engine.sync_well(&[paused(0)]).await?;
    let unforced = PatchParams::apply("keda");
    engine.api("apps/v1", "Deployment", "deployments").patch("web", &unforced, &apply(1)).await?;
    engine.sync_well(&[paused(0)]).await?;
    assert_eq!(spec(&engine).await?["replicas"], json!(1));
    Ok(())
}

#[tokio::test]
async fn what_kubectl_has_changed_stays_and_becomes_ours() -> Result<()> {
    let mut engine =
        engine("edited", &["/spec/replicas", "/spec/template/spec/containers/0/resources"]).await?;
    engine.sync_well(&[deployment("web", 0)]).await?;
    let container =
        json!({"name": "web", "image": "example.com/web:2", "resources": {"limits": {"memory": "1Gi"}}});
    let edit = json!({"spec": {"replicas": 1, "template": {"spec": {"containers": [container]}}}});
    change_as(&engine, "kubectl-edit", &Patch::Strategic(edit)).await?;
    engine.sync_well(&[deployment("web", 0)]).await?;
    let after = spec(&engine).await?;
    assert_eq!(after["replicas"], json!(1));
    let container = &after["template"]["spec"]["containers"][0];
    assert_eq!(container["resources"], json!({"limits": {"memory": "1Gi"}, "requests": {"cpu": "100m"}}));
    assert_eq!(container["image"], json!("example.com/web:1"), "what is not ignored is put back");
    let (_, requests) = engine.sync_well(&[deployment("web", 0)]).await?;
    assert_eq!(requests, 0);
    Ok(())
}

#[tokio::test]
async fn what_git_no_longer_has_is_not_removed() -> Result<()> {
    let mut engine = engine("dropped", &["/spec/replicas"]).await?;
    engine.sync_well(&[deployment("web", 2)]).await?;
    let mut desired = paused(0);
    desired["spec"].as_object_mut().expect("a map").remove("replicas");
    engine.sync_well(&[desired.clone()]).await?;
    let after = spec(&engine).await?;
    assert_eq!((&after["replicas"], &after["paused"]), (&json!(2), &json!(true)));
    let (_, requests) = engine.sync_well(&[desired]).await?;
    assert_eq!(requests, 0);
    Ok(())
}
