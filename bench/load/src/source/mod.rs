//! `corecast-load source`: an upstream that is honest about time, for as many channels and connections as asked for.
//!
//! One thread, one epoll: pieces go on air when they are due, and every connection is given what it may have. What the
//! media is belongs in `flow.rs`, the AceStream side in `engine.rs`. The rule: it counts what was asked of it, and how late
//! it was itself, so that a bad source is never taken for a bad relay.

mod connection;
mod engine;
mod fault;
mod flow;
mod options;
mod request;
mod stats;

use std::io::Write;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, EventData, EventFlags};
use rustix::io::Errno;
use rustix::net::{self, AddressFamily, SocketFlags, SocketType, sockopt};

use self::connection::{Connection, Pumped, Received};
use self::engine::{Engine, Reply, channel_of};
use self::flow::{Broadcast, Flow};
pub(crate) use self::options::Options;
use self::request::Request;
use self::stats::Lateness;
pub(crate) use self::stats::Stats;
use crate::clock;

/// The running source.
struct Upstream {
    options: Options,
    prefix: String,
    epoll: OwnedFd,
    listener: OwnedFd,
    broadcasts: Vec<Broadcast>,
    connections: Vec<Option<Connection>>,
    engine: Engine,
    lateness: Lateness,
    stats: Stats,
}

/// Serves until a signal or the time given, then says what happened.
///
/// # Errors
/// If it cannot listen, or its own epoll fails.
pub(crate) fn run(options: Options, out: &mut impl Write) -> Result<(), SourceError> {
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
        signal_hook::flag::register(signal, Arc::clone(&stop)).map_err(SourceError::Signal)?;
    }
    let seconds = options.seconds;
    let mut upstream = Upstream::new(options)?;
    let ready = upstream.ready()?;
    writeln!(out, "{ready}").map_err(SourceError::Print)?;
    out.flush().map_err(SourceError::Print)?;
    let until = (seconds > 0).then(|| clock::now() + Duration::from_secs(seconds));
    while !stop.load(Ordering::Relaxed) && until.is_none_or(|until| clock::now() < until) {
        upstream.turn()?;
    }
    writeln!(out, "{}", upstream.told()).map_err(SourceError::Print)
}

impl Upstream {
    fn new(options: Options) -> Result<Self, SourceError> {
        let address = options.listen;
        let failed = |errno| SourceError::Listen { address, errno };
        let family = if address.is_ipv4() {
            AddressFamily::INET
        } else {
            AddressFamily::INET6
        };
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let listener = net::socket_with(family, SocketType::STREAM, flags, None).map_err(failed)?;
        sockopt::set_socket_reuseaddr(&listener, true).map_err(failed)?;
        net::bind(&listener, &address).map_err(failed)?;
        net::listen(&listener, 4096).map_err(failed)?;
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC).map_err(SourceError::Epoll)?;
        epoll::add(
            &epoll,
            &listener,
            EventData::new_u64(LISTENER),
            EventFlags::IN,
        )
        .map_err(SourceError::Epoll)?;
        Ok(Self {
            prefix: options.advertise.clone().unwrap_or_default(),
            broadcasts: options.broadcasts(clock::now()),
            options,
            epoll,
            listener,
            connections: Vec::new(),
            engine: Engine::default(),
            lateness: Lateness::default(),
            stats: Stats::default(),
        })
    }

    /// The line that says where it listens and what it sends.
    fn ready(&mut self) -> Result<String, SourceError> {
        let address = net::getsockname(&self.listener)
            .and_then(SocketAddr::try_from)
            .map_err(|errno| SourceError::Listen {
                address: self.options.listen,
                errno,
            })?;
        if self.options.advertise.is_none() {
            self.prefix = format!("http://{address}");
        }
        let channels = self.options.channels;
        self.stats.channels = u64::from(channels);
        self.stats.bit_per_s = self
            .broadcasts
            .first()
            .map_or(0, |it| it.source().bit_per_s());
        let bit_per_s = self.stats.bit_per_s;
        Ok(format!(
            "ready listen={address} channels={channels} bit_per_s={bit_per_s}"
        ))
    }

    /// One turn: what is due goes on air, whoever may have something gets it, whoever asked is answered.
    fn turn(&mut self) -> Result<(), SourceError> {
        let now = clock::now();
        let next_due = self.broadcasts.iter().map(Broadcast::next_due).min();
        let wait = next_due.map_or(TURN_MAX, |due| due.saturating_sub(now).min(TURN_MAX));
        let mut events = Vec::with_capacity(256);
        match epoll::wait(
            &self.epoll,
            spare_capacity(&mut events),
            Some(&clock::timespec(wait)),
        ) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(errno) => return Err(SourceError::Epoll(errno)),
        }
        let now = clock::now();
        let mut aired = false;
        for broadcast in &mut self.broadcasts {
            if let Some(late) = broadcast.air(now) {
                self.lateness.note(late);
                aired = true;
            }
        }
        for event in events {
            let target = event.data.u64();
            if target == LISTENER {
                self.accept()?;
            } else if let Ok(slot) = usize::try_from(target) {
                self.ready_at(slot, event.flags)?;
            }
        }
        if aired {
            for slot in 0..self.connections.len() {
                let is_due = |it: &Connection| it.is_flowing() && !it.is_blocked;
                if self
                    .connections
                    .get(slot)
                    .and_then(Option::as_ref)
                    .is_some_and(is_due)
                {
                    self.pump(slot)?;
                }
            }
        }
        Ok(())
    }

    fn accept(&mut self) -> Result<(), SourceError> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        // A failed accept is the other end's loss; the next turn tries again.
        while let Ok(socket) = net::accept_with(&self.listener, flags) {
            self.stats.connections += 1;
            sockopt::set_tcp_nodelay(&socket, true).unwrap_or_default();
            let free = self.connections.iter().position(Option::is_none);
            let slot = free.unwrap_or(self.connections.len());
            if slot == self.connections.len() {
                self.connections.push(None);
            }
            epoll::add(&self.epoll, &socket, EventData::new_u64(slot as u64), WATCH)
                .map_err(SourceError::Epoll)?;
            if let Some(place) = self.connections.get_mut(slot) {
                *place = Some(Connection::new(socket));
            }
        }
        Ok(())
    }

    /// A connection has something to read, or room again, or is over.
    fn ready_at(&mut self, slot: usize, flags: EventFlags) -> Result<(), SourceError> {
        let Some(connection) = self.connections.get_mut(slot).and_then(Option::as_mut) else {
            return Ok(());
        };
        if flags.intersects(EventFlags::IN | EventFlags::ERR | EventFlags::HUP | EventFlags::RDHUP)
        {
            match connection.receive() {
                Received::Nothing => {}
                Received::Gone => {
                    self.close(slot);
                    return Ok(());
                }
                Received::Bad(bad) => {
                    connection.answer("400 Bad Request", TEXT, &bad.to_string());
                }
                Received::Request(request) => self.answer(slot, &request),
            }
        }
        self.pump(slot)
    }

    /// Sends what a connection may have and asks epoll for room if it wants more than fits.
    fn pump(&mut self, slot: usize) -> Result<(), SourceError> {
        let Some(connection) = self.connections.get_mut(slot).and_then(Option::as_mut) else {
            return Ok(());
        };
        if connection.pump(&self.broadcasts, clock::now()) == Pumped::Over {
            self.close(slot);
            return Ok(());
        }
        if connection.is_blocked != connection.is_watched {
            connection.is_watched = connection.is_blocked;
            let room = if connection.is_blocked {
                EventFlags::OUT
            } else {
                EventFlags::empty()
            };
            let data = EventData::new_u64(slot as u64);
            epoll::modify(&self.epoll, &connection.socket, data, WATCH | room)
                .map_err(SourceError::Epoll)?;
        }
        Ok(())
    }

    fn close(&mut self, slot: usize) {
        if let Some(connection) = self.connections.get_mut(slot).and_then(Option::take) {
            self.stats.media_bytes += connection.media_bytes;
            if let Some(broadcast) = connection
                .channel()
                .and_then(|channel| self.broadcasts.get_mut(channel))
            {
                broadcast.leave();
            }
            if let Some(token) = connection.session {
                self.engine.leave(token);
            }
        }
    }

    /// Answers a request: media, the engine's words, or what the source has counted.
    fn answer(&mut self, slot: usize, request: &Request) {
        self.stats.requests += 1;
        let channels = self.broadcasts.len();
        let told = (request.path() == "/stats").then(|| self.told());
        let reply = if request.path().starts_with("/ace/") || request.path().starts_with("/webui/")
        {
            Some(self.engine.reply(request, channels, &self.prefix))
        } else {
            None
        };
        let Some(connection) = self.connections.get_mut(slot).and_then(Option::as_mut) else {
            return;
        };
        let mut channel = request.channel(channels);
        match reply {
            _ if request.method != "GET" => {
                return connection.answer("405 Method Not Allowed", "Allow: GET\r\n", "");
            }
            Some(Reply::Json(text)) => return connection.answer("200 OK", JSON, &text),
            Some(Reply::Elsewhere(url)) => {
                let location = format!("Location: {url}\r\n");
                return connection.answer("302 Found", &location, "");
            }
            Some(Reply::Stale) => return connection.answer("403 Forbidden", TEXT, "stale"),
            Some(Reply::NotFound) => channel = None,
            Some(Reply::Playback { token, infohash }) => {
                connection.session = Some(token);
                channel = Some(channel_of(&infohash, channels));
            }
            None => {}
        }
        if let Some(told) = told {
            return connection.answer("200 OK", JSON, &told);
        }
        let Some((channel, broadcast)) =
            channel.and_then(|at| Some((at, self.broadcasts.get_mut(at)?)))
        else {
            return connection.answer("404 Not Found", TEXT, "no such channel");
        };
        let mut faults = self.options.fault.clone();
        match request.faults() {
            Ok(asked) => faults.extend(asked),
            Err(error) => return connection.answer("400 Bad Request", TEXT, &error.to_string()),
        }
        let (framing, header) = self.options.framing();
        let pace = self.options.pace();
        let flow = Flow::new(channel, broadcast, framing, pace, faults, clock::now());
        connection.flow(&header, flow);
        self.stats.bodies += 1;
    }

    /// Everything counted so far, as one line of JSON.
    fn told(&self) -> String {
        let open = self.connections.iter().flatten();
        let flowing = open.clone().filter(|it| it.is_flowing()).count();
        let unclosed: u64 = open.map(|it| it.media_bytes).sum();
        let stats = Stats {
            bodies_open: flowing as u64,
            media_bytes: self.stats.media_bytes + unclosed,
            late_us: self.lateness.told(),
            cpu_s: clock::own_cpu().as_secs_f64(),
            engine: self.engine.account.clone(),
            ..self.stats.clone()
        };
        serde_json::to_string(&stats).unwrap_or_default()
    }
}

/// Why the source ended.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SourceError {
    #[error("epoll of the source failed")]
    Epoll(#[source] Errno),
    #[error("listen on {address} failed")]
    Listen {
        address: SocketAddr,
        #[source]
        errno: Errno,
    },
    #[error("write to standard output failed")]
    Print(#[source] std::io::Error),
    #[error("wait for SIGINT and SIGTERM was refused")]
    Signal(#[source] std::io::Error),
}

/// What epoll says of the listener; connections are their place in the list.
const LISTENER: u64 = u64::MAX;
const WATCH: EventFlags = EventFlags::IN.union(EventFlags::RDHUP);
/// A signal or an unpaced reader waits no longer than this.
const TURN_MAX: Duration = Duration::from_millis(100);
const JSON: &str = "Content-Type: application/json\r\n";
const TEXT: &str = "Content-Type: text/plain\r\n";
