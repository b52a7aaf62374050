//! Viewers: plain blocking HTTP clients that check every byte they get.
//!
//! A [`Viewer`] reads a stream in its own thread, as fast as told; short exchanges that end by themselves are `http.rs`.
//! The rule: a test waits for what a viewer has seen, with a deadline, and never for time.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use corecast_load::packets::PACKET_BYTES;
use corecast_load::verify::{Seen, Verifier};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use socket2::{Domain, Socket, Type};

use crate::http::Head;
use crate::steady;

/// One viewer of one stream.
pub(crate) struct Viewer {
    shared: Arc<Shared>,
    socket: TcpStream,
    thread: Option<JoinHandle<()>>,
    resets: bool,
    asked: Instant,
}

impl Viewer {
    /// Asks `address` for `target` and reads what comes as fast as it comes.
    pub(crate) fn of(address: SocketAddr, target: &str) -> Self {
        Self::reading(address, target, Reading::Full)
    }

    /// The same, but reads as told. One that reads slower than it is sent has a small receive buffer, so that it is
    /// the server that notices and not the kernel that covers for it.
    pub(crate) fn reading(address: SocketAddr, target: &str, reading: Reading) -> Self {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, None).unwrap();
        if reading != Reading::Full {
            socket.set_recv_buffer_size(SMALL_BUFFER_BYTES).unwrap();
        }
        socket.connect(&address.into()).unwrap();
        Self::on(
            socket.into(),
            &format!(
                "GET {target} HTTP/1.1\r\nHost: {address}\r\nUser-Agent: VLC/3.0.20 LibVLC/3.0.20\r\n\r\n"
            ),
            reading,
        )
    }

    /// Sends `request` on a socket that is connected and reads what comes.
    pub(crate) fn on(mut socket: TcpStream, request: &str, reading: Reading) -> Self {
        let shared = Arc::new(Shared {
            state: Mutex::new(State::new()),
            changed: Condvar::new(),
            leaving: AtomicBool::new(false),
        });
        steady::watch();
        socket.write_all(request.as_bytes()).unwrap();
        let (mine, other) = (Arc::clone(&shared), socket.try_clone().unwrap());
        let thread = std::thread::spawn(move || read_on(&mine, other, reading));
        Self {
            shared,
            socket,
            thread: Some(thread),
            resets: false,
            asked: Instant::now(),
        }
    }

    /// Waits until the viewer has seen what `is_so` asks for.
    #[track_caller]
    pub(crate) fn wait(&self, what: &str, is_so: impl Fn(&State) -> bool) {
        self.wait_within(Duration::from_secs(10), what, is_so);
    }

    /// The same with a deadline of its own.
    #[track_caller]
    pub(crate) fn wait_within(&self, time: Duration, what: &str, is_so: impl Fn(&State) -> bool) {
        let state = self.shared.state.lock().unwrap();
        let (state, late) = self
            .shared
            .changed
            .wait_timeout_while(state, time, |state| !is_so(state))
            .unwrap();
        assert!(
            !late.timed_out(),
            "{what}: not within {time:?}; status {:?}, ended {:?}, {:?}",
            state.status(),
            state.ended,
            state.verifier.seen()
        );
    }

    /// Waits for the answer's head and tells its status.
    #[track_caller]
    pub(crate) fn wait_status(&self) -> u16 {
        self.wait("an answer", |state| {
            state.head.is_some() || state.ended.is_some()
        });
        self.shared.state.lock().unwrap().status().unwrap_or(0)
    }

    /// The head of the answer, which must have come.
    #[track_caller]
    pub(crate) fn head(&self) -> Head {
        self.wait("an answer", |state| state.head.is_some());
        self.shared.state.lock().unwrap().head.clone().unwrap()
    }

    /// Waits until this much media has come since the call.
    #[track_caller]
    pub(crate) fn wait_more(&self, packets: u64) {
        let before = self.seen().packets;
        self.wait("more media", |state| {
            state.seen().packets >= before + packets
        });
    }

    /// Waits for the end of the stream.
    #[track_caller]
    pub(crate) fn wait_end(&self) -> End {
        self.wait("the end of the stream", |state| state.ended.is_some());
        self.ended().unwrap()
    }

    /// How the stream ended, if it has.
    pub(crate) fn ended(&self) -> Option<End> {
        self.shared.state.lock().unwrap().ended
    }

    /// What was counted so far.
    pub(crate) fn seen(&self) -> Seen {
        self.shared.state.lock().unwrap().verifier.seen().clone()
    }

    /// The longest time without media since the first of it; null packets are none.
    pub(crate) fn longest_silence(&self) -> Duration {
        let state = self.shared.state.lock().unwrap();
        state.media.longest(state.ended)
    }

    /// The longest time without any byte since the first one.
    pub(crate) fn longest_hush(&self) -> Duration {
        let state = self.shared.state.lock().unwrap();
        state.bytes.longest(state.ended)
    }

    /// Panics if the media stood still for longer than the machine itself explains.
    #[track_caller]
    pub(crate) fn assert_steady(&self) {
        let (silence, limit) = (self.longest_silence(), steady::silence_max(self.asked));
        assert!(
            silence < limit,
            "silent for {silence:?}, {limit:?} are allowed"
        );
    }

    /// From the request to the first byte of media.
    pub(crate) fn first_byte(&self) -> Option<Duration> {
        self.shared.state.lock().unwrap().first_byte
    }

    /// Closes the sending side only.
    pub(crate) fn half_close(&self) {
        self.socket.shutdown(Shutdown::Write).unwrap();
    }

    /// Leaves with a reset.
    pub(crate) fn leave_by_reset(mut self) {
        socket2::SockRef::from(&self.socket)
            .set_linger(Some(Duration::ZERO))
            .unwrap();
        self.resets = true;
    }
}

impl Drop for Viewer {
    fn drop(&mut self) {
        self.shared.leaving.store(true, Ordering::SeqCst);
        // Wakes a blocked read. One that leaves in order says so before unread input can make its close a reset.
        drop(self.socket.shutdown(if self.resets {
            Shutdown::Read
        } else {
            Shutdown::Both
        }));
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

/// How fast a viewer reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reading {
    /// As fast as bytes come.
    Full,
    /// So many bytes a second since the head; what a late turn missed is made up for.
    Played(usize),
    /// At most so many bytes a second.
    PerSecond(usize),
    /// Nothing after the head.
    Stopped,
}

/// How a stream ended for its viewer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// In order: the server said that nothing follows.
    Closed,
    /// The viewer left by itself.
    Left,
    Reset,
}

/// What a viewer has seen so far.
pub(crate) struct State {
    head: Option<Head>,
    verifier: Verifier,
    ended: Option<End>,
    asked: Instant,
    first_byte: Option<Duration>,
    bytes: Gaps,
    media: Gaps,
}

/// The times between things of one kind.
#[derive(Default)]
struct Gaps {
    last: Option<Instant>,
    longest: Duration,
}

impl Gaps {
    fn note(&mut self) {
        let now = Instant::now();
        if let Some(last) = self.last.replace(now) {
            self.longest = self.longest.max(now - last);
        }
    }

    /// The longest one, the present one included unless all is over.
    fn longest(&self, ended: Option<End>) -> Duration {
        let now = self.last.filter(|_| ended.is_none());
        self.longest
            .max(now.map_or(Duration::ZERO, |last| last.elapsed()))
    }
}

impl State {
    fn new() -> Self {
        Self {
            head: None,
            verifier: Verifier::default(),
            ended: None,
            asked: Instant::now(),
            first_byte: None,
            bytes: Gaps::default(),
            media: Gaps::default(),
        }
    }

    /// What was counted in the media.
    pub(crate) fn seen(&self) -> &Seen {
        self.verifier.seen()
    }

    /// The status, once the head is there.
    pub(crate) fn status(&self) -> Option<u16> {
        self.head.as_ref().map(|head| head.status)
    }

    /// How the stream ended, if it has.
    pub(crate) fn ended(&self) -> Option<End> {
        self.ended
    }

    fn take(&mut self, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        self.bytes.note();
        self.first_byte = self.first_byte.or_else(|| Some(self.asked.elapsed()));
        let before = (self.seen().nulls, self.seen().packets);
        if self.status() == Some(200) {
            self.verifier.push(bytes);
        }
        let nulls = self.seen().nulls - before.0;
        if nulls == 0 || self.seen().packets - before.1 > nulls {
            self.media.note();
        }
    }
}

struct Shared {
    state: Mutex<State>,
    changed: Condvar,
    leaving: AtomicBool,
}

impl Shared {
    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state.lock().unwrap());
        self.changed.notify_all();
    }
}

/// Reads head and media to the end, or until the viewer leaves.
fn read_on(shared: &Shared, mut socket: TcpStream, reading: Reading) {
    let mut input = Vec::new();
    let mut buffer = vec![0u8; BUFFER_BYTES];
    let mut has_head = false;
    let (mut played_since, mut played) = (Instant::now(), 0);
    let end = loop {
        let share = match reading {
            _ if !has_head => BUFFER_BYTES.min(if reading == Reading::Full {
                BUFFER_BYTES
            } else {
                PACKET_BYTES
            }),
            Reading::Full => BUFFER_BYTES,
            Reading::Played(bytes) => {
                let played_ms = usize::try_from(played_since.elapsed().as_millis()).unwrap();
                let due = played_ms * bytes / 1000;
                due.saturating_sub(played).clamp(1, BUFFER_BYTES)
            }
            Reading::PerSecond(bytes) => (bytes / TURNS_PER_SECOND).max(1),
            Reading::Stopped => break stand_still(shared, &socket),
        };
        let turn = Instant::now();
        let read = match socket.read(&mut buffer[..share]) {
            Ok(0) => break End::Closed,
            Ok(read) => read,
            Err(_) => break End::Reset,
        };
        if has_head {
            played += read;
            shared.change(|state| state.take(&buffer[..read]));
        } else {
            input.extend_from_slice(&buffer[..read]);
            if let Some((head, length)) = Head::read(&input) {
                has_head = true;
                played_since = Instant::now();
                shared.change(|state| {
                    state.head = Some(head);
                    state.take(&input[length..]);
                });
            }
        }
        if let (true, Reading::Played(_)) = (has_head, reading)
            && share < BUFFER_BYTES
        {
            std::thread::sleep(SLICE);
        }
        if let (true, Reading::PerSecond(bytes)) = (has_head, reading) {
            // A rate below one byte a turn makes the turn longer.
            let time = Duration::from_secs_f64(1.0 / TURNS_PER_SECOND.min(bytes).max(1) as f64);
            let until = turn + time;
            if let Some(End::Reset) = wait_for_hang_up(shared, &socket, until) {
                break End::Reset;
            }
        }
        if shared.leaving.load(Ordering::SeqCst) {
            break End::Left;
        }
    };
    let end = if shared.leaving.load(Ordering::SeqCst) {
        End::Left
    } else {
        end
    };
    shared.change(|state| state.ended = Some(end));
}

/// Reads nothing and notices all the same when the connection is ended.
fn stand_still(shared: &Shared, socket: &TcpStream) -> End {
    while !shared.leaving.load(Ordering::SeqCst) {
        if let Some(end) = wait_for_hang_up(shared, socket, Instant::now() + SLICE) {
            return end;
        }
    }
    End::Left
}

/// Waits in pieces, so that a viewer can leave at any time, and says how the connection was ended if it was.
///
/// Unread input does not hide the end.
fn wait_for_hang_up(shared: &Shared, socket: &TcpStream, until: Instant) -> Option<End> {
    let mut end = None;
    while !shared.leaving.load(Ordering::SeqCst) && end != Some(End::Reset) {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            break;
        }
        let mut wanted = [PollFd::new(socket, PollFlags::empty())];
        let slice = Timespec {
            tv_sec: 0,
            tv_nsec: i64::from(left.min(SLICE).subsec_nanos()),
        };
        poll(&mut wanted, Some(&slice)).unwrap();
        if wanted[0]
            .revents()
            .intersects(PollFlags::ERR | PollFlags::HUP)
        {
            end = Some(End::Reset);
        }
        let mut wanted = [PollFd::new(socket, PollFlags::RDHUP)];
        poll(&mut wanted, Some(&Timespec::default())).unwrap();
        if end.is_none() && wanted[0].revents().contains(PollFlags::RDHUP) {
            end = Some(End::Closed);
        }
    }
    end
}

const BUFFER_BYTES: usize = 65_536;
const SMALL_BUFFER_BYTES: usize = 4_096;
const TURNS_PER_SECOND: usize = 50;
const SLICE: Duration = Duration::from_millis(20);
