//! Bytes of an upstream -> chunks in the home's ring.
//!
//! Where reading, packet boundaries, chunking and memory meet; each of them is decided elsewhere (`upstream::http`,
//! `ts`, `segment`). The rule: only whole packets are ever published.

use crate::channel::home::Home;
use crate::clock::micros;
use crate::segment::{Extent, SegmentWriter};
use crate::ts::PACKET_BYTES;
use crate::ts::chunker::{Chunker, Closed, Verdict};
use crate::ts::continuity::Continuity;
use crate::ts::facts::Facts;
use crate::ts::packet::TsPacket;
use crate::ts::resync::{Resync, Step};
use crate::upstream::admission::{Admission, Admit};
use crate::upstream::error::FetchError;
use crate::upstream::pulse::{Frozen, Pulse};

/// The way of one channel's bytes from its upstreams into its ring.
pub struct Ingest {
    writer: SegmentWriter,
    resync: Resync,
    chunker: Chunker,
    /// Bytes at the front of what is pending that are packets the chunker has kept.
    judged: usize,
    chunk_bytes_max: usize,
    chunk_age_us: u64,
    /// When bytes came last, and the time before.
    last_us: u64,
    before_us: u64,
    flushed_us: Option<u64>,
    /// Whether a whole packet waits for the byte behind it.
    is_waiting: bool,
    /// Bytes thrown away before this fetch.
    earlier_junk_bytes: u64,
    /// Whether this fetch has brought a point to start at.
    has_joined: bool,
    pulse: Pulse,
    admission: Admission,
    /// The counters as viewers get them.
    sent: Continuity,
    seen: Tallies,
}

/// How much may be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Allowance {
    /// At most so many bytes, and at least one.
    Bytes(usize),
    /// Nothing before this time, in microseconds of the clock.
    NothingBefore(u64),
}

/// Totals that have been counted already.
#[derive(Default)]
struct Tallies {
    resyncs: u64,
    continuity_errors: u64,
    continuity_errors_out: u64,
}

impl Ingest {
    /// An empty way for the channel.
    ///
    /// # Errors
    /// [`FetchError::Memory`] if there is none for the first segment.
    pub fn new(home: &Home) -> Result<Self, FetchError> {
        let limits = home.terms.limits();
        Ok(Self {
            writer: SegmentWriter::new().map_err(|source| FetchError::Memory { source })?,
            resync: Resync::new(),
            chunker: Chunker::new(limits.chunk_bytes_max / PACKET_BYTES)
                .catching_up_within(micros(limits.start_timeout)),
            judged: 0,
            chunk_bytes_max: limits.chunk_bytes_max,
            chunk_age_us: micros(limits.chunk_age),
            last_us: 0,
            before_us: 0,
            flushed_us: None,
            is_waiting: false,
            earlier_junk_bytes: 0,
            has_joined: false,
            pulse: Pulse::new(),
            admission: Admission::new(limits.ahead, limits.ring, limits.ring_bytes_max),
            sent: Continuity::new(),
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
            .room(ROOM_BYTES_MIN)
            .map_err(|source| FetchError::Memory { source })?;
        let bytes = room.len().min(READ_BYTES);
        Ok(room.get_mut(..bytes).unwrap_or_default())
    }

    /// Takes the first `bytes` of the room, which have been written, and says whether a chunk was closed.
    ///
    /// `tell` is called for each closed chunk: one read may hold more media than the ring, and what nobody was told of
    /// before it is evicted is lost.
    ///
    /// # Errors
    /// [`FetchError::Memory`] if a segment for a splice was refused.
    pub fn take(
        &mut self,
        home: &Home,
        bytes: usize,
        now_us: u64,
        mut tell: impl FnMut(&Self),
    ) -> Result<bool, FetchError> {
        self.writer.fill(bytes);
        self.before_us = std::mem::replace(&mut self.last_us, now_us);
        self.pulse.arrive(now_us);
        home.counters.upstream_received_bytes.add(bytes as u64);
        let mut has_closed = false;
        loop {
            let unjudged = self.writer.pending().get(self.judged..).unwrap_or_default();
            match self.resync.next(unjudged, false) {
                Step::NeedMore => {
                    // One whole packet waits only for the first byte of the next, to be sure of its end.
                    self.is_waiting = unjudged.len() == PACKET_BYTES && self.resync.is_locked();
                    break;
                }
                Step::Junk(junk) => self.writer.squeeze(self.judged, junk),
                Step::Packet => {
                    if self.packet(home, now_us)? {
                        has_closed = true;
                        tell(self);
                    }
                }
            }
        }
        if self.age(home, now_us)? {
            has_closed = true;
            tell(self);
        }
        Ok(has_closed)
    }

    /// Says how old the open chunk may become from now on.
    pub fn allow_age(&mut self, chunk_age_us: u64) {
        self.chunk_age_us = chunk_age_us;
    }

    /// Closes the open chunk if it has become too old, and counts what came; says whether it has.
    ///
    /// # Errors
    /// As [`Ingest::take`].
    pub fn age(&mut self, home: &Home, now_us: u64) -> Result<bool, FetchError> {
        let mut has_closed = false;
        if self.is_waiting && now_us >= self.last_us + self.chunk_age_us {
            let unjudged = self.writer.pending().get(self.judged..).unwrap_or_default();
            self.is_waiting = false;
            if matches!(self.resync.next(unjudged, true), Step::Packet) {
                has_closed |= self.packet(home, now_us)?;
            }
        }
        if self.chunk_due_us().is_some_and(|due_us| now_us >= due_us) {
            has_closed |= self.flush(home, now_us)?;
        }
        self.count(home);
        Ok(has_closed)
    }

    /// Closes the open chunk however young it is; says whether there was one.
    ///
    /// # Errors
    /// As [`Ingest::take`].
    pub fn flush(&mut self, home: &Home, now_us: u64) -> Result<bool, FetchError> {
        // A second time at once would give up the start of a picture that came just now.
        if self.flushed_us == Some(now_us) {
            return Ok(false);
        }
        let Some(closed) = self.chunker.flush() else {
            return Ok(false);
        };
        self.flushed_us = Some(now_us);
        self.publish(home, closed, now_us)?;
        Ok(true)
    }

    /// How many bytes make the open chunk full, and show that its last packet is whole; or last for `batch_us` if that
    /// is more.
    #[must_use]
    pub fn missing_bytes(&self, batch_us: u64) -> usize {
        let rate = u128::from(self.bits_per_second().unwrap_or(0));
        let batch_bytes = usize::try_from(rate * u128::from(batch_us) / 8_000_000);
        let wanted = batch_bytes.unwrap_or(READ_BYTES).min(READ_BYTES);
        let missing = (self.chunk_bytes_max + 1).saturating_sub(self.writer.pending_bytes());
        missing.max(wanted)
    }

    /// When something that waits will have waited too long: the open chunk, or a packet for its end to be sure.
    #[must_use]
    pub fn due_us(&self) -> Option<u64> {
        let waiting = self.is_waiting.then_some(self.last_us + self.chunk_age_us);
        match (self.chunk_due_us(), waiting) {
            (Some(chunk), Some(packet)) => Some(chunk.min(packet)),
            (chunk, packet) => chunk.or(packet),
        }
    }

    fn chunk_due_us(&self) -> Option<u64> {
        self.chunker
            .open_since_us()
            .map(|since_us| since_us + self.chunk_age_us)
    }

    /// Ends a fetch: whole packets are published, the torn rest is dropped, and the next fetch will be spliced on.
    ///
    /// # Errors
    /// As [`Ingest::take`].
    pub fn cut(&mut self, home: &Home, now_us: u64) -> Result<bool, FetchError> {
        let published = self.publish_rest(home, now_us);
        self.count(home);
        self.chunker.splice();
        self.pulse.restart();
        self.resync.lost();
        self.earlier_junk_bytes = self.resync.junk_bytes();
        self.has_joined = false;
        self.is_waiting = false;
        published
    }

    /// Publishes the whole packets that are left and drops the torn rest.
    fn publish_rest(&mut self, home: &Home, now_us: u64) -> Result<bool, FetchError> {
        let mut has_closed = false;
        loop {
            let unjudged = self.writer.pending().get(self.judged..).unwrap_or_default();
            match self.resync.next(unjudged, true) {
                Step::Packet => has_closed |= self.packet(home, now_us)?,
                Step::Junk(junk) => self.writer.squeeze(self.judged, junk),
                Step::NeedMore => {
                    let rest = unjudged.len();
                    self.writer.squeeze(self.judged, rest);
                    break;
                }
            }
        }
        // What precedes an undecided start is a chunk of its own.
        while let Some(closed) = self.chunker.flush() {
            self.publish(home, closed, now_us)?;
            has_closed = true;
        }
        Ok(has_closed)
    }

    /// Whether this fetch has brought a point to start at.
    #[must_use]
    pub fn has_joined(&self) -> bool {
        self.has_joined
    }

    /// Whether this fetch still brings what viewers have, and will bring more.
    #[must_use]
    pub fn is_catching_up(&self) -> bool {
        self.chunker.is_catching_up()
    }

    /// Forgets what was published: nobody has it any more.
    pub fn forget(&mut self) {
        self.chunker.forget();
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

    /// What was seen of the media of this fetch.
    #[must_use]
    pub fn facts(&self) -> &Facts {
        self.chunker.facts()
    }

    /// How many bytes may be read now, and if none, when to ask again.
    ///
    /// Before this fetch has brought media, as many as come: a start is not held up.
    pub fn admit(&mut self, now_us: u64) -> Allowance {
        if !self.has_joined {
            return Allowance::Bytes(READ_BYTES);
        }
        let rate = self.bits_per_second();
        match self.admission.judge(self.pulse.received_us(), rate, now_us) {
            Admit::Wait { until_us } => Allowance::NothingBefore(until_us),
            Admit::Read { media_us } => {
                let bits = rate.map(|rate| u128::from(rate) * u128::from(media_us) / 1_000_000);
                let bytes = bits.and_then(|bits| usize::try_from(bits / 8).ok());
                let bytes = bytes.unwrap_or(READ_BYTES);
                Allowance::Bytes(bytes.clamp(READ_BYTES_MIN, READ_BYTES))
            }
        }
    }

    /// When all the media received so far will have been played in real time.
    ///
    /// Unit: microseconds of the clock.
    #[must_use]
    pub fn played_out_us(&self) -> u64 {
        self.admission.played_out_us(self.pulse.received_us())
    }

    /// What of this fetch's media has stood still for `time_us` although bytes came.
    #[must_use]
    pub fn frozen(&self, time_us: u64) -> Option<Frozen> {
        self.pulse.frozen(time_us)
    }

    /// Judges the packet that stands next.
    fn packet(&mut self, home: &Home, now_us: u64) -> Result<bool, FetchError> {
        let unjudged = self.writer.pending().get(self.judged..).unwrap_or_default();
        let Some(packet) = TsPacket::first(unjudged) else {
            return Ok(false);
        };
        self.pulse.take(packet, self.has_joined);
        let step = self.chunker.push(packet, now_us);
        if step.dropped > 0 {
            let bytes = step.dropped * PACKET_BYTES;
            self.writer.squeeze(0, bytes);
            self.judged = self.judged.saturating_sub(bytes);
        }
        let has_closed = step.before.is_some() || step.with.is_some();
        if let Some(closed) = step.before {
            self.publish(home, closed, now_us)?;
        }
        match step.verdict {
            Verdict::Keep => self.judged += PACKET_BYTES,
            Verdict::Discard => self.writer.squeeze(self.judged, PACKET_BYTES),
        }
        if let Some(closed) = step.with {
            self.publish(home, closed, now_us)?;
        }
        Ok(has_closed)
    }

    fn publish(&mut self, home: &Home, mut closed: Closed, now_us: u64) -> Result<(), FetchError> {
        let bytes = closed.packets * PACKET_BYTES;
        self.judged = self.judged.saturating_sub(bytes);
        // Taken before anything can fail: the chunker has closed it and speaks of what follows.
        let extent = self.writer.publish(bytes);
        // What came by the last read may have lain there since the one before.
        if closed.arrived_us >= self.last_us {
            closed.arrived_us = self.before_us;
        }
        if let Some(splice) = closed.splice.take() {
            let seam = Closed {
                join: None,
                ..closed.clone()
            };
            let announced =
                Extent::copy_of(&splice).map_err(|source| FetchError::Memory { source })?;
            self.follow(&announced);
            home.append(announced, &seam, now_us);
        }
        self.has_joined |= closed.join.is_some();
        self.follow(&extent);
        home.append(extent, &closed, now_us);
        Ok(())
    }

    /// Follows the counters of what is published.
    fn follow(&mut self, published: &Extent) {
        let (packets, _) = published.as_slice().as_chunks();
        for packet in packets {
            self.sent.push(TsPacket::new(packet));
        }
    }

    fn count(&mut self, home: &Home) {
        let now = Tallies {
            resyncs: self.resync.resyncs(),
            continuity_errors: self.chunker.continuity_errors(),
            continuity_errors_out: self.sent.errors(),
        };
        let (counters, before) = (&home.counters, std::mem::replace(&mut self.seen, now));
        let seen = &self.seen;
        counters.resyncs.add(seen.resyncs - before.resyncs);
        counters
            .continuity_errors
            .add(seen.continuity_errors - before.continuity_errors);
        counters
            .continuity_errors_out
            .add(seen.continuity_errors_out - before.continuity_errors_out);
    }
}

/// How much is read at once.
const READ_BYTES: usize = 256 * 1024;

/// Room below which a new segment begins: what is left of the old one is wasted.
const ROOM_BYTES_MIN: usize = 64 * 1024;

/// The least that is read at once: system calls are not worth less.
const READ_BYTES_MIN: usize = 4 * 1024;

#[cfg(test)]
mod tests;
