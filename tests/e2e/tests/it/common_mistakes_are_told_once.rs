use crate::scene::{Scene, config_map};
use anyhow::Context as _;
use k8s_openapi::api::events::v1::Event;
use kube::api::{Api, ListParams};
use serde_json::json;

#[tokio::test]
async fn a_plain_secret_and_prune_off_are_told_as_events() -> anyhow::Result<()> {
    let secret =
        "apiVersion: v1\nkind: Secret\nmetadata: {name: password}\nstringData: {password: canary-4712}\n";
    let scene =
        Scene::with_files("lint", &[("a.yaml", &config_map("a", "x")), ("secret.yaml", secret)]).await?;
    scene.apply_and_wait(&scene.kustomization("apps", json!({"prune": false}))).await?;
    scene.request(&scene.kustomization("apps", json!({})), "again").await?;
    let handled = |object: &serde_json::Value| object["status"]["lastHandledReconcileAt"] == "again";
    scene.wait(&scene.kustomization("apps", json!({})), "it was looked at again", handled).await?;

    let events: Api<Event> = Api::namespaced(scene.cluster.client.clone(), &scene.namespace);
    let events = events.list(&ListParams::default()).await?.items;
    let lint = events.iter().filter(|event| event.reason.as_deref() == Some("Lint"));
    let notes: Vec<String> =
        lint.map(|event| event.note.clone().context("an event has a note")).collect::<Result<_, _>>()?;
    for rule in ["(prune-off)", "(plain-secret)", "(no-health-checks)"] {
        assert_eq!(notes.iter().filter(|note| note.ends_with(rule)).count(), 1, "{rule} once: {notes:?}");
    }
    assert!(!notes.iter().any(|note| note.contains("canary-4712")), "{notes:?}");
    Ok(())
}
