use anyhow::Result;
use serde_json::json;

use super::engine::{Engine, client, client_as, config_map, told};

#[tokio::test]
async fn a_kind_that_may_not_be_watched_is_applied_all_the_same() -> Result<()> {
    // A user whom nobody has granted anything.
    let nobody = client_as(|config| config.auth_info.impersonate = Some("nobody".to_owned())).await?;
    let mut engine = Engine::watching_as("forbidden", client().await?, nobody).await?;
    let desired = [config_map("a", json!({"a": "1"}))];
    let (outcome, _) = engine.sync_well(&desired).await?;
    assert_eq!(told(&outcome), ["a Created"]);
    // Nothing is known, so it is looked at; and found to be as it should be.
    let (outcome, requests) = engine.sync_well(&desired).await?;
    assert_eq!(told(&outcome), Vec::<String>::new());
    assert!(requests > 0);
    assert_eq!(engine.config_maps().get("a").await?.data["data"], json!({"a": "1"}));
    Ok(())
}
