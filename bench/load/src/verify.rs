//! Checks that a viewer's bytes are what its upstream sent: whole packets, in order, each cut announced. (pure)
//!
//! Making the packets belongs in `packets.rs`. The rule: it judges nothing, it counts; whoever asked for the load or
//! wrote the test says through [`Seen`] what may have happened.

use crate::packets::{self, Label, NULL_PID, PACKET_BYTES, PAT_PID, PMT_PID, VIDEO_PID};

/// Reads a stream in whatever pieces it arrives.
#[derive(Default)]
pub struct Verifier {
    /// The beginning of a packet whose rest has not come, or of what may be one.
    carry: Vec<u8>,
    counters: Latest<u16, u8>,
    last_of: Latest<u8, u64>,
    last_key: Option<Label>,
    since_number: Passed,
    seen: Seen,
}

impl Verifier {
    /// Takes the next bytes.
    pub fn push(&mut self, bytes: &[u8]) {
        self.push_each(bytes, |_, _| {});
    }

    /// Takes the next bytes and shows every sound numbered packet that they complete, with what it is.
    pub fn push_each(&mut self, bytes: &[u8], mut show: impl FnMut(Label, Kind)) {
        self.seen.bytes += bytes.len() as u64;
        let mut rest = bytes;
        while !rest.is_empty() {
            let whole = rest
                .split_at_checked(PACKET_BYTES)
                .filter(|_| self.carry.is_empty());
            if let Some((packet, after)) = whole.filter(|(packet, _)| packet[0] == 0x47) {
                self.packet(packet, &mut show);
                rest = after;
                continue;
            }
            // A packet that lies across two pieces, or bytes that are none.
            let missing = (PACKET_BYTES - self.carry.len()).min(rest.len());
            let (first, after) = rest.split_at(missing);
            self.carry.extend_from_slice(first);
            rest = after;
            if self.carry.len() == PACKET_BYTES {
                let piece = std::mem::take(&mut self.carry);
                self.piece(&piece, &mut show);
            }
        }
        self.seen.tail_bytes = self.carry.len();
    }

    /// Takes as many bytes as a packet has, which are one if they begin like one.
    fn piece(&mut self, piece: &[u8], show: &mut impl FnMut(Label, Kind)) {
        if piece[0] == 0x47 {
            return self.packet(piece, show);
        }
        self.seen.torn += 1;
        let next = piece.iter().position(|byte| *byte == 0x47);
        self.carry = piece[next.unwrap_or(piece.len())..].to_vec();
    }

    /// What was counted so far.
    #[must_use]
    pub fn seen(&self) -> &Seen {
        &self.seen
    }

    fn packet(&mut self, packet: &[u8], show: &mut impl FnMut(Label, Kind)) {
        self.seen.packets += 1;
        let pid = u16::from_be_bytes([packet[1] & 0x1F, packet[2]]);
        let (has_field, has_payload) = (packet[3] & 0x20 != 0, packet[3] & 0x10 != 0);
        let flags = if has_field && packet[4] > 0 {
            packet[5]
        } else {
            0
        };
        let is_flagged = flags & 0x80 != 0;
        if pid == NULL_PID {
            self.seen.nulls += 1;
            return self.note(Kind::Null);
        }
        self.continuity(pid, packet[3] & 15, has_payload, is_flagged);
        let label = if pid == PAT_PID || pid == PMT_PID {
            None
        } else {
            Label::read(packet)
        };
        let kind = match pid {
            _ if is_flagged && !has_payload => Kind::Flag,
            PAT_PID => Kind::Pat,
            PMT_PID => Kind::Pmt,
            _ if has_payload && packet[1] & 0x40 != 0 && flags & 0x40 != 0 => Kind::Key,
            VIDEO_PID => Kind::Video,
            _ => Kind::Other,
        };
        if matches!(kind, Kind::Pat | Kind::Pmt) && !has_sound_section(packet) {
            self.seen.torn += 1;
        }
        self.note(kind);
        self.since_number.flag |= is_flagged;
        self.since_number.pat |= kind == Kind::Pat;
        self.since_number.pmt |= kind == Kind::Pmt;
        match label {
            Some(Some(label)) => {
                self.number(label, kind);
                show(label, kind);
            }
            Some(None) => self.seen.torn += 1,
            None => self.seen.unnumbered += 1,
        }
    }

    /// Follows the continuity counter of one PID, and tells an announced jump from a silent one.
    fn continuity(&mut self, pid: u16, counter: u8, has_payload: bool, is_flagged: bool) {
        let Some(last) = self.counters.insert(pid, counter) else {
            return;
        };
        let expected = if has_payload { (last + 1) & 15 } else { last };
        if counter == expected {
            return;
        }
        if is_flagged {
            self.seen.flagged_jumps += 1;
        } else {
            self.seen.unflagged_jumps += 1;
        }
    }

    /// Follows the numbers of one origin: they only grow, and each gap is kept with what announced it.
    fn number(&mut self, label: Label, kind: Kind) {
        let passed = std::mem::take(&mut self.since_number);
        let is_announced = passed.flag && passed.pat && passed.pmt && kind == Kind::Key;
        if self.seen.first.is_none() {
            self.seen.first = Some(label);
        }
        let is_switch = self
            .seen
            .last
            .is_some_and(|last| last.origin != label.origin);
        let last = self.last_of.value(label.origin);
        if is_switch {
            self.seen.switches += 1;
            self.seen.unannounced += u64::from(!is_announced);
        }
        match last {
            Some(last) if label.number <= last => {
                let was_missing = self.seen.gaps.iter().rev().any(|gap| {
                    gap.origin == label.origin && (gap.from..gap.to).contains(&label.number)
                });
                if was_missing {
                    self.seen.reordered += 1;
                } else {
                    self.seen.repeated += 1;
                }
                return;
            }
            Some(last) if label.number > last + 1 && !is_switch => {
                self.seen.lost += label.number - last - 1;
                self.seen.unannounced += u64::from(!is_announced);
                if self.seen.gaps.len() < GAPS_MAX {
                    self.seen.gaps.push(Gap {
                        origin: label.origin,
                        from: last + 1,
                        to: label.number,
                    });
                }
            }
            _ => {}
        }
        self.last_of.insert(label.origin, label.number);
        self.seen.last = Some(label);
        if kind == Kind::Key {
            self.key(label);
        }
    }

    /// Learns from two key frames how many numbers a group has; a gap between them only makes the difference larger.
    fn key(&mut self, label: Label) {
        let last = self.last_key.replace(label);
        let distance = last
            .filter(|last| last.origin == label.origin)
            .and_then(|last| label.number.checked_sub(last.number));
        let known = self.seen.numbered_per_group;
        self.seen.numbered_per_group = distance.into_iter().chain(known).min();
    }

    fn note(&mut self, kind: Kind) {
        if self.seen.opening.len() < OPENING_PACKETS {
            self.seen.opening.push(kind);
        }
    }
}

/// What was counted in one viewer's bytes.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// All bytes, whatever they were.
    pub bytes: u64,
    /// Whole packets, numbered or not.
    pub packets: u64,
    /// Those of them that only fill the line.
    pub nulls: u64,
    /// Packets whose sync byte, sum or section CRC is wrong.
    pub torn: u64,
    /// Bytes after the last whole packet.
    pub tail_bytes: usize,
    /// The first numbered packet.
    pub first: Option<Label>,
    /// The newest numbered packet.
    pub last: Option<Label>,
    /// Numbers from one key frame to the next, as seen; `None` before the second.
    pub numbered_per_group: Option<u64>,
    /// Packets whose number had been seen before, or was older than the first.
    pub repeated: u64,
    /// Packets that came after a later one.
    pub reordered: u64,
    /// Numbers left out.
    pub lost: u64,
    /// Where numbers were left out.
    ///
    /// Bound: the first 4,096; a packet that fills a later gap counts as repeated.
    pub gaps: Vec<Gap>,
    /// How often the packets of another origin took over.
    pub switches: u64,
    /// Gaps and switches without discontinuity flag, PAT, PMT and key frame right before the resumption.
    pub unannounced: u64,
    /// Jumps of a continuity counter that the discontinuity flag announced.
    pub flagged_jumps: u64,
    /// Jumps of a continuity counter that nothing announced.
    pub unflagged_jumps: u64,
    /// Packets without a number: PSI, adaptation-only ones, and all media that is not a double's.
    pub unnumbered: u64,
    /// The first few packets.
    pub opening: Vec<Kind>,
}

impl Seen {
    /// Asserts that every byte belongs to a whole, undamaged packet in its place.
    ///
    /// # Panics
    /// If a packet was torn, repeated or reordered.
    #[track_caller]
    pub fn assert_whole(&self) {
        assert_eq!(
            (self.torn, self.repeated, self.reordered),
            (0, 0, 0),
            "torn, repeated, reordered in {self:?}"
        );
    }

    /// Asserts that the stream is one unbroken run of its upstream.
    ///
    /// # Panics
    /// If anything was damaged or left out, or the upstream was switched.
    #[track_caller]
    pub fn assert_unbroken(&self) {
        self.assert_whole();
        assert_eq!(
            (self.lost, self.switches),
            (0, 0),
            "lost, switches in {self:?}"
        );
        assert_eq!(
            (self.flagged_jumps, self.unflagged_jumps),
            (0, 0),
            "flagged, unflagged jumps in {self:?}"
        );
    }

    /// Asserts that each gap and each switch was announced so that a decoder goes on cleanly.
    ///
    /// # Panics
    /// If one was not, or anything was damaged.
    #[track_caller]
    pub fn assert_spliced(&self) {
        self.assert_whole();
        assert_eq!(
            (self.unannounced, self.unflagged_jumps),
            (0, 0),
            "unannounced, unflagged jumps in {self:?}"
        );
    }

    /// Asserts that a decoder can start with the first packets.
    ///
    /// # Panics
    /// If they are not PAT, PMT and a key frame.
    #[track_caller]
    pub fn assert_starts_at_join_point(&self) {
        assert_eq!(
            self.opening.get(..3),
            Some([Kind::Pat, Kind::Pmt, Kind::Key].as_slice()),
            "first packets of {self:?}"
        );
    }
}

/// Numbers left out: `from..to`.
#[derive(Clone, Copy, Debug)]
pub struct Gap {
    /// Whose numbers.
    pub origin: u8,
    /// The first that is missing.
    pub from: u64,
    /// The first that is there again.
    pub to: u64,
}

/// What a packet is for a viewer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Adaptation field only, with discontinuity_indicator.
    Flag,
    /// Begins a picture that needs no other.
    Key,
    /// Stuffing.
    Null,
    /// Anything else: audio, other people's packets.
    Other,
    /// Program association.
    Pat,
    /// Program map.
    Pmt,
    /// Video that begins no key frame.
    Video,
}

/// The latest value of each key. There are few keys, so looking through them is quicker than hashing.
struct Latest<K, V>(Vec<(K, V)>);

impl<K, V> Default for Latest<K, V> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<K: Copy + PartialEq, V: Copy> Latest<K, V> {
    fn value(&self, key: K) -> Option<V> {
        let entry = self.0.iter().find(|(known, _)| *known == key);
        entry.map(|(_, value)| *value)
    }

    /// Sets a key's value and returns the one it had.
    fn insert(&mut self, key: K, value: V) -> Option<V> {
        match self.0.iter_mut().find(|(known, _)| *known == key) {
            Some(entry) => Some(std::mem::replace(&mut entry.1, value)),
            None => {
                self.0.push((key, value));
                None
            }
        }
    }
}

/// What went by since the last numbered packet.
#[derive(Default)]
struct Passed {
    flag: bool,
    pat: bool,
    pmt: bool,
}

/// Whether a PSI packet that starts a section carries it with the right CRC.
fn has_sound_section(packet: &[u8]) -> bool {
    let Some(section) = packet
        .get(5..)
        .filter(|_| packet[1] & 0x40 != 0 && packet[3] & 0x30 == 0x10 && packet[4] == 0)
    else {
        return true;
    };
    let length = usize::from(u16::from_be_bytes([section[1] & 0x0F, section[2]])) + 3;
    section
        .get(..length)
        .is_none_or(|section| packets::crc(section) == 0)
}

const OPENING_PACKETS: usize = 8;
const GAPS_MAX: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packets::Source;

    fn seen_of(pieces: &[Vec<u8>]) -> Seen {
        let mut verifier = Verifier::default();
        pieces.iter().for_each(|piece| verifier.push(piece));
        verifier.seen().clone()
    }

    fn packets(source: Source, indexes: impl IntoIterator<Item = u64>) -> Vec<u8> {
        indexes
            .into_iter()
            .flat_map(|index| source.packet(index))
            .collect()
    }

    #[test]
    fn whole_run_in_any_cuts_is_unbroken() {
        let source = Source::new(3, 2_000);
        let bytes = packets(source, 0..source.group() * 20);
        let mut random = fastrand::Rng::with_seed(7);
        let mut verifier = Verifier::default();
        let mut rest = bytes.as_slice();
        while !rest.is_empty() {
            let (piece, after) = rest.split_at(random.usize(1..=700).min(rest.len()));
            verifier.push(piece);
            rest = after;
        }
        verifier.seen().assert_unbroken();
        verifier.seen().assert_starts_at_join_point();
        assert_eq!(verifier.seen().packets, source.group() * 20);
        assert_eq!(verifier.seen().unnumbered, 40);
    }

    #[test]
    fn lost_packet_is_a_gap_and_a_silent_jump() {
        let source = Source::new(1, 2_000);
        let seen = seen_of(&[packets(source, (0..500).filter(|index| *index != 100))]);
        assert_eq!(
            (
                seen.lost,
                seen.gaps.len(),
                seen.unflagged_jumps,
                seen.unannounced
            ),
            (1, 1, 1, 1)
        );
    }

    #[test]
    fn repeated_and_late_packets_are_told_apart() {
        let source = Source::new(1, 2_000);
        let seen = seen_of(&[packets(source, [10, 11, 11, 14, 12, 15])]);
        assert_eq!((seen.repeated, seen.reordered, seen.lost), (1, 1, 2));
    }

    #[test]
    fn damaged_byte_is_a_torn_packet() {
        let source = Source::new(1, 2_000);
        let mut bytes = packets(source, 0..10);
        bytes[5 * PACKET_BYTES + 90] ^= 1;
        bytes[30] ^= 1;
        assert_eq!(
            seen_of(&[bytes]).torn,
            1,
            "stuffing behind a PAT's section is nobody's"
        );
        let mut bytes = packets(source, 0..10);
        bytes[14] ^= 1;
        assert_eq!(seen_of(&[bytes]).torn, 1, "a PAT's CRC counts");
    }

    #[test]
    fn missing_byte_is_torn_and_a_partial_packet_is_a_tail() {
        let source = Source::new(1, 2_000);
        let mut bytes = packets(source, 0..10);
        bytes.remove(4 * PACKET_BYTES);
        let seen = seen_of(&[bytes]);
        assert!(seen.torn >= 1 && seen.lost >= 1, "{seen:?}");
        let mut bytes = packets(source, 0..10);
        bytes.pop();
        assert_eq!(seen_of(&[bytes]).tail_bytes, PACKET_BYTES - 1);
    }

    #[test]
    fn one_packet_of_a_million_that_is_missing_repeated_or_changed_is_counted_once() {
        let source = Source::new(1, 8_000);
        let verifier = Verifier::default;
        let (mut missing, mut twice, mut changed) = (verifier(), verifier(), verifier());
        let mut block = Vec::new();
        for first in (0..1_000_000).step_by(1_000) {
            block.clear();
            (first..first + 1_000).for_each(|index| block.extend(source.packet(index)));
            let is_place = first == 500_000;
            let begin = 400 * PACKET_BYTES;
            let end = begin + if is_place { PACKET_BYTES } else { 0 };
            missing.push(&block[..begin]);
            missing.push(&block[end..]);
            twice.push(&block[..end]);
            twice.push(&block[begin..]);
            block[begin + 100] ^= u8::from(is_place) << 3;
            changed.push(&block);
        }
        let counts = |verifier: &Verifier| {
            let seen = verifier.seen();
            [
                seen.packets,
                seen.lost,
                seen.repeated,
                seen.reordered,
                seen.torn,
            ]
        };
        assert_eq!(counts(&missing), [999_999, 1, 0, 0, 0]);
        assert_eq!(counts(&twice), [1_000_001, 0, 1, 0, 0]);
        // Its number cannot be believed either, so that is missing.
        assert_eq!(counts(&changed), [1_000_000, 1, 0, 0, 1]);
    }

    #[test]
    fn announced_splice_is_clean_and_an_unannounced_one_is_not() {
        let (source, group) = (Source::new(1, 2_000), Source::new(1, 2_000).group());
        let before = packets(source, 0..group + 50);
        let after = packets(source, group * 6..group * 7);
        let flags: Vec<u8> = (0..4)
            .flat_map(|slot| {
                let of_pid = |pid: u16| {
                    (0..group * 6)
                        .rev()
                        .map(|index| source.packet(index))
                        .find(move |packet| u16::from_be_bytes([packet[1] & 31, packet[2]]) == pid)
                };
                let pid = [PAT_PID, PMT_PID, VIDEO_PID, packets::AUDIO_PID][slot];
                let counter = of_pid(pid).unwrap()[3] & 15;
                let [high, low] = pid.to_be_bytes();
                let mut packet = vec![0x47, high, low, 0x20 | counter, 183, 0x80];
                packet.resize(PACKET_BYTES, 0xFF);
                packet
            })
            .collect();
        let seen = seen_of(&[before.clone(), flags, after.clone()]);
        seen.assert_spliced();
        assert_eq!((seen.gaps.len(), seen.flagged_jumps), (1, 4));
        let seen = seen_of(&[before, after]);
        assert!(
            seen.unflagged_jumps > 0 && seen.unannounced == 1,
            "{seen:?}"
        );
    }

    #[test]
    fn another_origin_is_a_switch() {
        let seen = seen_of(&[
            packets(Source::new(1, 2_000), 0..100),
            packets(Source::new(2, 2_000), 0..100),
        ]);
        assert_eq!(
            (seen.switches, seen.unannounced, seen.lost, seen.repeated),
            (1, 1, 0, 0)
        );
    }

    #[test]
    fn every_sound_packet_is_shown_with_its_kind_and_a_torn_one_is_not() {
        let source = Source::new(1, 2_000);
        let mut bytes = packets(source, 0..20);
        bytes[7 * PACKET_BYTES + 100] ^= 1;
        let (mut verifier, mut shown) = (Verifier::default(), Vec::new());
        for piece in bytes.chunks(500) {
            verifier.push_each(piece, |label, kind| shown.push((label.number, kind)));
        }
        assert_eq!((shown.len(), verifier.seen().torn), (17, 1));
        assert_eq!(shown[0], (0, Kind::Key));
        assert!(shown.iter().all(|(number, _)| *number != 5));
    }

    #[test]
    fn length_of_a_group_is_learnt_from_its_key_frames() {
        let source = Source::new(1, 2_000);
        let group = source.group();
        let skipped = packets(source, (0..10).chain(group * 3..group * 4 + 10));
        let seen = seen_of(&[skipped]);
        assert_eq!(seen.numbered_per_group, Some(group - 2));
        assert_eq!(
            seen_of(&[packets(source, 0..group)]).numbered_per_group,
            None
        );
    }

    #[test]
    fn list_of_gaps_is_bounded_and_the_loss_is_still_counted() {
        let source = Source::new(1, 150);
        let seen = seen_of(&[packets(source, (0..20_000).filter(|index| index % 2 == 0))]);
        assert_eq!(seen.gaps.len(), GAPS_MAX);
        assert!(seen.lost > 9_000, "{}", seen.lost);
    }
}
