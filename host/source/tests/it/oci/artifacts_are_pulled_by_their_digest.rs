use axum::http::StatusCode;
use plumb_api::{OciLayerOperation, OciLayerSelector, OciReference, Reason};
use plumb_source::oci::{OciDigest, OciError, OciFetch, OciFetched, OciLimits};
use rstest::rstest;
use serde_json::{Value, json};

use crate::oci::fake::{CONTENT, Door, FakeRegistry, INDEX, MANIFEST, tar_gz};
use crate::oci::{Store, fetch_of, latest, read};

const REPOSITORY: &str = "myorg/manifests";

async fn registry() -> FakeRegistry {
    FakeRegistry::start(Door::Open).await
}

fn semver(range: &str, filter: Option<&str>) -> OciReference {
    OciReference::Semver { range: range.to_owned(), filter: filter.map(str::to_owned) }
}

#[tokio::test]
async fn a_tag_leads_to_files_and_annotations() {
    let (registry, store) = (registry().await, Store::new());
    let annotations = json!({"org.opencontainers.image.revision": "main@sha1:9f2c"});
    let digest = registry.push_annotated(REPOSITORY, "latest", &[("a/b.yaml", "kind: A\n")], &annotations);
    let artifact = store.new_artifact(&latest(&registry.url(REPOSITORY))).await;
    assert_eq!(artifact.revision, format!("latest@{digest}"));
    assert_eq!(read(&artifact.stored, "a/b.yaml"), "kind: A\n");
    assert_eq!(json!(artifact.annotations), annotations);
}

#[tokio::test]
async fn each_reference_leads_to_its_manifest() {
    let (registry, store) = (registry().await, Store::new());
    let tags = ["1.0.0", "v1.2.0", "2.0.0", "1.3.0-rc.1", "main", "latest"];
    let digests: Vec<_> = tags.iter().map(|tag| registry.push(REPOSITORY, tag, &[("which", tag)])).collect();
    let by_digest = OciReference::Digest(digests[4].to_string());
    for (reference, found) in [
        (OciReference::Tag("main".to_owned()), 4),
        (by_digest.clone(), 4),
        (semver("1.x", None), 1),
        (semver(">=1.0.0-0 <2.0.0", Some("rc")), 3),
        (OciReference::default(), 5),
    ] {
        let artifact = store.new_artifact(&fetch_of(&registry.url(REPOSITORY), reference.clone())).await;
        assert_eq!(read(&artifact.stored, "which"), tags[found], "{reference:?}");
        let revision = match reference == by_digest {
            true => digests[found].to_string(),
            false => format!("{}@{}", tags[found], digests[found]),
        };
        assert_eq!(artifact.revision, revision);
    }
}

#[tokio::test]
async fn a_revision_that_is_known_is_not_pulled_again() {
    let (registry, store) = (registry().await, Store::new());
    registry.push(REPOSITORY, "latest", &[("a", "1")]);
    let mut fetch = latest(&registry.url(REPOSITORY));
    fetch.known = Some(store.new_artifact(&fetch).await.revision);
    registry.forget_seen();
    assert!(matches!(store.fetch(&fetch).await, Ok(OciFetched::Unchanged)));
    let heads = registry.seen();
    // Whether it speaks TLS was asked in TLS.
    assert_eq!(heads, ["HEAD /v2/myorg/manifests/manifests/latest"]);
    registry.push(REPOSITORY, "latest", &[("a", "2")]);
    assert_eq!(read(&store.new_artifact(&fetch).await.stored, "a"), "2");
}

// Attack 9 (sources): the tag is moved between being resolved and being pulled.
#[tokio::test]
async fn a_tag_that_moves_meanwhile_changes_nothing() {
    let (registry, store) = (registry().await, Store::new());
    let good = registry.push(REPOSITORY, "latest", &[("a", "good")]);
    let evil = registry.push(REPOSITORY, "evil", &[("a", "evil")]);
    registry.move_when_seen(REPOSITORY, "latest", evil);
    registry.tag(REPOSITORY, "latest", good);
    let artifact = store.new_artifact(&latest(&registry.url(REPOSITORY))).await;
    assert_eq!(read(&artifact.stored, "a"), "good");
    assert_eq!(artifact.revision, format!("latest@{good}"));
    assert_eq!(read(&store.new_artifact(&latest(&registry.url(REPOSITORY))).await.stored, "a"), "evil");
}

#[tokio::test]
async fn a_registry_that_tells_no_digest_is_asked_for_the_manifest() {
    let (registry, store) = (registry().await, Store::new());
    let digest = registry.push(REPOSITORY, "other", &[("a", "1")]);
    let manifest = registry.manifest(
        REPOSITORY,
        &[registry.layer(REPOSITORY, CONTENT, tar_gz(&[("a", "1")]))],
        &json!({}),
    );
    registry.lie(
        "/v2/myorg/manifests/manifests/latest",
        StatusCode::OK,
        &[("content-type", MANIFEST)],
        manifest.to_string(),
    );
    let artifact = store.new_artifact(&latest(&registry.url(REPOSITORY))).await;
    assert_eq!(artifact.revision, format!("latest@{digest}"));
}

#[tokio::test]
async fn the_layer_that_is_selected_is_taken() {
    let (registry, store) = (registry().await, Store::new());
    let layers = [
        registry.layer(REPOSITORY, CONTENT, tar_gz(&[("which", "first")])),
        registry.layer(REPOSITORY, "application/x", tar_gz(&[("which", "second")])),
        registry.layer(REPOSITORY, "application/x", tar_gz(&[("which", "third")])),
    ];
    let manifest = registry.manifest(REPOSITORY, &layers, &json!({}));
    let digest = registry.push_manifest(REPOSITORY, MANIFEST, &manifest);
    registry.tag(REPOSITORY, "latest", digest);
    let select = |media_type: Option<&str>, operation| OciFetch {
        layer: OciLayerSelector { media_type: media_type.map(str::to_owned), operation },
        ..latest(&registry.url(REPOSITORY))
    };
    assert_eq!(read(&store.new_artifact(&select(None, None)).await.stored, "which"), "first");
    assert_eq!(
        read(&store.new_artifact(&select(Some("application/x"), None)).await.stored, "which"),
        "second"
    );
    let copy = select(Some("application/x"), Some(OciLayerOperation::Copy));
    let copied = store.new_artifact(&copy).await.stored;
    assert_eq!(copied.bytes, tar_gz(&[("which", "second")]).len() as u64);
    let view = plumb_tree::View::new(copied.tree, 1024 * 1024);
    assert_eq!(view.read(&format!("{digest}.tgz")).unwrap(), tar_gz(&[("which", "second")]));
    let error = store.error(&select(Some("application/y"), None)).await;
    assert_eq!(error.reason(), Reason::OCIArtifactLayerOperationFailed);
    assert_eq!(
        error.to_string(),
        format!(
            "the artifact {digest} of {} has no layer of the media type \"application/y\"; check spec.layerSelector",
            registry.url(REPOSITORY)
        )
    );
}

#[tokio::test]
async fn of_a_list_the_manifest_for_linux_is_taken() {
    let (registry, store) = (registry().await, Store::new());
    let child = registry.push(REPOSITORY, "child", &[("a", "1")]);
    let other = registry.push(REPOSITORY, "other", &[("a", "2")]);
    let entry = |digest: OciDigest, architecture: &str| json!({"mediaType": MANIFEST, "digest": digest.to_string(), "size": 1, "platform": {"os": "linux", "architecture": architecture}});
    let list = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": [entry(other, "arm64"), entry(child, "amd64")]});
    let list = registry.push_manifest(REPOSITORY, INDEX, &list);
    registry.tag(REPOSITORY, "latest", list);
    let artifact = store.new_artifact(&latest(&registry.url(REPOSITORY))).await;
    assert_eq!((artifact.revision, artifact.digest), (format!("latest@{list}"), list));
    assert_eq!(read(&artifact.stored, "a"), "1");
}

// Attack 9 (sources): lists of lists of lists. A list that contains itself would need a digest that is known before it is made; one that a registry
// makes up is not what the digest names.
#[tokio::test]
async fn lists_do_not_go_on_for_ever() {
    let (registry, store) = (registry().await, Store::new());
    let mut digest = registry.push(REPOSITORY, "child", &[("a", "1")]);
    let mut media_type = MANIFEST;
    for depth in 0..6 {
        let list = json!({"schemaVersion": 2, "manifests": [{"mediaType": media_type, "digest": digest.to_string(), "size": 1}]});
        digest = registry.push_manifest(REPOSITORY, INDEX, &list);
        media_type = INDEX;
        registry.tag(REPOSITORY, &format!("depth-{depth}"), digest);
    }
    let of_depth = |depth| fetch_of(&registry.url(REPOSITORY), OciReference::Tag(format!("depth-{depth}")));
    assert_eq!(read(&store.new_artifact(&of_depth(3)).await.stored, "a"), "1");
    assert!(matches!(store.error(&of_depth(4)).await, OciError::TooMuch { limit: 4, .. }));

    let itself = json!({"schemaVersion": 2, "manifests": [{"mediaType": INDEX, "digest": digest.to_string(), "size": 1}]});
    registry.lie(
        &format!("/v2/{REPOSITORY}/manifests/{digest}"),
        StatusCode::OK,
        &[("content-type", INDEX)],
        itself.to_string(),
    );
    assert!(matches!(store.error(&of_depth(5)).await, OciError::DigestMismatch { what: "manifest", .. }));
}

/// What a registry does to what it sends.
#[derive(Clone, Copy, Debug)]
enum Lie {
    Change,
    Lengthen,
    Shorten,
}

// Attack 9 (sources): digest mismatch, of a manifest and of a layer.
#[rstest]
#[tokio::test]
async fn what_has_another_digest_is_not_used(
    #[values(("manifests", "manifest"), ("blobs", "layer"))] (kind, what): (&str, &str),
    #[values(Lie::Change, Lie::Lengthen, Lie::Shorten)] lie: Lie,
) {
    let (registry, store) = (registry().await, Store::new());
    let layer = tar_gz(&[("a", "1")]);
    let descriptor = registry.layer(REPOSITORY, CONTENT, layer.clone());
    let manifest = registry.manifest(REPOSITORY, &[descriptor], &json!({}));
    let digest = registry.push_manifest(REPOSITORY, MANIFEST, &manifest);
    registry.tag(REPOSITORY, "latest", digest);
    let (digest, mut bytes) = match kind {
        "blobs" => (OciDigest::of(&layer), layer),
        _ => (digest, manifest.to_string().into_bytes()),
    };
    match lie {
        Lie::Change => bytes[5] ^= 1,
        Lie::Lengthen => bytes.push(b' '),
        Lie::Shorten => drop(bytes.pop()),
    }
    registry.lie(&format!("/v2/{REPOSITORY}/{kind}/{digest}"), StatusCode::OK, &[], bytes);
    let error = store.error(&latest(&registry.url(REPOSITORY))).await;
    assert_eq!(error.reason(), Reason::OCIArtifactPullFailed);
    assert_eq!(
        error.to_string(),
        format!(
            "the registry of {} sent something else for the {what} {digest}; nothing of it is used",
            registry.url(REPOSITORY)
        )
    );
    assert!(store.is_empty());
}

fn many_layers() -> Value {
    let layer = json!({"mediaType": CONTENT, "digest": OciDigest::of(b"").to_string(), "size": 0});
    json!({"schemaVersion": 2, "config": layer, "layers": vec![layer; 10_000]})
}

fn annotated(bytes: usize) -> Value {
    let layer = json!({"mediaType": CONTENT, "digest": OciDigest::of(b"").to_string(), "size": 0});
    json!({"schemaVersion": 2, "config": layer, "layers": [layer], "annotations": {"a": "x".repeat(bytes)}})
}

fn large_layer() -> Value {
    let layer = json!({"mediaType": CONTENT, "digest": OciDigest::of(b"").to_string(), "size": i64::MAX});
    json!({"schemaVersion": 2, "config": layer, "layers": [layer]})
}

fn negative_layer() -> Value {
    let layer = json!({"mediaType": CONTENT, "digest": OciDigest::of(b"").to_string(), "size": -1});
    json!({"schemaVersion": 2, "config": layer, "layers": [layer]})
}

// Attack 9 (sources): huge annotations, 10 000 layers, and what else could fill the memory or the disk.
#[rstest]
#[case(many_layers(), "256 layers")]
#[case(annotated(64 * 1024), "65536 bytes of annotations")]
#[case(annotated(8 * 1024 * 1024), "4194304 bytes in a manifest")]
#[case(large_layer(), "536870912 bytes in a layer")]
#[case(negative_layer(), "536870912 bytes in a layer")]
#[tokio::test]
async fn what_is_too_much_is_not_taken(#[case] manifest: Value, #[case] limit: &str) {
    let (registry, store) = (registry().await, Store::new());
    let digest = registry.push_manifest(REPOSITORY, MANIFEST, &manifest);
    registry.tag(REPOSITORY, "latest", digest);
    let error = store.error(&latest(&registry.url(REPOSITORY))).await;
    assert_eq!(
        error.to_string(),
        format!("{} has more than {limit}; make the artifact smaller", registry.url(REPOSITORY))
    );
}

#[tokio::test]
async fn tags_are_counted_over_all_pages() {
    let (registry, store) = (registry().await, Store::new());
    for patch in 0..5 {
        registry.push(REPOSITORY, &format!("1.0.{patch}"), &[("a", "1")]);
    }
    let of = |tags| OciFetch {
        limits: OciLimits { tags, ..OciLimits::default() },
        ..fetch_of(&registry.url(REPOSITORY), semver("1.x", None))
    };
    assert!(store.new_artifact(&of(5)).await.revision.starts_with("1.0.4@"));
    let error = store.error(&of(4)).await;
    assert_eq!(error.reason(), Reason::ReadOperationFailed);
    assert_eq!(
        error.to_string(),
        format!(
            "cannot choose a tag: {} has more than 4 tags; make the artifact smaller",
            registry.url(REPOSITORY)
        )
    );
}

#[rstest]
#[case(OciReference::Tag("none".to_owned()), Reason::OCIArtifactPullFailed, "has no tag \"none\", or these credentials may not see it")]
#[case(semver("3.x", None), Reason::ReadOperationFailed, "has no tag that is a version in the range \"3.x\"")]
#[case(
    semver("1.x", Some("^v")),
    Reason::ReadOperationFailed,
    "has no tag that is a version in the range \"1.x\" and matches \"^v\""
)]
#[tokio::test]
async fn what_is_not_there_is_named(
    #[case] reference: OciReference,
    #[case] reason: Reason,
    #[case] message: &str,
) {
    let (registry, store) = (registry().await, Store::new());
    registry.push(REPOSITORY, "1.0.0", &[("a", "1")]);
    let error = store.error(&fetch_of(&registry.url(REPOSITORY), reference)).await;
    assert_eq!((error.reason(), error.needs_a_change()), (reason, false));
    assert_eq!(error.to_string(), format!("{} {message}", registry.url(REPOSITORY)));
}

#[tokio::test]
async fn a_layer_that_is_no_archive_is_told() {
    let (registry, store) = (registry().await, Store::new());
    let layer = registry.layer(REPOSITORY, CONTENT, b"not an archive".to_vec());
    let manifest = registry.manifest(REPOSITORY, &[layer], &json!({}));
    registry.tag(REPOSITORY, "latest", registry.push_manifest(REPOSITORY, MANIFEST, &manifest));
    let error = store.error(&latest(&registry.url(REPOSITORY))).await;
    assert!(matches!(error, OciError::Layer { .. }), "{error}");
    assert_eq!(error.reason(), Reason::OCIArtifactLayerOperationFailed);
    assert!(store.is_empty());
}

// Attack 12 (sources): what some other server answers is not repeated, and neither is where a redirect has led.
#[tokio::test]
async fn an_answer_that_is_not_a_registrys_is_not_repeated() {
    let (registry, store) = (registry().await, Store::new());
    let path = format!("/v2/{REPOSITORY}/manifests/latest");
    registry.lie(&path, StatusCode::INTERNAL_SERVER_ERROR, &[], "the password is hunter2");
    let error = store.error(&latest(&registry.url(REPOSITORY))).await.to_string();
    assert_eq!(
        error,
        format!("the registry of {} failed: it answered with the status 500", registry.url(REPOSITORY))
    );
    registry.lie(
        &path,
        StatusCode::TOO_MANY_REQUESTS,
        &[],
        r#"{"errors": [{"code": "TOOMANYREQUESTS", "message": "slow\ndown"}]}"#,
    );
    let error = store.error(&latest(&registry.url(REPOSITORY))).await.to_string();
    assert!(error.ends_with("it answered with the status 429: TOOMANYREQUESTS: slow down"), "{error}");
    registry.lie(&path, StatusCode::FOUND, &[("location", "http://127.0.0.1:1/secret/place")], "");
    let error = store.error(&latest(&registry.url(REPOSITORY))).await.to_string();
    assert!(!error.contains("secret"), "{error}");
}

// Attack 6 (sources): the registry is, or sends one to, where clouds hand out credentials.
#[tokio::test]
async fn a_registry_leads_to_no_address_that_must_not_be_reached() {
    let (registry, store) = (registry().await, Store::new());
    let error = store.error(&latest("oci://169.254.169.254/latest")).await;
    assert!(matches!(error, OciError::AddressRefused { .. }), "{error}");
    let to = [("location", "http://169.254.169.254/latest/meta-data")];
    registry.lie(&format!("/v2/{REPOSITORY}/manifests/latest"), StatusCode::TEMPORARY_REDIRECT, &to, "");
    let error = store.error(&latest(&registry.url(REPOSITORY))).await;
    assert!(matches!(error, OciError::AddressRefused { .. }), "{error}");
}

#[tokio::test]
async fn plain_http_has_to_be_permitted() {
    let (registry, store) = (registry().await, Store::new());
    registry.push(REPOSITORY, "latest", &[("a", "1")]);
    let fetch = OciFetch { insecure: false, ..latest(&registry.url(REPOSITORY)) };
    assert!(matches!(store.error(&fetch).await, OciError::Unreachable { .. }));
    assert!(registry.seen().is_empty());
}

#[tokio::test]
async fn a_fetch_ends_in_time() {
    let store = Store::new();
    // Takes connections, and says nothing.
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("oci://{}/a", silent.local_addr().unwrap());
    let fetch = OciFetch { timeout: std::time::Duration::from_millis(50), ..latest(&url) };
    assert_eq!(store.error(&fetch).await, OciError::TimedOut { url, seconds: 0 });
}
