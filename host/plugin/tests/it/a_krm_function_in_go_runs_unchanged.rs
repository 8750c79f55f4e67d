//! `examples/plugins/krm-go`, as anybody would build it.

use std::path::Path;
use std::process::Command;

use plumb_api::Object;
use plumb_plugin::{Call, CallError, World};
use serde_json::{Value, json};

use crate::guest::host;

fn build() -> Vec<u8> {
    let module = Path::new(env!("CARGO_TARGET_TMPDIR")).join("set-replicas.wasm");
    let built = Command::new("go")
        .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/plugins/krm-go"))
        .envs([("GOOS", "wasip1"), ("GOARCH", "wasm"), ("CGO_ENABLED", "0")])
        .args(["build", "-mod=readonly", "-buildvcs=false", "-trimpath", "-ldflags=-s -w", "-o"])
        .args([&module, Path::new(".")])
        .output()
        .unwrap();
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    std::fs::read(module).unwrap()
}

fn deployment(replicas: u32) -> Object {
    let spec = json!({"replicas": replicas});
    Object::new(
        json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"}, "spec": spec}),
    )
    .unwrap()
}

fn config(replicas: i32) -> Value {
    json!({"apiVersion": "example.com/v1", "kind": "SetReplicas", "metadata": {"name": "f"}, "spec": {"replicas": replicas}})
}

#[test]
fn a_function_of_the_public_framework_is_a_step() {
    let plugin = host().load("set-replicas", &build()).unwrap();
    assert_eq!(plugin.world(), World::KrmFunction);
    let objects = [
        deployment(1),
        Object::new(json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}})).unwrap(),
    ];

    let changed = plugin.function(&objects, &config(3), &Call::default()).unwrap();
    assert_eq!(changed, [deployment(3), objects[1].clone()]);

    let error = plugin.function(&objects, &config(-1), &Call::default()).unwrap_err();
    assert!(matches!(error, CallError::Reported(_)), "{error:?}");
    assert!(error.to_string().contains("spec.replicas is -1"), "{error}");
}
