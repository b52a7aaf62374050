//! `corecast-load`: measures live-TV relays, corecast or any other.

mod clock;
mod measure;
mod report;
mod result;
mod source;
mod spread;
mod viewers;

use std::io::Write;
use std::process::ExitCode;

use clap::Parser;

/// Measures live-TV relays: an upstream, viewers, a report.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

// Of an option that is given twice the last counts, so a script can have its own defaults.
#[derive(clap::Subcommand)]
enum Command {
    /// One or many runs as a table, lines of JSON, and a page with charts
    Report(report::Options),
    /// An upstream that is honest about time: numbered packets over HTTP, or an AceStream engine
    #[command(args_override_self = true)]
    Source(source::Options),
    /// Many viewers at once, some of which check every packet
    #[command(args_override_self = true)]
    Viewers(Box<viewers::Options>),
}

fn main() -> ExitCode {
    let mut out = std::io::stdout().lock();
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            // Nobody is there to be told that nobody can be told.
            error.print().unwrap_or_default();
            return ExitCode::from(if error.use_stderr() { USAGE } else { 0 });
        }
    };
    let done = match arguments.command {
        Command::Report(options) => report::run(&options, &mut out).map_err(told),
        Command::Source(options) => source::run(options, &mut out).map(|()| true).map_err(told),
        Command::Viewers(options) => viewers::run(&options, &mut out).map_err(told),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(FAULTS),
        Err(text) => {
            writeln!(std::io::stderr(), "corecast-load: {text}").unwrap_or_default();
            ExitCode::from(ENVIRONMENT)
        }
    }
}

/// An error with everything that it comes from.
fn told(error: impl std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

/// Something was lost, torn, late or refused that should not have been.
const FAULTS: u8 = 1;
/// The command line is wrong.
const USAGE: u8 = 64;
/// The system refused something.
const ENVIRONMENT: u8 = 69;
