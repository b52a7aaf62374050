//! What a load costs the server and the machine, from when measuring begins to when it ends.
//!
//! How each thing is read belongs in `measure`. The rule: a figure per viewer or per byte is given only where there were
//! viewers and bytes.

use std::time::Duration;

use super::counters::{Counters, CountersError};
use crate::clock;
use crate::measure::machine::{Machine, MachineUse, tcp_bytes};
use crate::measure::server::Server;
use crate::result::{Cpu, Memory, Metric, Run};
use crate::spread::to_f64;

/// Reads everything at both ends of the measured time.
pub(super) struct Meter {
    server: Option<Server>,
    counters: Option<Counters>,
    /// Before the first viewer.
    memory_bytes: u64,
    tcp_bytes: u64,
    /// When measuring begins, then what passed since.
    cpu: Duration,
    machine: MachineUse,
    memory: Option<Memory>,
}

impl Meter {
    /// A meter of a server that has no viewer yet, and of nothing but the machine if there is no such server.
    pub(super) fn new(server: Option<Server>, counters: Option<Counters>) -> Self {
        Self {
            memory_bytes: server.as_ref().map_or(0, Server::memory_bytes),
            tcp_bytes: tcp_bytes(),
            server,
            counters,
            cpu: Duration::ZERO,
            machine: MachineUse::default(),
            memory: None,
        }
    }

    /// The measured time begins.
    pub(super) fn begin(&mut self) {
        self.machine = MachineUse::read();
        self.cpu = self.cpu();
        self.counters.iter_mut().for_each(Counters::read);
    }

    /// The measured time ends.
    pub(super) fn end(&mut self) {
        self.cpu = self.cpu().saturating_sub(self.cpu);
        self.machine = self.machine.until_now();
        self.memory = self.server.as_ref().map(|server| Memory {
            before_bytes: self.memory_bytes,
            loaded_bytes: server.memory_bytes(),
            per_viewer_bytes: None,
            tcp_before_bytes: self.tcp_bytes,
            tcp_loaded_bytes: tcp_bytes(),
        });
        self.counters.iter_mut().for_each(Counters::read);
    }

    /// Whether the server, if there is one to be read, still runs.
    pub(super) fn is_alive(&self) -> bool {
        self.server.as_ref().is_none_or(Server::is_alive)
    }

    /// Puts what was used beside what was delivered.
    ///
    /// # Errors
    /// If the server's counters are not known; all else is put nevertheless.
    pub(super) fn put(self, run: &mut Run) -> Result<(), CountersError> {
        run.cpu = self.server.as_ref().map(|server| Cpu {
            clock: server.clock().to_owned(),
            server_s: self.cpu.as_secs_f64(),
            server_s_per_gb: per(self.cpu.as_secs_f64(), run.bytes, 1e9),
        });
        run.memory = self.memory.map(|memory| Memory {
            per_viewer_bytes: per_viewer(&memory, run),
            ..memory
        });
        run.machine_use = self.machine;
        run.machine = Machine::here();
        run.unix_s = clock::unix_seconds();
        let growth = self
            .counters
            .map_or_else(|| Ok(Vec::new()), Counters::growth)?;
        run.metrics = growth.into_iter().map(|it| per_mb(it, run)).collect();
        Ok(())
    }

    fn cpu(&self) -> Duration {
        self.server.as_ref().map_or(Duration::ZERO, Server::cpu)
    }
}

fn per_viewer(memory: &Memory, run: &Run) -> Option<f64> {
    let added = to_f64(memory.loaded_bytes) - to_f64(memory.before_bytes);
    per(added, run.crowd.steady, 1.0)
}

fn per_mb(metric: Metric, run: &Run) -> Metric {
    Metric {
        per_mb: per(metric.per_s * run.window_s, run.bytes, 1e6),
        ..metric
    }
}

/// How much of `amount` falls to each `unit` of `count`; `None` where nothing was counted.
fn per(amount: f64, count: u64, unit: f64) -> Option<f64> {
    (count > 0).then(|| amount / (to_f64(count) / unit))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::result::CrowdCount;

    fn run(bytes: u64, steady: u64) -> Run {
        Run {
            bytes,
            window_s: 10.0,
            crowd: CrowdCount {
                steady,
                ..CrowdCount::default()
            },
            ..Run::default()
        }
    }

    #[test]
    fn what_was_used_is_shared_out_among_bytes_and_viewers() {
        let memory = Memory {
            before_bytes: 5_000,
            loaded_bytes: 4_000,
            ..Memory::default()
        };
        let metric = Metric {
            per_s: 30.0,
            ..Metric::default()
        };
        let loaded = run(2_000_000, 4);
        assert_eq!(per_viewer(&memory, &loaded), Some(-250.0));
        assert_eq!(per_mb(metric, &loaded).per_mb, Some(150.0));
        assert_eq!(per(0.5, 2_000_000_000, 1e9), Some(0.25));
    }

    #[test]
    fn without_bytes_and_viewers_there_is_no_share() {
        let idle = run(0, 0);
        assert_eq!(per_viewer(&Memory::default(), &idle), None);
        assert_eq!(per_mb(Metric::default(), &idle).per_mb, None);
        assert_eq!(per(0.5, 0, 1e9), None);
    }
}
