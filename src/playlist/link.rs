//! Where an entry of a list leads: an upstream, or why it is none. (pure)
//!
//! How the entry is written is read in `m3u.rs`. The rules: what no fetch could read is left out and said why, not tried;
//! and no list of another host leads to what only this host can see.

use std::net::{IpAddr, SocketAddr};

use percent_encoding::percent_decode_str;
use url::{Host, Url};

use super::m3u::Entry;
use crate::channel::id::{Content, Hash};
use crate::config::{Upstream, fetchable, is_sendable};
use crate::upstream::connect::Trust;

/// What a list's own place says of its links.
#[derive(Clone, Copy, Debug)]
pub struct Origin<'a> {
    /// The User-Agent of requests whose entry hints at none.
    pub user_agent: Option<&'a str>,
    /// Whether a link may lead to this very host: the list lies here too.
    pub is_local: bool,
}

/// Why an entry is no channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Skip {
    /// It names no address that could be asked.
    Address,
    /// It is a film, a recording or sound alone.
    File,
    /// It is HLS or DASH.
    Hls,
    /// It leads to what only this host or its link can see, and the list came from elsewhere.
    Local,
    /// There are as many channels as may be.
    Over,
    /// It is neither HTTP nor AceStream.
    Scheme,
    /// The very same entry stands there already.
    Twice,
}

impl Skip {
    /// Every member, in the order of declaration.
    pub const ALL: [Self; 7] = [
        Self::Address,
        Self::File,
        Self::Hls,
        Self::Local,
        Self::Over,
        Self::Scheme,
        Self::Twice,
    ];

    /// How the log calls it.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Address => "bad_address",
            Self::File => "file",
            Self::Hls => "hls",
            Self::Local => "local",
            Self::Over => "over_channels_max",
            Self::Scheme => "scheme",
            Self::Twice => "twice",
        }
    }
}

/// Where an entry's bytes come from.
///
/// # Errors
/// Why that is nowhere.
pub fn upstream(entry: &Entry<'_>, origin: Origin<'_>) -> Result<Upstream, Skip> {
    let (link, hints) = entry.link.split_once('|').unwrap_or((&entry.link, ""));
    let link = link.trim();
    if let Some(content) = engine_link(link) {
        return content.map(ace).ok_or(Skip::Address);
    }
    let scheme = link.split_once(':').map_or("", |(scheme, _)| scheme);
    match scheme.to_ascii_lowercase().as_str() {
        "http" | "https" => {}
        "" => return Err(Skip::Address),
        _ => return Err(Skip::Scheme),
    }
    let url = fetchable(&link.replace(' ', "%20")).map_err(|_refused| Skip::Address)?;
    if let Some(content) = engine_content(&url) {
        return Ok(ace(content));
    }
    refuse(&url, origin)?;
    let (user_agent, headers) = asked_with(entry, hints);
    let user_agent = user_agent.or_else(|| origin.user_agent.map(str::to_owned));
    Ok(Upstream::Http {
        url,
        user_agent,
        headers,
    })
}

fn ace(content: Content) -> Upstream {
    let user_agent = None;
    Upstream::Ace {
        content,
        user_agent,
    }
}

/// The content of a link that is for the engine by its scheme; `Some(None)` is one that names none.
fn engine_link(link: &str) -> Option<Option<Content>> {
    let (scheme, rest) = link.split_once(':')?;
    if !scheme.eq_ignore_ascii_case("acestream") {
        return None;
    }
    let rest = rest.trim_start_matches('/');
    if let Some(query) = rest.strip_prefix('?') {
        let pairs = url::form_urlencoded::parse(query.as_bytes());
        return Some(named_content(pairs));
    }
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (hash, _) = rest.split_at(end);
    Some(hash.parse().ok().map(Content::ContentId))
}

/// The content that a URL asks some engine for: it is asked of the configured one.
fn engine_content(url: &Url) -> Option<Content> {
    let is_engine = matches!(url.path(), "/ace/getstream" | "/ace/manifest.m3u8");
    is_engine
        .then(|| named_content(url.query_pairs()))
        .flatten()
}

fn named_content(pairs: url::form_urlencoded::Parse<'_>) -> Option<Content> {
    let mut contents = pairs.filter_map(|(name, value)| {
        let hash: Hash = value.parse().ok()?;
        match name.as_ref() {
            "content_id" | "id" => Some(Content::ContentId(hash)),
            "infohash" => Some(Content::Infohash(hash)),
            _ => None,
        }
    });
    contents.next()
}

/// Refuses what cannot be a channel, and what a list of another host may not name.
fn refuse(url: &Url, origin: Origin<'_>) -> Result<(), Skip> {
    let path = url.path().to_ascii_lowercase();
    let ending = path.rsplit_once('.').map_or("", |(_, ending)| ending);
    let asks_hls = url
        .query_pairs()
        .any(|(name, value)| FORMATS.contains(&name.as_ref()) && value == "m3u8");
    if asks_hls || PIECES.contains(&ending) {
        return Err(Skip::Hls);
    }
    let is_panels = FOLDERS.iter().any(|folder| path.starts_with(folder));
    if FILES.contains(&ending) || is_panels {
        return Err(Skip::File);
    }
    match !origin.is_local && is_near(url) {
        true => Err(Skip::Local),
        false => Ok(()),
    }
}

/// Whether a URL names this host or its link, by address or as localhost.
pub(super) fn is_near(url: &Url) -> bool {
    let ip: IpAddr = match url.host() {
        Some(Host::Ipv4(ip)) => ip.into(),
        Some(Host::Ipv6(ip)) => ip.into(),
        Some(Host::Domain(name)) => {
            let name = name.trim_end_matches('.');
            return name == "localhost" || name.ends_with(".localhost");
        }
        None => return true,
    };
    let from_elsewhere = Trust::Redirect {
        from_loopback: false,
    };
    !from_elsewhere.allows(SocketAddr::new(
        ip,
        url.port_or_known_default().unwrap_or(0),
    ))
}

/// The User-Agent and the headers that an entry hints at; what stands at the link wins over the lines before it, and
/// those over the attributes.
fn asked_with(entry: &Entry<'_>, hints: &str) -> (Option<String>, Vec<(String, String)>) {
    let of_link = hints.split('&').filter_map(|hint| hint.split_once('='));
    let of_link = of_link.map(|(name, value)| {
        let value = percent_decode_str(value).decode_utf8_lossy();
        (name.trim().to_ascii_lowercase(), value.into_owned())
    });
    let before = entry.hints.iter().chain(&entry.attributes).cloned();
    let (mut user_agent, mut headers) = (None, Vec::new());
    for (name, value) in of_link.chain(before) {
        let name = name.strip_prefix("http-").unwrap_or(&name);
        let value = value.trim();
        let is_agent = name == "user-agent";
        let header = match name {
            "user-agent" => "User-Agent",
            "referer" | "referrer" => "Referer",
            "origin" => "Origin",
            "cookie" => "Cookie",
            "authorization" => "Authorization",
            _ => continue,
        };
        if value.is_empty() || !is_sendable(header, value) {
            continue;
        }
        if is_agent {
            user_agent.get_or_insert_with(|| value.to_owned());
        } else if !headers.iter().any(|(it, _)| it == header) {
            headers.push((header.to_owned(), value.to_owned()));
        }
    }
    (user_agent, headers)
}

/// Parameters that ask for a format.
const FORMATS: [&str; 4] = ["output", "type", "format", "extension"];

/// How the names of playlists of one channel end.
const PIECES: [&str; 3] = ["m3u8", "m3u", "mpd"];

/// How the names of films, recordings and sound end.
const FILES: [&str; 14] = [
    "aac", "avi", "divx", "flac", "flv", "m4a", "m4v", "mkv", "mov", "mp3", "mp4", "ogg", "webm",
    "wmv",
];

/// Under what panels keep films and series.
const FOLDERS: [&str; 2] = ["/movie/", "/series/"];

#[cfg(test)]
mod tests;
