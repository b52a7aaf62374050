//! The table that stands any number of times for lists of channels: `[[playlist]]`.
//!
//! What is in a list is read in `playlist/`. The rule: what can be wrong with a list's settings is said here, so that what
//! is wrong later is the list itself.

use std::collections::HashMap;
use std::ops::RangeInclusive;
use std::path::Path;
use std::time::Duration;

use super::Playlist;
use super::entries::{headers, length, line, one_line, repeats, user_agent};
use super::error::Fault;
use super::read::{Reader, Report, shown, wrong_type};
use super::sections::fetchable;
use super::tree::{Node, Value};
use crate::playlist::filter::{Filter, Pattern};
use crate::upstream::document::Place;

/// Reads every `[[playlist]]`. Relative file names are relative to `folder`.
pub(super) fn playlists(
    nodes: Vec<(String, Node)>,
    folder: &Path,
    report: &mut Report,
) -> Vec<Playlist> {
    let mut first_of_name = HashMap::new();
    let mut playlists = Vec::with_capacity(nodes.len());
    for (path, node) in nodes {
        let mut reader = Reader::new(report, path, node);
        let name = reader.required("name", name);
        if let Some((name, origin)) = &name
            && let Some(first) = repeats(&mut first_of_name, name.clone(), origin)
        {
            let value = shown(name);
            reader.fault("name", origin.clone(), Fault::Duplicate { value, first });
        }
        let user_agent = user_agent(&mut reader);
        let place = place(&mut reader, folder, user_agent.clone());
        let usual = match place {
            Some(Place::File(_)) => FILE_REFRESH,
            _ => URL_REFRESH,
        };
        let group = reader.parsed("group", one_line);
        let filter = Filter {
            groups: patterns(&mut reader, "groups"),
            groups_except: patterns(&mut reader, "groups_except"),
            names: patterns(&mut reader, "names"),
            names_except: patterns(&mut reader, "names_except"),
        };
        let playlist = (name, place, refresh(&mut reader, usual));
        let id_from = reader.whole("id_from", IDS, ID_FROM);
        let channels_max = reader.size("channels_max", 1..=100_000, CHANNELS_MAX);
        let merge = reader.boolean("merge", false);
        reader.finish();
        if let (Some((name, _)), Some(place), refresh) = playlist {
            playlists.push(Playlist {
                name,
                place,
                refresh,
                user_agent,
                group: group.map(|(group, _)| group),
                filter,
                id_from: u32::try_from(id_from).unwrap_or(u32::MAX),
                channels_max,
                merge,
            });
        }
    }
    playlists
}

/// A name that is a file's too.
fn name(text: String) -> Result<String, Fault> {
    length(&text, 1, 64)?;
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    match text.bytes().all(is_allowed) && !text.starts_with('.') {
        true => Ok(text),
        false => Err(Fault::Character {
            allowed: "A-Z a-z 0-9 . _ - are allowed, and no . at its beginning",
        }),
    }
}

fn place(reader: &mut Reader<'_>, folder: &Path, user_agent: Option<String>) -> Option<Place> {
    let named = [reader.has("file"), reader.has("url")];
    let file = reader.parsed("file", |text| line(text, 4_096));
    let url = reader.parsed("url", |text| fetchable(&text));
    let headers_at = reader.has("headers").then(|| reader.origin_of(&[]));
    let headers = headers(reader, user_agent.is_some());
    match named {
        [true, false] => {
            if let Some(origin) = headers_at {
                reader.fault("headers", origin, Fault::NotBeside { other: "file" });
            }
            file.map(|(name, _)| Place::File(folder.join(name)))
        }
        [false, true] => url.map(|(url, _)| Place::Url {
            url,
            user_agent,
            headers,
        }),
        [has_both, _] => {
            let seen = if has_both {
                "has file and url"
            } else {
                "has none"
            };
            let (seen, allowed) = (seen.to_owned(), "file or url");
            let origin = reader.origin.clone();
            reader.fault("", origin, Fault::ExactlyOne { seen, allowed });
            None
        }
    }
}

fn patterns(reader: &mut Reader<'_>, key: &'static str) -> Vec<Pattern> {
    let items = reader.list(key).unwrap_or_default();
    if items.len() > PATTERNS_MAX {
        let fault = Fault::Length {
            seen: items.len(),
            unit: "patterns",
            least: 0,
            most: PATTERNS_MAX,
        };
        let origin = reader.origin_of(&[key]);
        reader.fault(key, origin, fault);
        return Vec::new();
    }
    let mut patterns = Vec::with_capacity(items.len());
    for Node { origin, value } in items {
        let read = match value {
            Value::Text(text) => one_line(text),
            other => Err(wrong_type(&other, "a text")),
        };
        match read {
            Ok(text) => patterns.push(Pattern::new(&text)),
            Err(fault) => reader.fault(key, origin, fault),
        }
    }
    patterns
}

fn refresh(reader: &mut Reader<'_>, usual: Duration) -> Duration {
    let refresh = reader.millis("refresh_ms", 0..=REFRESH_MS_MAX, usual);
    if refresh.is_zero() || refresh >= REFRESH_MIN {
        return refresh;
    }
    let fault = Fault::NotAWord {
        value: refresh.as_millis().to_string(),
        allowed: "0 (never) or 1000 to 604800000 is allowed",
    };
    let origin = reader.origin_of(&["refresh_ms"]);
    reader.fault("refresh_ms", origin, fault);
    usual
}

/// The first number of a list's channels, and the bounds of it.
const ID_FROM: u64 = 10_000;
const IDS: RangeInclusive<u64> = 1..=4_000_000_000;

/// Most channels of a list, unless it is set.
const CHANNELS_MAX: usize = 20_000;

/// How often a file is looked at, unless it is set: that costs nothing.
const FILE_REFRESH: Duration = Duration::from_secs(10);

/// How often a server is asked, unless it is set.
const URL_REFRESH: Duration = Duration::from_secs(6 * 60 * 60);

/// The shortest time between two looks.
const REFRESH_MIN: Duration = Duration::from_secs(1);

/// The longest: a week. Unit: milliseconds.
const REFRESH_MS_MAX: u64 = 604_800_000;

/// Most patterns of a kind.
const PATTERNS_MAX: usize = 1_000;
