//! The binary as a user runs it.

use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::LazyLock;

use tempfile::TempDir;

/// What a command left behind.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ran {
    /// The result of a command that went well and had nothing to remark.
    pub(crate) fn result(self) -> String {
        assert_eq!((self.code, self.stderr.as_str()), (0, ""), "{}", self.stdout);
        self.stdout
    }

    /// What a command told that failed and printed no result.
    pub(crate) fn failure(self) -> String {
        assert_eq!((self.code, self.stdout.as_str()), (2, ""), "{}", self.stderr);
        self.stderr
    }
}

/// Runs plumb in the checkout, without plugins.
pub(crate) fn plumb(args: &[&str]) -> Ran {
    run(&mut command(&checkout(), args))
}

/// Runs `plumb render` in a directory. All tests share one cache of compiled plugins.
pub(crate) fn render(directory: &Path, args: &[&str]) -> Ran {
    LazyLock::force(&COMPILED);
    plumb_in(directory, &[&["render"], args].concat())
}

/// Kustomize is large: it is compiled by the first test that needs it, and the others wait.
static COMPILED: LazyLock<()> = LazyLock::new(|| {
    let plugins = plugins();
    let is_built = plugins.join("kustomize.wasm").is_file();
    assert!(is_built, "{} has no kustomize.wasm: run `cargo xtask build`", plugins.display());
    let directory = files(&[("kustomization.yaml", "resources: []\n")]);
    plumb_in(directory.path(), &["render", "."]);
});

/// Runs plumb in a directory.
pub(crate) fn plumb_in(directory: &Path, args: &[&str]) -> Ran {
    run(command(directory, args).env("PLUMB_PLUGIN_DIR", plugins()))
}

fn command(directory: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_plumb"));
    // Neither the user's cluster, nor their settings, nor the width of their terminal.
    command.env_clear().env("HOME", directory).env("KUBECONFIG", "/dev/null");
    command.env("XDG_CACHE_HOME", env::temp_dir().join("plumbline-test-plugins"));
    command.args(args).current_dir(directory).stdin(Stdio::null());
    command
}

fn run(command: &mut Command) -> Ran {
    let output = command.output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Ran { code: output.status.code().unwrap(), stdout: text(output.stdout), stderr: text(output.stderr) }
}

/// A directory with these files.
pub(crate) fn files(files: &[(&str, &str)]) -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    for (path, text) in files {
        let path = directory.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    directory
}

pub(crate) fn plugins() -> PathBuf {
    env::var_os("PLUMB_PLUGIN_DIR").map_or_else(|| checkout().join("target/plugins"), PathBuf::from)
}

fn checkout() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}
