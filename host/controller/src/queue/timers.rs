use std::collections::{BTreeSet, HashMap};

use tokio::time::Instant;

use crate::Key;

/// When each object is to be looked at: one time for each, the earliest that was asked for.
#[derive(Default)]
pub(super) struct Timers {
    order: BTreeSet<(Instant, Key)>,
    times: HashMap<Key, Instant>,
    /// Those whose time had come when they could not be taken.
    late: BTreeSet<Key>,
}

impl Timers {
    /// Has an object looked at then, unless it is earlier anyway.
    pub(super) fn set(&mut self, key: Key, at: Instant) {
        if self.late.contains(&key) {
            return;
        }
        if let Some(before) = self.times.get(&key).copied() {
            if before <= at {
                return;
            }
            self.order.remove(&(before, key.clone()));
        }
        self.times.insert(key.clone(), at);
        self.order.insert((at, key));
    }

    /// Takes those whose time has come and that may be taken, in the order of their times. The others are taken as soon as they may be.
    pub(super) fn due(&mut self, now: Instant, may_be_taken: impl Fn(&Key) -> bool) -> Vec<Key> {
        let (mut due, late): (Vec<Key>, Vec<Key>) =
            std::mem::take(&mut self.late).into_iter().partition(&may_be_taken);
        self.late = late.into_iter().collect();
        while let Some((at, key)) = self.order.pop_first() {
            if at > now {
                self.order.insert((at, key));
                break;
            }
            self.times.remove(&key);
            if may_be_taken(&key) {
                due.push(key);
            } else {
                self.late.insert(key);
            }
        }
        due
    }

    /// When the next time comes. Those that are late wait for something else than time.
    pub(super) fn next(&self) -> Option<Instant> {
        self.order.first().map(|(at, _)| *at)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn key(name: &str) -> Key {
        Key { namespace: "team".to_owned(), name: name.to_owned() }
    }

    fn names(keys: Vec<Key>) -> Vec<String> {
        keys.into_iter().map(|key| key.name).collect()
    }

    #[test]
    fn the_earliest_time_counts() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut timers = Timers::default();
        timers.set(key("a"), at(3));
        timers.set(key("b"), at(2));
        timers.set(key("a"), at(1));
        timers.set(key("b"), at(9));
        assert_eq!(timers.next(), Some(at(1)));
        assert_eq!(names(timers.due(at(0), |_| true)), [""; 0]);
        assert_eq!(names(timers.due(at(5), |_| true)), ["a", "b"]);
        assert_eq!(timers.next(), None);
    }

    #[test]
    fn who_cannot_be_taken_is_taken_as_soon_as_may_be() {
        let start = Instant::now();
        let mut timers = Timers::default();
        timers.set(key("a"), start);
        assert_eq!(names(timers.due(start, |_| false)), [""; 0]);
        timers.set(key("a"), start + Duration::from_secs(60));
        assert_eq!(timers.next(), None, "no time is waited for");
        assert_eq!(names(timers.due(start, |_| true)), ["a"]);
    }
}
