//! A channel on its home shard: the one place where it can start.
//!
//! Numbers the chunks, keeps what a late follower is still given, and knows which shards follow. The bytes come from
//! `upstream`; how a message travels to another shard is `shard::feed`'s business.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;

use crate::channel::chunk::Chunk;
use crate::channel::id::ChannelId;
use crate::channel::ring::Ring;
use crate::channel::wakers::Wakers;
use crate::channel::{End, Phase};
use crate::clock::micros;
use crate::config::{Stream, Upstream};
use crate::metrics::ChannelCounters;
use crate::segment::Extent;
use crate::shard::feed::{Message, Undelivered};
use crate::ts::chunker::Closed;

/// A channel that is fetched on this shard.
pub struct Home {
    /// The channel.
    pub id: ChannelId,
    /// What operators call it.
    pub name: String,
    /// Its limits.
    pub limits: Stream,
    /// Where its bytes come from, in order of preference.
    pub upstreams: Vec<Upstream>,
    /// What is counted for it on this shard.
    pub counters: Rc<ChannelCounters>,
    /// Signalled when a shard subscribes or unsubscribes.
    pub audience: Wakers,
    ring: RefCell<Ring>,
    followers: RefCell<Vec<Follower>>,
    phase: Cell<Phase>,
    has_been_live: Cell<bool>,
    bits_per_second: Cell<u64>,
    published_bytes: Cell<u64>,
}

/// A shard that follows the channel, under the id by which its viewers asked.
struct Follower {
    shard: usize,
    channel: ChannelId,
    epoch: u64,
    next_seq: u64,
}

impl Home {
    /// A home that nobody follows yet.
    #[must_use]
    pub fn new(
        id: ChannelId,
        name: String,
        limits: Stream,
        upstreams: Vec<Upstream>,
        counters: Rc<ChannelCounters>,
    ) -> Self {
        let ring = Ring::new(micros(limits.ring), limits.ring_bytes_max);
        Self {
            id,
            name,
            limits,
            upstreams,
            counters,
            audience: Wakers::default(),
            ring: RefCell::new(ring),
            followers: RefCell::default(),
            phase: Cell::new(Phase::Opening),
            has_been_live: Cell::new(false),
            bits_per_second: Cell::new(0),
            published_bytes: Cell::new(0),
        }
    }

    /// What the channel is doing.
    #[must_use]
    pub fn phase(&self) -> Phase {
        self.phase.get()
    }

    /// Says what the channel is doing, and answers what it did before.
    pub fn enter(&self, phase: Phase) -> Phase {
        let before = self.phase.replace(phase);
        if phase == Phase::Live {
            self.has_been_live.set(true);
        }
        let up = &self.counters.upstreams_up;
        match (before == Phase::Live, phase == Phase::Live) {
            (false, true) => up.add(1),
            (true, false) => up.set(up.value().saturating_sub(1)),
            _ => {}
        }
        before
    }

    /// Says how fast the media is now; channels of one label are added up.
    pub fn measure(&self, bits_per_second: u64) {
        let before = self.bits_per_second.replace(bits_per_second);
        let all = &self.counters.bits_per_second;
        all.set((all.value() + bits_per_second).saturating_sub(before));
    }

    /// Whether any shard follows.
    #[must_use]
    pub fn has_audience(&self) -> bool {
        !self.followers.borrow().is_empty()
    }

    /// Whether media was ever delivered.
    #[must_use]
    pub fn has_been_live(&self) -> bool {
        self.has_been_live.get()
    }

    /// Whether any chunk was ever published.
    #[must_use]
    pub fn has_published(&self) -> bool {
        self.ring.borrow().head_seq() > 1
    }

    /// Adds a shard, or renews its subscription; it will be given all that the ring holds.
    pub fn subscribe(&self, shard: usize, channel: ChannelId, epoch: u64) {
        let next_seq = self.ring.borrow().tail_seq();
        let mut followers = self.followers.borrow_mut();
        followers.retain(|known| (known.shard, known.channel) != (shard, channel));
        followers.push(Follower {
            shard,
            channel,
            epoch,
            next_seq,
        });
        drop(followers);
        self.audience.wake_all();
    }

    /// Takes a shard out; an order about an older subscription is ignored.
    ///
    /// With the last one the fetch ends, and what it brought is history: who comes now waits for the next.
    pub fn unsubscribe(&self, shard: usize, channel: ChannelId, epoch: u64) {
        let left = (shard, channel, epoch);
        let mut followers = self.followers.borrow_mut();
        followers.retain(|known| (known.shard, known.channel, known.epoch) != left);
        let is_last = followers.is_empty();
        drop(followers);
        if is_last {
            self.forget_history();
        }
        self.audience.wake_all();
    }

    /// Forgets the history; numbering goes on.
    pub fn forget_history(&self) {
        self.ring.borrow_mut().clear();
    }

    /// Moves everybody who follows this channel to `other`.
    pub fn hand_over(&self, other: &Self) {
        for follower in self.followers.take() {
            other.subscribe(follower.shard, follower.channel, follower.epoch);
        }
    }

    /// Gives a closed chunk its number and keeps it for the shards; `now_us` is when it could first be sent.
    pub fn append(&self, extent: Extent, closed: &Closed, now_us: u64) {
        let mut ring = self.ring.borrow_mut();
        let chunk = Chunk {
            seq: ring.head_seq(),
            bytes_before: self.published_bytes.get(),
            extent,
            media_us: closed.media_us,
            closed_us: now_us,
            join: closed.join.clone(),
        };
        let published_bytes = chunk.bytes_before + chunk.extent.len() as u64;
        self.published_bytes.set(published_bytes);
        ring.push(Arc::new(chunk));
        self.counters.chunks.add(1);
    }

    /// Tells each following shard what it has not been told yet, through `deliver` (shard, message).
    ///
    /// Bound: what cannot be delivered now stays in the ring and goes with the next call, as far as it is still held.
    /// Says whether everything was delivered.
    pub fn publish(
        &self,
        mut deliver: impl FnMut(usize, Message) -> Result<(), Undelivered>,
    ) -> bool {
        let mut is_complete = true;
        let mut index = 0;
        // Delivering to this very shard may change the list, so it is borrowed anew for each shard.
        while let Some((shard, message, head_seq)) = self.news_for(index) {
            let Some(message) = message else {
                index += 1;
                continue;
            };
            match deliver(shard, message) {
                Ok(()) => self.mark_told(index, shard, head_seq),
                Err(Undelivered) => is_complete = false,
            }
            index += 1;
        }
        is_complete
    }

    /// Tells every following shard that the channel has ended; nobody follows afterwards.
    pub fn end(&self, end: End, mut deliver: impl FnMut(usize, Message)) {
        for follower in self.followers.take() {
            let message = Message::Ended {
                channel: follower.channel,
                epoch: follower.epoch,
                end,
            };
            deliver(follower.shard, message);
        }
    }

    fn news_for(&self, index: usize) -> Option<(usize, Option<Message>, u64)> {
        let followers = self.followers.borrow();
        let follower = followers.get(index)?;
        let ring = self.ring.borrow();
        let chunks: Vec<_> = ring.since(follower.next_seq).cloned().collect();
        let message = (!chunks.is_empty()).then_some(Message::Chunks {
            channel: follower.channel,
            epoch: follower.epoch,
            chunks,
        });
        Some((follower.shard, message, ring.head_seq()))
    }

    fn mark_told(&self, index: usize, shard: usize, head_seq: u64) {
        let mut followers = self.followers.borrow_mut();
        if let Some(follower) = followers.get_mut(index)
            && follower.shard == shard
        {
            follower.next_seq = head_seq;
        }
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        self.enter(Phase::Opening);
        self.measure(0);
    }
}
