//! How an action ends: what the records say of it.

use jiff::Timestamp;
use plumb_api::{Inventory, InventoryEntry, ReleaseStatus};
use plumb_apply::Propagation;
use plumb_helm::decide::Action as Deed;
use plumb_helm::record::Release;

use super::deployed::Deployed;
use super::step::Ongoing;
use super::storage::Storage;
use super::{Look, Turn};
use crate::applier::apply;
use crate::applier::failure::Failure;

impl Turn<'_> {
    /// Writes into the records how an action has ended, and returns those that were changed.
    pub(super) async fn write_end(
        &mut self,
        ongoing: &mut Ongoing,
        look: &Look,
    ) -> Result<Vec<Release>, Failure> {
        let key = ongoing.key.clone();
        let storage = look.storage(&key);
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
}
