use crate::scene::{Scene, config_map};
use plumb_test_support::ApiServer;
use plumb_test_support::cluster::eventually;
use serde_json::{Value, json};

#[tokio::test]
async fn news_are_posted_as_flux_posts_them() -> anyhow::Result<()> {
    let receiver = ApiServer::start(|_| (202, json!({})))?;
    let origin = receiver.origin();
    let files = [("a.yaml", config_map("a", "x"))];
    let files: Vec<(&str, &str)> = files.iter().map(|(path, text)| (*path, text.as_str())).collect();
    let scene = Scene::with_files_and("notify", &files, &["--events-addr", &origin]).await?;
    let mut apps = scene.kustomization("apps", json!({}));
    apps["metadata"]["annotations"] = json!({"event.toolkit.fluxcd.io/team": "a"});
    scene.apply_and_wait(&apps).await?;

    let revision = format!("main@sha1:{}", scene.repository.head()?);
    let is_told = || async {
        let events = receiver
            .seen()
            .into_iter()
            .filter_map(|request| serde_json::from_str::<Value>(&request.body).ok());
        let about = |event: &Value| {
            event["involvedObject"]["kind"] == "Kustomization" && event["reason"] == "ReconciliationSucceeded"
        };
        Ok(events.into_iter().find(about))
    };
    let event = eventually("the news is posted", is_told).await?;
    assert_eq!(event["severity"], "info");
    assert_eq!(event["reportingController"], "kustomize-controller");
    assert_eq!(event["involvedObject"]["name"], "apps");
    assert_eq!(event["metadata"]["kustomize.toolkit.fluxcd.io/revision"], revision.as_str());
    assert_eq!(event["metadata"]["event.toolkit.fluxcd.io/team"], "a");
    assert!(event["message"].as_str().is_some_and(|message| message.contains(&revision)), "{event}");
    Ok(())
}
