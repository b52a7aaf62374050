//! The server under load: its processes, their CPU time, their memory.
//!
//! The rule: a server is a process and everything it has started; the best clock that the machine grants is used, and its
//! name is part of the result.

use std::fs;
use std::path::Path;
use std::time::Duration;

use super::cgroup::{Cgroup, CgroupError};

/// A server whose use is read.
#[derive(Debug)]
pub(crate) struct Server {
    pids: Vec<u32>,
    group: Option<Cgroup>,
}

impl Server {
    /// The server whose first process is `pid`; a control group is made for it if the machine allows.
    pub(crate) fn of_pid(pid: u32) -> Self {
        let pids = tree(pid, &parents());
        Self {
            // Not every user may make one; the threads' clocks are there for all.
            group: Cgroup::make(&pids).ok(),
            pids,
        }
    }

    /// The server that runs in a control group.
    ///
    /// # Errors
    /// If the group counts no CPU time.
    pub(crate) fn of_group(folder: &Path) -> Result<Self, CgroupError> {
        let group = Cgroup::existing(folder)?;
        Ok(Self {
            pids: group.pids(),
            group: Some(group),
        })
    }

    /// CPU time used so far.
    pub(crate) fn cpu(&self) -> Duration {
        match &self.group {
            Some(group) => group.cpu().unwrap_or_default(),
            None => self.pids.iter().copied().map(threads_cpu).sum(),
        }
    }

    /// Which clock that is.
    pub(crate) fn clock(&self) -> &'static str {
        self.group.as_ref().map_or("threads", Cgroup::name)
    }

    /// Memory that its processes hold.
    pub(crate) fn memory_bytes(&self) -> u64 {
        self.pids.iter().copied().map(resident_bytes).sum()
    }

    /// Whether any of its processes still runs.
    pub(crate) fn is_alive(&self) -> bool {
        let runs = |pid: &u32| Path::new(&format!("/proc/{pid}")).exists();
        self.pids.iter().any(runs)
    }
}

/// CPU time of every thread of a process, the finished ones not counted.
fn threads_cpu(pid: u32) -> Duration {
    let Ok(threads) = fs::read_dir(format!("/proc/{pid}/task")) else {
        return Duration::ZERO;
    };
    let used = threads.flatten().filter_map(|thread| {
        let text = fs::read_to_string(thread.path().join("schedstat")).ok()?;
        let nanos = text.split_whitespace().next()?.parse().ok()?;
        Some(Duration::from_nanos(nanos))
    });
    used.sum()
}

/// Memory of a process: what it shares with others counts in parts, so that the sum over a server's processes is right.
fn resident_bytes(pid: u32) -> u64 {
    let told = |file: &str, name: &str| -> Option<u64> {
        let text = fs::read_to_string(format!("/proc/{pid}/{file}")).ok()?;
        let line = text.lines().find_map(|line| line.strip_prefix(name))?;
        let kib: u64 = line.split_whitespace().next()?.parse().ok()?;
        Some(kib * 1024)
    };
    // Not every user may look at shares; the whole is there for all.
    let share = told("smaps_rollup", "Pss:");
    share.or_else(|| told("status", "VmRSS:")).unwrap_or(0)
}

/// Every process with its parent.
fn parents() -> Vec<(u32, u32)> {
    let Ok(entries) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    let pids = entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    pids.filter_map(|pid| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        Some((pid, parent_in(&stat)?))
    })
    .collect()
}

/// The parent in a stat line, whose second field is a name that may hold anything.
fn parent_in(stat: &str) -> Option<u32> {
    let (_, rest) = stat.rsplit_once(')')?;
    rest.split_whitespace().nth(1)?.parse().ok()
}

/// A process and all that descend from it.
fn tree(root: u32, parents: &[(u32, u32)]) -> Vec<u32> {
    let mut tree = vec![root];
    let mut looked_at = 0;
    while let Some(parent) = tree.get(looked_at).copied() {
        looked_at += 1;
        for (pid, of) in parents {
            if *of == parent && !tree.contains(pid) {
                tree.push(*pid);
            }
        }
    }
    tree
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tree_is_a_process_and_all_that_descend_from_it() {
        let parents = [(2, 1), (5, 2), (3, 2), (9, 5), (7, 1), (1, 0)];
        let mut found = tree(2, &parents);
        found.sort_unstable();
        assert_eq!(found, [2, 3, 5, 9]);
        assert_eq!(tree(77, &parents), [77]);
    }

    #[test]
    fn parent_is_read_behind_any_name() {
        assert_eq!(parent_in("12 (a) b ) c) S 34 5 6"), Some(34));
        assert_eq!(parent_in("12"), None);
    }

    #[test]
    fn own_process_has_threads_time_and_memory() {
        let own = std::process::id();
        assert!(resident_bytes(own) > 100_000);
        assert!(threads_cpu(own) > Duration::ZERO);
        assert!(parents().iter().any(|(pid, _)| *pid == own));
        assert_eq!(threads_cpu(u32::MAX), Duration::ZERO);
    }
}
