//! One viewer's place in a ring. (pure)

use crate::channel::chunk::Chunk;
use crate::channel::ring::Ring;

/// The chunk a viewer sends next, and how much of it has gone out.
///
/// Shape: `offset < chunk length` while inside a chunk, 0 at a chunk's start. `seq == ring.head_seq()` means the viewer
/// has drained the ring and waits for the next chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cursor {
    seq: u64,
    offset: usize,
}

impl Cursor {
    /// A cursor at the start of a chunk.
    #[must_use]
    pub fn at(seq: u64) -> Self {
        Self { seq, offset: 0 }
    }

    /// Number of the chunk that is sent next.
    #[must_use]
    pub fn seq(self) -> u64 {
        self.seq
    }

    /// Bytes of that chunk that have been sent.
    #[must_use]
    pub fn offset(self) -> usize {
        self.offset
    }

    /// Steps over `bytes` that were sent, across as many chunks as they cover.
    pub fn advance(&mut self, ring: &Ring, mut bytes: usize) {
        while bytes > 0 {
            let Ok(Some(chunk)) = ring.chunk(self.seq) else {
                debug_assert!(false, "only bytes that the ring holds can have been sent");
                return;
            };
            let rest = chunk.extent.len() - self.offset;
            if bytes < rest {
                self.offset += bytes;
                return;
            }
            bytes -= rest;
            *self = Self::at(self.seq + 1);
        }
    }

    /// Media time between the chunk to be sent next and the newest one, in microseconds; 0 when drained.
    #[must_use]
    pub fn lag_us(self, ring: &Ring) -> u64 {
        let next: Option<&Chunk> = match ring.chunk(self.seq) {
            Ok(chunk) => chunk.map(AsRef::as_ref),
            Err(_) => ring.since(0).next().map(AsRef::as_ref),
        };
        let (Some(next), Some(head_us)) = (next, ring.media_us()) else {
            return 0;
        };
        head_us.saturating_sub(next.media_us)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ts::PACKET_BYTES;

    fn ring(chunks: u64) -> Ring {
        let mut ring = Ring::new(5_000, 1 << 20);
        for seq in 1..=chunks {
            ring.push(Chunk::blank(seq, seq * 1000, 2, false));
        }
        ring
    }

    #[test]
    fn advancing_counts_bytes_across_chunks() {
        let ring = ring(3);
        let mut cursor = Cursor::at(1);
        cursor.advance(&ring, PACKET_BYTES);
        assert_eq!((cursor.seq(), cursor.offset()), (1, PACKET_BYTES));
        cursor.advance(&ring, 2 * PACKET_BYTES + 5);
        assert_eq!((cursor.seq(), cursor.offset()), (2, PACKET_BYTES + 5));
        cursor.advance(&ring, 3 * PACKET_BYTES - 5);
        assert_eq!(cursor, Cursor::at(4));
        assert_eq!(cursor.lag_us(&ring), 0);
    }

    #[test]
    fn slow_cursor_is_told_how_far_behind_it_is() {
        let ring = ring(20);
        assert_eq!(Cursor::at(18).lag_us(&ring), 2000);
        assert_eq!(
            Cursor::at(1).lag_us(&ring),
            5000,
            "what has left counts as the oldest held"
        );
    }
}
