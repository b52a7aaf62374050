//! The moment at which an account is over. (pure)
//!
//! Which time it is now is the caller's. The rule: a moment is the same wherever the server stands, so a time of day
//! needs its offset, and a day alone ends with the day in UTC.

use std::fmt;

use toml::value::{Date, Datetime, Offset};

/// A moment, as it was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Until {
    written: Datetime,
    unix_seconds: u64,
}

impl Until {
    /// Takes a date, which counts to its end, or a date with time and offset; `None` for anything else.
    #[must_use]
    pub fn new(written: Datetime) -> Option<Self> {
        let days = days_since_1970(written.date?);
        let seconds = match (written.time, written.offset) {
            (None, None) => DAY_SECONDS,
            (Some(time), Some(offset)) => {
                let east = match offset {
                    Offset::Z => 0,
                    Offset::Custom { minutes } => i64::from(minutes) * 60,
                };
                let seconds = time.second.unwrap_or(0);
                i64::from(time.hour) * 3600 + i64::from(time.minute) * 60 + i64::from(seconds)
                    - east
            }
            _ => return None,
        };
        let unix_seconds = u64::try_from(days * DAY_SECONDS + seconds).ok()?;
        Some(Self {
            written,
            unix_seconds,
        })
    }

    /// The first second at which the account is over.
    ///
    /// Unit: seconds since 1970, UTC.
    #[must_use]
    pub fn unix_seconds(self) -> u64 {
        self.unix_seconds
    }
}

impl fmt::Display for Until {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.written.fmt(f)
    }
}

/// Days from 1970-01-01 to a date of the Gregorian calendar. Years are counted from March, so that the leap day is
/// the last of its year.
fn days_since_1970(date: Date) -> i64 {
    let (month, day) = (i64::from(date.month), i64::from(date.day));
    let year = i64::from(date.year) - i64::from(month <= 2);
    let months_since_march = (month + 9) % 12;
    let day_of_year = (153 * months_since_march + 2) / 5 + day - 1;
    let leap_days = year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    year * 365 + leap_days + day_of_year - DAYS_TO_1970
}

const DAY_SECONDS: i64 = 86_400;

/// Days from March 1st of the year 0 to 1970-01-01.
const DAYS_TO_1970: i64 = 719_468;

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(text: &str) -> Option<u64> {
        Until::new(text.parse().unwrap()).map(Until::unix_seconds)
    }

    #[test]
    fn a_time_with_its_offset_is_one_moment() {
        assert_eq!(seconds("1970-01-01T00:00:00Z"), Some(0));
        assert_eq!(seconds("2000-02-29T12:30:15Z"), Some(951_827_415));
        assert_eq!(seconds("2026-11-23T01:00:00+01:00"), Some(1_795_392_000));
        assert_eq!(seconds("2026-11-22T19:00:00-05:00"), Some(1_795_392_000));
    }

    #[test]
    fn a_day_counts_to_its_end() {
        assert_eq!(seconds("2026-11-22"), Some(1_795_392_000));
        assert_eq!(seconds("2024-02-28"), seconds("2024-02-29T00:00:00Z"));
        assert_eq!(seconds("2100-02-28"), seconds("2100-03-01T00:00:00Z"));
        assert_eq!(seconds("2026-12-31"), seconds("2027-01-01T00:00:00Z"));
    }

    #[test]
    fn what_is_no_moment_is_refused() {
        for text in [
            "2026-11-22T12:00:00",
            "12:00:00",
            "1969-12-30",
            "1970-01-01T00:00:00+01:00",
        ] {
            assert_eq!(seconds(text), None, "{text}");
        }
    }

    #[test]
    fn it_is_shown_as_it_was_written() {
        let written = "2026-11-23T01:00:00+01:00";
        assert_eq!(
            Until::new(written.parse().unwrap()).unwrap().to_string(),
            written
        );
    }
}
