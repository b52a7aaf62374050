//! A channel as one shard hands it to its own viewers.
//!
//! Holds the shard's ring of the channel and the tasks that wait for its next chunk. Filled by the home shard through
//! the feed, emptied by nobody: viewers only read. Who subscribes and when is `table`'s business.

use std::cell::{Cell, Ref, RefCell};
use std::rc::Rc;
use std::sync::Arc;

use crate::channel::End;
use crate::channel::batch::{self, GROUPS, Turns};
use crate::channel::chunk::Chunk;
use crate::channel::id::ChannelId;
use crate::channel::ring::Ring;
use crate::channel::standing::{News, Stand, Standing, Visit};
use crate::channel::wakers::Wakers;
use crate::clock::{Clock, micros};
use crate::config::Stream;
use crate::metrics::{ChannelCounters, Counter, ShardCounters};

/// One channel on one shard, for one subscription.
pub struct Relay {
    /// The channel.
    pub id: ChannelId,
    /// Tells this subscription from earlier ones of the same channel.
    pub epoch: u64,
    /// The shard that was asked for the channel.
    pub home: Cell<usize>,
    limits: RefCell<Rc<Stream>>,
    /// What is counted for the channel on this shard.
    pub counters: Rc<ChannelCounters>,
    /// Tasks that wait for the next chunk, or for the end, to begin.
    pub news: Wakers,
    /// Viewers that have all there is, in the groups that take turns.
    groups: [Standing; GROUPS],
    next_group: Cell<usize>,
    turns: RefCell<Turns>,
    /// How long the home shard was told that chunks wait.
    pub paced_us: Cell<u64>,
    /// Tasks that wait for the channel's end alone: those whose socket takes nothing now.
    pub ends: Wakers,
    ring: RefCell<Ring>,
    bits_per_second: Cell<Option<u64>>,
    viewers: Cell<usize>,
    end: Cell<Option<End>>,
}

impl Relay {
    /// A relay without history.
    #[must_use]
    pub fn new(id: ChannelId, epoch: u64, limits: Stream, counters: Rc<ChannelCounters>) -> Self {
        let ring = Ring::new(micros(limits.ring), limits.ring_bytes_max);
        Self {
            id,
            epoch,
            home: Cell::new(0),
            limits: RefCell::new(Rc::new(limits)),
            counters,
            news: Wakers::default(),
            groups: Default::default(),
            next_group: Cell::new(0),
            turns: RefCell::default(),
            paced_us: Cell::new(0),
            ends: Wakers::default(),
            ring: RefCell::new(ring),
            bits_per_second: Cell::new(None),
            viewers: Cell::new(0),
            end: Cell::new(None),
        }
    }

    /// The channel's limits now.
    #[must_use]
    pub fn limits(&self) -> Rc<Stream> {
        Rc::clone(&self.limits.borrow())
    }

    /// Takes what an open channel can take of other limits.
    pub fn take_limits(&self, limits: &Stream) {
        let taken = limits.taken_over(&self.limits());
        if *self.limits() != taken {
            self.limits.replace(Rc::new(taken));
        }
    }

    /// The history. The borrow must not live across an await.
    #[must_use]
    pub fn ring(&self) -> Ref<'_, Ring> {
        self.ring.borrow()
    }

    /// A place among those that have all there is, in one group after the other.
    #[must_use]
    pub fn place(&self, visited: Rc<dyn Visit>) -> Stand {
        let group = self.next_group.get();
        self.next_group.set((group + 1) % GROUPS);
        let [first, ..] = &self.groups;
        self.groups.get(group).unwrap_or(first).place(visited)
    }

    /// Appends chunks from the home shard and says which groups are to be visited, where chunks wait `batch_us`.
    #[must_use]
    pub fn extend(&self, chunks: Vec<Arc<Chunk>>, batch_us: u64, now_us: u64) -> [bool; GROUPS] {
        let head_bytes = chunks
            .last()
            .map_or(0, |chunk| chunk.bytes_before + chunk.extent.len() as u64);
        let arrived_us = chunks.first().map_or(now_us, |chunk| chunk.arrived_us);
        let sent_bytes = self.counters.sent_bytes.value();
        self.counters.sent_rate.note(sent_bytes, now_us);
        let news = batch::News {
            head_bytes,
            arrived_us,
        };
        let mut ring = self.ring.borrow_mut();
        let before = ring.bytes();
        for chunk in chunks {
            self.counters.feed_lost_chunks.add(ring.push(chunk));
        }
        let after = ring.bytes();
        self.bits_per_second.set(ring.bits_per_second());
        drop(ring);
        adjust(&self.counters.ring_bytes, before, after);
        self.news.wake_all();
        self.turns.borrow_mut().arrive(news, batch_us, now_us)
    }

    /// Says which groups are to be visited because their turn has passed without a chunk.
    #[must_use]
    pub fn overdue(&self, now_us: u64) -> [bool; GROUPS] {
        self.turns.borrow_mut().overdue(now_us)
    }

    /// When [`Relay::overdue`] has somebody to name; `None` if nobody waits.
    #[must_use]
    pub fn due_us(&self) -> Option<u64> {
        self.turns.borrow().due_us()
    }

    /// Begins a round of visits to a group; says whether none was under way.
    #[must_use]
    pub fn begin_round(&self, group: usize) -> bool {
        self.groups.get(group).is_some_and(Standing::begin_round)
    }

    /// Goes on with the round of a group for at most so many places, and says for how many; fewer mean that it is over.
    #[must_use]
    pub fn visit(
        &self,
        group: usize,
        places_max: usize,
        clock: &Clock,
        counters: &ShardCounters,
    ) -> usize {
        let news = News {
            ring: &self.ring.borrow(),
            bits_per_second: self.bits_per_second.get(),
            counters: &self.counters,
            send_calls: &counters.send_calls,
            recent: &counters.recent,
            clock,
        };
        let group = self.groups.get(group);
        group.map_or(0, |group| group.visit(places_max, &news))
    }

    /// Says that nothing more will come and wakes everybody.
    pub fn end(&self, end: End) {
        if self.end.get().is_none() {
            self.end.set(Some(end));
        }
        self.news.wake_all();
        self.groups.iter().for_each(Standing::wake_all);
        self.ends.wake_all();
    }

    /// Why the channel ended, if it did.
    #[must_use]
    pub fn ended(&self) -> Option<End> {
        self.end.get()
    }

    /// The bit rate of the history, once there is enough of it.
    #[must_use]
    pub fn bits_per_second(&self) -> Option<u64> {
        self.bits_per_second.get()
    }

    /// Viewers that hold a seat.
    #[must_use]
    pub fn viewers(&self) -> usize {
        self.viewers.get()
    }

    pub(super) fn count_viewers(&self, viewers: usize) {
        self.viewers.set(viewers);
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        let bytes = self.ring.borrow().bytes();
        adjust(&self.counters.ring_bytes, bytes, 0);
    }
}

/// Moves a gauge that several channels of one label share.
fn adjust(gauge: &Counter, before: usize, after: usize) {
    let value = gauge.value() + after as u64;
    gauge.set(value.saturating_sub(before as u64));
}
