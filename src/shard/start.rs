//! Starts one executor per shard and waits for them.
//!
//! Everything that can be refused is asked for before the first executor runs: listening sockets, the signal pipes. A
//! shard that ends by itself ends the process, so that a supervisor starts it anew.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::SystemTime;

use glommio::{ExecutorJoinHandle, LocalExecutorBuilder, Placement as Place, PoolPlacement};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::low_level::pipe;
use thiserror::Error;

use crate::clock::Epoch;
use crate::config::{Config, Inputs, Listen};
use crate::http::accept::{self, ListenError};
use crate::http::unix::{self, SocketFile};
use crate::shard::permits::Permits;
use crate::shard::placement::Placement;
use crate::shard::register::Register;
use crate::shard::watch::{LOOK, Watch};
use crate::shard::{self, Door, Process, Setup, feed};
use crate::supervisor::Supervisor;
use crate::supervisor::heartbeat::Heartbeats;
use crate::supervisor::inherit::Inherited;

/// Serves until the process is asked to stop and has drained. `inputs` is what `config` was read from and is read from
/// again for each byte of `hangups`; `connections_max` is what the open files allow; `inherited` takes the place of the
/// sockets that the configuration names.
///
/// # Errors
/// [`ServeError`]: what the system refused, or which shard ended by itself.
pub fn serve(
    config: Arc<Config>,
    inputs: Inputs,
    hangups: OwnedFd,
    placement: &Placement,
    connections_max: usize,
    inherited: Inherited,
) -> Result<(), ServeError> {
    let shards = placement.cpus.len();
    let inherits_viewers = !inherited.viewers.is_empty();
    let inherits_admin = inherited.admin.is_some();
    let doors = Doors::open(&config, shards, inherited)?;
    let ready = doors.ready_line(&config, shards);
    let watch = doors.watch_line(&config);
    let epoch = Epoch::begin();
    let process = Arc::new(Process {
        listen: doors.addresses.clone(),
        connections: Permits::new(connections(&config, shards).min(connections_max)),
        connections_max,
        admin_connections: Permits::new(ADMIN_CONNECTIONS),
        viewers: Permits::new(config.server.viewers_max),
        inputs,
        inherits_viewers,
        inherits_admin,
        heartbeats: Heartbeats::new(shards, epoch.now_us()),
        supervisor: Supervisor::of(|name| std::env::var_os(name)),
        unfinished_shards: AtomicUsize::new(shards),
        epoch,
        started: SystemTime::now(),
    });
    let register = Arc::new(Register::new(config, shards));
    let (report, reports) = channel();
    let mut admin = Some(doors.admin);
    let mut hangups = Some(hangups);
    let starts = feed::mesh(shards)
        .into_iter()
        .zip(doors.sockets)
        .zip(&placement.cpus);
    for (index, ((ends, listeners), cpu)) in starts.enumerate() {
        let setup = Setup {
            index,
            process: Arc::clone(&process),
            register: Arc::clone(&register),
            ends,
            listeners,
            admin: admin.take(),
            signals: signals(&[SIGTERM, SIGINT]).map_err(ServeError::Signals)?,
            hangups: hangups.take(),
        };
        start(setup, *cpu, &report)?;
    }
    drop(report);
    let served = wait(&process, &reports, shards, || {
        log::info!("{ready}");
        log::info!("{watch}");
    });
    drop(doors.files);
    served
}

/// Why the process serves no longer, or never did.
#[derive(Debug, Error)]
pub enum ServeError {
    /// The executor of a shard could not be made.
    #[error("shard {index} could not be started: corecast doctor says what is missing")]
    Executor {
        /// Which shard.
        index: usize,
        /// What glommio says.
        source: io::Error,
    },
    /// An address cannot be listened on.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// A shard ended before all of them listened; the log has its reason.
    #[error("shard {index} could not begin: corecast doctor says what is missing")]
    NotStarted {
        /// Which shard.
        index: usize,
    },
    /// A shard ended by itself.
    #[error("shard {index} ended by itself: this is a fault in corecast")]
    ShardEnded {
        /// Which shard.
        index: usize,
    },
    /// Requests to stop, or to read the configuration again, cannot be heard.
    #[error("the signals that ask to stop or to reload could not be listened for")]
    Signals(#[source] io::Error),
}

/// The sockets that all shards listen on.
struct Doors {
    /// Where viewers connect, with real ports.
    addresses: Vec<Listen>,
    /// Per shard, a socket for each address; those of Unix sockets are shard 0's.
    sockets: Vec<Vec<Door>>,
    /// The files of Unix sockets, there for as long as something listens.
    files: Vec<SocketFile>,
    admin_address: SocketAddr,
    admin: Door,
}

impl Doors {
    fn open(config: &Config, shards: usize, inherited: Inherited) -> Result<Self, ListenError> {
        let mut addresses = Vec::new();
        let mut sockets: Vec<Vec<Door>> = (0..shards).map(|_| Vec::new()).collect();
        let mut files = Vec::new();
        let wanted = match inherited.viewers.is_empty() {
            true => &config.server.listen[..],
            false => &[],
        };
        for (listen, socket) in inherited.viewers {
            for of_shard in &mut sockets {
                let copy = socket.try_clone().map_err(|source| {
                    let listen = listen.clone();
                    ListenError::Inherited { listen, source }
                })?;
                of_shard.push(Door::Inherited(copy));
            }
            addresses.push(listen);
        }
        for wanted in wanted {
            let (real, all) = match wanted {
                Listen::Tcp(address) => {
                    let (real, all) = accept::listen(*address, shards)?;
                    (real.into(), all)
                }
                Listen::Unix(path) => {
                    let (socket, file) = unix::listen(path, accept::BACKLOG)?;
                    files.push(file);
                    (wanted.clone(), vec![socket])
                }
            };
            addresses.push(real);
            for (of_shard, socket) in sockets.iter_mut().zip(all) {
                of_shard.push(Door::Own(socket));
            }
        }
        let (admin_address, admin) = match inherited.admin {
            Some((address, socket)) => (address, Door::Inherited(socket)),
            None => {
                let (address, sockets) = accept::listen(config.admin.listen, 1)?;
                let first = sockets.into_iter().next();
                (
                    address,
                    Door::Own(first.ok_or(ListenError::InUse { address })?),
                )
            }
        };
        Ok(Self {
            addresses,
            sockets,
            files,
            admin_address,
            admin,
        })
    }

    fn ready_line(&self, config: &Config, shards: usize) -> String {
        format!(
            "ready listen={} admin={} shards={shards} channels={}",
            Joined(&self.addresses),
            self.admin_address,
            config.channels.len()
        )
    }

    /// Where to watch, for somebody who has just started the program.
    fn watch_line(&self, config: &Config) -> String {
        let mut addresses = self.addresses.iter();
        let tcp = addresses.find(|it| matches!(it, Listen::Tcp(_)));
        // A Unix socket has no name that a URL could hold: that of this host stands in its place.
        let address = tcp.map_or_else(|| "localhost".to_owned(), ToString::to_string);
        match config.channels.first() {
            Some(channel) if config.accounts.is_empty() => {
                format!(
                    "watch url=http://{address}/live/admin/admin/{}.ts name={:?}",
                    channel.id, channel.name
                )
            }
            Some(channel) => format!(
                "watch url=http://{address}/live/USER/PASSWORD/{}.ts name={:?}",
                channel.id, channel.name
            ),
            None => format!("watch url=http://{address}/ace/getstream?id=CONTENT_ID"),
        }
    }
}

/// Addresses with commas between them.
struct Joined<'a>(&'a [Listen]);

impl fmt::Display for Joined<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, address) in self.0.iter().enumerate() {
            let comma = if index > 0 { "," } else { "" };
            write!(f, "{comma}{address}")?;
        }
        Ok(())
    }
}

/// What a shard's thread reports.
enum Report {
    Ready,
    Ended { index: usize, in_order: bool },
}

fn start(setup: Setup, cpu: Option<usize>, report: &Sender<Report>) -> Result<(), ServeError> {
    let index = setup.index;
    let place = cpu.map_or(Place::Unbound, Place::Fixed);
    let ready = report.clone();
    let handle = LocalExecutorBuilder::new(place)
        .name(&format!("shard-{index}"))
        // Sockets use none of the memory that glommio would pin for files.
        .io_memory(0)
        .blocking_thread_pool_placement(PoolPlacement::Unbound(BLOCKING_THREADS))
        .spawn(move || shard::run(setup, move || tell(&ready, Report::Ready)))
        .map_err(|error| ServeError::Executor {
            index,
            source: error.into(),
        })?;
    let ended = report.clone();
    let watcher = thread::Builder::new().name(format!("watch-{index}"));
    watcher
        .spawn(move || watch(index, handle, &ended))
        .map(drop)
        .map_err(|source| ServeError::Executor { index, source })
}

/// Waits for a shard's executor on a thread of its own and reports how it ended.
fn watch(index: usize, handle: ExecutorJoinHandle<()>, report: &Sender<Report>) {
    let in_order = match handle.join() {
        Ok(()) => true,
        Err(error) => {
            log::error!("shard ended by itself shard={index} error=\"{error}\"");
            false
        }
    };
    tell(report, Report::Ended { index, in_order });
}

fn tell(report: &Sender<Report>, what: Report) {
    if report.send(what).is_err() {
        log::debug!("a shard reported to nobody: the process is ending");
    }
}

/// Waits for every shard to end; `say_ready` is called once all of them listen.
fn wait(
    process: &Arc<Process>,
    reports: &Receiver<Report>,
    shards: usize,
    say_ready: impl Fn(),
) -> Result<(), ServeError> {
    let (mut listening, mut ended) = (0, 0);
    let mut watch = Watch::new(process, shards);
    while ended < shards {
        match reports.recv_timeout(LOOK) {
            Ok(Report::Ready) => {
                listening += 1;
                if listening == shards {
                    say_ready();
                    process.supervisor.ready(&process.status());
                }
            }
            Ok(Report::Ended {
                index,
                in_order: true,
            }) => {
                process.heartbeats.ended(index);
                ended += 1;
            }
            Ok(Report::Ended {
                index,
                in_order: false,
            }) if listening < shards => return Err(ServeError::NotStarted { index }),
            Ok(Report::Ended {
                index,
                in_order: false,
            }) => return Err(ServeError::ShardEnded { index }),
            Err(RecvTimeoutError::Timeout) if listening == shards => watch.look(),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => break,
        }
    }
    log::info!("stopped");
    Ok(())
}

/// A descriptor that gives one byte for each SIGHUP from now on, which ends the process no more.
///
/// # Errors
/// [`ServeError::Signals`]: what the system refused.
pub fn hangups() -> Result<OwnedFd, ServeError> {
    signals(&[SIGHUP]).map_err(ServeError::Signals)
}

/// How many connections of viewers a configuration asks for.
#[must_use]
pub fn connections(config: &Config, shards: usize) -> usize {
    let viewers_max = config.server.viewers_max;
    // Each accept loop holds a permit for the connection to come.
    let waiting = shards * config.server.listen.len();
    viewers_max + (viewers_max / 8).max(SPARE_CONNECTIONS) + waiting
}

/// A descriptor that gives one byte for each of these signals, as far as it has room for more.
fn signals(signals: &[i32]) -> io::Result<OwnedFd> {
    let (read, write) = UnixStream::pair()?;
    for signal in signals {
        pipe::register(*signal, write.try_clone()?)?;
    }
    Ok(read.into())
}

/// Connections beside those of viewers: requests that are being answered, at least.
const SPARE_CONNECTIONS: usize = 64;

/// Connections on the operator's listener.
const ADMIN_CONNECTIONS: usize = 64;

/// Threads per shard for what blocks: checks of passwords, and reading the certificates once.
const BLOCKING_THREADS: usize = 1;
