//! One connection of a viewer: its request, and what it has not taken yet.
//!
//! Never waits. Which piece is sent when is the business of `relay`. The rule: a viewer gets whole pieces in order from
//! the first one after its request on, or its connection is reset.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use rustix::net::sockopt::set_socket_linger;
use thiserror::Error;

/// A connection, from its first byte to its end.
#[derive(Debug)]
pub(crate) struct Viewer {
    connection: TcpStream,
    head: Vec<u8>,
    /// All bytes it sent, the head and what came behind it.
    received_bytes: usize,
    stage: Stage,
    /// What the socket did not take yet, oldest first.
    rest: VecDeque<u8>,
}

impl Viewer {
    /// Takes over an accepted connection.
    ///
    /// # Errors
    /// The connection is gone already.
    pub(crate) fn new(connection: TcpStream) -> io::Result<Self> {
        connection.set_nonblocking(true)?;
        connection.set_nodelay(true)?;
        Ok(Self {
            connection,
            head: Vec::new(),
            received_bytes: 0,
            stage: Stage::Asking,
            rest: VecDeque::new(),
        })
    }

    /// Reads all that it sent and returns its request head once, when that is complete.
    ///
    /// # Errors
    /// [`Gone`]: the viewer is to be let go of.
    pub(crate) fn hear(&mut self) -> Result<Option<String>, Gone> {
        let mut heard = [0; 2048];
        loop {
            let bytes = match self.connection.read(&mut heard) {
                Ok(0) => return Err(Gone::Left),
                Ok(bytes) => bytes,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(error.into()),
            };
            self.received_bytes += bytes;
            if self.received_bytes > RECEIVED_BYTES_MAX {
                return Err(Gone::Talkative);
            }
            if self.stage == Stage::Asking {
                self.head
                    .extend_from_slice(heard.get(..bytes).unwrap_or_default());
            }
        }
        let is_complete = self.head.windows(4).any(|four| four == b"\r\n\r\n");
        if self.stage != Stage::Asking || !is_complete {
            return Ok(None);
        }
        let head = std::mem::take(&mut self.head);
        Ok(Some(String::from_utf8_lossy(&head).into_owned()))
    }

    /// Seats it at a channel; every piece offered from now on is for it.
    ///
    /// # Errors
    /// As [`Viewer::hear`].
    pub(crate) fn accept(&mut self, channel: usize) -> Result<(), Gone> {
        self.stage = Stage::Watching(channel);
        self.offer(ACCEPTED)
    }

    /// Tells it why not, and no more.
    ///
    /// # Errors
    /// As [`Viewer::hear`].
    pub(crate) fn refuse(&mut self, status: &str) -> Result<(), Gone> {
        self.stage = Stage::Leaving;
        let answer = format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        self.offer(answer.as_bytes())?;
        self.flush()
    }

    /// Whether it watches this channel.
    #[inline]
    pub(crate) fn watches(&self, channel: usize) -> bool {
        self.stage == Stage::Watching(channel)
    }

    /// Whether it has a rest to get before it leaves.
    pub(crate) fn is_owed(&self) -> bool {
        self.stage == Stage::Leaving
    }

    /// Sends a piece, or keeps what the socket does not take.
    ///
    /// # Errors
    /// [`Gone::Behind`] if more than [`REST_BYTES_MAX`] would be kept: the connection is reset, so that the viewer
    /// cannot take a torn packet for the end of the channel. Else as [`Viewer::hear`].
    #[inline]
    pub(crate) fn offer(&mut self, piece: &[u8]) -> Result<(), Gone> {
        let sent = if self.rest.is_empty() {
            self.send(piece)?
        } else {
            0
        };
        let unsent = piece.get(sent..).unwrap_or_default();
        self.rest.extend(unsent);
        if self.rest.len() > REST_BYTES_MAX {
            set_socket_linger(&self.connection, Some(Duration::ZERO)).map_err(io::Error::from)?;
            return Err(Gone::Behind);
        }
        Ok(())
    }

    /// Sends of the rest what the socket takes now.
    ///
    /// # Errors
    /// [`Gone::Served`] if nothing is left and nothing will come. Else as [`Viewer::hear`].
    pub(crate) fn flush(&mut self) -> Result<(), Gone> {
        while let (false, (oldest, _)) = (self.rest.is_empty(), self.rest.as_slices()) {
            let sent = self.send(oldest)?;
            if sent == 0 {
                return Ok(());
            }
            self.rest.drain(..sent);
        }
        if self.stage == Stage::Leaving {
            return Err(Gone::Served);
        }
        // A viewer that has caught up keeps no memory of having been behind.
        self.rest = VecDeque::new();
        Ok(())
    }

    /// Says that its channel has ended: it gets the rest, then an orderly end.
    ///
    /// # Errors
    /// As [`Viewer::flush`].
    pub(crate) fn end(&mut self) -> Result<(), Gone> {
        self.stage = Stage::Leaving;
        self.flush()
    }

    /// Sends once; 0 means that the socket takes nothing now and epoll will tell when it does.
    fn send(&self, bytes: &[u8]) -> io::Result<usize> {
        match (&self.connection).write(bytes) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(0),
            outcome => outcome,
        }
    }
}

impl AsFd for Viewer {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.connection.as_fd()
    }
}

/// What a connection is waiting for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Its request.
    Asking,
    /// The end of the rest.
    Leaving,
    /// Pieces of this channel.
    Watching(usize),
}

/// Why a viewer is let go of.
#[derive(Debug, Error)]
pub(crate) enum Gone {
    /// It takes less than its channel brings.
    #[error("viewer reset: more than {REST_BYTES_MAX} bytes behind")]
    Behind,
    /// The connection failed.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// It closed.
    #[error("viewer closed")]
    Left,
    /// It has everything.
    #[error("viewer served")]
    Served,
    /// It sent more than any request has.
    #[error("viewer sent more than {RECEIVED_BYTES_MAX} bytes")]
    Talkative,
}

/// The head before the packets.
const ACCEPTED: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Type: video/mp2t\r\nConnection: close\r\n\r\n";

/// Most that is kept for a viewer beyond what the kernel holds for it: 8 s of 8 Mbit/s.
const REST_BYTES_MAX: usize = 8 << 20;

/// Most that a viewer may send.
const RECEIVED_BYTES_MAX: usize = 8 * 1024;
