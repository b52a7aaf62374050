//! Signs of life of the shards. (pure)
//!
//! Each shard leaves one now and then, which takes its executor and its clock; who looks at them belongs in `shard::watch`.
//! The rule: a shard that hangs keeps nobody else from finding out.

use std::sync::atomic::{AtomicU64, Ordering};

/// When each shard was last seen to live.
///
/// Unit: microseconds on the process's time line.
#[derive(Debug)]
pub struct Heartbeats(Box<[AtomicU64]>);

impl Heartbeats {
    /// So many shards, all of them alive at `now_us`.
    #[must_use]
    pub fn new(shards: usize, now_us: u64) -> Self {
        Self((0..shards).map(|_| AtomicU64::new(now_us)).collect())
    }

    /// Says that a shard lives.
    pub fn beat(&self, shard: usize, now_us: u64) {
        if let Some(beat) = self.0.get(shard) {
            beat.store(now_us, Ordering::Relaxed);
        }
    }

    /// Says that a shard has ended in order: it is never missed.
    pub fn ended(&self, shard: usize) {
        self.beat(shard, ENDED);
    }

    /// For how long each shard has been silent, in microseconds.
    pub fn silences_us(&self, now_us: u64) -> impl Iterator<Item = u64> {
        let beats = self.0.iter().map(|beat| beat.load(Ordering::Relaxed));
        beats.map(move |beat_us| now_us.saturating_sub(beat_us))
    }

    /// The first shard that has been silent for longer than `limit_us`.
    #[must_use]
    pub fn missed(&self, now_us: u64, limit_us: u64) -> Option<usize> {
        self.silences_us(now_us)
            .position(|silent_us| silent_us > limit_us)
    }
}

/// Later than any time.
const ENDED: u64 = u64::MAX;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shard_that_is_silent_for_too_long_is_missed() {
        let beats = Heartbeats::new(3, 1_000);
        assert_eq!(beats.missed(1_500, 500), None);
        beats.beat(0, 1_400);
        beats.beat(2, 1_400);
        assert_eq!(beats.missed(1_501, 500), Some(1));
        assert_eq!(
            beats.silences_us(1_501).collect::<Vec<_>>(),
            [101, 501, 101]
        );
        beats.beat(1, 1_502);
        assert_eq!(beats.missed(1_900, 500), None);
    }

    #[test]
    fn a_shard_that_has_ended_is_never_missed() {
        let beats = Heartbeats::new(2, 0);
        beats.ended(0);
        beats.beat(1, 9_000_000);
        assert_eq!(beats.missed(9_000_000, 0), None);
    }

    #[test]
    fn time_that_seems_to_run_back_is_no_silence() {
        let beats = Heartbeats::new(1, 5_000);
        assert_eq!(beats.missed(4_000, 0), None);
    }
}
