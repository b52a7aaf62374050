//! What a provider is called in the configuration, the metrics and between shards. (pure)
//!
//! The rule: a name is short and plain, so that it can be copied everywhere and written into a label as it is.

use std::fmt;
use std::str::FromStr;

/// The name of a provider.
///
/// Shape: 1 to 32 of `A-Za-z0-9._-`, the rest zero.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProviderName([u8; NAME_BYTES_MAX]);

impl ProviderName {
    /// The AceStream engine, which counts as a provider. No other may be called so.
    pub const ENGINE: Self = {
        let mut bytes = [0; NAME_BYTES_MAX];
        let (word, _) = bytes.split_at_mut(6);
        word.copy_from_slice(b"engine");
        Self(bytes)
    };

    /// The name as a text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        let bytes = self.0.split(|byte| *byte == 0).next().unwrap_or_default();
        std::str::from_utf8(bytes).unwrap_or_default()
    }
}

impl FromStr for ProviderName {
    type Err = NotAProviderName;

    fn from_str(text: &str) -> Result<Self, NotAProviderName> {
        let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        let mut bytes = [0; NAME_BYTES_MAX];
        match bytes.get_mut(..text.len()) {
            Some(place) if !text.is_empty() && text.bytes().all(is_allowed) => {
                place.copy_from_slice(text.as_bytes());
            }
            _ => return Err(NotAProviderName),
        }
        match Self(bytes) {
            Self::ENGINE => Err(NotAProviderName),
            name => Ok(name),
        }
    }
}

impl fmt::Display for ProviderName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for ProviderName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

/// The text cannot be a provider's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "is no name, 1 to {NAME_BYTES_MAX} of A-Z a-z 0-9 . _ - are allowed, and engine is the engine's"
)]
pub struct NotAProviderName;

/// Longest name, in bytes.
const NAME_BYTES_MAX: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_shown_as_it_was_written() {
        for text in ["a", "line-1", "tv.example_org", &"x".repeat(NAME_BYTES_MAX)] {
            assert_eq!(text.parse::<ProviderName>().unwrap().to_string(), text);
        }
        assert_eq!(ProviderName::ENGINE.to_string(), "engine");
    }

    #[test]
    fn what_a_label_could_not_carry_is_no_name() {
        for text in ["", "a b", "a\"b", "é", "a\0", "engine", &"x".repeat(33)] {
            assert_eq!(
                text.parse::<ProviderName>(),
                Err(NotAProviderName),
                "{text:?}"
            );
        }
    }
}
