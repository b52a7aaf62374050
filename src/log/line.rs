//! How an event becomes one line. (pure)
//!
//! Getting the line out belongs in `mod.rs`. The rule: no text from outside can end a line, begin one, or reach a terminal as
//! a command.

use std::fmt::{self, Display, Write};
use std::time::{SystemTime, UNIX_EPOCH};

use ::log::Level;

use super::fields;
use crate::calendar::Moment;

/// How a line looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// `LEVEL message`.
    #[default]
    Text,
    /// An object with `time`, `level`, `target` and `message`, and a member for each `key=value` at the message's end.
    Json,
}

impl Format {
    /// One event as one line, with its line break.
    ///
    /// Bound: 4 KiB of message and as much of target; the rest is cut off and marked.
    pub(super) fn line(
        self,
        time: SystemTime,
        level: Level,
        target: &str,
        message: &dyn Display,
    ) -> String {
        let mut line = String::with_capacity(128);
        match self {
            Self::Text => {
                line.push_str(level.as_str());
                line.push(' ');
                self.escape(&mut line, message);
            }
            Self::Json => {
                line.push_str("{\"time\":\"");
                line.push_str(&stamp(time));
                line.push_str("\",\"level\":\"");
                line.push_str(level.as_str());
                line.push_str("\",\"target\":\"");
                self.escape(&mut line, &target);
                line.push('"');
                self.members(&mut line, message);
                line.push('}');
            }
        }
        line.push('\n');
        line
    }

    fn members(self, line: &mut String, message: &dyn Display) {
        let mut bounded = Bounded::default();
        // What could not be printed is missing from it.
        let is_printed = write!(bounded, "{message}").is_ok();
        debug_assert!(is_printed, "a message can be printed");
        let split = fields::split(&bounded.text, &RESERVED);
        line.push_str(",\"message\":\"");
        self.escape(line, &split.text);
        line.push('"');
        for (key, value) in split.pairs {
            line.extend([",\"", key, "\":"]);
            if fields::is_number(&value) {
                line.push_str(&value);
                continue;
            }
            line.push('"');
            self.escape(line, &value);
            line.push('"');
        }
    }

    fn escape(self, line: &mut String, text: &dyn Display) {
        let end = line.len() + MESSAGE_BYTES_MAX;
        let mut escape = Escape {
            format: self,
            line,
            end,
            is_cut: false,
        };
        if write!(escape, "{text}").is_err() {
            escape.line.push_str(" (unprintable)");
        }
    }
}

/// A value of a `key=value` pair: quoted if it is empty or has a space, a quote or an equals sign.
pub struct Quoted<T>(pub T);

impl<T: Display> Display for Quoted<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self.0.to_string();
        let is_plain = |letter: char| !letter.is_whitespace() && !"\"=\\".contains(letter);
        if !text.is_empty() && text.chars().all(is_plain) {
            return f.write_str(&text);
        }
        f.write_char('"')?;
        for letter in text.chars() {
            if matches!(letter, '"' | '\\') {
                f.write_char('\\')?;
            }
            f.write_char(letter)?;
        }
        f.write_char('"')
    }
}

/// Text up to the longest message; what is cut off is marked.
#[derive(Default)]
struct Bounded {
    text: String,
    is_cut: bool,
}

impl Write for Bounded {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for letter in text.chars() {
            if self.text.len() >= MESSAGE_BYTES_MAX && !self.is_cut {
                self.text.push('…');
                self.is_cut = true;
            }
            if !self.is_cut {
                self.text.push(letter);
            }
        }
        Ok(())
    }
}

/// Writes text into a line so that it stays one line.
struct Escape<'l> {
    format: Format,
    line: &'l mut String,
    end: usize,
    is_cut: bool,
}

impl Write for Escape<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for letter in text.chars() {
            if self.is_cut {
                return Ok(());
            }
            if self.line.len() >= self.end {
                self.line.push('…');
                self.is_cut = true;
                return Ok(());
            }
            match (self.format, letter) {
                (Format::Text, letter) if letter.is_control() => {
                    self.line.extend(letter.escape_default())
                }
                (Format::Json, '"' | '\\') => self.line.extend(['\\', letter]),
                (Format::Json, letter) if letter.is_control() => {
                    write!(self.line, "\\u{:04x}", u32::from(letter))?
                }
                (_, letter) => self.line.push(letter),
            }
        }
        Ok(())
    }
}

/// A time as in `2026-11-22T17:40:39.123Z`.
///
/// Source: RFC 3339.
fn stamp(time: SystemTime) -> String {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    let at = Moment::of_unix(since.as_secs());
    format!(
        "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z",
        at.year,
        at.month,
        at.day,
        at.hour,
        at.minute,
        at.second,
        since.subsec_millis()
    )
}

/// The members that every object has.
const RESERVED: [&str; 4] = ["time", "level", "target", "message"];

/// Longer messages are cut.
const MESSAGE_BYTES_MAX: usize = 4_096;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn line(format: Format, message: &str) -> String {
        let time = UNIX_EPOCH + Duration::from_millis(1_795_369_239_123);
        format.line(time, Level::Info, "corecast", &message)
    }

    #[test]
    fn a_text_line_begins_with_its_level() {
        assert_eq!(
            line(Format::Text, "ready shards=2"),
            "INFO ready shards=2\n"
        );
    }

    #[test]
    fn a_json_line_carries_time_level_target_and_message() {
        assert_eq!(
            line(Format::Json, "a \"b\" \\c"),
            "{\"time\":\"2026-11-22T17:40:39.123Z\",\"level\":\"INFO\",\"target\":\"corecast\",\
             \"message\":\"a \\\"b\\\" \\\\c\"}\n"
        );
    }

    #[test]
    fn pairs_of_a_message_are_members_of_the_object() {
        let json = line(
            Format::Json,
            "upstream stalled channel=7 silent_s=5.25 error=\"a \\\"b\\\"\" to=012",
        );
        let expected = "\"message\":\"upstream stalled\",\"channel\":7,\"silent_s\":5.25,\"error\":\"a \\\"b\\\"\",\"to\":\"012\"}\n";
        assert!(json.ends_with(expected), "{json}");
        let long = line(Format::Json, &format!("a b=\"{}\"", "x".repeat(10_000)));
        assert!(long.len() < MESSAGE_BYTES_MAX + 128);
        assert!(long.contains("\"message\":\"a b=\\\"xxx") && long.ends_with("x…\"}\n"));
    }

    #[test]
    fn control_characters_cannot_end_a_line_or_reach_a_terminal() {
        let text = line(Format::Text, "a\r\nERROR b\x1b[31m\t\u{85}\u{7f}é");
        assert_eq!(text, "INFO a\\r\\nERROR b\\u{1b}[31m\\t\\u{85}\\u{7f}é\n");
        let json = line(Format::Json, "a\r\n\x1b\u{9b}");
        assert!(
            json.ends_with("\"message\":\"a\\u000d\\u000a\\u001b\\u009b\"}\n"),
            "{json}"
        );
    }

    #[test]
    fn a_long_message_is_cut_and_marked() {
        let text = line(Format::Text, &"é".repeat(10_000));
        assert!(text.len() < MESSAGE_BYTES_MAX + 16);
        assert!(text.ends_with("é…\n"));
    }

    #[test]
    fn stamps_know_leap_years_and_the_epoch() {
        let at = |seconds| stamp(UNIX_EPOCH + Duration::from_secs(seconds));
        assert_eq!(at(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(at(951_782_399), "2000-02-28T23:59:59.000Z");
        assert_eq!(at(951_782_400), "2000-02-29T00:00:00.000Z");
        assert_eq!(at(1_709_251_199), "2024-02-29T23:59:59.000Z");
        assert_eq!(at(4_107_542_400), "2100-03-01T00:00:00.000Z");
        let before = UNIX_EPOCH - Duration::from_secs(1);
        assert_eq!(stamp(before), "1970-01-01T00:00:00.000Z");
    }

    #[test]
    fn values_are_quoted_where_a_reader_would_lose_their_end() {
        assert_eq!(Quoted("VLC/3.0").to_string(), "VLC/3.0");
        assert_eq!(Quoted("").to_string(), "\"\"");
        assert_eq!(Quoted("a b").to_string(), "\"a b\"");
        assert_eq!(Quoted("a\"b\\=").to_string(), "\"a\\\"b\\\\=\"");
    }
}
