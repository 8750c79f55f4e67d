//! Slots that namespaces share, so that no tenant can take the time of all others.
//!
//! A namespace gets another slot while it holds fewer than are free. One alone gets half of them, two get a third each, and so on: one share is always
//! left for somebody who comes later, so that he need not wait until what others have begun has ended. Of those who wait, who holds least is
//! next. This is the rule of dynamic thresholds, by which switches share their memory (Choudhury and Hahne, 1998).

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::oneshot;

/// Who holds slots, and who waits for one. Pure.
pub(crate) struct Line<T> {
    slots: usize,
    /// How many slots each namespace holds; never none.
    held: HashMap<String, usize>,
    /// Those who wait, by namespace, each with its place in the order of arrival; never empty.
    waiting: BTreeMap<String, VecDeque<(u64, T)>>,
    arrivals: u64,
}

impl<T> Line<T> {
    /// Nobody holds a slot yet. There is at least one.
    pub(crate) fn new(slots: usize) -> Self {
        Self { slots: slots.max(1), held: HashMap::new(), waiting: BTreeMap::new(), arrivals: 0 }
    }

    /// Somebody of a namespace waits for a slot from now on.
    pub(crate) fn enter(&mut self, namespace: String, who: T) {
        self.arrivals += 1;
        self.waiting.entry(namespace).or_default().push_back((self.arrivals, who));
    }

    /// Gives a slot to whoever is next, if anybody who waits may have one now.
    pub(crate) fn next(&mut self) -> Option<(String, T)> {
        let free = self.slots.saturating_sub(self.held.values().sum());
        let may_have_one = |namespace: &&String| self.holds(namespace) < free;
        let arrived = |namespace: &str| {
            self.waiting.get(namespace).and_then(VecDeque::front).map(|(arrival, _)| *arrival)
        };
        let namespace = self
            .waiting
            .keys()
            .filter(may_have_one)
            .min_by_key(|namespace| (self.holds(namespace), arrived(namespace)))?
            .clone();
        let line = self.waiting.get_mut(&namespace)?;
        let (_, who) = line.pop_front()?;
        if line.is_empty() {
            self.waiting.remove(&namespace);
        }
        *self.held.entry(namespace.clone()).or_default() += 1;
        Some((namespace, who))
    }

    /// Takes back a slot that a namespace holds.
    pub(crate) fn leave(&mut self, namespace: &str) {
        if let Some(held) = self.held.get_mut(namespace) {
            *held -= 1;
            if *held == 0 {
                self.held.remove(namespace);
            }
        }
    }

    fn holds(&self, namespace: &str) -> usize {
        self.held.get(namespace).copied().unwrap_or_default()
    }
}

/// Permits that are handed out by the rule of [`Line`]. Clones share them.
#[derive(Clone)]
pub(crate) struct Permits(Arc<Mutex<Line<oneshot::Sender<Permit>>>>);

impl Permits {
    /// So many permits; a namespace alone gets half of them.
    pub(crate) fn new(permits: usize) -> Self {
        Self(Arc::new(Mutex::new(Line::new(permits))))
    }

    /// Waits for a permit, which is given back when it is dropped.
    pub(crate) async fn acquire(&self, namespace: &str) -> Permit {
        loop {
            let (sender, granted) = oneshot::channel();
            self.0.lock().enter(namespace.to_owned(), sender);
            self.hand_out();
            // A sender goes only when it has sent.
            if let Ok(permit) = granted.await {
                return permit;
            }
        }
    }

    fn hand_out(&self) {
        loop {
            let Some((namespace, waiting)) = self.0.lock().next() else { return };
            // Who waits no longer gives it back at once, which happens here.
            let _ = waiting.send(Permit { permits: self.clone(), namespace });
        }
    }
}

/// Leave to do something that there is a bound on.
pub(crate) struct Permit {
    permits: Permits,
    namespace: String,
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.permits.0.lock().leave(&self.namespace);
        self.permits.hand_out();
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use futures::FutureExt as _;
    use rstest::rstest;

    use super::*;

    /// Has everybody enter in this order, a letter each; returns who gets a slot, in order.
    fn served(line: &mut Line<()>, arrivals: &str) -> String {
        arrivals.chars().for_each(|namespace| line.enter(namespace.to_string(), ()));
        std::iter::from_fn(|| Some(line.next()?.0)).collect()
    }

    // Attack 23 (multi-tenancy): one tenant takes all the time there is.
    #[rstest]
    #[case::one_alone_gets_half(8, "aaaaaaaaaa", "aaaa")]
    #[case::rounded_up(3, "aaa", "aa")]
    #[case::one_slot(1, "ab", "a")]
    #[case::no_slot_is_one(0, "ab", "a")]
    #[case::who_holds_least_is_next(8, "aaaab", "abaaa")]
    #[case::two_get_a_third_each(9, "aaaaaabbbbbb", "ababab")]
    #[case::many_get_one_each(4, "abcdefg", "abcd")]
    fn slots_are_shared(#[case] slots: usize, #[case] arrivals: &str, #[case] expected: &str) {
        assert_eq!(served(&mut Line::new(slots), arrivals), expected);
    }

    #[test]
    fn who_comes_later_need_not_wait_for_others_to_end() {
        let mut line = Line::new(8);
        assert_eq!(served(&mut line, "aaaaaaaaaa"), "aaaa");
        assert_eq!(served(&mut line, "bbbb"), "bb");
        assert_eq!(served(&mut line, "c"), "c");
        assert_eq!(served(&mut line, "d"), "d");
        // Everything is taken: one slot that is given back goes to whoever holds none.
        line.leave("a");
        assert_eq!(served(&mut line, "e"), "e");
        for namespace in ["a", "a", "b", "b", "c", "d", "e"] {
            line.leave(namespace);
        }
        assert_eq!(served(&mut line, ""), "baba", "those who waited since, with one still held");
    }

    #[test]
    fn leaving_twice_makes_no_slot() {
        let mut line = Line::new(2);
        assert_eq!(served(&mut line, "ab"), "ab");
        line.leave("a");
        line.leave("a");
        assert_eq!(served(&mut line, "cd"), "c");
    }

    #[tokio::test]
    async fn a_permit_comes_back_when_it_is_dropped() {
        let permits = Permits::new(2);
        let first = permits.acquire("a").await;
        assert!(permits.acquire("a").now_or_never().is_none(), "half of them");
        let other = permits.acquire("b").await;
        let mut waiting = Box::pin(permits.acquire("b"));
        assert!(waiting.as_mut().now_or_never().is_none());
        // Whoever gave up above is passed over.
        drop(first);
        assert!(waiting.as_mut().now_or_never().is_none(), "one is held, one is free");
        drop(other);
        let _permit = waiting.now_or_never().unwrap();
    }
}
