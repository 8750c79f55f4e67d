use std::sync::Arc;

use plumb_source::ignore::{Convention, InvalidIgnore, select};
use plumb_tree::{EntryKind, Memory, Tree, TreeError, TreePath, View};
use proptest::prelude::*;
use rstest::rstest;

fn at(path: &str) -> TreePath {
    TreePath::new(path).unwrap()
}

/// A tree of `PATH` or `PATH = BYTES` files.
fn memory(files: &[&str]) -> Memory {
    files.iter().fold(Memory::new(), |tree, file| {
        let (path, bytes) = file.split_once(" = ").unwrap_or((file, ""));
        tree.with_file(&at(path), bytes)
    })
}

/// The files that are shown. Every one of them can be read, and whatever cannot be listed cannot be read.
fn shown(all: &Memory, convention: Convention, spec: Option<&str>) -> Vec<String> {
    let tree = select(Arc::new(all.clone()), convention, spec).unwrap();
    let mut files = files(&*tree);
    files.sort();
    for path in self::files(all) {
        let is_there = tree.kind(&at(&path)) == Ok(Some(EntryKind::File));
        assert_eq!(is_there, files.contains(&path), "{path}");
        assert_eq!(tree.read(&at(&path), 9999).is_ok(), is_there, "{path}");
    }
    files
}

fn files(tree: &dyn Tree) -> Vec<String> {
    let (mut found, mut ahead) = (Vec::new(), vec![TreePath::root()]);
    while let Some(directory) = ahead.pop() {
        for entry in tree.list(&directory).unwrap() {
            let path = directory.join(&entry.name).unwrap();
            match entry.kind {
                EntryKind::Directory => ahead.push(path),
                _ => found.push(path.to_string()),
            }
        }
    }
    found
}

/// "Default exclusions" of Flux's page on Git repositories.
#[rstest]
#[case(".gitignore")]
#[case("app/.gitattributes")]
#[case(".gitmodules")]
#[case("docs/logo.png")]
#[case("a.jpg")]
#[case("a.jpeg")]
#[case("a.gif")]
#[case("a.wmv")]
#[case("a.flv")]
#[case("dist/a.tar.gz")]
#[case("a.zip")]
#[case(".github/workflows/ci.yaml")]
#[case("sub/.github/ci.yaml")]
#[case(".circleci/config.yml")]
#[case(".travis.yml")]
#[case(".gitlab-ci.yml")]
#[case("appveyor.yml")]
#[case(".drone.yml")]
#[case("cloudbuild.yaml")]
#[case("codeship-services.yml")]
#[case("codeship-steps.yml")]
#[case(".goreleaser.yml")]
#[case("clusters/prod/.sops.yaml")]
#[case(".sops.yaml")]
#[case(".flux.yaml")]
fn the_defaults_are_those_of_flux(#[case] file: &str) {
    let tree = memory(&["app.yaml", file]);
    assert_eq!(shown(&tree, Convention::Repository, None), ["app.yaml"]);
    assert_eq!(shown(&tree, Convention::Repository, Some("")), ["app.yaml"]);
    assert_eq!(shown(&tree, Convention::Repository, Some("# nothing\n\n  \n")), ["app.yaml"]);
    assert_eq!(shown(&tree, Convention::Bucket, None).len(), 2);
}

const FILES: &[&str] = &[
    ".gitignore",
    "README.md",
    "deploy/app.yaml",
    "deploy/docs/notes.txt",
    "deploy/logo.png",
    "src/deploy/main.go",
    "src/main.go",
];

#[rstest]
#[case::a_rule_replaces_the_defaults("*.go", &["README.md", "deploy/app.yaml", "deploy/docs/notes.txt", "deploy/logo.png"])]
#[case::what_belongs_to_git_stays_out("/nothing", &["README.md", "deploy/app.yaml", "deploy/docs/notes.txt", "deploy/logo.png", "src/deploy/main.go", "src/main.go"])]
#[case::unless_it_is_taken_back("!.gitignore", &[".gitignore", "README.md", "deploy/app.yaml", "deploy/docs/notes.txt", "deploy/logo.png", "src/deploy/main.go", "src/main.go"])]
#[case::of_flux_page("# exclude all\n/*\n# include deploy dir\n!/deploy\n# exclude file extensions from deploy dir\n/deploy/**/*.md\n/deploy/**/*.txt\n", &["deploy/app.yaml", "deploy/logo.png"])]
#[case::one_file_of_a_directory("/*\n!/deploy/app.yaml", &["deploy/app.yaml"])]
#[case::by_name_anywhere("*\n!*.go", &["src/deploy/main.go", "src/main.go"])]
#[case::the_last_rule_decides("!*.go\n/src/", &["README.md", "deploy/app.yaml", "deploy/docs/notes.txt", "deploy/logo.png"])]
#[case::a_directory_by_name("deploy/", &["README.md", "src/main.go"])]
#[case::a_directory_at_the_root("/deploy/", &["README.md", "src/deploy/main.go", "src/main.go"])]
#[case::only_directories("app.yaml/", &["README.md", "deploy/app.yaml", "deploy/docs/notes.txt", "deploy/logo.png", "src/deploy/main.go", "src/main.go"])]
#[case::windows_line_ends("*.go\r\n*.md\r\n", &["deploy/app.yaml", "deploy/docs/notes.txt", "deploy/logo.png"])]
#[case::everything("*", &[])]
fn spec_ignore_decides(#[case] spec: &str, #[case] expected: &[&str]) {
    assert_eq!(shown(&memory(FILES), Convention::Repository, Some(spec)), expected);
}

#[test]
fn a_sourceignore_speaks_of_its_own_directory() {
    let tree = memory(&[
        ".sourceignore = *.txt\n/only-here",
        "a/.sourceignore = !keep.txt\n/b/",
        "a/b/c.yaml",
        "a/keep.txt",
        "a/only-here",
        "a/drop.txt",
        "b/keep.txt",
        "b/logo.png",
        "only-here",
    ]);
    let expected = [".sourceignore", "a/.sourceignore", "a/keep.txt", "a/only-here", "b/logo.png"];
    assert_eq!(shown(&tree, Convention::Repository, None), expected);
    // In a bucket the one at the root counts, and nothing else.
    let expected = [".sourceignore", "a/.sourceignore", "a/b/c.yaml", "a/only-here", "b/logo.png"];
    assert_eq!(shown(&tree, Convention::Bucket, None), expected);
}

#[test]
fn spec_ignore_goes_before_a_sourceignore() {
    let tree = memory(&[".sourceignore = *.txt", "a/.sourceignore = !a.txt", "a/a.txt", "b.txt", "c.yaml"]);
    let expected = [".sourceignore", "a/.sourceignore", "b.txt", "c.yaml"];
    assert_eq!(shown(&tree, Convention::Repository, Some("a.txt\n!b.txt")), expected);
}

#[test]
fn a_sourceignore_in_a_subdirectory_puts_the_defaults_out_of_force_there() {
    let tree = memory(&["a/.sourceignore = *.txt", "a/b/logo.png", "a/x.txt", "logo.png"]);
    assert_eq!(shown(&tree, Convention::Repository, None), ["a/.sourceignore", "a/b/logo.png"]);
}

#[test]
fn a_directory_of_which_nothing_can_be_taken_back_is_not_there() {
    let tree = memory(&["deploy/app.yaml", "vendor/x/y.yaml"]);
    let names = |spec| {
        let tree = select(Arc::new(tree.clone()), Convention::Repository, Some(spec)).unwrap();
        tree.list(&TreePath::root()).unwrap().into_iter().map(|entry| entry.name).collect::<Vec<_>>()
    };
    assert_eq!(names("/*\n!/deploy"), ["deploy"]);
    assert_eq!(names("/*\n!/ven*/x/z"), ["vendor"]);
    assert_eq!(names("/*\n!/**/nothing"), ["deploy", "vendor"]);
}

/// Attacks 2 and 7 (Sources): a link is not a `.sourceignore`, and one that would be expensive is refused.
#[test]
fn a_sourceignore_that_is_a_link_or_too_large_is_not_used() {
    let linked = memory(&["a.txt", "rules = *.txt"]).with_link(&at(".sourceignore"), "rules");
    let tree = select(Arc::new(linked), Convention::Repository, None).unwrap();
    assert_eq!(tree.kind(&at("a.txt")), Ok(Some(EntryKind::File)));
    for rules in ["x\n".repeat(40_000), "x\n".repeat(3_000)] {
        let tree = memory(&["a.txt"]).with_file(&at(".sourceignore"), rules);
        let tree = select(Arc::new(tree), Convention::Repository, None).unwrap();
        let error = tree.list(&TreePath::root()).unwrap_err();
        assert!(
            matches!(&error, TreeError::TooLarge { path, .. } | TreeError::Failed { path, .. } if path == ".sourceignore"),
            "{error}"
        );
    }
    let too_long = select(Arc::new(Memory::new()), Convention::Repository, Some(&"x".repeat(70_000)));
    assert_eq!(too_long.unwrap_err(), InvalidIgnore::TooLong(70_000));
    let too_many = select(Arc::new(Memory::new()), Convention::Repository, Some(&"x\n".repeat(1_001)));
    assert_eq!(too_many.unwrap_err(), InvalidIgnore::TooMany(1_001));
}

/// Attack 7 (Sources): a rule that takes for ever with a simple matcher.
#[test]
fn a_rule_full_of_stars_is_answered() {
    let rule = format!("{}b\n/{}b\n", "*a".repeat(40), "**/a".repeat(40));
    let path = format!("{}/{}", ["a"; 500].join("/"), "a".repeat(250));
    let tree = memory(&[&path]);
    let tree = select(Arc::new(tree), Convention::Repository, Some(&rule)).unwrap();
    assert_eq!(tree.kind(&at(&path)), Ok(Some(EntryKind::File)));
}

#[test]
fn a_render_does_not_depend_on_rules_about_other_files() {
    let files = ["a/app.yaml = app", "b/logo.png = logo"];
    let view = View::new(select(Arc::new(memory(&files)), Convention::Repository, None).unwrap(), 99);
    view.list("a").unwrap();
    view.read("a/app.yaml").unwrap();
    let record = view.record();
    let holds = |spec| {
        record.holds_for(&*select(Arc::new(memory(&files)), Convention::Repository, Some(spec)).unwrap())
    };
    assert!(holds("/b"));
    assert!(!holds("/a"));
    assert!(!holds("app.*"));
}

/// Counts how often the tree is asked.
#[derive(Debug)]
struct Counting(Memory, std::sync::atomic::AtomicUsize);

impl Counting {
    fn count(&self) {
        self.1.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    }
}

impl Tree for Counting {
    fn kind(&self, path: &TreePath) -> Result<Option<EntryKind>, TreeError> {
        self.count();
        self.0.kind(path)
    }
    fn list(&self, path: &TreePath) -> Result<Vec<plumb_tree::Entry>, TreeError> {
        self.count();
        self.0.list(path)
    }
    fn size(&self, path: &TreePath) -> Result<u64, TreeError> {
        self.0.size(path)
    }
    fn id(&self, path: &TreePath) -> Result<plumb_tree::ContentId, TreeError> {
        self.0.id(path)
    }
    fn read(&self, path: &TreePath, limit: u64) -> Result<Vec<u8>, TreeError> {
        self.count();
        self.0.read(path, limit)
    }
    fn read_link(&self, path: &TreePath) -> Result<String, TreeError> {
        self.0.read_link(path)
    }
}

#[test]
fn a_tree_is_not_walked() {
    let files: Vec<String> = (0..500).map(|number| format!("d{number}/x/y/.sourceignore = *.txt")).collect();
    let all = memory(&files.iter().map(String::as_str).collect::<Vec<_>>());
    let tree = Arc::new(Counting(all, Default::default()));
    let selected = select(tree.clone(), Convention::Repository, Some("/*\n!/d1*/x")).unwrap();
    selected.list(&TreePath::root()).unwrap();
    selected.list(&at("d17/x")).unwrap();
    assert!(tree.1.load(std::sync::atomic::Ordering::Relaxed) < 20);
}

/// Flux's rules for one file, said in the plainest way: the last rule that matches the file, or a directory that it is in, decides.
fn flux_shows(rules: &[String], path: &str) -> bool {
    let parts: Vec<&str> = path.split('/').collect();
    let decides = |rule: &&String| {
        let rule = rule.trim_start_matches('!');
        let (rule, only_directories) = match rule.strip_suffix('/') {
            Some(rule) => (rule, true),
            None => (rule, false),
        };
        let anchored: Vec<&str> = match rule.contains('/') {
            true => rule.trim_start_matches('/').split('/').collect(),
            false => vec!["**", rule],
        };
        (1..=parts.len())
            .filter(|end| !only_directories || *end < parts.len())
            .any(|end| agree(&anchored, &parts[..end]))
    };
    rules.iter().rev().find(decides).is_none_or(|rule| rule.starts_with('!'))
}

fn agree(rule: &[&str], path: &[&str]) -> bool {
    match (rule, path) {
        ([], []) => true,
        (["**", rest @ ..], path) => (0..=path.len()).any(|skipped| {
            // At the end it stands for at least one name.
            (!rest.is_empty() || !path.is_empty()) && agree(rest, &path[skipped..])
        }),
        ([part, rule @ ..], [name, path @ ..]) => (*part == "*" || part == name) && agree(rule, path),
        _ => false,
    }
}

proptest! {
    #[test]
    fn the_files_are_those_that_the_last_matching_rule_shows(
        files in proptest::collection::btree_set("[abc](/[abc]){0,3}", 0..12),
        in_file in proptest::collection::vec("!?/?([abc]|\\*)(/([abc]|\\*|\\*\\*)){0,2}/?", 0..4),
        in_spec in proptest::collection::vec("!?/?([abc]|\\*)(/([abc]|\\*|\\*\\*)){0,2}/?", 0..4),
    ) {
        let files: Vec<&str> = files
            .iter()
            .map(String::as_str)
            .filter(|path| !files.iter().any(|other| other.starts_with(&format!("{path}/"))))
            .collect();
        let tree = memory(&files).with_file(&at(".sourceignore"), in_file.join("\n"));
        let rules: Vec<String> = in_file.iter().chain(&in_spec).cloned().collect();
        let mut found = shown(&tree, Convention::Repository, Some(&in_spec.join("\n")));
        found.retain(|path| path != ".sourceignore");
        let expected: Vec<&str> = files.into_iter().filter(|path| flux_shows(&rules, path)).collect();
        prop_assert_eq!(found, expected, "{:?}", rules);
    }
}
