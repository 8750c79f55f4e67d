//! What the crate promises to those who read the documentation.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod examples_of_the_documentation_are_valid;
