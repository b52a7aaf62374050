//! What stands any number of times: `[[channel]]` with its upstreams.
//!
//! The other such table is in `accounts.rs`. The rule: what a request to an upstream will carry is refused here if it
//! cannot be sent.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use super::error::{Fault, Origin};
use super::read::{Reader, Report, whole_in, wrong_type};
use super::sections::{fetchable, stream};
use super::tree::{Node, Value};
use super::{Channel, Stream, Upstream};
use crate::channel::id::Content;
use crate::upstream::demo::Demo;

/// Reads every `[[channel]]`; what a channel does not set is as in `base`.
pub(super) fn channels(
    nodes: Vec<(String, Node)>,
    base: &Stream,
    report: &mut Report,
) -> Vec<Channel> {
    let mut first_of_id = HashMap::new();
    let mut first_of_number = HashMap::new();
    let mut channels = Vec::with_capacity(nodes.len());
    for (path, node) in nodes {
        let mut reader = Reader::new(report, path, node);
        let id = id(&mut reader, &mut first_of_id);
        let number = number(&mut reader, id, &mut first_of_number);
        let name = reader.required("name", one_line);
        let group = reader.parsed("group", one_line);
        let logo = reader.parsed("logo", |text| fetchable(&text));
        let epg_id = reader.parsed("epg_id", one_line);
        let stream = stream(&mut reader, base);
        let upstreams = upstreams(&mut reader);
        reader.finish();
        if let (Some(id), Some(number), Some((name, _))) = (id, number, name) {
            channels.push(Channel {
                id,
                name,
                group: group.map(|(group, _)| group),
                logo: logo.map(|(logo, _)| logo),
                epg_id: epg_id.map(|(epg_id, _)| epg_id),
                number,
                stream,
                upstreams,
                playlist: None,
            });
        }
    }
    channels
}

fn id(reader: &mut Reader<'_>, first_of_id: &mut HashMap<u32, Origin>) -> Option<u32> {
    let Some(Node { origin, value }) = reader.take("id") else {
        reader.missing("id", "a whole number from 1 is needed");
        return None;
    };
    let fault = match whole_in(value, &(1..=u64::from(u32::MAX))) {
        Ok(number) => {
            let id = u32::try_from(number).ok()?;
            let Some(first) = repeats(first_of_id, id, &origin) else {
                return Some(id);
            };
            let value = id.to_string();
            Fault::Duplicate { value, first }
        }
        Err(fault) => fault,
    };
    reader.fault("id", origin, fault);
    None
}

/// The number in apps: what is given, else the id.
fn number(
    reader: &mut Reader<'_>,
    id: Option<u32>,
    first_of_number: &mut HashMap<u32, Origin>,
) -> Option<u32> {
    let (number, origin) = match reader.take("number") {
        Some(Node { origin, value }) => match whole_in(value, &(1..=u64::from(u32::MAX))) {
            Ok(number) => (u32::try_from(number).ok()?, origin),
            Err(fault) => {
                reader.fault("number", origin, fault);
                return id;
            }
        },
        None => (id?, reader.origin_of(&["id"])),
    };
    let Some(first) = repeats(first_of_number, number, &origin) else {
        return Some(number);
    };
    let value = number.to_string();
    reader.fault("number", origin, Fault::Duplicate { value, first });
    None
}

fn upstreams(reader: &mut Reader<'_>) -> Vec<Upstream> {
    let errors_before = reader.report.errors.len();
    let nodes = reader.tables("upstream");
    let count = nodes.len();
    let upstreams: Vec<_> = nodes
        .into_iter()
        .filter_map(|(path, node)| upstream(Reader::new(reader.report, path, node)))
        .collect();
    let is_fault_known = reader.report.errors.len() > errors_before;
    if count == 0 && !is_fault_known {
        reader.missing("upstream", "at least one [[channel.upstream]] is needed");
    }
    if count > 0 {
        reader.counts("upstream", count, "entries", 1..=UPSTREAMS_MAX);
    }
    upstreams
}

fn upstream(mut reader: Reader<'_>) -> Option<Upstream> {
    let named: Vec<_> = KINDS.into_iter().filter(|kind| reader.has(kind)).collect();
    let upstream = match named.as_slice() {
        ["demo"] => demo(&mut reader),
        ["url"] => url(&mut reader),
        ["content_id"] => ace(&mut reader, "content_id", Content::ContentId),
        ["infohash"] => ace(&mut reader, "infohash", Content::Infohash),
        _ => {
            exactly_one(&mut reader, &named, "demo, url, content_id or infohash");
            for name in KINDS.into_iter().chain(BESIDE) {
                reader.take(name);
            }
            None
        }
    };
    for name in BESIDE {
        if let (true, Some(other)) = (reader.has(name), named.first())
            && let Some(node) = reader.take(name)
        {
            reader.fault(name, node.origin, Fault::NotBeside { other });
        }
    }
    reader.finish();
    upstream
}

/// Reports that not one of `allowed` is there.
pub(super) fn exactly_one(reader: &mut Reader<'_>, named: &[&str], allowed: &'static str) {
    let seen = match named {
        [] => "has none".to_owned(),
        _ => format!("has {}", named.join(" and ")),
    };
    let origin = reader.origin.clone();
    reader.fault("", origin, Fault::ExactlyOne { seen, allowed });
}

fn demo(reader: &mut Reader<'_>) -> Option<Upstream> {
    let is_demo = reader.boolean("demo", true);
    if !is_demo {
        let origin = reader.origin_of(&["demo"]);
        let (value, allowed) = ("false".into(), "true is allowed (or leave the key out)");
        reader.fault("demo", origin, Fault::NotAWord { value, allowed });
    }
    let bounds = Demo::BITS_PER_SECOND_MIN..=Demo::BITS_PER_SECOND_MAX;
    let bits_per_second = reader.whole("bitrate_bps", bounds, DEMO_BITS_PER_SECOND);
    is_demo.then_some(Upstream::Demo { bits_per_second })
}

fn url(reader: &mut Reader<'_>) -> Option<Upstream> {
    let url = reader.parsed("url", |text| fetchable(&text));
    let user_agent = user_agent(reader);
    let headers = headers(reader, user_agent.is_some());
    url.map(|(url, _)| Upstream::Http {
        url,
        user_agent,
        headers,
    })
}

fn ace(
    reader: &mut Reader<'_>,
    name: &'static str,
    content: impl FnOnce(crate::channel::id::Hash) -> Content,
) -> Option<Upstream> {
    let hash = reader.parsed(name, |text| {
        text.parse().map_err(|_not_a_hash| Fault::NotAHash)
    });
    let user_agent = user_agent(reader);
    hash.map(|(hash, _)| Upstream::Ace {
        content: content(hash),
        user_agent,
    })
}

/// Reads a `User-Agent` that can be sent.
pub(super) fn user_agent(reader: &mut Reader<'_>) -> Option<String> {
    let agent = reader.parsed("user_agent", |text| {
        length(&text, 1, 512)?;
        header_value(&text)?;
        Ok(text)
    });
    agent.map(|(agent, _)| agent)
}

/// Reads headers that can be sent.
pub(super) fn headers(reader: &mut Reader<'_>, is_agent_set: bool) -> Vec<(String, String)> {
    let Some(Node { origin, value }) = reader.take("headers") else {
        return Vec::new();
    };
    let Value::Table(entries) = value else {
        reader.fault("headers", origin, wrong_type(&value, "a table of texts"));
        return Vec::new();
    };
    reader.counts("headers", entries.len(), "headers", 0..=HEADERS_MAX);
    let mut headers: Vec<(String, String)> = Vec::with_capacity(entries.len());
    for (name, (at, node)) in entries {
        let is_twice = headers
            .iter()
            .any(|(other, _)| other.eq_ignore_ascii_case(&name));
        let fault = match (header_name(&name, is_agent_set, is_twice), node.value) {
            (Err(fault), _) => Err((at, fault)),
            (Ok(()), Value::Text(text)) => match header_value(&text) {
                Ok(()) => Ok(text),
                Err(fault) => Err((node.origin, fault)),
            },
            (Ok(()), other) => Err((node.origin, wrong_type(&other, "a text"))),
        };
        match fault {
            Ok(text) => headers.push((name, text)),
            Err((place, fault)) => reader.fault("headers", place, fault),
        }
    }
    headers
}

fn header_name(name: &str, is_agent_set: bool, is_twice: bool) -> Result<(), Fault> {
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    if name.is_empty() || !name.bytes().all(is_token) {
        let allowed = "a header name of letters, digits and !#$%&'*+-.^_`|~ is allowed";
        return Err(Fault::Character { allowed });
    }
    let is_ours = OUR_HEADERS
        .iter()
        .any(|ours| ours.eq_ignore_ascii_case(name));
    let is_agent_again = is_agent_set && name.eq_ignore_ascii_case("user-agent");
    if is_ours || is_agent_again || is_twice {
        let (value, allowed) = (name.into(), "a header that is not set already is allowed");
        return Err(Fault::NotAWord { value, allowed });
    }
    Ok(())
}

/// Whether a request to an upstream can carry this header.
#[must_use]
pub fn is_sendable(name: &str, value: &str) -> bool {
    let most = if name.eq_ignore_ascii_case("user-agent") {
        512
    } else {
        4_096
    };
    let is_short = value.chars().count() <= most;
    is_short && header_name(name, false, false).is_ok() && header_value(value).is_ok()
}

fn header_value(text: &str) -> Result<(), Fault> {
    length(text, 0, 4_096)?;
    match text.chars().all(|letter| !letter.is_control()) {
        true => Ok(()),
        false => Err(Fault::Character {
            allowed: "one line without control characters is allowed",
        }),
    }
}

/// Takes a name: 1 to 200 characters without control characters.
pub(super) fn one_line(text: String) -> Result<String, Fault> {
    line(text, 200)
}

/// Takes a text of 1 to `most` characters without control characters.
pub(super) fn line(text: String, most: usize) -> Result<String, Fault> {
    length(&text, 1, most)?;
    match text.chars().all(|letter| !letter.is_control()) {
        true => Ok(text),
        false => Err(Fault::Character {
            allowed: "one line without control characters is allowed",
        }),
    }
}

/// Refuses a text of fewer or more characters.
pub(super) fn length(text: &str, least: usize, most: usize) -> Result<(), Fault> {
    let seen = text.chars().count();
    if (least..=most).contains(&seen) {
        return Ok(());
    }
    let unit = "characters";
    Err(Fault::Length {
        seen,
        unit,
        least,
        most,
    })
}

/// Remembers a value that must be unique; the answer is where it was given before.
pub(super) fn repeats<K: std::hash::Hash + Eq>(
    seen: &mut HashMap<K, Origin>,
    value: K,
    origin: &Origin,
) -> Option<Origin> {
    match seen.entry(value) {
        Entry::Occupied(first) => Some(first.get().clone()),
        Entry::Vacant(place) => {
            place.insert(origin.clone());
            None
        }
    }
}

/// The keys that say what an upstream is.
const KINDS: [&str; 4] = ["demo", "url", "content_id", "infohash"];

/// The keys that some kinds of upstream have beside.
const BESIDE: [&str; 3] = ["bitrate_bps", "user_agent", "headers"];

/// Headers that a request sets by itself.
const OUR_HEADERS: [&str; 4] = ["Connection", "Content-Length", "Host", "Transfer-Encoding"];

/// Most upstreams of a channel.
pub const UPSTREAMS_MAX: usize = 32;

/// Most headers of an upstream.
const HEADERS_MAX: usize = 32;

/// Rate of the test pattern unless it is set.
pub(super) const DEMO_BITS_PER_SECOND: u64 = 4_000_000;
