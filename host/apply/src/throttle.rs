//! How many requests are under way at once. There is no fixed rate: the window grows while the API server answers swiftly and
//! shrinks when it says that it is overloaded (additive increase, multiplicative decrease, as TCP does).

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

const AT_FIRST: f64 = 8.0;
const AT_LEAST: f64 = 1.0;
const AT_MOST: f64 = 32.0;
/// Above this (smoothed) latency more requests at once would only wait longer in the server's queue.
const SWIFT: Duration = Duration::from_millis(250);
/// After a decrease the answers to requests that were under way already say nothing new.
const ONE_DECREASE_A: Duration = Duration::from_secs(1);

/// How a request went, as far as the load of the server is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Load {
    /// It answered, whatever it answered, after this time.
    Answered(Duration),
    /// It said that it has too much to do (429, 503, 504), or did not answer.
    Overloaded,
}

/// The rule, without any waiting.
#[derive(Debug)]
struct Window {
    size: f64,
    latency: Duration,
    decreased: Option<Instant>,
}

impl Window {
    fn new() -> Self {
        Self { size: AT_FIRST, latency: Duration::ZERO, decreased: None }
    }

    fn observe(&mut self, load: Load, now: Instant) {
        match load {
            Load::Answered(latency) => {
                self.latency = (self.latency * 7 + latency) / 8;
                if self.latency <= SWIFT {
                    self.size = (self.size + 1.0 / self.size).min(AT_MOST);
                }
            }
            Load::Overloaded => {
                if self.decreased.is_none_or(|at| now.duration_since(at) >= ONE_DECREASE_A) {
                    self.size = (self.size / 2.0).max(AT_LEAST);
                    self.decreased = Some(now);
                }
            }
        }
    }

    fn places(&self) -> usize {
        // Between AT_LEAST and AT_MOST, so the cast loses only the fraction.
        self.size as usize
    }
}

/// Gives out places for requests to one API server.
pub(crate) struct Throttle {
    places: Arc<Semaphore>,
    state: Mutex<State>,
}

struct State {
    window: Window,
    /// Places that exist, taken or free. More than the window has when it has just shrunk: they go as they are given back.
    issued: usize,
}

/// A place; given back when dropped.
pub(crate) struct Place<'a> {
    throttle: &'a Throttle,
    permit: Option<OwnedSemaphorePermit>,
}

impl Throttle {
    pub(crate) fn new() -> Self {
        let window = Window::new();
        let issued = window.places();
        Self { places: Arc::new(Semaphore::new(issued)), state: Mutex::new(State { window, issued }) }
    }

    /// Waits for a place. Those who wait longest get theirs first.
    pub(crate) async fn place(&self) -> Place<'_> {
        // The semaphore is never closed, so the permit is always there.
        let permit = Arc::clone(&self.places).acquire_owned().await.ok();
        Place { throttle: self, permit }
    }

    pub(crate) fn observe(&self, load: Load) {
        let mut state = self.state.lock();
        state.window.observe(load, Instant::now());
        let missing = state.window.places().saturating_sub(state.issued);
        state.issued += missing;
        self.places.add_permits(missing);
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut state = self.throttle.state.lock();
        if state.issued > state.window.places()
            && let Some(permit) = self.permit.take()
        {
            state.issued -= 1;
            permit.forget();
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

    use super::*;

    const SOON: Duration = Duration::from_millis(5);

    #[test]
    fn the_window_grows_while_answers_are_swift_up_to_its_bound() {
        let mut window = Window::new();
        let now = Instant::now();
        assert_eq!(window.places(), 8);
        (0..8).for_each(|_| window.observe(Load::Answered(SOON), now));
        assert_eq!(window.places(), 8, "a window's worth of answers adds just under one place");
        window.observe(Load::Answered(SOON), now);
        assert_eq!(window.places(), 9);
        (0..10_000).for_each(|_| window.observe(Load::Answered(SOON), now));
        assert_eq!(window.places(), 32);
    }

    #[test]
    fn the_window_stands_still_when_answers_are_slow() {
        let mut window = Window::new();
        let now = Instant::now();
        (0..100).for_each(|_| window.observe(Load::Answered(Duration::from_secs(1)), now));
        let places = window.places();
        (0..100).for_each(|_| window.observe(Load::Answered(Duration::from_secs(1)), now));
        assert_eq!(window.places(), places);
    }

    #[test]
    fn a_burst_of_refusals_halves_the_window_once_and_never_below_one() {
        let mut window = Window::new();
        let start = Instant::now();
        (0..8).for_each(|_| window.observe(Load::Overloaded, start));
        assert_eq!(window.places(), 4);
        for second in 1..20 {
            window.observe(Load::Overloaded, start + Duration::from_secs(second));
        }
        assert_eq!(window.places(), 1);
    }

    #[tokio::test]
    async fn places_that_the_window_has_lost_are_not_given_out_again() {
        let throttle = Throttle::new();
        let mut taken = Vec::new();
        for _ in 0..8 {
            taken.push(throttle.place().await);
        }
        throttle.observe(Load::Overloaded);
        drop(taken);
        assert_eq!(throttle.places.available_permits(), 4);
    }
}
