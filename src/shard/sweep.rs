//! Visits the viewers whose turn it is, a few at a time, so that a large channel holds up nothing else.
//!
//! Whose turn it is, `channel::batch` says; who stands where, `channel::standing`; what a visit does is `viewer`'s business.
//! The rule: groups take turns, so that a channel with one viewer waits for a few visits of one with a thousand.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;

use futures_lite::future::yield_now;

use crate::channel::batch::GROUPS;
use crate::channel::relay::Relay;
use crate::channel::wakers::Wakers;
use crate::shard::Shard;

/// The groups of viewers that are due.
#[derive(Default)]
pub(super) struct Sweep {
    /// Each group once, the one that waits longest in front.
    due: RefCell<VecDeque<(Rc<Relay>, usize)>>,
    more: Wakers,
}

impl Sweep {
    /// Has these groups of a relay visited.
    pub(super) fn add(&self, relay: &Rc<Relay>, groups: [bool; GROUPS]) {
        let mut due = self.due.borrow_mut();
        for (group, is_due) in groups.into_iter().enumerate() {
            if is_due && relay.begin_round(group) {
                due.push_back((Rc::clone(relay), group));
            }
        }
        if !due.is_empty() {
            self.more.wake_all();
        }
    }
}

/// Visits whoever is due, for as long as the shard runs.
#[expect(clippy::infinite_loop, reason = "a task that ends with its shard")]
pub(super) async fn run(shard: Rc<Shard>) {
    loop {
        while visit_some(&shard) {
            yield_now().await;
        }
        shard.sweep.more.next_event().await;
    }
}

/// Visits a few of those that wait longest; says whether any are left.
fn visit_some(shard: &Shard) -> bool {
    let mut left = VISITS;
    while left > 0 {
        let Some((relay, group)) = shard.sweep.due.borrow_mut().pop_front() else {
            return false;
        };
        let gone = relay.visit(group, left, &shard.clock, &shard.counters);
        if gone == left {
            shard.sweep.due.borrow_mut().push_back((relay, group));
        }
        left -= gone;
    }
    true
}

/// Visits before others have their turn. One takes about ten microseconds.
const VISITS: usize = 64;
