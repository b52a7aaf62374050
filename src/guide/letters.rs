//! Bytes of a guide to text, in the encodings that guides come in. (pure)
//!
//! The rule: bytes that are no letters of the encoding become a sign for that and never an error, because one wrong letter
//! is no reason to show no programmes. Source: the WHATWG encoding standard, which takes ISO-8859-1 for windows-1252.

use std::borrow::Cow;

/// How a guide is encoded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Letters {
    Latin9,
    #[default]
    Utf8,
    Windows1252,
}

impl Letters {
    /// The encoding of this name; `None` if it is not known here.
    pub(super) fn named(name: &str) -> Option<Self> {
        match name.trim().to_ascii_lowercase().as_str() {
            "utf-8" | "utf8" | "us-ascii" | "ascii" => Some(Self::Utf8),
            "iso-8859-1" | "iso8859-1" | "latin1" | "windows-1252" | "cp1252" => {
                Some(Self::Windows1252)
            }
            "iso-8859-15" | "iso8859-15" | "latin9" => Some(Self::Latin9),
            _ => None,
        }
    }

    pub(super) fn decode(self, bytes: &[u8]) -> Cow<'_, str> {
        if self == Self::Utf8 || bytes.is_ascii() {
            return String::from_utf8_lossy(bytes);
        }
        Cow::Owned(bytes.iter().map(|byte| self.letter(*byte)).collect())
    }

    fn letter(self, byte: u8) -> char {
        match (self, byte) {
            (Self::Windows1252, 0x80..=0x9f) => {
                let at = usize::from(byte - 0x80);
                WINDOWS_1252.get(at).copied().unwrap_or('\u{fffd}')
            }
            (Self::Latin9, 0xa4) => '€',
            (Self::Latin9, 0xa6) => 'Š',
            (Self::Latin9, 0xa8) => 'š',
            (Self::Latin9, 0xb4) => 'Ž',
            (Self::Latin9, 0xb8) => 'ž',
            (Self::Latin9, 0xbc) => 'Œ',
            (Self::Latin9, 0xbd) => 'œ',
            (Self::Latin9, 0xbe) => 'Ÿ',
            _ => char::from(byte),
        }
    }
}

/// The letters of the bytes 0x80 to 0x9f; five of them are none.
const WINDOWS_1252: [char; 32] = [
    '€', '\u{fffd}', '‚', 'ƒ', '„', '…', '†', '‡', 'ˆ', '‰', 'Š', '‹', 'Œ', '\u{fffd}', 'Ž',
    '\u{fffd}', '\u{fffd}', '‘', '’', '“', '”', '•', '–', '—', '˜', '™', 'š', '›', 'œ', '\u{fffd}',
    'ž', 'Ÿ',
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_text_is_read_in_each_encoding() {
        for (name, bytes) in [
            ("UTF-8", "Café 5 €".as_bytes()),
            ("iso-8859-1", b"Caf\xe9 5 \x80"),
            ("Windows-1252", b"Caf\xe9 5 \x80"),
            ("ISO-8859-15", b"Caf\xe9 5 \xa4"),
        ] {
            let letters = Letters::named(name).unwrap();
            assert_eq!(letters.decode(bytes), "Café 5 €", "{name}");
        }
        assert_eq!(Letters::named("utf-16"), None);
        assert_eq!(Letters::named(""), None);
    }

    #[test]
    fn a_wrong_byte_is_a_wrong_letter_and_no_more() {
        assert_eq!(Letters::Utf8.decode(b"a\xff\xc3b"), "a\u{fffd}\u{fffd}b");
        assert_eq!(Letters::Windows1252.decode(b"a\x81b"), "a\u{fffd}b");
        assert_eq!(Letters::Windows1252.decode(b"\x9f"), "Ÿ");
    }
}
