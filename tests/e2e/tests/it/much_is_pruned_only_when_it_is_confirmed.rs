use crate::scene::{Scene, config_map};
use anyhow::Context as _;
use serde_json::json;

// Attack 25 (multi-tenancy): a commit that removes most of what there is.
#[tokio::test]
async fn half_of_a_large_set_is_kept_until_somebody_confirms() -> anyhow::Result<()> {
    let scene = Scene::set("guard").await?;
    let all: Vec<String> = (0..12).map(|number| format!("c{number}")).collect();
    for name in &all {
        scene.repository.write(&format!("{name}.yaml"), config_map(name, "x"))?;
    }
    scene.commit(&[])?;
    scene.cluster.apply(&scene.source()).await?;
    let apps = scene.kustomization("apps", json!({}));
    scene.apply_and_wait(&apps).await?;

    for name in &all[..9] {
        scene.repository.remove(&format!("{name}.yaml"))?;
    }
    let commit = scene.push(&[("new.yaml", &config_map("new", "x"))]).await?;
    let message = scene.wait_condition(&apps, "False", "PruneFailed").await?;
    assert!(
        message.contains("objects are no longer in the source, and the limit is 50%")
            && message.starts_with("9 of 1"),
        "{message}"
    );
    assert!(
        scene.cluster.get(&scene.config_map("new")).await?.is_some(),
        "the rest of the commit is applied"
    );
    assert!(scene.cluster.get(&scene.config_map("c0")).await?.is_some());

    let (_, confirmation) =
        message.rsplit_once("plumbline.dev/prune-confirmed: ").context("it says how to confirm")?;
    let annotations = json!({"metadata": {"annotations": {"plumbline.dev/prune-confirmed": confirmation}}});
    scene.cluster.edit(&apps, &annotations).await?;
    scene.wait_applied(&apps, &commit).await?;
    scene.cluster.wait_gone(&scene.config_map("c0")).await?;
    assert_eq!(scene.inventory(&apps).await?.len(), 4);
    Ok(())
}
