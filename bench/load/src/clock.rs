//! The two clocks of the tool: monotonic time, which the source stamps and the viewers compare, and a thread's CPU time.
//!
//! The rule: source and viewers read the same clock of the same machine, so a difference of theirs is a delay.

use std::time::Duration;

use rustix::time::{ClockId, Timespec, clock_gettime};

/// Monotonic time since the machine started.
pub(crate) fn now() -> Duration {
    read(ClockId::Monotonic)
}

/// CPU time that the calling thread has used.
pub(crate) fn thread_cpu() -> Duration {
    read(ClockId::ThreadCPUTime)
}

/// CPU time that all threads of this process have used.
pub(crate) fn own_cpu() -> Duration {
    read(ClockId::ProcessCPUTime)
}

/// Seconds since 1970, for the record.
pub(crate) fn unix_seconds() -> u64 {
    read(ClockId::Realtime).as_secs()
}

/// A time to wait, as the kernel wants it.
pub(crate) fn timespec(time: Duration) -> Timespec {
    Timespec {
        tv_sec: i64::try_from(time.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: i64::from(time.subsec_nanos()),
    }
}

fn read(clock: ClockId) -> Duration {
    let time = clock_gettime(clock);
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    Duration::new(seconds, u32::try_from(time.tv_nsec).unwrap_or(0))
}
