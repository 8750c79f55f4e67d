use plumb_api::Reason;
use std::time::Duration;

use plumb_source::Cancel;
use plumb_source::git::{Fetch, GitError};
use plumb_test_support::Behaviour;
use rstest::rstest;

use crate::Bench;

#[rstest]
fn at_its_deadline(#[values(Behaviour::Hang, Behaviour::HangHalfway)] behaviour: Behaviour) {
    let bench = Bench::new();
    bench.repo.write("file", "bytes").unwrap().commit("one").unwrap();
    bench.server.set(behaviour);
    let fetch = Fetch { timeout: Duration::from_millis(1500), ..bench.main() };
    let error = bench.fetch(&fetch).unwrap_err();
    assert_eq!(error, GitError::TimedOut { url: bench.server.url(), seconds: 1 });
    assert_eq!(error.reason(), Reason::GitOperationFailed);
    // Nothing of it is left behind.
    bench.server.set(Behaviour::Serve);
    bench.snapshot();
}

#[test]
fn when_it_is_cancelled() {
    let bench = Bench::new();
    bench.repo.write("file", "bytes").unwrap().commit("one").unwrap();
    bench.server.set(Behaviour::Hang);
    let cancel = Cancel::new();
    let fetch = bench.main();
    let error = std::thread::scope(|scope| {
        let fetching = scope.spawn(|| bench.store.fetch(&fetch, &cancel));
        while bench.server.seen().is_empty() {
            std::thread::sleep(Duration::from_millis(5));
        }
        cancel.cancel();
        fetching.join().unwrap().unwrap_err()
    });
    assert_eq!(error, GitError::Cancelled { url: bench.server.url() });
}

#[test]
fn also_while_it_waits_for_another_fetch_of_the_same_repository() {
    let bench = Bench::new();
    bench.server.set(Behaviour::Hang);
    let (first, second) = (Cancel::new(), bench.main());
    let waiting = Fetch { timeout: Duration::from_millis(200), ..bench.main() };
    std::thread::scope(|scope| {
        let fetching = scope.spawn(|| bench.store.fetch(&second, &first));
        while bench.server.seen().is_empty() {
            std::thread::sleep(Duration::from_millis(5));
        }
        assert_eq!(
            bench.fetch(&waiting).unwrap_err(),
            GitError::TimedOut { url: bench.server.url(), seconds: 0 }
        );
        first.cancel();
        assert_eq!(fetching.join().unwrap().unwrap_err(), GitError::Cancelled { url: bench.server.url() });
    });
    assert_eq!(bench.server.seen().len(), 1);
}
