use axum::http::StatusCode;
use plumb_api::Reason;
use plumb_source::oci::{OciDigest, OciError, OciFetch, OciLimits, Verification};
use rstest::rstest;
use serde_json::{Value, json};

use crate::oci::fake::{Door, FakeRegistry, INDEX, MANIFEST};
use crate::oci::signer::{BUNDLE, NOON, Signer, Sigstore, attach_bundle, attach_payload, payload};
use crate::oci::{SecretData, Store, latest, read};

const REPOSITORY: &str = "myorg/manifests";
const ISSUER: &str = "https://token.actions.githubusercontent.com";
const SUBJECT: &str = "https://github.com/myorg/manifests/.github/workflows/release.yaml@refs/tags/v1.0.0";
const SPEC: &str = r#"{"matchOIDCIdentity": [
    {"issuer": "^https://accounts.example.com$", "subject": "^.*@example.com$"},
    {"issuer": "^https://token.actions.githubusercontent.com$", "subject": "^https://github.com/myorg/manifests/.*$"}]}"#;

/// A registry with an artifact, and what fetches it.
struct Bench {
    registry: FakeRegistry,
    digest: OciDigest,
    store: Store,
}

/// Where a signature is put.
#[derive(Clone, Copy, Debug)]
enum Layout {
    /// That of cosign 2.
    Tag,
    /// That of cosign 3.
    Referrer,
    /// That of cosign 3, in a registry that knows no referrers.
    ReferrerTag,
}

impl Bench {
    async fn new() -> Self {
        let registry = FakeRegistry::start(Door::Open).await;
        let digest = registry.push(REPOSITORY, "latest", &[("a", "1")]);
        Self { registry, digest, store: Store::new() }
    }

    fn sign_with_key(&self, layout: Layout, signer: &Signer, digest: &OciDigest) {
        self.attach(
            layout,
            || signer.bundle(digest),
            || (payload(digest), signer.annotations(&payload(digest))),
        );
    }

    fn sign(&self, layout: Layout, sigstore: &Sigstore, signer: &Signer, digest: &OciDigest) {
        let annotated = || (payload(digest), sigstore.annotations(signer, &payload(digest)));
        self.attach(layout, || sigstore.bundle(signer, digest), annotated);
    }

    fn attach(
        &self,
        layout: Layout,
        bundle: impl FnOnce() -> Value,
        annotated: impl FnOnce() -> (Vec<u8>, Value),
    ) {
        match layout {
            Layout::Tag => {
                let (payload, annotations) = annotated();
                attach_payload(&self.registry, REPOSITORY, &self.digest, payload, &annotations);
            }
            Layout::Referrer => drop(attach_bundle(&self.registry, REPOSITORY, &self.digest, &bundle())),
            Layout::ReferrerTag => {
                let descriptor = attach_bundle(&self.registry, REPOSITORY, &self.digest, &bundle());
                let index = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": [descriptor]});
                let index = self.registry.push_manifest(REPOSITORY, INDEX, &index);
                self.registry.tag(REPOSITORY, &format!("sha256-{}", self.digest.hex()), index);
                self.registry.without_referrers_api();
            }
        }
    }

    fn fetch(&self, verification: Verification) -> OciFetch {
        OciFetch { verifications: vec![verification], ..latest(&self.registry.url(REPOSITORY)) }
    }

    async fn accepts(&self, verification: Verification) {
        assert_eq!(read(&self.store.new_artifact(&self.fetch(verification)).await.stored, "a"), "1");
    }

    /// Why the artifact is refused.
    async fn refuses(&self, verification: Verification) -> String {
        let error = self.store.error(&self.fetch(verification)).await;
        assert_eq!((error.reason(), error.is_about_the_signature()), (Reason::VerificationError, true));
        assert!(self.store.is_empty());
        let blobs = format!("GET /v2/{REPOSITORY}/blobs/{}", self.layer());
        assert!(!self.registry.seen().contains(&blobs), "it was pulled before it was verified");
        match error {
            OciError::NotVerified { url, digest, reason } => {
                assert_eq!((url, digest), (self.registry.url(REPOSITORY), self.digest.to_string()));
                reason
            }
            other => panic!("{other}"),
        }
    }

    fn layer(&self) -> OciDigest {
        OciDigest::of(&crate::oci::fake::tar_gz(&[("a", "1")]))
    }
}

fn keys(signers: &[&Signer]) -> Verification {
    let keys: SecretData =
        signers.iter().enumerate().map(|(i, signer)| (format!("{i}.pub"), signer.public_key())).collect();
    Verification::new(&serde_json::from_str("{}").unwrap(), Some(&keys), None).unwrap()
}

fn identities(spec: &str, sigstore: &Sigstore) -> Verification {
    let root = SecretData::from([("trusted_root.json".to_owned(), sigstore.trusted_root())]);
    Verification::new(&serde_json::from_str(spec).unwrap(), None, Some(&root)).unwrap()
}

#[rstest]
#[tokio::test]
async fn a_signature_with_one_of_the_keys_is_enough(
    #[values(Layout::Tag, Layout::Referrer, Layout::ReferrerTag)] layout: Layout,
) {
    let (bench, ada, bob) = (Bench::new().await, Signer::with_key(), Signer::with_key());
    bench.sign_with_key(layout, &ada, &bench.digest);
    bench.accepts(keys(&[&bob, &ada])).await;
}

#[rstest]
#[tokio::test]
async fn a_signature_by_one_of_the_identities_is_enough(
    #[values(Layout::Tag, Layout::Referrer, Layout::ReferrerTag)] layout: Layout,
    #[values((ISSUER, SUBJECT), ("https://accounts.example.com", "ada@example.com"))] who: (&str, &str),
) {
    let (bench, sigstore) = (Bench::new().await, Sigstore::new());
    bench.sign(layout, &sigstore, &sigstore.signer(who.0, who.1), &bench.digest);
    bench.accepts(identities(SPEC, &sigstore)).await;
    bench.accepts(identities("{}", &sigstore)).await;
}

// Attack 9 (sources): unsigned.
#[tokio::test]
async fn an_artifact_without_a_signature_is_refused() {
    let (bench, sigstore) = (Bench::new().await, Sigstore::new());
    assert_eq!(bench.refuses(keys(&[&Signer::with_key()])).await, "there is no signature");
    assert_eq!(bench.refuses(identities(SPEC, &sigstore)).await, "there is no signature");
}

// Attack 9 (sources): signed by another key.
#[rstest]
#[tokio::test]
async fn a_signature_with_another_key_is_refused(#[values(Layout::Tag, Layout::Referrer)] layout: Layout) {
    let (bench, sigstore) = (Bench::new().await, Sigstore::new());
    bench.sign_with_key(layout, &Signer::with_key(), &bench.digest);
    let refusal = "its signature was refused: it was not made with any of the keys";
    assert_eq!(bench.refuses(keys(&[&Signer::with_key(), &sigstore.signer(ISSUER, SUBJECT)])).await, refusal);
}

// Attack 9 (sources): the signature of another artifact, or of another repository's, is replayed.
#[rstest]
#[tokio::test]
async fn a_signature_for_another_artifact_is_refused(
    #[values(Layout::Tag, Layout::Referrer)] layout: Layout,
) {
    let (bench, sigstore, ada) = (Bench::new().await, Sigstore::new(), Signer::with_key());
    let other = bench.registry.push("myorg/other", "latest", &[("a", "other")]);
    bench.sign_with_key(layout, &ada, &other);
    assert_eq!(bench.refuses(keys(&[&ada])).await, "its signature was refused: it is for another artifact");

    let bench = Bench::new().await;
    bench.sign(layout, &sigstore, &sigstore.signer(ISSUER, SUBJECT), &other);
    let refusal = bench.refuses(identities(SPEC, &sigstore)).await;
    let expected = match layout {
        Layout::Tag => "its signature was refused: it is for another artifact",
        _ => "its signature was refused: no in-toto statement subject matches the provided artifact digest",
    };
    assert_eq!(refusal, expected);
}

// Attack 9 (sources): signed by another identity.
#[rstest]
#[case("https://accounts.example.com", SUBJECT)]
#[case(ISSUER, "https://github.com/evil/manifests/.github/workflows/release.yaml@refs/tags/v1.0.0")]
#[case(ISSUER, "ada@example.com")]
#[tokio::test]
async fn a_signature_by_another_identity_is_refused(
    #[case] issuer: &str,
    #[case] subject: &str,
    #[values(Layout::Tag, Layout::Referrer)] layout: Layout,
) {
    let (bench, sigstore) = (Bench::new().await, Sigstore::new());
    bench.sign(layout, &sigstore, &sigstore.signer(issuer, subject), &bench.digest);
    assert_eq!(
        bench.refuses(identities(SPEC, &sigstore)).await,
        format!(
            "its signature was refused: it was made by {subject} of {issuer}, who is not one of spec.verify.matchOIDCIdentity"
        )
    );
}

/// Who is not the one that the verifier trusts, or when it was.
#[derive(Clone, Copy, Debug)]
enum Wrong {
    Authority,
    CertificateLog,
    SignatureLog,
    TooEarly,
    TooLate,
}

// Attack 9 (sources): somebody else's authority, a certificate that was kept secret, an entry that nobody has made, a key that was stolen later.
#[rstest]
#[case(Wrong::Authority, "certificate verification failed")]
#[case(Wrong::CertificateLog, "certificate SCT verification failed")]
#[case(Wrong::SignatureLog, "its transparency log is not a known one")]
#[case(Wrong::TooEarly, "certificate expired before time of signing")]
#[case(Wrong::TooLate, "certificate expired before time of signing")]
#[tokio::test]
async fn all_who_take_part_have_to_be_known(
    #[case] wrong: Wrong,
    #[case] refusal: &str,
    #[values(Layout::Tag, Layout::Referrer)] layout: Layout,
) {
    let (bench, trusted, evil) = (Bench::new().await, Sigstore::new(), Sigstore::new());
    let day = 24 * 60 * 60;
    let used = match wrong {
        Wrong::Authority => Sigstore {
            certificate_log: trusted.certificate_log.clone(),
            signature_log: trusted.signature_log.clone(),
            ..evil
        },
        Wrong::CertificateLog => Sigstore { certificate_log: evil.certificate_log, ..trusted.clone() },
        Wrong::SignatureLog => Sigstore { signature_log: evil.signature_log, ..trusted.clone() },
        Wrong::TooEarly => Sigstore { time: NOON - day, ..trusted.clone() },
        Wrong::TooLate => Sigstore { time: NOON + day, ..trusted.clone() },
    };
    bench.sign(layout, &used, &used.signer(ISSUER, SUBJECT), &bench.digest);
    let found = bench.refuses(identities(SPEC, &trusted)).await;
    assert!(found.starts_with(&format!("its signature was refused: {refusal}")), "{found}");
}

/// What a part of a bundle is replaced by.
#[derive(Clone, Debug)]
enum By {
    /// The same part of another good bundle by the same signer.
    Other,
    This(Value),
}

// Attack 9 (sources): parts of several good signatures do not make another one.
#[rstest]
#[case("/verificationMaterial/tlogEntries", By::Other, "signature transparency materials are inconsistent")]
#[case("/verificationMaterial/tlogEntries", By::This(json!([])), "it has 0 entries of transparency logs, not 1")]
#[case("/verificationMaterial/tlogEntries/0/integratedTime", By::This(json!("1780315201")), "its transparency log has not signed its entry")]
#[case(
    "/verificationMaterial/tlogEntries/0/inclusionPromise",
    By::This(Value::Null),
    "its transparency log has not signed the time of its entry"
)]
#[case(
    "/verificationMaterial/tlogEntries/0/inclusionProof",
    By::Other,
    "its entry is not in its transparency log"
)]
#[case(
    "/verificationMaterial/tlogEntries/0/inclusionProof",
    By::This(Value::Null),
    "bundle must contain inclusion proof"
)]
#[case(
    "/verificationMaterial/certificate",
    By::This(Value::Null),
    "bundle includes unsupported VerificationMaterial::Content"
)]
#[case("/dsseEnvelope/payload", By::Other, "signature verification failed")]
#[case("/dsseEnvelope/signatures", By::Other, "signature verification failed")]
#[case("", By::This(json!({"mediaType": [1]})), "it is not a bundle of Sigstore")]
#[tokio::test]
async fn a_bundle_that_was_tampered_with_is_refused(
    #[case] part: &str,
    #[case] by: By,
    #[case] refusal: &str,
) {
    let (bench, sigstore) = (Bench::new().await, Sigstore::new());
    let signer = sigstore.signer(ISSUER, SUBJECT);
    let other = sigstore.bundle(&signer, &OciDigest::of(b"other"));
    let mut bundle = sigstore.bundle(&signer, &bench.digest);
    *bundle.pointer_mut(part).unwrap() = match by {
        By::Other => other.pointer(part).unwrap().clone(),
        By::This(value) => value,
    };
    attach_bundle(&bench.registry, REPOSITORY, &bench.digest, &bundle);
    let found = bench.refuses(identities(SPEC, &sigstore)).await;
    assert!(found.starts_with(&format!("its signature was refused: {refusal}")), "{found}");
}

// Attack 9 (sources): an entry of the log that is about another signature of the same signer (CVE-2022-36056).
#[tokio::test]
async fn an_entry_about_another_signature_is_refused() {
    let (bench, sigstore) = (Bench::new().await, Sigstore::new());
    let signer = sigstore.signer(ISSUER, SUBJECT);
    let mut annotations = sigstore.annotations(&signer, &payload(&bench.digest));
    let other = sigstore.annotations(&signer, &payload(&OciDigest::of(b"other")));
    annotations["dev.sigstore.cosign/bundle"] = other["dev.sigstore.cosign/bundle"].clone();
    attach_payload(&bench.registry, REPOSITORY, &bench.digest, payload(&bench.digest), &annotations);
    let refusal = "its signature was refused: signature transparency materials are inconsistent";
    assert_eq!(bench.refuses(identities(SPEC, &sigstore)).await, refusal);
}

#[tokio::test]
async fn a_signature_of_the_other_way_is_refused() {
    let (bench, sigstore, ada) = (Bench::new().await, Sigstore::new(), Signer::with_key());
    bench.sign_with_key(Layout::Tag, &ada, &bench.digest);
    let refusal = "its signature was refused: it was made with a key, and none is given";
    assert_eq!(bench.refuses(identities(SPEC, &sigstore)).await, refusal);
}

#[tokio::test]
async fn a_good_signature_among_bad_ones_is_found_and_all_bad_ones_are_told() {
    let (bench, ada) = (Bench::new().await, Signer::with_key());
    bench.sign_with_key(Layout::Referrer, &Signer::with_key(), &bench.digest);
    bench.sign_with_key(Layout::Referrer, &ada, &OciDigest::of(b"other"));
    assert_eq!(
        bench.refuses(keys(&[&ada])).await,
        "all of its 2 signatures were refused: it is for another artifact; it was not made with any of the keys"
    );
    bench.sign_with_key(Layout::Tag, &ada, &bench.digest);
    bench.accepts(keys(&[&ada])).await;
}

// Attack 9 (sources): a tag that moves after the artifact was verified.
#[tokio::test]
async fn what_was_verified_is_what_is_pulled() {
    let (bench, ada) = (Bench::new().await, Signer::with_key());
    bench.sign_with_key(Layout::Tag, &ada, &bench.digest);
    let evil = bench.registry.push(REPOSITORY, "evil", &[("a", "evil")]);
    bench.registry.move_when_seen(REPOSITORY, "latest", evil);
    bench.accepts(keys(&[&ada])).await;
}

// Attack 9 (sources): so many signatures that looking at them takes for ever, or one that is not of the digest that it was found by.
#[tokio::test]
async fn signatures_are_bounded_and_have_their_digests() {
    let (bench, ada) = (Bench::new().await, Signer::with_key());
    for other in 0..3 {
        bench.sign_with_key(Layout::Referrer, &ada, &OciDigest::of(&[other]));
    }
    let limits = OciLimits { signatures: 2, ..OciLimits::default() };
    let error = bench.store.error(&OciFetch { limits, ..bench.fetch(keys(&[&ada])) }).await;
    assert!(matches!(error, OciError::TooMuch { what: "signatures", limit: 2, .. }), "{error}");

    let (bench, evil) = (Bench::new().await, ada.bundle(&OciDigest::of(b"other")));
    let descriptor = attach_bundle(&bench.registry, REPOSITORY, &bench.digest, &evil);
    let path = format!("/v2/{REPOSITORY}/manifests/{}", descriptor["digest"].as_str().unwrap());
    bench.registry.lie(
        &path,
        StatusCode::OK,
        &[("content-type", MANIFEST)],
        json!({"artifactType": BUNDLE}).to_string(),
    );
    let error = bench.store.error(&bench.fetch(keys(&[&ada]))).await;
    assert!(matches!(error, OciError::DigestMismatch { what: "manifest", .. }), "{error}");
}
