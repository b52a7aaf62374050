//! Adopting descriptors: listeners, accepted and inherited sockets, the signal pipe; and the options that no library knows.
//!
//! One of the two modules with `unsafe`: glommio's types can only be made from raw descriptors, and offer theirs only
//! raw. Every function here takes or lends an owned descriptor, so that nothing is closed twice or too early.

#![expect(
    unsafe_code,
    reason = "glommio adopts and lends descriptors only as raw numbers"
)]

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, IntoRawFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicBool, Ordering};

use futures_lite::AsyncReadExt;
use glommio::net::{TcpListener, TcpStream, UnixStream};
use rustix::io::{FdFlags, fcntl_getfd, fcntl_setfd};

use crate::admin::viewers::Tcp;

/// Gives one end of a local socket pair to this shard.
#[must_use]
pub fn pair_end(socket: OwnedFd) -> UnixStream {
    // SAFETY: the descriptor is open and ours alone; the stream becomes its only owner.
    unsafe { UnixStream::from_raw_fd(socket.into_raw_fd()) }
}

/// Takes over the first `count` descriptors that this process was begun with, beside the standard streams.
///
/// To be called before the process opens descriptors that stay open: a number that was not inherited must be found free.
/// Children do not get them.
///
/// # Errors
/// What the system says of one that is not there, or that they were taken before; none is taken then.
pub fn inherited(count: usize) -> io::Result<Vec<OwnedFd>> {
    static TAKEN: AtomicBool = AtomicBool::new(false);
    let numbers: Vec<RawFd> = (INHERITED_FIRST..)
        .take(count)
        .filter_map(|number| RawFd::try_from(number).ok())
        .collect();
    for number in &numbers {
        // SAFETY: no more is asked than whether the number is in use, and that it is closed at the next exec.
        let descriptor = unsafe { BorrowedFd::borrow_raw(*number) };
        fcntl_getfd(descriptor)?;
        fcntl_setfd(descriptor, FdFlags::CLOEXEC)?;
    }
    if TAKEN.swap(true, Ordering::SeqCst) {
        return Err(io::ErrorKind::AlreadyExists.into());
    }
    let adopt = |number: &RawFd| {
        // SAFETY: the descriptor is open, was there before this program ran, and is adopted only this once.
        unsafe { OwnedFd::from_raw_fd(*number) }
    };
    Ok(numbers.iter().map(adopt).collect())
}

/// Waits until there may be a connection to accept at a listening socket.
///
/// Cancel safety: dropping it ends the wait; no connection is taken by it, so none is lost.
///
/// # Errors
/// No descriptor is left to wait with.
pub async fn acceptable(listener: BorrowedFd<'_>) -> io::Result<()> {
    // glommio waits for a new socket to be readable before it reads, and reading one that listens takes nothing and fails.
    let mut waiting = pair_end(listener.try_clone_to_owned()?);
    let read = waiting.read(&mut [0; 1]).await;
    debug_assert!(read.is_err(), "a listening socket has nothing to read");
    Ok(())
}

/// Gives a connection that was accepted elsewhere than by glommio to this shard.
#[must_use]
pub fn connection(socket: OwnedFd) -> TcpStream {
    // SAFETY: the descriptor is open and ours alone; the stream becomes its only owner.
    unsafe { TcpStream::from_raw_fd(socket.into_raw_fd()) }
}

/// Lends a stream's descriptor for setting options.
#[must_use]
pub fn of_stream(stream: &TcpStream) -> BorrowedFd<'_> {
    // SAFETY: the stream owns the descriptor and outlives the loan.
    unsafe { BorrowedFd::borrow_raw(stream.as_raw_fd()) }
}

/// Lends a listener's descriptor for accepting by hand.
#[must_use]
pub fn of_listener(listener: &Listener) -> BorrowedFd<'_> {
    // SAFETY: the listener owns the descriptor and outlives the loan.
    unsafe { BorrowedFd::borrow_raw(listener.raw) }
}

/// Makes a socket readable only once so many bytes are there, or its peer has closed.
///
/// Bound: the kernel takes half of what its largest buffer holds at most.
///
/// # Errors
/// What the system says; nothing has changed then.
pub fn set_receive_least(socket: BorrowedFd<'_>, bytes: usize) -> io::Result<()> {
    let least = libc::c_int::try_from(bytes).unwrap_or(libc::c_int::MAX);
    let (level, option) = (libc::SOL_SOCKET, libc::SO_RCVLOWAT);
    let value: *const libc::c_int = &raw const least;
    let value_bytes = libc::socklen_t::try_from(size_of_val(&least)).unwrap_or(0);
    // SAFETY: the descriptor is open for as long as it is lent, and the kernel reads one integer that outlives the call.
    let outcome =
        unsafe { libc::setsockopt(socket.as_raw_fd(), level, option, value.cast(), value_bytes) };
    match outcome {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// The first descriptor after the standard streams.
pub const INHERITED_FIRST: usize = 3;
/// What the kernel knows of a TCP connection; `None` for a socket that is none.
///
/// The caller sees to it that the number still means the connection.
#[must_use]
pub fn tcp(socket: RawFd) -> Option<Tcp> {
    let mut words = [0_u32; TCP_INFO_WORDS];
    let mut bytes = libc::socklen_t::try_from(size_of_val(&words)).unwrap_or(0);
    let (level, option) = (libc::IPPROTO_TCP, libc::TCP_INFO);
    let (into, room): (*mut libc::c_void, *mut libc::socklen_t) =
        (words.as_mut_ptr().cast(), &raw mut bytes);
    // SAFETY: the kernel writes at most `bytes` bytes into `words`, which outlives the call, and any number is a number.
    let outcome = unsafe { libc::getsockopt(socket, level, option, into, room) };
    let word = |offset: usize| words.get(offset / size_of::<u32>()).copied();
    let retransmits = word(std::mem::offset_of!(libc::tcp_info, tcpi_total_retrans))?;
    (outcome == 0).then_some(Tcp {
        rtt_us: word(std::mem::offset_of!(libc::tcp_info, tcpi_rtt))?,
        retransmits,
        unsent_bytes: word(std::mem::offset_of!(libc::tcp_info, tcpi_notsent_bytes))?,
    })
}

/// A listener of this shard whose descriptor can still be lent.
///
/// glommio's listener keeps its descriptor to itself, so its number is remembered here.
pub struct Listener {
    glommio: TcpListener,
    raw: RawFd,
}

impl Listener {
    /// Gives a listening socket to this shard.
    #[must_use]
    pub fn new(socket: OwnedFd) -> Self {
        let raw = socket.into_raw_fd();
        // SAFETY: the descriptor is open and ours alone; the listener becomes its only owner.
        let glommio = unsafe { TcpListener::from_raw_fd(raw) };
        Self { glommio, raw }
    }

    /// Accepts one connection.
    ///
    /// Cancel safety: none: dropping it loses a connection. Its task must await nothing else.
    ///
    /// # Errors
    /// What the system says.
    pub async fn accept(&self) -> io::Result<TcpStream> {
        let accepted = self.glommio.shared_accept().await?;
        Ok(accepted.bind_to_executor())
    }
}

/// Room for what the kernel tells of a connection, as far as it is asked for.
const TCP_INFO_WORDS: usize = size_of::<libc::tcp_info>() / size_of::<u32>();
