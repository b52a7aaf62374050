//! Any stream of packets, junk and cuts: whole packets in bounded chunks, the same however the bytes were cut, and no
//! jump of a continuity counter that the upstream did not make.
#![no_main]

#[path = "../../sim/packet.rs"]
#[expect(
    dead_code,
    reason = "numbers and announcements are looked at in the simulation only"
)]
mod packet;

use std::collections::BTreeSet;

use corecast::ts::chunker::{Chunker, Closed, Verdict};
use corecast::ts::continuity::{Continuity, SEEN_MAX};
use corecast::ts::packet::TsPacket;
use corecast::ts::psi::Psi;
use corecast::ts::resync::{LOOKAHEAD_BYTES, Resync, Step};
use libfuzzer_sys::arbitrary::{self, Arbitrary};
use libfuzzer_sys::fuzz_target;

use crate::packet::{Layout, PACKET_BYTES, PAT_PID, Packet};

/// What comes next.
#[derive(Arbitrary, Debug)]
enum Deed<'a> {
    Bytes(&'a [u8]),
    /// The fetch ends.
    Cut,
    Flush,
    Packet {
        pid: u8,
        counter: u8,
        flags: u8,
        clock_ms: u16,
    },
    Pat {
        counter: u8,
        pmt_pid: u8,
    },
    Pmt {
        pid: u8,
        counter: u8,
        video: u8,
        is_long: bool,
    },
    /// A packet with units of H.264, behind a PES header or further on.
    Video {
        pid: u8,
        counter: u8,
        begins_unit: bool,
        units: [u8; 4],
    },
    Wait {
        ms: u16,
    },
}

#[derive(Arbitrary, Debug)]
struct Course<'a> {
    packets_max: u8,
    cuts: &'a [u8],
    deeds: Vec<Deed<'a>>,
}

fuzz_target!(|course: Course<'_>| {
    let mut run = Run::new(&course);
    for deed in &course.deeds {
        run.take(deed);
    }
    run.cut();
    run.judge();
});

struct Run<'a> {
    cuts: &'a [u8],
    packets_max: usize,
    chunker: Chunker,
    /// Bytes of the fetch that were not read yet.
    unread: Vec<u8>,
    held: Vec<Packet>,
    published: Vec<(Closed, Vec<u8>)>,
    now_us: u64,
}

impl<'a> Run<'a> {
    fn new(course: &Course<'a>) -> Self {
        Self {
            cuts: course.cuts,
            packets_max: usize::from(course.packets_max).max(1),
            chunker: Chunker::new(usize::from(course.packets_max)),
            unread: Vec::new(),
            held: Vec::new(),
            published: Vec::new(),
            now_us: 0,
        }
    }

    fn take(&mut self, deed: &Deed<'_>) {
        match *deed {
            Deed::Bytes(bytes) => self.unread.extend_from_slice(bytes),
            Deed::Cut => self.cut(),
            Deed::Flush => {
                self.read();
                let closed = self.chunker.flush();
                self.publish(closed);
            }
            Deed::Packet {
                pid,
                counter,
                flags,
                clock_ms,
            } => {
                let mut bytes = Layout {
                    pid: pid_of(pid),
                    counter: counter % 16,
                    begins_unit: flags & 1 != 0,
                    is_random_access: flags & 2 != 0,
                    pcr: (flags & 4 != 0).then_some(u64::from(clock_ms) * 27_000),
                    payload: (flags & 8 == 0).then(Vec::new),
                }
                .build(0);
                bytes[3] |= flags & 0xC0;
                self.unread.extend_from_slice(&bytes);
            }
            Deed::Pat { counter, pmt_pid } => {
                self.table(PAT_PID, counter, packet::pat(pid_of(pmt_pid)));
            }
            Deed::Pmt {
                pid,
                counter,
                video,
                is_long,
            } => {
                let streams = [(0x1B, pid_of(video)), (0x0F, pid_of(video.wrapping_add(1)))];
                let streams = &streams[usize::from(video / 128)..];
                let parts = packet::pmt(streams[0].1, streams, is_long, 0);
                for (part, index) in parts.into_iter().zip(0..) {
                    self.table(pid_of(pid), counter.wrapping_add(index), part);
                }
            }
            Deed::Video {
                pid,
                counter,
                begins_unit,
                units,
            } => {
                let header: &[u8] = if begins_unit { PES_HEADER } else { &[] };
                let units = units.map(|unit| UNITS[usize::from(unit) % UNITS.len()]);
                let layout = Layout {
                    pid: pid_of(pid),
                    counter: counter % 16,
                    begins_unit,
                    is_random_access: false,
                    pcr: None,
                    payload: Some([header, &units.concat()].concat()),
                };
                self.unread.extend_from_slice(&layout.build(0));
            }
            Deed::Wait { ms } => {
                self.read();
                self.now_us += u64::from(ms) * 1_000;
            }
        }
    }

    fn table(&mut self, pid: u16, counter: u8, payload: Vec<u8>) {
        let begins_unit = payload.first() == Some(&0);
        let layout = Layout {
            pid,
            counter: counter % 16,
            begins_unit,
            is_random_access: false,
            pcr: None,
            payload: Some(payload),
        };
        self.unread.extend_from_slice(&layout.build(0));
    }

    fn cut(&mut self) {
        self.read();
        while let Some(closed) = self.chunker.flush() {
            self.publish(Some(closed));
        }
        self.chunker.splice();
        assert_eq!(self.chunker.open_packets(), self.held.len());
    }

    /// Reads what has come as a fetch of its own.
    fn read(&mut self) {
        let bytes = std::mem::take(&mut self.unread);
        let packets = resynced(&bytes, &[]);
        assert_eq!(resynced(&bytes, self.cuts), packets, "cuts matter");
        packets.iter().for_each(|packet| self.push(packet));
    }

    fn push(&mut self, packet: &Packet) {
        let step = self.chunker.push(TsPacket::new(packet), self.now_us);
        if step.dropped > 0 {
            assert_eq!(step.dropped, self.held.len(), "all that is held is dropped");
            self.held.clear();
        }
        self.publish(step.before);
        match step.verdict {
            Verdict::Keep => self.held.push(*packet),
            Verdict::Discard => assert!(step.with.is_none()),
        }
        self.publish(step.with);
        assert_eq!(self.chunker.open_packets(), self.held.len());
    }

    fn publish(&mut self, closed: Option<Closed>) {
        let Some(closed) = closed else {
            return;
        };
        assert!((1..=self.packets_max).contains(&closed.packets));
        assert!(
            closed.packets <= self.held.len(),
            "a chunk is of what is held"
        );
        let first = TsPacket::new(&self.held[0]);
        if let Some(record) = &closed.join {
            assert!(first.payload_unit_start());
            assert!(record.skip.ends_with(&record.psi));
            let mut psi = Psi::new();
            record
                .psi
                .as_chunks()
                .0
                .iter()
                .map(TsPacket::new)
                .for_each(|packet| {
                    psi.push(packet);
                });
            assert!(psi.is_complete(), "a join record has whole tables");
        }
        let last_us = self.published.last().map_or(0, |(last, _)| last.media_us);
        assert!(closed.media_us >= last_us, "media time goes back");
        let packets: Vec<Packet> = self.held.drain(..closed.packets).collect();
        self.published.push((closed, packets.concat()));
    }

    /// Reads what viewers receive as a decoder does.
    fn judge(&self) {
        let streams = self.published.iter().map(|(_, bytes)| bytes.as_slice());
        let pids: BTreeSet<u16> = streams.flat_map(packets).map(TsPacket::pid).collect();
        if pids.len() >= SEEN_MAX {
            return;
        }
        let joins = (0..self.published.len()).filter(|it| self.published[*it].0.join.is_some());
        let joins: Vec<usize> = joins.take(JOINS_MAX).collect();
        for (index, from) in joins.iter().enumerate() {
            self.read_as_decoder(*from, None);
            for to in &joins[index + 1..] {
                self.read_as_decoder(*from, Some(*to));
            }
        }
    }

    /// Begins at a join point and stays, or skips to another one later.
    fn read_as_decoder(&self, from: usize, to: Option<usize>) {
        let mut continuity = Continuity::new();
        // Who begins here may see a PID's first packet without payload, whose counter the upstream may have set at will.
        let counts = |packet: &TsPacket<'_>| packet.has_payload() || packet.discontinuity();
        let mut see = |bytes: &[u8]| {
            packets(bytes)
                .filter(counts)
                .for_each(|packet| continuity.push(packet));
        };
        let record = |index: usize| self.published[index].0.join.as_ref();
        see(record(from).map_or(&[], |record| &record.psi));
        for (index, (closed, bytes)) in self.published.iter().enumerate().skip(from) {
            if to.is_some_and(|to| index > from.midpoint(to) && index < to) {
                continue;
            }
            match to.filter(|to| *to == index) {
                Some(_) => see(record(index).map_or(&[], |record| &record.skip)),
                None if index > from => see(closed.splice.as_deref().unwrap_or_default()),
                None => {}
            }
            see(bytes);
        }
        assert!(
            continuity.errors() <= self.chunker.continuity_errors(),
            "{} jumps from {from} to {to:?}, {} of the upstream",
            continuity.errors(),
            self.chunker.continuity_errors()
        );
    }
}

/// The packets found in a fetch that is read in cuts of these lengths.
fn resynced(bytes: &[u8], cuts: &[u8]) -> Vec<Packet> {
    let mut resync = Resync::new();
    let (mut begin, mut end, mut junk_bytes) = (0, 0, 0);
    let mut packets: Vec<Packet> = Vec::new();
    let mut cuts = cuts.iter().cycle();
    loop {
        let left = bytes.len() - end;
        end += cuts
            .next()
            .map_or(left, |cut| usize::from(*cut) + 1)
            .min(left);
        let is_over = end == bytes.len();
        loop {
            match resync.next(&bytes[begin..end], is_over) {
                Step::Packet => {
                    packets.push(*bytes[begin..end].first_chunk().expect("a whole packet"));
                    begin += PACKET_BYTES;
                }
                Step::Junk(junk) => {
                    assert!(junk > 0 && junk <= end - begin);
                    begin += junk;
                    junk_bytes += junk;
                }
                Step::NeedMore => break,
            }
        }
        assert!(
            end - begin < LOOKAHEAD_BYTES,
            "{} bytes stay undecided",
            end - begin
        );
        if is_over {
            resync.lost();
            assert_eq!(resync.junk_bytes(), (junk_bytes + end - begin) as u64);
            return packets;
        }
    }
}

fn packets(bytes: &[u8]) -> impl Iterator<Item = TsPacket<'_>> {
    bytes.as_chunks().0.iter().map(TsPacket::new)
}

fn pid_of(index: u8) -> u16 {
    match index % 8 {
        0 => 0x1FFF,
        index => 0x100 + u16::from(index),
    }
}

/// Units of H.264, one of them cut: delimiter, parameter sets, recovery point, slices, filler.
const UNITS: [&[u8]; 8] = [
    &[0, 0, 1, 0x09, 0xF0],
    &[
        0, 0, 1, 0x67, 0x42, 0xC0, 0x1E, 0xDA, 0x02, 0x80, 0xBF, 0xE5,
    ],
    &[0, 0, 1, 0x68, 0xCE, 0x3C, 0x80],
    &[0, 0, 1, 0x06, 0x06, 0x01, 0xC4, 0x80],
    &[0, 0, 1, 0x65, 0x88],
    &[0, 0, 1, 0x41, 0x9A],
    &[0xEE; 30],
    &[0, 0],
];

const PES_HEADER: &[u8] = &[0, 0, 1, 0xE0, 0, 0, 0x80, 0, 0];

/// Of longer courses not every pair of join points is tried.
const JOINS_MAX: usize = 12;
