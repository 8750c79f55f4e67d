use plumb_api::Reason;
use std::collections::BTreeMap;

use plumb_api::GitReference;
use plumb_source::Cancel;
use plumb_source::git::{Credentials, Fetch, GitError, GitStore, GitUrl, Limits};
use plumb_source::transport::{AddressPolicy, Proxy, Transport};
use plumb_test_support::{
    Auth, Authority, Behaviour, GitRepo, GitServer, GitServerOptions, ProxyServer, SshServer,
};
use rstest::rstest;
use tempfile::TempDir;

use crate::{Bench, fetch_of, known, read, snapshot};

fn secret(url: &GitUrl, data: &[(&str, &[u8])]) -> Credentials {
    let data: BTreeMap<String, Vec<u8>> =
        data.iter().map(|(key, value)| ((*key).to_owned(), value.to_vec())).collect();
    Credentials::from_secret(&data, url).unwrap()
}

fn basic() -> Auth {
    Auth::Basic { username: "ada".to_owned(), password: "correct".to_owned() }
}

fn bearer() -> Auth {
    Auth::Bearer("correct".to_owned())
}

fn bench(auth: Auth) -> Bench {
    let bench =
        Bench::with(GitServerOptions { auth, tls: None, ..GitServerOptions::default() }, Limits::default());
    bench.repo.write("file", "secret bytes").unwrap().commit("one").unwrap();
    bench
}

fn signed_in(bench: &Bench, data: &[(&str, &str)]) -> Fetch {
    let data: Vec<(&str, &[u8])> = data.iter().map(|(key, value)| (*key, value.as_bytes())).collect();
    Fetch { credentials: secret(&bench.url(), &data), ..bench.main() }
}

#[rstest]
#[case(basic(), &[("username", "ada"), ("password", "correct")])]
#[case(bearer(), &[("bearerToken", "correct")])]
#[case(bearer(), &[("bearerToken", "correct\n")])]
fn with_what_the_server_wants(#[case] auth: Auth, #[case] data: &[(&str, &str)]) {
    let bench = bench(auth);
    assert_eq!(read(&snapshot(bench.fetch(&signed_in(&bench, data))), "file"), "secret bytes");
}

#[rstest]
#[case(basic(), &[])]
#[case(basic(), &[("username", "ada"), ("password", "hunter2")])]
#[case(bearer(), &[("bearerToken", "hunter2")])]
#[case(bearer(), &[("username", "ada"), ("password", "hunter2")])]
fn and_not_with_anything_else(#[case] auth: Auth, #[case] data: &[(&str, &str)]) {
    let bench = bench(auth);
    let error = bench.fetch(&signed_in(&bench, data)).unwrap_err();
    assert!(matches!(error, GitError::AuthenticationFailed { .. }), "{error}");
    assert_eq!(error.reason(), Reason::AuthenticationFailed);
    assert!(!format!("{error} {error:?}").contains("hunter2"), "{error:?}");
    assert_eq!(bench.server.seen().len(), 1);
}

#[test]
fn a_known_revision_is_not_told_to_who_may_not_read() {
    let bench = bench(basic());
    let first = snapshot(bench.fetch(&signed_in(&bench, &[("username", "ada"), ("password", "correct")])));
    let stranger = Fetch { known: Some(known(&first)), ..bench.main() };
    assert!(matches!(bench.fetch(&stranger), Err(GitError::AuthenticationFailed { .. })));
}

#[test]
fn with_a_user_in_the_url() {
    let bench = bench(basic());
    let url = bench.server.url().replace("http://", "http://ada:correct@");
    let fetch = fetch_of(GitUrl::parse(&url).unwrap(), GitReference::Branch("main".to_owned()));
    assert_eq!(read(&snapshot(bench.fetch(&fetch)), "file"), "secret bytes");
}

#[test]
fn over_tls_when_its_authority_is_in_the_secret() {
    let authority = Authority::new().unwrap();
    let options = GitServerOptions {
        auth: Auth::Anonymous,
        tls: Some(authority.clone()),
        ..GitServerOptions::default()
    };
    let bench = Bench::with(options, Limits::default());
    bench.repo.write("file", "bytes").unwrap().commit("one").unwrap();
    let trusting = signed_in(&bench, &[("ca.crt", authority.ca_pem())]);
    assert_eq!(read(&snapshot(bench.fetch(&trusting)), "file"), "bytes");
}

#[rstest]
#[case::none(None)]
#[case::of_somebody_else(Some(Authority::new().unwrap().ca_pem().to_owned()))]
#[case::unreadable(Some("not a certificate".to_owned()))]
fn not_over_tls_without_the_right_authority(#[case] ca: Option<String>) {
    let options = GitServerOptions {
        auth: Auth::Anonymous,
        tls: Some(Authority::new().unwrap()),
        ..GitServerOptions::default()
    };
    let bench = Bench::with(options, Limits::default());
    bench.repo.write("file", "bytes").unwrap().commit("one").unwrap();
    let data: Vec<_> = ca.iter().map(|ca| ("ca.crt", ca.as_str())).collect();
    let error = bench.fetch(&signed_in(&bench, &data)).unwrap_err();
    assert!(matches!(error, GitError::UntrustedCertificate { .. }), "{error:?}");
    assert_eq!(bench.server.seen(), []);
}

fn mutual(authority: &Authority) -> Bench {
    let options = GitServerOptions {
        auth: Auth::Anonymous,
        tls: Some(authority.clone().demanding_certificates()),
        ..GitServerOptions::default()
    };
    let bench = Bench::with(options, Limits::default());
    bench.repo.write("file", "bytes").unwrap().commit("one").unwrap();
    bench
}

#[rstest]
#[case("ca.crt", "tls.crt", "tls.key")]
#[case("caFile", "certFile", "keyFile")]
fn over_tls_with_a_client_certificate(#[case] ca: &str, #[case] cert: &str, #[case] key: &str) {
    let authority = Authority::new().unwrap();
    let bench = mutual(&authority);
    let (cert_pem, key_pem) = authority.client();
    let fetch = signed_in(&bench, &[(ca, authority.ca_pem()), (cert, cert_pem), (key, key_pem)]);
    assert_eq!(read(&snapshot(bench.fetch(&fetch)), "file"), "bytes");
}

#[test]
fn not_over_tls_without_the_client_certificate_that_the_server_wants() {
    let (authority, other) = (Authority::new().unwrap(), Authority::new().unwrap());
    let bench = mutual(&authority);
    let without = signed_in(&bench, &[("ca.crt", authority.ca_pem())]);
    let (cert, key) = other.client();
    let with_anothers =
        signed_in(&bench, &[("ca.crt", authority.ca_pem()), ("tls.crt", cert), ("tls.key", key)]);
    for fetch in [without, with_anothers] {
        let error = bench.fetch(&fetch).unwrap_err();
        // A server that closes the connection at once can outrun its own words.
        assert!(
            matches!(error, GitError::ClientCertificate { .. } | GitError::Unreachable { .. }),
            "{error:?}"
        );
    }
    assert_eq!(bench.server.seen(), []);
}

#[test]
fn not_with_the_key_of_another_certificate() {
    let (authority, other) = (Authority::new().unwrap(), Authority::new().unwrap());
    let bench = mutual(&authority);
    let (cert, key) = (authority.client().0, other.client().1);
    let fetch = signed_in(&bench, &[("ca.crt", authority.ca_pem()), ("tls.crt", cert), ("tls.key", key)]);
    let error = bench.fetch(&fetch).unwrap_err();
    assert!(matches!(error, GitError::ClientCertificate { .. }), "{error:?}");
    assert!(!format!("{error} {error:?}").contains("PRIVATE"), "{error:?}");
}

// Attack 5 (sources): a redirect to another host, with Authorization.
#[test]
fn credentials_do_not_follow_a_redirect_to_another_server() {
    let bench = bench(basic());
    let other = GitServer::start(&bench.repo.root(), GitServerOptions::default()).unwrap();
    bench.server.set(Behaviour::Redirect(other.origin()));
    let fetch = signed_in(&bench, &[("username", "ada"), ("password", "correct")]);
    assert_eq!(read(&snapshot(bench.fetch(&fetch)), "file"), "secret bytes");
    assert!(bench.server.seen().iter().all(|seen| seen.authorization.is_some()));
    assert!(!other.seen().is_empty());
    assert!(other.seen().iter().all(|seen| seen.authorization.is_none()), "{:?}", other.seen());
}

// Attack 5 (sources): a redirect from https to http.
#[test]
fn a_redirect_from_https_to_http_is_refused() {
    let authority = Authority::new().unwrap();
    let bench = Bench::with(
        GitServerOptions {
            auth: Auth::Anonymous,
            tls: Some(authority.clone()),
            ..GitServerOptions::default()
        },
        Limits::default(),
    );
    bench.repo.write("file", "bytes").unwrap().commit("one").unwrap();
    let plain = GitServer::start(&bench.repo.root(), GitServerOptions::default()).unwrap();
    bench.server.set(Behaviour::Redirect(plain.origin()));
    let error = bench.fetch(&signed_in(&bench, &[("ca.crt", authority.ca_pem())])).unwrap_err();
    assert!(matches!(error, GitError::RedirectRefused { .. }), "{error:?}");
    assert_eq!(plain.seen(), []);
}

#[test]
fn redirects_that_never_end_are_refused() {
    let bench = bench(Auth::Anonymous);
    bench.server.set(Behaviour::Redirect(bench.server.origin()));
    let error = bench.fetch(&bench.main()).unwrap_err();
    assert!(matches!(error, GitError::RedirectRefused { .. }), "{error:?}");
    assert_eq!(bench.server.seen().len(), 6);
}

/// A repository served over SSH, and a store.
struct OverSsh {
    repo: GitRepo,
    server: SshServer,
    store: GitStore,
    _dir: TempDir,
}

impl OverSsh {
    fn new(password: &str) -> Self {
        let repo = GitRepo::new().unwrap();
        repo.write("file", "1").unwrap().commit("one").unwrap();
        let dir = TempDir::new().unwrap();
        let store = GitStore::open(dir.path(), Limits::default()).unwrap();
        Self { repo, server: SshServer::start_with_password(password).unwrap(), store, _dir: dir }
    }

    fn fetch(&self, data: &[(&str, &[u8])]) -> Result<plumb_source::git::Fetched, GitError> {
        self.fetch_by(&self.server.url(&self.repo.bare()), Transport::default(), data)
    }

    fn fetch_by(
        &self,
        url: &str,
        transport: Transport,
        data: &[(&str, &[u8])],
    ) -> Result<plumb_source::git::Fetched, GitError> {
        let url = GitUrl::parse(url).unwrap();
        let credentials = Credentials { transport, ..secret(&url, data) };
        let fetch = Fetch { credentials, ..fetch_of(url, GitReference::Branch("main".to_owned())) };
        self.store.fetch(&fetch, &Cancel::new())
    }

    /// The URL of the server by another name, and its key under that name.
    fn by_name(&self, name: &str) -> (String, Vec<u8>) {
        let known_hosts = String::from_utf8(self.server.known_hosts().unwrap()).unwrap();
        let url = self.server.url(&self.repo.bare());
        (url.replace("127.0.0.1", name), known_hosts.replace("127.0.0.1", name).into_bytes())
    }
}

#[rstest]
#[case("http", None)]
#[case("http", Some(("ada", "p:w @ü%41")))]
#[case("socks5", None)]
#[case("socks5", Some(("ada", "p:w @ü%41")))]
fn over_ssh_through_a_proxy(#[case] scheme: &str, #[case] login: Option<(&str, &str)>) {
    let (over, proxy) = (OverSsh::new(""), ProxyServer::start(login).unwrap());
    let (url, known_hosts) = over.by_name("Git.test");
    let identity = over.server.identity().unwrap();
    let data: [(&str, &[u8]); 2] = [("identity", &identity), ("known_hosts", &known_hosts)];
    let through = |address: &str, login: Option<(&str, &str)>| {
        let mut secret = BTreeMap::from([("address".to_owned(), address.as_bytes().to_vec())]);
        if let Some((username, password)) = login {
            secret.insert("username".to_owned(), username.into());
            secret.insert("password".to_owned(), password.into());
        }
        Transport { proxy: Some(Proxy::from_secret(&secret).unwrap()), ..Transport::default() }
    };
    let fetched = over.fetch_by(&url, through(&proxy.url(scheme), login), &data);
    assert_eq!(read(&snapshot(fetched), "file"), "1");
    assert!(proxy.asked()[0].starts_with("Git.test:"), "{:?}", proxy.asked());
    if login.is_some() {
        let wrong = through(&proxy.url(scheme), Some(("ada", "hunter2")));
        let error = over.fetch_by(&url, wrong, &data).unwrap_err();
        assert!(matches!(error, GitError::Proxy { .. }), "{error:?}");
        assert!(!format!("{error} {error:?}").contains("hunter2"), "{error:?}");
    }
    // Attack 6 (sources): what is written as an address is refused although the proxy would connect.
    let error = over.fetch_by("ssh://git@0xA9FEA9FE/repo", through(&proxy.url(scheme), login), &data);
    assert!(matches!(error, Err(GitError::AddressRefused { .. })), "{error:?}");
}

#[test]
fn not_over_ssh_through_a_proxy_over_tls() {
    let over = OverSsh::new("");
    let secret = BTreeMap::from([("address".to_owned(), b"https://127.0.0.1:1".to_vec())]);
    let (identity, known_hosts) = (over.server.identity().unwrap(), over.server.known_hosts().unwrap());
    let transport = Transport { proxy: Some(Proxy::from_secret(&secret).unwrap()), ..Transport::default() };
    let url = over.server.url(&over.repo.bare());
    let error = over
        .fetch_by(&url, transport, &[("identity", &identity), ("known_hosts", &known_hosts)])
        .unwrap_err();
    assert!(matches!(error, GitError::Proxy { .. }), "{error:?}");
}

// Attack 6 (sources): SSRF over ssh, by name and by every spelling of an address.
#[rstest]
#[case("127.0.0.1")]
#[case("localhost")]
#[case("0x7f000001")]
#[case("2130706433")]
#[case("[::ffff:127.0.0.1]")]
fn not_over_ssh_to_an_address_that_must_not_be_reached(#[case] host: &str) {
    let over = OverSsh::new("");
    let (url, known_hosts) = over.by_name(host);
    let identity = over.server.identity().unwrap();
    let addresses = AddressPolicy::parse("127.0.0.0/8,::1").unwrap();
    let transport = Transport { addresses, ..Transport::default() };
    let error = over
        .fetch_by(&url, transport, &[("identity", &identity), ("known_hosts", &known_hosts)])
        .unwrap_err();
    assert!(matches!(error, GitError::AddressRefused { .. }), "{error:?}");
}

#[test]
fn over_ssh_by_a_name() {
    let over = OverSsh::new("");
    let (url, known_hosts) = over.by_name("localhost");
    let identity = over.server.identity().unwrap();
    let data: [(&str, &[u8]); 2] = [("identity", &identity), ("known_hosts", &known_hosts)];
    let fetched = over.fetch_by(&url, Transport::default(), &data);
    assert_eq!(read(&snapshot(fetched), "file"), "1");
    // Known under another name is not known.
    let other = over.server.known_hosts().unwrap();
    let data: [(&str, &[u8]); 2] = [("identity", &identity), ("known_hosts", &other)];
    let error = over.fetch_by(&url, Transport::default(), &data).unwrap_err();
    assert!(matches!(error, GitError::UnknownHost { .. }), "{error:?}");
    assert!(!error.to_string().contains("port"), "{error}");
}

#[test]
fn over_ssh_with_a_key() {
    let over = OverSsh::new("");
    let (identity, known_hosts) = (over.server.identity().unwrap(), over.server.known_hosts().unwrap());
    let data: [(&str, &[u8]); 2] = [("identity", identity.trim_ascii_end()), ("known_hosts", &known_hosts)];
    assert_eq!(read(&snapshot(over.fetch(&data)), "file"), "1");
    over.repo.write("file", "2").unwrap().commit("two").unwrap();
    assert_eq!(read(&snapshot(over.fetch(&data)), "file"), "2");
}

#[test]
fn over_ssh_with_a_key_that_has_a_password() {
    let over = OverSsh::new("correct horse");
    let (identity, known_hosts) = (over.server.identity().unwrap(), over.server.known_hosts().unwrap());
    let with = |password: &[u8]| {
        over.fetch(&[("identity", &identity), ("known_hosts", &known_hosts), ("password", password)])
    };
    assert_eq!(read(&snapshot(with(b"correct horse")), "file"), "1");
    assert!(matches!(with(b"wrong"), Err(GitError::AuthenticationFailed { .. })));
}

#[test]
fn not_over_ssh_to_another_host_or_with_another_key() {
    let over = OverSsh::new("");
    let (identity, known_hosts) = (over.server.identity().unwrap(), over.server.known_hosts().unwrap());
    let (stranger, impostor) =
        (over.server.strange_identity().unwrap(), over.server.wrong_known_hosts().unwrap());
    let error = over.fetch(&[("identity", &identity), ("known_hosts", &impostor)]).unwrap_err();
    assert!(matches!(error, GitError::UnknownHost { .. }), "{error:?}");
    let error = over.fetch(&[("identity", &identity), ("known_hosts", b"")]).unwrap_err();
    assert!(matches!(error, GitError::UnknownHost { .. }), "{error:?}");
    let error = over.fetch(&[("identity", &stranger), ("known_hosts", &known_hosts)]).unwrap_err();
    assert!(matches!(error, GitError::AuthenticationFailed { .. }), "{error:?}");
    assert_eq!(error.reason(), Reason::AuthenticationFailed);
    let error = over.fetch(&[("identity", b"not a key"), ("known_hosts", &known_hosts)]).unwrap_err();
    assert!(matches!(error, GitError::AuthenticationFailed { .. }), "{error:?}");
}
