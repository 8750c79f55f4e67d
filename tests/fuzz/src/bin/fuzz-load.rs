//! See [`plumb_fuzz::load`].
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| plumb_fuzz::load(bytes));
