//! An upstream that is cut again and again and begins each time with what was on air before: nothing is shown twice.

use std::time::Duration;

use corecast_load::packets::Source;

use crate::config::Config;
use crate::scaled;
use crate::server::Server;
use crate::upstream::{Answer, Media, Step, Upstream};
use crate::viewer::Viewer;

fn source() -> Source {
    Source::new(1, 2_000)
}

/// What was on air from `behind` ago on, at once, then live until `live` has passed.
fn overlapping(behind: Duration, live: Duration) -> Answer {
    let media = behind + live;
    let bytes = u128::from(source().bit_per_s()) * media.as_millis() / 8_000;
    // Not the end of a packet.
    let bytes = u64::try_from(bytes).unwrap() / 188 * 188 + 77;
    Answer::media(Media::live(source()).behind(behind).bytes(bytes))
}

#[test]
fn upstream_that_restarts_some_seconds_back_is_joined_where_it_was_lost() {
    let live = Duration::from_secs(scaled(1, 10));
    let upstream = Upstream::start(move |asked| {
        let behind = [2_000, 5_500, 700, 9_000, 3_100];
        let nth = usize::try_from(asked.nth).unwrap();
        overlapping(Duration::from_millis(behind[nth % behind.len()]), live)
    });
    let server = Server::start(&Config::new().channel(7, &[upstream.url("/a.ts")]));
    let viewers: Vec<Viewer> = (0..3).map(|_| server.viewer(7)).collect();
    let cuts = usize::try_from(scaled(15, 28)).unwrap();
    for viewer in &viewers {
        viewer.wait_within(Duration::from_secs(scaled(40, 400)), "the cuts", |state| {
            state.seen().gaps.len() >= cuts || state.ended().is_some()
        });
        assert_eq!(viewer.ended(), None);
        let seen = viewer.seen();
        seen.assert_spliced();
        // The upstream overlaps, so no more is lost than the rest of the torn group.
        for gap in &seen.gaps {
            assert!(gap.to - gap.from < source().group(), "{gap:?} in {seen:?}");
        }
        assert!(
            viewer.longest_silence() < Duration::from_millis(2_500),
            "{:?}",
            viewer.longest_silence()
        );
    }
}

#[test]
fn upstream_that_will_not_catch_up_is_shown_again_rather_than_nothing() {
    let tenth = Duration::from_millis(100);
    let past = overlapping(Duration::ZERO, Duration::from_secs(2));
    let far_back = Media::live(source()).behind(Duration::from_secs(300));
    let upstream = Upstream::start(move |asked| {
        if asked.nth == 0 {
            return past.clone();
        }
        // Its own gaps do not matter: it goes on at the pace of the broadcast, five minutes late.
        let piece = source().index_at(tenth) * 188;
        let mut answer = Answer::head("200 OK", "Content-Type: video/mp2t\r\n");
        for _ in 0..150 {
            answer = answer.then(Step::Media(far_back.bytes(piece)));
            answer = answer.then(Step::Wait(tenth));
        }
        answer
    });
    // Far more than it takes to see that five minutes will not be made up for.
    let config = Config::new().set("stream", "start_timeout_ms", 20_000);
    let server = Server::start(&config.channel(7, &[upstream.url("/a.ts")]));
    let viewer = server.viewer(7);
    viewer.wait("what was shown before", |state| {
        state.seen().repeated > 500 || state.ended().is_some()
    });
    assert_eq!(viewer.ended(), None);
    let silence = viewer.longest_silence();
    assert!(
        (Duration::from_secs(2)..Duration::from_secs(6)).contains(&silence),
        "silent for {silence:?}"
    );
    assert_eq!(upstream.double().connections(), 2);
}

#[test]
fn file_that_is_sent_again_and_again_is_shown_again_and_again() {
    let packets = source().index_at(Duration::from_secs(4));
    let file: Vec<u8> = (0..packets)
        .flat_map(|index| source().packet(index))
        .collect();
    let upstream = Upstream::start(move |_| {
        let headers = format!(
            "Content-Type: video/mp2t\r\nContent-Length: {}\r\n",
            file.len()
        );
        Answer::head("200 OK", &headers).then(Step::Bytes(file.clone()))
    });
    let config = Config::new().set("stream", "start_timeout_ms", 20_000);
    let server = Server::start(&config.channel(7, &[upstream.url("/a.ts")]));
    let viewer = server.viewer(7);
    viewer.wait_within(Duration::from_secs(20), "four rounds", |state| {
        state.seen().repeated > 3 * packets * 9 / 10 || state.ended().is_some()
    });
    assert_eq!(viewer.ended(), None);
    let (seen, silence) = (viewer.seen(), viewer.longest_silence());
    assert_eq!(
        (seen.torn, seen.unannounced, seen.unflagged_jumps),
        (0, 0, 0)
    );
    assert!(silence < Duration::from_secs(3), "silent for {silence:?}");
    // Once it was read in vain to see that it is a file.
    let asked = upstream.double().connections();
    assert!((5..=6).contains(&asked), "asked {asked} times");
}
