//! Transformers and validators, as `cargo xtask plugins` makes them. What they do in detail is tested beside their sources.

use plumb_api::Object;
use plumb_plugin::{Call, CallError, Limits, Severity, World};
use serde_json::{Value, json};

use crate::builtin::plugin_of;

fn deployment(replicas: u32) -> Object {
    Object::new(json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web", "namespace": "shop"}, "spec": {
        "replicas": replicas,
        "selector": {"matchLabels": {"app": "web"}},
        "template": {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "a", "image": "a:1"}]}},
    }}))
    .unwrap()
}

fn judge(plugin: &str, objects: &[Object], parameters: &Value) -> Result<Vec<(Severity, String)>, CallError> {
    let findings = plugin_of(World::Validator, plugin).validate(objects, parameters, &Call::default())?;
    Ok(findings
        .into_iter()
        .map(|found| (found.severity, format!("{}: {}", found.rule, found.message)))
        .collect())
}

#[test]
fn labels_are_put_on_objects_and_pods() {
    let parameters =
        json!({"labels": {"tier": "front"}, "podTemplates": true, "match": {"kinds": ["Deployment.apps"]}});
    let plugin = plugin_of(World::Transformer, "labels");
    let changed = plugin.transform(&[deployment(1)], &parameters, &Call::default()).unwrap();
    assert_eq!(changed[0].pointer("/metadata/labels"), Some(&json!({"tier": "front"})));
    assert_eq!(
        changed[0].pointer("/spec/template/metadata/labels"),
        Some(&json!({"app": "web", "tier": "front"}))
    );

    let wrong = json!({"labels": {"plumbline.dev/applier": "Pipeline"}});
    let error = plugin.transform(&[deployment(1)], &wrong, &Call::default()).unwrap_err();
    assert!(matches!(error, CallError::Reported(_)), "{error:?}");
}

#[test]
fn policies_tell_what_they_find() {
    let rules = json!({"rules": [{"name": "few", "expression": "object.spec.replicas < 3", "message": "too many", "severity": "warning"}]});
    assert_eq!(judge("policy-cel", &[deployment(1)], &rules).unwrap(), []);
    let found = judge("policy-cel", &[deployment(5)], &rules).unwrap();
    assert_eq!(found, [(Severity::Warning, "few: too many".to_owned())]);
}

#[test]
fn schemas_tell_misspelt_fields() {
    assert_eq!(judge("schema", &[deployment(1)], &json!({})).unwrap(), []);
    let mut wrong = serde_json::to_value(deployment(1)).unwrap();
    wrong["spec"]["replcas"] = json!(2);
    let found = judge("schema", &[Object::new(wrong).unwrap()], &json!({"strict": true})).unwrap();
    let told = "unknown-field: there is no field \"replcas\"; did you mean \"replicas\"?".to_owned();
    assert_eq!(found, [(Severity::Error, told)]);
}

// Attack 16 (Rendering): what would end the parser or the interpreter is told as a mistake of the rule, inside the sandbox, too.
#[test]
fn policies_that_are_made_to_hurt_are_refused() {
    for expression in [
        "(".repeat(4000),
        "!".repeat(4000) + "true",
        "[".repeat(60) + "1" + &"]".repeat(60),
        "a".repeat(5000),
    ] {
        let rules = json!({"rules": [{"name": "deep", "expression": expression}]});
        let answer = judge("policy-cel", &[deployment(1)], &rules);
        let told = match answer {
            Err(CallError::Reported(errors)) => errors[0].message.clone(),
            Ok(found) => found[0].1.clone(),
            Err(error) => panic!("{error:?}"),
        };
        assert!(told.contains("deep"), "{told}");
    }
}

// Attack 16 (Rendering): quantities whose text has a billion digits end at the limit of memory, and harm nobody else.
#[test]
fn what_grows_without_end_ends_with_the_call() {
    let rules = json!({"rules": [{"name": "huge", "expression": "string(quantity('1e2000000000')) == ''"}]});
    let call = Call { limits: Limits { memory_bytes: 64 << 20, ..Limits::default() }, ..Call::default() };
    let answer = plugin_of(World::Validator, "policy-cel").validate(&[deployment(1)], &rules, &call);
    match answer {
        Ok(found) => assert_eq!(found[0].severity, Severity::Error),
        Err(error) => assert!(matches!(error, CallError::Limit { .. }), "{error:?}"),
    }
    assert_eq!(
        judge("policy-cel", &[deployment(1)], &json!({"rules": [{"name": "a", "expression": "true"}]}))
            .unwrap(),
        []
    );
}
