//! One table's section, gathered over packets. (pure)
//!
//! What a section says is read in `psi.rs`. The rule kept here: a section counts only when it was seen whole, in order
//! and with a right checksum.

use super::{SECTION_PACKETS_MAX, length_from};
use crate::ts::PACKET_BYTES;
use crate::ts::packet::TsPacket;

/// The section of one table, the last whole one and the one being gathered.
#[derive(Debug)]
pub(super) struct Section {
    pub(super) table_id: u8,
    /// The last whole section and the packets it came in.
    pub(super) bytes: Vec<u8>,
    pub(super) packets: Vec<u8>,
    /// The same for the one being gathered; no packets when none is.
    pub(super) next_bytes: Vec<u8>,
    pub(super) next_packets: Vec<u8>,
    pub(super) counter: u8,
}

impl Section {
    pub(super) fn new(table_id: u8) -> Self {
        Self {
            table_id,
            bytes: Vec::new(),
            packets: Vec::new(),
            next_bytes: Vec::new(),
            next_packets: Vec::new(),
            counter: 0,
        }
    }

    /// What lies between the header and the checksum of the last whole section.
    pub(super) fn body(&self) -> &[u8] {
        let end = self.bytes.len().saturating_sub(CRC_BYTES);
        self.bytes.get(SECTION_HEADER_BYTES..end).unwrap_or(&[])
    }

    /// Takes a packet; tells whether it ended a section that differs from the last whole one.
    pub(super) fn push(&mut self, packet: TsPacket<'_>, extension: Option<u16>) -> bool {
        let Some(payload) = packet.payload() else {
            return false;
        };
        let is_gathering = !self.next_packets.is_empty();
        let counter = packet.continuity_counter();
        if is_gathering && counter == self.counter && !packet.payload_unit_start() {
            return false;
        }
        let is_next = counter == (self.counter + 1) & 0x0F;
        self.counter = counter;
        if is_gathering && (!is_next || packet.transport_error()) {
            self.abandon();
        }
        if packet.transport_error() || packet.is_scrambled() {
            return false;
        }
        if !packet.payload_unit_start() {
            return !self.next_packets.is_empty()
                && self.extend(packet, payload, extension).changed;
        }
        let Some((pointer, rest)) = payload.split_first() else {
            return false;
        };
        let Some((tail, mut rest)) = rest.split_at_checked(usize::from(*pointer)) else {
            self.abandon();
            return false;
        };
        let mut changed =
            !self.next_packets.is_empty() && self.extend(packet, tail, extension).changed;
        while rest.first().is_some_and(|table_id| *table_id != STUFFING) {
            self.abandon();
            let step = self.extend(packet, rest, extension);
            changed |= step.changed;
            rest = step.rest;
        }
        changed
    }

    /// Adds a packet and those of its bytes that belong to the section being gathered.
    pub(super) fn extend<'a>(
        &mut self,
        packet: TsPacket<'_>,
        bytes: &'a [u8],
        extension: Option<u16>,
    ) -> Extended<'a> {
        if self.next_packets.len() >= SECTION_PACKETS_MAX * PACKET_BYTES {
            self.abandon();
            return Extended {
                rest: &[],
                changed: false,
            };
        }
        self.next_packets.extend_from_slice(packet.bytes());
        let mut rest = self.fill(LENGTH_END, bytes);
        let Some(&[_, high, low]) = self.next_bytes.first_chunk() else {
            return Extended {
                rest,
                changed: false,
            };
        };
        let total = LENGTH_END + length_from(high, low);
        if total > SECTION_BYTES_MAX {
            self.abandon();
            return Extended {
                rest: &[],
                changed: false,
            };
        }
        rest = self.fill(total, rest);
        if self.next_bytes.len() < total {
            return Extended {
                rest,
                changed: false,
            };
        }
        let changed = self.is_wanted(extension) && self.keep();
        self.abandon();
        Extended { rest, changed }
    }

    /// Moves bytes to the section until it has `length`; returns the rest.
    pub(super) fn fill<'a>(&mut self, length: usize, bytes: &'a [u8]) -> &'a [u8] {
        let missing = length.saturating_sub(self.next_bytes.len());
        let (now, rest) = bytes.split_at_checked(missing).unwrap_or((bytes, &[]));
        self.next_bytes.extend_from_slice(now);
        rest
    }

    /// Whether the gathered section is the table looked for, in force now, its first section, and undamaged.
    pub(super) fn is_wanted(&self, extension: Option<u16>) -> bool {
        let Some(&[table_id, syntax, _, high, low, in_force, number, _]) =
            self.next_bytes.first_chunk()
        else {
            return false;
        };
        table_id == self.table_id
            && syntax & 0x80 != 0
            && in_force & 1 == 1
            && number == 0
            && extension.is_none_or(|extension| extension == u16::from_be_bytes([high, low]))
            && self.next_bytes.len() >= SECTION_HEADER_BYTES + CRC_BYTES
            && crc(&self.next_bytes) == 0
    }

    /// Makes the gathered section the last whole one; tells whether its content is new.
    pub(super) fn keep(&mut self) -> bool {
        let changed = self.bytes != self.next_bytes;
        std::mem::swap(&mut self.bytes, &mut self.next_bytes);
        std::mem::swap(&mut self.packets, &mut self.next_packets);
        changed
    }

    pub(super) fn abandon(&mut self) {
        self.next_bytes.clear();
        self.next_packets.clear();
    }
}

/// What a packet did to the section being gathered.
pub(super) struct Extended<'a> {
    /// The packet's bytes behind the section's end.
    pub(super) rest: &'a [u8],
    pub(super) changed: bool,
}

/// The checksum of sections; 0 over a whole section with its own checksum at the end.
pub(super) fn crc(bytes: &[u8]) -> u32 {
    bytes.iter().fold(u32::MAX, |crc, byte| {
        let [high, ..] = crc.to_be_bytes();
        crc << 8
            ^ CRC_TABLE
                .get(usize::from(high ^ byte))
                .copied()
                .unwrap_or(0)
    })
}

pub(super) const fn crc_table() -> [u32; 256] {
    let mut table = [0; 256];
    let mut rest: &mut [u32] = &mut table;
    let mut index = 0_u32;
    while let Some((entry, after)) = rest.split_first_mut() {
        let mut crc = index << 24;
        let mut bit = 0;
        while bit < 8 {
            crc = crc << 1 ^ if crc >> 31 == 1 { CRC_POLYNOMIAL } else { 0 };
            bit += 1;
        }
        *entry = crc;
        rest = after;
        index += 1;
    }
    table
}

/// Longest PAT or PMT section the standard allows.
pub(super) const SECTION_BYTES_MAX: usize = 1024;

/// Where a section's length field ends; the length counts from here.
pub(super) const LENGTH_END: usize = 3;

pub(super) const SECTION_HEADER_BYTES: usize = 8;

pub(super) const CRC_BYTES: usize = 4;

pub(super) const CRC_POLYNOMIAL: u32 = 0x04C1_1DB7;

pub(super) static CRC_TABLE: [u32; 256] = crc_table();

pub(super) const STUFFING: u8 = 0xFF;
