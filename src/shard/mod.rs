//! One pinned executor: what it owns and the tasks it runs, in start order.
//!
//! A shard owns its listeners, viewers, rings and counters, and shares nothing with another but messages on the feed.
//! This file holds what its tasks have in common; where a message goes is in `receive`, what each task does in its own file.

pub mod drain;
pub mod fd;
pub mod feed;
pub mod permits;
pub mod placement;
mod receive;
pub mod start;
mod sweep;
mod timed;

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::os::fd::OwnedFd;
use std::panic::AssertUnwindSafe;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::{Duration, SystemTime};

use futures_lite::FutureExt;
use glommio::Task;
use glommio::sync::Gate;

use crate::account::attendance::{self, Attendance};
use crate::account::login::Logins;
use crate::account::{Accounts, Throttle};
use crate::admin::scrape::Scrapes;
use crate::channel::End;
use crate::channel::batch::Load;
use crate::channel::home::Home;
use crate::channel::id::ChannelId;
use crate::channel::relay::Relay;
use crate::channel::table::{Seat, Table};
use crate::channel::wakers::Wakers;
use crate::clock::{Clock, Epoch};
use crate::config::{Config, Stream, Upstream};
use crate::metrics::ShardCounters;
use crate::shard::drain::Drain;
use crate::shard::feed::{Ends, Feeds, Message, Undelivered};
use crate::shard::permits::Permits;
use crate::shard::sweep::Sweep;
use crate::upstream::connect::Connector;
use crate::{admin, http};

/// What all shards of the process have in common.
#[derive(Debug)]
pub struct Process {
    /// The configuration.
    pub config: Arc<Config>,
    /// Permits for connections on the viewers' listeners.
    pub connections: Arc<Permits>,
    /// Permits for connections on the operator's listener: viewers cannot use them up.
    pub admin_connections: Arc<Permits>,
    /// Permits for viewers.
    pub viewers: Arc<Permits>,
    /// Shards that still have something to finish before the process may end.
    pub unfinished_shards: AtomicUsize,
    /// The time line.
    pub epoch: Epoch,
    /// When the process started.
    pub started: SystemTime,
}

/// What a shard is given to start with.
pub struct Setup {
    /// Its number, from 0.
    pub index: usize,
    /// What it has in common with the others.
    pub process: Arc<Process>,
    /// Its ends of the feeds.
    pub ends: Ends,
    /// Its listening sockets for viewers.
    pub listeners: Vec<OwnedFd>,
    /// The operator's listening socket; shard 0 has it.
    pub admin: Option<OwnedFd>,
    /// Carries one byte for each request to stop.
    pub signals: OwnedFd,
}

/// One shard, as its own tasks see it.
pub struct Shard {
    /// Its number, from 0.
    pub index: usize,
    /// How many shards there are.
    pub shards: usize,
    /// What it has in common with the others.
    pub process: Arc<Process>,
    /// Its clock.
    pub clock: Clock,
    /// What it counts.
    pub counters: ShardCounters,
    /// Its feeds to other shards.
    pub feeds: Feeds,
    /// Its channels.
    pub table: Rc<Table>,
    /// Who may watch.
    pub accounts: Accounts,
    /// Checks of passwords.
    pub logins: Logins,
    /// Viewers of accounts.
    pub attendance: Attendance,
    /// Addresses that gave wrong passwords.
    pub throttle: RefCell<Throttle>,
    /// Whether it drains.
    pub drain: Drain,
    /// Answers of other shards to a scrape.
    pub scrapes: Scrapes,
    /// How upstreams are reached.
    pub connector: Connector,
    /// Its viewers now.
    pub viewers: Cell<usize>,
    load: RefCell<Load>,
    /// Its viewers whose turn it is.
    sweep: Sweep,
    /// Signalled when viewers wait for their turn.
    batched: Wakers,
    tasks: Gate,
}

/// Runs a shard until it has drained; `ready` is called once it listens.
pub async fn run(setup: Setup, ready: impl FnOnce()) {
    let shards = setup.ends.shards();
    let (feeds, inlets) = setup.ends.connect().await;
    let config = &setup.process.config;
    let shard = Rc::new(Shard {
        index: setup.index,
        shards,
        clock: Clock::new(setup.process.epoch),
        counters: ShardCounters::default(),
        feeds,
        table: Rc::new(Table::default()),
        accounts: Accounts::new(&config.accounts),
        logins: Logins::new(),
        attendance: Attendance::default(),
        throttle: RefCell::new(Throttle::new()),
        drain: Drain::default(),
        scrapes: Scrapes::default(),
        connector: Connector::new(),
        viewers: Cell::new(0),
        load: RefCell::default(),
        sweep: Sweep::default(),
        batched: Wakers::default(),
        tasks: Gate::new(),
        process: Arc::clone(&setup.process),
    });
    for channel in &config.channels {
        shard
            .counters
            .channel(ChannelId::Configured(channel.id).into());
    }
    let mut tasks: Vec<Task<()>> = vec![
        glommio::spawn_local(shard.clock.clone().drive()),
        glommio::spawn_local(sweep::run(Rc::clone(&shard))),
        glommio::spawn_local(timed::retry_feeds(Rc::clone(&shard))),
        glommio::spawn_local(timed::end_lingers(Rc::clone(&shard))),
        glommio::spawn_local(timed::send_overdue(Rc::clone(&shard))),
        glommio::spawn_local(attendance::confirm(Rc::clone(&shard))),
    ];
    for inlet in inlets {
        let shard = Rc::clone(&shard);
        tasks.push(glommio::spawn_local(inlet.drain_into(
            move |from, message| {
                shard.receive(from, message);
            },
        )));
    }
    for listener in setup.listeners {
        tasks.push(glommio::spawn_local(http::accept::run(
            Rc::clone(&shard),
            listener,
            Arc::clone(&setup.process.connections),
            Arc::clone(&config.server.front),
            http::live::answer,
        )));
    }
    if let Some(listener) = setup.admin {
        tasks.push(glommio::spawn_local(http::accept::run(
            Rc::clone(&shard),
            listener,
            Arc::clone(&setup.process.admin_connections),
            Arc::default(),
            admin::answer,
        )));
    }
    ready();
    drain::run(&shard, setup.signals).await;
    shard.clock.limit(TASKS_END, shard.tasks.close()).await;
}

impl Shard {
    /// The configuration.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.process.config
    }

    /// Runs a task whose fault must not touch anybody else: a panic in it is logged and ends only the task.
    ///
    /// Ownership: the shard awaits all such tasks before it ends. While it is ending, none is started.
    pub fn spawn(&self, name: &'static str, task: impl Future<Output = ()> + 'static) {
        // In a box: a future inside another takes its room twice, and this one would be inside two.
        let task = Box::pin(AssertUnwindSafe(task).catch_unwind());
        let contained = async move {
            if task.await.is_err() {
                log::error!("a fault of ours ended a task task={name}");
            }
        };
        if let Ok(task) = self.tasks.spawn(contained) {
            task.detach();
        }
    }

    /// Takes a seat at a channel, subscribing at its home shard if nobody here follows it yet.
    ///
    /// The channel must be one that [`Shard::offer`] knows.
    #[must_use]
    pub fn sit(self: &Rc<Self>, offer: &Offer) -> Seat {
        let clock = self.clock.clone();
        let counters = self.counters.channel(offer.id.into());
        let (seat, is_new) = self.table.sit(
            offer.id,
            move || clock.now_us(),
            |epoch| Relay::new(offer.id, epoch, offer.limits.clone(), counters),
        );
        if is_new {
            let message = Message::Subscribe {
                channel: offer.id,
                epoch: seat.relay().epoch,
            };
            self.send(self.home(offer.id), message);
        }
        seat
    }

    /// What is offered under an id: a configured channel, or engine content when that is allowed.
    #[must_use]
    pub fn offer(&self, id: ChannelId) -> Option<Offer> {
        let config = self.config();
        match id {
            ChannelId::Configured(number) => {
                let channel = config
                    .channels
                    .iter()
                    .find(|channel| channel.id == number)?;
                Some(Offer {
                    id,
                    name: channel.name.clone(),
                    limits: channel.stream.clone(),
                    upstreams: channel.upstreams.clone(),
                })
            }
            ChannelId::Dynamic(content) => config.engine.dynamic.then(|| Offer {
                id,
                name: content.to_string(),
                limits: config.stream.clone(),
                upstreams: vec![Upstream::Ace {
                    content,
                    user_agent: None,
                }],
            }),
        }
    }

    /// Leaves a channel: nothing more is wanted from its home shard.
    pub fn unsubscribe(self: &Rc<Self>, relay: &Relay) {
        let message = Message::Unsubscribe {
            channel: relay.id,
            epoch: relay.epoch,
        };
        self.send(self.home(relay.id), message);
    }

    /// Tells every following shard what is new in a channel of this home.
    pub fn publish(self: &Rc<Self>, home: &Home) {
        home.publish(|to, message| self.deliver(to, message));
    }

    /// Says that a channel of this home has ended.
    pub fn end(self: &Rc<Self>, home: &Home, end: End) {
        home.end(end, |to, message| self.send(to, message));
    }

    /// Sends what must arrive; to this very shard at once.
    pub fn send(self: &Rc<Self>, to: usize, message: Message) {
        if to == self.index {
            self.receive(to, message);
        } else {
            self.feeds.send(to, message);
        }
    }

    fn deliver(self: &Rc<Self>, to: usize, message: Message) -> Result<(), Undelivered> {
        if to == self.index {
            self.receive(to, message);
            return Ok(());
        }
        self.feeds.offer(to, message)
    }

    /// The shard that fetches a channel.
    #[must_use]
    pub fn home(&self, id: ChannelId) -> usize {
        let config = self.config();
        let upstreams = match id {
            ChannelId::Configured(number) => config
                .channels
                .iter()
                .find(|channel| channel.id == number)
                .map_or(&[][..], |channel| &channel.upstreams),
            ChannelId::Dynamic(_) => &[],
        };
        placement::home_shard(id, upstreams, config.engine.url.as_str(), self.shards)
    }

    /// Everything this shard has counted.
    #[must_use]
    pub fn samples(&self) -> Vec<crate::metrics::Sample> {
        let used = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
        let seconds = u64::try_from(used.tv_sec).unwrap_or(0);
        let micros = u64::try_from(used.tv_nsec).unwrap_or(0) / 1000;
        self.counters
            .samples(self.index, seconds * 1_000_000 + micros)
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

/// How long a shard waits for its last tasks when it ends.
const TASKS_END: Duration = Duration::from_millis(500);
