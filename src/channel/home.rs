//! A channel on its home shard: the one place where it can start.
//!
//! Numbers the chunks, keeps what a late follower is still given, and knows which shards follow. The bytes come from
//! `upstream`; how a message travels to another shard is `shard::feed`'s business.

use std::cell::{Cell, OnceCell, RefCell};
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use crate::channel::chunk::Chunk;
use crate::channel::id::ChannelId;
use crate::channel::media::Media;
use crate::channel::ring::Ring;
use crate::channel::terms::Terms;
use crate::channel::wakers::Wakers;
use crate::channel::{End, Phase};
use crate::clock::micros;
use crate::config::{Stream, Upstream};
use crate::metrics::ChannelCounters;
use crate::segment::Extent;
use crate::shard::feed::{Message, Undelivered};
use crate::ts::PACKET_BYTES;
use crate::ts::chunker::Closed;
use crate::ts::facts::Facts;
use crate::ts::join::JoinRecord;
use crate::ts::packet::{PID_NULL, SYNC};

/// A channel that is fetched on this shard.
pub struct Home {
    /// The channel.
    pub id: ChannelId,
    /// What the configuration says of it.
    pub terms: Terms,
    /// What is counted for it on this shard.
    pub counters: Rc<ChannelCounters>,
    /// Signalled when a shard subscribes or unsubscribes, and when a restart is wanted.
    pub audience: Wakers,
    /// What is known of its media; a scrape looks at it too.
    media: Rc<RefCell<Media>>,
    ring: RefCell<Ring>,
    followers: RefCell<Vec<Follower>>,
    phase: Cell<Phase>,
    since_us: Cell<u64>,
    is_restart_wanted: Cell<bool>,
    has_been_live: Cell<bool>,
    published_bytes: Cell<u64>,
    /// When the newest chunk was published, and the newest with media.
    chunk_us: Cell<u64>,
    media_us: Cell<u64>,
    /// A packet that only fills the line; made when it is first needed.
    filler: OnceCell<Extent>,
}

/// A shard that follows the channel, under the id by which its viewers asked.
struct Follower {
    shard: usize,
    channel: ChannelId,
    epoch: u64,
    next_seq: u64,
    /// How long its viewers' chunks wait anyway.
    batch_us: u64,
}

impl Home {
    /// A home that nobody follows yet.
    #[must_use]
    pub fn new(
        id: ChannelId,
        name: &str,
        limits: Stream,
        upstreams: Vec<Upstream>,
        counters: Rc<ChannelCounters>,
    ) -> Self {
        let ring = Ring::new(micros(limits.ring), limits.ring_bytes_max);
        let media = Rc::default();
        counters.media.watch(&media);
        Self {
            id,
            terms: Terms::new(name, limits, upstreams),
            counters,
            audience: Wakers::default(),
            media,
            ring: RefCell::new(ring),
            followers: RefCell::default(),
            phase: Cell::new(Phase::Opening),
            since_us: Cell::new(0),
            is_restart_wanted: Cell::new(false),
            has_been_live: Cell::new(false),
            published_bytes: Cell::new(0),
            chunk_us: Cell::new(0),
            media_us: Cell::new(0),
            filler: OnceCell::new(),
        }
    }

    /// What the channel is doing.
    #[must_use]
    pub fn phase(&self) -> Phase {
        self.phase.get()
    }

    /// Since when it has been doing that, in microseconds of the clock.
    #[must_use]
    pub fn since_us(&self) -> u64 {
        self.since_us.get()
    }

    /// Says what the channel is doing from `now_us` on, and answers what it did before.
    pub fn enter(&self, phase: Phase, now_us: u64) -> Phase {
        if self.since_us.get() == 0 || self.phase.get() != phase {
            self.since_us.set(now_us);
        }
        self.turn(phase)
    }

    fn turn(&self, phase: Phase) -> Phase {
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

    /// Asks that the fetch is ended and begun anew.
    pub fn restart(&self) {
        self.is_restart_wanted.set(true);
        self.audience.wake_all();
    }

    /// Whether that was asked since the last call.
    #[must_use]
    pub fn takes_restart(&self) -> bool {
        self.is_restart_wanted.replace(false)
    }

    /// What is known of its media now.
    #[must_use]
    pub fn media(&self) -> Media {
        self.media.borrow().clone()
    }

    /// Says what the media is that comes now, and how fast.
    pub fn note_media(&self, facts: &Facts, bits_per_second: u64) {
        self.media.borrow_mut().note(facts, bits_per_second);
    }

    /// Says which upstream of the list delivers from now on, counted from 1; `None` that none does.
    pub fn note_upstream(&self, upstream: Option<usize>) {
        self.media.borrow_mut().deliver(upstream);
    }

    /// Notes how long a shard's viewers let chunks of the channel wait.
    pub fn pace(&self, shard: usize, channel: ChannelId, epoch: u64, batch_us: u64) {
        let from = (shard, channel, epoch);
        for follower in self.followers.borrow_mut().iter_mut() {
            if (follower.shard, follower.channel, follower.epoch) == from {
                follower.batch_us = batch_us;
            }
        }
    }

    /// How long bytes may lie unread without any viewer getting them later.
    ///
    /// Unit: microseconds.
    #[must_use]
    pub fn batch_us(&self) -> u64 {
        let followers = self.followers.borrow();
        let waits = followers.iter().map(|follower| follower.batch_us);
        waits.min().unwrap_or(0)
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
            batch_us: 0,
        });
        drop(followers);
        self.audience.wake_all();
    }

    /// Takes a shard out; an order about an older subscription is ignored.
    ///
    /// With the last one the fetch ends, and what it brought is history: who comes now waits for the next.
    pub fn unsubscribe(&self, shard: usize, channel: ChannelId, epoch: u64) {
        // An order to leave may replace an earlier one that was still on its way.
        let mut followers = self.followers.borrow_mut();
        followers.retain(|known| {
            (known.shard, known.channel) != (shard, channel) || known.epoch > epoch
        });
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
        self.media.borrow_mut().ring_us = 0;
    }

    /// Moves everybody who follows this channel to `other`.
    pub fn hand_over(&self, other: &Self) {
        for follower in self.followers.take() {
            let Follower {
                shard,
                channel,
                epoch,
                batch_us,
                ..
            } = follower;
            other.subscribe(shard, channel, epoch);
            other.pace(shard, channel, epoch, batch_us);
        }
    }

    /// Gives a closed chunk its number and keeps it for the shards; `now_us` is when it could first be sent.
    pub fn append(&self, extent: Extent, closed: &Closed, now_us: u64) {
        self.media_us.set(now_us);
        let published = Published {
            arrived_us: closed.arrived_us,
            media_us: closed.media_us,
            join: closed.join.clone(),
        };
        self.push(extent, published, now_us);
        self.counters.chunks.add(1);
        let received_bytes = self.counters.upstream_received_bytes.value();
        self.counters.received_rate.note(received_bytes, now_us);
    }

    /// When the next null packet is due: players give up a connection that is silent for some seconds.
    ///
    /// After as long as the silence has lasted already, within bounds: a viewer of a silent channel costs next to nothing.
    /// Only after media, and for at most [`FILL_MAX`] after it; `None` while none will be due.
    #[must_use]
    pub fn filler_due_us(&self) -> Option<u64> {
        let is_wanted = self.has_been_live() && self.ring.borrow().media_us().is_some();
        let silent_us = self.chunk_us.get().saturating_sub(self.media_us.get());
        let pause_us = silent_us.clamp(micros(FILL_PAUSE_MIN), micros(FILL_PAUSE_MAX));
        let due_us = self.chunk_us.get() + pause_us;
        let is_allowed = due_us <= self.media_us.get() + micros(FILL_MAX);
        (is_wanted && is_allowed).then_some(due_us)
    }

    /// Publishes a null packet as a chunk of its own, at which no viewer is started and which takes no media time.
    ///
    /// # Errors
    /// There is no memory for the packet; nothing was published.
    pub fn fill(&self, now_us: u64) -> io::Result<()> {
        let Some(media_us) = self.ring.borrow().media_us() else {
            return Ok(());
        };
        let extent = match self.filler.get() {
            Some(extent) => extent.clone(),
            None => {
                let made = Extent::copy_of(&NULL_PACKET)?;
                self.filler.get_or_init(|| made).clone()
            }
        };
        let published = Published {
            arrived_us: now_us,
            media_us,
            join: None,
        };
        self.push(extent, published, now_us);
        Ok(())
    }

    fn push(&self, extent: Extent, published: Published, now_us: u64) {
        let Published {
            arrived_us,
            media_us,
            join,
        } = published;
        let mut ring = self.ring.borrow_mut();
        let chunk = Chunk {
            seq: ring.head_seq(),
            bytes_before: self.published_bytes.get(),
            extent,
            media_us,
            arrived_us,
            closed_us: now_us,
            join,
        };
        let published_bytes = chunk.bytes_before + chunk.extent.len() as u64;
        self.published_bytes.set(published_bytes);
        self.chunk_us.set(now_us);
        ring.push(Arc::new(chunk));
        let oldest_us = ring.since(0).next().map_or(media_us, |it| it.media_us);
        self.media.borrow_mut().ring_us = media_us.saturating_sub(oldest_us);
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

    /// Tells the shards that follow under this id that it has ended; they follow no longer.
    pub fn end_of(&self, channel: ChannelId, end: End, mut deliver: impl FnMut(usize, Message)) {
        let mut followers = self.followers.borrow_mut();
        let (left, ended) = followers.drain(..).partition(|it| it.channel != channel);
        *followers = left;
        drop(followers);
        let ended: Vec<Follower> = ended;
        for follower in ended {
            let message = Message::Ended {
                channel,
                epoch: follower.epoch,
                end,
            };
            deliver(follower.shard, message);
        }
        self.audience.wake_all();
    }

    /// Asks every following shard to leave the channel if nobody watches it there.
    pub fn spare(&self, mut deliver: impl FnMut(usize, Message)) {
        let each = |it: &Follower| {
            let (channel, epoch) = (it.channel, it.epoch);
            (it.shard, Message::Spare { channel, epoch })
        };
        // This very shard may leave at once, which changes the list.
        let asked: Vec<_> = self.followers.borrow().iter().map(each).collect();
        for (shard, message) in asked {
            deliver(shard, message);
        }
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

/// What a chunk is published with.
struct Published {
    arrived_us: u64,
    media_us: u64,
    join: Option<Arc<JoinRecord>>,
}

impl Drop for Home {
    fn drop(&mut self) {
        self.turn(Phase::Opening);
    }
}

/// A packet that only fills the line: payload of no meaning, a counter that nobody reads.
///
/// Source: ISO/IEC 13818-1, 2.4.1.
const NULL_PACKET: [u8; PACKET_BYTES] = {
    let mut packet = [0xFF; PACKET_BYTES];
    let [high, low] = PID_NULL.to_be_bytes();
    packet[0] = SYNC;
    packet[1] = high;
    packet[2] = low;
    packet[3] = 0x10;
    packet
};

/// How long nothing is published before the first null packet is.
const FILL_PAUSE_MIN: Duration = Duration::from_millis(500);

/// The longest pause between null packets: players wait eight seconds and more.
const FILL_PAUSE_MAX: Duration = Duration::from_secs(5);

/// How long null packets are sent after the last media.
pub const FILL_MAX: Duration = Duration::from_secs(300);

#[cfg(test)]
mod tests;
