//! See [`plumb_plugins_fuzz::sealed_secret`].
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| plumb_plugins_fuzz::sealed_secret(bytes));
