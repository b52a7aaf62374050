//! Providers that count connections: never one too many, whatever viewers do, and a line of one can be zapped on.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use corecast_load::packets::Source;

use crate::config::Config;
use crate::engine::{Behaviour, Engine};
use crate::names::{metric, rejects};
use crate::server::{Server, path};
use crate::upstream::{Answer, Media, Upstream};
use crate::viewer::Viewer;
use crate::{scaled, within};

/// A provider of several channels that answers 403 for good once it has seen a connection too many.
struct Line {
    origin: Upstream,
    is_banned: Arc<AtomicBool>,
}

impl Line {
    fn of(connections_max: usize, answer: fn() -> Answer) -> Self {
        let is_banned = Arc::new(AtomicBool::new(false));
        let banned = Arc::clone(&is_banned);
        let origin = Upstream::start(move |asked| {
            banned.fetch_or(asked.beside > connections_max, Ordering::SeqCst);
            match banned.load(Ordering::SeqCst) {
                true => Answer::text("403 Forbidden", "text/plain", "banned"),
                false => answer(),
            }
        });
        Self { origin, is_banned }
    }

    fn live(connections_max: usize) -> Self {
        Self::of(connections_max, || Answer::live(source()))
    }

    fn url(&self, channel: u32) -> String {
        self.origin.url(&format!("/live/anna/secret/{channel}.ts"))
    }

    /// Channels 1 to 6 of the line, and its limit.
    fn config(&self, more: &str) -> Config {
        let address = self.origin.double().address();
        let config = Config::new()
            .set("stream", "linger_ms", 20_000)
            .provider(&format!("name = \"line\"\nhost = \"{address}\"\n{more}"));
        (1..=6).fold(config, |config, channel| {
            config.channel(channel, &[self.url(channel)])
        })
    }

    #[track_caller]
    fn assert_kept(&self) {
        assert!(
            !self.is_banned.load(Ordering::SeqCst),
            "a connection too many"
        );
    }
}

fn source() -> Source {
    Source::new(1, 2_000)
}

#[track_caller]
fn wait_media(viewer: &Viewer) {
    viewer.wait("media", |state| state.seen().packets > 50);
}

/// Samples of the line's gauge.
fn connections(server: &Server) -> u64 {
    server.metric(metric::PROVIDER_CONNECTIONS, &[("provider", "line")])
}

#[test]
fn line_of_one_connection_is_zapped_on_at_once() {
    let line = Line::live(1);
    let server = Server::start(&line.config("connections_max = 1"));
    assert_eq!(server.metric(metric::PROVIDER_CONNECTIONS_MAX, &[]), 1);
    let mut old: Option<Viewer> = None;
    for turn in 0..12 {
        // Half of all players close the old channel first.
        if turn % 2 == 0 {
            drop(old.take());
        }
        let asked = Instant::now();
        let new = server.viewer(turn % 6 + 1);
        drop(old.take());
        wait_media(&new);
        new.seen().assert_unbroken();
        assert!(
            asked.elapsed() < Duration::from_secs(2),
            "{:?}",
            asked.elapsed()
        );
        old = Some(new);
        assert_eq!(connections(&server), 1);
    }
    line.assert_kept();
    assert_eq!(line.origin.double().connections(), 12);
    assert_eq!(server.metric(metric::REJECTS, &[]), 0);
}

#[test]
fn channel_beyond_the_limit_is_refused_until_another_is_left() {
    let line = Line::live(2);
    let server = Server::start(&line.config("connections_max = 2"));
    let first: Vec<Viewer> = (0..2).map(|_| server.viewer(1)).collect();
    let second = server.viewer(2);
    first.iter().chain([&second]).for_each(wait_media);
    server.get(&path(3)).assert_told_to_come_back();
    assert_eq!(
        server.metric(metric::REJECTS, &[("reason", rejects::BUSY)]),
        1
    );
    let refused = [("channel", "3"), ("result", "at_limit")];
    assert_eq!(server.metric(metric::CONNECTS, &refused), 1);
    assert_eq!(connections(&server), 2);
    // One more viewer of a channel that is open costs nothing, and one viewer who stays keeps it.
    wait_media(&server.viewer(2));
    let mut first = first;
    first.pop();
    server.get(&path(3)).assert_told_to_come_back();
    drop(first);
    let third = server.viewer(3);
    wait_media(&third);
    assert_eq!(
        (connections(&server), line.origin.double().connections()),
        (2, 3)
    );
    second.seen().assert_unbroken();
    line.assert_kept();
    drop((second, third));
}

/// A line of one that channel 1 holds, and a viewer of channel 7, which has another upstream beside it.
fn beside_the_line(line: &Line, linger_ms: u64) -> (Server, Upstream, Viewer, Viewer) {
    let other = Upstream::live(Source::new(2, 2_000));
    let config = line
        .config("connections_max = 1")
        .set("stream", "linger_ms", linger_ms)
        .set("stream", "return_ms", 1_000)
        .channel(7, &[line.url(7), other.url("/b.ts")]);
    let server = Server::start(&config);
    let holder = server.viewer(1);
    wait_media(&holder);
    let viewer = server.viewer(7);
    wait_origin(&viewer, 2);
    (server, other, holder, viewer)
}

#[track_caller]
fn wait_origin(viewer: &Viewer, origin: u8) {
    viewer.wait_within(Duration::from_secs(20), "its media", |state| {
        state.seen().last.is_some_and(|last| last.origin == origin)
    });
}

#[test]
fn at_the_limit_the_next_upstream_is_taken_and_the_line_is_not_looked_at() {
    let line = Line::live(1);
    let (server, _other, holder, viewer) = beside_the_line(&line, 20_000);
    // Three looks are due meanwhile.
    viewer.wait_more(4_300);
    assert_eq!(line.origin.double().connections(), 1);
    holder.seen().assert_unbroken();
    assert_eq!((viewer.seen().switches, connections(&server)), (0, 1));
    line.assert_kept();
}

#[test]
fn line_that_is_free_again_is_gone_back_to_over_the_connection_of_the_look() {
    let line = Line::live(1);
    let (server, other, holder, viewer) = beside_the_line(&line, 300);
    drop(holder);
    wait_origin(&viewer, 1);
    viewer.seen().assert_spliced();
    within(2_000, "the other upstream is left", || {
        other.double().open() == 0
    });
    assert_eq!(connections(&server), 1);
    line.assert_kept();
}

#[test]
fn line_that_is_cut_again_and_again_stays_with_its_viewers() {
    let line = Line::of(1, || Answer::media(Media::live(source()).bytes(200_001)));
    let server = Server::start(&line.config("connections_max = 1"));
    let viewer = server.viewer(1);
    wait_media(&viewer);
    let refused = server.viewer(2);
    assert_eq!(refused.wait_status(), 503);
    viewer.wait("three splices", |state| state.seen().gaps.len() >= 3);
    viewer.seen().assert_spliced();
    assert_eq!((viewer.ended(), connections(&server)), (None, 1));
    assert!(line.origin.double().connections() >= 4);
    assert!(
        line.origin
            .double()
            .asked()
            .iter()
            .all(|asked| asked.path().ends_with("/1.ts"))
    );
    line.assert_kept();
}

#[test]
fn closed_connection_counts_for_as_long_as_the_provider_says() {
    let line = Line::live(1);
    let server = Server::start(&line.config("connections_max = 1\nrelease_ms = 1200"));
    let first = server.viewer(1);
    wait_media(&first);
    drop(first);
    let left = Instant::now();
    let second = server.viewer(2);
    within(1_000, "the first connection is closed", || {
        line.origin.double().open() == 0
    });
    assert_eq!(
        (connections(&server), line.origin.double().connections()),
        (1, 1)
    );
    wait_media(&second);
    let asked = line.origin.double().asked();
    let waited = asked[1].at.duration_since(left);
    assert!(waited > Duration::from_millis(1_190), "{waited:?}");
    assert!(waited < Duration::from_millis(2_500), "{waited:?}");
    drop(second);
}

#[test]
fn two_users_at_one_host_are_two_lines() {
    let line = Line::live(2);
    let address = line.origin.double().address();
    let of = |user: &str| {
        format!("name = {user:?}\nhost = \"{address}\"\nuser = {user:?}\nconnections_max = 1")
    };
    let url = |user: &str, channel: u32| line.origin.url(&format!("/{user}/secret/{channel}"));
    let server = Server::start(
        &Config::new()
            .provider(&of("anna"))
            .provider(&of("ben"))
            .channel(1, &[url("anna", 1)])
            .channel(2, &[url("ben", 2)])
            .channel(3, &[url("ben", 3), url("anna", 3)]),
    );
    let viewers = [server.viewer(1), server.viewer(2)];
    viewers.iter().for_each(wait_media);
    server.get(&path(3)).assert_told_to_come_back();
    for user in ["anna", "ben"] {
        assert_eq!(
            server.metric(metric::PROVIDER_CONNECTIONS, &[("provider", user)]),
            1
        );
    }
    line.assert_kept();
}

#[test]
fn zapping_at_random_never_makes_a_connection_too_many() {
    let line = Line::live(2);
    let server = Server::start(&line.config("connections_max = 2"));
    let turns = scaled(30, 400);
    std::thread::scope(|scope| {
        for seed in 0..3 {
            let server = &server;
            scope.spawn(move || {
                let mut random = fastrand::Rng::with_seed(seed);
                for _ in 0..turns {
                    let viewer = server.viewer(random.u32(1..=6));
                    if random.bool() {
                        viewer.wait("an answer", |state| {
                            state.seen().packets > 5
                                || state.status().is_some_and(|status| status != 200)
                        });
                        assert!(matches!(viewer.wait_status(), 200 | 503));
                    }
                    if random.bool() {
                        viewer.leave_by_reset();
                    }
                }
            });
        }
    });
    line.assert_kept();
    let last = server.viewer(1);
    wait_media(&last);
    assert!(connections(&server) <= 2);
}

#[test]
fn engine_has_no_more_sessions_than_it_may() {
    let engine = Engine::start(|_| Behaviour::playing(Answer::live(source())));
    let server = Server::start(
        &Config::new()
            .set("stream", "linger_ms", 20_000)
            .set("engine", "connections_max", 1)
            .engine(&engine.url()),
    );
    let target = |content: u64| format!("/ace/getstream?infohash={content:040x}");
    let first = server.viewer_of(&target(1));
    wait_media(&first);
    server.get(&target(2)).assert_told_to_come_back();
    assert_eq!((engine.starts().len(), engine.open_sessions()), (1, 1));
    assert_eq!(
        server.metric(metric::PROVIDER_CONNECTIONS, &[("provider", "engine")]),
        1
    );
    drop(first);
    let second = server.viewer_of(&target(2));
    wait_media(&second);
    assert_eq!(
        (
            engine.starts().len(),
            engine.stops(),
            engine.open_sessions()
        ),
        (2, 1, 1)
    );
}
