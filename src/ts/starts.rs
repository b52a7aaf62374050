//! Which packets are join points. (pure)
//!
//! It is shown the packets that could be one, and those behind a video start that has not told yet; where chunks end
//! is decided by `chunker.rs`, and what the elementary stream says is read by `picture.rs`. The rule it protects: as
//! long as the sender marks join points itself, nobody else looks for them.

use super::facts::{Facts, Survey};
use super::packet::TsPacket;
use super::picture::{Picture, PictureScan, Syntax};
use super::psi::{Psi, Video};

/// The starts of one upstream's video.
///
/// A video start with the random-access flag is a join point. Until such a flag came, and again when none came for
/// [`PATIENCE_US`], each video start is read as far as its first slice: the picture tells. A recovery point counts
/// only after the caller's patience without any of these, and then until one comes. Tables count where there is no
/// video to start at, or after the patience without a recovery point too.
#[derive(Debug)]
pub struct Starts {
    video: Option<Video>,
    is_scrambled: bool,
    scan: PictureScan,
    /// The counter of the packet read last.
    counter: u8,
    /// Media time of the video start that was judged last.
    start_us: u64,
    /// Whether it is known what that start is; what is read on tells of the media only.
    is_decided: bool,
    /// Media time of the last flagged start.
    flagged_us: Option<u64>,
    /// Media time since when no picture came that needs nothing before it; set with the first packet.
    keyless_since_us: Option<u64>,
    /// The same, recovery points taken for such.
    pointless_since_us: Option<u64>,
    /// Whether recovery points do, because nothing better came.
    has_settled: bool,
    survey: Survey,
}

impl Starts {
    /// Begins without knowing of a video.
    #[must_use]
    pub fn new() -> Self {
        Self {
            video: None,
            is_scrambled: false,
            scan: PictureScan::new(),
            counter: 0,
            start_us: 0,
            is_decided: true,
            flagged_us: None,
            keyless_since_us: None,
            pointless_since_us: None,
            has_settled: false,
            survey: Survey::new(),
        }
    }

    /// The PID of the video.
    #[must_use]
    #[inline]
    pub fn video_pid(&self) -> Option<u16> {
        self.video.map(|video| video.pid)
    }

    /// Whether packets of the video PID are to be [followed](Self::follow).
    #[must_use]
    #[inline]
    pub fn is_reading(&self) -> bool {
        self.scan.is_reading()
    }

    /// What was seen of the media.
    #[must_use]
    pub fn facts(&self) -> &Facts {
        self.survey.facts()
    }

    /// Notes that packets arrive at this media time; to be called before the first packet of each arrival.
    pub fn arrive(&mut self, media_us: u64) {
        self.keyless_since_us.get_or_insert(media_us);
        self.pointless_since_us.get_or_insert(media_us);
    }

    /// Takes tables that have changed.
    pub fn note_tables(&mut self, psi: &Psi) {
        let video = psi.video();
        if video != self.video {
            self.video = video;
            self.is_scrambled = false;
            self.stop();
            self.survey.forget_video();
        }
        self.survey.note_tables(psi);
    }

    /// Notes whether the video's last payload was scrambled.
    #[inline]
    pub fn note_scrambling(&mut self, is_scrambled: bool) {
        self.is_scrambled = is_scrambled;
    }

    /// Judges a packet of the video PID in which a PES packet begins.
    pub fn judge(&mut self, packet: TsPacket<'_>, media_us: u64, patience_us: u64) -> Start {
        self.stop();
        let is_flagged = packet.random_access();
        if packet.is_scrambled() || !is_flagged && self.trusts_flags(media_us) {
            return Start::No;
        }
        (self.start_us, self.is_decided) = (media_us, false);
        self.counter = packet.continuity_counter();
        let syntax = self.syntax().filter(|_| !packet.transport_error());
        if let (Some(syntax), Some(payload)) = (syntax, packet.payload()) {
            self.scan.begin(syntax);
            let picture = self.read(syntax, payload);
            if !is_flagged {
                return self.weigh(picture, patience_us);
            }
        }
        if is_flagged {
            self.flagged_us = Some(media_us);
            return self.weigh(Picture::Key, patience_us);
        }
        Start::No
    }

    /// Reads on in the PES packet of a video start; tells what that start is.
    ///
    /// A packet that is damaged, scrambled or does not follow the one before it ends the reading. One that was sent
    /// twice counts once.
    pub fn follow(&mut self, packet: TsPacket<'_>, patience_us: u64) -> Start {
        let Some(payload) = packet.payload() else {
            return Start::Undecided;
        };
        let counter = packet.continuity_counter();
        let is_next = counter == (self.counter + 1) & 0x0F;
        if counter == self.counter {
            return Start::Undecided;
        }
        self.counter = counter;
        match self.syntax() {
            Some(syntax) if is_next && !packet.is_scrambled() && !packet.transport_error() => {
                let picture = self.read(syntax, payload);
                if self.is_decided {
                    return Start::No;
                }
                self.weigh(picture, patience_us)
            }
            _ => {
                self.stop();
                Start::No
            }
        }
    }

    /// Reads no further in the PES packet of the last video start.
    pub fn stop(&mut self) {
        self.scan.stop();
    }

    /// Whether a PAT packet is a join point.
    #[must_use]
    pub fn are_tables_good_enough(&self, media_us: u64, patience_us: u64) -> bool {
        let has_no_video = self.video.is_none() || self.is_scrambled;
        has_no_video || has_passed(self.pointless_since_us, media_us, patience_us)
    }

    fn syntax(&self) -> Option<Syntax> {
        Syntax::of(self.video?.stream_type)
    }

    fn trusts_flags(&self, media_us: u64) -> bool {
        self.flagged_us.is_some() && !has_passed(self.flagged_us, media_us, PATIENCE_US)
    }

    fn read(&mut self, syntax: Syntax, payload: &[u8]) -> Picture {
        let picture = self.scan.take(payload);
        if let Some(parameters) = self.scan.sequence() {
            self.survey.note_parameters(syntax, parameters);
        }
        picture
    }

    /// What a start is whose picture is this.
    fn weigh(&mut self, picture: Picture, patience_us: u64) -> Start {
        self.is_decided = picture != Picture::Unknown;
        match picture {
            Picture::Dependent => return Start::No,
            Picture::Key => {
                self.keyless_since_us = Some(self.start_us);
                self.has_settled = false;
            }
            Picture::Recovery => {
                self.has_settled |= has_passed(self.keyless_since_us, self.start_us, patience_us);
            }
            Picture::Unknown => return Start::Undecided,
        }
        self.pointless_since_us = Some(self.start_us);
        if picture == Picture::Recovery && !self.has_settled {
            return Start::No;
        }
        self.survey.note_join(self.start_us);
        Start::JoinPoint
    }
}

impl Default for Starts {
    fn default() -> Self {
        Self::new()
    }
}

/// What a packet is in which something begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// A viewer can be started at it.
    JoinPoint,
    /// No viewer can.
    No,
    /// The packets behind it will tell.
    Undecided,
}

fn has_passed(since_us: Option<u64>, media_us: u64, patience_us: u64) -> bool {
    since_us.is_some_and(|since_us| media_us.saturating_sub(since_us) >= patience_us)
}

/// How much media without a video join point makes a lesser one good enough, and without a flag flags no longer
/// trusted.
pub const PATIENCE_US: u64 = 10_000_000;

#[cfg(test)]
#[expect(
    clippy::indexing_slicing,
    reason = "a test that reads out of bounds should fail"
)]
mod tests {
    use super::*;
    use crate::ts::CHUNK_PACKETS;
    use crate::ts::facts::{AudioCodec, VideoCodec};
    use crate::ts::fixture::h264::{DELIMITER, IDR, PPS, RECOVERY, SLICE, SPS};
    use crate::ts::fixture::{PacketMaker, pes, units};
    use crate::ts::packet::PID_PAT;
    use crate::ts::relay::{AUDIO, Relay, TV, VIDEO};

    const SECOND_US: u64 = 1_000_000;

    /// What a picture is, as its encoder writes it.
    const KEY: &[&[u8]] = &[DELIMITER, SPS, PPS, IDR];
    const OPEN: &[&[u8]] = &[DELIMITER, SPS, PPS, RECOVERY, SLICE];
    const OTHER: &[&[u8]] = &[DELIMITER, SLICE];

    fn flagged(relay: &mut Relay, picture: &[&[u8]]) {
        let maker = PacketMaker::new(VIDEO).unit_start().random_access();
        relay.send(maker.exactly(&pes(&units(picture))), VIDEO);
    }

    /// Sends a picture and some more with arrival a second later; says how many join points there are by then.
    fn second(relay: &mut Relay, picture: &[&[u8]]) -> usize {
        relay.now_us += SECOND_US;
        relay.begin(&units(picture));
        relay.media(AUDIO, 30);
        relay.finish();
        relay.joins().len()
    }

    /// The PID and the arrival, in seconds, of every join point.
    fn joins(relay: &Relay) -> Vec<(u16, u64)> {
        let joins = relay.joins().into_iter();
        joins
            .map(|index| {
                let (closed, packets) = &relay.published[index];
                let pid = TsPacket::new(&packets[0]).pid();
                (pid, closed.arrived_us / SECOND_US)
            })
            .collect()
    }

    #[test]
    fn flags_are_trusted_once_there_was_one_and_until_they_stay_away() {
        let mut relay = Relay::new(CHUNK_PACKETS);
        relay.tables(TV);
        assert_eq!(second(&mut relay, KEY), 1, "no flag so far");
        flagged(&mut relay, KEY);
        for expected in [2; 9] {
            assert_eq!(second(&mut relay, KEY), expected, "at {}", relay.now_us);
        }
        assert_eq!(second(&mut relay, OTHER), 2);
        assert_eq!(second(&mut relay, KEY), 3, "ten seconds after the flag");
        assert_eq!(second(&mut relay, KEY), 4);
        flagged(&mut relay, OTHER);
        assert_eq!(second(&mut relay, KEY), 5, "the flag is right by itself");
        assert_eq!(joins(&relay).last(), Some(&(VIDEO, 13)));
    }

    #[test]
    fn a_new_upstream_has_to_earn_the_trust_again() {
        let mut relay = Relay::new(CHUNK_PACKETS);
        relay.tables(TV);
        flagged(&mut relay, KEY);
        assert_eq!(second(&mut relay, KEY), 1);
        relay.splice();
        relay.tables(TV);
        assert_eq!(second(&mut relay, KEY), 2);
    }

    #[test]
    fn hevc_and_mpeg_have_join_points_too_and_others_only_with_flags() {
        let hevc: (&[&[u8]], &[&[u8]]) = (&[&[21 << 1, 1]], &[&[1 << 1, 1]]);
        let mpeg: (&[&[u8]], &[&[u8]]) = (&[&[0xB3, 1]], &[&[0, 0x0F]]);
        for (stream_type, (key, other), is_read) in [
            (0x24, hevc, true),
            (0x01, mpeg, true),
            (0x02, mpeg, true),
            (0x1B, mpeg, false),
            (0x10, mpeg, false),
            (0x33, hevc, false),
            (0x42, mpeg, false),
        ] {
            let mut relay = Relay::new(CHUNK_PACKETS);
            relay.tables(&[(stream_type, VIDEO), (0x0F, AUDIO)]);
            assert_eq!(second(&mut relay, other), 0);
            let expected = usize::from(is_read);
            assert_eq!(second(&mut relay, key), expected, "type {stream_type:#x}");
            flagged(&mut relay, other);
            relay.finish();
            assert_eq!(relay.joins().len(), expected + 1);
        }
    }

    #[test]
    fn scrambled_and_damaged_starts_are_not_read() {
        let mut relay = Relay::new(CHUNK_PACKETS);
        relay.tables(TV);
        let key = pes(&units(KEY));
        let maker = || PacketMaker::new(VIDEO).unit_start().exactly(&key);
        relay.send(maker().scrambled(), VIDEO);
        let mut damaged = maker().counter(relay.count(VIDEO)).build();
        damaged[1] |= 0x80;
        relay.push(damaged);
        relay.send(
            PacketMaker::new(VIDEO).unit_start().adaptation_only(),
            VIDEO,
        );
        relay.finish();
        assert!(relay.joins().is_empty());
        relay.send(maker(), VIDEO);
        relay.finish();
        assert_eq!(relay.joins().len(), 1);
    }

    #[test]
    fn recovery_points_count_after_ten_seconds_and_then_until_a_key_picture() {
        let mut relay = Relay::new(CHUNK_PACKETS);
        relay.tables(TV);
        for at in 1..=9 {
            assert_eq!(second(&mut relay, OPEN), 0, "second {at}");
            relay.tables(TV);
        }
        second(&mut relay, OTHER);
        relay.tables(TV);
        for at in 11..=15 {
            assert_eq!(second(&mut relay, OPEN), at - 10, "second {at}");
            relay.tables(TV);
        }
        assert_eq!(second(&mut relay, KEY), 6);
        assert_eq!(second(&mut relay, OPEN), 6, "something better came");
        let expected: Vec<_> = (11..=16).map(|at| (VIDEO, at)).collect();
        assert_eq!(joins(&relay), expected, "and no tables");
    }

    #[test]
    fn tables_count_when_recovery_points_stay_away_as_well() {
        let mut relay = Relay::new(CHUNK_PACKETS);
        relay.tables(TV);
        for _ in 0..5 {
            second(&mut relay, OPEN);
        }
        for _ in 6..=15 {
            second(&mut relay, OTHER);
            relay.tables(TV);
        }
        relay.finish();
        assert_eq!(joins(&relay), [(PID_PAT, 15)]);
    }

    #[test]
    fn after_a_splice_a_recovery_point_counts_after_three_seconds() {
        let mut relay = Relay::with_history();
        relay.finish();
        relay.splice();
        relay.now_us = 100 * SECOND_US;
        relay.tables(TV);
        for expected in [1, 1, 2, 3, 4] {
            assert_eq!(second(&mut relay, OPEN), expected, "at {}", relay.now_us);
        }
        let expected = [(VIDEO, 103), (VIDEO, 104), (VIDEO, 105)];
        assert_eq!(joins(&relay)[1..], expected);
    }

    #[test]
    fn the_media_is_known_with_and_without_flags() {
        for has_flags in [false, true] {
            let mut relay = Relay::new(CHUNK_PACKETS);
            assert_eq!(*relay.chunker.facts(), Facts::default());
            relay.tables(TV);
            let facts = relay.chunker.facts();
            assert_eq!(facts.video, Some(VideoCodec::H264));
            assert_eq!(facts.audio, [AudioCodec::Aac]);
            assert_eq!(facts.sequence, None);
            for _ in 0..3 {
                relay.now_us += 2 * SECOND_US;
                if has_flags {
                    flagged(&mut relay, &[DELIMITER]);
                    relay.media(AUDIO, 3);
                    relay.go_on(&units(&[SPS, PPS]));
                    relay.go_on(&units(&[IDR]));
                } else {
                    relay.begin(&units(&[DELIMITER, SPS]));
                    relay.go_on(&units(&[PPS, IDR]));
                }
                relay.media(AUDIO, 20);
            }
            let facts = relay.chunker.facts().clone();
            let sequence = facts.sequence.unwrap();
            assert_eq!((sequence.width, sequence.height), (640, 360));
            assert_eq!(facts.join_interval_us, Some(2 * SECOND_US));
            relay.finish();
            assert_eq!(relay.joins().len(), 3);
            relay.splice();
            assert_eq!(*relay.chunker.facts(), Facts::default());
        }
    }

    #[test]
    fn another_video_has_facts_of_its_own() {
        let mut relay = Relay::new(CHUNK_PACKETS);
        relay.tables(TV);
        relay.begin(&units(KEY));
        second(&mut relay, KEY);
        assert_eq!(relay.chunker.facts().join_interval_us, Some(SECOND_US));
        relay.tables(&[(0x24, VIDEO), (0x81, AUDIO)]);
        let expected = Facts {
            video: Some(VideoCodec::Hevc),
            audio: vec![AudioCodec::Ac3],
            ..Facts::default()
        };
        assert_eq!(*relay.chunker.facts(), expected);
        relay.begin(&units(KEY));
        relay.finish();
        assert_eq!(relay.chunker.facts().sequence, None, "it is no HEVC");
    }
}
