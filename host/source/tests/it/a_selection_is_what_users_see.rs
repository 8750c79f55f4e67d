use std::sync::Arc;

use plumb_source::git::{Fetch, Fetched, GitError, Include, InvalidSelection, Selection, Submodules};
use plumb_tree::{EntryKind, Memory, Tree, TreePath};
use proptest::prelude::*;
use rstest::rstest;

use crate::{Bench, known, snapshot};

fn at(path: &str) -> TreePath {
    TreePath::new(path).unwrap()
}

fn bench() -> Bench {
    let bench = Bench::new();
    for file in
        ["apps/web/app.yaml", "apps/web/logo.png", "apps/web-old/app.yaml", "base/app.yaml", ".sourceignore"]
    {
        bench.repo.write(file, format!("in {file}")).unwrap();
    }
    bench.repo.write(".sourceignore", "/base\n").unwrap().commit("one").unwrap();
    bench
}

fn sparse(directories: &[&str]) -> Selection {
    let sparse_checkout = directories.iter().map(|path| (*path).to_owned()).collect();
    Selection { sparse_checkout, ..Selection::default() }
}

/// All files below the root, in order.
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
    found.sort();
    found
}

fn select(bench: &Bench, selection: Selection) -> Result<Vec<String>, GitError> {
    let fetched = bench.fetch(&Fetch { selection, ..bench.main() });
    match fetched? {
        Fetched::New(snapshot) => Ok(files(&*snapshot.tree)),
        Fetched::Unchanged(_) => panic!("nothing was known"),
    }
}

#[rstest]
#[case::everything(&[], &[".sourceignore", "apps/web-old/app.yaml", "apps/web/app.yaml", "apps/web/logo.png"])]
#[case::one(&["apps/web"], &["apps/web/app.yaml"])]
#[case::as_flux_users_write_it(&["./apps/web/"], &["apps/web/app.yaml"])]
#[case::a_sourceignore_that_is_not_there_does_not_count(&["base", "apps/web-old"], &["apps/web-old/app.yaml", "base/app.yaml"])]
#[case::the_root(&["."], &[".sourceignore", "apps/web-old/app.yaml", "apps/web/app.yaml", "apps/web/logo.png"])]
fn a_sparse_checkout_shows_its_directories(#[case] directories: &[&str], #[case] expected: &[&str]) {
    assert_eq!(select(&bench(), sparse(directories)).unwrap(), expected);
}

/// Attack 12 (Sources), CVE-2026-47680: whether a path of this host exists cannot be told from the message.
#[test]
fn a_directory_that_is_not_there_tells_nothing_of_this_host() {
    let bench = bench();
    let message = |path: &str| select(&bench, sparse(&[path])).unwrap_err().to_string().replace(path, "PATH");
    let missing = "spec.sparseCheckout names \"PATH\", which the repository does not have at this commit";
    let (there, not_there) = (bench.dir.path().to_str().unwrap().to_owned(), "/nothing/of/the/kind");
    for path in [there.as_str(), not_there, "/etc", "/etc/passwd", "apps/nothing", "/proc/self/environ"] {
        assert_eq!(message(path), missing);
    }
    // Attack 1 (Sources): a path that leaves the repository is refused for that, wherever it leads.
    let outside = "spec.sparseCheckout cannot be used: the path \"PATH\" leads out of the root of the source";
    for path in ["../../../../../../etc", "../nothing", "apps/../../x"] {
        assert_eq!(message(path), outside);
    }
    assert!(select(&bench, sparse(&["a\0b"])).unwrap_err().needs_a_change());
    assert!(!select(&bench, sparse(&["nothing"])).unwrap_err().needs_a_change(), "a commit may add it");
}

fn include(from_path: Option<&str>, to_path: &str) -> Include {
    let tree = ["app.yaml", "deploy/db.yaml", "deploy/logo.png"]
        .iter()
        .fold(Memory::new(), |tree, path| tree.with_file(&at(path), *path));
    Include {
        repository: "other".to_owned(),
        tree: Arc::new(tree),
        digest: "sha1:aa".to_owned(),
        from_path: from_path.map(str::to_owned),
        to_path: to_path.to_owned(),
    }
}

#[test]
fn another_repository_is_included() {
    let bench = bench();
    let included =
        |include: Include| select(&bench, Selection { include: vec![include], ..sparse(&["apps/web"]) });
    assert_eq!(
        included(include(None, "other")).unwrap(),
        ["apps/web/app.yaml", "other/app.yaml", "other/deploy/db.yaml"]
    );
    assert_eq!(
        included(include(Some("./deploy"), "apps/db")).unwrap(),
        ["apps/db/db.yaml", "apps/web/app.yaml"]
    );
    assert_eq!(included(include(Some("deploy"), "/apps/web")).unwrap(), ["apps/web/db.yaml"]);
    let missing = included(include(Some("nothing"), "x")).unwrap_err();
    assert_eq!(
        missing.to_string(),
        "\"nothing\" of the GitRepository other cannot be included at \"x\": there is nothing at \"nothing\""
    );
    // Attack 1 (Sources): neither end leaves its repository.
    for (from, to) in [(Some("../x"), "x"), (None, "../x"), (None, "a/../../x")] {
        let error = included(include(from, to)).unwrap_err();
        assert!(matches!(error, GitError::Selection(InvalidSelection::Path { field: "spec.include", .. })));
    }
    let many = Selection { include: vec![include(None, "other"); 101], ..Selection::default() };
    let error = select(&bench, many).unwrap_err();
    assert!(matches!(error, GitError::Selection(InvalidSelection::TooMany { count: 101, limit: 100, .. })));
}

#[test]
fn what_is_ignored_is_ignored_in_what_is_included() {
    let selection = Selection {
        include: vec![include(None, "other")],
        ignore: Some("*.png\n/other/deploy\n".to_owned()),
        ..Selection::default()
    };
    let seen = select(&bench(), selection).unwrap();
    assert_eq!(seen, [".sourceignore", "apps/web-old/app.yaml", "apps/web/app.yaml", "other/app.yaml"]);
}

#[test]
fn another_selection_of_a_known_revision_is_new() {
    let bench = bench();
    let first = known(&bench.snapshot());
    assert_eq!(first.digest, format!("sha1:{}", bench.repo.git(&["rev-parse", "HEAD^{tree}"]).unwrap()));
    let fetch = |selection: &Selection, known: &plumb_source::git::Known| {
        let fetch = Fetch { selection: selection.clone(), known: Some(known.clone()), ..bench.main() };
        bench.fetch(&fetch)
    };
    assert!(matches!(fetch(&Selection::default(), &first), Ok(Fetched::Unchanged(_))));
    let second = known(&snapshot(fetch(&sparse(&["apps"]), &first)));
    assert_eq!(second.revision, first.revision);
    assert_ne!(second.digest, first.digest);
    assert!(matches!(fetch(&sparse(&["apps"]), &second), Ok(Fetched::Unchanged(_))));
    assert_eq!(bench.server.asked_for_objects().len(), 1, "the objects are the same");
    // And so it is after a restart.
    let bench = bench.restart();
    let again = bench.store.snapshot(&bench.url(), &second.revision, &sparse(&["apps"])).unwrap();
    assert_eq!(again.digest, second.digest);
    assert_eq!(files(&*again.tree), ["apps/web-old/app.yaml", "apps/web/app.yaml"]);
}

fn any_selection() -> impl Strategy<Value = Selection> {
    let include =
        (proptest::option::of("[ab]{0,2}"), "[ab]{0,2}").prop_map(|(from, to)| include(from.as_deref(), &to));
    let parts = (
        any::<bool>(),
        proptest::collection::vec("[ab]{0,2}", 0..3),
        proptest::collection::vec(include, 0..3),
        proptest::option::of("[ab]{0,2}"),
    );
    parts.prop_map(|(recurse, sparse_checkout, include, ignore)| Selection {
        submodules: if recurse { Submodules::Recurse } else { Submodules::Opaque },
        sparse_checkout,
        include,
        ignore,
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]
    #[test]
    fn digests_are_equal_when_selections_are(one in any_selection(), other in any_selection()) {
        let same = format!("{one:?}") == format!("{other:?}");
        let explicit = |selection: &Selection| {
            let mut selection = selection.clone();
            // No path is the root of what is included.
            selection.include.iter_mut().for_each(|include| {
                include.from_path.get_or_insert_default();
            });
            format!("{selection:?}")
        };
        let digest = |selection: &Selection| selection.digest("aa");
        prop_assert_eq!(digest(&one) == digest(&other), same || explicit(&one) == explicit(&other));
    }
}
