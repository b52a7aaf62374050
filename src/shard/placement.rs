//! CPUs -> shards, channel and account -> home shard. (pure)

use crate::channel::id::ChannelId;
use crate::config::{Shards, Upstream};
use crate::upstream::provider::name::ProviderName;

/// How many shards run and where.
///
/// Shape: one entry per shard; the CPU it is pinned to, or none when it may run anywhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placement {
    /// The CPU of each shard.
    pub cpus: Vec<Option<usize>>,
}

impl Placement {
    /// Spreads shards over the usable CPUs, in order; more shards than CPUs go round.
    #[must_use]
    pub fn new(usable: &[usize], shards: Shards, pin: bool) -> Self {
        let count = match shards {
            Shards::Auto => usable.len().max(1),
            Shards::Count(count) => count.get(),
        };
        let cpu = |index: usize| usable.get(index % usable.len().max(1)).copied();
        let cpus = (0..count).map(|index| cpu(index).filter(|_| pin)).collect();
        Self { cpus }
    }
}

/// The shard that fetches a channel, out of `shards`.
///
/// Every channel that may play from the AceStream engine has the same home, because only the engine's answers tell
/// which identifiers are the same content, and one shard must see them all.
#[must_use]
pub fn home_shard(id: ChannelId, upstreams: &[Upstream], engine_url: &str, shards: usize) -> usize {
    let asks_engine = upstreams
        .iter()
        .any(|upstream| matches!(upstream, Upstream::Ace { .. }));
    match id {
        ChannelId::Dynamic(_) => engine_home(engine_url, shards),
        ChannelId::Configured(_) if asks_engine => engine_home(engine_url, shards),
        ChannelId::Configured(number) => shard_of(&number.to_be_bytes(), shards),
    }
}

/// The shard that plays the content of an AceStream engine, out of `shards`.
#[must_use]
pub fn engine_home(engine_url: &str, shards: usize) -> usize {
    shard_of(engine_url.as_bytes(), shards)
}

/// The shard that counts a provider's connections, out of `shards`; for the engine the home of its channels.
#[must_use]
pub fn provider_home(provider: ProviderName, engine_url: &str, shards: usize) -> usize {
    let hash = match provider {
        ProviderName::ENGINE => stable_hash(engine_url.as_bytes()),
        name => stable_hash(name.as_str().as_bytes()),
    };
    usize::try_from(hash % (shards.max(1) as u64)).unwrap_or(0)
}

/// The shard that counts an account's viewers, out of `shards`.
#[must_use]
pub fn account_home(user: &str, shards: usize) -> usize {
    shard_of(user.as_bytes(), shards)
}

fn shard_of(name: &[u8], shards: usize) -> usize {
    let hash = stable_hash(name);
    usize::try_from(hash % (shards.max(1) as u64)).unwrap_or(0)
}

/// FNV-1a: the same for every process and version, so that a channel's home does not move.
///
/// Source: the published offset basis and prime for 64 bits.
fn stable_hash(bytes: &[u8]) -> u64 {
    let hash = bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    // The low bits of FNV alternate with the last byte's; fold the high ones in before a small modulus is taken.
    hash ^ (hash >> 32)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::channel::id::Content;
    use std::num::NonZeroUsize;

    #[test]
    fn one_shard_runs_on_each_usable_cpu() {
        let placement = Placement::new(&[2, 5], Shards::Auto, true);
        assert_eq!(placement.cpus, [Some(2), Some(5)]);
    }

    #[test]
    fn unpinned_shards_have_no_cpu() {
        assert_eq!(
            Placement::new(&[0, 1], Shards::Auto, false).cpus,
            [None, None]
        );
    }

    #[test]
    fn more_shards_than_cpus_go_round() {
        let three = Shards::Count(NonZeroUsize::new(3).unwrap());
        assert_eq!(
            Placement::new(&[4, 6], three, true).cpus,
            [Some(4), Some(6), Some(4)]
        );
        assert_eq!(Placement::new(&[], Shards::Auto, true).cpus, [None]);
    }

    #[test]
    fn channels_spread_over_shards_and_keep_their_home() {
        let homes: Vec<usize> = (1..=1000)
            .map(|number| home_shard(ChannelId::Configured(number), &[], "", 4))
            .collect();
        for shard in 0..4 {
            let share = homes.iter().filter(|home| **home == shard).count();
            assert!(
                (150..=350).contains(&share),
                "shard {shard} is home of {share}"
            );
        }
        assert_eq!(home_shard(ChannelId::Configured(123), &[], "", 1), 0);
    }

    #[test]
    fn all_channels_of_one_engine_share_a_home() {
        let hash = "0123456789abcdef0123456789abcdef01234567".parse().unwrap();
        let content = Content::Infohash(hash);
        let upstreams = [Upstream::Ace {
            content,
            user_agent: None,
        }];
        let engine = "http://127.0.0.1:6878/";
        let dynamic = home_shard(ChannelId::Dynamic(content), &[], engine, 8);
        for number in 1..50 {
            let id = ChannelId::Configured(number);
            assert_eq!(home_shard(id, &upstreams, engine, 8), dynamic);
        }
    }
}
