//! The table that stands any number of times for program guides: `[[guide]]`.
//!
//! Fetching and reading them belongs to `guide`. The rule: as with upstreams, what a request will carry is refused here if it
//! cannot be sent, and no error shows any part of a URL.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use url::Url;

use super::entries::{exactly_one, headers, line, user_agent};
use super::error::Fault;
use super::read::{Reader, Report, wrong_type};
use super::sections::fetchable;
use super::show::HiddenUrl;
use super::tree::{Node, Value};

/// One `[[guide]]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Guide {
    /// Where it is.
    pub place: GuidePlace,
    /// How often it is looked at. Bound: 1 s to 7 days.
    pub refresh: Duration,
    /// For how long programmes that are over are kept. Bound: up to 30 days.
    pub past: Duration,
    /// How far ahead programmes are kept. Bound: 1 h to 30 days.
    pub future: Duration,
    /// By how many milliseconds its times are too early. Bound: a day in either direction.
    pub shift_ms: i64,
    /// Unit: bytes of programmes kept of it. Bound: 1 MiB to 1 GiB.
    pub bytes_max: usize,
}

/// Where a guide is.
#[derive(Clone, PartialEq, Eq)]
pub enum GuidePlace {
    /// On this host. Shape: as it was named, below the folder of the configuration if it was relative.
    File(PathBuf),
    /// On an HTTP server.
    Http {
        /// What to fetch. Shape: http or https, a host. It may carry a password: log it as [`HiddenUrl`].
        url: Url,
        /// `User-Agent` of the requests. Shape: one line.
        user_agent: Option<String>,
        /// Headers of the requests. Shape: as those of an upstream.
        headers: Vec<(String, String)>,
    },
}

impl fmt::Debug for GuidePlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "File({})", path.display()),
            Self::Http { url, headers, .. } => {
                let names: Vec<_> = headers.iter().map(|(name, _)| name).collect();
                write!(f, "Http({} {names:?})", HiddenUrl(url))
            }
        }
    }
}

/// Reads every `[[guide]]`. Relative file names are relative to `folder`.
pub(super) fn guides(nodes: Vec<(String, Node)>, folder: &Path, report: &mut Report) -> Vec<Guide> {
    if let Some((_, node)) = nodes.get(GUIDES_MAX) {
        let origin = node.origin.clone();
        let fault = Fault::Length {
            seen: nodes.len(),
            unit: "entries",
            least: 0,
            most: GUIDES_MAX,
        };
        let key = "guide".into();
        report
            .errors
            .push(super::ConfigError { origin, key, fault });
    }
    let guides = nodes
        .into_iter()
        .filter_map(|(path, node)| guide(Reader::new(report, path, node), folder));
    guides.collect()
}

fn guide(mut reader: Reader<'_>, folder: &Path) -> Option<Guide> {
    let place = place(&mut reader, folder);
    let refresh = reader.millis("refresh_ms", 1_000..=7 * DAY_MS, REFRESH);
    let past = reader.millis("past_ms", 0..=30 * DAY_MS, PAST);
    let future = reader.millis("future_ms", HOUR_MS..=30 * DAY_MS, FUTURE);
    let shift_ms = shift(&mut reader);
    let bytes_max = reader.size("bytes_max", MIB..=1_024 * MIB, BYTES_MAX);
    reader.finish();
    Some(Guide {
        place: place?,
        refresh,
        past,
        future,
        shift_ms,
        bytes_max,
    })
}

fn place(reader: &mut Reader<'_>, folder: &Path) -> Option<GuidePlace> {
    let named: Vec<_> = PLACES.into_iter().filter(|it| reader.has(it)).collect();
    match named.as_slice() {
        ["file"] => {
            let file = reader.parsed("file", |name| Ok(folder.join(line(name, 4_096)?)));
            for name in BESIDE_URL {
                if let Some(node) = reader.take(name) {
                    reader.fault(name, node.origin, Fault::NotBeside { other: "file" });
                }
            }
            file.map(|(file, _)| GuidePlace::File(file))
        }
        ["url"] => {
            let url = reader.parsed("url", |text| fetchable(&text));
            let user_agent = user_agent(reader);
            let headers = headers(reader, user_agent.is_some());
            url.map(|(url, _)| GuidePlace::Http {
                url,
                user_agent,
                headers,
            })
        }
        _ => {
            exactly_one(reader, &named, "file or url");
            for name in PLACES.into_iter().chain(BESIDE_URL) {
                reader.take(name);
            }
            None
        }
    }
}

/// A number that may be below zero.
fn shift(reader: &mut Reader<'_>) -> i64 {
    let Some(Node { origin, value }) = reader.take("shift_ms") else {
        return 0;
    };
    let most = DAY_MS.cast_signed();
    let fault = match value {
        Value::Integer(Some(number)) if (-most..=most).contains(&number) => return number,
        Value::Integer(Some(number)) => Fault::NotAWord {
            value: number.to_string(),
            allowed: "-86400000 to 86400000 is allowed",
        },
        other => wrong_type(&other, "a whole number"),
    };
    reader.fault("shift_ms", origin, fault);
    0
}

/// The keys that say where a guide is.
const PLACES: [&str; 2] = ["file", "url"];

/// The keys that only a guide with a URL has.
const BESIDE_URL: [&str; 2] = ["user_agent", "headers"];

/// Most guides.
const GUIDES_MAX: usize = 16;

const HOUR_MS: u64 = 3_600_000;

const DAY_MS: u64 = 24 * HOUR_MS;

const MIB: u64 = 1_024 * 1_024;

/// How often a guide is looked at unless it says otherwise: providers make a new one each night.
const REFRESH: Duration = Duration::from_hours(12);

/// What is kept of the past unless a guide says otherwise.
const PAST: Duration = Duration::from_hours(24);

/// What is kept of the future unless a guide says otherwise.
const FUTURE: Duration = Duration::from_hours(7 * 24);

/// What is kept of a guide unless it says otherwise: some 100,000 programmes.
const BYTES_MAX: usize = 64 * 1_024 * 1_024;
