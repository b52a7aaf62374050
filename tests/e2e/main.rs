//! End-to-end tests: the real binary between upstreams that fail and viewers that misbehave.
//!
//! The harness comes first, then one file per behaviour. Packets are numbered, so loss, repetition and reordering
//! are seen to the byte; nothing waits for time, every wait has a deadline; a missing tool fails a test.
//! `CORECAST_SOAK=1` runs the long forms.
#![cfg(test)]
#![expect(
    clippy::disallowed_methods,
    reason = "tests block, sleep and read the clock: they run outside the shards"
)]
#![expect(
    clippy::disallowed_types,
    reason = "the doubles' threads share what they have seen"
)]
#![expect(
    clippy::unwrap_in_result,
    reason = "what surprises a double ends the test"
)]

mod browser;
mod canary;
mod clients;
mod config;
mod engine;
mod http;
mod launch;
mod names;
mod netns;
mod scrape;
mod server;
mod steady;
mod tls;
mod tools;
mod upstream;
mod viewer;
mod wire;

mod accounts;
mod ace;
mod activation;
mod api;
mod apps;
mod bad_engine;
mod batch;
mod behind;
mod browsed;
mod commands;
mod corpus;
mod dead_peer;
mod drain;
mod edges;
mod edges_engine;
mod failover;
mod fanout;
mod front;
mod frozen;
mod guide;
mod haste;
mod hostile;
mod joins;
mod limits;
mod linger;
mod load;
mod logs;
mod memory;
mod metrics;
mod null_packets;
mod packaging;
mod playlist_channels;
mod preferred;
mod prometheus;
mod providers;
mod refusals;
mod reload;
mod scripts;
mod seams;
mod slow_start;
mod slow_viewer;
mod start;
mod startup;
mod storms;
mod supervisor;
mod ts;
mod tuner;

use std::time::{Duration, Instant};

/// Waits until `is_so`, looking again and again; panics after `time_ms`.
#[track_caller]
fn within(time_ms: u64, what: &str, mut is_so: impl FnMut() -> bool) {
    let until = Instant::now() + Duration::from_millis(time_ms);
    while !is_so() {
        assert!(Instant::now() < until, "{what}: not within {time_ms} ms");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// How much a test does: `short` as a rule, `long` with `CORECAST_SOAK=1`.
fn scaled(short: u64, long: u64) -> u64 {
    if std::env::var_os("CORECAST_SOAK").is_some_and(|value| value == "1") {
        long
    } else {
        short
    }
}
