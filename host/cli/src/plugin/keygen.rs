//! `plumb plugin keygen`.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Args;
use sigstore::crypto::SigningScheme;

use super::keys;
use crate::output;

/// Makes a pair of keys for signing plugins, as `cosign generate-key-pair` does.
///
/// The private key, PREFIX.key, is encrypted with the password in COSIGN_PASSWORD. The public one, PREFIX.pub, belongs into the Secret that
/// `spec.verify.secretRef` of a Plugin names.
#[derive(Debug, Args)]
pub(crate) struct Keygen {
    /// The names of the files, without .key and .pub.
    #[arg(long, default_value = "cosign")]
    output_key_prefix: PathBuf,
}

impl Keygen {
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        let password = keys::password()?;
        let pair = SigningScheme::ECDSA_P256_SHA256_ASN1
            .create_signer()
            .and_then(|signer| signer.to_sigstore_keypair());
        let pair = pair.context("cannot make a key")?;
        let private = pair.private_key_to_encrypted_pem(password.expose().as_bytes());
        let private = private.context("cannot encrypt the private key")?;
        let public = pair.public_key_to_pem().context("cannot write the public key")?;
        let file = |extension: &str| {
            let mut name = self.output_key_prefix.clone().into_os_string();
            name.push(extension);
            PathBuf::from(name)
        };
        write_new(&file(".key"), private.as_bytes(), 0o600)?;
        write_new(&file(".pub"), public.as_bytes(), 0o644)?;
        output::line(format_args!("{} and {}", file(".key").display(), file(".pub").display()))?;
        Ok(ExitCode::SUCCESS)
    }
}

/// A key that is there may be the only one of what was signed with it.
fn write_new(file: &Path, bytes: &[u8], mode: u32) -> anyhow::Result<()> {
    let opened = OpenOptions::new().write(true).create_new(true).mode(mode).open(file);
    let written = opened.and_then(|mut opened| opened.write_all(bytes));
    written.with_context(|| format!("cannot write {}, which must not exist yet", file.display()))
}
