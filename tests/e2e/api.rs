//! The operator's API: what it shows is true, what it orders is done, and nobody asks who may not.

mod contract;
mod gate;
mod live;
mod load;
mod orders;

use std::io::{Read, Write};

use corecast_load::packets::Source;
use serde_json::{Value, json};

use crate::config::Config;
use crate::http::{self, Reply};
use crate::launch::PASSWORD;
use crate::server::Server;
use crate::upstream::Upstream;
use crate::viewer::{Reading, Viewer};
use crate::within;

/// Asks the admin listener by a method, with further header lines.
#[track_caller]
fn call(server: &Server, method: &str, target: &str, headers: &str) -> Reply {
    let admin = server.admin();
    let request = format!(
        "{method} {target} HTTP/1.1\r\nHost: {admin}\r\n{headers}Connection: close\r\n\r\n"
    );
    http::ask(admin, &request)
}

/// An answer of the API, which must be a good one.
#[track_caller]
fn get(server: &Server, path: &str) -> Value {
    let reply = call(server, "GET", &format!("/api/v1/{path}"), "");
    assert_eq!(reply.status(), 200, "{path}: {}", reply.text());
    assert_eq!(reply.header("content-type"), Some("application/json"));
    assert_eq!(reply.header("cache-control"), Some("no-store"));
    serde_json::from_slice(&reply.body).unwrap()
}

/// The viewers on one page.
#[track_caller]
fn viewers(server: &Server, query: &str) -> Vec<Value> {
    let page = get(server, &format!("viewers{query}"));
    page["viewers"].as_array().unwrap().clone()
}

/// Waits until the list of viewers is this long.
#[track_caller]
fn wait_viewers(server: &Server, query: &str, count: usize) {
    within(5_000, &format!("{count} viewers of {query:?}"), || {
        viewers(server, query).len() == count
    });
}

/// Kinds of events so far, those about one channel or about none.
#[track_caller]
fn kinds(server: &Server) -> Vec<String> {
    let events = get(server, "events?limit=1000");
    let events = events["events"].as_array().unwrap();
    let kinds = events.iter().map(|event| event["kind"].as_str().unwrap());
    kinds.map(str::to_owned).collect()
}

/// A server with one channel of an HTTP upstream, 7, and a test pattern, 8.
fn two_channels() -> (Server, Upstream) {
    let upstream = Upstream::live(Source::new(1, 2_000));
    let config = Config::new()
        .channel(7, &[upstream.url("/secret-path/a.ts?token=secret-token")])
        .demo(8);
    (Server::start(&config), upstream)
}

#[test]
fn what_is_shown_of_a_server_with_viewers_is_true() {
    let (server, _upstream) = two_channels();
    let watching: Vec<Viewer> = (0..3).map(|_| server.viewer(7)).collect();
    let demo = server.viewer(8);
    for viewer in watching.iter().chain([&demo]) {
        viewer.wait("media", |state| state.seen().packets > 100);
    }
    within(5_000, "rates are known", || {
        let status = get(&server, "status");
        status["out_bits_per_second"].as_u64() > Some(1_000_000)
            && status["in_bits_per_second"].as_u64() > Some(500_000)
    });
    let status = get(&server, "status");
    for (field, value) in [
        ("state", json!("ready")),
        ("viewers", json!(4)),
        ("viewers_waiting", json!(0)),
        ("channels_configured", json!(2)),
        ("channels_open", json!(2)),
        ("channels_live", json!(2)),
        ("is_open", json!(true)),
        ("listen", json!([server.address().to_string()])),
    ] {
        assert_eq!(status[field], value, "{field}");
    }
    let shards = status["shards"].as_array().unwrap();
    assert_eq!(shards.len(), server.shards());
    assert!(shards.iter().all(|shard| shard["is_stale"] == json!(false)));
    let on_shards = shards.iter().map(|it| it["viewers"].as_u64().unwrap());
    assert_eq!(on_shards.sum::<u64>(), 4);
    assert_eq!(
        shards
            .iter()
            .filter(|it| it["busy_ratio"] != json!(0.0))
            .count(),
        shards.len(),
        "{status}"
    );
    let channels = get(&server, "channels");
    assert_eq!(channels["total"], json!(2));
    let seven = &channels["channels"][0];
    assert_eq!((&seven["id"], &seven["viewers"]), (&json!("7"), &json!(3)));
    assert_eq!(
        (&seven["state"], &seven["upstream"]),
        (&json!("live"), &json!(1))
    );
    assert!(!channels.to_string().contains("secret-"), "{channels}");
    let eight = get(&server, "channels/8");
    assert_eq!(eight["media"]["video"], json!("H.264"));
    assert_eq!(eight["media"]["width"], json!(320));
    assert!(eight["ring_ms"].as_u64().unwrap() > 0 && eight["ring_bytes"].as_u64().unwrap() > 0);
    let status = get(&server, "status");
    let since = eight["since_ms"].as_u64().unwrap();
    assert!(
        status["started_ms"].as_u64() < Some(since) && Some(since) < status["time_ms"].as_u64()
    );
}

#[test]
fn viewers_are_found_sorted_and_paged_by_the_server() {
    let (server, _upstream) = two_channels();
    let watching: Vec<Viewer> = (0..5).map(|_| server.viewer(7)).collect();
    let wait_media = |viewer: &Viewer| viewer.wait("media", |state| state.seen().packets > 20);
    watching.iter().for_each(wait_media);
    // It asks when the others have been answered, so that it is the newest.
    let demo = server.viewer(8);
    wait_media(&demo);
    wait_viewers(&server, "", 6);
    assert_eq!(viewers(&server, "?channel=7").len(), 5);
    assert_eq!(viewers(&server, "?channel=9").len(), 0);
    assert_eq!(viewers(&server, "?search=libVLC").len(), 6);
    assert_eq!(viewers(&server, "?search=mpv").len(), 0);
    let mut ids = Vec::new();
    let mut query = "viewers?limit=4".to_owned();
    loop {
        let page = get(&server, &query);
        assert_eq!(page["total"], json!(6));
        assert_eq!(page["stale_shards"], json!([]));
        let shown = page["viewers"].as_array().unwrap();
        ids.extend(shown.iter().map(|it| it["id"].as_str().unwrap().to_owned()));
        let Some(next) = page["next"].as_str() else {
            break;
        };
        query = format!("viewers?limit=4&after={next}");
    }
    assert_eq!(ids.len(), 6);
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 6, "one stands twice");
    let newest = &viewers(&server, "?limit=1")[0];
    assert_eq!(newest["channel"], json!("8"));
    assert_eq!(newest["channel_name"], json!("Channel 8"));
    assert_eq!(newest["address"], json!("127.0.0.1"));
    assert_eq!(newest["user_agent"], json!("VLC/3.0.20 LibVLC/3.0.20"));
    assert!(newest["rtt_us"].as_u64() > Some(0), "{newest}");
    assert_eq!(newest["retransmits"].as_u64(), Some(0));
    within(3_000, "the rate of a viewer", || {
        let seen = &viewers(&server, "?channel=7&limit=1")[0];
        seen["out_bits_per_second"].as_u64() > Some(500_000)
    });
}

#[test]
fn a_viewer_that_takes_nothing_is_seen_to_fall_behind_live() {
    let upstream = Upstream::live(Source::new(1, 8_000));
    let config = Config::new()
        .set("server", "write_stall_ms", 20_000)
        .set("stream", "ring_ms", 20_000)
        .channel(7, &[upstream.url("/a.ts")]);
    let server = Server::start(&config);
    let _steady = server.viewer(7);
    let slow = server.viewer_reading(7, Reading::PerSecond(20_000));
    slow.wait("media", |state| state.seen().packets > 10);
    within(15_000, "one viewer seconds behind", || {
        let list = viewers(&server, "?sort=behind");
        let behind = |at: usize| list[at]["behind_live_ms"].as_u64().unwrap();
        list.len() == 2 && behind(0) > 3_000 && behind(1) < 1_000
    });
}

#[test]
fn an_account_is_shown_by_its_user_and_never_by_its_password() {
    let upstream = Upstream::live(Source::new(1, 2_000));
    let config = Config::new()
        .account("anna", PASSWORD)
        .channel(7, &[upstream.url("/a.ts")]);
    let server = Server::start(&config);
    let viewer = server.viewer_of(&format!("/live/anna/{PASSWORD}/7.ts"));
    viewer.wait("media", |state| state.seen().packets > 20);
    server.get("/live/anna/wrong-password/7.ts");
    wait_viewers(&server, "?search=ANNA", 1);
    assert_eq!(viewers(&server, "")[0]["account"], json!("anna"));
    assert_eq!(get(&server, "status")["is_open"], json!(false));
    within(3_000, "the refusal is told", || {
        kinds(&server).contains(&"request_refused".to_owned())
    });
    for path in ["status", "channels", "viewers", "events", "log"] {
        let told = get(&server, path).to_string();
        assert!(!told.contains(PASSWORD), "{path}: {told}");
        assert!(!told.contains("wrong-password"), "{path}: {told}");
    }
}

#[test]
fn what_happens_to_a_channel_and_its_viewers_is_told_as_events() {
    let mut upstream = Upstream::live(Source::new(1, 2_000));
    let config = Config::new().channel(7, &[upstream.url("/a.ts")]);
    let server = Server::start(&config);
    let viewer = server.viewer(7);
    viewer.wait("media", |state| state.seen().packets > 20);
    let before = get(&server, "events")["last_id"].as_u64().unwrap();
    assert_eq!(kinds(&server), ["channel_opened", "channel_live"]);
    upstream.stop();
    within(5_000, "the loss is told", || {
        kinds(&server).contains(&"upstream_lost".to_owned())
    });
    assert_eq!(get(&server, "channels/7")["state"], json!("stalled"));
    viewer.wait_end();
    within(5_000, "the end is told", || {
        let kinds = kinds(&server);
        ["channel_failed", "channel_closed", "viewer_ended"]
            .iter()
            .all(|kind| kinds.iter().any(|told| told == kind))
    });
    let later = get(&server, &format!("events?after={before}"));
    let first = &later["events"][0];
    assert_eq!(first["id"].as_u64(), Some(before + 1));
    assert_eq!(first["channel"], json!("7"));
    let ended = later["events"].as_array().unwrap().iter();
    let ended = ended.filter(|it| it["kind"] == json!("viewer_ended"));
    let reasons: Vec<&Value> = ended.map(|it| &it["reason"]).collect();
    assert_eq!(reasons, [&json!("upstream_lost")]);
    let channel = get(&server, "channels/7");
    assert_eq!(channel["state"], json!("idle"));
    let error = channel["last_error"]["text"].as_str().unwrap();
    assert!(error.starts_with("upstream 1: "), "{error}");
}

#[test]
fn a_storm_of_ends_is_told_as_a_number_and_loses_nothing() {
    let upstream = Upstream::live(Source::new(1, 2_000));
    let server = Server::start(&Config::new().channel(7, &[upstream.url("/a.ts")]));
    let crowd: Vec<Viewer> = (0..60).map(|_| server.viewer(7)).collect();
    for viewer in &crowd {
        viewer.wait("media", |state| state.seen().packets > 5);
    }
    drop(crowd);
    within(6_000, "sixty ends are told of", || {
        let events = get(&server, "events?limit=1000");
        let events = events["events"].as_array().unwrap().iter();
        let ended: Vec<u64> = events
            .filter(|it| it["kind"] == json!("viewer_ended"))
            .map(|it| it["count"].as_u64().unwrap())
            .collect();
        ended.iter().sum::<u64>() == 60 && ended.len() < 40
    });
}

#[test]
fn the_last_lines_of_the_log_are_shown_as_they_were_written() {
    let (server, _upstream) = two_channels();
    let log = get(&server, "log");
    let lines = log["lines"].as_array().unwrap();
    let first = lines[0]["id"].as_u64().unwrap();
    let ready = lines.iter().find(|line| {
        let text = line["text"].as_str().unwrap();
        text.starts_with("INFO ready listen=")
    });
    assert!(ready.is_some(), "{log}");
    let last = log["last_id"].as_u64().unwrap();
    assert_eq!(last - first + 1, lines.len() as u64);
    let nothing = get(&server, &format!("log?after={last}"));
    assert_eq!(nothing["lines"], json!([]));
}

#[test]
fn many_requests_are_answered_on_one_connection() {
    let (server, _upstream) = two_channels();
    let mut socket = server.connect(server.admin());
    let request = format!(
        "GET /api/v1/status HTTP/1.1\r\nHost: {}\r\n\r\n",
        server.admin()
    );
    for _ in 0..20 {
        socket.write_all(request.as_bytes()).unwrap();
        let mut answer = Vec::new();
        while http::Head::read(&answer).is_none_or(|(head, length)| {
            let bytes: usize = head.header("content-length").unwrap().parse().unwrap();
            answer.len() < length + bytes
        }) {
            let mut piece = [0; 4096];
            let read = socket.read(&mut piece).unwrap();
            assert!(read > 0, "the connection was closed");
            answer.extend_from_slice(&piece[..read]);
        }
    }
}
