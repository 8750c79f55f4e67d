//! Steps, run with plugins that were made for the tests.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

#[allow(dead_code, reason = "it is shared with the tests of the plugin host, which use all of it")]
#[path = "../../../plugin/tests/it/guest.rs"]
mod guest;

mod a_plan_tells_every_mistake;
mod charts_are_kept_unless_they_are_left_to_chance;
mod files_are_decrypted_for_the_renderer;
mod krm_functions_of_the_source_run;
mod results_are_kept_while_what_was_read_is_the_same;
mod steps;
mod steps_run_one_after_the_other;
