//! What a reconciliation of a source writes into the status. Pure.

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use plumb_api::conditions::remove;
use plumb_api::{
    Artifact as ArtifactStatus, ConditionStatus, ConditionType, Reason, Revision, set_condition,
};

use super::failure::{Failure, Stage};
use super::{Fetched, Signature, SourceId, Standing};
use crate::artifacts::Artifact;

/// A reconciliation as the status tells of it.
pub(super) struct Report {
    pub(super) generation: Option<i64>,
    pub(super) now: Timestamp,
}

impl Report {
    /// The newest revision is available. Whether it is another one than before.
    pub(super) fn succeed(&self, standing: &mut Standing<'_>, source: &SourceId, fetched: &Fetched) -> bool {
        let artifact = &fetched.artifact;
        let revision = artifact.revision.to_string();
        let is_new = standing
            .artifact
            .as_ref()
            .is_none_or(|before| before.revision != revision || before.digest != artifact.digest);
        if is_new {
            let published = published(source, artifact, fetched.metadata.clone(), self.now);
            if let Some(url) = &mut standing.url {
                **url = Some(published.url.clone());
            }
            *standing.artifact = Some(published);
        }
        *standing.observed_generation = self.generation;
        for gone in [ConditionType::Reconciling, ConditionType::Stalled, ConditionType::ArtifactOutdated] {
            remove(standing.conditions, gone);
        }
        Stage::ALL.into_iter().for_each(|stage| passed(standing, stage));
        match &fetched.signature {
            Signature::NotAskedFor => remove(standing.conditions, ConditionType::SourceVerified),
            Signature::AsBefore => {}
            Signature::Good(whose) => {
                let verified = ConditionType::SourceVerified;
                self.set(standing, verified, ConditionStatus::True, Reason::Succeeded, whose);
            }
        }
        let (reason, message) = told(fetched);
        for holds in [ConditionType::Ready, ConditionType::ArtifactInStorage] {
            self.set(standing, holds, ConditionStatus::True, reason, &message);
        }
        is_new
    }

    /// What was fetched before remains available, if anything was.
    pub(super) fn fail(&self, standing: &mut Standing<'_>, failure: &Failure) {
        let Failure { stage, reason, message, stalled } = failure;
        // A stalled object was looked at to the end; one that is tried again was not.
        if *stalled {
            *standing.observed_generation = self.generation;
            remove(standing.conditions, ConditionType::Reconciling);
            self.set(standing, ConditionType::Stalled, ConditionStatus::True, *reason, message);
        } else {
            remove(standing.conditions, ConditionType::Stalled);
            let why = Reason::ProgressingWithRetry;
            self.set(standing, ConditionType::Reconciling, ConditionStatus::True, why, message);
        }
        Stage::ALL.into_iter().filter(|before| before < stage).for_each(|stage| passed(standing, stage));
        let holds = match stage {
            Stage::Verify => ConditionStatus::False,
            Stage::Include | Stage::Fetch | Stage::Build | Stage::Store => ConditionStatus::True,
        };
        self.set(standing, stage.condition(), holds, *reason, message);
        self.set(standing, ConditionType::Ready, ConditionStatus::False, *reason, message);
        // Something was fetched, and is not what users of the source get.
        if *stage > Stage::Fetch && standing.artifact.is_some() {
            let outdated = ConditionType::ArtifactOutdated;
            self.set(standing, outdated, ConditionStatus::True, Reason::NewRevision, message);
        }
    }

    fn set(
        &self,
        standing: &mut Standing<'_>,
        type_: ConditionType,
        holds: ConditionStatus,
        reason: Reason,
        message: &str,
    ) {
        set_condition(standing.conditions, type_, holds, reason, message, self.generation, self.now);
    }
}

/// A stage has been passed. That a signature is good is told by who has verified it.
fn passed(standing: &mut Standing<'_>, stage: Stage) {
    if stage != Stage::Verify {
        remove(standing.conditions, stage.condition());
    }
}

/// An artifact, as a status tells of it.
pub(super) fn published(
    source: &SourceId,
    artifact: &Artifact,
    metadata: BTreeMap<String, String>,
    now: Timestamp,
) -> ArtifactStatus {
    let path = path(source, &artifact.revision);
    ArtifactStatus {
        digest: artifact.digest.clone(),
        // Nothing is served at a URL: trees are handed over within the process.
        url: format!("plumbline://{path}"),
        path,
        revision: artifact.revision.to_string(),
        last_update_time: Time(now),
        size: None,
        metadata,
    }
}

/// `gitrepository/flux-system/apps/HEX`.
fn path(source: &SourceId, revision: &Revision) -> String {
    // A chart has a version, and no hash.
    let name = revision.name().filter(|_| revision.hex().is_empty()).unwrap_or(revision.hex());
    format!("{}/{}/{name}", source.kind.as_str().to_lowercase(), source.key)
}

/// What the conditions and the event say of what was fetched.
pub(super) fn told(fetched: &Fetched) -> (Reason, String) {
    match &fetched.chart {
        Some(chart) => chart.told(),
        None => (Reason::Succeeded, success_message(&fetched.artifact.revision)),
    }
}

fn success_message(revision: &Revision) -> String {
    format!("stored artifact for revision '{revision}'")
}

#[cfg(test)]
mod tests {
    use plumb_api::{Bucket, BucketStatus};
    use rstest::rstest;

    use super::super::Fetch as _;
    use super::*;

    #[rstest]
    #[case::nothing_new_was_seen(Stage::Fetch, true, false)]
    #[case::the_new_one_is_not_trusted(Stage::Verify, true, true)]
    #[case::the_new_one_is_no_tree(Stage::Store, true, true)]
    #[case::there_was_none_before(Stage::Verify, false, false)]
    fn an_artifact_is_outdated_when_a_new_one_could_not_be_made(
        #[case] stage: Stage,
        #[case] had_one: bool,
        #[case] is_outdated: bool,
    ) {
        let report = Report { generation: Some(1), now: Timestamp::UNIX_EPOCH };
        let before = ArtifactStatus {
            digest: "sha256:a".to_owned(),
            url: "plumbline://a".to_owned(),
            path: "a".to_owned(),
            revision: "sha256:a".to_owned(),
            last_update_time: Time(report.now),
            size: None,
            metadata: BTreeMap::new(),
        };
        let mut status = BucketStatus { artifact: had_one.then_some(before), ..BucketStatus::default() };
        let failure = Failure::new(stage, Reason::Failed, "no");
        report.fail(&mut Bucket::standing(&mut status), &failure);
        let found = status.conditions.iter().find(|condition| condition.type_ == "ArtifactOutdated");
        assert_eq!(found.is_some(), is_outdated);
    }
}
