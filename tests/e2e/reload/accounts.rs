//! Other accounts while their viewers watch: who may still watch notices nothing, the rest ends with its reason.

use corecast_load::packets::Source;

use super::{assert_ended_whole, assert_goes_on, live, reload, wait_ends};
use crate::config::Config;
use crate::launch::{PASSWORD, PASSWORD_HASH};
use crate::limits::connect_from;
use crate::names::{ends, metric};
use crate::server::{Server, path};
use crate::upstream::Upstream;
use crate::viewer::{Reading, Viewer};

/// A password that is another than everybody's.
const OTHER: &str = "another-Pw4712";

fn base(upstream: &Upstream) -> Config {
    Config::new()
        .channel(7, &[upstream.url("/a.ts")])
        .channel(8, &[upstream.url("/b.ts")])
}

fn with_password(lines: &str) -> String {
    format!("password = {PASSWORD:?}\n{lines}")
}

fn target(user: &str, password: &str, channel: u32) -> String {
    format!("/live/{user}/{password}/{channel}.ts")
}

#[track_caller]
fn watching(server: &Server, user: &str, channel: u32) -> Viewer {
    let viewer = server.viewer_of(&target(user, PASSWORD, channel));
    assert_eq!(viewer.wait_status(), 200);
    viewer.wait_more(20);
    viewer
}

#[track_caller]
fn watching_from(last: u8, server: &Server, user: &str) -> Viewer {
    let target = target(user, PASSWORD, 7);
    let request = format!("GET {target} HTTP/1.1\r\nHost: a\r\nUser-Agent: app\r\n\r\n");
    let socket = connect_from(last, server.address());
    let viewer = Viewer::on(socket, &request, Reading::Full);
    assert_eq!(viewer.wait_status(), 200);
    viewer.wait_more(20);
    viewer
}

#[test]
fn accounts_that_were_removed_or_changed_end_their_viewers_and_no_others() {
    let upstream = live(1);
    let server = Server::start(
        &base(&upstream)
            .account("kept", PASSWORD)
            .account("removed", PASSWORD)
            .account("password", PASSWORD)
            .account("channels", PASSWORD)
            .account("over", PASSWORD)
            .account("near", PASSWORD)
            .account("wider", PASSWORD),
    );
    let of = |user: &str| -> Vec<Viewer> { (0..4).map(|_| watching(&server, user, 7)).collect() };
    let stays = [of("kept"), of("wider")];
    let leaves = ["removed", "password", "channels", "over", "near"].map(of);
    let in_part = watching(&server, "channels", 8);
    reload(
        &server,
        &base(&upstream)
            .account("kept", PASSWORD)
            .account("password", OTHER)
            .account_of("channels", &with_password("channels = [8]"))
            .account_of("over", &with_password("valid_until = 2001-01-01"))
            .account_of("near", &with_password("networks = [\"10.0.0.0/8\"]"))
            .account_of(
                "wider",
                &with_password("viewers_max = 9\nvalid_until = 2999-01-01"),
            )
            .account("added", PASSWORD),
    );
    leaves.iter().flatten().for_each(assert_ended_whole);
    wait_ends(&server, ends::REVOKED, 20);
    stays.iter().flatten().for_each(assert_goes_on);
    assert_goes_on(&in_part);
    assert_eq!(server.metric(metric::ENDS, &[]), 20);
    let status = |user, password, channel| {
        let viewer = server.viewer_of(&target(user, password, channel));
        viewer.wait_status()
    };
    assert_eq!(status("removed", PASSWORD, 7), 401);
    assert_eq!(status("password", PASSWORD, 7), 401);
    assert_eq!(status("password", OTHER, 7), 200);
    assert_eq!(status("channels", PASSWORD, 7), 403);
    assert_eq!(status("over", PASSWORD, 7), 403);
    assert_eq!(status("near", PASSWORD, 7), 403);
    assert_eq!(status("added", PASSWORD, 7), 200);
}

#[test]
fn channel_that_leaves_the_group_of_an_account_ends_for_it() {
    let upstream = live(1);
    let config = |group: &str| {
        let config = Config::new()
            .listed(7, "Seven", &format!("group = {group:?}"))
            .listed(8, "Eight", "group = \"News\"")
            .listed(9, "Nine", "group = \"Sport\"");
        config.account_of("anna", &with_password("groups = [\"News\"]"))
    };
    let server = Server::start(&config("News").channel(1, &[upstream.url("/a.ts")]));
    let viewers = [7, 8].map(|channel| server.viewer_of(&target("anna", PASSWORD, channel)));
    for viewer in &viewers {
        viewer.wait("media", |state| state.seen().bytes > 50_000);
    }
    reload(
        &server,
        &config("Sport").channel(1, &[upstream.url("/a.ts")]),
    );
    wait_ends(&server, ends::REVOKED, 1);
    viewers[0].wait_end();
    let before = viewers[1].seen().bytes;
    viewers[1].wait("more", |state| state.seen().bytes > before + 50_000);
}

#[test]
fn limit_that_is_lowered_holds_at_once() {
    let upstream = live(1);
    let config = |replace: usize, refuse: usize| {
        let of = |most: usize, word: &str| {
            with_password(&format!("viewers_max = {most}\nat_limit = {word:?}"))
        };
        base(&upstream)
            .account_of("anna", &of(replace, "replace"))
            .account_of("ben", &of(refuse, "refuse"))
    };
    let server = Server::start(&config(4, 4));
    let replaced: Vec<Viewer> = (31..35)
        .map(|it| watching_from(it, &server, "anna"))
        .collect();
    let refused: Vec<Viewer> = (41..45)
        .map(|it| watching_from(it, &server, "ben"))
        .collect();
    reload(&server, &config(1, 3));
    replaced[..3].iter().for_each(assert_ended_whole);
    refused[3..].iter().for_each(assert_ended_whole);
    wait_ends(&server, ends::AT_LIMIT, 4);
    assert_goes_on(&replaced[3]);
    refused[..3].iter().for_each(assert_goes_on);
    reload(&server, &config(2, 4));
    assert_goes_on(&watching_from(46, &server, "ben"));
    assert_goes_on(&watching_from(36, &server, "anna"));
    wait_ends(&server, ends::AT_LIMIT, 4);
}

#[test]
fn login_that_is_remembered_is_of_no_use_against_another_hash() {
    let upstream = live(1);
    let with_hash = |hash: &str| {
        let line = format!("password_hash = {hash:?}");
        base(&upstream).account_of("anna", &line)
    };
    let server = Server::start(&with_hash(PASSWORD_HASH));
    let viewer = watching(&server, "anna", 7);
    let other = PASSWORD_HASH.replace("2Hm4", "2Hm8");
    assert_ne!(other, PASSWORD_HASH);
    reload(&server, &with_hash(&other));
    assert_ended_whole(&viewer);
    wait_ends(&server, ends::REVOKED, 1);
    for _ in 0..4 {
        assert_eq!(server.get(&target("anna", PASSWORD, 7)).status(), 401);
    }
    reload(&server, &with_hash(PASSWORD_HASH));
    assert_goes_on(&watching(&server, "anna", 7));
}

#[test]
fn accounts_that_are_asked_for_from_now_on_end_those_who_have_none() {
    let upstream = Upstream::live(Source::new(1, 1_000));
    let server = Server::start(&base(&upstream));
    let viewers: Vec<Viewer> = (0..8).map(|_| server.viewer(7)).collect();
    viewers.iter().for_each(|viewer| viewer.wait_more(20));
    reload(&server, &base(&upstream).account("anna", PASSWORD));
    viewers.iter().for_each(assert_ended_whole);
    wait_ends(&server, ends::REVOKED, 8);
    assert_eq!(server.get(&path(7)).status(), 401);
    let anna = watching(&server, "anna", 7);
    reload(&server, &base(&upstream));
    assert_goes_on(&anna);
    assert_goes_on(&server.viewer(7));
    assert_eq!(server.metric(metric::ENDS, &[("reason", ends::REVOKED)]), 8);
}
