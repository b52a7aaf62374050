//! A start that is undecided: how long, what ends it, and what becomes of it if it is none. (pure)
//!
//! What a start is, is read by `starts.rs`; what it is when it is a join point stands in `chunker.rs`. The rule it
//! protects: whatever comes behind an undecided start can still be behind a join point, or a part of what was before.

use super::{Chunker, Phase};
use crate::ts::packet::TsPacket;
use crate::ts::seam::Passage;
use crate::ts::starts::Start;

impl Chunker {
    /// What the undecided start is, now that this packet has come behind it.
    pub(super) fn decide(&mut self, packet: TsPacket<'_>, pid: u16, passage: Passage) -> Start {
        let is_late_table = self.psi.is_psi(pid) && !self.mark.has_room_for_table();
        // A PID that was held back has to be announced right here, and there is no place for that behind a mark.
        let is_back = passage == Passage::Announce;
        if is_late_table || is_back || self.is_next_start(packet, pid) {
            return Start::No;
        }
        if self.continuity.last(pid).is_none() {
            // Whoever stays has to be told of an old PID right here; who begins at the mark is told by its record.
            if self.phase == Phase::Passing && self.former.has(pid) {
                return Start::No;
            }
            self.mark.note_new_pid(packet);
        }
        let start = if self.is_behind_start(packet, pid) {
            self.starts.follow(packet, self.patience_us())
        } else {
            Start::Undecided
        };
        let number = self.mark.place().map_or(0, |place| place.number);
        if start == Start::Undecided && !self.has_room(self.packets - number + 1) {
            return Start::No;
        }
        start
    }

    /// Whether a packet goes on with a video start that is still read.
    pub(super) fn is_behind_start(&self, packet: TsPacket<'_>, pid: u16) -> bool {
        Some(pid) == self.starts.video_pid()
            && !packet.payload_unit_start()
            && self.starts.is_reading()
    }

    /// Whether a start can stay undecided that has so many packets, its own counted.
    pub(super) fn has_room(&self, packets: u64) -> bool {
        let fills_chunk = usize::try_from(packets).is_ok_and(|packets| packets >= self.packets_max);
        packets < UNDECIDED_PACKETS_MAX && !(fills_chunk && self.phase == Phase::Discarding)
    }

    /// Makes the marked packet an ordinary one; answers how many packets nobody will see for that.
    pub(super) fn give_up(&mut self) -> usize {
        self.mark.lift();
        self.starts.stop();
        self.take_late_tables();
        if let Some(before) = self.seam_before.take() {
            self.seam = before;
        }
        match self.phase {
            Phase::Discarding => self.open.forget(),
            Phase::Passing => 0,
        }
    }

    /// Reads a packet of a table; behind an undecided start it waits until that is decided.
    pub(super) fn take_table(&mut self, packet: TsPacket<'_>) {
        if self.mark.is_set() {
            self.mark.keep_table(packet);
        } else if self.psi.push(packet) {
            self.note_tables();
        }
    }

    /// Reads the tables that waited.
    pub(super) fn take_late_tables(&mut self) {
        let mut has_changed = false;
        for packet in self.mark.late_tables() {
            has_changed |= self.psi.push(TsPacket::new(&packet));
        }
        if has_changed {
            self.note_tables();
        }
    }
}

/// How many packets of the stream a start may be undecided for, its own counted.
pub const UNDECIDED_PACKETS_MAX: u64 = 32;
