//! Host names -> addresses, off the executors.
//!
//! The system's resolver blocks, so it runs on a thread of its own; answers are kept for a minute.

use std::cell::RefCell;
use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::time::Duration;

use url::{Host as UrlHost, Url};

use crate::clock::{Clock, micros};
use crate::upstream::error::{FetchError, Host, Phase};

/// Resolves names for one shard.
///
/// Bound: [`NAMES_MAX`] names are remembered, each for [`KEPT`].
#[derive(Default)]
pub struct Resolver {
    known: RefCell<HashMap<String, Known>>,
}

struct Known {
    addresses: Vec<IpAddr>,
    until_us: u64,
}

impl Resolver {
    /// The addresses of a URL's host, in the system's order of preference.
    ///
    /// # Errors
    /// [`FetchError::Resolve`] if there is none, [`FetchError::Slow`] if the system took too long.
    ///
    /// Cancel safety: dropping it forgets the question; the thread that asks ends by itself.
    pub async fn addresses(&self, clock: &Clock, url: &Url) -> Result<Vec<SocketAddr>, FetchError> {
        let port = url.port_or_known_default().unwrap_or(0);
        let with_port = |addresses: &[IpAddr]| {
            addresses
                .iter()
                .map(|address| SocketAddr::new(*address, port))
                .collect::<Vec<_>>()
        };
        let name = match url.host() {
            Some(UrlHost::Ipv4(address)) => return Ok(with_port(&[address.into()])),
            Some(UrlHost::Ipv6(address)) => return Ok(with_port(&[address.into()])),
            Some(UrlHost::Domain(name)) => name.to_owned(),
            None => String::new(),
        };
        if let Some(known) = self.recall(&name, clock.now_us()) {
            return Ok(with_port(&known));
        }
        let host = Host::from(url);
        let asked = name.clone();
        let question = glommio::executor().spawn_blocking(move || ask(&asked));
        let addresses = match clock.limit(RESOLVE_MAX, question).await {
            Some(Ok(addresses)) => addresses,
            Some(Err(source)) => return Err(FetchError::Resolve { host, source }),
            None => {
                return Err(FetchError::Slow {
                    from: host,
                    phase: Phase::Resolve,
                    limit_ms: RESOLVE_MAX.as_millis(),
                });
            }
        };
        let answer = with_port(&addresses);
        self.remember(name, addresses, clock.now_us());
        Ok(answer)
    }

    fn recall(&self, name: &str, now_us: u64) -> Option<Vec<IpAddr>> {
        let known = self.known.borrow();
        let known = known.get(name)?;
        (known.until_us > now_us).then(|| known.addresses.clone())
    }

    fn remember(&self, name: String, addresses: Vec<IpAddr>, now_us: u64) {
        let mut known = self.known.borrow_mut();
        known.retain(|_, entry| entry.until_us > now_us);
        if known.len() < NAMES_MAX {
            let until_us = now_us + micros(KEPT);
            known.insert(
                name,
                Known {
                    addresses,
                    until_us,
                },
            );
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "runs on a thread that may block")]
fn ask(name: &str) -> io::Result<Vec<IpAddr>> {
    let addresses: Vec<IpAddr> = (name, 0)
        .to_socket_addrs()?
        .map(|address| address.ip())
        .collect();
    if addresses.is_empty() {
        return Err(io::ErrorKind::NotFound.into());
    }
    Ok(addresses)
}

/// How long one question may take.
const RESOLVE_MAX: Duration = Duration::from_secs(4);

/// How long an answer is used again.
const KEPT: Duration = Duration::from_secs(60);

/// How many names are remembered.
const NAMES_MAX: usize = 256;
