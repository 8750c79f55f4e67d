//! Which records of Helm releases a cluster has, as the labels of Helm's Secrets tell: so nothing is asked while nothing changes, and what
//! somebody does with `helm` is known when it happens.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, OnceLock};

use futures::StreamExt as _;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Client;
use kube::api::Api;
use kube::core::PartialObjectMeta;
use kube::runtime::WatchStreamExt as _;
use kube::runtime::watcher::{self, Event, watcher};
use parking_lot::Mutex;
use plumb_api::annotations::RECORD_WRITTEN_BY;
use tokio_util::task::AbortOnDropHandle;

use crate::Key;
use crate::applier::ApplierId;
use crate::wakes::ApplierWakes;

/// The labels of Helm's records.
pub(crate) const OWNED_BY_HELM: &str = "owner=helm";

/// A record of a release, as its labels and an annotation tell of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RecordLabels {
    /// The name of the Secret.
    pub(crate) secret: String,
    /// The revision of the release.
    pub(crate) version: i64,
    /// The status of the release, in Helm's words.
    pub(crate) status: String,
    /// The resource version of the Secret.
    pub(crate) resource_version: String,
    /// The HelmRelease that has written it last, as an annotation says; `None` when it was none.
    pub(crate) written_by: Option<String>,
}

impl RecordLabels {
    /// What the labels of a Secret tell, and of which release; `None` when it is no record.
    pub(crate) fn of(metadata: &ObjectMeta) -> Option<(Key, Self)> {
        let label = |name: &str| metadata.labels.as_ref()?.get(name);
        if label("owner")? != "helm" {
            return None;
        }
        let release = Key { namespace: metadata.namespace.clone()?, name: label("name")?.clone() };
        let record = Self {
            secret: metadata.name.clone()?,
            version: label("version")?.parse().ok()?,
            status: label("status")?.clone(),
            resource_version: metadata.resource_version.clone()?,
            written_by: metadata.annotations.as_ref().and_then(|all| all.get(RECORD_WRITTEN_BY)).cloned(),
        };
        Some((release, record))
    }

    /// Whether it is newer than another state of the same record. Where versions are no numbers, what comes later counts as newer.
    fn is_newer_than(&self, known: &Self) -> bool {
        match (known.resource_version.parse::<u64>(), self.resource_version.parse::<u64>()) {
            (Ok(known), Ok(new)) => known < new,
            _ => known != self,
        }
    }
}

/// The records of all releases of one cluster.
pub(crate) struct Records {
    client: Client,
    wakes: ApplierWakes,
    state: Arc<Mutex<State>>,
    watch: OnceLock<AbortOnDropHandle<()>>,
}

#[derive(Default)]
struct State {
    /// Whether all records are known.
    is_listed: bool,
    /// The records of each release, by their revisions.
    releases: HashMap<Key, BTreeMap<i64, RecordLabels>>,
    /// Who has made a release, or would.
    followers: HashMap<Key, HashSet<ApplierId>>,
}

impl Records {
    /// Nothing is watched before somebody follows a release.
    pub(super) fn new(client: Client, wakes: ApplierWakes) -> Self {
        Self { client, wakes, state: Arc::default(), watch: OnceLock::new() }
    }

    /// Has an applier looked at from now on when the records of this release change, and of no other.
    pub(crate) fn follow(&self, who: &ApplierId, release: Option<&Key>) {
        let mut state = self.state.lock();
        for (followed, followers) in &mut state.followers {
            if Some(followed) != release {
                followers.remove(who);
            }
        }
        state.followers.retain(|_, followers| !followers.is_empty());
        if let Some(release) = release {
            state.followers.entry(release.clone()).or_default().insert(who.clone());
            drop(state);
            self.watch.get_or_init(|| {
                let watching = watch(self.client.clone(), self.state.clone(), self.wakes.clone());
                AbortOnDropHandle::new(tokio::spawn(watching))
            });
        }
    }

    /// The records of a release, the newest last; `None` while that is not known.
    pub(crate) fn of(&self, release: &Key) -> Option<Vec<RecordLabels>> {
        let state = self.state.lock();
        let records = state.releases.get(release).map(|records| records.values().cloned().collect());
        state.is_listed.then(|| records.unwrap_or_default())
    }

    /// Takes in a record as we have written it: the watch may lag behind.
    pub(crate) fn observe(&self, metadata: &ObjectMeta) {
        if let Some((release, record)) = RecordLabels::of(metadata) {
            self.state.lock().apply(release, record);
        }
    }

    /// Takes in that we have deleted a record.
    pub(crate) fn observe_deletion(&self, release: &Key, version: i64) {
        self.state.lock().delete(release, version);
    }
}

impl State {
    /// Takes in a record; whether that was news.
    fn apply(&mut self, release: Key, record: RecordLabels) -> bool {
        let records = self.releases.entry(release).or_default();
        let is_news = records.get(&record.version).is_none_or(|known| record.is_newer_than(known));
        if is_news {
            records.insert(record.version, record);
        }
        is_news
    }

    fn delete(&mut self, release: &Key, version: i64) -> bool {
        let Some(records) = self.releases.get_mut(release) else { return false };
        let was_there = records.remove(&version).is_some();
        if records.is_empty() {
            self.releases.remove(release);
        }
        was_there
    }

    /// Takes in all records that there are; returns the releases of which others are known than before.
    fn list(&mut self, listed: HashMap<Key, BTreeMap<i64, RecordLabels>>) -> Vec<Key> {
        self.is_listed = true;
        let before = std::mem::replace(&mut self.releases, listed);
        let now = &self.releases;
        let all: HashSet<&Key> = before.keys().chain(now.keys()).collect();
        all.into_iter().filter(|key| before.get(*key) != now.get(*key)).cloned().collect()
    }

    fn followers_of(&self, release: &Key) -> Vec<ApplierId> {
        self.followers.get(release).into_iter().flatten().cloned().collect()
    }
}

/// Watches the metadata of the records. While that is not allowed, nothing is known.
async fn watch(client: Client, state: Arc<Mutex<State>>, wakes: ApplierWakes) {
    let api: Api<PartialObjectMeta<Secret>> = Api::all(client);
    let config = watcher::Config::default().labels(OWNED_BY_HELM);
    let mut events = std::pin::pin!(watcher(api, config).default_backoff());
    let mut listing: HashMap<Key, BTreeMap<i64, RecordLabels>> = HashMap::new();
    while let Some(event) = events.next().await {
        let changed: Vec<Key> = match event {
            Ok(Event::Init) => {
                listing.clear();
                Vec::new()
            }
            Ok(Event::InitApply(object)) => {
                if let Some((release, record)) = RecordLabels::of(&object.metadata) {
                    listing.entry(release).or_default().insert(record.version, record);
                }
                Vec::new()
            }
            Ok(Event::InitDone) => state.lock().list(std::mem::take(&mut listing)),
            Ok(Event::Apply(object)) => RecordLabels::of(&object.metadata)
                .filter(|(release, record)| state.lock().apply(release.clone(), record.clone()))
                .map(|(release, _)| release)
                .into_iter()
                .collect(),
            Ok(Event::Delete(object)) => RecordLabels::of(&object.metadata)
                .filter(|(release, record)| state.lock().delete(release, record.version))
                .map(|(release, _)| release)
                .into_iter()
                .collect(),
            Err(error) => {
                tracing::debug!(%error, "the watch of Helm's records failed; it is started again");
                if is_forbidden(&error) {
                    state.lock().is_listed = false;
                }
                Vec::new()
            }
        };
        for follower in changed.iter().flat_map(|release| state.lock().followers_of(release)) {
            wakes.wake(follower);
        }
    }
}

/// Whether we may no longer, or not yet, watch.
fn is_forbidden(error: &watcher::Error) -> bool {
    match error {
        watcher::Error::InitialListFailed(kube::Error::Api(status))
        | watcher::Error::WatchStartFailed(kube::Error::Api(status)) => status.code == 403,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn metadata(version: &str, status: &str, resource_version: &str) -> ObjectMeta {
        let labels = [("owner", "helm"), ("name", "web"), ("version", version), ("status", status)];
        ObjectMeta {
            name: Some(format!("sh.helm.release.v1.web.v{version}")),
            namespace: Some("shop".to_owned()),
            resource_version: Some(resource_version.to_owned()),
            labels: Some(labels.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect()),
            ..ObjectMeta::default()
        }
    }

    fn apply(state: &mut State, version: &str, status: &str, resource_version: &str) -> bool {
        let (release, record) = RecordLabels::of(&metadata(version, status, resource_version)).unwrap();
        state.apply(release, record)
    }

    #[test]
    fn what_is_no_record_is_left_alone() {
        let mut other = metadata("1", "deployed", "7");
        other.labels.as_mut().unwrap().insert("owner".to_owned(), "somebody".to_owned());
        assert_eq!(RecordLabels::of(&other), None);
        assert_eq!(RecordLabels::of(&metadata("one", "deployed", "7")), None);
        assert_eq!(RecordLabels::of(&ObjectMeta::default()), None);
    }

    #[test]
    fn who_has_written_a_record_is_known() {
        let mut ours = metadata("1", "pending-upgrade", "7");
        let written_by = |metadata: &ObjectMeta| RecordLabels::of(metadata).unwrap().1.written_by;
        assert_eq!(written_by(&ours), None, "Helm does not say");
        let annotation = ("plumbline.dev/written-by".to_owned(), "shop/web".to_owned());
        ours.annotations = Some([annotation].into());
        assert_eq!(written_by(&ours).as_deref(), Some("shop/web"));
    }

    #[test]
    fn what_the_watch_brings_late_is_no_news() {
        let mut state = State::default();
        assert!(apply(&mut state, "1", "pending-install", "7"));
        assert!(apply(&mut state, "1", "deployed", "9"), "as we have written it");
        assert!(!apply(&mut state, "1", "pending-install", "7"));
        assert!(!apply(&mut state, "1", "deployed", "9"));
        let release = Key { namespace: "shop".to_owned(), name: "web".to_owned() };
        assert!(state.delete(&release, 1));
        assert!(!state.delete(&release, 1));
    }

    #[test]
    fn a_new_list_tells_which_releases_have_changed() {
        let mut state = State::default();
        let (release, record) = RecordLabels::of(&metadata("1", "deployed", "7")).unwrap();
        let listed = || HashMap::from([(release.clone(), BTreeMap::from([(1, record.clone())]))]);
        assert_eq!(state.list(listed()), std::slice::from_ref(&release));
        assert_eq!(state.list(listed()), []);
        assert_eq!(state.list(HashMap::new()), [release]);
    }
}
