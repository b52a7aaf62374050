//! What the operator orders is done, and to nobody else.

use std::time::Duration;

use corecast_load::packets::Source;
use serde_json::json;

use super::{call, get, kinds, two_channels, viewers, wait_viewers};
use crate::config::Config;
use crate::engine::Engine;
use crate::names::{ends, metric};
use crate::server::Server;
use crate::upstream::Upstream;
use crate::viewer::{End, Reading, Viewer};
use crate::within;

#[test]
fn a_viewer_is_closed_at_a_packet_boundary_and_no_other() {
    let (server, _upstream) = two_channels();
    let (one, other) = (server.viewer(7), server.viewer(8));
    for viewer in [&one, &other] {
        viewer.wait("media", |state| state.seen().packets > 50);
    }
    wait_viewers(&server, "?channel=7", 1);
    let id = viewers(&server, "?channel=7")[0]["id"].clone();
    let path = format!("/api/v1/viewers/{}", id.as_str().unwrap());
    let reply = call(&server, "DELETE", &path, "");
    assert_eq!((reply.status(), reply.body.len()), (204, 0));
    assert_eq!(one.wait_end(), End::Closed, "in order, not by a reset");
    assert_eq!(one.seen().tail_bytes, 0);
    one.seen().assert_unbroken();
    server.wait_metric(metric::ENDS, &[("reason", ends::BY_OPERATOR)], 1);
    within(2_000, "the viewer is unknown by then", || {
        call(&server, "DELETE", &path, "").status() == 404
    });
    within(2_000, "the end is told", || {
        let events = get(&server, "events");
        let events = events["events"].as_array().unwrap();
        events.iter().any(|it| it["reason"] == json!("by_operator"))
    });
    other.wait_more(50);
    assert_eq!(viewers(&server, "").len(), 1);
}

#[test]
fn a_viewer_whose_socket_takes_nothing_is_closed_as_well() {
    let upstream = Upstream::live(Source::new(1, 8_000));
    let config = Config::new()
        .set("server", "write_stall_ms", 60_000)
        .channel(7, &[upstream.url("/a.ts")]);
    let server = Server::start(&config);
    let stalled = server.viewer_reading(7, Reading::Stopped);
    wait_viewers(&server, "", 1);
    let id = viewers(&server, "")[0]["id"].as_str().unwrap().to_owned();
    let reply = call(&server, "DELETE", &format!("/api/v1/viewers/{id}"), "");
    assert_eq!(reply.status(), 204);
    server.wait_metric(metric::VIEWERS, &[], 0);
    server.wait_metric(metric::ENDS, &[("reason", ends::BY_OPERATOR)], 1);
    drop(stalled);
}

#[test]
fn viewers_that_do_not_exist_are_not_closed() {
    let (server, _upstream) = two_channels();
    for id in ["0-1", "7-1", "99999-1", "x", "0-", "-1", "0-1-1"] {
        let reply = call(&server, "DELETE", &format!("/api/v1/viewers/{id}"), "");
        assert_eq!(reply.status(), 404, "{id}");
    }
}

#[test]
fn a_channel_is_fetched_anew_and_its_viewers_stay() {
    let (server, upstream) = two_channels();
    let watching: Vec<Viewer> = (0..4).map(|_| server.viewer(7)).collect();
    for viewer in &watching {
        viewer.wait("media", |state| state.seen().packets > 100);
    }
    assert_eq!(upstream.double().asked().len(), 1);
    let reply = call(&server, "POST", "/api/v1/channels/7/restart", "");
    assert_eq!(reply.status(), 202, "{}", reply.text());
    within(5_000, "the upstream is asked anew", || {
        upstream.double().asked().len() == 2
    });
    for viewer in &watching {
        viewer.wait_more(300);
        assert_eq!(viewer.ended(), None);
    }
    server.wait_metric(metric::SWITCHES, &[("channel", "7")], 1);
    assert_eq!(server.metric(metric::CONTINUITY_ERRORS_OUT, &[]), 0);
    assert_eq!(server.metric(metric::ENDS, &[]), 0);
    let kinds = kinds(&server);
    assert!(kinds.contains(&"channel_restarted".to_owned()), "{kinds:?}");
    let idle = call(&server, "POST", "/api/v1/channels/8/restart", "");
    assert_eq!(idle.status(), 409);
    let unknown = call(&server, "POST", "/api/v1/channels/9/restart", "");
    assert_eq!(unknown.status(), 404);
}

#[test]
fn a_restart_of_engine_content_stops_its_session_and_starts_another() {
    let engine = Engine::live(Source::new(2, 2_000));
    let server = Server::start(&Config::new().engine(&engine.url()));
    let hash = "00112233445566778899aabbccddeeff00112233";
    let viewer = server.viewer_of(&format!("/ace/getstream?infohash={hash}"));
    viewer.wait("media", |state| state.seen().packets > 100);
    let id = format!("infohash:{hash}");
    let shown = get(&server, &format!("channels/{id}"));
    assert_eq!(
        (&shown["state"], &shown["is_dynamic"]),
        (&json!("live"), &json!(true))
    );
    let reply = call(
        &server,
        "POST",
        &format!("/api/v1/channels/{id}/restart"),
        "",
    );
    assert_eq!(reply.status(), 202, "{}", reply.text());
    within(5_000, "another session", || {
        (engine.starts().len(), engine.stops()) == (2, 1)
    });
    viewer.wait_more(200);
    drop(viewer);
    engine.wait_idle(3_000);
}

#[test]
fn a_drain_is_that_of_a_signal() {
    let (server, _upstream) = two_channels();
    let viewer = server.viewer(7);
    viewer.wait("media", |state| state.seen().packets > 50);
    let reply = call(&server, "POST", "/api/v1/drain", "");
    assert_eq!(reply.status(), 202);
    assert_eq!(get(&server, "status")["state"], json!("draining"));
    assert_eq!(server.ask_admin("/readyz").status(), 503);
    server
        .get(&crate::server::path(7))
        .assert_told_to_come_back();
    viewer.wait_more(20);
    assert_eq!(viewer.wait_end(), End::Closed);
    assert_eq!(viewer.seen().tail_bytes, 0);
    assert_eq!(server.wait_exit(Duration::from_secs(5)).code(), Some(0));
}

#[test]
fn a_configuration_is_read_again_and_one_with_errors_changes_nothing() {
    let (server, _upstream) = two_channels();
    let viewer = server.viewer(7);
    viewer.wait("media", |state| state.seen().packets > 50);
    let file = server.folder().join("corecast.toml");
    let before = std::fs::read_to_string(&file).unwrap();
    let renamed = before.replace("Channel 8", "Renamed");
    std::fs::write(&file, renamed).unwrap();
    let reply = call(&server, "POST", "/api/v1/reload", "");
    assert_eq!(reply.status(), 200, "{}", reply.text());
    assert_eq!(get(&server, "channels/8")["name"], json!("Renamed"));
    std::fs::write(&file, "[stream]\nring_ms = 1\n").unwrap();
    let reply = call(&server, "POST", "/api/v1/reload", "");
    assert_eq!(reply.status(), 422);
    assert!(reply.text().contains("ring_ms"), "{}", reply.text());
    assert_eq!(get(&server, "channels/8")["name"], json!("Renamed"));
    assert!(kinds(&server).contains(&"reload".to_owned()));
    viewer.wait_more(50);
}
