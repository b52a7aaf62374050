//! What each path of the API is answered.
//!
//! Who may ask is decided in `gate`, what stands in an answer in `status`, `channels`, `viewers` and `events`. The rule: a
//! list is written in pieces, and viewers run between any two of them.

use std::rc::Rc;
use std::time::{Duration, SystemTime};

use serde::Serialize;

use crate::admin::ask::{Question, Told};
use crate::admin::channels::{Channels, Id, Index};
use crate::admin::desk;
use crate::admin::events::{Events, Kind, Occurrence};
use crate::admin::live::Seat;
use crate::admin::page::snapshot::Seen;
use crate::admin::route::{ApiPath, CHANNELS_MAX, Query};
use crate::admin::snapshot::Picture;
use crate::admin::status::{Calendar, Process, Status};
use crate::admin::tell;
use crate::admin::viewers::{Page, Place, Viewer, ViewerId, Wanted};
use crate::channel::id::ChannelId;
use crate::http::request::Request;
use crate::http::response::{Answer, JSON, Refusal, Status as HttpStatus};
use crate::log;
use crate::shard::{self, Shard};

/// How a request is answered.
pub enum Reply {
    /// With the methods of the path.
    Allowed(&'static str),
    /// Done, and there is nothing to say.
    Empty,
    /// With a channel's media.
    Preview(ChannelId),
    /// With a snapshot each second, beginning with the events after a number.
    Stream(Seat, Option<u64>),
    /// With a body.
    Whole(Answer),
}

/// Answers a path of the API, by a method that it has.
///
/// # Errors
/// [`Refusal`] that says what is wrong; nothing was done then.
pub async fn answer(shard: &Rc<Shard>, request: &Request, path: ApiPath) -> Result<Reply, Refusal> {
    let query = Query::new(request.query.as_deref());
    let body = match path {
        ApiPath::Channel(id) => channel(shard, id.ok_or(Refusal::UnknownChannel)?).await?,
        ApiPath::Channels => channels(shard, &query).await?,
        ApiPath::Drain => return Ok(drain(shard)),
        ApiPath::Events => events(shard, &query)?,
        ApiPath::Live => {
            let after = query.after()?;
            return Ok(Reply::Stream(Seat::take(shard)?, after));
        }
        ApiPath::Log => log_tail(shard, &query).await?,
        ApiPath::OpenApi => OPENAPI.as_bytes().to_vec(),
        ApiPath::Reload => return Ok(reload(shard).await),
        ApiPath::Restart(id) => {
            return restart(shard, id.ok_or(Refusal::UnknownChannel)?).await;
        }
        ApiPath::Status => json(&status(shard, &*desk::picture(shard).await)),
        ApiPath::Viewer(id) => return close(shard, id.ok_or(Refusal::UnknownViewer)?).await,
        ApiPath::Viewers => viewers(shard, &query.viewers()?).await,
    };
    Ok(Reply::Whole(whole(HttpStatus::OK, body)))
}

/// What a page is told each second, as an object of JSON.
pub async fn snapshot_json(shard: &Rc<Shard>) -> Vec<u8> {
    #[derive(Serialize)]
    struct Snapshot {
        status: Status,
    }
    let picture = desk::picture(shard).await;
    let index = index(shard);
    let channels = Channels::new(&index, &picture, calendar(shard));
    let open: Vec<ChannelId> = channels.open_ids().take(CHANNELS_MAX).collect();
    let shown = open.iter().filter_map(|id| channels.channel(*id));
    let status = status(shard, &picture);
    list(&Snapshot { status }, "channels", shown).await
}

/// What the page shows to who reads it without a script.
///
/// # Errors
/// None that a request could cause.
pub async fn seen(shard: &Rc<Shard>) -> Result<Seen, Refusal> {
    let query = Query::new(Some(SEEN));
    let status = json(&status(shard, &*desk::picture(shard).await));
    let channels = channels(shard, &query).await?;
    let viewers = viewers(shard, &query.viewers()?).await;
    Ok(Seen::read(
        &status,
        &channels,
        &viewers,
        &events(shard, &query)?,
    ))
}

/// Events after a number, oldest first, as an array of JSON.
#[must_use]
pub fn events_json(shard: &Shard, events: &Events, after: u64, most: usize) -> Vec<u8> {
    let calendar = calendar(shard);
    let shown = events.after(after, most).into_iter();
    let shown: Vec<_> = shown
        .map(|(id, occurrence)| Event::of(id, occurrence, calendar))
        .collect();
    json(&shown)
}

#[derive(Serialize)]
struct Event<'e> {
    id: u64,
    time_ms: u64,
    kind: &'static str,
    channel: Option<Id>,
    reason: Option<&'static str>,
    count: u64,
    text: &'e str,
}

impl<'e> Event<'e> {
    fn of(id: u64, occurrence: &'e Occurrence, calendar: Calendar) -> Self {
        Self {
            id,
            time_ms: calendar.unix_ms(occurrence.at_us),
            kind: occurrence.kind.name(),
            channel: occurrence.channel.map(Id),
            reason: occurrence.reason,
            count: occurrence.count,
            text: &occurrence.text,
        }
    }
}

fn index(shard: &Shard) -> Rc<Index> {
    shard.desk.index(&shard.config())
}

fn calendar(shard: &Shard) -> Calendar {
    let started = shard.process.started.duration_since(SystemTime::UNIX_EPOCH);
    let started_ms = started.map_or(0, |it| crate::clock::micros(it) / 1_000);
    Calendar { started_ms }
}

fn status(shard: &Shard, picture: &Picture) -> Status {
    let config = shard.config();
    let process = Process {
        config: &config,
        listen: &shard.process.listen,
        calendar: calendar(shard),
        is_draining: shard.drain.has_begun(),
        log_dropped_lines: log::dropped_lines(),
        last_event_id: shard.desk.events.borrow().last_id(),
    };
    Status::of(&process, picture)
}

async fn channel(shard: &Rc<Shard>, id: ChannelId) -> Result<Vec<u8>, Refusal> {
    let picture = desk::picture(shard).await;
    let index = index(shard);
    let channels = Channels::new(&index, &picture, calendar(shard));
    let channel = channels.channel(id).ok_or(Refusal::UnknownChannel)?;
    Ok(json(&channel))
}

async fn channels(shard: &Rc<Shard>, query: &Query) -> Result<Vec<u8>, Refusal> {
    #[derive(Serialize)]
    struct Head {
        time_ms: u64,
        total: usize,
        next: Option<Id>,
    }
    let (after, most) = query.channels()?;
    let picture = desk::picture(shard).await;
    let index = index(shard);
    let channels = Channels::new(&index, &picture, calendar(shard));
    let (ids, has_more) = channels.page(after, most);
    let head = Head {
        time_ms: calendar(shard).unix_ms(picture.asked_us),
        total: channels.total(),
        next: ids.last().filter(|_| has_more).copied().map(Id),
    };
    let shown = ids.iter().filter_map(|id| channels.channel(*id));
    Ok(list(&head, "channels", shown).await)
}

async fn viewers(shard: &Rc<Shard>, wanted: &Wanted) -> Vec<u8> {
    #[derive(Serialize)]
    struct Head {
        time_ms: u64,
        total: u64,
        stale_shards: Vec<usize>,
        next: Option<String>,
    }
    let time_ms = calendar(shard).unix_ms(shard.clock.now_us());
    let everybody: Vec<usize> = (0..shard.shards).collect();
    let question = Question::Viewers(wanted.clone());
    let (mut total, mut stale_shards, mut page) = (0, Vec::new(), Page::new(wanted));
    let answers = desk::ask(shard, &everybody, &question).await;
    for (index, told) in answers.into_iter().enumerate() {
        let Some(Told::Viewers(found)) = told else {
            stale_shards.push(index);
            continue;
        };
        total += found.total;
        for row in found.rows {
            page.offer(Place::of(wanted.sort, row.id, &row.figures), row);
        }
    }
    let (rows, next) = page.cut();
    let head = Head {
        time_ms,
        total,
        stale_shards,
        next: next.map(|place| place.to_string()),
    };
    let (index, calendar) = (index(shard), calendar(shard));
    let shown = rows.iter().map(|row| {
        let name = index.name(row.channel).map(str::to_owned);
        let name = name.unwrap_or_else(|| row.channel.to_string());
        Viewer::of(row, name, calendar)
    });
    list(&head, "viewers", shown).await
}

fn events(shard: &Shard, query: &Query) -> Result<Vec<u8>, Refusal> {
    #[derive(Serialize)]
    struct Shown<'e> {
        events: Vec<Event<'e>>,
        first_id: u64,
        last_id: u64,
    }
    let (after, most) = query.tail(EVENTS_MAX)?;
    let calendar = calendar(shard);
    let events = shard.desk.events.borrow();
    let found = events.after(after, most).into_iter();
    Ok(json(&Shown {
        events: found
            .map(|(id, occurrence)| Event::of(id, occurrence, calendar))
            .collect(),
        first_id: events.first_id(),
        last_id: events.last_id(),
    }))
}

async fn log_tail(shard: &Shard, query: &Query) -> Result<Vec<u8>, Refusal> {
    #[derive(Serialize)]
    struct Line<'l> {
        id: u64,
        text: &'l str,
    }
    #[derive(Serialize)]
    struct Shown<'l> {
        lines: Vec<Line<'l>>,
        last_id: u64,
    }
    let (after, most) = query.tail(log::TAIL_LINES_MAX)?;
    let asked = log::tail(after, most).ok_or(Refusal::Unanswered)?;
    // The writer has a thread of its own, which wakes no task.
    let told = async {
        loop {
            if let Some(tail) = asked.take() {
                return tail;
            }
            shard.clock.after(LOG_PAUSE).await;
        }
    };
    let tail = shard.clock.limit(LOG_PATIENCE, told).await;
    let tail = tail.ok_or(Refusal::Unanswered)?;
    let lines = tail.lines.iter();
    Ok(json(&Shown {
        lines: lines.map(|(id, text)| Line { id: *id, text }).collect(),
        last_id: tail.last_id,
    }))
}

async fn restart(shard: &Rc<Shard>, id: ChannelId) -> Result<Reply, Refusal> {
    let picture = desk::picture(shard).await;
    let is_done = match picture.homes.get(&id) {
        Some((home, _)) => {
            let question = Question::Restart { channel: id };
            let is_done = desk::order(shard, *home, &question).await;
            is_done.ok_or(Refusal::Unanswered)?
        }
        None => false,
    };
    if is_done {
        let text = "the operator has it fetched anew".to_owned();
        tell::once(shard, Kind::ChannelRestarted, Some(id), text);
        return Ok(accepted("restarting"));
    }
    match index(shard).name(id) {
        Some(_) => Err(Refusal::NotOpen),
        None => Err(Refusal::UnknownChannel),
    }
}

async fn close(shard: &Rc<Shard>, id: ViewerId) -> Result<Reply, Refusal> {
    if id.shard >= shard.shards {
        return Err(Refusal::UnknownViewer);
    }
    let question = Question::Close { number: id.number };
    match desk::order(shard, id.shard, &question).await {
        Some(true) => Ok(Reply::Empty),
        Some(false) => Err(Refusal::UnknownViewer),
        None => Err(Refusal::Unanswered),
    }
}

/// Reads the configuration again; one with errors changes nothing, and the answer names them as the log does.
async fn reload(shard: &Rc<Shard>) -> Reply {
    match shard::reload::reload(shard).await {
        Ok(summary) => {
            let text = format!("configuration reloaded in {} ms", summary.took.as_millis());
            tell::once(shard, Kind::Reload, None, text);
            let body = serde_json::json!({ "state": "reloaded" }).to_string();
            Reply::Whole(whole(HttpStatus::OK, body.into_bytes()))
        }
        Err(refused) => {
            refused.log();
            let text = "configuration refused: the log says why".to_owned();
            tell::once(shard, Kind::Reload, None, text);
            let body = serde_json::json!({ "error": refused.to_string() }).to_string();
            Reply::Whole(whole(HttpStatus::UNPROCESSABLE, body.into_bytes()))
        }
    }
}

fn drain(shard: &Rc<Shard>) -> Reply {
    for other in 0..shard.shards {
        let question = Box::new(Question::Drain);
        // Nobody waits for the answers: what comes of it is seen.
        let ask = shard::feed::Message::Ask {
            request: 0,
            question,
        };
        shard.send(other, ask);
    }
    accepted("draining")
}

fn accepted(state: &'static str) -> Reply {
    let body = serde_json::json!({ "state": state }).to_string();
    Reply::Whole(whole(HttpStatus::ACCEPTED, body.into_bytes()))
}

fn whole(status: HttpStatus, body: Vec<u8>) -> Answer {
    Answer::new(status, JSON, body).with("Cache-Control", "no-store")
}

fn json(value: &impl Serialize) -> Vec<u8> {
    let mut bytes = Vec::new();
    write(&mut bytes, value);
    bytes
}

fn write(bytes: &mut Vec<u8>, value: &impl Serialize) {
    if let Err(error) = serde_json::to_writer(bytes, value) {
        ::log::error!("an answer could not be written error=\"{error}\"");
    }
}

/// An object with a list as its last field, written piece by piece.
async fn list<T: Serialize>(
    head: &impl Serialize,
    name: &str,
    items: impl Iterator<Item = T>,
) -> Vec<u8> {
    let mut bytes = json(head);
    // The object is still open.
    bytes.pop();
    bytes.extend_from_slice(format!(",\"{name}\":[").as_bytes());
    for (index, item) in items.enumerate() {
        if index > 0 {
            bytes.push(b',');
        }
        write(&mut bytes, &item);
        if index % PIECE == PIECE - 1 {
            glommio::executor().yield_task_queue_now().await;
        }
    }
    bytes.extend_from_slice(b"]}");
    bytes
}

/// The API's description.
const OPENAPI: &str = include_str!("openapi.json");

/// How much of everything the page shows without a script: what is soon put together.
const SEEN: &str = "limit=100";

/// The most events in one answer.
const EVENTS_MAX: usize = 1_000;

/// How many items of a list are written in one piece.
const PIECE: usize = 32;

/// How long the log's writer is waited for, and how often it is looked for.
const LOG_PATIENCE: Duration = Duration::from_millis(250);
const LOG_PAUSE: Duration = Duration::from_millis(10);
