//! Asks for an account on a shard: the credentials, the address, the time.
//!
//! What is right is decided in `account`. The rules kept: a hash is checked off the executors, one at a time on a shard;
//! an address that guessed too often while it waited is not checked any more; and who comes back is not checked again.

use std::cell::{Cell, RefCell};
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use glommio::sync::Semaphore;

use super::hash::Hash;
use super::outcomes::Outcomes;
use super::secret::Secret;
use super::{Account, Credentials, Denied, Examined};
use crate::shard::Shard;
use crate::shard::feed::Message;

/// The checks of one shard: those under way and how the last ones ended.
pub struct Logins {
    outcomes: RefCell<Outcomes>,
    /// Held by whoever checks a hash.
    turn: Semaphore,
    waiting: Cell<usize>,
}

impl Logins {
    /// No check is under way and none is remembered.
    #[must_use]
    pub fn new() -> Self {
        Self {
            outcomes: RefCell::new(Outcomes::new()),
            turn: Semaphore::new(1),
            waiting: Cell::new(0),
        }
    }
}

impl Default for Logins {
    fn default() -> Self {
        Self::new()
    }
}

/// An account and what it was opened with.
pub struct LoggedIn<'o> {
    /// The account.
    pub account: Arc<Account>,
    /// The first of the offered credentials that are right.
    pub credentials: &'o Credentials,
}

/// The account that may be used by whoever offers these credentials from this address, now; `None` while no account is
/// configured.
///
/// # Errors
/// [`Denied`]; a wrong login has been counted against the address.
pub async fn log_in<'o>(
    shard: &Rc<Shard>,
    address: IpAddr,
    offered: &'o [Credentials],
) -> Result<Option<LoggedIn<'o>>, Denied> {
    let logged_in = authenticate(shard, address, offered).await?;
    if let Some(LoggedIn { account, .. }) = &logged_in {
        account.permits(address, unix_seconds())?;
    }
    Ok(logged_in)
}

/// The same for an account that may be over or bound to other networks: only the password counts.
///
/// # Errors
/// [`Denied::BadLogin`], [`Denied::Busy`] or [`Denied::Throttled`].
pub async fn authenticate<'o>(
    shard: &Rc<Shard>,
    address: IpAddr,
    offered: &'o [Credentials],
) -> Result<Option<LoggedIn<'o>>, Denied> {
    if shard.register().accounts.is_open() {
        return Ok(None);
    }
    admit_address(shard, address)?;
    for credentials in offered {
        if let Some(account) = account_of(shard, address, credentials).await? {
            return Ok(Some(LoggedIn {
                account,
                credentials,
            }));
        }
    }
    if !offered.is_empty() {
        note_bad_login(shard, address);
    }
    Err(Denied::BadLogin)
}

/// The time by which accounts are over.
///
/// Unit: seconds since 1970, UTC.
#[must_use]
pub fn unix_seconds() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs())
}

/// The account of these credentials, if they are right.
async fn account_of(
    shard: &Rc<Shard>,
    address: IpAddr,
    credentials: &Credentials,
) -> Result<Option<Arc<Account>>, Denied> {
    loop {
        let register = shard.register();
        let (hash, account) = match register.accounts.examine(credentials) {
            Examined::Open { hash, account } => (hash, account),
            Examined::Right(account) => return Ok(Some(account)),
            Examined::Wrong => return Ok(None),
        };
        drop(register);
        let has_account = account.is_some();
        let is_right = is_right(shard, address, credentials, hash, has_account).await?;
        // While the check was made, the account may have become another: then it was of no use.
        let register = shard.register();
        let known = register.accounts.of_user(&credentials.user);
        if known.map(Arc::as_ptr) == account.as_ref().map(Arc::as_ptr) {
            return Ok(account.filter(|_| is_right));
        }
    }
}

/// Checks a hash when its turn comes, unless the outcome is known by then. Without an account nothing is right, but the
/// check is made all the same.
async fn is_right(
    shard: &Rc<Shard>,
    address: IpAddr,
    credentials: &Credentials,
    hash: Hash,
    has_account: bool,
) -> Result<bool, Denied> {
    let logins = &shard.logins;
    let digest = {
        let outcomes = logins.outcomes.borrow();
        outcomes.digest(credentials, &hash, has_account)
    };
    let known = || {
        let outcomes = logins.outcomes.borrow();
        outcomes.recall(digest, shard.clock.now_us())
    };
    if let Some(is_right) = known() {
        return Ok(is_right);
    }
    let _waiting = Waiting::begin(&logins.waiting)?;
    // The semaphore is never closed; were it, nobody could be checked.
    let Ok(_turn) = logins.turn.acquire_permit(1).await else {
        return Err(Denied::Busy);
    };
    admit_address(shard, address)?;
    if let Some(is_right) = known() {
        return Ok(is_right);
    }
    let password = credentials.password.clone();
    let matches = glommio::executor()
        .spawn_blocking(move || check(&hash, &password))
        .await;
    let is_right = matches & has_account;
    let mut outcomes = logins.outcomes.borrow_mut();
    outcomes.remember(digest, is_right, shard.clock.now_us());
    Ok(is_right)
}

/// One check, on a thread that yields its CPU to those that serve viewers.
fn check(hash: &Hash, password: &Secret) -> bool {
    if let Err(error) = rustix::process::setpriority_process(None, NICE) {
        log::debug!("a check of a password could not be made to yield error=\"{error}\"");
    }
    hash.matches(password.expose())
}

/// A place among those that wait for their turn.
struct Waiting<'w>(&'w Cell<usize>);

impl<'w> Waiting<'w> {
    fn begin(waiting: &'w Cell<usize>) -> Result<Self, Denied> {
        if waiting.get() >= WAITING_MAX {
            return Err(Denied::Busy);
        }
        waiting.set(waiting.get() + 1);
        Ok(Self(waiting))
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.set(self.0.get().saturating_sub(1));
    }
}

fn admit_address(shard: &Shard, address: IpAddr) -> Result<(), Denied> {
    let throttle = shard.throttle.borrow();
    Ok(throttle.admit(address, shard.clock.now_us())?)
}

/// Notes a wrong login here and tells the other shards, so that guessing on several shards gains nothing.
fn note_bad_login(shard: &Rc<Shard>, address: IpAddr) {
    for other in 0..shard.shards {
        shard.send(other, Message::BadLogin { address });
    }
}

/// How many logins wait on a shard for their hash to be checked; the next is sent away.
const WAITING_MAX: usize = 64;

/// Priority of the thread that checks hashes: all others go first.
const NICE: i32 = 10;
