//! Who has to be looked at: a set, so that a thousand reasons to look at one object are one look, and the queue is never
//! longer than there are objects.

use std::collections::HashSet;
use std::sync::Arc;

use futures::Stream;
use parking_lot::Mutex;
use plumb_api::ApplierKind;
use tokio::sync::Notify;

use crate::Key;
use crate::applier::ApplierId;

/// The queue of one kind. Clones are the same queue.
#[derive(Clone, Default)]
pub(crate) struct Wakes(Arc<Inner>);

/// The queues of all kinds of appliers. Clones are the same queues.
#[derive(Clone, Default)]
pub(crate) struct ApplierWakes {
    kustomizations: Wakes,
    pipelines: Wakes,
    helm_releases: Wakes,
}

impl ApplierWakes {
    /// The queue of a kind.
    pub(crate) fn of(&self, kind: ApplierKind) -> &Wakes {
        match kind {
            ApplierKind::Kustomization => &self.kustomizations,
            ApplierKind::Pipeline => &self.pipelines,
            ApplierKind::HelmRelease => &self.helm_releases,
        }
    }

    /// Has an applier looked at soon.
    pub(crate) fn wake(&self, id: ApplierId) {
        self.of(id.kind).wake(id.key);
    }
}

#[derive(Default)]
struct Inner {
    waiting: Mutex<HashSet<Key>>,
    arrived: Notify,
}

impl Wakes {
    /// Has an object looked at soon.
    pub(crate) fn wake(&self, key: Key) {
        if self.0.waiting.lock().insert(key) {
            self.0.arrived.notify_one();
        }
    }

    /// Every object that was woken, each once until it is taken. One stream at a time: two would share the objects.
    pub(crate) fn stream(&self) -> impl Stream<Item = Key> + Send + 'static {
        let inner = self.0.clone();
        futures::stream::unfold(
            (inner, Vec::new()),
            |(inner, mut ready): (Arc<Inner>, Vec<Key>)| async move {
                loop {
                    if let Some(key) = ready.pop() {
                        return Some((key, (inner, ready)));
                    }
                    // `notify_one` leaves a permit when nobody waits, so nothing that arrives before this line is missed.
                    inner.arrived.notified().await;
                    ready.extend(inner.waiting.lock().drain());
                }
            },
        )
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use futures::{FutureExt as _, StreamExt as _};

    fn key(name: &str) -> Key {
        Key { namespace: "default".to_owned(), name: name.to_owned() }
    }

    #[tokio::test]
    async fn many_wakes_of_one_object_are_one() {
        let wakes = Wakes::default();
        let mut stream = Box::pin(wakes.stream());
        for _ in 0..1000 {
            wakes.wake(key("a"));
        }
        wakes.wake(key("b"));
        let mut seen = [stream.next().await.unwrap().name, stream.next().await.unwrap().name];
        seen.sort();
        assert_eq!(seen, ["a", "b"]);
        assert!(stream.next().now_or_never().is_none());
    }

    #[tokio::test]
    async fn a_wake_after_the_object_was_taken_is_another() {
        let wakes = Wakes::default();
        let mut stream = Box::pin(wakes.stream());
        wakes.wake(key("a"));
        stream.next().await.unwrap();
        wakes.wake(key("a"));
        assert_eq!(stream.next().now_or_never().unwrap().unwrap().name, "a");
    }
}
