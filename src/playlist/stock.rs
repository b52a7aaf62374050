//! A configuration with the channels of its lists.
//!
//! What is in a list is read in `list.rs`, which numbers its entries have is decided in `numbers.rs`. The rules: what the
//! file says goes before what a list says; no two channels get the same number, be it the id or the one in apps; and an
//! account may watch what is in its groups, also what came into them since.

use std::collections::{BTreeMap, HashSet};
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;

use super::list::{List, Listed};
use super::numbers::{Numbers, Taken};
use super::{Kept, Lists, Seen, document, numbers_file};
use crate::config::{Channel, Config, Playlist, Server};
use crate::upstream::error::Chain;
use crate::upstream::kept;

/// Adds the channels of its lists to a configuration that has none of them yet. `before` are the lists of the configuration
/// in use; what is not among them is read from where it is kept. `now_s` are seconds since 1970.
///
/// Blocks on the file system: for start-up, or aside.
#[must_use]
pub fn stock(base: Config, before: &Lists, now_s: u64) -> Config {
    let open = |settings: &Playlist| Kept::of(settings, before, &base.server);
    let kept = base.playlists.iter().map(open);
    let kept = kept.map(|kept| (kept.settings.name.clone(), kept));
    let kept = kept.collect();
    fill(&Arc::new(base), kept, now_s)
}

/// The configuration in use with another list in the place of one; `None` if it has no such list any more.
///
/// Takes its time with thousands of channels: aside.
#[must_use]
pub fn restock(in_use: &Lists, settings: &Playlist, seen: Seen, now_s: u64) -> Option<Config> {
    let base = in_use.base.as_ref()?;
    let mut kept = in_use.kept.clone();
    let slot = kept.get_mut(&settings.name)?;
    if slot.settings != *settings {
        return None;
    }
    slot.seen = Some(seen);
    Some(fill(base, kept, now_s))
}

impl Kept {
    /// A list as far as it is known: in use, or kept, or nothing of it.
    fn of(settings: &Playlist, before: &Lists, server: &Server) -> Self {
        let known = before.kept.get(&settings.name);
        let numbers = match known {
            Some(known) if known.settings.id_from == settings.id_from => Arc::clone(&known.numbers),
            Some(_) => Arc::new(Numbers::new(settings.id_from)),
            None => Arc::new(kept_numbers(settings, &numbers_file(settings, server))),
        };
        let known = known.filter(|known| known.settings.place == settings.place);
        let seen = match known {
            Some(known) if known.settings == *settings => known.seen.clone(),
            Some(known) => known
                .seen
                .clone()
                .and_then(|seen| read(settings, seen.bytes)),
            None => first_seen(settings, server),
        };
        Self {
            settings: settings.clone(),
            seen,
            numbers,
        }
    }
}

fn kept_numbers(settings: &Playlist, file: &Path) -> Numbers {
    let fresh = || Numbers::new(settings.id_from);
    let name = &settings.name;
    let read = match kept::read(file, NUMBERS_BYTES_MAX) {
        Ok(None) => return fresh(),
        Ok(Some(bytes)) => Numbers::from_json(&bytes, settings.id_from).map_err(Into::into),
        Err(error) => Err(error),
    };
    read.unwrap_or_else(|error| {
        log::warn!("numbers of a playlist are lost: they begin anew playlist={name} file={file:?} error=\"{error}\"");
        fresh()
    })
}

/// What is there before anybody was asked: the file itself, or the copy that is kept.
fn first_seen(settings: &Playlist, server: &Server) -> Option<Seen> {
    let mut document = document(settings, server);
    let of_file = document.read_file().and_then(|bytes| read(settings, bytes));
    of_file.or_else(|| match document.recall() {
        Ok(bytes) => {
            let seen = bytes.and_then(|bytes| read(settings, bytes))?;
            let (name, channels) = (&settings.name, seen.list.channels.len());
            log::info!("playlist as it was kept playlist={name} channels={channels}");
            Some(seen)
        }
        Err(error) => {
            log::warn!(
                "kept playlist is lost playlist={} error=\"{}\"",
                settings.name,
                Chain(&error)
            );
            None
        }
    })
}

fn read(settings: &Playlist, bytes: Bytes) -> Option<Seen> {
    match List::read(&bytes, settings) {
        Ok(list) => {
            let list = Arc::new(list);
            Some(Seen { bytes, list })
        }
        Err(error) => {
            log::warn!(
                "playlist refused playlist={} error=\"{error}\"",
                settings.name
            );
            None
        }
    }
}

fn fill(base: &Arc<Config>, mut kept: BTreeMap<String, Kept>, now_s: u64) -> Config {
    let mut config = Config::clone(base);
    let own = base.channels.iter().flat_map(|it| [it.id, it.number]);
    let own: HashSet<u32> = own.collect();
    let order: Vec<&str> = base.playlists.iter().map(|it| it.name.as_str()).collect();
    let mut listed: Vec<(u32, &str, Listed)> = Vec::new();
    for (index, name) in order.iter().enumerate() {
        let (earlier, later) = order.split_at(index);
        let later = later.get(1..).unwrap_or_default();
        let before = (&own, earlier);
        let Some(numbered) = number(name, &kept, before, later, now_s) else {
            continue;
        };
        let channels = numbered.list.channels.iter().zip(numbered.given);
        listed.extend(channels.filter_map(|(it, id)| Some((id?, *name, it.clone()))));
        if let Some(slot) = kept.get_mut(*name)
            && *slot.numbers != numbered.numbers
        {
            slot.numbers = Arc::new(numbered.numbers);
        }
    }
    let in_apps = numbers_in_apps(&own, &listed);
    let channels = listed.into_iter().zip(in_apps);
    let channels = channels.map(|((id, playlist, listed), number)| Channel {
        id,
        name: listed.name,
        group: listed.group,
        logo: listed.logo,
        epg_id: listed.epg_id,
        number,
        stream: base.stream.clone(),
        upstreams: listed.upstreams,
        playlist: Some(playlist.into()),
    });
    config.channels.extend(channels);
    admit_groups(&mut config);
    let base = Some(Arc::clone(base));
    config.lists = Arc::new(Lists { base, kept });
    config
}

/// A list with the numbers of its channels.
struct Numbered {
    list: Arc<List>,
    /// In the order of the list's channels.
    given: Vec<Option<u32>>,
    /// All that were ever given.
    numbers: Numbers,
}

/// Numbers the channels of a list, after the file's own and those of `earlier` lists and before those of `later` ones.
fn number(
    name: &str,
    kept: &BTreeMap<String, Kept>,
    (own, earlier): (&HashSet<u32>, &[&str]),
    later: &[&str],
    now_s: u64,
) -> Option<Numbered> {
    let this = kept.get(name)?;
    let list = Arc::clone(&this.seen.as_ref()?.list);
    let is_of = |names: &[&str], number| {
        let mut others = names.iter().filter_map(|name| kept.get(*name));
        others.any(|other| other.numbers.has(number))
    };
    let for_good = |number| own.contains(&number) || is_of(earlier, number);
    let by_others = |number| for_good(number) || is_of(later, number);
    let taken = Taken {
        for_good: &for_good,
        by_others: &by_others,
    };
    let identities: Vec<_> = list.channels.iter().map(|it| &it.identity).collect();
    let mut numbers = (*this.numbers).clone();
    let given = numbers.assign(&identities, &taken, now_s);
    Some(Numbered {
        list,
        given,
        numbers,
    })
}

/// The number of each channel in apps: that of its list where it is free, else the id. Of two that want one number, that
/// with the lower id has it.
fn numbers_in_apps(own: &HashSet<u32>, listed: &[(u32, &str, Listed)]) -> Vec<u32> {
    let ids: HashSet<u32> = listed.iter().map(|(id, ..)| *id).collect();
    let mut order: Vec<usize> = (0..listed.len()).collect();
    order.sort_by_key(|index| listed.get(*index).map(|(id, ..)| *id));
    let mut numbers: Vec<u32> = listed.iter().map(|(id, ..)| *id).collect();
    let mut taken = HashSet::new();
    for index in order {
        let wanted = listed.get(index).and_then(|(.., channel)| channel.number);
        let is_free = |number: &u32| !own.contains(number) && !ids.contains(number);
        if let (Some(wanted), Some(number)) = (wanted.filter(is_free), numbers.get_mut(index))
            && taken.insert(wanted)
        {
            *number = wanted;
        }
    }
    numbers
}

/// Lets accounts watch what the lists have in their groups.
fn admit_groups(config: &mut Config) {
    let listed = config.channels.iter().filter(|it| it.playlist.is_some());
    let mut of_group: BTreeMap<&str, Vec<u32>> = BTreeMap::new();
    for channel in listed {
        if let Some(group) = &channel.group {
            of_group.entry(group).or_default().push(channel.id);
        }
    }
    for account in &mut config.accounts {
        let members = account
            .groups
            .iter()
            .filter_map(|it| of_group.get(it.as_str()));
        let members: Vec<u32> = members.flatten().copied().collect();
        if !account.groups.is_empty() {
            account.channels.get_or_insert_default().extend(members);
        }
    }
}

/// No file of numbers is longer.
const NUMBERS_BYTES_MAX: usize = 256 * 1024 * 1024;

#[cfg(test)]
mod tests;
