//! Numbered MPEG-TS whose every packet follows from its index. (pure)
//!
//! An upstream double sends packets of a [`Source`]; the check that they arrive as they were sent is in `verify.rs`.
//! The rule: packet `i` of a source is the same 188 bytes whenever and however often it is made, so two
//! connections of one double are two windows on one broadcast.

use std::time::Duration;

/// One broadcast: which bytes every packet index stands for, and when it is on air.
///
/// Shape: frames of 40 ms; twelve of them make a group that opens with PAT, PMT and a key frame. Each frame starts
/// with a video packet that carries PCR and PTS and ends with an audio packet.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Source {
    /// Tells the packets of one source from those of another.
    origin: u8,
    /// Packets of one 40 ms frame; sets the bitrate.
    frame_packets: u64,
    /// PCR of packet 0, in 27 MHz ticks.
    clock_start: u64,
}

impl Source {
    /// A broadcast of about `kbit_per_s`, whose clock starts at `origin` hours so that two sources never share one.
    pub(crate) fn new(origin: u8, kbit_per_s: u64) -> Self {
        let frame_packets = (kbit_per_s * 40 / PACKET_BITS).max(4);
        Self {
            origin,
            frame_packets,
            clock_start: u64::from(origin) * 3600 * TICKS_PER_SECOND,
        }
    }

    /// Which packet is on air `elapsed` after packet 0.
    pub(crate) fn index_at(&self, elapsed: Duration) -> u64 {
        let micros = u64::try_from(elapsed.as_micros()).unwrap();
        micros * self.frame_packets / 40_000
    }

    /// The number that the packet at `index` carries, or would carry if it is a PAT or PMT.
    pub(crate) fn number_at(&self, index: u64) -> u64 {
        let group = self.group();
        index / group * (group - 2) + (index % group).saturating_sub(2)
    }

    /// How much media lies between two numbers.
    pub(crate) fn media_between(&self, from: u64, to: u64) -> Duration {
        let numbered_per_group = self.group() - 2;
        Duration::from_micros(to.saturating_sub(from) * 40_000 * GROUP_FRAMES / numbered_per_group)
    }

    /// The bytes of packet `index`.
    pub(crate) fn packet(&self, index: u64) -> [u8; PACKET_BYTES] {
        let group = self.group();
        let (turn, place) = (index / group, index % group);
        match place {
            0 => return psi(PAT_PID, turn, &pat_section()),
            1 => return psi(PMT_PID, turn, &pmt_section()),
            _ => {}
        }
        let frame = place / self.frame_packets;
        let is_audio = place % self.frame_packets == self.frame_packets - 1;
        let counter = if is_audio {
            turn * GROUP_FRAMES + frame
        } else {
            turn * (group - 2 - GROUP_FRAMES) + place - 2 - frame
        };
        let pid = if is_audio { AUDIO_PID } else { VIDEO_PID };
        let ticks = self.clock_start + index * FRAME_TICKS / self.frame_packets;
        let start = match place {
            2 => Start::Key,
            _ if is_audio => Start::Audio,
            _ if place % self.frame_packets == 0 => Start::Frame,
            _ => Start::None,
        };
        let mut packet = header(pid, start, low_byte(counter), ticks);
        packet.resize(PACKET_BYTES - TRAILER_BYTES, 0x80 | low_byte(index));
        self.seal(&mut packet, self.number_at(index));
        packet.try_into().unwrap()
    }

    /// Packets from one key frame to the next.
    pub(crate) fn group(&self) -> u64 {
        self.frame_packets * GROUP_FRAMES
    }

    /// Appends who sent this packet, its number and a sum over all that precedes, none of which can look like a start code.
    fn seal(&self, packet: &mut Vec<u8>, number: u64) {
        packet.extend_from_slice(MARK);
        packet.push(0x80 | self.origin);
        packet.extend_from_slice(&digits(number));
        let sum = digits(sum(packet));
        packet.extend_from_slice(&sum[DIGITS - SUM_DIGITS..]);
    }
}

/// What a numbered packet says about itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Label {
    pub(crate) origin: u8,
    pub(crate) number: u64,
}

impl Label {
    /// Reads the label of a packet; `None` if it bears none, `Some(None)` if it bears one that does not fit its bytes.
    pub(crate) fn read(packet: &[u8]) -> Option<Option<Self>> {
        let trailer = &packet[PACKET_BYTES - TRAILER_BYTES..];
        if &trailer[..MARK.len()] != MARK {
            return None;
        }
        let joined = |digits: &[u8]| {
            digits
                .iter()
                .fold(0u64, |value, digit| value << 7 | u64::from(digit & 0x7F))
        };
        let (number, seen) = trailer[MARK.len() + 1..].split_at(DIGITS);
        let number = joined(number);
        let is_sound = joined(seen) == sum(&packet[..PACKET_BYTES - SUM_DIGITS]);
        Some(is_sound.then_some(Self {
            origin: trailer[MARK.len()] & 0x7F,
            number,
        }))
    }
}

/// What begins in a packet.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Start {
    None,
    Audio,
    Frame,
    Key,
}

/// Everything of a media packet that precedes its filler.
fn header(pid: u16, start: Start, counter: u8, ticks: u64) -> Vec<u8> {
    let [high, low] = pid.to_be_bytes();
    let has_clock = matches!(start, Start::Frame | Start::Key);
    let unit_start = if start == Start::None { 0 } else { 0x40 };
    let mut packet = vec![
        0x47,
        unit_start | high,
        low,
        if has_clock { 0x30 } else { 0x10 } | counter & 15,
    ];
    if has_clock {
        let (base, extension) = (ticks / 300 % (1 << 33), ticks % 300);
        let field = (base << 15 | 0x7E00 | extension).to_be_bytes();
        packet.extend_from_slice(&[7, if start == Start::Key { 0x50 } else { 0x10 }]);
        packet.extend_from_slice(&field[2..]);
    }
    let stamp = ticks / 300 + PTS_DELAY;
    match start {
        Start::None => {}
        Start::Audio => packet.extend(pes(0xC0, AUDIO_PES_BYTES, stamp)),
        Start::Frame => {
            packet.extend(pes(0xE0, 0, stamp));
            packet.extend_from_slice(&[0, 0, 0, 1, 0x09, 0xF0, 0, 0, 1, 0x41, 0x9A]);
        }
        Start::Key => {
            packet.extend(pes(0xE0, 0, stamp));
            packet.extend_from_slice(&[
                0, 0, 0, 1, 0x09, 0xF0, 0, 0, 1, 0x67, 0x42, 0xC0, 0x1E, 0xD9, 0x01, 0x41, 0xFB,
                0x01, 0x10,
            ]);
            packet.extend_from_slice(&[0, 0, 1, 0x68, 0xCE, 0x38, 0x80, 0, 0, 1, 0x65, 0x88]);
        }
    }
    packet
}

/// A PES header with a PTS and no DTS.
fn pes(id: u8, length: u16, stamp: u64) -> Vec<u8> {
    let [high, low] = length.to_be_bytes();
    let stamp = stamp % (1 << 33);
    let mut bytes = vec![0, 0, 1, id, high, low, 0x80, 0x80, 5];
    bytes.push(0x21 | low_byte(stamp >> 30 << 1));
    bytes.push(low_byte(stamp >> 22));
    bytes.push(low_byte(stamp >> 15 << 1) | 1);
    bytes.push(low_byte(stamp >> 7));
    bytes.push(low_byte(stamp << 1) | 1);
    bytes
}

/// One PSI packet with the section and stuffing.
fn psi(pid: u16, turn: u64, section: &[u8]) -> [u8; PACKET_BYTES] {
    let [high, low] = pid.to_be_bytes();
    let mut packet = vec![0x47, 0x40 | high, low, 0x10 | low_byte(turn) & 15, 0];
    packet.extend_from_slice(section);
    packet.extend_from_slice(&crc(section).to_be_bytes());
    packet.resize(PACKET_BYTES, 0xFF);
    packet.try_into().unwrap()
}

/// Program 1 is described on [`PMT_PID`].
fn pat_section() -> Vec<u8> {
    let [high, low] = PMT_PID.to_be_bytes();
    vec![0x00, 0xB0, 13, 0, 1, 0xC1, 0, 0, 0, 1, 0xE0 | high, low]
}

/// H.264 video, which carries the clock, and AAC audio.
fn pmt_section() -> Vec<u8> {
    let ([video_high, video_low], [audio_high, audio_low]) =
        (VIDEO_PID.to_be_bytes(), AUDIO_PID.to_be_bytes());
    let mut section = vec![
        0x02,
        0xB0,
        23,
        0,
        1,
        0xC1,
        0,
        0,
        0xE0 | video_high,
        video_low,
        0xF0,
        0,
    ];
    section.extend_from_slice(&[0x1B, 0xE0 | video_high, video_low, 0xF0, 0]);
    section.extend_from_slice(&[0x0F, 0xE0 | audio_high, audio_low, 0xF0, 0]);
    section
}

/// CRC-32 as PSI sections carry it; over a section with its CRC it is 0.
pub(crate) fn crc(bytes: &[u8]) -> u32 {
    bytes.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte) << 24, |crc, _| {
            if crc >> 31 == 1 {
                crc << 1 ^ 0x04C1_1DB7
            } else {
                crc << 1
            }
        })
    })
}

/// A sum of 35 bits that changes when any byte does or two swap places.
///
/// Eight bytes at a time: hundreds of viewers are checked beside the server, on the same machine.
fn sum(bytes: &[u8]) -> u64 {
    let (words, rest) = bytes.as_chunks::<8>();
    let mixed = words
        .iter()
        .fold(17, |sum, word| mix(sum, u64::from_le_bytes(*word)));
    let sum = rest
        .iter()
        .fold(mixed, |sum, byte| mix(sum, u64::from(*byte)));
    sum >> (64 - 7 * SUM_DIGITS)
}

/// Stirs a word into a sum; the factor is odd, so no two words do the same.
fn mix(sum: u64, word: u64) -> u64 {
    (sum.rotate_left(29) ^ word).wrapping_mul(0x9E37_79B9_7F4A_7C15)
}

/// A number, seven bits to a byte, of which none is 0, 1 or a sync byte.
fn digits(number: u64) -> [u8; DIGITS] {
    std::array::from_fn(|place| 0x80 | low_byte(number.unbounded_shr(shift_of(place))) & 0x7F)
}

/// By how many bits the digit at `place` is shifted.
fn shift_of(place: usize) -> u32 {
    7 * u32::try_from(DIGITS - 1 - place).unwrap()
}

fn low_byte(value: u64) -> u8 {
    value.to_be_bytes()[7]
}

pub(crate) const PACKET_BYTES: usize = 188;
const PACKET_BITS: u64 = 1504;
pub(crate) const PAT_PID: u16 = 0;
pub(crate) const PMT_PID: u16 = 0x1000;
pub(crate) const VIDEO_PID: u16 = 0x100;
pub(crate) const AUDIO_PID: u16 = 0x101;
pub(crate) const NULL_PID: u16 = 0x1FFF;
const GROUP_FRAMES: u64 = 12;
const TICKS_PER_SECOND: u64 = 27_000_000;
const FRAME_TICKS: u64 = TICKS_PER_SECOND / 25;
/// How far presentation lies behind the clock, in 90 kHz units.
const PTS_DELAY: u64 = 27_000;
/// What follows the length field of an audio PES that fills one packet.
const AUDIO_PES_BYTES: u16 = 178;
const MARK: &[u8; 4] = b"#NUM";
/// Seven bits each: enough for 64.
const DIGITS: usize = 10;
const SUM_DIGITS: usize = 5;
const TRAILER_BYTES: usize = MARK.len() + 1 + DIGITS + SUM_DIGITS;
