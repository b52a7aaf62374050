//! The server's own counters, read off its page of Prometheus text when measuring begins and when it ends.
//!
//! What the page says belongs in `samples.rs`. The rule: the page is read on a thread of its own, so a server that answers
//! late makes no other reading late; a rate is taken over the time between the two answers, whenever they came.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::thread::JoinHandle;
use std::time::Duration;

use super::head::{Head, Refusal};
use super::samples::{SamplesError, sum};
use crate::clock;
use crate::result::Metric;

/// The metrics that are asked for, and their readings so far.
pub(super) struct Counters {
    page: Page,
    begun: Vec<std::io::Result<JoinHandle<Result<Reading, CountersError>>>>,
}

impl Counters {
    /// The metrics with these names on one page.
    pub(super) fn new(address: SocketAddr, path: &str, names: &[String]) -> Self {
        Self {
            page: Page {
                address,
                path: path.to_owned(),
                names: names.to_owned(),
            },
            begun: Vec::new(),
        }
    }

    /// Begins to read the page, and does not wait for it.
    pub(super) fn read(&mut self) {
        let page = self.page.clone();
        let thread = std::thread::Builder::new().name("metrics".into());
        self.begun.push(thread.spawn(move || page.read()));
    }

    /// How fast each metric grew from the first reading to the last; waits until both have ended.
    ///
    /// # Errors
    /// The first thing that was wrong with any reading.
    pub(super) fn growth(self) -> Result<Vec<Metric>, CountersError> {
        let mut readings = Vec::new();
        for begun in self.begun {
            let reading = begun.map_err(CountersError::Thread)?.join();
            readings.push(reading.unwrap_or_else(|panic| std::panic::resume_unwind(panic))?);
        }
        let (Some(first), Some(last)) = (readings.first(), readings.last()) else {
            return Ok(Vec::new());
        };
        let passed_s = last.at.saturating_sub(first.at).as_secs_f64().max(1e-9);
        let sums = first.sums.iter().zip(&last.sums);
        let growth = self.page.names.into_iter().zip(sums);
        Ok(growth
            .map(|(name, (from, to))| Metric {
                name,
                per_s: (to - from) / passed_s,
                per_mb: None,
            })
            .collect())
    }
}

/// A page, and which metrics on it are wanted.
#[derive(Clone)]
struct Page {
    address: SocketAddr,
    path: String,
    names: Vec<String>,
}

impl Page {
    fn read(&self) -> Result<Reading, CountersError> {
        let (at, answer) = self.answer()?;
        let head = Head::read(&answer).map_err(CountersError::Refused)?;
        let body_at = head.ok_or(CountersError::Cut)?.body_at;
        let body = String::from_utf8_lossy(answer.get(body_at..).unwrap_or_default());
        let sums = self.names.iter().map(|name| sum(&body, name));
        let sums = sums
            .collect::<Result<_, _>>()
            .map_err(CountersError::Samples)?;
        Ok(Reading { at, sums })
    }

    /// The whole answer, and when it began.
    fn answer(&self) -> Result<(Duration, Vec<u8>), CountersError> {
        let until = clock::now() + ANSWER_TIME;
        let mut socket = TcpStream::connect_timeout(&self.address, ANSWER_TIME)
            .map_err(CountersError::Connect)?;
        let (path, address) = (&self.path, self.address);
        let request = format!(
            "GET {path} HTTP/1.0\r\nHost: {address}\r\nUser-Agent: corecast-load\r\nConnection: close\r\n\r\n"
        );
        socket
            .write_all(request.as_bytes())
            .map_err(CountersError::Ask)?;
        let (mut answer, mut began) = (Vec::new(), None);
        let mut piece = vec![0; PIECE_BYTES];
        loop {
            let left = until.saturating_sub(clock::now());
            if left.is_zero() {
                return Err(CountersError::Late);
            }
            socket
                .set_read_timeout(Some(left))
                .map_err(CountersError::Read)?;
            match socket.read(&mut piece) {
                Ok(0) => break,
                Ok(length) => {
                    began.get_or_insert_with(clock::now);
                    answer.extend_from_slice(piece.get(..length).unwrap_or_default());
                }
                // The loop's own deadline ends it.
                Err(error) if is_retried(error.kind()) => {}
                Err(error) => return Err(CountersError::Read(error)),
            }
            if answer.len() > ANSWER_BYTES_MAX {
                return Err(CountersError::Long);
            }
        }
        Ok((began.unwrap_or_else(clock::now), answer))
    }
}

/// What a page said.
struct Reading {
    /// When it began to come, which is when the server had counted.
    at: Duration,
    /// For each name.
    sums: Vec<f64>,
}

/// Why the server's counters are not known.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CountersError {
    #[error("ask for the page failed")]
    Ask(#[source] std::io::Error),
    #[error("connect failed")]
    Connect(#[source] std::io::Error),
    #[error("the connection closed before a whole head came")]
    Cut,
    #[error("the page was not whole after {ANSWER_TIME:?}")]
    Late,
    #[error("the page has more than the {ANSWER_BYTES_MAX} bytes that are allowed")]
    Long,
    #[error("read the page failed")]
    Read(#[source] std::io::Error),
    #[error("the server {0}")]
    Refused(Refusal),
    #[error(transparent)]
    Samples(SamplesError),
    #[error("start a thread failed")]
    Thread(#[source] std::io::Error),
}

fn is_retried(kind: ErrorKind) -> bool {
    use ErrorKind::{Interrupted, TimedOut, WouldBlock};
    matches!(kind, Interrupted | TimedOut | WouldBlock)
}

/// A server under load is slow to answer; one that is not through by now is broken.
const ANSWER_TIME: Duration = Duration::from_secs(5);
const ANSWER_BYTES_MAX: usize = 4 << 20;
const PIECE_BYTES: usize = 65_536;
