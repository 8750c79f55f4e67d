//! From Flux's controllers to Plumbline, and back.

mod artifacts;
mod changes;
mod flux;
mod handover;
mod releases;
mod report;
mod survey;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::anyhow;
use clap::Args;

use crate::cluster;
use crate::local::PluginDir;
use crate::output::{self, Format};
use crate::reader::Reader;

/// Reports what would change if Plumbline took over from Flux's source-, kustomize- and helm-controller, and hands over when told to.
///
/// Without --yes nothing is changed. With it, Flux's controllers are scaled to zero, and once they are gone Plumbline is started; with
/// --back it is the other way round. No object is deleted or made anew, and nothing is released again: both use the same API, inventories,
/// labels, field managers and records.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  plumb migrate --source flux-system/flux-system=.\n  plumb migrate --yes\n  plumb migrate --back --yes"
)]
pub(crate) struct Migrate {
    /// Hand over, instead of only saying what that would do.
    #[arg(long)]
    yes: bool,
    /// From Plumbline back to Flux.
    #[arg(long)]
    back: bool,
    /// The namespace of Flux's controllers.
    #[arg(long, default_value = "flux-system")]
    flux_namespace: String,
    /// The namespace of Plumbline's controller.
    #[arg(long, default_value = "plumbline-system")]
    plumbline_namespace: String,
    /// Look only at objects of this namespace.
    #[arg(long, short)]
    namespace: Option<String>,
    /// A directory that holds the files of a source, instead of those that Flux serves. Can be given more than once.
    #[arg(long = "source", value_name = "NAMESPACE/NAME=DIRECTORY", value_parser = source)]
    sources: Vec<(SourceName, PathBuf)>,
    /// Show the fields that would change.
    #[arg(long)]
    diff: bool,
    /// The container image of the controller, where Plumbline is not installed yet. Default: the one of this version.
    #[arg(long)]
    image: Option<String>,
    /// How the report is printed.
    #[arg(long, short, value_enum, default_value_t = Format::Table)]
    output: Format,
    #[command(flatten)]
    plugins: PluginDir,
}

/// A source, as `--source` names it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct SourceName {
    namespace: String,
    name: String,
}

fn source(text: &str) -> anyhow::Result<(SourceName, PathBuf)> {
    let parts =
        text.split_once('=').and_then(|(source, directory)| Some((source.split_once('/')?, directory)));
    let ((namespace, name), directory) = parts.ok_or_else(|| {
        anyhow!("write it as NAMESPACE/NAME=DIRECTORY, for example flux-system/flux-system=.")
    })?;
    let name = SourceName { namespace: namespace.to_owned(), name: name.to_owned() };
    Ok((name, PathBuf::from(directory)))
}

impl Migrate {
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        cluster::block_on(async {
            let reader = Reader::connect().await?;
            match (self.back, self.yes) {
                (false, false) => self.report(&reader).await,
                (false, true) => {
                    let survey = survey::survey(
                        &reader,
                        &self.flux_namespace,
                        &self.plumbline_namespace,
                        self.namespace.as_deref(),
                    )
                    .await?;
                    handover::take_over(&reader, &survey.report, self.image.as_deref()).await
                }
                (true, yes) => {
                    handover::give_back(&reader, &self.flux_namespace, &self.plumbline_namespace, yes).await
                }
            }
        })?;
        Ok(ExitCode::SUCCESS)
    }

    async fn report(&self, reader: &Reader) -> anyhow::Result<()> {
        let mut survey = survey::survey(
            reader,
            &self.flux_namespace,
            &self.plumbline_namespace,
            self.namespace.as_deref(),
        )
        .await?;
        survey.report.changes =
            changes::changes(reader, &survey.kustomizations, &self.sources, &self.plugins).await?;
        survey.report.changes.extend(releases::changes(reader, &survey.releases).await);
        match self.output {
            Format::Table => {
                output::write(format_args!("{}", survey.report.text()))?;
                for text in
                    survey.report.changes.iter().flat_map(|changes| &changes.diffs).filter(|_| self.diff)
                {
                    crate::diff::print(text)?;
                }
            }
            format => output::structured(&survey.report, format)?,
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn a_source_is_named_with_its_directory() {
        let (name, directory) = source("flux-system/repo=a=b").unwrap();
        assert_eq!((&*name.namespace, &*name.name, directory), ("flux-system", "repo", PathBuf::from("a=b")));
        assert!(source("repo=.").is_err() && source("flux-system/repo").is_err());
    }
}
