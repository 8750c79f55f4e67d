//! Waits for what a caller's own code answers, no longer than the call may take.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::LazyLock;
use std::time::Duration;

use futures::FutureExt as _;
use tokio::runtime::{Builder, Handle, Runtime};

use crate::meter::Meter;

/// How often it is asked whether the time is up or the call was cancelled.
const TICK: Duration = Duration::from_millis(10);

/// For callers that have no runtime, such as a command line.
static RUNTIME: LazyLock<Option<Runtime>> = LazyLock::new(|| {
    Builder::new_multi_thread().worker_threads(1).thread_name("plugin-grants").enable_all().build().ok()
});

/// The caller's code panicked, or could not be run. What it said is logged and not passed on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Broken;

/// The runtime of this thread, or else our own.
pub(crate) fn runtime() -> Result<Handle, Broken> {
    let own = || RUNTIME.as_ref().map(|own| own.handle().clone());
    Handle::try_current().ok().or_else(own).ok_or_else(|| {
        tracing::error!("no runtime could be started");
        Broken
    })
}

/// Waits for a future. An error of wasmtime's ends the call.
pub(crate) fn wait<T>(
    meter: &mut Meter,
    what: &'static str,
    future: impl Future<Output = T>,
) -> wasmtime::Result<Result<T, Broken>> {
    let Ok(runtime) = runtime() else { return Ok(Err(Broken)) };
    let answer = async {
        let mut future = pin!(AssertUnwindSafe(future).catch_unwind());
        loop {
            match tokio::time::timeout(TICK, &mut future).await {
                Ok(answer) => return Ok(answer.map_err(|_| broken(what))),
                Err(_) => meter.check_time()?,
            }
        }
    };
    // A caller may be where none may block.
    guard(what, || runtime.block_on(answer)).unwrap_or_else(|broken| Ok(Err(broken)))
}

/// Keeps a panic of the caller's code from going through the guest.
pub(crate) fn guard<T>(what: &'static str, run: impl FnOnce() -> T) -> Result<T, Broken> {
    catch_unwind(AssertUnwindSafe(run)).map_err(|_| broken(what))
}

fn broken(what: &'static str) -> Broken {
    tracing::error!(what, "code of the host panicked while a plugin waited for it");
    Broken
}
