//! Listen; take a permit, then accept; no accept error ends the loop.
//!
//! Every shard has its own listening socket on each address, and the kernel spreads connections over them. That needs
//! SO_REUSEPORT, which would also let a second copy of the program join silently, so the port is checked before. A Unix
//! socket cannot be shared so: shard 0 accepts and hands the connections out in turn. Inherited sockets are `shared`'s.

pub mod shared;

use std::future::Future;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use glommio::net::TcpStream;
use rustix::fs::{OFlags, fcntl_getfl};
use rustix::io::{Errno, FdFlags, fcntl_setfd};
use rustix::net::AddressFamily;
use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};
use thiserror::Error;

use crate::config::{Front, Listen};
use crate::http::connection::Connection;
use crate::http::live;
use crate::http::request::Method;
use crate::http::response::Refusal;
use crate::shard::Shard;
use crate::shard::fd::{self, Listener};
use crate::shard::feed::Message;
use crate::shard::permits::{Permit, Permits};

/// A listening socket for each shard on one address, and the address with its real port.
///
/// # Errors
/// [`ListenError`] names the address; nothing listens then.
pub fn listen(
    address: SocketAddr,
    shards: usize,
) -> Result<(SocketAddr, Vec<OwnedFd>), ListenError> {
    let failed = |source: io::Error| match source.kind() {
        io::ErrorKind::AddrInUse => ListenError::InUse { address },
        _ => ListenError::Refused { address, source },
    };
    // Without SO_REUSEPORT this fails if anybody listens there, ourselves included.
    drop(socket(address, false).map_err(failed)?);
    let first = socket(address, true).map_err(failed)?;
    let real = first
        .local_addr()
        .map_err(failed)?
        .as_socket()
        .unwrap_or(address);
    let mut sockets = vec![first];
    for _ in 1..shards {
        sockets.push(socket(real, true).map_err(failed)?);
    }
    for socket in &sockets {
        socket.listen(BACKLOG).map_err(failed)?;
    }
    Ok((real, sockets.into_iter().map(OwnedFd::from).collect()))
}

/// Why the program cannot listen.
#[derive(Debug, Error)]
pub enum ListenError {
    /// An inherited socket could not be given to every shard.
    #[error("sharing the inherited socket {listen} failed")]
    Inherited {
        /// Where it listens.
        listen: Listen,
        /// What the system says.
        source: io::Error,
    },
    /// Somebody listens there already.
    #[error(
        "listen on {address} failed: the port is in use: stop the other program (ss -ltnp names it) or choose another port"
    )]
    InUse {
        /// The address.
        address: SocketAddr,
    },
    /// What lies at the path of a Unix socket is none.
    #[error(
        "listen on unix:{} failed: what lies there is no socket: remove it or choose another path",
        path.display()
    )]
    NoSocket {
        /// The path.
        path: PathBuf,
    },
    /// Somebody listens behind the path already.
    #[error(
        "listen on unix:{} failed: the socket is in use: stop the other program (ss -lxp names it) or choose another path",
        path.display()
    )]
    PathInUse {
        /// The path.
        path: PathBuf,
    },
    /// The system says no to a Unix socket.
    #[error(
        "listen on unix:{} failed: choose a path in a folder that exists and that may be written",
        path.display()
    )]
    PathRefused {
        /// The path.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The system says no.
    #[error("listen on {address} failed: choose an address of this host, and a port it may use")]
    Refused {
        /// The address.
        address: SocketAddr,
        /// What the system says.
        source: io::Error,
    },
}

/// Accepts connections for ever and gives each to `answer` as a task of its own, with the front of the time. Must be all
/// that its task awaits.
///
/// Those of a Unix socket, which only viewers have, are handed out to all shards.
#[expect(clippy::infinite_loop, reason = "a task that ends with its shard")]
pub async fn run<F>(
    shard: Rc<Shard>,
    socket: OwnedFd,
    permits: Arc<Permits>,
    front: fn(&Shard) -> Arc<Front>,
    answer: fn(Rc<Shard>, Connection) -> F,
) where
    F: Future<Output = ()> + 'static,
{
    let is_unix = rustix::net::sockopt::socket_domain(&socket) == Ok(AddressFamily::UNIX);
    let listener = Listener::new(socket);
    let mut reserve = Reserve::new();
    let mut turn = shard.index;
    loop {
        let Some(permit) = permits.take() else {
            shard.clock.after(PAUSE).await;
            continue;
        };
        match listener.accept().await {
            Ok(stream) if is_unix => {
                turn = (turn + 1) % shard.shards.max(1);
                hand_out(&shard, turn, stream, permit);
            }
            Ok(stream) => {
                if let Some(connection) = prepare_tcp(&shard, stream, permit, front(&shard)) {
                    shard.spawn("connection", answer(Rc::clone(&shard), connection));
                }
            }
            Err(error) => {
                drop(permit);
                shard.counters.accept_errors.add(1);
                log::debug!("accept failed shard={} error=\"{error}\"", shard.index);
                if is_exhausted(&error) {
                    reserve.refuse_one(fd::of_listener(&listener));
                }
                shard.clock.after(PAUSE).await;
            }
        }
        glommio::yield_if_needed().await;
    }
}

/// Serves a connection of a Unix socket that another shard has accepted.
pub fn adopt(shard: &Rc<Shard>, socket: OwnedFd, permit: Permit) {
    serve_unix(shard, fd::connection(socket), permit);
}

/// Gives a connection of a Unix socket to a shard; if it cannot be given away it is served here.
fn hand_out(shard: &Rc<Shard>, to: usize, stream: TcpStream, permit: Permit) {
    if to == shard.index {
        return serve_unix(shard, stream, permit);
    }
    // As in `hand`: the other shard gets a descriptor of its own.
    match fd::of_stream(&stream).try_clone_to_owned() {
        Ok(socket) => shard.send(to, Message::Accepted { socket, permit }),
        Err(_no_descriptor) => serve_unix(shard, stream, permit),
    }
}

fn serve_unix(shard: &Rc<Shard>, stream: TcpStream, permit: Permit) {
    if let Err(error) = prepare(&stream) {
        log::debug!("an accepted connection could not be set up error=\"{error}\"");
        return;
    }
    let front = Arc::clone(&shard.config().server.front);
    let connection = Connection::new(stream, UNIX_PEER, permit, front);
    shard.spawn("connection", live::answer(Rc::clone(shard), connection));
}

/// Whether accept failed for want of descriptors or memory, and not for a fault of the one connection.
fn is_exhausted(error: &io::Error) -> bool {
    let errno = error.raw_os_error().map(Errno::from_raw_os_error);
    matches!(
        errno,
        Some(Errno::MFILE | Errno::NFILE | Errno::NOBUFS | Errno::NOMEM)
    )
}

/// Sets what every accepted connection needs.
fn prepare(stream: &TcpStream) -> io::Result<()> {
    let socket = fd::of_stream(stream);
    fcntl_setfd(socket, FdFlags::CLOEXEC)?;
    // For sendfile, which would wait where everything else is told not to.
    rustix::io::ioctl_fionbio(socket, true)?;
    Ok(())
}

/// Sets what an accepted connection over TCP needs; `None` if it is gone already.
fn prepare_tcp(
    shard: &Rc<Shard>,
    stream: TcpStream,
    permit: Permit,
    front: Arc<Front>,
) -> Option<Connection> {
    let peer = stream.peer_addr().ok()?;
    // An inherited socket may be for both versions of IP.
    let peer = SocketAddr::new(peer.ip().to_canonical(), peer.port());
    let set = || {
        prepare(&stream)?;
        let socket = fd::of_stream(&stream);
        let socket = SockRef::from(&socket);
        socket.set_tcp_nodelay(true)?;
        socket.set_tcp_notsent_lowat(NOTSENT_LOWAT)?;
        // Later than the stall, which knows better why nothing is taken: a vanished peer and a paused one differ.
        let vanished = shard.config().server.write_stall + USER_TIMEOUT_SLACK;
        socket.set_tcp_user_timeout(Some(vanished))?;
        socket.set_tcp_keepalive(
            &TcpKeepalive::new()
                .with_time(KEEPALIVE)
                .with_interval(KEEPALIVE),
        )
    };
    if let Err(error) = set() {
        log::debug!("an accepted connection could not be set up error=\"{error}\"");
        return None;
    }
    Some(Connection::new(stream, peer, permit, front))
}

/// One descriptor kept for the moment when there is none left, so that a refusal can still be said.
struct Reserve(Option<OwnedFd>);

impl Reserve {
    fn new() -> Self {
        let spare = rustix::fs::open("/dev/null", OFlags::CLOEXEC, rustix::fs::Mode::empty());
        Self(spare.ok())
    }

    /// Accepts one connection in place of the spare descriptor, tells it to come later, and closes it.
    fn refuse_one(&mut self, listener: BorrowedFd<'_>) {
        // The shortage may be over by the time it is heard of: whoever waits now can be accepted.
        let another = Self::new();
        if another.0.is_some() {
            *self = another;
            return;
        }
        self.0 = None;
        let refuse = || -> io::Result<()> {
            let is_nonblocking = fcntl_getfl(listener)?.contains(OFlags::NONBLOCK);
            rustix::io::ioctl_fionbio(listener, true)?;
            let flags = rustix::net::SocketFlags::CLOEXEC | rustix::net::SocketFlags::NONBLOCK;
            let connection = rustix::net::accept_with(listener, flags)?;
            // A request that stays unread would turn the close into a reset and take the answer with it.
            let mut request = [0; 4096];
            let unread =
                rustix::net::recv(&connection, &mut request, rustix::net::RecvFlags::DONTWAIT);
            log::debug!(
                "a connection is refused for want of descriptors request={}",
                unread.is_ok()
            );
            let answer = Refusal::Busy.answer().to_bytes(Method::Get);
            rustix::net::send(&connection, &answer, rustix::net::SendFlags::NOSIGNAL)?;
            rustix::io::ioctl_fionbio(listener, is_nonblocking)?;
            Ok(())
        };
        if let Err(error) = refuse() {
            log::debug!("nobody could be refused error=\"{error}\"");
        }
        *self = Self::new();
    }
}

fn socket(address: SocketAddr, shared: bool) -> io::Result<Socket> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(shared)?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.bind(&address.into())?;
    if !shared {
        // Two sockets may be bound to one address as long as none listens; only listening tells.
        socket.listen(1)?;
    }
    Ok(socket)
}

/// Who is at the other end of a Unix socket: a program of this host, and nobody says which.
const UNIX_PEER: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// Connections the kernel holds for a shard that has not accepted them yet.
pub const BACKLOG: i32 = 1024;

/// How long the loop rests when there is no permit or no descriptor.
const PAUSE: Duration = Duration::from_millis(50);

/// Unsent bytes that the kernel takes for one viewer: keeps a stalled one from holding megabytes.
///
/// Source: measured 0.11 to 0.13 MB per stalled viewer against 3.9 MB without, CPU within noise.
const NOTSENT_LOWAT: u32 = 128 * 1024;

/// How much longer than `write_stall_ms` the kernel waits for a peer to acknowledge.
const USER_TIMEOUT_SLACK: Duration = Duration::from_millis(500);

/// When a silent connection is asked for a sign of life.
const KEEPALIVE: Duration = Duration::from_secs(10);
