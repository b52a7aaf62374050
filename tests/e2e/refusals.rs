//! Upstreams that give no stream: each gets its honest answer, in time, and none of its bytes is passed on.
//!
//! Engines that give no session are in `bad_engine.rs`.

use std::sync::Arc;
use std::time::Duration;

use corecast_load::packets::Source;

use crate::config::Config;
use crate::launch::Launch;
use crate::netns::Netns;
use crate::server::{Server, path};
use crate::upstream::{Answer, Framing, Media, Step, Upstream};
use crate::viewer::Viewer;
use crate::wire::Double;

const MARK: &str = "made-by-the-upstream-4711";

fn source() -> Source {
    Source::new(1, 2_000)
}

fn named(cases: &[(&'static str, Answer)]) -> (Upstream, Config) {
    let answers = cases.to_vec();
    let upstream = Upstream::start(move |asked| {
        answers
            .iter()
            .find(|(name, _)| *name == &asked.path()[1..])
            .map_or_else(
                || Answer::text("404 Not Found", "text/plain", ""),
                |(_, answer)| answer.clone(),
            )
    });
    let config = (1..)
        .zip(cases)
        .fold(Config::new(), |config, (id, (name, _))| {
            config.channel(id, &[upstream.url(&format!("/{name}"))])
        });
    (upstream, config)
}

/// Asks for every case at once; each must be refused with `status` within `time`, in the server's own words.
#[track_caller]
fn assert_refused(server: &Server, cases: &[(&'static str, Answer)], status: u16, time: Duration) {
    std::thread::scope(|scope| {
        let replies: Vec<_> = (1..)
            .zip(cases)
            .map(|(id, (name, _))| (name, scope.spawn(move || server.get(&path(id)))))
            .collect();
        for (name, reply) in replies {
            let reply = reply.join().unwrap();
            assert_eq!(reply.status(), status, "{name}: {}", reply.text());
            assert!(reply.took < time, "{name}: after {:?}", reply.took);
            assert_eq!(
                reply
                    .header("content-type")
                    .map(|kind| kind.starts_with("text/plain")),
                Some(true),
                "{name}"
            );
            assert!(
                !reply.text().is_empty()
                    && !reply.text().contains(MARK)
                    && !reply.text().contains("<html"),
                "{name}: {}",
                reply.text()
            );
        }
    });
}

#[test]
fn what_is_not_a_stream_is_refused_without_a_byte_of_it() {
    let page = format!("<html><body>{MARK}</body></html>").repeat(300);
    let sync_now_and_then = [b'G'; 1]
        .into_iter()
        .chain(MARK.bytes())
        .cycle()
        .take(90_000)
        .collect::<Vec<u8>>();
    let cases = [
        ("html", Answer::text("200 OK", "text/html", &page)),
        (
            "html-called-ts",
            Answer::text("200 OK", "video/mp2t", &page),
        ),
        (
            "noise",
            Answer::head("200 OK", "Content-Type: video/mp2t\r\n")
                .then(Step::Bytes(sync_now_and_then))
                .then(Step::Hang),
        ),
        (
            "endless-noise",
            Answer::head("200 OK", "Content-Type: video/mp2t\r\n")
                .then(Step::Torrent(MARK.repeat(1_000).into())),
        ),
        (
            "empty",
            Answer::head("200 OK", "Content-Type: video/mp2t\r\n"),
        ),
        (
            "empty-with-length",
            Answer::head(
                "200 OK",
                "Content-Type: video/mp2t\r\nContent-Length: 0\r\n",
            ),
        ),
    ];
    let (_upstream, config) = named(&cases);
    assert_refused(
        &Server::start(&config),
        &cases,
        502,
        Duration::from_millis(3_500),
    );
}

#[test]
fn playlist_is_refused_and_the_answer_says_so() {
    let playlist = "#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:7\n#EXTINF:6,\n/ace/c/1.ts\n";
    let cases = [
        (
            "by-type",
            Answer::text("200 OK", "application/vnd.apple.mpegurl", playlist),
        ),
        (
            "by-old-type",
            Answer::text("200 OK", "application/x-mpegURL", playlist),
        ),
        (
            "by-content",
            Answer::text("200 OK", "application/octet-stream", playlist),
        ),
    ];
    let (_upstream, config) = named(&cases);
    let server = Server::start(&config);
    assert_refused(&server, &cases, 502, Duration::from_secs(3));
    for id in 1..=3 {
        let text = server.get(&path(id)).text().to_lowercase();
        assert!(text.contains("hls") || text.contains("playlist"), "{text}");
    }
}

#[test]
fn every_status_but_200_is_refused_and_its_url_is_not_logged() {
    let cases = [
        ("401", Answer::text("401 Unauthorized", "text/plain", MARK)),
        ("403", Answer::text("403 Forbidden", "text/plain", MARK)),
        ("404", Answer::text("404 Not Found", "text/plain", MARK)),
        ("410", Answer::text("410 Gone", "text/plain", MARK)),
        (
            "429",
            Answer::text("429 Too Many Requests", "text/plain", MARK),
        ),
        ("458", Answer::text("458 Nobody Knows", "text/plain", MARK)),
        (
            "500",
            Answer::text("500 Internal Server Error", "text/plain", MARK),
        ),
        (
            "503",
            Answer::text("503 Service Unavailable", "text/plain", MARK),
        ),
        ("204", Answer::head("204 No Content", "")),
        (
            "206",
            Answer::head("206 Partial Content", "Content-Range: bytes 0-0/1\r\n")
                .then(Step::Bytes(vec![b'G'])),
        ),
    ];
    let (_upstream, config) = named(&cases);
    let server = Server::start(&config);
    assert_refused(&server, &cases, 502, Duration::from_millis(4_500));
    server.wait_log(10, "WARN");
    assert!(
        server
            .log()
            .iter()
            .all(|line| !line.contains("/401") && !line.contains("/503")),
        "{:?}",
        server.log()
    );
}

#[test]
fn upstream_that_does_not_answer_in_time_is_504() {
    let media_too_late = Answer::head("200 OK", "Content-Type: video/mp2t\r\n").then(Step::Hang);
    let cases = [
        ("silent", Answer::silence()),
        ("dribbled-head", Answer::dribble(Duration::from_millis(150))),
        ("no-media", media_too_late),
    ];
    let (_upstream, config) = named(&cases);
    assert_refused(
        &Server::start(&config.set("stream", "start_timeout_ms", 2_000)),
        &cases,
        504,
        Duration::from_millis(3_500),
    );
}

#[test]
fn broken_http_is_refused() {
    let cases = [
        ("not-http", Answer::raw("ICY 200 OK\r\nicy-name: x\r\n\r\n")),
        ("long-status", Answer::raw("HTTP/1.1 2000 OK\r\n\r\n")),
        ("no-status", Answer::raw("HTTP/1.1 OK\r\n\r\n")),
        (
            "noise",
            Answer::raw("\x16\x03\x01\x02\x00\x01\x00 nonsense\r\n\r\n"),
        ),
        (
            "huge-head",
            Answer::raw(format!(
                "HTTP/1.1 200 OK\r\n{}\r\n",
                format!("X-Filler: {MARK}\r\n").repeat(30_000)
            )),
        ),
        (
            "endless-head",
            Answer::raw("HTTP/1.1 200 OK\r\n")
                .then(Step::Torrent(format!("X-Filler: {MARK}\r\n").into())),
        ),
        (
            "bad-chunk",
            Answer::head("200 OK", "Transfer-Encoding: chunked\r\n")
                .then(Step::Bytes(b"zz\r\nabc\r\n".to_vec())),
        ),
        (
            "huge-chunk",
            Answer::head("200 OK", "Transfer-Encoding: chunked\r\n")
                .then(Step::Bytes(b"fffffffffffffffff\r\nabc\r\n".to_vec())),
        ),
        (
            "endless-chunk-size",
            Answer::head("200 OK", "Transfer-Encoding: chunked\r\n")
                .then(Step::Torrent(b"0".repeat(1_000))),
        ),
        (
            "two-lengths",
            Answer::raw("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nabcdef"),
        ),
        (
            "end-in-head",
            Answer::raw("HTTP/1.1 200 OK\r\nContent-Type: video/mp2t\r\n"),
        ),
    ];
    let (_upstream, config) = named(&cases);
    assert_refused(
        &Server::start(&config),
        &cases,
        502,
        Duration::from_millis(4_000),
    );
}

#[test]
fn length_that_ends_early_or_late_never_tears_a_packet() {
    let media = Media::live(source());
    let upstream = Upstream::start(move |asked| match asked.path() {
        // More is sent than announced: the rest is nobody's.
        "/short" => Answer::media(media.framing(Framing::Length(250_001)).bytes(300_000)),
        _ => Answer::media(media.framing(Framing::Length(1_000_000)).bytes(250_001)),
    });
    let server = Server::start(
        &Config::new()
            .channel(1, &[upstream.url("/short")])
            .channel(2, &[upstream.url("/long")]),
    );
    for viewer in [server.viewer(1), server.viewer(2)] {
        viewer.wait("two splices", |state| state.seen().gaps.len() >= 2);
        viewer.seen().assert_spliced();
    }
}

#[test]
fn redirects_that_loop_or_lead_nowhere_are_refused() {
    let trap = Double::start(|_, _| Ok(()));
    let cases = [
        ("loop", Answer::redirect("/loop")),
        ("file", Answer::redirect("file:///etc/passwd")),
        (
            "ftp",
            Answer::redirect(&format!("ftp://{}/a.ts", trap.address())),
        ),
        ("port-0", Answer::redirect("http://127.0.0.1:0/a.ts")),
        (
            "nowhere",
            Answer::head("302 Found", "Content-Length: 0\r\n"),
        ),
        ("garbage", Answer::redirect("http://[::1/a")),
        (
            "split",
            Answer::raw("HTTP/1.1 302 Found\r\nLocation: /a\x01b\r\nContent-Length: 0\r\n\r\n"),
        ),
    ];
    let (upstream, config) = named(&cases);
    let server = Server::start(&config);
    assert_refused(&server, &cases, 502, Duration::from_secs(3));
    assert_eq!(trap.connections(), 0);
    let loops = upstream
        .double()
        .asked()
        .iter()
        .filter(|asked| asked.path() == "/loop")
        .count();
    assert!(
        loops <= 12,
        "{loops} requests, five redirects are allowed a try"
    );
}

#[test]
fn redirect_to_a_link_local_address_reaches_nobody() {
    let namespace = Arc::new(Netns::new());
    namespace.ip(&["address", "add", "169.254.169.254/32", "dev", "lo"]);
    let trap = namespace.run(|| {
        let listener = std::net::TcpListener::bind("169.254.169.254:80").unwrap();
        Double::on(listener, None, |_, peer| {
            crate::upstream::play(&Answer::live(source()), peer)
        })
    });
    let upstream = namespace
        .run(|| Upstream::start(|_| Answer::redirect("http://169.254.169.254/latest/meta-data/")));
    let server = Launch::new(&Config::new().channel(7, &[upstream.url("/a.ts")]))
        .inside(&namespace)
        .start();
    let viewer = Viewer::on(
        server.connect(server.address()),
        &format!("GET {} HTTP/1.1\r\nHost: a\r\n\r\n", path(7)),
        crate::viewer::Reading::Full,
    );
    assert_eq!(viewer.wait_status(), 502);
    assert_eq!(trap.connections(), 0);
}

#[test]
fn name_that_does_not_resolve_is_refused_and_holds_up_nobody() {
    let upstream = Upstream::live(source());
    let server = Server::start(
        &Config::new()
            .channel(1, &["http://no-such-host.invalid/a.ts".to_owned()])
            .channel(2, &[upstream.url("/a.ts")]),
    );
    let viewer = server.viewer(2);
    viewer.wait("media", |state| state.seen().packets > 100);
    let reply = server.get(&path(1));
    // A resolver that is out of reach says nothing within the start's time.
    assert!(matches!(reply.status(), 502 | 504), "{}", reply.text());
    assert!(reply.took < Duration::from_secs(5), "{:?}", reply.took);
    viewer.wait_more(200);
    viewer.seen().assert_unbroken();
    viewer.assert_steady();
}
