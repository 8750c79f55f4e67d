//! The code of Sealed Secrets itself, which seals what tests unseal. Keys are made for each test and never kept.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::Context as _;
use serde_json::{Value, json};

/// A key that seals.
pub struct SealingKey {
    /// The private key, as the controller of Sealed Secrets stores it under `tls.key`.
    pub private: String,
    certificate: String,
}

impl SealingKey {
    /// A new key.
    pub fn generate() -> anyhow::Result<Self> {
        let made = run("keygen", &json!({}))?;
        let text = |name: &str| made[name].as_str().map(str::to_owned).context("keygen tells no key");
        Ok(Self { private: text("tls.key")?, certificate: text("tls.crt")? })
    }

    /// The manifest of the SealedSecret that a Secret becomes. In which scope, its annotations say.
    pub fn seal(&self, secret: &Value) -> anyhow::Result<String> {
        let sealed = run("seal", &json!({"certificate": self.certificate, "secret": secret}))?;
        Ok(serde_json::to_string_pretty(&sealed)?)
    }
}

fn run(what: &str, asked: &Value) -> anyhow::Result<Value> {
    let mut child = Command::new(program())
        .arg(what)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .context("cannot run target/sealed-secrets; `cargo xtask servers` builds it")?;
    child.stdin.take().context("the program has no input")?.write_all(asked.to_string().as_bytes())?;
    let output = child.wait_with_output()?;
    anyhow::ensure!(output.status.success(), "{what} failed: {}", String::from_utf8_lossy(&output.stderr));
    Ok(serde_json::from_slice(&output.stdout)?)
}

/// `$PLUMB_TEST_SEALED_SECRETS`, which `cargo xtask test` sets, or where `cargo xtask servers` puts it.
fn program() -> PathBuf {
    let built = || PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../target/sealed-secrets"));
    std::env::var_os("PLUMB_TEST_SEALED_SECRETS").map_or_else(built, PathBuf::from)
}
