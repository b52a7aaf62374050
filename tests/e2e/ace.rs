//! AceStream: one session per content however it is named, with the engine's rules kept.

use std::collections::HashSet;
use std::time::Duration;

use corecast_load::packets::Source;

use crate::config::Config;
use crate::engine::{Behaviour, Engine, infohash_of};
use crate::launch::PASSWORD;
use crate::names::{metric, rejects};
use crate::scaled;
use crate::server::{Server, path};
use crate::upstream::{Answer, Media, Step};
use crate::viewer::Viewer;
use crate::wire::Double;

const CONTENT: &str = "0a1b2c3d4e5f60718293a4b5c6d7e8f901234567";

fn source() -> Source {
    Source::new(1, 1_000)
}

fn by_id(content: &str) -> String {
    format!("/ace/getstream?id={content}")
}

fn by_infohash(content: &str) -> String {
    format!("/ace/getstream?infohash={}", infohash_of(content))
}

#[track_caller]
fn wait_media(viewer: &Viewer) {
    assert_eq!(viewer.wait_status(), 200);
    viewer.wait("media", |state| state.seen().packets > 100);
    viewer.seen().assert_unbroken();
}

#[test]
fn one_content_under_two_names_has_one_reader_and_one_stop() {
    let engine = Engine::live(source());
    let server = Server::start(&Config::new().engine(&engine.url()));
    let viewers = [by_id(CONTENT), by_infohash(CONTENT)].map(|target| server.viewer_of(&target));
    viewers.iter().for_each(wait_media);
    assert_eq!((engine.playbacks(), engine.readers()), (1, 1));
    let [by_id, by_infohash] = viewers;
    drop(by_id);
    by_infohash.wait_more(300);
    by_infohash.seen().assert_unbroken();
    assert_eq!(
        (engine.readers(), engine.stops()),
        (1, 0),
        "the merged channel lives while one of its names has a viewer"
    );
    drop(by_infohash);
    engine.wait_idle(2_000);
    assert_eq!(engine.stops(), 1);
}

#[test]
fn configured_channel_and_dynamic_content_are_one() {
    let engine = Engine::live(source());
    let server = Server::start(
        &Config::new()
            .engine(&engine.url())
            .channel_of(7, &[format!("content_id = \"{CONTENT}\"")]),
    );
    let viewers = [
        server.viewer(7),
        server.viewer_of(&by_infohash(CONTENT)),
        server.viewer_of(&by_id(CONTENT)),
    ];
    viewers.iter().for_each(wait_media);
    assert_eq!((engine.playbacks(), engine.readers()), (1, 1));
    drop(viewers);
    engine.wait_idle(2_000);
    assert_eq!(engine.stops(), 1);
}

#[test]
fn player_id_is_new_each_time_and_never_a_viewers() {
    let engine = Engine::live(source());
    let server = Server::start(
        &Config::new()
            .set("stream", "linger_ms", 0)
            .engine(&engine.url()),
    );
    for _ in 0..3 {
        let viewer = server.viewer_of(&format!("{}&pid=of-the-viewer&sid=too", by_id(CONTENT)));
        wait_media(&viewer);
        drop(viewer);
        engine.wait_idle(2_000);
    }
    let pids: HashSet<String> = engine.starts().into_iter().map(|start| start.pid).collect();
    assert_eq!(pids.len(), 3);
    assert!(
        !engine
            .asked()
            .iter()
            .any(|asked| asked.target.contains("of-the-viewer")),
        "{:?}",
        engine.asked()
    );
}

#[test]
fn content_is_named_to_the_engine_as_the_viewer_named_it() {
    let engine = Engine::live(source());
    let server = Server::start(&Config::new().engine(&engine.url()));
    let other = CONTENT.replace('0', "1");
    let targets = [
        by_id(CONTENT),
        by_infohash(&other),
        by_id(&CONTENT.replace('0', "2")).replace("id=", "content_id="),
    ];
    let viewers = targets.map(|target| server.viewer_of(&target));
    viewers.iter().for_each(wait_media);
    let mut named: Vec<&str> = engine
        .starts()
        .into_iter()
        .map(|start| start.parameter)
        .collect();
    named.sort_unstable();
    assert_eq!(named, ["content_id", "content_id", "infohash"]);
}

#[test]
fn host_in_the_engines_urls_is_never_asked() {
    let trap = Double::start(|_, _| Ok(()));
    let prefix = format!("http://{}", trap.address());
    let engine =
        Engine::start(move |_| Behaviour::playing(Answer::live(source())).url_prefix(&prefix));
    let server = Server::start(&Config::new().engine(&engine.url()));
    let viewer = server.viewer_of(&by_id(CONTENT));
    wait_media(&viewer);
    drop(viewer);
    engine.wait_idle(2_000);
    assert_eq!((trap.connections(), engine.stops()), (0, 1));
}

#[test]
fn dynamic_content_is_unknown_where_it_is_switched_off() {
    let engine = Engine::live(source());
    let server = Server::start(
        &Config::new()
            .set("engine", "dynamic", false)
            .engine(&engine.url())
            .channel_of(7, &[format!("content_id = \"{CONTENT}\"")]),
    );
    assert_eq!(server.get(&by_id(&CONTENT.replace('0', "1"))).status(), 404);
    assert_eq!(engine.asked().len(), 0);
    let viewer = server.viewer(7);
    wait_media(&viewer);
}

#[test]
fn dynamic_channels_beyond_the_limit_are_refused_until_one_closes() {
    let engine = Engine::live(source());
    let server = Server::start(
        &Config::new()
            .set("engine", "dynamic_max", 2)
            .engine(&engine.url()),
    );
    let of = |digit: &str| by_id(&CONTENT.replace('0', digit));
    let (first, second) = (server.viewer_of(&of("1")), server.viewer_of(&of("2")));
    wait_media(&first);
    wait_media(&second);
    let refused = server.get(&of("3"));
    refused.assert_told_to_come_back();
    assert_eq!(
        server.metric(metric::REJECTS, &[("reason", rejects::BUSY)]),
        1
    );
    wait_media(&server.viewer_of(&of("1")));
    assert_eq!(engine.starts().len(), 2);
    drop(first);
    crate::within(3_000, "the first content closes", || {
        engine.open_sessions() == 1
    });
    crate::within(3_000, "a place is free", || {
        server.viewer_of(&of("3")).wait_status() == 200
    });
}

#[test]
fn identifier_that_is_none_is_a_bad_request() {
    let engine = Engine::live(source());
    let server = Server::start(&Config::new().engine(&engine.url()));
    for query in [
        "",
        "?id=",
        "?id=abc",
        &format!("?id={}", "g".repeat(40)),
        &format!("?id={CONTENT}0"),
        "?url=http://192.0.2.1/a.torrent",
        "?magnet=x",
        &format!("?id={CONTENT}&infohash={CONTENT}"),
    ] {
        let reply = server.get(&format!("/ace/getstream{query}"));
        assert_eq!(reply.status(), 400, "{query}: {}", reply.text());
    }
    assert_eq!(engine.asked().len(), 0);
}

#[test]
fn playback_that_is_refused_is_502_and_its_session_is_stopped() {
    let engine =
        Engine::start(|_| Behaviour::playing(Answer::text("403 Forbidden", "text/plain", "stale")));
    let server = Server::start(&Config::new().engine(&engine.url()));
    let reply = server.get(&by_id(CONTENT));
    assert_eq!(reply.status(), 502, "{}", reply.text());
    engine.wait_idle(2_000);
    assert_eq!(
        (engine.starts().len(), engine.stops()),
        (engine.playbacks(), engine.playbacks())
    );
}

#[test]
fn empty_body_while_the_engine_warms_up_is_tried_again() {
    let engine = Engine::start(|start| match start.nth {
        0 => Behaviour::playing(Answer::head("200 OK", "Content-Type: video/mp2t\r\n")),
        _ => Behaviour::playing(Answer::live(source())),
    });
    let server = Server::start(
        &Config::new()
            .set("stream", "start_timeout_ms", 6_000)
            .engine(&engine.url()),
    );
    let viewer = server.viewer_of(&by_id(CONTENT));
    wait_media(&viewer);
    assert!(engine.playbacks() >= 2);
    drop(viewer);
    engine.wait_idle(2_000);
}

#[test]
fn playback_that_breaks_off_is_resumed_with_every_session_stopped() {
    let engine = Engine::start(|start| match start.nth {
        0 | 1 => Behaviour::playing(
            Answer::media(Media::live(source()).bytes(200_001)).then(Step::Reset),
        ),
        _ => Behaviour::playing(Answer::live(source())),
    });
    let server = Server::start(&Config::new().engine(&engine.url()));
    let viewer = server.viewer_of(&by_id(CONTENT));
    viewer.wait("two splices", |state| state.seen().gaps.len() >= 2);
    viewer.wait_more(200);
    viewer.seen().assert_spliced();
    assert_eq!(engine.open_sessions(), 1);
    drop(viewer);
    engine.wait_idle(2_000);
}

#[test]
fn playback_is_open_while_the_engine_prebuffers() {
    let engine = Engine::start(|_| {
        Behaviour::playing(Answer::live(source())).warm_up(Duration::from_millis(1_500))
    });
    let server = Server::start(&Config::new().engine(&engine.url()));
    let viewer = server.viewer_of(&by_id(CONTENT));
    wait_media(&viewer);
    assert_eq!(
        engine.starts().len(),
        1,
        "a slow start is not a second start"
    );
}

#[test]
fn many_live_contents_can_all_be_stopped() {
    let count = scaled(40, 200);
    let engine = Engine::live(Source::new(1, 200));
    let server = Server::start(
        &Config::new()
            .set("engine", "dynamic_max", 500)
            .engine(&engine.url()),
    );
    let viewers: Vec<Viewer> = (1..=count)
        .map(|number| server.viewer_of(&format!("/ace/getstream?infohash={number:040x}")))
        .collect();
    for viewer in &viewers {
        assert_eq!(viewer.wait_status(), 200);
        viewer.wait("media", |state| state.seen().packets > 50);
    }
    assert_eq!(engine.open_sessions() as u64, count);
    assert_eq!(server.metric(metric::ENGINE_SESSIONS, &[]), count);
    drop(viewers);
    engine.wait_idle(scaled(3_000, 6_000));
    assert_eq!(engine.stops() as u64, count);
}

#[test]
fn dynamic_content_wants_an_account_where_there_are_some() {
    let engine = Engine::live(source());
    let server = Server::start(
        &Config::new()
            .account("anna", PASSWORD)
            .engine(&engine.url())
            .channel_of(7, &[format!("content_id = \"{CONTENT}\"")]),
    );
    assert_eq!(server.get(&by_id(CONTENT)).status(), 401);
    assert_eq!(server.get(&path(7)).status(), 401);
    assert_eq!(engine.asked().len(), 0);
    let viewer = server.viewer_of(&format!("{}&user=anna&password={PASSWORD}", by_id(CONTENT)));
    wait_media(&viewer);
}

#[test]
fn content_asked_for_by_a_configured_list_falls_back_to_the_next() {
    let engine = Engine::start(|_| Behaviour::error("failed to load content"));
    let upstream = crate::upstream::Upstream::live(Source::new(2, 1_000));
    let lines = [
        format!("infohash = \"{CONTENT}\""),
        format!("url = {:?}", upstream.url("/b.ts")),
    ];
    let server = Server::start(&Config::new().engine(&engine.url()).channel_of(7, &lines));
    let viewer = server.viewer(7);
    wait_media(&viewer);
    assert_eq!(viewer.seen().last.unwrap().origin, 2);
    assert_eq!(engine.starts()[0].infohash, CONTENT);
}
