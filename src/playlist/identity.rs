//! By what an entry is known again when its list is fetched anew. (pure)
//!
//! Who keeps which number is decided in `numbers.rs`. Providers change all there is: they rename channels, move hosts, give
//! out new tokens and passwords, sort anew. Rarely all at once, so an entry is known by its names or by its place. The
//! rule: nothing of an identity holds a part of a URL, for it is written to a file.

use serde::{Deserialize, Serialize};
use url::Url;

use crate::config::Upstream;

/// By what an entry is known again.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Identity {
    /// What players show.
    pub name: String,
    /// Its name in a program guide; empty if it has none.
    pub tvg_id: String,
    /// A hash of where its bytes come from, without what changes from fetch to fetch; 0 if that says nothing.
    pub place: u64,
}

/// A hash of where an upstream is, without user, password and token.
#[must_use]
pub fn place(upstream: &Upstream) -> u64 {
    match upstream {
        Upstream::Ace { content, .. } => hash(&[&content.to_string()]),
        Upstream::Demo { .. } => 0,
        Upstream::Http { url, .. } => place_of_url(url),
    }
}

fn place_of_url(url: &Url) -> u64 {
    let port = url.port_or_known_default().unwrap_or(0).to_string();
    let host = url.host_str().unwrap_or_default();
    let path = url.path().trim_start_matches('/');
    // Of an Xtream path only the number outlives a new password.
    let mut parts: Vec<&str> = path.split('/').collect();
    let is_xtream = match parts.as_slice() {
        ["live", _, _, number] | [_, _, number] => is_number(number),
        _ => false,
    };
    if is_xtream {
        parts.drain(..parts.len().saturating_sub(1));
    }
    let path = parts.join("/");
    let pairs = url.query_pairs();
    let mut kept: Vec<String> = pairs
        .filter(|(name, _)| !is_secret(name))
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    kept.sort();
    hash(&[host, &port, &path, &kept.join("&")])
}

/// Digits, with or without an ending.
fn is_number(text: &str) -> bool {
    let (number, _) = text.split_once('.').unwrap_or((text, ""));
    !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit())
}

/// Whether a parameter of this name is one that changes from fetch to fetch.
fn is_secret(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    SECRETS.iter().any(|secret| name.contains(secret)) || SHORT_SECRETS.contains(&name.as_str())
}

/// FNV-1a over the parts, which is the same on every build; never 0.
fn hash(parts: &[&str]) -> u64 {
    let bytes = parts.iter().flat_map(|part| part.bytes().chain([0]));
    let hash = bytes.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    hash.max(1)
}

/// What the names of such parameters contain.
const SECRETS: [&str; 11] = [
    "auth", "expire", "hash", "key", "pass", "secret", "session", "sign", "time", "token", "user",
];

/// Names of such parameters that are too short to be looked for in others.
const SHORT_SECRETS: [&str; 9] = ["e", "exp", "hmac", "md5", "pwd", "sid", "sig", "st", "t"];

#[cfg(test)]
mod tests {
    use super::*;

    fn of(url: &str) -> u64 {
        place(&Upstream::Http {
            url: Url::parse(url).unwrap(),
            user_agent: None,
            headers: Vec::new(),
        })
    }

    #[test]
    fn a_place_outlives_passwords_and_tokens() {
        for (one, other) in [
            ("http://h/live/anna/old/7.ts", "http://h/live/anna/new/7.ts"),
            ("http://h/anna/old/7", "http://h/ben/new/7"),
            ("http://anna:old@h/a.ts", "http://h/a.ts"),
            (
                "http://h/a.ts?token=1&c=7",
                "http://h/a.ts?c=7&token=2&expires=9",
            ),
            ("http://h:80/a.ts#x", "http://h/a.ts"),
        ] {
            assert_eq!(of(one), of(other), "{one} {other}");
        }
    }

    #[test]
    fn different_places_are_told_apart() {
        let places = [
            "http://h/live/anna/p/7.ts",
            "http://h/live/anna/p/8.ts",
            "http://other/live/anna/p/7.ts",
            "http://h:8080/live/anna/p/7.ts",
            "http://h/a/b/c.ts",
            "http://h/a/d/c.ts",
            "http://h/play.php?c=7",
            "http://h/play.php?c=8",
        ]
        .map(of);
        for (index, place) in places.iter().enumerate() {
            assert!(!places[..index].contains(place), "{index}");
        }
    }
}
