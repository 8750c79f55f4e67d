//! What a caller may hand to a plugin besides its input. Nothing is handed over by default.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use async_trait::async_trait;
use plumb_api::{Object, Sensitive};
use rand::TryRngCore as _;
use rand::rngs::OsRng;

/// Something that a plugin can be granted: an interface of `wit/capabilities.wit`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Capability {
    /// Values handed over by name.
    Secrets,
    /// Objects of the cluster.
    ClusterRead,
    /// Requests over HTTP.
    Http,
    /// What time it is.
    Clock,
    /// Randomness.
    Random,
}

impl Capability {
    /// All capabilities.
    pub const ALL: [Self; 5] = [Self::Secrets, Self::ClusterRead, Self::Http, Self::Clock, Self::Random];

    /// The name of its interface: `secrets`, `cluster-read`, `http`, `clock`, `random`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Secrets => "secrets",
            Self::ClusterRead => "cluster-read",
            Self::Http => "http",
            Self::Clock => "clock",
            Self::Random => "random",
        }
    }

    /// Whether a result that was made with its help must not be kept: it depends on what cannot be asked for again.
    pub(crate) fn is_unsteady(self) -> bool {
        matches!(self, Self::Http | Self::Clock | Self::Random)
    }
}

/// As in WIT.
impl fmt::Display for Capability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The capabilities that a component imports. It can use no others, and may do without those that it imports.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wants(BTreeSet<Capability>);

impl Wants {
    /// Whether it imports nothing that has to be granted: it is a pure function.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether it imports this one.
    pub fn contains(&self, capability: Capability) -> bool {
        self.0.contains(&capability)
    }

    /// What it imports, in the order of [`Capability`].
    pub fn iter(&self) -> impl Iterator<Item = Capability> {
        self.0.iter().copied()
    }

    /// The others.
    pub(crate) fn without(mut self, capability: Capability) -> Self {
        self.0.remove(&capability);
        self
    }

    /// What it imports and these grants do not have. The host refuses no call for it: the plugin is told when it asks. Whoever wants to
    /// refuse it looks here first.
    pub fn missing(&self, grants: &Grants) -> Vec<Capability> {
        self.iter().filter(|capability| !grants.has(*capability)).collect()
    }
}

impl FromIterator<Capability> for Wants {
    fn from_iter<I: IntoIterator<Item = Capability>>(capabilities: I) -> Self {
        Self(capabilities.into_iter().collect())
    }
}

/// What one call hands to its plugin. The default is nothing.
///
/// The traits are carried out by the caller: with the rights of the tenant, and within what policy allows. The host waits for their answers no
/// longer than the call may take, and drops the future when the call is cancelled. They run on a tokio runtime with I/O and time: that of the
/// calling thread if it has one, else one of the host. A panic in them is logged, and answered to the plugin as a failure.
#[derive(Clone, Default)]
pub struct Grants {
    /// Values by name. A plugin's messages do not show them: see [`Secrets`].
    pub secrets: Option<Secrets>,
    /// Reads objects.
    pub cluster: Option<Arc<dyn ClusterReader>>,
    /// Sends requests.
    pub http: Option<Arc<dyn HttpClient>>,
    /// Tells the time.
    pub clock: Option<Arc<dyn Clock>>,
    /// Gives seeds.
    pub random: Option<Arc<dyn Random>>,
}

impl Grants {
    /// Whether a capability is among them.
    pub fn has(&self, capability: Capability) -> bool {
        match capability {
            Capability::Secrets => self.secrets.is_some(),
            Capability::ClusterRead => self.cluster.is_some(),
            Capability::Http => self.http.is_some(),
            Capability::Clock => self.clock.is_some(),
            Capability::Random => self.random.is_some(),
        }
    }
}

/// Which capabilities are granted.
impl fmt::Debug for Grants {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let granted = Capability::ALL.into_iter().filter(|capability| self.has(*capability));
        f.debug_set().entries(granted.map(Capability::name)).finish()
    }
}

/// Values that are handed over by name.
///
/// A value of four bytes or more that occurs in an error, a finding or a log message of the plugin is shown as `***`, also where it occurs in Base64.
/// This is for accidents: a plugin that wants to give a value away can write it backwards.
#[derive(Clone, Default)]
pub struct Secrets(BTreeMap<String, Sensitive<Vec<u8>>>);

impl Secrets {
    /// The names, in the order of their bytes.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// The value under a name.
    pub fn get(&self, name: &str) -> Option<&Sensitive<Vec<u8>>> {
        self.0.get(name)
    }

    pub(crate) fn values(&self) -> impl Iterator<Item = &Sensitive<Vec<u8>>> {
        self.0.values()
    }
}

impl FromIterator<(String, Sensitive<Vec<u8>>)> for Secrets {
    fn from_iter<I: IntoIterator<Item = (String, Sensitive<Vec<u8>>)>>(values: I) -> Self {
        Self(values.into_iter().collect())
    }
}

/// The names alone.
impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.names()).finish()
    }
}

/// A kind of objects, in a version.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ObjectKind {
    /// The group and version, for example `apps/v1`, or `v1` for the core group.
    pub api_version: String,
    /// The kind, for example `Deployment`.
    pub kind: String,
}

/// `Deployment (apps/v1)`.
impl fmt::Display for ObjectKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.kind, self.api_version)
    }
}

/// Why the cluster could not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// The kind or namespace was not granted. The text says what to grant.
    #[error("{0}")]
    Denied(String),
    /// The tenant's service account may not read this. The text is what the API server says.
    #[error("{0}")]
    Forbidden(String),
    /// The cluster does not have this kind.
    #[error("the cluster does not have this kind")]
    UnknownKind,
    /// There is no cluster. The text says how to give the plugin objects.
    #[error("{0}")]
    NoCluster(String),
    /// The API server could not be asked. The text says why. Trying again may help.
    #[error("{0}")]
    Failed(String),
}

/// Reads objects of a cluster for a plugin, as the tenant's service account. It decides what of what is asked for was granted.
#[async_trait]
pub trait ClusterReader: Send + Sync {
    /// One object; none when it does not exist. `namespace` is none for kinds that have none.
    async fn get(
        &self,
        kind: &ObjectKind,
        namespace: Option<&str>,
        name: &str,
    ) -> Result<Option<Object>, ReadError>;

    /// All objects of a kind in a namespace, or in all that were granted. The host sorts them by namespace and name.
    async fn list(
        &self,
        kind: &ObjectKind,
        namespace: Option<&str>,
        label_selector: Option<&str>,
    ) -> Result<Vec<Object>, ReadError>;
}

/// A request that a plugin wants to be sent. Its headers may hold secrets, so it cannot be printed.
#[derive(Clone)]
pub struct HttpRequest {
    /// `GET`, `POST`, ….
    pub method: String,
    /// The whole URL.
    pub url: String,
    /// Headers; a name may occur more than once.
    pub headers: Vec<(String, Vec<u8>)>,
    /// The body; empty for none.
    pub body: Vec<u8>,
}

/// What a server answered. It may hold secrets, so it cannot be printed.
#[derive(Clone)]
pub struct HttpResponse {
    /// The status, for example 200.
    pub status: u16,
    /// Headers; a name may occur more than once.
    pub headers: Vec<(String, Vec<u8>)>,
    /// The whole body.
    pub body: Vec<u8>,
}

/// Why there is no response.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HttpError {
    /// The host, port, scheme or address was not granted. The text says what to grant.
    #[error("{0}")]
    Denied(String),
    /// The request is not one that can be sent. The text says why.
    #[error("{0}")]
    Invalid(String),
    /// The body is larger than this many bytes.
    #[error("the body of the response is larger than the {0} bytes that it may have")]
    TooLarge(u64),
    /// The server could not be reached, or took too long. The text says why.
    #[error("{0}")]
    Failed(String),
}

/// Sends requests for a plugin. It decides which of them were granted.
#[async_trait]
pub trait HttpClient: Send + Sync {
    /// Sends a request, follows no redirect, and waits for the whole response.
    async fn send(&self, request: HttpRequest) -> Result<HttpResponse, HttpError>;
}

/// Tells the time to a plugin.
pub trait Clock: Send + Sync {
    /// The time.
    fn now(&self) -> SystemTime;
}

/// The clock of this machine.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> SystemTime {
        SystemTime::now()
    }
}

/// Gives plugins what their generators of random numbers start with.
pub trait Random: Send + Sync {
    /// 32 bytes that nobody can predict, others each time; none when there are none to be had.
    fn seed(&self) -> Option<[u8; 32]>;
}

/// The randomness of this machine's operating system.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemRandom;

impl Random for SystemRandom {
    fn seed(&self) -> Option<[u8; 32]> {
        let mut seed = [0; 32];
        OsRng.try_fill_bytes(&mut seed).ok()?;
        Some(seed)
    }
}
