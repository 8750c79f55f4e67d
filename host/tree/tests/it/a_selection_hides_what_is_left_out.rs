use std::sync::Arc;

use plumb_tree::{Directories, EntryKind, Filter, Memory, Selected, Tree, TreeError, TreePath, View};
use proptest::prelude::*;

use crate::{any_path, any_tree, at, contents, memory};

fn tree() -> Memory {
    memory(&[
        "apps/web/deployment.yaml = kind: Deployment",
        "apps/web-old/deployment.yaml = old",
        "apps/link -> web/deployment.yaml",
        "apps/out -> ../base/service.yaml",
        "base/service.yaml = kind: Service",
        "README.md = hello",
    ])
}

fn only(tree: Memory, directories: &[&str]) -> Arc<dyn Tree> {
    let directories = Directories::new(directories.iter().map(|path| at(path)).collect());
    Arc::new(Selected::new(Arc::new(tree), directories))
}

#[test]
fn what_is_left_out_looks_like_what_was_never_there() {
    let tree = only(tree(), &["apps/web"]);
    assert_eq!(tree.kind(&at("apps")), Ok(Some(EntryKind::Directory)));
    assert_eq!(tree.kind(&at("apps/web-old")), Ok(None));
    assert_eq!(tree.kind(&at("README.md")), Ok(None));
    for hidden in ["README.md", "base", "base/service.yaml", "apps/web-old/deployment.yaml", "apps/link"] {
        let missing = TreeError::NotFound(at(hidden).to_string());
        assert_eq!(tree.read(&at(hidden), 99), Err(missing.clone()));
        assert_eq!(tree.list(&at(hidden)), Err(missing.clone()));
        assert_eq!(tree.size(&at(hidden)), Err(missing.clone()));
        assert_eq!(tree.id(&at(hidden)), Err(missing.clone()));
        assert_eq!(tree.read_link(&at(hidden)), Err(missing));
    }
    let names =
        |path: &str| tree.list(&at(path)).unwrap().into_iter().map(|entry| entry.name).collect::<Vec<_>>();
    assert_eq!((names(""), names("apps")), (vec!["apps".to_owned()], vec!["web".to_owned()]));
    assert_eq!(tree.read(&at("apps/web/deployment.yaml"), 99).unwrap(), b"kind: Deployment");
}

/// Attack 2 (Sources): a link from what is shown to what is left out leads nowhere.
#[test]
fn a_link_cannot_reach_what_is_left_out() {
    let view = View::new(only(tree(), &["apps"]), 99);
    assert_eq!(view.read("apps/link").unwrap(), b"kind: Deployment");
    assert_eq!(view.read("apps/out"), Err(TreeError::NotFound("apps/out".to_owned())));
}

#[test]
fn a_record_holds_when_only_other_files_change() {
    let view = View::new(only(tree(), &["apps/web"]), 99);
    view.list("").unwrap();
    view.read("apps/web/deployment.yaml").unwrap();
    let record = view.record();
    let holds = |tree: Memory, directories: &[&str]| record.holds_for(&*only(tree, directories));
    assert!(holds(tree(), &["apps/web"]));
    assert!(holds(tree().with_file(&at("README.md"), "changed"), &["apps/web"]));
    assert!(holds(tree().with_file(&at("apps/web/new.yaml"), "new"), &["apps/web"]), "web was not listed");
    assert!(holds(tree(), &["apps"]), "all that was looked at is the same");
    assert!(!holds(tree(), &["apps", "base"]), "the root has another name");
    assert!(!holds(tree().with_file(&at("apps/web/deployment.yaml"), "changed"), &["apps/web"]));
    assert!(!holds(tree(), &["base"]));
}

/// Leaves out what has a name.
#[derive(Debug)]
struct Unnamed(String);

impl Filter for Unnamed {
    fn shows(&self, _: &dyn Tree, path: &TreePath, _: EntryKind) -> Result<bool, TreeError> {
        Ok(path.parts().all(|part| part != self.0))
    }
}

proptest! {
    #[test]
    fn only_what_the_filter_shows_is_there(tree in any_tree(), name in "[abc]") {
        let mut expected = contents(&tree);
        expected.retain(|path, _| path.split('/').all(|part| part != name));
        prop_assert_eq!(contents(&Selected::new(Arc::new(tree), Unnamed(name))), expected);
    }

    #[test]
    fn directories_are_there_with_the_way_to_them(tree in any_tree(), directories in proptest::collection::vec(any_path(), 0..3)) {
        let mut expected = contents(&tree);
        expected.retain(|path, (kind, _)| directories.iter().any(|shown| {
            format!("{path}/").starts_with(&format!("{shown}/"))
                || *kind == EntryKind::Directory && format!("{shown}/").starts_with(&format!("{path}/"))
        }));
        let selected = Selected::new(Arc::new(tree), Directories::new(directories));
        prop_assert_eq!(contents(&selected), expected);
    }
}
