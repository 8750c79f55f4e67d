use crate::scene::{Scene, config_map};
use serde_json::{Value, json};

fn pipeline(scene: &Scene) -> Value {
    scene.pipeline("shop", json!([{"plugin": "yaml", "with": {"path": "pipeline"}}]), json!({}))
}

// Attack 21 (multi-tenancy): one who may make Pipelines takes the name of a Kustomization.
#[tokio::test]
async fn neither_prunes_nor_claims_what_the_other_has() -> anyhow::Result<()> {
    let files = [
        ("pipeline/a.yaml", config_map("of-pipeline", "x")),
        ("pipeline/b.yaml", config_map("of-pipeline-too", "x")),
        ("kustomization/a.yaml", config_map("of-kustomization", "x")),
    ];
    let files = files.each_ref().map(|(path, text)| (*path, text.as_str()));
    let scene = Scene::with_files("one-name", &files).await?;
    let pipeline = pipeline(&scene);
    let kustomization = scene.kustomization("shop", json!({"path": "kustomization"}));
    scene.apply_and_wait(&pipeline).await?;
    scene.apply_and_wait(&kustomization).await?;
    assert_eq!(scene.inventory(&pipeline).await?.len(), 2);
    assert_eq!(scene.inventory(&kustomization).await?.len(), 1);

    // Each prunes its own.
    scene.repository.remove("pipeline/b.yaml")?;
    let commit = scene.push(&[]).await?;
    scene.wait_applied(&pipeline, &commit).await?;
    scene.wait_applied(&kustomization, &commit).await?;
    scene.cluster.wait_gone(&scene.config_map("of-pipeline-too")).await?;
    for name in ["of-pipeline", "of-kustomization"] {
        assert!(scene.cluster.get(&scene.config_map(name)).await?.is_some(), "{name} is kept");
    }
    // And with each go its own.
    scene.cluster.delete(&pipeline).await?;
    scene.cluster.wait_gone(&pipeline).await?;
    scene.cluster.wait_gone(&scene.config_map("of-pipeline")).await?;
    assert!(scene.cluster.get(&scene.config_map("of-kustomization")).await?.is_some());
    Ok(())
}

#[tokio::test]
async fn the_one_that_comes_second_is_told_whose_an_object_is() -> anyhow::Result<()> {
    let files = [
        ("pipeline/a.yaml", config_map("shared", "pipeline")),
        ("kustomization/a.yaml", config_map("shared", "kustomization")),
    ];
    let files = files.each_ref().map(|(path, text)| (*path, text.as_str()));
    let scene = Scene::with_files("one-claim", &files).await?;
    scene.apply_and_wait(&pipeline(&scene)).await?;
    let kustomization = scene.kustomization("shop", json!({"path": "kustomization"}));
    scene.cluster.apply(&kustomization).await?;
    let message = scene.wait_condition(&kustomization, "False", "ReconciliationFailed").await?;
    assert!(message.contains(&format!("is managed by Pipeline {}/shop", scene.namespace)), "{message}");
    let shared = scene.cluster.get(&scene.config_map("shared")).await?.unwrap_or_default();
    assert_eq!(shared["data"]["key"], "pipeline");
    Ok(())
}

#[tokio::test]
async fn an_object_that_moves_from_one_to_the_other_is_not_recreated() -> anyhow::Result<()> {
    let (moving, staying) = (config_map("moving", "a"), config_map("staying", "a"));
    let files = [
        ("pipeline/a.yaml", moving.as_str()),
        ("pipeline/b.yaml", staying.as_str()),
        ("kustomization/b.yaml", &config_map("own", "a")),
    ];
    let scene = Scene::with_files("one-move", &files).await?;
    let pipeline = pipeline(&scene);
    let kustomization = scene.kustomization("shop", json!({"path": "kustomization"}));
    scene.apply_and_wait(&pipeline).await?;
    scene.apply_and_wait(&kustomization).await?;
    let before = scene.cluster.get(&scene.config_map("moving")).await?.unwrap_or_default();

    scene.repository.remove("pipeline/a.yaml")?;
    let commit = scene.push(&[("kustomization/a.yaml", &moving)]).await?;
    scene.wait_applied(&pipeline, &commit).await?;
    scene.wait_applied(&kustomization, &commit).await?;
    let after = scene.cluster.get(&scene.config_map("moving")).await?.unwrap_or_default();
    assert_eq!(after["metadata"]["uid"], before["metadata"]["uid"]);
    assert!(after["metadata"]["labels"].get("plumbline.dev/applier").is_none(), "{after}");
    Ok(())
}
