//! Channels open on this shard, by id: those it relays to viewers and those it is the home of.
//!
//! A viewer takes a [`Seat`]; the first one subscribes the shard, and `linger_ms` after the last one left the shard
//! unsubscribes. Nothing here knows a socket.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

use crate::channel::home::Home;
use crate::channel::id::{ChannelId, Content, Hash};
use crate::channel::relay::Relay;
use crate::channel::wakers::Wakers;
use crate::channel::{End, NotStarted};
use crate::clock::micros;
use crate::config::Upstream;

/// The channels of one shard.
#[derive(Default)]
pub struct Table {
    /// Signalled when a channel begins to linger.
    pub lingering: Wakers,
    relays: RefCell<HashMap<ChannelId, Rc<Relay>>>,
    linger_until_us: RefCell<HashMap<ChannelId, u64>>,
    next_epoch: Cell<u64>,
    /// Channels whose home is here.
    pub homes: Homes,
}

impl Table {
    /// The relay of a channel, if the shard has one.
    #[must_use]
    pub fn relay(&self, id: ChannelId) -> Option<Rc<Relay>> {
        self.relays.borrow().get(&id).cloned()
    }

    /// Every relay of the shard.
    #[must_use]
    pub fn relays(&self) -> Vec<Rc<Relay>> {
        self.relays.borrow().values().cloned().collect()
    }

    /// Takes a seat at the channel; `open` makes the relay when there is none, and then the shard must subscribe.
    ///
    /// The second value says whether the relay is new.
    pub fn sit(
        self: &Rc<Self>,
        id: ChannelId,
        now_us: impl Fn() -> u64 + 'static,
        open: impl FnOnce(u64) -> Relay,
    ) -> (Seat, bool) {
        let mut relays = self.relays.borrow_mut();
        let (relay, is_new) = match relays.get(&id) {
            Some(relay) => (Rc::clone(relay), false),
            None => {
                let epoch = self.next_epoch.get() + 1;
                self.next_epoch.set(epoch);
                let relay = Rc::new(open(epoch));
                relays.insert(id, Rc::clone(&relay));
                (relay, true)
            }
        };
        drop(relays);
        relay.count_viewers(relay.viewers() + 1);
        self.linger_until_us.borrow_mut().remove(&id);
        let seat = Seat {
            table: Rc::clone(self),
            relay,
            now_us: Box::new(now_us),
        };
        (seat, is_new)
    }

    /// Ends one subscription's relay: its viewers are told, and the next viewer opens the channel anew.
    pub fn end(&self, id: ChannelId, epoch: u64, end: End) {
        let mut relays = self.relays.borrow_mut();
        if relays.get(&id).is_none_or(|relay| relay.epoch != epoch) {
            return;
        }
        let relay = relays.remove(&id);
        drop(relays);
        self.linger_until_us.borrow_mut().remove(&id);
        if let Some(relay) = relay {
            relay.end(end);
        }
    }

    /// When the next lingering channel is due to be left, in microseconds of the clock.
    #[must_use]
    pub fn next_linger_us(&self) -> Option<u64> {
        self.linger_until_us.borrow().values().min().copied()
    }

    /// Takes out every channel whose linger is over at `now_us`; the shard must unsubscribe from each.
    #[must_use]
    pub fn expire(&self, now_us: u64) -> Vec<Rc<Relay>> {
        let mut lingering = self.linger_until_us.borrow_mut();
        let over: Vec<ChannelId> = lingering
            .iter()
            .filter_map(|(id, until_us)| (*until_us <= now_us).then_some(*id))
            .collect();
        let mut relays = self.relays.borrow_mut();
        over.into_iter()
            .filter_map(|id| {
                lingering.remove(&id);
                relays.remove(&id)
            })
            .collect()
    }

    /// Takes a channel out before its linger is over, if it lingers; the shard must unsubscribe from it.
    #[must_use]
    pub fn spare(&self, id: ChannelId, epoch: u64) -> Option<Rc<Relay>> {
        let mut relays = self.relays.borrow_mut();
        let is_current = relays.get(&id).is_some_and(|relay| relay.epoch == epoch);
        let lingers = is_current && self.linger_until_us.borrow_mut().remove(&id).is_some();
        if lingers { relays.remove(&id) } else { None }
    }

    fn leave(&self, relay: &Relay, now_us: u64) {
        let viewers = relay.viewers().saturating_sub(1);
        relay.count_viewers(viewers);
        let is_current = self
            .relays
            .borrow()
            .get(&relay.id)
            .is_some_and(|current| current.epoch == relay.epoch);
        if viewers == 0 && is_current {
            let until_us = now_us + micros(relay.limits().linger);
            self.linger_until_us.borrow_mut().insert(relay.id, until_us);
            self.lingering.wake_all();
        }
    }
}

/// A viewer's hold on a channel: while it exists, the shard stays subscribed.
pub struct Seat {
    table: Rc<Table>,
    relay: Rc<Relay>,
    now_us: Box<dyn Fn() -> u64>,
}

impl Seat {
    /// The relay that the viewer follows.
    #[must_use]
    pub fn relay(&self) -> &Rc<Relay> {
        &self.relay
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.table.leave(&self.relay, (self.now_us)());
    }
}

/// The channels whose home this shard is, and what it remembers of those that did not start.
#[derive(Default)]
pub struct Homes {
    open: RefCell<HashMap<ChannelId, Rc<Home>>>,
    aliases: RefCell<HashMap<ChannelId, Alias>>,
    contents: RefCell<HashMap<Hash, ChannelId>>,
    infohashes: RefCell<HashMap<Content, Hash>>,
    refusals: RefCell<HashMap<ChannelId, Refusal>>,
    errors: RefCell<HashMap<ChannelId, LastError>>,
    playlists_us: RefCell<HashMap<ChannelId, u64>>,
}

/// The last trouble with a channel's upstreams.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LastError {
    /// When, in microseconds of the clock.
    pub at_us: u64,
    /// What; it holds no secret, as the log has it too.
    pub text: Arc<str>,
}

/// A channel that is another name of an open one.
#[derive(Clone)]
pub struct Alias {
    /// Its id.
    pub id: ChannelId,
    /// The channel that plays the same.
    pub of: ChannelId,
    /// Where it was to come from when that was found out.
    pub upstreams: Rc<[Upstream]>,
}

#[derive(Clone, Copy)]
struct Refusal {
    why: NotStarted,
    until_us: u64,
}

impl Homes {
    /// The open home that serves a channel, under its own id or as the alias of another.
    #[must_use]
    pub fn serving(&self, id: ChannelId) -> Option<Rc<Home>> {
        let alias = self.aliases.borrow().get(&id).map(|alias| alias.of);
        let id = alias.unwrap_or(id);
        self.open.borrow().get(&id).cloned()
    }

    /// Every open home.
    #[must_use]
    pub fn all(&self) -> Vec<Rc<Home>> {
        self.open.borrow().values().cloned().collect()
    }

    /// How many dynamic channels are open.
    #[must_use]
    pub fn dynamic(&self) -> usize {
        let open = self.open.borrow();
        open.keys()
            .filter(|id| matches!(id, ChannelId::Dynamic(_)))
            .count()
    }

    /// Whether no channel is open.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.open.borrow().is_empty()
    }

    /// Opens a channel.
    pub fn open(&self, home: Rc<Home>) {
        self.open.borrow_mut().insert(home.id, home);
    }

    /// Closes a channel, and with it what it was known as.
    pub fn close(&self, id: ChannelId) {
        self.open.borrow_mut().remove(&id);
        self.aliases.borrow_mut().retain(|_, alias| alias.of != id);
        self.release(id);
    }

    /// Makes a channel another name of the open channel `of`; `upstreams` is where it was to come from.
    pub fn alias(&self, id: ChannelId, of: ChannelId, upstreams: Rc<[Upstream]>) {
        let alias = Alias { id, of, upstreams };
        self.aliases.borrow_mut().insert(id, alias);
    }

    /// The other names of a channel.
    #[must_use]
    pub fn aliases_of(&self, of: ChannelId) -> Vec<Alias> {
        let aliases = self.aliases.borrow();
        let of_it = aliases.values().filter(|alias| alias.of == of);
        of_it.cloned().collect()
    }

    /// Makes a channel one of its own again.
    pub fn forget_alias(&self, id: ChannelId) {
        self.aliases.borrow_mut().remove(&id);
    }

    /// Says that `id` plays this content, unless another channel does.
    pub fn claim(&self, content: Hash, id: ChannelId) {
        self.contents.borrow_mut().entry(content).or_insert(id);
    }

    /// The channel that plays this content.
    #[must_use]
    pub fn owner(&self, content: Hash) -> Option<ChannelId> {
        self.contents.borrow().get(&content).copied()
    }

    /// Says that `id` plays none of its content any more.
    pub fn release(&self, id: ChannelId) {
        self.contents.borrow_mut().retain(|_, owner| *owner != id);
    }

    /// Remembers what the engine said: which infohash an identifier stands for.
    ///
    /// Bound: [`REFUSALS_MAX`] identifiers; when it is reached, all are forgotten and learnt anew.
    pub fn learn(&self, content: Content, infohash: Hash) {
        let mut infohashes = self.infohashes.borrow_mut();
        if infohashes.len() >= REFUSALS_MAX {
            infohashes.clear();
        }
        infohashes.insert(content, infohash);
    }

    /// The infohash of an identifier, as far as it is known without asking.
    #[must_use]
    pub fn infohash(&self, content: Content) -> Option<Hash> {
        match content {
            Content::Infohash(hash) => Some(hash),
            Content::ContentId(_) => self.infohashes.borrow().get(&content).copied(),
        }
    }

    /// Remembers the last trouble with a channel's upstreams, for the operator.
    ///
    /// Bound: [`ERRORS_MAX`] channels; beyond it the oldest is forgotten.
    pub fn note_error(&self, id: ChannelId, error: LastError) {
        let mut errors = self.errors.borrow_mut();
        if errors.len() >= ERRORS_MAX && !errors.contains_key(&id) {
            let oldest = errors.iter().min_by_key(|(_, error)| error.at_us);
            if let Some(oldest) = oldest.map(|(id, _)| *id) {
                errors.remove(&oldest);
            }
        }
        errors.insert(id, error);
    }

    /// The last trouble with every channel that had any.
    #[must_use]
    pub fn errors(&self) -> Vec<(ChannelId, LastError)> {
        let errors = self.errors.borrow();
        let all = errors.iter();
        all.map(|(id, error)| (*id, error.clone())).collect()
    }

    /// Whether the log may say now that the channel's upstream is a playlist: once a minute and channel.
    #[must_use]
    pub fn may_mention_playlist(&self, id: ChannelId, now_us: u64) -> bool {
        let mut mentioned = self.playlists_us.borrow_mut();
        mentioned.retain(|_, at_us| now_us - *at_us < PLAYLIST_EVERY_US);
        let is_first = mentioned.len() < REFUSALS_MAX && !mentioned.contains_key(&id);
        if is_first {
            mentioned.insert(id, now_us);
        }
        is_first
    }

    /// Forgets which channels did not start: what they are made of may be another by now.
    pub fn forget_refusals(&self) {
        self.refusals.borrow_mut().clear();
    }

    /// Why the channel did not start a moment ago, if that is still remembered at `now_us`.
    #[must_use]
    pub fn refusal(&self, id: ChannelId, now_us: u64) -> Option<NotStarted> {
        let refusals = self.refusals.borrow();
        let refusal = refusals.get(&id)?;
        (refusal.until_us > now_us).then_some(refusal.why)
    }

    /// Remembers until `until_us` that the channel did not start; what is past at `now_us` is forgotten.
    ///
    /// Bound: [`REFUSALS_MAX`] channels; beyond it a refusal is not remembered.
    pub fn remember(&self, id: ChannelId, why: NotStarted, now_us: u64, until_us: u64) {
        let mut refusals = self.refusals.borrow_mut();
        refusals.retain(|_, refusal| refusal.until_us > now_us);
        if refusals.len() < REFUSALS_MAX {
            refusals.insert(id, Refusal { why, until_us });
        }
    }
}

/// How many failed starts, and how many identifiers of content, a shard remembers at once.
pub const REFUSALS_MAX: usize = 4096;

/// Of how many channels a shard remembers the last trouble.
pub const ERRORS_MAX: usize = 256;

/// How often the log mentions one channel's playlist.
const PLAYLIST_EVERY_US: u64 = 60_000_000;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::metrics::ShardCounters;

    const ID: ChannelId = ChannelId::Configured(1);

    fn relay(epoch: u64) -> Relay {
        let counters = ShardCounters::default().channel(ID.into());
        Relay::new(ID, epoch, Config::default().stream, counters)
    }

    #[test]
    fn the_first_seat_opens_and_the_last_one_lingers() {
        let table = Rc::new(Table::default());
        let (first, is_new) = table.sit(ID, || 1_000_000, relay);
        assert!(is_new);
        let (second, is_new) = table.sit(ID, || 2_000_000, relay);
        assert!(!is_new);
        drop(first);
        assert_eq!(table.next_linger_us(), None);
        drop(second);
        let until_us = table.next_linger_us().unwrap();
        assert_eq!(until_us, 7_000_000);
        assert!(table.expire(until_us - 1).is_empty());
        assert_eq!(table.expire(until_us).len(), 1);
        assert!(table.relay(ID).is_none());
    }

    #[test]
    fn only_a_channel_that_lingers_can_be_spared() {
        let table = Rc::new(Table::default());
        let (seat, _) = table.sit(ID, || 0, relay);
        let epoch = seat.relay().epoch;
        assert!(table.spare(ID, epoch).is_none(), "somebody watches");
        drop(seat);
        assert!(table.spare(ID, epoch + 1).is_none(), "another subscription");
        assert!(table.spare(ID, epoch).is_some());
        assert!(table.spare(ID, epoch).is_none(), "it is gone");
        assert_eq!((table.next_linger_us(), table.relays().len()), (None, 0));
    }

    #[test]
    fn a_viewer_that_comes_back_ends_the_linger() {
        let table = Rc::new(Table::default());
        drop(table.sit(ID, || 0, relay));
        let (_seat, is_new) = table.sit(ID, || 0, relay);
        assert!(!is_new);
        assert_eq!(table.next_linger_us(), None);
        assert!(table.expire(u64::MAX).is_empty());
    }

    #[test]
    fn a_seat_of_an_ended_relay_does_not_touch_its_successor() {
        let table = Rc::new(Table::default());
        let (old, _) = table.sit(ID, || 0, relay);
        let epoch = old.relay().epoch;
        table.end(ID, epoch, End::UpstreamLost);
        assert_eq!(old.relay().ended(), Some(End::UpstreamLost));
        let (new, is_new) = table.sit(ID, || 0, relay);
        assert!(is_new);
        drop(old);
        assert_eq!(table.next_linger_us(), None);
        assert_eq!(new.relay().viewers(), 1);
        table.end(ID, epoch, End::Drained);
        assert_eq!(
            new.relay().ended(),
            None,
            "an end of an older subscription is ignored"
        );
    }

    #[test]
    fn the_last_trouble_of_each_channel_is_kept_and_the_oldest_is_forgotten() {
        let homes = Homes::default();
        let error = |at_us: u64| LastError {
            at_us,
            text: format!("{at_us}").into(),
        };
        homes.note_error(ID, error(1));
        homes.note_error(ID, error(2));
        assert_eq!(homes.errors(), [(ID, error(2))]);
        for (number, at_us) in (2..).zip(3_u64..).take(ERRORS_MAX) {
            homes.note_error(ChannelId::Configured(number), error(at_us));
        }
        let errors = homes.errors();
        assert_eq!(errors.len(), ERRORS_MAX);
        assert!(errors.iter().all(|(id, _)| *id != ID));
    }

    #[test]
    fn content_has_one_owner_and_a_refusal_is_forgotten() {
        let homes = Homes::default();
        let hash: Hash = "0123456789abcdef0123456789abcdef01234567".parse().unwrap();
        homes.claim(hash, ID);
        homes.claim(hash, ChannelId::Configured(2));
        assert_eq!(homes.owner(hash), Some(ID));
        homes.close(ID);
        assert_eq!(homes.owner(hash), None);
        assert_eq!(homes.infohash(Content::Infohash(hash)), Some(hash));
        assert_eq!(homes.infohash(Content::ContentId(hash)), None);
        homes.learn(Content::ContentId(hash), hash);
        assert_eq!(homes.infohash(Content::ContentId(hash)), Some(hash));
        homes.remember(ID, NotStarted::Refused, 0, 10);
        assert_eq!(homes.refusal(ID, 9), Some(NotStarted::Refused));
        assert_eq!(homes.refusal(ID, 10), None);
    }
}
