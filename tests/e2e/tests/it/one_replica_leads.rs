use crate::scene::{Scene, config_map};
use plumb_test_support::cluster::eventually;
use plumb_test_support::controller::Controller;
use serde_json::json;

#[tokio::test]
async fn a_replica_takes_over_when_the_leader_goes() -> anyhow::Result<()> {
    let mut scene = Scene::with_files("leader", &[("a.yaml", &config_map("settings", "one"))]).await?;
    // The controller of the scene has no rivals: it makes room for two that have.
    scene.controller.terminate()?;
    let election = ["--enable-leader-election", "--leader-election-namespace", &scene.namespace];
    let start = async || Controller::start_with(&scene.cluster, &scene.namespace, &election).await;
    let mut first = start().await?;
    eventually("the first replica leads", async || {
        Ok(first.log().contains("became the leader").then_some(()))
    })
    .await?;
    let second = start().await?;
    eventually("the second one waits", async || {
        Ok(second.log().contains("another replica is the leader").then_some(()))
    })
    .await?;

    let apps = scene.kustomization("apps", json!({}));
    scene.apply_and_wait(&apps).await?;
    assert!(!second.log().contains("Applied revision"), "only the leader reconciles");

    first.terminate()?;
    eventually("the second one leads", async || Ok(second.log().contains("became the leader").then_some(())))
        .await?;
    let commit = scene.push(&[("a.yaml", &config_map("settings", "two"))]).await?;
    scene.wait_applied(&apps, &commit).await?;
    Ok(())
}
