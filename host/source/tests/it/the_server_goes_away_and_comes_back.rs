use plumb_source::git::{GitError, Selection};
use plumb_test_support::Behaviour;

use crate::{Bench, read};

#[test]
fn what_was_fetched_stays_usable() {
    let mut bench = Bench::new();
    bench.repo.write("file", "1").unwrap().commit("one").unwrap();
    let first = bench.snapshot();
    bench.server.stop();
    let error = bench.fetch(&bench.main()).unwrap_err();
    assert!(matches!(error, GitError::Unreachable { .. }), "{error:?}");
    assert_eq!(read(&first, "file"), "1");
    assert!(bench.store.snapshot(&bench.url(), &first.revision, &Selection::default()).is_some());
    bench.server.restart().unwrap();
    bench.repo.write("file", "2").unwrap().commit("two").unwrap();
    assert_eq!(read(&bench.snapshot(), "file"), "2");
}

#[test]
fn a_branch_that_is_deleted_is_named_and_its_last_commit_stays_usable() {
    let mut bench = Bench::new();
    bench.repo.write("file", "1").unwrap().commit("one").unwrap();
    let first = bench.snapshot();
    bench.repo.branch("other").unwrap();
    bench.repo.delete_branch("main").unwrap();
    let error = bench.fetch(&bench.main()).unwrap_err();
    assert_eq!(
        error.to_string(),
        format!(
            "{} has no branch \"main\"; the revision that was fetched before remains in use",
            bench.server.url()
        )
    );
    assert_eq!(
        read(&bench.store.snapshot(&bench.url(), &first.revision, &Selection::default()).unwrap(), "file"),
        "1"
    );
}

#[test]
fn a_repository_that_is_not_there_is_named() {
    let bench = Bench::new();
    bench.server.set(Behaviour::Fail(404));
    let error = bench.fetch(&bench.main()).unwrap_err();
    assert_eq!(error, GitError::RepositoryNotFound { url: bench.server.url() });
}

#[test]
fn an_error_of_the_server_is_told() {
    let bench = Bench::new();
    bench.server.set(Behaviour::Fail(503));
    let error = bench.fetch(&bench.main()).unwrap_err();
    let said = format!("the server of {} failed: it answers 503 Service Unavailable", bench.server.url());
    assert_eq!(error.to_string(), said);
}
