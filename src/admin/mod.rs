//! The operator's listener, on shard 0: metrics, health, and the API that the page and scripts use.
//!
//! | path | answer | file |
//! |---|---|---|
//! | `/metrics` | every counter as Prometheus text 0.0.4 | `scrape` |
//! | `/healthz` | 200 while every shard lives, else 503 | here |
//! | `/readyz` | 200 while new viewers are taken, 503 while it drains | here |
//! | `/api/v1/…` | what `openapi.json` says | `route`, `answers`, `live` |
//! | `/`, `/page/…`, `/licences` | the page for people | `page` |
//! | `/preview/{id}.ts` | a channel, for the page | `http::live` |
//!
//! This file reads requests and writes answers; who may ask is decided in `gate`. Without a token only this host can reach
//! it; with one, each request but those for health has to carry it.

pub mod answers;
pub mod ask;
pub mod channels;
pub mod desk;
pub mod events;
pub mod gate;
pub mod live;
pub mod page;
pub mod report;
pub mod route;
pub mod scrape;
pub mod snapshot;
pub mod status;
pub mod tell;
pub mod viewers;

use std::rc::Rc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;

use crate::admin::answers::Reply;
use crate::admin::page::PagePath;
use crate::clock::micros;
use crate::http::connection::{Connection, NoRequest};
use crate::http::live as streams;
use crate::http::request::{Framing, Method, Request};
use crate::http::response::{self, Answer, Refusal, Status};
use crate::http::route::{self as paths, AdminRoute};
use crate::metrics::{Labels, Sample, families, text};
use crate::shard::Shard;

/// Answers the requests of one connection on the operator's listener.
pub async fn answer(shard: Rc<Shard>, mut connection: Connection) {
    let mut limit = shard.config().server.head_timeout;
    let mut has_asked = false;
    loop {
        let request = match connection.read_request(&shard.clock, limit).await {
            Ok(request) => request,
            Err(NoRequest::Gone) => return,
            // A connection that is kept alive and silent has asked for nothing.
            Err(NoRequest::Refused(Refusal::TooSlow)) if has_asked && !connection.has_input() => {
                return;
            }
            Err(NoRequest::Refused(refusal)) => {
                let answer = refusal.answer().to_bytes(Method::Get);
                return connection.finish(&shard.clock, &answer).await;
            }
        };
        let has_body = request.framing != Ok(Framing::None);
        let keep_alive = request.keep_alive && !has_body;
        let (mut bytes, closes) = match reply(&shard, &request).await {
            Ok(Reply::Stream(seat, after)) if request.method == Method::Get => {
                return seat.serve(connection, after).await;
            }
            Ok(Reply::Stream(..)) => (response::events_head(), true),
            Ok(Reply::Preview(channel)) if request.method == Method::Get => {
                return Box::pin(streams::preview(&shard, connection, channel)).await;
            }
            Ok(Reply::Preview(_)) => (response::stream_head(), true),
            Ok(Reply::Empty) => (response::no_content(None, keep_alive), !keep_alive),
            Ok(Reply::Allowed(allow)) => {
                let answer = response::no_content(Some(allow), keep_alive);
                (answer, !keep_alive)
            }
            Ok(Reply::Whole(answer)) => {
                let answer = answer.keep_alive(keep_alive);
                (answer.to_bytes(request.method), !keep_alive)
            }
            Err(refusal) => (refused(&request, refusal), true),
        };
        while bytes.len() > PIECE_BYTES {
            let piece = bytes.split_to(PIECE_BYTES);
            if connection.write(&shard.clock, &piece).await.is_err() {
                return;
            }
        }
        if closes {
            return connection.finish(&shard.clock, &bytes).await;
        }
        if connection.write(&shard.clock, &bytes).await.is_err() {
            return;
        }
        has_asked = true;
        limit = KEEP_ALIVE;
    }
}

async fn reply(shard: &Rc<Shard>, request: &Request) -> Result<Reply, Refusal> {
    let route = paths::admin_route(request.method, &request.path);
    let config = shard.config();
    let token = config.admin.token.as_ref();
    match route {
        AdminRoute::MethodNotAllowed { allow } => return Err(Refusal::MethodNotAllowed { allow }),
        AdminRoute::NotFound => return Err(Refusal::UnknownPath),
        AdminRoute::Healthz | AdminRoute::Page(_) | AdminRoute::Readyz => {
            request.framing?;
            gate::admit_name(request, token)?;
        }
        AdminRoute::Api(_) | AdminRoute::Metrics => {
            request.framing?;
            gate::admit(request, token)?;
        }
    }
    match route {
        AdminRoute::Api(path) if request.method == Method::Options => {
            Ok(Reply::Allowed(path.allow()))
        }
        AdminRoute::Api(path) => answers::answer(shard, request, path).await,
        AdminRoute::Metrics => Ok(Reply::Whole(Answer::new(
            Status::OK,
            "text/plain; version=0.0.4; charset=utf-8",
            metrics(shard).await,
        ))),
        AdminRoute::Page(path) => page_reply(shard, request, path).await,
        AdminRoute::Readyz if shard.drain.has_begun() => Err(Refusal::Draining),
        AdminRoute::Healthz => Ok(Reply::Whole(health(shard))),
        _ => Ok(Reply::Whole(Answer::new(Status::OK, PLAIN, "ok\n"))),
    }
}

/// Whether every shard has left a sign of life in time.
fn health(shard: &Shard) -> Answer {
    let now_us = shard.clock.now_us();
    let missed = shard.process.heartbeats.missed(now_us, micros(SILENCE_MAX));
    match missed {
        Some(index) => {
            let body = format!("shard {index} hangs\n");
            Answer::new(Status::SERVICE_UNAVAILABLE, PLAIN, body)
        }
        None => Answer::new(Status::OK, PLAIN, "ok\n"),
    }
}

/// The page and its files are for everybody; what is to be seen of the server is not.
async fn page_reply(
    shard: &Rc<Shard>,
    request: &Request,
    path: PagePath,
) -> Result<Reply, Refusal> {
    let config = shard.config();
    let token = config.admin.token.as_ref();
    let answer = match path {
        PagePath::File(file) => file.answer(request.if_none_match.as_deref()),
        PagePath::Licences => page::licences(),
        PagePath::Page if gate::admit(request, token).is_ok() => {
            page::answer(Some(&answers::seen(shard).await?))
        }
        PagePath::Page => page::answer(None),
        PagePath::Preview(channel) => {
            gate::admit(request, token)?;
            let offered = channel.filter(|channel| shard.offer(*channel).is_some());
            return offered.map(Reply::Preview).ok_or(Refusal::UnknownChannel);
        }
    };
    Ok(Reply::Whole(answer))
}

/// A refusal in the form that the path's other answers have.
fn refused(request: &Request, refusal: Refusal) -> Bytes {
    let is_api = request.path.starts_with("/api/");
    let answer = match is_api {
        true => refusal.json(),
        false => refusal.answer(),
    };
    answer.to_bytes(request.method)
}

async fn metrics(shard: &Rc<Shard>) -> String {
    let mut samples = scrape::collect(shard).await;
    let started = shard.process.started.duration_since(SystemTime::UNIX_EPOCH);
    let started_us = started.map_or(0, micros);
    let version = Labels {
        cause: Some(env!("CARGO_PKG_VERSION")),
        ..Labels::default()
    };
    samples.push(Sample::count(&families::BUILD_INFO, version, 1));
    samples.push(Sample::seconds(
        &families::START_TIME,
        Labels::default(),
        started_us,
    ));
    let reloaded = shard.reloads.last().duration_since(SystemTime::UNIX_EPOCH);
    samples.push(Sample::seconds(
        &families::CONFIG_LAST_RELOAD,
        Labels::default(),
        reloaded.map_or(0, micros),
    ));
    let dropped = crate::log::dropped_lines();
    samples.push(Sample::count(
        &families::LOG_DROPPED_LINES,
        Labels::default(),
        dropped,
    ));
    text::write(&samples)
}

/// How much of an answer is written at once: a slow line has its time for each piece.
const PIECE_BYTES: usize = 64 * 1024;
/// A shard that leaves no sign of life for so long makes the process unhealthy; a busy host may delay one for seconds.
const SILENCE_MAX: Duration = Duration::from_secs(5);

const PLAIN: &str = "text/plain; charset=utf-8";

/// How long a connection stays open for another request.
const KEEP_ALIVE: Duration = Duration::from_secs(10);
