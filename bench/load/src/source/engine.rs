//! The AceStream engine double: sessions that are started, read and stopped, and the account of them. (pure)
//!
//! Media belongs in `flow.rs`. The rule: what it counts is what a relay did, so that a session left open or a content
//! read twice is a number in the source's result.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::request::Request;

/// The engine.
#[derive(Default)]
pub(crate) struct Engine {
    sessions: BTreeMap<u64, Session>,
    pub(crate) account: Account,
}

impl Engine {
    /// What a request under `/ace` or `/webui` gets; `prefix` is what its URLs begin with.
    pub(crate) fn reply(&mut self, request: &Request, channels: usize, prefix: &str) -> Reply {
        let words: Vec<&str> = request.path().split('/').skip(1).collect();
        let session = |token: &str| u64::from_str_radix(token, 16).ok();
        match words.as_slice() {
            ["ace", "getstream"] => self.start(request, channels, prefix),
            ["ace", "r", _, token] => session(token).map_or(Reply::Stale, |token| self.read(token)),
            ["ace", "stat", _, token] => Reply::Json(self.status(session(token))),
            ["ace", "cmd", _, token] if request.query("method") == Some("stop") => {
                Reply::Json(self.stop(session(token)))
            }
            ["webui", "api", "service"] => Reply::Json(VERSION.to_owned()),
            _ => Reply::NotFound,
        }
    }

    /// Notes that a reader of a session left.
    pub(crate) fn leave(&mut self, token: u64) {
        self.account.readers_open = self.account.readers_open.saturating_sub(1);
        if let Some(session) = self.sessions.get_mut(&token) {
            session.readers = session.readers.saturating_sub(1);
        }
    }

    fn start(&mut self, request: &Request, channels: usize, prefix: &str) -> Reply {
        let content = ["content_id", "id", "infohash"]
            .into_iter()
            .find_map(|name| request.query(name));
        let Some(content) = content.filter(|content| is_plain(content)) else {
            return Reply::Json(refusal("missing content id"));
        };
        self.account.starts += 1;
        let token = self.account.starts;
        let session = Session {
            infohash: content.to_owned(),
            readers: 0,
        };
        self.sessions.insert(token, session);
        self.account.sessions_open = self.sessions.len() as u64;
        let path = |part: &str| format!("{prefix}/ace/{part}/{content}/{token:032x}");
        let playback = path("r");
        if request.query("format") != Some("json") {
            return Reply::Elsewhere(playback);
        }
        let reply = serde_json::json!({
            "response": {
                "playback_url": playback,
                "stat_url": path("stat"),
                "command_url": path("cmd"),
                "infohash": content,
                "playback_session_id": format!("{token:032x}"),
                "is_live": 1,
                "is_encrypted": 0,
                "client_session_id": -1,
                "channel": channel_of(content, channels) + 1,
            },
            "error": null,
        });
        Reply::Json(reply.to_string())
    }

    fn read(&mut self, token: u64) -> Reply {
        let Some(session) = self.sessions.get_mut(&token) else {
            return Reply::Stale;
        };
        session.readers += 1;
        self.account.playbacks += 1;
        self.account.readers_open += 1;
        let infohash = session.infohash.clone();
        let readers = self
            .sessions
            .values()
            .filter(|session| session.infohash == infohash)
            .map(|session| session.readers);
        if readers.sum::<u64>() > 1 {
            self.account.readers_beside_another += 1;
        }
        Reply::Playback { token, infohash }
    }

    fn status(&self, token: Option<u64>) -> String {
        let Some((token, session)) =
            token.and_then(|token| Some((token, self.sessions.get(&token)?)))
        else {
            return refusal("unknown playback session id");
        };
        let reply = serde_json::json!({
            "response": {
                "status": "dl",
                "peers": 7,
                "speed_down": 1000,
                "speed_up": 0,
                "downloaded": 1_000_000,
                "uploaded": 0,
                "total_progress": 0,
                "playback_session_id": format!("{token:032x}"),
                "is_live": 1,
                "is_encrypted": 0,
                "infohash": session.infohash,
            },
            "error": null,
        });
        reply.to_string()
    }

    /// Ends every session of the content, as the engine does.
    fn stop(&mut self, token: Option<u64>) -> String {
        let Some(infohash) = token
            .and_then(|token| self.sessions.get(&token))
            .map(|session| session.infohash.clone())
        else {
            return refusal("unknown playback session id");
        };
        self.sessions
            .retain(|_, session| session.infohash != infohash);
        self.account.stops += 1;
        self.account.sessions_open = self.sessions.len() as u64;
        r#"{"response": "ok", "error": null}"#.to_owned()
    }
}

/// What the engine answers.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Reply {
    /// A redirect to this URL.
    Elsewhere(String),
    Json(String),
    NotFound,
    /// The media of this content, read under this session.
    Playback {
        token: u64,
        infohash: String,
    },
    /// A session that is not open.
    Stale,
}

/// What relays did with the engine.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Account {
    /// Sessions started.
    pub(crate) starts: u64,
    /// Stops that named an open session.
    pub(crate) stops: u64,
    /// Sessions started and not stopped.
    pub(crate) sessions_open: u64,
    /// Playbacks begun.
    pub(crate) playbacks: u64,
    /// Playbacks that are being read.
    pub(crate) readers_open: u64,
    /// Playbacks begun while another of the same content was read, which the real engine does not allow.
    pub(crate) readers_beside_another: u64,
}

struct Session {
    infohash: String,
    readers: u64,
}

/// Which channel a content is, from 0: its number if it ends in one in decimal, else any that stays the same.
pub(crate) fn channel_of(content: &str, channels: usize) -> usize {
    let digits = content.len()
        - content
            .trim_end_matches(|it: char| it.is_ascii_digit())
            .len();
    let tail = content.get(content.len() - digits.min(9)..);
    let number = tail.and_then(|tail| tail.parse::<usize>().ok());
    let sum = content.bytes().map(usize::from).sum::<usize>();
    number.map_or(sum, |number| number.wrapping_sub(1)) % channels.max(1)
}

/// Whether a content id can stand in a URL and in JSON as it is.
fn is_plain(content: &str) -> bool {
    !content.is_empty()
        && content.len() <= 64
        && content.bytes().all(|it| it.is_ascii_alphanumeric())
}

fn refusal(text: &str) -> String {
    serde_json::json!({ "response": null, "error": text }).to_string()
}

const VERSION: &str =
    r#"{"result": {"code": 3017000, "platform": "linux", "version": "3.1.70"}, "error": null}"#;

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(engine: &mut Engine, target: &str) -> Reply {
        let head = format!("GET {target} HTTP/1.1\r\n\r\n");
        let request = Request::read(head.as_bytes()).unwrap().unwrap();
        engine.reply(&request, 5, "http://127.0.0.1:1")
    }

    fn started(engine: &mut Engine, content: &str) -> serde_json::Value {
        let target = format!("/ace/getstream?infohash={content}&format=json&pid=1");
        let Reply::Json(text) = ask(engine, &target) else {
            panic!("no JSON for {target}");
        };
        let reply: serde_json::Value = serde_json::from_str(&text).unwrap();
        reply["response"].clone()
    }

    fn target(answer: &serde_json::Value, name: &str) -> String {
        let url = answer[name].as_str().unwrap();
        url.replace("http://127.0.0.1:1", "")
    }

    #[test]
    fn session_lives_from_start_to_stop() {
        let mut engine = Engine::default();
        let answer = started(&mut engine, "ab03");
        let playback = ask(&mut engine, &target(&answer, "playback_url"));
        let infohash = "ab03".to_owned();
        assert_eq!(playback, Reply::Playback { token: 1, infohash });
        assert_eq!(engine.account.sessions_open, 1);
        let stop = format!("{}?method=stop", target(&answer, "command_url"));
        let Reply::Json(text) = ask(&mut engine, &stop) else {
            panic!("stop");
        };
        assert!(text.contains("ok"), "{text}");
        engine.leave(1);
        let account = &engine.account;
        assert_eq!(
            (account.stops, account.sessions_open, account.readers_open),
            (1, 0, 0)
        );
        let again = ask(&mut engine, &target(&answer, "playback_url"));
        assert_eq!(again, Reply::Stale);
        assert_eq!(
            ask(&mut engine, &stop),
            Reply::Json(refusal("unknown playback session id"))
        );
    }

    #[test]
    fn second_reader_of_a_content_is_counted() {
        let mut engine = Engine::default();
        for _ in 0..2 {
            let answer = started(&mut engine, "ab");
            ask(&mut engine, &target(&answer, "playback_url"));
        }
        assert_eq!(engine.account.readers_beside_another, 1);
        assert_eq!((engine.account.starts, engine.account.readers_open), (2, 2));
    }

    #[test]
    fn content_that_does_not_ask_for_json_is_sent_elsewhere() {
        let mut engine = Engine::default();
        let reply = ask(&mut engine, "/ace/getstream?content_id=ab");
        assert!(matches!(reply, Reply::Elsewhere(url) if url.contains("/ace/r/ab/")));
        assert_eq!(ask(&mut engine, "/ace/nothing"), Reply::NotFound);
        let refused = ask(&mut engine, "/ace/getstream?format=json&id=%22");
        assert_eq!(refused, Reply::Json(refusal("missing content id")));
    }

    #[test]
    fn contents_that_end_in_a_number_are_that_channel() {
        assert_eq!(channel_of("00000000000000000000000000000000000000c1", 5), 0);
        assert_eq!(channel_of("5", 5), 4);
        assert_eq!(channel_of("0", 1), 0);
        assert!(channel_of("abc", 5) < 5);
        assert!(channel_of("0000000000000000000000000000000000000000", 7) < 7);
    }
}
