//! Whether an upstream that repeats what was sent will ever get beyond it. (pure)
//!
//! It is told where the upstream stands and says when to stop waiting; what is the same clock is decided by the seam. The
//! rule it protects: viewers get no black picture for an upstream that cannot, by what it has shown, catch up in time.

use crate::ts::pes::{TICKS_PER_SECOND, ticks_between};

/// What is known of upstreams that repeat.
///
/// One is not waited for any more when it goes back by itself, as a loop does and an overlap never; when, after
/// [`WATCHED_US`], more is left than it can send in time at the pace it has shown, or at that of its own clock if that
/// is faster; and when it begins just where one began that was not waited for, or that ended just where the one before it
/// had, as a file does that is sent again.
///
/// Unit: ticks of 90 kHz.
#[derive(Clone, Debug, Default)]
pub(super) struct Repeat {
    /// The one that is held back now, once it has told a time.
    run: Option<Run>,
    /// Where one began that did not get beyond what was sent.
    vain: Option<u64>,
}

/// An upstream that is held back.
#[derive(Clone, Copy, Debug)]
struct Run {
    /// Whether it goes by its PCR; the times of video stand for it otherwise.
    has_pcr: bool,
    begun: u64,
    begun_us: u64,
    last: u64,
}

/// Where an upstream stands.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stand {
    /// Whether it says so by its PCR.
    pub(super) has_pcr: bool,
    /// What was sent last.
    pub(super) sent: u64,
    /// Where it has come to.
    pub(super) come: u64,
}

impl Stand {
    /// How far it has come beyond what was sent; negative while it repeats that.
    pub(super) fn gap(self) -> i64 {
        ticks_between(self.sent, self.come)
    }
}

impl Repeat {
    /// Takes where the upstream stands at `now_us`, with `left_us` to go; says whether waiting for it is in vain.
    pub(super) fn is_vain(&mut self, stand: Stand, now_us: u64, left_us: u64) -> bool {
        let known = self.run.filter(|run| run.has_pcr == stand.has_pcr);
        let mut run = known.unwrap_or(Run {
            has_pcr: stand.has_pcr,
            begun: stand.come,
            begun_us: now_us,
            last: stand.come,
        });
        let step = ticks_between(run.last, stand.come);
        run.last = stand.come;
        self.run = Some(run);
        if stand.gap() > 0 {
            return false;
        }
        let is_known = self.vain == Some(run.begun);
        if step >= -DISORDER && !is_known && !run.is_too_slow(stand, now_us, left_us) {
            return false;
        }
        self.vain = Some(run.begun);
        true
    }

    /// Notes that the upstream is gone that was held back, and where it stood.
    pub(super) fn end(&mut self, stand: Option<Stand>) {
        if let (Some(run), Some(stand)) = (self.run.take(), stand)
            && stand.gap() == 0
        {
            self.vain = Some(run.begun);
        }
    }

    /// Notes that the upstream was let through; `has_caught_up` says whether it got beyond what was sent.
    pub(super) fn pass(&mut self, has_caught_up: bool) {
        self.run = None;
        if has_caught_up {
            self.vain = None;
        }
    }
}

impl Run {
    /// Whether more is left than can come in time.
    fn is_too_slow(&self, stand: Stand, now_us: u64, left_us: u64) -> bool {
        let watched_us = now_us.saturating_sub(self.begun_us);
        let come = u128::from(ticks_between(self.begun, stand.come).unsigned_abs());
        let watched = u128::from(watched_us) * TICKS_PER_MS / 1_000;
        let left = u128::from(stand.gap().unsigned_abs());
        // Both sides times what was watched: left / left_us > come / watched_us.
        let can_come = come.max(watched) * u128::from(left_us);
        watched_us >= WATCHED_US && left * u128::from(watched_us) > can_come
    }
}

/// How long an upstream is watched before it is judged by its pace.
pub(super) const WATCHED_US: u64 = 2_000_000;

/// How far times go back that are only out of order.
const DISORDER: i64 = TICKS_PER_SECOND.cast_signed();

const TICKS_PER_MS: u128 = 90;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ts::pes::TIME_WRAP;

    const S: u64 = 1_000_000;
    const SENT_S: u64 = 1_000;

    fn at(come_s: u64) -> Stand {
        Stand {
            has_pcr: true,
            sent: SENT_S * TICKS_PER_SECOND,
            come: come_s * TICKS_PER_SECOND,
        }
    }

    /// When waiting is in vain for one that sends `pace` seconds in each, from `from_s` on, with 30 s to go.
    fn given_up_s(repeat: &mut Repeat, from_s: u64, pace: u64) -> Option<u64> {
        (0..=30).find(|now_s| {
            let stand = at(from_s + now_s * pace);
            repeat.is_vain(stand, now_s * S, (30 - now_s) * S)
        })
    }

    #[test]
    fn one_that_cannot_send_the_rest_in_time_is_given_up_as_soon_as_its_pace_is_known() {
        for (back_s, pace, expected) in [
            (29, 1, None),
            (31, 1, Some(2)),
            (500, 1, Some(2)),
            (89, 3, None),
            (91, 3, Some(2)),
        ] {
            let seen = given_up_s(&mut Repeat::default(), SENT_S - back_s, pace);
            assert_eq!(seen, expected, "{back_s} s back at {pace}");
        }
    }

    #[test]
    fn one_that_has_yet_to_begin_in_earnest_is_trusted_to_keep_up_with_its_own_clock() {
        let mut repeat = Repeat::default();
        for now_s in 0..5 {
            let is_vain = repeat.is_vain(at(SENT_S - 20), now_s * S, (30 - now_s) * S);
            assert!(!is_vain, "{now_s} s");
        }
    }

    #[test]
    fn a_burst_is_no_pace_for_ever() {
        let mut repeat = Repeat::default();
        assert!(!repeat.is_vain(at(SENT_S - 180), 0, 30 * S));
        let given_up = (1..30).find(|now_s| {
            let stand = at(SENT_S - 160 + now_s);
            repeat.is_vain(stand, now_s * S, (30 - now_s) * S)
        });
        assert!((3..10).contains(&given_up.unwrap()), "{given_up:?}");
    }

    #[test]
    fn one_that_goes_back_by_itself_is_a_loop() {
        let mut repeat = Repeat::default();
        assert!(!repeat.is_vain(at(SENT_S - 9), 0, 30 * S));
        assert!(!repeat.is_vain(at(SENT_S - 5), 0, 30 * S));
        assert!(!repeat.is_vain(at(SENT_S - 6), 0, 30 * S), "out of order");
        assert!(repeat.is_vain(at(SENT_S - 9), 0, 30 * S));
    }

    #[test]
    fn one_that_begins_where_another_was_given_up_is_not_waited_for() {
        let mut repeat = Repeat::default();
        assert_eq!(given_up_s(&mut repeat, 700, 1), Some(2));
        repeat.pass(false);
        assert!(!repeat.is_vain(at(701), 0, 30 * S));
        repeat.end(Some(at(710)));
        assert!(repeat.is_vain(at(700), 0, 30 * S));
        repeat.pass(true);
        assert!(!repeat.is_vain(at(700), 0, 30 * S), "they do catch up");
    }

    #[test]
    fn one_that_ended_where_the_one_before_had_ended_is_a_file() {
        for (last_s, is_file) in [(SENT_S - 1, false), (SENT_S, true)] {
            let mut repeat = Repeat::default();
            assert!(!repeat.is_vain(at(700), 0, 30 * S));
            assert!(!repeat.is_vain(at(last_s), 100, 30 * S));
            repeat.end(Some(at(last_s)));
            repeat.end(None);
            assert_eq!(repeat.is_vain(at(700), 200, 30 * S), is_file, "{last_s}");
        }
    }

    #[test]
    fn a_clock_that_comes_after_the_times_of_video_is_no_step_back() {
        let mut repeat = Repeat::default();
        let video = Stand {
            has_pcr: false,
            ..at(SENT_S - 5)
        };
        assert!(!repeat.is_vain(video, 0, 30 * S));
        assert!(!repeat.is_vain(at(SENT_S - 8), 0, 30 * S));
    }

    #[test]
    fn the_wrap_of_the_clock_is_no_step_back() {
        let mut repeat = Repeat::default();
        let mut stand = Stand {
            has_pcr: true,
            sent: 100_000,
            come: TIME_WRAP - 50_000,
        };
        assert!(!repeat.is_vain(stand, 0, 30 * S));
        stand.come = 10;
        assert!(!repeat.is_vain(stand, 0, 30 * S));
    }
}
