//! What a scrape says of a channel's media. (pure)
//!
//! The facts are gathered in `channel::media`. The rule it protects: what can be added up is told of all channels of a
//! label, the rest only where a label is one channel, and nothing is told of a channel that is closed.

use std::cell::RefCell;
use std::rc::{Rc, Weak};

use crate::channel::media::Media;
use crate::metrics::families::{self, Family};
use crate::metrics::{Label, Labels, Sample};
use crate::ts::facts::{AudioCodec, Facts, VideoCodec};

/// The media of the channels that are open under one label.
#[derive(Debug, Default)]
pub struct OpenMedia(RefCell<Vec<Weak<RefCell<Media>>>>);

impl OpenMedia {
    /// Adds the media of a channel, which is told of for as long as its owner keeps it.
    ///
    /// Bound: as many as are open; those of closed channels are forgotten here.
    pub fn watch(&self, media: &Rc<RefCell<Media>>) {
        let mut open = self.0.borrow_mut();
        open.retain(|other| other.strong_count() > 0);
        open.push(Rc::downgrade(media));
    }

    pub(super) fn sample(&self, channel: Label, into: &mut Vec<Sample>) {
        let labels = Labels {
            channel: Some(channel),
            ..Labels::default()
        };
        let (mut bits_per_second, mut ring_us) = (0, 0);
        let open: Vec<_> = self.0.borrow().iter().filter_map(Weak::upgrade).collect();
        for media in &open {
            let media = media.borrow();
            bits_per_second += media.bits_per_second;
            ring_us += media.ring_us;
        }
        into.push(Sample::count(
            &families::TS_BITRATE,
            labels,
            bits_per_second,
        ));
        into.push(Sample::millionths(&families::RING_MEDIA, labels, ring_us));
        // A channel that was closed and opened again is there twice for a moment.
        if let (Label::Channel(_), Some(newest)) = (channel, open.last()) {
            tell(&newest.borrow(), labels, into);
        }
    }
}

/// How the media of a channel is coded, as labels.
///
/// Bound: 288 values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Codecs {
    video: Option<VideoCodec>,
    /// Whether each of [`AudioCodec::ALL`] is there.
    audio: [bool; AudioCodec::ALL.len()],
}

impl Codecs {
    /// Those of a stream; `None` until its tables came.
    #[must_use]
    pub fn of(facts: &Facts) -> Option<Self> {
        let is_known = facts.video.is_some() || !facts.audio.is_empty();
        is_known.then(|| Self {
            video: facts.video,
            audio: AudioCodec::ALL.map(|codec| facts.audio.contains(&codec)),
        })
    }

    /// Value of the label `video`.
    #[must_use]
    pub fn video(self) -> &'static str {
        self.video.map_or(NONE, VideoCodec::name)
    }

    /// Value of the label `audio`: each codec once, in one order.
    #[must_use]
    pub fn audio(self) -> String {
        let all = AudioCodec::ALL.into_iter().zip(self.audio);
        let there = all.filter(|(_, is_there)| *is_there);
        let names: Vec<_> = there.map(|(codec, _)| codec.name()).collect();
        if names.is_empty() {
            return NONE.to_owned();
        }
        names.join("+")
    }
}

/// Tells of one channel what cannot be added to that of others.
fn tell(media: &Media, labels: Labels, into: &mut Vec<Sample>) {
    let mut count = |family: &'static Family, count: u64| {
        into.push(Sample::count(family, labels, count));
    };
    count(
        &families::UPSTREAM_IN_USE,
        media.upstream.unwrap_or(0) as u64,
    );
    if let Some(sequence) = media.facts.sequence {
        count(&families::VIDEO_WIDTH, u64::from(sequence.width));
        count(&families::VIDEO_HEIGHT, u64::from(sequence.height));
    }
    let rate = media.facts.sequence.and_then(|sequence| sequence.rate);
    let mut millionths = |family: &'static Family, millionths: u64| {
        into.push(Sample::millionths(family, labels, millionths));
    };
    if let Some(rate) = rate {
        let (frames, seconds) = (u64::from(rate.frames), u64::from(rate.seconds).max(1));
        let nearest = (frames * 1_000_000 + seconds / 2) / seconds;
        millionths(&families::VIDEO_FRAME_RATE, nearest);
    }
    if let Some(interval_us) = media.facts.join_interval_us {
        millionths(&families::JOIN_INTERVAL, interval_us);
    }
    if let Some(codecs) = Codecs::of(&media.facts) {
        let labels = Labels {
            codecs: Some(codecs),
            ..labels
        };
        into.push(Sample::count(&families::MEDIA_INFO, labels, 1));
    }
}

/// What is said of media that is not there, or is coded in a way that is not known.
const NONE: &str = "none";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::text;
    use crate::ts::sequence::{FrameRate, Sequence};

    fn media(upstream: usize) -> Rc<RefCell<Media>> {
        let facts = Facts {
            video: Some(VideoCodec::H264),
            sequence: Some(Sequence {
                width: 1920,
                height: 1080,
                rate: Some(FrameRate {
                    frames: 30_000,
                    seconds: 1_001,
                }),
            }),
            join_interval_us: Some(480_000),
            audio: vec![AudioCodec::Eac3, AudioCodec::Aac, AudioCodec::Aac],
        };
        Rc::new(RefCell::new(Media {
            facts,
            bits_per_second: 8_000_000,
            ring_us: 9_960_000,
            upstream: Some(upstream),
        }))
    }

    fn told(open: &OpenMedia, channel: Label) -> Vec<String> {
        let mut samples = Vec::new();
        open.sample(channel, &mut samples);
        let text = text::write(&samples);
        let values = text.lines().filter(|line| !line.starts_with('#'));
        values
            .map(|line| line.replace("corecast_", "").replace("channel=", ""))
            .collect()
    }

    #[test]
    fn a_channel_is_told_of_as_long_as_it_is_open() {
        let (open, seven) = (OpenMedia::default(), Label::Channel(7));
        let first = media(2);
        open.watch(&first);
        let expected = [
            r#"join_interval_seconds{"7"} 0.48"#,
            r#"media_info{"7",video="H.264",audio="AAC+E-AC-3"} 1"#,
            r#"ring_media_seconds{"7"} 9.96"#,
            r#"ts_bitrate_bits_per_second{"7"} 8000000"#,
            r#"upstream_in_use{"7"} 2"#,
            r#"video_frames_per_second{"7"} 29.97003"#,
            r#"video_height_pixels{"7"} 1080"#,
            r#"video_width_pixels{"7"} 1920"#,
        ];
        assert_eq!(told(&open, seven), expected.map(str::to_owned));
        first.borrow_mut().deliver(None);
        let expected = [
            r#"ring_media_seconds{"7"} 9.96"#,
            r#"ts_bitrate_bits_per_second{"7"} 8000000"#,
            r#"upstream_in_use{"7"} 0"#,
        ];
        assert_eq!(told(&open, seven), expected.map(str::to_owned));
        drop(first);
        let expected = [
            r#"ring_media_seconds{"7"} 0"#,
            r#"ts_bitrate_bits_per_second{"7"} 0"#,
        ];
        assert_eq!(told(&open, seven), expected.map(str::to_owned));
    }

    #[test]
    fn of_a_channel_that_was_opened_again_the_newer_is_told() {
        let open = OpenMedia::default();
        let (older, newer) = (media(1), media(3));
        open.watch(&older);
        open.watch(&newer);
        let in_use = |line: &&String| line.starts_with("upstream_in_use");
        let told_of = |open| told(open, Label::Channel(7)).iter().find(in_use).cloned();
        assert_eq!(told_of(&open).unwrap(), r#"upstream_in_use{"7"} 3"#);
        drop(older);
        assert_eq!(told_of(&open).unwrap(), r#"upstream_in_use{"7"} 3"#);
    }

    #[test]
    fn of_dynamic_channels_only_sums_are_told() {
        let open = OpenMedia::default();
        let both = [media(1), media(1)];
        both.iter().for_each(|media| open.watch(media));
        let expected = [
            r#"ring_media_seconds{"dynamic"} 19.92"#,
            r#"ts_bitrate_bits_per_second{"dynamic"} 16000000"#,
        ];
        assert_eq!(told(&open, Label::Dynamic), expected.map(str::to_owned));
    }

    #[test]
    fn media_of_no_known_codec_is_named_none() {
        let radio = Facts {
            audio: vec![AudioCodec::Mpeg],
            ..Facts::default()
        };
        let silent = Facts {
            video: Some(VideoCodec::Hevc),
            ..Facts::default()
        };
        let named = |facts| Codecs::of(facts).map(|codecs| (codecs.video(), codecs.audio()));
        assert_eq!(named(&radio), Some(("none", "MPEG audio".to_owned())));
        assert_eq!(named(&silent), Some(("HEVC", "none".to_owned())));
        assert_eq!(named(&Facts::default()), None);
    }
}
