use anyhow::Result;
use kube::api::{Api, ApiResource, DynamicObject};
use kube::core::GroupVersionKind;
use serde_json::{Value, json};

use super::engine::{Engine, config_map, told};

#[tokio::test]
async fn a_namespace_and_what_is_in_it() -> Result<()> {
    let mut engine = Engine::new("with-namespace").await?;
    let inner = format!("{}-inner", engine.namespace);
    let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": inner}});
    let mut inside = config_map("inside", json!({"a": "1"}));
    inside["metadata"]["namespace"] = json!(inner);
    let desired = [inside, namespace];
    let (outcome, _) = engine.sync_well(&desired).await?;
    assert_eq!(told(&outcome), ["inside Created".to_owned(), format!("{inner} Created")]);
    let (_, requests) = engine.sync_well(&desired).await?;
    assert_eq!(requests, 0);
    Ok(())
}

fn definition(group: &str, properties: &Value) -> Value {
    json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": format!("widgets.{group}")},
        "spec": {
            "group": group, "scope": "Namespaced", "names": {"kind": "Widget", "plural": "widgets"},
            "versions": [{
                "name": "v1", "served": true, "storage": true,
                "schema": {"openAPIV3Schema": {"type": "object", "properties": {
                    "spec": {"type": "object", "properties": properties},
                }}},
            }],
        },
    })
}

#[tokio::test]
async fn a_definition_and_its_objects_and_later_a_new_field_of_both() -> Result<()> {
    let mut engine = Engine::new("definition").await?;
    // Definitions are the whole cluster's; the namespace's name makes this one the test's own.
    let group = format!("{}.example.com", engine.namespace);
    let widget = |spec: Value| json!({"apiVersion": format!("{group}/v1"), "kind": "Widget", "metadata": {"name": "one"}, "spec": spec});
    let size = json!({"size": {"type": "integer"}});
    let (outcome, _) = engine.sync_well(&[widget(json!({"size": 1})), definition(&group, &size)]).await?;
    assert_eq!(outcome.applied.len(), 2);

    let size_and_colour = json!({"size": {"type": "integer"}, "colour": {"type": "string"}});
    let desired = [widget(json!({"size": 1, "colour": "blue"})), definition(&group, &size_and_colour)];
    let (outcome, _) = engine.sync_well(&desired).await?;
    assert_eq!(outcome.applied.len(), 2);
    let resource =
        ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk(&group, "v1", "Widget"), "widgets");
    let widgets: Api<DynamicObject> =
        Api::namespaced_with(engine.client.clone(), &engine.namespace, &resource);
    assert_eq!(widgets.get("one").await?.data["spec"], json!({"size": 1, "colour": "blue"}));

    let (outcome, requests) = engine.sync_well(&desired).await?;
    assert_eq!((told(&outcome), requests), (vec![], 0));

    // The definition goes, and its objects with it.
    let rest = [config_map("rest", json!({}))];
    let (outcome, _) = engine.sync_well(&rest).await?;
    assert_eq!(outcome.pruned.deleted.len(), 2, "{:#?}", outcome.pruned);
    Ok(())
}
