//! The viewers of accounts on one shard, and asking the account's home shard about them.
//!
//! Who has to end is decided in `roll`, on the one shard that is the account's home, so that a count is right without
//! a lock. The rules kept: a viewer that is not answered in time is let in and counted later; every shard tells its whole
//! list again and again; so a message that is lost or late never keeps an account out.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::future::poll_fn;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Poll, Waker};
use std::time::Duration;

use super::Account;
use super::notice::Notice;
use super::roll::{Closed, Limit, Roll, Visit};
use crate::channel::id::ChannelId;
use crate::channel::wakers::Wakers;
use crate::config::AtLimit;
use crate::metrics::ViewerEnd;
use crate::shard::feed::Message;
use crate::shard::{Shard, placement};

/// What one shard knows of viewers with accounts: its own, and all of those accounts whose home it is.
#[derive(Default)]
pub struct Attendance {
    last_number: Cell<u64>,
    present: RefCell<BTreeMap<u64, Rc<Present>>>,
    /// Signalled when a viewer comes.
    arrived: Wakers,
    roll: RefCell<Roll>,
    last_request: Cell<u64>,
    counts: RefCell<BTreeMap<u64, Option<usize>>>,
    /// Signalled when a count is answered.
    counted: Wakers,
}

impl Attendance {
    fn enter(&self, viewer: &Rc<Present>) {
        let number = viewer.visit.borrow().number;
        self.present.borrow_mut().insert(number, Rc::clone(viewer));
        self.arrived.wake_all();
    }

    /// The viewers of this shard by the home of their account. Who was told to end, or that it is refused, takes no place
    /// any more.
    fn lists(&self, shards: usize) -> Vec<Vec<Visit>> {
        let mut lists = vec![Vec::new(); shards];
        let viewers = self.present.borrow();
        for present in viewers.values().filter(|it| it.closed.get().is_none()) {
            let visit = present.visit();
            let home = placement::account_home(&visit.user, shards);
            if let Some(list) = lists.get_mut(home) {
                list.push(visit);
            }
        }
        lists
    }
}

/// A viewer of this shard as its account's home sees it.
struct Present {
    account: RefCell<Arc<Account>>,
    address: IpAddr,
    visit: RefCell<Visit>,
    is_admitted: Cell<bool>,
    made_room: Cell<bool>,
    closed: Cell<Option<ViewerEnd>>,
    waker: RefCell<Option<Waker>>,
}

impl Present {
    fn visit(&self) -> Visit {
        self.visit.borrow().clone()
    }

    fn is_answered(&self) -> bool {
        self.is_admitted.get() || self.closed.get().is_some()
    }

    fn wait(&self, waker: &Waker) {
        let mut held = self.waker.borrow_mut();
        match held.as_mut() {
            Some(held) => held.clone_from(waker),
            None => *held = Some(waker.clone()),
        }
    }

    fn wake(&self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
}

/// A viewer's right to watch on its account; while it exists, the viewer counts.
pub struct Pass {
    shard: Rc<Shard>,
    present: Rc<Present>,
    /// Unit: bits per second; 0 is any.
    bitrate_max: u64,
}

impl Pass {
    /// Why the viewer has to end, if it has to.
    #[must_use]
    pub fn closed(&self) -> Option<ViewerEnd> {
        self.present.closed.get()
    }

    /// Whether the account may watch what has this bit rate; what is not known yet it may.
    #[must_use]
    pub fn allows(&self, bits_per_second: Option<u64>) -> bool {
        self.bitrate_max == 0 || bits_per_second.is_none_or(|it| it <= self.bitrate_max)
    }

    /// Whether another viewer left, or has to end, for this one.
    #[must_use]
    pub fn made_room(&self) -> bool {
        self.present.made_room.get()
    }

    /// Has `waker` woken when the viewer has to end.
    pub fn wait(&self, waker: &Waker) {
        self.present.wait(waker);
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        let Visit { number, user, .. } = self.present.visit();
        let mut present = self.shard.attendance.present.borrow_mut();
        present.remove(&number);
        drop(present);
        let home = placement::account_home(&user, self.shard.shards);
        tell(&self.shard, home, Notice::Left { number, user });
    }
}

/// The account has as many viewers as it may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the account has as many viewers as it may have")]
pub struct Full;

/// Asks the account's home whether one more viewer may watch.
///
/// # Errors
/// [`Full`]: the account refuses one more, and none of its viewers left while it was asked again; or another viewer of
/// the account came after this one.
///
/// Cancel safety: dropping it takes the question back.
pub async fn attend(
    shard: &Rc<Shard>,
    account: &Arc<Account>,
    address: IpAddr,
    device: u64,
    channel: ChannelId,
) -> Result<Pass, Full> {
    let attendance = &shard.attendance;
    let number = attendance.last_number.get() + 1;
    attendance.last_number.set(number);
    let now_us = shard.clock.now_us();
    let present = Rc::new(Present {
        account: RefCell::new(Arc::clone(account)),
        address,
        visit: RefCell::new(Visit {
            user: account.user.as_str().into(),
            number,
            device,
            channel,
            asked_us: now_us,
            came_us: now_us,
        }),
        is_admitted: Cell::new(false),
        made_room: Cell::new(false),
        closed: Cell::new(None),
        waker: RefCell::default(),
    });
    attendance.enter(&present);
    let pass = Pass {
        shard: Rc::clone(shard),
        present,
        bitrate_max: account.bits_per_second_max,
    };
    if ask(shard, account.limit(), &pass.present).await {
        Ok(pass)
    } else {
        Err(Full)
    }
}

/// Asks until the answer is yes, as often as the limit is worth asking; nobody waits where there is none.
async fn ask(shard: &Rc<Shard>, limit: Limit, present: &Present) -> bool {
    let tries = match limit.at_limit {
        AtLimit::Refuse => REFUSED_TRIES,
        AtLimit::Replace => 1,
    };
    for turn in 0..tries {
        if turn > 0 {
            // A player that changes the channel may still be closing its old connection.
            shard.clock.after(REFUSED_PAUSE).await;
        }
        if matches!(
            present.closed.get(),
            Some(ViewerEnd::Replaced | ViewerEnd::Revoked)
        ) {
            return false;
        }
        if turn > 0 {
            present.closed.set(None);
            // If it is let in now, somebody has just left.
            present.made_room.set(true);
            // Whoever was let in meanwhile was there before.
            present.visit.borrow_mut().asked_us = shard.clock.now_us();
        }
        let visit = present.visit();
        let home = placement::account_home(&visit.user, shard.shards);
        tell(shard, home, Notice::Arrived(visit));
        if limit.viewers_max == 0 {
            return true;
        }
        let answered = poll_fn(|cx| {
            if present.is_answered() {
                return Poll::Ready(());
            }
            present.wait(cx.waker());
            Poll::Pending
        });
        if shard.clock.limit(ANSWER_MAX, answered).await.is_none() {
            log::debug!("an account's home shard does not answer: the viewer is let in");
        }
        if present.closed.get().is_none() {
            return true;
        }
    }
    false
}

/// What tells connections of one player on one device: its address and what it calls itself.
#[must_use]
pub fn device(address: IpAddr, user_agent: Option<&str>) -> u64 {
    let mut hasher = DefaultHasher::new();
    (address.to_canonical(), user_agent).hash(&mut hasher);
    hasher.finish()
}

/// How many viewers an account has on all shards; those of this shard alone if its home does not answer in time.
pub async fn viewers(shard: &Rc<Shard>, user: &str) -> usize {
    let attendance = &shard.attendance;
    let request = attendance.last_request.get() + 1;
    attendance.last_request.set(request);
    let question = Question::ask(&attendance.counts, request);
    let home = placement::account_home(user, shard.shards);
    let count = Notice::Count {
        request,
        user: user.into(),
    };
    tell(shard, home, count);
    let answered = async {
        while question.answer().is_none() {
            attendance.counted.next_event().await;
        }
    };
    shard.clock.limit(COUNT_MAX, answered).await;
    question.answer().unwrap_or_else(|| {
        let present = attendance.present.borrow();
        let own = present
            .values()
            .filter(|it| *it.visit.borrow().user == *user);
        own.count()
    })
}

/// A place for the answer to a count, for as long as somebody waits for it.
struct Question<'c> {
    counts: &'c RefCell<BTreeMap<u64, Option<usize>>>,
    request: u64,
}

impl<'c> Question<'c> {
    fn ask(counts: &'c RefCell<BTreeMap<u64, Option<usize>>>, request: u64) -> Self {
        counts.borrow_mut().insert(request, None);
        Self { counts, request }
    }

    fn answer(&self) -> Option<usize> {
        self.counts.borrow().get(&self.request).copied().flatten()
    }
}

impl Drop for Question<'_> {
    fn drop(&mut self) {
        self.counts.borrow_mut().remove(&self.request);
    }
}

/// Takes a notice of another shard, or of this one.
pub fn receive(shard: &Rc<Shard>, from: usize, notice: Notice) {
    let attendance = &shard.attendance;
    let now_us = shard.clock.now_us();
    match notice {
        Notice::Admitted { number, made_room } => {
            if let Some(present) = attendance.present.borrow().get(&number) {
                present.is_admitted.set(true);
                present.made_room.set(made_room || present.made_room.get());
                present.wake();
            }
        }
        Notice::Arrived(visit) => {
            let (number, limit) = (visit.number, limit_of(shard, &visit.user));
            let closed = attendance
                .roll
                .borrow_mut()
                .arrive(from, visit, limit, now_us);
            let is_in = !closed
                .iter()
                .any(|it| (it.shard, it.number) == (from, number));
            if is_in && limit.viewers_max > 0 {
                let made_room = !closed.is_empty();
                tell(shard, from, Notice::Admitted { number, made_room });
            }
            close(shard, &closed);
        }
        Notice::Close { number, why } => {
            if let Some(present) = attendance.present.borrow().get(&number) {
                present.closed.set(Some(why));
                present.wake();
            }
        }
        Notice::Confirmed { up_to, visits } => {
            let limit = |user: &str| limit_of(shard, user);
            let mut roll = attendance.roll.borrow_mut();
            let closed = roll.confirm(from, up_to, visits, limit, now_us);
            drop(roll);
            close(shard, &closed);
        }
        Notice::Count { request, user } => {
            let viewers = attendance.roll.borrow().viewers(&user);
            tell(shard, from, Notice::Counted { request, viewers });
        }
        Notice::Counted { request, viewers } => {
            if let Some(count) = attendance.counts.borrow_mut().get_mut(&request) {
                *count = Some(viewers);
            }
            attendance.counted.wake_all();
        }
        Notice::Left { number, user } => {
            attendance.roll.borrow_mut().leave(from, &user, number);
        }
    }
}

/// Tells the homes again and again who is there, for as long as anybody is.
#[expect(clippy::infinite_loop, reason = "a task that ends with its shard")]
pub async fn confirm(shard: Rc<Shard>) {
    let attendance = &shard.attendance;
    let mut was_told = vec![false; shard.shards];
    loop {
        if attendance.present.borrow().is_empty() && !was_told.contains(&true) {
            attendance.arrived.next_event().await;
        }
        shard.clock.after(CONFIRM_EVERY).await;
        let up_to = attendance.last_number.get();
        let lists = attendance.lists(shard.shards);
        for (home, (visits, was_told)) in lists.into_iter().zip(&mut was_told).enumerate() {
            let is_told = !visits.is_empty();
            if std::mem::replace(was_told, is_told) || is_told {
                tell(&shard, home, Notice::Confirmed { up_to, visits });
            }
        }
    }
}

/// Ends the viewers whom the accounts in use do not allow, or not so many of; `unix_seconds` is the time of now.
///
/// Who has an account that stayed as it is, is not looked at. Where there are no accounts any more, everybody may stay.
pub fn review(shard: &Rc<Shard>, unix_seconds: u64) {
    let register = shard.register();
    let attendance = &shard.attendance;
    for present in attendance.present.borrow().values() {
        let visit = present.visit();
        let held = Arc::clone(&present.account.borrow());
        let is_allowed = match register.accounts.of_user(&visit.user) {
            Some(account) if Arc::ptr_eq(account, &held) => continue,
            Some(account) => {
                present.account.replace(Arc::clone(account));
                account.login == held.login
                    && account.permits(present.address, unix_seconds).is_ok()
                    && account.may_watch(visit.channel)
            }
            None => register.accounts.is_open(),
        };
        if !is_allowed && present.closed.get().is_none() {
            present.closed.set(Some(ViewerEnd::Revoked));
            present.wake();
        }
    }
    let limit = |user: &str| limit_of(shard, user);
    let closed = attendance.roll.borrow_mut().enforce(limit);
    close(shard, &closed);
}

fn limit_of(shard: &Shard, user: &str) -> Limit {
    let register = shard.register();
    let account = register.accounts.of_user(user);
    account.map_or(NO_LIMIT, |account| account.limit())
}

fn close(shard: &Rc<Shard>, closed: &[Closed]) {
    for Closed {
        shard: of,
        number,
        why,
    } in closed
    {
        let (number, why) = (*number, *why);
        tell(shard, *of, Notice::Close { number, why });
    }
}

fn tell(shard: &Rc<Shard>, to: usize, notice: Notice) {
    shard.send(to, Message::Account(notice));
}

/// Of an account that is not known here: nobody is ended for it.
const NO_LIMIT: Limit = Limit {
    viewers_max: 0,
    at_limit: AtLimit::Replace,
};

/// How long the home shard has for its answer; then the viewer is let in.
const ANSWER_MAX: Duration = Duration::from_secs(1);

/// How long it has to count.
const COUNT_MAX: Duration = Duration::from_millis(250);

/// How often a viewer that is refused is asked for.
const REFUSED_TRIES: usize = 6;

/// How long between two of these.
const REFUSED_PAUSE: Duration = Duration::from_millis(100);

/// How often the homes are told who is there.
const CONFIRM_EVERY: Duration = Duration::from_secs(10);
