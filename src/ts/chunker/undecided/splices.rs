//! Undecided starts around a change of upstream.

use super::*;

#[test]
fn after_a_splice_an_undecided_start_is_held_until_it_is_a_join_point() {
    let mut relay = Relay::with_history();
    relay.splice();
    relay.tables(TV);
    relay.media(AUDIO, 1);
    relay.now_us += 5_000;
    relay.begin_undecided();
    relay.media(AUDIO, 2);
    assert_eq!((relay.discarded, relay.chunker.open_packets()), (3, 3));
    assert_eq!(
        relay.chunker.open_since_us(),
        None,
        "no viewer waits for it"
    );
    relay.finish();
    assert_eq!(
        (relay.sizes(), relay.chunker.open_packets()),
        (vec![2, 31], 3)
    );
    relay.decide_for();
    relay.media(0x77, 1);
    relay.finish();
    assert_eq!((relay.discarded, relay.sizes()), (3, vec![2, 31, 4, 1]));
    let first = relay.published[2].0.clone();
    assert!(first.join.is_some());
    assert_eq!(first.arrived_us, relay.now_us);
    assert_eq!(
        pids(first.splice.as_ref().unwrap()),
        [0, PMT, VIDEO, AUDIO, 0x77, 0, PMT]
    );
    assert_eq!(complaints(&relay.received(0)), 0);
}

#[test]
fn after_a_splice_what_was_held_for_nothing_is_dropped() {
    let mut relay = Relay::with_history();
    relay.splice();
    relay.tables(TV);
    relay.begin_undecided();
    relay.media(AUDIO, 2);
    relay.decide_against();
    assert_eq!((relay.discarded, relay.held.len()), (6, 0));
    relay.begin_undecided();
    relay.media(AUDIO, 30);
    assert_eq!((relay.discarded, relay.held.len()), (6, 31));
    relay.media(AUDIO, 1);
    assert_eq!((relay.discarded, relay.held.len()), (38, 0));
    relay.begin_undecided();
    relay.begin(&units(&[IDR]));
    relay.media(AUDIO, 2);
    relay.finish();
    assert_eq!((relay.discarded, relay.sizes()), (39, vec![2, 31, 3]));
    assert_eq!(complaints(&relay.received(0)), 0);
}

#[test]
fn an_undecided_start_is_lost_with_its_upstream() {
    let mut relay = Relay::with_history();
    relay.splice();
    relay.tables(TV);
    relay.begin_undecided();
    relay.media(AUDIO, 2);
    relay.splice();
    assert_eq!(
        relay.chunker.open_packets(),
        3,
        "the caller holds them still"
    );
    relay.decide_for();
    assert_eq!((relay.discarded, relay.held.len()), (6, 0));
    relay.tables(TV);
    relay.begin(&units(&[IDR]));
    relay.begin_undecided();
    relay.splice();
    relay.decide_for();
    relay.finish();
    assert_eq!((relay.discarded, relay.sizes()), (9, vec![2, 31, 2]));
    assert_eq!(complaints(&relay.received(0)), 0);
}

#[test]
fn pids_that_return_behind_an_undecided_start_are_announced() {
    let mut relay = Relay::with_history();
    relay.splice();
    relay.tables(TV);
    relay.begin_undecided();
    relay.media(AUDIO, 2);
    relay.decide_for();
    relay.media(AUDIO, 1);
    relay.finish();
    assert_eq!(relay.sizes(), [2, 31, 5], "its chunk tells of the sound");
    relay.begin_undecided();
    relay.media(0x77, 1);
    relay.decide_for();
    relay.finish();
    assert_eq!(relay.sizes(), [2, 31, 5, 1, 2]);
    assert_eq!(relay.joins(), [1, 2], "the doubt ends where a PID returns");
    let splice = relay.published[4].0.splice.clone().unwrap();
    assert_eq!(pids(&splice), [0x77]);
    assert_eq!(complaints(&relay.received(0)), 0);
}
