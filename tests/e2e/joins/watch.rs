//! Viewers that keep what they get and when they got it.
//!
//! They read on the thread that asks, and end when told: by what came, with a deadline, and never by time alone.

use std::io::{Read, Write};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use corecast_load::packets::PACKET_BYTES;
use socket2::{Domain, Socket, Type};

use super::parse::{self, VIDEO_PID};
use crate::http::Head;
use crate::scaled;

/// Asks for `target` and shows each piece of the body, with the time since the connection was asked for, until `take`
/// has had enough; `bytes_per_second` slows it down.
#[track_caller]
pub(crate) fn watch(
    address: SocketAddr,
    target: &str,
    bytes_per_second: Option<usize>,
    mut take: impl FnMut(Duration, &[u8]) -> bool,
) {
    let deadline = Duration::from_secs(scaled(DEADLINE_SECONDS, DEADLINE_SECONDS_SOAK));
    let asked = Instant::now();
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None).unwrap();
    if bytes_per_second.is_some() {
        // So that it is the server that notices and not the kernel that covers for it.
        socket.set_recv_buffer_size(SMALL_BUFFER_BYTES).unwrap();
    }
    socket.connect(&address.into()).unwrap();
    socket.set_read_timeout(Some(SILENCE_MAX)).unwrap();
    let mut socket = std::net::TcpStream::from(socket);
    let request = format!("GET {target} HTTP/1.1\r\nHost: {address}\r\n\r\n");
    socket.write_all(request.as_bytes()).unwrap();
    let share = bytes_per_second.map_or(BUFFER_BYTES, |bytes| bytes / TURNS_PER_SECOND);
    let mut buffer = vec![0; share];
    let mut input = Vec::new();
    let mut has_head = false;
    loop {
        let turn = Instant::now();
        let read = socket.read(&mut buffer).unwrap();
        assert!(read > 0, "the stream has ended");
        assert!(
            asked.elapsed() < deadline,
            "what was waited for does not come"
        );
        let goes_on = if has_head {
            take(asked.elapsed(), &buffer[..read])
        } else {
            input.extend_from_slice(&buffer[..read]);
            Head::read(&input).is_none_or(|(head, length)| {
                assert_eq!(head.status, 200);
                has_head = true;
                take(asked.elapsed(), &input[length..])
            })
        };
        if !goes_on {
            return;
        }
        if bytes_per_second.is_some() {
            let left = (Duration::from_secs(1) / TURNS).saturating_sub(turn.elapsed());
            std::thread::sleep(left);
        }
    }
}

/// What one viewer got.
#[derive(Default)]
pub(crate) struct Capture {
    pub(crate) bytes: Vec<u8>,
    /// Shape: how many bytes had come after which time, ascending.
    arrivals: Vec<(usize, Duration)>,
    shown: Shown,
}

impl Capture {
    /// What a viewer gets until its pictures span `media`.
    #[track_caller]
    pub(crate) fn of(address: SocketAddr, target: &str, media: Duration) -> Self {
        let mut capture = Self::default();
        watch(address, target, None, |time, bytes| {
            capture.take(time, bytes);
            capture.shown.span() < media
        });
        capture
    }

    /// What a viewer gets that reads so slowly, until this long after its request.
    #[track_caller]
    pub(crate) fn slow(
        address: SocketAddr,
        target: &str,
        bytes_per_second: usize,
        time: Duration,
    ) -> Self {
        let mut capture = Self::default();
        watch(address, target, Some(bytes_per_second), |passed, bytes| {
            capture.take(passed, bytes);
            passed < time
        });
        capture
    }

    pub(crate) fn take(&mut self, time: Duration, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
        self.arrivals.push((self.bytes.len(), time));
        self.shown.look(&self.bytes);
    }

    /// When this many packets had come.
    pub(crate) fn came_at(&self, packets: usize) -> Duration {
        let first = self
            .arrivals
            .partition_point(|(bytes, _)| *bytes < packets * PACKET_BYTES);
        self.arrivals[first].1
    }

    /// How much media its pictures span.
    pub(crate) fn span(&self) -> Duration {
        self.shown.span()
    }

    /// The newest time stamp of a picture.
    pub(crate) fn newest(&self) -> Option<u64> {
        self.shown.newest
    }
}

/// The time stamps of the pictures in a stream that grows.
#[derive(Default)]
struct Shown {
    /// Bytes looked at.
    looked: usize,
    first: Option<u64>,
    newest: Option<u64>,
}

impl Shown {
    fn look(&mut self, bytes: &[u8]) {
        let whole = bytes.len() / PACKET_BYTES * PACKET_BYTES;
        let stamps = parse::packets(&bytes[self.looked..whole])
            .filter(|packet| packet.pid() == VIDEO_PID)
            .filter_map(parse::Packet::shown_at);
        for stamp in stamps {
            self.first = self.first.or(Some(stamp));
            self.newest = self.newest.max(Some(stamp));
        }
        self.looked = whole;
    }

    fn span(&self) -> Duration {
        parse::time(
            self.newest
                .zip(self.first)
                .map_or(0, |(newest, first)| newest - first),
        )
    }
}

/// Longer than any of them watches.
const DEADLINE_SECONDS: u64 = 150;
const DEADLINE_SECONDS_SOAK: u64 = 900;
const SILENCE_MAX: Duration = Duration::from_secs(30);
const BUFFER_BYTES: usize = 65_536;
const SMALL_BUFFER_BYTES: usize = 4_096;
const TURNS: u32 = 50;
const TURNS_PER_SECOND: usize = TURNS as usize;
