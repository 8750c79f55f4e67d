//! How much memory a large repository takes. A program of its own, because it measures the whole process; and it has one test, because tests run side by side.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;
use std::{env, fs};

use plumb_api::GitReference;
use plumb_source::Cancel;
use plumb_source::git::{Credentials, Fetch, Fetched, GitStore, GitUrl, Limits, Selection};
use plumb_test_support::{GitRepo, GitServer, GitServerOptions};
use plumb_tree::{TreePath, View};
use tempfile::TempDir;

const DIRECTORIES: usize = 1_000;
const FILES: usize = 100;
const MIB: u64 = 1024 * 1024;

/// The stream for `git fast-import` of a commit with 100 000 files that all differ.
fn stream() -> String {
    let mut text =
        "commit refs/heads/main\ncommitter Ada <ada@example.com> 1700000000 +0000\ndata 5\nlarge\n"
            .to_owned();
    for directory in 0..DIRECTORIES {
        for file in 0..FILES {
            let bytes = format!("kind: ConfigMap # {directory}/{file}\n");
            text.push_str(&format!(
                "M 100644 inline apps/{directory}/manifests/{file}.yaml\ndata {}\n{bytes}\n",
                bytes.len()
            ));
        }
    }
    text
}

/// The most memory that the process has used since [`forget_peak`], in bytes.
fn peak() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
}

fn forget_peak() -> u64 {
    // See proc(5): 5 sets the peak to what is used now.
    fs::write("/proc/self/clear_refs", "5").unwrap();
    peak()
}

fn selection() -> Selection {
    Selection { ignore: Some("*.png\n!logo.png\n".to_owned()), ..Selection::default() }
}

/// The same test in a process of its own, which has no memory left over from fetching: it looks at what is in this store.
const STORE: &str = "PLUMB_TEST_STORE";
const REVISION: &str = "PLUMB_TEST_REVISION";
const URL: &str = "PLUMB_TEST_URL";

/// Attack 7 (Sources): a repository of 100 000 files. Neither fetching it nor looking at a directory of it takes memory as it has files.
#[test]
fn a_repository_of_100_000_files_takes_little_memory() {
    match env::var_os(STORE) {
        Some(store) => look(Path::new(&store)),
        None => fetch(),
    }
}

fn fetch() {
    let repo = GitRepo::new().unwrap();
    let bare = repo.bare();
    let import = ["--git-dir", bare.to_str().unwrap(), "fast-import", "--quiet"];
    repo.git_with_input(&import, stream().as_bytes()).unwrap();
    let server = GitServer::start(&repo.root(), GitServerOptions::default()).unwrap();
    let dir = TempDir::new().unwrap();
    let store = GitStore::open(dir.path(), Limits::default()).unwrap();
    let fetch = Fetch {
        url: GitUrl::parse(&server.url()).unwrap(),
        reference: GitReference::Branch("main".to_owned()),
        credentials: Credentials::default(),
        timeout: Duration::from_secs(300),
        selection: selection(),
        verify: None,
        known: None,
    };
    let before = forget_peak();
    let Fetched::New(snapshot) = store.fetch(&fetch, &Cancel::new()).unwrap() else { panic!("it is new") };
    let fetching = peak() - before;
    assert!(fetching < 128 * MIB, "fetching took {fetching} bytes");
    drop(store);
    let looked = Command::new(env::current_exe().unwrap())
        .env(STORE, dir.path())
        .env(REVISION, snapshot.revision.to_string())
        .env(URL, server.url())
        .output()
        .unwrap();
    assert!(looked.status.success(), "{}", String::from_utf8_lossy(&looked.stdout));
}

fn look(store: &Path) {
    let store = GitStore::open(store, Limits::default()).unwrap();
    let url = GitUrl::parse(&env::var(URL).unwrap()).unwrap();
    let revision = env::var(REVISION).unwrap().parse().unwrap();
    let before = forget_peak();
    let snapshot = store.snapshot(&url, &revision, &selection()).unwrap();
    let opening = peak() - before;
    assert!(opening < 48 * MIB, "looking whether all is there took {opening} bytes");

    let before = forget_peak();
    let view = View::new(Arc::clone(&snapshot.tree), MIB);
    assert_eq!(view.list("apps").unwrap().len(), DIRECTORIES);
    let directory = "apps/500/manifests";
    for entry in view.list(directory).unwrap() {
        view.read(&format!("{directory}/{}", entry.name)).unwrap();
    }
    let rendering = peak() - before;
    assert!(rendering < 8 * MIB, "one directory took {rendering} bytes");

    let before = forget_peak();
    for number in 0..DIRECTORIES {
        let directory = TreePath::new(&format!("apps/{number}/manifests")).unwrap();
        assert_eq!(snapshot.tree.list(&directory).unwrap().len(), FILES);
    }
    let listing = peak() - before;
    // What is remembered of directories is bounded by 16 MiB, about; the rest are pages of the pack, which the system may take back.
    assert!(listing < 48 * MIB, "all directories took {listing} bytes");
}
