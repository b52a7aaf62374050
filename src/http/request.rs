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
mod tests {
    use super::*;

    fn request(text: &str) -> Request {
        match parse(text.as_bytes()) {
            Ok(Some(head)) => head.request,
            other => panic!("{text:?} is {other:?}"),
        }
    }

    fn refusal(bytes: impl AsRef<[u8]>) -> RequestError {
        match parse(bytes.as_ref()) {
            Err(error) => error,
            other => panic!("{:?} is {other:?}", String::from_utf8_lossy(bytes.as_ref())),
        }
    }

    fn framing(headers: &str) -> Result<Framing, FramingError> {
        request(&format!("POST / HTTP/1.1\r\n{headers}\r\n")).framing
    }

    fn target(target: &str) -> Result<Request, RequestError> {
        parse(format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes())
            .map(|head| head.map(|it| it.request).unwrap())
    }

    /// Feeds one byte after the other; once a verdict is there it must be the verdict for good.
    fn check_every_cut(bytes: &[u8]) {
        let whole = parse(bytes);
        let mut is_decided = false;
        for length in 0..=bytes.len() {
            let verdict = parse(&bytes[..length]);
            is_decided |= verdict != Ok(None);
            let expected = if is_decided { &whole } else { &Ok(None) };
            assert_eq!(
                &verdict,
                expected,
                "{length} bytes of {:?}",
                String::from_utf8_lossy(bytes)
            );
            if let Ok(Some(head)) = verdict {
                assert!(head.bytes <= length);
            }
        }
    }

    const ORDINARY: &str = "GET /live/u/p/7.ts?x=1 HTTP/1.1\r\nHost: tv.lan:8000\r\nUser-Agent: VLC/3.0.20 LibVLC/3.0.20\r\n\
         Range: bytes=0-\r\nIcy-MetaData: 1\r\nConnection: close\r\n\r\n";

    #[test]
    fn an_ordinary_request_is_taken_apart() {
        let head = parse(ORDINARY.as_bytes()).unwrap().unwrap();
        assert_eq!(head.bytes, ORDINARY.len());
        let request = head.request;
        assert_eq!(request.method, Method::Get);
        assert_eq!(request.path, "/live/u/p/7.ts");
        assert_eq!(request.query.as_deref(), Some("x=1"));
        assert_eq!(request.version, Version::Http11);
        assert_eq!(request.host.as_deref(), Some("tv.lan:8000"));
        assert_eq!(request.authorization, None);
        assert_eq!(
            request.user_agent.as_deref(),
            Some("VLC/3.0.20 LibVLC/3.0.20")
        );
        assert!(!request.keep_alive);
        assert!(!request.expect_continue);
        assert_eq!(request.framing, Ok(Framing::None));
    }

    #[test]
    fn what_follows_the_head_is_not_looked_at() {
        let head = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\n";
        let parsed = parse(format!("{head}\0\n\r").as_bytes()).unwrap().unwrap();
        assert_eq!(parsed.bytes, head.len());
        assert_eq!(parsed.request.framing, Ok(Framing::Length(3)));
    }

    #[test]
    fn debug_shows_no_path_query_or_credentials() {
        let request = request(
            "GET /live/anna/apple/7.ts?token=plum HTTP/1.1\r\nHost: a\r\nAuthorization: Basic cGVhcg==\r\n\r\n",
        );
        let shown = format!("{request:?} {request:#?}");
        for hidden in ["anna", "apple", "7.ts", "plum", "cGVhcg"] {
            assert!(!shown.contains(hidden), "{shown}");
        }
        assert_eq!(request.authorization.unwrap().expose(), "Basic cGVhcg==");
    }

    #[test]
    fn methods_are_case_sensitive_tokens() {
        for (token, method) in [
            ("GET", Method::Get),
            ("HEAD", Method::Head),
            ("OPTIONS", Method::Options),
            ("POST", Method::Post),
            ("DELETE", Method::Delete),
            ("get", Method::Other),
            ("PUT", Method::Other),
            ("M-SEARCH", Method::Other),
        ] {
            let request = request(&format!("{token} / HTTP/1.1\r\nHost: a\r\n\r\n"));
            assert_eq!(request.method, method, "{token}");
        }
        for line in [
            "G@T / HTTP/1.1",
            " / HTTP/1.1",
            "(GET) / HTTP/1.1",
            "GET",
            "",
        ] {
            assert_eq!(
                refusal(format!("{line}\r\n\r\n")),
                RequestError::RequestLine,
                "{line:?}"
            );
        }
    }

    #[test]
    fn only_two_versions_are_known() {
        assert_eq!(request("GET / HTTP/1.0\r\n\r\n").version, Version::Http10);
        for version in [
            "HTTP/9.9",
            "HTTP/2.0",
            "HTTP/1.10",
            "http/1.1",
            "HTTP/1.",
            "IHTTP/1.0",
            "ICE/1.0",
            "HTTP/1.1 ",
        ] {
            let error = refusal(format!("GET / {version}\r\nHost: a\r\n\r\n"));
            assert!(
                matches!(error, RequestError::Version | RequestError::RequestLine),
                "{version:?} is {error}"
            );
        }
    }

    #[test]
    fn a_request_line_has_two_single_spaces() {
        for line in [
            "GET  / HTTP/1.1",
            "GET /  HTTP/1.1",
            "GET /a b HTTP/1.1",
            "GET /",
            "GET / ",
            " GET / HTTP/1.1",
        ] {
            let error = refusal(format!("{line}\r\nHost: a\r\n\r\n"));
            assert!(
                matches!(error, RequestError::Version | RequestError::RequestLine),
                "{line:?} is {error}"
            );
        }
    }

    #[test]
    fn lines_end_with_carriage_return_and_line_feed_only() {
        assert_eq!(
            refusal("GET / HTTP/1.1\nHost: a\r\n\r\n"),
            RequestError::BareLf(14)
        );
        assert_eq!(
            refusal("GET / HTTP/1.1\rHost: a\r\n\r\n"),
            RequestError::BareCr(14)
        );
        assert_eq!(
            refusal("GET / HTTP/1.1\r\nA: b\nHost: a\r\n\r\n"),
            RequestError::BareLf(20)
        );
        assert_eq!(
            refusal("GET / HTTP/1.1\r\nA: b\rC: d\r\n\r\n"),
            RequestError::BareCr(20)
        );
        assert_eq!(
            refusal("GET / HTTP/1.1\r\nHost: a\r\n\rX"),
            RequestError::BareCr(25)
        );
        assert_eq!(
            refusal("GET / HTTP/1.1\r\nHost: a\r\n\n"),
            RequestError::BareLf(25)
        );
        assert_eq!(refusal("GET / HTTP/1.1\r\r\n"), RequestError::BareCr(14));
    }

    #[test]
    fn control_bytes_are_refused_where_they_stand() {
        for byte in (0..=0x1F)
            .chain([0x7F])
            .filter(|byte| !b"\t\r\n".contains(byte))
        {
            let mut bytes = b"GET / HTTP/1.1\r\nHost: a\r\nX: yz".to_vec();
            bytes.push(byte);
            assert_eq!(refusal(&bytes), RequestError::Byte(30, byte));
            assert_eq!(refusal([b'G', byte]), RequestError::Byte(1, byte));
        }
        assert_eq!(
            refusal(b"\x16\x03\x01\x02\x00"),
            RequestError::Byte(0, 0x16)
        );
        assert_eq!(refusal("GET\t/"), RequestError::Byte(3, b'\t'));
        assert_eq!(refusal(b"GET /\xC3\xA9"), RequestError::Byte(5, 0xC3));
    }

    #[test]
    fn header_values_may_hold_tabs_and_other_alphabets() {
        let bytes =
            b"GET / HTTP/1.1\r\nHost:\ta\t\r\nX: D\xFCsseldorf\r\nEmpty:\r\nBlank: \t \r\n\r\n";
        let request = parse(bytes).unwrap().unwrap().request;
        assert_eq!(request.host.as_deref(), Some("a"));
        assert_eq!(request.framing, Ok(Framing::None));
    }

    #[test]
    fn header_names_are_tokens_right_before_the_colon() {
        for line in [
            "Na me: x",
            "Name : x",
            "Name\t: x",
            ": x",
            "Name",
            "X[]: x",
            "N@me: x",
            "N\u{e9}: x",
        ] {
            let error = refusal(format!("GET / HTTP/1.1\r\nHost: a\r\n{line}\r\n\r\n"));
            assert_eq!(error, RequestError::Header, "{line:?}");
        }
    }

    #[test]
    fn a_header_is_one_line() {
        assert_eq!(
            refusal("GET / HTTP/1.1\r\nA: b\r\n c\r\n\r\n"),
            RequestError::Folded(22)
        );
        assert_eq!(
            refusal("GET / HTTP/1.1\r\n\tHost: a\r\n\r\n"),
            RequestError::Folded(16)
        );
    }

    #[test]
    fn one_empty_line_before_the_request_is_skipped() {
        assert_eq!(parse(b"\r\n"), Ok(None));
        let head = parse(b"\r\nGET / HTTP/1.0\r\n\r\n").unwrap().unwrap();
        assert_eq!((head.bytes, head.request.path.as_str()), (20, "/"));
        assert_eq!(
            refusal("\r\n\r\nGET / HTTP/1.0\r\n\r\n"),
            RequestError::RequestLine
        );
        assert_eq!(refusal("\nGET / HTTP/1.0\r\n\r\n"), RequestError::BareLf(0));
    }

    #[test]
    fn a_wrong_line_is_refused_before_the_head_is_over() {
        assert_eq!(refusal("hello world\r\n"), RequestError::RequestLine);
        assert_eq!(refusal("GET / HTTP/3.0\r\n"), RequestError::Version);
        assert_eq!(refusal("GET / HTTP/1.1\r\nHost\r\n"), RequestError::Header);
    }

    #[test]
    fn a_head_may_be_just_as_long_as_the_bound() {
        let front = "GET / HTTP/1.1\r\nHost: a\r\nX: ";
        let filled =
            |length: usize| format!("{front}{}\r\n\r\n", "x".repeat(length - front.len() - 4));
        let longest = filled(HEAD_BYTES_MAX);
        assert_eq!(
            parse(longest.as_bytes()).unwrap().unwrap().bytes,
            HEAD_BYTES_MAX
        );
        assert_eq!(parse(&longest.as_bytes()[..HEAD_BYTES_MAX - 1]), Ok(None));
        let longer = filled(HEAD_BYTES_MAX + 1);
        assert_eq!(refusal(&longer), RequestError::HeadTooLong);
        assert_eq!(
            refusal(&longer.as_bytes()[..HEAD_BYTES_MAX]),
            RequestError::HeadTooLong
        );
    }

    #[test]
    fn a_target_may_be_just_as_long_as_the_bound() {
        let path = |length: usize| format!("/{}", "a".repeat(length - 1));
        assert_eq!(
            target(&path(TARGET_BYTES_MAX)).unwrap().path.len(),
            TARGET_BYTES_MAX
        );
        assert_eq!(
            target(&path(TARGET_BYTES_MAX + 1)),
            Err(RequestError::TargetTooLong)
        );
        let unfinished = format!("GET {}", path(TARGET_BYTES_MAX + 1));
        assert_eq!(refusal(unfinished), RequestError::TargetTooLong);
        assert_eq!(
            refusal(format!("GET {}", path(100_000))),
            RequestError::TargetTooLong
        );
    }

    #[test]
    fn there_may_be_just_as_many_headers_as_the_bound() {
        let filled = |count: usize| {
            format!(
                "GET / HTTP/1.1\r\nHost: a\r\n{}\r\n",
                "X: y\r\n".repeat(count - 1)
            )
        };
        assert_eq!(request(&filled(HEADERS_MAX)).host.as_deref(), Some("a"));
        assert_eq!(
            refusal(filled(HEADERS_MAX + 1)),
            RequestError::TooManyHeaders
        );
        assert_eq!(refusal(filled(1000)), RequestError::TooManyHeaders);
    }

    #[test]
    fn a_target_is_a_path_or_a_whole_url() {
        for (text, host, path, query) in [
            ("/", "a", "/", None),
            ("/a?", "a", "/a", Some("")),
            ("/a?b?c=/d", "a", "/a", Some("b?c=/d")),
            ("//a//b", "a", "//a//b", None),
            ("http://h/p?q", "h", "/p", Some("q")),
            ("HTTPS://h:80", "h:80", "/", None),
            ("http://h?q", "h", "/", Some("q")),
            ("http://[::1]:80/p", "[::1]:80", "/p", None),
            ("/p?u=http://x/", "a", "/p", Some("u=http://x/")),
        ] {
            let request = target(text).unwrap();
            assert_eq!(request.host.as_deref(), Some(host), "{text}");
            assert_eq!(
                (request.path.as_str(), request.query.as_deref()),
                (path, query),
                "{text}"
            );
        }
        for text in [
            "*",
            "a",
            "h:80",
            "a/b",
            "?q",
            "ftp://h/p",
            "http:///p",
            "http://",
            "http://u@h/p",
            "http://u:p@h/p",
            "http://h:x/p",
            "http://h:123456/p",
            "http://[::1/p",
            "http://[]/p",
            "http:/p",
            "/a#b",
            "/a?b#c",
            "http://h#",
        ] {
            assert_eq!(target(text), Err(RequestError::Target), "{text}");
        }
    }

    #[test]
    fn a_star_is_a_target_of_options_only() {
        assert_eq!(request("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n").path, "*");
        for line in ["M-SEARCH *", "GET *", "OPTIONS *?q", "OPTIONS **"] {
            let error = refusal(format!("{line} HTTP/1.1\r\nHost: a\r\n\r\n"));
            assert_eq!(error, RequestError::Target, "{line}");
        }
    }

    #[test]
    fn http_1_1_needs_exactly_one_host() {
        assert_eq!(framing(""), Err(FramingError::HostMissing));
        assert_eq!(
            framing("Host: a\r\nhost: a\r\n"),
            Err(FramingError::Repeated("Host"))
        );
        for host in [
            "",
            "a b",
            "a/b",
            "u@h",
            "h:",
            "h:1",
            "[::1]",
            "0.0.0.0=5000",
            "[x]",
            "h:y",
            "a,b",
            "\u{e9}",
        ] {
            let is_fine = ["h:", "h:1", "[::1]", "0.0.0.0=5000", "a,b"].contains(&host);
            let expected = if is_fine {
                Ok(Framing::None)
            } else {
                Err(FramingError::Host)
            };
            assert_eq!(framing(&format!("Host: {host}\r\n")), expected, "{host:?}");
        }
    }

    #[test]
    fn http_1_0_needs_no_host() {
        let bare = request("GET / HTTP/1.0\r\n\r\n");
        assert_eq!((bare.host, bare.framing), (None, Ok(Framing::None)));
        let twice = request("GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n");
        assert_eq!(twice.framing, Err(FramingError::Repeated("Host")));
    }

    #[test]
    fn a_whole_url_does_not_replace_the_host_header() {
        let request = request("GET http://h/ HTTP/1.1\r\n\r\n");
        assert_eq!(request.framing, Err(FramingError::HostMissing));
        assert_eq!(request.host.as_deref(), Some("h"));
    }

    #[test]
    fn a_content_length_is_one_number() {
        for (value, length) in [
            ("0", 0),
            ("5", 5),
            ("003", 3),
            ("18446744073709551615", u64::MAX),
        ] {
            let header = format!("Host: a\r\nContent-Length: {value}\r\n");
            assert_eq!(framing(&header), Ok(Framing::Length(length)), "{value}");
        }
        for value in [
            "",
            "-1",
            "+1",
            "4 2",
            "4, 4",
            "0x10",
            "1e3",
            "abc",
            "18446744073709551616",
            "\u{664}",
        ] {
            let header = format!("Host: a\r\nContent-Length: {value}\r\n");
            assert_eq!(framing(&header), Err(FramingError::Length), "{value}");
        }
        for second in ["5", "6"] {
            let headers = format!("Host: a\r\nContent-Length: 5\r\ncontent-length: {second}\r\n");
            assert_eq!(
                framing(&headers),
                Err(FramingError::Repeated("Content-Length"))
            );
        }
    }

    #[test]
    fn the_only_transfer_coding_is_one_chunked() {
        assert_eq!(
            framing("Host: a\r\ntransfer-encoding: Chunked \r\n"),
            Ok(Framing::Chunked)
        );
        for value in [
            "",
            "identity",
            "gzip, chunked",
            "chunked, gzip",
            "chunked, chunked",
            "chunkedchunked",
            "\"chunked\"",
        ] {
            let header = format!("Host: a\r\nTransfer-Encoding: {value}\r\n");
            assert_eq!(framing(&header), Err(FramingError::Coding), "{value}");
        }
        assert_eq!(
            framing("Host: a\r\nTransfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n"),
            Err(FramingError::Repeated("Transfer-Encoding"))
        );
        assert_eq!(
            framing("Host: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n"),
            Err(FramingError::CodingWithLength)
        );
        assert_eq!(
            request("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n").framing,
            Err(FramingError::CodingInHttp10)
        );
    }

    #[test]
    fn a_get_is_framed_like_any_other_request() {
        let request = request(
            "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
        );
        assert_eq!(request.framing, Err(FramingError::CodingWithLength));
        assert!(!request.keep_alive);
    }

    #[test]
    fn the_only_expectation_is_100_continue() {
        let expecting = |version: &str, value: &str| {
            let request = request(&format!(
                "POST / HTTP/{version}\r\nHost: a\r\nExpect: {value}\r\n\r\n"
            ));
            (request.expect_continue, request.framing)
        };
        assert_eq!(expecting("1.1", "100-Continue"), (true, Ok(Framing::None)));
        assert_eq!(
            expecting("1.1", "200-ok"),
            (false, Err(FramingError::Expectation))
        );
        assert_eq!(expecting("1.0", "100-continue"), (false, Ok(Framing::None)));
        assert_eq!(expecting("1.0", "200-ok"), (false, Ok(Framing::None)));
    }

    #[test]
    fn a_second_set_of_credentials_is_refused() {
        assert_eq!(
            framing("Host: a\r\nAuthorization: Basic YTpi\r\nAuthorization: Basic YzpkCg==\r\n"),
            Err(FramingError::Repeated("Authorization"))
        );
    }

    #[test]
    fn the_connection_header_decides_whether_the_connection_goes_on() {
        for (version, headers, keep_alive) in [
            ("1.1", "", true),
            ("1.0", "", false),
            ("1.1", "Connection: close\r\n", false),
            ("1.1", "Connection: Keep-Alive, CLOSE\r\n", false),
            (
                "1.1",
                "Connection: upgrade\r\nConnection: close\t\r\n",
                false,
            ),
            ("1.1", "Connection: closed\r\n", true),
            ("1.0", "Connection: Keep-Alive\r\n", true),
            ("1.0", "Connection: keep-alive, close\r\n", false),
        ] {
            let request = request(&format!("GET / HTTP/{version}\r\nHost: a\r\n{headers}\r\n"));
            assert_eq!(request.keep_alive, keep_alive, "{version} {headers}");
        }
    }

    #[test]
    fn a_user_agent_is_cut_at_its_bound_and_cannot_steer_a_terminal() {
        let shown = |value: &str| {
            let head = format!(
                "GET / HTTP/1.1\r\nHost: a\r\nUser-Agent: {value}\r\nUser-Agent: second\r\n\r\n"
            );
            request(&head).user_agent.unwrap()
        };
        assert_eq!(
            shown("TiviMate/5.1 (Android 14)"),
            "TiviMate/5.1 (Android 14)"
        );
        assert_eq!(shown(&"x".repeat(300)).len(), USER_AGENT_BYTES_MAX);
        assert_eq!(shown(&"\u{e9}".repeat(200)).len(), USER_AGENT_BYTES_MAX);
        assert_eq!(
            shown(&format!("x{}", "\u{e9}".repeat(200))).len(),
            USER_AGENT_BYTES_MAX - 1
        );
        assert_eq!(shown("a\tb\u{9b}31mc"), "ab31mc");
    }

    #[test]
    fn the_verdict_does_not_depend_on_the_cuts() {
        let long_path = format!("GET /{} HTTP/1.1\r\n\r\n", "a".repeat(TARGET_BYTES_MAX));
        let long_head = format!(
            "GET / HTTP/1.1\r\nX: {}\r\n\r\n",
            "x".repeat(HEAD_BYTES_MAX)
        );
        let many = format!(
            "GET / HTTP/1.1\r\n{}\r\n",
            "X: y\r\n".repeat(HEADERS_MAX + 1)
        );
        let wrong_then_long = format!("GET / HTTP/1.1\r\nX y\r\nX: {}", "x".repeat(HEAD_BYTES_MAX));
        for text in [
            ORDINARY,
            "\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\nbody",
            "GET # HTTP/1.1\r\nHost: a\r\nX y\r\n\r\n",
            "GET # HTTP/1.1\r\nHost: a\r\n\n",
            "\r\n\r\nGET / HTTP/1.1\r\n\r\n",
            &long_path,
            &long_head,
            &many,
            &wrong_then_long,
        ] {
            check_every_cut(text.as_bytes());
        }
    }

    #[test]
    fn the_verdict_on_damaged_requests_does_not_depend_on_the_cuts() {
        let mut random = fastrand::Rng::with_seed(7);
        let mut refused = 0;
        for _ in 0..2_000 {
            let mut bytes = ORDINARY.as_bytes().to_vec();
            for _ in 0..random.usize(1..4) {
                let at = random.usize(..bytes.len());
                match random.u8(..4) {
                    0 => bytes.truncate(at + 1),
                    1 => bytes[at] = 0x80 | random.u8(..),
                    2 => bytes.insert(at, *random.choice(b"\r\n\t :\0?#*/H\xFF").unwrap()),
                    _ => bytes[at] = random.u8(..),
                }
            }
            check_every_cut(&bytes);
            refused += u32::from(parse(&bytes).is_err());
        }
        assert!(
            (500..1_900).contains(&refused),
            "{refused} of 2000 were refused"
        );
    }
}
