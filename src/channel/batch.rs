//! How long chunks may wait so that viewers get more of them in one call. (pure)
//!
//! A viewer costs about as much per call as per 30 KiB, so that what is sent at once to few is gathered for many. Who
//! waits is in `standing`, what is sent in `viewer`. The rule: latency first while there is room, throughput when there is
//! not, and whatever waits is sent in time although nothing follows.

use std::time::Duration;

use crate::clock::micros;

/// What one shard's viewers would cost if each chunk went out at once, and how long chunks wait therefore.
#[derive(Debug, Default)]
pub struct Load {
    began_us: u64,
    writes: u64,
    /// What the wait was chosen for.
    writes_per_s: u64,
}

impl Load {
    /// Counts one chunk that was due to so many viewers.
    pub fn note(&mut self, viewers: usize, now_us: u64) {
        self.writes += viewers as u64;
        let elapsed_us = now_us.saturating_sub(self.began_us);
        if elapsed_us < WINDOW_US {
            return;
        }
        let seen = self.writes.saturating_mul(1_000_000) / elapsed_us;
        // What moves about a bound would change the pace of everybody at each turn.
        if seen.abs_diff(self.writes_per_s) > self.writes_per_s / 5 {
            self.writes_per_s = seen;
        }
        self.began_us = now_us;
        self.writes = 0;
    }

    /// How long chunks wait.
    ///
    /// Unit: microseconds. Bound: 0 to [`BATCH_MAX`].
    #[must_use]
    pub fn batch_us(&self) -> u64 {
        let above = self.writes_per_s.saturating_sub(WRITES_FREE);
        let most = WRITES_FULL - WRITES_FREE;
        micros(BATCH_MAX) * above.min(most) / most
    }
}

/// When each group of a channel's viewers is visited.
///
/// Shape: the groups take turns, a part of the wait after one another, so that not all viewers are served at once. A
/// wait is over with the chunk that comes closest to its end.
#[derive(Debug)]
pub struct Turns {
    groups: [Turn; GROUPS],
    head_bytes: u64,
    batch_us: u64,
    /// When something came last, and how long that was after what came before.
    last_us: u64,
    step_us: u64,
}

/// What has come.
#[derive(Clone, Copy, Debug)]
pub struct News {
    /// Bytes of the channel in all.
    pub head_bytes: u64,
    /// When the oldest that is new may have arrived, in microseconds of the clock.
    pub arrived_us: u64,
}

#[derive(Clone, Copy, Debug, Default)]
struct Turn {
    /// Bytes of the channel when the group was visited last.
    bytes: u64,
    /// When the oldest that waits arrived.
    since_us: Option<u64>,
    /// What this wait is shorter than others, to come between the turns of other groups.
    lead_us: u64,
}

impl Turns {
    /// Nobody has been visited yet.
    #[must_use]
    pub fn new() -> Self {
        Self {
            groups: [Turn::default(); GROUPS],
            head_bytes: 0,
            batch_us: 0,
            last_us: 0,
            step_us: 0,
        }
    }

    /// Says for each group whether it is visited, now that something came where chunks wait `batch_us`.
    pub fn arrive(&mut self, news: News, batch_us: u64, now_us: u64) -> [bool; GROUPS] {
        self.head_bytes = self.head_bytes.max(news.head_bytes);
        if std::mem::replace(&mut self.batch_us, batch_us) != batch_us {
            self.spread();
        }
        let step_us = now_us.saturating_sub(std::mem::replace(&mut self.last_us, now_us));
        let mut usual_us = self.step_us;
        // What one read brought is one step.
        if step_us >= STEP_US_MIN {
            // The lesser of two: a pause says nothing of when to expect more.
            usual_us = step_us.min(std::mem::replace(&mut self.step_us, step_us));
        }
        for turn in &mut self.groups {
            turn.since_us.get_or_insert(news.arrived_us);
        }
        let head_bytes = self.head_bytes;
        self.visit(|turn, since_us| {
            let waited_us = now_us.saturating_sub(since_us) + turn.lead_us;
            let waiting = head_bytes.saturating_sub(turn.bytes);
            waited_us + usual_us / 2 >= batch_us || waiting >= WAITING_BYTES_MAX
        })
    }

    /// The same for groups that wait although nothing has come.
    pub fn overdue(&mut self, now_us: u64) -> [bool; GROUPS] {
        let batch_us = self.batch_us;
        let visited = self.visit(|_, since_us| since_us + batch_us + SLACK_US <= now_us);
        if visited.contains(&true) {
            self.spread();
        }
        visited
    }

    /// When [`Turns::overdue`] has something to say if nothing comes; `None` if nobody waits.
    #[must_use]
    pub fn due_us(&self) -> Option<u64> {
        let since_us = self.groups.iter().filter_map(|turn| turn.since_us).min()?;
        Some(since_us + self.batch_us + SLACK_US)
    }

    /// Parts groups that were visited together.
    fn spread(&mut self) {
        for (group, turn) in self.groups.iter_mut().enumerate() {
            turn.lead_us = self.batch_us * group as u64 / GROUPS as u64;
        }
    }

    fn visit(&mut self, is_due: impl Fn(&Turn, u64) -> bool) -> [bool; GROUPS] {
        let mut visited = [false; GROUPS];
        for (turn, visited) in self.groups.iter_mut().zip(&mut visited) {
            *visited = turn.since_us.is_some_and(|since_us| is_due(turn, since_us));
            if *visited {
                *turn = Turn {
                    bytes: self.head_bytes,
                    ..Turn::default()
                };
            }
        }
        visited
    }
}

impl Default for Turns {
    fn default() -> Self {
        Self::new()
    }
}

/// In how many groups a channel's viewers are.
pub const GROUPS: usize = 4;

/// The longest wait that load leads to.
pub const BATCH_MAX: Duration = Duration::from_millis(95);

/// Calls per second up to which nothing waits.
const WRITES_FREE: u64 = 1_000;

/// Calls per second from which on chunks wait as long as they may.
const WRITES_FULL: u64 = 5_000;

/// Over how long calls are counted.
const WINDOW_US: u64 = 1_000_000;

/// What waits for a group at most: more makes a call no cheaper.
const WAITING_BYTES_MAX: u64 = 256 * 1024;

/// Chunks that come closer together come together.
const STEP_US_MIN: u64 = 1_000;

/// How late a chunk may be before those that wait are sent without it.
const SLACK_US: u64 = 50_000;

#[cfg(test)]
mod tests {
    use super::*;

    /// A second of so many chunks for so many viewers.
    fn second(load: &mut Load, second: u64, chunks: u64, viewers: usize) -> u64 {
        for chunk in 1..=chunks {
            load.note(viewers, second * 1_000_000 + chunk * 1_000_000 / chunks);
        }
        load.batch_us()
    }

    #[test]
    fn few_viewers_are_sent_each_chunk_and_many_wait_longer_and_longer() {
        let mut load = Load::default();
        assert_eq!(load.batch_us(), 0);
        assert_eq!(second(&mut load, 0, 30, 30), 0);
        assert_eq!(second(&mut load, 1, 30, 100), 47_500);
        assert_eq!(second(&mut load, 2, 30, 1_000), 95_000);
        assert_eq!(second(&mut load, 3, 30, 10), 0);
    }

    #[test]
    fn the_wait_follows_no_small_change() {
        let mut load = Load::default();
        let wait_us = second(&mut load, 0, 30, 100);
        assert_eq!(second(&mut load, 1, 30, 119), wait_us);
        assert_eq!(second(&mut load, 2, 30, 81), wait_us);
        assert!(second(&mut load, 3, 30, 121) > wait_us);
    }

    /// When each group is visited for chunks of `bytes` that come every `every_us`.
    fn visited(turns: &mut Turns, every_us: u64, bytes: u64, batch_us: u64) -> [Vec<u64>; GROUPS] {
        let mut visited: [Vec<u64>; GROUPS] = Default::default();
        let from = turns.head_bytes / bytes;
        for chunk in from + 1..=from + 100 {
            let now_us = 1_000_000 + chunk * every_us;
            let news = News {
                head_bytes: chunk * bytes,
                arrived_us: now_us - every_us,
            };
            assert_eq!(turns.overdue(now_us), [false; GROUPS], "nobody is late");
            let groups = turns.arrive(news, batch_us, now_us);
            for (group, visited) in groups.into_iter().zip(&mut visited) {
                visited.extend(group.then_some(now_us));
            }
        }
        visited
    }

    #[test]
    fn without_a_wait_everybody_is_visited_for_every_chunk() {
        for visited in visited(&mut Turns::new(), 32_712, 32_712, 0) {
            assert_eq!(visited.len(), 100);
        }
    }

    #[test]
    fn a_wait_is_over_with_the_chunk_that_comes_closest() {
        for visited in visited(&mut Turns::new(), 32_712, 32_712, 95_000) {
            let longest = visited.windows(2).map(|two| two[1] - two[0]).max().unwrap();
            assert_eq!(longest, 3 * 32_712);
            let shortest = visited.windows(2).skip(1).map(|two| two[1] - two[0]).min();
            assert_eq!(shortest, Some(longest));
        }
    }

    #[test]
    fn the_groups_take_turns() {
        let visited = visited(&mut Turns::new(), 5_000, 1_880, 100_000);
        let phases = visited.map(|visited| visited[2] % 100_000);
        let distinct: std::collections::BTreeSet<_> = phases.into_iter().collect();
        assert_eq!(distinct.len(), GROUPS, "{phases:?}");
    }

    #[test]
    fn what_fills_a_call_does_not_wait() {
        for visited in visited(&mut Turns::new(), 1_000, 100_000, 95_000) {
            assert!(visited.windows(2).all(|two| two[1] - two[0] <= 3_000));
        }
    }

    #[test]
    fn every_wait_is_kept_within_half_a_chunk_after_it_changed() {
        let mut turns = Turns::new();
        for batch_us in [250_000, 10_000, 95_000, 250_000] {
            for visited in visited(&mut turns, 32_712, 32_712, batch_us) {
                let gaps = visited.windows(2).map(|two| two[1] - two[0]);
                let shortest = gaps.clone().skip(1).min().unwrap();
                assert!(
                    shortest + 32_712 >= batch_us / 4 * 3,
                    "{shortest} of {batch_us}"
                );
                assert!(gaps.max().unwrap() <= batch_us + 32_712, "{batch_us}");
            }
        }
    }

    #[test]
    fn what_has_waited_to_be_read_does_not_wait_again() {
        let mut turns = Turns::new();
        for read in 1..50 {
            let now_us = 1_000_000 + read * 85_000;
            let news = News {
                head_bytes: read * 90_000,
                arrived_us: now_us - 85_000,
            };
            let visited = turns.arrive(news, 95_000, now_us);
            // How far apart reads are is known from the third on.
            assert!(
                read < 3 || visited == [true; GROUPS],
                "read {read}: {visited:?}"
            );
        }
    }

    #[test]
    fn what_waits_is_sent_although_nothing_follows() {
        let mut turns = Turns::new();
        assert_eq!(turns.due_us(), None);
        let news = |head_bytes, arrived_us| News {
            head_bytes,
            arrived_us,
        };
        let first = turns.arrive(news(188, 1_000_000), 0, 1_000_000);
        assert_eq!(first, [true; GROUPS]);
        assert_eq!(turns.due_us(), None, "nobody waits");
        let second = turns.arrive(news(376, 1_010_000), 100_000, 1_010_000);
        assert_eq!(second, [false; GROUPS]);
        let mut sent = [false; GROUPS];
        while let Some(due_us) = turns.due_us() {
            assert!(due_us <= 1_010_000 + 100_000 + SLACK_US);
            assert_eq!(turns.overdue(due_us - 1), [false; GROUPS]);
            let visited = turns.overdue(due_us);
            assert!(visited.contains(&true));
            for (sent, visited) in sent.iter_mut().zip(visited) {
                assert!(!(*sent && visited), "twice");
                *sent |= visited;
            }
        }
        assert_eq!(sent, [true; GROUPS]);
    }
}
