//! Tasks that have to go on whatever happens in them.

use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures::FutureExt as _;

/// Pause after the first panic; it doubles with each, so that what always panics does not keep the processor busy.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// Runs a task until it ends. One that panics is begun anew after a pause; before that, `mend` takes back what the task had said and can
/// no longer vouch for. `what` names the task in the log.
pub(crate) async fn supervise<F>(what: String, task: impl FnMut() -> F, mend: impl Fn())
where
    F: Future<Output = ()>,
{
    begin_anew(what, FIRST_PAUSE, task, mend).await;
}

async fn begin_anew<F>(what: String, mut pause: Duration, mut task: impl FnMut() -> F, mend: impl Fn())
where
    F: Future<Output = ()>,
{
    while AssertUnwindSafe(task()).catch_unwind().await.is_err() {
        mend();
        tracing::error!(
            task = what,
            "a task has panicked, which is a mistake in this program; it is begun anew in {pause:?}"
        );
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    // Attack: CVE-2026-40886 of Argo Workflows, where a panic in an informer ended the process again and again.
    #[tokio::test]
    async fn a_task_that_panics_is_mended_and_begun_anew() {
        let (begun, mended) = (AtomicU32::new(0), AtomicU32::new(0));
        let task = || {
            let attempt = begun.fetch_add(1, Ordering::SeqCst);
            async move { assert!(attempt >= 3, "a mistake") }
        };
        begin_anew("test".to_owned(), Duration::from_millis(1), task, || {
            mended.fetch_add(1, Ordering::SeqCst);
        })
        .await;
        assert_eq!((begun.into_inner(), mended.into_inner()), (4, 3));
    }
}
