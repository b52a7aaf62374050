//! Times as XMLTV writes them. (pure)
//!
//! Which programmes are of interest at which time belongs to who reads and who serves. The rule: a time is kept in
//! seconds of UTC and written with the offset +0000, which every app takes right. Source: xmltv.dtd.

use std::fmt;

use crate::calendar::Moment;

/// Reads a time: a date, as much of a time of day as there is, and a zone; without a zone it is UTC.
///
/// Shape: 8, 10, 12 or 14 digits; then nothing, an offset as `+0200`, `+02:00` or `+02`, or a usual name of a zone.
///
/// Unit: seconds from the beginning of 1970.
#[must_use]
pub fn read(text: &str) -> Option<i64> {
    let text = text.trim();
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (digits, zone) = text.split_at_checked(digits)?;
    if !matches!(digits.len(), 8 | 10 | 12 | 14) {
        return None;
    }
    let field = |from: usize, to: usize| match digits.get(from..to) {
        Some(field) => field.parse().ok(),
        None => Some(0),
    };
    let at = Moment {
        year: field(0, 4)?,
        month: field(4, 6)?,
        day: field(6, 8)?,
        hour: field(8, 10)?,
        minute: field(10, 12)?,
        second: field(12, 14)?,
    };
    Some(at.unix()? - east_s(zone.trim())?)
}

/// A time as it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp(pub u64);

impl fmt::Display for Stamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = Moment::of_unix(self.0);
        write!(
            f,
            "{:04}{:02}{:02}{:02}{:02}{:02} +0000",
            at.year, at.month, at.day, at.hour, at.minute, at.second
        )
    }
}

/// How far east of UTC a zone is.
fn east_s(zone: &str) -> Option<i64> {
    let sign = match zone.as_bytes().first() {
        Some(b'+') => 1,
        Some(b'-') => -1,
        _ => {
            let mut named = ZONES
                .iter()
                .filter(|(name, _)| name.eq_ignore_ascii_case(zone));
            return named.next().map(|(_, quarters)| quarters * 900);
        }
    };
    let digits: String = zone.chars().skip(1).filter(|it| *it != ':').collect();
    let is_number = matches!(digits.len(), 2..=4) && digits.bytes().all(|it| it.is_ascii_digit());
    let number: i64 = digits.parse().ok().filter(|_| is_number)?;
    let (hours, minutes) = match digits.len() {
        2 => (number, 0),
        _ => (number / 100, number % 100),
    };
    (hours <= 23 && minutes <= 59).then_some(sign * (hours * 3_600 + minutes * 60))
}

/// Zones that guides name, in quarters of an hour east of UTC.
const ZONES: &[(&str, i64)] = &[
    ("", 0),
    ("UTC", 0),
    ("GMT", 0),
    ("Z", 0),
    ("WET", 0),
    ("WEST", 4),
    ("BST", 4),
    ("CET", 4),
    ("CEST", 8),
    ("EET", 8),
    ("EEST", 12),
    ("MSK", 12),
    ("EST", -20),
    ("EDT", -16),
    ("CST", -24),
    ("CDT", -20),
    ("MST", -28),
    ("MDT", -24),
    ("PST", -32),
    ("PDT", -28),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_the_same_moment_however_it_is_written() {
        for text in [
            "20261123000000 +0000",
            "20261123000000",
            "202611230000",
            "2026112300",
            "20261123",
            " 20261123000000  UTC ",
            "20261123000000Z",
            "20261123000000 gmt",
            "20261123010000 +0100",
            "20261123010000 +01:00",
            "20261123010000+01",
            "20261123010000 +100",
            "20261123053000 +0530",
            "20261122190000 -0500",
            "20261122190000 EST",
            "20261123020000 CEST",
            "20261122233000 -00:30",
        ] {
            assert_eq!(read(text), Some(1_795_392_000), "{text}");
        }
        assert_eq!(read("19691231235959 +0000"), Some(-1));
    }

    #[test]
    fn what_is_no_time_is_none() {
        for text in [
            "",
            "now",
            "2026",
            "202611",
            "2026112",
            "202611230",
            "20261323000000 +0000",
            "20260229000000 +0000",
            "20261123240000 +0000",
            "20261123006000 +0000",
            "20261123000000 +2400",
            "20261123000000 +0060",
            "20261123000000 +1",
            "20261123000000 +00000",
            "20261123000000 + 100",
            "20261123000000 Mars",
            "20261123000000000 +0000",
            "2026-11-23T00:00:00Z",
            "２０２６１１２３",
        ] {
            assert_eq!(read(text), None, "{text}");
        }
    }

    #[test]
    fn a_time_is_written_in_utc() {
        let written = Stamp(1_795_369_239).to_string();
        assert_eq!(written, "20261122174039 +0000");
        assert_eq!(read(&written), Some(1_795_369_239));
        assert_eq!(Stamp(0).to_string(), "19700101000000 +0000");
    }
}
