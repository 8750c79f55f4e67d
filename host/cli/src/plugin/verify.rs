//! `plumb plugin verify`.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use super::registry::Connection;
use super::signatures::{self, PublicKey, Signer};
use crate::output;

/// Says whether a plugin was signed with a key, as `cosign verify --key` does. Answers 1 when it was not.
#[derive(Debug, Args)]
pub(crate) struct Verify {
    /// What to verify: oci://REGISTRY/REPOSITORY with a tag or digest.
    artifact: String,
    /// The public key in PEM.
    #[arg(long)]
    key: PathBuf,
    #[command(flatten)]
    connection: Connection,
}

impl Verify {
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        let key = PublicKey::read(&self.key)?;
        let (name, found, by_key) = self.connection.run(&self.artifact, async |registry| {
            let digest = registry.digest().await?;
            let found = signatures::of(&registry, &digest).await?;
            let by_key =
                found.iter().filter(|found| found.signer(Some(&key), &digest) == Signer::Key).count();
            Ok((format!("oci://{}@{digest}", registry.repository()), found.len(), by_key))
        })?;
        let key = self.key.display();
        if by_key > 0 {
            output::line(format_args!("{name} is signed with {key}"))?;
            return Ok(ExitCode::SUCCESS);
        }
        let others = if found == 0 {
            "it has no signature".to_owned()
        } else {
            format!("it has {found} other signatures")
        };
        output::line(format_args!("{name} is not signed with {key}: {others}"))?;
        Ok(ExitCode::from(1))
    }
}
