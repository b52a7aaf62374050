//! What an account may: so many viewers, for so long, from there, these channels.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use corecast_load::packets::Source;
use socket2::{Domain, Socket, Type};

use crate::config::Config;
use crate::http;
use crate::launch::{PASSWORD, PASSWORD_HASH};
use crate::limits::{ask_from, connect_from};
use crate::names::{ends, metric, rejects};
use crate::scaled;
use crate::server::Server;
use crate::upstream::{Answer, Upstream};
use crate::viewer::{End, Reading, Viewer};

/// Channels 7, 8 and 9 for anna, who has `lines` beside her password.
fn server_of(lines: &str) -> (Server, [Upstream; 3]) {
    let upstreams = [7, 8, 9].map(|_| Upstream::live(Source::new(1, 2_000)));
    let mut config = Config::new();
    for (channel, upstream) in (7..).zip(&upstreams) {
        config = config.channel(channel, &[upstream.url("/a.ts")]);
    }
    let lines = format!("password = {PASSWORD:?}\n{lines}");
    (Server::start(&config.account_of("anna", &lines)), upstreams)
}

fn target(channel: u32) -> String {
    format!("/live/anna/{PASSWORD}/{channel}.ts")
}

/// A viewer of anna's, on a device of its own.
fn viewer_from(last: u8, server: &Server, channel: u32, reading: Reading) -> Viewer {
    let request = format!(
        "GET {} HTTP/1.1\r\nHost: a\r\nUser-Agent: app\r\n\r\n",
        target(channel)
    );
    Viewer::on(connect_from(last, server.address()), &request, reading)
}

#[track_caller]
fn assert_watches(viewer: &Viewer) {
    assert_eq!(viewer.wait_status(), 200);
    viewer.wait_more(50);
    viewer.seen().assert_unbroken();
}

/// The viewer was ended in order, at a packet boundary.
#[track_caller]
fn assert_ended_whole(viewer: &Viewer) {
    assert_eq!(viewer.wait_end(), End::Closed);
    viewer.seen().assert_unbroken();
}

#[track_caller]
fn assert_nobody_was_refused(server: &Server) {
    assert_eq!(server.metric(metric::REJECTS, &[]), 0);
}

#[track_caller]
fn wait_ends(server: &Server, reason: &str, expected: u64) {
    server.wait_metric(metric::ENDS, &[("reason", reason)], expected);
}

#[test]
fn second_device_replaces_the_first_and_nobody_is_refused() {
    let (server, _upstreams) = server_of("viewers_max = 1");
    let first = viewer_from(31, &server, 7, Reading::Full);
    assert_watches(&first);
    let second = viewer_from(32, &server, 7, Reading::Full);
    assert_watches(&second);
    assert_ended_whole(&first);
    wait_ends(&server, ends::AT_LIMIT, 1);
    second.wait_more(100);
    second.seen().assert_unbroken();
    second.assert_steady();
    assert_nobody_was_refused(&server);
}

#[test]
fn first_device_that_takes_nothing_is_replaced_all_the_same() {
    let (server, _upstreams) = server_of("viewers_max = 1");
    let first = viewer_from(31, &server, 7, Reading::Stopped);
    server.wait_metric(metric::VIEWERS, &[], 1);
    let second = viewer_from(32, &server, 7, Reading::Full);
    assert_watches(&second);
    wait_ends(&server, ends::AT_LIMIT, 1);
    first.wait_end();
    assert_nobody_was_refused(&server);
}

#[test]
fn limit_is_kept_by_all_shards_together() {
    let (server, _upstreams) = server_of("viewers_max = 3");
    let mut viewers: Vec<Viewer> = Vec::new();
    for last in 31..55 {
        // Channels of either shard: a single one would have all its few viewers on the shard that fetches it.
        let viewer = viewer_from(last, &server, 7 + u32::from(last) % 3, Reading::Full);
        assert_watches(&viewer);
        viewers.push(viewer);
    }
    let (gone, left) = viewers.split_at(21);
    gone.iter().for_each(assert_ended_whole);
    wait_ends(&server, ends::AT_LIMIT, 21);
    assert_eq!(server.metric(metric::VIEWERS, &[]), 3);
    for viewer in left {
        viewer.wait_more(50);
        viewer.seen().assert_unbroken();
    }
    for shard in ["0", "1"] {
        let sessions = server.metric(metric::SESSIONS, &[("shard", shard)]);
        assert!(sessions > 0, "shard {shard} had no viewer");
    }
    assert_nobody_was_refused(&server);
}

#[test]
fn rapid_switches_are_never_refused() {
    let (server, _upstreams) = server_of("viewers_max = 1");
    for closes_first in [false, true] {
        let mut before: Option<Viewer> = None;
        for turn in 0..u32::try_from(scaled(20, 2_000)).unwrap() {
            if closes_first {
                drop(before.take());
            }
            let viewer = viewer_from(31, &server, 7 + turn % 3, Reading::Full);
            assert_eq!(viewer.wait_status(), 200, "switch {turn}");
            viewer.wait("media", |state| state.seen().packets > 0);
            if let Some(before) = &before {
                assert_ended_whole(before);
            }
            before = Some(viewer);
        }
        assert_watches(&before.unwrap());
    }
    assert_nobody_was_refused(&server);
    server.wait_metric(metric::VIEWERS, &[], 0);
}

#[test]
fn switch_needs_no_free_place_on_a_full_server() {
    let upstream = Upstream::live(Source::new(1, 2_000));
    let lines = format!("password = {PASSWORD:?}\nviewers_max = 1");
    let server = Server::start(
        &Config::new()
            .set("server", "viewers_max", 2)
            .account_of("anna", &lines)
            .account("ben", PASSWORD)
            .channel(7, &[upstream.url("/a.ts")]),
    );
    let first = viewer_from(31, &server, 7, Reading::Full);
    let other = server.viewer_of(&format!("/live/ben/{PASSWORD}/7.ts"));
    assert_watches(&first);
    assert_watches(&other);
    let second = viewer_from(32, &server, 7, Reading::Full);
    assert_watches(&second);
    assert_ended_whole(&first);
    assert_nobody_was_refused(&server);
    server
        .get(&format!("/live/ben/{PASSWORD}/7.ts"))
        .assert_told_to_come_back();
    other.wait_more(50);
    other.seen().assert_unbroken();
}

#[test]
fn nobody_waits_on_a_full_server_for_a_place_that_nobody_gives_back() {
    let upstream = Upstream::live(Source::new(1, 2_000));
    let lines = format!("password = {PASSWORD:?}\nviewers_max = 3");
    let server = Server::start(
        &Config::new()
            .set("server", "viewers_max", 1)
            .account_of("anna", &lines)
            .channel(7, &[upstream.url("/a.ts")]),
    );
    let first = viewer_from(31, &server, 7, Reading::Full);
    assert_watches(&first);
    let asked = Instant::now();
    assert_eq!(
        viewer_from(32, &server, 7, Reading::Full).wait_status(),
        503
    );
    assert!(
        asked.elapsed() < Duration::from_millis(1_500),
        "{:?}",
        asked.elapsed()
    );
}

#[test]
fn only_the_newest_of_those_that_wait_for_media_is_answered() {
    let silent = Upstream::start(|_| Answer::silence());
    let live = Upstream::live(Source::new(1, 2_000));
    let lines = format!("password = {PASSWORD:?}\nviewers_max = 1");
    let server = Server::start(
        &Config::new()
            .account_of("anna", &lines)
            .channel(7, &[live.url("/a.ts")])
            .channel(8, &[silent.url("/a.ts")]),
    );
    let waiting: Vec<Viewer> = (0..20)
        .map(|_| viewer_from(31, &server, 8, Reading::Full))
        .collect();
    let reason = [("reason", rejects::AT_LIMIT)];
    server.wait_metric(metric::REJECTS, &reason, 19);
    let newest = viewer_from(32, &server, 7, Reading::Full);
    assert_watches(&newest);
    for viewer in &waiting {
        assert_eq!(viewer.wait_status(), 0, "closed without an answer");
    }
    server.wait_metric(metric::REJECTS, &reason, 20);
    assert_eq!(server.metric(metric::REJECTS, &[]), 20);
}

#[test]
fn device_that_reopens_its_channel_takes_its_own_place() {
    for at_limit in ["replace", "refuse"] {
        let (server, _upstreams) = server_of(&format!("viewers_max = 2\nat_limit = {at_limit:?}"));
        let other = viewer_from(31, &server, 7, Reading::Full);
        assert_watches(&other);
        let stale = viewer_from(32, &server, 7, Reading::Stopped);
        server.wait_metric(metric::VIEWERS, &[], 2);
        let again = viewer_from(32, &server, 7, Reading::Full);
        assert_watches(&again);
        stale.wait_end();
        wait_ends(&server, ends::REPLACED, 1);
        other.wait_more(50);
        other.seen().assert_unbroken();
        assert_eq!(server.metric(metric::VIEWERS, &[]), 2, "{at_limit}");
        assert_nobody_was_refused(&server);
    }
}

#[test]
fn one_more_is_refused_where_the_account_says_so() {
    let (server, upstreams) = server_of("viewers_max = 1\nat_limit = \"refuse\"");
    let first = viewer_from(31, &server, 7, Reading::Full);
    assert_watches(&first);
    for _ in 0..3 {
        let refused = ask_from(32, &server, "GET", &target(8), "");
        assert_eq!(refused.status(), 403, "{}", refused.text());
        assert!(refused.text().contains("as many viewers as it may have"));
    }
    let reason = [("reason", rejects::AT_LIMIT)];
    assert_eq!(server.metric(metric::REJECTS, &reason), 3);
    assert_eq!(upstreams[1].double().connections(), 0);
    first.wait_more(50);
    first.seen().assert_unbroken();
    // Whoever closes one connection and opens the next at once is not refused for the one that is closing.
    let mut before = first;
    for turn in 0..u32::try_from(scaled(20, 500)).unwrap() {
        drop(before);
        before = viewer_from(31, &server, 7 + turn % 3, Reading::Full);
        assert_eq!(before.wait_status(), 200, "switch {turn}");
    }
    assert_eq!(server.metric(metric::REJECTS, &reason), 3);
}

#[test]
fn place_of_a_viewer_that_never_got_media_is_free_again() {
    let silent = Upstream::start(|_| Answer::text("404 Not Found", "a/b", "no"));
    let live = Upstream::live(Source::new(1, 2_000));
    let lines = format!("password = {PASSWORD:?}\nviewers_max = 1\nat_limit = \"refuse\"");
    let server = Server::start(
        &Config::new()
            .account_of("anna", &lines)
            .channel(7, &[live.url("/a.ts")])
            .channel(8, &[silent.url("/a.ts")]),
    );
    for last in 31..41 {
        let refused = ask_from(last, &server, "GET", &target(8), "");
        assert_eq!(refused.status(), 502, "{}", refused.text());
    }
    assert_watches(&viewer_from(41, &server, 7, Reading::Full));
}

#[test]
fn account_that_is_over_is_403_and_a_wrong_password_for_it_401() {
    let (server, upstreams) = server_of("valid_until = 2020-01-01");
    for method in ["GET", "HEAD"] {
        let over = ask_from(42, &server, method, &target(7), "");
        assert_eq!(over.status(), 403);
    }
    let over = ask_from(42, &server, "GET", &target(7), "");
    assert!(
        over.text().contains("not valid any more"),
        "{}",
        over.text()
    );
    let wrong = ask_from(42, &server, "GET", "/live/anna/wrong/7.ts", "");
    assert_eq!(wrong.status(), 401);
    let reason = [("reason", rejects::FORBIDDEN)];
    assert_eq!(server.metric(metric::REJECTS, &reason), 3);
    assert_eq!(upstreams[0].double().connections(), 0);
    let (server, _upstreams) = server_of("valid_until = 2999-12-31T23:59:59+01:00");
    assert_watches(&viewer_from(42, &server, 7, Reading::Full));
}

#[test]
fn account_is_used_from_its_networks_only() {
    let (server, _upstreams) = server_of(r#"networks = ["192.0.2.0/24", "127.0.0.40/30"]"#);
    for (last, status) in [(40, 200), (43, 200), (39, 403), (44, 403)] {
        let answer = ask_from(last, &server, "HEAD", &target(7), "");
        assert_eq!(answer.status(), status, "from 127.0.0.{last}");
    }
    let answer = ask_from(44, &server, "GET", &target(7), "");
    assert!(
        answer.text().contains("from this address"),
        "{}",
        answer.text()
    );
    let wrong = ask_from(44, &server, "GET", "/live/anna/wrong/7.ts", "");
    assert_eq!(
        wrong.status(),
        401,
        "who does not know the password is not told"
    );
}

#[test]
fn account_that_names_its_channels_gets_no_other() {
    let (server, upstreams) = server_of("channels = [7, 9]");
    assert_watches(&viewer_from(45, &server, 7, Reading::Full));
    let forbidden = ask_from(45, &server, "GET", &target(8), "");
    assert_eq!(forbidden.status(), 403);
    assert!(
        forbidden.text().contains("this channel"),
        "{}",
        forbidden.text()
    );
    let missing = ask_from(45, &server, "GET", &target(6), "");
    assert_eq!(missing.status(), 404);
    let by_id = format!(
        "/ace/getstream?id={}&user=anna&password={PASSWORD}",
        "ab".repeat(20)
    );
    assert_eq!(ask_from(45, &server, "GET", &by_id, "").status(), 403);
    assert_eq!(upstreams[1].double().connections(), 0);
}

#[test]
fn logins_by_hash_and_guesses_move_no_viewer() {
    let upstream = Upstream::live(Source::new(1, 2_000));
    let server = Server::start(
        &Config::new()
            .account_of("anna", &format!("password_hash = {PASSWORD_HASH:?}"))
            .channel(7, &[upstream.url("/a.ts")]),
    );
    let viewers: Vec<Viewer> = (50..53)
        .map(|last| viewer_from(last, &server, 7, Reading::Full))
        .collect();
    viewers.iter().for_each(assert_watches);
    let (each, began) = (scaled(300, 10_000), Instant::now());
    std::thread::scope(|scope| {
        for thread in 0..2 {
            let server = &server;
            // Players that come back.
            scope.spawn(move || {
                for _ in 0..each {
                    let reply = ask_from(53 + thread, server, "HEAD", &target(7), "");
                    assert_eq!(reply.status(), 200);
                }
            });
            // Guesses, each another one and from another address.
            scope.spawn(move || {
                for turn in 0..each {
                    let [high, low, ..] = (turn * 2 + u64::from(thread)).to_le_bytes();
                    let status = guess_from(Ipv4Addr::new(127, 9, low, high), server, turn);
                    assert!(matches!(status, 401 | 429 | 503), "{status}");
                }
            });
        }
    });
    let limit = Duration::from_secs(scaled(60, 1_800));
    assert!(began.elapsed() < limit, "it took {:?}", began.elapsed());
    for viewer in &viewers {
        viewer.seen().assert_unbroken();
        viewer.assert_steady();
    }
}

fn guess_from(from: Ipv4Addr, server: &Server, turn: u64) -> u16 {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from((from, 0)).into()).unwrap();
    socket.connect(&server.address().into()).unwrap();
    let request = format!("HEAD /live/anna/guess-{turn}/7.ts HTTP/1.1\r\nHost: a\r\n\r\n");
    let raw = http::exchange(socket.into(), &[request.as_bytes()]);
    raw.reply().unwrap().status()
}

/// What `player_api.php` and `panel_api.php` answer anna who asks from `127.0.0.last`.
fn api(last: u8, server: &Server, page: &str) -> String {
    let target = format!("/{page}username=anna&password={PASSWORD}");
    let answer = ask_from(last, server, "GET", &target, "");
    assert_eq!(answer.status(), 200, "{page}");
    answer.text().to_owned()
}

#[test]
fn apps_are_told_of_an_account_that_is_over_but_no_channels() {
    let (server, _upstreams) = server_of("valid_until = 2020-01-01");
    let login = api(46, &server, "player_api.php?");
    assert!(login.contains(r#""status":"Expired""#), "{login}");
    assert!(login.contains(r#""auth":1"#), "{login}");
    let streams = api(46, &server, "player_api.php?action=get_live_streams&");
    assert!(!streams.contains("stream_id"), "{streams}");
    let panel = api(46, &server, "panel_api.php?");
    assert!(!panel.contains("stream_id"), "{panel}");
}

#[test]
fn apps_elsewhere_are_told_of_no_account() {
    let (server, _upstreams) = server_of(r#"networks = ["127.0.0.47"]"#);
    assert!(api(47, &server, "player_api.php?").contains(r#""auth":1"#));
    for page in [
        "player_api.php?",
        "player_api.php?action=get_live_streams&",
        "panel_api.php?",
    ] {
        let told = api(48, &server, page);
        assert_eq!(told, r#"{"user_info":{"auth":0}}"#, "{page}");
    }
}

#[test]
fn channel_of_a_higher_bit_rate_is_not_for_an_account_with_a_lower_one() {
    let sources = [Source::new(1, 2_000), Source::new(1, 6_000)];
    let upstreams = sources.map(Upstream::live);
    let lines = format!("password = {PASSWORD:?}\nbitrate_max_bps = 3000000");
    let config = Config::new()
        .set("stream", "ring_ms", 4_000)
        .account_of("anna", &lines)
        .account("ben", PASSWORD)
        .channel(7, &[upstreams[0].url("/a.ts")])
        .channel(8, &[upstreams[1].url("/a.ts")]);
    let server = Server::start(&config);
    let low = server.viewer_of(&target(7));
    let early = server.viewer_of(&target(8));
    let other = server.viewer_of(&format!("/live/ben/{PASSWORD}/8.ts"));
    assert_eq!(early.wait_status(), 200);
    assert_ended_whole(&early);
    wait_ends(&server, ends::BITRATE, 1);
    let refused = server.get(&target(8));
    assert_eq!(refused.status(), 403);
    assert!(refused.text().contains("bit rate"), "{}", refused.text());
    server.wait_metric(metric::REJECTS, &[("reason", rejects::FORBIDDEN)], 1);
    for viewer in [&low, &other] {
        viewer.wait_more(1_000);
        viewer.seen().assert_unbroken();
    }
}
