//! What is asked of the viewers, as it is written on the command line.
//!
//! The rule: the path of a URL may hold a password, so it goes into requests and nowhere else.

use std::fmt;
use std::fs::OpenOptions;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::time::Duration;

use super::ViewersError;
use super::counters::Counters;
use super::plan::Crowd;
use super::samples::is_name;
use super::verdict::Allowed;
use crate::measure::server::Server;
use crate::result::Run;
use crate::source::Stats;

/// What the viewers are asked to do.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Options {
    /// What they watch: http://127.0.0.1:8000/live/u/p/{}.ts, where {} is the number of the channel
    #[arg(long, value_parser = target)]
    url: Target,
    /// Numbers of the channels: 1..50, or 7,8,12
    #[arg(long, default_value = "1", value_parser = channels)]
    channels: Channels,
    /// How many viewers want every packet; with none the idle server is measured
    #[arg(long, short = 'n', default_value_t = 100, value_parser = clap::value_parser!(u32).range(..=50_000))]
    viewers: u32,
    /// At least so many of them check every packet; never fewer than 20, 5 % or one per channel
    #[arg(long, default_value_t = 0)]
    verify: u32,
    /// How many viewers come per second
    #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    ramp_per_s: u32,
    /// From the last one's coming to the measured time
    #[arg(long, default_value_t = 3000)]
    settle_ms: u64,
    /// How long is measured
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u64).range(100..=3_600_000))]
    window_ms: u64,
    /// Viewers beside them that read slowly
    #[arg(long, default_value_t = 0)]
    slow: u32,
    /// How slowly
    #[arg(long, default_value_t = 50_000, value_parser = clap::value_parser!(u64).range(20..=1_000_000))]
    pub(super) slow_bytes_per_s: u64,
    /// Viewers beside them that stop reading
    #[arg(long, default_value_t = 0)]
    stalled: u32,
    /// Viewers beside them that leave and come again
    #[arg(long, default_value_t = 0)]
    churning: u32,
    /// How long those stay on average
    #[arg(long, default_value_t = 2000, value_parser = clap::value_parser!(u64).range(10..))]
    pub(super) churn_ms: u64,
    /// Viewers beside them that go from channel to channel
    #[arg(long, default_value_t = 0)]
    zapping: u32,
    /// How long those stay on each
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u64).range(10..))]
    pub(super) zap_ms: u64,
    /// Threads that all viewers are shared out to
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=64))]
    pub(super) threads: u8,
    /// HTTP version of the requests; to 1.1 some servers answer with chunks, which cannot be counted in the kernel
    #[arg(long, default_value = "1.0", value_parser = ["1.0", "1.1"])]
    http: String,
    /// The server's first process: its CPU time, and that of all its children, is read, from a control group if possible
    #[arg(long)]
    server_pid: Option<u32>,
    /// The control group that the server runs in
    #[arg(long, conflicts_with = "server_pid")]
    server_cgroup: Option<PathBuf>,
    /// The server's page of Prometheus text, read when measuring begins and when it ends
    #[arg(long, value_parser = target, requires = "metric")]
    metrics: Option<Target>,
    /// A metric of that page, whose samples are summed; may be given again
    #[arg(long, value_name = "NAME", value_parser = metric, requires = "metrics")]
    metric: Vec<String>,
    /// Where the source listens, so that its own account becomes part of the result
    #[arg(long)]
    source: Option<SocketAddr>,
    /// The media is not of this tool's source: count bytes and joins, check nothing
    #[arg(long)]
    opaque: bool,
    /// Loss is asked for: report it, but do not fail
    #[arg(long)]
    allow_loss: bool,
    /// Fail if the 99th percentile of any verified viewer's delay is above this
    #[arg(long)]
    delay_p99_max_ms: Option<u64>,
    /// Append the result to this file, as a line of JSON
    #[arg(long)]
    json: Option<PathBuf>,
    /// What the server is called in reports
    #[arg(long, default_value = "server")]
    server: String,
    /// What the load is called in reports
    #[arg(long, default_value = "load")]
    load: String,
    /// What the load is, for reports: "1 channel x 8 Mbit/s, 100 viewers"
    #[arg(long, value_name = "TEXT", default_value = "")]
    about: String,
    /// Which round of an alternating series this is
    #[arg(long, default_value_t = 1)]
    round: u64,
    /// Which commit of the server this is
    #[arg(long, default_value = "")]
    commit: String,
}

impl Options {
    pub(super) fn crowd(&self) -> Crowd {
        let count = |count: u32| usize::try_from(count).unwrap_or(usize::MAX);
        Crowd {
            steady: count(self.viewers),
            verified_min: count(self.verify),
            slow: count(self.slow),
            stalled: count(self.stalled),
            churning: count(self.churning),
            zapping: count(self.zapping),
            channels: self.channels.0.len(),
            ramp_per_s: self.ramp_per_s,
        }
    }

    pub(super) fn settle(&self) -> Duration {
        Duration::from_millis(self.settle_ms)
    }

    pub(super) fn window(&self) -> Duration {
        Duration::from_millis(self.window_ms)
    }

    /// The kernel's share of memory for each viewer that keeps up: all together have 1 GiB.
    pub(super) fn socket_window_bytes(&self) -> usize {
        let viewers = usize::try_from(self.viewers.max(1)).unwrap_or(usize::MAX);
        (SOCKETS_BYTES / viewers).clamp(SOCKET_BYTES_MIN, SOCKET_BYTES_MAX)
    }

    pub(super) fn allowed(&self) -> Allowed {
        Allowed {
            loss: self.allow_loss,
            opaque: self.opaque,
            delay_p99: self.delay_p99_max_ms.map(Duration::from_millis),
        }
    }

    /// Where the server listens.
    pub(super) fn address(&self) -> SocketAddr {
        self.url.address
    }

    /// The request for each channel.
    pub(super) fn requests(&self) -> Vec<Vec<u8>> {
        let request = |channel: &u32| {
            let path = self.url.path.replace("{}", &channel.to_string());
            let (version, address) = (&self.http, self.url.address);
            format!(
                "GET {path} HTTP/{version}\r\nHost: {address}\r\nUser-Agent: corecast-load\r\nConnection: close\r\n\r\n"
            )
            .into_bytes()
        };
        self.channels.0.iter().map(request).collect()
    }

    /// The server whose use is read, if one is named.
    pub(super) fn server(&self) -> Result<Option<Server>, ViewersError> {
        match (&self.server_cgroup, self.server_pid) {
            (Some(folder), _) => Server::of_group(folder)
                .map(Some)
                .map_err(ViewersError::Group),
            (None, Some(pid)) => Ok(Some(Server::of_pid(pid))),
            (None, None) => Ok(None),
        }
    }

    /// The server's counters that are to be read, if any are named.
    pub(super) fn counters(&self) -> Option<Counters> {
        let page = self.metrics.as_ref()?;
        Some(Counters::new(page.address, &page.path, &self.metric))
    }

    /// Writes on a result what it is the result of.
    pub(super) fn label(&self, run: &mut Run) {
        run.server.clone_from(&self.server);
        run.load.clone_from(&self.load);
        run.about.clone_from(&self.about);
        run.round = self.round;
        run.commit.clone_from(&self.commit);
        run.crowd.channels = self.channels.0.len() as u64;
        run.command = command(std::env::args());
    }

    /// What the source says of itself, if it is asked and answers.
    pub(super) fn source_stats(&self) -> Option<Stats> {
        let mut socket = TcpStream::connect_timeout(&self.source?, ANSWER_TIME).ok()?;
        socket.set_read_timeout(Some(ANSWER_TIME)).ok()?;
        socket.write_all(b"GET /stats HTTP/1.0\r\n\r\n").ok()?;
        let mut answer = String::new();
        socket.take(65_536).read_to_string(&mut answer).ok()?;
        let (_, body) = answer.split_once("\r\n\r\n")?;
        serde_json::from_str(body).ok()
    }

    /// Appends a result to the file, if there is to be one.
    pub(super) fn keep(&self, run: &Run) -> Result<(), ViewersError> {
        let Some(path) = &self.json else {
            return Ok(());
        };
        let mut line = serde_json::to_string(run).unwrap_or_default();
        line.push('\n');
        let opened = OpenOptions::new().create(true).append(true).open(path);
        opened
            .and_then(|mut file| file.write_all(line.as_bytes()))
            .map_err(|error| ViewersError::Keep {
                path: path.clone(),
                error,
            })
    }
}

/// A server and a path there.
#[derive(Clone)]
struct Target {
    address: SocketAddr,
    path: String,
}

impl fmt::Debug for Target {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(to, "http://{}/...", self.address)
    }
}

/// Reads a URL.
fn target(text: &str) -> Result<Target, NotTarget> {
    let (authority, path) = split(text).ok_or(NotTarget)?;
    Ok(Target {
        address: authority.parse().or(Err(NotTarget))?,
        path: path.to_owned(),
    })
}

/// Not a URL that can be watched.
#[derive(Debug, thiserror::Error)]
#[error("wanted http://ADDRESS:PORT/PATH, the address in digits")]
struct NotTarget;

/// Numbers of channels, at least one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Channels(Vec<u32>);

/// Reads `7`, `1..50` (both included) or `7,8,12`.
fn channels(text: &str) -> Result<Channels, NotChannels> {
    let number = |text: &str| text.trim().parse::<u32>().or(Err(NotChannels));
    let numbers = match text.split_once("..") {
        Some((first, last)) => (number(first)?..=number(last)?)
            .take(CHANNELS_MAX + 1)
            .collect(),
        None => text.split(',').map(number).collect::<Result<Vec<_>, _>>()?,
    };
    let is_some = (1..=CHANNELS_MAX).contains(&numbers.len());
    is_some.then_some(Channels(numbers)).ok_or(NotChannels)
}

/// Not a list of channels.
#[derive(Debug, thiserror::Error)]
#[error("channels are written 7, 1..50 or 7,8,12, and there are 1 to {CHANNELS_MAX}")]
struct NotChannels;

/// Address and path of a URL.
fn split(url: &str) -> Option<(&str, &str)> {
    let rest = url.strip_prefix("http://")?;
    let slash = rest.find('/')?;
    Some(rest.split_at(slash))
}

/// Reads the name of a metric.
fn metric(text: &str) -> Result<String, NotMetric> {
    is_name(text).then(|| text.to_owned()).ok_or(NotMetric)
}

/// Not what a metric can be called.
#[derive(Debug, thiserror::Error)]
#[error("a metric is called by letters, digits, _ and :, without labels")]
struct NotMetric;

/// How the tool was called, as a shell would read it: the program's name without its folder, no path of any URL.
fn command(arguments: impl Iterator<Item = String>) -> String {
    let words = arguments.enumerate().map(|(place, argument)| {
        let name = argument.rsplit('/').next().filter(|_| place == 0);
        quoted(name.map_or_else(|| without_path(&argument), str::to_owned))
    });
    words.collect::<Vec<_>>().join(" ")
}

/// A word in quotes, if a shell would not take it as one.
fn quoted(word: String) -> String {
    let is_plain = |letter: char| letter.is_alphanumeric() || "-_./:=,@+%{}".contains(letter);
    if !word.is_empty() && word.chars().all(is_plain) {
        return word;
    }
    format!("'{}'", word.replace('\'', "'\\''"))
}

/// A URL without what may be secret.
fn without_path(argument: &str) -> String {
    let (name, url) = match argument.split_once("=http://") {
        Some((name, _)) => argument.split_at(name.len() + 1),
        None => ("", argument),
    };
    match split(url) {
        Some((authority, _)) => format!("{name}http://{authority}/..."),
        None => argument.to_owned(),
    }
}

/// What Linux lets TCP hold on a small machine before it slows every socket down is a little more.
const SOCKETS_BYTES: usize = 1 << 30;
const SOCKET_BYTES_MIN: usize = 1 << 18;
const SOCKET_BYTES_MAX: usize = 1 << 22;
const CHANNELS_MAX: usize = 10_000;
const ANSWER_TIME: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn channels_are_one_a_range_or_a_list() {
        let read = |text| channels(text).map(|channels| channels.0).ok();
        assert_eq!(read("7"), Some(vec![7]));
        assert_eq!(read("3..5"), Some(vec![3, 4, 5]));
        assert_eq!(read("7, 9"), Some(vec![7, 9]));
        for text in ["", "a", "5..3", "1..", "0..4000000000", "1,,2"] {
            assert_eq!(read(text), None, "{text}");
        }
    }

    #[test]
    fn url_is_an_address_and_a_path() {
        let read = target("http://[::1]:80/a/{}.ts").unwrap();
        assert_eq!((read.address.port(), read.path.as_str()), (80, "/a/{}.ts"));
        assert_eq!(format!("{read:?}"), "http://[::1]:80/...");
        for text in [
            "https://1.2.3.4:5/",
            "http://1.2.3.4/",
            "http://host:80/a",
            "http://1.2.3.4:5",
        ] {
            assert!(target(text).is_err(), "{text}");
        }
    }

    #[test]
    fn secret_of_a_url_is_not_kept() {
        let kept = without_path("http://127.0.0.1:80/live/u/secret/1.ts");
        assert_eq!(kept, "http://127.0.0.1:80/...");
        let kept = without_path("--url=http://127.0.0.1:80/live/u/secret/1.ts");
        assert_eq!(kept, "--url=http://127.0.0.1:80/...");
        assert_eq!(without_path("--viewers=3"), "--viewers=3");
    }

    #[test]
    fn command_names_the_program_and_can_be_given_to_a_shell() {
        let given = [
            "/a/b/corecast-load",
            "viewers",
            "--url",
            "http://127.0.0.1:80/{}.ts",
            "--about",
            "1 channel's load",
            "--commit",
            "",
        ];
        assert_eq!(
            command(given.map(str::to_owned).into_iter()),
            "corecast-load viewers --url http://127.0.0.1:80/... --about '1 channel'\\''s load' --commit ''"
        );
    }

    #[test]
    fn metric_is_a_name_without_labels() {
        assert_eq!(metric("a_total").ok(), Some("a_total".into()));
        assert!(metric("a_total{shard=\"0\"}").is_err());
    }
}
