use plumb_api::GitReference;
use plumb_source::git::{Fetch, Fetched, GitError, Limits};
use plumb_test_support::{Behaviour, GitServerOptions, Protocol};
use rstest::rstest;

use crate::{Bench, fetch_of, known, read, snapshot};

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
fn a_server_of_the_old_protocol_is_understood() {
    let options = GitServerOptions { protocol: Protocol::V0, ..GitServerOptions::default() };
    let bench = Bench::with(options, Limits::default());
    let first = bench.repo.write("file", "1").unwrap().commit("one").unwrap();
    bench.repo.write("file", "2").unwrap().commit("two").unwrap();
    assert_eq!(read(&bench.snapshot(), "file"), "2");
    let commit = |sha: String| fetch_of(bench.url(), GitReference::Commit { branch: None, sha });
    assert_eq!(read(&snapshot(bench.fetch(&commit(first))), "file"), "1");
    let error = bench.fetch(&commit("1234567890".repeat(4))).unwrap_err();
    assert!(matches!(&error, GitError::CommitNotFound { .. }), "{error}");
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

/// As in Flux: a commit that is named together with a branch has to be on that branch. Anybody may push the head of a pull request.
#[rstest]
#[case::with_a_server_that_leaves_files_out("true")]
#[case::with_one_that_cannot("false")]
fn a_commit_has_to_be_on_the_branch_that_is_named_with_it(#[case] allow_filter: &str) {
    let mut bench = Bench::new();
    let bare = bench.repo.bare();
    bench
        .repo
        .git(&["--git-dir", bare.to_str().unwrap(), "config", "uploadpack.allowFilter", allow_filter])
        .unwrap();
    let first = bench.repo.write("file", "1").unwrap().commit("one").unwrap();
    bench.repo.write("file", "2").unwrap().commit("two").unwrap();
    bench.repo.branch("other").unwrap();
    let elsewhere = bench.repo.write("file", "3").unwrap().commit("three").unwrap();
    let on_main = |sha: &str| {
        fetch_of(bench.url(), GitReference::Commit { branch: Some("main".into()), sha: sha.to_owned() })
    };
    let error = bench.fetch(&on_main(&elsewhere)).unwrap_err();
    assert_eq!(
        error.to_string(),
        format!(
            "the branch \"main\" of {} does not have the commit {elsewhere}; name the branch that has it, or remove spec.ref.branch",
            bench.server.url()
        )
    );
    let found = snapshot(bench.fetch(&on_main(&first)));
    assert_eq!(read(&found, "file"), "1");
    // The history is not fetched for it again.
    let asked = bench.server.asked_for_objects().len();
    let again = Fetch { known: Some(known(&found)), ..on_main(&first) };
    assert!(matches!(bench.fetch(&again), Ok(Fetched::Unchanged(_))));
    snapshot(bench.fetch(&on_main(&first)));
    assert_eq!(bench.server.asked_for_objects().len(), asked);
    // What is here for others is no reason to hand it out.
    snapshot(bench.fetch(&fetch_of(bench.url(), GitReference::Branch("other".into()))));
    assert!(matches!(bench.fetch(&on_main(&elsewhere)), Err(GitError::NotOnBranch { .. })));
}

#[rstest]
#[case::named_alone(None)]
#[case::with_its_branch(Some("main"))]
fn a_server_that_hands_out_no_single_commits_sends_the_history(#[case] branch: Option<&str>) {
    let bench = Bench::new();
    let first = bench.repo.write("file", "1").unwrap().commit("one").unwrap();
    bench.repo.write("file", "2").unwrap().commit("two").unwrap();
    assert_eq!(read(&bench.snapshot(), "file"), "2");
    bench.server.set(Behaviour::Refuse(first.clone()));
    let reference = GitReference::Commit { branch: branch.map(str::to_owned), sha: first };
    assert_eq!(read(&snapshot(bench.fetch(&fetch_of(bench.url(), reference))), "file"), "1");
    // What comes next is incremental again.
    bench.repo.write("file", "3").unwrap().commit("three").unwrap();
    assert_eq!(read(&bench.snapshot(), "file"), "3");
}
