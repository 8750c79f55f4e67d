use serde_json::json;

use crate::releases::{is_waiting, release, released, scene, status_of, wait_for, wait_released};
use crate::scene::Scene;

/// A ConfigMap that is a hook.
fn hook(name: &str, event: &str, weight: i32, policy: &str) -> String {
    format!(
        "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: {name}\n  annotations:\n    helm.sh/hook: {event}\n    \
         helm.sh/hook-weight: \"{weight}\"\n    helm.sh/hook-delete-policy: {policy}\n"
    )
}

/// A Pod that is a hook. It ends when the test says so.
fn pod(name: &str, event: &str, policy: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Pod\nmetadata:\n  name: {name}\n  annotations:\n    helm.sh/hook: {event}\n    \
         helm.sh/hook-delete-policy: {policy}\n    devcluster.plumbline.dev/waiting: ImagePullBackOff\nspec:\n  \
         restartPolicy: Never\n  containers:\n  - {{name: a, image: example.invalid/a}}\n"
    )
}

async fn ends(scene: &Scene, name: &str, phase: &str) -> anyhow::Result<()> {
    let pod = scene.object("v1", "Pod", name);
    scene.wait(&pod, "the hook runs", is_waiting).await?;
    scene.cluster.edit_status(&pod, &json!({"status": {"phase": phase}})).await?;
    Ok(())
}

#[tokio::test]
async fn in_the_order_of_their_weights() -> anyhow::Result<()> {
    let first = hook("first", "pre-install", -5, "before-hook-creation");
    let second = hook("second", "pre-install", 5, "hook-succeeded");
    let files = [("charts/web/templates/b.yaml", first.as_str()), ("charts/web/templates/a.yaml", &second)];
    let scene = scene("helm-hooks", &files).await?;
    let web = release(&scene, "web", json!({}));
    let found = released(&scene, &web, 1).await?;
    let made = scene.cluster.get(&scene.config_map("first")).await?.unwrap_or_default();
    assert_eq!(made["metadata"]["labels"]["helm.toolkit.fluxcd.io/name"], "web");
    assert!(scene.cluster.get(&scene.config_map("second")).await?.is_none(), "its policy says so");
    // Hooks are not among the objects that are kept.
    assert!(!found["status"]["inventory"].to_string().contains("first"), "{found:#}");
    Ok(())
}

#[tokio::test]
async fn and_waits_for_those_that_take_their_time() -> anyhow::Result<()> {
    let slow = pod("slow", "pre-install", "hook-succeeded");
    let scene = scene("helm-slow-hook", &[("charts/web/templates/slow.yaml", &slow)]).await?;
    let web = release(&scene, "web", json!({}));
    scene.cluster.apply(&web).await?;
    scene.wait(&scene.object("v1", "Pod", "slow"), "the hook runs", |_| true).await?;
    assert_eq!(status_of(&scene, "web", 1).await?.as_deref(), Some("pending-install"));
    assert!(scene.cluster.get(&scene.config_map("web-settings")).await?.is_none());
    ends(&scene, "slow", "Succeeded").await?;
    wait_released(&scene, &web, 1).await?;
    scene.cluster.wait_gone(&scene.object("v1", "Pod", "slow")).await?;
    Ok(())
}

#[tokio::test]
async fn and_fails_with_them() -> anyhow::Result<()> {
    let slow = pod("migrate", "pre-upgrade", "before-hook-creation");
    let scene = scene("helm-failed-hook", &[("charts/web/templates/slow.yaml", &slow)]).await?;
    let web = release(&scene, "web", json!({}));
    released(&scene, &web, 1).await?;
    scene.cluster.edit(&web, &json!({"spec": {"values": {"key": "two"}}})).await?;
    let hook = scene.object("v1", "Pod", "migrate");
    scene.wait(&hook, "the hook runs", is_waiting).await?;
    let container = json!({
        "name": "a", "image": "example.invalid/a", "imageID": "", "ready": false, "restartCount": 0,
        "state": {"terminated": {"exitCode": 3, "reason": "Error", "message": "canary-4712"}},
    });
    let failed = json!({"status": {"phase": "Failed", "containerStatuses": [container]}});
    scene.cluster.edit_status(&hook, &failed).await?;
    let message = wait_for(&scene, &web, "Released", "False", "UpgradeFailed").await?;
    assert!(message.contains("pre-upgrade hooks failed: Pod migrate: Pod/"), "{message}");
    assert!(message.contains("the Pod has failed: container a has ended with exit code 3"), "{message}");
    assert!(!message.contains("canary-4712"), "what it has said may be secret: {message}");
    assert_eq!(status_of(&scene, "web", 2).await?.as_deref(), Some("failed"));
    let settings = scene.cluster.get(&scene.config_map("web-settings")).await?.unwrap_or_default();
    assert_eq!(settings["data"]["key"], "one", "the hook comes before");
    Ok(())
}

#[tokio::test]
async fn and_its_tests_once_it_is_released() -> anyhow::Result<()> {
    // The fake node deletes pods by their names, late: a new one of the same name, right after, would be hit.
    let (good, other) = (pod("good", "test", "hook-succeeded"), pod("other", "test", "before-hook-creation"));
    let files =
        [("charts/web/templates/good.yaml", good.as_str()), ("charts/web/templates/other.yaml", &other)];
    let scene = scene("helm-tests", &files).await?;
    let test = json!({"test": {"enable": true, "filters": [{"name": "other", "exclude": true}]}});
    let web = release(&scene, "web", test);
    scene.cluster.apply(&web).await?;
    ends(&scene, "good", "Succeeded").await?;
    let message = wait_for(&scene, &web, "TestSuccess", "True", "TestSucceeded").await?;
    assert!(message.ends_with("1 test hook completed successfully"), "{message}");
    let found = wait_released(&scene, &web, 1).await?;
    assert_eq!(found["status"]["history"][0]["testHooks"]["good"]["phase"], "Succeeded");
    assert!(scene.cluster.get(&scene.object("v1", "Pod", "other")).await?.is_none(), "it is excluded");

    scene.cluster.wait_gone(&scene.object("v1", "Pod", "good")).await?;
    scene.cluster.edit(&web, &json!({"spec": {"values": {"key": "two"}}})).await?;
    ends(&scene, "good", "Failed").await?;
    wait_for(&scene, &web, "TestSuccess", "False", "TestFailed").await?;
    Ok(())
}
