//! Values, records and YAML against Helm and Flux themselves: a Go program of `tests/helm` with their modules is built and asked.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod oracle;
mod records_are_those_of_helm;
mod values_are_those_of_flux;
mod yaml_is_read_back_as_it_was;
