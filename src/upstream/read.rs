//! One try with an HTTP upstream: ask, look at the answer, read the body until it is lost.
//!
//! How HTTP is spoken is in `http`, what becomes of the bytes in `ingest`, how far ahead it may read in `admission`. The
//! rule: whatever never becomes media, or has stopped being any, is given up in time, and nothing else is.

use std::convert::Infallible;
use std::future::pending;
use std::time::Duration;

use futures_lite::FutureExt;
use url::Url;

use crate::clock::micros;
use crate::upstream::Fetch;
use crate::upstream::error::FetchError;
use crate::upstream::http::{self, Body, Get};
use crate::upstream::ingest::{Allowance, Ingest};

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
        let answer = Box::pin(http::get(&shard.connector, &shard.clock, &get)).await?;
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
        let mut alarm_us = 0;
        let mut alarm = clock.at(alarm_us);
        loop {
            let allowance = ingest.admit(clock.now_us());
            let due_us = match allowance {
                Allowance::Bytes(_) => self.lost_us(ingest, heard_us),
                Allowance::NothingBefore(at_us) => at_us,
            };
            let due_us = due_us.min(ingest.due_us().unwrap_or(u64::MAX));
            // An alarm that is early only looks again; moving it at each read would cost more than the read.
            if due_us < alarm_us || alarm_us <= clock.now_us() {
                alarm_us = due_us;
                alarm.reset(due_us);
            }
            let room = ingest.room()?;
            let read = async {
                match allowance {
                    Allowance::Bytes(bytes) => {
                        let bytes = bytes.min(room.len());
                        let room = room.get_mut(..bytes).unwrap_or_default();
                        Some(body.read(room).await)
                    }
                    Allowance::NothingBefore(_) => pending().await,
                }
            };
            let woken = async {
                (&mut alarm).await;
                None
            };
            let read = read.or(woken).await.transpose()?;
            let now_us = clock.now_us();
            let had_media = self.has_media.get();
            let has_closed = match read {
                Some(0) => {
                    return Err(FetchError::Ended {
                        from: body.from().clone(),
                        read_bytes: body.read_bytes(),
                    });
                }
                Some(bytes) => {
                    self.refuse_playlist(ingest, bytes, body)?;
                    ingest.take(self.home, bytes, now_us, |ingest| self.publish(ingest))?
                }
                None => {
                    let has_closed = ingest.age(self.home, now_us)?;
                    if has_closed {
                        self.publish(ingest);
                    }
                    has_closed
                }
            };
            if ingest.is_catching_up() {
                self.begin_drought();
            }
            // Once there is media, only media counts as a sign of life. Nobody listens while nothing is read.
            let is_deaf = matches!(allowance, Allowance::NothingBefore(_));
            if has_closed || is_deaf || (read.is_some() && !had_media) {
                heard_us = now_us;
            }
            self.refuse_junk(ingest, body)?;
            self.refuse_frozen(ingest, body)?;
            self.refuse_silence(ingest, body, now_us, heard_us)?;
            glommio::yield_if_needed().await;
        }
    }

    /// When the upstream will have been silent for too long, if nothing comes from now on.
    ///
    /// Silence after haste is no fault: nothing is missing while what was sent ahead lasts.
    fn lost_us(&self, ingest: &Ingest, heard_us: u64) -> u64 {
        let idle = self.home.limits.idle_timeout;
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
        let idle = self.home.limits.idle_timeout;
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

/// Bytes without three packet starts in a row after which something is not MPEG-TS.
const JUNK_BYTES_MAX: u64 = 64 * 1024;

/// How late media may be after what was sent ahead has been played, if the idle time is not shorter.
const LATE_MAX: Duration = Duration::from_secs(2);

/// How a playlist begins.
const PLAYLIST: &[u8] = b"#EXTM3U";
