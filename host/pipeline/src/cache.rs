use std::num::NonZeroUsize;
use std::sync::Arc;

use lru::LruCache;
use parking_lot::Mutex;
use plumb_tree::{Record, Tree};

use crate::Rendered;

/// How much the render cache may hold.
#[derive(Clone, Copy, Debug)]
pub struct CacheLimits {
    /// How many results.
    pub entries: NonZeroUsize,
    /// How many bytes in all: the objects as JSON, and what was read to make them.
    pub bytes: usize,
}

impl Default for CacheLimits {
    /// 4096 results, 64 MiB.
    fn default() -> Self {
        Self { entries: NonZeroUsize::MIN.saturating_add(4095), bytes: 64 << 20 }
    }
}

/// What identifies a render but for the files: who asked, which plugins, with which parameters.
pub(crate) type Key = [u8; 32];

struct Entry {
    read: Record,
    rendered: Arc<Rendered>,
    bytes: usize,
}

/// The last result of every pipeline, with the record of what was read to make it.
pub(crate) struct RenderCache {
    limits: CacheLimits,
    state: Mutex<State>,
}

struct State {
    entries: LruCache<Key, Arc<Entry>>,
    bytes: usize,
}

impl RenderCache {
    pub(crate) fn new(limits: CacheLimits) -> Self {
        Self { limits, state: Mutex::new(State { entries: LruCache::new(limits.entries), bytes: 0 }) }
    }

    /// The result under `key`, if `tree` answers everything that was asked to make it just as the tree it was made from did.
    pub(crate) fn get(&self, key: &Key, tree: &dyn Tree) -> Option<Arc<Rendered>> {
        // The tree may be slow to answer: not under the lock.
        let entry = self.state.lock().entries.get(key).cloned()?;
        entry.read.holds_for(tree).then(|| entry.rendered.clone())
    }

    pub(crate) fn put(&self, key: Key, read: Record, rendered: Arc<Rendered>) {
        let bytes = rendered.bytes.saturating_add(read.bytes());
        let mut state = self.state.lock();
        if bytes > self.limits.bytes {
            // What was there is not the last result any more.
            state.bytes -= state.entries.pop(&key).map_or(0, |old| old.bytes);
            return;
        }
        state.bytes += bytes;
        let replaced = state.entries.push(key, Arc::new(Entry { read, rendered, bytes }));
        state.bytes -= replaced.map_or(0, |(_, old)| old.bytes);
        while state.bytes > self.limits.bytes {
            let Some((_, oldest)) = state.entries.pop_lru() else { break };
            state.bytes -= oldest.bytes;
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use plumb_tree::{Memory, View};

    use super::*;

    fn rendered(bytes: usize) -> Arc<Rendered> {
        Arc::new(Rendered { objects: Vec::new(), digest: String::new(), warnings: Vec::new(), bytes })
    }

    #[test]
    fn records_count_and_the_oldest_make_room() {
        let tree: Arc<dyn Tree> = Arc::new(Memory::new());
        let view = View::new(tree.clone(), 1);
        for path in 0..10 {
            let _missing = view.stat(&format!("{path:0100}"));
        }
        let record = view.record();
        assert!(record.bytes() > 10 * 100, "{}", record.bytes());

        let limits =
            CacheLimits { entries: NonZeroUsize::MIN.saturating_add(9), bytes: 2 * record.bytes() + 20 };
        let cache = RenderCache::new(limits);
        let has = |key: u8| cache.get(&[key; 32], tree.as_ref()).is_some();
        for key in 0..3 {
            cache.put([key; 32], record.clone(), rendered(10));
        }
        assert_eq!([has(0), has(1), has(2)], [false, true, true]);

        cache.put([1; 32], record.clone(), rendered(5));
        assert_eq!([has(1), has(2)], [true, true]);
        cache.put([1; 32], Record::default(), rendered(limits.bytes + 1));
        assert_eq!([has(1), has(2)], [false, true]);
        assert_eq!(cache.state.lock().bytes, record.bytes() + 10);
    }
}
