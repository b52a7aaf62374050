//! One viewer: the send loop between a ring and a socket.
//!
//! A viewer is one task with a place and a socket; it has no queue, waits alone when its socket is full, and nobody
//! waits for it. What goes out next is `place`, where it starts and how fast is `burst`, what happens when it falls
//! behind is `slow`, the call itself is `send`.

pub mod burst;
pub mod place;
pub mod send;
pub mod slow;

use std::future::{Future, poll_fn};
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_lite::{AsyncRead, AsyncReadExt};
use glommio::net::TcpStream;

use crate::account::attendance::Pass;
use crate::channel::End;
use crate::channel::ring::Ring;
use crate::channel::table::Seat;
use crate::channel::wakers;
use crate::clock::{Alarm, micros};
use crate::metrics::{ChannelCounters, ViewerEnd};
use crate::shard::{Shard, fd};
use crate::viewer::burst::Start;
use crate::viewer::place::{Fall, Next, Place};

/// A viewer that is being sent a channel.
///
/// Ownership: holds its seat, so the shard stays subscribed while it exists. Of the media it owns nothing, except the
/// chunk it is in the middle of.
pub struct Viewer {
    shard: Rc<Shard>,
    seat: Seat,
    /// Its right to watch on an account, if it has one.
    pass: Option<Pass>,
    stream: TcpStream,
    news: wakers::Place,
    ends: wakers::Place,
    place: Place,
    /// Runs while the burst is ahead of its pace.
    early: Option<Alarm>,
    /// Runs while the socket takes nothing.
    stalled: Option<Alarm>,
    /// Runs once the viewer is to end and the last packet is not out.
    ending: Option<Alarm>,
    /// It was ended in the middle of a packet: there is nothing left to end in order.
    is_cut: bool,
    input_bytes: usize,
    asked_us: u64,
    /// What was closed before is its burst and says nothing about fan-out.
    live_us: u64,
    has_media: bool,
    sent_bytes: u64,
}

/// What one step came to.
enum Step {
    Blocked,
    Drained,
    Early(u64),
    Over(ViewerEnd),
    Sent(usize),
}

impl Viewer {
    /// A viewer that begins at `start`, after `head`; its request arrived at `asked_us`.
    #[must_use]
    pub fn new(
        shard: Rc<Shard>,
        seat: Seat,
        pass: Option<Pass>,
        stream: TcpStream,
        head: &Bytes,
        start: &Start,
        asked_us: u64,
    ) -> Self {
        let relay = seat.relay();
        let (news, ends) = (relay.place(), relay.ends.place());
        let place = Place::new(head, start, &relay.ring(), shard.clock.now_us());
        Self {
            shard,
            seat,
            pass,
            stream,
            news,
            ends,
            place,
            early: None,
            stalled: None,
            ending: None,
            is_cut: false,
            input_bytes: 0,
            asked_us,
            live_us: asked_us,
            has_media: false,
            sent_bytes: 0,
        }
    }

    /// Sends until the viewer or its channel ends, and closes the connection as that end demands.
    pub async fn run(mut self) {
        let counters = Rc::clone(&self.seat.relay().counters);
        counters.sessions.add(1);
        counters.viewers.add(1);
        let mut watching = Watching {
            counters,
            end: ViewerEnd::Fault,
        };
        let end = poll_fn(|cx| self.poll(cx)).await;
        watching.end = end;
        drop(watching);
        log::debug!(
            "viewer end channel={} reason={end} seconds={} bytes={}",
            self.seat.relay().id,
            (self.shard.clock.now_us() - self.asked_us) / 1_000_000,
            self.sent_bytes,
        );
        self.close(end).await;
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<ViewerEnd> {
        if let Some(end) = self.read_input(cx) {
            return Poll::Ready(end);
        }
        self.ends.wait(cx.waker());
        if let Some(pass) = &self.pass {
            pass.wait(cx.waker());
        }
        self.early = None;
        let mut budget = VISIT_BYTES;
        loop {
            match self.step(cx, budget) {
                Step::Sent(bytes) => {
                    if bytes > 0 {
                        self.stalled = None;
                    }
                    budget = budget.saturating_sub(bytes);
                    if budget == 0 {
                        cx.waker().wake_by_ref();
                        return Poll::Pending;
                    }
                }
                Step::Drained => {
                    self.stalled = None;
                    self.news.wait(cx.waker());
                    return Poll::Pending;
                }
                Step::Early(due_us) => {
                    self.stalled = None;
                    // A head that moves away would have left it behind by the time its alarm rings.
                    self.news.wait(cx.waker());
                    let early = self.early.insert(self.shard.clock.at(due_us));
                    if Pin::new(early).poll(cx).is_pending() {
                        return Poll::Pending;
                    }
                }
                Step::Blocked => {
                    self.news.forget();
                    return self.poll_deadlines(cx).map(|()| {
                        self.is_cut = true;
                        self.overdue()
                    });
                }
                Step::Over(end) => return Poll::Ready(end),
            }
        }
    }

    /// Sends one piece, or finds out why nothing can be sent.
    fn step(&mut self, cx: &mut Context<'_>, budget: usize) -> Step {
        let relay = Rc::clone(self.seat.relay());
        let end = self.ordered_end();
        if end.is_some() {
            self.place.end();
        }
        let ring = relay.ring();
        let calls = &self.shard.counters.send_calls;
        let was_in_burst = self.place.is_in_burst();
        let lag_us = self.place.lag_us(&ring);
        match self.place.next(&ring, self.shard.clock.now_us(), budget) {
            Next::Drained => Step::Drained,
            Next::Early { due_us } => Step::Early(due_us),
            Next::Lagged => self.fall_behind(&ring),
            Next::Over => Step::Over(end.unwrap_or(ViewerEnd::Fault)),
            Next::Prefix(bytes) => {
                let sent = send::poll_send(&mut self.stream, cx, bytes, calls);
                self.note_sent(&ring, sent)
            }
            Next::Run(run) => {
                relay.counters.lag.observe(lag_us);
                let sent = send::poll_send_run(&mut self.stream, cx, &run, calls);
                if let Poll::Ready(Ok(bytes)) = sent {
                    let closed_us = (bytes == run.bytes.len()).then_some(run.closed_us);
                    self.note_media(closed_us, was_in_burst);
                }
                self.note_sent(&ring, sent)
            }
            Next::Skipped(bytes) => self.note_skip(bytes),
        }
    }

    /// Steps over what the socket took.
    fn note_sent(&mut self, ring: &Ring, sent: Poll<io::Result<usize>>) -> Step {
        match sent {
            Poll::Pending => Step::Blocked,
            Poll::Ready(Err(error)) => Step::Over(gone(&error)),
            Poll::Ready(Ok(bytes)) => {
                self.place.sent(ring, bytes);
                self.sent_bytes += bytes as u64;
                self.seat.relay().counters.sent_bytes.add(bytes as u64);
                Step::Sent(bytes)
            }
        }
    }

    /// Counts how long media took; `closed_us` belongs to the newest chunk that has gone out whole.
    fn note_media(&mut self, closed_us: Option<u64>, was_in_burst: bool) {
        let counters = &self.seat.relay().counters;
        let now_us = self.shard.clock.now_us();
        if was_in_burst {
            self.live_us = now_us;
        } else if let Some(closed_us) = closed_us.filter(|closed_us| *closed_us >= self.live_us) {
            let delay_us = now_us.saturating_sub(closed_us);
            counters.fanout_delay.observe(delay_us);
        }
        if !std::mem::replace(&mut self.has_media, true) {
            let waited_us = now_us.saturating_sub(self.asked_us);
            counters.first_byte.observe(waited_us);
        }
    }

    fn note_skip(&self, bytes: u64) -> Step {
        let counters = &self.seat.relay().counters;
        counters.skips.add(1);
        counters.skipped_bytes.add(bytes);
        Step::Sent(0)
    }

    /// The next chunk is gone: skip or end, as the channel is set.
    fn fall_behind(&mut self, ring: &Ring) -> Step {
        if self.stalled.as_ref().is_some_and(Alarm::is_due) {
            return Step::Over(ViewerEnd::Stalled);
        }
        let limits = &self.seat.relay().limits;
        let cushion_us = micros(slow::cushion(limits));
        match self.place.fall_behind(ring, limits.slow, cushion_us) {
            Fall::Skipped(bytes) => self.note_skip(bytes),
            Fall::TooSlow => Step::Over(ViewerEnd::TooSlow),
            Fall::Waits => Step::Sent(0),
        }
    }

    /// Notices that the viewer is gone; what it sends is thrown away.
    fn read_input(&mut self, cx: &mut Context<'_>) -> Option<ViewerEnd> {
        let mut scratch = [0; 512];
        loop {
            match Pin::new(&mut self.stream).poll_read(cx, &mut scratch) {
                Poll::Pending => return None,
                Poll::Ready(Ok(0)) => return Some(ViewerEnd::ViewerClosed),
                Poll::Ready(Ok(bytes)) => self.input_bytes += bytes,
                Poll::Ready(Err(error)) => return Some(gone(&error)),
            }
            if self.input_bytes > INPUT_BYTES_MAX {
                return Some(ViewerEnd::Flood);
            }
        }
    }

    /// Ready when the socket has taken nothing for too long.
    fn poll_deadlines(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let clock = &self.shard.clock;
        let write_stall = self.shard.config().server.write_stall;
        let stalled = self.stalled.get_or_insert_with(|| clock.after(write_stall));
        if Pin::new(stalled).poll(cx).is_ready() {
            return Poll::Ready(());
        }
        if self.ordered_end().is_none() {
            return Poll::Pending;
        }
        let clock = &self.shard.clock;
        let ending = self
            .ending
            .get_or_insert_with(|| clock.after(LAST_PACKET_MAX));
        Pin::new(ending).poll(cx)
    }

    /// Why a viewer whose socket takes nothing is ended.
    fn overdue(&self) -> ViewerEnd {
        self.ordered_end().unwrap_or(ViewerEnd::Stalled)
    }

    /// Why the viewer is to end after its packet: its channel has ended, or its account has newer viewers.
    fn ordered_end(&self) -> Option<ViewerEnd> {
        let of_channel = self.seat.relay().ended().map(end_of);
        of_channel.or_else(|| self.pass.as_ref().and_then(Pass::closed))
    }

    /// Closes the connection: in order for a viewer that did nothing wrong, at once for one that cannot keep up.
    async fn close(self, end: ViewerEnd) {
        let Self {
            mut stream,
            shard,
            seat,
            pass,
            news,
            ends,
            place,
            is_cut,
            ..
        } = self;
        drop((news, ends, place, seat, pass));
        match end {
            _ if is_cut => reset_on_close(&stream),
            ViewerEnd::ViewerClosed | ViewerEnd::PeerLost | ViewerEnd::Fault => {}
            ViewerEnd::AtLimit
            | ViewerEnd::Drain
            | ViewerEnd::Replaced
            | ViewerEnd::UpstreamLost => {
                if stream.shutdown(std::net::Shutdown::Write).await.is_err() {
                    return;
                }
                let until_closed = async {
                    let mut scratch = [0; 512];
                    let mut left = INPUT_BYTES_MAX;
                    while let Ok(bytes @ 1..) = stream.read(&mut scratch).await {
                        left = left.saturating_sub(bytes);
                        if left == 0 {
                            return;
                        }
                    }
                };
                shard.clock.limit(CLOSE_MAX, until_closed).await;
            }
            ViewerEnd::Flood | ViewerEnd::Stalled | ViewerEnd::TooSlow => reset_on_close(&stream),
        }
    }
}

/// Makes the close of a connection tell the peer at once and keep nothing in the kernel.
fn reset_on_close(stream: &TcpStream) {
    let socket = fd::of_stream(stream);
    if let Err(error) = rustix::net::sockopt::set_socket_linger(socket, Some(Duration::ZERO)) {
        log::debug!("a connection could not be set to reset error=\"{error}\"");
    }
}

/// Counts a viewer for as long as its task runs, and its end even when that is a fault of ours.
struct Watching {
    counters: Rc<ChannelCounters>,
    end: ViewerEnd,
}

impl Drop for Watching {
    fn drop(&mut self) {
        let viewers = &self.counters.viewers;
        viewers.set(viewers.value().saturating_sub(1));
        self.counters.viewer_ended(self.end);
    }
}

fn gone(error: &io::Error) -> ViewerEnd {
    match error.kind() {
        io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset => ViewerEnd::ViewerClosed,
        _ => ViewerEnd::PeerLost,
    }
}

/// How the end of its channel ends a viewer.
fn end_of(end: End) -> ViewerEnd {
    match end {
        End::Drained => ViewerEnd::Drain,
        End::NotStarted(_) | End::UpstreamLost => ViewerEnd::UpstreamLost,
    }
}

/// Bytes that one visit sends before other tasks run.
const VISIT_BYTES: usize = 256 * 1024;

/// What a player may send after its request before it is taken for something else.
const INPUT_BYTES_MAX: usize = 64 * 1024;

/// How long a viewer whose channel has ended has for its last packet.
const LAST_PACKET_MAX: Duration = Duration::from_secs(1);

/// How long an ended viewer has for closing its side.
const CLOSE_MAX: Duration = Duration::from_secs(1);
