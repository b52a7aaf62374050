//! One viewer: the send loop between a ring and a socket.
//!
//! A viewer is one task with a place and a socket; it has no queue, waits alone when its socket is full, and nobody
//! waits for it. While it has all there is, its outlet is visited without the task. What goes out next is `place`, where
//! it starts and how fast is `burst`, one step is `outlet`, what happens when it falls behind is `slow`, the call itself
//! is `send`, what is said of it at its end `tally`.

pub mod burst;
pub mod farewell;
pub mod outlet;
pub mod place;
pub mod roster;
pub mod send;
pub mod slow;
pub mod tally;

use std::future::{Future, poll_fn};
use std::io;
use std::os::fd::AsRawFd;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_lite::{AsyncRead, AsyncReadExt};
use glommio::net::TcpStream;

use crate::account::attendance::Pass;
use crate::admin::events::Kind;
use crate::admin::tell;
use crate::channel::End;
use crate::channel::standing::{News, Stand};
use crate::channel::table::Seat;
use crate::clock::{Alarm, micros};
use crate::metrics::{ChannelCounters, Reason, ViewerEnd};
use crate::shard::{Shard, fd};
use crate::viewer::burst::Start;
use crate::viewer::outlet::{Outlet, Step, VISIT_BYTES};
use crate::viewer::place::{Fall, Place};
use crate::viewer::roster::{Caller, Listed};
use crate::viewer::tally::Farewell;

/// A viewer that is being sent a channel.
///
/// Ownership: holds its seat, so the shard stays subscribed while it exists. Of the media it owns nothing, except the
/// chunk it is in the middle of.
pub struct Viewer {
    shard: Rc<Shard>,
    seat: Seat,
    /// Its right to watch on an account, if it has one.
    pass: Option<Pass>,
    /// Its entry in the roster; it goes before the socket does.
    listed: Listed,
    outlet: Rc<Outlet>,
    /// Where it stands while it has all there is.
    stand: Stand,
    /// Runs while the burst is ahead of its pace.
    early: Option<Alarm>,
    /// Runs while the socket takes nothing.
    stalled: Option<Alarm>,
    /// Runs once the viewer is to end and the last packet is not out.
    ending: Option<Alarm>,
    /// It was ended in the middle of a packet: there is nothing left to end in order.
    is_cut: bool,
    input_bytes: usize,
}

impl Viewer {
    /// A viewer that begins at `start`, after `head`.
    #[must_use]
    pub fn new(
        shard: Rc<Shard>,
        seat: Seat,
        pass: Option<Pass>,
        stream: TcpStream,
        head: &Bytes,
        start: &Start,
        caller: Caller,
    ) -> Self {
        let relay = seat.relay();
        let socket = fd::of_stream(&stream).as_raw_fd();
        let listed = shard.roster.enter(caller, relay, socket);
        let place = Place::new(head, start, &relay.ring(), shard.clock.now_us());
        let outlet = Rc::new(Outlet::new(stream, place, Rc::clone(&listed.entry)));
        let stand = relay.place(Rc::<Outlet>::clone(&outlet));
        Self {
            shard,
            seat,
            pass,
            listed,
            outlet,
            stand,
            early: None,
            stalled: None,
            ending: None,
            is_cut: false,
            input_bytes: 0,
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
        self.note_end(end);
        self.close(end).await;
    }

    /// Tells the log and the operator how it ended.
    fn note_end(&self, end: ViewerEnd) {
        let (channel, entry) = (self.seat.relay().id, &self.listed.entry);
        let now_us = self.shard.clock.now_us();
        let watched_us = now_us.saturating_sub(entry.caller.asked_us);
        let line = Farewell {
            channel,
            end,
            lasted_us: watched_us,
            tally: &self.outlet.tally(),
        };
        self.shard.farewells.say(channel.into(), end, &line, now_us);
        let seconds = watched_us / 1_000_000;
        let (shard, address) = (self.shard.index, entry.caller.address);
        let viewer = || format!("viewer {shard}-{:x} at {address}", entry.number);
        tell::often(
            &self.shard,
            Kind::ViewerEnded,
            Some(channel),
            end.label(),
            || format!("{} ended after {seconds} s: {end}", viewer()),
        );
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<ViewerEnd> {
        if let Some(end) = self.read_input(cx) {
            return Poll::Ready(end);
        }
        self.listed.entry.ends.wait(cx.waker());
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
                    self.stand.stand(cx.waker());
                    return Poll::Pending;
                }
                Step::Early(due_us) => {
                    self.stalled = None;
                    // A head that moves away would have left it behind by the time its alarm rings.
                    self.stand.stand(cx.waker());
                    let early = self.early.insert(self.shard.clock.at(due_us));
                    if Pin::new(early).poll(cx).is_pending() {
                        return Poll::Pending;
                    }
                }
                Step::Blocked => {
                    self.stand.leave();
                    return self.poll_deadlines(cx).map(|()| {
                        self.is_cut = true;
                        self.overdue()
                    });
                }
                Step::Lagged => {
                    if let Some(end) = self.fall_behind() {
                        return Poll::Ready(end);
                    }
                }
                Step::Over => return Poll::Ready(self.ordered_end().unwrap_or(ViewerEnd::Fault)),
                Step::Gone(end) => return Poll::Ready(end),
            }
        }
    }

    /// Sends one piece, or finds out why nothing can be sent.
    fn step(&self, cx: &mut Context<'_>, budget: usize) -> Step {
        if self.ordered_end().is_some() {
            self.outlet.end();
        }
        let relay = self.seat.relay();
        let news = News {
            ring: &relay.ring(),
            bits_per_second: relay.bits_per_second(),
            counters: &relay.counters,
            send_calls: &self.shard.counters.send_calls,
            recent: &self.shard.counters.recent,
            clock: &self.shard.clock,
        };
        self.outlet.step(&news, Some(cx), budget)
    }

    /// The next chunk is gone: go on with a later one, or say how it ends, as the channel is set.
    fn fall_behind(&self) -> Option<ViewerEnd> {
        if self.stalled.as_ref().is_some_and(Alarm::is_due) {
            return Some(ViewerEnd::Stalled);
        }
        let relay = self.seat.relay();
        let limits = relay.limits();
        let cushion_us = micros(slow::cushion(&limits));
        let fall = self
            .outlet
            .fall_behind(&relay.ring(), &relay.counters, limits.slow, cushion_us);
        matches!(fall, Fall::TooSlow).then_some(ViewerEnd::TooSlow)
    }

    /// Notices that the viewer is gone; what it sends is thrown away.
    fn read_input(&mut self, cx: &mut Context<'_>) -> Option<ViewerEnd> {
        let mut scratch = [0; 512];
        loop {
            let read = Pin::new(&mut *self.outlet.stream.borrow_mut()).poll_read(cx, &mut scratch);
            match read {
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
        let shard = &self.shard;
        let stalled = self
            .stalled
            .get_or_insert_with(|| shard.clock.after(shard.config().server.write_stall));
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

    /// Why the viewer is to end after its packet: its channel has ended, its account has newer viewers, the channel is not
    /// for it, or the operator says so.
    fn ordered_end(&self) -> Option<ViewerEnd> {
        let relay = self.seat.relay();
        let of_account = |pass: &Pass| {
            let is_over = !pass.allows(relay.bits_per_second());
            pass.closed()
                .or_else(|| is_over.then_some(ViewerEnd::Bitrate))
        };
        let of_channel = relay.ended().map(end_of);
        let is_closed = self.listed.entry.is_closed();
        of_channel
            .or_else(|| self.pass.as_ref().and_then(of_account))
            .or_else(|| is_closed.then_some(ViewerEnd::ByOperator))
    }

    /// Closes the connection: in order for a viewer that did nothing wrong, at once for one that cannot keep up.
    async fn close(self, end: ViewerEnd) {
        let Self {
            outlet,
            shard,
            seat,
            pass,
            listed,
            stand,
            is_cut,
            ..
        } = self;
        drop((listed, stand, seat, pass));
        let Some(outlet) = Rc::into_inner(outlet) else {
            debug_assert!(false, "nobody else has it once it stands nowhere");
            return;
        };
        let mut stream = outlet.stream.into_inner();
        match end {
            _ if is_cut => reset_on_close(&stream),
            ViewerEnd::ViewerClosed | ViewerEnd::PeerLost | ViewerEnd::Fault => {}
            ViewerEnd::AtLimit
            | ViewerEnd::Bitrate
            | ViewerEnd::ByOperator
            | ViewerEnd::ChannelRemoved
            | ViewerEnd::Drain
            | ViewerEnd::Replaced
            | ViewerEnd::Revoked
            | ViewerEnd::UpstreamLost => {
                // In a box, so that nobody holds room for it who still watches.
                Box::pin(close_in_order(&shard, &mut stream)).await;
            }
            ViewerEnd::Flood | ViewerEnd::Stalled | ViewerEnd::TooSlow => reset_on_close(&stream),
        }
    }
}

/// Closes this side, and waits for a moment until the peer has read all and closes its own.
async fn close_in_order(shard: &Shard, stream: &mut TcpStream) {
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
        End::Removed => ViewerEnd::ChannelRemoved,
        End::Revoked => ViewerEnd::Revoked,
    }
}

/// What a player may send after its request before it is taken for something else.
const INPUT_BYTES_MAX: usize = 64 * 1024;

/// How long a viewer whose channel has ended has for its last packet.
const LAST_PACKET_MAX: Duration = Duration::from_secs(1);

/// How long an ended viewer has for closing its side.
const CLOSE_MAX: Duration = Duration::from_secs(1);
