//! Where one viewer stands: what goes out next, and what a partial write leaves to be done. (pure)
//!
//! Where a viewer starts and how fast it is brought to live is `burst`, what lies in one piece is `send`, what becomes
//! of one that falls behind is `slow`; socket, deadlines and counters belong to `Viewer`. The rule: the packet that has
//! partly gone out is finished before anything else, so what a viewer has received can end after any packet.

use std::sync::Arc;

use bytes::{Buf, Bytes, BytesMut};

use crate::channel::chunk::Chunk;
use crate::channel::cursor::Cursor;
use crate::channel::ring::Ring;
use crate::config::SlowPolicy;
use crate::ts::PACKET_BYTES;
use crate::viewer::burst::{Leave, Pace, Start};
use crate::viewer::send::{self, Run};
use crate::viewer::slow::{self, Verdict};

/// A viewer's place in a channel.
///
/// Shape: what is sent is the prefix, then the ring from the cursor on. One that has drained the ring stands at the head
/// and stays there until the next chunk comes, however long that takes.
///
/// Ownership: of the media it holds nothing but the chunk it is in the middle of.
#[derive(Clone, Debug)]
pub struct Place {
    position: Position,
    /// Bytes of the channel before the next one this viewer is sent, skipped ones included.
    at_bytes: u64,
    /// What goes out before the cursor moves on: the head, a join record, the rest of a packet.
    prefix: Bytes,
    /// The chunk of which a part has gone out; while there is a prefix, none.
    begun: Option<Arc<Chunk>>,
    /// Holds it back while it is in its burst.
    pace: Option<Pace>,
}

#[derive(Clone, Copy, Debug)]
enum Position {
    /// Sends from here on.
    At(Cursor),
    /// Has left the ring, which held no join point: goes on at the next one from this number on.
    JoinFrom(u64),
    /// Gets no more media.
    Over,
}

impl Place {
    /// A place at `start`, a join point of `ring`, after `head`; its burst begins at `now_us`.
    #[must_use]
    pub fn new(head: &[u8], start: &Start, ring: &Ring, now_us: u64) -> Self {
        Self {
            position: Position::At(Cursor::at(start.chunk.seq)),
            at_bytes: start.chunk.bytes_before,
            prefix: concat(head, &start.record.psi),
            begun: None,
            pace: Pace::new(ring, start, now_us),
        }
    }

    /// Says what goes out next, of about `bytes_max`.
    pub fn next<'a>(&'a mut self, ring: &'a Ring, now_us: u64, bytes_max: usize) -> Next<'a> {
        if !self.prefix.is_empty() {
            return Next::Prefix(&self.prefix);
        }
        let cursor = match self.position {
            Position::At(cursor) => cursor,
            Position::JoinFrom(from_seq) => {
                let point = ring.newest_join().filter(|chunk| chunk.seq >= from_seq);
                return match point.and_then(Start::at) {
                    Some(start) => Next::Skipped(self.skip(&start)),
                    None => Next::Drained,
                };
            }
            Position::Over => return Next::Over,
        };
        let mut piece_bytes = bytes_max;
        if let Some(pace) = &self.pace {
            match pace.leave(ring, cursor, now_us, bytes_max) {
                Leave::At(due_us) => return Next::Early { due_us },
                Leave::Freely => self.pace = None,
                Leave::Now(bytes) => piece_bytes = bytes,
            }
        }
        match send::run(ring, cursor, piece_bytes) {
            Ok(Some(run)) => Next::Run(run),
            Ok(None) => Next::Drained,
            Err(_lagged) => Next::Lagged,
        }
    }

    /// Steps over `bytes` of what [`Place::next`] offered, which have gone out.
    pub fn sent(&mut self, ring: &Ring, bytes: usize) {
        if !self.prefix.is_empty() {
            self.prefix.advance(bytes.min(self.prefix.len()));
            return;
        }
        let Position::At(mut cursor) = self.position else {
            return;
        };
        cursor.advance(ring, bytes);
        self.position = Position::At(cursor);
        self.at_bytes += bytes as u64;
        // Kept only while a packet of it may have to be finished after it has left the ring.
        self.begun = match ring.chunk(cursor.seq()) {
            Ok(Some(chunk)) if cursor.offset() > 0 => Some(Arc::clone(chunk)),
            _ => None,
        };
    }

    /// Moves on after [`Next::Lagged`], which has ended its burst: to `cushion_us` of media behind the head if it can.
    pub fn fall_behind(&mut self, ring: &Ring, policy: SlowPolicy, cushion_us: u64) -> Fall {
        match slow::lagged(ring, policy, cushion_us) {
            Verdict::Drop => Fall::TooSlow,
            Verdict::Skip(start) => Fall::Skipped(self.skip(&start)),
            Verdict::Wait => {
                self.finish_packet();
                self.position = Position::JoinFrom(ring.head_seq());
                Fall::Waits
            }
        }
    }

    /// Ends at the next packet boundary: what is left to be sent is a prefix. To end twice changes nothing.
    pub fn end(&mut self) {
        self.finish_packet();
        self.position = Position::Over;
    }

    /// Bytes of the channel before the next one this viewer is sent, skipped ones included.
    #[must_use]
    pub fn at_bytes(&self) -> u64 {
        self.at_bytes
    }

    /// Number of the chunk that is sent next, or from which on a join point is waited for; none has it once it is over.
    #[must_use]
    pub fn next_seq(&self) -> u64 {
        match self.position {
            Position::At(cursor) => cursor.seq(),
            Position::JoinFrom(from_seq) => from_seq,
            Position::Over => u64::MAX,
        }
    }

    /// Bytes from outside the ring that are still to go out.
    #[must_use]
    pub fn prefix_bytes(&self) -> usize {
        self.prefix.len()
    }

    /// Whether it is being brought to live, and what it is sent is not new.
    #[must_use]
    pub fn is_in_burst(&self) -> bool {
        self.pace.is_some()
    }

    /// Whether it goes on only at the next join point.
    #[must_use]
    pub fn is_waiting(&self) -> bool {
        matches!(self.position, Position::JoinFrom(_))
    }

    /// Media time between what is sent next and the newest chunk.
    ///
    /// Unit: microseconds. 0 for one that waits or has ended.
    #[must_use]
    pub fn lag_us(&self, ring: &Ring) -> u64 {
        match self.position {
            Position::At(cursor) => cursor.lag_us(ring),
            Position::JoinFrom(_) | Position::Over => 0,
        }
    }

    /// Goes on at a join point: the packet that was begun is finished first, then its record says what happened.
    ///
    /// Says how many bytes of the channel are left out.
    fn skip(&mut self, start: &Start) -> u64 {
        self.finish_packet();
        let skipped = start.chunk.bytes_before.saturating_sub(self.at_bytes);
        self.prefix = concat(&self.prefix, &start.record.skip);
        self.at_bytes = start.chunk.bytes_before;
        self.position = Position::At(Cursor::at(start.chunk.seq));
        skipped
    }

    /// Puts what is missing of the packet that has partly gone out in front of whatever follows.
    fn finish_packet(&mut self) {
        let (Some(chunk), Position::At(cursor)) = (self.begun.take(), self.position) else {
            return;
        };
        let end = cursor.offset().next_multiple_of(PACKET_BYTES);
        let rest = chunk.extent.as_slice().get(cursor.offset()..end);
        self.prefix = Bytes::copy_from_slice(rest.unwrap_or_default());
        self.at_bytes += self.prefix.len() as u64;
    }
}

/// What a place sends next.
pub enum Next<'a> {
    /// Nothing until the ring has news.
    Drained,
    /// Nothing until then: the burst is ahead of its pace. News end the wait only if the head moves away with them.
    Early {
        /// Unit: microseconds, on the clock whose time was given.
        due_us: u64,
    },
    /// Nothing: the chunk has left the ring, and [`Place::fall_behind`] says what follows.
    Lagged,
    /// Nothing more at all: its end was asked for, and the last packet is out.
    Over,
    /// These bytes, from outside the ring.
    Prefix(&'a [u8]),
    /// These bytes, from the ring.
    Run(Run<'a>),
    /// It waited for a join point and has gone on to one, so many bytes of the channel farther.
    Skipped(u64),
}

/// What becomes of a place whose chunk has left the ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fall {
    /// It has gone on to a join point, so many bytes of the channel farther.
    Skipped(u64),
    /// It may not go on: the channel drops who falls behind.
    TooSlow,
    /// It goes on at the next join point that comes; there is none.
    Waits,
}

fn concat(first: &[u8], second: &[u8]) -> Bytes {
    let mut both = BytesMut::with_capacity(first.len() + second.len());
    both.extend_from_slice(first);
    both.extend_from_slice(second);
    both.freeze()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::viewer::burst;

    /// A tenth of a second and four packets each.
    fn chunk(seq: u64, joins: bool) -> Arc<Chunk> {
        Chunk::blank(seq, seq * 100_000, 4, joins)
    }

    /// A join point at each tenth chunk from the first on.
    fn push(ring: &mut Ring, seqs: std::ops::RangeInclusive<u64>) {
        for seq in seqs {
            ring.push(chunk(seq, seq % 10 == 1));
        }
    }

    fn ring(chunks: u64) -> Ring {
        let mut ring = Ring::new(5_000_000, 1 << 20);
        push(&mut ring, 1..=chunks);
        ring
    }

    /// A viewer at the newest join point, all that was to be sent before media is out.
    fn place(ring: &Ring) -> Place {
        let start = burst::start(ring, 0).unwrap();
        let mut place = Place::new(b"head ", &start, ring, 0);
        assert_eq!(send(&mut place, ring, usize::MAX), b"head psi");
        place
    }

    /// Sends up to so many bytes of the next piece.
    fn send(place: &mut Place, ring: &Ring, bytes_max: usize) -> Vec<u8> {
        let bytes = match place.next(ring, 0, 1 << 20) {
            Next::Prefix(bytes) => bytes,
            Next::Run(run) => run.bytes,
            _ => panic!("there is nothing to send"),
        };
        let sent = bytes[..bytes.len().min(bytes_max)].to_vec();
        place.sent(ring, sent.len());
        sent
    }

    /// Sends all there is.
    fn drain(place: &mut Place, ring: &Ring) -> usize {
        let mut bytes = 0;
        while matches!(place.next(ring, 0, 1), Next::Prefix(_) | Next::Run(_)) {
            bytes += send(place, ring, usize::MAX).len();
        }
        bytes
    }

    #[test]
    fn a_skip_finishes_the_packet_that_was_begun_and_then_says_what_happened() {
        let mut ring = ring(15);
        let mut place = place(&ring);
        send(&mut place, &ring, PACKET_BYTES + 10);
        push(&mut ring, 16..=95);
        assert!(matches!(place.next(&ring, 0, 1), Next::Lagged));
        let fall = place.fall_behind(&ring, SlowPolicy::Skip, 2_000_000);
        // Chunk 71 is the newest join point two seconds behind; 10 whole chunks and two packets were or will be sent.
        let skipped = (60 * 4 - 2) * PACKET_BYTES;
        assert_eq!(fall, Fall::Skipped(skipped as u64));
        let mut rest = vec![0x47; PACKET_BYTES - 10];
        rest.extend_from_slice(b"skip psi");
        assert_eq!(send(&mut place, &ring, usize::MAX), rest);
        assert_eq!(place.at_bytes(), 70 * 4 * PACKET_BYTES as u64);
        assert_eq!(place.lag_us(&ring), 2_400_000);
    }

    #[test]
    fn without_a_join_point_it_waits_for_the_next_one_after_whole_packets() {
        let mut ring = Ring::new(300_000, 1 << 20);
        push(&mut ring, 1..=1);
        let mut place = place(&ring);
        send(&mut place, &ring, 5);
        ring.push(chunk(12, false));
        let fall = place.fall_behind(&ring, SlowPolicy::Skip, 2_000_000);
        assert_eq!((fall, place.is_waiting()), (Fall::Waits, true));
        assert_eq!(
            send(&mut place, &ring, usize::MAX).len(),
            PACKET_BYTES - 5,
            "the packet is finished first"
        );
        assert!(matches!(place.next(&ring, 0, 1), Next::Drained));
        ring.push(chunk(13, true));
        let skipped = (12 * 4 - 1) * PACKET_BYTES as u64;
        assert!(matches!(place.next(&ring, 0, 1), Next::Skipped(bytes) if bytes == skipped));
        assert_eq!(send(&mut place, &ring, usize::MAX), b"skip psi");
        assert_eq!(drain(&mut place, &ring), 4 * PACKET_BYTES);
    }

    #[test]
    fn a_strict_channel_lets_nobody_go_on() {
        let mut ring = ring(15);
        let mut place = place(&ring);
        push(&mut ring, 16..=95);
        let fall = place.fall_behind(&ring, SlowPolicy::Drop, 2_000_000);
        assert_eq!(fall, Fall::TooSlow);
    }

    #[test]
    fn one_that_drained_the_ring_stands_at_the_head_and_is_never_moved() {
        // The bounds leave room for one chunk only, and the media leaps.
        let mut ring = Ring::new(1, 1);
        ring.push(chunk(1, true));
        let mut place = place(&ring);
        drain(&mut place, &ring);
        for seq in 2..100 {
            assert!(matches!(place.next(&ring, 0, 1), Next::Drained));
            assert_eq!(place.at_bytes(), (seq - 1) * 4 * PACKET_BYTES as u64);
            ring.push(Chunk::blank(seq, seq * 20_000_000, 4, seq % 3 == 0));
            assert_eq!(drain(&mut place, &ring), 4 * PACKET_BYTES, "chunk {seq}");
        }
    }

    #[test]
    fn an_end_lets_the_packet_out_that_was_begun_and_nothing_else() {
        let ring = ring(15);
        let mut place = place(&ring);
        send(&mut place, &ring, 3 * PACKET_BYTES + 1);
        place.end();
        assert_eq!(send(&mut place, &ring, 7).len(), 7);
        place.end();
        assert_eq!(send(&mut place, &ring, usize::MAX).len(), PACKET_BYTES - 8);
        assert!(matches!(place.next(&ring, 0, 1), Next::Over));
        assert_eq!(place.at_bytes() % PACKET_BYTES as u64, 0);
    }

    #[test]
    fn an_end_between_packets_has_nothing_left_to_send() {
        let ring = ring(15);
        let mut place = place(&ring);
        send(&mut place, &ring, 3 * PACKET_BYTES);
        place.end();
        assert!(matches!(place.next(&ring, 0, 1), Next::Over));
    }

    #[test]
    fn a_burst_is_held_back_after_its_first_group_until_its_time_comes() {
        let ring = ring(35);
        let start = burst::start(&ring, 3_000_000).unwrap();
        let mut place = Place::new(b"", &start, &ring, 1_000_000);
        assert!(place.is_in_burst());
        assert_eq!(send(&mut place, &ring, usize::MAX), b"psi");
        let group = 10 * 4 * PACKET_BYTES;
        let mut sent = 0;
        while let Next::Run(run) = place.next(&ring, 1_000_000, 1 << 20) {
            let bytes = run.bytes.len();
            sent += bytes;
            place.sent(&ring, bytes);
        }
        assert_eq!(sent, group);
        let Next::Early { due_us } = place.next(&ring, 1_000_000, 1 << 20) else {
            panic!("the second group is early");
        };
        assert!(matches!(
            place.next(&ring, due_us - 1, 1 << 20),
            Next::Early { .. }
        ));
        assert!(matches!(place.next(&ring, due_us, 1 << 20), Next::Run(_)));
    }

    #[test]
    fn a_burst_whose_chunk_left_the_ring_goes_on_without_a_pace() {
        let mut ring = ring(35);
        let start = burst::start(&ring, 3_000_000).unwrap();
        let mut place = Place::new(b"", &start, &ring, 0);
        send(&mut place, &ring, usize::MAX);
        push(&mut ring, 36..=200);
        assert!(matches!(place.next(&ring, 0, 1), Next::Lagged));
        place.fall_behind(&ring, SlowPolicy::Skip, 2_000_000);
        assert!(!place.is_in_burst());
        let skip = b"skip psi".len();
        // From chunk 171, two seconds behind, to the head.
        assert_eq!(drain(&mut place, &ring), skip + 30 * 4 * PACKET_BYTES);
    }
}
