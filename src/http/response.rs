//! The heads of answers, and the only place where a refusal becomes a status. (pure)
//!
//! Who writes them to a socket is elsewhere; so are the bodies of streams, playlists and pages. The rules kept here: an
//! answer never repeats bytes of the request, a refusal says in plain words which one it is and closes, and a stream's
//! head promises no length.

use std::borrow::Cow;
use std::time::Duration;

use bytes::Bytes;

use crate::account::{Denied, Throttled};
use crate::http::request::{FramingError, Method, RequestError};
use crate::http::route::{BadContent, STREAM_ALLOW};
use crate::metrics::Reject;

/// Every reason for which a request is refused. The message is the body of the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Which AceStream content is asked for cannot be told.
    #[error(transparent)]
    BadContent(#[from] BadContent),
    /// The head's fields contradict themselves or the protocol.
    #[error(transparent)]
    BadFraming(FramingError),
    /// Unknown user, wrong password or neither given: one answer, so that it does not say which.
    #[error("wrong user or password")]
    BadLogin,
    /// A request of the operator's listener without the right token.
    #[error("wrong or missing token: send it as Authorization: Bearer")]
    BadToken,
    /// The bytes are no request.
    #[error(transparent)]
    BadRequest(RequestError),
    /// The request's body is longer than the path takes.
    #[error("the body of the request is too long")]
    BodyTooLong,
    /// There are as many viewers or connections as there may be.
    #[error("there are as many viewers as there may be: try again later")]
    Busy,
    /// The process is about to end.
    #[error("the server is stopping: try again later")]
    Draining,
    /// There are as many dynamic channels as there may be.
    #[error("there are as many channels open by content id as there may be: try again later")]
    DynamicFull,
    /// An Expect header other than `100-continue`.
    #[error("the only expectation that is met is 100-continue")]
    ExpectationFailed,
    /// The head is longer than the bound or has more headers.
    #[error("the head of the request is too long")]
    HeadTooLong,
    /// A channel was asked for as an HLS playlist.
    #[error("there is no HLS output: ask for .ts instead of .m3u8")]
    HlsUnavailable,
    /// The path does not have the method.
    #[error("this path does not have this method: {allow} are allowed")]
    MethodNotAllowed {
        /// The value of the Allow header.
        allow: &'static str,
    },
    /// A request of the operator's listener under a name that is not this host's.
    #[error("this server does not answer to this host name")]
    Misdirected,
    /// The channel was opened but sent nothing in time.
    #[error("no media came from upstream in time")]
    NoMedia,
    /// The target is longer than the bound.
    #[error("the target of the request is too long")]
    TargetTooLong,
    /// The address guessed too often.
    #[error("too many wrong logins from this address: try again later")]
    TooManyBadLogins {
        /// Until the next try is looked at.
        retry_after: Duration,
    },
    /// The request did not arrive in time.
    #[error("the request took too long to arrive")]
    TooSlow,
    /// No channel has this number.
    #[error("no such channel")]
    UnknownChannel,
    /// No route has this path.
    #[error("no such path")]
    UnknownPath,
    /// Upstream answered with a playlist instead of a stream.
    #[error("HLS is not supported yet: the upstream answered with a playlist")]
    UpstreamPlaylist,
    /// Upstream could not be reached, refused, or sent something that is no transport stream.
    #[error("upstream refused the channel or sent no transport stream")]
    UpstreamRefused,
}

impl Refusal {
    /// The status that answers this refusal.
    #[must_use]
    pub fn status(&self) -> Status {
        match self {
            Self::BadContent(_) | Self::BadFraming(_) | Self::BadRequest(_) => Status::BAD_REQUEST,
            Self::BadLogin | Self::BadToken => Status::UNAUTHORIZED,
            Self::HlsUnavailable | Self::UnknownChannel | Self::UnknownPath => Status::NOT_FOUND,
            Self::MethodNotAllowed { .. } => Status::METHOD_NOT_ALLOWED,
            Self::TooSlow => Status::REQUEST_TIMEOUT,
            Self::BodyTooLong => Status::CONTENT_TOO_LARGE,
            Self::TargetTooLong => Status::URI_TOO_LONG,
            Self::ExpectationFailed => Status::EXPECTATION_FAILED,
            Self::TooManyBadLogins { .. } => Status::TOO_MANY_REQUESTS,
            Self::HeadTooLong => Status::HEAD_TOO_LARGE,
            Self::UpstreamPlaylist | Self::UpstreamRefused => Status::BAD_GATEWAY,
            Self::Busy | Self::Draining | Self::DynamicFull => Status::SERVICE_UNAVAILABLE,
            Self::Misdirected => Status::MISDIRECTED_REQUEST,
            Self::NoMedia => Status::GATEWAY_TIMEOUT,
        }
    }

    /// What it is counted as.
    #[must_use]
    pub fn counted(&self) -> Reject {
        match self {
            Self::BadContent(_) | Self::BadFraming(_) | Self::BadRequest(_) => Reject::BadRequest,
            Self::BodyTooLong | Self::ExpectationFailed | Self::Misdirected => Reject::BadRequest,
            Self::HeadTooLong | Self::TargetTooLong => Reject::BadRequest,
            Self::BadLogin | Self::BadToken => Reject::BadCredentials,
            Self::Busy => Reject::Full,
            Self::Draining => Reject::Draining,
            Self::DynamicFull => Reject::Busy,
            Self::HlsUnavailable | Self::UnknownChannel | Self::UnknownPath => Reject::NotFound,
            Self::MethodNotAllowed { .. } => Reject::Method,
            Self::NoMedia => Reject::NoMedia,
            Self::TooManyBadLogins { .. } => Reject::Throttled,
            Self::TooSlow => Reject::TooSlow,
            Self::UpstreamPlaylist | Self::UpstreamRefused => Reject::UpstreamRefused,
        }
    }

    /// The whole answer: a line of text, and the connection closes.
    #[must_use]
    pub fn answer(&self) -> Answer {
        let status = self.status();
        let answer = Answer::new(status, "text/plain; charset=utf-8", format!("{self}\n"))
            .with("Cache-Control", "no-store");
        match self {
            Self::BadLogin => answer.with("WWW-Authenticate", LOGIN),
            Self::BadToken => answer.with("WWW-Authenticate", TOKEN),
            Self::MethodNotAllowed { allow } => answer.with("Allow", *allow),
            Self::TooManyBadLogins { retry_after } => answer.retry_after(*retry_after),
            _ if status == Status::SERVICE_UNAVAILABLE => answer.retry_after(BUSY_RETRY_AFTER),
            _ => answer,
        }
    }
}

impl From<Denied> for Refusal {
    fn from(_: Denied) -> Self {
        Self::BadLogin
    }
}

impl From<FramingError> for Refusal {
    fn from(error: FramingError) -> Self {
        match error {
            FramingError::Expectation => Self::ExpectationFailed,
            _ => Self::BadFraming(error),
        }
    }
}

impl From<RequestError> for Refusal {
    fn from(error: RequestError) -> Self {
        match error {
            RequestError::HeadTooLong | RequestError::TooManyHeaders => Self::HeadTooLong,
            RequestError::TargetTooLong => Self::TargetTooLong,
            _ => Self::BadRequest(error),
        }
    }
}

impl From<Throttled> for Refusal {
    fn from(throttled: Throttled) -> Self {
        Self::TooManyBadLogins {
            retry_after: throttled.retry_after,
        }
    }
}

/// An answer with a body of known length: a refusal, a page, a playlist, the metrics.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    status: Status,
    content_type: &'static str,
    headers: Vec<(&'static str, Cow<'static, str>)>,
    body: Bytes,
    keep_alive: bool,
}

impl Answer {
    /// An answer after which the connection closes.
    #[must_use]
    pub fn new(status: Status, content_type: &'static str, body: impl Into<Bytes>) -> Self {
        Self {
            status,
            content_type,
            headers: Vec::new(),
            body: body.into(),
            keep_alive: false,
        }
    }

    /// Says whether the connection carries another request after this answer.
    #[must_use]
    pub fn keep_alive(self, keep_alive: bool) -> Self {
        Self { keep_alive, ..self }
    }

    /// Adds a header. Control characters in the value are left out, so no value ends its line.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl Into<Cow<'static, str>>) -> Self {
        let mut value = value.into();
        if value.contains(char::is_control) {
            value.to_mut().retain(|it| !it.is_control());
        }
        self.headers.push((name, value));
        self
    }

    /// Asks to come back after some time, rounded up to seconds.
    fn retry_after(self, after: Duration) -> Self {
        let seconds = after.as_secs() + u64::from(after.subsec_nanos() > 0);
        self.with("Retry-After", seconds.max(1).to_string())
    }

    /// The status of the answer, for counters.
    #[must_use]
    pub fn status(&self) -> Status {
        self.status
    }

    /// The bytes to send: head and body, or for HEAD the same head alone.
    #[must_use]
    pub fn to_bytes(&self, method: Method) -> Bytes {
        let mut lines = format!(
            "HTTP/1.1 {} {}\r\nServer: corecast\r\nContent-Type: {}\r\nContent-Length: {}\r\n\
             X-Content-Type-Options: nosniff\r\n",
            self.status.code,
            self.status.phrase,
            self.content_type,
            self.body.len()
        );
        for (name, value) in &self.headers {
            lines.extend([name, ": ", value, "\r\n"]);
        }
        lines.extend(["Connection: ", connection(self.keep_alive), "\r\n\r\n"]);
        let mut bytes = lines.into_bytes();
        if method != Method::Head {
            bytes.extend_from_slice(&self.body);
        }
        bytes.into()
    }
}

/// A status code with its phrase.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Status {
    /// Three digits.
    pub code: u16,
    /// What stands beside them.
    pub phrase: &'static str,
}

impl Status {
    /// 200
    pub const OK: Self = Self::new(200, "OK");
    /// 400
    pub const BAD_REQUEST: Self = Self::new(400, "Bad Request");
    /// 401
    pub const UNAUTHORIZED: Self = Self::new(401, "Unauthorized");
    /// 404
    pub const NOT_FOUND: Self = Self::new(404, "Not Found");
    /// 405
    pub const METHOD_NOT_ALLOWED: Self = Self::new(405, "Method Not Allowed");
    /// 408
    pub const REQUEST_TIMEOUT: Self = Self::new(408, "Request Timeout");
    /// 413
    pub const CONTENT_TOO_LARGE: Self = Self::new(413, "Content Too Large");
    /// 414
    pub const URI_TOO_LONG: Self = Self::new(414, "URI Too Long");
    /// 417
    pub const EXPECTATION_FAILED: Self = Self::new(417, "Expectation Failed");
    /// 421
    pub const MISDIRECTED_REQUEST: Self = Self::new(421, "Misdirected Request");
    /// 429
    pub const TOO_MANY_REQUESTS: Self = Self::new(429, "Too Many Requests");
    /// 431
    pub const HEAD_TOO_LARGE: Self = Self::new(431, "Request Header Fields Too Large");
    /// 502
    pub const BAD_GATEWAY: Self = Self::new(502, "Bad Gateway");
    /// 503
    pub const SERVICE_UNAVAILABLE: Self = Self::new(503, "Service Unavailable");
    /// 504
    pub const GATEWAY_TIMEOUT: Self = Self::new(504, "Gateway Timeout");

    const fn new(code: u16, phrase: &'static str) -> Self {
        Self { code, phrase }
    }
}

/// The head before a stream, and the whole answer to a HEAD request for one.
///
/// The stream ends with the connection, so there is no length; nothing may cache it, ask for a range of it or buffer it.
#[must_use]
pub fn stream_head() -> Bytes {
    Bytes::from_static(
        b"HTTP/1.1 200 OK\r\n\
          Server: corecast\r\n\
          Content-Type: video/mp2t\r\n\
          Cache-Control: no-store\r\n\
          Accept-Ranges: none\r\n\
          Access-Control-Allow-Origin: *\r\n\
          X-Accel-Buffering: no\r\n\
          Connection: close\r\n\r\n",
    )
}

/// The whole answer to an OPTIONS request on the viewers' listener: any page may play the streams.
#[must_use]
pub fn options_head(keep_alive: bool) -> Bytes {
    format!(
        "HTTP/1.1 204 No Content\r\n\
         Server: corecast\r\n\
         Allow: {STREAM_ALLOW}\r\n\
         Access-Control-Allow-Origin: *\r\n\
         Access-Control-Allow-Methods: {STREAM_ALLOW}\r\n\
         Access-Control-Allow-Headers: Authorization, Range\r\n\
         Connection: {}\r\n\r\n",
        connection(keep_alive)
    )
    .into()
}

fn connection(keep_alive: bool) -> &'static str {
    if keep_alive { "keep-alive" } else { "close" }
}

/// When a viewer may come back after a 503.
pub const BUSY_RETRY_AFTER: Duration = Duration::from_secs(5);

const TOKEN: &str = "Bearer realm=\"corecast\"";

const LOGIN: &str = "Basic realm=\"corecast\", charset=\"UTF-8\"";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::channel::id::NotAHash;

    fn text(bytes: &Bytes) -> &str {
        str::from_utf8(bytes).unwrap()
    }

    /// Checks the whole answer to a refusal; `headers` are those that only this one has.
    fn check(refusal: Refusal, status: &str, headers: &str, body: &str) {
        let head = format!(
            "HTTP/1.1 {status}\r\nServer: corecast\r\nContent-Type: text/plain; charset=utf-8\r\n\
             Content-Length: {}\r\nX-Content-Type-Options: nosniff\r\nCache-Control: no-store\r\n{headers}\
             Connection: close\r\n\r\n",
            body.len() + 1
        );
        let answer = refusal.answer();
        assert_eq!(
            text(&answer.to_bytes(Method::Get)),
            format!("{head}{body}\n")
        );
        assert_eq!(text(&answer.to_bytes(Method::Head)), head);
        assert!(status.starts_with(&answer.status().code.to_string()));
    }

    #[test]
    fn a_bad_request_is_told_what_is_wrong_with_it() {
        check(
            RequestError::BareLf(17).into(),
            "400 Bad Request",
            "",
            "line feed without carriage return at offset 17: lines end with both",
        );
        check(
            RequestError::Byte(3, 0x16).into(),
            "400 Bad Request",
            "",
            "forbidden byte 0x16 at offset 3: tabs and non-ASCII only in header values",
        );
        check(
            FramingError::CodingWithLength.into(),
            "400 Bad Request",
            "",
            "Content-Length together with Transfer-Encoding: one of them is allowed",
        );
        check(
            FramingError::Repeated("Host").into(),
            "400 Bad Request",
            "",
            "Host stands more than once: one is allowed",
        );
        check(
            BadContent::Malformed(NotAHash).into(),
            "400 Bad Request",
            "",
            "not an AceStream identifier: 40 hexadecimal digits are allowed",
        );
        check(
            BadContent::Missing.into(),
            "400 Bad Request",
            "",
            "no AceStream content named: one of id, content_id and infohash is required",
        );
    }

    #[test]
    fn a_bad_login_is_asked_for_basic_credentials() {
        check(
            Denied.into(),
            "401 Unauthorized",
            "WWW-Authenticate: Basic realm=\"corecast\", charset=\"UTF-8\"\r\n",
            "wrong user or password",
        );
    }

    #[test]
    fn a_wrong_host_is_misdirected() {
        check(
            Refusal::Misdirected,
            "421 Misdirected Request",
            "",
            "this server does not answer to this host name",
        );
    }

    #[test]
    fn a_request_without_the_token_is_asked_for_it() {
        check(
            Refusal::BadToken,
            "401 Unauthorized",
            "WWW-Authenticate: Bearer realm=\"corecast\"\r\n",
            "wrong or missing token: send it as Authorization: Bearer",
        );
    }

    #[test]
    fn what_does_not_exist_is_not_found() {
        check(Refusal::UnknownPath, "404 Not Found", "", "no such path");
        check(
            Refusal::UnknownChannel,
            "404 Not Found",
            "",
            "no such channel",
        );
        check(
            Refusal::HlsUnavailable,
            "404 Not Found",
            "",
            "there is no HLS output: ask for .ts instead of .m3u8",
        );
    }

    #[test]
    fn a_wrong_method_is_told_the_right_ones() {
        check(
            Refusal::MethodNotAllowed {
                allow: STREAM_ALLOW,
            },
            "405 Method Not Allowed",
            "Allow: GET, HEAD, OPTIONS\r\n",
            "this path does not have this method: GET, HEAD, OPTIONS are allowed",
        );
    }

    #[test]
    fn what_is_too_slow_or_too_long_is_told_which() {
        check(
            Refusal::TooSlow,
            "408 Request Timeout",
            "",
            "the request took too long to arrive",
        );
        check(
            Refusal::BodyTooLong,
            "413 Content Too Large",
            "",
            "the body of the request is too long",
        );
        check(
            RequestError::TargetTooLong.into(),
            "414 URI Too Long",
            "",
            "the target of the request is too long",
        );
        for error in [RequestError::HeadTooLong, RequestError::TooManyHeaders] {
            check(
                error.into(),
                "431 Request Header Fields Too Large",
                "",
                "the head of the request is too long",
            );
        }
    }

    #[test]
    fn an_unknown_expectation_fails() {
        check(
            FramingError::Expectation.into(),
            "417 Expectation Failed",
            "",
            "the only expectation that is met is 100-continue",
        );
    }

    #[test]
    fn an_address_that_guesses_is_told_when_to_come_back() {
        for (wait_ms, seconds) in [(0, 1), (1, 1), (1_000, 1), (1_001, 2), (59_000, 59)] {
            let throttled = Throttled {
                retry_after: Duration::from_millis(wait_ms),
            };
            check(
                throttled.into(),
                "429 Too Many Requests",
                &format!("Retry-After: {seconds}\r\n"),
                "too many wrong logins from this address: try again later",
            );
        }
    }

    #[test]
    fn a_failing_upstream_is_a_bad_gateway() {
        check(
            Refusal::UpstreamRefused,
            "502 Bad Gateway",
            "",
            "upstream refused the channel or sent no transport stream",
        );
        check(
            Refusal::UpstreamPlaylist,
            "502 Bad Gateway",
            "",
            "HLS is not supported yet: the upstream answered with a playlist",
        );
    }

    #[test]
    fn whoever_finds_no_room_is_told_when_to_come_back() {
        for (refusal, body) in [
            (
                Refusal::Busy,
                "there are as many viewers as there may be: try again later",
            ),
            (Refusal::Draining, "the server is stopping: try again later"),
            (
                Refusal::DynamicFull,
                "there are as many channels open by content id as there may be: try again later",
            ),
        ] {
            check(
                refusal,
                "503 Service Unavailable",
                "Retry-After: 5\r\n",
                body,
            );
        }
    }

    #[test]
    fn a_silent_upstream_is_a_gateway_timeout() {
        check(
            Refusal::NoMedia,
            "504 Gateway Timeout",
            "",
            "no media came from upstream in time",
        );
    }

    #[test]
    fn a_stream_head_promises_no_length() {
        assert_eq!(
            text(&stream_head()),
            "HTTP/1.1 200 OK\r\nServer: corecast\r\nContent-Type: video/mp2t\r\nCache-Control: no-store\r\n\
             Accept-Ranges: none\r\nAccess-Control-Allow-Origin: *\r\nX-Accel-Buffering: no\r\nConnection: close\r\n\r\n"
        );
    }

    #[test]
    fn options_names_the_methods_and_lets_any_page_play() {
        for (keep_alive, connection) in [(true, "keep-alive"), (false, "close")] {
            assert_eq!(
                text(&options_head(keep_alive)),
                format!(
                    "HTTP/1.1 204 No Content\r\nServer: corecast\r\nAllow: GET, HEAD, OPTIONS\r\n\
                     Access-Control-Allow-Origin: *\r\nAccess-Control-Allow-Methods: GET, HEAD, OPTIONS\r\n\
                     Access-Control-Allow-Headers: Authorization, Range\r\nConnection: {connection}\r\n\r\n"
                )
            );
        }
    }

    #[test]
    fn an_ordinary_answer_carries_its_length_and_may_go_on() {
        let answer = Answer::new(Status::OK, "text/plain; version=0.0.4", "a 1\n").keep_alive(true);
        let head = "HTTP/1.1 200 OK\r\nServer: corecast\r\nContent-Type: text/plain; version=0.0.4\r\n\
                    Content-Length: 4\r\nX-Content-Type-Options: nosniff\r\nConnection: keep-alive\r\n\r\n";
        assert_eq!(text(&answer.to_bytes(Method::Get)), format!("{head}a 1\n"));
        assert_eq!(text(&answer.to_bytes(Method::Head)), head);
        let empty = Answer::new(Status::OK, "text/plain", "");
        assert!(text(&empty.to_bytes(Method::Get)).contains("\r\nContent-Length: 0\r\n"));
        assert!(text(&empty.to_bytes(Method::Get)).ends_with("\r\nConnection: close\r\n\r\n"));
    }

    #[test]
    fn no_header_value_ends_its_line() {
        let answer = Answer::new(Status::OK, "text/plain", "")
            .with("X-Name", "a\r\nSet-Cookie: b\u{85}\0".to_owned());
        assert!(text(&answer.to_bytes(Method::Get)).contains("\r\nX-Name: aSet-Cookie: b\r\n"));
    }
}
