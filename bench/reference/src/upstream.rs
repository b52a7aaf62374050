//! One upstream: connect, ask, and read the body of the answer.
//!
//! Plain HTTP by GET, no redirects, no second try. What is made of the body is the business of `relay`. The rule: the
//! start blocks and fails loudly; after it nothing here waits.

use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use thiserror::Error;

use crate::body::{Body, BodyError};

/// The body of a running answer.
#[derive(Debug)]
pub(crate) struct Upstream {
    connection: TcpStream,
    body: Body,
}

impl Upstream {
    /// Asks for `url` and reads the head of the answer; blocks for at most [`START_MAX`] per call to the system.
    ///
    /// # Errors
    /// [`UpstreamError`] for a URL of another kind, a failed connection, or an answer other than 200.
    pub(crate) fn open(url: &str) -> Result<Self, UpstreamError> {
        let rest = url
            .strip_prefix("http://")
            .ok_or_else(|| UpstreamError::Url(url.to_owned()))?;
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        let failed = |source| UpstreamError::Start {
            url: url.to_owned(),
            source,
        };
        let mut connection = connect(authority).map_err(failed)?;
        let request = format!(
            "GET /{path} HTTP/1.1\r\nHost: {authority}\r\nUser-Agent: corecast-reference\r\nConnection: close\r\n\r\n"
        );
        connection.write_all(request.as_bytes()).map_err(failed)?;
        let head = read_head(&mut connection).map_err(failed)?;
        let body = body(&head).ok_or_else(|| UpstreamError::Answer {
            url: url.to_owned(),
            status: head.lines().next().unwrap_or_default().to_owned(),
        })?;
        connection.set_nonblocking(true).map_err(failed)?;
        Ok(Self { connection, body })
    }

    /// Reads once what has arrived into `room`, which must not be empty; returns how many bytes of it are body.
    ///
    /// # Errors
    /// [`ReadError`] when nothing more will come and nothing came with this call.
    pub(crate) fn read(&mut self, room: &mut [u8]) -> Result<usize, ReadError> {
        match self.connection.read(room) {
            Ok(0) if self.body == Body::Close => Err(ReadError::Over),
            Ok(0) => Err(ReadError::Cut),
            Ok(bytes) => {
                let arrived = room.get_mut(..bytes).unwrap_or_default();
                Ok(self.body.strip(arrived)?)
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(0),
            Err(error) => Err(error.into()),
        }
    }

    /// Whether the body is complete by its own account.
    pub(crate) fn is_over(&self) -> bool {
        self.body.is_over()
    }
}

impl AsFd for Upstream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.connection.as_fd()
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "there are no viewers yet that could wait for it"
)]
fn connect(authority: &str) -> io::Result<TcpStream> {
    let connection = TcpStream::connect(authority)?;
    connection.set_read_timeout(Some(START_MAX))?;
    connection.set_write_timeout(Some(START_MAX))?;
    Ok(connection)
}

/// Reads up to the empty line and not a byte further: a byte a call, which is slow, once, and needs no place for more.
fn read_head(connection: &mut TcpStream) -> io::Result<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        connection.read_exact(&mut byte)?;
        head.extend_from_slice(&byte);
        if head.len() > HEAD_BYTES_MAX {
            return Err(io::Error::from(ErrorKind::InvalidData));
        }
    }
    Ok(String::from_utf8_lossy(&head).into_owned())
}

/// How the body behind this head is delimited; `None` if the status is not 200 or the length is no number.
fn body(head: &str) -> Option<Body> {
    let (status, fields) = head.split_once("\r\n")?;
    if !status.starts_with("HTTP/1.") || status.split(' ').nth(1) != Some("200") {
        return None;
    }
    let field = |wanted: &str| {
        let fields = fields.lines().filter_map(|line| line.split_once(':'));
        let mut found = fields.filter(|(name, _)| name.eq_ignore_ascii_case(wanted));
        found.next().map(|(_, value)| value.trim())
    };
    if field("transfer-encoding").is_some_and(|coding| coding.eq_ignore_ascii_case("chunked")) {
        return Some(Body::CHUNKED);
    }
    match field("content-length") {
        Some(length) => length.parse().ok().map(Body::Length),
        None => Some(Body::Close),
    }
}

/// Why an upstream could not be begun with.
#[derive(Debug, Error)]
pub(crate) enum UpstreamError {
    /// The answer has no body to relay.
    #[error("{url} answered \"{status}\": 200 is required")]
    Answer {
        /// What was asked for.
        url: String,
        /// The answer's first line.
        status: String,
    },
    /// The connection failed before the body.
    #[error("asking {url} failed: {source}")]
    Start {
        /// What was asked for.
        url: String,
        /// What the system said.
        source: io::Error,
    },
    /// Not plain HTTP.
    #[error("{0} is no upstream: http://HOST:PORT/PATH is allowed")]
    Url(String),
}

/// Why nothing more comes from an upstream.
#[derive(Debug, Error)]
pub(crate) enum ReadError {
    /// The chunked coding is broken.
    #[error(transparent)]
    Body(#[from] BodyError),
    /// The connection closed inside the body.
    #[error("the connection closed inside the body")]
    Cut,
    /// The connection failed.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The body is complete.
    #[error("the body is complete")]
    Over,
}

/// Longest that one call may take before the body.
const START_MAX: Duration = Duration::from_secs(10);

/// Longest head of an answer.
const HEAD_BYTES_MAX: usize = 8 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_head_says_how_the_body_ends() {
        for (fields, expected) in [
            ("", Body::Close),
            ("Content-Length: 188\r\n", Body::Length(188)),
            ("transfer-encoding: Chunked\r\n", Body::CHUNKED),
            (
                "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n",
                Body::CHUNKED,
            ),
        ] {
            let head = format!("HTTP/1.1 200 OK\r\nServer: x\r\n{fields}\r\n");
            assert_eq!(body(&head), Some(expected), "{fields}");
        }
    }

    #[test]
    fn only_200_is_relayed() {
        for head in [
            "HTTP/1.1 404 Not Found\r\n\r\n",
            "HTTP/1.1 206 Partial Content\r\n\r\n",
            "ICY 200 OK\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\n",
        ] {
            assert_eq!(body(head), None, "{head}");
        }
    }
}
