//! Content that takes the engine long: it is waited for while it gets on, and no longer.

use std::time::Duration;

use corecast_load::packets::Source;

use crate::config::Config;
use crate::engine::{Behaviour, Engine};
use crate::names::{metric, rejects};
use crate::server::Server;
use crate::upstream::{Answer, Media, Step, Upstream};

const TARGET: &str = "/ace/getstream?infohash=00112233445566778899aabbccddeeff00112233";

fn source() -> Source {
    Source::new(1, 2_000)
}

fn server(engine: &Engine, start_timeout_ms: u64) -> Server {
    Server::start(
        &Config::new()
            .set("stream", "start_timeout_ms", start_timeout_ms)
            .engine(&engine.url()),
    )
}

#[test]
fn start_that_gets_on_may_take_longer_than_its_time() {
    let engine = Engine::start(|_| {
        Behaviour::playing(Answer::live(source())).warm_up(Duration::from_millis(4_500))
    });
    let server = server(&engine, 2_500);
    let viewer = server.viewer_of(TARGET);
    assert_eq!(viewer.wait_status(), 200);
    viewer.wait("media", |state| state.seen().packets > 100);
    viewer.seen().assert_unbroken();
    assert!(viewer.first_byte().unwrap() > Duration::from_millis(4_400));
    assert_eq!((engine.starts().len(), engine.playbacks()), (1, 1));
    drop(viewer);
    engine.wait_idle(2_000);
}

#[test]
fn silence_after_an_early_head_is_no_stall_while_the_start_gets_on() {
    let warm_up = Duration::from_millis(4_500);
    let engine = Engine::start(move |_| {
        let head = Answer::head("200 OK", "Content-Type: video/mp2t\r\n");
        let playback = head
            .then(Step::Wait(warm_up))
            .then(Step::Media(Media::live(source())));
        Behaviour::playing(playback).warm_up(warm_up).early_head()
    });
    // The engine is asked each second, and its first answer is only what the second is measured by.
    let config = Config::new().set("stream", "idle_timeout_ms", 3_000);
    let server = Server::start(&config.engine(&engine.url()));
    let viewer = server.viewer_of(TARGET);
    assert_eq!(viewer.wait_status(), 200);
    viewer.wait("media", |state| state.seen().packets > 100);
    assert_eq!((engine.starts().len(), engine.playbacks()), (1, 1));
    assert_eq!(server.metric(metric::STALLS, &[]), 0);
    drop(viewer);
    engine.wait_idle(2_000);
}

#[test]
fn start_that_does_not_get_on_ends_in_its_time() {
    let engine = Engine::start(|_| {
        Behaviour::playing(Answer::live(source()))
            .warm_up(Duration::from_secs(60))
            .stuck()
    });
    let server = server(&engine, 2_500);
    let reply = server.get(TARGET);
    assert_eq!(reply.status(), 504, "{}", reply.text());
    assert!(
        (Duration::from_millis(2_400)..Duration::from_millis(4_500)).contains(&reply.took),
        "{:?}",
        reply.took
    );
    engine.wait_idle(2_000);
}

#[test]
fn start_that_gets_on_for_ever_ends_after_three_times_its_time() {
    let engine = Engine::start(|_| {
        Behaviour::playing(Answer::live(source())).warm_up(Duration::from_secs(60))
    });
    let server = server(&engine, 2_500);
    let reply = server.get(TARGET);
    assert_eq!(reply.status(), 504, "{}", reply.text());
    assert!(
        (Duration::from_millis(7_400)..Duration::from_millis(9_500)).contains(&reply.took),
        "{:?}",
        reply.took
    );
    assert_eq!(
        server.metric(metric::REJECTS, &[("reason", rejects::NO_MEDIA)]),
        1
    );
    engine.wait_idle(2_000);
    assert_eq!((engine.starts().len(), engine.stops()), (1, 1));
}

#[test]
fn http_upstream_gets_no_more_than_its_time() {
    let upstream = Upstream::start(|_| Answer::silence());
    let server = Server::start(
        &Config::new()
            .set("stream", "start_timeout_ms", 1_500)
            .channel(7, &[upstream.url("/a.ts")]),
    );
    let reply = server.get("/live/any/any/7.ts");
    assert_eq!(reply.status(), 504, "{}", reply.text());
    assert!(
        reply.took < Duration::from_millis(3_000),
        "{:?}",
        reply.took
    );
}
