//! Looking for newer lists for as long as corecast runs; shard 0 does.
//!
//! How a document is fetched is in `upstream/document.rs`, what is made of it in `stock.rs`. The rules: a list that is
//! refused changes nothing; a configuration that was changed meanwhile is not undone, the list is added to the newer one;
//! and what takes long is done aside.

use std::cell::Cell;
use std::collections::HashMap;
use std::io;
use std::panic::AssertUnwindSafe;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use futures_lite::FutureExt;
use glommio::Task;
use log::Level;
use thiserror::Error;

use super::list::List;
use super::m3u::NotAList;
use super::numbers::Numbers;
use super::stock::restock;
use super::{Seen, document, numbers_file};
use crate::account::login::unix_seconds;
use crate::channel::wakers::Wakers;
use crate::config::{Config, Playlist};
use crate::metrics::Refresh;
use crate::shard::aside::aside;
use crate::shard::permits::Permits;
use crate::shard::{Shard, reload};
use crate::upstream::document::{Document, DocumentError, Found, Place};
use crate::upstream::error::Chain;
use crate::upstream::kept;
use crate::upstream::pace::Pace;

/// Keeps every list of the configuration in use, whichever that is.
#[expect(clippy::infinite_loop, reason = "a task that ends with its shard")]
pub async fn run(shard: Rc<Shard>) {
    let mut keepers: HashMap<String, Keeper> = HashMap::new();
    let mut base = None;
    loop {
        let config = shard.config();
        let listed = config.channels.iter().filter(|it| it.playlist.is_some());
        shard.counters.playlist_channels.set(listed.count() as u64);
        let is_reloaded =
            base.as_ref().map(Arc::as_ptr) != config.lists.base.as_ref().map(Arc::as_ptr);
        base.clone_from(&config.lists.base);
        keepers.retain(|_, keeper| keeper.is_of(&config));
        for settings in config.playlists.iter().filter(|_| is_reloaded) {
            match keepers.get(&settings.name) {
                Some(keeper) => keeper.asked.ask(),
                None => {
                    let keeper = Keeper::new(&shard, settings);
                    keepers.insert(settings.name.clone(), keeper);
                }
            }
        }
        drop(config);
        shard.configured.next_event().await;
    }
}

/// One list's task; it ends when this is dropped.
struct Keeper {
    settings: Playlist,
    state_dir: PathBuf,
    asked: Rc<Asked>,
    _task: Task<()>,
}

impl Keeper {
    fn new(shard: &Rc<Shard>, settings: &Playlist) -> Self {
        let asked = Rc::<Asked>::default();
        let list = Watch {
            shard: Rc::clone(shard),
            settings: settings.clone(),
            asked: Rc::clone(&asked),
            threads: Permits::new(1),
            written: None,
            told: None,
        };
        let name = settings.name.clone();
        let task = glommio::spawn_local(async move {
            if AssertUnwindSafe(list.keep()).catch_unwind().await.is_err() {
                log::error!("a fault of ours ended a task task=playlist playlist={name}");
            }
        });
        Self {
            settings: settings.clone(),
            state_dir: shard.config().server.state_dir.clone(),
            asked,
            _task: task,
        }
    }

    /// Whether a configuration still has the list as it is kept.
    fn is_of(&self, config: &Config) -> bool {
        self.state_dir == config.server.state_dir && config.playlists.contains(&self.settings)
    }
}

/// Whether the operator wants a list looked at.
#[derive(Default)]
struct Asked {
    is_asked: Cell<bool>,
    signal: Wakers,
}

impl Asked {
    fn ask(&self) {
        self.is_asked.set(true);
        self.signal.wake_all();
    }

    /// Waits until it is asked, or finds that it was.
    async fn taken(&self) {
        while !self.is_asked.take() {
            self.signal.next_event().await;
        }
    }
}

/// A list that is looked at again and again.
struct Watch {
    shard: Rc<Shard>,
    settings: Playlist,
    asked: Rc<Asked>,
    threads: Arc<Permits>,
    /// The numbers as they were written last.
    written: Option<Arc<Numbers>>,
    /// The failure that the log told last.
    told: Option<String>,
}

/// Why a list is not taken into use.
#[derive(Debug, Error)]
enum Refused {
    /// It could not be had.
    #[error(transparent)]
    Document(#[from] DocumentError),
    /// It is no list.
    #[error(transparent)]
    NotAList(#[from] NotAList),
    /// So much is gone that it is more likely a fault: see [`SHRUNK`].
    #[error(
        "it has {entries} entries, the last one had {before}: it is believed when it is reloaded (SIGHUP)"
    )]
    Shrunk {
        /// Entries in it.
        entries: usize,
        /// Entries in the one before.
        before: usize,
    },
    /// No thread to read in.
    #[error("a thread to read in was refused")]
    Thread(#[source] io::Error),
}

impl Watch {
    #[expect(clippy::infinite_loop, reason = "a task that ends with its keeper")]
    async fn keep(mut self) {
        let mut document = self.open().await;
        let mut pace = Pace::new(self.settings.refresh);
        let mut is_asked = false;
        loop {
            self.write_numbers().await;
            let looked = self.look(&mut document, is_asked).await;
            let (result, wait) = match looked {
                Ok(is_new) => {
                    self.told = None;
                    let result = if is_new {
                        Refresh::Changed
                    } else {
                        Refresh::Unchanged
                    };
                    (result, pace.after_good(fastrand::f64()))
                }
                Err(error) => {
                    let wait = pace.after_bad(fastrand::f64());
                    self.note_refused(&error, wait);
                    (error.counted(), Some(wait))
                }
            };
            self.shard.counters.playlist_refreshed(result);
            self.write_numbers().await;
            let asked = async {
                self.asked.taken().await;
                true
            };
            let due = async {
                match wait {
                    Some(wait) => self.shard.clock.after(wait).await,
                    None => std::future::pending().await,
                }
                false
            };
            is_asked = asked.or(due).await;
        }
    }

    /// The document, with what is known of the copy that is in use already.
    async fn open(&self) -> Document {
        let config = self.shard.config();
        let fresh = || document(&self.settings, &config.server);
        let mut known = fresh();
        let permit = self.threads.take();
        let (false, Some(permit)) = (config.lists.is_missing(&self.settings.name), permit) else {
            return known;
        };
        let recalled = aside("recall", permit, move || {
            let recalled = known.recall();
            (known, recalled)
        });
        match recalled.await {
            Ok((known, Ok(_))) => known,
            // Whoever read it before has told; then it is fetched as if it were new.
            Ok((_, Err(_))) | Err(_) => fresh(),
        }
    }

    /// Looks whether there is another list, and takes it into use.
    async fn look(&self, document: &mut Document, is_asked: bool) -> Result<bool, Refused> {
        let shard = &self.shard;
        let Some(found) = document.look(&shard.connector, &shard.clock).await? else {
            return Ok(false);
        };
        let seen = self.read(&found).await?;
        let entries = seen.list.entries;
        let before = shard.config().lists.entries(&self.settings.name);
        if let (Some(before), false, Place::Url { .. }) = (before, is_asked, &self.settings.place)
            && entries.saturating_mul(SHRUNK) < before
        {
            return Err(Refused::Shrunk { entries, before });
        }
        let list = Arc::clone(&seen.list);
        self.take_into_use(seen).await?;
        log::info!(
            "playlist read playlist={} entries={entries} channels={} skipped={}",
            self.settings.name,
            list.channels.len(),
            list.skips(),
        );
        if let Err(error) = document.accept(found).await {
            log::warn!(
                "playlist is not kept: a start while its place is down is without it playlist={} error=\"{}\": \
                 make server.state_dir a folder that corecast may write to",
                self.settings.name,
                Chain(&error)
            );
        }
        Ok(true)
    }

    async fn read(&self, found: &Found) -> Result<Seen, Refused> {
        let (bytes, settings) = (found.bytes.clone(), self.settings.clone());
        let permit = self.threads.take().ok_or(DocumentError::Busy)?;
        let read = aside("playlist", permit, move || {
            let list = Arc::new(List::read(&bytes, &settings)?);
            Ok(Seen { bytes, list })
        });
        read.await.map_err(Refused::Thread)?
    }

    async fn take_into_use(&self, seen: Seen) -> Result<(), Refused> {
        loop {
            let before = self.shard.register();
            let (lists, settings) = (Arc::clone(&before.config.lists), self.settings.clone());
            let (seen, now_s) = (seen.clone(), unix_seconds());
            let permit = self.threads.take().ok_or(DocumentError::Busy)?;
            let restocked = aside("playlist", permit, move || {
                restock(&lists, &settings, seen, now_s)
            });
            let config: Option<Config> = restocked.await.map_err(Refused::Thread)?;
            // Another configuration came into use meanwhile: this one would undo it.
            if self.shard.register().version == before.version {
                if let Some(config) = config {
                    reload::apply(&self.shard, Arc::new(config));
                }
                return Ok(());
            }
        }
    }

    /// Keeps the numbers of the list if they are others than those kept last.
    async fn write_numbers(&mut self) {
        let config = self.shard.config();
        let Some(numbers) = config.lists.numbers(&self.settings.name) else {
            return;
        };
        let is_written = self
            .written
            .as_ref()
            .is_some_and(|it| Arc::ptr_eq(it, numbers));
        let (false, Some(permit)) = (is_written || numbers.is_empty(), self.threads.take()) else {
            return;
        };
        self.written = Some(Arc::clone(numbers));
        let (numbers, file) = (
            Arc::clone(numbers),
            numbers_file(&self.settings, &config.server),
        );
        let written = aside("numbers", permit, move || {
            let json = numbers.to_json()?;
            kept::replace(&file, &[&json])
        });
        if let Err(error) = written.await.and_then(|it| it) {
            log::warn!(
                "numbers of a playlist are not kept: after a restart its channels may have others playlist={} \
                 error=\"{error}\": make server.state_dir a folder that corecast may write to",
                self.settings.name
            );
        }
    }

    /// Tells a failure, once for as long as it stays the same.
    fn note_refused(&mut self, error: &Refused, wait: Duration) {
        let text = Chain(error).to_string();
        let level = match self.told.as_ref() == Some(&text) {
            true => Level::Debug,
            false => Level::Warn,
        };
        let in_use = self.shard.config().lists.entries(&self.settings.name);
        log::log!(
            level,
            "playlist not refreshed playlist={} error=\"{text}\" entries_in_use={} next_ms={}",
            self.settings.name,
            in_use.unwrap_or(0),
            wait.as_millis(),
        );
        self.told = Some(text);
    }
}

impl Refused {
    fn counted(&self) -> Refresh {
        match self {
            Self::Document(_) | Self::Thread(_) => Refresh::Failed,
            Self::NotAList(_) | Self::Shrunk { .. } => Refresh::Refused,
        }
    }
}

/// A fetched list with less than this part of the entries of the last one is not believed.
const SHRUNK: usize = 20;
