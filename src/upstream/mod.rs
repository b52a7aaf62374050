//! Where a channel's bytes come from: the fetch loop of one channel on its home shard.
//!
//! One task per channel tries its upstreams by the plan in `retry`, reads one at a time (`read`, `play`, the demo) into
//! `ingest`, and publishes what comes. Viewers play no part in it: nothing here waits for them. A channel that nobody
//! follows any more is left, and an engine session is stopped on every way out.

pub mod ace;
pub mod admission;
pub mod connect;
pub mod demo;
pub mod document;
pub mod error;
pub mod gather;
mod held;
pub mod http;
pub mod ingest;
pub mod kept;
pub mod pace;
mod play;
pub mod prefer;
mod probe;
pub mod provider;
pub mod pulse;
mod read;
pub mod resolve;
pub mod retry;
mod silence;
mod terms;
mod told;

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use futures_lite::FutureExt;
use url::Url;

use crate::admin::events::Kind;
use crate::admin::tell;
use crate::channel::home::Home;
use crate::channel::{End, NotStarted, Phase};
use crate::clock::micros;
use crate::config::Upstream;
use crate::shard::Shard;
use crate::upstream::connect::Connecting;
use crate::upstream::demo::Demo;
use crate::upstream::error::{Chain, FetchError};
use crate::upstream::ingest::Ingest;
use crate::upstream::prefer::Prefer;
use crate::upstream::provider::Hold;
use crate::upstream::retry::{Next, Retry};
use crate::upstream::terms::Rested;

/// Fetches a channel for as long as a shard follows it, then closes it.
pub async fn keep(shard: Rc<Shard>, home: Rc<Home>) {
    let open = Open {
        shard: Rc::clone(&shard),
        home: Rc::clone(&home),
    };
    // One way for all fetches of the channel, so that each is spliced to the one before.
    let over = match Ingest::new(&home) {
        Ok(mut ingest) => loop {
            match Fetch::new(&shard, &home).run(&mut ingest).await {
                // A shard came back while the last session was being stopped: start over for it.
                Over::Left if home.has_audience() => {
                    home.forget_history();
                    ingest.forget();
                }
                over => break over,
            }
        },
        Err(error) => Fetch::new(&shard, &home).give_up(&error),
    };
    if let Over::Failed(end) = over {
        shard.end(&home, end);
    }
    drop(open);
}

/// Closes the channel when the task ends, in whatever way.
struct Open {
    shard: Rc<Shard>,
    home: Rc<Home>,
}

impl Drop for Open {
    fn drop(&mut self) {
        self.shard.table.homes.close(self.home.id);
        self.shard.end(&self.home, End::UpstreamLost);
        let text = format!("{:?} is not fetched any more", self.home.terms.name());
        tell::once(&self.shard, Kind::ChannelClosed, Some(self.home.id), text);
        log::debug!("channel closed channel={}", self.home.id);
    }
}

/// Why the fetch loop is over.
enum Over {
    /// No upstream gave what was needed.
    Failed(End),
    /// No shard follows any more.
    Left,
    /// The channel turned out to be another name of one that is live; its followers are there now.
    Merged,
}

/// Why one try is over.
enum TryOver {
    /// An upstream that is preferred to this one is healthy.
    Better(usize),
    /// It is not in the channel's list any more.
    Changed,
    Left,
    Lost(FetchError),
    Merged,
    /// The operator wants the fetch begun anew.
    Restarted,
}

impl From<FetchError> for TryOver {
    fn from(error: FetchError) -> Self {
        Self::Lost(error)
    }
}

/// The fetch loop's state.
struct Fetch<'a> {
    shard: &'a Rc<Shard>,
    home: &'a Rc<Home>,
    /// Since when there has been no media, and so from when the time for a start counts.
    dry_since_us: Cell<u64>,
    /// When media must have come.
    media_due_us: Cell<u64>,
    /// When an engine last said that a start gets on.
    got_on_us: Cell<u64>,
    /// Whether this try has brought media: packets that a decoder can start with.
    has_media: Cell<bool>,
    /// The list that is worked through: the channel's, or the one before while what it has begun goes on.
    upstreams: RefCell<Rc<[Upstream]>>,
    /// Where the engine was when the list was taken.
    engine_url: RefCell<Url>,
    /// Index of the upstream that is being tried.
    upstream: Cell<usize>,
    /// When to go back to a better one.
    prefer: RefCell<Prefer>,
    /// The connection that it may have at its provider, from the first try with it to the last.
    held: RefCell<Option<Rc<Hold>>>,
    /// That of the look which found a better upstream, until the next try.
    better_hold: RefCell<Option<Rc<Hold>>>,
    /// Whether connections are being made, which nobody may drop: they would be open for longer than they are counted.
    connecting: Connecting,
}

impl<'a> Fetch<'a> {
    fn new(shard: &'a Rc<Shard>, home: &'a Rc<Home>) -> Self {
        let fetch = Self {
            shard,
            home,
            dry_since_us: Cell::new(0),
            media_due_us: Cell::new(0),
            got_on_us: Cell::new(0),
            has_media: Cell::new(false),
            upstreams: RefCell::new(home.terms.upstreams()),
            engine_url: RefCell::new(shard.config().engine.url.clone()),
            upstream: Cell::new(0),
            prefer: RefCell::new(Prefer::new(home.terms.limits().return_every)),
            held: RefCell::default(),
            better_hold: RefCell::default(),
            connecting: Connecting::default(),
        };
        fetch.begin_drought();
        fetch
    }

    async fn run(&self, ingest: &mut Ingest) -> Over {
        let mut retry = Retry::new(self.upstreams().len());
        loop {
            self.has_media.set(false);
            self.upstream.set(retry.upstream());
            let planned = self.upstreams();
            let over = self.filling(self.try_upstream(ingest)).await;
            self.cut(ingest);
            if !Rc::ptr_eq(&planned, &self.upstreams()) {
                retry = self.plan_from(self.upstream.get());
            }
            let error = match over {
                TryOver::Better(upstream) => {
                    self.note_better(upstream);
                    retry.go_to(upstream);
                    continue;
                }
                TryOver::Changed => {
                    retry = self.begin_list();
                    continue;
                }
                TryOver::Left => return Over::Left,
                TryOver::Merged => return Over::Merged,
                TryOver::Restarted => {
                    self.note_restart();
                    retry = self.plan_from(0);
                    continue;
                }
                TryOver::Lost(error) => error,
            };
            self.prefer.borrow_mut().lost(self.shard.clock.now_us());
            let next = retry.after(error.lost(), self.has_media.get(), fastrand::f64());
            let delay = match next {
                Next::Try { delay, .. } if self.left() > delay => delay,
                Next::GiveUp | Next::Try { .. } => return self.give_up(&error),
            };
            if retry.upstream() != self.upstream.get() {
                self.shard.table.homes.release(self.home.id);
            }
            self.note_lost(&error, delay);
            match self.filling(self.rest(delay)).await {
                Rested::Changed => retry = self.begin_list(),
                Rested::Left => return Over::Left,
                Rested::Restarted => {
                    self.note_restart();
                    retry = self.plan_from(0);
                }
                Rested::Slept => {}
            }
        }
    }

    /// Awaits something, and fills the silence meanwhile.
    async fn filling<T>(&self, other: impl Future<Output = T>) -> T {
        let filling = async { match self.fill_silence().await {} };
        other.or(filling).await
    }

    async fn try_upstream(&self, ingest: &mut Ingest) -> TryOver {
        let upstreams = self.upstreams();
        let Some(upstream) = upstreams.get(self.upstream.get()) else {
            return TryOver::Left;
        };
        // What an engine plays may be live already, and then takes no session.
        let is_engine = matches!(upstream, Upstream::Ace { .. });
        if !is_engine && let Err(over) = Box::pin(self.may_connect(upstream)).await {
            return over;
        }
        let left = self.until_not_wanted();
        match upstream {
            Upstream::Ace {
                content,
                user_agent,
            } => Box::pin(self.play(ingest, upstream, *content, user_agent.as_deref())).await,
            Upstream::Demo { bits_per_second } => {
                left.or(self.show_demo(ingest, *bits_per_second)).await
            }
            Upstream::Http {
                url,
                user_agent,
                headers,
            } => {
                let read = async {
                    let source = read::Place {
                        url,
                        user_agent: user_agent.as_deref(),
                        headers,
                        head_limit: HEAD_MAX.min(self.left()),
                    };
                    let lost = self.read(ingest, &source).await;
                    self.until_connected().await;
                    TryOver::Lost(lost)
                };
                left.or(Box::pin(read)).await
            }
        }
    }

    /// The built-in test pattern at its own pace.
    async fn show_demo(&self, ingest: &mut Ingest, bits_per_second: u64) -> TryOver {
        let clock = &self.shard.clock;
        let mut demo = Demo::new(bits_per_second);
        let mut packets = Vec::new();
        let begun_us = clock.now_us();
        for frame in 1_u64.. {
            packets.clear();
            demo.frame(&mut packets);
            for piece in packets.chunks(DEMO_PIECE_BYTES) {
                if let Err(error) = self.take_copy(ingest, piece) {
                    return error.into();
                }
            }
            clock.at(begun_us + frame * micros(Demo::FRAME)).await;
            match ingest.age(self.home, clock.now_us()) {
                Ok(true) => self.publish(ingest),
                Ok(false) => {}
                Err(error) => return error.into(),
            }
            glommio::yield_if_needed().await;
        }
        TryOver::Left
    }

    fn take_copy(&self, ingest: &mut Ingest, piece: &[u8]) -> Result<(), FetchError> {
        if let Some(room) = ingest.room()?.get_mut(..piece.len()) {
            room.copy_from_slice(piece);
        }
        let now_us = self.shard.clock.now_us();
        ingest.take(self.home, piece.len(), now_us, |ingest| {
            self.publish(ingest)
        })?;
        Ok(())
    }

    /// Tells the shards of new chunks.
    fn publish(&self, ingest: &Ingest) {
        if ingest.has_joined() && !self.has_media.replace(true) {
            self.note_live();
        }
        let bits_per_second = ingest.bits_per_second().unwrap_or(0);
        self.home.note_media(ingest.facts(), bits_per_second);
        self.shard.publish(self.home);
    }

    /// Ends what the last try left behind: whole packets still go out.
    fn cut(&self, ingest: &mut Ingest) {
        match ingest.cut(self.home, self.shard.clock.now_us()) {
            Ok(true) => self.shard.publish(self.home),
            Ok(false) => {}
            Err(error) => log::warn!(
                "the end of a fetch was lost channel={} error=\"{}\"",
                self.home.id,
                Chain(&error)
            ),
        }
        self.note_closed();
        self.home.note_upstream(None);
        if self.has_media.get() {
            self.begin_drought();
        }
    }

    /// Ends the channel: viewers that wait are told why, and the next ones too for a moment.
    fn give_up(&self, error: &FetchError) -> Over {
        let home = self.home;
        if !self.has_media.get() {
            home.counters.upstream_tried(error.counted());
        }
        home.enter(Phase::Opening, self.shard.clock.now_us());
        if self.is_news(error) {
            self.tell_trouble(Kind::ChannelFailed, error);
            log::warn!(
                "channel failed channel={} name={:?} upstream={} error=\"{}\"",
                home.id,
                home.terms.name(),
                self.upstream.get() + 1,
                Chain(error),
            );
        }
        if home.has_been_live() {
            return Over::Failed(End::UpstreamLost);
        }
        let why = error.not_started();
        if why == NotStarted::AtLimit {
            // The next viewer may come when a connection is free again, and asking costs the provider nothing.
            return Over::Failed(End::NotStarted(why));
        }
        let now_us = self.shard.clock.now_us();
        let until_us = now_us + micros(REFUSAL_KEPT);
        self.shard
            .table
            .homes
            .remember(home.id, why, now_us, until_us);
        Over::Failed(End::NotStarted(why))
    }

    /// A playlist is an operator's mistake that players repeat: the log has it once a minute.
    fn is_news(&self, error: &FetchError) -> bool {
        let is_playlist = matches!(error, FetchError::Playlist { .. });
        let now_us = self.shard.clock.now_us();
        !is_playlist
            || self
                .shard
                .table
                .homes
                .may_mention_playlist(self.home.id, now_us)
    }

    /// Begins to count the time within which media must come.
    fn begin_drought(&self) {
        let now_us = self.shard.clock.now_us();
        self.dry_since_us.set(now_us);
        self.media_due_us
            .set(now_us + micros(self.home.terms.limits().start_timeout));
    }

    /// Gives a start that gets on more time: a whole start's from now, but no more than [`STARTS_MAX`] in all.
    fn prolong(&self) {
        let start_us = micros(self.home.terms.limits().start_timeout);
        let now_us = self.shard.clock.now_us();
        self.got_on_us.set(now_us);
        let wanted_us = now_us + start_us;
        let last_us = self.dry_since_us.get() + start_us * u64::from(STARTS_MAX);
        let due_us = wanted_us.min(last_us).max(self.media_due_us.get());
        self.media_due_us.set(due_us);
    }

    /// When media must have come.
    fn media_due_us(&self) -> u64 {
        self.media_due_us.get()
    }

    /// How long there still is for media to come.
    fn left(&self) -> Duration {
        Duration::from_micros(
            self.media_due_us()
                .saturating_sub(self.shard.clock.now_us()),
        )
    }

    /// Waits until media should have come, however often that is put off.
    async fn until_overdue(&self) {
        while !self.left().is_zero() {
            self.shard.clock.at(self.media_due_us()).await;
        }
    }

    async fn until_left(&self) {
        while self.home.has_audience() {
            self.home.audience.next_event().await;
        }
    }
}

/// How long an upstream may take for an answer's head.
const HEAD_MAX: Duration = Duration::from_secs(5);

/// How many times `start_timeout` a start may take in all while the engine says that it gets on.
pub const STARTS_MAX: u32 = 3;

/// How long a failed start is remembered, so that players that try again do not open the upstream anew.
const REFUSAL_KEPT: Duration = Duration::from_secs(10);

/// The demo's frames are taken in pieces that fit any room.
const DEMO_PIECE_BYTES: usize = 32 * 1024;
