//! `corecast-load report`: one or many runs as a table, as lines of JSON, as Markdown, and as one page with charts.
//!
//! Medians belong in `group.rs`, text and cells in `table.rs`, each other form in its own file. The rule: everything shown is
//! computed here from results alone, so whoever has the file has the figures.

mod chart;
mod command;
mod group;
mod markdown;
mod page;
mod table;

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use crate::result::Run;

/// What is to be reported, and how.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Options {
    /// Files with results, one JSON line each
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// Write one page with charts, which loads nothing from anywhere
    #[arg(long)]
    html: Option<PathBuf>,
    /// Write the medians of each load and server, one JSON line each
    #[arg(long)]
    json: Option<PathBuf>,
    /// Write the same as Markdown
    #[arg(long)]
    markdown: Option<PathBuf>,
    /// The server that all others are compared with, round by round
    #[arg(long, default_value = "reference")]
    reference: String,
}

/// Reads all results and writes what is asked for; true if no run had a fault.
///
/// # Errors
/// If a file cannot be read or written, or a line is no result.
pub(crate) fn run(options: &Options, out: &mut impl Write) -> Result<bool, ReportError> {
    let mut runs = Vec::new();
    for path in &options.files {
        runs.extend(read(path)?);
    }
    let rows = group::rows(&runs, &options.reference);
    write!(out, "{}", table::of(&rows)).map_err(ReportError::Print)?;
    if let Some(path) = &options.json {
        let lines = rows.iter().map(|row| {
            let mut line = serde_json::to_string(row).unwrap_or_default();
            line.push('\n');
            line
        });
        write_file(path, &lines.collect::<String>())?;
    }
    if let Some(path) = &options.html {
        write_file(path, &page::of(&rows, &runs))?;
    }
    if let Some(path) = &options.markdown {
        write_file(path, &markdown::of(&rows, &runs))?;
    }
    Ok(runs.iter().all(|run| run.faults.is_empty()))
}

/// One run, as it is told on a terminal.
pub(crate) fn one(run: &Run) -> String {
    table::one(run)
}

fn read(path: &Path) -> Result<Vec<Run>, ReportError> {
    let text = fs::read_to_string(path).map_err(|error| ReportError::Read {
        path: path.to_owned(),
        error,
    })?;
    let lines = text
        .lines()
        .enumerate()
        .filter(|(_, line)| !line.is_empty());
    lines
        .map(|(index, line)| {
            serde_json::from_str(line).map_err(|error| ReportError::Line {
                path: path.to_owned(),
                line: index + 1,
                error,
            })
        })
        .collect()
}

fn write_file(path: &Path, text: &str) -> Result<(), ReportError> {
    fs::write(path, text).map_err(|error| ReportError::Write {
        path: path.to_owned(),
        error,
    })
}

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReportError {
    #[error("line {line} of {path} is no result")]
    Line {
        path: PathBuf,
        line: usize,
        #[source]
        error: serde_json::Error,
    },
    #[error("write to standard output failed")]
    Print(#[source] std::io::Error),
    #[error("read results from {path} failed")]
    Read {
        path: PathBuf,
        #[source]
        error: std::io::Error,
    },
    #[error("write the report to {path} failed")]
    Write {
        path: PathBuf,
        #[source]
        error: std::io::Error,
    },
}
