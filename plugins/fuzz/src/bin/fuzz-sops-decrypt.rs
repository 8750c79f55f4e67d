//! See [`plumb_plugins_fuzz::sops_decrypt`].
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| plumb_plugins_fuzz::sops_decrypt(bytes));
