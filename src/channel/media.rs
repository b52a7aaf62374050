//! What is known of a channel's media on its home shard. (pure)
//!
//! Filled by `home`, shown by `metrics`. The rule it protects: what is told of the stream was seen in the upstream that
//! delivers now, and while none does nothing is told.

use crate::ts::facts::Facts;

/// The media of one channel.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Media {
    /// What the stream tells of itself.
    pub facts: Facts,
    /// Bit rate by its own clock; 0 until that is known.
    pub bits_per_second: u64,
    /// Media that the home's ring holds.
    ///
    /// Unit: microseconds.
    pub ring_us: u64,
    /// Place in the channel's list of the upstream that delivers now, counted from 1.
    pub upstream: Option<usize>,
}

impl Media {
    /// Takes what the upstream tells that delivers now.
    pub fn note(&mut self, facts: &Facts, bits_per_second: u64) {
        if self.facts != *facts {
            self.facts.clone_from(facts);
        }
        self.bits_per_second = bits_per_second;
    }

    /// Takes which upstream delivers from now on; without one nothing is known of the stream any more.
    pub fn deliver(&mut self, upstream: Option<usize>) {
        self.upstream = upstream;
        if upstream.is_none() {
            self.facts = Facts::default();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ts::facts::VideoCodec;

    #[test]
    fn nothing_is_told_of_a_stream_that_is_gone() {
        let facts = Facts {
            video: Some(VideoCodec::Hevc),
            ..Facts::default()
        };
        let mut media = Media::default();
        media.deliver(Some(2));
        media.note(&facts, 5_000_000);
        assert_eq!((&media.facts, media.upstream), (&facts, Some(2)));
        media.deliver(None);
        assert_eq!((media.facts, media.upstream), (Facts::default(), None));
    }
}
