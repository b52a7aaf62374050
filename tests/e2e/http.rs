//! Short exchanges: send these bytes, get what is answered until the connection ends or the answer is whole.
//!
//! Streams that go on are `viewer.rs`. The rule: reading and writing go on side by side, so that an early answer to a
//! long request is seen as a browser would see it.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// The head of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    /// The status line as it was sent.
    pub(crate) line: String,
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
}

impl Head {
    /// The head at the front of `bytes` and how long it is; `None` if it is not whole.
    pub(crate) fn read(bytes: &[u8]) -> Option<(Self, usize)> {
        let length = bytes.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
        let text = std::str::from_utf8(&bytes[..length]).unwrap();
        let mut lines = text.trim_end().split("\r\n");
        let line = lines.next().unwrap().to_owned();
        let status = line.split(' ').nth(1).unwrap().parse().unwrap();
        let headers = lines
            .map(|line| {
                line.split_once(": ")
                    .map(|(name, value)| (name.to_owned(), value.to_owned()))
                    .unwrap()
            })
            .collect();
        Some((
            Self {
                line,
                status,
                headers,
            },
            length,
        ))
    }

    /// The only header of that name, whatever its case.
    #[track_caller]
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut found = self
            .headers
            .iter()
            .filter(|(key, _)| key.eq_ignore_ascii_case(name));
        let first = found.next()?;
        assert!(found.next().is_none(), "{name} stands twice in {self:?}");
        Some(&first.1)
    }
}

/// A whole answer.
#[derive(Clone, Debug)]
pub(crate) struct Reply {
    pub(crate) head: Head,
    pub(crate) body: Vec<u8>,
    /// From the first byte sent to the last received.
    pub(crate) took: Duration,
}

impl Reply {
    pub(crate) fn status(&self) -> u16 {
        self.head.status
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    #[track_caller]
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.header(name)
    }

    /// Panics unless it is a 503 that says when to come back.
    #[track_caller]
    pub(crate) fn assert_told_to_come_back(&self) {
        assert_eq!(self.status(), 503, "{}", self.text());
        let after = self.header("retry-after").unwrap();
        assert!(after.parse::<u32>().unwrap() > 0, "{after}");
    }
}

/// Asks for `target` as a browser would and takes the whole answer.
#[track_caller]
pub(crate) fn get(address: SocketAddr, target: &str) -> Reply {
    ask(
        address,
        &format!("GET {target} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n"),
    )
}

/// Sends a request and takes the whole answer, which must come.
#[track_caller]
pub(crate) fn ask(address: SocketAddr, request: &str) -> Reply {
    let raw = exchange(TcpStream::connect(address).unwrap(), &[request.as_bytes()]);
    raw.reply()
        .unwrap_or_else(|| panic!("no answer to {request:?} but {raw:?}"))
}

/// Sends the pieces one after the other, and reads until the server ends the connection.
#[track_caller]
pub(crate) fn exchange(socket: TcpStream, pieces: &[&[u8]]) -> Raw {
    let began = Instant::now();
    // A Unix socket has no such option.
    drop(socket.set_nodelay(true));
    socket
        .set_read_timeout(Some(Duration::from_millis(100)))
        .unwrap();
    let (mut reader, mut writer) = (socket.try_clone().unwrap(), socket);
    std::thread::scope(|scope| {
        scope.spawn(move || {
            writer.set_write_timeout(Some(DEADLINE)).unwrap();
            for piece in pieces {
                if writer.write_all(piece).is_err() {
                    break;
                }
            }
        });
        let mut raw = Raw {
            bytes: Vec::new(),
            end: None,
            took: Duration::ZERO,
        };
        let mut buffer = [0u8; 16_384];
        while began.elapsed() < DEADLINE && raw.bytes.len() < ANSWER_BYTES_MAX {
            match reader.read(&mut buffer) {
                Ok(0) => raw.end = Some(RawEnd::Closed),
                Ok(read) => raw.bytes.extend_from_slice(&buffer[..read]),
                Err(error)
                    if matches!(
                        error.kind(),
                        std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut
                    ) => {}
                Err(_) => raw.end = Some(RawEnd::Reset),
            }
            if raw.end.is_some() {
                break;
            }
        }
        raw.took = began.elapsed();
        // Ends a writer that is still at it.
        drop(reader.shutdown(std::net::Shutdown::Both));
        raw
    })
}

/// What came back on one connection.
#[derive(Debug)]
pub(crate) struct Raw {
    pub(crate) bytes: Vec<u8>,
    /// How the server ended the connection; `None` if it did not within the deadline.
    pub(crate) end: Option<RawEnd>,
    pub(crate) took: Duration,
}

/// How a server ended a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RawEnd {
    Closed,
    Reset,
}

impl Raw {
    /// The first answer in it.
    pub(crate) fn reply(&self) -> Option<Reply> {
        let (head, length) = Head::read(&self.bytes)?;
        let rest = &self.bytes[length..];
        let body = match head.header("content-length") {
            Some(bytes) => rest.get(..bytes.parse().unwrap()).unwrap_or(rest),
            None => rest,
        };
        let body = body.to_vec();
        Some(Reply {
            head,
            body,
            took: self.took,
        })
    }

    /// The status of the first answer in it.
    pub(crate) fn status(&self) -> Option<u16> {
        Head::read(&self.bytes).map(|(head, _)| head.status)
    }
}

/// Longer than any exchange may take.
const DEADLINE: Duration = Duration::from_secs(12);
/// More than any answer that is no stream.
const ANSWER_BYTES_MAX: usize = 4 << 20;
