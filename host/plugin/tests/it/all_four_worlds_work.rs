use plumb_plugin::{
    Call, CallError, ErrorKind, Finding, HealthReport, HealthStatus, PluginError, Severity, World,
};
use plumb_tree::Memory;
use serde_json::{Value, json};

use crate::guest::{echo, host, identity, judge, no_files, object, path, renderer, view_of};

/// A renderer that returns the one object that is in `app.json`, or says that there is none.
fn reader() -> Vec<u8> {
    renderer(
        r#"(data (i32.const 1024) "app.jsonthe file is missingwrite it")"#,
        "(call $read (local.get $root) (i32.const 1024) (i32.const 8) (i32.const 64))
         (call $drop_dir (local.get $root))
         (if (i32.load8_u (i32.const 64))
           (then
             (i32.store8 (i32.const 128) (i32.const 1))
             (i32.store (i32.const 132) (i32.const 1032))
             (i32.store (i32.const 136) (i32.const 19))
             (i32.store8 (i32.const 140) (i32.const 1))
             (i32.store (i32.const 144) (i32.const 1024))
             (i32.store (i32.const 148) (i32.const 8))
             (i32.store8 (i32.const 152) (i32.const 1))
             (i32.store (i32.const 156) (i32.const 7))
             (i32.store8 (i32.const 160) (i32.const 1))
             (i32.store (i32.const 164) (i32.const 1051))
             (i32.store (i32.const 168) (i32.const 8))
             (return (call $err (i32.const 128) (i32.const 1)))))
         (call $one (i32.load (i32.const 72)) (i32.load (i32.const 76)))
         (call $ok (i32.const 32) (i32.const 1))",
    )
}

#[test]
fn a_renderer_reads_files() {
    let plugin = host().load_bytes("reader", &reader(), World::Renderer).unwrap();
    let app = object("app").into_value().to_string();
    let view = view_of(
        Memory::new().with_file(&path("dir/real.json"), app).with_link(&path("app.json"), "dir/real.json"),
    );
    assert_eq!(plugin.render(view.clone(), &Value::Null, &Call::default()).unwrap(), [object("app")]);
    assert!(!view.record().is_empty(), "what was read is recorded");
}

#[test]
fn a_renderer_reports_errors_as_data() {
    let plugin = host().load_bytes("reader", &reader(), World::Renderer).unwrap();
    let error = plugin.render(no_files(), &Value::Null, &Call::default()).unwrap_err();
    assert_eq!(error.to_string(), "app.json:7: the file is missing (write it)");
    let CallError::Reported(errors) = error else { panic!("{error:?}") };
    let expected = PluginError {
        kind: ErrorKind::NotFound,
        message: "the file is missing".to_owned(),
        file: Some("app.json".to_owned()),
        line: Some(7),
        hint: Some("write it".to_owned()),
    };
    assert_eq!(errors, [expected]);
}

#[test]
fn a_renderer_gets_its_parameters() {
    let plugin = host().load_bytes("echo", &echo(), World::Renderer).unwrap();
    let parameters = object("from-parameters").into_value();
    assert_eq!(
        plugin.render(no_files(), &parameters, &Call::default()).unwrap(),
        [object("from-parameters")]
    );
    let error = plugin.render(no_files(), &json!(["a", "list"]), &Call::default()).unwrap_err();
    assert!(matches!(error, CallError::InvalidParameters));
}

#[test]
fn a_transformer_gets_objects_and_returns_objects() {
    let plugin = host().load_bytes("identity", &identity(), World::Transformer).unwrap();
    let objects = [object("one"), object("two"), object("three")];
    assert_eq!(plugin.transform(&objects, &json!({}), &Call::default()).unwrap(), objects);
    assert!(plugin.transform(&[], &json!({}), &Call::default()).unwrap().is_empty());
}

#[test]
fn a_validator_returns_findings() {
    // One finding about the last object.
    let guest = judge(
        World::Validator,
        "validate@0.1.0#validate",
        "(param $objects i32) (param $count i32) (param $text i32) (param $len i32)",
        r#"(data (i32.const 1024) "/data/alog-levelit is a warning")"#,
        "(i32.store8 (i32.const 128) (i32.const 1))
         (i32.store (i32.const 132) (i32.sub (local.get $count) (i32.const 1)))
         (i32.store8 (i32.const 136) (i32.const 1))
         (i32.store (i32.const 140) (i32.const 1024))
         (i32.store (i32.const 144) (i32.const 7))
         (i32.store (i32.const 148) (i32.const 1031))
         (i32.store (i32.const 152) (i32.const 9))
         (i32.store (i32.const 156) (i32.const 1040))
         (i32.store (i32.const 160) (i32.const 15))
         (call $ok (i32.const 128) (i32.const 1))",
    );
    let plugin = host().load_bytes("validator", &guest, World::Validator).unwrap();
    let expected = Finding {
        severity: Severity::Warning,
        object: 1,
        field: Some("/data/a".to_owned()),
        rule: "log-level".to_owned(),
        message: "it is a warning".to_owned(),
    };
    let found = plugin.validate(&[object("one"), object("two")], &json!({}), &Call::default()).unwrap();
    assert_eq!(found, [expected]);
    let error = plugin.validate(&[], &json!({}), &Call::default()).unwrap_err();
    let CallError::InvalidOutput { what, reason } = error else { panic!("{error:?}") };
    assert_eq!(what, "finding 0");
    assert_eq!(reason, "it is about object 4294967295, but there are only 0 objects, counted from 0");
}

#[test]
fn a_health_check_returns_a_report() {
    // The message is the object itself.
    let guest = judge(
        World::HealthCheck,
        "health@0.1.0#check",
        "(param $object i32) (param $size i32) (param $text i32) (param $len i32)",
        "",
        "(i32.store8 (i32.const 16) (i32.const 0))
         (i32.store8 (i32.const 20) (i32.const 1))
         (i32.store (i32.const 24) (local.get $object))
         (i32.store (i32.const 28) (local.get $size))
         (i32.const 16)",
    );
    let plugin = host().load_bytes("check", &guest, World::HealthCheck).unwrap();
    let report = plugin.check_health(&object("app"), &Value::Null, &Call::default()).unwrap();
    let message = object("app").into_value().to_string();
    assert_eq!(report, HealthReport { status: HealthStatus::InProgress, message });
}

#[test]
fn a_plugin_knows_what_it_is() {
    let bytes = identity();
    let plugin = host().load_bytes("identity", &bytes, World::Transformer).unwrap();
    assert_eq!(plugin.name(), "identity");
    assert_eq!(plugin.world(), World::Transformer);
    assert_eq!(plugin.digest(), plumb_tree::ContentId::of_bytes(&bytes).as_str());
    let error = plugin.render(no_files(), &Value::Null, &Call::default()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the plugin was loaded as a transformer and cannot be called as a renderer"
    );
}
