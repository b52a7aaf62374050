//! What becomes of a message on the shard that it was sent to.
//!
//! One place for all of them, so that what another shard may ask for is seen at a glance; each is passed on to what it is
//! about. The rule: nothing here waits.

use std::rc::Rc;
use std::sync::Arc;

use crate::account::attendance;
use crate::admin::events::Kind;
use crate::admin::{report, tell};
use crate::channel::chunk::Chunk;
use crate::channel::home::Home;
use crate::channel::id::ChannelId;
use crate::channel::relay::Relay;
use crate::channel::{End, NotStarted, Phase};
use crate::clock::micros;
use crate::config::Batch;
use crate::shard::feed::Message;
use crate::shard::{Shard, adopt};
use crate::upstream::provider;
use crate::{http, upstream};

impl Shard {
    /// Where a message goes.
    pub(super) fn receive(self: &Rc<Self>, from: usize, message: Message) {
        match message {
            Message::Account(notice) => attendance::receive(self, from, notice),
            Message::Accepted { socket, permit } => http::accept::adopt(self, socket, permit),
            Message::Ask { request, question } => report::answer(self, from, request, *question),
            Message::BadLogin { address } => {
                let now_us = self.clock.now_us();
                self.throttle.borrow_mut().note_bad_login(address, now_us);
            }
            Message::Chunks {
                channel,
                epoch,
                chunks,
            } => {
                if let Some(relay) = self
                    .table
                    .relay(channel)
                    .filter(|relay| relay.epoch == epoch)
                {
                    self.extend(&relay, chunks);
                }
            }
            Message::Configure(register) => adopt::adopt(self, &register),
            Message::Configured { version } => self.reloads.confirm(from, version),
            Message::Ended {
                channel,
                epoch,
                end,
            } => self.table.end(channel, epoch, end),
            Message::Event(occurrence) => tell::take(self, *occurrence),
            // Who replaced it frees it, beside the shards.
            Message::Guide(guide) => drop(self.guide.replace(guide)),
            Message::Handed(handed) => http::hand::receive(self, from, *handed),
            Message::Moved {
                channel,
                epoch,
                home,
            } => {
                let relay = self.table.relay(channel);
                if let Some(relay) = relay.filter(|relay| relay.epoch == epoch) {
                    self.subscribe(&relay, home);
                }
            }
            Message::Pace {
                channel,
                epoch,
                batch_us,
            } => {
                if let Some(home) = self.table.homes.serving(channel) {
                    home.pace(from, channel, epoch, batch_us);
                }
            }
            Message::Provider(notice) => provider::receive(self, from, notice),
            Message::Scrape { request } => {
                let samples = self.samples();
                self.send(from, Message::Scraped { request, samples });
            }
            Message::Scraped { request, samples } => self.scrapes.answered(from, request, samples),
            Message::Spare { channel, epoch } => {
                if let Some(relay) = self.table.spare(channel, epoch) {
                    self.unsubscribe(&relay);
                }
            }
            Message::Subscribe { channel, epoch } => self.subscribed(from, channel, epoch),
            Message::Told { request, told } => self.desk.take(from, request, *told),
            Message::Unsubscribe { channel, epoch } => {
                if let Some(home) = self.table.homes.serving(channel) {
                    home.unsubscribe(from, channel, epoch);
                }
            }
        }
    }

    /// A shard wants a channel: start it, or give what is held, or say which shard is its home now.
    fn subscribed(self: &Rc<Self>, from: usize, channel: ChannelId, epoch: u64) {
        let home = self.register.borrow().home(channel);
        if home != self.index && self.table.homes.serving(channel).is_none() {
            let message = Message::Moved {
                channel,
                epoch,
                home,
            };
            return self.send(from, message);
        }
        match self.open_home(channel) {
            Ok(home) => {
                home.subscribe(from, channel, epoch);
                self.publish(&home);
            }
            Err(why) => {
                let end = End::NotStarted(why);
                self.send(
                    from,
                    Message::Ended {
                        channel,
                        epoch,
                        end,
                    },
                );
            }
        }
    }

    fn open_home(self: &Rc<Self>, channel: ChannelId) -> Result<Rc<Home>, NotStarted> {
        let homes = &self.table.homes;
        if let Some(home) = homes.serving(channel) {
            return Ok(home);
        }
        if let Some(why) = homes.refusal(channel, self.clock.now_us()) {
            return Err(why);
        }
        let is_dynamic = matches!(channel, ChannelId::Dynamic(_));
        if is_dynamic && homes.dynamic() >= self.config().engine.dynamic_max {
            return Err(NotStarted::Busy);
        }
        let offer = self.offer(channel).ok_or(NotStarted::Refused)?;
        let counters = self.counters.channel(channel.into());
        let home = Rc::new(Home::new(
            channel,
            &offer.name,
            offer.limits,
            offer.upstreams,
            counters,
        ));
        home.enter(Phase::Opening, self.clock.now_us());
        homes.open(Rc::clone(&home));
        let text = format!("{:?} is opened", home.terms.name());
        tell::once(self, Kind::ChannelOpened, Some(channel), text);
        self.spawn("fetch", upstream::keep(Rc::clone(self), Rc::clone(&home)));
        Ok(home)
    }

    /// Gives a relay its chunks; its viewers are visited when it is their turn.
    fn extend(self: &Rc<Self>, relay: &Rc<Relay>, chunks: Vec<Arc<Chunk>>) {
        let now_us = self.clock.now_us();
        if self.counters.recent.is_due(now_us) {
            self.counters.recent.note(self.busy_us(), now_us);
        }
        self.load.borrow_mut().note(relay.viewers(), now_us);
        let batch_us = match relay.limits().batch {
            Batch::Auto => self.load.borrow().batch_us(),
            Batch::Fixed(batch) => micros(batch),
        };
        self.sweep
            .add(relay, relay.extend(chunks, batch_us, now_us));
        if relay
            .due_us()
            .is_some_and(|due_us| due_us < self.next_turn_us.get())
        {
            self.batched.wake_all();
        }
        // Where few watch, reading costs more than sending, and all can be sent at once what was read at once.
        let pace_us = match relay.viewers() {
            0..=PACED_VIEWERS_MAX => batch_us,
            _ => 0,
        };
        if relay.paced_us.replace(pace_us) != pace_us {
            let message = Message::Pace {
                channel: relay.id,
                epoch: relay.epoch,
                batch_us: pace_us,
            };
            self.send(relay.home.get(), message);
        }
    }
}

/// Viewers of a channel on a shard up to which its upstream is read as rarely as they are sent.
const PACED_VIEWERS_MAX: usize = 64;
