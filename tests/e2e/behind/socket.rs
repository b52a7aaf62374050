//! A Unix socket beside TCP: the same streams and limits, and a file that is nobody else's.

use std::net::TcpStream;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use corecast_load::packets::Source;
use rustix::process::{Signal, kill_process};

use super::{assert_throttled, guarded, guess, line, request};
use crate::config::Config;
use crate::http;
use crate::launch::{Folder, Launch, PASSWORD};
use crate::limits::connect_from;
use crate::names::{ends, metric, rejects};
use crate::server::{Server, path};
use crate::upstream::Upstream;
use crate::viewer::{Reading, Viewer};
use crate::{tools, within};

/// Listens on TCP and at a path in this folder.
fn on_both(config: Config, folder: &Folder) -> (Config, PathBuf) {
    let file = folder.path().join("c.sock");
    let listen = format!(r#"["127.0.0.1:0", "unix:{}"]"#, file.display());
    (config.set("server", "listen", listen), file)
}

/// A connection to the socket; what a [`TcpStream`] does with it, reading and writing, it does to any socket.
#[track_caller]
fn connect(file: &Path) -> TcpStream {
    TcpStream::from(OwnedFd::from(UnixStream::connect(file).unwrap()))
}

#[track_caller]
fn watch(file: &Path, reading: Reading) -> Viewer {
    let request = format!("GET {} HTTP/1.1\r\nHost: a\r\n\r\n", path(7));
    Viewer::on(connect(file), &request, reading)
}

#[test]
fn viewers_over_a_unix_socket_are_served_by_every_shard() {
    let (upstream, folder) = (Upstream::live(Source::new(1, 2_000)), Folder::new());
    let (config, file) = on_both(Config::new(), &folder);
    let server = Server::start(&config.channel(7, &[upstream.url("/a.ts")]));
    assert_eq!(server.listeners()[1], format!("unix:{}", file.display()));
    // More than are all served by the shard that fetches.
    let viewers: Vec<Viewer> = (0..60)
        .map(|turn| match turn {
            0 => server.viewer(7),
            _ => watch(&file, Reading::Full),
        })
        .collect();
    for viewer in &viewers {
        viewer.wait("media", |state| state.seen().packets > 2_000);
        viewer.seen().assert_unbroken();
        viewer.seen().assert_starts_at_join_point();
    }
    assert_eq!(server.metric(metric::VIEWERS, &[]), 60);
    for shard in ["0", "1"] {
        assert!(server.metric(metric::VIEWERS, &[("shard", shard)]) >= 10);
    }
    assert_eq!(upstream.double().connections(), 1);
    drop(viewers);
    server.wait_metric(metric::VIEWERS, &[], 0);
}

#[test]
fn playlist_over_a_unix_socket_needs_a_name_for_its_addresses() {
    let folder = Folder::new();
    let (config, file) = on_both(Config::new(), &folder);
    let server = Server::start(&config.demo(7));
    let ask = |request: &str| {
        http::exchange(connect(&file), &[request.as_bytes()])
            .reply()
            .unwrap()
    };
    let refused = ask("GET /playlist.m3u HTTP/1.0\r\n\r\n");
    assert_eq!(refused.status(), 400);
    assert!(
        refused.text().contains("no Host header"),
        "{}",
        refused.text()
    );
    let named = ask("GET /playlist.m3u HTTP/1.0\r\nHost: tv.example\r\n\r\n");
    assert!(
        named.text().contains("http://tv.example/live/"),
        "{}",
        named.text()
    );
    drop(server);
}

#[test]
fn curl_gets_the_stream_over_a_unix_socket() {
    let (upstream, folder) = (Upstream::live(Source::new(1, 2_000)), Folder::new());
    let (config, file) = on_both(Config::new(), &folder);
    let _server = Server::start(&config.channel(7, &[upstream.url("/a.ts")]));
    let got = folder.path().join("got.ts");
    let url = format!("http://localhost{}", path(7));
    let (file, output) = (file.to_str().unwrap(), got.to_str().unwrap());
    let to_file = [
        "-s",
        "--max-time",
        "1.5",
        "-o",
        output,
        "-w",
        "%{http_code}",
    ];
    let ran = tools::run(
        "curl",
        &[&to_file[..], &["--unix-socket", file, &url]].concat(),
    );
    assert_eq!(String::from_utf8_lossy(&ran.stdout), "200");
    let seen = tools::verify(&got);
    assert!(seen.packets > 1_000, "{seen:?}");
    seen.assert_unbroken();
}

#[test]
fn viewer_that_takes_nothing_from_a_unix_socket_is_closed_and_delays_nobody() {
    let (upstream, folder) = (Upstream::live(Source::new(1, 8_000)), Folder::new());
    let (config, file) = on_both(Config::new(), &folder);
    let server = Server::start(&config.channel(7, &[upstream.url("/a.ts")]));
    let others = [watch(&file, Reading::Full), server.viewer(7)];
    let _stalled = watch(&file, Reading::Stopped);
    server.wait_metric(metric::ENDS, &[("reason", ends::STALLED)], 1);
    for viewer in &others {
        viewer.wait_more(1_000);
        viewer.seen().assert_unbroken();
        viewer.assert_steady();
    }
}

#[test]
fn limits_hold_over_a_unix_socket() {
    let (upstream, folder) = (Upstream::live(Source::new(1, 2_000)), Folder::new());
    let (config, file) = on_both(Config::new(), &folder);
    let server = Server::start(
        &config
            .set("server", "viewers_max", 2)
            .channel(7, &[upstream.url("/a.ts")]),
    );
    let viewers = [watch(&file, Reading::Full), server.viewer(7)];
    for viewer in &viewers {
        viewer.wait("media", |state| state.seen().packets > 20);
    }
    assert_eq!(watch(&file, Reading::Full).wait_status(), 503);
    let slow = http::exchange(connect(&file), &[b"GET / HT"]);
    assert_eq!(slow.status(), Some(408), "{slow:?}");
    assert_eq!(
        server.metric(metric::REJECTS, &[("reason", rejects::FULL)]),
        1
    );
    let before = server.descriptors();
    for _ in 0..50 {
        drop(connect(&file));
    }
    within(3_000, "connections that left are closed", || {
        server.descriptors() <= before
    });
}

#[test]
fn program_behind_a_unix_socket_is_loopback_to_accounts_and_fronts() {
    let (folder, (config, _upstream)) = (Folder::new(), guarded());
    let (config, file) = on_both(config, &folder);
    let server = Server::start(&config.set("server", "trusted_proxies", r#"["127.0.0.60"]"#));
    assert_throttled(|| guess(connect(&file), b"", "X-Forwarded-For: 192.0.2.1\r\n"));
    let by_tcp = guess(server.connect(server.address()), b"", "");
    assert_eq!(by_tcp, 429, "both are 127.0.0.1");
    assert_eq!(guess(connect_from(61, server.address()), b"", ""), 401);
}

#[test]
fn fronts_over_a_unix_socket_name_their_viewers() {
    let (folder, (config, _upstream)) = (Folder::new(), guarded());
    let (config, file) = on_both(config, &folder);
    let config = config.set("server", "trusted_proxies", r#"["127.0.0.1"]"#);
    let server = Server::start(&config);
    assert_throttled(|| guess(connect(&file), b"", "X-Forwarded-For: 192.0.2.1\r\n"));
    let other = "X-Forwarded-For: 192.0.2.2\r\n";
    assert_eq!(guess(connect(&file), b"", other), 401);
    let viewer = Viewer::on(connect(&file), &request(PASSWORD, other), Reading::Full);
    assert_eq!(viewer.wait_status(), 200);
    drop((viewer, server));
    let _server = Server::start(&config.set("server", "proxy_protocol", true));
    assert_throttled(|| guess(connect(&file), &line("192.0.2.1"), ""));
    assert_eq!(guess(connect(&file), &line("192.0.2.2"), ""), 401);
    assert_eq!(guess(connect(&file), b"", ""), 400);
}

#[test]
fn file_is_for_owner_and_group_and_goes_with_the_process() {
    let folder = Folder::new();
    let (config, file) = on_both(Config::new().demo(7), &folder);
    let server = Server::start(&config);
    let seen = std::fs::symlink_metadata(&file).unwrap();
    assert!(seen.file_type().is_socket());
    assert_eq!(seen.permissions().mode() & 0o777, 0o660);
    let viewer = watch(&file, Reading::Full);
    viewer.wait("media", |state| state.seen().packets > 20);
    server.terminate();
    assert_eq!(server.wait_exit(Duration::from_secs(5)).code(), Some(0));
    viewer.wait_end();
    viewer.seen().assert_unbroken();
    assert!(!file.exists(), "the file is left behind");
}

#[test]
fn file_of_a_killed_process_is_replaced() {
    let folder = Folder::new();
    let (config, file) = on_both(Config::new().demo(7), &folder);
    let killed = Server::start(&config);
    let viewer = watch(&file, Reading::Full);
    viewer.wait("media", |state| state.seen().packets > 20);
    kill_process(killed.pid(), Signal::KILL).unwrap();
    killed.wait_exit(Duration::from_secs(5));
    assert!(file.exists());
    let server = Server::start(&config);
    let viewer = watch(&file, Reading::Full);
    viewer.wait("media", |state| state.seen().packets > 20);
    drop(server);
}

#[test]
fn socket_in_use_is_refused_with_its_holder_and_left_alone() {
    let folder = Folder::new();
    let (config, file) = on_both(Config::new().demo(7), &folder);
    let first = Server::start(&config);
    let viewer = watch(&file, Reading::Full);
    for command in ["run", "doctor"] {
        let ran = Launch::new(&config).argument(command).run();
        assert_eq!(ran.code, Some(69), "{ran:?}");
        let holder = format!(
            "unix:{} is in use by corecast (pid {})",
            file.display(),
            first.pid().as_raw_nonzero()
        );
        let said = ran.errors + &ran.output;
        assert!(said.contains(&holder), "{said}");
    }
    viewer.wait_more(500);
    watch(&file, Reading::Full).wait("media", |state| state.seen().packets > 20);
}

#[test]
fn file_that_is_no_socket_is_refused_and_left_alone() {
    let folder = Folder::new();
    let (config, file) = on_both(Config::new().demo(7), &folder);
    std::fs::write(&file, "kept").unwrap();
    let ran = Launch::new(&config).run();
    assert_eq!(ran.code, Some(69), "{ran:?}");
    assert!(ran.errors.contains("is no socket"), "{}", ran.errors);
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "kept");
}

#[test]
fn unix_socket_may_be_the_only_listener() {
    let folder = Folder::new();
    let file = folder.path().join("c.sock");
    let listen = format!("unix:{}", file.display());
    let launch = Launch::new(&Config::new().demo(7)).argument("--listen");
    let server = launch.argument(&listen).start();
    assert_eq!(server.listeners(), [listen]);
    watch(&file, Reading::Full).wait("media", |state| state.seen().packets > 20);
}
