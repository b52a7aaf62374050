//! Asking every shard for what it has counted.
//!
//! Answers are at most 100 ms old; a shard that does not answer within 250 ms is shown with its last one and marked.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use crate::channel::wakers::Wakers;
use crate::clock::micros;
use crate::metrics::{Labels, Sample, families};
use crate::shard::Shard;
use crate::shard::feed::Message;

/// What other shards have answered.
#[derive(Default)]
pub struct Scrapes {
    request: Cell<u64>,
    asked_us: Cell<Option<u64>>,
    answers: RefCell<BTreeMap<usize, Answer>>,
    arrived: Wakers,
}

struct Answer {
    request: u64,
    samples: Vec<Sample>,
}

impl Scrapes {
    /// Takes a shard's answer.
    pub fn answered(&self, shard: usize, request: u64, samples: Vec<Sample>) {
        self.answers
            .borrow_mut()
            .insert(shard, Answer { request, samples });
        self.arrived.wake_all();
    }

    fn is_answered_by(&self, shard: usize) -> bool {
        let answers = self.answers.borrow();
        answers
            .get(&shard)
            .is_some_and(|answer| answer.request == self.request.get())
    }
}

/// Everything that all shards have counted, with a sample per shard that says whether it is stale.
pub async fn collect(shard: &Rc<Shard>) -> Vec<Sample> {
    let scrapes = &shard.scrapes;
    let now_us = shard.clock.now_us();
    let is_fresh = scrapes
        .asked_us
        .get()
        .is_some_and(|asked_us| now_us < asked_us + micros(FRESH));
    if !is_fresh {
        scrapes.asked_us.set(Some(now_us));
        let request = scrapes.request.get() + 1;
        scrapes.request.set(request);
        for other in 0..shard.shards {
            shard.send(other, Message::Scrape { request });
        }
    }
    let all_answered = async {
        while !(0..shard.shards).all(|other| scrapes.is_answered_by(other)) {
            scrapes.arrived.next_event().await;
        }
    };
    shard.clock.limit(PATIENCE, all_answered).await;
    let mut samples = Vec::new();
    for other in 0..shard.shards {
        let labels = Labels {
            shard: Some(other),
            ..Labels::default()
        };
        let is_stale = u64::from(!scrapes.is_answered_by(other));
        samples.push(Sample::count(&families::SHARD_STALE, labels, is_stale));
    }
    for answer in scrapes.answers.borrow().values() {
        samples.extend(answer.samples.iter().cloned());
    }
    samples
}

/// How old an answer may be to be used again.
const FRESH: Duration = Duration::from_millis(100);

/// How long the slowest shard is waited for.
const PATIENCE: Duration = Duration::from_millis(250);
