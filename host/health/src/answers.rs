use std::num::NonZeroUsize;
use std::time::{Duration, Instant};

use lru::LruCache;
use parking_lot::Mutex;
use plumb_api::{GroupKind, Object};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::check::{Check, Said};

/// How many answers are kept: each takes a kilobyte at most.
const KEPT: NonZeroUsize = NonZeroUsize::MIN.saturating_add(16_383);
/// How many kinds are remembered that a plugin does not judge.
const KINDS: NonZeroUsize = NonZeroUsize::MIN.saturating_add(4_095);
/// How long a failure is kept: it may be that of a busy machine, and is expensive when it is not.
const FAILURE: Duration = Duration::from_secs(60);

/// What plugins have said of objects, until these change. A plugin gives the same answer for the same object.
pub(crate) struct Answers {
    kept: Mutex<LruCache<Key, Kept>>,
    not_for: Mutex<LruCache<([u8; 32], GroupKind), ()>>,
}

/// The check, and the object with its version.
pub(crate) type Key = [u8; 32];

struct Kept {
    said: Said,
    until: Option<Instant>,
}

impl Default for Answers {
    fn default() -> Self {
        Self { kept: Mutex::new(LruCache::new(KEPT)), not_for: Mutex::new(LruCache::new(KINDS)) }
    }
}

impl Answers {
    /// Identifies an answer. An object that no cluster has, which has no version, has none.
    pub(crate) fn key(check: &Check, object: &Object) -> Option<Key> {
        let text = |pointer| object.pointer(pointer).and_then(Value::as_str).filter(|text| !text.is_empty());
        let (uid, version) = (text("/metadata/uid")?, text("/metadata/resourceVersion")?);
        let hash = Sha256::new().chain_update(check.digest()).chain_update(uid).chain_update([0]);
        Some(hash.chain_update(version).finalize().into())
    }

    pub(crate) fn get(&self, key: &Key) -> Option<Said> {
        let mut kept = self.kept.lock();
        let found = kept.get(key)?;
        if found.until.is_some_and(|until| until <= Instant::now()) {
            kept.pop(key);
            return None;
        }
        Some(found.said.clone())
    }

    pub(crate) fn put(&self, key: Key, said: &Said) {
        let until = match said {
            Said::Report(_) | Said::NotForKind(_) => None,
            Said::Failure(_) => Some(Instant::now() + FAILURE),
            Said::Nothing(_) => return,
        };
        self.kept.lock().put(key, Kept { said: said.clone(), until });
    }

    /// Whether the check has said before that it does not judge objects of a kind.
    pub(crate) fn is_not_for(&self, check: &Check, kind: &GroupKind) -> bool {
        self.not_for.lock().get(&(*check.digest(), kind.clone())).is_some()
    }

    pub(crate) fn put_not_for(&self, check: &Check, kind: GroupKind) {
        self.not_for.lock().put((*check.digest(), kind), ());
    }
}
