use serde_json::{Value, json};

use crate::cli_process::{Ran, run};
use crate::releases::{release, released, scene, wait_released};
use crate::scene::Scene;

/// What a chart can tell of the cluster and of the release.
const TOLD: &str = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: told}\ndata:\n  \
                    upgrade: {{ .Release.IsUpgrade | quote }}\n  \
                    version: {{ .Capabilities.KubeVersion.Version }}\n  \
                    charts: {{ .Capabilities.APIVersions.Has \"source.toolkit.fluxcd.io/v1/HelmChart\" | quote }}\n  \
                    zone: {{ (lookup \"v1\" \"ConfigMap\" .Release.Namespace \"zone\").data.key }}\n";

async fn diff(scene: &Scene, more: &[&str]) -> anyhow::Result<Ran> {
    run(scene, &[&["diff", "-f", "web.yaml", "--root", "."], more].concat()).await
}

async fn data(scene: &Scene, name: &str) -> anyhow::Result<Value> {
    Ok(scene.cluster.get(&scene.config_map(name)).await?.unwrap_or_default()["data"].clone())
}

/// The lines that differ.
fn changed(ran: &Ran) -> Vec<&str> {
    let is_change =
        |line: &&str| line.starts_with(['+', '-']) && !line.starts_with("+++") && !line.starts_with("---");
    ran.stdout.lines().filter(is_change).map(str::trim_end).collect()
}

#[tokio::test]
async fn as_the_controller_then_makes_it() -> anyhow::Result<()> {
    let scene = scene("cli-diff-upgrade", &[("charts/web/templates/told.yaml", TOLD)]).await?;
    let mut zone = scene.config_map("zone");
    zone["data"] = json!({"key": "eu-1"});
    scene.cluster.apply(&zone).await?;
    let web = release(&scene, "web", json!({}));
    // Before it is installed, it is an installation.
    scene.repository.write("web.yaml", web.to_string())?;
    let ran = diff(&scene, &[]).await?;
    assert!(ran.stdout.contains("+  revision: \"1\"\n"), "{ran:?}");
    for line in ["+  charts: \"true\"", "+  upgrade: \"false\"", "+  zone: eu-1"] {
        assert!(changed(&ran).contains(&line), "{ran:?}");
    }
    let served = scene.cluster.client.apiserver_version().await?.git_version;
    assert!(changed(&ran).contains(&format!("+  version: {served}").as_str()), "{ran:?}");

    released(&scene, &web, 1).await?;
    let ran = diff(&scene, &[]).await?;
    assert_eq!((ran.code, &*ran.stdout, &*ran.stderr), (Some(0), "", ""), "nothing would be released");

    scene.repository.write("charts/web/values.yaml", "key: two\n")?;
    let ran = diff(&scene, &[]).await?;
    assert_eq!(ran.code, Some(1), "{ran:?}");
    let expected = [
        "-  key: one",
        "-  revision: \"1\"",
        "+  key: two",
        "+  revision: \"2\"",
        "-  upgrade: \"false\"",
        "+  upgrade: \"true\"",
    ];
    assert_eq!(changed(&ran), expected);

    // And so it comes.
    scene.push(&[("charts/web/values.yaml", "key: two\n")]).await?;
    wait_released(&scene, &web, 2).await?;
    assert_eq!(data(&scene, "web-settings").await?, json!({"key": "two", "revision": "2"}));
    assert_eq!(data(&scene, "told").await?["upgrade"], "true");
    let ran = diff(&scene, &[]).await?;
    assert_eq!((ran.code, &*ran.stdout, &*ran.stderr), (Some(0), "", ""));

    // What the command line says of the cluster goes before what the cluster says.
    scene.repository.write("charts/web/values.yaml", "key: three\n")?;
    let ran = diff(&scene, &["--kube-version", "v1.20.1"]).await?;
    assert!(changed(&ran).contains(&"+  version: v1.20.1"), "{ran:?}");
    assert!(changed(&ran).contains(&"+  revision: \"3\""), "{ran:?}");
    Ok(())
}

#[tokio::test]
async fn with_the_fields_of_an_upgrade() -> anyhow::Result<()> {
    let group = "cli-diff-crds.example.com";
    let definition = |description: &str| {
        format!(
            "apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata: {{name: gadgets.{group}}}\nspec:\n  \
             group: {group}\n  scope: Namespaced\n  names: {{kind: Gadget, plural: gadgets}}\n  versions:\n  - name: v1\n    served: true\n    \
             storage: true\n    schema: {{openAPIV3Schema: {{type: object, description: {description}}}}}\n"
        )
    };
    let files = [
        (
            "charts/web/templates/told.yaml",
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: told}\ndata: {preserved: {{ .Values.preserved | quote }}}\n",
        ),
        ("charts/web/crds/gadgets.yaml", &definition("first")),
    ];
    let scene = scene("cli-diff-fields", &files).await?;
    let web = release(&scene, "web", json!({"values": {"preserved": "by the first"}}));
    released(&scene, &web, 1).await?;
    scene.repository.write("charts/web/crds/gadgets.yaml", definition("second"))?;
    let asked = async |upgrade: Value| -> anyhow::Result<Ran> {
        let spec = json!({"values": {"key": "two"}, "upgrade": upgrade});
        scene.repository.write("web.yaml", release(&scene, "web", spec).to_string())?;
        diff(&scene, &[]).await
    };
    // An upgrade leaves definitions alone, and takes only the values of the spec.
    let ran = asked(json!({})).await?;
    assert!(!ran.stdout.contains("CustomResourceDefinition"), "{ran:?}");
    assert!(changed(&ran).contains(&"-  preserved: by the first"), "{ran:?}");
    let ran = asked(json!({"crds": "Create", "preserveValues": true})).await?;
    assert!(!ran.stdout.contains("CustomResourceDefinition"), "it exists: {ran:?}");
    assert!(!ran.stdout.contains("preserved: by"), "{ran:?}");
    let ran = asked(json!({"crds": "CreateReplace", "preserveValues": true})).await?;
    assert!(ran.stdout.contains("CustomResourceDefinition/"), "{ran:?}");
    assert!(ran.stdout.contains("description: second"), "{ran:?}");
    assert!(changed(&ran).contains(&"+  key: two"), "{ran:?}");
    // Helm never deletes a definition.
    let definition = json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": {"name": format!("gadgets.{group}")},
    });
    scene.cluster.delete(&definition).await
}

#[tokio::test]
async fn with_a_warning_where_the_version_of_the_chart_keeps_it_from_being_taken() -> anyhow::Result<()> {
    let scene = scene("cli-diff-version", &[]).await?;
    let source = json!({"kind": "GitRepository", "name": "source"});
    let chart = json!({"chart": {"spec": {"chart": "./charts/web", "sourceRef": source}}});
    let web = release(&scene, "web", chart);
    released(&scene, &web, 1).await?;
    scene.repository.write("web.yaml", web.to_string())?;
    let ran = diff(&scene, &[]).await?;
    assert_eq!((ran.code, &*ran.stdout, &*ran.stderr), (Some(0), "", ""));

    scene.repository.write("charts/web/values.yaml", "key: two\n")?;
    let ran = diff(&scene, &[]).await?;
    assert!(changed(&ran).contains(&"+  key: two"), "{ran:?}");
    let warning = "warning: the chart web has changed and is still version 1.0.0: with reconcileStrategy ChartVersion nothing of that is released \
                   before it has another version\n";
    assert_eq!((ran.code, &*ran.stderr), (Some(1), warning));

    scene.repository.write("charts/web/Chart.yaml", "apiVersion: v2\nname: web\nversion: 1.1.0\n")?;
    let ran = diff(&scene, &[]).await?;
    assert_eq!((ran.code, &*ran.stderr), (Some(1), ""), "{ran:?}");
    Ok(())
}
