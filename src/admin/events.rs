//! What happened that an operator wants to know: the newest events of all shards, kept on shard 0. (pure)
//!
//! How an event gets there is `tell`'s business, how it is shown `forms`'s. The rule: an event is a few words of ours, with
//! a channel or an address where one belongs to it, and never a URL as it came, a password or a token.

use std::collections::VecDeque;

use crate::channel::id::ChannelId;

/// The newest events.
///
/// Shape: events have numbers that grow by one from 1 and are never used again.
///
/// Bound: [`KEPT_MAX`] of those that come in storms, and as many others, so that a storm pushes out nothing but itself;
/// the oldest makes room.
#[derive(Debug, Default)]
pub struct Events {
    last_id: u64,
    rare: VecDeque<(u64, Occurrence)>,
    frequent: VecDeque<(u64, Occurrence)>,
}

impl Events {
    /// Takes the next event. Its text is cut at [`TEXT_BYTES_MAX`].
    pub fn push(&mut self, mut occurrence: Occurrence) {
        let most = occurrence.text.floor_char_boundary(TEXT_BYTES_MAX);
        occurrence.text.truncate(most);
        self.last_id += 1;
        let kept = match occurrence.kind.is_frequent() {
            true => &mut self.frequent,
            false => &mut self.rare,
        };
        if kept.len() >= KEPT_MAX {
            kept.pop_front();
        }
        kept.push_back((self.last_id, occurrence));
    }

    /// Number of the newest event; 0 before the first.
    #[must_use]
    pub fn last_id(&self) -> u64 {
        self.last_id
    }

    /// Number of the oldest event that is kept; 0 if none is.
    #[must_use]
    pub fn first_id(&self) -> u64 {
        let oldest = [self.rare.front(), self.frequent.front()];
        let ids = oldest.into_iter().flatten().map(|(id, _)| *id);
        ids.min().unwrap_or(0)
    }

    /// The events after the number `after`, oldest first: of many, the newest `most`.
    #[must_use]
    pub fn after(&self, after: u64, most: usize) -> Vec<(u64, &Occurrence)> {
        let unseen = |kept: &VecDeque<(u64, Occurrence)>| kept.partition_point(|it| it.0 <= after);
        let rare = self.rare.range(unseen(&self.rare)..);
        let frequent = self.frequent.range(unseen(&self.frequent)..);
        let both = rare.chain(frequent);
        let mut found: Vec<_> = both.map(|(id, occurrence)| (*id, occurrence)).collect();
        found.sort_unstable_by_key(|(id, _)| *id);
        found.split_off(found.len().saturating_sub(most))
    }
}

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Occurrence {
    /// When, in microseconds of the clock.
    pub at_us: u64,
    /// What.
    pub kind: Kind,
    /// The channel it is about.
    pub channel: Option<ChannelId>,
    /// Why, a word of a closed set.
    pub reason: Option<&'static str>,
    /// How many of them this tells of. Bound: from 1.
    pub count: u64,
    /// One line of plain words.
    pub text: String,
}

/// Declares the kinds of events, each with its name and what it means.
macro_rules! kinds {
    ($($(#[$doc:meta])* $kind:ident = $name:literal,)*) => {
        /// What kind of event it is.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Kind { $($(#[$doc])* $kind,)* }

        impl Kind {
            /// Every kind, in order.
            pub const ALL: &[Self] = &[$(Self::$kind,)*];

            /// Its name in an answer.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self { $(Self::$kind => $name,)* }
            }
        }
    };
}

impl Kind {
    fn is_frequent(self) -> bool {
        matches!(self, Self::RequestRefused | Self::ViewerEnded)
    }
}

kinds! {
    /// Nobody wanted a channel any more, or it failed: it is fetched no longer.
    ChannelClosed = "channel_closed",
    /// No upstream of a channel gave what was needed.
    ChannelFailed = "channel_failed",
    /// A channel's media comes.
    ChannelLive = "channel_live",
    /// Somebody asked for a channel that nobody watched.
    ChannelOpened = "channel_opened",
    /// The operator had a channel fetched anew.
    ChannelRestarted = "channel_restarted",
    /// A channel went back to an upstream that stands higher in its list.
    ChannelSwitched = "channel_switched",
    /// The graceful stop has begun.
    Drain = "drain",
    /// The operator had the configuration read again: it is in use, or was refused.
    Reload = "reload",
    /// A request for a channel or a page was refused.
    RequestRefused = "request_refused",
    /// An upstream broke off or could not be reached; another try follows.
    UpstreamLost = "upstream_lost",
    /// A viewer ended.
    ViewerEnded = "viewer_ended",
}

/// How many events of either sort are kept.
pub const KEPT_MAX: usize = 500;

/// The longest text of an event.
pub const TEXT_BYTES_MAX: usize = 512;

#[cfg(test)]
mod tests {
    use super::*;

    fn occurrence(text: &str) -> Occurrence {
        Occurrence {
            at_us: 0,
            kind: Kind::Drain,
            channel: None,
            reason: None,
            count: 1,
            text: text.into(),
        }
    }

    fn after(events: &Events, after: u64, most: usize) -> Vec<(u64, &str)> {
        let found = events.after(after, most);
        let shown = found.into_iter();
        shown.map(|(id, it)| (id, it.text.as_str())).collect()
    }

    #[test]
    fn events_are_numbered_from_one_and_told_from_where_one_left_off() {
        let mut events = Events::default();
        assert_eq!((events.first_id(), events.last_id()), (0, 0));
        assert_eq!(after(&events, 0, 9), []);
        for text in ["a", "b", "c"] {
            events.push(occurrence(text));
        }
        assert_eq!((events.first_id(), events.last_id()), (1, 3));
        assert_eq!(after(&events, 0, 9), [(1, "a"), (2, "b"), (3, "c")]);
        assert_eq!(after(&events, 2, 9), [(3, "c")]);
        assert_eq!(after(&events, 0, 1), [(3, "c")]);
        assert_eq!(after(&events, 3, 9), []);
        assert_eq!(after(&events, u64::MAX, 9), []);
    }

    #[test]
    fn the_oldest_events_make_room_and_numbers_go_on() {
        let mut events = Events::default();
        let pushed = KEPT_MAX as u64 + 5;
        (0..pushed).for_each(|_| events.push(occurrence("x")));
        assert_eq!((events.first_id(), events.last_id()), (6, pushed));
        assert_eq!(events.after(0, usize::MAX).len(), KEPT_MAX);
        assert_eq!(after(&events, pushed - 1, 9), [(pushed, "x")]);
    }

    #[test]
    fn a_storm_pushes_out_nothing_but_itself() {
        let mut events = Events::default();
        events.push(occurrence("drain"));
        (0..KEPT_MAX + 1).for_each(|_| {
            events.push(Occurrence {
                kind: Kind::ViewerEnded,
                ..occurrence("end")
            });
        });
        events.push(occurrence("live"));
        let all = after(&events, 0, usize::MAX);
        assert_eq!(all.len(), KEPT_MAX + 2);
        assert_eq!(all[0], (1, "drain"));
        assert_eq!(all[1], (3, "end"));
        assert_eq!(all.last(), Some(&(events.last_id(), "live")));
        assert!(all.is_sorted());
        assert_eq!(events.first_id(), 1);
    }

    #[test]
    fn a_text_without_end_is_cut_between_letters() {
        let mut events = Events::default();
        events.push(occurrence(&"\u{e9}".repeat(TEXT_BYTES_MAX)));
        events.push(occurrence(&format!("x{}", "\u{e9}".repeat(TEXT_BYTES_MAX))));
        let lengths: Vec<usize> = after(&events, 0, 9)
            .iter()
            .map(|(_, text)| text.len())
            .collect();
        assert_eq!(lengths, [TEXT_BYTES_MAX, TEXT_BYTES_MAX - 1]);
    }
}
