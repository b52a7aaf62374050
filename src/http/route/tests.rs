//! What `route.rs` promises, tried.

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
        ("&username=a&password=b", vec![offer("a", "b")]),
        // As a form means it, and as a player that does not escape.
        (
            "&user=a&password=b/c%2Bd+e",
            vec![offer("a", "b/c+d e"), offer("a", "b/c+d+e")],
        ),
        ("&password=x", vec![]),
        ("&user=a%0Ab&password=x", vec![]),
        ("&user=a&password=%FF", vec![offer("a", "\u{fffd}")]),
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
            Route::Options {
                allow: "GET, HEAD, OPTIONS"
            },
            "{path}"
        );
    }
    assert_eq!(
        route(Method::Options, "/player_api.php", None, None),
        Route::Options {
            allow: "GET, HEAD, OPTIONS, POST"
        }
    );
}

fn page(page: Page, offered: Vec<Credentials>) -> Route {
    Route::Page(Ask { page, offered })
}

#[test]
fn every_page_has_a_path_that_no_user_and_no_channel_can_have() {
    for (known, name) in Page::ALL {
        let path = format!("/{name}");
        assert_eq!(get(&path), page(known, Vec::new()));
        assert_eq!(
            get(&format!("{path}?username=anna")),
            page(known, Vec::new())
        );
        assert!(is_reserved(name), "{name}");
        for path in [
            format!("{path}/"),
            format!("/{path}"),
            format!("/{name}/p/7"),
        ] {
            assert_eq!(get(&path), Route::NotFound, "{path}");
        }
        let header = Secret::new(format!("Basic {}", STANDARD.encode("anna:apple")));
        assert_eq!(
            route(Method::Head, &path, None, Some(&header)),
            page(known, vec![offer("anna", "apple")])
        );
    }
}

#[test]
fn a_page_that_reads_forms_may_be_posted_to() {
    for (known, name) in Page::ALL {
        let posted = route(Method::Post, &format!("/{name}"), None, None);
        if known.takes_form() {
            assert_eq!(posted, page(known, Vec::new()), "{name}");
        } else {
            let allow = "GET, HEAD, OPTIONS";
            assert_eq!(posted, Route::MethodNotAllowed { allow }, "{name}");
        }
        let allow = known.allow();
        let deleted = route(Method::Delete, &format!("/{name}"), None, None);
        assert_eq!(deleted, Route::MethodNotAllowed { allow });
    }
}

#[test]
fn a_tuner_may_have_its_account_in_the_path() {
    assert_eq!(
        get("/anna/ap%2Bple/lineup.json"),
        page(Page::Lineup, vec![offer("anna", "ap+ple")])
    );
    for path in [
        "/anna/apple/player_api.php",
        "/anna/apple/playlist.m3u",
        "/live/apple/lineup.json",
        "/live/anna/apple/lineup.json",
        "/anna//lineup.json",
        "/anna/../lineup.json",
    ] {
        assert_eq!(get(path), Route::NotFound, "{path}");
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
fn the_operator_has_paths_to_read_and_paths_of_the_api() {
    let preview = PagePath::Preview(Some(ChannelId::Configured(7)));
    for (path, expected) in [
        ("/", AdminRoute::Page(PagePath::Page)),
        ("/licences", AdminRoute::Page(PagePath::Licences)),
        ("/preview/7.ts", AdminRoute::Page(preview)),
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
    for (method, path) in [
        (Method::Get, "/api/v1/status"),
        (Method::Options, "/api/v1/status"),
        (Method::Delete, "/api/v1/viewers/0-1"),
        (Method::Post, "/api/v1/drain"),
    ] {
        let route = admin_route(method, path);
        assert!(matches!(route, AdminRoute::Api(_)), "{path}: {route:?}");
    }
    let refusal = AdminRoute::MethodNotAllowed {
        allow: "OPTIONS, POST",
    };
    assert_eq!(admin_route(Method::Get, "/api/v1/drain"), refusal);
    for path in [
        "/page",
        "/page/",
        "/preview/",
        "/api",
        "/api/v1/metrics",
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
