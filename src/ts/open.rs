//! The chunk being filled, and what the holder of its packets is told. (pure)
//!
//! It counts packets and makes a closed chunk of them; where a chunk ends is decided by `chunker.rs`. The rule it
//! protects: a chunk tells the time of its own first packet, also when it was split off another.

use std::sync::Arc;

use bytes::Bytes;

use super::join::JoinRecord;
use super::mark::Place;

/// The packets that are kept and not closed yet.
#[derive(Debug, Default)]
pub struct Open {
    packets: usize,
    media_us: u64,
    arrived_us: u64,
    /// What will make it a join point.
    pub join: Option<Arc<JoinRecord>>,
    /// What will be published in front of it.
    pub splice: Option<Bytes>,
    has_closed: bool,
}

impl Open {
    /// How many packets are open.
    #[must_use]
    #[inline]
    pub fn packets(&self) -> usize {
        self.packets
    }

    /// When the oldest of them arrived, in microseconds as the caller said.
    #[must_use]
    pub fn since_us(&self) -> Option<u64> {
        (self.packets > 0).then_some(self.arrived_us)
    }

    /// Whether a chunk was ever closed.
    #[must_use]
    pub fn has_closed(&self) -> bool {
        self.has_closed
    }

    /// Adds a packet; answers how many there are now.
    #[inline]
    pub fn add(&mut self, media_us: u64, arrived_us: u64) -> usize {
        if self.packets == 0 {
            self.media_us = media_us;
            self.arrived_us = arrived_us;
        }
        self.packets += 1;
        self.packets
    }

    /// Closes all that is open; `None` when nothing is.
    pub fn close(&mut self) -> Option<Closed> {
        if self.packets == 0 {
            return None;
        }
        self.has_closed = true;
        Some(Closed {
            packets: std::mem::take(&mut self.packets),
            media_us: self.media_us,
            arrived_us: self.arrived_us,
            join: self.join.take(),
            splice: self.splice.take(),
        })
    }

    /// Closes what is open before this place; from there on it stays open.
    pub fn close_before(&mut self, place: Place) -> Option<Closed> {
        if place.behind == 0 {
            return None;
        }
        let rest = self.packets.saturating_sub(place.behind);
        self.packets = place.behind;
        let closed = self.close();
        self.packets = rest;
        self.media_us = place.media_us;
        self.arrived_us = place.arrived_us;
        closed
    }

    /// Forgets all that is open; answers how many packets that were.
    pub fn forget(&mut self) -> usize {
        self.join = None;
        self.splice = None;
        std::mem::take(&mut self.packets)
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
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Verdict {
    /// The packet is held behind those already held.
    #[default]
    Keep,
    /// The caller squeezes the packet out.
    Discard,
}

/// What one packet did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Step {
    /// How many packets the caller squeezes out first, which is all it holds: after a splice they were kept for a join
    /// point that did not come.
    pub dropped: usize,
    /// The chunk that ended before this packet, or before an undecided start that this packet decided.
    pub before: Option<Closed>,
    /// Whether the packet is part of the stream.
    pub verdict: Verdict,
    /// The chunk that ended with this packet, or before an undecided start because there is no room for more.
    pub with: Option<Closed>,
}
