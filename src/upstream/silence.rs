//! Null packets for the viewers of a channel from which nothing comes.
//!
//! Whether one is due is `channel::home`'s to say. The rule it protects: a player that waits through a stall or a change
//! of upstream hears something, and never before it has been sent media.

use std::convert::Infallible;
use std::time::Duration;

use crate::upstream::Fetch;

impl Fetch<'_> {
    /// Publishes a null packet whenever one is due, for as long as it is polled.
    #[expect(clippy::infinite_loop, reason = "it runs beside what ends by itself")]
    pub(super) async fn fill_silence(&self) -> Infallible {
        let (clock, home) = (&self.shard.clock, self.home);
        loop {
            let Some(due_us) = home.filler_due_us() else {
                clock.after(LOOK_EVERY).await;
                continue;
            };
            clock.at(due_us).await;
            let is_due = home
                .filler_due_us()
                .is_some_and(|due_us| due_us <= clock.now_us());
            if !is_due {
                continue;
            }
            match home.fill(clock.now_us()) {
                Ok(()) => self.shard.publish(home),
                Err(error) => {
                    log::debug!("no memory for a null packet error=\"{error}\"");
                    clock.after(LOOK_EVERY).await;
                }
            }
        }
    }
}

/// How often it is looked whether null packets are wanted.
const LOOK_EVERY: Duration = Duration::from_millis(500);
