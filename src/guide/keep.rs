//! Looks at the guides of the configuration when it is time, and hands what was read to the shards.
//!
//! A task of shard 0 for each guide. How a look is made is `look.rs`. The rules: the last good guide is served until there is
//! another one, whatever becomes of a look; what is replaced is freed beside the shards; and a change of the configuration is
//! a new beginning that forgets no programme before it has others.

use std::cell::RefCell;
use std::fmt;
use std::panic::AssertUnwindSafe;
use std::rc::Rc;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use futures_lite::FutureExt;
use glommio::Task;

use super::cut::Cut;
use super::look::Lookout;
use super::read::Part;
use super::{Guide, Shelves};
use crate::account::login::unix_seconds;
use crate::config::{Config, Guide as Wanted};
use crate::log::Quoted;
use crate::metrics::GuideLook;
use crate::shard::Shard;
use crate::shard::feed::Message;
use crate::upstream::error::Chain;
use crate::upstream::pace::Pace;

/// Keeps the guides of the configuration, as it is and as it changes.
#[expect(clippy::infinite_loop, reason = "a task that ends with its shard")]
pub async fn run(shard: Rc<Shard>) {
    let mut desk = Rc::new(Desk::default());
    let mut tasks: Vec<Task<()>> = Vec::new();
    loop {
        let config = shard.config();
        let next = Desk::of(&config, &desk);
        if next.wanted != desk.wanted || next.cut != desk.cut {
            // No task may put anything on a desk that is gone.
            for task in tasks.drain(..) {
                task.cancel().await;
            }
            desk = Rc::new(next);
            let all = 0..desk.wanted.len();
            tasks.extend(all.map(|index| {
                glommio::spawn_local(contained(Rc::clone(&shard), Rc::clone(&desk), index))
            }));
        }
        // What is told of a channel beside its programmes may have changed, and that is a new guide too.
        free_beside(desk.publish(&shard));
        // Another may have come while tasks were cancelled.
        while Arc::ptr_eq(&config, &shard.config()) {
            shard.guide.reconfigured.next_event().await;
        }
    }
}

/// What is wanted, and what there is of it.
#[derive(Default)]
struct Desk {
    wanted: Vec<Wanted>,
    cut: Arc<Cut>,
    /// What was read of each guide.
    parts: RefCell<Vec<Shelves>>,
}

impl Desk {
    /// What a configuration wants, with what there is already from the same places.
    fn of(config: &Config, before: &Self) -> Self {
        let parts = before.parts.borrow();
        let part_of = |wanted: &Wanted| {
            let mut known = before.wanted.iter().zip(parts.iter());
            let known = known.find(|(before, _)| before.place == wanted.place);
            known.map(|(_, part)| part.clone()).unwrap_or_default()
        };
        Self {
            wanted: config.guides.clone(),
            cut: Arc::new(Cut::to(&config.channels)),
            parts: RefCell::new(config.guides.iter().map(part_of).collect()),
        }
    }

    /// Puts down what was read; the answer is what it replaces, or `None` if it is the same.
    fn put(&self, index: usize, shelves: Shelves) -> Option<Shelves> {
        let mut parts = self.parts.borrow_mut();
        let place = parts.get_mut(index)?;
        let is_same = place.len() == shelves.len()
            && shelves.iter().all(|(key, shelf)| {
                let before = place.get(key);
                before.is_some_and(|it| it.digest() == shelf.digest())
            });
        (!is_same).then(|| std::mem::replace(place, shelves))
    }

    /// Hands the guide, put together, to every shard; the answer is the one before.
    fn publish(&self, shard: &Rc<Shard>) -> Arc<Guide> {
        let before = shard.guide.current();
        // No two guides have one date.
        let since_s = unix_seconds().max(before.since_s() + 1);
        let guide = Guide::merge(self.parts.borrow().iter(), &self.cut, since_s);
        let programmes = guide.programmes() as u64;
        shard.counters.guide_programmes.set(programmes);
        let guide = Arc::new(guide);
        for other in 0..shard.shards {
            shard.send(other, Message::Guide(Arc::clone(&guide)));
        }
        before
    }
}

/// A fault of ours ends the care for one guide, and nothing else.
async fn contained(shard: Rc<Shard>, desk: Rc<Desk>, index: usize) {
    let care = AssertUnwindSafe(care(&shard, &desk, index));
    if care.catch_unwind().await.is_err() {
        log::error!(
            "a fault of ours ended the care for a guide guide={}",
            index + 1
        );
    }
}

/// Looks at one guide for ever.
async fn care(shard: &Rc<Shard>, desk: &Rc<Desk>, index: usize) {
    let Some(wanted) = desk.wanted.get(index).cloned() else {
        return;
    };
    let mut pace = Pace::new(wanted.refresh);
    let number = index + 1;
    let mut lookout = Lookout::new(wanted, number, &shard.config().server.state_dir);
    let name = Quoted(lookout.name());
    let is_new = desk
        .parts
        .borrow()
        .get(index)
        .is_some_and(Shelves::is_empty);
    if is_new {
        match lookout.recall(&desk.cut).await {
            Ok(None) => {}
            Ok(Some(part)) => {
                log::info!(
                    "guide as kept by the last process guide={number} from={name} {}",
                    Told::of(&part)
                );
                take(shard, desk, index, part);
            }
            Err(error) => {
                let why = Quoted(Chain(&error).to_string());
                log::warn!(
                    "guide as kept by the last process is of no use guide={number} from={name} why={why}"
                );
            }
        }
    }
    loop {
        let random = fastrand::f64();
        let mut replaced = None;
        let (looked, wait) = match lookout.look(shard, &desk.cut).await {
            Ok(None) => (GuideLook::Unchanged, pace.after_good(random)),
            Ok(Some(part)) => {
                let (told, left_out) = (Told::of(&part), part.left_out);
                replaced = take(shard, desk, index, part);
                let looked = match replaced {
                    None => GuideLook::Unchanged,
                    Some(_) => {
                        tell(number, &name, &told, left_out);
                        GuideLook::Ok
                    }
                };
                (looked, pace.after_good(random))
            }
            Err(error) => {
                let wait = pace.after_bad(random);
                let why = Quoted(Chain(&error).to_string());
                log::warn!(
                    "guide stays as it is guide={number} from={name} why={why} next_ms={}",
                    wait.as_millis()
                );
                (GuideLook::Failed, Some(wait))
            }
        };
        shard.counters.guide_looked(looked);
        let Some(wait) = wait else {
            return;
        };
        // Who still sends of what was replaced keeps it longer; then the last of those frees it.
        let sending = SENDING.min(wait);
        shard.clock.after(sending).await;
        if let Some(replaced) = replaced {
            free_beside(replaced);
        }
        shard.clock.after(wait.saturating_sub(sending)).await;
    }
}

/// Logs that a guide has been taken.
fn tell(number: usize, name: &Quoted<String>, told: &Told, left_out: u64) {
    log::info!("guide guide={number} from={name} {told}");
    if left_out > 0 {
        log::warn!(
            "guide has more programmes than bytes_max has room for guide={number} from={name} left_out={left_out}"
        );
    }
}

/// Serves what was read from now on; the answer is what it replaces, or `None` if it is the same.
fn take(shard: &Rc<Shard>, desk: &Desk, index: usize, part: Part) -> Option<(Shelves, Arc<Guide>)> {
    let replaced = desk.put(index, part.shelves)?;
    Some((replaced, desk.publish(shard)))
}

/// Freeing what is large takes milliseconds.
fn free_beside<T: Send + 'static>(replaced: T) {
    let thread = thread::Builder::new().name("free".into());
    if let Err(error) = thread.spawn(move || drop(replaced)) {
        log::debug!("a guide was freed on its shard error=\"{error}\"");
    }
}

/// What a log line says of a guide.
struct Told {
    channels: usize,
    kept: usize,
    programmes: u64,
    malformed: u64,
    bytes: u64,
}

impl Told {
    fn of(part: &Part) -> Self {
        Self {
            channels: part.shelves.len(),
            kept: part.shelves.values().map(|shelf| shelf.len()).sum(),
            programmes: part.programmes,
            malformed: part.malformed,
            bytes: part.bytes,
        }
    }
}

impl fmt::Display for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "channels={} programmes={} of={} malformed={} bytes={}",
            self.channels, self.kept, self.programmes, self.malformed, self.bytes
        )
    }
}

/// How long the guide before is kept for those who are being sent it.
const SENDING: Duration = Duration::from_secs(10);
