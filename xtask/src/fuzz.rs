//! Builds the fuzz targets with the stable compiler, and runs them: those of the host (`tests/fuzz`), and those of what plugins parse (`plugins/fuzz`, which are
//! programs of this machine, too).
//!
//! Only crates of the workspace tell the fuzzer which way they took: what others have written is compiled as for everything else, and not once more. So this
//! program stands in front of the compiler for crates of the workspace, and adds the flags there.

use std::env;
use std::ffi::OsString;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::Context as _;

use crate::checkout::Checkout;
use crate::progress::{self, Progress};

/// Set while this program stands in front of the compiler.
const WRAPPING: &str = "PLUMB_XTASK_FUZZ_COMPILER";

/// The counters and tables of LLVM's SanitizerCoverage that libFuzzer reads. Source: LLVM, "SanitizerCoverage".
const FLAGS: [&str; 7] = [
    "--cfg=fuzzing",
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
    "-Ccodegen-units=1",
];

/// What is fuzzed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Target {
    /// Any bytes are loaded as a plugin, and run
    Load,
    /// A plugin answers with any bytes
    Answers,
    /// Any file is taken apart as one of SOPS
    SopsFormats,
    /// Any file is encrypted, changed and decrypted by SOPS's rules
    SopsDecrypt,
    /// Any SealedSecret is unsealed
    SealedSecret,
}

const TARGETS: [Target; 5] =
    [Target::Load, Target::Answers, Target::SopsFormats, Target::SopsDecrypt, Target::SealedSecret];

/// A workspace with a crate of targets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Workspace {
    Host,
    Plugins,
}

const WORKSPACES: [Workspace; 2] = [Workspace::Host, Workspace::Plugins];

impl Target {
    fn name(self) -> &'static str {
        match self {
            Self::Load => "load",
            Self::Answers => "answers",
            Self::SopsFormats => "sops-formats",
            Self::SopsDecrypt => "sops-decrypt",
            Self::SealedSecret => "sealed-secret",
        }
    }

    fn program(self) -> String {
        format!("fuzz-{}", self.name())
    }

    fn workspace(self) -> Workspace {
        match self {
            Self::Load | Self::Answers => Workspace::Host,
            Self::SopsFormats | Self::SopsDecrypt | Self::SealedSecret => Workspace::Plugins,
        }
    }
}

impl Workspace {
    /// The folder of the crate with the targets.
    fn folder(self) -> &'static str {
        match self {
            Self::Host => "tests/fuzz",
            Self::Plugins => "plugins/fuzz",
        }
    }

    /// What builds targets, but for their names, and where their programs are then.
    fn build(self, checkout: &Checkout) -> (Command, PathBuf) {
        let mut cargo = checkout.cargo();
        match self {
            Self::Host => {
                cargo.args(["build", "--release", "--workspace"]);
                (cargo, checkout.release().to_owned())
            }
            Self::Plugins => {
                let target_dir = checkout.cache().join("guest-tests");
                cargo.current_dir(checkout.root().join("plugins"));
                cargo.args(["build", "--profile", "fuzz", "--locked", "--package", "plumb-plugins-fuzz"]);
                cargo.arg("--target-dir").arg(&target_dir);
                (cargo, target_dir.join("fuzz"))
            }
        }
    }
}

/// Runs one target or all of them, each for some seconds. What is of interest is kept from one run to the next.
///
/// Fails when a target does not build, or when it finds something: the output says where the input lies that shows it.
pub(crate) fn run(
    checkout: &Checkout,
    progress: &Progress,
    only: Option<Target>,
    seconds: u32,
) -> anyhow::Result<()> {
    for workspace in WORKSPACES {
        let is_asked_for =
            |target: &Target| target.workspace() == workspace && only.is_none_or(|only| only == *target);
        let targets: Vec<_> = TARGETS.into_iter().filter(is_asked_for).collect();
        if targets.is_empty() {
            continue;
        }
        let programs = build(checkout, progress, workspace, &targets)?;
        for target in targets {
            fuzz(checkout, progress, target, &programs, seconds)?;
        }
    }
    Ok(())
}

fn fuzz(
    checkout: &Checkout,
    progress: &Progress,
    target: Target,
    programs: &Path,
    seconds: u32,
) -> anyhow::Result<()> {
    let name = target.name();
    let kept = checkout.cache().join("fuzz").join(name);
    let found = checkout.cache().join("fuzz-found");
    for folder in [&kept, &found] {
        std::fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    }
    let mut fuzz = Command::new(programs.join(target.program()));
    fuzz.current_dir(checkout.root())
        .arg(&kept)
        .arg(checkout.root().join(target.workspace().folder()).join("seeds").join(name))
        .arg(format!("-max_total_time={seconds}"))
        .arg(format!("-artifact_prefix={}/{name}-", found.display()))
        .args(["-max_len=32768", "-timeout=30", "-rss_limit_mb=4096", "-print_final_stats=1"])
        .args(["-verbosity=0"]);
    progress.run_openly(&format!("fuzz {name} for {seconds} s"), &mut fuzz)
}

/// Builds targets of one workspace, and says in which folder their programs are.
fn build(
    checkout: &Checkout,
    progress: &Progress,
    workspace: Workspace,
    targets: &[Target],
) -> anyhow::Result<PathBuf> {
    let (mut cargo, programs) = workspace.build(checkout);
    for target in targets {
        cargo.args(["--bin", &target.program()]);
    }
    // Not what this process runs: cargo may have built it anew since, with tests of the workspace.
    let ourselves = checkout.release().join("xtask");
    cargo.env("RUSTC_WORKSPACE_WRAPPER", ourselves).env(WRAPPING, "1");
    let log = progress::log_file(checkout.cache(), "build-fuzz");
    progress.run_build(&format!("build the fuzz targets in {}", workspace.folder()), &log, &mut cargo)?;
    Ok(programs)
}

/// Becomes the compiler, if cargo has started this program in its place. Does not return in that case.
pub(crate) fn compile_if_asked() -> Option<ExitCode> {
    env::var_os(WRAPPING)?;
    let mut arguments = env::args_os().skip(1);
    let compiler = arguments.next()?;
    let arguments: Vec<_> = arguments.collect();
    let mut command = Command::new(compiler);
    if is_part_of_the_program(&arguments) {
        command.args(FLAGS);
    }
    let error = command.args(&arguments).exec();
    eprintln!("error: the compiler cannot be started: {error}");
    Some(ExitCode::FAILURE)
}

/// Not what runs while the program is built: build scripts and macros have no fuzzer in them. And not a question about the compiler.
fn is_part_of_the_program(arguments: &[OsString]) -> bool {
    let follows = |flag: &str, value: &dyn Fn(&str) -> bool| {
        arguments.windows(2).any(|pair| pair[0] == flag && pair[1].to_str().is_some_and(value))
    };
    follows("--crate-name", &|name| name != "___" && !name.starts_with("build_script_"))
        && !follows("--crate-type", &|kind| kind == "proc-macro")
}
