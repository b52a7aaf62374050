//! Instructions from bytes to chunks: resync and chunker over one MiB of an 8 Mbit/s channel.
//!
//! What is done with the bytes besides (reading, memory, publishing) is not counted. The rule: the channel has been
//! running before, so tables are known and nothing grows for the first time.
#![expect(
    clippy::exit,
    clippy::needless_pass_by_value,
    missing_docs,
    unused_qualifications,
    reason = "the benchmark macros write items without documentation, call by value, and exit"
)]

use std::hint::black_box;

use corecast::ts::chunker::Chunker;
use corecast::ts::packet::{PID_NULL, SYNC, TsPacket};
use corecast::ts::resync::{Resync, Step};
use corecast::ts::{CHUNK_PACKETS, PACKET_BYTES};
use corecast::upstream::demo::Demo;
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

library_benchmark_group!(name = chunker, benchmarks = resync_and_chunk_a_mib);

main!(library_benchmark_groups = chunker);

const MIB: usize = 1 << 20;

const BITS_PER_SECOND: u64 = 8_000_000;

/// In the flags of an adaptation field.
const RANDOM_ACCESS: u8 = 0x40;

/// The video of the test pattern.
const PID_VIDEO: u16 = 0x100;
