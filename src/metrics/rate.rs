//! How fast a count has grown over the last seconds. (pure)
//!
//! For what only grows: bytes, CPU time. The rule: it costs whoever counts two comparisons, and nobody a timer.

use std::cell::Cell;

/// The growth of one count, in windows of two seconds that begin and end when somebody notes the count.
///
/// Shape: shown is the last whole window, or since its end if that is longer ago than a window: so a count that stands
/// still goes towards zero.
///
/// Unit: microseconds of the clock in, what is counted per second out.
#[derive(Debug, Default)]
pub struct Rate {
    begun_us: Cell<u64>,
    begun_total: Cell<u64>,
    last: Cell<Option<u64>>,
}

impl Rate {
    /// A rate of a count that is 0 now.
    #[must_use]
    pub fn begun(now_us: u64) -> Self {
        Self {
            begun_us: Cell::new(now_us),
            ..Self::default()
        }
    }

    /// Whether noting the count now would end a window.
    #[must_use]
    pub fn is_due(&self, now_us: u64) -> bool {
        self.passed_us(now_us) >= WINDOW_US
    }

    /// Notes the count. After a long silence a window begins anew: what came before says nothing about now.
    pub fn note(&self, total: u64, now_us: u64) {
        let passed_us = self.passed_us(now_us);
        if passed_us < WINDOW_US {
            return;
        }
        let is_whole = passed_us < 2 * WINDOW_US;
        self.last
            .set(is_whole.then(|| self.grown(total, passed_us)));
        self.begun_us.set(now_us);
        self.begun_total.set(total);
    }

    /// What is added per second, for a count that is `total` now.
    #[must_use]
    pub fn per_second(&self, total: u64, now_us: u64) -> u64 {
        let passed_us = self.passed_us(now_us);
        match self.last.get() {
            Some(last) if passed_us < WINDOW_US => last,
            _ if passed_us < SHORTEST_US => 0,
            _ => self.grown(total, passed_us),
        }
    }

    fn passed_us(&self, now_us: u64) -> u64 {
        now_us.saturating_sub(self.begun_us.get())
    }

    fn grown(&self, total: u64, passed_us: u64) -> u64 {
        let more = u128::from(total.saturating_sub(self.begun_total.get()));
        let per_second = more * 1_000_000 / u128::from(passed_us.max(1));
        u64::try_from(per_second).unwrap_or(u64::MAX)
    }
}

/// How long a window is at least.
pub const WINDOW_US: u64 = 2_000_000;

/// Less time than this says nothing.
const SHORTEST_US: u64 = 200_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_steady_count_has_its_rate_from_the_first_moments_on() {
        let rate = Rate::begun(1_000_000);
        assert_eq!(rate.per_second(50, 1_100_000), 0);
        let seen = (1..200).map(|turn| {
            let (total, now_us) = (turn * 100, 1_000_000 + turn * 100_000);
            rate.note(total, now_us);
            rate.per_second(total, now_us)
        });
        assert!(seen.skip(1).all(|rate| rate == 1_000));
    }

    #[test]
    fn a_count_that_stands_still_goes_towards_zero() {
        let rate = Rate::begun(0);
        rate.note(2_000, 2_000_000);
        assert_eq!(rate.per_second(2_000, 3_000_000), 1_000);
        assert_eq!(rate.per_second(2_000, 4_000_000), 0);
    }

    #[test]
    fn what_was_counted_before_a_silence_is_not_spread_over_it() {
        let rate = Rate::begun(0);
        rate.note(9_000, 90_000_000);
        assert_eq!(rate.per_second(9_000, 90_100_000), 0);
        assert_eq!(rate.per_second(9_500, 90_500_000), 1_000);
    }

    #[test]
    fn a_clock_that_seems_to_go_back_and_a_count_that_shrinks_are_no_rate() {
        let rate = Rate::begun(5_000_000);
        assert_eq!(rate.per_second(10, 1_000_000), 0);
        rate.note(100, 7_000_000);
        assert_eq!(rate.per_second(50, 10_000_000), 0);
    }
}
