//! What expressions mean, what they may cost, and what is told of them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod a_dependency_is_ready_when_its_expression_says_so;
mod a_misspelt_field_is_found_in_the_schema;
mod an_expression_cannot_cost_more_than_its_budget;
mod health_follows_the_expressions_of_flux;
mod what_is_wrong_is_told_without_values;
