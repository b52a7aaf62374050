//! Who holds how many connections to one provider: the book that its home shard keeps. (pure)
//!
//! How it is asked over the feed is `mod.rs`. The rules kept: no more connections count at once than the provider allows,
//! a closed one counts until the provider may have noticed; who asks is served in the order of asking; and while
//! somebody waits, channels that nobody watches are asked to give theirs up, one after the other.

use std::collections::VecDeque;
use std::time::Duration;

use crate::clock::micros;

/// What a provider allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terms {
    /// Connections at once; 0 is any number.
    pub connections_max: usize,
    /// How long a closed connection still counts.
    pub release: Duration,
}

/// A connection, or the wish for one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Holder {
    /// The shard that makes it.
    pub shard: usize,
    /// Its number there.
    pub number: u64,
}

/// What is to be told to a shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Said {
    /// It may connect.
    Granted(Holder),
    /// There is no room for it.
    Refused(Holder),
    /// Somebody else waits: give the connection up if nobody watches.
    Spare(Holder),
}

/// The connections to one provider.
///
/// Bound: one entry for each fetch and each look at a preferred upstream, and one for each that ended within
/// [`Terms::release`].
#[derive(Debug, Default)]
pub struct Ledger {
    /// In the order in which they will be asked whether they can be spared.
    held: VecDeque<Holder>,
    /// Until when closed connections count.
    released_us: Vec<u64>,
    waiting: VecDeque<Waiting>,
    /// Before that nobody is asked to be spared again.
    spare_us: u64,
}

#[derive(Debug)]
struct Waiting {
    holder: Holder,
    /// Whether it waits at all.
    is_patient: bool,
    until_us: u64,
}

impl Ledger {
    /// Wants a connection for `holder`; one that is not patient is answered at once.
    pub fn ask(
        &mut self,
        holder: Holder,
        is_patient: bool,
        terms: Terms,
        now_us: u64,
    ) -> Vec<Said> {
        let is_known = self.held.contains(&holder) || self.waits(holder);
        if !is_known {
            self.waiting.push_back(Waiting {
                holder,
                is_patient,
                until_us: now_us + micros(PATIENCE),
            });
        }
        self.settle(terms, now_us)
    }

    /// `holder` has closed its connection, or wants none any more; `was_used` says whether it may have connected.
    pub fn leave(
        &mut self,
        holder: Holder,
        was_used: bool,
        terms: Terms,
        now_us: u64,
    ) -> Vec<Said> {
        self.waiting.retain(|it| it.holder != holder);
        let held = self.held.len();
        self.held.retain(|it| *it != holder);
        if was_used && self.held.len() < held && !terms.release.is_zero() {
            self.released_us.push(now_us + micros(terms.release));
        }
        self.settle(terms, now_us)
    }

    /// Says what is due at `now_us`.
    pub fn settle(&mut self, terms: Terms, now_us: u64) -> Vec<Said> {
        self.released_us.retain(|until_us| *until_us > now_us);
        let mut said = Vec::new();
        while self.has_room(terms)
            && let Some(Waiting { holder, .. }) = self.waiting.pop_front()
        {
            self.held.push_back(holder);
            said.push(Said::Granted(holder));
        }
        // The first ones will have what is closed already; it is the others that wait for somebody to leave.
        let served = self.released_us.len();
        let mut place = 0;
        self.waiting.retain(|it| {
            let is_served = place < served;
            let stays = it.is_patient && (is_served || it.until_us > now_us);
            match stays {
                true => place += 1,
                false => said.push(Said::Refused(it.holder)),
            }
            stays
        });
        if self.lacks() && self.spare_us <= now_us {
            said.extend(self.held.front().copied().map(Said::Spare));
            self.held.rotate_left(1);
            self.spare_us = now_us + micros(SPARE_EVERY);
        }
        said
    }

    /// When [`Ledger::settle`] has something to say next; `None` while nobody waits.
    #[must_use]
    pub fn due_us(&self) -> Option<u64> {
        let served = self.released_us.len();
        let patience = self.waiting.iter().skip(served).map(|it| it.until_us);
        let released = self.released_us.iter().copied();
        let released = released.filter(|_| !self.waiting.is_empty());
        let spare = self.lacks().then_some(self.spare_us);
        patience.chain(released).chain(spare).min()
    }

    /// How many connections count now.
    #[must_use]
    pub fn connections(&self, now_us: u64) -> usize {
        let released = self.released_us.iter();
        self.held.len() + released.filter(|until_us| **until_us > now_us).count()
    }

    fn has_room(&self, terms: Terms) -> bool {
        let taken = self.held.len() + self.released_us.len();
        terms.connections_max == 0 || taken < terms.connections_max
    }

    /// Whether somebody waits for a connection that is not even being closed, and there is one to be closed.
    fn lacks(&self) -> bool {
        !self.held.is_empty() && self.waiting.len() > self.released_us.len()
    }

    fn waits(&self, holder: Holder) -> bool {
        self.waiting.iter().any(|it| it.holder == holder)
    }
}

/// How long a start waits for a connection that somebody must give up first: a player that changes the channel may
/// still be closing its old connection.
pub const PATIENCE: Duration = Duration::from_secs(2);

/// How often somebody is asked to give one up.
const SPARE_EVERY: Duration = Duration::from_millis(20);

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: Terms = Terms {
        connections_max: 1,
        release: Duration::ZERO,
    };
    const SLOW_ONE: Terms = Terms {
        connections_max: 1,
        release: Duration::from_secs(5),
    };
    const PATIENCE_US: u64 = 2_000_000;

    fn holder(number: u64) -> Holder {
        Holder { shard: 0, number }
    }

    fn granted(number: u64) -> Vec<Said> {
        vec![Said::Granted(holder(number))]
    }

    #[test]
    fn no_more_are_granted_than_allowed_and_those_who_wait_are_served_in_order() {
        let two = Terms {
            connections_max: 2,
            ..ONE
        };
        let mut ledger = Ledger::default();
        assert_eq!(ledger.ask(holder(1), true, two, 0), granted(1));
        assert_eq!(ledger.ask(holder(2), true, two, 0), granted(2));
        assert_eq!(
            ledger.ask(holder(3), true, two, 0),
            [Said::Spare(holder(1))]
        );
        assert_eq!(ledger.ask(holder(4), true, two, 0), []);
        assert_eq!(ledger.connections(0), 2);
        assert_eq!(ledger.leave(holder(2), true, two, 1), granted(3));
        assert_eq!(ledger.leave(holder(1), true, two, 2), granted(4));
    }

    #[test]
    fn each_holder_is_asked_in_turn_whether_it_can_be_spared() {
        let two = Terms {
            connections_max: 2,
            ..ONE
        };
        let mut ledger = Ledger::default();
        ledger.ask(holder(1), true, two, 0);
        ledger.ask(holder(2), true, two, 0);
        let mut asked = ledger.ask(holder(3), true, two, 0);
        while let Some(due_us) = ledger.due_us().filter(|due_us| *due_us < 50_000) {
            asked.extend(ledger.settle(two, due_us));
        }
        let asked_of = |number| Said::Spare(holder(number));
        assert_eq!(asked, [asked_of(1), asked_of(2), asked_of(1)]);
    }

    #[test]
    fn who_waits_in_vain_is_refused_and_who_is_not_patient_at_once() {
        let mut ledger = Ledger::default();
        ledger.ask(holder(1), true, ONE, 0);
        let refused = [Said::Refused(holder(2))];
        assert_eq!(ledger.ask(holder(2), false, ONE, 0), refused);
        ledger.ask(holder(3), true, ONE, 0);
        let said = ledger.settle(ONE, PATIENCE_US);
        assert!(said.contains(&Said::Refused(holder(3))), "{said:?}");
        assert_eq!(ledger.due_us(), None);
        assert_eq!(ledger.leave(holder(1), true, ONE, PATIENCE_US), []);
    }

    #[test]
    fn a_closed_connection_counts_until_the_provider_has_noticed() {
        let mut ledger = Ledger::default();
        ledger.ask(holder(1), true, SLOW_ONE, 0);
        assert_eq!(ledger.leave(holder(1), true, SLOW_ONE, 0), []);
        // It waits for longer than its patience: a place is being made.
        assert_eq!(ledger.ask(holder(2), true, SLOW_ONE, 0), []);
        assert_eq!(ledger.due_us(), Some(5_000_000));
        assert_eq!(ledger.settle(SLOW_ONE, 4_999_999), []);
        assert_eq!(ledger.connections(4_999_999), 1);
        assert_eq!(ledger.settle(SLOW_ONE, 5_000_000), granted(2));
    }

    #[test]
    fn a_connection_that_was_never_made_is_free_at_once() {
        let mut ledger = Ledger::default();
        ledger.ask(holder(1), true, SLOW_ONE, 0);
        ledger.ask(holder(2), true, SLOW_ONE, 0);
        assert_eq!(ledger.leave(holder(1), false, SLOW_ONE, 0), granted(2));
    }

    #[test]
    fn a_wish_that_is_taken_back_takes_no_place() {
        let mut ledger = Ledger::default();
        ledger.ask(holder(1), true, ONE, 0);
        ledger.ask(holder(2), true, ONE, 0);
        ledger.ask(holder(3), true, ONE, 0);
        ledger.leave(holder(2), true, ONE, 0);
        assert_eq!(ledger.leave(holder(1), true, ONE, 0), granted(3));
        assert_eq!(ledger.connections(0), 1);
    }

    #[test]
    fn a_limit_of_zero_is_none_and_asking_twice_counts_once() {
        let unlimited = Terms {
            connections_max: 0,
            ..ONE
        };
        let mut ledger = Ledger::default();
        for number in 1..=50 {
            assert_eq!(
                ledger.ask(holder(number), false, unlimited, 0),
                granted(number)
            );
        }
        assert_eq!(ledger.ask(holder(1), true, unlimited, 0), []);
        assert_eq!(ledger.connections(0), 50);
    }

    #[test]
    fn a_limit_that_was_lowered_lets_nobody_in_until_enough_have_left() {
        let mut ledger = Ledger::default();
        let two = Terms {
            connections_max: 2,
            ..ONE
        };
        ledger.ask(holder(1), true, two, 0);
        ledger.ask(holder(2), true, two, 0);
        ledger.ask(holder(3), true, ONE, 0);
        assert_eq!(ledger.leave(holder(1), true, ONE, 1), []);
        assert_eq!(ledger.leave(holder(2), true, ONE, 2), granted(3));
    }
}
