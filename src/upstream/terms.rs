//! What a fetch waits for beside its upstream: that nobody follows, that a better one is there, that the list changes.
//!
//! Where the list stands is `channel::terms`, what is better `prefer`. The rules: a fetch whose upstream is still in the
//! list goes on as if nothing had happened; another begins the new list at its first, spliced like after a loss; and a
//! list that was put right gets a whole start's time.

use std::rc::Rc;
use std::time::Duration;

use futures_lite::FutureExt;

use crate::channel::Phase;
use crate::config::Upstream;
use crate::upstream::retry::Retry;
use crate::upstream::{Fetch, TryOver};

/// Why a rest between two tries is over.
pub(super) enum Rested {
    Changed,
    Left,
    /// The operator wants the fetch begun anew.
    Restarted,
    Slept,
}

impl Fetch<'_> {
    /// The list that is worked through.
    pub(super) fn upstreams(&self) -> Rc<[Upstream]> {
        Rc::clone(&self.upstreams.borrow())
    }

    /// Waits until nobody follows, a better upstream is there, or the list has changed and this one is not in it.
    pub(super) async fn until_not_wanted(&self) -> TryOver {
        loop {
            let left = async {
                self.until_left().await;
                self.until_connected().await;
                Some(TryOver::Left)
            };
            let better = async { Some(TryOver::Better(self.until_better().await)) };
            let changed = async {
                self.until_changed().await;
                self.until_connected().await;
                None
            };
            let restarted = async {
                self.until_restarted().await;
                self.until_connected().await;
                Some(TryOver::Restarted)
            };
            match left.or(restarted).or(Box::pin(better)).or(changed).await {
                Some(over) => return over,
                None if self.goes_on() => {}
                None => return TryOver::Changed,
            }
        }
    }

    /// Waits before the next try.
    pub(super) async fn rest(&self, delay: Duration) -> Rested {
        let left = async {
            self.until_left().await;
            Rested::Left
        };
        let changed = async {
            self.until_changed().await;
            Rested::Changed
        };
        let slept = async {
            self.shard.clock.after(delay).await;
            Rested::Slept
        };
        let restarted = async {
            self.until_restarted().await;
            Rested::Restarted
        };
        left.or(restarted).or(changed).or(slept).await
    }

    /// Waits until the channel has another list than the one that is worked through.
    async fn until_changed(&self) {
        let terms = &self.home.terms;
        while Rc::ptr_eq(&self.upstreams(), &terms.upstreams()) {
            terms.changed.next_event().await;
        }
    }

    /// Takes the channel's list if the upstream that is being read is in it, and says whether it is.
    fn goes_on(&self) -> bool {
        let (before, after) = (self.upstreams(), self.home.terms.upstreams());
        let Some(present) = before.get(self.upstream.get()) else {
            return false;
        };
        let is_elsewhere = matches!(present, Upstream::Ace { .. })
            && *self.engine_url.borrow() != self.shard.config().engine.url;
        let Some(index) = after.iter().position(|it| it == present) else {
            return false;
        };
        if is_elsewhere {
            return false;
        }
        self.take_list();
        self.upstream.set(index);
        if self.has_media.get() {
            self.home.note_upstream(Some(index + 1));
        }
        true
    }

    /// Takes the channel's list and begins at its first.
    pub(super) fn begin_list(&self) -> Retry {
        let home = self.home;
        if home.phase() == Phase::Live {
            home.enter(Phase::Stalled, self.shard.clock.now_us());
        }
        self.shard.table.homes.release(home.id);
        log::info!(
            "upstreams changed channel={} name={:?} left={}",
            home.id,
            home.terms.name(),
            self.upstream.get() + 1,
        );
        self.take_list();
        self.begin_drought();
        self.plan_from(0)
    }

    /// A plan for the list as it is now.
    pub(super) fn plan_from(&self, upstream: usize) -> Retry {
        let has_delivered = self.home.has_been_live();
        Retry::for_list(self.upstreams().len(), upstream, has_delivered)
    }

    fn take_list(&self) {
        self.upstreams.replace(self.home.terms.upstreams());
        self.engine_url
            .borrow_mut()
            .clone_from(&self.shard.config().engine.url);
    }
}
