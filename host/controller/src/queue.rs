//! Runs the reconciliations of one kind: one task an object at a time, a bound on all of them that namespaces share, and a panic that
//! stays with its object.

mod timers;

use std::any::Any;
use std::collections::HashSet;
use std::fmt::Debug;
use std::hash::Hash;
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures::future::OptionFuture;
use futures::stream::FuturesUnordered;
use futures::{FutureExt as _, Stream, StreamExt as _};
use kube::Resource;
use kube::core::NamespaceResourceScope;
use kube::runtime::reflector::{ObjectRef, Store};
use tokio::time::{Instant, sleep_until};
use tokio_util::task::AbortOnDropHandle;

use crate::Key;
use crate::context::Context;
use crate::fair::Line;
use timers::Timers;

/// After a panic the object is left alone for this long, unless it changes.
const AFTER_PANIC: Duration = Duration::from_secs(60);
/// What changes within this time is looked at once.
const DEBOUNCE: Duration = Duration::from_millis(20);

/// When to look at an object again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Action(Option<Duration>);

impl Action {
    /// After this long, and before it when something wakes it.
    pub(crate) fn requeue(wait: Duration) -> Self {
        Self(Some(wait))
    }

    /// When something wakes it.
    pub(crate) fn await_change() -> Self {
        Self(None)
    }
}

/// What is reconciled, and how.
pub(crate) trait Reconciler: 'static {
    /// The kind of the objects.
    type Kind: Resource<Scope = NamespaceResourceScope, DynamicType: Default + Debug + Eq + Hash + Clone + Unpin>
        + Clone
        + Send
        + Sync
        + 'static;

    /// The name of the kind.
    const KIND: &'static str;

    /// Makes the cluster what the object says, as far as that can be done now, and says when to look again.
    fn reconcile(object: Arc<Self::Kind>, context: Arc<Context>) -> impl Future<Output = Action> + Send;

    /// Whether there still is such an object.
    fn exists(key: &Key, context: &Context) -> bool;

    /// Tells users that a reconciliation panicked.
    fn report_panic(
        object: Arc<Self::Kind>,
        context: Arc<Context>,
        message: String,
    ) -> impl Future<Output = ()> + Send;
}

/// Reconciles what is woken until the stream of wakes ends, and then what has begun.
pub(crate) async fn run<R: Reconciler>(
    context: Arc<Context>,
    store: Store<R::Kind>,
    woken: impl Stream<Item = Key> + Send + 'static,
) {
    let slots = usize::from(context.config.concurrent);
    work(slots, woken, |key| {
        // Read only now: it may have changed while it waited, or be gone.
        let object = store.get(&ObjectRef::new(&key.name).within(&key.namespace))?;
        Some(guarded::<R>(object, context.clone()))
    })
    .await;
}

/// Starts work on every key that is woken, at most once at a time for each, and again when its action says so. `start` says what there is
/// to do, if anything.
async fn work<W>(
    slots: usize,
    woken: impl Stream<Item = Key> + Send,
    mut start: impl FnMut(&Key) -> Option<W>,
) where
    W: Future<Output = Action> + Send + 'static,
{
    let mut woken = pin!(woken.fuse());
    let (mut timers, mut line) = (Timers::default(), Line::new(slots));
    let (mut waiting, mut running, mut tasks) = (HashSet::new(), HashSet::new(), FuturesUnordered::new());
    loop {
        // What is being worked on is looked at again when that has ended.
        for key in timers.due(Instant::now(), |key| !running.contains(key)) {
            if waiting.insert(key.clone()) {
                line.enter(key.namespace.clone(), key);
            }
        }
        while let Some((namespace, key)) = line.next() {
            waiting.remove(&key);
            let Some(work) = start(&key) else {
                line.leave(&namespace);
                continue;
            };
            // A task of its own: the others go on meanwhile, on every core.
            // It ends with the queue, which is dropped when this replica must not go on.
            let task = AbortOnDropHandle::new(tokio::spawn(work));
            running.insert(key.clone());
            tasks.push(async move { (key, task.await.unwrap_or(Action::requeue(AFTER_PANIC))) });
        }
        let next = timers.next();
        tokio::select! {
            key = woken.next() => match key {
                // An object that waits for its slot is read when it gets one.
                Some(key) if waiting.contains(&key) => {}
                Some(key) => timers.set(key, Instant::now() + DEBOUNCE),
                None => break,
            },
            Some((key, Action(again))) = tasks.next() => {
                line.leave(&key.namespace);
                running.remove(&key);
                // A time beyond what the clock can tell never comes.
                if let Some(at) = again.and_then(|wait| Instant::now().checked_add(wait)) {
                    timers.set(key, at);
                }
            }
            Some(()) = OptionFuture::from(next.map(sleep_until)) => {}
        }
    }
    while tasks.next().await.is_some() {}
}

async fn guarded<R: Reconciler>(object: Arc<R::Kind>, context: Arc<Context>) -> Action {
    let (key, started) = (Key::of(object.as_ref()), Instant::now());
    let action = match caught(R::reconcile(object.clone(), context.clone())).await {
        Ok(action) => action,
        Err(message) => {
            tracing::error!(kind = R::KIND, object = %key, message, "a reconciliation panicked; this is a bug");
            context.metrics.panicked();
            R::report_panic(object, context.clone(), message).await;
            Action::requeue(AFTER_PANIC)
        }
    };
    if R::exists(&key, &context) {
        context.metrics.reconciled(R::KIND, &key, started.elapsed());
    }
    action
}

/// Runs the work; an error is the message of its panic.
async fn caught<T>(work: impl Future<Output = T>) -> Result<T, String> {
    AssertUnwindSafe(work).catch_unwind().await.map_err(|panic| message_of(panic.as_ref()))
}

fn message_of(panic: &(dyn Any + Send)) -> String {
    let text =
        panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("no message").to_owned()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

    use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

    use tokio::sync::{Notify, mpsc};
    use tokio_stream::wrappers::UnboundedReceiverStream;

    use super::*;

    fn key(text: &str) -> Key {
        let (namespace, name) = text.split_once('/').unwrap();
        Key { namespace: namespace.to_owned(), name: name.to_owned() }
    }

    #[tokio::test]
    async fn a_panic_is_caught_with_its_message() {
        assert_eq!(caught(async { 7 }).await, Ok(7));
        let number = 7;
        assert_eq!(caught(async { panic!("plain") }).await, Err::<(), _>("plain".to_owned()));
        assert_eq!(caught(async { panic!("number {number}") }).await, Err::<(), _>("number 7".to_owned()));
        let odd = caught(async { std::panic::panic_any(7) }).await;
        assert_eq!(odd, Err::<(), _>("no message".to_owned()));
    }

    // Attack 23 (multi-tenancy): what a tenant has waiting keeps nobody else from being looked at.
    #[tokio::test]
    async fn a_namespace_whose_work_never_ends_leaves_slots_to_the_others() {
        let (wake, woken) = mpsc::unbounded_channel();
        let (done, mut seen) = mpsc::unbounded_channel();
        let queue = tokio::spawn(work(4, UnboundedReceiverStream::new(woken), move |key| {
            let (key, done) = (key.clone(), done.clone());
            Some(async move {
                if key.namespace == "greedy" {
                    std::future::pending::<()>().await;
                }
                done.send(key).unwrap();
                Action::await_change()
            })
        }));
        (0..100).for_each(|number| wake.send(key(&format!("greedy/{number}"))).unwrap());
        for name in ["modest/a", "modest/b", "modest/c"] {
            wake.send(key(name)).unwrap();
            assert_eq!(seen.recv().await, Some(key(name)));
        }
        queue.abort();
    }

    #[tokio::test]
    async fn an_object_is_worked_on_by_one_at_a_time_and_again_when_it_is_woken_meanwhile() {
        let (wake, woken) = mpsc::unbounded_channel();
        let (begun, mut begins) = mpsc::unbounded_channel();
        let (go_on, is_busy) = (Arc::new(Notify::new()), Arc::new(AtomicBool::new(false)));
        let going = go_on.clone();
        let queue = tokio::spawn(work(4, UnboundedReceiverStream::new(woken), move |_| {
            let (begun, going, is_busy) = (begun.clone(), going.clone(), is_busy.clone());
            Some(async move {
                assert!(!is_busy.swap(true, Ordering::SeqCst), "by one at a time");
                begun.send(()).unwrap();
                going.notified().await;
                is_busy.store(false, Ordering::SeqCst);
                Action::await_change()
            })
        }));
        wake.send(key("a/a")).unwrap();
        begins.recv().await.unwrap();
        (0..10).for_each(|_| wake.send(key("a/a")).unwrap());
        go_on.notify_one();
        begins.recv().await.unwrap();
        // What has begun is finished after the end of the wakes.
        drop(wake);
        go_on.notify_one();
        queue.await.unwrap();
        assert!(begins.recv().await.is_none(), "ten wakes are one");
    }

    #[tokio::test]
    async fn an_action_has_the_object_looked_at_again_and_a_panic_ends_no_queue() {
        let (wake, woken) = mpsc::unbounded_channel();
        let (begun, mut begins) = mpsc::unbounded_channel();
        let times = AtomicUsize::new(0);
        tokio::spawn(work(1, UnboundedReceiverStream::new(woken), move |_| {
            let (begun, time) = (begun.clone(), times.fetch_add(1, Ordering::SeqCst));
            Some(async move {
                begun.send(time).unwrap();
                match time {
                    0 => Action::requeue(Duration::from_millis(1)),
                    1 => panic!("for the test"),
                    // A time that never comes.
                    _ => Action::requeue(Duration::MAX),
                }
            })
        }));
        wake.send(key("a/a")).unwrap();
        assert_eq!([begins.recv().await, begins.recv().await], [Some(0), Some(1)]);
        for time in 2..5 {
            wake.send(key("a/a")).unwrap();
            assert_eq!(begins.recv().await, Some(time));
        }
    }

    #[tokio::test]
    async fn what_is_gone_takes_no_slot() {
        let (wake, woken) = mpsc::unbounded_channel();
        let (done, mut seen) = mpsc::unbounded_channel();
        tokio::spawn(work(1, UnboundedReceiverStream::new(woken), move |key| {
            let (key, done) = (key.clone(), done.clone());
            (key.name != "gone").then_some(async move {
                done.send(key).unwrap();
                Action::await_change()
            })
        }));
        wake.send(key("a/gone")).unwrap();
        wake.send(key("a/here")).unwrap();
        assert_eq!(seen.recv().await, Some(key("a/here")));
    }
}
