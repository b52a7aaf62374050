//! What `flow.rs` promises, tried.

use corecast_load::verify::{Seen, Verifier};

use super::*;

const START: Duration = Duration::from_secs(50);

fn broadcast() -> Broadcast {
    Broadcast::new(Source::new(1, 8_000), 13_160, START, Duration::ZERO)
}

fn flow(broadcast: &mut Broadcast, framing: Framing, faults: &[&str]) -> Flow {
    let faults = faults.iter().map(|text| text.parse().unwrap()).collect();
    Flow::new(0, broadcast, framing, Pace::Broadcast, faults, START)
}

/// Lets `ms` pass in steps and returns what the flow sent and how it ended.
fn run(broadcast: &mut Broadcast, flow: &mut Flow, from_ms: u64, ms: u64) -> (Vec<u8>, Next) {
    let mut sent = Vec::new();
    for step in from_ms..from_ms + ms {
        let now = START + Duration::from_millis(step);
        broadcast.air(now);
        loop {
            let before = sent.len();
            let next = flow.fill(broadcast, now, &mut sent);
            if matches!(next, Next::Close | Next::Reset) {
                return (sent, next);
            }
            if sent.len() == before {
                break;
            }
        }
    }
    (sent, Next::Wait)
}

fn seen(bytes: &[u8]) -> Seen {
    let mut verifier = Verifier::default();
    verifier.push(bytes);
    verifier.seen().clone()
}

#[test]
fn second_of_broadcast_is_its_bitrate_without_a_hole() {
    let mut broadcast = broadcast();
    let mut flow = flow(&mut broadcast, Framing::Close, &[]);
    let (sent, _) = run(&mut broadcast, &mut flow, 0, 1001);
    let wanted = usize::try_from(broadcast.source().bit_per_s() / 8).unwrap();
    assert!(sent.len().abs_diff(wanted) <= 2 * 13_160, "{}", sent.len());
    seen(&sent).assert_unbroken();
    assert_eq!(sent.len() % 13_160, 0, "pieces go out whole");
}

#[test]
fn packets_bear_the_time_they_went_out_for_those_who_take_them_late_too() {
    let mut broadcast = broadcast();
    let mut prompt = flow(&mut broadcast, Framing::Close, &[]);
    let mut late = flow(&mut broadcast, Framing::Close, &[]);
    let (sent, _) = run(&mut broadcast, &mut prompt, 0, 3000);
    let (again, _) = run(&mut broadcast, &mut late, 3000, 1);
    let stamps = |bytes: &[u8]| {
        let (mut verifier, mut stamps) = (Verifier::default(), Vec::new());
        verifier.push_each(bytes, |label, _| stamps.push(label.sent.unwrap()));
        stamps
    };
    let (sent, again) = (stamps(&sent), stamps(&again));
    assert_eq!(sent.len(), again.len());
    for (sent, again) in sent.iter().zip(&again) {
        let apart = sent.abs_diff(*again);
        assert!(apart <= Duration::from_millis(16), "{sent:?} {again:?}");
    }
}

#[test]
fn sleep_of_the_source_loses_nothing_and_memory_stays_bounded() {
    let mut broadcast = broadcast();
    let mut flow = flow(&mut broadcast, Framing::Close, &[]);
    let (mut sent, _) = run(&mut broadcast, &mut flow, 0, 100);
    sent.extend(run(&mut broadcast, &mut flow, 5000, 10).0);
    seen(&sent).assert_unbroken();
    assert!(broadcast.recent.len() <= RECENT_BYTES_MAX);
}

#[test]
fn lateness_of_a_piece_is_told() {
    let mut broadcast = broadcast();
    let due = broadcast.next_due();
    assert_eq!(
        broadcast.air(due.saturating_sub(Duration::from_micros(1))),
        None
    );
    let late = broadcast.air(due + Duration::from_millis(2));
    assert_eq!(late, Some(Duration::from_millis(2)));
}

#[test]
fn cut_ends_within_a_packet_and_reset_says_so() {
    for (fault, end) in [("cut", Next::Close), ("reset", Next::Reset)] {
        let mut broadcast = broadcast();
        let fault = format!("{fault}:after_ms=500");
        let mut flow = flow(&mut broadcast, Framing::Close, &[&fault]);
        let (sent, next) = run(&mut broadcast, &mut flow, 0, 1000);
        assert_eq!((next, seen(&sent).tail_bytes), (end, PACKET_BYTES / 2));
    }
}

#[test]
fn stall_withholds_and_then_gives_everything() {
    let mut broadcast = broadcast();
    let mut flow = flow(
        &mut broadcast,
        Framing::Close,
        &["stall:after_ms=200,for_ms=2000"],
    );
    let (before, _) = run(&mut broadcast, &mut flow, 0, 200);
    let (during, _) = run(&mut broadcast, &mut flow, 200, 2000);
    let (after, _) = run(&mut broadcast, &mut flow, 2200, 20);
    assert!(
        during.is_empty() && after.len() > 1_900_000,
        "{}",
        after.len()
    );
    seen(&[before, after].concat()).assert_unbroken();
}

#[test]
fn burst_runs_ahead_and_is_followed_by_silence() {
    let mut broadcast = broadcast();
    let mut flow = flow(&mut broadcast, Framing::Close, &["burst:media_ms=3000"]);
    let (burst, _) = run(&mut broadcast, &mut flow, 0, 1);
    let (silence, _) = run(&mut broadcast, &mut flow, 1, 2900);
    let (after, _) = run(&mut broadcast, &mut flow, 2901, 1000);
    assert!(burst.len() > 2_900_000 && silence.is_empty() && after.len() > 800_000);
    seen(&[burst, after].concat()).assert_unbroken();
}

#[test]
fn overlap_begins_with_the_past_for_all_but_the_first() {
    let mut broadcast = broadcast();
    let faults = ["overlap:media_ms=1000"];
    let mut first = flow(&mut broadcast, Framing::Close, &faults);
    let mut second = flow(&mut broadcast, Framing::Close, &faults);
    let (live, _) = run(&mut broadcast, &mut first, 0, 100);
    let (old, _) = run(&mut broadcast, &mut second, 100, 1);
    let numbers = [seen(&live), seen(&old)].map(|seen| seen.first.unwrap().number);
    let media = broadcast.source().media_between(numbers[1], numbers[0]);
    assert!(media.abs_diff(Duration::from_secs(1)) < Duration::from_millis(50));
}

#[test]
fn junk_and_omissions_are_what_a_verifier_counts() {
    let mut broadcast = broadcast();
    let mut junk = flow(&mut broadcast, Framing::Close, &["junk:every_packets=100"]);
    let mut omit = flow(&mut broadcast, Framing::Close, &["omit:every_packets=100"]);
    let (sent, _) = run(&mut broadcast, &mut junk, 0, 1000);
    assert!(seen(&sent).torn > 30, "{:?}", seen(&sent));
    let (sent, _) = run(&mut broadcast, &mut omit, 1000, 1);
    let lost = seen(&sent).lost;
    assert!((40..60).contains(&lost), "{lost}");
}

#[test]
fn length_ends_the_body_exactly_and_chunks_carry_their_size() {
    let mut broadcast = broadcast();
    let mut length = flow(&mut broadcast, Framing::Length(100_001), &[]);
    let (sent, next) = run(&mut broadcast, &mut length, 0, 1000);
    assert_eq!((sent.len(), next), (100_001, Next::Close));
    let mut chunked = flow(&mut broadcast, Framing::Chunked, &[]);
    let (sent, _) = run(&mut broadcast, &mut chunked, 1000, 20);
    let line = sent.iter().position(|byte| *byte == b'\r').unwrap();
    let size = std::str::from_utf8(&sent[..line]).unwrap();
    let size = usize::from_str_radix(size, 16).unwrap();
    assert_eq!(&sent[line + 2 + size..line + 4 + size], b"\r\n");
}

#[test]
fn unpaced_flow_gives_as_much_as_is_taken() {
    let mut broadcast = broadcast();
    let mut flow = Flow::new(
        0,
        &mut broadcast,
        Framing::Close,
        Pace::Taken,
        vec![],
        START,
    );
    let mut sent = Vec::new();
    for _ in 0..100 {
        assert_eq!(flow.fill(&broadcast, START, &mut sent), Next::Send);
    }
    assert!(sent.len() > 6_000_000);
    seen(&sent).assert_unbroken();
}
