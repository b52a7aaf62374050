//! From what every viewer has seen to the figures of a run. (pure)
//!
//! Judging them belongs in `verdict.rs`. The rule: what the source sent is known from the packets alone, their numbers and
//! their times, so no figure rests on what a server says of itself.

use std::time::Duration;

use hdrhistogram::Histogram;

use super::anchor::excess_bytes;
use super::plan::{Role, Schedule};
use super::tally::{self, Tally};
use super::viewer::{Phase, Viewer};
use super::watch::{Watch, micros};
use crate::result::{Beside, BytesChecked, CrowdCount, PacketCount, Run, Tool};
use crate::spread::{Spread, histogram, to_f64};

/// Everything that the viewers tell of a run.
pub(crate) fn summarise(viewers: &[Viewer], tally: &Tally, schedule: Schedule) -> Run {
    let window = schedule.to.saturating_sub(schedule.from);
    let of_window = |it: &Viewer| it.bytes_at[1].saturating_sub(it.bytes_at[0]);
    let bytes = viewers.iter().map(of_window).sum::<u64>();
    let watches: Vec<&Watch> = viewers
        .iter()
        .filter(|it| it.assignment.role == Role::Verified)
        .filter_map(|it| it.watch.as_deref())
        .collect();
    let delay = sum(watches.iter().map(|it| &it.delay));
    let worst = watches.iter().map(|it| Spread::of(&it.delay).p99).max();
    let joins = |which: usize| {
        let mut joins = histogram();
        for watch in &watches {
            if let Some(time) = watch.join().get(which).copied().flatten() {
                joins.saturating_record(micros(time));
            }
        }
        Spread::of(&joins)
    };
    Run {
        window_s: window.as_secs_f64(),
        bytes,
        gbit_per_s: per_s(bytes, window) * 8.0 / 1e9,
        crowd: crowd(viewers, schedule),
        delay_us: Spread::of(&delay),
        delay_curve: curve(&delay),
        delay_p99_worst_viewer_us: worst.unwrap_or(0),
        gap_us: Spread::of(&sum(watches.iter().map(|it| &it.gap))),
        join_byte_us: first_bytes(viewers),
        join_packet_us: joins(1),
        join_key_us: joins(2),
        first_age_us: joins(3),
        packets: packets(&watches),
        bytes_checked: bytes_checked(viewers, window),
        beside: beside(viewers, tally),
        tool: Tool {
            threads: tally.threads.clone(),
            cpu_s: tally.threads.iter().map(|it| it.cpu_s).sum(),
            busy_us: Spread::of(&tally.busy),
        },
        ..Run::default()
    }
}

fn crowd(viewers: &[Viewer], schedule: Schedule) -> CrowdCount {
    let count =
        |is_one: &dyn Fn(&Viewer) -> bool| viewers.iter().filter(|it| is_one(it)).count() as u64;
    let of = |role: Role| count(&|it| it.assignment.role == role);
    let is_steady = |it: &Viewer| it.assignment.role.is_steady();
    CrowdCount {
        channels: 0,
        steady: count(&is_steady),
        verified: of(Role::Verified),
        slow: of(Role::Slow),
        stalled: of(Role::Stalled),
        churning: of(Role::Churning),
        zapping: of(Role::Zapping),
        joined: count(&|it| is_steady(it) && it.first_byte.is_some_and(|at| at < schedule.from)),
        over: count(&|it| is_steady(it) && it.phase == Phase::Over),
    }
}

/// From asking to the first body byte, of all steady viewers.
fn first_bytes(viewers: &[Viewer]) -> Spread {
    let mut joins = histogram();
    for viewer in viewers.iter().filter(|it| it.assignment.role.is_steady()) {
        if let Some(first) = viewer.first_byte {
            joins.saturating_record(micros(first.saturating_sub(viewer.asked)));
        }
    }
    Spread::of(&joins)
}

fn packets(watches: &[&Watch]) -> PacketCount {
    let mut count = PacketCount::default();
    for watch in watches {
        let seen = watch.seen();
        count.began_within_packet += u64::from(watch.began_within_packet());
        count.seen += seen.packets;
        count.lost += seen.lost;
        count.repeated += seen.repeated;
        count.reordered += seen.reordered;
        count.torn += seen.torn;
        count.unnumbered += seen.unnumbered;
        count.counter_jumps += seen.unflagged_jumps;
        count.switches += seen.switches;
    }
    count
}

/// How many numbers a group has on each channel, and what its source sends per second, as the verified viewers saw it.
fn channel_facts(viewers: &[Viewer], channel: usize) -> Option<(u64, f64)> {
    let of_channel = viewers.iter().filter(|it| it.assignment.channel == channel);
    let watches = of_channel.filter_map(|it| it.watch.as_deref());
    watches
        .filter_map(|watch| {
            let seen = watch.seen();
            let (first, last) = (seen.first?, seen.last?);
            let sent = last.sent?.checked_sub(first.sent?)?;
            let group = seen.numbered_per_group?;
            let packets = corecast_load::packets::packets_between(first.number, last.number, group);
            Some((group, per_s(packets * 188, sent)))
        })
        .find(|(_, bytes_per_s)| bytes_per_s.is_finite())
}

fn bytes_checked(viewers: &[Viewer], window: Duration) -> BytesChecked {
    let mut checked = BytesChecked {
        least_share: f64::INFINITY,
        ..BytesChecked::default()
    };
    let steady = || viewers.iter().filter(|it| it.assignment.role.is_steady());
    let channels = steady().map(|it| it.assignment.channel + 1).max();
    let facts: Vec<_> = (0..channels.unwrap_or(0))
        .map(|channel| channel_facts(viewers, channel))
        .collect();
    checked.unknown_channels = facts.iter().filter(|it| it.is_none()).count() as u64;
    for viewer in steady() {
        let facts = facts.get(viewer.assignment.channel).copied().flatten();
        let Some((group, bytes_per_s)) = facts else {
            continue;
        };
        let came = to_f64(viewer.bytes_at[1].saturating_sub(viewer.bytes_at[0]));
        let due = bytes_per_s * window.as_secs_f64();
        checked.least_share = checked.least_share.min(came / due);
        checked.behind += u64::from(came + bytes_per_s * EDGE_S < due);
        let [Some(first), Some(last)] = viewer.anchors else {
            continue;
        };
        checked.viewers += 1;
        // What is not even of one broadcast in order is as wrong as can be.
        let excess = excess_bytes(first, last, group).unwrap_or(i64::MIN);
        checked.wrong += u64::from(excess != 0);
        checked.worst_short = checked.worst_short.min(excess);
        checked.worst_long = checked.worst_long.max(excess);
    }
    if !checked.least_share.is_finite() {
        checked.least_share = 0.0;
    }
    checked
}

fn beside(viewers: &[Viewer], tally: &Tally) -> Beside {
    let slow = || viewers.iter().filter(|it| it.assignment.role == Role::Slow);
    let of_slow = |count: fn(&corecast_load::verify::Seen) -> u64| {
        let watches = slow().filter_map(|it| it.watch.as_deref());
        watches.map(|watch| count(watch.seen())).sum()
    };
    Beside {
        stays: tally.stays,
        stays_without_media: tally.stays_without_media,
        join_byte_us: Spread::of(&tally.joins_beside),
        stalled_dropped: tally.stalled_dropped,
        slow_over: slow().filter(|it| it.phase == Phase::Over).count() as u64,
        slow_lost: of_slow(|seen| seen.lost),
        slow_torn: of_slow(|seen| seen.torn + seen.repeated + seen.reordered),
    }
}

fn sum<'h>(all: impl Iterator<Item = &'h Histogram<u64>>) -> Histogram<u64> {
    let mut sum = histogram();
    for one in all {
        tally::add(&mut sum, one);
    }
    sum
}

/// Delay at quantiles that come closer to 1 the higher they are.
fn curve(delay: &Histogram<u64>) -> Vec<(f64, u64)> {
    if delay.is_empty() {
        return Vec::new();
    }
    CURVE
        .iter()
        .map(|quantile| (*quantile, delay.value_at_quantile(*quantile)))
        .collect()
}

fn per_s(count: u64, time: Duration) -> f64 {
    to_f64(count) / time.as_secs_f64()
}

/// What may be under way at either end of the measured time, in seconds of media.
const EDGE_S: f64 = 0.5;
const CURVE: &[f64] = &[
    0.0, 0.1, 0.25, 0.5, 0.6, 0.7, 0.75, 0.8, 0.85, 0.9, 0.925, 0.95, 0.965, 0.98, 0.99, 0.993,
    0.996, 0.998, 0.999, 0.9995, 0.9998, 0.9999, 1.0,
];
