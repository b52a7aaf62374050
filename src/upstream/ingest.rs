//! Bytes of an upstream -> chunks in the home's ring.
//!
//! Where reading, packet boundaries, chunking and memory meet; each of them is decided elsewhere (`upstream::http`,
//! `ts`, `segment`). The rule: only whole packets are ever published.

use crate::channel::home::Home;
use crate::clock::micros;
use crate::segment::{Extent, SegmentWriter};
use crate::ts::PACKET_BYTES;
use crate::ts::chunker::{Chunker, Closed, Verdict};
use crate::ts::packet::TsPacket;
use crate::ts::resync::{Resync, Step};
use crate::upstream::error::FetchError;

/// The way of one channel's bytes from its upstreams into its ring.
pub struct Ingest {
    writer: SegmentWriter,
    resync: Resync,
    chunker: Chunker,
    /// Bytes at the front of what is pending that are packets of the open chunk.
    judged: usize,
    chunk_age_us: u64,
    last_us: u64,
    /// Bytes thrown away before this fetch.
    earlier_junk_bytes: u64,
    seen: Tallies,
}

/// Totals that have been counted already.
#[derive(Default)]
struct Tallies {
    resyncs: u64,
    continuity_errors: u64,
}

impl Ingest {
    /// An empty way for the channel.
    ///
    /// # Errors
    /// [`FetchError::Memory`] if there is none for the first segment.
    pub fn new(home: &Home) -> Result<Self, FetchError> {
        let limits = &home.limits;
        Ok(Self {
            writer: SegmentWriter::new().map_err(|source| FetchError::Memory { source })?,
            resync: Resync::new(),
            chunker: Chunker::new(limits.chunk_bytes_max / PACKET_BYTES),
            judged: 0,
            chunk_age_us: micros(limits.chunk_age),
            last_us: 0,
            earlier_junk_bytes: 0,
            seen: Tallies::default(),
        })
    }

    /// Space to read the upstream's next bytes into.
    ///
    /// # Errors
    /// [`FetchError::Memory`] if a new segment was refused.
    pub fn room(&mut self) -> Result<&mut [u8], FetchError> {
        let room = self
            .writer
            .room(READ_BYTES)
            .map_err(|source| FetchError::Memory { source })?;
        let bytes = room.len().min(READ_BYTES);
        Ok(room.get_mut(..bytes).unwrap_or_default())
    }

    /// Takes the first `bytes` of the room, which have been written, and says whether a chunk was closed.
    ///
    /// # Errors
    /// [`FetchError::Memory`] if a segment for a splice was refused.
    pub fn take(&mut self, home: &Home, bytes: usize, now_us: u64) -> Result<bool, FetchError> {
        self.writer.fill(bytes);
        self.last_us = now_us;
        home.counters.upstream_received_bytes.add(bytes as u64);
        let mut has_closed = false;
        loop {
            let unjudged = self.writer.pending().get(self.judged..).unwrap_or_default();
            match self.resync.next(unjudged, false) {
                Step::NeedMore => break,
                Step::Junk(junk) => self.writer.squeeze(self.judged, junk),
                Step::Packet => has_closed |= self.packet(home, now_us)?,
            }
        }
        self.count(home);
        Ok(has_closed | self.age(home, now_us)?)
    }

    /// Closes the open chunk if it has become too old; says whether it has.
    ///
    /// # Errors
    /// As [`Ingest::take`].
    pub fn age(&mut self, home: &Home, now_us: u64) -> Result<bool, FetchError> {
        let mut has_closed = false;
        let unjudged = self.writer.pending().get(self.judged..).unwrap_or_default();
        // One whole packet waits only for the first byte of the next, to be sure of its end.
        let is_waiting = unjudged.len() == PACKET_BYTES && self.resync.is_locked();
        if is_waiting && now_us >= self.last_us + self.chunk_age_us {
            let is_packet = matches!(self.resync.next(unjudged, true), Step::Packet);
            if is_packet {
                has_closed |= self.packet(home, now_us)?;
            }
        }
        let is_old = self.due_us().is_some_and(|due_us| now_us >= due_us);
        if is_old && let Some(closed) = self.chunker.flush() {
            self.publish(home, &closed, now_us)?;
            has_closed = true;
        }
        Ok(has_closed)
    }

    /// When the open chunk will be too old.
    #[must_use]
    pub fn due_us(&self) -> Option<u64> {
        self.chunker
            .open_since_us()
            .map(|since_us| since_us + self.chunk_age_us)
    }

    /// Ends a fetch: whole packets are published, the torn rest is dropped, and the next fetch will be spliced on.
    ///
    /// # Errors
    /// As [`Ingest::take`].
    pub fn cut(&mut self, home: &Home, now_us: u64) -> Result<bool, FetchError> {
        let mut has_closed = false;
        loop {
            let unjudged = self.writer.pending().get(self.judged..).unwrap_or_default();
            if unjudged.is_empty() {
                break;
            }
            match self.resync.next(unjudged, true) {
                Step::Packet => has_closed |= self.packet(home, now_us)?,
                Step::Junk(junk) => self.writer.squeeze(self.judged, junk),
                Step::NeedMore => {
                    let rest = unjudged.len();
                    self.writer.squeeze(self.judged, rest);
                }
            }
        }
        if let Some(closed) = self.chunker.flush() {
            self.publish(home, &closed, now_us)?;
            has_closed = true;
        }
        self.count(home);
        self.chunker.splice();
        self.resync.lost();
        self.earlier_junk_bytes = self.resync.junk_bytes();
        Ok(has_closed)
    }

    /// Bytes of this fetch that were thrown away, while its packets are not in step.
    #[must_use]
    pub fn unlocked_junk_bytes(&self) -> Option<u64> {
        let junk_bytes = self.resync.junk_bytes() - self.earlier_junk_bytes;
        (!self.resync.is_locked()).then_some(junk_bytes)
    }

    /// Bit rate of the media by its own clock.
    #[must_use]
    pub fn bits_per_second(&self) -> Option<u64> {
        self.chunker.bits_per_second()
    }

    /// Judges the packet that stands next.
    fn packet(&mut self, home: &Home, now_us: u64) -> Result<bool, FetchError> {
        let unjudged = self.writer.pending().get(self.judged..).unwrap_or_default();
        let Some(packet) = TsPacket::first(unjudged) else {
            return Ok(false);
        };
        let step = self.chunker.push(packet, now_us);
        let has_closed = step.before.is_some() || step.with.is_some();
        if let Some(closed) = step.before {
            self.publish(home, &closed, now_us)?;
        }
        match step.verdict {
            Verdict::Keep => self.judged += PACKET_BYTES,
            Verdict::Discard => self.writer.squeeze(self.judged, PACKET_BYTES),
        }
        if let Some(closed) = step.with {
            self.publish(home, &closed, now_us)?;
        }
        Ok(has_closed)
    }

    fn publish(&mut self, home: &Home, closed: &Closed, now_us: u64) -> Result<(), FetchError> {
        if let Some(splice) = &closed.splice {
            let extent = Extent::copy_of(splice).map_err(|source| FetchError::Memory { source })?;
            let seam = Closed {
                join: None,
                splice: None,
                ..closed.clone()
            };
            home.append(extent, &seam, now_us);
        }
        let bytes = closed.packets * PACKET_BYTES;
        self.judged = self.judged.saturating_sub(bytes);
        home.append(self.writer.publish(bytes), closed, now_us);
        Ok(())
    }

    fn count(&mut self, home: &Home) {
        let (resyncs, errors) = (self.resync.resyncs(), self.chunker.continuity_errors());
        home.counters.resyncs.add(resyncs - self.seen.resyncs);
        home.counters
            .continuity_errors
            .add(errors - self.seen.continuity_errors);
        self.seen = Tallies {
            resyncs,
            continuity_errors: errors,
        };
    }
}

/// How much is read at once.
const READ_BYTES: usize = 64 * 1024;
