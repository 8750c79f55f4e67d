use crate::scene::Scene;
use serde_json::{Value, json};

async fn scene_with_widget(name: &str) -> anyhow::Result<Scene> {
    let scene = Scene::set(name).await?;
    scene.cluster.apply(&scene.widget_definition()).await?;
    scene.commit(&[("widget.yaml", &serde_yaml::to_string(&scene.widget("gear"))?)])?;
    scene.cluster.apply(&scene.source()).await?;
    Ok(scene)
}

fn spec(scene: &Scene, current: &str) -> Value {
    let check = json!({
        "apiVersion": format!("{}/v1", scene.group()), "kind": "Widget",
        "failed": "has(status.phase) && status.phase == 'Broken'", "current": current,
    });
    json!({"wait": true, "healthCheckExprs": [check]})
}

#[tokio::test]
async fn a_custom_resource_is_healthy_when_the_expression_says_so() -> anyhow::Result<()> {
    let scene = scene_with_widget("celhealth").await?;
    let apps = scene.kustomization("apps", spec(&scene, "has(status.phase) && status.phase == 'Turning'"));
    scene.cluster.apply(&apps).await?;
    let message = scene.wait_condition(&apps, "Unknown", "Progressing").await?;
    assert!(message.contains("healthCheckExprs") || message == "Reconciliation in progress", "{message}");
    let gear = scene.widget("gear");
    scene.cluster.wait_for(&gear, "the widget is there", |_| true).await?;
    scene.cluster.edit_status(&gear, &json!({"status": {"phase": "Broken"}})).await?;
    let message = scene.wait_condition(&apps, "False", "HealthCheckFailed").await?;
    assert!(message.contains("gear status: 'Failed'"), "{message}");
    scene.cluster.edit_status(&gear, &json!({"status": {"phase": "Turning"}})).await?;
    scene.wait_applied(&apps, &scene.repository.head()?).await?;
    scene.cluster.delete(&scene.widget_definition()).await?;
    Ok(())
}

#[tokio::test]
async fn a_field_that_the_kind_does_not_have_is_told_before_anything_waits() -> anyhow::Result<()> {
    let scene = scene_with_widget("celfield").await?;
    let apps = scene.kustomization("apps", spec(&scene, "status.fase == 'Turning'"));
    scene.cluster.apply(&apps).await?;
    let message = scene.wait_condition(&apps, "False", "InvalidCELExpression").await?;
    assert!(message.contains("there is no field `status.fase`"), "{message}");
    scene.cluster.delete(&scene.widget_definition()).await?;
    Ok(())
}
