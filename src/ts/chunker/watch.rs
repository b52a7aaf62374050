//! Which packets the chunker looks at closely. (pure)
//!
//! What it does with them stands in `chunker.rs`. The rule it protects: most packets cost a few comparisons.

use super::{Chunker, Phase};
use crate::ts::packet::{PID_PAT, TsPacket};

/// Which packets are looked at besides PAT packets and video starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Watch {
    /// All: a start is undecided, or read on, or nothing is kept.
    All,
    /// The first ones of PIDs: viewers may know them from another upstream.
    NewPids,
    Nothing,
}

impl Chunker {
    /// Whether a packet could end a chunk or tell where one ends; most packets are told apart here, at little cost.
    #[inline]
    pub(super) fn may_matter(&self, packet: TsPacket<'_>, pid: u16) -> bool {
        let is_unit =
            packet.payload_unit_start() && (Some(pid) == self.starts.video_pid() || pid == PID_PAT);
        is_unit
            || match self.watch {
                Watch::Nothing => false,
                Watch::NewPids => self.continuity.last(pid).is_none(),
                Watch::All => true,
            }
    }

    /// Says anew which packets matter.
    pub(super) fn adjust_watch(&mut self) {
        let is_discarding = self.phase == Phase::Discarding;
        self.watch = if is_discarding || self.mark.is_set() || self.starts.is_reading() {
            Watch::All
        } else if self.former.is_empty() {
            Watch::Nothing
        } else {
            Watch::NewPids
        };
    }
}
