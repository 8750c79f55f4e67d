//! Runs the reconciliations of one kind: one task an object at a time, a bound on all of them, and a panic that stays with its
//! object.

use std::any::Any;
use std::convert::Infallible;
use std::fmt::Debug;
use std::hash::Hash;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::{FutureExt as _, Stream, StreamExt as _};
use kube::Resource;
use kube::core::NamespaceResourceScope;
use kube::runtime::controller::{self, Action};
use kube::runtime::reflector::{ObjectRef, Store};
use tokio_util::task::AbortOnDropHandle;

use crate::Key;
use crate::context::Context;

/// After a panic the object is left alone for this long, unless it changes.
const AFTER_PANIC: Duration = Duration::from_secs(60);
/// What changes within this time is looked at once.
const DEBOUNCE: Duration = Duration::from_millis(20);

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
    let queue = woken.map(|key| Ok::<_, Infallible>(ObjectRef::new(&key.name).within(&key.namespace)));
    let config = controller::Config::default().concurrency(context.config.concurrent).debounce(DEBOUNCE);
    let reconcile = |object: Arc<R::Kind>, context| {
        // A task of its own: the others go on meanwhile, on every core.
        // It ends with the queue, which is dropped when this replica must not go on.
        let task = AbortOnDropHandle::new(tokio::spawn(guarded::<R>(object, context)));
        async move { Ok::<_, Infallible>(task.await.unwrap_or_else(|_| Action::requeue(AFTER_PANIC))) }
            .boxed()
    };
    let never = |_, error: &Infallible, _| match *error {};
    controller::applier(reconcile, never, context, store, queue, config)
        .for_each(|result| async move {
            if let Err(error) = result {
                // The object was deleted while it waited.
                tracing::trace!(%error, "nothing to reconcile");
            }
        })
        .await;
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
    #![allow(clippy::panic, reason = "tests")]

    use super::*;

    #[tokio::test]
    async fn a_panic_is_caught_with_its_message() {
        assert_eq!(caught(async { 7 }).await, Ok(7));
        let number = 7;
        assert_eq!(caught(async { panic!("plain") }).await, Err::<(), _>("plain".to_owned()));
        assert_eq!(caught(async { panic!("number {number}") }).await, Err::<(), _>("number 7".to_owned()));
        let odd = caught(async { std::panic::panic_any(7) }).await;
        assert_eq!(odd, Err::<(), _>("no message".to_owned()));
    }
}
