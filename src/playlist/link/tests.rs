//! What `link.rs` promises, tried.

use super::*;
use crate::playlist::m3u::Entries;

const ELSEWHERE: Origin<'_> = Origin {
    user_agent: None,
    is_local: false,
};

const HASH: &str = "0123456789abcdef0123456789abcdef01234567";

fn first(text: &str) -> Entry<'_> {
    let mut entries = Entries::of(text.as_bytes());
    entries.next().unwrap().unwrap()
}

fn of(text: &str, origin: Origin<'_>) -> Result<Upstream, Skip> {
    let text = format!("#EXTM3U\n{text}\n");
    upstream(&first(&text), origin)
}

#[track_caller]
fn url_of(text: &str) -> String {
    match of(text, ELSEWHERE) {
        Ok(Upstream::Http { url, .. }) => url.to_string(),
        other => panic!("{text}: {other:?}"),
    }
}

/// The User-Agent and the headers that the requests of an entry carry.
fn asked(text: &str, user_agent: Option<&str>) -> (Option<String>, Vec<(String, String)>) {
    let origin = Origin {
        user_agent,
        is_local: false,
    };
    match of(text, origin) {
        Ok(Upstream::Http {
            user_agent,
            headers,
            ..
        }) => (user_agent, headers),
        other => panic!("{text}: {other:?}"),
    }
}

#[test]
fn a_link_is_fetched_as_it_stands() {
    for (link, url) in [
        ("http://h/live/u/p/1.ts", "http://h/live/u/p/1.ts"),
        (
            "HTTPS://h:8443/u/p/1?token=a%20b",
            "https://h:8443/u/p/1?token=a%20b",
        ),
        ("http://u:p@h/a b.ts", "http://u:p@h/a%20b.ts"),
        ("http://h/1.ts|User-Agent=x", "http://h/1.ts"),
        (
            "http://192.168.1.5:9981/stream/1",
            "http://192.168.1.5:9981/stream/1",
        ),
    ] {
        assert_eq!(url_of(link), url);
    }
}

#[test]
fn engine_content_is_asked_of_the_configured_engine() {
    let hash: Hash = HASH.parse().unwrap();
    for (link, content) in [
        (format!("acestream://{HASH}"), Content::ContentId(hash)),
        (format!("AceStream://{HASH}/"), Content::ContentId(hash)),
        (
            format!("acestream:?infohash={HASH}"),
            Content::Infohash(hash),
        ),
        (
            format!("acestream://?content_id={HASH}"),
            Content::ContentId(hash),
        ),
        (
            format!("http://127.0.0.1:6878/ace/getstream?id={HASH}"),
            Content::ContentId(hash),
        ),
        (
            format!("http://other:6878/ace/getstream?pid=1&infohash={HASH}|User-Agent=x"),
            Content::Infohash(hash),
        ),
        (
            format!("http://h/ace/manifest.m3u8?content_id={HASH}"),
            Content::ContentId(hash),
        ),
    ] {
        match of(&link, ELSEWHERE) {
            Ok(Upstream::Ace {
                content: asked,
                user_agent: None,
            }) => assert_eq!(asked, content, "{link}"),
            other => panic!("{link}: {other:?}"),
        }
    }
    for link in ["acestream://", "acestream://1234", "acestream:?id=x"] {
        assert_eq!(of(link, ELSEWHERE).unwrap_err(), Skip::Address, "{link}");
    }
}

#[test]
fn what_is_no_live_ts_over_http_is_left_out_with_its_reason() {
    for (link, skip) in [
        ("http://h/live/u/p/1.m3u8", Skip::Hls),
        ("http://h/a.M3U8?token=1", Skip::Hls),
        ("http://h/get?output=m3u8", Skip::Hls),
        ("http://h/a.mpd", Skip::Hls),
        ("http://h/movie/u/p/1.ts", Skip::File),
        ("http://h/series/u/p/1", Skip::File),
        ("http://h/a.MKV", Skip::File),
        ("rtmp://h/live", Skip::Scheme),
        ("rtsp://h/live", Skip::Scheme),
        ("udp://@239.0.0.1:1234", Skip::Scheme),
        ("plugin://plugin.video.x/", Skip::Scheme),
        ("file:///etc/passwd", Skip::Scheme),
        ("channel.ts", Skip::Address),
        ("/folder/channel", Skip::Address),
        ("http://", Skip::Address),
        ("http://h:0/", Skip::Address),
        ("http://h:99999/", Skip::Address),
    ] {
        assert_eq!(of(link, ELSEWHERE).unwrap_err(), skip, "{link}");
    }
}

#[test]
fn a_list_from_elsewhere_does_not_lead_to_this_host() {
    let here = Origin {
        is_local: true,
        ..ELSEWHERE
    };
    for link in [
        "http://127.0.0.1:8001/api/v1/drain",
        "http://localhost/1.ts",
        "http://tv.localhost./1.ts",
        "http://[::1]/1.ts",
        "http://0.0.0.0/1.ts",
        "http://169.254.169.254/latest/",
        "http://2130706433/1.ts",
    ] {
        assert_eq!(of(link, ELSEWHERE).unwrap_err(), Skip::Local, "{link}");
        assert!(of(link, here).is_ok(), "{link}");
    }
}

#[test]
fn hints_reach_the_requests() {
    let header = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let page = vec![header("Referer", "http://page/?a=1&b")];
    let vlc = "#EXTVLCOPT:http-user-agent=Agent 1\n#EXTVLCOPT:http-referrer=http://page/?a=1&b\nhttp://h/1";
    assert_eq!(asked(vlc, None), (Some("Agent 1".to_owned()), page.clone()));
    let kodi =
        "http://h/1|User-Agent=Agent%201&Referer=http%3A%2F%2Fpage%2F%3Fa%3D1%26b&seekable=0";
    assert_eq!(asked(kodi, None), (Some("Agent 1".to_owned()), page));
    let attribute = "#EXTINF:-1 http-user-agent=\"A\" http-referrer=\"http://r/\",T\nhttp://h/1";
    assert_eq!(
        asked(attribute, None),
        (Some("A".into()), vec![header("Referer", "http://r/")])
    );
    let json = "#EXTHTTP:{\"cookie\":\"a=b\",\"Origin\":\"http://o\"}\nhttp://h/1";
    assert_eq!(
        asked(json, Some("usual")),
        (
            Some("usual".into()),
            vec![header("Origin", "http://o"), header("Cookie", "a=b")]
        )
    );
}

#[test]
fn the_link_wins_over_lines_and_those_over_attributes() {
    let text = "#EXTINF:-1 http-user-agent=\"attribute\" user-agent=\"b\",T\n\
        #EXTVLCOPT:http-user-agent=line\nhttp://h/1|user-agent=link";
    assert_eq!(asked(text, Some("usual")).0.unwrap(), "link");
    let text = text.replace("|user-agent=link", "");
    assert_eq!(asked(&text, Some("usual")).0.unwrap(), "line");
    let text = text.replace("#EXTVLCOPT:http-user-agent=line\n", "");
    assert_eq!(asked(&text, Some("usual")).0.unwrap(), "attribute");
}

#[test]
fn a_hint_that_no_request_can_carry_is_left_out() {
    let long = "x".repeat(5_000);
    for hints in [
        "User-Agent=a%0D%0AHost:%20x",
        "Host=other",
        "Content-Length=5",
        "Referer=%00",
        "User-Agent=",
        &format!("User-Agent={long}"),
        "X-Forwarded-For=1.2.3.4",
        "=",
        "&&&",
    ] {
        let link = format!("http://h/1|{hints}");
        assert_eq!(asked(&link, None), (None, Vec::new()), "{hints}");
    }
}
