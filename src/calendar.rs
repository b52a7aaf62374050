//! Days, dates and times of day in UTC, for everybody who writes or reads one. (pure)
//!
//! How a format writes them belongs to the format; which time it is now is the caller's. The rule: dates are those of
//! the Gregorian calendar and every day has 86,400 seconds, as in Unix time.

/// A date with a time of day.
///
/// Shape: fields in the order in which they compare; month and day from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment {
    /// The year. Bound: up to 9999, which four digits hold.
    pub year: u64,
    /// 1 to 12.
    pub month: u64,
    /// 1 to 31.
    pub day: u64,
    /// 0 to 23.
    pub hour: u64,
    /// 0 to 59.
    pub minute: u64,
    /// 0 to 59.
    pub second: u64,
}

impl Moment {
    /// The moment so many seconds after the beginning of 1970; what is later than the year 9999 is its last second.
    #[must_use]
    pub fn of_unix(seconds: u64) -> Self {
        let seconds = seconds.min(LAST_S);
        let (days, second) = (seconds / DAY_S, seconds % DAY_S);
        // Years are counted from March, in eras of 400 of them, so that the leap day is the last of its year.
        let day = days + DAYS_TO_1970;
        let of_era = day % ERA_DAYS;
        let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
        let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let months_since_march = (5 * of_year + 2) / 153;
        let month = (months_since_march + 2) % 12 + 1;
        Self {
            year: day / ERA_DAYS * 400 + year_of_era + u64::from(month <= 2),
            month,
            day: of_year - (153 * months_since_march + 2) / 5 + 1,
            hour: second / 3_600,
            minute: second / 60 % 60,
            second: second % 60,
        }
    }

    /// Seconds from the beginning of 1970, negative before it; `None` if there is no such date or time of day.
    ///
    /// A leap second is the first second of the next minute.
    #[must_use]
    pub fn unix(self) -> Option<i64> {
        let is_time = self.hour <= 23 && self.minute <= 59 && self.second <= 60;
        let days = days_since_1970(self.year, self.month, self.day).filter(|_| is_time)?;
        let second = self.hour * 3_600 + self.minute * 60 + self.second;
        Some(days * DAY_S.cast_signed() + second.cast_signed())
    }

    /// The day of the week. Shape: 0 is Sunday.
    #[must_use]
    pub fn weekday(self) -> usize {
        // 1970 began on a Thursday.
        let days = days_since_1970(self.year, self.month, self.day).unwrap_or(0);
        usize::try_from((days + 4).rem_euclid(7)).unwrap_or(0)
    }
}

/// Days from 1970-01-01 to a date; `None` if there is no such date.
#[must_use]
pub fn days_since_1970(year: u64, month: u64, day: u64) -> Option<i64> {
    if year > 9_999 || !(1..=month_days(year, month)).contains(&day) {
        return None;
    }
    // January and February end the year before.
    let counted = (year + 400).checked_sub(u64::from(month <= 2))?;
    let months_since_march = (month + 9) % 12;
    let of_year = (153 * months_since_march + 2) / 5 + day - 1;
    let leap_days = counted / 4 - counted / 100 + counted / 400;
    let days = counted * 365 + leap_days + of_year;
    Some(days.cast_signed() - (DAYS_TO_1970 + ERA_DAYS).cast_signed())
}

fn month_days(year: u64, month: u64) -> u64 {
    let is_leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    match month {
        2 => 28 + u64::from(is_leap),
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => 0,
    }
}

/// Seconds of a day.
pub const DAY_S: u64 = 86_400;

/// Days of 400 years.
const ERA_DAYS: u64 = 146_097;

/// Days from March 1st of the year 0 to 1970-01-01.
const DAYS_TO_1970: u64 = 719_468;

/// The last second of the year 9999.
const LAST_S: u64 = 253_402_300_799;

#[cfg(test)]
mod tests {
    use super::*;

    fn moment(seconds: u64) -> String {
        let it = Moment::of_unix(seconds);
        let (year, month, day) = (it.year, it.month, it.day);
        let (hour, minute, second) = (it.hour, it.minute, it.second);
        format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}")
    }

    #[test]
    fn seconds_become_dates_over_leap_years_and_centuries() {
        for (seconds, shown) in [
            (0, "1970-01-01 00:00:00"),
            (951_782_399, "2000-02-28 23:59:59"),
            (951_782_400, "2000-02-29 00:00:00"),
            (951_868_800, "2000-03-01 00:00:00"),
            (1_709_251_199, "2024-02-29 23:59:59"),
            (1_795_369_239, "2026-11-22 17:40:39"),
            (4_107_542_400, "2100-03-01 00:00:00"),
            (LAST_S, "9999-12-31 23:59:59"),
            (u64::MAX, "9999-12-31 23:59:59"),
        ] {
            assert_eq!(moment(seconds), shown, "{seconds}");
        }
    }

    #[test]
    fn every_day_leads_to_its_date_and_back() {
        for day in 0..(LAST_S / DAY_S) {
            let seconds = day * DAY_S + day % DAY_S;
            let moment = Moment::of_unix(seconds);
            assert_eq!(moment.unix(), Some(seconds.cast_signed()), "{moment:?}");
        }
    }

    #[test]
    fn there_are_days_before_1970() {
        assert_eq!(days_since_1970(1969, 12, 31), Some(-1));
        assert_eq!(days_since_1970(1, 1, 1), Some(-719_162));
        assert_eq!(days_since_1970(0, 3, 1), Some(-719_468));
        assert_eq!(days_since_1970(0, 1, 1), Some(-719_528));
    }

    #[test]
    fn what_no_calendar_has_is_no_date() {
        for (year, month, day) in [
            (2026, 2, 29),
            (2100, 2, 29),
            (2026, 4, 31),
            (2026, 0, 1),
            (2026, 13, 1),
            (2026, 1, 0),
            (2026, 1, 32),
            (10_000, 1, 1),
        ] {
            assert_eq!(
                days_since_1970(year, month, day),
                None,
                "{year} {month} {day}"
            );
        }
        let noon = Moment::of_unix(12 * 3_600);
        assert_eq!(Moment { hour: 24, ..noon }.unix(), None);
        assert_eq!(Moment { minute: 60, ..noon }.unix(), None);
        assert_eq!(Moment { second: 61, ..noon }.unix(), None);
        let leap = Moment { second: 60, ..noon };
        assert_eq!(leap.unix(), Some(12 * 3_600 + 60));
    }

    #[test]
    fn weekdays_go_on_from_a_known_one() {
        for (seconds, weekday) in [(0, 4), (3 * DAY_S, 0), (1_795_369_239, 0), (951_782_400, 2)] {
            assert_eq!(Moment::of_unix(seconds).weekday(), weekday, "{seconds}");
        }
    }
}
