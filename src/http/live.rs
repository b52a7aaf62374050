//! `/live/{user}/{password}/{id}.ts` and `/ace/getstream` -> viewer.
//!
//! A request is judged in a fixed order: path, method, framing, drain, account, channel, room for one more viewer. The
//! 200 is said only when the first media is there; until then the viewer waits, and nobody with it.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_lite::AsyncRead;

use crate::channel::relay::Relay;
use crate::channel::{End, NotStarted};
use crate::clock::micros;
use crate::http::connection::{Connection, NoRequest};
use crate::http::request::{Framing, Method, Request};
use crate::http::response::{self, Refusal};
use crate::http::route::{self, Route, Watch};
use crate::shard::{Offer, Shard};
use crate::upstream::STARTS_MAX;
use crate::viewer::Viewer;
use crate::viewer::burst::{self, Start};

/// Answers the one request of a connection on the viewers' listener.
pub async fn answer(shard: Rc<Shard>, mut connection: Connection) {
    let limit = shard.config().server.head_timeout;
    let request = match connection.read_request(&shard.clock, limit).await {
        Ok(request) => request,
        Err(NoRequest::Gone) => return,
        Err(NoRequest::Refused(refusal)) => {
            return refuse(&shard, connection, Method::Get, refusal).await;
        }
    };
    let asked_us = shard.clock.now_us();
    let method = request.method;
    match judge(&shard, &connection, &request) {
        Ok(Asked::Options) => {
            connection
                .finish(&shard.clock, &response::options_head(false))
                .await
        }
        Ok(Asked::Head) => {
            connection
                .finish(&shard.clock, &response::stream_head())
                .await
        }
        Ok(Asked::Watch(offer)) => {
            if let Err((connection, refusal)) = watch(&shard, connection, &offer, asked_us).await {
                refuse(&shard, connection, method, refusal).await;
            }
        }
        Err(refusal) => refuse(&shard, connection, method, refusal).await,
    }
}

/// What a good request asks for.
enum Asked {
    Head,
    Options,
    Watch(Box<Offer>),
}

fn judge(shard: &Rc<Shard>, connection: &Connection, request: &Request) -> Result<Asked, Refusal> {
    let query = request.query.as_deref();
    let watch = match route::route(
        request.method,
        &request.path,
        query,
        request.authorization.as_ref(),
    ) {
        Route::BadContent(why) => return Err(why.into()),
        Route::HlsUnavailable => return Err(Refusal::HlsUnavailable),
        Route::MethodNotAllowed { allow } => return Err(Refusal::MethodNotAllowed { allow }),
        Route::NotFound => return Err(Refusal::UnknownPath),
        Route::Options => return Ok(Asked::Options),
        Route::Watch(watch) => watch,
    };
    match request.framing? {
        Framing::Length(bytes) if bytes > BODY_BYTES_MAX => return Err(Refusal::BodyTooLong),
        Framing::Chunked | Framing::Length(_) | Framing::None => {}
    }
    if shard.drain.has_begun() {
        return Err(Refusal::Draining);
    }
    log_in(shard, connection, &watch)?;
    let offer = shard.offer(watch.channel).ok_or(Refusal::UnknownChannel)?;
    if request.method == Method::Head {
        return Ok(Asked::Head);
    }
    Ok(Asked::Watch(Box::new(offer)))
}

/// Checks what was offered as credentials; each wrong login counts against the address.
fn log_in(shard: &Rc<Shard>, connection: &Connection, watch: &Watch) -> Result<(), Refusal> {
    if shard.accounts.is_open() {
        return Ok(());
    }
    let address = connection.peer().ip();
    let admitted = shard.throttle.borrow().admit(address, shard.clock.now_us());
    admitted?;
    if let Err(denied) = shard.accounts.admit(&watch.offered) {
        if !watch.offered.is_empty() {
            shard.note_bad_login(address);
        }
        return Err(denied.into());
    }
    Ok(())
}

/// Makes a viewer of the connection and serves it to its end, or gives the connection back with what to say.
async fn watch(
    shard: &Rc<Shard>,
    mut connection: Connection,
    offer: &Offer,
    asked_us: u64,
) -> Result<(), (Connection, Refusal)> {
    let Some(_permit) = shard.process.viewers.take() else {
        return Err((connection, Refusal::Busy));
    };
    let _counted = Counted::new(shard);
    let seat = shard.sit(offer);
    let limit = offer.limits.start_timeout * STARTS_MAX + START_SLACK;
    let start = match first_media(shard, &mut connection, seat.relay(), limit).await {
        Ok(start) => start,
        Err(NoRequest::Gone) => {
            return Ok(());
        }
        Err(NoRequest::Refused(refusal)) => return Err((connection, refusal)),
    };
    let (stream, _connected) = connection.into_parts();
    let head = response::stream_head();
    Viewer::new(Rc::clone(shard), seat, stream, &head, &start, asked_us)
        .run()
        .await;
    Ok(())
}

/// Waits until the channel has a point to start at.
async fn first_media(
    shard: &Rc<Shard>,
    connection: &mut Connection,
    relay: &Rc<Relay>,
    limit: Duration,
) -> Result<Start, NoRequest> {
    let news = relay.news.place();
    let mut overdue = shard.clock.after(limit);
    let burst_us = micros(relay.limits.burst);
    let mut input_left = usize::try_from(BODY_BYTES_MAX).unwrap_or(usize::MAX);
    poll_fn(|cx| {
        if let Some(start) = burst::start(&relay.ring(), burst_us) {
            return Poll::Ready(Ok(start));
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
        End::NotStarted(NotStarted::Busy) => Refusal::DynamicFull,
        End::NotStarted(NotStarted::Playlist) => Refusal::UpstreamPlaylist,
        End::NotStarted(NotStarted::Refused) | End::UpstreamLost => Refusal::UpstreamRefused,
        End::NotStarted(NotStarted::Timeout) => Refusal::NoMedia,
    }
}

async fn refuse(shard: &Rc<Shard>, connection: Connection, method: Method, refusal: Refusal) {
    shard.counters.rejected(refusal.counted());
    log::debug!(
        "request refused status={} reason={}",
        refusal.status().code,
        refusal.counted()
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

/// Largest body that a request for a stream may announce; none is used.
const BODY_BYTES_MAX: u64 = 64 * 1024;

/// What a viewer waits beyond the channel's own time for a start, so that the channel's reason comes first.
const START_SLACK: Duration = Duration::from_secs(2);
