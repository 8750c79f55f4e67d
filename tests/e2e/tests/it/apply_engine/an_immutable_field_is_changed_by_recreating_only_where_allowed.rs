use anyhow::Result;
use plumb_apply::FailureKind;
use serde_json::{Value, json};

use super::engine::{Engine, config_map, told};

fn immutable(value: &str) -> Value {
    let mut object = config_map("fixed", json!({"a": value}));
    object["immutable"] = json!(true);
    object
}

#[tokio::test]
async fn without_force_it_is_a_failure_that_says_what_to_do() -> Result<()> {
    let mut engine = Engine::new("immutable").await?;
    engine.sync_well(&[immutable("1")]).await?;
    let (outcome, _) = engine.sync(&[immutable("2")]).await?;
    let [failure] = outcome.failed.as_slice() else { anyhow::bail!("{outcome:?}") };
    assert_eq!(failure.kind, FailureKind::Immutable);
    assert!(failure.message.contains("spec.force"), "{failure}");
    assert_eq!(engine.config_maps().get("fixed").await?.data["data"], json!({"a": "1"}));
    Ok(())
}

#[tokio::test]
async fn with_the_annotation_it_is_recreated() -> Result<()> {
    let mut engine = Engine::new("forced").await?;
    engine.sync_well(&[immutable("1")]).await?;
    let before = engine.config_maps().get("fixed").await?.metadata.uid;
    let mut changed = immutable("2");
    changed["metadata"]["annotations"] = json!({"kustomize.toolkit.fluxcd.io/force": "enabled"});
    let (outcome, _) = engine.sync_well(&[changed]).await?;
    assert_eq!(told(&outcome), ["fixed Recreated"]);
    let after = engine.config_maps().get("fixed").await?;
    assert_eq!(after.data["data"], json!({"a": "2"}));
    assert_ne!(after.metadata.uid, before);
    Ok(())
}

#[tokio::test]
async fn force_does_not_delete_an_object_whose_new_form_is_invalid() -> Result<()> {
    let mut engine = Engine::new("invalid").await?;
    engine.policy.force = true;
    engine.sync_well(&[config_map("a", json!({"a": "1"}))]).await?;
    let (outcome, _) = engine.sync(&[config_map("a", json!({"not a key": "1"}))]).await?;
    assert_eq!(outcome.failed.len(), 1);
    assert_eq!(engine.config_maps().get("a").await?.data["data"], json!({"a": "1"}));
    Ok(())
}
