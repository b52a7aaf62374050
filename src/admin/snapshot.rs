//! What a shard says of itself when it is asked, and what all shards have said, put together. (pure)
//!
//! Taken by `desk`, shown by `status` and `channels`. The rule: a snapshot holds sums and a few words for each open
//! channel, nothing for each viewer, so that it is small and soon made.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::channel::Phase;
use crate::channel::id::ChannelId;
use crate::channel::media::Media;
use crate::channel::table::LastError;
use crate::metrics::Label;

/// One shard at one moment.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// Viewers that are sent media.
    pub viewers: u64,
    /// Requests that wait for their channel's first media.
    pub waiting: u64,
    /// Share of one CPU that the shard's thread used over the last seconds, in millionths.
    pub busy_millionths: u64,
    /// Fan-out delay of the last seconds, half and 99 of 100, in microseconds.
    pub delays_us: [Option<u64>; 2],
    /// Playback sessions open on the engine.
    pub engine_sessions: u64,
    /// What was counted, by label; labels for which nothing was are left out.
    pub counts: Vec<(Label, Counts)>,
    /// The channels that the shard follows.
    pub relays: Vec<Followed>,
    /// The channels whose home it is.
    pub homes: Vec<Fetched>,
    /// The last trouble with channels whose home it is, open or not.
    pub errors: Vec<(ChannelId, LastError)>,
}

/// What one shard has counted for one label since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Bytes from upstreams, and how many per second of late.
    pub received: Flow,
    /// Bytes handed to viewers, and how many per second of late.
    pub sent: Flow,
    /// Continuity jumps in what came.
    pub continuity_errors: u64,
    /// Continuity jumps in what was published, unannounced.
    pub continuity_errors_out: u64,
    /// Times that packet boundaries were lost.
    pub resyncs: u64,
    /// Times that upstreams stalled.
    pub stalls: u64,
    /// Changes of upstreams.
    pub switches: u64,
    /// Skips of viewers.
    pub skips: u64,
}

impl Counts {
    fn add(&mut self, other: &Self) {
        self.received.add(other.received);
        self.sent.add(other.sent);
        self.continuity_errors += other.continuity_errors;
        self.continuity_errors_out += other.continuity_errors_out;
        self.resyncs += other.resyncs;
        self.stalls += other.stalls;
        self.switches += other.switches;
        self.skips += other.skips;
    }
}

/// Bytes that went one way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flow {
    /// Since the start.
    pub bytes: u64,
    /// Over the last seconds.
    pub bytes_per_second: u64,
}

impl Flow {
    /// The rate in bits.
    #[must_use]
    pub fn bits_per_second(self) -> u64 {
        self.bytes_per_second.saturating_mul(8)
    }

    fn add(&mut self, other: Self) {
        self.bytes += other.bytes;
        self.bytes_per_second += other.bytes_per_second;
    }
}

/// A channel on a shard that follows it.
#[derive(Clone, Copy, Debug)]
pub struct Followed {
    /// The channel, as its viewers asked for it.
    pub id: ChannelId,
    /// Viewers, and those that wait for its first media.
    pub viewers: u64,
    /// Bytes that the ring holds.
    pub ring_bytes: u64,
}

/// A channel on its home shard.
#[derive(Clone, Debug)]
pub struct Fetched {
    /// The channel.
    pub id: ChannelId,
    /// Other channels that it serves, because they turned out to be the same content.
    pub aliases: Vec<ChannelId>,
    /// What operators call it.
    pub name: Arc<str>,
    /// What it is doing.
    pub phase: Phase,
    /// Since when, in microseconds of the clock.
    pub since_us: u64,
    /// What is known of its media; while no upstream delivers nothing is.
    pub media: Media,
    /// How many upstreams it has.
    pub upstreams: usize,
    /// The upstream that delivers, else the first one, without secrets.
    pub source: Arc<str>,
    /// The longest history it may have, in microseconds of media, and in bytes.
    pub ring_max: (u64, u64),
}

/// What is known of one shard.
#[derive(Clone, Debug, Default)]
pub struct Known {
    /// Its last answer, if it ever gave one.
    pub snapshot: Option<Arc<Snapshot>>,
    /// It did not give it to the last question.
    pub is_stale: bool,
}

/// All shards at one moment.
#[derive(Clone, Debug, Default)]
pub struct Picture {
    /// When they were asked, in microseconds of the clock.
    pub asked_us: u64,
    /// Each shard, by number.
    pub shards: Vec<Known>,
    /// What all of them have counted, by label.
    pub counts: BTreeMap<Label, Counts>,
    /// Open channels under every id that they serve, each with its home.
    pub homes: BTreeMap<ChannelId, (usize, Fetched)>,
    /// Channels that are followed: by which shards, by how many viewers, and what the fullest ring holds.
    pub audiences: BTreeMap<ChannelId, Audience>,
    /// The last trouble with channels.
    pub errors: BTreeMap<ChannelId, LastError>,
}

/// Who follows a channel.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Audience {
    /// The shards, by number.
    pub shards: Vec<usize>,
    /// Viewers on all of them.
    pub viewers: u64,
    /// Bytes that the fullest ring holds.
    pub ring_bytes: u64,
}

impl Picture {
    /// Puts together what shards have said.
    #[must_use]
    pub fn of(asked_us: u64, shards: Vec<Known>) -> Self {
        let mut picture = Self {
            asked_us,
            ..Self::default()
        };
        for (index, known) in shards.iter().enumerate() {
            if let Some(snapshot) = &known.snapshot {
                picture.take(index, snapshot);
            }
        }
        picture.shards = shards;
        picture
    }

    /// What all shards have counted for all labels.
    #[must_use]
    pub fn total(&self) -> Counts {
        let mut total = Counts::default();
        self.counts.values().for_each(|counts| total.add(counts));
        total
    }

    /// A sum over all shards.
    #[must_use]
    pub fn sum(&self, of: impl Fn(&Snapshot) -> u64) -> u64 {
        let answers = self.shards.iter();
        let answers = answers.filter_map(|known| known.snapshot.as_deref());
        answers.map(of).sum()
    }

    fn take(&mut self, index: usize, snapshot: &Snapshot) {
        for (label, counts) in &snapshot.counts {
            self.counts.entry(*label).or_default().add(counts);
        }
        for followed in &snapshot.relays {
            let audience = self.audiences.entry(followed.id).or_default();
            audience.shards.push(index);
            audience.viewers += followed.viewers;
            audience.ring_bytes = audience.ring_bytes.max(followed.ring_bytes);
        }
        for fetched in &snapshot.homes {
            for id in fetched.aliases.iter().chain([&fetched.id]) {
                self.homes.insert(*id, (index, fetched.clone()));
            }
        }
        self.errors.extend(snapshot.errors.iter().cloned());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: ChannelId = ChannelId::Configured(7);

    fn counted(bytes: u64) -> Counts {
        let sent = Flow {
            bytes,
            bytes_per_second: bytes / 10,
        };
        Counts {
            sent,
            skips: 1,
            ..Counts::default()
        }
    }

    fn shard(viewers: u64, ring_bytes: u64) -> Known {
        let snapshot = Snapshot {
            viewers,
            counts: vec![(Label::Channel(7), counted(100 * viewers))],
            relays: vec![Followed {
                id: ID,
                viewers,
                ring_bytes,
            }],
            ..Snapshot::default()
        };
        Known {
            snapshot: Some(Arc::new(snapshot)),
            is_stale: false,
        }
    }

    #[test]
    fn what_shards_have_counted_is_added_up() {
        let picture = Picture::of(5, vec![shard(2, 10), Known::default(), shard(3, 20)]);
        let total = picture.total();
        assert_eq!((total.sent.bytes, total.sent.bits_per_second()), (500, 400));
        assert_eq!(total.skips, 2);
        assert_eq!(picture.sum(|it| it.viewers), 5);
        let audience = Audience {
            shards: vec![0, 2],
            viewers: 5,
            ring_bytes: 20,
        };
        assert_eq!(picture.audiences.get(&ID), Some(&audience));
        assert_eq!(picture.shards.len(), 3);
    }

    #[test]
    fn a_channel_is_found_under_each_id_that_it_serves() {
        let alias = ChannelId::Configured(8);
        let fetched = Fetched {
            id: ID,
            aliases: vec![alias],
            name: "Seven".into(),
            phase: Phase::Live,
            since_us: 1,
            media: Media::default(),
            upstreams: 1,
            source: "demo".into(),
            ring_max: (0, 0),
        };
        let snapshot = Snapshot {
            homes: vec![fetched],
            ..Snapshot::default()
        };
        let known = Known {
            snapshot: Some(Arc::new(snapshot)),
            is_stale: true,
        };
        let picture = Picture::of(0, vec![Known::default(), known]);
        for id in [ID, alias] {
            assert_eq!(picture.homes.get(&id).map(|(home, _)| *home), Some(1));
        }
        assert!(picture.errors.is_empty());
    }
}
