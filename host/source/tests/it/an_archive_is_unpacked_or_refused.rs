// Attack 8 (sources): names that leave the root, links, devices, bombs, contradictions.

use std::sync::Arc;

use plumb_source::content::{ContentError, ContentStore, Format, Limits, Stored};
use plumb_tree::{EntryKind, TreeError, TreePath, View};
use proptest::prelude::*;
use rstest::rstest;
use tar::EntryType;
use tempfile::TempDir;

use crate::tarball::{Tarball, gzip, header};

fn limits() -> Limits {
    Limits {
        entries: 50,
        file_bytes: 64 << 20,
        tree_bytes: 96 << 20,
        names_per_directory: 20,
        depth: 8,
        compression: 100,
    }
}

fn unpack(archive: &[u8], format: Format) -> Result<(Stored, TempDir), ContentError> {
    let dir = TempDir::new().unwrap();
    let store = ContentStore::open(&dir.path().join("store"), limits()).unwrap();
    let stored = store.unpack(archive, format);
    // Whatever happened, nothing is outside of the store, and nothing is in it under a name that an archive chose.
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    for name in files_below(&dir.path().join("store")) {
        let is_hash = name.len() >= 62 && name.bytes().all(|byte| byte.is_ascii_hexdigit());
        assert!(is_hash || name == "lock", "{name}");
    }
    stored.map(|stored| (stored, dir))
}

fn files_below(dir: &std::path::Path) -> Vec<String> {
    let entries = std::fs::read_dir(dir).unwrap().map(Result::unwrap);
    entries
        .flat_map(|entry| {
            if entry.file_type().unwrap().is_dir() {
                files_below(&entry.path())
            } else {
                vec![entry.file_name().into_string().unwrap()]
            }
        })
        .collect()
}

fn refusal(archive: &[u8]) -> String {
    unpack(archive, Format::Tar).unwrap_err().to_string()
}

fn path(path: &str) -> TreePath {
    TreePath::new(path).unwrap()
}

fn all(stored: &Stored) -> Vec<String> {
    let mut found = Vec::new();
    let mut ahead = vec![TreePath::root()];
    while let Some(directory) = ahead.pop() {
        for entry in stored.tree.list(&directory).unwrap() {
            let at = directory.join(&entry.name).unwrap();
            match entry.kind {
                EntryKind::Directory => {
                    found.push(format!("{at}/"));
                    ahead.push(at);
                }
                EntryKind::Link => found.push(format!("{at} -> {}", stored.tree.read_link(&at).unwrap())),
                _ => found.push(format!(
                    "{at}: {}",
                    String::from_utf8(stored.tree.read(&at, 1 << 20).unwrap()).unwrap()
                )),
            }
        }
    }
    found.sort();
    found
}

#[rstest]
#[case(Format::Tar)]
#[case(Format::TarGz)]
fn what_an_archive_has_is_in_the_tree(#[case] format: Format) {
    let archive = Tarball::new()
        .entry(EntryType::XGlobalHeader, "pax_global_header", "", b"18 comment=abcdef\n")
        .directory("./")
        .directory("./empty/")
        .file("./a/b.yaml", b"one")
        .file("c", b"")
        .link("a/link", "../c");
    let archive = if format == Format::Tar { archive.tar() } else { archive.tar_gz() };
    let (stored, _dir) = unpack(&archive, format).unwrap();
    assert_eq!(all(&stored), ["a/", "a/b.yaml: one", "a/link -> ../c", "c: ", "empty/"]);
    assert_eq!(stored.bytes, 3);
}

#[test]
fn a_tree_is_the_same_however_it_was_packed() {
    let one = Tarball::new().file("a", b"1").directory("d/").file("d/b", b"2").tar();
    let other = Tarball::new().file("d/b", b"2").file("./a", b"1").tar_gz();
    let (one, _dir) = unpack(&one, Format::Tar).unwrap();
    let (other, _other_dir) = unpack(&other, Format::TarGz).unwrap();
    assert_eq!(one.digest, other.digest);
}

#[rstest]
#[case::up("../x", "has a part `..`")]
#[case::up_and_down("a/../../x", "has a part `..`")]
#[case::up_inside("a/../x", "has a part `..`")]
#[case::up_at_the_end("a/..", "has a part `..`")]
#[case::absolute("/etc/passwd", "is absolute")]
#[case::backslash("..\\x", "has a backslash or a NUL byte")]
#[case::drive("C:\\x", "has a backslash or a NUL byte")]
#[case::empty("", "is empty")]
fn a_name_that_leaves_the_root_refuses_the_archive(#[case] name: &str, #[case] reason: &str) {
    let expected = format!("the content has the path {name:?}, which {reason}");
    assert_eq!(refusal(&Tarball::new().file("fine", b"").file(name, b"").tar()), expected);
    assert_eq!(refusal(&Tarball::new().link(name, "fine").tar()), expected);
    assert_eq!(refusal(&Tarball::new().directory(name).tar()), expected);
    // However the name is given.
    if !name.is_empty() {
        assert_eq!(refusal(&Tarball::new().pax("path", name).file("fine", b"").tar()), expected);
        let long =
            Tarball::new().entry(EntryType::GNULongName, "././@LongLink", "", format!("{name}\0").as_bytes());
        assert_eq!(refusal(&long.file("fine", b"").tar()), expected);
    }
}

#[test]
fn a_name_that_is_not_text_is_refused() {
    let archive = Tarball::new().raw(&header(EntryType::Regular, b"a\xff", "", 0), b"").tar();
    assert!(refusal(&archive).contains("is not UTF-8"));
}

#[rstest]
#[case(EntryType::Link, "a hard link")]
#[case(EntryType::Char, "a device")]
#[case(EntryType::Block, "a device")]
#[case(EntryType::Fifo, "a pipe")]
#[case(EntryType::GNUSparse, "a sparse file")]
#[case(EntryType::new(b'V'), "an entry of an unknown kind")]
fn what_is_neither_file_nor_directory_nor_link_is_refused(#[case] kind: EntryType, #[case] what: &str) {
    let archive = Tarball::new().file("fine", b"").entry(kind, "x", "../../etc/passwd", b"").tar();
    assert_eq!(refusal(&archive), format!("the archive has {what} at \"x\", which is not allowed"));
}

#[test]
fn a_sparse_file_is_refused_in_its_newer_form_too() {
    let archive = Tarball::new().pax("GNU.sparse.realsize", "99999999999999").file("x", b"").tar();
    assert!(refusal(&archive).contains("a sparse file"));
}

#[test]
fn a_size_that_readers_disagree_about_is_refused() {
    let hidden = Tarball::new().file("hidden", b"x").without_end();
    let archive = Tarball::new().pax("size", "0").file("seen", &hidden).tar();
    assert_eq!(refusal(&archive), "the archive has a file with two sizes at \"seen\", which is not allowed");
}

#[test]
fn a_link_is_kept_and_denied_when_it_is_followed_out_of_the_root() {
    let archive = Tarball::new()
        .link("token", "/var/run/secrets/token")
        .link("up", "../../x")
        .link("through", "up/y")
        .link("inside", "d/../c")
        .directory("d/")
        .file("c", b"fine");
    let (stored, _dir) = unpack(&archive.tar(), Format::Tar).unwrap();
    let view = View::new(Arc::clone(&stored.tree), 1 << 20);
    for at in ["token", "up", "through"] {
        assert_eq!(view.read(at).unwrap_err(), TreeError::Denied(at.to_owned()));
    }
    assert_eq!(view.read("inside").unwrap(), b"fine");
}

#[test]
fn nothing_is_written_through_a_link() {
    let archive = Tarball::new().link("d", "/tmp").file("d/x", b"").tar();
    assert_eq!(refusal(&archive), "the content has \"d\" as a directory and as something else");
}

#[test]
fn of_two_entries_with_one_name_the_later_counts() {
    let archive = Tarball::new().file("a", b"1").file("a", b"2").file("./a", b"3").tar();
    let (stored, _dir) = unpack(&archive, Format::Tar).unwrap();
    assert_eq!(all(&stored), ["a: 3"]);
    refusal(&Tarball::new().file("a", b"1").file("a/b", b"2").tar());
    refusal(&Tarball::new().file("a/b", b"2").file("a", b"1").tar());
}

#[rstest]
#[case::files((0..51).map(|n| format!("{}/{n}", n / 10)).collect(), "50 files and directories")]
#[case::names((0..21).map(|n| n.to_string()).collect(), "20 names in a directory")]
#[case::names_below((0..21).map(|n| format!("a/{n}/b")).collect(), "20 names in a directory")]
#[case::depth(vec!["1/2/3/4/5/6/7/8/file".to_owned(), "1/2/3/4/5/6/7/8/9/x".to_owned()], "8 directories in a path")]
fn a_tree_that_is_too_large_is_refused(#[case] names: Vec<String>, #[case] limit: &str) {
    let archive = names.iter().fold(Tarball::new(), |archive, name| archive.file(name, b"")).tar();
    assert_eq!(refusal(&archive), format!("the content has more than {limit}"));
}

#[test]
fn a_file_that_says_it_is_huge_is_not_waited_for() {
    let archive = Tarball::new().raw(&header(EntryType::Regular, b"x", "", 8 << 30), b"little").tar();
    assert_eq!(refusal(&archive), "the archive is cut off: a file has fewer bytes than its header says");
}

#[test]
fn files_and_trees_have_a_size() {
    let large = vec![7; (64 << 20) + 1];
    assert_eq!(
        refusal(&Tarball::new().file("x", &large).tar()),
        "the content has more than 67108864 bytes in a file"
    );
    let half = &large[..49 << 20];
    assert_eq!(
        refusal(&Tarball::new().file("x", half).file("y", half).tar()),
        "the content has more than 100663296 bytes in all"
    );
}

#[test]
fn a_bomb_is_noticed_by_its_ratio() {
    let archive = Tarball::new().file("x", &vec![0; 60 << 20]).tar_gz();
    assert!(archive.len() < 100_000, "{}", archive.len());
    let error = unpack(&archive, Format::TarGz).unwrap_err();
    assert_eq!(error, ContentError::TooMuch { what: "times the size of its archive", limit: 100 });
    // After the end nobody looks, but it is unpacked to reach the checksum.
    let mut behind = Tarball::new().file("x", b"").tar();
    behind.resize(60 << 20, 0);
    let error = unpack(&gzip(&behind), Format::TarGz).unwrap_err();
    assert_eq!(error, ContentError::TooMuch { what: "times the size of its archive", limit: 100 });
}

#[rstest]
#[case(EntryType::GNULongName)]
#[case(EntryType::GNULongLink)]
#[case(EntryType::XHeader)]
#[case(EntryType::XGlobalHeader)]
fn a_long_name_is_not_read_into_memory(#[case] kind: EntryType) {
    let archive = Tarball::new().entry(kind, "x", "", &vec![b'a'; (1 << 20) + 1]).file("y", b"").tar();
    assert_eq!(refusal(&archive), "the content has more than 1048576 bytes in a name or extension");
}

#[test]
fn a_long_name_is_taken_from_where_it_is() {
    let name = format!("{}/{}", "d".repeat(120), "f".repeat(120));
    let target = "t".repeat(150);
    let archive = Tarball::new()
        .entry(EntryType::GNULongName, "././@LongLink", "", format!("{name}\0").as_bytes())
        .file("cut", b"1")
        .pax("path", "short")
        .file("other", b"2")
        .entry(EntryType::GNULongLink, "././@LongLink", "", format!("{target}\0").as_bytes())
        .link("link", "cut");
    let (stored, _dir) = unpack(&archive.tar(), Format::Tar).unwrap();
    assert_eq!(stored.tree.read(&path(&name), 9).unwrap(), b"1");
    assert_eq!(stored.tree.read(&path("short"), 9).unwrap(), b"2");
    assert_eq!(stored.tree.read_link(&path("link")).unwrap(), target);
    assert_eq!(stored.tree.list(&TreePath::root()).unwrap().len(), 3);
}

// Attack 25: what was cut off is not taken for what somebody deleted.
#[test]
fn an_archive_that_was_cut_off_is_refused_wherever_it_was() {
    let whole = Tarball::new().file("a", &[1; 700]).file("b", b"2");
    let packed = gzip(&Tarball::new().file("a", &[1; 700]).file("b", b"2").tar());
    let tar = whole.tar();
    let dir = TempDir::new().unwrap();
    let store = ContentStore::open(dir.path(), limits()).unwrap();
    for end in 0..tar.len() - 1024 + 1 {
        store.unpack(&tar[..end], Format::Tar).unwrap_err();
    }
    for end in 0..packed.len() {
        store.unpack(&packed[..end], Format::TarGz).unwrap_err();
    }
    store.unpack(packed.as_slice(), Format::TarGz).unwrap();
}

#[test]
fn a_damaged_archive_is_refused() {
    let mut archive = Tarball::new().file("a", b"1").tar();
    archive[0] = b'b';
    assert!(refusal(&archive).contains("checksum"));
    let mut archive = Tarball::new().file("a", b"1").tar_gz();
    let end = archive.len() - 5;
    archive[end] ^= 1;
    assert!(matches!(unpack(&archive, Format::TarGz), Err(ContentError::Malformed(_))));
    assert!(matches!(unpack(b"<html>", Format::TarGz), Err(ContentError::Malformed(_))));
}

#[test]
fn a_reader_that_fails_is_told_of() {
    struct Fails;
    impl std::io::Read for Fails {
        fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
            Err(std::io::Error::other("the wire was cut"))
        }
    }
    let dir = TempDir::new().unwrap();
    let store = ContentStore::open(dir.path(), limits()).unwrap();
    for format in [Format::Tar, Format::TarGz] {
        let error = store.unpack(Fails, format).unwrap_err();
        assert_eq!(error, ContentError::Unreadable("the wire was cut".to_owned()));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn any_bytes_are_unpacked_or_refused(
        kinds in proptest::collection::vec((0_u8..=127, "[a./\\\\]{0,8}", proptest::collection::vec(any::<u8>(), 0..40)), 0..6),
        cut in 0_usize..4096,
    ) {
        let archive = kinds.iter().fold(Tarball::new(), |archive, (kind, name, bytes)| {
            archive.entry(EntryType::new(*kind), name, "t", bytes)
        });
        let tar = archive.tar();
        let _ = unpack(&tar[..cut.min(tar.len())], Format::Tar);
        let _ = unpack(&tar, Format::Tar);
        let _ = unpack(&tar, Format::TarGz);
    }
}
