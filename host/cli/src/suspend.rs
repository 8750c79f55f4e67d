use std::process::ExitCode;

use anyhow::{Context as _, bail};
use clap::{Args, ValueEnum};
use kube::Client;
use kube::api::{Api, Patch, PatchParams};
use plumb_api::{
    Bucket, GitRepository, HelmChart, HelmRelease, HelmRepository, Kustomization, OciRepository, Pipeline,
};
use serde_json::{Value, json};

use crate::cluster::{self, Pace};
use crate::kinds::Reconciled;
use crate::output;

/// Names one object.
#[derive(Debug, Args)]
pub(crate) struct Target {
    /// The kind of the object; after `source`, also Flux's word for the kind of source: `git`, `oci`, `bucket`, `helm` or `chart`.
    #[arg(value_enum)]
    kind: TargetKind,
    /// The name of the object.
    #[arg(num_args = 1..=2, required = true, value_name = "NAME")]
    words: Vec<String>,
    /// The namespace of the object.
    #[arg(long, short, default_value = "flux-system")]
    pub(crate) namespace: String,
}

/// The kinds of objects that can be reconciled and suspended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum TargetKind {
    /// A Git repository, or a source of the kind that follows.
    Source,
    /// A Git repository.
    #[value(alias = "gitrepo")]
    Gitrepository,
    /// An OCI artifact.
    #[value(alias = "ocirepo")]
    Ocirepository,
    /// A bucket of an object store.
    Bucket,
    /// A repository of Helm charts.
    #[value(alias = "helmrepo")]
    Helmrepository,
    /// A Helm chart.
    #[value(alias = "hc")]
    Helmchart,
    /// A Kustomization.
    #[value(alias = "ks")]
    Kustomization,
    /// A HelmRelease.
    #[value(alias = "hr")]
    Helmrelease,
    /// A Pipeline.
    #[value(alias = "pipe")]
    Pipeline,
}

/// Stops the reconciliation of an object until it is resumed. What it has applied stays as it is, and drift is left alone.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  plumb suspend kustomization apps\n  plumb suspend source oci manifests")]
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
        let object = self.target.object()?;
        object.set_suspend(true)?;
        output::line(format_args!("{} suspended", object.name))?;
        Ok(ExitCode::SUCCESS)
    }
}

impl Resume {
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        let object = self.target.object()?;
        object.set_suspend(false)?;
        output::line(format_args!("{} resumed", object.name))?;
        Ok(ExitCode::SUCCESS)
    }
}

/// The kinds of objects that are reconciled here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ObjectKind {
    GitRepository,
    OciRepository,
    Bucket,
    HelmRepository,
    HelmChart,
    Kustomization,
    HelmRelease,
    Pipeline,
}

/// One object.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Object {
    pub(crate) kind: ObjectKind,
    pub(crate) name: String,
    pub(crate) namespace: String,
}

impl Target {
    /// The object that the words name.
    pub(crate) fn object(&self) -> anyhow::Result<Object> {
        let words: Vec<&str> = self.words.iter().map(String::as_str).collect();
        let (kind, name) = match (self.kind, words.as_slice()) {
            (TargetKind::Source | TargetKind::Gitrepository, [name]) => (ObjectKind::GitRepository, *name),
            (TargetKind::Ocirepository, [name]) => (ObjectKind::OciRepository, *name),
            (TargetKind::Bucket, [name]) => (ObjectKind::Bucket, *name),
            (TargetKind::Helmrepository, [name]) => (ObjectKind::HelmRepository, *name),
            (TargetKind::Helmchart, [name]) => (ObjectKind::HelmChart, *name),
            (TargetKind::Kustomization, [name]) => (ObjectKind::Kustomization, *name),
            (TargetKind::Helmrelease, [name]) => (ObjectKind::HelmRelease, *name),
            (TargetKind::Pipeline, [name]) => (ObjectKind::Pipeline, *name),
            (TargetKind::Source, ["git", name]) => (ObjectKind::GitRepository, *name),
            (TargetKind::Source, ["oci", name]) => (ObjectKind::OciRepository, *name),
            (TargetKind::Source, ["bucket", name]) => (ObjectKind::Bucket, *name),
            (TargetKind::Source, ["helm", name]) => (ObjectKind::HelmRepository, *name),
            (TargetKind::Source, ["chart", name]) => (ObjectKind::HelmChart, *name),
            (TargetKind::Source, [kind, _]) => {
                bail!("{kind:?} is no kind of source; use git, oci, bucket, helm or chart")
            }
            (_, words) => bail!("one name is expected, not {words:?}"),
        };
        Ok(Object { kind, name: name.to_owned(), namespace: self.namespace.clone() })
    }
}

impl Object {
    fn set_suspend(&self, suspend: bool) -> anyhow::Result<()> {
        let patch = json!({ "spec": { "suspend": suspend } });
        cluster::block_on(async {
            let client = cluster::client(Pace::Interactive).await?;
            match self.kind {
                ObjectKind::GitRepository => self.patch::<GitRepository>(client, &patch).await.map(|_| ()),
                ObjectKind::OciRepository => self.patch::<OciRepository>(client, &patch).await.map(|_| ()),
                ObjectKind::Bucket => self.patch::<Bucket>(client, &patch).await.map(|_| ()),
                ObjectKind::HelmRepository => self.patch::<HelmRepository>(client, &patch).await.map(|_| ()),
                ObjectKind::HelmChart => self.patch::<HelmChart>(client, &patch).await.map(|_| ()),
                ObjectKind::Kustomization => self.patch::<Kustomization>(client, &patch).await.map(|_| ()),
                ObjectKind::HelmRelease => self.patch::<HelmRelease>(client, &patch).await.map(|_| ()),
                ObjectKind::Pipeline => self.patch::<Pipeline>(client, &patch).await.map(|_| ()),
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use clap::Parser;
    use rstest::rstest;

    use super::*;

    #[derive(Parser)]
    struct Command {
        #[command(flatten)]
        target: Target,
    }

    fn object(words: &str) -> anyhow::Result<Object> {
        Command::try_parse_from(std::iter::once("plumb").chain(words.split(' ')))?.target.object()
    }

    #[rstest]
    #[case("source apps", ObjectKind::GitRepository)]
    #[case("source git apps", ObjectKind::GitRepository)]
    #[case("gitrepository apps", ObjectKind::GitRepository)]
    #[case("source oci apps", ObjectKind::OciRepository)]
    #[case("ocirepository apps", ObjectKind::OciRepository)]
    #[case("source bucket apps", ObjectKind::Bucket)]
    #[case("bucket apps", ObjectKind::Bucket)]
    #[case("source helm apps", ObjectKind::HelmRepository)]
    #[case("helmrepository apps", ObjectKind::HelmRepository)]
    #[case("source chart apps", ObjectKind::HelmChart)]
    #[case("helmchart apps", ObjectKind::HelmChart)]
    #[case("ks apps", ObjectKind::Kustomization)]
    #[case("hr apps", ObjectKind::HelmRelease)]
    #[case("helmrelease apps", ObjectKind::HelmRelease)]
    #[case("pipeline apps", ObjectKind::Pipeline)]
    fn objects_are_named_as_in_flux(#[case] words: &str, #[case] kind: ObjectKind) {
        let expected = Object { kind, name: "apps".to_owned(), namespace: "flux-system".to_owned() };
        assert_eq!(object(words).unwrap(), expected);
    }

    #[rstest]
    #[case("source svn apps", "\"svn\" is no kind of source; use git, oci, bucket, helm or chart")]
    #[case("ks apps more", "one name is expected, not [\"apps\", \"more\"]")]
    fn what_is_wrong_is_told(#[case] words: &str, #[case] message: &str) {
        assert_eq!(object(words).unwrap_err().to_string(), message);
    }
}
