//! Gives a request to the shard that fetches its channel, as long as few watch it there.
//!
//! A channel that few watch costs twice as much where a second shard has to be told of every chunk. The rules: a request
//! moves once and perhaps back, a shard takes none when it has more to do than the one that offers it, and what it takes it
//! answers as if it had accepted the connection itself.

use std::cell::RefCell;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::sync::Arc;

use crate::channel::id::ChannelId;
use crate::http::connection::Connection;
use crate::http::live;
use crate::http::request::Request;
use crate::shard::feed::Message;
use crate::shard::permits::Permit;
use crate::shard::{Shard, fd};

/// A request on its way between shards, and its connection.
#[derive(Debug)]
pub struct Handed {
    /// The connection.
    pub socket: OwnedFd,
    /// The permit that was taken before it was accepted.
    pub permit: Permit,
    /// Who asks.
    pub peer: SocketAddr,
    /// What was asked.
    pub request: Request,
    /// When, in microseconds of the clock.
    pub asked_us: u64,
    /// The channel that it asks for.
    pub channel: ChannelId,
    /// Viewers of the shard that offers it.
    pub viewers: usize,
    /// It has been offered and not been taken.
    pub is_back: bool,
}

/// The shard that a request for a channel is offered to, if this one does not follow the channel.
#[must_use]
pub fn offered_to(shard: &Shard, channel: ChannelId) -> Option<usize> {
    let home = shard.register().home(channel);
    (home != shard.index && shard.table.relay(channel).is_none()).then_some(home)
}

impl Handed {
    /// A request for `channel` that this shard offers; `socket` is the connection's, and a descriptor of its own, for the
    /// stream waits on this shard's ring.
    #[must_use]
    pub fn new(
        shard: &Shard,
        socket: OwnedFd,
        connection: Connection,
        request: Request,
        channel: ChannelId,
        asked_us: u64,
    ) -> Self {
        let peer = connection.peer();
        let (_stream, permit) = connection.into_parts();
        Self {
            socket,
            permit,
            peer,
            request,
            asked_us,
            channel,
            viewers: shard.viewers.get(),
            is_back: false,
        }
    }
}

/// Takes a request that another shard offers, or gives it back.
pub fn receive(shard: &Rc<Shard>, from: usize, handed: Handed) {
    let relay = shard.table.relay(handed.channel);
    // Those that were taken a moment ago have no seat yet.
    let of_channel = relay.map_or(0, |relay| relay.viewers()) + shard.taken.of(handed.channel);
    let here = shard.viewers.get() + shard.taken.all();
    if !handed.is_back && !takes(of_channel, here, handed.viewers) {
        let is_back = true;
        return shard.send(
            from,
            Message::Handed(Box::new(Handed { is_back, ..handed })),
        );
    }
    let Handed {
        socket,
        permit,
        peer,
        request,
        asked_us,
        channel,
        ..
    } = handed;
    // It carries no other request, so that nothing is left for a front to say.
    let connection = Connection::new(fd::connection(socket), peer, permit, Arc::default());
    let taken = shard.taken.take(channel);
    let answered = live::answer_handed(Rc::clone(shard), connection, request, asked_us);
    shard.spawn("connection", async move {
        answered.await;
        drop(taken);
    });
}

/// Requests that a shard has taken and not answered yet, by channel.
#[derive(Clone, Default)]
pub struct Taken(Rc<RefCell<HashMap<ChannelId, usize>>>);

impl Taken {
    /// Those of a channel.
    #[must_use]
    pub fn of(&self, channel: ChannelId) -> usize {
        self.0.borrow().get(&channel).copied().unwrap_or(0)
    }

    /// All of them.
    #[must_use]
    pub fn all(&self) -> usize {
        self.0.borrow().values().sum()
    }

    fn take(&self, channel: ChannelId) -> TakenOne {
        *self.0.borrow_mut().entry(channel).or_default() += 1;
        TakenOne {
            taken: self.clone(),
            channel,
        }
    }
}

/// One of them, for as long as it is being answered.
struct TakenOne {
    taken: Taken,
    channel: ChannelId,
}

impl Drop for TakenOne {
    fn drop(&mut self) {
        let mut taken = self.taken.0.borrow_mut();
        if let Some(count) = taken.get_mut(&self.channel) {
            *count -= 1;
            if *count == 0 {
                taken.remove(&self.channel);
            }
        }
    }
}

/// Whether a shard that serves `of_channel` viewers of the channel and `here` in all takes one from a shard with `there`.
fn takes(of_channel: usize, here: usize, there: usize) -> bool {
    of_channel < VIEWERS_FEW && here <= there + VIEWERS_AHEAD
}

/// Viewers of a channel up to which all are served where it is fetched.
const VIEWERS_FEW: usize = 16;

/// How many viewers more than another shard one may have and still take one from it.
const VIEWERS_AHEAD: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_being_answered_counts_until_it_is() {
        let (taken, channel) = (Taken::default(), ChannelId::Configured(7));
        let two = [taken.take(channel), taken.take(channel)];
        let other = taken.take(ChannelId::Configured(8));
        assert_eq!((taken.of(channel), taken.all()), (2, 3));
        drop(two);
        assert_eq!((taken.of(channel), taken.all()), (0, 1));
        drop(other);
        assert!(taken.0.borrow().is_empty());
    }

    #[test]
    fn a_shard_takes_what_few_watch_and_nothing_that_would_tip_the_balance() {
        assert!(takes(0, 0, 0));
        assert!(takes(VIEWERS_FEW - 1, 500, 500));
        assert!(!takes(VIEWERS_FEW, 0, 500), "many watch it");
        assert!(takes(0, 500 + VIEWERS_AHEAD, 500));
        assert!(!takes(0, 501 + VIEWERS_AHEAD, 500), "it has more to do");
    }
}
