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
use crate::channel::id::{ChannelId, Content, Hash, NotAHash};
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
    Options,
    /// A channel, by GET or by HEAD.
    Watch(Watch),
}

/// A channel, and who says to be asking.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Watch {
    /// The channel, which may not exist.
    pub channel: ChannelId,
    /// At most one pair from the path or query, then at most one from the Authorization header. Both count: an app
    /// has its account in the path, a player that was answered 401 adds the header, a proxy in between may add its own.
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
    if method == Method::Options {
        return Route::Options;
    }
    let Some(place) = Place::find(path) else {
        return Route::NotFound;
    };
    if !matches!(method, Method::Get | Method::Head) {
        return Route::MethodNotAllowed {
            allow: STREAM_ALLOW,
        };
    }
    let (channel, offered) = match place {
        Place::Playlist => return Route::HlsUnavailable,
        Place::Channel { number, account } => (ChannelId::Configured(number), Some(account)),
        Place::Content => match content(query.unwrap_or_default()) {
            Ok(content) => (ChannelId::Dynamic(content), query.and_then(query_account)),
            Err(error) => return Route::BadContent(error),
        },
    };
    let header = authorization.and_then(basic_account);
    Route::Watch(Watch {
        channel,
        offered: offered.into_iter().chain(header).collect(),
    })
}

/// What a request on the operator's listener asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AdminRoute {
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
        _ => return AdminRoute::NotFound,
    };
    match method {
        Method::Get | Method::Head => route,
        _ => AdminRoute::MethodNotAllowed { allow: ADMIN_ALLOW },
    }
}

/// Says whether a name begins the path of another route, so that no user may have it. Case does not matter.
#[must_use]
pub fn is_reserved(name: &str) -> bool {
    RESERVED.iter().any(|it| it.eq_ignore_ascii_case(name))
}

/// What a path of the viewers' listener is, whatever the method.
enum Place {
    Channel { number: u32, account: Credentials },
    Content,
    Playlist,
}

impl Place {
    fn find(path: &str) -> Option<Self> {
        let segments: Vec<&str> = path.strip_prefix('/')?.split('/').collect();
        match segments.as_slice() {
            ["ace", "getstream"] => Some(Self::Content),
            ["live", user, password, file] => {
                Self::of_file(file, decoded_segment(user)?, decoded_segment(password)?)
            }
            [user, password, file] => {
                let user = decoded_segment(user).filter(|it| !is_reserved(it))?;
                Self::of_file(file, user, decoded_segment(password)?)
            }
            _ => None,
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
        let password = Secret::new(password);
        Some(Self::Channel {
            number,
            account: Credentials { user, password },
        })
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

/// The account in a query: `user=` and, if it has one, `password=`; of two the first counts.
fn query_account(query: &str) -> Option<Credentials> {
    let value = |wanted| {
        pairs(query)
            .find(|(name, _)| *name == wanted)
            .map(|(_, value)| value)
    };
    Some(Credentials {
        user: decoded(value("user")?)?,
        password: Secret::new(decoded(value("password").unwrap_or_default())?),
    })
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
    "lineup.json",
    "lineup_status.json",
    "live",
    "metrics",
    "movie",
    "panel_api.php",
    "player_api.php",
    "playlist.m3u",
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
mod tests {
    use std::slice;

    use super::*;

    const DIGITS: &str = "0123456789abcdef0123456789abcdef01234567";

    fn get(target: &str) -> Route {
        let (path, query) = match target.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (target, None),
        };
        route(Method::Get, path, query, None)
    }

    fn offer(user: &str, password: &str) -> Credentials {
        Credentials {
            user: user.to_owned(),
            password: Secret::new(password),
        }
    }

    fn channel(number: u32, user: &str, password: &str) -> Route {
        Route::Watch(Watch {
            channel: ChannelId::Configured(number),
            offered: vec![offer(user, password)],
        })
    }

    fn dynamic(content: Content, offered: Vec<Credentials>) -> Route {
        Route::Watch(Watch {
            channel: ChannelId::Dynamic(content),
            offered,
        })
    }

    fn content_id() -> Content {
        Content::ContentId(DIGITS.parse().unwrap())
    }

    fn with_header(target: &str, header: &str) -> Vec<Credentials> {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        match route(Method::Get, path, Some(query), Some(&Secret::new(header))) {
            Route::Watch(watch) => watch.offered,
            other => panic!("{target} is {other:?}"),
        }
    }

    #[test]
    fn a_channel_has_four_spellings() {
        for path in ["/live/u/p/7.ts", "/live/u/p/7", "/u/p/7", "/u/p/7.ts"] {
            assert_eq!(get(path), channel(7, "u", "p"), "{path}");
            assert_eq!(
                get(&format!("{path}?x=/y&id=8")),
                channel(7, "u", "p"),
                "{path}"
            );
        }
        assert_eq!(
            get("/live/admin/admin/123.ts"),
            channel(123, "admin", "admin")
        );
    }

    #[test]
    fn a_playlist_of_a_channel_is_told_from_an_unknown_path() {
        for path in ["/live/u/p/7.m3u8", "/u/p/7.m3u8"] {
            assert_eq!(get(path), Route::HlsUnavailable, "{path}");
        }
        assert_eq!(get("/live/u/p/x.m3u8"), Route::NotFound);
        assert_eq!(get("/live/u/p/.m3u8"), Route::NotFound);
    }

    #[test]
    fn a_channel_number_is_written_in_one_way() {
        assert_eq!(get("/live/u/p/0.ts"), channel(0, "u", "p"));
        assert_eq!(get("/live/u/p/4294967295.ts"), channel(u32::MAX, "u", "p"));
        for file in [
            "",
            ".ts",
            "x",
            "7x",
            "7.TS",
            "7.mp4",
            "7.ts.ts",
            "7.",
            "+7",
            "-7",
            "07",
            "00",
            " 7",
            "7 ",
            "%37",
            "7%2Ets",
            "4294967296",
            "٣",
            "7;x",
            "7.ts;x",
        ] {
            assert_eq!(
                get(&format!("/live/u/p/{file}")),
                Route::NotFound,
                "{file:?}"
            );
            assert_eq!(get(&format!("/u/p/{file}")), Route::NotFound, "{file:?}");
        }
    }

    #[test]
    fn users_and_passwords_are_decoded_once() {
        assert_eq!(get("/live/a%40b/p%3Bq/7"), channel(7, "a@b", "p;q"));
        assert_eq!(get("/live/%C3%A9/%2541/7"), channel(7, "é", "%41"));
        assert_eq!(get("/live/a+b/50%/7"), channel(7, "a+b", "50%"));
    }

    #[test]
    fn no_trick_in_a_path_reaches_a_route() {
        let tricks = r"
            / // * /live /live/ /live/u /live/u/p /live/u/p/ /live/u/7 /live/u/p/7/ /live/u/p/7.ts/
            //live/u/p/7 /live//u/p/7 /live/u//7 /live//p/7 /./live/u/p/7 /live/./p/7 /live/u/./7
            /x/../live/u/p/7 /live/../u/7 /../u/7 /u/../7 /live/%2e/p/7 /live/%2e%2e/p/7 /%2e%2e/p/7
            /u/%2E./7 /LIVE/u/p/7 /%6cive/u/p/7 /%6cive/p/7 /Live/p/7 /live;x/u/p/7 /live/u;x/p/7
            /live/u/p;x=1/7 /u;x/p/7 /live/u%2Fv/p/7 /live/u%5Cv/p/7 /live/u\v/p/7 /live/u%00/p/7
            /live/u/p%0A/7 /live/u/p%0d/7 /live/u%1b/p/7 /live/u%7F/p/7 /live/u%C2%85/p/7
            /live/%FF/p/7 /a/live/u/p/7 live/u/p/7 u/p/7 /u/p/7/.. /u/7 /7 /ace /ace/
            /ace/getstream/ /ace//getstream /ace/getstream/7 /ace/./getstream /%61ce/getstream
            /Ace/getstream /ace/getstream;x /x/ace/getstream /movie/u/p/7.ts /streaming/u/p/7.ts
            /metrics /healthz /admin/
        ";
        for path in tricks.split_whitespace().chain([""]) {
            assert_eq!(
                get(&format!("{path}?id={DIGITS}")),
                Route::NotFound,
                "{path:?}"
            );
        }
    }

    #[test]
    fn the_short_form_takes_no_path_of_another_route() {
        for name in RESERVED {
            for name in [
                (*name).to_owned(),
                name.to_uppercase(),
                name.replace('a', "%61"),
            ] {
                assert_eq!(get(&format!("/{name}/p/7")), Route::NotFound, "{name}");
                assert_eq!(get(&format!("/{name}/p/7.m3u8")), Route::NotFound, "{name}");
            }
            assert!(is_reserved(name));
        }
        assert!(is_reserved("Live"));
        assert!(!is_reserved("anna"));
        assert!(!is_reserved("lives"));
    }

    #[test]
    fn reserved_names_are_sorted_and_stand_once() {
        assert!(RESERVED.is_sorted_by(|a, b| a < b));
    }

    #[test]
    fn content_is_named_by_either_kind_of_identifier() {
        let hash = DIGITS.parse().unwrap();
        for (query, content) in [
            (format!("id={DIGITS}"), Content::ContentId(hash)),
            (format!("content_id={DIGITS}"), Content::ContentId(hash)),
            (format!("infohash={DIGITS}"), Content::Infohash(hash)),
            (
                format!("pid=x&sid=y&id={DIGITS}&format=json&_idx=0&"),
                Content::ContentId(hash),
            ),
            (
                format!("&&infohash={}", DIGITS.to_uppercase()),
                Content::Infohash(hash),
            ),
        ] {
            assert_eq!(
                get(&format!("/ace/getstream?{query}")),
                dynamic(content, vec![]),
                "{query}"
            );
        }
    }

    #[test]
    fn content_that_cannot_be_told_is_refused_with_the_reason() {
        let malformed = BadContent::Malformed(NotAHash);
        for (query, error) in [
            ("".to_owned(), BadContent::Missing),
            ("pid=x".to_owned(), BadContent::Missing),
            (format!("ID={DIGITS}"), BadContent::Missing),
            (format!("url={DIGITS}"), BadContent::Missing),
            ("id=".to_owned(), malformed),
            ("id".to_owned(), malformed),
            ("infohash=xyz".to_owned(), malformed),
            (format!("id={DIGITS}0"), malformed),
            (format!("id=%30{}", &DIGITS[1..]), malformed),
            (format!("id={DIGITS}&id={DIGITS}"), BadContent::Several),
            (
                format!("id={DIGITS}&infohash={DIGITS}"),
                BadContent::Several,
            ),
            (format!("content_id={DIGITS}&id="), BadContent::Several),
        ] {
            let target = format!("/ace/getstream?{query}");
            assert_eq!(get(&target), Route::BadContent(error), "{query}");
        }
        assert_eq!(
            get("/ace/getstream"),
            Route::BadContent(BadContent::Missing)
        );
    }

    #[test]
    fn a_query_may_carry_an_account() {
        for (query, offered) in [
            (
                "&user=anna&password=ap%20ple",
                vec![offer("anna", "ap ple")],
            ),
            ("&password=x&user=anna", vec![offer("anna", "x")]),
            ("&user=anna", vec![offer("anna", "")]),
            (
                "&user=a&user=b&password=c&password=d",
                vec![offer("a", "c")],
            ),
            ("&user=a&password=b/c%2Bd+e", vec![offer("a", "b/c+d+e")]),
            ("&password=x", vec![]),
            ("&user=a%0Ab&password=x", vec![]),
            ("&user=a&password=%FF", vec![]),
        ] {
            let target = format!("/ace/getstream?id={DIGITS}{query}");
            assert_eq!(get(&target), dynamic(content_id(), offered), "{query}");
        }
    }

    #[test]
    fn a_basic_header_is_offered_after_what_the_path_says() {
        let anna = offer("anna", "ap:ple");
        for scheme in ["Basic", "basic", "BASIC", "Basic "] {
            let header = format!("{scheme} {}", STANDARD.encode("anna:ap:ple"));
            assert_eq!(
                with_header("/live/u/p/7", &header),
                [offer("u", "p"), anna.clone()]
            );
            let target = format!("/ace/getstream?id={DIGITS}");
            assert_eq!(with_header(&target, &header), slice::from_ref(&anna));
        }
    }

    #[test]
    fn an_authorization_that_is_no_account_is_not_offered() {
        let no_colon = format!("Basic {}", STANDARD.encode("anna"));
        let control = format!("Basic {}", STANDARD.encode("anna:a\nb"));
        let binary = format!("Basic {}", STANDARD.encode(b"anna:\xFF"));
        for header in [
            "",
            "Basic",
            "Basic ",
            "Basic !",
            "Bearer YTpi",
            "YTpi",
            &no_colon,
            &control,
            &binary,
        ] {
            assert_eq!(
                with_header("/live/u/p/7", header),
                [offer("u", "p")],
                "{header:?}"
            );
        }
    }

    #[test]
    fn a_path_comes_before_its_method_and_the_method_before_the_content() {
        for method in [Method::Post, Method::Delete, Method::Other] {
            assert_eq!(route(method, "/x", None, None), Route::NotFound);
            for path in ["/live/u/p/7.ts", "/u/p/7.m3u8", "/ace/getstream"] {
                let refusal = Route::MethodNotAllowed {
                    allow: "GET, HEAD, OPTIONS",
                };
                assert_eq!(route(method, path, None, None), refusal, "{path}");
            }
        }
        assert_eq!(
            route(Method::Head, "/u/p/7", None, None),
            channel(7, "u", "p")
        );
    }

    #[test]
    fn options_is_answered_on_any_path() {
        for path in ["*", "/", "/x", "/live/u/p/7.ts", "/ace/getstream"] {
            assert_eq!(
                route(Method::Options, path, None, None),
                Route::Options,
                "{path}"
            );
        }
    }

    #[test]
    fn a_route_does_not_print_the_credentials() {
        let shown = format!("{:?}", get("/live/anna/apple/7"));
        assert!(
            !shown.contains("anna") && !shown.contains("apple"),
            "{shown}"
        );
    }

    #[test]
    fn the_operator_has_three_paths_to_read() {
        for (path, expected) in [
            ("/healthz", AdminRoute::Healthz),
            ("/metrics", AdminRoute::Metrics),
            ("/readyz", AdminRoute::Readyz),
        ] {
            assert_eq!(admin_route(Method::Get, path), expected);
            assert_eq!(admin_route(Method::Head, path), expected);
            for method in [Method::Post, Method::Delete, Method::Options, Method::Other] {
                let refusal = AdminRoute::MethodNotAllowed { allow: "GET, HEAD" };
                assert_eq!(admin_route(method, path), refusal);
            }
        }
        for path in [
            "/",
            "/metrics/",
            "//metrics",
            "/Metrics",
            "/%6detrics",
            "/live/u/p/7.ts",
            "*",
            "",
        ] {
            assert_eq!(
                admin_route(Method::Get, path),
                AdminRoute::NotFound,
                "{path}"
            );
        }
    }
}
