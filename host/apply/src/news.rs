//! News for whoever has to look at something again. A slow reader gets fewer, not older, news: what is not yet read takes in what follows
//! about the same thing, so nothing is lost and the queue is no longer than there are things.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;
use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use tokio::sync::Notify;

/// The reader's end. News from before it was made are not in it.
pub(crate) struct Reader<K, V>(Arc<Queue<K, V>>);

impl<K: Clone + Eq + Hash, V> Reader<K, V> {
    /// The next thing, and the last that was told of it; waits for one.
    pub(crate) async fn next(&mut self) -> (K, V) {
        loop {
            // What is pushed after `pop` found nothing leaves a permit in the Notify, so it is not slept through.
            if let Some(news) = self.try_next() {
                return news;
            }
            self.0.pushed.notified().await;
        }
    }

    /// The next thing, if there is one already.
    pub(crate) fn try_next(&mut self) -> Option<(K, V)> {
        self.0.pending.lock().pop()
    }
}

struct Queue<K, V> {
    pending: Mutex<Pending<K, V>>,
    pushed: Notify,
}

/// Things in the order in which they were first told of.
struct Pending<K, V> {
    order: VecDeque<K>,
    last: HashMap<K, V>,
}

impl<K: Clone + Eq + Hash, V> Pending<K, V> {
    fn push(&mut self, key: K, value: V) {
        if self.last.insert(key.clone(), value).is_none() {
            self.order.push_back(key);
        }
    }

    fn pop(&mut self) -> Option<(K, V)> {
        let key = self.order.pop_front()?;
        let value = self.last.remove(&key)?;
        Some((key, value))
    }
}

/// The writers' end.
pub(crate) struct News<K, V>(Mutex<Vec<Weak<Queue<K, V>>>>);

impl<K, V> Default for News<K, V> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<K: Clone + Eq + Hash, V: Clone> News<K, V> {
    pub(crate) fn subscribe(&self) -> Reader<K, V> {
        let pending = Mutex::new(Pending { order: VecDeque::new(), last: HashMap::new() });
        let queue = Arc::new(Queue { pending, pushed: Notify::new() });
        self.0.lock().push(Arc::downgrade(&queue));
        Reader(queue)
    }

    pub(crate) fn publish(&self, key: &K, value: &V) {
        self.0.lock().retain(|reader| {
            let Some(queue) = reader.upgrade() else { return false };
            queue.pending.lock().push(key.clone(), value.clone());
            queue.pushed.notify_one();
            true
        });
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

    use super::*;

    #[tokio::test]
    async fn a_slow_reader_gets_the_last_of_everything_once() {
        let news = News::default();
        let mut reader = news.subscribe();
        for number in 0..1000 {
            news.publish(&"a", &number);
            news.publish(&"b", &number);
        }
        news.publish(&"a", &2000);
        assert_eq!(reader.next().await, ("a", 2000));
        assert_eq!(reader.next().await, ("b", 999));
        assert_eq!(reader.try_next(), None);
    }

    #[tokio::test]
    async fn news_wake_a_reader_that_sleeps() {
        let news = Arc::new(News::default());
        let mut reader = news.subscribe();
        let reading = tokio::spawn(async move { reader.next().await });
        tokio::task::yield_now().await;
        news.publish(&"a", &1);
        assert_eq!(reading.await.unwrap(), ("a", 1));
    }

    #[test]
    fn a_reader_that_has_gone_is_forgotten() {
        let news = News::default();
        drop(news.subscribe());
        news.publish(&"a", &1);
        assert!(news.0.lock().is_empty());
    }
}
