//! An upstream fails under its viewers: they keep their connection, see whole packets only, and nothing twice.

use std::time::{Duration, Instant};

use corecast_load::packets::Source;

use crate::config::Config;
use crate::names::{ends, metric};
use crate::scaled;
use crate::server::Server;
use crate::upstream::{Answer, Media, Pace, Step, Upstream};
use crate::viewer::{End, Viewer};

fn source() -> Source {
    Source::new(1, 2_000)
}

/// The broadcast up to a byte that is not the last of a packet.
fn cut_short() -> Answer {
    Answer::media(Media::live(source()).bytes(400_001))
}

/// Follows a channel over one break and says what its viewers saw.
#[track_caller]
fn follow_one_break(server: &Server, viewers: &[Viewer]) {
    for viewer in viewers {
        viewer.wait("the splice", |state| !state.seen().gaps.is_empty());
        viewer.wait_more(400);
        let seen = viewer.seen();
        seen.assert_spliced();
        assert_eq!(seen.gaps.len(), 1, "{seen:?}");
        assert!(
            source().media_between(0, seen.lost) < Duration::from_millis(2_500),
            "{seen:?}"
        );
        assert_eq!(viewer.ended(), None);
    }
    assert_eq!(server.metric(metric::CONNECTS, &[("result", "ok")]), 2);
    assert_eq!(server.metric(metric::ENDS, &[]), 0);
}

#[test]
fn upstream_that_closes_in_mid_packet_is_fetched_again_and_spliced() {
    let upstream = Upstream::in_turn(vec![cut_short(), Answer::live(source())]);
    let server = Server::start(&Config::new().channel(7, &[upstream.url("/a.ts")]));
    let viewers: Vec<Viewer> = (0..6).map(|_| server.viewer(7)).collect();
    follow_one_break(&server, &viewers);
    assert_eq!(server.metric(metric::SWITCHES, &[("channel", "7")]), 1);
}

#[test]
fn upstream_that_resets_is_fetched_again_and_spliced() {
    let upstream = Upstream::in_turn(vec![cut_short().then(Step::Reset), Answer::live(source())]);
    let server = Server::start(&Config::new().channel(7, &[upstream.url("/a.ts")]));
    let viewers: Vec<Viewer> = (0..3).map(|_| server.viewer(7)).collect();
    follow_one_break(&server, &viewers);
}

#[test]
fn stalled_upstream_is_fetched_again_and_spliced() {
    let upstream = Upstream::in_turn(vec![cut_short().then(Step::Hang), Answer::live(source())]);
    let server = Server::start(
        &Config::new()
            .set("stream", "idle_timeout_ms", 1_000)
            .channel(7, &[upstream.url("/a.ts")]),
    );
    let viewers: Vec<Viewer> = (0..3).map(|_| server.viewer(7)).collect();
    for viewer in &viewers {
        viewer.wait("the splice", |state| !state.seen().gaps.is_empty());
        viewer.wait_more(400);
        viewer.seen().assert_spliced();
        assert_eq!(viewer.ended(), None);
    }
    assert_eq!(server.metric(metric::STALLS, &[("channel", "7")]), 1);
    assert_eq!(upstream.double().connections(), 2);
}

#[test]
fn silence_shorter_than_the_idle_timeout_loses_nothing() {
    let lump = Media::live(source()).pace(Pace::Lump(Duration::from_millis(1_500)));
    let upstream = Upstream::start(move |_| Answer::media(lump));
    let server = Server::start(
        &Config::new()
            .set("stream", "idle_timeout_ms", 4_000)
            .channel(7, &[upstream.url("/a.ts")]),
    );
    let viewer = server.viewer(7);
    viewer.wait("the lump and two seconds more", |state| {
        state.seen().bytes > 900_000
    });
    viewer.seen().assert_unbroken();
    assert!(
        viewer.longest_silence() > Duration::from_millis(500),
        "there was no silence: {:?}",
        viewer.longest_silence()
    );
    assert_eq!(
        (
            upstream.double().connections(),
            server.metric(metric::STALLS, &[])
        ),
        (1, 0)
    );
}

#[test]
fn upstream_that_stays_away_ends_its_viewers_at_a_packet_boundary() {
    let upstream = Upstream::in_turn(vec![cut_short(), Answer::default()]);
    let server = Server::start(&Config::new().channel(7, &[upstream.url("/a.ts")]));
    let viewers: Vec<Viewer> = (0..3).map(|_| server.viewer(7)).collect();
    for viewer in &viewers {
        assert_eq!(viewer.wait_end(), End::Closed);
        assert_eq!(viewer.seen().tail_bytes, 0);
        viewer.seen().assert_unbroken();
    }
    server.wait_metric(metric::ENDS, &[("reason", ends::UPSTREAM_LOST)], 3);
    let asked = upstream.double().asked();
    assert!(
        (3..=8).contains(&asked.len()),
        "{} tries in the start timeout of 2.5 s",
        asked.len()
    );
    let pauses: Vec<Duration> = asked
        .windows(2)
        .skip(1)
        .map(|two| two[1].at - two[0].at)
        .collect();
    assert!(
        pauses
            .iter()
            .all(|pause| *pause > Duration::from_millis(200)),
        "{pauses:?}"
    );
    assert!(
        pauses.last() > pauses.first(),
        "the pauses do not grow: {pauses:?}"
    );
}

#[test]
fn next_upstream_takes_over_when_the_first_goes_down() {
    let (mut first, second) = (
        Upstream::live(source()),
        Upstream::live(Source::new(2, 2_000)),
    );
    let server =
        Server::start(&Config::new().channel(7, &[first.url("/a.ts"), second.url("/b.ts")]));
    let viewers: Vec<Viewer> = (0..4).map(|_| server.viewer(7)).collect();
    viewers
        .iter()
        .for_each(|viewer| viewer.wait("media", |state| state.seen().packets > 300));
    assert_eq!(
        second.double().connections(),
        0,
        "the second upstream is left alone while the first delivers"
    );
    first.stop();
    for viewer in &viewers {
        viewer.wait("the second upstream", |state| {
            state.seen().last.is_some_and(|last| last.origin == 2)
        });
        viewer.wait_more(300);
        viewer.seen().assert_spliced();
        assert_eq!(viewer.seen().switches, 1);
        assert!(
            viewer.longest_silence() < Duration::from_secs(3),
            "{:?}",
            viewer.longest_silence()
        );
    }
    assert!(server.metric(metric::SWITCHES, &[("channel", "7")]) >= 1);
}

#[test]
fn upstream_that_is_down_at_the_start_is_passed_over() {
    let (mut first, second) = (
        Upstream::live(source()),
        Upstream::live(Source::new(2, 2_000)),
    );
    let urls = [first.url("/a.ts"), second.url("/b.ts")];
    first.stop();
    let server = Server::start(&Config::new().channel(7, &urls));
    let viewer = server.viewer(7);
    assert_eq!(viewer.wait_status(), 200);
    viewer.wait("media", |state| state.seen().packets > 300);
    viewer.seen().assert_unbroken();
    assert!(
        viewer.first_byte().unwrap() < Duration::from_secs(3),
        "{:?}",
        viewer.first_byte()
    );
}

#[test]
fn empty_body_is_a_failed_try_and_the_next_upstream_is_used() {
    let empty = Upstream::start(|_| Answer::head("200 OK", "Content-Type: video/mp2t\r\n"));
    let good = Upstream::live(source());
    let server = Server::start(&Config::new().channel(7, &[empty.url("/a.ts"), good.url("/b.ts")]));
    let viewer = server.viewer(7);
    assert_eq!(viewer.wait_status(), 200);
    viewer.wait("media", |state| state.seen().packets > 300);
    viewer.seen().assert_unbroken();
    assert!(empty.double().connections() >= 1);
}

#[test]
fn upstream_cut_again_and_again_never_ends_a_viewer() {
    // A second and a half of media each time.
    let upstream = Upstream::start(|_| Answer::media(Media::live(source()).bytes(375_001)));
    let server = Server::start(&Config::new().channel(7, &[upstream.url("/a.ts")]));
    let viewers: Vec<Viewer> = (0..3).map(|_| server.viewer(7)).collect();
    let cuts = usize::try_from(scaled(4, 60)).unwrap();
    for viewer in &viewers {
        viewer.wait_within(Duration::from_secs(scaled(20, 300)), "the cuts", |state| {
            state.seen().gaps.len() >= cuts
        });
        viewer.seen().assert_spliced();
        assert_eq!(viewer.ended(), None);
    }
}

#[test]
fn flapping_upstream_is_tried_at_most_four_times_a_second() {
    let upstream = Upstream::start(|_| {
        Answer::media(Media::live(Source::new(1, 4_000)).bytes(scaled(1_600, 1_000) * 188))
    });
    let server = Server::start(&Config::new().channel(7, &[upstream.url("/a.ts")]));
    let (viewer, began) = (server.viewer(7), Instant::now());
    viewer.wait_within(Duration::from_secs(scaled(20, 700)), "the tries", |_| {
        upstream.double().connections() >= scaled(6, 500)
    });
    let (asked, quarters) = (
        upstream.double().asked(),
        began.elapsed().as_millis() / 250 + 2,
    );
    assert!(
        (asked.len() as u128) <= quarters,
        "{} tries in {quarters} quarters of a second",
        asked.len()
    );
    viewer.seen().assert_spliced();
    assert_eq!(viewer.ended(), None);
}

#[test]
fn another_clock_after_a_reconnect_goes_on_at_once() {
    let upstream = Upstream::in_turn(vec![cut_short(), Answer::live(Source::new(9, 2_000))]);
    let server = Server::start(&Config::new().channel(7, &[upstream.url("/a.ts")]));
    let viewer = server.viewer(7);
    viewer.wait("the other clock", |state| state.seen().switches == 1);
    viewer.wait_more(300);
    viewer.seen().assert_spliced();
    assert!(
        viewer.longest_silence() < Duration::from_millis(2_500),
        "{:?}",
        viewer.longest_silence()
    );
}
