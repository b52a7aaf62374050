//! What a run of viewers found out, as it is kept: one line of JSON. (pure)
//!
//! The rule: a field's name says its unit, and a reader that does not know a field passes over it, so results of two
//! versions can stand in one report.

use serde::{Deserialize, Serialize};

use crate::measure::machine::{Machine, MachineUse};
use crate::measure::tool::ThreadUse;
use crate::source::Stats;
use crate::spread::Spread;

/// One run.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Run {
    /// Which server, as the caller names it.
    pub(crate) server: String,
    /// Which load, as the caller names it.
    pub(crate) load: String,
    /// What the load is, in the caller's words; empty if the caller has none.
    pub(crate) about: String,
    pub(crate) round: u64,
    pub(crate) commit: String,
    /// How it was called: the program without its folder, URLs without their paths, which may hold passwords.
    pub(crate) command: String,
    pub(crate) unix_s: u64,
    pub(crate) machine: Machine,
    pub(crate) crowd: CrowdCount,
    /// The measured time.
    pub(crate) window_s: f64,
    /// Body bytes within it, of everyone.
    pub(crate) bytes: u64,
    pub(crate) gbit_per_s: f64,
    pub(crate) delay_us: Spread,
    /// Quantiles of delay for a chart: from 0 to 1, and microseconds.
    pub(crate) delay_curve: Vec<(f64, u64)>,
    /// The largest 99th percentile of one verified viewer.
    pub(crate) delay_p99_worst_viewer_us: u64,
    pub(crate) gap_us: Spread,
    pub(crate) join_byte_us: Spread,
    pub(crate) join_packet_us: Spread,
    pub(crate) join_key_us: Spread,
    /// How old the first packet was that a viewer got.
    pub(crate) first_age_us: Spread,
    pub(crate) packets: PacketCount,
    pub(crate) bytes_checked: BytesChecked,
    pub(crate) beside: Beside,
    pub(crate) cpu: Option<Cpu>,
    pub(crate) memory: Option<Memory>,
    pub(crate) machine_use: MachineUse,
    /// What the server's own counters did, in the order in which they were asked for.
    pub(crate) metrics: Vec<Metric>,
    pub(crate) tool: Tool,
    pub(crate) source: Option<Stats>,
    /// What was wrong; empty if nothing was.
    pub(crate) faults: Vec<String>,
    /// Why the figures may be those of the tool and not of the server; empty if they are not.
    pub(crate) tool_limits: Vec<String>,
}

/// How many viewers there were.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct CrowdCount {
    pub(crate) channels: u64,
    /// Those that want every packet.
    pub(crate) steady: u64,
    /// How many of them check every packet.
    pub(crate) verified: u64,
    pub(crate) slow: u64,
    pub(crate) stalled: u64,
    pub(crate) churning: u64,
    pub(crate) zapping: u64,
    /// Steady ones that had media when the measured time began.
    pub(crate) joined: u64,
    /// Steady ones that were over before their time.
    pub(crate) over: u64,
}

/// What happened to the packets of the verified viewers.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct PacketCount {
    pub(crate) seen: u64,
    pub(crate) lost: u64,
    pub(crate) repeated: u64,
    pub(crate) reordered: u64,
    pub(crate) torn: u64,
    pub(crate) unnumbered: u64,
    /// Jumps of a continuity counter that nothing announced.
    pub(crate) counter_jumps: u64,
    /// Viewers whose first bytes were the end of a packet.
    pub(crate) began_within_packet: u64,
    /// Packets of another channel.
    pub(crate) switches: u64,
}

/// What was found by counting the bytes of those that discard.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct BytesChecked {
    /// Viewers whose first and last packet were found.
    pub(crate) viewers: u64,
    /// Of them, those with another count than their packets' numbers say.
    pub(crate) wrong: u64,
    /// The difference furthest below zero, and furthest above.
    pub(crate) worst_short: i64,
    pub(crate) worst_long: i64,
    /// Channels of which so little came that what their source sends is not known.
    pub(crate) unknown_channels: u64,
    /// Viewers whose bytes within the measured time are below the source's rate by more than is allowed.
    pub(crate) behind: u64,
    /// The least that a steady viewer had of the source's rate, 1 being all.
    pub(crate) least_share: f64,
}

/// The viewers that misbehave, as asked.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Beside {
    pub(crate) stays: u64,
    pub(crate) stays_without_media: u64,
    pub(crate) join_byte_us: Spread,
    pub(crate) stalled_dropped: u64,
    pub(crate) slow_over: u64,
    /// Numbers that slow viewers missed.
    pub(crate) slow_lost: u64,
    pub(crate) slow_torn: u64,
}

/// CPU time of the server within the measured time.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Cpu {
    /// Which clock it was read from.
    pub(crate) clock: String,
    pub(crate) server_s: f64,
    /// Per GB (10^9 bytes) of body that viewers took; `None` if they took nothing.
    pub(crate) server_s_per_gb: Option<f64>,
}

/// Memory of the server.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Memory {
    /// Resident before the first viewer, and at the end of the measured time.
    pub(crate) before_bytes: u64,
    pub(crate) loaded_bytes: u64,
    /// What each steady viewer added; `None` if there was none.
    pub(crate) per_viewer_bytes: Option<f64>,
    /// Held by TCP on the whole machine, before and at the end.
    pub(crate) tcp_before_bytes: u64,
    pub(crate) tcp_loaded_bytes: u64,
}

/// How fast one of the server's counters grew: all its samples together, whatever their labels.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Metric {
    pub(crate) name: String,
    pub(crate) per_s: f64,
    /// Per MB (10^6 bytes) of body that viewers took within the measured time; `None` if they took nothing.
    pub(crate) per_mb: Option<f64>,
}

/// What the tool used itself within the measured time, over which the server's CPU is taken too.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Tool {
    pub(crate) threads: Vec<ThreadUse>,
    pub(crate) cpu_s: f64,
    /// Work between two looks at the sockets.
    pub(crate) busy_us: Spread,
}
