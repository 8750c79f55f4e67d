//! `plumb plugin inspect`.

use std::process::ExitCode;
use std::str::FromStr;

use clap::Args;
use plumb_plugin::Limits;

use super::registry::{Connection, Registry};
use super::signatures::{self, PublicKey, Signer};
use super::{cases, runner, test};
use crate::output;

/// Says what a plugin is: its world, what it imports and wants to be granted, its size and digest, and who has signed it.
///
/// With golden cases beside it, also how much of its limits the case that needs most uses.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  plumb plugin inspect target/team-label.wasm\n  \
                  plumb plugin inspect oci://ghcr.io/my-team/team-label:1.0 --key cosign.pub")]
pub(crate) struct Inspect {
    /// A file with a component, or oci://REGISTRY/REPOSITORY with a tag or digest.
    plugin: Subject,
    /// A public key: who of the signers has it is shown. Only for oci://.
    #[arg(long)]
    key: Option<std::path::PathBuf>,
    /// The folder of the plugin, whose golden cases are run to tell how much of its limits it uses. Only for a file.
    #[arg(long)]
    cases: Option<std::path::PathBuf>,
    #[command(flatten)]
    connection: Connection,
}

/// What is looked at.
#[derive(Clone, Debug)]
enum Subject {
    File(std::path::PathBuf),
    Artifact(String),
}

impl FromStr for Subject {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(if text.starts_with("oci://") { Self::Artifact(text.to_owned()) } else { Self::File(text.into()) })
    }
}

impl Inspect {
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        match &self.plugin {
            Subject::File(file) => {
                describe(&runner::read(file)?)?;
                if let Some(directory) = &self.cases {
                    usage(file, directory)?;
                }
            }
            Subject::Artifact(reference) => {
                let key = self.key.as_deref().map(PublicKey::read).transpose()?;
                self.connection.run(reference, async |registry| artifact(&registry, key.as_ref()).await)?;
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

async fn artifact(registry: &Registry, key: Option<&PublicKey>) -> anyhow::Result<()> {
    let pulled = registry.pull().await?;
    row("artifact", &pulled.digest)?;
    for (name, value) in &pulled.annotations {
        row("annotation", &format!("{name}={value}"))?;
    }
    describe(&pulled.component)?;
    let found = signatures::of(registry, &pulled.digest).await?;
    if found.is_empty() {
        row("signed by", "nobody")?;
    }
    for signature in found {
        let who = match signature.signer(key, &pulled.digest) {
            Signer::Key => "the key that was given".to_owned(),
            Signer::Certificate => {
                "a certificate (verify it with cosign, or in a cluster by spec.verify)".to_owned()
            }
            Signer::Unknown if key.is_none() => "a key (give it with --key to check it)".to_owned(),
            Signer::Unknown => "another key".to_owned(),
        };
        row("signed by", &who)?;
    }
    Ok(())
}

/// What the bytes tell, and whether the host takes them.
fn describe(component: &[u8]) -> anyhow::Result<()> {
    let host = runner::host()?;
    let told = host.inspect("it", component)?;
    row("digest", &told.digest)?;
    row("size", &size(component.len()))?;
    for made in &told.producers {
        row("made with", format!("{} {}", made.name, made.version).trim_end())?;
    }
    for import in &told.imports {
        row("imports", import)?;
    }
    for export in &told.exports {
        row("exports", export)?;
    }
    row("world", &host.load("it", component)?.world().to_string())?;
    let wants: Vec<_> = told.wants.iter().map(|capability| capability.name()).collect();
    match wants[..] {
        [] => row("wants", "nothing: it is a pure function"),
        _ => row("wants", &wants.join(", ")),
    }
}

/// The most that any case uses.
fn usage(file: &std::path::Path, directory: &std::path::Path) -> anyhow::Result<()> {
    let plugin = runner::load(&runner::host()?, file)?;
    let mut most: Option<(String, plumb_plugin::Usage)> = None;
    for case in cases::find(directory)? {
        let input = case.input()?;
        let call = input.call()?;
        case.run(&plugin, &input, &call)?;
        let usage = call.used.usage();
        if most.as_ref().is_none_or(|(_, so_far)| so_far.memory_bytes < usage.memory_bytes) {
            most = Some((case.name, usage));
        }
    }
    let Some((case, usage)) = most else { return Ok(()) };
    row("uses", &format!("{} (case {case})", test::used(&usage)))?;
    let limits = Limits::default();
    row("", &format!("output {} of {}", size(usage.output_bytes), size(limits.output_bytes)))?;
    row("", &format!("log {} of {}", size(usage.log_bytes), size(limits.log_bytes)))
}

fn row(name: &str, value: &str) -> anyhow::Result<()> {
    output::line(format_args!("{name:<11}{value}"))
}

/// Bytes as people read them: 1.4 MiB.
pub(super) fn size(bytes: usize) -> String {
    #[expect(clippy::cast_precision_loss, reason = "it is rounded anyway")]
    let bytes = bytes as f64;
    match bytes {
        _ if bytes < 1024.0 => format!("{bytes} B"),
        _ if bytes < 1024.0 * 1024.0 => format!("{:.1} KiB", bytes / 1024.0),
        _ if bytes < 1024.0 * 1024.0 * 1024.0 => format!("{:.1} MiB", bytes / 1024.0 / 1024.0),
        _ => format!("{:.1} GiB", bytes / 1024.0 / 1024.0 / 1024.0),
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    #[rstest]
    #[case(0, "0 B")]
    #[case(1023, "1023 B")]
    #[case(1536, "1.5 KiB")]
    #[case(5 << 20, "5.0 MiB")]
    #[case(1 << 30, "1.0 GiB")]
    fn sizes_are_for_people(#[case] bytes: usize, #[case] text: &str) {
        assert_eq!(super::size(bytes), text);
    }
}
