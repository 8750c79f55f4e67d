use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Args, ValueEnum};
use kube::Client;
use kube::api::{Api, Patch, PatchParams};
use plumb_api::{GitRepository, Kustomization};
use serde_json::{Value, json};

use crate::cluster::{self, Pace};
use crate::kinds::Reconciled;
use crate::output;

/// Names one object.
#[derive(Debug, Args)]
pub(crate) struct Target {
    /// The kind of the object.
    #[arg(value_enum)]
    pub(crate) kind: TargetKind,
    /// The name of the object.
    pub(crate) name: String,
    /// The namespace of the object.
    #[arg(long, short, default_value = "flux-system")]
    pub(crate) namespace: String,
}

/// The kinds of objects that are reconciled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum TargetKind {
    /// A Git repository.
    #[value(alias = "gitrepository", alias = "gitrepo")]
    Source,
    /// A Kustomization.
    #[value(alias = "ks")]
    Kustomization,
}

/// Stops the reconciliation of an object until it is resumed. What it has applied stays as it is, and drift is left alone.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  plumb suspend kustomization apps")]
pub(crate) struct Suspend {
    #[command(flatten)]
    target: Target,
}

/// Goes on with the reconciliation of a suspended object.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  plumb resume kustomization apps")]
pub(crate) struct Resume {
    #[command(flatten)]
    target: Target,
}

impl Suspend {
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        self.target.set_suspend(true)?;
        output::line(format_args!("{} suspended", self.target.name))?;
        Ok(ExitCode::SUCCESS)
    }
}

impl Resume {
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        self.target.set_suspend(false)?;
        output::line(format_args!("{} resumed", self.target.name))?;
        Ok(ExitCode::SUCCESS)
    }
}

impl Target {
    fn set_suspend(&self, suspend: bool) -> anyhow::Result<()> {
        let patch = json!({ "spec": { "suspend": suspend } });
        cluster::block_on(async {
            let client = cluster::client(Pace::Interactive).await?;
            match self.kind {
                TargetKind::Source => self.patch::<GitRepository>(client, &patch).await.map(|_| ()),
                TargetKind::Kustomization => self.patch::<Kustomization>(client, &patch).await.map(|_| ()),
            }
        })
    }

    /// Patches the object.
    pub(crate) async fn patch<K: Reconciled>(&self, client: Client, patch: &Value) -> anyhow::Result<K> {
        let api: Api<K> = Api::namespaced(client, &self.namespace);
        let patched = api.patch(&self.name, &PatchParams::default(), &Patch::Merge(patch)).await;
        patched
            .map_err(cluster::plain)
            .with_context(|| format!("cannot change {} {}/{}", K::kind(&()), self.namespace, self.name))
    }
}
