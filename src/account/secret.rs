//! A text that never shows itself: passwords and credential headers. (pure)
//!
//! Who owns a password and when it is asked for is `account/mod.rs`. The rule kept here: nothing prints a secret
//! by accident, and how long a comparison takes says nothing about how much of a guess was right.

use std::array;
use std::fmt;

use subtle::ConstantTimeEq;

/// A text whose `Debug` and `Display` show three stars.
#[derive(Clone, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps a text; from here on it is read only through [`Secret::expose`].
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself, for the few places that must send or decode it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Says whether a viewer's guess is this secret.
    ///
    /// The work is the same for every guess and every secret: [`PASSWORD_BYTES_MAX`] bytes are compared, whatever
    /// the two lengths and wherever they differ.
    ///
    /// Bound: a secret or a guess of more than [`PASSWORD_BYTES_MAX`] bytes never matches.
    #[must_use]
    pub fn matches(&self, guess: &str) -> bool {
        let same_bytes = window(&self.0).ct_eq(&window(guess));
        let same_length = self.0.len().ct_eq(&guess.len());
        bool::from(same_bytes & same_length) & (guess.len() <= PASSWORD_BYTES_MAX)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        self.0.as_bytes().ct_eq(other.0.as_bytes()).into()
    }
}

/// The first [`PASSWORD_BYTES_MAX`] bytes of a text, filled up with zeros.
fn window(text: &str) -> [u8; PASSWORD_BYTES_MAX] {
    let bytes = text.as_bytes();
    array::from_fn(|index| bytes.get(index).copied().unwrap_or(0))
}

/// The longest password that can match.
///
/// Unit: bytes.
pub const PASSWORD_BYTES_MAX: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_way_of_printing_shows_the_text() {
        let secret = Secret::new("hunter2");
        assert_eq!(format!("{secret} {secret:?} {secret:#?}"), "*** *** ***");
        assert_eq!(format!("{:?}", Some(secret)), "Some(***)");
    }

    #[test]
    fn only_the_very_same_text_matches() {
        let secret = Secret::new("hunter2");
        assert!(secret.matches("hunter2"));
        for guess in ["", "hunter", "hunter22", "Hunter2", "hunter2\0", "hunter3"] {
            assert!(!secret.matches(guess), "{guess:?}");
        }
    }

    #[test]
    fn zeros_that_fill_the_window_are_not_part_of_a_secret() {
        assert!(!Secret::new("a").matches("a\0"));
        assert!(!Secret::new("a\0").matches("a"));
        assert!(Secret::new("").matches(""));
    }

    #[test]
    fn a_text_past_the_bound_never_matches() {
        let longest = "x".repeat(PASSWORD_BYTES_MAX);
        assert!(Secret::new(longest.clone()).matches(&longest));
        let longer = "x".repeat(PASSWORD_BYTES_MAX + 1);
        assert!(!Secret::new(longer.clone()).matches(&longer));
        assert!(!Secret::new(longest).matches(&longer));
    }

    #[test]
    fn two_secrets_are_equal_when_their_texts_are() {
        assert_eq!(Secret::new("a"), Secret::new("a"));
        assert_ne!(Secret::new("a"), Secret::new("b"));
        assert_ne!(Secret::new("a"), Secret::new("aa"));
    }
}
