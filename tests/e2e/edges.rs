//! Corners of plain HTTP: viewers that fall out of step in rare ways, and upstreams that are wrong in rare ways.
//!
//! What concerns engine sessions is in `edges_engine.rs`. The rule: each test makes the one condition under which its claim
//! could fail, so none of them proves more than its name says.

use std::net::{TcpStream, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use corecast_load::packets::Source;

use crate::config::Config;
use crate::launch::Launch;
use crate::names::{ends, metric};
use crate::netns::Netns;
use crate::server::{Server, path};
use crate::upstream::{Answer, Media, Step, Upstream};
use crate::viewer::{End, Reading, Viewer};
use crate::within;

/// 2 Mbit/s.
fn source() -> Source {
    Source::new(1, 2_000)
}

/// 8 Mbit/s, so that what the kernel holds for a viewer is a fraction of a second.
fn fast_source() -> Source {
    Source::new(1, 8_000)
}

fn of(config: Config, upstream: &Upstream) -> Server {
    Server::start(&config.channel(7, &[upstream.url("/a.ts")]))
}

/// So many bytes, a piece of them every `period`.
fn paced(answer: Answer, piece: &[u8], pieces: usize, period: Duration) -> Answer {
    (0..pieces).fold(answer, |answer, _| {
        answer
            .then(Step::Bytes(piece.to_vec()))
            .then(Step::Wait(period))
    })
}

#[test]
fn viewer_that_leaves_a_ring_without_join_point_is_sent_whole_packets() {
    // From one join point to the next there is more than twice what the ring may hold.
    let upstream = Upstream::live(Source::new(1, 40_000));
    let server = of(
        Config::new().set("stream", "ring_bytes_max", 1 << 20),
        &upstream,
    );
    let slow = [300_000, 400_000, 500_000, 600_000]
        .map(|bytes| server.viewer_reading(7, Reading::PerSecond(bytes)));
    for viewer in &slow {
        viewer.wait("three skips", |state| {
            state.seen().gaps.len() >= 3 || state.seen().torn > 0
        });
        viewer.seen().assert_spliced();
        assert_eq!(viewer.ended(), None);
    }
}

#[test]
fn cushion_as_long_as_the_ring_is_cut_to_half_of_it_at_a_skip() {
    let upstream = Upstream::live(fast_source());
    let config = Config::new()
        .set("stream", "ring_ms", 4_000)
        .set("stream", "burst_ms", 4_000);
    let server = of(config, &upstream);
    let healthy = server.viewer(7);
    healthy.wait("more than the ring holds", |state| {
        state.seen().bytes > 5_000_000
    });
    let slow = server.viewer_reading(7, Reading::PerSecond(500_000));
    slow.wait("two skips", |state| state.seen().gaps.len() >= 2);
    let seen = slow.seen();
    seen.assert_spliced();
    // Half of the ring, less a group of frames, plus what went by while the socket was full: a skip to the oldest join
    // point leaves out almost nothing, and one to the newest almost the whole ring.
    let half = Duration::from_millis(1_300)..Duration::from_millis(3_000);
    for gap in &seen.gaps {
        let skipped = fast_source().media_between(gap.from, gap.to);
        assert!(half.contains(&skipped), "skipped {skipped:?}: {seen:?}");
    }
    healthy.seen().assert_unbroken();
}

#[test]
fn stall_as_long_as_the_ring_counts_as_a_stall_and_skips_nothing() {
    let upstream = Upstream::live(fast_source());
    // The proportions of the defaults.
    let config = Config::new()
        .set("server", "write_stall_ms", 2_000)
        .set("stream", "ring_ms", 2_000)
        .set("stream", "burst_ms", 400);
    let server = of(config, &upstream);
    let healthy = server.viewer(7);
    healthy.wait("a full ring", |state| state.seen().bytes > 2_500_000);
    let stopped = [(); 3].map(|()| server.viewer_reading(7, Reading::Stopped));
    server.wait_metric(metric::ENDS, &[], 3);
    assert_eq!(
        server.metric(metric::ENDS, &[("reason", ends::STALLED)]),
        3,
        "{:?}",
        server.scrape().samples
    );
    assert_eq!(server.metric(metric::SKIPS, &[]), 0);
    stopped
        .iter()
        .for_each(|viewer| assert_eq!(viewer.wait_end(), End::Reset));
    healthy.seen().assert_unbroken();
}

#[test]
fn viewer_that_takes_nothing_at_the_end_of_a_drain_is_reset() {
    let upstream = Upstream::live(fast_source());
    let config = Config::new()
        .set("server", "write_stall_ms", 60_000)
        .set("server", "drain_ms", 300);
    let server = of(config, &upstream);
    let healthy = server.viewer(7);
    healthy.wait("a burst for the others", |state| {
        state.seen().bytes > 2_500_000
    });
    let stopped = [(); 3].map(|()| server.viewer_reading(7, Reading::Stopped));
    server.wait_metric(metric::VIEWERS, &[], 4);
    healthy.wait_more(2_000);
    server.terminate();
    assert_eq!(healthy.wait_end(), End::Closed);
    assert_eq!(healthy.seen().tail_bytes, 0);
    for viewer in &stopped {
        assert_eq!(
            viewer.wait_end(),
            End::Reset,
            "an orderly end would claim that all has been sent"
        );
    }
    assert_eq!(server.wait_exit(Duration::from_secs(5)).code(), Some(0));
}

#[test]
fn connections_that_say_nothing_do_not_keep_the_operator_out() {
    let config =
        Config::new()
            .set("server", "viewers_max", 10)
            .set("server", "head_timeout_ms", 20_000);
    let server = Server::start(&config);
    let before = server.descriptors();
    let silent: Vec<TcpStream> = (0..200)
        .map(|_| TcpStream::connect(server.address()).unwrap())
        .collect();
    within(3_000, "as many as are let in are in", || {
        server.descriptors() > before + 70
    });
    for target in ["/healthz", "/metrics"] {
        let reply = server.ask_admin(target);
        assert_eq!(reply.status(), 200, "{target}: {}", reply.text());
        assert!(
            reply.took < Duration::from_secs(2),
            "{target}: {:?}",
            reply.took
        );
    }
    drop(silent);
}

#[test]
fn viewer_that_leaves_before_media_is_no_viewer_that_ended() {
    let upstream = Upstream::start(|_| Answer::silence());
    let config =
        Config::new()
            .set("stream", "linger_ms", 100)
            .set("stream", "start_timeout_ms", 20_000);
    let server = of(config, &upstream);
    let viewers = [(); 3].map(|()| server.viewer(7));
    within(3_000, "the upstream is asked", || {
        upstream.double().asked().len() == 1
    });
    drop(viewers);
    within(3_000, "the channel closes", || {
        upstream.double().open() == 0
    });
    let scrape = server.scrape();
    let counts = [metric::ENDS, "viewer_sessions_total", metric::VIEWERS]
        .map(|name| format!("{:.0}", scrape.sum(name, &[])));
    assert_eq!(counts, ["0", "0", "0"], "ends, sessions, viewers");
}

#[test]
fn closed_channel_has_no_bitrate() {
    let upstream = Upstream::live(source());
    let server = of(Config::new().set("stream", "linger_ms", 100), &upstream);
    let viewer = server.viewer(7);
    within(10_000, "a bitrate is known", || {
        server.metric("ts_bitrate_bits_per_second", &[]) > 1_000_000
    });
    drop(viewer);
    server.wait_metric_within(3_000, "ts_bitrate_bits_per_second", &[], 0);
}

#[test]
fn first_byte_is_timed_from_the_request_and_not_from_the_connection() {
    let upstream = Upstream::live(source());
    let server = of(
        Config::new().set("server", "head_timeout_ms", 10_000),
        &upstream,
    );
    let sum = || server.scrape().sum("viewer_first_byte_seconds_sum", &[]);
    let first = server.viewer(7);
    first.wait("media", |state| state.seen().packets > 100);
    let before = sum();
    let silent = TcpStream::connect(server.address()).unwrap();
    // A second and a half in which the connection says nothing.
    first.wait_more(2_000);
    let request = format!("GET {} HTTP/1.1\r\nHost: a\r\n\r\n", path(7));
    let second = Viewer::on(silent, &request, Reading::Full);
    second.wait("media", |state| state.seen().packets > 100);
    let counted = server.metric("viewer_first_byte_seconds_count", &[]);
    assert_eq!(counted, 2);
    let took_s = sum() - before;
    assert!(took_s < 1.0, "{took_s} s to the first byte");
}

#[test]
fn upstream_that_turns_to_junk_is_left_after_the_idle_time() {
    let media = Answer::media(Media::live(source()).bytes(188 * 1_500));
    let junk = b"<html><body>The event is over.</body></html>".repeat(80);
    let upstream = Upstream::in_turn(vec![
        paced(media, &junk, 600, Duration::from_millis(50)),
        Answer::live(source()),
    ]);
    let server = of(
        Config::new().set("stream", "idle_timeout_ms", 1_000),
        &upstream,
    );
    let viewer = server.viewer(7);
    viewer.wait("the media of a second fetch", |state| {
        state.seen().gaps.len() == 1
    });
    viewer.wait_more(200);
    viewer.seen().assert_spliced();
    assert_eq!(upstream.double().connections(), 2);
    assert_eq!(server.metric(metric::STALLS, &[]), 1);
}

#[test]
fn upstream_of_nothing_but_sync_bytes_is_never_live() {
    let bytes = vec![0x47; 188 * 50];
    let upstream = Upstream::start(move |_| {
        let head = Answer::head("200 OK", "Content-Type: video/mp2t\r\n");
        paced(head, &bytes, 1_000, Duration::from_millis(20))
    });
    let config = Config::new()
        .set("stream", "start_timeout_ms", 1_500)
        .set("stream", "idle_timeout_ms", 5_000)
        .set("stream", "linger_ms", 60_000);
    let server = of(config, &upstream);
    let first = server.get(&path(7));
    assert_eq!(first.status(), 504, "{}", first.text());
    assert!(
        (Duration::from_millis(1_400)..Duration::from_millis(3_000)).contains(&first.took),
        "{:?}",
        first.took
    );
    assert_eq!(server.metric("upstream_up", &[]), 0);
    let asked = upstream.double().connections();
    let second = server.get(&path(7));
    assert_eq!(second.status(), 504, "{}", second.text());
    assert!(
        second.took < Duration::from_millis(700),
        "the refusal was not remembered: {:?}",
        second.took
    );
    assert_eq!(upstream.double().connections(), asked);
}

#[test]
fn start_time_bounds_a_chain_of_redirects_as_a_whole() {
    let upstream = Upstream::start(|asked| {
        let next = format!(
            "HTTP/1.1 302 Found\r\nLocation: /{}\r\nContent-Length: 0\r\n\r\n",
            asked.nth
        );
        Answer::default()
            .then(Step::Wait(Duration::from_secs(1)))
            .then(Step::Bytes(next.into()))
    });
    let config =
        Config::new()
            .set("stream", "start_timeout_ms", 1_500)
            .set("stream", "linger_ms", 60_000);
    let server = of(config, &upstream);
    let reply = server.get(&path(7));
    assert_eq!(reply.status(), 504, "{}", reply.text());
    server.wait_metric_within(700, metric::CONNECTS, &[], 1);
    assert_eq!(upstream.double().connections(), 2);
}

#[test]
fn interim_answer_and_final_one_may_come_as_one_segment() {
    let upstream = Upstream::start(|asked| {
        match asked.path() {
        "/a.ts" => Answer::raw(
            "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 302 Found\r\nLocation: /b.ts\r\nContent-Length: 0\r\n\r\n",
        )
        .then(Step::Hang),
        _ => Answer::live(source()),
    }
    });
    let server = of(Config::new(), &upstream);
    let viewer = server.viewer(7);
    assert_eq!(viewer.wait_status(), 200);
    viewer.wait("media", |state| state.seen().packets > 100);
    viewer.seen().assert_unbroken();
}

#[test]
fn last_packet_before_a_silence_is_passed_on() {
    let source = source();
    let count = source.group() * 3;
    let many: Vec<u8> = (0..count).flat_map(|index| source.packet(index)).collect();
    let upstream = Upstream::start(move |_| {
        Answer::head("200 OK", "Content-Type: video/mp2t\r\n")
            .then(Step::Bytes(many.clone()))
            .then(Step::Wait(Duration::from_millis(500)))
            .then(Step::Bytes(source.packet(count).to_vec()))
            .then(Step::Wait(Duration::from_millis(500)))
            .then(Step::Bytes(source.packet(count + 1).to_vec()))
            .then(Step::Wait(Duration::from_millis(500)))
            .then(Step::Bytes(source.packet(count + 2).to_vec()))
            .then(Step::Hang)
    });
    let server = of(
        Config::new().set("stream", "idle_timeout_ms", 60_000),
        &upstream,
    );
    let viewer = server.viewer(7);
    let last = source.number_at(count + 2);
    viewer.wait("the last packet there is", |state| {
        state.seen().last.is_some_and(|label| label.number == last)
    });
    viewer.seen().assert_unbroken();
}

#[test]
fn names_that_no_server_answers_for_do_not_hold_up_one_that_is_known() {
    let namespace = Arc::new(Netns::new());
    // Every address is this host, and its name server says nothing.
    namespace.ip(&["route", "add", "local", "0.0.0.0/0", "dev", "lo"]);
    let names = namespace.run(|| UdpSocket::bind("0.0.0.0:53").unwrap());
    names
        .set_read_timeout(Some(Duration::from_secs(5)))
        .unwrap();
    let upstream = namespace.run(|| Upstream::live(source()));
    let good = upstream.url("/a.ts").replace("127.0.0.1", "localhost");
    let config = Config::new()
        .set("server", "shards", 1)
        .set("stream", "start_timeout_ms", 20_000);
    let config = (1..=8).fold(config.channel(20, &[good]), |config, number| {
        config.channel(number, &[format!("http://dead{number}.example/a.ts")])
    });
    let server = Launch::new(&config).inside(&namespace).start();
    let address = server.address();
    let view = |channel| namespace.run(move || Viewer::of(address, &path(channel)));
    let waiting: Vec<Viewer> = (1..=8).map(view).collect();
    let mut question = [0; 512];
    for _ in 0..4 {
        names.recv(&mut question).unwrap();
    }
    let viewer = view(20);
    viewer.wait_within(Duration::from_secs(2), "media", |state| {
        state.seen().packets > 50
    });
    assert!(waiting.iter().all(|viewer| viewer.ended().is_none()));
}
