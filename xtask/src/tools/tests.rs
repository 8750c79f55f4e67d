#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]
use std::fs;

use super::*;

const DEBIAN_ROOT: Machine = Machine { apt: true, rustup: true, root: true, go_arch: "amd64" };
const PLAIN_USER: Machine = Machine { apt: true, rustup: false, root: false, go_arch: "arm64" };

#[test]
fn versions_are_found_in_what_tools_answer() {
    let table = [
        ("rustc 1.95.0 (59807616e 2026-04-14)", Some(Version(1, 95))),
        ("rustc 1.97.0-nightly (abc 2026-05-01)", Some(Version(1, 97))),
        ("go version go1.26.8 linux/amd64", Some(Version(1, 26))),
        ("go version go1.27rc1 linux/amd64", Some(Version(1, 27))),
        ("go version devel go1.28-3f1c2a Mon Jun 1 linux/amd64", Some(Version(1, 28))),
        ("git version 2.39.5 (Apple Git-154)", Some(Version(2, 39))),
        ("rustfmt 1.9.0-stable (59807616ef 2026-04-14)", Some(Version(1, 9))),
        ("go: command not found.", None),
        ("version 7", None),
        ("v1.", None),
        ("99999999999.1", None),
        ("", None),
    ];
    for (answer, expected) in table {
        assert_eq!(Version::find(answer), expected, "{answer}");
    }
}

#[test]
fn a_tool_is_asked_for_when_it_is_absent_or_too_old() {
    let table = [
        (None, Some("")),
        (Some("go version go1.19.8 linux/amd64"), Some("go version go1.19.8 linux/amd64")),
        (Some("go version go1.26.0 linux/amd64"), None),
        (Some("go version go1.100.0 linux/amd64"), None),
        (Some("go version go2.0.0 linux/amd64"), None),
        (Some("nonsense\nmore"), Some("nonsense")),
    ];
    for (answer, found) in table {
        let missing = missing_go(&DEBIAN_ROOT, answer.map(str::to_owned));
        assert_eq!(missing.map(|tool| tool.found), found.map(str::to_owned), "{answer:?}");
    }
}

#[test]
fn install_commands_fit_the_machine() {
    let wasm = missing_wasm_std(&DEBIAN_ROOT).install;
    assert_eq!(
        wasm,
        [
            "rustup target add wasm32-unknown-unknown",
            "apt-get update && apt-get install -y --no-install-recommends rustc-web cargo-web rust-web-src",
        ]
    );
    assert_eq!(
        missing_wasm_std(&PLAIN_USER).install,
        [
            "sudo apt-get update && sudo apt-get install -y --no-install-recommends rustc-web cargo-web rust-web-src"
        ]
    );
    let rust = missing_rust(&PLAIN_USER, Some("rustc 1.63.0".to_owned())).unwrap();
    assert!(rust.install[0].contains("sh.rustup.rs"), "{rust}");
    let git = missing_git(&PLAIN_USER, None).unwrap();
    assert!(git.install[0].starts_with("sudo apt-get"), "{git}");
}

#[test]
#[cfg(target_os = "linux")]
fn the_message_says_what_was_found_and_what_to_type() {
    let go = missing_go(&PLAIN_USER, Some("go version go1.19.8 linux/arm64\n".to_owned())).unwrap();
    assert_eq!(
        go.to_string(),
        "  Go 1.26 or newer (found: go version go1.19.8 linux/arm64)\n      \
         curl -fsSL https://go.dev/dl/go1.26.8.linux-arm64.tar.gz | sudo tar -C /usr/local -xz && \
         sudo ln -sf /usr/local/go/bin/go /usr/local/go/bin/gofmt /usr/local/bin/\n"
    );
    let wasm = missing_wasm_std(&DEBIAN_ROOT).to_string();
    assert_eq!(wasm.lines().filter(|line| line.trim_start().starts_with("or: ")).count(), 1, "{wasm}");
}

/// A folder with a toolchain's files, as far as they are looked at.
struct Files(PathBuf);

impl Files {
    fn new(name: &str, files: &[&str]) -> Self {
        let root = env::temp_dir().join(format!("xtask-tools-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&root);
        for file in files {
            let path = root.join("lib/rustlib").join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "1.96.0\n").unwrap();
        }
        Self(root)
    }

    fn toolchain(&self, version: &str) -> Toolchain {
        Toolchain { version: version.to_owned(), host: "host".to_owned(), sysroot: self.0.clone() }
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn the_wasm_standard_library_is_found_in_both_ways() {
    let sources = ["src/rust/src/version", "src/rust/library/std/Cargo.toml"];
    let with_target = Files::new("target", &["wasm32-unknown-unknown/lib/libstd.rlib"]);
    let with_linker = Files::new("linker", &["host/bin/rust-lld"]);
    let debian = Files::new("debian", &sources);
    let no_sources = Files::new("no-sources", &[]);
    let lld = with_linker.0.join("lib/rustlib/host/bin/rust-lld");

    let active = with_linker.toolchain("1.95.0");
    let table = [
        (
            "the target wins",
            with_target.toolchain("1.95.0"),
            Some(debian.toolchain("1.96.0")),
            Some(WasmStd::Target),
        ),
        ("nothing", with_linker.toolchain("1.95.0"), None, None),
        ("no sources", with_linker.toolchain("1.95.0"), Some(no_sources.toolchain("1.96.0")), None),
        (
            "sources of another version",
            with_linker.toolchain("1.95.0"),
            Some(debian.toolchain("1.85.0")),
            None,
        ),
    ];
    for (case, active, debian, expected) in table {
        assert_eq!(find_wasm_std(&active, debian.as_ref()), expected, "{case}");
    }
    assert_eq!(
        find_wasm_std(&active, Some(&debian.toolchain("1.96.0"))),
        Some(WasmStd::DebianSources { rust_lld: lld })
    );
}
