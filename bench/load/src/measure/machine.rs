//! The whole machine: how busy its CPUs were, what it is.

use serde::{Deserialize, Serialize};

/// CPU time of all CPUs together: readings, or what passed between two.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct MachineUse {
    /// Neither idle nor waiting for a disk.
    pub(crate) busy_s: f64,
    /// Taken by the host for others.
    pub(crate) stolen_s: f64,
    pub(crate) all_s: f64,
}

impl MachineUse {
    /// Reads the clocks since start; zero if there are none.
    pub(crate) fn read() -> Self {
        let text = std::fs::read_to_string("/proc/stat").unwrap_or_default();
        let ticks = rustix::param::clock_ticks_per_second();
        Self::parse(&text, ticks).unwrap_or_default()
    }

    /// What passed since this reading.
    pub(crate) fn until_now(self) -> Self {
        let now = Self::read();
        Self {
            busy_s: now.busy_s - self.busy_s,
            stolen_s: now.stolen_s - self.stolen_s,
            all_s: now.all_s - self.all_s,
        }
    }

    /// The first line: user nice system idle iowait irq softirq steal, in ticks.
    fn parse(text: &str, ticks_per_s: u64) -> Option<Self> {
        let line = text.lines().next()?.strip_prefix("cpu ")?;
        let fields = line.split_whitespace().take(8).map(str::parse::<f64>);
        let fields = fields.collect::<Result<Vec<_>, _>>().ok()?;
        let at = |place: usize| fields.get(place).copied();
        let tick_s = 1.0 / f64::from(u32::try_from(ticks_per_s).ok()?.max(1));
        let all: f64 = fields.iter().sum();
        let stolen = at(7)?;
        Some(Self {
            busy_s: (all - at(3)? - at(4)? - stolen) * tick_s,
            stolen_s: stolen * tick_s,
            all_s: all * tick_s,
        })
    }
}

/// Where a run was made.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Machine {
    pub(crate) kernel: String,
    pub(crate) cpu: String,
    pub(crate) cpus: u64,
}

impl Machine {
    /// This machine.
    pub(crate) fn here() -> Self {
        let uname = rustix::system::uname();
        let cpuinfo = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let cpus = std::thread::available_parallelism();
        Self {
            kernel: uname.release().to_string_lossy().into_owned(),
            cpu: cpu_name(&cpuinfo, &uname.machine().to_string_lossy()),
            cpus: cpus.map_or(0, |cpus| cpus.get() as u64),
        }
    }
}

/// What the first CPU calls itself, else the architecture.
fn cpu_name(cpuinfo: &str, architecture: &str) -> String {
    let named = cpuinfo.lines().filter_map(|line| line.split_once(':'));
    let mut named = named.filter(|(key, _)| key.trim() == "model name");
    let name = named.next().map(|(_, name)| name.trim());
    name.unwrap_or(architecture).to_owned()
}

/// Bytes of memory that TCP holds on the whole machine.
pub(crate) fn tcp_bytes() -> u64 {
    let text = std::fs::read_to_string("/proc/net/sockstat").unwrap_or_default();
    let pages = tcp_pages(&text).unwrap_or(0);
    pages * u64::try_from(rustix::param::page_size()).unwrap_or(4096)
}

fn tcp_pages(text: &str) -> Option<u64> {
    let line = text.lines().find(|line| line.starts_with("TCP:"))?;
    let mut words = line.split_whitespace().skip_while(|word| *word != "mem");
    words.nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn busy_is_all_but_idle_waiting_and_stolen() {
        let text = "cpu  100 0 50 800 30 5 5 10 0 0\ncpu0 1 2 3\n";
        let machine = MachineUse::parse(text, 100).unwrap();
        assert!((machine.busy_s - 1.6).abs() < 1e-9, "{machine:?}");
        assert!((machine.stolen_s - 0.1).abs() < 1e-9);
        assert!((machine.all_s - 10.0).abs() < 1e-9);
        assert_eq!(MachineUse::parse("intr 1", 100), None);
        assert_eq!(MachineUse::parse("cpu  1 2 x", 100), None);
    }

    #[test]
    fn cpu_is_named_or_its_architecture_is() {
        assert_eq!(cpu_name("processor : 0\nmodel name\t: X 9\n", "a"), "X 9");
        assert_eq!(cpu_name("processor : 0\n", "aarch64"), "aarch64");
    }

    #[test]
    fn memory_of_tcp_is_counted_in_pages() {
        let text = "sockets: used 9\nTCP: inuse 4 orphan 0 tw 1 alloc 6 mem 77\nUDP: mem 3\n";
        assert_eq!(tcp_pages(text), Some(77));
        assert_eq!(tcp_pages("UDP: mem 3\n"), None);
    }
}
