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
/// Bound: at most [`SEQUENCE_BYTES_MAX`] bytes of a parameter set are kept; the rest of a longer one is left out.
#[derive(Debug)]
pub struct PictureScan {
    syntax: Syntax,
    place: Place,
    /// The bytes before, the last one lowest.
    tail: u32,
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
            tail: TAIL_START,
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
        self.tail = TAIL_START;
        self.picture = Picture::Unknown;
        self.has_recovery = false;
        self.sequence.clear();
        self.is_sequence_whole = false;
    }

    /// Takes the next payload of the PES packet; answers what is known by now.
    pub fn take(&mut self, payload: &[u8]) -> Picture {
        for byte in payload {
            if self.place == Place::Over {
                break;
            }
            self.step(*byte);
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

    fn step(&mut self, byte: u8) {
        match self.place {
            Place::Header(read) => {
                self.place = after_header_byte(read, byte);
                if self.place == Place::Over {
                    self.picture = Picture::Dependent;
                }
                return;
            }
            Place::Options(left) => {
                self.place = if left > 1 {
                    Place::Options(left - 1)
                } else {
                    Place::Between
                };
                return;
            }
            _ => {}
        }
        self.tail = self.tail << 8 | u32::from(byte);
        if self.tail & 0x00FF_FFFF == 0x00_0001 {
            self.end_unit();
            self.place = Place::Code;
            return;
        }
        match self.place {
            Place::Code => self.begin_unit(byte),
            Place::Sequence => self.keep(byte),
            // A byte that was put in so that no start code shows up within the unit.
            Place::Sei(_) if self.tail & 0x00FF_FFFF == 0x00_0003 => {}
            Place::Sei(sei) => match sei.after(byte) {
                Some(next) => self.place = Place::Sei(next),
                None => {
                    self.has_recovery = true;
                    self.place = Place::Between;
                }
            },
            _ => {}
        }
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
                self.keep(1);
                self.keep(code);
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
        self.keep(header);
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

    fn keep(&mut self, byte: u8) {
        if self.sequence.len() < SEQUENCE_BYTES_MAX {
            self.sequence.push(byte);
        }
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

/// No part of a start code.
const TAIL_START: u32 = u32::MAX;

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
mod tests {
    use super::*;
    use crate::ts::fixture::h264::{DELIMITER, IDR, PPS, RECOVERY, SLICE, SPS};
    use crate::ts::fixture::{Dice, escaped, pes, pes_with_options, units as stream};

    fn scan(syntax: Syntax, payloads: &[&[u8]]) -> (Picture, Option<Vec<u8>>) {
        let mut scan = PictureScan::new();
        scan.begin(syntax);
        let mut picture = Picture::Unknown;
        for payload in payloads {
            picture = scan.take(payload);
        }
        (picture, scan.sequence().map(<[u8]>::to_vec))
    }

    fn picture(syntax: Syntax, units: &[&[u8]]) -> Picture {
        scan(syntax, &[&pes(&stream(units))]).0
    }

    #[test]
    fn h264_tells_at_its_first_slice() {
        let h264 = |units: &[&[u8]]| picture(Syntax::H264, units);
        assert_eq!(h264(&[DELIMITER, SPS, PPS, IDR]), Picture::Key);
        assert_eq!(h264(&[DELIMITER, SLICE, IDR]), Picture::Dependent);
        assert_eq!(h264(&[IDR]), Picture::Key);
        assert_eq!(h264(&[DELIMITER, SPS, PPS]), Picture::Unknown);
        for kind in 0..32 {
            let expected = match kind {
                5 => Picture::Key,
                1..=4 => Picture::Dependent,
                _ => Picture::Unknown,
            };
            assert_eq!(h264(&[&[0x60 | kind, 0x80]]), expected, "type {kind}");
        }
    }

    #[test]
    fn hevc_begins_at_every_picture_that_needs_none_before_it() {
        for kind in 0..64 {
            let expected = match kind {
                16..=21 => Picture::Key,
                0..=31 => Picture::Dependent,
                _ => Picture::Unknown,
            };
            let units: [&[u8]; 2] = [&[35 << 1, 1, 0x50], &[kind << 1, 1, 0x80]];
            assert_eq!(picture(Syntax::Hevc, &units), expected, "type {kind}");
        }
    }

    #[test]
    fn mpeg_begins_at_a_sequence_header_and_not_at_a_group_of_pictures() {
        let mpeg = |units: &[&[u8]]| picture(Syntax::Mpeg, units);
        assert_eq!(mpeg(&[&[0xB3, 0x16, 0x01]]), Picture::Key);
        assert_eq!(
            mpeg(&[&[0xB8, 0x00, 0x08], &[0x00, 0x00]]),
            Picture::Dependent
        );
        assert_eq!(mpeg(&[&[0x00, 0x01], &[0xB3, 0x16]]), Picture::Dependent);
        assert_eq!(mpeg(&[&[0xAF, 0x01]]), Picture::Dependent, "a slice");
        assert_eq!(mpeg(&[&[0xB8, 0x00, 0x08]]), Picture::Unknown);
    }

    #[test]
    fn a_recovery_point_counts_with_the_parameter_set_it_needs() {
        let h264 = |units: &[&[u8]]| picture(Syntax::H264, units);
        assert_eq!(h264(&[SPS, RECOVERY, SLICE]), Picture::Recovery);
        assert_eq!(h264(&[RECOVERY, SPS, SLICE]), Picture::Recovery);
        assert_eq!(h264(&[RECOVERY, SLICE]), Picture::Dependent);
        assert_eq!(h264(&[SPS, SLICE]), Picture::Dependent);
        assert_eq!(h264(&[SPS, RECOVERY, IDR]), Picture::Key);
        let hevc: [&[u8]; 3] = [
            &[33 << 1, 1, 0x42],
            &[39 << 1, 1, 0x06, 0x02, 0x9A, 0x80],
            &[1 << 1, 1, 0x80],
        ];
        assert_eq!(picture(Syntax::Hevc, &hevc), Picture::Recovery);
    }

    #[test]
    fn a_recovery_point_is_found_behind_other_messages_and_nowhere_else() {
        let long = [&[5, 0xFF, 45][..], &[6; 300]].concat();
        let zeros = [&[5, 6][..], &[0, 0, 1, 0, 0, 6]].concat();
        let huge_kind = [&[0xFF, 6][..], &[1, 6]].concat();
        let recovery = &[6, 1, 0xC4, 0x80][..];
        for (messages, expected) in [
            (vec![&[1, 2, 6, 6][..], recovery], Picture::Recovery),
            (vec![&[0, 0], recovery], Picture::Recovery),
            (vec![&long, recovery], Picture::Recovery),
            (vec![&zeros, recovery], Picture::Recovery),
            (vec![&huge_kind, recovery], Picture::Recovery),
            (vec![&long, &[0x80]], Picture::Dependent),
            (vec![&zeros, &[0x80]], Picture::Dependent),
            (vec![&huge_kind, &[0x80]], Picture::Dependent),
            (vec![&[0xFF, 0xFF], &[0xFF, 0xFF, 6]], Picture::Dependent),
        ] {
            let sei = [&[0x06][..], &escaped(&messages.concat())].concat();
            let seen = picture(Syntax::H264, &[SPS, &sei, SLICE]);
            assert_eq!(seen, expected, "{sei:?}");
        }
    }

    #[test]
    fn a_parameter_set_comes_out_whole_and_without_what_follows() {
        let bytes = pes(&[&stream(&[SPS])[..], &[0, 0], &stream(&[PPS, IDR])].concat());
        assert_eq!(scan(Syntax::H264, &[&bytes]).1.as_deref(), Some(SPS));
        let other: &[u8] = &[0x67, 0x64, 0x00, 0x1F];
        let twice = pes(&stream(&[SPS, other, PPS, IDR]));
        assert_eq!(scan(Syntax::H264, &[&twice]).1.as_deref(), Some(SPS));
        let cut = pes(&stream(&[SPS]));
        assert_eq!(scan(Syntax::H264, &[&cut]).1, None, "its end was not seen");
    }

    #[test]
    fn an_mpeg_sequence_header_comes_with_its_extensions() {
        let header: &[u8] = &[0xB3, 0x2D, 0x02, 0x40, 0x33, 0x24, 0x9F, 0x23, 0x00];
        let extension: &[u8] = &[0xB5, 0x14, 0x82, 0x00, 0x01, 0x00, 0x00];
        let units = stream(&[header, extension, &[0xB8, 0x00], &[0x00, 0x0F]]);
        let (picture, sequence) = scan(Syntax::Mpeg, &[&pes(&units)]);
        let expected = [&header[1..], &[0, 0, 1], extension, &[0, 0]].concat();
        assert_eq!(picture, Picture::Key);
        assert_eq!(sequence, Some(expected));
    }

    #[test]
    fn a_parameter_set_without_end_is_kept_up_to_a_bound() {
        let long = [SPS, &[0x55; 5 * SEQUENCE_BYTES_MAX]].concat();
        let bytes = pes(&stream(&[&long, IDR]));
        let (picture, sequence) = scan(Syntax::H264, &[&bytes]);
        assert_eq!(picture, Picture::Key);
        assert_eq!(sequence.unwrap(), long[..SEQUENCE_BYTES_MAX]);
    }

    #[test]
    fn cuts_do_not_matter() {
        let mpeg: [&[u8]; 4] = [&[0xB3, 1, 0, 0], &[0xB5, 0x14, 0], &[0xB8, 0], &[0, 1]];
        let hevc: [&[u8]; 4] = [
            &[33 << 1, 1, 0x42, 0, 0, 3, 0],
            &[39 << 1, 1, 1, 3, 0, 0, 3, 6, 6, 1, 0xC4],
            &[1 << 1, 1],
            &[19 << 1, 1],
        ];
        for (syntax, units) in [
            (Syntax::H264, stream(&[DELIMITER, SPS, PPS, IDR, SLICE])),
            (Syntax::H264, stream(&[RECOVERY, SPS, PPS, SLICE, IDR])),
            (Syntax::Hevc, stream(&hevc)),
            (Syntax::Mpeg, stream(&mpeg)),
        ] {
            let bytes = pes_with_options(17, &units);
            let whole = scan(syntax, &[&bytes]);
            assert_ne!(whole.0, Picture::Unknown);
            assert!(whole.1.is_some());
            for at in 0..bytes.len() {
                let (front, rest) = bytes.split_at(at);
                assert_eq!(scan(syntax, &[front, rest]), whole, "cut at {at}");
            }
            let single: Vec<&[u8]> = bytes.chunks(1).collect();
            assert_eq!(scan(syntax, &single), whole);
        }
    }

    #[test]
    fn the_header_of_a_pes_packet_is_read_over_however_long_it_is() {
        for options in 0..=255 {
            let bytes = pes_with_options(options, &stream(&[IDR]));
            assert_eq!(scan(Syntax::H264, &[&bytes]).0, Picture::Key, "{options}");
        }
        // What looks like a start code in the header is none.
        let mut bytes = pes_with_options(20, &stream(&[SLICE]));
        bytes[14..18].copy_from_slice(&[0, 0, 1, 0x65]);
        assert_eq!(scan(Syntax::H264, &[&bytes]).0, Picture::Dependent);
    }

    #[test]
    fn what_is_no_pes_packet_is_not_read() {
        let right = pes(&stream(&[IDR]));
        for (at, wrong) in [
            (0, 1),
            (1, 1),
            (2, 0),
            (3, 0xBE),
            (3, 0xBF),
            (6, 0x00),
            (6, 0xFF),
        ] {
            let mut bytes = right.clone();
            bytes[at] = wrong;
            assert_eq!(
                scan(Syntax::H264, &[&bytes]).0,
                Picture::Dependent,
                "{wrong:#x} at {at}"
            );
        }
        let mut scan = PictureScan::new();
        assert_eq!(scan.take(&right), Picture::Dependent, "nothing has begun");
        assert!(!scan.is_reading());
    }

    #[test]
    fn reading_ends_with_the_first_slice() {
        let mut scan = PictureScan::new();
        scan.begin(Syntax::H264);
        assert_eq!(scan.take(&pes(&stream(&[DELIMITER]))), Picture::Unknown);
        assert!(scan.is_reading());
        assert_eq!(scan.take(&stream(&[SLICE])), Picture::Dependent);
        assert!(!scan.is_reading());
        assert_eq!(scan.take(&stream(&[IDR])), Picture::Dependent);
    }

    #[test]
    fn any_bytes_in_any_cut_are_answered_alike() {
        let mut dice = Dice::new(5);
        for _ in 0..3_000 {
            let mut video = vec![0; dice.below(400)];
            dice.fill(&mut video);
            video.iter_mut().for_each(|byte| {
                if *byte > 40 {
                    *byte %= 8;
                }
            });
            let syntax = [Syntax::H264, Syntax::Hevc, Syntax::Mpeg][dice.below(3)];
            let bytes = pes(&video);
            let cut = dice.below(bytes.len() + 1);
            let (front, rest) = bytes.split_at(cut);
            assert_eq!(scan(syntax, &[&bytes]), scan(syntax, &[front, rest]));
        }
    }
}
