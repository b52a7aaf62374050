//! One accepted connection: read a request head, write an answer, close so that the answer arrives.
//!
//! Knows deadlines and sockets, and whom a front may speak for; what the bytes mean is decided in `proxy`, `request`,
//! `forwarded` and `response`.

pub mod body;

use std::io;
use std::net::{Shutdown, SocketAddr};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_lite::{AsyncReadExt, AsyncWriteExt};
use glommio::net::TcpStream;

use crate::clock::Clock;
use crate::config::Front;
use crate::http::request::{self, HEAD_BYTES_MAX, Request};
use crate::http::response::Refusal;
use crate::http::{forwarded, proxy};
use crate::shard::fd;
use crate::shard::permits::Permit;

/// A connection on either listener.
///
/// Ownership: holds the permit that was taken before it was accepted.
pub struct Connection {
    stream: TcpStream,
    /// For whom the connection is: the socket's peer, or whom a believed PROXY header names.
    opened_for: SocketAddr,
    /// Who sent the request that was read last.
    peer: SocketAddr,
    front: Arc<Front>,
    awaits_header: bool,
    /// Whether a request was read.
    has_asked: bool,
    /// What has been read and not used.
    input: Vec<u8>,
    permit: Permit,
}

/// Why there is no request.
pub enum NoRequest {
    /// The peer is gone, or has nothing more to ask.
    Gone,
    /// It has to be told what is wrong.
    Refused(Refusal),
}

impl Connection {
    /// A connection that has just been accepted from `peer`; `front` says whom it may speak for.
    #[must_use]
    pub fn new(stream: TcpStream, peer: SocketAddr, permit: Permit, front: Arc<Front>) -> Self {
        Self {
            stream,
            opened_for: peer,
            peer,
            awaits_header: front.proxy_protocol,
            front,
            has_asked: false,
            input: Vec::new(),
            permit,
        }
    }

    /// Who asks: the other end, or for whom a believed front says to have asked last.
    ///
    /// Shape: port 0 where nobody says which; a Unix socket is `127.0.0.1`.
    #[must_use]
    pub fn peer(&self) -> SocketAddr {
        self.peer
    }

    /// Where the peer connected to.
    #[must_use]
    pub fn local(&self) -> Option<SocketAddr> {
        self.stream.local_addr().ok()
    }

    /// Reads one request head within `limit`.
    ///
    /// # Errors
    /// [`NoRequest`]: malformed, too long, too slow, or nobody there.
    pub async fn read_request(
        &mut self,
        clock: &Clock,
        limit: Duration,
    ) -> Result<Request, NoRequest> {
        match clock.limit(limit, self.read_head()).await {
            Some(request) => request,
            None => Err(NoRequest::Refused(Refusal::TooSlow)),
        }
    }

    /// Reads the next request of a connection that is kept alive: the first within `limit`, later ones within
    /// `KEEP_ALIVE`.
    ///
    /// # Errors
    /// As [`Connection::read_request`]; after the first request silence is [`NoRequest::Gone`].
    pub async fn next_request(
        &mut self,
        clock: &Clock,
        limit: Duration,
    ) -> Result<Request, NoRequest> {
        if !self.has_asked {
            self.has_asked = true;
            return self.read_request(clock, limit).await;
        }
        match self.read_request(clock, KEEP_ALIVE).await {
            // A connection that is kept alive and silent has asked for nothing.
            Err(NoRequest::Refused(Refusal::TooSlow)) if !self.has_input() => Err(NoRequest::Gone),
            read => read,
        }
    }

    async fn read_head(&mut self) -> Result<Request, NoRequest> {
        if self.awaits_header {
            self.read_proxy_header().await?;
        }
        loop {
            match request::parse(&self.input) {
                Ok(Some(head)) => {
                    self.input.drain(..head.bytes.min(self.input.len()));
                    let mut request = head.request;
                    let viewer = forwarded::attribute(&mut request, self.opened_for, &self.front);
                    self.peer = viewer.map_err(|error| NoRequest::Refused(error.into()))?;
                    return Ok(request);
                }
                Ok(None) => self.read_more(HEAD_BYTES_MAX).await?,
                Err(error) => return Err(NoRequest::Refused(error.into())),
            }
        }
    }

    async fn read_proxy_header(&mut self) -> Result<(), NoRequest> {
        loop {
            match proxy::parse(&self.input) {
                Ok(Some(header)) => {
                    self.input.drain(..header.bytes.min(self.input.len()));
                    self.awaits_header = false;
                    if self.front.trusts_header(self.opened_for.ip()) {
                        self.opened_for = header.viewer.unwrap_or(self.opened_for);
                    }
                    return Ok(());
                }
                Ok(None) => self.read_more(HEAD_BYTES_MAX).await?,
                Err(error) => return Err(NoRequest::Refused(error.into())),
            }
        }
    }

    /// Reads on, towards at most `bytes_max` that are not used yet.
    async fn read_more(&mut self, bytes_max: usize) -> Result<(), NoRequest> {
        let mut piece = [0; 2048];
        let room = bytes_max
            .saturating_sub(self.input.len())
            .clamp(1, piece.len());
        let piece = piece.get_mut(..room).unwrap_or_default();
        match self.stream.read(piece).await {
            Ok(0) | Err(_) => Err(NoRequest::Gone),
            Ok(bytes) => {
                self.input.extend(piece.iter().take(bytes));
                Ok(())
            }
        }
    }

    /// Whether bytes of another request, or of a body, have been read already.
    #[must_use]
    pub fn has_input(&self) -> bool {
        !self.input.is_empty()
    }

    /// Writes an answer and leaves the connection open.
    ///
    /// # Errors
    /// [`NoRequest::Gone`] if the peer does not take it within `WRITE_MAX`.
    pub async fn write(&mut self, clock: &Clock, answer: &Bytes) -> Result<(), NoRequest> {
        match clock.limit(WRITE_MAX, self.stream.write_all(answer)).await {
            Some(Ok(())) => Ok(()),
            Some(Err(_)) | None => Err(NoRequest::Gone),
        }
    }

    /// Writes an answer and closes: what the peer still sends is read for a moment, or closing would reset the
    /// connection and destroy the answer on its way.
    pub async fn finish(mut self, clock: &Clock, answer: &Bytes) {
        if self.write(clock, answer).await.is_err()
            || self.stream.shutdown(Shutdown::Write).await.is_err()
        {
            return;
        }
        let read_on = async {
            let mut scratch = [0; 2048];
            let mut left = LINGER_BYTES_MAX;
            while left > 0 {
                match self.stream.read(&mut scratch).await {
                    Ok(0) | Err(_) => return,
                    Ok(bytes) => left = left.saturating_sub(bytes),
                }
            }
        };
        clock.limit(LINGER_MAX, read_on).await;
    }

    /// A descriptor of its own for the same socket.
    ///
    /// # Errors
    /// There is none left.
    pub fn duplicate(&self) -> io::Result<OwnedFd> {
        fd::of_stream(&self.stream).try_clone_to_owned()
    }

    /// Gives the socket away, together with the permit to have it.
    #[must_use]
    pub fn into_parts(self) -> (TcpStream, Permit) {
        (self.stream, self.permit)
    }

    /// The socket, for noticing that the peer is gone.
    pub fn stream(&mut self) -> &mut TcpStream {
        &mut self.stream
    }
}

/// How long a connection stays open for another request.
const KEEP_ALIVE: Duration = Duration::from_secs(10);

/// How long a peer has for taking an answer.
const WRITE_MAX: Duration = Duration::from_secs(5);

/// How long a connection that is being closed is read from.
const LINGER_MAX: Duration = Duration::from_secs(1);

/// How much of what a refused peer still sends is read.
const LINGER_BYTES_MAX: usize = 64 * 1024;
