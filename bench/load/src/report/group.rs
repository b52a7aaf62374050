//! From runs to one row for each load and server: medians over rounds, and ratios within a round. (pure)
//!
//! The rule: a ratio compares runs of the same round, made one after the other, because an absolute figure of a shared
//! machine says little on another day; the median is taken of ratios, never a ratio of medians.

use serde::Serialize;

use crate::result::{Metric, Run};
use crate::spread::{Spread, to_f64};

/// One server under one load.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(crate) struct Row {
    pub(crate) load: String,
    /// What the load is, if its caller says.
    pub(crate) about: String,
    pub(crate) server: String,
    pub(crate) commit: String,
    pub(crate) rounds: u64,
    pub(crate) viewers: u64,
    pub(crate) channels: u64,
    pub(crate) gbit_per_s: f64,
    pub(crate) cpu_s_per_gb: Option<f64>,
    /// The least and the most of all rounds.
    pub(crate) cpu_s_per_gb_range: Option<(f64, f64)>,
    /// CPU per GB in units of the reference's in the same round.
    pub(crate) cpu_ratio: Option<f64>,
    /// The least and the most of all rounds.
    pub(crate) cpu_ratio_range: Option<(f64, f64)>,
    /// CPU of the server, as per cent of one CPU.
    pub(crate) cpu_percent: Option<f64>,
    /// Share of all CPUs of the machine that was busy.
    pub(crate) machine_busy: f64,
    /// CPU of the viewers in units of the server's.
    pub(crate) tool_ratio: Option<f64>,
    pub(crate) delay_p50_us: Option<f64>,
    pub(crate) delay_p99_us: Option<f64>,
    pub(crate) delay_p999_us: Option<f64>,
    pub(crate) delay_max_us: Option<f64>,
    pub(crate) delay_curve: Vec<(f64, f64)>,
    pub(crate) gap_p99_us: Option<f64>,
    pub(crate) join_byte_p50_us: Option<f64>,
    pub(crate) join_byte_p99_us: Option<f64>,
    pub(crate) join_key_p50_us: Option<f64>,
    pub(crate) first_age_p50_us: Option<f64>,
    pub(crate) memory_per_viewer_bytes: Option<f64>,
    pub(crate) memory_loaded_bytes: Option<f64>,
    pub(crate) metrics: Vec<Metric>,
    /// Rounds in which something was wrong.
    pub(crate) faulty_rounds: u64,
    /// Rounds in which the tool may have been the limit.
    pub(crate) limited_rounds: u64,
}

/// A row for each load and server, in the order in which they first appear; loads stay together.
pub(crate) fn rows(runs: &[Run], reference: &str) -> Vec<Row> {
    let mut loads: Vec<&str> = Vec::new();
    for run in runs {
        if !loads.contains(&run.load.as_str()) {
            loads.push(&run.load);
        }
    }
    let mut rows = Vec::new();
    for load in loads {
        let of_load: Vec<&Run> = runs.iter().filter(|run| run.load == load).collect();
        let mut servers: Vec<&str> = Vec::new();
        for run in &of_load {
            if !servers.contains(&run.server.as_str()) {
                servers.push(&run.server);
            }
        }
        let of_server = |server: &str| -> Vec<&Run> {
            let runs = of_load.iter().filter(|run| run.server == server);
            runs.copied().collect()
        };
        let measure = of_server(reference);
        rows.extend(
            servers
                .iter()
                .map(|server| row(&of_server(server), &measure)),
        );
    }
    rows
}

/// The rows of each load, which lie together.
pub(crate) fn loads(rows: &[Row]) -> Vec<(&str, Vec<&Row>)> {
    let mut loads: Vec<(&str, Vec<&Row>)> = Vec::new();
    for row in rows {
        match loads.last_mut() {
            Some((load, of_load)) if *load == row.load => of_load.push(row),
            _ => loads.push((&row.load, vec![row])),
        }
    }
    loads
}

fn row(runs: &[&Run], reference: &[&Run]) -> Row {
    let Some(last) = runs.last() else {
        return Row::default();
    };
    let of = |value: &dyn Fn(&Run) -> f64| median(runs.iter().map(|run| value(run)));
    let some = |value: &dyn Fn(&Run) -> Option<f64>| {
        let values: Vec<f64> = runs.iter().filter_map(|run| value(run)).collect();
        (!values.is_empty()).then(|| median(values.iter().copied()))
    };
    let time = |which: &dyn Fn(&Run) -> &Spread, at: fn(&Spread) -> u64| {
        some(&|run| (which(run).count > 0).then(|| to_f64(at(which(run)))))
    };
    let count = |is_so: &dyn Fn(&Run) -> bool| runs.iter().filter(|run| is_so(run)).count() as u64;
    let cpu = |run: &Run| run.cpu.as_ref()?.server_s_per_gb;
    let range = |values: &[f64]| {
        let values = || values.iter().copied();
        values().reduce(f64::min).zip(values().reduce(f64::max))
    };
    let cpus: Vec<f64> = runs.iter().filter_map(|run| cpu(run)).collect();
    let ratios = runs.iter().filter_map(|run| {
        let beside = reference.iter().find(|it| it.round == run.round)?;
        let ratio = cpu(run)? / cpu(beside)?;
        ratio.is_finite().then_some(ratio)
    });
    let ratios: Vec<f64> = ratios.collect();
    Row {
        load: last.load.clone(),
        about: last.about.clone(),
        server: last.server.clone(),
        commit: last.commit.clone(),
        rounds: runs.len() as u64,
        viewers: last.crowd.steady,
        channels: last.crowd.channels,
        gbit_per_s: of(&|run| run.gbit_per_s),
        cpu_s_per_gb: some(&cpu),
        cpu_s_per_gb_range: range(&cpus),
        cpu_ratio_range: range(&ratios),
        cpu_ratio: (!ratios.is_empty()).then(|| median(ratios.into_iter())),
        cpu_percent: some(&|run| Some(run.cpu.as_ref()?.server_s / run.window_s.max(1e-9) * 100.0)),
        machine_busy: of(&|run| run.machine_use.busy_s / run.machine_use.all_s.max(1e-9)),
        tool_ratio: some(&|run| {
            let server_s = run.cpu.as_ref()?.server_s;
            (server_s > 0.0).then(|| run.tool.cpu_s / server_s)
        }),
        delay_p50_us: time(&|run| &run.delay_us, |it| it.p50),
        delay_p99_us: time(&|run| &run.delay_us, |it| it.p99),
        delay_p999_us: time(&|run| &run.delay_us, |it| it.p999),
        delay_max_us: time(&|run| &run.delay_us, |it| it.max),
        delay_curve: curve(runs),
        gap_p99_us: time(&|run| &run.gap_us, |it| it.p99),
        join_byte_p50_us: time(&|run| &run.join_byte_us, |it| it.p50),
        join_byte_p99_us: time(&|run| &run.join_byte_us, |it| it.p99),
        join_key_p50_us: time(&|run| &run.join_key_us, |it| it.p50),
        first_age_p50_us: time(&|run| &run.first_age_us, |it| it.p50),
        memory_per_viewer_bytes: some(&|run| run.memory.as_ref()?.per_viewer_bytes),
        memory_loaded_bytes: some(&|run| Some(to_f64(run.memory.as_ref()?.loaded_bytes))),
        metrics: metrics(runs),
        faulty_rounds: count(&|run| !run.faults.is_empty()),
        limited_rounds: count(&|run| !run.tool_limits.is_empty()),
    }
}

/// The median of each metric over the rounds that have it.
fn metrics(runs: &[&Run]) -> Vec<Metric> {
    let all = || runs.iter().flat_map(|run| &run.metrics);
    let mut names: Vec<&str> = Vec::new();
    for metric in all() {
        if !names.contains(&metric.name.as_str()) {
            names.push(&metric.name);
        }
    }
    let metric = |name: &str| {
        let of_name = || all().filter(|metric| metric.name == name);
        let per_mb: Vec<f64> = of_name().filter_map(|metric| metric.per_mb).collect();
        Metric {
            name: name.to_owned(),
            per_s: median(of_name().map(|metric| metric.per_s)),
            per_mb: (!per_mb.is_empty()).then(|| median(per_mb.into_iter())),
        }
    };
    names.into_iter().map(metric).collect()
}

/// The median delay at each quantile that all rounds have.
fn curve(runs: &[&Run]) -> Vec<(f64, f64)> {
    let Some(first) = runs.first() else {
        return Vec::new();
    };
    let quantiles = first.delay_curve.iter().enumerate();
    quantiles
        .map(|(place, (quantile, _))| {
            let at = runs.iter().filter_map(|run| run.delay_curve.get(place));
            (*quantile, median(at.map(|(_, delay)| to_f64(*delay))))
        })
        .collect()
}

/// The middle one, or the mean of the two in the middle; 0 of nothing.
fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    let at = |place: usize| values.get(place).copied().unwrap_or(0.0);
    let half = values.len() / 2;
    if values.len() % 2 == 1 {
        at(half)
    } else {
        f64::midpoint(at(half.saturating_sub(1)), at(half))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::result::Cpu;

    fn run(load: &str, server: &str, round: u64, cpu: f64) -> Run {
        Run {
            load: load.into(),
            server: server.into(),
            round,
            cpu: Some(Cpu {
                server_s_per_gb: Some(cpu),
                server_s: cpu,
                ..Cpu::default()
            }),
            ..Run::default()
        }
    }

    #[test]
    fn ratio_is_the_median_of_those_within_a_round() {
        let runs = [
            run("A", "corecast", 1, 0.2),
            run("A", "reference", 1, 0.4),
            run("A", "corecast", 2, 0.9),
            run("A", "reference", 2, 1.0),
            run("A", "corecast", 3, 0.1),
            run("A", "reference", 3, 0.4),
        ];
        let rows = rows(&runs, "reference");
        assert_eq!(rows.len(), 2);
        assert_eq!((rows[0].server.as_str(), rows[0].rounds), ("corecast", 3));
        assert_eq!(rows[0].cpu_s_per_gb, Some(0.2));
        assert_eq!(rows[0].cpu_s_per_gb_range, Some((0.1, 0.9)));
        assert_eq!(rows[0].cpu_ratio, Some(0.5));
        assert_eq!(rows[0].cpu_ratio_range, Some((0.25, 0.9)));
        assert_eq!(rows[1].cpu_ratio, Some(1.0));
    }

    #[test]
    fn loads_stay_apart_and_together() {
        let runs = [
            run("A", "x", 1, 1.0),
            run("B", "x", 1, 2.0),
            run("A", "y", 1, 3.0),
        ];
        let rows = rows(&runs, "reference");
        let names: Vec<_> = rows.iter().map(|it| (&*it.load, &*it.server)).collect();
        assert_eq!(names, [("A", "x"), ("A", "y"), ("B", "x")]);
        assert_eq!(rows[0].cpu_ratio, None);
    }

    #[test]
    fn rounds_with_faults_and_limits_are_counted() {
        let mut bad = run("A", "x", 1, 1.0);
        bad.faults.push("1 packets lost".into());
        let mut slow = run("A", "x", 2, 1.0);
        slow.tool_limits.push("busy".into());
        let rows = rows(&[bad, slow], "reference");
        assert_eq!((rows[0].faulty_rounds, rows[0].limited_rounds), (1, 1));
    }

    #[test]
    fn curve_is_the_median_at_each_quantile() {
        let with = |delays: [u64; 2]| Run {
            delay_curve: vec![(0.5, delays[0]), (0.9, delays[1])],
            ..Run::default()
        };
        let runs = [with([1, 10]), with([3, 30]), with([2, 90])];
        let rows = rows(&runs, "reference");
        assert_eq!(rows[0].delay_curve, [(0.5, 2.0), (0.9, 30.0)]);
    }

    #[test]
    fn metrics_and_times_are_medians_of_the_rounds_that_have_them() {
        let with = |per_s: f64, per_mb: Option<f64>, delay: u64| {
            let mut run = run("A", "x", 1, 1.0);
            run.metrics = vec![Metric {
                name: "a_total".into(),
                per_s,
                per_mb,
            }];
            run.window_s = 10.0;
            run.delay_us = Spread {
                count: delay,
                p50: delay,
                ..Spread::default()
            };
            run
        };
        let mut silent = with(0.0, None, 0);
        silent.metrics.clear();
        let runs = [with(4.0, Some(2.0), 300), with(2.0, None, 100), silent];
        let rows = rows(&runs, "reference");
        let metric = &rows[0].metrics[0];
        assert_eq!((metric.per_s, metric.per_mb), (3.0, Some(2.0)));
        assert_eq!(rows[0].metrics.len(), 1);
        assert_eq!(rows[0].delay_p50_us, Some(200.0));
        assert_eq!(rows[0].join_byte_p50_us, None);
        assert_eq!(rows[0].cpu_percent, Some(10.0));
    }

    #[test]
    fn median_of_few() {
        assert!(median([].into_iter()).abs() < 1e-12);
        assert!((median([4.0, 1.0].into_iter()) - 2.5).abs() < 1e-12);
        assert!((median([4.0, 1.0, 9.0].into_iter()) - 4.0).abs() < 1e-12);
    }
}
