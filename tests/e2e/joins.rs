//! Viewers that join at any moment, skip or are brought to live, as real decoders see them.
//!
//! What is sent is in `file.rs`, what a viewer keeps in `watch.rs`, how it is read in `parse.rs`; the built-in pattern is
//! in `demo.rs`, upstreams that break off in `cuts.rs`, what viewers cost each other in `delay.rs`. The rule: a capture
//! is judged by a decoder that forgives nothing, and by the bytes that were sent.

mod cuts;
mod delay;
mod demo;
mod file;
mod parse;
mod turns;
mod watch;

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use corecast_load::packets::{PACKET_BYTES, Source};
use corecast_load::verify::Verifier;

use crate::config::Config;
use crate::launch::Folder;
use crate::names::{ends, metric};
use crate::scaled;
use crate::server::{Server, path};
use crate::tools;
use crate::upstream::{Answer, Media, Upstream};

use file::{Broadcast, FileUpstream, Kind};
use parse::{Codec, PAT_PID, VIDEO_PID};
use watch::{Capture, watch};

#[test]
fn closed_groups_of_h264_decode_from_the_first_packet() {
    assert_joins_decode(Kind::Closed);
}

#[test]
fn hevc_as_x265_makes_it_decodes_from_the_first_packet() {
    assert_joins_decode(Kind::Hevc);
}

#[test]
fn mpeg2_decodes_from_the_first_packet() {
    assert_joins_decode(Kind::Mpeg2);
}

#[test]
fn h264_without_random_access_flags_decodes_from_the_first_packet() {
    assert_joins_decode(Kind::Unflagged);
}

#[test]
fn open_groups_of_h264_decode_but_for_pictures_that_need_the_group_before() {
    assert_joins_decode(Kind::Open);
}

/// Viewers join at random moments; each one's capture is what was sent from a key frame on, and decodes.
#[track_caller]
fn assert_joins_decode(kind: Kind) {
    let broadcast = Broadcast::of(kind);
    let upstream = FileUpstream::start(&broadcast, LEAD, 2);
    // Longer than any pause between two viewers: who comes first starts the channel, the others find it live.
    let config = Config::new().set("stream", "linger_ms", 20_000);
    let server = Server::start(&config.channel(7, &[upstream.url()]));
    let over = Duration::from_secs(scaled(10, 40));
    let mut captures = Vec::new();
    std::thread::scope(|scope| {
        let viewers: Vec<_> = (0..scaled(20, 200))
            .map(|_| {
                let wait = over.mul_f64(fastrand::f64());
                let address = server.address();
                scope.spawn(move || {
                    std::thread::sleep(wait);
                    Capture::of(address, &path(7), Duration::from_secs(5))
                })
            })
            .collect();
        captures.extend(viewers.into_iter().map(|viewer| viewer.join().unwrap()));
    });
    let folder = Folder::new();
    for capture in &captures {
        assert_begins_with_a_picture(&capture.bytes, kind);
        assert_was_sent(&capture.bytes, &broadcast.bytes);
        let mut whole = parse::whole_units(&capture.bytes);
        if kind == Kind::Open {
            whole = parse::without_leading(&whole);
        }
        assert_decodes(&whole, &folder);
    }
    assert_eq!(upstream.connections(), 1);
    assert_eq!(server.metric(metric::SKIPS, &[]), 0);
}

#[test]
fn throttled_viewer_gets_whole_pictures_between_announced_jumps_and_others_all() {
    let broadcast = Broadcast::of(Kind::Padded);
    let upstream = FileUpstream::start(&broadcast, Duration::ZERO, 1);
    let config = Config::new()
        .set("stream", "ring_ms", 2_000)
        .set("stream", "burst_ms", 1_000);
    let server = Server::start(&config.channel(7, &[upstream.url()]));
    let (address, time) = (server.address(), Duration::from_secs(scaled(20, 60)));
    let (slow, healthy) = std::thread::scope(|scope| {
        let slow = scope.spawn(move || Capture::slow(address, &path(7), 500_000, time));
        let healthy: Vec<_> = (0..3)
            .map(|_| scope.spawn(move || Capture::of(address, &path(7), time)))
            .collect();
        let healthy: Vec<_> = healthy
            .into_iter()
            .map(|viewer| viewer.join().unwrap())
            .collect();
        (slow.join().unwrap(), healthy)
    });
    let folder = Folder::new();
    for capture in &healthy {
        assert_was_sent(&capture.bytes, &broadcast.bytes);
    }
    let pieces = parse::stretches(&slow.bytes);
    let jumps = pieces.len() - 1;
    assert!(jumps >= 2, "{jumps} jumps in {time:?}");
    for piece in pieces {
        assert_begins_with_a_picture(piece, Kind::Padded);
        assert_was_sent(piece, &broadcast.bytes);
        assert_decodes(&parse::whole_units(piece), &folder);
    }
    assert!(server.metric(metric::SKIPS, &[]) >= jumps as u64);
    assert_eq!(server.metric(metric::ENDS, &[("reason", ends::STALLED)]), 0);
}

#[test]
fn first_picture_comes_at_once_and_is_as_old_as_the_burst() {
    let upstream = FileUpstream::start(&Broadcast::of(Kind::Closed), LEAD, 1);
    let server = Server::start(&Config::new().channel(7, &[upstream.url()]));
    let address = server.address();
    let (newest, is_over) = (AtomicU64::new(0), AtomicBool::new(false));
    let mut waits = Vec::new();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut steady = Capture::default();
            watch(address, &path(7), None, |time, bytes| {
                steady.take(time, bytes);
                newest.store(steady.newest().unwrap_or(0), Ordering::SeqCst);
                !is_over.load(Ordering::SeqCst)
            });
        });
        crate::within(10_000, "more media than a burst has", || {
            parse::time(newest.load(Ordering::SeqCst)) > LEAD
        });
        for _ in 0..JOINS {
            let wait = first_picture(address, &newest);
            waits.push(wait);
            std::thread::sleep(Duration::from_millis(fastrand::u64(0..200)));
        }
        is_over.store(true, Ordering::SeqCst);
    });
    waits.sort();
    let p95 = waits[waits.len() * 95 / 100];
    assert!(p95 <= Duration::from_millis(300), "{p95:?} of {waits:?}");
}

/// How long a viewer waits for its first picture, which must be as old as it may be.
#[track_caller]
fn first_picture(address: SocketAddr, newest: &AtomicU64) -> Duration {
    let mut capture = Capture::default();
    let mut live = None;
    let mut units = Vec::new();
    watch(address, &path(7), None, |time, bytes| {
        live = live.or_else(|| Some(newest.load(Ordering::SeqCst)));
        capture.take(time, bytes);
        units = parse::units(&capture.bytes);
        units.len() < 2
    });
    assert!(Codec::H264.is_key(&units[0].bytes));
    let age = parse::time(live.unwrap() - units[0].shown_at);
    let expected = BURST - TOLERANCE..BURST + GROUP + TOLERANCE;
    assert!(expected.contains(&age), "the first picture is {age:?} old");
    capture.came_at(units[0].end)
}

#[test]
fn burst_brings_one_group_at_once_and_the_rest_at_four_times_its_speed() {
    let source = Source::new(1, 2_000);
    let media = Media::live(source).behind(LEAD);
    let upstream = Upstream::start(move |_| Answer::media(media));
    let config = Config::new().set("stream", "burst_ms", 4_000);
    let server = Server::start(&config.channel(7, &[upstream.url("/a.ts")]));
    let steady = server.viewer(7);
    steady.wait("more media than a burst has", |state| {
        state.seen().bytes > 1_250_000
    });
    let address = server.address();
    let courses: Vec<Course> = std::thread::scope(|scope| {
        let viewers: Vec<_> = (0..5)
            .map(|_| scope.spawn(move || Course::of(address, source)))
            .collect();
        viewers
            .into_iter()
            .map(|viewer| viewer.join().unwrap())
            .collect()
    });
    let ms = Duration::from_millis;
    for course in &courses {
        assert!(
            course.media_at(ms(200)) < ms(2_000),
            "not all comes at once"
        );
        assert!(
            course.came_at(ms(4_000)) > ms(700),
            "the rest keeps its pace"
        );
        let live = course.media_at(ms(4_000)) - course.media_at(ms(2_000));
        assert!(
            (ms(1_800)..ms(2_200)).contains(&live),
            "{live:?} in 2 s of live"
        );
    }
    let median = |mut times: Vec<Duration>| {
        times.sort();
        times[times.len() / 2]
    };
    let group = median(
        courses
            .iter()
            .map(|course| course.came_at(ms(480)))
            .collect(),
    );
    assert!(group <= ms(200), "the first group came after {group:?}");
    let burst = median(
        courses
            .iter()
            .map(|course| course.came_at(ms(4_000)))
            .collect(),
    );
    assert!(burst <= ms(1_500), "the burst came after {burst:?}");
    assert_eq!(server.metric(metric::SKIPS, &[]), 0);
}

/// How much media a viewer had at which time.
struct Course(Vec<(Duration, Duration)>);

impl Course {
    /// The first five seconds of a viewer.
    fn of(address: SocketAddr, source: Source) -> Self {
        let mut verifier = Verifier::default();
        let mut course = Vec::new();
        watch(address, &path(7), None, |time, bytes| {
            verifier.push(bytes);
            let seen = verifier.seen();
            if let (Some(first), Some(last)) = (seen.first, seen.last) {
                course.push((time, source.media_between(first.number, last.number)));
            }
            time < Duration::from_secs(5)
        });
        verifier.seen().assert_unbroken();
        verifier.seen().assert_starts_at_join_point();
        Self(course)
    }

    fn media_at(&self, time: Duration) -> Duration {
        let after = self.0.partition_point(|(at, _)| *at <= time);
        self.0[..after]
            .last()
            .map_or(Duration::ZERO, |(_, media)| *media)
    }

    fn came_at(&self, media: Duration) -> Duration {
        let first = self.0.partition_point(|(_, seen)| *seen < media);
        self.0[first].0
    }
}

/// Asserts that tables come first and then a key frame, before any other picture.
#[track_caller]
fn assert_begins_with_a_picture(bytes: &[u8], kind: Kind) {
    let program = kind.program();
    let opening: Vec<u16> = parse::packets(bytes)
        .filter(|packet| !packet.is_announcement())
        .map(parse::Packet::pid)
        .take(3)
        .collect();
    assert_eq!(opening, [PAT_PID, program.pmt, program.video]);
    let mut video = parse::packets(bytes)
        .filter(|packet| packet.pid() == program.video && !packet.is_announcement());
    assert!(video.next().unwrap().begins_unit(), "a picture begins");
    let units = parse::units_of(bytes, program.video);
    assert!(
        kind.codec().is_key(&units[0].bytes),
        "a key frame is the first"
    );
}

/// Asserts that what follows the first tables was sent just so, apart from what fills a silence.
#[track_caller]
fn assert_was_sent(bytes: &[u8], broadcast: &[u8]) {
    let begin =
        parse::packets(bytes).position(|packet| packet.pid() == VIDEO_PID && packet.begins_unit());
    let got = &bytes[begin.unwrap() * PACKET_BYTES..];
    let opening = &got[..OPENING_BYTES];
    let sent = (0..broadcast.len())
        .step_by(PACKET_BYTES)
        .map(|at| &broadcast[at..])
        .find(|sent| sent.starts_with(opening));
    let mut sent = parse::packets(sent.unwrap());
    let mut next = sent.next();
    for (index, packet) in parse::packets(got).enumerate() {
        let was_sent = next.is_some_and(|next| next.bytes() == packet.bytes());
        assert!(
            was_sent || packet.pid() == parse::NULL_PID,
            "packet {index} was lost or changed: {next:02x?} was sent, {packet:02x?} came"
        );
        if was_sent {
            next = sent.next();
        }
    }
}

#[track_caller]
fn assert_decodes(bytes: &[u8], folder: &Folder) {
    let file = folder.path().join("capture.ts");
    std::fs::write(&file, bytes).unwrap();
    if let Some(complaints) = tools::complaints(&file) {
        panic!("{} bytes do not decode: {complaints}", bytes.len());
    }
}

/// Tells what was measured to whoever runs the tests with their output.
#[expect(
    clippy::print_stdout,
    reason = "the long forms say what they have seen"
)]
fn tell(figures: &str) {
    println!("{figures}");
}

/// What of a broadcast is there when it is first asked for.
const LEAD: Duration = Duration::from_secs(6);
/// The burst that channels have by default.
const BURST: Duration = Duration::from_secs(2);
/// From one key frame of a file to the next.
const GROUP: Duration = Duration::from_secs(2);
/// What chunks, scheduling and the order of pictures add to the age of one.
const TOLERANCE: Duration = Duration::from_millis(250);
const JOINS: usize = 40;
/// Enough to find a place in a broadcast.
const OPENING_BYTES: usize = 4 * PACKET_BYTES;
