//! What the source counts, as it is told on `/stats` and at its end. (pure)

use std::time::Duration;

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

use super::engine::Account;
use crate::spread::Spread;

/// Everything counted.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Stats {
    pub(crate) channels: u64,
    /// Of each channel.
    pub(crate) bit_per_s: u64,
    pub(crate) connections: u64,
    pub(crate) requests: u64,
    /// Answers that were media.
    pub(crate) bodies: u64,
    pub(crate) bodies_open: u64,
    /// Bytes of such answers that sockets took.
    pub(crate) media_bytes: u64,
    /// How late pieces went on air.
    pub(crate) late_us: Spread,
    pub(crate) cpu_s: f64,
    pub(crate) engine: Account,
}

/// How late the source is itself.
pub(crate) struct Lateness(Histogram<u64>);

impl Default for Lateness {
    fn default() -> Self {
        Self(crate::spread::histogram())
    }
}

impl Lateness {
    /// Takes the lateness of a piece.
    pub(crate) fn note(&mut self, late: Duration) {
        self.0
            .saturating_record(u64::try_from(late.as_micros()).unwrap_or(u64::MAX));
    }

    /// What was noted so far.
    pub(crate) fn told(&self) -> Spread {
        Spread::of(&self.0)
    }
}
