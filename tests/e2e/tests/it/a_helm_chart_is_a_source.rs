use crate::scene::Scene;
use crate::servers::{Artifact, FileServer, sha256, tar_gz};
use plumb_test_support::cluster::{condition, is_ready};
use serde_json::{Value, json};

const SOURCE: &str = "source.toolkit.fluxcd.io/v1";

fn chart(name: &str, version: &str) -> anyhow::Result<Vec<u8>> {
    let metadata = format!("apiVersion: v2\nname: {name}\nversion: {version}\nappVersion: '7'\n");
    let files = [
        ("Chart.yaml", metadata.as_str()),
        ("values.yaml", "replicas: 1\n"),
        ("values-prod.yaml", "replicas: 3\n"),
    ];
    let files = files.map(|(path, text)| (format!("{name}/{path}"), text));
    tar_gz(&files.each_ref().map(|(path, text)| (path.as_str(), *text)))
}

/// Serves charts of the name `web` in these versions, and their index.
fn publish(server: &FileServer, versions: &[&str]) -> anyhow::Result<()> {
    let mut index = "apiVersion: v1\nentries:\n  web:\n".to_owned();
    for version in versions {
        let archive = chart("web", version)?;
        let digest = sha256(&archive);
        index.push_str(&format!(
            "  - {{name: web, version: {version}, urls: [web-{version}.tgz], digest: '{}'}}\n",
            digest.trim_start_matches("sha256:")
        ));
        server.put(&format!("charts/web-{version}.tgz"), archive);
    }
    server.put("charts/index.yaml", index);
    Ok(())
}

fn repository(scene: &Scene, spec: Value) -> Value {
    let mut object = scene.object(SOURCE, "HelmRepository", "charts");
    object["spec"] = spec;
    object
}

fn helm_chart(scene: &Scene, more: &Value) -> Value {
    let mut object = scene.object(SOURCE, "HelmChart", "web");
    object["spec"] = json!({
        "chart": "web", "version": "1.x", "interval": "1h", "sourceRef": {"kind": "HelmRepository", "name": "charts"},
    });
    for (field, value) in more.as_object().into_iter().flatten() {
        object["spec"][field] = value.clone();
    }
    object
}

fn of_version(version: &str) -> impl Fn(&Value) -> bool {
    move |object| is_ready(object) && object["status"]["artifact"]["revision"] == version
}

fn ready(object: &Value) -> (String, String) {
    let (_, reason, message) = condition(object, "Ready").unwrap_or_default();
    (reason.to_owned(), message.to_owned())
}

#[tokio::test]
async fn of_a_repository_whose_versions_it_follows() -> anyhow::Result<()> {
    let server = FileServer::start().await?;
    publish(&server, &["1.0.0", "2.0.0"])?;
    let mut scene = Scene::set("helm-chart").await?;
    let source = repository(&scene, json!({"url": format!("{}/charts", server.origin()), "interval": "1h"}));
    let chart = helm_chart(&scene, &json!({}));

    // The chart is there first, and waits for its repository.
    scene.cluster.apply(&chart).await?;
    let message = scene.wait_condition(&chart, "False", "SourceUnavailable").await?;
    assert!(message.contains("does not exist"), "{message}");
    scene.cluster.apply(&source).await?;
    let found = scene.wait(&source, "the index is fetched", is_ready).await?;
    let revision = found["status"]["artifact"]["revision"].clone();
    assert_eq!(found["status"]["artifact"]["digest"], revision);
    let found = scene.wait(&chart, "the chart is pulled", of_version("1.0.0")).await?;
    let expected = "pulled 'web' chart with version '1.0.0'";
    assert_eq!(ready(&found), ("ChartPullSucceeded".to_owned(), expected.to_owned()));
    assert_eq!(found["status"]["observedSourceArtifactRevision"], revision);
    assert_eq!(found["status"]["observedChartName"], "web");
    assert_eq!(found["status"]["artifact"]["metadata"]["appVersion"], "7");
    assert!(condition(&found, "FetchFailed").is_none(), "{found:#}");

    // A new version of the range is taken when the index has it: nobody asks for the chart itself.
    publish(&server, &["1.0.0", "1.1.0", "2.0.0"])?;
    scene.request(&source, "new").await?;
    scene.wait(&chart, "the new version is pulled", of_version("1.1.0")).await?;

    // What it holds takes the place of its own values, which makes it another build of that version.
    let spec = json!({"valuesFiles": ["values.yaml", "values-prod.yaml"]});
    scene.cluster.apply(&helm_chart(&scene, &spec)).await?;
    let found = scene.wait(&chart, "it is packaged", of_version("1.1.0+2")).await?;
    let expected =
        "packaged 'web' chart with version '1.1.0+2' and merged values files [values.yaml values-prod.yaml]";
    assert_eq!(ready(&found), ("ChartPackageSucceeded".to_owned(), expected.to_owned()));

    // A repository that is down takes nothing away, also not after a restart.
    server.clear();
    scene.request(&source, "down").await?;
    scene.wait_condition(&source, "False", "Failed").await?;
    scene.controller.terminate()?;
    scene.controller.start_again().await?;
    scene.wait_condition(&source, "False", "Failed").await?;
    let found = scene.cluster.get(&chart).await?.unwrap_or_default();
    assert!(of_version("1.1.0+2")(&found), "{found:#}");
    let found = scene.cluster.get(&source).await?.unwrap_or_default();
    assert!(condition(&found, "ArtifactInStorage").is_some_and(|(status, ..)| status == "True"), "{found:#}");
    Ok(())
}

#[tokio::test]
async fn that_is_refused_when_it_is_not_what_the_index_says() -> anyhow::Result<()> {
    let server = FileServer::start().await?;
    publish(&server, &["1.0.0"])?;
    server.put("charts/web-1.0.0.tgz", chart("web", "1.0.0-evil")?);
    let scene = Scene::set("helm-digest").await?;
    let source = repository(&scene, json!({"url": format!("{}/charts", server.origin()), "interval": "1h"}));
    scene.cluster.apply(&source).await?;
    let object = helm_chart(&scene, &json!({}));
    scene.cluster.apply(&object).await?;
    let message = scene.wait_condition(&object, "False", "ChartPullError").await?;
    assert!(message.contains("nothing of it is used"), "{message}");
    let found = scene.cluster.get(&object).await?.unwrap_or_default();
    assert_eq!(found["status"]["artifact"], Value::Null);
    assert!(condition(&found, "FetchFailed").is_some_and(|(status, ..)| status == "True"), "{found:#}");

    // A version that there is not is told, and nothing is tried until something changes.
    scene.cluster.apply(&helm_chart(&scene, &json!({"version": "9.x"}))).await?;
    let message = scene.wait_condition(&object, "False", "InvalidChartReference").await?;
    assert!(message.starts_with("no 'web' chart with version matching '9.x' found in"), "{message}");
    publish(&server, &["9.0.0"])?;
    scene.request(&source, "mended").await?;
    scene.wait(&object, "it is pulled", of_version("9.0.0")).await?;

    // Attack 11 (sources): a chart that nobody has signed.
    let key = include_str!("../../../../host/source/src/helm/fixtures/ada.asc");
    let mut secret = scene.object("v1", "Secret", "signers");
    secret["stringData"] = json!({"ada.asc": key});
    scene.cluster.apply(&secret).await?;
    let verify =
        json!({"version": "9.x", "verify": {"provider": "cosign", "secretRef": {"name": "signers"}}});
    scene.cluster.apply(&helm_chart(&scene, &verify)).await?;
    let message = scene.wait_condition(&object, "False", "ChartVerificationError").await?;
    assert!(message.ends_with("there is no file .prov beside it"), "{message}");
    let found = scene.cluster.get(&object).await?.unwrap_or_default();
    assert!(condition(&found, "SourceVerified").is_some_and(|(status, ..)| status == "False"), "{found:#}");
    assert_eq!(found["status"]["artifact"]["revision"], "9.0.0", "the last one stays");
    Ok(())
}

#[tokio::test]
async fn of_a_registry() -> anyhow::Result<()> {
    const LOGIN: (&str, &str) = ("puller", "correct horse");
    let registry = plumb_test_support::registry(Some(LOGIN), None)?;
    for (version, tag) in [("1.0.0", "1.0.0"), ("1.1.0+build.2", "1.1.0_build.2"), ("2.0.0", "2.0.0")] {
        let artifact = Artifact {
            config: "application/vnd.cncf.helm.config.v1+json",
            layer: "application/vnd.cncf.helm.chart.content.v1.tar+gzip",
            bytes: chart("web", version)?,
            layer_annotations: json!({}),
            annotations: json!({}),
        };
        artifact.push(registry.origin(), Some(LOGIN), "charts/web", tag).await?;
    }
    let scene = Scene::set("helm-oci").await?;
    let secret = json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "registry", "namespace": scene.namespace},
        "stringData": {"username": LOGIN.0, "password": LOGIN.1},
    });
    scene.cluster.apply(&secret).await?;
    let spec = json!({
        "type": "oci", "url": format!("oci://{}/charts", registry.host()), "insecure": true,
        "secretRef": {"name": "registry"},
    });
    let source = repository(&scene, spec);
    scene.cluster.apply(&source).await?;
    let object = helm_chart(&scene, &json!({}));
    scene.cluster.apply(&object).await?;
    scene.wait(&object, "it is pulled", of_version("1.1.0+build.2")).await?;
    let found = scene.cluster.get(&source).await?.unwrap_or_default();
    assert_eq!(found["status"]["conditions"], Value::Null, "as in Flux, it has no status");

    let key = "-----BEGIN PUBLIC KEY-----\nMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEaxfR8uEsQkf4vOblY6RA8ncDfYEt\n\
               6zOg9KE5RdiYwpZP40Li/hp/m47n60p8D54WK84zV2sxXs7LtkBoN79R9Q==\n-----END PUBLIC KEY-----\n";
    let secret = json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "signers", "namespace": scene.namespace},
        "stringData": {"team.pub": key},
    });
    scene.cluster.apply(&secret).await?;
    // Attack 9 (sources): a chart without a signature.
    let verify =
        json!({"version": "2.0.0", "verify": {"provider": "cosign", "secretRef": {"name": "signers"}}});
    scene.cluster.apply(&helm_chart(&scene, &verify)).await?;
    scene.wait_condition(&object, "False", "ChartVerificationError").await?;
    let found = scene.cluster.get(&object).await?.unwrap_or_default();
    assert!(condition(&found, "SourceVerified").is_some_and(|(status, ..)| status == "False"), "{found:#}");
    assert_eq!(found["status"]["artifact"]["revision"], "1.1.0+build.2", "the last one stays");
    Ok(())
}

#[tokio::test]
async fn of_a_git_repository_with_what_it_needs_from_beside_it_and_elsewhere() -> anyhow::Result<()> {
    let server = FileServer::start().await?;
    publish(&server, &["1.4.0"])?;
    let needs = format!(
        "apiVersion: v2\nname: shop\nversion: 0.1.0\ndependencies:\n- {{name: lib, version: 1.x, repository: 'file://../lib'}}\n\
         - {{name: web, version: 1.x, repository: '{}/charts'}}\n",
        server.origin()
    );
    let scene = Scene::with_files(
        "helm-git",
        &[
            ("charts/shop/Chart.yaml", &needs),
            ("charts/shop/values.yaml", "a: 1\n"),
            ("charts/lib/Chart.yaml", "apiVersion: v2\nname: lib\nversion: 1.0.0\ntype: library\n"),
        ],
    )
    .await?;
    let from_git = json!({
        "chart": "./charts/shop", "reconcileStrategy": "Revision",
        "sourceRef": {"kind": "GitRepository", "name": "source"},
    });
    let object = helm_chart(&scene, &from_git);
    scene.cluster.apply(&object).await?;
    let is_packaged =
        |commit: String| move |object: &Value| of_version(&format!("0.1.0+{}", &commit[..12]))(object);
    let found = scene.wait(&object, "it is packaged", is_ready).await?;
    assert_eq!(ready(&found).0, "ChartPackageSucceeded");

    // Another commit is another build.
    let commit = scene.push(&[("charts/shop/values.yaml", "a: 2\n")]).await?;
    scene.wait(&object, "the commit is packaged", is_packaged(commit)).await?;

    let broken = "apiVersion: v2\nname: shop\nversion: 0.2.0\ndependencies: [{name: gone, version: 1.x, repository: 'file://../gone'}]\n";
    scene.push(&[("charts/shop/Chart.yaml", broken)]).await?;
    let message = scene.wait_condition(&object, "False", "DependencyBuildError").await?;
    assert!(message.starts_with("the dependency \"gone\" of the chart cannot be had"), "{message}");
    let found = scene.cluster.get(&object).await?.unwrap_or_default();
    assert!(condition(&found, "BuildFailed").is_some_and(|(status, ..)| status == "True"), "{found:#}");
    Ok(())
}
