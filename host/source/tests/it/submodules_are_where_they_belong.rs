use std::fs;
use std::path::Path;
use std::sync::Arc;

use plumb_api::{GitReference, Sensitive};
use plumb_source::git::{
    Credentials, Fetch, Fetched, GitError, Limits, Login, Selection, Snapshot, Submodules,
};
use plumb_test_support::{Auth, Behaviour, GitRepo, GitServer, GitServerOptions};
use plumb_tree::{EntryKind, TreePath, View};
use rstest::rstest;

use crate::{Bench, known, read, snapshot};

/// A repository that is served beside the one of the bench, as `NAME.git`.
struct Beside {
    repo: GitRepo,
    bare: String,
}

impl Beside {
    fn new(bench: &Bench, name: &str) -> Self {
        let bare = bench.repo.root().join(format!("{name}.git")).to_str().unwrap().to_owned();
        let repo = GitRepo::new().unwrap();
        repo.git(&["init", "-q", "--bare", "-b", "main", &bare]).unwrap();
        Self { repo, bare }
    }

    /// Commits a file, and answers the id of the commit.
    fn commit(&self, file: &str, bytes: &str) -> String {
        let commit = self.repo.write(file, bytes).unwrap().commit(bytes).unwrap();
        self.repo.git(&["push", "-q", "-f", &self.bare, "main"]).unwrap();
        commit
    }
}

/// Says where submodules are, without looking whether they are there.
fn declare(repo: &GitRepo, submodules: &[(&str, &str, &str)]) {
    let mut text = String::new();
    for (path, url, commit) in submodules {
        text.push_str(&format!("[submodule \"{path}\"]\n\tpath = {path}\n\turl = \"{url}\"\n"));
        fs::create_dir_all(repo.work_tree().join(path)).unwrap();
        repo.git(&["update-index", "--add", "--cacheinfo", &format!("160000,{commit},{path}")]).unwrap();
    }
    repo.write(".gitmodules", text).unwrap();
}

fn recurse(bench: &Bench) -> Fetch {
    let selection = Selection { submodules: Submodules::Recurse, ..Selection::default() };
    Fetch { selection, ..bench.main() }
}

/// A repository with one submodule at `vendor/lib`.
fn with_lib() -> (Bench, Beside) {
    let bench = Bench::new();
    let lib = Beside::new(&bench, "lib");
    let commit = lib.commit("lib.yaml", "one");
    declare(&bench.repo, &[("vendor/lib", "../lib.git", &commit)]);
    bench.repo.write("app.yaml", "app").unwrap().commit("one").unwrap();
    (bench, lib)
}

#[test]
fn they_are_fetched_when_that_is_asked_for() {
    let (bench, lib) = with_lib();
    let plain = bench.snapshot();
    assert_eq!(plain.tree.kind(&TreePath::new("vendor/lib").unwrap()), Ok(Some(EntryKind::Opaque)));
    let first = snapshot(bench.fetch(&recurse(&bench)));
    assert_eq!(
        (read(&first, "vendor/lib/lib.yaml"), read(&first, "app.yaml")),
        ("one".to_owned(), "app".to_owned())
    );
    assert_eq!(first.revision, plain.revision);
    assert_ne!(first.digest, plain.digest);
    // The submodule moves when the repository says so, and not before.
    let commit = lib.commit("lib.yaml", "two");
    let again = Fetch { known: Some(known(&first)), ..recurse(&bench) };
    assert!(matches!(bench.fetch(&again), Ok(Fetched::Unchanged(_))));
    declare(&bench.repo, &[("vendor/lib", "../lib.git", &commit)]);
    bench.repo.commit("two").unwrap();
    let second = snapshot(bench.fetch(&again));
    assert_eq!(read(&second, "vendor/lib/lib.yaml"), "two");
    assert_eq!(read(&first, "vendor/lib/lib.yaml"), "one");
    // A render that read the submodule depends on what it read there, and on nothing else.
    let view = View::new(Arc::clone(&first.tree), 99);
    view.read("app.yaml").unwrap();
    assert!(view.record().holds_for(&*second.tree));
    view.read("vendor/lib/lib.yaml").unwrap();
    assert!(!view.record().holds_for(&*second.tree));
}

#[test]
fn they_survive_a_restart_and_are_kept_with_their_repository() {
    let (bench, _lib) = with_lib();
    let first = known(&snapshot(bench.fetch(&recurse(&bench))));
    let mut bench = bench.restart();
    bench.store.retain(&[bench.url()]).unwrap();
    bench.server.stop();
    let selection = recurse(&bench).selection;
    let again = bench.store.snapshot(&bench.url(), &first.revision, &selection).unwrap();
    assert_eq!((read(&again, "vendor/lib/lib.yaml"), again.digest), ("one".to_owned(), first.digest));
    drop(again.tree);
    bench.store.retain(&[]).unwrap();
    assert!(bench.store.snapshot(&bench.url(), &first.revision, &selection).is_none());
}

#[test]
fn one_that_was_lost_is_fetched_again() {
    let (bench, _lib) = with_lib();
    let first = known(&snapshot(bench.fetch(&recurse(&bench))));
    let bench = bench.restart();
    let lib = format!("{}/lib.git", bench.server.origin());
    for entry in fs::read_dir(bench.dir.path()).unwrap() {
        let dir = entry.unwrap().path();
        if fs::read_to_string(dir.join("url")).is_ok_and(|url| url.trim_end() == lib) {
            fs::remove_dir_all(dir).unwrap();
        }
    }
    let again = Fetch { known: Some(first), ..recurse(&bench) };
    assert_eq!(read(&snapshot(bench.fetch(&again)), "vendor/lib/lib.yaml"), "one");
}

#[test]
fn they_are_found_in_each_other() {
    let bench = Bench::new();
    let (outer, inner) = (Beside::new(&bench, "outer"), Beside::new(&bench, "inner"));
    let commit = inner.commit("inner.yaml", "inner");
    declare(&outer.repo, &[("inner", "../inner.git", &commit)]);
    let commit = outer.commit("outer.yaml", "outer");
    let link = "../outer/inner/inner.yaml";
    declare(&bench.repo, &[("outer", &format!("{}/outer.git", bench.server.origin()), &commit)]);
    bench.repo.link("app/link.yaml", link).unwrap().commit("one").unwrap();
    let found = snapshot(bench.fetch(&recurse(&bench)));
    assert_eq!(read(&found, "outer/outer.yaml"), "outer");
    assert_eq!(read(&found, "outer/inner/inner.yaml"), "inner");
    // Attack 3 (Sources): a link that stays inside works, also into a submodule.
    assert_eq!(View::new(found.tree, 99).read("app/link.yaml").unwrap(), b"inner");
}

#[test]
fn only_those_that_are_seen_are_fetched() {
    let (bench, lib) = with_lib();
    let commit = lib.repo.head().unwrap();
    declare(&bench.repo, &[("vendor/lib", "../lib.git", &commit), ("other/gone", "../gone.git", &commit)]);
    bench.repo.commit("two").unwrap();
    let mut fetch = recurse(&bench);
    let error = bench.fetch(&fetch).unwrap_err();
    let gone = format!(
        "the submodule \"other/gone\" of {} cannot be fetched: there is no repository at {}/gone.git",
        bench.server.url(),
        bench.server.origin()
    );
    assert!(error.to_string().starts_with(&gone), "{error}");
    fetch.selection.sparse_checkout = vec!["vendor/lib".to_owned()];
    assert_eq!(read(&snapshot(bench.fetch(&fetch)), "vendor/lib/lib.yaml"), "one");
}

#[test]
fn what_git_does_not_know_as_a_submodule_is_left_as_it_is() {
    let (bench, lib) = with_lib();
    let commit = lib.repo.head().unwrap();
    declare(&bench.repo, &[("undeclared", "../lib.git", &commit)]);
    let declared = "[submodule \"lib\"]\npath = vendor/lib\nurl = ../lib.git\n[submodule \"not there\"]\npath = nothing\nurl = ../nothing.git\n[submodule \"a file\"]\npath = app.yaml\nurl = ../nothing.git\n";
    bench.repo.write(".gitmodules", declared).unwrap().commit("two").unwrap();
    let found = snapshot(bench.fetch(&recurse(&bench)));
    assert_eq!(
        (read(&found, "vendor/lib/lib.yaml"), read(&found, "app.yaml")),
        ("one".to_owned(), "app".to_owned())
    );
    assert_eq!(found.tree.kind(&TreePath::new("undeclared").unwrap()), Ok(Some(EntryKind::Opaque)));
    assert_eq!(found.tree.kind(&TreePath::new("nothing").unwrap()), Ok(None));
}

#[test]
fn a_server_that_hands_out_no_single_commits_is_asked_for_its_branches() {
    let bench = Bench::new();
    let lib = Beside::new(&bench, "lib");
    let old = lib.commit("lib.yaml", "one");
    lib.commit("lib.yaml", "two");
    declare(&bench.repo, &[("lib", "../lib.git", &old)]);
    bench.repo.commit("one").unwrap();
    bench.server.set(Behaviour::Refuse(old));
    assert_eq!(read(&snapshot(bench.fetch(&recurse(&bench))), "lib/lib.yaml"), "one");
    declare(&bench.repo, &[("lib", "../lib.git", &"1234567890".repeat(4))]);
    bench.repo.commit("two").unwrap();
    let error = bench.fetch(&recurse(&bench)).unwrap_err();
    let GitError::Submodule { name, error, .. } = error else { panic!("{error}") };
    assert!(name == "lib" && matches!(*error, GitError::CommitNotFound { .. }), "{error}");
}

/// Attack 4 (Sources): what could run a program, read the disk of this host, or write elsewhere, is refused by the name of the submodule.
#[rstest]
#[case::local("[submodule \"evil\"]\npath = lib\nurl = file:///etc\n")]
#[case::program("[submodule \"evil\"]\npath = lib\nurl = ext::sh -c id\n")]
#[case::option("[submodule \"evil\"]\npath = lib\nurl = -u./payload\n")]
#[case::command("[submodule \"evil\"]\npath = lib\nurl = ../lib.git\nupdate = !touch /tmp/pwned\n")]
#[case::outside("[submodule \"evil\"]\npath = ../lib\nurl = ../lib.git\n")]
#[case::hooks("[submodule \"../../.git/hooks\"]\npath = lib\nurl = ../lib.git\n")]
#[case::above("[submodule \"evil\"]\npath = lib\nurl = ../../../../etc\n")]
#[case::no_configuration("[submodule \"evil\n")]
fn an_evil_submodule_is_refused(#[case] gitmodules: &str) {
    let bench = Bench::new();
    let lib = Beside::new(&bench, "lib");
    let commit = lib.commit("lib.yaml", "one");
    declare(&bench.repo, &[("lib", "../lib.git", &commit)]);
    bench.repo.write(".gitmodules", gitmodules).unwrap().commit("one").unwrap();
    let error = bench.fetch(&recurse(&bench)).unwrap_err();
    let GitError::SubmoduleRefused { name, url, .. } = &error else { panic!("{error}") };
    assert_eq!(*url, bench.server.url());
    assert!(["evil", "../../.git/hooks", ".gitmodules"].contains(&name.as_str()), "{name}");
    assert!(bench.server.seen().iter().all(|seen| !seen.path.starts_with("/lib.git")));
    assert!(!Path::new("/tmp/pwned").exists());
    // Who does not ask for submodules is not hurt by them.
    bench.snapshot();
}

/// Attack 4 (Sources): `.gitmodules` as a link, filters of `.gitattributes`, pointers of LFS and hooks: bytes are handed out as they were committed.
#[test]
fn nothing_of_git_runs() {
    let bench = Bench::new();
    let pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:aa\nsize 3\n";
    bench.repo.write("large.bin", pointer).unwrap();
    bench.repo.write("hooks/post-checkout", "#!/bin/sh\ntouch /tmp/pwned\n").unwrap();
    bench.repo.write(".gitattributes", "*.bin filter=lfs\n*.txt ident eol=crlf\n").unwrap();
    bench.repo.write("a.txt", "$Id$\n").unwrap().commit("one").unwrap();
    let found = bench.snapshot();
    assert_eq!((read(&found, "large.bin"), read(&found, "a.txt")), (pointer.to_owned(), "$Id$\n".to_owned()));
}

/// Attack 4 (Sources): the real `git` refuses to commit such a link.
#[test]
fn gitmodules_that_is_a_link_is_refused() {
    let bench = Bench::new();
    bench.repo.write("file", "/etc/passwd").unwrap().commit("one").unwrap();
    let blob = bench.repo.git(&["rev-parse", "HEAD:file"]).unwrap();
    let tree =
        bench.repo.git_with_input(&["mktree"], format!("120000 blob {blob}\t.gitmodules\n").as_bytes());
    let evil = bench.repo.git(&["commit-tree", "-m", "evil", &tree.unwrap()]).unwrap();
    bench.repo.git(&["push", "-q", "-f", "origin", &format!("{evil}:refs/heads/main")]).unwrap();
    let error = bench.fetch(&recurse(&bench)).unwrap_err();
    assert!(matches!(&error, GitError::SubmoduleRefused { name, .. } if name == ".gitmodules"), "{error}");
}

/// Attacks 4 and 7 (Sources): submodules in each other without end.
#[test]
fn submodules_in_each_other_are_bounded() {
    let bench = Bench::new();
    let url = bench.server.url();
    let mut commit = bench.repo.write("file", "0").unwrap().commit("0").unwrap();
    let mut reached = 0;
    for depth in 1..12 {
        declare(&bench.repo, &[("me", &url, &commit)]);
        commit = bench.repo.write("file", depth.to_string()).unwrap().commit("deeper").unwrap();
        match bench.fetch(&recurse(&bench)) {
            Ok(Fetched::New(found)) => {
                let path = format!("{}file", "me/".repeat(depth));
                assert_eq!(read(&found, &path), "0");
                reached = depth;
            }
            Ok(Fetched::Unchanged(_)) => panic!("nothing was known"),
            Err(error) => assert!(error.to_string().contains("more than 8 in each other"), "{error}"),
        }
    }
    assert_eq!(reached, 8);
}

/// Attack 5 (Sources): credentials go to the host that they are for.
#[test]
fn credentials_are_not_sent_to_another_host() {
    let auth = Auth::Basic { username: "ada".to_owned(), password: "correct".to_owned() };
    let bench = Bench::with(GitServerOptions { auth, ..GitServerOptions::default() }, Limits::default());
    let lib = Beside::new(&bench, "lib");
    let commit = lib.commit("lib.yaml", "lib");
    let elsewhere = GitRepo::new().unwrap();
    let foreign = elsewhere.write("foreign.yaml", "foreign").unwrap().commit("one").unwrap();
    let stranger = GitServer::start(&elsewhere.root(), GitServerOptions::default()).unwrap();
    declare(&bench.repo, &[("lib", "../lib.git", &commit), ("foreign", &stranger.url(), &foreign)]);
    bench.repo.commit("one").unwrap();
    let login = Login::Basic { username: "ada".to_owned(), password: Sensitive::new("correct".to_owned()) };
    let credentials = Credentials { login, ..Credentials::default() };
    let found: Snapshot = snapshot(bench.fetch(&Fetch { credentials, ..recurse(&bench) }));
    assert_eq!(
        (read(&found, "lib/lib.yaml"), read(&found, "foreign/foreign.yaml")),
        ("lib".to_owned(), "foreign".to_owned())
    );
    assert!(
        bench
            .server
            .seen()
            .iter()
            .any(|seen| seen.path.starts_with("/lib.git") && seen.authorization.is_some())
    );
    assert!(!stranger.seen().is_empty());
    assert!(stranger.seen().iter().all(|seen| seen.authorization.is_none()));
    // Who may not read a submodule does not get it from the store.
    let nobody = Fetch { reference: GitReference::Branch("main".to_owned()), ..recurse(&bench) };
    assert!(matches!(bench.fetch(&nobody), Err(GitError::AuthenticationFailed { .. })));
}
