//! What the plumb command prints and answers, one behaviour a file. Needs the built-in plugins, but no cluster.
#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod pipelines_are_rendered_and_tested;
mod plumb;

mod a_chart_is_put_together_as_by_the_controller;
mod a_directory_is_rendered;
mod a_helmrelease_in_a_file_is_rendered;
mod a_kustomization_in_a_file_is_rendered;
mod a_mistake_is_told_with_its_place;
mod a_repository_is_linted;
mod help_and_completion;
mod plugins_are_compiled_by_a_process_of_their_own;
mod variables_are_put_in;
mod what_is_installed_can_be_exported;
mod without_a_cluster_it_is_told_what_to_do;
