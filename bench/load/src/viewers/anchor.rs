//! The first and the last packet of a viewer that looks at nothing between, and whether the bytes between are all there.
//! (pure)
//!
//! Full checking belongs in `watch.rs`. The rule: from the numbers of two packets follows how many bytes lie between them,
//! so one lost, repeated or inserted byte shows in any viewer, checked or not.

use corecast_load::packets::{Label, PACKET_BYTES, packets_between};

/// Looks for one numbered packet in bytes that arrive piece by piece.
#[derive(Default)]
pub(crate) struct Search {
    /// What was read and may hold the beginning of a packet.
    carry: Vec<u8>,
    /// Where in the body the carry begins.
    carry_at: u64,
}

impl Search {
    /// Looks at bytes that begin at `at` in the body; what comes next must follow them.
    pub(crate) fn push(&mut self, bytes: &[u8], at: u64) -> Option<Anchor> {
        if self.carry.is_empty() {
            self.carry_at = at;
        }
        self.carry.extend_from_slice(bytes);
        let mut place = 0;
        while let Some(packet) = self.carry.get(place..place + PACKET_BYTES) {
            if packet.first() == Some(&0x47)
                && let Some(Some(label)) = Label::read(packet)
            {
                return Some(Anchor {
                    at: self.carry_at + place as u64,
                    label,
                });
            }
            place += 1;
        }
        self.carry.drain(..place);
        self.carry_at += place as u64;
        None
    }
}

/// A numbered packet and where in the body it lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Anchor {
    pub(crate) at: u64,
    pub(crate) label: Label,
}

/// By how many bytes what lies between two anchors differs from what their numbers say: below zero, something was lost.
///
/// `None` if they are not of one broadcast in order.
pub(crate) fn excess_bytes(first: Anchor, last: Anchor, numbered_per_group: u64) -> Option<i64> {
    let is_one = first.label.origin == last.label.origin && first.label.number <= last.label.number;
    let between = packets_between(first.label.number, last.label.number, numbered_per_group);
    let wanted = between.checked_mul(PACKET_BYTES as u64)?;
    let came = last.at.checked_sub(first.at)?;
    let excess = i64::try_from(came).ok()? - i64::try_from(wanted).ok()?;
    is_one.then_some(excess)
}

#[cfg(test)]
mod tests {
    use corecast_load::packets::Source;

    use super::*;

    fn bytes(indexes: impl Iterator<Item = u64>) -> Vec<u8> {
        let source = Source::new(1, 2_000);
        indexes.flat_map(|index| source.packet(index)).collect()
    }

    /// What a viewer would find that looked at the first and at the last kilobyte.
    fn excess(body: &[u8]) -> Option<i64> {
        let first = Search::default().push(&body[..1000], 0)?;
        let at = body.len() - 1000;
        let last = Search::default().push(&body[at..], at as u64)?;
        excess_bytes(first, last, Source::new(1, 2_000).group() - 2)
    }

    #[test]
    fn whole_body_has_exactly_the_bytes_that_its_numbers_say() {
        for first in 0..5 {
            assert_eq!(excess(&bytes(first..5_000)), Some(0), "from {first}");
        }
    }

    #[test]
    fn lost_repeated_and_inserted_bytes_show() {
        let lost = bytes((0..5_000).filter(|index| *index != 2_500));
        assert_eq!(excess(&lost), Some(-188));
        let repeated = bytes((0..2_501).chain(2_500..5_000));
        assert_eq!(excess(&repeated), Some(188));
        let mut torn = bytes(0..5_000);
        torn.remove(400_000);
        assert_eq!(excess(&torn), Some(-1));
    }

    #[test]
    fn packet_is_found_in_any_cuts_and_behind_junk() {
        let mut body = b"G junk G".to_vec();
        body.extend(bytes(1..10));
        for size in [1, 7, 188, 5_000] {
            let (mut search, mut found) = (Search::default(), None);
            for (index, piece) in body.chunks(size).enumerate() {
                found = found.or_else(|| search.push(piece, (index * size) as u64));
            }
            // Packet 1 is a PMT and has no number.
            let anchor = found.unwrap();
            assert_eq!((anchor.at, anchor.label.number), (8 + 188, 0), "{size}");
        }
    }

    #[test]
    fn other_broadcasts_and_the_past_are_no_measure() {
        let anchor = |number, at| Anchor {
            at,
            label: Label {
                origin: 1,
                number,
                sent: None,
            },
        };
        assert_eq!(excess_bytes(anchor(9, 0), anchor(8, 188), 100), None);
        let mut other = anchor(9, 188);
        other.label.origin = 2;
        assert_eq!(excess_bytes(anchor(8, 0), other, 100), None);
        assert_eq!(excess_bytes(anchor(8, 0), anchor(9, 188), 100), Some(0));
    }
}
