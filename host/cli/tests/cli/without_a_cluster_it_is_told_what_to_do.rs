use rstest::rstest;

use crate::plumb::plumb;

#[rstest]
#[case::get(&["get", "ks"])]
#[case::reconcile(&["reconcile", "kustomization", "apps"])]
#[case::suspend(&["suspend", "kustomization", "apps"])]
#[case::resume(&["resume", "source", "apps"])]
#[case::install(&["install"])]
fn every_command_that_needs_one_says_how_to_name_it(#[case] args: &[&str]) {
    let failure = plumb(args).failure();
    assert!(failure.starts_with("error: no cluster: set KUBECONFIG to a kubeconfig file"), "{failure}");
}

#[test]
fn the_whole_message() {
    insta::assert_snapshot!(plumb(&["get"]).failure(), @"error: no cluster: set KUBECONFIG to a kubeconfig file, put one into ~/.kube/config, or run in a pod: failed to infer config: in-cluster: (failed to read an incluster environment variable: environment variable not found), kubeconfig: (failed to determine current context): failed to determine current context");
}
