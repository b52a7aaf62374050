//! Adopting descriptors: listeners, accepted sockets, the signal pipe; and the two options that no library knows.
//!
//! One of the two modules with `unsafe`: glommio's types can only be made from raw descriptors, and offer theirs only
//! raw. Every function here takes or lends an owned descriptor, so that nothing is closed twice or too early.

#![expect(
    unsafe_code,
    reason = "glommio adopts and lends descriptors only as raw numbers"
)]

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, IntoRawFd, OwnedFd, RawFd};

use glommio::net::{TcpListener, TcpStream, UnixStream};

use crate::admin::viewers::Tcp;

/// Gives one end of a local socket pair to this shard.
#[must_use]
pub fn pair_end(socket: OwnedFd) -> UnixStream {
    // SAFETY: the descriptor is open and ours alone; the stream becomes its only owner.
    unsafe { UnixStream::from_raw_fd(socket.into_raw_fd()) }
}

/// Gives a connection that another shard has accepted to this one.
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
