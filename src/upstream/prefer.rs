//! When to go back to an upstream that stands higher in the list than the one in use. (pure)
//!
//! How a better one is looked at is in `probe`. The rule it protects: viewers are not thrown to and fro by an upstream
//! that comes and goes.

use std::time::Duration;

use crate::clock::micros;

/// The plan of one channel.
///
/// A better upstream is looked at every `every`. When a fetch that went back is lost before it has lasted as long as
/// the wait before it, the next wait is twice as long, up to [`DOUBLINGS_MAX`] times; one that lasts makes it short
/// again.
#[derive(Debug)]
pub struct Prefer {
    every: Duration,
    doublings: u32,
    returned_us: Option<u64>,
}

impl Prefer {
    /// A plan to look every so often; zero means never.
    #[must_use]
    pub fn new(every: Duration) -> Self {
        Self {
            every,
            doublings: 0,
            returned_us: None,
        }
    }

    /// Looks every so often from now on; zero means never.
    pub fn look_every(&mut self, every: Duration) {
        self.every = every;
    }

    /// How long to wait before the next look; `None` means for ever.
    #[must_use]
    pub fn wait(&self) -> Option<Duration> {
        (!self.every.is_zero()).then(|| self.every.saturating_mul(1 << self.doublings))
    }

    /// Notes that a better upstream was gone back to.
    pub fn returned(&mut self, now_us: u64) {
        self.returned_us = Some(now_us);
    }

    /// Notes that the fetch was lost.
    pub fn lost(&mut self, now_us: u64) {
        let Some(returned_us) = self.returned_us.take() else {
            return;
        };
        let held_us = now_us.saturating_sub(returned_us);
        let wanted_us = self.wait().map_or(0, micros);
        self.doublings = if held_us < wanted_us {
            (self.doublings + 1).min(DOUBLINGS_MAX)
        } else {
            0
        };
    }
}

/// How often the wait is doubled at most.
pub const DOUBLINGS_MAX: u32 = 5;

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);
    const MINUTE_US: u64 = 60_000_000;

    #[test]
    fn a_better_upstream_is_looked_at_every_so_often_or_never() {
        assert_eq!(Prefer::new(MINUTE).wait(), Some(MINUTE));
        assert_eq!(Prefer::new(Duration::ZERO).wait(), None);
    }

    #[test]
    fn each_return_that_does_not_last_doubles_the_wait_up_to_a_bound() {
        let mut prefer = Prefer::new(MINUTE);
        for doublings in [1, 2, 3, 4, 5, 5, 5] {
            prefer.returned(0);
            prefer.lost(MINUTE_US / 2);
            assert_eq!(prefer.wait(), Some(MINUTE * (1 << doublings)));
        }
    }

    #[test]
    fn a_return_that_lasts_makes_the_wait_short_again() {
        let mut prefer = Prefer::new(MINUTE);
        prefer.returned(0);
        prefer.lost(MINUTE_US - 1);
        assert_eq!(prefer.wait(), Some(MINUTE * 2));
        prefer.returned(MINUTE_US);
        prefer.lost(3 * MINUTE_US);
        assert_eq!(prefer.wait(), Some(MINUTE));
    }

    #[test]
    fn a_loss_without_a_return_changes_nothing() {
        let mut prefer = Prefer::new(MINUTE);
        prefer.lost(0);
        prefer.lost(1);
        assert_eq!(prefer.wait(), Some(MINUTE));
    }
}
