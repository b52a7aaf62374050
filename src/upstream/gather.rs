//! How much an upstream has to send before it is read again. (pure)
//!
//! A source that dribbles is read a chunk at a time and not a write at a time: being woken costs more than reading. What
//! lies in the socket below that amount is fetched when it may have lain there for a chunk's age, or as long as viewers
//! wait anyway. Setting the socket and the alarm is up to `read`. The rule: no byte lies longer than that, and a silent upstream costs nothing.

/// Decides when one upstream is read.
#[derive(Debug)]
pub struct Gather {
    /// When the socket was last seen empty.
    empty_us: u64,
    /// Nothing came for so long that the first byte is worth a wake-up.
    is_quiet: bool,
}

impl Gather {
    /// For an upstream whose first byte is read at once.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            empty_us: 0,
            is_quiet: true,
        }
    }

    /// How many bytes to wait for where `missing` are wanted.
    ///
    /// Bound: at least one.
    #[must_use]
    pub fn least(&self, missing: usize) -> usize {
        if self.is_quiet { 1 } else { missing.max(1) }
    }

    /// When to read what there is, although it is less, if it may lie there for `age_us`.
    ///
    /// Unit: microseconds of the clock. `None` while the first byte is waited for.
    #[must_use]
    pub fn due_us(&self, age_us: u64) -> Option<u64> {
        (!self.is_quiet).then(|| self.empty_us.saturating_add(age_us))
    }

    /// Whether what is read at `now_us` was waited for, of bytes that may lie there for `age_us`.
    #[must_use]
    pub fn has_waited(&self, age_us: u64, now_us: u64) -> bool {
        !self.is_quiet && now_us.saturating_sub(self.empty_us) >= age_us / 2
    }

    /// Notes that the socket has been emptied at `now_us`, of so many bytes.
    pub fn emptied(&mut self, bytes: usize, now_us: u64) {
        self.empty_us = now_us;
        self.is_quiet = bytes == 0;
    }
}

impl Default for Gather {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AGE_US: u64 = 40_000;

    #[test]
    fn the_first_byte_is_read_at_once_and_then_a_chunk_at_a_time() {
        let mut gather = Gather::new();
        assert_eq!((gather.least(32_000), gather.due_us(AGE_US)), (1, None));
        gather.emptied(5_000, 1_000);
        assert_eq!(gather.least(27_000), 27_000);
        assert_eq!(gather.least(0), 1, "a full chunk lacks nothing");
    }

    #[test]
    fn what_lies_in_the_socket_is_fetched_before_it_is_older_than_a_chunk() {
        let mut gather = Gather::new();
        gather.emptied(5_000, 1_000);
        assert_eq!(gather.due_us(AGE_US), Some(41_000));
        gather.emptied(900, 41_000);
        assert_eq!(gather.due_us(AGE_US), Some(81_000));
    }

    #[test]
    fn what_was_not_waited_for_may_wait_in_a_chunk() {
        let mut gather = Gather::new();
        assert!(!gather.has_waited(AGE_US, 500_000), "the first byte");
        gather.emptied(5_000, 500_000);
        assert!(
            !gather.has_waited(AGE_US, 501_000),
            "one record after another"
        );
        assert!(gather.has_waited(AGE_US, 539_000));
    }

    #[test]
    fn a_silent_upstream_is_looked_at_once_and_then_wakes_by_its_first_byte() {
        let mut gather = Gather::new();
        gather.emptied(5_000, 1_000);
        gather.emptied(0, 41_000);
        assert_eq!((gather.least(27_000), gather.due_us(AGE_US)), (1, None));
        gather.emptied(188, 900_000);
        assert_eq!(gather.due_us(AGE_US), Some(940_000));
    }
}
