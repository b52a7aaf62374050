//! Where one viewer stands: what goes out next, and what a partial write leaves to be done. (pure)
//!
//! The steps of `viewer::Viewer` without its socket, its clock and its counters: where to start is `viewer::burst`,
//! what lies in one piece is `viewer::send`, whether to skip is `viewer::slow`. The rule: whatever happens, the
//! packet that has partly gone out is finished first, so what a viewer has received can end at any packet.

use std::sync::Arc;

use bytes::{Buf, Bytes, BytesMut};

use corecast::channel::chunk::Chunk;
use corecast::channel::cursor::Cursor;
use corecast::channel::ring::Ring;
use corecast::config::SlowPolicy;
use corecast::ts::PACKET_BYTES;
use corecast::viewer::burst::Start;
use corecast::viewer::send::{self, Run};
use corecast::viewer::slow::{self, Verdict};

/// A viewer's place in a channel.
///
/// Ownership: of the media it holds nothing but the chunk it is in the middle of.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    position: Position,
    /// Bytes of the channel before the next one this viewer is sent, skipped ones included.
    at_bytes: u64,
    /// What goes out before the cursor moves on: the head, a join record, the rest of a packet.
    prefix: Bytes,
    /// The chunk of which a part has gone out.
    begun: Option<Arc<Chunk>>,
}

#[derive(Clone, Copy, Debug)]
enum Position {
    /// Sends from here on.
    At(Cursor),
    /// Has left the ring, which held no join point: goes on at the next one from this number on.
    Awaiting(u64),
    /// Gets no more media.
    Over,
}

/// What comes next.
pub(crate) enum Next<'a> {
    /// Nothing until the ring has news.
    Drained,
    /// Nothing more at all: the end was asked for, and the last packet is out.
    Over,
    /// These bytes, from outside the ring.
    Prefix(&'a [u8]),
    /// These bytes, from the ring.
    Run(Run<'a>),
    /// It went on to a join point, so many bytes of the channel farther.
    Skipped(u64),
    /// The viewer fell behind, and the channel drops who does.
    TooSlow,
}

impl Place {
    /// A place at `start`, after `head`.
    pub(crate) fn new(head: &[u8], start: &Start) -> Self {
        Self {
            position: Position::At(Cursor::at(start.chunk.seq)),
            at_bytes: start.chunk.bytes_before,
            prefix: concat(head, &start.record.psi),
            begun: None,
        }
    }

    /// Says what goes out next, of about `budget` bytes; moves on if the viewer's chunk has left the ring.
    pub(crate) fn next<'a>(
        &'a mut self,
        ring: &'a Ring,
        policy: SlowPolicy,
        burst_us: u64,
        budget: usize,
    ) -> Next<'a> {
        if !self.prefix.is_empty() {
            return Next::Prefix(&self.prefix);
        }
        let cursor = match self.position {
            Position::Over => return Next::Over,
            Position::At(cursor) => cursor,
            Position::Awaiting(from_seq) => {
                let point = ring.newest_join().filter(|chunk| chunk.seq >= from_seq);
                return match point.and_then(Start::at) {
                    Some(start) => self.skip(&start),
                    None => Next::Drained,
                };
            }
        };
        match send::run(ring, cursor, budget) {
            Ok(Some(run)) => Next::Run(run),
            Ok(None) => Next::Drained,
            Err(_lagged) => match slow::lagged(ring, policy, burst_us) {
                Verdict::Drop => Next::TooSlow,
                Verdict::Skip(start) => self.skip(&start),
                Verdict::Wait => {
                    self.finish_packet();
                    self.position = Position::Awaiting(ring.head_seq());
                    match self.prefix.is_empty() {
                        true => Next::Drained,
                        false => Next::Prefix(&self.prefix),
                    }
                }
            },
        }
    }

    /// Steps over `bytes` of what [`Place::next`] said, which have gone out.
    pub(crate) fn sent(&mut self, ring: &Ring, bytes: usize) {
        if !self.prefix.is_empty() {
            self.prefix.advance(bytes);
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

    /// Ends at the next packet boundary: what is left to send is a prefix.
    pub(crate) fn end(&mut self) {
        if self.prefix.is_empty() {
            self.finish_packet();
        }
        self.position = Position::Over;
    }

    /// Bytes of the channel before the next one this viewer is sent, skipped ones included.
    pub(crate) fn at_bytes(&self) -> u64 {
        self.at_bytes
    }

    /// Whether it goes on only at the next join point.
    pub(crate) fn is_waiting(&self) -> bool {
        matches!(self.position, Position::Awaiting(_))
    }

    /// Bytes from outside the ring that are still to go out.
    pub(crate) fn prefix_bytes(&self) -> usize {
        self.prefix.len()
    }

    /// Goes on at a join point: the packet that was begun is finished first, then the record says what happened.
    fn skip(&mut self, start: &Start) -> Next<'_> {
        self.finish_packet();
        let skipped = start.chunk.bytes_before.saturating_sub(self.at_bytes);
        self.prefix = concat(&self.prefix, &start.record.skip);
        self.at_bytes = start.chunk.bytes_before;
        self.position = Position::At(Cursor::at(start.chunk.seq));
        Next::Skipped(skipped)
    }

    /// Makes what is missing of the packet that has partly gone out the next to be sent.
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

fn concat(first: &[u8], second: &[u8]) -> Bytes {
    let mut both = BytesMut::with_capacity(first.len() + second.len());
    both.extend_from_slice(first);
    both.extend_from_slice(second);
    both.freeze()
}
