//! The viewers of one shard as the operator is shown them.
//!
//! A viewer writes what it does into the cells of its entry; whoever is asked for viewers reads them. Which are shown and in
//! what order is decided in `admin`. The rule: an entry costs its viewer those cells and nothing else; no lock, no task,
//! no message.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::os::fd::RawFd;
use std::rc::Rc;
use std::sync::Arc;

use crate::account::Account;
use crate::channel::cursor::Cursor;
use crate::channel::relay::Relay;
use crate::channel::wakers;
use crate::metrics::rate::Rate;

/// Who watches on one shard.
///
/// Shape: entries have numbers that grow and are never used again. The first is taken by chance, so that what was read
/// of an earlier process names nobody in this one.
pub struct Roster {
    next: Cell<u64>,
    entries: RefCell<BTreeMap<u64, Rc<Entry>>>,
}

impl Roster {
    /// Nobody yet; the first will have the number `first`.
    #[must_use]
    pub fn new(first: u32) -> Rc<Self> {
        Rc::new(Self {
            next: Cell::new(u64::from(first)),
            entries: RefCell::default(),
        })
    }

    /// Enters a viewer of `relay` behind `socket`; it stands there for as long as the [`Listed`] lives.
    #[must_use]
    pub fn enter(self: &Rc<Self>, caller: Caller, relay: &Rc<Relay>, socket: RawFd) -> Listed {
        let number = self.next.get();
        self.next.set(number + 1);
        let entry = Rc::new(Entry {
            number,
            rate: Rate::begun(caller.asked_us),
            caller,
            relay: Rc::clone(relay),
            socket,
            ends: relay.ends.place(),
            next_seq: Cell::new(u64::MAX),
            sent_bytes: Cell::new(0),
            skips: Cell::new(0),
            skipped_bytes: Cell::new(0),
            is_closed: Cell::new(false),
        });
        self.entries.borrow_mut().insert(number, Rc::clone(&entry));
        Listed {
            roster: Rc::clone(self),
            entry,
        }
    }

    /// The entry with this number.
    #[must_use]
    pub fn entry(&self, number: u64) -> Option<Rc<Entry>> {
        self.entries.borrow().get(&number).cloned()
    }

    /// At most `most` entries from the number `from` on, in order.
    #[must_use]
    pub fn since(&self, from: u64, most: usize) -> Vec<Rc<Entry>> {
        let entries = self.entries.borrow();
        let since = entries.range(from..).take(most);
        since.map(|(_, entry)| Rc::clone(entry)).collect()
    }
}

/// Who asked for a channel.
#[derive(Clone)]
pub struct Caller {
    /// From where. Shape: what a believed front says; of a Unix socket 127.0.0.1.
    pub address: IpAddr,
    /// The account, where there are any.
    pub account: Option<Arc<Account>>,
    /// What the player calls itself: one line without control characters.
    pub user_agent: Option<Box<str>>,
    /// When, in microseconds of the clock.
    pub asked_us: u64,
}

/// One viewer in the roster.
pub struct Entry {
    /// Names it on its shard.
    pub number: u64,
    /// Who it is.
    pub caller: Caller,
    /// What it watches.
    pub relay: Rc<Relay>,
    /// Its connection, for asking the kernel about it; open for as long as the entry stands in the roster.
    pub socket: RawFd,
    /// Where its task waits for an order to end.
    pub ends: wakers::Place,
    next_seq: Cell<u64>,
    sent_bytes: Cell<u64>,
    skips: Cell<u64>,
    skipped_bytes: Cell<u64>,
    rate: Rate,
    is_closed: Cell<bool>,
}

impl Entry {
    /// Notes bytes that were handed to the kernel, and the number of the chunk that is sent next.
    pub fn note_sent(&self, bytes: u64, next_seq: u64, now_us: u64) {
        let sent_bytes = self.sent_bytes.get() + bytes;
        self.sent_bytes.set(sent_bytes);
        self.next_seq.set(next_seq);
        self.rate.note(sent_bytes, now_us);
    }

    /// Notes a jump over so many bytes of the channel, to the chunk that is sent next.
    pub fn note_skip(&self, bytes: u64, next_seq: u64) {
        self.skips.set(self.skips.get() + 1);
        self.skipped_bytes.set(self.skipped_bytes.get() + bytes);
        self.next_seq.set(next_seq);
    }

    /// Bytes handed to the kernel.
    #[must_use]
    pub fn sent_bytes(&self) -> u64 {
        self.sent_bytes.get()
    }

    /// The same per second, over the last seconds.
    #[must_use]
    pub fn bytes_per_second(&self, now_us: u64) -> u64 {
        self.rate.per_second(self.sent_bytes.get(), now_us)
    }

    /// How often it jumped, and over how many bytes of the channel.
    #[must_use]
    pub fn skipped(&self) -> (u64, u64) {
        (self.skips.get(), self.skipped_bytes.get())
    }

    /// Media between what it is sent next and the newest chunk; of what has left the ring, what the ring holds.
    ///
    /// Unit: microseconds.
    #[must_use]
    pub fn behind_us(&self) -> u64 {
        Cursor::at(self.next_seq.get()).lag_us(&self.relay.ring())
    }

    /// Orders it to end at the next packet boundary.
    pub fn close(&self) {
        self.is_closed.set(true);
        self.ends.wake();
    }

    /// Whether it was ordered to end.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.is_closed.get()
    }
}

/// A viewer's place in the roster, which it leaves when this is dropped.
pub struct Listed {
    roster: Rc<Roster>,
    /// What others see.
    pub entry: Rc<Entry>,
}

impl Drop for Listed {
    fn drop(&mut self) {
        self.roster.entries.borrow_mut().remove(&self.entry.number);
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;
    use crate::channel::chunk::Chunk;
    use crate::channel::id::ChannelId;
    use crate::config::Config;
    use crate::metrics::ShardCounters;

    const ID: ChannelId = ChannelId::Configured(1);

    fn relay() -> Rc<Relay> {
        let counters = ShardCounters::default().channel(ID.into());
        Rc::new(Relay::new(ID, 1, Config::default().stream, counters))
    }

    fn caller() -> Caller {
        Caller {
            address: Ipv4Addr::LOCALHOST.into(),
            account: None,
            user_agent: None,
            asked_us: 0,
        }
    }

    #[test]
    fn a_number_names_one_viewer_and_never_another() {
        let (roster, relay) = (Roster::new(7), relay());
        let first = roster.enter(caller(), &relay, -1);
        let second = roster.enter(caller(), &relay, -1);
        assert_eq!((first.entry.number, second.entry.number), (7, 8));
        drop(second);
        let third = roster.enter(caller(), &relay, -1);
        assert_eq!(third.entry.number, 9);
        assert!(roster.entry(8).is_none());
        let numbers = |from, most| {
            let since = roster.since(from, most);
            since.iter().map(|it| it.number).collect::<Vec<_>>()
        };
        assert_eq!(numbers(0, 9), [7, 9]);
        assert_eq!(numbers(8, 9), [9]);
        assert_eq!(numbers(0, 1), [7]);
    }

    #[test]
    fn a_viewer_that_takes_nothing_falls_behind_while_the_head_moves_on() {
        let (roster, relay) = (Roster::new(0), relay());
        let viewer = roster.enter(caller(), &relay, -1);
        assert_eq!(viewer.entry.behind_us(), 0);
        let chunk = |seq: u64| Chunk::blank(seq, seq * 1_000_000, 1, seq == 1);
        let [..] = relay.extend(vec![chunk(1), chunk(2)], 0, 0);
        viewer.entry.note_sent(188, 2, 1_000_000);
        assert_eq!(viewer.entry.behind_us(), 0);
        let [..] = relay.extend(vec![chunk(3), chunk(4)], 0, 0);
        assert_eq!(viewer.entry.behind_us(), 2_000_000);
        viewer.entry.note_skip(376, 4);
        assert_eq!(viewer.entry.behind_us(), 0);
        assert_eq!(viewer.entry.skipped(), (1, 376));
        assert_eq!(viewer.entry.sent_bytes(), 188);
        assert_eq!(viewer.entry.bytes_per_second(1_000_000), 188);
    }

    #[test]
    fn an_order_to_end_is_kept() {
        let (roster, relay) = (Roster::new(0), relay());
        let viewer = roster.enter(caller(), &relay, -1);
        assert!(!viewer.entry.is_closed());
        roster.entry(0).unwrap().close();
        assert!(viewer.entry.is_closed());
    }
}
