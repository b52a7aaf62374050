//! Channels from lists: M3U playlists of providers, in files or fetched over HTTP.
//!
//! In the order in which a list becomes channels: `m3u` (entries as they are written), `link` (where one leads), `filter`
//! (which are wanted), `list` (channels without numbers), `identity` and `numbers` (which entry has which number), `stock`
//! (a configuration with them), `keep` (looking for newer lists while corecast runs). The rules: an entry keeps its number
//! whatever becomes of its list; and a list that cannot be had, or is none, takes no channel away.

pub mod filter;
pub mod identity;
pub mod keep;
pub mod link;
pub mod list;
pub mod m3u;
pub mod numbers;
pub mod stock;

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::config::{Config, Playlist, Server};
use crate::playlist::list::List;
use crate::playlist::numbers::Numbers;
use crate::upstream::document::{Document, Limits};

/// The lists that a configuration's channels come from, as they were last seen.
///
/// Ownership: part of a configuration and never changed; a newer list makes another configuration.
#[derive(Clone, Default)]
pub struct Lists {
    /// The configuration without them.
    base: Option<Arc<Config>>,
    /// By the name of the `[[playlist]]`.
    kept: BTreeMap<String, Kept>,
}

impl Lists {
    /// Whether nothing is known of a list but its numbers.
    #[must_use]
    pub fn is_missing(&self, name: &str) -> bool {
        self.kept.get(name).is_none_or(|kept| kept.seen.is_none())
    }

    fn entries(&self, name: &str) -> Option<usize> {
        let seen = self.kept.get(name)?.seen.as_ref()?;
        Some(seen.list.entries)
    }

    fn numbers(&self, name: &str) -> Option<&Arc<Numbers>> {
        self.kept.get(name).map(|kept| &kept.numbers)
    }
}

impl fmt::Debug for Lists {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seen = self.kept.iter().map(|(name, kept)| {
            let channels = kept.seen.as_ref().map_or(0, |it| it.list.channels.len());
            (name, channels)
        });
        f.debug_map().entries(seen).finish()
    }
}

/// One list.
#[derive(Clone)]
struct Kept {
    settings: Playlist,
    /// None has been seen yet, or none that was good.
    seen: Option<Seen>,
    numbers: Arc<Numbers>,
}

/// A good list.
#[derive(Clone)]
pub struct Seen {
    /// As it came, to be read anew with other settings.
    pub bytes: Bytes,
    /// What was read in it.
    pub list: Arc<List>,
}

/// The list as a document that is looked at again and again.
fn document(settings: &Playlist, server: &Server) -> Document {
    let copy = file(settings, server, "kept");
    Document::new(settings.place.clone(), LIMITS, Some(copy))
}

/// Where the numbers of a list are kept.
fn numbers_file(settings: &Playlist, server: &Server) -> PathBuf {
    file(settings, server, "numbers")
}

fn file(settings: &Playlist, server: &Server, ending: &str) -> PathBuf {
    let name = format!("playlist-{}.{ending}", settings.name);
    server.state_dir.join(name)
}

/// Larger than any real list, and slower than any that is not given up.
const LIMITS: Limits = Limits {
    bytes_max: 64 * 1024 * 1024,
    time_max: Duration::from_secs(300),
};
