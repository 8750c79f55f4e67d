use std::fs;
use std::path::{Path, PathBuf};

use plumb_source::git::{Fetch, Fetched, Selection};
use plumb_tree::{TreeError, TreePath};
use rstest::rstest;

use crate::{Bench, known, read};

fn files(dir: &Path, extension: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path, extension));
        } else if path.extension().is_some_and(|found| found == extension) {
            found.push(path);
        }
    }
    found
}

fn change(path: &Path, change: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = fs::read(path).unwrap();
    change(&mut bytes);
    // Packs are read-only; and what was opened before keeps its bytes.
    fs::remove_file(path).unwrap();
    fs::write(path, bytes).unwrap();
}

#[test]
fn bytes_that_changed_in_a_pack_are_noticed_when_they_are_read() {
    let bench = Bench::new();
    bench.repo.write("file", "x".repeat(10_000)).unwrap().commit("one").unwrap();
    let healthy = known(&bench.snapshot());
    let bench = bench.restart();
    for pack in files(bench.dir.path(), "pack") {
        // All of the pack but its header and its checksum.
        change(&pack, |bytes| {
            let end = bytes.len() - 20;
            bytes[12..end].iter_mut().for_each(|byte| *byte = !*byte);
        });
    }
    assert!(bench.store.snapshot(&bench.url(), &healthy.revision, &Selection::default()).is_none());
    let known = Fetch { known: Some(healthy.clone()), ..bench.main() };
    let Fetched::New(healed) = bench.fetch(&known).unwrap() else { panic!("the store is damaged") };
    assert_eq!(healed.revision, healthy.revision);
    assert_eq!(read(&healed, "file").len(), 10_000);
}

#[test]
fn a_pack_that_is_gone_is_noticed_after_a_restart() {
    let bench = Bench::new();
    bench.repo.write("file", "bytes").unwrap().commit("one").unwrap();
    let healthy = known(&bench.snapshot());
    let bench = bench.restart();
    files(bench.dir.path(), "pack")
        .iter()
        .chain(&files(bench.dir.path(), "idx"))
        .for_each(|file| fs::remove_file(file).unwrap());
    assert!(bench.store.snapshot(&bench.url(), &healthy.revision, &Selection::default()).is_none());
    assert_eq!(read(&bench.snapshot(), "file"), "bytes");
}

#[test]
fn a_file_whose_bytes_are_not_what_its_id_says_is_never_handed_out() {
    let bench = Bench::new();
    // Does not compress, so the blob is most of the pack.
    let noise: Vec<u8> =
        (0..20_000u32).flat_map(|number| number.wrapping_mul(2_654_435_761).to_be_bytes()).collect();
    bench.repo.write("noise", noise).unwrap().commit("one").unwrap();
    let healthy = known(&bench.snapshot());
    let bench = bench.restart();
    change(&files(bench.dir.path(), "pack")[0], |bytes| {
        let middle = bytes.len() / 2;
        bytes[middle..middle + 64].iter_mut().for_each(|byte| *byte = !*byte);
    });
    // Commit and trees may be whole; then only reading the file shows it.
    if let Some(snapshot) = bench.store.snapshot(&bench.url(), &healthy.revision, &Selection::default()) {
        let damaged = snapshot.tree.read(&TreePath::new("noise").unwrap(), 1 << 20);
        assert!(matches!(damaged, Err(TreeError::Failed { .. })), "{damaged:?}");
    }
    let known = Fetch { known: Some(healthy.clone()), ..bench.main() };
    let Fetched::New(healed) = bench.fetch(&known).unwrap() else { panic!("the store is damaged") };
    assert_eq!(healed.tree.read(&TreePath::new("noise").unwrap(), 1 << 20).unwrap().len(), 80_000);
}

/// What may happen to a file of the store while nobody looks.
#[rstest]
#[case::the_pack_is_cut("pack", |bytes: &mut Vec<u8>| bytes.truncate(bytes.len() / 2))]
#[case::the_pack_is_empty("pack", |bytes: &mut Vec<u8>| bytes.clear())]
#[case::the_index_is_cut("idx", |bytes: &mut Vec<u8>| bytes.truncate(bytes.len() / 2))]
#[case::the_index_is_empty("idx", |bytes: &mut Vec<u8>| bytes.clear())]
#[case::a_byte_of_the_pack_is_flipped("pack", |bytes: &mut Vec<u8>| bytes[20] ^= 0x55)]
#[case::a_byte_of_the_offsets_is_flipped("idx", |bytes: &mut Vec<u8>| { let at = bytes.len() - 43; bytes[at] ^= 0x55 })]
fn it_is_noticed_rebuilt_and_nothing_is_lost(#[case] extension: &str, #[case] happens: fn(&mut Vec<u8>)) {
    let bench = Bench::new();
    for number in 0..20 {
        bench.repo.write(&format!("dir/{number}"), format!("file {number}")).unwrap();
    }
    bench.repo.commit("one").unwrap();
    let healthy = known(&bench.snapshot());
    let bench = bench.restart();
    change(&files(bench.dir.path(), extension)[0], happens);
    // Whatever is still handed out is what was committed.
    let all_files = |snapshot: &plumb_source::git::Snapshot| {
        (0..20).all(|number| {
            let bytes = snapshot.tree.read(&TreePath::new(&format!("dir/{number}")).unwrap(), 99);
            assert!(bytes.as_ref().map_or(true, |bytes| *bytes == format!("file {number}").as_bytes()));
            bytes.is_ok()
        })
    };
    let is_whole = bench
        .store
        .snapshot(&bench.url(), &healthy.revision, &Selection::default())
        .is_some_and(|snapshot| all_files(&snapshot));
    assert!(!is_whole, "it was damaged");
    let again = Fetch { known: Some(healthy.clone()), ..bench.main() };
    let Fetched::New(healed) = bench.fetch(&again).unwrap() else { panic!("the store is damaged") };
    assert!(healed.revision == healthy.revision && all_files(&healed));
    // And it stays so: nothing is fetched any more, also after the next restart.
    let asked = bench.server.asked_for_objects().len();
    let bench = bench.restart();
    assert!(matches!(bench.fetch(&again), Ok(Fetched::Unchanged(_))));
    assert_eq!(bench.server.asked_for_objects().len(), asked);
}

#[test]
fn what_a_killed_process_left_is_cleaned_up() {
    let bench = Bench::new();
    bench.repo.write("file", "bytes").unwrap().commit("one").unwrap();
    let healthy = known(&bench.snapshot());
    let repository = files(bench.dir.path(), "pack")[0].ancestors().nth(4).unwrap().to_owned();
    let left = repository.join("7");
    fs::create_dir_all(left.join("objects/pack")).unwrap();
    let bench = bench.restart();
    assert_eq!(
        read(&bench.store.snapshot(&bench.url(), &healthy.revision, &Selection::default()).unwrap(), "file"),
        "bytes"
    );
    assert!(!left.exists());
}
