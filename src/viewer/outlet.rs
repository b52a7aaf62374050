//! A viewer's socket and its place in the channel: one step, and the visit of a viewer that needs nothing but that.
//!
//! What goes out next is `place`, the call itself is `send`; deadlines, ends and everything that waits belong to `Viewer`.
//! The rule: a visit leaves things as the viewer's task would, so that the task can go on at any time.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::task::{Context, Poll};

use glommio::net::TcpStream;

use crate::channel::ring::Ring;
use crate::channel::standing::{News, Visit, Visited};
use crate::config::SlowPolicy;
use crate::metrics::{ChannelCounters, ViewerEnd};
use crate::viewer::place::{Fall, Next, Place};
use crate::viewer::roster::Entry;
use crate::viewer::tally::Tally;
use crate::viewer::{gone, send};

/// Where a viewer's bytes go out.
pub struct Outlet {
    /// The connection.
    pub stream: RefCell<TcpStream>,
    place: RefCell<Place>,
    /// Its entry in the roster.
    entry: Rc<Entry>,
    /// Channels of a higher bit rate are not for its account; 0 is any.
    bits_per_second_max: u64,
    /// What was closed before is its burst and says nothing about fan-out.
    live_us: Cell<u64>,
    /// Time from its request to its first media.
    first_byte_us: Cell<Option<u64>>,
    /// Furthest behind live that it was, in media time.
    lag_max_us: Cell<u64>,
}

/// What one step came to.
pub enum Step {
    /// The socket takes nothing now.
    Blocked,
    /// There is nothing until the channel has more.
    Drained,
    /// There is nothing until then, in microseconds of the clock, or until the head moves away.
    Early(u64),
    /// The connection is gone.
    Gone(ViewerEnd),
    /// The next chunk has left the ring.
    Lagged,
    /// The end that was asked for is reached.
    Over,
    /// So many bytes are out.
    Sent(usize),
}

impl Outlet {
    /// The outlet of a viewer, whose entry in the roster is `entry`.
    #[must_use]
    pub fn new(stream: TcpStream, place: Place, entry: Rc<Entry>) -> Self {
        Self {
            stream: RefCell::new(stream),
            place: RefCell::new(place),
            bits_per_second_max: entry
                .caller
                .account
                .as_ref()
                .map_or(0, |account| account.bits_per_second_max),
            live_us: Cell::new(entry.caller.asked_us),
            first_byte_us: Cell::new(None),
            lag_max_us: Cell::new(0),
            entry,
        }
    }

    /// Sends one piece of about `bytes_max`, or finds out why nothing can be sent.
    ///
    /// With a context, its task is woken when a blocked socket takes bytes again.
    pub fn step(&self, news: &News<'_>, cx: Option<&mut Context<'_>>, bytes_max: usize) -> Step {
        let News {
            ring,
            counters,
            send_calls,
            ..
        } = news;
        let mut place = self.place.borrow_mut();
        let mut stream = self.stream.borrow_mut();
        let was_in_burst = place.is_in_burst();
        let lag_us = place.lag_us(ring);
        let now_us = news.clock.now_us();
        let sent = match place.next(ring, now_us, bytes_max) {
            Next::Drained => return Step::Drained,
            Next::Early { due_us } => return Step::Early(due_us),
            Next::Lagged => return Step::Lagged,
            Next::Over => return Step::Over,
            Next::Prefix(bytes) => match cx {
                Some(cx) => send::poll_send(&mut stream, cx, bytes, send_calls),
                None => send::try_send(&stream, bytes, send_calls),
            },
            Next::Run(run) => {
                counters.lag.observe(lag_us);
                self.lag_max_us.set(self.lag_max_us.get().max(lag_us));
                let sent = match cx {
                    Some(cx) => send::poll_send_run(&mut stream, cx, &run, send_calls),
                    None => send::try_send_run(&stream, &run, send_calls),
                };
                if let Poll::Ready(Ok(bytes)) = sent {
                    let closed_us = (bytes == run.bytes.len()).then_some(run.closed_us);
                    self.note_media(news, closed_us, was_in_burst);
                }
                sent
            }
            Next::Skipped(bytes) => {
                self.note_skip(counters, bytes, &place);
                return Step::Sent(0);
            }
        };
        match sent {
            Poll::Pending => Step::Blocked,
            Poll::Ready(Err(error)) => Step::Gone(gone(&error)),
            Poll::Ready(Ok(bytes)) => {
                place.sent(ring, bytes);
                self.entry.note_sent(bytes as u64, place.next_seq(), now_us);
                counters.sent_bytes.add(bytes as u64);
                Step::Sent(bytes)
            }
        }
    }

    /// Moves on after [`Step::Lagged`], as [`Place::fall_behind`] does, and counts it.
    pub fn fall_behind(
        &self,
        ring: &Ring,
        counters: &ChannelCounters,
        policy: SlowPolicy,
        cushion_us: u64,
    ) -> Fall {
        let mut place = self.place.borrow_mut();
        let fall = place.fall_behind(ring, policy, cushion_us);
        if let Fall::Skipped(bytes) = fall {
            self.note_skip(counters, bytes, &place);
        }
        fall
    }

    /// Ends at the next packet boundary. To end twice changes nothing.
    pub fn end(&self) {
        self.place.borrow_mut().end();
    }

    /// What the viewer has got so far.
    #[must_use]
    pub fn tally(&self) -> Tally {
        let (skips, skipped_bytes) = self.entry.skipped();
        Tally {
            sent_bytes: self.entry.sent_bytes(),
            first_byte_us: self.first_byte_us.get(),
            lag_max_us: self.lag_max_us.get(),
            skips,
            skipped_bytes,
        }
    }

    /// Counts how long media took; `closed_us` belongs to the newest chunk that has gone out whole.
    fn note_media(&self, news: &News<'_>, closed_us: Option<u64>, was_in_burst: bool) {
        let counters = news.counters;
        let now_us = news.clock.now_us();
        if was_in_burst {
            self.live_us.set(now_us);
        } else if let Some(closed_us) =
            closed_us.filter(|closed_us| *closed_us >= self.live_us.get())
        {
            let delay_us = now_us.saturating_sub(closed_us);
            counters.fanout_delay.observe(delay_us);
            news.recent.delayed(delay_us);
        }
        if self.first_byte_us.get().is_none() {
            let waited_us = now_us.saturating_sub(self.entry.caller.asked_us);
            self.first_byte_us.set(Some(waited_us));
            counters.first_byte.observe(waited_us);
        }
    }

    fn note_skip(&self, counters: &ChannelCounters, bytes: u64, place: &Place) {
        counters.skips.add(1);
        counters.skipped_bytes.add(bytes);
        self.entry.note_skip(bytes, place.next_seq());
    }
}

impl Visit for Outlet {
    fn visit(&self, news: &News<'_>) -> Visited {
        let is_too_much =
            |rate: u64| self.bits_per_second_max != 0 && rate > self.bits_per_second_max;
        if self.place.borrow().is_in_burst() || news.bits_per_second.is_some_and(is_too_much) {
            return Visited::Wakes;
        }
        let mut budget = VISIT_BYTES;
        loop {
            match self.step(news, None, budget) {
                Step::Sent(bytes) if bytes < budget => budget -= bytes,
                Step::Drained => return Visited::Stands,
                _ => return Visited::Wakes,
            }
        }
    }
}

/// Bytes that one visit sends before other tasks run.
pub const VISIT_BYTES: usize = 256 * 1024;
