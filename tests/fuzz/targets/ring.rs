//! Any sequence of what happens to a ring: it answers as a plain list does.
#![no_main]

#[path = "../../sim/ring.rs"]
mod naive;

use std::sync::Arc;

use corecast::channel::chunk::Chunk;
use corecast::channel::cursor::Cursor;
use corecast::channel::ring::Ring;
use corecast::config::SlowPolicy;
use corecast::segment::SegmentWriter;
use corecast::ts::PACKET_BYTES;
use corecast::ts::continuity::Continuity;
use corecast::ts::join::JoinRecord;
use corecast::ts::packet::TsPacket;
use corecast::ts::psi::Psi;
use corecast::viewer::slow::{self, Verdict};
use corecast::viewer::{burst, send};
use libfuzzer_sys::arbitrary::{self, Arbitrary};
use libfuzzer_sys::fuzz_target;

use crate::naive::NaiveRing;

/// What happens next.
#[derive(Arbitrary, Debug)]
enum Deed {
    /// A chunk comes, so many numbers after the newest.
    Push {
        ahead: u8,
        packets: u8,
        media_ms: u8,
        joins: bool,
    },
    /// A chunk comes again.
    Repeat { behind: u8 },
    /// The viewer begins, or begins again.
    Join { behind_ms: u8 },
    /// The viewer sends up to so many bytes.
    Send { bytes: u16, budget: u16 },
}

#[derive(Arbitrary, Debug)]
struct Life {
    span_ms: u8,
    packets_max: u8,
    deeds: Vec<Deed>,
}

fuzz_target!(|life: Life| {
    let mut run = Run::new(&life);
    for deed in life.deeds.iter().take(DEEDS_MAX) {
        run.take(deed);
    }
});

struct Run {
    ring: Ring,
    naive: NaiveRing,
    writer: SegmentWriter,
    chunks: Vec<Arc<Chunk>>,
    cursor: Option<Cursor>,
    bytes_before: u64,
    media_us: u64,
}

impl Run {
    fn new(life: &Life) -> Self {
        let (span_us, bytes_max) = (
            u64::from(life.span_ms) * 1_000,
            usize::from(life.packets_max) * PACKET_BYTES,
        );
        Self {
            ring: Ring::new(span_us, bytes_max),
            naive: NaiveRing::new(span_us, bytes_max),
            writer: SegmentWriter::new().expect("a segment"),
            chunks: Vec::new(),
            cursor: None,
            bytes_before: 0,
            media_us: 0,
        }
    }

    fn take(&mut self, deed: &Deed) {
        match *deed {
            Deed::Push {
                ahead,
                packets,
                media_ms,
                joins,
            } => {
                let chunk = self.chunk(u64::from(ahead / 64), packets, media_ms, joins);
                self.chunks.push(Arc::clone(&chunk));
                self.push(&chunk);
            }
            Deed::Repeat { behind } => {
                let index = self.chunks.len().checked_sub(usize::from(behind) + 1);
                if let Some(chunk) = index.map(|index| Arc::clone(&self.chunks[index])) {
                    self.push(&chunk);
                }
            }
            Deed::Join { behind_ms } => {
                let behind_us = u64::from(behind_ms) * 1_000;
                self.naive.compare(&self.ring, behind_us);
                let start = burst::start(&self.ring, behind_us);
                assert_eq!(
                    start.as_ref().map(|start| start.chunk.seq),
                    self.naive.start(behind_us)
                );
                self.cursor = start.map(|start| Cursor::at(start.chunk.seq));
            }
            Deed::Send { bytes, budget } => self.send(usize::from(bytes), usize::from(budget)),
        }
        self.naive.compare(&self.ring, 0);
    }

    fn push(&mut self, chunk: &Arc<Chunk>) {
        let lost = self.naive.push(chunk);
        assert_eq!(self.ring.push(Arc::clone(chunk)), lost);
    }

    fn chunk(&mut self, ahead: u64, packets: u8, media_ms: u8, joins: bool) -> Arc<Chunk> {
        let bytes = usize::from(packets % 32 + 1) * PACKET_BYTES;
        let seq = self.chunks.last().map_or(1, |chunk| chunk.seq + 1) + ahead;
        let room = self.writer.room(bytes).expect("a segment");
        room[..bytes].fill(u8::try_from(seq % 256).expect("less than 256"));
        self.writer.fill(bytes);
        let bytes_before = self.bytes_before;
        self.bytes_before += bytes as u64;
        self.media_us += u64::from(media_ms) * 1_000;
        Arc::new(Chunk {
            seq,
            bytes_before,
            extent: self.writer.publish(bytes),
            media_us: self.media_us,
            closed_us: self.media_us,
            join: joins.then(|| {
                let start = TsPacket::new(&[0x47; PACKET_BYTES]);
                Arc::new(JoinRecord::new(&Psi::new(), &Continuity::new(), start))
            }),
        })
    }

    /// What a cursor is offered is the bytes from it on, in one piece, up to the head or the end of their segment.
    fn send(&mut self, bytes: usize, budget: usize) {
        let Some(mut cursor) = self.cursor else {
            return;
        };
        let is_held = (self.naive.tail_seq()..self.naive.head_seq()).contains(&cursor.seq());
        let run = match send::run(&self.ring, cursor, budget) {
            Err(lagged) => {
                assert_eq!(
                    (lagged.seq, lagged.tail_seq),
                    (cursor.seq(), self.naive.tail_seq())
                );
                assert!(cursor.seq() < self.naive.tail_seq());
                let cushion_us = budget as u64 * 1_000;
                let seq = match slow::lagged(&self.ring, SlowPolicy::Skip, cushion_us) {
                    Verdict::Skip(start) => Some(start.chunk.seq),
                    Verdict::Drop | Verdict::Wait => None,
                };
                assert_eq!(seq, self.naive.rejoin(cushion_us));
                self.cursor = seq.map(Cursor::at);
                return;
            }
            Ok(None) => {
                assert!(cursor.seq() >= self.naive.head_seq());
                return;
            }
            Ok(Some(run)) => run,
        };
        assert!(is_held && !run.bytes.is_empty());
        let held = self.chunks.iter().filter(|chunk| chunk.seq >= cursor.seq());
        let due = held
            .flat_map(|chunk| chunk.extent.as_slice())
            .skip(cursor.offset());
        assert!(run.bytes.iter().eq(due.take(run.bytes.len())));
        let sent = bytes.min(run.bytes.len());
        let before = self.bytes_before(cursor);
        cursor.advance(&self.ring, sent);
        assert_eq!(self.bytes_before(cursor) - before, sent);
        let lag_us = match self.chunks.iter().find(|chunk| chunk.seq == cursor.seq()) {
            Some(chunk) => self.media_us - chunk.media_us,
            None => 0,
        };
        assert_eq!(cursor.lag_us(&self.ring), lag_us);
        self.cursor = Some(cursor);
    }

    fn bytes_before(&self, cursor: Cursor) -> usize {
        let before = self.chunks.iter().filter(|chunk| chunk.seq < cursor.seq());
        before.map(|chunk| chunk.extent.len()).sum::<usize>() + cursor.offset()
    }
}

/// Longer lives tell nothing new.
const DEEDS_MAX: usize = 400;
