//! Corners of engine sessions: starts and stops that take long, and what viewers do meanwhile.
//!
//! The usual life of a session is in `ace.rs` and `linger.rs`. The rule: at the end of each test nothing is open at the
//! engine, whatever happened before.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::thread::sleep;
use std::time::Duration;

use corecast_load::packets::Source;

use crate::config::Config;
use crate::engine::{Behaviour, Engine, infohash_of};
use crate::names::metric;
use crate::server::Server;
use crate::upstream::{Answer, Media, on_air};
use crate::viewer::{End, Viewer};
use crate::wire::{Asked, Double, Gone, Peer};
use crate::within;

const CONTENT: &str = "/ace/getstream?infohash=00112233445566778899aabbccddeeff00112233";

fn source() -> Source {
    Source::new(1, 2_000)
}

#[track_caller]
fn wait_media(viewer: &Viewer) {
    assert_eq!(viewer.wait_status(), 200);
    viewer.wait("media", |state| state.seen().packets > 100);
}

/// An engine behind a door that lets a stop through after `stop_takes`, if its asker still waits for the answer.
fn slow_to_stop(engine: &Engine, stop_takes: Duration) -> Double {
    let address: SocketAddr = engine.url()["http://".len()..].parse().unwrap();
    Double::start(move |asked, peer| {
        if is_stop(asked) {
            peer.pause(stop_takes)?;
        }
        pass_on(address, asked, peer)
    })
}

fn is_stop(asked: &Asked) -> bool {
    asked.query("method") == Some("stop")
}

fn pass_on(address: SocketAddr, asked: &Asked, peer: &mut Peer) -> Result<(), Gone> {
    let mut engine = TcpStream::connect(address).or(Err(Gone))?;
    let request = format!("GET {} HTTP/1.1\r\nHost: {address}\r\n\r\n", asked.target);
    engine.write_all(request.as_bytes()).or(Err(Gone))?;
    let mut buffer = [0; 16_384];
    while let Ok(read @ 1..) = engine.read(&mut buffer) {
        peer.send(&buffer[..read])?;
    }
    Ok(())
}

#[test]
fn playback_whose_head_comes_late_is_waited_for_as_long_as_a_start_may_take() {
    let engine = Engine::start(|_| {
        Behaviour::playing(Answer::live(source())).warm_up(Duration::from_millis(6_500))
    });
    let server = Server::start(
        &Config::new()
            .set("stream", "start_timeout_ms", 20_000)
            .engine(&engine.url()),
    );
    let viewer = server.viewer_of(CONTENT);
    wait_media(&viewer);
    assert_eq!((engine.starts().len(), engine.playbacks()), (1, 1));
    drop(viewer);
    engine.wait_idle(2_000);
}

#[test]
fn session_that_nobody_waits_for_any_more_is_stopped_once_it_is_open() {
    let engine = Engine::start(|_| {
        sleep(Duration::from_secs(4));
        Behaviour::playing(Answer::live(source()))
    });
    let server = Server::start(
        &Config::new()
            .set("stream", "linger_ms", 100)
            .set("stream", "start_timeout_ms", 20_000)
            .engine(&engine.url()),
    );
    let viewer = server.viewer_of(CONTENT);
    within(3_000, "the engine is asked", || engine.starts().len() == 1);
    drop(viewer);
    within(8_000, "the session is stopped", || engine.stops() == 1);
    engine.wait_idle(500);
    server.wait_metric_within(1_000, metric::ENGINE_SESSIONS, &[], 0);
    assert_eq!(engine.starts().len(), 1);
}

/// A viewer that came back while the last session was being stopped, and which packet was on air when it asked.
#[track_caller]
fn back_during_a_stop() -> (Viewer, u64, Server, Double, Engine) {
    let engine = Engine::live(source());
    let door = slow_to_stop(&engine, Duration::from_millis(1_500));
    let server = Server::start(
        &Config::new()
            .set("server", "shards", 1)
            .set("stream", "linger_ms", 200)
            .set("stream", "start_timeout_ms", 10_000)
            .engine(&format!("http://{}", door.address())),
    );
    let first = server.viewer_of(CONTENT);
    first.wait("a history", |state| state.seen().packets > 2_000);
    drop(first);
    within(3_000, "the stop is asked for", || {
        door.asked().iter().any(is_stop)
    });
    let asked_for = source().number_at(source().index_at(on_air()));
    let second = server.viewer_of(CONTENT);
    assert_eq!(second.wait_status(), 200);
    (second, asked_for, server, door, engine)
}

#[test]
fn viewer_that_comes_while_the_session_is_being_stopped_sees_no_silent_seam() {
    let (second, asked_for, _server, _door, engine) = back_during_a_stop();
    second.wait("media of a second session", |state| {
        let last = state.seen().last;
        last.is_some_and(|label| label.number > asked_for + 1_000)
    });
    let seen = second.seen();
    seen.assert_starts_at_join_point();
    seen.assert_spliced();
    drop(second);
    engine.wait_idle(4_000);
    assert_eq!((engine.starts().len(), engine.stops()), (2, 2));
}

#[test]
fn viewer_that_comes_while_the_session_is_being_stopped_is_sent_nothing_stale() {
    let (second, asked_for, _server, _door, engine) = back_during_a_stop();
    wait_media(&second);
    let seen = second.seen();
    assert!(
        seen.first.is_some_and(|label| label.number >= asked_for),
        "on air when it came: {asked_for}; {seen:?}"
    );
    drop(second);
    engine.wait_idle(4_000);
}

#[test]
fn second_name_of_a_content_does_not_take_it_while_the_first_waits_to_try_again() {
    let id = "0a1b2c3d4e5f60718293a4b5c6d7e8f901234567";
    // The first fetch ends after 1.5 s and its next start takes 1.5 s; in between the other name's start is answered.
    let engine = Engine::start(|start| {
        let (time_ms, bytes) = match (start.parameter, start.nth) {
            ("infohash", 0) => (0, 375_000),
            ("infohash", _) => (1_500, u64::MAX),
            _ => (2_000, u64::MAX),
        };
        sleep(Duration::from_millis(time_ms));
        Behaviour::playing(Answer::media(Media::live(source()).bytes(bytes)))
    });
    let server = Server::start(
        &Config::new()
            .set("stream", "start_timeout_ms", 10_000)
            .engine(&engine.url()),
    );
    let first = server.viewer_of(&format!("/ace/getstream?infohash={}", infohash_of(id)));
    wait_media(&first);
    let second = server.viewer_of(&format!("/ace/getstream?content_id={id}"));
    first.wait("media of a second session", |state| {
        !state.seen().gaps.is_empty() && state.ended().is_none()
    });
    first.wait_more(500);
    first.seen().assert_spliced();
    wait_media(&second);
    second.wait_more(100);
    second.seen().assert_spliced();
    drop((first, second));
    engine.wait_idle(3_000);
}

#[test]
fn drain_waits_for_a_session_whose_viewers_are_on_another_shard() {
    // One of the two servers has its viewer beside the session, the other has it across.
    let stages = [0, 1].map(|shard| {
        let engine = Engine::live(source());
        let door = slow_to_stop(&engine, Duration::from_millis(1_500));
        let config = Config::new().set("server", "drain_ms", 3_500);
        let server = Server::start(&config.engine(&format!("http://{}", door.address())));
        let viewer = viewer_on(&server, shard);
        (viewer, server, door, engine)
    });
    stages.iter().for_each(|(_, server, ..)| server.terminate());
    let drained = stages.map(|(viewer, server, door, engine)| {
        // It hangs up at once, so it is not for its sake that the server is still there.
        assert_eq!(viewer.wait_end(), End::Closed);
        drop(viewer);
        (server, door, engine)
    });
    for (server, _door, engine) in &drained {
        assert_eq!(server.wait_exit(Duration::from_secs(5)).code(), Some(0));
        assert_eq!((engine.open_sessions(), engine.stops()), (0, 1));
    }
}

/// A viewer that this shard has, and no other viewer.
#[track_caller]
fn viewer_on(server: &Server, shard: usize) -> Viewer {
    let mut elsewhere = Vec::new();
    let shard = shard.to_string();
    for count in 1..=60 {
        let viewer = server.viewer_of(CONTENT);
        wait_media(&viewer);
        server.wait_metric(metric::VIEWERS, &[], count);
        if server.metric(metric::VIEWERS, &[("shard", &shard)]) > 0 {
            drop(elsewhere);
            server.wait_metric(metric::VIEWERS, &[], 1);
            return viewer;
        }
        elsewhere.push(viewer);
    }
    panic!("of 60 viewers none is on shard {shard}");
}
