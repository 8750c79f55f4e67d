//! SOPS itself, which encrypts what tests decrypt. Keys are made for each test and never kept.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::Context as _;

/// A key of age.
pub struct AgeKey {
    /// The file with the private key, as Secrets hold it under `*.agekey`.
    pub file: String,
    /// The public key.
    pub recipient: String,
}

impl AgeKey {
    /// A new key.
    pub fn generate() -> anyhow::Result<Self> {
        let output = Command::new(program("age-keygen")).output().context("cannot run age-keygen")?;
        anyhow::ensure!(output.status.success(), "age-keygen failed");
        let file = String::from_utf8(output.stdout)?;
        let recipient = file.lines().find_map(|line| line.strip_prefix("# public key: "));
        let recipient = recipient.context("age-keygen tells no public key")?.to_owned();
        Ok(Self { file, recipient })
    }

    /// Encrypts a text for this key. `kind` is what SOPS calls its format: `yaml`, `json`, `dotenv`, `ini` or `binary`.
    pub fn encrypt(&self, kind: &str, text: &str, more: &[&str]) -> anyhow::Result<String> {
        let mut arguments =
            vec!["encrypt", "--age", &self.recipient, "--input-type", kind, "--output-type", kind];
        arguments.extend(more);
        arguments.push("/dev/stdin");
        run(&arguments, text, &[])
    }

    /// The manifest of a Secret, encrypted as Flux recommends: what it holds, and not what it is.
    pub fn secret(&self, name: &str, key: &str, value: &str) -> anyhow::Result<String> {
        let text = format!(
            "apiVersion: v1\nkind: Secret\nmetadata:\n  name: {name}\nstringData:\n  {key}: {value}\n"
        );
        self.encrypt("yaml", &text, &["--encrypted-regex", "^(data|stringData)$"])
    }
}

/// Runs SOPS with a text as its standard input; what it prints.
pub fn run(arguments: &[&str], text: &str, variables: &[(&str, &str)]) -> anyhow::Result<String> {
    let mut child = Command::new(program("sops"))
        .args(arguments)
        .envs(variables.iter().copied())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .context("cannot run sops")?;
    child.stdin.take().context("sops has no input")?.write_all(text.as_bytes())?;
    let output = child.wait_with_output()?;
    anyhow::ensure!(output.status.success(), "sops failed: {}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8(output.stdout)?)
}

/// In `$PLUMB_TEST_SOPS`, which `cargo xtask test` sets, or where `cargo xtask servers` puts it.
fn program(name: &str) -> PathBuf {
    let directory = match std::env::var_os("PLUMB_TEST_SOPS") {
        Some(path) => PathBuf::from(path),
        None => PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../target/sops")),
    };
    directory.join(name)
}
