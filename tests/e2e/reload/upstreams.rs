//! Other upstreams for channels that are watched: viewers keep their connections, and the change is announced to them.

use corecast_load::packets::Source;

use super::{assert_goes_on, live, reload, wait_ends};
use crate::config::Config;
use crate::engine::{Behaviour, Engine};
use crate::names::{ends, metric};
use crate::server::{Server, path};
use crate::upstream::Answer;
use crate::viewer::{End, Viewer};
use crate::within;

const HASHES: [&str; 2] = [
    "00112233445566778899aabbccddeeff00112233",
    "00112233445566778899aabbccddeeff00112244",
];

/// The content of the engine by its place in the list, as a line of an upstream.
fn content(index: usize) -> String {
    format!("infohash = {:?}", HASHES[index])
}

fn dynamic(index: usize) -> String {
    format!("/ace/getstream?infohash={}", HASHES[index])
}

#[track_caller]
fn wait_origin(viewer: &Viewer, origin: u8) {
    viewer.wait(&format!("media of upstream {origin}"), |state| {
        state.seen().last.is_some_and(|last| last.origin == origin)
    });
}

/// The viewer goes on with media of another upstream after one change that was announced.
#[track_caller]
fn assert_changed_over(viewer: &Viewer, origin: u8) {
    wait_origin(viewer, origin);
    viewer.wait_more(100);
    let seen = viewer.seen();
    seen.assert_spliced();
    assert_eq!((seen.switches, viewer.ended()), (1, None));
}

/// The viewer came after the change; its burst may begin before it.
#[track_caller]
fn assert_joined(viewer: &Viewer) {
    wait_origin(viewer, 2);
    viewer.wait_more(50);
    viewer.seen().assert_spliced();
    assert_eq!(viewer.ended(), None);
}

#[test]
fn other_upstream_is_changed_over_to_with_the_viewers_attached() {
    let (first, second) = (live(1), live(2));
    let server = Server::start(&Config::new().channel(7, &[first.url("/a.ts")]));
    let viewers: Vec<Viewer> = (0..12).map(|_| server.viewer(7)).collect();
    viewers.iter().for_each(|viewer| wait_origin(viewer, 1));
    reload(&server, &Config::new().channel(7, &[second.url("/b.ts")]));
    for viewer in &viewers {
        assert_changed_over(viewer, 2);
    }
    within(2_000, "the first upstream is left", || {
        first.double().open() == 0
    });
    assert_eq!(second.double().connections(), 1);
    assert_eq!(server.metric(metric::SWITCHES, &[]), 1);
    assert_eq!(server.metric(metric::ENDS, &[]), 0);
    server.wait_log(1, "upstreams changed channel=7");
}

#[test]
fn list_in_which_the_present_upstream_still_stands_disturbs_nobody() {
    let (first, second) = (live(1), live(2));
    let server = Server::start(&Config::new().channel(7, &[first.url("/a.ts")]));
    let viewer = server.viewer(7);
    wait_origin(&viewer, 1);
    let config = Config::new().set("stream", "return_ms", 0);
    reload(
        &server,
        &config.channel(7, &[second.url("/b.ts"), first.url("/a.ts")]),
    );
    server.wait_metric(metric::UPSTREAM_IN_USE, &[("channel", "7")], 2);
    assert_goes_on(&viewer);
    assert_eq!(first.double().connections(), 1);
    assert_eq!(second.double().connections(), 0);
    // The list is the new one when the present upstream is lost.
    drop(first);
    assert_changed_over(&viewer, 2);
}

#[test]
fn upstream_that_was_put_right_is_tried_at_once() {
    let (dead, well) = (crate::upstream::Upstream::start(|_| refusal()), live(1));
    let server = Server::start(&Config::new().channel(7, &[dead.url("/a.ts")]));
    assert_eq!(server.get(&path(7)).status(), 502);
    assert_eq!(server.get(&path(7)).status(), 502);
    reload(&server, &Config::new().channel(7, &[well.url("/a.ts")]));
    assert_goes_on(&server.viewer(7));
}

#[test]
fn viewer_that_waits_for_a_start_gets_it_from_the_new_list() {
    let silent = crate::upstream::Upstream::start(|_| Answer::silence());
    let well = live(1);
    let server = Server::start(&Config::new().channel(7, &[silent.url("/a.ts")]));
    let viewer = server.viewer(7);
    within(3_000, "the channel is asked for", || {
        silent.double().connections() == 1
    });
    reload(&server, &Config::new().channel(7, &[well.url("/a.ts")]));
    assert_eq!(viewer.wait_status(), 200);
    assert_goes_on(&viewer);
}

#[test]
fn channels_that_move_to_the_engine_are_fetched_once_wherever_their_viewers_are() {
    let upstream = live(1);
    let engine = Engine::live(Source::new(2, 1_000));
    let base = || Config::new().engine(&engine.url());
    let ids = [7, 8];
    let before = ids.iter().fold(base(), |config, id| {
        config.channel(*id, &[upstream.url("/a.ts")])
    });
    let server = Server::start(&before);
    let viewers: Vec<Viewer> = (0..16).map(|turn| server.viewer(ids[turn % 2])).collect();
    viewers.iter().for_each(|viewer| wait_origin(viewer, 1));
    let after = || {
        let contents = ids.iter().zip([content(0), content(1)]);
        contents.fold(base(), |config, (id, line)| config.channel_of(*id, &[line]))
    };
    reload(&server, &after());
    for viewer in &viewers {
        assert_changed_over(viewer, 2);
    }
    // Who comes now joins what is open, on whichever shard that is.
    let joined: Vec<Viewer> = (0..16).map(|turn| server.viewer(ids[turn % 2])).collect();
    joined.iter().for_each(assert_joined);
    assert_eq!(engine.starts().len(), 2);
    drop((viewers, joined));
    engine.wait_idle(3_000);
    let again: Vec<Viewer> = (0..16).map(|turn| server.viewer(ids[turn % 2])).collect();
    again.iter().for_each(assert_goes_on);
    assert_eq!(engine.starts().len(), 4);
    assert_eq!(engine.open_sessions(), 2);
}

#[test]
fn content_goes_over_to_another_engine_and_is_stopped_at_the_first() {
    let (first, second) = (
        Engine::live(Source::new(1, 1_000)),
        Engine::live(Source::new(2, 1_000)),
    );
    let server = Server::start(&Config::new().engine(&first.url()));
    let viewers: Vec<Viewer> = (0..8).map(|_| server.viewer_of(&dynamic(0))).collect();
    viewers.iter().for_each(|viewer| wait_origin(viewer, 1));
    reload(&server, &Config::new().engine(&second.url()));
    for viewer in &viewers {
        assert_changed_over(viewer, 2);
    }
    first.wait_idle(2_000);
    assert_eq!((first.stops(), second.starts().len()), (1, 1));
    let joined: Vec<Viewer> = (0..8).map(|_| server.viewer_of(&dynamic(0))).collect();
    joined.iter().for_each(assert_joined);
    assert_eq!(second.starts().len(), 1);
}

#[test]
fn content_that_is_not_allowed_any_more_ends_as_a_removed_channel_does() {
    let engine = Engine::live(Source::new(1, 1_000));
    let base = || Config::new().engine(&engine.url());
    let server = Server::start(&base());
    let viewer = server.viewer_of(&dynamic(0));
    wait_origin(&viewer, 1);
    reload(&server, &base().set("engine", "dynamic", false));
    assert_eq!(viewer.wait_end(), End::Closed);
    wait_ends(&server, ends::CHANNEL_REMOVED, 1);
    engine.wait_idle(2_000);
    assert_eq!(server.get(&dynamic(0)).status(), 404);
}

#[test]
fn channel_that_shared_its_content_does_not_follow_the_other_to_new_content() {
    let engine = Engine::start(|start| {
        let origin = if start.infohash == HASHES[0] { 1 } else { 2 };
        Behaviour::playing(Answer::live(Source::new(origin, 1_000)))
    });
    let config = |first: usize, second: usize| {
        let config = Config::new().engine(&engine.url());
        config
            .channel_of(7, &[content(first)])
            .channel_of(8, &[content(second)])
    };
    let server = Server::start(&config(0, 0));
    let owner = server.viewer(7);
    wait_origin(&owner, 1);
    let shares = server.viewer(8);
    wait_origin(&shares, 1);
    assert_eq!(engine.open_sessions(), 1);
    reload(&server, &config(1, 0));
    assert_changed_over(&owner, 2);
    assert_eq!(shares.wait_end(), End::Closed);
    shares.seen().assert_unbroken();
    let again = server.viewer(8);
    wait_origin(&again, 1);
    assert_eq!(engine.open_sessions(), 2);
}

fn refusal() -> Answer {
    Answer::text("404 Not Found", "text/plain", "none")
}
