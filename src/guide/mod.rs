//! The programmes of all channels, as the shards hold and serve them. (pure)
//!
//! In the order in which they come here: `keep` knows when it is time for a `look` at where a guide is, `read` takes out of a
//! document what `cut` wants, one programme after the other as a `draft`, `shelve` puts them in order, `pack` compresses them.
//! What apps are answered is written in `catalog`. The rule: a guide never changes; it is shared by all shards and replaced as a whole.

pub mod cut;
mod draft;
pub mod error;
pub mod keep;
mod letters;
mod look;
pub mod pack;
pub mod read;
mod shelve;
pub mod stamp;

use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::HashMap;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use quick_xml::escape::unescape;

use self::cut::Cut;
use self::pack::Packed;
use crate::channel::wakers::Wakers;

/// The programmes of all channels.
#[derive(Debug, Default)]
pub struct Guide {
    shelves: Shelves,
    since_s: u64,
}

/// Shelves by the key of their channel.
pub type Shelves = HashMap<Box<str>, Arc<Shelf>>;

impl Guide {
    /// Puts parts together: a channel has the programmes of the first part that has any.
    ///
    /// `since_s` is when this came to be, in seconds since 1970.
    #[must_use]
    pub fn merge<'p>(
        parts: impl IntoIterator<Item = &'p Shelves>,
        cut: &Cut,
        since_s: u64,
    ) -> Self {
        let parts: Vec<_> = parts.into_iter().collect();
        let first = cut.keys().iter().filter_map(|key| {
            let shelf = parts.iter().find_map(|part| part.get(key))?;
            Some((key.clone(), Arc::clone(shelf)))
        });
        Self {
            shelves: first.collect(),
            since_s,
        }
    }

    /// The programmes of a channel, by its key; `None` if none are known.
    #[must_use]
    pub fn shelf(&self, key: &str) -> Option<&Arc<Shelf>> {
        self.shelves.get(key)
    }

    /// How many programmes there are.
    #[must_use]
    pub fn programmes(&self) -> usize {
        self.shelves.values().map(|shelf| shelf.len()).sum()
    }

    /// When this guide took the place of another one.
    ///
    /// Unit: seconds since 1970.
    #[must_use]
    pub fn since_s(&self) -> u64 {
        self.since_s
    }
}

/// The programmes of one channel, in the order of time; no two overlap.
#[derive(Debug)]
pub struct Shelf {
    text: Bytes,
    packed: Packed,
    programmes: Vec<Place>,
    digest: u64,
    number: usize,
}

/// A programme's times, and where in the text of its shelf it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Place {
    start_s: u64,
    stop_s: u64,
    title: Range<usize>,
    description: Range<usize>,
    language: Range<usize>,
}

impl Shelf {
    /// All of them as XMLTV elements, a line each.
    #[must_use]
    pub fn text(&self) -> &Bytes {
        &self.text
    }

    /// The same, compressed.
    #[must_use]
    pub fn packed(&self) -> &Packed {
        &self.packed
    }

    /// A number that changes with the text.
    #[must_use]
    pub fn digest(&self) -> u64 {
        self.digest
    }

    /// Which guide of the configuration they come from, counted from 1.
    #[must_use]
    pub fn number(&self) -> usize {
        self.number
    }

    /// How many there are, at least one.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "there is no empty shelf")]
    pub fn len(&self) -> usize {
        self.programmes.len()
    }

    /// The first that is not over at `now_s`, counted from 0.
    #[must_use]
    pub fn first_not_over(&self, now_s: u64) -> usize {
        self.programmes.partition_point(|it| it.stop_s <= now_s)
    }

    /// One of them.
    #[must_use]
    pub fn programme(&self, index: usize) -> Option<Programme<'_>> {
        let place = self.programmes.get(index)?;
        Some(Programme {
            start_s: place.start_s,
            stop_s: place.stop_s,
            title: self.plain(&place.title),
            description: self.plain(&place.description),
            language: self.plain(&place.language),
        })
    }

    /// Text without the escapes of XML.
    fn plain(&self, range: &Range<usize>) -> Cow<'_, str> {
        let bytes = self.text.get(range.clone()).unwrap_or_default();
        let text = str::from_utf8(bytes).unwrap_or_default();
        unescape(text).unwrap_or(Cow::Borrowed(text))
    }
}

/// A programme as Xtream apps are told of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Programme<'s> {
    /// Unit: seconds since 1970.
    pub start_s: u64,
    /// Unit: seconds since 1970. Shape: after the start, and not after the start of the next programme.
    pub stop_s: u64,
    /// The first title. Shape: not empty.
    pub title: Cow<'s, str>,
    /// The first description, if there is one.
    pub description: Cow<'s, str>,
    /// The language of the title, if the guide says.
    pub language: Cow<'s, str>,
}

/// The guide that a shard serves now.
#[derive(Default)]
pub struct Held {
    guide: RefCell<Arc<Guide>>,
    /// Signalled when the configuration may have changed.
    pub reconfigured: Wakers,
}

impl Held {
    /// The guide as it is now.
    #[must_use]
    pub fn current(&self) -> Arc<Guide> {
        Arc::clone(&self.guide.borrow())
    }

    /// Serves another one from now on; the answer is the one before.
    pub fn replace(&self, guide: Arc<Guide>) -> Arc<Guide> {
        self.guide.replace(guide)
    }
}

impl fmt::Debug for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Held").field(&self.guide).finish()
    }
}

#[cfg(test)]
pub(crate) mod tests;
