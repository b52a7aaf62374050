//! The HTTP front as players and probes see it: every method, header and status of the contract.

use std::net::TcpStream;
use std::time::Duration;

use corecast_load::packets::Source;

use crate::config::Config;
use crate::http::{self, Reply};
use crate::names::metric;
use crate::server::{Server, path};
use crate::tools;
use crate::upstream::Upstream;
use crate::viewer::{Reading, Viewer};

fn started() -> (Server, Upstream) {
    let upstream = Upstream::live(Source::new(1, 2_000));
    let server = Server::start(&Config::new().channel(7, &[upstream.url("/a.ts")]));
    (server, upstream)
}

#[track_caller]
fn ask(server: &Server, method: &str, target: &str, headers: &str) -> Reply {
    http::ask(
        server.address(),
        &format!("{method} {target} HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n"),
    )
}

/// Checks the head of a stream, header by header.
#[track_caller]
fn assert_stream_head(reply: &http::Head) {
    assert_eq!(reply.line, "HTTP/1.1 200 OK");
    let expected = [
        ("content-type", "video/mp2t"),
        ("connection", "close"),
        ("cache-control", "no-store"),
        ("accept-ranges", "none"),
        ("access-control-allow-origin", "*"),
        ("x-accel-buffering", "no"),
    ];
    for (name, value) in expected {
        assert_eq!(reply.header(name), Some(value), "{reply:?}");
    }
    for (name, _) in &reply.headers {
        let name = name.to_ascii_lowercase();
        assert!(
            name == "server" || expected.iter().any(|(known, _)| *known == name),
            "{name} has no business here: {reply:?}"
        );
    }
}

#[test]
fn head_of_a_stream_is_the_same_by_get_and_by_head() {
    let (server, upstream) = started();
    let by_head = ask(&server, "HEAD", &path(7), "");
    assert_stream_head(&by_head.head);
    assert_eq!(
        (by_head.body.len(), upstream.double().connections()),
        (0, 0),
        "HEAD opens no upstream"
    );
    let dynamic = ask(
        &server,
        "HEAD",
        &format!("/ace/getstream?id={}", "a".repeat(40)),
        "",
    );
    assert_stream_head(&dynamic.head);
    let viewer = server.viewer(7);
    viewer.wait("media", |state| state.seen().packets > 10);
    assert_eq!(viewer.head(), by_head.head);
}

#[test]
fn options_is_answered_without_an_upstream() {
    let (server, upstream) = started();
    let reply = ask(
        &server,
        "OPTIONS",
        &path(7),
        "Origin: http://example.org\r\nAccess-Control-Request-Method: GET\r\n",
    );
    assert_eq!((reply.status(), reply.body.len()), (204, 0));
    assert_eq!(reply.header("access-control-allow-origin"), Some("*"));
    assert!(reply.header("allow").unwrap().contains("GET"));
    assert_eq!(upstream.double().connections(), 0);
}

#[test]
fn what_players_add_to_a_request_changes_nothing() {
    let (server, _upstream) = started();
    for headers in [
        "Range: bytes=0-\r\nIcy-MetaData: 1\r\nConnection: close\r\nUser-Agent: Lavf/60.3.100\r\nAccept: */*\r\n",
        "Range: bytes=0-1\r\n",
        "Range: bytes=1000000-\r\n",
        "Range: nonsense\r\n",
        "Accept-Encoding: gzip, deflate\r\nConnection: keep-alive\r\nUser-Agent: TiviMate/5.1.6 (Android 12)\r\n",
        "User-Agent: VLC/3.0.20 LibVLC/3.0.20\r\nRange: bytes=0-\r\nIcy-MetaData: 1\r\n",
        "If-Modified-Since: Mon, 01 Jan 2024 00:00:00 GMT\r\nIf-None-Match: *\r\n",
        "getcontentFeatures.dlna.org: 1\r\ntransferMode.dlna.org: Streaming\r\n",
    ] {
        let request = format!(
            "GET {} HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n",
            path(7)
        );
        let viewer = Viewer::on(
            TcpStream::connect(server.address()).unwrap(),
            &request,
            Reading::Full,
        );
        viewer.wait("media", |state| state.seen().packets > 20);
        assert_stream_head(&viewer.head());
        viewer.seen().assert_unbroken();
    }
}

#[test]
fn old_and_absolute_requests_get_the_stream() {
    let (server, _upstream) = started();
    for request in [
        format!("GET {} HTTP/1.0\r\n\r\n", path(7)),
        format!(
            "GET {} HTTP/1.0\r\nHost: localhost\r\nConnection: keep-alive\r\n\r\n",
            path(7)
        ),
        format!(
            "GET http://somewhere.example:8000{} HTTP/1.1\r\nHost: other\r\n\r\n",
            path(7)
        ),
        format!(
            "GET {} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\nhello",
            path(7)
        ),
        format!(
            "\r\nGET {}?utc=1&lutc=2 HTTP/1.1\r\nhost: localhost\r\n\r\n",
            path(7)
        ),
    ] {
        let viewer = Viewer::on(
            TcpStream::connect(server.address()).unwrap(),
            &request,
            Reading::Full,
        );
        viewer.wait("media", |state| state.seen().packets > 20);
        assert_eq!(viewer.wait_status(), 200);
        assert_eq!(viewer.head().header("transfer-encoding"), None);
        viewer.seen().assert_unbroken();
    }
}

#[test]
fn channel_has_all_its_spellings() {
    let (server, upstream) = started();
    for target in [
        "/live/a/b/7.ts",
        "/live/a/b/7",
        "/a/b/7.ts",
        "/a/b/7",
        "/live/a%20b/c%C3%A9/7.ts",
    ] {
        let viewer = server.viewer_of(target);
        assert_eq!(viewer.wait_status(), 200, "{target}");
        viewer.wait("media", |state| state.seen().packets > 20);
    }
    assert_eq!(upstream.double().connections(), 1);
}

#[test]
fn every_refusal_is_short_plain_text_and_closes() {
    let (server, upstream) = started();
    let long = "x".repeat(100_000);
    let many = "X-A: b\r\n".repeat(1_000);
    let cases: Vec<(&str, String, &str, u16)> = vec![
        ("GET", "/".into(), "", 404),
        ("GET", path(8), "", 404),
        ("GET", "/live/a/b/7.mp4".into(), "", 404),
        ("GET", "/live/a/b/0.ts".into(), "", 404),
        ("GET", "/live/a/b/99999999999.ts".into(), "", 404),
        ("GET", "/metrics".into(), "", 404),
        ("GET", "/healthz".into(), "", 404),
        ("GET", "/api/a/7".into(), "", 404),
        ("GET", "/ace/manifest.m3u8".into(), "", 404),
        ("GET", "/ace/getstream".into(), "", 400),
        ("GET", path(7), "Content-Length: x\r\n", 400),
        (
            "GET",
            path(7),
            "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
            400,
        ),
        ("GET", path(7), "Host: twice\r\n", 400),
        ("GET", path(7), "Expect: the-unexpected\r\n", 417),
        ("GET", format!("/{long}"), "", 414),
        ("GET", path(7), &many, 431),
        ("GET", path(7), "Content-Length: 99999999\r\n", 413),
        ("POST", path(7), "Content-Length: 0\r\n", 405),
        ("PUT", path(7), "Content-Length: 0\r\n", 405),
        ("DELETE", "/ace/getstream".into(), "", 405),
        ("BREW", path(7), "", 405),
    ];
    for (method, target, headers, status) in cases {
        let reply = ask(&server, method, &target, headers);
        let shown = format!("{method} {:.60} {:.60}: {}", target, headers, reply.text());
        assert_eq!(reply.status(), status, "{shown}");
        assert!(
            reply
                .header("content-type")
                .unwrap()
                .starts_with("text/plain"),
            "{shown}"
        );
        assert_eq!(reply.header("connection"), Some("close"), "{shown}");
        assert!((1..400).contains(&reply.body.len()), "{shown}");
        assert_eq!(reply.header("allow").is_some(), status == 405, "{shown}");
    }
    assert_eq!(upstream.double().connections(), 0);
    assert_eq!(server.metric(metric::VIEWERS, &[]), 0);
}

#[test]
fn playlist_of_a_channel_is_404_and_says_what_to_ask_for() {
    let (server, _upstream) = started();
    for target in ["/live/a/b/7.m3u8", "/a/b/7.m3u8"] {
        let reply = server.get(target);
        assert_eq!(reply.status(), 404);
        assert!(reply.text().contains(".ts"), "{}", reply.text());
    }
}

#[test]
fn request_without_a_host_is_refused_but_for_old_ones() {
    let (server, _upstream) = started();
    let reply = http::ask(
        server.address(),
        &format!("GET {} HTTP/1.1\r\n\r\n", path(7)),
    );
    assert_eq!(reply.status(), 400, "{}", reply.text());
}

#[test]
fn curl_and_its_options_get_what_the_contract_says() {
    let (server, upstream) = started();
    let url = format!("http://{}{}", server.address(), path(7));
    let head = tools::run("curl", &["-sI", &url]);
    let head = String::from_utf8(head.stdout).unwrap();
    assert!(
        head.starts_with("HTTP/1.1 200 OK\r\n") && head.contains("video/mp2t"),
        "{head}"
    );
    assert_eq!(upstream.double().connections(), 0);
    for options in [
        vec!["-r", "0-100"],
        vec!["--http1.0"],
        vec!["--compressed"],
        vec!["-H", "Connection: keep-alive"],
    ] {
        let file = server.folder().join("got.ts");
        let arguments = [
            vec![
                "-s",
                "--max-time",
                "1.5",
                "-o",
                file.to_str().unwrap(),
                "-w",
                "%{http_code}",
            ],
            options.clone(),
            vec![url.as_str()],
        ]
        .concat();
        let ran = tools::run("curl", &arguments);
        assert_eq!(String::from_utf8_lossy(&ran.stdout), "200", "{options:?}");
        let seen = tools::verify(&file);
        seen.assert_unbroken();
        seen.assert_starts_at_join_point();
        std::fs::remove_file(file).unwrap();
    }
}

#[test]
fn admin_answers_only_to_its_own_name() {
    let (server, _upstream) = started();
    let port = server.admin().port();
    let ask = |host: &str| {
        http::ask(
            server.admin(),
            &format!("GET /healthz HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"),
        )
    };
    for own in [
        format!("127.0.0.1:{port}"),
        format!("localhost:{port}"),
        "localhost".to_owned(),
        "127.0.0.1".to_owned(),
    ] {
        assert_eq!(ask(&own).status(), 200, "{own}");
    }
    for foreign in ["evil.example", "192.0.2.1", &format!("evil.example:{port}")] {
        let reply = ask(foreign);
        assert_eq!(reply.status(), 421, "{foreign}");
        assert_eq!(reply.header("access-control-allow-origin"), None);
    }
}

#[test]
fn admin_keeps_a_connection_for_the_next_request() {
    let (server, _upstream) = started();
    let request = |last: &str| {
        format!(
            "GET /healthz HTTP/1.1\r\nHost: {}\r\n{last}\r\n",
            server.admin()
        )
    };
    let raw = http::exchange(
        server.connect(server.admin()),
        &[
            request("").as_bytes(),
            request("").as_bytes(),
            request("Connection: close\r\n").as_bytes(),
        ],
    );
    let text = String::from_utf8(raw.bytes).unwrap();
    assert_eq!(text.matches("HTTP/1.1 200 OK").count(), 3, "{text}");
    assert_eq!(raw.end, Some(http::RawEnd::Closed));
    assert!(raw.took < Duration::from_secs(2), "{:?}", raw.took);
}
