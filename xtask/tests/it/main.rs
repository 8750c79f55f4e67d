//! What the documentation promises about the code.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod the_security_page_names_tests_that_exist;
