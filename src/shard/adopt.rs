//! What a shard does with another configuration while viewers watch.
//!
//! How it is read and told is in `reload`, what shards look up in `register`. The rules: a shard compares what it has
//! open with what it is told and not with what it was told before, so that one that missed a configuration loses
//! nothing; who is not concerned is not touched; and nothing here waits.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use crate::account::{attendance, login};
use crate::channel::End;
use crate::clock::micros;
use crate::config::Upstream;
use crate::shard::feed::Message;
use crate::shard::register::Register;
use crate::shard::{Shard, start};

/// Takes a configuration into use on this shard, and tells shard 0 of it. An older one than is in use is ignored.
pub(super) fn adopt(shard: &Rc<Shard>, register: &Arc<Register>) {
    let before = shard.register();
    if register.version <= before.version {
        return;
    }
    shard.register.replace(Arc::clone(register));
    shard.configured.wake_all();
    shard.guide.reconfigured.wake_all();
    let now_us = shard.clock.now_us();
    shard.counters.forget(now_us);
    shard
        .counters
        .offer(&register.config.channels, now_us + micros(REMOVED_TOLD));
    shard.table.homes.forget_refusals();
    if shard.index == 0 {
        allow(shard, register);
    }
    renew_relays(shard, &before, register);
    renew_homes(shard, &before, register);
    attendance::review(shard, login::unix_seconds());
    let version = register.version;
    shard.send(0, Message::Configured { version });
}

/// Has the process allow as many viewers as are configured, and connections for them.
fn allow(shard: &Shard, register: &Register) {
    let process = &shard.process;
    let connections = start::connections(&register.config, shard.shards);
    process.viewers.allow(register.config.server.viewers_max);
    process
        .connections
        .allow(connections.min(process.connections_max));
}

/// Ends what viewers of this shard may not watch any more, and gives the rest its limits.
fn renew_relays(shard: &Rc<Shard>, before: &Register, register: &Register) {
    let is_closed_now = before.accounts.is_open() && !register.accounts.is_open();
    for relay in shard.table.relays() {
        let end = match register.offer(relay.id) {
            None => End::Removed,
            // Who came while everybody might watch has no account.
            Some(_) if is_closed_now => End::Revoked,
            Some(offer) => {
                relay.take_limits(&offer.limits);
                continue;
            }
        };
        shard.table.end(relay.id, relay.epoch, end);
        shard.unsubscribe(&relay);
    }
}

/// Gives the channels that are fetched here their terms.
fn renew_homes(shard: &Rc<Shard>, before: &Register, register: &Register) {
    let homes = &shard.table.homes;
    let is_engine_moved = before.config.engine.url != register.config.engine.url;
    for home in homes.all() {
        // One that is not offered any more is left by those who follow it.
        let is_changed = register.offer(home.id).is_none_or(|offer| {
            home.terms.take(&offer.name, &offer.limits);
            let is_ace = |it: &Upstream| matches!(it, Upstream::Ace { .. });
            let is_moved = is_engine_moved && offer.upstreams.iter().any(is_ace);
            let is_changed = *home.terms.upstreams() != *offer.upstreams;
            if is_moved || is_changed {
                home.terms.change_upstreams(offer.upstreams);
            }
            is_changed
        });
        // Whoever watches it under another name came for what it was.
        for alias in homes.aliases_of(home.id) {
            let offer = register.offer(alias.id);
            let is_same = offer.is_some_and(|it| *it.upstreams == *alias.upstreams);
            if is_changed || !is_same {
                homes.forget_alias(alias.id);
                home.end_of(alias.id, End::UpstreamLost, |to, message| {
                    shard.send(to, message);
                });
            }
        }
    }
}

/// How long the metrics tell of a channel that was removed: longer than anybody waits between two scrapes.
const REMOVED_TOLD: Duration = Duration::from_secs(300);
