//! PIDs that viewers know from an upstream that is gone. (pure)
//!
//! What is announced of them, and where, is decided by `chunker.rs`. The rule it protects: a PID that comes again goes on
//! with a counter of its own choice, so whoever knew it has to be told.

use super::continuity::{Continuity, SEEN_MAX};

/// PIDs seen from another upstream and not yet from this one, with their last counters.
///
/// Bound: [`SEEN_MAX`] together with those of the last upstream.
#[derive(Debug, Default)]
pub struct Former(Vec<(u16, u8)>);

impl Former {
    /// Adds what was seen of the upstream that is gone now.
    pub fn remember(&mut self, seen: &Continuity) {
        self.0.retain(|(pid, _)| seen.last(*pid).is_none());
        let room = SEEN_MAX.saturating_sub(seen.seen().count());
        self.0.truncate(room);
        self.0.extend(seen.seen());
    }

    /// Forgets those that are known from the upstream that runs now, and `pid`, with which it begins.
    pub fn forget_seen(&mut self, pid: u16, seen: &Continuity) {
        self.0
            .retain(|(old, _)| *old != pid && seen.last(*old).is_none());
    }

    /// Forgets a PID; tells whether it was known.
    pub fn take(&mut self, pid: u16) -> bool {
        let position = self.0.iter().position(|(old, _)| *old == pid);
        position.map(|index| self.0.swap_remove(index)).is_some()
    }

    /// Whether a PID is known from another upstream only.
    #[must_use]
    pub fn has(&self, pid: u16) -> bool {
        self.0.iter().any(|(old, _)| *old == pid)
    }

    /// Whether none is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All of them with their last counters.
    #[must_use]
    pub fn all(&self) -> &[(u16, u8)] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ts::fixture::PacketMaker;
    use crate::ts::packet::TsPacket;

    fn seen(pids: &[u16]) -> Continuity {
        let mut seen = Continuity::new();
        for pid in pids {
            seen.push(TsPacket::new(&PacketMaker::new(*pid).counter(3).build()));
        }
        seen
    }

    #[test]
    fn pids_are_former_until_they_come_again() {
        let mut former = Former::default();
        former.remember(&seen(&[0x31, 0x32, 0x33]));
        former.remember(&seen(&[0x32, 0x40]));
        assert_eq!(former.all(), [(0x31, 3), (0x33, 3), (0x32, 3), (0x40, 3)]);
        assert!(former.has(0x31) && former.take(0x31) && !former.take(0x31));
        former.forget_seen(0x33, &seen(&[0x40]));
        assert_eq!(former.all(), [(0x32, 3)]);
    }

    #[test]
    fn no_more_are_remembered_than_can_be_announced() {
        let mut former = Former::default();
        let many: Vec<u16> = (0x100..0x1000).collect();
        former.remember(&seen(&many));
        former.remember(&seen(&[0x31, 0x32]));
        assert_eq!(former.all().len(), SEEN_MAX);
        assert!(former.has(0x31) && former.has(0x32));
    }
}
