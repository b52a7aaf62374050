//! Where packets begin in bytes that arrived in any cuts. (pure)
//!
//! It looks at bytes it does not own and answers with a length; it never moves, copies or keeps a byte, and what is
//! inside a packet does not interest it. The rule it protects: nothing but whole packets reaches a viewer, and the
//! answer does not depend on how the bytes were cut on their way.
//!
//! A lone 0x47 proves nothing, since payloads are full of them. Three of them, 188 bytes apart, are taken as the
//! beginning of packets; once locked, a packet is taken when another one begins right behind it.

use super::PACKET_BYTES;
use super::packet::SYNC;

/// The packet boundaries of one channel's bytes, fetch after fetch.
///
/// Shape: the caller passes a slice that begins at the first byte not yet judged, acts on the answer, and asks again.
///
/// Bound: work is linear in the bytes whatever they are, and a slice of [`LOOKAHEAD_BYTES`] always gets an answer,
/// so a caller never has to hold more than that undecided.
#[derive(Debug, Default)]
pub struct Resync {
    is_locked: bool,
    /// Offsets below this were ruled out as the next packet's begin while the packet at 0 waits for a verdict.
    searched: usize,
    /// Length of the slice that the last answer left undecided.
    undecided: usize,
    resyncs: u64,
    junk_bytes: u64,
}

impl Resync {
    /// Begins without knowing where packets start.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Judges the first bytes of `bytes`.
    ///
    /// `at_end` says that nothing follows for now: the fetch ended, or the bytes waited long enough. A whole packet is
    /// then taken although nothing confirms it. Less than a whole packet stays [`Step::NeedMore`] even then, because
    /// a pause may fall into the middle of a packet; when the fetch is over, [`Self::lost`] counts that rest as junk.
    #[inline]
    pub fn next(&mut self, bytes: &[u8], at_end: bool) -> Step {
        if self.is_locked
            && is_sync(bytes, 0) == Some(true)
            && is_sync(bytes, PACKET_BYTES) == Some(true)
        {
            return self.packet();
        }
        self.search(bytes, at_end)
    }

    /// Forgets the packet boundaries: the next bytes come from a new fetch.
    ///
    /// Bytes that the last [`Self::next`] left undecided are dropped by the caller and counted as junk here.
    pub fn lost(&mut self) {
        self.count_junk(self.undecided);
        self.is_locked = false;
        self.searched = 0;
        self.undecided = 0;
    }

    /// How often packets were no longer where they had to be and had to be found again.
    #[must_use]
    pub fn resyncs(&self) -> u64 {
        self.resyncs
    }

    /// How much was given away, torn packets included.
    ///
    /// Unit: bytes.
    #[must_use]
    pub fn junk_bytes(&self) -> u64 {
        self.junk_bytes
    }

    /// Whether the next packet's begin is known.
    #[must_use]
    pub fn is_locked(&self) -> bool {
        self.is_locked
    }

    fn search(&mut self, bytes: &[u8], at_end: bool) -> Step {
        if self.is_locked {
            match is_sync(bytes, 0) {
                Some(true) => return self.confirm(bytes, at_end),
                Some(false) => {
                    self.is_locked = false;
                    self.searched = 0;
                    self.resyncs += 1;
                }
                None => return self.undecided(bytes),
            }
        }
        let (offset, found) = find_start(bytes, 0, bytes.len());
        if offset > 0 {
            return self.junk(offset);
        }
        if found == Found::Start {
            self.is_locked = true;
            return self.packet();
        }
        self.undecided(bytes)
    }

    /// Judges a packet that begins rightly but is not followed by another one where it should be, or not yet.
    ///
    /// If packets begin again inside it, it was cut short; if they begin only behind it, or nowhere, it is whole.
    fn confirm(&mut self, bytes: &[u8], at_end: bool) -> Step {
        if is_sync(bytes, PACKET_BYTES).is_none() {
            if at_end && bytes.len() >= PACKET_BYTES {
                return self.packet();
            }
            return self.undecided(bytes);
        }
        let (offset, found) = find_start(bytes, self.searched.max(1), PACKET_BYTES);
        self.searched = offset;
        match found {
            Found::Start => {
                self.resyncs += 1;
                self.junk(offset)
            }
            Found::Open if !at_end => self.undecided(bytes),
            Found::Open | Found::Nothing => self.packet(),
        }
    }

    #[inline]
    fn packet(&mut self) -> Step {
        self.searched = 0;
        self.undecided = 0;
        Step::Packet
    }

    fn junk(&mut self, length: usize) -> Step {
        self.searched = 0;
        self.undecided = 0;
        self.count_junk(length);
        Step::Junk(length)
    }

    fn undecided(&mut self, bytes: &[u8]) -> Step {
        self.undecided = bytes.len();
        Step::NeedMore
    }

    fn count_junk(&mut self, length: usize) {
        self.junk_bytes = self
            .junk_bytes
            .saturating_add(u64::try_from(length).unwrap_or(u64::MAX));
    }
}

/// What the first bytes not yet judged are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// The first 188 bytes are one whole packet of the stream.
    Packet,
    /// This many leading bytes are no part of the stream; they are counted, the caller drops them.
    Junk(usize),
    /// More bytes are needed to tell; the caller comes back with the same bytes and what followed them.
    NeedMore,
}

/// What a search for three sync bytes came upon at the offset it stopped at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Found {
    /// All three.
    Start,
    /// At least one, and the others lie beyond the bytes at hand.
    Open,
    /// The end of the search.
    Nothing,
}

/// Finds the first offset in `from..to` where packets begin, or may begin.
fn find_start(bytes: &[u8], from: usize, to: usize) -> (usize, Found) {
    let end = to.min(bytes.len());
    let mut offset = from;
    while let Some(ahead) = bytes
        .get(offset..end)
        .and_then(|rest| rest.iter().position(|byte| *byte == SYNC))
    {
        offset += ahead;
        match (
            is_sync(bytes, offset + PACKET_BYTES),
            is_sync(bytes, offset + 2 * PACKET_BYTES),
        ) {
            (Some(true), Some(true)) => return (offset, Found::Start),
            (Some(false), _) | (_, Some(false)) => offset += 1,
            (None, _) | (_, None) => return (offset, Found::Open),
        }
    }
    (end, Found::Nothing)
}

#[inline]
fn is_sync(bytes: &[u8], offset: usize) -> Option<bool> {
    bytes.get(offset).map(|byte| *byte == SYNC)
}

/// Length of a slice that always gets an answer other than [`Step::NeedMore`].
///
/// Unit: bytes.
pub const LOOKAHEAD_BYTES: usize = 3 * PACKET_BYTES;

#[cfg(test)]
#[expect(
    clippy::indexing_slicing,
    reason = "a test that reads out of bounds should fail"
)]
mod tests;
