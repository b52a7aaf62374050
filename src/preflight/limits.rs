//! The process limits that count: locked memory and open files.
//!
//! The rule: a limit is first raised as far as this process may, and only then found too low.

use std::fs;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustix::thread::{CapabilitySet, capabilities};

use super::Requirement;
use super::kernel::MORE_MEMLOCK;
use crate::config::Config;

/// The limit of open files.
///
/// Shape: `u64::MAX` stands for no limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpenFiles {
    /// As it was when the process began.
    pub before: u64,
    /// As it is now: raised to `hard` if that was allowed.
    pub now: u64,
    /// What it may be raised to.
    pub hard: u64,
}

/// Raises the limit of open files to the hard limit.
///
/// Idempotent, but only the first call sees the limit that the process began with.
#[must_use]
pub fn raise_open_files() -> OpenFiles {
    let begun = getrlimit(Resource::Nofile);
    let now = raise(Resource::Nofile);
    OpenFiles {
        before: number(begun.current),
        now: number(now.current),
        hard: number(now.maximum),
    }
}

/// Whether enough memory can be locked for the rings of so many shards.
pub(super) fn memlock(shards: usize) -> Requirement {
    let now = raise(Resource::Memlock);
    let needed = SHARD_BYTES.saturating_mul(shards as u64);
    let mut limit = number(now.current);
    if limit < needed {
        // Only root may go past the hard limit; anybody else keeps what there is.
        let more = Rlimit {
            current: Some(needed),
            maximum: Some(needed.max(number(now.maximum))).filter(|most| *most != u64::MAX),
        };
        limit = setrlimit(Resource::Memlock, more).map_or(limit, |()| needed);
    }
    judge_memlock(limit, is_memlock_exempt(), shards)
}

/// Whether the open files leave room for the connections that are configured.
pub(super) fn open_files(config: &Config, files: OpenFiles, connections: usize) -> Requirement {
    let viewers = config.server.viewers_max;
    let wanted = viewers.saturating_add((viewers / 8).max(64));
    let OpenFiles { before, now, .. } = files;
    if connections >= wanted {
        let detail = format!("{now} (raised from {before}), room for {connections} connections");
        return Requirement::ok("open files", detail);
    }
    let needed = now.saturating_add((wanted - connections) as u64);
    Requirement::warn(
        "open files",
        format!(
            "{now} (raised from {before}) leave room for {connections} of {wanted} connections"
        ),
        format!("ulimit -n {needed} (systemd: LimitNOFILE={needed}), or lower server.viewers_max"),
    )
}

/// How many connections fit into the open files beside everything else that is configured.
///
/// Bound: at least half of the open files. Rings seldom grow to their bound, and running out is survived.
pub(super) fn connections(config: &Config, shards: usize, open_files: u64) -> usize {
    let segments = |ring_bytes_max: usize| (ring_bytes_max.div_ceil(SEGMENT_BYTES) + 2) as u64;
    let channel = |ring_bytes_max| segments(ring_bytes_max) + CHANNEL_SOCKETS;
    let configured: u64 = config
        .channels
        .iter()
        .map(|one| channel(one.stream.ring_bytes_max))
        .sum();
    let dynamic_count = if config.engine.dynamic {
        config.engine.dynamic_max
    } else {
        0
    };
    let dynamic = channel(config.stream.ring_bytes_max) * dynamic_count as u64;
    let taken = PROCESS_FILES + SHARD_FILES * shards as u64 + configured + dynamic;
    let left = open_files.saturating_sub(taken).max(open_files / 2);
    usize::try_from(left).unwrap_or(usize::MAX)
}

/// Raises a soft limit to its hard limit; the answer is what holds then.
fn raise(resource: Resource) -> Rlimit {
    let begun = getrlimit(resource);
    let raised = Rlimit {
        current: begun.maximum,
        maximum: begun.maximum,
    };
    // A refusal leaves the limit as it was, and it is judged as it is.
    match setrlimit(resource, raised) {
        Ok(()) => getrlimit(resource),
        Err(_) => begun,
    }
}

fn judge_memlock(limit: u64, is_exempt: bool, shards: usize) -> Requirement {
    let shards = shards as u64;
    let needed = SHARD_BYTES.saturating_mul(shards);
    let seen =
        format!("memlock limit is {limit} bytes, {needed} bytes are needed for {shards} shards");
    if limit == u64::MAX {
        Requirement::ok(MEMLOCK, "unlimited")
    } else if limit < SHARD_BYTES || (limit < RING_BYTES.saturating_mul(shards) && !is_exempt) {
        Requirement::fail(MEMLOCK, seen, MORE_MEMLOCK)
    } else if limit < needed && !is_exempt {
        Requirement::warn(MEMLOCK, seen, MORE_MEMLOCK)
    } else {
        Requirement::ok(MEMLOCK, seen)
    }
}

/// Whether the kernel counts no locked memory against this process: `CAP_IPC_LOCK`, and not just within a container's own
/// numbering of users.
fn is_memlock_exempt() -> bool {
    let is_granted =
        capabilities(None).is_ok_and(|sets| sets.effective.contains(CapabilitySet::IPC_LOCK));
    let map = fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
    is_granted && map.split_ascii_whitespace().eq(["0", "0", "4294967295"])
}

fn number(limit: Option<u64>) -> u64 {
    limit.unwrap_or(u64::MAX)
}

const MEMLOCK: &str = "memlock";

/// Below this glommio starts no executor, not even for root.
const SHARD_BYTES: u64 = 512 * 1_024;

/// What the rings of one shard take: with 8 MiB 34 executors started, the 35th met ENOMEM.
const RING_BYTES: u64 = 240 * 1_024;

/// As large as the segments that chunks are stored in.
const SEGMENT_BYTES: usize = 2 * 1_024 * 1_024;

/// An upstream, and the engine's control connection beside it.
const CHANNEL_SOCKETS: u64 = 2;

/// Rings, eventfd, listeners, feeds and the spare descriptor of a shard.
const SHARD_FILES: u64 = 16;

/// Standard streams, signals, admin connections, name resolution, libraries.
const PROCESS_FILES: u64 = 64;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::preflight::State;

    #[test]
    fn memlock_is_judged_by_what_glommio_asks_and_what_rings_take() {
        let state = |limit, is_exempt, shards| match judge_memlock(limit, is_exempt, shards).state {
            State::Fail { .. } => "fail",
            State::Ok { .. } => "ok",
            State::Warn { .. } => "warn",
        };
        assert_eq!(state(0, false, 1), "fail");
        assert_eq!(state(65_536, false, 1), "fail");
        assert_eq!(state(65_536, true, 1), "fail", "glommio asks root too");
        assert_eq!(state(SHARD_BYTES, false, 1), "ok");
        assert_eq!(state(SHARD_BYTES, false, 2), "warn", "measured: two fit");
        assert_eq!(
            state(SHARD_BYTES, false, 3),
            "fail",
            "measured: the third does not"
        );
        assert_eq!(state(SHARD_BYTES, true, 64), "ok");
        assert_eq!(state(8 << 20, false, 34), "warn");
        assert_eq!(state(8 << 20, false, 36), "fail");
        assert_eq!(state(u64::MAX, false, 1_000), "ok");
    }

    #[test]
    fn a_memlock_failure_names_limit_need_and_cure() {
        assert_eq!(
            judge_memlock(65_536, false, 2).to_string(),
            format!(
                "fail memlock: memlock limit is 65536 bytes, 1048576 bytes are needed for 2 shards: {MORE_MEMLOCK}"
            )
        );
    }

    #[test]
    fn connections_get_what_the_rest_leaves_but_at_least_half() {
        let mut config = Config::default();
        config.engine.dynamic = false;
        assert_eq!(connections(&config, 2, 20_000), 20_000 - 64 - 32);
        config.engine.dynamic = true;
        config.engine.dynamic_max = 10;
        assert_eq!(
            connections(&config, 2, 20_000),
            20_000 - 64 - 32 - 10 * (18 + 2)
        );
        assert_eq!(connections(&config, 2, 64), 32);
        assert_eq!(connections(&config, 2, 0), 0);
    }

    #[test]
    fn too_few_open_files_are_warned_about_with_the_number_needed() {
        let config = Config::default();
        let files = |now| OpenFiles {
            before: 1,
            now,
            hard: now,
        };
        let judged = |now| open_files(&config, files(now), connections(&config, 2, now));
        assert!(matches!(judged(20_000).state, State::Ok { .. }));
        let warning = judged(1_024);
        assert!(warning.is_warning());
        let line = warning.to_string();
        assert!(
            line.contains("leave room for 512 of 11250 connections: ulimit -n 11762"),
            "{line}"
        );
    }

    #[test]
    fn the_soft_limit_is_raised_to_the_hard_one() {
        let files = raise_open_files();
        assert_eq!(files.now, files.hard);
        assert_eq!(number(getrlimit(Resource::Nofile).current), files.hard);
    }
}
