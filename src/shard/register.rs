//! The configuration in use, with what shards look up in it. (pure)
//!
//! Made once for all shards, who share it and never change it. How one takes the place of another is in `reload`. The
//! rule: where a channel is fetched follows from the registers alone, so that shards agree on it without asking.

use std::collections::HashMap;
use std::sync::Arc;

use crate::account::Accounts;
use crate::channel::id::ChannelId;
use crate::config::{Channel, Config, Stream, Upstream};
use crate::shard::placement;

/// A configuration and its channels and accounts by name.
#[derive(Debug)]
pub struct Register {
    /// The configuration.
    pub config: Arc<Config>,
    /// Who may watch.
    pub accounts: Accounts,
    /// How many there were before it.
    pub version: u64,
    shards: usize,
    /// Index of each channel in the configuration's list.
    places: HashMap<u32, usize>,
    /// Where channels were fetched before a change of configuration gave them another home.
    former_homes: HashMap<u32, usize>,
    /// The same for all content of the engine.
    former_engine_home: Option<usize>,
}

impl Register {
    /// The first of a process that runs so many shards.
    #[must_use]
    pub fn new(config: Arc<Config>, shards: usize) -> Self {
        Self {
            accounts: Accounts::new(&config.accounts),
            version: 0,
            shards,
            places: places(&config),
            former_homes: HashMap::new(),
            former_engine_home: None,
            config,
        }
    }

    /// The one that comes after this, with another configuration. An account that stays as it is remains the very same.
    #[must_use]
    pub fn followed_by(&self, config: Arc<Config>) -> Self {
        let mut register = Self {
            accounts: self.accounts.followed_by(&config.accounts),
            version: self.version + 1,
            shards: self.shards,
            places: places(&config),
            former_homes: HashMap::new(),
            former_engine_home: self.former_engine_home,
            config,
        };
        let engine_home = self.engine_home();
        if engine_home != register.engine_home() {
            register.former_engine_home = Some(engine_home);
        }
        let stayed = self.config.channels.iter().filter_map(|channel| {
            let id = ChannelId::Configured(channel.id);
            let home = self.home(id);
            let is_moved = register.channel(channel.id).is_some() && home != register.home(id);
            let earlier = self.former_homes.get(&channel.id).copied();
            Some((channel.id, if is_moved { home } else { earlier? }))
        });
        register.former_homes = stayed.collect();
        register
    }

    /// A configured channel.
    #[must_use]
    pub fn channel(&self, number: u32) -> Option<&Channel> {
        self.config.channels.get(*self.places.get(&number)?)
    }

    /// What is offered under an id: a configured channel, or engine content when that is allowed.
    #[must_use]
    pub fn offer(&self, id: ChannelId) -> Option<Offer> {
        match id {
            ChannelId::Configured(number) => {
                let channel = self.channel(number)?;
                Some(Offer {
                    id,
                    name: channel.name.clone(),
                    limits: channel.stream.clone(),
                    upstreams: channel.upstreams.clone(),
                })
            }
            ChannelId::Dynamic(content) => self.config.engine.dynamic.then(|| Offer {
                id,
                name: content.to_string(),
                limits: self.config.stream.clone(),
                upstreams: vec![Upstream::Ace {
                    content,
                    user_agent: None,
                }],
            }),
        }
    }

    /// The shard that fetches a channel that is opened now.
    #[must_use]
    pub fn home(&self, id: ChannelId) -> usize {
        let upstreams = match id {
            ChannelId::Configured(number) => self
                .channel(number)
                .map_or(&[][..], |channel| &channel.upstreams),
            ChannelId::Dynamic(_) => &[],
        };
        placement::home_shard(id, upstreams, self.config.engine.url.as_str(), self.shards)
    }

    /// The shard to ask for a channel: the one that may still fetch it since before its home changed, else its home.
    ///
    /// Bound: one earlier home is known of a channel. If it was open through two moves, two shards fetch it until those
    /// who follow the first have left.
    #[must_use]
    pub fn first_asked(&self, id: ChannelId) -> usize {
        let former = match id {
            ChannelId::Configured(number) => self.former_homes.get(&number).copied(),
            ChannelId::Dynamic(_) => self.former_engine_home,
        };
        former.unwrap_or_else(|| self.home(id))
    }

    fn engine_home(&self) -> usize {
        placement::engine_home(self.config.engine.url.as_str(), self.shards)
    }
}

/// A channel as it may be watched.
pub struct Offer {
    /// The channel.
    pub id: ChannelId,
    /// What operators call it.
    pub name: String,
    /// Its limits.
    pub limits: Stream,
    /// Where its bytes come from, in order of preference.
    pub upstreams: Vec<Upstream>,
}

fn places(config: &Config) -> HashMap<u32, usize> {
    let channels = config.channels.iter().enumerate();
    channels
        .map(|(index, channel)| (channel.id, index))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::channel::id::Content;

    const SHARDS: usize = 8;

    fn channel(id: u32, upstream: Upstream) -> Channel {
        Channel {
            id,
            name: format!("channel {id}"),
            group: None,
            logo: None,
            epg_id: None,
            number: id,
            stream: Stream::default(),
            upstreams: vec![upstream],
            playlist: None,
        }
    }

    fn demo() -> Upstream {
        Upstream::Demo {
            bits_per_second: 1_000_000,
        }
    }

    fn engine() -> Upstream {
        let hash = "0123456789abcdef0123456789abcdef01234567".parse().unwrap();
        Upstream::Ace {
            content: Content::Infohash(hash),
            user_agent: None,
        }
    }

    fn config(channels: Vec<Channel>) -> Arc<Config> {
        Arc::new(Config {
            channels,
            ..Config::default()
        })
    }

    /// A channel whose home is another shard than the engine's.
    fn away_from_engine(register: &Register) -> u32 {
        let is_away = |id: &u32| {
            let home = placement::home_shard(ChannelId::Configured(*id), &[], "", SHARDS);
            home != register.engine_home()
        };
        (1..100).find(is_away).unwrap()
    }

    #[test]
    fn each_of_ten_thousand_channels_is_found_by_its_id() {
        let channels = (1..=10_000).rev().map(|id| channel(id, demo())).collect();
        let register = Register::new(config(channels), 1);
        for id in 1..=10_000 {
            assert_eq!(register.channel(id).unwrap().id, id);
        }
        assert!(register.channel(10_001).is_none());
        assert!(register.offer(ChannelId::Configured(0)).is_none());
    }

    #[test]
    fn a_channel_that_moves_is_asked_for_first_where_it_may_still_be_open() {
        let empty = Register::new(config(Vec::new()), SHARDS);
        let number = away_from_engine(&empty);
        let id = ChannelId::Configured(number);
        let first = empty.followed_by(config(vec![channel(number, demo())]));
        let before = first.home(id);
        assert_eq!(first.first_asked(id), before);
        let moved = first.followed_by(config(vec![channel(number, engine())]));
        assert_ne!(moved.home(id), before);
        assert_eq!(moved.first_asked(id), before);
        let later = moved.followed_by(config(vec![channel(number, engine())]));
        assert_eq!(
            later.first_asked(id),
            before,
            "it may be open all the while"
        );
        let back = later.followed_by(config(vec![channel(number, demo())]));
        assert_eq!(
            (back.home(id), back.first_asked(id)),
            (before, moved.home(id))
        );
    }

    #[test]
    fn content_of_the_engine_moves_with_the_engine() {
        let before = Register::new(config(Vec::new()), SHARDS);
        let hash = "0123456789abcdef0123456789abcdef01234567".parse().unwrap();
        let id = ChannelId::Dynamic(Content::Infohash(hash));
        let urls = (1..100).map(|host| format!("http://10.0.0.{host}:6878"));
        let mut moved = urls.map(|url| {
            let mut config = Config::default();
            config.engine.url = url.parse().unwrap();
            before.followed_by(Arc::new(config))
        });
        let moved = moved.find(|it| it.home(id) != before.home(id)).unwrap();
        assert_eq!(moved.first_asked(id), before.home(id));
    }

    #[test]
    fn engine_content_is_offered_only_while_that_is_allowed() {
        let hash = "0123456789abcdef0123456789abcdef01234567".parse().unwrap();
        let id = ChannelId::Dynamic(Content::Infohash(hash));
        let mut config = Config::default();
        assert!(
            Register::new(Arc::new(config.clone()), 1)
                .offer(id)
                .is_some()
        );
        config.engine.dynamic = false;
        assert!(Register::new(Arc::new(config), 1).offer(id).is_none());
    }
}
