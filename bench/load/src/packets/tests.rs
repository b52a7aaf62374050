//! What `packets.rs` promises, tried.

use super::*;

#[test]
fn label_says_who_which_and_when() {
    let sent = Duration::new(86_400, 123_456_789);
    let packet = Source::new(5, 8_000).packet_sent(1_000_003, sent);
    let label = Label::read(&packet).unwrap().unwrap();
    let number = Source::new(5, 8_000).number_at(1_000_003);
    assert_eq!((label.origin, label.number), (5, number));
    assert_eq!(label.sent, Some(sent));
    let unstamped = Label::read(&Source::new(5, 8_000).packet(7)).unwrap();
    assert_eq!(unstamped.unwrap().sent, None);
}

#[test]
fn no_byte_of_a_numbered_packet_changes_unseen() {
    let packet = Source::new(1, 2_000).packet_sent(40, Duration::from_secs(9));
    let sound = Label::read(&packet).unwrap().unwrap();
    for place in 0..PACKET_BYTES {
        for bit in 0..7 {
            let mut damaged = packet;
            damaged[place] ^= 1 << bit;
            let seen = Label::read(&damaged);
            assert_ne!(seen, Some(Some(sound)), "bit {bit} of byte {place}");
        }
    }
}

#[test]
fn foreign_packets_and_wrong_lengths_bear_no_label() {
    assert_eq!(Label::read(&[0x47; PACKET_BYTES]), None);
    assert_eq!(Label::read(&[]), None);
    assert_eq!(Label::read(&Source::new(1, 2_000).packet(40)[1..]), None);
    assert_eq!(Label::read(&Source::new(1, 2_000).packet(0)), None);
}

#[test]
fn packet_is_on_air_when_it_is_due_and_not_before() {
    for kbit_per_s in [150, 2_000, 8_000, 400_000] {
        let source = Source::new(1, kbit_per_s);
        for index in (0..5_000).chain(1_000_000..1_000_100) {
            let due = source.due(index);
            assert_eq!(source.index_at(due).max(index), source.index_at(due));
            if let Some(before) = due.checked_sub(Duration::from_micros(1)) {
                assert!(source.index_at(before) < index, "{index} at {kbit_per_s}");
            }
        }
    }
}

#[test]
fn packets_between_numbers_is_the_distance_of_their_indexes() {
    let source = Source::new(1, 150);
    let numbered = source.group() - 2;
    let has_number = |index: &u64| index % source.group() > 1;
    for from in (0..200).filter(has_number) {
        for to in (from..200).filter(has_number) {
            let (low, high) = (source.number_at(from), source.number_at(to));
            assert_eq!(packets_between(low, high, numbered), to - from);
        }
    }
}

#[test]
fn every_pid_counts_without_a_jump() {
    let source = Source::new(1, 500);
    let mut last = std::collections::HashMap::new();
    for index in 0..source.group() * 40 {
        let packet = source.packet(index);
        let pid = u16::from_be_bytes([packet[1] & 0x1F, packet[2]]);
        if let Some(before) = last.insert(pid, packet[3] & 15) {
            assert_eq!(packet[3] & 15, (before + 1) & 15, "index {index}");
        }
    }
    assert_eq!(last.len(), 4);
}

#[test]
fn bitrate_is_what_was_asked_for_within_a_packet_per_frame() {
    let source = Source::new(1, 8_000);
    assert_eq!(source.index_at(Duration::from_secs(1)), 212 * 25);
    assert_eq!(source.bit_per_s(), 212 * 25 * 1504);
}
