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

    pub(crate) fn build(self) -> [u8; PACKET_BYTES] {
        let mut bytes = vec![SYNC];
        let [high, low] = self.pid.to_be_bytes();
        bytes.push(high | if self.is_unit_start { 0x40 } else { 0 });
        bytes.push(low);
        let has_field = self.flags != 0 || !self.has_payload;
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
