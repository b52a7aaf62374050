//! Two configurations -> what was added, removed and changed between them, and what cannot change while the process runs. (pure)
//!
//! Who is told of it is the business of `shard::reload`. The rules: nothing that is said here shows a password or a URL, and
//! what cannot change is kept as it is in use, so that the rest can be applied.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::SocketAddr;

use thiserror::Error;

use super::{Account, Channel, Config, Listen, Shards, Stream};

/// What is different in one configuration from another.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Difference {
    /// Channels, by id.
    pub channels: Changes<u32, ChannelChange>,
    /// Accounts, by user.
    pub accounts: Changes<String, AccountChange>,
}

impl Difference {
    /// What is different in `wanted` from `in_use`.
    #[must_use]
    pub fn between(in_use: &Config, wanted: &Config) -> Self {
        Self {
            channels: Changes::between(
                &in_use.channels,
                &wanted.channels,
                |channel| channel.id,
                ChannelChange::between,
            ),
            accounts: Changes::between(
                &in_use.accounts,
                &wanted.accounts,
                |account| account.user.clone(),
                AccountChange::between,
            ),
        }
    }
}

/// What became of the entries of a list.
///
/// Shape: each in the order of the configuration in which it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Changes<Id, Change> {
    /// Those that were not there before.
    pub added: Vec<Id>,
    /// Those that are not there any more.
    pub removed: Vec<Id>,
    /// Those that are there as before but not the same, and what in them.
    pub changed: Vec<(Id, Change)>,
}

impl<Id, Change> Default for Changes<Id, Change> {
    fn default() -> Self {
        Self {
            added: Vec::new(),
            removed: Vec::new(),
            changed: Vec::new(),
        }
    }
}

impl<Id: Eq + Hash, Change> Changes<Id, Change> {
    fn between<Entry>(
        before: &[Entry],
        after: &[Entry],
        id: impl Fn(&Entry) -> Id,
        change: impl Fn(&Entry, &Entry) -> Option<Change>,
    ) -> Self {
        let mut left: HashMap<Id, &Entry> = before.iter().map(|it| (id(it), it)).collect();
        let mut changes = Self::default();
        for entry in after {
            let id = id(entry);
            match left.remove(&id) {
                None => changes.added.push(id),
                Some(known) => changes
                    .changed
                    .extend(change(known, entry).map(|it| (id, it))),
            }
        }
        let removed = before.iter().map(id).filter(|id| left.contains_key(id));
        changes.removed.extend(removed);
        changes
    }
}

/// What of a channel has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChannelChange {
    /// What apps list: name, group, logo, guide and number.
    pub listing: bool,
    /// A key of `[stream]`.
    pub limits: bool,
    /// The upstreams or their order.
    pub upstreams: bool,
}

impl ChannelChange {
    fn between(before: &Channel, after: &Channel) -> Option<Self> {
        let listed = |it: &Channel| {
            (
                it.name.clone(),
                it.group.clone(),
                it.logo.clone(),
                it.epg_id.clone(),
                it.number,
            )
        };
        (before != after).then(|| Self {
            listing: listed(before) != listed(after),
            limits: before.stream != after.stream,
            upstreams: before.upstreams != after.upstreams,
        })
    }
}

/// What of an account has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AccountChange {
    /// The password.
    pub login: bool,
    /// When and where it may be used, and for what.
    pub rights: bool,
    /// How many viewers it may have.
    pub limit: bool,
}

impl AccountChange {
    fn between(before: &Account, after: &Account) -> Option<Self> {
        (before != after).then(|| Self {
            login: before.login != after.login,
            rights: before.valid_until != after.valid_until
                || before.networks != after.networks
                || before.channels != after.channels
                || before.groups != after.groups
                || before.bits_per_second_max != after.bits_per_second_max,
            limit: before.limit() != after.limit(),
        })
    }
}

/// A key that keeps its value until the process is started anew.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fixed {
    /// The key in dotted form.
    pub key: &'static str,
    /// The value that is in use.
    pub in_use: String,
    /// The value that a start would take.
    pub wanted: String,
}

impl Config {
    /// Gives the keys that cannot change while the process runs the values they have in `in_use`, and names those that
    /// would have changed.
    pub fn keep_fixed(&mut self, in_use: &Self) -> Vec<Fixed> {
        let shown = |config: &Self| {
            let listen = &config.server.listen;
            let listen: Vec<_> = listen.iter().map(ToString::to_string).collect();
            let shards = match config.server.shards {
                Shards::Auto => "auto".to_owned(),
                Shards::Count(count) => count.to_string(),
            };
            [
                ("server.listen", listen.join(",")),
                ("server.shards", shards),
                ("server.pin", config.server.pin.to_string()),
                ("admin.listen", config.admin.listen.to_string()),
            ]
        };
        let pairs = shown(in_use).into_iter().zip(shown(self));
        let fixed = pairs.filter(|((_, in_use), (_, wanted))| in_use != wanted);
        let fixed = fixed.map(|((key, in_use), (_, wanted))| Fixed {
            key,
            in_use,
            wanted,
        });
        let fixed = fixed.collect();
        self.server.listen.clone_from(&in_use.server.listen);
        self.server.shards = in_use.server.shards;
        self.server.pin = in_use.server.pin;
        self.admin.listen = in_use.admin.listen;
        fixed
    }
}

/// A listener that stays until a restart would be open to whom it must not be.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Exposed {
    /// The operator's listener, without a token.
    #[error(
        "admin.listen: {address} is in use until a restart and is not loopback: keep admin.token_file, or restart"
    )]
    Admin {
        /// Where it listens.
        address: SocketAddr,
    },
    /// A stream listener, without accounts.
    #[error(
        "server.listen: {address} is in use until a restart and is not loopback: keep an [[account]], set server.open = true, or restart"
    )]
    Viewers {
        /// Where it listens.
        address: Listen,
    },
}

impl Config {
    /// Refuses a configuration that is valid by itself, but not with the listeners that were kept for it.
    ///
    /// # Errors
    /// [`Exposed`] names the listener.
    pub fn admit_kept(&self) -> Result<(), Exposed> {
        let address = self.admin.listen;
        if !address.ip().is_loopback() && self.admin.token.is_none() {
            return Err(Exposed::Admin { address });
        }
        let is_open = self.accounts.is_empty() && !self.server.open;
        let mut listen = self.server.listen.iter();
        match listen.find(|address| is_open && !address.is_local()) {
            Some(address) => Err(Exposed::Viewers {
                address: address.clone(),
            }),
            None => Ok(()),
        }
    }
}

impl Stream {
    /// These limits, as far as a channel can take them that was opened with those of `opened`: how it is cut and what is
    /// kept of it stays until it is opened again.
    #[must_use]
    pub fn taken_over(&self, opened: &Self) -> Self {
        Self {
            chunk_bytes_max: opened.chunk_bytes_max,
            chunk_age: opened.chunk_age,
            ring: opened.ring,
            ring_bytes_max: opened.ring_bytes_max,
            ahead: opened.ahead,
            ..self.clone()
        }
    }
}
