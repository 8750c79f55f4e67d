//! What a reconciliation of a Plugin writes into the status. Pure.

use jiff::Timestamp;
use plumb_api::conditions::remove;
use plumb_api::{AvailablePlugin, ConditionStatus, ConditionType, PluginStatus, Reason, set_condition};

use super::failure::{Failure, Retry};
use super::inspect::wants;
use super::{Loaded, Origin};

/// What came of a reconciliation that has left something that runs.
#[derive(Debug)]
pub(super) struct Running<'a> {
    pub(super) loaded: &'a Loaded,
    /// What the tag points to, when that is not what runs.
    pub(super) available: Option<&'a str>,
    /// Why it is not known whether there is something newer, or why that does not run.
    pub(super) trouble: Option<&'a Failure>,
}

/// A reconciliation as the status tells of it.
pub(super) struct Report {
    pub(super) generation: Option<i64>,
    pub(super) now: Timestamp,
}

impl Report {
    pub(super) fn runs(&self, status: &mut PluginStatus, running: &Running<'_>) {
        let loaded = running.loaded;
        status.observed_generation = self.generation;
        status.digest = Some(loaded.digest.clone());
        status.world = Some(loaded.plugin.world().to_string());
        status.wants = wants(&loaded.plugin.wants());
        status.signature = loaded.signatures.signer.clone();
        status.size = loaded.size.and_then(|size| i64::try_from(size).ok());
        status.available = running.available.map(|digest| AvailablePlugin { digest: digest.to_owned() });
        for gone in [ConditionType::Reconciling, ConditionType::Stalled, ConditionType::FetchFailed] {
            remove(&mut status.conditions, gone);
        }
        match &loaded.signatures.signer {
            None => remove(&mut status.conditions, ConditionType::SourceVerified),
            Some(signer) => {
                let message = format!("verified the signature of {}: {signer}", loaded.digest);
                self.set(
                    status,
                    ConditionType::SourceVerified,
                    ConditionStatus::True,
                    Reason::Succeeded,
                    &message,
                );
            }
        }
        if let Some(trouble) = running.trouble {
            self.set(
                status,
                ConditionType::FetchFailed,
                ConditionStatus::True,
                trouble.reason,
                &trouble.message,
            );
        }
        let message = message(running);
        self.set(status, ConditionType::Ready, ConditionStatus::True, Reason::Succeeded, &message);
    }

    /// Nothing runs. What ran last stays in the status, so that it is what runs again.
    pub(super) fn fails(&self, status: &mut PluginStatus, failure: &Failure) {
        let Failure { reason, message, retry } = failure;
        remove(&mut status.conditions, ConditionType::FetchFailed);
        match retry {
            Retry::Never => {
                if status.observed_generation != self.generation {
                    // It may be that of another image.
                    (status.digest, status.available) = (None, None);
                }
                status.observed_generation = self.generation;
                remove(&mut status.conditions, ConditionType::Reconciling);
                self.set(status, ConditionType::Stalled, ConditionStatus::True, *reason, message);
            }
            Retry::Backoff => {
                remove(&mut status.conditions, ConditionType::Stalled);
                let why = Reason::ProgressingWithRetry;
                self.set(status, ConditionType::Reconciling, ConditionStatus::True, why, message);
            }
        }
        if failure.is_about_the_signature() {
            status.signature = None;
            self.set(status, ConditionType::SourceVerified, ConditionStatus::False, *reason, message);
        } else {
            remove(&mut status.conditions, ConditionType::SourceVerified);
            if *reason != Reason::AccessDenied {
                self.set(status, ConditionType::FetchFailed, ConditionStatus::True, *reason, message);
            }
        }
        self.set(status, ConditionType::Ready, ConditionStatus::False, *reason, message);
    }

    fn set(
        &self,
        status: &mut PluginStatus,
        type_: ConditionType,
        holds: ConditionStatus,
        reason: Reason,
        message: &str,
    ) {
        set_condition(&mut status.conditions, type_, holds, reason, message, self.generation, self.now);
    }
}

fn message(running: &Running<'_>) -> String {
    let loaded = running.loaded;
    let mut message = match &loaded.origin {
        Origin::Builtin(name) => format!("runs the built-in plugin {name}"),
        Origin::Registry { place, .. } => format!("runs {place} at {}", loaded.digest),
    };
    if let Some(available) = running.available {
        message.push_str("; ");
        message.push_str(&moved(available));
    }
    if let Some(trouble) = running.trouble {
        message.push_str(&format!("; what is there now is not known or cannot run: {}", trouble.message));
    }
    message
}

/// That a tag has moved, and what to do about it.
pub(super) fn moved(available: &str) -> String {
    format!(
        "its tag points to {available} now, which is not followed: set spec.digest to it, or spec.upgrade to Automatic"
    )
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use plumb_api::conditions::find;
    use rstest::rstest;

    use super::*;

    fn failed(before_generation: i64, failure: &Failure) -> PluginStatus {
        let mut status = PluginStatus {
            observed_generation: Some(before_generation),
            digest: Some("sha256:a".to_owned()),
            signature: Some("cosign: a.pub of Secret keys".to_owned()),
            ..PluginStatus::default()
        };
        let report = Report { generation: Some(2), now: Timestamp::UNIX_EPOCH };
        report.fails(&mut status, failure);
        status
    }

    // Attack 27 (plugins): what has run is what runs again, whatever its tag points to meanwhile.
    #[rstest]
    #[case::same_spec(2, Retry::Never, true)]
    #[case::other_spec(1, Retry::Never, false)]
    #[case::tried_again(1, Retry::Backoff, true)]
    fn a_failure_keeps_the_digest_of_the_same_spec(
        #[case] before: i64,
        #[case] retry: Retry,
        #[case] keeps: bool,
    ) {
        let failure = Failure::new(Reason::AccessDenied, retry, "no");
        let status = failed(before, &failure);
        assert_eq!(status.digest.is_some(), keeps);
        // Only what is of this generation is taken for the digest of this spec.
        assert_eq!(status.observed_generation == Some(2), retry == Retry::Never || before == 2);
    }

    #[rstest]
    #[case::signature(Reason::VerificationError, Some("False"), None)]
    #[case::registry(Reason::OCIArtifactPullFailed, None, Some("True"))]
    #[case::policy(Reason::AccessDenied, None, None)]
    fn a_failure_says_what_is_wrong(
        #[case] reason: Reason,
        #[case] verified: Option<&str>,
        #[case] fetch_failed: Option<&str>,
    ) {
        let status = failed(2, &Failure::new(reason, Retry::Backoff, "because"));
        let is = |type_| find(&status.conditions, type_).map(|condition| condition.status.as_str());
        assert_eq!(is(ConditionType::SourceVerified), verified);
        assert_eq!(is(ConditionType::FetchFailed), fetch_failed);
        assert_eq!((is(ConditionType::Ready), is(ConditionType::Reconciling)), (Some("False"), Some("True")));
        assert_eq!(status.signature.is_none(), reason == Reason::VerificationError);
    }
}
