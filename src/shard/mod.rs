//! One pinned executor: what it owns and the tasks it runs, in start order.
//!
//! A shard owns its listeners, viewers, rings and counters, and shares nothing with another but messages on the feed.
//! This file holds what its tasks have in common; where a message goes is in `receive`, what each task does in its own file.

mod adopt;
pub mod aside;
pub mod drain;
pub mod fd;
pub mod feed;
pub mod permits;
pub mod placement;
mod receive;
pub mod register;
pub mod reload;
pub mod start;
mod sweep;
mod timed;
mod watch;

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

use crate::account::Throttle;
use crate::account::attendance::{self, Attendance};
use crate::account::login::Logins;
use crate::admin::desk::Desk;
use crate::admin::scrape::Scrapes;
use crate::admin::tell::Storms;
use crate::channel::End;
use crate::channel::batch::Load;
use crate::channel::home::Home;
use crate::channel::id::ChannelId;
use crate::channel::relay::Relay;
use crate::channel::table::{Seat, Table};
use crate::channel::wakers::Wakers;
use crate::clock::{Clock, Epoch};
use crate::config::{Config, Front, Inputs, Listen};
use crate::http::connection::Connection;
use crate::http::hand::Taken;
use crate::metrics::{Labels, Sample, ShardCounters, families};
use crate::segment;
use crate::shard::drain::Drain;
use crate::shard::feed::{Ends, Feeds, Message, Undelivered};
use crate::shard::permits::Permits;
pub use crate::shard::register::Offer;
use crate::shard::register::Register;
use crate::shard::reload::Reloads;
use crate::shard::sweep::Sweep;
use crate::supervisor::Supervisor;
use crate::supervisor::heartbeat::Heartbeats;
use crate::upstream::connect::Connector;
use crate::upstream::provider::{self, Providers};
use crate::viewer::farewell::{self, Farewells};
use crate::viewer::roster::Roster;
use crate::{admin, guide, http, playlist};

/// What all shards of the process have in common.
#[derive(Debug)]
pub struct Process {
    /// Where viewers connect, with real ports.
    pub listen: Vec<Listen>,
    /// Permits for connections on the viewers' listeners.
    pub connections: Arc<Permits>,
    /// How many of them the open files allow.
    pub connections_max: usize,
    /// Permits for connections on the operator's listener: viewers cannot use them up.
    pub admin_connections: Arc<Permits>,
    /// Permits for viewers.
    pub viewers: Arc<Permits>,
    /// What the configuration is read from.
    pub inputs: Inputs,
    /// The viewers' listeners were inherited.
    pub inherits_viewers: bool,
    /// The operator's listener was inherited.
    pub inherits_admin: bool,
    /// Signs of life of the shards.
    pub heartbeats: Heartbeats,
    /// Who is told how the process stands.
    pub supervisor: Supervisor,
    /// Shards that still have something to finish before the process may end.
    pub unfinished_shards: AtomicUsize,
    /// The time line.
    pub epoch: Epoch,
    /// When the process started.
    pub started: SystemTime,
}

impl Process {
    /// How the process stands, for a supervisor to show.
    #[must_use]
    pub fn status(&self) -> String {
        format!("viewers={}", self.viewers.taken())
    }
}

/// What a shard is given to start with.
pub struct Setup {
    /// Its number, from 0.
    pub index: usize,
    /// What it has in common with the others.
    pub process: Arc<Process>,
    /// The configuration to begin with.
    pub register: Arc<Register>,
    /// Its ends of the feeds.
    pub ends: Ends,
    /// Its listening sockets for viewers.
    pub listeners: Vec<Door>,
    /// The operator's listening socket; shard 0 has it.
    pub admin: Option<Door>,
    /// Carries one byte for each request to stop.
    pub signals: OwnedFd,
    /// Carries one byte for each request to read the configuration again; shard 0 has it.
    pub hangups: Option<OwnedFd>,
}

/// A listening socket.
#[derive(Debug)]
pub enum Door {
    /// Every shard has it, and so has the supervisor.
    Inherited(OwnedFd),
    /// This shard's own.
    Own(OwnedFd),
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
    /// What the operator asks; shard 0 answers it.
    pub desk: Desk,
    /// Events that come in storms.
    pub storms: Storms,
    /// Its viewers, as the operator is shown them.
    pub roster: Rc<Roster>,
    /// What is known of changes of configuration; used on shard 0.
    pub reloads: Reloads,
    /// How upstreams are reached.
    pub connector: Connector,
    /// Connections that providers allow.
    pub providers: Providers,
    /// The program guide that it serves.
    pub guide: guide::Held,
    /// Its viewers now.
    pub viewers: Cell<usize>,
    /// Requests of other shards that it answers.
    pub taken: Taken,
    /// What is said of those that end.
    pub farewells: Farewells,
    /// Signalled when another configuration has come into use.
    pub configured: Wakers,
    /// The configuration in use.
    register: RefCell<Arc<Register>>,
    load: RefCell<Load>,
    /// Its viewers whose turn it is.
    sweep: Sweep,
    /// Signalled when viewers wait for a turn that comes before all others.
    batched: Wakers,
    /// When the first of those turns passes that are slept for.
    next_turn_us: Cell<u64>,
    tasks: Gate,
}

/// Runs a shard until it has drained; `ready` is called once it listens.
pub async fn run(setup: Setup, ready: impl FnOnce()) {
    let shards = setup.ends.shards();
    let (feeds, inlets) = setup.ends.connect().await;
    let shard = Rc::new(Shard::new(
        setup.index,
        shards,
        setup.process,
        setup.register,
        feeds,
    ));
    shard.counters.offer(&shard.config().channels, 0);
    let mut tasks = keep_time(&shard);
    if shard.index == 0 {
        tasks.extend(keep_lists(&shard));
    }
    for inlet in inlets {
        let shard = Rc::clone(&shard);
        tasks.push(glommio::spawn_local(inlet.drain_into(
            move |from, message| {
                shard.receive(from, message);
            },
        )));
    }
    let doors = setup.listeners.into_iter();
    tasks.extend(doors.map(|door| {
        let front = |shard: &Shard| Arc::clone(&shard.config().server.front);
        let permits = &shard.process.connections;
        serve(&shard, door, true, permits, front, http::live::answer)
    }));
    if let Some(hangups) = setup.hangups {
        tasks.push(glommio::spawn_local(reload::on_hangups(
            Rc::clone(&shard),
            hangups,
        )));
    }
    tasks.extend(setup.admin.map(|door| {
        let permits = &shard.process.admin_connections;
        serve(
            &shard,
            door,
            false,
            permits,
            |_| Arc::default(),
            admin::answer,
        )
    }));
    ready();
    drain::run(&shard, setup.signals).await;
    shard.desk.live.end();
    shard.clock.limit(TASKS_END, shard.tasks.close()).await;
    shard.farewells.say_withheld(u64::MAX);
}

/// Starts the tasks that wait for a time or for somebody to come.
fn keep_time(shard: &Rc<Shard>) -> Vec<Task<()>> {
    vec![
        glommio::spawn_local(shard.clock.clone().drive()),
        glommio::spawn_local(sweep::run(Rc::clone(shard))),
        glommio::spawn_local(timed::retry_feeds(Rc::clone(shard))),
        glommio::spawn_local(timed::end_lingers(Rc::clone(shard))),
        glommio::spawn_local(timed::send_overdue(Rc::clone(shard))),
        glommio::spawn_local(timed::beat(Rc::clone(shard))),
        glommio::spawn_local(farewell::say_overdue(Rc::clone(shard))),
        glommio::spawn_local(attendance::confirm(Rc::clone(shard))),
        glommio::spawn_local(provider::settle(Rc::clone(shard))),
    ]
}

/// Accepts at a door; where its socket is inherited, until the shard drains if the next process is to go on there.
fn serve<F>(
    shard: &Rc<Shard>,
    door: Door,
    ends_at_drain: bool,
    permits: &Arc<Permits>,
    front: fn(&Shard) -> Arc<Front>,
    answer: fn(Rc<Shard>, Connection) -> F,
) -> Task<()>
where
    F: Future<Output = ()> + 'static,
{
    let (shard, permits) = (Rc::clone(shard), Arc::clone(permits));
    match door {
        Door::Inherited(socket) => glommio::spawn_local(http::accept::shared::run(
            shard,
            socket,
            ends_at_drain,
            permits,
            front,
            answer,
        )),
        Door::Own(socket) => {
            glommio::spawn_local(http::accept::run(shard, socket, permits, front, answer))
        }
    }
}

/// The tasks of shard 0 for what is fetched beside channels.
fn keep_lists(shard: &Rc<Shard>) -> [Task<()>; 2] {
    [
        glommio::spawn_local(guide::keep::run(Rc::clone(shard))),
        glommio::spawn_local(playlist::keep::run(Rc::clone(shard))),
    ]
}

impl Shard {
    fn new(
        index: usize,
        shards: usize,
        process: Arc<Process>,
        register: Arc<Register>,
        feeds: Feeds,
    ) -> Self {
        Self {
            index,
            shards,
            clock: Clock::new(process.epoch),
            counters: ShardCounters::default(),
            feeds,
            table: Rc::new(Table::default()),
            logins: Logins::new(),
            attendance: Attendance::default(),
            throttle: RefCell::new(Throttle::new()),
            drain: Drain::default(),
            scrapes: Scrapes::default(),
            desk: Desk::default(),
            storms: Storms::default(),
            roster: Roster::new(fastrand::u32(..)),
            reloads: Reloads::new(process.started),
            connector: Connector::new(),
            providers: Providers::default(),
            guide: guide::Held::default(),
            viewers: Cell::new(0),
            taken: Taken::default(),
            farewells: Farewells::default(),
            configured: Wakers::default(),
            register: RefCell::new(register),
            load: RefCell::default(),
            sweep: Sweep::default(),
            batched: Wakers::default(),
            next_turn_us: Cell::new(u64::MAX),
            tasks: Gate::new(),
            process,
        }
    }

    /// The configuration in use on this shard. Whoever holds it keeps it, however often it is replaced meanwhile.
    #[must_use]
    pub fn config(&self) -> Arc<Config> {
        Arc::clone(&self.register.borrow().config)
    }

    /// The configuration in use on this shard with what can be looked up in it.
    #[must_use]
    pub fn register(&self) -> Arc<Register> {
        Arc::clone(&self.register.borrow())
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
            let home = self.register.borrow().first_asked(offer.id);
            self.subscribe(seat.relay(), home);
        }
        seat
    }

    /// What is offered under an id: a configured channel, or engine content when that is allowed.
    #[must_use]
    pub fn offer(&self, id: ChannelId) -> Option<Offer> {
        self.register.borrow().offer(id)
    }

    /// Asks a shard, which should be the channel's home, for all that is new in a channel.
    fn subscribe(self: &Rc<Self>, relay: &Relay, home: usize) {
        relay.home.set(home);
        let message = Message::Subscribe {
            channel: relay.id,
            epoch: relay.epoch,
        };
        self.send(home, message);
    }

    /// Leaves a channel: nothing more is wanted from the shard that was asked for it.
    pub fn unsubscribe(self: &Rc<Self>, relay: &Relay) {
        let message = Message::Unsubscribe {
            channel: relay.id,
            epoch: relay.epoch,
        };
        self.send(relay.home.get(), message);
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

    /// Everything this shard has counted.
    #[must_use]
    pub fn samples(&self) -> Vec<Sample> {
        self.counters.forget(self.clock.now_us());
        let mut samples = self.counters.samples(self.index, self.busy_us());
        samples.extend(provider::samples(self));
        if self.index == 0 {
            let labels = Labels::default();
            samples.push(Sample::count(
                &families::PLAIN_SEGMENTS,
                labels,
                segment::plain_segments(),
            ));
        }
        samples
    }

    /// CPU time that the shard's thread has used, in microseconds.
    #[must_use]
    pub fn busy_us(&self) -> u64 {
        let used = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
        let seconds = u64::try_from(used.tv_sec).unwrap_or(0);
        let micros = u64::try_from(used.tv_nsec).unwrap_or(0) / 1000;
        seconds * 1_000_000 + micros
    }
}

/// How long a shard waits for its last tasks when it ends.
const TASKS_END: Duration = Duration::from_millis(500);
