use std::fs;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use plumb_tree::{ContentId, Directory, EntryKind, NodeKind, Tree as _, TreeError, View};
use proptest::prelude::*;
use tempfile::TempDir;

use crate::at;

/// A directory `root`, and beside it one that must not be seen.
fn outside_and_root() -> TempDir {
    let dir = TempDir::new().unwrap();
    fs::create_dir_all(dir.path().join("root/a/b")).unwrap();
    fs::create_dir_all(dir.path().join("outside")).unwrap();
    fs::write(dir.path().join("outside/secret"), "secret").unwrap();
    fs::write(dir.path().join("root/a/b/file"), "bytes").unwrap();
    dir
}

fn open(dir: &TempDir) -> Directory {
    Directory::open(&dir.path().join("root")).unwrap()
}

fn view(dir: &TempDir) -> View {
    View::new(Arc::new(open(dir)), 1024)
}

#[test]
fn files_and_links_inside_are_read() {
    let dir = outside_and_root();
    symlink("a/b", dir.path().join("root/short")).unwrap();
    assert_eq!(view(&dir).read("short/file").unwrap(), b"bytes");
    let names: Vec<_> =
        view(&dir).list("").unwrap().into_iter().map(|entry| (entry.name, entry.kind)).collect();
    assert_eq!(names, [("a".to_owned(), NodeKind::Directory), ("short".to_owned(), NodeKind::Directory)]);
    assert_eq!(open(&dir).id(&at("a/b/file")).unwrap(), ContentId::of_bytes(b"bytes"));
    assert_eq!(open(&dir).size(&at("a/b/file")), Ok(5));
}

#[test]
fn links_that_lead_out_are_denied() {
    let dir = outside_and_root();
    symlink("../outside", dir.path().join("root/relative")).unwrap();
    symlink(dir.path().join("outside"), dir.path().join("root/absolute")).unwrap();
    symlink("../../../outside/secret", dir.path().join("root/a/b/file-link")).unwrap();
    for path in ["relative/secret", "absolute/secret", "a/b/file-link", "../outside/secret"] {
        assert_eq!(view(&dir).read(path), Err(TreeError::Denied(path.to_owned())));
    }
}

#[test]
fn a_tree_has_nothing_below_a_link() {
    let dir = outside_and_root();
    symlink("a", dir.path().join("root/link")).unwrap();
    symlink("../outside", dir.path().join("root/out")).unwrap();
    for path in ["link/b", "link/b/file", "out/secret"] {
        assert_eq!(open(&dir).kind(&at(path)), Ok(None), "{path}");
        assert_eq!(open(&dir).read(&at(path), 1024), Err(TreeError::NotFound(path.to_owned())));
        assert_eq!(open(&dir).list(&at(path)), Err(TreeError::NotFound(path.to_owned())));
    }
    assert_eq!(open(&dir).read(&at("link"), 1024), Err(TreeError::NotFound("link".to_owned())));
}

#[test]
fn pipes_and_sockets_are_never_opened() {
    let dir = outside_and_root();
    let (pipe, socket) = (dir.path().join("root/pipe"), dir.path().join("root/socket"));
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let _listener = UnixListener::bind(&socket).unwrap();
    for path in ["pipe", "socket"] {
        assert_eq!(open(&dir).kind(&at(path)), Ok(Some(EntryKind::Opaque)));
        assert_eq!(view(&dir).read(path), Err(TreeError::NotFound(path.to_owned())));
        assert_eq!(open(&dir).read(&at(path), 1024), Err(TreeError::NotFound(path.to_owned())));
        assert_eq!(open(&dir).id(&at(path)), Err(TreeError::NotFound(path.to_owned())));
    }
}

#[test]
fn a_file_beyond_the_limit_is_not_handed_out() {
    let dir = outside_and_root();
    let too_large = TreeError::TooLarge { path: "a/b/file".to_owned(), size: 5, limit: 4 };
    assert_eq!(open(&dir).read(&at("a/b/file"), 4), Err(too_large));
    assert_eq!(open(&dir).read(&at("a/b/file"), 5).unwrap(), b"bytes");
}

#[test]
fn what_a_directory_is_not_is_said() {
    let dir = outside_and_root();
    assert_eq!(open(&dir).read(&at("a"), 9), Err(TreeError::IsADirectory("a".to_owned())));
    assert_eq!(open(&dir).list(&at("a/b/file")), Err(TreeError::NotADirectory("a/b/file".to_owned())));
    assert_eq!(open(&dir).list(&at("none")), Err(TreeError::NotFound("none".to_owned())));
    assert_eq!(open(&dir).read_link(&at("a/b/file")), Err(TreeError::NotFound("a/b/file".to_owned())));
}

/// Files and links at random in directories `a`, `b`, `c`; a link leads up, down, to itself, nowhere.
fn populate(root: &Path, items: &[(String, Option<String>)]) {
    for (path, target) in items {
        let path = root.join(path);
        // An item whose place is taken, or whose parent is not a directory, is left out.
        if path.parent().is_some_and(|parent| parent.is_symlink() || fs::create_dir_all(parent).is_err()) {
            continue;
        }
        let _ = match target {
            Some(target) => symlink(target, &path),
            None => fs::write(&path, path.to_string_lossy().as_bytes()),
        };
    }
}

fn relative() -> impl Strategy<Value = String> {
    prop::collection::vec(prop::sample::select(vec!["a", "b", "c", ".."]), 1..5)
        .prop_map(|parts| parts.join("/"))
}

fn place() -> impl Strategy<Value = String> {
    prop::collection::vec(prop::sample::select(vec!["a", "b", "c"]), 1..3).prop_map(|parts| parts.join("/"))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// The kernel is the oracle: what it finds below the root, and only that, is read.
    #[test]
    fn links_lead_where_the_kernel_says(
        items in prop::collection::vec((place(), prop::option::of(relative())), 1..12),
        paths in prop::collection::vec(relative(), 1..12),
    ) {
        let dir = TempDir::new().unwrap();
        let root = dir.path().canonicalize().unwrap().join("root");
        fs::create_dir(&root).unwrap();
        populate(&root, &items);
        let view = View::new(Arc::new(Directory::open(&root).unwrap()), 4096);
        for path in paths {
            let expected = root.join(&path).canonicalize().ok().filter(|found| found.starts_with(&root));
            let found = view.stat(&path).ok().map(|node| root.join(node.resolved.as_str()));
            // Joining the empty path of the root leaves a `/` at the end, which `Path` does not compare.
            prop_assert_eq!(&found, &expected, "{}", path);
            if let Some(file) = expected.filter(|found| found.is_file()) {
                prop_assert_eq!(view.read(&path).unwrap(), fs::read(file).unwrap());
            }
        }
    }
}
