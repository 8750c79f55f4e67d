use serde_json::{Value, json};

use crate::cli_process::run;
use crate::plugin_shop::policy;
use crate::scene::Scene;

/// Defines the kind Bucket in a group whose name is that of a provider of Crossplane: there is a rule for such kinds.
fn bucket_definition(scene: &Scene) -> Value {
    let mut definition = scene.widget_definition();
    let group = format!("{}.crossplane.io", scene.namespace);
    definition["metadata"]["name"] = json!(format!("buckets.{group}"));
    definition["spec"]["group"] = json!(group);
    definition["spec"]["names"] = json!({"kind": "Bucket", "plural": "buckets"});
    let text = json!({"type": "string"});
    let condition = json!({"type": "object", "properties": {"type": text, "status": text, "reason": text, "message": text}});
    definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["status"] =
        json!({"type": "object", "properties": {"conditions": {"type": "array", "items": condition}}});
    definition
}

fn bucket(scene: &Scene) -> Value {
    scene.object(&format!("{}.crossplane.io/v1", scene.namespace), "Bucket", "data")
}

/// Sets the conditions of the bucket.
async fn is(scene: &Scene, synced: &str, ready: &str, reason: &str) -> anyhow::Result<()> {
    let conditions =
        json!([{"type": "Synced", "status": synced}, {"type": "Ready", "status": ready, "reason": reason}]);
    scene.cluster.edit_status(&bucket(scene), &json!({"status": {"conditions": conditions}})).await?;
    Ok(())
}

/// Waits until the message of Ready has a text in it.
async fn wait_message(scene: &Scene, object: &Value, text: &str) -> anyhow::Result<()> {
    let has = |object: &Value| {
        let conditions = object["status"]["conditions"].as_array().cloned().unwrap_or_default();
        conditions.iter().any(|condition| {
            condition["type"] == "Ready"
                && condition["message"].as_str().is_some_and(|message| message.contains(text))
        })
    };
    scene.wait(object, &format!("Ready says {text:?}"), has).await?;
    Ok(())
}

#[tokio::test]
async fn by_the_rules_that_come_with_plumbline() -> anyhow::Result<()> {
    let scene = Scene::set("health-rules").await?;
    scene.cluster.apply(&bucket_definition(&scene)).await?;
    scene.commit(&[
        ("infra/bucket.yaml", &serde_yaml::to_string(&bucket(&scene))?),
        ("apps/a.yaml", &crate::scene::config_map("a", "x")),
    ])?;
    scene.cluster.apply(&scene.source()).await?;
    let infra = scene.kustomization("infra", json!({"path": "infra", "wait": true}));
    scene.cluster.apply(&infra).await?;
    let group = format!("{}.crossplane.io/v1", scene.namespace);
    let dependency = json!([{"apiVersion": group, "kind": "Bucket", "name": "data"}]);
    let apps = scene.kustomization("apps", json!({"path": "apps", "dependsOn": dependency}));
    scene.cluster.apply(&apps).await?;
    // kstatus would have it that it is current: it has no conditions.
    wait_message(&scene, &infra, "nothing has looked after it yet: it has no status").await?;
    is(&scene, "True", "False", "Creating").await?;
    wait_message(&scene, &infra, "status: 'InProgress': Ready is False: Creating").await?;
    wait_message(&scene, &apps, "is not ready (InProgress: Ready is False: Creating)").await?;

    let ran = run(&scene, &["explain", "ks/infra", "-n", &scene.namespace]).await?;
    assert!(ran.stdout.contains("Bucket NAMESPACE/data is InProgress: Ready is False: Creating"), "{ran:?}");
    let ran = run(&scene, &["tree", "ks", "infra", "-n", &scene.namespace]).await?;
    assert!(ran.stdout.contains("Bucket/NAMESPACE/data [InProgress: Ready is False: Creating]"), "{ran:?}");

    is(&scene, "True", "True", "Available").await?;
    scene.wait_applied(&infra, &scene.repository.head()?).await?;
    scene.wait_applied(&apps, &scene.repository.head()?).await?;
    scene.cluster.delete(&bucket_definition(&scene)).await?;
    Ok(())
}

#[tokio::test]
async fn or_as_flux_does_without_them() -> anyhow::Result<()> {
    let scene = Scene::set_with("health-norules", &["--health-rules=false"]).await?;
    scene.cluster.apply(&bucket_definition(&scene)).await?;
    scene.commit(&[("bucket.yaml", &serde_yaml::to_string(&bucket(&scene))?)])?;
    scene.cluster.apply(&scene.source()).await?;
    scene.apply_and_wait(&scene.kustomization("infra", json!({"wait": true}))).await?;
    scene.cluster.delete(&bucket_definition(&scene)).await?;
    Ok(())
}

/// Rules for the Widgets of the test.
fn rules(scene: &Scene) -> Value {
    json!({"rules": [{
        "apiVersion": format!("{}/v1", scene.group()), "kind": "Widget", "failed": "status.phase == 'Broken'",
        "current": "status.phase == 'Turning'", "message": "'the widget is ' + status.phase",
    }]})
}

async fn scene_with_widget(name: &str) -> anyhow::Result<Scene> {
    let scene = Scene::set(name).await?;
    scene.cluster.apply(&scene.widget_definition()).await?;
    scene.commit(&[("widget.yaml", &serde_yaml::to_string(&scene.widget("gear"))?)])?;
    scene.cluster.apply(&scene.source()).await?;
    Ok(scene)
}

async fn phase(scene: &Scene, phase: &str) -> anyhow::Result<()> {
    scene.cluster.edit_status(&scene.widget("gear"), &json!({"status": {"phase": phase}})).await?;
    Ok(())
}

#[tokio::test]
async fn by_a_plugin_that_a_pipeline_chooses() -> anyhow::Result<()> {
    let scene = scene_with_widget("health-chosen").await?;
    let chosen = json!([{
        "plugin": "health-cel", "kinds": [{"group": scene.group(), "kind": "Widget"}], "with": rules(&scene),
    }]);
    let shop = scene.pipeline(
        "shop",
        json!([{"plugin": "yaml"}]),
        json!({"health": {"wait": true, "plugins": chosen}}),
    );
    scene.cluster.apply(&shop).await?;
    wait_message(&scene, &shop, "nothing has looked after it yet").await?;
    phase(&scene, "Broken").await?;
    let message = scene.wait_condition(&shop, "False", "HealthCheckFailed").await?;
    assert!(message.contains("gear status: 'Failed': the widget is Broken"), "{message}");
    phase(&scene, "Turning").await?;
    scene.wait_applied(&shop, &scene.repository.head()?).await?;
    scene.cluster.delete(&scene.widget_definition()).await?;
    Ok(())
}

/// The controller pulls a plugin; `plumb` does not, and is given it.
#[tokio::test]
async fn by_a_plugin_that_is_given_to_who_asks() -> anyhow::Result<()> {
    let scene = scene_with_widget("health-given").await?;
    let mut widgets = scene.object("plumbline.dev/v1alpha1", "Plugin", "widgets");
    let check = json!({"kinds": [{"group": scene.group(), "kind": "Widget"}], "with": rules(&scene)});
    widgets["spec"] = json!({"image": "oci://registry.invalid/widgets:1", "healthCheck": check});
    scene.cluster.apply(&widgets).await?;
    let apps = scene.kustomization("apps", json!({"wait": true}));
    scene.cluster.apply(&apps).await?;
    scene.wait(&scene.widget("gear"), "it is applied", |_| true).await?;
    phase(&scene, "Broken").await?;
    wait_message(&scene, &apps, "the plugin widgets cannot be asked: ").await?;

    let tree = ["tree", "ks", "apps", "-n", &scene.namespace];
    let ran = run(&scene, &tree).await?;
    assert!(ran.stdout.contains("give its component with --plugin widgets=FILE"), "{ran:?}");
    let plugins = std::env::var("PLUMB_PLUGIN_DIR")?;
    let given = format!("--plugin=widgets={plugins}/health-cel.wasm");
    let ran = run(&scene, &[&tree[..], &[&given]].concat()).await?;
    assert!(ran.stdout.contains("Widget/NAMESPACE/gear [Failed: the widget is Broken]"), "{ran:?}");
    let ran = run(&scene, &["explain", "ks/apps", "-n", &scene.namespace, &given]).await?;
    assert!(ran.stdout.contains("Widget NAMESPACE/gear is Failed: the widget is Broken"), "{ran:?}");
    scene.cluster.delete(&scene.widget_definition()).await?;
    Ok(())
}

#[tokio::test]
async fn by_a_plugin_of_the_namespace_where_policies_allow_it() -> anyhow::Result<()> {
    let scene = scene_with_widget("health-plugin").await?;
    let mut widgets = scene.object("plumbline.dev/v1alpha1", "Plugin", "widgets");
    let check = json!({"kinds": [{"group": scene.group(), "kind": "*"}], "with": rules(&scene)});
    widgets["spec"] = json!({"builtin": "health-cel", "healthCheck": check});
    let only_files = policy(&scene, &json!([{"builtin": "kustomize"}]));
    scene.cluster.apply(&only_files).await?;
    scene.cluster.apply(&widgets).await?;
    let apps = scene.kustomization("apps", json!({"wait": true}));
    scene.cluster.apply(&apps).await?;
    // What cannot be asked makes nothing healthy.
    wait_message(&scene, &apps, "the plugin widgets cannot be asked: ").await?;
    scene.cluster.delete(&only_files).await?;
    wait_message(&scene, &apps, "nothing has looked after it yet").await?;
    phase(&scene, "Turning").await?;
    scene.wait_applied(&apps, &scene.repository.head()?).await?;
    scene.cluster.delete(&scene.widget_definition()).await?;
    Ok(())
}
