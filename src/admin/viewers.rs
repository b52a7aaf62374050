//! Which viewers are listed, in what order, and how they are shown. (pure)
//!
//! Read from the shards by `listing`. The rule: a shard hands out no more rows than one page has, so that a list of ten
//! thousand costs what is shown of it.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use serde::Serialize;

use crate::admin::channels::Id;
use crate::admin::status::Calendar;
use crate::channel::id::ChannelId;

/// Names a viewer in the process.
///
/// Shape: written as its shard, a hyphen, and its number there in hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ViewerId {
    /// The shard that serves it.
    pub shard: usize,
    /// Its number there.
    pub number: u64,
}

impl fmt::Display for ViewerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{:x}", self.shard, self.number)
    }
}

impl FromStr for ViewerId {
    type Err = NoViewerId;

    fn from_str(text: &str) -> Result<Self, NoViewerId> {
        let (shard, number) = text.split_once('-').ok_or(NoViewerId)?;
        let is_plain = shard.bytes().all(|it| it.is_ascii_digit())
            && number.bytes().all(|it| b"0123456789abcdef".contains(&it));
        let is_short = (1..=5).contains(&shard.len()) && (1..=16).contains(&number.len());
        if !is_plain || !is_short {
            return Err(NoViewerId);
        }
        let number = u64::from_str_radix(number, 16).map_err(|_overflow| NoViewerId)?;
        let shard = shard.parse().map_err(|_overflow| NoViewerId)?;
        Ok(Self { shard, number })
    }
}

/// The text names no viewer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a viewer: a shard, a hyphen and hexadecimal digits are allowed")]
pub struct NoViewerId;

/// Which viewers are asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// Only those of this channel.
    pub channel: Option<ChannelId>,
    /// Only those whose address, account or player holds this text, in lower case.
    pub search: Option<String>,
    /// Their order.
    pub sort: Sort,
    /// Only those behind this place.
    pub after: Option<Place>,
    /// How many at most. Bound: [`ROWS_MAX`].
    pub most: usize,
}

impl Wanted {
    /// Whether a text of a viewer holds what is searched for.
    #[must_use]
    pub fn finds<'t>(&self, mut texts: impl Iterator<Item = &'t str>) -> bool {
        let Some(search) = &self.search else {
            return true;
        };
        texts.any(|text| text.to_lowercase().contains(search.as_str()))
    }
}

/// The order of a list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sort {
    /// The farthest behind live first.
    Behind,
    /// The slowest first.
    Rate,
    /// Who was sent the most first.
    Sent,
    /// Who skipped the most first.
    Skips,
    /// The newest first.
    #[default]
    Started,
}

impl Sort {
    /// The order of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        match name {
            "behind" => Some(Self::Behind),
            "rate" => Some(Self::Rate),
            "sent" => Some(Self::Sent),
            "skips" => Some(Self::Skips),
            "started" => Some(Self::Started),
            _ => None,
        }
    }

    /// What viewers are ordered by: the smallest comes first.
    #[must_use]
    pub fn key(self, figures: &Figures) -> u64 {
        match self {
            Self::Behind => u64::MAX - figures.behind_us,
            Self::Rate => figures.bytes_per_second,
            Self::Sent => u64::MAX - figures.sent_bytes,
            Self::Skips => u64::MAX - figures.skips,
            Self::Started => u64::MAX - figures.started_us,
        }
    }
}

/// Where a viewer stands in a list.
///
/// Shape: written as the number that it is ordered by, a hyphen, and its id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    key: u64,
    id: ViewerId,
}

impl Place {
    /// The place of a viewer.
    #[must_use]
    pub fn of(sort: Sort, id: ViewerId, figures: &Figures) -> Self {
        Self {
            key: sort.key(figures),
            id,
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.key, self.id)
    }
}

impl FromStr for Place {
    type Err = NoViewerId;

    fn from_str(text: &str) -> Result<Self, NoViewerId> {
        let (key, id) = text.split_once('-').ok_or(NoViewerId)?;
        let is_plain = (1..=20).contains(&key.len()) && key.bytes().all(|it| it.is_ascii_digit());
        if !is_plain {
            return Err(NoViewerId);
        }
        Ok(Self {
            // Twenty digits may be more than fits, and then lie behind everything.
            key: key.parse().unwrap_or(u64::MAX),
            id: id.parse()?,
        })
    }
}

/// One viewer as its shard tells of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// The viewer.
    pub id: ViewerId,
    /// Where it comes from.
    pub address: IpAddr,
    /// Its account's user.
    pub account: Option<Box<str>>,
    /// What its player calls itself.
    pub user_agent: Option<Box<str>>,
    /// What it watches.
    pub channel: ChannelId,
    /// What it has done.
    pub figures: Figures,
    /// What the kernel knows of its connection; of a Unix socket nothing.
    pub tcp: Option<Tcp>,
}

/// What a viewer has done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// When it asked, in microseconds of the clock.
    pub started_us: u64,
    /// Bytes handed to the kernel for it.
    pub sent_bytes: u64,
    /// The same per second, of late.
    pub bytes_per_second: u64,
    /// Media between it and live, in microseconds.
    pub behind_us: u64,
    /// How often it skipped.
    pub skips: u64,
    /// Bytes it was not sent because of that.
    pub skipped_bytes: u64,
}

/// What the kernel knows of a connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tcp {
    /// Smoothed round-trip time in microseconds.
    pub rtt_us: u32,
    /// Segments that were sent again.
    pub retransmits: u32,
    /// Bytes that were handed over and never sent.
    pub unsent_bytes: u32,
}

/// The rows that one shard found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rows {
    /// How many viewers fit, wherever they stand in the list.
    pub total: u64,
    /// The first ones behind the place that was asked for, in order. Bound: one more than were asked for, so that it is
    /// seen whether any follow.
    pub rows: Vec<Row>,
}

/// One page of a list while it is put together.
#[derive(Debug)]
pub struct Page<T> {
    after: Option<Place>,
    most: usize,
    /// By place. Bound: one more than the page has.
    kept: Vec<(Place, T)>,
}

impl<T> Page<T> {
    /// The page that is wanted, still empty.
    #[must_use]
    pub fn new(wanted: &Wanted) -> Self {
        Self {
            after: wanted.after,
            most: wanted.most,
            kept: Vec::new(),
        }
    }

    /// Takes what stands at `place` if that is on the page; what it displaces goes.
    pub fn offer(&mut self, place: Place, item: T) {
        if self.after.is_some_and(|after| place <= after) {
            return;
        }
        let at = self.kept.partition_point(|(other, _)| *other < place);
        if at > self.most {
            return;
        }
        self.kept.insert(at, (place, item));
        self.kept.truncate(self.most + 1);
    }

    /// What is on the page, and the first that is behind it, in order.
    #[must_use]
    pub fn with_next(self) -> Vec<T> {
        self.kept.into_iter().map(|(_, item)| item).collect()
    }

    /// What is on the page, and the place behind which the next one begins, if there is a next one.
    #[must_use]
    pub fn cut(mut self) -> (Vec<T>, Option<Place>) {
        let has_more = self.kept.len() > self.most;
        self.kept.truncate(self.most);
        let last = self.kept.last().map(|(place, _)| *place);
        (self.with_next(), last.filter(|_| has_more))
    }
}

/// One viewer as it is shown. Each field is described in `openapi.json`.
#[derive(Debug, Serialize)]
pub struct Viewer<'r> {
    id: String,
    address: IpAddr,
    account: Option<&'r str>,
    user_agent: Option<&'r str>,
    channel: Id,
    channel_name: String,
    shard: usize,
    started_ms: u64,
    sent_bytes: u64,
    out_bits_per_second: u64,
    behind_live_ms: u64,
    skips: u64,
    skipped_bytes: u64,
    rtt_us: Option<u32>,
    retransmits: Option<u32>,
    unsent_bytes: Option<u32>,
}

impl<'r> Viewer<'r> {
    /// A row, with what operators call its channel.
    #[must_use]
    pub fn of(row: &'r Row, channel_name: String, calendar: Calendar) -> Self {
        let figures = row.figures;
        Self {
            id: row.id.to_string(),
            address: row.address.to_canonical(),
            account: row.account.as_deref(),
            user_agent: row.user_agent.as_deref(),
            channel: Id(row.channel),
            channel_name,
            shard: row.id.shard,
            started_ms: calendar.unix_ms(figures.started_us),
            sent_bytes: figures.sent_bytes,
            out_bits_per_second: figures.bytes_per_second.saturating_mul(8),
            behind_live_ms: figures.behind_us / 1_000,
            skips: figures.skips,
            skipped_bytes: figures.skipped_bytes,
            rtt_us: row.tcp.map(|it| it.rtt_us),
            retransmits: row.tcp.map(|it| it.retransmits),
            unsent_bytes: row.tcp.map(|it| it.unsent_bytes),
        }
    }
}

/// The most viewers on one page.
pub const ROWS_MAX: usize = 500;

#[cfg(test)]
mod tests;
