//! What a thread of the tool uses itself, and how long it had to wait for a CPU.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::clock;

/// Time of one thread: readings, or what passed between two.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct ThreadUse {
    pub(crate) wall_s: f64,
    pub(crate) cpu_s: f64,
    /// Ready to run, but no CPU free.
    pub(crate) waited_s: f64,
}

impl ThreadUse {
    /// Reads the calling thread.
    pub(crate) fn read() -> Self {
        let line = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
        Self {
            wall_s: clock::now().as_secs_f64(),
            cpu_s: clock::thread_cpu().as_secs_f64(),
            waited_s: waited(&line).unwrap_or_default().as_secs_f64(),
        }
    }

    /// What passed since this reading of the calling thread.
    pub(crate) fn until_now(self) -> Self {
        let now = Self::read();
        Self {
            wall_s: now.wall_s - self.wall_s,
            cpu_s: now.cpu_s - self.cpu_s,
            waited_s: now.waited_s - self.waited_s,
        }
    }
}

/// The second number of a schedstat line.
fn waited(line: &str) -> Option<Duration> {
    let nanos = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(Duration::from_nanos(nanos))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn second_number_of_schedstat_is_the_wait() {
        assert_eq!(waited("1234 5000000 77\n"), Some(Duration::from_millis(5)));
        assert_eq!(waited(""), None);
    }

    #[test]
    fn thread_that_works_is_seen_to_use_its_cpu() {
        let before = ThreadUse::read();
        let mut sum = 0u64;
        while before.until_now().cpu_s < 0.005 {
            sum = std::hint::black_box(sum.wrapping_add(1));
        }
        let used = before.until_now();
        assert!(used.wall_s >= used.cpu_s - 0.001, "{used:?}");
    }
}
