//! Upstreams that go on sending and bring nothing new: a clock that stands still, sound without a picture.

use std::time::Duration;

use corecast_load::packets::{AUDIO_PID, PACKET_BYTES, Source};

use crate::config::Config;
use crate::names::metric;
use crate::server::Server;
use crate::upstream::{Answer, Step, Upstream};
use crate::viewer::Viewer;

fn source() -> Source {
    Source::new(1, 2_000)
}

/// Packets of one 40 ms frame.
fn frame_packets() -> u64 {
    source().group() / 12
}

/// A packet that says nothing of its number, so that it may come again.
fn unnumbered(index: u64) -> [u8; PACKET_BYTES] {
    let mut packet = source().packet(index);
    packet[PACKET_BYTES - 40..].fill(0xEE);
    packet
}

/// Two seconds of media at once, then `pieces`, a tenth of a second apart.
fn then_paced(pieces: impl Iterator<Item = Vec<u8>>) -> Upstream {
    let begin = (0..packets_of_two_seconds()).flat_map(|index| source().packet(index));
    let head = Answer::head("200 OK", "Content-Type: video/mp2t\r\n");
    let begun = head.then(Step::Bytes(begin.collect()));
    let answer = pieces.fold(begun, |answer, piece| {
        answer
            .then(Step::Bytes(piece))
            .then(Step::Wait(Duration::from_millis(100)))
    });
    Upstream::start(move |_| answer.clone())
}

fn packets_of_two_seconds() -> u64 {
    source().group() * 4
}

/// Its first frame again and again, with the same clock and the same time stamp.
fn stands_still() -> Upstream {
    let key = packets_of_two_seconds() + 2;
    let before = source().packet(packets_of_two_seconds() - 2)[3] & 15;
    then_paced((0..200).map(move |turn: u64| {
        let counters = turn * 16 + 1..(turn + 1) * 16 + 1;
        let packets = counters.flat_map(|count| {
            let mut packet = unnumbered(key + frame_packets() - 2);
            let counter = u8::try_from((u64::from(before) + count) % 16).unwrap();
            packet[3] = packet[3] & 0xF0 | counter;
            packet
        });
        packets.collect()
    }))
}

/// The sound of what would follow, and nothing else.
fn loses_its_picture() -> Upstream {
    let first = packets_of_two_seconds();
    then_paced((0..80_u64).map(move |turn| {
        let frames = turn * 5 / 2..(turn + 1) * 5 / 2;
        let sounds = frames.flat_map(|frame| {
            let packet = unnumbered(first + (frame + 1) * frame_packets() - 1);
            let pid = u16::from_be_bytes([packet[1] & 0x1F, packet[2]]);
            assert_eq!(pid, AUDIO_PID);
            packet
        });
        sounds.collect()
    }))
}

#[track_caller]
fn assert_left(frozen: &Upstream, said: &str) {
    let good = Upstream::live(Source::new(2, 2_000));
    let server = Server::start(
        &Config::new()
            .set("stream", "idle_timeout_ms", 2_000)
            .set("stream", "return_ms", 0)
            .channel(7, &[frozen.url("/a.ts"), good.url("/b.ts")]),
    );
    let viewers: Vec<Viewer> = (0..2).map(|_| server.viewer(7)).collect();
    for viewer in &viewers {
        viewer.wait_within(Duration::from_secs(15), "the other upstream", |state| {
            state.seen().last.is_some_and(|last| last.origin == 2)
        });
        viewer.wait_more(300);
        viewer.seen().assert_spliced();
        assert_eq!((viewer.seen().switches, viewer.ended()), (1, None));
    }
    assert_eq!(server.metric(metric::STALLS, &[("channel", "7")]), 1);
    assert_eq!(
        (frozen.double().connections(), good.double().connections()),
        (1, 1)
    );
    server.wait_log(1, said);
}

#[test]
fn upstream_whose_clock_stands_still_is_left_for_the_next() {
    assert_left(&stands_still(), "its clock stands still");
}

#[test]
fn upstream_that_loses_its_picture_is_left_for_the_next() {
    assert_left(&loses_its_picture(), "sound without a picture");
}
