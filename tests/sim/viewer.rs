//! A simulated viewer: a place in a ring and a socket that takes what chance lets it.
//!
//! It keeps what it received and checks at each write that the memory it is sent from is as it was published and that
//! its burst keeps its pace. What its bytes have to be in the end is `verdict.rs`.

use corecast::channel::relay::Relay;
use corecast::channel::ring::Ring;
use corecast::clock::micros;
use corecast::config::SlowPolicy;
use corecast::ts::PACKET_BYTES;
use corecast::viewer::burst::Start;
use corecast::viewer::place::{Fall, Next, Place};

use crate::dice::Dice;
use crate::pace::NaivePace;
use crate::published::Published;
use crate::ring::NaiveRing;
use crate::verdict::{Course, Mark};

#[derive(Debug)]
pub(crate) struct Viewer {
    /// Which ring it follows.
    pub(crate) relay: usize,
    place: Place,
    pace: NaivePace,
    socket: Socket,
    /// What the head is not part of.
    received: Vec<u8>,
    marks: Vec<Mark>,
    /// Bytes that go out before the record that was marked last.
    head_left: usize,
    /// It has seen that its place waits for a join point.
    is_waiting: bool,
    pub(crate) waits: usize,
    /// How often its burst was held back.
    pub(crate) holds: usize,
    pub(crate) is_dropped: bool,
}

/// What the shard knows when it lets a viewer act.
#[derive(Clone, Copy)]
pub(crate) struct Shown<'a> {
    pub(crate) relay: &'a Relay,
    pub(crate) naive: &'a NaiveRing,
    pub(crate) published: &'a Published,
    pub(crate) now_us: u64,
}

#[derive(Clone, Copy, Debug)]
enum Socket {
    Fast,
    /// As fast, for good.
    Greedy,
    /// Takes at most so many bytes per visit.
    Slow(usize),
    Stalled,
}

impl Viewer {
    /// A viewer that begins at `start` of the ring it is shown.
    pub(crate) fn new(relay: usize, start: &Start, shown: Shown<'_>) -> Self {
        let Shown {
            published, now_us, ..
        } = shown;
        let ring = shown.relay.ring();
        Self {
            relay,
            place: Place::new(HEAD, start, &ring, now_us),
            pace: NaivePace::new(published, start.chunk.seq, ring.head_seq(), now_us),
            socket: Socket::Fast,
            received: Vec::new(),
            marks: vec![Mark {
                at: 0,
                to: start.chunk.bytes_before,
                skipped: None,
            }],
            head_left: HEAD.len(),
            is_waiting: false,
            waits: 0,
            holds: 0,
            is_dropped: false,
        }
    }

    /// Sends until the socket takes no more or there is nothing to send.
    pub(crate) fn visit(&mut self, shown: Shown<'_>, dice: &mut Dice) {
        if dice.once(12) && !matches!(self.socket, Socket::Greedy) {
            self.socket = match dice.below(6) {
                0 => Socket::Stalled,
                1 => Socket::Slow(dice.within(1, 400)),
                2 => Socket::Slow(dice.within(1, 5_000)),
                _ => Socket::Fast,
            };
        }
        let mut room = match self.socket {
            Socket::Fast | Socket::Greedy => usize::MAX,
            Socket::Slow(bytes) => dice.within(0, bytes),
            Socket::Stalled => 0,
        };
        while room > 0 && !self.is_dropped {
            let Some(taken) = self.step(shown, room, dice) else {
                break;
            };
            room -= taken;
        }
        self.assert_it_may_end();
    }

    /// Takes one step and says how many bytes went out; `None` when there is nothing to send.
    fn step(&mut self, shown: Shown<'_>, room: usize, dice: &mut Dice) -> Option<usize> {
        let Shown {
            relay,
            published,
            now_us,
            ..
        } = shown;
        let ring = relay.ring();
        let at = self.place.at_bytes();
        let is_in_ring = self.place.prefix_bytes() == 0 && !self.is_waiting;
        if is_in_ring {
            self.pace.look(published, at, ring.head_seq());
        }
        let taken = match self.place.next(&ring, now_us, dice.within(1, 80_000)) {
            Next::Drained | Next::Over => return None,
            Next::Early { due_us } => {
                self.pace.assert_early(published, at, now_us, due_us);
                self.holds += 1;
                return None;
            }
            Next::Lagged => {
                self.fall_behind(shown, &ring);
                return Some(0);
            }
            Next::Skipped(skipped) => {
                let target = shown.naive.newest_join();
                self.skipped(&ring, target, skipped);
                return Some(0);
            }
            Next::Prefix(bytes) => {
                let taken = dice.within(1, bytes.len()).min(room);
                let head = taken.min(self.head_left);
                self.head_left -= head;
                self.received.extend_from_slice(&bytes[head..taken]);
                taken
            }
            Next::Run(run) => {
                let is_as_published = published.slice(at, run.bytes.len()) == run.bytes;
                assert!(is_as_published, "published bytes have changed");
                self.pace.assert_due(published, at, run.bytes.len(), now_us);
                let taken = dice.within(1, run.bytes.len()).min(room);
                self.received.extend_from_slice(&run.bytes[..taken]);
                taken
            }
        };
        self.place.sent(&ring, taken);
        Some(taken)
    }

    /// Lets its place move on, and asserts that it moved where it had to.
    fn fall_behind(&mut self, Shown { relay, naive, .. }: Shown<'_>, ring: &Ring) {
        let at = self.place.at_bytes();
        let tail = ring.chunk(ring.tail_seq()).unwrap().unwrap();
        assert!(at < tail.bytes_before, "what is due has left the ring");
        self.pace.end();
        let limits = relay.limits();
        // A cushion as long as the ring would be lost again at once.
        let cushion_us = micros(limits.burst).min(micros(limits.ring) / 2);
        match self.place.fall_behind(ring, limits.slow, cushion_us) {
            Fall::TooSlow => {
                assert_eq!(limits.slow, SlowPolicy::Drop);
                self.is_dropped = true;
            }
            Fall::Skipped(skipped) => self.skipped(ring, naive.rejoin(cushion_us), skipped),
            Fall::Waits => {
                assert_eq!(naive.newest_join(), None, "only an empty ring makes wait");
                self.is_waiting = true;
                self.waits += 1;
            }
        }
    }

    /// How often its cursor jumped.
    pub(crate) fn skips(&self) -> usize {
        self.marks.len() - 1
    }

    /// Ends at the next packet boundary.
    pub(crate) fn end(&mut self, relay: &Relay) {
        if self.is_dropped {
            self.received
                .truncate(self.received.len() / PACKET_BYTES * PACKET_BYTES);
            return;
        }
        self.place.end();
        let ring = relay.ring();
        while let Next::Prefix(bytes) = self.place.next(&ring, 0, 1) {
            let head = std::mem::take(&mut self.head_left);
            self.received.extend_from_slice(&bytes[head..]);
            let taken = bytes.len();
            self.place.sent(&ring, taken);
        }
        assert!(matches!(self.place.next(&ring, 0, 1), Next::Over));
    }

    /// Takes everything there is, and asserts that this leads to the head or to a wait for the next join point.
    pub(crate) fn drain(&mut self, shown: Shown<'_>, dice: &mut Dice) {
        self.socket = Socket::Greedy;
        self.visit(shown, dice);
        let ring = shown.relay.ring();
        let newest = ring.chunk(ring.head_seq() - 1).unwrap().unwrap();
        let head = newest.bytes_before + newest.extent.len() as u64;
        let is_done = self.place.at_bytes() == head || self.is_waiting || self.is_dropped;
        assert!(is_done, "a viewer that takes all gets all");
    }

    /// Asserts that all it was sent is what was due.
    pub(crate) fn judge(&self, course: &Course) {
        course.judge(&self.received, &self.marks);
    }

    /// Notes a jump of the cursor, and asserts that it led where it had to.
    fn skipped(&mut self, ring: &Ring, target: Option<u64>, skipped: u64) {
        let chunk = ring.chunk(target.unwrap()).unwrap().unwrap();
        assert_eq!(
            chunk.bytes_before,
            self.place.at_bytes(),
            "a skip leads to chunk {}",
            chunk.seq
        );
        self.is_waiting = false;
        self.marks.push(Mark {
            at: self.received.len().next_multiple_of(PACKET_BYTES),
            to: chunk.bytes_before,
            skipped: Some(skipped),
        });
    }

    /// Asserts that bytes sent and to be sent for an end now are whole packets.
    fn assert_it_may_end(&self) {
        let mut place = self.place.clone();
        place.end();
        let left = place.prefix_bytes() - self.head_left;
        assert_eq!(
            (self.received.len() + left) % PACKET_BYTES,
            0,
            "an end now tears no packet"
        );
    }
}

const HEAD: &[u8] = b"HTTP/1.1 200 OK\r\n\r\n";
