//! Back to the upstream that stands first in the list once it is healthy again, and only then.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use corecast_load::packets::Source;

use crate::config::Config;
use crate::engine::{Behaviour, Engine};
use crate::names::metric;
use crate::server::Server;
use crate::upstream::{Answer, Media, Step, Upstream};
use crate::viewer::Viewer;
use crate::within;

fn source(origin: u8) -> Source {
    Source::new(origin, 2_000)
}

/// An upstream that ends after a second and a half, and then answers with `ill` until it is well.
fn comes_back(ill: Answer) -> (Upstream, Arc<AtomicBool>) {
    let is_well = Arc::new(AtomicBool::new(false));
    let well = Arc::clone(&is_well);
    let upstream = Upstream::start(move |asked| match asked.nth {
        0 => Answer::media(Media::live(source(1)).bytes(375_001)),
        _ if well.load(Ordering::SeqCst) => Answer::live(source(1)),
        _ => ill.clone(),
    });
    (upstream, is_well)
}

fn refusal() -> Answer {
    Answer::text("503 Service Unavailable", "text/plain", "later")
}

fn start(first: &Upstream, second: &Upstream, return_ms: u64) -> Server {
    Server::start(
        &Config::new()
            .set("stream", "return_ms", return_ms)
            .channel(7, &[first.url("/a.ts"), second.url("/b.ts")]),
    )
}

#[track_caller]
fn wait_origin(viewer: &Viewer, origin: u8) {
    viewer.wait_within(
        Duration::from_secs(20),
        &format!("media of upstream {origin}"),
        |state| state.seen().last.is_some_and(|last| last.origin == origin),
    );
}

#[test]
fn preferred_upstream_is_gone_back_to_when_it_is_well_again() {
    let ((first, is_well), second) = (comes_back(refusal()), Upstream::live(source(2)));
    let server = start(&first, &second, 1_000);
    let viewers: Vec<Viewer> = (0..3).map(|_| server.viewer(7)).collect();
    viewers.iter().for_each(|viewer| wait_origin(viewer, 2));
    let asked = first.double().connections();
    within(10_000, "it is looked at twice", || {
        first.double().connections() >= asked + 2
    });
    viewers
        .iter()
        .for_each(|viewer| assert_eq!(viewer.seen().switches, 1));
    is_well.store(true, Ordering::SeqCst);
    for viewer in &viewers {
        wait_origin(viewer, 1);
        viewer.wait_more(300);
        viewer.seen().assert_spliced();
        assert_eq!((viewer.seen().switches, viewer.ended()), (2, None));
        let silence = viewer.longest_silence();
        assert!(silence < Duration::from_secs(3), "{silence:?}");
    }
    within(2_000, "the other upstream is left", || {
        second.double().open() == 0
    });
    assert_eq!(first.double().open(), 1, "the look at it is over");
    server.wait_log(1, "preferred upstream is back");
    assert!(server.metric(metric::SWITCHES, &[]) >= 2);
    assert_eq!(server.metric(metric::STALLS, &[]), 0);
}

#[test]
fn preferred_upstream_that_sends_no_media_is_not_gone_back_to() {
    let junk: Vec<u8> = b"G--- not yet ---".repeat(4_000);
    let ill = Answer::head("200 OK", "Content-Type: video/mp2t\r\n")
        .then(Step::Bytes(junk))
        .then(Step::Reset);
    let ((first, _), second) = (comes_back(ill), Upstream::live(source(2)));
    let server = start(&first, &second, 1_000);
    let viewer = server.viewer(7);
    wait_origin(&viewer, 2);
    let asked = first.double().connections();
    within(10_000, "it is looked at three times", || {
        first.double().connections() >= asked + 3
    });
    viewer.seen().assert_spliced();
    assert_eq!(viewer.seen().switches, 1);
    assert_eq!(second.double().connections(), 1);
}

#[test]
fn return_time_of_zero_means_never() {
    let ((first, is_well), second) = (comes_back(refusal()), Upstream::live(source(2)));
    let server = start(&first, &second, 0);
    let viewer = server.viewer(7);
    wait_origin(&viewer, 2);
    is_well.store(true, Ordering::SeqCst);
    let asked = first.double().connections();
    // Four seconds of media.
    viewer.wait_more(5_300);
    assert_eq!(viewer.seen().switches, 1);
    assert_eq!(first.double().connections(), asked);
}

#[test]
fn content_of_an_engine_is_never_opened_to_look_at_it() {
    let engine = Engine::start(|_| Behaviour::error("no peers"));
    let second = Upstream::live(source(2));
    let upstreams = [
        format!("infohash = \"{:040x}\"", 7),
        format!("url = {:?}", second.url("/b.ts")),
    ];
    let server = Server::start(
        &Config::new()
            .set("stream", "return_ms", 1_000)
            .engine(&engine.url())
            .channel_of(7, &upstreams),
    );
    let viewer = server.viewer(7);
    wait_origin(&viewer, 2);
    let starts = engine.starts().len();
    viewer.wait_more(4_000);
    assert_eq!(engine.starts().len(), starts);
    viewer.seen().assert_unbroken();
}
