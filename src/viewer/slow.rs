//! What becomes of a viewer that has left the ring: wait, skip or drop. (pure)

use std::time::Duration;

use crate::channel::ring::Ring;
use crate::config::{SlowPolicy, Stream};
use crate::viewer::burst::Start;

/// What a lagging viewer does next.
#[derive(Clone, Debug)]
pub enum Verdict {
    /// Its connection is closed.
    Drop,
    /// It goes on at this join point.
    Skip(Start),
    /// It waits for the next join point: the ring holds none.
    Wait,
}

/// Judges a viewer whose next chunk has been evicted.
///
/// It skips to the newest join point at least `cushion_us` behind the head, else to the newest at all: at the oldest it
/// would fall out again at once.
#[must_use]
pub fn lagged(ring: &Ring, policy: SlowPolicy, cushion_us: u64) -> Verdict {
    if policy == SlowPolicy::Drop {
        return Verdict::Drop;
    }
    let latest_us = ring.media_us().unwrap_or(0).saturating_sub(cushion_us);
    let behind = ring
        .join_behind(cushion_us)
        .filter(|chunk| chunk.media_us <= latest_us);
    behind
        .or_else(|| ring.newest_join())
        .and_then(Start::at)
        .map_or(Verdict::Wait, Verdict::Skip)
}

/// How far behind the head a viewer that skips goes on: its burst, but no more than half the ring.
///
/// A cushion as long as the ring would be lost again at once.
#[must_use]
pub fn cushion(limits: &Stream) -> Duration {
    limits.burst.min(limits.ring / 2)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::channel::chunk::Chunk;

    fn ring(chunks: u64, joins_every: u64) -> Ring {
        let mut ring = Ring::new(10_000_000, 1 << 20);
        for seq in 1..=chunks {
            ring.push(Chunk::blank(seq, seq * 100_000, 1, seq % joins_every == 0));
        }
        ring
    }

    fn target(ring: &Ring, burst_us: u64) -> Option<u64> {
        match lagged(ring, SlowPolicy::Skip, burst_us) {
            Verdict::Skip(start) => Some(start.chunk.seq),
            Verdict::Drop | Verdict::Wait => None,
        }
    }

    #[test]
    fn a_cushion_is_the_burst_but_no_more_than_half_the_ring() {
        let limits = |burst, ring| Stream {
            burst: Duration::from_millis(burst),
            ring: Duration::from_millis(ring),
            ..Stream::default()
        };
        assert_eq!(cushion(&limits(2_000, 10_000)).as_millis(), 2_000);
        assert_eq!(cushion(&limits(9_000, 10_000)).as_millis(), 5_000);
    }

    #[test]
    fn a_skip_keeps_the_cushion_if_it_can() {
        assert_eq!(target(&ring(50, 10), 2_000_000), Some(30));
    }

    #[test]
    fn without_a_point_far_enough_behind_it_is_the_newest() {
        assert_eq!(target(&ring(50, 10), 9_000_000), Some(50));
    }

    #[test]
    fn without_a_join_point_the_viewer_waits_and_a_strict_channel_drops_it() {
        assert!(matches!(
            lagged(&ring(5, 10), SlowPolicy::Skip, 0),
            Verdict::Wait
        ));
        assert!(matches!(
            lagged(&ring(50, 10), SlowPolicy::Drop, 0),
            Verdict::Drop
        ));
    }
}
