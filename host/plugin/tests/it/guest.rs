//! Components made from WebAssembly text, with the WIT files of the repository.

use std::path::Path;
use std::sync::Arc;

use plumb_api::Object;
use plumb_plugin::{Host, HostConfig, Plugin, World};
use plumb_tree::{Memory, Tree, TreePath, View};
use serde_json::json;
use wit_component::{ComponentEncoder, StringEncoding};
use wit_parser::Resolve;

/// What every guest has: its memory, an allocator that never frees, and `$ok` and `$err`, which return a list.
const PRELUDE: &str = r#"
  (memory (export "memory") 2)
  (global $next (mut i32) (i32.const 65536))
  (func $realloc (export "cabi_realloc") (param i32 i32 i32) (param $size i32) (result i32)
    (local $at i32)
    (local.set $at (i32.and (i32.add (global.get $next) (i32.const 7)) (i32.const -8)))
    (global.set $next (i32.add (local.get $at) (local.get $size)))
    (block $fits
      (br_if $fits (i32.le_u (global.get $next) (i32.mul (memory.size) (i32.const 65536))))
      (br_if $fits (i32.ne (i32.const -1)
        (memory.grow (i32.add (i32.const 1) (i32.shr_u (local.get $size) (i32.const 16))))))
      unreachable)
    (local.get $at))
  (func $answer (param $failed i32) (param $list i32) (param $count i32) (result i32)
    (i32.store8 (i32.const 16) (local.get $failed))
    (i32.store (i32.const 20) (local.get $list))
    (i32.store (i32.const 24) (local.get $count))
    (i32.const 16))
  (func $ok (param $list i32) (param $count i32) (result i32)
    (call $answer (i32.const 0) (local.get $list) (local.get $count)))
  (func $err (param $list i32) (param $count i32) (result i32)
    (call $answer (i32.const 1) (local.get $list) (local.get $count)))
  ;; Puts a list of one string at 32.
  (func $one (param $text i32) (param $len i32)
    (i32.store (i32.const 32) (local.get $text))
    (i32.store (i32.const 36) (local.get $len)))
"#;

const LOG: &str = r#"(import "plumbline:plugin/log@0.1.0" "write" (func $log (param i32 i32 i32)))"#;

const TREE: &str = r#"
  (import "plumbline:plugin/tree@0.1.0" "[method]dir.list" (func $list (param i32 i32 i32 i32)))
  (import "plumbline:plugin/tree@0.1.0" "[method]dir.stat" (func $stat (param i32 i32 i32 i32)))
  (import "plumbline:plugin/tree@0.1.0" "[method]dir.read" (func $read (param i32 i32 i32 i32)))
  (import "plumbline:plugin/tree@0.1.0" "[resource-drop]dir" (func $drop_dir (param i32)))
"#;

/// A component of one of the repository's worlds.
pub(crate) fn component(world: World, text: &str) -> Vec<u8> {
    let mut resolve = Resolve::default();
    let (package, _) = resolve.push_path(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../wit")).unwrap();
    let world = resolve.select_world(&[package], Some(&world.to_string())).unwrap();
    encode(&resolve, world, text)
}

/// A component of a world that `wit` defines, which may use the repository's.
pub(crate) fn component_of(wit: &str, world: &str, text: &str) -> Vec<u8> {
    let mut resolve = Resolve::default();
    if !wit.contains("package plumbline:plugin@") {
        resolve.push_path(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../wit")).unwrap();
    }
    let package = resolve.push_str("test.wit", wit).unwrap();
    let world = resolve.select_world(&[package], Some(world)).unwrap();
    encode(&resolve, world, text)
}

fn encode(resolve: &Resolve, world: wit_parser::WorldId, text: &str) -> Vec<u8> {
    let mut module = wat::parse_str(text).unwrap();
    wit_component::embed_component_metadata(&mut module, resolve, world, StringEncoding::UTF8, false)
        .unwrap();
    ComponentEncoder::default().validate(true).module(&module).unwrap().encode().unwrap()
}

/// The text of a renderer. `$root` is the handle of the tree, `$text` and `$len` are the parameters.
pub(crate) fn renderer_text(imports: &str, items: &str, body: &str) -> String {
    format!(
        r#"(module {TREE} {LOG} {imports} {PRELUDE} {items}
          (func $render (export "plumbline:plugin/render@0.1.0#render")
            (param $root i32) (param $text i32) (param $len i32) (result i32)
            {body}))"#
    )
}

/// A renderer.
pub(crate) fn renderer(items: &str, body: &str) -> Vec<u8> {
    component(World::Renderer, &renderer_text("", items, body))
}

/// A renderer that does `evil` when it has parameters, and returns no objects when it has none.
pub(crate) fn hostile(items: &str, evil: &str) -> Vec<u8> {
    let body = format!(
        "(if (i32.gt_u (local.get $len) (i32.const 2)) (then {evil}))
         (call $drop_dir (local.get $root))
         (call $ok (i32.const 0) (i32.const 0))"
    );
    renderer(items, &body)
}

/// A renderer that returns its parameters as the only object.
pub(crate) fn echo() -> Vec<u8> {
    renderer(
        "",
        "(call $drop_dir (local.get $root))
         (call $one (local.get $text) (local.get $len))
         (call $ok (i32.const 32) (i32.const 1))",
    )
}

/// A plugin of another world than `renderer`, which exports one function.
pub(crate) fn judge(world: World, export: &str, parameters: &str, items: &str, body: &str) -> Vec<u8> {
    let text = format!(
        r#"(module {LOG} {PRELUDE} {items}
          (func (export "plumbline:plugin/{export}") {parameters} (result i32) {body}))"#
    );
    component(world, &text)
}

/// A transformer that may import more than `log`. `$objects` and `$count` are its objects, `$text` and `$len` its parameters; `$fail` makes an
/// error of a text.
pub(crate) fn transformer(imports: &str, items: &str, body: &str) -> Vec<u8> {
    let text = format!(
        r#"(module {LOG} {imports} {PRELUDE} {items}
          (func $fail (param $message i32) (param $size i32) (result i32)
            (memory.fill (i32.const 128) (i32.const 0) (i32.const 44))
            (i32.store (i32.const 132) (local.get $message))
            (i32.store (i32.const 136) (local.get $size))
            (call $err (i32.const 128) (i32.const 1)))
          (func (export "plumbline:plugin/transform@0.1.0#transform")
            (param $objects i32) (param $count i32) (param $text i32) (param $len i32) (result i32) {body}))"#
    );
    component(World::Transformer, &text)
}

/// A transformer that returns the objects it is given.
pub(crate) fn identity() -> Vec<u8> {
    judge(
        World::Transformer,
        "transform@0.1.0#transform",
        "(param $objects i32) (param $count i32) (param $text i32) (param $len i32)",
        "",
        "(call $ok (local.get $objects) (local.get $count))",
    )
}

pub(crate) fn host() -> Host {
    Host::new(HostConfig::default()).unwrap()
}

pub(crate) fn load(bytes: &[u8]) -> Plugin {
    host().load_bytes("guest", bytes, World::Renderer).unwrap()
}

pub(crate) fn view_of(tree: impl Tree + 'static) -> Arc<View> {
    Arc::new(View::new(Arc::new(tree), 1 << 20))
}

pub(crate) fn no_files() -> Arc<View> {
    view_of(Memory::new())
}

pub(crate) fn path(path: &str) -> TreePath {
    TreePath::new(path).unwrap()
}

/// A ConfigMap.
pub(crate) fn object(name: &str) -> Object {
    Object::new(json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}})).unwrap()
}
