//! What viewers hear while nothing comes: null packets, never before media, and nothing that disturbs it.

use std::time::Duration;

use corecast_load::packets::Source;

use crate::config::Config;
use crate::names::metric;
use crate::server::Server;
use crate::upstream::{Answer, Media, Step, Upstream};
use crate::viewer::{End, Viewer};

fn source() -> Source {
    Source::new(1, 2_000)
}

/// A second and a half of media, then nothing.
fn falls_silent() -> Answer {
    Answer::media(Media::live(source()).bytes(375_001)).then(Step::Hang)
}

#[track_caller]
fn wait_nulls(viewer: &Viewer, nulls: u64) {
    viewer.wait(&format!("{nulls} null packets"), |state| {
        state.seen().nulls >= nulls
    });
}

#[test]
fn viewers_of_a_stalled_channel_hear_something_until_media_is_back() {
    // Silence, then an upstream that refuses, then one that answers late: every way of waiting.
    let late = Answer::default()
        .then(Step::Wait(Duration::from_millis(1_500)))
        .then(Step::Bytes(
            b"HTTP/1.1 200 OK\r\nContent-Type: video/mp2t\r\n\r\n".to_vec(),
        ))
        .then(Step::Media(Media::live(source())));
    let upstream = Upstream::in_turn(vec![
        falls_silent(),
        Answer::text("503 Service Unavailable", "text/plain", "later"),
        Answer::text("503 Service Unavailable", "text/plain", "later"),
        late,
    ]);
    let server = Server::start(
        &Config::new()
            .set("stream", "idle_timeout_ms", 3_000)
            .set("stream", "start_timeout_ms", 15_000)
            .channel(7, &[upstream.url("/a.ts")]),
    );
    let viewers: Vec<Viewer> = (0..3).map(|_| server.viewer(7)).collect();
    viewers.iter().for_each(|viewer| wait_nulls(viewer, 2));
    let joined = server.viewer(7);
    assert_eq!(
        joined.wait_status(),
        200,
        "there is a history to start with"
    );
    for viewer in viewers.iter().chain([&joined]) {
        viewer.wait_within(Duration::from_secs(20), "media again", |state| {
            !state.seen().gaps.is_empty()
        });
        viewer.wait_more(300);
        let seen = viewer.seen();
        seen.assert_spliced();
        seen.assert_starts_at_join_point();
        assert_eq!(seen.gaps.len(), 1, "{seen:?}");
        assert_eq!(viewer.ended(), None);
    }
    for viewer in &viewers {
        let (silence, hush) = (viewer.longest_silence(), viewer.longest_hush());
        assert!(silence > Duration::from_secs(3), "{silence:?}");
        assert!(hush < Duration::from_secs(5), "nothing for {hush:?}");
    }
    assert_eq!(server.metric(metric::SKIPS, &[]), 0);
    assert_eq!(server.metric(metric::CONTINUITY_ERRORS, &[]), 0);
}

#[test]
fn null_packets_do_not_keep_a_channel_whose_upstream_stays_away() {
    let upstream = Upstream::in_turn(vec![falls_silent(), Answer::default()]);
    let server = Server::start(
        &Config::new()
            .set("stream", "idle_timeout_ms", 1_500)
            .channel(7, &[upstream.url("/a.ts")]),
    );
    let viewer = server.viewer(7);
    assert_eq!(viewer.wait_end(), End::Closed);
    let seen = viewer.seen();
    assert!(seen.nulls >= 2, "{seen:?}");
    seen.assert_unbroken();
    assert_eq!(seen.tail_bytes, 0);
}

#[test]
fn media_that_comes_in_lumps_is_kept_company_and_stays_whole() {
    let lumps = (0..4).fold(
        Answer::head("200 OK", "Content-Type: video/mp2t\r\n"),
        |answer, turn: u64| {
            let group = source().group() * 2;
            let packets = turn * group..(turn + 1) * group;
            let bytes = packets.flat_map(|index| source().packet(index)).collect();
            answer
                .then(Step::Bytes(bytes))
                .then(Step::Wait(Duration::from_millis(1_300)))
        },
    );
    let lumps = lumps.then(Step::Hang);
    let upstream = Upstream::start(move |_| lumps.clone());
    let server = Server::start(
        &Config::new()
            .set("stream", "idle_timeout_ms", 60_000)
            .channel(7, &[upstream.url("/a.ts")]),
    );
    let viewer = server.viewer(7);
    let last = source().number_at(source().group() * 8 - 1);
    viewer.wait("the last lump", |state| {
        state.seen().last.is_some_and(|label| label.number == last)
    });
    wait_nulls(&viewer, 6);
    viewer.seen().assert_unbroken();
    viewer.seen().assert_starts_at_join_point();
}
