//! Instructions from bytes to chunks: resync and chunker over one MiB of an 8 Mbit/s channel.
//!
//! Beside them stand the two other looks at each packet, which a fetch takes before and after: its pulse, and the
//! counters of what is published. What is done with the bytes besides (reading, memory, publishing) is not counted. The
//! rule: the channel has been running before, so tables are known and nothing grows for the first time.
#![expect(
    clippy::exit,
    clippy::needless_pass_by_value,
    missing_docs,
    unused_qualifications,
    reason = "the benchmark macros write items without documentation, call by value, and exit"
)]

use std::hint::black_box;

use corecast::ts::chunker::{Chunker, UNDECIDED_PACKETS_MAX};
use corecast::ts::continuity::Continuity;
use corecast::ts::packet::{PID_NULL, SYNC, TsPacket};
use corecast::ts::resync::{Resync, Step};
use corecast::ts::{CHUNK_PACKETS, PACKET_BYTES};
use corecast::upstream::demo::Demo;
use corecast::upstream::pulse::Pulse;
use gungraun::prelude::*;

/// A running channel and the MiB that comes next.
struct Arrival {
    resync: Resync,
    chunker: Chunker,
    bytes: Vec<u8>,
    /// What one read brings.
    read_bytes: usize,
    now_us: u64,
    chunks: usize,
}

impl Arrival {
    /// A channel that has had a MiB and gets one more, changed by `spoil`, in reads of `read_bytes`.
    fn new(read_bytes: usize, spoil: fn(Vec<u8>) -> Vec<u8>) -> Self {
        Self::of(broadcast(2 * MIB), read_bytes, spoil)
    }

    /// The same whose sender sets no flag at its key frames, so that each frame is read as far as its first slice.
    fn unflagged(read_bytes: usize) -> Self {
        let mut broadcast = broadcast(2 * MIB);
        for packet in broadcast.as_chunks_mut::<PACKET_BYTES>().0 {
            if TsPacket::new(packet).random_access() {
                packet[5] &= !RANDOM_ACCESS;
            }
        }
        Self::of(broadcast, read_bytes, whole)
    }

    /// The same whose sender means harm: as many pictures as can be read to no end, each without a slice.
    fn endless(unit: &[u8]) -> Self {
        let mut broadcast = broadcast(2 * MIB);
        let packets = broadcast.as_chunks_mut::<PACKET_BYTES>().0;
        let video = packets
            .iter_mut()
            .filter(|packet| TsPacket::new(packet).pid() == PID_VIDEO);
        for (packet, number) in video.zip(0_u64..) {
            let is_start = number.is_multiple_of(UNDECIDED_PACKETS_MAX);
            packet[1] = packet[1] & !UNIT_START | if is_start { UNIT_START } else { 0 };
            packet[3] = packet[3] & 0x0F | PAYLOAD;
            let (_, payload) = packet.split_at_mut(4);
            let begin: &[u8] = if is_start { PES_START } else { &[] };
            let bytes = begin.iter().chain(unit.iter().cycle());
            payload
                .iter_mut()
                .zip(bytes)
                .for_each(|(to, byte)| *to = *byte);
        }
        Self::of(broadcast, 64 << 10, whole)
    }

    fn of(mut broadcast: Vec<u8>, read_bytes: usize, spoil: fn(Vec<u8>) -> Vec<u8>) -> Self {
        let next = broadcast.split_off(MIB / PACKET_BYTES * PACKET_BYTES);
        let mut arrival = Self {
            resync: Resync::new(),
            chunker: Chunker::new(CHUNK_PACKETS),
            bytes: broadcast,
            read_bytes,
            now_us: 0,
            chunks: 0,
        };
        arrival.judge();
        arrival.bytes = spoil(next);
        arrival
    }

    /// Finds every packet and every chunk in the bytes, read by read.
    fn judge(&mut self) {
        let mut judged = 0;
        let mut end = 0;
        while end < self.bytes.len() {
            end = self.bytes.len().min(end + self.read_bytes);
            self.now_us += self.read_bytes as u64;
            let at_end = end == self.bytes.len();
            loop {
                let unjudged = self.bytes.get(judged..end).unwrap_or_default();
                match self.resync.next(unjudged, at_end) {
                    Step::NeedMore => break,
                    Step::Junk(bytes) => judged += bytes,
                    Step::Packet => {
                        if let Some(packet) = TsPacket::first(unjudged) {
                            let step = self.chunker.push(packet, self.now_us);
                            self.chunks += usize::from(step.before.is_some());
                            self.chunks += usize::from(step.with.is_some());
                        }
                        judged += PACKET_BYTES;
                    }
                }
            }
        }
    }
}

/// About so many bytes of the test pattern at 8 Mbit/s, its null packets made video, so that it is as real video is.
fn broadcast(bytes: usize) -> Vec<u8> {
    let mut demo = Demo::new(BITS_PER_SECOND);
    let mut broadcast = Vec::new();
    while broadcast.len() < bytes {
        demo.frame(&mut broadcast);
    }
    let mut counter = 0;
    for packet in broadcast.as_chunks_mut::<PACKET_BYTES>().0 {
        let pid = TsPacket::new(packet).pid();
        if pid == PID_NULL || pid == PID_VIDEO {
            let [high, low] = PID_VIDEO.to_be_bytes();
            packet[1] = packet[1] & 0xE0 | high;
            packet[2] = low;
            packet[3] = packet[3] & 0xF0 | counter;
            counter = (counter + 1) % 16;
        }
    }
    broadcast
}

/// Tears every hundredth packet and puts some junk behind it.
fn torn(bytes: Vec<u8>) -> Vec<u8> {
    let hundreds = bytes.chunks(100 * PACKET_BYTES);
    hundreds
        .flat_map(|hundred| {
            let kept = hundred.len() - PACKET_BYTES / 2;
            let junk = [!SYNC; 300];
            hundred.iter().take(kept).copied().chain(junk)
        })
        .collect()
}

fn whole(bytes: Vec<u8>) -> Vec<u8> {
    bytes
}

/// Wants the MiB to have come out as chunks of nearly full size.
fn check(arrival: Arrival) {
    assert!((2 * 32..2 * 35).contains(&arrival.chunks));
}

#[library_benchmark(teardown = check)]
#[bench::in_reads_of_64_kib(Arrival::new(64 << 10, whole))]
#[bench::in_reads_of_7_packets(Arrival::new(7 * PACKET_BYTES, whole))]
#[bench::with_a_hundredth_torn(Arrival::new(64 << 10, torn))]
#[bench::without_flags(Arrival::unflagged(64 << 10))]
fn resync_and_chunk_a_mib(mut arrival: Arrival) -> Arrival {
    black_box(&mut arrival).judge();
    arrival
}

/// Wants no packet lost, though a chunk ends where a picture might begin.
fn check_endless(arrival: Arrival) {
    assert!((2 * 32..4 * 35).contains(&arrival.chunks));
}

#[library_benchmark(teardown = check_endless)]
#[bench::messages(Arrival::endless(MESSAGES))]
#[bench::short_units(Arrival::endless(SHORT_UNITS))]
#[bench::a_unit_of_no_meaning(Arrival::endless(FILLER))]
fn resync_and_chunk_a_mib_without_end(mut arrival: Arrival) -> Arrival {
    black_box(&mut arrival).judge();
    arrival
}

/// Wants the media time of all that came.
fn check_pulse((pulse, _): (Pulse, Vec<u8>)) {
    assert!((2_000_000..2_200_000).contains(&pulse.received_us()));
}

/// The pulse of a channel that has had a MiB, and the one that comes next.
fn running() -> (Pulse, Vec<u8>) {
    let mut bytes = broadcast(2 * MIB);
    let next = bytes.split_off(MIB / PACKET_BYTES * PACKET_BYTES);
    let mut pulse = Pulse::new();
    feel(&mut pulse, &bytes);
    (pulse, next)
}

fn feel(pulse: &mut Pulse, bytes: &[u8]) {
    for (packet, number) in bytes.as_chunks().0.iter().zip(0_u64..) {
        if number.is_multiple_of(READ_PACKETS) {
            pulse.arrive(number);
        }
        pulse.take(TsPacket::new(packet), true);
    }
}

#[library_benchmark(teardown = check_pulse)]
#[bench::running(running())]
fn feel_the_pulse_of_a_mib((mut pulse, bytes): (Pulse, Vec<u8>)) -> (Pulse, Vec<u8>) {
    feel(black_box(&mut pulse), &bytes);
    (pulse, bytes)
}

/// Wants every counter to have followed the one before.
fn check_counters((continuity, _): (Continuity, Vec<u8>)) {
    assert!(continuity.errors() == 0 && continuity.last(PID_VIDEO).is_some());
}

#[library_benchmark(teardown = check_counters)]
#[bench::running((Continuity::new(), broadcast(MIB)))]
fn follow_the_counters_of_a_mib(
    (mut continuity, bytes): (Continuity, Vec<u8>),
) -> (Continuity, Vec<u8>) {
    let sent = black_box(&mut continuity);
    for packet in bytes.as_chunks().0 {
        sent.push(TsPacket::new(packet));
    }
    (continuity, bytes)
}

library_benchmark_group!(
    name = chunker,
    benchmarks = [
        resync_and_chunk_a_mib,
        resync_and_chunk_a_mib_without_end,
        feel_the_pulse_of_a_mib,
        follow_the_counters_of_a_mib
    ]
);

main!(library_benchmark_groups = chunker);

const MIB: usize = 1 << 20;

const BITS_PER_SECOND: u64 = 8_000_000;

/// Packets of one read.
const READ_PACKETS: u64 = (64 << 10) / PACKET_BYTES as u64;

/// In the second byte of a packet.
const UNIT_START: u8 = 0x40;

/// In the fourth byte: payload and nothing else.
const PAYLOAD: u8 = 0x10;

/// Header of a video's PES packet without times, and the start of an SEI unit.
const PES_START: &[u8] = &[0, 0, 1, 0xE0, 0, 0, 0x80, 0, 0, 0, 0, 1, 0x06];

/// Messages of one byte each.
const MESSAGES: &[u8] = &[5, 1, 0x80];

/// Access unit delimiters.
const SHORT_UNITS: &[u8] = &[0, 0, 1, 0x09];

/// Neither a start code nor a message of such a kind that it ends.
const FILLER: &[u8] = &[0xFF];

/// In the flags of an adaptation field.
const RANDOM_ACCESS: u8 = 0x40;

/// The video of the test pattern.
const PID_VIDEO: u16 = 0x100;
