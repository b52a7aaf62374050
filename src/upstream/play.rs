//! One try with AceStream content: a session from its start to its stop.
//!
//! What is said to the engine is in `ace`, how the stream is read in `read`. The rule: a session that was opened is
//! stopped, whatever happens, unless another channel lives on it.

use std::time::Duration;

use futures_lite::FutureExt;

use crate::channel::id::{Content, Hash};
use crate::config::Upstream;
use crate::metrics::Counter;
use crate::upstream::ace::{Engine, Progress, Session};
use crate::upstream::error::{Chain, FetchError};
use crate::upstream::ingest::Ingest;
use crate::upstream::read::Place;
use crate::upstream::{Fetch, STARTS_MAX, TryOver};

impl Fetch<'_> {
    /// Plays engine content: opens a session, reads it, and stops it on every way out.
    pub(super) async fn play(
        &self,
        ingest: &mut Ingest,
        upstream: &Upstream,
        content: Content,
        user_agent: Option<&str>,
    ) -> TryOver {
        if let Some(over) = self.merge(self.shard.table.homes.infohash(content)) {
            return over;
        }
        if let Err(over) = self.may_connect(upstream).await {
            return over;
        }
        // Another channel may have learnt meanwhile what this one plays.
        if let Some(over) = self.merge(self.shard.table.homes.infohash(content)) {
            return over;
        }
        // Of the configuration of now, and to its end: a session is stopped where it was opened.
        let config = self.shard.config();
        let engine = Engine {
            url: &config.engine.url,
            connector: &self.shard.connector,
            clock: &self.shard.clock,
            user_agent,
        };
        // Never dropped half way, whoever leaves: the engine might have opened a session that nobody stops.
        let session = match engine.start(content, self.left()).await {
            Ok(session) => session,
            Err(error) => return error.into(),
        };
        if let Some(infohash) = session.infohash {
            self.shard.table.homes.learn(content, infohash);
        }
        if let Some(over) = self.merge(session.infohash) {
            // The engine ends content, not sessions: a stop would end the live channel, whose own stop ends both.
            return over;
        }
        if let Some(infohash) = session.infohash {
            self.shard.table.homes.claim(infohash, self.home.id);
        }
        let open = OpenSession::new(&self.shard.counters.engine_sessions);
        let left = self.until_not_wanted();
        let read = async {
            let place = Place {
                url: &session.playback,
                user_agent,
                headers: &[],
                // It is `open` that gives up in time, which an engine that gets on may put off.
                head_limit: self.home.terms.limits().start_timeout * STARTS_MAX,
            };
            let lost = self.read(ingest, &place).await;
            self.until_connected().await;
            TryOver::Lost(lost)
        };
        let over = left.or(read).or(self.watch(&engine, &session)).await;
        if let Err(error) = engine.stop(session).await {
            let channel = self.home.id;
            log::warn!(
                "engine session was not stopped channel={channel} error=\"{}\"",
                Chain(&error)
            );
        }
        drop(open);
        over
    }

    /// Joins the channel that plays this content, if there is one.
    fn merge(&self, infohash: Option<Hash>) -> Option<TryOver> {
        let homes = &self.shard.table.homes;
        let other = homes
            .owner(infohash?)
            .filter(|owner| *owner != self.home.id)?;
        let Some(live) = homes.serving(other).filter(|_| !self.home.has_published()) else {
            return Some(FetchError::AlreadyLive { other }.into());
        };
        log::info!(
            "content is live already channel={} same_as={other}",
            self.home.id
        );
        homes.alias(self.home.id, other, self.upstreams());
        self.home.hand_over(&live);
        self.shard.publish(&live);
        Some(TryOver::Merged)
    }

    /// Asks the engine how far it is, until media comes; the questions also keep the session alive.
    ///
    /// As long as it gets on, the start may take longer.
    async fn watch(&self, engine: &Engine<'_>, session: &Session) -> TryOver {
        let mut best: Option<Progress> = None;
        while !self.has_media.get() {
            self.shard.clock.after(STAT_EVERY).await;
            let channel = self.home.id;
            match engine.stat(session).await {
                Ok(Some(progress)) => {
                    log::debug!(
                        "engine progress channel={channel} status={:?} peers={} kilobytes_per_s={}",
                        progress.status,
                        progress.peers,
                        progress.speed_down
                    );
                    // The first answer is what later ones are measured by.
                    let before = best.get_or_insert_with(|| progress.clone());
                    if before.improve(&progress) {
                        self.prolong();
                    }
                }
                Ok(None) => break,
                Err(error) => log::debug!(
                    "engine progress unknown channel={channel} error=\"{}\"",
                    Chain(&error)
                ),
            }
        }
        std::future::pending().await
    }
}

/// Counts a session for as long as it is open.
struct OpenSession<'a>(&'a Counter);

impl<'a> OpenSession<'a> {
    fn new(sessions: &'a Counter) -> Self {
        sessions.add(1);
        Self(sessions)
    }
}

impl Drop for OpenSession<'_> {
    fn drop(&mut self) {
        self.0.set(self.0.value().saturating_sub(1));
    }
}

/// How often the engine is asked how far it is.
const STAT_EVERY: Duration = Duration::from_secs(1);
