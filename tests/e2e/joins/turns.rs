//! Upstreams that are on air whether they are heard or not, and break off in turn.
//!
//! What they send is made in `file.rs`. The rule: each fetch begins before the place that is on air, so media of the fetch
//! before comes again, and is cut in the middle of a packet.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use super::file::Broadcast;
use crate::scaled;
use crate::wire::{Double, Gone, Peer};

/// Whose turn it is to send: upstream after upstream, each until its cut; the last one goes on.
pub(crate) struct Turns {
    upstreams: u64,
    pub(crate) cuts: u64,
    /// How far before what is on air each turn begins, over and over.
    ///
    /// Unit: milliseconds.
    back: &'static [u64],
    began: OnceLock<Instant>,
    turn: AtomicU64,
    is_done: AtomicBool,
}

impl Turns {
    pub(crate) fn new(upstreams: u64, back: &'static [u64]) -> Arc<Self> {
        Arc::new(Self {
            upstreams,
            cuts: scaled(CUTS, CUTS_SOAK),
            back,
            began: OnceLock::new(),
            turn: AtomicU64::new(0),
            is_done: AtomicBool::new(false),
        })
    }

    /// The upstream of this number, which sends when its turn has come and refuses until then.
    pub(crate) fn upstream(self: &Arc<Self>, number: u64, broadcast: &Arc<Broadcast>) -> Double {
        let (turns, broadcast) = (Arc::clone(self), Arc::clone(broadcast));
        Double::start(move |_, peer| {
            let turn = turns.turn.load(Ordering::SeqCst);
            if turn % turns.upstreams == number {
                turns.play(turn, &broadcast, peer)
            } else {
                peer.send(b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            }
        })
    }

    /// How long it takes until the last turn begins, at least.
    pub(crate) fn time_min(&self) -> Duration {
        live() * u32::try_from(self.cuts).unwrap()
    }

    /// How long all takes, at most.
    pub(crate) fn time_max(&self) -> Duration {
        (live() + LIVE_SPREAD + RECONNECT) * u32::try_from(self.cuts + 1).unwrap()
    }

    /// How many turns are over.
    pub(crate) fn over(&self) -> u64 {
        self.turn.load(Ordering::SeqCst)
    }

    /// Whether all cuts are made and as much as between two was sent since.
    pub(crate) fn is_done(&self) -> bool {
        self.is_done.load(Ordering::SeqCst)
    }

    fn play(&self, turn: u64, broadcast: &Broadcast, peer: &mut Peer) -> Result<(), Gone> {
        peer.send(b"HTTP/1.1 200 OK\r\nContent-Type: video/mp2t\r\nConnection: close\r\n\r\n")?;
        let back = self.back[usize::try_from(turn).unwrap() % self.back.len()];
        let began = self.on_air();
        let until = began + live() + LIVE_SPREAD.mul_f64(fastrand::f64());
        let mut sent = broadcast.due(began.saturating_sub(Duration::from_millis(back)));
        while turn == self.cuts || self.on_air() < until {
            let due = broadcast.due(self.on_air());
            assert!(due < broadcast.bytes.len(), "the broadcast is too short");
            peer.send(&broadcast.bytes[sent..due])?;
            sent = due;
            peer.pause(Duration::from_millis(10))?;
            let is_done = turn == self.cuts && self.on_air() >= until;
            self.is_done.store(is_done, Ordering::SeqCst);
        }
        peer.send(&broadcast.bytes[sent..sent + TORN_BYTES])?;
        self.turn.fetch_add(1, Ordering::SeqCst);
        if turn.is_multiple_of(2) {
            Ok(())
        } else {
            Err(peer.reset())
        }
    }

    /// Which time of the broadcast it is.
    fn on_air(&self) -> Duration {
        ON_AIR_AT_START + self.began.get_or_init(Instant::now).elapsed()
    }
}

/// What is sent live in one turn at least.
fn live() -> Duration {
    Duration::from_millis(scaled(1_900, 9_500))
}

/// How much longer a turn may be, so that cuts fall anywhere.
const LIVE_SPREAD: Duration = Duration::from_secs(1);
/// How long the next turn lets wait for itself, with a refusal in between.
const RECONNECT: Duration = Duration::from_secs(1);
const CUTS: u64 = 3;
const CUTS_SOAK: u64 = 30;
/// Less than a packet.
const TORN_BYTES: usize = 77;
/// The broadcast began before it was first asked for, so that there is a past to start in.
const ON_AIR_AT_START: Duration = Duration::from_secs(10);
