//! How often a document is looked at. (pure)
//!
//! Looking belongs to `document.rs`. The rule: a place in trouble is asked less and less often, and many relays that
//! started together do not ask together.

use std::time::Duration;

/// When the next look is due, after each look.
#[derive(Clone, Debug)]
pub struct Pace {
    every: Option<Duration>,
    failures: u32,
}

impl Pace {
    /// Looks this often; zero: until there is a good one, and then never again.
    #[must_use]
    pub fn new(every: Duration) -> Self {
        Self {
            every: (!every.is_zero()).then_some(every),
            failures: 0,
        }
    }

    /// The last look found a good document, or the one that is known: how long until the next. `None` is never.
    ///
    /// `random` is from 0 to 1.
    pub fn after_good(&mut self, random: f64) -> Option<Duration> {
        self.failures = 0;
        self.every.map(|every| spread(every, random))
    }

    /// The last look found nothing good: how long until the next.
    ///
    /// `random` is from 0 to 1. Bound: never longer than after a good one.
    pub fn after_bad(&mut self, random: f64) -> Duration {
        let doubled = FIRST.saturating_mul(1 << self.failures.min(DOUBLINGS_MAX));
        self.failures = self.failures.saturating_add(1);
        let wait = doubled.min(self.every.unwrap_or(Duration::MAX));
        spread(wait, random)
    }
}

/// Up to a tenth less.
fn spread(wait: Duration, random: f64) -> Duration {
    wait.mul_f64(1.0 - 0.1 * random.clamp(0.0, 1.0))
}

/// How long after the first look that found nothing good.
const FIRST: Duration = Duration::from_secs(10);

/// How often that is doubled: up to 21 minutes.
const DOUBLINGS_MAX: u32 = 7;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_in_trouble_is_asked_less_and_less_often() {
        let mut pace = Pace::new(Duration::from_secs(3600));
        let waits: Vec<u64> = (0..9).map(|_| pace.after_bad(0.0).as_secs()).collect();
        assert_eq!(waits, [10, 20, 40, 80, 160, 320, 640, 1280, 1280]);
        assert_eq!(pace.after_good(0.0), Some(Duration::from_secs(3600)));
        assert_eq!(pace.after_bad(0.0), Duration::from_secs(10));
    }

    #[test]
    fn trouble_never_makes_it_rarer_than_usual() {
        let mut pace = Pace::new(Duration::from_secs(1));
        assert!((0..99).all(|_| pace.after_bad(0.0) == Duration::from_secs(1)));
    }

    #[test]
    fn never_means_once_a_good_one_is_there() {
        let mut pace = Pace::new(Duration::ZERO);
        assert_eq!(pace.after_bad(0.0), Duration::from_secs(10));
        assert_eq!(pace.after_good(0.5), None);
    }

    #[test]
    fn relays_that_started_together_do_not_ask_together() {
        let wait = |random| {
            Pace::new(Duration::from_secs(100))
                .after_good(random)
                .unwrap()
        };
        assert_eq!(wait(0.0), Duration::from_secs(100));
        assert_eq!(wait(0.5), Duration::from_secs(95));
        assert_eq!(wait(1.0), Duration::from_secs(90));
    }
}
