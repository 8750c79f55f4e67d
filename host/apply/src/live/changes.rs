//! What has changed in the cluster, for whoever has to look at it again. A slow reader gets fewer, not older, news: a change
//! that is not yet read takes in those of the same object that follow, so nothing is lost and the queue is no longer than there
//! are objects.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use plumb_api::ObjectId;
use tokio::sync::Notify;

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

/// The reader's end. Changes before it was made are not in it.
pub struct LiveChanges(Arc<Queue>);

impl LiveChanges {
    /// The next change; waits for one.
    pub async fn next(&mut self) -> LiveChange {
        loop {
            // A change that is pushed after `pop` found nothing leaves a permit in the Notify, so it is not slept through.
            if let Some(change) = self.0.pending.lock().pop() {
                return change;
            }
            self.0.pushed.notified().await;
        }
    }

    /// The next change, if there is one already.
    pub fn try_next(&mut self) -> Option<LiveChange> {
        self.0.pending.lock().pop()
    }
}

#[derive(Default)]
struct Queue {
    pending: Mutex<Pending>,
    pushed: Notify,
}

/// Changes in the order in which their objects first changed.
#[derive(Default)]
struct Pending {
    order: VecDeque<(ObjectId, Owner)>,
    last: HashMap<(ObjectId, Owner), LiveChangeKind>,
}

impl Pending {
    fn push(&mut self, change: LiveChange) {
        let key = (change.id, change.owner);
        if self.last.insert(key.clone(), change.kind).is_none() {
            self.order.push_back(key);
        }
    }

    fn pop(&mut self) -> Option<LiveChange> {
        let key = self.order.pop_front()?;
        let kind = self.last.remove(&key)?;
        let (id, owner) = key;
        Some(LiveChange { id, owner, kind })
    }
}

/// The writers' end.
#[derive(Default)]
pub(crate) struct ChangeHub(Mutex<Vec<Weak<Queue>>>);

impl ChangeHub {
    pub(crate) fn subscribe(&self) -> LiveChanges {
        let queue = Arc::new(Queue::default());
        self.0.lock().push(Arc::downgrade(&queue));
        LiveChanges(queue)
    }

    pub(crate) fn publish(&self, change: &LiveChange) {
        self.0.lock().retain(|reader| {
            let Some(queue) = reader.upgrade() else { return false };
            queue.pending.lock().push(change.clone());
            queue.pushed.notify_one();
            true
        });
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
            owner: Owner { namespace: "flux-system".to_owned(), name: owner.to_owned() },
            kind,
        }
    }

    #[tokio::test]
    async fn a_slow_reader_gets_the_last_state_of_every_object_once() {
        let hub = ChangeHub::default();
        let mut changes = hub.subscribe();
        for _ in 0..1000 {
            hub.publish(&change("a", "apps", LiveChangeKind::Applied));
            hub.publish(&change("b", "apps", LiveChangeKind::Applied));
        }
        hub.publish(&change("a", "apps", LiveChangeKind::Deleted));
        assert_eq!(changes.next().await, change("a", "apps", LiveChangeKind::Deleted));
        assert_eq!(changes.next().await, change("b", "apps", LiveChangeKind::Applied));
        assert_eq!(changes.try_next(), None);
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

    #[tokio::test]
    async fn a_change_wakes_a_reader_that_sleeps() {
        let hub = Arc::new(ChangeHub::default());
        let mut changes = hub.subscribe();
        let reader = tokio::spawn(async move { changes.next().await });
        tokio::task::yield_now().await;
        hub.publish(&change("a", "apps", LiveChangeKind::Applied));
        assert_eq!(reader.await.unwrap(), change("a", "apps", LiveChangeKind::Applied));
    }

    #[test]
    fn a_reader_that_has_gone_is_forgotten() {
        let hub = ChangeHub::default();
        drop(hub.subscribe());
        hub.publish(&change("a", "apps", LiveChangeKind::Applied));
        assert!(hub.0.lock().is_empty());
    }
}
