//! Host names -> addresses, off the executors.
//!
//! The system's resolver blocks, so each question has a thread of its own, which answers through a socket pair: a name
//! server that does not answer holds up nobody but those who ask for its names. Answers are kept for a minute, failures
//! for a moment.

use std::cell::RefCell;
use std::collections::HashMap;
use std::io::{self, Write};
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use futures_lite::AsyncReadExt;
use url::{Host as UrlHost, Url};

use crate::clock::{Clock, micros};
use crate::shard::fd;
use crate::shard::permits::{Permit, Permits};
use crate::upstream::error::{FetchError, Host, Phase};

/// Resolves names for one shard.
///
/// Bound: `NAMES_MAX` names are remembered; `QUESTIONS_MAX` questions are under way at once, abandoned ones included.
pub struct Resolver {
    known: RefCell<HashMap<String, Known>>,
    questions: Arc<Permits>,
}

/// What a name stood for when it was asked for; no address means that there was no answer.
struct Known {
    addresses: Vec<IpAddr>,
    until_us: u64,
}

impl Resolver {
    /// A resolver that knows no name.
    #[must_use]
    pub fn new() -> Self {
        Self {
            known: RefCell::default(),
            questions: Permits::new(QUESTIONS_MAX),
        }
    }

    /// The addresses of a URL's host, in the system's order of preference.
    ///
    /// # Errors
    /// [`FetchError::Resolve`] if there is none, [`FetchError::Slow`] if the system took too long.
    ///
    /// Cancel safety: dropping it forgets the question; the thread that asks ends by itself.
    pub async fn addresses(&self, clock: &Clock, url: &Url) -> Result<Vec<SocketAddr>, FetchError> {
        let port = url.port_or_known_default().unwrap_or(0);
        let name = match url.host() {
            Some(UrlHost::Ipv4(address)) => return Ok(vec![SocketAddr::new(address.into(), port)]),
            Some(UrlHost::Ipv6(address)) => return Ok(vec![SocketAddr::new(address.into(), port)]),
            Some(UrlHost::Domain(name)) => name.to_owned(),
            None => String::new(),
        };
        let addresses = match self.recall(&name, clock.now_us()) {
            Some(addresses) => addresses,
            None => self.ask(clock, url, &name).await?,
        };
        if addresses.is_empty() {
            return Err(FetchError::Resolve {
                host: Host::from(url),
                source: io::ErrorKind::NotFound.into(),
            });
        }
        let with_port = |address| SocketAddr::new(address, port);
        Ok(addresses.into_iter().map(with_port).collect())
    }

    async fn ask(&self, clock: &Clock, url: &Url, name: &str) -> Result<Vec<IpAddr>, FetchError> {
        let host = Host::from(url);
        let failed = |source| FetchError::Resolve {
            host: host.clone(),
            source,
        };
        let permit = self
            .questions
            .take()
            .ok_or_else(|| failed(io::ErrorKind::ResourceBusy.into()))?;
        let (ours, theirs) = UnixStream::pair().map_err(failed)?;
        let asked = name.to_owned();
        let question = thread::Builder::new().name("resolve".into());
        question
            .spawn(move || answer(&asked, theirs, permit))
            .map_err(failed)?;
        let mut ours = fd::pair_end(ours.into());
        let mut text = String::new();
        let read = clock
            .limit(RESOLVE_MAX, ours.read_to_string(&mut text))
            .await;
        // What is not known now is not asked again by everybody who waits for it.
        let addresses: Vec<IpAddr> = text.lines().filter_map(|line| line.parse().ok()).collect();
        self.remember(name, &addresses, clock.now_us());
        match read {
            Some(Ok(_)) => Ok(addresses),
            Some(Err(source)) => Err(failed(source)),
            None => Err(FetchError::Slow {
                from: host,
                phase: Phase::Resolve,
                limit_ms: RESOLVE_MAX.as_millis(),
            }),
        }
    }

    fn recall(&self, name: &str, now_us: u64) -> Option<Vec<IpAddr>> {
        let known = self.known.borrow();
        let known = known.get(name)?;
        (known.until_us > now_us).then(|| known.addresses.clone())
    }

    fn remember(&self, name: &str, addresses: &[IpAddr], now_us: u64) {
        let mut known = self.known.borrow_mut();
        known.retain(|_, entry| entry.until_us > now_us);
        if known.len() < NAMES_MAX {
            let kept = if addresses.is_empty() {
                FAILURE_KEPT
            } else {
                ANSWER_KEPT
            };
            let entry = Known {
                addresses: addresses.to_vec(),
                until_us: now_us + micros(kept),
            };
            known.insert(name.to_owned(), entry);
        }
    }
}

impl Default for Resolver {
    fn default() -> Self {
        Self::new()
    }
}

/// Asks the system and writes an address a line; nothing means that there is none. Blocks.
#[expect(clippy::disallowed_methods, reason = "runs on a thread that may block")]
fn answer(name: &str, mut to: UnixStream, permit: Permit) {
    let addresses = (name, 0).to_socket_addrs();
    let text: String = addresses
        .into_iter()
        .flatten()
        .map(|address| format!("{}\n", address.ip()))
        .collect();
    if to.write_all(text.as_bytes()).is_err() {
        log::debug!("an answer of the name server came too late");
    }
    drop(permit);
}

/// How long one question may take.
const RESOLVE_MAX: Duration = Duration::from_secs(4);

/// How long an answer is used again.
const ANSWER_KEPT: Duration = Duration::from_secs(60);

/// How long a name without an answer is not asked for again.
const FAILURE_KEPT: Duration = Duration::from_secs(5);

/// How many names are remembered.
const NAMES_MAX: usize = 256;

/// How many questions are under way at once.
const QUESTIONS_MAX: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Epoch;
    use glommio::LocalExecutor;

    fn resolve(
        resolver: &Resolver,
        clock: &Clock,
        url: &Url,
    ) -> Result<Vec<SocketAddr>, FetchError> {
        LocalExecutor::default().run(async { resolver.addresses(clock, url).await })
    }

    fn url(text: &str) -> Url {
        Url::parse(text).unwrap()
    }

    #[test]
    fn an_address_needs_no_question() {
        let (resolver, clock) = (Resolver::new(), Clock::new(Epoch::begin()));
        let addresses = resolve(&resolver, &clock, &url("http://[::1]:81/")).unwrap();
        assert_eq!(addresses, ["[::1]:81".parse().unwrap()]);
        assert!(resolver.known.borrow().is_empty());
    }

    #[test]
    fn a_name_is_asked_for_once_and_remembered() {
        let (resolver, clock) = (Resolver::new(), Clock::new(Epoch::begin()));
        let addresses = resolve(&resolver, &clock, &url("http://localhost:81/")).unwrap();
        assert!(addresses.iter().all(|address| address.ip().is_loopback()));
        let known = vec!["192.0.2.7".parse().unwrap()];
        resolver.remember("localhost", &known, clock.now_us());
        let again = resolve(&resolver, &clock, &url("http://localhost:82/")).unwrap();
        assert_eq!(again, ["192.0.2.7:82".parse().unwrap()]);
    }

    #[test]
    fn a_name_without_an_address_fails_for_a_while() {
        let (resolver, clock) = (Resolver::new(), Clock::new(Epoch::begin()));
        resolver.remember("gone.invalid", &[], 0);
        assert_eq!(resolver.recall("gone.invalid", 4_999_999), Some(Vec::new()));
        assert_eq!(resolver.recall("gone.invalid", 5_000_000), None);
        let refused = resolve(&resolver, &clock, &url("http://gone.invalid/"));
        assert!(matches!(refused, Err(FetchError::Resolve { .. })));
    }

    #[test]
    fn no_more_questions_are_asked_than_are_allowed() {
        let (resolver, clock) = (Resolver::new(), Clock::new(Epoch::begin()));
        let all: Vec<_> = std::iter::from_fn(|| resolver.questions.take()).collect();
        assert_eq!(all.len(), QUESTIONS_MAX);
        let refused = resolve(&resolver, &clock, &url("http://localhost/"));
        assert!(matches!(refused, Err(FetchError::Resolve { .. })));
    }
}
