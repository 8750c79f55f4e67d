use crate::scene::Scene;
use plumb_test_support::cluster::condition;
use serde_json::{Value, json};

#[tokio::test]
async fn a_field_that_is_not_honoured_stalls_the_object_and_is_named() -> anyhow::Result<()> {
    let scene = Scene::set("stalled").await?;
    let mut source = scene.object("source.toolkit.fluxcd.io/v1", "OCIRepository", "apps");
    source["spec"] =
        json!({"interval": "1h", "url": "oci://registry.example/apps", "verify": {"provider": "notation"}});
    scene.cluster.apply(&source).await?;
    let stalled = |object: &Value| {
        condition(object, "Stalled").is_some_and(|(_, _, message)| message.contains("notation"))
    };
    scene.wait(&source, "the source is stalled", stalled).await?;
    Ok(())
}
