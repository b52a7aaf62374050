//! The most recent chunks of one channel on one shard. (pure)
//!
//! Keeps history bounded in media time and bytes and answers where viewers stand in it. It never waits for anybody:
//! who falls out is told so. What to do then is the business of `viewer::slow`; where to start, of `viewer::burst`.

use std::collections::VecDeque;
use std::sync::Arc;

use thiserror::Error;

use crate::channel::chunk::Chunk;

/// Bounded chunk history.
///
/// Shape: chunks are numbered from 1 in arrival order and a number is never reused; `tail_seq() <= n < head_seq()` are
/// held. Numbers are contiguous: when a chunk arrives whose predecessors were lost on the way, the ring starts over
/// at it and everybody behind is lagged.
///
/// Bound: `span_us` of media and `bytes_max` bytes. The newest join point and what follows it stay past the span, but
/// not past `bytes_max`; the newest chunk always stays.
#[derive(Debug)]
pub struct Ring {
    chunks: VecDeque<Arc<Chunk>>,
    joins: VecDeque<u64>,
    head_seq: u64,
    bytes: usize,
    span_us: u64,
    bytes_max: usize,
}

impl Ring {
    /// An empty ring that will hold `span_us` microseconds of media in at most `bytes_max` bytes.
    #[must_use]
    pub fn new(span_us: u64, bytes_max: usize) -> Self {
        Self {
            chunks: VecDeque::new(),
            joins: VecDeque::new(),
            head_seq: 1,
            bytes: 0,
            span_us,
            bytes_max,
        }
    }

    /// Appends a chunk, evicting what the bounds no longer allow, and says how many chunks never arrived before it.
    ///
    /// A chunk that was already appended is ignored.
    pub fn push(&mut self, chunk: Arc<Chunk>) -> u64 {
        if chunk.seq < self.head_seq {
            return 0;
        }
        let lost = if self.chunks.is_empty() {
            0
        } else {
            chunk.seq - self.head_seq
        };
        if chunk.seq != self.head_seq {
            self.clear();
        }
        self.head_seq = chunk.seq + 1;
        self.bytes += chunk.extent.len();
        if chunk.join.is_some() {
            self.joins.push_back(chunk.seq);
        }
        self.chunks.push_back(chunk);
        self.evict();
        lost
    }

    /// Forgets all history; numbering goes on.
    pub fn clear(&mut self) {
        self.chunks.clear();
        self.joins.clear();
        self.bytes = 0;
    }

    /// The chunk with this number; `None` means it has not arrived yet.
    ///
    /// # Errors
    /// [`Lagged`] if it has been evicted (or lost on the way).
    pub fn chunk(&self, seq: u64) -> Result<Option<&Arc<Chunk>>, Lagged> {
        if seq >= self.head_seq {
            return Ok(None);
        }
        let tail_seq = self.tail_seq();
        seq.checked_sub(tail_seq)
            .and_then(|index| usize::try_from(index).ok())
            .and_then(|index| self.chunks.get(index))
            .map(Some)
            .ok_or(Lagged { seq, tail_seq })
    }

    /// The chunks from `seq` on, oldest first; those evicted are simply missing.
    pub fn since(&self, seq: u64) -> impl Iterator<Item = &Arc<Chunk>> {
        let behind = seq.saturating_sub(self.tail_seq());
        let skip = usize::try_from(behind).unwrap_or(usize::MAX);
        self.chunks.iter().skip(skip)
    }

    /// The newest join point at least `behind_us` of media behind the head, else the oldest one held.
    #[must_use]
    pub fn join_behind(&self, behind_us: u64) -> Option<&Arc<Chunk>> {
        let latest_us = self.media_us()?.saturating_sub(behind_us);
        let held = self.joins.iter().rev().filter_map(|seq| self.held(*seq));
        let mut oldest = None;
        for chunk in held {
            if chunk.media_us <= latest_us {
                return Some(chunk);
            }
            oldest = Some(chunk);
        }
        oldest
    }

    /// The newest join point.
    #[must_use]
    pub fn newest_join(&self) -> Option<&Arc<Chunk>> {
        self.joins.back().and_then(|seq| self.held(*seq))
    }

    /// The oldest join point after the chunk with this number.
    #[must_use]
    pub fn join_after(&self, seq: u64) -> Option<&Arc<Chunk>> {
        let after = self.joins.partition_point(|join| *join <= seq);
        self.joins.get(after).and_then(|seq| self.held(*seq))
    }

    /// The bit rate of what is held, once that is [`RATED_US`] of media, or half of what the ring may hold in time or bytes.
    #[must_use]
    pub fn bits_per_second(&self) -> Option<u64> {
        let (first, last) = (self.chunks.front()?, self.chunks.back()?);
        let held_us = last.media_us.saturating_sub(first.media_us);
        let is_long = held_us >= RATED_US.min(self.span_us / 2);
        if held_us == 0 || !is_long && self.bytes < self.bytes_max / 2 {
            return None;
        }
        let bits = last.bytes_before.saturating_sub(first.bytes_before) * 8;
        Some(bits.saturating_mul(1_000_000) / held_us)
    }

    /// Number of the oldest chunk held; equals [`Ring::head_seq`] when there is none.
    #[must_use]
    pub fn tail_seq(&self) -> u64 {
        self.chunks.front().map_or(self.head_seq, |chunk| chunk.seq)
    }

    /// Number that the next chunk will have.
    #[must_use]
    pub fn head_seq(&self) -> u64 {
        self.head_seq
    }

    /// Bytes held.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Media time of the newest chunk, in microseconds.
    #[must_use]
    pub fn media_us(&self) -> Option<u64> {
        self.chunks.back().map(|chunk| chunk.media_us)
    }

    fn held(&self, seq: u64) -> Option<&Arc<Chunk>> {
        self.chunk(seq).ok().flatten()
    }

    fn evict(&mut self) {
        while self.chunks.len() > 1 {
            // Looked up each time: the bytes may have cost the newest join point as well.
            let keep_seq = self.joins.back().copied().unwrap_or(u64::MAX);
            let (Some(oldest), Some(newest)) = (self.chunks.front(), self.chunks.back()) else {
                return;
            };
            let is_old = newest.media_us.saturating_sub(oldest.media_us) > self.span_us;
            let may_leave = is_old && oldest.seq < keep_seq;
            if !may_leave && self.bytes <= self.bytes_max {
                return;
            }
            self.bytes -= oldest.extent.len();
            if self.joins.front() == Some(&oldest.seq) {
                self.joins.pop_front();
            }
            self.chunks.pop_front();
        }
    }
}

/// The wanted chunk is no longer held.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("chunk {seq} has left the ring, whose oldest chunk is {tail_seq}")]
pub struct Lagged {
    /// The number asked for.
    pub seq: u64,
    /// The oldest number held.
    pub tail_seq: u64,
}

/// Media by which a bit rate is told: pictures of their own are large and seconds apart.
pub const RATED_US: u64 = 5_000_000;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ts::PACKET_BYTES;

    /// Chunks of one packet, one per millisecond, a join point at each multiple of `joins_every`.
    fn filled(span_ms: u64, packets_max: usize, chunks: u64, joins_every: u64) -> Ring {
        let mut ring = Ring::new(span_ms * 1000, packets_max * PACKET_BYTES);
        for seq in 1..=chunks {
            let lost = ring.push(Chunk::blank(seq, seq * 1000, 1, seq % joins_every == 0));
            assert_eq!(lost, 0);
        }
        ring
    }

    #[test]
    fn history_is_bounded_in_media_time() {
        let ring = filled(10, 1000, 100, 1);
        assert_eq!((ring.tail_seq(), ring.head_seq()), (90, 101));
        assert_eq!(ring.bytes(), 11 * PACKET_BYTES);
    }

    #[test]
    fn history_is_bounded_in_bytes_even_past_the_newest_join_point() {
        let ring = filled(1000, 7, 100, 50);
        assert_eq!((ring.tail_seq(), ring.head_seq()), (94, 101));
        let ring = filled(1000, 7, 99, 50);
        assert_eq!(ring.tail_seq(), 93);
        assert!(ring.newest_join().is_none());
    }

    #[test]
    fn the_newest_join_point_stays_past_the_span() {
        let ring = filled(10, 1000, 99, 50);
        assert_eq!(ring.tail_seq(), 50);
        assert_eq!(ring.newest_join().unwrap().seq, 50);
        assert_eq!(filled(10, 1000, 100, 50).tail_seq(), 90);
    }

    #[test]
    fn a_chunk_that_left_is_told_apart_from_one_to_come() {
        let ring = filled(10, 1000, 100, 1);
        let lagged = Lagged {
            seq: 89,
            tail_seq: 90,
        };
        assert_eq!(ring.chunk(89).unwrap_err(), lagged);
        assert_eq!(ring.chunk(90).unwrap().unwrap().seq, 90);
        assert_eq!(ring.chunk(100).unwrap().unwrap().seq, 100);
        assert!(ring.chunk(101).unwrap().is_none());
    }

    #[test]
    fn chunks_lost_on_the_way_are_counted_and_leave_no_hole() {
        let mut ring = filled(1000, 1000, 5, 1);
        assert_eq!(ring.push(Chunk::blank(9, 9000, 1, false)), 3);
        assert_eq!((ring.tail_seq(), ring.head_seq()), (9, 10));
        assert!(ring.chunk(5).is_err());
        assert!(ring.newest_join().is_none());
        assert_eq!(ring.push(Chunk::blank(7, 7000, 1, true)), 0);
        assert_eq!(ring.head_seq(), 10);
    }

    #[test]
    fn a_bit_rate_is_told_of_what_says_enough() {
        // A packet each millisecond.
        let rate = Some(188 * 8 * 1_000);
        assert_eq!(filled(20_000, 100_000, 5_000, 1).bits_per_second(), None);
        assert_eq!(filled(20_000, 100_000, 5_001, 1).bits_per_second(), rate);
        assert_eq!(filled(1_000, 100_000, 400, 1).bits_per_second(), None);
        assert_eq!(filled(1_000, 100_000, 600, 1).bits_per_second(), rate);
        assert_eq!(filled(20_000, 100, 50, 1).bits_per_second(), rate);
        assert_eq!(filled(20_000, 100, 49, 1).bits_per_second(), None);
        assert_eq!(filled(20_000, 2, 1, 1).bits_per_second(), None);
    }

    #[test]
    fn a_ring_may_begin_at_any_number() {
        let mut ring = Ring::new(1000, 1 << 20);
        assert_eq!(ring.push(Chunk::blank(40, 0, 1, true)), 0);
        assert_eq!((ring.tail_seq(), ring.head_seq()), (40, 41));
    }

    #[test]
    fn a_join_is_the_newest_point_far_enough_behind_else_the_oldest() {
        let ring = filled(1000, 1000, 100, 10);
        assert_eq!(ring.join_behind(25_000).unwrap().seq, 70);
        assert_eq!(ring.join_behind(0).unwrap().seq, 100);
        assert_eq!(ring.join_behind(500_000).unwrap().seq, 10);
        assert!(filled(10, 10, 5, 100).join_behind(0).is_none());
    }

    #[test]
    fn groups_end_where_the_next_join_point_begins() {
        let ring = filled(50, 1000, 100, 10);
        let after = |seq| ring.join_after(seq).map(|chunk| chunk.seq);
        assert_eq!(
            (after(59), after(60), after(61)),
            (Some(60), Some(70), Some(70))
        );
        assert_eq!(after(1), Some(50), "what has left is not counted");
        assert_eq!((after(99), after(100), after(101)), (Some(100), None, None));
    }

    #[test]
    fn since_gives_what_is_still_held() {
        let ring = filled(10, 1000, 100, 1);
        let seqs = |from| ring.since(from).map(|chunk| chunk.seq).collect::<Vec<_>>();
        assert_eq!(seqs(98), [98, 99, 100]);
        assert_eq!(seqs(1).len(), 11);
        assert!(seqs(101).is_empty());
    }
}
