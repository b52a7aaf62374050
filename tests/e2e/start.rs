//! How a channel starts: once for everybody, at a join point, and without holding up another channel.

use std::sync::{Arc, Barrier};
use std::time::{Duration, Instant};

use corecast_load::packets::Source;

use crate::config::Config;
use crate::engine::{Behaviour, Engine};
use crate::launch::Launch;
use crate::names::{metric, rejects};
use crate::server::{Server, path};
use crate::tls::Authority;
use crate::upstream::{Answer, Framing, Media, Upstream, on_air};
use crate::viewer::Viewer;
use crate::{scaled, within};

const CONTENT: &str = "00112233445566778899aabbccddeeff00112233";
const OTHER_CONTENT: &str = "ffeeddccbbaa99887766554433221100ffeeddcc";

fn source() -> Source {
    Source::new(1, 2_000)
}

#[test]
fn first_viewer_gets_pat_pmt_and_a_key_frame_first() {
    // Nothing says where in a group the upstream's first packet lies.
    let upstream = Upstream::live(source());
    let server = Server::start(
        &Config::new()
            .set("stream", "linger_ms", 0)
            .channel(7, &[upstream.url("/a.ts")]),
    );
    for turn in 1..=5 {
        let viewer = server.viewer(7);
        viewer.wait("media", |state| state.seen().packets > 50);
        viewer.seen().assert_starts_at_join_point();
        viewer.seen().assert_unbroken();
        drop(viewer);
        within(3_000, "the channel closes", || {
            upstream.double().open() == 0
        });
        assert_eq!(upstream.double().connections(), turn);
    }
}

#[test]
fn late_viewer_starts_at_a_join_point_a_burst_behind_live() {
    let upstream = Upstream::live(source());
    let server = Server::start(&Config::new().channel(7, &[upstream.url("/a.ts")]));
    let first = server.viewer(7);
    first.wait_within(Duration::from_secs(15), "five seconds of media", |state| {
        state.seen().bytes > 1_250_000
    });
    let live = source().number_at(source().index_at(on_air()));
    let late = server.viewer(7);
    late.wait("media", |state| state.seen().packets > 400);
    late.seen().assert_starts_at_join_point();
    late.seen().assert_unbroken();
    let behind = source().media_between(late.seen().first.unwrap().number, live);
    assert!(
        behind > Duration::from_millis(1_900),
        "{behind:?} behind live, 2 s of burst are configured"
    );
    assert!(
        behind < Duration::from_millis(3_500),
        "{behind:?} behind live, 2 s of burst are configured"
    );
    assert!(
        late.first_byte().unwrap() < Duration::from_millis(300),
        "{:?}",
        late.first_byte()
    );
    let live_again = || source().number_at(source().index_at(on_air()));
    late.wait("live", |state| {
        state.seen().last.is_some_and(|last| {
            source().media_between(last.number, live_again()) < Duration::from_millis(300)
        })
    });
}

#[test]
fn two_hundred_first_viewers_at_once_start_the_content_once() {
    let engine = Engine::live(Source::new(1, 500));
    let server = Server::start(&Config::new().engine(&engine.url()));
    let count = usize::try_from(scaled(200, 1_000)).unwrap();
    let (address, gate) = (server.address(), Arc::new(Barrier::new(count)));
    let threads: Vec<_> = (0..count)
        .map(|_| {
            let gate = Arc::clone(&gate);
            std::thread::spawn(move || {
                gate.wait();
                Viewer::of(address, &format!("/ace/getstream?id={CONTENT}"))
            })
        })
        .collect();
    let viewers: Vec<Viewer> = threads
        .into_iter()
        .map(|thread| thread.join().unwrap())
        .collect();
    for viewer in &viewers {
        assert_eq!(viewer.wait_status(), 200);
        viewer.wait("media", |state| state.seen().packets > 100);
        viewer.seen().assert_unbroken();
        viewer.seen().assert_starts_at_join_point();
    }
    assert_eq!(
        (
            engine.starts().len(),
            engine.playbacks(),
            engine.open_sessions()
        ),
        (1, 1, 1)
    );
    drop(viewers);
    engine.wait_idle(2_500);
    assert_eq!(engine.stops(), 1);
}

#[test]
fn failed_start_is_remembered_for_ten_seconds_and_then_tried_anew() {
    let began = Instant::now();
    let engine = Engine::start(move |start| match start.nth {
        _ if began.elapsed() < Duration::from_secs(6) => Behaviour::error("failed to load content"),
        _ => Behaviour::playing(Answer::live(source())),
    });
    let server = Server::start(&Config::new().engine(&engine.url()));
    let target = format!("/ace/getstream?id={CONTENT}");
    let refused = server.get(&target);
    assert_eq!(refused.status(), 502, "{}", refused.text());
    let failed = Instant::now();
    let starts = engine.starts().len();
    for _ in 0..20 {
        let again = server.get(&target);
        assert_eq!(again.status(), 502);
        assert!(again.took < Duration::from_millis(500), "{:?}", again.took);
    }
    assert_eq!(
        engine.starts().len(),
        starts,
        "a failed start is not tried again at once"
    );
    assert_eq!(
        server.metric(metric::REJECTS, &[("reason", rejects::UPSTREAM_REFUSED)]),
        21
    );
    within(14_000, "the content starts", || {
        server.viewer_of(&target).wait_status() == 200
    });
    assert!(
        failed.elapsed() > Duration::from_secs(8),
        "tried anew after {:?}",
        failed.elapsed()
    );
}

#[test]
fn engine_that_hangs_holds_up_nobody_else() {
    let engine =
        Engine::start(
            |start| match start.infohash == crate::engine::infohash_of(CONTENT) {
                true => Behaviour::answering(Answer::silence()),
                false => Behaviour::playing(Answer::live(source())),
            },
        );
    let upstream = Upstream::live(source());
    let server = Server::start(
        &Config::new()
            .engine(&engine.url())
            .channel(7, &[upstream.url("/a.ts")]),
    );
    let hung = server.viewer_of(&format!("/ace/getstream?id={CONTENT}"));
    within(5_000, "the engine is asked", || engine.starts().len() == 1);
    let others = [
        server.viewer(7),
        server.viewer_of(&format!("/ace/getstream?id={OTHER_CONTENT}")),
    ];
    for other in &others {
        assert_eq!(other.wait_status(), 200);
        assert!(
            other.first_byte().unwrap() < Duration::from_millis(1_500),
            "{:?}",
            other.first_byte()
        );
    }
    assert!(server.ask_admin("/healthz").took < Duration::from_millis(300));
    assert_eq!(
        hung.wait_status(),
        504,
        "a start that hangs ends after start_timeout_ms"
    );
    assert_eq!(
        server.metric(metric::REJECTS, &[("reason", rejects::NO_MEDIA)]),
        1
    );
}

#[test]
fn head_of_the_answer_comes_only_with_the_first_media() {
    let upstream = Upstream::start(|_| {
        Answer::head("200 OK", "Content-Type: video/mp2t\r\n")
            .then(crate::upstream::Step::Wait(Duration::from_millis(1_200)))
            .then(crate::upstream::Step::Media(Media::live(source())))
    });
    let server = Server::start(&Config::new().channel(7, &[upstream.url("/a.ts")]));
    let viewer = server.viewer(7);
    assert_eq!(viewer.wait_status(), 200);
    viewer.wait("media", |state| state.seen().packets > 3);
    let waited = viewer.first_byte().unwrap();
    assert!(waited > Duration::from_millis(1_100), "{waited:?}");
    let gap = viewer.longest_silence();
    assert!(
        gap < Duration::from_millis(500),
        "{gap:?} between head and media"
    );
}

#[test]
fn every_framing_of_an_upstream_gives_the_same_media() {
    let framings = [
        Framing::Close,
        Framing::Chunked,
        Framing::ChunkedWithExtensions,
        Framing::Length(1 << 40),
    ];
    let upstream = Upstream::start(move |asked| {
        let turn: usize = asked.path().trim_start_matches('/').parse().unwrap();
        Answer::media(Media::live(source()).framing(framings[turn]))
    });
    let old = Upstream::start(|_| {
        Answer::raw("HTTP/1.0 200 OK\r\nContent-Type: application/octet-stream\r\n\r\n")
            .then(crate::upstream::Step::Media(Media::live(source())))
    });
    let config = (0..4).fold(Config::new(), |config, turn| {
        config.channel(turn + 1, &[upstream.url(&format!("/{turn}"))])
    });
    let server = Server::start(&config.channel(5, &[old.url("/a.ts")]));
    let viewers: Vec<Viewer> = (1..=5).map(|id| server.viewer(id)).collect();
    for viewer in &viewers {
        viewer.wait("two seconds of media", |state| state.seen().bytes > 500_000);
        viewer.seen().assert_unbroken();
    }
}

#[test]
fn redirects_are_followed_up_to_the_fifth() {
    let upstream = Upstream::start(|asked| match asked.path() {
        "/5" => Answer::live(source()),
        hop => Answer::redirect(&format!("/{}", hop[1..].parse::<u32>().unwrap() + 1)),
    });
    let server = Server::start(&Config::new().channel(7, &[upstream.url("/0")]));
    let viewer = server.viewer(7);
    assert_eq!(viewer.wait_status(), 200);
    viewer.wait("media", |state| state.seen().packets > 100);
    viewer.seen().assert_unbroken();
    assert_eq!(upstream.double().asked().len(), 6);
}

#[test]
fn secure_upstream_is_trusted_by_its_authority_alone() {
    let authority = Authority::new();
    let upstream = Upstream::live_tls(source(), authority.server_config());
    let config = Config::new().channel(7, &[upstream.url("/a.ts")]);
    let server = Launch::new(&config)
        .environment("SSL_CERT_FILE", authority.certificate())
        .start();
    let viewer = server.viewer(7);
    assert_eq!(viewer.wait_status(), 200);
    viewer.wait("two seconds of media", |state| state.seen().bytes > 500_000);
    viewer.seen().assert_unbroken();
    let stranger = Server::start(&config);
    assert_eq!(stranger.get(&path(7)).status(), 502);
}

#[test]
fn upstream_is_asked_with_its_own_headers_only() {
    let upstream = Upstream::live(source());
    let lines = format!(
        "url = {:?}\nuser_agent = \"Agent/9\"\nheaders = {{ X-Token = \"t1\" }}",
        upstream.url("/a.ts?key=k1")
    );
    let server = Server::start(&Config::new().channel_of(7, &[lines]));
    let request = format!(
        "GET {} HTTP/1.1\r\nHost: {}\r\nUser-Agent: Viewer/1\r\nX-Forwarded-For: 192.0.2.1\r\nRange: bytes=0-\r\nCookie: a=b\r\n\r\n",
        path(7),
        server.address()
    );
    let viewer = Viewer::on(
        server.connect(server.address()),
        &request,
        crate::viewer::Reading::Full,
    );
    assert_eq!(viewer.wait_status(), 200);
    let asked = &upstream.double().asked()[0];
    assert_eq!(
        (asked.method.as_str(), asked.target.as_str()),
        ("GET", "/a.ts?key=k1")
    );
    assert_eq!(
        (asked.header("user-agent"), asked.header("x-token")),
        (Some("Agent/9"), Some("t1"))
    );
    let host = upstream.double().address().to_string();
    assert_eq!(asked.header("host"), Some(host.as_str()));
    for of_viewer in ["range", "cookie", "x-forwarded-for"] {
        assert_eq!(asked.header(of_viewer), None);
    }
}
