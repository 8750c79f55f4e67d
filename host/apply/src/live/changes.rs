//! What has changed in the cluster, for whoever has to look at it again.

use plumb_api::ObjectId;

use crate::news::{News, Reader};
use crate::plan::Owner;

/// An object that is there, or no longer there, otherwise than it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LiveChange {
    /// The object.
    pub id: ObjectId,
    /// Whose it is, by its labels (before they changed, too: then there is a change for either owner); or who follows it as a
    /// reference.
    pub owner: Owner,
    /// What happened last.
    pub kind: LiveChangeKind,
}

/// What happened to an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LiveChangeKind {
    /// It was created or changed; its status counts.
    Applied,
    /// It was deleted, or lost the label by which it is watched.
    Deleted,
}

/// The reader's end. Changes before it was made are not in it, and of each object a slow reader gets the last one only.
pub struct LiveChanges(Reader<(ObjectId, Owner), LiveChangeKind>);

impl LiveChanges {
    /// The next change; waits for one.
    pub async fn next(&mut self) -> LiveChange {
        change(self.0.next().await)
    }

    /// The next change, if there is one already.
    pub fn try_next(&mut self) -> Option<LiveChange> {
        self.0.try_next().map(change)
    }
}

fn change(((id, owner), kind): ((ObjectId, Owner), LiveChangeKind)) -> LiveChange {
    LiveChange { id, owner, kind }
}

/// The writers' end.
#[derive(Default)]
pub(crate) struct ChangeHub(News<(ObjectId, Owner), LiveChangeKind>);

impl ChangeHub {
    pub(crate) fn subscribe(&self) -> LiveChanges {
        LiveChanges(self.0.subscribe())
    }

    pub(crate) fn publish(&self, change: &LiveChange) {
        self.0.publish(&(change.id.clone(), change.owner.clone()), &change.kind);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

    use plumb_api::GroupKind;

    use super::*;

    fn change(name: &str, owner: &str, kind: LiveChangeKind) -> LiveChange {
        LiveChange {
            id: ObjectId {
                namespace: "default".to_owned(),
                name: name.to_owned(),
                group_kind: GroupKind::new("", "ConfigMap"),
            },
            owner: Owner::kustomization("flux-system", owner),
            kind,
        }
    }

    #[tokio::test]
    async fn an_object_that_changes_hands_is_told_to_both() {
        let hub = ChangeHub::default();
        let mut changes = hub.subscribe();
        hub.publish(&change("a", "apps", LiveChangeKind::Deleted));
        hub.publish(&change("a", "infra", LiveChangeKind::Applied));
        assert_eq!(changes.next().await.owner.name, "apps");
        assert_eq!(changes.next().await.owner.name, "infra");
    }
}
