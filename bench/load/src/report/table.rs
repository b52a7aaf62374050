//! Runs and rows as text for a terminal. (pure)

use std::fmt::Write as _;

use super::group::{Row, loads};
use crate::result::{Metric, Run};
use crate::spread::Spread;

/// A table for each load, and under it what the servers' own counters did.
pub(crate) fn of(rows: &[Row]) -> String {
    let mut text = String::new();
    for (load, rows) in loads(rows) {
        let about = about(&rows);
        text.push_str(&format!("\n{load}: {about}\n"));
        text.push_str(&line(&HEADINGS.map(str::to_owned)));
        for row in &rows {
            text.push_str(&line(&cells(row)));
        }
        let metrics = metrics(&rows);
        let width = metrics.iter().map(|[_, name, ..]| name.len()).max();
        let width = width.unwrap_or(0);
        for [server, name, per_s, per_mb] in metrics {
            text.push_str(&format!(
                "  {server:<16}  {name:<width$}  {per_s:>8} /s  {per_mb:>8} /MB\n"
            ));
        }
    }
    text
}

/// What a load is, in its caller's words or in numbers.
pub(crate) fn about(rows: &[&Row]) -> String {
    let told = rows.iter().map(|row| &row.about).find(|it| !it.is_empty());
    told.cloned().unwrap_or_else(|| {
        let first = rows.first();
        let (viewers, channels) = first.map_or((0, 0), |row| (row.viewers, row.channels));
        format!("{viewers} viewers, {channels} channels")
    })
}

/// What one server did under one load, column by column.
pub(crate) fn cells(row: &Row) -> [String; COLUMNS] {
    let ratio = |ratio: Option<f64>| ratio.map_or_else(none, |it| format!("{it:.2}"));
    let one_digit = |value: Option<f64>| value.map_or_else(none, |it| format!("{it:.1}"));
    let cpu = row.cpu_s_per_gb.map_or_else(none, |it| format!("{it:.3}"));
    let time = |micros: Option<f64>| micros.map_or_else(none, time);
    [
        row.server.clone(),
        row.rounds.to_string(),
        format!("{:.2}", row.gbit_per_s),
        cpu,
        ratio(row.cpu_ratio),
        row.cpu_ratio_range
            .map_or_else(none, |(least, most)| format!("{least:.2}-{most:.2}")),
        row.cpu_percent.map_or_else(none, percent),
        format!("{:.0}", row.machine_busy * 100.0),
        time(row.delay_p50_us),
        time(row.delay_p99_us),
        time(row.delay_p999_us),
        time(row.delay_max_us),
        time(row.join_byte_p50_us),
        time(row.join_byte_p99_us),
        time(row.join_key_p50_us),
        time(row.first_age_p50_us),
        one_digit(row.memory_loaded_bytes.map(|it| it / 1_048_576.0)),
        one_digit(row.memory_per_viewer_bytes.map(|it| it / 1024.0)),
        ratio(row.tool_ratio),
        row.faulty_rounds.to_string(),
        row.limited_rounds.to_string(),
    ]
}

/// What the counters of each server did under one load: the columns are [`METRIC_HEADINGS`].
pub(crate) fn metrics(rows: &[&Row]) -> Vec<[String; 4]> {
    let of_row = |row: &&Row| -> Vec<[String; 4]> {
        let metrics = row.metrics.iter().map(metric_cells);
        metrics
            .map(|[name, per_s, per_mb]| [row.server.clone(), name, per_s, per_mb])
            .collect()
    };
    rows.iter().flat_map(of_row).collect()
}

fn metric_cells(metric: &Metric) -> [String; 3] {
    [
        metric.name.clone(),
        number(metric.per_s),
        metric.per_mb.map_or_else(none, number),
    ]
}

/// One run, line by line.
pub(crate) fn one(run: &Run) -> String {
    let mut lines = Lines(String::new());
    crowd(run, &mut lines);
    let rate = format!("{:.2} Gbit/s", run.gbit_per_s);
    lines.say("delivered", &format!("{rate} for {:.1} s", run.window_s));
    for (name, measured) in [
        ("delay", &run.delay_us),
        ("gap", &run.gap_us),
        ("join, byte", &run.join_byte_us),
        ("join, packet", &run.join_packet_us),
        ("join, key", &run.join_key_us),
        ("first age", &run.first_age_us),
    ] {
        lines.say(name, &spread(measured));
    }
    let began = run.packets.began_within_packet;
    if began > 0 {
        lines.say("began", &format!("{began} within a packet"));
    }
    cost(run, &mut lines);
    for limit in &run.tool_limits {
        lines.say("tool limit", limit);
    }
    for fault in &run.faults {
        lines.say("FAULT", fault);
    }
    if run.faults.is_empty() {
        lines.say("faults", "none");
    }
    lines.0.pop();
    lines.0
}

/// Lines that begin with a name.
struct Lines(String);

impl Lines {
    fn say(&mut self, name: &str, what: &str) {
        // Writing to a string cannot fail.
        writeln!(self.0, "{name:<12} {what}").unwrap_or_default();
    }
}

fn crowd(run: &Run, lines: &mut Lines) {
    let crowd = &run.crowd;
    let (joined, steady) = (crowd.joined, crowd.steady);
    let checked = format!("{} check every packet", crowd.verified);
    lines.say(
        "viewers",
        &format!("{joined} of {steady} watching, {checked}"),
    );
    let beside = [
        (crowd.slow, "slow"),
        (crowd.stalled, "stalled"),
        (crowd.churning, "churning"),
        (crowd.zapping, "zapping"),
    ];
    let beside = beside.iter().filter(|(count, _)| *count > 0);
    let beside = beside.map(|(count, kind)| format!("{count} {kind}"));
    let beside = beside.collect::<Vec<_>>().join(", ");
    if !beside.is_empty() {
        let (stays, without) = (run.beside.stays, run.beside.stays_without_media);
        let stays = format!("{stays} stays, {without} without media");
        lines.say("beside", &format!("{beside}; {stays}"));
    }
}

fn cost(run: &Run, lines: &mut Lines) {
    if let Some(cpu) = &run.cpu {
        let per_gb = cpu.server_s_per_gb.map(|it| format!("{it:.3} s/GB, "));
        let per_gb = per_gb.unwrap_or_default();
        let (used, clock) = (cpu.server_s, &cpu.clock);
        let share = percent(used / run.window_s.max(1e-9) * 100.0);
        let used = format!("{used:.2} s by {clock}, {share} % of a CPU");
        lines.say("server CPU", &format!("{per_gb}{used}"));
    }
    let machine = run.machine_use;
    let share = machine.busy_s / machine.all_s.max(1e-9) * 100.0;
    let busy = format!("{:.2} s busy, {share:.0} %", machine.busy_s);
    lines.say(
        "machine CPU",
        &format!("{busy}, {:.2} s stolen", machine.stolen_s),
    );
    let waited: f64 = run.tool.threads.iter().map(|it| it.waited_s).sum();
    let own = format!("{:.2} s", run.tool.cpu_s);
    lines.say(
        "tool CPU",
        &format!("{own}, waited {waited:.2} s for a CPU"),
    );
    if let Some(memory) = &run.memory {
        let per_viewer = memory.per_viewer_bytes;
        let per_viewer = per_viewer.map(|it| format!("{:.1} KiB per viewer, ", it / 1024.0));
        let per_viewer = per_viewer.unwrap_or_default();
        let loaded = memory.loaded_bytes / 1024;
        lines.say("memory", &format!("{per_viewer}{loaded} KiB in all"));
    }
    for metric in &run.metrics {
        let [name, per_s, per_mb] = metric_cells(metric);
        let told = format!("{name} {per_s} /s, {per_mb} /MB");
        lines.say("metric", &told);
    }
}

fn spread(spread: &Spread) -> String {
    if spread.count == 0 {
        return none();
    }
    let named = [
        ("p50", spread.p50),
        ("p99", spread.p99),
        ("p99.9", spread.p999),
        ("max", spread.max),
    ];
    let mut text = String::new();
    for (name, value) in named {
        let micros = f64::from(u32::try_from(value).unwrap_or(u32::MAX));
        text.push_str(&format!("{name} {}  ", time(micros)));
    }
    let count = spread.count;
    format!("{text}({count})")
}

/// Microseconds with a unit and three digits or so.
pub(crate) fn time(micros: f64) -> String {
    match micros {
        _ if micros < 1000.0 => format!("{micros:.0} us"),
        _ if micros < 10_000.0 => format!("{:.2} ms", micros / 1e3),
        _ if micros < 100_000.0 => format!("{:.1} ms", micros / 1e3),
        _ if micros < 1_000_000.0 => format!("{:.0} ms", micros / 1e3),
        _ if micros < 10_000_000.0 => format!("{:.2} s", micros / 1e6),
        _ => format!("{:.1} s", micros / 1e6),
    }
}

/// Per cent, in which an idle server is told from one that does nothing.
fn percent(value: f64) -> String {
    if value < 10.0 {
        format!("{value:.2}")
    } else {
        format!("{value:.1}")
    }
}

/// A rate with three digits or so.
fn number(value: f64) -> String {
    match value.abs() {
        size if size < 1e-9 => "0".to_owned(),
        size if size < 1e-3 => format!("{value:.1e}"),
        size if size < 1.0 => format!("{value:.4}"),
        size if size < 10.0 => format!("{value:.2}"),
        size if size < 1000.0 => format!("{value:.1}"),
        _ => format!("{value:.0}"),
    }
}

fn none() -> String {
    "-".to_owned()
}

/// Cells side by side, the first to the left and the others to the right.
fn line(cells: &[String; COLUMNS]) -> String {
    let mut text = String::new();
    for (place, (cell, heading)) in cells.iter().zip(HEADINGS).enumerate() {
        let width = heading.len().max(8);
        if place == 0 {
            text.push_str(&format!("  {cell:<16}"));
        } else {
            text.push_str(&format!("  {cell:>width$}"));
        }
    }
    text.push('\n');
    text
}

const COLUMNS: usize = 21;

/// What the columns are.
pub(crate) const HEADINGS: [&str; COLUMNS] = [
    "server",
    "rounds",
    "Gbit/s",
    "CPU s/GB",
    "ratio",
    "of rounds",
    "CPU %",
    "machine %",
    "delay p50",
    "p99",
    "p99.9",
    "max",
    "join p50",
    "join p99",
    "key p50",
    "age p50",
    "MiB",
    "KiB/viewer",
    "tool/server",
    "faulty",
    "limited",
];

/// What is told of each metric.
pub(crate) const METRIC_HEADINGS: [&str; 4] = ["server", "metric", "per s", "per MB"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_a_unit_and_few_digits() {
        for (micros, text) in [
            (0.0, "0 us"),
            (999.0, "999 us"),
            (1_234.0, "1.23 ms"),
            (51_234.0, "51.2 ms"),
            (512_345.0, "512 ms"),
            (1_234_000.0, "1.23 s"),
            (61_000_000.0, "61.0 s"),
        ] {
            assert_eq!(time(micros), text);
        }
    }

    #[test]
    fn each_load_has_its_title_and_each_server_its_line() {
        let row = |load: &str, server: &str| Row {
            load: load.into(),
            server: server.into(),
            cpu_ratio: Some(0.456),
            ..Row::default()
        };
        let text = of(&[row("A", "x"), row("A", "y"), row("B", "x")]);
        let lines: Vec<&str> = text.lines().filter(|line| !line.is_empty()).collect();
        assert_eq!(lines.len(), 7);
        assert!(lines[0].starts_with("A: ") && lines[4].starts_with("B: "));
        assert!(lines[2].contains('x') && lines[2].contains("0.46"));
        assert!(lines[2].contains(" - "), "what was not measured is not 0");
    }

    #[test]
    fn idle_server_has_its_cpu_and_memory_and_nothing_per_viewer_or_byte() {
        let idle = Row {
            server: "x".into(),
            cpu_percent: Some(0.034),
            memory_loaded_bytes: Some(5.0 * 1_048_576.0),
            ..Row::default()
        };
        let told: Vec<(&str, String)> = HEADINGS.into_iter().zip(cells(&idle)).collect();
        let of = |heading| &told.iter().find(|(it, _)| *it == heading).unwrap().1;
        assert_eq!((of("CPU %").as_str(), of("MiB").as_str()), ("0.03", "5.0"));
        for heading in ["CPU s/GB", "KiB/viewer", "delay p50", "max", "key p50"] {
            assert_eq!(of(heading), "-", "{heading}");
        }
    }

    #[test]
    fn load_is_told_in_its_callers_words_and_its_metrics_stand_under_it() {
        let row = Row {
            load: "A".into(),
            server: "before".into(),
            about: "1 channel x 8 Mbit/s".into(),
            metrics: vec![Metric {
                name: "a_total".into(),
                per_s: 1234.2,
                per_mb: Some(121.94),
            }],
            ..Row::default()
        };
        let text = of(&[row]);
        assert!(text.starts_with("\nA: 1 channel x 8 Mbit/s\n"), "{text}");
        let last = "  before            a_total      1234 /s     121.9 /MB\n";
        assert!(text.ends_with(last), "{text}");
    }

    #[test]
    fn rates_have_few_digits() {
        for (value, text) in [
            (0.0, "0"),
            (0.000_123, "1.2e-4"),
            (-0.25, "-0.2500"),
            (1.234, "1.23"),
            (12.34, "12.3"),
            (61_000.4, "61000"),
        ] {
            assert_eq!(number(value), text);
        }
    }

    #[test]
    fn one_run_says_its_faults_or_that_there_are_none() {
        let mut run = Run::default();
        assert!(one(&run).ends_with("none"));
        run.faults.push("1 packets lost".into());
        run.tool_limits.push("slow".into());
        let text = one(&run);
        assert!(text.contains("FAULT        1 packets lost"), "{text}");
        assert!(text.contains("tool limit   slow"), "{text}");
    }
}
