//! What is found in repositories and clusters, one behaviour a file.
#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod repository;

mod a_cluster_is_looked_at_object_by_object;
mod a_finding_is_told_with_its_place;
mod every_rule_finds_what_it_is_for;
mod every_rule_is_documented;
mod plain_secrets_are_found_and_never_quoted;
mod what_is_right_is_left_alone;
