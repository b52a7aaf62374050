//! Numbered MPEG-TS whose every packet follows from its index. (pure)
//!
//! Whoever sends packets of a [`Source`] picks the index and, if delay is to be measured, the time of sending; the check
//! that they arrive as they were sent is in `verify.rs`. The rule: packet `i` of a source is the same 188 bytes whenever
//! and however often it is made, its send time apart, so two connections are two windows on one broadcast.

use std::time::Duration;

/// One broadcast: which bytes every packet index stands for, and when it is on air.
///
/// Shape: frames of 40 ms; twelve of them make a group that opens with PAT, PMT and a key frame. Each frame starts
/// with a video packet that carries PCR and PTS and ends with an audio packet. PAT and PMT have no number; all other
/// packets are numbered from 0 without a hole.
#[derive(Clone, Copy, Debug)]
pub struct Source {
    /// Tells the packets of one source from those of another.
    origin: u8,
    /// Packets of one 40 ms frame; sets the bitrate.
    frame_packets: u64,
    /// PCR of packet 0, in 27 MHz ticks.
    clock_start: u64,
}

impl Source {
    /// A broadcast of about `kbit_per_s`, whose clock starts at `origin` hours so that two sources never share one.
    ///
    /// Bound: origins are told apart modulo 128; at least four packets make a frame, which is 150 kbit/s.
    #[must_use]
    pub fn new(origin: u8, kbit_per_s: u64) -> Self {
        let frame_packets = (kbit_per_s.saturating_mul(40) / PACKET_BITS).max(4);
        Self {
            origin: origin & 0x7F,
            frame_packets,
            clock_start: u64::from(origin & 0x7F) * 3600 * TICKS_PER_SECOND,
        }
    }

    /// Which packet is on air `elapsed` after packet 0.
    #[must_use]
    pub fn index_at(&self, elapsed: Duration) -> u64 {
        let micros = u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX);
        micros.saturating_mul(self.frame_packets) / FRAME_MICROS
    }

    /// How long after packet 0 the packet at `index` goes on air; `index_at` of it is `index`.
    #[must_use]
    pub fn due(&self, index: u64) -> Duration {
        Duration::from_micros((index.saturating_mul(FRAME_MICROS)).div_ceil(self.frame_packets))
    }

    /// What it really sends per second, in bits.
    #[must_use]
    pub fn bit_per_s(&self) -> u64 {
        self.frame_packets * PACKET_BITS * 1_000_000 / FRAME_MICROS
    }

    /// The number that the packet at `index` carries, or would carry if it is a PAT or PMT.
    #[must_use]
    pub fn number_at(&self, index: u64) -> u64 {
        let group = self.group();
        index / group * (group - 2) + (index % group).saturating_sub(2)
    }

    /// How much media lies between two numbers.
    #[must_use]
    pub fn media_between(&self, from: u64, to: u64) -> Duration {
        let numbered_per_group = self.group() - 2;
        let micros = to.saturating_sub(from) * FRAME_MICROS * GROUP_FRAMES;
        Duration::from_micros(micros / numbered_per_group)
    }

    /// Packets from one key frame to the next.
    #[must_use]
    pub fn group(&self) -> u64 {
        self.frame_packets * GROUP_FRAMES
    }

    /// The bytes of packet `index`, without a send time.
    #[must_use]
    pub fn packet(&self, index: u64) -> [u8; PACKET_BYTES] {
        self.packet_sent(index, Duration::ZERO)
    }

    /// The bytes of packet `index`, stamped with when it is sent.
    ///
    /// Unit: `sent` is a time on the clock that whoever measures the delay reads too; zero means not stamped.
    #[must_use]
    pub fn packet_sent(&self, index: u64, sent: Duration) -> [u8; PACKET_BYTES] {
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
        let mut packet = Packet::filled(0x80 | low_byte(index));
        packet.header(pid, start, low_byte(counter), ticks);
        let nanos = u64::try_from(sent.as_nanos()).unwrap_or(u64::MAX);
        packet.seal(self.origin, self.number_at(index), nanos);
        packet.bytes
    }
}

/// What a numbered packet says about itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Label {
    /// Which source made it.
    pub origin: u8,
    /// Its number there.
    pub number: u64,
    /// When it was sent, on the sender's clock; `None` if it was not stamped.
    pub sent: Option<Duration>,
}

impl Label {
    /// Reads the label of a packet; `None` if it bears none, `Some(None)` if it bears one that does not fit its bytes.
    ///
    /// Bound: anything but 188 bytes bears none.
    #[must_use]
    pub fn read(packet: &[u8]) -> Option<Option<Self>> {
        let packet: &[u8; PACKET_BYTES] = packet.try_into().ok()?;
        let (body, trailer) = packet.split_last_chunk::<TRAILER_BYTES>()?;
        if !trailer.starts_with(MARK) {
            return None;
        }
        let (origin, rest) = trailer[MARK.len()..].split_first()?;
        let (number, rest) = rest.split_at(DIGITS);
        let (sent, seen) = rest.split_at(DIGITS);
        let is_sound = joined(seen) == sum(&packet[..body.len() + TRAILER_BYTES - SUM_DIGITS]);
        let sent = Some(joined(sent)).filter(|nanos| *nanos > 0);
        Some(is_sound.then(|| Self {
            origin: origin & 0x7F,
            number: joined(number),
            sent: sent.map(Duration::from_nanos),
        }))
    }
}

/// How many packets lie between two numbers, if a group has so many numbered ones: PAT and PMT have no number.
///
/// Where `numbered_per_group` is [`Source::group`] less two, it is the difference of the indexes.
#[must_use]
pub fn packets_between(from: u64, to: u64, numbered_per_group: u64) -> u64 {
    let group = numbered_per_group.max(1);
    let index = |number: u64| number / group * (group + 2) + number % group + 2;
    index(to).saturating_sub(index(from))
}

/// CRC-32 as PSI sections carry it; over a section with its CRC it is 0.
#[must_use]
pub fn crc(bytes: &[u8]) -> u32 {
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

/// What begins in a packet.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Start {
    None,
    Audio,
    Frame,
    Key,
}

/// A packet while it is being written, from front to back.
struct Packet {
    bytes: [u8; PACKET_BYTES],
    written: usize,
}

impl Packet {
    fn filled(filler: u8) -> Self {
        Self {
            bytes: [filler; PACKET_BYTES],
            written: 0,
        }
    }

    fn put(&mut self, part: &[u8]) {
        let end = self.written + part.len();
        self.bytes[self.written..end].copy_from_slice(part);
        self.written = end;
    }

    /// Everything of a media packet that precedes its filler.
    fn header(&mut self, pid: u16, start: Start, counter: u8, ticks: u64) {
        let [high, low] = pid.to_be_bytes();
        let has_clock = matches!(start, Start::Frame | Start::Key);
        let unit_start = if start == Start::None { 0 } else { 0x40 };
        let control = if has_clock { 0x30 } else { 0x10 };
        self.put(&[0x47, unit_start | high, low, control | counter & 15]);
        if has_clock {
            let (base, extension) = (ticks / 300 % (1 << 33), ticks % 300);
            let field = (base << 15 | 0x7E00 | extension).to_be_bytes();
            self.put(&[7, if start == Start::Key { 0x50 } else { 0x10 }]);
            self.put(&field[2..]);
        }
        let stamp = ticks / 300 + PTS_DELAY;
        match start {
            Start::None => {}
            Start::Audio => self.put(&pes(0xC0, AUDIO_PES_BYTES, stamp)),
            Start::Frame => {
                self.put(&pes(0xE0, 0, stamp));
                self.put(FRAME_UNITS);
            }
            Start::Key => {
                self.put(&pes(0xE0, 0, stamp));
                self.put(KEY_UNITS);
            }
        }
    }

    /// Writes at the end who sent this packet, its number, when, and a sum over all that precedes, none of which can look
    /// like a start code.
    fn seal(&mut self, origin: u8, number: u64, sent_ns: u64) {
        self.written = PACKET_BYTES - TRAILER_BYTES;
        self.put(MARK);
        self.put(&[0x80 | origin]);
        self.put(&digits(number));
        self.put(&digits(sent_ns));
        let sum = digits(sum(&self.bytes[..self.written]));
        self.put(&sum[DIGITS - SUM_DIGITS..]);
    }
}

/// A PES header with a PTS and no DTS.
fn pes(id: u8, length: u16, stamp: u64) -> [u8; 14] {
    let [high, low] = length.to_be_bytes();
    let stamp = stamp % (1 << 33);
    [
        0,
        0,
        1,
        id,
        high,
        low,
        0x80,
        0x80,
        5,
        0x21 | low_byte(stamp >> 30 << 1),
        low_byte(stamp >> 22),
        low_byte(stamp >> 15 << 1) | 1,
        low_byte(stamp >> 7),
        low_byte(stamp << 1) | 1,
    ]
}

/// One PSI packet with the section and stuffing.
fn psi(pid: u16, turn: u64, section: &[u8]) -> [u8; PACKET_BYTES] {
    let [high, low] = pid.to_be_bytes();
    let mut packet = Packet::filled(0xFF);
    packet.put(&[0x47, 0x40 | high, low, 0x10 | low_byte(turn) & 15, 0]);
    packet.put(section);
    packet.put(&crc(section).to_be_bytes());
    packet.bytes
}

/// Program 1 is described on [`PMT_PID`].
fn pat_section() -> [u8; 12] {
    let [high, low] = PMT_PID.to_be_bytes();
    [0x00, 0xB0, 13, 0, 1, 0xC1, 0, 0, 0, 1, 0xE0 | high, low]
}

/// H.264 video, which carries the clock, and AAC audio.
fn pmt_section() -> [u8; 22] {
    let [video_high, video_low] = VIDEO_PID.to_be_bytes();
    let [audio_high, audio_low] = AUDIO_PID.to_be_bytes();
    let (video_high, audio_high) = (0xE0 | video_high, 0xE0 | audio_high);
    let mut section = [0; 22];
    let head = [0x02, 0xB0, 23, 0, 1, 0xC1, 0, 0];
    let parts = [
        head.as_slice(),
        &[video_high, video_low, 0xF0, 0],
        &[0x1B, video_high, video_low, 0xF0, 0],
        &[0x0F, audio_high, audio_low, 0xF0, 0],
    ];
    for (place, byte) in section.iter_mut().zip(parts.into_iter().flatten()) {
        *place = *byte;
    }
    section
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
    let mut digits = [0x80; DIGITS];
    let mut rest = number;
    for digit in digits.iter_mut().rev() {
        *digit |= low_byte(rest) & 0x7F;
        rest >>= 7;
    }
    digits
}

/// The number that digits stand for.
fn joined(digits: &[u8]) -> u64 {
    digits
        .iter()
        .fold(0, |value, digit| value << 7 | u64::from(digit & 0x7F))
}

fn low_byte(value: u64) -> u8 {
    value.to_be_bytes()[7]
}

/// The length of a packet.
pub const PACKET_BYTES: usize = 188;
const PACKET_BITS: u64 = 1504;
/// Where the PAT is sent.
pub const PAT_PID: u16 = 0;
/// Where the PMT is sent.
pub const PMT_PID: u16 = 0x1000;
/// Where video and the clock are sent.
pub const VIDEO_PID: u16 = 0x100;
/// Where audio is sent.
pub const AUDIO_PID: u16 = 0x101;
/// Where stuffing is sent, by others than a [`Source`].
pub const NULL_PID: u16 = 0x1FFF;
const GROUP_FRAMES: u64 = 12;
const FRAME_MICROS: u64 = 40_000;
const TICKS_PER_SECOND: u64 = 27_000_000;
const FRAME_TICKS: u64 = TICKS_PER_SECOND / 25;
/// How far presentation lies behind the clock, in 90 kHz units.
const PTS_DELAY: u64 = 27_000;
/// What follows the length field of an audio PES that fills one packet.
const AUDIO_PES_BYTES: u16 = 178;
/// Access unit delimiter and the start of a slice that needs others.
const FRAME_UNITS: &[u8] = &[0, 0, 0, 1, 0x09, 0xF0, 0, 0, 1, 0x41, 0x9A];
/// Access unit delimiter, both parameter sets and the start of an IDR slice.
const KEY_UNITS: &[u8] = &[
    0, 0, 0, 1, 0x09, 0xF0, 0, 0, 1, 0x67, 0x42, 0xC0, 0x1E, 0xD9, 0x01, 0x41, 0xFB, 0x01, 0x10, 0,
    0, 1, 0x68, 0xCE, 0x38, 0x80, 0, 0, 1, 0x65, 0x88,
];
const MARK: &[u8; 4] = b"#NUM";
/// Seven bits each: enough for 64.
const DIGITS: usize = 10;
const SUM_DIGITS: usize = 5;
const TRAILER_BYTES: usize = MARK.len() + 1 + 2 * DIGITS + SUM_DIGITS;

#[cfg(test)]
mod tests;
