//! Any path, query and Authorization header: no panic, and what is found means the same when it is written plainly.
#![no_main]

use corecast::account::secret::{PASSWORD_BYTES_MAX, Secret};
use corecast::channel::id::{ChannelId, Content};
use corecast::http::page::Page;
use corecast::http::request::Method;
use corecast::http::route::{self, Route, Watch};
use libfuzzer_sys::arbitrary::{self, Arbitrary};
use libfuzzer_sys::fuzz_target;

#[derive(Arbitrary, Debug)]
struct Asked<'a> {
    method: u8,
    path: Vec<Part<'a>>,
    query: Option<Vec<Part<'a>>>,
    header: Option<Vec<Part<'a>>>,
}

/// A part of a text: one that means something, or any.
#[derive(Arbitrary, Debug)]
enum Part<'a> {
    Known(u8),
    Number(u16),
    Text(&'a str),
}

fuzz_target!(|asked: Asked<'_>| {
    let method = METHODS[usize::from(asked.method) % METHODS.len()];
    let path = text_of(&asked.path);
    let query = asked.query.as_deref().map(text_of);
    let header = asked.header.as_deref().map(text_of).map(Secret::new);
    let ask = |method| route::route(method, &path, query.as_deref(), header.as_ref());
    let found = ask(method);
    let is_foreign = matches!(found, Route::NotFound | Route::Options { .. });
    let is_admin = route::admin_route(method, &path) != route::AdminRoute::NotFound;
    assert!(is_foreign || !is_admin, "a path is of one listener");
    match &found {
        Route::Watch(watch) => {
            assert!(matches!(method, Method::Get | Method::Head));
            check(&path, watch);
        }
        Route::Page(ask) => {
            assert!(matches!(method, Method::Get | Method::Head) || ask.page.takes_form());
            assert!(ask.offered.len() <= 2);
            let mut names = Page::ALL.iter().filter(|(page, _)| *page == ask.page);
            assert!(
                names.any(|(_, name)| path.ends_with(name)),
                "{path} is no page"
            );
        }
        Route::MethodNotAllowed { .. } => assert_ne!(ask(Method::Get), Route::NotFound),
        Route::BadContent(error) => assert!(!error.to_string().is_empty()),
        Route::HlsUnavailable | Route::NotFound | Route::Options { .. } => {}
    }
    assert_eq!(ask(Method::Get), ask(Method::Head));
});

/// Writes down plainly what was asked for, and asserts that it is read the same.
fn check(path: &str, watch: &Watch) {
    // Two readings of a query, and a header.
    assert!(watch.offered.len() <= 3);
    let (path, query) = match watch.channel {
        ChannelId::Configured(number) => {
            let account = &watch.offered[0];
            for text in [account.user.as_str(), account.password.expose()] {
                assert!(!["", ".", ".."].contains(&text), "{path} may be bent");
                assert!(!text.contains(['/', '\\']) && !text.contains(char::is_control));
            }
            let is_short = !path.starts_with("/live/");
            assert!(!(is_short && route::is_reserved(&account.user)));
            let (user, password) = (escaped(&account.user), escaped(account.password.expose()));
            (format!("/live/{user}/{password}/{number}.ts"), None)
        }
        ChannelId::Dynamic(content) => {
            let name = match content {
                Content::ContentId(_) => "id",
                Content::Infohash(_) => "infohash",
            };
            let mut query = format!("{name}={}", content.hash());
            if let [account, ..] = watch.offered.as_slice() {
                // A header may carry more than any account has; a query may not.
                let texts = [account.user.as_str(), account.password.expose()];
                if texts.iter().any(|text| text.len() > PASSWORD_BYTES_MAX) {
                    return;
                }
                let (user, password) = (escaped(&account.user), escaped(account.password.expose()));
                query += &format!("&user={user}&password={password}");
            }
            ("/ace/getstream".to_owned(), Some(query))
        }
    };
    let Route::Watch(again) = route::route(Method::Get, &path, query.as_deref(), None) else {
        panic!("{path} is no channel");
    };
    assert_eq!(again.channel, watch.channel);
    assert_eq!(again.offered.first(), watch.offered.first());
}

fn text_of(parts: &[Part<'_>]) -> String {
    let texts = parts.iter().map(|part| match part {
        Part::Known(index) => KNOWN[usize::from(*index) % KNOWN.len()].to_owned(),
        Part::Number(number) => number.to_string(),
        Part::Text(text) => (*text).to_owned(),
    });
    texts.collect()
}

fn escaped(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

const METHODS: [Method; 6] = [
    Method::Delete,
    Method::Get,
    Method::Head,
    Method::Options,
    Method::Other,
    Method::Post,
];

const KNOWN: [&str; 34] = [
    "/",
    "player_api.php",
    "lineup.json",
    "/live/",
    "/ace/getstream",
    "/u/p/",
    ".ts",
    ".m3u8",
    "/healthz",
    "/metrics",
    "live",
    "ace",
    "%2F",
    "%",
    "%00",
    "%C3%A9",
    "..",
    ".",
    ";",
    "\\",
    "0",
    "id=",
    "content_id=",
    "infohash=",
    "user=",
    "password=",
    "&",
    "=",
    "0123456789abcdef0123456789abcdef01234567",
    "Basic ",
    "dTpw",
    "bGl2ZTpw",
    "OnA=",
    "4294967296",
];
