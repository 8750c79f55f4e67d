use crate::scene::{Scene, config_map};
use serde_json::{Value, json};

/// Plain files, and a rule about them.
fn steps(severity: &str) -> Value {
    let rule = json!({
        "name": "no-canary", "expression": "object.data.key != 'canary'", "message": "the key must not be canary", "severity": severity,
    });
    json!([
        {"plugin": "yaml", "with": {"path": "deploy"}},
        {"name": "rules", "plugin": "policy-cel", "with": {"rules": [rule]}},
    ])
}

#[tokio::test]
async fn nothing_is_applied_of_what_breaks_a_rule() -> anyhow::Result<()> {
    let scene = Scene::with_files("pipe-rules", &[("deploy/a.yaml", &config_map("a", "x"))]).await?;
    let shop = scene.pipeline("shop", steps("error"), json!({}));
    scene.apply_and_wait(&shop).await?;

    let files = [("deploy/a.yaml", config_map("a", "y")), ("deploy/b.yaml", config_map("b", "canary"))];
    scene.push(&files.each_ref().map(|(path, text)| (*path, text.as_str()))).await?;
    let message = scene.wait_condition(&shop, "False", "BuildFailed").await?;
    for part in ["rules", "no-canary", "the key must not be canary", "ConfigMap"] {
        assert!(message.contains(part), "{message}");
    }
    let a = scene.cluster.get(&scene.config_map("a")).await?.unwrap_or_default();
    assert_eq!(a["data"]["key"], "x", "a commit is applied as a whole, or not at all");
    assert!(scene.cluster.get(&scene.config_map("b")).await?.is_none());
    Ok(())
}

#[tokio::test]
async fn a_warning_is_told_and_stops_nothing() -> anyhow::Result<()> {
    let scene = Scene::with_files("pipe-warns", &[("deploy/a.yaml", &config_map("a", "canary"))]).await?;
    let shop = scene.pipeline("shop", steps("warning"), json!({}));
    scene.apply_and_wait(&shop).await?;
    let a = scene.cluster.get(&scene.config_map("a")).await?.unwrap_or_default();
    assert_eq!(a["data"]["key"], "canary");
    Ok(())
}
