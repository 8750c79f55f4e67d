//! One behaviour a file.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod a_plugin_is_asked_once_about_a_version;
mod guest;
mod the_first_that_is_for_a_kind_judges;
mod what_nobody_can_tell_is_never_healthy;
