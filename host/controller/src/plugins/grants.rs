//! What a plugin is handed, carried out: values of Secrets, reads of the cluster as the tenant, requests over HTTP, the clock, and randomness.

mod cluster;
mod http;
pub(super) mod identity;
pub(super) mod key_services;
pub(crate) mod vault;

use std::collections::BTreeMap;
use std::sync::Arc;

use kube::Client;
use plumb_api::{Capabilities, Capability, ClusterReadGrant, Sensitive};
use plumb_apply::Kinds;
use plumb_plugin::{ClusterReader, Grants, SystemClock, SystemRandom};

use crate::clusters::Actor;
use crate::context::Context;
use cluster::Reader;
use http::Sender;

/// What a chart is handed: everything that whoever releases it may read, as Helm's `lookup` has it, and the clock.
pub(crate) fn of_releases(actor: &Actor) -> Grants {
    Grants {
        clock: Some(Arc::new(SystemClock)),
        random: Some(Arc::new(SystemRandom)),
        cluster: Some(reader_of_everything(actor.client.clone(), actor.cluster.kinds.clone())),
        ..Grants::default()
    }
}

/// Reads everything that the client may read: for whoever renders a chart with rights of their own.
pub fn reader_of_everything(client: Client, kinds: Arc<Kinds>) -> Arc<dyn ClusterReader> {
    let everything = ClusterReadGrant {
        api_version: "*".to_owned(),
        kind: "*".to_owned(),
        namespaces: vec!["*".to_owned()],
    };
    Arc::new(Reader::new(client, kinds, vec![everything]))
}

/// Hands over what was granted.
pub(super) fn of(
    granted: Capabilities,
    secrets: BTreeMap<String, Sensitive<Vec<u8>>>,
    actor: Arc<Actor>,
    context: &Context,
) -> Result<Grants, String> {
    let has = |capability| granted.has(capability);
    let mut grants = Grants::default();
    if has(Capability::Secrets) {
        let named = |name: &String| granted.secrets.iter().any(|secret| secret.name == *name);
        grants.secrets = Some(secrets.into_iter().filter(|(name, _)| named(name)).collect());
    }
    if has(Capability::Clock) {
        grants.clock = Some(Arc::new(SystemClock));
    }
    if has(Capability::Random) {
        grants.random = Some(Arc::new(SystemRandom));
    }
    if has(Capability::Http) {
        let sender = Sender::new(granted.http, &context.config.addresses)?;
        grants.http = Some(Arc::new(sender));
    }
    if !granted.cluster_read.is_empty() {
        let reader = Reader::new(actor.client.clone(), actor.cluster.kinds.clone(), granted.cluster_read);
        grants.cluster = Some(Arc::new(reader));
    }
    Ok(grants)
}
