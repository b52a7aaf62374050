//! What a shard does when a time has come: sends again, leaves channels, visits viewers whose turn has passed.
//!
//! Each is a task for as long as the shard runs. The rule: while nothing is due, nothing wakes up but the sign of life.

use std::rc::Rc;
use std::time::Duration;

use futures_lite::FutureExt;

use crate::shard::Shard;

/// Sends again what a full feed could not take, at each tick until nothing waits.
#[expect(clippy::infinite_loop, reason = "a task that ends with its shard")]
pub(super) async fn retry_feeds(shard: Rc<Shard>) {
    loop {
        shard.feeds.waiting.next_event().await;
        loop {
            shard.clock.after(TICK).await;
            let mut is_flushed = shard.feeds.flush();
            for home in shard.table.homes.all() {
                is_flushed &= home.publish(|to, message| shard.deliver(to, message));
            }
            if is_flushed {
                break;
            }
        }
    }
}

/// Leaves channels whose linger is over.
#[expect(clippy::infinite_loop, reason = "a task that ends with its shard")]
pub(super) async fn end_lingers(shard: Rc<Shard>) {
    loop {
        let event = shard.table.lingering.next_event();
        match shard.table.next_linger_us() {
            Some(at_us) => event.or(shard.clock.at(at_us)).await,
            None => event.await,
        }
        for relay in shard.table.expire(shard.clock.now_us()) {
            shard.unsubscribe(&relay);
        }
    }
}

/// Has viewers visited whose turn passed without a chunk, for as long as any wait.
#[expect(clippy::infinite_loop, reason = "a task that ends with its shard")]
pub(super) async fn send_overdue(shard: Rc<Shard>) {
    loop {
        let relays = shard.table.relays();
        let due_us = relays.iter().filter_map(|relay| relay.due_us()).min();
        drop(relays);
        // A turn that comes before this one wakes the task, whatever channel it is of.
        shard.next_turn_us.set(due_us.unwrap_or(u64::MAX));
        let earlier = shard.batched.next_event();
        match due_us {
            Some(due_us) => earlier.or(shard.clock.at(due_us)).await,
            None => earlier.await,
        }
        let now_us = shard.clock.now_us();
        for relay in shard.table.relays() {
            shard.sweep.add(&relay, relay.overdue(now_us));
        }
    }
}

/// Leaves a sign of life now and then, for as long as this executor and its clock run.
#[expect(clippy::infinite_loop, reason = "a task that ends with its shard")]
pub(super) async fn beat(shard: Rc<Shard>) {
    loop {
        let now_us = shard.clock.now_us();
        shard.process.heartbeats.beat(shard.index, now_us);
        shard.clock.after(BEAT).await;
    }
}

/// How often a shard leaves a sign of life.
const BEAT: Duration = Duration::from_millis(500);

/// How often what waits is tried again.
const TICK: Duration = Duration::from_millis(10);
