//! Guests that return what they are told to.

use std::path::Path;

use plumb_plugin::World;
use wit_component::{ComponentEncoder, StringEncoding};
use wit_parser::Resolve;

/// What the answer begins with in the parameters, where it is written in hexadecimal.
pub(crate) const BEGIN: char = '~';

/// Behind the answer, memory is for what the host hands over.
pub(crate) const LONGEST_ANSWER: usize = 32 << 10;

/// Puts the bytes that are written in hexadecimal behind a `~`, up to a `"`, at the beginning of memory. Returns how many.
const DECODE: &str = r#"
  (func $digit (param $c i32) (result i32)
    (if (result i32) (i32.lt_u (local.get $c) (i32.const 58))
      (then (i32.sub (local.get $c) (i32.const 48)))
      (else (i32.sub (local.get $c) (i32.const 87)))))
  (func $decode (param $from i32) (result i32) (local $to i32)
    (loop $skip
      (local.set $from (i32.add (local.get $from) (i32.const 1)))
      (br_if $skip (i32.ne (i32.load8_u (i32.sub (local.get $from) (i32.const 1))) (i32.const 126))))
    (block $end
      (loop $more
        (br_if $end (i32.eq (i32.load8_u (local.get $from)) (i32.const 34)))
        (i32.store8 (local.get $to)
          (i32.or
            (i32.shl (call $digit (i32.load8_u (local.get $from))) (i32.const 4))
            (call $digit (i32.load8_u offset=1 (local.get $from)))))
        (local.set $from (i32.add (local.get $from) (i32.const 2)))
        (local.set $to (i32.add (local.get $to) (i32.const 1)))
        (br $more)))
    (local.get $to))"#;

/// One of each world that gives an answer.
pub(crate) fn all() -> Vec<(World, Vec<u8>)> {
    let judge = |world, export: &str, parameters: &str| {
        let text = format!(
            r#"(module
              (memory (export "memory") 4)
              (global $next (mut i32) (i32.const 65536))
              (func (export "cabi_realloc") (param i32 i32 i32) (param $size i32) (result i32)
                (local $at i32)
                (local.set $at (i32.and (i32.add (global.get $next) (i32.const 7)) (i32.const -8)))
                (global.set $next (i32.add (local.get $at) (local.get $size)))
                (local.get $at))
              {DECODE}
              (func (export "plumbline:plugin/{export}") {parameters} (result i32)
                (drop (call $decode (local.get $parameters)))
                (i32.const 0)))"#
        );
        (world, component(world, &text))
    };
    let of_objects = "(param i32 i32) (param $parameters i32) (param i32)";
    vec![
        judge(World::Transformer, "transform@0.1.0#transform", of_objects),
        judge(World::Validator, "validate@0.1.0#validate", of_objects),
        judge(World::HealthCheck, "health@0.1.0#check", of_objects),
        (World::KrmFunction, function()),
    ]
}

/// Writes its answer to standard output.
fn function() -> Vec<u8> {
    let text = format!(
        r#"(module
          (import "wasi_snapshot_preview1" "fd_read" (func $fd_read (param i32 i32 i32 i32) (result i32)))
          (import "wasi_snapshot_preview1" "fd_write" (func $fd_write (param i32 i32 i32 i32) (result i32)))
          (memory (export "memory") 4)
          {DECODE}
          (func (export "_start") (local $len i32) (local $text i32)
            (local.set $text (i32.const 65536))
            (block $end
              (loop $more
                (i32.store (i32.const 60000) (local.get $text))
                (i32.store (i32.const 60004) (i32.const 65536))
                (br_if $end (call $fd_read (i32.const 0) (i32.const 60000) (i32.const 1) (i32.const 60008)))
                (br_if $end (i32.eqz (i32.load (i32.const 60008))))
                (local.set $text (i32.add (local.get $text) (i32.load (i32.const 60008))))
                (br $more)))
            (local.set $len (call $decode (i32.const 65536)))
            (local.set $text (i32.const 0))
            (block $end
              (loop $more
                (br_if $end (i32.eqz (local.get $len)))
                (i32.store (i32.const 60000) (local.get $text))
                (i32.store (i32.const 60004) (local.get $len))
                (br_if $end (call $fd_write (i32.const 1) (i32.const 60000) (i32.const 1) (i32.const 60008)))
                (local.set $text (i32.add (local.get $text) (i32.load (i32.const 60008))))
                (local.set $len (i32.sub (local.get $len) (i32.load (i32.const 60008))))
                (br $more)))))"#
    );
    wat::parse_str(text).expect("the text of a module")
}

fn component(world: World, text: &str) -> Vec<u8> {
    let mut resolve = Resolve::default();
    let wit = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../wit");
    let (package, _) = resolve.push_path(wit).expect("the contract");
    let world = resolve.select_world(&[package], Some(&world.to_string())).expect("a world");
    let mut module = wat::parse_str(text).expect("the text of a module");
    wit_component::embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8, false)
        .expect("a module of this world");
    ComponentEncoder::default().module(&module).and_then(|encoder| encoder.encode()).expect("a component")
}
