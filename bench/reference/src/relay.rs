//! The loop: from each upstream into its buffer, from a full buffer to every viewer of the channel.
//!
//! Sockets are read and written in `upstream` and `viewer`. The rule: nobody is waited for, and what goes out is whole
//! packets, in order, once to each viewer.

use std::io;
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use rustix::buffer::spare_capacity;
use rustix::event::{Timespec, epoll};
use rustix::io::Errno;

use crate::say;
use crate::upstream::{ReadError, Upstream};
use crate::viewer::{Gone, Viewer};

/// Every socket of the process.
///
/// Shape: an event bears the token of its socket: 0 is the listener, then come the channels, then the seats of viewers.
pub(crate) struct Relay {
    epoll: OwnedFd,
    listener: TcpListener,
    channels: Vec<Channel>,
    /// A viewer keeps its seat for life; an empty one is given away again.
    seats: Vec<Option<Viewer>>,
    viewers_max: usize,
}

impl Relay {
    /// Watches over these sockets; the first upstream is channel 1.
    ///
    /// # Errors
    /// The system refuses an epoll descriptor or a socket in it.
    pub(crate) fn new(
        listener: TcpListener,
        upstreams: Vec<Upstream>,
        viewers_max: usize,
    ) -> io::Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        listener.set_nonblocking(true)?;
        let token = epoll::EventData::new_u64(0);
        epoll::add(&epoll, &listener, token, epoll::EventFlags::IN)?;
        for (upstream, token) in upstreams.iter().zip(1..) {
            let token = epoll::EventData::new_u64(token);
            epoll::add(&epoll, upstream, token, epoll::EventFlags::IN)?;
        }
        Ok(Self {
            epoll,
            listener,
            channels: upstreams.into_iter().map(Channel::new).collect(),
            seats: Vec::new(),
            viewers_max,
        })
    }

    /// Relays until every upstream has ended and every viewer has what it was owed.
    ///
    /// # Errors
    /// The system refuses to wait.
    pub(crate) fn run(mut self) -> io::Result<()> {
        let mut events = Vec::with_capacity(EVENTS);
        while !self.is_done() {
            let timeout = self.timeout();
            match epoll::wait(&self.epoll, spare_capacity(&mut events), timeout.as_ref()) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
            for event in events.drain(..) {
                self.attend(usize::try_from(event.data.u64()).unwrap_or(usize::MAX));
            }
            for channel in 0..self.channels.len() {
                if self.channels.get(channel).is_some_and(Channel::is_due) {
                    self.publish(channel);
                }
            }
        }
        Ok(())
    }

    fn is_done(&self) -> bool {
        let is_live = self.channels.iter().any(Channel::is_live);
        !is_live && !self.seats.iter().flatten().any(Viewer::is_owed)
    }

    /// How long nothing has to be done without an event.
    fn timeout(&self) -> Option<Timespec> {
        let since = self
            .channels
            .iter()
            .filter_map(|channel| channel.since)
            .min()?;
        let left = AGE_MAX.saturating_sub(since.elapsed());
        Timespec::try_from(left).ok()
    }

    /// Looks after the socket of a token, whatever happened to it.
    fn attend(&mut self, token: usize) {
        if token == 0 {
            self.accept();
        } else if token <= self.channels.len() {
            self.read(token - 1);
        } else {
            self.serve(token - 1 - self.channels.len());
        }
    }

    /// Takes in all who wait at the door; too many are turned away at once.
    fn accept(&mut self) {
        while let Ok((connection, _)) = self.listener.accept() {
            let seat = self.seats.iter().position(Option::is_none);
            let seat = seat.unwrap_or(self.seats.len());
            if seat >= self.viewers_max {
                continue;
            }
            let token = epoll::EventData::new_u64((seat + 1 + self.channels.len()) as u64);
            let flags = epoll::EventFlags::IN | epoll::EventFlags::OUT | epoll::EventFlags::ET;
            let Ok(viewer) = Viewer::new(connection) else {
                continue;
            };
            if epoll::add(&self.epoll, &viewer, token, flags).is_err() {
                continue;
            }
            match self.seats.get_mut(seat) {
                Some(empty) => *empty = Some(viewer),
                None => self.seats.push(Some(viewer)),
            }
        }
    }

    /// Reads from an upstream once, and publishes when the buffer has no room for another packet.
    fn read(&mut self, index: usize) {
        let Some(channel) = self.channels.get_mut(index) else {
            return;
        };
        match channel.read() {
            Ok(is_full) if is_full => self.publish(index),
            Ok(_) => {}
            Err(error) => {
                say(&format!("INFO channel {} ended: {error}", index + 1));
                self.publish(index);
                self.end(index);
            }
        }
    }

    /// Sends the whole packets in a channel's buffer to each of its viewers; a torn one stays for what follows.
    fn publish(&mut self, index: usize) {
        let Some(channel) = self.channels.get_mut(index) else {
            return;
        };
        let whole = channel.filled - channel.filled % PACKET_BYTES;
        let piece = channel.buffer.get(..whole).unwrap_or_default();
        if piece.is_empty() {
            return;
        }
        for seat in &mut self.seats {
            if let Some(viewer) = seat.as_mut().filter(|viewer| viewer.watches(index)) {
                let outcome = viewer.offer(piece);
                keep(seat, outcome);
            }
        }
        channel.buffer.copy_within(whole..channel.filled, 0);
        channel.filled -= whole;
        channel.since = None;
    }

    /// Ends a channel: nobody can come to it, and its viewers leave when they have the rest.
    fn end(&mut self, index: usize) {
        if let Some(channel) = self.channels.get_mut(index) {
            channel.upstream = None;
        }
        for seat in &mut self.seats {
            if let Some(viewer) = seat.as_mut().filter(|viewer| viewer.watches(index)) {
                let outcome = viewer.end();
                keep(seat, outcome);
            }
        }
    }

    /// Hears a viewer out, answers its request, and sends it what it can take.
    fn serve(&mut self, seat: usize) {
        let channels = &self.channels;
        let Some(seat) = self.seats.get_mut(seat) else {
            return;
        };
        let Some(viewer) = seat.as_mut() else {
            return;
        };
        let outcome = viewer.hear().and_then(|head| match head {
            Some(head) => match wanted(&head) {
                Ok(channel) if channels.get(channel).is_some_and(Channel::is_live) => {
                    viewer.accept(channel)
                }
                Ok(_) => viewer.refuse("404 Not Found"),
                Err(status) => viewer.refuse(status),
            },
            None => viewer.flush(),
        });
        keep(seat, outcome);
    }
}

/// Empties the seat of a viewer that is gone.
fn keep(seat: &mut Option<Viewer>, outcome: Result<(), Gone>) {
    if let Err(gone) = outcome {
        if matches!(gone, Gone::Behind) {
            say(&format!("WARN {gone}"));
        }
        *seat = None;
    }
}

/// The index of the channel that a request names: the number at the end of its path, from 1, with or without `.ts`.
fn wanted(head: &str) -> Result<usize, &'static str> {
    let mut words = head.lines().next().unwrap_or_default().split(' ');
    let (Some(method), Some(target), Some("HTTP/1.0" | "HTTP/1.1"), None) =
        (words.next(), words.next(), words.next(), words.next())
    else {
        return Err("400 Bad Request");
    };
    if method != "GET" {
        return Err("405 Method Not Allowed");
    }
    let path = target.split('?').next().unwrap_or_default();
    let name = path.rsplit('/').next().unwrap_or_default();
    let number: Option<usize> = name.strip_suffix(".ts").unwrap_or(name).parse().ok();
    let index = number.and_then(|number| number.checked_sub(1));
    index.ok_or("404 Not Found")
}

/// One upstream and what came of it since the last piece.
struct Channel {
    /// None once it has ended.
    upstream: Option<Upstream>,
    buffer: Box<[u8; BUFFER_BYTES]>,
    filled: usize,
    /// When the first whole packet in the buffer was.
    since: Option<Instant>,
}

impl Channel {
    fn new(upstream: Upstream) -> Self {
        Self {
            upstream: Some(upstream),
            buffer: Box::new([0; BUFFER_BYTES]),
            filled: 0,
            since: None,
        }
    }

    fn is_live(&self) -> bool {
        self.upstream.is_some()
    }

    fn is_due(&self) -> bool {
        self.since.is_some_and(|since| since.elapsed() >= AGE_MAX)
    }

    /// Reads once and says whether the buffer has no room for another packet.
    #[expect(
        clippy::disallowed_methods,
        reason = "one thread, whose only clock this is"
    )]
    fn read(&mut self) -> Result<bool, ReadError> {
        let room = self.buffer.get_mut(self.filled..).unwrap_or_default();
        let Some(upstream) = &mut self.upstream else {
            return Ok(false);
        };
        self.filled += upstream.read(room)?;
        if upstream.is_over() {
            return Err(ReadError::Over);
        }
        if self.since.is_none() && self.filled >= PACKET_BYTES {
            self.since = Some(Instant::now());
        }
        Ok(self.filled + PACKET_BYTES > BUFFER_BYTES)
    }
}

/// Length of one transport packet.
const PACKET_BYTES: usize = 188;

/// Length of a channel's buffer: a piece is at most the 174 packets that fit.
const BUFFER_BYTES: usize = 32 * 1024;

/// Longest that a packet waits for the buffer to fill: below 6.5 Mbit/s pieces are smaller.
const AGE_MAX: Duration = Duration::from_millis(40);

/// Most events taken up at once.
const EVENTS: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_at_the_end_of_a_path_is_the_channel() {
        for (target, index) in [
            ("/1", 0),
            ("/live/admin/admin/12.ts", 11),
            ("/2.ts?token=/9", 1),
        ] {
            assert_eq!(wanted(&format!("GET {target} HTTP/1.1\r\n\r\n")), Ok(index));
        }
    }

    #[test]
    fn a_request_for_something_else_is_refused() {
        for (line, status) in [
            ("GET / HTTP/1.1", "404 Not Found"),
            ("GET /0.ts HTTP/1.1", "404 Not Found"),
            ("GET /one.ts HTTP/1.1", "404 Not Found"),
            ("POST /1.ts HTTP/1.1", "405 Method Not Allowed"),
            ("GET /1.ts", "400 Bad Request"),
            ("GET /1.ts HTTP/2", "400 Bad Request"),
        ] {
            assert_eq!(wanted(&format!("{line}\r\n\r\n")), Err(status), "{line}");
        }
    }
}
