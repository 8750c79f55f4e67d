//! Reads what has to be known to explain an object.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use kube::api::ListParams;
use plumb_api::{GroupKind, Object, ObjectId};
use plumb_apply::{Health, HealthStatus};

use super::objects::{
    dependencies_of, health_checks_of, inventory_of, is_applier, is_being_deleted, is_ready, source_of, text,
};
use crate::judges::{Judged, Judges, health_of};
use crate::reader::{Read, Reader};
use crate::workload;

/// How many objects along the dependencies are looked at, and how many of what they have applied.
const FOLLOWED: usize = 100;
const APPLIED: usize = 500;
/// How many objects' events and pods are asked for.
const CLOSELY: usize = 10;

/// What was read of a cluster to explain one object.
pub(super) struct Situation {
    /// The object.
    pub(super) subject: Object,
    /// What else was looked at: dependencies, sources, applied objects.
    pub(super) others: BTreeMap<ObjectId, Read>,
    /// How objects are, as those judge them whom their Kustomization or Pipeline names.
    pub(super) healths: BTreeMap<ObjectId, Health>,
    /// The pods of what is not well.
    pub(super) pods: BTreeMap<ObjectId, Vec<Object>>,
    /// The last warning about an object, as reason and message.
    pub(super) warnings: BTreeMap<ObjectId, (String, String)>,
    pub(super) now: Timestamp,
}

impl Situation {
    pub(super) fn find(&self, id: &ObjectId) -> Option<&Object> {
        if *id == self.subject.id() {
            return Some(&self.subject);
        }
        match self.others.get(id)? {
            Read::Found(object) => Some(object),
            Read::Missing | Read::Refused(_) => None,
        }
    }

    /// Those of `ids` that are not well, the worst first.
    pub(super) fn unwell<'a>(&'a self, ids: &'a [ObjectId]) -> Vec<(&'a ObjectId, Health)> {
        let assess = |id: &'a ObjectId| match self.others.get(id)? {
            Read::Found(object) => Some((id, self.health(object))),
            Read::Missing => Some((id, Health::not_found())),
            Read::Refused(why) => Some((id, Health::new(HealthStatus::Unknown, why.clone()))),
        };
        let mut unwell: Vec<_> = ids.iter().filter_map(assess).collect();
        unwell.retain(|(_, health)| health.status != HealthStatus::Current);
        unwell.sort_by(|a, b| b.1.status.cmp(&a.1.status).then_with(|| a.0.cmp(b.0)));
        unwell
    }

    /// The health of an object, with what its pods say.
    pub(super) fn health(&self, object: &Object) -> Health {
        let pods = self.pods.get(&object.id()).into_iter().flatten();
        plumb_apply::with_pods(health_of(&self.healths, object, self.now), pods, self.now)
    }
}

/// Looks at an object and at all that it may wait for. What cannot be read is told, and does not keep the rest from being read.
pub(super) async fn look(reader: &Reader, judges: &Arc<Judges>, subject: Object) -> Situation {
    let mut situation = Situation {
        subject,
        others: BTreeMap::new(),
        healths: BTreeMap::new(),
        pods: BTreeMap::new(),
        warnings: BTreeMap::new(),
        now: Timestamp::now(),
    };
    follow(reader, &mut situation).await;
    look_at_applied(reader, &mut situation).await;
    judge(reader, judges, &mut situation).await;
    look_closely(reader, &mut situation).await;
    situation
}

/// Reads sources and dependencies, and theirs.
async fn follow(reader: &Reader, situation: &mut Situation) {
    let mut ahead = edges(&situation.subject);
    while !ahead.is_empty() && situation.others.len() < FOLLOWED {
        ahead.retain(|id| *id != situation.subject.id() && !situation.others.contains_key(id));
        ahead.truncate(FOLLOWED);
        let read = reader.get_all(std::mem::take(&mut ahead)).await;
        for found in read.values() {
            if let Read::Found(object) = found {
                ahead.extend(edges(object));
            }
        }
        situation.others.extend(read);
        ahead.sort();
        ahead.dedup();
    }
}

fn edges(object: &Object) -> Vec<ObjectId> {
    let dependencies = dependencies_of(object).into_iter().map(|dependency| dependency.id);
    dependencies.chain(source_of(object)).collect()
}

/// Reads what the Kustomizations and Pipelines that are not ready have applied and what they check.
async fn look_at_applied(reader: &Reader, situation: &mut Situation) {
    let found = situation.others.values().filter_map(|read| match read {
        Read::Found(object) => Some(object),
        Read::Missing | Read::Refused(_) => None,
    });
    let is_unready = |object: &&Object| is_applier(object) && !is_ready(object);
    let unready = std::iter::once(&situation.subject).chain(found).filter(is_unready);
    let mut ids: Vec<ObjectId> =
        unready.flat_map(|object| inventory_of(object).into_iter().chain(health_checks_of(object))).collect();
    ids.retain(|id| !situation.others.contains_key(id) && *id != situation.subject.id());
    ids.truncate(APPLIED);
    situation.others.extend(reader.get_all(ids).await);
}

/// Judges all that was read: what a Kustomization or Pipeline has applied, checks or depends on as it says.
async fn judge(reader: &Reader, judges: &Arc<Judges>, situation: &mut Situation) {
    let found = situation.others.values().filter_map(|read| match read {
        Read::Found(object) => Some(object),
        Read::Missing | Read::Refused(_) => None,
    });
    let all: Vec<&Object> = std::iter::once(&situation.subject).chain(found).collect();
    let mut healths = BTreeMap::new();
    for applier in all.iter().filter(|object| is_applier(object)) {
        let mut ids = inventory_of(applier);
        ids.extend(health_checks_of(applier));
        ids.extend(dependencies_of(applier).into_iter().map(|dependency| dependency.id));
        let own =
            all.iter().filter(|object| ids.contains(&object.id()) && !healths.contains_key(&object.id()));
        let own: Vec<Object> = own.map(|object| (*object).clone()).collect();
        let judged = Judged::of(reader, applier).await;
        healths.extend(judges.healths(judged, own, situation.now).await);
    }
    if !healths.contains_key(&situation.subject.id()) {
        let judged = Judged::of_owner(reader, &situation.subject).await;
        healths.extend(judges.healths(judged, vec![situation.subject.clone()], situation.now).await);
    }
    situation.healths = healths;
}

/// Asks for the pods of what is not well, and for the warnings about it.
async fn look_closely(reader: &Reader, situation: &mut Situation) {
    let is_unwell = |object: &Object| {
        is_being_deleted(object) || situation.health(object).status != HealthStatus::Current
    };
    let mut closely: Vec<Object> = situation
        .others
        .values()
        .filter_map(|read| match read {
            Read::Found(object) if is_unwell(object) => Some(object.clone()),
            _ => None,
        })
        .take(CLOSELY)
        .collect();
    closely.push(situation.subject.clone());
    for object in closely {
        if let Some(selector) = workload::pod_selector(&object)
            && let Some(pod) = reader.catalog.get(&GroupKind::new("", "Pod"))
            && let Ok(pods) =
                reader.list(pod, object.namespace(), ListParams::default().labels(&selector)).await
        {
            situation.pods.insert(object.id(), pods);
        }
        if let Some(warning) = last_warning(reader, &object).await {
            situation.warnings.insert(object.id(), warning);
        }
    }
}

async fn last_warning(reader: &Reader, object: &Object) -> Option<(String, String)> {
    let event = reader.catalog.get(&GroupKind::new("", "Event"))?;
    let selector =
        format!("type=Warning,involvedObject.kind={},involvedObject.name={}", object.kind(), object.name());
    let namespace = object.namespace().unwrap_or("default");
    let events = reader.list(event, Some(namespace), ListParams::default().fields(&selector)).await.ok()?;
    let time = |event: &Object| {
        let times =
            ["/series/lastObservedTime", "/lastTimestamp", "/eventTime", "/metadata/creationTimestamp"];
        times.into_iter().find_map(|pointer| text(event, pointer).map(str::to_owned))
    };
    let last = events.into_iter().max_by_key(|event| time(event))?;
    Some((text(&last, "/reason").unwrap_or_default().to_owned(), text(&last, "/message")?.trim().to_owned()))
}
