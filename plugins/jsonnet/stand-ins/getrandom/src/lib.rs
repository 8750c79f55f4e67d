//! Stands in for `getrandom`, with which the YAML reader of jrsonnet's standard library seeds its maps, and which would ask JavaScript. A plugin has no random
//! numbers: the same input has to give the same result. So these are always the same.
#![allow(missing_docs, reason = "the interface is that of getrandom")]

use std::fmt;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Error;

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("there are no random numbers")
    }
}

impl std::error::Error for Error {}

/// Writes numbers that look random and are the same in every call.
pub fn fill(bytes: &mut [u8]) -> Result<(), Error> {
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    for byte in bytes {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        *byte = state.to_le_bytes()[4];
    }
    Ok(())
}

impl Error {
    pub fn raw_os_error(self) -> Option<i32> {
        None
    }
}

/// As [`fill`].
pub fn u32() -> Result<u32, Error> {
    let mut bytes = [0; 4];
    fill(&mut bytes).map(|()| u32::from_le_bytes(bytes))
}

/// As [`fill`].
pub fn u64() -> Result<u64, Error> {
    let mut bytes = [0; 8];
    fill(&mut bytes).map(|()| u64::from_le_bytes(bytes))
}
