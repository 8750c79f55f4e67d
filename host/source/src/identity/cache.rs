use std::num::NonZeroUsize;

use jiff::{SignedDuration, Timestamp};
use lru::LruCache;
use parking_lot::Mutex;
use sha2::{Digest as _, Sha256};

/// How many are kept.
const CAPACITY: NonZeroUsize = NonZeroUsize::new(1024).expect("it is not zero");
/// So long before its end a value is not used any more: a fetch may take that long.
const MARGIN: SignedDuration = SignedDuration::from_mins(5);

/// Values that are good for some time, by a digest of all that led to them.
pub(crate) struct Cache<V>(Mutex<LruCache<Key, Kept<V>>>);

/// What led to a value. Secrets may be part of it, so only their digest is kept.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(crate) struct Key([u8; 32]);

struct Kept<V> {
    value: V,
    until: Timestamp,
}

impl Key {
    /// The parts are told apart from each other: `("a", "bc")` is not `("ab", "c")`.
    pub(crate) fn of(parts: &[&[u8]]) -> Self {
        let mut digest = Sha256::new();
        for part in parts {
            digest.update((part.len() as u64).to_be_bytes());
            digest.update(part);
        }
        Self(digest.finalize().into())
    }
}

/// A value that is over at some time.
pub(crate) trait Expiring: Clone {
    /// When.
    fn expires(&self) -> Timestamp;
}

impl<V: Expiring> Cache<V> {
    /// What is kept, or else what `asking` gives, which is kept from then on.
    pub(crate) async fn get_or<E>(
        &self,
        key: Key,
        asking: impl Future<Output = Result<V, E>>,
    ) -> Result<V, E> {
        if let Some(value) = self.get(&key, Timestamp::now()) {
            return Ok(value);
        }
        let value = asking.await?;
        self.put(key, value.clone(), Timestamp::now());
        Ok(value)
    }

    fn get(&self, key: &Key, now: Timestamp) -> Option<V> {
        let mut kept = self.0.lock();
        match kept.get(key) {
            Some(found) if now < found.until => Some(found.value.clone()),
            Some(_) => {
                kept.pop(key);
                None
            }
            None => None,
        }
    }

    fn put(&self, key: Key, value: V, now: Timestamp) {
        let expires = value.expires();
        // Half of the time of what does not last for long.
        let margin = MARGIN.min(expires.duration_since(now) / 2);
        if let Ok(until) = expires.checked_sub(margin) {
            self.0.lock().put(key, Kept { value, until });
        }
    }
}

impl<V> Default for Cache<V> {
    fn default() -> Self {
        Self(Mutex::new(LruCache::new(CAPACITY)))
    }
}

impl<V> std::fmt::Debug for Cache<V> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Cache({} of {CAPACITY})", self.0.lock().len())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

    use super::*;

    /// It is over at this second.
    #[derive(Clone, Debug, PartialEq)]
    struct Until(i64);

    impl Expiring for Until {
        fn expires(&self) -> Timestamp {
            at(self.0)
        }
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(seconds).unwrap()
    }

    #[test]
    fn a_value_is_kept_until_shortly_before_its_end() {
        let cache = Cache::default();
        cache.put(Key::of(&[b"hour"]), Until(3600), at(0));
        cache.put(Key::of(&[b"minute"]), Until(60), at(0));
        cache.put(Key::of(&[b"over"]), Until(-60), at(0));
        assert_eq!(cache.get(&Key::of(&[b"hour"]), at(3299)), Some(Until(3600)));
        assert_eq!(cache.get(&Key::of(&[b"hour"]), at(3300)), None);
        assert_eq!(cache.get(&Key::of(&[b"minute"]), at(29)), Some(Until(60)));
        assert_eq!(cache.get(&Key::of(&[b"minute"]), at(30)), None);
        assert_eq!(cache.get(&Key::of(&[b"over"]), at(0)), None);
    }

    #[tokio::test]
    async fn who_is_asked_once_is_not_asked_again() {
        let cache = Cache::default();
        let hour = Until(Timestamp::now().as_second() + 3600);
        for nobody in [false, true] {
            let asking = async { if nobody { Err("it was asked") } else { Ok(hour.clone()) } };
            assert_eq!(cache.get_or(Key::of(&[b"hour"]), asking).await, Ok(hour.clone()));
        }
        let failing = async { Err("it was asked") };
        assert_eq!(cache.get_or(Key::of(&[b"other"]), failing).await, Err("it was asked"));
    }

    #[test]
    fn keys_tell_their_parts_apart() {
        assert!(Key::of(&[b"a", b"bc"]) != Key::of(&[b"ab", b"c"]));
        assert!(Key::of(&[b"a", b""]) != Key::of(&[b"a"]));
    }
}
