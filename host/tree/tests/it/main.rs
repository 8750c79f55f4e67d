//! The rules of a tree, told from outside.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod a_directory_of_the_disk_cannot_be_left;
mod a_record_holds_while_its_answers_do;
mod a_selection_hides_what_is_left_out;
mod a_view_can_show_other_bytes;
mod a_view_follows_links_inside_the_root_only;
mod paths_are_normal;
mod what_is_mounted_hides_what_was_there;

use std::collections::BTreeMap;

use plumb_tree::{ContentId, EntryKind, Memory, Tree, TreePath};
use proptest::prelude::*;

fn at(path: &str) -> TreePath {
    TreePath::new(path).unwrap()
}

/// A tree of `PATH = BYTES` files and `PATH -> TARGET` links.
fn memory(items: &[&str]) -> Memory {
    items.iter().fold(Memory::new(), |tree, item| match item.split_once(" -> ") {
        Some((path, target)) => tree.with_link(&at(path), target),
        None => {
            let (path, bytes) =
                item.split_once(" = ").expect("an item is `PATH = BYTES` or `PATH -> TARGET`");
            tree.with_file(&at(path), bytes)
        }
    })
}

/// A tree of up to 12 files and links with few different names, so that they get in each other's way.
fn any_tree() -> impl Strategy<Value = Memory> {
    let item = (any_path(), 0u8..4, any::<bool>());
    proptest::collection::vec(item, 0..12).prop_map(|items| {
        items.into_iter().fold(Memory::new(), |tree, (path, bytes, is_link)| match is_link {
            true => tree.with_link(&path, &format!("target-{bytes}")),
            false => tree.with_file(&path, [bytes]),
        })
    })
}

/// A path of one to four parts.
fn any_path() -> impl Strategy<Value = TreePath> {
    proptest::collection::vec("[abc]", 1..5).prop_map(|parts| at(&parts.join("/")))
}

/// Everything in a tree, found by listing it, with the ids of files and links. On the way, all questions have to have answers that agree.
fn contents(tree: &dyn Tree) -> BTreeMap<String, (EntryKind, Option<ContentId>)> {
    let (mut found, mut ahead) = (BTreeMap::new(), vec![TreePath::root()]);
    while let Some(directory) = ahead.pop() {
        assert_eq!(tree.kind(&directory), Ok(Some(EntryKind::Directory)));
        let entries = tree.list(&directory).unwrap();
        assert!(entries.is_sorted_by(|a, b| a.name < b.name), "{entries:?}");
        for entry in entries {
            let path = directory.join(&entry.name).unwrap();
            assert_eq!(tree.kind(&path), Ok(Some(entry.kind)));
            let id = match entry.kind {
                EntryKind::File => {
                    let bytes = tree.read(&path, 9).unwrap();
                    assert_eq!(tree.size(&path), Ok(bytes.len() as u64));
                    assert_eq!(tree.id(&path), Ok(ContentId::of_bytes(&bytes)));
                    Some(tree.id(&path).unwrap())
                }
                EntryKind::Link => {
                    tree.read_link(&path).unwrap();
                    Some(tree.id(&path).unwrap())
                }
                EntryKind::Directory => {
                    ahead.push(path.clone());
                    None
                }
                EntryKind::Opaque => None,
            };
            found.insert(path.to_string(), (entry.kind, id));
        }
    }
    found
}
