//! Null packets in a silence, what is told and counted, and how much media is held.

use super::*;
use crate::metrics::ShardCounters;
use crate::ts::packet::TsPacket;

const ID: ChannelId = ChannelId::Configured(1);

fn home() -> Home {
    let counters = ShardCounters::default().channel(ID.into());
    Home::new(ID, "", Stream::default(), Vec::new(), counters)
}

/// A join point at 7 s of media.
fn closed() -> Closed {
    Closed {
        packets: 1,
        media_us: 7_000_000,
        arrived_us: 0,
        join: Chunk::blank(1, 0, 1, true).join.clone(),
        splice: None,
    }
}

fn extent() -> Extent {
    Extent::copy_of(&[SYNC; PACKET_BYTES]).unwrap()
}

/// A home whose only chunk, a join point at 7 s of media, was published at 1 s.
fn live() -> Home {
    let home = home();
    home.append(extent(), &closed(), 1_000_000);
    home.enter(Phase::Live, 1_000_000);
    home
}

/// Everything a shard that follows from now on is told.
fn told(home: &Home) -> Vec<Arc<Chunk>> {
    let mut told = Vec::new();
    home.subscribe(0, ID, 1);
    home.publish(|_, message| {
        if let Message::Chunks { chunks, .. } = message {
            told.extend(chunks);
        }
        Ok(())
    });
    told
}

#[test]
fn a_null_packet_is_a_chunk_without_media_time_and_no_join_point() {
    let home = live();
    home.fill(1_500_000).unwrap();
    home.fill(2_000_000).unwrap();
    let told = told(&home);
    let seqs: Vec<u64> = told.iter().map(|chunk| chunk.seq).collect();
    assert_eq!(seqs, [1, 2, 3]);
    for filler in &told[1..] {
        let packet = TsPacket::first(filler.extent.as_slice()).unwrap();
        assert_eq!(packet.pid(), PID_NULL);
        assert_eq!(filler.extent.len(), PACKET_BYTES);
        assert_eq!((filler.media_us, filler.join.is_none()), (7_000_000, true));
    }
    assert_eq!(told[2].bytes_before, 2 * PACKET_BYTES as u64);
    assert_eq!(
        home.counters.chunks.value(),
        1,
        "a silence is no sign of life"
    );
}

#[test]
fn the_media_held_is_that_between_the_oldest_chunk_and_the_newest() {
    let home = live();
    let mut later = closed();
    later.media_us += 2_500_000;
    home.append(extent(), &later, 3_500_000);
    assert_eq!(home.media.borrow().ring_us, 2_500_000);
    home.forget_history();
    assert_eq!(home.media.borrow().ring_us, 0);
}

#[test]
fn null_packets_begin_half_a_second_after_the_last_chunk_grow_rarer_and_end_in_time() {
    let home = live();
    let mut due_s = Vec::new();
    while let Some(due_us) = home.filler_due_us() {
        due_s.push((due_us - 1_000_000) as f64 / 1e6);
        home.fill(due_us).unwrap();
    }
    assert_eq!(due_s[..7], [0.5, 1.0, 2.0, 4.0, 8.0, 13.0, 18.0]);
    assert_eq!(due_s.last(), Some(&298.0));
}

#[test]
fn before_media_and_without_history_there_are_no_null_packets() {
    let opening = home();
    assert_eq!(opening.filler_due_us(), None);
    opening.fill(1_000_000).unwrap();
    assert!(told(&opening).is_empty());
    let left = live();
    left.forget_history();
    assert_eq!(left.filler_due_us(), None);
}

#[test]
fn a_phase_lasts_from_when_it_was_entered_first() {
    let home = home();
    home.enter(Phase::Opening, 500);
    home.enter(Phase::Opening, 700);
    assert_eq!(home.since_us(), 500);
    home.enter(Phase::Live, 900);
    assert_eq!((home.phase(), home.since_us()), (Phase::Live, 900));
}

#[test]
fn a_restart_is_taken_once() {
    let home = home();
    assert!(!home.takes_restart());
    home.restart();
    assert!(home.takes_restart());
    assert!(!home.takes_restart());
}
