//! Where viewers connect: an address with a port, or a Unix socket. (pure)
//!
//! Listening itself belongs to `http`. The rule: names are not looked up, and two listeners that would want the same place
//! are told apart before anything is bound.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;

use super::error::Fault;
use super::read::shown;

/// One place to listen at for viewers.
///
/// Shape: displayed as it is written in the configuration: `127.0.0.1:8000`, `[::1]:8000`, `unix:/run/corecast.sock`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Listen {
    /// An IP address and a port; port 0 is any free port.
    Tcp(SocketAddr),
    /// A Unix stream socket. Shape: an absolute path without spaces, commas and control characters.
    /// Bound: [`PATH_BYTES_MAX`].
    Unix(Arc<Path>),
}

impl Listen {
    /// Reads an address or `unix:` and a path.
    pub(super) fn read(text: &str) -> Result<Self, Fault> {
        let refused = || Fault::NotAListener { value: shown(text) };
        let Some(path) = text.strip_prefix(UNIX) else {
            return address(text).map(Self::Tcp).map_err(|_fault| refused());
        };
        let is_usable = path.starts_with('/')
            && !path.ends_with('/')
            && path.len() <= PATH_BYTES_MAX
            && !path.contains(|it: char| it.is_control() || it.is_whitespace() || it == ',');
        match is_usable {
            true => Ok(Self::Unix(Arc::from(Path::new(path)))),
            false => Err(refused()),
        }
    }

    /// Whether this host alone can reach it: loopback, or a file.
    #[must_use]
    pub fn is_local(&self) -> bool {
        match self {
            Self::Tcp(address) => address.ip().is_loopback(),
            Self::Unix(_) => true,
        }
    }

    /// Whether two listeners would want the same place.
    pub(super) fn overlaps(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Tcp(here), Self::Tcp(there)) => is_same_place(*here, *there),
            (Self::Unix(here), Self::Unix(there)) => here == there,
            (Self::Tcp(_), Self::Unix(_)) | (Self::Unix(_), Self::Tcp(_)) => false,
        }
    }
}

impl From<SocketAddr> for Listen {
    fn from(address: SocketAddr) -> Self {
        Self::Tcp(address)
    }
}

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => write!(f, "{address}"),
            Self::Unix(path) => write!(f, "{UNIX}{}", path.display()),
        }
    }
}

/// An IP address and a port to listen on.
///
/// # Errors
/// [`Fault::NotAnAddress`]: names are not looked up, but for `localhost`.
pub(super) fn address(text: &str) -> Result<SocketAddr, Fault> {
    let literal = match text.strip_prefix("localhost:") {
        Some(port) => port
            .parse()
            .ok()
            .map(|port| SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port)),
        None => text.parse().ok(),
    };
    literal.ok_or_else(|| Fault::NotAnAddress { value: shown(text) })
}

fn is_same_place(one: SocketAddr, other: SocketAddr) -> bool {
    let (here, there) = (one.ip(), other.ip());
    let is_same_host = here == there
        || (here.is_ipv4() == there.is_ipv4() && (here.is_unspecified() || there.is_unspecified()));
    one.port() == other.port() && one.port() != 0 && is_same_host
}

const UNIX: &str = "unix:";

/// The longest path that a socket can have.
///
/// Unit: bytes. Source: unix(7), `sun_path` of 108 bytes with a zero at its end.
pub const PATH_BYTES_MAX: usize = 107;
