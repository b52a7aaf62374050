//! What the environment must grant, asked before anything is started, each refusal with its cure.
//!
//! What the operator decides belongs in `config`. The rule: glommio panics or kills the process where the kernel refuses it
//! something, so it is never started where it would; and nothing here changes the host beyond this process's own limits.

mod certificates;
mod http_get;
mod kernel;
mod limits;
mod port;
mod socket_file;

use std::fmt;
use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use url::Url;

pub use http_get::status_of;
pub use limits::{OpenFiles, raise_open_files};

use crate::config::{Config, HiddenUrl, Listen, Upstream};
use crate::supervisor::inherit::Inherited;

/// One thing the environment must grant, and whether it does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Requirement {
    /// What it is about, in a word or two.
    pub name: &'static str,
    /// How it stands.
    pub state: State,
}

/// How a requirement stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// corecast cannot start.
    Fail {
        /// What was tried and what was seen.
        detail: String,
        /// What to do about it.
        cure: String,
    },
    /// It is met.
    Ok {
        /// What was seen.
        detail: String,
    },
    /// corecast starts, but less will work.
    Warn {
        /// What was seen, and what follows from it.
        detail: String,
        /// What to do about it.
        cure: String,
    },
}

impl Requirement {
    fn ok(name: &'static str, detail: impl Into<String>) -> Self {
        let detail = detail.into();
        let state = State::Ok { detail };
        Self { name, state }
    }

    fn warn(name: &'static str, detail: impl Into<String>, cure: impl Into<String>) -> Self {
        let (detail, cure) = (detail.into(), cure.into());
        let state = State::Warn { detail, cure };
        Self { name, state }
    }

    fn fail(name: &'static str, detail: impl Into<String>, cure: impl Into<String>) -> Self {
        let (detail, cure) = (detail.into(), cure.into());
        let state = State::Fail { detail, cure };
        Self { name, state }
    }

    /// Whether corecast cannot start because of it.
    #[must_use]
    pub fn is_failure(&self) -> bool {
        matches!(self.state, State::Fail { .. })
    }

    /// Whether corecast starts in spite of it, with less.
    #[must_use]
    pub fn is_warning(&self) -> bool {
        matches!(self.state, State::Warn { .. })
    }
}

/// One line of `corecast doctor`.
impl fmt::Display for Requirement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.name;
        match &self.state {
            State::Fail { detail, cure } => write!(f, "fail {name}: {detail}: {cure}"),
            State::Ok { detail } => write!(f, "ok   {name}: {detail}"),
            State::Warn { detail, cure } => write!(f, "warn {name}: {detail}: {cure}"),
        }
    }
}

/// What corecast was granted at its start.
#[derive(Clone, Debug)]
pub struct Granted {
    /// Connections that fit into the open files, beside everything else. Bound: at least half of the open files.
    pub connections: usize,
    /// The limit of open files, before and after it was raised.
    pub open_files: OpenFiles,
    /// Whether shards may be pinned, if that was asked for.
    pub pin: bool,
    /// What is granted only in part.
    pub warnings: Vec<Requirement>,
}

/// The environment refuses what corecast needs.
///
/// Shape: `Display` prints one line per refusal: what was seen, then the cure.
#[derive(Debug)]
pub struct PreflightError(Vec<Requirement>);

impl PreflightError {
    /// Each refusal.
    #[must_use]
    pub fn failures(&self) -> &[Requirement] {
        &self.0
    }
}

impl fmt::Display for PreflightError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut between = "";
        for failure in &self.0 {
            if let State::Fail { detail, cure } = &failure.state {
                write!(f, "{between}{detail}: {cure}")?;
                between = "\n";
            }
        }
        Ok(())
    }
}

impl std::error::Error for PreflightError {}

/// Asks for everything that a start needs, and raises this process's limits as far as they go. Where sockets are inherited,
/// no port is asked for.
///
/// Blocks for up to 2 s while an earlier instance's memory is still being given back: to be called before any shard runs.
///
/// # Errors
/// [`PreflightError`] with every refusal; nothing was started.
pub fn check_start(
    config: &Config,
    shards: usize,
    inherited: &Inherited,
) -> Result<Granted, PreflightError> {
    let open_files = raise_open_files();
    let mut requirements = host(config, shards);
    let connections = limits::connections(config, shards, open_files.now);
    requirements.push(limits::open_files(config, open_files, connections));
    requirements.extend(ports(config, inherited));
    let failures: Vec<_> = requirements
        .iter()
        .filter(|one| one.is_failure())
        .cloned()
        .collect();
    if !failures.is_empty() {
        return Err(PreflightError(failures));
    }
    let warnings: Vec<_> = requirements
        .into_iter()
        .filter(Requirement::is_warning)
        .collect();
    Ok(Granted {
        connections,
        open_files,
        pin: config.server.pin && !warnings.iter().any(|warning| warning.name == PINNING),
        warnings,
    })
}

/// Asks for everything that a start needs, and what it would be good to have, in the order to be told.
///
/// Blocks for up to 2 s for the engine.
#[must_use]
pub fn doctor(config: &Config, shards: usize) -> Vec<Requirement> {
    let open_files = raise_open_files();
    let connections = limits::connections(config, shards, open_files.now);
    let mut requirements = host(config, shards);
    requirements.push(limits::open_files(config, open_files, connections));
    requirements.push(kernel::seccomp());
    requirements.extend(ports(config, &Inherited::default()));
    requirements.push(engine(config));
    requirements.extend(certificates::are_there(config));
    requirements.push(clock(SystemTime::now()));
    requirements
}

/// The CPUs that this process may use, by number: its affinity mask, cut to what its cgroup's quota pays for.
///
/// To be asked before any thread is pinned. Shape: never empty.
#[must_use]
pub fn usable_cpus() -> Vec<usize> {
    let count = thread::available_parallelism().map_or(1, std::num::NonZeroUsize::get);
    match sched_getaffinity(None) {
        Ok(mask) => (0..CpuSet::MAX_CPU)
            .filter(|cpu| mask.is_set(*cpu))
            .take(count)
            .collect(),
        // More CPUs than the mask can name.
        Err(_) => (0..count).collect(),
    }
}

/// Runs something that may hang on a thread of its own; `None` if it took longer than `limit`.
pub fn within<T: Send + 'static>(
    limit: Duration,
    question: impl FnOnce() -> T + Send + 'static,
) -> Option<T> {
    let (answer, answered) = std::sync::mpsc::sync_channel(1);
    let asking = thread::Builder::new().spawn(move || answer.try_send(question()));
    asking.ok().and_then(|_| answered.recv_timeout(limit).ok())
}

/// What the kernel and the process limits must grant.
fn host(config: &Config, shards: usize) -> Vec<Requirement> {
    let memlock = limits::memlock(shards);
    let io_uring = kernel::io_uring(!memlock.is_failure());
    let mut requirements = vec![kernel::version(), io_uring, memlock];
    if config.server.pin {
        requirements.push(pinning());
    }
    requirements
}

/// A shard is pinned by glommio, which panics where it may not, and which reads the CPUs from /sys.
fn pinning() -> Requirement {
    let allowed = sched_getaffinity(None).and_then(|mask| sched_setaffinity(None, &mask));
    let cure = "set server.pin = false";
    match (allowed, std::fs::read("/sys/devices/system/cpu/online")) {
        (Ok(()), Ok(_)) => Requirement::ok(PINNING, "sched_setaffinity is allowed"),
        (Err(refusal), _) => Requirement::warn(
            PINNING,
            format!("sched_setaffinity was refused ({refusal}), shards run unpinned"),
            format!("{cure}, or allow it in seccomp (systemd: no SystemCallFilter=~@resources)"),
        ),
        (_, Err(refusal)) => Requirement::warn(
            PINNING,
            format!(
                "/sys/devices/system/cpu/online cannot be read ({refusal}), shards run unpinned"
            ),
            format!("{cure}, or mount /sys"),
        ),
    }
}

fn ports(config: &Config, inherited: &Inherited) -> Vec<Requirement> {
    let own = config.server.listen.iter();
    let own = own.filter(|_| inherited.viewers.is_empty());
    let listeners = own.map(|listen| match listen {
        Listen::Tcp(address) => port::is_free(*address, LISTEN_KEY),
        Listen::Unix(path) => socket_file::is_free(path, LISTEN_KEY),
    });
    let admin = Some(config.admin.listen).filter(|_| inherited.admin.is_none());
    let admin = admin.map(|address| port::is_free(address, "admin.listen"));
    listeners.chain(admin).collect()
}

/// Whether the engine answers. Only `doctor` asks: corecast starts without it.
fn engine(config: &Config) -> Requirement {
    let upstreams = || {
        config
            .channels
            .iter()
            .flat_map(|channel| &channel.upstreams)
    };
    let is_named = upstreams().any(|upstream| matches!(upstream, Upstream::Ace { .. }));
    if !config.engine.dynamic && !is_named {
        return Requirement::ok(ENGINE, "no channel needs it");
    }
    let url = config.engine.url.clone();
    let shown = HiddenUrl(&config.engine.url).to_string();
    let cure = "start the AceStream engine, or set engine.url";
    match within(ENGINE_LIMIT, move || ask_engine(&url)) {
        Some(Ok(status)) => {
            Requirement::ok(ENGINE, format!("{shown} answers with status {status}"))
        }
        Some(Err(refusal)) => {
            Requirement::warn(ENGINE, format!("{shown} does not answer ({refusal})"), cure)
        }
        None => Requirement::warn(
            ENGINE,
            format!(
                "{shown} does not answer within {} ms",
                ENGINE_LIMIT.as_millis()
            ),
            cure,
        ),
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "runs on a thread of its own, in a command that has no shards"
)]
fn ask_engine(url: &Url) -> std::io::Result<u16> {
    use std::net::ToSocketAddrs;
    let host = url.host_str().unwrap_or_default();
    let port = url.port_or_known_default().unwrap_or_default();
    // The brackets of an IPv6 address belong to the URL.
    let name = host.trim_start_matches('[').trim_end_matches(']');
    let addresses: Vec<SocketAddr> = (name, port).to_socket_addrs()?.collect();
    let mut last = std::io::ErrorKind::AddrNotAvailable.into();
    for address in addresses {
        match status_of(
            address,
            &format!("{host}:{port}"),
            ENGINE_PATH,
            ENGINE_LIMIT,
        ) {
            Ok(status) => return Ok(status),
            Err(refusal) => last = refusal,
        }
    }
    Err(last)
}

/// Certificates of `https` upstreams are judged by the system's clock.
fn clock(now: SystemTime) -> Requirement {
    let since = now.duration_since(UNIX_EPOCH).unwrap_or_default();
    match since.as_secs() {
        CLOCK_LEAST_S.. => Requirement::ok("clock", format!("{} s since 1970", since.as_secs())),
        seconds => Requirement::warn(
            "clock",
            format!(
                "{seconds} s since 1970 lies before this program was made, https upstreams will fail"
            ),
            "timedatectl set-ntp true",
        ),
    }
}

/// Where another place to listen at is chosen.
const LISTEN_KEY: &str = "--listen ADDRESS";

const ENGINE: &str = "engine";

const PINNING: &str = "pinning";

/// What an engine is asked: its version, which starts nothing.
const ENGINE_PATH: &str = "/webui/api/service?method=get_version&format=json";

/// How long an engine may take to answer.
const ENGINE_LIMIT: Duration = Duration::from_secs(2);

/// No clock that is right shows less: the beginning of 2026.
const CLOCK_LEAST_S: u64 = 1_767_225_600;

#[cfg(test)]
mod tests;
