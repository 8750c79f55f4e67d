use std::collections::BTreeMap;
use std::process::Command;

use plumb_api::{GitReference, GitVerificationMode, Reason};
use plumb_source::git::verify::{Flaw, Signed, TrustedKeys, Verify, VerifyError};
use plumb_source::git::{Fetch, Fetched, GitError};
use rstest::rstest;
use tempfile::TempDir;

use crate::{Bench, fetch_of, known, read, snapshot};

/// A key of SSH.
struct Signer(TempDir);

impl Signer {
    fn new() -> Self {
        let dir = TempDir::new().unwrap();
        let mut keygen = Command::new("ssh-keygen");
        keygen.args(["-q", "-t", "ed25519", "-C", "test", "-N", "", "-f"]).arg(dir.path().join("key"));
        assert!(keygen.status().unwrap().success());
        Self(dir)
    }

    fn trusted(&self) -> TrustedKeys {
        let key = std::fs::read(self.0.path().join("key.pub")).unwrap();
        TrustedKeys::from_secret(&BTreeMap::from([("ada.sshpub".to_owned(), key)])).unwrap()
    }

    /// From now on, or no longer, this one signs commits, or annotated tags.
    fn signs(&self, bench: &Bench, what: &str, signs: bool) {
        let key = self.0.path().join("key");
        bench.repo.git(&["config", "gpg.format", "ssh"]).unwrap();
        bench.repo.git(&["config", "user.signingkey", key.to_str().unwrap()]).unwrap();
        bench.repo.git(&["config", &format!("{what}.gpgsign"), &signs.to_string()]).unwrap();
    }

    fn asks(&self, bench: &Bench, reference: GitReference, mode: GitVerificationMode) -> Fetch {
        let verify = Some(Verify { mode, keys: self.trusted() });
        Fetch { verify, ..fetch_of(bench.url(), reference) }
    }

    fn main(&self, bench: &Bench) -> Fetch {
        self.asks(bench, GitReference::Branch("main".to_owned()), GitVerificationMode::Head)
    }
}

fn flaw(result: Result<Fetched, GitError>) -> (Flaw, Reason) {
    match result.unwrap_err() {
        error @ GitError::Unverified { .. } => {
            let reason = error.reason();
            let GitError::Unverified { error: VerifyError::Flawed { flaw, .. }, .. } = error else {
                panic!("{error:?} is no flaw")
            };
            (flaw, reason)
        }
        error => panic!("{error:?} is not about a signature"),
    }
}

#[test]
fn a_signed_commit_is() {
    let (bench, ada) = (Bench::new(), Signer::new());
    ada.signs(&bench, "commit", true);
    let id = bench.repo.write("file", "1").unwrap().commit("one").unwrap();
    let taken = snapshot(bench.fetch(&ada.main(&bench)));
    assert_eq!(read(&taken, "file"), "1");
    assert_eq!(taken.verified.len(), 1);
    assert_eq!(taken.verified[0].signed, Signed::Commit { id });
    assert!(taken.verified[0].key.starts_with("SHA256:"));
}

#[test]
fn a_commit_without_a_signature_is_not_and_the_last_one_that_has_one_stays() {
    let (bench, ada) = (Bench::new(), Signer::new());
    ada.signs(&bench, "commit", true);
    bench.repo.write("file", "1").unwrap().commit("one").unwrap();
    let first = snapshot(bench.fetch(&ada.main(&bench)));
    ada.signs(&bench, "commit", false);
    bench.repo.write("file", "2").unwrap().commit("two").unwrap();
    for known in [None, Some(known(&first))] {
        let fetched = bench.fetch(&Fetch { known, ..ada.main(&bench) });
        assert_eq!(flaw(fetched), (Flaw::Unsigned, Reason::InvalidCommitSignature));
    }
    assert_eq!(read(&first, "file"), "1");
}

// Attack 11 (sources): a key that is not in the Secret, or not any more.
#[test]
fn a_commit_that_somebody_else_signed_is_not_even_if_it_was_taken_before() {
    let (bench, ada, eve) = (Bench::new(), Signer::new(), Signer::new());
    eve.signs(&bench, "commit", true);
    bench.repo.write("file", "1").unwrap().commit("one").unwrap();
    assert!(matches!(flaw(bench.fetch(&ada.main(&bench))), (Flaw::UnknownKey(_), _)));
    let taken = snapshot(bench.fetch(&eve.main(&bench)));
    let known = Some(known(&taken));
    let again = bench.fetch(&Fetch { known: known.clone(), ..eve.main(&bench) });
    assert!(matches!(again, Ok(Fetched::Unchanged(_))), "{again:?}");
    assert!(matches!(flaw(bench.fetch(&Fetch { known, ..ada.main(&bench) })), (Flaw::UnknownKey(_), _)));
}

fn tag(name: &str) -> GitReference {
    GitReference::Tag(name.to_owned())
}

/// One that is signed as it is said, and a tag `v1.0.0` of it, too.
fn tagged(ada: &Signer, commit: bool, tag: bool) -> Bench {
    let bench = Bench::new();
    ada.signs(&bench, "commit", commit);
    ada.signs(&bench, "tag", tag);
    bench.repo.write("file", "1").unwrap().commit("one").unwrap();
    bench.repo.annotated_tag("v1.0.0").unwrap();
    bench
}

// Attack 11 (sources): a signed tag over an unsigned commit.
#[rstest]
#[case(true, true, GitVerificationMode::Tag, None)]
#[case(false, true, GitVerificationMode::Tag, None)]
#[case(true, true, GitVerificationMode::TagAndHead, None)]
#[case(true, false, GitVerificationMode::Head, None)]
#[case(true, false, GitVerificationMode::LegacyHead, None)]
#[case(false, true, GitVerificationMode::TagAndHead, Some(Reason::InvalidCommitSignature))]
#[case(false, true, GitVerificationMode::Head, Some(Reason::InvalidCommitSignature))]
#[case(true, false, GitVerificationMode::Tag, Some(Reason::InvalidGitObject))]
#[case(true, false, GitVerificationMode::TagAndHead, Some(Reason::InvalidGitObject))]
fn what_has_to_be_signed_is_what_the_mode_says(
    #[case] commit: bool,
    #[case] with_tag: bool,
    #[case] mode: GitVerificationMode,
    #[case] reason: Option<Reason>,
    #[values(tag("v1.0.0"), GitReference::Semver("*".to_owned()), GitReference::Name("refs/tags/v1.0.0".to_owned()))]
    reference: GitReference,
) {
    let ada = Signer::new();
    let bench = tagged(&ada, commit, with_tag);
    let fetched = bench.fetch(&ada.asks(&bench, reference, mode));
    match reason {
        Some(reason) => assert_eq!(flaw(fetched), (Flaw::Unsigned, reason)),
        None => {
            let verified = snapshot(fetched).verified;
            let expected = usize::from(mode.verifies_tag()) + usize::from(mode.verifies_head());
            assert_eq!(verified.len(), expected, "{verified:?}");
        }
    }
}

#[test]
fn the_object_of_a_tag_is_fetched_although_its_commit_is_here() {
    let ada = Signer::new();
    let bench = tagged(&ada, false, true);
    bench.snapshot();
    let fetch = ada.asks(&bench, tag("v1.0.0"), GitVerificationMode::Tag);
    let first = snapshot(bench.fetch(&fetch));
    assert_eq!(first.verified.len(), 1);
    let asked = bench.server.asked_for_objects().len();
    assert_eq!(snapshot(bench.fetch(&fetch)).verified, first.verified);
    assert_eq!(bench.server.asked_for_objects().len(), asked);
}

// Attack 11 (sources): the signed tag of an old version in the place of a new one.
#[test]
fn the_tag_of_another_version_is_not() {
    let ada = Signer::new();
    let bench = tagged(&ada, false, true);
    bench.repo.set_ref("refs/tags/v2.0.0", Some(&bench.repo.git(&["rev-parse", "v1.0.0"]).unwrap())).unwrap();
    let fetched = bench.fetch(&ada.asks(&bench, tag("v2.0.0"), GitVerificationMode::Tag));
    assert_eq!(flaw(fetched), (Flaw::OtherTag("v1.0.0".to_owned()), Reason::InvalidTagSignature));
}

#[rstest]
#[case(tag("light"), VerifyError::Lightweight("light".to_owned()), Reason::InvalidGitObject, false)]
#[case(GitReference::Branch("main".to_owned()), VerifyError::NotATag, Reason::VerificationError, true)]
fn what_is_no_annotated_tag_is_told(
    #[case] reference: GitReference,
    #[case] expected: VerifyError,
    #[case] reason: Reason,
    #[case] needs_a_change: bool,
) {
    let ada = Signer::new();
    let bench = tagged(&ada, false, true);
    bench.repo.git(&["config", "tag.gpgsign", "false"]).unwrap();
    bench.repo.tag("light").unwrap();
    let error = bench.fetch(&ada.asks(&bench, reference, GitVerificationMode::Tag)).unwrap_err();
    assert_eq!((error.reason(), error.needs_a_change()), (reason, needs_a_change));
    assert_eq!(error, GitError::Unverified { url: bench.server.url(), error: expected });
}

/// Signed by the real `gpg`; see `src/git/verify/fixtures/make.sh`.
#[test]
fn a_commit_with_a_signature_of_pgp_is() {
    let fixtures = concat!(env!("CARGO_MANIFEST_DIR"), "/src/git/verify/fixtures");
    let fixture = |name: &str| std::fs::read(format!("{fixtures}/{name}")).unwrap();
    let bench = Bench::new();
    bench.repo.git(&["hash-object", "-w", "-t", "tree", "/dev/null"]).unwrap();
    let commit = ["hash-object", "-w", "-t", "commit", "--stdin"];
    let id = bench.repo.git_with_input(&commit, &fixture("ada.commit")).unwrap();
    bench.repo.git(&["push", "-q", "-f", "origin", &format!("{id}:refs/heads/main")]).unwrap();
    let asks = |name: &str| {
        let keys = TrustedKeys::from_secret(&BTreeMap::from([(name.to_owned(), fixture(name))])).unwrap();
        let verify = Some(Verify { mode: GitVerificationMode::Head, keys });
        bench.fetch(&Fetch { verify, ..bench.main() })
    };
    assert!(matches!(flaw(asks("weak.asc")), (Flaw::UnknownKey(_), Reason::InvalidCommitSignature)));
    assert_eq!(snapshot(asks("ada.asc")).verified[0].signed, Signed::Commit { id });
}
