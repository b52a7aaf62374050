//! How an event reaches shard 0, from wherever it happened.
//!
//! What is kept of it there is in `events`. The rule: who tells of something never waits, and what comes in storms is told
//! of as a number.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use crate::admin::events::{Kind, Occurrence};
use crate::channel::id::ChannelId;
use crate::log::{Suppress, Verdict};
use crate::metrics::Label;
use crate::shard::Shard;
use crate::shard::feed::Message;

/// What one shard holds back of events that come in storms.
pub struct Storms {
    admitted: RefCell<Suppress<Cause>>,
    is_counting: Cell<bool>,
}

/// What the events of a storm have in common. Shape: a closed set, so that dynamic channels are one.
type Cause = (Kind, Option<Label>, &'static str);

impl Default for Storms {
    fn default() -> Self {
        Self {
            admitted: RefCell::new(Suppress::new(EACH_MAX)),
            is_counting: Cell::new(false),
        }
    }
}

/// Tells of something that happens rarely.
pub fn once(shard: &Rc<Shard>, kind: Kind, channel: Option<ChannelId>, text: String) {
    let occurrence = Occurrence {
        at_us: shard.clock.now_us(),
        kind,
        channel,
        reason: None,
        count: 1,
        text,
    };
    pass_on(shard, occurrence);
}

/// Tells of something that may happen thousands of times a second: of a few each second one by one, of the rest how many.
pub fn often(
    shard: &Rc<Shard>,
    kind: Kind,
    channel: Option<ChannelId>,
    reason: &'static str,
    text: impl FnOnce() -> String,
) {
    let cause = (kind, channel.map(Label::from), reason);
    let now_us = shard.clock.now_us();
    let verdict = shard.storms.admitted.borrow_mut().admit(cause, now_us);
    match verdict {
        Verdict::Withhold => return count_later(shard),
        Verdict::WriteAfter { suppressed } => tell_count(shard, cause, suppressed),
        Verdict::Write => {}
    }
    let occurrence = Occurrence {
        at_us: now_us,
        kind,
        channel,
        reason: Some(reason),
        count: 1,
        text: text(),
    };
    pass_on(shard, occurrence);
}

/// Takes an event on shard 0.
pub fn take(shard: &Shard, occurrence: Occurrence) {
    shard.desk.events.borrow_mut().push(occurrence);
}

fn pass_on(shard: &Rc<Shard>, occurrence: Occurrence) {
    shard.send(0, Message::Event(Box::new(occurrence)));
}

/// Tells what is held back once the second is over, although nothing further happens.
fn count_later(shard: &Rc<Shard>) {
    if shard.storms.is_counting.replace(true) {
        return;
    }
    let here = Rc::clone(shard);
    shard.spawn("events", async move {
        // What is held back while this runs is over by the second look after it.
        let mut quiet_looks = 0;
        while quiet_looks < 2 {
            here.clock.after(COUNT_AFTER).await;
            let now_us = here.clock.now_us();
            let held_back = here.storms.admitted.borrow_mut().ended(now_us);
            quiet_looks = if held_back.is_empty() {
                quiet_looks + 1
            } else {
                0
            };
            for (cause, count) in held_back {
                tell_count(&here, cause, count);
            }
        }
        here.storms.is_counting.set(false);
    });
}

fn tell_count(shard: &Rc<Shard>, cause: Cause, count: u64) {
    let (kind, label, reason) = cause;
    let channel = match label {
        Some(Label::Channel(number)) => Some(ChannelId::Configured(number)),
        Some(Label::Dynamic) | None => None,
    };
    let occurrence = Occurrence {
        at_us: shard.clock.now_us(),
        kind,
        channel,
        reason: Some(reason),
        count,
        text: format!("{count} more within a second: {reason}"),
    };
    pass_on(shard, occurrence);
}

/// How many events of one cause a shard tells one by one in a second.
const EACH_MAX: u32 = 5;

/// Somewhat more than the second that a storm is counted in.
const COUNT_AFTER: Duration = Duration::from_millis(1_100);
