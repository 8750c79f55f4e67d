//! Health checks, as `cargo xtask plugins` makes them. What they do in detail is tested beside their sources.

use std::time::Duration;

use plumb_api::Object;
use plumb_plugin::{Call, CallError, ErrorKind, HealthStatus, LimitKind, Limits, World};
use serde_json::{Value, json};

use crate::builtin::plugin_of;

fn certificate(status: Value) -> Object {
    let metadata = json!({"name": "web", "namespace": "shop", "generation": 1});
    let object = json!({"apiVersion": "cert-manager.io/v1", "kind": "Certificate", "metadata": metadata, "status": status});
    Object::new(object).unwrap()
}

fn check(object: &Object, parameters: &Value) -> Result<(HealthStatus, String), CallError> {
    let report =
        plugin_of(World::HealthCheck, "health-cel").check_health(object, parameters, &Call::default())?;
    Ok((report.status, report.message))
}

#[test]
fn rules_tell_how_an_object_is() {
    let of =
        |condition: Value| check(&certificate(json!({"conditions": [condition]})), &Value::Null).unwrap();
    assert_eq!(of(json!({"type": "Ready", "status": "True"})), (HealthStatus::Current, String::new()));
    let pending =
        json!({"type": "Ready", "status": "False", "reason": "DoesNotExist", "message": "it is issued"});
    assert_eq!(
        of(pending),
        (HealthStatus::InProgress, "Ready is False: DoesNotExist: it is issued".to_owned())
    );
}

#[test]
fn a_kind_without_a_rule_is_told_as_such() {
    let object =
        Object::new(json!({"apiVersion": "example.com/v1", "kind": "Database", "metadata": {"name": "a"}}));
    let CallError::Reported(errors) = check(&object.unwrap(), &Value::Null).unwrap_err() else { panic!() };
    assert_eq!(errors[0].kind, ErrorKind::Unsupported);
}

fn rule(current: &str) -> Value {
    json!({"rules": [{"apiVersion": "cert-manager.io/v1", "current": current}]})
}

// Attack 16 (Rendering): a rule of a tenant that never ends, or that the parser could not bear.
#[test]
fn rules_that_never_end_are_ended() {
    let many: Vec<u32> = (0..2000).collect();
    let object = certificate(json!({ "list": many }));
    let within = "status.list.all(a, status.list.all(b, status.list.all(c, a + b + c >= 0)))";
    let (status, message) = check(&object, &rule(within)).unwrap();
    assert_eq!(status, HealthStatus::Unknown);
    assert!(message.contains("takes too many steps"), "{message}");
    for expression in ["(".repeat(4000), "!".repeat(4000) + "true", "a".repeat(5000)] {
        let error = check(&object, &rule(&expression)).unwrap_err();
        assert!(matches!(error, CallError::Reported(_)), "{error:?}");
    }
}

#[test]
fn a_call_is_held_to_its_limits() {
    let plugin = plugin_of(World::HealthCheck, "health-cel");
    let limits = Limits { memory_bytes: 1 << 16, wall_time: Duration::from_secs(60), ..Limits::default() };
    let call = Call { limits, ..Call::default() };
    let error = plugin.check_health(&certificate(json!({})), &Value::Null, &call).unwrap_err();
    assert!(matches!(error, CallError::Limit { which: LimitKind::MemoryBytes, .. }), "{error:?}");
}
