//! Channels as the API and the page show them. (pure)
//!
//! Each field is described in `openapi.json`, which a test holds against what is sent. The rule: what is counted together
//! for all dynamic channels is not told of one of them, and a source is told without what may be secret in it.

use std::sync::Arc;

use serde::{Serialize, Serializer};

use crate::admin::snapshot::{Counts, Fetched, Picture};
use crate::admin::status::{Calendar, in_ms, ratio};
use crate::channel::Phase;
use crate::channel::id::ChannelId;
use crate::channel::media::Media;
use crate::config::{self, Config, HiddenUrl, Upstream};
use crate::metrics::Label;
use crate::shard::placement;

/// A channel's id as it stands in answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Id(pub ChannelId);

impl Serialize for Id {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

/// One channel.
#[derive(Debug, Serialize)]
pub struct Channel<'c> {
    id: Id,
    name: &'c str,
    group: Option<&'c str>,
    is_dynamic: bool,
    state: &'static str,
    since_ms: Option<u64>,
    home_shard: usize,
    viewers: u64,
    shards: &'c [usize],
    upstream: Option<usize>,
    upstreams: usize,
    source: Option<String>,
    media: Option<MediaForm>,
    ring_ms: u64,
    ring_max_ms: u64,
    ring_bytes: u64,
    ring_max_bytes: u64,
    in_bits_per_second: Option<u64>,
    out_bits_per_second: Option<u64>,
    received_bytes: Option<u64>,
    sent_bytes: Option<u64>,
    continuity_errors: Option<u64>,
    continuity_errors_out: Option<u64>,
    resyncs: Option<u64>,
    stalls: Option<u64>,
    switches: Option<u64>,
    skips: Option<u64>,
    last_error: Option<ErrorForm<'c>>,
}

#[derive(Debug, Serialize)]
struct MediaForm {
    video: Option<&'static str>,
    width: Option<u32>,
    height: Option<u32>,
    frames_per_second: Option<f64>,
    audio: Vec<&'static str>,
    bits_per_second: u64,
    join_interval_ms: Option<u64>,
}

impl MediaForm {
    fn of(media: &Media) -> Self {
        let facts = &media.facts;
        let sequence = facts.sequence;
        let rate = sequence.and_then(|it| it.rate);
        Self {
            video: facts.video.map(|codec| codec.name()),
            width: sequence.map(|it| it.width),
            height: sequence.map(|it| it.height),
            frames_per_second: rate.map(|it| ratio(it.frames.into(), it.seconds.into())),
            audio: facts.audio.iter().map(|codec| codec.name()).collect(),
            bits_per_second: media.bits_per_second,
            join_interval_ms: facts.join_interval_us.map(in_ms),
        }
    }
}

#[derive(Debug, Serialize)]
struct ErrorForm<'c> {
    time_ms: u64,
    text: &'c str,
}

/// The channels of a configuration by id, made once for each configuration.
#[derive(Debug)]
pub struct Index {
    /// The configuration.
    pub config: Arc<Config>,
    /// Each id with its place in the configuration, by id.
    places: Vec<(u32, usize)>,
}

impl Index {
    /// Sorts the channels of a configuration.
    #[must_use]
    pub fn new(config: Arc<Config>) -> Self {
        let channels = config.channels.iter().enumerate();
        let mut places: Vec<_> = channels.map(|(place, it)| (it.id, place)).collect();
        places.sort_unstable();
        Self { config, places }
    }

    /// What operators call a channel.
    #[must_use]
    pub fn name(&self, id: ChannelId) -> Option<&str> {
        self.channel(id).map(|channel| channel.name.as_str())
    }

    fn channel(&self, id: ChannelId) -> Option<&config::Channel> {
        let ChannelId::Configured(number) = id else {
            return None;
        };
        let at = self.places.binary_search_by_key(&number, |it| it.0).ok()?;
        let (_, place) = self.places.get(at)?;
        self.config.channels.get(*place)
    }

    fn behind(&self, after: Option<ChannelId>) -> &[(u32, usize)] {
        let is_before = |(number, _): &(u32, usize)| {
            after.is_some_and(|after| ChannelId::Configured(*number) <= after)
        };
        let begin = self.places.partition_point(is_before);
        self.places.get(begin..).unwrap_or_default()
    }
}

/// Every channel there is: those of the configuration, and others that are open.
pub struct Channels<'c> {
    index: &'c Index,
    picture: &'c Picture,
    calendar: Calendar,
}

impl<'c> Channels<'c> {
    /// The channels of `index` as `picture` shows them.
    #[must_use]
    pub fn new(index: &'c Index, picture: &'c Picture, calendar: Calendar) -> Self {
        Self {
            index,
            picture,
            calendar,
        }
    }

    /// How many there are.
    #[must_use]
    pub fn total(&self) -> usize {
        self.index.places.len() + self.others().count()
    }

    /// At most `most` of their ids behind `after`, by id; and whether more follow.
    #[must_use]
    pub fn page(&self, after: Option<ChannelId>, most: usize) -> (Vec<ChannelId>, bool) {
        let configured = self.index.behind(after).iter().take(most + 1);
        let configured = configured.map(|(number, _)| ChannelId::Configured(*number));
        let others = self.others().filter(|id| after.is_none_or(|it| *id > it));
        let mut ids: Vec<_> = configured.chain(others).collect();
        ids.sort_unstable();
        let has_more = ids.len() > most;
        ids.truncate(most);
        (ids, has_more)
    }

    /// Ids of those that are open, under each id that somebody asked by.
    pub fn open_ids(&self) -> impl Iterator<Item = ChannelId> {
        self.picture.homes.keys().copied()
    }

    /// Ids of those that are open and in no configuration.
    fn others(&self) -> impl Iterator<Item = ChannelId> {
        self.open_ids()
            .filter(|id| self.index.channel(*id).is_none())
    }

    /// One of them; `None` if it is neither configured nor open.
    #[must_use]
    pub fn channel(&self, id: ChannelId) -> Option<Channel<'c>> {
        let configured = self.index.channel(id);
        let open = self.picture.homes.get(&id);
        let fetched = open.map(|(_, fetched)| fetched);
        if configured.is_none() && fetched.is_none() {
            return None;
        }
        let audience = self.picture.audiences.get(&id);
        let media = fetched.filter(|it| it.media.upstream.is_some());
        let counts = self.counts(id);
        let counted = |of: fn(&Counts) -> u64| counts.as_ref().map(of);
        let limits = configured.map_or(&self.index.config.stream, |channel| &channel.stream);
        let (span_us, bytes_max) = fetched.map_or_else(
            || {
                (
                    crate::clock::micros(limits.ring),
                    limits.ring_bytes_max as u64,
                )
            },
            |it| it.ring_max,
        );
        let error = self.picture.errors.get(&id);
        Some(Channel {
            id: Id(id),
            name: match (configured, fetched) {
                (Some(channel), _) => &channel.name,
                (None, fetched) => fetched.map_or("", |it| &*it.name),
            },
            group: configured.and_then(|it| it.group.as_deref()),
            is_dynamic: matches!(id, ChannelId::Dynamic(_)),
            state: fetched.map_or("idle", |it| state(it.phase)),
            since_ms: fetched.map(|it| self.calendar.unix_ms(it.since_us)),
            home_shard: open.map_or_else(|| self.home(id, configured), |(home, _)| *home),
            viewers: audience.map_or(0, |it| it.viewers),
            shards: audience.map_or(&[], |it| &it.shards),
            upstream: fetched.and_then(|it| it.media.upstream),
            upstreams: upstreams(configured, fetched),
            source: fetched
                .map(|it| it.source.to_string())
                .or_else(|| configured?.upstreams.first().map(source)),
            media: media.map(|it| MediaForm::of(&it.media)),
            ring_ms: fetched.map_or(0, |it| it.media.ring_us / 1_000),
            ring_max_ms: span_us / 1_000,
            ring_bytes: audience.map_or(0, |it| it.ring_bytes),
            ring_max_bytes: bytes_max,
            in_bits_per_second: counted(|it| it.received.bits_per_second()),
            out_bits_per_second: counted(|it| it.sent.bits_per_second()),
            received_bytes: counted(|it| it.received.bytes),
            sent_bytes: counted(|it| it.sent.bytes),
            continuity_errors: counted(|it| it.continuity_errors),
            continuity_errors_out: counted(|it| it.continuity_errors_out),
            resyncs: counted(|it| it.resyncs),
            stalls: counted(|it| it.stalls),
            switches: counted(|it| it.switches),
            skips: counted(|it| it.skips),
            last_error: error.map(|error| ErrorForm {
                time_ms: self.calendar.unix_ms(error.at_us),
                text: &error.text,
            }),
        })
    }

    /// Which shard would fetch a channel.
    fn home(&self, id: ChannelId, configured: Option<&config::Channel>) -> usize {
        let upstreams = configured.map_or(&[][..], |channel| &channel.upstreams);
        let engine = self.index.config.engine.url.as_str();
        placement::home_shard(id, upstreams, engine, self.picture.shards.len())
    }

    /// What was counted for a channel; `None` for a dynamic one.
    fn counts(&self, id: ChannelId) -> Option<Counts> {
        let label = Label::from(id);
        let counts = self.picture.counts.get(&label).copied();
        (label != Label::Dynamic).then(|| counts.unwrap_or_default())
    }
}

fn upstreams(configured: Option<&config::Channel>, fetched: Option<&Fetched>) -> usize {
    let open = fetched.map(|it| it.upstreams);
    open.unwrap_or_else(|| configured.map_or(0, |it| it.upstreams.len()))
}

/// Where an upstream is, without what may be secret.
#[must_use]
pub fn source(upstream: &Upstream) -> String {
    match upstream {
        Upstream::Ace { content, .. } => content.to_string(),
        Upstream::Demo { .. } => "demo".to_owned(),
        Upstream::Http { url, .. } => HiddenUrl(url).to_string(),
    }
}

fn state(phase: Phase) -> &'static str {
    match phase {
        Phase::Live => "live",
        Phase::Opening => "opening",
        Phase::Stalled => "stalled",
    }
}

#[cfg(test)]
mod tests;
