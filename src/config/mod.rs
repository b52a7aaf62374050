//! TOML, environment and flags to valid values, in one step.
//!
//! Nothing here waits, listens or fetches. The rule: a [`Config`] that exists is valid, so nobody checks a value again, and
//! whatever was wrong is told all at once, each with its place. No text made here shows a password, a token or the
//! parts of a URL that may hold one.
//!
//! In the order of reading: `load` (which file, and the order of the rest), `tree` (TOML with places), `overlay` (flags and variables on top), `read` (typed values with
//! bounds), `sections`, `entries`, `playlists`, `providers`, `accounts` and `guides` (which keys there are), with `listen` and
//! `front` for the listeners; `show` prints the result, `difference` compares two.

mod accounts;
pub mod difference;
mod entries;
mod error;
mod front;
mod guides;
mod listen;
mod load;
mod overlay;
mod playlists;
mod providers;
mod read;
mod secret_file;
mod sections;
mod show;
mod tree;

use std::collections::BTreeSet;
use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use url::Url;

pub use entries::{UPSTREAMS_MAX, is_sendable};
pub use error::{ConfigError, ConfigErrors, Fault, Origin};
pub use front::{Front, Network, NotANetwork};
pub use guides::{Guide, GuidePlace};
pub use listen::{Listen, PATH_BYTES_MAX};
pub use load::Inputs;
pub use overlay::Flags;
pub use providers::Provider;
pub use read::Provenance;
pub use sections::fetchable;
pub use show::{HiddenUrl, show};

use crate::account::Login;
use crate::account::secret::Secret;
use crate::account::until::Until;
use crate::channel::id::Content;
use crate::playlist::Lists;
use crate::playlist::filter::Filter;
use crate::upstream::document::Place;

/// Everything that an operator decides.
#[derive(Clone, Debug, Default)]
pub struct Config {
    /// The stream listeners and the shards.
    pub server: Server,
    /// The operator's listener.
    pub admin: Admin,
    /// What channels have unless they say otherwise; dynamic channels have exactly this.
    pub stream: Stream,
    /// The AceStream engine.
    pub engine: Engine,
    /// What providers allow. Shape: no two with one name, or with one host, port and user.
    pub providers: Vec<Provider>,
    /// The channels, in the order of the file, then those of its lists. Shape: no two with one id.
    pub channels: Vec<Channel>,
    /// Where further channels come from. Shape: no two with one name.
    pub playlists: Vec<Playlist>,
    /// What the lists were when their channels were added; nothing if they were not.
    pub lists: Arc<Lists>,
    /// Who may watch; empty means everybody. Shape: no two with one user.
    pub accounts: Vec<Account>,
    /// Where programmes come from; of several that have a channel's the first counts. Bound: 16.
    pub guides: Vec<Guide>,
}

/// `[server]`: the stream listeners and the shards.
#[derive(Clone, Debug)]
pub struct Server {
    /// Where viewers connect. Shape: 1 to 16 places that do not overlap.
    pub listen: Vec<Listen>,
    /// How many shards.
    pub shards: Shards,
    /// Whether each shard stays on its CPU.
    pub pin: bool,
    /// Viewers at once; the next gets 503. Bound: 1 to 1,000,000.
    pub viewers_max: usize,
    /// Whether everybody may watch although a listener is not on loopback.
    pub open: bool,
    /// What the URLs in playlists begin with; none: what the request was sent to. Shape: http or https, a host, no path.
    pub public_url: Option<Url>,
    /// For a whole request head. Bound: 100 ms to 60 s.
    pub head_timeout: Duration,
    /// A viewer that takes no byte for this long is dropped. Bound: 500 ms to 10 min.
    pub write_stall: Duration,
    /// How long viewers run on after SIGTERM. Bound: 0 to 10 min.
    pub drain: Duration,
    /// What stands between viewers and the listeners, and whom of it is believed.
    pub front: Arc<Front>,
    /// The folder for what outlives the process; it need not exist.
    pub state_dir: PathBuf,
}

impl Default for Server {
    fn default() -> Self {
        Self {
            listen: vec![SocketAddr::from((Ipv4Addr::LOCALHOST, 8000)).into()],
            shards: Shards::Auto,
            pin: true,
            viewers_max: 10_000,
            open: false,
            public_url: None,
            head_timeout: Duration::from_secs(5),
            write_stall: Duration::from_secs(10),
            drain: Duration::from_secs(5),
            front: Arc::default(),
            state_dir: sections::STATE_DIR.into(),
        }
    }
}

/// How many shards to run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shards {
    /// One per usable CPU.
    Auto,
    /// This many. Bound: 1 to 256.
    Count(NonZeroUsize),
}

/// `[admin]`: the operator's listener.
#[derive(Clone, Debug)]
pub struct Admin {
    /// Where it listens. Shape: port 0 is any free port.
    pub listen: SocketAddr,
    /// What a request must carry. Shape: always there unless `listen` is loopback; 16 to 256 printable characters.
    pub token: Option<Secret>,
}

impl Default for Admin {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 8001)),
            token: None,
        }
    }
}

/// How long chunks wait so that viewers get more at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Batch {
    /// The longer, the more calls the shard's viewers would cost.
    Auto,
    /// This long. Bound: 0 to 1 s.
    Fixed(Duration),
}

/// `[stream]`: how a channel is cut, kept and given up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stream {
    /// Unit: bytes. Shape: whole packets. Bound: 188 to 131,036.
    pub chunk_bytes_max: usize,
    /// A chunk is closed when its oldest packet is this old. Bound: 1 ms to 1 s.
    pub chunk_age: Duration,
    /// How long chunks wait so that viewers get more at once.
    pub batch: Batch,
    /// Media kept per channel. Bound: 1 s to 10 min.
    pub ring: Duration,
    /// Unit: bytes kept per channel at most. Bound: 1 MiB to 1 GiB.
    pub ring_bytes_max: usize,
    /// How far behind live a new viewer begins. Bound: 0 to `ring`.
    pub burst: Duration,
    /// How far received media may run ahead of the channel's play clock. Bound: 1 s to 10 min.
    pub ahead: Duration,
    /// How long a channel is kept after its last viewer. Bound: 0 to 10 min.
    pub linger: Duration,
    /// For the first media. Bound: 500 ms to 5 min.
    pub start_timeout: Duration,
    /// Silence after which an upstream has stalled. Bound: 500 ms to 5 min.
    pub idle_timeout: Duration,
    /// How often a preferred upstream is looked at while another is in use. Bound: 1 s to a day, or 0 for never.
    pub return_every: Duration,
    /// What happens to a viewer that falls out of the ring.
    pub slow: SlowPolicy,
}

impl Default for Stream {
    fn default() -> Self {
        Self {
            chunk_bytes_max: 32_712,
            chunk_age: Duration::from_millis(40),
            batch: Batch::Auto,
            ring: Duration::from_secs(10),
            ring_bytes_max: 32 * 1_024 * 1_024,
            burst: Duration::from_secs(2),
            ahead: Duration::from_secs(8),
            linger: Duration::from_secs(5),
            start_timeout: Duration::from_secs(30),
            idle_timeout: Duration::from_secs(10),
            return_every: Duration::from_secs(60),
            slow: SlowPolicy::Skip,
        }
    }
}

/// What happens to a viewer that falls out of the ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SlowPolicy {
    /// Its cursor jumps ahead.
    Skip,
    /// Its connection is closed.
    Drop,
}

/// `[engine]`: the AceStream engine.
#[derive(Clone)]
pub struct Engine {
    /// Where it answers. Shape: http or https, a host, no path.
    pub url: Url,
    /// Whether `/ace/getstream` opens content that no channel names.
    pub dynamic: bool,
    /// Dynamic channels at once; the next gets 503. Bound: 0 to 10,000.
    pub dynamic_max: usize,
    /// Sessions at once; 0 is any number. Bound: up to 10,000.
    pub connections_max: usize,
}

impl Default for Engine {
    #[expect(
        clippy::expect_used,
        reason = "a constant, parsed by every test that makes a default"
    )]
    fn default() -> Self {
        Self {
            url: Url::parse("http://127.0.0.1:6878").expect("the default engine's URL is valid"),
            dynamic: true,
            dynamic_max: 50,
            connections_max: 0,
        }
    }
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine")
            .field("url", &HiddenUrl(&self.url))
            .field("dynamic", &self.dynamic)
            .field("dynamic_max", &self.dynamic_max)
            .field("connections_max", &self.connections_max)
            .finish()
    }
}

/// One `[[channel]]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Channel {
    /// The number that URLs carry. Bound: from 1.
    pub id: u32,
    /// What viewers call it. Shape: one line of 1 to 200 characters.
    pub name: String,
    /// Under which heading apps list it. Shape: one line of 1 to 200 characters.
    pub group: Option<String>,
    /// Its picture in apps. Shape: http or https, a host.
    pub logo: Option<Url>,
    /// Its name in a program guide. Shape: one line of 1 to 200 characters.
    pub epg_id: Option<String>,
    /// Its number in apps; without one the id. Shape: no two channels have the same, be it given or the id.
    pub number: u32,
    /// `[stream]` with what the channel sets itself.
    pub stream: Stream,
    /// Where its bytes come from, in order of preference. Bound: 1 to 32.
    pub upstreams: Vec<Upstream>,
    /// The `[[playlist]]` that it comes from, if it does not stand in the file itself.
    pub playlist: Option<Arc<str>>,
}

impl Channel {
    /// The channel that exists only while there is no configuration file.
    fn demo(stream: &Stream) -> Self {
        Self {
            id: 123,
            name: "Demo".into(),
            group: None,
            logo: None,
            epg_id: None,
            number: 123,
            stream: stream.clone(),
            upstreams: vec![Upstream::Demo {
                bits_per_second: entries::DEMO_BITS_PER_SECOND,
            }],
            playlist: None,
        }
    }
}

/// Where a channel's bytes come from.
#[derive(Clone, PartialEq, Eq)]
pub enum Upstream {
    /// An AceStream engine.
    Ace {
        /// What to play.
        content: Content,
        /// `User-Agent` of the requests. Shape: one line.
        user_agent: Option<String>,
    },
    /// The built-in test pattern.
    Demo {
        /// Its constant rate. Bound: 1 Mbit/s to 1 Gbit/s.
        bits_per_second: u64,
    },
    /// An HTTP server.
    Http {
        /// What to fetch. Shape: http or https, a host. It may carry a password: log it as [`HiddenUrl`].
        url: Url,
        /// `User-Agent` of the requests. Shape: one line.
        user_agent: Option<String>,
        /// Headers of the requests. Shape: valid names, each once, none that the request sets itself; values of one line.
        headers: Vec<(String, String)>,
    },
}

impl fmt::Debug for Upstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ace { content, .. } => write!(f, "Ace({content})"),
            Self::Demo { bits_per_second } => write!(f, "Demo({bits_per_second} bit/s)"),
            Self::Http { url, headers, .. } => {
                let names: Vec<_> = headers.iter().map(|(name, _)| name).collect();
                write!(f, "Http({} {names:?})", HiddenUrl(url))
            }
        }
    }
}

/// One `[[playlist]]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Playlist {
    /// What the log calls it, and the files in which it is kept. Shape: 1 to 64 of `A-Za-z0-9._-`, not beginning with a point.
    pub name: String,
    /// Where it is.
    pub place: Place,
    /// How often it is looked at. Bound: 1 s to a week, or 0 for never again.
    pub refresh: Duration,
    /// `User-Agent` of the requests for it, and for its channels unless it names another. Shape: one line.
    pub user_agent: Option<String>,
    /// The heading of all its channels, whatever the list says. Shape: one line of 1 to 200 characters.
    pub group: Option<String>,
    /// Which of its entries are wanted. Bound: 1,000 patterns of each kind.
    pub filter: Filter,
    /// The first number that its channels get. Bound: 1 to 4,000,000,000.
    pub id_from: u32,
    /// Channels that are made of it. Bound: 1 to 100,000.
    pub channels_max: usize,
    /// Whether entries of one name are one channel.
    pub merge: bool,
}

/// One `[[account]]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// Its name. Shape: 1 to 64 of `A-Za-z0-9._@-`, no path of ours.
    pub user: String,
    /// Its password. Shape: 1 to 128 printable ASCII characters without space, `/`, `?`, `#`, `%`; or a hash.
    pub login: Login,
    /// When it is over, if ever.
    pub valid_until: Option<Until>,
    /// Where it may be used; empty means everywhere. Bound: 64.
    pub networks: Vec<Network>,
    /// What it may watch, if that is not everything: what it names and what is in its groups. Shape: numbers of channels
    /// that exist, unless there are lists.
    pub channels: Option<BTreeSet<u32>>,
    /// The groups whose channels it may watch. Shape: each has a channel, unless there are lists.
    pub groups: BTreeSet<String>,
    /// Viewers at once; 0 is any number. Bound: up to 1,000,000.
    pub viewers_max: usize,
    /// What happens to one more.
    pub at_limit: AtLimit,
    /// Channels of a higher bit rate are not for it; 0 is any. Bound: up to 1 Gbit/s.
    pub bits_per_second_max: u64,
}

/// What happens when an account has as many viewers as it may have and one more comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AtLimit {
    /// It is refused.
    Refuse,
    /// The oldest is closed for it.
    Replace,
}

/// Every key there is, by section. Channels have the keys of `stream` too.
pub const KEYS: &[(&str, &[&str])] = &[
    (
        "server",
        &[
            "listen",
            "shards",
            "pin",
            "viewers_max",
            "open",
            "public_url",
            "head_timeout_ms",
            "write_stall_ms",
            "drain_ms",
            "trusted_proxies",
            "proxy_protocol",
            "state_dir",
        ],
    ),
    ("admin", &["listen", "token_file"]),
    (
        "stream",
        &[
            "chunk_bytes_max",
            "chunk_age_ms",
            "batch_ms",
            "ring_ms",
            "ring_bytes_max",
            "burst_ms",
            "ahead_ms",
            "linger_ms",
            "start_timeout_ms",
            "idle_timeout_ms",
            "return_ms",
            "slow",
        ],
    ),
    (
        "engine",
        &["url", "dynamic", "dynamic_max", "connections_max"],
    ),
    (
        "provider",
        &["name", "host", "user", "connections_max", "release_ms"],
    ),
    (
        "channel",
        &[
            "id", "name", "group", "logo", "epg_id", "number", "upstream",
        ],
    ),
    (
        "channel.upstream",
        &[
            "demo",
            "bitrate_bps",
            "url",
            "content_id",
            "infohash",
            "user_agent",
            "headers",
        ],
    ),
    (
        "playlist",
        &[
            "name",
            "file",
            "url",
            "refresh_ms",
            "user_agent",
            "headers",
            "group",
            "groups",
            "groups_except",
            "names",
            "names_except",
            "id_from",
            "channels_max",
            "merge",
        ],
    ),
    (
        "account",
        &[
            "user",
            "password",
            "password_file",
            "password_hash",
            "valid_until",
            "networks",
            "channels",
            "groups",
            "viewers_max",
            "at_limit",
            "bitrate_max_bps",
        ],
    ),
    (
        "guide",
        &[
            "file",
            "url",
            "user_agent",
            "headers",
            "refresh_ms",
            "past_ms",
            "future_ms",
            "shift_ms",
            "bytes_max",
        ],
    ),
];

/// The commented file that `corecast config default` prints.
pub const EXAMPLE: &str = include_str!("example.toml");

#[cfg(test)]
mod tests;
