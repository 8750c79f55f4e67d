use std::sync::Arc;

use plumb_source::Cancel;
use plumb_source::git::{Fetch, Fetched, GitStore, Limits, OpenError, Selection};

use crate::{Bench, known, read, snapshot};

#[test]
fn a_revision_that_is_known_costs_no_objects() {
    let bench = Bench::new();
    bench.repo.write("file", "1").unwrap().commit("one").unwrap();
    let first = bench.snapshot();
    assert_eq!(bench.server.asked_for_objects().len(), 1);
    let known = Fetch { known: Some(known(&first)), ..bench.main() };
    for _ in 0..3 {
        let Fetched::Unchanged(revision) = bench.fetch(&known).unwrap() else {
            panic!("nothing has changed")
        };
        assert_eq!(revision, first.revision);
    }
    // Somebody else who follows the same branch needs no objects either.
    assert_eq!(bench.snapshot().revision, first.revision);
    assert_eq!(bench.server.asked_for_objects().len(), 1);
}

#[test]
fn a_new_commit_costs_what_it_changes() {
    let bench = Bench::new();
    let noise: Vec<u8> =
        (0..50_000u32).flat_map(|number| number.wrapping_mul(2_654_435_761).to_be_bytes()).collect();
    bench.repo.write("large", noise).unwrap().write("small", "1").unwrap().commit("one").unwrap();
    let first = bench.snapshot();
    bench.repo.write("small", "2").unwrap().commit("two").unwrap();
    let second = bench.snapshot();
    let answers: Vec<usize> = bench.server.asked_for_objects().iter().map(|seen| seen.answer_bytes).collect();
    assert_eq!(answers.len(), 2);
    assert!(answers[0] > 100_000 && answers[1] < 2_000, "{answers:?}");
    assert_eq!((read(&first, "small"), read(&second, "small")), ("1".to_owned(), "2".to_owned()));
    assert_eq!(second.tree.size(&plumb_tree::TreePath::new("large").unwrap()), Ok(200_000));
}

#[test]
fn the_history_is_not_fetched() {
    let bench = Bench::new();
    let noise: Vec<u8> =
        (0..50_000u32).flat_map(|number| number.wrapping_mul(2_654_435_761).to_be_bytes()).collect();
    bench.repo.write("large", noise).unwrap().write("small", "1").unwrap().commit("one").unwrap();
    bench.repo.remove("large").unwrap().commit("two").unwrap();
    assert_eq!(read(&bench.snapshot(), "small"), "1");
    let received: usize = bench.server.asked_for_objects().iter().map(|seen| seen.answer_bytes).sum();
    assert!(received < 2_000, "{received}");
}

#[test]
fn what_was_fetched_survives_a_restart() {
    let bench = Bench::new();
    bench.repo.write("file", "1").unwrap().commit("one").unwrap();
    let first = known(&bench.snapshot());
    let mut bench = bench.restart();
    let known = Fetch { known: Some(first.clone()), ..bench.main() };
    assert!(matches!(bench.fetch(&known).unwrap(), Fetched::Unchanged(_)));
    assert_eq!(bench.server.asked_for_objects().len(), 1);
    bench.server.stop();
    let again = bench.store.snapshot(&bench.url(), &first.revision, &Selection::default()).unwrap();
    assert_eq!((read(&again, "file"), again.revision), ("1".to_owned(), first.revision));
}

#[test]
fn a_history_that_was_rewritten_is_followed() {
    let bench = Bench::new();
    bench.repo.write("file", "1").unwrap().commit("one").unwrap();
    bench.repo.write("file", "2").unwrap().commit("two").unwrap();
    let old = bench.snapshot();
    let amended = bench.repo.write("file", "2b").unwrap().amend("two, better").unwrap();
    let new = bench.snapshot();
    assert_eq!(new.commit.id, amended);
    assert_eq!((read(&old, "file"), read(&new, "file")), ("2".to_owned(), "2b".to_owned()));
}

#[test]
fn going_back_to_an_old_commit_costs_no_objects() {
    let bench = Bench::new();
    let first = bench.repo.write("file", "1").unwrap().commit("one").unwrap();
    bench.snapshot();
    bench.repo.write("file", "2").unwrap().commit("two").unwrap();
    bench.snapshot();
    bench.repo.set_ref("refs/heads/main", Some(&first)).unwrap();
    assert_eq!(read(&bench.snapshot(), "file"), "1");
    assert_eq!(bench.server.asked_for_objects().len(), 2);
}

#[test]
fn the_store_does_not_grow_for_ever() {
    let bench = Bench::new();
    let mut snapshots = Vec::new();
    for number in 0..60 {
        bench.repo.write("file", number.to_string()).unwrap().commit("next").unwrap();
        snapshots.push(bench.snapshot());
    }
    let generations = || {
        let mut repositories =
            std::fs::read_dir(bench.dir.path()).unwrap().map(|entry| entry.unwrap().path());
        let repository = repositories.find(|path| path.is_dir()).unwrap();
        std::fs::read_dir(repository).unwrap().filter(|entry| entry.as_ref().unwrap().path().is_dir()).count()
    };
    assert_eq!(generations(), 2);
    assert_eq!(
        (read(&snapshots[0], "file"), read(&snapshots[59], "file")),
        ("0".to_owned(), "59".to_owned())
    );
    let last = snapshots.pop().unwrap();
    drop(snapshots);
    assert_eq!(generations(), 1);
    assert_eq!(read(&last, "file"), "59");
}

#[test]
fn repositories_that_nobody_uses_are_deleted() {
    let bench = Bench::new();
    bench.repo.write("file", "1").unwrap().commit("one").unwrap();
    let used = bench.snapshot();
    bench.store.retain(&[bench.url()]).unwrap();
    assert!(bench.store.snapshot(&bench.url(), &used.revision, &Selection::default()).is_some());
    for _ in 0..2 {
        bench.store.retain(&[]).unwrap();
        assert_eq!(read(&used, "file"), "1");
    }
    assert!(bench.store.snapshot(&bench.url(), &used.revision, &Selection::default()).is_none());
    drop(used);
    bench.store.retain(&[]).unwrap();
    assert_eq!(std::fs::read_dir(bench.dir.path()).unwrap().count(), 1, "only the lock is left");
    assert_eq!(read(&bench.snapshot(), "file"), "1");
}

#[test]
fn many_can_fetch_and_read_at_once() {
    let bench = Arc::new(Bench::new());
    bench.repo.write("file", "1").unwrap().commit("one").unwrap();
    let threads: Vec<_> = (0..8)
        .map(|_| {
            let bench = Arc::clone(&bench);
            std::thread::spawn(move || {
                let found = snapshot(bench.store.fetch(&bench.main(), &Cancel::new()));
                (0..50).for_each(|_| assert_eq!(read(&found, "file"), "1"));
            })
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    assert_eq!(bench.server.asked_for_objects().len(), 1);
}

#[test]
fn a_store_has_one_process() {
    let bench = Bench::new();
    let again = GitStore::open(bench.dir.path(), Limits::default());
    assert!(matches!(again, Err(OpenError::InUse(_))));
}
