//! X-Forwarded-For, -Proto, -Host and Forwarded: for whom a front asks, and how it was asked. (pure)
//!
//! The rule: only what a front wrote that the configuration names counts. Each front adds at the right end, so lists are
//! read from there, and no further than the first address that is not a front's; where two headers name different viewers,
//! the request is refused, because a viewer may have sent one of them.
//!
//! Source: RFC 7239.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use thiserror::Error;

use crate::config::Front;
use crate::http::request::{Request, authority};

/// Takes into a request what fronts say of it, if `front` believes the one that the connection is for, and tells who asks.
///
/// Shape: the port is 0 if a field names the address.
///
/// # Errors
/// [`TwoViewers`]: to believe neither header would take the viewer for the front.
pub fn attribute(
    request: &mut Request,
    opened_for: SocketAddr,
    front: &Front,
) -> Result<SocketAddr, TwoViewers> {
    if !front.trusts(opened_for.ip()) {
        return Ok(opened_for);
    }
    let told = request.forwarded.told(|address| front.trusts(address))?;
    if let Some(scheme) = told.scheme {
        request.scheme = scheme;
    }
    if told.host.is_some() {
        request.host = told.host;
    }
    Ok(told
        .address
        .map_or(opened_for, |address| SocketAddr::new(address, 0)))
}

/// Two headers that fronts write contradict one another.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("X-Forwarded-For and Forwarded name different viewers")]
pub struct TwoViewers;

/// The header fields of one request that fronts write, as they were sent.
///
/// Bound: as long as the head of the request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Forwarded {
    addresses: Vec<String>,
    schemes: Vec<String>,
    hosts: Vec<String>,
    standard: Vec<String>,
}

/// What believed fronts say about a request; `None` where they say nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Told {
    /// Who asks.
    pub address: Option<IpAddr>,
    /// How the outermost front was asked.
    pub scheme: Option<Scheme>,
    /// Under which name it was asked. Shape: a name or an address, perhaps with a port.
    pub host: Option<String>,
}

/// How a request reached us, or the front before us: what the URLs begin with that lead back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Scheme {
    /// In the clear.
    #[default]
    Http,
    /// In TLS.
    Https,
}

impl Scheme {
    fn read(text: &str) -> Option<Self> {
        match text {
            text if text.eq_ignore_ascii_case("http") => Some(Self::Http),
            text if text.eq_ignore_ascii_case("https") => Some(Self::Https),
            _ => None,
        }
    }
}

impl fmt::Display for Scheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Http => "http",
            Self::Https => "https",
        })
    }
}

impl Forwarded {
    /// Takes a header field if it is one of those that fronts write.
    pub fn take(&mut self, name: &str, value: &[u8]) {
        let places = [
            ("X-Forwarded-For", &mut self.addresses),
            ("X-Forwarded-Proto", &mut self.schemes),
            ("X-Forwarded-Host", &mut self.hosts),
            ("Forwarded", &mut self.standard),
        ];
        for (known, place) in places {
            if name.eq_ignore_ascii_case(known) {
                place.push(String::from_utf8_lossy(value).into_owned());
            }
        }
    }

    /// What fronts say, if the one that sent the request is believed; `is_front` says whether an address is a front's.
    ///
    /// # Errors
    /// [`TwoViewers`].
    pub fn told(&self, is_front: impl Fn(IpAddr) -> bool) -> Result<Told, TwoViewers> {
        let entries = listed(&self.addresses).rev();
        let by_list = outermost(entries.map(|entry| (node(entry), ())), &is_front);
        let elements = self.elements();
        let by_standard = outermost(elements.iter().rev().map(|it| (it.node, *it)), &is_front);
        let by_list = by_list.map(|(address, ())| address);
        let address = match (by_list, by_standard.map(|(address, _)| address)) {
            (Some(one), Some(other)) if one != other => return Err(TwoViewers),
            (one, other) => one.or(other),
        };
        // An element that names nobody may still say how the nearest front was asked.
        let element = by_standard.map(|(_, element)| element);
        let element = element.or_else(|| elements.last().copied());
        let scheme = listed(&self.schemes).next_back();
        let host = listed(&self.hosts).next_back();
        Ok(Told {
            address,
            scheme: scheme
                .or_else(|| element.and_then(|it| it.scheme))
                .and_then(Scheme::read),
            host: host
                .or_else(|| element.and_then(|it| it.host))
                .and_then(|host| authority(host.as_bytes()))
                .map(str::to_owned),
        })
    }

    /// The elements of all Forwarded fields that can be read, in order: of a field that cannot, nothing counts, nor does
    /// anything before it.
    fn elements(&self) -> Vec<Element<'_>> {
        let mut elements = Vec::new();
        for field in &self.standard {
            match split(field, ',') {
                Some(parts) => {
                    let parts = parts.into_iter().filter(|part| !part.is_empty());
                    elements.extend(parts.map(|part| Element::read(part).unwrap_or_default()));
                }
                None => elements = vec![Element::default()],
            }
        }
        elements
    }
}

/// What one front wrote into a Forwarded field.
#[derive(Clone, Copy, Debug, Default)]
struct Element<'a> {
    node: Option<IpAddr>,
    scheme: Option<&'a str>,
    host: Option<&'a str>,
}

impl<'a> Element<'a> {
    /// `None` if it is malformed or says a thing twice.
    fn read(text: &'a str) -> Option<Self> {
        let (mut address, mut scheme, mut host) = (None, None, None);
        for pair in split(text, ';')? {
            if pair.is_empty() {
                continue;
            }
            let (name, value) = pair.split_once('=')?;
            let place = match name {
                name if name.eq_ignore_ascii_case("for") => &mut address,
                name if name.eq_ignore_ascii_case("proto") => &mut scheme,
                name if name.eq_ignore_ascii_case("host") => &mut host,
                _ => continue,
            };
            if place.replace(unquoted(value)?).is_some() {
                return None;
            }
        }
        Some(Self {
            node: address.and_then(node),
            scheme,
            host,
        })
    }
}

/// Walks from the nearest front outwards and finds the first address that is none, else the last that can be read.
fn outermost<T>(
    entries: impl Iterator<Item = (Option<IpAddr>, T)>,
    is_front: impl Fn(IpAddr) -> bool,
) -> Option<(IpAddr, T)> {
    let mut found = None;
    for (address, beside) in entries {
        let Some(address) = address else { break };
        found = Some((address, beside));
        if !is_front(address) {
            break;
        }
    }
    found
}

/// The entries of a list that may stand in several fields.
fn listed(fields: &[String]) -> impl DoubleEndedIterator<Item = &str> {
    fields
        .iter()
        .flat_map(|field| field.split(','))
        .map(str::trim)
        .filter(|entry| !entry.is_empty())
}

/// Splits outside quoted strings; `None` if a quote is left open.
fn split(text: &str, mark: char) -> Option<Vec<&str>> {
    let mut parts = Vec::new();
    let (mut begin, mut is_quoted, mut is_escaped) = (0, false, false);
    for (at, letter) in text.char_indices() {
        match letter {
            _ if is_escaped => is_escaped = false,
            '\\' if is_quoted => is_escaped = true,
            '"' => is_quoted = !is_quoted,
            letter if letter == mark && !is_quoted => {
                parts.push(text.get(begin..at)?.trim());
                begin = at + letter.len_utf8();
            }
            _ => {}
        }
    }
    parts.push(text.get(begin..)?.trim());
    (!is_quoted).then_some(parts)
}

/// A value without its quotes; no value that counts here needs a quote or an escape within.
fn unquoted(value: &str) -> Option<&str> {
    let inner = match value.strip_prefix('"') {
        Some(rest) => rest.strip_suffix('"')?,
        None => value,
    };
    (!inner.contains(['"', '\\'])).then_some(inner)
}

/// An address with or without a port, an IPv6 address with or without brackets.
fn node(text: &str) -> Option<IpAddr> {
    let bare = text.strip_prefix('[').and_then(|it| it.strip_suffix(']'));
    let address: IpAddr = match text.parse::<SocketAddr>() {
        Ok(with_port) => with_port.ip(),
        Err(_) => bare.unwrap_or(text).parse().ok()?,
    };
    Some(address.to_canonical())
}

#[cfg(test)]
mod tests;
