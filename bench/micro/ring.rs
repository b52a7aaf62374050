//! Instructions per chunk and per viewer: a push into a full ring, and a cursor's step to what it sends next.
//!
//! Sending itself is the kernel's work and not counted. The rule: the ring is that of an 8 Mbit/s channel that has run
//! for longer than its history, so each push evicts.
#![expect(
    clippy::exit,
    clippy::needless_pass_by_value,
    missing_docs,
    unused_qualifications,
    reason = "the benchmark macros write items without documentation, call by value, and exit"
)]

use std::hint::black_box;
use std::sync::Arc;

use bytes::Bytes;
use corecast::channel::chunk::Chunk;
use corecast::channel::cursor::Cursor;
use corecast::channel::ring::Ring;
use corecast::segment::SegmentWriter;
use corecast::ts::CHUNK_BYTES;
use corecast::ts::join::JoinRecord;
use corecast::viewer::send::run;
use gungraun::prelude::*;

/// A ring that is full, and the chunks that come next.
fn full(next: u64) -> (Ring, Vec<Arc<Chunk>>) {
    let mut ring = Ring::new(RING_US, RING_BYTES_MAX);
    let mut chunks = chunks(2 * RING_CHUNKS + next);
    let next = chunks.split_off(chunks.len() - usize::try_from(next).unwrap_or(0));
    for chunk in chunks {
        ring.push(chunk);
    }
    (ring, next)
}

/// A channel's first chunks, a join point in each thirtieth.
fn chunks(count: u64) -> Vec<Arc<Chunk>> {
    let Ok(mut writer) = SegmentWriter::new() else {
        return Vec::new();
    };
    let mut chunks = Vec::new();
    for seq in 1..=count {
        if writer.room(CHUNK_BYTES).is_err() {
            break;
        }
        writer.fill(CHUNK_BYTES);
        let media_us = seq * CHUNK_US;
        let join = (seq % 30 == 0).then(|| {
            let psi = Bytes::from_static(&[0x47; 376]);
            let skip = Bytes::from_static(&[0x47; 752]);
            Arc::new(JoinRecord { psi, skip })
        });
        chunks.push(Arc::new(Chunk {
            seq,
            bytes_before: (seq - 1) * CHUNK_BYTES as u64,
            extent: writer.publish(CHUNK_BYTES),
            media_us,
            arrived_us: 0,
            closed_us: media_us,
            join,
        }));
    }
    chunks
}

/// Wants every chunk to have arrived and as many to have left.
fn check_full(ring: Ring) {
    let held = ring.head_seq() - ring.tail_seq();
    assert!((ring.head_seq(), held) == (2 * RING_CHUNKS + 101, RING_CHUNKS + 1));
}

#[library_benchmark(teardown = check_full)]
#[bench::full(full(100))]
fn push_100_chunks((mut ring, next): (Ring, Vec<Arc<Chunk>>)) -> Ring {
    for chunk in next {
        black_box(ring.push(black_box(chunk)));
    }
    ring
}

/// A full ring, and so many viewers that have yet to send the newest `behind` chunks.
fn watched(viewers: usize, behind: u64) -> (Ring, Vec<Cursor>) {
    let (ring, _) = full(0);
    let cursor = Cursor::at(ring.head_seq() - behind);
    (ring, vec![cursor; viewers])
}

/// Wants every viewer at the head.
fn check_sent((ring, cursors): (Ring, Vec<Cursor>)) {
    assert!(cursors.len() == 1000);
    assert!(cursors.iter().all(|it| *it == Cursor::at(ring.head_seq())));
}

#[library_benchmark(teardown = check_sent)]
#[bench::each_one_chunk(watched(1000, 1))]
#[bench::each_a_burst_of_2_s(watched(1000, 61))]
fn step_1000_cursors((ring, mut cursors): (Ring, Vec<Cursor>)) -> (Ring, Vec<Cursor>) {
    for cursor in &mut cursors {
        let cursor = black_box(cursor);
        while let Ok(Some(piece)) = run(&ring, *cursor, VISIT_BYTES_MAX) {
            cursor.advance(&ring, black_box(piece.bytes).len());
        }
    }
    (ring, cursors)
}

library_benchmark_group!(
    name = ring,
    benchmarks = [push_100_chunks, step_1000_cursors]
);

main!(library_benchmark_groups = ring);

/// The defaults of a channel.
const RING_US: u64 = 10_000_000;
const RING_BYTES_MAX: usize = 32 << 20;

/// What a viewer sends in one visit.
const VISIT_BYTES_MAX: usize = 256 << 10;

/// Media of one chunk at 8 Mbit/s.
const CHUNK_US: u64 = 32_712;

/// Chunks that fit the ring's time.
const RING_CHUNKS: u64 = RING_US / CHUNK_US;
