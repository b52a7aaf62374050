//! The table that stands any number of times for who may watch: `[[account]]`.
//!
//! The rule: a value that a URL carries (user, password) is refused here if a player or a proxy would change it on the
//! way, and no error shows a password or a hash.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::path::Path;

use toml::value::Datetime;

use super::entries::{length, repeats};
use super::error::{Fault, Origin};
use super::read::{Reader, Report, shown, whole_in, wrong_type};
use super::secret_file::read_secret;
use super::tree::{Node, Value};
use super::{Account, AtLimit, Channel, Playlist, sections};
use crate::account::Login;
use crate::account::hash::Hash;
use crate::account::secret::Secret;
use crate::account::until::Until;
use crate::http::route::is_reserved;

/// What accounts may name, for thousands of them and of channels.
pub(super) struct Known<'c> {
    ids: HashSet<u32>,
    by_group: HashMap<&'c str, Vec<u32>>,
    /// From this number on channels may come from lists, and then groups of any name do too.
    listed_from: Option<u32>,
}

impl<'c> Known<'c> {
    pub(super) fn of(channels: &'c [Channel], playlists: &[Playlist]) -> Self {
        let mut by_group: HashMap<&str, Vec<u32>> = HashMap::new();
        for channel in channels {
            if let Some(group) = &channel.group {
                by_group.entry(group).or_default().push(channel.id);
            }
        }
        Self {
            ids: channels.iter().map(|channel| channel.id).collect(),
            by_group,
            listed_from: playlists.iter().map(|it| it.id_from).min(),
        }
    }

    fn has(&self, channel: u32) -> bool {
        self.listed_from.is_some_and(|from| channel >= from) || self.ids.contains(&channel)
    }

    fn has_group(&self, group: &str) -> bool {
        self.listed_from.is_some() || self.by_group.contains_key(group)
    }

    fn in_group(&self, group: &str) -> impl Iterator<Item = u32> {
        self.by_group.get(group).into_iter().flatten().copied()
    }
}

/// Reads every `[[account]]`. Relative file names are relative to `folder`; what an account may watch is in `known`.
pub(super) fn accounts(
    nodes: Vec<(String, Node)>,
    known: &Known<'_>,
    folder: &Path,
    report: &mut Report,
) -> Vec<Account> {
    let offered = known;
    // Of channels that could not be read the numbers are not known, and their own errors say enough.
    let known = report.errors.is_empty().then_some(known);
    let mut first_of_user = HashMap::new();
    let mut accounts = Vec::with_capacity(nodes.len());
    for (path, node) in nodes {
        let mut reader = Reader::new(report, path, node);
        let user = reader.required("user", user);
        if let Some((user, origin)) = &user
            && let Some(first) = repeats(&mut first_of_user, user.clone(), origin)
        {
            let value = shown(user);
            reader.fault("user", origin.clone(), Fault::Duplicate { value, first });
        }
        let login = login(&mut reader, folder);
        let valid_until = valid_until(&mut reader);
        let networks = items(&mut reader, "networks", NETWORKS_MAX);
        let networks = sections::networks(&mut reader, "networks", networks);
        let mut channels = channels_of(&mut reader, known);
        let groups = groups(&mut reader, known);
        if !groups.is_empty() {
            let members = groups.iter().flat_map(|group| offered.in_group(group));
            channels.get_or_insert_default().extend(members);
        }
        let viewers_max = reader.size("viewers_max", 0..=1_000_000, 0);
        let at_limit = at_limit(&mut reader);
        let bits_per_second_max = reader.whole("bitrate_max_bps", 0..=1_000_000_000, 0);
        reader.finish();
        if let (Some((user, _)), Some(login)) = (user, login) {
            accounts.push(Account {
                user,
                login,
                valid_until,
                networks,
                channels,
                groups,
                viewers_max,
                at_limit,
                bits_per_second_max,
            });
        }
    }
    accounts
}

fn user(text: String) -> Result<String, Fault> {
    length(&text, 1, 64)?;
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._@-".contains(&byte);
    if !text.bytes().all(is_allowed) || is_dots(&text) {
        return Err(Fault::Character {
            allowed: "A-Z a-z 0-9 . _ @ - are allowed, but not . or .. alone",
        });
    }
    if is_reserved(&text) {
        return Err(Fault::Reserved {
            value: shown(&text),
        });
    }
    Ok(text)
}

fn login(reader: &mut Reader<'_>, folder: &Path) -> Option<Login> {
    let named: Vec<_> = PASSWORDS
        .into_iter()
        .filter(|name| reader.has(name))
        .collect();
    let mut given = PASSWORDS.map(|name| (name, reader.text(name)));
    let &[named] = named.as_slice() else {
        let seen = match named.as_slice() {
            [] => "has none".to_owned(),
            _ => format!("has {}", named.join(" and ")),
        };
        let allowed = "password, password_file or password_hash";
        let origin = reader.origin.clone();
        reader.fault("", origin, Fault::ExactlyOne { seen, allowed });
        return None;
    };
    let (text, origin) = given.iter_mut().find_map(|(_, text)| text.take())?;
    let login = match named {
        "password_hash" => Hash::parse(&text)
            .map(Login::Hash)
            .map_err(Fault::NotAPasswordHash),
        "password_file" => read_secret(&text, folder).and_then(password),
        _ => password(text),
    };
    match login {
        Ok(login) => Some(login),
        Err(fault) => {
            reader.fault(named, origin, fault);
            None
        }
    }
}

fn password(text: String) -> Result<Login, Fault> {
    length(&text, 1, 128)?;
    let is_allowed = |byte: u8| byte.is_ascii_graphic() && !b"/\\?#%".contains(&byte);
    if !text.bytes().all(is_allowed) || is_dots(&text) {
        return Err(Fault::Character {
            allowed: "printable ASCII without spaces and without / \\ ? # % is allowed, but not . or .. alone",
        });
    }
    Ok(Login::Password(Secret::new(text)))
}

/// `.` and `..` name folders: players and proxies resolve them away.
fn is_dots(text: &str) -> bool {
    matches!(text, "." | "..")
}

fn valid_until(reader: &mut Reader<'_>) -> Option<Until> {
    let Node { origin, value } = reader.take("valid_until")?;
    let written: Option<Datetime> = match &value {
        Value::Date(date) => Some(*date),
        Value::Bare(text) | Value::Text(text) => text.parse().ok(),
        other => {
            let fault = wrong_type(other, UNTIL_ALLOWED);
            reader.fault("valid_until", origin, fault);
            return None;
        }
    };
    let until = written.and_then(Until::new);
    if until.is_none() {
        let value = match (&value, written) {
            (Value::Bare(text) | Value::Text(text), _) => shown(text),
            (_, written) => written.map_or_else(String::new, |it| it.to_string()),
        };
        let allowed = UNTIL_ALLOWED_WORD;
        reader.fault("valid_until", origin, Fault::NotAWord { value, allowed });
    }
    until
}

fn channels_of(reader: &mut Reader<'_>, known: Option<&Known<'_>>) -> Option<BTreeSet<u32>> {
    if !reader.has("channels") {
        return None;
    }
    let mut channels = BTreeSet::new();
    for Node { origin, value } in items(reader, "channels", CHANNELS_MAX) {
        let number = whole_in(value, &(1..=u64::from(u32::MAX)));
        let channel = number.map(|number| u32::try_from(number).unwrap_or(u32::MAX));
        let fault = match channel {
            Ok(channel) if known.is_none_or(|it| it.has(channel)) => {
                channels.insert(channel);
                continue;
            }
            Ok(channel) => Fault::NotAWord {
                value: channel.to_string(),
                allowed: "the id of a [[channel]] is allowed",
            },
            Err(fault) => fault,
        };
        reader.fault("channels", origin, fault);
    }
    Some(channels)
}

fn groups(reader: &mut Reader<'_>, known: Option<&Known<'_>>) -> BTreeSet<String> {
    let mut groups = BTreeSet::new();
    for Node { origin, value } in items(reader, "groups", CHANNELS_MAX) {
        let fault = match value {
            Value::Text(text) => {
                if known.is_none_or(|known| known.has_group(&text)) {
                    groups.insert(text);
                    continue;
                }
                Fault::NotAWord {
                    value: shown(&text),
                    allowed: "the group of a [[channel]] is allowed",
                }
            }
            other => wrong_type(&other, "a text"),
        };
        reader.fault("groups", origin, fault);
    }
    groups
}

/// The entries of a list, which has at least one.
fn items(reader: &mut Reader<'_>, name: &'static str, most: usize) -> Vec<Node> {
    let Some(items) = reader.list(name) else {
        return Vec::new();
    };
    reader.counts(name, items.len(), "entries", 1..=most);
    items
}

fn at_limit(reader: &mut Reader<'_>) -> AtLimit {
    let word = reader.parsed("at_limit", |text| match text.as_str() {
        "refuse" => Ok(AtLimit::Refuse),
        "replace" => Ok(AtLimit::Replace),
        _ => Err(Fault::NotAWord {
            value: shown(&text),
            allowed: "\"replace\" or \"refuse\" is allowed",
        }),
    });
    word.map_or(AtLimit::Replace, |(at_limit, _): (_, Origin)| at_limit)
}

/// The ways to give a password.
const PASSWORDS: [&str; 3] = ["password", "password_file", "password_hash"];

const UNTIL_ALLOWED: &str = "a date, or a date with time and offset,";

const UNTIL_ALLOWED_WORD: &str =
    "a date from 1970 on is allowed, 2026-12-31 or 2026-12-31T18:00:00Z";

/// Most networks of an account.
const NETWORKS_MAX: usize = 64;

/// Most channels that an account may name.
const CHANNELS_MAX: usize = 100_000;
