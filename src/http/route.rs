//! A path and its query to what is meant by it, for the viewers' and for the operator's listener. (pure)
//!
//! Whether the channel exists and the credentials are right is decided later. The rule kept here: a path means exactly
//! one thing or nothing. Its segments are split as they were sent and decoded once, so no escape, dot, semicolon or
//! empty segment turns one route into another, and the greedy `/{user}/{password}/{id}` takes no path of another route.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use percent_encoding::percent_decode_str;

use crate::account::Credentials;
use crate::account::secret::Secret;
use crate::admin::page::PagePath;
use crate::admin::route::ApiPath;
use crate::channel::id::{ChannelId, Content, Hash, NotAHash};
use crate::http::page::{Form, Page};
use crate::http::request::Method;

/// What a request on the viewers' listener asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Route {
    /// A request for AceStream content that does not say which.
    BadContent(BadContent),
    /// A channel as an HLS playlist, which does not exist yet.
    HlsUnavailable,
    /// A known path with a method it does not have.
    MethodNotAllowed {
        /// The value of the Allow header.
        allow: &'static str,
    },
    /// No such path.
    NotFound,
    /// Any path with `OPTIONS`.
    Options {
        /// The value of the Allow header.
        allow: &'static str,
    },
    /// What apps ask for beside a stream.
    Page(Ask),
    /// A channel, by GET or by HEAD.
    Watch(Watch),
}

/// A channel, and who says to be asking.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Watch {
    /// The channel, which may not exist.
    pub channel: ChannelId,
    /// At most one pair from the path, or two readings of one in the query, then at most one from the Authorization header. All count: an app
    /// has its account in the path, a player that was answered 401 adds the header, a proxy in between may add its own.
    pub offered: Vec<Credentials>,
}

/// A page, and who says to be asking; further credentials may stand among its parameters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ask {
    /// The page.
    pub page: Page,
    /// At most one pair from the path, then at most one from the Authorization header.
    pub offered: Vec<Credentials>,
}

/// Which content is asked for cannot be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadContent {
    /// A selector whose value is no identifier.
    #[error(transparent)]
    Malformed(#[from] NotAHash),
    /// No selector.
    #[error("no AceStream content named: one of id, content_id and infohash is required")]
    Missing,
    /// More than one selector.
    #[error("more than one AceStream content named: one of id, content_id and infohash is allowed")]
    Several,
}

/// Finds out what a request on the viewers' listener asks for.
///
/// A known path comes before its method, the method before the content. `path` and `query` are taken as they were sent.
#[must_use]
pub fn route(
    method: Method,
    path: &str,
    query: Option<&str>,
    authorization: Option<&Secret>,
) -> Route {
    let place = Place::find(path);
    let allow = place.as_ref().map_or(STREAM_ALLOW, Place::allow);
    if method == Method::Options {
        return Route::Options { allow };
    }
    let Some(place) = place else {
        return Route::NotFound;
    };
    if !place.has(method) {
        return Route::MethodNotAllowed { allow };
    }
    let header = authorization.and_then(basic_account);
    let (channel, offered) = match place {
        Place::Page { page, account } => {
            let offered = account.into_iter().chain(header).collect();
            return Route::Page(Ask { page, offered });
        }
        Place::Playlist => return Route::HlsUnavailable,
        Place::Channel { number, account } => (ChannelId::Configured(number), vec![account]),
        Place::Content => match content(query.unwrap_or_default()) {
            Ok(content) => {
                let form = Form::new(query.unwrap_or_default(), "");
                (ChannelId::Dynamic(content), form.accounts())
            }
            Err(error) => return Route::BadContent(error),
        },
    };
    Route::Watch(Watch {
        channel,
        offered: offered.into_iter().chain(header).collect(),
    })
}

/// What a request on the operator's listener asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AdminRoute {
    /// A path of the API, by a method that it has.
    Api(ApiPath),
    /// Whether the process lives.
    Healthz,
    /// A known path with a method it does not have.
    MethodNotAllowed {
        /// The value of the Allow header.
        allow: &'static str,
    },
    /// The counters as Prometheus text.
    Metrics,
    /// No such path.
    NotFound,
    /// A path of the page.
    Page(PagePath),
    /// Whether new viewers are taken.
    Readyz,
}

/// Finds out what a request on the operator's listener asks for.
#[must_use]
pub fn admin_route(method: Method, path: &str) -> AdminRoute {
    let route = match path {
        "/healthz" => AdminRoute::Healthz,
        "/metrics" => AdminRoute::Metrics,
        "/readyz" => AdminRoute::Readyz,
        _ => match PagePath::find(path) {
            Some(found) => AdminRoute::Page(found),
            None => return api_route(method, path),
        },
    };
    match method {
        Method::Get | Method::Head => route,
        _ => AdminRoute::MethodNotAllowed { allow: ADMIN_ALLOW },
    }
}

fn api_route(method: Method, path: &str) -> AdminRoute {
    match ApiPath::find(path) {
        Some(found) if found.has(method) => AdminRoute::Api(found),
        Some(found) => AdminRoute::MethodNotAllowed {
            allow: found.allow(),
        },
        None => AdminRoute::NotFound,
    }
}

/// Says whether a name begins the path of another route, so that no user may have it. Case does not matter.
#[must_use]
pub fn is_reserved(name: &str) -> bool {
    RESERVED.iter().any(|it| it.eq_ignore_ascii_case(name))
}

/// What a path of the viewers' listener is, whatever the method.
enum Place {
    Channel {
        number: u32,
        account: Credentials,
    },
    Content,
    Page {
        page: Page,
        account: Option<Credentials>,
    },
    Playlist,
}

impl Place {
    fn find(path: &str) -> Option<Self> {
        let segments: Vec<&str> = path.strip_prefix('/')?.split('/').collect();
        match segments.as_slice() {
            ["ace", "getstream"] => Some(Self::Content),
            [name] => Some(Self::Page {
                page: Page::at_top(name)?,
                account: None,
            }),
            ["live", user, password, file] => {
                Self::of_file(file, decoded_segment(user)?, decoded_segment(password)?)
            }
            [user, password, file] => {
                let user = decoded_segment(user).filter(|it| !is_reserved(it))?;
                let password = decoded_segment(password)?;
                match Page::behind_account(file) {
                    Some(page) => Some(Self::Page {
                        page,
                        account: Some(account(user, password)),
                    }),
                    None => Self::of_file(file, user, password),
                }
            }
            _ => None,
        }
    }

    fn allow(&self) -> &'static str {
        match self {
            Self::Page { page, .. } => page.allow(),
            _ => STREAM_ALLOW,
        }
    }

    fn has(&self, method: Method) -> bool {
        match method {
            Method::Get | Method::Head => true,
            Method::Post => matches!(self, Self::Page { page, .. } if page.takes_form()),
            _ => false,
        }
    }

    /// The last segment: a channel's number, with or without the name of a container.
    fn of_file(file: &str, user: String, password: String) -> Option<Self> {
        if file
            .strip_suffix(".m3u8")
            .and_then(channel_number)
            .is_some()
        {
            return Some(Self::Playlist);
        }
        let number = channel_number(file.strip_suffix(".ts").unwrap_or(file))?;
        Some(Self::Channel {
            number,
            account: account(user, password),
        })
    }
}

fn account(user: String, password: String) -> Credentials {
    Credentials {
        user,
        password: Secret::new(password),
    }
}

/// A channel's number as it is written: digits, no leading zero.
fn channel_number(text: &str) -> Option<u32> {
    let is_plain = text.bytes().all(|byte| byte.is_ascii_digit());
    let is_shortest = text == "0" || !text.starts_with('0');
    (is_plain && is_shortest).then(|| text.parse().ok())?
}

/// A user or password in a path: decoded once, and nothing that a path could be bent with.
fn decoded_segment(raw: &str) -> Option<String> {
    if raw.contains([';', '\\']) {
        return None;
    }
    let text = decoded(raw)?;
    let is_plain = !text.is_empty() && text != "." && text != ".." && !text.contains(['/', '\\']);
    is_plain.then_some(text)
}

/// Percent-decoded text without control characters. An escape that is none stands for itself.
fn decoded(raw: &str) -> Option<String> {
    let text = percent_decode_str(raw).decode_utf8().ok()?;
    (!text.contains(char::is_control)).then(|| text.into_owned())
}

/// The one AceStream content that a query names.
fn content(query: &str) -> Result<Content, BadContent> {
    let mut selectors = pairs(query).filter_map(|(name, value)| {
        let kind: fn(Hash) -> Content = match name {
            "content_id" | "id" => Content::ContentId,
            "infohash" => Content::Infohash,
            _ => return None,
        };
        Some((kind, value))
    });
    let (kind, value) = selectors.next().ok_or(BadContent::Missing)?;
    if selectors.next().is_some() {
        return Err(BadContent::Several);
    }
    Ok(kind(value.parse()?))
}

/// The account in an Authorization header, if it is of the Basic scheme. Source: RFC 7617.
fn basic_account(header: &Secret) -> Option<Credentials> {
    let (scheme, token) = header.expose().split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let text = String::from_utf8(STANDARD.decode(token.trim()).ok()?).ok()?;
    let (user, password) = text.split_once(':')?;
    (!text.contains(char::is_control)).then(|| Credentials {
        user: user.to_owned(),
        password: Secret::new(password),
    })
}

/// Names and values of a query, as they were sent.
fn pairs(query: &str) -> impl Iterator<Item = (&str, &str)> {
    query
        .split('&')
        .map(|it| it.split_once('=').unwrap_or((it, "")))
}

/// First segments of other routes, present and planned, on either listener: no user may have such a name, and
/// `/{user}/{password}/{id}` does not exist for them.
pub const RESERVED: &[&str] = &[
    "ace",
    "api",
    "device.xml",
    "discover.json",
    "get.php",
    "healthz",
    "hls",
    "licences",
    "lineup.json",
    "lineup.xml",
    "lineup_status.json",
    "live",
    "metrics",
    "movie",
    "page",
    "panel_api.php",
    "player_api.php",
    "playlist.m3u",
    "preview",
    "readyz",
    "series",
    "streaming",
    "timeshift",
    "xmltv.php",
];

/// The methods of a channel's path, as in an Allow header.
pub const STREAM_ALLOW: &str = "GET, HEAD, OPTIONS";

/// The methods of the operator's paths, as in an Allow header.
pub const ADMIN_ALLOW: &str = "GET, HEAD";

#[cfg(test)]
mod tests;
