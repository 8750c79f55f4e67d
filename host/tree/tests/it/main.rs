//! The rules of a tree, told from outside.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod a_directory_of_the_disk_cannot_be_left;
mod a_record_holds_while_its_answers_do;
mod a_view_follows_links_inside_the_root_only;
mod paths_are_normal;

use plumb_tree::{Memory, TreePath};

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
