//! Another configuration while viewers watch: read again, compared, told to every shard.
//!
//! What a shard does with it is in `adopt`, what is different in `config::difference`. The rules: it is read and worked
//! out off the executors; one is read after the other, and what asks for it while one is read is not lost; a
//! configuration that is refused changes nothing; and shard 0 tells the others, so nothing is locked.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::future;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use futures_lite::AsyncReadExt;
use glommio::sync::Semaphore;
use thiserror::Error;

use crate::account::login;
use crate::channel::wakers::Wakers;
use crate::config::difference::{Difference, Exposed, Fixed};
use crate::config::{Config, ConfigErrors};
use crate::metrics::Reload;
use crate::playlist::stock::stock;
use crate::shard::feed::Message;
use crate::shard::register::Register;
use crate::shard::{Process, Shard, fd};

/// What shard 0 knows of changes of configuration.
pub struct Reloads {
    /// Held while a configuration is read.
    turn: Semaphore,
    /// The configuration that each shard has in use.
    versions: RefCell<BTreeMap<usize, u64>>,
    /// Signalled when a shard has taken one into use.
    confirmed: Wakers,
    last: Cell<SystemTime>,
}

impl Reloads {
    /// Of a process whose configuration is as old as itself.
    #[must_use]
    pub fn new(started: SystemTime) -> Self {
        Self {
            turn: Semaphore::new(1),
            versions: RefCell::default(),
            confirmed: Wakers::default(),
            last: Cell::new(started),
        }
    }

    /// When a configuration was last read and taken into use.
    #[must_use]
    pub fn last(&self) -> SystemTime {
        self.last.get()
    }

    /// Notes that a shard has a configuration in use.
    pub(super) fn confirm(&self, shard: usize, version: u64) {
        self.versions.borrow_mut().insert(shard, version);
        self.confirmed.wake_all();
    }

    fn is_confirmed(&self, shards: usize, version: u64) -> bool {
        let versions = self.versions.borrow();
        (0..shards).all(|shard| versions.get(&shard).is_some_and(|it| *it >= version))
    }
}

/// What came of a configuration that was read again.
#[derive(Clone, Debug)]
pub struct Summary {
    /// What is different from before.
    pub difference: Difference,
    /// What keeps its value until the process is started anew.
    pub fixed: Vec<Fixed>,
    /// From the order to the last shard.
    pub took: Duration,
}

/// Why a configuration was not taken into use.
#[derive(Debug, Error)]
pub enum Refused {
    /// It has errors.
    #[error(transparent)]
    Config(#[from] ConfigErrors),
    /// The process is about to end.
    #[error("corecast drains: its configuration is not read again")]
    Draining,
    /// With listeners that it cannot change it would let in whom it must not.
    #[error(transparent)]
    Exposed(#[from] Exposed),
}

impl Refused {
    /// Writes a line for each error to the log, up to [`ERRORS_LOGGED_MAX`].
    pub fn log(&self) {
        let text = self.to_string();
        let mut lines = text.lines();
        for line in lines.by_ref().take(ERRORS_LOGGED_MAX) {
            log::error!("configuration refused: {line}");
        }
        log::error!("configuration not changed errors={}", text.lines().count());
    }
}

/// Reads the configuration again from where it came, and replaces the one in use on every shard. Called on shard 0
/// alone; a second call waits for the first.
///
/// The log tells what has changed; a refusal is the caller's to tell ([`Refused::log`]).
///
/// Cancel safety: dropped before the configuration was read, nothing has changed; after it, every shard takes it.
///
/// # Errors
/// [`Refused`]: nothing has changed.
pub async fn reload(shard: &Rc<Shard>) -> Result<Summary, Refused> {
    // The semaphore is never closed; were it, the process would be ending.
    let Ok(_turn) = shard.reloads.turn.acquire_permit(1).await else {
        return Err(Refused::Draining);
    };
    let process = &shard.process;
    process.supervisor.reloading();
    let reloaded = replace(shard).await;
    process.supervisor.ready(&process.status());
    shard.counters.reloaded(match reloaded {
        Ok(_) => Reload::Ok,
        Err(_) => Reload::Refused,
    });
    if let Ok(summary) = &reloaded {
        shard.reloads.last.set(SystemTime::now());
        summary.log();
    }
    reloaded
}

/// Reloads for each byte that comes; those that came while one was under way are answered by one more.
#[expect(clippy::infinite_loop, reason = "a task that ends with its shard")]
pub(super) async fn on_hangups(shard: Rc<Shard>, hangups: OwnedFd) {
    let mut hangups = fd::pair_end(hangups);
    let mut bytes = [0; 64];
    loop {
        if !matches!(hangups.read(&mut bytes).await, Ok(1..)) {
            log::error!("requests to reload cannot be heard any more");
            future::pending::<()>().await;
        }
        if let Err(refused) = reload(&shard).await {
            refused.log();
        }
    }
}

/// Replaces the configuration in use on every shard by one that was not read from the file. Called on shard 0 alone.
///
/// Those keys that cannot change while the process runs must be as they are in use: see [`Config::keep_fixed`].
pub fn apply(shard: &Rc<Shard>, config: Arc<Config>) {
    let register = shard.register().followed_by(config);
    tell(shard, &Arc::new(register));
}

/// A configuration that was read, and what is to be said of it.
struct Read {
    register: Register,
    difference: Difference,
    fixed: Vec<Fixed>,
}

impl Read {
    /// Reads a configuration that takes the place of `in_use`. Blocks.
    fn again(process: &Process, in_use: &Register) -> Result<Self, Refused> {
        let (mut config, _) = Config::load(&process.inputs)?;
        // What was inherited takes the place of what is configured, as at the start.
        if process.inherits_viewers {
            config
                .server
                .listen
                .clone_from(&in_use.config.server.listen);
        }
        if process.inherits_admin {
            config.admin.listen = in_use.config.admin.listen;
        }
        let fixed = config.keep_fixed(&in_use.config);
        config.admit_kept()?;
        let config = stock(config, &in_use.config.lists, login::unix_seconds());
        Ok(Self {
            difference: Difference::between(&in_use.config, &config),
            register: in_use.followed_by(Arc::new(config)),
            fixed,
        })
    }
}

async fn replace(shard: &Rc<Shard>) -> Result<Summary, Refused> {
    let begun_us = shard.clock.now_us();
    loop {
        if shard.drain.has_begun() {
            return Err(Refused::Draining);
        }
        let (process, before) = (Arc::clone(&shard.process), shard.register());
        let in_use = Arc::clone(&before);
        let read = glommio::executor()
            .spawn_blocking(move || Read::again(&process, &in_use))
            .await?;
        if shard.register().version != before.version {
            continue;
        }
        let version = read.register.version;
        tell(shard, &Arc::new(read.register));
        confirm(shard, version).await;
        // With thousands of channels it takes a moment to free them.
        glommio::executor()
            .spawn_blocking(move || drop(before))
            .await;
        return Ok(Summary {
            difference: read.difference,
            fixed: read.fixed,
            took: Duration::from_micros(shard.clock.now_us() - begun_us),
        });
    }
}

/// Waits until every shard has the configuration in use, but not for one that does not answer.
async fn confirm(shard: &Rc<Shard>, version: u64) {
    let reloads = &shard.reloads;
    let all = async {
        while !reloads.is_confirmed(shard.shards, version) {
            reloads.confirmed.next_event().await;
        }
    };
    if shard.clock.limit(CONFIRM_MAX, all).await.is_none() {
        log::warn!(
            "not every shard has confirmed the configuration waited_ms={}",
            CONFIRM_MAX.as_millis()
        );
    }
}

/// Gives all shards the configuration, this one last.
fn tell(shard: &Rc<Shard>, register: &Arc<Register>) {
    for other in (0..shard.shards).rev() {
        shard.send(other, Message::Configure(Arc::clone(register)));
    }
}

impl Summary {
    fn log(&self) {
        let Difference { channels, accounts } = &self.difference;
        log::info!(
            "configuration reloaded channels_added={} channels_removed={} channels_changed={} accounts_added={} \
             accounts_removed={} accounts_changed={} took_ms={}",
            channels.added.len(),
            channels.removed.len(),
            channels.changed.len(),
            accounts.added.len(),
            accounts.removed.len(),
            accounts.changed.len(),
            self.took.as_millis(),
        );
        let fixed = self.fixed.iter();
        let fixed: Vec<_> = fixed
            .map(|it| format!("{} stays {}, not {}", it.key, it.in_use, it.wanted))
            .collect();
        if !fixed.is_empty() {
            log::warn!("unchanged until a restart: {}", fixed.join("; "));
        }
    }
}

/// How many errors of a configuration the log tells.
pub const ERRORS_LOGGED_MAX: usize = 50;

/// How long a shard has for taking a configuration into use before the rest is not waited for.
const CONFIRM_MAX: Duration = Duration::from_secs(5);
