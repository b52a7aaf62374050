//! The report as one page that loads nothing from anywhere. (pure)

use std::collections::BTreeSet;

use super::chart::{bars, curves, escaped};
use super::command::commands;
use super::group::{Row, loads};
use super::table::{HEADINGS, METRIC_HEADINGS, about, cells, metrics};
use crate::result::Run;

/// The page of all rows; the runs say where and how they were made.
pub(crate) fn of(rows: &[Row], runs: &[Run]) -> String {
    let sections = loads(rows)
        .into_iter()
        .map(|(load, rows)| section(load, &rows));
    let sections: String = sections.collect();
    let (made, faults) = (made(runs), wrong(runs));
    format!(
        "<!doctype html>\n<html lang='en'>\n<head>\n<meta charset='utf-8'>\n\
         <meta name='viewport' content='width=device-width'>\n<title>corecast-load</title>\n\
         <style>{STYLE}</style>\n</head>\n<body>\n<h1>Load report</h1>\n{made}{faults}{sections}\
         </body>\n</html>\n"
    )
}

fn section(load: &str, rows: &[&Row]) -> String {
    let figures = table(&HEADINGS, rows.iter().map(|row| cells(row)));
    let metrics = metrics(rows);
    let counters = if metrics.is_empty() {
        String::new()
    } else {
        table(&METRIC_HEADINGS, metrics.into_iter())
    };
    let measured = |value: fn(&Row) -> Option<f64>| -> Vec<(String, f64)> {
        let values = rows
            .iter()
            .filter_map(|row| Some((row.server.clone(), value(row)?)));
        values.collect()
    };
    let mut charts = String::new();
    let cpu = measured(|row| row.cpu_s_per_gb);
    if !cpu.is_empty() {
        charts += &bars("CPU seconds per GB delivered", &cpu, |it| {
            format!("{it:.3}")
        });
    }
    let delays: Vec<_> = rows
        .iter()
        .map(|row| (row.server.clone(), row.delay_curve.clone()))
        .collect();
    charts += &curves("Delay from source to viewer, by share of packets", &delays);
    let memory = measured(|row| row.memory_per_viewer_bytes);
    if !memory.is_empty() {
        let show = |it: f64| format!("{:.1} KiB", it / 1024.0);
        charts += &bars("Memory of the server per viewer", &memory, show);
    }
    let (load, about) = (escaped(load), escaped(&about(rows)));
    format!("<section>\n<h2>{load}</h2>\n<p>{about}</p>\n{figures}{counters}{charts}</section>\n")
}

fn table<const N: usize>(headings: &[&str; N], lines: impl Iterator<Item = [String; N]>) -> String {
    let headings = headings.map(|heading| format!("<th>{heading}</th>"));
    let lines = lines.map(|cells| {
        let cells = cells.map(|cell| format!("<td>{}</td>", escaped(&cell)));
        format!("<tr>{}</tr>\n", cells.concat())
    });
    format!(
        "<div class='wide'><table>\n<tr>{}</tr>\n{}</table></div>\n",
        headings.concat(),
        lines.collect::<String>()
    )
}

/// Machines, commits and commands, each once.
fn made(runs: &[Run]) -> String {
    let machines: BTreeSet<String> = runs
        .iter()
        .map(|run| {
            let machine = &run.machine;
            format!(
                "{} x {}, Linux {}",
                machine.cpus, machine.cpu, machine.kernel
            )
        })
        .collect();
    let commits: BTreeSet<String> = runs
        .iter()
        .filter(|run| !run.commit.is_empty())
        .map(|run| format!("{} {}", run.server, run.commit))
        .collect();
    let list = |all: BTreeSet<String>| -> String {
        let items = all
            .iter()
            .map(|it| format!("<li><code>{}</code></li>\n", escaped(it)));
        items.collect()
    };
    format!(
        "<ul>\n{}{}</ul>\n<details><summary>Commands</summary>\n<ul>\n{}</ul>\n</details>\n",
        list(machines),
        list(commits),
        list(commands(runs))
    )
}

/// Every fault and every doubt.
fn wrong(runs: &[Run]) -> String {
    let mut items = String::new();
    for run in runs {
        let of = format!("{}, {}, round {}", run.load, run.server, run.round);
        for (kind, texts) in [("fault", &run.faults), ("tool limit", &run.tool_limits)] {
            for text in texts {
                let item = escaped(&format!("{of}: {kind}: {text}"));
                items += &format!("<li>{item}</li>\n");
            }
        }
    }
    if items.is_empty() {
        return "<p>No run had a fault, in none was the tool the limit.</p>\n".to_owned();
    }
    format!("<h2>Faults and limits</h2>\n<ul>\n{items}</ul>\n")
}

const STYLE: &str = "\
body{font:15px/1.5 system-ui,sans-serif;max-width:1100px;margin:2em auto;padding:0 1em;\
color:#222;background:#fff}\
table{border-collapse:collapse;font-size:13px}\
th,td{text-align:right;padding:3px 8px;border-bottom:1px solid #ddd;white-space:nowrap}\
th:first-child,td:first-child{text-align:left}\
.wide{overflow-x:auto}\
svg{display:block;width:100%;max-width:760px;margin:1.5em 0;font-size:12px}\
svg text{fill:currentColor}\
.title{font-weight:bold;font-size:14px}\
.grid{stroke:#8886;fill:none}\
@media (prefers-color-scheme:dark){body{color:#ddd;background:#181818}th,td{border-color:#444}}";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::result::Metric;

    fn row(load: &str, server: &str) -> Row {
        Row {
            load: load.into(),
            server: server.into(),
            cpu_s_per_gb: Some(0.25),
            delay_curve: vec![(0.5, 1000.0), (0.99, 5000.0)],
            memory_per_viewer_bytes: Some(2048.0),
            ..Row::default()
        }
    }

    #[test]
    fn page_has_a_section_with_three_charts_for_each_load() {
        let page = of(&[row("A", "x"), row("A", "y"), row("B", "x")], &[]);
        assert_eq!(page.matches("<section>").count(), 2);
        assert_eq!(page.matches("<svg").count(), 6);
        assert!(page.contains("0.250") && page.contains("2.0 KiB"));
    }

    #[test]
    fn idle_load_has_no_chart_and_counters_have_a_table() {
        let idle = Row {
            load: "idle".into(),
            about: "nobody <watching>".into(),
            metrics: vec![Metric {
                name: "a_total".into(),
                ..Metric::default()
            }],
            ..Row::default()
        };
        let page = of(&[idle], &[]);
        assert!(!page.contains("<svg"));
        assert!(page.contains("<p>nobody &lt;watching&gt;</p>"));
        assert!(page.contains("<th>per MB</th>") && page.contains("<td>a_total</td>"));
        assert_eq!(of(&[row("A", "x")], &[]).matches("<table>").count(), 1);
    }

    #[test]
    fn page_loads_nothing() {
        let page = of(&[row("A", "x")], &[Run::default()]);
        for word in ["http:", "https:", "src=", "<link", "<script", "url("] {
            assert!(!page.contains(word), "{word}");
        }
    }

    #[test]
    fn faults_stand_on_the_page_and_cannot_break_it() {
        let run = Run {
            load: "<b>".into(),
            faults: vec!["1 packets lost".into()],
            ..Run::default()
        };
        let page = of(&[row("<b>", "x")], &[run]);
        assert!(page.contains("fault: 1 packets lost") && !page.contains("<b>"));
        assert!(of(&[], &[]).contains("No run had a fault"));
    }
}
