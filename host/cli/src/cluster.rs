//! The cluster that a command speaks to.

use std::time::Duration;

use anyhow::{Context as _, anyhow};
use kube::{Client, Config};

/// Runs a command that waits for a cluster.
pub(crate) fn block_on<T>(work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    tokio::runtime::Runtime::new().context("cannot start the runtime")?.block_on(work)
}

/// For how long a request may wait for its answer.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Pace {
    /// As long as the API server lets a watch be silent.
    Watching,
    /// Somebody sits before the terminal.
    Interactive,
}

/// A client of the cluster of KUBECONFIG, or of the one this pod runs in.
pub(crate) async fn client(pace: Pace) -> anyhow::Result<Client> {
    let mut config = Config::infer().await.context(
        "no cluster: set KUBECONFIG to a kubeconfig file, put one into ~/.kube/config, or run in a pod",
    )?;
    // The API server ends every watch within five minutes; what is silent for longer is a dead connection.
    config.read_timeout = Some(match pace {
        Pace::Interactive => Duration::from_secs(60),
        Pace::Watching => Duration::from_secs(330),
    });
    Client::try_from(config).context("the kubeconfig cannot be used")
}

/// What the API server said, without the structure around it.
pub(crate) fn plain(error: kube::Error) -> anyhow::Error {
    match error {
        kube::Error::Api(status) if !status.message.is_empty() => anyhow!(status.message),
        error => error.into(),
    }
}
