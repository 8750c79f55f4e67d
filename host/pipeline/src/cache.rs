use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Instant;

use lru::LruCache;
use parking_lot::Mutex;
use plumb_plugin::{Capability, ClusterReader, ClusterRecord};
use plumb_tree::Record;
use sha2::{Digest as _, Sha256};
use tokio::runtime::{Builder, Handle};

use crate::Rendered;
use crate::engine::{Request, Runs, Step};
use crate::rendered::Kept;

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

/// What identifies a render but for what was read: who asked, which plugins, with which parameters and grants.
pub(crate) type Key = [u8; 32];

/// What was rendered, and what was read to make it.
pub(crate) struct Entry {
    pub(crate) read: Record,
    /// What each step asked of the cluster, by its number.
    pub(crate) asked: Vec<(usize, ClusterRecord)>,
    pub(crate) kept: Kept,
}

impl Entry {
    fn bytes(&self) -> usize {
        let asked: usize = self.asked.iter().map(|(_, record)| record.queries().count() * QUERY_BYTES).sum();
        self.kept.bytes().saturating_add(self.read.bytes()).saturating_add(asked)
    }

    /// Whether the cluster answers each step as it did, asked with the grants that the step has now.
    fn holds_for(&self, steps: &[Step], deadline: Instant) -> bool {
        self.asked.iter().all(|(index, record)| {
            let reader = steps.get(*index).and_then(|step| step.grants.cluster.as_ref());
            reader.is_some_and(|reader| cluster_answers(record, reader.as_ref(), deadline))
        })
    }
}

/// What a question to the cluster takes with its answer's digest, more or less.
const QUERY_BYTES: usize = 256;

/// Whether a cluster still answers as it did. What cannot be told until the deadline is another answer.
fn cluster_answers(record: &ClusterRecord, reader: &dyn ClusterReader, deadline: Instant) -> bool {
    let ask = async {
        let changed = tokio::time::timeout_at(deadline.into(), record.first_changed(reader)).await;
        matches!(changed, Ok(None))
    };
    match Handle::try_current() {
        Ok(runtime) => runtime.block_on(ask),
        Err(_) => {
            Builder::new_current_thread().enable_all().build().is_ok_and(|runtime| runtime.block_on(ask))
        }
    }
}

/// The key of a request. Of parameters and secrets there is a hash in it, and of grants that they are there: what they allow is asked
/// again.
pub(crate) fn key(request: &Request<'_>) -> Key {
    let mut hash = Sha256::new();
    // Every part is followed by its length, so that no two lists of parts hash alike.
    let mut part = |bytes: &[u8]| {
        hash.update(bytes);
        hash.update((bytes.len() as u64).to_le_bytes());
    };
    part(request.scope.as_bytes());
    for step in request.steps {
        part(step.name.as_bytes());
        match &step.runs {
            Runs::Plugin(plugin) => part(plugin.digest().as_bytes()),
            // What lies there is in the record of what was read.
            Runs::InSource { module, .. } => part(format!("in source {module}").as_bytes()),
        }
        part(step.parameters.to_string().as_bytes());
        part(&[u8::from(step.apply)]);
        part(&Capability::ALL.map(|capability| u8::from(step.grants.has(capability))));
        let secrets = step
            .grants
            .secrets
            .iter()
            .flat_map(|secrets| secrets.names().filter_map(|name| Some((name, secrets.get(name)?))));
        for (name, value) in secrets {
            part(name.as_bytes());
            part(value.expose());
        }
        part(b"end of step");
    }
    hash.finalize().into()
}

/// The last result of every pipeline, with the record of what was read to make it.
pub(crate) struct RenderCache {
    limits: CacheLimits,
    state: Mutex<State>,
}

struct State {
    entries: LruCache<Key, (Arc<Entry>, usize)>,
    bytes: usize,
}

impl RenderCache {
    pub(crate) fn new(limits: CacheLimits) -> Self {
        Self { limits, state: Mutex::new(State { entries: LruCache::new(limits.entries), bytes: 0 }) }
    }

    /// The result under `key`, if tree and cluster answer everything that was asked to make it just as they did then.
    pub(crate) fn get(&self, key: &Key, request: &Request<'_>, deadline: Instant) -> Option<Rendered> {
        // Whoever answers may be slow: not under the lock.
        let entry = self.state.lock().entries.get(key).map(|(entry, _)| entry.clone())?;
        let holds = entry.read.holds_for(request.tree.as_ref()) && entry.holds_for(request.steps, deadline);
        holds.then(|| entry.kept.rendered()).flatten()
    }

    pub(crate) fn put(&self, key: Key, entry: Entry) {
        let bytes = entry.bytes();
        if bytes > self.limits.bytes {
            // What was there is not the last result any more.
            self.forget(&key);
            return;
        }
        let mut state = self.state.lock();
        state.bytes += bytes;
        let replaced = state.entries.push(key, (Arc::new(entry), bytes));
        state.bytes -= replaced.map_or(0, |(_, (_, bytes))| bytes);
        while state.bytes > self.limits.bytes {
            let Some((_, (_, bytes))) = state.entries.pop_lru() else { break };
            state.bytes -= bytes;
        }
    }

    pub(crate) fn forget(&self, key: &Key) {
        let mut state = self.state.lock();
        state.bytes -= state.entries.pop(key).map_or(0, |(_, bytes)| bytes);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use plumb_api::Object;
    use plumb_plugin::Call;
    use plumb_tree::{Memory, Tree, View};
    use serde_json::json;

    use super::*;
    use crate::run::Ran;

    /// Objects of some size, more or less.
    fn kept(bytes: usize) -> Kept {
        let object = json!({"apiVersion": "v1", "kind": "Any", "metadata": {"name": "a".repeat(bytes)}});
        let objects = vec![Object::new(object).unwrap()];
        Kept::new(&Ran { objects, warnings: Vec::new(), asked: Vec::new(), is_steady: true })
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

        let two = 2 * (record.bytes() + kept(10).bytes());
        let limits = CacheLimits { entries: NonZeroUsize::MIN.saturating_add(9), bytes: two };
        let cache = RenderCache::new(limits);
        let call = Call::default();
        let request = Request { scope: "", tree: &tree, steps: &[], call: &call };
        let has = |key: u8| cache.get(&[key; 32], &request, Instant::now()).is_some();
        let entry = |read: Record, bytes: usize| Entry { read, asked: Vec::new(), kept: kept(bytes) };
        for key in 0..3 {
            cache.put([key; 32], entry(record.clone(), 10));
        }
        assert_eq!([has(0), has(1), has(2)], [false, true, true]);

        cache.put([1; 32], entry(record.clone(), 5));
        assert_eq!([has(1), has(2)], [true, true]);
        cache.put([1; 32], entry(Record::default(), limits.bytes));
        assert_eq!([has(1), has(2)], [false, true]);
        assert_eq!(cache.state.lock().bytes, two / 2);
    }
}
