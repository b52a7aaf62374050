//! The sections that stand once: `[server]`, `[admin]`, `[stream]`, `[engine]`.
//!
//! What may stand several times belongs in `entries.rs`, `accounts.rs`, `guides.rs`, `playlists.rs` and `providers.rs`. The
//! rule: each bound stands here and in `example.toml`, and nowhere else.

use std::num::NonZeroUsize;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use url::Url;

use super::entries::line;
use super::error::{Fault, Origin};
use super::listen::address;
use super::read::{Reader, shown, whole_in, wrong_type};
use super::secret_file::read_secret;
use super::tree::{Node, Value};
use super::{Admin, Batch, Engine, Front, Listen, Network, Server, Shards, SlowPolicy, Stream};
use crate::account::secret::{PASSWORD_BYTES_MAX, Secret};

/// Reads `[server]`. Relative file names are relative to `folder`. The addresses come with the place where each was given.
pub(super) fn server(mut reader: Reader<'_>, folder: &Path) -> (Server, Vec<Origin>) {
    let default = Server::default();
    let (listen, places) = listen(&mut reader).unwrap_or_default();
    let (listen, places) = match listen.is_empty() {
        true => (default.listen, vec![Origin::Default]),
        false => (listen, places),
    };
    let server = Server {
        listen,
        shards: shards(&mut reader),
        pin: reader.boolean("pin", default.pin),
        viewers_max: reader.size("viewers_max", 1..=1_000_000, default.viewers_max),
        open: reader.boolean("open", default.open),
        public_url: public_url(&mut reader),
        head_timeout: reader.millis("head_timeout_ms", 100..=60_000, default.head_timeout),
        write_stall: reader.millis("write_stall_ms", 500..=600_000, default.write_stall),
        drain: reader.millis("drain_ms", 0..=600_000, default.drain),
        front: Arc::new(Front {
            proxy_protocol: reader.boolean("proxy_protocol", default.front.proxy_protocol),
            trusted: trusted(&mut reader),
        }),
        state_dir: state_dir(&mut reader, folder),
    };
    reader.finish();
    (server, places)
}

/// Reads `[admin]`; `taken` are the addresses of the stream listeners.
pub(super) fn admin(mut reader: Reader<'_>, taken: &[Listen], folder: &Path) -> Admin {
    let mut admin = Admin::default();
    if let Some((listen, origin)) = reader.parsed("listen", |text| address(&text)) {
        admin.listen = listen;
        let wanted = Listen::from(listen);
        if let Some(other) = taken.iter().find(|other| other.overlaps(&wanted)) {
            let fault = Fault::AddressTwice {
                address: listen.to_string(),
                first: format!("server.listen {other}"),
            };
            reader.fault("listen", origin, fault);
        }
    }
    let token_file = reader
        .text("token_file")
        .filter(|(name, _)| !name.is_empty());
    let is_token_given = token_file.is_some();
    if let Some((name, origin)) = token_file {
        match token(&name, folder) {
            Ok(token) => admin.token = Some(token),
            Err(fault) => reader.fault("token_file", origin, fault),
        }
    }
    if !admin.listen.ip().is_loopback() && !is_token_given {
        let address = admin.listen.to_string();
        let origin = reader.origin_of(&["listen"]);
        reader.fault("listen", origin, Fault::AdminWithoutToken { address });
    }
    reader.finish();
    admin
}

/// Reads the keys of `[stream]`, which a `[[channel]]` has too; what is not set is as in `base`.
pub(super) fn stream(reader: &mut Reader<'_>, base: &Stream) -> Stream {
    let stream = Stream {
        chunk_bytes_max: chunk_bytes_max(reader, base.chunk_bytes_max),
        chunk_age: reader.millis("chunk_age_ms", 1..=1_000, base.chunk_age),
        batch: batch(reader, base.batch),
        ring: reader.millis("ring_ms", 1_000..=600_000, base.ring),
        ring_bytes_max: reader.size("ring_bytes_max", MIB..=1_024 * MIB, base.ring_bytes_max),
        burst: reader.millis("burst_ms", 0..=600_000, base.burst),
        ahead: reader.millis("ahead_ms", 1_000..=600_000, base.ahead),
        linger: reader.millis("linger_ms", 0..=600_000, base.linger),
        start_timeout: reader.millis("start_timeout_ms", 500..=300_000, base.start_timeout),
        idle_timeout: reader.millis("idle_timeout_ms", 500..=300_000, base.idle_timeout),
        return_every: return_every(reader, base.return_every),
        slow: slow(reader, base.slow),
    };
    let is_of_base = (stream.burst, stream.ring) == (base.burst, base.ring);
    if stream.burst > stream.ring && !is_of_base {
        let fault = Fault::BurstPastRing {
            burst_ms: stream.burst.as_millis(),
            ring_ms: stream.ring.as_millis(),
        };
        let origin = reader.origin_of(&["burst_ms", "ring_ms"]);
        reader.fault("burst_ms", origin, fault);
    }
    stream
}

/// Reads `[engine]`.
pub(super) fn engine(mut reader: Reader<'_>) -> Engine {
    let default = Engine::default();
    let url = reader.parsed("url", |text| bare(&text, "an engine has no path"));
    let engine = Engine {
        url: url.map_or(default.url, |(url, _)| url),
        dynamic: reader.boolean("dynamic", default.dynamic),
        dynamic_max: reader.size("dynamic_max", 0..=10_000, default.dynamic_max),
        connections_max: reader.size("connections_max", 0..=10_000, default.connections_max),
    };
    reader.finish();
    engine
}

/// A URL that an upstream or an engine may have.
///
/// # Errors
/// [`Fault::NotFetchable`], which never shows the URL.
pub fn fetchable(text: &str) -> Result<Url, Fault> {
    let refuse = |reason| Err(Fault::NotFetchable { reason });
    if text.len() > URL_BYTES_MAX {
        return refuse("longer than 4096 bytes");
    }
    // The parser would drop these silently, and what is left would be another URL than the one written.
    if text.contains(|letter: char| letter.is_control() || letter == ' ') {
        return refuse("has a space or a control character");
    }
    let url = match Url::parse(text) {
        Ok(url) => url,
        Err(url::ParseError::RelativeUrlWithoutBase) => {
            return refuse("no http:// before the host");
        }
        Err(url::ParseError::InvalidPort) => return refuse("the port is no number up to 65535"),
        Err(_) => return refuse("it cannot be parsed"),
    };
    match (url.scheme(), url.host_str(), url.port()) {
        ("http" | "https", Some(host), port) if !host.is_empty() && port != Some(0) => Ok(url),
        ("http" | "https", _, Some(0)) => refuse("port 0"),
        ("http" | "https", ..) => refuse("no host"),
        _ => refuse("another scheme"),
    }
}

/// A URL that is a scheme and a host; `reason` says why there may not be more.
fn bare(text: &str, reason: &'static str) -> Result<Url, Fault> {
    let url = fetchable(text)?;
    let is_bare = url.path() == "/" && url.query().is_none() && url.fragment().is_none();
    is_bare.then_some(url).ok_or(Fault::NotFetchable { reason })
}

fn public_url(reader: &mut Reader<'_>) -> Option<Url> {
    let url = reader.parsed("public_url", |text| {
        if text.is_empty() {
            return Ok(None);
        }
        let url = bare(&text, "apps add the path themselves")?;
        let is_nobodys = url.username().is_empty() && url.password().is_none();
        is_nobodys.then_some(Some(url)).ok_or(Fault::NotFetchable {
            reason: "every viewer would see its user and password",
        })
    });
    url.and_then(|(url, _)| url)
}

fn listen(reader: &mut Reader<'_>) -> Option<(Vec<Listen>, Vec<Origin>)> {
    let items = reader.list("listen")?;
    if !reader.counts("listen", items.len(), "addresses", 1..=LISTEN_MAX) {
        return None;
    }
    let mut addresses: Vec<Listen> = Vec::new();
    let mut places = Vec::new();
    for Node { origin, value } in items {
        let read = match value {
            Value::Text(text) => Listen::read(&text),
            other => Err(wrong_type(&other, "a text")),
        };
        let fault = match read {
            Ok(address) => match addresses.iter().position(|first| first.overlaps(&address)) {
                None => {
                    addresses.push(address);
                    places.push(origin);
                    continue;
                }
                Some(first) => Fault::AddressTwice {
                    address: address.to_string(),
                    first: format!("{} at {}", addresses[first], places[first]),
                },
            },
            Err(fault) => fault,
        };
        reader.fault("listen", origin, fault);
    }
    Some((addresses, places))
}

fn state_dir(reader: &mut Reader<'_>, folder: &Path) -> PathBuf {
    let named = reader.parsed("state_dir", |text| line(text, 4_096));
    folder.join(named.map_or_else(|| STATE_DIR.to_owned(), |(name, _)| name))
}

fn trusted(reader: &mut Reader<'_>) -> Vec<Network> {
    let items = reader.list("trusted_proxies").unwrap_or_default();
    if !reader.counts("trusted_proxies", items.len(), "networks", 0..=TRUSTED_MAX) {
        return Vec::new();
    }
    networks(reader, "trusted_proxies", items)
}

/// Reads the items of a list of networks.
pub(super) fn networks(
    reader: &mut Reader<'_>,
    key: &'static str,
    items: Vec<Node>,
) -> Vec<Network> {
    let mut networks = Vec::new();
    for Node { origin, value } in items {
        let read = match value {
            Value::Text(text) => text.parse().map_err(|_refused| Fault::NotANetwork {
                value: shown(&text),
            }),
            other => Err(wrong_type(&other, "a text")),
        };
        match read {
            Ok(network) => networks.push(network),
            Err(fault) => reader.fault(key, origin, fault),
        }
    }
    networks
}

fn shards(reader: &mut Reader<'_>) -> Shards {
    let count = match auto_or(reader, "shards", 1..=SHARDS_MAX) {
        Some(Some(count)) => usize::try_from(count).ok().and_then(NonZeroUsize::new),
        Some(None) | None => None,
    };
    count.map_or(Shards::Auto, Shards::Count)
}

fn batch(reader: &mut Reader<'_>, base: Batch) -> Batch {
    match auto_or(reader, "batch_ms", 0..=1_000) {
        Some(Some(millis)) => Batch::Fixed(Duration::from_millis(millis)),
        Some(None) => Batch::Auto,
        None => base,
    }
}

/// A number, or `Some(None)` for the word "auto"; `None` if the key is not set as it may be.
fn auto_or(
    reader: &mut Reader<'_>,
    key: &'static str,
    range: RangeInclusive<u64>,
) -> Option<Option<u64>> {
    let node = reader.take(key)?;
    let read = match node.value {
        Value::Bare(text) | Value::Text(text) if text == "auto" => return Some(None),
        Value::Text(text) => Err(Fault::NotAWord {
            value: shown(&text),
            allowed: "\"auto\" or a number is allowed",
        }),
        number => whole_in(number, &range),
    };
    match read {
        Ok(number) => Some(Some(number)),
        Err(fault) => {
            reader.fault(key, node.origin, fault);
            None
        }
    }
}

fn token(name: &str, folder: &Path) -> Result<Secret, Fault> {
    let token = read_secret(name, folder)?;
    if !(TOKEN_CHARS_MIN..=TOKEN_CHARS_MAX).contains(&token.len()) {
        return Err(Fault::Length {
            seen: token.len(),
            unit: "characters in the file",
            least: TOKEN_CHARS_MIN,
            most: TOKEN_CHARS_MAX,
        });
    }
    if !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(Fault::Character {
            allowed: "printable ASCII without spaces is allowed in the file",
        });
    }
    Ok(Secret::new(token))
}

fn chunk_bytes_max(reader: &mut Reader<'_>, base: usize) -> usize {
    let bytes = reader.size("chunk_bytes_max", 188..=131_036, base);
    if bytes.is_multiple_of(188) {
        return bytes;
    }
    let origin = reader.origin_of(&["chunk_bytes_max"]);
    reader.fault("chunk_bytes_max", origin, Fault::NotWholePackets { bytes });
    base
}

fn return_every(reader: &mut Reader<'_>, base: Duration) -> Duration {
    let every = reader.millis("return_ms", 0..=86_400_000, base);
    if every.is_zero() || every >= RETURN_MIN {
        return every;
    }
    let fault = Fault::NotAWord {
        value: every.as_millis().to_string(),
        allowed: "0 (never) or 1000 to 86400000 is allowed",
    };
    let origin = reader.origin_of(&["return_ms"]);
    reader.fault("return_ms", origin, fault);
    base
}

fn slow(reader: &mut Reader<'_>, base: SlowPolicy) -> SlowPolicy {
    let policy = reader.parsed("slow", |text| match text.as_str() {
        "skip" => Ok(SlowPolicy::Skip),
        "drop" => Ok(SlowPolicy::Drop),
        _ => Err(Fault::NotAWord {
            value: shown(&text),
            allowed: "\"skip\" or \"drop\" is allowed",
        }),
    });
    policy.map_or(base, |(policy, _)| policy)
}

/// Where what outlives the process is kept, unless it is set.
pub(super) const STATE_DIR: &str = "corecast-state";

/// Most addresses to listen on.
const LISTEN_MAX: usize = 16;

/// Most networks of proxies.
const TRUSTED_MAX: usize = 64;

/// Most shards.
const SHARDS_MAX: u64 = 256;

/// The shortest token that is not worth guessing at.
const TOKEN_CHARS_MIN: usize = 16;

/// The longest token that can match.
const TOKEN_CHARS_MAX: usize = PASSWORD_BYTES_MAX;

/// The longest URL of an upstream.
const URL_BYTES_MAX: usize = 4_096;

/// The shortest time between two looks at a preferred upstream.
const RETURN_MIN: Duration = Duration::from_secs(1);

const MIB: u64 = 1_024 * 1_024;
