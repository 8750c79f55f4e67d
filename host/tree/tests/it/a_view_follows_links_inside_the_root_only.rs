use std::sync::Arc;

use plumb_tree::{NodeKind, TreeError, View};
use rstest::rstest;

use crate::{at, memory};

const LIMIT: u64 = 16;

fn view() -> View {
    let tree = memory(&[
        "base/app.yaml = app",
        "base/deep/more.yaml = more",
        "large.bin = 12345678901234567",
        "full.bin = 1234567890123456",
        "overlay/app.yaml -> ../base/app.yaml",
        "overlay/base -> ../base",
        "overlay/top -> ..",
        "chain/1 -> 2",
        "chain/2 -> 3",
        "chain/3 -> ../overlay/base/deep",
        "loop/a -> b",
        "loop/b -> a",
        "self -> self/x",
        "out/above -> ../..",
        "out/secret -> ../../etc/passwd",
        "out/absolute -> /base/app.yaml",
        "out/there-and-back -> ../../root/base/app.yaml",
        "out/dead -> nothing",
        "out/through-a-file -> ../base/app.yaml/x",
        "out/back-from-a-file -> ../base/app.yaml/../app.yaml",
        "out/nul -> base\0",
        "out/empty -> ",
    ]);
    View::new(Arc::new(tree), LIMIT)
}

#[rstest]
#[case::a_file("base/app.yaml", "app")]
#[case::written_otherwise("/base/./deep/../app.yaml", "app")]
#[case::a_link_to_a_file("overlay/app.yaml", "app")]
#[case::a_file_below_a_link_to_a_directory("overlay/base/deep/more.yaml", "more")]
#[case::a_chain("chain/1/more.yaml", "more")]
#[case::up_from_where_the_link_leads("chain/1/../app.yaml", "app")]
#[case::a_link_to_the_root("overlay/top/base/app.yaml", "app")]
#[case::as_large_as_the_limit("full.bin", "1234567890123456")]
fn a_file_is_read(#[case] path: &str, #[case] bytes: &str) {
    assert_eq!(view().read(path), Ok(bytes.as_bytes().to_vec()));
    assert_eq!(
        view().stat(path).map(|node| (node.kind, node.size)),
        Ok((NodeKind::File, bytes.len() as u64))
    );
}

#[rstest]
#[case("..")]
#[case("base/../../base/app.yaml")]
#[case("overlay/top/../base/app.yaml")]
#[case("loop/a")]
#[case("loop/a/x")]
#[case("self")]
#[case("out/above")]
#[case("out/above/root/base/app.yaml")]
#[case("out/secret")]
#[case("out/absolute")]
#[case("out/there-and-back")]
#[case("out/nul")]
fn what_leaves_the_root_or_never_ends_is_denied(#[case] path: &str) {
    let denied = TreeError::Denied(path.to_owned());
    assert_eq!(view().read(path), Err(denied.clone()));
    assert_eq!(view().stat(path), Err(denied.clone()));
    assert_eq!(view().list(path), Err(denied));
}

#[rstest]
#[case("nothing")]
#[case("base/app.yaml/x")]
#[case("base/app.yaml/../app.yaml")]
#[case("out/dead")]
#[case("out/through-a-file")]
#[case("out/back-from-a-file")]
#[case("base/app.yaml\0")]
fn what_is_not_there_is_not_found(#[case] path: &str) {
    let not_found = TreeError::NotFound(path.to_owned());
    assert_eq!(view().read(path), Err(not_found.clone()));
    assert_eq!(view().stat(path), Err(not_found.clone()));
    assert_eq!(view().list(path), Err(not_found));
}

#[rstest]
#[case(39, true)]
#[case(40, true)]
#[case(41, false)]
fn as_many_links_are_followed_as_on_linux(#[case] links: usize, #[case] followed: bool) {
    let mut items = vec!["0 = end".to_owned()];
    items.extend((1..=links).map(|link| format!("{link} -> {}", link - 1)));
    let items: Vec<&str> = items.iter().map(String::as_str).collect();
    let read = View::new(Arc::new(memory(&items)), LIMIT).read(&links.to_string());
    assert_eq!(read.is_ok(), followed, "{read:?}");
}

#[test]
fn a_file_beyond_the_limit_is_not_handed_out() {
    let too_large = TreeError::TooLarge { path: "large.bin".to_owned(), size: 17, limit: LIMIT };
    assert_eq!(view().read("large.bin"), Err(too_large));
    assert_eq!(view().stat("large.bin").unwrap().size, 17);
}

#[test]
fn a_directory_is_listed_with_links_followed() {
    let kinds = |path: &str| {
        let entries = view().list(path).unwrap();
        entries.into_iter().map(|entry| format!("{:?} {}", entry.kind, entry.name)).collect::<Vec<_>>()
    };
    assert_eq!(kinds("overlay"), ["File app.yaml", "Directory base", "Directory top"]);
    assert_eq!(kinds("overlay/base"), ["File app.yaml", "Directory deep"]);
    assert_eq!(kinds("loop"), ["Opaque a", "Opaque b"]);
    // An empty target names the directory that the link is in, as an empty path names the root.
    assert_eq!(kinds("out").iter().filter(|entry| !entry.starts_with("Opaque")).count(), 1);
    assert_eq!(view().list("base/app.yaml"), Err(TreeError::NotADirectory("base/app.yaml".to_owned())));
    assert_eq!(view().read("overlay/base"), Err(TreeError::IsADirectory("overlay/base".to_owned())));
}

#[test]
fn stat_says_where_a_path_leads() {
    assert_eq!(view().stat("chain/1/more.yaml").unwrap().resolved, at("base/deep/more.yaml"));
    assert_eq!(view().stat("overlay/base/..").unwrap().resolved, at(""));
    assert_eq!(view().stat("").unwrap().kind, NodeKind::Directory);
}
