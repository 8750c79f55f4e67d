use anyhow::Result;
use kube::api::{DeleteParams, PostParams};
use plumb_api::{GroupKind, ObjectId};
use plumb_apply::{Live, LiveChangeKind, LiveState, References};
use serde_json::json;

use super::engine::{Engine, config_map};

#[tokio::test]
async fn what_is_not_ours_can_be_followed() -> Result<()> {
    let engine = Engine::new("follow").await?;
    let references = References::new(engine.client.clone(), engine.live.clone());
    let mut changes = engine.live.subscribe();
    let id = ObjectId {
        namespace: engine.namespace.clone(),
        name: "theirs".to_owned(),
        group_kind: GroupKind::new("", "ConfigMap"),
    };
    let owner = engine.policy.owner.clone();
    assert_eq!(references.follow(&owner, &[(id.clone(), engine.kind("v1", "ConfigMap").await?)]), []);

    let change = engine.next_change(&mut changes).await?;
    assert_eq!((&change.id, change.kind), (&id, LiveChangeKind::Deleted), "there is no such object");
    assert!(matches!(references.live(&id), Live::Absent));

    let theirs = serde_json::from_value(config_map("theirs", json!({"a": "1"})))?;
    engine.config_maps().create(&PostParams::default(), &theirs).await?;
    let change = engine.next_change(&mut changes).await?;
    assert_eq!((change.kind, &change.owner), (LiveChangeKind::Applied, &owner));
    assert!(
        matches!(references.live(&id), Live::Present(object) if object.pointer("/data/a") == Some(&json!("1")))
    );

    engine.config_maps().delete("theirs", &DeleteParams::default()).await?;
    assert_eq!(engine.next_change(&mut changes).await?.kind, LiveChangeKind::Deleted);

    references.follow(&owner, &[]);
    assert!(references.is_empty());
    assert!(matches!(references.live(&id), Live::Unknown));
    Ok(())
}
