//! What was wrong with a run, in words, and whether the tool can be believed. (pure)
//!
//! The rule: each kind of fault has its own sentence with its count, so that a failed run says what to look for.

use std::collections::BTreeMap;
use std::time::Duration;

use super::viewer::Viewer;
use crate::measure::tool::ThreadUse;
use crate::result::Run;

/// What the caller allows.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Allowed {
    /// Loss and switches are asked for, because the source is told to fail.
    pub(crate) loss: bool,
    /// The media has no numbers.
    pub(crate) opaque: bool,
    /// The largest 99th percentile of any viewer's delay.
    pub(crate) delay_p99: Option<Duration>,
}

/// Every fault of a run.
pub(crate) fn faults(run: &Run, viewers: &[Viewer], allowed: Allowed) -> Vec<String> {
    let mut faults = Faults(Vec::new());
    let crowd = &run.crowd;
    let late = crowd.steady - crowd.joined;
    faults.note(
        late,
        format!(
            "{late} of {} viewers had no media when measuring began",
            crowd.steady
        ),
    );
    faults.note(
        crowd.over,
        format!(
            "{} of {} viewers were over before their time: {}",
            crowd.over,
            crowd.steady,
            ends(viewers)
        ),
    );
    if allowed.opaque {
        return faults.0;
    }
    if !allowed.loss {
        missing(run, &mut faults);
    }
    damaged(run, &mut faults);
    if let Some(allowed) = allowed.delay_p99 {
        let worst = Duration::from_micros(run.delay_p99_worst_viewer_us);
        faults.note(
            u64::from(worst > allowed),
            format!("delay p99 of one viewer is {worst:.1?}, {allowed:.1?} is allowed"),
        );
    }
    faults.0
}

/// What did not come, or came from elsewhere.
fn missing(run: &Run, faults: &mut Faults) {
    let (packets, checked) = (&run.packets, &run.bytes_checked);
    let of = format!("by {} verified viewers", run.crowd.verified);
    for (count, what) in [
        (packets.lost, "lost"),
        (packets.switches, "of another channel seen"),
    ] {
        faults.note(count, format!("{count} packets {what} {of}"));
    }
    faults.note(
        checked.wrong,
        format!(
            "{} of {} viewers got other bytes than the source sent: {} at worst, {:+} at most",
            checked.wrong, checked.viewers, checked.worst_short, checked.worst_long
        ),
    );
    let unknown = checked.unknown_channels;
    faults.note(
        unknown,
        format!("{unknown} channels fell silent before what their source sends was known"),
    );
    faults.note(
        checked.behind,
        format!(
            "{} viewers fell behind the source, the last one had {:.1} % of its bytes",
            checked.behind,
            checked.least_share * 100.0
        ),
    );
}

/// What came, but not as it was sent.
fn damaged(run: &Run, faults: &mut Faults) {
    let packets = &run.packets;
    let of = format!("by {} verified viewers", run.crowd.verified);
    for (count, what) in [
        (packets.repeated, "repeated"),
        (packets.reordered, "reordered"),
        (packets.torn, "torn"),
    ] {
        faults.note(count, format!("{count} packets {what}, seen {of}"));
    }
    let torn = run.beside.slow_torn;
    faults.note(
        torn,
        format!("{torn} packets torn, repeated or reordered, seen by slow viewers"),
    );
    let is_blind = packets.seen == packets.unnumbered && run.crowd.verified > 0;
    faults.note(
        u64::from(is_blind),
        "no numbered packet came: measure with the source of this tool, or with --opaque".into(),
    );
}

/// Why the figures may be the tool's own.
pub(crate) fn tool_limits(run: &Run) -> Vec<String> {
    let mut limits = Faults(Vec::new());
    for (place, thread) in run.tool.threads.iter().enumerate() {
        let ThreadUse {
            wall_s,
            cpu_s,
            waited_s,
        } = *thread;
        let [used, waited] = [cpu_s, waited_s].map(|time| time / wall_s * 100.0);
        limits.note(
            u64::from(used > CPU_PERCENT_MAX),
            format!("viewer thread {place} used {used:.0} % of a CPU: give it --threads"),
        );
        limits.note(
            u64::from(waited > WAIT_PERCENT_MAX),
            format!("viewer thread {place} waited for a CPU {waited:.0} % of the time"),
        );
    }
    let busy = Duration::from_micros(run.tool.busy_us.p99);
    let is_within_delay = run.tool.busy_us.p99 * 2 > run.delay_us.p99 && run.crowd.steady > 0;
    limits.note(
        u64::from(busy > BUSY_MAX && is_within_delay),
        format!("viewers were looked at {busy:.1?} late at p99, which is within the delay"),
    );
    if let Some(source) = &run.source {
        let late = Duration::from_micros(source.late_us.p99);
        limits.note(
            u64::from(late > LATE_MAX),
            format!("the source was {late:.1?} late at p99"),
        );
    }
    limits.0
}

/// How the steady viewers ended, each way with its count.
fn ends(viewers: &[Viewer]) -> String {
    let mut ends: BTreeMap<String, u64> = BTreeMap::new();
    for viewer in viewers.iter().filter(|it| it.assignment.role.is_steady()) {
        if let Some(end) = &viewer.end {
            *ends.entry(end.to_string()).or_default() += 1;
        }
    }
    let each = ends.iter().map(|(end, count)| format!("{end} ({count})"));
    each.collect::<Vec<_>>().join(", ")
}

struct Faults(Vec<String>);

impl Faults {
    fn note(&mut self, count: u64, text: String) {
        if count > 0 {
            self.0.push(text);
        }
    }
}

const CPU_PERCENT_MAX: f64 = 90.0;
const WAIT_PERCENT_MAX: f64 = 25.0;
const BUSY_MAX: Duration = Duration::from_millis(5);
const LATE_MAX: Duration = Duration::from_millis(20);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::result::{BytesChecked, CrowdCount, PacketCount, Tool};
    use crate::spread::Spread;

    const STRICT: Allowed = Allowed {
        loss: false,
        opaque: false,
        delay_p99: None,
    };

    fn sound() -> Run {
        Run {
            crowd: CrowdCount {
                steady: 100,
                joined: 100,
                verified: 20,
                ..CrowdCount::default()
            },
            packets: PacketCount {
                seen: 1000,
                ..PacketCount::default()
            },
            ..Run::default()
        }
    }

    fn only_fault(run: &Run, allowed: Allowed) -> String {
        let faults = faults(run, &[], allowed);
        assert_eq!(faults.len(), 1, "{faults:?}");
        faults[0].clone()
    }

    #[test]
    fn sound_run_has_no_fault() {
        assert_eq!(faults(&sound(), &[], STRICT), Vec::<String>::new());
        assert_eq!(tool_limits(&sound()), Vec::<String>::new());
    }

    #[test]
    fn each_fault_is_named_with_its_count() {
        let with = |change: fn(&mut Run)| {
            let mut run = sound();
            change(&mut run);
            only_fault(&run, STRICT)
        };
        assert!(with(|run| run.packets.lost = 1).contains("1 packets lost"));
        assert!(with(|run| run.packets.repeated = 2).contains("2 packets repeated"));
        assert!(with(|run| run.packets.reordered = 3).contains("3 packets reordered"));
        assert!(with(|run| run.packets.torn = 4).contains("4 packets torn"));
        assert!(
            with(|run| run.bytes_checked.unknown_channels = 2).contains("2 channels fell silent")
        );
        assert!(with(|run| run.bytes_checked.behind = 4).contains("4 viewers fell behind"));
        assert!(with(|run| run.crowd.joined = 93).contains("7 of 100 viewers had no media"));
        assert!(with(|run| run.crowd.over = 5).contains("5 of 100 viewers were over"));
        assert!(with(|run| run.packets.unnumbered = 1000).contains("no numbered packet"));
        let wrong = with(|run| {
            run.bytes_checked = BytesChecked {
                viewers: 80,
                wrong: 1,
                worst_short: -188,
                ..BytesChecked::default()
            }
        });
        assert!(
            wrong.contains("1 of 80 viewers") && wrong.contains("-188"),
            "{wrong}"
        );
    }

    #[test]
    fn loss_that_is_allowed_is_no_fault_but_damage_is() {
        let mut run = sound();
        run.packets.lost = 9;
        run.bytes_checked.wrong = 3;
        let allowed = Allowed {
            loss: true,
            ..STRICT
        };
        assert_eq!(faults(&run, &[], allowed), Vec::<String>::new());
        run.packets.torn = 1;
        assert!(only_fault(&run, allowed).contains("torn"));
    }

    #[test]
    fn delay_of_one_viewer_is_held_against_what_is_allowed() {
        let mut run = sound();
        run.delay_p99_worst_viewer_us = 51_000;
        let allowed = |ms| Allowed {
            delay_p99: Some(Duration::from_millis(ms)),
            ..STRICT
        };
        assert!(only_fault(&run, allowed(20)).contains("51.0ms"));
        assert_eq!(faults(&run, &[], allowed(60)), Vec::<String>::new());
    }

    #[test]
    fn tool_that_was_the_limit_says_why() {
        let mut run = sound();
        let thread = |cpu_s, waited_s| ThreadUse {
            wall_s: 10.0,
            cpu_s,
            waited_s,
        };
        run.tool = Tool {
            threads: vec![thread(9.9, 0.0), thread(1.0, 4.0)],
            busy_us: Spread {
                p99: 30_000,
                ..Spread::default()
            },
            ..Tool::default()
        };
        run.delay_us.p99 = 40_000;
        let limits = tool_limits(&run);
        assert_eq!(limits.len(), 3, "{limits:?}");
        assert!(limits[0].contains("thread 0 used 99 %"), "{limits:?}");
        assert!(limits[1].contains("thread 1 waited"), "{limits:?}");
        assert!(limits[2].contains("30.0ms late"), "{limits:?}");
    }
}
