//! One try with an HTTP upstream: ask, look at the answer, read the body until it is lost.
//!
//! How HTTP is spoken is in `http`, what becomes of the bytes in `ingest`. The rule: whatever never becomes media is
//! given up in time, and nothing of it is published.

use std::convert::Infallible;
use std::time::Duration;

use futures_lite::FutureExt;
use url::Url;

use crate::clock::micros;
use crate::upstream::Fetch;
use crate::upstream::error::FetchError;
use crate::upstream::http::{self, Body, Get};
use crate::upstream::ingest::Ingest;

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

    /// Asks, and refuses what cannot be a stream by its head.
    async fn open(&self, place: &Place<'_>) -> Result<Body, FetchError> {
        let get = Get {
            url: place.url,
            user_agent: place.user_agent,
            headers: place.headers,
            limit: place.head_limit,
        };
        let shard = self.shard;
        let asked = Box::pin(http::get(&shard.connector, &shard.clock, &get));
        let Some(answer) = shard.clock.limit(self.left(), asked).await else {
            return Err(self.no_media());
        };
        let answer = answer?;
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
        let idle_us = micros(self.home.limits.idle_timeout);
        let mut heard_us = clock.now_us();
        let mut alarm_us = 0;
        let mut alarm = clock.at(alarm_us);
        loop {
            let media_due_us = if self.has_media.get() {
                u64::MAX
            } else {
                self.media_due_us()
            };
            let due_us = ingest.due_us().unwrap_or(u64::MAX);
            let due_us = due_us.min(heard_us + idle_us).min(media_due_us);
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
            // Once there is media, only media counts as a sign of life.
            if has_closed || (read.is_some() && !had_media) {
                heard_us = now_us;
            }
            self.refuse_junk(ingest, body)?;
            self.refuse_silence(body, now_us, heard_us)?;
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
            return Err(self.no_media());
        }
        Ok(())
    }

    fn no_media(&self) -> FetchError {
        let waited_ms = (self.shard.clock.now_us() - self.dry_since_us.get()) / 1000;
        FetchError::NoMedia { waited_ms }
    }
}

/// Bytes without three packet starts in a row after which something is not MPEG-TS.
const JUNK_BYTES_MAX: u64 = 64 * 1024;

/// How a playlist begins.
const PLAYLIST: &[u8] = b"#EXTM3U";
