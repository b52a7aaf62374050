//! What the simulated upstream sends: fetches full of numbered packets, junk and torn packets. (pure)
//!
//! It keeps a list of all packets ever made, so that what must come out can be worked out from that list alone
//! (`model.rs`). The rule: a fault is followed by three whole packets, because fewer cannot be told from noise.

use std::collections::{BTreeSet, VecDeque};

use crate::dice::Dice;
use crate::packet::{self, Layout, NULL_PID, PACKET_BYTES, PAT_PID, Packet, SYNC};

/// Everything that is sent, over all fetches of one channel.
#[derive(Debug, Default)]
pub(crate) struct Upstream {
    /// Shape: a packet's index is its number.
    pub(crate) packets: Vec<Sent>,
    pub(crate) fetches: Vec<Fetch>,
}

/// One packet as it was made.
#[derive(Debug)]
pub(crate) struct Sent {
    pub(crate) bytes: Packet,
    pub(crate) pid: u16,
    pub(crate) fetch: usize,
    pub(crate) kind: Kind,
    /// Payload packets of its PID in its fetch up to this one.
    pub(crate) ordinal: usize,
    /// How many of them, right before this one, never arrived.
    pub(crate) torn_before: usize,
    pub(crate) arrives: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Only a clock reference.
    Clock,
    /// Where decoding can begin.
    Key,
    Media,
    Pat,
    Pmt {
        is_first: bool,
        is_last: bool,
    },
}

/// One fetch: what comes over the wire, in one piece.
#[derive(Debug, Default)]
pub(crate) struct Fetch {
    pub(crate) bytes: Vec<u8>,
    /// Whether it has no video, so that PATs are the join points.
    pub(crate) is_radio: bool,
    /// Where a torn packet and what follows look like one packet: a pause there would make them one.
    pub(crate) no_pause: BTreeSet<usize>,
}

impl Upstream {
    pub(crate) fn new(dice: &mut Dice) -> Self {
        let mut upstream = Self::default();
        // Most runs are short, so that there can be many; some fill more than a segment.
        let is_long = dice.once(24);
        for _ in 0..dice.within(1, 5) {
            let packets = match dice.below(12) {
                0 | 1 => dice.below(6),
                2 if is_long => dice.within(8_000, 14_000),
                _ => dice.within(50, if is_long { 3_000 } else { 600 }),
            };
            Cast::new(&mut upstream, dice).send(packets);
        }
        upstream
    }
}

/// One fetch in the making.
struct Cast<'a> {
    upstream: &'a mut Upstream,
    dice: &'a mut Dice,
    fetch: Fetch,
    pmt_pid: u16,
    /// Video if there is any, then sound; the last one begins late.
    media: Vec<u16>,
    counters: Vec<(u16, Count)>,
    /// Table packets that are due: what they begin with, and whether they are a table's first and last.
    tables: VecDeque<(Kind, Vec<u8>)>,
    tables_every: usize,
    keys_every: usize,
    faults_every: usize,
    has_long_pmt: bool,
    late_from: usize,
    clock: u64,
    /// Its value at the last reference.
    clocked: u64,
    /// Whole packets since the last fault.
    calm: usize,
    has_torn_key: bool,
}

#[derive(Clone, Copy, Default)]
struct Count {
    begin: u8,
    ordinal: usize,
    torn: usize,
}

impl<'a> Cast<'a> {
    fn new(upstream: &'a mut Upstream, dice: &'a mut Dice) -> Self {
        // Overlapping ranges: what is video in one fetch may be the PMT of the next.
        let pmt_pid = 0x100 + u16::try_from(dice.below(4)).unwrap();
        let clock_high = [0x12, 0xFF][dice.below(2)];
        let clock_low = [dice.below(0x20), dice.within(0x50, 0xFE)][dice.below(2)];
        Self {
            fetch: Fetch {
                is_radio: dice.once(6),
                ..Fetch::default()
            },
            pmt_pid,
            media: (pmt_pid + 1..=pmt_pid + 3).collect(),
            counters: Vec::new(),
            tables: VecDeque::new(),
            tables_every: dice.within(20, 100),
            keys_every: dice.within(20, 300),
            faults_every: dice.within(20, 400),
            has_long_pmt: dice.once(3),
            late_from: dice.below(2_000),
            clock: (clock_high << 25 | u64::try_from(clock_low).unwrap() << 17) * 300,
            clocked: 0,
            calm: 0,
            has_torn_key: false,
            upstream,
            dice,
        }
    }

    fn send(mut self, packets: usize) {
        if self.dice.once(2) {
            let length = self.dice.within(1, 400);
            self.junk(length);
        }
        let first = self.upstream.packets.len();
        let (tables_at, keys_at) = (self.dice.below(50), self.dice.below(50));
        for index in 0..packets {
            if (index + tables_at).is_multiple_of(self.tables_every) {
                self.tables
                    .push_back((Kind::Pat, packet::pat(self.pmt_pid)));
                self.tables.push_back((
                    Kind::Pmt {
                        is_first: true,
                        is_last: true,
                    },
                    Vec::new(),
                ));
            }
            let is_key = !self.fetch.is_radio && (index + keys_at).is_multiple_of(self.keys_every);
            let may_fail = self.calm >= 3 && index + 4 < packets;
            let fails = may_fail && self.dice.once(self.faults_every);
            if fails && self.dice.once(2) {
                let length = if self.dice.once(5) { 4_000 } else { 400 };
                let length = self.dice.within(1, length);
                self.junk(length);
                self.packet(index, is_key, PACKET_BYTES);
            } else if fails && !(is_key && self.has_torn_key) {
                let kept = self.dice.within(1, PACKET_BYTES - 1);
                self.packet(index, is_key, kept);
            } else {
                self.packet(index, is_key, PACKET_BYTES);
            }
        }
        let has_tail = self.dice.once(2);
        if has_tail {
            let kept = self.dice.within(1, PACKET_BYTES - 1);
            self.packet(packets, false, kept);
        }
        if packets + usize::from(has_tail) < 3 {
            let never_found = &mut self.upstream.packets[first..];
            never_found.iter_mut().for_each(|sent| sent.arrives = false);
        }
        self.upstream.fetches.push(self.fetch);
    }

    fn junk(&mut self, bytes: usize) {
        self.fetch.bytes.extend(self.dice.noise(bytes));
        self.calm = 0;
    }

    /// Sends the next packet, of which only `kept` bytes arrive.
    fn packet(&mut self, index: usize, is_key: bool, kept: usize) {
        let number = self.upstream.packets.len();
        let arrives = kept == PACKET_BYTES;
        let (pid, kind, mut layout) = self.choose(index, is_key, number);
        let has_payload = layout.payload.is_some();
        let count = self.count(pid);
        count.ordinal += usize::from(has_payload);
        layout.counter = (count.begin + u8::try_from(count.ordinal % 16).unwrap()) % 16;
        let (ordinal, torn_before) = (count.ordinal, count.torn);
        count.torn = match (has_payload, arrives) {
            (true, true) => 0,
            (true, false) => torn_before + 1,
            (false, _) => torn_before,
        };
        if pid == NULL_PID {
            layout.counter = 0;
        }
        let bytes = without_sync(&mut layout, number);
        if !arrives {
            self.fetch
                .no_pause
                .insert(self.fetch.bytes.len() + PACKET_BYTES);
        }
        self.fetch.bytes.extend_from_slice(&bytes[..kept]);
        self.clock += PACKET_TICKS;
        self.calm = if arrives { self.calm + 1 } else { 0 };
        if is_key {
            self.has_torn_key = !arrives;
        }
        self.upstream.packets.push(Sent {
            bytes,
            pid,
            fetch: self.upstream.fetches.len(),
            kind,
            ordinal,
            torn_before,
            arrives,
        });
    }

    fn choose(&mut self, index: usize, is_key: bool, number: usize) -> (u16, Kind, Layout) {
        let clock = self.clock % ((1 << 33) * 300);
        let mut layout = Layout {
            pid: 0,
            counter: 0,
            begins_unit: false,
            is_random_access: false,
            pcr: None,
            payload: Some(Vec::new()),
        };
        let leading = self.media[usize::from(self.fetch.is_radio)];
        let (pid, kind) = if is_key {
            layout.begins_unit = true;
            layout.is_random_access = true;
            layout.pcr = Some(clock);
            (leading, Kind::Key)
        } else if !self.tables.is_empty() && !self.dice.once(4) {
            self.table(&mut layout, number)
        } else {
            let is_clock_due = self.clock - self.clocked >= CLOCK_EVERY_TICKS;
            layout.pcr = (is_clock_due || self.dice.once(12)).then_some(clock);
            match self.dice.below(20) {
                _ if is_clock_due => (leading, Kind::Media),
                0 => (NULL_PID, Kind::Media),
                1 => (self.media[2], Kind::Media),
                2..=5 => (self.media[1], Kind::Media),
                _ if layout.pcr.is_some() && self.dice.once(3) => {
                    layout.payload = None;
                    (leading, Kind::Clock)
                }
                _ => (leading, Kind::Media),
            }
        };
        let is_early = pid == self.media[2] && index < self.late_from;
        layout.pid = if is_early { leading } else { pid };
        if layout.pid != leading {
            layout.pcr = None;
        }
        if layout.pcr.is_some() {
            self.clocked = self.clock;
        }
        (layout.pid, kind, layout)
    }

    /// The next packet of the tables that are due.
    fn table(&mut self, layout: &mut Layout, number: usize) -> (u16, Kind) {
        let Some((kind, mut payload)) = self.tables.pop_front() else {
            unreachable!("asked for only while tables are due");
        };
        let (mut kind, mut pid) = (kind, PAT_PID);
        if let Kind::Pmt { is_first, .. } = kind {
            pid = self.pmt_pid;
            if is_first {
                let mut parts = self.pmt(number);
                payload = parts.remove(0);
                let is_last = parts.is_empty();
                kind = Kind::Pmt { is_first, is_last };
                for part in parts {
                    let rest = Kind::Pmt {
                        is_first: false,
                        is_last: true,
                    };
                    self.tables.push_front((rest, part));
                }
            }
        }
        layout.begins_unit = !matches!(
            kind,
            Kind::Pmt {
                is_first: false,
                ..
            }
        );
        layout.payload = Some(payload);
        (pid, kind)
    }

    fn pmt(&self, number: usize) -> Vec<Vec<u8>> {
        let [video, sound, late] = [self.media[0], self.media[1], self.media[2]];
        let all = [(0x1B, video), (0x0F, sound), (0x03, late)];
        let streams = &all[usize::from(self.fetch.is_radio)..];
        packet::pmt(streams[0].1, streams, self.has_long_pmt, number)
    }

    fn count(&mut self, pid: u16) -> &mut Count {
        let known = self.counters.iter().position(|(it, _)| *it == pid);
        let index = known.unwrap_or_else(|| {
            let begin = u8::try_from(self.dice.below(16)).unwrap();
            self.counters.push((
                pid,
                Count {
                    begin,
                    ..Count::default()
                },
            ));
            self.counters.len() - 1
        });
        &mut self.counters[index].1
    }
}

/// Builds the packet; a clock reference that looks like a sync byte is moved by a little.
fn without_sync(layout: &mut Layout, number: usize) -> Packet {
    loop {
        let bytes = layout.build(number);
        if !bytes[1..].contains(&SYNC) {
            return bytes;
        }
        layout.pcr = layout.pcr.map(|pcr| pcr + 600);
    }
}

/// Media time of one packet: 2 ms.
const PACKET_TICKS: u64 = 54_000;

/// Media time between clock references at most, one that is torn aside: 40 ms.
const CLOCK_EVERY_TICKS: u64 = 20 * PACKET_TICKS;
