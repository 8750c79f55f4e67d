use std::sync::Arc;

use async_trait::async_trait;
use plumb_pipeline::{Engine, Origin, Request, Step};
use plumb_plugin::{Call, Grants, HttpClient, HttpError, HttpRequest, HttpResponse, World};
use plumb_tree::{Memory, Tree, TreePath};
use serde_json::{Value, json};

use crate::guest::{component_of, renderer};
use crate::steps::{config, load, names};

/// A renderer whose only object is the file `obj.json`.
fn reading() -> Step {
    let guest = renderer(
        r#"(data (i32.const 1024) "obj.json")"#,
        "(call $read (local.get $root) (i32.const 1024) (i32.const 8) (i32.const 64))
         (call $drop_dir (local.get $root))
         (call $one (i32.load (i32.const 72)) (i32.load (i32.const 76)))
         (call $ok (i32.const 32) (i32.const 1))",
    );
    Step::new("reader", load("reader", &guest, World::Renderer), json!({"path": ""}))
}

/// A decryptor for which `path` is encrypted, and which says that an object called `decrypted` is in it.
fn decrypting(path: &str) -> Step {
    let object = config("decrypted").to_string();
    let (object, size) = (object.replace('"', "\\\""), object.len());
    let text = format!(
        r#"(module
          (import "plumbline:plugin/tree@0.1.0" "[resource-drop]dir" (func $drop_dir (param i32)))
          (memory (export "memory") 2)
          (global $next (mut i32) (i32.const 65536))
          (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32)
            (local $at i32)
            (local.set $at (i32.and (i32.add (global.get $next) (i32.const 7)) (i32.const -8)))
            (global.set $next (i32.add (local.get $at) (local.get 3)))
            (local.get $at))
          (data (i32.const 1024) "{path}")
          (data (i32.const 2048) "{object}")
          (func (export "plumbline:plugin/transform@0.1.0#transform") (param i32 i32 i32 i32) (result i32)
            (i32.store8 (i32.const 16) (i32.const 0))
            (i32.store (i32.const 20) (local.get 0))
            (i32.store (i32.const 24) (local.get 1))
            (i32.const 16))
          (func (export "plumbline:plugin/decrypt@0.1.0#decrypt") (param i32 i32 i32) (result i32)
            (call $drop_dir (local.get 0))
            (i32.store (i32.const 32) (i32.const 1024))
            (i32.store (i32.const 36) (i32.const {length}))
            (i32.store (i32.const 40) (i32.const 2048))
            (i32.store (i32.const 44) (i32.const {size}))
            (i32.store8 (i32.const 16) (i32.const 0))
            (i32.store (i32.const 20) (i32.const 32))
            (i32.store (i32.const 24) (i32.const 1))
            (i32.const 16)))"#,
        length = path.len(),
    );
    let wit = "package test:opener; world opener { include plumbline:plugin/decryptor@0.1.0; }";
    let guest = component_of(wit, "opener", &text);
    Step::new("opener", load("opener", &guest, World::Transformer), Value::Null)
}

fn tree(object: &str) -> Arc<dyn Tree> {
    let path = TreePath::new("obj.json").unwrap();
    Arc::new(Memory::new().with_file(&path, config(object).to_string()))
}

fn rendered(engine: &Engine, tree: &Arc<dyn Tree>, steps: &[Step]) -> Result<Vec<String>, String> {
    let request = Request { scope: "me", tree, steps, call: &Call::default() };
    let rendered = engine.render(&request).map_err(|error| error.to_string())?;
    Ok(names(&rendered).into_iter().map(str::to_owned).collect())
}

#[test]
fn a_renderer_sees_what_a_later_step_has_decrypted() {
    let (engine, tree) = (Engine::default(), tree("encrypted"));
    assert_eq!(
        rendered(&engine, &tree, &[reading(), decrypting("obj.json")]),
        Ok(vec!["decrypted".to_owned()])
    );
    assert_eq!(rendered(&engine, &tree, &[reading()]), Ok(vec!["encrypted".to_owned()]));
    let told = rendered(&engine, &tree, &[reading(), decrypting("../obj.json")]);
    assert_eq!(
        told,
        Err("step \"opener\": the plugin has decrypted \"../obj.json\", which is no path of the source"
            .to_owned())
    );
}

#[test]
fn the_result_is_kept_for_as_long_as_the_encrypted_file_is_the_same() {
    let engine = Engine::default();
    let steps = [reading(), decrypting("obj.json")];
    let render = |tree: &Arc<dyn Tree>| {
        engine.render(&Request { scope: "me", tree, steps: &steps, call: &Call::default() }).unwrap()
    };
    assert_eq!(render(&tree("encrypted")).origin, Origin::Plugins);
    assert_eq!(render(&tree("encrypted")).origin, Origin::Cache);
    assert_eq!(render(&tree("encrypted again")).origin, Origin::Plugins);
}

struct NoHost;

#[async_trait]
impl HttpClient for NoHost {
    async fn send(&self, _: HttpRequest) -> Result<HttpResponse, HttpError> {
        Err(HttpError::Failed("there is no network".to_owned()))
    }
}

// Attack 18 (Secrets): a decrypted secret handed to a plugin that could send it away.
#[test]
fn a_renderer_that_may_send_requests_sees_no_decrypted_file() {
    let mut reader = reading();
    reader.grants = Grants { http: Some(Arc::new(NoHost)), ..Grants::default() };
    let made = rendered(&Engine::default(), &tree("encrypted"), &[reader, decrypting("obj.json")]);
    assert_eq!(made, Ok(vec!["encrypted".to_owned()]));
}
