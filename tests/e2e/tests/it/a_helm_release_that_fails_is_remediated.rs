use serde_json::{Value, json};

use crate::releases::{is_waiting, release, released, scene, status_of, wait_for, wait_released};

/// A ConfigMap that the API server refuses where the value says so.
const REFUSED: &str = "{{- if .Values.broken }}\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: broken}\nno: such field\n{{- end }}\n";

#[tokio::test]
async fn an_upgrade_that_fails_is_rolled_back() -> anyhow::Result<()> {
    let scene = scene("helm-rollback", &[("charts/web/templates/broken.yaml", REFUSED)]).await?;
    let upgrade = json!({"upgrade": {"remediation": {"retries": 1, "remediateLastFailure": true}}});
    let web = release(&scene, "web", upgrade);
    released(&scene, &web, 1).await?;
    scene.cluster.edit(&web, &json!({"spec": {"values": {"key": "two", "broken": true}}})).await?;
    let message = wait_for(&scene, &web, "Stalled", "True", "RetriesExceeded").await?;
    assert_eq!(message, "Failed to upgrade after 2 attempt(s)");
    let message = wait_for(&scene, &web, "Remediated", "True", "RollbackSucceeded").await?;
    assert!(message.starts_with("Helm rollback to previous release"), "{message}");
    let settings = scene.cluster.get(&scene.config_map("web-settings")).await?.unwrap_or_default();
    assert_eq!(settings["data"]["key"], "one");

    // What is mended is released.
    scene.cluster.edit(&web, &json!({"spec": {"values": {"key": "three", "broken": false}}})).await?;
    wait_released(&scene, &web, 6).await?;
    let settings = scene.cluster.get(&scene.config_map("web-settings")).await?.unwrap_or_default();
    assert_eq!(settings["data"]["key"], "three");
    Ok(())
}

#[tokio::test]
async fn an_install_that_fails_is_uninstalled_and_tried_again() -> anyhow::Result<()> {
    let scene = scene("helm-reinstall", &[("charts/web/templates/broken.yaml", REFUSED)]).await?;
    let install = json!({
        "values": {"broken": true}, "install": {"remediation": {"retries": 1, "remediateLastFailure": true}},
    });
    let web = release(&scene, "web", install);
    scene.cluster.apply(&web).await?;
    wait_for(&scene, &web, "Stalled", "True", "RetriesExceeded").await?;
    let found = scene.cluster.get(&web).await?.unwrap_or_default();
    assert_eq!(found["status"]["installFailures"], 2);
    assert_eq!(status_of(&scene, "web", 1).await?, None, "it was uninstalled");
    assert!(scene.cluster.get(&scene.config_map("web-settings")).await?.is_none());

    scene.cluster.edit(&web, &json!({"spec": {"values": {"broken": false}}})).await?;
    wait_released(&scene, &web, 1).await?;
    Ok(())
}

// Attack 24 (Kubernetes): kill −9 between the record and the objects.
#[tokio::test]
async fn a_release_that_was_interrupted_is_finished_after_a_restart() -> anyhow::Result<()> {
    // It never becomes ready, so that the action waits.
    let pod = "apiVersion: v1\nkind: Pod\nmetadata:\n  name: slow\n  annotations:\n    helm.sh/hook: pre-install,pre-upgrade\n    \
               devcluster.plumbline.dev/waiting: ImagePullBackOff\nspec:\n  containers:\n  - {name: a, image: example.invalid/a}\n";
    let mut scene = scene("helm-crash", &[("charts/web/templates/slow.yaml", pod)]).await?;
    let web = release(&scene, "web", json!({}));
    scene.cluster.apply(&web).await?;
    let slow = scene.object("v1", "Pod", "slow");
    scene.wait(&slow, "the hook runs", |_| true).await?;
    assert_eq!(status_of(&scene, "web", 1).await?.as_deref(), Some("pending-install"));
    assert!(scene.cluster.get(&scene.config_map("web-settings")).await?.is_none(), "it waits for the hook");
    scene.controller.kill()?;
    scene.controller.start_again().await?;
    // The record is unlocked, and the upgrade that follows runs the hook anew.
    let first = scene.cluster.get(&slow).await?.unwrap_or_default();
    // What the node says of it comes a moment later, and would be the last word.
    let is_new = |pod: &Value| pod["metadata"]["uid"] != first["metadata"]["uid"] && is_waiting(pod);
    scene.wait(&slow, "the hook runs again", is_new).await?;
    scene.cluster.edit_status(&slow, &json!({"status": {"phase": "Succeeded"}})).await?;
    wait_released(&scene, &web, 2).await?;
    assert_eq!(status_of(&scene, "web", 1).await?.as_deref(), Some("failed"));
    Ok(())
}
