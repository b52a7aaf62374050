//! One value of one family with its labels, as a shard reports it. (pure)
//!
//! Made by the counters, added up and written by `text`. The rule: what a sample carries can be added to another of its
//! family with the same labels.

use crate::metrics::Label;
use crate::metrics::families::Family;
use crate::metrics::histogram::Observed;
use crate::metrics::media::Codecs;
use crate::upstream::provider::name::ProviderName;

/// One value of one family, as a shard reports it.
#[derive(Clone, Debug)]
pub struct Sample {
    /// What it is a value of.
    pub family: &'static Family,
    /// Its labels; samples of one family with equal labels are added up.
    pub labels: Labels,
    /// The value.
    pub value: Value,
}

impl Sample {
    /// A plain count.
    #[must_use]
    pub fn count(family: &'static Family, labels: Labels, count: u64) -> Self {
        Self {
            family,
            labels,
            value: Value::Count(count),
        }
    }

    /// A time, given in microseconds and shown in seconds.
    #[must_use]
    pub fn seconds(family: &'static Family, labels: Labels, micros: u64) -> Self {
        Self::millionths(family, labels, micros)
    }

    /// A number that is not whole, given in millionths.
    #[must_use]
    pub fn millionths(family: &'static Family, labels: Labels, millionths: u64) -> Self {
        Self {
            family,
            labels,
            value: Value::Millionths(millionths),
        }
    }
}

/// The labels of one sample.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Labels {
    /// Label `channel`.
    pub channel: Option<Label>,
    /// Label `shard`.
    pub shard: Option<usize>,
    /// The value of the family's own label (`reason` or `result`).
    pub cause: Option<&'static str>,
    /// Labels `video` and `audio`.
    pub codecs: Option<Codecs>,
    /// Label `provider`.
    pub provider: Option<ProviderName>,
}

impl Labels {
    pub(super) fn with(self, cause: &'static str) -> Self {
        Self {
            cause: Some(cause),
            ..self
        }
    }
}

/// A value that can be added to another of its kind.
#[derive(Clone, Debug)]
pub enum Value {
    /// A count.
    Count(u64),
    /// A histogram of times.
    Histogram(Observed),
    /// A number in millionths.
    Millionths(u64),
}
