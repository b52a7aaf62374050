//! The heads of answers, and the only place where a refusal becomes a status. (pure)
//!
//! Who writes them to a socket is elsewhere; so are the bodies of streams, playlists and pages. The rules kept here: an
//! answer never repeats bytes of the request, a refusal says in plain words which one it is and closes, and a stream's
//! head promises no length.

use std::borrow::Cow;
use std::time::Duration;

use bytes::Bytes;

use crate::account::attendance::Full;
use crate::account::{Denied, Throttled};
use crate::admin::route::BadParameter;
use crate::http::chunked::ChunkedError;
use crate::http::forwarded::TwoViewers;
use crate::http::proxy::ProxyError;
use crate::http::request::{FramingError, Method, RequestError};
use crate::http::route::BadContent;
use crate::metrics::Reject;

/// Every reason for which a request is refused. The message is the body of the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The account has as many viewers as it may have.
    #[error("this account has as many viewers as it may have")]
    AccountFull,
    /// The account's time is over.
    #[error("this account is not valid any more")]
    AccountOver,
    /// The body is broken where it is cut into pieces.
    #[error(transparent)]
    BadBody(#[from] ChunkedError),
    /// Which AceStream content is asked for cannot be told.
    #[error(transparent)]
    BadContent(#[from] BadContent),
    /// The head's fields contradict themselves or the protocol.
    #[error(transparent)]
    BadFraming(FramingError),
    /// Unknown user, wrong password or neither given: one answer, so that it does not say which.
    #[error("wrong user or password")]
    BadLogin,
    /// A parameter of the API breaks its bound.
    #[error(transparent)]
    BadParameter(#[from] BadParameter),
    /// What fronts say of the viewer contradicts itself.
    #[error(transparent)]
    BadForwarded(#[from] TwoViewers),
    /// The connection does not begin with the PROXY header that it must have.
    #[error(transparent)]
    BadProxyHeader(#[from] ProxyError),
    /// A request of the operator's listener without the right token.
    #[error("wrong or missing token: send it as Authorization: Bearer")]
    BadToken,
    /// The bytes are no request.
    #[error(transparent)]
    BadRequest(RequestError),
    /// The channel's bit rate is higher than the account may watch.
    #[error("this channel has a higher bit rate than this account may watch")]
    BitrateForbidden,
    /// The request's body is longer than the path takes.
    #[error("the body of the request is too long")]
    BodyTooLong,
    /// There are as many viewers or connections as there may be.
    #[error("there are as many viewers as there may be: try again later")]
    Busy,
    /// The account may not watch the channel.
    #[error("this account may not watch this channel")]
    ChannelForbidden,
    /// The process is about to end.
    #[error("the server is stopping: try again later")]
    Draining,
    /// There are as many dynamic channels as there may be.
    #[error("there are as many channels open by content id as there may be: try again later")]
    DynamicFull,
    /// An Expect header other than `100-continue`.
    #[error("the only expectation that is met is 100-continue")]
    ExpectationFailed,
    /// A web page of another origin asks on the operator's listener.
    #[error("a page of another origin may not ask this server")]
    ForeignOrigin,
    /// The head is longer than the bound or has more headers.
    #[error("the head of the request is too long")]
    HeadTooLong,
    /// A channel was asked for as an HLS playlist.
    #[error("there is no HLS output: ask for .ts instead of .m3u8")]
    HlsUnavailable,
    /// As many checks of passwords wait as may wait.
    #[error("as many logins wait to be checked as may wait: try again later")]
    LoginsFull,
    /// The path does not have the method.
    #[error("this path does not have this method: {allow} are allowed")]
    MethodNotAllowed {
        /// The value of the Allow header.
        allow: &'static str,
    },
    /// A request of the operator's listener under a name that is not this host's.
    #[error("this server does not answer to this host name")]
    Misdirected,
    /// The account may not be used from the viewer's address.
    #[error("this account may not be used from this address")]
    NetworkForbidden,
    /// The channel was opened but sent nothing in time.
    #[error("no media came from upstream in time")]
    NoMedia,
    /// The channel is not open, so there is nothing to restart.
    #[error("the channel is not open: there is nothing to restart")]
    NotOpen,
    /// The provider of the channel's upstream allows no more connections.
    #[error("as many channels of its provider are open as the provider allows: try again later")]
    ProviderFull,
    /// The target is longer than the bound.
    #[error("the target of the request is too long")]
    TargetTooLong,
    /// Nothing tells by what name the viewer knows this server.
    #[error(
        "the request has no Host header, and no server.public_url is set: the addresses in the answer would have no host"
    )]
    NoHost,
    /// The address guessed too often.
    #[error("too many wrong logins from this address: try again later")]
    TooManyBadLogins {
        /// Until the next try is looked at.
        retry_after: Duration,
    },
    /// As many pages are open as may be.
    #[error("there are as many live pages as there may be: try again later")]
    TooManyPages,
    /// The request did not arrive in time.
    #[error("the request took too long to arrive")]
    TooSlow,
    /// A shard did not answer the operator's question in time.
    #[error("a shard did not answer in time: try again later")]
    Unanswered,
    /// No channel has this number.
    #[error("no such channel")]
    UnknownChannel,
    /// No viewer has this id any more.
    #[error("no such viewer")]
    UnknownViewer,
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
            Self::BadBody(_) | Self::BadContent(_) => Status::BAD_REQUEST,
            Self::BadParameter(_) | Self::NoHost => Status::BAD_REQUEST,
            Self::BadFraming(_) | Self::BadRequest(_) => Status::BAD_REQUEST,
            Self::BadForwarded(_) | Self::BadProxyHeader(_) => Status::BAD_REQUEST,
            Self::BadLogin | Self::BadToken => Status::UNAUTHORIZED,
            Self::AccountFull | Self::AccountOver => Status::FORBIDDEN,
            Self::BitrateForbidden | Self::ForeignOrigin => Status::FORBIDDEN,
            Self::ChannelForbidden | Self::NetworkForbidden => Status::FORBIDDEN,
            Self::NotOpen => Status::CONFLICT,
            Self::HlsUnavailable | Self::UnknownChannel | Self::UnknownPath => Status::NOT_FOUND,
            Self::UnknownViewer => Status::NOT_FOUND,
            Self::MethodNotAllowed { .. } => Status::METHOD_NOT_ALLOWED,
            Self::TooSlow => Status::REQUEST_TIMEOUT,
            Self::BodyTooLong => Status::CONTENT_TOO_LARGE,
            Self::TargetTooLong => Status::URI_TOO_LONG,
            Self::ExpectationFailed => Status::EXPECTATION_FAILED,
            Self::TooManyBadLogins { .. } => Status::TOO_MANY_REQUESTS,
            Self::HeadTooLong => Status::HEAD_TOO_LARGE,
            Self::UpstreamPlaylist | Self::UpstreamRefused => Status::BAD_GATEWAY,
            Self::Busy | Self::Draining | Self::LoginsFull => Status::SERVICE_UNAVAILABLE,
            Self::DynamicFull | Self::ProviderFull => Status::SERVICE_UNAVAILABLE,
            Self::TooManyPages | Self::Unanswered => Status::SERVICE_UNAVAILABLE,
            Self::Misdirected => Status::MISDIRECTED_REQUEST,
            Self::NoMedia => Status::GATEWAY_TIMEOUT,
        }
    }

    /// What it is counted as.
    #[must_use]
    pub fn counted(&self) -> Reject {
        match self {
            Self::AccountFull => Reject::AtLimit,
            Self::AccountOver | Self::BitrateForbidden => Reject::Forbidden,
            Self::ChannelForbidden | Self::NetworkForbidden => Reject::Forbidden,
            Self::ForeignOrigin => Reject::Forbidden,
            Self::BadBody(_) | Self::BadContent(_) => Reject::BadRequest,
            Self::BadParameter(_) | Self::NoHost => Reject::BadRequest,
            Self::BadFraming(_) | Self::BadRequest(_) => Reject::BadRequest,
            Self::BodyTooLong | Self::ExpectationFailed | Self::Misdirected => Reject::BadRequest,
            Self::HeadTooLong | Self::TargetTooLong => Reject::BadRequest,
            Self::BadForwarded(_) | Self::BadProxyHeader(_) => Reject::ProxyHeader,
            Self::BadLogin | Self::BadToken => Reject::BadCredentials,
            Self::Busy | Self::LoginsFull => Reject::Full,
            Self::TooManyPages | Self::Unanswered => Reject::Full,
            Self::Draining => Reject::Draining,
            Self::DynamicFull | Self::ProviderFull => Reject::Busy,
            Self::HlsUnavailable | Self::UnknownChannel | Self::UnknownPath => Reject::NotFound,
            Self::NotOpen | Self::UnknownViewer => Reject::NotFound,
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
        self.dressed("text/plain; charset=utf-8", format!("{self}\n"))
    }

    /// The same as an object of JSON, for the paths of the API.
    #[must_use]
    pub fn json(&self) -> Answer {
        let body = serde_json::json!({ "error": self.to_string() });
        self.dressed(JSON, body.to_string())
    }

    fn dressed(&self, content_type: &'static str, body: String) -> Answer {
        let status = self.status();
        let answer = Answer::new(status, content_type, body).with("Cache-Control", "no-store");
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
    fn from(denied: Denied) -> Self {
        match denied {
            Denied::BadLogin => Self::BadLogin,
            Denied::Busy => Self::LoginsFull,
            Denied::Expired => Self::AccountOver,
            Denied::Network => Self::NetworkForbidden,
            Denied::Throttled(throttled) => throttled.into(),
        }
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

impl From<Full> for Refusal {
    fn from(_: Full) -> Self {
        Self::AccountFull
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

    /// The bytes to send: head and body, or for HEAD the same head alone; so too where the asker has the body already.
    #[must_use]
    pub fn to_bytes(&self, method: Method) -> Bytes {
        let mut bytes = self.head(self.body.len()).into_bytes();
        if method != Method::Head && self.status != Status::NOT_MODIFIED {
            bytes.extend_from_slice(&self.body);
        }
        bytes.into()
    }

    /// The head before a body of so many bytes, for bodies that are written in pieces.
    #[must_use]
    pub fn head(&self, body_bytes: usize) -> String {
        let mut lines = format!(
            "HTTP/1.1 {} {}\r\nServer: corecast\r\nContent-Type: {}\r\nContent-Length: {}\r\n\
             X-Content-Type-Options: nosniff\r\n",
            self.status.code, self.status.phrase, self.content_type, body_bytes
        );
        for (name, value) in &self.headers {
            lines.extend([name, ": ", value, "\r\n"]);
        }
        lines.extend(["Connection: ", connection(self.keep_alive), "\r\n\r\n"]);
        lines
    }

    /// The head that stands in the place of the whole answer for who has it already.
    #[must_use]
    pub fn not_modified(&self) -> String {
        let mut lines = "HTTP/1.1 304 Not Modified\r\nServer: corecast\r\n".to_owned();
        for (name, value) in &self.headers {
            if *name != "Content-Encoding" {
                lines.extend([name, ": ", value, "\r\n"]);
            }
        }
        lines.extend(["Connection: ", connection(self.keep_alive), "\r\n\r\n"]);
        lines
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
    /// 202
    pub const ACCEPTED: Self = Self::new(202, "Accepted");
    /// 304
    pub const NOT_MODIFIED: Self = Self::new(304, "Not Modified");
    /// 400
    pub const BAD_REQUEST: Self = Self::new(400, "Bad Request");
    /// 401
    pub const UNAUTHORIZED: Self = Self::new(401, "Unauthorized");
    /// 403
    pub const FORBIDDEN: Self = Self::new(403, "Forbidden");
    /// 404
    pub const NOT_FOUND: Self = Self::new(404, "Not Found");
    /// 405
    pub const METHOD_NOT_ALLOWED: Self = Self::new(405, "Method Not Allowed");
    /// 408
    pub const REQUEST_TIMEOUT: Self = Self::new(408, "Request Timeout");
    /// 409
    pub const CONFLICT: Self = Self::new(409, "Conflict");
    /// 413
    pub const CONTENT_TOO_LARGE: Self = Self::new(413, "Content Too Large");
    /// 414
    pub const URI_TOO_LONG: Self = Self::new(414, "URI Too Long");
    /// 417
    pub const EXPECTATION_FAILED: Self = Self::new(417, "Expectation Failed");
    /// 421
    pub const MISDIRECTED_REQUEST: Self = Self::new(421, "Misdirected Request");
    /// 422
    pub const UNPROCESSABLE: Self = Self::new(422, "Unprocessable Content");
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

/// The whole answer to an OPTIONS request on the viewers' listener: any web page may play the streams.
#[must_use]
pub fn options_head(allow: &str, keep_alive: bool) -> Bytes {
    format!(
        "HTTP/1.1 204 No Content\r\n\
         Server: corecast\r\n\
         Allow: {allow}\r\n\
         Access-Control-Allow-Origin: *\r\n\
         Access-Control-Allow-Methods: {allow}\r\n\
         Access-Control-Allow-Headers: Authorization, Content-Type, Range\r\n\
         Connection: {}\r\n\r\n",
        connection(keep_alive)
    )
    .into()
}

/// The whole answer to a request of the operator's listener that has none: done, or what a path allows.
#[must_use]
pub fn no_content(allow: Option<&str>, keep_alive: bool) -> Bytes {
    let allow = allow.map_or_else(String::new, |allow| format!("Allow: {allow}\r\n"));
    format!(
        "HTTP/1.1 204 No Content\r\n\
         Server: corecast\r\n\
         {allow}\
         Cache-Control: no-store\r\n\
         Connection: {}\r\n\r\n",
        connection(keep_alive)
    )
    .into()
}

/// The head before a stream of server-sent events, which ends with the connection.
#[must_use]
pub fn events_head() -> Bytes {
    Bytes::from_static(
        b"HTTP/1.1 200 OK\r\n\
          Server: corecast\r\n\
          Content-Type: text/event-stream\r\n\
          Cache-Control: no-store\r\n\
          X-Content-Type-Options: nosniff\r\n\
          X-Accel-Buffering: no\r\n\
          Connection: close\r\n\r\n",
    )
}

fn connection(keep_alive: bool) -> &'static str {
    if keep_alive { "keep-alive" } else { "close" }
}

/// When a viewer may come back after a 503.
pub const BUSY_RETRY_AFTER: Duration = Duration::from_secs(5);

/// How JSON is called.
pub const JSON: &str = "application/json";

const TOKEN: &str = "Bearer realm=\"corecast\"";

const LOGIN: &str = "Basic realm=\"corecast\", charset=\"UTF-8\"";

#[cfg(test)]
mod tests;
