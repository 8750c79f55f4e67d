use std::time::{Duration, Instant};

/// The wait after an API server was silent once; it doubles with each time.
const FIRST_WAIT: Duration = Duration::from_secs(2);
/// The longest such wait.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// Whether a remote API server answers. One that does not is asked less and less often, by whoever comes then; everybody else is told at once, and
/// takes no time that others could use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Reach {
    /// Nobody has asked yet, or something has failed since.
    #[default]
    Unknown,
    /// It has answered.
    Answers,
    /// It was silent so many times in a row, and is left alone until then.
    Silent { times: u32, until: Instant },
}

/// What is to be done first by whoever wants something of an API server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum First {
    Nothing,
    Ask,
    GiveUp,
}

impl Reach {
    pub(super) fn first(self, now: Instant) -> First {
        match self {
            Self::Answers => First::Nothing,
            Self::Silent { until, .. } if now < until => First::GiveUp,
            Self::Unknown | Self::Silent { .. } => First::Ask,
        }
    }

    /// It was asked and has not answered.
    pub(super) fn silent(self, now: Instant) -> Self {
        let times = match self {
            Self::Silent { times, .. } => times.saturating_add(1),
            Self::Unknown | Self::Answers => 1,
        };
        let wait = FIRST_WAIT.saturating_mul(1 << times.saturating_sub(1).min(10)).min(LONGEST_WAIT);
        Self::Silent { times, until: now + wait }
    }

    /// Something has failed that may be because it does not answer.
    pub(super) fn doubted(self) -> Self {
        match self {
            Self::Answers => Self::Unknown,
            Self::Unknown | Self::Silent { .. } => self,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // Attack 23 (multi-tenancy): kubeconfigs of servers that take connections and say nothing.
    #[test]
    fn who_is_silent_is_asked_less_and_less_often() {
        let mut now = Instant::now();
        let mut reach = Reach::default();
        let mut waits = Vec::new();
        for _ in 0..20 {
            assert_eq!(reach.first(now), First::Ask);
            reach = reach.silent(now);
            let Reach::Silent { until, .. } = reach else { continue };
            assert_eq!(reach.first(now), First::GiveUp);
            waits.push((until - now).as_secs());
            now = until;
        }
        assert_eq!(waits.first_chunk(), Some(&[2, 4, 8, 16, 32, 60, 60]));
        assert_eq!(waits.last(), Some(&60));
    }

    #[test]
    fn who_answers_is_not_asked_again_until_something_fails() {
        let now = Instant::now();
        assert_eq!(Reach::Answers.first(now), First::Nothing);
        assert_eq!(Reach::Answers.doubted().first(now), First::Ask);
        let silent = Reach::Unknown.silent(now);
        assert_eq!(silent.doubted(), silent, "that something failed is no news");
    }
}
