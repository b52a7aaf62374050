//! What one thread of viewers has counted that belongs to no single viewer.

use std::time::Duration;

use hdrhistogram::Histogram;

use super::plan::Role;
use super::viewer::{Phase, Viewer};
use super::watch::micros;
use crate::measure::tool::ThreadUse;
use crate::spread::histogram;

/// Counts of one thread, or of all once they are added.
pub(crate) struct Tally {
    /// Whether the measured time is running.
    pub(crate) is_measuring: bool,
    /// Microseconds of work between two waits, within the measured time: so long an arrival may go unseen.
    pub(crate) busy: Histogram<u64>,
    /// Microseconds from asking to the first body byte, of those that come and go.
    pub(crate) joins_beside: Histogram<u64>,
    /// How often those that come and go have stayed.
    pub(crate) stays: u64,
    /// How often they went without a byte of media.
    pub(crate) stays_without_media: u64,
    /// Stalled viewers that the server had closed before the end.
    pub(crate) stalled_dropped: u64,
    /// What each thread used within the measured time.
    pub(crate) threads: Vec<ThreadUse>,
}

impl Default for Tally {
    fn default() -> Self {
        Self {
            is_measuring: false,
            busy: histogram(),
            joins_beside: histogram(),
            stays: 0,
            stays_without_media: 0,
            stalled_dropped: 0,
            threads: Vec::new(),
        }
    }
}

impl Tally {
    /// Takes how long a turn worked without looking at its sockets.
    pub(crate) fn note_turn(&mut self, busy: Duration) {
        if self.is_measuring {
            self.busy.saturating_record(micros(busy));
        }
    }

    /// Takes a viewer's first body byte.
    pub(crate) fn note_join(&mut self, viewer: &Viewer) {
        let comes_and_goes = matches!(viewer.assignment.role, Role::Churning | Role::Zapping);
        if let Some(first) = viewer.first_byte.filter(|_| comes_and_goes) {
            let took = first.saturating_sub(viewer.asked);
            self.joins_beside.saturating_record(micros(took));
        }
    }

    /// Takes a stay that ends because the viewer wants it.
    pub(crate) fn note_stay(&mut self, viewer: &Viewer) {
        self.stays += 1;
        self.stays_without_media += u64::from(viewer.first_byte.is_none());
    }

    /// Lets a viewer go at the end of everything.
    pub(crate) fn note_end(&mut self, viewer: &mut Viewer) {
        let was_over = viewer.phase == Phase::Over;
        let was_gone = !was_over && viewer.leave();
        let is_stalled = viewer.assignment.role == Role::Stalled;
        self.stalled_dropped += u64::from(is_stalled && (was_over || was_gone));
    }

    /// Adds another thread's counts.
    pub(crate) fn add(&mut self, other: &Self) {
        for (mine, theirs) in [
            (&mut self.busy, &other.busy),
            (&mut self.joins_beside, &other.joins_beside),
        ] {
            add(mine, theirs);
        }
        self.stays += other.stays;
        self.stays_without_media += other.stays_without_media;
        self.stalled_dropped += other.stalled_dropped;
        self.threads.extend_from_slice(&other.threads);
    }
}

/// Adds one histogram to another; all are made with the same bounds.
#[expect(
    clippy::expect_used,
    reason = "every histogram of the tool is made by one function, so the bounds are equal"
)]
pub(crate) fn add(to: &mut Histogram<u64>, from: &Histogram<u64>) {
    to.add(from).expect("equal bounds");
}
