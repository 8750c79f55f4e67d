//! The same work for each contender, phase by phase: Kustomizations of one Git repository.

use std::path::Path;
use std::time::Instant;

use plumb_test_support::{GitRepo, GitServer, GitServerOptions};
use serde_json::{Value, json};

use crate::load::Kind;
use crate::report::{Each, Figure, OneApp, say};
use crate::run::{self, Run, Work, has_image, is_ready};
use crate::workload::{self, CHAIN, SOURCE};

/// How many objects are changed by hand.
const DRIFTS: u32 = 100;
/// How many Kustomizations wait for each other in a row, and how many commits go through them.
const LINKS: u32 = 11;
const CHAINS: u32 = 10;

const WORK: Work = Work {
    bench: "controller",
    kind: Kind::Kustomization,
    watched: &[Kind::GitRepository, Kind::Kustomization, Kind::Deployment],
    finalized: &[Kind::Kustomization, Kind::GitRepository],
};

/// Measures all phases for each number of applications, and compares.
pub(crate) async fn measure(apps: &[u32], peer: Option<&Path>) -> anyhow::Result<()> {
    run::measure(WORK, apps, peer, phases).await
}

async fn phases(run: &mut Run<'_>) -> anyhow::Result<()> {
    Kustomizations::of(run)?.phases().await
}

/// The Kustomizations of a run, and the repository that they are of.
struct Kustomizations<'a, 'b> {
    run: &'a mut Run<'b>,
    repository: GitRepo,
    server: GitServer,
}

impl<'a, 'b> Kustomizations<'a, 'b> {
    fn of(run: &'a mut Run<'b>) -> anyhow::Result<Self> {
        let repository = GitRepo::new()?;
        for app in 0..run.apps {
            workload::write(&repository, &run.namespace, app, 1)?;
        }
        repository.commit("All applications")?;
        let server = GitServer::start(&repository.root(), GitServerOptions::default())?;
        Ok(Self { run, repository, server })
    }

    async fn phases(&mut self) -> anyhow::Result<()> {
        self.install().await?;
        self.run.sync_without_change().await?;
        self.commit_to_one().await?;
        self.commit_to_all().await?;
        self.run.restart().await?;
        if self.run.contender.repairs_at_once() {
            self.repair_drift().await?;
            self.wake_dependants().await?;
        } else {
            let note = "puts drift back at the next interval, and looks for dependencies every few seconds";
            say(&format!("{:<10} {note}", self.run.contender.name()));
        }
        Ok(())
    }

    async fn install(&mut self) -> anyhow::Result<()> {
        let before = self.run.begin().await?;
        let source = workload::source(&self.run.namespace, SOURCE, &self.server.url());
        self.run.load.create(Kind::GitRepository, vec![source]).await?;
        // As with a real cluster, the source is there first: neither has to wait for it.
        let source = [SOURCE.to_owned()];
        self.run.board.until(Kind::GitRepository, &source, "the source is ready", is_ready).await?;
        let kustomizations =
            (0..self.run.apps).map(|app| workload::kustomization(&self.run.namespace, app)).collect();
        self.run.load.create(Kind::Kustomization, kustomizations).await?;
        self.run.board.until(Kind::Kustomization, &self.run.names, "all are ready", is_ready).await?;
        let figure = self.run.end("install", before).await?;
        self.run.keep(figure)
    }

    async fn commit_to_one(&mut self) -> anyhow::Result<()> {
        workload::write(&self.repository, &self.run.namespace, 0, 2)?;
        let commit = self.repository.commit("A new version of one application")?;
        let before = self.run.begin().await?;
        self.run.load.ask(Kind::GitRepository, &[SOURCE.to_owned()]).await?;
        self.run
            .board
            .until(Kind::Deployment, &[workload::name(0)], "it has the new version", has_image(2))
            .await?;
        let changed_app_seconds = before.at.elapsed().as_secs_f64();
        self.all_at(&commit).await?;
        let figure = self.run.end("one-app-commit", before).await?;
        self.run.keep(Figure { one: Some(OneApp { changed_app_seconds }), ..figure })
    }

    async fn commit_to_all(&mut self) -> anyhow::Result<()> {
        for app in 0..self.run.apps {
            workload::write(&self.repository, &self.run.namespace, app, 3)?;
        }
        let commit = self.repository.commit("A new version of all applications")?;
        let before = self.run.begin().await?;
        self.run.load.ask(Kind::GitRepository, &[SOURCE.to_owned()]).await?;
        self.run
            .board
            .until(Kind::Deployment, &self.run.names, "all have the new version", has_image(3))
            .await?;
        self.all_at(&commit).await?;
        let figure = self.run.end("all-apps-commit", before).await?;
        self.run.keep(figure)
    }

    async fn repair_drift(&mut self) -> anyhow::Result<()> {
        let mut took = Vec::new();
        let before = self.run.begin().await?;
        for app in 0..DRIFTS.min(self.run.apps) {
            let name = [workload::name(app)];
            let changed = json!({"spec": {"revisionHistoryLimit": workload::HISTORY + 7}});
            let since = Instant::now();
            self.run.load.patch(Kind::Deployment, &name, &changed).await?;
            self.run
                .board
                .until(Kind::Deployment, &name, "the change is seen", has_history(workload::HISTORY + 7))
                .await?;
            self.run
                .board
                .until(Kind::Deployment, &name, "it is put back", has_history(workload::HISTORY))
                .await?;
            took.push(since.elapsed());
        }
        let figure = self.run.end("drift-repair", before).await?;
        self.run.keep(Figure { each: Some(Each::of(&took)), ..figure })
    }

    /// A chain, each link of which depends on the one before. What is timed is what a link waits after the one before is ready at a
    /// commit, until it is ready at it itself, both as one watch shows them: the wake, a render from the cache, and the write of the status.
    async fn wake_dependants(&mut self) -> anyhow::Result<()> {
        // A repository of its own: its commits are nobody else's.
        let repository = GitRepo::new()?;
        let names: Vec<String> = (0..LINKS).map(workload::link_name).collect();
        for link in 0..LINKS {
            workload::write_link(&repository, &self.run.namespace, link)?;
        }
        repository.commit("A chain of dependencies")?;
        let server = GitServer::start(&repository.root(), GitServerOptions::default())?;
        let source = workload::source(&self.run.namespace, CHAIN, &server.url());
        self.run.load.create(Kind::GitRepository, vec![source]).await?;
        let links = (0..LINKS).map(|link| workload::link(&self.run.namespace, link)).collect();
        self.run.load.create(Kind::Kustomization, links).await?;
        self.run.board.until(Kind::Kustomization, &names, "the chain is ready", is_ready).await?;

        let before = self.run.begin().await?;
        let mut took = Vec::new();
        for time in 0..CHAINS {
            repository.write("README.md", format!("Time {time}\n"))?;
            let commit = repository.commit("Nothing that is rendered")?;
            self.run.load.ask(Kind::GitRepository, &[CHAIN.to_owned()]).await?;
            let mut ready = Vec::new();
            for name in &names {
                let link = std::slice::from_ref(name);
                self.run
                    .board
                    .until(Kind::Kustomization, link, "the chain is at the commit", is_at(&commit))
                    .await?;
                ready.extend(self.run.board.seen_at(Kind::Kustomization, name));
            }
            let pairs = ready.iter().zip(ready.iter().skip(1));
            took.extend(pairs.map(|(before, link)| link.saturating_duration_since(*before)));
        }
        let figure = self.run.end("dependency-wake", before).await?;
        self.run.keep(Figure { each: Some(Each::of(&took)), ..figure })
    }

    async fn all_at(&mut self, commit: &str) -> anyhow::Result<()> {
        self.run
            .board
            .until(Kind::Kustomization, &self.run.names, "all are at the new commit", is_at(commit))
            .await
    }
}

fn is_at(commit: &str) -> impl Fn(&Value) -> bool {
    move |object| {
        let revision = object.pointer("/status/lastAppliedRevision").and_then(Value::as_str);
        revision.is_some_and(|revision| revision.ends_with(commit)) && is_ready(object)
    }
}

fn has_history(limit: i64) -> impl Fn(&Value) -> bool {
    move |object| object.pointer("/spec/revisionHistoryLimit").and_then(Value::as_i64) == Some(limit)
}
