//! What may be had: so many viewers, only with the right password, and not by guessing.

use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use base64::Engine as _;
use corecast_load::packets::Source;
use socket2::{Domain, Socket, Type};

use crate::config::Config;
use crate::http;
use crate::launch::{PASSWORD, PASSWORD_HASH};
use crate::names::{metric, rejects};
use crate::scaled;
use crate::server::Server;
use crate::upstream::Upstream;
use crate::viewer::Viewer;
use crate::within;

/// A server with one account, and its upstream.
fn guarded() -> (Server, Upstream) {
    let upstream = Upstream::live(Source::new(1, 2_000));
    let server = Server::start(
        &Config::new()
            .account("anna", PASSWORD)
            .account("ben", PASSWORD)
            .channel(7, &[upstream.url("/a.ts")]),
    );
    (server, upstream)
}

/// A connection from a loopback address of its own, so that one test's guesses do not count against another's.
pub(crate) fn connect_from(last: u8, to: SocketAddr) -> TcpStream {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket
        .bind(&SocketAddr::from((Ipv4Addr::new(127, 0, 0, last), 0)).into())
        .unwrap();
    socket.connect(&to.into()).unwrap();
    socket.into()
}

#[track_caller]
pub(crate) fn ask_from(
    last: u8,
    server: &Server,
    method: &str,
    target: &str,
    header: &str,
) -> http::Reply {
    let request = format!("{method} {target} HTTP/1.1\r\nHost: a\r\n{header}\r\n");
    let raw = http::exchange(connect_from(last, server.address()), &[request.as_bytes()]);
    raw.reply()
        .unwrap_or_else(|| panic!("no answer to {target} but {raw:?}"))
}

fn basic(user: &str, password: &str) -> String {
    let token = base64::engine::general_purpose::STANDARD.encode(format!("{user}:{password}"));
    format!("Authorization: Basic {token}\r\n")
}

#[test]
fn viewer_beyond_the_limit_is_sent_away_until_one_leaves() {
    let upstream = Upstream::live(Source::new(1, 2_000));
    let server = Server::start(
        &Config::new()
            .set("server", "viewers_max", 3)
            .channel(7, &[upstream.url("/a.ts")]),
    );
    let mut viewers: Vec<Viewer> = (0..3).map(|_| server.viewer(7)).collect();
    viewers
        .iter()
        .for_each(|viewer| viewer.wait("media", |state| state.seen().packets > 50));
    for _ in 0..5 {
        let refused = server.get(&crate::server::path(7));
        refused.assert_told_to_come_back();
    }
    assert_eq!(
        server.metric(metric::REJECTS, &[("reason", rejects::FULL)]),
        5
    );
    assert_eq!(server.metric(metric::VIEWERS, &[]), 3);
    viewers.pop();
    within(2_000, "a place is free", || {
        server.viewer(7).wait_status() == 200
    });
    viewers
        .iter()
        .for_each(|viewer| viewer.seen().assert_unbroken());
    assert_eq!(upstream.double().connections(), 1);
}

#[test]
fn hundred_viewers_at_once_never_exceed_the_limit() {
    let upstream = Upstream::live(Source::new(1, 500));
    let server = Server::start(
        &Config::new()
            .set("server", "viewers_max", 20)
            .channel(7, &[upstream.url("/a.ts")]),
    );
    let viewers: Vec<Viewer> = (0..100).map(|_| server.viewer(7)).collect();
    let statuses: Vec<u16> = viewers.iter().map(Viewer::wait_status).collect();
    assert_eq!(
        statuses.iter().filter(|status| **status == 200).count(),
        20,
        "{statuses:?}"
    );
    assert_eq!(
        statuses.iter().filter(|status| **status == 503).count(),
        80,
        "{statuses:?}"
    );
}

#[test]
fn right_password_opens_the_stream_by_path_or_header() {
    let (server, upstream) = guarded();
    let by_path = server.viewer_of(&format!("/live/anna/{PASSWORD}/7.ts"));
    let request = format!(
        "GET /live/x/y/7.ts HTTP/1.1\r\nHost: a\r\n{}\r\n",
        basic("ben", PASSWORD)
    );
    let by_header = Viewer::on(
        server.connect(server.address()),
        &request,
        crate::viewer::Reading::Full,
    );
    for viewer in [
        &by_path,
        &by_header,
        &server.viewer_of(&format!("/anna/{PASSWORD}/7")),
    ] {
        assert_eq!(viewer.wait_status(), 200);
        viewer.wait("media", |state| state.seen().packets > 50);
        viewer.seen().assert_unbroken();
    }
    assert_eq!(upstream.double().connections(), 1);
}

#[test]
fn wrong_login_is_401_and_says_nothing_about_which_half_was_wrong() {
    let (server, upstream) = guarded();
    let answers = [
        ask_from(11, &server, "GET", "/live/anna/wrong/7.ts", ""),
        ask_from(
            11,
            &server,
            "GET",
            &format!("/live/nobody/{PASSWORD}/7.ts"),
            "",
        ),
        ask_from(
            11,
            &server,
            "GET",
            "/live/anna/wrong/7.ts",
            &basic("ben", "wrong"),
        ),
        // A channel that does not exist must look the same to somebody who may not watch.
        ask_from(11, &server, "GET", "/live/anna/wrong/8.ts", ""),
    ];
    for answer in &answers {
        assert_eq!(answer.status(), 401);
        assert!(
            answer
                .header("www-authenticate")
                .unwrap()
                .starts_with("Basic ")
        );
        assert_eq!(
            (answer.text(), &answer.head),
            (answers[0].text(), &answers[0].head)
        );
        assert!(
            !answer.text().contains("anna") && !answer.text().contains("wrong\""),
            "{}",
            answer.text()
        );
    }
    assert_eq!(upstream.double().connections(), 0);
    assert_eq!(
        server.metric(metric::REJECTS, &[("reason", rejects::BAD_CREDENTIALS)]),
        4
    );
}

#[test]
fn sixth_guess_of_an_address_within_a_minute_is_429() {
    let (server, upstream) = guarded();
    for turn in 0..5 {
        assert_eq!(
            ask_from(
                12,
                &server,
                "GET",
                &format!("/live/anna/guess{turn}/7.ts"),
                ""
            )
            .status(),
            401
        );
    }
    let throttled = ask_from(12, &server, "GET", "/live/anna/guess6/7.ts", "");
    assert_eq!(throttled.status(), 429, "{}", throttled.text());
    let seconds: u64 = throttled.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=60).contains(&seconds), "{seconds}");
    assert_eq!(
        ask_from(
            12,
            &server,
            "GET",
            &format!("/live/anna/{PASSWORD}/7.ts"),
            ""
        )
        .status(),
        429,
        "the right password too, or it would be told"
    );
    assert_eq!(
        server.metric(metric::REJECTS, &[("reason", rejects::THROTTLED)]),
        2
    );
    assert_eq!(upstream.double().connections(), 0);
    let other = Viewer::on(
        connect_from(13, server.address()),
        &format!("GET /live/anna/{PASSWORD}/7.ts HTTP/1.1\r\nHost: a\r\n\r\n"),
        crate::viewer::Reading::Full,
    );
    assert_eq!(other.wait_status(), 200, "another address is not concerned");
}

#[test]
fn thousand_logins_a_second_delay_no_viewer() {
    let (server, _upstream) = guarded();
    let viewers: Vec<Viewer> = (0..3)
        .map(|_| server.viewer_of(&format!("/live/anna/{PASSWORD}/7.ts")))
        .collect();
    viewers
        .iter()
        .for_each(|viewer| viewer.wait("media", |state| state.seen().packets > 50));
    let (each, began) = (scaled(300, 10_000), Instant::now());
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let server = &server;
            scope.spawn(move || {
                for turn in 0..each {
                    let password = if turn % 2 == 0 { PASSWORD } else { "wrong" };
                    let reply = ask_from(
                        20 + thread,
                        server,
                        "HEAD",
                        &format!("/live/anna/{password}/7.ts"),
                        "",
                    );
                    assert!(
                        matches!(reply.status(), 200 | 401 | 429),
                        "{}",
                        reply.status()
                    );
                }
            });
        }
    });
    assert!(
        began.elapsed() < Duration::from_secs(scaled(8, 300)),
        "{} logins took {:?}",
        each * 4,
        began.elapsed()
    );
    for viewer in &viewers {
        viewer.seen().assert_unbroken();
        viewer.assert_steady();
    }
}

#[test]
fn no_password_reaches_log_metrics_or_answers() {
    let upstream =
        Upstream::start(|_| crate::upstream::Answer::text("403 Forbidden", "text/plain", "no"));
    let url = upstream
        .url(&format!("/live/me/{PASSWORD}/1.ts?token={PASSWORD}"))
        .replace("http://", &format!("http://me:{PASSWORD}@"));
    let server = Server::start(
        &Config::new()
            .account("anna", PASSWORD)
            .account_of("ben", &format!("password_hash = {PASSWORD_HASH:?}"))
            .channel(7, &[url]),
    );
    let refused = server.get(&format!("/live/anna/{PASSWORD}/7.ts"));
    assert_eq!(refused.status(), 502);
    let by_hash = server.get(&format!("/live/ben/{PASSWORD}/7.ts"));
    assert_eq!(by_hash.status(), 502, "the hash is that of the password");
    let by_guess = server.get("/live/ben/guess/7.ts");
    assert_eq!(by_guess.status(), 401);
    let missing = server.get(&format!("/live/anna/{PASSWORD}/8.ts"));
    assert_eq!(missing.status(), 404);
    let odd = server.get(&format!("/{PASSWORD}/%0a%1b/{PASSWORD}"));
    for text in [
        refused.text(),
        by_hash.text(),
        by_guess.text(),
        missing.text(),
        odd.text(),
        server.ask_admin("/metrics").text(),
    ] {
        assert!(!text.contains(PASSWORD), "{text}");
        assert!(
            !text.contains("argon2") && !text.contains("ggHBO4Pa"),
            "{text}"
        );
    }
    let command_line =
        std::fs::read_to_string(format!("/proc/{}/cmdline", server.pid().as_raw_nonzero()))
            .unwrap();
    assert!(!command_line.contains(PASSWORD), "{command_line}");
    server.wait_log(1, "WARN");
}
