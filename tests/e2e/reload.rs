//! Another configuration while viewers watch: who is not concerned notices nothing, and the rest ends with its reason.

mod accounts;
mod upstreams;

use std::time::Duration;

use corecast_load::packets::Source;
use rustix::process::Signal;

use crate::config::Config;
use crate::launch::PASSWORD;
use crate::names::{ends, metric};
use crate::server::{Server, path};
use crate::upstream::{Answer, Upstream};
use crate::viewer::{End, Viewer};
use crate::{scaled, within};

/// Writes another configuration where the server reads it.
fn write(server: &Server, toml: &str) {
    let file = server.folder().join("corecast.toml");
    let new = server.folder().join("corecast.toml.new");
    std::fs::write(&new, toml).unwrap();
    std::fs::rename(new, file).unwrap();
}

fn hang_up(server: &Server) {
    rustix::process::kill_process(server.pid(), Signal::HUP).unwrap();
}

fn reloads(server: &Server, result: &str) -> u64 {
    server.metric(metric::RELOADS, &[("result", result)])
}

/// Has the server take another configuration, and waits until it has.
#[track_caller]
fn reload(server: &Server, config: &Config) {
    let before = reloads(server, "ok");
    write(server, &config.toml());
    hang_up(server);
    server.wait_metric(metric::RELOADS, &[("result", "ok")], before + 1);
}

/// Has the server refuse another configuration.
#[track_caller]
fn reload_refused(server: &Server, toml: &str) {
    let before = reloads(server, "refused");
    write(server, toml);
    hang_up(server);
    server.wait_metric(metric::RELOADS, &[("result", "refused")], before + 1);
}

#[track_caller]
fn assert_goes_on(viewer: &Viewer) {
    viewer.wait_more(50);
    viewer.seen().assert_unbroken();
    assert_eq!(viewer.ended(), None);
}

/// The viewer was ended in order, at a packet boundary.
#[track_caller]
fn assert_ended_whole(viewer: &Viewer) {
    assert_eq!(viewer.wait_end(), End::Closed);
    assert_eq!(viewer.seen().tail_bytes, 0);
    viewer.seen().assert_unbroken();
}

#[track_caller]
fn wait_ends(server: &Server, reason: &str, expected: u64) {
    server.wait_metric(metric::ENDS, &[("reason", reason)], expected);
}

fn live(origin: u8) -> Upstream {
    Upstream::live(Source::new(origin, 1_000))
}

#[test]
fn twenty_reloads_with_changes_elsewhere_cost_three_hundred_viewers_no_packet() {
    let (upstream, other) = (live(1), live(2));
    // Channel 7 keeps its upstream: what apps list of it changes, and how new viewers begin.
    let config = |turn: u32| {
        let own = format!("url = {:?}", upstream.url("/a.ts"));
        let config = Config::new()
            .set("stream", "burst_ms", 500 + turn)
            .set("server", "drain_ms", 1_000 + turn)
            .channel_of(7, &[own])
            .channel(8, &[other.url(&format!("/{turn}.ts"))])
            .demo(100 + turn);
        config
            .account("anna", PASSWORD)
            .account(&format!("guest{turn}"), PASSWORD)
    };
    let server = Server::start(&config(0));
    let target = format!("/live/anna/{PASSWORD}/7.ts");
    let viewers: Vec<Viewer> = (0..300).map(|_| server.viewer_of(&target)).collect();
    for viewer in &viewers {
        viewer.wait_within(Duration::from_secs(30), "media", |state| {
            state.seen().packets > 100
        });
    }
    for turn in 1..=20 {
        reload(&server, &config(turn));
    }
    for viewer in &viewers {
        assert_goes_on(viewer);
        viewer.assert_steady();
    }
    assert_eq!(upstream.double().connections(), 1);
    assert_eq!(server.metric(metric::ENDS, &[]), 0);
    assert_eq!(server.metric(metric::SKIPS, &[]), 0);
    assert_eq!(server.metric("feed_lost_chunks_total", &[]), 0);
    assert_eq!(reloads(&server, "refused"), 0);
    let line = "channels_added=1 channels_removed=1 channels_changed=2 accounts_added=1 accounts_removed=1";
    server.wait_log(20, line);
}

#[test]
fn bad_file_changes_nothing_and_every_error_is_told_with_its_place() {
    let upstream = live(1);
    let config = Config::new().channel(7, &[upstream.url("/a.ts")]);
    let server = Server::start(&config);
    let viewer = server.viewer(7);
    assert_eq!(viewer.wait_status(), 200);
    let bad =
        "[server]\nlisten = [\"127.0.0.1:0\"]\ndrain_ms = -1\n[[channel]]\nid = 8\nnam = \"x\"\n";
    reload_refused(&server, bad);
    for place in [
        "corecast.toml:3:12: server.drain_ms",
        "corecast.toml:6:1: channel.nam",
    ] {
        server.wait_log(1, place);
    }
    reload_refused(&server, "[[channel]\n");
    server.wait_log(1, "corecast.toml:1:");
    std::fs::remove_file(server.folder().join("corecast.toml")).unwrap();
    hang_up(&server);
    server.wait_metric(metric::RELOADS, &[("result", "refused")], 3);
    assert_goes_on(&viewer);
    assert_goes_on(&server.viewer(7));
    assert_eq!(server.get(&path(8)).status(), 404);
    assert_eq!(reloads(&server, "ok"), 0);
    let first = server.scrape().sum("config_last_reload_seconds", &[]);
    reload(&server, &config.demo(8));
    assert!(server.scrape().sum("config_last_reload_seconds", &[]) > first);
    assert_eq!(server.viewer(8).wait_status(), 200);
}

#[test]
fn channel_that_is_added_is_watched_at_once_and_one_that_is_removed_ends_its_viewers() {
    let (kept, removed, silent) = (live(1), live(2), Upstream::start(|_| Answer::silence()));
    let base = || Config::new().channel(7, &[kept.url("/a.ts")]);
    let server = Server::start(
        &base()
            .channel(8, &[removed.url("/b.ts")])
            .channel(9, &[silent.url("/c.ts")]),
    );
    let (stays, leaves): (Vec<Viewer>, Vec<Viewer>) =
        (0..8).map(|_| (server.viewer(7), server.viewer(8))).unzip();
    let waits = server.viewer(9);
    for viewer in stays.iter().chain(&leaves) {
        viewer.wait("media", |state| state.seen().packets > 50);
    }
    within(3_000, "the third channel is asked for", || {
        silent.double().connections() > 0
    });
    reload(&server, &base().demo(10));
    for _ in 0..8 {
        assert_eq!(server.viewer(10).wait_status(), 200);
    }
    leaves.iter().for_each(assert_ended_whole);
    assert_eq!(waits.wait_status(), 404);
    wait_ends(&server, ends::CHANNEL_REMOVED, 8);
    let of_it = [("reason", ends::CHANNEL_REMOVED), ("channel", "8")];
    assert_eq!(server.metric(metric::ENDS, &of_it), 8);
    within(2_000, "the removed channel is fetched no longer", || {
        removed.double().open() == 0 && silent.double().open() == 0
    });
    assert_eq!(server.get(&path(8)).status(), 404);
    let playlist = server.get("/playlist.m3u");
    assert!(!playlist.text().contains("Channel 8") && playlist.text().contains("Channel 10"));
    stays.iter().for_each(assert_goes_on);
    reload(&server, &base().channel(8, &[removed.url("/b.ts")]));
    assert_goes_on(&server.viewer(8));
}

#[test]
fn keys_that_need_a_restart_keep_their_values_and_the_rest_is_applied() {
    let server = Server::start(&Config::new().demo(7));
    let viewer = server.viewer(7);
    viewer.wait("media", |state| state.seen().bytes > 100_000);
    let other = Config::new()
        .set("server", "listen", r#"["127.0.0.1:1"]"#)
        .set("server", "shards", 1)
        .set("server", "pin", false)
        .set("admin", "listen", r#""127.0.0.1:2""#);
    reload(&server, &other.demo(7).demo(8));
    server.wait_log(
        1,
        "unchanged until a restart: server.listen stays 127.0.0.1:0, not 127.0.0.1:1; server.shards stays 2, not 1; \
         server.pin stays true, not false; admin.listen stays 127.0.0.1:0, not 127.0.0.1:2",
    );
    assert_eq!(server.viewer(8).wait_status(), 200);
    let before = viewer.seen().bytes;
    viewer.wait("more", |state| state.seen().bytes > before + 100_000);
}

#[test]
fn listener_that_stays_is_not_left_open_to_everybody() {
    let open = Config::new()
        .set("server", "listen", r#"["0.0.0.0:0"]"#)
        .set("server", "open", true);
    let server = Server::start(&open.demo(7));
    reload_refused(&server, &Config::new().demo(7).toml());
    server.wait_log(1, "server.listen: 0.0.0.0:0 is in use until a restart");
    reload(&server, &Config::new().demo(7).account("anna", PASSWORD));
}

#[test]
fn number_of_viewers_follows_the_configuration() {
    let config = |most: usize| {
        let config = Config::new().set("server", "viewers_max", most);
        config.demo(7)
    };
    let server = Server::start(&config(1));
    let first = server.viewer(7);
    assert_eq!(first.wait_status(), 200);
    assert_eq!(server.get(&path(7)).status(), 503);
    reload(&server, &config(2));
    let second = server.viewer(7);
    assert_eq!(second.wait_status(), 200);
    reload(&server, &config(1));
    assert_eq!(server.get(&path(7)).status(), 503);
    for viewer in [&first, &second] {
        let before = viewer.seen().bytes;
        viewer.wait("more", |state| state.seen().bytes > before + 100_000);
    }
}

#[test]
fn burst_of_requests_ends_with_the_last_file_in_use() {
    let server = Server::start(&Config::new().demo(7));
    for round in 1..=scaled(3, 20) {
        for turn in 0..40 {
            let id = u32::try_from(round * 100 + turn).unwrap();
            write(&server, &Config::new().demo(7).demo(id).toml());
            hang_up(&server);
        }
        let last = format!("Channel {}", round * 100 + 39);
        within(10_000, "the last file is in use", || {
            server.get("/playlist.m3u").text().contains(&last)
        });
    }
    let done = reloads(&server, "ok");
    assert!((1..=40 * scaled(3, 20)).contains(&done), "{done}");
    assert_eq!(reloads(&server, "refused"), 0);
}

#[test]
fn request_to_reload_does_not_disturb_a_drain() {
    let upstream = live(1);
    let config = Config::new()
        .set("server", "drain_ms", 1_500)
        .channel(7, &[upstream.url("/a.ts")]);
    let server = Server::start(&config);
    let viewer = server.viewer(7);
    viewer.wait("media", |state| state.seen().packets > 50);
    server.terminate();
    within(1_000, "readyz says 503", || {
        server.ask_admin("/readyz").status() == 503
    });
    reload_refused(&server, &Config::new().demo(8).toml());
    server.wait_log(1, "configuration refused: corecast drains");
    viewer.wait_more(50);
    assert_ended_whole(&viewer);
    assert_eq!(server.wait_exit(Duration::from_secs(5)).code(), Some(0));
}

#[test]
fn ten_thousand_channels_and_accounts_are_read_beside_viewers_who_notice_nothing() {
    let upstream = live(1);
    let config = |turn: u32| {
        let mut config = Config::new()
            .channel(7, &[upstream.url("/a.ts")])
            .account("anna", PASSWORD);
        for number in 1_000..if turn == 0 { 1_000 } else { 11_000 } {
            let keys = format!("group = \"Group {}\"", number % 50);
            let name = format!("Number {number} of {turn}");
            let lines = format!(
                "password = {PASSWORD:?}\ngroups = [\"Group {}\"]",
                number % 50
            );
            config = config
                .listed(number, &name, &keys)
                .account_of(&format!("user{number}"), &lines);
        }
        config
    };
    let server = Server::start(&config(0));
    let target = |user: &str, channel: u32| format!("/live/{user}/{PASSWORD}/{channel}.ts");
    let viewers: Vec<Viewer> = (0..20)
        .map(|_| server.viewer_of(&target("anna", 7)))
        .collect();
    for viewer in &viewers {
        viewer.wait("media", |state| state.seen().packets > 50);
    }
    let before = server.cpu_time();
    for turn in 1..=2 {
        write(&server, &config(turn).toml());
        hang_up(&server);
        // Not by a metric: those of so many channels take longer to tell than the file takes to read.
        within(30_000, "the file is in use", || {
            let log = server.log();
            let done = log
                .iter()
                .filter(|line| line.contains("configuration reloaded"));
            done.count() == usize::try_from(turn).unwrap()
        });
    }
    let used = server.cpu_time() - before;
    assert!(used < CPU_MAX, "{used:?}");
    server.wait_log(1, "channels_added=10000 channels_removed=0");
    server.wait_log(1, "channels_changed=10000");
    assert_eq!(
        server.viewer_of(&target("user1001", 1_051)).wait_status(),
        200
    );
    assert_eq!(server.get(&target("user1001", 1_050)).status(), 403);
    for viewer in &viewers {
        assert_goes_on(viewer);
        viewer.assert_steady();
    }
}

/// Two readings and what is served meanwhile, without optimisation and beside other tests; a release takes a tenth.
const CPU_MAX: Duration = Duration::from_secs(12);
