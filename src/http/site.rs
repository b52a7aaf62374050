//! Answers what apps ask for beside streams: reads the parameters, checks the account, chooses the listing.
//!
//! What stands in a listing is written in `catalog`, how it is sent is in `send.rs`. The rule kept here: the addresses in an
//! answer come from the configuration or from the request that is answered, and nothing is kept for the next one.

use std::rc::Rc;

use bytes::Bytes;

use crate::account::until::Until;
use crate::account::{Account, Credentials, Denied, attendance, login};
use crate::catalog::base::Base;
use crate::catalog::playlist::Detail;
use crate::catalog::xtream::Action;
use crate::catalog::{Asker, Listing, Standing, guide, playlist, tuner, xtream};
use crate::channel::id::ChannelId;
use crate::config::{Channel, Config};
use crate::guide::Guide;
use crate::http::condition::Validators;
use crate::http::connection::{Connection, NoRequest};
use crate::http::forwarded::Scheme;
use crate::http::page::{Form, Page};
use crate::http::request::{Method, Request};
use crate::http::response::{Answer, Refusal, Status};
use crate::http::route::Ask;
use crate::http::send::{Coding, send};
use crate::shard::Shard;

/// Answers a request for a page, whose head was just read.
///
/// # Errors
/// [`NoRequest`] if the answer is a refusal, or the peer left. Nothing has been sent of it then, or the peer is gone.
pub(super) async fn answer(
    shard: &Rc<Shard>,
    connection: &mut Connection,
    request: &Request,
    ask: Ask,
) -> Result<(), NoRequest> {
    let config = shard.config();
    let limit = config.server.head_timeout;
    let body = connection.read_body(&shard.clock, request, limit).await?;
    let body = match request.method {
        Method::Post => String::from_utf8_lossy(&body),
        _ => "".into(),
    };
    let form = Form::new(request.query.as_deref().unwrap_or_default(), &body);
    let mut offered = form.accounts();
    offered.extend(ask.offered);
    let address = connection.peer().ip();
    // An app that asks for the account is told that its time is over, and not refused.
    let logged_in = match ask.page.tells_wrong_login() {
        true => login::authenticate(shard, address, &offered).await,
        false => login::log_in(shard, address, &offered).await,
    };
    let (logged_in, is_wrong) = match logged_in {
        // To an app the account does not exist where it may not be used.
        Ok(Some(it)) if !it.account.is_near(address) && ask.page.tells_wrong_login() => {
            shard.counters.rejected(Refusal::NetworkForbidden.counted());
            (None, true)
        }
        Ok(logged_in) => (logged_in, false),
        Err(Denied::BadLogin) if ask.page.tells_wrong_login() => {
            shard.counters.rejected(Refusal::BadLogin.counted());
            (None, true)
        }
        Err(denied) => return Err(Refusal::from(denied).into()),
    };
    let account = logged_in.as_ref().map(|it| &*it.account);
    let credentials = match &logged_in {
        Some(it) => Some(it.credentials),
        None => offered.first(),
    };
    let base = public_base(request, connection, &config).ok_or(Refusal::NoHost)?;
    let page = Wanted {
        page: ask.page,
        form: &form,
        account,
        has_account: credentials.is_some(),
    };
    let standing = standing(shard, account, page.tells_viewers()).await;
    let asker = Asker::new(base, credentials, standing);
    let programmes = shard.guide.current();
    let listing = if is_wrong {
        xtream::wrong_login()
    } else {
        page.listing(&config, &asker, &programmes)
    };
    let mut answer = page.answer(&listing, credentials, request.keep_alive);
    let mut coding = Coding::Plain;
    if ask.page == Page::Guide {
        let digest = guide::digest(page.channels(&config, &asker), &programmes);
        let validators = Validators::new(digest, programmes.since_s());
        answer = answer
            .with("ETag", validators.etag.clone())
            .with("Last-Modified", validators.last_modified.clone())
            .with("Vary", "Accept-Encoding");
        if request.conditions.has(&validators) {
            let head = Bytes::from(answer.not_modified());
            return connection.write(&shard.clock, &head).await;
        }
        if request.conditions.takes_gzip() {
            coding = Coding::Gzip;
            answer = answer.with("Content-Encoding", "gzip");
        }
    }
    let method = request.method;
    send(shard, connection, method, &answer, &listing, &asker, coding).await
}

/// How an account stands now; everybody's where there are none. Its viewers are counted, on its home shard, if they are told.
async fn standing(shard: &Rc<Shard>, account: Option<&Account>, tells_viewers: bool) -> Standing {
    let viewers_max = shard.config().server.viewers_max;
    let Some(account) = account else {
        return Standing::unlimited(viewers_max);
    };
    Standing {
        is_expired: account.is_expired(login::unix_seconds()),
        expires_s: account.valid_until.map(Until::unix_seconds),
        viewers: match tells_viewers {
            true => attendance::viewers(shard, &account.user).await,
            false => 0,
        },
        viewers_max: match account.viewers_max {
            0 => viewers_max,
            most => most,
        },
    }
}

/// Where the app that sent a request reaches this server: what the operator says, else what the request was sent to.
///
/// `None` for a request over a Unix socket that names no host.
#[must_use]
pub fn public_base(request: &Request, connection: &Connection, config: &Config) -> Option<Base> {
    if let Some(url) = &config.server.public_url {
        return Some(Base::of_url(url));
    }
    let local = || connection.local().map(|address| address.to_string());
    let authority = request.host.clone().or_else(local)?;
    Some(Base::new(request.scheme == Scheme::Https, &authority))
}

/// A page with its parameters.
struct Wanted<'a> {
    page: Page,
    form: &'a Form<'a>,
    account: Option<&'a Account>,
    has_account: bool,
}

impl Wanted<'_> {
    /// Whether the answer says how many viewers the account has.
    fn tells_viewers(&self) -> bool {
        match self.page {
            Page::Panel => true,
            Page::Player => self.action() == Action::Login,
            _ => false,
        }
    }

    fn action(&self) -> Action {
        Action::read(|name| self.form.value(name))
    }

    /// What the account may watch: the rest is not offered either.
    fn channels<'c>(
        &self,
        config: &'c Config,
        asker: &Asker,
    ) -> impl Iterator<Item = &'c Channel> + Clone {
        config.channels.iter().filter(|channel| {
            let id = ChannelId::Configured(channel.id);
            let may_watch = self.account.is_none_or(|account| account.may_watch(id));
            may_watch && !asker.is_expired()
        })
    }

    fn listing<'c>(&self, config: &'c Config, asker: &Asker, programmes: &Guide) -> Listing<'c> {
        let channels = self.channels(config, asker);
        let now_s = login::unix_seconds();
        match self.page {
            Page::Device => tuner::device(asker, self.has_account),
            Page::Discover => tuner::discover(asker, self.has_account),
            Page::Guide => guide::guide(channels, programmes),
            Page::Lineup => tuner::lineup(channels),
            Page::LineupStatus => tuner::status(),
            Page::LineupXml => tuner::lineup_xml(channels),
            Page::Panel => xtream::panel(channels, asker, now_s),
            Page::Player => xtream::player(channels, self.action(), asker, programmes, now_s),
            Page::Playlist | Page::PlaylistFile => {
                let guide = (!config.guides.is_empty()).then_some(asker);
                playlist::playlist(channels, self.detail(), guide)
            }
        }
    }

    fn detail(&self) -> Detail {
        match &*self.form.value("type") {
            "m3u" => Detail::Plain,
            _ => Detail::Plus,
        }
    }

    /// The answer without its body.
    fn answer(
        &self,
        listing: &Listing<'_>,
        credentials: Option<&Credentials>,
        keep_alive: bool,
    ) -> Answer {
        let answer = Answer::new(Status::OK, listing.content_type, "")
            .with("Cache-Control", self.page.cache_control())
            .with("Access-Control-Allow-Origin", "*")
            .keep_alive(keep_alive);
        if self.page != Page::PlaylistFile {
            return answer;
        }
        let user = credentials.map_or("", |it| it.user.as_str());
        let letters = user
            .chars()
            .filter(|it| it.is_ascii_alphanumeric() || "._@-".contains(*it));
        let plus = match self.detail() {
            Detail::Plain => "",
            Detail::Plus => "_plus",
        };
        let name = format!("tv_channels_{}{plus}.m3u", letters.collect::<String>());
        answer.with(
            "Content-Disposition",
            format!("attachment; filename=\"{name}\""),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn viewers_are_counted_only_for_answers_that_tell_them() {
        for (page, query, expected) in [
            (Page::Player, "", true),
            (Page::Player, "action=nonsense", true),
            (Page::Player, "action=get_live_streams", false),
            (Page::Player, "action=get_short_epg", false),
            (Page::Panel, "", true),
            (Page::Playlist, "", false),
            (Page::Guide, "", false),
            (Page::Lineup, "", false),
        ] {
            let wanted = Wanted {
                page,
                form: &Form::new(query, ""),
                account: None,
                has_account: false,
            };
            assert_eq!(wanted.tells_viewers(), expected, "{page:?} {query}");
        }
    }
}
