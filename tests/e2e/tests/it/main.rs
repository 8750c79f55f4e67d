//! One behaviour a file, against the cluster that `KUBECONFIG` names.
#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod apply_engine;
mod migration;
mod scene;
mod servers;

mod a_broken_or_empty_render_prunes_nothing;
mod a_bucket_is_applied;
mod a_commit_is_applied;
mod a_deletion_that_hangs_names_what_holds_it;
mod a_failed_attempt_is_made_again_when_anything_changes;
mod a_field_that_is_not_honoured_stalls;
mod a_git_repository_is_taken_in_part_and_put_together;
mod a_git_server_that_goes_down_and_comes_back;
mod a_kustomization_shapes_what_it_applies;
mod a_restart_changes_nothing;
mod a_service_account_does_what_it_may;
mod a_suspended_kustomization_touches_nothing;
mod a_tenant_cannot_reach_what_is_not_his;
mod a_wrong_password_is_told_and_mended;
mod an_annotation_says_how_an_object_is_applied;
mod an_object_waits_for_its_kind;
mod an_oci_artifact_is_applied;
mod an_update_changes_what_the_commit_changes;
mod another_cluster_is_reached_by_a_kubeconfig;
mod any_object_can_be_a_dependency;
mod cli_diff_shows_what_would_change;
mod cli_explains_what_an_object_waits_for;
mod cli_get_lists_objects;
mod cli_process;
mod cli_reconcile_waits_for_the_answer;
mod cli_suspend_and_resume;
mod cli_traces_and_shows_what_was_applied;
mod common_mistakes_are_told_once;
mod deletion_policies_are_kept;
mod dependencies_are_applied_first;
mod drift_is_put_back;
mod fields_that_others_may_change_are_left_alone;
mod health_is_told_by_expressions;
mod health_is_waited_for_where_asked;
mod much_is_pruned_only_when_it_is_confirmed;
mod odd_fields_of_a_source_do_no_harm;
mod one_replica_leads;
mod requests_and_metrics;
mod sources_of_other_controllers_are_used;
mod tenants_are_locked_in;
mod the_notification_controller_is_told;
mod two_kustomizations_that_claim_one_object;
mod variables_are_put_in;
mod variables_come_from_config_maps_and_secrets;
mod what_is_removed_from_git_is_pruned;
