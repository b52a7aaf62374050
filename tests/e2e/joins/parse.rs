//! Transport streams as ffmpeg muxes them, read for what a decoder needs: units, key frames, time stamps. (pure)
//!
//! Written from the standards and not with the code under test. The rule: it reads what is there and judges nothing.

use std::time::Duration;

use corecast_load::packets::PACKET_BYTES;

/// How pictures are coded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Codec {
    H264,
    Hevc,
    Mpeg2,
}

impl Codec {
    /// Whether a decoder can begin with this access unit.
    pub(crate) fn is_key(self, unit: &[u8]) -> bool {
        let starts = unit.windows(3).enumerate();
        let mut parts = starts
            .filter(|(_, bytes)| *bytes == [0, 0, 1])
            .map(|(at, _)| &unit[at + 3..])
            .filter(|part| !part.is_empty());
        parts.any(|part| match self {
            Self::H264 => match part[0] & 0x1F {
                5 => true,
                6 => part.get(1) == Some(&RECOVERY_POINT),
                _ => false,
            },
            Self::Hevc => (16..=21).contains(&(part[0] >> 1 & 0x3F)),
            Self::Mpeg2 => part[0] == SEQUENCE_HEADER,
        })
    }
}

/// One packet of a stream.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Packet<'a>(&'a [u8]);

impl<'a> Packet<'a> {
    pub(crate) fn bytes(self) -> &'a [u8] {
        self.0
    }

    pub(crate) fn pid(self) -> u16 {
        u16::from_be_bytes([self.0[1] & 0x1F, self.0[2]])
    }

    pub(crate) fn begins_unit(self) -> bool {
        self.0[1] & 0x40 != 0
    }

    fn has_payload(self) -> bool {
        self.0[3] & 0x10 != 0
    }

    fn flags(self) -> u8 {
        let has_flags = self.0[3] & 0x20 != 0 && self.0[4] > 0;
        if has_flags { self.0[5] } else { 0 }
    }

    /// Whether all it does is to announce a jump of its counter.
    pub(crate) fn is_announcement(self) -> bool {
        !self.has_payload() && self.flags() & 0x80 != 0
    }

    /// 27 MHz ticks.
    fn clock(self) -> Option<u64> {
        if self.flags() & 0x10 == 0 {
            return None;
        }
        let word = self.0[6..12]
            .iter()
            .fold(0, |word, byte| word << 8 | u64::from(*byte));
        Some((word >> 15) * 300 + (word & 0x1FF))
    }

    fn payload(self) -> &'a [u8] {
        let begin = match (self.has_payload(), self.0[3] & 0x20 != 0) {
            (false, _) => PACKET_BYTES,
            (true, false) => 4,
            (true, true) => 5 + usize::from(self.0[4]),
        };
        &self.0[begin.min(PACKET_BYTES)..]
    }

    /// When the unit that begins here is shown.
    ///
    /// Unit: 1/90000 s.
    pub(crate) fn shown_at(self) -> Option<u64> {
        self.stamp(0x80, 9)
    }

    /// When the unit that begins here is decoded, which is when it is shown unless it says otherwise.
    pub(crate) fn decoded_at(self) -> Option<u64> {
        self.stamp(0x40, 14).or_else(|| self.shown_at())
    }

    /// The time stamp of which a flag tells, at its place in the payload.
    fn stamp(self, flag: u8, place: usize) -> Option<u64> {
        let payload = self.payload();
        let is_stamped =
            self.begins_unit() && payload.get(7).is_some_and(|flags| flags & flag != 0);
        let stamp = payload.get(place..place + 5).filter(|_| is_stamped)?;
        let part = |index: usize| u64::from(stamp[index]);
        Some(
            (part(0) >> 1 & 7) << 30
                | part(1) << 22
                | part(2) >> 1 << 15
                | part(3) << 7
                | part(4) >> 1,
        )
    }
}

/// The whole packets of a stream.
pub(crate) fn packets(
    bytes: &[u8],
) -> impl DoubleEndedIterator<Item = Packet<'_>> + ExactSizeIterator {
    bytes.chunks_exact(PACKET_BYTES).map(|packet| {
        assert_eq!(packet[0], 0x47, "a packet begins where one has to");
        Packet(packet)
    })
}

/// On which PIDs a broadcast is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Program {
    pub(crate) pmt: u16,
    pub(crate) video: u16,
    pub(crate) audio: u16,
}

/// One access unit of the video.
#[derive(Debug)]
pub(crate) struct Unit {
    /// Index of its first packet, and of the one after its last.
    pub(crate) first: usize,
    pub(crate) end: usize,
    pub(crate) shown_at: u64,
    pub(crate) decoded_at: u64,
    /// The coded picture.
    pub(crate) bytes: Vec<u8>,
}

/// The access units that begin in a stream; the last one may lack its end.
pub(crate) fn units(bytes: &[u8]) -> Vec<Unit> {
    units_of(bytes, VIDEO_PID)
}

/// The units of any PID that begin in a stream; the last one may lack its end.
pub(crate) fn units_of(bytes: &[u8], pid: u16) -> Vec<Unit> {
    let mut units: Vec<Unit> = Vec::new();
    for (index, packet) in packets(bytes)
        .enumerate()
        .filter(|(_, packet)| packet.pid() == pid)
    {
        let payload = packet.payload();
        if packet.begins_unit() {
            let head_bytes = 9 + usize::from(payload[8]);
            units.push(Unit {
                first: index,
                end: index + 1,
                shown_at: packet.shown_at().unwrap(),
                decoded_at: packet.decoded_at().unwrap(),
                bytes: payload[head_bytes..].to_vec(),
            });
        } else if let Some(unit) = units.last_mut() {
            unit.end = index + 1;
            unit.bytes.extend_from_slice(payload);
        }
    }
    units
}

/// The same without the last unit of each PID, which may lack its end.
pub(crate) fn whole_units(bytes: &[u8]) -> Vec<u8> {
    whole_units_of(bytes, HERE)
}

/// The same on the PIDs of any program.
pub(crate) fn whole_units_of(bytes: &[u8], program: Program) -> Vec<u8> {
    let cut = [program.video, program.audio].map(|pid| {
        let last = packets(bytes).rposition(|packet| packet.pid() == pid && packet.begins_unit());
        (pid, last.unwrap_or(0))
    });
    kept(bytes, |index, packet| {
        cut.iter()
            .all(|(pid, last)| packet.pid() != *pid || index < *last)
    })
}

/// The same without the pictures of the first group that are shown before its key frame: they need the group before.
pub(crate) fn without_leading(bytes: &[u8]) -> Vec<u8> {
    let units = units(bytes);
    let key_at = units[0].shown_at;
    let leading: Vec<&Unit> = units[1..]
        .iter()
        .take_while(|unit| unit.shown_at < key_at)
        .collect();
    kept(bytes, |index, packet| {
        let is_leading = leading
            .iter()
            .any(|unit| (unit.first..unit.end).contains(&index));
        packet.pid() != VIDEO_PID || !is_leading
    })
}

/// Where announced jumps begin: indices of the first packet of each join record that is not the first.
///
/// Announcements that no table follows are no jump of the whole stream but of one PID.
pub(crate) fn jumps(bytes: &[u8]) -> Vec<usize> {
    let mut jumps = Vec::new();
    let mut begun = None;
    let mut is_in_record = false;
    for (index, packet) in packets(bytes).enumerate() {
        if packet.is_announcement() {
            if !is_in_record {
                begun = Some(index);
            }
            is_in_record = true;
        } else if is_in_record && packet.pid() == PAT_PID {
            jumps.extend(begun.take());
        }
        is_in_record &= packet.is_announcement() || TABLE_PIDS.contains(&packet.pid());
    }
    jumps
}

/// What lies between announced jumps.
pub(crate) fn stretches(bytes: &[u8]) -> Vec<&[u8]> {
    let jumps = jumps(bytes);
    let begins = std::iter::once(0).chain(jumps.iter().copied());
    let ends = jumps.iter().copied().chain([bytes.len() / PACKET_BYTES]);
    begins
        .zip(ends)
        .map(|(begin, end)| &bytes[begin * PACKET_BYTES..end * PACKET_BYTES])
        .collect()
}

/// At which time how many bytes have gone out, if each clock reference goes out when it says.
pub(crate) fn clock(bytes: &[u8]) -> Vec<(Duration, usize)> {
    let references: Vec<(u64, usize)> = packets(bytes)
        .enumerate()
        .filter_map(|(index, packet)| Some((packet.clock()?, index * PACKET_BYTES)))
        .collect();
    let begin = references[0].0;
    let times = references.iter();
    let mut clock = vec![(Duration::ZERO, 0)];
    clock.extend(times.skip(1).map(|(ticks, bytes)| {
        assert!(
            *ticks > begin,
            "the clock of a file neither wraps nor goes back"
        );
        (Duration::from_nanos((ticks - begin) * 1_000 / 27), *bytes)
    }));
    clock
}

/// Takes the flag off every packet that says that a decoder can begin there.
pub(crate) fn clear_random_access(bytes: &mut [u8]) {
    for packet in bytes.chunks_exact_mut(PACKET_BYTES) {
        if packet[3] & 0x20 != 0 && packet[4] > 0 {
            packet[5] &= !0x40;
        }
    }
}

/// How long so many units of 1/90000 s are.
pub(crate) fn time(ticks: u64) -> Duration {
    Duration::from_micros(ticks * 100 / 9)
}

fn kept(bytes: &[u8], is_kept: impl Fn(usize, Packet<'_>) -> bool) -> Vec<u8> {
    let numbered = packets(bytes).enumerate();
    let kept = numbered.filter(|(index, packet)| is_kept(*index, *packet));
    kept.flat_map(|(_, packet)| packet.0).copied().collect()
}

pub(crate) const PAT_PID: u16 = 0;
pub(crate) const SDT_PID: u16 = 0x11;
pub(crate) const NULL_PID: u16 = 0x1FFF;
/// The PIDs that ffmpeg uses.
pub(crate) const HERE: Program = Program {
    pmt: 0x1000,
    video: VIDEO_PID,
    audio: AUDIO_PID,
};
/// The PIDs that it is told to use for the same content elsewhere.
pub(crate) const ELSEWHERE: Program = Program {
    pmt: 0x1F0,
    video: 0x200,
    audio: 0x201,
};
pub(crate) const VIDEO_PID: u16 = 0x100;
const AUDIO_PID: u16 = 0x101;
const TABLE_PIDS: [u16; 3] = [PAT_PID, HERE.pmt, ELSEWHERE.pmt];

/// Type of the SEI message that says that a decoder can begin here.
const RECOVERY_POINT: u8 = 6;
/// Start code value in front of each MPEG-2 key frame.
const SEQUENCE_HEADER: u8 = 0xB3;

#[cfg(test)]
mod tests {
    use super::*;

    /// A packet of the PID with this payload, at its end.
    fn packet(pid: u16, begins_unit: bool, flags: u8, payload: &[u8]) -> Vec<u8> {
        let [high, low] = pid.to_be_bytes();
        let field = u8::try_from(PACKET_BYTES - 5 - payload.len()).unwrap();
        let control = if payload.is_empty() { 0x20 } else { 0x30 };
        let mut packet = vec![
            0x47,
            high | u8::from(begins_unit) << 6,
            low,
            control,
            field,
            flags,
        ];
        packet.resize(PACKET_BYTES - payload.len(), 0xFF);
        packet.extend_from_slice(payload);
        packet
    }

    /// The first packet of a video unit that is shown at `shown_at`, which is below 128.
    fn video(shown_at: u8, picture: &[u8]) -> Vec<u8> {
        let head = [
            0,
            0,
            1,
            0xE0,
            0,
            0,
            0x80,
            0x80,
            5,
            0x21,
            0,
            1,
            0,
            shown_at << 1 | 1,
        ];
        packet(VIDEO_PID, true, 0x40, &[&head, picture].concat())
    }

    #[test]
    fn units_are_read_over_packets_and_the_last_of_each_pid_is_cut() {
        let rest = packet(VIDEO_PID, false, 0, b"rest");
        let sound = packet(AUDIO_PID, true, 0, b"sound");
        let bytes = [
            video(9, b"key"),
            sound,
            rest,
            video(3, b"b"),
            video(12, b"p"),
        ]
        .concat();
        let units = units(&bytes);
        let read: Vec<_> = units
            .iter()
            .map(|unit| (unit.shown_at, &*unit.bytes, unit.first..unit.end))
            .collect();
        assert_eq!(
            read,
            [
                (9, b"keyrest".as_slice(), 0..3),
                (3, b"b", 3..4),
                (12, b"p", 4..5)
            ]
        );
        assert_eq!(
            whole_units(&bytes).len(),
            3 * PACKET_BYTES,
            "no sound is left and no p"
        );
        let without = without_leading(&bytes);
        assert_eq!(without[3 * PACKET_BYTES..], video(12, b"p"));
    }

    #[test]
    fn time_of_decoding_is_read_where_it_differs_and_else_that_of_showing() {
        let head = [0, 0, 1, 0xE0, 0, 0, 0x80, 0xC0, 10];
        let stamps = [0x31, 0, 1, 0, 9 << 1 | 1, 0x11, 0, 1, 0, 5 << 1 | 1];
        let both = packet(VIDEO_PID, true, 0, &[&head[..], &stamps].concat());
        let bytes = [both, video(7, b"p")].concat();
        let times: Vec<_> = units(&bytes)
            .iter()
            .map(|unit| (unit.shown_at, unit.decoded_at))
            .collect();
        assert_eq!(times, [(9, 5), (7, 7)]);
    }

    #[test]
    fn key_frames_are_told_by_what_is_in_them() {
        let key = |codec: Codec, parts: &[&[u8]]| {
            codec.is_key(
                &parts
                    .iter()
                    .flat_map(|part| [&[0, 0, 1], *part].concat())
                    .collect::<Vec<_>>(),
            )
        };
        assert!(key(Codec::H264, &[&[0x09, 0x10], &[0x65, 0x88]]));
        assert!(key(Codec::H264, &[&[0x06, 6, 1, 0xC4], &[0x61, 0x88]]));
        assert!(!key(Codec::H264, &[&[0x06, 5, 1, 0xC4], &[0x61, 0x88]]));
        assert!(key(Codec::Hevc, &[&[21 << 1, 1]]) && !key(Codec::Hevc, &[&[1 << 1, 1]]));
        assert!(key(Codec::Mpeg2, &[&[0xB3], &[0]]) && !key(Codec::Mpeg2, &[&[0, 1]]));
    }

    #[test]
    fn a_jump_begins_with_its_first_announcement() {
        let announcement = packet(VIDEO_PID, false, 0x80, b"");
        let table = packet(PAT_PID, true, 0, b"table");
        let record = [
            announcement.clone(),
            announcement.clone(),
            table.clone(),
            announcement,
        ]
        .concat();
        let late = packet(AUDIO_PID, false, 0x80, b"");
        let sound = packet(AUDIO_PID, true, 0, b"sound");
        let bytes = [
            table.clone(),
            video(1, b"a"),
            record.clone(),
            video(2, b"b"),
            late,
            sound,
            table,
            record,
        ]
        .concat();
        assert_eq!(jumps(&bytes), [2, 10], "one PID alone is no jump");
        let lengths: Vec<_> = stretches(&bytes)
            .iter()
            .map(|stretch| stretch.len() / PACKET_BYTES)
            .collect();
        assert_eq!(lengths, [2, 8, 4]);
    }
}
