//! What a call used: capabilities, what it read of the cluster, and how much of its limits.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use plumb_api::Object;
use sha2::{Digest as _, Sha256};

use crate::grants::{Capability, ClusterReader, ObjectKind, ReadError};
use crate::values::text_of;

/// What calls used. Clones share it, so a caller keeps one and gives a clone to the call.
#[derive(Clone, Debug, Default)]
pub struct Used(Arc<Mutex<Inner>>);

#[derive(Debug, Default)]
struct Inner {
    capabilities: BTreeSet<Capability>,
    cluster: ClusterRecord,
    usage: Usage,
}

impl Used {
    /// The capabilities that were granted and used. One that was asked for in vain is not among them.
    pub fn capabilities(&self) -> BTreeSet<Capability> {
        self.0.lock().capabilities.clone()
    }

    /// Whether a result is good for as long as its inputs are the same: neither the network, the clock nor randomness was used.
    pub fn is_steady(&self) -> bool {
        !self.0.lock().capabilities.iter().any(|capability| capability.is_unsteady())
    }

    /// What was read of the cluster.
    pub fn cluster(&self) -> ClusterRecord {
        self.0.lock().cluster.clone()
    }

    /// How much the last call that has ended used of its limits.
    pub fn usage(&self) -> Usage {
        self.0.lock().usage
    }

    pub(crate) fn add(&self, capability: Capability) {
        self.0.lock().capabilities.insert(capability);
    }

    pub(crate) fn read(&self, query: ClusterQuery, answer: Answer) {
        self.0.lock().cluster.add(query, answer);
    }

    pub(crate) fn ended(&self, usage: Usage) {
        self.0.lock().usage = usage;
    }
}

/// How much a call used of its [`crate::Limits`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// From the start of the instance to the end.
    pub wall_time: Duration,
    /// All linear memories together when they were largest.
    pub memory_bytes: usize,
    /// All tables together when they were largest.
    pub table_elements: usize,
    /// The texts of the result.
    pub output_bytes: usize,
    /// How many times the host's functions were called.
    pub host_calls: u64,
    /// What capabilities answered, all together.
    pub answer_bytes: usize,
    /// All log messages together.
    pub log_bytes: usize,
}

/// Something that a plugin asked of the cluster.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ClusterQuery {
    /// One object.
    Get {
        /// Its kind.
        kind: ObjectKind,
        /// Its namespace.
        namespace: Option<String>,
        /// Its name.
        name: String,
    },
    /// All objects of a kind.
    List {
        /// Their kind.
        kind: ObjectKind,
        /// Their namespace; none for all that were granted.
        namespace: Option<String>,
        /// What their labels must be, as for `kubectl get --selector`.
        label_selector: Option<String>,
    },
}

impl ClusterQuery {
    /// Which kind it is about.
    pub fn kind(&self) -> &ObjectKind {
        match self {
            Self::Get { kind, .. } | Self::List { kind, .. } => kind,
        }
    }

    /// Which namespace it is about.
    pub fn namespace(&self) -> Option<&str> {
        match self {
            Self::Get { namespace, .. } | Self::List { namespace, .. } => namespace.as_deref(),
        }
    }

    async fn ask(&self, reader: &dyn ClusterReader) -> Answer {
        match self {
            Self::Get { kind, namespace, name } => {
                Answer::of_object(&reader.get(kind, namespace.as_deref(), name).await)
            }
            Self::List { kind, namespace, label_selector } => {
                let list = reader.list(kind, namespace.as_deref(), label_selector.as_deref()).await;
                Answer::of_list(&list.map(in_order))
            }
        }
    }
}

/// The answer to a query, as a digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    Known([u8; 32]),
    /// There was none, or another one each time. It is the same as no other answer.
    Unsteady,
}

impl Answer {
    pub(crate) fn of_object(answer: &Result<Option<Object>, ReadError>) -> Self {
        Self::of(answer.as_ref().map(Option::as_slice))
    }

    pub(crate) fn of_list(answer: &Result<Vec<Object>, ReadError>) -> Self {
        Self::of(answer.as_ref().map(Vec::as_slice))
    }

    fn of(answer: Result<&[Object], &ReadError>) -> Self {
        let mut digest = Sha256::new();
        match answer {
            Ok(objects) => {
                for text in objects.iter().map(text_of) {
                    digest.update((text.len() as u64).to_le_bytes());
                    digest.update(text);
                }
            }
            Err(ReadError::Failed(_)) => return Self::Unsteady,
            Err(error) => digest.update(format!("error {error:?}")),
        }
        Self::Known(digest.finalize().into())
    }
}

/// What was asked of a cluster, and a digest of what it answered: whoever keeps a result asks again before using it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClusterRecord(BTreeMap<ClusterQuery, Answer>);

impl ClusterRecord {
    /// Whether nothing was asked.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What was asked: watch it to learn when the record may hold no longer.
    pub fn queries(&self) -> impl Iterator<Item = &ClusterQuery> {
        self.0.keys()
    }

    /// Whether there is any chance that it holds: every query had one answer.
    pub fn is_steady(&self) -> bool {
        !self.0.values().any(|answer| *answer == Answer::Unsteady)
    }

    /// Adds what another call read.
    pub fn merge(&mut self, other: &Self) {
        for (query, answer) in &other.0 {
            self.add(query.clone(), *answer);
        }
    }

    /// Asks everything again, and returns the first query whose answer is another one now, or could not be had then or now.
    pub async fn first_changed(&self, reader: &dyn ClusterReader) -> Option<ClusterQuery> {
        for (query, answer) in &self.0 {
            if *answer == Answer::Unsteady || query.ask(reader).await != *answer {
                return Some(query.clone());
            }
        }
        None
    }

    fn add(&mut self, query: ClusterQuery, answer: Answer) {
        let kept = self.0.entry(query).or_insert(answer);
        if *kept != answer {
            *kept = Answer::Unsteady;
        }
    }
}

/// By namespace and name, so that the answer does not depend on the order in which an API server lists.
pub(crate) fn in_order(mut objects: Vec<Object>) -> Vec<Object> {
    objects.sort_by(|a, b| (a.namespace(), a.name()).cmp(&(b.namespace(), b.name())));
    objects
}
