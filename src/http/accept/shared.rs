//! Accepting from inherited sockets, each of which all shards share.
//!
//! Own sockets are `accept`'s. The rule: nothing here takes a connection that it may not serve, and the socket is never
//! closed: while this process drains, what connects waits there for the next one.

use std::future::Future;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::rc::Rc;
use std::sync::Arc;

use futures_lite::FutureExt;
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, accept_with};

use super::{PAUSE, Reserve, is_exhausted, prepare_tcp, serve_unix};
use crate::config::Front;
use crate::http::connection::Connection;
use crate::shard::permits::{Permit, Permits};
use crate::shard::{Shard, fd};

/// Accepts connections and gives each to `answer` as a task of its own: for ever, or until the shard drains if
/// `ends_at_drain`.
///
/// Shape: every shard that waits is woken by a connection, and the first to ask gets it.
pub async fn run<F>(
    shard: Rc<Shard>,
    socket: OwnedFd,
    ends_at_drain: bool,
    permits: Arc<Permits>,
    front: fn(&Shard) -> Arc<Front>,
    answer: fn(Rc<Shard>, Connection) -> F,
) where
    F: Future<Output = ()> + 'static,
{
    let is_unix = rustix::net::sockopt::socket_domain(&socket) == Ok(AddressFamily::UNIX);
    let is_over = || ends_at_drain && shard.drain.has_begun();
    let mut reserve = Reserve::new();
    while !is_over() {
        let Some(permit) = permits.take() else {
            shard.clock.after(PAUSE).await;
            continue;
        };
        match accept(&shard, &socket, &is_over).await {
            Ok(None) => {}
            Ok(Some(connection)) if is_unix => {
                serve_unix(&shard, fd::connection(connection), permit);
            }
            Ok(Some(connection)) => {
                serve_tcp(&shard, connection, permit, front(&shard), answer);
            }
            Err(error) => {
                drop(permit);
                shard.counters.accept_errors.add(1);
                log::debug!("accept failed shard={} error=\"{error}\"", shard.index);
                if is_exhausted(&error) {
                    reserve.refuse_one(socket.as_fd());
                }
                shard.clock.after(PAUSE).await;
            }
        }
        glommio::yield_if_needed().await;
    }
}

/// Waits for a connection; `None` if accepting is over.
async fn accept(
    shard: &Shard,
    socket: &OwnedFd,
    is_over: &impl Fn() -> bool,
) -> io::Result<Option<OwnedFd>> {
    loop {
        match accept_with(socket, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK) {
            Ok(connection) => return Ok(Some(connection)),
            // Another shard was quicker, or there was none.
            Err(Errno::AGAIN | Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        let begun = async {
            shard.drain.begun.next_event().await;
            Ok(())
        };
        fd::acceptable(socket.as_fd()).or(begun).await?;
        if is_over() {
            return Ok(None);
        }
    }
}

fn serve_tcp<F>(
    shard: &Rc<Shard>,
    connection: OwnedFd,
    permit: Permit,
    front: Arc<Front>,
    answer: fn(Rc<Shard>, Connection) -> F,
) where
    F: Future<Output = ()> + 'static,
{
    if let Some(connection) = prepare_tcp(shard, fd::connection(connection), permit, front) {
        shard.spawn("connection", answer(Rc::clone(shard), connection));
    }
}
