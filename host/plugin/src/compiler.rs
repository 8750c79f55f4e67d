//! Compiles on threads of its own. Nobody can stop a compiler, but nobody has to wait for it either.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

/// How many components are compiled at once: each uses all processors where it can.
const AT_ONCE: usize = 4;

/// Starts compiling, when it is its turn.
#[derive(Debug)]
pub(crate) struct Compiler {
    time: Duration,
    running: Arc<Running>,
}

#[derive(Debug, Default)]
struct Running {
    count: Mutex<usize>,
    changed: Condvar,
}

/// Something that is being made, or has been. Clones share it.
#[derive(Debug)]
pub(crate) struct Job<T>(Arc<Made<T>>);

/// Why something is not compiled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum NotCompiled {
    /// It never will be: it is not valid.
    Invalid(String),
    /// It may be another time: something else went wrong.
    Broken(String),
    /// It may be another time: the compiler was ended at the deadline.
    Killed,
}

#[derive(Debug)]
struct Made<T> {
    result: Mutex<Option<Result<T, NotCompiled>>>,
    changed: Condvar,
}

impl Compiler {
    pub(crate) fn new(time: Duration) -> Self {
        Self { time, running: Arc::default() }
    }

    /// How long a caller waits.
    pub(crate) fn time(&self) -> Duration {
        self.time
    }

    /// Starts `work` on a thread of its own. Nothing when no turn came before the deadline.
    pub(crate) fn start<T: Send + 'static>(
        &self,
        deadline: Instant,
        work: impl FnOnce() -> Result<T, NotCompiled> + Send + 'static,
    ) -> Option<Job<T>> {
        let mut count = self.running.count.lock();
        while *count >= AT_ONCE {
            if self.running.changed.wait_until(&mut count, deadline).timed_out() {
                return None;
            }
        }
        *count += 1;
        drop(count);
        let job = Job(Arc::new(Made { result: Mutex::new(None), changed: Condvar::new() }));
        let (made, turn) = (Arc::clone(&job.0), Turn(Arc::clone(&self.running)));
        let started = thread::Builder::new().name("plugin-compiler".to_owned()).spawn(move || {
            let _turn = turn;
            let result = catch_unwind(AssertUnwindSafe(work));
            let broken = |_| Err(NotCompiled::Invalid("the compiler broke down".to_owned()));
            made.end(result.unwrap_or_else(broken));
        });
        if let Err(error) = started {
            job.0.end(Err(NotCompiled::Broken(format!("no thread could be started: {error}"))));
        }
        Some(job)
    }
}

/// One that compiles.
struct Turn(Arc<Running>);

impl Drop for Turn {
    fn drop(&mut self) {
        *self.0.count.lock() -= 1;
        self.0.changed.notify_all();
    }
}

impl<T> Made<T> {
    fn end(&self, result: Result<T, NotCompiled>) {
        *self.result.lock() = Some(result);
        self.changed.notify_all();
    }
}

impl<T: Clone> Job<T> {
    /// Something that has been made.
    pub(crate) fn done(made: T) -> Self {
        Self(Arc::new(Made { result: Mutex::new(Some(Ok(made))), changed: Condvar::new() }))
    }

    /// Whether it has failed for a reason that may have passed.
    pub(crate) fn is_worth_another_try(&self) -> bool {
        matches!(&*self.0.result.lock(), Some(Err(NotCompiled::Broken(_) | NotCompiled::Killed)))
    }

    /// The result, or nothing when there is none at the deadline.
    pub(crate) fn wait(&self, deadline: Instant) -> Option<Result<T, NotCompiled>> {
        let mut result = self.0.result.lock();
        while result.is_none() {
            if self.0.changed.wait_until(&mut result, deadline).timed_out() {
                break;
            }
        }
        result.clone()
    }
}

impl<T> Clone for Job<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

    use std::sync::mpsc;

    use super::*;

    fn soon() -> Instant {
        Instant::now() + Duration::from_millis(20)
    }

    fn far() -> Instant {
        Instant::now() + Duration::from_secs(60)
    }

    // Attack 27 (Plugins): a component that takes for ever to compile.
    #[test]
    fn nobody_waits_for_what_takes_too_long_and_it_can_be_had_later() {
        let compiler = Compiler::new(Duration::from_secs(60));
        let (end, ended) = mpsc::channel::<()>();
        let job = compiler
            .start(far(), move || {
                ended.recv().unwrap();
                Ok(7)
            })
            .unwrap();
        assert_eq!(job.wait(soon()), None);
        end.send(()).unwrap();
        assert_eq!(job.wait(far()), Some(Ok(7)));
        assert_eq!(job.clone().wait(soon()), Some(Ok(7)));
    }

    #[test]
    fn few_compile_at_once() {
        let compiler = Compiler::new(Duration::from_secs(60));
        let jobs: Vec<_> = (0..AT_ONCE)
            .map(|_| {
                let (end, ended) = mpsc::channel::<()>();
                let job = compiler.start(far(), move || {
                    ended.recv().unwrap();
                    Ok(())
                });
                (job.unwrap(), end)
            })
            .collect();
        assert!(compiler.start(soon(), || Ok(())).is_none());
        let (job, end) = &jobs[0];
        end.send(()).unwrap();
        assert_eq!(job.wait(far()), Some(Ok(())));
        assert_eq!(compiler.start(far(), || Ok(())).unwrap().wait(far()), Some(Ok(())));
        jobs[1..].iter().for_each(|(_, end)| end.send(()).unwrap());
    }

    #[test]
    fn a_compiler_that_panics_is_an_error() {
        let compiler = Compiler::new(Duration::from_secs(60));
        let job = compiler.start::<()>(far(), || panic!("it cannot be")).unwrap();
        assert_eq!(job.wait(far()), Some(Err(NotCompiled::Invalid("the compiler broke down".to_owned()))));
    }
}
