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
mod tests;
