//! Stop accepting, let viewers finish, leave by the deadline.
//!
//! The first request to stop begins the drain: new requests get 503 while viewers run on, each at most `drain_ms`.
//! Then what is left is ended at a packet boundary, every engine session is stopped, and the shard waits for the
//! others. The second request ends the shard at once.

use std::cell::Cell;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_lite::{AsyncReadExt, FutureExt};

use crate::admin::events::Kind;
use crate::admin::tell;
use crate::channel::End;
use crate::channel::wakers::Wakers;
use crate::shard::{Shard, fd};

/// Whether the shard drains.
#[derive(Default)]
pub struct Drain {
    has_begun: Cell<bool>,
    is_asked: Cell<bool>,
    asked: Wakers,
    /// Signalled when it begins.
    pub begun: Wakers,
}

impl Drain {
    /// Whether new requests are to be refused.
    #[must_use]
    pub fn has_begun(&self) -> bool {
        self.has_begun.get()
    }

    /// Asks for the drain from within the process; the first signal after it changes nothing.
    pub fn ask(&self) {
        self.is_asked.set(true);
        self.asked.wake_all();
    }

    async fn until_asked(&self) {
        while !self.is_asked.get() {
            self.asked.next_event().await;
        }
    }
}

/// Waits for a request to stop and drains; finishes when the shard may end.
pub async fn run(shard: &Rc<Shard>, signals: OwnedFd) {
    let mut signals = fd::pair_end(signals);
    let mut byte = [0; 1];
    let signalled = async {
        if signals.read(&mut byte).await.is_err() {
            log::error!("the request to stop could not be read: stopping");
        }
        false
    };
    let asked = async {
        shard.drain.until_asked().await;
        true
    };
    let is_asked = signalled.or(asked).await;
    let second = async {
        // Whoever asks by the API is followed by a supervisor, which sends the signal that it always sends.
        if is_asked && signals.read(&mut byte).await.is_ok() {
            log::info!("asked to stop while draining shard={}", shard.index);
        }
        if signals.read(&mut byte).await.is_ok() {
            log::warn!(
                "second request to stop: ending at once shard={}",
                shard.index
            );
        }
    };
    wind_down(shard).or(second).await;
}

async fn wind_down(shard: &Rc<Shard>) {
    shard.drain.has_begun.set(true);
    shard.drain.begun.wake_all();
    let drain = shard.config().server.drain;
    if shard.index == 0 {
        let limit = drain + VIEWERS_END + HOMES_END + EXIT_SLACK;
        shard.process.supervisor.stopping(limit);
        let viewers = shard.process.viewers.taken();
        log::info!("draining viewers={viewers} drain_ms={}", drain.as_millis());
        let text = format!("{viewers} viewers have {} ms", drain.as_millis());
        tell::once(shard, Kind::Drain, None, text);
    }
    until(shard, drain, |shard| shard.viewers.get() == 0).await;
    for relay in shard.table.relays() {
        shard.table.end(relay.id, relay.epoch, End::Drained);
        shard.unsubscribe(&relay);
    }
    until(shard, VIEWERS_END, |shard| shard.viewers.get() == 0).await;
    // Viewers of its channels may sit on other shards, which have the same time.
    let whole = drain + VIEWERS_END + HOMES_END;
    until(shard, whole, |shard| shard.table.homes.is_empty()).await;
    shard
        .process
        .unfinished_shards
        .fetch_sub(1, Ordering::Relaxed);
    let is_last = |shard: &Shard| shard.process.unfinished_shards.load(Ordering::Relaxed) == 0;
    until(shard, whole, is_last).await;
}

/// Waits for a state of the shard, but not longer than `limit`.
async fn until(shard: &Shard, limit: Duration, is_reached: impl Fn(&Shard) -> bool) {
    let reached = async {
        while !is_reached(shard) {
            shard.clock.after(TICK).await;
        }
    };
    shard.clock.limit(limit, reached).await;
}

/// How often the state is looked at while draining.
const TICK: Duration = Duration::from_millis(10);

/// How long viewers have for ending at a packet boundary once the deadline has come.
const VIEWERS_END: Duration = Duration::from_millis(1500);

/// What a supervisor is asked to allow for beside.
const EXIT_SLACK: Duration = Duration::from_secs(5);

/// How long fetches have for stopping their engine sessions.
const HOMES_END: Duration = Duration::from_millis(4500);
