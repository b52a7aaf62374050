//! One viewer: its socket, how far it is with its request, and what it keeps of what it is sent.
//!
//! When it acts belongs in `worker.rs`. The rule: a viewer never waits and reads only when it is told to, into a buffer that
//! it is lent.

use std::net::SocketAddr;
use std::ops::Range;
use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::{
    self, AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, recv, send, sockopt,
};

use super::anchor::{Anchor, Search};
use super::head::{Head, Refusal};
use super::plan::{Assignment, Role};
use super::watch::Watch;

/// A viewer and everything that is known of it.
pub(crate) struct Viewer {
    pub(crate) assignment: Assignment,
    /// Which channel it watches now, from 0.
    pub(crate) channel: usize,
    socket: Option<OwnedFd>,
    pub(crate) phase: Phase,
    /// When it was to ask, whether or not the tool was on time.
    pub(crate) asked: Duration,
    head: Vec<u8>,
    /// Bytes of the body so far.
    pub(crate) body_bytes: u64,
    /// Body bytes when the measured time began and when it ended.
    pub(crate) bytes_at: [u64; 2],
    pub(crate) first_byte: Option<Duration>,
    pub(crate) watch: Option<Box<Watch>>,
    search: Search,
    pub(crate) anchors: [Option<Anchor>; 2],
    pub(crate) end: Option<End>,
}

impl Viewer {
    pub(crate) fn new(assignment: Assignment) -> Self {
        Self {
            assignment,
            channel: assignment.channel,
            socket: None,
            phase: Phase::Idle,
            asked: Duration::ZERO,
            head: Vec::new(),
            body_bytes: 0,
            bytes_at: [0; 2],
            first_byte: None,
            watch: None,
            search: Search::default(),
            anchors: [None; 2],
            end: None,
        }
    }

    /// Begins to connect, as one who asked at `asked`; what it knew before is gone, but for its counts of bytes.
    ///
    /// Unit: `window_bytes` is what can be sent to a viewer that keeps up between two reads of its own.
    ///
    /// # Errors
    /// What the system says; the viewer is then over.
    pub(crate) fn connect(
        &mut self,
        to: SocketAddr,
        window_bytes: usize,
        asked: Duration,
    ) -> Result<(), Errno> {
        self.asked = asked;
        self.head.clear();
        self.first_byte = None;
        self.search = Search::default();
        let is_checked = matches!(self.assignment.role, Role::Verified | Role::Slow);
        self.watch = is_checked.then(|| Box::new(Watch::new(asked)));
        let family = if to.is_ipv4() {
            AddressFamily::INET
        } else {
            AddressFamily::INET6
        };
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = net::socket_with(family, SocketType::STREAM, flags, None)?;
        let window_bytes = match self.assignment.role {
            Role::Slow | Role::Stalled => SMALL_WINDOW_BYTES,
            _ => window_bytes,
        };
        sockopt::set_socket_recv_buffer_size(&socket, window_bytes)?;
        match net::connect(&socket, &to) {
            Ok(()) | Err(Errno::INPROGRESS) => {}
            Err(errno) => return Err(errno),
        }
        self.socket = Some(socket);
        self.phase = Phase::Connecting;
        Ok(())
    }

    /// Its socket, while it has one.
    pub(crate) fn socket(&self) -> Option<&OwnedFd> {
        self.socket.as_ref()
    }

    /// Sends the request once the connection stands.
    ///
    /// # Errors
    /// Why it does not stand, or why the request was not taken.
    pub(crate) fn ask(&mut self, request: &[u8]) -> Result<(), Errno> {
        let Some(socket) = &self.socket else {
            return Ok(());
        };
        sockopt::socket_error(socket)??;
        // A fresh socket takes a few hundred bytes at once.
        let sent = send(socket, request, SendFlags::NOSIGNAL)?;
        self.phase = Phase::Head;
        if sent == request.len() {
            Ok(())
        } else {
            Err(Errno::AGAIN)
        }
    }

    /// Reads once into `buffer`; `None` if there is nothing.
    ///
    /// # Errors
    /// Why there will never be anything more.
    pub(crate) fn read(&self, buffer: &mut [u8], how: Reading) -> Result<Option<usize>, End> {
        let Some(socket) = &self.socket else {
            return Ok(None);
        };
        let flags = match how {
            Reading::Discard => RecvFlags::DONTWAIT | RecvFlags::TRUNC,
            Reading::Keep => RecvFlags::DONTWAIT,
        };
        match recv(socket, buffer, flags) {
            Ok((_, 0)) => Err(End::Closed),
            Ok((_, length)) => Ok(Some(length)),
            Err(Errno::AGAIN | Errno::INTR) => Ok(None),
            Err(Errno::CONNRESET) => Err(End::Reset),
            Err(errno) => Err(End::Failed(errno)),
        }
    }

    /// Takes bytes that were read at `arrived`: the head first, then the body.
    ///
    /// # Errors
    /// Why the answer cannot be watched.
    pub(crate) fn take(
        &mut self,
        bytes: &[u8],
        arrived: Duration,
        window: &Range<Duration>,
    ) -> Result<(), Refusal> {
        if self.phase != Phase::Head {
            self.body(bytes, arrived, window);
            return Ok(());
        }
        self.head.extend_from_slice(bytes);
        let Some(head) = Head::read(&self.head)? else {
            return Ok(());
        };
        self.phase = Phase::Opening;
        let body = self.head.split_off(head.body_at);
        self.head = Vec::new();
        if !body.is_empty() {
            self.body(&body, arrived, window);
        }
        Ok(())
    }

    /// Counts body bytes that were discarded.
    pub(crate) fn discarded(&mut self, bytes: usize) {
        self.body_bytes += bytes as u64;
    }

    /// Looks for the last packet in bytes that were kept; true once it is found.
    pub(crate) fn take_tail(&mut self, bytes: &[u8]) -> bool {
        if self.phase != Phase::Tail {
            self.phase = Phase::Tail;
            self.search = Search::default();
        }
        self.anchors[1] = self.search.push(bytes, self.body_bytes);
        self.body_bytes += bytes.len() as u64;
        self.anchors[1].is_some()
    }

    /// Leaves; says whether the server had gone first.
    pub(crate) fn leave(&mut self) -> bool {
        self.phase = Phase::Idle;
        let socket = self.socket.take();
        socket.is_some_and(|socket| !matches!(sockopt::socket_error(&socket), Ok(Ok(()))))
    }

    /// Is over, for a reason that is kept.
    pub(crate) fn over(&mut self, end: End) {
        self.end = Some(end);
        self.phase = Phase::Over;
        self.socket = None;
    }

    fn body(&mut self, bytes: &[u8], arrived: Duration, window: &Range<Duration>) {
        self.first_byte.get_or_insert(arrived);
        let at = self.body_bytes;
        self.body_bytes += bytes.len() as u64;
        if let Some(watch) = &mut self.watch {
            watch.push(bytes, arrived, window);
            self.phase = Phase::Body;
        } else if self.assignment.role == Role::Discarding && self.phase == Phase::Opening {
            self.anchors[0] = self.search.push(bytes, at);
            // Whoever sends no number in so much sends none at all.
            if self.anchors[0].is_some() || self.body_bytes > OPENING_BYTES_MAX {
                self.phase = Phase::Body;
            }
        } else {
            self.phase = Phase::Body;
        }
    }
}

/// How far a viewer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    Body,
    Connecting,
    Head,
    Idle,
    /// Has the head, and looks for its first packet.
    Opening,
    Over,
    /// Looks for its last packet.
    Tail,
}

/// What happens to bytes that are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reading {
    /// The kernel throws them away and says how many.
    Discard,
    Keep,
}

/// Why a viewer was over before its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum End {
    #[error("the server closed the connection")]
    Closed,
    #[error("connect failed: {0}")]
    Connect(Errno),
    #[error("read failed: {0}")]
    Failed(Errno),
    #[error("the server {0}")]
    Refused(Refusal),
    #[error("the server reset the connection")]
    Reset,
}

/// Kernel memory of one that does not.
const SMALL_WINDOW_BYTES: usize = 65_536;
const OPENING_BYTES_MAX: u64 = 1 << 20;
