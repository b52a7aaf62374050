//! Samples of all shards -> Prometheus text format 0.0.4. (pure)

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::metrics::families::{self, Family, Kind};
use crate::metrics::histogram::{BOUNDS_US, Observed};
use crate::metrics::{Labels, Sample, Value};

/// Writes the samples, those of equal family and labels added up, each family with its help and type.
///
/// Unit: times in seconds. A family without a sample is left out.
#[must_use]
pub fn write(samples: &[Sample]) -> String {
    let mut merged: BTreeMap<(&str, Labels), Value> = BTreeMap::new();
    for sample in samples {
        merged
            .entry((sample.family.name, sample.labels))
            .and_modify(|sum| add(sum, &sample.value))
            .or_insert_with(|| sample.value.clone());
    }
    let mut text = String::new();
    for family in families::ALL {
        let first = (family.name, Labels::default());
        let values = merged
            .range(first..)
            .take_while(|((name, _), _)| *name == family.name);
        for (index, ((_, labels), value)) in values.enumerate() {
            if index == 0 {
                push(
                    &mut text,
                    format_args!("# HELP corecast_{} {}\n", family.name, family.help),
                );
                push(
                    &mut text,
                    format_args!("# TYPE corecast_{} {}\n", family.name, kind(family.kind)),
                );
            }
            write_value(&mut text, family, *labels, value);
        }
    }
    text
}

fn add(sum: &mut Value, more: &Value) {
    match (sum, more) {
        (Value::Count(sum), Value::Count(more))
        | (Value::Millionths(sum), Value::Millionths(more)) => *sum += more,
        (Value::Histogram(sum), Value::Histogram(more)) => sum.add(more),
        _ => debug_assert!(false, "a family has one kind of value"),
    }
}

fn write_value(text: &mut String, family: &Family, labels: Labels, value: &Value) {
    match value {
        Value::Count(count) => line(text, family, "", labels, None, format_args!("{count}")),
        Value::Millionths(millionths) => line(
            text,
            family,
            "",
            labels,
            None,
            format_args!("{}", Millionths(*millionths)),
        ),
        Value::Histogram(observed) => write_histogram(text, family, labels, observed),
    }
}

fn write_histogram(text: &mut String, family: &Family, labels: Labels, observed: &Observed) {
    let mut below = 0;
    for (bound, count) in BOUNDS_US.iter().zip(observed.buckets) {
        below += count;
        let bound = Millionths(*bound).to_string();
        line(
            text,
            family,
            "_bucket",
            labels,
            Some(&bound),
            format_args!("{below}"),
        );
    }
    let count = observed.count;
    line(
        text,
        family,
        "_bucket",
        labels,
        Some("+Inf"),
        format_args!("{count}"),
    );
    line(
        text,
        family,
        "_sum",
        labels,
        None,
        format_args!("{}", Millionths(observed.sum_us)),
    );
    line(
        text,
        family,
        "_count",
        labels,
        None,
        format_args!("{count}"),
    );
}

fn line(
    text: &mut String,
    family: &Family,
    suffix: &str,
    labels: Labels,
    bound: Option<&str>,
    value: std::fmt::Arguments<'_>,
) {
    let channel = labels.channel.map(|label| ("channel", label.to_string()));
    let shard = labels.shard.map(|shard| ("shard", shard.to_string()));
    let cause = labels.cause.map(|cause| (family.cause, cause.to_owned()));
    let video = labels
        .codecs
        .map(|codecs| ("video", codecs.video().to_owned()));
    let audio = labels.codecs.map(|codecs| ("audio", codecs.audio()));
    let provider = labels.provider.map(|name| ("provider", name.to_string()));
    let bound = bound.map(|bound| ("le", bound.to_owned()));
    let pairs: Vec<String> = [channel, shard, cause, video, audio, provider, bound]
        .into_iter()
        .flatten()
        .map(|(name, value)| format!("{name}=\"{value}\""))
        .collect();
    push(text, format_args!("corecast_{}{suffix}", family.name));
    if !pairs.is_empty() {
        push(text, format_args!("{{{}}}", pairs.join(",")));
    }
    push(text, format_args!(" {value}\n"));
}

fn push(text: &mut String, arguments: std::fmt::Arguments<'_>) {
    let written = text.write_fmt(arguments);
    debug_assert!(written.is_ok(), "writing to a string does not fail");
}

fn kind(kind: Kind) -> &'static str {
    match kind {
        Kind::Counter => "counter",
        Kind::Gauge => "gauge",
        Kind::Histogram => "histogram",
    }
}

/// Millionths shown as a decimal fraction without rounding and without needless zeros.
struct Millionths(u64);

impl std::fmt::Display for Millionths {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (whole, millionths) = (self.0 / 1_000_000, self.0 % 1_000_000);
        if millionths == 0 {
            return write!(f, "{whole}");
        }
        let fraction = format!("{millionths:06}");
        write!(f, "{whole}.{}", fraction.trim_end_matches('0'))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::{Label, Reject, ShardCounters, ViewerEnd};

    fn counted(bytes: u64) -> ShardCounters {
        let counters = ShardCounters::default();
        let channel = counters.channel(Label::Channel(7));
        channel.sent_bytes.add(bytes);
        channel.skips.add(2);
        channel.fanout_delay.observe(1_500);
        channel.viewer_ended(ViewerEnd::Stalled);
        counters.rejected(Reject::Full);
        counters
    }

    #[test]
    fn shards_are_added_up_unless_the_label_tells_them_apart() {
        let mut samples = counted(10).samples(0, 1_500_000);
        samples.extend(counted(20).samples(1, 0));
        let text = write(&samples);
        for expected in [
            "corecast_viewer_sent_bytes_total{channel=\"7\",shard=\"0\"} 10\n",
            "corecast_viewer_sent_bytes_total{channel=\"7\",shard=\"1\"} 20\n",
            "corecast_viewer_skips_total{channel=\"7\"} 4\n",
            "corecast_viewer_ends_total{channel=\"7\",reason=\"stalled\"} 2\n",
            "corecast_viewer_rejects_total{reason=\"full\"} 2\n",
            "corecast_shard_busy_seconds_total{shard=\"0\"} 1.5\n",
            "corecast_fanout_delay_seconds_bucket{channel=\"7\",le=\"0.001\"} 0\n",
            "corecast_fanout_delay_seconds_bucket{channel=\"7\",le=\"0.0025\"} 2\n",
            "corecast_fanout_delay_seconds_bucket{channel=\"7\",le=\"+Inf\"} 2\n",
            "corecast_fanout_delay_seconds_sum{channel=\"7\"} 0.003\n",
            "corecast_fanout_delay_seconds_count{channel=\"7\"} 2\n",
        ] {
            assert!(text.contains(expected), "{expected} is missing in\n{text}");
        }
    }

    #[test]
    fn each_family_is_introduced_once_before_its_samples() {
        let text = write(&counted(1).samples(0, 0));
        let mut introduced = std::collections::HashSet::new();
        for line in text.lines() {
            if let Some(rest) = line.strip_prefix("# TYPE corecast_") {
                let name = rest.split(' ').next().unwrap().to_owned();
                assert!(introduced.insert(name), "introduced twice: {line}");
            } else if let Some(rest) = line.strip_prefix("corecast_") {
                let name = rest.split(['{', ' ']).next().unwrap();
                let is_known = ["", "_bucket", "_sum", "_count"]
                    .iter()
                    .filter_map(|suffix| name.strip_suffix(suffix))
                    .any(|family| introduced.contains(family));
                assert!(is_known, "not introduced: {line}");
            }
        }
    }

    #[test]
    fn counters_end_in_total_and_nothing_else_does() {
        for family in families::ALL {
            let ends = family.name.ends_with("_total");
            assert_eq!(ends, family.kind == Kind::Counter, "{}", family.name);
        }
    }

    #[test]
    fn millionths_are_exact() {
        assert_eq!(Millionths(0).to_string(), "0");
        assert_eq!(Millionths(1).to_string(), "0.000001");
        assert_eq!(Millionths(60_000_000).to_string(), "60");
    }
}
