use std::sync::Arc;

use plumb_pipeline::{Engine, Origin, RenderError, Rendered, Request, Runs, Step};
use plumb_plugin::Call;
use plumb_tree::{Memory, Tree};
use serde_json::Value;

use crate::guest::{host, path};
use crate::steps::{config, making, names};

/// A program for WASI that writes what it reads; `more` makes it another one.
fn echo(more: &str) -> Vec<u8> {
    let text = format!(
        r#"(module
          (import "wasi_snapshot_preview1" "fd_read" (func $fd_read (param i32 i32 i32 i32) (result i32)))
          (import "wasi_snapshot_preview1" "fd_write" (func $fd_write (param i32 i32 i32 i32) (result i32)))
          (memory (export "memory") 4)
          (func (export "_start") (local $size i32)
            {more}
            (block $end
              (loop $more
                (i32.store (i32.const 0) (i32.add (i32.const 1024) (local.get $size)))
                (i32.store (i32.const 4) (i32.const 65536))
                (br_if $end (call $fd_read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 8)))
                (br_if $end (i32.eqz (i32.load (i32.const 8))))
                (local.set $size (i32.add (local.get $size) (i32.load (i32.const 8))))
                (br $more)))
            (i32.store (i32.const 0) (i32.const 1024))
            (i32.store (i32.const 4) (local.get $size))
            (drop (call $fd_write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))))"#
    );
    wat::parse_str(text).unwrap()
}

fn render(engine: &Engine, module: Option<Vec<u8>>) -> Result<Rendered, RenderError> {
    let mut tree = Memory::new();
    if let Some(module) = module {
        tree = tree.with_file(&path("functions/echo.wasm"), module);
    }
    let tree: Arc<dyn Tree> = Arc::new(tree);
    let mut function = making("function", Value::Null);
    function.runs = Runs::InSource { host: host(), module: "functions/echo.wasm".to_owned() };
    let steps: [Step; 2] = [making("a", config("one")), function];
    engine.render(&Request { scope: "me", tree: &tree, steps: &steps, call: &Call::default() })
}

#[test]
fn it_gets_the_objects_and_gives_them_back() {
    assert_eq!(names(&render(&Engine::default(), Some(echo(""))).unwrap()), ["one"]);
}

#[test]
fn another_module_at_the_same_path_is_another_function() {
    let engine = Engine::default();
    assert_eq!(render(&engine, Some(echo(""))).unwrap().origin, Origin::Plugins);
    assert_eq!(render(&engine, Some(echo(""))).unwrap().origin, Origin::Cache, "nothing has changed");
    let failure = render(&engine, Some(echo("unreachable"))).unwrap_err().to_string();
    assert!(failure.starts_with("step \"function\": the plugin broke down"), "{failure}");
}

#[test]
fn a_module_that_is_missing_or_none_is_named() {
    let missing = render(&Engine::default(), None).unwrap_err().to_string();
    assert!(
        missing.starts_with("step \"function\": functions/echo.wasm cannot be read from the source"),
        "{missing}"
    );
    let none = render(&Engine::default(), Some(b"#!/bin/sh".to_vec())).unwrap_err().to_string();
    assert!(
        none.starts_with("step \"function\": the plugin functions/echo.wasm is not a WebAssembly"),
        "{none}"
    );
}
