//! Access units to 188-byte packets: PES, tables, clock references, null packets (pure).
//!
//! One program with one H.264 stream. What is in an access unit belongs to `picture`; when tables
//! and padding are due belongs to `Demo`.
//!
//! Rule: whatever is appended is a whole number of packets, and the continuity counter of each PID
//! goes up by one with each packet that carries payload.
//!
//! Source: ISO/IEC 13818-1 sections 2.4.3 (packets, PES) and 2.4.4 (PAT, PMT), annex A (CRC).

/// Turns access units into packets; keeps the continuity counters.
#[derive(Debug)]
pub(super) struct Mux {
    pat: Table,
    pmt: Table,
    video: Counter,
}

impl Mux {
    pub(super) fn new() -> Self {
        let [pmt_high, pmt_low] = PMT_PID.to_be_bytes();
        let [video_high, video_low] = VIDEO_PID.to_be_bytes();
        // The three bits above a PID are reserved and set.
        let program = [0, PROGRAM, 0xE0 | pmt_high, pmt_low];
        let elements = [
            0xE0 | video_high, // PID of the clock references
            video_low,
            0xF0, // no program descriptors
            0,
            H264,
            0xE0 | video_high,
            video_low,
            0xF0, // no stream descriptors
            0,
        ];
        Self {
            pat: Table::new(PAT_PID, PAT_TABLE, TRANSPORT_STREAM, &program),
            pmt: Table::new(PMT_PID, PMT_TABLE, PROGRAM, &elements),
            video: Counter::default(),
        }
    }

    /// Appends PAT and PMT; returns the number of packets.
    pub(super) fn tables(&mut self, out: &mut Vec<u8>) -> u64 {
        self.pat.append(out);
        self.pmt.append(out);
        2
    }

    /// Appends one access unit as one PES packet; returns the number of transport packets.
    ///
    /// The first packet carries the clock reference, and the random access flag if `is_key`.
    ///
    /// Unit: `clock` and `pts` in 1/90000 s, 33 bits.
    pub(super) fn access_unit(
        &mut self,
        unit: &[u8],
        clock: u64,
        pts: u64,
        is_key: bool,
        out: &mut Vec<u8>,
    ) -> u64 {
        let head = pes_head(unit.len(), pts);
        let flags = clock_flags(is_key, clock);
        let mut rest = self.video_packet(&flags, &head, unit, out);
        let mut packets = 1;
        while !rest.is_empty() {
            rest = self.video_packet(&[], &[], rest, out);
            packets += 1;
        }
        packets
    }

    /// Appends one packet with as much of `data` as it holds and returns what is left of `data`.
    ///
    /// `adaptation` is the adaptation field from its flags on, or empty if none is wanted. A packet
    /// that is not full is filled by stuffing that field.
    fn video_packet<'a>(
        &mut self,
        adaptation: &[u8],
        head: &[u8],
        data: &'a [u8],
        out: &mut Vec<u8>,
    ) -> &'a [u8] {
        let wanted = if adaptation.is_empty() {
            0
        } else {
            1 + adaptation.len()
        };
        let room = BODY - wanted - head.len();
        let (now, rest) = data.split_at(room.min(data.len()));
        // The whole field, with its length byte.
        let field = BODY - head.len() - now.len();
        let control = if field == 0 {
            PAYLOAD
        } else {
            PAYLOAD | ADAPTATION
        };
        out.extend_from_slice(&header(
            VIDEO_PID,
            !head.is_empty(),
            control,
            self.video.next(),
        ));
        let body_start = out.len();
        if field > 0 {
            out.push(low_byte(field - 1));
        }
        if field > 1 {
            let flags = if adaptation.is_empty() {
                &[0]
            } else {
                adaptation
            };
            out.extend_from_slice(flags);
        }
        out.resize(body_start + field, STUFFING);
        out.extend_from_slice(head);
        out.extend_from_slice(now);
        rest
    }
}

/// Appends `packets` null packets.
pub(super) fn pad(packets: u64, out: &mut Vec<u8>) {
    for _ in 0..packets {
        out.extend_from_slice(&header(NULL_PID, false, PAYLOAD, 0));
        out.extend_from_slice(&[STUFFING; BODY]);
    }
}

/// A PAT or PMT that never changes and fits one packet.
#[derive(Debug)]
struct Table {
    pid: u16,
    /// Pointer field, section and stuffing.
    body: Vec<u8>,
    counter: Counter,
}

impl Table {
    /// `id` is what the section is about: the transport stream of a PAT, the program of a PMT.
    fn new(pid: u16, table: u8, id: u8, entries: &[u8]) -> Self {
        // Counted from behind the length: 5 bytes up to the entries, and 4 bytes CRC.
        let length = low_byte(5 + entries.len() + 4);
        let mut section = vec![
            table, 0xB0, // long syntax; the high bits of the length are zero
            length, 0, id, 0xC1, // version 0, valid now
            0,    // section_number
            0,    // last_section_number
        ];
        section.extend_from_slice(entries);
        let crc = crc32(&section);
        let mut body = vec![0]; // pointer_field: the section follows at once
        body.extend_from_slice(&section);
        body.extend_from_slice(&crc.to_be_bytes());
        body.resize(BODY, STUFFING);
        Self {
            pid,
            body,
            counter: Counter::default(),
        }
    }

    fn append(&mut self, out: &mut Vec<u8>) {
        out.extend_from_slice(&header(self.pid, true, PAYLOAD, self.counter.next()));
        out.extend_from_slice(&self.body);
    }
}

/// The continuity counter of one PID.
#[derive(Debug, Default)]
struct Counter(u8);

impl Counter {
    fn next(&mut self) -> u8 {
        let now = self.0;
        self.0 = (now + 1) % 16;
        now
    }
}

fn header(pid: u16, is_unit_start: bool, control: u8, counter: u8) -> [u8; 4] {
    let [high, low] = pid.to_be_bytes();
    let start = if is_unit_start { UNIT_START } else { 0 };
    [SYNC, start | high, low, control | counter]
}

/// Flags and clock reference of an adaptation field.
fn clock_flags(is_key: bool, clock: u64) -> [u8; 7] {
    let random_access = if is_key { RANDOM_ACCESS } else { 0 };
    // 33 bits base, 6 reserved bits, 9 bits extension in 1/27000000 s, here 0.
    let [_, _, a, b, c, d, e, f] = (clock << 15 | 0x3F << 9).to_be_bytes();
    [random_access | HAS_PCR, a, b, c, d, e, f]
}

/// The head of a PES packet that carries `unit_bytes` of video.
///
/// Only the PTS is sent: without it the DTS is the same. The length is given so that a player need
/// not wait for the next frame to know that this one is complete.
fn pes_head(unit_bytes: usize, pts: u64) -> [u8; 14] {
    // Counted from behind the length: two bytes of flags, the length of the rest and the PTS. Video
    // may leave the length open (0) where 16 bits are too few.
    let length = u16::try_from(unit_bytes + 3 + 5).unwrap_or(0).to_be_bytes();
    // 3, 15 and 15 bits, each followed by a marker bit, after the four bits 0010.
    let coded = 0b0010 << 36
        | (pts >> 30) << 33
        | 1 << 32
        | (pts >> 15 & 0x7FFF) << 17
        | 1 << 16
        | (pts & 0x7FFF) << 1
        | 1;
    let [_, _, _, a, b, c, d, e] = u64::to_be_bytes(coded);
    // 0x84: the payload starts with an access unit. 0x80: PTS only, in 5 bytes.
    let [high, low] = length;
    [
        0,
        0,
        1,
        VIDEO_STREAM,
        high,
        low,
        0x84,
        0x80,
        5,
        a,
        b,
        c,
        d,
        e,
    ]
}

/// The CRC that ends each section: polynomial 0x04C11DB7, all ones first, nothing reflected.
fn crc32(section: &[u8]) -> u32 {
    section.iter().fold(u32::MAX, |crc, &byte| {
        (0..8).fold(crc ^ u32::from(byte) << 24, |crc, _| {
            let shifted = crc << 1;
            if crc >> 31 == 1 {
                shifted ^ 0x04C1_1DB7
            } else {
                shifted
            }
        })
    })
}

fn low_byte(value: usize) -> u8 {
    let [.., low] = value.to_be_bytes();
    low
}

/// Bytes in one transport packet.
const PACKET: usize = 188;
/// Bytes in one transport packet behind its header.
const BODY: usize = PACKET - 4;
const SYNC: u8 = 0x47;
const STUFFING: u8 = 0xFF;

const PAT_PID: u16 = 0;
const PMT_PID: u16 = 0x1000;
const VIDEO_PID: u16 = 0x100;
const NULL_PID: u16 = 0x1FFF;

const PAT_TABLE: u8 = 0;
const PMT_TABLE: u8 = 2;
const TRANSPORT_STREAM: u8 = 1;
const PROGRAM: u8 = 1;
/// Stream type of H.264 in a PMT.
const H264: u8 = 0x1B;
/// Stream id of the first video of a program in PES.
const VIDEO_STREAM: u8 = 0xE0;

// Flags of the packet header.
const UNIT_START: u8 = 0x40;
const ADAPTATION: u8 = 0x20;
const PAYLOAD: u8 = 0x10;
// Flags of the adaptation field.
const RANDOM_ACCESS: u8 = 0x40;
const HAS_PCR: u8 = 0x10;

#[cfg(test)]
pub(super) mod tests;
