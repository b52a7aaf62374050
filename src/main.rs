//! Reads arguments and configuration, runs the shards, and maps the outcome to an exit code.

use std::error::Error;
use std::os::fd::OwnedFd;
use std::process::ExitCode;
use std::sync::Arc;

use corecast::account::login;
use corecast::cli::{self, Cli, Exit};
use corecast::config::{Config, Inputs};
use corecast::playlist::Lists;
use corecast::playlist::stock::stock;
use corecast::preflight::State;
use corecast::shard::placement::Placement;
use corecast::shard::start::{self, ServeError};
use corecast::supervisor::inherit::{InheritError, Inherited};
use corecast::upstream::error::Chain;
use corecast::{log as own_log, preflight};

fn main() -> ExitCode {
    let cli = match cli::parse() {
        Ok(cli) => cli,
        Err(exit) => return exit.into(),
    };
    let exit = cli::run_subcommand(&cli).unwrap_or_else(|| run(&cli));
    exit.into()
}

/// Serves until asked to stop.
fn run(cli: &Cli) -> Exit {
    // Before anything is opened: what has no number of its own yet could be taken for what was inherited.
    let inherited = Inherited::take(|name| std::env::var_os(name));
    // Then: a request to reload that comes while the configuration is read must not end the process.
    let hangups = match start::hangups() {
        Ok(hangups) => hangups,
        Err(error) => {
            cli::complain(&chain(&error));
            return Exit::Environment;
        }
    };
    let (config, inputs) = match cli.load() {
        Ok((config, provenance)) => (config, cli.inputs().again(&provenance)),
        Err(errors) => {
            cli::complain(&errors.to_string());
            return Exit::Config;
        }
    };
    if let Err(error) = own_log::install(&cli.log_options()) {
        cli::complain(&chain(&error));
        return Exit::Environment;
    }
    let exit = serve(config, inputs, hangups, inherited);
    own_log::flush();
    exit
}

fn serve(
    mut config: Config,
    inputs: Inputs,
    hangups: OwnedFd,
    taken: Result<Inherited, InheritError>,
) -> Exit {
    let applied = taken.and_then(|inherited| inherited.apply(&mut config).map(|()| inherited));
    let inherited = match applied {
        Ok(inherited) => inherited,
        Err(error) => {
            log::error!("{}", chain(&error));
            return match error.is_of_config() {
                true => Exit::Config,
                false => Exit::Environment,
            };
        }
    };
    let cpus = preflight::usable_cpus();
    let mut placement = Placement::new(&cpus, config.server.shards, config.server.pin);
    let granted = match preflight::check_start(&config, placement.cpus.len(), &inherited) {
        Ok(granted) => granted,
        Err(refused) => {
            for line in refused.to_string().lines() {
                log::error!("{line}");
            }
            return Exit::Environment;
        }
    };
    for warning in &granted.warnings {
        if let State::Warn { detail, cure } = &warning.state {
            log::warn!("{}: {detail}: {cure}", warning.name);
        }
    }
    if !granted.pin {
        placement = Placement::new(&cpus, config.server.shards, false);
    }
    let config = stock(config, &Lists::default(), login::unix_seconds());
    match start::serve(
        Arc::new(config),
        inputs,
        hangups,
        &placement,
        granted.connections,
        inherited,
    ) {
        Ok(()) => Exit::Done,
        Err(error) => {
            log::error!("{}", chain(&error));
            match error {
                ServeError::ShardEnded { .. } => Exit::Internal,
                ServeError::Executor { .. }
                | ServeError::Listen(_)
                | ServeError::NotStarted { .. }
                | ServeError::Signals(_) => Exit::Environment,
            }
        }
    }
}

fn chain(error: &dyn Error) -> String {
    Chain(error).to_string()
}
