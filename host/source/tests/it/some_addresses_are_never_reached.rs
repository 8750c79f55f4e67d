use plumb_api::GitReference;
use plumb_source::git::{Fetch, GitError, GitUrl, Limits};
use plumb_source::transport::{AddressPolicy, Transport, TransportError};
use plumb_test_support::{Behaviour, GitServer, GitServerOptions};
use rstest::rstest;

use crate::{Bench, fetch_of};

/// A fetch of a URL by somebody who must not reach this machine.
fn refused(bench: &Bench, url: &str) -> GitError {
    let mut fetch = fetch_of(GitUrl::parse(url).unwrap(), GitReference::Branch("main".to_owned()));
    fetch.credentials.transport.addresses = AddressPolicy::parse("127.0.0.0/8,::1").unwrap();
    bench.fetch(&fetch).unwrap_err()
}

// Attack 6 (sources): SSRF by a name and by every spelling of an address.
#[rstest]
#[case("localhost")]
#[case("127.0.0.1")]
#[case("0x7f000001")]
#[case("127.1")]
#[case("[::ffff:127.0.0.1]")]
#[case("0.0.0.0")]
fn by_name_or_number(#[case] host: &str) {
    let bench = Bench::new();
    bench.repo.write("file", "bytes").unwrap().commit("one").unwrap();
    let error = refused(&bench, &bench.server.url().replace("127.0.0.1", host));
    assert!(matches!(error, GitError::AddressRefused { .. }), "{error:?}");
    assert!(!error.to_string().contains("127.0.0.0"), "{error}");
    assert_eq!(bench.server.seen(), []);
}

// Attack 6 (sources): the same by a redirect of a server that may be reached.
#[rstest]
#[case("http://169.254.169.254")]
#[case("http://[::ffff:a9fe:a9fe]")]
fn by_a_redirect(#[case] origin: &str) {
    let bench = Bench::new();
    bench.repo.write("file", "bytes").unwrap().commit("one").unwrap();
    bench.server.set(Behaviour::Redirect(origin.to_owned()));
    let error = bench.fetch(&bench.main()).unwrap_err();
    assert!(matches!(error, GitError::AddressRefused { .. }), "{error:?}");
    assert_eq!(bench.server.seen().len(), 1);
}

#[test]
fn nothing_is_refused_that_is_not_link_local_unless_configured() {
    let bench = Bench::new();
    bench.repo.write("file", "bytes").unwrap().commit("one").unwrap();
    let by_name = GitUrl::parse(&bench.server.url().replace("127.0.0.1", "localhost")).unwrap();
    bench.fetch(&Fetch { url: by_name, ..bench.main() }).unwrap();
}

/// What other kinds of sources use.
async fn get(transport: &Transport, url: &str) -> Result<String, String> {
    let client = transport.client().map_err(|error: TransportError| error.to_string())?;
    let answer = client.get(url).header("authorization", "Bearer secret").send().await;
    let told = |error: reqwest::Error| {
        let causes = std::iter::successors(Some(&error as &dyn std::error::Error), |error| error.source());
        causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
    };
    Ok(answer.map_err(told)?.status().to_string())
}

fn server() -> (Bench, GitServer) {
    let bench = Bench::with(GitServerOptions::default(), Limits::default());
    bench.repo.write("file", "bytes").unwrap().commit("one").unwrap();
    let other = GitServer::start(&bench.repo.root(), GitServerOptions::default()).unwrap();
    (bench, other)
}

// Attack 6 (sources): a client that follows redirects by itself.
#[tokio::test]
async fn by_a_client_that_follows_redirects() {
    let (bench, _other) = server();
    bench.server.set(Behaviour::Redirect("http://169.254.169.254".to_owned()));
    let error = get(&Transport::default(), &format!("{}/HEAD", bench.server.url())).await.unwrap_err();
    assert!(error.contains("the host 169.254.169.254 is at an address"), "{error}");
    let inside = Transport { addresses: AddressPolicy::parse("127.0.0.1").unwrap(), ..Transport::default() };
    let by_name = bench.server.url().replace("127.0.0.1", "localhost");
    let error = get(&inside, &by_name).await.unwrap_err();
    assert!(error.contains("the host localhost is at an address"), "{error}");
    assert_eq!(bench.server.seen().len(), 1);
}

// Attack 5 (sources): a client that follows redirects by itself takes no credentials along.
#[tokio::test]
async fn and_credentials_do_not_reach_another_server() {
    let (bench, other) = server();
    bench.server.set(Behaviour::Redirect(other.origin()));
    let url = format!("{}/HEAD", bench.server.url());
    assert_eq!(get(&Transport::default(), &url).await.unwrap(), "200 OK");
    assert!(bench.server.seen()[0].authorization.is_some());
    assert!(other.seen()[0].authorization.is_none(), "{:?}", other.seen());
}
