//! Simulation of the pure core: from an upstream's bytes to the bytes of many viewers, all chance from one seed.
//!
//! The real `Ingest`, `Home` and `Relay` carry a numbered stream to simulated viewers that stall, fall behind and
//! leave, over links that are late or lose messages; a naive model says what each must have received. There is no
//! clock, no socket and no executor, so a run is over in milliseconds and the same seed is the same run.
//!
//! A failure names its seed; `SEED=<it> cargo test --test sim` begins with it. Seeds that found something stay in
//! [`FOUND`].
#![cfg(test)]

mod dice;
mod model;
mod pace;
mod packet;
mod published;
mod ring;
mod upstream;
mod verdict;
mod viewer;
mod world;

use std::ops::AddAssign;
use std::panic;

use crate::world::World;

/// What a run came upon, so that a test can tell that the runs are worth something.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tally {
    pub(crate) chunks: usize,
    pub(crate) lost_chunks: usize,
    pub(crate) torn: usize,
    pub(crate) splices: usize,
    pub(crate) viewers: usize,
    pub(crate) holds: usize,
    pub(crate) skips: usize,
    pub(crate) waits: usize,
    pub(crate) drops: usize,
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.chunks += other.chunks;
        self.lost_chunks += other.lost_chunks;
        self.torn += other.torn;
        self.splices += other.splices;
        self.viewers += other.viewers;
        self.holds += other.holds;
        self.skips += other.skips;
        self.waits += other.waits;
        self.drops += other.drops;
    }
}

fn run(seeds: impl IntoIterator<Item = u64>) -> Tally {
    let mut tally = Tally::default();
    for seed in seeds {
        let run = panic::catch_unwind(|| World::new(seed).run());
        tally += run.unwrap_or_else(|_| panic!("seed {seed}: repeat it with SEED={seed}"));
    }
    tally
}

/// A number from the environment, for longer runs and for the repetition of one.
fn asked(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |number| number.parse().unwrap())
}

#[test]
fn viewers_receive_what_is_due_and_miss_only_what_is_counted() {
    let first = asked("SEED", 2_026);
    run(first..first + asked("SEEDS", SEEDS));
}

#[test]
fn seeds_that_found_a_fault_find_it_no_more() {
    run(FOUND.iter().copied());
}

#[test]
fn the_simulation_meets_every_kind_of_trouble() {
    let tally = run(1..=SEEDS_TALLIED);
    let Tally {
        chunks,
        lost_chunks,
        torn,
        splices,
        viewers,
        holds,
        skips,
        waits,
        drops,
    } = tally;
    let met = [
        chunks,
        lost_chunks,
        torn,
        splices,
        viewers,
        holds,
        skips,
        waits,
        drops,
    ];
    assert!(met.iter().all(|count| *count >= 20), "{tally:?}");
}

/// A sample for every run of the tests; `scripts/sim.sh` runs a million.
const SEEDS: u64 = 4_000;
const SEEDS_TALLIED: u64 = 300;

/// Seeds that found a fault once, and which.
const FOUND: &[u64] = &[
    // A viewer that had to wait for a join point never got the rest of its packet.
    10,
    // A ring that had to give its newest join point away kept what followed it, for longer than its span.
    979,
];
