use std::time::Duration;

use plumb_plugin::{CallError, Host, HostConfig, LoadError, World};
use rstest::rstest;

use crate::guest::{component, component_of, echo, host, identity, renderer, renderer_text};

fn message(bytes: &[u8], world: World) -> String {
    host().load_bytes("guest", bytes, world).unwrap_err().to_string()
}

#[test]
fn because_it_imports_more_than_its_world_allows() {
    let wit = "
        package test:greedy;
        world greedy {
            include plumbline:plugin/renderer@0.1.0;
            import wasi:filesystem/types@0.2.3;
            import wasi:sockets/tcp@0.2.3;
        }
        package wasi:filesystem@0.2.3 { interface types { open: func() -> u32; } }
        package wasi:sockets@0.2.3 { interface tcp { connect: func() -> u32; } }
    ";
    let imports = r#"
        (import "wasi:filesystem/types@0.2.3" "open" (func (result i32)))
        (import "wasi:sockets/tcp@0.2.3" "connect" (func (result i32)))"#;
    let text = renderer_text(imports, "", "(call $ok (i32.const 0) (i32.const 0))");
    let error =
        host().load_bytes("greedy", &component_of(wit, "greedy", &text), World::Renderer).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the plugin greedy does not fit the world renderer: it imports what is not allowed there: \
         wasi:filesystem/types@0.2.3, wasi:sockets/tcp@0.2.3"
    );
    assert!(
        matches!(error, LoadError::Misfit { forbidden_imports, missing_export: None, .. } if forbidden_imports.len() == 2)
    );
}

#[test]
fn because_a_transformer_may_not_read_files() {
    let wit = "
        package test:nosy;
        world nosy {
            include plumbline:plugin/transformer@0.1.0;
            import plumbline:plugin/tree@0.1.0;
        }
    ";
    let text = r#"(module
        (import "plumbline:plugin/tree@0.1.0" "[resource-drop]dir" (func (param i32)))
        (memory (export "memory") 1)
        (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) unreachable)
        (func (export "plumbline:plugin/transform@0.1.0#transform") (param i32 i32 i32 i32) (result i32) unreachable))"#;
    assert_eq!(
        message(&component_of(wit, "nosy", text), World::Transformer),
        "the plugin guest does not fit the world transformer: it imports what is not allowed there: \
         plumbline:plugin/tree@0.1.0"
    );
}

#[test]
fn because_it_is_made_for_another_world() {
    assert_eq!(
        message(&identity(), World::Renderer),
        "the plugin guest does not fit the world renderer: it does not export plumbline:plugin/render@0.1.0; it seems to be made for \
         the world transformer"
    );
    assert_eq!(
        message(&echo(), World::HealthCheck),
        "the plugin guest does not fit the world health-check: it does not export plumbline:plugin/health@0.1.0; it seems to be made for \
         the world renderer; it imports what is not allowed there: plumbline:plugin/tree@0.1.0"
    );
}

#[test]
fn because_it_is_no_plugin_at_all() {
    let wit = "package test:other; interface greet { hello: func() -> u32; } world other { export greet; }";
    let text = r#"(module (func (export "test:other/greet#hello") (result i32) (i32.const 1)))"#;
    assert_eq!(
        message(&component_of(wit, "other", text), World::Renderer),
        "the plugin guest does not fit the world renderer: it does not export plumbline:plugin/render@0.1.0; it exports test:other/greet"
    );
    let nothing = wat::parse_str("(component)").unwrap();
    assert_eq!(
        message(&nothing, World::Renderer),
        "the plugin guest does not fit the world renderer: it does not export plumbline:plugin/render@0.1.0; it exports nothing"
    );
}

#[test]
fn because_its_function_has_another_type() {
    let wit = "
        package plumbline:plugin@0.1.0;
        interface render { render: func(parameters: string) -> string; }
        world renderer { export render; }
    ";
    let text = r#"(module
        (memory (export "memory") 1)
        (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) unreachable)
        (func (export "plumbline:plugin/render@0.1.0#render") (param i32 i32) (result i32) unreachable))"#;
    let error =
        host().load_bytes("guest", &component_of(wit, "renderer", text), World::Renderer).unwrap_err();
    assert!(matches!(error, LoadError::OtherTypes { .. }), "{error:?}");
}

#[test]
fn because_the_host_has_no_such_function() {
    let wit = "
        package plumbline:plugin@0.1.0;
        interface log { shout: func(message: string); }
        interface transform { transform: func(); }
        world transformer { import log; export transform; }
    ";
    let text = r#"(module
        (import "plumbline:plugin/log@0.1.0" "shout" (func (param i32 i32)))
        (memory (export "memory") 1)
        (func (export "plumbline:plugin/transform@0.1.0#transform")))"#;
    let error =
        host().load_bytes("guest", &component_of(wit, "transformer", text), World::Transformer).unwrap_err();
    assert!(matches!(error, LoadError::OtherTypes { .. }), "{error:?}");
    assert!(error.to_string().contains("shout"), "{error}");
}

#[test]
fn because_it_breaks_down_when_it_starts() {
    let guest = renderer("(func $begin unreachable) (start $begin)", "(i32.const 0)");
    let error = host().load_bytes("guest", &guest, World::Renderer).unwrap_err();
    assert!(matches!(error, LoadError::NotStarted { error: CallError::Trapped { .. }, .. }), "{error:?}");
}

#[rstest]
#[case::a_core_module(
    b"\0asm\x01\0\0\0",
    "the plugin guest is not a WebAssembly component but a core module; \
     make a component of it, for example with `wasm-tools component new`"
)]
#[case::text(
    b"(component)",
    "the plugin guest is not a WebAssembly component but text; turn it into a binary, for example with `wasm-tools parse`"
)]
#[case::machine_code(
    b"\x7fELF\x02\x01\x01",
    "the plugin guest is not a WebAssembly component but machine code; \
     compiled components are never loaded; give the component that it was compiled from"
)]
#[case::nothing(b"", "the plugin guest is not a WebAssembly component but an empty file; build it again")]
#[case::a_web_page(
    b"<!DOCTYPE html>",
    "the plugin guest is not a WebAssembly component but something else; give a .wasm file that holds a component"
)]
fn because_it_is_not_a_component(#[case] bytes: &[u8], #[case] expected: &str) {
    assert_eq!(message(bytes, World::Renderer), expected);
}

#[test]
fn because_it_is_too_large() {
    let host = Host::new(HostConfig { component_bytes: 1000, ..HostConfig::default() }).unwrap();
    let error = host.load_bytes("guest", &echo(), World::Renderer).unwrap_err();
    assert!(matches!(error, LoadError::TooLarge { limit: 1000, .. }), "{error:?}");
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), echo()).unwrap();
    let error = host.load_file("guest", file.path(), World::Renderer).unwrap_err();
    assert!(matches!(error, LoadError::TooLarge { limit: 1000, .. }), "{error:?}");
}

// Attack 27 (Plugins): a huge function, which takes very long to compile.
#[test]
fn because_one_of_its_functions_is_huge() {
    let body = format!("{} (call $ok (i32.const 0) (i32.const 0))", "(drop (i32.const 1))".repeat(1000));
    let guest = renderer("", &body);
    let host = Host::new(HostConfig { function_bytes: 3000, ..HostConfig::default() }).unwrap();
    let error = host.load_bytes("guest", &guest, World::Renderer).unwrap_err();
    assert!(matches!(error, LoadError::FunctionTooLarge { bytes: 3001.., limit: 3000, .. }), "{error:?}");
    Host::new(HostConfig::default()).unwrap().load_bytes("guest", &guest, World::Renderer).unwrap();
}

// Attack 27 (Plugins): a component that takes for ever to compile.
#[test]
fn because_nobody_has_the_time_to_compile_it() {
    let host = Host::new(HostConfig { compile_time: Duration::ZERO, ..HostConfig::default() }).unwrap();
    let error = host.load_bytes("guest", &echo(), World::Renderer).unwrap_err();
    assert!(matches!(error, LoadError::TooSlow { .. }), "{error:?}");
}

#[test]
fn because_there_is_no_such_file() {
    let error =
        host().load_file("guest", std::path::Path::new("/no/such.wasm"), World::Renderer).unwrap_err();
    assert!(
        error.to_string().starts_with("the plugin guest cannot be read from /no/such.wasm: No such file"),
        "{error}"
    );
}

#[test]
fn because_it_was_cut_off() {
    let (host, whole) = (host(), echo());
    for length in (8..whole.len()).step_by(17) {
        assert!(
            host.load_bytes("guest", &whole[..length], World::Renderer).is_err(),
            "{length} of {} bytes",
            whole.len()
        );
    }
}

/// Some changes are harmless; none may be worse than an error.
#[test]
fn or_harmless_when_bytes_were_changed() {
    let (host, whole) = (host(), echo());
    for position in (8..whole.len()).step_by(11) {
        let mut damaged = whole.clone();
        damaged[position] ^= 0x55;
        if let Err(error) = host.load_bytes("guest", &damaged, World::Renderer) {
            assert!(!error.to_string().is_empty());
        }
    }
}

#[test]
fn because_it_asks_for_more_instances_and_memories_than_one_may_have() {
    let memories = "(memory 1)".repeat(9);
    let text = renderer_text("", &memories, "(call $ok (i32.const 0) (i32.const 0))");
    let error = host().load_bytes("guest", &component(World::Renderer, &text), World::Renderer).unwrap_err();
    assert!(error.to_string().contains("memories"), "{error}");
}

#[test]
fn because_it_wants_to_share_memory_between_threads() {
    let text = renderer_text("", "(memory 1 1 shared)", "(call $ok (i32.const 0) (i32.const 0))");
    let error = host().load_bytes("guest", &component(World::Renderer, &text), World::Renderer).unwrap_err();
    assert!(error.to_string().contains("shared"), "{error}");
}
