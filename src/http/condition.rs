//! What an asker has already of an answer, and how it wants the rest. (pure)
//!
//! Source: RFC 9110, sections 8.8, 12.5.3 and 13. The rule: a condition that cannot be read is none, so that the worst that
//! comes of it is an answer in full.

use crate::calendar::Moment;

/// The headers of a request that spare an answer, or a part of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Conditions {
    none_match: Option<String>,
    modified_since: Option<String>,
    takes_gzip: bool,
}

impl Conditions {
    /// Takes a header into account.
    pub fn take(&mut self, name: &str, value: &[u8]) {
        let place = match name {
            _ if name.eq_ignore_ascii_case("if-none-match") => &mut self.none_match,
            _ if name.eq_ignore_ascii_case("if-modified-since") => &mut self.modified_since,
            _ if name.eq_ignore_ascii_case("accept-encoding") => {
                self.takes_gzip |= value.split(|byte| *byte == b',').any(is_gzip);
                return;
            }
            _ => return,
        };
        if let (None, Ok(text)) = (&place, str::from_utf8(value)) {
            *place = Some(text.trim().to_owned());
        }
    }

    /// Whether it can unpack what gzip has packed.
    #[must_use]
    pub fn takes_gzip(&self) -> bool {
        self.takes_gzip
    }

    /// Whether the asker has this very answer already.
    #[must_use]
    pub fn has(&self, validators: &Validators) -> bool {
        match (&self.none_match, &self.modified_since) {
            (Some(tags), _) => {
                let opaque = |tag: &str| tag.trim().trim_start_matches("W/").to_owned();
                let own = opaque(&validators.etag);
                tags == "*" || tags.split(',').any(|tag| opaque(tag) == own)
            }
            // The date is one that was given out, or it means nothing here.
            (None, Some(date)) => *date == validators.last_modified,
            (None, None) => false,
        }
    }
}

/// What tells an answer from a later one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Validators {
    /// `ETag`. Shape: weak, because the answer may be packed or not.
    pub etag: String,
    /// `Last-Modified`.
    pub last_modified: String,
}

impl Validators {
    /// Of an answer with this digest that has been given since then, in seconds since 1970.
    #[must_use]
    pub fn new(digest: u64, since_s: u64) -> Self {
        Self {
            etag: format!("W/\"{digest:016x}\""),
            last_modified: date(since_s),
        }
    }
}

/// A date as HTTP writes it.
fn date(seconds: u64) -> String {
    let at = Moment::of_unix(seconds);
    let month = usize::try_from(at.month - 1).unwrap_or(0);
    format!(
        "{}, {:02} {} {:04} {:02}:{:02}:{:02} GMT",
        DAYS.get(at.weekday()).unwrap_or(&""),
        at.day,
        MONTHS.get(month).unwrap_or(&""),
        at.year,
        at.hour,
        at.minute,
        at.second
    )
}

/// Whether a member of Accept-Encoding allows gzip.
fn is_gzip(member: &[u8]) -> bool {
    let mut parts = member.split(|byte| *byte == b';').map(<[u8]>::trim_ascii);
    let name = parts.next().unwrap_or_default();
    let is_named = name.eq_ignore_ascii_case(b"gzip") || name.eq_ignore_ascii_case(b"x-gzip");
    let is_refused = |part: &[u8]| {
        let weight = part
            .strip_prefix(b"q=")
            .or_else(|| part.strip_prefix(b"Q="));
        weight.is_some_and(|it| it.iter().all(|byte| b"0.".contains(byte)))
    };
    is_named && !parts.any(is_refused)
}

const DAYS: [&str; 7] = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"];

const MONTHS: [&str; 12] = [
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
];

#[cfg(test)]
mod tests {
    use super::*;

    fn of(headers: &[(&str, &str)]) -> Conditions {
        let mut conditions = Conditions::default();
        for (name, value) in headers {
            conditions.take(name, value.as_bytes());
        }
        conditions
    }

    #[test]
    fn dates_are_written_as_http_wants_them() {
        assert_eq!(date(784_111_777), "Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(date(1_795_435_200), "Mon, 23 Nov 2026 12:00:00 GMT");
        assert_eq!(date(0), "Thu, 01 Jan 1970 00:00:00 GMT");
    }

    #[test]
    fn an_answer_is_known_by_its_tag_or_else_by_its_date() {
        let own = Validators::new(0xabc, 784_111_777);
        assert_eq!(own.etag, "W/\"0000000000000abc\"");
        let tag = |tag: &str| of(&[("If-None-Match", tag)]).has(&own);
        assert!(tag("W/\"0000000000000abc\""));
        assert!(tag("\"0000000000000abc\""));
        assert!(tag("\"x\", W/\"0000000000000abc\""));
        assert!(tag("*"));
        assert!(!tag("\"0000000000000abd\""));
        assert!(!tag("0000000000000abc") && !tag(""));
        let date = |date: &str| of(&[("if-modified-since", date)]).has(&own);
        assert!(date("Sun, 06 Nov 1994 08:49:37 GMT"));
        assert!(!date("Sun, 06 Nov 1994 08:49:38 GMT") && !date("yesterday"));
        assert!(!of(&[]).has(&own));
        let both = [
            ("If-None-Match", "\"x\""),
            ("If-Modified-Since", "Sun, 06 Nov 1994 08:49:37 GMT"),
        ];
        assert!(!of(&both).has(&own), "the tag counts");
    }

    #[test]
    fn gzip_is_sent_to_who_names_it_and_does_not_refuse_it() {
        for (value, is_taken) in [
            ("gzip", true),
            ("deflate, GZIP;q=0.5, br", true),
            ("x-gzip", true),
            ("gzip;q=1.000", true),
            ("gzip;q=0", false),
            ("gzip; q=0.000", false),
            ("identity", false),
            ("gzipped", false),
            ("*", false),
            ("", false),
        ] {
            let conditions = of(&[("Accept-Encoding", value)]);
            assert_eq!(conditions.takes_gzip(), is_taken, "{value}");
        }
    }
}
