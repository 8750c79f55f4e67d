use std::collections::HashMap;
use std::time::Duration;

use plumb_api::{GroupKind, GroupVersionKind};
use tokio::time::Instant;

use super::{Kind, KindError};

/// Each of several API servers serves a new kind when it has seen its definition.
const FRESH_FOR: Duration = Duration::from_secs(5);

/// What the cluster has answered.
#[derive(Default)]
pub(super) struct Table {
    pub(super) kinds: HashMap<GroupVersionKind, Kind>,
    pub(super) silent: Vec<GroupVersion>,
    /// Whether a kind turned out not to be served since.
    pub(super) is_outdated: bool,
    /// When kinds were established that have not been there at the start.
    established: HashMap<GroupKind, Instant>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct GroupVersion {
    pub(super) group: String,
    pub(super) version: String,
}

/// What a cluster answered.
#[derive(Default)]
pub(super) struct Discovered {
    pub(super) kinds: Vec<Kind>,
    /// Groups and versions whose API server did not answer.
    pub(super) silent: Vec<GroupVersion>,
}

impl Table {
    pub(super) fn find(&self, gvk: &GroupVersionKind) -> Result<Kind, KindError> {
        if let Some(kind) = self.kinds.get(gvk) {
            return Ok(kind.clone());
        }
        // Its other versions may be served by others; that they do not have the kind is known only when all have answered.
        match self.silent.iter().find(|silent| silent.group == gvk.group) {
            Some(GroupVersion { group, version }) => Err(KindError::Discovery(format!(
                "the API server of {group}/{version} does not answer; see APIService {version}.{group}"
            ))),
            None => Err(KindError::Unknown(gvk.clone())),
        }
    }

    pub(super) fn in_any_version(&self, gvk: &GroupVersionKind) -> Option<Kind> {
        let this_one = || self.kinds.get(gvk);
        let same_kind = |other: &&Kind| other.gvk().group_kind() == gvk.group_kind();
        let others =
            || self.kinds.values().filter(same_kind).min_by_key(|kind| kind.resource.version.as_str());
        this_one().or_else(others).cloned()
    }

    /// Takes in the kinds of one definition, all of which are of the same group and name; versions that are not among them go.
    pub(super) fn define(&mut self, kinds: Vec<Kind>) {
        let Some(group_kind) = kinds.first().map(|kind| kind.gvk().group_kind()) else { return };
        self.kinds.retain(|gvk, _| gvk.group_kind() != group_kind);
        self.kinds.extend(kinds.into_iter().map(|kind| (kind.gvk(), kind)));
    }

    /// A definition is gone, and its kinds with it.
    pub(super) fn undefine(&mut self, group_kind: &GroupKind) {
        self.kinds.retain(|gvk, _| gvk.group_kind() != *group_kind);
        self.established.remove(group_kind);
    }

    /// A definition has just been established.
    pub(super) fn establish(&mut self, group_kind: GroupKind) {
        self.established.retain(|_, since| since.elapsed() < FRESH_FOR);
        self.established.insert(group_kind, Instant::now());
    }

    pub(super) fn is_fresh(&self, group_kind: &GroupKind) -> bool {
        self.established.get(group_kind).is_some_and(|since| since.elapsed() < FRESH_FOR)
    }

    pub(super) fn update(&mut self, found: Discovered) {
        let Discovered { kinds, silent } = found;
        // An API server that is down has no kinds to tell of; those known from before stay, to be tried.
        self.kinds.retain(|gvk, _| {
            silent.iter().any(|silent| silent.group == gvk.group && silent.version == gvk.version)
        });
        self.kinds.extend(kinds.into_iter().map(|kind| (kind.gvk(), kind)));
        self.silent = silent;
        self.is_outdated = false;
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

    use rstest::rstest;

    use super::*;
    use crate::discovery::kind::api_resource;

    fn widget() -> GroupVersionKind {
        GroupVersionKind::new("example.com/v1", "Widget")
    }

    /// What a cluster answers that serves widgets in some versions, or cannot reach the server of some.
    fn found(served: &[&str], silent: &[&str]) -> Discovered {
        let kinds = served.iter().map(|version| Kind {
            resource: api_resource("example.com", version, "Widget", "widgets"),
            is_namespaced: true,
            is_watchable: true,
        });
        let silent = silent
            .iter()
            .map(|version| GroupVersion { group: "example.com".to_owned(), version: (*version).to_owned() });
        Discovered { kinds: kinds.collect(), silent: silent.collect() }
    }

    #[rstest]
    #[case::never_served(found(&[], &[]), found(&[], &[]), Some("Unknown"))]
    #[case::no_longer_served(found(&["v1"], &[]), found(&["v2"], &[]), Some("Unknown"))]
    #[case::silent_from_the_start(found(&[], &[]), found(&[], &["v1"]), Some("Discovery"))]
    #[case::silent_in_another_version(found(&[], &[]), found(&[], &["v2"]), Some("Discovery"))]
    #[case::silent_later(found(&["v1"], &[]), found(&[], &["v1"]), None)]
    #[case::answers_again(found(&[], &["v1"]), found(&["v1"], &[]), None)]
    #[case::answers_again_without_it(found(&[], &["v1"]), found(&[], &[]), Some("Unknown"))]
    fn a_kind_is_unknown_only_when_all_of_its_group_have_answered(
        #[case] first: Discovered,
        #[case] then: Discovered,
        #[case] error: Option<&str>,
    ) {
        let mut table = Table::default();
        table.update(first);
        table.update(then);
        let which = table.find(&widget()).err().map(|error| match error {
            KindError::Unknown(_) => "Unknown",
            KindError::Discovery(_) => "Discovery",
        });
        assert_eq!(which, error);
    }

    #[test]
    fn a_silent_api_server_is_named_with_where_to_look() {
        let mut table = Table::default();
        table.update(found(&[], &["v1"]));
        insta::assert_snapshot!(table.find(&widget()).unwrap_err(), @"cannot ask the cluster which kinds it serves: the API server of example.com/v1 does not answer; see APIService v1.example.com");
    }

    #[test]
    fn an_object_is_reached_in_its_own_version_or_another() {
        let mut table = Table::default();
        let mut version = |served: &[&str]| {
            table.update(found(served, &[]));
            table.in_any_version(&widget()).map(|kind| kind.resource.version)
        };
        assert_eq!(version(&["v1alpha1", "v1"]).as_deref(), Some("v1"));
        assert_eq!(version(&["v3", "v2"]).as_deref(), Some("v2"));
        assert_eq!(version(&[]), None);
    }
}
