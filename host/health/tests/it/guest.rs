//! Health checks made from WebAssembly text, and objects for them.

use std::path::Path;
use std::sync::Arc;

use jiff::Timestamp;
use plumb_api::{HealthCheckKind, Object, OnUnknown, PluginLimits};
use plumb_apply::Health;
use plumb_cel::HealthExpressions;
use plumb_health::{Checker, Checks, Choice};
use plumb_plugin::{Host, HostConfig, Plugin, World};
use serde_json::{Value, json};
use std::time::Duration;
use wit_component::{ComponentEncoder, StringEncoding};
use wit_parser::Resolve;

/// A health check that does something. `$object` and `$size` are the text of the object.
pub(crate) fn check(body: &str) -> Plugin {
    plugin(
        "check",
        World::HealthCheck,
        &format!(
            r#"(module
          (memory (export "memory") 2)
          (global $next (mut i32) (i32.const 65536))
          (func (export "cabi_realloc") (param i32 i32 i32) (param $size i32) (result i32)
            (local $at i32)
            (local.set $at (i32.and (i32.add (global.get $next) (i32.const 7)) (i32.const -8)))
            (global.set $next (i32.add (local.get $at) (local.get $size)))
            (local.get $at))
          (data (i32.const 1024) "so it says")
          (func $report (param $status i32) (param $text i32) (param $len i32) (result i32)
            (i32.store8 (i32.const 16) (i32.const 0))
            (i32.store8 (i32.const 20) (local.get $status))
            (i32.store (i32.const 24) (local.get $text))
            (i32.store (i32.const 28) (local.get $len))
            (i32.const 16))
          (func $refuse (param $kind i32) (result i32)
            (i32.store8 (i32.const 128) (local.get $kind))
            (i32.store (i32.const 132) (i32.const 1024))
            (i32.store (i32.const 136) (i32.const 10))
            (i32.store8 (i32.const 16) (i32.const 1))
            (i32.store (i32.const 20) (i32.const 128))
            (i32.store (i32.const 24) (i32.const 1))
            (i32.const 16))
          (func (export "plumbline:plugin/health@0.1.0#check")
            (param $object i32) (param $size i32) (param $text i32) (param $len i32) (result i32)
            {body}))"#
        ),
    )
}

pub(crate) const CURRENT: &str = "(call $report (i32.const 0) (i32.const 1024) (i32.const 10))";
pub(crate) const IN_PROGRESS: &str = "(call $report (i32.const 1) (i32.const 1024) (i32.const 10))";
pub(crate) const FAILED: &str = "(call $report (i32.const 2) (i32.const 1024) (i32.const 10))";
pub(crate) const UNKNOWN: &str = "(call $report (i32.const 4) (i32.const 1024) (i32.const 10))";
pub(crate) const INVALID: &str = "(call $refuse (i32.const 0))";
pub(crate) const UNSUPPORTED: &str = "(call $refuse (i32.const 3))";
/// The message is the object.
pub(crate) const QUOTES: &str = "(call $report (i32.const 1) (local.get $object) (local.get $size))";

/// A transformer.
pub(crate) fn transformer() -> Plugin {
    plugin(
        "labels",
        World::Transformer,
        r#"(module
          (memory (export "memory") 2)
          (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) (i32.const 65536))
          (func (export "plumbline:plugin/transform@0.1.0#transform") (param i32 i32 i32 i32) (result i32) unreachable))"#,
    )
}

fn plugin(name: &str, world: World, text: &str) -> Plugin {
    let mut resolve = Resolve::default();
    let (package, _) = resolve.push_path(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../wit")).unwrap();
    let id = resolve.select_world(&[package], Some(&world.to_string())).unwrap();
    let mut module = wat::parse_str(text).unwrap();
    wit_component::embed_component_metadata(&mut module, &resolve, id, StringEncoding::UTF8, false).unwrap();
    let bytes = ComponentEncoder::default().validate(true).module(&module).unwrap().encode().unwrap();
    Host::new(HostConfig::default()).unwrap().load_bytes(name, &bytes, world).unwrap()
}

/// An object of a custom kind, as a cluster has it.
pub(crate) fn database(version: &str, status: Value) -> Arc<Object> {
    object(json!({
        "apiVersion": "example.com/v1", "kind": "Database",
        "metadata": {"name": "a", "namespace": "shop", "uid": "1", "resourceVersion": version, "generation": 2},
        "status": status,
    }))
}

pub(crate) fn object(value: Value) -> Arc<Object> {
    Arc::new(Object::new(value).unwrap())
}

pub(crate) fn nobody() -> Checks {
    Checks::new(Arc::new(HealthExpressions::default()), None)
}

/// A plugin that was chosen for all kinds of `example.com`.
pub(crate) fn chosen(plugin: Result<Plugin, String>, on_unknown: OnUnknown) -> Checks {
    let mut checks = nobody();
    choose(&mut checks, "*", plugin, on_unknown);
    checks
}

pub(crate) fn choose(checks: &mut Checks, kind: &str, plugin: Result<Plugin, String>, on_unknown: OnUnknown) {
    let kinds =
        [HealthCheckKind { api_version: None, group: Some("example.com".to_owned()), kind: kind.to_owned() }];
    let limits: PluginLimits = serde_json::from_value(json!({"wallTime": "1s", "memory": "1Mi"})).unwrap();
    let choice = Choice { name: "databases", kinds: &kinds, with: json!({}), on_unknown, limits };
    checks.choose(choice, plugin, plumb_health::limits(1 << 30));
}

pub(crate) fn health(checker: &Checker, checks: &Checks, object: &Arc<Object>) -> Health {
    checker.health(checks, object, Timestamp::UNIX_EPOCH, Duration::from_secs(60))
}
