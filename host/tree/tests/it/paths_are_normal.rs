use plumb_tree::{InvalidPath, TreePath};
use proptest::prelude::*;
use rstest::rstest;

#[rstest]
#[case("", "")]
#[case(".", "")]
#[case("/", "")]
#[case("./", "")]
#[case("a", "a")]
#[case("/a", "a")]
#[case("./a/b/", "a/b")]
#[case("a//b", "a/b")]
#[case("a/./b", "a/b")]
#[case("a/../b", "b")]
#[case("a/b/../..", "")]
#[case("a b/ä", "a b/ä")]
#[case("...", "...")]
#[case("a\\..\\b", "a\\..\\b")]
fn a_path_is_read_as_people_write_it(#[case] written: &str, #[case] read: &str) {
    assert_eq!(TreePath::new(written).unwrap().as_str(), read);
}

#[rstest]
#[case("..")]
#[case("/..")]
#[case("a/../..")]
#[case("../a")]
#[case("a/../../a")]
fn a_path_above_the_root_is_refused(#[case] path: &str) {
    assert_eq!(TreePath::new(path), Err(InvalidPath::LeavesRoot(path.to_owned())));
}

#[test]
fn a_nul_byte_is_refused() {
    assert_eq!(TreePath::new("a\0b"), Err(InvalidPath::Nul("a\0b".to_owned())));
}

#[rstest]
#[case("clusters/production", "../../base", "base")]
#[case("clusters/production", "./app.yaml", "clusters/production/app.yaml")]
#[case("", "a", "a")]
#[case("a", "", "a")]
#[case("a", "/b", "a/b")]
fn a_relative_path_starts_where_one_stands(#[case] here: &str, #[case] relative: &str, #[case] there: &str) {
    assert_eq!(TreePath::new(here).unwrap().join(relative).unwrap().as_str(), there);
}

#[rstest]
#[case("a/b", Some("a"))]
#[case("a", Some(""))]
#[case("", None)]
fn the_parent_is_one_part_shorter(#[case] path: &str, #[case] parent: Option<&str>) {
    assert_eq!(TreePath::new(path).unwrap().parent(), parent.map(|parent| TreePath::new(parent).unwrap()));
}

fn written() -> impl Strategy<Value = String> {
    let part = prop_oneof![Just(""), Just("."), Just(".."), Just("a"), Just("b.yaml"), Just("...")];
    prop_oneof![prop::collection::vec(part, 0..8).prop_map(|parts| parts.join("/")), any::<String>()]
}

proptest! {
    #[test]
    fn a_path_that_was_read_is_normal(text in written()) {
        if let Ok(path) = TreePath::new(&text) {
            prop_assert!(path.parts().all(|part| !part.is_empty() && part != "." && part != ".."));
            prop_assert!(!path.as_str().starts_with('/') && !path.as_str().ends_with('/'));
            prop_assert!(!path.as_str().contains('\0'));
            prop_assert_eq!(TreePath::new(path.as_str()).unwrap(), path);
        }
    }

    #[test]
    fn joining_in_two_steps_is_joining_at_once(first in written(), second in written()) {
        let stepwise = TreePath::new(&first).ok().and_then(|path| path.join(&second).ok());
        let at_once = TreePath::new(&format!("{first}/{second}")).ok();
        prop_assert_eq!(stepwise, at_once);
    }
}
