use crate::scene::{cluster, config_map};
use plumb_test_support::cluster::is_ready;
use plumb_test_support::controller::Controller;
use plumb_test_support::{GitRepo, GitServer, GitServerOptions};
use serde_json::{Value, json};

const KEY: &str = "sharding.fluxcd.io/key";

/// A source and a Kustomization of it, both of a shard if one is given.
fn app(namespace: &str, name: &str, url: &str, shard: Option<&str>) -> [Value; 2] {
    let labels = shard.map_or(json!({}), |shard| json!({KEY: shard}));
    let metadata = json!({"name": name, "namespace": namespace, "labels": labels});
    [
        json!({
            "apiVersion": "source.toolkit.fluxcd.io/v1", "kind": "GitRepository", "metadata": metadata,
            "spec": {"interval": "1h", "url": url, "ref": {"branch": "main"}},
        }),
        json!({
            "apiVersion": "kustomize.toolkit.fluxcd.io/v1", "kind": "Kustomization", "metadata": metadata,
            "spec": {
                "interval": "1h", "prune": true, "path": format!("./{name}"), "targetNamespace": namespace,
                "sourceRef": {"kind": "GitRepository", "name": name},
            },
        }),
    ]
}

#[tokio::test]
async fn each_reconciles_its_shard_and_takes_over_what_is_given_to_it() -> anyhow::Result<()> {
    let cluster = cluster().await?;
    let namespace = cluster.namespace("shards").await?;
    let repository = GitRepo::new()?;
    for name in ["left", "right", "neither"] {
        repository.write(&format!("{name}/a.yaml"), config_map(name, "one"))?;
    }
    repository.commit("A change")?;
    let server = GitServer::start(&repository.root(), GitServerOptions::default())?;
    let shards = [format!("{namespace}-1"), format!("{namespace}-2")];
    let left = app(&namespace, "left", &server.url(), Some(&shards[0]));
    let right = app(&namespace, "right", &server.url(), Some(&shards[1]));
    let neither = app(&namespace, "neither", &server.url(), None);
    for object in left.iter().chain(&right).chain(&neither) {
        cluster.apply(object).await?;
    }
    let first = Controller::start_for(&cluster, &format!("{KEY}={}", shards[0])).await?;
    cluster.wait_for(&left[1], "the first shard is applied", is_ready).await?;
    assert!(!first.log().contains("right"), "{}", first.log());

    let second = Controller::start_for(&cluster, &format!("{KEY} in ({})", shards[1])).await?;
    cluster.wait_for(&right[1], "the second shard is applied", is_ready).await?;
    assert!(!second.log().contains("left"), "{}", second.log());

    // The first shard is given to the second controller, and the first lets it go without deleting anything.
    let [source, kustomization] = &left;
    let settings = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "left", "namespace": namespace}});
    let uid = cluster.get(&settings).await?.unwrap_or_default()["metadata"]["uid"].clone();
    for object in [source, kustomization] {
        cluster.edit(object, &json!({"metadata": {"labels": {KEY: shards[1]}}})).await?;
    }
    cluster.edit(&settings, &json!({"data": {"key": "by hand"}})).await?;
    drop(first);
    let is_back = |object: &Value| object["data"]["key"] == "one";
    let back = cluster.wait_for(&settings, "drift is put back by the second", is_back).await;
    let back = back.map_err(|error| error.context(second.log()))?;
    assert_eq!(back["metadata"]["uid"], uid);

    let status = cluster.get(&neither[1]).await?.unwrap_or_default()["status"].clone();
    assert_eq!(status["conditions"], Value::Null, "it belongs to no shard");
    Ok(())
}
