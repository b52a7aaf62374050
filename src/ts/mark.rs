//! The moment before a packet that is a join point, or may turn out to be one. (pure)
//!
//! It remembers what a join record and a chunk need to know of that moment; which packet it is about is decided by
//! `starts.rs`, when to set and to lift it by `chunker.rs`. The rule it protects: a record says the same whether a join
//! point was known at once or some packets later.

use std::vec::Drain;

use super::PACKET_BYTES;
use super::continuity::{Continuity, SEEN_MAX};
use super::join;
use super::packet::{PID_NULL, TsPacket};

/// Where a chunk would begin, and what came before.
///
/// Bound: [`SEEN_MAX`] counters, and [`LATE_TABLES_MAX`] packets of tables that came since.
///
/// Ownership: copies, in room that is taken once.
#[derive(Debug)]
pub struct Mark {
    place: Option<Place>,
    counters: Vec<(u16, u8)>,
    late_tables: Vec<[u8; PACKET_BYTES]>,
}

impl Mark {
    /// Begins without a moment.
    #[must_use]
    pub fn new() -> Self {
        Self {
            place: None,
            counters: Vec::with_capacity(SEEN_MAX),
            late_tables: Vec::with_capacity(LATE_TABLES_MAX),
        }
    }

    /// Remembers the moment before the packet at `place`.
    pub fn set(&mut self, place: Place, continuity: &Continuity) {
        self.place = Some(place);
        self.counters.clear();
        self.counters.extend(continuity.seen());
    }

    /// The packet it is about, if it is set.
    #[must_use]
    pub fn place(&self) -> Option<Place> {
        self.place
    }

    /// Whether it is set.
    #[must_use]
    #[inline]
    pub fn is_set(&self) -> bool {
        self.place.is_some()
    }

    /// Says that the packets before it are open no more.
    pub fn lead(&mut self) {
        if let Some(place) = &mut self.place {
            place.behind = 0;
        }
    }

    /// Unsets it; what was remembered stays to be read until it is set again.
    pub fn lift(&mut self) -> Option<Place> {
        self.place.take()
    }

    /// The PIDs seen before it and their last counters, in the order they appeared.
    #[must_use]
    pub fn counters(&self) -> &[(u16, u8)] {
        &self.counters
    }

    /// Takes the first packet of a PID that appears behind it: whoever begins here has to expect just that one.
    pub fn note_new_pid(&mut self, packet: TsPacket<'_>) {
        if packet.pid() != PID_NULL && self.counters.len() < SEEN_MAX {
            self.counters
                .push((packet.pid(), join::counter_before(packet)));
        }
    }

    /// Whether another packet of a table can be [kept](Self::keep_table).
    #[must_use]
    pub fn has_room_for_table(&self) -> bool {
        self.late_tables.len() < LATE_TABLES_MAX
    }

    /// Keeps a packet of a table that came behind it, to be read when it is lifted.
    pub fn keep_table(&mut self, packet: TsPacket<'_>) {
        if self.has_room_for_table() {
            self.late_tables.push(*packet.bytes());
        }
    }

    /// Hands out the packets of tables that came behind it, in order.
    pub fn late_tables(&mut self) -> Drain<'_, [u8; PACKET_BYTES]> {
        self.late_tables.drain(..)
    }
}

impl Default for Mark {
    fn default() -> Self {
        Self::new()
    }
}

/// A packet at which a chunk would begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// How many packets of the open chunk come before it.
    pub behind: usize,
    /// Its number, counted over all packets of the channel.
    pub number: u64,
    /// Its PID, and the counter before it.
    pub begins: (u16, u8),
    /// Media time of the channel at it, in microseconds.
    pub media_us: u64,
    /// When it arrived, in microseconds as the caller said.
    pub arrived_us: u64,
}

/// Most packets of tables that may come while a start is undecided: a PAT and a PMT of three packets.
pub const LATE_TABLES_MAX: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ts::fixture::{PacketMaker, pat};

    const PLACE: Place = Place {
        behind: 7,
        number: 100,
        begins: (0x31, 4),
        media_us: 5,
        arrived_us: 6,
    };

    fn set() -> Mark {
        let mut continuity = Continuity::new();
        for pid in [0x31, 0x32] {
            let packet = PacketMaker::new(pid).counter(4).build();
            continuity.push(TsPacket::new(&packet));
        }
        let mut mark = Mark::new();
        mark.set(PLACE, &continuity);
        continuity.reset();
        mark
    }

    #[test]
    fn counters_are_those_of_the_moment_and_the_ones_new_pids_begin_with() {
        let mut mark = set();
        for (pid, counter) in [(0x33, 0), (PID_NULL, 3), (0x34, 9)] {
            let packet = PacketMaker::new(pid).counter(counter).build();
            mark.note_new_pid(TsPacket::new(&packet));
        }
        let expected = [(0x31, 4), (0x32, 4), (0x33, 15), (0x34, 8)];
        assert_eq!(mark.counters(), expected);
        mark.lift();
        assert_eq!(mark.counters(), expected, "they stay to be read");
        mark.set(PLACE, &Continuity::new());
        assert!(mark.counters().is_empty());
    }

    #[test]
    fn no_more_counters_are_kept_than_a_record_may_have() {
        let mut mark = set();
        for pid in 0x100..0x200 {
            let packet = PacketMaker::new(pid).build();
            mark.note_new_pid(TsPacket::new(&packet));
        }
        assert_eq!(mark.counters().len(), SEEN_MAX);
    }

    #[test]
    fn a_place_is_known_until_it_is_lifted() {
        let mut mark = set();
        assert_eq!(mark.place(), Some(PLACE));
        mark.lead();
        let leading = Place { behind: 0, ..PLACE };
        assert_eq!(mark.lift(), Some(leading));
        assert!(!mark.is_set() && mark.lift().is_none());
        mark.lead();
        assert_eq!(mark.place(), None);
    }

    #[test]
    fn late_tables_come_out_once_and_in_order() {
        let mut mark = set();
        for counter in 0..6 {
            mark.keep_table(TsPacket::new(&pat(counter, &[(1, 0x30)])));
        }
        assert!(!mark.has_room_for_table());
        let counters: Vec<_> = mark
            .late_tables()
            .map(|packet| TsPacket::new(&packet).continuity_counter())
            .collect();
        assert_eq!(counters, [0, 1, 2, 3]);
        assert!(mark.has_room_for_table());
        assert_eq!(mark.late_tables().count(), 0);
    }
}
