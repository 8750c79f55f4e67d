//! Fetching from real Git servers on loopback.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod a_bucket_is_a_tree;
mod a_bucket_is_not_trusted;
mod a_bucket_is_signed_in_to;
mod a_chart_becomes_a_tree;
mod a_damaged_store_is_fetched_anew;
mod a_fetch_ends_in_time;
mod a_helm_repository_is_not_trusted;
mod a_machine_tells_the_controller_who_it_is;
mod a_selection_is_what_users_see;
mod a_snapshot_reads_the_commit;
mod an_archive_is_unpacked_or_refused;
mod an_artifact_of_another_controller_is_taken;
mod clusters_of_clouds_are_found;
mod every_reference_leads_to_its_commit;
mod files_are_left_out_as_in_flux;
mod key_services_decrypt;
mod oci;
mod only_what_is_new_is_fetched;
mod only_what_is_signed_is_taken;
mod providers_are_asked_for_tokens;
mod servers_are_signed_in_to;
mod some_addresses_are_never_reached;
mod stored_content_is_whole_or_not_there;
mod submodules_are_where_they_belong;
mod tarball;
mod the_server_goes_away_and_comes_back;
mod the_way_leads_through_a_proxy;
mod web;
mod workloads;

use std::time::Duration;

use plumb_api::GitReference;
use plumb_source::Cancel;
use plumb_source::git::{
    Credentials, Fetch, Fetched, GitError, GitStore, GitUrl, Known, Limits, OpenError, Selection, Snapshot,
};
use plumb_test_support::{GitRepo, GitServer, GitServerOptions};
use tempfile::TempDir;

/// A repository, a server of it, and a store: what most tests need.
struct Bench {
    repo: GitRepo,
    server: GitServer,
    store: GitStore,
    dir: TempDir,
}

impl Bench {
    fn new() -> Self {
        Self::with(GitServerOptions::default(), Limits::default())
    }

    fn with(options: GitServerOptions, limits: Limits) -> Self {
        let repo = GitRepo::new().unwrap();
        let server = GitServer::start(&repo.root(), options).unwrap();
        let dir = TempDir::new().unwrap();
        let store = GitStore::open(dir.path(), limits).unwrap();
        Self { repo, server, store, dir }
    }

    fn url(&self) -> GitUrl {
        GitUrl::parse(&self.server.url()).unwrap()
    }

    fn main(&self) -> Fetch {
        fetch_of(self.url(), GitReference::Branch("main".to_owned()))
    }

    fn fetch(&self, fetch: &Fetch) -> Result<Fetched, GitError> {
        self.store.fetch(fetch, &Cancel::new())
    }

    /// Fetches `main`, which is new.
    fn snapshot(&self) -> Snapshot {
        snapshot(self.fetch(&self.main()))
    }

    /// The same directory opened by a process that starts.
    fn restart(self) -> Self {
        let Self { repo, server, store, dir } = self;
        drop(store);
        let store = loop {
            match GitStore::open(dir.path(), Limits::default()) {
                // A program that another test is starting holds our files, and so the lock, until it runs.
                Err(OpenError::InUse(_)) => std::thread::yield_now(),
                opened => break opened.unwrap(),
            }
        };
        Self { repo, server, store, dir }
    }
}

fn fetch_of(url: GitUrl, reference: GitReference) -> Fetch {
    Fetch {
        url,
        reference,
        credentials: Credentials::default(),
        timeout: Duration::from_secs(60),
        verify: None,
        selection: Selection::default(),
        known: None,
    }
}

fn snapshot(fetched: Result<Fetched, GitError>) -> Snapshot {
    match fetched.unwrap() {
        Fetched::New(snapshot) => snapshot,
        Fetched::Unchanged(revision) => panic!("{revision} is not new"),
    }
}

fn known(snapshot: &Snapshot) -> Known {
    Known { revision: snapshot.revision.clone(), digest: snapshot.digest.clone() }
}

fn read(snapshot: &Snapshot, path: &str) -> String {
    let path = plumb_tree::TreePath::new(path).unwrap();
    String::from_utf8(snapshot.tree.read(&path, 1 << 20).unwrap()).unwrap()
}
