//! Where a new viewer starts. (pure)

use std::sync::Arc;

use crate::channel::chunk::Chunk;
use crate::channel::ring::Ring;
use crate::ts::join::JoinRecord;

/// The chunk a viewer begins with, and what a decoder needs before it.
#[derive(Clone, Debug)]
pub struct Start {
    /// The chunk.
    pub chunk: Arc<Chunk>,
    /// The record of its join point.
    pub record: Arc<JoinRecord>,
}

impl Start {
    /// A start at this chunk, if a decoder can start there.
    #[must_use]
    pub fn at(chunk: &Arc<Chunk>) -> Option<Self> {
        let record = Arc::clone(chunk.join.as_ref()?);
        let chunk = Arc::clone(chunk);
        Some(Self { chunk, record })
    }
}

/// The newest join point at least `burst_us` of media behind the head, else the oldest held; `None` while there is none.
///
/// Unit: microseconds. What lies between it and the head is the burst: the cushion a player starts with.
#[must_use]
pub fn start(ring: &Ring, burst_us: u64) -> Option<Start> {
    Start::at(ring.join_behind(burst_us)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_viewer_waits_until_there_is_a_join_point() {
        let mut ring = Ring::new(10_000_000, 1 << 20);
        ring.push(Chunk::blank(1, 0, 1, false));
        assert!(start(&ring, 0).is_none());
        ring.push(Chunk::blank(2, 1_000, 1, true));
        assert_eq!(start(&ring, 2_000_000).unwrap().chunk.seq, 2);
    }

    #[test]
    fn the_burst_is_no_longer_than_needed() {
        let mut ring = Ring::new(10_000_000, 1 << 20);
        for seq in 1..=8 {
            ring.push(Chunk::blank(seq, seq * 500_000, 1, seq % 2 == 1));
        }
        assert_eq!(start(&ring, 2_000_000).unwrap().chunk.seq, 3);
        assert_eq!(start(&ring, 0).unwrap().chunk.seq, 7);
    }
}
