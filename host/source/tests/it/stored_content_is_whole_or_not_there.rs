use std::path::{Path, PathBuf};
use std::thread;

use plumb_source::content::{ContentError, ContentStore, FileId, Limits, OpenError, Stored};
use plumb_tree::{TreeError, TreePath};
use tempfile::TempDir;

fn open(dir: &TempDir) -> ContentStore {
    loop {
        match ContentStore::open(dir.path(), Limits::default()) {
            // A program that another test is starting holds our files, and so the lock, until it runs.
            Err(OpenError::InUse(_)) => thread::yield_now(),
            opened => return opened.unwrap(),
        }
    }
}

fn tree(store: &ContentStore, files: &[(&str, &str)]) -> Stored {
    let mut builder = store.builder();
    for (path, bytes) in files {
        builder.file(path, bytes.as_bytes()).unwrap();
    }
    builder.finish().unwrap()
}

fn read(stored: &Stored, path: &str) -> Result<String, TreeError> {
    let bytes = stored.tree.read(&TreePath::new(path).unwrap(), 1 << 20)?;
    Ok(String::from_utf8(bytes).unwrap())
}

/// Where the store has the bytes of a file.
fn on_disk(dir: &TempDir, bytes: &str) -> PathBuf {
    let hex = FileId::of_bytes(bytes.as_bytes()).to_string();
    dir.path().join("files").join(&hex[..2]).join(&hex[2..])
}

fn count(dir: &Path) -> usize {
    std::fs::read_dir(dir).unwrap().count()
}

#[test]
fn a_tree_survives_a_restart() {
    let dir = TempDir::new().unwrap();
    let store = open(&dir);
    let digest = tree(&store, &[("a/b", "1"), ("c", "2")]).digest;
    drop(store);
    let store = open(&dir);
    let stored = store.get(&digest).unwrap();
    assert_eq!((stored.digest.as_str(), stored.bytes), (digest.as_str(), 2));
    assert_eq!(read(&stored, "a/b").unwrap(), "1");
}

#[test]
fn the_id_of_a_file_needs_no_reading() {
    let dir = TempDir::new().unwrap();
    let stored = tree(&open(&dir), &[("a", "1")]);
    std::fs::remove_file(on_disk(&dir, "1")).unwrap();
    let id = stored.tree.id(&TreePath::new("a").unwrap()).unwrap();
    assert_eq!(id, plumb_tree::ContentId::of_bytes(b"1"));
}

#[test]
fn equal_files_are_stored_once() {
    let dir = TempDir::new().unwrap();
    let store = open(&dir);
    let one = tree(&store, &[("a", "same"), ("b", "same")]);
    let two = tree(&store, &[("c", "same"), ("d", "other")]);
    assert_ne!(one.digest, two.digest);
    let files: usize =
        std::fs::read_dir(dir.path().join("files")).unwrap().map(|entry| count(&entry.unwrap().path())).sum();
    assert_eq!(files, 2);
}

#[test]
fn what_is_not_finished_is_not_there() {
    let dir = TempDir::new().unwrap();
    let store = open(&dir);
    let mut builder = store.builder();
    builder.file("a", b"1".as_slice()).unwrap();
    assert!(!on_disk(&dir, "1").exists());
    drop(builder);
    assert_eq!(count(&dir.path().join("incoming")), 0);
    // What a crash leaves.
    std::fs::write(dir.path().join("incoming/.tmpXYZ"), "half").unwrap();
    drop(store);
    open(&dir);
    assert_eq!(count(&dir.path().join("incoming")), 0);
}

#[test]
fn a_tree_whose_files_were_lost_is_not_there() {
    let dir = TempDir::new().unwrap();
    let store = open(&dir);
    let digest = tree(&store, &[("a", "1"), ("b", "22")]).digest;
    for (lost, content) in [("1", None), ("22", Some("")), ("22", Some("2"))] {
        match content {
            None => std::fs::remove_file(on_disk(&dir, lost)).unwrap(),
            Some(content) => std::fs::write(on_disk(&dir, lost), content).unwrap(),
        }
        assert!(store.get(&digest).is_none());
        // Fetched anew, it is whole again.
        assert_eq!(tree(&store, &[("a", "1"), ("b", "22")]).digest, digest);
        let stored = store.get(&digest).unwrap();
        assert_eq!(
            (read(&stored, "a").unwrap(), read(&stored, "b").unwrap()),
            ("1".to_owned(), "22".to_owned())
        );
    }
}

#[test]
fn a_file_with_other_bytes_is_noticed_when_it_is_read() {
    let dir = TempDir::new().unwrap();
    let store = open(&dir);
    let stored = tree(&store, &[("a", "good"), ("b", "fine")]);
    std::fs::write(on_disk(&dir, "good"), "evil").unwrap();
    let error = read(&stored, "a").unwrap_err().to_string();
    assert_eq!(
        error,
        "\"a\" cannot be read: its bytes are not those that were stored; the next fetch brings them anew"
    );
    assert_eq!(read(&stored, "b").unwrap(), "fine");
    assert!(store.get(&stored.digest).is_none(), "the next fetch sees that it is not whole");
    tree(&store, &[("a", "good"), ("b", "fine")]);
    assert_eq!(read(&stored, "a").unwrap(), "good", "trees that were there before are whole again too");
}

#[test]
fn a_listing_with_other_bytes_is_not_taken() {
    let dir = TempDir::new().unwrap();
    let store = open(&dir);
    let digest = tree(&store, &[("a", "1"), ("b", "1")]).digest;
    let path = dir.path().join("trees").join(digest.trim_start_matches("sha256:"));
    let listing = std::fs::read_to_string(&path).unwrap();
    drop(store);
    std::fs::write(&path, listing.lines().take(2).map(|line| format!("{line}\n")).collect::<String>())
        .unwrap();
    assert!(open(&dir).get(&digest).is_none());
}

#[test]
fn what_no_tree_uses_goes() {
    let dir = TempDir::new().unwrap();
    let store = open(&dir);
    let kept = tree(&store, &[("a", "shared"), ("b", "kept")]).digest;
    let gone = tree(&store, &[("a", "shared"), ("b", "gone")]).digest;
    store.retain(std::slice::from_ref(&kept)).unwrap();
    assert!(store.get(&gone).is_none());
    assert!(!on_disk(&dir, "gone").exists());
    assert_eq!(read(&store.get(&kept).unwrap(), "a").unwrap(), "shared");
    assert_eq!(read(&store.get(&kept).unwrap(), "b").unwrap(), "kept");
}

#[test]
fn a_tree_that_is_used_stays() {
    let dir = TempDir::new().unwrap();
    let store = open(&dir);
    let stored = tree(&store, &[("a", "1")]);
    let also = std::sync::Arc::clone(&stored.tree);
    store.retain(&[]).unwrap();
    assert_eq!(read(&stored, "a").unwrap(), "1");
    drop(stored);
    store.retain(&[]).unwrap();
    assert_eq!(also.read(&TreePath::new("a").unwrap(), 9).unwrap(), b"1");
    drop(also);
    store.retain(&[]).unwrap();
    assert!(!on_disk(&dir, "1").exists());
    assert_eq!(count(&dir.path().join("trees")), 0);
}

#[test]
fn trees_are_stored_while_others_are_deleted() {
    let dir = TempDir::new().unwrap();
    let store = open(&dir);
    thread::scope(|scope| {
        for worker in 0..4 {
            let store = &store;
            scope.spawn(move || {
                for round in 0..25 {
                    let own = format!("{worker} {round}");
                    let stored = tree(store, &[("shared", "shared"), ("own", &own)]);
                    assert_eq!(read(&stored, "shared").unwrap(), "shared");
                    assert_eq!(read(&stored, "own").unwrap(), own);
                    assert!(store.get(&stored.digest).is_some());
                }
            });
        }
        for _ in 0..50 {
            store.retain(&[]).unwrap();
        }
    });
}

#[test]
fn a_file_is_used_once_more_unless_it_is_damaged() {
    let dir = TempDir::new().unwrap();
    let store = open(&dir);
    let (good, id) = (tree(&store, &[("a", "good")]), FileId::of_bytes(b"good"));
    let mut builder = store.builder();
    assert!(builder.reuse("b", id, 4).unwrap());
    assert!(!builder.reuse("c", FileId::of_bytes(b"unknown"), 7).unwrap());
    drop(good);
    store.retain(&[]).unwrap();
    assert!(!on_disk(&dir, "good").exists(), "the store has lost it, the builder has not");
    let stored = builder.finish().unwrap();
    assert_eq!(read(&stored, "b").unwrap(), "good");
    assert_eq!(read(&stored, "c").unwrap_err(), TreeError::NotFound("c".to_owned()));

    std::fs::write(on_disk(&dir, "good"), "evil").unwrap();
    assert!(!store.builder().reuse("b", id, 4).unwrap());
}

#[test]
fn what_is_said_of_a_tree_goes_with_it() {
    let dir = TempDir::new().unwrap();
    let store = open(&dir);
    let stored = tree(&store, &[("a", "1")]);
    assert!(store.recall("name").is_none());
    store.remember("name", &stored.digest, "a note\nof two lines").unwrap();
    let recalled = store.recall("name").unwrap();
    assert_eq!((recalled.note.as_str(), &recalled.stored.digest), ("a note\nof two lines", &stored.digest));
    let digest = stored.digest.clone();
    drop((stored, recalled));
    store.retain(std::slice::from_ref(&digest)).unwrap();
    assert!(store.recall("name").is_some());
    store.retain(&[]).unwrap();
    assert!(store.recall("name").is_none());
    assert_eq!(count(&dir.path().join("notes")), 0);
}

#[test]
fn a_file_alone_is_a_tree() {
    let dir = TempDir::new().unwrap();
    let store = open(&dir);
    let stored = store.store_file("chart.tgz", b"bytes".as_slice()).unwrap();
    assert_eq!(read(&stored, "chart.tgz").unwrap(), "bytes");
    let error = store.store_file("../chart.tgz", b"".as_slice()).unwrap_err();
    assert!(matches!(error, ContentError::InvalidPath { .. }), "{error}");
}

#[test]
fn a_store_has_one_owner() {
    let dir = TempDir::new().unwrap();
    let _store = open(&dir);
    let error = ContentStore::open(dir.path(), Limits::default()).unwrap_err();
    assert!(matches!(error, OpenError::InUse(_)));
}

#[test]
fn strange_digests_lead_nowhere() {
    let dir = TempDir::new().unwrap();
    let store = open(&dir);
    for digest in
        ["", "sha256:", "sha256:../../etc/passwd", "sha512:00", &format!("sha256:{}", "A".repeat(64))]
    {
        assert!(store.get(digest).is_none());
    }
    store.retain(&["sha256:..".to_owned()]).unwrap();
}
