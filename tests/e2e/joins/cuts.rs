//! Real pictures and sound over upstreams that break off again and again: viewers get all of it once, in whole pieces.
//!
//! When which upstream sends is in `turns.rs`. The rule: between two announced jumps there is what a decoder shows from
//! the first packet on, and what was sent before any of them is found in the broadcast behind what was found before.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use corecast_load::packets::PACKET_BYTES;
use corecast_load::verify::Verifier;

use super::file::{Broadcast, Kind};
use super::turns::Turns;
use super::watch::{Capture, watch};
use super::{assert_begins_with_a_picture, assert_decodes, parse, tell};
use crate::config::Config;
use crate::launch::Folder;
use crate::names::metric;
use crate::scaled;
use crate::server::{Server, path};

#[test]
fn upstream_that_is_cut_and_restarts_some_seconds_back_shows_no_unit_twice() {
    let turns = Turns::new(1, &FAR_BACK_MS);
    let captures = captures(&turns, &[Kind::Brisk]);
    let (mut shown, mut lost) = (Shown::new(&[Kind::Brisk]), Vec::new());
    for capture in &captures {
        lost.extend(shown.assert_pieces(&capture.bytes));
        shown.forget();
    }
    lost.sort();
    let worst = lost[lost.len() - 1];
    tell(&format!(
        "{} seams of {} viewers leave out {worst:?} of pictures at most",
        lost.len(),
        captures.len()
    ));
    // Each fetch overlaps the one before, so that no more is lost than the rest of the torn group.
    assert!(worst <= GROUP, "{worst:?} lost");
    for capture in &captures[..FROM_THE_START] {
        let pieces = parse::stretches(&capture.bytes).len() as u64;
        assert_eq!(
            pieces,
            turns.cuts + 1,
            "each seam is announced, and no other"
        );
    }
}

#[test]
fn upstreams_with_other_pids_and_clocks_take_over_from_each_other_in_whole_pieces() {
    let kinds = [Kind::Brisk, Kind::BriskElsewhere];
    let turns = Turns::new(2, &LITTLE_BACK_MS);
    let captures = captures(&turns, &kinds);
    let mut shown = Shown::new(&kinds);
    let mut jumps = 0;
    for capture in &captures {
        shown.assert_pieces(&capture.bytes);
        shown.forget();
        jumps += parse::stretches(&capture.bytes).len() - 1;
    }
    tell(&format!(
        "{jumps} changes of upstream, {} viewers",
        captures.len()
    ));
    for capture in &captures[..FROM_THE_START] {
        let pieces = parse::stretches(&capture.bytes);
        let kinds: Vec<Kind> = pieces.iter().map(|piece| shown.kind(piece)).collect();
        let in_turn = [Kind::Brisk, Kind::BriskElsewhere].into_iter().cycle();
        let expected: Vec<Kind> = in_turn.take(pieces.len()).collect();
        assert_eq!(kinds, expected, "each takes over from the other");
        assert_eq!(
            pieces.len() as u64,
            turns.cuts + 1,
            "at each cut and never else"
        );
    }
}

/// What viewers get while upstreams of these kinds are cut in turn; the first ones are there from the start.
fn captures(turns: &Arc<Turns>, kinds: &[Kind]) -> Vec<Capture> {
    let upstreams: Vec<_> = (0..)
        .zip(kinds)
        .map(|(number, kind)| turns.upstream(number, &Broadcast::of(*kind)))
        .collect();
    let urls: Vec<String> = upstreams
        .iter()
        .map(|upstream| format!("http://{}/live.ts", upstream.address()))
        .collect();
    let server = Server::start(
        &Config::new()
            .set("stream", "return_ms", 0)
            .channel(7, &urls),
    );
    let (address, is_over) = (server.address(), AtomicBool::new(false));
    let captures: Vec<Capture> = std::thread::scope(|scope| {
        let late = std::iter::repeat_with(|| turns.time_min().mul_f64(fastrand::f64()));
        let late = late.take(usize::try_from(scaled(2, 8)).unwrap());
        let waits = [Duration::ZERO; FROM_THE_START].into_iter().chain(late);
        let is_over = &is_over;
        let viewers: Vec<_> = waits
            .map(|wait| {
                scope.spawn(move || {
                    std::thread::sleep(wait);
                    let mut capture = Capture::default();
                    watch(address, &path(7), None, |time, bytes| {
                        capture.take(time, bytes);
                        !is_over.load(Ordering::SeqCst)
                    });
                    capture
                })
            })
            .collect();
        let time_ms = u64::try_from(turns.time_max().as_millis()).unwrap() + 20_000;
        crate::within(time_ms, "all cuts and what follows", || turns.is_done());
        assert_eq!(
            server.metric(metric::ENDS, &[]),
            0,
            "viewers that were ended"
        );
        is_over.store(true, Ordering::SeqCst);
        let viewers = viewers.into_iter();
        viewers.map(|viewer| viewer.join().unwrap()).collect()
    });
    assert_eq!(turns.over(), turns.cuts);
    assert!(server.metric(metric::SWITCHES, &[]) >= turns.cuts);
    captures
}

/// How far a viewer was shown each of the broadcasts.
struct Shown {
    broadcasts: Vec<OnAir>,
    folder: Folder,
}

impl Shown {
    fn new(kinds: &[Kind]) -> Self {
        Self {
            broadcasts: kinds.iter().copied().map(OnAir::new).collect(),
            folder: Folder::new(),
        }
    }

    /// Turns to another viewer, who was shown nothing.
    fn forget(&mut self) {
        for broadcast in &mut self.broadcasts {
            broadcast.tracks.iter_mut().for_each(Track::forget);
        }
    }

    /// Which broadcast the piece is of.
    fn kind(&self, piece: &[u8]) -> Kind {
        self.broadcasts[self.index(piece)].kind
    }

    fn index(&self, piece: &[u8]) -> usize {
        let has = |pid: u16| {
            let mut packets = parse::packets(piece);
            packets.any(|packet| packet.pid() == pid && !packet.is_announcement())
        };
        let of: Vec<usize> = (0..self.broadcasts.len())
            .filter(|index| has(self.broadcasts[*index].kind.program().video))
            .collect();
        assert_eq!(of.len(), 1, "a piece is of one broadcast");
        of[0]
    }

    /// Asserts that between its jumps a capture is what a decoder shows and what was not sent before.
    ///
    /// Tells how much of the pictures each jump leaves out, where the broadcast stays the same.
    #[track_caller]
    fn assert_pieces(&mut self, bytes: &[u8]) -> Vec<Duration> {
        let mut verifier = Verifier::default();
        verifier.push(bytes);
        let seen = verifier.seen();
        assert_eq!((seen.unflagged_jumps, seen.torn), (0, 0), "unflagged, torn");
        let (mut lost, mut before) = (Vec::new(), None);
        for piece in parse::stretches(bytes) {
            let index = self.index(piece);
            let broadcast = &mut self.broadcasts[index];
            let (kind, is_same) = (broadcast.kind, before.replace(index) == Some(index));
            assert_begins_with_a_picture(piece, kind);
            broadcast.assert_tables(piece);
            let [pictures, sound] = broadcast.tracks.each_mut().map(|track| {
                let left_out = track.assert_goes_on(piece, is_same);
                left_out.filter(|_| is_same)
            });
            assert!(sound <= Some(GROUP + SOUND_UNIT), "{sound:?} of sound lost");
            lost.extend(pictures);
            let whole = parse::whole_units_of(piece, kind.program());
            assert_decodes(&whole, &self.folder);
        }
        lost
    }
}

/// One broadcast and how far it was shown.
struct OnAir {
    kind: Kind,
    broadcast: Arc<Broadcast>,
    /// Video and audio.
    tracks: [Track; 2],
}

impl OnAir {
    fn new(kind: Kind) -> Self {
        let (broadcast, program) = (Broadcast::of(kind), kind.program());
        let tracks = [program.video, program.audio].map(|pid| Track::new(&broadcast, pid));
        Self {
            kind,
            broadcast,
            tracks,
        }
    }

    /// Asserts that a piece opens with tables of this broadcast and has packets of no other.
    #[track_caller]
    fn assert_tables(&self, piece: &[u8]) {
        let program = self.kind.program();
        let known = [
            parse::PAT_PID,
            parse::SDT_PID,
            parse::NULL_PID,
            program.pmt,
            program.video,
            program.audio,
        ];
        let media = parse::packets(piece).filter(|packet| !packet.is_announcement());
        for (nth, packet) in media.enumerate() {
            assert!(known.contains(&packet.pid()), "{packet:?}");
            if nth < 2 {
                let mut sent = parse::packets(&self.broadcast.bytes);
                let is_known = sent.any(|sent| sent.bytes() == packet.bytes());
                assert!(is_known, "a table that was never sent: {packet:?}");
            }
        }
    }
}

/// The packets of one PID of a broadcast, and how far they were shown.
struct Track {
    pid: u16,
    packets: Vec<[u8; PACKET_BYTES]>,
    /// How many of them are behind the viewer.
    passed: usize,
    /// When the last unit that was shown is decoded.
    decoded_at: Option<u64>,
}

impl Track {
    fn new(broadcast: &Broadcast, pid: u16) -> Self {
        let packets = parse::packets(&broadcast.bytes);
        Self {
            pid,
            packets: packets
                .filter(|packet| packet.pid() == pid)
                .map(|packet| packet.bytes().try_into().unwrap())
                .collect(),
            passed: 0,
            decoded_at: None,
        }
    }

    fn forget(&mut self) {
        self.passed = 0;
        self.decoded_at = None;
    }

    /// Asserts that a piece has an unbroken run of this PID, behind all that was shown before.
    ///
    /// Tells how much lies between the last unit of that and the first one now, if there was any.
    #[track_caller]
    fn assert_goes_on(&mut self, piece: &[u8], is_same: bool) -> Option<Duration> {
        let got: Vec<parse::Packet<'_>> = parse::packets(piece)
            .filter(|packet| packet.pid() == self.pid && !packet.is_announcement())
            .collect();
        assert!(!got.is_empty(), "nothing on PID {:#x}", self.pid);
        assert!(
            !is_same || got[0].begins_unit(),
            "the rest of a unit whose beginning was cut off"
        );
        let is_found = |from: &usize| {
            let sent = self.packets[*from..].iter();
            sent.len() >= got.len() && sent.zip(&got).all(|(sent, got)| got.bytes() == sent)
        };
        let found = (self.passed..self.packets.len()).find(is_found);
        assert!(
            found.is_some(),
            "packets of PID {:#x} were sent again, lost or changed",
            self.pid
        );
        self.passed = found.unwrap() + got.len();
        let before = self.decoded_at;
        let mut first = None;
        for unit in parse::units_of(piece, self.pid) {
            assert!(self.decoded_at < Some(unit.decoded_at), "time goes back");
            self.decoded_at = Some(unit.decoded_at);
            first = first.or(self.decoded_at);
        }
        let (before, first) = before.zip(first)?;
        Some(parse::time(first - before))
    }
}

/// Viewers that are there before the first cut.
const FROM_THE_START: usize = 2;
const GROUP: Duration = Duration::from_secs(1);
/// What one unit of sound lasts, in which there are many frames of it.
const SOUND_UNIT: Duration = Duration::from_millis(500);
/// How far before what is on air each fetch begins.
const FAR_BACK_MS: [u64; 5] = [2_000, 5_500, 1_200, 9_000, 3_100];
/// The same where upstreams take turns: less than a turn, for the one before goes by another clock.
const LITTLE_BACK_MS: [u64; 3] = [1_500, 900, 1_200];
