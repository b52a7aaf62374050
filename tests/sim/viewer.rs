//! A simulated viewer: a place in a ring and a socket that takes what chance lets it.
//!
//! It keeps what it received and checks at each write that the memory it is sent from is as it was published. What
//! its bytes have to be in the end is `verdict.rs`.

use corecast::channel::relay::Relay;
use corecast::channel::ring::Ring;
use corecast::clock::micros;
use corecast::config::SlowPolicy;
use corecast::ts::PACKET_BYTES;
use corecast::viewer::burst::Start;

use crate::dice::Dice;
use crate::place::{Next, Place};
use crate::ring::NaiveRing;
use crate::verdict::{Course, Mark};

#[derive(Debug)]
pub(crate) struct Viewer {
    /// Which ring it follows.
    pub(crate) relay: usize,
    place: Place,
    pace: Pace,
    /// What the head is not part of.
    received: Vec<u8>,
    marks: Vec<Mark>,
    /// Bytes that go out before the record that was marked last.
    head_left: usize,
    /// It has seen that its place waits for a join point.
    is_waiting: bool,
    pub(crate) waits: usize,
    pub(crate) is_dropped: bool,
}

#[derive(Clone, Copy, Debug)]
enum Pace {
    Fast,
    /// As fast, for good.
    Greedy,
    /// At most so many bytes per visit.
    Slow(usize),
    Stalled,
}

impl Viewer {
    pub(crate) fn new(relay: usize, start: &Start) -> Self {
        Self {
            relay,
            place: Place::new(HEAD, start),
            pace: Pace::Fast,
            received: Vec::new(),
            marks: vec![Mark {
                at: 0,
                to: start.chunk.bytes_before,
                skipped: None,
            }],
            head_left: HEAD.len(),
            is_waiting: false,
            waits: 0,
            is_dropped: false,
        }
    }

    /// Sends until the socket takes no more or there is nothing to send; `published` is the whole channel so far.
    pub(crate) fn visit(
        &mut self,
        relay: &Relay,
        naive: &NaiveRing,
        published: &[u8],
        dice: &mut Dice,
    ) {
        if dice.once(12) && !matches!(self.pace, Pace::Greedy) {
            self.pace = match dice.below(6) {
                0 => Pace::Stalled,
                1 => Pace::Slow(dice.within(1, 400)),
                2 => Pace::Slow(dice.within(1, 5_000)),
                _ => Pace::Fast,
            };
        }
        let mut room = match self.pace {
            Pace::Fast | Pace::Greedy => usize::MAX,
            Pace::Slow(bytes) => dice.within(0, bytes),
            Pace::Stalled => 0,
        };
        let ring = relay.ring();
        // As `viewer` asks: a cushion as long as the ring would be lost again at once.
        let cushion_us = micros(relay.limits.burst.min(relay.limits.ring / 2));
        while room > 0 && !self.is_dropped {
            let budget = dice.within(1, 80_000);
            let at = usize::try_from(self.place.at_bytes()).unwrap();
            let taken = match self
                .place
                .next(&ring, relay.limits.slow, cushion_us, budget)
            {
                Next::Drained | Next::Over => break,
                Next::TooSlow => {
                    assert_eq!(relay.limits.slow, SlowPolicy::Drop);
                    self.is_dropped = true;
                    break;
                }
                Next::Skipped(skipped) => {
                    self.skipped(&ring, naive, cushion_us, skipped);
                    continue;
                }
                Next::Prefix(bytes) => {
                    let taken = dice.within(1, bytes.len()).min(room);
                    let head = taken.min(self.head_left);
                    self.head_left -= head;
                    self.received.extend_from_slice(&bytes[head..taken]);
                    taken
                }
                Next::Run(run) => {
                    let is_as_published = published[at..at + run.bytes.len()] == *run.bytes;
                    assert!(is_as_published, "published bytes have changed");
                    let taken = dice.within(1, run.bytes.len()).min(room);
                    self.received.extend_from_slice(&run.bytes[..taken]);
                    taken
                }
            };
            self.place.sent(&ring, taken);
            room -= taken;
        }
        if self.place.is_waiting() && !self.is_waiting {
            assert_eq!(naive.newest_join(), None, "only an empty ring makes wait");
            self.is_waiting = true;
            self.waits += 1;
        }
        self.assert_it_may_end();
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
        while let Next::Prefix(bytes) = self.place.next(&ring, relay.limits.slow, 0, 1) {
            let head = std::mem::take(&mut self.head_left);
            self.received.extend_from_slice(&bytes[head..]);
            let taken = bytes.len();
            self.place.sent(&ring, taken);
        }
    }

    /// Takes everything there is, and asserts that this leads to the head or to a wait for the next join point.
    pub(crate) fn drain(
        &mut self,
        relay: &Relay,
        naive: &NaiveRing,
        published: &[u8],
        dice: &mut Dice,
    ) {
        self.pace = Pace::Greedy;
        self.visit(relay, naive, published, dice);
        let ring = relay.ring();
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
    fn skipped(&mut self, ring: &Ring, naive: &NaiveRing, cushion_us: u64, skipped: u64) {
        let target = match self.is_waiting {
            true => naive.newest_join(),
            false => naive.rejoin(cushion_us),
        };
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
