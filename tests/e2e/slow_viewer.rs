//! Viewers that cannot keep up: they skip or are dropped, are told apart from dead ones, and nobody else notices.

use std::time::{Duration, Instant};

use corecast::segment::SEGMENT_BYTES;
use corecast_load::packets::Source;

use crate::config::Config;
use crate::names::{ends, metric};
use crate::scaled;
use crate::server::Server;
use crate::upstream::Upstream;
use crate::viewer::{End, Reading, Viewer};

/// 8 Mbit/s, so that what the kernel holds for a viewer is a fraction of a second.
fn broadcast() -> Upstream {
    Upstream::live(Source::new(1, 8_000))
}

fn config(upstream: &Upstream) -> Config {
    Config::new()
        .set("server", "write_stall_ms", 1000)
        .set("stream", "ring_ms", 2000)
        .set("stream", "burst_ms", 1000)
        .channel(7, &[upstream.url("/a.ts")])
}

#[track_caller]
fn assert_untouched(viewers: &[Viewer]) {
    for viewer in viewers {
        viewer.seen().assert_unbroken();
        viewer.assert_steady();
        assert_eq!(viewer.ended(), None);
    }
}

#[test]
fn paused_viewer_is_dropped_and_the_others_lose_nothing() {
    let upstream = broadcast();
    let server = Server::start(&config(&upstream));
    let healthy: Vec<Viewer> = (0..4).map(|_| server.viewer(7)).collect();
    healthy
        .iter()
        .for_each(|viewer| viewer.wait("media", |state| state.seen().packets > 200));
    let paused: Vec<Viewer> = (0..3)
        .map(|_| server.viewer_reading(7, Reading::Stopped))
        .collect();
    let began = Instant::now();
    server.wait_metric(metric::ENDS, &[("reason", ends::STALLED)], 3);
    assert!(
        began.elapsed() > Duration::from_millis(900),
        "dropped after {:?}, before it had stalled",
        began.elapsed()
    );
    let counted = Instant::now();
    for viewer in &paused {
        assert_eq!(
            viewer.wait_end(),
            End::Reset,
            "a dropped viewer's socket is closed at once"
        );
    }
    assert!(
        counted.elapsed() < Duration::from_secs(1),
        "closed {:?} after it was counted",
        counted.elapsed()
    );
    server.wait_metric(metric::VIEWERS, &[], 4);
    healthy.iter().for_each(|viewer| viewer.wait_more(500));
    assert_untouched(&healthy);
    assert_eq!(server.metric(metric::ENDS, &[]), 3);
}

#[test]
fn viewer_that_takes_twenty_bytes_a_second_is_dropped_as_stalled() {
    let upstream = broadcast();
    let server = Server::start(&config(&upstream));
    let healthy = [server.viewer(7)];
    let trickle = server.viewer_reading(7, Reading::PerSecond(20));
    server.wait_metric(metric::ENDS, &[("reason", ends::STALLED)], 1);
    trickle.wait_within(Duration::from_secs(2), "its end", |state| {
        state.ended() == Some(End::Reset)
    });
    healthy[0].wait_more(500);
    assert_untouched(&healthy);
}

#[test]
fn slow_viewer_skips_from_join_point_to_join_point() {
    let upstream = broadcast();
    let server = Server::start(&config(&upstream));
    let healthy: Vec<Viewer> = (0..3).map(|_| server.viewer(7)).collect();
    let slow = server.viewer_reading(7, Reading::PerSecond(500_000));
    slow.wait_within(Duration::from_secs(scaled(15, 120)), "two skips", |state| {
        state.seen().gaps.len() >= 2
    });
    let seen = slow.seen();
    seen.assert_spliced();
    assert!(seen.flagged_jumps >= 2, "{seen:?}");
    assert_eq!(slow.ended(), None, "a viewer that takes bytes is kept");
    let scrape = server.scrape();
    let (skips, bytes) = (
        scrape.sum(metric::SKIPS, &[]),
        scrape.sum(metric::SKIPPED_BYTES, &[]),
    );
    assert!(
        skips >= seen.gaps.len() as f64,
        "{skips} skips counted of {seen:?}"
    );
    assert!(
        bytes >= (seen.lost * 188) as f64,
        "{bytes} bytes counted of {seen:?}"
    );
    assert_untouched(&healthy);
    assert_eq!(server.metric(metric::ENDS, &[]), 0);
}

#[test]
fn slow_viewer_is_dropped_where_the_channel_says_so() {
    let upstream = broadcast();
    let server = Server::start(&config(&upstream).set("stream", "slow", "\"drop\""));
    let healthy = [server.viewer(7)];
    let slow = server.viewer_reading(7, Reading::PerSecond(500_000));
    server.wait_metric_within(15_000, metric::ENDS, &[("reason", ends::TOO_SLOW)], 1);
    slow.wait_within(Duration::from_secs(5), "its end", |state| {
        state.ended() == Some(End::Reset)
    });
    assert!(slow.seen().gaps.is_empty(), "{:?}", slow.seen());
    slow.seen().assert_whole();
    assert_eq!(server.metric(metric::SKIPS, &[]), 0);
    assert_untouched(&healthy);
}

#[test]
fn all_kinds_of_slowness_at_once_leave_healthy_viewers_alone() {
    let upstream = broadcast();
    let server = Server::start(&config(&upstream));
    let healthy: Vec<Viewer> = (0..8).map(|_| server.viewer(7)).collect();
    let kinds = [
        Reading::Stopped,
        Reading::PerSecond(1),
        Reading::PerSecond(20_000),
        Reading::PerSecond(500_000),
    ];
    let others: Vec<Viewer> = (0..scaled(3, 20))
        .flat_map(|_| kinds.map(|reading| server.viewer_reading(7, reading)))
        .collect();
    server.wait_metric_within(
        15_000,
        metric::ENDS,
        &[("reason", ends::STALLED)],
        others.len() as u64 / 2,
    );
    healthy.iter().for_each(|viewer| viewer.wait_more(2_000));
    assert_untouched(&healthy);
    others
        .iter()
        .for_each(|viewer| viewer.seen().assert_whole());
    assert_eq!(upstream.double().connections(), 1);
}

#[test]
fn bytes_on_their_way_stay_true_while_their_segments_go() {
    // A segment each 0.4 s, of which the ring holds three, and viewers that are seconds behind what was sent to them.
    let upstream = Upstream::live(Source::new(1, 40_000));
    let config = Config::new()
        .set("stream", "ring_ms", 1_000)
        .set("stream", "burst_ms", 500)
        .set("server", "write_stall_ms", 60_000);
    let server = Server::start(&config.channel(7, &[upstream.url("/a.ts")]));
    let healthy = [server.viewer(7), server.viewer(7)];
    let slow: Vec<Viewer> = [3_000, 50_000, 200_000, 400_000]
        .into_iter()
        .flat_map(|rate| [rate; 4])
        .map(|rate| server.viewer_reading(7, Reading::PerSecond(rate)))
        .collect();
    let segments = scaled(12, 150);
    let limit = Duration::from_secs(scaled(30, 180));
    healthy[0].wait_within(limit, "segments to go", |state| {
        state.seen().bytes > segments * SEGMENT_BYTES as u64
    });
    for viewer in &slow {
        viewer.seen().assert_spliced();
        assert_eq!(viewer.ended(), None);
    }
    assert!(
        server.metric(metric::SKIPS, &[]) > 10,
        "nobody fell out of the ring"
    );
    healthy
        .iter()
        .for_each(|viewer| viewer.seen().assert_unbroken());
}
