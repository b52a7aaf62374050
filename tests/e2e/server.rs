//! A server that is ready: asked for streams, scraped, its log read, its end waited for.
//!
//! How it is started is in `launch.rs`. The rule: every wait has a deadline.

use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::ExitStatus;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal};

use crate::config::Config;
use crate::http::{self, Reply};
use crate::launch::{Launch, Running};
use crate::netns::Netns;
use crate::scrape::Scrape;
use crate::viewer::{Reading, Viewer};
use crate::within;

/// A running server that said it is ready.
pub(crate) struct Server {
    running: Running,
    listen: Vec<String>,
    admin: SocketAddr,
    shards: usize,
    namespace: Option<Arc<Netns>>,
}

impl Server {
    /// A server of which the ready line has been read.
    pub(crate) fn new(running: Running, ready: &str, namespace: Option<Arc<Netns>>) -> Self {
        let value = |key: &str| {
            let mut words = ready.split(' ').filter_map(|word| word.strip_prefix(key));
            words
                .next()
                .unwrap_or_else(|| panic!("no {key} in {ready}"))
        };
        Self {
            listen: value("listen=").split(',').map(str::to_owned).collect(),
            admin: value("admin=").parse().unwrap(),
            shards: value("shards=").parse().unwrap(),
            namespace,
            running,
        }
    }

    /// Starts the binary on `config` and waits until it is ready.
    #[track_caller]
    pub(crate) fn start(config: &Config) -> Self {
        Launch::new(config).start()
    }

    /// The first stream listener.
    #[track_caller]
    pub(crate) fn address(&self) -> SocketAddr {
        self.listen[0].parse().unwrap()
    }

    /// Every stream listener as the ready line names it.
    pub(crate) fn listeners(&self) -> &[String] {
        &self.listen
    }

    /// The admin listener.
    pub(crate) fn admin(&self) -> SocketAddr {
        self.admin
    }

    /// How many shards the ready line names.
    pub(crate) fn shards(&self) -> usize {
        self.shards
    }

    /// The folder that holds its configuration.
    pub(crate) fn folder(&self) -> &Path {
        self.running.folder()
    }

    pub(crate) fn pid(&self) -> Pid {
        self.running.pid()
    }

    /// A viewer of a configured channel that reads as fast as it can.
    #[track_caller]
    pub(crate) fn viewer(&self, channel: u32) -> Viewer {
        Viewer::of(self.address(), &path(channel))
    }

    /// A viewer of any target.
    #[track_caller]
    pub(crate) fn viewer_of(&self, target: &str) -> Viewer {
        Viewer::of(self.address(), target)
    }

    /// A viewer that reads as told.
    #[track_caller]
    pub(crate) fn viewer_reading(&self, channel: u32, reading: Reading) -> Viewer {
        Viewer::reading(self.address(), &path(channel), reading)
    }

    /// A viewer of any target that reads as told.
    #[track_caller]
    pub(crate) fn viewer_of_reading(&self, target: &str, reading: Reading) -> Viewer {
        Viewer::reading(self.address(), target, reading)
    }

    /// A short answer of the stream listener.
    #[track_caller]
    pub(crate) fn get(&self, target: &str) -> Reply {
        http::get(self.address(), target)
    }

    /// A short answer of the admin listener.
    #[track_caller]
    pub(crate) fn ask_admin(&self, target: &str) -> Reply {
        let request = format!(
            "GET {target} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n",
            self.admin
        );
        let raw = http::exchange(self.connect(self.admin), &[request.as_bytes()]);
        raw.reply()
            .unwrap_or_else(|| panic!("no answer to {target} but {raw:?}"))
    }

    /// A connection as somebody beside the server makes it.
    #[track_caller]
    pub(crate) fn connect(&self, address: SocketAddr) -> TcpStream {
        match &self.namespace {
            None => TcpStream::connect(address).unwrap(),
            Some(namespace) => namespace.run(move || TcpStream::connect(address)).unwrap(),
        }
    }

    /// Scrapes the metrics.
    #[track_caller]
    pub(crate) fn scrape(&self) -> Scrape {
        Scrape::read(self.ask_admin("/metrics").text())
    }

    /// One metric, summed over all samples that carry these labels.
    #[track_caller]
    pub(crate) fn metric(&self, name: &str, labels: &[(&str, &str)]) -> u64 {
        whole(self.scrape().sum(name, labels))
    }

    /// Waits until a metric is what it should be.
    #[track_caller]
    pub(crate) fn wait_metric(&self, name: &str, labels: &[(&str, &str)], expected: u64) {
        self.wait_metric_within(10_000, name, labels, expected);
    }

    /// The same with a deadline of its own.
    #[track_caller]
    pub(crate) fn wait_metric_within(
        &self,
        time_ms: u64,
        name: &str,
        labels: &[(&str, &str)],
        expected: u64,
    ) {
        let mut seen = 0;
        let until = Instant::now() + Duration::from_millis(time_ms);
        while Instant::now() < until {
            seen = self.metric(name, labels);
            if seen == expected {
                return;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        panic!("{name}{labels:?} is {seen}, not {expected}, after {time_ms} ms");
    }

    /// Waits until so many lines of the log hold `text`; the log is written beside the answers.
    #[track_caller]
    pub(crate) fn wait_log(&self, lines: usize, text: &str) {
        within(3_000, &format!("{lines} log lines with {text:?}"), || {
            self.log().iter().filter(|line| line.contains(text)).count() >= lines
        });
    }

    /// The log so far.
    pub(crate) fn log(&self) -> Vec<String> {
        self.running.log()
    }

    /// Open descriptors of the process.
    pub(crate) fn descriptors(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.pid().as_raw_nonzero()))
            .unwrap()
            .count()
    }

    /// Memory of the process that no file stands behind.
    pub(crate) fn anonymous_bytes(&self) -> u64 {
        let status =
            std::fs::read_to_string(format!("/proc/{}/status", self.pid().as_raw_nonzero()))
                .unwrap();
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("RssAnon:"));
        let kibibytes = line.unwrap().split_whitespace().next().unwrap();
        kibibytes.parse::<u64>().unwrap() * 1024
    }

    /// CPU time that the process has used.
    pub(crate) fn cpu_time(&self) -> Duration {
        let stat =
            std::fs::read_to_string(format!("/proc/{}/stat", self.pid().as_raw_nonzero())).unwrap();
        let fields: Vec<&str> = stat.rsplit_once(") ").unwrap().1.split(' ').collect();
        let ticks: u64 = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
        Duration::from_millis(ticks * MILLIS_PER_TICK)
    }

    /// Asks the process to end in order.
    pub(crate) fn terminate(&self) {
        rustix::process::kill_process(self.pid(), Signal::TERM).unwrap();
    }

    /// Waits for the process to end.
    #[track_caller]
    pub(crate) fn wait_exit(&self, time: Duration) -> ExitStatus {
        let mut status = None;
        within(
            u64::try_from(time.as_millis()).unwrap(),
            "the process ends",
            || {
                status = self.running.exit_status();
                status.is_some()
            },
        );
        status.unwrap()
    }

    /// Whether the process is still there.
    pub(crate) fn is_running(&self) -> bool {
        self.running.exit_status().is_none()
    }
}

/// Where a channel is asked for when there are no accounts.
pub(crate) fn path(channel: u32) -> String {
    format!("/live/any/any/{channel}.ts")
}

/// A count that was written as a number of Prometheus.
fn whole(value: f64) -> u64 {
    format!("{value:.0}").parse().unwrap()
}

/// Unit of the times in /proc: USER_HZ is 100.
const MILLIS_PER_TICK: u64 = 10;
