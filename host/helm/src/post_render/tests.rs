#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]
use rstest::rstest;

use super::*;

fn object(kind: &str, name: &str, annotations: Value) -> Value {
    let mut object = json!({"apiVersion": "v1", "kind": kind, "metadata": {"name": name}});
    if !annotations.is_null() {
        object["metadata"]["annotations"] = annotations;
    }
    object
}

fn rendered() -> RenderedRelease {
    let job = object(
        "Job",
        "migrate",
        json!({HOOK: "pre-install, pre-upgrade", WEIGHT: "-5", DELETE_POLICY: "hook-succeeded"}),
    );
    RenderedRelease::read(json!({
        "kind": "RenderedRelease",
        "manifest": "as upstream wrote it",
        "objects": [
            {"source": "web/templates/b.yaml", "object": object("ConfigMap", "b", Value::Null)},
            {"source": "web/templates/a.yaml", "object": object("Deployment", "a", json!({"x": "yes"}))},
        ],
        "hooks": [{
            "name": "migrate", "kind": "Job", "path": "web/templates/a.yaml", "manifest": "as upstream wrote it", "events": ["pre-install", "pre-upgrade"],
            "weight": -5, "deletePolicies": ["hook-succeeded"], "object": job,
        }],
        "chart": {"metadata": {"name": "web", "version": "1.0.0"}},
    }))
    .unwrap()
}

fn names(streams: &[Stream]) -> String {
    let name = |object: &Value| {
        format!("{}/{}", object["kind"].as_str().unwrap(), object["metadata"]["name"].as_str().unwrap())
    };
    let stream = |stream: &Stream| stream.objects.iter().map(name).collect::<Vec<_>>().join(" ");
    streams.iter().map(stream).collect::<Vec<_>>().join(" | ")
}

#[rstest]
#[case(PostRenderStrategy::NoHooks, "Deployment/a ConfigMap/b")]
#[case(PostRenderStrategy::Combined, "Job/migrate Deployment/a ConfigMap/b")]
#[case(PostRenderStrategy::Separate, "Job/migrate | Deployment/a ConfigMap/b")]
fn the_strategy_says_what_goes_together(#[case] strategy: PostRenderStrategy, #[case] expected: &str) {
    assert_eq!(names(&streams(&rendered(), strategy)), expected);
}

#[rstest]
#[case(PostRenderStrategy::NoHooks)]
#[case(PostRenderStrategy::Combined)]
#[case(PostRenderStrategy::Separate)]
fn what_nobody_changes_comes_back_as_it_was(#[case] strategy: PostRenderStrategy) {
    let before = rendered();
    let after = put_back(rendered(), strategy, streams(&before, strategy));
    let objects = |release: &RenderedRelease| {
        let object = |object: &RenderedObject| (object.source.clone(), object.object.clone());
        release.objects.iter().map(object).collect::<Vec<_>>()
    };
    assert_eq!(objects(&after), objects(&before));
    let hook = |release: &RenderedRelease| {
        let hook = &release.hooks[0].hook;
        (hook.name.clone(), hook.path.clone(), hook.events.clone(), hook.weight, hook.delete_policies.clone())
    };
    assert_eq!(hook(&after), hook(&before));
    assert_eq!(after.hooks[0].object, before.hooks[0].object);
}

#[test]
fn the_manifest_is_written_as_helm_does() {
    let after = put_back(
        rendered(),
        PostRenderStrategy::Combined,
        streams(&rendered(), PostRenderStrategy::Combined),
    );
    insta::assert_snapshot!(after.manifest, @r#"
    ---
    # Source: web/templates/b.yaml
    apiVersion: v1
    kind: ConfigMap
    metadata:
      name: b
    ---
    # Source: web/templates/a.yaml
    apiVersion: v1
    kind: Deployment
    metadata:
      annotations:
        x: "yes"
      name: a
    "#);
}

#[test]
fn a_post_renderer_may_add_objects_and_make_hooks_of_them() {
    let strategy = PostRenderStrategy::Separate;
    let changed = streams(&rendered(), strategy).into_iter().map(|stream| {
        let mut objects = stream.objects.clone();
        for object in &mut objects {
            if object["kind"] == "ConfigMap" {
                object["metadata"]["annotations"][HOOK] = "POST-INSTALL".into();
            }
            if object["kind"] == "Job" {
                object["metadata"]["annotations"].as_object_mut().unwrap().remove(HOOK);
            }
        }
        objects.push(object("Secret", "new", Value::Null));
        objects.push(object("Pod", "of-no-event", json!({HOOK: "crd-install"})));
        stream.replaced(objects)
    });
    let after = put_back(rendered(), strategy, changed.collect());
    let sources: Vec<_> =
        after.objects.iter().map(|object| (kind(&object.object), object.source.as_str())).collect();
    let expected = [
        ("Secret", "generated-by-postrender-hooks-1.yaml"),
        ("Secret", "generated-by-postrender-manifests-2.yaml"),
        ("Deployment", "web/templates/a.yaml"),
        ("Job", "web/templates/a.yaml"),
    ];
    assert_eq!(sources, expected);
    let hooks: Vec<_> =
        after.hooks.iter().map(|hook| (hook.hook.name.as_str(), hook.hook.events.clone())).collect();
    assert_eq!(hooks, [("b", vec![HookEvent::PostInstall])]);
}

#[test]
fn hooks_that_were_left_out_stay_and_get_no_labels() {
    let strategy = PostRenderStrategy::NoHooks;
    let owner = Ownership { release_name: "web", release_namespace: "shop", name: "web", namespace: "apps" };
    let common =
        CommonMetadata { labels: [("team".to_owned(), "a".to_owned())].into(), ..CommonMetadata::default() };
    let labelled =
        streams(&rendered(), strategy).into_iter().map(|stream| stream.labelled(Some(&common), &owner));
    let after = put_back(rendered(), strategy, labelled.collect());
    assert_eq!(after.hooks[0].hook.manifest, "as upstream wrote it");
    let labels = json!({"helm.toolkit.fluxcd.io/name": "web", "helm.toolkit.fluxcd.io/namespace": "apps", "team": "a"});
    for object in &after.objects {
        assert_eq!(object.object["metadata"]["labels"], labels);
    }
}

#[test]
fn kustomize_is_given_the_objects_and_what_to_do() {
    let stream = &streams(&rendered(), PostRenderStrategy::NoHooks)[0];
    insta::assert_snapshot!(stream.to_yaml(), @r#"
    ---
    apiVersion: v1
    kind: Deployment
    metadata:
      annotations:
        postrenderer.helm.sh/postrender-filename: web/templates/a.yaml
        x: "yes"
      name: a
    ---
    apiVersion: v1
    kind: ConfigMap
    metadata:
      annotations:
        postrenderer.helm.sh/postrender-filename: web/templates/b.yaml
      name: b
    "#);
    let renderer: KustomizePostRenderer =
        serde_json::from_value(json!({"patches": [{"patch": "p", "target": {"kind": "Pod"}}], "images": [{"name": "a", "newTag": "1"}]})).unwrap();
    let expected = json!({
        "apiVersion": "kustomize.config.k8s.io/v1beta1", "kind": "Kustomization", "resources": ["helm-output.yaml"],
        "patches": [{"patch": "p", "target": {"kind": "Pod"}}], "images": [{"name": "a", "newTag": "1"}],
    });
    assert_eq!(kustomization(&renderer), expected);
}
