use std::sync::Arc;

use plumb_api::Sensitive;
use plumb_tree::{Memory, Tree, View};

use crate::at;

fn tree(key: &str) -> Memory {
    let tree = Memory::new().with_file(&at("key.enc"), key).with_file(&at("other"), "plain");
    tree.with_link(&at("link"), "key.enc")
}

#[test]
fn files_that_were_decrypted_are_seen_by_every_way_to_them_and_the_record_has_what_is_there() {
    let view = View::new(Arc::new(tree("encrypted")), 1 << 20);
    let shown = view.replacing([(at("key.enc"), Sensitive::new(b"hunter2".to_vec()))]);
    assert_eq!(shown.read("key.enc").unwrap(), b"hunter2");
    assert_eq!(shown.read("./link").unwrap(), b"hunter2");
    assert_eq!(shown.stat("link").unwrap().size, 7);
    assert_eq!(shown.read("other").unwrap(), b"plain");
    assert!(!format!("{shown:?}").contains("hunter2"));
    assert_eq!(view.read("key.enc").unwrap(), b"encrypted");

    let record = view.record();
    assert_eq!(record, shown.record());
    assert!(record.holds_for(&tree("encrypted")) && !record.holds_for(&tree("changed")));
    let as_it_was: Arc<dyn Tree> = Arc::new(tree("encrypted"));
    let again = View::new(as_it_was, 1 << 20);
    for path in ["key.enc", "./link", "other"] {
        again.stat(path).unwrap();
        again.read(path).unwrap();
    }
    assert_eq!(again.record(), record, "the record tells nothing of the other bytes");
}
