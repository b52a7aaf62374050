//! Whether every shard lives, looked at from outside of them, and told to the supervisor.
//!
//! Runs on the thread that waits for the shards. The rule: the supervisor hears of life only while all of them live, so that
//! a process of which a part hangs is started anew.

use std::sync::Arc;
use std::time::Duration;

use crate::clock::micros;
use crate::shard::Process;

/// What was seen of the shards so far.
pub(super) struct Watch {
    process: Arc<Process>,
    /// For each shard, since when it has been missed.
    missed_us: Vec<Option<u64>>,
    told_us: Option<u64>,
}

impl Watch {
    pub(super) fn new(process: &Arc<Process>, shards: usize) -> Self {
        Self {
            process: Arc::clone(process),
            missed_us: vec![None; shards],
            told_us: None,
        }
    }

    /// Looks at every shard, and tells the supervisor if none is missed and it is time.
    pub(super) fn look(&mut self) {
        let now_us = self.process.epoch.now_us();
        let silences_us = self.process.heartbeats.silences_us(now_us);
        for ((shard, missed_us), silent_us) in
            self.missed_us.iter_mut().enumerate().zip(silences_us)
        {
            match (*missed_us, silent_us > micros(SILENCE)) {
                (None, true) => {
                    log::warn!("shard hangs shard={shard} silent_ms={}", silent_us / 1_000);
                    *missed_us = Some(now_us - silent_us);
                }
                (Some(since_us), false) => {
                    let silent_ms = now_us.saturating_sub(since_us) / 1_000;
                    log::info!("shard runs again shard={shard} silent_ms={silent_ms}");
                    *missed_us = None;
                }
                (None, false) | (Some(_), true) => {}
            }
        }
        if self.missed_us.iter().all(Option::is_none) {
            self.tell(now_us);
        }
    }

    fn tell(&mut self, now_us: u64) {
        let Some(limit) = self.process.supervisor.watchdog() else {
            return;
        };
        let every_us = micros(limit) / TELLS_PER_LIMIT;
        if self
            .told_us
            .is_none_or(|told_us| now_us >= told_us + every_us)
        {
            self.told_us = Some(now_us);
            self.process.supervisor.alive(&self.process.status());
        }
    }
}

/// How often the shards are looked at.
pub(super) const LOOK: Duration = Duration::from_millis(250);

/// A shard that leaves no sign of life for so long hangs. Twice the time between two signs.
const SILENCE: Duration = Duration::from_secs(1);

/// How often the supervisor is told within the time it waits.
const TELLS_PER_LIMIT: u64 = 4;
