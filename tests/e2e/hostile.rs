//! Peers that misbehave: each is ended in time with an answer that fits, and nobody else notices.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use crate::canary::{Canary, connect, started};
use crate::config::Config;
use crate::http;
use crate::names::{metric, rejects};
use crate::scaled;
use crate::server::{Server, path};
use crate::upstream::Upstream;
use crate::viewer::{Reading, Viewer};

#[test]
fn connection_that_says_nothing_is_closed_after_the_head_timeout() {
    let (server, _upstream) = started();
    let canary = Canary::new(&server);
    let silent: Vec<TcpStream> = (0..scaled(40, 500))
        .map(|_| connect(server.address()))
        .collect();
    let began = Instant::now();
    for mut socket in silent {
        socket
            .set_read_timeout(Some(Duration::from_secs(4)))
            .unwrap();
        let mut said = Vec::new();
        socket.read_to_end(&mut said).unwrap();
        assert!(
            said.is_empty() || said.starts_with(b"HTTP/1.1 408 "),
            "{said:?}"
        );
    }
    assert!(
        (Duration::from_millis(900)..Duration::from_millis(2_500)).contains(&began.elapsed()),
        "{:?}",
        began.elapsed()
    );
    canary.assert_untouched();
}

#[test]
fn head_that_comes_byte_by_byte_is_408_at_the_deadline_of_the_whole() {
    let (server, upstream) = started();
    let mut socket = connect(server.address());
    let (began, mut reader) = (Instant::now(), socket.try_clone().unwrap());
    let writer = std::thread::spawn(move || {
        for byte in format!(
            "GET {} HTTP/1.1\r\nHost: a\r\nX-Slow: {}",
            path(7),
            "y".repeat(100)
        )
        .bytes()
        {
            if socket.write_all(&[byte]).is_err() {
                break;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    });
    reader
        .set_read_timeout(Some(Duration::from_secs(5)))
        .unwrap();
    let mut said = [0u8; 12];
    reader.read_exact(&mut said).unwrap();
    assert_eq!(&said, b"HTTP/1.1 408");
    assert!(
        (Duration::from_millis(900)..Duration::from_millis(2_000)).contains(&began.elapsed()),
        "{:?}",
        began.elapsed()
    );
    drop(reader);
    writer.join().unwrap();
    assert_eq!(upstream.double().connections(), 0);
    assert_eq!(
        server.metric(metric::REJECTS, &[("reason", rejects::TOO_SLOW)]),
        1
    );
}

#[test]
fn garbage_is_400_at_once() {
    let (server, upstream) = started();
    let canary = Canary::new(&server);
    let mut random = fastrand::Rng::with_seed(4711);
    let noise: Vec<u8> = (0..4_000).map(|_| random.u8(..)).collect();
    let hello = [
        b"\x16\x03\x01\x00\xc8\x01\x00\x00\xc4\x03\x03".as_slice(),
        &noise[..200],
    ]
    .concat();
    let cases: [(&str, &[u8]); 9] = [
        ("noise", &noise),
        ("hello of TLS", &hello),
        ("zeros", &[0; 100]),
        (
            "bare line feeds",
            b"GET /live/a/b/7.ts HTTP/1.1\nHost: a\n\n",
        ),
        (
            "NUL in the target",
            b"GET /live/a\0/b/7.ts HTTP/1.1\r\nHost: a\r\n\r\n",
        ),
        (
            "escape in the target",
            b"GET /live/\x1b[31m/b/7.ts HTTP/1.1\r\nHost: a\r\n\r\n",
        ),
        ("preface of HTTP/2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
        (
            "folded header",
            b"GET /live/a/b/7.ts HTTP/1.1\r\nHost: a\r\n b\r\n\r\n",
        ),
        (
            "space before a colon",
            b"GET /live/a/b/7.ts HTTP/1.1\r\nHost : a\r\n\r\n",
        ),
    ];
    for (name, bytes) in cases {
        let raw = http::exchange(connect(server.address()), &[bytes]);
        assert_eq!(raw.status(), Some(400), "{name}: {raw:?}");
        assert!(
            raw.took < Duration::from_millis(500),
            "{name}: {:?}",
            raw.took
        );
    }
    canary.assert_untouched();
    assert_eq!(upstream.double().connections(), 1);
}

#[test]
fn oversized_heads_are_refused_before_they_have_arrived() {
    let (server, _upstream) = started();
    let canary = Canary::new(&server);
    let start = format!("GET {} HTTP/1.1\r\nHost: a\r\n", path(7));
    let cases = [
        (
            "one huge header",
            format!("{start}X-Huge: {}", "h".repeat(1 << 20)),
            431,
        ),
        (
            "a thousand headers",
            format!("{start}{}\r\n", "X-Many: 1\r\n".repeat(1_000)),
            431,
        ),
        (
            "headers without end",
            format!("{start}{}", "X-Many: 1\r\n".repeat(100_000)),
            431,
        ),
        ("huge target", format!("GET /{}", "u".repeat(100_000)), 414),
        ("huge method", "M".repeat(100_000), 400),
    ];
    for (name, request, status) in cases {
        let pieces: Vec<&[u8]> = request.as_bytes().chunks(4_096).collect();
        let raw = http::exchange(connect(server.address()), &pieces);
        let seen = raw.status();
        assert!(
            seen == Some(status) || (name == "huge method" && seen == Some(431)),
            "{name}: {raw:?}"
        );
        assert!(raw.took < Duration::from_secs(3), "{name}: {:?}", raw.took);
    }
    canary.assert_untouched();
}

#[test]
fn stream_request_is_the_last_on_its_connection() {
    let (server, _upstream) = started();
    let request = format!(
        "GET {} HTTP/1.1\r\nHost: a\r\n\r\nGET /nothing HTTP/1.1\r\nHost: a\r\n\r\nGET {} HTTP/1.1\r\nHost: a\r\n\r\n",
        path(7),
        path(7)
    );
    let viewer = Viewer::on(connect(server.address()), &request, Reading::Full);
    viewer.wait("media", |state| state.seen().packets > 600);
    viewer.seen().assert_unbroken();
    assert_eq!(server.metric("viewer_sessions_total", &[]), 1);
}

#[test]
fn huge_upload_to_a_stream_is_405_and_not_read() {
    let (server, upstream) = started();
    let head = format!(
        "POST {} HTTP/1.1\r\nHost: a\r\nContent-Length: 104857600\r\n\r\n",
        path(7)
    );
    let block = vec![b'z'; 65_536];
    let pieces: Vec<&[u8]> = std::iter::once(head.as_bytes())
        .chain(std::iter::repeat_n(block.as_slice(), 1_600))
        .collect();
    let raw = http::exchange(connect(server.address()), &pieces);
    assert_eq!(raw.status(), Some(405), "{:?}", raw.end);
    assert!(
        raw.reply()
            .unwrap()
            .header("allow")
            .unwrap()
            .contains("GET")
    );
    assert!(raw.took < Duration::from_secs(3), "{:?}", raw.took);
    assert_eq!(upstream.double().connections(), 0);
}

#[test]
fn tricks_with_the_path_lead_nowhere() {
    let (server, upstream) = started();
    for target in [
        "//live/a/b/7.ts",
        "/live//b/7.ts",
        "/live/a/b//7.ts",
        "/live/a/b/./7.ts",
        "/live/a/../b/7.ts",
        "/live/a/b/%2e%2e/7.ts",
        "/live/a/b/7.ts/",
        "/live/a/b/7.ts;x=1",
        "/live/a;x/b/7.ts",
        "/live/a%00/b/7.ts",
        "/live/a/b/7.ts%00",
        "/live/a%2Fb/7.ts",
        "/live/a/%2e%2e/7.ts",
        "/live/%5c/b/7.ts",
        "/LIVE/a/b/7.ts",
        "/%6Cive/a/b/7.ts",
        "/live/a/b/%37.ts",
        "/live/a/b/07.ts",
        "/live/a/b/+7.ts",
        "/live/a/b/-7.ts",
        "/live/a/b/7.ts.ts",
        "/live/a/b/7.TS",
        "/live/a/b/4294967303.ts",
        "/live/a/b/7%20.ts",
        "/api/b/7",
        "/metrics/b/7",
        "/ace/b/7",
        "/..%2f..%2fetc/passwd",
        "/../../etc/passwd",
        "/live/a/b/%D9%A7.ts",
        "http://[::1/live/a/b/7.ts",
        "ftp://a/live/a/b/7.ts",
        "live/a/b/7.ts",
        "*",
        "?",
        "/live/a/b/7.ts#7",
    ] {
        let raw = http::exchange(
            connect(server.address()),
            &[format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes()],
        );
        assert!(matches!(raw.status(), Some(400 | 404)), "{target}: {raw:?}");
    }
    assert_eq!(upstream.double().connections(), 0);
}

#[test]
fn what_a_peer_writes_cannot_forge_a_log_line() {
    let upstream = Upstream::start(|_| {
        crate::upstream::Answer::raw(
            "HTTP/1.1 200 OK\x1b[2J\r\nContent-Type: text/\x07html\r\n\r\n",
        )
    });
    let server = Server::start(&Config::new().channel(7, &[upstream.url("/a.ts")]));
    for target in [
        "/live/a%0d%0aINFO%20forged/b/7.ts",
        "/live/%1b%5b31m/b/7.ts",
        "/a%0aINFO%20forged/b/8.ts",
    ] {
        let request =
            format!("GET {target} HTTP/1.1\r\nHost: a\r\nUser-Agent: x\tINFO forged\r\n\r\n");
        http::exchange(connect(server.address()), &[request.as_bytes()]);
    }
    assert_ne!(server.get(&path(7)).status(), 200);
    server.wait_log(1, "WARN");
    assert!(
        server
            .log()
            .iter()
            .all(|line| !line.starts_with("INFO forged")),
        "{:?}",
        server.log()
    );
}
