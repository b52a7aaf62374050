//! Peers that vanish without a word, in a network of their own that can be cut.

use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use corecast_load::packets::Source;

use crate::config::Config;
use crate::launch::Launch;
use crate::names::{ends, metric};
use crate::netns::Netns;
use crate::server::{Server, path};
use crate::upstream::Upstream;
use crate::viewer::{Reading, Viewer};

/// A server in one network, its upstream beside it, and viewers in another.
struct Stage {
    viewers: Vec<Viewer>,
    server: Server,
    _upstream: Upstream,
    here: Arc<Netns>,
    there: Netns,
}

impl Stage {
    fn new(write_stall_ms: u64, count: usize) -> Self {
        let (here, there) = (Arc::new(Netns::new()), Netns::new());
        let (address, _) = here.connect(&there);
        let upstream = here.run(|| Upstream::live(Source::new(1, 2_000)));
        let config = Config::new()
            .set("server", "listen", format!("[\"{address}:0\"]"))
            .set("server", "open", true)
            .set("server", "write_stall_ms", write_stall_ms);
        let server = Launch::new(&config.channel(7, &[upstream.url("/a.ts")]))
            .inside(&here)
            .start();
        let viewers = (0..count)
            .map(|_| there.run(|| viewer_at(server.address())))
            .collect();
        Self {
            viewers,
            server,
            _upstream: upstream,
            here,
            there,
        }
    }
}

fn viewer_at(address: SocketAddr) -> Viewer {
    Viewer::on(
        TcpStream::connect(address).unwrap(),
        &format!("GET {} HTTP/1.1\r\nHost: a\r\n\r\n", path(7)),
        Reading::Full,
    )
}

#[test]
fn viewer_whose_host_vanishes_is_gone_within_a_second_of_the_limit() {
    let stage = Stage::new(2_000, 3);
    stage
        .viewers
        .iter()
        .for_each(|viewer| viewer.wait("media", |state| state.seen().packets > 200));
    let beside = stage.here.run(|| viewer_at(stage.server.address()));
    beside.wait("media", |state| state.seen().packets > 100);
    // The address goes and the cable stays: what is sent there is answered by nobody.
    stage.there.ip(&["address", "flush", "dev", "veth0"]);
    let began = Instant::now();
    stage.server.wait_metric(metric::VIEWERS, &[], 1);
    assert!(
        (Duration::from_millis(1_500)..Duration::from_millis(3_500)).contains(&began.elapsed()),
        "gone after {:?}, write_stall_ms is 2000",
        began.elapsed()
    );
    let scrape = stage.server.scrape();
    let told = scrape.sum(metric::ENDS, &[("reason", ends::PEER_LOST)])
        + scrape.sum(metric::ENDS, &[("reason", ends::STALLED)]);
    assert!(
        (told - 3.0).abs() < 0.1,
        "{told} ends say that the peer vanished"
    );
    beside.wait_more(200);
    beside.seen().assert_unbroken();
    beside.assert_steady();
}

#[test]
fn viewer_survives_a_gap_shorter_than_the_limit() {
    // A retransmission may come as late after the gap as the gap was long.
    let stage = Stage::new(8_000, 1);
    let viewer = &stage.viewers[0];
    viewer.wait("media", |state| state.seen().packets > 200);
    stage.there.ip(&["link", "set", "veth0", "down"]);
    let beside = stage.here.run(|| viewer_at(stage.server.address()));
    beside.wait("a second more than the burst", |state| {
        state.seen().bytes > 750_000
    });
    stage.there.ip(&["link", "set", "veth0", "up"]);
    viewer.wait_more(600);
    viewer.seen().assert_unbroken();
    assert_eq!(stage.server.metric(metric::ENDS, &[]), 0);
}
