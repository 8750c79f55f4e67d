use std::time::Duration;

use crate::scene::{cluster, config_map};
use plumb_test_support::cluster::is_ready;
use plumb_test_support::controller::Controller;
use plumb_test_support::{GitRepo, GitServer, GitServerOptions};
use serde_json::json;
use tokio::net::TcpListener;
use tokio::time::timeout;

// Attack 23 (multi-tenancy): one tenant's sources are at a server that takes connections and never says a word.
#[tokio::test]
async fn a_tenant_whose_servers_are_silent_delays_nobody() -> anyhow::Result<()> {
    let cluster = cluster().await?;
    let (greedy, modest) = (cluster.namespace("fair-greedy").await?, cluster.namespace("fair-modest").await?);
    let labels = json!({"sharding.fluxcd.io/key": greedy});
    let silent = TcpListener::bind("127.0.0.1:0").await?;
    let source = |namespace: &str, name: &str, spec: serde_json::Value| {
        json!({
            "apiVersion": "source.toolkit.fluxcd.io/v1", "kind": "GitRepository", "spec": spec,
            "metadata": {"name": name, "namespace": namespace, "labels": labels},
        })
    };
    for number in 0..40 {
        let url = format!("http://{}/apps-{number}", silent.local_addr()?);
        let spec = json!({"interval": "1s", "timeout": "59m", "url": url});
        cluster.apply(&source(&greedy, &format!("silent-{number}"), spec)).await?;
    }
    let controller = Controller::start_for(&cluster, &format!("sharding.fluxcd.io/key={greedy}")).await?;
    // As many are being fetched as a namespace can have at once.
    let mut held = Vec::new();
    while held.len() < 8 {
        held.push(timeout(Duration::from_secs(60), silent.accept()).await??);
    }

    let repository = GitRepo::new()?;
    repository.write("a.yaml", config_map("settings", "one"))?;
    repository.commit("A change")?;
    let server = GitServer::start(&repository.root(), GitServerOptions::default())?;
    let spec = json!({"interval": "1h", "url": server.url(), "ref": {"branch": "main"}});
    let good = source(&modest, "apps", spec);
    cluster.apply(&good).await?;
    let fetched = cluster.wait_for(&good, "the other tenant's source is fetched", is_ready).await;
    fetched.map_err(|error| error.context(controller.log()))?;
    Ok(())
}
