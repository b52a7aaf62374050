//! What names a channel: its configured number, or the AceStream content a viewer asked for. (pure)
//!
//! Everything that routes, counts or logs speaks of a channel by [`ChannelId`]; what the channel is made of
//! (its upstreams, its limits) lives in the configuration.

use std::fmt;
use std::str::FromStr;

/// Names one TV channel in the whole process.
///
/// Shape: a configured channel is its number in the configuration and in Xtream URLs; a dynamic one is the
/// AceStream content itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ChannelId {
    /// A `[[channel]]` of the configuration.
    Configured(u32),
    /// AceStream content that no `[[channel]]` names, opened on request.
    Dynamic(Content),
}

impl fmt::Display for ChannelId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Configured(number) => write!(f, "{number}"),
            Self::Dynamic(content) => write!(f, "{content}"),
        }
    }
}

/// AceStream content, by one of the two kinds of identifier the engine knows.
///
/// Shape: both are 20 bytes written as 40 hexadecimal digits and cannot be told apart by looking, so the kind
/// is part of the value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Content {
    /// The engine's `content_id` (old name `id`).
    ContentId(Hash),
    /// The torrent's infohash.
    Infohash(Hash),
}

impl Content {
    /// The engine's name for this kind of identifier, as it stands in `/ace/getstream`.
    #[must_use]
    pub fn parameter(&self) -> &'static str {
        match self {
            Self::ContentId(_) => "content_id",
            Self::Infohash(_) => "infohash",
        }
    }

    /// The identifier without its kind.
    #[must_use]
    pub fn hash(&self) -> Hash {
        match self {
            Self::ContentId(hash) | Self::Infohash(hash) => *hash,
        }
    }
}

impl fmt::Display for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.parameter(), self.hash())
    }
}

/// Twenty bytes, written as 40 lower-case hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Hash([u8; 20]);

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Hash {
    type Err = NotAHash;

    fn from_str(text: &str) -> Result<Self, NotAHash> {
        let digits = text.as_bytes();
        let mut bytes = [0; 20];
        if digits.len() != 2 * bytes.len() {
            return Err(NotAHash);
        }
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
            let [high, low] = pair else {
                return Err(NotAHash);
            };
            *byte = digit(*high)? << 4 | digit(*low)?;
        }
        Ok(Self(bytes))
    }
}

/// The text is not 40 hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an AceStream identifier: 40 hexadecimal digits are allowed")]
pub struct NotAHash;

fn digit(ascii: u8) -> Result<u8, NotAHash> {
    match ascii {
        b'0'..=b'9' => Ok(ascii - b'0'),
        b'a'..=b'f' => Ok(ascii - b'a' + 10),
        b'A'..=b'F' => Ok(ascii - b'A' + 10),
        _ => Err(NotAHash),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forty_digits_of_either_case_are_one_hash() {
        let lower: Hash = "0123456789abcdef0123456789abcdef01234567".parse().unwrap();
        let upper: Hash = "0123456789ABCDEF0123456789ABCDEF01234567".parse().unwrap();
        assert_eq!(lower, upper);
        assert_eq!(
            lower.to_string(),
            "0123456789abcdef0123456789abcdef01234567"
        );
    }

    #[test]
    fn anything_but_forty_hexadecimal_digits_is_refused() {
        for text in [
            "",
            "0123",
            &"g".repeat(40),
            &"0".repeat(41),
            &"é".repeat(20),
        ] {
            assert_eq!(text.parse::<Hash>(), Err(NotAHash), "{text}");
        }
    }

    #[test]
    fn a_content_id_and_an_infohash_of_the_same_digits_differ() {
        let hash: Hash = "0123456789abcdef0123456789abcdef01234567".parse().unwrap();
        assert_ne!(Content::ContentId(hash), Content::Infohash(hash));
    }
}
