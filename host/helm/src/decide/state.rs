//! How a release is doing.

use std::fmt;

use jiff::{SignedDuration, Timestamp};
use plumb_api::{
    ChartNameChangeStrategy, CommonMetadata, DriftMode, PostRenderer, ReleaseSnapshot, ReleaseStatus,
};
use sha2::{Digest as _, Sha256};

use super::{Drift, Situation, Writer};
use crate::record::Release;
use crate::snapshot;
use crate::strategy::Strategy;

/// How a release is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum State {
    /// What it is, or where, has changed.
    Retargeted(Retarget),
    /// There is none.
    Absent,
    /// There is one that this object did not make.
    Unmanaged,
    /// Somebody else is at work on it.
    Busy {
        /// When he has had time enough.
        until: Timestamp,
    },
    /// An action was interrupted.
    Locked,
    /// An uninstall was interrupted.
    Interrupted,
    /// It is not what is desired.
    OutOfSync,
    /// The last action, or a test, failed.
    Failed,
    /// Its tests have not been run.
    Untested,
    /// Its objects were changed by others.
    Drifted,
    /// It is what is desired.
    InSync,
}

/// What has changed so that the old release has to go first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Retarget {
    /// The namespace of the records.
    StorageNamespace,
    /// The namespace that it is installed to.
    Namespace,
    /// The name of the release.
    Name,
    /// The name of the chart.
    Chart,
}

impl fmt::Display for Retarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self {
            Self::StorageNamespace => "storage namespace",
            Self::Namespace => "release namespace",
            Self::Name => "release name",
            Self::Chart => "chart name",
        };
        write!(f, "release target configuration changed ({what})")
    }
}

/// How the release is doing, and what tells so.
pub(super) fn state(situation: &Situation<'_>) -> (State, String) {
    if let Some(changed) = retargeted(situation) {
        return (State::Retargeted(changed), changed.to_string());
    }
    let because = |state, why: &str| (state, why.to_owned());
    let status = situation.status;
    let Some(release) = situation.records.iter().max_by_key(|record| record.version()) else {
        return because(State::Absent, "no release in storage for object");
    };
    let in_storage = release.status();
    if let Some(until) = busy_until(situation, release) {
        let name = release.full_name();
        let why = format!("somebody else is at work on release {name}, which has status '{in_storage}'");
        return (State::Busy { until }, why);
    }
    if in_storage.is_pending() {
        return (State::Locked, format!("release with status '{in_storage}'"));
    }
    if in_storage == ReleaseStatus::Uninstalling {
        return because(State::Interrupted, "release with status 'uninstalling'");
    }
    let Some(latest) = status.latest() else {
        return match in_storage {
            ReleaseStatus::Uninstalled => because(State::Absent, "found uninstalled release in storage"),
            _ => because(State::Unmanaged, "found existing release in storage"),
        };
    };
    if !snapshot::targets(latest, release) || !snapshot::is_of(latest, release) {
        // An uninstalled release is absent, whoever has uninstalled it.
        return match in_storage {
            ReleaseStatus::Uninstalled => because(State::Absent, "found uninstalled release in storage"),
            _ => because(State::Unmanaged, "release not observed to be made for object"),
        };
    }
    match in_storage {
        ReleaseStatus::Failed => because(State::Failed, "release has failed"),
        ReleaseStatus::Uninstalled => because(State::Absent, "found uninstalled release in storage"),
        ReleaseStatus::Deployed => deployed(situation, release, latest),
        // What took its place is gone, or nobody knows how it is.
        other => (State::OutOfSync, format!("release with status '{other}'")),
    }
}

/// Until when an action of somebody else is left to him; `None` when there is none, or when it has had time enough. That is as much as an action
/// of ours gets, from when the record says that his has begun. Clocks differ, but what begins much later than now is a mistake, and not waited for.
fn busy_until(situation: &Situation<'_>, release: &Release) -> Option<Timestamp> {
    if situation.forced || situation.writer == Writer::Ourselves {
        return None;
    }
    let begun = match release.status() {
        status if status.is_pending() => release.last_deployed()?,
        ReleaseStatus::Uninstalling => release.deleted()?,
        _ => return None,
    };
    let grace = SignedDuration::try_from(situation.spec.timeout()).ok()?;
    let age = situation.now.duration_since(begun);
    let until = begun.checked_add(grace).ok()?;
    (age < grace && age > -grace).then_some(until)
}

/// How a release is doing that is deployed and ours.
fn deployed(situation: &Situation<'_>, release: &Release, latest: &ReleaseSnapshot) -> (State, String) {
    let because = |state, why: &str| (state, why.to_owned());
    let Situation { spec, status, desired, .. } = *situation;
    if (release.chart_field("name"), release.chart_field("version"))
        != (desired.chart_name.as_str(), desired.chart_version.as_str())
    {
        return because(State::OutOfSync, "release chart changed");
    }
    if !desired.values.have_digest(&latest.config_digest) {
        return because(State::OutOfSync, "release config values changed");
    }
    if status.observed_generation != Some(situation.generation) {
        if post_renderers_digest(&spec.post_renderers) != status.observed_post_renderers_digest {
            return because(State::OutOfSync, "postrenderers digest has changed");
        }
        if common_metadata_digest(spec.common_metadata.as_ref()) != status.observed_common_metadata_digest {
            return because(State::OutOfSync, "common metadata digest has changed");
        }
    }
    if spec.test.as_ref().is_some_and(|test| test.enable) {
        if !latest.has_been_tested() {
            return because(State::Untested, "release has not been tested");
        }
        let strategy = Strategy::of(spec, status, situation.retry_by_default);
        if latest.has_failed_test()
            && strategy.remediation().is_some_and(|remediation| !remediation.ignore_tests)
        {
            return because(State::Failed, "release has test in failed phase");
        }
    }
    let Drift { missing, changed } = situation.drift;
    let told = spec.drift_mode() != DriftMode::Disabled && changed > 0;
    if missing > 0 || told {
        return (State::Drifted, format!("{missing} object(s) removed, {changed} changed"));
    }
    because(State::InSync, "release in-sync with desired state")
}

/// What has changed so that the old release has to go first.
fn retargeted(situation: &Situation<'_>) -> Option<Retarget> {
    let Situation { spec, status, target, desired, .. } = *situation;
    let (storage, latest) = (status.storage_namespace.as_deref()?, status.latest()?);
    let in_place = spec.upgrade.as_ref().is_some_and(|upgrade| {
        upgrade.chart_name_change_strategy() == ChartNameChangeStrategy::InPlaceUpdate
    });
    if storage != target.storage_namespace {
        Some(Retarget::StorageNamespace)
    } else if latest.namespace != target.namespace {
        Some(Retarget::Namespace)
    } else if latest.name != target.name {
        Some(Retarget::Name)
    } else if latest.chart_name != desired.chart_name && !in_place {
        Some(Retarget::Chart)
    } else {
        None
    }
}

/// The digest of `spec.postRenderers`, as Flux computes it; `None` where there are none.
pub fn post_renderers_digest(renderers: &[PostRenderer]) -> Option<String> {
    (!renderers.is_empty()).then(|| digest_of_json(&renderers))
}

/// The digest of `spec.commonMetadata`, as Flux computes it; `None` where there is none.
pub fn common_metadata_digest(metadata: Option<&CommonMetadata>) -> Option<String> {
    metadata.map(digest_of_json)
}

/// Of JSON as Go writes it: the types have the fields in Go's order.
fn digest_of_json(value: &impl serde::Serialize) -> String {
    let mut json = serde_json::to_string(value).unwrap_or_default();
    for (plain, escaped) in [
        ("<", "\\u003c"),
        (">", "\\u003e"),
        ("&", "\\u0026"),
        ("\u{2028}", "\\u2028"),
        ("\u{2029}", "\\u2029"),
    ] {
        json = json.replace(plain, escaped);
    }
    format!("sha256:{}", hex::encode(Sha256::digest(json + "\n")))
}
