//! The built-in pattern shows the number of each picture: a viewer's first one says how old it was when it came.
//!
//! The rule: the numbers are read from decoded pictures, of the viewer that joins as of the one that was there before.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use corecast_load::packets::PACKET_BYTES;

use super::watch::{Capture, watch};
use super::{parse, tell};
use crate::config::Config;
use crate::launch::Folder;
use crate::scaled;
use crate::server::{Server, path};
use crate::tools;

#[test]
fn first_picture_of_the_demo_comes_at_once_and_its_bar_code_tells_the_age_of_the_burst() {
    let mut waits: Vec<Duration> = std::thread::scope(|scope| {
        let bursts = [500, 1_500, 4_000].map(Duration::from_millis);
        let channels = bursts.map(|burst| scope.spawn(move || join_at_random(burst)));
        channels
            .into_iter()
            .flat_map(|channel| channel.join().unwrap())
            .collect()
    });
    waits.sort();
    let p95 = waits[(waits.len() * 95).div_ceil(100) - 1];
    tell(&format!(
        "{} joins: the median of the waits is {:?}, p95 {p95:?}, the longest {:?}",
        waits.len(),
        waits[waits.len() / 2],
        waits[waits.len() - 1]
    ));
    assert!(p95 <= Duration::from_millis(300), "{p95:?} of {waits:?}");
}

/// Viewers that join a demo which is live already, at random moments: each one's first picture is as old as it may be.
///
/// Tells how long each waited for it.
fn join_at_random(burst: Duration) -> Vec<Duration> {
    let config = Config::new().set("stream", "burst_ms", burst.as_millis());
    let server = Server::start(&config.demo(CHANNEL));
    let address = server.address();
    let (shown_ms, is_over) = (AtomicU64::new(0), AtomicBool::new(false));
    let (steady, joined) = std::thread::scope(|scope| {
        let steady = scope.spawn(|| Steady::of(address, &shown_ms, &is_over));
        crate::within(20_000, "more pictures than a burst has", || {
            Duration::from_millis(shown_ms.load(Ordering::SeqCst)) > burst + GROUP + TOLERANCE
        });
        let joining = (0..scaled(20, 200)).map(|_| {
            let wait = Duration::from_secs(scaled(5, 60)).mul_f64(fastrand::f64());
            scope.spawn(move || {
                std::thread::sleep(wait);
                FirstPicture::of(address)
            })
        });
        let joining: Vec<_> = joining.collect();
        let joined: Vec<_> = joining
            .into_iter()
            .map(|viewer| viewer.join().unwrap())
            .collect();
        is_over.store(true, Ordering::SeqCst);
        (steady.join().unwrap(), joined)
    });
    let pictures = steady.pictures();
    for (joined, number) in joined.iter().zip(numbers_of_first(&joined)) {
        assert_eq!(number % GROUP_PICTURES, 0, "a key frame is the first");
        let age_at = |time: Instant| {
            let newest = pictures.partition_point(|(came, _)| *came <= time);
            (pictures[newest - 1].1.checked_sub(number)).map(|pictures| PICTURE * pictures)
        };
        // Who was there before has a picture no sooner than the server, and the server hears of a join no sooner than
        // it was asked for: the age was between these two when the server chose the picture.
        let asked = age_at(joined.asked).unwrap();
        let came = age_at(joined.asked + joined.wait).unwrap();
        assert!(
            asked <= burst + GROUP + 2 * PICTURE && came + TOLERANCE >= burst,
            "picture {number} was {asked:?} old when it was asked for and {came:?} when it came; the burst is {burst:?}"
        );
        assert!(
            asked + GROUP >= burst,
            "picture {number} was only {asked:?} old when it was asked for; the burst is {burst:?}"
        );
    }
    joined.into_iter().map(|joined| joined.wait).collect()
}

/// A viewer that keeps the channel live.
struct Steady {
    asked: Instant,
    capture: Capture,
}

impl Steady {
    /// Watches until it is over and tells meanwhile how much it has been shown.
    fn of(address: SocketAddr, shown_ms: &AtomicU64, is_over: &AtomicBool) -> Self {
        let mut steady = Self {
            asked: Instant::now(),
            capture: Capture::default(),
        };
        watch(address, &path(CHANNEL), None, |time, bytes| {
            steady.capture.take(time, bytes);
            let shown = steady.capture.span().as_millis();
            shown_ms.store(u64::try_from(shown).unwrap(), Ordering::SeqCst);
            !is_over.load(Ordering::SeqCst)
        });
        steady
    }

    /// When each picture was there and which number it shows.
    fn pictures(&self) -> Vec<(Instant, u32)> {
        let mut units = parse::units(&self.capture.bytes);
        units.pop();
        let shown = numbers(&[&parse::whole_units(&self.capture.bytes)]);
        assert_eq!(shown[0].len(), units.len(), "all pictures are shown");
        assert!(
            shown[0]
                .iter()
                .copied()
                .eq(shown[0][0]..=shown[0][units.len() - 1]),
            "no picture is left out: {:?}",
            shown[0]
        );
        let came = units
            .iter()
            .map(|unit| self.asked + self.capture.came_at(unit.end));
        came.zip(shown[0].iter().copied()).collect()
    }
}

/// What a viewer had when its first picture was whole.
struct FirstPicture {
    asked: Instant,
    /// Until the last byte of the picture was there.
    wait: Duration,
    /// All up to this byte.
    bytes: Vec<u8>,
}

impl FirstPicture {
    fn of(address: SocketAddr) -> Self {
        let asked = Instant::now();
        let mut capture = Capture::default();
        let mut units = Vec::new();
        watch(address, &path(CHANNEL), None, |time, bytes| {
            capture.take(time, bytes);
            units = parse::units(&capture.bytes);
            units.len() < 2
        });
        let end = units[0].end;
        Self {
            asked,
            wait: capture.came_at(end),
            bytes: capture.bytes[..end * PACKET_BYTES].to_vec(),
        }
    }
}

fn numbers_of_first(joined: &[FirstPicture]) -> Vec<u32> {
    let captures: Vec<&[u8]> = joined.iter().map(|joined| &*joined.bytes).collect();
    let shown = captures.chunks(DECODED_AT_ONCE).flat_map(numbers);
    shown
        .map(|numbers| {
            assert_eq!(numbers.len(), 1, "the picture is whole");
            numbers[0]
        })
        .collect()
}

/// The numbers that the pictures of each capture show, read from its lowest lines once it is decoded.
fn numbers(captures: &[&[u8]]) -> Vec<Vec<u32>> {
    let folder = Folder::new();
    let file = |name: String| folder.path().join(name).to_str().unwrap().to_owned();
    let mut inputs = ["-v", "error", "-xerror"].map(str::to_owned).to_vec();
    let mut outputs = Vec::new();
    for (index, bytes) in captures.iter().enumerate() {
        let capture = file(format!("{index}.ts"));
        std::fs::write(&capture, bytes).unwrap();
        inputs.extend(["-i".to_owned(), capture]);
        outputs.extend(["-map".to_owned(), format!("{index}:v")]);
        let line = format!("format=gray,crop={WIDTH}:1:0:{LINE}");
        let raw = ["-vf", &line, "-pix_fmt", "gray", "-f", "rawvideo"];
        outputs.extend(raw.map(str::to_owned));
        outputs.extend(["-vsync", "passthrough"].map(str::to_owned));
        outputs.push(file(format!("{index}.gray")));
    }
    let arguments = [inputs, outputs].concat();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let decoded = tools::run("ffmpeg", &arguments);
    assert!(decoded.status.success(), "{decoded:?}");
    (0..captures.len())
        .map(|index| {
            let lines = std::fs::read(file(format!("{index}.gray"))).unwrap();
            lines.chunks_exact(WIDTH).map(number).collect()
        })
        .collect()
}

/// The number in one line of a bar code: a bit per cell, white is one, the highest comes first.
fn number(line: &[u8]) -> u32 {
    line.chunks_exact(CELL).fold(0, |number, cell| {
        let is_white = cell[CELL / 2] >= 128;
        assert!(
            cell.iter().all(|light| (*light >= 128) == is_white),
            "a cell is of one colour: {cell:?}"
        );
        number << 1 | u32::from(is_white)
    })
}

const CHANNEL: u32 = 123;
/// Pixels of a line, and of one cell in it.
const WIDTH: usize = 320;
const CELL: usize = 16;
/// A line through the bar code.
const LINE: usize = 168;
const PICTURE: Duration = Duration::from_millis(40);
const GROUP: Duration = Duration::from_secs(1);
const GROUP_PICTURES: u32 = 25;
/// How much later than the server the viewer that was there before may have a picture.
const TOLERANCE: Duration = Duration::from_millis(250);
/// Captures that one decoder is given.
const DECODED_AT_ONCE: usize = 25;
