use std::sync::Arc;

use plumb_tree::{EntryKind, Memory, Mounted, Tree, TreeError, TreePath, View};
use proptest::prelude::*;
use rstest::rstest;

use crate::{any_path, any_tree, at, contents, memory};

fn base() -> Memory {
    memory(&["app/app.yaml = app", "lib/old.yaml = old", "link -> app", "README.md = hello"])
}

fn other() -> Memory {
    memory(&["deploy/web.yaml = web", "deploy/up -> ../secret", "secret = hidden"])
}

fn mounted(place: &str, directory: &str) -> Mounted {
    Mounted::new(Arc::new(base()), at(place), Arc::new(other()), at(directory)).unwrap()
}

#[rstest]
#[case::a_new_place("lib/other", "", &["README.md", "app/app.yaml", "lib/old.yaml", "lib/other/deploy/up", "lib/other/deploy/web.yaml", "lib/other/secret", "link"])]
#[case::deep("x/y/z", "deploy", &["README.md", "app/app.yaml", "lib/old.yaml", "link", "x/y/z/up", "x/y/z/web.yaml"])]
#[case::in_the_place_of_a_directory("lib", "deploy", &["README.md", "app/app.yaml", "lib/up", "lib/web.yaml", "link"])]
#[case::in_the_place_of_a_file("README.md", "deploy", &["README.md/up", "README.md/web.yaml", "app/app.yaml", "lib/old.yaml", "link"])]
#[case::below_a_link("link/new", "deploy", &["README.md", "app/app.yaml", "lib/old.yaml", "link/new/up", "link/new/web.yaml"])]
#[case::below_a_file("app/app.yaml/x", "deploy", &["README.md", "app/app.yaml/x/up", "app/app.yaml/x/web.yaml", "lib/old.yaml", "link"])]
#[case::all_of_it("", "deploy", &["up", "web.yaml"])]
fn a_directory_appears(#[case] place: &str, #[case] directory: &str, #[case] expected: &[&str]) {
    let mut found = contents(&mounted(place, directory));
    found.retain(|_, (kind, _)| *kind != EntryKind::Directory);
    assert_eq!(found.into_keys().collect::<Vec<_>>(), expected);
}

#[rstest]
#[case("secret", TreeError::NotADirectory("secret".to_owned()))]
#[case("nothing", TreeError::NotFound("nothing".to_owned()))]
fn only_a_directory_is_mounted(#[case] directory: &str, #[case] error: TreeError) {
    let failed = Mounted::new(Arc::new(base()), at("x"), Arc::new(other()), at(directory));
    assert_eq!(failed.unwrap_err(), error);
}

#[test]
fn errors_name_the_path_that_was_asked_for() {
    let tree = mounted("lib", "deploy");
    assert_eq!(tree.read(&at("lib/nothing"), 9), Err(TreeError::NotFound("lib/nothing".to_owned())));
    assert_eq!(tree.read(&at("lib"), 9), Err(TreeError::IsADirectory("lib".to_owned())));
    let too_large = TreeError::TooLarge { path: "lib/web.yaml".to_owned(), size: 3, limit: 2 };
    assert_eq!(tree.read(&at("lib/web.yaml"), 2), Err(too_large));
}

/// Attack 2 (Sources): a link leads through the tree as it is seen; what is beside the mounted directory cannot be reached.
#[test]
fn a_link_cannot_reach_what_is_beside_the_mounted_directory() {
    let view = View::new(Arc::new(mounted("lib", "deploy")), 99);
    assert_eq!(view.read("lib/web.yaml").unwrap(), b"web");
    assert_eq!(view.read("lib/up"), Err(TreeError::NotFound("lib/up".to_owned())));
}

#[test]
fn a_record_holds_when_other_files_of_either_tree_change() {
    let view = View::new(Arc::new(mounted("lib", "deploy")), 99);
    view.read("lib/web.yaml").unwrap();
    view.read("app/app.yaml").unwrap();
    let record = view.record();
    let holds = |base: Memory, other: Memory| {
        let tree = Mounted::new(Arc::new(base), at("lib"), Arc::new(other), at("deploy")).unwrap();
        record.holds_for(&tree)
    };
    assert!(holds(base(), other()));
    assert!(holds(
        base().with_file(&at("lib/old.yaml"), "changed"),
        other().with_file(&at("secret"), "changed")
    ));
    assert!(!holds(base().with_file(&at("app/app.yaml"), "changed"), other()));
    assert!(!holds(base(), other().with_file(&at("deploy/web.yaml"), "changed")));
}

proptest! {
    #[test]
    fn it_is_the_tree_with_a_directory_replaced(base in any_tree(), tree in any_tree(), place in any_path()) {
        let is_in = |path: &str, directory: &str| format!("{path}/").starts_with(&format!("{directory}/"));
        let mut expected = contents(&base);
        expected.retain(|path, (kind, _)| {
            !is_in(path, place.as_str())
                && (*kind == EntryKind::Directory || !is_in(place.as_str(), path))
        });
        for way in std::iter::successors(Some(place.clone()), TreePath::parent).filter(|way| !way.is_root()) {
            expected.insert(way.to_string(), (EntryKind::Directory, None));
        }
        for (path, item) in contents(&tree) {
            expected.insert(format!("{place}/{path}"), item);
        }
        let mounted = Mounted::new(Arc::new(base), place, Arc::new(tree), TreePath::root()).unwrap();
        prop_assert_eq!(contents(&mounted), expected);
    }
}
