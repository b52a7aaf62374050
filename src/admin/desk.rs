//! Asking the shards on the operator's behalf; lives on shard 0.
//!
//! What is asked is in `ask`, what becomes of the answers in `status`, `channels` and `viewers`. The rules: a picture of all
//! shards is at most 100 ms old and made once for all who want one; a shard that does not answer in 250 ms is shown as it
//! was and marked.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use crate::admin::ask::{Question, Told};
use crate::admin::channels::Index;
use crate::admin::events::Events;
use crate::admin::live::Live;
use crate::admin::snapshot::{Known, Picture};
use crate::channel::wakers::Wakers;
use crate::clock::micros;
use crate::config::Config;
use crate::shard::Shard;
use crate::shard::feed::Message;

/// Questions that are open, and what is kept of answers.
#[derive(Default)]
pub struct Desk {
    /// What happened.
    pub events: RefCell<Events>,
    /// Pages that are told each second.
    pub live: Live,
    last_request: Cell<u64>,
    open: RefCell<BTreeMap<u64, Vec<Option<Told>>>>,
    /// Signalled with each answer.
    arrived: Wakers,
    latest: RefCell<Rc<Picture>>,
    is_asking: Cell<bool>,
    /// Signalled with each new picture.
    pictured: Wakers,
    index: RefCell<Option<Rc<Index>>>,
}

impl Desk {
    /// Takes a shard's answer; one that nobody waits for any more is thrown away.
    pub fn take(&self, from: usize, request: u64, told: Told) {
        let mut open = self.open.borrow_mut();
        let place = open.get_mut(&request).and_then(|it| it.get_mut(from));
        if let Some(place) = place {
            *place = Some(told);
        }
        drop(open);
        self.arrived.wake_all();
    }

    /// The channels of a configuration by id.
    #[must_use]
    pub fn index(&self, config: &Arc<Config>) -> Rc<Index> {
        let mut held = self.index.borrow_mut();
        match held.as_ref() {
            Some(index) if Arc::ptr_eq(&index.config, config) => Rc::clone(index),
            _ => Rc::clone(held.insert(Rc::new(Index::new(Arc::clone(config))))),
        }
    }

    fn is_answered(&self, request: u64, asked: &[usize]) -> bool {
        let open = self.open.borrow();
        let Some(answers) = open.get(&request) else {
            return true;
        };
        let mut asked = asked.iter();
        asked.all(|shard| answers.get(*shard).is_some_and(Option::is_some))
    }

    fn is_fresh(&self, now_us: u64) -> bool {
        let latest = self.latest.borrow();
        !latest.shards.is_empty() && now_us < latest.asked_us + micros(FRESH)
    }
}

/// Asks shards, and waits for their answers as long as is reasonable: one place for each shard of the process, empty
/// where it was not asked or did not answer.
pub async fn ask(shard: &Rc<Shard>, asked: &[usize], question: &Question) -> Vec<Option<Told>> {
    let desk = &shard.desk;
    let request = desk.last_request.get() + 1;
    desk.last_request.set(request);
    let places = (0..shard.shards).map(|_| None).collect();
    desk.open.borrow_mut().insert(request, places);
    let open = Open { shard, request };
    for other in asked {
        let question = Box::new(question.clone());
        shard.send(*other, Message::Ask { request, question });
    }
    let answered = async {
        while !desk.is_answered(request, asked) {
            desk.arrived.next_event().await;
        }
    };
    shard.clock.limit(PATIENCE, answered).await;
    open.answers()
}

/// Has one shard carry out an order; `None` if it did not answer in time.
pub async fn order(shard: &Rc<Shard>, to: usize, question: &Question) -> Option<bool> {
    let answers = ask(shard, &[to], question).await;
    answers.into_iter().flatten().find_map(|told| match told {
        Told::Done(is_done) => Some(is_done),
        Told::Snapshot(_) | Told::Viewers(_) => None,
    })
}

/// How all shards stand.
pub async fn picture(shard: &Rc<Shard>) -> Rc<Picture> {
    let desk = &shard.desk;
    if !desk.is_fresh(shard.clock.now_us()) {
        match Asking::begin(desk) {
            Some(asking) => {
                let picture = Rc::new(take_picture(shard).await);
                desk.latest.replace(picture);
                drop(asking);
            }
            // Somebody asks already, and what comes is as new as one's own would be.
            None => {
                let pictured = desk.pictured.next_event();
                shard.clock.limit(PATIENCE * 2, pictured).await;
            }
        }
    }
    Rc::clone(&desk.latest.borrow())
}

async fn take_picture(shard: &Rc<Shard>) -> Picture {
    let asked_us = shard.clock.now_us();
    let everybody: Vec<usize> = (0..shard.shards).collect();
    let answers = ask(shard, &everybody, &Question::Snapshot).await;
    let before = Rc::clone(&shard.desk.latest.borrow());
    let known = answers.into_iter().enumerate().map(|(index, told)| {
        let new = match told {
            Some(Told::Snapshot(snapshot)) => Some(Arc::new(snapshot)),
            _ => None,
        };
        let old = || before.shards.get(index)?.snapshot.clone();
        Known {
            is_stale: new.is_none(),
            snapshot: new.or_else(old),
        }
    });
    Picture::of(asked_us, known.collect())
}

/// A question that is open until this is dropped.
struct Open<'s> {
    shard: &'s Shard,
    request: u64,
}

impl Open<'_> {
    fn answers(&self) -> Vec<Option<Told>> {
        let mut open = self.shard.desk.open.borrow_mut();
        open.remove(&self.request).unwrap_or_default()
    }
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.shard.desk.open.borrow_mut().remove(&self.request);
    }
}

/// The right to ask for a picture, which one at a time has.
struct Asking<'d>(&'d Desk);

impl<'d> Asking<'d> {
    fn begin(desk: &'d Desk) -> Option<Self> {
        (!desk.is_asking.replace(true)).then_some(Self(desk))
    }
}

impl Drop for Asking<'_> {
    fn drop(&mut self) {
        self.0.is_asking.set(false);
        self.0.pictured.wake_all();
    }
}

/// How old a picture may be to be used again.
const FRESH: Duration = Duration::from_millis(100);

/// How long the slowest shard is waited for.
const PATIENCE: Duration = Duration::from_millis(250);
