//! How chunks of one upstream follow those of another.

use super::*;

#[test]
fn after_a_splice_nothing_is_kept_before_tables_and_a_join_point() {
    let mut relay = Relay::with_history();
    relay.splice();
    relay.media(VIDEO, 3);
    assert_eq!(relay.sizes(), [2, 31], "the open chunk ended");
    relay.key();
    relay.tables(TV);
    relay.media(AUDIO, 3);
    assert_eq!((relay.discarded, relay.chunker.open_packets()), (9, 0));
    relay.key();
    relay.media(VIDEO, 3);
    relay.media(AUDIO, 3);
    relay.flush();
    assert_eq!(relay.discarded, 9);
    let (closed, packets) = relay.published.last().unwrap();
    assert_eq!((closed.packets, packets.len()), (7, 7));
    assert!(closed.join.is_some());
    assert_eq!(
        pids(closed.splice.as_ref().unwrap()),
        [0, PMT, VIDEO, AUDIO, 0x77, 0, PMT]
    );
    assert_eq!(complaints(&relay.received(0)), 0);
    assert_eq!(relay.chunker.continuity_errors(), 0);
}

#[test]
fn the_bytes_of_a_splice_continue_either_side() {
    let mut relay = Relay::with_history();
    relay.splice();
    relay.tables(TV);
    relay.key();
    relay.flush();
    let splice = relay.published.last().unwrap().0.splice.clone().unwrap();
    let counters: Vec<_> = splice.as_chunks().0[..5]
        .iter()
        .map(TsPacket::new)
        .map(|packet| (packet.pid(), packet.continuity_counter()))
        .collect();
    let before = [(0, 1), (PMT, 1), (VIDEO, 21), (AUDIO, 6), (0x77, 4)]
        .map(|(pid, next): (u16, u8)| (pid, next));
    let expected: Vec<_> = before
        .iter()
        .map(|(pid, next)| {
            if [AUDIO, 0x77].contains(pid) {
                (*pid, next - 1)
            } else {
                (*pid, (next + 4) % 16)
            }
        })
        .collect();
    assert_eq!(
        counters, expected,
        "old PIDs their last counter, new ones the one before their next"
    );
}

#[test]
fn a_pid_that_returns_late_from_the_new_upstream_is_announced_then() {
    let mut relay = Relay::with_history();
    relay.splice();
    relay.tables(TV);
    relay.key();
    relay.media(VIDEO, 3);
    relay.media(AUDIO, 3);
    relay.media(VIDEO, 2);
    relay.flush();
    assert_eq!(relay.sizes(), [2, 31, 4, 5]);
    let late = relay.published.last().unwrap().0.clone();
    assert!(late.join.is_none());
    assert_eq!(pids(late.splice.as_ref().unwrap()), [AUDIO]);
    assert_eq!(complaints(&relay.received(0)), 0);
}

#[test]
fn a_splice_settles_for_a_pat_after_three_seconds() {
    let mut relay = Relay::with_history();
    relay.splice();
    for tenth in 0..=30 {
        relay.now_us = 50_000_000 + tenth * 100_000;
        relay.tables(TV);
        assert_eq!(
            relay.chunker.open_packets() > 0,
            tenth == 30,
            "tenth {tenth}"
        );
    }
    relay.media(VIDEO, 4);
    relay.flush();
    let (closed, packets) = &relay.published[*relay.joins().last().unwrap()];
    assert!(closed.join.is_some() && closed.splice.is_some());
    assert_eq!(TsPacket::new(&packets[0]).pid(), PID_PAT);
    assert_eq!(complaints(&relay.received(0)), 0);
}

#[test]
fn splices_in_a_row_remember_what_viewers_saw() {
    let mut relay = Relay::with_history();
    relay.splice();
    relay.tables(TV);
    relay.media(0x99, 5);
    relay.splice();
    relay.tables(TV);
    relay.key();
    relay.media(AUDIO, 2);
    relay.splice();
    relay.tables(TV);
    relay.key();
    relay.media(AUDIO, 2);
    relay.media(0x77, 2);
    relay.flush();
    let splices: Vec<_> = relay
        .published
        .iter()
        .filter_map(|(closed, _)| Some(pids(closed.splice.as_ref()?)))
        .collect();
    let all = vec![0, PMT, VIDEO, AUDIO, 0x77, 0, PMT];
    assert_eq!(splices[0], all, "0x99 reached nobody");
    assert_eq!(splices[1], [AUDIO]);
    assert_eq!(splices[2].len(), all.len());
    assert_eq!(splices[3..], [vec![AUDIO], vec![0x77]]);
    assert_eq!(complaints(&relay.received(0)), 0);
}

#[test]
fn a_splice_before_anything_was_published_is_a_fresh_start() {
    let mut relay = Relay::new(CHUNK_PACKETS);
    relay.chunker.splice();
    relay.tables(TV);
    relay.splice();
    relay.tables(TV);
    relay.key();
    relay.flush();
    assert_eq!(relay.discarded, 0);
    assert!(
        relay
            .published
            .iter()
            .all(|(closed, _)| closed.splice.is_none())
    );
    assert_eq!(relay.joins(), [1]);
    assert_eq!(relay.chunker.continuity_errors(), 0);
}

#[test]
fn media_time_goes_on_over_a_splice() {
    let mut relay = Relay::new(CHUNK_PACKETS);
    relay.tables(TV);
    (0..10).for_each(|step| relay.send(PacketMaker::new(VIDEO).pcr(step * 1_080_000), VIDEO));
    relay.flush();
    assert_eq!(relay.chunker.media_us(), 360_000);
    relay.splice();
    relay.now_us = 90_000_000;
    relay.tables(TV);
    (0..10).for_each(|step| {
        relay.send(
            PacketMaker::new(VIDEO).pcr(777_777 + step * 1_080_000),
            VIDEO,
        )
    });
    assert_eq!(relay.chunker.media_us(), 360_000, "nobody received any");
    relay.key();
    relay.send(PacketMaker::new(VIDEO).pcr(777_777 + 11 * 1_080_000), VIDEO);
    assert_eq!(relay.chunker.media_us(), 440_000);
}
