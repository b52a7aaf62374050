//! The bounded link between shards: chunks and requests.
//!
//! The only file that touches glommio's channels. Sending never waits: what a full feed cannot take is kept by its
//! owner (chunks by the home's ring) or in an outbox here (everything else, one entry per channel or request), and is
//! tried again before the next message and at each tick. Receiving: exactly one task awaits a feed, and nothing else.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::sync::Arc;

use glommio::GlommioError;
use glommio::channels::shared_channel::{
    ConnectedReceiver, ConnectedSender, SharedReceiver, SharedSender, new_bounded,
};

use crate::account::notice::{About, Notice};
use crate::admin::ask::{Question, Told};
use crate::admin::events::{Kind, Occurrence};
use crate::channel::End;
use crate::channel::chunk::Chunk;
use crate::channel::id::ChannelId;
use crate::channel::wakers::Wakers;
use crate::guide::Guide;
use crate::http::hand::Handed;
use crate::metrics::Sample;
use crate::shard::permits::Permit;
use crate::shard::register::Register;
use crate::upstream::provider;

/// What one shard says to another.
#[derive(Debug)]
pub enum Message {
    /// A connection that was accepted for the shard to serve.
    Accepted {
        /// The connection.
        socket: OwnedFd,
        /// The permit that was taken before it was accepted.
        permit: Permit,
    },
    /// Something about a viewer of an account.
    Account(Notice),
    /// Asks something for the operator (shard 0 to any).
    Ask {
        /// Number of the request.
        request: u64,
        /// What is asked.
        question: Box<Question>,
    },
    /// An address gave a wrong password.
    BadLogin {
        /// The address.
        address: IpAddr,
    },
    /// Chunks of a channel, oldest first (home shard to follower).
    Chunks {
        /// The channel as the follower calls it.
        channel: ChannelId,
        /// The subscription they belong to.
        epoch: u64,
        /// The chunks.
        chunks: Vec<Arc<Chunk>>,
    },
    /// A channel has ended (home shard to follower).
    Ended {
        /// The channel as the follower calls it.
        channel: ChannelId,
        /// The subscription that ended.
        epoch: u64,
        /// Why.
        end: End,
    },
    /// Something happened that the operator wants to know (any shard to shard 0).
    Event(Box<Occurrence>),
    /// A request that another shard may answer better, or that was given back.
    Handed(Box<Handed>),
    /// The configuration to use from now on (shard 0 to the others).
    Configure(Arc<Register>),
    /// A configuration is in use on a shard (to shard 0).
    Configured {
        /// Which.
        version: u64,
    },
    /// A channel is fetched by another shard: ask that one (the shard that was asked to follower).
    Moved {
        /// The channel.
        channel: ChannelId,
        /// The subscription that was asked for.
        epoch: u64,
        /// The shard to ask.
        home: usize,
    },
    /// The program guide to serve from now on (shard 0 to the others).
    Guide(Arc<Guide>),
    /// How long a follower's viewers let chunks wait has changed (follower to home shard).
    Pace {
        /// The channel.
        channel: ChannelId,
        /// Number of the subscription.
        epoch: u64,
        /// How long, in microseconds.
        batch_us: u64,
    },
    /// Something about a connection to a provider.
    Provider(provider::Notice),
    /// Asks for everything the shard has counted.
    Scrape {
        /// Number of the request.
        request: u64,
    },
    /// Everything a shard has counted.
    Scraped {
        /// Number of the request.
        request: u64,
        /// The counts.
        samples: Vec<Sample>,
    },
    /// The channel's connection is wanted elsewhere: leave it if nobody watches (home shard to follower).
    Spare {
        /// The channel as the follower calls it.
        channel: ChannelId,
        /// Number of the subscription.
        epoch: u64,
    },
    /// A shard wants to follow a channel (follower to home shard).
    Subscribe {
        /// The channel.
        channel: ChannelId,
        /// Number of the subscription.
        epoch: u64,
    },
    /// Answers what was asked for the operator.
    Told {
        /// Number of the request.
        request: u64,
        /// The answer.
        told: Box<Told>,
    },
    /// A shard no longer follows a channel (follower to home shard).
    Unsubscribe {
        /// The channel.
        channel: ChannelId,
        /// Number of the subscription.
        epoch: u64,
    },
}

/// The message could not be delivered now; its sender keeps what it said and tries again later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Undelivered;

/// One shard's ends of all feeds, before its executor runs.
///
/// Shape: index `n` is the feed to, or from, shard `n`; its own place is empty.
pub struct Ends {
    senders: Vec<Option<SharedSender<Message>>>,
    receivers: Vec<Option<SharedReceiver<Message>>>,
}

/// Makes a feed for each ordered pair of shards, and gives each shard its ends.
#[must_use]
pub fn mesh(shards: usize) -> Vec<Ends> {
    let mut ends: Vec<Ends> = (0..shards)
        .map(|_| Ends {
            senders: (0..shards).map(|_| None).collect(),
            receivers: (0..shards).map(|_| None).collect(),
        })
        .collect();
    for from in 0..shards {
        for to in (0..shards).filter(|to| *to != from) {
            let (sender, receiver) = new_bounded(FEED_MESSAGES);
            if let Some(end) = ends.get_mut(from).and_then(|end| end.senders.get_mut(to)) {
                *end = Some(sender);
            }
            if let Some(end) = ends.get_mut(to).and_then(|end| end.receivers.get_mut(from)) {
                *end = Some(receiver);
            }
        }
    }
    ends
}

impl Ends {
    /// How many shards there are.
    #[must_use]
    pub fn shards(&self) -> usize {
        self.senders.len()
    }

    /// Connects every feed with the shard at its other end; finishes when all shards have done so.
    pub async fn connect(self) -> (Feeds, Vec<Inlet>) {
        // Each end waits for its peer, so all of them must wait at the same time.
        let senders: Vec<_> = self
            .senders
            .into_iter()
            .map(|end| end.map(|sender| glommio::spawn_local(sender.connect())))
            .collect();
        let receivers: Vec<_> = self
            .receivers
            .into_iter()
            .map(|end| end.map(|receiver| glommio::spawn_local(receiver.connect())))
            .collect();
        let mut peers = Vec::new();
        for sender in senders {
            peers.push(match sender {
                Some(sender) => Some(Peer {
                    sender: sender.await,
                    outbox: RefCell::default(),
                }),
                None => None,
            });
        }
        let mut inlets = Vec::new();
        for (from, receiver) in receivers.into_iter().enumerate() {
            if let Some(receiver) = receiver {
                inlets.push(Inlet {
                    from,
                    receiver: receiver.await,
                });
            }
        }
        let feeds = Feeds {
            peers,
            waiting: Wakers::default(),
        };
        (feeds, inlets)
    }
}

/// The receiving end of one feed.
pub struct Inlet {
    /// The shard at the other end.
    pub from: usize,
    receiver: ConnectedReceiver<Message>,
}

impl Inlet {
    /// Passes every message to `take` until the other shard is gone. Must be the only thing its task awaits.
    pub async fn drain_into(self, take: impl Fn(usize, Message)) {
        while let Some(message) = self.receiver.recv().await {
            take(self.from, message);
            glommio::yield_if_needed().await;
        }
    }
}

/// The sending ends of one shard's feeds.
pub struct Feeds {
    peers: Vec<Option<Peer>>,
    /// Signalled when a message has to wait in an outbox.
    pub waiting: Wakers,
}

struct Peer {
    sender: ConnectedSender<Message>,
    outbox: RefCell<BTreeMap<Slot, Message>>,
}

/// Place of a message in an outbox: a newer message of the same place replaces the older.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Slot {
    Account(About),
    /// By its descriptor, which no other open connection has. Bound: by the permits.
    Accepted(RawFd),
    Ask(u64),
    BadLogin(IpAddr),
    /// One: what a newer configuration replaces is not missed.
    Configure,
    Configured,
    Ended(ChannelId),
    Event(u64, Kind),
    /// One: what a newer guide replaces is not missed.
    Guide,
    Moved(ChannelId),
    Pace(ChannelId),
    Provider(provider::About),
    Scrape,
    Scraped,
    Spare(ChannelId),
    Subscription(ChannelId),
    Told(u64),
}

impl Feeds {
    /// Sends what must arrive sooner or later; when the feed is full it waits in the outbox.
    pub fn send(&self, to: usize, message: Message) {
        let Some(Some(peer)) = self.peers.get(to) else {
            return;
        };
        if let Err(message) = peer.offer(message) {
            peer.keep(message);
            self.waiting.wake_all();
        }
    }

    /// Sends what its owner keeps anyway.
    ///
    /// # Errors
    /// [`Undelivered`] when the feed is full: say it again later.
    pub fn offer(&self, to: usize, message: Message) -> Result<(), Undelivered> {
        let Some(Some(peer)) = self.peers.get(to) else {
            return Ok(());
        };
        peer.offer(message).map_err(|_full| {
            self.waiting.wake_all();
            Undelivered
        })
    }

    /// Tries to send what waits in the outboxes; says whether nothing waits any more.
    pub fn flush(&self) -> bool {
        let mut is_flushed = true;
        for peer in self.peers.iter().flatten() {
            is_flushed &= peer.flush();
        }
        is_flushed
    }
}

impl Peer {
    /// Hands a message over if the outbox is empty and the feed has room. A peer that is gone takes everything.
    fn offer(&self, message: Message) -> Result<(), Message> {
        if self.flush() {
            self.try_send(message)
        } else {
            Err(message)
        }
    }

    fn try_send(&self, message: Message) -> Result<(), Message> {
        match self.sender.try_send(message) {
            Err(GlommioError::WouldBlock(glommio::ResourceType::Channel(message))) => Err(message),
            Ok(()) | Err(_) => Ok(()),
        }
    }

    fn keep(&self, message: Message) {
        let slot = match &message {
            Message::Account(notice) => Slot::Account(notice.about()),
            Message::Accepted { socket, .. } => Slot::Accepted(socket.as_raw_fd()),
            Message::Ask { request, .. } => Slot::Ask(*request),
            Message::BadLogin { address } => Slot::BadLogin(*address),
            Message::Configure(_) => Slot::Configure,
            Message::Configured { .. } => Slot::Configured,
            Message::Ended { channel, .. } => Slot::Ended(*channel),
            Message::Event(occurrence) => Slot::Event(occurrence.at_us, occurrence.kind),
            Message::Handed(handed) => Slot::Accepted(handed.socket.as_raw_fd()),
            Message::Moved { channel, .. } => Slot::Moved(*channel),
            Message::Guide(_) => Slot::Guide,
            Message::Pace { channel, .. } => Slot::Pace(*channel),
            Message::Provider(notice) => Slot::Provider(notice.about()),
            Message::Scrape { .. } => Slot::Scrape,
            Message::Scraped { .. } => Slot::Scraped,
            Message::Spare { channel, .. } => Slot::Spare(*channel),
            Message::Subscribe { channel, .. } | Message::Unsubscribe { channel, .. } => {
                Slot::Subscription(*channel)
            }
            Message::Told { request, .. } => Slot::Told(*request),
            // The home's ring keeps chunks; they are offered, never sent.
            Message::Chunks { .. } => return,
        };
        let mut outbox = self.outbox.borrow_mut();
        // A guess from one more address is not worth memory when that many wait, accounts make up for what is lost, and
        // the operator is told late enough by then.
        let most = match slot {
            Slot::Ask(_) | Slot::Event(..) | Slot::Told(_) => OPERATOR_MAX,
            Slot::Account(_) => NOTICES_MAX,
            Slot::BadLogin(_) => BAD_LOGINS_MAX,
            Slot::Accepted(_)
            | Slot::Configure
            | Slot::Configured
            | Slot::Ended(_)
            | Slot::Moved(_)
            | Slot::Guide
            | Slot::Pace(_)
            | Slot::Provider(_)
            | Slot::Scrape
            | Slot::Scraped
            | Slot::Spare(_)
            | Slot::Subscription(_) => usize::MAX,
        };
        if outbox.len() >= most && !outbox.contains_key(&slot) {
            return;
        }
        outbox.insert(slot, message);
    }

    fn flush(&self) -> bool {
        loop {
            let mut outbox = self.outbox.borrow_mut();
            let Some((slot, message)) = outbox.pop_first() else {
                return true;
            };
            if let Err(message) = self.try_send(message) {
                outbox.insert(slot, message);
                return false;
            }
        }
    }
}

/// How many messages may wait in an outbox for a bad login still to be added.
const BAD_LOGINS_MAX: usize = 1024;

/// How many messages may wait in an outbox for a notice still to be added.
const NOTICES_MAX: usize = 16_384;

/// How many messages may wait in an outbox for one about the operator's questions still to be added.
const OPERATOR_MAX: usize = 1024;

/// How many messages one feed holds; a shard that is this far behind hears late.
const FEED_MESSAGES: usize = 512;
