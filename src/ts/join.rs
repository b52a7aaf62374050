//! The packets that let a decoder begin, or go on, at a join point. (pure)
//!
//! It only writes them; where join points are is decided by `chunker.rs`. The rule it protects: what a viewer
//! receives has no jump of a continuity counter that is not announced, and PAT and PMT come before any media.

use bytes::Bytes;

use super::PACKET_BYTES;
use super::continuity::SEEN_MAX;
use super::packet::{PID_NULL, SYNC, TsPacket};
use super::psi::{PROGRAMS_MAX, Psi, SECTION_PACKETS_MAX};

/// What is sent in front of a join point's chunk, outside the ring.
///
/// Shape: whole packets; `psi` is the end of `skip`, in the same memory.
///
/// ```text
/// skip:  one announcement per PID | PAT | PMT, PMT, .. | announcements
///                                 ^ psi
/// ```
///
/// An announcement is a packet without payload that sets the discontinuity flag and carries a counter. The first ones
/// come before the tables, because a table is itself a packet with a counter that would break: each carries the
/// counter before the one its PID goes on with, which is its last packet's for media and that of the packet before the
/// copy for tables. The ones at the end are rarely there: they stand for packets of a table PID that followed the copy.
///
/// Every join point has a whole PAT and PMT here, also one whose chunk itself begins with a PAT packet: the copies are
/// those before it, so counters go on into the chunk, and no viewer depends on how soon the PMT follows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JoinRecord {
    /// For a new viewer: PAT and PMT as last seen before the join point.
    pub psi: Bytes,
    /// For a viewer that skips to the join point: announcements, then the same.
    pub skip: Bytes,
}

impl JoinRecord {
    /// Writes the record of a join point from what came before it: the tables, and the last counter of each PID.
    ///
    /// `begins` is the PID of the join point's first packet and the [counter before](counter_before) it.
    #[must_use]
    pub fn new(psi: &Psi, counters: &[(u16, u8)], begins: (u16, u8)) -> Self {
        let (skip, tables) = resume(psi, counters, begins, &[]);
        Self {
            psi: skip.slice(tables..),
            skip,
        }
    }

    /// Memory the record holds.
    ///
    /// Unit: bytes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.skip.len()
    }
}

/// Writes what leads every viewer from another upstream to a join point; the rest is as for [`JoinRecord::new`].
///
/// Shape: as [`JoinRecord::skip`], with an announcement also for each `(PID, last counter)` of the other upstream.
#[must_use]
pub fn splice(psi: &Psi, counters: &[(u16, u8)], begins: (u16, u8), old: &[(u16, u8)]) -> Bytes {
    resume(psi, counters, begins, old).0
}

/// What join records may weigh.
///
/// Bound: together they outweigh the stream by [`CREDIT_MAX`] packets at most.
#[derive(Debug)]
pub struct Credit {
    /// How many packets had come when a record was written last.
    packets: u64,
    /// Packets' worth of records that could still be written then.
    left: u64,
}

impl Credit {
    /// Begins with all the credit there can be.
    #[must_use]
    pub fn new() -> Self {
        Self {
            packets: 0,
            left: CREDIT_MAX,
        }
    }

    /// Counts a record of `cost` packets, `packets` of the stream having come by now.
    ///
    /// Tells whether it may be written; one that `is_due` may be at any price.
    pub fn spend(&mut self, packets: u64, cost: usize, is_due: bool) -> bool {
        let earned = packets.saturating_sub(self.packets);
        let credit = self.left.saturating_add(earned).min(CREDIT_MAX);
        let cost = u64::try_from(cost).unwrap_or(u64::MAX).min(CREDIT_MAX);
        if credit < cost && !is_due {
            return false;
        }
        self.left = credit.saturating_sub(cost);
        self.packets = packets;
        true
    }
}

impl Default for Credit {
    fn default() -> Self {
        Self::new()
    }
}

/// A packet that announces a jump: the next packet of `pid` will carry the counter after `counter`.
#[must_use]
pub fn announcement(pid: u16, counter: u8) -> [u8; PACKET_BYTES] {
    let [high, low] = pid.to_be_bytes();
    let mut packet = [STUFFING; PACKET_BYTES];
    let (head, _) = packet.split_at_mut(ANNOUNCEMENT.len());
    head.copy_from_slice(&ANNOUNCEMENT);
    packet[1] = high & 0x1F;
    packet[2] = low;
    packet[3] |= counter & 0x0F;
    packet
}

/// The counter to announce before this packet, so that it is the next of its PID.
///
/// For the first packet of a join point it is taken from that packet and not from its predecessor, so that a loss right
/// before it, or a PID not seen before, breaks nothing.
#[must_use]
pub fn counter_before(packet: TsPacket<'_>) -> u8 {
    packet
        .continuity_counter()
        .wrapping_sub(u8::from(packet.has_payload()))
        & 0x0F
}

/// How many packets [`JoinRecord::skip`] would have with so many counters, or a few more.
#[must_use]
pub fn packets(psi: &Psi, counters: usize) -> usize {
    let tables = psi
        .tables()
        .map(|(_, packets)| packets.len() / PACKET_BYTES + 1)
        .sum::<usize>();
    tables + counters + 1
}

/// Writes announcements and tables; returns where the tables begin.
fn resume(
    psi: &Psi,
    counters: &[(u16, u8)],
    begins: (u16, u8),
    old: &[(u16, u8)],
) -> (Bytes, usize) {
    let mut bytes = Vec::with_capacity(
        (packets(psi, counters.len()) + psi.tables().count() + old.len()) * PACKET_BYTES,
    );
    let last = |pid: u16| {
        let known = counters.iter().find(|(known, _)| *known == pid);
        known.map(|(_, counter)| *counter)
    };
    for (pid, copies) in psi.tables() {
        if let Some(first) = TsPacket::first(copies) {
            bytes.extend_from_slice(&announcement(
                pid,
                first.continuity_counter().wrapping_sub(1),
            ));
        }
    }
    let is_table = |pid: u16| psi.tables().any(|(table, _)| table == pid);
    let others = counters.iter().filter(|(pid, _)| *pid != begins.0);
    let gone = old
        .iter()
        .filter(|(pid, _)| *pid != begins.0 && last(*pid).is_none());
    let all = std::iter::once(&begins).chain(others).chain(gone);
    for (pid, counter) in all.copied() {
        if !is_table(pid) && pid != PID_NULL {
            bytes.extend_from_slice(&announcement(pid, counter));
        }
    }
    let tables = bytes.len();
    psi.tables()
        .for_each(|(_, copies)| bytes.extend_from_slice(copies));
    for (pid, copies) in psi.tables() {
        let copied = copies
            .last_chunk()
            .map(|last| TsPacket::new(last).continuity_counter());
        if let Some(counter) = last(pid).filter(|counter| copied != Some(*counter)) {
            bytes.extend_from_slice(&announcement(pid, counter));
        }
    }
    (Bytes::from(bytes), tables)
}

/// Header and adaptation field of an announcement for PID 0 and counter 0.
const ANNOUNCEMENT: [u8; 6] = [SYNC, 0, 0, 0x20, 183, 0x80];
const STUFFING: u8 = 0xFF;

/// Most packets' worth of join records that a stream can have saved up: the largest record there can be.
pub const CREDIT_MAX: u64 = ((PROGRAMS_MAX + 1) * (SECTION_PACKETS_MAX + 2) + SEEN_MAX + 1) as u64;

#[cfg(test)]
#[expect(
    clippy::indexing_slicing,
    reason = "a test that reads out of bounds should fail"
)]
mod tests {
    use super::*;
    use crate::ts::continuity::Continuity;
    use crate::ts::fixture::{PacketMaker, pat, pids, pmt, pmt_section, section_packets};

    /// What a decoder's demultiplexer would complain about while reading these packets.
    fn complaints(bytes: &[u8]) -> u64 {
        let mut continuity = Continuity::new();
        bytes
            .as_chunks()
            .0
            .iter()
            .for_each(|packet| continuity.push(TsPacket::new(packet)));
        continuity.errors()
    }

    /// The tables and the counters that these packets leave behind.
    fn observe(packets: &[[u8; PACKET_BYTES]]) -> (Psi, Vec<(u16, u8)>) {
        let (mut psi, mut continuity) = (Psi::new(), Continuity::new());
        for packet in packets.iter().map(TsPacket::new) {
            continuity.push(packet);
            if psi.is_psi(packet.pid()) {
                psi.push(packet);
            }
        }
        (psi, continuity.seen().collect())
    }

    fn begins(start: &[u8; PACKET_BYTES]) -> (u16, u8) {
        let start = TsPacket::new(start);
        (start.pid(), counter_before(start))
    }

    fn media(pid: u16, counter: u8) -> [u8; PACKET_BYTES] {
        PacketMaker::new(pid).counter(counter).build()
    }

    const STREAMS: &[(u8, u16)] = &[(0x1B, 0x31), (0x0F, 0x32)];

    #[test]
    fn an_announcement_has_no_payload_and_says_discontinuity() {
        let bytes = announcement(0x1ABC, 0xF5);
        let packet = TsPacket::new(&bytes);
        assert_eq!((packet.pid(), packet.continuity_counter()), (0x1ABC, 5));
        assert!(packet.discontinuity() && !packet.has_payload() && !packet.random_access());
        assert_eq!(packet.pcr(), None);
        assert!(bytes.iter().skip(6).all(|byte| *byte == 0xFF));
    }

    #[test]
    fn a_new_viewer_gets_pat_then_pmt_as_they_came() {
        let tables = [pat(4, &[(1, 0x30)]), pmt(0x30, 2, 1, 0x31, STREAMS)];
        let (psi, counters) = observe(&tables);
        let record = JoinRecord::new(&psi, &counters, begins(&media(0x31, 0)));
        assert_eq!(record.psi, tables.concat());
    }

    #[test]
    fn a_skip_announces_every_pid_before_it_repeats_the_tables() {
        let before = [
            pat(4, &[(1, 0x30)]),
            pmt(0x30, 2, 1, 0x31, STREAMS),
            media(0x31, 7),
            media(0x32, 9),
            media(PID_NULL, 0),
        ];
        let (psi, counters) = observe(&before);
        let start = media(0x31, 8);
        let record = JoinRecord::new(&psi, &counters, begins(&start));
        assert_eq!(pids(&record.skip), [0, 0x30, 0x31, 0x32, 0, 0x30]);
        assert!(record.skip.ends_with(&record.psi));
        assert!(record.bytes() / PACKET_BYTES <= packets(&psi, counters.len()));

        let elsewhere = [
            pat(11, &[(1, 0x30)]),
            pmt(0x30, 12, 1, 0x31, STREAMS),
            media(0x31, 1),
            media(0x32, 2),
        ];
        let after = [
            start,
            media(0x32, 10),
            pat(5, &[(1, 0x30)]),
            pmt(0x30, 3, 1, 0x31, STREAMS),
        ];
        assert_eq!(
            complaints(&[&elsewhere.concat(), &record.skip[..], &after.concat()].concat()),
            0
        );
        assert_eq!(
            complaints(&[&elsewhere.concat(), &record.psi[..], &after.concat()].concat()),
            4,
            "without: one per PID"
        );
    }

    #[test]
    fn a_loss_right_before_the_join_point_is_not_passed_on() {
        let (psi, counters) = observe(&[
            pat(4, &[(1, 0x30)]),
            pmt(0x30, 2, 1, 0x31, STREAMS),
            media(0x31, 7),
        ]);
        let start = media(0x31, 12);
        let record = JoinRecord::new(&psi, &counters, begins(&start));
        assert_eq!(
            complaints(&[&media(0x31, 7)[..], &record.skip[..], &start].concat()),
            0
        );
    }

    #[test]
    fn a_table_cut_by_the_join_point_keeps_its_counters() {
        let long = section_packets(0x30, 5, &pmt_section(1, 0, 0x31, STREAMS, 400));
        let again = section_packets(0x30, 8, &pmt_section(1, 0, 0x31, STREAMS, 400));
        let mut before = vec![pat(4, &[(1, 0x30)])];
        before.extend_from_slice(&long);
        before.push(again[0]);
        let (psi, counters) = observe(&before);
        let start = media(0x31, 0);
        let record = JoinRecord::new(&psi, &counters, begins(&start));
        assert_eq!(
            pids(&record.psi),
            [0, 0x30, 0x30, 0x30, 0x30],
            "the copy and one announcement"
        );
        let rest = [&record.skip[..], &start, &again[1..].concat()].concat();
        assert_eq!(complaints(&rest), 0);
        assert_eq!(
            complaints(&[&record.psi[..], &start, &again[1..].concat()].concat()),
            0
        );
    }

    #[test]
    fn a_chunk_that_begins_with_a_pat_goes_on_from_the_copy_before_it() {
        let (psi, counters) =
            observe(&[pat(4, &[(1, 0x30)]), pmt(0x30, 2, 1, 0x31, &[(0x0F, 0x31)])]);
        let after = [pat(5, &[(1, 0x30)]), pmt(0x30, 3, 1, 0x31, &[(0x0F, 0x31)])];
        let record = JoinRecord::new(&psi, &counters, begins(&after[0]));
        assert_eq!(pids(&record.psi), [0, 0x30]);
        assert_eq!(complaints(&[&record.psi[..], &after.concat()].concat()), 0);
        assert_eq!(
            complaints(&[&pat(9, &[(1, 0x30)])[..], &record.skip[..], &after.concat()].concat()),
            0
        );
    }

    #[test]
    fn a_splice_announces_the_old_pids_too_and_each_pid_once() {
        let (psi, counters) = observe(&[
            pat(4, &[(1, 0x30)]),
            pmt(0x30, 2, 1, 0x31, STREAMS),
            media(0x32, 3),
        ]);
        let start = media(0x31, 8);
        let old = [(0, 1), (0x50, 2), (0x31, 3), (0x32, 4), (0x60, 5)];
        let bytes = splice(&psi, &counters, begins(&start), &old);
        assert_eq!(pids(&bytes), [0, 0x30, 0x31, 0x32, 0x50, 0x60, 0, 0x30]);
        let counters: Vec<_> = bytes
            .as_chunks()
            .0
            .iter()
            .take(6)
            .map(|packet| TsPacket::new(packet).continuity_counter())
            .collect();
        assert_eq!(counters, [3, 1, 7, 3, 2, 5]);
    }

    #[test]
    fn credit_is_earned_by_the_stream_and_saved_up_to_a_bound() {
        let mut credit = Credit::new();
        let all = usize::try_from(CREDIT_MAX).unwrap();
        assert!(credit.spend(5, all, false));
        assert!(!credit.spend(14, 10, false), "nine packets came since");
        assert!(credit.spend(15, 10, false));
        assert!(!credit.spend(15, 1, false));
        assert!(credit.spend(15, 7, true), "what is due is not refused");
        assert!(credit.spend(1_000_000, all, false));
        assert!(!credit.spend(1_000_000, 1, false), "no more is saved up");
    }
}
