//! SIGTERM: new requests are refused, viewers run on and end at a packet boundary, sessions are stopped, exit 0.

use std::time::{Duration, Instant};

use corecast_load::packets::Source;

use crate::config::Config;
use crate::engine::Engine;
use crate::names::{metric, rejects};
use crate::server::{Server, path};
use crate::upstream::Upstream;
use crate::viewer::{End, Viewer};
use crate::within;

const CONTENT: &str = "/ace/getstream?infohash=00112233445566778899aabbccddeeff00112233";

/// A server with viewers of an HTTP channel and of AceStream content.
fn under_load(drain_ms: u64) -> (Server, Vec<Viewer>, Upstream, Engine) {
    let (upstream, engine) = (
        Upstream::live(Source::new(1, 2_000)),
        Engine::live(Source::new(2, 2_000)),
    );
    let server = Server::start(
        &Config::new()
            .set("server", "drain_ms", drain_ms)
            .engine(&engine.url())
            .channel(7, &[upstream.url("/a.ts")]),
    );
    let viewers: Vec<Viewer> = (0..20)
        .map(|turn| {
            if turn % 2 == 0 {
                server.viewer(7)
            } else {
                server.viewer_of(CONTENT)
            }
        })
        .collect();
    viewers
        .iter()
        .for_each(|viewer| viewer.wait("media", |state| state.seen().packets > 100));
    (server, viewers, upstream, engine)
}

#[test]
fn viewers_run_on_until_the_deadline_and_end_at_a_packet_boundary() {
    let (server, viewers, upstream, engine) = under_load(2_000);
    let began = Instant::now();
    server.terminate();
    within(1_000, "readyz says 503", || {
        server.ask_admin("/readyz").status() == 503
    });
    assert_eq!(server.ask_admin("/healthz").status(), 200);
    let refused = server.get(&path(7));
    refused.assert_told_to_come_back();
    assert_eq!(
        server.metric(metric::REJECTS, &[("reason", rejects::DRAINING)]),
        1
    );
    viewers.iter().for_each(|viewer| viewer.wait_more(100));
    for viewer in &viewers {
        assert_eq!(
            viewer.wait_end(),
            End::Closed,
            "an orderly end, not a reset"
        );
        assert_eq!(viewer.seen().tail_bytes, 0);
        viewer.seen().assert_unbroken();
        viewer.assert_steady();
    }
    assert!(
        began.elapsed() > Duration::from_millis(1_800),
        "ended after {:?}, before the deadline",
        began.elapsed()
    );
    let status = server.wait_exit(Duration::from_secs(5));
    assert_eq!(status.code(), Some(0));
    assert!(
        began.elapsed() < Duration::from_secs(6),
        "{:?}",
        began.elapsed()
    );
    engine.wait_idle(200);
    assert_eq!((engine.starts().len(), engine.stops()), (1, 1));
    within(1_000, "the upstream connection is closed", || {
        upstream.double().open() == 0
    });
}

#[test]
fn process_ends_as_soon_as_the_last_viewer_has_left() {
    let (server, viewers, _upstream, engine) = under_load(60_000);
    server.terminate();
    within(1_000, "readyz says 503", || {
        server.ask_admin("/readyz").status() == 503
    });
    assert!(server.is_running());
    drop(viewers);
    assert_eq!(server.wait_exit(Duration::from_secs(4)).code(), Some(0));
    engine.wait_idle(200);
}

#[test]
fn process_without_viewers_ends_at_once_and_stops_what_lingers() {
    let engine = Engine::live(Source::new(2, 2_000));
    let config = Config::new()
        .set("server", "drain_ms", 60_000)
        .set("stream", "linger_ms", 60_000);
    let server = Server::start(&config.engine(&engine.url()));
    let viewer = server.viewer_of(CONTENT);
    viewer.wait("media", |state| state.seen().packets > 50);
    drop(viewer);
    server.wait_metric(metric::VIEWERS, &[], 0);
    assert_eq!(engine.open_sessions(), 1);
    server.terminate();
    assert_eq!(server.wait_exit(Duration::from_secs(3)).code(), Some(0));
    engine.wait_idle(200);
    assert_eq!(engine.stops(), 1);
}

#[test]
fn start_in_progress_is_stopped_too() {
    let engine =
        Engine::start(|_| crate::engine::Behaviour::playing(crate::upstream::Answer::silence()));
    let server = Server::start(
        &Config::new()
            .set("server", "drain_ms", 0)
            .engine(&engine.url()),
    );
    let viewer = server.viewer_of(CONTENT);
    within(3_000, "the session is opened", || {
        engine.open_sessions() == 1
    });
    server.terminate();
    assert_eq!(
        viewer.wait_status(),
        503,
        "a viewer that still waits is told"
    );
    assert_eq!(server.wait_exit(Duration::from_secs(5)).code(), Some(0));
    engine.wait_idle(200);
}

#[test]
fn second_request_ends_the_process_at_once() {
    let (server, viewers, _upstream, _engine) = under_load(60_000);
    server.terminate();
    within(1_000, "readyz says 503", || {
        server.ask_admin("/readyz").status() == 503
    });
    server.terminate();
    assert_eq!(server.wait_exit(Duration::from_secs(1)).code(), Some(0));
    viewers
        .iter()
        .for_each(|viewer| assert!(viewer.wait_end() != End::Left));
}

#[test]
fn port_is_free_again_at_once() {
    let (server, viewers, ..) = under_load(0);
    let address = server.address();
    server.terminate();
    server.wait_exit(Duration::from_secs(5));
    drop(viewers);
    let next = Server::start(
        &Config::new()
            .set("server", "listen", format!("[\"{address}\"]"))
            .demo(7),
    );
    assert_eq!(next.viewer(7).wait_status(), 200);
}
