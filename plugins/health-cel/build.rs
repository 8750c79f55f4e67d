//! Makes a table of the rules in `rules/`, so that a guest need not read YAML.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a mistake in the pack has to stop the build"
)]

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs};

#[path = "src/rule.rs"]
#[allow(dead_code, unreachable_pub, reason = "the guest uses the rest")]
mod rule;

use rule::Rule;

/// One file: the rules for what one operator looks after.
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    operator: String,
    rules: Vec<Rule>,
}

fn main() {
    println!("cargo::rerun-if-changed=rules");
    println!("cargo::rerun-if-changed=src/rule.rs");
    let mut files: Vec<PathBuf> = fs::read_dir("rules").unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let (mut exact, mut patterns) = (Vec::new(), Vec::new());
    for path in &files {
        for rule in rules(path) {
            let json = serde_json::to_string(&rule).unwrap();
            let group = rule.group().to_owned();
            match group.starts_with('*') || rule.kinds().next().is_none() {
                true => patterns.push(json),
                false => {
                    exact.extend(rule.kinds().map(|kind| (group.clone(), kind.to_owned(), json.clone())))
                }
            }
        }
    }
    exact.sort();
    if let Some(twice) = exact.windows(2).find(|two| two[0].0 == two[1].0 && two[0].1 == two[1].1) {
        panic!("two rules are for {} of {}", twice[0].1, twice[0].0);
    }
    let mut text = String::from("pub(super) static EXACT: &[(&str, &str, &str)] = &[\n");
    for (group, kind, json) in &exact {
        writeln!(text, "    ({group:?}, {kind:?}, {json:?}),").unwrap();
    }
    text.push_str("];\npub(super) static PATTERNS: &[&str] = &[\n");
    for json in &patterns {
        writeln!(text, "    {json:?},").unwrap();
    }
    text.push_str("];\n");
    fs::write(Path::new(&env::var("OUT_DIR").unwrap()).join("pack.rs"), text).unwrap();
}

fn rules(path: &Path) -> Vec<Rule> {
    let text = fs::read_to_string(path).unwrap();
    let file: File =
        serde_saphyr::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    assert!(!file.operator.is_empty(), "{}: the operator has a name", path.display());
    for rule in &file.rules {
        assert!(
            !rule.source.is_empty(),
            "{}: a rule for {} names no source",
            path.display(),
            rule.api_version
        );
    }
    file.rules
}
