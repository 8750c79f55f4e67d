//! Objects that were signed by the real `git` with the real `gpg` and `ssh-keygen`; `fixtures/make.sh` has made them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::collections::BTreeMap;
use std::path::PathBuf;

use rstest::rstest;

use super::*;

fn fixture(name: &str) -> Vec<u8> {
    let dir: PathBuf = [env!("CARGO_MANIFEST_DIR"), "src/git/verify/fixtures", name].iter().collect();
    std::fs::read(dir).unwrap()
}

fn keys(names: &[&str]) -> TrustedKeys {
    let data: BTreeMap<String, Vec<u8>> =
        names.iter().map(|name| ((*name).to_owned(), fixture(name))).collect();
    TrustedKeys::from_secret(&data).unwrap()
}

fn id(digit: char) -> ObjectId {
    ObjectId::from_hex(digit.to_string().repeat(40).as_bytes()).unwrap()
}

fn day(date: &str) -> Timestamp {
    format!("{date}T00:00:00Z").parse().unwrap()
}

/// What the message says of the key does not change with the fixtures.
fn without_ids(text: &str) -> String {
    let id = regex::Regex::new("[0-9A-F]{16}|SHA256:[A-Za-z0-9+/]{43}").unwrap();
    id.replace_all(text, "KEY").into_owned()
}

fn commit(name: &str, trusted: &[&str], date: &str) -> Result<String, String> {
    verify_commit(&fixture(name), id('a'), &keys(trusted), day(date))
        .map(|verified| without_ids(&verified.to_string()))
        .map_err(|error| without_ids(&error.to_string()))
}

const COMMIT: &str = "commit 'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa'";

#[rstest]
#[case("ada.commit", &["ada.asc"])]
#[case("ada.commit", &["weak.asc", "ada.asc", "ada.sshpub"])]
#[case("strong.commit", &["weak.asc"])]
#[case("ssh.commit", &["ada.sshpub"])]
#[case("ssh.commit", &["ada.asc", "ada.sshpub"])]
#[case("expired.commit", &["prolonged.asc"])]
#[case("expired.commit", &["expired.asc", "prolonged.asc"])]
#[case("revoked.commit", &["not-yet-revoked.asc"])]
fn a_commit_of_somebody_who_may_sign_is_verified(#[case] name: &str, #[case] trusted: &[&str]) {
    assert_eq!(commit(name, trusted, "2026-01-01"), Ok(format!("{COMMIT} with key 'KEY'")));
}

// Attack 11 (sources): keys that are expired, revoked or not in the Secret; digests that can be forged; signatures for something else.
#[rstest]
#[case("ada.commit", &["weak.asc"], "it was signed with the key KEY, which is not in the secret")]
#[case("ada.commit", &["ada.sshpub"], "it was signed with the key KEY, which is not in the secret")]
#[case("ssh.commit", &["ada.asc"], "it was signed with the key KEY, which is not in the secret")]
#[case("weak.commit", &["weak.asc"], "its signature is over a SHA1 digest, which can be forged; sign with SHA-256 or better")]
#[case("expired.commit", &["expired.asc"], "the key KEY has expired; put the key as its owner has prolonged it into the secret")]
#[case("revoked.commit", &["revoked.asc"], "the key KEY was revoked")]
#[case("ssh-file.commit", &["ada.sshpub"], "its signature was made for \"file\", not for \"git\"")]
fn a_commit_of_anybody_else_is_not(#[case] name: &str, #[case] trusted: &[&str], #[case] flaw: &str) {
    assert_eq!(commit(name, trusted, "2026-01-01"), Err(format!("{COMMIT} is not trusted: {flaw}")));
}

#[test]
fn a_key_is_good_until_it_expires() {
    assert!(commit("expired.commit", &["expired.asc"], "2024-12-30").is_ok());
    assert!(commit("expired.commit", &["expired.asc"], "2025-01-02").is_err());
}

#[test]
fn a_signature_is_not_from_the_future() {
    let early = commit("ada.commit", &["ada.asc"], "2024-02-29");
    assert_eq!(early, Err(format!("{COMMIT} is not trusted: its signature is not valid at this time")));
}

#[rstest]
fn a_commit_that_was_changed_is_not_verified(
    #[values(("ada.commit", "ada.asc"), ("ssh.commit", "ada.sshpub"))] (name, key): (&str, &str),
    #[values("tree 4", "A signed commit", "author Ada")] place: &str,
) {
    let text = String::from_utf8(fixture(name)).unwrap();
    let changed = text.replace(place, &place.replace(['4', 'A', 'a'], "5"));
    assert_ne!(changed, text);
    let error = verify_commit(changed.as_bytes(), id('a'), &keys(&[key]), day("2026-01-01")).unwrap_err();
    assert!(matches!(error, VerifyError::Flawed { flaw: Flaw::NotSigned(_), .. }), "{error:?}");
}

/// What a tag of the fixtures tags.
fn target(tag: &[u8]) -> ObjectId {
    ObjectId::from_hex(&tag["object ".len()..][..40]).unwrap()
}

#[rstest]
#[case("ada.tag", "v1", "ada.asc")]
#[case("ssh.tag", "v2", "ada.sshpub")]
fn a_tag_is_verified_by_its_name_and_its_commit(#[case] file: &str, #[case] name: &str, #[case] key: &str) {
    let (bytes, trusted, now) = (fixture(file), keys(&[key]), day("2026-01-01"));
    let verify = |name, target| verify_tag(&bytes, name, id('b'), target, &trusted, now);
    let verified = verify(name, target(&bytes)).unwrap();
    assert_eq!(
        without_ids(&verified.to_string()),
        format!("tag '{name}@bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb' with key 'KEY'")
    );
    // Attack 11 (sources): the signed tag of one version in the place of another.
    assert_eq!(
        verify("v9", target(&bytes)).unwrap_err().to_string(),
        format!(
            "tag 'v9@bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb' is not trusted: it is the object of the tag {name:?}"
        )
    );
    let error = verify(name, id('c')).unwrap_err();
    assert!(matches!(error, VerifyError::Flawed { flaw: Flaw::OtherTarget(_), .. }), "{error:?}");
}

#[rstest]
#[case("ada.commit", "ada.tag")]
#[case("ssh.commit", "ssh.tag")]
fn the_signature_of_a_tag_is_none_of_a_commit(#[case] commit: &str, #[case] tag: &str) {
    let error = verify_commit(&fixture(tag), id('a'), &keys(&["ada.asc"]), day("2026-01-01")).unwrap_err();
    assert!(matches!(error, VerifyError::Flawed { flaw: Flaw::Unsigned, .. }), "{error:?}");
    let bytes = fixture(commit);
    let error = verify_tag(&bytes, "v1", id('b'), id('c'), &keys(&["ada.asc"]), day("2026-01-01"));
    assert!(error.is_err());
}

#[test]
fn the_keys_are_named_as_in_flux() {
    let now = day("2026-01-01");
    let verified = verify_commit(&fixture("ssh.commit"), id('a'), &keys(&["ada.sshpub"]), now).unwrap();
    assert!(verified.key.starts_with("SHA256:"), "{}", verified.key);
    // The subkey has signed; the primary key is the one that people know.
    let trusted = keys(&["ada.asc"]);
    let verified = verify_commit(&fixture("ada.commit"), id('a'), &trusted, now).unwrap();
    let primary = &trusted.pgp()[0].primary_key;
    assert_eq!(verified.key, hex::encode_upper(::pgp::types::KeyDetails::legacy_key_id(primary)));
}
