//! How a shard has fared over the last seconds. (pure)
//!
//! Counters and histograms tell of all the time since the start; this tells of now, for the operator's page. The rule: a
//! window ends when somebody looks after two seconds, and no timer runs for it.

use std::cell::{Cell, RefCell};

use crate::metrics::histogram::{Histogram, Observed};
use crate::metrics::rate::{Rate, WINDOW_US};

/// CPU time and fan-out delay of one shard over the last seconds.
#[derive(Debug, Default)]
pub struct Recent {
    busy: Rate,
    delays: Histogram,
    begun_us: Cell<u64>,
    begun: RefCell<Observed>,
    last: RefCell<Option<Observed>>,
}

impl Recent {
    /// Counts the time from a chunk's completion to its last byte being handed over.
    pub fn delayed(&self, delay_us: u64) {
        self.delays.observe(delay_us);
    }

    /// Whether [`Recent::note`] is to be called.
    #[must_use]
    pub fn is_due(&self, now_us: u64) -> bool {
        now_us.saturating_sub(self.begun_us.get()) >= WINDOW_US
    }

    /// Ends a window if it is due; `busy_us` is the CPU time used so far.
    pub fn note(&self, busy_us: u64, now_us: u64) {
        if !self.is_due(now_us) {
            return;
        }
        self.busy.note(busy_us, now_us);
        self.begun_us.set(now_us);
        let before = self.begun.replace(self.delays.observed());
        let window = self.begun.borrow().since(&before);
        self.last.replace(Some(window));
    }

    /// Share of one CPU that was used, in millionths. Bound: 1,000,000.
    #[must_use]
    pub fn busy_millionths(&self, busy_us: u64, now_us: u64) -> u64 {
        self.busy.per_second(busy_us, now_us).min(1_000_000)
    }

    /// The time within which so many of 1,000 left, in microseconds: the bound of a bucket. `None` if none did.
    #[must_use]
    pub fn delay_us(&self, permille: u64) -> Option<u64> {
        self.last.borrow().as_ref()?.quantile_us(permille)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_last_window_is_told_of() {
        let recent = Recent::default();
        assert_eq!(recent.delay_us(500), None);
        (0..100).for_each(|_| recent.delayed(40_000_000));
        recent.note(0, 2_000_000);
        assert_eq!(recent.delay_us(500), Some(60_000_000));
        (0..100).for_each(|_| recent.delayed(900));
        assert!(!recent.is_due(3_999_999));
        recent.note(500_000, 3_999_999);
        recent.note(500_000, 4_000_000);
        assert_eq!(recent.delay_us(990), Some(1_000));
        assert_eq!(recent.busy_millionths(500_000, 4_000_000), 250_000);
    }

    #[test]
    fn a_window_in_which_nothing_left_has_no_delay() {
        let recent = Recent::default();
        recent.delayed(900);
        recent.note(0, 2_000_000);
        recent.note(0, 4_000_000);
        assert_eq!(recent.delay_us(500), None);
    }
}
