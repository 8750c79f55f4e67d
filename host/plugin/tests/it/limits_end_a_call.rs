use std::thread::sleep;
use std::time::Duration;

use plumb_plugin::{Call, CallError, LimitKind, Limits, World};
use plumb_tree::{ContentId, Entry, EntryKind, Tree, TreeError, TreePath};
use rstest::rstest;
use serde_json::json;

use crate::guest::{echo, host, hostile, load, no_files, object, renderer, view_of};

fn limits(change: impl FnOnce(&mut Limits)) -> Limits {
    let mut limits = Limits::default();
    change(&mut limits);
    limits
}

/// Every guest is called three times: as a hostile one, as one that behaves, and as a hostile one again. After that the host still runs
/// another plugin.
#[rstest]
#[case::an_endless_loop("", "(loop $again (br $again))", limits(|l| l.wall_time = Duration::from_millis(50)), LimitKind::WallTime)]
#[case::an_endless_chain_of_calls(
    "(func $spin (param i32) (result i32)
       (local $n i32)
       (loop $again (local.set $n (call $less (local.get $n))) (br $again))
       (local.get $n))
     (func $less (param i32) (result i32) (i32.sub (local.get 0) (i32.const 1)))",
    "(drop (call $spin (i32.const 0)))",
    limits(|l| l.wall_time = Duration::from_millis(50)),
    LimitKind::WallTime
)]
#[case::memory_bit_by_bit(
    "",
    "(loop $again (drop (memory.grow (i32.const 16))) (br $again))",
    limits(|l| l.memory_bytes = 8 << 20),
    LimitKind::MemoryBytes
)]
#[case::all_memory_at_once(
    "",
    "(drop (memory.grow (i32.const 65000)))",
    Limits::default(),
    LimitKind::MemoryBytes
)]
#[case::a_huge_table(
    "(table $table 1 funcref)",
    "(drop (table.grow $table (ref.null func) (i32.const 100000000)))",
    Limits::default(),
    LimitKind::TableElements
)]
#[case::a_huge_string(
    "",
    "(drop (memory.grow (i32.const 64)))
     (call $drop_dir (local.get $root))
     (call $one (i32.const 0) (i32.const 4000000))
     (return (call $ok (i32.const 32) (i32.const 1)))",
    limits(|l| l.output_bytes = 1 << 20),
    LimitKind::OutputBytes
)]
#[case::the_same_string_again_and_again(
    "",
    "(local.set $len (i32.const 0))
     (loop $again
       (i32.store offset=8192 (local.get $len) (i32.const 65536))
       (i32.store offset=8196 (local.get $len) (i32.const 65536))
       (local.set $len (i32.add (local.get $len) (i32.const 8)))
       (br_if $again (i32.lt_u (local.get $len) (i32.const 16384))))
     (call $drop_dir (local.get $root))
     (return (call $ok (i32.const 8192) (i32.const 2048)))",
    Limits::default(),
    LimitKind::OutputBytes
)]
#[case::a_list_longer_than_memory_can_hold(
    "",
    "(drop (memory.grow (i32.const 4000)))
     (call $drop_dir (local.get $root))
     (return (call $ok (i32.const 0) (i32.const 16000000)))",
    Limits::default(),
    LimitKind::OutputBytes
)]
#[case::a_million_host_calls(
    "",
    "(local.set $len (i32.const 1000000))
     (loop $again
       (call $stat (local.get $root) (i32.const 0) (i32.const 1) (i32.const 64))
       (br_if $again (local.tee $len (i32.sub (local.get $len) (i32.const 1)))))",
    Limits::default(),
    LimitKind::HostCalls
)]
#[case::a_flood_of_messages(
    "",
    "(loop $again (call $log (i32.const 0) (i32.const 0) (i32.const 1000)) (br $again))",
    Limits::default(),
    LimitKind::LogBytes
)]
#[case::a_flood_of_empty_messages(
    "",
    "(loop $again (call $log (i32.const 0) (i32.const 0) (i32.const 0)) (br $again))",
    limits(|l| l.log_bytes = 1000),
    LimitKind::LogBytes
)]
#[case::a_message_of_megabytes(
    "",
    "(drop (memory.grow (i32.const 2000))) (call $log (i32.const 0) (i32.const 0) (i32.const 100000000))",
    Limits::default(),
    LimitKind::OutputBytes
)]
fn of_what_it_is_over(
    #[case] items: &str,
    #[case] evil: &str,
    #[case] limits: Limits,
    #[case] expected: LimitKind,
) {
    let host = host();
    let plugin = host.load_bytes("hostile", &hostile(items, evil), World::Renderer).unwrap();
    let call = Call { limits, ..Call::default() };
    for _ in 0..2 {
        let error = plugin.render(no_files(), &json!({"be": "evil"}), &call).unwrap_err();
        let CallError::Limit { which, limit, used } = error else { panic!("{error:?}") };
        assert_eq!(which, expected);
        assert!(used > limit, "{used} used, {limit} allowed");
        assert!(
            plugin.render(no_files(), &json!({}), &call).unwrap().is_empty(),
            "the next call is unharmed"
        );
    }
    let echo = host.load_bytes("echo", &echo(), World::Renderer).unwrap();
    let answer = echo.render(no_files(), &object("app").into_value(), &Call::default());
    assert_eq!(answer.unwrap(), [object("app")], "the host is unharmed");
}

#[test]
fn the_error_says_which_limit_and_how_much_was_used() {
    let plugin = load(&hostile("", "(drop (memory.grow (i32.const 62)))"));
    let call = Call { limits: limits(|l| l.memory_bytes = 1 << 20), ..Call::default() };
    let error = plugin.render(no_files(), &json!({"be": "evil"}), &call).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the plugin went over its limit of memory: 4194304 bytes used, 1048576 bytes allowed"
    );
}

#[test]
fn what_is_just_within_its_limits_is_fine() {
    // Two pages at the start, 62 more.
    let plugin = load(&hostile("", "(drop (memory.grow (i32.const 62)))"));
    let call = Call { limits: limits(|l| l.memory_bytes = 4 << 20), ..Call::default() };
    assert!(plugin.render(no_files(), &json!({"be": "evil"}), &call).unwrap().is_empty());
}

#[test]
fn the_memory_that_a_guest_starts_with_counts() {
    let plugin = load(&echo());
    let call = Call { limits: limits(|l| l.memory_bytes = 65536), ..Call::default() };
    let error = plugin.render(no_files(), &json!({}), &call).unwrap_err();
    assert!(
        matches!(error, CallError::Limit { which: LimitKind::MemoryBytes, used: 131_072, .. }),
        "{error:?}"
    );
}

/// Every question takes longer than the call may.
#[derive(Debug)]
struct Slow;

impl Tree for Slow {
    fn kind(&self, _: &TreePath) -> Result<Option<EntryKind>, TreeError> {
        sleep(Duration::from_millis(60));
        Ok(None)
    }
    fn list(&self, _: &TreePath) -> Result<Vec<Entry>, TreeError> {
        Ok(Vec::new())
    }
    fn size(&self, _: &TreePath) -> Result<u64, TreeError> {
        Ok(0)
    }
    fn id(&self, path: &TreePath) -> Result<ContentId, TreeError> {
        Err(TreeError::NotFound(path.to_string()))
    }
    fn read(&self, path: &TreePath, _: u64) -> Result<Vec<u8>, TreeError> {
        Err(TreeError::NotFound(path.to_string()))
    }
    fn read_link(&self, path: &TreePath) -> Result<String, TreeError> {
        Err(TreeError::NotFound(path.to_string()))
    }
}

#[test]
fn time_inside_the_host_counts() {
    // Two calls of the host, hardly anything in between.
    let guest = renderer(
        r#"(data (i32.const 1024) "file")"#,
        "(call $stat (local.get $root) (i32.const 1024) (i32.const 4) (i32.const 64))
         (call $stat (local.get $root) (i32.const 1024) (i32.const 4) (i32.const 64))
         (call $drop_dir (local.get $root))
         (call $ok (i32.const 0) (i32.const 0))",
    );
    let call = Call { limits: limits(|l| l.wall_time = Duration::from_millis(50)), ..Call::default() };
    let error = load(&guest).render(view_of(Slow), &json!({}), &call).unwrap_err();
    assert!(matches!(error, CallError::Limit { which: LimitKind::WallTime, .. }), "{error:?}");
}

#[test]
fn growth_that_the_guest_forbids_itself_does_not_count() {
    // A second memory of at most two pages, which never gets the third; the first can still grow.
    let guest = hostile(
        "(memory $small 1 2)",
        "(local.set $len (i32.const 100))
         (loop $again
           (if (i32.ne (memory.grow $small (i32.const 2)) (i32.const -1)) (then unreachable))
           (br_if $again (local.tee $len (i32.sub (local.get $len) (i32.const 1)))))
         (if (i32.eq (memory.grow (i32.const 10)) (i32.const -1)) (then unreachable))",
    );
    let call = Call { limits: limits(|l| l.memory_bytes = 1 << 20), ..Call::default() };
    assert!(load(&guest).render(no_files(), &json!({"be": "evil"}), &call).unwrap().is_empty());
}
