//! How often an object may be put back: at once, unless somebody keeps changing it. Two controllers that write one field would
//! otherwise take turns as fast as the API server answers.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use plumb_api::ObjectId;

use crate::schedule::backoff;

/// So many repairs in a row are made at once.
const AT_ONCE: u32 = 5;
/// After so long without a repair an object counts as left in peace.
const PEACE: Duration = Duration::from_secs(300);
const FIRST_DELAY: Duration = Duration::from_secs(1);
const LONGEST_DELAY: Duration = Duration::from_secs(120);

/// The repairs of the objects of one Kustomization.
#[derive(Debug, Default)]
pub(super) struct Repairs(HashMap<ObjectId, Repaired>);

#[derive(Debug)]
struct Repaired {
    times: u32,
    last: Instant,
}

impl Repairs {
    /// How long a repair of the object still has to wait; `None` when it may be made now.
    pub(super) fn wait(&self, id: &ObjectId, now: Instant) -> Option<Duration> {
        let repaired = self.0.get(id)?;
        let elapsed = now.saturating_duration_since(repaired.last);
        if repaired.times < AT_ONCE || elapsed >= PEACE {
            return None;
        }
        let delay = backoff(repaired.times - AT_ONCE + 1, FIRST_DELAY, LONGEST_DELAY);
        delay.checked_sub(elapsed).filter(|left| !left.is_zero())
    }

    /// Counts a repair. Whether the object is being fought over: the next repair will have to wait.
    pub(super) fn made(&mut self, id: &ObjectId, now: Instant) -> bool {
        self.0.retain(|_, repaired| now.saturating_duration_since(repaired.last) < PEACE);
        let repaired = self.0.entry(id.clone()).or_insert(Repaired { times: 0, last: now });
        repaired.times = repaired.times.saturating_add(1);
        repaired.last = now;
        repaired.times >= AT_ONCE
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn a_fight_slows_down_and_is_forgotten_in_peace() {
        let id: ObjectId = "default_web_apps_Deployment".parse().unwrap();
        let (mut repairs, start) = (Repairs::default(), Instant::now());
        for _ in 1..AT_ONCE {
            assert!(!repairs.made(&id, start));
            assert_eq!(repairs.wait(&id, start), None);
        }
        assert!(repairs.made(&id, start), "now it is a fight");
        assert_eq!(repairs.wait(&id, start), Some(FIRST_DELAY));
        assert_eq!(repairs.wait(&id, start + FIRST_DELAY), None);
        repairs.made(&id, start + FIRST_DELAY);
        assert_eq!(repairs.wait(&id, start + FIRST_DELAY), Some(FIRST_DELAY * 2));
        assert_eq!(repairs.wait(&id, start + FIRST_DELAY + PEACE), None);
        assert!(!repairs.made(&id, start + FIRST_DELAY + PEACE));
    }
}
