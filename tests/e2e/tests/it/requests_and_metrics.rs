use crate::scene::{Scene, config_map};
use serde_json::json;

#[tokio::test]
async fn a_request_is_answered_in_the_status_and_metrics_are_served() -> anyhow::Result<()> {
    let scene = Scene::with_files("requests", &[("a.yaml", &config_map("settings", "one"))]).await?;
    let apps = scene.kustomization("apps", json!({}));
    scene.apply_and_wait(&apps).await?;
    for object in [&scene.source(), &apps] {
        scene.request(object, "token 1").await?;
        scene
            .wait(object, "the request is answered", |live| {
                live["status"]["lastHandledReconcileAt"] == "token 1"
            })
            .await?;
    }
    assert_eq!(scene.controller.page("/healthz").await.as_deref(), Some("ok"));
    let metrics = scene.controller.page("/metrics").await.unwrap_or_default();
    let labels = format!("{{kind=\"Kustomization\",name=\"apps\",namespace=\"{}\"}}", scene.namespace);
    for name in ["gotk_reconcile_duration_seconds_count", "gotk_ready_status", "gotk_suspend_status"] {
        assert!(metrics.contains(&format!("{name}{labels}")), "{name} is not in:\n{metrics}");
    }
    Ok(())
}

#[tokio::test]
async fn an_unchanged_application_costs_no_request() -> anyhow::Result<()> {
    let scene = Scene::with_files("steady", &[("apps/a.yaml", &config_map("settings", "one"))]).await?;
    let apps = scene.kustomization("apps", json!({"path": "apps"}));
    scene.apply_and_wait(&apps).await?;
    let requests = async || {
        let metrics = scene.controller.page("/metrics").await.unwrap_or_default();
        metrics
            .lines()
            .filter(|line| line.starts_with("plumb_api_requests_total"))
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    let before = requests().await;
    // A commit elsewhere in the repository: only the revision in the status changes.
    let commit = scene.push(&[("elsewhere/README.md", "hello\n")]).await?;
    scene.wait_applied(&apps, &commit).await?;
    assert_eq!(requests().await, before);
    Ok(())
}
