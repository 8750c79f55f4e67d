use crate::scene::{Scene, config_map, deployment};
use serde_json::{Value, json};

#[tokio::test]
async fn all_fields_that_shape_objects_work_together() -> anyhow::Result<()> {
    let component = "apiVersion: kustomize.config.k8s.io/v1alpha1\nkind: Component\nresources: [extra.yaml]\n\
         patches:\n- target: {kind: ConfigMap, name: settings}\n  patch: |\n    - {op: add, path: /data/component, value: was here}\n";
    let files = [
        ("apps/kustomization.yaml", "resources: [web.yaml, settings.yaml]\n".to_owned()),
        ("apps/web.yaml", deployment("web", 0)),
        ("apps/settings.yaml", config_map("settings", "one")),
        ("extra/kustomization.yaml", component.to_owned()),
        ("extra/extra.yaml", config_map("extra", "one")),
    ];
    let files = files.each_ref().map(|(path, text)| (*path, text.as_str()));
    let scene = Scene::with_files("shape", &files).await?;
    let spec = json!({
        "path": "apps", "components": ["../extra"], "namePrefix": "blue-", "nameSuffix": "-v1",
        "commonMetadata": {"labels": {"team": "blue"}, "annotations": {"example.com/owner": "blue"}},
        "images": [{"name": "example.invalid/app", "newName": "example.invalid/other", "newTag": "2.0"}],
        "patches": [{
            "target": {"kind": "Deployment"},
            "patch": "- {op: add, path: /spec/template/metadata/labels/patched, value: 'yes'}",
        }],
    });
    let apps = scene.kustomization("apps", spec);
    scene.apply_and_wait(&apps).await?;

    let web = scene.cluster.get(&scene.deployment("blue-web-v1")).await?.unwrap_or_default();
    assert_eq!(
        web.pointer("/spec/template/spec/containers/0/image"),
        Some(&json!("example.invalid/other:2.0"))
    );
    assert_eq!(web.pointer("/spec/template/metadata/labels/patched"), Some(&json!("yes")));
    for (name, data) in
        [("settings", json!({"key": "one", "component": "was here"})), ("extra", json!({"key": "one"}))]
    {
        let name = format!("blue-{name}-v1");
        let object = scene.cluster.get(&scene.config_map(&name)).await?.unwrap_or_default();
        assert_eq!(object["data"], data, "{name}");
        assert_eq!(object["metadata"]["labels"]["team"], "blue", "{name}");
        assert_eq!(object["metadata"]["annotations"]["example.com/owner"], "blue", "{name}");
    }
    let namespace = &scene.namespace;
    let mut inventory = scene.inventory(&apps).await?;
    inventory.sort();
    let expected = ["blue-extra-v1__ConfigMap", "blue-settings-v1__ConfigMap", "blue-web-v1_apps_Deployment"];
    assert_eq!(inventory, expected.map(|id| format!("{namespace}_{id}")));

    // Common metadata that is taken away goes, also where nothing else has changed.
    scene.cluster.edit(&apps, &json!({"spec": {"commonMetadata": null}})).await?;
    let is_gone = |object: &Value| object["metadata"]["labels"]["team"].is_null();
    scene.wait(&scene.config_map("blue-extra-v1"), "the label goes", is_gone).await?;
    Ok(())
}
