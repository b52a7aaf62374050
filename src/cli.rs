//! Arguments and subcommands.
//!
//! Serving belongs to `main.rs` and the shards. The rule: what was asked for goes to stdout, what went wrong to stderr, and
//! the exit code says which kind of wrong it was.

use std::env;
use std::io::{self, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use ::log::LevelFilter;
use clap::error::ErrorKind;
use clap::{Args, CommandFactory, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;

use crate::config::{self, Config, Flags, Inputs, Provenance, Shards};
use crate::log::{Format, Options};
use crate::preflight::{self, Requirement};

/// What the command line says.
#[derive(Clone, Debug, Parser)]
#[command(name = "corecast", version, about, long_about = None, max_term_width = 100, disable_help_subcommand = true)]
#[command(
    after_help = "A variable CORECAST_SECTION__KEY sets a key of the configuration. \
    Exit codes: 0 done, 64 bad command line, 69 the environment refuses, 70 a fault of ours, 78 bad configuration."
)]
pub struct Cli {
    /// What to do; nothing is to serve.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// The flags, which stand before or after the subcommand.
    #[command(flatten)]
    pub flags: Arguments,
}

/// The flags that every subcommand has.
#[derive(Args, Clone, Debug)]
pub struct Arguments {
    /// Configuration file [default: /etc/corecast/corecast.toml, else ./corecast.toml, else built-in defaults]
    #[arg(short, long, value_name = "FILE", global = true)]
    pub config: Option<PathBuf>,
    /// Address to listen on, as in `127.0.0.1:8000`, `[::1]:8000` or `unix:/run/corecast.sock`; may be repeated
    #[arg(short, long, value_name = "ADDRESS", global = true)]
    pub listen: Vec<String>,
    /// How many shards run: auto or a number
    #[arg(long, value_name = "COUNT", global = true)]
    pub shards: Option<String>,
    /// What is logged [default: RUST_LOG, else info]
    #[arg(long, value_name = "LEVEL", global = true)]
    pub log_level: Option<LogLevel>,
    /// How a log line looks
    #[arg(long, value_name = "FORMAT", global = true, default_value = "text")]
    pub log_format: LogFormat,
}

/// What to do.
#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// Serve; this is what happens without a subcommand
    Run,
    /// Validate the configuration, tell everything that is wrong with it, and exit
    Check {
        /// The file to validate [default: the one that would be used]
        file: Option<PathBuf>,
    },
    /// Print a configuration
    #[command(disable_help_subcommand = true)]
    Config {
        /// Which one
        #[command(subcommand)]
        print: Print,
    },
    /// Tell what the environment grants and refuses, each refusal with its cure
    Doctor,
    /// Print the completion script of a shell
    Completions {
        /// The shell
        shell: Shell,
    },
    /// Print the manual page
    Man,
    /// Exit with 0 if the corecast of this configuration is alive
    Healthcheck,
}

/// Which configuration to print.
#[derive(Clone, Copy, Debug, Subcommand)]
pub enum Print {
    /// The commented file with every key and its default
    Default,
    /// The result of file, variables and flags, each value with its origin
    Show,
}

/// What is logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogLevel {
    /// What stopped something.
    Error,
    /// What went wrong and is survived.
    Warn,
    /// What changes state.
    Info,
    /// What happens to single viewers.
    Debug,
    /// Everything.
    Trace,
}

/// How a log line looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// The level, then the message
    Text,
    /// A JSON object with time, level, target and message
    Json,
}

impl Cli {
    /// Reads the configuration that this command line and the process's environment ask for.
    ///
    /// # Errors
    /// [`config::ConfigErrors`] with everything that is wrong.
    pub fn load(&self) -> Result<(Config, Provenance), config::ConfigErrors> {
        Config::load(&self.inputs())
    }

    /// What the configuration is read from.
    #[must_use]
    pub fn inputs(&self) -> Inputs {
        let named = match &self.command {
            Some(Command::Check { file: Some(file) }) => Some(file),
            _ => self.flags.config.as_ref(),
        };
        Inputs {
            file: named.cloned(),
            flags: Flags {
                listen: self.flags.listen.clone(),
                shards: self.flags.shards.clone(),
            },
            variables: env::vars_os().collect(),
        }
    }

    /// How to log.
    #[must_use]
    pub fn log_options(&self) -> Options {
        Options {
            level: self.flags.log_level.map(LevelFilter::from),
            format: self.flags.log_format.into(),
            filters: env::var("RUST_LOG").ok(),
            is_journal: crate::log::is_journal(env::var("JOURNAL_STREAM").ok().as_deref()),
        }
    }
}

impl From<LogLevel> for LevelFilter {
    fn from(level: LogLevel) -> Self {
        match level {
            LogLevel::Debug => Self::Debug,
            LogLevel::Error => Self::Error,
            LogLevel::Info => Self::Info,
            LogLevel::Trace => Self::Trace,
            LogLevel::Warn => Self::Warn,
        }
    }
}

impl From<LogFormat> for Format {
    fn from(format: LogFormat) -> Self {
        match format {
            LogFormat::Json => Self::Json,
            LogFormat::Text => Self::Text,
        }
    }
}

/// How the process ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// What was asked for is done.
    Done = 0,
    /// The command line makes no sense.
    Usage = 64,
    /// The environment refuses: io_uring, locked memory, a port, a file that cannot be written.
    Environment = 69,
    /// A fault of ours.
    Internal = 70,
    /// The configuration is wrong.
    Config = 78,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// Reads the command line. Help, the version and what is wrong are printed here.
///
/// # Errors
/// How to end at once: [`Exit::Done`] after help or the version, [`Exit::Usage`] otherwise.
pub fn parse() -> Result<Cli, Exit> {
    Cli::try_parse().map_err(|error| {
        let exit = match error.kind() {
            ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => Exit::Done,
            _ => Exit::Usage,
        };
        match error.print() {
            Ok(()) => exit,
            Err(refusal) => written(exit, &refusal),
        }
    })
}

/// Runs a subcommand that prints and ends; `None` means to serve.
#[must_use]
pub fn run_subcommand(cli: &Cli) -> Option<Exit> {
    let exit = match cli.command.as_ref()? {
        Command::Run => return None,
        Command::Check { .. } => check(cli),
        Command::Completions { shell } => completions(*shell),
        Command::Config {
            print: Print::Default,
        } => print(config::EXAMPLE),
        Command::Config { print: Print::Show } => with_config(cli, |config, provenance| {
            print(&config::show(config, provenance))
        }),
        Command::Doctor => with_config(cli, |config, _| doctor(config)),
        Command::Healthcheck => with_config(cli, |config, _| healthcheck(config)),
        Command::Man => man(),
    };
    Some(exit)
}

/// Prints to stderr, for what is said before there is a log.
///
/// A stderr that takes nothing is no reason to stop: the exit code still tells.
pub fn complain(text: &str) {
    if writeln!(io::stderr(), "{text}").is_err() {
        // Nowhere is left to say so.
    }
}

fn with_config(cli: &Cli, then: impl FnOnce(&Config, &Provenance) -> Exit) -> Exit {
    match cli.load() {
        Ok((config, provenance)) => then(&config, &provenance),
        Err(errors) => {
            complain(&errors.to_string());
            Exit::Config
        }
    }
}

fn check(cli: &Cli) -> Exit {
    with_config(cli, |config, provenance| {
        let file = provenance.file().map(|file| file.display().to_string());
        let what = file.unwrap_or_else(|| "no file, built-in defaults".into());
        let (channels, accounts) = (config.channels.len(), config.accounts.len());
        print(&format!(
            "{what}: valid, channels={channels} accounts={accounts}\n"
        ))
    })
}

fn doctor(config: &Config) -> Exit {
    let shards = match config.server.shards {
        Shards::Auto => preflight::usable_cpus().len(),
        Shards::Count(count) => count.get(),
    };
    let requirements = preflight::doctor(config, shards);
    let lines: String = requirements
        .iter()
        .map(|requirement| format!("{requirement}\n"))
        .collect();
    match (
        print(&lines),
        requirements.iter().any(Requirement::is_failure),
    ) {
        (_, true) => Exit::Environment,
        (exit, false) => exit,
    }
}

fn completions(shell: Shell) -> Exit {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "corecast", &mut script);
    print_bytes(&script)
}

fn man() -> Exit {
    let mut page = Vec::new();
    match clap_mangen::Man::new(Cli::command()).render(&mut page) {
        Ok(()) => print_bytes(&page),
        Err(refusal) => {
            complain(&format!("making the manual page failed: {refusal}"));
            Exit::Internal
        }
    }
}

fn healthcheck(config: &Config) -> Exit {
    let address = reachable(config.admin.listen);
    let ask = move || preflight::status_of(address, &address.to_string(), "/healthz", HEALTH_LIMIT);
    let seen = match preflight::within(HEALTH_LIMIT, ask) {
        Some(Ok(200)) => return Exit::Done,
        Some(Ok(status)) => format!("status {status}"),
        Some(Err(refusal)) => refusal.to_string(),
        None => format!("no answer within {} ms", HEALTH_LIMIT.as_millis()),
    };
    complain(&format!(
        "GET http://{address}/healthz failed: {seen}, status 200 is healthy"
    ));
    Exit::Environment
}

/// Where to ask a listener of this host: one that listens everywhere is asked on loopback.
fn reachable(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, listen.port())
}

fn print(text: &str) -> Exit {
    print_bytes(text.as_bytes())
}

/// Prints to stdout.
fn print_bytes(bytes: &[u8]) -> Exit {
    let mut out = io::stdout().lock();
    match out.write_all(bytes).and_then(|()| out.flush()) {
        Ok(()) => Exit::Done,
        Err(refusal) => written(Exit::Done, &refusal),
    }
}

/// How to end when printing failed: a reader that has seen enough is no fault, a full disk is.
fn written(exit: Exit, refusal: &io::Error) -> Exit {
    if refusal.kind() == io::ErrorKind::BrokenPipe {
        return exit;
    }
    complain(&format!("writing the answer failed: {refusal}"));
    match exit {
        Exit::Done => Exit::Environment,
        other => other,
    }
}

/// How long a health check may take.
const HEALTH_LIMIT: Duration = Duration::from_secs(3);

#[cfg(test)]
mod tests;
