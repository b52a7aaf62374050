//! What is told of a channel's fetch when it goes elsewhere, begins anew or has trouble, to the log and the operator.
//!
//! When that is, is decided in the fetch loop. The rule: an error is told as the log tells it, URLs without their secrets.

use std::time::Duration;

use crate::admin::events::Kind;
use crate::admin::tell;
use crate::channel::Phase;
use crate::channel::table::LastError;
use crate::metrics::Connect;
use crate::upstream::Fetch;
use crate::upstream::error::{Chain, FetchError};

impl Fetch<'_> {
    /// Tells of something that happened to the channel.
    pub(super) fn tell(&self, kind: Kind, text: String) {
        tell::once(self.shard, kind, Some(self.home.id), text);
    }

    /// Tells of trouble with the upstream that was tried, and remembers it.
    pub(super) fn tell_trouble(&self, kind: Kind, error: &FetchError) {
        let text = format!("upstream {}: {}", self.upstream.get() + 1, Chain(error));
        let last = LastError {
            at_us: self.shard.clock.now_us(),
            text: text.as_str().into(),
        };
        let homes = &self.shard.table.homes;
        homes.note_error(self.home.id, last);
        self.tell(kind, text);
    }

    /// Notes that media comes from the upstream that was tried.
    pub(super) fn note_live(&self) {
        let home = self.home;
        home.counters.upstream_tried(Connect::Ok);
        home.note_upstream(Some(self.upstream.get() + 1));
        let before = home.enter(Phase::Live, self.shard.clock.now_us());
        if before == Phase::Stalled {
            home.counters.upstream_switches.add(1);
        }
        let took_ms = (self.shard.clock.now_us() - self.dry_since_us.get()) / 1000;
        log::info!(
            "channel live channel={} name={:?} upstream={} took_ms={took_ms}",
            home.id,
            home.terms.name(),
            self.upstream.get() + 1,
        );
        let text = format!(
            "upstream {} delivers, after {took_ms} ms",
            self.upstream.get() + 1
        );
        self.tell(Kind::ChannelLive, text);
    }

    /// Notes that the upstream is lost; the next try is so far away.
    pub(super) fn note_lost(&self, error: &FetchError, delay: Duration) {
        let home = self.home;
        if !self.has_media.get() {
            home.counters.upstream_tried(error.counted());
        }
        if home.phase() == Phase::Live {
            home.enter(Phase::Stalled, self.shard.clock.now_us());
        }
        if self.is_news(error) {
            self.tell_trouble(Kind::UpstreamLost, error);
            log::warn!(
                "upstream lost channel={} name={:?} upstream={} error=\"{}\" next_ms={}",
                home.id,
                home.terms.name(),
                self.upstream.get() + 1,
                Chain(error),
                delay.as_millis(),
            );
        }
    }

    /// Notes that the fetch goes back to an upstream that stands higher in the list.
    pub(super) fn note_better(&self, upstream: usize) {
        let home = self.home;
        self.prefer.borrow_mut().returned(self.shard.clock.now_us());
        home.enter(Phase::Stalled, self.shard.clock.now_us());
        self.shard.table.homes.release(home.id);
        log::info!(
            "preferred upstream is back channel={} name={:?} upstream={} left={}",
            home.id,
            home.terms.name(),
            upstream + 1,
            self.upstream.get() + 1,
        );
        let text = format!(
            "from upstream {} to {}",
            self.upstream.get() + 1,
            upstream + 1
        );
        self.tell(Kind::ChannelSwitched, text);
    }

    /// Forgets what was known of the fetch before, which the operator had ended.
    pub(super) fn note_restart(&self) {
        let home = self.home;
        if home.phase() == Phase::Live {
            home.enter(Phase::Stalled, self.shard.clock.now_us());
        }
        self.begin_drought();
        self.shard.table.homes.release(home.id);
        let name = home.terms.name();
        log::info!("channel restarted channel={} name={name:?}", home.id);
    }

    /// Waits until the operator wants the channel fetched anew.
    pub(super) async fn until_restarted(&self) {
        while !self.home.takes_restart() {
            self.home.audience.next_event().await;
        }
    }
}
