use std::thread;
use std::time::Duration;

use plumb_plugin::{Call, CallError, Form, Host, HostConfig, LimitKind, LoadError, Plugin, World};
use rstest::rstest;
use serde_json::{Value, json};

use crate::guest::{component_of, host, identity, object};
use crate::heard::Heard;

/// A program for WASI that has its whole input, `$size` bytes, at 65536 when `body` begins. `$say` writes to a file descriptor.
fn program(imports: &str, items: &str, body: &str) -> Vec<u8> {
    let text = format!(
        r#"(module
          (import "wasi_snapshot_preview1" "fd_read" (func $fd_read (param i32 i32 i32 i32) (result i32)))
          (import "wasi_snapshot_preview1" "fd_write" (func $fd_write (param i32 i32 i32 i32) (result i32)))
          (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
          {imports}
          (memory (export "memory") 32)
          {items}
          (func $say (param $to i32) (param $text i32) (param $len i32)
            (loop $more
              (i32.store (i32.const 0) (local.get $text))
              (i32.store (i32.const 4) (local.get $len))
              (if (call $fd_write (local.get $to) (i32.const 0) (i32.const 1) (i32.const 8)) (then (call $exit (i32.const 9))))
              (local.set $text (i32.add (local.get $text) (i32.load (i32.const 8))))
              (local.set $len (i32.sub (local.get $len) (i32.load (i32.const 8))))
              (br_if $more (local.get $len))))
          (func (export "_start") (local $size i32)
            (block $end
              (loop $more
                (i32.store (i32.const 0) (i32.add (i32.const 65536) (local.get $size)))
                (i32.store (i32.const 4) (i32.const 65536))
                (br_if $end (call $fd_read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 8)))
                (br_if $end (i32.eqz (i32.load (i32.const 8))))
                (local.set $size (i32.add (local.get $size) (i32.load (i32.const 8))))
                (br $more)))
            {body}))"#
    );
    wat::parse_str(text).unwrap()
}

/// Writes what it reads.
fn echo() -> Vec<u8> {
    program("", "", "(call $say (i32.const 1) (i32.const 65536) (local.get $size))")
}

/// Writes a text, which is at 1024, to standard output, and its first ten bytes to standard error, and ends with a status.
fn saying(text: &str, status: u32) -> Vec<u8> {
    let bytes: String = text.bytes().map(|byte| format!("\\{byte:02x}")).collect();
    let (items, len) = (format!("(data (i32.const 1024) \"{bytes}\")"), text.len());
    let body = format!(
        "(call $say (i32.const 2) (i32.const 1024) (i32.const 10))
         (call $say (i32.const 1) (i32.const 1024) (i32.const {len}))
         (call $exit (i32.const {status}))"
    );
    program("", &items, &body)
}

fn load(guest: &[u8]) -> Plugin {
    host().load("fn", guest).unwrap()
}

#[test]
fn a_program_turns_objects_into_objects() {
    let plugin = load(&echo());
    assert_eq!(plugin.world(), World::KrmFunction);
    let (objects, call) = ([object("one"), object("two")], Call::default());
    assert_eq!(plugin.function(&objects, &json!({"tier": "web"}), &call).unwrap(), objects);
    assert!(call.used.usage().output_bytes > 100);
    assert!(call.used.usage().memory_bytes >= 32 * 65536);
    let error = plugin.transform(&objects, &Value::Null, &call).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the plugin was loaded as a krm-function and cannot be called as a transformer"
    );
}

#[test]
fn what_it_says_is_wrong_is_told() {
    let list = json!({"kind": "ResourceList", "items": [], "results": [
        {"severity": "error", "message": "no tier", "file": {"path": "web.yaml"}},
        {"severity": "warning", "message": "old"},
    ]});
    for status in [0, 1] {
        let call = Call::default();
        let error = load(&saying(&list.to_string(), status)).function(&[], &Value::Null, &call).unwrap_err();
        assert_eq!(error.to_string(), "web.yaml: no tier");
        assert_eq!(call.warnings.take(), ["old"]);
    }
}

#[test]
fn its_last_words_are_told_when_it_says_nothing_else() {
    let heard = Heard::default();
    let listening = heard.listen();
    let error =
        load(&saying("no such tier at all", 3)).function(&[], &Value::Null, &Call::default()).unwrap_err();
    drop(listening);
    assert_eq!(error.to_string(), "the function ended with status 3: no such ti");
    assert!(matches!(error, CallError::Reported(_)));
    assert!(heard.text().contains("no such ti"), "{}", heard.text());
}

// Attack 27 (Plugins): endless loops, memory, output and messages of a program for WASI; also waiting for a time that never comes.
#[rstest]
#[case::an_endless_loop("(loop $again (br $again))", LimitKind::WallTime)]
#[case::a_long_sleep(
    "(drop (call $poll (i32.const 256) (i32.const 512) (i32.const 1) (i32.const 600)))",
    LimitKind::WallTime
)]
#[case::memory("(drop (memory.grow (i32.const 30000)))", LimitKind::MemoryBytes)]
#[case::output(
    "(loop $again (call $say (i32.const 1) (i32.const 0) (i32.const 65536)) (br $again))",
    LimitKind::OutputBytes
)]
#[case::messages(
    "(loop $again (call $say (i32.const 2) (i32.const 0) (i32.const 65536)) (br $again))",
    LimitKind::LogBytes
)]
fn over_a_limit_it_is_ended(#[case] evil: &str, #[case] limit: LimitKind) {
    let poll = r#"(import "wasi_snapshot_preview1" "poll_oneoff" (func $poll (param i32 i32 i32 i32) (result i32)))"#;
    // A subscription to the monotonic clock, an hour from now.
    let items = r#"(data (i32.const 272) "\01") (data (i32.const 280) "\00\a0\b8\30\46\03\00\00")"#;
    let plugin = load(&program(poll, items, evil));
    let mut call = Call::default();
    call.limits.wall_time = Duration::from_millis(300);
    call.limits.output_bytes = 1 << 20;
    let error = plugin.function(&[], &Value::Null, &call).unwrap_err();
    assert!(matches!(&error, CallError::Limit { which, .. } if *which == limit), "{error:?}");
}

#[test]
fn it_can_be_cancelled_while_it_sleeps() {
    let poll = r#"(import "wasi_snapshot_preview1" "poll_oneoff" (func $poll (param i32 i32 i32 i32) (result i32)))"#;
    let items = r#"(data (i32.const 272) "\01") (data (i32.const 280) "\00\a0\b8\30\46\03\00\00")"#;
    let sleep = "(drop (call $poll (i32.const 256) (i32.const 512) (i32.const 1) (i32.const 600)))";
    let (plugin, call) = (load(&program(poll, items, sleep)), Call::default());
    thread::scope(|scope| {
        let waiting = scope.spawn(|| plugin.function(&[], &Value::Null, &call));
        call.cancelled.cancel();
        assert!(matches!(waiting.join().unwrap(), Err(CallError::Cancelled)));
    });
}

/// Writes what `call` left at 2048, as the name of an object.
fn telling(imports: &str, call: &str) -> Vec<u8> {
    let before = r#"{\22kind\22:\22ResourceList\22,\22items\22:[{\22apiVersion\22:\22v1\22,\22kind\22:\22ConfigMap\22,\22metadata\22:{\22name\22:\22"#;
    let items = format!(
        r#"(data (i32.const 1024) "{before}") (data (i32.const 1536) "\22}}}}]}}")
           (data (i32.const 1600) "0123456789abcdef")
           (func $hex (param $from i32) (param $count i32) (local $byte i32)
             (loop $more
               (local.set $byte (i32.load8_u (local.get $from)))
               (call $say (i32.const 1) (i32.add (i32.const 1600) (i32.shr_u (local.get $byte) (i32.const 4))) (i32.const 1))
               (call $say (i32.const 1) (i32.add (i32.const 1600) (i32.and (local.get $byte) (i32.const 15))) (i32.const 1))
               (local.set $from (i32.add (local.get $from) (i32.const 1)))
               (br_if $more (local.tee $count (i32.sub (local.get $count) (i32.const 1))))))"#
    );
    let len = before.replace("\\22", "\"").len();
    let body = format!(
        "{call}
         (call $say (i32.const 1) (i32.const 1024) (i32.const {len}))
         (call $hex (i32.const 2048) (i32.const 16))
         (call $say (i32.const 1) (i32.const 1536) (i32.const 5))"
    );
    program(imports, &items, &body)
}

fn told(guest: &[u8]) -> String {
    let objects = load(guest).function(&[], &Value::Null, &Call::default()).unwrap();
    objects[0].name().to_owned()
}

// Attack 27 (Plugins): non-determinism by the clock and random numbers.
#[test]
fn the_clock_stands_still_and_random_numbers_are_always_the_same() {
    let clock = telling(
        r#"(import "wasi_snapshot_preview1" "clock_time_get" (func $clock (param i32 i64 i32) (result i32)))"#,
        "(drop (call $clock (i32.const 0) (i64.const 1) (i32.const 2048)))
         (drop (call $clock (i32.const 1) (i64.const 1) (i32.const 2056)))",
    );
    // A second in nanoseconds, twice.
    assert_eq!(told(&clock), "00ca9a3b0000000000ca9a3b00000000");
    let random = telling(
        r#"(import "wasi_snapshot_preview1" "random_get" (func $random (param i32 i32) (result i32)))"#,
        "(drop (call $random (i32.const 2048) (i32.const 16)))",
    );
    let (first, second) = (told(&random), told(&random));
    assert_eq!(first, second);
    assert_ne!(first, "0".repeat(32));
}

// Attack 27 (Plugins): arguments, variables and preopened directories.
#[test]
fn there_is_nothing_around_it() {
    let imports = r#"
        (import "wasi_snapshot_preview1" "environ_sizes_get" (func $environ (param i32 i32) (result i32)))
        (import "wasi_snapshot_preview1" "args_sizes_get" (func $args (param i32 i32) (result i32)))
        (import "wasi_snapshot_preview1" "fd_prestat_get" (func $prestat (param i32 i32) (result i32)))"#;
    let call = "
        (drop (call $environ (i32.const 2048) (i32.const 3000)))
        (drop (call $args (i32.const 2052) (i32.const 3000)))
        (i32.store (i32.const 2056) (call $prestat (i32.const 3) (i32.const 3000)))";
    // No variable; one argument, which is the program's name; 8 is `badf`: there is no third file.
    assert_eq!(told(&telling(imports, call)), "00000000010000000800000000000000");
}

#[test]
fn each_call_has_an_instance_of_its_own() {
    let count = "
        (i32.store8 (i32.const 2048) (global.get $runs))
        (global.set $runs (i32.add (global.get $runs) (i32.const 1)))";
    let guest = telling("(global $runs (mut i32) (i32.const 1))", count);
    let plugin = load(&guest);
    for _ in 0..2 {
        let objects = plugin.function(&[], &Value::Null, &Call::default()).unwrap();
        assert_eq!(objects[0].name(), "01000000000000000000000000000000");
    }
}

#[test]
fn a_program_is_kept_compiled_as_a_component_is() {
    let directory = tempfile::tempdir().unwrap();
    let compilations = || {
        let heard = Heard::default();
        let _listening = heard.listen();
        let config = HostConfig { cache_dir: Some(directory.path().join("cache")), ..HostConfig::default() };
        let plugin = Host::new(config).unwrap().load("fn", &echo()).unwrap();
        assert!(plugin.function(&[], &Value::Null, &Call::default()).unwrap().is_empty());
        heard.compilations()
    };
    assert_eq!((compilations(), compilations()), (1, 0));
}

#[rstest]
#[case::another_import(
    r#"(module (import "env" "system" (func)) (import "wasi_snapshot_preview1" "fd_write" (func (param i32 i32 i32 i32) (result i32)))
        (memory (export "memory") 1) (func (export "_start")))"#,
    "the plugin fn does not fit the world krm-function: it imports what is not allowed there: env"
)]
#[case::a_function_that_wasi_does_not_have(
    r#"(module (import "wasi_snapshot_preview1" "format_disk" (func)) (memory (export "memory") 1) (func (export "_start")))"#,
    "the plugin fn does not fit the world krm-function: unknown import: `wasi_snapshot_preview1::format_disk` has not been defined; \
     build it with the WIT files of this version"
)]
fn a_program_that_wants_more_is_refused(#[case] text: &str, #[case] message: &str) {
    assert_eq!(host().load("fn", &wat::parse_str(text).unwrap()).unwrap_err().to_string(), message);
}

#[test]
fn a_program_is_no_renderer_and_a_transformer_is_no_program() {
    let error = host().load_bytes("fn", &echo(), World::Renderer).unwrap_err();
    assert!(error.to_string().contains("it seems to be made for the world krm-function"), "{error}");
    let error = host().load_bytes("fn", &identity(), World::KrmFunction).unwrap_err();
    assert!(matches!(error, LoadError::Misfit { .. }), "{error:?}");
}

#[test]
fn what_a_plugin_is_can_be_told_without_running_it() {
    let host = host();
    let inspection = host.inspect("fn", &echo()).unwrap();
    assert_eq!((inspection.form, inspection.worlds), (Form::Module, vec![World::KrmFunction]));
    assert_eq!(inspection.imports, ["wasi_snapshot_preview1"]);
    assert_eq!(inspection.bytes, echo().len() as u64);
    let inspection = host.inspect("identity", &identity()).unwrap();
    assert_eq!((inspection.form, inspection.worlds), (Form::Component, vec![World::Transformer]));
    assert!(inspection.wants.is_empty());
    assert_eq!(inspection.digest, plumb_tree::ContentId::of_bytes(&identity()).as_str());
    assert!(
        inspection.producers.iter().any(|tool| tool.name == "wit-component"),
        "{:?}",
        inspection.producers
    );
}

#[test]
fn the_world_is_found_when_there_is_one() {
    assert_eq!(host().detect("identity", &identity()).unwrap(), World::Transformer);
    let nothing = wat::parse_str("(component)").unwrap();
    assert_eq!(
        host().detect("nothing", &nothing).unwrap_err().to_string(),
        "the plugin nothing is made for none of the worlds; it exports nothing"
    );
    let wit = "
        package test:both;
        world both { include plumbline:plugin/transformer@0.1.0; include plumbline:plugin/validator@0.1.0; }
    ";
    let text = r#"(module
        (memory (export "memory") 1)
        (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) unreachable)
        (func (export "plumbline:plugin/transform@0.1.0#transform") (param i32 i32 i32 i32) (result i32) unreachable)
        (func (export "plumbline:plugin/validate@0.1.0#validate") (param i32 i32 i32 i32) (result i32) unreachable))"#;
    assert_eq!(
        host().load("both", &component_of(wit, "both", text)).unwrap_err().to_string(),
        "the plugin both can be used in several worlds; say in which: transformer, validator"
    );
}
