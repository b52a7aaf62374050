//! Who has all there is of a channel: visited one after the other, without waking a task, when there is more.
//!
//! To wake a task and to run it costs as much memory traffic as half a call of the kernel, and most viewers need nothing
//! but that call. Whoever needs more is woken. What a visit does is the business of `viewer`, when one is due of `batch`.
//! The rules: a visit drops nobody, so that the table stays as it is for its time; and a round that is due again while it
//! is under way begins anew where it stands, so that nobody is left out and nothing is queued.

use std::cell::RefCell;
use std::rc::Rc;
use std::task::Waker;

use crate::channel::ring::Ring;
use crate::clock::Clock;
use crate::metrics::recent::Recent;
use crate::metrics::{ChannelCounters, Counter};

/// What can be visited when its channel has more.
pub trait Visit {
    /// Takes what is new; says what comes next.
    fn visit(&self, news: &News<'_>) -> Visited;
}

/// What a visit is made with.
pub struct News<'a> {
    /// The channel's history.
    pub ring: &'a Ring,
    /// Its bit rate, once it is known.
    pub bits_per_second: Option<u64>,
    /// What is counted for the channel on this shard.
    pub counters: &'a ChannelCounters,
    /// Calls that handed viewers bytes.
    pub send_calls: &'a Counter,
    /// How the shard has fared over the last seconds.
    pub recent: &'a Recent,
    /// The shard's clock.
    pub clock: &'a Clock,
}

/// What a visit came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Visited {
    /// It has all there is, or waits for a time of its own.
    Stands,
    /// Its task has to see to it.
    Wakes,
}

/// Those of one group of a channel.
///
/// Shape: a place is used again once it is free, so that the table is as long as there were ever places at once.
#[derive(Clone, Default)]
pub struct Standing(Rc<RefCell<Table>>);

#[derive(Default)]
struct Table {
    places: Vec<Option<Member>>,
    free: Vec<usize>,
    /// The place that is visited next.
    next: usize,
    /// Places that the round has to go, past the last one on from the first.
    left: usize,
}

struct Member {
    visited: Rc<dyn Visit>,
    /// Its task while it stands.
    waker: Option<Waker>,
}

impl Standing {
    /// Takes a place for `visited`; it is given back when the [`Stand`] is dropped.
    #[must_use]
    pub fn place(&self, visited: Rc<dyn Visit>) -> Stand {
        let mut table = self.0.borrow_mut();
        let member = Some(Member {
            visited,
            waker: None,
        });
        let index = match table.free.pop() {
            Some(index) => index,
            None => table.places.len(),
        };
        match table.places.get_mut(index) {
            Some(place) => *place = member,
            None => table.places.push(member),
        }
        drop(table);
        Stand {
            standing: self.clone(),
            index,
        }
    }

    /// Begins a round of visits, from where the last one stands; says whether none was under way.
    #[must_use]
    pub fn begin_round(&self) -> bool {
        let mut table = self.0.borrow_mut();
        let is_new = table.left == 0;
        table.left = table.places.len();
        is_new && table.left > 0
    }

    /// Goes on with the round for at most so many places: visits those who stand there and wakes those who need it.
    ///
    /// Says how many places it has gone; fewer than `places_max` means that the round is over.
    #[must_use]
    pub fn visit(&self, places_max: usize, news: &News<'_>) -> usize {
        let mut table = self.0.borrow_mut();
        let mut gone = 0;
        while gone < places_max && table.left > 0 {
            if table.next >= table.places.len() {
                table.next = 0;
            }
            let next = table.next;
            let count = (places_max - gone)
                .min(table.left)
                .min(table.places.len() - next);
            for member in table.places.iter_mut().skip(next).take(count).flatten() {
                if member.waker.is_some() && member.visited.visit(news) == Visited::Wakes {
                    member.wake();
                }
            }
            table.next += count;
            table.left -= count;
            gone += count;
        }
        gone
    }

    /// Wakes everybody who stands.
    pub fn wake_all(&self) {
        let mut table = self.0.borrow_mut();
        table.places.iter_mut().flatten().for_each(Member::wake);
    }
}

impl Member {
    fn wake(&mut self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
}

/// One viewer's place among those who have all there is.
pub struct Stand {
    standing: Standing,
    index: usize,
}

impl Stand {
    /// Stands from now on, on behalf of the task that `waker` wakes.
    pub fn stand(&self, waker: &Waker) {
        self.with(|member| match &mut member.waker {
            Some(held) => held.clone_from(waker),
            None => member.waker = Some(waker.clone()),
        });
    }

    /// Stands no more: its task sees to everything.
    pub fn leave(&self) {
        self.with(|member| member.waker = None);
    }

    fn with(&self, change: impl FnOnce(&mut Member)) {
        let mut table = self.standing.0.borrow_mut();
        if let Some(Some(member)) = table.places.get_mut(self.index) {
            change(member);
        }
    }
}

impl Drop for Stand {
    fn drop(&mut self) {
        let mut table = self.standing.0.borrow_mut();
        let member = table.places.get_mut(self.index).and_then(Option::take);
        table.free.push(self.index);
        drop(table);
        drop(member);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::channel::wakers::tests::counted;
    use crate::clock::Epoch;
    use std::cell::Cell;

    struct Visitor {
        visits: Cell<u32>,
        answer: Cell<Visited>,
    }

    impl Visit for Visitor {
        fn visit(&self, _: &News<'_>) -> Visited {
            self.visits.set(self.visits.get() + 1);
            self.answer.get()
        }
    }

    fn visitor() -> Rc<Visitor> {
        Rc::new(Visitor {
            visits: Cell::new(0),
            answer: Cell::new(Visited::Stands),
        })
    }

    /// A part of a round, in all of it if `places_max` allows.
    fn visit(standing: &Standing, places_max: usize) -> usize {
        let news = News {
            ring: &Ring::new(1, 1),
            bits_per_second: None,
            counters: &ChannelCounters::default(),
            send_calls: &Counter::default(),
            recent: &Recent::default(),
            clock: &Clock::new(Epoch::begin()),
        };
        standing.visit(places_max, &news)
    }

    fn stands(standing: &Standing, waker: &Waker, count: usize) -> (Vec<Rc<Visitor>>, Vec<Stand>) {
        let visitors: Vec<_> = (0..count).map(|_| visitor()).collect();
        let place = |visitor| standing.place(Rc::<Visitor>::clone(visitor));
        let stands: Vec<_> = visitors.iter().map(place).collect();
        stands.iter().for_each(|stand| stand.stand(waker));
        (visitors, stands)
    }

    fn visits(visitors: &[Rc<Visitor>]) -> Vec<u32> {
        visitors
            .iter()
            .map(|visitor| visitor.visits.get())
            .collect()
    }

    #[test]
    fn only_who_stands_is_visited_and_only_who_needs_it_is_woken() {
        let standing = Standing::default();
        let (count, waker) = counted();
        let visitor = visitor();
        let stand = standing.place(Rc::<Visitor>::clone(&visitor));
        let round = || {
            assert!(standing.begin_round());
            assert_eq!(visit(&standing, 9), 1);
            (visitor.visits.get(), count.value())
        };
        assert_eq!(round(), (0, 0), "it does not stand yet");
        stand.stand(&waker);
        round();
        assert_eq!(round(), (2, 0));
        visitor.answer.set(Visited::Wakes);
        round();
        assert_eq!(round(), (3, 1), "its task sees to it");
        stand.stand(&waker);
        stand.leave();
        assert_eq!(round(), (3, 1));
        standing.wake_all();
        assert_eq!(round(), (3, 1));
    }

    #[test]
    fn a_round_goes_on_where_it_was_left() {
        let standing = Standing::default();
        let (visitors, _stands) = stands(&standing, &counted().1, 5);
        assert_eq!(visit(&standing, 9), 0, "no round has begun");
        assert!(standing.begin_round());
        assert_eq!(visit(&standing, 3), 3);
        assert_eq!(visits(&visitors), [1, 1, 1, 0, 0]);
        assert_eq!(visit(&standing, 3), 2);
        assert_eq!(visits(&visitors), [1; 5]);
    }

    #[test]
    fn a_round_that_is_due_again_visits_everybody_once_more() {
        let standing = Standing::default();
        let (visitors, _stands) = stands(&standing, &counted().1, 5);
        assert!(standing.begin_round());
        assert_eq!(visit(&standing, 3), 3);
        assert!(!standing.begin_round(), "one is under way");
        assert_eq!(visit(&standing, 9), 5);
        assert_eq!(visits(&visitors), [2, 2, 2, 1, 1]);
    }

    #[test]
    fn nobody_has_no_round() {
        assert!(!Standing::default().begin_round());
    }

    #[test]
    fn a_place_that_was_left_is_used_again_and_keeps_nothing() {
        let standing = Standing::default();
        let first = visitor();
        drop(standing.place(Rc::<Visitor>::clone(&first)));
        assert_eq!(Rc::strong_count(&first), 1);
        let (_visitors, _stands) = stands(&standing, &counted().1, 2);
        assert!(standing.begin_round());
        assert_eq!(visit(&standing, 9), 2);
    }

    #[test]
    fn the_end_wakes_everybody_once() {
        let standing = Standing::default();
        let (count, waker) = counted();
        let (_visitors, _stands) = stands(&standing, &waker, 2);
        standing.wake_all();
        standing.wake_all();
        assert_eq!(count.value(), 2);
    }
}
