//! Bytes to [`Request`]: one request head, or why it is none. (pure)
//!
//! Which channel a path means is `route.rs`, what is answered is `response.rs`, bodies are `chunked.rs`. The rule
//! kept here: the verdict on a request is a function of its bytes and never of how TCP cut them. So every error is
//! found at a fixed place, reading from the left, and reported as soon as that place has arrived; httparse, which
//! splits the lines, is shown whole lines only, after their ends and control bytes have been found right.
#![cfg_attr(not(test), warn(clippy::indexing_slicing))]

mod fields;
mod lines;

use std::fmt;

pub(super) use self::fields::authority;

use self::fields::Fields;
use self::lines::Lines;
use crate::account::secret::Secret;
use crate::http::condition::Conditions;
use crate::http::forwarded::{Forwarded, Scheme};

/// Reads one request head from the front of `bytes`; `None` means more bytes are needed.
///
/// Bytes after the head are not looked at. One empty line before the request is skipped.
///
/// Bound: a head of [`HEAD_BYTES_MAX`] bytes with a target of [`TARGET_BYTES_MAX`] bytes and [`HEADERS_MAX`] headers;
/// never `None` for [`HEAD_BYTES_MAX`] bytes or more.
///
/// # Errors
/// [`RequestError`] when no continuation of `bytes` is a well-formed head within the bounds. What is wrong with the
/// body's framing or the Host is not an error here but stands in [`Request::framing`], because an unknown path or
/// method is answered first.
pub fn parse(bytes: &[u8]) -> Result<Option<Head>, RequestError> {
    let lines = Lines::find(bytes);
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut parts = httparse::Request::new(&mut headers);
    if !lines.whole.is_empty() {
        parts.parse(lines.whole)?;
    }
    let Some(bytes) = lines.head_bytes? else {
        return Ok(None);
    };
    let request = Request::from_parts(&parts)?;
    Ok(Some(Head { request, bytes }))
}

/// A request and how many bytes its head was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// What is asked for.
    pub request: Request,
    /// Where the body, or the next request, begins.
    ///
    /// Unit: bytes from the front of what was parsed.
    pub bytes: usize,
}

/// What a viewer, an app or the operator asks for.
///
/// `Debug` shows neither path, query nor credentials: passwords travel in all three.
#[derive(Clone, PartialEq, Eq)]
pub struct Request {
    /// The method.
    pub method: Method,
    /// The path as it was sent, percent-encoded, without query: begins with `/`, or is `*`.
    pub path: String,
    /// What followed the first `?`, as it was sent.
    pub query: Option<String>,
    /// The protocol version.
    pub version: Version,
    /// The name that was asked: the authority of the target if it had one, else the Host header; or what a believed front
    /// was asked. Shape: a name or address, perhaps with a port.
    pub host: Option<String>,
    /// How it was asked, as far as a believed front says. With [`Request::host`] it leads back to where the viewer asked.
    pub scheme: Scheme,
    /// What fronts, or somebody in their place, wrote into the head; taken into account by the connection.
    pub forwarded: Forwarded,
    /// What the asker has already, and what it can unpack.
    pub conditions: Conditions,
    /// The Authorization header.
    pub authorization: Option<Secret>,
    /// The If-None-Match header: the version that the asker has.
    pub if_none_match: Option<String>,
    /// The Origin header: which web page makes a browser ask.
    pub origin: Option<String>,
    /// The User-Agent without control characters.
    ///
    /// Bound: cut at [`USER_AGENT_BYTES_MAX`] bytes.
    pub user_agent: Option<String>,
    /// The connection may carry another request after the answer.
    pub keep_alive: bool,
    /// The body is sent only after `100 Continue`.
    pub expect_continue: bool,
    /// How the body is delimited, or what a known path answers 400 or 417 to.
    pub framing: Result<Framing, FramingError>,
}

impl Request {
    /// Builds the request from a head that httparse found complete.
    fn from_parts(parts: &httparse::Request<'_, '_>) -> Result<Self, RequestError> {
        let method = Method::from_token(parts.method.unwrap_or_default());
        let version = match parts.version {
            Some(0) => Version::Http10,
            _ => Version::Http11,
        };
        let target = Target::split(parts.path.unwrap_or_default(), method)?;
        let mut fields = Fields::default();
        let mut forwarded = Forwarded::default();
        let mut conditions = Conditions::default();
        for header in parts.headers.iter() {
            fields.take(header.name, header.value);
            forwarded.take(header.name, header.value);
            conditions.take(header.name, header.value);
        }
        let framing = fields.framing(version);
        let host = target
            .authority
            .or_else(|| fields.host.and_then(authority))
            .map(str::to_owned);
        Ok(Self {
            method,
            path: target.path.to_owned(),
            query: target.query.map(str::to_owned),
            version,
            host,
            scheme: Scheme::Http,
            forwarded,
            conditions,
            authorization: fields
                .authorization
                .map(|value| Secret::new(String::from_utf8_lossy(value))),
            if_none_match: fields
                .if_none_match
                .map(|it| String::from_utf8_lossy(it).into()),
            origin: fields.origin.map(|it| String::from_utf8_lossy(it).into()),
            user_agent: fields.user_agent.map(printable),
            keep_alive: fields.keep_alive(version) && framing.is_ok(),
            expect_continue: version == Version::Http11 && fields.is_continue_expected(),
            framing,
        })
    }
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request")
            .field("method", &self.method)
            .field("version", &self.version)
            .field("host", &self.host)
            .field("scheme", &self.scheme)
            .field("user_agent", &self.user_agent)
            .field("keep_alive", &self.keep_alive)
            .field("expect_continue", &self.expect_continue)
            .field("framing", &self.framing)
            .finish_non_exhaustive()
    }
}

/// The methods that some path knows, and all others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// `DELETE`
    Delete,
    /// `GET`
    Get,
    /// `HEAD`
    Head,
    /// `OPTIONS`
    Options,
    /// Any other token; no path knows it.
    Other,
    /// `POST`
    Post,
}

impl Method {
    fn from_token(token: &str) -> Self {
        match token {
            "DELETE" => Self::Delete,
            "GET" => Self::Get,
            "HEAD" => Self::Head,
            "OPTIONS" => Self::Options,
            "POST" => Self::Post,
            _ => Self::Other,
        }
    }
}

/// The protocol version of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// HTTP/1.0: no Host, no chunked coding, closes unless asked not to.
    Http10,
    /// HTTP/1.1.
    Http11,
}

/// How long a request's body is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// A body in the chunked coding.
    Chunked,
    /// A body of so many bytes; 0 is allowed.
    Length(u64),
    /// No body.
    None,
}

/// A well-formed head whose fields contradict themselves or the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FramingError {
    /// A transfer coding other than exactly one `chunked`.
    #[error("unknown transfer coding: only chunked, named once, is allowed")]
    Coding,
    /// HTTP/1.0 knows no transfer codings.
    #[error("transfer coding in an HTTP/1.0 request: Content-Length is allowed")]
    CodingInHttp10,
    /// Two ways to delimit one body.
    #[error("Content-Length together with Transfer-Encoding: one of them is allowed")]
    CodingWithLength,
    /// An Expect header that asks for something unknown; answered 417.
    #[error("unknown expectation: only 100-continue is allowed")]
    Expectation,
    /// A Host that is not a name or address with an optional port.
    #[error("malformed Host: a name or an address, with an optional port, is allowed")]
    Host,
    /// HTTP/1.1 without Host.
    #[error("no Host in an HTTP/1.1 request: exactly one is required")]
    HostMissing,
    /// A Content-Length that is not a number below 2^64.
    #[error("malformed Content-Length: decimal digits of a number below 2^64 are allowed")]
    Length,
    /// A header that decides something, more than once.
    #[error("{0} stands more than once: one is allowed")]
    Repeated(&'static str),
}

/// Bytes that are no request head.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// A carriage return without its line feed, so many bytes from the front.
    #[error("carriage return without line feed at offset {0}: lines end with both")]
    BareCr(usize),
    /// A line feed without its carriage return, so many bytes from the front.
    #[error("line feed without carriage return at offset {0}: lines end with both")]
    BareLf(usize),
    /// A control byte, or in the request line one that is not ASCII: its offset from the front, and what stands there.
    #[error("forbidden byte {1:#04x} at offset {0}: tabs and non-ASCII only in header values")]
    Byte(usize, u8),
    /// A header continued on the next line, which begins so many bytes from the front.
    #[error("line that begins with a space at offset {0}: a header is one line")]
    Folded(usize),
    /// A header without colon, or whose name is no token.
    #[error("malformed header line: name, colon and value are required, with no space in the name")]
    Header,
    /// The head is not over within the bound.
    #[error("request head of more than {HEAD_BYTES_MAX} bytes: {HEAD_BYTES_MAX} are allowed")]
    HeadTooLong,
    /// The first line is not method, target and version, each one space apart.
    #[error("malformed request line: method, target and version, one space apart, are required")]
    RequestLine,
    /// A target of a form that no method here knows, or with a fragment.
    #[error("malformed request target: a path, or an http URL without user, is allowed")]
    Target,
    /// The target is longer than the bound.
    #[error("request target of more than {TARGET_BYTES_MAX} bytes: {TARGET_BYTES_MAX} are allowed")]
    TargetTooLong,
    /// More headers than the bound.
    #[error("request with more than {HEADERS_MAX} headers: {HEADERS_MAX} are allowed")]
    TooManyHeaders,
    /// Neither HTTP/1.0 nor HTTP/1.1.
    #[error("unknown protocol version: HTTP/1.0 and HTTP/1.1 are allowed")]
    Version,
}

impl From<httparse::Error> for RequestError {
    fn from(error: httparse::Error) -> Self {
        match error {
            httparse::Error::HeaderName | httparse::Error::HeaderValue => Self::Header,
            httparse::Error::TooManyHeaders => Self::TooManyHeaders,
            httparse::Error::Version => Self::Version,
            _ => Self::RequestLine,
        }
    }
}

/// A request target in its three parts.
struct Target<'a> {
    authority: Option<&'a str>,
    path: &'a str,
    query: Option<&'a str>,
}

impl<'a> Target<'a> {
    /// Takes a path, a whole URL, or the `*` of OPTIONS. Source: RFC 9112, section 3.2.
    fn split(text: &'a str, method: Method) -> Result<Self, RequestError> {
        if text.contains('#') {
            return Err(RequestError::Target);
        }
        let (authority, rest) = match absolute(text) {
            Some(rest) => {
                let end = rest.find(['/', '?']).unwrap_or(rest.len());
                let (front, rest) = rest.split_at_checked(end).unwrap_or((rest, ""));
                let authority = authority(front.as_bytes()).ok_or(RequestError::Target)?;
                (Some(authority), rest)
            }
            None => (None, text),
        };
        let (path, query) = match rest.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (rest, None),
        };
        let path = match path {
            "" if authority.is_some() => "/",
            "*" if authority.is_none() && query.is_none() && method == Method::Options => "*",
            path if path.starts_with('/') => path,
            _ => return Err(RequestError::Target),
        };
        Ok(Self {
            authority,
            path,
            query,
        })
    }
}

/// What follows `http://` or `https://`.
fn absolute(target: &str) -> Option<&str> {
    let (scheme, rest) = target.split_once("://")?;
    let is_web = scheme.eq_ignore_ascii_case("http") || scheme.eq_ignore_ascii_case("https");
    is_web.then_some(rest)
}

/// A header value that may be logged: text without control characters, cut at the bound.
fn printable(value: &[u8]) -> String {
    let lossy = String::from_utf8_lossy(value);
    let mut text: String = lossy.chars().filter(|it| !it.is_control()).collect();
    text.truncate(text.floor_char_boundary(USER_AGENT_BYTES_MAX));
    text
}

/// The longest request head that is read.
///
/// Unit: bytes, with the empty line at its end and the one that may stand before it.
pub const HEAD_BYTES_MAX: usize = 8192;

/// The longest request target.
///
/// Unit: bytes, as sent.
pub const TARGET_BYTES_MAX: usize = 4096;

/// The most headers a request may have.
pub const HEADERS_MAX: usize = 64;

/// How much of a User-Agent is kept.
pub const USER_AGENT_BYTES_MAX: usize = 256;

#[cfg(test)]
mod tests;
