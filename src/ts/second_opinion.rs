//! The same packets read by a parser that others wrote; compiled for tests only. (pure)
//!
//! It compares what this module and `mpeg2ts` say of tables, flags, clock references and PES packets, so that a
//! misreading of the standard is not shared by what writes packets for the tests and what reads them.
#![expect(
    clippy::indexing_slicing,
    reason = "a test that reads out of bounds should fail"
)]

use mpeg2ts::ts::payload::{Pat, Pmt};
use mpeg2ts::ts::{ReadTsPacket, TsPacketReader, TsPayload};

use super::PACKET_BYTES;
use super::fixture::h264::{DELIMITER, IDR, PPS, RECOVERY, SLICE, SPS};
use super::fixture::{Dice, PacketMaker, pat, pes_with_options, pmt, units};
use super::packet::TsPacket;
use super::picture::{PictureScan, Syntax};
use super::psi::Psi;

/// A random stream of one program, and what is in it.
struct Broadcast {
    bytes: Vec<u8>,
    counters: [u8; 0x2000],
    number: u16,
    pmt_pid: u16,
    streams: Vec<(u8, u16)>,
}

impl Broadcast {
    fn new(dice: &mut Dice) -> Self {
        let video = [0x01, 0x02, 0x1B, 0x24][dice.below(4)];
        let sound = [0x03, 0x04, 0x0F, 0x11];
        let mut streams = vec![(video, 0x100)];
        for index in 0..dice.below(4) {
            let pid = 0x200 + u16::try_from(index * 7).unwrap();
            streams.push((sound[dice.below(sound.len())], pid));
        }
        let first = dice.below(streams.len());
        streams.swap(0, first);
        let mut broadcast = Self {
            bytes: Vec::new(),
            counters: [0; 0x2000],
            number: 1 + u16::from(dice.byte()),
            pmt_pid: 0x1000 + u16::from(dice.byte()),
            streams,
        };
        for round in 0..40 {
            if round % 10 == 0 {
                broadcast.tables();
            }
            broadcast.unit(dice);
        }
        broadcast
    }

    fn count(&mut self, pid: u16) -> u8 {
        let counter = &mut self.counters[usize::from(pid)];
        *counter = (*counter + 1) % 16;
        *counter
    }

    fn tables(&mut self) {
        let counter = self.count(0);
        let table = pat(counter, &[(self.number, self.pmt_pid)]);
        self.bytes.extend_from_slice(&table);
        let counter = self.count(self.pmt_pid);
        let table = pmt(self.pmt_pid, counter, self.number, 0x100, &self.streams);
        self.bytes.extend_from_slice(&table);
    }

    /// Appends one PES packet, cut at random.
    fn unit(&mut self, dice: &mut Dice) {
        let (_, pid) = self.streams[dice.below(self.streams.len())];
        let known = [DELIMITER, SPS, PPS, RECOVERY, IDR, SLICE];
        let content: Vec<&[u8]> = (0..1 + dice.below(6))
            .map(|_| known[dice.below(known.len())])
            .collect();
        let options = u8::try_from(5 + dice.below(60)).unwrap();
        let bytes = pes_with_options(options, &units(&content));
        let mut rest = bytes.as_slice();
        while !rest.is_empty() {
            let is_first = rest.len() == bytes.len();
            // The other parser wants the header of a PES packet in one piece.
            let least = if is_first {
                9 + usize::from(options)
            } else {
                1
            };
            let wanted = (least + dice.below(100)).min(rest.len());
            let (now, after) = rest.split_at(wanted);
            let mut maker = PacketMaker::new(pid).counter(self.count(pid)).exactly(now);
            if is_first {
                maker = maker.unit_start();
            }
            if is_first && dice.below(3) == 0 {
                maker = maker.random_access();
            }
            if dice.below(5) == 0 {
                maker = maker.pcr(u64::from(dice.byte()) * 300 * 90_000 + 7);
            }
            self.bytes.extend_from_slice(&maker.build());
            rest = after;
        }
    }
}

/// What one side knows of the stream.
#[derive(Debug, Default, PartialEq, Eq)]
struct Reading {
    pmt_pids: Vec<u16>,
    streams: Vec<(u8, u16)>,
    pcr_pid: Option<u16>,
    /// Packets with a PES start, flags and clock references, by number.
    starts: Vec<usize>,
    random_accesses: Vec<usize>,
    pcrs: Vec<(usize, u64)>,
    /// What each PES packet of the video shows, read from its header or from its content.
    pictures: Vec<String>,
}

impl Reading {
    fn ours(bytes: &[u8]) -> Self {
        let mut reading = Self::default();
        let (mut psi, mut scan, mut answer) = (Psi::new(), PictureScan::new(), None);
        for (number, packet) in bytes.as_chunks().0.iter().map(TsPacket::new).enumerate() {
            let pid = packet.pid();
            if psi.is_psi(pid) {
                psi.push(packet);
                continue;
            }
            if packet.payload_unit_start() && psi.es_pids().any(|known| known == pid) {
                reading.starts.push(number);
            }
            if packet.random_access() {
                reading.random_accesses.push(number);
            }
            reading.pcrs.extend(packet.pcr().map(|pcr| (number, pcr)));
            let Some(video) = psi.video().filter(|video| video.pid == pid) else {
                continue;
            };
            if packet.payload_unit_start() {
                reading.pictures.extend(answer.take());
                scan.begin(Syntax::of(video.stream_type).unwrap());
            }
            let picture = scan.take(packet.payload().unwrap());
            answer = Some(format!("{picture:?} {:?}", scan.sequence()));
        }
        reading.pictures.extend(answer);
        reading.pmt_pids = psi.pmt_pids().collect();
        let streams = psi.streams().iter();
        reading.streams = streams.map(|it| (it.stream_type, it.pid)).collect();
        reading.pcr_pid = psi.pcr_pid();
        reading
    }

    fn theirs(bytes: &[u8]) -> Self {
        let mut reading = Self::default();
        let mut reader = TsPacketReader::new(bytes);
        let mut contents: Vec<Vec<u8>> = Vec::new();
        let mut video = None;
        let mut number = 0;
        while let Some(packet) = reader.read_ts_packet().unwrap() {
            let is_video = Some(packet.header.pid.as_u16()) == video.map(|(_, pid)| pid);
            if let Some(field) = &packet.adaptation_field {
                if field.random_access_indicator {
                    reading.random_accesses.push(number);
                }
                let pcr = field.pcr.map(|pcr| (number, pcr.as_u64()));
                reading.pcrs.extend(pcr);
            }
            match packet.payload.unwrap() {
                TsPayload::Pat(Pat { table, .. }) => {
                    let pids = table.iter().map(|entry| entry.program_map_pid.as_u16());
                    reading.pmt_pids = pids.collect();
                }
                TsPayload::Pmt(Pmt {
                    pcr_pid, es_info, ..
                }) => {
                    reading.pcr_pid = pcr_pid.map(|pid| pid.as_u16());
                    let streams = es_info.iter();
                    reading.streams = streams
                        .map(|it| (it.stream_type as u8, it.elementary_pid.as_u16()))
                        .collect();
                    let is_read = |it: &&(u8, u16)| Syntax::of(it.0).is_some();
                    video = reading.streams.iter().find(is_read).copied();
                }
                TsPayload::PesStart(pes) => {
                    reading.starts.push(number);
                    if is_video {
                        contents.push(pes.data.to_vec());
                    }
                }
                TsPayload::PesContinuation(more) if is_video => {
                    contents.last_mut().unwrap().extend_from_slice(&more);
                }
                _ => {}
            }
            number += 1;
        }
        let syntax = video.and_then(|(stream_type, _)| Syntax::of(stream_type));
        let pictures = contents.iter().map(|content| {
            let mut scan = PictureScan::new();
            scan.begin(syntax.unwrap());
            let picture = scan.take(&pes_with_options(0, content));
            format!("{picture:?} {:?}", scan.sequence())
        });
        reading.pictures = pictures.collect();
        reading
    }
}

#[test]
fn another_parser_reads_the_same() {
    let mut starts = 0;
    for seed in 0..50 {
        let mut dice = Dice::new(seed);
        let broadcast = Broadcast::new(&mut dice);
        assert!(broadcast.bytes.len().is_multiple_of(PACKET_BYTES));
        let ours = Reading::ours(&broadcast.bytes);
        assert_eq!(ours, Reading::theirs(&broadcast.bytes), "seed {seed}");
        assert_eq!(ours.pmt_pids, [broadcast.pmt_pid]);
        assert_eq!(ours.streams, broadcast.streams);
        assert!(!ours.pictures.is_empty() && !ours.pcrs.is_empty());
        starts += ours.starts.len();
    }
    assert_eq!(starts, 50 * 40);
}
