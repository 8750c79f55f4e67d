use anyhow::Result;
use serde_json::json;

use super::engine::{Engine, config_map, deployment};

#[tokio::test]
async fn a_broken_commit_changes_nothing_and_every_mistake_is_told() -> Result<()> {
    let mut engine = Engine::new("broken").await?;
    engine.sync_well(&[config_map("good", json!({"a": "1"})), deployment("web", 0)]).await?;
    let before = engine.config_maps().get("good").await?.metadata.resource_version;

    let mut unknown_field = deployment("unknown", 0);
    unknown_field["spec"]["replica"] = json!(1);
    let (outcome, _) = engine
        .sync(&[
            config_map("good", json!({"a": "2"})),
            config_map("new", json!({"a": "1"})),
            deployment("web", -1),
            unknown_field,
        ])
        .await?;

    let failed: Vec<_> = outcome.failed.iter().map(ToString::to_string).collect();
    assert_eq!(failed.len(), 2, "{failed:#?}");
    assert!(failed.iter().any(|text| text.contains("web: spec.replicas: Invalid value: -1")), "{failed:#?}");
    assert!(failed.iter().any(|text| text.contains("unknown") && text.contains("replica")), "{failed:#?}");
    assert!(outcome.applied.is_empty() && outcome.pruned.deleted.is_empty());
    assert_eq!(engine.config_maps().get("good").await?.metadata.resource_version, before);
    assert!(engine.config_maps().get_opt("new").await?.is_none());
    Ok(())
}

#[tokio::test]
async fn a_refused_secret_is_told_without_its_values() -> Result<()> {
    let mut engine = Engine::new("secret").await?;
    let secret = json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "a"}, "data": {"hunter2": {"hunter2": "hunter2"}},
    });
    let odd_type = json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "b"},
        "type": "kubernetes.io/dockerconfigjson", "stringData": {".dockerconfigjson": "hunter2"},
    });
    let (outcome, _) = engine.sync(&[secret, odd_type]).await?;
    assert_eq!(outcome.failed.len(), 2, "{:#?}", outcome.failed);
    assert!(!format!("{:?}", outcome.failed).contains("hunter2"), "{:#?}", outcome.failed);
    Ok(())
}

#[tokio::test]
async fn a_kind_that_the_cluster_does_not_know_is_named() -> Result<()> {
    let engine = Engine::new("unknown").await?;
    let widget = json!({"apiVersion": "example.com/v1", "kind": "Nonesuch", "metadata": {"name": "a"}});
    let deferred = engine.plan(&[widget]).await?.deferred.iter().map(ToString::to_string).collect::<String>();
    assert!(deferred.contains("Nonesuch") && deferred.contains("example.com"), "{deferred}");
    Ok(())
}
