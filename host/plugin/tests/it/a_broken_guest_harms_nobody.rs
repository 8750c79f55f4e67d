use plumb_plugin::{Call, CallError};
use plumb_tree::{ContentId, Entry, EntryKind, Tree, TreeError, TreePath};
use rstest::rstest;
use serde_json::json;

use crate::guest::{hostile, load, no_files, view_of};

#[rstest]
#[case::a_panic(
    "(func $panic_at_the_door unreachable)",
    "(call $panic_at_the_door)",
    "it gave up, as a panic does (`unreachable` was executed)",
    &["panic_at_the_door", "render"]
)]
#[case::endless_recursion(
    "(func $deep (param i32) (result i32) (i32.add (call $deep (local.get 0)) (i32.const 1)))",
    "(drop (call $deep (i32.const 0)))",
    "its calls nest too deep; its stack of 1024 KiB is used up",
    &["deep", "deep", "deep", "deep", "deep"]
)]
#[case::memory_out_of_bounds("", "(i32.store (i32.const -8) (i32.const 0))", "out of bounds memory access", &["render"])]
#[case::division_by_zero("", "(drop (i32.div_u (i32.const 1) (i32.const 0)))", "integer divide by zero", &["render"])]
#[case::a_handle_that_is_kept(
    "",
    "(return (call $ok (i32.const 0) (i32.const 0)))",
    "it returned without dropping the handle of the tree; a borrowed handle must be dropped before the call ends",
    &[]
)]
#[case::a_handle_that_is_dropped_twice(
    "",
    "(call $drop_dir (local.get $root)) (call $drop_dir (local.get $root))",
    "unknown handle index 1",
    &["render"]
)]
#[case::a_handle_that_was_never_given(
    "",
    "(call $stat (i32.const 77) (i32.const 0) (i32.const 0) (i32.const 64))",
    "unknown handle index 77",
    &["render"]
)]
#[case::text_that_is_not_utf8(
    r#"(data (i32.const 1024) "secret\ff")"#,
    "(call $drop_dir (local.get $root))
     (call $one (i32.const 1024) (i32.const 7))
     (return (call $ok (i32.const 32) (i32.const 1)))",
    "invalid utf-8 sequence of 1 bytes from index 6",
    &[]
)]
#[case::a_list_outside_its_memory(
    "",
    "(call $drop_dir (local.get $root))
     (return (call $ok (i32.const 0x7fffff00) (i32.const 100)))",
    "list pointer/length out of bounds of memory",
    &[]
)]
fn and_the_error_says_what_happened(
    #[case] items: &str,
    #[case] evil: &str,
    #[case] expected: &str,
    #[case] expected_frames: &[&str],
) {
    let plugin = load(&hostile(items, evil));
    for _ in 0..2 {
        let error = plugin.render(no_files(), &json!({"be": "evil"}), &Call::default()).unwrap_err();
        let CallError::Trapped { reason, mut frames } = error else { panic!("{error:?}") };
        assert_eq!(reason, expected);
        // What `wit-component` puts between the guest and the host has no names.
        frames.retain(|frame| !frame.starts_with("function "));
        assert_eq!(frames, expected_frames);
        assert!(
            plugin.render(no_files(), &json!({}), &Call::default()).unwrap().is_empty(),
            "the next call is unharmed"
        );
    }
}

#[test]
fn the_message_names_the_functions() {
    let plugin = load(&hostile("(func $inner unreachable)", "(call $inner)"));
    let error = plugin.render(no_files(), &json!({"be": "evil"}), &Call::default()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the plugin broke down: it gave up, as a panic does (`unreachable` was executed) (in inner, called by render)"
    );
}

/// A store of files with a fault.
#[derive(Debug)]
enum Faulty {
    Damaged,
    Panics,
}

impl Tree for Faulty {
    fn kind(&self, path: &TreePath) -> Result<Option<EntryKind>, TreeError> {
        match self {
            Self::Damaged => {
                Err(TreeError::Failed { path: path.to_string(), reason: "a pack is damaged".to_owned() })
            }
            Self::Panics => panic!("a mistake in the host"),
        }
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

/// Looks at a file, and takes no notice of the answer.
fn careless() -> Vec<u8> {
    hostile(
        r#"(data (i32.const 1024) "file")"#,
        "(call $stat (local.get $root) (i32.const 1024) (i32.const 4) (i32.const 64))",
    )
}

#[test]
fn a_damaged_store_is_never_taken_for_an_empty_result() {
    let error = load(&careless())
        .render(view_of(Faulty::Damaged), &json!({"be": "evil"}), &Call::default())
        .unwrap_err();
    assert_eq!(error.to_string(), "the files could not be read: \"file\" cannot be read: a pack is damaged");
    assert!(matches!(error, CallError::Tree(_)));
}

// Attack 27 (Plugins): a panic in a host function.
#[test]
fn a_panic_of_the_host_itself_is_an_error_and_leaves_the_next_call_unharmed() {
    let plugin = load(&careless());
    let error = plugin.render(view_of(Faulty::Panics), &json!({"be": "evil"}), &Call::default()).unwrap_err();
    assert!(matches!(error, CallError::Tree(_)), "{error:?}");
    assert!(plugin.render(no_files(), &json!({}), &Call::default()).unwrap().is_empty());
}
