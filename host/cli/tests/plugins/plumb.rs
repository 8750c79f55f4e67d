//! The binary as a user runs it, who has compilers.

use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// What a command left behind.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ran {
    /// The result of a command that went well.
    pub(crate) fn result(self) -> String {
        assert_eq!(self.code, 0, "{}\n{}", self.stdout, self.stderr);
        self.stdout
    }

    /// What a command told that failed.
    pub(crate) fn failure(self) -> String {
        assert_eq!(self.code, 2, "{}\n{}", self.stdout, self.stderr);
        self.stderr
    }
}

/// Runs `plumb plugin` in a directory.
pub(crate) fn plugin(directory: &Path, args: &[&str]) -> Ran {
    run(command(directory, args))
}

/// The same with the password of a key.
pub(crate) fn plugin_with_key(directory: &Path, password: &str, args: &[&str]) -> Ran {
    let mut command = command(directory, args);
    command.env("COSIGN_PASSWORD", password);
    run(command)
}

pub(crate) fn command(directory: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_plumb"));
    command.arg("plugin").args(args).current_dir(directory).stdin(Stdio::null());
    // Neither the logins of whoever runs the tests, nor what the cargo that runs us has set.
    command.env("DOCKER_CONFIG", directory).env_remove("CARGO_TARGET_DIR").env_remove("COSIGN_PASSWORD");
    command
}

pub(crate) fn run(mut command: Command) -> Ran {
    let output = command.output().unwrap();
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    Ran { code: output.status.code().unwrap(), stdout: text(&output.stdout), stderr: text(&output.stderr) }
}

pub(crate) fn checkout() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

/// The component of a built-in plugin.
pub(crate) fn builtin(name: &str) -> PathBuf {
    let plugins =
        env::var_os("PLUMB_PLUGIN_DIR").map_or_else(|| checkout().join("target/plugins"), PathBuf::from);
    let component = plugins.join(format!("{name}.wasm"));
    assert!(component.is_file(), "there is no {}: run `cargo xtask plugins`", component.display());
    component
}

/// Copies a folder, what links lead to included, but for what was built there.
pub(crate) fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let (path, name) = entry.map(|entry| (entry.path(), entry.file_name())).unwrap();
        if ["target", "node_modules", ".venv", "internal"].iter().any(|built| name == **built) {
            continue;
        }
        if path.is_dir() {
            copy(&path, &to.join(name));
        } else {
            std::fs::copy(&path, to.join(name)).unwrap();
        }
    }
}
