//! What corecast makes of imperfect transport streams: whole packets in their order, everything else counted.

use std::time::Duration;

use corecast_load::packets::Source;

use crate::config::Config;
use crate::launch::Launch;
use crate::names::metric;
use crate::server::{Server, path};
use crate::tools;
use crate::upstream::{Answer, Framing, Media, Pace, Step, Upstream};

fn source() -> Source {
    Source::new(1, 2_000)
}

#[test]
fn junk_between_packets_is_thrown_away_and_counted() {
    let upstream = Upstream::start(|_| Answer::media(Media::live(source()).junk_every(150)));
    let server = Server::start(&Config::new().channel(7, &[upstream.url("/a.ts")]));
    let viewer = server.viewer(7);
    viewer.wait("three seconds of media", |state| {
        state.seen().bytes > 750_000
    });
    let seen = viewer.seen();
    assert_eq!(
        (seen.torn, seen.repeated, seen.reordered),
        (0, 0, 0),
        "{seen:?}"
    );
    assert!(
        seen.lost <= seen.packets / 150 + 1,
        "one packet lost for each junk is the limit: {seen:?}"
    );
    let resyncs = server.metric(metric::RESYNCS, &[("channel", "7")]);
    assert!(
        resyncs >= seen.packets / 150 / 2,
        "{resyncs} resyncs counted over {} packets",
        seen.packets
    );
}

#[test]
fn junk_before_the_first_packet_is_thrown_away() {
    let junk: Vec<u8> = b"G--- not yet ---".repeat(500);
    let upstream = Upstream::start(move |_| {
        Answer::head("200 OK", "Content-Type: video/mp2t\r\n")
            .then(Step::Bytes(junk.clone()))
            .then(Step::Media(Media::live(source())))
    });
    let server = Server::start(&Config::new().channel(7, &[upstream.url("/a.ts")]));
    let viewer = server.viewer(7);
    viewer.wait("media", |state| state.seen().packets > 300);
    viewer.seen().assert_unbroken();
    viewer.seen().assert_starts_at_join_point();
}

#[test]
fn gaps_of_the_upstream_are_passed_on_and_counted() {
    let upstream = Upstream::start(|_| Answer::media(Media::live(source()).omit_every(500)));
    let server = Server::start(&Config::new().channel(7, &[upstream.url("/a.ts")]));
    let viewer = server.viewer(7);
    // A gap is seen at the next packet, its jump at the next packet of the same PID.
    viewer.wait("four gaps and their jumps", |state| {
        let gaps = state.seen().gaps.len();
        gaps >= 4 && state.seen().unflagged_jumps >= gaps as u64
    });
    let seen = viewer.seen();
    seen.assert_whole();
    assert_eq!(
        seen.flagged_jumps, 0,
        "a jump that is not corecast's is not flagged by it: {seen:?}"
    );
    assert_eq!(seen.lost, seen.gaps.len() as u64, "{seen:?}");
    let counted = server.metric(metric::CONTINUITY_ERRORS, &[("channel", "7")]);
    assert!(
        counted >= seen.unflagged_jumps,
        "{counted} counted of {seen:?}"
    );
}

#[test]
fn clean_upstream_counts_no_error_however_it_is_cut() {
    let upstream = Upstream::start(|_| {
        Answer::media(Media::live(source()).framing(Framing::ChunkedWithExtensions))
    });
    let server = Server::start(&Config::new().channel(7, &[upstream.url("/a.ts")]));
    let viewer = server.viewer(7);
    viewer.wait("three seconds of media", |state| {
        state.seen().bytes > 750_000
    });
    viewer.seen().assert_unbroken();
    assert_eq!(
        (
            server.metric(metric::CONTINUITY_ERRORS, &[]),
            server.metric(metric::RESYNCS, &[])
        ),
        (0, 0)
    );
}

#[test]
fn chunk_limit_of_one_packet_changes_nothing_for_viewers() {
    let upstream = Upstream::live(source());
    let server = Server::start(
        &Config::new()
            .set("stream", "chunk_bytes_max", 188)
            .channel(7, &[upstream.url("/a.ts")]),
    );
    let viewers = [server.viewer(7), server.viewer(7)];
    for viewer in &viewers {
        viewer.wait("two seconds of media", |state| state.seen().bytes > 500_000);
        viewer.seen().assert_unbroken();
        viewer.seen().assert_starts_at_join_point();
    }
}

#[test]
fn dribbled_media_is_passed_on_as_it_comes() {
    let upstream = Upstream::live(Source::new(1, 150));
    let server = Server::start(&Config::new().channel(7, &[upstream.url("/a.ts")]));
    let viewer = server.viewer(7);
    viewer.wait("two seconds of media", |state| state.seen().packets > 200);
    viewer.seen().assert_unbroken();
    viewer.assert_steady();
}

#[test]
fn burst_of_an_upstream_loses_a_viewer_nothing() {
    let lump = Media::live(source()).pace(Pace::Lump(Duration::from_secs(4)));
    let upstream = Upstream::start(move |_| Answer::media(lump));
    // The silence after the lump is as long as the lump and longer than the idle timeout.
    let config = Config::new()
        .set("stream", "idle_timeout_ms", 10_000)
        .set("stream", "ring_ms", 6_000);
    let server = Server::start(&config.channel(7, &[upstream.url("/a.ts")]));
    let viewer = server.viewer(7);
    viewer.wait_within(
        Duration::from_secs(15),
        "the lump and a second more",
        |state| state.seen().bytes > 1_250_000,
    );
    viewer.seen().assert_unbroken();
    assert_eq!(
        (
            upstream.double().connections(),
            server.metric(metric::STALLS, &[])
        ),
        (1, 0)
    );
}

#[test]
fn demo_is_flawless_h264_for_a_real_decoder() {
    let server = Launch::new(&Config::new().demo(7)).start();
    let url = format!("http://{}{}", server.address(), path(7));
    let probe = tools::run(
        "ffprobe",
        &[
            "-v",
            "warning",
            "-show_entries",
            "stream=codec_name,width,height",
            "-of",
            "compact",
            &url,
        ],
    );
    let (said, complained) = (
        String::from_utf8_lossy(&probe.stdout).into_owned(),
        String::from_utf8_lossy(&probe.stderr).into_owned(),
    );
    assert!(
        probe.status.success() && said.contains("codec_name=h264"),
        "{said}{complained}"
    );
    assert_eq!(complained, "", "ffprobe has nothing to complain of");
    let decode = tools::run(
        "ffmpeg",
        &["-v", "warning", "-t", "3", "-i", &url, "-f", "null", "-"],
    );
    assert!(decode.status.success());
    assert_eq!(
        String::from_utf8_lossy(&decode.stderr),
        "",
        "ffmpeg has nothing to complain of"
    );
}
