//! One accepted connection: read a request head, write an answer, close so that the answer arrives.
//!
//! Knows deadlines and sockets; what the bytes mean is decided in `request` and `response`.

pub mod body;

use std::net::{Shutdown, SocketAddr};
use std::time::Duration;

use bytes::Bytes;
use futures_lite::{AsyncReadExt, AsyncWriteExt};
use glommio::net::TcpStream;

use crate::clock::Clock;
use crate::http::request::{self, HEAD_BYTES_MAX, Request};
use crate::http::response::Refusal;
use crate::shard::permits::Permit;

/// A connection on either listener.
///
/// Ownership: holds the permit that was taken before it was accepted.
pub struct Connection {
    stream: TcpStream,
    peer: SocketAddr,
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
    /// A connection that has just been accepted.
    #[must_use]
    pub fn new(stream: TcpStream, peer: SocketAddr, permit: Permit) -> Self {
        Self {
            stream,
            peer,
            input: Vec::new(),
            permit,
        }
    }

    /// Who is at the other end.
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

    async fn read_head(&mut self) -> Result<Request, NoRequest> {
        loop {
            match request::parse(&self.input) {
                Ok(Some(head)) => {
                    self.input.drain(..head.bytes.min(self.input.len()));
                    return Ok(head.request);
                }
                Ok(None) => {}
                Err(error) => return Err(NoRequest::Refused(error.into())),
            }
            let mut piece = [0; 2048];
            let room = HEAD_BYTES_MAX
                .saturating_sub(self.input.len())
                .clamp(1, piece.len());
            let piece = piece.get_mut(..room).unwrap_or_default();
            match self.stream.read(piece).await {
                Ok(0) | Err(_) => return Err(NoRequest::Gone),
                Ok(bytes) => self.input.extend(piece.iter().take(bytes)),
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

/// How long a peer has for taking an answer.
const WRITE_MAX: Duration = Duration::from_secs(5);

/// How long a connection that is being closed is read from.
const LINGER_MAX: Duration = Duration::from_secs(1);

/// How much of what a refused peer still sends is read.
const LINGER_BYTES_MAX: usize = 64 * 1024;
