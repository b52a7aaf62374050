//! What a list gives: the wanted entries as channels that have no number yet. (pure)
//!
//! How it is written is read in `m3u.rs`, where an entry leads in `link.rs`, which are wanted in `filter.rs`. The rule:
//! whatever is in the list, no channel comes of it that the configuration file would not take.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;

use percent_encoding::percent_decode_str;
use url::Url;

use super::identity::{self, Identity};
use super::link::{self, Origin, Skip};
use super::m3u::{Entries, Entry, NotAList};
use crate::config::{Playlist, UPSTREAMS_MAX, Upstream, fetchable};
use crate::upstream::document::Place;

/// The wanted entries of a list.
///
/// Bound: `channels_max` channels of at most [`UPSTREAMS_MAX`] upstreams each.
#[derive(Debug, Default)]
pub struct List {
    /// How many entries there are, wanted or not.
    pub entries: usize,
    /// The channels, in the order of the list.
    pub channels: Vec<Listed>,
    /// How many wanted entries are no channels, and why.
    pub skipped: BTreeMap<Skip, usize>,
}

/// A channel that has no number yet.
#[derive(Clone, Debug)]
pub struct Listed {
    /// By what it is known again.
    pub identity: Identity,
    /// What viewers call it. Shape: as of a `[[channel]]`.
    pub name: String,
    /// Under which heading apps list it.
    pub group: Option<String>,
    /// Its picture.
    pub logo: Option<Url>,
    /// Its name in a program guide.
    pub epg_id: Option<String>,
    /// Its number in apps, if the list says one.
    pub number: Option<u32>,
    /// Where its bytes come from.
    pub upstreams: Vec<Upstream>,
}

impl List {
    /// Reads a list.
    ///
    /// # Errors
    /// [`NotAList`], also for one without any entry.
    pub fn read(bytes: &[u8], playlist: &Playlist) -> Result<Self, NotAList> {
        let mut reading = Reading {
            playlist,
            is_local: is_local(&playlist.place),
            list: Self::default(),
            links: HashSet::new(),
            of_name: HashMap::new(),
        };
        for entry in Entries::of(bytes) {
            reading.list.entries += 1;
            if let Err(skip) = reading.take(&entry?) {
                *reading.list.skipped.entry(skip).or_default() += 1;
            }
        }
        match reading.list.entries {
            0 => Err(NotAList::Empty),
            _ => Ok(reading.list),
        }
    }

    /// How many wanted entries are no channels, as the log says it.
    #[must_use]
    pub fn skips(&self) -> Skips<'_> {
        Skips(&self.skipped)
    }
}

/// A list being read.
struct Reading<'p> {
    playlist: &'p Playlist,
    is_local: bool,
    list: List,
    /// Names and links that are channels already.
    links: HashSet<(String, String)>,
    /// Which channel has a name; used where entries of one name are one.
    of_name: HashMap<String, usize>,
}

impl Reading<'_> {
    fn take(&mut self, entry: &Entry<'_>) -> Result<(), Skip> {
        let playlist = self.playlist;
        let group = one_of([entry.attribute("group-title"), &entry.group]);
        let name = one_of([
            &entry.title,
            entry.attribute("tvg-name"),
            entry.attribute("tvg-id"),
        ]);
        let name = name.or_else(|| name_of_link(&entry.link));
        let name = name.unwrap_or_else(|| NAMELESS.to_owned());
        if !playlist
            .filter
            .wants(group.as_deref().unwrap_or_default(), &name)
        {
            return Ok(());
        }
        let origin = Origin {
            user_agent: playlist.user_agent.as_deref(),
            is_local: self.is_local,
        };
        let upstream = link::upstream(entry, origin)?;
        let folded = name.to_lowercase();
        let is_full = self.list.channels.len() >= playlist.channels_max;
        let merged = self.of_name.get(&folded).filter(|_| playlist.merge);
        if is_full && merged.is_none() {
            return Err(Skip::Over);
        }
        if !self.links.insert((folded.clone(), link_of(&upstream))) {
            return Err(Skip::Twice);
        }
        if let Some(index) = merged {
            return self.merge(*index, upstream);
        }
        if playlist.merge {
            self.of_name.insert(folded, self.list.channels.len());
        }
        self.push(entry, name, group, upstream);
        Ok(())
    }

    /// Adds an upstream to a channel that there is.
    fn merge(&mut self, index: usize, upstream: Upstream) -> Result<(), Skip> {
        match self.list.channels.get_mut(index) {
            Some(channel) if channel.upstreams.len() < UPSTREAMS_MAX => {
                channel.upstreams.push(upstream);
                Ok(())
            }
            _ => Err(Skip::Over),
        }
    }

    fn push(&mut self, entry: &Entry<'_>, name: String, group: Option<String>, upstream: Upstream) {
        let epg_id = one_of([entry.attribute("tvg-id")]);
        let number = entry.attribute("tvg-chno").parse().ok();
        let identity = match self.playlist.merge {
            // Which entry comes first may change, and with it all but the name.
            true => Identity {
                name: name.to_lowercase(),
                tvg_id: String::new(),
                place: 0,
            },
            false => Identity {
                name: name.clone(),
                tvg_id: epg_id.clone().unwrap_or_default(),
                place: identity::place(&upstream),
            },
        };
        self.list.channels.push(Listed {
            identity,
            name,
            group: self.playlist.group.clone().or(group),
            logo: fetchable(entry.attribute("tvg-logo")).ok(),
            epg_id,
            number: number.filter(|number| *number > 0),
            upstreams: vec![upstream],
        });
    }
}

/// How many entries are no channels, as the log says it: `hls=3,scheme=1`, or `none`.
pub struct Skips<'s>(&'s BTreeMap<Skip, usize>);

impl fmt::Display for Skips<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("none");
        }
        for (index, (skip, count)) in self.0.iter().enumerate() {
            let comma = if index > 0 { "," } else { "" };
            write!(f, "{comma}{}={count}", skip.label())?;
        }
        Ok(())
    }
}

/// Whether a list lies on this host, and so may name what only this host can see.
fn is_local(place: &Place) -> bool {
    match place {
        Place::File(_) => true,
        Place::Url { url, .. } => link::is_near(url),
    }
}

/// The first of these that says something, made fit for one line.
fn one_of<'t>(texts: impl IntoIterator<Item = &'t str>) -> Option<String> {
    let mut fit = texts.into_iter().map(fit);
    fit.find(|text| !text.is_empty())
}

/// A text without control characters and double spaces, cut to what a name may be.
fn fit(text: &str) -> String {
    let mut fit = String::new();
    let mut length = 0;
    for letter in text.chars().take(LOOKED_AT_MAX) {
        let is_space = letter.is_whitespace() || letter.is_control();
        if length == NAME_CHARS_MAX {
            break;
        }
        if !is_space || !(fit.is_empty() || fit.ends_with(' ')) {
            fit.push(if is_space { ' ' } else { letter });
            length += 1;
        }
    }
    fit.truncate(fit.trim_end().len());
    fit
}

/// What a link is called that nobody named: the last part of its path, without its ending.
fn name_of_link(link: &str) -> Option<String> {
    let url = Url::parse(link.trim()).ok()?;
    let last = url.path().rsplit('/').next()?;
    let last = percent_decode_str(last).decode_utf8_lossy();
    let (name, _) = last.rsplit_once('.').unwrap_or((&last, ""));
    one_of([name])
}

/// Where an upstream leads, to tell it from others of the same list.
fn link_of(upstream: &Upstream) -> String {
    match upstream {
        Upstream::Ace { content, .. } => content.to_string(),
        Upstream::Demo { .. } => String::new(),
        Upstream::Http { url, .. } => url.as_str().to_owned(),
    }
}

/// What an entry is called that has no name at all.
const NAMELESS: &str = "Channel";

/// The longest name.
const NAME_CHARS_MAX: usize = 200;

/// How much of a text is looked at for a name.
const LOOKED_AT_MAX: usize = 1_000;

#[cfg(test)]
pub(crate) mod tests;
