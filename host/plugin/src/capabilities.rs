//! The functions of `wit/capabilities.wit`: what of the caller's grants a guest asks for.

use std::sync::Arc;
use std::time::UNIX_EPOCH;

use plumb_api::Object;

use crate::bindings::{clock, cluster_read, http, random, secrets};
use crate::grants::{Capability, ClusterReader, HttpError, HttpRequest, HttpResponse, ObjectKind, ReadError};
use crate::state::State;
use crate::used::{Answer, ClusterQuery, in_order};
use crate::values::text_of;
use crate::waiting::{guard, wait};

/// Told to the plugin when the caller's own code broke down.
const BROKEN: &str = "the host could not answer; its log says why";

impl secrets::Host for State {
    fn names(&mut self) -> wasmtime::Result<Vec<String>> {
        self.meter.host_call()?;
        let Some(secrets) = &self.grants.secrets else { return Ok(Vec::new()) };
        self.used.add(Capability::Secrets);
        let names: Vec<_> = secrets.names().map(str::to_owned).collect();
        self.meter.answered(names.iter().map(String::len).sum())?;
        Ok(names)
    }

    fn get(&mut self, name: String) -> wasmtime::Result<Result<Vec<u8>, secrets::SecretError>> {
        self.meter.host_call()?;
        let Some(secrets) = &self.grants.secrets else { return Ok(Err(secrets::SecretError::Denied)) };
        self.used.add(Capability::Secrets);
        let Some(value) = secrets.get(&name) else { return Ok(Err(secrets::SecretError::NotFound)) };
        self.meter.answered(value.expose().len())?;
        Ok(Ok(value.expose().clone()))
    }
}

impl cluster_read::Host for State {
    fn get(
        &mut self,
        kind: cluster_read::Kind,
        namespace: Option<String>,
        name: String,
    ) -> wasmtime::Result<Result<Option<String>, cluster_read::ReadError>> {
        self.meter.host_call()?;
        let kind = ObjectKind::from(kind);
        let Some(cluster) = self.cluster() else { return Ok(Err(not_granted(&kind))) };
        let getting = cluster.get(&kind, namespace.as_deref(), &name);
        let answer = wait(&mut self.meter, "cluster-read", getting)?.unwrap_or_else(|_| Err(broken_read()));
        self.used.read(ClusterQuery::Get { kind, namespace, name }, Answer::of_object(&answer));
        Ok(match answer {
            Ok(object) => Ok(self.texts(object.as_slice())?.pop()),
            Err(error) => Err(error.into()),
        })
    }

    fn list(
        &mut self,
        kind: cluster_read::Kind,
        namespace: Option<String>,
        label_selector: Option<String>,
    ) -> wasmtime::Result<Result<Vec<String>, cluster_read::ReadError>> {
        self.meter.host_call()?;
        let kind = ObjectKind::from(kind);
        let Some(cluster) = self.cluster() else { return Ok(Err(not_granted(&kind))) };
        let listing = cluster.list(&kind, namespace.as_deref(), label_selector.as_deref());
        let answer = wait(&mut self.meter, "cluster-read", listing)?
            .unwrap_or_else(|_| Err(broken_read()))
            .map(in_order);
        self.used.read(ClusterQuery::List { kind, namespace, label_selector }, Answer::of_list(&answer));
        Ok(match answer {
            Ok(objects) => Ok(self.texts(&objects)?),
            Err(error) => Err(error.into()),
        })
    }
}

impl State {
    fn cluster(&self) -> Option<Arc<dyn ClusterReader>> {
        let cluster = self.grants.cluster.clone()?;
        self.used.add(Capability::ClusterRead);
        Some(cluster)
    }

    /// The objects as the contract wants them, counted before they are handed over.
    fn texts(&mut self, objects: &[Object]) -> wasmtime::Result<Vec<String>> {
        let mut texts = Vec::with_capacity(objects.len());
        for text in objects.iter().map(text_of) {
            self.meter.answered(text.len())?;
            texts.push(text);
        }
        Ok(texts)
    }
}

impl http::Host for State {
    fn send(&mut self, request: http::Request) -> wasmtime::Result<Result<http::Response, http::HttpError>> {
        self.meter.host_call()?;
        let Some(client) = self.grants.http.clone() else {
            let text = "this step is not granted `http`; name the host in its capabilities".to_owned();
            return Ok(Err(http::HttpError::Denied(text)));
        };
        self.used.add(Capability::Http);
        let http::Request { method, url, headers, body } = request;
        let sending = client.send(HttpRequest { method, url, headers, body });
        let answer = wait(&mut self.meter, "http", sending)?
            .unwrap_or_else(|_| Err(HttpError::Failed(BROKEN.to_owned())));
        Ok(match answer {
            Ok(HttpResponse { status, headers, body }) => {
                let size = headers.iter().map(|(name, value)| name.len() + value.len()).sum::<usize>();
                self.meter.answered(size.saturating_add(body.len()))?;
                Ok(http::Response { status, headers, body })
            }
            Err(error) => Err(error.into()),
        })
    }
}

impl clock::Host for State {
    fn now(&mut self) -> wasmtime::Result<Option<u64>> {
        self.meter.host_call()?;
        let Some(clock) = self.grants.clock.clone() else { return Ok(None) };
        self.used.add(Capability::Clock);
        let Ok(now) = guard("clock", || clock.now()) else { return Ok(None) };
        // A clock that stands before 1970 was never set.
        Ok(now.duration_since(UNIX_EPOCH).ok().map(|since| since.as_secs()))
    }
}

impl random::Host for State {
    fn seed(&mut self) -> wasmtime::Result<Option<Vec<u8>>> {
        self.meter.host_call()?;
        let Some(random) = self.grants.random.clone() else { return Ok(None) };
        self.used.add(Capability::Random);
        // A seed that is not random must never be taken for one: without it the plugin fails.
        Ok(guard("random", || random.seed()).ok().flatten().map(|seed| seed.to_vec()))
    }
}

fn broken_read() -> ReadError {
    ReadError::Failed(BROKEN.to_owned())
}

fn not_granted(kind: &ObjectKind) -> cluster_read::ReadError {
    cluster_read::ReadError::Denied(format!(
        "this step is not granted `clusterRead`; name {kind} in its capabilities"
    ))
}

impl From<cluster_read::Kind> for ObjectKind {
    fn from(kind: cluster_read::Kind) -> Self {
        Self { api_version: kind.api_version, kind: kind.kind }
    }
}

impl From<ReadError> for cluster_read::ReadError {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Denied(text) => Self::Denied(text),
            ReadError::Forbidden(text) => Self::Forbidden(text),
            ReadError::UnknownKind => Self::UnknownKind,
            ReadError::NoCluster(text) => Self::NoCluster(text),
            ReadError::Failed(text) => Self::Failed(text),
        }
    }
}

impl From<HttpError> for http::HttpError {
    fn from(error: HttpError) -> Self {
        match error {
            HttpError::Denied(text) => Self::Denied(text),
            HttpError::Invalid(text) => Self::Invalid(text),
            HttpError::TooLarge(limit) => Self::TooLarge(limit),
            HttpError::Failed(text) => Self::Failed(text),
        }
    }
}
