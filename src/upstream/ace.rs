//! AceStream engine: start, watch and stop a playback session.
//!
//! Each session has a fresh player id, and the engine's URLs are used only for their path: host and port are always
//! those of the configuration. Reading the stream itself is ordinary HTTP.

use std::time::Duration;

use serde::Deserialize;
use url::Url;

use crate::channel::id::{Content, Hash};
use crate::clock::Clock;
use crate::upstream::connect::Connector;
use crate::upstream::error::{Chain, FetchError, Host};
use crate::upstream::http::{self, Get};

/// The engine, as one fetch speaks to it.
pub struct Engine<'a> {
    /// Where it is.
    pub url: &'a Url,
    /// How it is reached.
    pub connector: &'a Connector,
    /// The shard's clock.
    pub clock: &'a Clock,
    /// The User-Agent, when it is not the usual one.
    pub user_agent: Option<&'a str>,
}

/// A playback session that the engine has opened.
///
/// Ownership: whoever started it must stop it.
#[derive(Debug)]
pub struct Session {
    /// Where the stream is read.
    pub playback: Url,
    /// The content's infohash, if the engine named it: the same for every identifier of one content.
    pub infohash: Option<Hash>,
    stat: Option<Url>,
    command: Option<Url>,
}

impl Engine<'_> {
    /// Opens a session; cold content takes the engine tens of seconds.
    ///
    /// # Errors
    /// The engine could not be reached, said no, or answered what it should not.
    ///
    /// Cancel safety: none: dropping it may leave a session that nobody stops.
    pub async fn start(&self, content: Content, limit: Duration) -> Result<Session, FetchError> {
        let mut url = self.url.clone();
        url.set_path("/ace/getstream");
        let hash = content.hash().to_string();
        let player = format!("{:032x}", fastrand::u128(..));
        url.query_pairs_mut()
            .clear()
            .append_pair(content.parameter(), &hash)
            .append_pair("format", "json")
            .append_pair("pid", &player);
        let started: Started = self.ask(&url, limit).await?;
        let command = started
            .command_url
            .as_deref()
            .and_then(|text| self.own(text).ok());
        match self.session(&started, command.clone()) {
            Ok(session) => Ok(session),
            Err(error) => {
                // It is of no use, but it is open.
                if let Err(unstopped) = self.stop_at(command).await {
                    log::warn!(
                        "engine session was not stopped error=\"{}\"",
                        Chain(&unstopped)
                    );
                }
                Err(error)
            }
        }
    }

    fn session(&self, started: &Started, command: Option<Url>) -> Result<Session, FetchError> {
        if started.is_encrypted == Some(1) {
            return Err(FetchError::Encrypted);
        }
        Ok(Session {
            playback: self.own(&started.playback_url)?,
            infohash: started
                .infohash
                .as_deref()
                .and_then(|text| text.parse().ok()),
            stat: started
                .stat_url
                .as_deref()
                .map(|text| self.own(text))
                .transpose()?,
            command,
        })
    }

    /// What the engine says of a session; `None` when it has no address for that.
    ///
    /// # Errors
    /// As for [`Engine::start`].
    pub async fn stat(&self, session: &Session) -> Result<Option<Progress>, FetchError> {
        match &session.stat {
            Some(url) => self.ask(url, STAT_MAX).await.map(Some),
            None => Ok(None),
        }
    }

    /// Ends a session, in at most `STOP_MAX`.
    ///
    /// # Errors
    /// The engine could not be reached or did not answer in time; the session may live on until the engine notices
    /// that nobody reads.
    pub async fn stop(&self, session: Session) -> Result<(), FetchError> {
        self.stop_at(session.command).await
    }

    async fn stop_at(&self, command: Option<Url>) -> Result<(), FetchError> {
        let Some(mut url) = command else {
            return Ok(());
        };
        url.query_pairs_mut().append_pair("method", "stop");
        let answer = self.fetch(&url, STOP_MAX).await?;
        log::debug!("engine answered a stop bytes={}", answer.len());
        Ok(())
    }

    async fn ask<T: for<'de> Deserialize<'de>>(
        &self,
        url: &Url,
        limit: Duration,
    ) -> Result<T, FetchError> {
        let from = Host::from(url);
        let bytes = self.fetch(url, limit).await?;
        let envelope: Envelope<T> = match serde_json::from_slice(&bytes) {
            Ok(envelope) => envelope,
            Err(source) => return Err(FetchError::EngineAnswer { from, source }),
        };
        envelope.response.ok_or_else(|| FetchError::EngineRefused {
            from,
            text: line(envelope.error.as_deref().unwrap_or("no reason")),
        })
    }

    /// The whole answer to a GET, as far as a real engine's goes.
    async fn fetch(&self, url: &Url, limit: Duration) -> Result<Vec<u8>, FetchError> {
        let from = Host::from(url);
        let get = Get {
            url,
            user_agent: self.user_agent,
            headers: &[],
            limit,
        };
        let read = async {
            let mut answer = http::get(self.connector, self.clock, &get).await?;
            if answer.status != 200 {
                return Err(FetchError::Status {
                    from: from.clone(),
                    status: answer.status,
                });
            }
            let mut bytes = vec![0; ANSWER_BYTES_MAX + 1];
            let mut filled = 0;
            while let Some(room) = bytes.get_mut(filled..).filter(|room| !room.is_empty()) {
                match answer.body.read(room).await? {
                    0 => {
                        bytes.truncate(filled);
                        return Ok(bytes);
                    }
                    read => filled += read,
                }
            }
            Err(FetchError::EngineAnswerTooLong {
                from: from.clone(),
                limit_bytes: ANSWER_BYTES_MAX,
            })
        };
        self.clock.limit(limit, read).await.unwrap_or_else(|| {
            Err(FetchError::Slow {
                from: from.clone(),
                phase: crate::upstream::error::Phase::Answer,
                limit_ms: limit.as_millis(),
            })
        })
    }

    /// Takes path and query of an address that the engine gave, and the configured engine's everything else.
    fn own(&self, text: &str) -> Result<Url, FetchError> {
        let unusable = || FetchError::EngineUrl {
            from: Host::from(self.url),
        };
        let is_clean = text.bytes().all(|byte| byte.is_ascii_graphic());
        if !is_clean || text.len() > URL_BYTES_MAX {
            return Err(unusable());
        }
        let given = Url::parse(text)
            .ok()
            .or_else(|| self.url.join(text).ok())
            .ok_or_else(unusable)?;
        if !matches!(given.scheme(), "http" | "https") {
            return Err(unusable());
        }
        let mut url = self.url.clone();
        url.set_path(given.path());
        url.set_query(given.query());
        Ok(url)
    }
}

/// Every answer of the engine's HTTP interface.
#[derive(Deserialize)]
struct Envelope<T> {
    response: Option<T>,
    #[serde(default)]
    error: Option<String>,
}

#[derive(Deserialize)]
struct Started {
    playback_url: String,
    #[serde(default)]
    stat_url: Option<String>,
    #[serde(default)]
    command_url: Option<String>,
    #[serde(default)]
    infohash: Option<String>,
    #[serde(default)]
    is_encrypted: Option<i64>,
}

/// How far the engine is with a session.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Progress {
    /// What it does: `prebuf`, `dl` and others.
    #[serde(default)]
    pub status: String,
    /// Peers it is connected to.
    #[serde(default)]
    pub peers: i64,
    /// Unit: kilobytes per second.
    #[serde(default)]
    pub speed_down: i64,
    /// Unit: bytes.
    #[serde(default)]
    pub downloaded: i64,
    /// Unit: per cent.
    #[serde(default)]
    pub total_progress: i64,
}

impl Progress {
    /// Keeps the best of both, and says whether `now` is better than all before: more peers, or more of the content
    /// while the engine still fills its own store.
    pub fn improve(&mut self, now: &Self) -> bool {
        let is_filling = now.status == FILLING;
        let has_more = now.downloaded > self.downloaded || now.total_progress > self.total_progress;
        let gets_on = now.peers > self.peers || (is_filling && has_more);
        self.peers = self.peers.max(now.peers);
        self.downloaded = self.downloaded.max(now.downloaded);
        self.total_progress = self.total_progress.max(now.total_progress);
        gets_on
    }
}

/// A foreign text as one bounded line.
fn line(text: &str) -> Box<str> {
    text.chars()
        .take(120)
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect::<String>()
        .into()
}

/// The status of a session that cannot be read yet because too little of it is there.
const FILLING: &str = "prebuf";

/// How long a stop may take.
const STOP_MAX: Duration = Duration::from_secs(2);

/// How long a question after progress may take.
const STAT_MAX: Duration = Duration::from_secs(2);

/// Largest answer of the engine, in bytes; real ones have about one thousand.
const ANSWER_BYTES_MAX: usize = 64 * 1024;

/// Longest address that the engine may name, in bytes.
const URL_BYTES_MAX: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Epoch;

    fn owned(text: &str) -> Option<String> {
        let url = Url::parse("http://10.1.2.3:7000/").unwrap();
        let (connector, clock) = (Connector::new(), Clock::new(Epoch::begin()));
        let engine = Engine {
            url: &url,
            connector: &connector,
            clock: &clock,
            user_agent: None,
        };
        engine.own(text).ok().map(|url| url.to_string())
    }

    #[test]
    fn host_and_port_are_always_the_configured_ones() {
        let own = owned("http://127.0.0.1:6878/ace/r/abc/def?x=1").unwrap();
        assert_eq!(own, "http://10.1.2.3:7000/ace/r/abc/def?x=1");
        assert_eq!(owned("/ace/r/1").unwrap(), "http://10.1.2.3:7000/ace/r/1");
    }

    #[test]
    fn addresses_that_hide_something_are_refused() {
        let long = format!("http://h/{}", "a".repeat(URL_BYTES_MAX));
        for text in [
            "http://h/a\r\nX: y",
            "http://h/a b",
            "file:///etc/passwd",
            long.as_str(),
        ] {
            assert_eq!(owned(text), None, "{text}");
        }
    }

    #[test]
    fn an_answer_needs_nothing_but_the_playback_address() {
        let text =
            r#"{"response": {"playback_url": "http://h/p", "surprise": [1]}, "error": null}"#;
        let answer: Envelope<Started> = serde_json::from_str(text).unwrap();
        assert_eq!(answer.response.unwrap().playback_url, "http://h/p");
        let text = r#"{"response": null, "error": "no manifest"}"#;
        let answer: Envelope<Started> = serde_json::from_str(text).unwrap();
        assert!(answer.response.is_none());
        assert_eq!(answer.error.as_deref(), Some("no manifest"));
    }

    #[test]
    fn progress_is_read_from_the_documented_sample() {
        let text = r#"{"status": "prebuf", "peers": 3, "speed_down": 120, "livepos": {"pos": "1"}, "is_live": 1}"#;
        let progress: Progress = serde_json::from_str(text).unwrap();
        assert_eq!(
            (
                progress.status.as_str(),
                progress.peers,
                progress.speed_down
            ),
            ("prebuf", 3, 120)
        );
    }

    #[test]
    fn progress_is_more_peers_or_more_bytes_while_it_fills_and_never_the_same_again() {
        let told = |status: &str, peers, downloaded| Progress {
            status: status.into(),
            peers,
            downloaded,
            ..Progress::default()
        };
        let mut best = Progress::default();
        assert!(best.improve(&told("prebuf", 1, 0)));
        assert!(!best.improve(&told("prebuf", 1, 0)));
        assert!(best.improve(&told("prebuf", 1, 9)));
        assert!(!best.improve(&told("prebuf", 0, 5)), "it has lost some");
        assert!(!best.improve(&told("prebuf", 1, 9)), "and has them again");
        assert!(!best.improve(&told("dl", 1, 900)), "it could be read now");
        assert!(best.improve(&told("check", 2, 900)));
    }
}
