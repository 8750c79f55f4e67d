use std::sync::Arc;

use plumb_tree::{Memory, Record, View};
use rstest::rstest;

use crate::{at, memory};

fn tree() -> Memory {
    memory(&[
        "app/kustomization.yaml = resources: [deployment.yaml, ../base]",
        "app/deployment.yaml = kind: Deployment",
        "app/base -> ../base",
        "base/service.yaml = kind: Service",
        "other/file.yaml = other",
        "dead -> other/later.yaml",
    ])
}

/// What a renderer might look at: a listing, a file, one through a link, one that is not there, and a dead link.
fn record() -> Record {
    let view = View::new(Arc::new(tree()), 1024);
    view.list("app").unwrap();
    view.read("app/kustomization.yaml").unwrap();
    view.read("app/base/service.yaml").unwrap();
    view.read("app/missing.yaml").unwrap_err();
    view.read("dead").unwrap_err();
    view.record()
}

#[rstest]
#[case::nothing(tree())]
#[case::another_directory(tree().with_file(&at("elsewhere/new.yaml"), "new"))]
#[case::a_file_that_was_only_listed(tree().with_file(&at("app/deployment.yaml"), "kind: StatefulSet"))]
#[case::a_name_in_a_directory_that_was_not_listed(tree().with_file(&at("base/new.yaml"), "new"))]
#[case::bytes_that_were_not_read(tree().with_file(&at("other/file.yaml"), "changed"))]
fn it_holds_for_a_tree_that_differs_in(#[case] changed: Memory) {
    assert!(record().holds_for(&changed));
}

#[rstest]
#[case::bytes_that_were_read(tree().with_file(&at("app/kustomization.yaml"), "resources: []"))]
#[case::bytes_behind_a_link(tree().with_file(&at("base/service.yaml"), "changed"))]
#[case::a_name_in_a_listed_directory(tree().with_file(&at("app/new.yaml"), "new"))]
#[case::a_file_that_was_missing(tree().with_file(&at("app/missing.yaml"), "here"))]
#[case::a_link_that_leads_elsewhere(tree().with_link(&at("app/base"), "../other"))]
#[case::a_link_that_was_a_file(tree().with_link(&at("app/kustomization.yaml"), "deployment.yaml"))]
#[case::a_directory_that_was_a_file(tree().with_file(&at("app/deployment.yaml/x"), "x"))]
#[case::a_target_that_was_missing(tree().with_file(&at("other/later.yaml"), "here"))]
#[case::everything(Memory::new())]
fn it_does_not_hold_for_a_tree_that_differs_in(#[case] changed: Memory) {
    assert!(!record().holds_for(&changed));
}

#[test]
fn nothing_looked_at_holds_for_every_tree() {
    let view = View::new(Arc::new(tree()), 1024);
    assert!(view.record().is_empty());
    assert!(view.record().holds_for(&Memory::new()));
    view.stat("app/deployment.yaml").unwrap();
    assert!(!view.record().is_empty() && !view.record().holds_for(&Memory::new()));
}
