//! What a host promises about plugins, each file one behaviour. The guests are written as WebAssembly text.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod guest;
mod heard;

mod a_broken_guest_harms_nobody;
mod a_krm_function_in_go_runs_unchanged;
mod a_plugin_that_does_not_fit_is_refused;
mod a_program_compiles;
mod all_four_worlds_work;
mod built_in_health_checks_work;
mod built_in_plugins_survive_hostile_files;
mod built_in_transformers_and_validators_work;
mod builtin;
mod calls_run_side_by_side;
mod capabilities_are_granted_by_the_caller;
mod charts_render_with_what_they_are_granted;
mod charts_that_are_made_to_hurt_are_refused;
mod compiled_components_are_kept;
mod krm_functions_run_unchanged;
mod limits_end_a_call;
mod messages_of_guests_reach_the_log;
mod what_a_guest_returns_is_checked;
