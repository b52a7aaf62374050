//! Packets, tables and dice for the unit tests of this module; compiled for tests only. (pure)
//!
//! It writes what `packet.rs` and `psi.rs` read, from the standard and not from their code, so that a mistake in one
//! is not repeated in the other. Real muxers' streams are covered elsewhere; here every bit is chosen.

use super::PACKET_BYTES;
use super::packet::{PID_PAT, SYNC, TsPacket};

/// One packet under construction; without any call it is a payload of 0xEE that holds no sync byte.
pub(crate) struct PacketMaker {
    pid: u16,
    counter: u8,
    is_unit_start: bool,
    is_scrambled: bool,
    has_payload: bool,
    flags: u8,
    pcr: Option<u64>,
    payload: Vec<u8>,
    is_exact: bool,
}

impl PacketMaker {
    pub(crate) fn new(pid: u16) -> Self {
        Self {
            pid,
            counter: 0,
            is_unit_start: false,
            is_scrambled: false,
            has_payload: true,
            flags: 0,
            pcr: None,
            payload: Vec::new(),
            is_exact: false,
        }
    }

    pub(crate) fn counter(mut self, counter: u8) -> Self {
        self.counter = counter & 0x0F;
        self
    }

    pub(crate) fn unit_start(mut self) -> Self {
        self.is_unit_start = true;
        self
    }

    pub(crate) fn scrambled(mut self) -> Self {
        self.is_scrambled = true;
        self
    }

    pub(crate) fn adaptation_only(mut self) -> Self {
        self.has_payload = false;
        self
    }

    pub(crate) fn random_access(mut self) -> Self {
        self.flags |= 0x40;
        self
    }

    pub(crate) fn discontinuity(mut self) -> Self {
        self.flags |= 0x80;
        self
    }

    pub(crate) fn pcr(mut self, ticks: u64) -> Self {
        self.flags |= 0x10;
        self.pcr = Some(ticks);
        self
    }

    /// Begins the payload with these bytes; the rest stays filler.
    pub(crate) fn payload(mut self, payload: &[u8]) -> Self {
        self.payload = payload.to_vec();
        self
    }

    /// Makes the payload exactly these bytes, 184 at most, with stuffing in front of them.
    pub(crate) fn exactly(mut self, payload: &[u8]) -> Self {
        self.is_exact = true;
        self.payload(payload)
    }

    pub(crate) fn build(self) -> [u8; PACKET_BYTES] {
        let mut bytes = vec![SYNC];
        let [high, low] = self.pid.to_be_bytes();
        bytes.push(high | if self.is_unit_start { 0x40 } else { 0 });
        bytes.push(low);
        let room = 184 - self.payload.len();
        let is_stuffed = self.is_exact && room > 0;
        let has_field = self.flags != 0 || !self.has_payload || is_stuffed;
        bytes.push(
            self.counter
                | if self.is_scrambled { 0x80 } else { 0 }
                | if has_field { 0x20 } else { 0 }
                | if self.has_payload { 0x10 } else { 0 },
        );
        if has_field {
            let mut field = vec![self.flags];
            if let Some(ticks) = self.pcr {
                let (base, extension) = (ticks / 300, ticks % 300);
                let word = base << 15 | 0x3F << 9 | extension;
                field.extend_from_slice(&word.to_be_bytes()[2..]);
            }
            if !self.has_payload {
                field.resize(183, 0xFF);
            }
            if is_stuffed {
                assert!(
                    room > field.len() || self.flags == 0,
                    "too long for its flags"
                );
                field.resize(room - 1, 0xFF);
            }
            bytes.push(u8::try_from(field.len()).unwrap());
            bytes.extend_from_slice(&field);
        }
        if self.has_payload {
            bytes.extend_from_slice(&self.payload);
        }
        bytes.resize(PACKET_BYTES, 0xEE);
        bytes.try_into().unwrap()
    }
}

/// The PIDs of these packets, in order.
pub(crate) fn pids(bytes: &[u8]) -> Vec<u16> {
    let packets = bytes.as_chunks().0.iter();
    packets.map(|packet| TsPacket::new(packet).pid()).collect()
}

/// Builds the body of a PAT section: `(program number, PMT PID)` each.
pub(crate) fn pat_section(version: u8, programs: &[(u16, u16)]) -> Vec<u8> {
    let mut body = Vec::new();
    for (number, pid) in programs {
        body.extend_from_slice(&number.to_be_bytes());
        body.extend_from_slice(&(pid | 0xE000).to_be_bytes());
    }
    section(0x00, 0x1234, version, &body)
}

/// Builds a PMT section: `(stream type, PID)` each; `padding` bytes of program descriptors make it long.
pub(crate) fn pmt_section(
    number: u16,
    version: u8,
    pcr_pid: u16,
    streams: &[(u8, u16)],
    padding: usize,
) -> Vec<u8> {
    let mut body = (pcr_pid | 0xE000).to_be_bytes().to_vec();
    body.extend_from_slice(&(u16::try_from(padding).unwrap() | 0xF000).to_be_bytes());
    body.extend(std::iter::repeat_n(0xAA, padding));
    for (kind, pid) in streams {
        body.push(*kind);
        body.extend_from_slice(&(pid | 0xE000).to_be_bytes());
        body.extend_from_slice(&[0xF0, 0x00]);
    }
    section(0x02, number, version, &body)
}

/// Wraps a body into a section with header and checksum.
pub(crate) fn section(table_id: u8, extension: u16, version: u8, body: &[u8]) -> Vec<u8> {
    let length = u16::try_from(body.len() + 9).unwrap();
    let mut bytes = vec![table_id];
    bytes.extend_from_slice(&(length | 0xB000).to_be_bytes());
    bytes.extend_from_slice(&extension.to_be_bytes());
    bytes.extend_from_slice(&[0xC1 | version << 1, 0, 0]);
    bytes.extend_from_slice(body);
    let mut crc = u32::MAX;
    for byte in &bytes {
        for bit in (0..8).rev() {
            let carry = (crc >> 31 == 1) != (byte >> bit & 1 == 1);
            crc = crc << 1 ^ if carry { 0x04C1_1DB7 } else { 0 };
        }
    }
    bytes.extend_from_slice(&crc.to_be_bytes());
    bytes
}

/// Cuts sections that follow each other into packets of `pid`, the counter going on from `counter`.
pub(crate) fn section_packets(pid: u16, counter: u8, sections: &[u8]) -> Vec<[u8; PACKET_BYTES]> {
    let mut payload = vec![0];
    payload.extend_from_slice(sections);
    payload.resize(payload.len().next_multiple_of(184), 0xFF);
    payload
        .chunks(184)
        .zip(0_u8..)
        .map(|(part, index)| {
            let maker = PacketMaker::new(pid)
                .counter(counter.wrapping_add(index))
                .payload(part);
            if index == 0 {
                maker.unit_start().build()
            } else {
                maker.build()
            }
        })
        .collect()
}

/// Builds a PAT that fits one packet.
pub(crate) fn pat(counter: u8, programs: &[(u16, u16)]) -> [u8; PACKET_BYTES] {
    section_packets(PID_PAT, counter, &pat_section(0, programs)).swap_remove(0)
}

/// Builds a PMT that fits one packet.
pub(crate) fn pmt(
    pid: u16,
    counter: u8,
    number: u16,
    pcr_pid: u16,
    streams: &[(u8, u16)],
) -> [u8; PACKET_BYTES] {
    section_packets(pid, counter, &pmt_section(number, 0, pcr_pid, streams, 0)).swap_remove(0)
}

/// Pseudo-random numbers from a seed, so that a failing case can be named and kept.
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    /// Rolls a number below `limit`.
    pub(crate) fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 16).unwrap() % limit
    }

    /// Rolls a byte.
    pub(crate) fn byte(&mut self) -> u8 {
        u8::try_from(self.below(256)).unwrap()
    }

    /// Fills with rolled bytes.
    pub(crate) fn fill(&mut self, bytes: &mut [u8]) {
        bytes.fill_with(|| self.byte());
    }
}

/// Puts a PES header without times in front of the bytes of a video, so that no two are of one clock.
pub(crate) fn pes(video: &[u8]) -> Vec<u8> {
    pes_with_options(5, video)
}

/// The same with so many bytes of stuffing in the optional part of the header.
pub(crate) fn pes_with_options(options: u8, video: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0, 0, 1, 0xE0, 0, 0, 0x84, 0, options];
    bytes.resize(9 + usize::from(options), 0xFF);
    bytes.extend_from_slice(video);
    bytes
}

/// Writes bits, for parameter sets made by hand.
#[derive(Default)]
pub(crate) struct BitMaker(Vec<bool>);

impl BitMaker {
    /// Appends the last `count` bits of a number.
    pub(crate) fn bits(mut self, count: u32, number: u32) -> Self {
        self.0.extend(
            (0..count)
                .rev()
                .map(|bit| bit < 32 && number >> bit & 1 == 1),
        );
        self
    }

    /// Appends unsigned Exp-Golomb codes.
    pub(crate) fn golombs(mut self, numbers: &[u32]) -> Self {
        for number in numbers {
            let code = u64::from(*number) + 1;
            let length = 64 - code.leading_zeros();
            self.0.extend((1..length).map(|_| false));
            self.0
                .extend((0..length).rev().map(|bit| code >> bit & 1 == 1));
        }
        self
    }

    /// Ends the content: a one, then zeros up to the next byte.
    pub(crate) fn end(mut self) -> Vec<u8> {
        self.0.push(true);
        self.bytes()
    }

    /// The bytes so far, filled with zeros.
    pub(crate) fn bytes(self) -> Vec<u8> {
        let octets = self.0.chunks(8);
        octets
            .map(|octet| {
                let byte = octet.iter().fold(0, |byte, bit| byte << 1 | u8::from(*bit));
                byte << (8 - octet.len())
            })
            .collect()
    }
}

/// Puts in the bytes that keep start codes out of a unit.
pub(crate) fn escaped(content: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for byte in content {
        if *byte <= 3 && bytes.ends_with(&[0, 0]) {
            bytes.push(3);
        }
        bytes.push(*byte);
    }
    bytes
}

/// Units of a video behind start codes, the first of which is the long one.
pub(crate) fn units(units: &[&[u8]]) -> Vec<u8> {
    let mut bytes = vec![0];
    for unit in units {
        bytes.extend_from_slice(&[0, 0, 1]);
        bytes.extend_from_slice(unit);
    }
    bytes
}

/// Units of H.264.
pub(crate) mod h264 {
    pub(crate) const DELIMITER: &[u8] = &[0x09, 0xF0];
    /// 640x360 at 25 frames a second.
    pub(crate) const SPS: &[u8] = &[
        0x67, 0x42, 0xC0, 0x1E, 0xDA, 0x02, 0x80, 0xBF, 0xE5, 0xC0, 0x44, 0x00, 0x00, 0x03, 0x00,
        0x04, 0x00, 0x00, 0x03, 0x00, 0xC8, 0x3C, 0x58, 0xBA, 0x80,
    ];
    pub(crate) const PPS: &[u8] = &[0x68, 0xCE, 0x3C, 0x80];
    pub(crate) const RECOVERY: &[u8] = &[0x06, 0x06, 0x01, 0xC4, 0x80];
    pub(crate) const IDR: &[u8] = &[0x65, 0x88, 0x84, 0x00];
    pub(crate) const SLICE: &[u8] = &[0x41, 0x9A, 0x24];
}
