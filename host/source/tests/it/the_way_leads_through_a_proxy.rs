use std::collections::BTreeMap;

use plumb_source::git::{Fetch, GitError, GitUrl, Limits};
use plumb_source::transport::Proxy;
use plumb_test_support::{Auth, Authority, GitServerOptions, ProxyServer};
use rstest::rstest;

use crate::{Bench, read, snapshot};

const LOGIN: (&str, &str) = ("ada", "p:w @ü%41");

fn proxy(address: &str, login: Option<(&str, &str)>) -> Option<Proxy> {
    let mut data = BTreeMap::from([("address".to_owned(), address.as_bytes().to_vec())]);
    if let Some((username, password)) = login {
        data.insert("username".to_owned(), username.into());
        data.insert("password".to_owned(), password.into());
    }
    Some(Proxy::from_secret(&data).unwrap())
}

fn bench(tls: Option<Authority>) -> Bench {
    let bench = Bench::with(
        GitServerOptions { auth: Auth::Anonymous, tls, ..GitServerOptions::default() },
        Limits::default(),
    );
    bench.repo.write("file", "bytes").unwrap().commit("one").unwrap();
    bench
}

/// A fetch of the same server by a name that only the proxy knows.
fn by_name(bench: &Bench) -> (Fetch, String) {
    let url = bench.server.url().replace("127.0.0.1", "git.test");
    let target = bench.server.origin().replace("http://127.0.0.1", "git.test");
    (Fetch { url: GitUrl::parse(&url).unwrap(), ..bench.main() }, target)
}

#[rstest]
fn which_resolves_the_name_of_the_server(
    #[values("http", "socks5", "socks5h")] scheme: &str,
    #[values(None, Some(LOGIN))] login: Option<(&str, &str)>,
) {
    let (bench, server) = (bench(None), ProxyServer::start(login).unwrap());
    let (mut fetch, target) = by_name(&bench);
    fetch.credentials.transport.proxy = proxy(&server.url(scheme), login);
    assert_eq!(read(&snapshot(bench.fetch(&fetch)), "file"), "bytes");
    assert!(!server.asked().is_empty());
    assert!(server.asked().iter().all(|asked| *asked == target), "{:?}", server.asked());
}

#[rstest]
fn also_over_tls_from_end_to_end(#[values("http", "socks5")] scheme: &str) {
    let authority = Authority::new().unwrap();
    let (bench, server) = (bench(Some(authority.clone())), ProxyServer::start(Some(LOGIN)).unwrap());
    let mut fetch = bench.main();
    fetch.credentials.transport.ca = Some(authority.ca_pem().as_bytes().to_vec());
    fetch.credentials.transport.proxy = proxy(&server.url(scheme), Some(LOGIN));
    assert_eq!(read(&snapshot(bench.fetch(&fetch)), "file"), "bytes");
    assert!(!server.asked().is_empty());
}

#[test]
fn that_is_itself_reached_over_tls() {
    let authority = Authority::new().unwrap();
    let (bench, server) = (bench(None), ProxyServer::start_over_tls(Some(LOGIN), authority.clone()).unwrap());
    let (mut fetch, _) = by_name(&bench);
    fetch.credentials.transport.ca = Some(authority.ca_pem().as_bytes().to_vec());
    fetch.credentials.transport.proxy = proxy(&server.url("https"), Some(LOGIN));
    assert_eq!(read(&snapshot(bench.fetch(&fetch)), "file"), "bytes");
}

#[rstest]
fn which_lets_nobody_through_without_the_right_login(
    #[values("http", "socks5")] scheme: &str,
    #[values(None, Some(("ada", "hunter2")))] login: Option<(&str, &str)>,
) {
    let authority = Authority::new().unwrap();
    let (bench, server) = (bench(Some(authority)), ProxyServer::start(Some(LOGIN)).unwrap());
    let mut fetch = bench.main();
    fetch.credentials.transport.proxy = proxy(&server.url(scheme), login);
    let error = bench.fetch(&fetch).unwrap_err();
    assert!(matches!(error, GitError::Proxy { .. }), "{error:?}");
    assert!(!format!("{error} {error:?}").contains("hunter2"), "{error:?}");
    assert_eq!(server.asked(), Vec::<String>::new());
    assert_eq!(bench.server.seen(), []);
}

// Attack 6 (sources): what is written as an address is refused although the proxy would connect.
#[test]
fn but_not_to_an_address_that_must_not_be_reached() {
    let (bench, server) = (bench(None), ProxyServer::start(None).unwrap());
    let url = GitUrl::parse("http://169.254.169.254/repo.git").unwrap();
    let mut fetch = Fetch { url, ..bench.main() };
    fetch.credentials.transport.proxy = proxy(&server.url("http"), None);
    let error = bench.fetch(&fetch).unwrap_err();
    assert!(matches!(error, GitError::AddressRefused { .. }), "{error:?}");
    assert_eq!(server.asked(), Vec::<String>::new());
}
