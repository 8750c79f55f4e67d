use anyhow::Result;
use kube::api::{DeleteParams, Patch, PatchParams};
use plumb_apply::LiveChangeKind;
use serde_json::json;

use super::engine::{Engine, config_map, told};

#[tokio::test]
async fn a_change_by_hand_is_told_to_the_owner_and_put_back() -> Result<()> {
    let mut engine = Engine::new("drift").await?;
    let desired = [config_map("a", json!({"a": "1"}))];
    engine.sync_well(&desired).await?;
    let mut changes = engine.live.subscribe();

    let by_hand = Patch::Merge(json!({"data": {"a": "2"}}));
    engine.config_maps().patch("a", &PatchParams::default(), &by_hand).await?;
    let change = engine.next_change(&mut changes).await?;
    assert_eq!((change.id.name.as_str(), change.kind), ("a", LiveChangeKind::Applied));
    assert_eq!(change.owner, engine.policy.owner);

    let (outcome, _) = engine.sync_well(&desired).await?;
    assert_eq!(told(&outcome), ["a Configured"]);
    assert_eq!(engine.config_maps().get("a").await?.data["data"], json!({"a": "1"}));
    Ok(())
}

#[tokio::test]
async fn a_deletion_by_hand_is_told_and_the_object_comes_back() -> Result<()> {
    let mut engine = Engine::new("deleted").await?;
    let desired = [config_map("a", json!({"a": "1"}))];
    engine.sync_well(&desired).await?;
    let mut changes = engine.live.subscribe();

    engine.config_maps().delete("a", &DeleteParams::default()).await?;
    let change = engine.next_change(&mut changes).await?;
    assert_eq!((change.id.name.as_str(), change.kind), ("a", LiveChangeKind::Deleted));

    let (outcome, _) = engine.sync_well(&desired).await?;
    assert_eq!(told(&outcome), ["a Created"]);
    Ok(())
}
