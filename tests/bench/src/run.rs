//! A namespace in which one contender does its work, phase by phase, and what everything stood at when a phase began.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use plumb_test_support::cluster::Cluster;
use plumb_test_support::controller::install_crds;
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::board::Board;
use crate::contender::{Contender, Team, flux_in};
use crate::load::{Kind, Load};
use crate::metrics::{self, Requests};
use crate::report::{Figure, Own, say};

/// After a phase, the cluster is quiet when so long nothing was asked.
const QUIET: Duration = Duration::from_secs(2);
/// It is waited for quiet at the most so long: what is still sent then counts for the next phase.
const NEVER_QUIET: Duration = Duration::from_secs(60);
/// How long a controller that was killed has to look at everything.
const RESTART: Duration = Duration::from_secs(3600);
/// How long the cluster has to delete everything.
const CLEAN_UP: Duration = Duration::from_secs(900);

/// What is measured, in the terms of all benchmarks of controllers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Work {
    /// The name in figures.
    pub(crate) bench: &'static str,
    /// The kind of which each application has one object.
    pub(crate) kind: Kind,
    /// The kinds that the benchmark writes or looks at.
    pub(crate) watched: &'static [Kind],
    /// The kinds whose finalizers have to be taken off at the end.
    pub(crate) finalized: &'static [Kind],
}

/// Has every contender go through the phases for each number of applications, and compares.
///
/// Every run has a namespace of its own, which is deleted at its end, however it ends.
pub(crate) async fn measure(
    work: Work,
    apps: &[u32],
    peer: Option<&Path>,
    phases: impl AsyncFn(&mut Run<'_>) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let peer = peer.map(|binaries| flux_in(binaries, work.kind)).transpose()?;
    let cluster = Cluster::from_env().await?;
    install_crds(&cluster).await?;
    let plugins = tempfile::tempdir()?;
    let plumbline = Contender::Plumbline { plugin_cache: plugins.path().to_owned() };
    plumbline.prepare().await?;
    for &apps in apps {
        let mut run = Run::prepare(&cluster, &plumbline, work, apps).await?;
        let measured = phases(&mut run).await;
        let own = run.clean_up(measured).await?;
        let Some(peer) = &peer else { continue };
        let mut run = Run::prepare(&cluster, peer, work, apps).await?;
        let measured = phases(&mut run).await;
        compare(&own, &run.clean_up(measured).await?)?;
    }
    Ok(())
}

/// One contender at one work with one number of applications. Its namespace is deleted by [`clean_up`](Self::clean_up).
pub(crate) struct Run<'a> {
    cluster: &'a Cluster,
    pub(crate) contender: &'a Contender,
    work: Work,
    pub(crate) apps: u32,
    /// The names of the applications.
    pub(crate) names: Vec<String>,
    pub(crate) namespace: String,
    pub(crate) load: Load,
    pub(crate) board: Board,
    team: Team,
    figures: Vec<Figure>,
}

/// What everything stood at when a phase began.
pub(crate) struct Before {
    pub(crate) at: Instant,
    cpu_seconds: f64,
    requests: Requests,
    sent: Requests,
    own: Own,
}

impl<'a> Run<'a> {
    /// Makes the namespace and starts the contender.
    async fn prepare(
        cluster: &'a Cluster,
        contender: &'a Contender,
        work: Work,
        apps: u32,
    ) -> anyhow::Result<Self> {
        ensure!(apps > 0, "--apps: there is nothing to measure with 0");
        say(&format!("\n{}: {apps} {:?}s with 4 objects each", contender.name(), work.kind));
        let namespace = cluster.namespace(&format!("bench-{}", contender.name())).await?;
        let team = contender.start(cluster, &namespace, work.kind).await?;
        let board = Board::watch(&cluster.client, &namespace, work.watched).await?;
        let load = Load::new(cluster.client.clone(), namespace.clone());
        let names = (0..apps).map(crate::workload::name).collect();
        Ok(Self { cluster, contender, work, apps, names, namespace, load, board, team, figures: Vec::new() })
    }

    /// Ends the contender and deletes everything, so that the next run finds the cluster as this one did. Returns the figures, or why the
    /// phases ended early, with what the contender has logged.
    async fn clean_up(self, measured: anyhow::Result<()>) -> anyhow::Result<Vec<Figure>> {
        let measured =
            measured.with_context(|| format!("{} has logged:\n{}", self.contender.name(), self.team.log()));
        let figures = self.delete().await;
        measured?;
        figures
    }

    async fn delete(self) -> anyhow::Result<Vec<Figure>> {
        let Self { cluster, namespace, work, mut load, team, board, figures, .. } = self;
        // The board takes an object that vanishes for a mistake.
        drop((team, board));
        load.release(work.finalized).await?;
        let all = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}});
        cluster.delete(&all).await?;
        let since = Instant::now();
        while cluster.get(&all).await?.is_some() {
            ensure!(since.elapsed() < CLEAN_UP, "namespace {namespace} is still there after {CLEAN_UP:?}");
            sleep(Duration::from_millis(500)).await;
        }
        Ok(figures)
    }

    /// All are asked for a reconciliation, and nothing has changed.
    pub(crate) async fn sync_without_change(&mut self) -> anyhow::Result<()> {
        let before = self.begin().await?;
        let token = self.load.ask(self.work.kind, &self.names).await?;
        let handled = |object: &Value| {
            object.pointer("/status/lastHandledReconcileAt").and_then(Value::as_str) == Some(&token)
                && is_ready(object)
        };
        self.board.until(self.work.kind, &self.names, "all are looked at", handled).await?;
        let figure = self.end("no-change-sync", before).await?;
        self.keep(figure)
    }

    /// The contender is killed and started again.
    pub(crate) async fn restart(&mut self) -> anyhow::Result<()> {
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

    async fn looked_at(&self) -> anyhow::Result<usize> {
        match self.team.metrics().await {
            Some(page) => metrics::looked_at(&page, self.work.kind.name(), &self.namespace),
            None => Ok(0),
        }
    }

    /// Waits until the cluster is quiet, and notes what everything stands at.
    pub(crate) async fn begin(&self) -> anyhow::Result<Before> {
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
    pub(crate) async fn end(&self, phase: &'static str, before: Before) -> anyhow::Result<Figure> {
        let seconds = before.at.elapsed().as_secs_f64();
        let requests = self.quiet().await?.since(&before.requests);
        let own = self.own().await?;
        let repairs_at_once = self.contender.repairs_at_once();
        Ok(Figure {
            bench: self.work.bench,
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

    /// Prints a figure, and keeps it to be compared.
    pub(crate) fn keep(&mut self, figure: Figure) -> anyhow::Result<()> {
        figure.print()?;
        self.figures.push(figure);
        Ok(())
    }
}

/// Prints how many times as much the peer took in each phase that both have.
fn compare(own: &[Figure], peer: &[Figure]) -> anyhow::Result<()> {
    for of_peer in peer {
        if let Some(of_us) = own.iter().find(|figure| figure.phase == of_peer.phase) {
            of_us.print_ratio(of_peer)?;
        }
    }
    Ok(())
}

/// Whether an object is ready as its spec is now.
pub(crate) fn is_ready(object: &Value) -> bool {
    plumb_test_support::cluster::is_ready(object)
}

/// Whether a Deployment has the image of a version.
pub(crate) fn has_image(version: u32) -> impl Fn(&Value) -> bool {
    let image = crate::workload::image(version);
    move |object| {
        object.pointer("/spec/template/spec/containers/0/image").and_then(Value::as_str) == Some(&image)
    }
}
