use crate::scene::{Scene, config_map};
use rstest::rstest;
use serde_json::{Value, json};

/// The ConfigMap `settings` with an annotation of the kustomize controller.
fn annotated(value: &str, annotation: &str) -> String {
    let annotation = format!("name: settings\n  annotations: {{kustomize.toolkit.fluxcd.io/{annotation}}}");
    config_map("settings", value).replace("name: settings", &annotation)
}

/// What a user has put there with `kubectl apply` before, or since.
fn by_hand(scene: &Scene) -> Value {
    let mut object = scene.config_map("settings");
    object["data"] = json!({"key": "by hand", "more": "by hand"});
    object
}

#[rstest]
// As Flux: what kubectl has applied is overridden and its other fields go, unless they are to be merged.
#[case::override_("ssa-override", "ssa: Override", json!({"key": "from git"}))]
#[case::merge("ssa-merge", "ssa: Merge", json!({"key": "from git", "more": "by hand"}))]
#[case::if_not_present("ssa-once", "ssa: IfNotPresent", json!({"key": "by hand", "more": "by hand"}))]
#[case::ignore("ssa-ignore", "ssa: Ignore", json!({"key": "by hand", "more": "by hand"}))]
#[case::reconcile("reconcile", "reconcile: disabled", json!({"key": "by hand", "more": "by hand"}))]
#[tokio::test]
async fn an_object_that_is_there_already(
    #[case] name: &str,
    #[case] annotation: &str,
    #[case] expected: Value,
) -> anyhow::Result<()> {
    let files = [("a.yaml", annotated("from git", annotation)), ("b.yaml", config_map("marker", "one"))];
    let files = files.each_ref().map(|(path, text)| (*path, text.as_str()));
    let scene = Scene::with_files(name, &files).await?;
    scene.cluster.apply(&by_hand(&scene)).await?;
    let apps = scene.kustomization("apps", json!({}));
    scene.apply_and_wait(&apps).await?;
    let found = scene.cluster.get(&scene.config_map("settings")).await?.unwrap_or_default();
    assert_eq!(found["data"], expected);
    Ok(())
}

#[rstest]
#[case::if_not_present("none-once", "ssa: IfNotPresent", true)]
#[case::ignore("none-ignore", "ssa: Ignore", false)]
#[case::reconcile("none-reconcile", "reconcile: disabled", false)]
#[tokio::test]
async fn an_object_that_is_not_there_yet(
    #[case] name: &str,
    #[case] annotation: &str,
    #[case] is_made: bool,
) -> anyhow::Result<()> {
    let files = [("a.yaml", annotated("one", annotation)), ("b.yaml", config_map("marker", "one"))];
    let files = files.each_ref().map(|(path, text)| (*path, text.as_str()));
    let scene = Scene::with_files(name, &files).await?;
    let apps = scene.kustomization("apps", json!({}));
    scene.apply_and_wait(&apps).await?;
    let found = scene.cluster.get(&scene.config_map("settings")).await?;
    assert_eq!(found.is_some(), is_made);
    // A later commit does not change it either.
    let commit = scene.push(&[("a.yaml", &annotated("two", annotation))]).await?;
    scene.wait_applied(&apps, &commit).await?;
    let found = scene.cluster.get(&scene.config_map("settings")).await?;
    assert_eq!(found.map(|object| object["data"]["key"].clone()), is_made.then(|| "one".into()));
    Ok(())
}

// The annotation may be set in the cluster only: so one stops the controller from undoing what is done in an emergency.
#[tokio::test]
async fn an_object_that_is_disabled_in_the_cluster_is_left_alone() -> anyhow::Result<()> {
    let files = [("a.yaml", config_map("settings", "one")), ("b.yaml", config_map("marker", "one"))];
    let files = files.each_ref().map(|(path, text)| (*path, text.as_str()));
    let scene = Scene::with_files("emergency", &files).await?;
    let apps = scene.kustomization("apps", json!({}));
    scene.apply_and_wait(&apps).await?;
    let emergency = json!({
        "metadata": {"annotations": {"kustomize.toolkit.fluxcd.io/reconcile": "disabled"}}, "data": {"key": "by hand"},
    });
    scene.cluster.edit(&scene.config_map("settings"), &emergency).await?;
    let commit = scene.push(&[("a.yaml", &config_map("settings", "two"))]).await?;
    scene.wait_applied(&apps, &commit).await?;
    let found = scene.cluster.get(&scene.config_map("settings")).await?.unwrap_or_default();
    assert_eq!(found["data"]["key"], "by hand");

    // Nor is it pruned.
    scene.repository.remove("a.yaml")?;
    let commit = scene.push(&[]).await?;
    scene.wait_applied(&apps, &commit).await?;
    assert!(scene.cluster.get(&scene.config_map("settings")).await?.is_some());
    Ok(())
}

#[tokio::test]
async fn an_immutable_field_is_changed_where_the_annotation_allows_it() -> anyhow::Result<()> {
    let immutable =
        |value: &str, annotation: &str| format!("{}immutable: true\n", annotated(value, annotation));
    let scene = Scene::with_files("force-one", &[("a.yaml", &immutable("one", "force: disabled"))]).await?;
    let apps = scene.kustomization("apps", json!({}));
    scene.apply_and_wait(&apps).await?;
    scene.push(&[("a.yaml", &immutable("two", "force: disabled"))]).await?;
    scene.wait_condition(&apps, "False", "ReconciliationFailed").await?;
    let commit = scene.push(&[("a.yaml", &immutable("two", "force: enabled"))]).await?;
    scene.wait_applied(&apps, &commit).await?;
    let found = scene.cluster.get(&scene.config_map("settings")).await?.unwrap_or_default();
    assert_eq!(found["data"]["key"], "two");
    Ok(())
}

#[tokio::test]
async fn an_immutable_field_is_changed_where_the_kustomization_is_forced() -> anyhow::Result<()> {
    let immutable = |value: &str| format!("{}immutable: true\n", config_map("settings", value));
    let scene = Scene::with_files("force", &[("a.yaml", &immutable("one"))]).await?;
    let apps = scene.kustomization("apps", json!({}));
    scene.apply_and_wait(&apps).await?;
    let commit = scene.push(&[("a.yaml", &immutable("two"))]).await?;
    let message = scene.wait_condition(&apps, "False", "ReconciliationFailed").await?;
    assert!(message.contains("settings"), "{message}");
    let stuck = scene.cluster.get(&apps).await?.unwrap_or_default();
    assert_ne!(stuck["status"]["lastAppliedRevision"], format!("main@sha1:{commit}"), "nothing was applied");

    // The spec changes while the failed attempt is left alone.
    scene.cluster.edit(&apps, &json!({"spec": {"force": true}})).await?;
    scene.wait_applied(&apps, &commit).await?;
    let found = scene.cluster.get(&scene.config_map("settings")).await?.unwrap_or_default();
    assert_eq!(found["data"]["key"], "two");
    Ok(())
}

#[tokio::test]
async fn an_object_without_substitution_keeps_its_dollars() -> anyhow::Result<()> {
    let plain = annotated("${region}", "substitute: disabled");
    let scene =
        Scene::with_files("verbatim", &[("a.yaml", &plain), ("b.yaml", &config_map("b", "${region}"))])
            .await?;
    let apps = scene.kustomization("apps", json!({"postBuild": {"substitute": {"region": "eu"}}}));
    scene.apply_and_wait(&apps).await?;
    let value = async |name| {
        anyhow::Ok(
            scene.cluster.get(&scene.config_map(name)).await?.unwrap_or_default()["data"]["key"].clone(),
        )
    };
    assert_eq!(value("settings").await?, "${region}");
    assert_eq!(value("b").await?, "eu");
    Ok(())
}
