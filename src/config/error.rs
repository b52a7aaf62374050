//! What can be wrong with a configuration, and where. (pure)
//!
//! Errors are collected, so that one run names them all. Reading values belongs in `read.rs`. The rule: no message ever
//! carries a password, a token, a header value or any part of an upstream's URL.

use std::fmt;
use std::io;
use std::path::Path;
use std::sync::Arc;

use thiserror::Error;

use crate::account::hash::NotAHash;
use crate::upstream::provider::name::NotAProviderName;

/// Everything that is wrong with a configuration, in the order of the file, then flags, then variables.
///
/// Shape: never empty. `Display` prints one line per error.
#[derive(Debug)]
pub struct ConfigErrors(pub(super) Vec<ConfigError>);

impl ConfigErrors {
    /// The errors one by one.
    #[must_use]
    pub fn errors(&self) -> &[ConfigError] {
        &self.0
    }
}

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, error) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{error}")?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigErrors {}

/// One thing wrong with a configuration.
///
/// Shape: displayed as `file:line:col: key: what is wrong, what is allowed`; a flag or a variable stands in the place of
/// the file.
#[derive(Debug, Error)]
#[error("{origin}: {key}: {fault}")]
pub struct ConfigError {
    /// Where the value was given.
    pub origin: Origin,
    /// The key in dotted form, as in `channel.upstream.url`.
    pub key: String,
    /// What is wrong.
    pub fault: Fault,
}

/// Where a value came from.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Origin {
    /// Nobody set it.
    Default,
    /// A place in the configuration file. Shape: lines and columns count from 1, columns in characters.
    File {
        /// The file as it was named.
        path: Arc<Path>,
        /// The line.
        line: usize,
        /// The column.
        column: usize,
    },
    /// A flag of the command line.
    Flag(&'static str),
    /// An environment variable.
    Variable(String),
    /// The configuration file as a whole.
    WholeFile(Arc<Path>),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File { path, line, column } => write!(f, "{}:{line}:{column}", path.display()),
            Self::Flag(flag) => f.write_str(flag),
            Self::Variable(name) => f.write_str(name),
            Self::WholeFile(path) => write!(f, "{}", path.display()),
        }
    }
}

/// What is wrong with one value.
#[derive(Debug, Error)]
pub enum Fault {
    /// Two addresses that one socket cannot tell apart.
    #[error("{address} is taken already by {first}, each address is allowed once")]
    AddressTwice {
        /// The later address.
        address: String,
        /// Where the earlier one was given.
        first: String,
    },
    /// The admin listener would be reachable without a token.
    #[error("{address} is not loopback, set admin.token_file or listen on 127.0.0.1")]
    AdminWithoutToken {
        /// The address asked for.
        address: String,
    },
    /// Whoever connects could say to be anybody.
    #[error(
        "{address} is not loopback and with proxy_protocol everybody who connects there would be believed: \
         name the fronts in server.trusted_proxies, or listen on 127.0.0.1 or a unix socket"
    )]
    BelievesAll {
        /// The address asked for.
        address: String,
    },
    /// More media at once than is kept.
    #[error("burst_ms is {burst_ms}, at most ring_ms = {ring_ms} is allowed")]
    BurstPastRing {
        /// The burst.
        burst_ms: u128,
        /// The ring.
        ring_ms: u128,
    },
    /// A character that the value's use forbids.
    #[error("has a character that is not allowed, {allowed}")]
    Character {
        /// What is allowed.
        allowed: &'static str,
    },
    /// A value that must be unique is not.
    #[error("{value} is given already at {first}, each may stand once")]
    Duplicate {
        /// The value.
        value: String,
        /// Where it was given first.
        first: Origin,
    },
    /// None or several of keys that exclude each other.
    #[error("{seen}, exactly one of {allowed} is allowed")]
    ExactlyOne {
        /// What was found.
        seen: String,
        /// The keys to choose from.
        allowed: &'static str,
    },
    /// A text or a list of the wrong size.
    #[error("has {seen} {unit}, {least} to {most} are allowed")]
    Length {
        /// The size found.
        seen: usize,
        /// What is counted.
        unit: &'static str,
        /// The smallest size.
        least: usize,
        /// The largest size.
        most: usize,
    },
    /// A key that must be there is not.
    #[error("is missing, {allowed}")]
    Missing {
        /// What is expected.
        allowed: &'static str,
    },
    /// Not the host of a provider's URLs.
    #[error("{value} is no host, host or host:port as in the provider's URLs is allowed")]
    NotAHost {
        /// The text found.
        value: String,
    },
    /// Not a name that a provider can have.
    #[error("{value} {}", NotAProviderName)]
    NotAProviderName {
        /// The text found.
        value: String,
    },
    /// Not an address to listen on.
    #[error(
        "{value} is not an address, host:port or [v6]:port with an IP literal or localhost is allowed"
    )]
    NotAnAddress {
        /// The text found.
        value: String,
    },
    /// Not an AceStream identifier.
    #[error("is not an AceStream identifier, 40 hexadecimal digits are allowed")]
    NotAHash,
    /// Not a place to listen at for viewers.
    #[error(
        "{value} is not an address, host:port or [v6]:port with an IP literal or localhost, or unix:/path \
         (absolute, no spaces or commas, at most 107 bytes) is allowed"
    )]
    NotAListener {
        /// The text found.
        value: String,
    },
    /// Not a range of addresses.
    #[error(
        "{value} is not a network, an IP address or address/prefix as in 10.0.0.0/8 is allowed"
    )]
    NotANetwork {
        /// The text found.
        value: String,
    },
    /// Not a hash that a password can be checked with.
    #[error("{0}, the output of the argon2 command with -id -e is allowed")]
    NotAPasswordHash(NotAHash),
    /// A word outside a closed list.
    #[error("{value} is not allowed, {allowed}")]
    NotAWord {
        /// The text found.
        value: String,
        /// The words.
        allowed: &'static str,
    },
    /// A key that does not apply beside another.
    #[error("is not allowed beside {other}")]
    NotBeside {
        /// The other key.
        other: &'static str,
    },
    /// Not a URL that can be fetched.
    #[error(
        "is not a usable URL ({reason}), http://host[:port]/… or https://host[:port]/… is allowed"
    )]
    NotFetchable {
        /// What is wrong with it. Shape: never any part of the URL.
        reason: &'static str,
    },
    /// A chunk that would cut packets.
    #[error("is {bytes}, a multiple of 188 is allowed (whole packets)")]
    NotWholePackets {
        /// The number found.
        bytes: usize,
    },
    /// Listening to everybody without accounts.
    #[error(
        "{address} is not loopback and there is no [[account]]: \
         add an account, listen on 127.0.0.1, or set server.open = true to let everybody watch"
    )]
    OpenToAll {
        /// The address asked for.
        address: String,
    },
    /// A number outside its bounds.
    #[error("is {value}, {least} to {most} is allowed")]
    OutOfRange {
        /// The number found.
        value: String,
        /// The smallest.
        least: u64,
        /// The largest.
        most: u64,
    },
    /// A user name that is also a path of ours.
    #[error("{value} is reserved for a path of this server, another name is allowed")]
    Reserved {
        /// The name.
        value: String,
    },
    /// The text is not TOML.
    #[error("{message}")]
    Syntax {
        /// What the parser expected. Shape: never a piece of the file.
        message: String,
    },
    /// A value of the wrong type.
    #[error("is {seen}, {allowed} is allowed")]
    Type {
        /// What it is.
        seen: &'static str,
        /// What it must be.
        allowed: &'static str,
    },
    /// A key, section, flag or variable that does not exist.
    #[error("is not known{}", did_you_mean(.suggestion.as_deref()))]
    Unknown {
        /// The nearest name that exists.
        suggestion: Option<String>,
    },
    /// A file that cannot be read.
    #[error("{} cannot be read: {reason}", one_line(file))]
    Unreadable {
        /// The file.
        file: Arc<Path>,
        /// What the system said.
        reason: io::Error,
    },
}

/// A file's name without what would make a second line of it.
fn one_line(file: &Path) -> String {
    let name = file.display().to_string();
    name.replace(char::is_control, "?")
}

impl Fault {
    /// Whether the fault shows in one value alone, so that it holds although other parts of the file cannot be read.
    pub(super) fn is_local(&self) -> bool {
        !matches!(
            self,
            Self::AdminWithoutToken { .. }
                | Self::BurstPastRing { .. }
                | Self::ExactlyOne { .. }
                | Self::Missing { .. }
                | Self::OpenToAll { .. }
        )
    }
}

/// The name among `known` that `name` was probably meant to be.
pub(super) fn nearest<'k>(name: &str, known: impl IntoIterator<Item = &'k str>) -> Option<&'k str> {
    let farthest = (name.chars().count() / 3).clamp(1, 4);
    known
        .into_iter()
        .filter(|candidate| name.len().abs_diff(candidate.len()) <= 4 * farthest)
        .map(|candidate| (edits(name, candidate), candidate))
        .filter(|(distance, _)| *distance <= farthest)
        .min()
        .map(|(_, candidate)| candidate)
}

/// Counts the characters to insert, remove, replace or swap with their neighbour to get from one name to the other.
fn edits(from: &str, to: &str) -> usize {
    let want: Vec<char> = to.chars().collect();
    let mut above: Vec<usize> = (0..=want.len()).collect();
    let mut above_that = above.clone();
    let mut before = None;
    for (line, have) in from.chars().enumerate() {
        let mut row = Vec::with_capacity(above.len());
        row.push(line + 1);
        for (column, wanted) in want.iter().enumerate() {
            let replaced = above[column] + usize::from(have != *wanted);
            let mut cost = replaced.min(above[column + 1] + 1).min(row[column] + 1);
            if column > 0 && before == Some(*wanted) && have == want[column - 1] {
                cost = cost.min(above_that[column - 1] + 1);
            }
            row.push(cost);
        }
        before = Some(have);
        above_that = std::mem::replace(&mut above, row);
    }
    above.last().copied().unwrap_or(0)
}

fn did_you_mean(suggestion: Option<&str>) -> String {
    suggestion.map_or_else(String::new, |name| format!(", did you mean `{name}`?"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edits_count_insertions_removals_replacements_and_swaps() {
        assert_eq!(edits("linger_ms", "linger_ms"), 0);
        assert_eq!(edits("", "abc"), 3);
        assert_eq!(edits("abc", ""), 3);
        assert_eq!(edits("linger", "longer"), 1);
        assert_eq!(edits("sahrds", "shards"), 1);
        assert_eq!(edits("kitten", "sitting"), 3);
    }

    #[test]
    fn a_slip_finds_its_key_and_nonsense_finds_none() {
        let known = ["linger_ms", "ring_ms", "slow"];
        assert_eq!(nearest("lingerms", known), Some("linger_ms"));
        assert_eq!(nearest("rings_ms", known), Some("ring_ms"));
        assert_eq!(nearest("slwo", known), Some("slow"));
        assert_eq!(
            nearest("sowl", known),
            None,
            "too many edits for four letters"
        );
        assert_eq!(nearest("slo", known), Some("slow"));
        assert_eq!(nearest("completely_else", known), None);
    }

    #[test]
    fn an_error_reads_place_key_fault() {
        let error = ConfigError {
            origin: Origin::File {
                path: Path::new("a.toml").into(),
                line: 3,
                column: 9,
            },
            key: "server.shards".into(),
            fault: Fault::Unknown {
                suggestion: Some("pin".into()),
            },
        };
        assert_eq!(
            error.to_string(),
            "a.toml:3:9: server.shards: is not known, did you mean `pin`?"
        );
    }
}
