//! Where a new viewer starts, and how fast it is brought from there to live. (pure)
//!
//! What it is sent piece by piece is `place`'s business. The rule: a picture comes at once, and the rest of the burst no
//! faster than a viewer's connection should bear, so that the burst itself never fills a socket that is fast enough.

use std::sync::Arc;

use crate::channel::chunk::Chunk;
use crate::channel::cursor::Cursor;
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

/// How a viewer in its burst is held back: the first group of pictures comes at once, the rest at four times media time.
///
/// Shape: a group goes from one join point to the next. What is held back leaves in steps of [`STEP_US`].
///
/// Bound: it ends for good when less than one chunk is left to send, and when the head moves away faster than the pace
/// allows to follow: then the viewer gets what comes as it comes, like everybody else.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// The join point that ends the first group, and its media time.
    rest_seq: u64,
    rest_us: u64,
    /// Media from the start to the head when it began.
    lag_us: u64,
    began_us: u64,
}

impl Pace {
    /// A pace that begins at `now_us`; `None` when the ring holds nothing after the first group.
    #[must_use]
    pub fn new(ring: &Ring, start: &Start, now_us: u64) -> Option<Self> {
        let rest = ring.join_after(start.chunk.seq)?;
        Some(Self {
            rest_seq: rest.seq,
            rest_us: rest.media_us,
            lag_us: Cursor::at(start.chunk.seq).lag_us(ring),
            began_us: now_us,
        })
    }

    /// Says how much may leave now, of about `bytes_max`.
    #[must_use]
    pub fn leave(&self, ring: &Ring, cursor: Cursor, now_us: u64, bytes_max: usize) -> Leave {
        let is_last = cursor.seq() + 1 >= ring.head_seq();
        let Ok(Some(next)) = ring.chunk(cursor.seq()) else {
            return Leave::Freely;
        };
        let is_in_rest = next.seq >= self.rest_seq;
        if is_last || (is_in_rest && cursor.lag_us(ring) > self.lag_us) {
            return Leave::Freely;
        }
        let passed_us = now_us.saturating_sub(self.began_us) / STEP_US * STEP_US;
        let until_us = self.rest_us.saturating_add(passed_us.saturating_mul(RATE));
        let is_due = |chunk: &Chunk| chunk.seq < self.rest_seq || chunk.media_us < until_us;
        if !is_due(next) {
            let wait_us = (next.media_us - self.rest_us) / RATE + 1;
            let due_us = self.began_us + wait_us.next_multiple_of(STEP_US);
            return Leave::At(due_us);
        }
        let mut bytes = 0;
        for chunk in ring.since(cursor.seq()).take_while(|chunk| is_due(chunk)) {
            bytes += chunk.extent.len();
            if bytes - cursor.offset() >= bytes_max {
                break;
            }
        }
        Leave::Now(bytes - cursor.offset())
    }
}

/// What a viewer in its burst may be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leave {
    /// Nothing before this time, in microseconds of the clock.
    At(u64),
    /// Whatever there is: the burst is over.
    Freely,
    /// So many bytes, which end with a chunk.
    Now(usize),
}

/// What is held back leaves this often: often enough for a player, seldom enough to cost few wake-ups.
///
/// Unit: microseconds. At four times media time a step brings 160 ms of media.
pub const STEP_US: u64 = 40_000;

/// How much faster than it plays the rest of a burst is sent.
const RATE: u64 = 4;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ts::PACKET_BYTES;

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

    /// A tenth of a second and one packet each, a group is ten chunks; the pace begins at 5 s at the first of them.
    fn paced(chunks: u64) -> (Ring, Option<Pace>) {
        let mut ring = Ring::new(100_000_000, 1 << 20);
        push(&mut ring, 1..=chunks);
        let start = Start::at(ring.chunk(1).unwrap().unwrap()).unwrap();
        let pace = Pace::new(&ring, &start, BEGAN_US);
        (ring, pace)
    }

    fn push(ring: &mut Ring, seqs: std::ops::RangeInclusive<u64>) {
        for seq in seqs {
            ring.push(Chunk::blank(seq, (seq - 1) * 100_000, 1, seq % 10 == 1));
        }
    }

    const BEGAN_US: u64 = 5_000_000;
    const MAX: usize = usize::MAX;

    #[test]
    fn the_first_group_leaves_at_once_and_no_chunk_of_the_next() {
        let (ring, pace) = paced(45);
        let leave = pace.unwrap().leave(&ring, Cursor::at(1), BEGAN_US, MAX);
        assert_eq!(leave, Leave::Now(10 * PACKET_BYTES));
        let mut cursor = Cursor::at(3);
        cursor.advance(&ring, 20);
        let leave = pace.unwrap().leave(&ring, cursor, BEGAN_US, MAX);
        assert_eq!(leave, Leave::Now(8 * PACKET_BYTES - 20));
    }

    #[test]
    fn no_more_leaves_than_was_asked_for() {
        let (ring, pace) = paced(45);
        let leave = |bytes_max| {
            let pace = pace.unwrap();
            pace.leave(&ring, Cursor::at(1), BEGAN_US, bytes_max)
        };
        assert_eq!(leave(1), Leave::Now(PACKET_BYTES));
        assert_eq!(leave(PACKET_BYTES + 1), Leave::Now(2 * PACKET_BYTES));
    }

    #[test]
    fn the_rest_leaves_at_four_times_media_time_in_steps() {
        let (ring, pace) = paced(45);
        let pace = pace.unwrap();
        let mut cursor = Cursor::at(11);
        let mut now_us = BEGAN_US;
        let mut steps = Vec::new();
        loop {
            match pace.leave(&ring, cursor, now_us, MAX) {
                Leave::At(due_us) => now_us = due_us,
                Leave::Now(bytes) => {
                    cursor.advance(&ring, bytes);
                    steps.push((now_us - BEGAN_US, cursor.seq() - 11));
                }
                Leave::Freely => break,
            }
        }
        // 3.4 s of media: after 40 ms 160 ms of it, which is begun by two chunks.
        assert_eq!(
            steps[..4],
            [(40_000, 2), (80_000, 4), (120_000, 5), (160_000, 7)]
        );
        assert_eq!((steps.last(), cursor.seq()), (Some(&(840_000, 34)), 45));
    }

    #[test]
    fn time_that_a_slow_socket_took_is_made_up_for() {
        let (ring, pace) = paced(45);
        let leave = pace
            .unwrap()
            .leave(&ring, Cursor::at(11), BEGAN_US + 500_000, MAX);
        assert_eq!(leave, Leave::Now(20 * PACKET_BYTES));
    }

    #[test]
    fn the_newest_chunk_and_the_head_end_the_pace() {
        let (mut ring, pace) = paced(45);
        let leave = |ring: &Ring, seq| pace.unwrap().leave(ring, Cursor::at(seq), BEGAN_US, MAX);
        assert_eq!(leave(&ring, 46), Leave::Freely);
        assert_eq!(leave(&ring, 45), Leave::Freely);
        assert!(matches!(leave(&ring, 44), Leave::At(_)));
        push(&mut ring, 46..=46);
        assert!(matches!(leave(&ring, 45), Leave::At(_)));
    }

    #[test]
    fn a_head_that_moves_away_ends_the_pace() {
        let (mut ring, pace) = paced(45);
        push(&mut ring, 46..=55);
        let leave = |ring: &Ring| pace.unwrap().leave(ring, Cursor::at(11), BEGAN_US, MAX);
        assert!(
            matches!(leave(&ring), Leave::At(_)),
            "as far behind as it began"
        );
        push(&mut ring, 56..=56);
        assert_eq!(leave(&ring), Leave::Freely);
    }

    #[test]
    fn a_chunk_that_left_the_ring_is_no_matter_of_pace() {
        let (mut ring, pace) = paced(45);
        ring.clear();
        let leave = pace.unwrap().leave(&ring, Cursor::at(11), BEGAN_US, MAX);
        assert_eq!(leave, Leave::Freely);
    }

    #[test]
    fn a_viewer_that_begins_in_the_newest_group_is_not_held_back() {
        assert!(paced(10).1.is_none());
        assert!(paced(11).1.is_some());
    }
}
