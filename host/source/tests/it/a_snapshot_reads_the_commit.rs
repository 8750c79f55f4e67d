use std::sync::Arc;

use plumb_source::git::{GitError, Limits};
use plumb_test_support::GitServerOptions;
use plumb_tree::{ContentId, EntryKind, NodeKind, TreeError, TreePath, View};

use crate::{Bench, read};

fn at(path: &str) -> TreePath {
    TreePath::new(path).unwrap()
}

#[test]
fn files_and_directories_are_as_they_were_committed() {
    let bench = Bench::new();
    bench.repo.write("base/app.yaml", "kind: Service\n").unwrap().write("empty", "").unwrap();
    let commit = bench.repo.commit("Say hello\n\nBecause it is polite.").unwrap();
    let snapshot = bench.snapshot();
    assert_eq!(snapshot.revision.to_string(), format!("main@sha1:{commit}"));
    assert_eq!(snapshot.commit.id, commit);
    assert_eq!(snapshot.commit.author, "Ada Lovelace <ada@example.com>");
    assert_eq!(snapshot.commit.message, "Say hello\n\nBecause it is polite.\n");
    assert_eq!(snapshot.commit.time.to_string(), bench.repo.git(&["show", "-s", "--format=%ct"]).unwrap());
    assert_eq!(snapshot.tree_id, bench.repo.git(&["rev-parse", "HEAD^{tree}"]).unwrap());
    assert_eq!(read(&snapshot, "base/app.yaml"), "kind: Service\n");
    assert_eq!(read(&snapshot, "empty"), "");
    let names: Vec<_> =
        snapshot.tree.list(&at("")).unwrap().into_iter().map(|entry| (entry.name, entry.kind)).collect();
    assert_eq!(names, [("base".to_owned(), EntryKind::Directory), ("empty".to_owned(), EntryKind::File)]);
    let blob = bench.repo.git(&["rev-parse", "HEAD:base/app.yaml"]).unwrap();
    assert_eq!(snapshot.tree.id(&at("base/app.yaml")), Ok(ContentId::new("sha1", blob)));
    assert_eq!(snapshot.tree.size(&at("base/app.yaml")), Ok(14));
}

#[test]
fn what_a_path_is_not_is_said() {
    let bench = Bench::new();
    bench.repo.write("dir/file", "12345").unwrap().link("link", "dir").unwrap().commit("one").unwrap();
    let tree = bench.snapshot().tree;
    assert_eq!(tree.kind(&at("nothing")), Ok(None));
    assert_eq!(tree.kind(&at("dir/file/below")), Ok(None));
    assert_eq!(tree.kind(&at("link/file")), Ok(None));
    assert_eq!(tree.read(&at("dir"), 9), Err(TreeError::IsADirectory("dir".to_owned())));
    assert_eq!(tree.list(&at("dir/file")), Err(TreeError::NotADirectory("dir/file".to_owned())));
    assert_eq!(tree.read(&at("nothing"), 9), Err(TreeError::NotFound("nothing".to_owned())));
    let too_large = TreeError::TooLarge { path: "dir/file".to_owned(), size: 5, limit: 4 };
    assert_eq!(tree.read(&at("dir/file"), 4), Err(too_large));
}

#[test]
fn links_that_lead_out_are_denied() {
    let bench = Bench::new();
    bench.repo.write("app/file", "inside").unwrap();
    for (path, target) in [
        ("good", "app/file"),
        ("dir", "app"),
        ("passwd", "/etc/passwd"),
        ("above", "../../../etc/passwd"),
        ("app/up", "../.."),
        ("loop", "loop"),
    ] {
        bench.repo.link(path, target).unwrap();
    }
    bench.repo.commit("links").unwrap();
    let view = View::new(Arc::clone(&bench.snapshot().tree), 1024);
    assert_eq!(view.read("good").unwrap(), b"inside");
    assert_eq!(view.read("dir/file").unwrap(), b"inside");
    for path in ["passwd", "above", "app/up", "app/up/etc/passwd", "loop", "../app/file"] {
        assert_eq!(view.read(path), Err(TreeError::Denied(path.to_owned())));
    }
    let outside = view.list("").unwrap().into_iter().filter(|entry| entry.kind == NodeKind::Opaque).count();
    assert_eq!(outside, 3);
}

#[test]
fn submodules_are_opaque_and_evil_names_are_left_out() {
    let bench = Bench::new();
    let commit = bench.repo.write("file", "bytes").unwrap().commit("one").unwrap();
    let blob = bench.repo.git(&["rev-parse", "HEAD:file"]).unwrap();
    let mut tree = Vec::new();
    let raw = |id: &str| {
        (0..20).map(|at| u8::from_str_radix(&id[2 * at..2 * at + 2], 16).unwrap()).collect::<Vec<_>>()
    };
    for (mode, name, id) in [
        ("100644", b"..".as_slice(), &blob),
        ("100644", b".git", &blob),
        ("100644", b"a/b", &blob),
        ("100644", b"good", &blob),
        ("160000", b"module", &commit),
        ("100644", b"twice", &blob),
        ("100644", b"twice", &blob),
        ("100644", b"\xff", &blob),
    ] {
        tree.extend_from_slice(mode.as_bytes());
        tree.push(b' ');
        tree.extend_from_slice(name);
        tree.push(0);
        tree.extend(raw(id));
    }
    let tree = bench
        .repo
        .git_with_input(&["hash-object", "-w", "-t", "tree", "--literally", "--stdin"], &tree)
        .unwrap();
    let evil = bench.repo.git(&["commit-tree", "-m", "evil", &tree]).unwrap();
    bench.repo.git(&["push", "-q", "-f", "origin", &format!("{evil}:refs/heads/main")]).unwrap();
    let tree = bench.snapshot().tree;
    let names: Vec<_> =
        tree.list(&at("")).unwrap().into_iter().map(|entry| (entry.name, entry.kind)).collect();
    assert_eq!(names, [("good".to_owned(), EntryKind::File), ("module".to_owned(), EntryKind::Opaque)]);
    assert_eq!(tree.kind(&at("module/file")), Ok(None));
    assert_eq!(tree.kind(&at("twice")), Ok(None));
}

#[test]
fn more_than_the_limit_is_not_received() {
    let limits = Limits { pack_bytes: 50_000, ..Limits::default() };
    let bench = Bench::with(GitServerOptions::default(), limits);
    let small = bench.repo.write("file", "small").unwrap().commit("small").unwrap();
    assert_eq!(bench.snapshot().commit.id, small);
    // Does not compress.
    let noise: Vec<u8> =
        (0..40_000u32).flat_map(|number| number.wrapping_mul(2_654_435_761).to_be_bytes()).collect();
    bench.repo.write("noise", noise).unwrap().commit("large").unwrap();
    let error = bench.fetch(&bench.main()).unwrap_err();
    assert_eq!(error, GitError::TooLarge { url: bench.server.url(), what: "objects", limit: 50_000 });
    bench.repo.remove("noise").unwrap().write("file", "smaller").unwrap().commit("small again").unwrap();
    assert_eq!(read(&bench.snapshot(), "file"), "smaller");
}

#[test]
fn more_references_than_the_limit_are_not_read() {
    let limits = Limits { reference_bytes: 2_000, ..Limits::default() };
    let bench = Bench::with(GitServerOptions::default(), limits);
    let commit = bench.repo.write("file", "bytes").unwrap().commit("one").unwrap();
    for number in 0..40 {
        bench.repo.set_ref(&format!("refs/tags/v1.{number}.0"), Some(&commit)).unwrap();
    }
    assert_eq!(bench.snapshot().commit.id, commit);
    let tags = crate::fetch_of(bench.url(), plumb_api::GitReference::Semver("1.x".to_owned()));
    let error = bench.fetch(&tags).unwrap_err();
    assert_eq!(error, GitError::TooLarge { url: bench.server.url(), what: "references", limit: 2_000 });
}
