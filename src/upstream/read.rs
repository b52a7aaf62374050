//! One try with an HTTP upstream: ask, look at the answer, read the body until it is lost.
//!
//! How HTTP is spoken is in `http`, what becomes of the bytes in `ingest`, how far ahead it may read in `admission`, how
//! much it waits for in `gather`. The
//! rule: whatever never becomes media, or has stopped being any, is given up in time, and nothing else is.

use std::convert::Infallible;
use std::time::Duration;

use futures_lite::FutureExt;
use url::Url;

use crate::clock::{Alarm, micros};
use crate::upstream::Fetch;
use crate::upstream::error::FetchError;
use crate::upstream::gather::Gather;
use crate::upstream::http::{self, Body, Get};
use crate::upstream::ingest::{Allowance, Ingest};

/// Why an upstream is looked at.
#[derive(Clone, Copy)]
enum Woken {
    /// Something is due, and nothing was there.
    Due,
    /// So many bytes were read, none at the end.
    Read { bytes: usize, is_due: bool },
}

impl Woken {
    fn bytes(self) -> usize {
        match self {
            Self::Due => 0,
            Self::Read { bytes, .. } => bytes,
        }
    }
}

/// What is read.
pub(super) struct Place<'a> {
    /// Where.
    pub(super) url: &'a Url,
    /// The User-Agent, when it is not the usual one.
    pub(super) user_agent: Option<&'a str>,
    /// Headers beside the usual ones.
    pub(super) headers: &'a [(String, String)],
    /// How long an answer's head may take.
    pub(super) head_limit: Duration,
}

impl Fetch<'_> {
    /// Reads an upstream until it is lost.
    pub(super) async fn read(&self, ingest: &mut Ingest, place: &Place<'_>) -> FetchError {
        match self.open(place).await {
            Ok(mut body) => match self.read_body(ingest, &mut body).await {
                Ok(never) => match never {},
                Err(error) => error,
            },
            Err(error) => error,
        }
    }

    /// Asks, for as long as a start may take.
    async fn open(&self, place: &Place<'_>) -> Result<Body, FetchError> {
        let asked = Box::pin(self.ask(place));
        let overdue = async {
            self.until_overdue().await;
            self.until_connected().await;
            Err(self.no_media())
        };
        asked.or(overdue).await
    }

    /// Asks, and refuses what cannot be a stream by its head.
    pub(super) async fn ask(&self, place: &Place<'_>) -> Result<Body, FetchError> {
        let get = Get {
            url: place.url,
            user_agent: place.user_agent,
            headers: place.headers,
            limit: place.head_limit,
        };
        let shard = self.shard;
        let asked = http::ask(&shard.connector, &shard.clock, &get, &self.connecting);
        let answer = Box::pin(asked).await?;
        let from = answer.body.from().clone();
        if answer.status != 200 {
            let status = answer.status;
            return Err(FetchError::Status { from, status });
        }
        if answer.content_type.contains("mpegurl") {
            return Err(FetchError::Playlist { from });
        }
        if answer.content_type.starts_with("text/") {
            return Err(FetchError::NotTs {
                from,
                junk_bytes: 0,
            });
        }
        Ok(answer.body)
    }

    async fn read_body(
        &self,
        ingest: &mut Ingest,
        body: &mut Body,
    ) -> Result<Infallible, FetchError> {
        let clock = &self.shard.clock;
        let mut heard_us = clock.now_us();
        let mut gather = Gather::new();
        let mut alarm = clock.at(0);
        loop {
            ingest.allow_age(self.age_us());
            let allowance = ingest.admit(clock.now_us());
            alarm.reset(self.look_us(ingest, &gather, allowance, heard_us));
            let woken = self
                .woken(ingest, body, &gather, allowance, &mut alarm)
                .await?;
            let now_us = clock.now_us();
            let had_media = self.has_media.get();
            let has_closed = match woken {
                Woken::Due => self.publish_if(ingest.age(self.home, now_us)?, ingest),
                Woken::Read { bytes: 0, .. } => {
                    return Err(FetchError::Ended {
                        from: body.from().clone(),
                        read_bytes: body.read_bytes(),
                    });
                }
                Woken::Read { bytes, is_due } => {
                    self.refuse_playlist(ingest, bytes, body)?;
                    let tell = |ingest: &Ingest| self.publish(ingest);
                    let has_filled = ingest.take(self.home, bytes, now_us, tell)?;
                    // It has lain in the socket for as long as a chunk may be open.
                    let is_paced = self.batch_us() >= self.age_us();
                    let has_waited = is_due || is_paced && gather.has_waited(self.age_us(), now_us);
                    let has_flushed = has_waited && ingest.flush(self.home, now_us)?;
                    self.publish_if(has_flushed, ingest) || has_filled
                }
            };
            if ingest.is_catching_up() {
                self.begin_drought();
            }
            let bytes = woken.bytes();
            if self.has_media.get() && matches!(allowance, Allowance::Bytes(_)) {
                let is_looked_at = bytes > 0
                    || gather
                        .due_us(self.age_us())
                        .is_some_and(|due_us| due_us <= now_us);
                if is_looked_at {
                    gather.emptied(bytes, now_us);
                }
            }
            // Once there is media, only media counts as a sign of life. Nobody listens while nothing is read.
            let is_deaf = matches!(allowance, Allowance::NothingBefore(_));
            if has_closed || is_deaf || (bytes > 0 && !had_media) {
                heard_us = now_us;
            }
            self.refuse_junk(ingest, body)?;
            self.refuse_frozen(ingest, body)?;
            self.refuse_silence(ingest, body, now_us, heard_us)?;
            glommio::yield_if_needed().await;
        }
    }

    /// Tells the shards of new chunks if there are any, and passes on whether.
    fn publish_if(&self, has_closed: bool, ingest: &Ingest) -> bool {
        if has_closed {
            self.publish(ingest);
        }
        has_closed
    }

    /// When to look at the upstream although it has not sent what is waited for.
    fn look_us(
        &self,
        ingest: &Ingest,
        gather: &Gather,
        allowance: Allowance,
        heard_us: u64,
    ) -> u64 {
        let due_us = match allowance {
            Allowance::Bytes(_) => {
                let lost_us = self.lost_us(ingest, heard_us);
                lost_us.min(gather.due_us(self.age_us()).unwrap_or(u64::MAX))
            }
            Allowance::NothingBefore(at_us) => at_us,
        };
        due_us.min(ingest.due_us().unwrap_or(u64::MAX))
    }

    /// How long bytes may lie unread.
    fn age_us(&self) -> u64 {
        micros(self.home.terms.limits().chunk_age).max(self.batch_us())
    }

    /// How long they may because viewers wait anyway.
    fn batch_us(&self) -> u64 {
        self.home.batch_us().min(micros(UNREAD_MAX))
    }

    /// Reads when a chunk's worth is there, or less when it is due.
    async fn woken(
        &self,
        ingest: &mut Ingest,
        body: &mut Body,
        gather: &Gather,
        allowance: Allowance,
        alarm: &mut Alarm,
    ) -> Result<Woken, FetchError> {
        let Allowance::Bytes(allowed) = allowance else {
            alarm.await;
            return Ok(Woken::Due);
        };
        let missing = ingest.missing_bytes(self.batch_us());
        let room = ingest.room()?;
        let bytes = allowed.min(room.len());
        let room = room.get_mut(..bytes).unwrap_or_default();
        body.wait_for(gather.least(missing).min(bytes));
        let read = async { Some(body.read(room).await) };
        let due = async {
            alarm.await;
            None
        };
        if let Some(read) = read.or(due).await {
            let (bytes, is_due) = (read?, false);
            return Ok(Woken::Read { bytes, is_due });
        }
        let read = body.read_now(room)?;
        Ok(read.map_or(Woken::Due, |bytes| Woken::Read {
            bytes,
            is_due: true,
        }))
    }

    /// When the upstream will have been silent for too long, if nothing comes from now on.
    ///
    /// Silence after haste is no fault: nothing is missing while what was sent ahead lasts.
    fn lost_us(&self, ingest: &Ingest, heard_us: u64) -> u64 {
        let idle = self.home.terms.limits().idle_timeout;
        let idle_us = micros(idle);
        if !self.has_media.get() {
            let silent_us = heard_us.max(self.got_on_us.get()) + idle_us;
            return silent_us.min(self.media_due_us());
        }
        (heard_us + idle_us).max(ingest.played_out_us() + micros(idle.min(LATE_MAX)))
    }

    /// A playlist may come under any name, but it begins with its own.
    fn refuse_playlist(
        &self,
        ingest: &mut Ingest,
        bytes: usize,
        body: &Body,
    ) -> Result<(), FetchError> {
        if self.has_media.get() || body.read_bytes() != bytes as u64 {
            return Ok(());
        }
        let begin = ingest.room()?.get(..bytes).unwrap_or_default();
        if begin.starts_with(PLAYLIST) {
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

    fn refuse_frozen(&self, ingest: &Ingest, body: &Body) -> Result<(), FetchError> {
        let idle = self.home.terms.limits().idle_timeout;
        let Some(what) = ingest.frozen(micros(idle)) else {
            return Ok(());
        };
        self.home.counters.upstream_stalls.add(1);
        Err(FetchError::Frozen {
            from: body.from().clone(),
            what,
            still_ms: idle.as_millis(),
            read_bytes: body.read_bytes(),
        })
    }

    fn refuse_silence(
        &self,
        ingest: &Ingest,
        body: &Body,
        now_us: u64,
        heard_us: u64,
    ) -> Result<(), FetchError> {
        if now_us < self.lost_us(ingest, heard_us) {
            return Ok(());
        }
        if !self.has_media.get() && now_us >= self.media_due_us() {
            return Err(self.no_media());
        }
        self.home.counters.upstream_stalls.add(1);
        Err(FetchError::Stalled {
            from: body.from().clone(),
            silent_ms: now_us.saturating_sub(heard_us) / 1000,
            read_bytes: body.read_bytes(),
        })
    }

    fn no_media(&self) -> FetchError {
        let waited_ms = (self.shard.clock.now_us() - self.dry_since_us.get()) / 1000;
        FetchError::NoMedia { waited_ms }
    }
}

/// How long bytes lie unread at most because viewers wait: a silence must be told from a pause.
const UNREAD_MAX: Duration = Duration::from_millis(400);

/// Bytes without three packet starts in a row after which something is not MPEG-TS.
const JUNK_BYTES_MAX: u64 = 64 * 1024;

/// How late media may be after what was sent ahead has been played, if the idle time is not shorter.
const LATE_MAX: Duration = Duration::from_secs(2);

/// How a playlist begins.
const PLAYLIST: &[u8] = b"#EXTM3U";
