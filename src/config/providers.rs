//! What stands any number of times for what providers allow: `[[provider]]`.
//!
//! Who may connect when is `upstream::provider`'s business. The rule: an upstream belongs to one provider at most, and
//! which one is told by its URL alone.

use std::collections::HashMap;
use std::time::Duration;

use percent_encoding::percent_decode_str;
use url::{Host, Url};

use super::entries::repeats;
use super::error::Fault;
use super::read::{Reader, Report, shown};
use super::tree::Node;
use crate::upstream::provider::ledger::Terms;
use crate::upstream::provider::name::ProviderName;

/// One `[[provider]]`: somebody who counts the connections of a subscription.
#[derive(Clone, PartialEq, Eq)]
pub struct Provider {
    /// What it is called. Shape: without one, its place in the file from 1; no two have the same.
    pub name: ProviderName,
    /// The host of its URLs. Shape: as in a parsed URL.
    pub host: String,
    /// Their port, if it is not any.
    pub port: Option<u16>,
    /// The user in its URLs, if it is not any.
    pub user: Option<String>,
    /// How many connections it allows, and how it counts. Bound: 0 (any number) to 10,000, 0 to 10 min.
    pub terms: Terms,
}

impl Provider {
    /// The provider of everything at the same host and port and of the same user as `url`, as a playlist's URL names it.
    #[must_use]
    pub fn of_url(name: ProviderName, url: &Url, terms: Terms) -> Self {
        Self {
            name,
            host: url.host_str().unwrap_or_default().to_owned(),
            port: url.port_or_known_default(),
            user: user_of(url),
            terms,
        }
    }

    /// Which of these an URL belongs to: the one that says most about it.
    #[must_use]
    pub fn of<'p>(providers: &'p [Self], url: &Url) -> Option<&'p Self> {
        let user = user_of(url);
        let fitting = providers.iter().filter(|it| it.fits(url, user.as_deref()));
        // Of two that say as much, the first.
        fitting
            .rev()
            .max_by_key(|it| (it.user.is_some(), it.port.is_some()))
    }

    fn fits(&self, url: &Url, user: Option<&str>) -> bool {
        let is_host = url.host_str() == Some(&self.host);
        let is_port = self.port.is_none() || self.port == url.port_or_known_default();
        let is_user = self.user.is_none() || self.user.as_deref() == user;
        is_host && is_port && is_user
    }
}

impl std::fmt::Debug for Provider {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Provider")
            .field("name", &self.name)
            .field("terms", &self.terms)
            .finish_non_exhaustive()
    }
}

/// Reads every `[[provider]]`.
pub(super) fn providers(nodes: Vec<(String, Node)>, report: &mut Report) -> Vec<Provider> {
    let mut first_of_name = HashMap::new();
    let mut first_of_place = HashMap::new();
    let mut providers = Vec::with_capacity(nodes.len());
    for (index, (path, node)) in nodes.into_iter().enumerate() {
        let mut reader = Reader::new(report, path, node);
        let name = reader.parsed("name", |text| {
            text.parse::<ProviderName>()
                .map_err(|_refused| Fault::NotAProviderName {
                    value: shown(&text),
                })
        });
        let name = name
            .map(|(name, _)| name)
            .or_else(|| (index + 1).to_string().parse().ok());
        let place = reader.required("host", |text| place(&text));
        let user = reader.parsed("user", |text| match text.is_empty() {
            true => Err(Fault::Missing {
                allowed: "a user of the provider's URLs is needed",
            }),
            false => Ok(text),
        });
        if !reader.has("connections_max") {
            reader.missing("connections_max", "a whole number from 0 is needed");
        }
        let connections_max = reader.size("connections_max", 0..=10_000, 0);
        let release = reader.millis("release_ms", 0..=600_000, Duration::ZERO);
        let user = user.map(|(user, _)| user);
        let name_origin = reader.origin_of(&["name"]);
        if let Some(name) = name
            && let Some(first) = repeats(&mut first_of_name, name, &name_origin)
        {
            let value = name.to_string();
            reader.fault("name", name_origin, Fault::Duplicate { value, first });
        }
        let host_origin = reader.origin_of(&["host"]);
        if let Some((place, _)) = &place
            && let Some(first) = repeats(
                &mut first_of_place,
                (place.clone(), user.clone()),
                &host_origin,
            )
        {
            let value = "this host with this user".into();
            reader.fault("host", host_origin, Fault::Duplicate { value, first });
        }
        reader.finish();
        if let (Some(name), Some(((host, port), _))) = (name, place) {
            providers.push(Provider {
                name,
                host,
                port,
                user,
                terms: Terms {
                    connections_max,
                    release,
                },
            });
        }
    }
    providers
}

/// A host, and the port if there is one.
fn place(text: &str) -> Result<(String, Option<u16>), Fault> {
    let refused = || Fault::NotAHost { value: shown(text) };
    let (host, port) = match text.rsplit_once(':') {
        // The colons of an IPv6 address stand in brackets.
        Some((host, port)) if !port.ends_with(']') => {
            let port = port.parse().ok().filter(|port| *port != 0);
            (host, Some(port.ok_or_else(refused)?))
        }
        _ => (text, None),
    };
    let host = Host::parse(host).map_err(|_unusable| refused())?;
    Ok((host.to_string(), port))
}

/// The user that a URL names: before its host, in its query, or as an Xtream path does.
fn user_of(url: &Url) -> Option<String> {
    let decoded = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
    if !url.username().is_empty() {
        return Some(decoded(url.username()));
    }
    let mut pairs = url.query_pairs();
    if let Some((_, user)) = pairs.find(|(name, _)| matches!(&**name, "username" | "user")) {
        return Some(user.into_owned());
    }
    let parts: Vec<&str> = url
        .path()
        .split('/')
        .filter(|part| !part.is_empty())
        .collect();
    match parts.as_slice() {
        ["live", user, _, _] | [user, _, _] => Some(decoded(user)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn provider(name: &str, host: &str, user: Option<&str>) -> Provider {
        let (host, port) = place(host).unwrap();
        Provider {
            name: name.parse().unwrap(),
            host,
            port,
            user: user.map(str::to_owned),
            terms: Terms {
                connections_max: 1,
                release: Duration::ZERO,
            },
        }
    }

    fn of(providers: &[Provider], url: &str) -> Option<String> {
        let provider = Provider::of(providers, &Url::parse(url).unwrap());
        provider.map(|it| it.name.to_string())
    }

    #[test]
    fn a_url_belongs_to_the_provider_that_says_most_about_it() {
        let providers = [
            provider("host", "tv.example", None),
            provider("port", "TV.example:8080", None),
            provider("anna", "tv.example", Some("anna")),
            provider("six", "[2001:db8::1]:80", None),
        ];
        for (url, expected) in [
            ("http://tv.example/a.ts", Some("host")),
            ("https://tv.example/live/ben/secret/7.ts", Some("host")),
            ("http://tv.example:8080/ben/secret/7", Some("port")),
            ("http://tv.example:8080/live/anna/secret/7.ts", Some("anna")),
            ("http://tv.example/anna/secret/7", Some("anna")),
            ("http://anna:secret@tv.example/7", Some("anna")),
            (
                "http://tv.example/get.php?username=anna&password=x",
                Some("anna"),
            ),
            ("http://tv.example/an%6Ea/secret/7", Some("anna")),
            ("http://[2001:db8::1]/7", Some("six")),
            ("https://[2001:db8::1]/7", None),
            ("http://other.example/anna/secret/7", None),
        ] {
            assert_eq!(of(&providers, url).as_deref(), expected, "{url}");
        }
    }

    #[test]
    fn the_provider_of_a_playlist_is_that_of_its_channels() {
        let terms = Terms {
            connections_max: 2,
            release: Duration::ZERO,
        };
        let list = Url::parse("http://tv.example/get.php?username=anna&password=x").unwrap();
        let providers = [Provider::of_url("list".parse().unwrap(), &list, terms)];
        for (url, is_same) in [
            ("http://tv.example:80/live/anna/x/7.ts", true),
            ("http://tv.example/live/ben/x/7.ts", false),
            ("http://tv.example:81/live/anna/x/7.ts", false),
        ] {
            assert_eq!(of(&providers, url).is_some(), is_same, "{url}");
        }
    }

    #[test]
    fn what_is_no_host_is_refused() {
        for text in [
            "", "a b", "http://a", "a:0", "a:b", "a:70000", "a/b", "u@a", "[::1", "::1:x",
        ] {
            assert!(place(text).is_err(), "{text}");
        }
        assert_eq!(
            place("127.0.0.1:8080").unwrap(),
            ("127.0.0.1".into(), Some(8080))
        );
        assert_eq!(place("[::1]").unwrap(), ("[::1]".into(), None));
    }
}
