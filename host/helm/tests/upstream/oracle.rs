//! The Go program that says what upstream makes of something.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::LazyLock;

use serde_json::Value;

/// Built once for all tests. Go keeps what it has compiled, so it is quick when nothing has changed.
static PROGRAM: LazyLock<PathBuf> = LazyLock::new(|| {
    let program = Path::new(env!("CARGO_TARGET_TMPDIR")).join("helm-oracle");
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/helm");
    let mut go = Command::new("go");
    go.args(["build", "-trimpath", "-buildvcs=false", "-o"]).arg(&program).arg(".").current_dir(sources);
    let built = go.output().expect("Go is installed; `cargo xtask setup` does that");
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    program
});

/// The answers to requests, in their order.
pub(crate) fn ask(requests: &[Value]) -> Vec<Value> {
    let mut oracle =
        Command::new(&*PROGRAM).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("it was built");
    let mut input = oracle.stdin.take().expect("it is piped");
    let lines: String = requests.iter().map(|request| format!("{request}\n")).collect();
    // It answers while it reads, so that one side must not wait for the other.
    let writer = std::thread::spawn(move || input.write_all(lines.as_bytes()));
    let output = oracle.wait_with_output().expect("it ends");
    writer.join().expect("no panic").expect("all was read");
    assert!(output.status.success());
    let answers = String::from_utf8(output.stdout).expect("JSON");
    let answers: Vec<Value> = answers.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(answers.len(), requests.len());
    answers
}
