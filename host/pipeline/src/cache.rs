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
    /// How many bytes of objects, as JSON, in all.
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
        if rendered.bytes > self.limits.bytes {
            return;
        }
        let mut state = self.state.lock();
        state.bytes += rendered.bytes;
        let replaced = state.entries.push(key, Arc::new(Entry { read, rendered }));
        state.bytes -= replaced.map_or(0, |(_, old)| old.rendered.bytes);
        while state.bytes > self.limits.bytes {
            let Some((_, oldest)) = state.entries.pop_lru() else { break };
            state.bytes -= oldest.rendered.bytes;
        }
    }
}
