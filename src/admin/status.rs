//! The server at a glance, as the API and the page show it. (pure)
//!
//! Each field is described in `openapi.json`, which a test holds against what is sent. The rule: times leave here in
//! milliseconds since 1970, and everything else in the unit that its name ends with.

use serde::Serialize;

use crate::admin::snapshot::{Known, Picture};
use crate::channel::Phase;
use crate::config::{Config, Listen};

/// When things on the clock's time line happened for the rest of the world.
#[derive(Clone, Copy, Debug)]
pub struct Calendar {
    /// When the time line began, in milliseconds since 1970.
    pub started_ms: u64,
}

impl Calendar {
    /// A time of the clock in milliseconds since 1970.
    #[must_use]
    pub fn unix_ms(self, at_us: u64) -> u64 {
        self.started_ms + at_us / 1_000
    }
}

/// What is known of the process beside the shards' answers.
pub struct Process<'p> {
    /// The configuration in force.
    pub config: &'p Config,
    /// Where viewers connect, with real ports.
    pub listen: &'p [Listen],
    /// When it all began.
    pub calendar: Calendar,
    /// Whether it drains.
    pub is_draining: bool,
    /// Log lines that were lost.
    pub log_dropped_lines: u64,
    /// Number of the newest event.
    pub last_event_id: u64,
}

/// The server at a glance.
#[derive(Debug, Serialize)]
pub struct Status {
    version: &'static str,
    state: &'static str,
    time_ms: u64,
    started_ms: u64,
    uptime_ms: u64,
    listen: Vec<String>,
    public_url: Option<String>,
    is_open: bool,
    viewers: u64,
    viewers_waiting: u64,
    viewers_max: usize,
    channels_configured: usize,
    channels_open: usize,
    channels_live: usize,
    in_bits_per_second: u64,
    out_bits_per_second: u64,
    fan_out_ratio: Option<f64>,
    received_bytes: u64,
    sent_bytes: u64,
    skips: u64,
    engine_sessions: u64,
    log_dropped_lines: u64,
    last_event_id: u64,
    shards: Vec<ShardStatus>,
}

impl Status {
    /// What `picture` shows of `process`.
    #[must_use]
    pub fn of(process: &Process<'_>, picture: &Picture) -> Self {
        let (total, config) = (picture.total(), process.config);
        let (received, sent) = (total.received, total.sent);
        let time_ms = process.calendar.unix_ms(picture.asked_us);
        let has_input = received.bytes_per_second > 0;
        let homes = || {
            let answers = picture.shards.iter();
            let answers = answers.filter_map(|known| known.snapshot.as_deref());
            answers.flat_map(|snapshot| &snapshot.homes)
        };
        Self {
            version: env!("CARGO_PKG_VERSION"),
            state: match process.is_draining {
                true => "draining",
                false => "ready",
            },
            time_ms,
            started_ms: process.calendar.started_ms,
            uptime_ms: time_ms - process.calendar.started_ms,
            listen: process.listen.iter().map(ToString::to_string).collect(),
            public_url: config.server.public_url.as_ref().map(ToString::to_string),
            is_open: config.accounts.is_empty(),
            viewers: picture.sum(|it| it.viewers),
            viewers_waiting: picture.sum(|it| it.waiting),
            viewers_max: config.server.viewers_max,
            channels_configured: config.channels.len(),
            channels_open: homes().count(),
            channels_live: homes().filter(|it| it.phase == Phase::Live).count(),
            in_bits_per_second: received.bits_per_second(),
            out_bits_per_second: sent.bits_per_second(),
            fan_out_ratio: has_input
                .then(|| ratio(sent.bytes_per_second, received.bytes_per_second)),
            received_bytes: received.bytes,
            sent_bytes: sent.bytes,
            skips: total.skips,
            engine_sessions: picture.sum(|it| it.engine_sessions),
            log_dropped_lines: process.log_dropped_lines,
            last_event_id: process.last_event_id,
            shards: shards(picture),
        }
    }
}

/// One shard.
#[derive(Debug, Default, Serialize)]
struct ShardStatus {
    shard: usize,
    is_stale: bool,
    busy_ratio: f64,
    fanout_delay_p50_ms: Option<u64>,
    fanout_delay_p99_ms: Option<u64>,
    viewers: u64,
    channels: usize,
    out_bits_per_second: u64,
    sent_bytes: u64,
}

fn shards(picture: &Picture) -> Vec<ShardStatus> {
    let numbered = picture.shards.iter().enumerate();
    numbered.map(|(index, known)| shard(index, known)).collect()
}

fn shard(index: usize, known: &Known) -> ShardStatus {
    let blank = ShardStatus {
        shard: index,
        is_stale: known.is_stale,
        ..ShardStatus::default()
    };
    let Some(snapshot) = &known.snapshot else {
        return blank;
    };
    let [half, most] = snapshot.delays_us.map(|delay| delay.map(in_ms));
    let sent = || snapshot.counts.iter().map(|(_, counts)| counts.sent);
    ShardStatus {
        busy_ratio: ratio(snapshot.busy_millionths, 1_000_000),
        fanout_delay_p50_ms: half,
        fanout_delay_p99_ms: most,
        viewers: snapshot.viewers,
        channels: snapshot.homes.len(),
        out_bits_per_second: sent().map(|sent| sent.bits_per_second()).sum(),
        sent_bytes: sent().map(|sent| sent.bytes).sum(),
        ..blank
    }
}

/// A time in whole milliseconds, none shorter than it was.
pub(super) fn in_ms(us: u64) -> u64 {
    us.div_ceil(1_000)
}

/// A fraction with four digits: more of them would only move.
pub(super) fn ratio(part: u64, whole: u64) -> f64 {
    let scaled = u128::from(part) * 10_000 / u128::from(whole.max(1));
    let scaled = u32::try_from(scaled).unwrap_or(u32::MAX);
    f64::from(scaled) / 10_000.0
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::{Value, json};

    use super::*;
    use crate::admin::snapshot::{Counts, Flow, Snapshot};
    use crate::metrics::Label;

    fn shown(config: &Config, picture: &Picture) -> Value {
        let process = Process {
            config,
            listen: &config.server.listen,
            calendar: Calendar { started_ms: 1_000 },
            is_draining: true,
            log_dropped_lines: 3,
            last_event_id: 4,
        };
        serde_json::to_value(Status::of(&process, picture)).unwrap()
    }

    #[test]
    fn shards_are_added_up_and_one_without_an_answer_is_shown_stale() {
        let flow = |bytes, bytes_per_second| Flow {
            bytes,
            bytes_per_second,
        };
        let counts = Counts {
            received: flow(10, 2),
            sent: flow(100, 25),
            ..Counts::default()
        };
        let snapshot = Snapshot {
            viewers: 12,
            busy_millionths: 123_456,
            delays_us: [Some(1_000), None],
            counts: vec![(Label::Dynamic, counts)],
            ..Snapshot::default()
        };
        let known = Known {
            snapshot: Some(Arc::new(snapshot)),
            is_stale: false,
        };
        let silent = Known {
            snapshot: None,
            is_stale: true,
        };
        let picture = Picture::of(2_500_000, vec![known, silent]);
        let status = shown(&Config::default(), &picture);
        let expected = [
            ("state", json!("draining")),
            ("time_ms", json!(3_500)),
            ("uptime_ms", json!(2_500)),
            ("viewers", json!(12)),
            ("in_bits_per_second", json!(16)),
            ("out_bits_per_second", json!(200)),
            ("fan_out_ratio", json!(12.5)),
            ("listen", json!(["127.0.0.1:8000"])),
            ("public_url", Value::Null),
            ("is_open", json!(true)),
        ];
        for (field, value) in expected {
            assert_eq!(status[field], value, "{field}");
        }
        let shards = &status["shards"];
        assert_eq!(shards[0]["busy_ratio"], json!(0.1234));
        assert_eq!(shards[0]["fanout_delay_p50_ms"], json!(1));
        assert_eq!(shards[0]["fanout_delay_p99_ms"], Value::Null);
        assert_eq!(shards[0]["out_bits_per_second"], json!(200));
        assert_eq!(shards[1]["is_stale"], json!(true));
        assert_eq!(shards[1]["viewers"], json!(0));
    }

    #[test]
    fn without_input_there_is_no_ratio() {
        let status = shown(&Config::default(), &Picture::default());
        assert_eq!(status["fan_out_ratio"], Value::Null);
        assert_eq!(status["uptime_ms"], json!(0));
    }

    #[test]
    fn a_ratio_has_four_digits_and_no_bound_is_passed() {
        assert!((ratio(1, 3) - 0.3333).abs() < 1e-9);
        assert!(ratio(u64::MAX, 0) > 400_000.0);
    }
}
