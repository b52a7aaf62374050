//! One run: an upstream, a home, the shards that follow it, and their viewers.
//!
//! Chance decides how the bytes are cut, how time passes, which messages are late or lost, and when viewers come and
//! go. What is checked here is what does not wait for the end: numbering, positions, and each ring against the naive
//! one after each chunk.

use std::sync::Arc;
use std::time::Duration;

use corecast::channel::chunk::Chunk;
use corecast::channel::home::Home;
use corecast::channel::id::ChannelId;
use corecast::channel::relay::Relay;
use corecast::clock::micros;
use corecast::config::{SlowPolicy, Stream};
use corecast::metrics::ShardCounters;
use corecast::shard::feed::{Message, Undelivered};
use corecast::upstream::ingest::Ingest;
use corecast::viewer::burst;

use crate::Tally;
use crate::dice::Dice;
use crate::packet::PACKET_BYTES;
use crate::published::Published;
use crate::ring::NaiveRing;
use crate::upstream::Upstream;
use crate::verdict::Course;
use crate::viewer::{Shown, Viewer};

pub(crate) struct World {
    dice: Dice,
    course: Course,
    home: Home,
    /// What the home may still hold.
    held: NaiveRing,
    ingest: Ingest,
    published: Published,
    followers: Vec<Follower>,
    viewers: Vec<Viewer>,
    gone: Vec<Viewer>,
    now_us: u64,
}

/// A shard that follows the channel.
struct Follower {
    relay: Relay,
    naive: NaiveRing,
    link: Link,
    /// Messages until the link works again.
    trouble: usize,
    lost_chunks: u64,
    /// The first chunk that it was not told of since it subscribed.
    told_seq: u64,
}

/// How the feed to a shard fails, if it does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Link {
    Good,
    /// It is full at times: what cannot be said now is said later.
    Late,
    /// It loses messages.
    Lossy,
    /// It says things twice.
    Repeating,
}

impl World {
    pub(crate) fn new(seed: u64) -> Self {
        let mut dice = Dice::new(seed);
        let course = Course::new(Upstream::new(&mut dice));
        let counters = ShardCounters::default();
        let limits = limits(&mut dice, 64);
        let home = Home::new(ID, "", limits, Vec::new(), counters.channel(ID.into()));
        let held = NaiveRing::new(
            micros(home.terms.limits().ring),
            home.terms.limits().ring_bytes_max,
        );
        home.subscribe(0, ID, 0);
        let followers = [Link::Good, Link::Late, Link::Lossy, Link::Repeating].map(|link| {
            let limits = limits_of_follower(&mut dice);
            let naive = NaiveRing::new(micros(limits.ring), limits.ring_bytes_max);
            let counters = ShardCounters::default().channel(ID.into());
            Follower {
                relay: Relay::new(ID, 0, limits, counters),
                naive,
                link,
                trouble: 0,
                lost_chunks: 0,
                told_seq: 0,
            }
        });
        Self {
            ingest: Ingest::new(&home).unwrap(),
            home,
            held,
            course,
            published: Published::default(),
            followers: followers.into(),
            viewers: Vec::new(),
            gone: Vec::new(),
            now_us: u64::try_from(dice.below(1_000_000)).unwrap(),
            dice,
        }
    }

    pub(crate) fn run(mut self) -> Tally {
        for shard in 1..=self.followers.len() {
            if self.dice.once(2) {
                self.home.subscribe(shard, ID, 0);
            }
        }
        for fetch in 0..self.course.upstream.fetches.len() {
            self.fetch(fetch);
            self.ingest.cut(&self.home, self.now_us).unwrap();
            self.publish();
            self.viewers_act();
            self.pass(0, 2_000_000);
        }
        self.finish()
    }

    /// Reads one fetch to its end.
    fn fetch(&mut self, index: usize) {
        let reads_max = self.dice.within(1, READS_MAX);
        let (mut at, mut pause_at) = (0, 0);
        while at < self.course.upstream.fetches[index].bytes.len() {
            let fetch = &self.course.upstream.fetches[index];
            let rest = &fetch.bytes[at..];
            let room = self.ingest.room().unwrap();
            let bytes = self
                .dice
                .within(1, reads_max)
                .min(rest.len())
                .min(room.len());
            room[..bytes].copy_from_slice(&rest[..bytes]);
            at += bytes;
            let may_pause = !fetch.no_pause.contains(&at);
            let media_us = bytes * PACKET_US / PACKET_BYTES;
            self.pass(media_us / 2, media_us * 2);
            self.take(bytes);
            if at >= pause_at && may_pause {
                pause_at = at + self.dice.within(1, 60 * PACKET_BYTES);
                self.publish();
                let pause_us = if self.dice.once(20) { 300_000 } else { 20_000 };
                self.pass(0, pause_us);
                self.ingest.age(&self.home, self.now_us).unwrap();
            }
            self.publish();
            self.viewers_act();
            if self.dice.once(50) {
                let follower = self.dice.below(self.followers.len());
                self.home.subscribe(follower + 1, ID, 0);
                self.followers[follower].told_seq = 0;
            }
        }
    }

    /// Lets time pass, in microseconds.
    fn pass(&mut self, least: usize, most: usize) {
        self.now_us += u64::try_from(self.dice.within(least, most)).unwrap();
    }

    /// Takes what one read brought; each chunk is told of as it closes, so one read may hold more than the ring.
    fn take(&mut self, bytes: usize) {
        let now_us = self.now_us;
        let Self {
            ingest,
            home,
            held,
            dice,
            published,
            followers,
            ..
        } = self;
        let tell = |_: &Ingest| tell_followers(home, held, dice, published, followers);
        ingest.take(home, bytes, now_us, tell).unwrap();
    }

    fn publish(&mut self) {
        let Self {
            home,
            held,
            dice,
            published,
            followers,
            ..
        } = self;
        tell_followers(home, held, dice, published, followers);
    }

    fn viewers_act(&mut self) {
        let Self {
            dice,
            published,
            followers,
            viewers,
            gone,
            now_us,
            ..
        } = self;
        if viewers.len() < VIEWERS_MAX && dice.once(3) {
            let index = dice.below(followers.len());
            let shown = followers[index].shown(published, *now_us);
            let burst_us = micros(shown.relay.limits().burst);
            let start = burst::start(&shown.relay.ring(), burst_us);
            let start_seq = start.as_ref().map(|start| start.chunk.seq);
            assert_eq!(start_seq, shown.naive.start(burst_us));
            viewers.extend(start.map(|start| Viewer::new(index, &start, shown)));
        }
        for viewer in viewers.iter_mut() {
            viewer.visit(followers[viewer.relay].shown(published, *now_us), dice);
        }
        if !viewers.is_empty() && dice.once(40) {
            let mut viewer = viewers.swap_remove(dice.below(viewers.len()));
            viewer.end(&followers[viewer.relay].relay);
            gone.push(viewer);
        }
    }

    fn finish(mut self) -> Tally {
        self.now_us += BURST_US_MAX;
        for mut viewer in self.viewers {
            let shown = self.followers[viewer.relay].shown(&self.published, self.now_us);
            viewer.drain(shown, &mut self.dice);
            viewer.end(shown.relay);
            self.gone.push(viewer);
        }
        self.course.publish(self.published.bytes());
        let due = self.course.due.iter().zip(&self.course.positions);
        let due_joins = due
            .filter(|(due, _)| due.tables.is_some())
            .map(|(_, at)| *at);
        let chunks = self.published.chunks().iter();
        let joins = chunks.filter(|chunk| chunk.is_join);
        assert!(
            joins.map(|chunk| chunk.at).eq(due_joins),
            "chunks that join are those that begin with a join point"
        );
        self.gone
            .iter()
            .for_each(|viewer| viewer.judge(&self.course));
        for Follower {
            relay, lost_chunks, ..
        } in &self.followers
        {
            assert_eq!(relay.counters.feed_lost_chunks.value(), *lost_chunks);
            for chunk in relay.ring().since(0) {
                let (at, bytes) = (chunk.bytes_before, chunk.extent.as_slice());
                assert!(
                    self.published.slice(at, bytes.len()) == bytes,
                    "chunk {} has changed",
                    chunk.seq
                );
            }
        }
        let lost_chunks: u64 = self
            .followers
            .iter()
            .map(|follower| follower.lost_chunks)
            .sum();
        let packets = &self.course.upstream.packets;
        Tally {
            chunks: self.published.chunks().len(),
            lost_chunks: usize::try_from(lost_chunks).unwrap(),
            torn: packets.iter().filter(|sent| !sent.arrives).count(),
            splices: self.course.due.iter().filter(|due| due.is_splice).count(),
            viewers: self.gone.len(),
            holds: self.gone.iter().map(|viewer| viewer.holds).sum(),
            skips: self.gone.iter().map(Viewer::skips).sum(),
            waits: self.gone.iter().map(|viewer| viewer.waits).sum(),
            drops: self.gone.iter().filter(|viewer| viewer.is_dropped).count(),
        }
    }
}

impl Follower {
    fn shown<'a>(&'a self, published: &'a Published, now_us: u64) -> Shown<'a> {
        Shown {
            relay: &self.relay,
            naive: &self.naive,
            published,
            now_us,
        }
    }

    fn hear(
        &mut self,
        news: Vec<Arc<Chunk>>,
        held: &NaiveRing,
        dice: &mut Dice,
    ) -> Result<(), Undelivered> {
        let first_seq = self.told_seq.max(held.tail_seq());
        assert!(
            news.iter()
                .map(|chunk| chunk.seq)
                .eq(first_seq..held.head_seq()),
            "news are what is held and was not told"
        );
        if self.trouble > 0 {
            self.trouble -= 1;
            if self.link == Link::Late {
                return Err(Undelivered);
            }
            self.told_seq = held.head_seq();
            return Ok(());
        }
        self.told_seq = held.head_seq();
        if dice.once(30) {
            self.trouble = match self.link {
                Link::Late => dice.below(200),
                Link::Lossy => dice.below(20),
                Link::Good | Link::Repeating => 0,
            };
        }
        let repeated = news.iter().rev().take(3).rev().cloned().collect();
        self.take(news);
        if self.link == Link::Repeating && dice.once(3) {
            self.take(repeated);
        }
        Ok(())
    }

    fn take(&mut self, news: Vec<Arc<Chunk>>) {
        for chunk in news {
            self.lost_chunks += self.naive.push(&chunk);
            // Nobody stands in the relay: the viewers of the simulation look by themselves.
            let [..] = self.relay.extend(vec![chunk], 0, 0);
            self.naive
                .compare(&self.relay.ring(), micros(self.relay.limits().burst));
        }
    }
}

/// Tells every follower what is new; shard 0 stands for a link that never fails.
fn tell_followers(
    home: &Home,
    held: &mut NaiveRing,
    dice: &mut Dice,
    published: &mut Published,
    followers: &mut [Follower],
) {
    home.publish(|shard, message| {
        let Message::Chunks { chunks: news, .. } = message else {
            panic!("only chunks are published");
        };
        if shard > 0 {
            return followers[shard - 1].hear(news, held, dice);
        }
        for chunk in news {
            published.take(&chunk);
            held.push(&chunk);
        }
        Ok(())
    });
}

/// Limits under which a ring holds at least so many packets.
fn limits(dice: &mut Dice, packets_min: usize) -> Stream {
    let packets_max = if dice.once(2) { 300 } else { 4_000 };
    let packets = dice.within(packets_min, packets_max);
    let ring_ms = dice.within(300, 4_000);
    let burst_ms = dice.below(ring_ms);
    let ms = |ms| Duration::from_millis(u64::try_from(ms).unwrap());
    Stream {
        chunk_bytes_max: dice.within(1, 174.min(packets / 4)) * PACKET_BYTES,
        chunk_age: ms(dice.within(1, 200)),
        // What does not catch up is a matter of the unit tests.
        start_timeout: Duration::from_secs(100_000),
        ring: ms(ring_ms),
        ring_bytes_max: packets * PACKET_BYTES,
        burst: ms(burst_ms),
        slow: if dice.once(4) {
            SlowPolicy::Drop
        } else {
            SlowPolicy::Skip
        },
        ..Stream::default()
    }
}

/// The same for a shard that only listens, whose ring may be smaller than a chunk.
fn limits_of_follower(dice: &mut Dice) -> Stream {
    if dice.once(4) {
        let ring_bytes_max = dice.within(1, 100 * PACKET_BYTES);
        return Stream {
            ring_bytes_max,
            ..limits(dice, 64)
        };
    }
    limits(dice, 64)
}

const ID: ChannelId = ChannelId::Configured(7);
const VIEWERS_MAX: usize = 8;

/// No burst takes longer: no ring holds more media.
const BURST_US_MAX: u64 = 10_000_000;

/// Media time of one packet.
const PACKET_US: usize = 2_000;

/// The most that one read brings; a small ring holds less.
const READS_MAX: usize = 64 * 1024;
