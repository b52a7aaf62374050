//! AceStream engines that give no session: refusals, garbage, and answers that would lead astray.

use std::time::Duration;

use crate::config::Config;
use crate::engine::{Behaviour, Engine, infohash_of};
use crate::server::Server;
use crate::upstream::{Answer, Step};

/// Forty digits that differ in the last two.
fn content(number: usize) -> String {
    format!("{number:040x}")
}

/// Answers to a start of which none may be taken for a session.
fn no_sessions() -> Vec<Behaviour> {
    let json = |text: &str| Behaviour::answering(Answer::text("200 OK", "application/json", text));
    let session = |url: &str| {
        json(&format!(
            r#"{{"response": {{"playback_url": "{url}", "stat_url": "/ace/stat/a/b", "command_url": "http://127.0.0.1:6878/ace/cmd/a/b", "infohash": "{}", "playback_session_id": "a", "is_live": 1, "is_encrypted": 0, "client_session_id": -1}}, "error": null}}"#,
            content(99)
        ))
    };
    vec![
        Behaviour::error("failed to load content"),
        Behaviour::error(&"long ".repeat(4_000)),
        json(r#"{"response": {"playback_url": "http://127.0.0.1:6878/ace/r/"#),
        json("<html><body>busy</body></html>"),
        json("null"),
        json("[]"),
        json(""),
        json(r#"{"response": null, "error": null}"#),
        json(r#"{"response": {"playback_url": 7, "infohash": []}, "error": null}"#),
        json(&format!("{}{}", "[".repeat(10_000), "]".repeat(10_000))),
        json(&format!(
            r#"{{"a": {}1{}}}"#,
            r#"{"b":"#.repeat(8_000),
            "}".repeat(8_000)
        )),
        session(&format!(
            "http://127.0.0.1:6878/ace/r/{}",
            "a".repeat(70_000)
        )),
        session(r"http://127.0.0.1:6878/ace/r/a\r\nX-Injected: 1"),
        session("http://127.0.0.1:6878/ace/r/a b"),
        session("file:///etc/passwd"),
        Behaviour::answering(Answer::text(
            "500 Internal Server Error",
            "text/plain",
            "start timeout",
        )),
        Behaviour::answering(
            Answer::head("200 OK", "Content-Type: application/json\r\n")
                .then(Step::Torrent(vec![b' '; 65_536])),
        ),
        Behaviour::answering(Answer::raw("nonsense\r\n\r\n")),
    ]
}

#[test]
fn engine_answers_that_are_no_session_are_refused() {
    let cases = no_sessions();
    let count = cases.len();
    let engine = Engine::start(move |start| {
        (0..count)
            .find(|number| infohash_of(&content(*number)) == start.infohash)
            .map(|number| cases[number].clone())
            .unwrap()
    });
    let server = Server::start(&Config::new().engine(&engine.url()));
    std::thread::scope(|scope| {
        let server = &server;
        let replies: Vec<_> = (0..count)
            .map(|number| {
                scope.spawn(move || server.get(&format!("/ace/getstream?id={}", content(number))))
            })
            .collect();
        for (number, reply) in replies.into_iter().enumerate() {
            let reply = reply.join().unwrap();
            assert_eq!(reply.status(), 502, "case {number}: {}", reply.text());
            assert!(
                reply.took < Duration::from_millis(4_500),
                "case {number}: {:?}",
                reply.took
            );
            assert!(
                reply.body.len() < 2_000,
                "case {number}: {} bytes",
                reply.body.len()
            );
        }
    });
    assert!(
        engine
            .asked()
            .iter()
            .all(|asked| asked.header("x-injected").is_none())
    );
    assert_eq!(engine.playbacks(), 0, "{:?}", engine.asked());
    assert_eq!(engine.open_sessions(), 0);
}

#[test]
fn refusal_of_the_engine_is_one_log_line_without_its_control_characters() {
    let engine = Engine::start(|_| Behaviour::error(r"no peers\r\nINFO forged\u001b[31m"));
    let server = Server::start(&Config::new().engine(&engine.url()));
    let reply = server.get(&format!("/ace/getstream?id={}", content(1)));
    assert_eq!(reply.status(), 502, "{}", reply.text());
    assert!(!reply.text().contains("forged"), "{}", reply.text());
    server.wait_log(1, "no peers");
    let log = server.log();
    assert_eq!(
        log.iter().filter(|line| line.contains("no peers")).count(),
        1,
        "{log:?}"
    );
    assert!(
        log.iter().all(|line| !line.starts_with("INFO forged")),
        "{log:?}"
    );
}

#[test]
fn encrypted_content_is_refused_and_its_session_is_stopped() {
    let engine = Engine::start(|_| Behaviour::encrypted());
    let server = Server::start(&Config::new().engine(&engine.url()));
    let reply = server.get(&format!("/ace/getstream?id={}", content(1)));
    assert_eq!(reply.status(), 502, "{}", reply.text());
    engine.wait_idle(2_000);
    assert_eq!(engine.playbacks(), 0);
}
