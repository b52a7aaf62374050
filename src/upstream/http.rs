//! GET from an upstream: redirects, head, body.
//!
//! Reads what real sources answer: HTTP/1.0 and 1.1, with a length, chunked or until they close. What the bytes mean is
//! not its business.

use std::cell::Cell;
use std::fmt::Write as _;
use std::future::poll_fn;
use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use futures_lite::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use percent_encoding::percent_decode_str;
use serde::{Deserialize, Serialize};
use url::{Host as UrlHost, Url};

use crate::clock::Clock;
use crate::http::chunked::Chunked;
use crate::upstream::connect::{Connecting, Connection, Connector, Trust};
use crate::upstream::error::{FetchError, Host, Phase};

/// What is asked of an upstream.
pub struct Get<'a> {
    /// Where.
    pub url: &'a Url,
    /// The User-Agent, when it is not the usual one.
    pub user_agent: Option<&'a str>,
    /// Headers beside the usual ones.
    pub headers: &'a [(String, String)],
    /// How long each answer's head may take.
    pub limit: Duration,
}

/// An answer whose head has been read.
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The media type, in lower case, without parameters.
    pub content_type: String,
    /// What tells this answer from a later one.
    pub validators: Validators,
    /// The body, not read yet.
    pub body: Body,
}

/// As [`ask`], where nobody counts connections.
///
/// # Errors
/// As [`ask`].
pub async fn get(
    connector: &Connector,
    clock: &Clock,
    get: &Get<'_>,
) -> Result<Answer, FetchError> {
    ask(connector, clock, get, &Connecting::default()).await
}

/// What a server says of an answer, so that it can be asked later whether there is a newer one.
///
/// Shape: values as they stood in the head, each one line.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Validators {
    /// `ETag`.
    pub etag: Option<String>,
    /// `Last-Modified`.
    pub last_modified: Option<String>,
}

/// Asks, following up to [`REDIRECTS_MAX`] redirects, and reads the head of the answer.
///
/// # Errors
/// Whatever kept an answer from coming; a status other than a redirect is not an error.
///
/// Cancel safety: dropping it closes the connection; while `connecting` is under way, some time later.
pub async fn ask(
    connector: &Connector,
    clock: &Clock,
    get: &Get<'_>,
    connecting: &Connecting,
) -> Result<Answer, FetchError> {
    let mut url = get.url.clone();
    let mut trust = Trust::Operator;
    for hops in 0..=REDIRECTS_MAX {
        // Boxed: a secure connection being made is large, and most are plain.
        let connection = connector.connect(clock, &url, trust, connecting);
        let connection = Box::pin(connection).await?;
        let from = Host::from(&url);
        let is_first = hops == 0;
        let exchange = Box::pin(exchange(connection, get, &url, is_first));
        let Some(head) = clock.limit(get.limit, exchange).await else {
            return Err(FetchError::Slow {
                from,
                phase: Phase::Answer,
                limit_ms: get.limit.as_millis(),
            });
        };
        let head = head?;
        let Some(location) = head
            .location
            .filter(|_| matches!(head.status, 301 | 302 | 303 | 307 | 308))
        else {
            return Ok(Answer {
                status: head.status,
                content_type: head.content_type,
                validators: head.validators,
                body: head.body,
            });
        };
        trust = Trust::Redirect {
            from_loopback: is_loopback(get.url),
        };
        url = target(&url, &location).ok_or(FetchError::RedirectRefused { from })?;
    }
    Err(FetchError::Redirects {
        from: Host::from(&url),
        hops: REDIRECTS_MAX + 1,
        limit: REDIRECTS_MAX,
    })
}

/// The body of an answer.
pub struct Body {
    connection: Connection,
    from: Host,
    /// Read together with the head, and how much of it has been given out.
    early: Vec<u8>,
    early_at: usize,
    framing: Framing,
    read_bytes: Cell<u64>,
}

enum Framing {
    Chunked(Chunked),
    Close,
    Done,
    Length(u64),
}

impl Body {
    /// Who sends it.
    #[must_use]
    pub fn from(&self) -> &Host {
        &self.from
    }

    /// Bytes given out so far.
    #[must_use]
    pub fn read_bytes(&self) -> u64 {
        self.read_bytes.get()
    }

    /// Reads what is there, at least a byte, framing taken off; 0 means the body is over.
    ///
    /// # Errors
    /// The connection failed, ended inside the body, or broke the chunked coding.
    ///
    /// Cancel safety: nothing is lost when it is dropped before it finished.
    pub async fn read(&mut self, into: &mut [u8]) -> Result<usize, FetchError> {
        let read = |connection: &mut Connection, cx: &mut Context<'_>, into: &mut [u8]| {
            Pin::new(connection).poll_read(cx, into)
        };
        poll_fn(|cx| self.poll_read(into, |connection, into| read(connection, cx, into))).await
    }

    /// Lets [`Body::read`] wait until so many bytes are there. What is there already may be less.
    pub fn wait_for(&mut self, least_bytes: usize) {
        self.connection.wait_for(least_bytes);
    }

    /// Reads what is there as [`Body::read`] does, but does not wait; `None` if nothing is.
    ///
    /// # Errors
    /// As [`Body::read`].
    pub fn read_now(&mut self, into: &mut [u8]) -> Result<Option<usize>, FetchError> {
        match self.poll_read(into, Connection::read_now) {
            Poll::Pending => Ok(None),
            Poll::Ready(read) => read.map(Some),
        }
    }

    fn poll_read(
        &mut self,
        into: &mut [u8],
        mut read: impl FnMut(&mut Connection, &mut [u8]) -> Poll<io::Result<usize>>,
    ) -> Poll<Result<usize, FetchError>> {
        loop {
            let wanted = match &self.framing {
                Framing::Done => return Poll::Ready(Ok(0)),
                Framing::Length(left) => {
                    usize::try_from(*left).unwrap_or(usize::MAX).min(into.len())
                }
                Framing::Chunked(_) | Framing::Close => into.len(),
            };
            let Some(into) = into.get_mut(..wanted) else {
                return Poll::Ready(Ok(0));
            };
            let raw = ready!(self.poll_raw(into, &mut read))?;
            let body = self.unframe(into, raw)?;
            if body > 0 || matches!(self.framing, Framing::Done) {
                self.read_bytes.set(self.read_bytes.get() + body as u64);
                return Poll::Ready(Ok(body));
            }
        }
    }

    fn poll_raw(
        &mut self,
        into: &mut [u8],
        mut read: impl FnMut(&mut Connection, &mut [u8]) -> Poll<io::Result<usize>>,
    ) -> Poll<Result<usize, FetchError>> {
        let early = self.early.get(self.early_at..).unwrap_or_default();
        if !early.is_empty() {
            let bytes = early.len().min(into.len());
            for (to, from) in into.iter_mut().zip(early) {
                *to = *from;
            }
            self.early_at += bytes;
            if self.early_at == self.early.len() {
                self.early = Vec::new();
                self.early_at = 0;
            }
            return Poll::Ready(Ok(bytes));
        }
        let read = ready!(read(&mut self.connection, into));
        Poll::Ready(read.map_err(|source| FetchError::Read {
            from: self.from.clone(),
            read_bytes: self.read_bytes.get(),
            source,
        }))
    }

    /// Takes the framing off the first `raw` bytes; says how many bytes of body now stand at the front.
    fn unframe(&mut self, bytes: &mut [u8], raw: usize) -> Result<usize, FetchError> {
        if raw == 0 {
            let is_over = matches!(self.framing, Framing::Close | Framing::Length(0));
            self.framing = Framing::Done;
            if is_over {
                return Ok(0);
            }
            return Err(FetchError::Ended {
                from: self.from.clone(),
                read_bytes: self.read_bytes.get(),
            });
        }
        match &mut self.framing {
            Framing::Close | Framing::Done => Ok(raw),
            Framing::Length(left) => {
                *left -= raw as u64;
                if *left == 0 {
                    self.framing = Framing::Done;
                }
                Ok(raw)
            }
            Framing::Chunked(coding) => {
                let bytes = bytes.get_mut(..raw).unwrap_or_default();
                let decoded = coding.decode(bytes).map_err(|source| FetchError::Chunked {
                    from: self.from.clone(),
                    read_bytes: self.read_bytes.get(),
                    source,
                })?;
                if decoded.done {
                    self.framing = Framing::Done;
                }
                Ok(decoded.body)
            }
        }
    }
}

struct Head {
    status: u16,
    content_type: String,
    location: Option<String>,
    validators: Validators,
    body: Body,
}

async fn exchange(
    mut connection: Connection,
    get: &Get<'_>,
    url: &Url,
    is_first: bool,
) -> Result<Head, FetchError> {
    let from = Host::from(url);
    let failed = |source| FetchError::Read {
        from: Host::from(url),
        read_bytes: 0,
        source,
    };
    let request = request(get, url, is_first);
    connection
        .write_all(request.as_bytes())
        .await
        .map_err(failed)?;
    connection.flush().await.map_err(failed)?;
    let mut bytes = Vec::new();
    let mut piece = [0; 4096];
    loop {
        let bad = || FetchError::BadHead {
            from: Host::from(url),
            limit_bytes: HEAD_BYTES_MAX,
        };
        let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
        let mut parts = httparse::Response::new(&mut headers);
        match parts.parse(&bytes) {
            Ok(httparse::Status::Complete(head_bytes)) => {
                // An informational answer is followed by the real one.
                if parts.code.is_some_and(|code| (100..200).contains(&code)) {
                    bytes.drain(..head_bytes);
                    continue;
                }
                let facts = Facts::of(&parts).ok_or_else(bad)?;
                let early = bytes.split_off(head_bytes);
                return Ok(facts.with_body(connection, from, early));
            }
            Ok(httparse::Status::Partial) if bytes.len() < HEAD_BYTES_MAX => {}
            Ok(httparse::Status::Partial) | Err(_) => return Err(bad()),
        }
        let read = connection.read(&mut piece).await.map_err(failed)?;
        if read == 0 {
            return Err(FetchError::Ended {
                from,
                read_bytes: 0,
            });
        }
        bytes.extend_from_slice(piece.get(..read).unwrap_or_default());
    }
}

/// What matters of an answer's head.
struct Facts {
    status: u16,
    content_type: String,
    location: Option<String>,
    validators: Validators,
    framing: Framing,
}

impl Facts {
    /// `None` when the head contradicts itself.
    fn of(parts: &httparse::Response<'_, '_>) -> Option<Self> {
        let value = |name: &str| {
            let mut all = parts
                .headers
                .iter()
                .filter(|header| header.name.eq_ignore_ascii_case(name));
            let first = all
                .next()
                .and_then(|header| std::str::from_utf8(header.value).ok());
            (first.map(str::trim), all.next().is_some())
        };
        let (coding, coding_twice) = value("transfer-encoding");
        let (length, length_twice) = value("content-length");
        if coding_twice || length_twice {
            return None;
        }
        let framing = match (coding, length) {
            (Some(coding), _) if coding.eq_ignore_ascii_case("chunked") => {
                Framing::Chunked(Chunked::new())
            }
            (Some(coding), _) if !coding.eq_ignore_ascii_case("identity") => return None,
            (_, Some(length)) => Framing::Length(length.parse().ok()?),
            (_, None) => Framing::Close,
        };
        let content_type = value("content-type").0.unwrap_or_default();
        let content_type = content_type.split(';').next().unwrap_or_default().trim();
        Some(Self {
            status: parts.code?,
            content_type: content_type.to_ascii_lowercase(),
            location: value("location").0.map(str::to_owned),
            validators: Validators {
                etag: value("etag").0.map(str::to_owned),
                last_modified: value("last-modified").0.map(str::to_owned),
            },
            framing,
        })
    }

    fn with_body(self, connection: Connection, from: Host, early: Vec<u8>) -> Head {
        let framing = match self.framing {
            Framing::Length(0) => Framing::Done,
            framing => framing,
        };
        Head {
            status: self.status,
            content_type: self.content_type,
            location: self.location,
            validators: self.validators,
            body: Body {
                connection,
                from,
                early,
                early_at: 0,
                framing,
                read_bytes: Cell::new(0),
            },
        }
    }
}

/// The request as it goes out. Credentials and configured headers are for the operator's own place alone.
fn request(get: &Get<'_>, url: &Url, is_first: bool) -> String {
    let mut text = format!("GET {}", url.path());
    let mut line = |arguments: std::fmt::Arguments<'_>| {
        let written = text.write_fmt(arguments);
        debug_assert!(written.is_ok(), "writing to a string does not fail");
    };
    if let Some(query) = url.query() {
        line(format_args!("?{query}"));
    }
    let host = url.host_str().unwrap_or_default();
    line(format_args!(" HTTP/1.1\r\nHost: {host}"));
    if let Some(port) = url.port() {
        line(format_args!(":{port}"));
    }
    let user_agent = get.user_agent.unwrap_or(USER_AGENT);
    line(format_args!(
        "\r\nUser-Agent: {user_agent}\r\nAccept: */*\r\nConnection: close\r\n"
    ));
    let own = if is_first { get.headers } else { &[] };
    for (name, value) in own {
        line(format_args!("{name}: {value}\r\n"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        let user: Vec<u8> = percent_decode_str(url.username()).collect();
        let password: Vec<u8> = percent_decode_str(url.password().unwrap_or_default()).collect();
        let pair = BASE64_STANDARD.encode([&user[..], b":", &password[..]].concat());
        line(format_args!("Authorization: Basic {pair}\r\n"));
    }
    text.push_str("\r\n");
    text
}

/// Where a redirect leads, if a stream may come from there at all.
fn target(base: &Url, location: &str) -> Option<Url> {
    let target = base.join(location).ok()?;
    let is_http = matches!(target.scheme(), "http" | "https");
    let has_place = target.has_host() && target.port_or_known_default() != Some(0);
    (is_http && has_place).then_some(target)
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(UrlHost::Domain(name)) => name == "localhost",
        Some(UrlHost::Ipv4(ip)) => ip.is_loopback(),
        Some(UrlHost::Ipv6(ip)) => IpAddr::V6(ip).to_canonical().is_loopback(),
        None => false,
    }
}

/// Redirects that are followed.
pub const REDIRECTS_MAX: usize = 5;

/// Largest head of an answer, in bytes.
const HEAD_BYTES_MAX: usize = 16 * 1024;

/// Most headers of an answer.
const HEADERS_MAX: usize = 64;

/// What providers expect to be asked by; some refuse anything but a player.
const USER_AGENT: &str = "VLC/3.0.21 LibVLC/3.0.21";

#[cfg(test)]
mod tests;
