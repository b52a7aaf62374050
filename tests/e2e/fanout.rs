//! One fetch, many viewers: each gets every packet once, whichever shard it landed on.

use corecast_load::packets::Source;
use corecast_load::verify::Kind;

use crate::config::Config;
use crate::launch::{Folder, Launch};
use crate::names::metric;
use crate::scaled;
use crate::server::{Server, path};
use crate::tools;
use crate::upstream::Upstream;
use crate::viewer::Viewer;

#[test]
fn many_viewers_on_every_shard_share_one_upstream_connection() {
    let upstream = Upstream::live(Source::new(1, 2_000));
    let server = Server::start(&Config::new().channel(7, &[upstream.url("/a.ts")]));
    let viewers: Vec<Viewer> = (0..scaled(60, 400)).map(|_| server.viewer(7)).collect();
    for viewer in &viewers {
        assert_eq!(viewer.wait_status(), 200);
        viewer.wait("two seconds of media", |state| state.seen().bytes > 500_000);
    }
    server.wait_metric(metric::VIEWERS, &[("channel", "7")], viewers.len() as u64);
    let scrape = server.scrape();
    assert_eq!(server.shards(), 2);
    for shard in ["0", "1"] {
        assert!(
            scrape.sum(metric::VIEWERS, &[("shard", shard)]) > 0.5,
            "shard {shard} has no viewer of {}",
            viewers.len()
        );
    }
    for viewer in &viewers {
        viewer.seen().assert_unbroken();
        viewer.seen().assert_starts_at_join_point();
    }
    assert_eq!(upstream.double().connections(), 1);
    assert_eq!(server.metric(metric::CONNECTS, &[("result", "ok")]), 1);
    assert_eq!(server.metric(metric::SKIPS, &[]), 0);
}

#[test]
fn few_viewers_are_served_by_the_shard_that_fetches() {
    let upstreams = [7, 8].map(|origin| Upstream::live(Source::new(origin, 2_000)));
    let config = Config::new()
        .channel(7, &[upstreams[0].url("/a.ts")])
        .channel(8, &[upstreams[1].url("/b.ts")]);
    let server = Server::start(&config);
    let viewers: Vec<Viewer> = (0..16).map(|turn| server.viewer(7 + turn % 2)).collect();
    for viewer in &viewers {
        assert_eq!(viewer.wait_status(), 200);
        viewer.wait("a second of media", |state| state.seen().bytes > 250_000);
        viewer.seen().assert_unbroken();
        viewer.seen().assert_starts_at_join_point();
    }
    server.wait_metric(metric::VIEWERS, &[], viewers.len() as u64);
    let scrape = server.scrape();
    for channel in ["7", "8"] {
        let on = |shard| scrape.sum(metric::VIEWERS, &[("channel", channel), ("shard", shard)]);
        let viewers = [on("0"), on("1")];
        assert!(
            viewers.contains(&0.0) && viewers.contains(&8.0),
            "channel {channel} has {viewers:?}"
        );
    }
}

#[test]
fn one_shard_serves_everybody() {
    let upstream = Upstream::live(Source::new(1, 2_000));
    let server = Server::start(
        &Config::new()
            .set("server", "shards", 1)
            .channel(7, &[upstream.url("/a.ts")]),
    );
    assert_eq!(server.shards(), 1);
    let viewers: Vec<Viewer> = (0..20).map(|_| server.viewer(7)).collect();
    for viewer in &viewers {
        viewer.wait("two seconds of media", |state| state.seen().bytes > 500_000);
        viewer.seen().assert_unbroken();
    }
    assert_eq!(upstream.double().connections(), 1);
}

#[test]
fn channels_do_not_mix() {
    let upstreams = [1, 2, 3].map(|origin| Upstream::live(Source::new(origin, 2_000)));
    let config = (1..)
        .zip(&upstreams)
        .fold(Config::new(), |config, (id, upstream)| {
            config.channel(id, &[upstream.url("/a.ts")])
        });
    let server = Server::start(&config);
    let viewers: Vec<(u8, Viewer)> = (0..12)
        .map(|turn| turn % 3 + 1)
        .map(|id| (id, server.viewer(u32::from(id))))
        .collect();
    for (id, viewer) in &viewers {
        viewer.wait("a second of media", |state| state.seen().bytes > 250_000);
        viewer.seen().assert_unbroken();
        assert_eq!(viewer.seen().last.unwrap().origin, *id);
    }
    assert!(
        upstreams
            .iter()
            .all(|upstream| upstream.double().connections() == 1)
    );
}

#[test]
fn viewers_that_come_and_go_leave_the_others_alone() {
    let upstream = Upstream::live(Source::new(1, 2_000));
    let server = Server::start(&Config::new().channel(7, &[upstream.url("/a.ts")]));
    let staying: Vec<Viewer> = (0..6).map(|_| server.viewer(7)).collect();
    staying
        .iter()
        .for_each(|viewer| viewer.wait("media", |state| state.seen().packets > 100));
    for turn in 0..scaled(60, 2_000) {
        let passing = server.viewer(7);
        if turn % 3 > 0 {
            passing.wait("media", |state| state.seen().packets > 3);
        }
        if turn % 2 == 0 {
            passing.leave_by_reset();
        }
    }
    for viewer in &staying {
        viewer.wait_more(100);
        viewer.seen().assert_unbroken();
        viewer.assert_steady();
    }
    server.wait_metric(metric::VIEWERS, &[], 6);
    assert_eq!(upstream.double().connections(), 1);
}

/// Without a file the demo is channel 123, as the quick start says.
fn demo() -> Server {
    Launch::bare()
        .argument("--listen")
        .argument("127.0.0.1:0")
        .environment("CORECAST_ADMIN__LISTEN", "127.0.0.1:0")
        .start()
}

#[test]
fn ten_curls_read_the_demo_at_once() {
    let (server, folder) = (demo(), Folder::new());
    let url = format!("http://{}/live/admin/admin/123.ts", server.address());
    let files: Vec<String> = (0..10)
        .map(|turn| {
            folder
                .path()
                .join(format!("{turn}.ts"))
                .to_str()
                .unwrap()
                .to_owned()
        })
        .collect();
    let curls: Vec<_> = files
        .iter()
        .map(|file| tools::spawn("curl", &["-s", "--max-time", "3", "-o", file, &url]))
        .collect();
    for (curl, file) in curls.into_iter().zip(&files) {
        assert_eq!(
            curl.wait_with_output().unwrap().status.code(),
            Some(TIMED_OUT),
            "the stream goes on until curl has had enough"
        );
        let seen = tools::verify(file.as_ref());
        assert_eq!(
            (seen.torn, seen.unflagged_jumps, seen.flagged_jumps),
            (0, 0, 0),
            "{seen:?}"
        );
        assert_eq!(seen.opening[..2], [Kind::Pat, Kind::Pmt]);
        assert!(seen.packets > 100, "{seen:?}");
    }
    assert_eq!(server.metric("viewer_sessions_total", &[]), 10);
}

#[test]
fn hundred_curls_read_the_demo_at_once() {
    let server = demo();
    let url = format!("http://{}{}", server.address(), path(123));
    let curls: Vec<_> = (0..100)
        .map(|_| {
            tools::spawn(
                "curl",
                &[
                    "-s",
                    "--max-time",
                    "4",
                    "-o",
                    "/dev/null",
                    "-w",
                    "%{http_code} %{size_download}",
                    &url,
                ],
            )
        })
        .collect();
    for curl in curls {
        let output = curl.wait_with_output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let (status, bytes) = text.split_once(' ').unwrap();
        assert_eq!(
            (output.status.code(), status),
            (Some(TIMED_OUT), "200"),
            "{text}"
        );
        assert!(bytes.parse::<u64>().unwrap() > 20_000, "{text}");
    }
    assert_eq!(server.metric("viewer_sessions_total", &[]), 100);
    server.wait_metric(metric::VIEWERS, &[], 0);
}

/// curl's exit code when `--max-time` has passed.
const TIMED_OUT: i32 = 28;
