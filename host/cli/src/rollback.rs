use std::collections::HashSet;
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use clap::{Args, Subcommand};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Secret;
use kube::Client;
use kube::api::{Api, DeleteParams, Patch, PatchParams, PostParams};
use plumb_api::{HelmRelease, Object, ObjectId, ReleaseStatus};
use plumb_apply::RELEASE_FIELD_MANAGER;
use plumb_helm::hooks::HookEvent;
use plumb_helm::manifest;
use plumb_helm::objects::{Ownership, is_kept};
use plumb_helm::record::{self, Release, Write};
use serde_json::{Value, json};

use crate::cluster::{self, Pace};
use crate::comparison::Comparison;
use crate::history::records;
use crate::output;
use crate::reader::Reader;

/// Goes back to an earlier revision of a Helm release by hand, as `helm rollback` does.
///
/// The HelmRelease is suspended first, since it would go forward again at once; `plumb resume` lets it. All objects are tried by a dry
/// run before any is changed. It does not wait for them to be healthy.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  plumb rollback helmrelease web -n shop\n  plumb rollback hr web 3 -n shop"
)]
pub(crate) struct Rollback {
    #[command(subcommand)]
    of: Of,
}

#[derive(Debug, Subcommand)]
enum Of {
    /// The release of a HelmRelease.
    #[command(alias = "hr")]
    Helmrelease(OfRelease),
}

#[derive(Debug, Args)]
struct OfRelease {
    /// The name of the HelmRelease.
    name: String,
    /// The revision to go back to. Default: the newest before this one that worked.
    revision: Option<i64>,
    /// Its namespace.
    #[arg(long, short, default_value = "flux-system")]
    namespace: String,
    /// Go back although hooks of the release would have to run, and do not run them.
    #[arg(long)]
    no_hooks: bool,
}

impl Rollback {
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        let Of::Helmrelease(of) = self.of;
        cluster::block_on(of.run())?;
        Ok(ExitCode::SUCCESS)
    }
}

impl OfRelease {
    async fn run(&self) -> anyhow::Result<()> {
        let what = format!("HelmRelease {}/{}", self.namespace, self.name);
        let client = cluster::client(Pace::Interactive).await?;
        let api: Api<HelmRelease> = Api::namespaced(client.clone(), &self.namespace);
        let release = api.get(&self.name).await.map_err(cluster::plain);
        let release = release.with_context(|| format!("cannot read {what}"))?;
        if release.spec.kube_config.is_some() {
            bail!("{what} is released to another cluster; suspend it, and use `helm rollback` there");
        }
        let records = records(client.clone(), &release).await.map_err(cluster::plain)?;
        let (current, target) = chosen(&records, self.revision)?;
        if !self.no_hooks && has_rollback_hooks(target) {
            bail!(
                "revision {} has hooks that run at a rollback, which is not done here: suspend {what} and use `helm rollback`, or leave \
                 them out with --no-hooks",
                target.version()
            );
        }
        let suspended = json!({"spec": {"suspend": true}});
        api.patch(&self.name, &PatchParams::default(), &Patch::Merge(&suspended))
            .await
            .map_err(cluster::plain)?;
        output::note(format_args!(
            "{what} is suspended; `plumb resume hr {}` lets it go forward again",
            self.name
        ));
        let going = Going { reader: Reader::connect().await?, client, release: &release };
        going.back(&records, current, target).await?;
        output::line(format_args!(
            "{what} is back at revision {}, as revision {}",
            target.version(),
            current.version() + 1
        ))
    }
}

/// The newest record, and the one to go back to.
fn chosen(records: &[Release], revision: Option<i64>) -> anyhow::Result<(&Release, &Release)> {
    let Some(current) = records.iter().max_by_key(|record| record.version()) else {
        bail!("the release has no records; nothing was installed, or they are in another namespace");
    };
    if current.status().is_pending() {
        bail!(
            "revision {} is {}: somebody is at work, or was; try again later",
            current.version(),
            current.status()
        );
    }
    let worked =
        |record: &&Release| matches!(record.status(), ReleaseStatus::Superseded | ReleaseStatus::Deployed);
    let earlier = records.iter().filter(|record| record.version() < current.version());
    let target = match revision {
        Some(revision) => records.iter().find(|record| record.version() == revision),
        None => earlier.filter(worked).max_by_key(|record| record.version()),
    };
    let Some(target) = target else {
        let known: Vec<String> = records.iter().map(|record| record.version().to_string()).collect();
        let wanted = revision
            .map_or("an earlier one that worked".to_owned(), |revision| format!("revision {revision}"));
        bail!("the release does not have {wanted}; it has {}", known.join(", "));
    };
    Ok((current, target))
}

fn has_rollback_hooks(release: &Release) -> bool {
    let runs = |event| release.hooks().iter().any(|hook| hook.runs_at(event));
    runs(HookEvent::PreRollback) || runs(HookEvent::PostRollback)
}

/// The objects of a revision, marked as Helm does.
fn marked(record: &Release, ownership: &Ownership<'_>) -> anyhow::Result<Vec<Object>> {
    let mut marked = Vec::new();
    for object in manifest::objects(record.manifest())? {
        let mut fields = Value::Object(object.fields().clone());
        ownership.mark(&mut fields);
        marked.push(Object::new(fields)?);
    }
    Ok(marked)
}

/// A rollback that is being done.
struct Going<'a> {
    reader: Reader,
    client: Client,
    release: &'a HelmRelease,
}

impl Going<'_> {
    async fn back(&self, records: &[Release], current: &Release, target: &Release) -> anyhow::Result<()> {
        let wanted = self.objects(target).await?;
        self.apply(&wanted, true).await.context("nothing was changed")?;
        for old in record::to_prune(records, self.release.spec.max_history()) {
            let name = record::secret_name(old.name(), old.version());
            self.secrets().delete(&name, &DeleteParams::default()).await.map_err(cluster::plain)?;
        }
        let mut next = target.rolled_back(current, Timestamp::now());
        self.write(&next, Write::Create).await?;
        let done = self.change(&wanted, current).await;
        if let Err(error) = &done {
            next.set_status(ReleaseStatus::Failed, &format!("Rollback \"{}\" failed: {error}", next.name()));
        } else {
            next.set_status(ReleaseStatus::Deployed, &format!("Rollback to {}", target.version()));
            for deployed in records.iter().filter(|record| record.status() == ReleaseStatus::Deployed) {
                let mut deployed = deployed.clone();
                deployed.supersede();
                self.write(&deployed, Write::Update).await?;
            }
        }
        self.write(&next, Write::Update).await?;
        done
    }

    /// The objects of a revision, each in its namespace and marked as Helm does.
    async fn objects(&self, record: &Release) -> anyhow::Result<Vec<Object>> {
        let metadata = &self.release.metadata;
        let ownership = Ownership {
            release_name: record.name(),
            release_namespace: record.namespace(),
            name: metadata.name.as_deref().unwrap_or_default(),
            namespace: metadata.namespace.as_deref().unwrap_or_default(),
        };
        let found = marked(record, &ownership)?;
        let placed = Comparison::new(self.client.clone()).place(found, Some(record.namespace())).await?;
        Ok(placed.iter().map(|object| Object::clone(object)).collect())
    }

    /// Applies what is wanted, and deletes what only the current revision has.
    async fn change(&self, wanted: &[Object], current: &Release) -> anyhow::Result<()> {
        self.apply(wanted, false).await?;
        let stay: HashSet<ObjectId> = wanted.iter().map(Object::id).collect();
        for object in self.objects(current).await?.iter().rev() {
            let fields = Value::Object(object.fields().clone());
            if stay.contains(&object.id()) || is_kept(&fields) {
                continue;
            }
            let (api, name) = self.place_of(object)?;
            match api.delete(&name, &DeleteParams::background()).await {
                Err(kube::Error::Api(status)) if status.code == 404 => {}
                Err(error) => return Err(cluster::plain(error)).with_context(|| object.id().human()),
                Ok(_) => output::note(format_args!("{} deleted", object.id().human())),
            }
        }
        Ok(())
    }

    async fn apply(&self, wanted: &[Object], dry_run: bool) -> anyhow::Result<()> {
        let params = PatchParams { dry_run, ..PatchParams::apply(RELEASE_FIELD_MANAGER).force() };
        for object in wanted {
            let (api, name) = self.place_of(object)?;
            let applied = api.patch(&name, &params, &Patch::Apply(object.fields())).await;
            applied.map_err(cluster::plain).with_context(|| object.id().human())?;
        }
        Ok(())
    }

    fn place_of(&self, object: &Object) -> anyhow::Result<(Api<kube::api::DynamicObject>, String)> {
        let id = object.id();
        let entry = self.reader.catalog.get(&id.group_kind);
        let entry = entry.with_context(|| format!("the cluster serves no kind {}", id.group_kind))?;
        let namespace = Some(id.namespace.as_str()).filter(|_| entry.is_namespaced);
        Ok((self.reader.api(entry, namespace), id.name.clone()))
    }

    async fn write(&self, record: &Release, write: Write) -> anyhow::Result<()> {
        let secret = record::encode(record, write, Timestamp::now())?;
        let name = secret.metadata.name.clone().unwrap_or_default();
        let written = match write {
            Write::Create => self.secrets().create(&PostParams::default(), &secret).await,
            Write::Update => {
                self.secrets().patch(&name, &PatchParams::default(), &Patch::Merge(&secret)).await
            }
        };
        written.map_err(cluster::plain).with_context(|| format!("cannot write Secret {name}")).map(|_| ())
    }

    fn secrets(&self) -> Api<Secret> {
        Api::namespaced(self.client.clone(), &self.release.storage_namespace())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use rstest::rstest;

    use super::*;

    fn record(stored: &Value) -> Release {
        let data = base64_of(&base64_of(&stored.to_string()));
        record::decode(&serde_json::from_value(json!({"data": {"release": data}})).unwrap()).unwrap()
    }

    fn records() -> Vec<Release> {
        let of = |(version, status): (i64, &str)| {
            record(&json!({"name": "web", "version": version, "info": {"status": status}}))
        };
        [(1, "superseded"), (2, "superseded"), (3, "failed"), (4, "deployed")].map(of).into()
    }

    #[test]
    fn the_manifest_is_read_as_helm_does() {
        let manifest = "apiVersion: v1\nkind: Widget\nmetadata: {name: a}\nspec: {mode: 0644, fast: yes}\n---\napiVersion: v1\nkind: List\n\
                        items: [{apiVersion: v1, kind: ConfigMap, metadata: {name: b}}]\n";
        let record = record(&json!({
            "name": "web", "namespace": "shop", "version": 1, "info": {"status": "deployed"}, "manifest": manifest,
        }));
        let ownership =
            Ownership { release_name: "web", release_namespace: "shop", name: "web", namespace: "apps" };
        let objects = marked(&record, &ownership).unwrap();
        assert_eq!(objects[0].fields()["spec"], json!({"mode": 420, "fast": true}));
        assert_eq!(objects[1].name(), "b");
        assert!(
            objects
                .iter()
                .all(|object| object.pointer("/metadata/annotations/meta.helm.sh~1release-name").is_some())
        );
    }

    fn base64_of(text: &str) -> String {
        use base64::Engine as _;
        base64::engine::general_purpose::STANDARD.encode(text)
    }

    #[rstest]
    #[case::the_last_that_worked(None, Ok(2))]
    #[case::any_that_is_named(Some(3), Ok(3))]
    #[case::none_that_is_not_there(Some(7), Err("the release does not have revision 7; it has 1, 2, 3, 4"))]
    fn the_revision_is_chosen_as_by_helm(#[case] revision: Option<i64>, #[case] expected: Result<i64, &str>) {
        let records = records();
        let chosen = chosen(&records, revision);
        let chosen = chosen.map(|(_, target)| target.version()).map_err(|error| error.to_string());
        assert_eq!(chosen, expected.map_err(ToOwned::to_owned));
    }

    #[test]
    fn nobody_who_is_at_work_is_disturbed() {
        let mut records = records();
        records[3].set_status(ReleaseStatus::PendingUpgrade, "");
        assert!(chosen(&records, None).err().unwrap().to_string().contains("somebody is at work"));
        assert!(chosen(&[], None).err().unwrap().to_string().contains("no records"));
    }
}
