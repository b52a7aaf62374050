//! What apps ask for beside a stream: the channels as playlist, Xtream answer, guide or tuner lineup. (pure)
//!
//! Which path means which of them is `http/page.rs`, who may ask and how it is sent `http/site.rs`. The rules kept here:
//! an answer is a function of the configuration, the guide and one request, so nothing of it is kept for the next; and it is
//! written in pieces of [`PIECE_ROWS`] entries, so that ten thousand of them hold up no shard and fill no memory.

pub mod base;
pub mod epg;
pub mod escape;
pub mod guide;
pub mod playlist;
pub mod tuner;
pub mod xtream;

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Serialize;

use self::base::Base;
use crate::account::Credentials;
use crate::account::secret::Secret;
use crate::config::Channel;
use crate::guide::{Shelf, cut};

/// A body that is written in pieces: an opening, an entry for each listed channel or programme, shelves of a guide as they
/// are, a closing.
///
/// Shape: the same pieces however often they are written, so that the length can be counted before the first is sent.
pub struct Listing<'c> {
    /// What the body is.
    pub content_type: &'static str,
    opening: String,
    /// How many entries there are.
    rows: usize,
    write: RowWriter<'c>,
    separator: &'static str,
    shelves: Vec<Arc<Shelf>>,
    closing: &'static str,
}

/// Appends one channel to a body.
type Writer = fn(&mut String, &Entry<'_>, &Asker);

/// Appends one entry, counted from 0, to a body.
type RowWriter<'c> = Box<dyn Fn(&mut String, usize, &Asker) + 'c>;

impl<'c> Listing<'c> {
    /// A body without channels.
    #[must_use]
    pub fn short(content_type: &'static str, text: String) -> Self {
        Self::new(content_type, text, Vec::new(), |_, _, _| ())
    }

    fn new(
        content_type: &'static str,
        opening: String,
        entries: Vec<Entry<'c>>,
        write: Writer,
    ) -> Self {
        let rows = entries.len();
        let write_row = move |out: &mut String, index: usize, asker: &Asker| {
            if let Some(entry) = entries.get(index) {
                write(out, entry, asker);
            }
        };
        Self::of_rows(content_type, opening, rows, Box::new(write_row))
    }

    fn of_rows(
        content_type: &'static str,
        opening: String,
        rows: usize,
        write: RowWriter<'c>,
    ) -> Self {
        Self {
            content_type,
            opening,
            rows,
            write,
            separator: "",
            shelves: Vec::new(),
            closing: "",
        }
    }

    fn between(self, separator: &'static str, closing: &'static str) -> Self {
        Self {
            separator,
            closing,
            ..self
        }
    }

    /// How many pieces there are, at least one.
    #[must_use]
    pub fn pieces(&self) -> usize {
        self.rows.div_ceil(PIECE_ROWS).max(1)
    }

    /// What is sent after the pieces as it is; then comes the [`Listing::closing`], which is no part of a piece any more.
    #[must_use]
    pub fn shelves(&self) -> &[Arc<Shelf>] {
        &self.shelves
    }

    /// What ends the body after the shelves.
    #[must_use]
    pub fn closing(&self) -> &'static str {
        self.closing
    }

    /// Writes one piece, counted from 0; beyond the last there is nothing.
    #[must_use]
    pub fn piece(&self, index: usize, asker: &Asker) -> String {
        let mut text = String::new();
        if index == 0 {
            text.push_str(&self.opening);
        }
        let first = index.saturating_mul(PIECE_ROWS);
        for row in first..first.saturating_add(PIECE_ROWS).min(self.rows) {
            if row > 0 {
                text.push_str(self.separator);
            }
            (self.write)(&mut text, row, asker);
        }
        if index + 1 == self.pieces() && self.shelves.is_empty() {
            text.push_str(self.closing);
        }
        text
    }
}

impl fmt::Debug for Listing<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Listing")
            .field("content_type", &self.content_type)
            .field("rows", &self.rows)
            .field("shelves", &self.shelves.len())
            .finish_non_exhaustive()
    }
}

/// A channel in its place among the others.
#[derive(Clone, Copy, Debug)]
pub struct Entry<'c> {
    channel: &'c Channel,
    /// The name of its category.
    group: &'c str,
    /// The number of its category, from 1.
    category: u32,
}

impl<'c> Entry<'c> {
    /// Every channel, in the order of the configuration; categories are numbered in the order in which they appear.
    fn all(channels: impl IntoIterator<Item = &'c Channel>) -> Vec<Self> {
        let mut numbers: HashMap<&str, u32> = HashMap::new();
        let mut next = 1;
        let placed = channels.into_iter().map(|channel| {
            let group = channel.group.as_deref().unwrap_or(UNGROUPED);
            let category = *numbers.entry(group).or_insert(next);
            next += u32::from(category == next);
            Self {
                channel,
                group,
                category,
            }
        });
        placed.collect()
    }

    /// The first entry of each category.
    fn categories(channels: impl IntoIterator<Item = &'c Channel>) -> Vec<Self> {
        let mut entries = Self::all(channels);
        let mut next = 1;
        entries.retain(|entry| {
            let is_first = entry.category == next;
            next += u32::from(is_first);
            is_first
        });
        entries
    }

    /// What joins the channel with a program guide.
    fn epg_id(&self) -> Cow<'c, str> {
        cut::key(self.channel)
    }

    fn logo(&self) -> &str {
        self.channel.logo.as_ref().map_or("", |url| url.as_str())
    }
}

/// Who is answered: the address under which an app reaches this server, and the account it uses.
///
/// `Debug` shows no account.
#[derive(Clone)]
pub struct Asker {
    base: Base,
    user: String,
    password: Secret,
    /// User and password as a path carries them.
    account_path: String,
    /// The same as a query carries them; nothing if the app gave none.
    account_query: String,
    standing: Standing,
}

/// How an account stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Whether its time is over.
    pub is_expired: bool,
    /// When that is; `None` for never.
    ///
    /// Unit: seconds since 1970.
    pub expires_s: Option<u64>,
    /// Viewers it has now.
    pub viewers: usize,
    /// Viewers it may have.
    pub viewers_max: usize,
}

impl Standing {
    /// Of one that may have so many viewers and has none, for ever.
    #[must_use]
    pub const fn unlimited(viewers_max: usize) -> Self {
        Self {
            is_expired: false,
            expires_s: None,
            viewers: 0,
            viewers_max,
        }
    }
}

impl Asker {
    /// An app that gave these credentials, or none because there are no accounts.
    #[must_use]
    pub fn new(base: Base, credentials: Option<&Credentials>, standing: Standing) -> Self {
        let user = credentials.map_or(ANYBODY, |it| it.user.as_str());
        let password = credentials.map_or(ANYBODY, |it| it.password.expose());
        // Without accounts whatever was given passes, but a path carries not everything.
        let segment = |text: &str| {
            let is_carried = !matches!(text, "" | "." | "..") && !text.contains(['/', '\\']);
            let text = if is_carried { text } else { ANYBODY };
            utf8_percent_encode(text, ESCAPED).to_string()
        };
        let value = |text| utf8_percent_encode(text, ESCAPED);
        let account_query = match credentials {
            Some(_) => format!("?username={}&password={}", value(user), value(password)),
            None => String::new(),
        };
        Self {
            base,
            account_query,
            user: user.to_owned(),
            account_path: format!("{}/{}", segment(user), segment(password)),
            password: Secret::new(password),
            standing,
        }
    }

    /// Whether the time of its account is over.
    #[must_use]
    pub fn is_expired(&self) -> bool {
        self.standing.is_expired
    }

    /// Where the app finds the guide.
    fn guide_url(&self) -> String {
        format!("{}/xmltv.php{}", self.base, self.account_query)
    }

    /// Where the app watches a channel.
    fn channel_url(&self, channel: &Channel) -> String {
        format!("{}/live/{}/{}.ts", self.base, self.account_path, channel.id)
    }
}

impl fmt::Debug for Asker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Asker")
            .field("base", &self.base)
            .field("standing", &self.standing)
            .finish_non_exhaustive()
    }
}

/// Text and numbers alone can always be written; were they not, the app would find nothing there.
fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

const JSON: &str = "application/json; charset=utf-8";

const XML: &str = "application/xml; charset=utf-8";

const XML_DECLARATION: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n";

/// How many channels or programmes one piece of a body has, some 20 to 80 KB.
pub const PIECE_ROWS: usize = 100;

/// The category of channels that name none: apps leave out what is in no category.
const UNGROUPED: &str = "Channels";

/// User and password in URLs while there are no accounts and the app gave none.
const ANYBODY: &str = "any";

/// What is escaped in a path's segment: everything that a player or a proxy could take for something else.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

#[cfg(test)]
pub(crate) mod tests;
