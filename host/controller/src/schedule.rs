//! When to look again: intervals with jitter, and back-off after failures. Pure.

use std::time::Duration;

/// The interval, lengthened or shortened by up to `percent` of itself, so that objects that were created together do not
/// stay in step. `random` is uniform in `0.0..1.0`.
pub(crate) fn jittered(interval: Duration, percent: u8, random: f64) -> Duration {
    let share = f64::from(percent.min(99)) / 100.0;
    interval.mul_f64(1.0 + share * (random * 2.0 - 1.0))
}

/// How long to wait after failures that may pass by themselves, the first, the second, …: `min`, doubled each time, at the most `max`.
pub(crate) fn backoff(failures: u32, min: Duration, max: Duration) -> Duration {
    let doublings = failures.saturating_sub(1).min(30);
    min.saturating_mul(1 << doublings).min(max)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case::shortest(0.0, 95)]
    #[case::middle(0.5, 100)]
    #[case::longest(1.0, 105)]
    fn jitter_stays_within_its_share(#[case] random: f64, #[case] seconds: u64) {
        assert_eq!(jittered(Duration::from_secs(100), 5, random).as_secs_f64().round() as u64, seconds);
    }

    #[rstest]
    #[case(1, 750)]
    #[case(2, 1_500)]
    #[case(3, 3_000)]
    #[case(20, 60_000)]
    #[case(u32::MAX, 60_000)]
    fn backoff_doubles_up_to_its_bound(#[case] failures: u32, #[case] millis: u64) {
        let (min, max) = (Duration::from_millis(750), Duration::from_secs(60));
        assert_eq!(backoff(failures, min, max), Duration::from_millis(millis));
    }
}
