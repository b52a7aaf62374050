//! Why a fetch was lost.

use std::fmt;
use std::io;

use thiserror::Error;
use url::Url;

use crate::channel::NotStarted;
use crate::channel::id::ChannelId;
use crate::http::chunked::ChunkedError;
use crate::metrics::Connect;
use crate::upstream::provider::name::ProviderName;
use crate::upstream::pulse::Frozen;
use crate::upstream::retry::Lost;

/// Why a fetch was lost, or never began.
///
/// No variant carries a path, a query or user information: URLs of upstreams hold passwords.
#[derive(Debug, Error)]
pub enum FetchError {
    /// The content is already played for another channel that has media of its own.
    #[error("the engine plays this content for channel {other} already")]
    AlreadyLive {
        /// The channel that plays it.
        other: ChannelId,
    },
    /// The provider allows no more connections.
    #[error("every connection that {provider} allows is in use")]
    AtLimit {
        /// Whose they are.
        provider: ProviderName,
    },
    /// The answer has a malformed or oversized head.
    #[error("{from} answered with a head that is not HTTP or is over {limit_bytes} bytes")]
    BadHead {
        /// Who answered.
        from: Host,
        /// The limit.
        limit_bytes: usize,
    },
    /// The body's chunked coding is broken.
    #[error("{from} broke the chunked coding after {read_bytes} bytes")]
    Chunked {
        /// Who sent it.
        from: Host,
        /// Bytes of body read before.
        read_bytes: u64,
        /// What is wrong.
        source: ChunkedError,
    },
    /// No connection.
    #[error("connect to {to} failed")]
    Connect {
        /// Where to.
        to: Host,
        /// What the system says.
        source: io::Error,
    },
    /// The fetch ended although the channel is live for ever.
    #[error("{from} ended the stream after {read_bytes} bytes")]
    Ended {
        /// Who ended it.
        from: Host,
        /// Bytes of body read before.
        read_bytes: u64,
    },
    /// The engine's answer is not what its interface says.
    #[error("the engine at {from} answered with something else than its interface promises")]
    EngineAnswer {
        /// Which engine.
        from: Host,
        /// What could not be read.
        source: serde_json::Error,
    },
    /// The engine's answer is larger than any real one.
    #[error("the engine at {from} answered with more than {limit_bytes} bytes")]
    EngineAnswerTooLong {
        /// Which engine.
        from: Host,
        /// The limit.
        limit_bytes: usize,
    },
    /// The engine said no.
    #[error("the engine at {from} refused: {text:?}")]
    EngineRefused {
        /// Which engine.
        from: Host,
        /// Its words, cut to a line.
        text: Box<str>,
    },
    /// The engine named an address that cannot be used.
    #[error("the engine at {from} named an unusable address")]
    EngineUrl {
        /// Which engine.
        from: Host,
    },
    /// The content is encrypted, and the engine gives such only as HLS.
    #[error("the content is encrypted: the engine does not give it as MPEG-TS")]
    Encrypted,
    /// Bytes came, but no more media.
    #[error("{from} sent nothing new for {still_ms} ms ({what}) after {read_bytes} bytes")]
    Frozen {
        /// Whom from.
        from: Host,
        /// What stood still.
        what: Frozen,
        /// For how long.
        still_ms: u128,
        /// Bytes of body read before.
        read_bytes: u64,
    },
    /// No memory for a segment.
    #[error("a new segment of memory was refused")]
    Memory {
        /// What the system says.
        source: io::Error,
    },
    /// No media within the time a start may take.
    #[error("no media within {waited_ms} ms")]
    NoMedia {
        /// How long it was waited for.
        waited_ms: u64,
    },
    /// What came is not MPEG-TS.
    #[error("{from} sent {junk_bytes} bytes that are not MPEG-TS")]
    NotTs {
        /// Who sent it.
        from: Host,
        /// Bytes thrown away.
        junk_bytes: u64,
    },
    /// The answer is a playlist.
    #[error("{from} answered with a playlist: HLS is not supported yet")]
    Playlist {
        /// Who answered.
        from: Host,
    },
    /// A read failed.
    #[error("read from {from} failed after {read_bytes} bytes")]
    Read {
        /// Whom from.
        from: Host,
        /// Bytes of body read before.
        read_bytes: u64,
        /// What the system says.
        source: io::Error,
    },
    /// A redirect leads where no stream may come from.
    #[error("{from} redirects to a place that is not allowed")]
    RedirectRefused {
        /// Who answered.
        from: Host,
    },
    /// Too many redirects.
    #[error("{from} is redirect {hops}, {limit} are allowed")]
    Redirects {
        /// The last to answer.
        from: Host,
        /// How many there were.
        hops: usize,
        /// How many are allowed.
        limit: usize,
    },
    /// The name has no address.
    #[error("{host} could not be resolved")]
    Resolve {
        /// The name.
        host: Host,
        /// What the system says.
        source: io::Error,
    },
    /// A phase took longer than it may.
    #[error("{from} did not finish to {phase} within {limit_ms} ms")]
    Slow {
        /// Whom from.
        from: Host,
        /// What was waited for.
        phase: Phase,
        /// How long it may take.
        limit_ms: u128,
    },
    /// The upstream fell silent.
    #[error("{from} sent nothing for {silent_ms} ms after {read_bytes} bytes")]
    Stalled {
        /// Whom from.
        from: Host,
        /// How long it was silent.
        silent_ms: u64,
        /// Bytes of body read before.
        read_bytes: u64,
    },
    /// The status is not 200.
    #[error("{from} answered with status {status}")]
    Status {
        /// Who answered.
        from: Host,
        /// The status.
        status: u16,
    },
    /// The secure connection could not be made.
    #[error("the secure connection to {to} could not be made")]
    Tls {
        /// Where to.
        to: Host,
        /// What the library says.
        source: io::Error,
    },
}

/// A phase of a fetch that has a deadline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Send the head of an answer.
    Answer,
    /// Accept a connection.
    Connect,
    /// Resolve a name.
    Resolve,
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Answer => "answer",
            Self::Connect => "connect",
            Self::Resolve => "resolve",
        })
    }
}

impl fmt::Display for Frozen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Clock => "its clock stands still",
            Self::Video => "sound without a picture",
        })
    }
}

impl FetchError {
    /// What the next try depends on.
    #[must_use]
    pub fn lost(&self) -> Lost {
        match self {
            Self::Frozen { .. } => Lost::Frozen,
            Self::NoMedia { .. } | Self::Slow { .. } => Lost::Timeout,
            Self::Status { status, .. } if *status == 429 || *status >= 500 => Lost::Broken,
            Self::Chunked { .. }
            | Self::Connect { .. }
            | Self::Ended { .. }
            | Self::Memory { .. }
            | Self::Read { .. }
            | Self::Resolve { .. }
            | Self::Stalled { .. } => Lost::Broken,
            _ => Lost::Refused,
        }
    }

    /// How the try is counted.
    #[must_use]
    pub fn counted(&self) -> Connect {
        match (self, self.lost()) {
            (Self::AtLimit { .. }, _) => Connect::AtLimit,
            (_, Lost::Broken | Lost::Frozen) => Connect::Failed,
            (_, Lost::Refused) => Connect::Refused,
            (_, Lost::Timeout) => Connect::Timeout,
        }
    }

    /// What viewers are told when this was the last try of a start.
    #[must_use]
    pub fn not_started(&self) -> NotStarted {
        match self {
            Self::AtLimit { .. } => NotStarted::AtLimit,
            Self::Playlist { .. } => NotStarted::Playlist,
            Self::Frozen { .. }
            | Self::NoMedia { .. }
            | Self::Slow { .. }
            | Self::Stalled { .. } => NotStarted::Timeout,
            _ => NotStarted::Refused,
        }
    }
}

/// Host and port of a URL: all of it that may be shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Host(Box<str>);

impl From<&Url> for Host {
    fn from(url: &Url) -> Self {
        let host = url.host_str().unwrap_or_default();
        let shown = match url.port_or_known_default() {
            Some(port) => format!("{host}:{port}"),
            None => host.to_owned(),
        };
        Self(shown.into())
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// An error with its causes, in one line for the log.
pub struct Chain<'a>(pub &'a dyn std::error::Error);

impl fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)?;
        let mut cause = self.0.source();
        while let Some(error) = cause {
            write!(f, ": {error}")?;
            cause = error.source();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_shows_neither_user_nor_path() {
        let url = Url::parse("http://user:secret@host/live/me/secret/1.ts?token=secret").unwrap();
        assert_eq!(Host::from(&url).to_string(), "host:80");
    }

    #[test]
    fn a_chain_names_each_cause_once() {
        let url = Url::parse("http://127.0.0.1:9/").unwrap();
        let error = FetchError::Connect {
            to: Host::from(&url),
            source: io::ErrorKind::ConnectionRefused.into(),
        };
        assert_eq!(
            Chain(&error).to_string(),
            "connect to 127.0.0.1:9 failed: connection refused"
        );
    }

    #[test]
    fn a_server_in_trouble_may_work_again_and_a_refusal_stays() {
        let status = |status| FetchError::Status {
            from: Host("h".into()),
            status,
        };
        assert_eq!(status(503).lost(), Lost::Broken);
        assert_eq!(status(429).lost(), Lost::Broken);
        assert_eq!(status(404).lost(), Lost::Refused);
        assert_eq!(
            FetchError::NoMedia { waited_ms: 1 }.not_started(),
            NotStarted::Timeout
        );
    }
}
