//! `plumb plugin sign`.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use super::keys;
use super::registry::Connection;
use super::signatures::{self, PrivateKey, Signer};
use crate::output;

/// Signs a plugin that was pushed, as `cosign sign --key` does.
///
/// What a tag points to now is signed by its digest. The password of the key is taken from COSIGN_PASSWORD. Signing again with the same key changes nothing.
#[derive(Debug, Args)]
pub(crate) struct Sign {
    /// What to sign: oci://REGISTRY/REPOSITORY with a tag or digest.
    artifact: String,
    /// The private key, as `plumb plugin keygen` or cosign makes it.
    #[arg(long)]
    key: PathBuf,
    #[command(flatten)]
    connection: Connection,
}

impl Sign {
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        let key = PrivateKey::read(&self.key, &keys::password()?)?;
        let public = key.public()?;
        let signed = self.connection.run(&self.artifact, async |registry| {
            let digest = registry.digest().await?;
            let present = signatures::of(&registry, &digest).await?;
            if !present.iter().any(|signature| signature.signer(Some(&public), &digest) == Signer::Key) {
                signatures::add(&registry, &digest, key.sign(&registry, &digest)?).await?;
            }
            Ok(format!("oci://{}@{digest}", registry.repository()))
        })?;
        output::line(format_args!("{signed} is signed"))?;
        Ok(ExitCode::SUCCESS)
    }
}
