//! One connection of the source: the head it sent, the answer that is being sent, and what follows.
//!
//! What the media is belongs in `flow.rs`. The rule: a connection never waits; what the socket does not take stays here,
//! and no more than one fill of it.

use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, recv, send, sockopt};

use super::flow::{Broadcast, Flow, Next};
use super::request::{BadHead, Request};

/// An accepted socket.
pub(crate) struct Connection {
    pub(crate) socket: OwnedFd,
    head: Vec<u8>,
    pending: Vec<u8>,
    sent: usize,
    after: After,
    channel: Option<usize>,
    /// Which session of the engine it reads.
    pub(crate) session: Option<u64>,
    /// Whether the socket took less than it was offered.
    pub(crate) is_blocked: bool,
    /// Whether epoll is asked for room in the socket.
    pub(crate) is_watched: bool,
    pub(crate) media_bytes: u64,
}

impl Connection {
    pub(crate) fn new(socket: OwnedFd) -> Self {
        Self {
            socket,
            head: Vec::new(),
            pending: Vec::new(),
            sent: 0,
            after: After::Request,
            channel: None,
            session: None,
            is_blocked: false,
            is_watched: false,
            media_bytes: 0,
        }
    }

    /// Whether media is being sent.
    pub(crate) fn is_flowing(&self) -> bool {
        matches!(self.after, After::Flow(_))
    }

    /// Which channel was asked for, if any was.
    pub(crate) fn channel(&self) -> Option<usize> {
        self.channel
    }

    /// Takes what the other end sends: first its request; what follows it is of no interest.
    pub(crate) fn receive(&mut self) -> Received {
        let mut bytes = [0; 4096];
        match recv(&self.socket, &mut bytes, RecvFlags::DONTWAIT) {
            Ok((_, 0)) => Received::Gone,
            Ok((_, length)) if matches!(self.after, After::Request) => {
                self.head
                    .extend_from_slice(bytes.get(..length).unwrap_or_default());
                match Request::read(&self.head) {
                    Ok(Some(request)) => Received::Request(request),
                    Ok(None) => Received::Nothing,
                    Err(bad) => Received::Bad(bad),
                }
            }
            Ok(_) | Err(Errno::AGAIN | Errno::INTR) => Received::Nothing,
            Err(_) => Received::Gone,
        }
    }

    /// Answers with a short text and closes.
    pub(crate) fn answer(&mut self, status: &str, headers: &str, body: &str) {
        let length = body.len();
        self.pending = format!(
            "HTTP/1.1 {status}\r\n{headers}Content-Length: {length}\r\nConnection: close\r\n\r\n{body}"
        )
        .into_bytes();
        self.after = After::Close;
    }

    /// Answers with a head whose body is media.
    pub(crate) fn flow(&mut self, framing: &str, flow: Flow) {
        self.pending = format!(
            "HTTP/1.1 200 OK\r\nContent-Type: video/mp2t\r\n{framing}Connection: close\r\n\r\n"
        )
        .into_bytes();
        self.channel = Some(flow.channel);
        self.after = After::Flow(Box::new(flow));
    }

    /// Sends what there is until the socket is full, nothing is due, or the connection is over.
    pub(crate) fn pump(&mut self, broadcasts: &[Broadcast], now: Duration) -> Pumped {
        let mut fills = 0;
        loop {
            if self.sent < self.pending.len() {
                let rest = self.pending.get(self.sent..).unwrap_or_default();
                match send(
                    &self.socket,
                    rest,
                    SendFlags::DONTWAIT | SendFlags::NOSIGNAL,
                ) {
                    Ok(taken) => {
                        self.sent += taken;
                        if self.is_flowing() {
                            self.media_bytes += taken as u64;
                        }
                    }
                    Err(Errno::AGAIN) => {
                        self.is_blocked = true;
                        return Pumped::Open;
                    }
                    Err(Errno::INTR) => {}
                    Err(_) => return Pumped::Over,
                }
                continue;
            }
            self.is_blocked = false;
            self.pending.clear();
            self.sent = 0;
            match &mut self.after {
                After::Request => return Pumped::Open,
                After::Close => return Pumped::Over,
                After::Reset => {
                    // Best effort: without it the other end sees a close.
                    sockopt::set_socket_linger(&self.socket, Some(Duration::ZERO))
                        .unwrap_or_default();
                    return Pumped::Over;
                }
                After::Flow(flow) => {
                    let Some(broadcast) = broadcasts.get(flow.channel) else {
                        return Pumped::Over;
                    };
                    match flow.fill(broadcast, now, &mut self.pending) {
                        Next::Wait => return Pumped::Open,
                        // Others want their turn; epoll asks again at once.
                        Next::Send if fills == FILLS_MAX => {
                            self.is_blocked = true;
                            return Pumped::Open;
                        }
                        Next::Send => fills += 1,
                        Next::Close => self.after = After::Close,
                        Next::Reset => self.after = After::Reset,
                    }
                }
            }
        }
    }
}

/// What came from the other end.
pub(crate) enum Received {
    Bad(BadHead),
    Gone,
    Nothing,
    Request(Request),
}

/// Whether the connection goes on.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pumped {
    Open,
    Over,
}

/// What follows when everything pending is sent.
enum After {
    Close,
    Flow(Box<Flow>),
    Request,
    Reset,
}

/// One pump sends no more than so many fills.
const FILLS_MAX: u32 = 16;
