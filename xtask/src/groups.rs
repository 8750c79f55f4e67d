//! All tests, in groups. A group that fails does not keep the others from running.

use std::fmt;
use std::process::Command;

use anyhow::{anyhow, bail};

use crate::checkout::Checkout;
use crate::devcluster::{Cluster, Life};
use crate::progress::{self, Progress};
use crate::{fuzz, host, plugins, servers};

/// Tests that need the same surroundings.
#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Group {
    /// Each crate alone
    Unit,
    /// Kustomize as a plugin against kustomize itself
    Conformance,
    /// The programs that are written in Go
    Go,
    /// Any bytes for what loads plugins, takes their answers, and decrypts files, for a minute each
    Fuzz,
    /// Everything together, on a cluster
    E2e,
}

/// How long each fuzz target runs.
const FUZZ_SECONDS: u32 = 60;

const GROUPS: [Group; 5] = [Group::Unit, Group::Conformance, Group::Go, Group::Fuzz, Group::E2e];

/// A Go module with tests of its own.
struct GoModule {
    path: &'static str,
    /// What `go test` is told.
    test: &'static [&'static str],
}

const GO_MODULES: [GoModule; 5] = [
    GoModule { path: "plugins/cue", test: &["./..."] },
    GoModule { path: "plugins/gosdk", test: &["./..."] },
    GoModule { path: "plugins/helm", test: &["./..."] },
    GoModule { path: "plugins/kustomize", test: &["./..."] },
    // Vet would analyse all of Kubernetes first, and the program itself is tested by starting it.
    GoModule { path: "tests/devcluster", test: &["-trimpath", "-vet=off", "./cluster"] },
];

impl fmt::Display for Group {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Unit => "unit",
            Self::Conformance => "conformance",
            Self::Go => "go",
            Self::Fuzz => "fuzz",
            Self::E2e => "e2e",
        })
    }
}

/// Runs one group or all of them, and says at the end how each went.
///
/// Fails when plugins or host cannot be built, or when any group fails.
pub(crate) fn run(
    checkout: &Checkout,
    progress: &Progress,
    only: Option<Group>,
    filter: Option<&str>,
) -> anyhow::Result<()> {
    if only != Some(Group::Go) {
        plugins::build_all(checkout, progress)?;
        host::build(checkout, progress)?;
        servers::build(checkout, progress)?;
    }
    let runner = Runner { checkout, progress, filter };
    let mut results = Vec::new();
    for group in GROUPS.into_iter().filter(|group| only.is_none_or(|only| only == *group)) {
        let result = runner.run(group);
        if let Err(error) = &result {
            eprintln!("{error:#}");
        }
        results.push((group, result.is_ok()));
    }

    for (group, passed) in &results {
        progress.say(&format!("tests of group {group}: {}", if *passed { "passed" } else { "FAILED" }));
    }
    let failed = results.iter().filter(|(_, passed)| !passed).count();
    if failed > 0 {
        bail!("{failed} of {} groups of tests failed", results.len());
    }
    Ok(())
}

struct Runner<'a> {
    checkout: &'a Checkout,
    progress: &'a Progress,
    filter: Option<&'a str>,
}

impl Runner<'_> {
    fn run(&self, group: Group) -> anyhow::Result<()> {
        match group {
            Group::Unit => {
                let host = self.cargo_test(
                    group,
                    &["--workspace", "--exclude", "plumb-e2e", "--exclude", "plumb-conformance"],
                    None,
                );
                self.rust_guests().and(host)
            }
            Group::Conformance => self.cargo_test(group, &["--workspace", "--test", "conformance"], None),
            Group::Go => self.go(),
            Group::Fuzz => fuzz::run(self.checkout, self.progress, None, FUZZ_SECONDS),
            Group::E2e => {
                let cluster = Cluster::start(self.checkout, self.progress, Life::Ours)?;
                self.cargo_test(group, &["--workspace", "--test", "e2e"], Some(&cluster))
            }
        }
    }

    /// Builds quietly, then runs with the test runners' own output.
    fn cargo_test(&self, group: Group, packages: &[&str], cluster: Option<&Cluster>) -> anyhow::Result<()> {
        let mut build = self.unoptimised_test();
        build.arg("--no-run").args(packages);
        let log = progress::log_file(self.checkout.cache(), &format!("build-tests-{group}"));
        self.progress.run_build(&format!("build the tests of group {group}"), &log, &mut build)?;

        let mut test = self.unoptimised_test();
        test.arg("--no-fail-fast").args(packages);
        test.args(self.filter).args(["--", "--quiet"]);
        test.env("PLUMB_PLUGIN_DIR", self.checkout.plugins());
        test.env("PLUMB_BIN", self.checkout.root().join("target/release/plumb"));
        self.put_programs_into(&mut test);
        if let Some(cluster) = cluster {
            cluster.put_into(&mut test);
            // They wait for the cluster more than they work.
            test.arg("--test-threads=6");
        }
        self.progress.run_openly(&format!("run the tests of group {group}"), &mut test)
    }

    /// `cargo test`, where our own crates are not optimised: most of the time of a test goes into building it.
    fn unoptimised_test(&self) -> Command {
        let mut cargo = self.checkout.cargo();
        cargo
            .args(["test", "--release", "--config"])
            .arg(self.checkout.root().join("tests/unoptimised.toml"));
        cargo
    }

    /// Tells tests where the programs in Go are that they run.
    fn put_programs_into(&self, test: &mut Command) {
        let target = self.checkout.root().join("target");
        test.env("PLUMB_TEST_SERVERS", target.join("servers"));
        test.env("PLUMB_TEST_SOPS", target.join("sops"));
        test.env("PLUMB_TEST_HELM", target.join("helm"));
        test.env("PLUMB_TEST_SEALED_SECRETS", target.join("sealed-secrets"));
    }

    /// The tests of the guests, which are a workspace of their own, as programs of this machine.
    fn rust_guests(&self) -> anyhow::Result<()> {
        let mut test = self.checkout.cargo();
        test.current_dir(self.checkout.root().join("plugins"));
        test.args(["test", "--workspace", "--no-fail-fast", "--locked", "--target-dir"]);
        test.arg(self.checkout.cache().join("guest-tests")).args(self.filter).args(["--", "--quiet"]);
        self.put_programs_into(&mut test);
        self.progress.run_openly("plugins: cargo test", &mut test)
    }

    fn go(&self) -> anyhow::Result<()> {
        let mut failures = Vec::new();
        for module in &GO_MODULES {
            if let Err(error) = self.go_module(module) {
                failures.push(format!("{error:#}"));
            }
        }
        if failures.is_empty() { Ok(()) } else { Err(anyhow!(failures.join("\n"))) }
    }

    fn go_module(&self, module: &GoModule) -> anyhow::Result<()> {
        let mut test = self.go_command(module.path);
        test.arg("test").args(module.test);
        if let Some(filter) = self.filter {
            test.args(["-run", filter]);
        }
        self.progress.run_openly(&format!("{}: go test", module.path), &mut test)
    }

    fn go_command(&self, module: &str) -> Command {
        let mut go = self.checkout.command("go");
        // The same as for the programs themselves, so that nothing is compiled twice.
        go.current_dir(self.checkout.root().join(module)).env("CGO_ENABLED", "0");
        go
    }
}
