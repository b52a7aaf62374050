//! The page without a browser, or without its script: what is sent, to whom, and under which policy.
//!
//! The rule: whoever has no token learns nothing of the server but that it is there.

use super::{TAB, player, relaying, shown};
use crate::browser::Browser;
use crate::config::Config;
use crate::http::{self, Reply};
use crate::launch::Launch;
use crate::server::Server;

/// Asks the operator's listener with further header lines.
#[track_caller]
fn ask(server: &Server, target: &str, headers: &str) -> Reply {
    let admin = server.admin();
    let request =
        format!("GET {target} HTTP/1.1\r\nHost: {admin}\r\n{headers}Connection: close\r\n\r\n");
    http::ask(admin, &request)
}

#[test]
fn page_is_readable_without_its_script_and_takes_no_markup_from_outside() {
    let (_upstream, server) = relaying();
    let evil = player(&server, "<img src=x onerror=alert(1)>/1.0");
    evil.wait("media", |state| state.seen().packets > 100);
    let page = ask(&server, "/", "");
    assert_eq!(page.status(), 200);
    assert_eq!(
        page.header("content-type"),
        Some("text/html; charset=utf-8")
    );
    let text = page.text();
    for wanted in [
        "Channel 7 (7)",
        "<td>127.0.0.1</td>",
        "live for 0:00:",
        " Mbit/s</td>",
        "ready",
    ] {
        assert!(text.contains(wanted), "{wanted} is not in {text}");
    }
    assert!(!text.contains("<img"), "{text}");
    assert!(
        text.contains("&lt;img src=x onerror=alert(1)&gt;/1.0"),
        "{text}"
    );
    assert!(!text.contains('{'), "{text}");
    let browser = shown(&server, 1280);
    browser.wait(3_000, "its row", "return rows('viewers') === 1");
    assert_eq!(
        browser.run("return document.querySelectorAll('img').length"),
        0
    );
    let title = browser.run("return document.querySelector('#viewers td:nth-child(2) span').title");
    assert_eq!(title, "<img src=x onerror=alert(1)>/1.0");
}

#[test]
fn page_and_its_files_carry_the_policy_and_are_sent_once() {
    let (_upstream, server) = relaying();
    for target in [
        "/",
        "/page/page.css",
        "/page/page.js",
        "/page/icon.svg",
        "/licences",
    ] {
        let reply = ask(&server, target, "");
        assert_eq!(reply.status(), 200, "{target}");
        let policy = reply.header("content-security-policy").unwrap();
        assert!(
            policy.starts_with("default-src 'none'; script-src 'self';"),
            "{policy}"
        );
        assert!(!policy.contains("unsafe"), "{policy}");
        assert_eq!(
            reply.header("x-content-type-options"),
            Some("nosniff"),
            "{target}"
        );
        let kept = match target {
            "/" => "no-store",
            _ => "no-cache",
        };
        assert_eq!(reply.header("cache-control"), Some(kept), "{target}");
        if let Some(tag) = reply.header("etag") {
            let again = ask(&server, target, &format!("If-None-Match: {tag}\r\n"));
            assert_eq!((again.status(), again.body.len()), (304, 0), "{target}");
            assert_eq!(again.header("etag"), Some(tag));
        }
    }
    for id in ["8", "x", "", "infohash:1"] {
        let preview = format!("/preview/{id}.ts");
        assert_eq!(ask(&server, &preview, "").status(), 404, "{preview}");
    }
    assert_eq!(ask(&server, "/page/", "").status(), 404);
    assert_eq!(ask(&server, "/page/../page/page.js", "").status(), 404);
    assert_eq!(ask(&server, "/page/index.html", "").status(), 404);
}

/// A server whose operator has a token.
fn guarded() -> Server {
    let launch = Launch::new(
        &Config::new()
            .set("admin", "token_file", "\"token\"")
            .demo(7),
    );
    std::fs::write(launch.folder().join("token"), TOKEN).unwrap();
    launch.start()
}

#[test]
fn without_the_token_the_page_tells_nothing_and_asks_for_it() {
    let server = guarded();
    let viewer = server.viewer(7);
    viewer.wait("media", |state| state.seen().packets > 100);
    let page = ask(&server, "/", "");
    assert_eq!(page.status(), 200);
    assert!(!page.text().contains("Channel 7"), "{}", page.text());
    assert!(!page.text().contains("127.0.0.1"), "{}", page.text());
    assert_eq!(ask(&server, "/preview/7.ts", "").status(), 401);
    let bearer = format!("Authorization: Bearer {TOKEN}\r\n");
    assert!(ask(&server, "/", &bearer).text().contains("Channel 7 (7)"));

    let browser = Browser::start(1280, 900);
    browser.go(&format!("http://{}/", server.admin()));
    browser.wait(
        3_000,
        "a question",
        "return document.querySelector('#token').open",
    );
    let answer = |token: &str| {
        let letters: Vec<String> = token.chars().map(String::from).collect();
        let mut keys: Vec<&str> = letters.iter().map(String::as_str).collect();
        keys.push(super::ENTER);
        browser.press(&keys);
    };
    answer("a-wrong-token-of-20-letters");
    let is_told = "return document.querySelector('#token-says').checkVisibility()";
    browser.wait(3_000, "that it is wrong", is_told);
    answer(TOKEN);
    browser.wait(5_000, "a live page", super::LIVE);
    browser.wait(
        3_000,
        "its channel",
        "return said('channels').includes('Channel 7')",
    );
    browser.press(&[TAB]);
    browser.go(&format!("http://{}/", server.admin()));
    browser.wait(5_000, "a live page that did not ask again", super::LIVE);
}

const TOKEN: &str = "canary-token-0123456789";
