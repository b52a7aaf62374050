//! Where chunks end, and which of them a viewer can be started at. (pure)
//!
//! It sees each packet once and answers with counts; the bytes stay with the caller, who holds kept packets back to
//! back. What a table says, how much media time passed, what was lost and what a join record looks like are the
//! business of `psi.rs`, `media_clock.rs`, `continuity.rs` and `join.rs`. The rule it protects: a join point starts a
//! chunk, and every join point comes with a whole PAT and PMT.

use std::sync::Arc;

use bytes::Bytes;

use super::CHUNK_PACKETS_MAX;
use super::continuity::{Continuity, SEEN_MAX};
use super::join::{self, JoinRecord};
use super::media_clock::MediaClock;
use super::packet::{PID_PAT, TsPacket};
use super::psi::{PROGRAMS_MAX, Psi, SECTION_PACKETS_MAX};
use super::seam::{Passage, Seam};

/// Cuts the packets of one channel into chunks.
///
/// A join point is a packet of the video PID with payload start and the random-access flag. When there is no video, or
/// it is scrambled, or no such packet came for [`PATIENCE_US`] of media time, it is a PAT packet, so that PAT, PMT and
/// then media follow. Media time stands for arrival time where the stream has no clock. No packet is a join point
/// before a PAT and a PMT of it were seen whole: a viewer that starts at a join point never lacks them.
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
    psi: Psi,
    continuity: Continuity,
    clock: MediaClock,
    pcr_pid: Option<u16>,
    video_pid: Option<u16>,
    is_video_scrambled: bool,
    now_us: Option<u64>,
    /// Media time since when no video join point came; set with the first packet.
    missing_since_us: Option<u64>,
    /// All packets pushed, and how many there were at the last join point.
    packets: u64,
    packets_at_join: u64,
    /// Packets' worth of join records that may be written, as of the last join point.
    credit: u64,
    has_closed: bool,
    /// PIDs that viewers saw from another upstream and not yet from this one, with their last counters.
    old: Vec<(u16, u8)>,
    seam: Seam,
    /// Media time that was discarded: nobody received it.
    skipped_us: u64,
    /// Media time of the channel when the last upstream was lost.
    cut_us: u64,
}

impl Chunker {
    /// Begins a channel; `packets_max` is kept within 1 to [`CHUNK_PACKETS_MAX`].
    #[must_use]
    pub fn new(packets_max: usize) -> Self {
        Self {
            packets_max: packets_max.clamp(1, CHUNK_PACKETS_MAX),
            open: Open::default(),
            phase: Phase::Passing,
            psi: Psi::new(),
            continuity: Continuity::new(),
            clock: MediaClock::new(),
            pcr_pid: None,
            video_pid: None,
            is_video_scrambled: false,
            now_us: None,
            missing_since_us: None,
            packets: 0,
            packets_at_join: 0,
            credit: CREDIT_MAX,
            has_closed: false,
            old: Vec::new(),
            seam: Seam::new(CATCH_UP_US),
            skipped_us: 0,
            cut_us: 0,
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
    /// The caller closes `before` with what it holds, then keeps or squeezes out the packet, then closes `with`.
    #[inline]
    pub fn push(&mut self, packet: TsPacket<'_>, now_us: u64) -> Step {
        let pid = packet.pid();
        self.packets += 1;
        self.keep_time(packet, pid, now_us);
        let passage = self.seam.judge(packet, pid, now_us);
        let before = if self.may_start(packet, pid, passage) {
            self.start(packet, pid, passage)
        } else {
            None
        };
        self.observe(packet, pid);
        if self.phase == Phase::Discarding || passage == Passage::Discard {
            return Step {
                before,
                verdict: Verdict::Discard,
                with: None,
            };
        }
        self.seam.note(packet, pid);
        if self.open.packets == 0 {
            self.open.media_us = self.media_us();
            self.open.arrived_us = now_us;
        }
        self.open.packets += 1;
        let with = if self.open.packets >= self.packets_max {
            self.flush()
        } else {
            None
        };
        Step {
            before,
            verdict: Verdict::Keep,
            with,
        }
    }

    /// Closes the open chunk, because it is old enough or nothing follows; `None` when none is open.
    pub fn flush(&mut self) -> Option<Closed> {
        if self.open.packets == 0 {
            return None;
        }
        self.has_closed = true;
        let Open {
            packets,
            media_us,
            arrived_us,
            join,
            splice,
        } = std::mem::take(&mut self.open);
        Some(Closed {
            packets,
            media_us,
            arrived_us,
            join,
            splice,
        })
    }

    /// How many packets the open chunk has.
    #[must_use]
    pub fn open_packets(&self) -> usize {
        self.open.packets
    }

    /// When the oldest packet of the open chunk arrived.
    ///
    /// Unit: microseconds, on the caller's clock.
    #[must_use]
    pub fn open_since_us(&self) -> Option<u64> {
        (self.open.packets > 0).then_some(self.open.arrived_us)
    }

    /// Says that the next packet comes from another upstream, or from a new fetch of the same.
    ///
    /// Its packets are discarded until its PAT and PMT were seen and a join point comes, for which a PAT packet is
    /// good after [`SPLICE_PATIENCE_US`]. The chunk that begins there carries what has to be published in front of
    /// it. An open chunk ends before the next packet. Before any chunk was closed no viewer can have begun: the
    /// channel begins afresh, and nothing is discarded.
    pub fn splice(&mut self) {
        if self.has_closed {
            if self.phase == Phase::Passing {
                self.old
                    .retain(|(pid, _)| self.continuity.last(*pid).is_none());
                let room = SEEN_MAX.saturating_sub(self.continuity.seen().count());
                self.old.truncate(room);
                self.old.extend(self.continuity.seen());
                self.cut_us = self.media_us();
            }
            self.phase = Phase::Discarding;
            self.seam.switch();
        }
        self.continuity.reset();
        self.psi = Psi::new();
        self.clock.switch();
        self.note_tables();
        self.is_video_scrambled = false;
        self.now_us = None;
        self.missing_since_us = None;
    }

    /// How many jumps of continuity counters the upstreams did not announce; a change of upstream is none.
    #[must_use]
    pub fn continuity_errors(&self) -> u64 {
        self.continuity.errors()
    }

    /// Media time of the channel since its first packet; it never goes back.
    ///
    /// Unit: microseconds.
    #[must_use]
    pub fn media_us(&self) -> u64 {
        if self.phase == Phase::Discarding {
            return self.cut_us;
        }
        self.clock.media_us() - self.skipped_us
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
        self.clock.bits_per_second()
    }

    #[inline]
    fn keep_time(&mut self, packet: TsPacket<'_>, pid: u16, now_us: u64) {
        if self.now_us != Some(now_us) {
            self.now_us = Some(now_us);
            self.clock.arrive(now_us);
            self.missing_since_us
                .get_or_insert_with(|| self.clock.media_us());
        }
        if Some(pid) == self.pcr_pid {
            if packet.discontinuity() {
                self.clock.rebase();
            }
            if let Some(pcr) = packet.pcr() {
                self.clock.refer(pcr, self.packets);
            }
        }
    }

    /// Whether a packet could begin a chunk by what it is; most packets are told apart here, at little cost.
    #[inline]
    fn may_start(&self, packet: TsPacket<'_>, pid: u16, passage: Passage) -> bool {
        let is_unit =
            packet.payload_unit_start() && (Some(pid) == self.video_pid || pid == PID_PAT);
        let is_new = !self.old.is_empty() && self.continuity.last(pid).is_none();
        is_unit || is_new || self.phase == Phase::Discarding || passage != Passage::Pass
    }

    /// Ends the open chunk if the packet is a join point, or the first of a PID that viewers knew from elsewhere.
    fn start(&mut self, packet: TsPacket<'_>, pid: u16, passage: Passage) -> Option<Closed> {
        if self.phase == Phase::Passing && passage == Passage::Discard {
            return None;
        }
        let is_join_point =
            self.is_join_point(packet, pid) && passage != Passage::Discard && self.spend();
        if !is_join_point {
            if self.phase == Phase::Discarding {
                return self.flush();
            }
            let counter = self.take_old(packet, pid, passage)?;
            let before = self.flush();
            self.open.splice = Some(Bytes::copy_from_slice(&join::announcement(pid, counter)));
            return before;
        }
        let before = self.flush();
        self.open.join = Some(Arc::new(JoinRecord::new(
            &self.psi,
            &self.continuity,
            packet,
        )));
        if self.phase == Phase::Discarding {
            self.phase = Phase::Passing;
            self.skipped_us = self.clock.media_us() - self.cut_us;
            self.seam.go_on(pid);
            self.open.splice = Some(join::splice(&self.psi, &self.continuity, packet, &self.old));
            self.old
                .retain(|(old, _)| *old != pid && self.continuity.last(*old).is_none());
        } else if let Some(counter) = self.take_old(packet, pid, passage) {
            self.open.splice = Some(Bytes::copy_from_slice(&join::announcement(pid, counter)));
        }
        before
    }

    fn is_join_point(&mut self, packet: TsPacket<'_>, pid: u16) -> bool {
        if !packet.payload_unit_start() || !self.psi.is_complete() {
            return false;
        }
        let media_us = self.clock.media_us();
        if Some(pid) == self.video_pid {
            let is_start = packet.random_access() && !packet.is_scrambled();
            if is_start {
                self.missing_since_us = Some(media_us);
            }
            return is_start;
        }
        let missing_us = media_us.saturating_sub(self.missing_since_us.unwrap_or(media_us));
        let patience_us = if self.phase == Phase::Discarding {
            SPLICE_PATIENCE_US
        } else {
            PATIENCE_US
        };
        pid == PID_PAT
            && (self.video_pid.is_none() || self.is_video_scrambled || missing_us >= patience_us)
    }

    /// Whether a join record may be written, and counts it.
    fn spend(&mut self) -> bool {
        let earned = self
            .credit
            .saturating_add(self.packets - self.packets_at_join)
            .min(CREDIT_MAX);
        let cost = u64::try_from(join::packets(&self.psi, &self.continuity))
            .unwrap_or(u64::MAX)
            .min(CREDIT_MAX);
        let is_affordable = earned >= cost || self.phase == Phase::Discarding;
        if is_affordable {
            self.credit = earned.saturating_sub(cost);
            self.packets_at_join = self.packets;
        }
        is_affordable
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
        let position = self.old.iter().position(|(old, _)| *old == pid)?;
        self.old.swap_remove(position);
        Some(join::counter_before(packet))
    }

    #[inline]
    fn observe(&mut self, packet: TsPacket<'_>, pid: u16) {
        self.continuity.push(packet);
        if Some(pid) == self.video_pid && packet.has_payload() {
            self.is_video_scrambled = packet.is_scrambled();
        }
        if self.psi.is_psi(pid) && self.psi.push(packet) {
            self.note_tables();
        }
    }

    fn note_tables(&mut self) {
        let pcr_pid = self.psi.pcr_pid();
        if pcr_pid != self.pcr_pid {
            self.clock.rebase();
            self.pcr_pid = pcr_pid;
        }
        let video_pid = self.psi.video().map(|video| video.pid);
        if video_pid != self.video_pid {
            self.is_video_scrambled = false;
            self.video_pid = video_pid;
        }
        self.seam.follow(self.pcr_pid, self.video_pid);
    }
}

/// One closed chunk: the first `packets` packets the caller holds back are it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Closed {
    /// How many packets it has.
    ///
    /// Bound: 1 to the chunker's `packets_max`.
    pub packets: usize,
    /// Media time of the channel at its first packet.
    ///
    /// Unit: microseconds.
    pub media_us: u64,
    /// When its oldest packet arrived, as the caller said.
    ///
    /// Unit: microseconds.
    pub arrived_us: u64,
    /// What makes it a join point, if it is one.
    pub join: Option<Arc<JoinRecord>>,
    /// Whole packets to be published in front of it as bytes of their own: it comes from another upstream than what
    /// was published before, or begins with a PID that was last seen from the other one.
    pub splice: Option<Bytes>,
}

/// What becomes of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The packet is held behind those already held.
    Keep,
    /// The caller squeezes the packet out.
    Discard,
}

/// What one packet did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// The chunk that ended before this packet.
    pub before: Option<Closed>,
    /// Whether the packet is part of the stream.
    pub verdict: Verdict,
    /// The chunk that ended with this packet.
    pub with: Option<Closed>,
}

/// The chunk being filled; `join` and `splice` are set before its first packet.
#[derive(Debug, Default)]
struct Open {
    packets: usize,
    media_us: u64,
    arrived_us: u64,
    join: Option<Arc<JoinRecord>>,
    splice: Option<Bytes>,
}

/// Whether packets go to viewers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Passing,
    /// After a splice, until the new upstream's first join point.
    Discarding,
}

/// How much media without a video join point makes a PAT packet good enough.
pub const PATIENCE_US: u64 = 10_000_000;

/// The same after a splice, while viewers get nothing.
pub const SPLICE_PATIENCE_US: u64 = 3_000_000;

/// How long a restarted upstream may repeat what was sent if nobody says otherwise.
pub const CATCH_UP_US: u64 = 30_000_000;

/// Most packets' worth of join records that a stream can have saved up: the largest record there can be.
const CREDIT_MAX: u64 = ((PROGRAMS_MAX + 1) * (SECTION_PACKETS_MAX + 2) + SEEN_MAX + 1) as u64;

#[cfg(test)]
#[expect(
    clippy::indexing_slicing,
    reason = "a test that reads out of bounds should fail"
)]
mod tests {
    use super::*;
    use crate::ts::fixture::{Dice, PacketMaker, pat, pids, pmt};
    use crate::ts::packet::PID_NULL;
    use crate::ts::{CHUNK_PACKETS, CHUNK_PACKETS_MAX, PACKET_BYTES};

    type Packet = [u8; PACKET_BYTES];

    /// The caller of a chunker: holds packets, publishes chunks, and is the upstream with right counters at once.
    struct Relay {
        chunker: Chunker,
        held: Vec<Packet>,
        published: Vec<(Closed, Vec<Packet>)>,
        discarded: usize,
        now_us: u64,
        counters: [u8; 0x2000],
    }

    impl Relay {
        fn new(packets_max: usize) -> Self {
            Self {
                chunker: Chunker::new(packets_max),
                held: Vec::new(),
                published: Vec::new(),
                discarded: 0,
                now_us: 0,
                counters: [0; 0x2000],
            }
        }

        fn publish(&mut self, closed: Option<Closed>) {
            if let Some(closed) = closed {
                let packets = self.held.drain(..closed.packets).collect();
                assert!(self.held.is_empty(), "a chunk is all that is held");
                self.published.push((closed, packets));
            }
        }

        fn push(&mut self, packet: Packet) {
            let step = self.chunker.push(TsPacket::new(&packet), self.now_us);
            self.publish(step.before);
            match step.verdict {
                Verdict::Keep => self.held.push(packet),
                Verdict::Discard => {
                    assert!(step.with.is_none());
                    self.discarded += 1;
                }
            }
            self.publish(step.with);
            assert_eq!(self.chunker.open_packets(), self.held.len());
        }

        /// Pushes the next packet of a PID.
        fn send(&mut self, maker: PacketMaker, pid: u16) {
            let counter = self.count(pid);
            self.push(maker.counter(counter).build());
        }

        fn count(&mut self, pid: u16) -> u8 {
            let counter = self.counters[usize::from(pid)];
            self.counters[usize::from(pid)] = (counter + 1) % 16;
            counter
        }

        fn tables(&mut self, streams: &[(u8, u16)]) {
            self.pat();
            let counter = self.count(PMT);
            self.push(pmt(
                PMT,
                counter,
                1,
                streams.first().map_or(0x1FFF, |(_, pid)| *pid),
                streams,
            ));
        }

        fn pat(&mut self) {
            let counter = self.count(PID_PAT);
            self.push(pat(counter, &[(1, PMT)]));
        }

        fn media(&mut self, pid: u16, packets: usize) {
            (0..packets).for_each(|_| self.send(PacketMaker::new(pid), pid));
        }

        fn key(&mut self) {
            self.send(PacketMaker::new(VIDEO).unit_start().random_access(), VIDEO);
        }

        fn flush(&mut self) {
            let closed = self.chunker.flush();
            self.publish(closed);
        }

        fn sizes(&self) -> Vec<usize> {
            self.published
                .iter()
                .map(|(closed, _)| closed.packets)
                .collect()
        }

        fn joins(&self) -> Vec<usize> {
            (0..self.published.len())
                .filter(|index| self.published[*index].0.join.is_some())
                .collect()
        }

        /// What a viewer receives that begins at this chunk, or that saw all before it if it is 0.
        fn received(&self, from: usize) -> Vec<Packet> {
            let mut bytes = Vec::new();
            for (index, (closed, packets)) in self.published.iter().enumerate().skip(from) {
                if index == from
                    && let Some(record) = &closed.join
                {
                    bytes.extend_from_slice(&record.psi);
                } else if let Some(splice) = &closed.splice {
                    bytes.extend_from_slice(splice);
                }
                bytes.extend(packets.concat());
            }
            bytes.as_chunks().0.to_vec()
        }
    }

    fn complaints(packets: &[Packet]) -> u64 {
        let mut continuity = Continuity::new();
        packets
            .iter()
            .for_each(|packet| continuity.push(TsPacket::new(packet)));
        continuity.errors()
    }

    const PMT: u16 = 0x30;
    const VIDEO: u16 = 0x31;
    const AUDIO: u16 = 0x32;
    const TV: &[(u8, u16)] = &[(0x1B, VIDEO), (0x0F, AUDIO)];
    const RADIO: &[(u8, u16)] = &[(0x0F, AUDIO)];

    #[test]
    fn a_full_chunk_closes_with_its_last_packet() {
        let mut relay = Relay::new(CHUNK_PACKETS);
        relay.media(VIDEO, 400);
        assert_eq!(relay.sizes(), [174, 174]);
        assert_eq!(relay.chunker.open_packets(), 52);
    }

    #[test]
    fn the_size_of_chunks_is_kept_within_bounds() {
        for (asked, given) in [(0, 1), (7, 7), (174, 174), (697, 697), (5000, 697)] {
            let mut relay = Relay::new(asked);
            relay.media(VIDEO, given);
            assert_eq!(relay.sizes(), [given], "asked for {asked}");
        }
    }

    #[test]
    fn a_flush_closes_what_is_open_and_only_that() {
        let mut relay = Relay::new(100);
        assert_eq!(relay.chunker.open_since_us(), None);
        assert_eq!(relay.chunker.flush(), None);
        relay.now_us = 5;
        relay.media(VIDEO, 1);
        relay.now_us = 9;
        relay.media(VIDEO, 1);
        assert_eq!(relay.chunker.open_since_us(), Some(5));
        relay.flush();
        assert_eq!(relay.published[0].0.arrived_us, 5);
        assert_eq!(relay.sizes(), [2]);
        assert_eq!(relay.chunker.flush(), None);
    }

    #[test]
    fn a_random_access_packet_starts_a_chunk_with_the_tables_before_it() {
        let mut relay = Relay::new(CHUNK_PACKETS);
        relay.tables(TV);
        relay.key();
        relay.media(VIDEO, 20);
        relay.tables(TV);
        relay.media(AUDIO, 5);
        relay.key();
        relay.media(VIDEO, 3);
        relay.flush();
        assert_eq!(relay.sizes(), [2, 28, 4]);
        assert_eq!(relay.joins(), [1, 2]);
        let record = relay.published[2].0.join.clone().unwrap();
        assert_eq!(
            record.psi,
            relay.published[1].1[21..23].concat(),
            "the copies seen last"
        );
        assert_eq!(pids(&record.skip), [0, PMT, VIDEO, AUDIO, 0, PMT]);
        for from in [0, 1, 2] {
            assert_eq!(complaints(&relay.received(from)), 0, "from chunk {from}");
        }
    }

    #[test]
    fn a_skip_between_any_two_join_points_is_announced() {
        let mut relay = Relay::new(16);
        for gop in 0..9 {
            relay.tables(TV);
            relay.key();
            relay.media(VIDEO, 20 + gop);
            relay.media(AUDIO, 3 + gop);
            relay.media(VIDEO, 5);
        }
        let joins = relay.joins();
        assert_eq!(joins.len(), 9);
        for (to, from) in joins.iter().flat_map(|to| {
            joins
                .iter()
                .filter(move |from| *from < to)
                .map(move |from| (to, from))
        }) {
            let record = relay.published[*to].0.join.clone().unwrap();
            let mut received = relay.published[*from].1.clone();
            received.extend_from_slice(record.skip.as_chunks().0);
            received.extend(
                relay
                    .received(*to)
                    .iter()
                    .skip(record.psi.len() / PACKET_BYTES),
            );
            assert_eq!(complaints(&received), 0, "from chunk {from} to {to}");
        }
    }

    #[test]
    fn before_pat_and_pmt_nothing_is_a_join_point() {
        let mut relay = Relay::new(CHUNK_PACKETS);
        relay.key();
        relay.pat();
        relay.key();
        relay.flush();
        assert_eq!((relay.sizes(), relay.joins()), (vec![3], vec![]));
    }

    #[test]
    fn only_the_start_of_a_random_access_unit_on_the_video_pid_counts() {
        let mut relay = Relay::new(CHUNK_PACKETS);
        relay.tables(TV);
        relay.send(PacketMaker::new(VIDEO).random_access(), VIDEO);
        relay.send(PacketMaker::new(VIDEO).unit_start(), VIDEO);
        relay.send(PacketMaker::new(AUDIO).unit_start().random_access(), AUDIO);
        relay.flush();
        assert!(relay.joins().is_empty());
    }

    #[test]
    fn without_video_each_pat_is_a_join_point() {
        let mut relay = Relay::new(CHUNK_PACKETS);
        for _ in 0..4 {
            relay.tables(RADIO);
            relay.media(AUDIO, 10);
        }
        relay.flush();
        assert_eq!(
            (relay.sizes(), relay.joins()),
            (vec![12, 12, 12, 12], vec![1, 2, 3])
        );
        let received = relay.received(1);
        assert_eq!(complaints(&received), 0);
        assert_eq!(pids(&received[..4].concat()), [0, PMT, 0, PMT]);
    }

    #[test]
    fn scrambled_video_makes_the_pat_a_join_point_until_it_is_clear_again() {
        let mut relay = Relay::new(CHUNK_PACKETS);
        relay.tables(TV);
        relay.send(
            PacketMaker::new(VIDEO)
                .unit_start()
                .random_access()
                .scrambled(),
            VIDEO,
        );
        relay.media(AUDIO, 10);
        relay.tables(TV);
        relay.media(VIDEO, 10);
        relay.tables(TV);
        relay.key();
        relay.flush();
        assert_eq!(relay.sizes(), [13, 14, 1]);
        assert_eq!(relay.joins(), [1, 2]);
        assert_eq!(TsPacket::new(&relay.published[1].1[0]).pid(), PID_PAT);
    }

    #[test]
    fn after_ten_seconds_without_a_video_join_point_a_pat_is_one() {
        let mut relay = Relay::new(CHUNK_PACKETS);
        relay.tables(TV);
        for second in 1..=11 {
            relay.now_us = second * 1_000_000;
            relay.media(VIDEO, 10);
            relay.tables(TV);
            relay.flush();
            assert_eq!(relay.joins().is_empty(), second < 10, "second {second}");
        }
        relay.key();
        relay.now_us += 9_000_000;
        relay.tables(TV);
        relay.flush();
        let last = relay.published.last().unwrap();
        assert_eq!(last.0.packets, 3);
        assert!(
            TsPacket::new(&last.1[0]).random_access(),
            "the count begins again at a video join point"
        );
    }

    #[test]
    fn the_ten_seconds_are_media_time_where_there_is_a_clock() {
        let mut relay = Relay::new(CHUNK_PACKETS);
        relay.tables(TV);
        for step in 0..=250 {
            relay.send(PacketMaker::new(VIDEO).pcr(step * 1_080_000), VIDEO);
        }
        assert_eq!(relay.chunker.media_us(), 10_000_000);
        relay.tables(TV);
        relay.flush();
        assert_eq!(relay.joins().len(), 1, "although all arrived at once");

        let mut relay = Relay::new(CHUNK_PACKETS);
        relay.tables(TV);
        relay.send(PacketMaker::new(VIDEO).pcr(0), VIDEO);
        relay.now_us = 60_000_000;
        relay.tables(TV);
        relay.flush();
        assert!(
            relay.joins().is_empty(),
            "an upstream that rested for a minute lost no join point"
        );
    }

    #[test]
    fn a_chunk_tells_the_media_time_of_its_first_packet() {
        let mut relay = Relay::new(10);
        relay.tables(TV);
        for step in 0..30 {
            relay.send(PacketMaker::new(VIDEO).pcr(step * 1_080_000), VIDEO);
        }
        let times: Vec<_> = relay
            .published
            .iter()
            .map(|(closed, _)| closed.media_us)
            .collect();
        assert_eq!(times, [0, 320_000, 720_000]);
        assert_eq!(relay.chunker.bits_per_second(), Some(25 * 188 * 8));
    }

    #[test]
    fn a_flagged_clock_change_does_not_leap() {
        let mut relay = Relay::new(10);
        relay.tables(TV);
        relay.send(PacketMaker::new(VIDEO).pcr(0), VIDEO);
        relay.send(
            PacketMaker::new(VIDEO).pcr(5 * 27_000_000).discontinuity(),
            VIDEO,
        );
        assert_eq!(relay.chunker.media_us(), 0);
    }

    #[test]
    fn a_jump_of_a_counter_is_counted_once() {
        let mut relay = Relay::new(10);
        relay.media(VIDEO, 3);
        relay.count(VIDEO);
        relay.media(VIDEO, 3);
        assert_eq!(relay.chunker.continuity_errors(), 1);
    }

    /// A relay whose viewers saw tables, a key frame, video, audio and a PID of its own.
    fn relay_with_history() -> Relay {
        let mut relay = Relay::new(CHUNK_PACKETS);
        relay.tables(TV);
        relay.key();
        relay.media(VIDEO, 20);
        relay.media(AUDIO, 6);
        relay.media(0x77, 4);
        relay
    }

    fn switch(relay: &mut Relay) {
        relay.chunker.splice();
        relay
            .counters
            .iter_mut()
            .for_each(|counter| *counter = (*counter + 5) % 16);
    }

    #[test]
    fn after_a_splice_nothing_is_kept_before_tables_and_a_join_point() {
        let mut relay = relay_with_history();
        switch(&mut relay);
        relay.media(VIDEO, 3);
        assert_eq!(relay.sizes(), [2, 31], "the open chunk ended");
        relay.key();
        relay.tables(TV);
        relay.media(AUDIO, 3);
        assert_eq!((relay.discarded, relay.chunker.open_packets()), (9, 0));
        relay.key();
        relay.media(VIDEO, 3);
        relay.media(AUDIO, 3);
        relay.flush();
        assert_eq!(relay.discarded, 9);
        let (closed, packets) = relay.published.last().unwrap();
        assert_eq!((closed.packets, packets.len()), (7, 7));
        assert!(closed.join.is_some());
        assert_eq!(
            pids(closed.splice.as_ref().unwrap()),
            [0, PMT, VIDEO, AUDIO, 0x77, 0, PMT]
        );
        assert_eq!(complaints(&relay.received(0)), 0);
        assert_eq!(relay.chunker.continuity_errors(), 0);
    }

    #[test]
    fn the_bytes_of_a_splice_continue_either_side() {
        let mut relay = relay_with_history();
        switch(&mut relay);
        relay.tables(TV);
        relay.key();
        relay.flush();
        let splice = relay.published.last().unwrap().0.splice.clone().unwrap();
        let counters: Vec<_> = splice.as_chunks().0[..5]
            .iter()
            .map(TsPacket::new)
            .map(|packet| (packet.pid(), packet.continuity_counter()))
            .collect();
        let before = [(0, 1), (PMT, 1), (VIDEO, 21), (AUDIO, 6), (0x77, 4)]
            .map(|(pid, next): (u16, u8)| (pid, next));
        let expected: Vec<_> = before
            .iter()
            .map(|(pid, next)| {
                if [AUDIO, 0x77].contains(pid) {
                    (*pid, next - 1)
                } else {
                    (*pid, (next + 4) % 16)
                }
            })
            .collect();
        assert_eq!(
            counters, expected,
            "old PIDs their last counter, new ones the one before their next"
        );
    }

    #[test]
    fn a_pid_that_returns_late_from_the_new_upstream_is_announced_then() {
        let mut relay = relay_with_history();
        switch(&mut relay);
        relay.tables(TV);
        relay.key();
        relay.media(VIDEO, 3);
        relay.media(AUDIO, 3);
        relay.media(VIDEO, 2);
        relay.flush();
        assert_eq!(relay.sizes(), [2, 31, 4, 5]);
        let late = relay.published.last().unwrap().0.clone();
        assert!(late.join.is_none());
        assert_eq!(pids(late.splice.as_ref().unwrap()), [AUDIO]);
        assert_eq!(complaints(&relay.received(0)), 0);
    }

    #[test]
    fn a_splice_settles_for_a_pat_after_three_seconds() {
        let mut relay = relay_with_history();
        switch(&mut relay);
        for tenth in 0..=30 {
            relay.now_us = 50_000_000 + tenth * 100_000;
            relay.tables(TV);
            assert_eq!(
                relay.chunker.open_packets() > 0,
                tenth == 30,
                "tenth {tenth}"
            );
        }
        relay.media(VIDEO, 4);
        relay.flush();
        let (closed, packets) = &relay.published[*relay.joins().last().unwrap()];
        assert!(closed.join.is_some() && closed.splice.is_some());
        assert_eq!(TsPacket::new(&packets[0]).pid(), PID_PAT);
        assert_eq!(complaints(&relay.received(0)), 0);
    }

    #[test]
    fn splices_in_a_row_remember_what_viewers_saw() {
        let mut relay = relay_with_history();
        switch(&mut relay);
        relay.tables(TV);
        relay.media(0x99, 5);
        switch(&mut relay);
        relay.tables(TV);
        relay.key();
        relay.media(AUDIO, 2);
        switch(&mut relay);
        relay.tables(TV);
        relay.key();
        relay.media(AUDIO, 2);
        relay.media(0x77, 2);
        relay.flush();
        let splices: Vec<_> = relay
            .published
            .iter()
            .filter_map(|(closed, _)| Some(pids(closed.splice.as_ref()?)))
            .collect();
        let all = vec![0, PMT, VIDEO, AUDIO, 0x77, 0, PMT];
        assert_eq!(splices[0], all, "0x99 reached nobody");
        assert_eq!(splices[1], [AUDIO]);
        assert_eq!(splices[2].len(), all.len());
        assert_eq!(splices[3..], [vec![AUDIO], vec![0x77]]);
        assert_eq!(complaints(&relay.received(0)), 0);
    }

    #[test]
    fn a_splice_before_anything_was_published_is_a_fresh_start() {
        let mut relay = Relay::new(CHUNK_PACKETS);
        relay.chunker.splice();
        relay.tables(TV);
        switch(&mut relay);
        relay.tables(TV);
        relay.key();
        relay.flush();
        assert_eq!(relay.discarded, 0);
        assert!(
            relay
                .published
                .iter()
                .all(|(closed, _)| closed.splice.is_none())
        );
        assert_eq!(relay.joins(), [1]);
        assert_eq!(relay.chunker.continuity_errors(), 0);
    }

    #[test]
    fn media_time_goes_on_over_a_splice() {
        let mut relay = Relay::new(CHUNK_PACKETS);
        relay.tables(TV);
        (0..10).for_each(|step| relay.send(PacketMaker::new(VIDEO).pcr(step * 1_080_000), VIDEO));
        relay.flush();
        assert_eq!(relay.chunker.media_us(), 360_000);
        switch(&mut relay);
        relay.now_us = 90_000_000;
        relay.tables(TV);
        (0..10).for_each(|step| {
            relay.send(
                PacketMaker::new(VIDEO).pcr(777_777 + step * 1_080_000),
                VIDEO,
            )
        });
        assert_eq!(relay.chunker.media_us(), 360_000, "nobody received any");
        relay.key();
        relay.send(PacketMaker::new(VIDEO).pcr(777_777 + 11 * 1_080_000), VIDEO);
        assert_eq!(relay.chunker.media_us(), 440_000);
    }

    #[test]
    fn join_records_cannot_outgrow_the_stream() {
        let mut relay = Relay::new(CHUNK_PACKETS);
        relay.tables(TV);
        relay.media(AUDIO, 1);
        (0..5_000).for_each(|_| relay.key());
        relay.flush();
        let records: usize = relay
            .published
            .iter()
            .filter_map(|(closed, _)| Some(closed.join.as_ref()?.bytes()))
            .sum();
        let stream: usize = relay.sizes().iter().sum::<usize>() * PACKET_BYTES;
        assert!(relay.joins().len() > 500);
        let allowance = usize::try_from(CREDIT_MAX).unwrap() * PACKET_BYTES;
        assert!(
            records <= stream + allowance,
            "{records} bytes of records for {stream} bytes of stream"
        );
    }

    #[test]
    fn random_streams_come_out_whole_with_chunks_in_bounds() {
        for seed in 0..60 {
            let mut dice = Dice::new(seed);
            let packets_max = 1 + dice.below(CHUNK_PACKETS_MAX);
            let mut relay = Relay::new(packets_max);
            let mut pushed = 0;
            for _ in 0..3_000 {
                pushed += 1;
                match dice.below(40) {
                    0 => {
                        relay.tables(TV);
                        pushed += 1;
                    }
                    1 => relay.key(),
                    2 => relay.send(PacketMaker::new(PID_NULL), PID_NULL),
                    3 => {
                        relay.flush();
                        pushed -= 1;
                    }
                    4 if dice.below(8) == 0 => {
                        switch(&mut relay);
                        pushed -= 1;
                    }
                    5..=9 => relay.media(AUDIO, 1),
                    10 => {
                        let mut packet = PacketMaker::new(VIDEO).build();
                        dice.fill(&mut packet[4..]);
                        let counter = relay.count(VIDEO);
                        packet[3] = 0x30 | counter;
                        relay.push(packet);
                    }
                    _ => relay.media(VIDEO, 1),
                }
                relay.now_us += u64::try_from(dice.below(20_000)).unwrap();
            }
            relay.flush();
            assert_eq!(
                relay.sizes().iter().sum::<usize>() + relay.discarded,
                pushed,
                "seed {seed}"
            );
            assert!(
                relay
                    .sizes()
                    .iter()
                    .all(|size| (1..=packets_max).contains(size)),
                "seed {seed}"
            );
            assert!(
                relay
                    .published
                    .is_sorted_by_key(|(closed, _)| (closed.media_us, closed.arrived_us)),
                "seed {seed}"
            );
            assert!(!relay.joins().is_empty(), "seed {seed}");
            for from in relay.joins() {
                let received = relay.received(from);
                assert_eq!(pids(&received[..2].concat()), [PID_PAT, PMT], "seed {seed}");
                assert_eq!(complaints(&received), 0, "seed {seed} from chunk {from}");
            }
        }
    }
}
