//! The caller of a chunker and the upstream of its packets, for the unit tests of this module; compiled for tests only.
//! (pure)
//!
//! It holds, publishes and squeezes out as it is told, and asserts with each packet that what it is told is possible:
//! every packet is held once, leaves once, and in order.
#![expect(
    clippy::indexing_slicing,
    reason = "a test that reads out of bounds should fail"
)]

use super::chunker::{Chunker, Closed, Verdict};
use super::continuity::Continuity;
use super::fixture::h264::{DELIMITER, IDR, PPS, SLICE, SPS};
use super::fixture::{PacketMaker, pat, pes, pids, pmt, units};
use super::packet::{PID_PAT, TsPacket};
use super::{CHUNK_PACKETS, PACKET_BYTES};

pub(crate) type Packet = [u8; PACKET_BYTES];

pub(crate) struct Relay {
    pub(crate) chunker: Chunker,
    packets_max: usize,
    /// All packets there were.
    pub(crate) pushed: Vec<Packet>,
    /// Packets with their number, counted from 0 over all that were pushed.
    pub(crate) held: Vec<(usize, Packet)>,
    pub(crate) published: Vec<(Closed, Vec<Packet>)>,
    /// The numbers of the packets published.
    pub(crate) order: Vec<usize>,
    pub(crate) discarded: usize,
    pub(crate) now_us: u64,
    counters: [u8; 0x2000],
}

impl Relay {
    pub(crate) fn new(packets_max: usize) -> Self {
        Self {
            chunker: Chunker::new(packets_max),
            packets_max,
            held: Vec::new(),
            published: Vec::new(),
            order: Vec::new(),
            pushed: Vec::new(),
            discarded: 0,
            now_us: 0,
            counters: [0; 0x2000],
        }
    }

    /// A relay whose viewers saw tables, a key frame, video, audio and a PID of its own.
    pub(crate) fn with_history() -> Self {
        let mut relay = Self::new(CHUNK_PACKETS);
        relay.tables(TV);
        relay.key();
        relay.media(VIDEO, 20);
        relay.media(AUDIO, 6);
        relay.media(0x77, 4);
        relay
    }

    pub(crate) fn push(&mut self, packet: Packet) {
        let step = self.chunker.push(TsPacket::new(&packet), self.now_us);
        if step.dropped > 0 {
            assert_eq!(step.dropped, self.held.len(), "all that is held is dropped");
            self.discarded += step.dropped;
            self.held.clear();
        }
        self.publish(step.before);
        match step.verdict {
            Verdict::Keep => self.held.push((self.pushed.len(), packet)),
            Verdict::Discard => {
                assert!(self.held.is_empty() && step.with.is_none());
                self.discarded += 1;
            }
        }
        self.pushed.push(packet);
        self.publish(step.with);
        assert_eq!(self.chunker.open_packets(), self.held.len());
    }

    fn publish(&mut self, closed: Option<Closed>) {
        let Some(closed) = closed else {
            return;
        };
        assert!((1..=self.held.len()).contains(&closed.packets));
        let mut packets = Vec::new();
        for (number, packet) in self.held.drain(..closed.packets) {
            assert!(self.order.last().is_none_or(|last| *last < number));
            self.order.push(number);
            packets.push(packet);
        }
        self.published.push((closed, packets));
    }

    /// Pushes the next packet of a PID.
    pub(crate) fn send(&mut self, maker: PacketMaker, pid: u16) {
        let counter = self.count(pid);
        self.push(maker.counter(counter).build());
    }

    pub(crate) fn count(&mut self, pid: u16) -> u8 {
        let counter = &mut self.counters[usize::from(pid)];
        let now = *counter;
        *counter = (now + 1) % 16;
        now
    }

    pub(crate) fn tables(&mut self, streams: &[(u8, u16)]) {
        self.pat();
        self.pmt(streams);
    }

    pub(crate) fn pat(&mut self) {
        let counter = self.count(PID_PAT);
        self.push(pat(counter, &[(1, PMT)]));
    }

    pub(crate) fn pmt(&mut self, streams: &[(u8, u16)]) {
        let counter = self.count(PMT);
        let pcr_pid = streams.first().map_or(0x1FFF, |(_, pid)| *pid);
        self.push(pmt(PMT, counter, 1, pcr_pid, streams));
    }

    pub(crate) fn media(&mut self, pid: u16, packets: usize) {
        (0..packets).for_each(|_| self.send(PacketMaker::new(pid), pid));
    }

    pub(crate) fn key(&mut self) {
        self.send(PacketMaker::new(VIDEO).unit_start().random_access(), VIDEO);
    }

    /// Begins a PES packet of the video, without a flag.
    pub(crate) fn begin(&mut self, video: &[u8]) {
        let maker = PacketMaker::new(VIDEO).unit_start().exactly(&pes(video));
        self.send(maker, VIDEO);
    }

    /// Goes on in the PES packet of the video.
    pub(crate) fn go_on(&mut self, video: &[u8]) {
        self.send(PacketMaker::new(VIDEO).exactly(video), VIDEO);
    }

    /// Begins a picture whose slice does not come yet.
    pub(crate) fn begin_undecided(&mut self) {
        self.begin(&units(&[DELIMITER, SPS, PPS]));
    }

    /// Sends the first slice of a picture that needs none before it.
    pub(crate) fn decide_for(&mut self) {
        self.go_on(&units(&[IDR]));
    }

    /// Sends the first slice of a picture that needs others.
    pub(crate) fn decide_against(&mut self) {
        self.go_on(&units(&[SLICE]));
    }

    pub(crate) fn flush(&mut self) {
        let closed = self.chunker.flush();
        self.publish(closed);
        assert_eq!(self.chunker.open_packets(), self.held.len());
    }

    /// Flushes until nothing more is closed.
    pub(crate) fn finish(&mut self) {
        while let Some(closed) = self.chunker.flush() {
            self.publish(Some(closed));
        }
        assert_eq!(self.chunker.open_packets(), self.held.len());
    }

    pub(crate) fn splice(&mut self) {
        self.chunker.splice();
        self.counters
            .iter_mut()
            .for_each(|counter| *counter = (*counter + 5) % 16);
    }

    /// Asserts that each packet was published once or discarded, in chunks within bounds, and that whoever begins at a
    /// join point or skips to one sees tables first and no jump.
    #[track_caller]
    pub(crate) fn assert_sound(&self, what: &str) {
        assert!(self.held.is_empty(), "{what}");
        let all = self.order.len() + self.discarded;
        assert_eq!(all, self.pushed.len(), "{what}");
        let packets_max = self.packets_max;
        assert!(
            self.sizes().iter().all(|size| *size <= packets_max),
            "{what}"
        );
        let is_in_time = self
            .published
            .is_sorted_by_key(|(closed, _)| (closed.media_us, closed.arrived_us));
        assert!(is_in_time, "{what}");
        let joins = self.joins();
        for (index, join) in joins.iter().enumerate() {
            let start = TsPacket::new(&self.published[*join].1[0]);
            assert!(start.payload_unit_start(), "{what}, chunk {join}");
            if index % 8 == 0 {
                let received = self.received(*join);
                assert_eq!(pids(&received[..2].concat()), [PID_PAT, PMT], "{what}");
                assert_eq!(complaints(&received), 0, "{what} from chunk {join}");
                let later = joins[joins.len() - 1 - index];
                if later > *join {
                    let received = self.received_with_skip(*join, later);
                    assert_eq!(complaints(&received), 0, "{what} from {join} to {later}");
                }
            }
        }
    }

    pub(crate) fn sizes(&self) -> Vec<usize> {
        self.published
            .iter()
            .map(|(closed, _)| closed.packets)
            .collect()
    }

    /// The published chunks that are join points.
    pub(crate) fn joins(&self) -> Vec<usize> {
        (0..self.published.len())
            .filter(|index| self.published[*index].0.join.is_some())
            .collect()
    }

    /// What a viewer receives that begins at this chunk, or that saw all before it if it is 0.
    pub(crate) fn received(&self, from: usize) -> Vec<Packet> {
        let mut bytes = Vec::new();
        for (index, (closed, packets)) in self.published.iter().enumerate().skip(from) {
            if index == from
                && let Some(record) = &closed.join
            {
                bytes.extend_from_slice(&record.psi);
            } else if let Some(splice) = &closed.splice {
                bytes.extend_from_slice(splice);
            }
            bytes.extend(packets.concat());
        }
        bytes.as_chunks().0.to_vec()
    }

    /// What a viewer receives that begins at chunk `from` and skips to join point `to` half way.
    pub(crate) fn received_with_skip(&self, from: usize, to: usize) -> Vec<Packet> {
        let seen: Vec<Packet> = self.published[from..from.midpoint(to) + 1]
            .iter()
            .enumerate()
            .flat_map(|(index, (closed, packets))| {
                let before = match (&closed.join, &closed.splice) {
                    (Some(record), _) if index == 0 => record.psi.clone(),
                    (_, Some(splice)) if index > 0 => splice.clone(),
                    _ => bytes::Bytes::new(),
                };
                let mut all: Vec<Packet> = before.as_chunks().0.to_vec();
                all.extend_from_slice(packets);
                all
            })
            .collect();
        let record = self.published[to].0.join.clone().unwrap();
        let rest = self.received(to);
        let own = record.psi.len() / PACKET_BYTES;
        [&seen, record.skip.as_chunks().0, &rest[own..]].concat()
    }
}

/// How many jumps of counters a demultiplexer would complain about.
pub(crate) fn complaints(packets: &[Packet]) -> u64 {
    let mut continuity = Continuity::new();
    packets
        .iter()
        .for_each(|packet| continuity.push(TsPacket::new(packet)));
    continuity.errors()
}

pub(crate) const PMT: u16 = 0x30;
pub(crate) const VIDEO: u16 = 0x31;
pub(crate) const AUDIO: u16 = 0x32;
pub(crate) const TV: &[(u8, u16)] = &[(0x1B, VIDEO), (0x0F, AUDIO)];
pub(crate) const RADIO: &[(u8, u16)] = &[(0x0F, AUDIO)];
