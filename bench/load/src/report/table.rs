//! Runs and rows as text for a terminal. (pure)

use std::fmt::Write as _;

use super::group::Row;
use crate::result::Run;
use crate::spread::Spread;

/// A table for each load.
pub(crate) fn of(rows: &[Row]) -> String {
    let mut text = String::new();
    let mut load = None;
    for row in rows {
        if load != Some(&row.load) {
            load = Some(&row.load);
            let (viewers, channels) = (row.viewers, row.channels);
            let title = &row.load;
            text.push_str(&format!(
                "\n{title}: {viewers} viewers, {channels} channels\n"
            ));
            text.push_str(&line(&HEADINGS.map(str::to_owned)));
        }
        text.push_str(&line(&cells(row)));
    }
    text
}

/// What one server did under one load, column by column.
pub(crate) fn cells(row: &Row) -> [String; COLUMNS] {
    let ratio = |ratio: Option<f64>| ratio.map_or_else(none, |it| format!("{it:.2}"));
    let cpu = row.cpu_s_per_gb.map_or_else(none, |it| format!("{it:.3}"));
    let memory = row.memory_per_viewer_bytes;
    [
        row.server.clone(),
        row.rounds.to_string(),
        format!("{:.2}", row.gbit_per_s),
        cpu,
        ratio(row.cpu_ratio),
        format!("{:.0}", row.machine_busy * 100.0),
        time(row.delay_p50_us),
        time(row.delay_p99_us),
        time(row.delay_p999_us),
        time(row.delay_max_us),
        time(row.join_byte_p50_us),
        time(row.join_byte_p99_us),
        time(row.join_key_p50_us),
        time(row.first_age_p50_us),
        memory.map_or_else(none, |it| format!("{:.1}", it / 1024.0)),
        ratio(row.tool_ratio),
        row.faulty_rounds.to_string(),
        row.limited_rounds.to_string(),
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
        let (per_gb, used) = (cpu.server_s_per_gb, cpu.server_s);
        let clock = &cpu.clock;
        lines.say(
            "server CPU",
            &format!("{per_gb:.3} s/GB, {used:.2} s by {clock}"),
        );
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
        let per_viewer = memory.per_viewer_bytes / 1024.0;
        let loaded = memory.loaded_bytes / 1024;
        let told = format!("{per_viewer:.1} KiB per viewer, {loaded} KiB in all");
        lines.say("memory", &told);
    }
}

fn spread(spread: &Spread) -> String {
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

const COLUMNS: usize = 18;

/// What the columns are.
pub(crate) const HEADINGS: [&str; COLUMNS] = [
    "server",
    "rounds",
    "Gbit/s",
    "CPU s/GB",
    "ratio",
    "machine %",
    "delay p50",
    "p99",
    "p99.9",
    "max",
    "join p50",
    "join p99",
    "key p50",
    "age p50",
    "KiB/viewer",
    "tool/server",
    "faulty",
    "limited",
];

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
