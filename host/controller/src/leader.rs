//! Leader election by a `Lease`, as client-go's `leaderelection` does it: the holder renews the lease, another replica takes it once it
//! has not been renewed for its duration by the other's own clock.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::api::{Api, ObjectMeta, PostParams};
use tokio_util::sync::CancellationToken;

use crate::status::bounded;

/// How leaders are elected.
#[derive(Clone, Debug)]
pub struct Election {
    /// The namespace of the lease.
    pub namespace: String,
    /// The name of the lease.
    pub lease: String,
    /// Who this replica is: unique among the replicas, for example the pod's name.
    pub identity: String,
    /// After how long without renewal another replica takes over. Default 35 s, as Flux has it.
    pub lease_duration: Duration,
    /// For how long the holder tries to renew before it gives up. Default 30 s.
    pub renew_deadline: Duration,
    /// How long between two tries. Default 5 s.
    pub retry_period: Duration,
}

impl Election {
    /// An election with Flux's durations.
    pub fn new(namespace: String, lease: String, identity: String) -> Self {
        Self {
            namespace,
            lease,
            identity,
            lease_duration: Duration::from_secs(35),
            renew_deadline: Duration::from_secs(30),
            retry_period: Duration::from_secs(5),
        }
    }
}

/// The lease, held. It is renewed in the background until it is released.
pub(crate) struct Leadership {
    api: Api<Lease>,
    election: Election,
    held: Lease,
}

/// How a renewal ended.
enum Renewal {
    Renewed,
    TryAgain,
    Lost,
}

/// What another replica's lease looked like, and since when it has looked so.
struct Observed {
    version: Option<String>,
    since: Instant,
}

/// Waits until this replica is the leader; `None` when it is told to stop before.
pub(crate) async fn acquire(
    client: kube::Client,
    election: Election,
    stop: &CancellationToken,
) -> anyhow::Result<Option<Leadership>> {
    let api: Api<Lease> = Api::namespaced(client, &election.namespace);
    let mut observed: Option<Observed> = None;
    let mut announced = false;
    loop {
        match bounded(try_acquire(&api, &election, &mut observed)).await {
            Ok(Some(held)) => {
                tracing::info!(lease = %election.lease, identity = %election.identity, "became the leader");
                return Ok(Some(Leadership { api, election, held }));
            }
            Ok(None) if !announced => {
                announced = true;
                tracing::info!(lease = %election.lease, "another replica is the leader; waiting");
            }
            Ok(None) => {}
            Err(kube::Error::Api(status)) if status.is_forbidden() => {
                return Err(kube::Error::Api(status)).context("leader election may not use its lease");
            }
            Err(error) => {
                tracing::warn!(error = crate::status::said(&error), lease = %election.lease, "could not try for the lease; trying again")
            }
        }
        tokio::select! {
            () = stop.cancelled() => return Ok(None),
            () = tokio::time::sleep(election.retry_period) => {}
        }
    }
}

async fn try_acquire(
    api: &Api<Lease>,
    election: &Election,
    observed: &mut Option<Observed>,
) -> kube::Result<Option<Lease>> {
    let Some(current) = api.get_opt(&election.lease).await? else {
        let lease = Lease {
            metadata: ObjectMeta { name: Some(election.lease.clone()), ..ObjectMeta::default() },
            spec: Some(spec(election, None)),
        };
        return won(api.create(&PostParams::default(), &lease).await);
    };
    let holder = current.spec.as_ref().and_then(|spec| spec.holder_identity.as_deref()).unwrap_or_default();
    let free = holder.is_empty() || holder == election.identity;
    if !free && !expired(observed, &current, election.lease_duration) {
        return Ok(None);
    }
    let mut next = current;
    next.spec = Some(spec(election, next.spec.as_ref()));
    // The resource version in `next` makes this fail when another replica was faster.
    won(api.replace(&election.lease, &PostParams::default(), &next).await)
}

/// A conflict means that another replica won.
fn won(result: kube::Result<Lease>) -> kube::Result<Option<Lease>> {
    match result {
        Ok(lease) => Ok(Some(lease)),
        Err(kube::Error::Api(status)) if status.code == 409 => Ok(None),
        Err(error) => Err(error),
    }
}

/// Whether the lease has not changed for its duration. Measured by our own clock: those of two machines may differ.
fn expired(observed: &mut Option<Observed>, lease: &Lease, duration: Duration) -> bool {
    let version = &lease.metadata.resource_version;
    match observed {
        Some(seen) if seen.version == *version => seen.since.elapsed() > duration,
        _ => {
            *observed = Some(Observed { version: version.clone(), since: Instant::now() });
            false
        }
    }
}

fn spec(election: &Election, previous: Option<&LeaseSpec>) -> LeaseSpec {
    let now = MicroTime(Timestamp::now());
    let ours = previous.filter(|spec| spec.holder_identity.as_ref() == Some(&election.identity));
    let transitions = previous.and_then(|spec| spec.lease_transitions).unwrap_or(0);
    LeaseSpec {
        holder_identity: Some(election.identity.clone()),
        lease_duration_seconds: i32::try_from(election.lease_duration.as_secs()).ok(),
        acquire_time: Some(ours.and_then(|spec| spec.acquire_time.clone()).unwrap_or_else(|| now.clone())),
        renew_time: Some(now),
        lease_transitions: Some(if ours.is_some() { transitions } else { transitions.saturating_add(1) }),
        ..LeaseSpec::default()
    }
}

impl Leadership {
    /// Renews the lease until `stop`, then gives it up so that another replica need not wait. Returns an error when the lease is lost:
    /// whoever runs as the leader must then stop at once.
    pub(crate) async fn keep(mut self, stop: CancellationToken) -> anyhow::Result<()> {
        let mut renewed = Instant::now();
        loop {
            tokio::select! {
                () = stop.cancelled() => {
                    self.release().await;
                    return Ok(());
                }
                () = tokio::time::sleep(self.election.retry_period) => {}
            }
            match tokio::time::timeout(self.election.retry_period, self.renew()).await {
                Ok(Ok(Renewal::Renewed)) => renewed = Instant::now(),
                Ok(Ok(Renewal::TryAgain)) => {}
                Ok(Ok(Renewal::Lost)) => {
                    anyhow::bail!("the lease {} was taken by another replica", self.election.lease);
                }
                Ok(Err(error)) => {
                    tracing::warn!(error = crate::status::said(&error), lease = %self.election.lease, "could not renew the lease")
                }
                Err(_) => tracing::warn!(lease = %self.election.lease, "renewing the lease took too long"),
            }
            if renewed.elapsed() > self.election.renew_deadline {
                anyhow::bail!("the lease {} could not be renewed in time", self.election.lease);
            }
        }
    }

    async fn renew(&mut self) -> kube::Result<Renewal> {
        let mut next = self.held.clone();
        next.spec = Some(spec(&self.election, self.held.spec.as_ref()));
        match self.api.replace(&self.election.lease, &PostParams::default(), &next).await {
            Ok(lease) => {
                self.held = lease;
                Ok(Renewal::Renewed)
            }
            // Somebody else wrote the lease; or we did, and did not hear the answer.
            Err(kube::Error::Api(status)) if status.code == 409 => {
                self.held = self.api.get(&self.election.lease).await?;
                let holder = self.held.spec.as_ref().and_then(|spec| spec.holder_identity.as_ref());
                let is_ours = holder == Some(&self.election.identity);
                Ok(if is_ours { Renewal::TryAgain } else { Renewal::Lost })
            }
            Err(error) => Err(error),
        }
    }

    async fn release(mut self) {
        if let Some(spec) = &mut self.held.spec {
            spec.holder_identity = Some(String::new());
            spec.lease_duration_seconds = Some(1);
        }
        let params = PostParams::default();
        let released = self.api.replace(&self.election.lease, &params, &self.held);
        if let Ok(Err(error)) = tokio::time::timeout(Duration::from_secs(5), released).await {
            tracing::warn!(%error, "could not give up the lease; another replica takes it once it has run out");
        }
    }
}
