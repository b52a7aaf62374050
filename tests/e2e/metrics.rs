//! The operator's numbers: every metric of the contract, well-formed, and true.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use corecast_load::packets::Source;

use crate::config::Config;
use crate::engine::Engine;
use crate::http;
use crate::names::{ends, metric};
use crate::scrape::Scrape;
use crate::server::{Server, path};
use crate::upstream::{Answer, Media, Step, Upstream};
use crate::viewer::Viewer;
use crate::within;

const CONTENT: &str = "/ace/getstream?infohash=00112233445566778899aabbccddeeff00112233";

/// Every metric that the contract names.
const CONTRACT: &[(&str, &str)] = &[
    ("viewers", "gauge"),
    ("viewer_sessions_total", "counter"),
    ("viewer_ends_total", "counter"),
    ("viewer_rejects_total", "counter"),
    ("viewer_sent_bytes_total", "counter"),
    ("viewer_skips_total", "counter"),
    ("viewer_skipped_bytes_total", "counter"),
    ("viewer_lag_seconds", "histogram"),
    ("viewer_first_byte_seconds", "histogram"),
    ("upstream_up", "gauge"),
    ("upstream_connects_total", "counter"),
    ("upstream_received_bytes_total", "counter"),
    ("upstream_stalls_total", "counter"),
    ("upstream_switches_total", "counter"),
    ("ts_continuity_errors_total", "counter"),
    ("ts_resyncs_total", "counter"),
    ("ts_bitrate_bits_per_second", "gauge"),
    ("chunks_total", "counter"),
    ("ring_bytes", "gauge"),
    ("feed_lost_chunks_total", "counter"),
    ("fanout_delay_seconds", "histogram"),
    ("send_calls_total", "counter"),
    ("shard_busy_seconds_total", "counter"),
    ("engine_sessions", "gauge"),
    ("shard_stale", "gauge"),
    ("build_info", "gauge"),
    ("start_time_seconds", "gauge"),
    ("join_interval_seconds", "gauge"),
    ("media_info", "gauge"),
    ("playlist_channels", "gauge"),
    ("playlist_refreshes_total", "counter"),
    ("ring_media_seconds", "gauge"),
    ("ts_continuity_errors_out_total", "counter"),
    ("upstream_in_use", "gauge"),
];

/// A server that has seen some of everything.
fn busy() -> (Server, Vec<Viewer>, Upstream, Engine) {
    let (upstream, engine) = (
        Upstream::live(Source::new(1, 2_000)),
        Engine::live(Source::new(2, 1_000)),
    );
    let server = Server::start(
        &Config::new()
            .engine(&engine.url())
            .channel(7, &[upstream.url("/a.ts")]),
    );
    let viewers: Vec<Viewer> = (0..6)
        .map(|turn| {
            if turn < 4 {
                server.viewer(7)
            } else {
                server.viewer_of(CONTENT)
            }
        })
        .collect();
    viewers.iter().for_each(|viewer| {
        viewer.wait("two seconds of media", |state| state.seen().bytes > 250_000)
    });
    let passing = server.viewer(7);
    passing.wait("media", |state| state.seen().packets > 5);
    drop(passing);
    assert_eq!(server.get(&path(8)).status(), 404);
    (server, viewers, upstream, engine)
}

#[test]
fn every_metric_of_the_contract_is_there_and_well_formed() {
    let (server, _viewers, _upstream, _engine) = busy();
    let reply = server.ask_admin("/metrics");
    assert!(
        reply
            .header("content-type")
            .unwrap()
            .starts_with("text/plain; version=0.0.4"),
        "{:?}",
        reply.head
    );
    let scrape = server.scrape();
    assert!(scrape.complaints.is_empty(), "{:?}", scrape.complaints);
    for (name, kind) in CONTRACT {
        assert_eq!(
            scrape
                .types
                .get(&format!("corecast_{name}"))
                .map(String::as_str),
            Some(*kind),
            "{name}"
        );
    }
    for sample in &scrape.samples {
        let allowed = |label: &str| {
            matches!(label, "channel" | "shard" | "reason" | "result" | "le")
                || (sample.name == "build_info" && label == "version")
                || (sample.name == "media_info" && matches!(label, "video" | "audio"))
        };
        assert!(
            sample.labels.keys().all(|label| allowed(label)),
            "{sample:?}"
        );
        assert!(sample.value >= 0.0, "{sample:?}");
    }
    let reasons = scrape
        .samples
        .iter()
        .filter(|sample| sample.name == metric::ENDS)
        .filter_map(|sample| sample.labels.get("reason"));
    assert!(reasons.clone().count() > 0);
    reasons.for_each(|reason| assert!(ends::ALL.contains(&reason.as_str()), "{reason}"));
}

#[test]
fn numbers_are_true() {
    let (server, viewers, upstream, _engine) = busy();
    server.wait_metric(metric::VIEWERS, &[], 6);
    let scrape = server.scrape();
    let is = |name: &str, labels: &[(&str, &str)], expected: f64| {
        let seen = scrape.sum(name, labels);
        assert!(
            (seen - expected).abs() < 0.01,
            "{name}{labels:?} is {seen}, not {expected}"
        );
    };
    is("viewers", &[("channel", "7")], 4.0);
    is("viewers", &[("channel", "dynamic")], 2.0);
    is("viewer_sessions_total", &[], 7.0);
    is("viewer_ends_total", &[], 1.0);
    is("viewer_rejects_total", &[("reason", "not_found")], 1.0);
    is("viewer_skips_total", &[], 0.0);
    is("upstream_up", &[], 2.0);
    is(
        "upstream_connects_total",
        &[("result", "ok"), ("channel", "7")],
        1.0,
    );
    is("upstream_stalls_total", &[], 0.0);
    is("upstream_switches_total", &[], 0.0);
    is("ts_continuity_errors_total", &[], 0.0);
    is("feed_lost_chunks_total", &[], 0.0);
    is("engine_sessions", &[], 1.0);
    is("shard_stale", &[("shard", "0")], 0.0);
    is("shard_stale", &[("shard", "1")], 0.0);
    is("build_info", &[], 1.0);
    is("viewer_first_byte_seconds_count", &[], 7.0);
    let got: u64 = viewers.iter().map(|viewer| viewer.seen().bytes).sum();
    assert!(scrape.sum("viewer_sent_bytes_total", &[]) > got as f64 * 0.8);
    assert!(scrape.sum("upstream_received_bytes_total", &[("channel", "7")]) > 250_000.0);
    let bitrate = scrape.sum("ts_bitrate_bits_per_second", &[("channel", "7")]);
    assert!((1_700_000.0..2_300_000.0).contains(&bitrate), "{bitrate}");
    for name in [
        "chunks_total",
        "ring_bytes",
        "send_calls_total",
        "fanout_delay_seconds_count",
        "viewer_lag_seconds_count",
    ] {
        assert!(scrape.sum(name, &[]) > 0.5, "{name}");
    }
    for shard in ["0", "1"] {
        assert!(
            scrape.sum("shard_busy_seconds_total", &[("shard", shard)]) > 0.0,
            "shard {shard}"
        );
    }
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_secs_f64();
    assert!((now - 60.0..=now).contains(&scrape.sum("start_time_seconds", &[])));
    assert_eq!(upstream.double().connections(), 1);
}

#[test]
fn counters_never_go_back_while_viewers_come_and_go() {
    let (server, viewers, _upstream, _engine) = busy();
    let before = server.scrape();
    drop(viewers);
    server.wait_metric(metric::VIEWERS, &[], 0);
    // The snapshot is up to 100 ms old, and both channels close in the meantime.
    within(4_000, "the channels close", || {
        server.metric("upstream_up", &[]) == 0
    });
    let after = server.scrape();
    for sample in before
        .samples
        .iter()
        .filter(|sample| sample.name.ends_with("_total") || sample.name.ends_with("_count"))
    {
        let labels: Vec<(&str, &str)> = sample
            .labels
            .iter()
            .map(|(key, value)| (key.as_str(), value.as_str()))
            .collect();
        assert!(
            after.sum(&sample.name, &labels) >= sample.value,
            "{sample:?} went back"
        );
    }
    let ended = after.sum(metric::ENDS, &[]);
    assert!(
        (ended - after.sum("viewer_sessions_total", &[])).abs() < 0.01,
        "every session ended for a counted reason: {ended}"
    );
}

#[test]
fn health_and_readiness_are_told() {
    let (server, _viewers, _upstream, _engine) = busy();
    assert_eq!(server.ask_admin("/healthz").status(), 200);
    assert_eq!(server.ask_admin("/readyz").status(), 200);
    assert_eq!(server.ask_admin("/nothing").status(), 404);
    let post = http::ask(
        server.admin(),
        "POST /metrics HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n",
    );
    assert_eq!(post.status(), 405);
    assert!(post.header("allow").unwrap().contains("GET"));
    let head = http::ask(
        server.admin(),
        "HEAD /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
    );
    assert_eq!((head.status(), head.body.len()), (200, 0));
}

#[test]
fn hundred_scrapes_a_second_delay_no_viewer() {
    let (server, viewers, _upstream, _engine) = busy();
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                (0..100).for_each(|_| assert_eq!(server.ask_admin("/metrics").status(), 200))
            });
        }
    });
    for viewer in &viewers {
        viewer.seen().assert_unbroken();
        viewer.assert_steady();
    }
}

/// The only sample of a metric of channel 7; `None` if there is none.
#[track_caller]
fn of_seven(scrape: &Scrape, name: &str) -> Option<f64> {
    let samples: Vec<_> = scrape
        .samples
        .iter()
        .filter(|sample| sample.name == name)
        .collect();
    assert!(samples.len() < 2, "{samples:?}");
    let sample = samples.first()?;
    assert_eq!(sample.labels["channel"], "7");
    Some(sample.value)
}

/// The labels `video` and `audio` of channel 7.
fn codecs(scrape: &Scrape) -> Option<(String, String)> {
    of_seven(scrape, metric::MEDIA_INFO)?;
    let mut samples = scrape.samples.iter();
    let sample = samples.find(|sample| sample.name == metric::MEDIA_INFO)?;
    Some((
        sample.labels["video"].clone(),
        sample.labels["audio"].clone(),
    ))
}

#[track_caller]
fn assert_shows_the_test_pattern(scrape: &Scrape) {
    for (name, expected) in [
        (metric::VIDEO_WIDTH, 320.0),
        (metric::VIDEO_HEIGHT, 176.0),
        ("video_frames_per_second", 25.0),
    ] {
        assert_eq!(of_seven(scrape, name), Some(expected), "{name}");
    }
    let expected = ("H.264".to_owned(), "none".to_owned());
    assert_eq!(codecs(scrape), Some(expected));
}

#[test]
fn media_is_told_as_it_is() {
    let demo = Config::new().channel_of(7, &["demo = true".to_owned()]);
    let server = Server::start(&demo.set("stream", "ring_ms", 3_000));
    let viewer = server.viewer(7);
    // At 4 Mbit/s.
    viewer.wait("five seconds", |state| state.seen().bytes > 2_500_000);
    let scrape = server.scrape();
    assert_shows_the_test_pattern(&scrape);
    assert_eq!(of_seven(&scrape, "join_interval_seconds"), Some(1.0));
    assert_eq!(of_seven(&scrape, metric::UPSTREAM_IN_USE), Some(1.0));
    let held_s = of_seven(&scrape, metric::RING_MEDIA).unwrap();
    assert!((2.8..=3.0).contains(&held_s), "{held_s} s of 3 s");
}

#[test]
fn what_is_told_of_media_is_that_of_the_upstream_that_delivers_now() {
    let mut first = Upstream::live(Source::new(1, 2_000));
    let upstreams = [
        format!("url = {:?}", first.url("/a.ts")),
        "demo = true".to_owned(),
    ];
    let server = Server::start(&Config::new().channel_of(7, &upstreams));
    let viewer = server.viewer(7);
    viewer.wait("media", |state| state.seen().bytes > 250_000);
    let before = server.scrape();
    let expected = ("H.264".to_owned(), "AAC".to_owned());
    assert_eq!(codecs(&before), Some(expected));
    assert_eq!(of_seven(&before, metric::UPSTREAM_IN_USE), Some(1.0));
    assert_eq!(of_seven(&before, metric::VIDEO_HEIGHT), Some(240.0));
    first.stop();
    server.wait_metric(metric::UPSTREAM_IN_USE, &[("channel", "7")], 2);
    let after = server.scrape();
    assert_shows_the_test_pattern(&after);
    assert_eq!(of_seven(&after, metric::CONTINUITY_ERRORS_OUT), Some(0.0));
    drop(viewer);
    within(4_000, "nothing is told of a closed channel", || {
        let scrape = server.scrape();
        let told = [
            metric::MEDIA_INFO,
            metric::UPSTREAM_IN_USE,
            metric::VIDEO_WIDTH,
        ];
        told.iter().all(|name| of_seven(&scrape, name).is_none())
    });
    assert_eq!(server.metric(metric::RING_MEDIA, &[]), 0);
}

#[test]
fn jumps_sent_to_viewers_are_counted_apart_from_those_received() {
    // Four seconds of which two were sent already, with holes; what is not sent again is no loss to viewers.
    let media = Media::live(Source::new(1, 2_000));
    let holes = media.behind(Duration::from_secs(4)).omit_every(100);
    let upstream = Upstream::in_turn(vec![
        Answer::media(media.behind(Duration::from_secs(2)).bytes(500_001)),
        Answer::media(holes.bytes(1_400_000)).then(Step::Hang),
    ]);
    let config = Config::new().set("stream", "idle_timeout_ms", 20_000);
    let server = Server::start(&config.channel(7, &[upstream.url("/a.ts")]));
    let viewer = server.viewer(7);
    viewer.wait("silence", |state| state.seen().nulls > 2);
    let scrape = server.scrape();
    let received = of_seven(&scrape, metric::CONTINUITY_ERRORS).unwrap();
    let sent = of_seven(&scrape, metric::CONTINUITY_ERRORS_OUT).unwrap();
    let seen = viewer.seen();
    assert!(seen.unflagged_jumps > 5, "{seen:?}");
    assert!(
        (sent - seen.unflagged_jumps as f64).abs() < 0.5,
        "{sent} sent, {seen:?}"
    );
    assert!(received > sent + 5.0, "{received} received, {sent} sent");
}
