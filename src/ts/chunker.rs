//! Where chunks end, and which of them a viewer can be started at. (pure)
//!
//! It sees each packet once and answers with counts; the bytes stay with the caller, who holds kept packets back to
//! back. Which packets are join points, what a table says, how much media time passed, what was lost and what a join
//! record looks like are the business of `starts.rs`, `psi.rs`, `media_clock.rs`, `continuity.rs` and `join.rs`. The
//! rule it protects: a join point starts a chunk, and every join point comes with a whole PAT and PMT.

mod doubt;
mod watch;

use std::sync::Arc;

use bytes::Bytes;

use super::CHUNK_PACKETS_MAX;
use super::continuity::Continuity;
use super::facts::Facts;
use super::former::Former;
use super::join::{self, Credit, JoinRecord};
use super::mark::{Mark, Place};
use super::open::Open;
use super::packet::{PID_PAT, TsPacket};
use super::psi::Psi;
use super::seam::{Passage, Seam};
use super::starts::{PATIENCE_US, Start, Starts};
use super::timeline::Timeline;

pub use self::doubt::UNDECIDED_PACKETS_MAX;
use self::watch::Watch;
pub use super::open::{Closed, Step, Verdict};

/// Cuts the packets of one channel into chunks.
///
/// A join point is the start of a picture that needs none before it: a packet of the video PID with payload start and
/// the random-access flag, or, where the sender sets none, one behind which the elementary stream shows such a picture
/// (see [`Starts`]). When there is no video, or it is scrambled, or nothing of the kind came for [`PATIENCE_US`] of
/// media time, it is a PAT packet, so that PAT, PMT and then media follow. Media time stands for arrival time where
/// the stream has no clock. No packet is a join point before a PAT and a PMT of it were seen whole: a viewer that
/// starts at a join point never lacks them.
///
/// A start without a flag may be undecided for a while: the packets from it on are open as any others, but while more
/// are before it, only those can be closed, so that it can still begin a chunk. What is undecided when
/// [`UNDECIDED_PACKETS_MAX`] packets have come, when the caller flushes it, or when it alone fills a chunk, is no join
/// point.
///
/// Bound: at most `packets_max` packets are open. Join records together outweigh the stream by one record at most: a
/// packet that would be a join point is an ordinary one while the record would have more packets than came since the
/// last one and were left over before, so that a hostile stream cannot make its chunks dwarfed by their records.
///
/// Ownership: one allocation of a few packets per join point, none per packet.
#[derive(Debug)]
pub struct Chunker {
    packets_max: usize,
    open: Open,
    phase: Phase,
    /// The undecided start among the open packets.
    mark: Mark,
    /// Which packets matter that begin no unit.
    watch: Watch,
    /// Packets that the caller still holds and that a splice made useless.
    stale: usize,
    psi: Psi,
    starts: Starts,
    continuity: Continuity,
    timeline: Timeline,
    /// All packets pushed.
    packets: u64,
    credit: Credit,
    former: Former,
    seam: Seam,
    /// The seam as it was before an undecided start after a splice.
    seam_before: Option<Seam>,
}

impl Chunker {
    /// Begins a channel; `packets_max` is kept within 1 to [`CHUNK_PACKETS_MAX`].
    #[must_use]
    pub fn new(packets_max: usize) -> Self {
        Self {
            packets_max: packets_max.clamp(1, CHUNK_PACKETS_MAX),
            open: Open::default(),
            phase: Phase::Passing,
            mark: Mark::new(),
            watch: Watch::Nothing,
            stale: 0,
            psi: Psi::new(),
            starts: Starts::new(),
            continuity: Continuity::new(),
            timeline: Timeline::default(),
            packets: 0,
            credit: Credit::new(),
            former: Former::default(),
            seam: Seam::new(CATCH_UP_US),
            seam_before: None,
        }
    }

    /// The same, and after a splice an upstream with the same clock has `catch_up_us` to get beyond what was sent.
    #[must_use]
    pub fn catching_up_within(self, catch_up_us: u64) -> Self {
        Self {
            seam: Seam::new(catch_up_us),
            ..self
        }
    }

    /// Takes the next packet of the stream, arrived at `now_us`.
    ///
    /// The caller squeezes out `dropped` packets of what it holds, closes `before`, then keeps or squeezes out the
    /// packet, then closes `with`.
    #[inline]
    pub fn push(&mut self, packet: TsPacket<'_>, now_us: u64) -> Step {
        let pid = packet.pid();
        self.packets += 1;
        if let Some(media_us) = self.timeline.arrive(now_us) {
            self.starts.arrive(media_us);
        }
        self.timeline.refer(packet, pid, self.packets);
        let passage = self.seam.judge(packet, pid, now_us);
        if passage != Passage::Pass || self.may_matter(packet, pid) {
            return self.push_with_care(packet, pid, passage);
        }
        self.observe(packet, pid);
        self.seam.note(packet, pid);
        if self.fills() {
            return Step {
                with: self.flush(),
                ..Step::default()
            };
        }
        Step::default()
    }

    /// Closes the open chunk, because it is old enough or nothing follows; `None` when none is open.
    ///
    /// Before an undecided start it ends, and the next call closes the rest. After a splice an undecided start is not
    /// closed: it is no viewer's before it is decided.
    pub fn flush(&mut self) -> Option<Closed> {
        if let Some(place) = self.mark.place() {
            if self.phase == Phase::Discarding {
                return None;
            }
            if place.behind > 0 {
                self.mark.lead();
                return self.open.close_before(place);
            }
            self.give_up();
        }
        self.open.close()
    }

    /// How many packets the caller holds: those of the open chunk, and those it will be told to drop.
    #[must_use]
    pub fn open_packets(&self) -> usize {
        self.open.packets() + self.stale
    }

    /// When the oldest packet arrived that the next [`Self::flush`] would close.
    ///
    /// Unit: microseconds, on the caller's clock.
    #[must_use]
    pub fn open_since_us(&self) -> Option<u64> {
        let is_held_back = self.phase == Phase::Discarding && self.mark.is_set();
        self.open.since_us().filter(|_| !is_held_back)
    }

    /// Says that the next packet comes from another upstream, or from a new fetch of the same.
    ///
    /// Its packets are discarded until its PAT and PMT were seen and a join point comes, for which a PAT packet or a
    /// recovery point is good after [`SPLICE_PATIENCE_US`]; an undecided start is kept until it is decided. The chunk
    /// that begins there carries what has to be published in front of it. An open chunk ends before the next packet.
    /// Before any chunk was closed no viewer can have begun: the channel begins afresh, and nothing is discarded.
    pub fn splice(&mut self) {
        if self.mark.is_set() {
            self.stale += self.give_up();
        }
        if self.open.has_closed() {
            if self.phase == Phase::Passing {
                self.former.remember(&self.continuity);
                self.timeline.stand();
            }
            self.phase = Phase::Discarding;
            self.seam.switch();
        }
        self.continuity.reset();
        self.psi = Psi::new();
        self.starts = Starts::new();
        self.timeline.switch();
        self.note_tables();
        self.adjust_watch();
    }

    /// How many jumps of continuity counters the upstreams did not announce; a change of upstream is none.
    #[must_use]
    pub fn continuity_errors(&self) -> u64 {
        self.continuity.errors()
    }

    /// What was seen of the media of the upstream that runs now.
    #[must_use]
    pub fn facts(&self) -> &Facts {
        self.starts.facts()
    }

    /// Media time of the channel since its first packet; it never goes back.
    ///
    /// Unit: microseconds.
    #[must_use]
    pub fn media_us(&self) -> u64 {
        self.timeline.media_us()
    }

    /// Whether an upstream is discarded because it still sends what viewers have.
    #[must_use]
    pub fn is_catching_up(&self) -> bool {
        self.seam.is_catching_up()
    }

    /// Forgets what was sent: whoever received it is gone.
    pub fn forget(&mut self) {
        self.seam.forget();
    }

    /// What the stream takes by its own clock, over about the last two seconds; `None` until that is known.
    #[must_use]
    pub fn bits_per_second(&self) -> Option<u64> {
        self.timeline.bits_per_second()
    }

    /// Adds a packet to the open chunk; tells whether that is full now.
    #[inline]
    fn fills(&mut self) -> bool {
        self.open.add(self.media_us(), self.timeline.now_us()) >= self.packets_max
    }

    /// Takes a packet that may matter: it may decide a start before it, and may be one itself.
    fn push_with_care(&mut self, packet: TsPacket<'_>, pid: u16, mut passage: Passage) -> Step {
        let mut step = Step {
            dropped: std::mem::take(&mut self.stale),
            ..Step::default()
        };
        let mut is_undecided = self.mark.is_set();
        if is_undecided {
            match self.decide(packet, pid, passage) {
                Start::JoinPoint => step.before = self.join(),
                Start::No => {
                    step.dropped += self.give_up();
                    is_undecided = false;
                    if self.phase == Phase::Discarding {
                        passage = self.seam.judge(packet, pid, self.timeline.now_us());
                    }
                }
                Start::Undecided => {}
            }
        } else if self.is_behind_start(packet, pid) {
            self.starts.follow(packet, self.patience_us());
        }
        if !is_undecided {
            step.before = self.start(packet, pid, passage);
        }
        self.observe(packet, pid);
        let is_unwanted = self.phase == Phase::Discarding && !self.mark.is_set();
        if is_unwanted || passage == Passage::Discard {
            step.verdict = Verdict::Discard;
        } else {
            self.seam.note(packet, pid);
            if self.fills() {
                step.with = self.flush();
            }
        }
        self.adjust_watch();
        step
    }

    /// Whether a picture, or a part of one, begins in a packet.
    fn is_next_start(&self, packet: TsPacket<'_>, pid: u16) -> bool {
        Some(pid) == self.starts.video_pid() && packet.payload_unit_start()
    }

    /// Ends the open chunk if the packet is a join point, or the first of a PID that viewers knew from elsewhere.
    fn start(&mut self, packet: TsPacket<'_>, pid: u16, passage: Passage) -> Option<Closed> {
        let mut start = self.judge(packet, pid);
        if passage == Passage::Discard {
            if self.phase == Phase::Passing {
                return None;
            }
            self.starts.stop();
            start = Start::No;
        }
        let mut before = None;
        if self.phase == Phase::Discarding {
            before = self.open.close();
        } else if let Some(counter) = self.take_old(packet, pid, passage) {
            before = self.open.close();
            self.open.splice = Some(Bytes::copy_from_slice(&join::announcement(pid, counter)));
        }
        if start == Start::No {
            return before;
        }
        let place = Place {
            behind: self.open.packets(),
            number: self.packets,
            begins: (pid, join::counter_before(packet)),
            media_us: self.media_us(),
            arrived_us: self.timeline.now_us(),
        };
        self.mark.set(place, &self.continuity);
        if self.phase == Phase::Discarding {
            self.timeline.skip_here();
            self.seam_before = Some(self.seam.clone());
            self.seam.go_on(pid);
        }
        if start == Start::JoinPoint {
            let joined = self.join();
            return before.or(joined);
        }
        before
    }

    fn judge(&mut self, packet: TsPacket<'_>, pid: u16) -> Start {
        let (media_us, patience_us) = (self.timeline.upstream_us(), self.patience_us());
        if self.is_next_start(packet, pid) {
            let start = self.starts.judge(packet, media_us, patience_us);
            if start == Start::Undecided && !self.has_room(1) {
                return Start::No;
            }
            return start;
        }
        let is_pat = pid == PID_PAT && packet.payload_unit_start() && self.psi.is_complete();
        if is_pat && self.starts.are_tables_good_enough(media_us, patience_us) {
            Start::JoinPoint
        } else {
            Start::No
        }
    }

    fn patience_us(&self) -> u64 {
        match self.phase {
            Phase::Discarding => SPLICE_PATIENCE_US,
            Phase::Passing => PATIENCE_US,
        }
    }

    /// Makes the marked packet begin a chunk as a join point, if a record may be written; closes what is before it.
    fn join(&mut self) -> Option<Closed> {
        let place = self.mark.lift()?;
        let cost = join::packets(&self.psi, self.mark.counters().len());
        let is_splice = self.phase == Phase::Discarding;
        let mut before = None;
        if self.credit.spend(self.packets, cost, is_splice) {
            before = self.open.close_before(place);
            let counters = self.mark.counters();
            let record = JoinRecord::new(&self.psi, counters, place.begins);
            self.open.join = Some(Arc::new(record));
            if is_splice {
                let splice = join::splice(&self.psi, counters, place.begins, self.former.all());
                self.open.splice = Some(splice);
                self.phase = Phase::Passing;
                self.timeline.go_on();
                self.seam_before = None;
                self.former.forget_seen(place.begins.0, &self.continuity);
            }
        }
        self.take_late_tables();
        before
    }

    /// The counter to announce if viewers knew this PID from another upstream and not yet from this one, or if it was
    /// held back since.
    fn take_old(&mut self, packet: TsPacket<'_>, pid: u16, passage: Passage) -> Option<u8> {
        if passage == Passage::Announce {
            return Some(join::counter_before(packet));
        }
        if self.continuity.last(pid).is_some() {
            return None;
        }
        let was_known = self.former.take(pid);
        was_known.then(|| join::counter_before(packet))
    }

    #[inline]
    fn observe(&mut self, packet: TsPacket<'_>, pid: u16) {
        self.continuity.push(packet);
        if Some(pid) == self.starts.video_pid() && packet.has_payload() {
            self.starts.note_scrambling(packet.is_scrambled());
        }
        if self.psi.is_psi(pid) {
            self.take_table(packet);
        }
    }

    fn note_tables(&mut self) {
        let pcr_pid = self.psi.pcr_pid();
        self.timeline.follow(pcr_pid);
        self.starts.note_tables(&self.psi);
        self.seam.follow(pcr_pid, self.starts.video_pid());
    }
}

/// Whether packets go to viewers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Passing,
    /// After a splice, until the new upstream's first join point.
    Discarding,
}

/// As [`PATIENCE_US`] after a splice, while viewers get nothing.
pub const SPLICE_PATIENCE_US: u64 = 3_000_000;

/// How long a restarted upstream may repeat what was sent if nobody says otherwise.
pub const CATCH_UP_US: u64 = 30_000_000;

#[cfg(test)]
mod undecided;

#[cfg(test)]
#[expect(
    clippy::indexing_slicing,
    reason = "a test that reads out of bounds should fail"
)]
mod tests;
