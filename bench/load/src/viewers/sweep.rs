//! When each viewer that discards has its turn to be emptied. (pure)
//!
//! Emptying belongs in `worker.rs`. The rule: turns are spread evenly over a round, and a round is as long as it may be
//! without a viewer's window filling up, so that few calls move many bytes.

use crate::spread::to_f64;
use std::time::Duration;

/// Goes round all viewers, so fast that about [`SWEPT_BYTES`] lie in each socket when its turn comes.
pub(super) struct Sweep {
    place: usize,
    round: Duration,
    last: Duration,
    taken_bytes: u64,
    taken_count: u64,
}

impl Sweep {
    /// Begins its first round at `now`.
    pub(super) fn new(now: Duration) -> Self {
        Self {
            place: 0,
            round: ROUND_MAX / 2,
            last: now,
            taken_bytes: 0,
            taken_count: 0,
        }
    }

    /// How many of `all` have their turn by `now`.
    pub(super) fn due(&mut self, all: usize, now: Duration) -> usize {
        let each = self.round / u32::try_from(all.max(1)).unwrap_or(u32::MAX);
        let passed = now.saturating_sub(self.last);
        let count = passed.as_nanos() / each.as_nanos().max(1);
        let count = usize::try_from(count).unwrap_or(usize::MAX);
        if count >= all {
            self.last = now;
            return all;
        }
        // What is left of a turn's time counts towards the next.
        self.last += each.saturating_mul(u32::try_from(count).unwrap_or(u32::MAX));
        count
    }

    /// Whose turn it is, of `all`.
    pub(super) fn next(&mut self, all: usize) -> usize {
        self.place = (self.place + 1) % all.max(1);
        if self.place == 0 && self.taken_count > 0 {
            let mean = self.taken_bytes / self.taken_count;
            let wanted = self.round.mul_f64(SWEPT_BYTES / to_f64(mean.max(1)));
            // Half way at once: one odd round changes little.
            self.round = ((self.round + wanted) / 2).clamp(ROUND_MIN, ROUND_MAX);
            (self.taken_bytes, self.taken_count) = (0, 0);
        }
        self.place
    }

    /// Takes how much lay in a socket.
    pub(super) fn took(&mut self, bytes: usize) {
        self.taken_bytes += bytes as u64;
        self.taken_count += 1;
    }

    /// How long until some have their turn again.
    pub(super) fn pause(&self) -> Duration {
        (self.round / 16).max(Duration::from_millis(1))
    }
}

/// A viewer that discards offers a window of at least twice this.
const SWEPT_BYTES: f64 = 131_072.0;
const ROUND_MIN: Duration = Duration::from_millis(2);
const ROUND_MAX: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    /// Runs rounds over viewers that get so many bytes per second and says how much lies in a socket at its turn.
    fn settled_bytes(bytes_per_ms: u64, viewers: usize) -> u64 {
        let mut sweep = Sweep::new(ms(0));
        let mut swept = vec![ms(0); viewers];
        let mut last = 0;
        for step in 0..20_000 {
            let now = Duration::from_micros(step * 500);
            for _ in 0..sweep.due(viewers, now) {
                let at = sweep.next(viewers);
                let waited = now.saturating_sub(std::mem::replace(&mut swept[at], now));
                last = u64::try_from(waited.as_micros()).unwrap() * bytes_per_ms / 1000;
                sweep.took(usize::try_from(last).unwrap());
            }
        }
        last
    }

    #[test]
    fn round_settles_where_each_socket_holds_what_is_wanted() {
        for bytes_per_ms in [10_000, 20_000] {
            let bytes = settled_bytes(bytes_per_ms, 100);
            assert!(
                (65_000..260_000).contains(&bytes),
                "{bytes_per_ms}: {bytes}"
            );
        }
    }

    #[test]
    fn round_of_slow_media_is_bounded() {
        let bytes = settled_bytes(100, 100);
        assert!(bytes <= 15_000, "100 ms of 100 bytes/ms: {bytes}");
    }

    #[test]
    fn everyone_has_one_turn_in_a_round() {
        let mut sweep = Sweep::new(ms(0));
        let count = sweep.due(7, ms(50));
        assert_eq!(count, 7);
        let mut turns: Vec<usize> = (0..count).map(|_| sweep.next(7)).collect();
        turns.sort_unstable();
        assert_eq!(turns, [0, 1, 2, 3, 4, 5, 6]);
        assert_eq!(sweep.due(7, ms(50)), 0);
    }
}
