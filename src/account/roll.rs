//! Who watches on which account: the list that the account's home shard keeps. (pure)
//!
//! How it is asked over the feed is `attendance.rs`. The rules kept: the newest viewers stay, or with `refuse` the
//! oldest; a connection that its own device has opened anew goes before anybody else's; and no message that was lost or
//! late keeps a place taken, because every shard tells its whole list again and again.

use std::collections::HashMap;
use std::sync::Arc;

use crate::channel::id::ChannelId;
use crate::config::AtLimit;
use crate::metrics::ViewerEnd;

/// One viewer of an account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Visit {
    /// The account's user.
    pub user: Arc<str>,
    /// Counted up on the viewer's shard; never used twice there.
    pub number: u64,
    /// The same for connections of one address and one player.
    pub device: u64,
    /// What it watches.
    pub channel: ChannelId,
    /// When it asked to watch, last; microseconds on the line that all shards share.
    pub asked_us: u64,
    /// When it asked first.
    pub came_us: u64,
}

/// How many viewers an account may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// At once; 0 is any number.
    pub viewers_max: usize,
    /// What happens to one more.
    pub at_limit: AtLimit,
}

/// A viewer that has to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Closed {
    /// Its shard.
    pub shard: usize,
    /// Its number there.
    pub number: u64,
    /// Why it ends.
    pub why: ViewerEnd,
}

/// The viewers of all accounts whose home is this shard.
///
/// Bound: one entry for each viewer, and those of a shard that says nothing for [`CONFIRMED_US`] are forgotten.
#[derive(Debug, Default)]
pub struct Roll {
    entries: HashMap<Arc<str>, Vec<Entry>>,
}

#[derive(Debug)]
struct Entry {
    shard: usize,
    visit: Visit,
    confirmed_us: u64,
}

impl Roll {
    /// Adds a viewer of `shard` and names those that have to end for it, which may be the new one itself.
    pub fn arrive(&mut self, shard: usize, visit: Visit, limit: Limit, now_us: u64) -> Vec<Closed> {
        let entries = self.entries.entry(Arc::clone(&visit.user)).or_default();
        entries.retain(|it| it.is_confirmed(now_us) && !it.is(shard, visit.number));
        entries.push(Entry {
            shard,
            visit,
            confirmed_us: now_us,
        });
        enforce(entries, limit)
    }

    /// Takes a viewer out, if it is there.
    pub fn leave(&mut self, shard: usize, user: &str, number: u64) {
        if let Some(entries) = self.entries.get_mut(user) {
            entries.retain(|it| !it.is(shard, number));
            if entries.is_empty() {
                self.entries.remove(user);
            }
        }
    }

    /// Makes the list equal to what a shard says of its viewers numbered up to `up_to`, and names those that have to
    /// end. Later ones are not touched: what is said of them is on its way.
    pub fn confirm(
        &mut self,
        shard: usize,
        up_to: u64,
        visits: Vec<Visit>,
        limit: impl Fn(&str) -> Limit,
        now_us: u64,
    ) -> Vec<Closed> {
        for entries in self.entries.values_mut() {
            entries.retain(|it| {
                it.is_confirmed(now_us) && (it.shard != shard || it.visit.number > up_to)
            });
        }
        for visit in visits {
            let entries = self.entries.entry(Arc::clone(&visit.user)).or_default();
            entries.push(Entry {
                shard,
                visit,
                confirmed_us: now_us,
            });
        }
        let closed = self.enforce(limit);
        self.entries.retain(|_, entries| !entries.is_empty());
        closed
    }

    /// Takes out as many viewers of each account as are too many, and names them: they have to end.
    pub fn enforce(&mut self, limit: impl Fn(&str) -> Limit) -> Vec<Closed> {
        let mut closed = Vec::new();
        for (user, entries) in &mut self.entries {
            closed.extend(enforce(entries, limit(user)));
        }
        closed
    }

    /// How many viewers an account has.
    #[must_use]
    pub fn viewers(&self, user: &str) -> usize {
        self.entries.get(user).map_or(0, Vec::len)
    }
}

impl Entry {
    fn is(&self, shard: usize, number: u64) -> bool {
        self.shard == shard && self.visit.number == number
    }

    fn is_confirmed(&self, now_us: u64) -> bool {
        now_us < self.confirmed_us.saturating_add(CONFIRMED_US)
    }

    fn age(&self) -> (u64, usize, u64) {
        (self.visit.asked_us, self.shard, self.visit.number)
    }

    /// What tells the connections of one device to one channel from each other, the newest last, however often one asked.
    fn came(&self) -> (u64, usize, u64) {
        (self.visit.came_us, self.shard, self.visit.number)
    }

    fn place(&self) -> (u64, ChannelId) {
        (self.visit.device, self.visit.channel)
    }
}

/// Takes out as many as are too many: first those whose device watches the same channel over a newer connection.
fn enforce(entries: &mut Vec<Entry>, limit: Limit) -> Vec<Closed> {
    let mut excess = match limit.viewers_max {
        0 => 0,
        most => entries.len().saturating_sub(most),
    };
    if excess == 0 {
        return Vec::new();
    }
    let mut newest = HashMap::new();
    for entry in entries.iter() {
        let known = newest.entry(entry.place()).or_insert_with(|| entry.came());
        *known = entry.came().max(*known);
    }
    entries.sort_by_key(Entry::age);
    let mut closed = Vec::new();
    let mut close = |entry: &Entry, why| {
        closed.push(Closed {
            shard: entry.shard,
            number: entry.visit.number,
            why,
        });
    };
    entries.retain(|entry| {
        let is_reopened = newest
            .get(&entry.place())
            .is_some_and(|it| *it > entry.came());
        let goes = is_reopened && excess > 0;
        if goes {
            excess -= 1;
            close(entry, ViewerEnd::Replaced);
        }
        !goes
    });
    let ended = match limit.at_limit {
        AtLimit::Replace => 0..excess,
        AtLimit::Refuse => entries.len() - excess..entries.len(),
    };
    for entry in entries.drain(ended) {
        close(&entry, ViewerEnd::AtLimit);
    }
    closed
}

/// How long an entry holds that its shard does not confirm. Unit: microseconds.
pub const CONFIRMED_US: u64 = 60_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: Limit = Limit {
        viewers_max: 1,
        at_limit: AtLimit::Replace,
    };
    const TWO: Limit = Limit {
        viewers_max: 2,
        at_limit: AtLimit::Replace,
    };
    const REFUSE_ONE: Limit = Limit {
        viewers_max: 1,
        at_limit: AtLimit::Refuse,
    };

    /// Viewer `number` of device 1 on a channel of its own, which asked when its number was up.
    fn visit(number: u64) -> Visit {
        Visit {
            user: "anna".into(),
            number,
            device: 1,
            channel: ChannelId::Configured(u32::try_from(number).unwrap()),
            asked_us: number,
            came_us: number,
        }
    }

    fn on_device(number: u64, device: u64, channel: u32) -> Visit {
        Visit {
            device,
            channel: ChannelId::Configured(channel),
            ..visit(number)
        }
    }

    fn ends(closed: &[Closed]) -> Vec<(usize, u64, ViewerEnd)> {
        let each = closed.iter().map(|it| (it.shard, it.number, it.why));
        each.collect()
    }

    #[test]
    fn the_newest_stays_and_the_oldest_ends() {
        let mut roll = Roll::default();
        assert_eq!(roll.arrive(0, visit(1), TWO, 0), []);
        assert_eq!(roll.arrive(1, visit(2), TWO, 0), []);
        let closed = roll.arrive(0, visit(3), TWO, 0);
        assert_eq!(ends(&closed), [(0, 1, ViewerEnd::AtLimit)]);
        assert_eq!(roll.viewers("anna"), 2);
    }

    #[test]
    fn a_hundred_switches_leave_one_viewer_and_refuse_none() {
        let mut roll = Roll::default();
        for number in 1..=100 {
            let shard = usize::try_from(number % 2).unwrap();
            let closed = roll.arrive(shard, visit(number), ONE, 0);
            assert!(
                closed.iter().all(|it| it.number == number - 1),
                "{closed:?}"
            );
            assert_eq!(roll.viewers("anna"), 1);
        }
    }

    #[test]
    fn a_limit_that_was_lowered_ends_as_many_as_are_too_many() {
        let mut roll = Roll::default();
        for number in 1..=4 {
            roll.arrive(
                0,
                visit(number),
                Limit {
                    viewers_max: 0,
                    ..TWO
                },
                0,
            );
        }
        let closed = roll.enforce(|_| TWO);
        let oldest = [(0, 1, ViewerEnd::AtLimit), (0, 2, ViewerEnd::AtLimit)];
        assert_eq!(ends(&closed), oldest);
        let closed = roll.enforce(|_| REFUSE_ONE);
        assert_eq!(ends(&closed), [(0, 4, ViewerEnd::AtLimit)]);
        assert_eq!(roll.enforce(|_| REFUSE_ONE), []);
    }

    #[test]
    fn with_refuse_the_new_one_is_it_that_ends() {
        let mut roll = Roll::default();
        roll.arrive(0, visit(1), REFUSE_ONE, 0);
        let closed = roll.arrive(1, visit(2), REFUSE_ONE, 0);
        assert_eq!(ends(&closed), [(1, 2, ViewerEnd::AtLimit)]);
        roll.leave(0, "anna", 1);
        assert_eq!(roll.arrive(1, visit(3), REFUSE_ONE, 0), []);
    }

    #[test]
    fn a_device_that_reopens_its_channel_replaces_itself_and_nobody_else() {
        for at_limit in [AtLimit::Replace, AtLimit::Refuse] {
            let limit = Limit { at_limit, ..TWO };
            let mut roll = Roll::default();
            roll.arrive(0, on_device(1, 8, 7), limit, 0);
            roll.arrive(0, on_device(2, 9, 7), limit, 0);
            let closed = roll.arrive(1, on_device(3, 9, 7), limit, 0);
            assert_eq!(ends(&closed), [(0, 2, ViewerEnd::Replaced)]);
        }
    }

    #[test]
    fn a_connection_that_was_reopened_makes_room_before_anybody_else() {
        let limit = Limit {
            viewers_max: 3,
            ..TWO
        };
        let mut roll = Roll::default();
        roll.arrive(0, on_device(1, 8, 7), limit, 0);
        roll.arrive(0, on_device(2, 9, 7), limit, 0);
        roll.arrive(0, on_device(3, 9, 7), limit, 0);
        let closed = roll.arrive(0, on_device(4, 10, 7), limit, 0);
        assert_eq!(ends(&closed), [(0, 2, ViewerEnd::Replaced)]);
    }

    #[test]
    fn an_account_without_a_limit_is_counted_and_never_ended() {
        let unlimited = Limit {
            viewers_max: 0,
            ..ONE
        };
        let mut roll = Roll::default();
        for number in 0..50 {
            assert_eq!(roll.arrive(0, visit(number), unlimited, 0), []);
        }
        assert_eq!(roll.viewers("anna"), 50);
        assert_eq!(roll.viewers("ben"), 0);
    }

    #[test]
    fn asking_twice_counts_once() {
        let mut roll = Roll::default();
        roll.arrive(0, visit(1), REFUSE_ONE, 0);
        assert_eq!(roll.arrive(0, visit(1), REFUSE_ONE, 0), []);
        assert_eq!(roll.viewers("anna"), 1);
    }

    #[test]
    fn a_leave_that_was_lost_holds_no_place_for_long() {
        let mut roll = Roll::default();
        roll.arrive(1, visit(1), REFUSE_ONE, 0);
        assert_eq!(roll.confirm(1, 5, Vec::new(), |_| REFUSE_ONE, 1), []);
        assert_eq!(roll.viewers("anna"), 0);
        // Nor does the entry of a shard that says nothing any more.
        roll.arrive(1, visit(2), REFUSE_ONE, 0);
        assert_eq!(roll.arrive(0, visit(3), REFUSE_ONE, CONFIRMED_US), []);
        assert_eq!(roll.viewers("anna"), 1);
    }

    #[test]
    fn a_list_says_nothing_of_other_shards_and_of_later_viewers() {
        let mut roll = Roll::default();
        roll.arrive(0, visit(1), TWO, 0);
        roll.arrive(1, visit(6), TWO, 0);
        assert_eq!(roll.confirm(1, 5, Vec::new(), |_| TWO, 1), []);
        assert_eq!(roll.viewers("anna"), 2);
    }

    #[test]
    fn an_arrival_that_was_lost_is_made_up_for() {
        let mut roll = Roll::default();
        roll.arrive(0, visit(2), ONE, 0);
        let closed = roll.confirm(1, 9, vec![visit(9)], |_| ONE, 1);
        assert_eq!(ends(&closed), [(0, 2, ViewerEnd::AtLimit)]);
        assert_eq!(roll.viewers("anna"), 1);
    }

    #[test]
    fn an_end_that_was_lost_is_said_again() {
        let mut roll = Roll::default();
        roll.arrive(1, visit(1), ONE, 0);
        roll.arrive(0, visit(2), ONE, 0);
        let closed = roll.confirm(1, 1, vec![visit(1)], |_| ONE, 1);
        assert_eq!(ends(&closed), [(1, 1, ViewerEnd::AtLimit)]);
        assert_eq!(roll.viewers("anna"), 1);
    }

    #[test]
    fn a_connection_that_asks_again_does_not_replace_a_newer_one_of_its_device() {
        let mut roll = Roll::default();
        let on_seven = |number, asked_us| Visit {
            asked_us,
            ..on_device(number, 9, 7)
        };
        assert!(roll.arrive(0, on_device(1, 1, 5), REFUSE_ONE, 0).is_empty());
        let refused = roll.arrive(0, on_seven(2, 2), REFUSE_ONE, 0);
        assert_eq!(refused[0].number, 2);
        roll.leave(0, "anna", 1);
        assert!(roll.arrive(0, on_seven(3, 3), REFUSE_ONE, 0).is_empty());
        let again = roll.arrive(0, on_seven(2, 4), REFUSE_ONE, 0);
        assert_eq!((again.len(), again[0].number), (1, 2), "the older one ends");
    }

    #[test]
    fn a_large_account_is_brought_to_its_limit_in_one_go() {
        let half = Limit {
            viewers_max: 25_000,
            at_limit: AtLimit::Replace,
        };
        // Every tenth connection was opened anew by its device.
        let on_channel = |number: u64| on_device(number, number / 10 * 10, 7);
        let visits: Vec<Visit> = (0..50_000).map(on_channel).collect();
        let mut roll = Roll::default();
        let closed = roll.confirm(0, 50_000, visits, |_| half, 1);
        assert_eq!((closed.len(), roll.viewers("anna")), (25_000, 25_000));
        assert!(closed.iter().all(|it| it.why == ViewerEnd::Replaced));
        let newest_of_first = closed.iter().find(|it| it.number == 9);
        assert_eq!(newest_of_first, None, "the newest of a device stays");
    }

    #[test]
    fn an_entry_that_is_confirmed_stays() {
        let mut roll = Roll::default();
        roll.arrive(0, visit(1), ONE, 0);
        for turn in 1..20 {
            let now_us = turn * CONFIRMED_US / 2;
            assert_eq!(roll.confirm(0, 1, vec![visit(1)], |_| ONE, now_us), []);
        }
        assert_eq!(roll.viewers("anna"), 1);
    }
}
