//! A newcomer's first minute, and the picture that moves in it.
//!
//! The rule: a picture is told by the bar code in it, read from what the browser has decoded.

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{ESCAPE, LIVE, shown};
use crate::browser::Browser;
use crate::config::Config;
use crate::launch::Launch;
use crate::names::metric;
use crate::server::{Server, path};
use crate::within;

/// What a picture shows and when, as the browser has it.
#[derive(Clone, Copy, Debug)]
struct Shown {
    number: f64,
    media_s: f64,
}

/// Reads the bar code of the next picture that is shown.
fn next_picture(browser: &Browser) -> Shown {
    let told = browser.run(
        "const video = document.querySelector('#preview video'); \
         return new Promise(resolve => video.requestVideoFrameCallback((now, frame) => { \
           const canvas = document.createElement('canvas'); \
           canvas.width = frame.width; canvas.height = frame.height; \
           const pen = canvas.getContext('2d'); \
           pen.drawImage(video, 0, 0, frame.width, frame.height); \
           const line = pen.getImageData(0, frame.height - 8, frame.width, 1).data; \
           const cell = frame.width / 20; \
           let number = 0; \
           for (let at = 0; at < 20; at += 1) \
             number = number * 2 + (line[4 * Math.floor((at + 0.5) * cell)] >= 128 ? 1 : 0); \
           resolve([number, frame.mediaTime]); \
         }))",
    );
    let figure = |place: usize| told[place].as_f64().unwrap();
    Shown {
        number: figure(0),
        media_s: figure(1),
    }
}

/// Opens the preview of the first channel and waits for its first picture.
#[track_caller]
fn play(browser: &Browser) {
    assert!(
        built_in(browser),
        "no player is built in: run scripts/player.sh and build again"
    );
    browser.click("#channels tbody tr:first-child button");
    let plays = "const video = document.querySelector('#preview video'); \
                 return !video.hidden && video.readyState >= 3 && video.currentTime > 0";
    browser.wait(10_000, "a picture", plays);
}

fn built_in(browser: &Browser) -> bool {
    let told = browser.run("return fetch('page/mpegts.js', {method: 'HEAD'}).then(it => it.ok)");
    told == Value::Bool(true)
}

#[test]
fn preview_shows_every_picture_at_its_time() {
    let server = Server::start(&Config::new().demo(7));
    let browser = shown(&server, 1280);
    browser.wait(3_000, "the channel", "return rows('channels') === 1");
    play(&browser);
    let first = next_picture(&browser);
    browser.wait(
        10_000,
        "three seconds of it",
        &format!(
            "return document.querySelector('#preview video').currentTime > {}",
            first.media_s + 3.0
        ),
    );
    let later = next_picture(&browser);
    // A picture lasts 40 ms, so its number tells its time to half of that.
    let (pictures, media_s) = (later.number - first.number, later.media_s - first.media_s);
    assert!(pictures >= 70.0, "{first:?}, {later:?}");
    assert!(
        (pictures - media_s * 25.0).abs() <= 1.0,
        "{first:?}, {later:?}"
    );
    browser.wait(
        3_000,
        "what it is told by",
        "return said('viewers').includes('preview of this page')",
    );
    assert_eq!(server.metric(metric::VIEWERS, &[]), 1);
    let dropped = browser.run("return document.querySelector('#preview video').getVideoPlaybackQuality().droppedVideoFrames");
    assert!(dropped.as_u64().unwrap() < 25, "{dropped}");
    browser.click("#preview-close");
    browser.wait(
        1_000,
        "no preview",
        "return document.querySelector('#preview').hidden",
    );
    server.wait_metric(metric::VIEWERS, &[], 0);
    assert_eq!(browser.complaints(), Vec::<String>::new());
}

#[test]
fn preview_without_its_player_says_what_to_do() {
    let server = Server::start(&Config::new().demo(7));
    let browser = shown(&server, 1280);
    browser.wait(3_000, "the channel", "return rows('channels') === 1");
    browser.devtools("Network.enable", &json!({}));
    let player = json!({"urls": ["*/page/mpegts.js"]});
    browser.devtools("Network.setBlockedURLs", &player);
    browser.click("#channels tbody tr:first-child button");
    let cure = "return said('preview').includes('Run scripts/player.sh')";
    browser.wait(3_000, "the cure", cure);
    browser.press(&[ESCAPE]);
    let is_closed = "return document.querySelector('#preview').hidden \
        && document.activeElement.textContent === 'Preview'";
    browser.wait(1_000, "the focus where it was", is_closed);
}

#[test]
fn newcomer_sees_in_a_minute_what_it_does() {
    let began = Instant::now();
    let server = Launch::bare()
        .argument("--listen")
        .argument("127.0.0.1:0")
        .environment("CORECAST_ADMIN__LISTEN", "127.0.0.1:0")
        .start();
    assert!(
        began.elapsed() < Duration::from_secs(2),
        "{:?}",
        began.elapsed()
    );
    let browser = shown(&server, 1280);
    browser.wait(3_000, "the channel", "return rows('channels') === 1");
    play(&browser);
    let (first, later) = (next_picture(&browser), next_picture(&browser));
    assert!(later.number > first.number, "{first:?}, {later:?}");
    browser.click("#preview-close");
    browser.wait(3_000, "nobody", "return said('viewers-now') === '0'");

    let url = format!("http://{}{}", server.address(), path(123));
    let mut curls: Vec<Child> = (0..CURLS).map(|_| curl(&url)).collect();
    let number = format!("return said('viewers-now') === '{CURLS}' && rows('viewers') === {CURLS}");
    browser.wait(15_000, "every curl", &number);
    assert_eq!(
        browser.run(
            "return document.querySelector('#viewers td:nth-child(2)').textContent.split(' ')[0]"
        ),
        "curl"
    );
    assert_eq!(server.metric("upstream_up", &[]), 1);
    browser.click("#viewers tbody tr:first-child button");
    within(3_000, "one curl has ended", || ended(&mut curls) == 1);
    browser.wait(3_000, "one less", "return said('viewers-now') === '199'");
    assert_eq!(ended(&mut curls), 1);

    server.terminate();
    browser.wait(
        3_000,
        "what it does",
        "return said('state') === 'draining' || said('verdict').startsWith('No connection')",
    );
    let status = server.wait_exit(Duration::from_secs(10));
    assert_eq!(status.code(), Some(0));
    within(3_000, "every curl has ended", || ended(&mut curls) == CURLS);
    for mut curl in curls {
        assert_eq!(curl.wait().unwrap().code(), Some(0), "an orderly end");
    }
    browser.wait(
        5_000,
        "that it is gone",
        "return said('verdict').startsWith('No connection')",
    );
    assert!(
        began.elapsed() < Duration::from_secs(60),
        "{:?}",
        began.elapsed()
    );
    let next = Server::start(
        &Config::new()
            .set("admin", "listen", format!("\"{}\"", server.admin()))
            .demo(123),
    );
    browser.wait(
        12_000,
        "the next process",
        &format!("{LIVE} && said('verdict').startsWith('All is well')"),
    );
    drop(next);
}

fn curl(url: &str) -> Child {
    Command::new("curl")
        .args(["--silent", "--no-buffer", "--output", "/dev/null", url])
        .stdin(Stdio::null())
        .spawn()
        .unwrap_or_else(|error| panic!("curl is missing (apt-get install curl): {error}"))
}

/// How many have ended.
fn ended(curls: &mut [Child]) -> usize {
    let ended = curls.iter_mut().map(|curl| curl.try_wait().unwrap());
    ended.flatten().count()
}

const CURLS: usize = 200;
