//! The end of a channel: its session is stopped soon after the last viewer, once, and zapping back costs nothing.

use std::time::Duration;

use corecast_load::packets::Source;

use crate::config::Config;
use crate::engine::{Behaviour, Engine};
use crate::names::metric;
use crate::server::Server;
use crate::upstream::{Answer, Media, Step, Upstream};
use crate::viewer::{Reading, Viewer};
use crate::{scaled, within};

fn source() -> Source {
    Source::new(1, 2_000)
}

/// Where AceStream content is asked for.
fn target(number: u64) -> String {
    format!("/ace/getstream?infohash={number:040x}")
}

fn lingering(engine: &Engine, linger_ms: u64) -> Server {
    Server::start(
        &Config::new()
            .set("stream", "linger_ms", linger_ms)
            .engine(&engine.url()),
    )
}

#[test]
fn session_is_stopped_within_linger_and_a_second_of_the_last_leave() {
    let engine = Engine::live(source());
    let server = lingering(&engine, 700);
    let viewers = [server.viewer_of(&target(1)), server.viewer_of(&target(1))];
    viewers
        .iter()
        .for_each(|viewer| viewer.wait("media", |state| state.seen().packets > 50));
    assert_eq!(server.metric(metric::ENGINE_SESSIONS, &[]), 1);
    drop(viewers);
    engine.wait_idle(1_700);
    assert_eq!((engine.starts().len(), engine.stops()), (1, 1));
    server.wait_metric(metric::ENGINE_SESSIONS, &[], 0);
}

#[test]
fn session_is_stopped_when_the_last_viewer_was_dropped_for_stalling() {
    let engine = Engine::live(Source::new(1, 8_000));
    let server = lingering(&engine, 500);
    let stalled = server.viewer_of_reading(&target(1), Reading::Stopped);
    stalled.wait("its end", |state| state.ended().is_some());
    engine.wait_idle(1_500);
    assert_eq!(engine.stops(), 1);
}

#[test]
fn viewer_that_leaves_a_silent_channel_is_noticed() {
    let engine = Engine::start(|_| {
        Behaviour::playing(Answer::media(Media::live(source()).bytes(400_000)).then(Step::Hang))
    });
    let server = Server::start(
        &Config::new()
            .set("stream", "idle_timeout_ms", 60_000)
            .engine(&engine.url()),
    );
    let viewer = server.viewer_of(&target(1));
    viewer.wait("all there is", |state| state.seen().packets > 300);
    drop(viewer);
    server.wait_metric_within(1_000, metric::VIEWERS, &[], 0);
    engine.wait_idle(1_500);
}

#[test]
fn zapping_back_within_the_linger_time_reuses_the_session() {
    let engine = Engine::live(source());
    let server = lingering(&engine, 2_000);
    for _ in 0..5 {
        let viewer = server.viewer_of(&target(1));
        viewer.wait("media", |state| state.seen().packets > 50);
        viewer.seen().assert_unbroken();
    }
    assert_eq!(
        (
            engine.starts().len(),
            engine.stops(),
            engine.open_sessions()
        ),
        (1, 0, 1)
    );
    engine.wait_idle(3_000);
    assert_eq!((engine.starts().len(), engine.stops()), (1, 1));
}

#[test]
fn viewers_that_leave_in_mid_start_cost_one_start_and_one_stop() {
    let engine = Engine::start(|_| {
        Behaviour::playing(Answer::live(source())).warm_up(Duration::from_millis(1_200))
    });
    let server = lingering(&engine, 1_500);
    let leaving: Vec<Viewer> = (0..5).map(|_| server.viewer_of(&target(1))).collect();
    within(3_000, "the engine is asked", || engine.starts().len() == 1);
    drop(leaving);
    let staying = server.viewer_of(&target(1));
    assert_eq!(staying.wait_status(), 200);
    staying.wait("media", |state| state.seen().packets > 50);
    staying.seen().assert_starts_at_join_point();
    assert_eq!((engine.starts().len(), engine.stops()), (1, 0));
    drop(staying);
    engine.wait_idle(2_500);
    assert_eq!((engine.starts().len(), engine.stops()), (1, 1));
}

#[test]
fn start_that_everybody_has_left_is_stopped() {
    let engine = Engine::start(|_| Behaviour::playing(Answer::silence()));
    let server = lingering(&engine, 200);
    let viewer = server.viewer_of(&target(1));
    within(3_000, "the session is opened", || {
        engine.open_sessions() == 1
    });
    drop(viewer);
    engine.wait_idle(1_500);
    assert_eq!(engine.stops(), 1);
}

#[test]
fn joins_and_leaves_at_random_leave_no_orphan() {
    let engine = Engine::live(Source::new(1, 500));
    let server = lingering(&engine, 50);
    let turns = scaled(120, 1_000) / 4;
    std::thread::scope(|scope| {
        for seed in 0..4 {
            let server = &server;
            scope.spawn(move || {
                let mut random = fastrand::Rng::with_seed(seed);
                for _ in 0..turns {
                    let viewer = server.viewer_of(&target(random.u64(1..=3)));
                    let packets = random.u64(0..60);
                    if packets > 5 {
                        viewer.wait("media", |state| {
                            state.seen().packets >= packets
                                || state.status().is_some_and(|status| status != 200)
                        });
                        assert_eq!(viewer.wait_status(), 200);
                        viewer.seen().assert_unbroken();
                    }
                    if random.bool() {
                        viewer.leave_by_reset();
                    }
                }
            });
        }
    });
    server.wait_metric(metric::VIEWERS, &[], 0);
    engine.wait_idle(3_000);
    assert_eq!(engine.starts().len(), engine.stops());
    let last = server.viewer_of(&target(1));
    assert_eq!(
        last.wait_status(),
        200,
        "after all that the channel still opens"
    );
}

#[test]
fn upstream_connection_ends_with_its_channel() {
    let upstream = Upstream::live(source());
    let server = Server::start(
        &Config::new()
            .set("stream", "linger_ms", 300)
            .channel(7, &[upstream.url("/a.ts")]),
    );
    let viewer = server.viewer(7);
    viewer.wait("media", |state| state.seen().packets > 50);
    drop(viewer);
    within(1_500, "the upstream connection closes", || {
        upstream.double().open() == 0
    });
    server.wait_metric("ring_bytes", &[], 0);
}
