//! What `resync.rs` promises, tried.

use super::*;
use crate::ts::fixture::{Dice, PacketMaker};

/// A stream's bytes arriving in cuts at the front of a caller that keeps only what is undecided.
struct Caller {
    resync: Resync,
    held: Vec<u8>,
    packets: Vec<[u8; PACKET_BYTES]>,
    held_most: usize,
}

impl Caller {
    fn new() -> Self {
        Self {
            resync: Resync::new(),
            held: Vec::new(),
            packets: Vec::new(),
            held_most: 0,
        }
    }

    fn take(&mut self, bytes: &[u8], at_end: bool) {
        self.held.extend_from_slice(bytes);
        let mut offset = 0;
        loop {
            match self.resync.next(&self.held[offset..], at_end) {
                Step::Packet => {
                    self.packets
                        .push(*self.held[offset..].first_chunk().unwrap());
                    offset += PACKET_BYTES;
                }
                Step::Junk(length) => {
                    assert!(length > 0 && length <= self.held.len() - offset);
                    offset += length;
                }
                Step::NeedMore => break,
            }
        }
        self.held.drain(..offset);
        self.held_most = self.held_most.max(self.held.len());
    }
}

/// Packets numbered in their payload, without a sync byte but the first.
fn numbered(count: usize) -> Vec<[u8; PACKET_BYTES]> {
    (0..count)
        .map(|number| {
            let [.., high, low] = (number / 100 * 256 + number % 100).to_be_bytes();
            let digits = [high | 0x80, low | 0x80];
            PacketMaker::new(0x100)
                .counter(low & 0x0F)
                .payload(&digits)
                .build()
        })
        .collect()
}

fn junk(dice: &mut Dice, length: usize) -> Vec<u8> {
    (0..length)
        .map(|_| dice.byte())
        .map(|byte| if byte == SYNC { 0 } else { byte })
        .collect()
}

/// The same rules on the whole input at once, written down without any care for speed.
fn naive(bytes: &[u8]) -> (Vec<[u8; PACKET_BYTES]>, u64) {
    let sync = |at: usize| bytes.get(at) == Some(&SYNC);
    let starts = |at: usize| sync(at) && sync(at + 188) && sync(at + 376);
    let (mut packets, mut resyncs, mut at, mut is_locked) = (Vec::new(), 0, 0, false);
    while at + PACKET_BYTES <= bytes.len() {
        if !is_locked {
            let Some(start) = (at..bytes.len()).find(|at| starts(*at)) else {
                break;
            };
            (at, is_locked) = (start, true);
        }
        if !sync(at) {
            (is_locked, resyncs) = (false, resyncs + 1);
            continue;
        }
        if at + PACKET_BYTES < bytes.len()
            && !sync(at + PACKET_BYTES)
            && let Some(start) = (at + 1..at + PACKET_BYTES).find(|at| starts(*at))
        {
            (at, resyncs) = (start, resyncs + 1);
            continue;
        }
        packets.push(*bytes[at..].first_chunk().unwrap());
        at += PACKET_BYTES;
    }
    let is_lost_at_tail = is_locked && at < bytes.len() && !sync(at);
    (packets, resyncs + u64::from(is_lost_at_tail))
}

#[test]
fn a_clean_stream_comes_out_whole_however_it_is_cut() {
    let packets = numbered(50);
    for cut in [1, 2, 100, 187, 188, 189, 564, 9400] {
        let mut caller = Caller::new();
        packets
            .concat()
            .chunks(cut)
            .for_each(|part| caller.take(part, false));
        assert_eq!(
            caller.packets,
            packets[..49],
            "cut {cut}: the last one waits for what follows it"
        );
        caller.take(&[], true);
        assert_eq!(caller.packets, packets);
        assert_eq!(
            (caller.resync.resyncs(), caller.resync.junk_bytes()),
            (0, 0)
        );
    }
}

#[test]
fn two_packets_are_not_enough_to_lock_onto() {
    let packets = numbered(3).concat();
    let mut resync = Resync::new();
    assert_eq!(resync.next(&packets[..376], true), Step::NeedMore);
    assert!(!resync.is_locked());
    assert_eq!(resync.next(&packets[..377], false), Step::Packet);
    assert!(resync.is_locked());
}

#[test]
fn junk_before_the_first_packet_is_given_away_at_once_and_is_no_resync() {
    let mut resync = Resync::new();
    let page = b"<html>no TS here</html>".repeat(100);
    assert_eq!(resync.next(&page, false), Step::Junk(page.len()));
    let packets = numbered(3).concat();
    assert_eq!(resync.next(&packets, false), Step::Packet);
    assert_eq!((resync.resyncs(), resync.junk_bytes()), (0, 2300));
}

#[test]
fn junk_between_packets_costs_no_packet() {
    let packets = numbered(10);
    for length in [1, 100, 187, 188, 189, 5000, 100_000] {
        let noise = junk(&mut Dice::new(7), length);
        let mut caller = Caller::new();
        caller.take(
            &[packets[..5].concat(), noise, packets[5..].concat()].concat(),
            true,
        );
        assert_eq!(caller.packets, packets, "{length} bytes of junk");
        assert_eq!(caller.resync.resyncs(), 1);
        assert_eq!(caller.resync.junk_bytes(), u64::try_from(length).unwrap());
    }
}

#[test]
fn a_torn_packet_costs_itself_and_nothing_else() {
    let packets = numbered(10);
    for kept in 1..PACKET_BYTES {
        let mut caller = Caller::new();
        let torn = [
            &packets[..5].concat(),
            &packets[5][..kept],
            &packets[6..].concat(),
        ]
        .concat();
        torn.chunks(13).for_each(|part| caller.take(part, false));
        caller.take(&[], true);
        assert_eq!(
            caller.packets,
            [&packets[..5], &packets[6..]].concat(),
            "torn after {kept} bytes"
        );
        assert_eq!(caller.resync.resyncs(), 1);
        assert_eq!(caller.resync.junk_bytes(), u64::try_from(kept).unwrap());
    }
}

#[test]
fn a_pause_inside_a_packet_does_not_tear_it() {
    let packets = numbered(6).concat();
    let mut caller = Caller::new();
    caller.take(&packets[..4 * 188 + 100], true);
    assert_eq!(caller.packets.len(), 4, "the fourth had waited long enough");
    caller.take(&packets[4 * 188 + 100..], true);
    assert_eq!(caller.packets.concat(), packets);
    assert_eq!(caller.resync.junk_bytes(), 0);
}

#[test]
fn the_torn_end_of_a_fetch_is_dropped_and_counted() {
    let packets = numbered(10);
    let mut caller = Caller::new();
    caller.take(
        &[packets[..5].concat().as_slice(), &packets[5][..100]].concat(),
        true,
    );
    caller.held.clear();
    caller.resync.lost();
    assert!(!caller.resync.is_locked());
    caller.take(&packets[6..].concat(), true);
    assert_eq!(caller.packets, [&packets[..5], &packets[6..]].concat());
    assert_eq!(
        (caller.resync.resyncs(), caller.resync.junk_bytes()),
        (0, 100)
    );
}

#[test]
fn losing_nothing_counts_nothing() {
    let mut resync = Resync::new();
    resync.lost();
    resync.lost();
    assert_eq!(resync.junk_bytes(), 0);
}

#[test]
fn sync_bytes_in_payloads_do_not_mislead_a_locked_stream() {
    let packets: Vec<_> = (0..20)
        .map(|_| PacketMaker::new(0x100).payload(&[SYNC; 184]).build())
        .collect();
    let mut caller = Caller::new();
    packets
        .concat()
        .chunks(31)
        .for_each(|part| caller.take(part, false));
    caller.take(&[], true);
    assert_eq!(caller.packets, packets);
}

#[test]
fn random_streams_with_junk_and_tears_give_whole_packets_in_order() {
    for seed in 0..300 {
        let mut dice = Dice::new(seed);
        let packets = numbered(60);
        let (mut sent, mut expected) = (Vec::new(), Vec::new());
        let mut calm = 0;
        for (number, packet) in packets.iter().enumerate() {
            let is_fault = calm >= 3 && number < 57 && dice.below(6) == 0;
            calm = if is_fault { 0 } else { calm + 1 };
            match (is_fault, dice.below(2)) {
                (true, 0) => sent.extend_from_slice(&packet[..1 + dice.below(187)]),
                (true, _) => {
                    let length = 1 + dice.below(3000);
                    sent.extend(junk(&mut dice, length));
                    sent.extend_from_slice(packet);
                    expected.push(*packet);
                }
                (false, _) => {
                    sent.extend_from_slice(packet);
                    expected.push(*packet);
                }
            }
        }
        let mut caller = Caller::new();
        let mut rest = sent.as_slice();
        while !rest.is_empty() {
            let (now, later) = rest.split_at(1 + dice.below(700).min(rest.len() - 1));
            caller.take(now, false);
            rest = later;
        }
        caller.take(&[], true);
        assert_eq!(caller.packets, expected, "seed {seed}");
        assert!(caller.held_most < LOOKAHEAD_BYTES, "seed {seed}");
    }
}

#[test]
fn any_bytes_in_any_cuts_give_what_the_naive_reading_gives() {
    for seed in 0..400 {
        let mut dice = Dice::new(1000 + seed);
        let mut bytes = Vec::new();
        for _ in 0..30 {
            match dice.below(4) {
                0 => {
                    let mut noise = vec![0; dice.below(900)];
                    dice.fill(&mut noise);
                    bytes.extend(noise);
                }
                1 => bytes.extend(
                    (0..dice.below(900)).map(|_| if dice.below(3) == 0 { SYNC } else { 0 }),
                ),
                _ => bytes.extend((0..dice.below(9)).flat_map(|_| {
                    let mut packet = [SYNC; PACKET_BYTES];
                    dice.fill(&mut packet[1..]);
                    packet
                })),
            }
        }
        let (packets, resyncs) = naive(&bytes);
        let mut caller = Caller::new();
        let mut rest = bytes.as_slice();
        while !rest.is_empty() {
            let (now, later) = rest.split_at(1 + dice.below(400).min(rest.len() - 1));
            caller.take(now, false);
            rest = later;
        }
        caller.take(&[], true);
        assert_eq!(caller.packets, packets, "seed {seed}");
        assert_eq!(caller.resync.resyncs(), resyncs, "seed {seed}");
        assert!(caller.held_most < LOOKAHEAD_BYTES, "seed {seed}");
    }
}

#[test]
fn hostile_bytes_are_given_away_in_few_steps_and_little_memory() {
    let mut sparse = vec![0; 1 << 20];
    sparse.iter_mut().step_by(2).for_each(|byte| *byte = SYNC);
    sparse
        .iter_mut()
        .skip(376)
        .step_by(400)
        .for_each(|byte| *byte = 0);
    for cut in [1, 64, 4096] {
        let mut resync = Resync::new();
        let (mut begin, mut end, mut steps) = (0, 0, 0);
        while end < sparse.len() / 8 {
            end += cut;
            loop {
                steps += 1;
                match resync.next(&sparse[begin..end], false) {
                    Step::Packet => begin += PACKET_BYTES,
                    Step::Junk(length) => begin += length,
                    Step::NeedMore => break,
                }
            }
            assert!(end - begin < LOOKAHEAD_BYTES);
        }
        assert!(
            steps <= 3 * (end / cut + end / PACKET_BYTES),
            "cut {cut}: {steps} steps"
        );
    }
}
