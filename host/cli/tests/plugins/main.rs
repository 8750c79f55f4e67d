//! `plumb plugin`, one behaviour a file: with the compilers of four languages and a real registry, but no cluster.
//!
//! What is not installed fails its tests, and says what to install. ComponentizeJS and componentize-py are fetched by npm and pip the first time.
#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod plumb;
mod tools;

mod a_new_plugin_is_complete;
mod a_plugin_is_pushed_and_signed;
mod cases_are_compared;
mod the_guide_works;
mod the_same_plugin_is_written_in_four_languages;
