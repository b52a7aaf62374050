//! The PROXY header: for whom a front has opened a connection. (pure)
//!
//! Whether the one who says so is believed is decided in `connection`. The rule: the verdict is a function of the bytes and
//! never of how they were cut; every error is found at a fixed place and reported as soon as that place has arrived.
//!
//! Source: "The PROXY protocol", HAProxy Technologies, versions 1 and 2.
#![cfg_attr(not(test), warn(clippy::indexing_slicing))]

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// A whole PROXY header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// For whom the connection is; `None` if the front speaks for itself or does not know.
    pub viewer: Option<SocketAddr>,
    /// Where the first request begins.
    ///
    /// Unit: bytes from the front of what was parsed.
    pub bytes: usize,
}

/// Reads a PROXY header of either version from the front of `bytes`; `None` means more bytes are needed.
///
/// Bound: never `None` for [`HEADER_BYTES_MAX`] bytes or more.
///
/// # Errors
/// [`ProxyError`] when no continuation of `bytes` begins with a PROXY header within the bound.
pub fn parse(bytes: &[u8]) -> Result<Option<Header>, ProxyError> {
    if begins(bytes, BINARY) {
        return binary(bytes);
    }
    if begins(bytes, TEXT) {
        return text(bytes);
    }
    Err(ProxyError::Missing)
}

/// Bytes that do not begin with a PROXY header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProxyError {
    /// A version 2 header that is too short for the addresses it announces.
    #[error("PROXY header with {seen} bytes of addresses: its family takes {needed}")]
    Addresses {
        /// What the header announces.
        seen: usize,
        /// What two addresses with their ports take.
        needed: usize,
    },
    /// A version 2 header whose version, command, family or transport is unknown.
    #[error("PROXY header with an unknown byte {0:#04x}: version 2 knows no such one there")]
    Byte(u8),
    /// A version 1 line that does not name a family, two addresses and two ports.
    #[error("malformed PROXY line: family, two addresses and two ports are required")]
    Line,
    /// Neither version's first bytes.
    #[error("no PROXY header: every connection to this listener has to begin with one")]
    Missing,
    /// Longer than the bound of its version.
    #[error("PROXY header of more than {0} bytes: {0} are allowed")]
    TooLong(usize),
}

/// Whether `bytes` begin with `mark`, as far as they have arrived.
fn begins(bytes: &[u8], mark: &[u8]) -> bool {
    bytes.iter().zip(mark).all(|(seen, wanted)| seen == wanted)
}

/// Version 1: one line of text.
fn text(bytes: &[u8]) -> Result<Option<Header>, ProxyError> {
    let window = bytes.get(..LINE_BYTES_MAX).unwrap_or(bytes);
    let Some(end) = window.windows(2).position(|two| two == b"\r\n") else {
        return if window.len() < LINE_BYTES_MAX {
            Ok(None)
        } else {
            Err(ProxyError::TooLong(LINE_BYTES_MAX))
        };
    };
    let line = window.get(TEXT.len()..end).unwrap_or_default();
    let line = str::from_utf8(line).or(Err(ProxyError::Line))?;
    Ok(Some(Header {
        viewer: viewer_of_line(line)?,
        bytes: end + 2,
    }))
}

fn viewer_of_line(line: &str) -> Result<Option<SocketAddr>, ProxyError> {
    let mut words = line.split(' ');
    let family = words.next().unwrap_or_default();
    if family == "UNKNOWN" {
        return Ok(None);
    }
    let mut word = || words.next().ok_or(ProxyError::Line);
    let (viewer, target) = (word()?, word()?);
    let viewer_port = port(word()?)?;
    // Read for its form alone: where the front was reached says nothing about the viewer.
    port(word()?)?;
    if words.next().is_some() {
        return Err(ProxyError::Line);
    }
    let address = |text: &str| -> Option<IpAddr> {
        match family {
            "TCP4" => text.parse::<Ipv4Addr>().ok().map(IpAddr::V4),
            "TCP6" => text.parse::<Ipv6Addr>().ok().map(IpAddr::V6),
            _ => None,
        }
    };
    let (Some(viewer), Some(_)) = (address(viewer), address(target)) else {
        return Err(ProxyError::Line);
    };
    Ok(Some(SocketAddr::new(viewer, viewer_port)))
}

/// Digits without leading zeros.
fn port(text: &str) -> Result<u16, ProxyError> {
    let is_plain = text.bytes().all(|digit| digit.is_ascii_digit());
    let is_shortest = text == "0" || !text.starts_with('0');
    match text.parse() {
        Ok(port) if is_plain && is_shortest => Ok(port),
        _ => Err(ProxyError::Line),
    }
}

/// Version 2: mark, version and command, family and transport, length, addresses, further values.
fn binary(bytes: &[u8]) -> Result<Option<Header>, ProxyError> {
    let Some(&command) = bytes.get(BINARY.len()) else {
        return Ok(None);
    };
    if !matches!(command, LOCAL | PROXY) {
        return Err(ProxyError::Byte(command));
    }
    let Some(&family) = bytes.get(BINARY.len() + 1) else {
        return Ok(None);
    };
    if command == PROXY && (family >> 4 > 3 || family & 0xf > 2) {
        return Err(ProxyError::Byte(family));
    }
    let Some(&[high, low]) = bytes.get(BINARY.len() + 2..BINARY_BYTES) else {
        return Ok(None);
    };
    let length = usize::from(u16::from_be_bytes([high, low]));
    let whole = BINARY_BYTES + length;
    if whole > HEADER_BYTES_MAX {
        return Err(ProxyError::TooLong(HEADER_BYTES_MAX));
    }
    let needed = match (command, family) {
        (PROXY, TCP4) => 12,
        (PROXY, TCP6) => 36,
        _ => 0,
    };
    if length < needed {
        let seen = length;
        return Err(ProxyError::Addresses { seen, needed });
    }
    let Some(addresses) = bytes.get(BINARY_BYTES..whole) else {
        return Ok(None);
    };
    let viewer = match needed {
        12 => first(addresses)
            .map(|ip: [u8; 4]| Ipv4Addr::from(ip).into())
            .zip(number_at(addresses, 8)),
        36 => first(addresses)
            .map(|ip: [u8; 16]| Ipv6Addr::from(ip).into())
            .zip(number_at(addresses, 32)),
        // The front's own connection, or a family that no viewer here has.
        _ => None,
    };
    Ok(Some(Header {
        viewer: viewer.map(|(ip, port)| SocketAddr::new(ip, port)),
        bytes: whole,
    }))
}

fn first<const N: usize>(bytes: &[u8]) -> Option<[u8; N]> {
    bytes.first_chunk().copied()
}

fn number_at(bytes: &[u8], at: usize) -> Option<u16> {
    first(bytes.get(at..)?).map(u16::from_be_bytes)
}

/// The longest PROXY header that is read: room for what fronts add behind the addresses.
///
/// Unit: bytes.
pub const HEADER_BYTES_MAX: usize = 4096;

/// The longest line of version 1 with its end. Source: the specification, section 2.1.
const LINE_BYTES_MAX: usize = 107;

const TEXT: &[u8] = b"PROXY ";

const BINARY: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

/// Mark, two bytes and the length.
const BINARY_BYTES: usize = 16;

const LOCAL: u8 = 0x20;

const PROXY: u8 = 0x21;

const TCP4: u8 = 0x11;

const TCP6: u8 = 0x21;

#[cfg(test)]
mod tests;
