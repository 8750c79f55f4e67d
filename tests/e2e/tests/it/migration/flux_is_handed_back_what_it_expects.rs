use plumb_test_support::cluster::{condition, is_ready};
use serde_json::{Value, json};

use super::flux::{Flux, managers};
use super::what_flux_applied_is_taken_over::{get, left_by_flux, start, web};
use crate::scene::config_map;

/// The fields of a status that Flux 2.9 defines.
const STATUS: [&str; 8] = [
    "conditions",
    "history",
    "inventory",
    "lastAppliedOriginRevision",
    "lastAppliedRevision",
    "lastAttemptedRevision",
    "lastHandledReconcileAt",
    "observedGeneration",
];

#[tokio::test]
async fn after_plumbline_has_changed_everything() -> anyhow::Result<()> {
    let (mut scene, kustomization) = left_by_flux("migrate-back").await?;
    start(&mut scene, &kustomization).await?;
    scene.repository.remove("obsolete.yaml")?;
    let added = config_map("added", "two");
    let commit =
        scene.push(&[("settings.yaml", &config_map("settings", "two")), ("added.yaml", &added)]).await?;
    scene.wait_applied(&kustomization, &commit).await?;
    scene.cluster.wait_gone(&scene.config_map("obsolete")).await?;
    scene.controller.terminate()?;

    // The Kustomization: the finalizer, an inventory of what there is, a status that Flux's definition has.
    let live = get(&scene, &kustomization).await?;
    assert_eq!(live["metadata"]["finalizers"], json!(["finalizers.fluxcd.io"]));
    let fields: Vec<&String> = live["status"].as_object().unwrap().keys().collect();
    assert!(fields.iter().all(|field| STATUS.contains(&field.as_str())), "{fields:?}");
    assert!(is_ready(&live));
    assert_eq!(condition(&live, "Ready").map(|(_, reason, _)| reason), Some("ReconciliationSucceeded"));
    let mut inventory = scene.inventory(&kustomization).await?;
    inventory.sort();
    let id = |name: &str, kind: &str| format!("{}_{name}_{kind}", scene.namespace);
    let mut expected: Vec<String> =
        ["added", "old", "older", "settings"].map(|name| id(name, "_ConfigMap")).into();
    expected.push(id("web", "apps_Deployment"));
    assert_eq!(inventory, expected);

    // The objects: what Flux applies next changes nothing, and all fields are its own.
    let flux = Flux(&scene);
    let object = |name: &str, value: &str| {
        let mut object = scene.config_map(name);
        object["data"] = json!({"key": value});
        object
    };
    let objects = [
        object("settings", "two"),
        object("added", "two"),
        object("old", "one"),
        object("older", "one"),
        web(&scene),
    ];
    for object in &objects {
        let before = get(&scene, object).await?;
        let appliers: Vec<String> = managers(&before)
            .into_iter()
            .filter(|manager| !manager.starts_with("kube-controller-manager "))
            .collect();
        assert_eq!(appliers, ["kustomize-controller Apply"], "{}", object["metadata"]["name"]);
        let after: Value = flux.apply("apps", object).await?;
        assert_eq!(after["metadata"]["resourceVersion"], before["metadata"]["resourceVersion"], "{after:#}");
    }
    Ok(())
}
