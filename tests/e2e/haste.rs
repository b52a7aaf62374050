//! An upstream that sends far more at once than can be played: it is read no faster than that, and nobody loses a byte.

use std::time::{Duration, Instant};

use corecast_load::packets::Source;

use crate::config::Config;
use crate::names::metric;
use crate::scaled;
use crate::server::{Server, path};
use crate::upstream::{Answer, Media, Pace, Upstream};
use crate::viewer::{Reading, Viewer};

/// 8 Mbit/s, so that what the kernel holds for a connection is a few seconds.
fn source() -> Source {
    Source::new(1, 8_000)
}

/// This much at once, then silence until as much time has passed.
fn hasty(lump: Duration) -> Upstream {
    Upstream::start(move |_| Answer::media(Media::live(source()).pace(Pace::Lump(lump))))
}

fn bytes_of(media: Duration) -> u64 {
    u64::try_from(media.as_micros()).unwrap() * source().bit_per_s() / 8 / 1_000_000
}

/// A viewer that takes what is played; the kernel holds no more for it than for others.
fn in_real_time(server: &Server) -> Viewer {
    let per_second = usize::try_from(bytes_of(Duration::from_secs(1))).unwrap();
    let address = server.address();
    let request = format!("GET {} HTTP/1.1\r\nHost: {address}\r\n\r\n", path(7));
    Viewer::on(
        server.connect(address),
        &request,
        Reading::Played(per_second),
    )
}

#[track_caller]
fn assert_nobody_lost(server: &Server, upstream: &Upstream, viewers: &[Viewer]) {
    for viewer in viewers {
        viewer.seen().assert_unbroken();
        viewer.seen().assert_starts_at_join_point();
        assert_eq!(viewer.ended(), None);
    }
    let scrape = server.scrape();
    let of = |name| scrape.sum(name, &[]);
    assert_eq!(
        (of(metric::SKIPS), of(metric::ENDS), of(metric::STALLS)),
        (0.0, 0.0, 0.0),
        "skips, ends, stalls"
    );
    assert_eq!(upstream.double().connections(), 1);
}

#[test]
fn minutes_sent_at_once_and_the_silence_after_them_cost_nobody_anything() {
    let lump = Duration::from_secs(scaled(60, 300));
    let upstream = hasty(lump);
    let ring_bytes_max = 16 * 1024 * 1024;
    let server = Server::start(
        &Config::new()
            .set("stream", "ring_bytes_max", ring_bytes_max)
            .channel(7, &[upstream.url("/a.ts")]),
    );
    let began = Instant::now();
    let mut viewers = vec![server.viewer(7), in_real_time(&server)];
    assert!(viewers[0].wait_status() == 200 && viewers[1].wait_status() == 200);
    assert!(
        viewers[0].first_byte().unwrap() < Duration::from_secs(1),
        "{:?}",
        viewers[0].first_byte()
    );
    viewers[0].wait("all that is welcome at once", |state| {
        state.seen().bytes > bytes_of(Duration::from_millis(7_500))
    });
    viewers[0].wait_within(Duration::from_secs(20), "ten seconds more", |state| {
        state.seen().bytes > bytes_of(Duration::from_millis(17_500))
    });
    let received = server.metric("upstream_received_bytes_total", &[]);
    let welcome = began.elapsed() + Duration::from_millis(10_500);
    assert!(
        received < bytes_of(welcome),
        "{received} bytes read after {:?}",
        began.elapsed()
    );
    let late = server.viewer(7);
    assert_eq!(late.wait_status(), 200);
    assert!(
        late.first_byte().unwrap() < Duration::from_secs(1),
        "{:?}",
        late.first_byte()
    );
    viewers.push(late);
    for shard in ["0", "1"] {
        let held = server.metric("ring_bytes", &[("shard", shard)]);
        assert!(held <= ring_bytes_max, "{held} bytes in the ring");
    }
    viewers[0].wait_within(
        lump + Duration::from_secs(20),
        "what comes after the silence",
        |state| state.seen().bytes > bytes_of(lump + Duration::from_secs(2)),
    );
    viewers[1].wait_more(1_000);
    assert_nobody_lost(&server, &upstream, &viewers);
}

#[test]
fn a_ring_shorter_than_the_lead_loses_a_viewer_in_real_time_nothing() {
    let lump = Duration::from_secs(14);
    let upstream = hasty(lump);
    let server = Server::start(
        &Config::new()
            .set("stream", "ring_ms", 3_000)
            .channel(7, &[upstream.url("/a.ts")]),
    );
    let viewers = [server.viewer(7), in_real_time(&server)];
    for viewer in &viewers {
        viewer.wait_within(Duration::from_secs(30), "all of the lump", |state| {
            state.seen().bytes > bytes_of(lump)
        });
    }
    assert_nobody_lost(&server, &upstream, &viewers);
}

#[test]
fn channel_that_is_left_while_its_upstream_waits_is_closed_at_once() {
    let upstream = hasty(Duration::from_secs(60));
    let server = Server::start(
        &Config::new()
            .set("stream", "linger_ms", 100)
            .channel(7, &[upstream.url("/a.ts")]),
    );
    let viewer = server.viewer(7);
    viewer.wait("all that is welcome at once", |state| {
        state.seen().bytes > bytes_of(Duration::from_millis(7_500))
    });
    drop(viewer);
    crate::within(2_000, "the upstream is left", || {
        upstream.double().open() == 0
    });
}
