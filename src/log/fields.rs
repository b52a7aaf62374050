//! The `key=value` pairs at the end of a message. (pure)
//!
//! A line of text shows them as they are, `line` makes members of an object of them. The rule: a message that is not
//! wholly text and then pairs stays whole, so that nothing of it is lost or taken for something else.

use std::borrow::Cow;

/// A message in two parts.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Split<'m> {
    /// What comes before the pairs.
    pub(super) text: &'m str,
    /// Each key once, with its value as it was before it was quoted.
    pub(super) pairs: Vec<(&'m str, Cow<'m, str>)>,
}

/// Takes the pairs off the end of a message. `reserved` are keys that no pair may have.
pub(super) fn split<'m>(message: &'m str, reserved: &[&str]) -> Split<'m> {
    let whole = Split {
        text: message,
        pairs: Vec::new(),
    };
    let Some(begin) = first_pair(message) else {
        return whole;
    };
    let (text, rest) = message.split_at(begin);
    match pairs(rest, reserved) {
        Some(pairs) => Split {
            text: text.trim_end_matches(' '),
            pairs,
        },
        None => whole,
    }
}

/// Whether a value is to be written as a number: one that reads the same in every language.
pub(super) fn is_number(value: &str) -> bool {
    let digits = value.strip_prefix('-').unwrap_or(value);
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, "0"));
    let is_digits = |text: &str| !text.is_empty() && text.bytes().all(|it| it.is_ascii_digit());
    let is_canonical = whole == "0" || !whole.starts_with('0');
    is_digits(whole) && is_digits(fraction) && is_canonical && digits.len() <= DIGITS_MAX
}

/// Where the first word begins that looks like a pair.
fn first_pair(message: &str) -> Option<usize> {
    let mut begin = 0;
    for word in message.split(' ') {
        if word.split_once('=').is_some_and(|(key, _)| is_key(key)) {
            return Some(begin);
        }
        begin += word.len() + 1;
    }
    None
}

fn pairs<'m>(mut rest: &'m str, reserved: &[&str]) -> Option<Vec<(&'m str, Cow<'m, str>)>> {
    let mut pairs: Vec<(&str, Cow<'_, str>)> = Vec::new();
    loop {
        let (key, after) = rest.split_once('=')?;
        let is_new = pairs.iter().all(|(earlier, _)| *earlier != key);
        if !is_key(key) || reserved.contains(&key) || !is_new {
            return None;
        }
        let (value, after) = match after.strip_prefix('"') {
            Some(quoted) => unquote(quoted)?,
            None => {
                let end = after.find(' ').unwrap_or(after.len());
                let (value, after) = after.split_at(end);
                (Cow::Borrowed(value), after)
            }
        };
        pairs.push((key, value));
        if after.is_empty() {
            return Some(pairs);
        }
        rest = after.strip_prefix(' ')?;
    }
}

/// The value that begins after a quote, and what follows its closing quote.
fn unquote(quoted: &str) -> Option<(Cow<'_, str>, &str)> {
    let mut value = String::new();
    let mut letters = quoted.char_indices();
    while let Some((index, letter)) = letters.next() {
        match letter {
            '"' => return Some((Cow::Owned(value), quoted.get(index + 1..)?)),
            '\\' => match letters.next()?.1 {
                escaped @ ('"' | '\\') => value.push(escaped),
                other => value.extend(['\\', other]),
            },
            _ => value.push(letter),
        }
    }
    None
}

fn is_key(text: &str) -> bool {
    let is_of_key = |it: u8| it.is_ascii_lowercase() || it.is_ascii_digit() || it == b'_';
    text.starts_with(|first: char| first.is_ascii_lowercase()) && text.bytes().all(is_of_key)
}

/// More digits than this are not read exactly everywhere.
const DIGITS_MAX: usize = 15;

#[cfg(test)]
mod tests {
    use super::*;

    /// The text, then each pair as `key:value`.
    fn parts(message: &str) -> Vec<String> {
        let split = split(message, &["level"]);
        let pairs = split
            .pairs
            .iter()
            .map(|(key, value)| format!("{key}:{value}"));
        std::iter::once(split.text.to_owned())
            .chain(pairs)
            .collect()
    }

    #[test]
    fn pairs_at_the_end_are_taken_off() {
        let message =
            r#"upstream stalled channel=7 url=http://h:80/… error="no \"route\" to \\ host" x="""#;
        let expected = [
            "upstream stalled",
            "channel:7",
            "url:http://h:80/…",
            r#"error:no "route" to \ host"#,
            "x:",
        ];
        assert_eq!(parts(message), expected);
        assert_eq!(parts("a=1"), ["", "a:1"]);
        assert_eq!(parts("stopped"), ["stopped"]);
        assert_eq!(parts(""), [""]);
    }

    #[test]
    fn a_message_that_goes_on_after_a_pair_stays_whole() {
        for message in [
            "set kernel.io_uring_disabled=0 or allow it",
            "a=1 b",
            "a=1  b=2",
            "a=\"open",
            "a=\"b\"c",
            "said \"a\" b=\"c\" d\"",
            "twice a=1 a=2",
            "x level=high",
            "A=1 and B=2",
        ] {
            assert_eq!(parts(message), [message], "{message}");
        }
    }

    #[test]
    fn numbers_are_those_that_every_reader_reads_alike() {
        for number in ["0", "7", "-7", "12.375", "0.5", "123456789012345"] {
            assert!(is_number(number), "{number}");
        }
        for text in [
            "",
            "-",
            "007",
            "1.",
            ".5",
            "1e3",
            "1.2.3",
            "1234567890123456",
            "٣",
            "7s",
        ] {
            assert!(!is_number(text), "{text}");
        }
    }
}
