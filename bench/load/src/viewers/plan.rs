//! Who watches which channel, in which way, from when. (pure)
//!
//! Doing it belongs in `worker.rs`. The rule: the plan is made before the first connection and depends on nothing that a
//! server does, so a slow server is asked no less than a quick one.

use std::time::Duration;

/// How a viewer behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// Leaves after a while and comes again.
    Churning,
    /// Takes everything and looks at nothing but the first packet, the last and the count of bytes.
    Discarding,
    /// Takes so many bytes per second.
    Slow,
    /// Takes nothing after the first bytes.
    Stalled,
    /// Takes everything and checks every packet.
    Verified,
    /// Goes to the next channel again and again.
    Zapping,
}

impl Role {
    /// Whether it wants every packet, so that anything missing is the server's fault.
    pub(crate) fn is_steady(self) -> bool {
        matches!(self, Self::Discarding | Self::Verified)
    }
}

/// One viewer to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Assignment {
    /// Its number, from 0.
    pub(crate) id: usize,
    pub(crate) role: Role,
    /// Which of the channels, from 0.
    pub(crate) channel: usize,
    /// When it asks, counted from the beginning.
    pub(crate) asks_after: Duration,
}

/// How many viewers of each kind, and how fast they come.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Crowd {
    pub(crate) steady: usize,
    pub(crate) verified_min: usize,
    pub(crate) slow: usize,
    pub(crate) stalled: usize,
    pub(crate) churning: usize,
    pub(crate) zapping: usize,
    pub(crate) channels: usize,
    pub(crate) ramp_per_s: u32,
}

impl Crowd {
    /// How many of the steady ones check every packet: what was asked for, 20, 5 % and one per channel, whichever is most.
    pub(crate) fn verified(&self) -> usize {
        let wanted = [
            self.verified_min,
            20,
            self.steady.div_ceil(20),
            self.channels,
        ];
        wanted.into_iter().max().unwrap_or(0).min(self.steady)
    }

    /// Everyone, in the order of their coming; those that misbehave come among the others.
    pub(crate) fn assignments(&self) -> Vec<Assignment> {
        let channels = self.channels.max(1);
        let of_channel = |channel: usize| (self.steady + channels - 1 - channel) / channels;
        // Sampled evenly within each channel, and evenly over the channels.
        let sampled = |channel: usize| {
            let verified = self.verified();
            (verified + channels - 1 - channel) / channels
        };
        let steady = (0..self.steady).map(|place| {
            let (channel, rank) = (place % channels, place / channels);
            let (all, some) = (of_channel(channel), sampled(channel));
            let is_sampled = rank * some / all != (rank + 1) * some / all;
            let role = if is_sampled {
                Role::Verified
            } else {
                Role::Discarding
            };
            (role, channel)
        });
        let mut everyone: Vec<(Role, usize)> = steady.collect();
        let others = [
            (Role::Slow, self.slow),
            (Role::Stalled, self.stalled),
            (Role::Churning, self.churning),
            (Role::Zapping, self.zapping),
        ];
        for (role, count) in others {
            for place in 0..count {
                let at = (place + 1) * everyone.len() / (count + 1);
                everyone.insert(at, (role, place % channels));
            }
        }
        let step = Duration::from_secs(1) / self.ramp_per_s.max(1);
        let numbered = everyone.into_iter().enumerate();
        numbered
            .map(|(id, (role, channel))| Assignment {
                id,
                role,
                channel,
                asks_after: step.saturating_mul(u32::try_from(id).unwrap_or(u32::MAX)),
            })
            .collect()
    }
}

/// When what happens, on the monotonic clock.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Schedule {
    pub(crate) began: Duration,
    /// What is measured begins.
    pub(crate) from: Duration,
    /// What is measured ends.
    pub(crate) to: Duration,
    /// Everyone leaves.
    pub(crate) ends: Duration,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn crowd(steady: usize, channels: usize) -> Crowd {
        Crowd {
            steady,
            channels,
            ramp_per_s: 100,
            ..Crowd::default()
        }
    }

    fn verified(crowd: &Crowd) -> Vec<usize> {
        let everyone = crowd.assignments();
        let verified = everyone.iter().filter(|it| it.role == Role::Verified);
        verified.map(|it| it.channel).collect()
    }

    #[test]
    fn sample_is_twenty_or_five_percent_or_one_per_channel() {
        for (steady, channels, wanted) in [
            (10, 1, 10),
            (100, 1, 20),
            (2000, 1, 100),
            (500, 50, 50),
            (50, 50, 50),
            (1000, 7, 50),
        ] {
            let crowd = crowd(steady, channels);
            let seen = verified(&crowd);
            assert_eq!(seen.len(), wanted, "{steady} viewers of {channels}");
            for channel in 0..channels {
                assert!(seen.contains(&channel), "channel {channel} of {channels}");
            }
        }
    }

    #[test]
    fn sample_is_spread_over_the_ramp() {
        let everyone = crowd(1000, 1).assignments();
        let late = everyone.iter().skip(500);
        assert_eq!(late.filter(|it| it.role == Role::Verified).count(), 25);
    }

    #[test]
    fn viewers_ask_one_after_another_at_the_rate_given() {
        let everyone = crowd(200, 4).assignments();
        assert_eq!(everyone[100].asks_after, Duration::from_secs(1));
        assert_eq!(everyone[101].channel, 1);
    }

    #[test]
    fn those_that_misbehave_come_among_the_others() {
        let crowd = Crowd {
            slow: 2,
            stalled: 3,
            churning: 4,
            zapping: 5,
            ..crowd(20, 2)
        };
        let everyone = crowd.assignments();
        let count = |role| everyone.iter().filter(|it| it.role == role).count();
        assert_eq!(everyone.len(), 34);
        assert_eq!([count(Role::Slow), count(Role::Stalled)], [2, 3]);
        assert_eq!([count(Role::Churning), count(Role::Zapping)], [4, 5]);
        assert!(everyone[0].role.is_steady());
        assert!(everyone.iter().enumerate().all(|(at, it)| it.id == at));
    }
}
