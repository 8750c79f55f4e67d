//! The same work for each contender, phase by phase: HelmReleases of one chart of a Helm repository.

use std::path::Path;

use serde_json::{Value, json};

use crate::chart::{REPOSITORY, Server, release, repository};
use crate::load::Kind;
use crate::run::{self, Run, Work, has_image, is_ready};

const WORK: Work = Work {
    bench: "releases",
    kind: Kind::HelmRelease,
    watched: &[Kind::HelmRepository, Kind::HelmRelease, Kind::Deployment],
    finalized: &[Kind::HelmRelease, Kind::HelmChart, Kind::HelmRepository],
};

/// Measures all phases for each number of applications, and compares.
pub(crate) async fn measure(apps: &[u32], peer: Option<&Path>) -> anyhow::Result<()> {
    run::measure(WORK, apps, peer, phases).await
}

async fn phases(run: &mut Run<'_>) -> anyhow::Result<()> {
    let server = Server::start().await?;
    install(run, &server).await?;
    run.sync_without_change().await?;
    upgrade(run).await?;
    run.restart().await
}

async fn install(run: &mut Run<'_>, server: &Server) -> anyhow::Result<()> {
    let before = run.begin().await?;
    run.load.create(Kind::HelmRepository, vec![repository(&run.namespace, server.origin())]).await?;
    // As with a real cluster, the repository is there first: neither has to wait for it.
    let source = [REPOSITORY.to_owned()];
    run.board.until(Kind::HelmRepository, &source, "the repository is ready", is_ready).await?;
    let releases = (0..run.apps).map(|app| release(&run.namespace, app)).collect();
    run.load.create(Kind::HelmRelease, releases).await?;
    run.board.until(Kind::HelmRelease, &run.names, "all are installed", is_released(1)).await?;
    let figure = run.end("install", before).await?;
    run.keep(figure)
}

/// Every HelmRelease gets another image by its values.
async fn upgrade(run: &mut Run<'_>) -> anyhow::Result<()> {
    let before = run.begin().await?;
    let values = json!({"spec": {"values": {"image": {"tag": "v2"}}}});
    run.load.patch(Kind::HelmRelease, &run.names, &values).await?;
    run.board.until(Kind::Deployment, &run.names, "all have the new version", has_image(2)).await?;
    run.board.until(Kind::HelmRelease, &run.names, "all are upgraded", is_released(2)).await?;
    let figure = run.end("values-upgrade", before).await?;
    run.keep(figure)
}

/// Whether the HelmRelease is ready, with this revision of its release.
fn is_released(revision: u32) -> impl Fn(&Value) -> bool {
    move |object| {
        let newest = object.pointer("/status/history/0");
        let has = |field: &str, value: Value| newest.is_some_and(|newest| newest[field] == value);
        is_ready(object) && has("version", revision.into()) && has("status", "deployed".into())
    }
}
