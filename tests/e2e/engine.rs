//! An AceStream engine, honest in what it says and strict in what it allows.
//!
//! It answers as the real one does, down to URLs that name another port than its own, and it keeps account: every start,
//! every stop, every reader. The rule: what the real engine punishes (two readers of one content, a player id used
//! twice, a session left behind) is a complaint, and a complaint fails the test.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use corecast_load::packets::Source;

use crate::upstream::{Answer, Step, play};
use crate::wire::{Asked, Double, Gone, Peer};
use crate::within;

/// The engine.
pub(crate) struct Engine {
    double: Double,
    shared: Arc<Shared>,
}

impl Engine {
    /// Asks `script` how to behave at each start.
    pub(crate) fn start(script: impl Fn(&Start) -> Behaviour + Send + Sync + 'static) -> Self {
        let shared = Arc::new(Shared::default());
        let mine = Arc::clone(&shared);
        let double = Double::start(move |asked, peer| answer(&mine, &script, asked, peer));
        Self { double, shared }
    }

    /// Plays the same broadcast for every content.
    pub(crate) fn live(source: Source) -> Self {
        Self::start(move |_| Behaviour::playing(Answer::live(source)))
    }

    /// What `engine.url` must be.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.double.address())
    }

    /// Sessions that were started and not stopped.
    pub(crate) fn open_sessions(&self) -> usize {
        self.shared
            .book
            .lock()
            .unwrap()
            .sessions
            .values()
            .filter(|session| session.is_open)
            .count()
    }

    /// Every start that was asked for, whatever came of it.
    pub(crate) fn starts(&self) -> Vec<Start> {
        self.shared.book.lock().unwrap().starts.clone()
    }

    /// Playback URLs that were read, by content.
    pub(crate) fn playbacks(&self) -> usize {
        self.double
            .asked()
            .iter()
            .filter(|asked| asked.target.starts_with("/ace/r/"))
            .count()
    }

    /// Stops that were asked for and named a session that was open.
    pub(crate) fn stops(&self) -> usize {
        self.shared.book.lock().unwrap().stops
    }

    /// Readers of playback URLs now.
    pub(crate) fn readers(&self) -> usize {
        self.shared.book.lock().unwrap().readers.values().sum()
    }

    /// Everything it was asked.
    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.double.asked()
    }

    /// Waits until nothing is open any more.
    #[track_caller]
    pub(crate) fn wait_idle(&self, time_ms: u64) {
        within(
            time_ms,
            "the engine's sessions are stopped and its readers gone",
            || self.open_sessions() == 0 && self.readers() == 0,
        );
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            let complaints = self.shared.book.lock().unwrap().complaints.clone();
            assert!(
                complaints.is_empty(),
                "the engine complains: {complaints:?}"
            );
        }
    }
}

/// One start that was asked for.
#[derive(Clone, Debug)]
pub(crate) struct Start {
    pub(crate) infohash: String,
    /// The parameter that named the content.
    pub(crate) parameter: &'static str,
    pub(crate) pid: String,
    /// How many starts of this content came before.
    pub(crate) nth: usize,
}

/// How the engine behaves after one start.
#[derive(Clone)]
pub(crate) struct Behaviour {
    start: Started,
    playback: Answer,
    warm_up: Duration,
    is_stuck: bool,
    has_early_head: bool,
    url_prefix: String,
    is_encrypted: bool,
}

impl Behaviour {
    /// Starts, and plays `playback`.
    pub(crate) fn playing(playback: Answer) -> Self {
        Self {
            start: Started::Json,
            playback,
            warm_up: Duration::ZERO,
            is_stuck: false,
            has_early_head: false,
            url_prefix: "http://127.0.0.1:6878".to_owned(),
            is_encrypted: false,
        }
    }

    /// Refuses as the engine does: in JSON, with status 200.
    pub(crate) fn error(text: &str) -> Self {
        Self::answering(Answer::text(
            "200 OK",
            "application/json",
            &format!(r#"{{"response": null, "error": "{text}"}}"#),
        ))
    }

    /// Answers the start with something else than JSON of a session.
    pub(crate) fn answering(answer: Answer) -> Self {
        Self {
            start: Started::Other(answer),
            ..Self::playing(Answer::silence())
        }
    }

    /// Starts content that cannot be had as MPEG-TS.
    pub(crate) fn encrypted() -> Self {
        Self {
            is_encrypted: true,
            ..Self::playing(Answer::text("403 Forbidden", "text/plain", "encrypted"))
        }
    }

    /// The playback's head comes this much later; until then the status shows that data arrives.
    pub(crate) fn warm_up(self, warm_up: Duration) -> Self {
        Self { warm_up, ..self }
    }

    /// Until the playback's head comes the status shows that nothing arrives.
    pub(crate) fn stuck(self) -> Self {
        Self {
            is_stuck: true,
            ..self
        }
    }

    /// The playback's head comes at once, and what follows it as the playback says.
    pub(crate) fn early_head(self) -> Self {
        Self {
            has_early_head: true,
            ..self
        }
    }

    /// Names another scheme, host and port in its URLs.
    pub(crate) fn url_prefix(self, url_prefix: &str) -> Self {
        Self {
            url_prefix: url_prefix.to_owned(),
            ..self
        }
    }
}

#[derive(Clone)]
enum Started {
    Json,
    Other(Answer),
}

#[derive(Default)]
struct Shared {
    book: Mutex<Book>,
}

#[derive(Default)]
struct Book {
    starts: Vec<Start>,
    sessions: HashMap<String, Session>,
    readers: HashMap<String, usize>,
    pids: HashSet<String>,
    stops: usize,
    complaints: Vec<String>,
}

struct Session {
    infohash: String,
    is_open: bool,
    began: Instant,
    behaviour: Behaviour,
}

/// The infohash that the engine finds behind a content id.
pub(crate) fn infohash_of(content_id: &str) -> String {
    content_id.chars().rev().collect()
}

fn answer(
    shared: &Shared,
    script: &(impl Fn(&Start) -> Behaviour + ?Sized),
    asked: &Asked,
    peer: &mut Peer,
) -> Result<(), Gone> {
    let words: Vec<&str> = asked.path().split('/').skip(1).collect();
    match words.as_slice() {
        ["ace", "getstream"] => start(shared, script, asked, peer),
        ["ace", "r", infohash, token] => playback(shared, infohash, token, peer),
        ["ace", "stat", _, token] => json(&status(shared, token), peer),
        ["ace", "cmd", _, token] if asked.query("method") == Some("stop") => {
            json(&stop(shared, token), peer)
        }
        ["webui", "api", "service"] => json(
            r#"{"result": {"code": 3017000, "platform": "linux", "version": "3.1.70"}, "error": null}"#,
            peer,
        ),
        _ => {
            shared
                .book
                .lock()
                .unwrap()
                .complaints
                .push(format!("asked for {}", asked.target));
            play(
                &Answer::text("404 Not Found", "text/plain", "not found"),
                peer,
            )
        }
    }
}

fn start(
    shared: &Shared,
    script: &(impl Fn(&Start) -> Behaviour + ?Sized),
    asked: &Asked,
    peer: &mut Peer,
) -> Result<(), Gone> {
    let of_id = |name| asked.query(name).map(infohash_of);
    let named = of_id("content_id")
        .map(|infohash| (infohash, "content_id"))
        .or_else(|| of_id("id").map(|infohash| (infohash, "content_id")));
    let (infohash, parameter) = named
        .or_else(|| {
            asked
                .query("infohash")
                .map(|infohash| (infohash.to_owned(), "infohash"))
        })
        .unwrap_or_default();
    let pid = asked
        .query("pid")
        .or_else(|| asked.query("sid"))
        .unwrap_or_default()
        .to_owned();
    let (start, nth_of_all) = {
        let mut book = shared.book.lock().unwrap();
        let nth = book
            .starts
            .iter()
            .filter(|start| start.infohash == infohash)
            .count();
        let start = Start {
            infohash,
            parameter,
            pid,
            nth,
        };
        if start.pid.is_empty() || !book.pids.insert(start.pid.clone()) {
            book.complaints
                .push(format!("no player id or one used before: {start:?}"));
        }
        if asked.query("format") != Some("json") {
            book.complaints
                .push(format!("not asked for JSON: {}", asked.target));
        }
        book.starts.push(start.clone());
        (start, book.starts.len())
    };
    let behaviour = script(&start);
    if let Started::Other(answer) = &behaviour.start {
        return play(answer, peer);
    }
    let token = format!("{nth_of_all:032x}");
    let (prefix, infohash) = (&behaviour.url_prefix, &start.infohash);
    let encrypted = u8::from(behaviour.is_encrypted);
    // The real engine's command URL has no query; one that has is what a stop must also cope with.
    let query = if start.nth % 2 == 1 { "?player=1" } else { "" };
    let text = format!(
        r#"{{"response": {{"playback_url": "{prefix}/ace/r/{infohash}/{token}", "stat_url": "{prefix}/ace/stat/{infohash}/{token}", "command_url": "{prefix}/ace/cmd/{infohash}/{token}{query}", "infohash": "{infohash}", "playback_session_id": "{infohash}", "is_live": 1, "is_encrypted": {encrypted}, "client_session_id": -1, "unheard_of": {{"a": [1]}}}}, "error": null}}"#
    );
    let session = Session {
        infohash: start.infohash.clone(),
        is_open: true,
        began: Instant::now(),
        behaviour,
    };
    shared.book.lock().unwrap().sessions.insert(token, session);
    json(&text, peer)
}

fn playback(shared: &Shared, infohash: &str, token: &str, peer: &mut Peer) -> Result<(), Gone> {
    let (behaviour, began) = {
        let mut book = shared.book.lock().unwrap();
        let Some(session) = book
            .sessions
            .get(token)
            .filter(|session| session.is_open && session.infohash == infohash)
        else {
            drop(book);
            return play(&Answer::text("403 Forbidden", "text/plain", "stale"), peer);
        };
        let found = (session.behaviour.clone(), session.began);
        let readers = book.readers.entry(infohash.to_owned()).or_default();
        *readers += 1;
        if *readers > 1 {
            book.complaints
                .push(format!("two readers of {infohash} at once"));
        }
        found
    };
    let left = behaviour.warm_up.saturating_sub(began.elapsed());
    let ended = peer
        .pause(if behaviour.has_early_head {
            Duration::ZERO
        } else {
            left
        })
        .and_then(|()| play(&behaviour.playback, peer));
    *shared
        .book
        .lock()
        .unwrap()
        .readers
        .get_mut(infohash)
        .unwrap() -= 1;
    ended
}

fn status(shared: &Shared, token: &str) -> String {
    let book = shared.book.lock().unwrap();
    let Some(session) = book.sessions.get(token).filter(|session| session.is_open) else {
        return UNKNOWN_SESSION.to_owned();
    };
    let age = session.began.elapsed();
    let (state, bytes) = (
        if age < session.behaviour.warm_up {
            "prebuf"
        } else {
            "dl"
        },
        if session.behaviour.is_stuck {
            0
        } else {
            age.as_millis() * 200
        },
    );
    let infohash = &session.infohash;
    format!(
        r#"{{"response": {{"status": "{state}", "peers": 7, "speed_down": 812, "speed_up": 0, "downloaded": {bytes}, "uploaded": 0, "total_progress": 0, "playback_session_id": "{token}", "is_live": 1, "is_encrypted": 0, "infohash": "{infohash}", "livepos": {{"last": "1722335030", "live_first": "1722333230", "pos": "1722335021", "first_ts": "1722333230", "last_ts": "1722335030", "is_live": "1", "live_last": "1722335030", "buffer_pieces": "15"}}, "new_field": [null]}}, "error": null}}"#
    )
}

/// Ends every session of the content, as the engine does.
fn stop(shared: &Shared, token: &str) -> String {
    let mut book = shared.book.lock().unwrap();
    let Some(infohash) = book
        .sessions
        .get(token)
        .filter(|session| session.is_open)
        .map(|session| session.infohash.clone())
    else {
        return UNKNOWN_SESSION.to_owned();
    };
    book.stops += 1;
    book.sessions
        .values_mut()
        .filter(|session| session.infohash == infohash)
        .for_each(|session| session.is_open = false);
    r#"{"response": "ok", "error": null}"#.to_owned()
}

fn json(text: &str, peer: &mut Peer) -> Result<(), Gone> {
    let head = "Content-Type: application/json\r\nAccess-Control-Allow-Origin: *\r\nServer: BaseHTTP/0.6 Python/3.10\r\n";
    play(
        &Answer::head(
            "200 OK",
            &format!("{head}Content-Length: {}\r\n", text.len()),
        )
        .then(Step::Bytes(text.into())),
        peer,
    )
}

const UNKNOWN_SESSION: &str = r#"{"response": null, "error": "unknown playback session id"}"#;

#[cfg(test)]
mod tests;
