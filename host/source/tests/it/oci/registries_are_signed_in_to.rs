use std::collections::BTreeMap;

use axum::http::StatusCode;
use plumb_source::oci::{OciError, OciFetch, OciLogins, OciUrl};
use rstest::rstest;

use crate::oci::fake::{Door, FakeRegistry};
use crate::oci::{Store, latest, read};

/// `ada:p:w`
const ADA: &str = "Basic YWRhOnA6dw==";

fn with_login(registry: &FakeRegistry, login: &str) -> OciFetch {
    let config = format!(r#"{{"auths": {{"{}": {login}}}}}"#, registry.host());
    let mut logins = OciLogins::default();
    logins.add_secret(&BTreeMap::from([(".dockerconfigjson".to_owned(), config.into_bytes())])).unwrap();
    let fetch = latest(&registry.url("a"));
    OciFetch { login: logins.login(&OciUrl::parse(&registry.url("a")).unwrap()), ..fetch }
}

#[rstest]
#[case::open(Door::Open, "{}")]
#[case::password(Door::Basic(ADA.to_owned()), r#"{"username": "ada", "password": "p:w"}"#)]
#[case::anonymous_token(Door::Token(None), "{}")]
#[case::token_for_a_password(Door::Token(Some(ADA.to_owned())), r#"{"auth": "YWRhOnA6dw=="}"#)]
#[case::token(Door::Token(Some("nobody".to_owned())), r#"{"registrytoken": "let-me-in"}"#)]
#[tokio::test]
async fn a_registry_lets_in_who_may(#[case] door: Door, #[case] login: &str) {
    let (registry, store) = (FakeRegistry::start(door).await, Store::new());
    registry.push("a", "latest", &[("x", "1")]);
    assert_eq!(read(&store.new_artifact(&with_login(&registry, login)).await.stored, "x"), "1");
}

#[tokio::test]
async fn one_signs_in_once_and_only_when_asked_to() {
    let (registry, store) = (FakeRegistry::start(Door::Token(Some(ADA.to_owned()))).await, Store::new());
    registry.push("a", "latest", &[("x", "1")]);
    store.new_artifact(&with_login(&registry, r#"{"auth": "YWRhOnA6dw=="}"#)).await;
    let seen = registry.seen();
    assert_eq!(
        seen[..3],
        [
            "HEAD /v2/a/manifests/latest",
            "GET /token?scope=repository%3Aa%3Apull&service=test *",
            "HEAD /v2/a/manifests/latest *"
        ]
    );
    assert!(seen[3..].iter().all(|request| request.ends_with(" *")), "{seen:?}");
}

#[rstest]
#[case::none_given(Door::Basic(ADA.to_owned()), "{}", "it asks for a user name and a password, and none are given")]
#[case::wrong_password(Door::Basic(ADA.to_owned()), r#"{"username": "ada", "password": "hunter2"}"#, "it answered with the status 401")]
#[case::token_server(Door::Token(Some(ADA.to_owned())), r#"{"username": "ada", "password": "hunter2"}"#, "its token server answered with the status 401")]
#[case::wrong_token(Door::Token(None), r#"{"registrytoken": "hunter2"}"#, "it answered with the status 401")]
#[case::line_break(
    Door::Token(None),
    r#"{"registrytoken": "hunter2\nx: y"}"#,
    "the token holds a character that a header cannot hold"
)]
#[tokio::test]
async fn who_may_not_is_told_why(#[case] door: Door, #[case] login: &str, #[case] reason: &str) {
    let (registry, store) = (FakeRegistry::start(door).await, Store::new());
    let error = store.error(&with_login(&registry, login)).await;
    assert_eq!(error, OciError::Unauthorized { url: registry.url("a"), reason: reason.to_owned() });
}

// Attack 5 (sources): credentials go to no other host, whether by a redirect or by the next page of a list.
#[tokio::test]
async fn credentials_go_to_no_other_host() {
    let registry = FakeRegistry::start(Door::Basic(ADA.to_owned())).await;
    let (other, store) = (FakeRegistry::start(Door::Open).await, Store::new());
    let digest = registry.push("a", "latest", &[("x", "1")]);
    let layer = crate::oci::fake::tar_gz(&[("x", "1")]);
    other.push_blob("elsewhere", layer.clone());
    let blob = plumb_source::oci::OciDigest::of(&layer);
    let to = format!("http://{}/v2/elsewhere/blobs/{blob}", other.host().replace("127.0.0.1", "localhost"));
    registry.lie(&format!("/v2/a/blobs/{blob}"), StatusCode::TEMPORARY_REDIRECT, &[("location", &to)], "");
    let fetch = with_login(&registry, r#"{"username": "ada", "password": "p:w"}"#);
    let artifact = store.new_artifact(&fetch).await;
    assert_eq!((artifact.digest, read(&artifact.stored, "x")), (digest, "1".to_owned()));
    assert_eq!(other.seen(), [format!("GET /v2/elsewhere/blobs/{blob}")]);

    other.forget_seen();
    let next = format!("<http://{}/v2/a/tags/list?last=z>; rel=\"next\"", other.host());
    registry.lie("/v2/a/tags/list", StatusCode::OK, &[("link", &next)], r#"{"tags": ["1.0.0"]}"#);
    let reference = plumb_api::OciReference::Semver { range: "*".to_owned(), filter: None };
    let error = store.error(&OciFetch { reference, ..fetch }).await.to_string();
    assert!(error.ends_with("its list of tags goes on at another server"), "{error}");
    assert!(other.seen().is_empty());
}

// Attack 6 (sources): a registry names the token server.
#[tokio::test]
async fn a_token_server_is_not_where_nobody_may_go() {
    let (registry, store) = (FakeRegistry::start(Door::Open).await, Store::new());
    let challenge = [("www-authenticate", r#"Bearer realm="http://169.254.169.254/token""#)];
    registry.lie("/v2/a/manifests/latest", StatusCode::UNAUTHORIZED, &challenge, "");
    let error = store.error(&latest(&registry.url("a"))).await;
    assert!(matches!(error, OciError::AddressRefused { .. }), "{error}");
}
