//! The log: a line for each viewer that ends, bursts of them as a number, priorities for the journal, objects for machines,
//! and never a wait for who reads it.

use std::net::TcpListener;
use std::os::unix::fs::OpenOptionsExt as _;
use std::time::Duration;

use corecast_load::packets::Source;

use crate::config::Config;
use crate::http;
use crate::launch::Launch;
use crate::names::ends;
use crate::server::{Server, path};
use crate::tools;
use crate::upstream::Upstream;
use crate::viewer::{Reading, Viewer};
use crate::within;

fn seven() -> (Upstream, Config) {
    let upstream = Upstream::live(Source::new(1, 2_000));
    let config = Config::new().channel(7, &[upstream.url("/a.ts")]);
    (upstream, config)
}

/// The lines of viewers of channel 7 that ended so.
fn farewells(server: &Server, end: &str) -> Vec<String> {
    let begin = format!("INFO viewer end channel=7 reason={end} ");
    let log = server.log().into_iter();
    log.filter(|line| line.starts_with(&begin)).collect()
}

/// A value of a line, as a number.
#[track_caller]
fn number(line: &str, key: &str) -> f64 {
    let mut words = line.split(' ').filter_map(|word| word.split_once('='));
    let found = words.find(|(name, _)| *name == key);
    let (_, value) = found.unwrap_or_else(|| panic!("no {key} in {line}"));
    value.parse().unwrap()
}

#[test]
fn viewer_that_ends_leaves_one_line_that_says_how_it_was() {
    let (_upstream, config) = seven();
    let server = Server::start(&config);
    let viewer = server.viewer(7);
    viewer.wait("media", |state| state.seen().packets > 1_500);
    let bytes = viewer.seen().bytes;
    drop(viewer);
    server.wait_log(1, "viewer end");
    let lines = farewells(&server, ends::VIEWER_CLOSED);
    let [line] = &lines[..] else {
        panic!("{:?}", server.log());
    };
    assert!(number(line, "bytes") >= bytes as f64, "{bytes} in {line}");
    assert!(number(line, "seconds") > 0.5, "{line}");
    assert!(number(line, "first_byte_ms") < 2_500.0, "{line}");
    assert!(number(line, "lag_max_ms") < 3_000.0, "{line}");
    assert!(
        (number(line, "skips") + number(line, "skipped_bytes")).abs() < 0.5,
        "{line}"
    );
}

#[test]
fn viewer_that_was_too_slow_is_told_from_one_that_left() {
    let upstream = Upstream::live(Source::new(1, 20_000));
    let config = Config::new()
        .set("stream", "ring_ms", 1_000)
        .set("stream", "burst_ms", 500)
        .channel(7, &[upstream.url("/a.ts")]);
    let server = Server::start(&config);
    let slow = server.viewer_reading(7, Reading::PerSecond(300_000));
    within(20_000, "a skip", || {
        server.metric("viewer_skips_total", &[]) > 0
    });
    drop(slow);
    server.wait_log(1, "viewer end");
    let lines = farewells(&server, ends::VIEWER_CLOSED);
    let line = lines.first().unwrap();
    assert!(
        number(line, "skips") > 0.5 && number(line, "skipped_bytes") > 187.0,
        "{line}"
    );
    assert!(number(line, "lag_max_ms") > 400.0, "{line}");
    let paused = server.viewer_reading(7, Reading::Stopped);
    server.wait_log(
        1,
        &format!("viewer end channel=7 reason={} ", ends::STALLED),
    );
    drop(paused);
}

#[test]
fn burst_of_ends_is_told_as_a_number() {
    let (_upstream, config) = seven();
    let server = Server::start(&config);
    let viewers: Vec<Viewer> = (0..120).map(|_| server.viewer(7)).collect();
    viewers
        .iter()
        .for_each(|viewer| viewer.wait("media", |state| state.seen().packets > 10));
    drop(viewers);
    let suppressed = || {
        let log = server.log().into_iter();
        let counts = log.filter_map(|line| {
            let (count, what) = line.strip_prefix("INFO suppressed ")?.split_once(' ')?;
            assert_eq!(what, "lines of viewer end channel=7 reason=viewer_closed");
            Some(count.parse::<usize>().unwrap())
        });
        counts.sum::<usize>()
    };
    within(10_000, "every end is told or counted", || {
        farewells(&server, ends::VIEWER_CLOSED).len() + suppressed() == 120
    });
    assert!(suppressed() > 0, "{:?}", server.log());
}

#[test]
fn what_is_withheld_when_the_process_ends_is_told_before() {
    let (_upstream, config) = seven();
    let server = Server::start(&config.set("server", "drain_ms", 0));
    let viewers: Vec<Viewer> = (0..60).map(|_| server.viewer(7)).collect();
    viewers
        .iter()
        .for_each(|viewer| viewer.wait("media", |state| state.seen().packets > 10));
    server.terminate();
    assert_eq!(server.wait_exit(Duration::from_secs(5)).code(), Some(0));
    server.wait_log(1, "INFO stopped");
    let log = server.log();
    let withheld = log
        .iter()
        .filter_map(|line| line.strip_prefix("INFO suppressed "));
    let withheld: usize = withheld
        .map(|rest| rest.split(' ').next().unwrap().parse::<usize>().unwrap())
        .sum();
    assert_eq!(
        farewells(&server, ends::DRAIN).len() + withheld,
        60,
        "{log:?}"
    );
}

#[test]
fn json_has_a_member_for_each_pair() {
    let (_upstream, config) = seven();
    let server = Launch::new(&config)
        .argument("--log-format")
        .argument("json")
        .start_silently();
    let ready = server.wait_line(|line| line.contains("\"ready\""));
    let ready: serde_json::Value = serde_json::from_str(&ready).unwrap();
    let address = ready["listen"].as_str().unwrap().parse().unwrap();
    assert_eq!(
        (&ready["shards"], &ready["channels"]),
        (&2.into(), &1.into())
    );
    let viewer = Viewer::of(address, &path(7));
    viewer.wait("media", |state| state.seen().packets > 100);
    drop(viewer);
    let line = server.wait_line(|line| line.contains("viewer end"));
    let line: serde_json::Value = serde_json::from_str(&line).unwrap();
    assert_eq!(line["message"], "viewer end");
    assert_eq!(line["level"], "INFO");
    assert_eq!(line["channel"], 7);
    assert_eq!(line["reason"], ends::VIEWER_CLOSED);
    assert!(line["bytes"].as_u64().unwrap() > 18_800, "{line}");
    assert!(
        line["seconds"].is_number() && line["time"].is_string(),
        "{line}"
    );
    for line in server.log() {
        let parsed = serde_json::from_str::<serde_json::Value>(&line);
        assert!(parsed.is_ok_and(|it| it.is_object()), "{line}");
    }
}

#[test]
fn journal_is_told_the_priority_of_each_line() {
    let script = "export JOURNAL_STREAM=$(stat -Lc %d:%i /proc/self/fd/2); exec \"$@\"";
    let server = Launch::new(&Config::new().demo(7))
        .through(&["sh", "-c", script, "sh"])
        .start();
    server.terminate();
    assert_eq!(server.wait_exit(Duration::from_secs(5)).code(), Some(0));
    server.wait_log(1, "<6>INFO stopped");
    server.log().iter().for_each(|line| {
        assert!(
            line.starts_with("<6>INFO ") || line.starts_with("<4>WARN "),
            "{line}"
        )
    });
    let elsewhere = Launch::new(&Config::new().demo(7))
        .environment("JOURNAL_STREAM", "8:1")
        .start();
    assert!(
        elsewhere.log()[0].starts_with("INFO "),
        "{:?}",
        elsewhere.log()
    );
}

#[test]
fn log_that_nobody_reads_delays_nobody() {
    let (_upstream, config) = seven();
    // The ready line cannot be read, so the port has to be known beforehand.
    let address = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let config = config.set("server", "listen", format!("[\"{address}\"]"));
    let launch = Launch::new(&config)
        .argument("--log-level")
        .argument("debug");
    let pipe = launch.folder().join("log");
    tools::run("mkfifo", &[pipe.to_str().unwrap()]);
    let script = format!("exec \"$@\" 2<>'{}'", pipe.display());
    let running = launch
        .through(&["sh", "-c", &script, "sh"])
        .start_silently();
    within(10_000, "it listens", || {
        std::net::TcpStream::connect(address).is_ok()
    });
    let viewer = Viewer::of(address, &path(7));
    viewer.wait("media", |state| state.seen().packets > 100);
    let log = std::fs::OpenOptions::new()
        .read(true)
        .write(true)
        .custom_flags(rustix::fs::OFlags::NONBLOCK.bits().cast_signed())
        .open(&pipe)
        .unwrap();
    within(30_000, "the pipe is full", || {
        (0..100).for_each(|_| assert_eq!(http::get(address, "/nothing").status(), 404));
        rustix::io::ioctl_fionread(&log).unwrap() > PIPE_BYTES - 4_096
    });
    (0..100).for_each(|_| assert_eq!(http::get(address, "/nothing").status(), 404));
    viewer.wait_more(300);
    viewer.seen().assert_unbroken();
    viewer.assert_steady();
    rustix::process::kill_process(running.pid(), rustix::process::Signal::TERM).unwrap();
    within(6_000, "the process ends", || {
        running.exit_status().is_some()
    });
    assert_eq!(running.exit_status().unwrap().code(), Some(0));
}

/// What a pipe holds.
const PIPE_BYTES: u64 = 65_536;
