//! `/live/{user}/{password}/{id}.ts` and `/ace/getstream` -> viewer; pages for apps are passed on to `site.rs`.
//!
//! A request is judged in a fixed order: path, method, framing, drain, account, channel, room for one more viewer
//! on the account and on the server. The 200 is said only when the first media is there; until then the viewer waits, and
//! nobody with it.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_lite::AsyncRead;

use crate::account::attendance::{self, Pass};
use crate::account::login;
use crate::admin::events::Kind;
use crate::admin::tell;
use crate::channel::id::ChannelId;
use crate::channel::relay::Relay;
use crate::channel::{End, NotStarted};
use crate::clock::micros;
use crate::config::AtLimit;
use crate::http::connection::body::BODY_BYTES_MAX;
use crate::http::connection::{Connection, NoRequest};
use crate::http::hand::{self, Handed};
use crate::http::request::{Framing, Method, Request};
use crate::http::response::{self, Refusal};
use crate::http::route::{self, Ask, Route};
use crate::http::site;
use crate::metrics::{Reason, Reject, ViewerEnd};
use crate::shard::feed::Message;
use crate::shard::permits::Permit;
use crate::shard::{Offer, Shard};
use crate::upstream::STARTS_MAX;
use crate::viewer::Viewer;
use crate::viewer::burst::{self, Start};
use crate::viewer::roster::Caller;

/// Answers the requests of a connection on the viewers' listener: pages until the first that is none, or a stream.
pub async fn answer(shard: Rc<Shard>, mut connection: Connection) {
    loop {
        let limit = shard.config().server.head_timeout;
        let request = match connection.next_request(&shard.clock, limit).await {
            Ok(request) => request,
            Err(NoRequest::Gone) => return,
            Err(NoRequest::Refused(refusal)) => {
                return refuse(&shard, connection, Method::Get, refusal).await;
            }
        };
        let asked_us = shard.clock.now_us();
        let Some(open) = answer_one(&shard, connection, request, asked_us, true).await else {
            return;
        };
        connection = open;
    }
}

/// Answers a request for a channel that another shard has accepted.
pub async fn answer_handed(
    shard: Rc<Shard>,
    connection: Connection,
    request: Request,
    asked_us: u64,
) {
    answer_one(&shard, connection, request, asked_us, false).await;
}

/// Answers one request, or offers it to another shard if it may; gives the connection back if it can carry another.
async fn answer_one(
    shard: &Rc<Shard>,
    mut connection: Connection,
    request: Request,
    asked_us: u64,
    may_hand: bool,
) -> Option<Connection> {
    let method = request.method;
    let route = route::route(
        method,
        &request.path,
        request.query.as_deref(),
        request.authorization.as_ref(),
    );
    if let (Route::Watch(watch), Method::Get, true) = (&route, method, may_hand)
        && let Some(to) = hand::offered_to(shard, watch.channel)
        && let Ok(socket) = connection.duplicate()
    {
        let handed = Handed::new(shard, socket, connection, request, watch.channel, asked_us);
        shard.send(to, Message::Handed(Box::new(handed)));
        return None;
    }
    match judge(shard, &connection, &request, route, asked_us).await {
        Ok(Asked::Options { allow }) => {
            let head = response::options_head(allow, false);
            connection.finish(&shard.clock, &head).await;
        }
        Ok(Asked::Head) => {
            connection
                .finish(&shard.clock, &response::stream_head())
                .await;
        }
        Ok(Asked::Page(ask)) => match site::answer(shard, &mut connection, &request, ask).await {
            Ok(()) if request.keep_alive => return Some(connection),
            Ok(()) => connection.finish(&shard.clock, &Bytes::new()).await,
            Err(NoRequest::Gone) => {}
            Err(NoRequest::Refused(refusal)) => refuse(shard, connection, method, refusal).await,
        },
        Ok(Asked::Watch(wish)) => {
            if let Err((connection, refusal)) = watch(shard, connection, *wish).await {
                refuse(shard, connection, method, refusal).await;
            }
        }
        Err(refusal) => refuse(shard, connection, method, refusal).await,
    }
    None
}

/// Serves a channel to the operator's page: to a viewer like any other, of no account, that is told by its name.
pub async fn preview(shard: &Rc<Shard>, connection: Connection, channel: ChannelId) {
    let address = connection.peer().ip();
    let offer = match shard.drain.has_begun() {
        true => Err(Refusal::Draining),
        false => shard.offer(channel).ok_or(Refusal::UnknownChannel),
    };
    let wish = offer.map(|offer| Wish {
        offer,
        device: attendance::device(address, Some(PREVIEW)),
        caller: Caller {
            address,
            account: None,
            user_agent: Some(PREVIEW.into()),
            asked_us: shard.clock.now_us(),
        },
    });
    let served = match wish {
        Ok(wish) => watch(shard, connection, wish).await,
        Err(refusal) => Err((connection, refusal)),
    };
    if let Err((connection, refusal)) = served {
        refuse(shard, connection, Method::Get, refusal).await;
    }
}

/// What a good request asks for.
enum Asked {
    Head,
    Options { allow: &'static str },
    Page(Ask),
    Watch(Box<Wish>),
}

/// A channel that may be watched, and by whom.
struct Wish {
    offer: Offer,
    device: u64,
    caller: Caller,
}

async fn judge(
    shard: &Rc<Shard>,
    connection: &Connection,
    request: &Request,
    route: Route,
    asked_us: u64,
) -> Result<Asked, Refusal> {
    let watch = match route {
        Route::BadContent(why) => return Err(why.into()),
        Route::HlsUnavailable => return Err(Refusal::HlsUnavailable),
        Route::MethodNotAllowed { allow } => return Err(Refusal::MethodNotAllowed { allow }),
        Route::NotFound => return Err(Refusal::UnknownPath),
        Route::Options { allow } => return Ok(Asked::Options { allow }),
        Route::Page(ask) => {
            pass(shard, request)?;
            return Ok(Asked::Page(ask));
        }
        Route::Watch(watch) => watch,
    };
    pass(shard, request)?;
    let address = connection.peer().ip();
    let logged_in = login::log_in(shard, address, &watch.offered).await?;
    let account = logged_in.map(|it| it.account);
    let offer = shard.offer(watch.channel).ok_or(Refusal::UnknownChannel)?;
    if account.as_ref().is_some_and(|it| !it.may_watch(offer.id)) {
        return Err(Refusal::ChannelForbidden);
    }
    if request.method == Method::Head {
        return Ok(Asked::Head);
    }
    Ok(Asked::Watch(Box::new(Wish {
        offer,
        device: attendance::device(address, request.user_agent.as_deref()),
        caller: Caller {
            address,
            account,
            user_agent: request.user_agent.as_deref().map(Box::from),
            asked_us,
        },
    })))
}

/// Refuses what is wrong with a request on any path, and every request once the drain has begun.
fn pass(shard: &Shard, request: &Request) -> Result<(), Refusal> {
    match request.framing? {
        Framing::Length(bytes) if bytes > BODY_BYTES_MAX as u64 => {
            return Err(Refusal::BodyTooLong);
        }
        Framing::Chunked | Framing::Length(_) | Framing::None => {}
    }
    match shard.drain.has_begun() {
        true => Err(Refusal::Draining),
        false => Ok(()),
    }
}

/// Makes a viewer of the connection, which runs as a task of its own then, or gives it back with what to say.
async fn watch(
    shard: &Rc<Shard>,
    mut connection: Connection,
    wish: Wish,
) -> Result<(), (Connection, Refusal)> {
    let counted = Counted::new(shard);
    let Wish {
        offer,
        device,
        caller,
    } = wish;
    let pass = match &caller.account {
        None => None,
        Some(account) => {
            match attendance::attend(shard, account, caller.address, device, offer.id).await {
                Ok(pass) => Some(pass),
                Err(full) if account.at_limit == AtLimit::Refuse => {
                    return Err((connection, full.into()));
                }
                Err(_) => {
                    give_way(shard);
                    return Ok(());
                }
            }
        }
    };
    let Some(permit) = place(shard, pass.as_ref()).await else {
        return Err((connection, Refusal::Busy));
    };
    // Another configuration may have come into use since it was asked for.
    let Some(offer) = shard.offer(offer.id) else {
        return Err((connection, Refusal::UnknownChannel));
    };
    let seat = shard.sit(&offer);
    let limit = offer.limits.start_timeout * STARTS_MAX + START_SLACK;
    let relay = seat.relay();
    let start = match first_media(shard, &mut connection, relay, pass.as_ref(), limit).await {
        Ok(start) => start,
        Err(NoRequest::Gone) => {
            return Ok(());
        }
        Err(NoRequest::Refused(refusal)) => return Err((connection, refusal)),
    };
    let (stream, connected) = connection.into_parts();
    let head = response::stream_head();
    let viewer = Viewer::new(Rc::clone(shard), seat, pass, stream, &head, &start, caller);
    // A task of its own: that of the connection has room for requests and answers, which a viewer needs no more.
    shard.spawn("viewer", async move {
        viewer.run().await;
        drop((counted, permit, connected));
    });
    Ok(())
}

/// Takes a place on the server. The viewer that ends for this one may be about to give back the last place there was.
async fn place(shard: &Shard, pass: Option<&Pass>) -> Option<Permit> {
    let permits = &shard.process.viewers;
    if let Some(permit) = permits.take() {
        return Some(permit);
    }
    if !pass.is_some_and(Pass::made_room) {
        return None;
    }
    let given_back = async {
        loop {
            shard.clock.after(PLACE_PAUSE).await;
            if let Some(permit) = permits.take() {
                return permit;
            }
        }
    };
    shard.clock.limit(PLACE_MAX, given_back).await
}

/// Waits until the channel has a point to start at.
async fn first_media(
    shard: &Rc<Shard>,
    connection: &mut Connection,
    relay: &Rc<Relay>,
    pass: Option<&Pass>,
    limit: Duration,
) -> Result<Start, NoRequest> {
    let news = relay.news.place();
    let mut overdue = shard.clock.after(limit);
    let burst_us = micros(relay.limits().burst);
    let mut input_left = BODY_BYTES_MAX;
    poll_fn(|cx| {
        if let Some(pass) = pass {
            if pass.closed() == Some(ViewerEnd::Revoked) {
                return Poll::Ready(Err(NoRequest::Refused(Refusal::BadLogin)));
            }
            if pass.closed().is_some() {
                give_way(shard);
                return Poll::Ready(Err(NoRequest::Gone));
            }
            pass.wait(cx.waker());
        }
        if let Some(start) = burst::start(&relay.ring(), burst_us) {
            return Poll::Ready(match pass {
                Some(pass) if !pass.allows(relay.bits_per_second()) => {
                    Err(NoRequest::Refused(Refusal::BitrateForbidden))
                }
                _ => Ok(start),
            });
        }
        if let Some(end) = relay.ended() {
            return Poll::Ready(Err(NoRequest::Refused(not_started(end))));
        }
        if is_gone(connection, cx, &mut input_left) {
            return Poll::Ready(Err(NoRequest::Gone));
        }
        if Pin::new(&mut overdue).poll(cx).is_ready() {
            return Poll::Ready(Err(NoRequest::Refused(Refusal::NoMedia)));
        }
        news.wait(cx.waker());
        Poll::Pending
    })
    .await
}

/// Counts a viewer that a newer one of its account took the place of before it had media.
///
/// It is closed without an answer: who changes the channel quickly must not be told that it is refused.
fn give_way(shard: &Shard) {
    shard.counters.rejected(Reject::AtLimit);
    log::debug!(
        "viewer gave way before its media came reason={}",
        Reject::AtLimit
    );
}

/// Whether the peer has closed, or sends what no player sends.
fn is_gone(connection: &mut Connection, cx: &mut Context<'_>, input_left: &mut usize) -> bool {
    let mut scratch = [0; 512];
    loop {
        match Pin::new(connection.stream()).poll_read(cx, &mut scratch) {
            Poll::Pending => return false,
            Poll::Ready(Ok(0) | Err(_)) => return true,
            Poll::Ready(Ok(bytes)) => *input_left = input_left.saturating_sub(bytes),
        }
        if *input_left == 0 {
            return true;
        }
    }
}

fn not_started(end: End) -> Refusal {
    match end {
        End::Drained => Refusal::Draining,
        End::NotStarted(NotStarted::AtLimit) => Refusal::ProviderFull,
        End::NotStarted(NotStarted::Busy) => Refusal::DynamicFull,
        End::NotStarted(NotStarted::Playlist) => Refusal::UpstreamPlaylist,
        End::NotStarted(NotStarted::Refused) | End::UpstreamLost => Refusal::UpstreamRefused,
        End::NotStarted(NotStarted::Timeout) => Refusal::NoMedia,
        End::Removed => Refusal::UnknownChannel,
        End::Revoked => Refusal::BadLogin,
    }
}

async fn refuse(shard: &Rc<Shard>, connection: Connection, method: Method, refusal: Refusal) {
    let reason = refusal.counted();
    shard.counters.rejected(reason);
    tell::often(shard, Kind::RequestRefused, None, reason.label(), || {
        format!(
            "a request was refused with {}: {refusal}",
            refusal.status().code
        )
    });
    log::debug!(
        "request refused status={} reason={}",
        refusal.status().code,
        reason
    );
    let answer = refusal.answer().to_bytes(method);
    connection.finish(&shard.clock, &answer).await;
}

/// Counts a viewer of this shard, waiting or watching, for as long as it exists.
struct Counted(Rc<Shard>);

impl Counted {
    fn new(shard: &Rc<Shard>) -> Self {
        shard.viewers.set(shard.viewers.get() + 1);
        Self(Rc::clone(shard))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.viewers.set(self.0.viewers.get().saturating_sub(1));
    }
}

/// What the operator's page calls itself as a viewer.
const PREVIEW: &str = "corecast preview";

/// How long a viewer waits for the place of one that ends for it.
const PLACE_MAX: Duration = Duration::from_secs(2);

/// How often it tries to take it.
const PLACE_PAUSE: Duration = Duration::from_millis(20);

/// What a viewer waits beyond the channel's own time for a start, so that the channel's reason comes first.
const START_SLACK: Duration = Duration::from_secs(2);
