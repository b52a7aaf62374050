//! Whether a decoder can begin at a picture, read from the elementary stream behind a PES start. (pure)
//!
//! It is given the payloads of the video PID from a PES start on and reads no further than the first slice. When to
//! read, and what follows from the answer, is the business of `starts.rs`; what a parameter set says, that of
//! `sequence.rs`. The rule it protects: the answer is the same however the bytes were cut into packets.
//!
//! Source: ISO/IEC 13818-1 2.4.3.6 (PES packets), ISO/IEC 13818-2 6.2 (start codes of MPEG-1 and MPEG-2),
//! ITU-T H.264 7.3.1 and 7.3.2.3, ITU-T H.265 7.3.1 and 7.3.5 (NAL units and SEI messages).

/// How the elementary stream of a video is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Syntax {
    /// ITU-T H.264.
    H264,
    /// ITU-T H.265.
    Hevc,
    /// MPEG-1 or MPEG-2, whose start codes are the same.
    Mpeg,
}

impl Syntax {
    /// The syntax of a PMT's `stream_type`; `None` for one that is not read here.
    #[must_use]
    pub const fn of(stream_type: u8) -> Option<Self> {
        match stream_type {
            0x01 | 0x02 => Some(Self::Mpeg),
            0x1B => Some(Self::H264),
            0x24 => Some(Self::Hevc),
            _ => None,
        }
    }
}

/// What is known of the picture at a PES start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Picture {
    /// It needs pictures before it, or there is none.
    Dependent,
    /// It needs nothing before it: IDR (H.264), types 16 to 21 (HEVC), a sequence header before it (MPEG).
    Key,
    /// From it on pictures become right after a while: a recovery point, with the parameter set it needs.
    Recovery,
    /// Too little was read.
    Unknown,
}

/// Reads one PES packet after the other, each as far as is needed.
///
/// Bound: each byte is looked at twice at most, whatever it is, in whatever cut. At most [`SEQUENCE_BYTES_MAX`] bytes of a
/// parameter set are kept; the rest of a longer one is left out.
#[derive(Debug)]
pub struct PictureScan {
    syntax: Syntax,
    place: Place,
    /// How many zeros stand right before the next byte, two standing for any more.
    zeros: usize,
    picture: Picture,
    has_recovery: bool,
    sequence: Vec<u8>,
    is_sequence_whole: bool,
}

impl PictureScan {
    /// Begins without anything to read.
    #[must_use]
    pub fn new() -> Self {
        Self {
            syntax: Syntax::Mpeg,
            place: Place::Over,
            zeros: 0,
            picture: Picture::Dependent,
            has_recovery: false,
            sequence: Vec::with_capacity(SEQUENCE_BYTES_MAX),
            is_sequence_whole: false,
        }
    }

    /// Prepares for the payload of a packet in which a PES packet begins.
    pub fn begin(&mut self, syntax: Syntax) {
        self.syntax = syntax;
        self.place = Place::Header(0);
        self.zeros = 0;
        self.picture = Picture::Unknown;
        self.has_recovery = false;
        self.sequence.clear();
        self.is_sequence_whole = false;
    }

    /// Takes the next payload of the PES packet; answers what is known by now.
    pub fn take(&mut self, payload: &[u8]) -> Picture {
        let mut rest = payload;
        while !rest.is_empty() && self.is_reading() {
            rest = self.step(rest);
        }
        self.picture
    }

    /// Reads no further.
    pub fn stop(&mut self) {
        self.place = Place::Over;
    }

    /// Whether more of the PES packet is wanted: the picture is not known yet, or a parameter set is not whole.
    #[must_use]
    #[inline]
    pub fn is_reading(&self) -> bool {
        self.place != Place::Over
    }

    /// The first parameter set of the PES packet once it is whole: SPS, or sequence header with its extensions.
    ///
    /// Shape: a NAL unit with its header, or what follows the code of the sequence header.
    #[must_use]
    pub fn sequence(&self) -> Option<&[u8]> {
        self.is_sequence_whole.then_some(&self.sequence)
    }

    /// Takes the bytes that stand in the same place as the first one; answers the rest.
    fn step<'a>(&mut self, bytes: &'a [u8]) -> &'a [u8] {
        let Some((first, behind)) = bytes.split_first() else {
            return bytes;
        };
        match self.place {
            Place::Header(read) => {
                self.place = after_header_byte(read, *first);
                if self.place == Place::Over {
                    self.picture = Picture::Dependent;
                }
                behind
            }
            Place::Options(left) => {
                let left = usize::from(left);
                self.place = match left.checked_sub(bytes.len()).map(u8::try_from) {
                    Some(Ok(left)) if left > 0 => Place::Options(left),
                    _ => Place::Between,
                };
                bytes.get(left..).unwrap_or_default()
            }
            Place::Code => {
                self.zeros = usize::from(*first == 0);
                self.begin_unit(*first);
                behind
            }
            Place::Between | Place::Sei(_) | Place::Sequence => self.read_unit(bytes),
            Place::Over => &[],
        }
    }

    /// Reads the unit as far as it goes; answers what is behind the start code that ends it.
    fn read_unit<'a>(&mut self, bytes: &'a [u8]) -> &'a [u8] {
        let end = start_code(self.zeros, bytes);
        let unit = end.and_then(|end| bytes.get(..end)).unwrap_or(bytes);
        match self.place {
            Place::Sequence => self.keep(unit),
            Place::Sei(sei) => self.read_messages(sei, unit),
            _ => {}
        }
        let Some(end) = end else {
            let zeros = unit.iter().rev().take_while(|byte| **byte == 0).take(2);
            self.zeros = match zeros.count() {
                zeros if zeros == unit.len() => (self.zeros + zeros).min(2),
                zeros => zeros,
            };
            return &[];
        };
        self.end_unit();
        self.place = Place::Code;
        bytes.get(end + 1..).unwrap_or_default()
    }

    /// Reads SEI messages as far as they go, or to the first that is a recovery point.
    fn read_messages(&mut self, mut sei: Sei, unit: &[u8]) {
        let mut zeros = self.zeros;
        for byte in unit {
            let is_escape = zeros == 2 && *byte == 3;
            zeros = if *byte == 0 { (zeros + 1).min(2) } else { 0 };
            // A byte that was put in so that no start code shows up within the unit.
            if is_escape {
                continue;
            }
            match sei.after(*byte) {
                Some(next) => sei = next,
                None => {
                    self.has_recovery = true;
                    self.place = Place::Between;
                    return;
                }
            }
        }
        self.place = Place::Sei(sei);
    }

    fn begin_unit(&mut self, code: u8) {
        self.place = match self.syntax {
            Syntax::H264 => self.begin_h264(code),
            Syntax::Hevc => self.begin_hevc(code),
            Syntax::Mpeg => self.begin_mpeg(code),
        };
    }

    fn begin_h264(&mut self, header: u8) -> Place {
        match header & 0x1F {
            1..=4 => self.end(self.slice()),
            5 => self.end(Picture::Key),
            6 => Place::Sei(Sei::Kind(0)),
            7 => self.begin_sequence(header),
            _ => Place::Between,
        }
    }

    fn begin_hevc(&mut self, header: u8) -> Place {
        match header >> 1 & 0x3F {
            16..=21 => self.end(Picture::Key),
            0..=31 => self.end(self.slice()),
            33 => self.begin_sequence(header),
            // The header has a second byte.
            39 => Place::Sei(Sei::Body(1)),
            _ => Place::Between,
        }
    }

    fn begin_mpeg(&mut self, code: u8) -> Place {
        let is_gathering = !self.sequence.is_empty() && !self.is_sequence_whole;
        match code {
            MPEG_EXTENSION if is_gathering => {
                self.keep(&[1, code]);
                return Place::Sequence;
            }
            MPEG_SEQUENCE if self.sequence.is_empty() => {
                self.picture = Picture::Key;
                return Place::Sequence;
            }
            _ => {}
        }
        self.is_sequence_whole |= is_gathering;
        match code {
            0..=MPEG_SLICE_LAST if self.picture == Picture::Unknown => self.end(Picture::Dependent),
            0..=MPEG_SLICE_LAST => Place::Over,
            _ => Place::Between,
        }
    }

    fn begin_sequence(&mut self, header: u8) -> Place {
        if !self.sequence.is_empty() {
            return Place::Between;
        }
        self.keep(&[header]);
        Place::Sequence
    }

    /// A start code was read. An MPEG sequence header may go on behind it, and a zero at its end is its own.
    fn end_unit(&mut self) {
        if self.place != Place::Sequence || self.syntax == Syntax::Mpeg {
            return;
        }
        while self.sequence.pop_if(|byte| *byte == 0).is_some() {}
        self.is_sequence_whole = true;
    }

    fn keep(&mut self, bytes: &[u8]) {
        let room = SEQUENCE_BYTES_MAX - self.sequence.len().min(SEQUENCE_BYTES_MAX);
        let kept = bytes.get(..room).unwrap_or(bytes);
        self.sequence.extend_from_slice(kept);
    }

    /// What a picture is whose first slice needs other pictures.
    fn slice(&self) -> Picture {
        if self.has_recovery && self.is_sequence_whole {
            Picture::Recovery
        } else {
            Picture::Dependent
        }
    }

    fn end(&mut self, picture: Picture) -> Place {
        self.picture = picture;
        Place::Over
    }
}

impl Default for PictureScan {
    fn default() -> Self {
        Self::new()
    }
}

/// Where in a PES packet the next byte stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// Between units, or in one that says nothing here.
    Between,
    /// Behind a start code.
    Code,
    /// In the fixed part of the PES header, so many bytes of which were read.
    Header(u8),
    /// In the optional part of the PES header, so many bytes of which are left.
    Options(u8),
    /// Nothing is read any more.
    Over,
    Sei(Sei),
    /// In a parameter set.
    Sequence,
}

/// Where in a SEI unit the next byte stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sei {
    /// In a message, so many bytes of which are left.
    Body(u32),
    /// In the kind of a message, or in its length; both are sums of bytes up to the first that is not 255.
    Kind(u32),
    Length(u32),
}

impl Sei {
    /// The place behind `byte`; `None` if it makes the message a recovery point.
    fn after(self, byte: u8) -> Option<Self> {
        let sum = |so_far: u32| so_far.saturating_add(u32::from(byte));
        Some(match self {
            Self::Kind(so_far) if byte == 0xFF => Self::Kind(sum(so_far)),
            Self::Kind(so_far) if sum(so_far) == SEI_RECOVERY_POINT => return None,
            Self::Kind(_) => Self::Length(0),
            Self::Length(so_far) if byte == 0xFF => Self::Length(sum(so_far)),
            Self::Length(so_far) if sum(so_far) > 0 => Self::Body(sum(so_far)),
            Self::Body(left) if left > 1 => Self::Body(left - 1),
            Self::Length(_) | Self::Body(_) => Self::Kind(0),
        })
    }
}

/// Where the 1 stands that ends the first start code, `zeros` of which may stand before these bytes.
///
/// Looks at every third byte only where there is no zero.
fn start_code(zeros: usize, bytes: &[u8]) -> Option<usize> {
    match (zeros, bytes) {
        (2.., [1, ..]) => return Some(0),
        (1.., [0, 1, ..]) => return Some(1),
        _ => {}
    }
    let mut at = 2;
    while let Some(byte) = bytes.get(at) {
        match *byte {
            0 => at += 1,
            1 if bytes.get(at - 2..at) == Some(&[0, 0]) => return Some(at),
            _ => at += 3,
        }
    }
    None
}

/// The place behind a byte of the PES header's fixed part.
fn after_header_byte(read: u8, byte: u8) -> Place {
    let is_right = match read {
        0 | 1 => byte == 0,
        2 => byte == 1,
        3 => !BARE_STREAM_IDS.contains(&byte),
        6 => byte & 0xC0 == 0x80,
        _ => true,
    };
    match read {
        _ if !is_right => Place::Over,
        PES_LENGTH_AT if byte > 0 => Place::Options(byte),
        PES_LENGTH_AT => Place::Between,
        _ => Place::Header(read + 1),
    }
}

/// Most bytes that are kept of a parameter set; with every scaling list written out it stays below.
pub const SEQUENCE_BYTES_MAX: usize = 1024;

/// Where the PES header tells how long its optional part is.
const PES_LENGTH_AT: u8 = 8;

/// Stream ids of PES packets that have no optional part, none of which is video.
const BARE_STREAM_IDS: [u8; 8] = [0xBC, 0xBE, 0xBF, 0xF0, 0xF1, 0xF2, 0xF8, 0xFF];

const SEI_RECOVERY_POINT: u32 = 6;

/// A picture's own code is 0; its slices have those up to this one.
const MPEG_SLICE_LAST: u8 = 0xAF;
const MPEG_SEQUENCE: u8 = 0xB3;
const MPEG_EXTENSION: u8 = 0xB5;

#[cfg(test)]
#[expect(
    clippy::indexing_slicing,
    reason = "a test that reads out of bounds should fail"
)]
mod tests;
