use std::fs;
use std::path::Path;

use rstest::rstest;
use tempfile::TempDir;

use crate::plumb::{checkout, copy, plugin};
use crate::tools;

/// A copy of an example that can be built where it is.
fn example(language: &str) -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    copy(&checkout().join("examples/plugins").join(language), directory.path());
    if language == "rust" {
        let manifest = directory.path().join("Cargo.toml");
        let sdk = checkout().join("plugins/sdk");
        let text = fs::read_to_string(&manifest).unwrap();
        fs::write(manifest, text.replace("../../../plugins/sdk", sdk.to_str().unwrap())).unwrap();
    }
    tools::install(language, directory.path());
    directory
}

#[rstest]
#[case("rust")]
#[case("go")]
#[case("js")]
#[case("python")]
fn each_builds_and_passes_the_same_cases(#[case] language: &str) {
    let example = example(language);
    let built = plugin(example.path(), &["build"]).result();
    assert!(built.contains("a transformer of "), "{built}");
    let tested = plugin(example.path(), &["test"]).result();
    for case in ["known-teams", "unknown-namespaces", "another-team"] {
        assert!(tested.contains(&format!("ok {case} ")), "{tested}");
    }
    assert!(tested.ends_with("3 of 3 cases passed\n"), "{tested}");

    let inspected = plugin(example.path(), &["inspect", "target/team-label.wasm"]).result();
    assert!(inspected.contains("world      transformer"), "{inspected}");
    assert!(inspected.contains("wants      nothing: it is a pure function"), "{inspected}");
    let imports: Vec<_> = inspected.lines().filter_map(|line| line.strip_prefix("imports")).collect();
    assert!(imports.iter().all(|import| import.trim().starts_with("plumbline:plugin/")), "{inspected}");
}

/// What the examples have from the templates is as the templates have it.
#[rstest]
#[case("go", &["go.mod", "go.sum", "main.go", "plumbline/plumbline.go", "wit"])]
#[case("js", &["package.json", "wit"])]
#[case("python", &["requirements.txt", "wit"])]
fn the_examples_are_as_new_plugins_are(#[case] language: &str, #[case] paths: &[&str]) {
    let directory = tempfile::tempdir().unwrap();
    plugin(directory.path(), &["new", "--lang", language, "team-label"]).result();
    for path in paths {
        let example = checkout().join("examples/plugins").join(language).join(path);
        assert_same(&example, &directory.path().join("team-label").join(path));
    }
}

fn assert_same(example: &Path, new: &Path) {
    if new.is_dir() {
        for entry in fs::read_dir(new).unwrap() {
            let name = entry.unwrap().file_name();
            assert_same(&example.join(&name), &new.join(&name));
        }
    } else {
        let (example_text, new_text) = (fs::read_to_string(example), fs::read_to_string(new).unwrap());
        assert_eq!(example_text.unwrap_or_default(), new_text, "{}", example.display());
    }
}
