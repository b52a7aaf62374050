//! One viewer: the send loop between a ring and a socket.
//!
//! A viewer is one task with a cursor and a socket; it has no queue, waits alone when its socket is full, and nobody
//! waits for it. Where it starts is `burst`, what happens when it falls behind is `slow`, the call itself is `send`.

pub mod burst;
pub mod send;
pub mod slow;

use std::future::{Future, poll_fn};
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use futures_lite::{AsyncRead, AsyncReadExt};
use glommio::net::TcpStream;

use crate::channel::End;
use crate::channel::chunk::Chunk;
use crate::channel::cursor::Cursor;
use crate::channel::ring::Ring;
use crate::channel::table::Seat;
use crate::channel::wakers::Place;
use crate::clock::{Alarm, micros};
use crate::metrics::{ChannelCounters, ViewerEnd};
use crate::shard::{Shard, fd};
use crate::ts::PACKET_BYTES;
use crate::viewer::burst::Start;
use crate::viewer::slow::Verdict;

/// A viewer that is being sent a channel.
///
/// Ownership: holds its seat, so the shard stays subscribed while it exists. Of the media it owns nothing, except the
/// chunk it is in the middle of.
pub struct Viewer {
    shard: Rc<Shard>,
    seat: Seat,
    stream: TcpStream,
    news: Place,
    ends: Place,
    next: Next,
    /// Bytes of the channel before the next one this viewer is sent, skipped ones included.
    at_bytes: u64,
    /// What goes out before the cursor moves on: the head, a join record, the rest of a packet.
    prefix: Bytes,
    /// The chunk of which a part has gone out.
    begun: Option<Arc<Chunk>>,
    /// Runs while the socket takes nothing.
    stalled: Option<Alarm>,
    /// Runs once the channel has ended and the last packet is not out.
    ending: Option<Alarm>,
    /// It was ended in the middle of a packet: there is nothing left to end in order.
    is_cut: bool,
    input_bytes: usize,
    asked_us: u64,
    has_media: bool,
    sent_bytes: u64,
}

/// Where a viewer goes on.
enum Next {
    /// Sends from here on.
    At(Cursor),
    /// Has left the ring, which held no join point: goes on at the next one from this number on.
    JoinFrom(u64),
}

/// What one step came to.
enum Step {
    Blocked,
    Drained,
    Over(ViewerEnd),
    Sent(usize),
}

impl Viewer {
    /// A viewer that begins at `start`, after `head`; its request arrived at `asked_us`.
    #[must_use]
    pub fn new(
        shard: Rc<Shard>,
        seat: Seat,
        stream: TcpStream,
        head: &Bytes,
        start: &Start,
        asked_us: u64,
    ) -> Self {
        let relay = seat.relay();
        let (news, ends) = (relay.news.place(), relay.ends.place());
        Self {
            shard,
            seat,
            stream,
            news,
            ends,
            next: Next::At(Cursor::at(start.chunk.seq)),
            at_bytes: start.chunk.bytes_before,
            prefix: concat(head, &start.record.psi),
            begun: None,
            stalled: None,
            ending: None,
            is_cut: false,
            input_bytes: 0,
            asked_us,
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
        if !self.prefix.is_empty() {
            return self.send_prefix(cx);
        }
        let relay = Rc::clone(self.seat.relay());
        if let Some(end) = relay.ended() {
            let end = match end {
                End::Drained => ViewerEnd::Drain,
                End::NotStarted(_) | End::UpstreamLost => ViewerEnd::UpstreamLost,
            };
            self.finish_packet();
            self.next = Next::JoinFrom(u64::MAX);
            return if self.prefix.is_empty() {
                Step::Over(end)
            } else {
                self.send_prefix(cx)
            };
        }
        let ring = relay.ring();
        let cursor = match self.next {
            Next::At(cursor) => cursor,
            Next::JoinFrom(from_seq) => {
                let point = ring.newest_join().filter(|chunk| chunk.seq >= from_seq);
                return match point.and_then(Start::at) {
                    Some(start) => self.skip(&start),
                    None => Step::Drained,
                };
            }
        };
        match send::run(&ring, cursor, budget) {
            Ok(Some(run)) => self.send_run(cx, &ring, cursor, &run),
            Ok(None) => Step::Drained,
            Err(_lagged) => self.fall_behind(&ring),
        }
    }

    fn send_prefix(&mut self, cx: &mut Context<'_>) -> Step {
        match send::poll_send(
            &mut self.stream,
            cx,
            &self.prefix,
            &self.shard.counters.send_calls,
        ) {
            Poll::Pending => Step::Blocked,
            Poll::Ready(Err(error)) => Step::Over(gone(&error)),
            Poll::Ready(Ok(bytes)) => {
                self.prefix.advance(bytes);
                self.count_sent(bytes);
                Step::Sent(bytes)
            }
        }
    }

    fn send_run(
        &mut self,
        cx: &mut Context<'_>,
        ring: &Ring,
        mut cursor: Cursor,
        run: &send::Run<'_>,
    ) -> Step {
        let counters = &self.seat.relay().counters;
        counters.lag.observe(cursor.lag_us(ring));
        let sent = send::poll_send(
            &mut self.stream,
            cx,
            run.bytes,
            &self.shard.counters.send_calls,
        );
        let bytes = match sent {
            Poll::Pending => return Step::Blocked,
            Poll::Ready(Err(error)) => return Step::Over(gone(&error)),
            Poll::Ready(Ok(bytes)) => bytes,
        };
        let now_us = self.shard.clock.now_us();
        // What was closed before the viewer came is its burst and says nothing about fan-out.
        if bytes == run.bytes.len() && run.closed_us >= self.asked_us {
            counters
                .fanout_delay
                .observe(now_us.saturating_sub(run.closed_us));
        }
        if !std::mem::replace(&mut self.has_media, true) {
            counters
                .first_byte
                .observe(now_us.saturating_sub(self.asked_us));
        }
        cursor.advance(ring, bytes);
        self.next = Next::At(cursor);
        self.at_bytes += bytes as u64;
        // Kept only while a packet of it may have to be finished after it has left the ring.
        self.begun = match ring.chunk(cursor.seq()) {
            Ok(Some(chunk)) if cursor.offset() > 0 => Some(Arc::clone(chunk)),
            _ => None,
        };
        self.count_sent(bytes);
        Step::Sent(bytes)
    }

    /// The cursor's chunk is gone: skip or end, as the channel is set.
    fn fall_behind(&mut self, ring: &Ring) -> Step {
        if self.stalled.as_ref().is_some_and(Alarm::is_due) {
            return Step::Over(ViewerEnd::Stalled);
        }
        let limits = &self.seat.relay().limits;
        // A cushion as long as the ring would be lost again at once.
        let cushion = limits.burst.min(limits.ring / 2);
        match slow::lagged(ring, limits.slow, micros(cushion)) {
            Verdict::Drop => Step::Over(ViewerEnd::TooSlow),
            Verdict::Skip(start) => self.skip(&start),
            Verdict::Wait => {
                self.finish_packet();
                self.next = Next::JoinFrom(ring.head_seq());
                Step::Sent(0)
            }
        }
    }

    /// Goes on at a join point: the packet that was begun is finished first, then its record says what happened.
    fn skip(&mut self, start: &Start) -> Step {
        self.finish_packet();
        let skipped = start.chunk.bytes_before.saturating_sub(self.at_bytes);
        let counters = &self.seat.relay().counters;
        counters.skips.add(1);
        counters.skipped_bytes.add(skipped);
        self.prefix = concat(&self.prefix, &start.record.skip);
        self.at_bytes = start.chunk.bytes_before;
        self.next = Next::At(Cursor::at(start.chunk.seq));
        Step::Sent(0)
    }

    /// Puts what is missing of the packet that has partly gone out in front of whatever follows.
    fn finish_packet(&mut self) {
        let (Some(chunk), Next::At(cursor)) = (self.begun.take(), &self.next) else {
            return;
        };
        let end = cursor.offset().next_multiple_of(PACKET_BYTES);
        let rest = chunk.extent.as_slice().get(cursor.offset()..end);
        self.prefix = Bytes::copy_from_slice(rest.unwrap_or_default());
        self.at_bytes += self.prefix.len() as u64;
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
        if self.seat.relay().ended().is_none() {
            return Poll::Pending;
        }
        let ending = self
            .ending
            .get_or_insert_with(|| clock.after(LAST_PACKET_MAX));
        Pin::new(ending).poll(cx)
    }

    /// Why a viewer whose socket takes nothing is ended.
    fn overdue(&self) -> ViewerEnd {
        match self.seat.relay().ended() {
            Some(End::Drained) => ViewerEnd::Drain,
            Some(_) => ViewerEnd::UpstreamLost,
            None => ViewerEnd::Stalled,
        }
    }

    fn count_sent(&mut self, bytes: usize) {
        self.sent_bytes += bytes as u64;
        self.seat.relay().counters.sent_bytes.add(bytes as u64);
    }

    /// Closes the connection: in order for a viewer that did nothing wrong, at once for one that cannot keep up.
    async fn close(self, end: ViewerEnd) {
        let Self {
            mut stream,
            shard,
            seat,
            news,
            ends,
            begun,
            is_cut,
            ..
        } = self;
        drop((news, ends, begun, seat));
        match end {
            ViewerEnd::Drain | ViewerEnd::UpstreamLost if is_cut => reset_on_close(&stream),
            ViewerEnd::ViewerClosed | ViewerEnd::PeerLost | ViewerEnd::Fault => {}
            ViewerEnd::Drain | ViewerEnd::UpstreamLost => {
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

fn concat(first: &Bytes, second: &Bytes) -> Bytes {
    let mut both = BytesMut::with_capacity(first.len() + second.len());
    both.extend_from_slice(first);
    both.extend_from_slice(second);
    both.freeze()
}

/// Bytes that one visit sends before other tasks run.
const VISIT_BYTES: usize = 256 * 1024;

/// What a player may send after its request before it is taken for something else.
const INPUT_BYTES_MAX: usize = 64 * 1024;

/// How long a viewer whose channel has ended has for its last packet.
const LAST_PACKET_MAX: Duration = Duration::from_secs(1);

/// How long an ended viewer has for closing its side.
const CLOSE_MAX: Duration = Duration::from_secs(1);
