//! Where a channel's bytes come from: the fetch loop of one channel on its home shard.
//!
//! One task per channel tries its upstreams by the plan in `retry`, reads one at a time into `ingest`, and publishes
//! what comes. Viewers play no part in it: nothing here waits for them. A channel that nobody follows any more is left,
//! and an engine session is stopped on every way out.

pub mod ace;
pub mod connect;
pub mod demo;
pub mod error;
pub mod http;
pub mod ingest;
pub mod resolve;
pub mod retry;

use std::cell::Cell;
use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

use futures_lite::FutureExt;
use url::Url;

use crate::channel::home::Home;
use crate::channel::id::Content;
use crate::channel::{End, Phase};
use crate::clock::micros;
use crate::config::Upstream;
use crate::metrics::Connect;
use crate::shard::Shard;
use crate::upstream::ace::{Engine, Session};
use crate::upstream::demo::Demo;
use crate::upstream::error::{Chain, FetchError};
use crate::upstream::http::{Body, Get};
use crate::upstream::ingest::Ingest;
use crate::upstream::retry::{Next, Retry};

/// Fetches a channel for as long as a shard follows it, then closes it.
pub async fn keep(shard: Rc<Shard>, home: Rc<Home>) {
    let open = Open {
        shard: Rc::clone(&shard),
        home: Rc::clone(&home),
    };
    loop {
        match Fetch::new(&shard, &home).run().await {
            // A shard came back while the last session was being stopped: start over for it.
            Over::Left if home.has_audience() => home.forget_history(),
            Over::Left | Over::Merged => break,
            Over::Failed(end) => {
                shard.end(&home, end);
                break;
            }
        }
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
    Left,
    Lost(FetchError),
    Merged,
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
    /// Whether this try has brought media.
    has_media: Cell<bool>,
    /// Which try this is, as far as the log is concerned.
    upstream: Cell<usize>,
}

impl<'a> Fetch<'a> {
    fn new(shard: &'a Rc<Shard>, home: &'a Rc<Home>) -> Self {
        Self {
            shard,
            home,
            dry_since_us: Cell::new(shard.clock.now_us()),
            has_media: Cell::new(false),
            upstream: Cell::new(0),
        }
    }

    async fn run(&self) -> Over {
        let mut ingest = match Ingest::new(self.home) {
            Ok(ingest) => ingest,
            Err(error) => return self.give_up(&error),
        };
        let mut retry = Retry::new(self.home.upstreams.len());
        loop {
            self.has_media.set(false);
            self.upstream.set(retry.upstream());
            let over = self.try_upstream(&mut ingest).await;
            self.cut(&mut ingest);
            let error = match over {
                TryOver::Left => return Over::Left,
                TryOver::Merged => return Over::Merged,
                TryOver::Lost(error) => error,
            };
            let next = retry.after(error.lost(), self.has_media.get(), fastrand::f64());
            let delay = match next {
                Next::Try { delay, .. } if self.left() > delay => delay,
                Next::GiveUp | Next::Try { .. } => return self.give_up(&error),
            };
            self.note_lost(&error, delay);
            let left = async {
                self.until_left().await;
                true
            };
            let slept = async {
                self.shard.clock.after(delay).await;
                false
            };
            if left.or(slept).await {
                return Over::Left;
            }
        }
    }

    async fn try_upstream(&self, ingest: &mut Ingest) -> TryOver {
        let Some(upstream) = self.home.upstreams.get(self.upstream.get()) else {
            return TryOver::Left;
        };
        let left = async {
            self.until_left().await;
            TryOver::Left
        };
        match upstream {
            Upstream::Ace {
                content,
                user_agent,
            } => self.play(ingest, *content, user_agent.as_deref()).await,
            Upstream::Demo { bits_per_second } => {
                left.or(self.show_demo(ingest, *bits_per_second)).await
            }
            Upstream::Http {
                url,
                user_agent,
                headers,
            } => {
                let read = async {
                    let error = self.read(ingest, url, user_agent.as_deref(), headers).await;
                    TryOver::Lost(error)
                };
                left.or(read).await
            }
        }
    }

    /// Plays engine content: opens a session, reads it, and stops it on every way out.
    async fn play(
        &self,
        ingest: &mut Ingest,
        content: Content,
        user_agent: Option<&str>,
    ) -> TryOver {
        let engine = Engine {
            url: &self.shard.config().engine.url,
            connector: &self.shard.connector,
            clock: &self.shard.clock,
            user_agent,
        };
        let session = {
            // The start is never dropped half way: the engine might have opened a session that nobody stops.
            let mut start = pin!(engine.start(content, self.left()));
            let left = async {
                self.until_left().await;
                None
            };
            let started = async { Some(start.as_mut().await) };
            match left.or(started).await {
                Some(Ok(session)) => session,
                Some(Err(error)) => return error.into(),
                None => {
                    if let Some(Ok(session)) = self.shard.clock.limit(ace::STOP_MAX, start).await {
                        self.stop(&engine, session).await;
                    }
                    return TryOver::Left;
                }
            }
        };
        self.shard.counters.engine_sessions.add(1);
        if let Some(over) = self.merge(&session) {
            // The live channel's own stop ends the content for both.
            self.forget(&session);
            return over;
        }
        let left = async {
            self.until_left().await;
            TryOver::Left
        };
        let read = async {
            let error = self.read(ingest, &session.playback, user_agent, &[]).await;
            TryOver::Lost(error)
        };
        let over = left.or(read).or(self.watch(&engine, &session)).await;
        self.forget(&session);
        self.stop(&engine, session).await;
        over
    }

    /// Joins the channel that plays the same content, if there is one.
    fn merge(&self, session: &Session) -> Option<TryOver> {
        let homes = &self.shard.table.homes;
        let other = homes.claim(session.infohash?, self.home.id)?;
        let Some(live) = homes.serving(other) else {
            return Some(FetchError::AlreadyLive { other }.into());
        };
        if self.home.has_published() {
            return Some(FetchError::AlreadyLive { other }.into());
        }
        log::info!(
            "content is live already channel={} same_as={other}",
            self.home.id
        );
        homes.alias(self.home.id, other);
        self.home.hand_over(&live);
        self.shard.publish(&live);
        Some(TryOver::Merged)
    }

    fn forget(&self, session: &Session) {
        let sessions = &self.shard.counters.engine_sessions;
        sessions.set(sessions.value().saturating_sub(1));
        if let Some(infohash) = session.infohash {
            self.shard.table.homes.release(infohash, self.home.id);
        }
    }

    async fn stop(&self, engine: &Engine<'_>, session: Session) {
        if let Err(error) = engine.stop(session).await {
            let channel = self.home.id;
            log::warn!(
                "engine session was not stopped channel={channel} error=\"{}\"",
                Chain(&error)
            );
        }
    }

    /// Asks the engine how far it is, until media comes; the questions also keep the session alive.
    async fn watch(&self, engine: &Engine<'_>, session: &Session) -> TryOver {
        while !self.has_media.get() {
            self.shard.clock.after(STAT_EVERY).await;
            let channel = self.home.id;
            match engine.stat(session).await {
                Ok(Some(progress)) => log::debug!(
                    "engine progress channel={channel} status={:?} peers={} kilobytes_per_s={}",
                    progress.status,
                    progress.peers,
                    progress.speed_down,
                ),
                Ok(None) => break,
                Err(error) => log::debug!(
                    "engine progress unknown channel={channel} error=\"{}\"",
                    Chain(&error)
                ),
            }
        }
        std::future::pending().await
    }

    /// Reads an upstream until it is lost.
    async fn read(
        &self,
        ingest: &mut Ingest,
        url: &Url,
        user_agent: Option<&str>,
        headers: &[(String, String)],
    ) -> FetchError {
        let get = Get {
            url,
            user_agent,
            headers,
            limit: HEAD_MAX.min(self.left()),
        };
        let answer = match http::get(&self.shard.connector, &self.shard.clock, &get).await {
            Ok(answer) => answer,
            Err(error) => return error,
        };
        let mut body = answer.body;
        let from = body.from().clone();
        if answer.status != 200 {
            let status = answer.status;
            return FetchError::Status { from, status };
        }
        if answer.content_type.contains("mpegurl") {
            return FetchError::Playlist { from };
        }
        if answer.content_type.starts_with("text/") {
            return FetchError::NotTs {
                from,
                junk_bytes: 0,
            };
        }
        match self.read_body(ingest, &mut body).await {
            Ok(never) => match never {},
            Err(error) => error,
        }
    }

    async fn read_body(
        &self,
        ingest: &mut Ingest,
        body: &mut Body,
    ) -> Result<std::convert::Infallible, FetchError> {
        let clock = &self.shard.clock;
        let idle_us = micros(self.home.limits.idle_timeout);
        let mut heard_us = clock.now_us();
        let mut alarm_us = 0;
        let mut alarm = clock.at(alarm_us);
        loop {
            let silence_ends_us = heard_us + idle_us;
            let media_due_us = if self.has_media.get() {
                u64::MAX
            } else {
                self.media_due_us()
            };
            let due_us = ingest
                .due_us()
                .unwrap_or(u64::MAX)
                .min(silence_ends_us)
                .min(media_due_us);
            // An alarm that is early only looks again; moving it at each read would cost more than the read.
            if due_us < alarm_us || alarm_us <= clock.now_us() {
                alarm_us = due_us;
                alarm.reset(due_us);
            }
            let room = ingest.room()?;
            let read = async { Some(body.read(room).await) };
            let woken = async {
                (&mut alarm).await;
                None
            };
            let read = read.or(woken).await.transpose()?;
            let now_us = clock.now_us();
            match read {
                Some(0) => {
                    return Err(FetchError::Ended {
                        from: body.from().clone(),
                        read_bytes: body.read_bytes(),
                    });
                }
                Some(bytes) => {
                    if !self.has_media.get() {
                        self.refuse_playlist(ingest, bytes, body)?;
                    }
                    heard_us = now_us;
                    let has_closed = ingest.take(self.home, bytes, now_us)?;
                    self.published(ingest, has_closed);
                    self.refuse_junk(ingest, body)?;
                }
                None => {
                    let has_closed = ingest.age(self.home, now_us)?;
                    self.published(ingest, has_closed);
                    self.refuse_silence(body, now_us, heard_us)?;
                }
            }
            glommio::yield_if_needed().await;
        }
    }

    /// A playlist may come under any name, but it begins with its own.
    fn refuse_playlist(
        &self,
        ingest: &mut Ingest,
        bytes: usize,
        body: &Body,
    ) -> Result<(), FetchError> {
        let begins = ingest.room()?.get(..bytes).unwrap_or_default();
        if body.read_bytes() == bytes as u64 && begins.starts_with(PLAYLIST) {
            return Err(FetchError::Playlist {
                from: body.from().clone(),
            });
        }
        Ok(())
    }

    fn refuse_junk(&self, ingest: &Ingest, body: &Body) -> Result<(), FetchError> {
        match ingest.unlocked_junk_bytes() {
            Some(junk_bytes) if junk_bytes > JUNK_BYTES_MAX && !self.has_media.get() => {
                Err(FetchError::NotTs {
                    from: body.from().clone(),
                    junk_bytes,
                })
            }
            _ => Ok(()),
        }
    }

    fn refuse_silence(&self, body: &Body, now_us: u64, heard_us: u64) -> Result<(), FetchError> {
        let idle = self.home.limits.idle_timeout;
        if now_us >= heard_us + micros(idle) {
            self.home.counters.upstream_stalls.add(1);
            return Err(FetchError::Stalled {
                from: body.from().clone(),
                silent_ms: idle.as_millis(),
                read_bytes: body.read_bytes(),
            });
        }
        if !self.has_media.get() && now_us >= self.media_due_us() {
            let waited_ms = (now_us - self.dry_since_us.get()) / 1000;
            return Err(FetchError::NoMedia { waited_ms });
        }
        Ok(())
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
            if let Ok(has_closed) = ingest.age(self.home, clock.now_us()) {
                self.published(ingest, has_closed);
            }
        }
        TryOver::Left
    }

    fn take_copy(&self, ingest: &mut Ingest, piece: &[u8]) -> Result<(), FetchError> {
        let room = ingest.room()?;
        if let Some(room) = room.get_mut(..piece.len()) {
            room.copy_from_slice(piece);
        }
        let has_closed = ingest.take(self.home, piece.len(), self.shard.clock.now_us())?;
        self.published(ingest, has_closed);
        Ok(())
    }

    /// Tells the shards of new chunks.
    fn published(&self, ingest: &Ingest, has_closed: bool) {
        if !has_closed {
            return;
        }
        if !self.has_media.replace(true) {
            self.note_live();
        }
        let rate = ingest.bits_per_second().unwrap_or(0);
        self.home.counters.bits_per_second.set(rate);
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
        if self.has_media.get() {
            self.dry_since_us.set(self.shard.clock.now_us());
        }
    }

    fn note_live(&self) {
        let home = self.home;
        home.counters.upstream_tried(Connect::Ok);
        let before = home.enter(Phase::Live);
        if before == Phase::Stalled {
            home.counters.upstream_switches.add(1);
        }
        let took_ms = (self.shard.clock.now_us() - self.dry_since_us.get()) / 1000;
        log::info!(
            "channel live channel={} name={:?} upstream={} took_ms={took_ms}",
            home.id,
            home.name,
            self.upstream.get() + 1,
        );
    }

    fn note_lost(&self, error: &FetchError, delay: Duration) {
        let home = self.home;
        if !self.has_media.get() {
            home.counters.upstream_tried(error.counted());
        }
        if home.phase() == Phase::Live {
            home.enter(Phase::Stalled);
        }
        log::warn!(
            "upstream lost channel={} name={:?} upstream={} error=\"{}\" next_ms={}",
            home.id,
            home.name,
            self.upstream.get() + 1,
            Chain(error),
            delay.as_millis(),
        );
    }

    /// Ends the channel: viewers that wait are told why, and the next ones too for a moment.
    fn give_up(&self, error: &FetchError) -> Over {
        let home = self.home;
        if !self.has_media.get() {
            home.counters.upstream_tried(error.counted());
        }
        home.enter(Phase::Opening);
        let now_us = self.shard.clock.now_us();
        let homes = &self.shard.table.homes;
        let is_news = !matches!(error, FetchError::Playlist { .. })
            || homes.may_mention_playlist(home.id, now_us);
        if is_news {
            log::warn!(
                "channel failed channel={} name={:?} upstream={} error=\"{}\"",
                home.id,
                home.name,
                self.upstream.get() + 1,
                Chain(error),
            );
        }
        if home.has_published() {
            return Over::Failed(End::UpstreamLost);
        }
        let why = error.not_started();
        homes.remember(home.id, why, now_us, now_us + micros(REFUSAL_KEPT));
        Over::Failed(End::NotStarted(why))
    }

    /// When media must have come.
    fn media_due_us(&self) -> u64 {
        self.dry_since_us.get() + micros(self.home.limits.start_timeout)
    }

    /// How long there still is for media to come.
    fn left(&self) -> Duration {
        Duration::from_micros(
            self.media_due_us()
                .saturating_sub(self.shard.clock.now_us()),
        )
    }

    async fn until_left(&self) {
        while self.home.has_audience() {
            self.home.audience.next_event().await;
        }
    }
}

/// How long an upstream may take for an answer's head.
const HEAD_MAX: Duration = Duration::from_secs(5);

/// How long a failed start is remembered, so that players that try again do not open the upstream anew.
const REFUSAL_KEPT: Duration = Duration::from_secs(10);

/// How often the engine is asked how far it is.
const STAT_EVERY: Duration = Duration::from_secs(1);

/// Bytes without three packet starts in a row after which something is not MPEG-TS.
const JUNK_BYTES_MAX: u64 = 64 * 1024;

/// How a playlist begins.
const PLAYLIST: &[u8] = b"#EXTM3U";

/// The demo's frames are taken in pieces that fit any room.
const DEMO_PIECE_BYTES: usize = 32 * 1024;
