//! The same work for each contender, phase by phase.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use plumb_test_support::cluster::Cluster;
use plumb_test_support::controller::install_crds;
use plumb_test_support::{GitRepo, GitServer, GitServerOptions};
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::board::Board;
use crate::contender::{Contender, Team, flux_in};
use crate::load::{Kind, Load};
use crate::metrics::{self, Requests};
use crate::report::{Each, Figure, OneApp, Own, say};
use crate::workload::{self, CHAIN, SOURCE};

/// How many objects are changed by hand.
const DRIFTS: u32 = 100;
/// How many Kustomizations wait for each other in a row, and how many commits go through them.
const LINKS: u32 = 11;
const CHAINS: u32 = 10;
/// After a phase, the cluster is quiet when so long nothing was asked.
const QUIET: Duration = Duration::from_secs(2);
/// It is waited for quiet at the most so long: what is still sent then counts for the next phase.
const NEVER_QUIET: Duration = Duration::from_secs(60);
/// How long a controller that was killed has to look at everything.
const RESTART: Duration = Duration::from_secs(3600);
/// How long the cluster has to delete everything.
const CLEAN_UP: Duration = Duration::from_secs(900);

/// Measures all phases for each number of applications, and compares.
///
/// Every run has a namespace of its own, which is deleted at its end, however it ends.
pub(crate) async fn measure(apps: &[u32], peer: Option<&Path>) -> anyhow::Result<()> {
    let peer = peer.map(flux_in).transpose()?;
    let cluster = Cluster::from_env().await?;
    install_crds(&cluster).await?;
    let plugins = tempfile::tempdir()?;
    let plumbline = Contender::Plumbline { plugin_cache: plugins.path().to_owned() };
    for &apps in apps {
        let own = measure_one(&cluster, &plumbline, apps).await?;
        let Some(peer) = &peer else { continue };
        for of_peer in measure_one(&cluster, peer, apps).await? {
            if let Some(of_us) = own.iter().find(|figure| figure.phase == of_peer.phase) {
                of_us.print_ratio(&of_peer)?;
            }
        }
    }
    Ok(())
}

async fn measure_one(cluster: &Cluster, contender: &Contender, apps: u32) -> anyhow::Result<Vec<Figure>> {
    ensure!(apps > 0, "--apps: there is nothing to measure with 0");
    say(&format!("\n{}: {apps} Kustomizations with 4 objects each", contender.name()));
    let mut run = Run::prepare(cluster, contender, apps).await?;
    let measured = run.phases().await;
    let measured = measured.with_context(|| format!("{} has logged:\n{}", contender.name(), run.team.log()));
    let figures = run.clean_up().await;
    measured?;
    figures
}

struct Run<'a> {
    cluster: &'a Cluster,
    contender: &'a Contender,
    apps: u32,
    names: Vec<String>,
    namespace: String,
    repository: GitRepo,
    server: GitServer,
    load: Load,
    board: Board,
    team: Team,
    figures: Vec<Figure>,
}

/// What everything stood at when a phase began.
struct Before {
    at: Instant,
    cpu_seconds: f64,
    requests: Requests,
    sent: Requests,
    own: Own,
}

impl<'a> Run<'a> {
    async fn prepare(cluster: &'a Cluster, contender: &'a Contender, apps: u32) -> anyhow::Result<Self> {
        let namespace = cluster.namespace(&format!("bench-{}", contender.name())).await?;
        let repository = GitRepo::new()?;
        for app in 0..apps {
            workload::write(&repository, &namespace, app, 1)?;
        }
        repository.commit("All applications")?;
        let server = GitServer::start(&repository.root(), GitServerOptions::default())?;
        let team = contender.start(cluster, &namespace).await?;
        let board = Board::watch(&cluster.client, &namespace).await?;
        let load = Load::new(cluster.client.clone(), namespace.clone());
        let names = (0..apps).map(workload::name).collect();
        let figures = Vec::new();
        Ok(Self {
            cluster,
            contender,
            apps,
            names,
            namespace,
            repository,
            server,
            load,
            board,
            team,
            figures,
        })
    }

    /// Ends the contender and deletes everything, so that the next run finds the cluster as this one did. Returns the figures.
    async fn clean_up(self) -> anyhow::Result<Vec<Figure>> {
        let Self { cluster, namespace, mut load, team, board, figures, .. } = self;
        // The board takes an object that vanishes for a mistake.
        drop((team, board));
        load.release(&[Kind::Kustomization, Kind::GitRepository]).await?;
        let all = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}});
        cluster.delete(&all).await?;
        let since = Instant::now();
        while cluster.get(&all).await?.is_some() {
            ensure!(since.elapsed() < CLEAN_UP, "namespace {namespace} is still there after {CLEAN_UP:?}");
            sleep(Duration::from_millis(500)).await;
        }
        Ok(figures)
    }

    async fn phases(&mut self) -> anyhow::Result<()> {
        self.install().await?;
        self.sync_without_change().await?;
        self.commit_to_one().await?;
        self.commit_to_all().await?;
        self.restart().await?;
        if self.contender.repairs_at_once() {
            self.repair_drift().await?;
            self.wake_dependants().await?;
        } else {
            let note = "puts drift back at the next interval, and looks for dependencies every few seconds";
            say(&format!("{:<10} {note}", self.contender.name()));
        }
        Ok(())
    }

    async fn install(&mut self) -> anyhow::Result<()> {
        let before = self.begin().await?;
        let source = workload::source(&self.namespace, SOURCE, &self.server.url());
        self.load.create(Kind::GitRepository, vec![source]).await?;
        // As with a real cluster, the source is there first: neither has to wait for it.
        let source = [SOURCE.to_owned()];
        self.board.until(Kind::GitRepository, &source, "the source is ready", is_ready).await?;
        let kustomizations =
            (0..self.apps).map(|app| workload::kustomization(&self.namespace, app)).collect();
        self.load.create(Kind::Kustomization, kustomizations).await?;
        self.board.until(Kind::Kustomization, &self.names, "all are ready", is_ready).await?;
        let figure = self.end("install", before).await?;
        self.keep(figure)
    }

    async fn sync_without_change(&mut self) -> anyhow::Result<()> {
        let before = self.begin().await?;
        let token = self.load.ask(Kind::Kustomization, &self.names).await?;
        let handled = |object: &Value| {
            object.pointer("/status/lastHandledReconcileAt").and_then(Value::as_str) == Some(&token)
                && is_ready(object)
        };
        self.board.until(Kind::Kustomization, &self.names, "all are looked at", handled).await?;
        let figure = self.end("no-change-sync", before).await?;
        self.keep(figure)
    }

    async fn commit_to_one(&mut self) -> anyhow::Result<()> {
        workload::write(&self.repository, &self.namespace, 0, 2)?;
        let commit = self.repository.commit("A new version of one application")?;
        let before = self.begin().await?;
        self.load.ask(Kind::GitRepository, &[SOURCE.to_owned()]).await?;
        self.board
            .until(Kind::Deployment, &[workload::name(0)], "it has the new version", has_image(2))
            .await?;
        let changed_app_seconds = before.at.elapsed().as_secs_f64();
        self.all_at(&commit).await?;
        let figure = self.end("one-app-commit", before).await?;
        self.keep(Figure { one: Some(OneApp { changed_app_seconds }), ..figure })
    }

    async fn commit_to_all(&mut self) -> anyhow::Result<()> {
        for app in 0..self.apps {
            workload::write(&self.repository, &self.namespace, app, 3)?;
        }
        let commit = self.repository.commit("A new version of all applications")?;
        let before = self.begin().await?;
        self.load.ask(Kind::GitRepository, &[SOURCE.to_owned()]).await?;
        self.board.until(Kind::Deployment, &self.names, "all have the new version", has_image(3)).await?;
        self.all_at(&commit).await?;
        let figure = self.end("all-apps-commit", before).await?;
        self.keep(figure)
    }

    async fn restart(&mut self) -> anyhow::Result<()> {
        let mut before = self.begin().await?;
        self.team.restart()?;
        // The new processes count from zero.
        before.cpu_seconds = 0.0;
        before.own = Own::default();
        // That nothing has changed is written nowhere; their metrics tell.
        while self.looked_at().await? < self.names.len() {
            ensure!(before.at.elapsed() < RESTART, "not all were looked at {RESTART:?} after a restart");
            sleep(Duration::from_millis(100)).await;
        }
        let figure = self.end("restart", before).await?;
        self.keep(figure)
    }

    async fn repair_drift(&mut self) -> anyhow::Result<()> {
        let mut took = Vec::new();
        let before = self.begin().await?;
        for app in 0..DRIFTS.min(self.apps) {
            let name = [workload::name(app)];
            let changed = json!({"spec": {"revisionHistoryLimit": workload::HISTORY + 7}});
            let since = Instant::now();
            self.load.patch(Kind::Deployment, &name, &changed).await?;
            self.board
                .until(Kind::Deployment, &name, "the change is seen", has_history(workload::HISTORY + 7))
                .await?;
            self.board
                .until(Kind::Deployment, &name, "it is put back", has_history(workload::HISTORY))
                .await?;
            took.push(since.elapsed());
        }
        let figure = self.end("drift-repair", before).await?;
        self.keep(Figure { each: Some(Each::of(&took)), ..figure })
    }

    /// A chain, each link of which depends on the one before. What is timed is what a link waits after the one before is ready at a
    /// commit, until it is ready at it itself, both as one watch shows them: the wake, a render from the cache, and the write of the status.
    async fn wake_dependants(&mut self) -> anyhow::Result<()> {
        // A repository of its own: its commits are nobody else's.
        let repository = GitRepo::new()?;
        let names: Vec<String> = (0..LINKS).map(workload::link_name).collect();
        for link in 0..LINKS {
            workload::write_link(&repository, &self.namespace, link)?;
        }
        repository.commit("A chain of dependencies")?;
        let server = GitServer::start(&repository.root(), GitServerOptions::default())?;
        let source = workload::source(&self.namespace, CHAIN, &server.url());
        self.load.create(Kind::GitRepository, vec![source]).await?;
        let links = (0..LINKS).map(|link| workload::link(&self.namespace, link)).collect();
        self.load.create(Kind::Kustomization, links).await?;
        self.board.until(Kind::Kustomization, &names, "the chain is ready", is_ready).await?;

        let before = self.begin().await?;
        let mut took = Vec::new();
        for time in 0..CHAINS {
            repository.write("README.md", format!("Time {time}\n"))?;
            let commit = repository.commit("Nothing that is rendered")?;
            self.load.ask(Kind::GitRepository, &[CHAIN.to_owned()]).await?;
            let mut ready = Vec::new();
            for name in &names {
                let link = std::slice::from_ref(name);
                self.board
                    .until(Kind::Kustomization, link, "the chain is at the commit", is_at(&commit))
                    .await?;
                ready.extend(self.board.seen_at(Kind::Kustomization, name));
            }
            let pairs = ready.iter().zip(ready.iter().skip(1));
            took.extend(pairs.map(|(before, link)| link.saturating_duration_since(*before)));
        }
        let figure = self.end("dependency-wake", before).await?;
        self.keep(Figure { each: Some(Each::of(&took)), ..figure })
    }

    async fn all_at(&mut self, commit: &str) -> anyhow::Result<()> {
        self.board.until(Kind::Kustomization, &self.names, "all are at the new commit", is_at(commit)).await
    }

    async fn looked_at(&self) -> anyhow::Result<usize> {
        match self.team.metrics().await {
            Some(page) => metrics::looked_at(&page, &self.namespace),
            None => Ok(0),
        }
    }

    async fn begin(&self) -> anyhow::Result<Before> {
        let requests = self.quiet().await?;
        self.team.forget_peak()?;
        Ok(Before {
            cpu_seconds: self.team.cpu_seconds()?,
            requests,
            sent: self.load.sent().clone(),
            own: self.own().await?,
            at: Instant::now(),
        })
    }

    /// The phase is done. What still follows, such as events, is waited for, and counts, but for the time.
    async fn end(&self, phase: &'static str, before: Before) -> anyhow::Result<Figure> {
        let seconds = before.at.elapsed().as_secs_f64();
        let requests = self.quiet().await?.since(&before.requests);
        let own = self.own().await?;
        let repairs_at_once = self.contender.repairs_at_once();
        Ok(Figure {
            bench: "controller",
            who: self.contender.name(),
            apps: self.apps,
            phase,
            seconds,
            cpu_seconds: self.team.cpu_seconds()? - before.cpu_seconds,
            peak_memory_mib: self.team.peak_memory_mib()?,
            requests: requests.since(&self.load.sent().since(&before.sent)),
            own: repairs_at_once.then_some(Own {
                renders: own.renders.saturating_sub(before.own.renders),
                applies: own.applies.saturating_sub(before.own.applies),
            }),
            one: None,
            each: None,
        })
    }

    /// The API server's count, once nothing was added to it for a while.
    async fn quiet(&self) -> anyhow::Result<Requests> {
        let deadline = Instant::now() + NEVER_QUIET;
        let mut last = self.requests().await?;
        loop {
            sleep(QUIET).await;
            let now = self.requests().await?;
            if now == last || Instant::now() > deadline {
                return Ok(now);
            }
            last = now;
        }
    }

    async fn requests(&self) -> anyhow::Result<Requests> {
        let request = http::Request::get("/metrics").body(Vec::new())?;
        let page = self.cluster.client.request_text(request).await;
        Requests::of_api_server(&page.context("the API server does not show its metrics")?)
    }

    async fn own(&self) -> anyhow::Result<Own> {
        let Some(page) = self.team.metrics().await else { return Ok(Own::default()) };
        Ok(Own {
            renders: metrics::sum(&page, "plumb_renders_total", &[("cached", "false")])?,
            applies: metrics::sum(&page, "plumb_api_requests_total", &[("verb", "apply")])?,
        })
    }

    fn keep(&mut self, figure: Figure) -> anyhow::Result<()> {
        figure.print()?;
        self.figures.push(figure);
        Ok(())
    }
}

fn is_ready(object: &Value) -> bool {
    plumb_test_support::cluster::is_ready(object)
}

fn is_at(commit: &str) -> impl Fn(&Value) -> bool {
    move |object| {
        let revision = object.pointer("/status/lastAppliedRevision").and_then(Value::as_str);
        revision.is_some_and(|revision| revision.ends_with(commit)) && is_ready(object)
    }
}

fn has_image(version: u32) -> impl Fn(&Value) -> bool {
    let image = workload::image(version);
    move |object| {
        object.pointer("/spec/template/spec/containers/0/image").and_then(Value::as_str) == Some(&image)
    }
}

fn has_history(limit: i64) -> impl Fn(&Value) -> bool {
    move |object| object.pointer("/spec/revisionHistoryLimit").and_then(Value::as_i64) == Some(limit)
}
