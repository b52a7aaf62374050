//! The operator's listener, on shard 0: metrics and health.
//!
//! | path | answer |
//! |---|---|
//! | `/metrics` | every counter as Prometheus text 0.0.4 |
//! | `/healthz` | 200 while the process lives |
//! | `/readyz` | 200 while new viewers are taken, 503 while it drains |
//!
//! Without a token only this host can reach it; with one, each request has to carry it.

pub mod scrape;

use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::time::{Duration, SystemTime};

use crate::account::secret::Secret;
use crate::http::connection::{Connection, NoRequest};
use crate::http::request::{Framing, Method, Request};
use crate::http::response::{Answer, Refusal, Status};
use crate::http::route::{self, AdminRoute};
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
        let answer = match reply(&shard, &request).await {
            Ok(answer) => answer.keep_alive(keep_alive),
            Err(refusal) => refusal.answer(),
        };
        let closes = !keep_alive || answer.status().code >= 400;
        let bytes = answer.to_bytes(request.method);
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

async fn reply(shard: &Rc<Shard>, request: &Request) -> Result<Answer, Refusal> {
    let route = route::admin_route(request.method, &request.path);
    match route {
        AdminRoute::MethodNotAllowed { allow } => return Err(Refusal::MethodNotAllowed { allow }),
        AdminRoute::NotFound => return Err(Refusal::UnknownPath),
        AdminRoute::Healthz | AdminRoute::Metrics | AdminRoute::Readyz => {}
    }
    request.framing?;
    if shard.config().admin.token.is_none() && !is_this_host(request.host.as_deref()) {
        return Err(Refusal::Misdirected);
    }
    if route == AdminRoute::Metrics {
        authorize(shard, request)?;
        let body = metrics(shard).await;
        return Ok(Answer::new(
            Status::OK,
            "text/plain; version=0.0.4; charset=utf-8",
            body,
        ));
    }
    if route == AdminRoute::Readyz && shard.drain.has_begun() {
        return Err(Refusal::Draining);
    }
    Ok(Answer::new(Status::OK, "text/plain; charset=utf-8", "ok\n"))
}

/// Whether the name by which this host was asked is its own. Without a token only loopback is listened on, and a page
/// from elsewhere could reach it through a name that it makes point here.
fn is_this_host(host: Option<&str>) -> bool {
    let Some(host) = host else {
        return true;
    };
    if let Ok(address) = host.parse::<SocketAddr>() {
        return address.ip().is_loopback();
    }
    let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
    let is_loopback = |text: &str| text.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback());
    name.eq_ignore_ascii_case("localhost")
        || is_loopback(host.trim_matches(['[', ']']))
        || is_loopback(name)
}

/// Health is for everybody; the rest is for who has the token, if one is set.
fn authorize(shard: &Shard, request: &Request) -> Result<(), Refusal> {
    let config = shard.config();
    let Some(token) = &config.admin.token else {
        return Ok(());
    };
    let offered = request.authorization.as_ref().map(Secret::expose);
    let offered = offered
        .and_then(|header| header.split_once(' '))
        .unwrap_or_default();
    let is_right = token.matches(offered.1.trim()) & offered.0.eq_ignore_ascii_case("bearer");
    if is_right {
        Ok(())
    } else {
        Err(Refusal::BadToken)
    }
}

async fn metrics(shard: &Rc<Shard>) -> String {
    let mut samples = scrape::collect(shard).await;
    let started = shard.process.started.duration_since(SystemTime::UNIX_EPOCH);
    let started_us = started.map_or(0, crate::clock::micros);
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
        reloaded.map_or(0, crate::clock::micros),
    ));
    let dropped = crate::log::dropped_lines();
    samples.push(Sample::count(
        &families::LOG_DROPPED_LINES,
        Labels::default(),
        dropped,
    ));
    text::write(&samples)
}

/// How long a connection stays open for another request.
const KEEP_ALIVE: Duration = Duration::from_secs(10);
