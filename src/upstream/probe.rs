//! A look at an upstream that stands higher in the list than the one in use.
//!
//! Reads it for a moment and throws away what it brings. When that is done is in `prefer`, what follows in the fetch
//! loop. The rule: the fetch that viewers watch goes on meanwhile, and an engine's content is never opened twice.

use std::rc::Rc;
use std::time::Duration;

use crate::clock::micros;
use crate::config::Upstream;
use crate::ts::PACKET_BYTES;
use crate::ts::packet::TsPacket;
use crate::ts::resync::{LOOKAHEAD_BYTES, Resync, Step};
use crate::upstream::error::{Chain, FetchError};
use crate::upstream::http::Body;
use crate::upstream::pulse::Pulse;
use crate::upstream::read::Place;
use crate::upstream::{Fetch, HEAD_MAX};

impl Fetch<'_> {
    /// Waits until an upstream that is preferred to the present one is healthy, and says which.
    pub(super) async fn until_better(&self) -> usize {
        let (channel, present) = (self.home.id, self.upstream.get());
        let upstreams = self.upstreams();
        let better = upstreams.iter().take(present).enumerate();
        let better: Vec<(usize, &Upstream, Place<'_>)> = better
            .filter_map(|(index, upstream)| Some((index, upstream, place(upstream)?)))
            .collect();
        let every = self.home.terms.limits().return_every;
        self.prefer.borrow_mut().look_every(every);
        let wait = self.prefer.borrow().wait();
        let Some(wait) = wait.filter(|_| !better.is_empty()) else {
            return std::future::pending().await;
        };
        loop {
            self.shard.clock.after(wait).await;
            if !self.has_media.get() {
                continue;
            }
            for (index, upstream, place) in &better {
                match self.look_at(upstream, place).await {
                    Ok(true) => return *index,
                    Ok(false) => {
                        log::debug!(
                            "preferred upstream brings no media channel={channel} upstream={}",
                            index + 1
                        );
                    }
                    Err(error) => {
                        log::debug!(
                            "preferred upstream is still lost channel={channel} upstream={} error=\"{}\"",
                            index + 1,
                            Chain(&error)
                        );
                    }
                }
            }
        }
    }

    /// Looks at an upstream if its provider allows one more connection. If it is healthy, the next try has that one.
    async fn look_at(&self, upstream: &Upstream, place: &Place<'_>) -> Result<bool, FetchError> {
        let hold = self.hold_to_look(upstream).await?;
        let is_healthy = self.probe(place).await?;
        if let Some(hold) = hold.filter(|_| is_healthy) {
            hold.close();
            hold.until_released().await;
            self.better_hold.replace(Some(Rc::new(hold)));
        }
        Ok(is_healthy)
    }

    /// Reads until [`PROBE_MEDIA`] of media have come, and says whether they have in time.
    async fn probe(&self, place: &Place<'_>) -> Result<bool, FetchError> {
        let clock = &self.shard.clock;
        let mut body = Box::pin(self.ask(place)).await?;
        let mut sample = Sample::default();
        let enough = async {
            while sample.pulse.received_us() < micros(PROBE_MEDIA) {
                if sample.read(&mut body).await? == 0 {
                    return Ok(false);
                }
                sample.judge(clock.now_us());
                // What an upstream sends ahead is not fetched to be thrown away.
                clock.after(PAUSE).await;
            }
            Ok(true)
        };
        clock.limit(PROBE_MAX, enough).await.unwrap_or(Ok(false))
    }
}

/// What a look has brought.
struct Sample {
    bytes: Vec<u8>,
    filled: usize,
    resync: Resync,
    pulse: Pulse,
}

impl Default for Sample {
    fn default() -> Self {
        Self {
            bytes: vec![0; LOOKAHEAD_BYTES + READ_BYTES],
            filled: 0,
            resync: Resync::new(),
            pulse: Pulse::new(),
        }
    }
}

impl Sample {
    async fn read(&mut self, body: &mut Body) -> Result<usize, FetchError> {
        let room = self.bytes.get_mut(self.filled..).unwrap_or_default();
        let read = body.read(room).await?;
        self.filled += read;
        Ok(read)
    }

    /// Looks at the whole packets and keeps the rest.
    fn judge(&mut self, now_us: u64) {
        self.pulse.arrive(now_us);
        let mut judged = 0;
        loop {
            let rest = self.bytes.get(judged..self.filled).unwrap_or_default();
            match self.resync.next(rest, false) {
                Step::Junk(junk) => judged += junk,
                Step::NeedMore => break,
                Step::Packet => {
                    if let Some(packet) = TsPacket::first(rest) {
                        self.pulse.take(packet, true);
                    }
                    judged += PACKET_BYTES;
                }
            }
        }
        self.bytes.copy_within(judged..self.filled, 0);
        self.filled -= judged;
    }
}

/// Where an upstream is read that may be looked at beside another: engine content may not, the demo never fails.
fn place(upstream: &Upstream) -> Option<Place<'_>> {
    match upstream {
        Upstream::Ace { .. } | Upstream::Demo { .. } => None,
        Upstream::Http {
            url,
            user_agent,
            headers,
        } => Some(Place {
            url,
            user_agent: user_agent.as_deref(),
            headers,
            head_limit: HEAD_MAX,
        }),
    }
}

/// How much media a healthy upstream brings.
const PROBE_MEDIA: Duration = Duration::from_secs(3);

/// How long it may take for it.
const PROBE_MAX: Duration = Duration::from_secs(10);

/// Rest between two reads.
const PAUSE: Duration = Duration::from_millis(50);

/// How much is read at once.
const READ_BYTES: usize = 64 * 1024;
