//! When the fetch may read on: received media runs only so far ahead of its playing. (pure)
//!
//! It is told how much media has come and what time it is, and says to read or to wait. What counts as received is
//! measured in `pulse`, waited is in `read`. The rule it protects: neither the haste of an upstream nor the place of any
//! viewer decides what the ring holds, so that minutes sent at once cost no viewer a byte.

use std::time::Duration;

use crate::clock::micros;

/// The play clock of a channel: how much media would have been played by now, by somebody who began with the first.
///
/// Bound: received media runs at most `ahead` ahead of a clock that is a hundredth fast, and at most as far ahead of
/// real time as seven eighths of the ring hold. The first allows for an upstream whose clock is fast; the second keeps
/// that hundredth from pushing a viewer that plays in real time out of the ring during minutes of haste. Media that
/// falls behind begins a new count: behind the fast clock, unless it was held back itself within [`HELD_US`].
#[derive(Debug)]
pub struct Admission {
    ahead_us: u64,
    ring_us: u64,
    ring_bytes_max: u64,
    /// The time at which a count began, and the media received then.
    base: Option<(u64, u64)>,
    /// When it last had to wait.
    held_us: Option<u64>,
}

/// What the fetch may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admit {
    /// Read on: so much more media is welcome, in microseconds.
    Read {
        /// Unit: microseconds.
        media_us: u64,
    },
    /// Read nothing before this time.
    Wait {
        /// Unit: microseconds of the clock.
        until_us: u64,
    },
}

impl Admission {
    /// A play clock that begins with the first question.
    #[must_use]
    pub fn new(ahead: Duration, ring: Duration, ring_bytes_max: usize) -> Self {
        Self {
            ahead_us: micros(ahead),
            ring_us: share(micros(ring)),
            ring_bytes_max: share(ring_bytes_max as u64),
            base: None,
            held_us: None,
        }
    }

    /// Judges `received_us` of media at `now_us`; `bits_per_second` says how much of it the ring's bytes hold.
    pub fn judge(&mut self, received_us: u64, bits_per_second: Option<u64>, now_us: u64) -> Admit {
        let (begun_us, begun_media_us) = self.base_at(received_us, now_us);
        let passed_us = now_us.saturating_sub(begun_us);
        let received_us = received_us.saturating_sub(begun_media_us);
        let room_us = self.room_us(bits_per_second);
        let limit_us = (fast(passed_us) + self.ahead_us).min(passed_us + room_us);
        if received_us <= limit_us {
            return Admit::Read {
                media_us: limit_us - received_us,
            };
        }
        self.held_us = Some(now_us);
        // A little more than what is over, so that each wait is followed by more than a read.
        let wanted_us = received_us + STEP_US;
        let by_play_us = slow(wanted_us.saturating_sub(self.ahead_us));
        let by_room_us = wanted_us.saturating_sub(room_us);
        Admit::Wait {
            until_us: begun_us + by_play_us.max(by_room_us),
        }
    }

    /// When all that was received will have been played in real time; the past if it has been.
    ///
    /// Unit: microseconds of the clock.
    #[must_use]
    pub fn played_out_us(&self, received_us: u64) -> u64 {
        self.base.map_or(0, |(begun_us, begun_media_us)| {
            begun_us + received_us.saturating_sub(begun_media_us)
        })
    }

    /// Where the count began, which is here and now if media has fallen behind.
    fn base_at(&mut self, received_us: u64, now_us: u64) -> (u64, u64) {
        let is_held = self
            .held_us
            .is_some_and(|held_us| now_us.saturating_sub(held_us) < HELD_US);
        let kept = self.base.filter(|(begun_us, begun_media_us)| {
            let passed_us = now_us.saturating_sub(*begun_us);
            let played_us = if is_held { passed_us } else { fast(passed_us) };
            received_us >= begun_media_us + played_us
        });
        *self.base.insert(kept.unwrap_or((now_us, received_us)))
    }

    /// How much media the ring holds.
    fn room_us(&self, bits_per_second: Option<u64>) -> u64 {
        let by_bytes = bits_per_second
            .and_then(|rate| (self.ring_bytes_max.saturating_mul(8_000_000)).checked_div(rate));
        self.ring_us.min(by_bytes.unwrap_or(u64::MAX))
    }
}

/// Seven eighths: the rest is for what a read brings too much, and for the viewer to be late by.
fn share(whole: u64) -> u64 {
    whole - whole / 8
}

/// What a clock that is a hundredth fast shows after `passed_us`.
fn fast(passed_us: u64) -> u64 {
    passed_us.saturating_add(passed_us / 100)
}

/// When a clock that is a hundredth fast shows `played_us`; rounded up.
fn slow(played_us: u64) -> u64 {
    let passed_us = u128::from(played_us) * 100;
    u64::try_from(passed_us.div_ceil(101)).unwrap_or(u64::MAX)
}

/// How much media a wait makes room for, so that a fetch that is held back wakes up ten times a second.
const STEP_US: u64 = 100_000;

/// How long after a wait media counts as held back, and is not blamed for being slower than the fast clock.
pub const HELD_US: u64 = 60_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000;
    const S: u64 = 1_000 * MS;

    /// Eight seconds ahead, a ring that does not matter.
    fn admission() -> Admission {
        Admission::new(Duration::from_secs(8), Duration::from_secs(600), usize::MAX)
    }

    #[track_caller]
    fn waits(admit: Admit) -> u64 {
        match admit {
            Admit::Wait { until_us } => until_us,
            Admit::Read { media_us } => panic!("{media_us} us more are welcome"),
        }
    }

    #[test]
    fn eight_seconds_are_read_at_once_and_not_a_microsecond_more() {
        let mut admission = admission();
        let at = |admission: &mut Admission, media_us| admission.judge(media_us, None, 5 * S);
        assert_eq!(at(&mut admission, S), Admit::Read { media_us: 8 * S });
        assert_eq!(at(&mut admission, 9 * S), Admit::Read { media_us: 0 });
        let until_us = waits(at(&mut admission, 9 * S + 1));
        assert_eq!(until_us, 5 * S + (100_001_u64 * 100).div_ceil(101));
    }

    #[test]
    fn a_wait_ends_when_a_tenth_of_a_second_of_media_is_welcome() {
        let mut admission = admission();
        admission.judge(0, None, 0);
        let until_us = waits(admission.judge(10 * S, None, S));
        let Admit::Read { media_us } = admission.judge(10 * S, None, until_us) else {
            panic!("it waits again at {until_us}");
        };
        assert!(media_us.abs_diff(STEP_US) <= 1, "{media_us}");
    }

    #[test]
    fn sixty_seconds_offered_at_once_take_a_hundredth_less_than_real_time() {
        let mut admission = admission();
        let (mut now_us, mut media_us) = (0, 0);
        while media_us < 60 * S {
            match admission.judge(media_us, None, now_us) {
                Admit::Read { .. } => media_us += 40 * MS,
                Admit::Wait { until_us } => {
                    assert!(until_us > now_us);
                    now_us = until_us;
                }
            }
        }
        let expected_us = slow(52 * S);
        assert!(now_us.abs_diff(expected_us) < 200 * MS, "{now_us}");
    }

    #[test]
    fn an_upstream_in_real_time_is_never_held_back_even_if_its_clock_is_fast() {
        for rate in [900, 1_000, 1_009] {
            let mut admission = admission();
            for step in 0..100_000_u64 {
                let admit = admission.judge(step * 40 * rate, None, step * 40 * MS);
                assert!(matches!(admit, Admit::Read { .. }), "{rate} at {step}");
            }
        }
    }

    #[test]
    fn haste_that_lasts_never_outruns_what_the_ring_holds_in_real_time() {
        let mut admission =
            Admission::new(Duration::from_secs(8), Duration::from_secs(10), usize::MAX);
        let (mut now_us, mut media_us) = (0, 0);
        while media_us < 3_600 * S {
            match admission.judge(media_us, None, now_us) {
                Admit::Read { .. } => media_us += 40 * MS,
                Admit::Wait { until_us } => now_us = until_us,
            }
            assert!(media_us <= now_us + 8_750 * MS + 40 * MS, "{media_us}");
        }
    }

    #[test]
    fn an_upstream_that_was_hasty_and_is_live_again_is_set_free_though_its_clock_is_fast() {
        let mut admission =
            Admission::new(Duration::from_secs(8), Duration::from_secs(10), usize::MAX);
        let (mut media_us, mut waits) = (0, 0);
        while matches!(admission.judge(media_us, None, 0), Admit::Read { .. }) {
            media_us += 40 * MS;
        }
        for step in 1..100_000_u64 {
            let admit = admission.judge(media_us + step * 40_010, None, step * 40 * MS);
            waits += u64::from(matches!(admit, Admit::Wait { .. }));
        }
        assert!(waits < 200, "{waits} waits in more than an hour");
    }

    #[test]
    fn a_ring_that_is_short_of_bytes_bounds_the_lead_too() {
        let mut admission =
            Admission::new(Duration::from_secs(8), Duration::from_secs(600), 4_000_000);
        let first = admission.judge(0, Some(16_000_000), 0);
        assert_eq!(
            first,
            Admit::Read {
                media_us: 1_750 * MS
            }
        );
        let unmeasured = admission.judge(0, Some(0), 0);
        assert_eq!(unmeasured, Admit::Read { media_us: 8 * S });
    }

    #[test]
    fn media_that_falls_behind_begins_a_new_count() {
        let mut admission = admission();
        admission.judge(0, None, 0);
        let late = admission.judge(S, None, 60 * S);
        assert_eq!(late, Admit::Read { media_us: 8 * S });
        let again = admission.judge(9 * S, None, 60 * S);
        assert_eq!(again, Admit::Read { media_us: 0 });
        assert_eq!(admission.played_out_us(9 * S), 68 * S);
    }

    #[test]
    fn a_clock_that_jumps_ahead_begins_a_new_count_and_one_that_goes_back_does_no_harm() {
        let mut admission = admission();
        admission.judge(0, None, 1_000 * S);
        let back = admission.judge(4 * S, None, S);
        assert_eq!(back, Admit::Read { media_us: 4 * S });
        let ahead = admission.judge(4 * S, None, 1_000_000 * S);
        assert_eq!(ahead, Admit::Read { media_us: 8 * S });
    }

    #[test]
    fn what_was_received_is_played_out_in_real_time() {
        let mut admission = admission();
        assert_eq!(admission.played_out_us(5 * S), 0, "nothing has begun");
        admission.judge(S, None, 10 * S);
        assert_eq!(admission.played_out_us(7 * S), 16 * S);
    }
}
