//! Viewers that come and go in ways no player does, many at once, and a server that runs out of descriptors.

use std::io::Write;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use corecast_load::packets::Source;
use rustix::process::{Resource, Rlimit, prlimit};

use crate::canary::{Canary, connect, started};
use crate::config::Config;
use crate::engine::Engine;
use crate::names::{ends, metric};
use crate::server::{Server, path};
use crate::upstream::Upstream;
use crate::viewer::{Reading, Viewer};
use crate::{scaled, within};

#[test]
fn viewer_that_closes_its_sending_side_is_gone() {
    let (server, _upstream) = started();
    let canary = Canary::new(&server);
    let descriptors = server.descriptors();
    let viewers: Vec<Viewer> = (0..5).map(|_| server.viewer(7)).collect();
    viewers
        .iter()
        .for_each(|viewer| viewer.wait("media", |state| state.seen().packets > 20));
    viewers.iter().for_each(Viewer::half_close);
    for viewer in &viewers {
        viewer.wait_within(Duration::from_secs(1), "the end", |state| {
            state.ended().is_some()
        });
    }
    server.wait_metric(metric::ENDS, &[("reason", ends::VIEWER_CLOSED)], 5);
    within(2_000, "the descriptors are back", || {
        server.descriptors() <= descriptors
    });
    canary.assert_untouched();
}

#[test]
fn viewer_that_talks_without_end_is_dropped() {
    let (server, _upstream) = started();
    let canary = Canary::new(&server);
    let mut socket = connect(server.address());
    let viewer = Viewer::on(
        socket.try_clone().unwrap(),
        &format!("GET {} HTTP/1.1\r\nHost: a\r\n\r\n", path(7)),
        Reading::Full,
    );
    viewer.wait("media", |state| state.seen().packets > 20);
    let chatter = std::thread::spawn(move || {
        (0..10_000)
            .take_while(|_| socket.write_all(&[b'x'; 1_024]).is_ok())
            .count()
    });
    viewer.wait("the end", |state| state.ended().is_some());
    assert!(chatter.join().unwrap() < 10_000);
    server.wait_metric(metric::VIEWERS, &[], 1);
    canary.assert_untouched();
}

#[test]
fn storm_of_connections_and_resets_leaves_nothing_behind() {
    let engine = Engine::live(Source::new(2, 500));
    let upstream = Upstream::live(Source::new(1, 2_000));
    let server = Server::start(
        &Config::new()
            .set("stream", "linger_ms", 1_000)
            .engine(&engine.url())
            .channel(7, &[upstream.url("/a.ts")]),
    );
    let canary = Canary::new(&server);
    let (descriptors, each, address) =
        (server.descriptors(), scaled(600, 20_000), server.address());
    std::thread::scope(|scope| {
        for thread in 0..4u64 {
            scope.spawn(move || {
                let mut random = fastrand::Rng::with_seed(thread);
                let stream = format!("GET {} HTTP/1.1\r\nHost: a\r\n\r\n", path(7));
                let content = format!(
                    "GET /ace/getstream?infohash={:040x} HTTP/1.1\r\nHost: a\r\n\r\n",
                    1
                );
                let sent = [
                    b"".as_slice(),
                    b"GET /li",
                    b"\r\n\r\n",
                    stream.as_bytes(),
                    content.as_bytes(),
                ];
                for _ in 0..each {
                    let mut socket = connect(address);
                    drop(socket.write_all(sent[random.usize(..sent.len())]));
                    if random.bool() {
                        socket2::SockRef::from(&socket)
                            .set_linger(Some(Duration::ZERO))
                            .unwrap();
                    }
                }
            });
        }
    });
    let fresh = server.viewer(7);
    fresh.wait("media", |state| state.seen().packets > 20);
    assert!(
        fresh.first_byte().unwrap() < Duration::from_millis(500),
        "{:?}",
        fresh.first_byte()
    );
    drop(fresh);
    canary.assert_untouched();
    engine.wait_idle(4_000);
    within(10_000, "the descriptors are back", || {
        server.descriptors() <= descriptors + SEGMENTS
    });
    server.wait_metric(metric::VIEWERS, &[], 1);
    assert_eq!(upstream.double().connections(), 1);
}

#[test]
fn zapping_at_speed_opens_each_content_once() {
    let engine = Engine::live(Source::new(1, 500));
    let server = Server::start(
        &Config::new()
            .set("stream", "linger_ms", 5_000)
            .engine(&engine.url()),
    );
    std::thread::scope(|scope| {
        for zapper in 0..scaled(20, 200) {
            let server = &server;
            scope.spawn(move || {
                for turn in 0..scaled(10, 100) {
                    let viewer = server.viewer_of(&format!(
                        "/ace/getstream?infohash={:040x}",
                        (zapper + turn) % 4
                    ));
                    viewer.wait("media", |state| state.seen().packets > 2);
                }
            });
        }
    });
    assert_eq!(engine.starts().len(), 4);
    engine.wait_idle(6_500);
}

#[test]
fn server_out_of_descriptors_keeps_its_viewers_and_recovers() {
    let (server, _upstream) = started();
    let canaries: Vec<Canary> = (0..3).map(|_| Canary::new(&server)).collect();
    let before = prlimit(
        Some(server.pid()),
        Resource::Nofile,
        limit(server.descriptors() as u64 + 3),
    )
    .unwrap();
    let request = format!("GET {} HTTP/1.1\r\nHost: a\r\n\r\n", path(7));
    let mut crowd: Vec<TcpStream> = (0..60).map(|_| connect(server.address())).collect();
    crowd
        .iter_mut()
        .for_each(|socket| socket.write_all(request.as_bytes()).unwrap());
    let (cpu, began) = (server.cpu_time(), Instant::now());
    canaries.iter().for_each(|canary| canary.0.wait_more(1_500));
    let share = (server.cpu_time() - cpu).as_secs_f64() / began.elapsed().as_secs_f64();
    assert!(
        share < 0.25,
        "{share:.2} of a CPU while there is nothing to accept with"
    );
    prlimit(Some(server.pid()), Resource::Nofile, before).unwrap();
    drop(crowd);
    let fresh = server.viewer(7);
    fresh.wait_within(Duration::from_secs(2), "media after recovery", |state| {
        state.seen().packets > 20
    });
    canaries.iter().for_each(Canary::assert_untouched);
    assert!(
        server.metric(metric::ACCEPT_ERRORS, &[]) > 0,
        "the shortage was counted"
    );
}

fn limit(files: u64) -> Rlimit {
    Rlimit {
        current: Some(files),
        maximum: Some(20_000),
    }
}

/// Memory files that the ring of channel 7 may have grown by: 10 s of 2 Mbit/s in pieces of 2 MiB.
const SEGMENTS: usize = 3;
