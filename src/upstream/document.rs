//! A document that is looked at again and again: a playlist, a program guide.
//!
//! Says whether there is a newer one, and keeps the last one that its reader called good, so that a start while its place
//! is down still has one. What it means is its reader's business, when to look is in `pace.rs`. The rules: bounded bytes,
//! bounded time, nothing that blocks on an executor, never a HEAD, and no error shows more of a URL than its host.
//!
//! ```text
//! let mut document = Document::new(place, limits, Some(state_dir.join("guide.kept")));
//! let kept = document.recall()?;                  // blocks: at start-up; the last good one, if it is of this place
//! let mut pace = Pace::new(every);
//! loop {
//!     let wait = match document.look(&shard.connector, &shard.clock).await {
//!         Ok(None) => pace.after_good(fastrand::f64()),      // nothing new
//!         Ok(Some(found)) => match read(&found.bytes) {      // gzip is off already; big ones: through shard::aside
//!             Ok(_) => {
//!                 document.accept(found).await?;             // remembers it, and keeps it in its file
//!                 pace.after_good(fastrand::f64())
//!             }
//!             Err(_) => Some(pace.after_bad(fastrand::f64())),
//!         },
//!         Err(_) => Some(pace.after_bad(fastrand::f64())),
//!     };
//!     // wait that long (`None` is for ever), or until the operator reloads
//! }
//! ```

use std::fmt::{self, Write as _};
use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use flate2::read::MultiGzDecoder;
use ring::digest;
use serde::{Deserialize, Serialize};
use thiserror::Error;
use url::Url;

use crate::clock::Clock;
use crate::config::HiddenUrl;
use crate::shard::aside::aside;
use crate::shard::permits::{Permit, Permits};
use crate::upstream::connect::Connector;
use crate::upstream::error::FetchError;
use crate::upstream::http::{self, Body, Get, Validators};
use crate::upstream::kept;

/// A document that is looked at again and again.
pub struct Document {
    place: Place,
    limits: Limits,
    copy: Option<PathBuf>,
    /// Of the one that was accepted last.
    mark: Mark,
    /// One thread at once, also when nobody waits for it any more.
    threads: Arc<Permits>,
}

/// Where a document is. `Debug` shows no secret.
#[derive(Clone, PartialEq, Eq)]
pub enum Place {
    /// On this host.
    File(PathBuf),
    /// On an HTTP server.
    Url {
        /// Where. Shape: http or https, a host. It may carry a password.
        url: Url,
        /// The User-Agent, when it is not the usual one.
        user_agent: Option<String>,
        /// Headers beside the usual ones.
        headers: Vec<(String, String)>,
    },
}

/// How much a document may be, and how long a look may take.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Unit: bytes, with and without compression.
    pub bytes_max: usize,
    /// For a whole look.
    pub time_max: Duration,
}

/// A document that is not the one accepted last.
pub struct Found {
    /// All of it, compression taken off.
    pub bytes: Bytes,
    mark: Mark,
}

/// What tells a document from a later one.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Mark {
    validators: Validators,
    /// Of the bytes, compression taken off.
    digest: String,
    /// Not kept: files are read anew by the next process.
    #[serde(skip)]
    file: Option<FileMark>,
}

/// What tells a file from a later one without reading it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileMark {
    inode: u64,
    bytes: u64,
    modified: (i64, i64),
}

/// The first line of a kept document.
#[derive(Serialize, Deserialize)]
struct KeptHead {
    /// Whose it is, so that another place's is not taken for it.
    place: String,
    mark: Mark,
}

impl Document {
    /// A document of which nothing is known yet. `copy` is the file in which the last good one is kept, if it is to be.
    #[must_use]
    pub fn new(place: Place, limits: Limits, copy: Option<PathBuf>) -> Self {
        Self {
            place,
            limits,
            copy,
            mark: Mark::default(),
            threads: Permits::new(1),
        }
    }

    /// The one that was kept last, if it came from this place; the next look is for a newer one.
    ///
    /// Blocks: for start-up.
    ///
    /// # Errors
    /// [`DocumentError::Kept`] if it cannot be read. The document is as if none had been kept.
    pub fn recall(&mut self) -> Result<Option<Bytes>, DocumentError> {
        let Some(file) = &self.copy else {
            return Ok(None);
        };
        let failed = |source| DocumentError::Kept {
            file: file.clone(),
            source,
        };
        let bytes_max = self.limits.bytes_max.saturating_add(HEAD_BYTES_MAX);
        let Some(bytes) = kept::read(file, bytes_max).map_err(failed)? else {
            return Ok(None);
        };
        let head_bytes = bytes.iter().take_while(|byte| **byte != b'\n').count();
        let mut document = Bytes::from(bytes);
        let head = document.split_to(head_bytes);
        let head: KeptHead = serde_json::from_slice(&head).map_err(|error| failed(error.into()))?;
        let document = document.slice(1.min(document.len())..);
        if head.mark.digest != digest_of(&document) {
            return Err(failed(io::ErrorKind::InvalidData.into()));
        }
        if head.place != self.place.digest() {
            return Ok(None);
        }
        self.mark = head.mark;
        Ok(Some(document))
    }

    /// The document as it is in its file now; the next look says the same, and why if it cannot be read.
    ///
    /// Blocks: for start-up.
    #[must_use]
    pub fn read_file(&self) -> Option<Bytes> {
        let Place::File(file) = &self.place else {
            return None;
        };
        let bytes_max = self.limits.bytes_max;
        let raw = read_file(file, None, bytes_max).ok().flatten()?;
        raw.plain(bytes_max).ok().map(|found| found.bytes)
    }

    /// Looks whether there is another document than the one accepted last.
    ///
    /// # Errors
    /// Whatever kept a whole document from coming; what was accepted last stays.
    ///
    /// Cancel safety: dropping it closes the connection; a thread that reads a file ends by itself.
    pub async fn look(
        &mut self,
        connector: &Connector,
        clock: &Clock,
    ) -> Result<Option<Found>, DocumentError> {
        let limit = self.limits.time_max;
        let look = Box::pin(async {
            match self.place.clone() {
                Place::File(file) => self.read(file).await,
                Place::Url {
                    url,
                    user_agent,
                    headers,
                } => {
                    let get = Get {
                        url: &url,
                        user_agent: user_agent.as_deref(),
                        headers: &conditions(&self.mark.validators, headers),
                        limit: limit.min(HEAD_MAX),
                    };
                    self.fetch(connector, clock, &get).await
                }
            }
        });
        clock.limit(limit, look).await.unwrap_or_else(|| {
            let limit_ms = limit.as_millis();
            Err(DocumentError::Slow { limit_ms })
        })
    }

    /// Takes what was found for the one that is known, and keeps it.
    ///
    /// # Errors
    /// [`DocumentError::Kept`] if it could not be kept; it is accepted all the same.
    pub async fn accept(&mut self, found: Found) -> Result<(), DocumentError> {
        self.mark = found.mark;
        let Some(file) = self.copy.clone() else {
            return Ok(());
        };
        let head = KeptHead {
            place: self.place.digest(),
            mark: self.mark.clone(),
        };
        let (path, bytes) = (file.clone(), found.bytes);
        let kept = aside("keep", self.thread()?, move || {
            let head = serde_json::to_vec(&head)?;
            kept::replace(&path, &[&head, b"\n", &bytes])
        });
        let kept = kept.await.and_then(|kept| kept);
        kept.map_err(|source| DocumentError::Kept { file, source })
    }

    async fn fetch(
        &mut self,
        connector: &Connector,
        clock: &Clock,
        get: &Get<'_>,
    ) -> Result<Option<Found>, DocumentError> {
        let answer = http::get(connector, clock, get).await?;
        let is_conditional = self.mark.validators != Validators::default();
        match answer.status {
            200 => {}
            304 if is_conditional => return Ok(None),
            status => {
                let from = answer.body.from().clone();
                return Err(FetchError::Status { from, status }.into());
            }
        }
        let raw = self.read_body(answer.body).await?;
        let validators = answer.validators;
        let file = None;
        self.tell(move || {
            Ok(Some(Raw {
                raw,
                validators,
                file,
            }))
        })
        .await
    }

    async fn read_body(&self, mut body: Body) -> Result<Vec<u8>, DocumentError> {
        let mut bytes = Vec::new();
        let mut piece = vec![0; PIECE_BYTES];
        loop {
            let read = body.read(&mut piece).await?;
            if read == 0 {
                return Ok(bytes);
            }
            bytes.extend_from_slice(piece.get(..read).unwrap_or_default());
            if bytes.len() > self.limits.bytes_max {
                return Err(too_long(self.limits.bytes_max));
            }
            glommio::yield_if_needed().await;
        }
    }

    async fn read(&mut self, file: PathBuf) -> Result<Option<Found>, DocumentError> {
        let known = self.mark.file;
        let bytes_max = self.limits.bytes_max;
        self.tell(move || match read_file(&file, known, bytes_max) {
            Err(error) if error.kind() == io::ErrorKind::FileTooLarge => Err(too_long(bytes_max)),
            read => read.map_err(|source| DocumentError::File { file, source }),
        })
        .await
    }

    /// Reads, takes compression off and compares, all of it aside.
    async fn tell(
        &mut self,
        read: impl FnOnce() -> Result<Option<Raw>, DocumentError> + Send + 'static,
    ) -> Result<Option<Found>, DocumentError> {
        let bytes_max = self.limits.bytes_max;
        let told = aside("document", self.thread()?, move || match read()? {
            Some(raw) => raw.plain(bytes_max).map(Some),
            None => Ok(None),
        });
        let told = told.await.map_err(DocumentError::Thread)?;
        Ok(told?.and_then(|found| {
            let is_known = found.mark.digest == self.mark.digest;
            if is_known {
                self.mark = found.mark.clone();
            }
            (!is_known).then_some(found)
        }))
    }

    fn thread(&self) -> Result<Permit, DocumentError> {
        self.threads.take().ok_or(DocumentError::Busy)
    }
}

impl Place {
    /// A name that tells it from others and shows nothing of it.
    fn digest(&self) -> String {
        match self {
            Self::File(path) => digest_of(path.as_os_str().as_encoded_bytes()),
            Self::Url { url, .. } => digest_of(url.as_str().as_bytes()),
        }
    }
}

impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "File({path:?})"),
            Self::Url { url, .. } => write!(f, "Url({})", HiddenUrl(url)),
        }
    }
}

/// What came, as it came.
struct Raw {
    raw: Vec<u8>,
    validators: Validators,
    file: Option<FileMark>,
}

impl Raw {
    /// Takes compression off, whatever the answer's head says of it.
    fn plain(self, bytes_max: usize) -> Result<Found, DocumentError> {
        let bytes = match self.raw.starts_with(GZIP) {
            false => self.raw,
            true => {
                let plain = MultiGzDecoder::new(self.raw.as_slice());
                kept::read_open(plain, bytes_max).map_err(|error| match error.kind() {
                    io::ErrorKind::FileTooLarge => too_long(bytes_max),
                    _ => DocumentError::Gzip(error),
                })?
            }
        };
        let mark = Mark {
            validators: self.validators,
            digest: digest_of(&bytes),
            file: self.file,
        };
        let bytes = Bytes::from(bytes);
        Ok(Found { bytes, mark })
    }
}

impl From<&Metadata> for FileMark {
    fn from(metadata: &Metadata) -> Self {
        Self {
            inode: metadata.ino(),
            bytes: metadata.len(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
        }
    }
}

/// Why no document was found.
#[derive(Debug, Error)]
pub enum DocumentError {
    /// The file system did not answer the last time yet.
    #[error("the last look is not over: a file system does not answer")]
    Busy,
    /// It could not be fetched.
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// The file cannot be read.
    #[error("{file:?} could not be read")]
    File {
        /// Which file.
        file: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The compression is broken.
    #[error("the document's gzip is broken or cut short")]
    Gzip(#[source] io::Error),
    /// The last good one cannot be kept, or what was kept cannot be read.
    #[error("the last good copy, {file:?}, could not be read or written")]
    Kept {
        /// In which file.
        file: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// All of it took longer than it may.
    #[error("the document was not there within {limit_ms} ms")]
    Slow {
        /// How long it may take.
        limit_ms: u128,
    },
    /// No thread to read in.
    #[error("a thread to read in was refused")]
    Thread(#[source] io::Error),
    /// It is larger than any real one.
    #[error("the document has more than {limit_bytes} bytes")]
    TooLong {
        /// The limit, with and without compression.
        limit_bytes: usize,
    },
}

/// Reads a file if it is another one than `known`; blocks.
fn read_file(path: &Path, known: Option<FileMark>, bytes_max: usize) -> io::Result<Option<Raw>> {
    let metadata = path.metadata()?;
    // A pipe or a device might never end.
    if !metadata.is_file() {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let file = Some(FileMark::from(&metadata));
    if file == known {
        return Ok(None);
    }
    let raw = kept::read_open(File::open(path)?, bytes_max)?;
    let validators = Validators::default();
    Ok(Some(Raw {
        raw,
        validators,
        file,
    }))
}

fn too_long(limit_bytes: usize) -> DocumentError {
    DocumentError::TooLong { limit_bytes }
}

/// The headers of a request: the operator's, and what makes it cheap for who has the answer with these validators.
#[must_use]
pub fn conditions(
    validators: &Validators,
    mut headers: Vec<(String, String)>,
) -> Vec<(String, String)> {
    let own = [
        ("Accept-Encoding", Some("gzip")),
        ("If-None-Match", validators.etag.as_deref()),
        ("If-Modified-Since", validators.last_modified.as_deref()),
    ];
    for (name, value) in own {
        let is_given = headers.iter().any(|(it, _)| it.eq_ignore_ascii_case(name));
        if let (false, Some(value)) = (is_given, value) {
            headers.push((name.to_owned(), value.to_owned()));
        }
    }
    headers
}

/// A name that tells these bytes from others. Shape: 64 hexadecimal digits.
#[must_use]
pub fn digest_of(bytes: &[u8]) -> String {
    let digest = digest::digest(&digest::SHA256, bytes);
    let mut text = String::with_capacity(2 * digest::SHA256_OUTPUT_LEN);
    for byte in digest.as_ref() {
        let written = write!(text, "{byte:02x}");
        debug_assert!(written.is_ok(), "writing to a string does not fail");
    }
    text
}

/// How gzip begins.
const GZIP: &[u8] = &[0x1f, 0x8b];

/// How long the head of an answer may take: a panel makes a list of thousands of entries when it is asked.
const HEAD_MAX: Duration = Duration::from_secs(60);

/// The first line of a kept document is no longer than this.
const HEAD_BYTES_MAX: usize = 64 * 1024;

/// How much is read at once.
const PIECE_BYTES: usize = 64 * 1024;

#[cfg(test)]
mod tests;
