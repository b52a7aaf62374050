//! What `verify.rs` promises, tried.

use super::*;
use crate::packets::Source;

fn seen_of(pieces: &[Vec<u8>]) -> Seen {
    let mut verifier = Verifier::default();
    pieces.iter().for_each(|piece| verifier.push(piece));
    verifier.seen().clone()
}

fn packets(source: Source, indexes: impl IntoIterator<Item = u64>) -> Vec<u8> {
    indexes
        .into_iter()
        .flat_map(|index| source.packet(index))
        .collect()
}

#[test]
fn whole_run_in_any_cuts_is_unbroken() {
    let source = Source::new(3, 2_000);
    let bytes = packets(source, 0..source.group() * 20);
    let mut random = fastrand::Rng::with_seed(7);
    let mut verifier = Verifier::default();
    let mut rest = bytes.as_slice();
    while !rest.is_empty() {
        let (piece, after) = rest.split_at(random.usize(1..=700).min(rest.len()));
        verifier.push(piece);
        rest = after;
    }
    verifier.seen().assert_unbroken();
    verifier.seen().assert_starts_at_join_point();
    assert_eq!(verifier.seen().packets, source.group() * 20);
    assert_eq!(verifier.seen().unnumbered, 40);
}

#[test]
fn lost_packet_is_a_gap_and_a_silent_jump() {
    let source = Source::new(1, 2_000);
    let seen = seen_of(&[packets(source, (0..500).filter(|index| *index != 100))]);
    assert_eq!(
        (
            seen.lost,
            seen.gaps.len(),
            seen.unflagged_jumps,
            seen.unannounced
        ),
        (1, 1, 1, 1)
    );
}

#[test]
fn repeated_and_late_packets_are_told_apart() {
    let source = Source::new(1, 2_000);
    let seen = seen_of(&[packets(source, [10, 11, 11, 14, 12, 15])]);
    assert_eq!((seen.repeated, seen.reordered, seen.lost), (1, 1, 2));
}

#[test]
fn damaged_byte_is_a_torn_packet() {
    let source = Source::new(1, 2_000);
    let mut bytes = packets(source, 0..10);
    bytes[5 * PACKET_BYTES + 90] ^= 1;
    bytes[30] ^= 1;
    assert_eq!(
        seen_of(&[bytes]).torn,
        1,
        "stuffing behind a PAT's section is nobody's"
    );
    let mut bytes = packets(source, 0..10);
    bytes[14] ^= 1;
    assert_eq!(seen_of(&[bytes]).torn, 1, "a PAT's CRC counts");
}

#[test]
fn missing_byte_is_torn_and_a_partial_packet_is_a_tail() {
    let source = Source::new(1, 2_000);
    let mut bytes = packets(source, 0..10);
    bytes.remove(4 * PACKET_BYTES);
    let seen = seen_of(&[bytes]);
    assert!(seen.torn >= 1 && seen.lost >= 1, "{seen:?}");
    let mut bytes = packets(source, 0..10);
    bytes.pop();
    assert_eq!(seen_of(&[bytes]).tail_bytes, PACKET_BYTES - 1);
}

#[test]
fn one_packet_of_a_million_that_is_missing_repeated_or_changed_is_counted_once() {
    let source = Source::new(1, 8_000);
    let verifier = Verifier::default;
    let (mut missing, mut twice, mut changed) = (verifier(), verifier(), verifier());
    let mut block = Vec::new();
    for first in (0..1_000_000).step_by(1_000) {
        block.clear();
        (first..first + 1_000).for_each(|index| block.extend(source.packet(index)));
        let is_place = first == 500_000;
        let begin = 400 * PACKET_BYTES;
        let end = begin + if is_place { PACKET_BYTES } else { 0 };
        missing.push(&block[..begin]);
        missing.push(&block[end..]);
        twice.push(&block[..end]);
        twice.push(&block[begin..]);
        block[begin + 100] ^= u8::from(is_place) << 3;
        changed.push(&block);
    }
    let counts = |verifier: &Verifier| {
        let seen = verifier.seen();
        [
            seen.packets,
            seen.lost,
            seen.repeated,
            seen.reordered,
            seen.torn,
        ]
    };
    assert_eq!(counts(&missing), [999_999, 1, 0, 0, 0]);
    assert_eq!(counts(&twice), [1_000_001, 0, 1, 0, 0]);
    // Its number cannot be believed either, so that is missing.
    assert_eq!(counts(&changed), [1_000_000, 1, 0, 0, 1]);
}

#[test]
fn announced_splice_is_clean_and_an_unannounced_one_is_not() {
    let (source, group) = (Source::new(1, 2_000), Source::new(1, 2_000).group());
    let before = packets(source, 0..group + 50);
    let after = packets(source, group * 6..group * 7);
    let flags: Vec<u8> = (0..4)
        .flat_map(|slot| {
            let of_pid = |pid: u16| {
                (0..group * 6)
                    .rev()
                    .map(|index| source.packet(index))
                    .find(move |packet| u16::from_be_bytes([packet[1] & 31, packet[2]]) == pid)
            };
            let pid = [PAT_PID, PMT_PID, VIDEO_PID, packets::AUDIO_PID][slot];
            let counter = of_pid(pid).unwrap()[3] & 15;
            let [high, low] = pid.to_be_bytes();
            let mut packet = vec![0x47, high, low, 0x20 | counter, 183, 0x80];
            packet.resize(PACKET_BYTES, 0xFF);
            packet
        })
        .collect();
    let seen = seen_of(&[before.clone(), flags, after.clone()]);
    seen.assert_spliced();
    assert_eq!((seen.gaps.len(), seen.flagged_jumps), (1, 4));
    let seen = seen_of(&[before, after]);
    assert!(
        seen.unflagged_jumps > 0 && seen.unannounced == 1,
        "{seen:?}"
    );
}

#[test]
fn another_origin_is_a_switch() {
    let seen = seen_of(&[
        packets(Source::new(1, 2_000), 0..100),
        packets(Source::new(2, 2_000), 0..100),
    ]);
    assert_eq!(
        (seen.switches, seen.unannounced, seen.lost, seen.repeated),
        (1, 1, 0, 0)
    );
}

#[test]
fn every_sound_packet_is_shown_with_its_kind_and_a_torn_one_is_not() {
    let source = Source::new(1, 2_000);
    let mut bytes = packets(source, 0..20);
    bytes[7 * PACKET_BYTES + 100] ^= 1;
    let (mut verifier, mut shown) = (Verifier::default(), Vec::new());
    for piece in bytes.chunks(500) {
        verifier.push_each(piece, |label, kind| shown.push((label.number, kind)));
    }
    assert_eq!((shown.len(), verifier.seen().torn), (17, 1));
    assert_eq!(shown[0], (0, Kind::Key));
    assert!(shown.iter().all(|(number, _)| *number != 5));
}

#[test]
fn length_of_a_group_is_learnt_from_its_key_frames() {
    let source = Source::new(1, 2_000);
    let group = source.group();
    let skipped = packets(source, (0..10).chain(group * 3..group * 4 + 10));
    let seen = seen_of(&[skipped]);
    assert_eq!(seen.numbered_per_group, Some(group - 2));
    assert_eq!(
        seen_of(&[packets(source, 0..group)]).numbered_per_group,
        None
    );
}

#[test]
fn list_of_gaps_is_bounded_and_the_loss_is_still_counted() {
    let source = Source::new(1, 150);
    let seen = seen_of(&[packets(source, (0..20_000).filter(|index| index % 2 == 0))]);
    assert_eq!(seen.gaps.len(), GAPS_MAX);
    assert!(seen.lost > 9_000, "{}", seen.lost);
}
