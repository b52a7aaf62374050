//! One look at where a guide is: whether there is another one, and what is wanted of it.
//!
//! When to look is `keep.rs`. The rules: a document goes from its file or its connection through the reader and nowhere else,
//! so its length is nobody's memory; reading is done aside, at a low priority; what was good is kept in a file, as it was cut,
//! for the next start.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use futures_lite::AsyncWriteExt;
use futures_lite::future::zip;

use super::Shelves;
use super::cut::Cut;
use super::error::GuideError;
use super::pack::{Gzip, HEAD};
use super::read::{Part, READ_BYTES, Terms, read};
use crate::account::login::unix_seconds;
use crate::clock::{Clock, micros};
use crate::config::{Guide as Wanted, GuidePlace};
use crate::shard::aside::aside;
use crate::shard::permits::{Permit, Permits};
use crate::shard::{Shard, fd};
use crate::upstream::document::{FileMark, conditions, digest_of};
use crate::upstream::error::{Chain, FetchError, Host};
use crate::upstream::http::{self, Body, Get, Validators};
use crate::upstream::kept;

/// Looks at one guide, again and again.
pub(super) struct Lookout {
    wanted: Wanted,
    number: usize,
    /// The file that outlives the process.
    copy: PathBuf,
    /// What is known of the one that was read last.
    known: Known,
    read_us: u64,
    /// One thread at once, also when nobody waits for it any more.
    threads: Arc<Permits>,
}

/// What tells a guide from a later one.
#[derive(Clone, Debug, Default)]
struct Known {
    file: Option<FileMark>,
    validators: Validators,
}

impl Lookout {
    /// A guide of which nothing is known yet, counted from 1.
    pub(super) fn new(wanted: Wanted, number: usize, state_dir: &Path) -> Self {
        let place = match &wanted.place {
            GuidePlace::File(file) => digest_of(file.as_os_str().as_encoded_bytes()),
            GuidePlace::Http { url, .. } => digest_of(url.as_str().as_bytes()),
        };
        let place = place.get(..16).unwrap_or_default();
        Self {
            copy: state_dir.join(format!("guide-{place}.xml.gz")),
            wanted,
            number,
            known: Known::default(),
            read_us: 0,
            threads: Permits::new(1),
        }
    }

    /// Whose guide it is, for the log.
    pub(super) fn name(&self) -> String {
        match &self.wanted.place {
            GuidePlace::File(file) => file.display().to_string(),
            GuidePlace::Http { url, .. } => Host::from(url).to_string(),
        }
    }

    /// What was kept of the last good one by the process before; `None` if there is none.
    ///
    /// # Errors
    /// [`GuideError`] if it cannot be used.
    pub(super) async fn recall(&self, cut: &Arc<Cut>) -> Result<Option<Part>, GuideError> {
        let job = Job {
            cut: Arc::new(cut.as_served()),
            copy: None,
            // It was shifted when it was kept.
            shift_s: 0,
            ..self.job(cut)
        };
        let copy = self.copy.clone();
        let work = move || match File::open(&copy) {
            Ok(file) => job
                .read(&mut BufReader::with_capacity(READ_BYTES, file))
                .map(Some),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(GuideError::File(error)),
        };
        let read = aside("guide", self.thread()?, work).await;
        read.map_err(GuideError::Resources)?
    }

    /// Looks whether there is another guide than the one read last, and reads it.
    ///
    /// # Errors
    /// [`GuideError`]; the next look is for the same one again.
    ///
    /// Cancel safety: dropping it closes the connection; a thread that reads a file ends by itself.
    pub(super) async fn look(
        &mut self,
        shard: &Rc<Shard>,
        cut: &Arc<Cut>,
    ) -> Result<Option<Part>, GuideError> {
        let now_us = shard.clock.now_us();
        // Of a guide that stays the same more and more comes into the time that is kept.
        let stays = REREAD.min(self.wanted.future / 4);
        if now_us.saturating_sub(self.read_us) > micros(stays) {
            self.known = Known::default();
        }
        let look = Box::pin(async {
            match self.wanted.place.clone() {
                GuidePlace::File(file) => self.read_file(file, cut).await,
                GuidePlace::Http {
                    url,
                    user_agent,
                    headers,
                } => {
                    let get = Get {
                        url: &url,
                        user_agent: user_agent.as_deref(),
                        headers: &conditions(&self.known.validators, headers),
                        limit: ANSWER_MAX,
                    };
                    self.fetch(shard, &get, cut).await
                }
            }
        });
        let looked = shard.clock.limit(LOOK_MAX, look).await;
        let found = looked.unwrap_or(Err(GuideError::Slow {
            what: "reading the document",
            limit_ms: LOOK_MAX.as_millis(),
        }));
        let Some((part, known)) = found? else {
            return Ok(None);
        };
        (self.known, self.read_us) = (known, now_us);
        Ok(Some(part))
    }

    async fn read_file(
        &self,
        file: PathBuf,
        cut: &Arc<Cut>,
    ) -> Result<Option<(Part, Known)>, GuideError> {
        let (job, before) = (self.job(cut), self.known.file);
        let work = move || {
            let metadata = file.metadata().map_err(GuideError::File)?;
            // A pipe or a device might never end.
            if !metadata.is_file() {
                return Err(GuideError::File(std::io::ErrorKind::InvalidInput.into()));
            }
            let mark = Some(FileMark::from(&metadata));
            if mark == before {
                return Ok(None);
            }
            let file = File::open(&file).map_err(GuideError::File)?;
            let part = job.read(&mut BufReader::with_capacity(READ_BYTES, file))?;
            let known = Known {
                file: mark,
                ..Known::default()
            };
            Ok(Some((part, known)))
        };
        let read = aside("guide", self.thread()?, work).await;
        read.map_err(GuideError::Resources)?
    }

    async fn fetch(
        &self,
        shard: &Rc<Shard>,
        get: &Get<'_>,
        cut: &Arc<Cut>,
    ) -> Result<Option<(Part, Known)>, GuideError> {
        let answer = Box::pin(http::get(&shard.connector, &shard.clock, get)).await?;
        let is_conditional = self.known.validators != Validators::default();
        match answer.status {
            200 => {}
            304 if is_conditional => return Ok(None),
            status => {
                let from = answer.body.from().clone();
                return Err(FetchError::Status { from, status }.into());
            }
        }
        let (ours, theirs) = UnixStream::pair().map_err(GuideError::Resources)?;
        let job = self.job(cut);
        let work = move || job.read(&mut BufReader::with_capacity(READ_BYTES, theirs));
        let read = aside("guide", self.thread()?, work);
        let (read, fed) = zip(read, feed(&shard.clock, answer.body, ours)).await;
        let part = match (read.map_err(GuideError::Resources)?, fed) {
            (Ok(part), _) => part,
            // What was missing at the end counts, and not that it was missed.
            (Err(_), Err(error)) | (Err(error), Ok(())) => return Err(error),
        };
        let known = Known {
            file: None,
            validators: answer.validators,
        };
        Ok(Some((part, known)))
    }

    fn thread(&self) -> Result<Permit, GuideError> {
        let busy = std::io::ErrorKind::ResourceBusy;
        self.threads
            .take()
            .ok_or_else(|| GuideError::Resources(busy.into()))
    }

    fn job(&self, cut: &Arc<Cut>) -> Job {
        let now_s = unix_seconds();
        Job {
            cut: Arc::clone(cut),
            from_s: now_s.saturating_sub(self.wanted.past.as_secs()),
            until_s: now_s.saturating_add(self.wanted.future.as_secs()),
            shift_s: self.wanted.shift_ms / 1_000,
            bytes_max: self.wanted.bytes_max,
            number: self.number,
            copy: Some(self.copy.clone()),
        }
    }
}

/// What a thread does with a document.
struct Job {
    cut: Arc<Cut>,
    from_s: u64,
    until_s: u64,
    shift_s: i64,
    bytes_max: usize,
    number: usize,
    /// Where it is kept if it is good.
    copy: Option<PathBuf>,
}

impl Job {
    /// Reads a document; blocks, and yields its CPU to those that serve viewers.
    fn read(&self, document: &mut dyn BufRead) -> Result<Part, GuideError> {
        if let Err(error) = rustix::process::setpriority_process(None, NICE) {
            log::debug!("the reading of a guide could not be made to yield error=\"{error}\"");
        }
        let part = read(
            document,
            &Terms {
                cut: &self.cut,
                from_s: self.from_s,
                until_s: self.until_s,
                shift_s: self.shift_s,
                bytes_max: self.bytes_max,
                number: self.number,
            },
        )?;
        if let Some(copy) = &self.copy
            && let Err(error) = keep(copy, &part.shelves, &self.cut)
        {
            let error = Chain(&error);
            log::warn!(
                "a guide could not be kept for the next start file={copy:?} error=\"{error}\""
            );
        }
        Ok(part)
    }
}

/// Writes what is wanted of a guide into a file, packed, as a guide that can be read again.
fn keep(copy: &Path, shelves: &Shelves, cut: &Cut) -> std::io::Result<()> {
    let mut gzip = Gzip::default();
    let opening = gzip.store(b"<tv>\n", false);
    let shelves = cut.keys().iter().filter_map(|key| shelves.get(key));
    let shelves: Vec<_> = shelves.collect();
    let mut parts: Vec<&[u8]> = vec![&HEAD, &opening];
    for shelf in shelves {
        gzip.join(shelf.packed());
        parts.push(shelf.packed().bytes());
    }
    let closing = gzip.store(b"</tv>\n", true);
    let tail = gzip.tail();
    parts.extend([&closing[..], &tail]);
    kept::replace(copy, &parts)
}

/// Passes a body on to who reads it, to its end or until the reader has had enough.
async fn feed(clock: &Clock, mut body: Body, to: UnixStream) -> Result<(), GuideError> {
    let mut to = fd::pair_end(to.into());
    let mut piece = vec![0; READ_BYTES];
    loop {
        let Some(read) = clock.limit(SILENCE_MAX, body.read(&mut piece)).await else {
            return Err(GuideError::Slow {
                what: "a part of the document",
                limit_ms: SILENCE_MAX.as_millis(),
            });
        };
        let read = piece.get(..read?).unwrap_or_default();
        if read.is_empty() || to.write_all(read).await.is_err() {
            return Ok(());
        }
        glommio::yield_if_needed().await;
    }
}

/// How long a guide may stay the same before it is read again.
const REREAD: Duration = Duration::from_hours(24);

/// How long the head of an answer may take: a panel makes a guide of thousands of channels when it is asked.
const ANSWER_MAX: Duration = Duration::from_mins(1);

/// How long a server may be silent within a guide.
const SILENCE_MAX: Duration = Duration::from_secs(30);

/// How long all of it may take.
const LOOK_MAX: Duration = Duration::from_mins(15);

/// Priority of the thread that reads: all others go first.
const NICE: i32 = 10;
