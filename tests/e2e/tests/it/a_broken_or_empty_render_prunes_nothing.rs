use crate::scene::{Scene, config_map};
use rstest::rstest;
use serde_json::json;

const KUSTOMIZATION: &str = "resources: [a.yaml, b.yaml]\n";

#[rstest]
#[case::malformed_yaml("malformed", "resources: [a.yaml\n", "BuildFailed", "kustomization.yaml")]
#[case::missing_file("missing", "resources: [a.yaml, gone.yaml]\n", "BuildFailed", "gone.yaml")]
#[case::remote_base(
    "remote",
    "resources: [a.yaml, \"https://example.invalid/base\"]\n",
    "BuildFailed",
    "example.invalid"
)]
#[case::rejected(
    "rejected",
    "resources: [a.yaml, rejected.yaml, refused.yaml]\n",
    "ReconciliationFailed",
    "refused"
)]
#[tokio::test]
async fn a_mistake_is_told_and_the_cluster_stays_as_it_was(
    #[case] name: &str,
    #[case] broken: &str,
    #[case] reason: &str,
    #[case] told: &str,
) -> anyhow::Result<()> {
    let (a, b) = (config_map("a", "one"), config_map("b", "one"));
    // Two that the API server refuses: both have to be told of.
    let rejected =
        "apiVersion: v1\nkind: Service\nmetadata: {name: rejected}\nspec: {ports: [{port: 99999}]}\n";
    let refused = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: refused}\nspec: {replicas: -1}\n";
    let files = [
        ("a.yaml", a.as_str()),
        ("b.yaml", b.as_str()),
        ("rejected.yaml", rejected),
        ("refused.yaml", refused),
        ("kustomization.yaml", KUSTOMIZATION),
    ];
    let scene = Scene::with_files(name, &files).await?;
    let apps = scene.kustomization("apps", json!({}));
    scene.apply_and_wait(&apps).await?;
    let before = scene.cluster.get(&scene.config_map("a")).await?.unwrap_or_default();

    scene.push(&[("kustomization.yaml", broken), ("a.yaml", &config_map("a", "two"))]).await?;
    let message = scene.wait_condition(&apps, "False", reason).await?;
    assert!(message.contains(told), "{message}");
    if name == "rejected" {
        assert!(message.contains("Service"), "every object that is refused is named: {message}");
    }
    let after = scene.cluster.get(&scene.config_map("a")).await?.unwrap_or_default();
    assert_eq!(after["metadata"]["resourceVersion"], before["metadata"]["resourceVersion"]);
    assert!(scene.cluster.get(&scene.config_map("b")).await?.is_some());

    let commit = scene.push(&[("kustomization.yaml", KUSTOMIZATION)]).await?;
    scene.wait_applied(&apps, &commit).await?;
    Ok(())
}

#[tokio::test]
async fn an_empty_render_is_refused() -> anyhow::Result<()> {
    let scene = Scene::with_files("empty", &[("apps/a.yaml", &config_map("a", "one"))]).await?;
    let apps = scene.kustomization("apps", json!({"path": "apps"}));
    scene.apply_and_wait(&apps).await?;
    scene.repository.remove("apps/a.yaml")?;
    scene.push(&[("apps/notes.txt", "nothing to see here\n")]).await?;
    // Flux's generated kustomization.yaml of a directory without manifests renders nothing, without an error.
    scene
        .wait(&apps, "it is refused", |object| {
            plumb_test_support::cluster::condition(object, "Ready")
                .is_some_and(|(status, _, _)| status == "False")
        })
        .await?;
    assert!(scene.cluster.get(&scene.config_map("a")).await?.is_some());
    Ok(())
}

#[tokio::test]
async fn a_path_that_is_gone_prunes_nothing() -> anyhow::Result<()> {
    let scene = Scene::with_files("gone", &[("apps/a.yaml", &config_map("a", "one"))]).await?;
    let apps = scene.kustomization("apps", json!({"path": "apps"}));
    scene.apply_and_wait(&apps).await?;
    scene.repository.remove("apps")?;
    scene.push(&[("elsewhere/a.yaml", &config_map("a", "one"))]).await?;
    let message = scene.wait_condition(&apps, "False", "BuildFailed").await?;
    assert!(message.contains("apps"), "{message}");
    assert!(scene.cluster.get(&scene.config_map("a")).await?.is_some());
    Ok(())
}
