use crate::scene::{Scene, deployment};
use serde_json::{Value, json};

#[tokio::test]
async fn an_autoscaler_may_set_the_replicas() -> anyhow::Result<()> {
    let scene = Scene::with_files("ignore", &[("web.yaml", &deployment("web", 1))]).await?;
    let apps = scene.kustomization(
        "apps",
        json!({"ignore": [{"paths": ["/spec/replicas"], "target": {"kind": "Deployment"}}]}),
    );
    scene.apply_and_wait(&apps).await?;
    let web = scene.deployment("web");
    scene.cluster.edit_as("autoscaler", &web, &json!({"spec": {"replicas": 3}})).await?;
    // Another drift of the same object is put back, and the replicas with it are not.
    scene.cluster.edit(&web, &json!({"spec": {"template": {"spec": {"containers": [{"name": "app", "image": "example.invalid/other"}]}}}})).await?;
    let is_back = |object: &Value| {
        object["spec"]["template"]["spec"]["containers"][0]["image"] == "example.invalid/app"
    };
    let found = scene.wait(&web, "the image is put back", is_back).await?;
    assert_eq!(found["spec"]["replicas"], 3);

    let commit = scene.push(&[("web.yaml", &deployment("web", 2))]).await?;
    scene.wait_applied(&apps, &commit).await?;
    assert_eq!(
        scene.cluster.get(&web).await?.unwrap_or_default()["spec"]["replicas"],
        3,
        "it stays the autoscaler's"
    );
    Ok(())
}
