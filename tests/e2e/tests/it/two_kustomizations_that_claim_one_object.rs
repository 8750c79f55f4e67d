use crate::scene::{Scene, config_map};
use serde_json::json;

#[tokio::test]
async fn the_second_is_told_whose_it_is_and_the_first_keeps_it() -> anyhow::Result<()> {
    let (first, second) = (config_map("shared", "first"), config_map("shared", "second"));
    let files = [
        ("first/a.yaml", first.as_str()),
        ("second/a.yaml", second.as_str()),
        ("second/b.yaml", &config_map("own", "a")),
    ];
    let scene = Scene::with_files("claims", &files).await?;
    scene.apply_and_wait(&scene.kustomization("first", json!({"path": "first"}))).await?;
    let claimant = scene.kustomization("second", json!({"path": "second"}));
    scene.cluster.apply(&claimant).await?;
    let message = scene.wait_condition(&claimant, "False", "ReconciliationFailed").await?;
    let namespace = &scene.namespace;
    assert!(message.contains(&format!("is managed by Kustomization {namespace}/first")), "{message}");
    let shared = scene.cluster.get(&scene.config_map("shared")).await?.unwrap_or_default();
    assert_eq!(shared["data"]["key"], "first");
    assert!(scene.cluster.get(&scene.config_map("own")).await?.is_some(), "the rest is applied");
    Ok(())
}

#[tokio::test]
async fn an_object_that_moves_to_another_kustomization_is_not_recreated() -> anyhow::Result<()> {
    let (moving, staying) = (config_map("moving", "a"), config_map("staying", "a"));
    let files = [
        ("first/a.yaml", moving.as_str()),
        ("first/b.yaml", staying.as_str()),
        ("second/b.yaml", &config_map("own", "a")),
    ];
    let scene = Scene::with_files("move", &files).await?;
    let (first, second) = (
        scene.kustomization("first", json!({"path": "first"})),
        scene.kustomization("second", json!({"path": "second"})),
    );
    scene.apply_and_wait(&first).await?;
    scene.apply_and_wait(&second).await?;
    let before = scene.cluster.get(&scene.config_map("moving")).await?.unwrap_or_default();

    scene.repository.remove("first/a.yaml")?;
    let commit = scene.push(&[("second/a.yaml", &moving)]).await?;
    scene.wait_applied(&first, &commit).await?;
    scene.wait_applied(&second, &commit).await?;
    let after = scene.cluster.get(&scene.config_map("moving")).await?.unwrap_or_default();
    assert_eq!(after["metadata"]["uid"], before["metadata"]["uid"]);
    assert_eq!(after["metadata"]["labels"]["kustomize.toolkit.fluxcd.io/name"], "second");
    Ok(())
}
