use std::collections::BTreeMap;
use std::path::Path;

use axum::extract::Request;
use axum::response::Response;
use plumb_api::Sensitive;
use plumb_source::git::verify::TrustedKeys;
use plumb_source::helm::{ChartFetch, HelmLimits, IndexFetch, RepositoryError};
use plumb_source::transport::{ClientCertificate, Transport};
use plumb_test_support::{Authority, GitRepo, GitServer, GitServerOptions};
use rstest::rstest;

use crate::a_chart_becomes_a_tree::{Shelf, chart, digest, index, login, repository};
use crate::web::{Web, bytes, endless, status};

/// `Basic`, with `ada:hunter2`.
const AUTHORIZATION: &str = "Basic YWRhOmh1bnRlcjI=";

fn is_signed_in(request: &Request) -> bool {
    request.headers().get("authorization").is_some_and(|value| value == AUTHORIZATION)
}

fn redirect(to: &str) -> Response {
    let mut response = status(302);
    response.headers_mut().insert("location", to.parse().unwrap());
    response
}

/// A server of charts on another host, which says no to those who show it a password, or to those who do not.
async fn elsewhere(wants_login: bool) -> Web {
    Web::answering(move |request, _| match is_signed_in(request) == wants_login {
        true => bytes(chart("web", "1.0.0").tar_gz()),
        false => status(401),
    })
    .await
}

async fn index_with(url: String) -> Web {
    let archive = digest(&chart("web", "1.0.0").tar_gz());
    let index = index(&[("web", "1.0.0", &url, &archive)]);
    Web::answering(move |request, _| match (is_signed_in(request), request.uri().path()) {
        (true, "/index.yaml") => bytes(index.clone()),
        (true, "/web.tgz") => bytes(chart("web", "1.0.0").tar_gz()),
        (true, _) => status(404),
        (false, _) => status(401),
    })
    .await
}

// Attack 5 (sources), CVE-2021-32690: credentials go to no other host of the index, unless that is asked for.
#[rstest]
#[case(false, false, None)]
#[case(
    false,
    true,
    Some(
        "this host is another one than the repository's, and gets the credentials only with spec.passCredentials"
    )
)]
#[case(true, true, None)]
#[case(true, false, Some("answered with the status 401"))]
#[tokio::test]
async fn credentials_stay_with_their_repository(
    #[case] pass_credentials: bool,
    #[case] wants_login: bool,
    #[case] refused: Option<&str>,
) {
    let other = elsewhere(wants_login).await;
    let web = index_with(other.url("/web.tgz")).await;
    let fetch = ChartFetch { login: login(), pass_credentials, ..repository(web.url("")) };
    let pulled = Shelf::new().pull(&fetch, "web", "*").await.map(drop);
    match (pulled, refused) {
        (Ok(()), None) => {}
        (Err(told), Some(why)) => {
            assert!(told.contains(why), "{told}");
            assert!(!told.contains("hunter2"), "{told}");
        }
        (pulled, _) => panic!("{pulled:?}"),
    }
}

#[tokio::test]
async fn the_repository_itself_is_signed_in_to() {
    let web = index_with("web.tgz".to_owned()).await;
    let fetch = ChartFetch { login: login(), ..repository(web.url("")) };
    Shelf::new().pull(&fetch, "web", "*").await.unwrap();
    let told = Shelf::new().pull(&repository(web.url("")), "web", "*").await.unwrap_err();
    assert!(
        told.ends_with(
            "answered with the status 401: check the secret that spec.secretRef of the HelmRepository names"
        ),
        "{told}"
    );
}

// Attack 5 (sources): a redirect takes credentials to no other host, and what comes after it none back.
#[rstest]
#[case(false)]
#[case(true)]
#[tokio::test]
async fn a_redirect_takes_no_credentials_along(#[case] pass_credentials: bool) {
    let other = elsewhere(false).await;
    let to = other.url("/web.tgz");
    let archive = digest(&chart("web", "1.0.0").tar_gz());
    let index = index(&[("web", "1.0.0", "web.tgz", &archive)]);
    let web = Web::answering(move |request, _| match request.uri().path() {
        "/index.yaml" if is_signed_in(request) => bytes(index.clone()),
        "/web.tgz" if is_signed_in(request) => redirect(&to),
        _ => status(401),
    })
    .await;
    let fetch = ChartFetch { login: login(), pass_credentials, ..repository(web.url("")) };
    Shelf::new().pull(&fetch, "web", "*").await.unwrap();

    // There and back again.
    let back = Web::answering(|request, _| {
        redirect(&format!("http://{}/secret", &request.uri().query().unwrap()[3..]))
    })
    .await;
    let via = back.url("/x?to=");
    let web = Web::answering(move |request, _| match request.uri().path() {
        "/index.yaml" => redirect(&format!("{via}{}", request.headers()["host"].to_str().unwrap())),
        _ if is_signed_in(request) => status(500),
        _ => bytes("apiVersion: v1\nentries: {}\n"),
    })
    .await;
    let fetch = ChartFetch { login: login(), ..repository(web.url("")) };
    let told = Shelf::new().pull(&fetch, "web", "*").await.unwrap_err();
    assert!(told.contains("has no chart"), "{told}");
}

// Attack 5 (sources): a redirect leads to nothing but the web, and comes to an end.
#[rstest]
#[case("file:///etc/passwd", "redirects to a URL that is not one of http or https")]
#[case("/index.yaml", "redirects too often")]
#[tokio::test]
async fn some_redirects_are_not_followed(#[case] to: &'static str, #[case] why: &str) {
    let web = Web::start(move |_, _| redirect(to)).await;
    let told = Shelf::new().pull(&repository(web.url("")), "web", "*").await.unwrap_err();
    assert!(told.ends_with(why), "{told}");
}

// Attack 5 (sources): the certificate of a client tells who one is, too, and is shown to the repository only.
#[rstest]
#[case(false, "cannot fetch")]
#[case(true, "answered with the status 404")]
#[tokio::test]
async fn a_certificate_stays_with_its_repository(#[case] pass_credentials: bool, #[case] why: &str) {
    let (repo, authority) = (GitRepo::new().unwrap(), Authority::new().unwrap());
    let tls = Some(authority.clone().demanding_certificates());
    // It has no charts, but tells so only to those whom it lets in.
    let strict =
        GitServer::start(&repo.root(), GitServerOptions { tls, ..GitServerOptions::default() }).unwrap();
    let (cert, key) = authority.client();
    let client =
        ClientCertificate { cert: cert.as_bytes().to_vec(), key: Sensitive::new(key.as_bytes().to_vec()) };
    let ca = Some(authority.ca_pem().as_bytes().to_vec());
    let transport = Transport { ca, client_certificate: Some(client), ..Transport::default() };
    let of_itself = ChartFetch { transport: transport.clone(), ..repository(strict.origin()) };
    let told = Shelf::new().pull(&of_itself, "web", "*").await.unwrap_err();
    assert!(told.ends_with("answered with the status 404"), "{told}");

    let url = format!("{}/web.tgz", strict.origin());
    let web = Web::start(move |_, _| bytes(index(&[("web", "1.0.0", &url, "")]))).await;
    let fetch = ChartFetch { transport, pass_credentials, ..repository(web.url("")) };
    let told = Shelf::new().pull(&fetch, "web", "*").await.unwrap_err();
    assert!(told.contains(why), "{told}");
}

// Attack 6 (sources): neither a repository, nor its index, nor a redirect leads to where clouds keep their credentials.
#[tokio::test]
async fn some_addresses_are_not_reached() {
    const METADATA: &str = "http://169.254.169.254/latest/meta-data";
    let told = Shelf::new().pull(&repository(METADATA.to_owned()), "web", "*").await.unwrap_err();
    assert!(told.contains("169.254.169.254"), "{told}");
    let of_index = Web::start(|_, _| bytes(index(&[("web", "1.0.0", METADATA, "")]))).await;
    let of_redirect = Web::start(|_, _| redirect(METADATA)).await;
    for web in [of_index, of_redirect] {
        let told = Shelf::new().pull(&repository(web.url("")), "web", "*").await.unwrap_err();
        assert!(told.contains("must not be reached"), "{told}");
    }
}

#[tokio::test]
async fn a_chart_that_is_not_what_the_index_says_is_refused() {
    let index = index(&[("web", "1.0.0", "web.tgz", &"0".repeat(64))]);
    let web = Web::start(move |uri, _| match uri.path() {
        "/index.yaml" => bytes(index.clone()),
        _ => bytes(chart("web", "1.0.0").tar_gz()),
    })
    .await;
    let told = Shelf::new().pull(&repository(web.url("")), "web", "*").await.unwrap_err();
    assert!(told.ends_with("as the index says; nothing of it is used"), "{told}");
}

// Attack 10 (sources): an index, or a chart, that does not end.
#[rstest]
#[case("/index.yaml", "cannot store")]
#[case("/web.tgz", "bytes in the archive of a chart")]
#[tokio::test]
async fn what_is_too_large_is_not_taken(#[case] endless_path: &'static str, #[case] why: &str) {
    let web = Web::start(move |uri, _| match uri.path() {
        path if path == endless_path => endless(vec![b'#'; 4 * 1024 * 1024]),
        "/index.yaml" => bytes(index(&[("web", "1.0.0", "web.tgz", "")])),
        _ => status(404),
    })
    .await;
    let limits = HelmLimits { index_bytes: 1 << 20, archive_bytes: 1 << 20, ..HelmLimits::default() };
    let fetch = ChartFetch { limits, ..repository(web.url("")) };
    let told = Shelf::new().pull(&fetch, "web", "*").await.unwrap_err();
    assert!(told.contains(why) && told.contains("more than 1048576"), "{told}");
}

#[tokio::test]
async fn what_is_no_index_is_told_with_its_place() {
    let web = Web::start(|_, _| bytes("<html>\n<body>sign in: please\n")).await;
    let shelf = Shelf::new();
    let fetch = IndexFetch { owner: "me".to_owned(), repository: repository(web.url("")), known: None };
    let error = fetch.fetch(&shelf.store).await.unwrap_err();
    assert!(matches!(error, RepositoryError::Index { .. }), "{error}");
    assert_eq!(error.reason(), plumb_api::Reason::IndexationFailed);
    assert!(!error.to_string().contains('\n'), "{error}");
}

// Attack 11 (sources): a chart that nobody who may has signed. (What is signed here is no archive, which is looked at last.)
#[rstest]
#[case("web.prov", "ada.asc", "the chart cannot be unpacked")]
#[case("web.prov", "eve.asc", "which is not in the secret")]
#[case("changed.prov", "ada.asc", "is not signed as spec.verify asks")]
#[case("missing", "ada.asc", "there is no file .prov beside it")]
#[tokio::test]
async fn a_provenance_file_is_looked_at_where_it_is_asked_for(
    #[case] prov: &'static str,
    #[case] key: &str,
    #[case] why: &str,
) {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/helm/fixtures");
    let keys = BTreeMap::from([(key.to_owned(), std::fs::read(fixtures.join(key)).unwrap())]);
    let signers = Some(TrustedKeys::from_secret(&keys).unwrap());
    let web = Web::start(move |uri, _| match uri.path() {
        "/index.yaml" => bytes(index(&[("web", "1.0.0", "web-1.0.0.tgz", "")])),
        "/web-1.0.0.tgz" => bytes("abc"),
        "/web-1.0.0.tgz.prov" => std::fs::read(fixtures.join(prov)).map_or_else(|_| status(404), bytes),
        _ => status(500),
    })
    .await;
    let fetch = ChartFetch { signers, ..repository(web.url("")) };
    let told = Shelf::new().pull(&fetch, "web", "*").await.unwrap_err();
    assert!(told.contains(why), "{told}");
}
