//! A snapshot each second for every page that is open, as server-sent events.
//!
//! What a snapshot holds is decided in `status` and `channels`. The rules: it is taken and written once, however many pages
//! there are, and not at all while there is none; a page is given the newest there is, so one that reads slowly misses
//! snapshots and never makes them pile up.
//!
//! Source: the WHATWG's HTML standard, section 9.2.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_lite::AsyncRead;

use crate::admin::answers;
use crate::channel::wakers::{Place, Wakers};
use crate::clock::micros;
use crate::http::connection::Connection;
use crate::http::response::{self, Refusal};
use crate::shard::Shard;

/// The pages that are told each second.
#[derive(Default)]
pub struct Live {
    pages: Cell<usize>,
    is_ticking: Cell<bool>,
    is_over: Cell<bool>,
    /// The newest snapshot with its number, as an event.
    newest: RefCell<(u64, Bytes)>,
    /// Signalled with each snapshot, and at the end.
    ticks: Wakers,
}

impl Live {
    /// Ends the stream of every page.
    pub fn end(&self) {
        self.is_over.set(true);
        self.ticks.wake_all();
    }

    fn newest(&self) -> (u64, Bytes) {
        self.newest.borrow().clone()
    }
}

/// The right to be one of the pages.
pub struct Seat(Rc<Shard>);

impl Seat {
    /// Takes a place among the pages.
    ///
    /// # Errors
    /// [`Refusal::TooManyPages`] when [`PAGES_MAX`] are open.
    pub fn take(shard: &Rc<Shard>) -> Result<Self, Refusal> {
        let pages = &shard.desk.live.pages;
        if pages.get() >= PAGES_MAX {
            return Err(Refusal::TooManyPages);
        }
        pages.set(pages.get() + 1);
        Ok(Self(Rc::clone(shard)))
    }

    /// Tells a page of every snapshot, and of every event after `after`, until it leaves or does not keep up.
    pub async fn serve(self, mut connection: Connection, after: Option<u64>) {
        let Self(shard) = &self;
        let live = &shard.desk.live;
        let mut hello = response::events_head().to_vec();
        hello.extend_from_slice(RETRY);
        if connection.write(&shard.clock, &hello.into()).await.is_err() {
            return;
        }
        keep_ticking(shard);
        let place = live.ticks.place();
        // Numbers of an earlier process mean nothing here.
        let last_id = shard.desk.events.borrow().last_id();
        let after = after.filter(|after| *after <= last_id);
        let mut told = Told {
            // What was told before it begins is news to it, but not all of it.
            events: after.unwrap_or(0),
            events_most: if after.is_some() {
                usize::MAX
            } else {
                FIRST_EVENTS
            },
            snapshot: 0,
        };
        let mut input_left = INPUT_BYTES_MAX;
        loop {
            for event in told.news(shard) {
                if connection.write(&shard.clock, &event).await.is_err() {
                    return;
                }
            }
            let news = poll_fn(|cx| poll_news(live, &place, told.snapshot, cx));
            let gone = poll_fn(|cx| poll_gone(&mut connection, &mut input_left, cx));
            if futures_lite::future::or(news, gone).await == Next::Over {
                return;
            }
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let pages = &self.0.desk.live.pages;
        pages.set(pages.get().saturating_sub(1));
    }
}

/// What a page waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    News,
    Over,
}

/// What a page has been told.
struct Told {
    events: u64,
    events_most: usize,
    snapshot: u64,
}

impl Told {
    /// What it has not been told yet.
    fn news(&mut self, shard: &Shard) -> Vec<Bytes> {
        let mut news = Vec::new();
        let (number, snapshot) = shard.desk.live.newest();
        let is_new = std::mem::replace(&mut self.snapshot, number) != number;
        if is_new && !snapshot.is_empty() {
            news.push(snapshot);
        }
        let events = shard.desk.events.borrow();
        if events.last_id() > self.events {
            let new = answers::events_json(shard, &events, self.events, self.events_most);
            self.events = events.last_id();
            self.events_most = usize::MAX;
            news.push(event("events", Some(self.events), &new));
        }
        news
    }
}

fn poll_news(live: &Live, place: &Place, told: u64, cx: &mut Context<'_>) -> Poll<Next> {
    if live.is_over.get() {
        return Poll::Ready(Next::Over);
    }
    if live.newest.borrow().0 > told {
        return Poll::Ready(Next::News);
    }
    place.wait(cx.waker());
    Poll::Pending
}

/// Ready when the peer has closed, or sends what no page sends.
fn poll_gone(
    connection: &mut Connection,
    input_left: &mut usize,
    cx: &mut Context<'_>,
) -> Poll<Next> {
    let mut scratch = [0; 512];
    loop {
        match Pin::new(connection.stream()).poll_read(cx, &mut scratch) {
            Poll::Pending => return Poll::Pending,
            Poll::Ready(Ok(0) | Err(_)) => return Poll::Ready(Next::Over),
            Poll::Ready(Ok(bytes)) => *input_left = input_left.saturating_sub(bytes),
        }
        if *input_left == 0 {
            return Poll::Ready(Next::Over);
        }
    }
}

/// Takes a snapshot each second for as long as there are pages.
fn keep_ticking(shard: &Rc<Shard>) {
    if shard.desk.live.is_ticking.replace(true) {
        return;
    }
    let ticking = Ticking(Rc::clone(shard));
    shard.spawn("live", async move {
        let shard = &ticking.0;
        let live = &shard.desk.live;
        while live.pages.get() > 0 && !live.is_over.get() {
            let due_us = shard.clock.now_us() + micros(TICK);
            let snapshot = answers::snapshot_json(shard).await;
            let (number, _) = live.newest();
            let snapshot = event("snapshot", None, &snapshot);
            live.newest.replace((number + 1, snapshot));
            live.ticks.wake_all();
            shard.clock.at(due_us).await;
        }
    });
}

/// Says that snapshots are taken, until its task ends in whatever way.
struct Ticking(Rc<Shard>);

impl Drop for Ticking {
    fn drop(&mut self) {
        let live = &self.0.desk.live;
        live.is_ticking.set(false);
        // A page that comes later is not shown what was.
        live.newest.borrow_mut().1 = Bytes::new();
    }
}

/// One server-sent event. Shape: `json` is one line.
fn event(name: &str, id: Option<u64>, json: &[u8]) -> Bytes {
    let mut bytes = Vec::with_capacity(json.len() + 64);
    if let Some(id) = id {
        bytes.extend_from_slice(format!("id: {id}\n").as_bytes());
    }
    bytes.extend_from_slice(format!("event: {name}\ndata: ").as_bytes());
    bytes.extend_from_slice(json);
    bytes.extend_from_slice(b"\n\n");
    bytes.into()
}

/// After how many milliseconds a page asks again.
const RETRY: &[u8] = b"retry: 2000\n\n";

/// Pages at once.
pub const PAGES_MAX: usize = 32;

/// How often they are told.
const TICK: Duration = Duration::from_secs(1);

/// How many events a page is told that does not say where it left off.
const FIRST_EVENTS: usize = 100;

/// What a page may send after its request.
const INPUT_BYTES_MAX: usize = 16 * 1024;
