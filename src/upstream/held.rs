//! The connection that a channel's fetch may have at its provider.
//!
//! How it is granted is in `provider`. The rule: the fetch keeps it from one try to the next, so that nobody takes the
//! line from viewers while it is mended, and gives it back when it goes on somewhere else or ends.

use std::rc::Rc;
use std::time::Duration;

use futures_lite::FutureExt;

use crate::clock::micros;
use crate::config::Upstream;
use crate::upstream::error::FetchError;
use crate::upstream::provider::{self, AtLimit, Hold};
use crate::upstream::{Fetch, STARTS_MAX, TryOver};

impl Fetch<'_> {
    /// Waits until the upstream may be connected to.
    pub(super) async fn may_connect(&self, upstream: &Upstream) -> Result<(), TryOver> {
        let left = async {
            self.until_left().await;
            Err(TryOver::Left)
        };
        let held = async { self.hold(upstream).await.map_err(TryOver::Lost) };
        left.or(held).await
    }

    async fn hold(&self, upstream: &Upstream) -> Result<(), FetchError> {
        let provider = provider::of(&self.shard.config(), upstream);
        // The look that found a better upstream has left its own.
        let held = [self.better_hold.take(), self.held.take()];
        let kept = held
            .into_iter()
            .flatten()
            .find(|it| Some(it.provider()) == provider && it.is_counted_at_home());
        let hold = match (kept, provider) {
            (_, None) => return Ok(()),
            (Some(hold), Some(_)) => hold,
            (None, Some(provider)) => {
                let asked_us = self.shard.clock.now_us();
                let asked = provider::hold(self.shard, self.home.id, provider, true);
                let answer = self.shard.clock.limit(self.left(), asked).await;
                self.put_off(self.shard.clock.now_us() - asked_us);
                let Some(answer) = answer else {
                    return Err(FetchError::AtLimit { provider });
                };
                Rc::new(answer.map_err(|AtLimit| FetchError::AtLimit { provider })?)
            }
        };
        let hold = Rc::clone(self.held.borrow_mut().insert(hold));
        let closed_us = self.shard.clock.now_us();
        hold.until_released().await;
        // Our own wait is no time that the upstream had: without it a long release would end the channel at every break.
        let waited_us = self.shard.clock.now_us() - closed_us;
        self.media_due_us.set(self.media_due_us.get() + waited_us);
        hold.begin();
        Ok(())
    }

    /// Gives a start the time back that it waited for its turn at a provider, but no more than [`STARTS_MAX`] in all.
    fn put_off(&self, waited_us: u64) {
        if !self.home.has_been_live() {
            let start_us = micros(self.home.terms.limits().start_timeout);
            let last_us = self.dry_since_us.get() + start_us * u64::from(STARTS_MAX);
            let wanted_us = self.media_due_us.get() + waited_us;
            self.media_due_us
                .set(wanted_us.min(last_us).max(self.media_due_us.get()));
        }
    }

    /// Asks whether one more connection may be made to look at an upstream; viewers' own go first.
    pub(super) async fn hold_to_look(
        &self,
        upstream: &Upstream,
    ) -> Result<Option<Hold>, FetchError> {
        let Some(provider) = provider::of(&self.shard.config(), upstream) else {
            return Ok(None);
        };
        let hold = provider::hold(self.shard, self.home.id, provider, false).await;
        let hold = hold.map_err(|AtLimit| FetchError::AtLimit { provider })?;
        hold.begin();
        Ok(Some(hold))
    }

    /// Waits until no connection is being made: what is dropped before would be open for longer than it is counted.
    pub(super) async fn until_connected(&self) {
        while self.connecting.is_underway() {
            self.shard.clock.after(LOOK_EVERY).await;
        }
    }

    /// Notes that the try's connection is closed.
    pub(super) fn note_closed(&self) {
        if let Some(hold) = &*self.held.borrow() {
            hold.close();
        }
    }
}

/// How often it is looked whether a connection has been made.
const LOOK_EVERY: Duration = Duration::from_millis(10);
