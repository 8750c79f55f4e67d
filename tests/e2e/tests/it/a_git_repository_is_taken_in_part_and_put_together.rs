use crate::scene::{Scene, config_map};
use plumb_test_support::cluster::{condition, is_ready};
use serde_json::{Value, json};

#[tokio::test]
async fn what_is_left_out_is_not_applied_and_a_change_of_that_needs_no_commit() -> anyhow::Result<()> {
    let files = [("app/a.yaml", config_map("one", "a")), ("base/b.yaml", config_map("two", "b"))];
    let scene =
        Scene::with_files("git-parts", &files.each_ref().map(|(path, text)| (*path, text.as_str()))).await?;
    let mut source = scene.source();
    source["spec"]["ignore"] = "/base/".into();
    scene.cluster.apply(&source).await?;
    let observed = |object: &Value| is_ready(object) && object["status"]["observedIgnore"] == "/base/";
    scene.wait(&source, "the patterns are observed", observed).await?;
    scene.apply_and_wait(&scene.kustomization("apps", json!({}))).await?;
    assert!(scene.cluster.get(&scene.config_map("one")).await?.is_some());
    assert!(scene.cluster.get(&scene.config_map("two")).await?.is_none());

    source = scene.source();
    source["spec"]["sparseCheckout"] = json!(["base"]);
    scene.cluster.apply(&source).await?;
    scene.wait(&scene.config_map("two"), "what is taken now is applied", |_| true).await?;
    scene.cluster.wait_gone(&scene.config_map("one")).await?;
    let status = scene.cluster.get(&source).await?.unwrap_or_default()["status"].clone();
    assert_eq!(
        (&status["observedSparseCheckout"], &status["observedIgnore"]),
        (&json!(["base"]), &Value::Null)
    );

    source["spec"]["sparseCheckout"] = json!(["../../etc"]);
    scene.cluster.apply(&source).await?;
    let message = scene.wait_condition(&source, "False", "IllegalPath").await?;
    assert_eq!(
        message,
        "spec.sparseCheckout cannot be used: the path \"../../etc\" leads out of the root of the source"
    );
    Ok(())
}

// Attack 11 (sources): a commit that nobody has signed who may. What was applied before stays.
#[tokio::test]
async fn a_commit_without_a_signature_is_not_taken_where_one_is_asked_for() -> anyhow::Result<()> {
    let scene = Scene::with_files("git-signed", &[("a.yaml", &config_map("settings", "one"))]).await?;
    scene.apply_and_wait(&scene.kustomization("apps", json!({}))).await?;
    let key = include_str!("../../../../host/source/src/git/verify/fixtures/ada.sshpub");
    let secret = json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "signers", "namespace": scene.namespace},
        "stringData": {"ada.sshpub": key},
    });
    scene.cluster.apply(&secret).await?;
    let mut source = scene.source();
    source["spec"]["verify"] = json!({"mode": "HEAD", "secretRef": {"name": "signers"}});
    scene.cluster.apply(&source).await?;
    scene.push(&[("a.yaml", &config_map("settings", "two"))]).await?;
    let message = scene.wait_condition(&source, "False", "InvalidCommitSignature").await?;
    assert!(message.contains("it has no signature"), "{message}");
    let found = scene.cluster.get(&source).await?.unwrap_or_default();
    assert!(condition(&found, "SourceVerified").is_some_and(|(status, ..)| status == "False"), "{found:#}");
    let live = scene.cluster.get(&scene.config_map("settings")).await?.unwrap_or_default();
    assert_eq!(live["data"]["key"], "one");
    Ok(())
}

#[tokio::test]
async fn the_files_of_another_are_put_in_and_follow_it() -> anyhow::Result<()> {
    let files = [("app/a.yaml", config_map("one", "a")), ("lib/b.yaml", config_map("two", "b"))];
    let scene = Scene::set("git-include").await?;
    scene.commit(&files.each_ref().map(|(path, text)| (*path, text.as_str())))?;
    let mut source = scene.source();
    source["spec"]["sparseCheckout"] = json!(["app"]);
    source["spec"]["include"] =
        json!([{"repository": {"name": "shared"}, "fromPath": "lib", "toPath": "app/lib"}]);
    scene.cluster.apply(&source).await?;
    let message = scene.wait_condition(&source, "False", "NotFound").await?;
    assert!(message.contains("/shared', which spec.include names, does not exist"), "{message}");
    let found = scene.cluster.get(&source).await?.unwrap_or_default();
    assert!(condition(&found, "IncludeUnavailable").is_some(), "{found:#}");

    // The interval is an hour: what happens from here on, happens because the other one wakes it.
    let mut shared = scene.source();
    shared["metadata"]["name"] = "shared".into();
    scene.cluster.apply(&shared).await?;
    scene.apply_and_wait(&scene.kustomization("apps", json!({"path": "app"}))).await?;
    for name in ["one", "two"] {
        assert!(scene.cluster.get(&scene.config_map(name)).await?.is_some(), "{name}");
    }
    let found = scene.cluster.get(&source).await?.unwrap_or_default();
    let included = &found["status"]["includedArtifacts"][0]["revision"];
    assert_eq!(*included, format!("main@sha1:{}", scene.repository.head()?), "{found:#}");
    assert!(condition(&found, "IncludeUnavailable").is_none(), "{found:#}");

    let commit = scene.commit(&[("lib/b.yaml", &config_map("two", "changed"))])?;
    scene.request(&shared, &commit).await?;
    let is_changed = |object: &Value| object["data"]["key"] == "changed";
    scene.wait(&scene.config_map("two"), "the change of the other one is applied", is_changed).await?;

    // Attack 21 (multi-tenancy): a cycle is named, and what was applied stays.
    scene.cluster.edit(&shared, &json!({"spec": {"include": [{"repository": {"name": "source"}}]}})).await?;
    let message = scene.wait_condition(&shared, "False", "IncludeCycle").await?;
    assert!(message.contains("shared includes source includes shared"), "{message}");
    assert!(scene.cluster.get(&scene.config_map("two")).await?.is_some());
    Ok(())
}
