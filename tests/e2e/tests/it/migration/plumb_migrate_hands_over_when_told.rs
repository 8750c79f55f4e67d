use plumb_test_support::cluster::eventually;
use serde_json::{Value, json};

use super::flux::Flux;
use super::helm_controller;
use super::what_flux_applied_is_taken_over::{get, left_by_flux};
use crate::cli_process::{Ran, run};
use crate::scene::Scene;

/// A Deployment as Flux's manifests have it.
fn controller(scene: &Scene, name: &str, replicas: u32) -> Value {
    let mut controller = scene.deployment(name);
    controller["metadata"]["labels"] = json!({
        "app.kubernetes.io/component": name, "app.kubernetes.io/instance": "flux-system",
        "app.kubernetes.io/part-of": "flux", "app.kubernetes.io/version": "v2.9.0",
    });
    let containers = json!([{"name": "manager", "image": format!("ghcr.io/fluxcd/{name}:v1.9.0"), "args": ["controller"]}]);
    controller["spec"] = json!({
        "replicas": replicas, "selector": {"matchLabels": {"app": name}},
        "template": {"metadata": {"labels": {"app": name}}, "spec": {"containers": containers}},
    });
    controller
}

async fn migrate(scene: &Scene, more: &[&str]) -> anyhow::Result<Ran> {
    let namespace = scene.namespace.as_str();
    let args = ["migrate", "--flux-namespace", namespace, "--plumbline-namespace", namespace];
    run(scene, &[&args, more].concat()).await
}

async fn replicas(scene: &Scene, name: &str) -> anyhow::Result<Value> {
    Ok(get(scene, &scene.deployment(name)).await?["spec"]["replicas"].clone())
}

/// Flux's own Deployments are in Git, with their replicas, as its bootstrap puts them there.
async fn bootstrapped(name: &str) -> anyhow::Result<(Scene, Value)> {
    let (scene, kustomization) = left_by_flux(name).await?;
    for (name, count) in [("source-controller", 1), ("kustomize-controller", 2), ("plumb-controller", 0)] {
        let mut controller = controller(&scene, name, count);
        if name == "plumb-controller" {
            controller["metadata"]["labels"] = json!({"app.kubernetes.io/part-of": "plumbline"});
        }
        scene.cluster.apply(&controller).await?;
    }
    Ok((scene, kustomization))
}

#[tokio::test]
async fn and_only_reports_before() -> anyhow::Result<()> {
    let (scene, _) = bootstrapped("migrate-report").await?;
    scene.repository.remove("obsolete.yaml")?;
    scene.repository.write("settings.yaml", crate::scene::config_map("settings", "two"))?;
    let source = format!("{}/source=.", scene.namespace);
    let ran = migrate(&scene, &["-n", &scene.namespace, "--source", &source]).await?;
    assert_eq!((ran.code, &*ran.stderr), (Some(0), ""), "{}", ran.stdout);
    let expected = "\
Flux v2.9.0
  kustomize-controller v1.9.0, 2 replicas: would be scaled to zero
  source-controller v1.9.0, 1 replica: would be scaled to zero

Plumbline
  installed in NAMESPACE, 0 replicas

Objects
  1 Kustomization: Plumbline
  1 GitRepository: Plumbline

What would be applied, compared with the cluster
  Kustomization NAMESPACE/apps: 1 changed, 1 pruned, 3 unchanged
    changed: ConfigMap/NAMESPACE/settings
    pruned: ConfigMap/NAMESPACE/obsolete

Nothing was changed. `plumb migrate --yes` hands over, `plumb migrate --back --yes` takes it back.
";
    assert_eq!(ran.stdout, expected);
    assert_eq!(
        (replicas(&scene, "kustomize-controller").await?, replicas(&scene, "plumb-controller").await?),
        (json!(2), json!(0))
    );
    Ok(())
}

#[tokio::test]
async fn and_says_what_becomes_of_releases() -> anyhow::Result<()> {
    let (scene, web) = helm_controller::left_by_flux("migrate-releases").await?;
    for name in ["source-controller", "helm-controller", "plumb-controller"] {
        let mut controller = controller(&scene, name, u32::from(name != "plumb-controller"));
        if name == "plumb-controller" {
            controller["metadata"]["labels"] = json!({"app.kubernetes.io/part-of": "plumbline"});
        }
        scene.cluster.apply(&controller).await?;
    }
    let ran = migrate(&scene, &["-n", &scene.namespace]).await?;
    assert_eq!((ran.code, &*ran.stderr), (Some(0), ""), "{}", ran.stdout);
    let expected = "\
Flux v2.9.0
  helm-controller v1.9.0, 1 replica: would be scaled to zero
  source-controller v1.9.0, 1 replica: would be scaled to zero

Plumbline
  installed in NAMESPACE, 0 replicas

Objects
  1 HelmRelease: Plumbline
  1 GitRepository: Plumbline
  1 HelmChart: Plumbline

What would be applied, compared with the cluster
  HelmRelease NAMESPACE/web: web.v1 of chart web 1.0.0 stays; 2 objects unchanged

Nothing was changed. `plumb migrate --yes` hands over, `plumb migrate --back --yes` takes it back.
";
    assert_eq!(ran.stdout, expected);

    // What is gone would be made again; where fields are put back, that is told, too.
    scene.cluster.delete(&scene.config_map("web-older")).await?;
    scene.cluster.edit(&scene.config_map("web-settings"), &json!({"data": {"key": "by hand"}})).await?;
    let ran = migrate(&scene, &["-n", &scene.namespace]).await?;
    assert!(ran.stdout.contains(" stays; 1 created, 1 unchanged\n"), "{ran:?}");
    scene.cluster.edit(&web, &json!({"spec": {"driftDetection": {"mode": "enabled"}}})).await?;
    let ran = migrate(&scene, &["-n", &scene.namespace, "--diff"]).await?;
    assert!(ran.stdout.contains(" stays; 1 created, 1 changed, 0 unchanged\n"), "{ran:?}");
    assert!(ran.stdout.contains("-  key: by hand\n+  key: two\n"), "{ran:?}");

    scene.cluster.edit(&web, &json!({"spec": {"values": {"key": "three"}}})).await?;
    let ran = migrate(&scene, &["-n", &scene.namespace]).await?;
    let told = "HelmRelease NAMESPACE/web: would be upgraded (release config values changed)\n";
    assert!(ran.stdout.contains(told), "{ran:?}");
    assert_eq!(replicas(&scene, "helm-controller").await?, 1);

    let ran = migrate(&scene, &["-n", &scene.namespace, "--yes"]).await?;
    assert_eq!((ran.code, &*ran.stderr), (Some(0), ""), "{}", ran.stdout);
    for (name, expected) in [("source-controller", 0), ("helm-controller", 0), ("plumb-controller", 1)] {
        assert_eq!(replicas(&scene, name).await?, expected, "{name}");
    }
    Ok(())
}

#[tokio::test]
async fn and_compares_with_what_flux_serves() -> anyhow::Result<()> {
    let (scene, _) = bootstrapped("migrate-served").await?;
    let ran = migrate(&scene, &["-n", &scene.namespace]).await?;
    let why = "(cannot fetch http://source-controller.flux-system.svc.cluster.local./";
    assert!(
        ran.stdout.contains("apps: not compared: the files of GitRepository/NAMESPACE/source cannot be had"),
        "{ran:?}"
    );
    assert!(ran.stdout.contains(why), "{ran:?}");
    Flux(&scene).serve(&scene.source()).await?;
    let hand_made = json!({"data": {"key": "by hand"}});
    scene.cluster.edit(&scene.config_map("settings"), &hand_made).await?;
    let served = eventually("the files are served", async || {
        let ran = migrate(&scene, &["-n", &scene.namespace, "--diff"]).await?;
        Ok(Some(ran).filter(|ran| !ran.stdout.contains("not compared")))
    });
    let ran = served.await?;
    assert!(ran.stdout.contains("Kustomization NAMESPACE/apps: 1 changed, 4 unchanged\n"), "{ran:?}");
    assert!(ran.stdout.contains("-  key: by hand\n+  key: one\n"), "{ran:?}");
    Ok(())
}

#[tokio::test]
async fn and_takes_it_back() -> anyhow::Result<()> {
    let (mut scene, kustomization) = bootstrapped("migrate-yes").await?;
    // JSON is YAML.
    let manifest = controller(&scene, "kustomize-controller", 2).to_string();
    let commit = scene.commit(&[("kustomize-controller.yaml", &manifest)])?;
    let ran = migrate(&scene, &["-n", &scene.namespace, "--yes"]).await?;
    assert_eq!((ran.code, &*ran.stderr), (Some(0), ""), "{}", ran.stdout);
    for name in ["source-controller", "kustomize-controller"] {
        assert_eq!(replicas(&scene, name).await?, 0, "{name}");
    }
    assert_eq!(replicas(&scene, "plumb-controller").await?, 1);

    // Plumbline applies the Deployment of Git, and does not start what it has taken over from.
    scene.controller.start_again().await?;
    scene.wait_applied(&kustomization, &commit).await?;
    assert_eq!(replicas(&scene, "kustomize-controller").await?, 0);
    scene.controller.terminate()?;

    let ran = migrate(&scene, &["--back"]).await?;
    let expected = "Plumbline in NAMESPACE would be scaled to zero, and then:\n  kustomize-controller would be scaled to 2\n  \
                    source-controller would be scaled to 1\nNothing was changed. `plumb migrate --back --yes` does it.\n";
    assert_eq!((ran.code, &*ran.stdout), (Some(0), expected), "{}", ran.stderr);
    let ran = migrate(&scene, &["--back", "--yes"]).await?;
    assert_eq!((ran.code, &*ran.stderr), (Some(0), ""), "{}", ran.stdout);
    let count = async |name| replicas(&scene, name).await;
    assert_eq!(
        (
            count("plumb-controller").await?,
            count("kustomize-controller").await?,
            count("source-controller").await?
        ),
        (json!(0), json!(2), json!(1))
    );
    let annotations =
        get(&scene, &scene.deployment("kustomize-controller")).await?["metadata"]["annotations"].clone();
    assert!(annotations.get("plumbline.dev/flux-replicas").is_none(), "{annotations}");
    assert!(annotations.get("kustomize.toolkit.fluxcd.io/reconcile").is_none(), "{annotations}");
    Ok(())
}

#[tokio::test]
async fn but_never_where_there_is_no_flux() -> anyhow::Result<()> {
    let scene = Scene::set("migrate-none").await?;
    let ran = migrate(&scene, &["--yes", "-n", &scene.namespace]).await?;
    let expected = "error: no controller of Flux was found; name their namespace with --flux-namespace\n";
    assert_eq!((ran.code, &*ran.stderr), (Some(2), expected));
    let ran = migrate(&scene, &["--back", "--yes"]).await?;
    assert_eq!(ran.code, Some(2), "{}", ran.stdout);
    Ok(())
}
