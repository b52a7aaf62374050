//! Plain per-shard counters, merged when somebody asks.
//!
//! A shard counts in `Cell`s that no other shard touches; a scrape turns them into [`Sample`]s, which `text` merges and
//! writes. Every counter has its name and help text in `families`; what is told of media is in `media`. Labels are closed
//! sets (channel, shard, reason, result, codecs); nothing is ever counted per viewer, address or URL.

pub mod families;
pub mod histogram;
pub mod media;
pub mod rate;
pub mod recent;
pub mod sample;
pub mod text;

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::ops::Bound;
use std::rc::Rc;

use crate::channel::id::ChannelId;
use crate::config::Channel;
use crate::metrics::histogram::Histogram;
use crate::metrics::media::OpenMedia;
use crate::metrics::rate::Rate;
use crate::metrics::recent::Recent;
pub use crate::metrics::sample::{Labels, Sample, Value};

/// A count on one shard.
#[derive(Debug, Default)]
pub struct Counter(Cell<u64>);

impl Counter {
    /// Adds to the count.
    pub fn add(&self, amount: u64) {
        self.0.set(self.0.get().wrapping_add(amount));
    }

    /// Replaces the count; for values that go up and down.
    pub fn set(&self, value: u64) {
        self.0.set(value);
    }

    /// The count.
    #[must_use]
    pub fn value(&self) -> u64 {
        self.0.get()
    }
}

/// One count per member of a closed set of reasons.
#[derive(Debug)]
pub struct PerReason<const N: usize>([Counter; N]);

impl<const N: usize> Default for PerReason<N> {
    fn default() -> Self {
        Self([const { Counter(Cell::new(0)) }; N])
    }
}

impl<const N: usize> PerReason<N> {
    fn add<R: Reason>(&self, reason: R) {
        if let Some(counter) = self.0.get(reason.index()) {
            counter.add(1);
        }
    }

    fn values<R: Reason>(&self) -> impl Iterator<Item = (&'static str, u64)> {
        R::ALL.iter().map(|reason| {
            let count = self.0.get(reason.index()).map_or(0, Counter::value);
            (reason.label(), count)
        })
    }
}

/// A closed set of label values.
pub trait Reason: Copy + Sized + 'static {
    /// Every member, in declaration order.
    const ALL: &'static [Self];

    /// The value as it stands in the label.
    fn label(self) -> &'static str;

    /// Place in [`Reason::ALL`].
    fn index(self) -> usize;
}

/// Declares a closed set of label values: each member, its label, what it means.
macro_rules! reasons {
    ($(#[$doc:meta])* $name:ident { $($(#[$member_doc:meta])* $member:ident = $label:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $name { $($(#[$member_doc])* $member,)* }

        impl Reason for $name {
            const ALL: &'static [Self] = &[$(Self::$member,)*];

            fn label(self) -> &'static str {
                match self { $(Self::$member => $label,)* }
            }

            fn index(self) -> usize {
                self as usize
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.label())
            }
        }
    };
}

reasons! {
    /// Why a viewer's session ended.
    ViewerEnd {
        /// Its account may have so many viewers, and a newer one came.
        AtLimit = "at_limit",
        /// The channel's bit rate is higher than its account may watch.
        Bitrate = "bitrate",
        /// The operator closed it.
        ByOperator = "by_operator",
        /// Its channel is not offered any more since a new configuration.
        ChannelRemoved = "channel_removed",
        /// corecast drains: its deadline came.
        Drain = "drain",
        /// A fault of ours ended the viewer's task.
        Fault = "fault",
        /// The viewer sent more than a player has to say.
        Flood = "flood",
        /// The peer vanished: it acknowledges nothing any more.
        PeerLost = "peer_lost",
        /// Its account may have so many viewers, and its own device opened the channel anew.
        Replaced = "replaced",
        /// Its account was removed, or changed so that it does not allow this viewer any more.
        Revoked = "revoked",
        /// The viewer took no byte for `write_stall_ms`.
        Stalled = "stalled",
        /// The viewer left the ring and the channel is set to drop such viewers.
        TooSlow = "too_slow",
        /// The channel's upstreams are gone.
        UpstreamLost = "upstream_lost",
        /// The viewer closed or reset its connection.
        ViewerClosed = "viewer_closed",
    }
}

reasons! {
    /// Why a request was not given a stream.
    Reject {
        /// The account has as many viewers as it may have, or a newer viewer came before this one had media.
        AtLimit = "at_limit",
        /// Wrong user or password.
        BadCredentials = "bad_credentials",
        /// The request is malformed or over a limit.
        BadRequest = "bad_request",
        /// As many channels by content id, or connections to a provider, are open as are allowed.
        Busy = "busy",
        /// corecast drains.
        Draining = "draining",
        /// The account is over, or not for this address, channel or bit rate.
        Forbidden = "forbidden",
        /// As many viewers or connections are open as are allowed.
        Full = "full",
        /// The method does not fit the path.
        Method = "method",
        /// No media came in time.
        NoMedia = "no_media",
        /// No such path or channel.
        NotFound = "not_found",
        /// The connection did not begin with the PROXY header that it must have.
        ProxyHeader = "proxy_header",
        /// Too many bad logins from that address.
        Throttled = "throttled",
        /// The request's head did not come in time.
        TooSlow = "too_slow",
        /// The channel's upstreams refused.
        UpstreamRefused = "upstream_refused",
    }
}

reasons! {
    /// How a try to reach an upstream ended.
    Connect {
        /// It was not tried: its provider allows no more connections.
        AtLimit = "at_limit",
        /// It could not be reached, or broke off before media came.
        Failed = "failed",
        /// Media came.
        Ok = "ok",
        /// It answered, and the answer was no.
        Refused = "refused",
        /// It did not answer in time.
        Timeout = "timeout",
    }
}

reasons! {
    /// How a look at a program guide ended.
    GuideLook {
        /// It could not be fetched, is no whole guide, or has nothing that is wanted.
        Failed = "failed",
        /// It was read.
        Ok = "ok",
        /// It is the one that was read last.
        Unchanged = "unchanged",
    }
}

reasons! {
    /// What came of a look at a playlist.
    Refresh {
        /// There was another list, which is in use now.
        Changed = "changed",
        /// It could not be had.
        Failed = "failed",
        /// What came is no list, or too little of one.
        Refused = "refused",
        /// It is still the same.
        Unchanged = "unchanged",
    }
}

reasons! {
    /// What came of reading the configuration again.
    Reload {
        /// It is in use.
        Ok = "ok",
        /// It had errors, and the one before is in use.
        Refused = "refused",
    }
}

/// The value of the `channel` label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Label {
    /// A configured channel, by number.
    Channel(u32),
    /// All dynamic channels together.
    Dynamic,
}

impl From<ChannelId> for Label {
    fn from(id: ChannelId) -> Self {
        match id {
            ChannelId::Configured(number) => Self::Channel(number),
            ChannelId::Dynamic(_) => Self::Dynamic,
        }
    }
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Channel(number) => write!(f, "{number}"),
            Self::Dynamic => f.write_str("dynamic"),
        }
    }
}

/// What one shard counts for one channel.
#[derive(Debug, Default)]
pub struct ChannelCounters {
    /// Chunks published (home shard).
    pub chunks: Counter,
    /// Continuity jumps in what the upstream sent (home shard).
    pub continuity_errors: Counter,
    /// Continuity jumps in what was published that were not announced (home shard).
    pub continuity_errors_out: Counter,
    /// Chunks that this shard should have got and that had left the ring.
    pub feed_lost_chunks: Counter,
    /// Time from a chunk's completion to its last byte being handed to the kernel.
    pub fanout_delay: Histogram,
    /// Time from a request's arrival to the first media byte being handed to the kernel.
    pub first_byte: Histogram,
    /// Media time between what a viewer is about to be sent and the newest chunk.
    pub lag: Histogram,
    /// Media of the channels under this label that are open (home shard).
    pub media: OpenMedia,
    /// How fast [`ChannelCounters::upstream_received_bytes`] grows.
    pub received_rate: Rate,
    /// Times that packet boundaries were lost (home shard).
    pub resyncs: Counter,
    /// Bytes the ring holds now.
    pub ring_bytes: Counter,
    /// Bytes handed to the kernel for viewers.
    pub sent_bytes: Counter,
    /// How fast [`ChannelCounters::sent_bytes`] grows.
    pub sent_rate: Rate,
    /// Viewer sessions begun.
    pub sessions: Counter,
    /// Bytes that viewers were not sent because they skipped.
    pub skipped_bytes: Counter,
    /// Skips of viewers.
    pub skips: Counter,
    /// Bytes that the upstream sent (home shard).
    pub upstream_received_bytes: Counter,
    /// Times that the upstream fell silent (home shard).
    pub upstream_stalls: Counter,
    /// Changes from one upstream, or one of its fetches, to another (home shard).
    pub upstream_switches: Counter,
    /// Channels under this label whose upstream delivers now (home shard).
    pub upstreams_up: Counter,
    /// Viewers now.
    pub viewers: Counter,
    connects: PerReason<{ Connect::ALL.len() }>,
    ends: PerReason<{ ViewerEnd::ALL.len() }>,
}

impl ChannelCounters {
    /// Counts the end of a viewer's session.
    pub fn viewer_ended(&self, reason: ViewerEnd) {
        self.ends.add(reason);
    }

    /// Counts a try to reach an upstream.
    pub fn upstream_tried(&self, result: Connect) {
        self.connects.add(result);
    }

    fn sample(&self, channel: Label, shard: usize, into: &mut Vec<Sample>) {
        let labels = Labels {
            channel: Some(channel),
            shard: Some(shard),
            ..Labels::default()
        };
        let merged = Labels {
            shard: None,
            ..labels
        };
        let counters = [
            (&families::VIEWERS, labels, &self.viewers),
            (&families::VIEWER_SESSIONS, labels, &self.sessions),
            (&families::VIEWER_SENT_BYTES, labels, &self.sent_bytes),
            (&families::VIEWER_SKIPS, merged, &self.skips),
            (&families::VIEWER_SKIPPED_BYTES, merged, &self.skipped_bytes),
            (&families::UPSTREAM_UP, merged, &self.upstreams_up),
            (
                &families::UPSTREAM_RECEIVED_BYTES,
                merged,
                &self.upstream_received_bytes,
            ),
            (&families::UPSTREAM_STALLS, merged, &self.upstream_stalls),
            (
                &families::UPSTREAM_SWITCHES,
                merged,
                &self.upstream_switches,
            ),
            (
                &families::TS_CONTINUITY_ERRORS,
                merged,
                &self.continuity_errors,
            ),
            (
                &families::TS_CONTINUITY_ERRORS_OUT,
                merged,
                &self.continuity_errors_out,
            ),
            (&families::TS_RESYNCS, merged, &self.resyncs),
            (&families::CHUNKS, merged, &self.chunks),
            (&families::RING_BYTES, labels, &self.ring_bytes),
            (&families::FEED_LOST_CHUNKS, labels, &self.feed_lost_chunks),
        ];
        for (family, labels, counter) in counters {
            into.push(Sample::count(family, labels, counter.value()));
        }
        self.media.sample(channel, into);
        for (cause, count) in self.ends.values::<ViewerEnd>() {
            let labels = merged.with(cause);
            into.push(Sample::count(&families::VIEWER_ENDS, labels, count));
        }
        for (cause, count) in self.connects.values::<Connect>() {
            let labels = merged.with(cause);
            into.push(Sample::count(&families::UPSTREAM_CONNECTS, labels, count));
        }
        let histograms = [
            (&families::VIEWER_LAG, &self.lag),
            (&families::VIEWER_FIRST_BYTE, &self.first_byte),
            (&families::FANOUT_DELAY, &self.fanout_delay),
        ];
        for (family, histogram) in histograms {
            into.push(Sample {
                family,
                labels: merged,
                value: Value::Histogram(histogram.observed()),
            });
        }
    }
}

/// What one shard counts.
#[derive(Debug, Default)]
pub struct ShardCounters {
    /// Errors of accept.
    pub accept_errors: Counter,
    /// Playback sessions open on the engine (home shard of the engine).
    pub engine_sessions: Counter,
    /// Programmes in the guide that is served (shard 0).
    pub guide_programmes: Counter,
    /// Channels that come from playlists (shard 0).
    pub playlist_channels: Counter,
    /// Calls that handed viewers bytes.
    pub send_calls: Counter,
    /// How the shard has fared over the last seconds.
    pub recent: Recent,
    guide_looks: PerReason<{ GuideLook::ALL.len() }>,
    refreshes: PerReason<{ Refresh::ALL.len() }>,
    rejects: PerReason<{ Reject::ALL.len() }>,
    reloads: PerReason<{ Reload::ALL.len() }>,
    channels: RefCell<BTreeMap<Label, Rc<ChannelCounters>>>,
    /// Until when what was counted for removed channels is told.
    removed_us: RefCell<BTreeMap<Label, u64>>,
}

impl ShardCounters {
    /// The counters of one channel; made at first use, kept while the channel is configured.
    pub fn channel(&self, label: Label) -> Rc<ChannelCounters> {
        Rc::clone(self.channels.borrow_mut().entry(label).or_default())
    }

    /// At most `most` labels behind `last`, in order, each with its counters.
    #[must_use]
    pub fn channels_behind(
        &self,
        last: Option<Label>,
        most: usize,
    ) -> Vec<(Label, Rc<ChannelCounters>)> {
        let channels = self.channels.borrow();
        let begin = last.map_or(Bound::Unbounded, Bound::Excluded);
        let behind = channels.range((begin, Bound::Unbounded)).take(most);
        behind
            .map(|(label, counters)| (*label, Rc::clone(counters)))
            .collect()
    }

    /// Counts for these configured channels from now on, those of playlists when they are first watched. What was counted
    /// for others is told until `forget_us`, so that
    /// it is seen how their viewers ended.
    pub fn offer(&self, channels: &[Channel], forget_us: u64) {
        let offered: BTreeSet<_> = channels.iter().map(|it| Label::Channel(it.id)).collect();
        let mut counted = self.channels.borrow_mut();
        let mut removed = self.removed_us.borrow_mut();
        for label in counted.keys().filter(|label| **label != Label::Dynamic) {
            if offered.contains(label) {
                removed.remove(label);
            } else {
                removed.entry(*label).or_insert(forget_us);
            }
        }
        // Lists have thousands, of which few are watched: they are counted from their first viewer on.
        for channel in channels.iter().filter(|it| it.playlist.is_none()) {
            counted.entry(Label::Channel(channel.id)).or_default();
        }
    }

    /// Forgets the channels that were removed and whose time is over.
    pub fn forget(&self, now_us: u64) {
        let mut channels = self.channels.borrow_mut();
        self.removed_us.borrow_mut().retain(|label, until_us| {
            if *until_us <= now_us {
                channels.remove(label);
            }
            *until_us > now_us
        });
    }

    /// Counts a look at a program guide.
    pub fn guide_looked(&self, result: GuideLook) {
        self.guide_looks.add(result);
    }

    /// Counts a request that was not given a stream.
    pub fn rejected(&self, reason: Reject) {
        self.rejects.add(reason);
    }

    /// Counts that the configuration was read again.
    pub fn reloaded(&self, result: Reload) {
        self.reloads.add(result);
    }

    /// Counts a look at a playlist (shard 0).
    pub fn playlist_refreshed(&self, result: Refresh) {
        self.refreshes.add(result);
    }

    /// All that this shard has counted; `busy_us` is the CPU time its thread has used.
    #[must_use]
    pub fn samples(&self, shard: usize, busy_us: u64) -> Vec<Sample> {
        let labels = Labels {
            shard: Some(shard),
            ..Labels::default()
        };
        let mut samples = vec![
            Sample::count(&families::ACCEPT_ERRORS, labels, self.accept_errors.value()),
            Sample::count(&families::SEND_CALLS, labels, self.send_calls.value()),
            Sample::seconds(&families::SHARD_BUSY, labels, busy_us),
            Sample::count(
                &families::ENGINE_SESSIONS,
                Labels::default(),
                self.engine_sessions.value(),
            ),
        ];
        let playlist_channels = self.playlist_channels.value();
        samples.push(Sample::count(
            &families::PLAYLIST_CHANNELS,
            Labels::default(),
            playlist_channels,
        ));
        for (cause, count) in self.refreshes.values::<Refresh>() {
            let labels = Labels::default().with(cause);
            samples.push(Sample::count(&families::PLAYLIST_REFRESHES, labels, count));
        }
        samples.push(Sample::count(
            &families::GUIDE_PROGRAMMES,
            Labels::default(),
            self.guide_programmes.value(),
        ));
        for (cause, count) in self.guide_looks.values::<GuideLook>() {
            let labels = Labels::default().with(cause);
            samples.push(Sample::count(&families::GUIDE_REFRESHES, labels, count));
        }
        for (cause, count) in self.rejects.values::<Reject>() {
            let labels = Labels::default().with(cause);
            samples.push(Sample::count(&families::VIEWER_REJECTS, labels, count));
        }
        for (cause, count) in self.reloads.values::<Reload>() {
            let labels = Labels::default().with(cause);
            samples.push(Sample::count(&families::CONFIG_RELOADS, labels, count));
        }
        for (label, counters) in self.channels.borrow().iter() {
            counters.sample(*label, shard, &mut samples);
        }
        samples
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Stream;

    fn channel(id: u32) -> Channel {
        Channel {
            id,
            name: "a".into(),
            group: None,
            logo: None,
            epg_id: None,
            number: id,
            playlist: None,
            stream: Stream::default(),
            upstreams: Vec::new(),
        }
    }

    /// The channels of which the metrics tell.
    fn told(counters: &ShardCounters) -> BTreeSet<String> {
        let samples = counters.samples(0, 0);
        let labels = samples.iter().filter_map(|sample| sample.labels.channel);
        labels.map(|label| label.to_string()).collect()
    }

    #[test]
    fn a_removed_channel_is_told_of_until_its_time_is_over() {
        let counters = ShardCounters::default();
        counters.channel(Label::Dynamic);
        counters.offer(&[channel(1), channel(2)], 0);
        counters.offer(&[channel(1)], 10);
        counters.offer(&[channel(1)], 20);
        counters.forget(9);
        assert_eq!(
            told(&counters),
            ["1", "2", "dynamic"].map(Into::into).into()
        );
        counters.forget(10);
        assert_eq!(told(&counters), ["1", "dynamic"].map(Into::into).into());
    }

    #[test]
    fn a_channel_that_comes_back_in_time_counts_on() {
        let counters = ShardCounters::default();
        counters.offer(&[channel(1)], 0);
        counters.channel(Label::Channel(1)).sessions.add(3);
        counters.offer(&[], 10);
        counters.offer(&[channel(1)], 20);
        counters.forget(30);
        assert_eq!(counters.channel(Label::Channel(1)).sessions.value(), 3);
        assert_eq!(told(&counters), ["1"].map(Into::into).into());
    }
}
