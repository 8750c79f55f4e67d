//! What time it is. Needs `capabilities.clock` of the step; the result of the plugin is not cached.

use crate::host;

/// Seconds since 1970-01-01T00:00:00Z; none when the step was not granted the clock.
pub fn now() -> Option<u64> {
    host::now()
}
