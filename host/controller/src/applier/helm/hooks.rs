//! Runs the hooks of an event, one after the other. What has been begun is a state: nobody waits here.

use std::sync::Arc;
use std::time::{Duration, Instant as Clock};

use jiff::Timestamp;
use plumb_api::{Object, ObjectId, TestPhase};
use plumb_apply::{HealthStatus, RELEASE_FIELD_MANAGER, Terminating, ending};
use plumb_health::Checks;
use plumb_helm::hooks::{self as rules, DeletePolicy, Hook, HookEvent, HookRun};
use plumb_helm::record::Release;
use serde_json::Value;
use tokio::time::Instant;

use super::Turn;
use super::step::{Progress, REQUEST, Stop, Waits};
use super::storage::Storage;
use crate::applier::{DISCOVERY, health, judging};
use crate::clusters::Actor;

/// A hook is looked at this often, besides when a watch tells of it.
const LOOK_AGAIN: Duration = Duration::from_secs(10);
/// What an earlier run has left, and is being deleted, is looked at this often.
const UNTIL_GONE: Duration = Duration::from_millis(500);

/// How far the hooks of an event have come.
pub(super) struct Hooks {
    event: HookEvent,
    /// All hooks of the release, in the order of the record.
    all: Vec<Hook>,
    /// The hooks of the event, by their places among all, in the order in which they are run.
    order: Vec<usize>,
    /// How many of them are done.
    done: usize,
    at: At,
    since: Clock,
}

/// How far one hook has come.
enum At {
    /// What an earlier run has left has to go.
    Before,
    /// It was created, and this is who it is.
    Created { run: HookRun, who: Vec<(ObjectId, Option<String>)> },
}

/// What hooks are run with.
pub(super) struct Ring<'a> {
    pub(super) actor: &'a Actor,
    pub(super) checks: &'a Checks,
    pub(super) storage: Storage<'a>,
    pub(super) timeout: Duration,
}

impl Hooks {
    /// The hooks of a release for an event, as far as they are selected by their names.
    pub(super) fn new(release: &Release, event: HookEvent, is_selected: impl Fn(&str) -> bool) -> Self {
        let all = release.hooks();
        let mut order = rules::at(&all, event);
        order.retain(|index| all.get(*index).is_some_and(|hook| is_selected(&hook.name)));
        Self { event, all, order, done: 0, at: At::Before, since: Clock::now() }
    }

    /// Goes on as far as that can be done now.
    pub(super) async fn go_on(
        &mut self,
        run: &mut Turn<'_>,
        release: &mut Release,
        ring: &Ring<'_>,
    ) -> Result<Progress, Stop> {
        while let Some(index) = self.order.get(self.done).copied() {
            let objects = self.objects(index, release, ring.actor).await?;
            if let At::Before = self.at {
                if self.is_deleted(index, DeletePolicy::BeforeHookCreation)
                    && !delete(&objects, ring.actor).await?
                {
                    let what = format!("waiting until an earlier hook {} is gone", self.name(index));
                    return Ok(Progress::Waits(Waits { what, again: UNTIL_GONE }));
                }
                let started = HookRun::started(Timestamp::now());
                release.set_hook_run(index, &started);
                ring.storage.update(release).await?;
                self.since = Clock::now();
                match create(&objects, ring.actor).await {
                    Ok(who) => {
                        follow(run, ring.actor, &objects);
                        self.at = At::Created { run: started, who };
                    }
                    Err(Stop::Broken(why)) => {
                        return Err(self.fail(index, started, release, ring, &why).await);
                    }
                    Err(trouble) => return Err(trouble),
                }
            }
            let At::Created { run: started, who } = &self.at else { continue };
            let started = started.clone();
            match state(run, who, &objects, ring).await? {
                State::Done => {
                    let ended = started.ended(Timestamp::now(), TestPhase::Succeeded);
                    release.set_hook_run(index, &ended);
                    self.done += 1;
                    self.at = At::Before;
                }
                State::Failed(why) => return Err(self.fail(index, started, release, ring, &why).await),
                State::Waits(what) if self.since.elapsed() < ring.timeout => {
                    return Ok(Progress::Waits(Waits { what, again: LOOK_AGAIN.min(ring.timeout) }));
                }
                State::Waits(what) => {
                    let why = format!("timed out after {:?}: {what}", ring.timeout);
                    return Err(self.fail(index, started, release, ring, &why).await);
                }
            }
        }
        for index in rules::to_delete(&self.all, &self.order, None) {
            delete(&self.objects(index, release, ring.actor).await?, ring.actor).await?;
        }
        Ok(Progress::Done)
    }

    /// Notes that a hook has failed, and deletes what the policies of it and of those before it say.
    async fn fail(
        &self,
        index: usize,
        run: HookRun,
        release: &mut Release,
        ring: &Ring<'_>,
        why: &str,
    ) -> Stop {
        release.set_hook_run(index, &run.ended(Timestamp::now(), TestPhase::Failed));
        let mut text = format!("{} hooks failed: {}: {why}", self.event_name(), self.name(index));
        for index in rules::to_delete(&self.all, &self.order, Some(self.done)) {
            let deleted = match self.objects(index, release, ring.actor).await {
                Ok(objects) => delete(&objects, ring.actor).await.map(drop),
                Err(stop) => Err(stop),
            };
            if let Err(stop) = deleted {
                text = format!("{text}; {} could not be deleted: {}", self.name(index), stop.message());
            }
        }
        Stop::Broken(text)
    }

    fn name(&self, index: usize) -> String {
        self.all.get(index).map(|hook| format!("{} {}", hook.kind, hook.name)).unwrap_or_default()
    }

    fn event_name(&self) -> String {
        serde_json::to_value(self.event)
            .ok()
            .and_then(|event| event.as_str().map(str::to_owned))
            .unwrap_or_default()
    }

    fn is_deleted(&self, index: usize, policy: DeletePolicy) -> bool {
        self.all.get(index).is_some_and(|hook| hook.is_deleted(policy))
    }

    /// The objects of a hook, where they are in the cluster.
    async fn objects(&self, index: usize, release: &Release, actor: &Actor) -> Result<Vec<Object>, Stop> {
        let Some(hook) = self.all.get(index) else { return Ok(Vec::new()) };
        let mut objects = plumb_helm::manifest::objects(&hook.manifest)
            .map_err(|error| Stop::Broken(format!("{}: {error}", hook.path)))?;
        let deadline = Instant::now() + DISCOVERY;
        let placed = actor.cluster.kinds.place_all(&mut objects, release.namespace(), deadline).await;
        let placed = placed.map_err(|errors| {
            let errors: Vec<String> = errors.iter().map(ToString::to_string).collect();
            Stop::Broken(errors.join("\n"))
        })?;
        match placed.deferred.first() {
            None => Ok(objects),
            Some(deferred) => Err(Stop::Broken(deferred.to_string())),
        }
    }
}

/// Deletes objects; whether they are gone. Helm never deletes definitions: with them all their objects go.
async fn delete(objects: &[Object], actor: &Actor) -> Result<bool, Stop> {
    let mut are_gone = true;
    for object in objects.iter().filter(|object| object.kind() != "CustomResourceDefinition") {
        let (id, gvk, deadline) = (object.id(), object.gvk(), Instant::now() + REQUEST);
        let Some(live) = actor.executor.get(&id, &gvk, deadline).await? else { continue };
        if Terminating::of(&live).is_none() {
            actor.executor.delete_once(&id, &gvk, uid(&live).as_deref(), deadline).await?;
        }
        are_gone &= actor.executor.get(&id, &gvk, deadline).await?.is_none();
    }
    Ok(are_gone)
}

async fn create(objects: &[Object], actor: &Actor) -> Result<Vec<(ObjectId, Option<String>)>, Stop> {
    let mut created = Vec::new();
    for object in objects {
        let deadline = Instant::now() + REQUEST;
        let applied = actor.executor.apply_once(object, RELEASE_FIELD_MANAGER, deadline).await?;
        created.push((applied.id(), uid(&applied)));
    }
    Ok(created)
}

/// A watch tells when a hook has ended.
fn follow(run: &mut Turn<'_>, actor: &Actor, objects: &[Object]) {
    let followed = objects.iter().filter(|object| is_awaited(object));
    let followed =
        followed.filter_map(|object| Some((object.id(), actor.cluster.kinds.known(&object.gvk())?)));
    run.memory.followed.health_checks = followed.collect();
    run.memory.followed.follow(actor, &run.id);
}

/// How a hook is doing.
enum State {
    Done,
    Waits(String),
    Failed(String),
}

async fn state(
    run: &Turn<'_>,
    who: &[(ObjectId, Option<String>)],
    objects: &[Object],
    ring: &Ring<'_>,
) -> Result<State, Stop> {
    for object in objects {
        let id = object.id();
        let has_expression = ring.checks.has_expression(&object.gvk());
        if !is_awaited(object) && !has_expression {
            continue;
        }
        let known = who.iter().find(|(created, _)| *created == id).and_then(|(_, uid)| uid.clone());
        let live = ring.actor.executor.get(&id, &object.gvk(), Instant::now() + REQUEST).await?;
        let Some(live) = live.filter(|live| uid(live) == known) else {
            // A Job that deletes itself has ended.
            if object.pointer("/spec/ttlSecondsAfterFinished").is_some() {
                continue;
            }
            return Ok(State::Failed(format!("{} was deleted before it had ended", id.human())));
        };
        let how = if live.kind() == "Pod" && !has_expression {
            pod(&live)
        } else {
            let namespace = &run.id.key.namespace;
            let live = vec![Arc::new(live)];
            let judged = judging::judge(run.context, namespace, ring.checks, live, Timestamp::now()).await;
            let health = judged.into_iter().next().unwrap_or_else(judging::not_looked_at);
            match health.status {
                HealthStatus::Current => State::Done,
                HealthStatus::Failed => {
                    State::Failed(health::with_its_pods(ring.actor, object, health).await.message)
                }
                _ => State::Waits(health::describe(&id, &health)),
            }
        };
        match how {
            State::Done => {}
            State::Failed(why) => return Ok(State::Failed(format!("{}: {why}", id.human()))),
            waits => return Ok(waits),
        }
    }
    Ok(State::Done)
}

/// Helm waits for Jobs and Pods to end; everything else is ready when it is there.
fn is_awaited(object: &Object) -> bool {
    matches!((object.gvk().group.as_str(), object.kind()), ("batch", "Job") | ("", "Pod"))
}

/// A Pod that is a hook has to end.
fn pod(live: &Object) -> State {
    match live.pointer("/status/phase").and_then(Value::as_str).unwrap_or("Pending") {
        "Succeeded" => State::Done,
        "Failed" => {
            let message = live.pointer("/status/message").and_then(Value::as_str).map(str::to_owned);
            let why = ending(live).or(message).map_or_else(String::new, |why| format!(": {why}"));
            State::Failed(format!("the Pod has failed{why}"))
        }
        phase => State::Waits(format!("waiting for {}: {phase}", live.id().human())),
    }
}

fn uid(object: &Object) -> Option<String> {
    object.pointer("/metadata/uid").and_then(Value::as_str).map(str::to_owned)
}
