//! A distribution in a few numbers: what a histogram becomes in a result. (pure)

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

/// Percentiles of what was recorded.
///
/// Unit: whatever was recorded; the name of the field that holds one says it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Spread {
    pub(crate) count: u64,
    pub(crate) mean: f64,
    pub(crate) min: u64,
    pub(crate) p50: u64,
    pub(crate) p90: u64,
    pub(crate) p99: u64,
    pub(crate) p999: u64,
    pub(crate) p9999: u64,
    pub(crate) max: u64,
}

impl Spread {
    /// The percentiles of a histogram; all 0 if nothing was recorded.
    pub(crate) fn of(histogram: &Histogram<u64>) -> Self {
        if histogram.is_empty() {
            return Self::default();
        }
        Self {
            count: histogram.len(),
            mean: histogram.mean(),
            min: histogram.min(),
            p50: histogram.value_at_quantile(0.5),
            p90: histogram.value_at_quantile(0.9),
            p99: histogram.value_at_quantile(0.99),
            p999: histogram.value_at_quantile(0.999),
            p9999: histogram.value_at_quantile(0.9999),
            max: histogram.max(),
        }
    }
}

/// A histogram of microseconds up to an hour, exact to two digits and a half; what is longer counts as an hour.
#[expect(
    clippy::expect_used,
    reason = "the bounds are constants that the library accepts"
)]
pub(crate) fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, 3_600_000_000, 2).expect("1 to 3.6e9 in 2 digits")
}

/// A count as a number to divide.
#[expect(
    clippy::cast_precision_loss,
    reason = "rates and ratios, of which nobody reads fifteen digits"
)]
pub(crate) fn to_f64(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_those_of_what_was_recorded() {
        let mut recorded = histogram();
        for value in 1..=1000 {
            recorded.saturating_record(value);
        }
        let spread = Spread::of(&recorded);
        assert_eq!((spread.count, spread.min), (1000, 1));
        assert!(spread.p50.abs_diff(500) <= 5, "{spread:?}");
        assert!(spread.p99.abs_diff(990) <= 10, "{spread:?}");
        assert!(spread.max.abs_diff(1000) <= 10, "{spread:?}");
    }

    #[test]
    fn nothing_recorded_is_all_zero_and_too_long_is_an_hour() {
        assert_eq!(Spread::of(&histogram()), Spread::default());
        let mut recorded = histogram();
        recorded.saturating_record(u64::MAX);
        assert!(Spread::of(&recorded).max >= 3_600_000_000);
    }
}
