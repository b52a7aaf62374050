//! How a shard answers what the operator's desk asks it.
//!
//! The questions are in `ask`. The rule: what takes long is done in pieces by a task of its own, and viewers run between
//! any two pieces.

use std::rc::Rc;

use crate::admin::ask::{Question, Told};
use crate::admin::channels::source;
use crate::admin::snapshot::{Counts, Fetched, Flow, Followed, Snapshot};
use crate::admin::viewers::{Figures, Page, Place, Row, Rows, ViewerId, Wanted};
use crate::channel::home::Home;
use crate::clock::micros;
use crate::metrics::ChannelCounters;
use crate::shard::feed::Message;
use crate::shard::{Shard, fd};
use crate::viewer::roster::Entry;

/// Answers a question of shard `from`.
pub fn answer(shard: &Rc<Shard>, from: usize, request: u64, question: Question) {
    let is_done = match question {
        Question::Close { number } => {
            let entry = shard.roster.entry(number);
            entry.map(|entry| entry.close()).is_some()
        }
        Question::Drain => {
            shard.drain.ask();
            true
        }
        Question::Restart { channel } => {
            let home = shard.table.homes.serving(channel);
            home.map(|home| home.restart()).is_some()
        }
        Question::Snapshot => {
            let here = Rc::clone(shard);
            return shard.spawn("snapshot", async move {
                let told = Told::Snapshot(snapshot(&here).await);
                tell(&here, from, request, told);
            });
        }
        Question::Viewers(wanted) => {
            let here = Rc::clone(shard);
            return shard.spawn("listing", async move {
                let told = Told::Viewers(rows(&here, &wanted).await);
                tell(&here, from, request, told);
            });
        }
    };
    tell(shard, from, request, Told::Done(is_done));
}

fn tell(shard: &Rc<Shard>, to: usize, request: u64, told: Told) {
    let told = Box::new(told);
    shard.send(to, Message::Told { request, told });
}

/// How the shard stands.
async fn snapshot(shard: &Rc<Shard>) -> Snapshot {
    let mut counts = Vec::new();
    let (mut viewers, mut last) = (0, None);
    loop {
        let piece = shard.counters.channels_behind(last, PIECE);
        let now_us = shard.clock.now_us();
        for (label, counters) in &piece {
            last = Some(*label);
            viewers += counters.viewers.value();
            let counted = counted(counters, now_us);
            if counted != Counts::default() {
                counts.push((*label, counted));
            }
        }
        if piece.len() < PIECE {
            break;
        }
        give_way().await;
    }
    let (now_us, busy_us) = (shard.clock.now_us(), shard.busy_us());
    let recent = &shard.counters.recent;
    recent.note(busy_us, now_us);
    let homes = &shard.table.homes;
    Snapshot {
        viewers,
        waiting: (shard.viewers.get() as u64).saturating_sub(viewers),
        busy_millionths: recent.busy_millionths(busy_us, now_us),
        delays_us: [recent.delay_us(500), recent.delay_us(990)],
        engine_sessions: shard.counters.engine_sessions.value(),
        counts,
        relays: followed(shard),
        homes: homes.all().iter().map(|it| fetched(shard, it)).collect(),
        errors: homes.errors(),
    }
}

fn counted(counters: &ChannelCounters, now_us: u64) -> Counts {
    let (received, sent) = (
        counters.upstream_received_bytes.value(),
        counters.sent_bytes.value(),
    );
    Counts {
        received: Flow {
            bytes: received,
            bytes_per_second: counters.received_rate.per_second(received, now_us),
        },
        sent: Flow {
            bytes: sent,
            bytes_per_second: counters.sent_rate.per_second(sent, now_us),
        },
        continuity_errors: counters.continuity_errors.value(),
        continuity_errors_out: counters.continuity_errors_out.value(),
        resyncs: counters.resyncs.value(),
        stalls: counters.upstream_stalls.value(),
        switches: counters.upstream_switches.value(),
        skips: counters.skips.value(),
    }
}

fn followed(shard: &Shard) -> Vec<Followed> {
    let relays = shard.table.relays();
    let followed = relays.iter().map(|relay| Followed {
        id: relay.id,
        viewers: relay.viewers() as u64,
        ring_bytes: relay.ring().bytes() as u64,
    });
    followed.collect()
}

fn fetched(shard: &Shard, home: &Home) -> Fetched {
    let aliases = shard.table.homes.aliases_of(home.id);
    let media = home.media();
    let place = media.upstream.unwrap_or(1).saturating_sub(1);
    let (limits, upstreams) = (home.terms.limits(), home.terms.upstreams());
    let upstream = upstreams.get(place);
    let ring_max = (micros(limits.ring), limits.ring_bytes_max as u64);
    Fetched {
        id: home.id,
        aliases: aliases.iter().map(|alias| alias.id).collect(),
        name: (&*home.terms.name()).into(),
        phase: home.phase(),
        since_us: home.since_us(),
        upstreams: upstreams.len(),
        source: upstream.map(source).unwrap_or_default().into(),
        media,
        ring_max,
    }
}

/// The viewers of the shard that fit.
async fn rows(shard: &Rc<Shard>, wanted: &Wanted) -> Rows {
    let mut page = Page::new(wanted);
    let (mut total, mut from) = (0, 0);
    loop {
        let piece = shard.roster.since(from, PIECE);
        let now_us = shard.clock.now_us();
        for entry in piece.iter().filter(|entry| fits(entry, wanted)) {
            total += 1;
            let figures = figures(entry, now_us);
            let place = Place::of(wanted.sort, id(shard, entry), &figures);
            page.offer(place, (Rc::clone(entry), figures));
        }
        let Some(last) = piece.last().filter(|_| piece.len() == PIECE) else {
            break;
        };
        from = last.number + 1;
        give_way().await;
    }
    let mut rows = Vec::new();
    for piece in page.with_next().chunks(ROWS_PIECE) {
        let asked = piece.iter();
        rows.extend(asked.map(|(entry, figures)| row(shard, entry, *figures)));
        give_way().await;
    }
    Rows { total, rows }
}

fn fits(entry: &Entry, wanted: &Wanted) -> bool {
    let is_of_channel = wanted.channel.is_none_or(|id| id == entry.relay.id);
    is_of_channel && (wanted.search.is_none() || is_found(entry, wanted))
}

fn is_found(entry: &Entry, wanted: &Wanted) -> bool {
    let caller = &entry.caller;
    let address = caller.address.to_canonical().to_string();
    let account = caller.account.as_ref().map(|account| &*account.user);
    let texts = [Some(&*address), account, caller.user_agent.as_deref()];
    wanted.finds(texts.into_iter().flatten())
}

fn id(shard: &Shard, entry: &Entry) -> ViewerId {
    ViewerId {
        shard: shard.index,
        number: entry.number,
    }
}

fn figures(entry: &Entry, now_us: u64) -> Figures {
    let (skips, skipped_bytes) = entry.skipped();
    Figures {
        started_us: entry.caller.asked_us,
        sent_bytes: entry.sent_bytes(),
        bytes_per_second: entry.bytes_per_second(now_us),
        behind_us: entry.behind_us(),
        skips,
        skipped_bytes,
    }
}

fn row(shard: &Shard, entry: &Entry, figures: Figures) -> Row {
    let caller = &entry.caller;
    let account = caller.account.as_ref();
    // One that left meanwhile has closed its socket, and the number may be another's by now.
    let is_there = shard.roster.entry(entry.number).is_some();
    Row {
        id: id(shard, entry),
        address: caller.address,
        account: account.map(|account| account.user.as_str().into()),
        user_agent: caller.user_agent.clone(),
        channel: entry.relay.id,
        figures,
        tcp: is_there.then(|| fd::tcp(entry.socket)).flatten(),
    }
}

/// Lets everything else run that is due, arrivals from the network included.
async fn give_way() {
    glommio::executor().yield_task_queue_now().await;
}

/// How many viewers or labels are looked at in one piece: some 50 us.
const PIECE: usize = 256;

/// How many rows are written in one piece, each with a question to the kernel.
const ROWS_PIECE: usize = 64;
