//! Connections that providers allow, and asking the provider's home shard for one.
//!
//! Whose turn it is stands in `ledger`, on the one shard that is the provider's home, so that the count is right without a
//! lock. The rules kept: no fetch connects to a provider, and no engine session is opened, before it was granted; what
//! was granted is given back on every way out; and only the shard that has the viewers says that nobody watches.

pub mod ledger;
pub mod name;

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use futures_lite::FutureExt;

use crate::channel::id::ChannelId;
use crate::channel::wakers::Wakers;
use crate::clock::micros;
use crate::config::{Config, Provider, Upstream};
use crate::metrics::{Labels, Sample, families};
use crate::shard::feed::Message;
use crate::shard::{Shard, placement};
use crate::upstream::provider::ledger::{Holder, Ledger, Said, Terms};
use crate::upstream::provider::name::ProviderName;

/// What one shard knows of providers: the connections of its own fetches, and all of those whose home it is.
#[derive(Default)]
pub struct Providers {
    last_number: Cell<u64>,
    own: RefCell<BTreeMap<u64, Own>>,
    /// Signalled when a wish is answered.
    answered: Wakers,
    ledgers: RefCell<BTreeMap<ProviderName, Ledger>>,
    /// Signalled when somebody waits.
    waited: Wakers,
}

impl Providers {
    /// What was answered to a wish of this shard.
    fn answer(&self, number: u64) -> Option<bool> {
        let own = self.own.borrow();
        own.get(&number).and_then(|it| it.is_granted)
    }
}

/// A connection of this shard, or the wish for one.
struct Own {
    channel: ChannelId,
    is_granted: Option<bool>,
}

/// What shards tell each other about connections to providers.
#[derive(Clone, Copy, Debug)]
pub enum Notice {
    /// Whether the connection may be made (home shard of the provider to that of the channel).
    Answered {
        /// Its number.
        number: u64,
        /// Whether it may.
        is_granted: bool,
    },
    /// A connection is wanted (home shard of the channel to that of the provider).
    Asked {
        /// Whom to.
        provider: ProviderName,
        /// Its number.
        number: u64,
        /// Whether it can wait for a moment.
        is_patient: bool,
    },
    /// A connection is closed, or not wanted any more (home shard of the channel to that of the provider).
    Left {
        /// Whom to.
        provider: ProviderName,
        /// Its number.
        number: u64,
        /// Whether it may have been made.
        was_used: bool,
    },
    /// Another channel waits for the connection (home shard of the provider to that of the channel).
    Spare {
        /// Its number.
        number: u64,
    },
}

/// What a notice is about: a newer one about the same replaces an older that still waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum About {
    /// The answer to a wish.
    Answer(u64),
    /// A wish, or the end of it.
    Wish(u64),
    /// Whether a connection can be spared.
    Spare(u64),
}

impl Notice {
    /// What it is about.
    #[must_use]
    pub fn about(&self) -> About {
        match self {
            Self::Answered { number, .. } => About::Answer(*number),
            Self::Asked { number, .. } | Self::Left { number, .. } => About::Wish(*number),
            Self::Spare { number } => About::Spare(*number),
        }
    }
}

/// The right to have one connection to a provider; while it exists, the connection counts.
pub struct Hold {
    shard: Rc<Shard>,
    provider: ProviderName,
    /// The shard that counts it.
    home: usize,
    number: u64,
    was_used: Cell<bool>,
    closed_us: Cell<Option<u64>>,
}

impl Hold {
    /// Whom the connection is to.
    #[must_use]
    pub fn provider(&self) -> ProviderName {
        self.provider
    }

    /// Whether the shard that counts it is the one that counts the provider's connections now: a reload may change it.
    #[must_use]
    pub fn is_counted_at_home(&self) -> bool {
        self.home == home(&self.shard, self.provider)
    }

    /// Waits until the provider may have noticed that the last connection was closed, if there was one.
    ///
    /// Cancel safety: dropping it changes nothing.
    pub async fn until_released(&self) {
        if let Some(closed_us) = self.closed_us.get() {
            let release = terms(&self.shard.config(), self.provider).release;
            self.shard.clock.at(closed_us + micros(release)).await;
        }
    }

    /// Notes that a connection is made now; the last one must be released.
    pub fn begin(&self) {
        self.was_used.set(true);
        self.closed_us.set(None);
    }

    /// Notes that the connection is closed, if there was one.
    pub fn close(&self) {
        if self.was_used.get() && self.closed_us.get().is_none() {
            self.closed_us.set(Some(self.shard.clock.now_us()));
        }
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        let shard = &self.shard;
        shard.providers.own.borrow_mut().remove(&self.number);
        let left = Notice::Left {
            provider: self.provider,
            number: self.number,
            was_used: self.was_used.get(),
        };
        tell(shard, self.home, left);
    }
}

/// Every connection that the provider allows is in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AtLimit;

/// The provider of an upstream, if somebody counts its connections.
#[must_use]
pub fn of(config: &Config, upstream: &Upstream) -> Option<ProviderName> {
    match upstream {
        Upstream::Ace { .. } => Some(ProviderName::ENGINE),
        Upstream::Demo { .. } => None,
        Upstream::Http { url, .. } => Provider::of(&config.providers, url).map(|it| it.name),
    }
}

/// Asks for a connection on behalf of a channel whose home is here.
///
/// Who is patient waits a moment for one: channels that nobody watches are asked to give theirs up.
///
/// # Errors
/// [`AtLimit`].
///
/// Cancel safety: dropping it takes the wish back.
pub async fn hold(
    shard: &Rc<Shard>,
    channel: ChannelId,
    provider: ProviderName,
    is_patient: bool,
) -> Result<Hold, AtLimit> {
    let providers = &shard.providers;
    let number = providers.last_number.get() + 1;
    providers.last_number.set(number);
    let own = Own {
        channel,
        is_granted: None,
    };
    providers.own.borrow_mut().insert(number, own);
    let hold = Hold {
        shard: Rc::clone(shard),
        provider,
        home: home(shard, provider),
        number,
        was_used: Cell::new(false),
        closed_us: Cell::new(None),
    };
    let asked = Notice::Asked {
        provider,
        number,
        is_patient,
    };
    tell(shard, home(shard, provider), asked);
    loop {
        match providers.answer(number) {
            Some(true) => return Ok(hold),
            Some(false) => return Err(AtLimit),
            None => providers.answered.next_event().await,
        }
    }
}

/// Takes a notice of another shard, or of this one.
pub fn receive(shard: &Rc<Shard>, from: usize, notice: Notice) {
    let providers = &shard.providers;
    let now_us = shard.clock.now_us();
    let holder = |number| Holder {
        shard: from,
        number,
    };
    match notice {
        Notice::Answered { number, is_granted } => {
            if let Some(own) = providers.own.borrow_mut().get_mut(&number) {
                own.is_granted = Some(is_granted);
            }
            providers.answered.wake_all();
        }
        Notice::Asked {
            provider,
            number,
            is_patient,
        } => {
            let terms = terms(&shard.config(), provider);
            let mut ledgers = providers.ledgers.borrow_mut();
            let ledger = ledgers.entry(provider).or_default();
            let said = ledger.ask(holder(number), is_patient, terms, now_us);
            drop(ledgers);
            say(shard, said);
        }
        Notice::Left {
            provider,
            number,
            was_used,
        } => {
            let terms = terms(&shard.config(), provider);
            let mut ledgers = providers.ledgers.borrow_mut();
            let ledger = ledgers.entry(provider).or_default();
            let said = ledger.leave(holder(number), was_used, terms, now_us);
            drop(ledgers);
            say(shard, said);
        }
        Notice::Spare { number } => {
            let channel = providers.own.borrow().get(&number).map(|it| it.channel);
            if let Some(home) = channel.and_then(|id| shard.table.homes.serving(id)) {
                home.spare(|to, message| shard.send(to, message));
            }
        }
    }
}

/// Answers those who wait for a connection when a time has come.
#[expect(clippy::infinite_loop, reason = "a task that ends with its shard")]
pub async fn settle(shard: Rc<Shard>) {
    let providers = &shard.providers;
    loop {
        let due_us = providers
            .ledgers
            .borrow()
            .values()
            .filter_map(Ledger::due_us)
            .min();
        let waited = providers.waited.next_event();
        match due_us {
            Some(due_us) => waited.or(shard.clock.at(due_us)).await,
            None => waited.await,
        }
        let now_us = shard.clock.now_us();
        let mut said = Vec::new();
        for (provider, ledger) in providers.ledgers.borrow_mut().iter_mut() {
            if ledger.due_us().is_some_and(|due_us| due_us <= now_us) {
                said.extend(ledger.settle(terms(&shard.config(), *provider), now_us));
            }
        }
        say(&shard, said);
    }
}

/// The connections to each limited provider whose home is this shard, and how many it allows.
#[must_use]
pub fn samples(shard: &Shard) -> Vec<Sample> {
    let now_us = shard.clock.now_us();
    let ledgers = shard.providers.ledgers.borrow();
    let config = shard.config();
    let configured = config.providers.iter().map(|it| it.name);
    let here = configured
        .chain([ProviderName::ENGINE])
        .filter(|name| home(shard, *name) == shard.index);
    let mut samples = Vec::new();
    for name in here {
        let most = terms(&shard.config(), name).connections_max;
        if most == 0 {
            continue;
        }
        let labels = Labels {
            provider: Some(name),
            ..Labels::default()
        };
        let connections = ledgers.get(&name).map_or(0, |it| it.connections(now_us));
        samples.push(Sample::count(
            &families::PROVIDER_CONNECTIONS,
            labels,
            connections as u64,
        ));
        samples.push(Sample::count(
            &families::PROVIDER_CONNECTIONS_MAX,
            labels,
            most as u64,
        ));
    }
    samples
}

fn terms(config: &Config, provider: ProviderName) -> Terms {
    let unlimited = Terms {
        connections_max: 0,
        release: Duration::ZERO,
    };
    if provider == ProviderName::ENGINE {
        return Terms {
            connections_max: config.engine.connections_max,
            ..unlimited
        };
    }
    let known = config.providers.iter().find(|it| it.name == provider);
    known.map_or(unlimited, |it| it.terms)
}

fn home(shard: &Shard, provider: ProviderName) -> usize {
    placement::provider_home(provider, shard.config().engine.url.as_str(), shard.shards)
}

fn say(shard: &Rc<Shard>, said: Vec<Said>) {
    for said in said {
        let (holder, notice) = match said {
            Said::Granted(holder) => (holder, answered(holder, true)),
            Said::Refused(holder) => (holder, answered(holder, false)),
            Said::Spare(holder) => {
                let number = holder.number;
                (holder, Notice::Spare { number })
            }
        };
        tell(shard, holder.shard, notice);
    }
    shard.providers.waited.wake_all();
}

fn answered(holder: Holder, is_granted: bool) -> Notice {
    Notice::Answered {
        number: holder.number,
        is_granted,
    }
}

fn tell(shard: &Rc<Shard>, to: usize, notice: Notice) {
    shard.send(to, Message::Provider(notice));
}
