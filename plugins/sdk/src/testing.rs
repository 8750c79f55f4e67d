//! Plays the host for unit tests, which run on the machine that builds the plugin.
//!
//! What a [`Host`] grants holds for the thread of a test, inside [`Host::run`]. Outside of it nothing is granted, as for a step without `capabilities`.
//!
//! ```
//! use plumbline_plugin::{secrets, testing::Host, warn};
//!
//! let ran = Host::default().secret("token", "s3cret").run(|| {
//!     warn!("the token has {} bytes", secrets::get("token").unwrap().len());
//! });
//! assert_eq!(ran.messages[0].1, "the token has 6 bytes");
//! ```

use std::cell::RefCell;
use std::collections::BTreeMap;

use crate::http::{Request, Response};
use crate::log::Level;
use crate::{Object, Tree};

type Answer = Box<dyn Fn(&Request) -> Result<Response, crate::http::Refused>>;

/// What a step grants.
#[derive(Default)]
pub struct Host {
    secrets: Option<BTreeMap<String, Vec<u8>>>,
    cluster: Option<Vec<Object>>,
    http: Option<Answer>,
    now: Option<u64>,
    seed: Option<[u8; 32]>,
    messages: Vec<(Level, String)>,
}

/// What a function did.
#[derive(Debug)]
pub struct Ran<T> {
    /// What it returned.
    pub result: T,
    /// What it logged.
    pub messages: Vec<(Level, String)>,
}

impl Host {
    /// Hands over a secret.
    #[must_use]
    pub fn secret(mut self, name: &str, value: impl Into<Vec<u8>>) -> Self {
        self.secrets.get_or_insert_default().insert(name.to_owned(), value.into());
        self
    }

    /// Grants a cluster that has these objects. Of a selector, `name=value` and `name` are understood.
    #[must_use]
    pub fn cluster(mut self, objects: impl IntoIterator<Item = Object>) -> Self {
        self.cluster = Some(objects.into_iter().collect());
        self
    }

    /// Answers requests.
    #[must_use]
    pub fn http(
        mut self,
        answer: impl Fn(&Request) -> Result<Response, crate::http::Refused> + 'static,
    ) -> Self {
        self.http = Some(Box::new(answer));
        self
    }

    /// Grants a clock that stands at this time: seconds since 1970.
    #[must_use]
    pub fn clock(mut self, now: u64) -> Self {
        self.now = Some(now);
        self
    }

    /// Grants randomness that is always the same.
    #[must_use]
    pub fn random(mut self, seed: [u8; 32]) -> Self {
        self.seed = Some(seed);
        self
    }

    /// Runs a function with what is granted.
    pub fn run<T>(self, function: impl FnOnce() -> T) -> Ran<T> {
        let before = HOST.replace(self);
        let result = function();
        let messages = HOST.replace(before).messages;
        Ran { result, messages }
    }
}

impl Tree<'_> {
    /// A tree of these files. Only for tests; it exists off WASM.
    pub fn in_memory<P: Into<String>, B: Into<Vec<u8>>>(files: impl IntoIterator<Item = (P, B)>) -> Self {
        Self(host::Dir::new(files.into_iter().map(|(path, bytes)| (path.into(), bytes.into())).collect()))
    }
}

thread_local! {
    static HOST: RefCell<Host> = RefCell::default();
}

/// What the rest of the crate asks the host for.
pub(crate) mod host {
    use std::collections::BTreeMap;
    use std::marker::PhantomData;

    use super::HOST;
    use crate::http::{Request, Response};
    use crate::log::Level;
    use crate::tree::{Entry, Node, NodeKind, Unreadable};
    use crate::{Object, cluster, http, secrets};

    /// Files by their paths.
    #[derive(Debug)]
    pub(crate) struct Dir<'a>(BTreeMap<String, Vec<u8>>, PhantomData<&'a ()>);

    impl Dir<'_> {
        pub(super) fn new(files: BTreeMap<String, Vec<u8>>) -> Self {
            Self(files, PhantomData)
        }

        pub(crate) fn list(&self, path: &str) -> Result<Vec<Entry>, Unreadable> {
            let path = normal(path);
            match self.stat(&path)?.kind {
                NodeKind::Directory => {}
                _ => return Err(Unreadable::NotADirectory),
            }
            let inside = if path.is_empty() { String::new() } else { format!("{path}/") };
            let mut entries = BTreeMap::new();
            for below in self.0.keys().filter_map(|file| file.strip_prefix(&inside)) {
                let (name, kind) = match below.split_once('/') {
                    Some((name, _)) => (name, NodeKind::Directory),
                    None => (below, NodeKind::File),
                };
                entries.insert(name.to_owned(), kind);
            }
            Ok(entries.into_iter().map(|(name, kind)| Entry { name, kind }).collect())
        }

        pub(crate) fn stat(&self, path: &str) -> Result<Node, Unreadable> {
            let resolved = normal(path);
            if let Some(bytes) = self.0.get(&resolved) {
                return Ok(Node { kind: NodeKind::File, size: bytes.len() as u64, resolved });
            }
            let inside = format!("{resolved}/");
            if resolved.is_empty() || self.0.keys().any(|file| file.starts_with(&inside)) {
                return Ok(Node { kind: NodeKind::Directory, size: 0, resolved });
            }
            Err(Unreadable::NotFound)
        }

        pub(crate) fn read(&self, path: &str) -> Result<Vec<u8>, Unreadable> {
            match self.stat(path)?.kind {
                NodeKind::File => self.0.get(&normal(path)).cloned().ok_or(Unreadable::NotFound),
                _ => Err(Unreadable::IsADirectory),
            }
        }
    }

    /// Without empty parts and `.`; `..` goes up, but never above the root.
    fn normal(path: &str) -> String {
        let mut parts = Vec::new();
        for part in path.split('/') {
            match part {
                "" | "." => {}
                ".." => drop(parts.pop()),
                part => parts.push(part),
            }
        }
        parts.join("/")
    }

    pub(crate) fn log(level: Level, message: &str) {
        HOST.with_borrow_mut(|host| host.messages.push((level, message.to_owned())));
    }

    pub(crate) fn secret_names() -> Vec<String> {
        HOST.with_borrow(|host| host.secrets.iter().flatten().map(|(name, _)| name.clone()).collect())
    }

    pub(crate) fn secret(name: &str) -> Result<Vec<u8>, secrets::Refused> {
        HOST.with_borrow(|host| {
            let secrets = host.secrets.as_ref().ok_or(secrets::Refused::Denied)?;
            secrets.get(name).cloned().ok_or(secrets::Refused::NotFound)
        })
    }

    pub(crate) fn cluster_get(
        api_version: &str,
        kind: &str,
        namespace: Option<&str>,
        name: &str,
    ) -> Result<Option<String>, cluster::Refused> {
        let is_it = |object: &Object| object.namespace() == namespace && object.name() == name;
        objects(api_version, kind, is_it).map(|objects| objects.into_iter().next())
    }

    pub(crate) fn cluster_list(
        api_version: &str,
        kind: &str,
        namespace: Option<&str>,
        selector: Option<&str>,
    ) -> Result<Vec<String>, cluster::Refused> {
        let selected = |object: &Object| {
            selector.unwrap_or_default().split(',').filter(|part| !part.is_empty()).all(|part| {
                match part.split_once('=') {
                    Some((name, value)) => object.label(name) == Some(value.trim_start_matches('=')),
                    None => object.label(part).is_some(),
                }
            })
        };
        let is_one =
            |object: &Object| (namespace.is_none() || object.namespace() == namespace) && selected(object);
        objects(api_version, kind, is_one)
    }

    fn objects(
        api_version: &str,
        kind: &str,
        is_one: impl Fn(&Object) -> bool,
    ) -> Result<Vec<String>, cluster::Refused> {
        HOST.with_borrow(|host| {
            let Some(objects) = &host.cluster else {
                return Err(cluster::Refused::Denied("the step grants no cluster".to_owned()));
            };
            let mut found: Vec<_> = objects.iter().filter(|o| o.is(api_version, kind) && is_one(o)).collect();
            found.sort_by_key(|object| (object.namespace(), object.name()));
            Ok(found.into_iter().map(Object::to_json).collect())
        })
    }

    pub(crate) fn http_send(request: Request) -> Result<Response, http::Refused> {
        HOST.with_borrow(|host| match &host.http {
            Some(answer) => answer(&request),
            None => Err(http::Refused::Denied("the step grants no host".to_owned())),
        })
    }

    pub(crate) fn now() -> Option<u64> {
        HOST.with_borrow(|host| host.now)
    }

    pub(crate) fn seed() -> Option<Vec<u8>> {
        HOST.with_borrow(|host| host.seed.map(Vec::from))
    }
}
