//! How much memory a large index of charts takes. A program of its own, because it measures a whole process; and it has one test, which runs itself as that process.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;
use std::{env, fs, thread};

use plumb_source::content::{ContentStore, Limits};
use plumb_source::helm::{ChartFetch, HelmLimits, Index, IndexFetch, IndexFetched};
use plumb_source::transport::Transport;

const ENTRIES: usize = 1_000_000;
const CHARTS: usize = 1_000;
const MIB: u64 = 1024 * 1024;

const URL: &str = "PLUMB_TEST_URL";
const STORE: &str = "PLUMB_TEST_STORE";

/// An index of about 50 MB.
fn index() -> String {
    let mut index = "apiVersion: v1\nentries:\n".to_owned();
    for chart in 0..CHARTS {
        writeln!(index, "  chart-{chart}:").unwrap();
        for version in 0..ENTRIES / CHARTS {
            writeln!(index, "  - {{version: 1.{version}.0, urls: [charts/{chart}-{version}.tgz]}}").unwrap();
        }
    }
    index
}

/// The most memory that this process has used.
fn peak() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
}

/// Attack 10 (sources): an index with a million entries. Neither fetching it nor choosing from it takes memory as it has entries.
#[test]
fn an_index_of_a_million_entries_takes_little_memory() {
    match env::var(URL) {
        Ok(url) => fetch(url),
        Err(_) => serve(),
    }
}

fn serve() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    thread::spawn(move || {
        let index = index();
        assert!(index.len() as u64 > 45 * MIB, "it has {} bytes", index.len());
        let (mut client, _) = listener.accept().unwrap();
        let mut request = BufReader::new(client.try_clone().unwrap()).lines();
        while request.next().is_some_and(|line| !line.unwrap().is_empty()) {}
        write!(client, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{index}", index.len()).unwrap();
    });
    let store = tempfile::TempDir::new().unwrap();
    let child =
        Command::new(env::current_exe().unwrap()).env(URL, url).env(STORE, store.path()).output().unwrap();
    assert!(child.status.success(), "{}", String::from_utf8_lossy(&child.stdout));
}

#[tokio::main(flavor = "current_thread")]
async fn fetch(url: String) {
    let store = env::var_os(STORE).unwrap();
    let store = Arc::new(ContentStore::open(store.as_ref(), Limits::default()).unwrap());
    let repository = ChartFetch {
        url,
        login: None,
        pass_credentials: false,
        transport: Transport::default(),
        timeout: Duration::from_secs(600),
        limits: HelmLimits::default(),
        signers: None,
    };
    let fetch = IndexFetch { owner: "me".to_owned(), repository, known: None };
    let IndexFetched::New { stored, .. } = fetch.fetch(&store).await.unwrap() else { panic!("it is new") };
    let fetching = peak();
    assert!(fetching < 64 * MIB, "fetching took {fetching} bytes");

    let index = Index::open(&store, stored.tree.as_ref(), "it").unwrap();
    assert_eq!(index.find("chart-999", "1.x").unwrap().version, "1.999.0");
    let choosing = peak();
    assert!(choosing < 64 * MIB, "choosing took {choosing} bytes");
}
