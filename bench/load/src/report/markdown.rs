//! The report as Markdown. (pure)
//!
//! Cells belong in `table.rs`. The rule: it can be read as plain text, and names no path of the machine that it was made on.

use std::collections::BTreeSet;

use super::command::commands;
use super::group::{Row, loads};
use super::table::{HEADINGS, METRIC_HEADINGS, about, cells, metrics};
use crate::result::Run;

/// The report of all rows; the runs say where and how they were made, and what was wrong.
pub(crate) fn of(rows: &[Row], runs: &[Run]) -> String {
    let (made, wrong) = (made(runs), wrong(runs));
    let loads = loads(rows);
    let loads = loads.iter().map(|(load, rows)| section(load, rows));
    let loads: String = loads.collect();
    let commands = commands(runs);
    let commands = commands.iter().map(|it| format!("- {}\n", code(it)));
    let commands: String = commands.collect();
    format!(
        "# Load report\n\n{made}{loads}\n## Faults and limits\n\n{wrong}\n## Commands\n\n{commands}"
    )
}

fn section(load: &str, rows: &[&Row]) -> String {
    let (load, about) = (plain(load), plain(&about(rows)));
    let figures = table(&HEADINGS, 1, rows.iter().map(|row| cells(row)));
    let metrics = metrics(rows);
    let counters = if metrics.is_empty() {
        String::new()
    } else {
        format!("\n{}", table(&METRIC_HEADINGS, 2, metrics.into_iter()))
    };
    format!("\n## {load}\n\n{about}\n\n{figures}{counters}")
}

/// A table whose first columns, so many of them names, stand to the left and all others to the right.
fn table<const N: usize>(
    headings: &[&str; N],
    names: usize,
    lines: impl Iterator<Item = [String; N]>,
) -> String {
    let line = |cells: [String; N]| format!("| {} |\n", cells.join(" | "));
    let rule = std::array::from_fn(|place| if place < names { "---" } else { "---:" });
    let mut text = line(headings.map(str::to_owned));
    text.push_str(&line(rule.map(str::to_owned)));
    for cells in lines {
        text.push_str(&line(cells.map(|cell| plain(&cell))));
    }
    text
}

/// Machines and commits, each once.
fn made(runs: &[Run]) -> String {
    let machines = runs.iter().map(|run| {
        let machine = &run.machine;
        let (cpus, cpu, kernel) = (machine.cpus, &machine.cpu, &machine.kernel);
        format!("{cpus} x {cpu}, Linux {kernel}")
    });
    let machines: BTreeSet<String> = machines.collect();
    let commits = runs.iter().filter(|run| !run.commit.is_empty());
    let commits = commits.map(|run| format!("{} {}", run.server, run.commit));
    let commits: BTreeSet<String> = commits.collect();
    let all = |told: BTreeSet<String>| plain(&told.into_iter().collect::<Vec<_>>().join("; "));
    let mut text = format!("Measured on {}.\n", all(machines));
    if !commits.is_empty() {
        text.push_str(&format!("Servers: {}.\n", all(commits)));
    }
    text
}

/// Every fault and every doubt, each once for a load and server, with the number of rounds that had it.
fn wrong(runs: &[Run]) -> String {
    let mut found: Vec<(String, u64)> = Vec::new();
    for run in runs {
        let of = format!("{}, {}", run.load, run.server);
        let faults = run.faults.iter().map(|text| ("fault", text));
        let limits = run.tool_limits.iter().map(|text| ("tool limit", text));
        let told = faults.chain(limits);
        let told: BTreeSet<String> = told
            .map(|(kind, text)| format!("{of}: {kind}: {text}"))
            .collect();
        for text in told {
            match found.iter_mut().find(|(known, _)| *known == text) {
                Some((_, rounds)) => *rounds += 1,
                None => found.push((text, 1)),
            }
        }
    }
    if found.is_empty() {
        return "No run had a fault, in none was the tool the limit.\n".to_owned();
    }
    let items = found.iter().map(|(text, rounds)| {
        let word = if *rounds == 1 { "round" } else { "rounds" };
        format!("- {} ({rounds} {word})\n", plain(text))
    });
    items.collect()
}

/// Text that means nothing to Markdown; an underscore within a word means nothing anyway.
fn plain(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut letters = text.chars().peekable();
    let mut is_in_word = false;
    while let Some(letter) = letters.next() {
        let goes_on = letters.peek().is_some_and(|next| next.is_alphanumeric());
        match letter {
            '\n' | '\r' => plain.push(' '),
            '_' if is_in_word && goes_on => plain.push('_'),
            '\\' | '`' | '*' | '_' | '[' | ']' | '<' | '>' | '|' | '#' | '&' | '~' => {
                plain.extend(['\\', letter]);
            }
            _ => plain.push(letter),
        }
        is_in_word = letter.is_alphanumeric();
    }
    plain
}

/// Text as code, between more backticks than any run of them within.
fn code(text: &str) -> String {
    let runs = text.split(|letter| letter != '`').map(str::len);
    let fence = "`".repeat(runs.max().unwrap_or(0) + 1);
    let blank = if fence.len() > 1 { " " } else { "" };
    format!("{fence}{blank}{text}{blank}{fence}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::machine::Machine;
    use crate::result::Metric;

    fn row(load: &str, server: &str) -> Row {
        Row {
            load: load.into(),
            server: server.into(),
            viewers: 100,
            channels: 1,
            cpu_s_per_gb: Some(0.25),
            ..Row::default()
        }
    }

    #[test]
    fn each_load_has_a_heading_and_a_table_with_every_column() {
        let mut counting = row("B", "x|y");
        counting.about = "idle".into();
        counting.metrics = vec![Metric {
            name: "a_total".into(),
            per_s: 1234.0,
            per_mb: None,
        }];
        let text = of(&[row("A", "x"), row("A", "y"), counting], &[]);
        let lines: Vec<&str> = text.lines().collect();
        let at = |line: &str| lines.iter().position(|it| *it == line).unwrap();
        assert_eq!(lines[at("## A") + 2], "100 viewers, 1 channels");
        assert_eq!(lines[at("## B") + 2], "idle");
        let table = &lines[at("## A") + 4..at("## A") + 8];
        for line in table {
            assert_eq!(line.split(" | ").count(), HEADINGS.len(), "{line}");
        }
        assert!(table[2].starts_with("| x | 0 | 0.00 | 0.250 | - |"));
        assert!(
            text.contains("\n| x\\|y | a_total | 1234 | - |\n"),
            "{text}"
        );
    }

    #[test]
    fn machine_commits_and_commands_are_told_once_and_without_paths() {
        let run = |round: u64| Run {
            server: "x".into(),
            commit: "abc".into(),
            command: format!("/opt/b/corecast-load viewers --json /tmp/{round} --round {round}"),
            machine: Machine {
                kernel: "6.1".into(),
                cpu: "X 9".into(),
                cpus: 2,
            },
            ..Run::default()
        };
        let text = of(&[], &[run(1), run(2)]);
        assert!(text.contains("Measured on 2 x X 9, Linux 6.1.\nServers: x abc.\n"));
        assert!(text.ends_with("## Commands\n\n- `corecast-load viewers`\n"));
        assert!(!text.contains("/opt") && !text.contains("/tmp"), "{text}");
    }

    #[test]
    fn fault_of_several_rounds_is_told_once_with_their_number() {
        let run = |server: &str, fault: &str| Run {
            load: "A".into(),
            server: server.into(),
            faults: vec![fault.into()],
            ..Run::default()
        };
        let mut limited = run("y", "torn_*");
        limited.tool_limits = vec!["busy".into()];
        let runs = [
            run("x", "lost"),
            run("x", "lost"),
            run("x", "torn"),
            limited,
        ];
        let wanted = "- A, x: fault: lost (2 rounds)\n- A, x: fault: torn (1 round)\n\
            - A, y: fault: torn\\_\\* (1 round)\n- A, y: tool limit: busy (1 round)\n";
        assert_eq!(wrong(&runs), wanted);
        assert!(of(&[], &[]).contains("No run had a fault"));
    }

    #[test]
    fn text_means_nothing_to_markdown() {
        let told = plain("a_b _c_ *d* <e>\n|f");
        assert_eq!(told, r"a_b \_c\_ \*d\* \<e\> \|f");
    }

    #[test]
    fn code_with_backticks_stays_code() {
        assert_eq!(code("a b"), "`a b`");
        assert_eq!(code("a ``b` c"), "``` a ``b` c ```");
    }
}
