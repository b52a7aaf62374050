//! What a ring of given bounds may hold, worked out naively from the chunks it was given. (pure)
//!
//! A plain list that is looked through from its beginning each time. Also used by the fuzz target of the ring.

use corecast::channel::chunk::Chunk;
use corecast::channel::ring::Ring;

/// What a ring may hold, beside the ring that has to hold just that.
#[derive(Debug)]
pub(crate) struct NaiveRing {
    span_us: u64,
    bytes_max: usize,
    held: Vec<Held>,
    head_seq: u64,
}

#[derive(Clone, Copy, Debug)]
struct Held {
    seq: u64,
    bytes: usize,
    media_us: u64,
    is_join: bool,
}

impl NaiveRing {
    pub(crate) fn new(span_us: u64, bytes_max: usize) -> Self {
        Self {
            span_us,
            bytes_max,
            held: Vec::new(),
            head_seq: 1,
        }
    }

    /// Takes the chunk that the ring was given; answers how many never came.
    pub(crate) fn push(&mut self, chunk: &Chunk) -> u64 {
        if chunk.seq < self.head_seq {
            return 0;
        }
        let lost = match self.held.is_empty() {
            true => 0,
            false => chunk.seq - self.head_seq,
        };
        if chunk.seq > self.head_seq {
            self.held.clear();
        }
        self.head_seq = chunk.seq + 1;
        self.held.push(Held {
            seq: chunk.seq,
            bytes: chunk.extent.len(),
            media_us: chunk.media_us,
            is_join: chunk.join.is_some(),
        });
        let first = (0..self.held.len()).find(|first| self.may_hold(&self.held[*first..]));
        self.held.drain(..first.unwrap_or(0));
        lost
    }

    /// Whether the bounds allow these chunks, newest last.
    fn may_hold(&self, chunks: &[Held]) -> bool {
        let [oldest, .., newest] = chunks else {
            return true;
        };
        let newest_join = chunks.iter().rev().find(|chunk| chunk.is_join);
        let is_needed = newest_join.is_some_and(|join| join.seq == oldest.seq);
        let bytes: usize = chunks.iter().map(|chunk| chunk.bytes).sum();
        bytes <= self.bytes_max && (newest.media_us - oldest.media_us <= self.span_us || is_needed)
    }

    /// Asserts that the ring holds what it may and answers as it should.
    pub(crate) fn compare(&self, ring: &Ring, behind_us: u64) {
        let tail_seq = self.tail_seq();
        assert_eq!(
            (ring.tail_seq(), ring.head_seq()),
            (tail_seq, self.head_seq)
        );
        let bytes: usize = self.held.iter().map(|chunk| chunk.bytes).sum();
        assert_eq!(ring.bytes(), bytes);
        assert_eq!(
            ring.media_us(),
            self.held.last().map(|chunk| chunk.media_us)
        );
        assert_eq!(
            ring.newest_join().map(|chunk| chunk.seq),
            self.newest_join()
        );
        let behind = ring.join_behind(behind_us).map(|chunk| chunk.seq);
        assert_eq!(behind, self.start(behind_us));
        assert!(ring.chunk(self.head_seq).unwrap().is_none());
        assert!(ring.chunk(tail_seq - 1).is_err());
    }

    pub(crate) fn tail_seq(&self) -> u64 {
        self.held.first().map_or(self.head_seq, |chunk| chunk.seq)
    }

    pub(crate) fn head_seq(&self) -> u64 {
        self.head_seq
    }

    /// Where a new viewer begins.
    pub(crate) fn start(&self, burst_us: u64) -> Option<u64> {
        self.join_behind(burst_us).or_else(|| self.oldest_join())
    }

    /// Where a viewer that fell behind goes on.
    pub(crate) fn rejoin(&self, burst_us: u64) -> Option<u64> {
        self.join_behind(burst_us).or_else(|| self.newest_join())
    }

    /// The newest join point.
    pub(crate) fn newest_join(&self) -> Option<u64> {
        self.joins().last().map(|chunk| chunk.seq)
    }

    fn oldest_join(&self) -> Option<u64> {
        self.joins().next().map(|chunk| chunk.seq)
    }

    fn join_behind(&self, behind_us: u64) -> Option<u64> {
        let head_us = self.held.last()?.media_us;
        let far = self
            .joins()
            .filter(|chunk| chunk.media_us + behind_us <= head_us.max(behind_us));
        far.last().map(|chunk| chunk.seq)
    }

    fn joins(&self) -> impl Iterator<Item = &Held> {
        self.held.iter().filter(|chunk| chunk.is_join)
    }
}
