//! Media time of a channel and its bitrate, measured by the program clock. (pure)
//!
//! It is told clock references and arrival times and says how much media has come; which packets carry the clock is
//! known to `chunker.rs`. The rule it protects: media time never goes back and never leaps because a sender's clock
//! did, so that differences of it are seconds of television a viewer received.

use super::PACKET_BYTES;
use super::packet::PCR_WRAP;

/// Media time since a channel's first packet, over jumps of the clock, switched upstreams and lost clocks.
///
/// Unit: 27 MHz inside, microseconds outside.
///
/// While the clock runs, media time follows it. A step back or of more than [`STEP_MAX_US`] forward begins a new count
/// at the media time reached. A clock that did not move for [`CLOCKLESS_US`] of arriving packets is taken for absent,
/// and media time follows arrival until it moves again. A silence of that length proves nothing about the clock:
/// upstreams that send minutes at once and then rest are common.
#[derive(Debug, Default)]
pub struct MediaClock {
    ticks: u64,
    /// The last PCR and the media time it stood for.
    reference: Option<(u64, u64)>,
    now_us: Option<u64>,
    /// Arrival time since the clock last moved.
    clockless_us: u64,
    bitrate: Bitrate,
}

impl MediaClock {
    /// Begins at media time 0.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Notes that packets arrive at `now_us`; to be called before the first packet of each arrival.
    pub fn arrive(&mut self, now_us: u64) {
        let before_us = self.now_us.unwrap_or(now_us);
        self.now_us = Some(now_us.max(before_us));
        let passed_us = now_us.saturating_sub(before_us);
        if self.is_clockless() {
            self.advance(passed_us);
            return;
        }
        if passed_us >= CLOCKLESS_US && self.reference.is_some() {
            return;
        }
        self.clockless_us = self.clockless_us.saturating_add(passed_us);
        if self.is_clockless() {
            self.advance(self.clockless_us);
        }
    }

    /// Takes a clock reference, `packets` being how many packets came so far.
    pub fn refer(&mut self, pcr: u64, packets: u64) {
        let Some((last, at)) = self.reference else {
            self.reference = Some((pcr, self.ticks));
            self.bitrate.restart(self.ticks, packets);
            return;
        };
        let step = (pcr % PCR_WRAP + PCR_WRAP - last % PCR_WRAP) % PCR_WRAP;
        if step == 0 {
            return;
        }
        if step > STEP_MAX_US * TICKS_PER_US {
            self.reference = Some((pcr, self.ticks));
            self.bitrate.restart(self.ticks, packets);
            return;
        }
        self.ticks = self.ticks.max(at.saturating_add(step));
        self.reference = Some((pcr, self.ticks));
        self.clockless_us = 0;
        self.bitrate.measure(self.ticks, packets);
    }

    /// Forgets the last reference: the sender announced a new clock.
    pub fn rebase(&mut self) {
        self.reference = None;
    }

    /// Forgets the last reference and the last arrival: what follows comes from another upstream, and the time
    /// without any is no media.
    pub fn switch(&mut self) {
        self.reference = None;
        self.now_us = None;
        self.clockless_us = 0;
    }

    /// Media time since the first packet.
    ///
    /// Unit: microseconds.
    #[must_use]
    #[inline]
    pub fn media_us(&self) -> u64 {
        self.ticks / TICKS_PER_US
    }

    /// What the stream took per second of its clock, over the last one to two seconds of it.
    ///
    /// Unit: bits per second, all packets counted. `None` until half a second was measured.
    #[must_use]
    pub fn bits_per_second(&self) -> Option<u64> {
        self.bitrate.bits_per_second
    }

    fn is_clockless(&self) -> bool {
        self.clockless_us >= CLOCKLESS_US
    }

    fn advance(&mut self, passed_us: u64) {
        self.ticks = self
            .ticks
            .saturating_add(passed_us.saturating_mul(TICKS_PER_US));
    }
}

/// Packets per media time between marks set a second apart.
#[derive(Debug, Default)]
struct Bitrate {
    /// Media time and packet count at the begin of what is measured.
    begin: (u64, u64),
    /// The same a second later: the begin to come.
    middle: (u64, u64),
    bits_per_second: Option<u64>,
}

impl Bitrate {
    fn restart(&mut self, ticks: u64, packets: u64) {
        self.begin = (ticks, packets);
        self.middle = self.begin;
    }

    fn measure(&mut self, ticks: u64, packets: u64) {
        let (begin_ticks, begin_packets) = self.begin;
        let span = ticks.saturating_sub(begin_ticks);
        if span >= SPAN_MIN_US * TICKS_PER_US {
            let bits = u128::from(packets.saturating_sub(begin_packets)) * PACKET_BITS;
            let rate = bits * u128::from(TICKS_PER_SECOND) / u128::from(span);
            self.bits_per_second = u64::try_from(rate).ok();
        }
        if ticks.saturating_sub(self.middle.0) >= TICKS_PER_SECOND {
            self.begin = self.middle;
            self.middle = (ticks, packets);
        }
    }
}

/// Longest step of the clock that is believed to be media and not a jump.
pub const STEP_MAX_US: u64 = 10_000_000;

/// How long packets arrive without a moving clock before media time follows arrival.
pub const CLOCKLESS_US: u64 = 1_000_000;

const SPAN_MIN_US: u64 = 500_000;
const TICKS_PER_US: u64 = 27;
const TICKS_PER_SECOND: u64 = 27_000_000;
const PACKET_BITS: u128 = PACKET_BYTES as u128 * 8;

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 27_000;

    #[test]
    fn media_time_follows_the_clock_and_not_the_arrival() {
        let mut clock = MediaClock::new();
        for step in 0..=100 {
            clock.arrive(step * 10);
            clock.refer(5_000_000 + step * 40 * MS, step);
        }
        assert_eq!(clock.media_us(), 4_000_000);
    }

    #[test]
    fn the_wrap_of_the_clock_is_an_ordinary_step() {
        let mut clock = MediaClock::new();
        clock.refer(PCR_WRAP - 10 * MS, 0);
        clock.refer(30 * MS, 1);
        assert_eq!(clock.media_us(), 40_000);
    }

    #[test]
    fn a_jump_back_or_far_ahead_adds_nothing() {
        for target in [0, 1_000_000 * MS, 100_000 * MS - 1] {
            let mut clock = MediaClock::new();
            clock.refer(100_000 * MS, 0);
            clock.refer(100_100 * MS, 1);
            clock.refer(target, 2);
            assert_eq!(clock.media_us(), 100_000, "to {target}");
            clock.refer(target + 50 * MS, 3);
            assert_eq!(clock.media_us(), 150_000, "and goes on from {target}");
        }
    }

    #[test]
    fn ten_seconds_are_believed_and_not_a_tick_more() {
        let mut clock = MediaClock::new();
        clock.refer(0, 0);
        clock.refer(10_000 * MS, 1);
        assert_eq!(clock.media_us(), 10_000_000);
        clock.refer(20_000 * MS + 1, 2);
        assert_eq!(clock.media_us(), 10_000_000);
    }

    #[test]
    fn an_announced_new_clock_adds_nothing_even_if_it_is_near() {
        let mut clock = MediaClock::new();
        clock.refer(0, 0);
        clock.rebase();
        clock.refer(500 * MS, 1);
        assert_eq!(clock.media_us(), 0);
        clock.refer(540 * MS, 2);
        assert_eq!(clock.media_us(), 40_000);
    }

    #[test]
    fn without_a_clock_arrival_is_followed_after_a_second() {
        let mut clock = MediaClock::new();
        clock.arrive(7_000_000);
        clock.arrive(7_900_000);
        assert_eq!(clock.media_us(), 0);
        clock.arrive(8_100_000);
        assert_eq!(clock.media_us(), 1_100_000);
        clock.arrive(9_000_000);
        assert_eq!(clock.media_us(), 2_000_000);
    }

    #[test]
    fn a_clock_that_stands_still_is_no_clock() {
        let mut clock = MediaClock::new();
        for step in 0..=50 {
            clock.arrive(step * 100_000);
            clock.refer(77, step);
        }
        assert_eq!(clock.media_us(), 5_000_000);
    }

    #[test]
    fn a_clock_that_comes_back_does_not_count_the_same_time_twice() {
        let mut clock = MediaClock::new();
        clock.arrive(0);
        clock.refer(0, 0);
        for step in 1..=30 {
            clock.arrive(step * 100_000);
        }
        assert_eq!(clock.media_us(), 3_000_000);
        clock.refer(3_200 * MS, 1);
        assert_eq!(clock.media_us(), 3_200_000);
        clock.arrive(3_500_000);
        assert_eq!(clock.media_us(), 3_200_000, "the clock leads again");
    }

    #[test]
    fn a_silence_between_bursts_is_no_media() {
        let mut clock = MediaClock::new();
        clock.arrive(0);
        clock.refer(0, 0);
        clock.refer(9_000 * MS, 1);
        clock.arrive(8_000_000);
        assert_eq!(
            clock.media_us(),
            9_000_000,
            "nothing but a packet without a clock came"
        );
        clock.refer(9_040 * MS, 2);
        assert_eq!(clock.media_us(), 9_040_000);
    }

    #[test]
    fn a_switch_goes_on_where_the_old_upstream_ended() {
        let mut clock = MediaClock::new();
        clock.arrive(0);
        clock.refer(0, 0);
        clock.refer(400 * MS, 1);
        clock.switch();
        clock.arrive(20_000_000);
        clock.refer(600 * MS, 2);
        assert_eq!(clock.media_us(), 400_000);
        clock.refer(640 * MS, 3);
        assert_eq!(clock.media_us(), 440_000);
    }

    #[test]
    fn arrival_times_that_go_back_are_harmless() {
        let mut clock = MediaClock::new();
        for now_us in [5_000_000, 1_000_000, 5_500_000, 0, 6_500_000] {
            clock.arrive(now_us);
        }
        assert_eq!(clock.media_us(), 1_500_000);
    }

    #[test]
    fn the_bitrate_is_that_of_the_last_seconds() {
        let mut clock = MediaClock::new();
        let mut packets = 0;
        for step in 0..100 {
            clock.refer(step * 40 * MS, packets);
            assert_eq!(clock.bits_per_second().is_some(), step >= 13, "step {step}");
            packets += 20;
        }
        assert_eq!(clock.bits_per_second(), Some(25 * 20 * 188 * 8));
        for step in 100..200 {
            clock.refer(step * 40 * MS, packets);
            packets += 40;
        }
        assert_eq!(clock.bits_per_second(), Some(25 * 40 * 188 * 8));
    }

    #[test]
    fn a_jump_of_the_clock_does_not_spoil_the_bitrate() {
        let mut clock = MediaClock::new();
        for step in 0..100 {
            clock.refer(step * 40 * MS, step * 20);
        }
        clock.refer(1, 2_000);
        clock.refer(40 * MS, 2_020);
        assert_eq!(clock.bits_per_second(), Some(25 * 20 * 188 * 8));
    }
}
