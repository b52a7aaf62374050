//! The latest PAT and PMT of a channel, as facts and as the packets that carried them. (pure)
//!
//! It collects sections over packets, checks them, and answers which PID carries video and which the clock. What
//! is made of the kept packets is the business of `join.rs`. The rule it protects: a table counts only when its
//! section was seen whole with a right checksum, and a new viewer is given the copy seen last, because only that one
//! fits the continuity counters of what follows.

use super::PACKET_BYTES;
use super::packet::{PID_NULL, PID_PAT, PIDS, TsPacket};

/// The tables of one upstream.
///
/// Bound: [`PROGRAMS_MAX`] programs, each on a PMT PID of its own; further ones, and further programs on the same
/// PMT PID, are not looked at. Of a PAT in several sections the first counts. A section may take
/// [`SECTION_PACKETS_MAX`] packets; a longer one is not kept.
///
/// Ownership: holds copies of the packets, in room that grows with the first tables and is then used again.
#[derive(Debug)]
pub struct Psi {
    pat: Section,
    programs: Vec<Program>,
    /// One bit per PID: whether it carries one of these tables.
    pids: Box<[u64; PIDS / 64]>,
}

impl Psi {
    /// Begins without any table.
    #[must_use]
    pub fn new() -> Self {
        let mut psi = Self {
            pat: Section::new(TABLE_PAT),
            programs: Vec::new(),
            pids: Box::new([0; PIDS / 64]),
        };
        psi.mark(PID_PAT);
        psi
    }

    /// Whether packets of this PID are to be [pushed](Self::push).
    #[must_use]
    #[inline]
    pub fn is_psi(&self, pid: u16) -> bool {
        let word = self.pids.get(usize::from(pid / 64)).copied().unwrap_or(0);
        word >> (pid % 64) & 1 == 1
    }

    /// Takes a packet of a table PID; tells whether a table became known or changed.
    pub fn push(&mut self, packet: TsPacket<'_>) -> bool {
        let pid = packet.pid();
        if pid == PID_PAT {
            if !self.pat.push(packet, None) {
                return false;
            }
            self.read_pat();
            return true;
        }
        let Some(program) = self.programs.iter_mut().find(|program| program.pid == pid) else {
            return false;
        };
        if !program.pmt.push(packet, Some(program.number)) {
            return false;
        }
        program.read_pmt();
        true
    }

    /// Whether the PAT and the PMT of at least one of its programs are known.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.leading().is_some()
    }

    /// The PID that carries the clock of the first program with a PMT.
    #[must_use]
    pub fn pcr_pid(&self) -> Option<u16> {
        self.leading()?.pcr_pid
    }

    /// The video of the first program with a PMT.
    #[must_use]
    pub fn video(&self) -> Option<Video> {
        self.leading()?.video
    }

    /// The PMT PIDs that the PAT names, in its order, whether or not the PMT was seen.
    pub fn pmt_pids(&self) -> impl Iterator<Item = u16> {
        self.programs.iter().map(|program| program.pid)
    }

    /// The elementary streams of the first program with a PMT, in its order.
    pub fn streams(&self) -> &[Stream] {
        self.leading().map_or(&[], |program| &program.streams)
    }

    /// The PIDs of all elementary streams that the known PMTs name, program by program.
    pub fn es_pids(&self) -> impl Iterator<Item = u16> {
        self.programs
            .iter()
            .flat_map(|program| program.streams.iter().map(|stream| stream.pid))
    }

    /// The packets of the last whole PAT and, in the PAT's order, of each program's last whole PMT.
    ///
    /// Shape: per table its PID and a whole number of packets, in the order they came.
    pub fn tables(&self) -> impl Iterator<Item = (u16, &[u8])> {
        let pmts = self
            .programs
            .iter()
            .map(|program| (program.pid, program.pmt.packets.as_slice()));
        std::iter::once((PID_PAT, self.pat.packets.as_slice()))
            .chain(pmts)
            .filter(|(_, packets)| !packets.is_empty())
    }

    fn leading(&self) -> Option<&Program> {
        self.programs
            .iter()
            .find(|program| !program.pmt.packets.is_empty())
    }

    /// Lists the programs anew, keeping what is known of those that stay where they were.
    fn read_pat(&mut self) {
        let mut known = std::mem::take(&mut self.programs);
        self.pids.fill(0);
        self.mark(PID_PAT);
        let (entries, _) = self.pat.body().as_chunks::<4>();
        for &[number_high, number_low, pid_high, pid_low] in entries {
            let number = u16::from_be_bytes([number_high, number_low]);
            let pid = pid_from(pid_high, pid_low);
            let is_taken = self.programs.iter().any(|program| program.pid == pid);
            if number == 0 || pid == PID_PAT || pid == PID_NULL || is_taken {
                continue;
            }
            if self.programs.len() == PROGRAMS_MAX {
                break;
            }
            let position = known
                .iter()
                .position(|program| program.pid == pid && program.number == number);
            let program = position.map_or_else(
                || Program::new(number, pid),
                |position| known.swap_remove(position),
            );
            self.programs.push(program);
        }
        for index in 0..self.programs.len() {
            if let Some(pid) = self.programs.get(index).map(|program| program.pid) {
                self.mark(pid);
            }
        }
    }

    fn mark(&mut self, pid: u16) {
        if let Some(word) = self.pids.get_mut(usize::from(pid / 64)) {
            *word |= 1 << (pid % 64);
        }
    }
}

impl Default for Psi {
    fn default() -> Self {
        Self::new()
    }
}

/// The video of a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Video {
    /// Where it is.
    pub pid: u16,
    /// How it is coded: the PMT's `stream_type`.
    pub stream_type: u8,
}

/// One elementary stream of a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stream {
    /// Where it is.
    pub pid: u16,
    /// How it is coded: the PMT's `stream_type`.
    pub stream_type: u8,
    /// The first of its descriptors that names a coding of sound, by tag; DVB has sound under a private type.
    ///
    /// Source: ETSI EN 300 468 6.1 (tags 0x6A AC-3, 0x7A E-AC-3, 0x7B DTS, 0x7C AAC).
    pub sound_tag: Option<u8>,
}

/// One program that the PAT names.
#[derive(Debug)]
struct Program {
    number: u16,
    pid: u16,
    pmt: Section,
    pcr_pid: Option<u16>,
    video: Option<Video>,
    streams: Vec<Stream>,
}

impl Program {
    fn new(number: u16, pid: u16) -> Self {
        Self {
            number,
            pid,
            pmt: Section::new(TABLE_PMT),
            pcr_pid: None,
            video: None,
            streams: Vec::new(),
        }
    }

    fn read_pmt(&mut self) {
        (self.pcr_pid, self.video) = (None, None);
        self.streams.clear();
        let Some((&[pcr_high, pcr_low, length_high, length_low], rest)) =
            self.pmt.body().split_first_chunk()
        else {
            return;
        };
        self.pcr_pid = Some(pid_from(pcr_high, pcr_low)).filter(|pid| *pid != PID_NULL);
        let mut rest = rest
            .get(length_from(length_high, length_low)..)
            .unwrap_or(&[]);
        while let Some((&[stream_type, pid_high, pid_low, length_high, length_low], after)) =
            rest.split_first_chunk()
        {
            let pid = pid_from(pid_high, pid_low);
            let (descriptors, after) = after
                .split_at_checked(length_from(length_high, length_low))
                .unwrap_or((after, &[]));
            self.streams.push(Stream {
                pid,
                stream_type,
                sound_tag: sound_tag(descriptors),
            });
            if self.video.is_none() && VIDEO_TYPES.contains(&stream_type) {
                self.video = Some(Video { pid, stream_type });
            }
            rest = after;
        }
    }
}

/// The section of one table, the last whole one and the one being gathered.
#[derive(Debug)]
struct Section {
    table_id: u8,
    /// The last whole section and the packets it came in.
    bytes: Vec<u8>,
    packets: Vec<u8>,
    /// The same for the one being gathered; no packets when none is.
    next_bytes: Vec<u8>,
    next_packets: Vec<u8>,
    counter: u8,
}

impl Section {
    fn new(table_id: u8) -> Self {
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
    fn body(&self) -> &[u8] {
        let end = self.bytes.len().saturating_sub(CRC_BYTES);
        self.bytes.get(SECTION_HEADER_BYTES..end).unwrap_or(&[])
    }

    /// Takes a packet; tells whether it ended a section that differs from the last whole one.
    fn push(&mut self, packet: TsPacket<'_>, extension: Option<u16>) -> bool {
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
    fn extend<'a>(
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
    fn fill<'a>(&mut self, length: usize, bytes: &'a [u8]) -> &'a [u8] {
        let missing = length.saturating_sub(self.next_bytes.len());
        let (now, rest) = bytes.split_at_checked(missing).unwrap_or((bytes, &[]));
        self.next_bytes.extend_from_slice(now);
        rest
    }

    /// Whether the gathered section is the table looked for, in force now, its first section, and undamaged.
    fn is_wanted(&self, extension: Option<u16>) -> bool {
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
    fn keep(&mut self) -> bool {
        let changed = self.bytes != self.next_bytes;
        std::mem::swap(&mut self.bytes, &mut self.next_bytes);
        std::mem::swap(&mut self.packets, &mut self.next_packets);
        changed
    }

    fn abandon(&mut self) {
        self.next_bytes.clear();
        self.next_packets.clear();
    }
}

/// What a packet did to the section being gathered.
struct Extended<'a> {
    /// The packet's bytes behind the section's end.
    rest: &'a [u8],
    changed: bool,
}

fn sound_tag(descriptors: &[u8]) -> Option<u8> {
    let mut rest = descriptors;
    while let Some((&[tag, length], after)) = rest.split_first_chunk() {
        if SOUND_TAGS.contains(&tag) {
            return Some(tag);
        }
        rest = after.get(usize::from(length)..).unwrap_or(&[]);
    }
    None
}

fn pid_from(high: u8, low: u8) -> u16 {
    u16::from_be_bytes([high & 0x1F, low])
}

fn length_from(high: u8, low: u8) -> usize {
    usize::from(u16::from_be_bytes([high & 0x0F, low]))
}

/// The checksum of sections; 0 over a whole section with its own checksum at the end.
fn crc(bytes: &[u8]) -> u32 {
    bytes.iter().fold(u32::MAX, |crc, byte| {
        let [high, ..] = crc.to_be_bytes();
        crc << 8
            ^ CRC_TABLE
                .get(usize::from(high ^ byte))
                .copied()
                .unwrap_or(0)
    })
}

const fn crc_table() -> [u32; 256] {
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

/// Most programs that are looked at.
pub const PROGRAMS_MAX: usize = 16;

/// Most packets that are kept of one section.
pub const SECTION_PACKETS_MAX: usize = 8;

/// Longest PAT or PMT section the standard allows.
const SECTION_BYTES_MAX: usize = 1024;

/// Where a section's length field ends; the length counts from here.
const LENGTH_END: usize = 3;
const SECTION_HEADER_BYTES: usize = 8;
const CRC_BYTES: usize = 4;
const CRC_POLYNOMIAL: u32 = 0x04C1_1DB7;
static CRC_TABLE: [u32; 256] = crc_table();

const TABLE_PAT: u8 = 0x00;
const TABLE_PMT: u8 = 0x02;
const STUFFING: u8 = 0xFF;

/// Stream types that are video: MPEG-1, MPEG-2, MPEG-4, H.264, HEVC, VVC, AVS, Dirac.
const VIDEO_TYPES: [u8; 8] = [0x01, 0x02, 0x10, 0x1B, 0x24, 0x33, 0x42, 0xD1];

/// Tags of descriptors that name a coding of sound.
const SOUND_TAGS: [u8; 4] = [0x6A, 0x7A, 0x7B, 0x7C];

#[cfg(test)]
#[expect(
    clippy::indexing_slicing,
    reason = "a test that reads out of bounds should fail"
)]
mod tests;
