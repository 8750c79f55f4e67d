//! What is done to a release: how each action begins, and how it ends.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use plumb_api::{DeletionPropagation, HelmRelease, Inventory, InventoryEntry, Object, Reason, ReleaseStatus};
use plumb_apply::Propagation;
use plumb_helm::decide::{Action as Deed, Drift, Step as Next, Uninstall};
use plumb_helm::hooks::HookEvent;
use plumb_helm::record::{NewRelease, Release};
use plumb_helm::rendered::RenderedRelease;
use plumb_helm::{manifest, report};

use super::crds::Definitions;
use super::deployed::{self, Deployed};
use super::hooks::Hooks;
use super::step::{How, Ongoing, Progress, Step, Stop, Waits};
use super::storage::Storage;
use super::{End, Look, Turn, drift, render, values};
use crate::Key;
use crate::applier::apply;
use crate::applier::failure::{Failure, Retry};

/// When the API server does not answer, an action goes on after this time.
const TROUBLE: Duration = Duration::from_secs(2);

impl Turn<'_> {
    /// Does something to the release. `None` is to decide again.
    pub(super) async fn act(&mut self, deed: Deed, look: &Look) -> Result<Option<End>, Failure> {
        match deed {
            Deed::CorrectDrift => return self.correct_drift(look).await,
            Deed::Unlock => return self.unlock(look).await,
            _ => {}
        }
        let begun = Instant::now();
        match self.begin(deed, look).await {
            Ok(Some(ongoing)) => {
                self.announce().await?;
                self.resume(Box::new(ongoing), look).await
            }
            // There is nothing to uninstall, or to test.
            Ok(None) => self.conclude(deed, None, &[], begun, look).await,
            Err(Stop::Broken(problem)) => self.conclude(deed, Some(&problem), &[], begun, look).await,
            Err(Stop::Trouble(failure)) => Err(failure),
        }
    }

    /// Goes on with an action.
    pub(super) async fn resume(
        &mut self,
        mut ongoing: Box<Ongoing>,
        look: &Look,
    ) -> Result<Option<End>, Failure> {
        let is_another = ongoing.action.is_release() && !ongoing.attempt.is_of_the_same(&look.attempt);
        if ongoing.problem.is_none() && is_another && !ongoing.is_done() {
            ongoing.problem = Some("canceled, because something else is to be released by now".to_owned());
        }
        if ongoing.problem.is_none() {
            match ongoing.go_on(self, &look.actor, &look.checks).await {
                Ok(Progress::Done) => {}
                Ok(Progress::Waits(waits)) => {
                    self.memory.own.ongoing = Some(ongoing);
                    return Ok(Some(End::Waits(waits)));
                }
                Err(Stop::Broken(problem)) => ongoing.problem = Some(problem),
                Err(Stop::Trouble(failure)) => {
                    self.memory.own.ongoing = Some(ongoing);
                    return Ok(Some(End::Waits(Waits { what: failure.message, again: TROUBLE })));
                }
            }
        }
        match self.write_end(&mut ongoing, look).await {
            Ok(written) => {
                self.memory.followed.health_checks.clear();
                self.memory.followed.follow(&look.actor, &self.id);
                let problem = ongoing.problem.as_deref();
                self.conclude(ongoing.action, problem, &written, ongoing.begun, look).await
            }
            // What has happened has to be in the records before anything else is done.
            Err(failure) if failure.retry == Retry::Backoff => {
                self.memory.own.ongoing = Some(ongoing);
                Ok(Some(End::Waits(Waits { what: failure.message, again: TROUBLE })))
            }
            Err(failure) => {
                let problem = ongoing.problem.clone().unwrap_or(failure.message);
                self.conclude(ongoing.action, Some(&problem), &[], ongoing.begun, look).await
            }
        }
    }

    /// Notes in the status how an action has ended, tells of it, and says what follows.
    pub(super) async fn conclude(
        &mut self,
        deed: Deed,
        problem: Option<&str>,
        written: &[Release],
        begun: Instant,
        look: &Look,
    ) -> Result<Option<End>, Failure> {
        let ended = report::Ended {
            action: deed,
            problem,
            written,
            took: super::took(begun),
            desired: &look.desired,
            target: look.target(),
        };
        let told = self.told(look).ended(&ended);
        if let Some(told) = told {
            self.publish_told(&told, &look.desired.chart_version).await;
        }
        let mut turn = std::mem::take(&mut self.memory.own.turn);
        let situation = self.situation(look, &[], Drift::default(), false);
        let followed = turn.did(deed, &situation, problem.is_some(), !written.is_empty());
        self.memory.own.turn = turn;
        let Some(step) = followed else { return Ok(None) };
        self.told(look).followed(&step);
        Ok(match step {
            Next::Run(_) => None,
            Next::Done => Some(End::Kept),
            Next::RetryAfter(wait) => Some(End::After(wait)),
            Next::Again => Some(End::Again),
            Next::Stalled { .. } => Some(End::Stalled),
        })
    }

    /// The status says what is about to be done, and lists what there may be, before anything is.
    async fn announce(&mut self) -> Result<(), Failure> {
        self.write_status().await.map_err(|error| {
            let message = format!(
                "nothing was done, because the status could not be written first: {}",
                crate::status::said(&error)
            );
            Failure::new(Reason::ReconciliationFailed, Retry::Backoff, message)
        })
    }

    /// Prepares an action; `None` when there is nothing that it could be done to.
    async fn begin(&mut self, deed: Deed, look: &Look) -> Result<Option<Ongoing>, Stop> {
        match deed {
            Deed::Install | Deed::Upgrade => self.begin_release(deed, look).await.map(Some),
            Deed::RollBack { to } => self.begin_rollback(to, look).await.map(Some),
            Deed::Test => self.begin_test(look).await,
            Deed::Uninstall(why) => {
                let key = match why {
                    Uninstall::Retargeted | Uninstall::Deleted => self.last_key(&look.key),
                    Uninstall::Remediation | Uninstall::Interrupted => look.key.clone(),
                };
                begin_uninstall(why, &look.release, key, look).await
            }
            Deed::Unlock | Deed::CorrectDrift => Ok(None),
        }
    }

    /// Where the release is that the status tells of.
    pub(super) fn last_key(&self, otherwise: &Key) -> Key {
        let name = self.status.latest().map(|latest| latest.name.clone());
        Key {
            namespace: self.status.storage_namespace.clone().unwrap_or_else(|| otherwise.namespace.clone()),
            name: name.unwrap_or_else(|| otherwise.name.clone()),
        }
    }

    async fn begin_release(&mut self, deed: Deed, look: &Look) -> Result<Ongoing, Stop> {
        let spec = &look.release.spec;
        let (install, upgrade) =
            (spec.install.clone().unwrap_or_default(), spec.upgrade.clone().unwrap_or_default());
        let is_upgrade = deed == Deed::Upgrade;
        let newest = self.memory.own.deployed.as_ref().map(|deployed| deployed.release.clone());
        let revision = newest.as_ref().map_or(0, Release::version) + 1;
        let given = match newest.as_ref().filter(|_| is_upgrade && upgrade.preserve_values) {
            Some(newest) => values::preserved(newest.config(), &look.desired.values),
            None => look.desired.values.clone(),
        };
        let ownership = plumb_helm::objects::Ownership {
            release_name: &look.key.name,
            release_namespace: &look.namespace,
            name: &self.id.key.name,
            namespace: &self.id.key.namespace,
        };
        let of = render::Of {
            release: &look.release,
            chart: &look.chart,
            values: &given,
            ownership,
            revision,
            is_upgrade,
        };
        let rendered = render::render(self, &look.actor, &of).await?;
        let (objects, definitions) = objects_of(&rendered)?;
        let now = Timestamp::now();
        let first = newest.as_ref().filter(|_| is_upgrade).and_then(Release::first_deployed);
        let (status, description, crds) = match is_upgrade {
            true => (ReleaseStatus::PendingUpgrade, "Preparing upgrade", upgrade.crds()),
            false => (ReleaseStatus::PendingInstall, "Initial install underway", install.crds()),
        };
        let new = NewRelease {
            name: &look.key.name,
            namespace: &look.namespace,
            version: revision,
            status,
            description,
            first_deployed: first.unwrap_or(now),
            at: now,
        };
        let release = Release::new(&new, &rendered, given.expose());
        let definitions = Definitions::new(crds, definitions);
        let listed_before = self.list(&objects, definitions.entries(), look).await?;
        let how = match is_upgrade {
            true => How {
                timeout: deed.timeout(spec),
                wait: !upgrade.disable_wait,
                wait_for_jobs: !upgrade.disable_wait_for_jobs,
                force: upgrade.force,
                clean_up: upgrade.cleanup_on_fail,
                propagation: Propagation::Background,
            },
            false => How {
                timeout: deed.timeout(spec),
                wait: !install.disable_wait,
                wait_for_jobs: !install.disable_wait_for_jobs,
                force: false,
                clean_up: false,
                propagation: Propagation::Background,
            },
        };
        let (has_hooks, refuses, before, after) = match is_upgrade {
            true => (
                !upgrade.disable_hooks,
                upgrade.disable_take_ownership,
                HookEvent::PreUpgrade,
                HookEvent::PostUpgrade,
            ),
            false => (
                !install.disable_hooks,
                install.disable_take_ownership,
                HookEvent::PreInstall,
                HookEvent::PostInstall,
            ),
        };
        let mut steps = VecDeque::new();
        if !definitions.is_empty() {
            steps.push_back(Step::Definitions(definitions));
        }
        if !is_upgrade && install.create_namespace && spec.target_namespace.is_some() {
            steps.push_back(Step::Namespace);
        }
        if refuses {
            steps.push_back(Step::Ownership);
        }
        steps.push_back(Step::Record);
        let hooks = |event| has_hooks.then(|| Ongoing::hooks(&release, event));
        steps.extend(hooks(before));
        steps.push_back(Step::Apply);
        steps.extend(how.wait.then_some(Step::Wait));
        steps.extend(hooks(after));
        Ok(ongoing(deed, how, look.key.clone(), release, objects, listed_before, steps, look))
    }

    async fn begin_rollback(&mut self, to: i64, look: &Look) -> Result<Ongoing, Stop> {
        let spec = &look.release.spec;
        let rollback = spec.rollback.clone().unwrap_or_default();
        let storage = Storage::new(&look.actor, &look.key);
        let gone = || Stop::Broken(format!("release has no {to} version"));
        let target = storage.get(to).await?.ok_or_else(gone)?;
        let newest = self.memory.own.deployed.as_ref().map(|deployed| deployed.release.clone());
        let release = target.rolled_back(newest.as_ref().unwrap_or(&target), Timestamp::now());
        let objects =
            manifest::objects(release.manifest()).map_err(|error| Stop::Broken(error.to_string()))?;
        let listed_before = self.list(&objects, Vec::new(), look).await?;
        let deed = Deed::RollBack { to };
        let how = How {
            timeout: deed.timeout(spec),
            wait: !rollback.disable_wait,
            wait_for_jobs: !rollback.disable_wait_for_jobs,
            force: rollback.force,
            clean_up: rollback.cleanup_on_fail,
            propagation: Propagation::Background,
        };
        let hooks = |event| (!rollback.disable_hooks).then(|| Ongoing::hooks(&release, event));
        let mut steps = VecDeque::from([Step::Record]);
        steps.extend(hooks(HookEvent::PreRollback));
        steps.push_back(Step::Apply);
        steps.extend(how.wait.then_some(Step::Wait));
        steps.extend(hooks(HookEvent::PostRollback));
        Ok(ongoing(deed, how, look.key.clone(), release, objects, listed_before, steps, look))
    }

    async fn begin_test(&mut self, look: &Look) -> Result<Option<Ongoing>, Stop> {
        let spec = &look.release.spec;
        let Some(release) = newest(look, &look.key).await? else { return Ok(None) };
        let test = spec.test.clone().unwrap_or_default();
        let how = How {
            timeout: Deed::Test.timeout(spec),
            wait: true,
            wait_for_jobs: true,
            force: false,
            clean_up: false,
            propagation: Propagation::Background,
        };
        let hooks = Hooks::new(&release, HookEvent::Test, |name| test.selects(name));
        let steps = VecDeque::from([Step::Hooks(hooks)]);
        let listed = self.status.inventory.clone().unwrap_or_default();
        let mut ongoing =
            ongoing(Deed::Test, how, look.key.clone(), release, Vec::new(), listed, steps, look);
        ongoing.is_recorded = true;
        Ok(Some(ongoing))
    }

    /// Lists in the status what there is and what there may be; returns what was listed before.
    async fn list(
        &mut self,
        objects: &[Object],
        definitions: Vec<InventoryEntry>,
        look: &Look,
    ) -> Result<Inventory, Failure> {
        let wanted = crate::applier::render::prepare(self, &look.actor, objects.to_vec(), "").await?;
        let wanted = wanted.objects.iter().map(|object| InventoryEntry::of(object));
        let before = self.status.inventory.clone().unwrap_or_default();
        // A Flux without inventories has left none.
        let deployed = self.deployed_objects(look).await?;
        let deployed = deployed.objects.iter().map(|object| InventoryEntry::of(object));
        let mut entries: Vec<InventoryEntry> = Vec::new();
        for entry in wanted.chain(before.entries.iter().cloned()).chain(deployed).chain(definitions) {
            if entries.iter().all(|known| known.id != entry.id) {
                entries.push(entry);
            }
        }
        self.status.inventory = Some(Inventory { entries });
        Ok(before)
    }

    /// Writes into the records how an action has ended, and returns those that were changed.
    async fn write_end(&mut self, ongoing: &mut Ongoing, look: &Look) -> Result<Vec<Release>, Failure> {
        let key = ongoing.key.clone();
        let storage = Storage::new(&look.actor, &key);
        if !ongoing.is_recorded {
            return Ok(Vec::new());
        }
        match ongoing.action {
            Deed::Uninstall(_) => self.write_uninstalled(ongoing, &storage, look).await,
            Deed::Test => {
                storage.update(&ongoing.release).await?;
                Ok(vec![ongoing.release.clone()])
            }
            _ if ongoing.problem.is_some() => self.write_failed(ongoing, &storage, look).await,
            _ => self.write_deployed(ongoing, &storage, look).await,
        }
    }

    async fn write_failed(
        &mut self,
        ongoing: &mut Ongoing,
        storage: &Storage<'_>,
        look: &Look,
    ) -> Result<Vec<Release>, Failure> {
        let what = match ongoing.action {
            Deed::Install => "Release",
            Deed::Upgrade => "Upgrade",
            _ => "Rollback",
        };
        let problem = ongoing.problem.clone().unwrap_or_default();
        let description = format!("{what} {:?} failed: {problem}", ongoing.key.name);
        ongoing.release.set_status(ReleaseStatus::Failed, &description);
        storage.update(&ongoing.release).await?;
        if ongoing.how.clean_up {
            self.clean_up(ongoing, look).await?;
        }
        Ok(vec![ongoing.release.clone()])
    }

    async fn write_deployed(
        &mut self,
        ongoing: &mut Ongoing,
        storage: &Storage<'_>,
        look: &Look,
    ) -> Result<Vec<Release>, Failure> {
        let description = match ongoing.action {
            Deed::Install => "Install complete".to_owned(),
            Deed::Upgrade => "Upgrade complete".to_owned(),
            Deed::RollBack { to } => format!("Rollback to {to}"),
            _ => String::new(),
        };
        ongoing.release.set_status(ReleaseStatus::Deployed, &description);
        storage.update(&ongoing.release).await?;
        let mut written = vec![ongoing.release.clone()];
        let listed = storage.list().await?;
        let own = ongoing.release.version();
        let deployed = ReleaseStatus::Deployed.as_str();
        for record in listed.iter().filter(|record| record.version != own && record.status == deployed) {
            if let Some(mut before) = storage.get(record.version).await? {
                before.supersede();
                storage.update(&before).await?;
                written.push(before);
            }
        }
        if let Some(most) = look.release.spec.max_history() {
            let too_many = listed.len().saturating_sub(most);
            for record in listed.iter().filter(|record| record.version != own).take(too_many) {
                storage.delete(record.version).await?;
            }
        }
        if let Some(labels) = listed.into_iter().find(|record| record.version == own) {
            self.memory.own.deployed =
                Deployed::new(&ongoing.key, labels, &ongoing.release, &ongoing.objects);
        }
        Ok(written)
    }

    async fn write_uninstalled(
        &mut self,
        ongoing: &mut Ongoing,
        storage: &Storage<'_>,
        look: &Look,
    ) -> Result<Vec<Release>, Failure> {
        if ongoing.problem.is_some() {
            return Ok(vec![ongoing.release.clone()]);
        }
        ongoing.release.set_deleted(Timestamp::now());
        ongoing.release.set_status(ReleaseStatus::Uninstalled, "Uninstallation complete");
        if look.release.spec.uninstall.as_ref().is_some_and(|uninstall| uninstall.keep_history) {
            storage.update(&ongoing.release).await?;
        } else {
            for record in storage.list().await? {
                storage.delete(record.version).await?;
            }
        }
        self.memory.own.deployed = None;
        self.memory.applied.clear();
        self.status.inventory = None;
        Ok(vec![ongoing.release.clone()])
    }

    /// `cleanupOnFail`: deletes what a failed action has created.
    async fn clean_up(&mut self, ongoing: &Ongoing, look: &Look) -> Result<(), Failure> {
        let Some(desired) = &ongoing.desired else { return Ok(()) };
        let is_new =
            |entry: &InventoryEntry| ongoing.listed_before.entries.iter().all(|known| known.id != entry.id);
        let entries: Vec<_> =
            desired.objects.iter().map(|object| InventoryEntry::of(object)).filter(is_new).collect();
        let deletions = apply::deletions(self, &look.actor, &Inventory { entries }).await;
        let failures = apply::delete(self, &look.actor, &deletions, Propagation::Background).await;
        if failures.is_empty() {
            self.status.inventory = Some(ongoing.listed_before.clone());
        } else {
            tracing::warn!(object = %self.id, "cleanupOnFail: {}", failures.join("; "));
        }
        Ok(())
    }

    async fn correct_drift(&mut self, look: &Look) -> Result<Option<End>, Failure> {
        let begun = Instant::now();
        let desired = self.deployed_objects(look).await?;
        let policy = drift::policy(self, deployed::mode(look));
        let problem = match apply::apply(self, &look.actor, &desired, &policy).await {
            Ok(()) => None,
            Err(failure) if failure.retry == Retry::Backoff => return Err(failure),
            Err(failure) => Some(failure.message),
        };
        self.conclude(Deed::CorrectDrift, problem.as_deref(), &[], begun, look).await
    }

    async fn unlock(&mut self, look: &Look) -> Result<Option<End>, Failure> {
        let begun = Instant::now();
        let storage = Storage::new(&look.actor, &look.key);
        let Some(newest) = storage.list().await?.pop() else { return Ok(None) };
        let Some(mut release) = storage.get(newest.version).await? else { return Ok(None) };
        let description = format!("Release unlocked from stale '{}' state", release.status());
        release.set_status(ReleaseStatus::Failed, &description);
        storage.update(&release).await?;
        self.memory.own.deployed = None;
        self.conclude(Deed::Unlock, None, &[release], begun, look).await
    }
}

/// Prepares an uninstall of the newest release; `None` when there is none, or it was uninstalled already.
pub(super) async fn begin_uninstall(
    why: Uninstall,
    spec: &HelmRelease,
    key: Key,
    look: &Look,
) -> Result<Option<Ongoing>, Stop> {
    let Some(mut release) = newest(look, &key).await? else { return Ok(None) };
    if release.status() == ReleaseStatus::Uninstalled {
        return Ok(None);
    }
    let objects = manifest::objects(release.manifest()).map_err(|error| Stop::Broken(error.to_string()))?;
    release.set_deleted(Timestamp::now());
    release.set_status(ReleaseStatus::Uninstalling, "Deletion in progress (or silently failed)");
    let deed = Deed::Uninstall(why);
    let uninstall = spec.spec.uninstall.clone().unwrap_or_default();
    let how = How {
        timeout: deed.timeout(&spec.spec),
        wait: !uninstall.disable_wait,
        wait_for_jobs: true,
        force: false,
        clean_up: false,
        propagation: match uninstall.deletion_propagation {
            DeletionPropagation::Background => Propagation::Background,
            DeletionPropagation::Foreground => Propagation::Foreground,
            DeletionPropagation::Orphan => Propagation::Orphan,
        },
    };
    let hooks = |event| (!uninstall.disable_hooks).then(|| Ongoing::hooks(&release, event));
    let mut steps = VecDeque::from([Step::Record]);
    steps.extend(hooks(HookEvent::PreDelete));
    steps.push_back(Step::Delete);
    steps.extend(hooks(HookEvent::PostDelete));
    Ok(Some(ongoing(deed, how, key, release, objects, Inventory::default(), steps, look)))
}

/// The newest record, with all that it has.
async fn newest(look: &Look, key: &Key) -> Result<Option<Release>, Failure> {
    let storage = Storage::new(&look.actor, key);
    match storage.list().await?.pop() {
        Some(newest) => storage.get(newest.version).await,
        None => Ok(None),
    }
}

#[expect(clippy::too_many_arguments, reason = "each is one field, and the rest is the same for every action")]
fn ongoing(
    action: Deed,
    how: How,
    key: Key,
    release: Release,
    objects: Vec<Object>,
    listed_before: Inventory,
    steps: VecDeque<Step>,
    look: &Look,
) -> Ongoing {
    let now = Instant::now();
    Ongoing {
        action,
        how,
        key,
        release,
        is_recorded: false,
        objects,
        attempt: look.attempt.clone(),
        begun: now,
        listed_before,
        desired: None,
        problem: None,
        steps,
        since: now,
    }
}

/// The objects of a manifest, and what is in the chart's `crds` directory.
fn objects_of(rendered: &RenderedRelease) -> Result<(Vec<Object>, Vec<Object>), Stop> {
    let objects = taken(rendered.objects.iter().map(|object| &object.object))?;
    let definitions = taken(rendered.crds.iter().flat_map(|file| &file.objects))?;
    Ok((objects, definitions))
}

fn taken<'a>(values: impl Iterator<Item = &'a serde_json::Value>) -> Result<Vec<Object>, Stop> {
    let mut objects = Vec::new();
    for value in values {
        manifest::take(value.clone(), &mut objects).map_err(|error| Stop::Broken(error.to_string()))?;
    }
    Ok(objects)
}
