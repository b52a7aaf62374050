//! The latest PAT and PMT of a channel, as facts and as the packets that carried them. (pure)
//!
//! It collects sections over packets, checks them, and answers which PID carries video and which the clock. What
//! is made of the kept packets is the business of `join.rs`. The rule it protects: a table counts only when its
//! section was seen whole with a right checksum, and a new viewer is given the copy seen last, because only that one
//! fits the continuity counters of what follows.

mod section;

use self::section::Section;
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

/// Most programs that are looked at.
pub const PROGRAMS_MAX: usize = 16;

/// Most packets that are kept of one section.
pub const SECTION_PACKETS_MAX: usize = 8;

const TABLE_PAT: u8 = 0x00;
const TABLE_PMT: u8 = 0x02;

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
