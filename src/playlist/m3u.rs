//! The entries of an M3U list of channels, as they stand in it. (pure)
//!
//! Where an entry's link leads is judged in `link.rs`, which entries are wanted in `filter.rs`. The rules: whatever the
//! bytes are, reading ends and takes no more memory than one entry needs; and what a list only hints at is taken if any
//! player would take it. Source: there is no standard; these are the forms that Kodi, VLC and TiviMate read.

use std::borrow::Cow;

use thiserror::Error;

/// The entries of a list, one after the other.
///
/// Shape: ends early with an error if the list turns out to be none, or to be cut short.
pub struct Entries<'b> {
    rest: &'b [u8],
    pending: Entry<'b>,
    has_lines: bool,
    /// Whether something said that this is a list.
    has_begun: bool,
    has_links: bool,
    /// Whether an entry was announced whose link has not come yet.
    is_announced: bool,
    is_over: bool,
}

/// One entry of a list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Entry<'b> {
    /// What players show; empty if the list does not say. Shape: no white space around it.
    pub title: Cow<'b, str>,
    /// Shape: names in lower case. Bound: `ATTRIBUTES_MAX`.
    pub attributes: Vec<(String, String)>,
    /// The heading of an `#EXTGRP` line.
    pub group: Cow<'b, str>,
    /// What is said of the requests, beside the attributes and the link. Bound: `HINTS_MAX`.
    pub hints: Vec<(String, String)>,
    /// Where its bytes come from, as it stands there.
    pub link: Cow<'b, str>,
}

impl Entry<'_> {
    /// The value of an attribute, without white space around it; empty if it is not given.
    #[must_use]
    pub fn attribute(&self, name: &str) -> &str {
        let mut named = self.attributes.iter().filter(|(it, _)| it == name);
        named.next().map_or("", |(_, value)| value.trim())
    }
}

/// Why bytes are no list of channels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum NotAList {
    /// It breaks off inside an entry.
    #[error("it ends inside an entry: the answer was cut short")]
    Cut,
    /// Nothing is in it.
    #[error("it is empty")]
    Empty,
    /// It lists the pieces or renditions of one channel.
    #[error("it is the HLS playlist of one channel, not a list of channels")]
    Hls,
    /// It is a page, an error or something else.
    #[error("it is no M3U: nothing in it begins with #EXTM3U or #EXTINF")]
    Other,
}

impl<'b> Entries<'b> {
    /// Reads a list from its first byte.
    #[must_use]
    pub fn of(bytes: &'b [u8]) -> Self {
        Self {
            rest: bytes.strip_prefix(BYTE_ORDER_MARK).unwrap_or(bytes),
            pending: Entry::default(),
            has_lines: false,
            has_begun: false,
            has_links: false,
            is_announced: false,
            is_over: false,
        }
    }

    /// The next line that is not blank, cut to what any real one has.
    fn line(&mut self) -> Option<&'b [u8]> {
        while !self.rest.is_empty() {
            let is_end = |byte: &u8| matches!(byte, b'\n' | b'\r');
            let end = self.rest.iter().position(is_end);
            let (line, rest) = self.rest.split_at(end.unwrap_or(self.rest.len()));
            self.rest = rest.get(1..).unwrap_or_default();
            let line = line.trim_ascii();
            if !line.is_empty() {
                return Some(line.get(..LINE_BYTES_MAX).unwrap_or(line));
            }
        }
        None
    }

    /// Takes one line; an entry is complete with its link.
    fn take(&mut self, line: &'b [u8]) -> Result<Option<Entry<'b>>, NotAList> {
        self.has_lines = true;
        self.has_begun |= BEGINNINGS.iter().any(|name| is_directive(line, name));
        if !line.starts_with(b"#") {
            if !self.has_begun {
                return Err(NotAList::Other);
            }
            self.has_links = true;
            self.is_announced = false;
            let entry = Entry {
                link: text(line),
                ..std::mem::take(&mut self.pending)
            };
            return Ok(Some(entry));
        }
        if !self.has_links && HLS.iter().any(|name| is_directive(line, name)) {
            return Err(NotAList::Hls);
        }
        if let Some(line) = after(line, b"#EXTINF:") {
            // What stood before it without an entry of its own is its own; what an entry without a link left is not.
            if std::mem::replace(&mut self.is_announced, true) {
                self.pending = Entry::default();
            }
            announce(&mut self.pending, &text(line));
        } else if let Some(line) = after(line, b"#EXTGRP:") {
            self.pending.group = trimmed(text(line));
        } else if let Some(line) = after(line, b"#EXTVLCOPT:") {
            let line = text(line);
            if let Some((name, value)) = line.split_once('=') {
                self.hint(name, unquoted(value.trim()));
            }
        } else if let Some(line) = after(line, b"#EXTHTTP:") {
            let read = serde_json::from_slice(line);
            let headers: serde_json::Map<String, serde_json::Value> = read.unwrap_or_default();
            for (name, value) in &headers {
                self.hint(name, value.as_str().unwrap_or_default());
            }
        }
        Ok(None)
    }

    fn hint(&mut self, name: &str, value: &str) {
        if self.pending.hints.len() < HINTS_MAX && !value.is_empty() {
            let name = name.trim().to_ascii_lowercase();
            self.pending.hints.push((name, value.to_owned()));
        }
    }
}

impl<'b> Iterator for Entries<'b> {
    type Item = Result<Entry<'b>, NotAList>;

    fn next(&mut self) -> Option<Self::Item> {
        while !self.is_over {
            let Some(line) = self.line() else {
                self.is_over = true;
                return match (self.has_lines, self.has_begun, self.is_announced) {
                    (false, ..) => Some(Err(NotAList::Empty)),
                    (true, false, _) => Some(Err(NotAList::Other)),
                    (true, true, true) => Some(Err(NotAList::Cut)),
                    (true, true, false) => None,
                };
            };
            match self.take(line) {
                Ok(None) => {}
                Ok(Some(entry)) => return Some(Ok(entry)),
                Err(error) => {
                    self.is_over = true;
                    return Some(Err(error));
                }
            }
        }
        None
    }
}

/// What an `#EXTINF` line says after its colon: a length, attributes, a comma, the title.
fn announce(entry: &mut Entry<'_>, line: &str) {
    let is_length = |letter: char| letter.is_ascii_digit() || matches!(letter, '-' | '+' | '.');
    let begin = line.trim_start().trim_start_matches(is_length);
    // Some write a comma after the length already.
    let begin = match begin.trim_start().strip_prefix(',') {
        Some(rest) if has_quoted_attribute(rest) => rest,
        _ => begin,
    };
    let (attributes, title) = attributes(begin);
    entry.attributes = attributes;
    entry.title = match title {
        Some(title) => Cow::Owned(title.trim().to_owned()),
        None => Cow::Borrowed(""),
    };
}

/// Whether a text begins with `name="`.
fn has_quoted_attribute(text: &str) -> bool {
    let text = text.trim_start();
    let name = name_of(text);
    let value = text.get(name.len() + 1..).unwrap_or_default();
    !name.is_empty() && value.starts_with(QUOTES)
}

/// Reads `name=value` pairs up to the first comma between them, and what stands after that.
fn attributes(text: &str) -> (Vec<(String, String)>, Option<&str>) {
    let mut attributes = Vec::new();
    let mut quotes = Quotes::default();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        if let Some(title) = rest.strip_prefix(',') {
            return (attributes, Some(title));
        }
        let name = name_of(rest);
        let after_name = rest.get(name.len()..).unwrap_or_default();
        rest = match after_name.strip_prefix('=') {
            Some(value) if !name.is_empty() => {
                let (value, after) = quotes.value(value);
                if attributes.len() < ATTRIBUTES_MAX {
                    attributes.push((name.to_ascii_lowercase(), value.to_owned()));
                }
                after
            }
            // Something else: skip to what could be the next.
            _ => {
                let end = rest.find(ends_word).unwrap_or(rest.len());
                rest.get(end..).unwrap_or_default()
            }
        };
        rest = rest.trim_start();
    }
    (attributes, None)
}

/// Which quotes are known to end no value in the rest of a line, so that a line is not searched again for each.
#[derive(Default)]
struct Quotes {
    no_double: bool,
    no_single: bool,
}

impl Quotes {
    /// A value and what stands after it: in quotes up to the one that ends it, else up to white space or a comma.
    fn value<'t>(&mut self, text: &'t str) -> (&'t str, &'t str) {
        let opening = text.chars().next().filter(|it| QUOTES.contains(it));
        if let Some(opening) = opening {
            let (closing, none_left) = match opening {
                '\'' => (&SINGLE[..], &mut self.no_single),
                _ => (&DOUBLE[..], &mut self.no_double),
            };
            let inner = text.get(opening.len_utf8()..).unwrap_or_default();
            let after =
                |end: usize, quote: &str| inner.get(end + quote.len()..).unwrap_or_default();
            let mut ends = inner.match_indices(closing);
            let end = match *none_left {
                true => None,
                false => ends.find(|(end, quote)| ends_value(after(*end, quote))),
            };
            if let Some((end, quote)) = end {
                return (inner.get(..end).unwrap_or_default(), after(end, quote));
            }
            *none_left = true;
        }
        let (value, after) = text.split_at(text.find(ends_word).unwrap_or(text.len()));
        (value.trim_matches(QUOTES), after)
    }
}

fn ends_word(letter: char) -> bool {
    letter.is_whitespace() || letter == ','
}

/// The name that an equals sign follows, or nothing.
fn name_of(text: &str) -> &str {
    let is_part =
        |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '-' | '_' | '.');
    let end = text
        .char_indices()
        .take(NAME_BYTES_MAX)
        .find(|(_, letter)| !is_part(*letter));
    match end {
        Some((end, '=')) => text.get(..end).unwrap_or_default(),
        _ => "",
    }
}

/// Whether a quote before this ends its value: quotes stand inside values too.
fn ends_value(after: &str) -> bool {
    let next = after.trim_start();
    next.is_empty() || next.starts_with(',') || !name_of(next).is_empty()
}

fn unquoted(text: &str) -> &str {
    let inner = text.strip_prefix('"').and_then(|it| it.strip_suffix('"'));
    inner.unwrap_or(text)
}

fn trimmed(text: Cow<'_, str>) -> Cow<'_, str> {
    match text {
        Cow::Borrowed(text) => Cow::Borrowed(text.trim()),
        Cow::Owned(text) => Cow::Owned(text.trim().to_owned()),
    }
}

/// A line as text: UTF-8, or else each byte the character of its number.
fn text(line: &[u8]) -> Cow<'_, str> {
    match std::str::from_utf8(line) {
        Ok(text) => Cow::Borrowed(text),
        Err(_) => Cow::Owned(line.iter().map(|byte| char::from(*byte)).collect()),
    }
}

/// Whether a line is this directive, with or without something after it.
fn is_directive(line: &[u8], name: &[u8]) -> bool {
    after(line, name).is_some_and(|rest| {
        let next = rest.first();
        next.is_none_or(|byte| !byte.is_ascii_alphanumeric() && *byte != b'-')
    })
}

/// What stands after a prefix in whatever case.
fn after<'b>(line: &'b [u8], prefix: &[u8]) -> Option<&'b [u8]> {
    let (begin, rest) = line.split_at_checked(prefix.len())?;
    begin.eq_ignore_ascii_case(prefix).then_some(rest)
}

/// What stands before the first line of some UTF-8 files.
const BYTE_ORDER_MARK: &[u8] = &[0xef, 0xbb, 0xbf];

/// Lines that say that this is a list.
const BEGINNINGS: [&[u8]; 2] = [b"#EXTM3U", b"#EXTINF"];

/// Lines that only playlists of one channel have.
const HLS: [&[u8]; 3] = [
    b"#EXT-X-MEDIA-SEQUENCE",
    b"#EXT-X-STREAM-INF",
    b"#EXT-X-TARGETDURATION",
];

/// What begins a value in quotes.
const QUOTES: [char; 3] = ['"', '\'', '\u{201c}'];

/// What ends one that did not begin with a single quote.
const DOUBLE: [char; 3] = ['"', '\u{201c}', '\u{201d}'];

/// What ends one that did.
const SINGLE: [char; 1] = ['\''];

/// Most of a line that is looked at.
const LINE_BYTES_MAX: usize = 16 * 1024;

/// Most attributes of an entry.
const ATTRIBUTES_MAX: usize = 64;

/// Most hints of an entry.
const HINTS_MAX: usize = 32;

/// The longest name of an attribute.
const NAME_BYTES_MAX: usize = 64;

#[cfg(test)]
mod tests;
