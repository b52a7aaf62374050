//! The main load: five hundred viewers of one 8 Mbit/s channel, and others beside them that cannot keep up.

use std::time::{Duration, Instant};

use corecast_load::packets::Source;

use crate::config::Config;
use crate::names::{ends, metric};
use crate::scaled;
use crate::server::Server;
use crate::upstream::Upstream;
use crate::viewer::{Reading, Viewer};
use crate::within;

/// One upstream of 8 Mbit/s and a server whose channel 7 is it.
fn started() -> (Upstream, Server) {
    let upstream = Upstream::live(Source::new(1, KBIT_PER_S));
    let config = Config::new()
        .set("server", "write_stall_ms", 3000)
        .set("stream", "ring_ms", 10_000)
        .set("stream", "burst_ms", 500)
        .channel(7, &[upstream.url("/a.ts")]);
    let server = Server::start(&config);
    (upstream, server)
}

/// Waits until every viewer has had media for the test's length, and checks every packet of each.
#[track_caller]
fn assert_all_whole(server: &Server, upstream: &Upstream, viewers: &[Viewer]) {
    let seconds = scaled(5, 60);
    let bytes = seconds * KBIT_PER_S * 1000 / 8;
    let began = Instant::now();
    for viewer in viewers {
        let limit = Duration::from_secs(seconds + 30).saturating_sub(began.elapsed());
        viewer.wait_within(limit, "media for the test's length", |state| {
            state.seen().bytes > bytes
        });
    }
    for shard in ["0", "1"] {
        within(5_000, "a fair share of viewers on each shard", || {
            server.scrape().sum(metric::VIEWERS, &[("shard", shard)]) > 50.0
        });
    }
    for viewer in viewers {
        viewer.seen().assert_unbroken();
        viewer.seen().assert_starts_at_join_point();
        assert_eq!(viewer.ended(), None);
    }
    assert_eq!(upstream.double().connections(), 1);
    assert_eq!(server.metric("feed_lost_chunks_total", &[]), 0);
}

#[test]
fn five_hundred_viewers_get_every_packet_beside_fifty_stalled_and_fifty_slow_ones() {
    let (upstream, server) = started();
    let viewers: Vec<Viewer> = (0..VIEWERS).map(|_| server.viewer(7)).collect();
    let beside = |reading| (0..50).map(move |_| reading);
    let half = usize::try_from(KBIT_PER_S).unwrap() * 1000 / 8 / 2;
    let slow: Vec<Viewer> = beside(Reading::PerSecond(half))
        .map(|reading| server.viewer_reading(7, reading))
        .collect();
    let stalled: Vec<Viewer> = beside(Reading::Stopped)
        .map(|reading| server.viewer_reading(7, reading))
        .collect();
    assert_all_whole(&server, &upstream, &viewers);
    let stalls = [("reason", ends::STALLED)];
    server.wait_metric_within(30_000, metric::ENDS, &stalls, 50);
    drop(stalled);
    for viewer in &slow {
        viewer.seen().assert_whole();
    }
}

const VIEWERS: usize = 500;
const KBIT_PER_S: u64 = 8_000;
