//! What `chunker.rs` promises, tried.

mod splices;

use super::*;
use crate::ts::fixture::h264::IDR;
use crate::ts::fixture::{Dice, PacketMaker, pids, units};
use crate::ts::join::CREDIT_MAX;
use crate::ts::packet::PID_NULL;
use crate::ts::relay::{AUDIO, PMT, RADIO, Relay, TV, VIDEO, complaints};
use crate::ts::{CHUNK_PACKETS, CHUNK_PACKETS_MAX, PACKET_BYTES};

#[test]
fn a_full_chunk_closes_with_its_last_packet() {
    let mut relay = Relay::new(CHUNK_PACKETS);
    relay.media(VIDEO, 400);
    assert_eq!(relay.sizes(), [174, 174]);
    assert_eq!(relay.chunker.open_packets(), 52);
}

#[test]
fn the_size_of_chunks_is_kept_within_bounds() {
    for (asked, given) in [(0, 1), (7, 7), (174, 174), (697, 697), (5000, 697)] {
        let mut relay = Relay::new(asked);
        relay.media(VIDEO, given);
        assert_eq!(relay.sizes(), [given], "asked for {asked}");
    }
}

#[test]
fn a_flush_closes_what_is_open_and_only_that() {
    let mut relay = Relay::new(100);
    assert_eq!(relay.chunker.open_since_us(), None);
    assert_eq!(relay.chunker.flush(), None);
    relay.now_us = 5;
    relay.media(VIDEO, 1);
    relay.now_us = 9;
    relay.media(VIDEO, 1);
    assert_eq!(relay.chunker.open_since_us(), Some(5));
    relay.flush();
    assert_eq!(relay.published[0].0.arrived_us, 5);
    assert_eq!(relay.sizes(), [2]);
    assert_eq!(relay.chunker.flush(), None);
}

#[test]
fn a_random_access_packet_starts_a_chunk_with_the_tables_before_it() {
    let mut relay = Relay::new(CHUNK_PACKETS);
    relay.tables(TV);
    relay.key();
    relay.media(VIDEO, 20);
    relay.tables(TV);
    relay.media(AUDIO, 5);
    relay.key();
    relay.media(VIDEO, 3);
    relay.flush();
    assert_eq!(relay.sizes(), [2, 28, 4]);
    assert_eq!(relay.joins(), [1, 2]);
    let record = relay.published[2].0.join.clone().unwrap();
    assert_eq!(
        record.psi,
        relay.published[1].1[21..23].concat(),
        "the copies seen last"
    );
    assert_eq!(pids(&record.skip), [0, PMT, VIDEO, AUDIO, 0, PMT]);
    for from in [0, 1, 2] {
        assert_eq!(complaints(&relay.received(from)), 0, "from chunk {from}");
    }
}

#[test]
fn a_skip_between_any_two_join_points_is_announced() {
    let mut relay = Relay::new(16);
    for gop in 0..9 {
        relay.tables(TV);
        relay.key();
        relay.media(VIDEO, 20 + gop);
        relay.media(AUDIO, 3 + gop);
        relay.media(VIDEO, 5);
    }
    let joins = relay.joins();
    assert_eq!(joins.len(), 9);
    for (to, from) in joins.iter().flat_map(|to| {
        joins
            .iter()
            .filter(move |from| *from < to)
            .map(move |from| (to, from))
    }) {
        let record = relay.published[*to].0.join.clone().unwrap();
        let mut received = relay.published[*from].1.clone();
        received.extend_from_slice(record.skip.as_chunks().0);
        received.extend(
            relay
                .received(*to)
                .iter()
                .skip(record.psi.len() / PACKET_BYTES),
        );
        assert_eq!(complaints(&received), 0, "from chunk {from} to {to}");
    }
}

#[test]
fn before_pat_and_pmt_nothing_is_a_join_point() {
    let mut relay = Relay::new(CHUNK_PACKETS);
    relay.key();
    relay.pat();
    relay.key();
    relay.flush();
    assert_eq!((relay.sizes(), relay.joins()), (vec![3], vec![]));
}

#[test]
fn only_the_start_of_a_random_access_unit_on_the_video_pid_counts() {
    let mut relay = Relay::new(CHUNK_PACKETS);
    relay.tables(TV);
    relay.send(PacketMaker::new(VIDEO).random_access(), VIDEO);
    relay.send(PacketMaker::new(VIDEO).unit_start(), VIDEO);
    relay.send(PacketMaker::new(AUDIO).unit_start().random_access(), AUDIO);
    relay.flush();
    assert!(relay.joins().is_empty());
}

#[test]
fn without_video_each_pat_is_a_join_point() {
    let mut relay = Relay::new(CHUNK_PACKETS);
    for _ in 0..4 {
        relay.tables(RADIO);
        relay.media(AUDIO, 10);
    }
    relay.flush();
    assert_eq!(
        (relay.sizes(), relay.joins()),
        (vec![12, 12, 12, 12], vec![1, 2, 3])
    );
    let received = relay.received(1);
    assert_eq!(complaints(&received), 0);
    assert_eq!(pids(&received[..4].concat()), [0, PMT, 0, PMT]);
}

#[test]
fn scrambled_video_makes_the_pat_a_join_point_until_it_is_clear_again() {
    let mut relay = Relay::new(CHUNK_PACKETS);
    relay.tables(TV);
    relay.send(
        PacketMaker::new(VIDEO)
            .unit_start()
            .random_access()
            .scrambled(),
        VIDEO,
    );
    relay.media(AUDIO, 10);
    relay.tables(TV);
    relay.media(VIDEO, 10);
    relay.tables(TV);
    relay.key();
    relay.flush();
    assert_eq!(relay.sizes(), [13, 14, 1]);
    assert_eq!(relay.joins(), [1, 2]);
    assert_eq!(TsPacket::new(&relay.published[1].1[0]).pid(), PID_PAT);
}

#[test]
fn after_ten_seconds_without_a_video_join_point_a_pat_is_one() {
    let mut relay = Relay::new(CHUNK_PACKETS);
    relay.tables(TV);
    for second in 1..=11 {
        relay.now_us = second * 1_000_000;
        relay.media(VIDEO, 10);
        relay.tables(TV);
        relay.flush();
        assert_eq!(relay.joins().is_empty(), second < 10, "second {second}");
    }
    relay.key();
    relay.now_us += 9_000_000;
    relay.tables(TV);
    relay.flush();
    let last = relay.published.last().unwrap();
    assert_eq!(last.0.packets, 3);
    assert!(
        TsPacket::new(&last.1[0]).random_access(),
        "the count begins again at a video join point"
    );
}

#[test]
fn the_ten_seconds_are_media_time_where_there_is_a_clock() {
    let mut relay = Relay::new(CHUNK_PACKETS);
    relay.tables(TV);
    for step in 0..=250 {
        relay.send(PacketMaker::new(VIDEO).pcr(step * 1_080_000), VIDEO);
    }
    assert_eq!(relay.chunker.media_us(), 10_000_000);
    relay.tables(TV);
    relay.flush();
    assert_eq!(relay.joins().len(), 1, "although all arrived at once");

    let mut relay = Relay::new(CHUNK_PACKETS);
    relay.tables(TV);
    relay.send(PacketMaker::new(VIDEO).pcr(0), VIDEO);
    relay.now_us = 60_000_000;
    relay.tables(TV);
    relay.flush();
    assert!(
        relay.joins().is_empty(),
        "an upstream that rested for a minute lost no join point"
    );
}

#[test]
fn a_chunk_tells_the_media_time_of_its_first_packet() {
    let mut relay = Relay::new(10);
    relay.tables(TV);
    for step in 0..30 {
        relay.send(PacketMaker::new(VIDEO).pcr(step * 1_080_000), VIDEO);
    }
    let times: Vec<_> = relay
        .published
        .iter()
        .map(|(closed, _)| closed.media_us)
        .collect();
    assert_eq!(times, [0, 320_000, 720_000]);
    assert_eq!(relay.chunker.bits_per_second(), Some(25 * 188 * 8));
}

#[test]
fn a_flagged_clock_change_does_not_leap() {
    let mut relay = Relay::new(10);
    relay.tables(TV);
    relay.send(PacketMaker::new(VIDEO).pcr(0), VIDEO);
    relay.send(
        PacketMaker::new(VIDEO).pcr(5 * 27_000_000).discontinuity(),
        VIDEO,
    );
    assert_eq!(relay.chunker.media_us(), 0);
}

#[test]
fn a_jump_of_a_counter_is_counted_once() {
    let mut relay = Relay::new(10);
    relay.media(VIDEO, 3);
    relay.count(VIDEO);
    relay.media(VIDEO, 3);
    assert_eq!(relay.chunker.continuity_errors(), 1);
}

#[test]
fn join_records_cannot_outgrow_the_stream() {
    let in_doubt = |relay: &mut Relay| {
        relay.begin_undecided();
        relay.decide_for();
    };
    records_stay_within_the_stream(Relay::key);
    records_stay_within_the_stream(in_doubt);
    records_stay_within_the_stream(|relay| relay.begin(&units(&[IDR])));
}

fn records_stay_within_the_stream(send: impl Fn(&mut Relay)) {
    let mut relay = Relay::new(CHUNK_PACKETS);
    relay.tables(TV);
    relay.media(AUDIO, 1);
    (0..5_000).for_each(|_| send(&mut relay));
    relay.finish();
    let records: usize = relay
        .published
        .iter()
        .filter_map(|(closed, _)| Some(closed.join.as_ref()?.bytes()))
        .sum();
    let stream: usize = relay.sizes().iter().sum::<usize>() * PACKET_BYTES;
    assert!(relay.joins().len() > 500);
    let allowance = usize::try_from(CREDIT_MAX).unwrap() * PACKET_BYTES;
    assert!(
        records <= stream + allowance,
        "{records} bytes of records for {stream} bytes of stream"
    );
}

#[test]
fn random_streams_come_out_whole_with_chunks_in_bounds() {
    for seed in 0..60 {
        let mut dice = Dice::new(seed);
        let packets_max = 1 + dice.below(CHUNK_PACKETS_MAX);
        let mut relay = Relay::new(packets_max);
        for _ in 0..3_000 {
            match dice.below(40) {
                0 => relay.tables(TV),
                1 => relay.key(),
                2 => relay.send(PacketMaker::new(PID_NULL), PID_NULL),
                3 => relay.flush(),
                4 if dice.below(8) == 0 => relay.splice(),
                5..=9 => relay.media(AUDIO, 1),
                10 => {
                    let mut packet = PacketMaker::new(VIDEO).build();
                    dice.fill(&mut packet[4..]);
                    let counter = relay.count(VIDEO);
                    packet[3] = 0x30 | counter;
                    relay.push(packet);
                }
                _ => relay.media(VIDEO, 1),
            }
            relay.now_us += u64::try_from(dice.below(20_000)).unwrap();
        }
        relay.finish();
        relay.assert_sound(&format!("seed {seed}"));
        assert!(!relay.joins().is_empty(), "seed {seed}");
    }
}
