//! How many calls viewers cost, and what they are delayed for it.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use corecast_load::packets::Source;

use crate::config::Config;
use crate::names::metric;
use crate::server::Server;
use crate::upstream::{Answer, Media, Step, Upstream, on_air};
use crate::viewer::Viewer;
use crate::within;

/// A server whose chunks wait as told, and so many viewers of 8 Mbit/s.
fn watched(batch: &str, viewers: usize) -> (Server, Vec<Viewer>, Upstream) {
    let upstream = Upstream::live(Source::new(1, 8_000));
    let config = Config::new()
        .set("server", "shards", 1)
        .set("stream", "batch_ms", batch)
        .set("stream", "burst_ms", 500);
    let server = Server::start(&config.channel(7, &[upstream.url("/a.ts")]));
    let viewers: Vec<Viewer> = (0..viewers).map(|_| server.viewer(7)).collect();
    // Past the burst.
    viewers[0].wait("two seconds", |state| state.seen().bytes > 2_000_000);
    (server, viewers, upstream)
}

/// Bytes that a viewer was sent by one call, over about two seconds.
fn bytes_per_call(server: &Server, viewers: &[Viewer]) -> f64 {
    let counted = || {
        let scrape = server.scrape();
        (
            scrape.sum(metric::SENT_BYTES, &[]),
            scrape.sum(metric::SEND_CALLS, &[]),
        )
    };
    let before = counted();
    viewers[0].wait_more(10_000);
    let after = counted();
    (after.0 - before.0) / (after.1 - before.1)
}

#[test]
fn few_viewers_are_sent_each_chunk_as_it_is_there() {
    let (server, viewers, _upstream) = watched("\"auto\"", 4);
    let bytes = bytes_per_call(&server, &viewers);
    assert!(bytes < 40_000.0, "{bytes} bytes per call");
    viewers
        .iter()
        .for_each(|viewer| viewer.seen().assert_unbroken());
}

#[test]
fn many_viewers_are_sent_several_chunks_at_once() {
    let (server, viewers, _upstream) = watched("\"auto\"", 200);
    let bytes = bytes_per_call(&server, &viewers);
    assert!(bytes > 60_000.0, "{bytes} bytes per call");
    viewers
        .iter()
        .for_each(|viewer| viewer.seen().assert_unbroken());
}

#[test]
fn wait_that_is_configured_is_kept_however_few_viewers_there_are() {
    let (server, viewers, _upstream) = watched("300", 2);
    let bytes = bytes_per_call(&server, &viewers);
    assert!(bytes > 100_000.0, "{bytes} bytes per call");
    for viewer in &viewers {
        viewer.seen().assert_unbroken();
        let silence = viewer.longest_silence();
        assert!(silence < Duration::from_millis(900), "{silence:?}");
    }
}

#[test]
fn last_chunks_before_a_silence_are_sent_although_they_wait() {
    let source = Source::new(1, 8_000);
    let packets = 15_000;
    let media = Media::live(source).bytes(packets * 188);
    let upstream = Upstream::start(move |_| Answer::media(media).then(Step::Hang));
    let config =
        Config::new()
            .set("stream", "batch_ms", 1_000)
            .set("stream", "idle_timeout_ms", 60_000);
    let server = Server::start(&config.channel(7, &[upstream.url("/a.ts")]));
    let viewer = server.viewer(7);
    let last = source.number_at(packets - 1);
    viewer.wait("all that was sent", |state| {
        state.seen().last.is_some_and(|label| label.number >= last)
    });
    viewer.seen().assert_unbroken();
}

/// A broadcast that falls silent after so many packets, and when it began.
fn ending(source: Source, packets: u64) -> (Upstream, Arc<OnceLock<u64>>) {
    let first = Arc::new(OnceLock::new());
    let began = Arc::clone(&first);
    let upstream = Upstream::start(move |_| {
        began.get_or_init(|| source.index_at(on_air()));
        Answer::media(Media::live(source).bytes(packets * 188)).then(Step::Hang)
    });
    (upstream, first)
}

#[test]
fn channel_that_waits_for_little_is_not_held_up_by_one_that_waits_for_long() {
    let source = Source::new(1, 8_000);
    let slow = Upstream::live(Source::new(1, 500));
    let endings =
        [12_000, 13_600, 15_200, 16_800, 18_400].map(|packets| (packets, ending(source, packets)));
    let waiting = |batch_ms| format!("batch_ms = {batch_ms}\nidle_timeout_ms = 60000");
    let mut config = Config::new().set("server", "shards", 1).channel_keyed(
        7,
        &waiting(1_000),
        &slow.url("/a.ts"),
    );
    for (id, (_, (upstream, _))) in (8..).zip(&endings) {
        config = config.channel_keyed(id, &waiting(50), &upstream.url("/b.ts"));
    }
    let server = Server::start(&config);
    let _slow = server.viewer(7);
    let viewers: Vec<Viewer> = (8..13).map(|id| server.viewer(id)).collect();
    let mut late = Vec::new();
    for (viewer, (packets, (_, first))) in viewers.iter().zip(&endings) {
        within(3_000, "it is asked", || first.get().is_some());
        let last = first.get().unwrap() + packets - 1;
        viewer.wait_within(Duration::from_secs(20), "all that was sent", |state| {
            let number = source.number_at(last);
            state
                .seen()
                .last
                .is_some_and(|label| label.number >= number)
        });
        late.push(on_air().saturating_sub(source.due(last)));
    }
    // A busy host may be late once.
    let in_time = late
        .iter()
        .filter(|late| **late < Duration::from_millis(500));
    assert!(in_time.count() >= late.len() - 1, "{late:?}");
}
