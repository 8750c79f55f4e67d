//! Randomness, for keys and passwords that a plugin makes up. Needs `capabilities.random` of the step; the result of the plugin is not cached.

use crate::host;

/// The seed of a generator: 32 bytes that nobody can predict, others each time; none when the step was not granted randomness.
pub fn seed() -> Option<[u8; 32]> {
    host::seed()?.try_into().ok()
}
