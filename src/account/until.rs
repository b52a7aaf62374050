//! The moment at which an account is over. (pure)
//!
//! Which time it is now is the caller's. The rule: a moment is the same wherever the server stands, so a time of day
//! needs its offset, and a day alone ends with the day in UTC.

use std::fmt;

use toml::value::{Datetime, Offset};

use crate::calendar::{DAY_S, days_since_1970};

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
        let date = written.date?;
        let days = days_since_1970(date.year.into(), date.month.into(), date.day.into())?;
        let day_seconds = DAY_S.cast_signed();
        let seconds = match (written.time, written.offset) {
            (None, None) => day_seconds,
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
        let unix_seconds = u64::try_from(days * day_seconds + seconds).ok()?;
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
