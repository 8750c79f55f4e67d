use crate::scene::{Scene, config_map};
use serde_json::{Value, json};

#[tokio::test]
async fn a_change_of_a_variable_is_rolled_out_at_once() -> anyhow::Result<()> {
    let scene =
        Scene::with_files("variables", &[("a.yaml", &config_map("a", "${region}-${tier:=small}"))]).await?;
    let from =
        json!([{"kind": "ConfigMap", "name": "vars"}, {"kind": "Secret", "name": "more", "optional": true}]);
    let apps = scene.kustomization("apps", json!({"postBuild": {"substituteFrom": from}}));
    scene.cluster.apply(&apps).await?;
    let message = scene.wait_condition(&apps, "False", "BuildFailed").await?;
    assert!(message.contains("ConfigMap vars does not exist"), "{message}");

    let mut vars = scene.config_map("vars");
    vars["data"] = json!({"region": "eu"});
    scene.cluster.apply(&vars).await?;
    scene.wait_applied(&apps, &scene.repository.head()?).await?;
    let value = |expected: &'static str| move |object: &Value| object["data"]["key"] == expected;
    scene.wait(&scene.config_map("a"), "the variable is put in", value("eu-small")).await?;

    let mut more = scene.object("v1", "Secret", "more");
    more["stringData"] = json!({"tier": "large"});
    scene.cluster.apply(&more).await?;
    scene.wait(&scene.config_map("a"), "the Secret goes before the default", value("eu-large")).await?;
    scene.cluster.edit(&vars, &json!({"data": {"region": "us"}})).await?;
    scene.wait(&scene.config_map("a"), "the change is rolled out", value("us-large")).await?;
    Ok(())
}

// Attack 19 (secrets): an error never quotes the value of a variable.
#[tokio::test]
async fn a_value_that_breaks_the_manifest_is_not_told() -> anyhow::Result<()> {
    let scene = Scene::with_files("variables-secret", &[("a.yaml", &config_map("a", "${token}"))]).await?;
    let mut secret = scene.object("v1", "Secret", "vars");
    secret["stringData"] = json!({"token": "{canary-4711: [\"unclosed"});
    scene.cluster.apply(&secret).await?;
    let from = json!({"postBuild": {"substituteFrom": [{"kind": "Secret", "name": "vars"}]}});
    let apps = scene.kustomization("apps", from);
    scene.cluster.apply(&apps).await?;
    let message = scene.wait_condition(&apps, "False", "BuildFailed").await?;
    assert!(!message.contains("canary-4711") && !scene.controller.log().contains("canary-4711"), "{message}");
    Ok(())
}
