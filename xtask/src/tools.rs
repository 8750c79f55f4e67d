//! The tools that must be on the machine: which are missing, and what installs each.

use std::env;
use std::fmt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, bail};

use crate::progress::Progress;

/// What a command is going to do, which decides what it needs.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Need {
    /// Build the host and the plugins, and run the demo.
    Build,
    /// Run the tests.
    Test,
    /// Check formatting and lints.
    Lint,
    /// Build the devcluster.
    Devcluster,
}

/// Where the standard library for `wasm32-unknown-unknown` comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum WasmStd {
    /// The toolchain in use has it: plain `cargo build --target wasm32-unknown-unknown`.
    Target,
    /// Debian's `/usr/bin/cargo` builds it from `rust-web-src` with `-Zbuild-std`, and this linker.
    DebianSources {
        /// The path of `rust-lld`.
        rust_lld: PathBuf,
    },
}

/// Ends with an error that names every missing tool and the commands that install it.
pub(crate) fn check(needs: &[Need]) -> anyhow::Result<()> {
    let machine = Machine::find();
    let missing = missing(needs, &machine);
    if missing.is_empty() {
        return Ok(());
    }
    let list: Vec<String> = missing.iter().map(ToString::to_string).collect();
    bail!(
        "{} to be installed first:\n\n{}\n`cargo xtask setup` runs these commands.",
        if list.len() == 1 { "1 tool has".to_owned() } else { format!("{} tools have", list.len()) },
        list.join("\n")
    )
}

/// Installs what is missing. Of several ways, the first that works is taken.
pub(crate) fn setup(progress: &Progress) -> anyhow::Result<()> {
    let needs = [Need::Build, Need::Test, Need::Lint];
    let machine = Machine::find();
    for tool in missing(&needs, &machine) {
        for command in &tool.install {
            let what = format!("{}: {command}", tool.name);
            let mut shell = Command::new("sh");
            shell.args(["-c", command]);
            match progress.run_openly(&what, &mut shell) {
                Ok(()) if !missing(&needs, &machine).iter().any(|left| left.name == tool.name) => break,
                Ok(()) => progress.say(&format!("{} is not found after that", tool.name)),
                Err(error) => progress.say(&format!("{error:#}")),
            }
        }
    }
    check(&needs)?;
    progress.say("all tools are there");
    Ok(())
}

/// Finds the WASM standard library.
///
/// Fails when it is there in neither way.
pub(crate) fn wasm_std() -> anyhow::Result<WasmStd> {
    let active = Toolchain::find(&rustc()).context("cannot run rustc")?;
    let debian = Toolchain::find(Path::new("/usr/bin/rustc"));
    let cargo_too = Path::new("/usr/bin/cargo").exists();
    find_wasm_std(&active, debian.as_ref().filter(|_| cargo_too))
        .context("the WASM standard library is missing: run `cargo xtask setup`")
}

/// A compiler with its files.
#[derive(Debug)]
struct Toolchain {
    version: String,
    host: String,
    sysroot: PathBuf,
}

impl Toolchain {
    fn find(rustc: &Path) -> Option<Self> {
        let verbose = output(rustc, &["-vV"])?;
        let field = |name: &str| verbose.lines().find_map(|line| line.strip_prefix(name)).map(str::to_owned);
        Some(Self {
            version: field("release: ")?,
            host: field("host: ")?,
            sysroot: PathBuf::from(output(rustc, &["--print", "sysroot"])?.trim()),
        })
    }

    fn rustlib(&self) -> PathBuf {
        self.sysroot.join("lib/rustlib")
    }
}

fn find_wasm_std(active: &Toolchain, debian: Option<&Toolchain>) -> Option<WasmStd> {
    if active.rustlib().join("wasm32-unknown-unknown/lib").is_dir() {
        return Some(WasmStd::Target);
    }
    let debian = debian?;
    let sources = debian.rustlib().join("src/rust");
    // Language items differ between releases: compiler and sources must be of the same one.
    let version = std::fs::read_to_string(sources.join("src/version")).ok()?;
    if version.trim() != debian.version || !sources.join("library/std/Cargo.toml").exists() {
        return None;
    }
    let rust_lld = [active, debian]
        .map(|toolchain| toolchain.rustlib().join(&toolchain.host).join("bin/rust-lld"))
        .into_iter()
        .chain([PathBuf::from("/usr/bin/rust-lld")])
        .find(|path| path.exists())?;
    Some(WasmStd::DebianSources { rust_lld })
}

/// What decides which install commands make sense.
struct Machine {
    apt: bool,
    rustup: bool,
    root: bool,
    /// The processor, as Go's downloads name it.
    go_arch: &'static str,
}

impl Machine {
    fn find() -> Self {
        Self {
            apt: output(Path::new("apt-get"), &["--version"]).is_some(),
            rustup: output(Path::new("rustup"), &["--version"]).is_some(),
            root: output(Path::new("id"), &["-u"]).is_some_and(|uid| uid.trim() == "0"),
            go_arch: if env::consts::ARCH == "aarch64" { "arm64" } else { "amd64" },
        }
    }

    fn sudo(&self) -> &'static str {
        if self.root { "" } else { "sudo " }
    }

    /// The command that installs packages of Debian and Ubuntu, if this is one of them.
    fn apt_install(&self, packages: &str) -> Option<String> {
        let sudo = self.sudo();
        self.apt.then(|| {
            format!("{sudo}apt-get update && {sudo}apt-get install -y --no-install-recommends {packages}")
        })
    }
}

/// A tool that is not there, or too old.
#[derive(Debug, PartialEq, Eq)]
struct Missing {
    name: &'static str,
    /// What is there instead, such as an older version; empty for nothing.
    found: String,
    /// Shell commands, each of which alone installs it.
    install: Vec<String>,
}

impl fmt::Display for Missing {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.found.as_str() {
            "" => writeln!(out, "  {}", self.name)?,
            found => writeln!(out, "  {} (found: {found})", self.name)?,
        }
        for (i, command) in self.install.iter().enumerate() {
            writeln!(out, "      {}{command}", if i == 0 { "" } else { "or: " })?;
        }
        Ok(())
    }
}

const RUST: Version = Version(1, 95);
const GO: Version = Version(1, 26);
/// What the install command for Go fetches.
const GO_RELEASE: &str = "1.26.8";
const NODE: Version = Version(20, 0);
/// What the install command for Node.js fetches.
const NODE_RELEASE: &str = "20.20.2";
const PYTHON: Version = Version(3, 10);

fn missing(needs: &[Need], machine: &Machine) -> Vec<Missing> {
    let build = needs.contains(&Need::Build);
    let mut missing = Vec::new();
    if build {
        missing.extend(missing_rust(machine, output(&rustc(), &["--version"])));
    }
    if build || needs.contains(&Need::Devcluster) {
        missing.extend(missing_go(machine, output(Path::new("go"), &["version"])));
    }
    if build {
        missing.extend(missing_git(machine, output(Path::new("git"), &["--version"])));
        missing.extend(wasm_std().err().map(|_| missing_wasm_std(machine)));
    }
    if needs.contains(&Need::Test) {
        missing.extend(missing_ssh(machine, output(Path::new("ssh"), &["-V"]).is_some() && sshd_is_there()));
        let npm = output(Path::new("npm"), &["--version"]).is_some();
        missing.extend(missing_node(machine, output(Path::new("node"), &["--version"]).filter(|_| npm)));
        // A Python without these makes environments that have no pip.
        let venv = output(Path::new("python3"), &["-c", "import venv, ensurepip"]).is_some();
        missing
            .extend(missing_python(machine, output(Path::new("python3"), &["--version"]).filter(|_| venv)));
    }
    if needs.contains(&Need::Lint) {
        missing.extend(missing_component("rustfmt", output(Path::new("cargo"), &["fmt", "--version"])));
        missing.extend(missing_component("clippy", output(Path::new("cargo"), &["clippy", "--version"])));
    }
    missing
}

fn missing_rust(machine: &Machine, answer: Option<String>) -> Option<Missing> {
    let found = too_old(answer, RUST)?;
    let install = if machine.rustup {
        "rustup update stable"
    } else {
        "curl -fsSL https://sh.rustup.rs | sh -s -- -y --profile default"
    };
    Some(Missing { name: "Rust 1.95 or newer", found, install: vec![install.to_owned()] })
}

fn missing_go(machine: &Machine, answer: Option<String>) -> Option<Missing> {
    let found = too_old(answer, GO)?;
    let (sudo, arch) = (machine.sudo(), machine.go_arch);
    let install = if cfg!(target_os = "macos") {
        "brew install go".to_owned()
    } else {
        format!(
            "curl -fsSL https://go.dev/dl/go{GO_RELEASE}.linux-{arch}.tar.gz | {sudo}tar -C /usr/local -xz \
             && {sudo}ln -sf /usr/local/go/bin/go /usr/local/go/bin/gofmt /usr/local/bin/"
        )
    };
    Some(Missing { name: "Go 1.26 or newer", found, install: vec![install] })
}

fn missing_git(machine: &Machine, answer: Option<String>) -> Option<Missing> {
    if answer.is_some() {
        return None;
    }
    let install = machine.apt_install("git").unwrap_or_else(|| "brew install git".to_owned());
    Some(Missing { name: "git", found: String::new(), install: vec![install] })
}

fn missing_wasm_std(machine: &Machine) -> Missing {
    let rustup = machine.rustup.then(|| "rustup target add wasm32-unknown-unknown".to_owned());
    let debian = machine.apt_install("rustc-web cargo-web rust-web-src");
    Missing {
        name: "the Rust standard library for WASM (wasm32-unknown-unknown)",
        found: String::new(),
        install: rustup.into_iter().chain(debian).collect(),
    }
}

/// The tests fetch from a real server over SSH.
fn missing_ssh(machine: &Machine, is_there: bool) -> Option<Missing> {
    if is_there {
        return None;
    }
    let install = machine.apt_install("openssh-client openssh-server");
    Some(Missing {
        name: "ssh and sshd, for the tests",
        found: String::new(),
        install: install.into_iter().collect(),
    })
}

/// The tests build plugins in JavaScript.
fn missing_node(machine: &Machine, answer: Option<String>) -> Option<Missing> {
    let found = too_old(answer, NODE)?;
    let (sudo, arch) = (machine.sudo(), if machine.go_arch == "amd64" { "x64" } else { machine.go_arch });
    let fetched = format!(
        "curl -fsSL https://nodejs.org/dist/v{NODE_RELEASE}/node-v{NODE_RELEASE}-linux-{arch}.tar.gz \
         | {sudo}tar -C /usr/local --strip-components=1 -xz"
    );
    let install = machine.apt_install("nodejs npm").into_iter().chain([fetched]).collect();
    Some(Missing { name: "Node.js 20 or newer with npm, for the tests", found, install })
}

/// The tests build plugins in Python.
fn missing_python(machine: &Machine, answer: Option<String>) -> Option<Missing> {
    let found = too_old(answer, PYTHON)?;
    let install = machine.apt_install("python3 python3-venv").into_iter().collect();
    Some(Missing { name: "Python 3.10 or newer with venv, for the tests", found, install })
}

/// The server is outside the search path of most users, and started without arguments it would become a daemon.
fn sshd_is_there() -> bool {
    ["/usr/sbin/sshd", "/usr/local/sbin/sshd", "/usr/bin/sshd"].iter().any(|path| Path::new(path).exists())
}

fn missing_component(name: &'static str, answer: Option<String>) -> Option<Missing> {
    if answer.is_some() {
        return None;
    }
    Some(Missing { name, found: String::new(), install: vec![format!("rustup component add {name}")] })
}

/// Major and minor number: what decides whether a tool is new enough.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Version(u32, u32);

impl Version {
    /// Finds the version in what a tool answers to `--version`: the first word with a number, a dot and a
    /// number, whatever letters are before and after them.
    fn find(answer: &str) -> Option<Self> {
        answer.split_whitespace().find_map(|word| {
            let (major, rest) = word.trim_start_matches(char::is_alphabetic).split_once('.')?;
            let minor = rest.split(|c: char| !c.is_ascii_digit()).next()?;
            Some(Self(major.parse().ok()?, minor.parse().ok()?))
        })
    }
}

/// Returns what was found when that is not new enough, and nothing when it is.
fn too_old(answer: Option<String>, least: Version) -> Option<String> {
    let answer = answer.unwrap_or_default();
    match Version::find(&answer) {
        Some(version) if version >= least => None,
        _ => Some(answer.lines().next().unwrap_or_default().to_owned()),
    }
}

/// The compiler that cargo uses.
fn rustc() -> PathBuf {
    env::var_os("RUSTC").map_or_else(|| PathBuf::from("rustc"), PathBuf::from)
}

/// The version line of a tool, for cache keys; empty when it is missing.
pub(crate) fn version_line(program: &str, argument: &str) -> String {
    output(Path::new(program), &[argument]).unwrap_or_default().trim().to_owned()
}

/// What a program prints; nothing when it is missing or fails.
fn output(program: &Path, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program).args(arguments).stdin(Stdio::null()).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

#[cfg(test)]
mod tests;
