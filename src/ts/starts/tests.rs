//! What `starts.rs` promises, tried.

use super::*;
use crate::ts::CHUNK_PACKETS;
use crate::ts::facts::{AudioCodec, VideoCodec};
use crate::ts::fixture::h264::{DELIMITER, IDR, PPS, RECOVERY, SLICE, SPS};
use crate::ts::fixture::{PacketMaker, pes, units};
use crate::ts::packet::PID_PAT;
use crate::ts::relay::{AUDIO, Relay, TV, VIDEO};

const SECOND_US: u64 = 1_000_000;

/// What a picture is, as its encoder writes it.
const KEY: &[&[u8]] = &[DELIMITER, SPS, PPS, IDR];
const OPEN: &[&[u8]] = &[DELIMITER, SPS, PPS, RECOVERY, SLICE];
const OTHER: &[&[u8]] = &[DELIMITER, SLICE];

fn flagged(relay: &mut Relay, picture: &[&[u8]]) {
    let maker = PacketMaker::new(VIDEO).unit_start().random_access();
    relay.send(maker.exactly(&pes(&units(picture))), VIDEO);
}

/// Sends a picture and some more with arrival a second later; says how many join points there are by then.
fn second(relay: &mut Relay, picture: &[&[u8]]) -> usize {
    relay.now_us += SECOND_US;
    relay.begin(&units(picture));
    relay.media(AUDIO, 30);
    relay.finish();
    relay.joins().len()
}

/// The PID and the arrival, in seconds, of every join point.
fn joins(relay: &Relay) -> Vec<(u16, u64)> {
    let joins = relay.joins().into_iter();
    joins
        .map(|index| {
            let (closed, packets) = &relay.published[index];
            let pid = TsPacket::new(&packets[0]).pid();
            (pid, closed.arrived_us / SECOND_US)
        })
        .collect()
}

#[test]
fn flags_are_trusted_once_there_was_one_and_until_they_stay_away() {
    let mut relay = Relay::new(CHUNK_PACKETS);
    relay.tables(TV);
    assert_eq!(second(&mut relay, KEY), 1, "no flag so far");
    flagged(&mut relay, KEY);
    for expected in [2; 9] {
        assert_eq!(second(&mut relay, KEY), expected, "at {}", relay.now_us);
    }
    assert_eq!(second(&mut relay, OTHER), 2);
    assert_eq!(second(&mut relay, KEY), 3, "ten seconds after the flag");
    assert_eq!(second(&mut relay, KEY), 4);
    flagged(&mut relay, OTHER);
    assert_eq!(second(&mut relay, KEY), 5, "the flag is right by itself");
    assert_eq!(joins(&relay).last(), Some(&(VIDEO, 13)));
}

#[test]
fn a_new_upstream_has_to_earn_the_trust_again() {
    let mut relay = Relay::new(CHUNK_PACKETS);
    relay.tables(TV);
    flagged(&mut relay, KEY);
    assert_eq!(second(&mut relay, KEY), 1);
    relay.splice();
    relay.tables(TV);
    assert_eq!(second(&mut relay, KEY), 2);
}

#[test]
fn hevc_and_mpeg_have_join_points_too_and_others_only_with_flags() {
    let hevc: (&[&[u8]], &[&[u8]]) = (&[&[21 << 1, 1]], &[&[1 << 1, 1]]);
    let mpeg: (&[&[u8]], &[&[u8]]) = (&[&[0xB3, 1]], &[&[0, 0x0F]]);
    for (stream_type, (key, other), is_read) in [
        (0x24, hevc, true),
        (0x01, mpeg, true),
        (0x02, mpeg, true),
        (0x1B, mpeg, false),
        (0x10, mpeg, false),
        (0x33, hevc, false),
        (0x42, mpeg, false),
    ] {
        let mut relay = Relay::new(CHUNK_PACKETS);
        relay.tables(&[(stream_type, VIDEO), (0x0F, AUDIO)]);
        assert_eq!(second(&mut relay, other), 0);
        let expected = usize::from(is_read);
        assert_eq!(second(&mut relay, key), expected, "type {stream_type:#x}");
        flagged(&mut relay, other);
        relay.finish();
        assert_eq!(relay.joins().len(), expected + 1);
    }
}

#[test]
fn scrambled_and_damaged_starts_are_not_read() {
    let mut relay = Relay::new(CHUNK_PACKETS);
    relay.tables(TV);
    let key = pes(&units(KEY));
    let maker = || PacketMaker::new(VIDEO).unit_start().exactly(&key);
    relay.send(maker().scrambled(), VIDEO);
    let mut damaged = maker().counter(relay.count(VIDEO)).build();
    damaged[1] |= 0x80;
    relay.push(damaged);
    relay.send(
        PacketMaker::new(VIDEO).unit_start().adaptation_only(),
        VIDEO,
    );
    relay.finish();
    assert!(relay.joins().is_empty());
    relay.send(maker(), VIDEO);
    relay.finish();
    assert_eq!(relay.joins().len(), 1);
}

#[test]
fn recovery_points_count_after_ten_seconds_and_then_until_a_key_picture() {
    let mut relay = Relay::new(CHUNK_PACKETS);
    relay.tables(TV);
    for at in 1..=9 {
        assert_eq!(second(&mut relay, OPEN), 0, "second {at}");
        relay.tables(TV);
    }
    second(&mut relay, OTHER);
    relay.tables(TV);
    for at in 11..=15 {
        assert_eq!(second(&mut relay, OPEN), at - 10, "second {at}");
        relay.tables(TV);
    }
    assert_eq!(second(&mut relay, KEY), 6);
    assert_eq!(second(&mut relay, OPEN), 6, "something better came");
    let expected: Vec<_> = (11..=16).map(|at| (VIDEO, at)).collect();
    assert_eq!(joins(&relay), expected, "and no tables");
}

#[test]
fn tables_count_when_recovery_points_stay_away_as_well() {
    let mut relay = Relay::new(CHUNK_PACKETS);
    relay.tables(TV);
    for _ in 0..5 {
        second(&mut relay, OPEN);
    }
    for _ in 6..=15 {
        second(&mut relay, OTHER);
        relay.tables(TV);
    }
    relay.finish();
    assert_eq!(joins(&relay), [(PID_PAT, 15)]);
}

#[test]
fn after_a_splice_a_recovery_point_counts_after_three_seconds() {
    let mut relay = Relay::with_history();
    relay.finish();
    relay.splice();
    relay.now_us = 100 * SECOND_US;
    relay.tables(TV);
    for expected in [1, 1, 2, 3, 4] {
        assert_eq!(second(&mut relay, OPEN), expected, "at {}", relay.now_us);
    }
    let expected = [(VIDEO, 103), (VIDEO, 104), (VIDEO, 105)];
    assert_eq!(joins(&relay)[1..], expected);
}

#[test]
fn the_media_is_known_with_and_without_flags() {
    for has_flags in [false, true] {
        let mut relay = Relay::new(CHUNK_PACKETS);
        assert_eq!(*relay.chunker.facts(), Facts::default());
        relay.tables(TV);
        let facts = relay.chunker.facts();
        assert_eq!(facts.video, Some(VideoCodec::H264));
        assert_eq!(facts.audio, [AudioCodec::Aac]);
        assert_eq!(facts.sequence, None);
        for _ in 0..3 {
            relay.now_us += 2 * SECOND_US;
            if has_flags {
                flagged(&mut relay, &[DELIMITER]);
                relay.media(AUDIO, 3);
                relay.go_on(&units(&[SPS, PPS]));
                relay.go_on(&units(&[IDR]));
            } else {
                relay.begin(&units(&[DELIMITER, SPS]));
                relay.go_on(&units(&[PPS, IDR]));
            }
            relay.media(AUDIO, 20);
        }
        let facts = relay.chunker.facts().clone();
        let sequence = facts.sequence.unwrap();
        assert_eq!((sequence.width, sequence.height), (640, 360));
        assert_eq!(facts.join_interval_us, Some(2 * SECOND_US));
        relay.finish();
        assert_eq!(relay.joins().len(), 3);
        relay.splice();
        assert_eq!(*relay.chunker.facts(), Facts::default());
    }
}

#[test]
fn another_video_has_facts_of_its_own() {
    let mut relay = Relay::new(CHUNK_PACKETS);
    relay.tables(TV);
    relay.begin(&units(KEY));
    second(&mut relay, KEY);
    assert_eq!(relay.chunker.facts().join_interval_us, Some(SECOND_US));
    relay.tables(&[(0x24, VIDEO), (0x81, AUDIO)]);
    let expected = Facts {
        video: Some(VideoCodec::Hevc),
        audio: vec![AudioCodec::Ac3],
        ..Facts::default()
    };
    assert_eq!(*relay.chunker.facts(), expected);
    relay.begin(&units(KEY));
    relay.finish();
    assert_eq!(relay.chunker.facts().sequence, None, "it is no HEVC");
}
