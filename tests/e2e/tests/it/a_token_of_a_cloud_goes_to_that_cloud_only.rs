use crate::scene::{Scene, config_map};
use rstest::rstest;
use serde_json::json;

// Attack 5 (sources): a repository that has the controller's identity sent to a server of its author.
#[rstest]
#[case::azure("azure", "the provider azure is for https://dev.azure.com/")]
#[case::aws("aws", "the provider aws is for https://git-codecommit.")]
#[tokio::test]
async fn another_server_gets_no_login(#[case] provider: &str, #[case] told: &str) -> anyhow::Result<()> {
    let scene = Scene::set(&format!("cloud-{provider}")).await?;
    scene.commit(&[("a.yaml", &config_map("a", "x"))])?;
    let mut source = scene.source();
    source["spec"] = json!({"interval": "1h", "url": scene.server.url(), "provider": provider});
    scene.cluster.apply(&source).await?;
    let is_told = |object: &serde_json::Value| object["status"].to_string().contains(told);
    scene.wait(&source, "it is refused", is_told).await?;
    assert!(scene.server.seen().is_empty(), "the server was not even asked");
    Ok(())
}
