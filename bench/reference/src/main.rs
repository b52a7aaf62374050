//! corecast-reference: the yardstick that every benchmark of corecast divides by.
//!
//! The simplest relay that is correct: one thread, epoll, one 32 KiB buffer per channel, one `send` per viewer and
//! piece. It is frozen, so that ratios to it can be compared over the years: a change of what it does per packet makes
//! every figure published before worthless.
//!
//! # What it does
//!
//! - Upstreams are fetched from the start on, watched or not; the first `--upstream` is channel 1, `/1.ts` under any path.
//! - A body that is chunked, has a length, or ends with the connection comes out byte for byte. It is believed to be
//!   whole packets from its first byte on.
//! - A buffer is sent when no further packet fits, or when its first packet is 40 ms old: whole packets alone.
//! - A viewer gets everything from the first piece after its request on. What its socket does not take is kept, up to
//!   8 MiB beside what the kernel holds; a viewer further behind is reset. No viewer ever waits for another.
//! - The end of an upstream is the end of its viewers, after they have had the rest; after the last one the process ends.
//!
//! What it lacks on purpose: several threads, a history for those who come later or fall behind, packet repair,
//! reconnects, accounts, metrics.
//!
//! This file reads the command line and names the outcome; [`relay`] is the loop.

mod body;
mod relay;
mod upstream;
mod viewer;

use std::env;
use std::io::{self, Write};
use std::net::{SocketAddr, TcpListener};
use std::process::ExitCode;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use thiserror::Error;

use crate::relay::Relay;
use crate::upstream::{Upstream, UpstreamError};

fn main() -> ExitCode {
    let outcome = Options::read(env::args().skip(1))
        .map_err(StartError::from)
        .and_then(|options| run(&options));
    let Err(error) = outcome else {
        return ExitCode::SUCCESS;
    };
    say(&format!("ERROR {error}"));
    match error {
        StartError::Options(_) => {
            say(USAGE);
            ExitCode::from(64)
        }
        _ => ExitCode::from(69),
    }
}

/// Connects, listens, says so, and relays until every upstream has ended.
fn run(options: &Options) -> Result<(), StartError> {
    let own_files = OWN_FILES + options.upstreams.len();
    let viewers_max = raise_open_files().saturating_sub(own_files);
    let upstreams = options
        .upstreams
        .iter()
        .map(|url| Upstream::open(url))
        .collect::<Result<Vec<_>, _>>()?;
    let channels = upstreams.len();
    let listener = listen(options.listen).map_err(|source| StartError::Listen {
        address: options.listen,
        source,
    })?;
    let address = listener.local_addr().map_err(StartError::Relay)?;
    let relay = Relay::new(listener, upstreams, viewers_max).map_err(StartError::Relay)?;
    say(&format!("INFO ready listen={address} channels={channels}"));
    relay.run().map_err(StartError::Relay)
}

/// Opens the viewers' listener with a queue that takes a ramp of thousands.
fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let listener = TcpListener::bind(address)?;
    rustix::net::listen(&listener, BACKLOG)?;
    Ok(listener)
}

/// Raises the limit on open files as far as it goes and returns it.
fn raise_open_files() -> usize {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    let current = match setrlimit(Resource::Nofile, raised) {
        Ok(()) => limit.maximum,
        Err(_) => limit.current,
    };
    current.map_or(usize::MAX, |files| {
        usize::try_from(files).unwrap_or(usize::MAX)
    })
}

/// What the command line asks for.
#[derive(Debug, PartialEq, Eq)]
struct Options {
    /// The channels in order: the first is channel 1.
    upstreams: Vec<String>,
    listen: SocketAddr,
}

impl Options {
    fn read(arguments: impl Iterator<Item = String>) -> Result<Self, OptionsError> {
        let mut upstreams = Vec::new();
        let mut listen = None;
        let mut arguments = arguments;
        while let Some(name) = arguments.next() {
            let value =
                |value: Option<String>| value.ok_or_else(|| OptionsError::Valueless(name.clone()));
            match name.as_str() {
                "--upstream" => upstreams.push(value(arguments.next())?),
                "--listen" => {
                    let text = value(arguments.next())?;
                    listen = Some(text.parse().map_err(|source| OptionsError::Address {
                        text: text.clone(),
                        source,
                    })?);
                }
                _ => return Err(OptionsError::Unknown(name)),
            }
        }
        if upstreams.is_empty() {
            return Err(OptionsError::Missing("--upstream"));
        }
        let listen = listen.ok_or(OptionsError::Missing("--listen"))?;
        Ok(Self { upstreams, listen })
    }
}

/// A command line that asks for nothing.
#[derive(Debug, PartialEq, Eq, Error)]
enum OptionsError {
    #[error("--listen {text} is no address: IP:PORT is allowed")]
    Address {
        text: String,
        source: std::net::AddrParseError,
    },
    #[error("{0} is missing")]
    Missing(&'static str),
    #[error("unknown argument {0}")]
    Unknown(String),
    #[error("{0} has no value")]
    Valueless(String),
}

/// Why nothing is relayed.
#[derive(Debug, Error)]
enum StartError {
    #[error("listening on {address} failed: {source}")]
    Listen {
        address: SocketAddr,
        source: io::Error,
    },
    #[error(transparent)]
    Options(#[from] OptionsError),
    #[error("waiting for sockets failed: {0}")]
    Relay(io::Error),
    #[error(transparent)]
    Upstream(#[from] UpstreamError),
}

/// Writes a line to standard error; nobody is left to tell if that fails.
pub(crate) fn say(line: &str) {
    let _written = writeln!(io::stderr(), "{line}");
}

const USAGE: &str =
    "usage: corecast-reference --upstream http://HOST:PORT/PATH ... --listen IP:PORT";

/// Connections that wait to be accepted.
const BACKLOG: i32 = 4096;

/// Descriptors that are neither a viewer's nor an upstream's: standard ones, listener, epoll, one being turned away.
const OWN_FILES: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Result<Options, OptionsError> {
        Options::read(line.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn upstreams_keep_their_order() {
        let options = read("--upstream http://a/1 --listen 127.0.0.1:0 --upstream http://b/2");
        let expected = Options {
            upstreams: vec!["http://a/1".into(), "http://b/2".into()],
            listen: "127.0.0.1:0".parse().unwrap(),
        };
        assert_eq!(options.unwrap(), expected);
    }

    #[test]
    fn what_is_missing_or_unknown_is_named() {
        for (line, message) in [
            ("--listen 127.0.0.1:0", "--upstream is missing"),
            ("--upstream http://a/", "--listen is missing"),
            ("--upstream", "--upstream has no value"),
            ("--threads 2", "unknown argument --threads"),
            (
                "--listen here",
                "--listen here is no address: IP:PORT is allowed",
            ),
        ] {
            assert_eq!(read(line).unwrap_err().to_string(), message);
        }
    }
}
