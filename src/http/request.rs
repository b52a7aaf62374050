//! Bytes to [`Request`]: one request head, or why it is none. (pure)
//!
//! Which channel a path means is `route.rs`, what is answered is `response.rs`, bodies are `chunked.rs`. The rule
//! kept here: the verdict on a request is a function of its bytes and never of how TCP cut them. So every error is
//! found at a fixed place, reading from the left, and reported as soon as that place has arrived; httparse, which
//! splits the lines, is shown whole lines only, after their ends and control bytes have been found right.
#![cfg_attr(not(test), warn(clippy::indexing_slicing))]

use std::fmt;

use crate::account::secret::Secret;

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
    /// The authority of the target if it had one, else the Host header: a name or address, perhaps with a port.
    pub host: Option<String>,
    /// The Authorization header.
    pub authorization: Option<Secret>,
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
        for header in parts.headers.iter() {
            fields.take(header.name, header.value);
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
            authorization: fields
                .authorization
                .map(|value| Secret::new(String::from_utf8_lossy(value))),
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

/// The whole lines at the front of a head, and what comes after them.
struct Lines<'a> {
    /// Lines that end with CRLF and hold no forbidden byte, from the request line on.
    whole: &'a [u8],
    /// The length of the head if the lines are all of it, or why the next line is none.
    head_bytes: Result<Option<usize>, RequestError>,
}

impl<'a> Lines<'a> {
    fn find(bytes: &'a [u8]) -> Self {
        let head = bytes.get(..HEAD_BYTES_MAX).unwrap_or(bytes);
        let start = head.strip_prefix(CRLF).map_or(0, |_| CRLF.len());
        let mut end = start;
        let head_bytes = loop {
            match Line::find(head, end, end == start) {
                Ok(Line::Empty) => {
                    end += CRLF.len();
                    break Ok(Some(end));
                }
                Ok(Line::Full(length)) => end += length,
                Ok(Line::Partial) if head.len() < HEAD_BYTES_MAX => break Ok(None),
                Ok(Line::Partial) => break Err(RequestError::HeadTooLong),
                Err(error) => break Err(error),
            }
        };
        let whole = head.get(start..end).unwrap_or_default();
        Self { whole, head_bytes }
    }
}

/// What begins at a line's place.
enum Line {
    Empty,
    /// A line of so many bytes with its end.
    Full(usize),
    Partial,
}

impl Line {
    /// Looks at the line that begins at `start`; the first is the request line.
    fn find(head: &[u8], start: usize, is_first: bool) -> Result<Self, RequestError> {
        let rest = head.get(start..).unwrap_or_default();
        match rest.first() {
            None => return Ok(Self::Partial),
            Some(b'\r') => {}
            Some(b' ' | b'\t') if !is_first => return Err(RequestError::Folded(start)),
            Some(_) => {}
        }
        let length = rest.iter().position(|byte| !is_text(*byte, is_first));
        let text = rest.get(..length.unwrap_or(rest.len())).unwrap_or_default();
        if is_first && target_length(text) > TARGET_BYTES_MAX {
            return Err(RequestError::TargetTooLong);
        }
        let Some(length) = length else {
            return Ok(Self::Partial);
        };
        let at = start + length;
        match (rest.get(length), rest.get(length + 1)) {
            (Some(b'\r'), None) => Ok(Self::Partial),
            (Some(b'\r'), Some(b'\n')) if length > 0 => Ok(Self::Full(length + CRLF.len())),
            (Some(b'\r'), Some(b'\n')) if is_first => Err(RequestError::RequestLine),
            (Some(b'\r'), Some(b'\n')) => Ok(Self::Empty),
            (Some(b'\r'), Some(_)) => Err(RequestError::BareCr(at)),
            (Some(b'\n'), _) => Err(RequestError::BareLf(at)),
            (byte, _) => Err(RequestError::Byte(at, byte.copied().unwrap_or_default())),
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

/// The headers that decide something.
#[derive(Default)]
struct Fields<'a> {
    authorization: Option<&'a [u8]>,
    coding: Option<&'a [u8]>,
    expect: Option<&'a [u8]>,
    host: Option<&'a [u8]>,
    is_close: bool,
    is_keep_alive: bool,
    length: Option<&'a [u8]>,
    repeated: Option<&'static str>,
    user_agent: Option<&'a [u8]>,
}

impl<'a> Fields<'a> {
    fn take(&mut self, name: &str, value: &'a [u8]) {
        if name.eq_ignore_ascii_case("connection") {
            for token in value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii) {
                self.is_close |= token.eq_ignore_ascii_case(b"close");
                self.is_keep_alive |= token.eq_ignore_ascii_case(b"keep-alive");
            }
            return;
        }
        if name.eq_ignore_ascii_case("user-agent") {
            self.user_agent.get_or_insert(value);
            return;
        }
        let single = [
            ("Authorization", &mut self.authorization),
            ("Content-Length", &mut self.length),
            ("Expect", &mut self.expect),
            ("Host", &mut self.host),
            ("Transfer-Encoding", &mut self.coding),
        ];
        for (known, place) in single {
            if name.eq_ignore_ascii_case(known) && place.replace(value).is_some() {
                self.repeated.get_or_insert(known);
            }
        }
    }

    /// Source: RFC 9112, sections 3.2 and 6.3.
    fn framing(&self, version: Version) -> Result<Framing, FramingError> {
        if let Some(name) = self.repeated {
            return Err(FramingError::Repeated(name));
        }
        match self.host {
            None if version == Version::Http11 => return Err(FramingError::HostMissing),
            Some(host) if authority(host).is_none() => return Err(FramingError::Host),
            _ => {}
        }
        let framing = match (self.coding, self.length) {
            (None, None) => Framing::None,
            (None, Some(digits)) => Framing::Length(number(digits).ok_or(FramingError::Length)?),
            (Some(_), Some(_)) => return Err(FramingError::CodingWithLength),
            (Some(_), None) if version == Version::Http10 => {
                return Err(FramingError::CodingInHttp10);
            }
            (Some(coding), None) if coding.eq_ignore_ascii_case(b"chunked") => Framing::Chunked,
            (Some(_), None) => return Err(FramingError::Coding),
        };
        // An HTTP/1.0 expectation is ignored (RFC 9110, section 10.1.1).
        if version == Version::Http11 && self.expect.is_some() && !self.is_continue_expected() {
            return Err(FramingError::Expectation);
        }
        Ok(framing)
    }

    fn is_continue_expected(&self) -> bool {
        self.expect
            .is_some_and(|value| value.eq_ignore_ascii_case(b"100-continue"))
    }

    fn keep_alive(&self, version: Version) -> bool {
        !self.is_close && (self.is_keep_alive || version == Version::Http11)
    }
}

/// What a line may hold before its end: ASCII in the request line, also tabs and other bytes in a header.
fn is_text(byte: u8, is_first: bool) -> bool {
    match byte {
        b' '..=b'~' => true,
        b'\t' | 0x80.. => !is_first,
        _ => false,
    }
}

/// Bytes of the target in the front of a request line.
fn target_length(line: &[u8]) -> usize {
    line.split(|byte| *byte == b' ')
        .nth(1)
        .map_or(0, <[u8]>::len)
}

/// What follows `http://` or `https://`.
fn absolute(target: &str) -> Option<&str> {
    let (scheme, rest) = target.split_once("://")?;
    let is_web = scheme.eq_ignore_ascii_case("http") || scheme.eq_ignore_ascii_case("https");
    is_web.then_some(rest)
}

/// A name or address with an optional port, and nothing else. Source: RFC 3986, section 3.2, without user.
fn authority(bytes: &[u8]) -> Option<&str> {
    let text = str::from_utf8(bytes).ok()?;
    let (host, port) = match text.rfind(':') {
        Some(colon) if !text.ends_with(']') => text.split_at_checked(colon)?,
        _ => (text, ""),
    };
    let address = host.strip_prefix('[').and_then(|it| it.strip_suffix(']'));
    let is_host = match address {
        Some(address) => address
            .bytes()
            .all(|it| it.is_ascii_hexdigit() || b":.".contains(&it)),
        None => host
            .bytes()
            .all(|it| it.is_ascii_alphanumeric() || NAME_MARKS.contains(&it)),
    };
    let is_port = port.len() <= 6 && port.bytes().skip(1).all(|it| it.is_ascii_digit());
    (is_host && is_port && !address.unwrap_or(host).is_empty()).then_some(text)
}

/// Decimal digits and nothing else.
fn number(digits: &[u8]) -> Option<u64> {
    let is_plain = digits.iter().all(u8::is_ascii_digit);
    str::from_utf8(digits)
        .ok()
        .filter(|_| is_plain)?
        .parse()
        .ok()
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

const CRLF: &[u8] = b"\r\n";

/// What a host name may hold beside letters and digits (RFC 3986: unreserved, sub-delims, escapes).
const NAME_MARKS: &[u8] = b"-._~%!$&'()*+,;=";

#[cfg(test)]
mod tests;
