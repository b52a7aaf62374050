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
mod tests;
