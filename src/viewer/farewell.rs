//! Which ends of viewers get a line in the log, when many end at once.
//!
//! What the line says belongs in `tally`. The rule: so many lines a second for each channel and reason, and of the rest
//! their number.

use std::cell::RefCell;
use std::fmt::Display;
use std::rc::Rc;
use std::time::Duration;

use crate::channel::wakers::Wakers;
use crate::log::{Suppress, Verdict};
use crate::metrics::{Label, Reason, ViewerEnd};
use crate::shard::Shard;

/// The lines of one shard.
pub struct Farewells {
    suppress: RefCell<Suppress<Cause>>,
    withheld: Wakers,
}

/// What lines have in common.
type Cause = (Label, &'static str);

impl Default for Farewells {
    fn default() -> Self {
        Self {
            suppress: RefCell::new(Suppress::new(LINES_MAX)),
            withheld: Wakers::default(),
        }
    }
}

impl Farewells {
    /// Writes the line of a viewer that ended, or counts it.
    pub fn say(&self, channel: Label, end: ViewerEnd, line: &dyn Display, now_us: u64) {
        let cause = (channel, end.label());
        let verdict = self.suppress.borrow_mut().admit(cause, now_us);
        match verdict {
            Verdict::Withhold => return self.withheld.wake_all(),
            Verdict::Write => {}
            Verdict::WriteAfter { suppressed } => say_suppressed(cause, suppressed),
        }
        log::info!("{line}");
    }

    /// Writes how many lines were withheld in the seconds that are over at `now_us`; says whether more are.
    pub fn say_withheld(&self, now_us: u64) -> bool {
        let ended = self.suppress.borrow_mut().ended(now_us);
        for (cause, suppressed) in ended {
            say_suppressed(cause, suppressed);
        }
        self.suppress.borrow().is_withholding()
    }
}

/// Says what was withheld when its second is over.
#[expect(clippy::infinite_loop, reason = "a task that ends with its shard")]
pub async fn say_overdue(shard: Rc<Shard>) {
    loop {
        shard.farewells.withheld.next_event().await;
        loop {
            shard.clock.after(PAUSE).await;
            if !shard.farewells.say_withheld(shard.clock.now_us()) {
                break;
            }
        }
    }
}

fn say_suppressed((channel, reason): Cause, suppressed: u64) {
    log::info!("suppressed {suppressed} lines of viewer end channel={channel} reason={reason}");
}

/// Lines a second for one channel and reason on one shard.
const LINES_MAX: u32 = 10;

/// How often it is looked for what was withheld.
const PAUSE: Duration = Duration::from_secs(1);
