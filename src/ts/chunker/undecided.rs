//! Tests of the chunker: starts of which it is known later what they are. (pure)
#![expect(
    clippy::indexing_slicing,
    reason = "a test that reads out of bounds should fail"
)]

mod splices;

use crate::ts::CHUNK_PACKETS;
use crate::ts::facts::AudioCodec;
use crate::ts::fixture::h264::{DELIMITER, IDR, PPS, RECOVERY, SLICE, SPS};
use crate::ts::fixture::{Dice, PacketMaker, pes, pids, units};
use crate::ts::packet::{PID_NULL, TsPacket};
use crate::ts::relay::{AUDIO, PMT, Relay, TV, VIDEO, complaints};

/// A relay that has been live on pictures without flags; what it published is forgotten.
fn live() -> Relay {
    let mut relay = Relay::new(CHUNK_PACKETS);
    relay.tables(TV);
    relay.begin(&units(&[IDR]));
    relay.media(AUDIO, 1);
    relay.finish();
    relay.published.clear();
    relay
}

#[test]
fn a_picture_that_needs_none_before_it_is_a_join_point_without_a_flag() {
    let mut relay = Relay::new(CHUNK_PACKETS);
    relay.tables(TV);
    for _ in 0..2 {
        relay.begin(&units(&[DELIMITER, SPS, PPS, IDR]));
        relay.media(VIDEO, 5);
        relay.begin(&units(&[DELIMITER, SLICE]));
        relay.media(AUDIO, 3);
    }
    relay.finish();
    assert_eq!(
        (relay.sizes(), relay.joins()),
        (vec![2, 10, 10], vec![1, 2])
    );
}

#[test]
fn a_slice_in_a_later_packet_decides_the_start_before_it() {
    let mut relay = Relay::new(CHUNK_PACKETS);
    relay.tables(TV);
    relay.key();
    relay.media(VIDEO, 7);
    relay.media(AUDIO, 2);
    // The flag above is forgotten, so that pictures are looked at again.
    relay.splice();
    relay.tables(TV);
    relay.media(AUDIO, 1);
    relay.begin(&units(&[IDR]));
    relay.now_us = 70_000;
    relay.media(VIDEO, 4);
    relay.now_us = 80_000;
    relay.begin_undecided();
    relay.now_us = 90_000;
    relay.media(VIDEO, 2);
    relay.media(AUDIO, 2);
    assert_eq!(relay.chunker.open_packets(), 10);
    assert_eq!(relay.chunker.open_since_us(), Some(0));
    relay.decide_for();
    assert_eq!((relay.sizes(), relay.joins()), (vec![2, 10, 5], vec![1, 2]));
    assert_eq!(relay.chunker.open_packets(), 6);
    assert_eq!(relay.chunker.open_since_us(), Some(80_000));
    relay.finish();
    let last = relay.published.last().unwrap().0.clone();
    assert_eq!((last.packets, last.arrived_us), (6, 80_000));
    assert_eq!(relay.joins(), [1, 2, 3]);
    for from in [0, 1, 2, 3] {
        assert_eq!(complaints(&relay.received(from)), 0, "from chunk {from}");
    }
    assert_eq!(complaints(&relay.received_with_skip(2, 3)), 0);
}

#[test]
fn a_chunk_split_off_later_tells_the_media_time_of_its_start() {
    let clock = |relay: &mut Relay, ms: u64| {
        relay.send(PacketMaker::new(VIDEO).pcr(ms * 27_000), VIDEO);
    };
    for is_flushed in [false, true] {
        let mut relay = live();
        clock(&mut relay, 1_000);
        clock(&mut relay, 1_040);
        relay.begin_undecided();
        clock(&mut relay, 1_080);
        clock(&mut relay, 1_120);
        if is_flushed {
            relay.flush();
        }
        relay.decide_for();
        relay.finish();
        let times = relay.published.iter().map(|(closed, _)| closed.media_us);
        assert_eq!(times.collect::<Vec<_>>(), [0, 40_000]);
        assert_eq!(relay.chunker.media_us(), 120_000);
    }
}

#[test]
fn a_start_is_found_however_its_packets_are_cut() {
    let picture = pes(&units(&[DELIMITER, SPS, PPS, IDR]));
    for at in 1..picture.len() {
        for audio in [0, 3] {
            let mut relay = live();
            relay.media(AUDIO, 2);
            let (front, rest) = picture.split_at(at);
            let maker = PacketMaker::new(VIDEO).unit_start().exactly(front);
            relay.send(maker, VIDEO);
            relay.media(AUDIO, audio);
            relay.go_on(rest);
            relay.finish();
            assert_eq!(relay.sizes(), [2, 2 + audio], "cut at {at}");
            assert_eq!(relay.joins(), [1], "cut at {at}");
        }
    }
}

#[test]
fn a_start_that_is_none_after_all_leaves_no_trace() {
    let mut relay = live();
    relay.media(AUDIO, 2);
    relay.begin_undecided();
    relay.tables(TV);
    relay.decide_against();
    relay.media(AUDIO, 1);
    relay.begin_undecided();
    relay.media(AUDIO, 1);
    relay.begin(&units(&[SLICE]));
    relay.finish();
    assert_eq!((relay.sizes(), relay.joins()), (vec![10], vec![]));
}

#[test]
fn a_new_start_ends_the_doubt_about_the_one_before() {
    let mut relay = live();
    relay.begin_undecided();
    relay.media(AUDIO, 1);
    relay.begin(&units(&[IDR]));
    relay.finish();
    assert_eq!((relay.sizes(), relay.joins()), (vec![2, 1], vec![1]));
}

#[test]
fn tables_behind_an_undecided_start_are_not_in_its_record() {
    let mut relay = live();
    relay.tables(TV);
    relay.begin_undecided();
    relay.tables(&[(0x1B, VIDEO), (0x03, AUDIO)]);
    assert_eq!(relay.chunker.facts().audio, [AudioCodec::Aac]);
    relay.decide_for();
    assert_eq!(relay.chunker.facts().audio, [AudioCodec::Mpeg]);
    relay.begin_undecided();
    relay.decide_for();
    relay.finish();
    assert_eq!((relay.sizes(), relay.joins()), (vec![2, 4, 2], vec![1, 2]));
    for join in [1, 2] {
        let (before, closed) = (&relay.published[join - 1].1, &relay.published[join].0);
        let tables = if join == 1 {
            &before[..]
        } else {
            &before[1..3]
        };
        assert_eq!(closed.join.as_ref().unwrap().psi, tables.concat());
        assert_eq!(complaints(&relay.received(join)), 0);
    }
    assert_eq!(complaints(&relay.received_with_skip(1, 2)), 0);
}

#[test]
fn more_tables_than_can_be_kept_end_the_doubt() {
    for tables in [4, 5] {
        let mut relay = live();
        relay.media(AUDIO, 1);
        relay.begin_undecided();
        (0..tables).for_each(|_| relay.pat());
        relay.decide_for();
        relay.finish();
        assert_eq!(relay.joins().len(), usize::from(tables == 4));
        relay.begin(&units(&[IDR]));
        relay.finish();
        assert_eq!(
            complaints(&relay.received(*relay.joins().last().unwrap())),
            0
        );
    }
}

#[test]
fn a_pid_that_appears_behind_an_undecided_start_can_be_skipped_to() {
    let mut relay = live();
    relay.begin(&units(&[IDR]));
    relay.begin_undecided();
    relay.media(0x77, 2);
    relay.media(PID_NULL, 1);
    relay.decide_for();
    relay.finish();
    let record = relay.published[1].0.join.clone().unwrap();
    assert_eq!(pids(&record.skip), [0, PMT, VIDEO, AUDIO, 0x77, 0, PMT]);
    assert_eq!(complaints(&relay.received_with_skip(0, 1)), 0);
}

#[test]
fn a_flush_closes_what_is_before_an_undecided_start_and_then_the_start() {
    for is_key in [false, true] {
        let mut relay = live();
        relay.now_us = 10_000;
        relay.media(AUDIO, 3);
        relay.now_us = 20_000;
        relay.begin_undecided();
        relay.now_us = 30_000;
        relay.media(AUDIO, 1);
        assert_eq!(relay.chunker.open_since_us(), Some(10_000));
        relay.flush();
        assert_eq!((relay.sizes(), relay.chunker.open_packets()), (vec![3], 2));
        assert_eq!(relay.chunker.open_since_us(), Some(20_000));
        if is_key {
            relay.decide_for();
            relay.flush();
            assert_eq!((relay.sizes(), relay.joins()), (vec![3, 3], vec![1]));
        } else {
            relay.flush();
            relay.decide_for();
            relay.finish();
            assert_eq!((relay.sizes(), relay.joins()), (vec![3, 2, 1], vec![]));
        }
        let interval_us = relay.chunker.facts().join_interval_us;
        assert_eq!(interval_us.is_some(), is_key, "what is none is not counted");
        assert_eq!(relay.published[1].0.arrived_us, 20_000);
    }
}

#[test]
fn a_full_chunk_ends_before_an_undecided_start() {
    let mut relay = live();
    relay.chunker.packets_max = 8;
    relay.media(AUDIO, 5);
    relay.begin_undecided();
    relay.media(AUDIO, 1);
    assert!(relay.sizes().is_empty());
    relay.media(AUDIO, 1);
    assert_eq!((relay.sizes(), relay.chunker.open_packets()), (vec![5], 3));
    relay.media(AUDIO, 3);
    relay.decide_for();
    relay.finish();
    assert_eq!((relay.sizes(), relay.joins()), (vec![5, 7], vec![1]));
}

#[test]
fn a_start_that_fills_a_chunk_alone_is_none() {
    let mut relay = live();
    relay.chunker.packets_max = 8;
    relay.media(AUDIO, 5);
    relay.begin_undecided();
    relay.media(AUDIO, 7);
    relay.decide_for();
    relay.finish();
    assert_eq!((relay.sizes(), relay.joins()), (vec![5, 8, 1], vec![]));
}

#[test]
fn a_start_is_undecided_for_so_many_packets_of_the_stream_and_no_more() {
    for late in [0, 1] {
        let mut relay = live();
        relay.media(AUDIO, 1);
        relay.begin_undecided();
        relay.media(AUDIO, 20);
        relay.media(VIDEO, 10 + late);
        relay.decide_for();
        relay.finish();
        let expected = if late == 0 { vec![1, 32] } else { vec![34] };
        assert_eq!(relay.sizes(), expected);
        assert_eq!(relay.joins().len(), 1 - late);
    }
}

#[test]
fn a_packet_that_is_lost_damaged_or_scrambled_ends_the_doubt_and_a_repeated_one_does_not() {
    let middle = |relay: &mut Relay, kind: usize| match kind {
        0 => relay.media(VIDEO, 1),
        1 => {
            relay.media(VIDEO, 1);
            let (_, last) = *relay.held.last().unwrap();
            relay.push(last);
        }
        2 => {
            relay.count(VIDEO);
            relay.media(VIDEO, 1);
        }
        3 => relay.send(PacketMaker::new(VIDEO).scrambled(), VIDEO),
        4 => {
            let mut packet = PacketMaker::new(VIDEO).counter(relay.count(VIDEO)).build();
            packet[1] |= 0x80;
            relay.push(packet);
        }
        _ => relay.push(PacketMaker::new(VIDEO).adaptation_only().pcr(7).build()),
    };
    for kind in 0..6 {
        let mut relay = live();
        relay.media(AUDIO, 1);
        relay.begin_undecided();
        middle(&mut relay, kind);
        relay.decide_for();
        relay.finish();
        let is_join_point = [0, 1, 5].contains(&kind);
        assert_eq!(
            relay.joins().len(),
            usize::from(is_join_point),
            "kind {kind}"
        );
    }
}

#[test]
fn chunks_of_one_packet_have_no_room_for_doubt() {
    let mut relay = Relay::new(1);
    relay.tables(TV);
    relay.begin_undecided();
    relay.decide_for();
    relay.splice();
    relay.tables(TV);
    relay.begin_undecided();
    relay.decide_for();
    assert_eq!((relay.joins(), relay.discarded), (vec![], 4));
    relay.begin(&units(&[IDR]));
    assert_eq!((relay.joins(), relay.sizes()), (vec![4], vec![1; 5]));
}

#[test]
fn random_pictures_come_out_whole_and_begin_chunks() {
    let mut found = 0;
    for seed in 0..80 {
        let mut dice = Dice::new(seed);
        let packets_max = 1 + dice.below(60);
        let mut relay = Relay::new(packets_max);
        let mut rate_us = 1_000;
        for _ in 0..3_000 {
            match dice.below(40) {
                0 => relay.tables(TV),
                1 => relay.flush(),
                2 if dice.below(10) == 0 => relay.splice(),
                3 | 4 => relay.begin_undecided(),
                5 => relay.begin(&units(&[DELIMITER, IDR])),
                6 | 7 => relay.begin(&units(&[DELIMITER, SLICE])),
                8 => relay.begin(&units(&[SPS, RECOVERY, SLICE])),
                9..=11 => relay.decide_for(),
                12..=14 => relay.decide_against(),
                15 => relay.go_on(&units(&[&[0x06, 5, 100], &[6; 90]])),
                16 if dice.below(40) == 0 => relay.key(),
                17 if dice.below(40) == 0 => relay.media(0x77, 1),
                18 => relay.send(PacketMaker::new(PID_NULL), PID_NULL),
                19 if dice.below(100) == 0 => rate_us = 1 + dice.below(20_000),
                20..=25 => relay.media(VIDEO, 1),
                _ => relay.media(AUDIO, 1),
            }
            relay.now_us += u64::try_from(dice.below(rate_us)).unwrap();
        }
        relay.finish();
        relay.assert_sound(&format!("seed {seed}"));
        found += relay.joins().len();
        for index in relay.joins() {
            let number = relay.order[relay.sizes()[..index].iter().sum::<usize>()];
            assert!(
                is_possible_join_point(&relay, number),
                "seed {seed}, packet {number}"
            );
        }
    }
    assert!(found > 4_000, "only {found} join points in all");
}

/// Whether the packets from this number on show a picture to begin at, or tables.
fn is_possible_join_point(relay: &Relay, number: usize) -> bool {
    let start = TsPacket::new(&relay.pushed[number]);
    if start.pid() == 0 || start.random_access() {
        return start.payload_unit_start();
    }
    let packets = relay.pushed[number..].iter().take(32).map(TsPacket::new);
    let video = packets.filter(|packet| packet.pid() == VIDEO);
    let mut payloads = video.enumerate().map_while(|(index, packet)| {
        (index == 0 || !packet.payload_unit_start()).then(|| packet.payload().unwrap())
    });
    let mut bytes = Vec::new();
    payloads
        .by_ref()
        .for_each(|payload| bytes.extend_from_slice(payload));
    let first = bytes
        .windows(4)
        .find(|window| window.starts_with(&[0, 0, 1]) && matches!(window[3] & 0x1F, 1 | 5));
    let has_recovery = bytes.windows(5).any(|window| window == RECOVERY);
    start.payload_unit_start() && first.is_some_and(|unit| unit[3] & 0x1F == 5 || has_recovery)
}
