use anyhow::Result;
use serde_json::json;

use super::engine::{Engine, config_map, deployment, told};

#[tokio::test]
async fn applying_again_costs_no_request() -> Result<()> {
    let mut engine = Engine::new("again").await?;
    let service = json!({
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": "web"},
        "spec": {"selector": {"app": "web"}, "ports": [{"port": 80, "targetPort": 8080}]},
    });
    let secret = json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "token"}, "stringData": {"token": "not a real one"},
    });
    let desired = [config_map("settings", json!({"a": "1"})), deployment("web", 0), service, secret];

    let (outcome, _) = engine.sync_well(&desired).await?;
    assert_eq!(told(&outcome), ["settings Created", "token Created", "web Created", "web Created"]);

    for _ in 0..3 {
        let (outcome, requests) = engine.sync_well(&desired).await?;
        assert_eq!((told(&outcome), requests), (vec![], 0));
    }
    Ok(())
}

#[tokio::test]
async fn a_change_of_one_object_is_one_request() -> Result<()> {
    let mut engine = Engine::new("change").await?;
    engine.sync_well(&[config_map("a", json!({"a": "1"})), config_map("b", json!({"b": "1"}))]).await?;
    let (outcome, requests) =
        engine.sync_well(&[config_map("a", json!({"a": "2"})), config_map("b", json!({"b": "1"}))]).await?;
    assert_eq!((told(&outcome), requests), (vec!["a Configured".to_owned()], 1));
    let data = engine.config_maps().get("a").await?.data["data"].clone();
    assert_eq!(data, json!({"a": "2"}));
    Ok(())
}
