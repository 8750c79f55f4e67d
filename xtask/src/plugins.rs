//! Builds the built-in plugins, each a component in `target/plugins`, and keeps them by the digest of
//! their sources: a plugin that nobody touched costs a copy.

mod go;
mod rust;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context as _;

use crate::cache::{self, Key};
use crate::checkout::Checkout;
use crate::host;
use crate::progress::{self, Progress};
use crate::tools::{self, WasmStd};

/// A built-in plugin: its sources are in `plugins/NAME`.
struct Plugin {
    name: &'static str,
    language: Language,
}

/// What a plugin is written in.
#[derive(Clone, Copy)]
enum Language {
    /// Go: a module of its own.
    Go,
    /// Rust: a member of the workspace in `plugins`, for a world of the contract.
    Rust(&'static str),
}

/// All of them. A new one in Rust takes its folder and a line here.
const PLUGINS: &[Plugin] = &[
    Plugin { name: "cue", language: Language::Go },
    Plugin { name: "health-cel", language: Language::Rust("health-check") },
    Plugin { name: "helm", language: Language::Go },
    Plugin { name: "jsonnet", language: Language::Rust("renderer") },
    Plugin { name: "kustomize", language: Language::Go },
    Plugin { name: "labels", language: Language::Rust("transformer") },
    Plugin { name: "policy-cel", language: Language::Rust("validator") },
    Plugin { name: "schema", language: Language::Rust("validator") },
    Plugin { name: "sealed-secrets", language: Language::Rust("transformer") },
    Plugin { name: "sops", language: Language::Rust("decryptor") },
    Plugin { name: "substitute", language: Language::Rust("transformer") },
    Plugin { name: "yaml", language: Language::Rust("renderer") },
];

/// Brings `target/plugins/*.wasm` up to date.
///
/// Fails with the name of the first plugin that cannot be built, and the output of the step that failed.
pub(crate) fn build_all(checkout: &Checkout, progress: &Progress) -> anyhow::Result<()> {
    let wasm_std = tools::wasm_std()?;
    for plugin in PLUGINS {
        plugin
            .bring_up_to_date(checkout, progress, &wasm_std)
            .with_context(|| format!("cannot build the plugin {}", plugin.name))?;
    }
    Ok(())
}

impl Plugin {
    fn bring_up_to_date(
        &self,
        checkout: &Checkout,
        progress: &Progress,
        wasm_std: &WasmStd,
    ) -> anyhow::Result<()> {
        let key = self.key(checkout, wasm_std)?;
        let folder = checkout.cache().join("plugins");
        let component = cache::get_or_make(&folder, self.name, &format!("{key}.wasm"), |out| {
            let work_dir = folder.join("work").join(format!("{}.{}", self.name, std::process::id()));
            fs::create_dir_all(&work_dir)?;
            let context = Context { plugin: self, checkout, progress, wasm_std, work_dir: &work_dir };
            let built = self.language.build(&context, out);
            let _ = fs::remove_dir_all(&work_dir);
            built
        })?;
        let target = checkout.plugins().join(format!("{}.wasm", self.name));
        cache::copy_over(&component, &target)?;
        progress.say(&format!("plugin {}: target/plugins/{}.wasm", self.name, self.name));
        Ok(())
    }

    /// Everything that the component is made from.
    fn key(&self, checkout: &Checkout, wasm_std: &WasmStd) -> anyhow::Result<String> {
        let root = checkout.root();
        let lock = fs::read_to_string(root.join("Cargo.lock")).context("cannot read Cargo.lock")?;
        let mut key = Key::new().path(root, &format!("plugins/{}", self.name))?;
        for shared in self.language.shared() {
            key = key.path(root, shared)?;
        }
        Ok(key
            .path(root, "wit")?
            .path(root, "host/component")?
            .path(root, "xtask/componentize")?
            .value(&locked_versions(&lock, &LIBRARIES))
            .value(&format!("{wasm_std:?}"))
            .value(&tools::version_line("go", "version"))
            .value(&tools::version_line("rustc", "--version"))
            .finish())
    }
}

impl Language {
    fn build(self, context: &Context<'_>, out: &Path) -> anyhow::Result<()> {
        match self {
            Self::Go => go::build(context, out),
            Self::Rust(world) => rust::build(context, world, out),
        }
    }

    /// What its plugins are made from besides their own folders: the steps of the build, and what they have in common.
    fn shared(self) -> &'static [&'static str] {
        match self {
            Self::Go => &["xtask/src/plugins/go.rs", "plugins/gosdk"],
            Self::Rust(_) => &[
                "xtask/src/plugins/rust.rs",
                "plugins/Cargo.toml",
                "plugins/Cargo.lock",
                "plugins/sdk",
                "host/cel",
                "host/yaml",
            ],
        }
    }

    /// The folder below `plugins/compilers` of the cache with what its compiler keeps. Plugins of one language share what they depend on.
    fn compiler_cache(self) -> &'static str {
        match self {
            Self::Go => "go",
            Self::Rust(_) => "rust",
        }
    }
}

/// Libraries of `plumb-componentize` that decide what a component looks like.
const LIBRARIES: [&str; 8] = [
    "wasm-encoder",
    "wasmparser",
    "wasmtime-wizer",
    "wat",
    "wit-bindgen-core",
    "wit-bindgen-go",
    "wit-component",
    "wit-parser",
];

/// The versions of some packages in `Cargo.lock`. The whole file would change the key with every dependency
/// of the host.
fn locked_versions(lock: &str, names: &[&str]) -> String {
    let packages = lock.split("[[package]]").skip(1);
    let of_names = packages.filter(|package| {
        names.iter().any(|name| package.lines().any(|line| line == format!("name = \"{name}\"")))
    });
    let versions = of_names.flat_map(|package| package.lines().filter(|line| line.starts_with("version = ")));
    versions.collect::<Vec<_>>().join("\n")
}

/// What the build of a plugin may use.
pub(crate) struct Context<'a> {
    plugin: &'a Plugin,
    checkout: &'a Checkout,
    progress: &'a Progress,
    wasm_std: &'a WasmStd,
    work_dir: &'a Path,
}

impl Context<'_> {
    /// The folder of the checkout.
    pub(crate) fn root(&self) -> &Path {
        self.checkout.root()
    }

    /// An empty folder for intermediate files, which is removed after the build.
    pub(crate) fn work_dir(&self) -> &Path {
        self.work_dir
    }

    /// Where the Rust standard library for WASM comes from.
    pub(crate) fn wasm_std(&self) -> &WasmStd {
        self.wasm_std
    }

    /// The name of the plugin, which is that of its folder.
    fn name(&self) -> &str {
        self.plugin.name
    }

    /// A folder that stays between builds, for a compiler's own cache.
    fn compiler_cache(&self) -> PathBuf {
        self.checkout.cache().join("plugins/compilers").join(self.plugin.language.compiler_cache())
    }

    /// A command that runs in the folder of the checkout.
    pub(crate) fn command(&self, program: &str) -> Command {
        self.checkout.command(program)
    }

    /// The cargo in use.
    pub(crate) fn cargo(&self) -> Command {
        self.checkout.cargo()
    }

    /// Builds `plumb-componentize`, and returns the path of the executable.
    ///
    /// Fails when it does not compile.
    pub(crate) fn componentize(&self) -> anyhow::Result<PathBuf> {
        host::build_program(self.checkout, self.progress, "plumb-componentize")
    }

    /// Runs one step. `what` is for the progress line, and starts with a verb.
    ///
    /// Fails with the step's output when it does not succeed.
    pub(crate) fn run(&self, what: &str, command: &mut Command) -> anyhow::Result<()> {
        let log = progress::log_file(self.checkout.cache(), &format!("plugin-{}", self.name()));
        self.progress.run_quietly(&format!("plugin {}: {what}", self.name()), &log, command)
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn only_the_named_packages_count() {
        let lock = "version = 4\n\n[[package]]\nname = \"a\"\nversion = \"1.0.0\"\n\n\
                    [[package]]\nname = \"ab\"\nversion = \"2.0.0\"\n\n[[package]]\nname = \"a\"\nversion = \"3.0.0\"\n";
        assert_eq!(super::locked_versions(lock, &["a"]), "version = \"1.0.0\"\nversion = \"3.0.0\"");
    }
}
