//! Which upstream next, and after how long. (pure)

use std::time::Duration;

/// How a try ended, as far as the next one depends on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lost {
    /// It could not be reached or broke off; it may work the next time.
    Broken,
    /// Bytes still came, but nothing new in them; the next time will hardly be better.
    Frozen,
    /// It answered, and the answer will be the same for a while.
    Refused,
    /// It did not answer in time.
    Timeout,
}

/// What to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Give the start up: every upstream has had its chance.
    GiveUp,
    /// Try this upstream after the delay.
    Try {
        /// Index in the channel's list.
        upstream: usize,
        /// How long to wait first.
        delay: Duration,
    },
}

/// The plan of one channel's fetch.
///
/// Before the first media, each upstream in turn gets up to [`START_TRIES`] tries, a refusal or a time-out counting as
/// all of them, and then the start is given up. After it, trying goes on for as long as the caller lets it: first the
/// upstream that was lost, unless it was frozen, then round the list. Each round waits twice as long as the one before, 0.25 s to 10 s, plus
/// up to half of that at random, so that many channels of a failed source do not come back in step.
#[derive(Debug)]
pub struct Retry {
    spent: Vec<u32>,
    upstream: usize,
    rounds: u32,
    has_delivered: bool,
}

impl Retry {
    /// A plan for a list of upstreams, of which there must be at least one.
    #[must_use]
    pub fn new(upstreams: usize) -> Self {
        Self {
            spent: vec![0; upstreams.max(1)],
            upstream: 0,
            rounds: 0,
            has_delivered: false,
        }
    }

    /// The plan for another list, with which this upstream is tried first or is being read; `has_delivered` says
    /// whether media ever came.
    #[must_use]
    pub fn for_list(upstreams: usize, upstream: usize, has_delivered: bool) -> Self {
        Self {
            upstream,
            has_delivered,
            ..Self::new(upstreams)
        }
    }

    /// The upstream to try now.
    #[must_use]
    pub fn upstream(&self) -> usize {
        self.upstream
    }

    /// Takes note of how the try ended; `delivered` says whether media came, `chance` is random in `0.0..1.0`.
    pub fn after(&mut self, lost: Lost, delivered: bool, chance: f64) -> Next {
        if delivered {
            self.has_delivered = true;
            if lost != Lost::Frozen {
                self.rounds = 0;
                return self.wait(chance);
            }
        }
        if !self.has_delivered {
            if let Some(spent) = self.spent.get_mut(self.upstream) {
                *spent += if lost == Lost::Broken { 1 } else { START_TRIES };
            }
            if self.spent.iter().all(|spent| *spent >= START_TRIES) {
                return Next::GiveUp;
            }
        }
        let before = self.upstream;
        self.upstream = self.following();
        if self.upstream > before {
            return Next::Try {
                upstream: self.upstream,
                delay: Duration::ZERO,
            };
        }
        let next = self.wait(chance);
        self.rounds += 1;
        next
    }

    /// Goes on with this upstream at once: it is healthy, and so was the one before.
    pub fn go_to(&mut self, upstream: usize) {
        self.upstream = upstream;
        self.rounds = 0;
        self.has_delivered = true;
    }

    /// The next upstream round the list that may be tried.
    fn following(&self) -> usize {
        let count = self.spent.len();
        (1..=count)
            .map(|ahead| (self.upstream + ahead) % count)
            .find(|index| {
                self.has_delivered
                    || self
                        .spent
                        .get(*index)
                        .is_some_and(|spent| *spent < START_TRIES)
            })
            .unwrap_or(self.upstream)
    }

    fn wait(&self, chance: f64) -> Next {
        let doubled = DELAY_MIN.saturating_mul(1 << self.rounds.min(DOUBLINGS_MAX));
        let base = doubled.min(DELAY_MAX);
        Next::Try {
            upstream: self.upstream,
            delay: base + base.mul_f64(chance.clamp(0.0, 1.0) / 2.0),
        }
    }
}

/// Tries that one upstream gets before a start is given up.
pub const START_TRIES: u32 = 3;

/// Wait before the first repeated try.
const DELAY_MIN: Duration = Duration::from_millis(250);

/// No wait is longer than this, chance aside.
const DELAY_MAX: Duration = Duration::from_secs(10);

/// Keeps the doubling from overflowing; the longest wait is reached long before.
const DOUBLINGS_MAX: u32 = 10;

#[cfg(test)]
mod tests {
    use super::*;

    fn at(upstream: usize, delay_ms: u64) -> Next {
        let delay = Duration::from_millis(delay_ms);
        Next::Try { upstream, delay }
    }

    #[test]
    fn a_start_goes_down_the_list_at_once_and_round_it_with_growing_waits() {
        let mut retry = Retry::new(2);
        let steps: Vec<Next> = (0..6)
            .map(|_| retry.after(Lost::Broken, false, 0.0))
            .collect();
        assert_eq!(
            steps,
            [
                at(1, 0),
                at(0, 250),
                at(1, 0),
                at(0, 500),
                at(1, 0),
                Next::GiveUp
            ]
        );
    }

    #[test]
    fn a_refusal_or_a_time_out_is_not_repeated_while_starting() {
        let mut retry = Retry::new(2);
        assert_eq!(retry.after(Lost::Refused, false, 0.0), at(1, 0));
        assert_eq!(retry.after(Lost::Broken, false, 0.0), at(1, 250));
        assert_eq!(retry.after(Lost::Timeout, false, 0.0), Next::GiveUp);
    }

    #[test]
    fn an_upstream_that_delivered_is_tried_first_and_never_given_up() {
        let mut retry = Retry::new(2);
        assert_eq!(retry.after(Lost::Broken, true, 0.0), at(0, 250));
        assert_eq!(retry.after(Lost::Refused, false, 0.0), at(1, 0));
        for _ in 0..100 {
            assert_ne!(retry.after(Lost::Refused, false, 0.0), Next::GiveUp);
        }
    }

    #[test]
    fn a_frozen_upstream_is_left_for_the_next_at_once_and_never_given_up() {
        let mut retry = Retry::new(2);
        assert_eq!(retry.after(Lost::Frozen, true, 0.0), at(1, 0));
        assert_eq!(retry.after(Lost::Frozen, true, 0.0), at(0, 250));
        assert_eq!(retry.after(Lost::Frozen, true, 0.0), at(1, 0));
        assert_eq!(retry.after(Lost::Frozen, true, 0.0), at(0, 500));
        let mut alone = Retry::new(1);
        assert_eq!(alone.after(Lost::Frozen, true, 0.0), at(0, 250));
        assert_eq!(alone.after(Lost::Frozen, true, 0.0), at(0, 500));
    }

    #[test]
    fn a_better_upstream_is_gone_to_and_then_tried_like_one_that_delivered() {
        let mut retry = Retry::new(3);
        assert_eq!(retry.after(Lost::Broken, false, 0.0), at(1, 0));
        retry.go_to(0);
        assert_eq!(retry.upstream(), 0);
        assert_eq!(retry.after(Lost::Refused, false, 0.0), at(1, 0));
        for _ in 0..20 {
            assert_ne!(retry.after(Lost::Refused, false, 0.0), Next::GiveUp);
        }
    }

    #[test]
    fn another_list_is_given_up_only_if_nothing_ever_came() {
        let mut begun = Retry::for_list(2, 1, false);
        assert_eq!(begun.upstream(), 1);
        assert_eq!(begun.after(Lost::Refused, false, 0.0), at(0, 250));
        assert_eq!(begun.after(Lost::Refused, false, 0.0), Next::GiveUp);
        let mut live = Retry::for_list(2, 0, true);
        for _ in 0..20 {
            assert_ne!(live.after(Lost::Refused, false, 0.0), Next::GiveUp);
        }
    }

    #[test]
    fn waits_are_bounded_and_spread_by_chance() {
        let mut retry = Retry::new(1);
        retry.after(Lost::Broken, true, 0.0);
        let mut longest = Duration::ZERO;
        for _ in 0..40 {
            let Next::Try { delay, .. } = retry.after(Lost::Broken, false, 1.0) else {
                panic!("given up after media came");
            };
            longest = longest.max(delay);
        }
        assert_eq!(longest, Duration::from_secs(15));
        let after_media = retry.after(Lost::Broken, true, 0.5);
        let delay = Duration::from_micros(312_500);
        assert_eq!(after_media, Next::Try { upstream: 0, delay });
    }
}
