//! Why an object is not ready, and what it waits for.

mod objects;
mod situation;
mod story;
#[cfg(test)]
mod tests;

use std::process::ExitCode;

use clap::Args;

use crate::judges::{Judges, JudgingPlugins};
use crate::reader::Reader;
use crate::{cluster, output};

/// Says in a paragraph why an object is not ready, what it waits for, and what to do.
///
/// The way is followed from the object to its source, along its dependencies, to the objects that are not well, their pods and their
/// events. Any kind can be asked about: a Kustomization, a source, a Deployment.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  plumb explain kustomization/apps\n  plumb explain ks apps -n team-a\n  plumb explain deployment/web -n default"
)]
pub(crate) struct Explain {
    /// The object, as KIND/NAME or as KIND NAME.
    #[arg(required = true, num_args = 1.., value_name = "KIND/NAME")]
    objects: Vec<String>,
    /// The namespace of the object.
    #[arg(long, short, default_value = "flux-system")]
    namespace: String,
    #[command(flatten)]
    plugins: JudgingPlugins,
}

impl Explain {
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        let judges = Judges::load(&self.plugins)?;
        let texts = cluster::block_on(async {
            let reader = Reader::connect().await?;
            let mut texts = Vec::new();
            for subject in reader.named(&self.objects, &self.namespace).await? {
                texts.push(story::tell(&situation::look(&reader, &judges, subject).await));
            }
            Ok(texts)
        })?;
        output::line(format_args!("{}", texts.join("\n\n")))?;
        Ok(ExitCode::SUCCESS)
    }
}
