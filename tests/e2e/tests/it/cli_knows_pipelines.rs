use serde_json::json;

use crate::cli_process::run;
use crate::scene::{Scene, config_map};

#[tokio::test]
async fn as_it_knows_kustomizations() -> anyhow::Result<()> {
    let scene = Scene::with_files("cli-pipes", &[("a.yaml", &config_map("settings", "one"))]).await?;
    let steps = json!([{"plugin": "yaml", "with": {"path": ""}}]);
    let shop = scene.pipeline("shop", steps, json!({}));
    scene.apply_and_wait(&shop).await?;
    let plumb = async |args: &[&str]| run(&scene, &[args, &["-n", &scene.namespace]].concat()).await;

    let ran = plumb(&["get", "pipelines"]).await?;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(
        ran.stdout.contains("pipeline/shop") && ran.stdout.contains("Applied revision"),
        "{}",
        ran.stdout
    );
    let ran = plumb(&["get", "all"]).await?;
    assert!(ran.stdout.contains("pipeline/shop"), "{}", ran.stdout);

    let ran = plumb(&["tree", "pipeline", "shop"]).await?;
    assert_eq!(ran.stdout, "Pipeline/NAMESPACE/shop\n└── ConfigMap/NAMESPACE/settings\n");
    let ran = plumb(&["trace", "configmap", "settings"]).await?;
    for expected in ["Managed by Plumbline", "Pipeline:        shop", "GitRepository:   source"] {
        assert!(ran.stdout.contains(expected), "{expected} is not in:\n{}", ran.stdout);
    }
    let ran = plumb(&["explain", "pipeline/shop"]).await?;
    assert!(ran.stdout.starts_with("Pipeline NAMESPACE/shop is ready: it has applied"), "{}", ran.stdout);
    let ran = plumb(&["events", "--for", "pipeline/shop"]).await?;
    assert!(ran.stdout.contains("ReconciliationSucceeded"), "{}", ran.stdout);

    let commit = scene.commit(&[("a.yaml", &config_map("settings", "two"))])?;
    let ran = plumb(&["reconcile", "pipeline", "shop", "--with-source"]).await?;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    scene.wait_applied(&shop, &commit).await?;

    let ran = plumb(&["suspend", "pipeline", "shop"]).await?;
    assert_eq!((ran.code, &*ran.stdout), (Some(0), "shop suspended\n"));
    let ran = plumb(&["explain", "pipeline", "shop"]).await?;
    assert!(ran.stdout.contains("`plumb resume pipeline shop -n NAMESPACE`"), "{}", ran.stdout);
    let ran = plumb(&["resume", "pipeline", "shop"]).await?;
    assert_eq!((ran.code, &*ran.stdout), (Some(0), "shop resumed\n"));
    Ok(())
}
