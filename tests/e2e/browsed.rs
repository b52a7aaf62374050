//! The operator's page in a real browser: what it shows, what its buttons do, and what it costs.
//!
//! How the browser is driven is in `browser.rs`. The rule: what the page shows is compared with what is so.

mod below;
mod first_minute;
mod plain;

use std::time::{Duration, Instant};

use corecast_load::packets::Source;

use crate::browser::Browser;
use crate::config::Config;
use crate::names::metric;
use crate::server::{Server, path};
use crate::upstream::Upstream;
use crate::viewer::{End, Reading, Viewer};

/// A browser that shows the page of a server.
#[track_caller]
fn shown(server: &Server, width: u32) -> Browser {
    let browser = Browser::start(width, 900);
    browser.go(&format!("http://{}/", server.admin()));
    browser.wait(5_000, "a live page", LIVE);
    browser
}

/// A server whose channel 7 has an upstream of its own.
fn relaying() -> (Upstream, Server) {
    let upstream = Upstream::live(Source::new(1, 2_000));
    let config = Config::new()
        .set("stream", "idle_timeout_ms", 500)
        .channel(7, &[upstream.url("/a.ts")]);
    let server = Server::start(&config);
    (upstream, server)
}

/// A viewer that says it is this player.
fn player(server: &Server, user_agent: &str) -> Viewer {
    let target = path(7);
    let request = format!("GET {target} HTTP/1.1\r\nHost: a\r\nUser-Agent: {user_agent}\r\n\r\n");
    Viewer::on(server.connect(server.address()), &request, Reading::Full)
}

#[test]
fn page_tells_what_the_server_does_and_complains_of_nothing() {
    let (_upstream, server) = relaying();
    let viewers: Vec<Viewer> = (0..3).map(|_| server.viewer(7)).collect();
    server.wait_metric(metric::VIEWERS, &[], 3);
    let browser = shown(&server, 1280);
    browser.wait(3_000, "three viewers", "return rows('viewers') === 3");
    browser.wait(3_000, "their number", "return said('viewers-now') === '3'");
    let is_live =
        "return said('channels').includes('Channel 7') && said('channels').includes('live')";
    browser.wait(3_000, "the channel", is_live);
    browser.wait(
        3_000,
        "its rate",
        "return /\\d\\.\\d\\d Mbit\\/s/.test(said('channels'))",
    );
    assert_eq!(browser.run("return rows('shards')"), 2);
    let verdict = browser.wait(
        5_000,
        "a verdict",
        "return said('verdict').startsWith('All is well') && said('verdict')",
    );
    assert_eq!(verdict, "All is well: 1 channel live");
    browser.wait(3_000, "events", "return rows('events') > 0");
    browser.wait(
        5_000,
        "the log",
        "return said('log').includes('ready listen=')",
    );
    drop(viewers);
    browser.wait(
        3_000,
        "nobody",
        "return said('viewers-now') === '0' && rows('viewers') === 0",
    );
    let origin = format!("http://{}/", server.admin());
    for url in browser.fetched() {
        assert!(url.starts_with(&origin), "{url} is not of this server");
    }
    assert_eq!(browser.complaints(), Vec::<String>::new());
}

#[test]
fn closing_a_viewer_on_the_page_ends_it_and_its_row() {
    let (_upstream, server) = relaying();
    let (stays, goes) = (player(&server, "stays/1.0"), player(&server, "goes/2.0"));
    let browser = shown(&server, 1280);
    browser.wait(3_000, "both rows", "return rows('viewers') === 2");
    let button = "#viewers tr:has([title='goes/2.0']) button";
    browser.click(button);
    browser.wait(2_000, "one row", "return rows('viewers') === 1");
    assert_eq!(goes.wait_end(), End::Closed, "an orderly end, not a reset");
    assert_eq!(goes.seen().tail_bytes, 0);
    assert!(
        browser
            .run("return said('viewers')")
            .as_str()
            .unwrap()
            .contains("stays 1.0")
    );
    stays.wait_more(200);
    browser.wait(3_000, "an event", "return said('events').length > 0");
}

#[test]
fn page_says_within_two_seconds_that_an_upstream_is_gone() {
    let (mut upstream, server) = relaying();
    let viewer = server.viewer(7);
    viewer.wait("media", |state| state.seen().packets > 100);
    let browser = shown(&server, 1280);
    browser.wait(
        3_000,
        "a live channel",
        "return said('channels').includes('live')",
    );
    upstream.stop();
    let began = Instant::now();
    browser.wait(
        4_000,
        "a stalled channel",
        "return said('channels').includes('stalled')",
    );
    let took = began.elapsed();
    assert!(took < Duration::from_secs(2), "it took {took:?}");
    let verdict = browser.wait(
        1_000,
        "a verdict",
        "return said('verdict').includes('stalled') && said('verdict')",
    );
    assert!(
        verdict
            .as_str()
            .unwrap()
            .starts_with("Channel 7 stalled at "),
        "{verdict}"
    );
}

#[test]
fn restart_asks_first_and_then_fetches_anew() {
    let (upstream, server) = relaying();
    let viewer = server.viewer(7);
    viewer.wait("media", |state| state.seen().packets > 100);
    let browser = shown(&server, 1280);
    browser.wait(
        3_000,
        "a live channel",
        "return said('channels').includes('live')",
    );
    let restart = "#channels button[aria-label='Restart Channel 7']";
    browser.click(restart);
    browser.wait(
        1_000,
        "a question",
        "return document.querySelector('#sure').open",
    );
    browser.press(&[ESCAPE]);
    browser.wait(
        1_000,
        "no question",
        "return !document.querySelector('#sure').open",
    );
    assert_eq!(upstream.double().connections(), 1, "an escape is no yes");
    browser.click(restart);
    browser.click("#sure-yes");
    crate::within(3_000, "another fetch", || {
        upstream.double().connections() == 2
    });
    viewer.wait_more(200);
    assert_eq!(viewer.ended(), None);
}

#[test]
fn page_works_by_keyboard_alone() {
    let (_upstream, server) = relaying();
    let viewer = player(&server, "goes/2.0");
    viewer.wait("media", |state| state.seen().packets > 100);
    let browser = shown(&server, 1280);
    browser.wait(3_000, "its row", "return rows('viewers') === 1");
    let sorted =
        "return document.querySelector('#viewers th[aria-sort]:not([aria-sort=none])').textContent";
    assert_eq!(browser.run(sorted), "Time");
    let mut focused = Vec::new();
    for _ in 0..40 {
        browser.press(&[TAB]);
        let name = browser.run(
            "const at = document.activeElement; \
             if (at === document.body) return ''; \
             const ring = getComputedStyle(at).outlineStyle; \
             return `${at.getAttribute('aria-label') ?? (at.textContent.trim() || at.id)}${ring === 'none' ? ' (unseen)' : ''}`",
        );
        let name = name.as_str().unwrap().to_owned();
        if name == "Behind live" {
            browser.press(&[ENTER]);
        }
        focused.push(name);
        if focused.last().unwrap().starts_with("Close the viewer") {
            browser.press(&[ENTER]);
            break;
        }
    }
    assert!(
        focused.last().unwrap().starts_with("Close the viewer"),
        "{focused:?}"
    );
    let unseen: Vec<_> = focused
        .iter()
        .filter(|name| name.ends_with("(unseen)"))
        .collect();
    assert!(unseen.is_empty(), "no focus is seen on {unseen:?}");
    for name in [
        "To the channels",
        "Preview Channel 7",
        "Copy URL of Channel 7",
        "Restart Channel 7",
    ] {
        assert!(
            focused.iter().any(|it| it == name),
            "{name} is not among {focused:?}"
        );
    }
    assert_eq!(browser.run(sorted), "Behind live");
    assert_eq!(viewer.wait_end(), End::Closed);
}

#[test]
fn page_at_a_thousand_viewers_leaves_the_browser_its_time() {
    let upstream = Upstream::live(Source::new(1, 200));
    let server = Server::start(&Config::new().channel(7, &[upstream.url("/a.ts")]));
    let viewers: Vec<Viewer> = (0..1_000).map(|_| server.viewer(7)).collect();
    server.wait_metric_within(30_000, metric::VIEWERS, &[], 1_000);
    let browser = shown(&server, 1280);
    browser.run(
        "document.querySelector('#viewers-limit').value = '500'; \
        document.querySelector('#viewers-limit').dispatchEvent(new Event('change'))",
    );
    browser.wait(10_000, "500 rows", "return rows('viewers') === 500");
    browser.wait(
        5_000,
        "the number",
        "return said('viewers-now') === '1,000'",
    );
    let ten_seconds = "const now = document.getElementById('pulse').textContent; \
        window.seen ??= new Set(); \
        return window.seen.add(now).size > 10";
    let share = browser.scripting(|| {
        browser.wait(30_000, "news of ten seconds", ten_seconds);
    });
    assert!(share < 0.2, "scripts ran for {share:.3} of the time");
    drop(viewers);
}

#[test]
fn narrow_page_has_nothing_beside_it() {
    let (_upstream, server) = relaying();
    let _viewers: Vec<Viewer> = (0..3).map(|_| server.viewer(7)).collect();
    for width in [390, 768, 1280] {
        let browser = shown(&server, width);
        browser.wait(3_000, "three viewers", "return rows('viewers') === 3");
        let wide = browser.run(
            // Heads of tables that are cards are there to be heard and not to be seen.
            "const unseen = it => it && (getComputedStyle(it).clipPath !== 'none' || unseen(it.parentElement)); \
             return [...document.querySelectorAll('body *')].filter(it => it.offsetParent && !unseen(it) \
             && it.getBoundingClientRect().right > document.documentElement.clientWidth + 1).map(it => it.outerHTML.slice(0, 90))",
        );
        assert_eq!(wide, serde_json::json!([]), "at {width} pixels");
        let scrolls = browser.run(
            "const page = document.documentElement; return page.scrollWidth - page.clientWidth",
        );
        assert_eq!(scrolls, 0, "at {width} pixels");
    }
}

#[test]
fn text_stands_out_in_light_and_in_dark() {
    let upstream = Upstream::live(Source::new(1, 2_000));
    let config = Config::new()
        .channel(7, &[upstream.url("/a.ts")])
        .channel(8, &["http://127.0.0.1:9/none.ts".to_owned()]);
    let server = Server::start(&config);
    let viewer = server.viewer(7);
    viewer.wait("media", |state| state.seen().packets > 100);
    assert_eq!(server.get(&path(8)).status(), 502);
    let browser = shown(&server, 1280);
    browser.wait(
        5_000,
        "what failed",
        "return said('verdict').includes('Channel 8')",
    );
    browser.wait(
        5_000,
        "its error",
        "return document.querySelector('#channels .clip.bad')",
    );
    for scheme in ["light", "dark"] {
        let feature = serde_json::json!({"name": "prefers-color-scheme", "value": scheme});
        let media = serde_json::json!({"features": [feature]});
        browser.devtools("Emulation.setEmulatedMedia", &media);
        let faint = browser.run(CONTRAST);
        assert_eq!(faint, serde_json::json!([]), "{scheme}");
        let ground =
            browser.run("return getComputedStyle(document.documentElement).backgroundColor");
        let is_dark = ground.as_str().unwrap() == "rgb(13, 16, 20)";
        assert_eq!(is_dark, scheme == "dark", "{ground}");
    }
}

/// Texts that stand out from their ground by less than 4.5 to 1. Source: WCAG 2.2, 1.4.3.
const CONTRAST: &str = "\
    const light = colour => { \
      const [r, g, b] = colour.match(/[\\d.]+/g).map(it => it / 255) \
        .map(it => it <= 0.04045 ? it / 12.92 : ((it + 0.055) / 1.055) ** 2.4); \
      return 0.2126 * r + 0.7152 * g + 0.0722 * b; }; \
    const ground = it => { \
      const colour = getComputedStyle(it).backgroundColor; \
      return colour === 'rgba(0, 0, 0, 0)' ? ground(it.parentElement) : colour; }; \
    const texts = [...document.querySelectorAll('body *')].filter(it => it.checkVisibility() && !it.disabled \
      && [...it.childNodes].some(child => child.nodeType === 3 && child.textContent.trim())); \
    return texts.map(it => { \
      const [low, high] = [light(getComputedStyle(it).color), light(ground(it))].sort((a, b) => a - b); \
      return [(high + 0.05) / (low + 0.05), it.textContent.slice(0, 40)]; \
    }).filter(([ratio]) => ratio < 4.5)";

/// Whether the page has had news, and what the other scripts call.
const LIVE: &str = "\
    window.rows = id => document.querySelectorAll(`#${id} tbody tr, #${id} ol > li`).length; \
    window.said = id => document.getElementById(id).innerText; \
    return document.getElementById('pulse').dataset.live === 'yes'";

/// Keys as WebDriver writes them.
const ENTER: &str = "\u{e007}";
const ESCAPE: &str = "\u{e00c}";
const TAB: &str = "\u{e004}";
