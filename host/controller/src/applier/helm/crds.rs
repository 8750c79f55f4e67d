//! The CustomResourceDefinitions of a chart's `crds` directory. Helm creates them before everything else, and never deletes one.

use std::time::{Duration, Instant as Clock};

use jiff::Timestamp;
use plumb_api::{CrdsPolicy, InventoryEntry, Object};
use plumb_apply::{HealthStatus, RELEASE_FIELD_MANAGER, health};
use tokio::time::Instant;

use super::Turn;
use super::step::{Progress, REQUEST, Stop, Waits};
use crate::clusters::Actor;

/// The API server has established most of them by then.
const MOMENT: Duration = Duration::from_secs(2);
const POLL: Duration = Duration::from_millis(100);
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// Definitions that are to be applied.
#[derive(Debug)]
pub(super) struct Definitions {
    policy: CrdsPolicy,
    objects: Vec<Object>,
    /// Those that were applied and may not be established yet.
    awaited: Option<Vec<Object>>,
}

impl Definitions {
    /// Those of a chart.
    pub(super) fn new(policy: CrdsPolicy, objects: Vec<Object>) -> Self {
        Self { policy, objects, awaited: None }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.policy == CrdsPolicy::Skip || self.objects.is_empty()
    }

    /// As the inventory lists them.
    pub(super) fn entries(&self) -> Vec<InventoryEntry> {
        if self.is_empty() { Vec::new() } else { self.objects.iter().map(InventoryEntry::of).collect() }
    }

    /// Applies them, and waits until they are established.
    pub(super) async fn go_on(&mut self, run: &Turn<'_>, actor: &Actor) -> Result<Progress, Stop> {
        let awaited = match self.awaited.take() {
            Some(awaited) => awaited,
            None => self.send(run, actor).await?,
        };
        let (begun, mut left) = (Clock::now(), awaited);
        loop {
            let mut unready = Vec::new();
            for definition in left {
                let (id, gvk) = (definition.id(), definition.gvk());
                let live = actor.executor.get(&id, &gvk, Instant::now() + REQUEST).await?;
                match live.map(|live| (health(&live, Timestamp::now()).status, live)) {
                    Some((HealthStatus::Current, live)) => actor.cluster.kinds.learn(&live),
                    _ => unready.push(definition),
                }
            }
            if unready.is_empty() {
                return Ok(Progress::Done);
            }
            if begun.elapsed() >= MOMENT {
                let names: Vec<String> = unready.iter().map(|object| object.name().to_owned()).collect();
                self.awaited = Some(unready);
                let what = format!("waiting until these definitions are established: {}", names.join(", "));
                return Ok(Progress::Waits(Waits { what, again: LOOK_AGAIN }));
            }
            tokio::time::sleep(POLL).await;
            left = unready;
        }
    }

    /// Returns what was sent.
    async fn send(&self, run: &Turn<'_>, actor: &Actor) -> Result<Vec<Object>, Stop> {
        let mut sent = Vec::new();
        for object in &self.objects {
            let deadline = Instant::now() + REQUEST;
            if self.policy == CrdsPolicy::Create
                && actor.executor.get(&object.id(), &object.gvk(), deadline).await?.is_some()
            {
                continue;
            }
            let mut object = object.clone();
            run.id.owner().stamp(&mut object);
            actor.executor.apply_once(&object, RELEASE_FIELD_MANAGER, deadline).await?;
            sent.push(object);
        }
        Ok(sent)
    }
}
