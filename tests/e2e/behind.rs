//! Behind a front: who asks is whom a believed front names, and nobody else is believed.
//!
//! Fronts are hand-made here; real ones are in `real.rs`, Unix sockets in `socket.rs`.

mod real;
mod socket;

use std::io::Write;
use std::net::TcpStream;
use std::time::Duration;

use corecast_load::packets::Source;

use crate::config::Config;
use crate::http::{self, Raw, RawEnd};
use crate::launch::PASSWORD;
use crate::limits::connect_from;
use crate::names::{metric, rejects};
use crate::server::Server;
use crate::upstream::Upstream;
use crate::viewer::{Reading, Viewer};

/// A configuration with one account, and the upstream of its channel 7.
fn guarded() -> (Config, Upstream) {
    let upstream = Upstream::live(Source::new(1, 2_000));
    let config = Config::new()
        .account("anna", PASSWORD)
        .channel(7, &[upstream.url("/a.ts")]);
    (config, upstream)
}

/// A request for channel 7 with these header lines, after which a front has no reason to keep the connection.
fn request(password: &str, fields: &str) -> String {
    format!(
        "GET /live/anna/{password}/7.ts HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{fields}\r\n"
    )
}

/// A PROXY header of version 1 for a viewer of that address.
fn line(address: &str) -> Vec<u8> {
    format!("PROXY TCP4 {address} 198.51.100.1 4660 80\r\n").into_bytes()
}

/// The same of version 2, with a value of a kind that nobody knows behind the addresses.
fn binary(address: [u8; 4]) -> Vec<u8> {
    let mark = b"\r\n\r\n\0\r\nQUIT\n";
    let rest = [198, 51, 100, 1, 0x12, 0x34, 0, 80, 0xee, 0, 2, 1, 2];
    [&mark[..], &[0x21, 0x11, 0, 17], &address, &rest].concat()
}

/// The status of a guess that comes with this in front of it and these fields in it.
#[track_caller]
fn guess(socket: TcpStream, front: &[u8], fields: &str) -> u16 {
    let raw = http::exchange(socket, &[front, request("wrong", fields).as_bytes()]);
    raw.status()
        .unwrap_or_else(|| panic!("no answer but {raw:?}"))
}

/// Guesses until the sixth, which alone must be refused unseen.
#[track_caller]
fn assert_throttled(mut guess: impl FnMut() -> u16) {
    let statuses: Vec<u16> = (0..6).map(|_| guess()).collect();
    assert_eq!(statuses, [401, 401, 401, 401, 401, 429]);
}

#[test]
fn whom_a_proxy_header_names_is_who_guesses() {
    let (config, _upstream) = guarded();
    let server = Server::start(&config.set("server", "proxy_protocol", true));
    let guess = |front: &[u8]| guess(server.connect(server.address()), front, "");
    assert_throttled(|| guess(&line("192.0.2.7")));
    assert_eq!(guess(&binary([192, 0, 2, 7])), 429, "the same viewer");
    assert_eq!(guess(&binary([192, 0, 2, 8])), 401);
    assert_eq!(guess(b"PROXY TCP6 2001:db8::7 ::1 1 2\r\n"), 401);
    assert_eq!(guess(b"PROXY UNKNOWN\r\n"), 401, "the front itself");
    assert_eq!(
        guess(b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0"),
        401,
        "the front itself"
    );
}

#[test]
fn stream_follows_a_proxy_header_however_it_is_cut() {
    let (config, upstream) = guarded();
    let server = Server::start(&config.set("server", "proxy_protocol", true));
    for front in [line("192.0.2.7"), binary([192, 0, 2, 7])] {
        for cut in [1, 5, 13, front.len()] {
            let mut socket = server.connect(server.address());
            socket.set_nodelay(true).unwrap();
            for piece in front.chunks(cut) {
                socket.write_all(piece).unwrap();
            }
            let viewer = Viewer::on(socket, &request(PASSWORD, ""), Reading::Full);
            viewer.wait("media", |state| state.seen().packets > 20);
            viewer.seen().assert_unbroken();
        }
    }
    assert_eq!(upstream.double().connections(), 1);
}

#[test]
fn connection_without_its_proxy_header_is_told_counted_and_closed() {
    let (config, upstream) = guarded();
    let server = Server::start(&config.set("server", "proxy_protocol", true));
    let begun = |front: &[u8]| -> Raw {
        let good = request(PASSWORD, "");
        http::exchange(server.connect(server.address()), &[front, good.as_bytes()])
    };
    for front in [
        &b""[..],
        b"\r\n",
        b"PROXY TCP4 192.0.2.7 198.51.100.1 1\r\n",
        b"PROXY TCP5 192.0.2.7 198.51.100.1 1 2\r\n",
        b"\r\n\r\n\0\r\nQUIT\n\x31\x11\0\x0c123456789012",
        b"\r\n\r\n\0\r\nQUIT\n\x21\x11\xff\xff",
        &[b'x'; 20_000],
    ] {
        let raw = begun(front);
        let reply = raw.reply().unwrap_or_else(|| panic!("{raw:?}"));
        assert_eq!(reply.status(), 400, "{front:?}");
        assert!(reply.text().contains("PROXY"), "{}", reply.text());
        assert_eq!(reply.header("connection"), Some("close"));
        assert!(
            raw.end.is_some() && raw.took < Duration::from_secs(2),
            "{raw:?}"
        );
    }
    assert_eq!(
        server.metric(metric::REJECTS, &[("reason", rejects::PROXY_HEADER)]),
        7
    );
    let slow = http::exchange(server.connect(server.address()), &[b"PROXY TCP4 192"]);
    assert_eq!((slow.status(), slow.end), (Some(408), Some(RawEnd::Closed)));
    assert_eq!(
        server.metric(metric::REJECTS, &[("reason", rejects::TOO_SLOW)]),
        1
    );
    assert_eq!(upstream.double().connections(), 0);
    assert_eq!(server.ask_admin("/healthz").status(), 200, "admin has none");
}

#[test]
fn proxy_header_of_a_stranger_is_read_and_not_believed() {
    let (config, _upstream) = guarded();
    let server = Server::start(&config.set("server", "proxy_protocol", true).set(
        "server",
        "trusted_proxies",
        r#"["127.0.0.50"]"#,
    ));
    let mut last = 0;
    let mut forge = |from: u8| {
        last += 1;
        let front = line(&format!("192.0.2.{last}"));
        guess(connect_from(from, server.address()), &front, "")
    };
    assert_throttled(|| forge(51));
    for _ in 0..8 {
        assert_eq!(forge(50), 401, "the front's viewers are different ones");
    }
}

#[test]
fn header_fields_are_believed_from_fronts_alone() {
    let (config, _upstream) = guarded();
    let server = Server::start(&config.set(
        "server",
        "trusted_proxies",
        r#"["127.0.0.52/31", "10.0.0.0/8"]"#,
    ));
    let ask = |from: u8, fields: &str| guess(connect_from(from, server.address()), b"", fields);
    let mut last = 0;
    assert_throttled(|| {
        last += 1;
        ask(54, &format!("X-Forwarded-For: 192.0.2.{last}\r\n"))
    });
    for (turn, fields) in [
        "X-Forwarded-For: 192.0.2.7\r\n",
        "X-Forwarded-For: 203.0.113.1, 192.0.2.7\r\n",
        "X-Forwarded-For: 203.0.113.2\r\nx-forwarded-for: 192.0.2.7, 10.0.0.1\r\n",
        "Forwarded: for=203.0.113.3, for=\"192.0.2.7:80\"\r\n",
        "Forwarded: for=192.0.2.7;proto=https, for=10.9.9.9\r\n",
    ]
    .into_iter()
    .enumerate()
    {
        let from = if turn % 2 == 0 { 52 } else { 53 };
        assert_eq!(ask(from, fields), 401, "{fields}");
    }
    assert_eq!(ask(52, "X-Forwarded-For: 192.0.2.7\r\n"), 429);
    assert_eq!(ask(52, "X-Forwarded-For: 192.0.2.8\r\n"), 401);
}

#[test]
fn front_that_a_proxy_header_names_is_believed_in_turn() {
    let (config, _upstream) = guarded();
    let server = Server::start(&config.set("server", "proxy_protocol", true).set(
        "server",
        "trusted_proxies",
        r#"["127.0.0.1", "10.0.0.0/8"]"#,
    ));
    let ask = |front: &str, viewer: &str| {
        let fields = format!("X-Forwarded-For: {viewer}\r\n");
        guess(server.connect(server.address()), &line(front), &fields)
    };
    assert_throttled(|| ask("10.0.0.1", "192.0.2.7"));
    assert_eq!(ask("10.0.0.2", "192.0.2.8"), 401);
    let mut last = 0;
    assert_throttled(|| {
        last += 1;
        ask("203.0.113.9", &format!("192.0.2.{last}"))
    });
}

#[test]
fn admin_believes_no_front() {
    let (config, _upstream) = guarded();
    let server = Server::start(&config.set("server", "proxy_protocol", true).set(
        "server",
        "trusted_proxies",
        r#"["0.0.0.0/0"]"#,
    ));
    let raw = http::exchange(
        server.connect(server.admin()),
        &[b"GET /metrics HTTP/1.1\r\nHost: evil.example\r\nX-Forwarded-Host: localhost\r\n\r\n"],
    );
    assert_eq!(raw.status(), Some(421), "{raw:?}");
}
