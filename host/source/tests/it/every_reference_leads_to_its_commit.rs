use plumb_api::GitReference;
use plumb_source::git::GitError;

use crate::{Bench, fetch_of, read, snapshot};

fn revision(bench: &Bench, reference: GitReference) -> String {
    snapshot(bench.fetch(&fetch_of(bench.url(), reference))).revision.to_string()
}

#[test]
fn branches_tags_versions_names_and_commits() {
    let mut bench = Bench::new();
    let first = bench.repo.write("file", "1").unwrap().commit("one").unwrap();
    bench.repo.tag("v1.0.0").unwrap();
    let second = bench.repo.write("file", "2").unwrap().commit("two").unwrap();
    bench.repo.annotated_tag("v1.1.0").unwrap();
    bench.repo.branch("feature/x").unwrap();
    let third = bench.repo.write("file", "3").unwrap().commit("three").unwrap();
    bench.repo.tag("v1.2.0-rc.1").unwrap();
    bench.repo.set_ref("refs/pull/1/head", Some(&third)).unwrap();

    let main = revision(&bench, GitReference::Branch("main".into()));
    assert_eq!(main, format!("main@sha1:{second}"));
    assert_eq!(revision(&bench, GitReference::Branch("feature/x".into())), format!("feature/x@sha1:{third}"));
    assert_eq!(revision(&bench, GitReference::Tag("v1.0.0".into())), format!("v1.0.0@sha1:{first}"));
    assert_eq!(revision(&bench, GitReference::Tag("v1.1.0".into())), format!("v1.1.0@sha1:{second}"));
    assert_eq!(revision(&bench, GitReference::Semver(">=1.0.0".into())), format!("v1.1.0@sha1:{second}"));
    assert_eq!(
        revision(&bench, GitReference::Semver(">=1.0.0-0".into())),
        format!("v1.2.0-rc.1@sha1:{third}")
    );
    assert_eq!(
        revision(&bench, GitReference::Name("refs/pull/1/head".into())),
        format!("refs/pull/1/head@sha1:{third}")
    );
    assert_eq!(
        revision(&bench, GitReference::Commit { branch: None, sha: first.clone() }),
        format!("sha1:{first}")
    );
    let on_main = GitReference::Commit { branch: Some("main".into()), sha: first.clone() };
    assert_eq!(revision(&bench, on_main), format!("main@sha1:{first}"));
}

#[test]
fn a_commit_in_the_middle_of_the_history_is_fetched_alone() {
    let bench = Bench::new();
    bench.repo.write("file", "1").unwrap().commit("one").unwrap();
    let second = bench.repo.write("file", "2").unwrap().commit("two").unwrap();
    bench.repo.write("file", "3").unwrap().commit("three").unwrap();
    let found =
        snapshot(bench.fetch(&fetch_of(bench.url(), GitReference::Commit { branch: None, sha: second })));
    assert_eq!(read(&found, "file"), "2");
}

#[test]
fn a_commit_that_is_not_there_is_named() {
    let bench = Bench::new();
    bench.repo.write("file", "1").unwrap().commit("one").unwrap();
    let sha = "1234567890".repeat(4);
    let missing = fetch_of(bench.url(), GitReference::Commit { branch: None, sha: sha.clone() });
    let error = bench.fetch(&missing).unwrap_err();
    assert!(matches!(&error, GitError::CommitNotFound { commit, .. } if *commit == sha), "{error}");
}

#[test]
fn a_tag_of_a_file_is_not_a_commit() {
    let bench = Bench::new();
    bench.repo.write("file", "1").unwrap().commit("one").unwrap();
    let blob = bench.repo.git(&["rev-parse", "HEAD:file"]).unwrap();
    bench.repo.set_ref("refs/tags/blob", Some(&blob)).unwrap();
    let error = bench.fetch(&fetch_of(bench.url(), GitReference::Tag("blob".into()))).unwrap_err();
    assert!(error.to_string().contains(&blob), "{error}");
    assert_eq!(read(&bench.snapshot(), "file"), "1");
}

#[test]
fn an_empty_repository_has_no_branch() {
    let bench = Bench::new();
    let error = bench.fetch(&bench.main()).unwrap_err();
    assert_eq!(
        error,
        GitError::ReferenceNotFound { url: bench.server.url(), reference: "branch \"main\"".to_owned() }
    );
}
