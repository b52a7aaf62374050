//! What an operator is told about a channel's media. (pure)
//!
//! It gathers and hands out; tables are read by `psi.rs`, parameter sets by `sequence.rs`, and which packets are join
//! points is known to `starts.rs`. The rule it protects: everything told was seen in the upstream that runs now, and a
//! parameter set is read once however often it is repeated.
//!
//! Source: ISO/IEC 13818-1 table 2-34, ATSC A/52 annex A (stream types), ETSI EN 300 468 (tags).

use super::picture::{SEQUENCE_BYTES_MAX, Syntax};
use super::psi::{Psi, Stream};
use super::sequence::Sequence;

/// The media of a channel's first program.
///
/// Shape: empty until tables came, and again after a change of the upstream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// How the video is coded; `None` if there is none.
    pub video: Option<VideoCodec>,
    /// Size and rate of its pictures, for H.264, HEVC, MPEG-1 and MPEG-2, once a join point brought them.
    pub sequence: Option<Sequence>,
    /// Media time between the last two join points of the video.
    ///
    /// Unit: microseconds.
    pub join_interval_us: Option<u64>,
    /// How the sound is coded, one entry for each in the table's order.
    ///
    /// Bound: as many as a PMT has room for, some 200.
    pub audio: Vec<AudioCodec>,
}

/// How a video is coded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum VideoCodec {
    /// Chinese AVS.
    Avs,
    /// Dirac.
    Dirac,
    /// H.264.
    H264,
    /// H.265.
    Hevc,
    /// MPEG-1.
    Mpeg1,
    /// MPEG-2.
    Mpeg2,
    /// MPEG-4 part 2.
    Mpeg4,
    /// H.266.
    Vvc,
}

impl VideoCodec {
    /// The codec of a PMT's `stream_type`.
    #[must_use]
    pub const fn of(stream_type: u8) -> Option<Self> {
        match stream_type {
            0x01 => Some(Self::Mpeg1),
            0x02 => Some(Self::Mpeg2),
            0x10 => Some(Self::Mpeg4),
            0x1B => Some(Self::H264),
            0x24 => Some(Self::Hevc),
            0x33 => Some(Self::Vvc),
            0x42 => Some(Self::Avs),
            0xD1 => Some(Self::Dirac),
            _ => None,
        }
    }

    /// What people call it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Avs => "AVS",
            Self::Dirac => "Dirac",
            Self::H264 => "H.264",
            Self::Hevc => "HEVC",
            Self::Mpeg1 => "MPEG-1",
            Self::Mpeg2 => "MPEG-2",
            Self::Mpeg4 => "MPEG-4",
            Self::Vvc => "VVC",
        }
    }
}

/// How a sound is coded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AudioCodec {
    /// AAC in any of its wrappings.
    Aac,
    /// Dolby Digital.
    Ac3,
    /// DTS.
    Dts,
    /// Dolby Digital Plus.
    Eac3,
    /// MPEG-1 or MPEG-2 audio, mostly layer II.
    Mpeg,
}

impl AudioCodec {
    /// Every one, in order.
    pub const ALL: [Self; 5] = [Self::Aac, Self::Ac3, Self::Dts, Self::Eac3, Self::Mpeg];

    /// The codec of an elementary stream, by its type or, where that is private, by its descriptor.
    #[must_use]
    pub const fn of(stream: &Stream) -> Option<Self> {
        match (stream.stream_type, stream.sound_tag) {
            (0x03 | 0x04, _) => Some(Self::Mpeg),
            (0x0F | 0x11 | 0x1C, _) | (0x06, Some(0x7C)) => Some(Self::Aac),
            (0x81, _) | (0x06, Some(0x6A)) => Some(Self::Ac3),
            (0x87, _) | (0x06, Some(0x7A)) => Some(Self::Eac3),
            (0x06, Some(0x7B)) => Some(Self::Dts),
            _ => None,
        }
    }

    /// What people call it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Aac => "AAC",
            Self::Ac3 => "AC-3",
            Self::Dts => "DTS",
            Self::Eac3 => "E-AC-3",
            Self::Mpeg => "MPEG audio",
        }
    }
}

/// Gathers the facts of one upstream.
///
/// Ownership: keeps a copy of the parameter set that was read last, in room that is taken once.
#[derive(Debug)]
pub struct Survey {
    facts: Facts,
    parameters: Vec<u8>,
    joined_us: Option<u64>,
}

impl Survey {
    /// Begins without knowing anything.
    #[must_use]
    pub fn new() -> Self {
        Self {
            facts: Facts::default(),
            parameters: Vec::with_capacity(SEQUENCE_BYTES_MAX),
            joined_us: None,
        }
    }

    /// What is known.
    #[must_use]
    pub fn facts(&self) -> &Facts {
        &self.facts
    }

    /// Takes tables that have changed.
    pub fn note_tables(&mut self, psi: &Psi) {
        let video = psi
            .video()
            .and_then(|video| VideoCodec::of(video.stream_type));
        self.facts.video = video;
        self.facts.audio.clear();
        self.facts
            .audio
            .extend(psi.streams().iter().filter_map(AudioCodec::of));
    }

    /// Forgets what was known of the video: another one has begun.
    pub fn forget_video(&mut self) {
        self.facts.sequence = None;
        self.facts.join_interval_us = None;
        self.parameters.clear();
        self.joined_us = None;
    }

    /// Takes a parameter set, and reads it if it is not the one taken last.
    pub fn note_parameters(&mut self, syntax: Syntax, parameters: &[u8]) {
        if self.parameters == parameters {
            return;
        }
        self.parameters.clear();
        self.parameters.extend_from_slice(parameters);
        self.facts.sequence = Sequence::read(syntax, parameters);
    }

    /// Takes a join point of the video.
    pub fn note_join(&mut self, media_us: u64) {
        if let Some(before_us) = self.joined_us.replace(media_us) {
            self.facts.join_interval_us = Some(media_us.saturating_sub(before_us));
        }
    }
}

impl Default for Survey {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ts::PACKET_BYTES;
    use crate::ts::fixture::{pat, pmt, section, section_packets};
    use crate::ts::packet::TsPacket;

    fn psi(packets: &[[u8; PACKET_BYTES]]) -> Psi {
        let mut psi = Psi::new();
        for packet in packets.iter().map(TsPacket::new) {
            psi.push(packet);
        }
        psi
    }

    /// 160x160 at 25 frames a second, MPEG-1.
    const SMALL: &[u8] = &[0x0A, 0x00, 0xA0, 0x13, 0xFF, 0xFF, 0xE0, 0x18];
    /// 320x160.
    const WIDE: &[u8] = &[0x14, 0x00, 0xA0, 0x13, 0xFF, 0xFF, 0xE0, 0x18];

    #[test]
    fn tables_tell_the_codecs() {
        let mut survey = Survey::new();
        assert_eq!(*survey.facts(), Facts::default());
        let streams = [
            (0x24, 0x40),
            (0x0F, 0x41),
            (0x05, 0x42),
            (0x81, 0x43),
            (0x03, 0x44),
        ];
        survey.note_tables(&psi(&[
            pat(0, &[(1, 0x30)]),
            pmt(0x30, 0, 1, 0x40, &streams),
        ]));
        let facts = survey.facts();
        assert_eq!(facts.video, Some(VideoCodec::Hevc));
        assert_eq!(
            facts.audio,
            [AudioCodec::Aac, AudioCodec::Ac3, AudioCodec::Mpeg]
        );
        survey.note_tables(&psi(&[
            pat(0, &[(1, 0x30)]),
            pmt(0x30, 0, 1, 0x41, &[(0x11, 0x41)]),
        ]));
        assert_eq!(survey.facts().video, None);
        assert_eq!(survey.facts().audio, [AudioCodec::Aac]);
    }

    #[test]
    fn private_streams_are_told_by_their_descriptor() {
        let mut body = vec![0xE0, 0x40, 0xF0, 0x00];
        for (pid, descriptors) in [
            (0x41, &[0x0A, 4, b'd', b'e', b'u', 0, 0x6A, 1, 0][..]),
            (0x42, &[0x7A, 1, 0]),
            (0x43, &[0x56, 0]),
            (0x44, &[0x7B, 0]),
            (0x45, &[0x52, 9, 1, 0x7C]),
            (0x46, &[0x7C, 0]),
        ] {
            let length = u8::try_from(descriptors.len()).unwrap();
            body.extend_from_slice(&[0x06, 0xE0, pid, 0xF0, length]);
            body.extend_from_slice(descriptors);
        }
        let mut packets = vec![pat(0, &[(1, 0x30)])];
        packets.extend(section_packets(0x30, 0, &section(0x02, 1, 0, &body)));
        let mut survey = Survey::new();
        survey.note_tables(&psi(&packets));
        let expected = [
            AudioCodec::Ac3,
            AudioCodec::Eac3,
            AudioCodec::Dts,
            AudioCodec::Aac,
        ];
        assert_eq!(survey.facts().audio, expected);
    }

    #[test]
    fn every_video_of_a_table_has_a_name() {
        for stream_type in 0..=255 {
            let tables = [
                pat(0, &[(1, 0x30)]),
                pmt(0x30, 0, 1, 0x40, &[(stream_type, 0x40)]),
            ];
            let is_video = psi(&tables).video().is_some();
            let codec = VideoCodec::of(stream_type);
            assert_eq!(codec.is_some(), is_video, "stream type {stream_type:#04x}");
            assert!(codec.is_none_or(|codec| !codec.name().is_empty()));
        }
        assert_eq!(VideoCodec::H264.name(), "H.264");
        assert_eq!(AudioCodec::Eac3.name(), "E-AC-3");
    }

    #[test]
    fn a_parameter_set_is_read_when_it_changes() {
        let mut survey = Survey::new();
        let width = |survey: &Survey| survey.facts().sequence.map(|sequence| sequence.width);
        survey.note_parameters(Syntax::Mpeg, SMALL);
        assert_eq!(width(&survey), Some(160));
        // Read as another syntax it would say something else, if it were read again.
        survey.note_parameters(Syntax::Hevc, SMALL);
        assert_eq!(width(&survey), Some(160));
        survey.note_parameters(Syntax::Mpeg, WIDE);
        assert_eq!(width(&survey), Some(320));
        survey.note_parameters(Syntax::Mpeg, &[0x14]);
        assert_eq!(width(&survey), None, "what is not understood is not known");
        survey.note_parameters(Syntax::Mpeg, SMALL);
        survey.forget_video();
        assert_eq!(width(&survey), None);
        survey.note_parameters(Syntax::Mpeg, SMALL);
        assert_eq!(width(&survey), Some(160));
    }

    #[test]
    fn the_interval_is_that_of_the_last_two_join_points() {
        let mut survey = Survey::new();
        survey.note_join(5_000_000);
        assert_eq!(survey.facts().join_interval_us, None);
        survey.note_join(7_000_000);
        survey.note_join(7_500_000);
        assert_eq!(survey.facts().join_interval_us, Some(500_000));
        survey.forget_video();
        survey.note_join(9_000_000);
        assert_eq!(survey.facts().join_interval_us, None);
    }
}
