//! A histogram of times with fixed bounds. (pure)

use std::cell::Cell;

/// Counts how many observed times lie below each of [`BOUNDS_US`].
///
/// Unit: microseconds in, seconds when shown. Bound: a fixed number of buckets; larger times count only in the total.
#[derive(Debug, Default)]
pub struct Histogram {
    buckets: [Cell<u64>; BOUNDS_US.len()],
    count: Cell<u64>,
    sum_us: Cell<u64>,
}

impl Histogram {
    /// Counts one time.
    pub fn observe(&self, micros: u64) {
        let bucket = BOUNDS_US.partition_point(|bound| *bound < micros);
        if let Some(bucket) = self.buckets.get(bucket) {
            bucket.set(bucket.get() + 1);
        }
        self.count.set(self.count.get() + 1);
        self.sum_us.set(self.sum_us.get().wrapping_add(micros));
    }

    /// What has been observed so far.
    #[must_use]
    pub fn observed(&self) -> Observed {
        Observed {
            buckets: self.buckets.each_ref().map(Cell::get),
            count: self.count.get(),
            sum_us: self.sum_us.get(),
        }
    }
}

/// A histogram's content, free to travel between shards.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Observed {
    /// How many times lie between the bound before and this bucket's bound.
    pub buckets: [u64; BOUNDS_US.len()],
    /// How many times were observed.
    pub count: u64,
    /// Their sum in microseconds.
    pub sum_us: u64,
}

impl Observed {
    /// Adds what another shard has observed.
    pub fn add(&mut self, other: &Self) {
        for (bucket, more) in self.buckets.iter_mut().zip(other.buckets) {
            *bucket += more;
        }
        self.count += other.count;
        self.sum_us = self.sum_us.wrapping_add(other.sum_us);
    }

    /// What was observed after `earlier`, an older state of the same histogram.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        let mut since = self.clone();
        for (bucket, before) in since.buckets.iter_mut().zip(earlier.buckets) {
            *bucket = bucket.saturating_sub(before);
        }
        since.count = since.count.saturating_sub(earlier.count);
        since.sum_us = since.sum_us.wrapping_sub(earlier.sum_us);
        since
    }

    /// The bound of the bucket within which so many of 1,000 lie; the greatest bound for what lies beyond all of them.
    ///
    /// Unit: microseconds. `None` if nothing was observed.
    #[must_use]
    pub fn quantile_us(&self, permille: u64) -> Option<u64> {
        let wanted = (u128::from(self.count) * u128::from(permille)).div_ceil(1_000);
        let mut below = 0;
        let bounds = self.buckets.iter().zip(BOUNDS_US);
        let found = bounds.into_iter().find(|(bucket, _)| {
            below += u128::from(**bucket);
            below >= wanted
        });
        let last = BOUNDS_US.last().copied();
        (self.count > 0).then(|| found.map(|(_, bound)| bound).or(last))?
    }
}

/// Upper bounds of the buckets in microseconds: 1 ms to 60 s, about two to a decade's third.
pub const BOUNDS_US: [u64; 14] = [
    1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 2_500_000,
    5_000_000, 10_000_000, 60_000_000,
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_counts_in_the_first_bucket_whose_bound_it_does_not_pass() {
        let histogram = Histogram::default();
        for micros in [0, 1_000, 1_001, 60_000_000, 60_000_001] {
            histogram.observe(micros);
        }
        let mut observed = histogram.observed();
        assert_eq!(observed.buckets[0], 2);
        assert_eq!(observed.buckets[1], 1);
        assert_eq!(observed.buckets[BOUNDS_US.len() - 1], 1);
        assert_eq!((observed.count, observed.sum_us), (5, 120_002_002));
        observed.add(&histogram.observed());
        assert_eq!((observed.count, observed.buckets[0]), (10, 4));
        assert_eq!(observed.since(&histogram.observed()), histogram.observed());
    }

    #[test]
    fn a_quantile_is_the_bound_of_its_bucket() {
        let histogram = Histogram::default();
        assert_eq!(histogram.observed().quantile_us(500), None);
        (0..99).for_each(|_| histogram.observe(900));
        histogram.observe(70_000_000);
        let observed = histogram.observed();
        assert_eq!(observed.quantile_us(500), Some(1_000));
        assert_eq!(observed.quantile_us(990), Some(1_000));
        assert_eq!(observed.quantile_us(991), Some(60_000_000));
    }
}
