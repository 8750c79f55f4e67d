//! With a plugin that is built in, so that no compiler is needed.

use std::fs;
use std::path::Path;

use tempfile::TempDir;

use crate::plumb::{builtin, plugin};

/// A plugin that was "built": the transformer `substitute`, which returns objects without variables as they are.
fn project(files: &[(&str, &str)]) -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    let at = |path: &str| {
        let path = directory.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        path
    };
    fs::copy(builtin("substitute"), at("target/same.wasm")).unwrap();
    fs::write(at("plugin.yaml"), "name: same\nlanguage: rust\n").unwrap();
    for (path, text) in files {
        fs::write(at(path), text).unwrap();
        let (case, _) = path.rsplit_once('/').unwrap();
        fs::write(at(&format!("{case}/parameters.yaml")), "variables: {}\n").unwrap();
    }
    directory
}

const POD: &str = "apiVersion: v1\nkind: Pod\nmetadata:\n  name: a\n";

fn read(directory: &Path, path: &str) -> String {
    fs::read_to_string(directory.join(path)).unwrap()
}

#[test]
fn a_difference_is_shown_and_is_the_answer() {
    let project = project(&[
        ("tests/a/input.yaml", POD),
        ("tests/a/expected.yaml", POD),
        ("tests/b/input.yaml", POD),
        ("tests/b/expected.yaml", "apiVersion: v1\nkind: Pod\nmetadata:\n  name: b\n"),
    ]);
    let ran = plugin(project.path(), &["test"]);
    assert_eq!(ran.code, 1, "{}", ran.stderr);
    assert!(ran.stdout.contains("ok a "), "{}", ran.stdout);
    assert!(ran.stdout.contains("FAILED b "), "{}", ran.stdout);
    assert!(ran.stdout.contains("-  name: b\n    +  name: a"), "{}", ran.stdout);
    assert!(ran.stdout.ends_with("1 of 2 cases passed\n"), "{}", ran.stdout);
}

#[test]
fn a_case_without_an_end_is_no_success() {
    let project = project(&[("tests/a/input.yaml", POD)]);
    let ran = plugin(project.path(), &["test"]);
    assert_eq!(ran.code, 1);
    assert!(ran.stdout.contains("it has neither expected.yaml nor errors.yaml"), "{}", ran.stdout);
}

#[test]
fn an_update_keeps_what_came_of_it_and_nothing_else() {
    let project =
        project(&[("tests/a/input.yaml", POD), ("tests/a/errors.yaml", "- {kind: internal, message: m}\n")]);
    let ran = plugin(project.path(), &["test", "--update"]).result();
    assert!(ran.contains("updated a "), "{ran}");
    assert_eq!(read(project.path(), "tests/a/expected.yaml"), POD);
    assert!(!project.path().join("tests/a/errors.yaml").exists());
    assert!(plugin(project.path(), &["test"]).result().contains("ok a "));
}

#[test]
fn a_folder_without_cases_is_no_success() {
    let project = project(&[("tests/README.md", "")]);
    assert!(plugin(project.path(), &["test"]).failure().contains("has no cases"));
}

#[test]
fn a_bench_has_numbers_of_the_case_that_was_asked_for() {
    let project = project(&[("tests/a/input.yaml", POD), ("tests/b/input.yaml", "")]);
    let measured = plugin(project.path(), &["bench", "--case", "a", "--calls", "5"]).result();
    assert!(measured.starts_with("case a with 1 objects, 5 calls\n"), "{measured}");
    for row in ["compiled for the first time", "loaded from the compile cache", "99 of 100", "memory at most"]
    {
        assert!(measured.contains(row), "{measured}");
    }
    assert!(plugin(project.path(), &["bench", "--case", "c"]).failure().contains("there is no case \"c\""));
}
