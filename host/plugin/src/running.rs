//! Counts the calls that run, bounds their number, and lets time pass for them.

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use std::{io, thread};

use parking_lot::{Condvar, Mutex};
use wasmtime::Engine;

use crate::{Call, CallError};

/// How often a running guest is asked whether its time is up or it was cancelled.
const TICK: Duration = Duration::from_millis(10);

/// The calls of one host. Its thread advances the engine's epoch while calls run, sleeps while none do, and ends when this is
/// dropped.
#[derive(Debug)]
pub(crate) struct Running {
    shared: Arc<Shared>,
    most: usize,
    ticker: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    calls: usize,
    ended: bool,
}

/// One call that runs.
#[derive(Debug)]
pub(crate) struct Turn<'a>(&'a Shared);

impl Running {
    /// At most `most` calls run at once.
    pub(crate) fn new(engine: &Engine, most: usize) -> io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let ticker = thread::Builder::new().name("plugin-epochs".to_owned()).spawn({
            let (engine, shared) = (engine.weak(), Arc::clone(&shared));
            move || {
                while shared.wait_for_calls() {
                    thread::sleep(TICK);
                    let Some(engine) = engine.upgrade() else { return };
                    engine.increment_epoch();
                }
            }
        })?;
        Ok(Self { shared, most, ticker: Some(ticker) })
    }

    /// Waits for a turn, at most as long as the call itself may take.
    pub(crate) fn enter(&self, call: &Call) -> Result<Turn<'_>, CallError> {
        let started = Instant::now();
        let mut state = self.shared.state.lock();
        loop {
            if call.cancelled.is_cancelled() {
                return Err(CallError::Cancelled);
            }
            if state.calls < self.most {
                state.calls += 1;
                self.shared.changed.notify_all();
                return Ok(Turn(&self.shared));
            }
            if started.elapsed() >= call.limits.wall_time {
                return Err(CallError::Busy { running: state.calls, waited: started.elapsed() });
            }
            self.shared.changed.wait_for(&mut state, TICK);
        }
    }
}

impl Shared {
    /// Waits until a call runs; `false` when there will be none any more.
    fn wait_for_calls(&self) -> bool {
        let mut state = self.state.lock();
        while state.calls == 0 && !state.ended {
            self.changed.wait(&mut state);
        }
        !state.ended
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.0.state.lock().calls -= 1;
        self.0.changed.notify_all();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.shared.state.lock().ended = true;
        self.shared.changed.notify_all();
        if let Some(ticker) = self.ticker.take() {
            // It panics nowhere, and there is nothing to be done if it did.
            let _ = ticker.join();
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn engine() -> Engine {
        Engine::default()
    }

    #[test]
    fn the_thread_ends_with_the_last_owner() {
        let running = Running::new(&engine(), 1).unwrap();
        let shared = Arc::downgrade(&running.shared);
        drop(running);
        assert!(shared.upgrade().is_none(), "the thread still holds what it shares");
    }

    #[test]
    fn a_call_waits_for_its_turn_and_gives_up_in_the_end() {
        let running = Running::new(&engine(), 1).unwrap();
        let mut call = Call::default();
        call.limits.wall_time = Duration::from_millis(30);
        let turn = running.enter(&call).unwrap();
        assert!(matches!(running.enter(&call), Err(CallError::Busy { running: 1, .. })));
        drop(turn);
        assert!(running.enter(&call).is_ok());
    }

    #[test]
    fn a_waiting_call_can_be_cancelled() {
        let running = Running::new(&engine(), 1).unwrap();
        let call = Call::default();
        let _turn = running.enter(&call).unwrap();
        thread::scope(|scope| {
            let waiting = scope.spawn(|| running.enter(&call).map(drop));
            call.cancelled.cancel();
            assert!(matches!(waiting.join().unwrap(), Err(CallError::Cancelled)));
        });
    }
}
