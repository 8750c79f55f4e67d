//! How an action begins: what it is done with, and the row of its steps.

use std::collections::VecDeque;

use jiff::Timestamp;
use plumb_api::{
    DeletionPropagation, HelmRelease, HelmReleaseSpec, Inventory, InventoryEntry, Object, ReleaseStatus,
};
use plumb_apply::Propagation;
use plumb_helm::decide::{Action as Deed, Uninstall};
use plumb_helm::hooks::HookEvent;
use plumb_helm::manifest;
use plumb_helm::record::{NewRelease, Release};
use plumb_helm::render::Occasion;

use super::crds::Definitions;
use super::hooks::Hooks;
use super::step::{How, Ongoing, Step, Stop};
use super::{Look, Turn, render};
use crate::Key;
use crate::applier::failure::Failure;

impl Turn<'_> {
    /// Prepares an action; `None` when there is nothing that it could be done to.
    pub(super) async fn begin(&mut self, deed: Deed, look: &Look) -> Result<Option<Ongoing>, Stop> {
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
        let newest = self.memory.own.deployed.as_ref().map(|deployed| deployed.release.clone());
        let revision = newest.as_ref().map_or(0, Release::version) + 1;
        let (occasion, course) = match deed {
            Deed::Upgrade => (Occasion::Upgrade { revision }, Course::of_upgrade(spec)),
            _ => (Occasion::Install { revision }, Course::of_install(spec)),
        };
        let before = newest.as_ref().filter(|_| occasion.is_upgrade());
        let given = match before.filter(|_| occasion.preserves_values(spec)) {
            Some(before) => look.desired.values.over(before.config()),
            None => look.desired.values.clone(),
        };
        let of = render::Of {
            release: look.release.clone(),
            chart: look.chart.clone(),
            values: given.clone(),
            release_name: look.key.name.clone(),
            release_namespace: look.namespace.clone(),
            occasion,
        };
        let rendered = render::render(self, &look.actor, of).await?;
        let objects = rendered.to_apply()?;
        let now = Timestamp::now();
        let new = NewRelease {
            name: &look.key.name,
            namespace: &look.namespace,
            version: revision,
            status: course.status,
            description: course.description,
            first_deployed: before.and_then(Release::first_deployed).unwrap_or(now),
            at: now,
        };
        let release = Release::new(&new, &rendered, given.expose());
        let definitions = Definitions::new(occasion.crds(spec), rendered.definitions()?);
        let listed_before = self.list(&objects, definitions.entries(), look).await?;
        let steps = course.steps(definitions, &release);
        let attempt = look.attempt.clone();
        let ongoing = Ongoing::new(deed, course.how, look.key.clone(), release, attempt);
        Ok(Ongoing { objects, listed_before, steps, ..ongoing })
    }

    async fn begin_rollback(&mut self, to: i64, look: &Look) -> Result<Ongoing, Stop> {
        let rollback = look.release.spec.rollback.clone().unwrap_or_default();
        let storage = look.storage(&look.key);
        let gone = || Stop::Broken(format!("release has no {to} version"));
        let target = storage.get(to).await?.ok_or_else(gone)?;
        let newest = self.memory.own.deployed.as_ref().map(|deployed| deployed.release.clone());
        let release = target.rolled_back(newest.as_ref().unwrap_or(&target), Timestamp::now());
        let objects = manifest::objects(release.manifest())?;
        let listed_before = self.list(&objects, Vec::new(), look).await?;
        let deed = Deed::RollBack { to };
        let how = How {
            wait: !rollback.disable_wait,
            wait_for_jobs: !rollback.disable_wait_for_jobs,
            force: rollback.force,
            clean_up: rollback.cleanup_on_fail,
            ..How::of(deed, &look.release.spec)
        };
        let hooks = |event| (!rollback.disable_hooks).then(|| Ongoing::hooks(&release, event));
        let mut steps = VecDeque::from([Step::Record]);
        steps.extend(hooks(HookEvent::PreRollback));
        steps.push_back(Step::Apply);
        steps.extend(how.wait.then_some(Step::Wait));
        steps.extend(hooks(HookEvent::PostRollback));
        let ongoing = Ongoing::new(deed, how, look.key.clone(), release, look.attempt.clone());
        Ok(Ongoing { objects, listed_before, steps, ..ongoing })
    }

    async fn begin_test(&mut self, look: &Look) -> Result<Option<Ongoing>, Stop> {
        let spec = &look.release.spec;
        let Some(release) = newest(look, &look.key).await? else { return Ok(None) };
        let test = spec.test.clone().unwrap_or_default();
        let hooks = Hooks::new(&release, HookEvent::Test, |name| test.selects(name));
        let how = How::of(Deed::Test, spec);
        let ongoing = Ongoing::new(Deed::Test, how, look.key.clone(), release, look.attempt.clone());
        Ok(Some(Ongoing {
            is_recorded: true,
            listed_before: self.status.inventory.clone().unwrap_or_default(),
            steps: VecDeque::from([Step::Hooks(hooks)]),
            ..ongoing
        }))
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
}

/// How an install differs from an upgrade.
struct Course {
    how: How,
    status: ReleaseStatus,
    description: &'static str,
    creates_namespace: bool,
    refuses_foreign: bool,
    /// The events before and after it, unless no hooks are to be run.
    hooks: Option<(HookEvent, HookEvent)>,
}

impl Course {
    fn of_install(spec: &HelmReleaseSpec) -> Self {
        let install = spec.install.clone().unwrap_or_default();
        Self {
            how: How {
                wait: !install.disable_wait,
                wait_for_jobs: !install.disable_wait_for_jobs,
                ..How::of(Deed::Install, spec)
            },
            status: ReleaseStatus::PendingInstall,
            description: "Initial install underway",
            creates_namespace: install.create_namespace && spec.target_namespace.is_some(),
            refuses_foreign: install.disable_take_ownership,
            hooks: (!install.disable_hooks).then_some((HookEvent::PreInstall, HookEvent::PostInstall)),
        }
    }

    fn of_upgrade(spec: &HelmReleaseSpec) -> Self {
        let upgrade = spec.upgrade.clone().unwrap_or_default();
        Self {
            how: How {
                wait: !upgrade.disable_wait,
                wait_for_jobs: !upgrade.disable_wait_for_jobs,
                force: upgrade.force,
                clean_up: upgrade.cleanup_on_fail,
                ..How::of(Deed::Upgrade, spec)
            },
            status: ReleaseStatus::PendingUpgrade,
            description: "Preparing upgrade",
            creates_namespace: false,
            refuses_foreign: upgrade.disable_take_ownership,
            hooks: (!upgrade.disable_hooks).then_some((HookEvent::PreUpgrade, HookEvent::PostUpgrade)),
        }
    }

    fn steps(&self, definitions: Definitions, release: &Release) -> VecDeque<Step> {
        let (before, after) = self.hooks.unzip();
        let hooks = |event: Option<HookEvent>| event.map(|event| Ongoing::hooks(release, event));
        let mut steps = VecDeque::new();
        if !definitions.is_empty() {
            steps.push_back(Step::Definitions(definitions));
        }
        steps.extend(self.creates_namespace.then_some(Step::Namespace));
        steps.extend(self.refuses_foreign.then_some(Step::Ownership));
        steps.push_back(Step::Record);
        steps.extend(hooks(before));
        steps.push_back(Step::Apply);
        steps.extend(self.how.wait.then_some(Step::Wait));
        steps.extend(hooks(after));
        steps
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
    let objects = manifest::objects(release.manifest())?;
    release.set_deleted(Timestamp::now());
    release.set_status(ReleaseStatus::Uninstalling, "Deletion in progress (or silently failed)");
    let deed = Deed::Uninstall(why);
    let uninstall = spec.spec.uninstall.clone().unwrap_or_default();
    let how = How {
        wait: !uninstall.disable_wait,
        propagation: match uninstall.deletion_propagation {
            DeletionPropagation::Background => Propagation::Background,
            DeletionPropagation::Foreground => Propagation::Foreground,
            DeletionPropagation::Orphan => Propagation::Orphan,
        },
        ..How::of(deed, &spec.spec)
    };
    let hooks = |event| (!uninstall.disable_hooks).then(|| Ongoing::hooks(&release, event));
    let mut steps = VecDeque::from([Step::Record]);
    steps.extend(hooks(HookEvent::PreDelete));
    steps.push_back(Step::Delete);
    steps.extend(hooks(HookEvent::PostDelete));
    let ongoing = Ongoing::new(deed, how, key, release, look.attempt.clone());
    Ok(Some(Ongoing { objects, steps, ..ongoing }))
}

/// The newest record, with all that it has.
async fn newest(look: &Look, key: &Key) -> Result<Option<Release>, Failure> {
    let storage = look.storage(key);
    match storage.list().await?.pop() {
        Some(newest) => storage.get(newest.version).await,
        None => Ok(None),
    }
}
