use rstest::rstest;

use crate::plumb::plugin;
use crate::tools;

/// Outside of the repository, with nothing but what the command has written and the tools of the language.
#[rstest]
#[case("rust", "transformer")]
#[case("rust", "renderer")]
#[case("rust", "validator")]
#[case("rust", "health-check")]
#[case("go", "transformer")]
#[case("go", "renderer")]
#[case("go", "validator")]
#[case("go", "health-check")]
#[case("js", "transformer")]
#[case("js", "renderer")]
#[case("js", "validator")]
#[case("js", "health-check")]
#[case("python", "transformer")]
#[case("python", "renderer")]
#[case("python", "validator")]
#[case("python", "health-check")]
fn it_builds_and_passes_its_first_case(#[case] language: &str, #[case] kind: &str) {
    let directory = tempfile::tempdir().unwrap();
    let name = format!("my-{kind}");
    plugin(directory.path(), &["new", "--lang", language, "--kind", kind, &name]).result();
    let project = directory.path().join(name);
    tools::install(language, &project);
    let built = plugin(&project, &["build"]).result();
    assert!(built.contains(&format!("a {kind} of ")), "{built}");
    let tested = plugin(&project, &["test"]).result();
    assert!(tested.starts_with("ok first ") && tested.ends_with("1 of 1 cases passed\n"), "{tested}");
}

#[rstest]
#[case("Team")]
#[case("../escape")]
#[case("")]
fn a_name_that_does_not_fit_everywhere_is_refused(#[case] name: &str) {
    let directory = tempfile::tempdir().unwrap();
    let told = plugin(directory.path(), &["new", "--lang", "go", name]).failure();
    assert!(told.contains("is no name for a plugin"), "{told}");
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
}

#[test]
fn what_is_there_is_not_overwritten() {
    let directory = tempfile::tempdir().unwrap();
    plugin(directory.path(), &["new", "--lang", "js", "mine"]).result();
    let told = plugin(directory.path(), &["new", "--lang", "go", "mine"]).failure();
    assert!(told.contains("mine exists already"), "{told}");
}

#[test]
fn what_is_missing_is_told() {
    let directory = tempfile::tempdir().unwrap();
    let told = plugin(directory.path(), &["build"]).failure();
    assert!(told.contains("it has no plugin.yaml; `plumb plugin new` makes one"), "{told}");
    plugin(directory.path(), &["new", "--lang", "js", "mine"]).result();
    let project = directory.path().join("mine");
    let told = plugin(&project, &["build"]).failure();
    assert!(told.contains("ComponentizeJS is not installed for this plugin; run `npm install`"), "{told}");
    let told = plugin(&project, &["test"]).failure();
    assert!(told.contains("mine.wasm does not exist; run `plumb plugin build` first"), "{told}");
}
