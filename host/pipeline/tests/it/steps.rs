//! Steps of plugins that were made for the tests.

use std::sync::Arc;

use plumb_api::Object;
use plumb_pipeline::{Engine, RenderError, Rendered, Request, Step};
use plumb_plugin::{Call, Plugin, World};
use plumb_tree::{Memory, Tree};
use serde_json::{Value, json};

use crate::guest::{echo, host, identity, judge, transformer};

pub(crate) fn load(name: &str, bytes: &[u8], world: World) -> Plugin {
    host().load_bytes(name, bytes, world).unwrap()
}

/// A renderer whose only object is its parameters.
pub(crate) fn making(step: &str, object: Value) -> Step {
    Step::new(step, load("echo", &echo(), World::Renderer), object)
}

/// A transformer that changes nothing.
pub(crate) fn passing(step: &str) -> Step {
    Step::new(step, load("identity", &identity(), World::Transformer), Value::Null)
}

/// A transformer that says what its first object is.
pub(crate) fn telling(step: &str, imports: &str) -> Step {
    let body = "(call $fail (i32.load (local.get $objects)) (i32.load offset=4 (local.get $objects)))";
    Step::new(step, load("teller", &transformer(imports, "", body), World::Transformer), Value::Null)
}

/// A validator that finds the first object wrong when the severity is 0, and warns of it when it is 1.
pub(crate) fn judging(step: &str, severity: u8) -> Step {
    let body = format!(
        "(i32.store8 (i32.const 128) (i32.const {severity}))
         (i32.store (i32.const 132) (i32.const 0))
         (i32.store8 (i32.const 136) (i32.const 1))
         (i32.store (i32.const 140) (i32.const 1024))
         (i32.store (i32.const 144) (i32.const 7))
         (i32.store (i32.const 148) (i32.const 1031))
         (i32.store (i32.const 152) (i32.const 9))
         (i32.store (i32.const 156) (i32.const 1040))
         (i32.store (i32.const 160) (i32.const 15))
         (call $ok (i32.const 128) (i32.const 1))"
    );
    let guest = judge(
        World::Validator,
        "validate@0.1.0#validate",
        "(param $objects i32) (param $count i32) (param $text i32) (param $len i32)",
        r#"(data (i32.const 1024) "/data/alog-levelit is not right")"#,
        &body,
    );
    Step::new(step, load("judge", &guest, World::Validator), Value::Null)
}

pub(crate) fn config(name: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}})
}

pub(crate) fn render_as(engine: &Engine, scope: &str, steps: &[Step]) -> Result<Rendered, RenderError> {
    let tree: Arc<dyn Tree> = Arc::new(Memory::new());
    engine.render(&Request { scope, tree: &tree, steps, call: &Call::default() })
}

pub(crate) fn render(steps: &[Step]) -> Result<Rendered, RenderError> {
    render_as(&Engine::default(), "Pipeline/team-a/shop", steps)
}

pub(crate) fn names(rendered: &Rendered) -> Vec<&str> {
    rendered.objects.iter().map(Object::name).collect()
}
