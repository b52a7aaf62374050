//! Prometheus text as a test reads it. (pure)
//!
//! Besides the values it keeps what a strict reader would complain of, so that the `metrics` tests can ask for none.

use std::collections::{BTreeMap, BTreeSet};

/// One scrape.
#[derive(Clone, Debug, Default)]
pub(crate) struct Scrape {
    pub(crate) samples: Vec<Sample>,
    pub(crate) types: BTreeMap<String, String>,
    pub(crate) complaints: Vec<String>,
}

/// One value.
#[derive(Clone, Debug)]
pub(crate) struct Sample {
    /// Name without the prefix.
    pub(crate) name: String,
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) value: f64,
}

impl Scrape {
    /// Reads the text; nothing is refused, what is wrong stands in `complaints`.
    pub(crate) fn read(text: &str) -> Self {
        let mut scrape = Self::default();
        let mut helps = BTreeSet::new();
        for line in text.lines() {
            if let Some(rest) = line.strip_prefix("# HELP ") {
                let (name, help) = rest.split_once(' ').unwrap_or((rest, ""));
                scrape.expect(helps.insert(name.to_owned()), || {
                    format!("second HELP of {name}")
                });
                scrape.expect(!help.trim().is_empty(), || format!("empty HELP of {name}"));
            } else if let Some((name, kind)) = line
                .strip_prefix("# TYPE ")
                .and_then(|rest| rest.split_once(' '))
            {
                let is_first = scrape
                    .types
                    .insert(name.to_owned(), kind.to_owned())
                    .is_none();
                scrape.expect(is_first, || format!("second TYPE of {name}"));
                scrape.expect(helps.contains(name), || {
                    format!("TYPE of {name} without HELP before it")
                });
                scrape.expect((kind == "counter") == name.ends_with("_total"), || {
                    format!("{name} is a {kind}")
                });
            } else if !line.starts_with('#') && !line.is_empty() {
                match Sample::read(line) {
                    Some(sample) => scrape.take(sample),
                    None => scrape.complaints.push(format!("not a sample: {line}")),
                }
            }
        }
        scrape.check_histograms();
        scrape
    }

    /// The sum of all samples of `name` that carry these labels.
    pub(crate) fn sum(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let fits = |sample: &&Sample| {
            sample.name == name
                && labels
                    .iter()
                    .all(|(key, value)| sample.labels.get(*key).is_some_and(|seen| seen == value))
        };
        self.samples
            .iter()
            .filter(fits)
            .fold(0.0, |sum, sample| sum + sample.value)
    }

    fn take(&mut self, sample: Sample) {
        let full = format!("corecast_{}", sample.name);
        let family = self.family(&full);
        self.expect(family.is_some(), || format!("{full} has no TYPE before it"));
        let is_twice = self
            .samples
            .iter()
            .any(|other| other.name == sample.name && other.labels == sample.labels);
        self.expect(!is_twice, || {
            format!("{full}{:?} stands twice", sample.labels)
        });
        self.samples.push(sample);
    }

    /// The family that a sample of this name belongs to.
    fn family(&self, name: &str) -> Option<String> {
        let of_histogram = ["_bucket", "_sum", "_count"]
            .iter()
            .filter_map(|end| name.strip_suffix(end))
            .find(|base| {
                self.types
                    .get(*base)
                    .is_some_and(|kind| kind == "histogram")
            });
        of_histogram
            .or_else(|| self.types.contains_key(name).then_some(name))
            .map(str::to_owned)
    }

    /// Buckets must grow, and the last must equal the count.
    fn check_histograms(&mut self) {
        let mut complaints = Vec::new();
        for base in self
            .types
            .iter()
            .filter(|(_, kind)| *kind == "histogram")
            .filter_map(|(name, _)| name.strip_prefix("corecast_"))
        {
            let counts = self
                .samples
                .iter()
                .filter(|sample| sample.name == format!("{base}_count"));
            for count in counts {
                let mut below = 0.0;
                let mut is_closed = false;
                for bucket in self
                    .samples
                    .iter()
                    .filter(|sample| sample.name == format!("{base}_bucket"))
                {
                    let mut labels = bucket.labels.clone();
                    let bound = labels.remove("le");
                    if labels != count.labels {
                        continue;
                    }
                    if bucket.value < below {
                        complaints.push(format!("{base} shrinks at {bound:?}"));
                    }
                    below = bucket.value;
                    is_closed = bound.as_deref() == Some("+Inf")
                        && (bucket.value - count.value).abs() < 0.5;
                }
                if !is_closed {
                    complaints.push(format!(
                        "{base}{:?} does not end in +Inf equal to its count",
                        count.labels
                    ));
                }
            }
        }
        self.complaints.extend(complaints);
    }

    fn expect(&mut self, is_so: bool, complaint: impl FnOnce() -> String) {
        if !is_so {
            self.complaints.push(complaint());
        }
    }
}

impl Sample {
    /// Reads `corecast_name{key="value",..} number`.
    fn read(line: &str) -> Option<Self> {
        let (head, value) = line.rsplit_once(' ')?;
        let value = value.parse().ok()?;
        let (name, labels) = match head.split_once('{') {
            None => (head, BTreeMap::new()),
            Some((name, rest)) => {
                let pairs = rest.strip_suffix('}')?.split(',').map(|pair| {
                    let (key, quoted) = pair.split_once('=').filter(|(key, _)| !key.is_empty())?;
                    Some((
                        key.to_owned(),
                        quoted.strip_prefix('"')?.strip_suffix('"')?.to_owned(),
                    ))
                });
                (name, pairs.collect::<Option<_>>()?)
            }
        };
        Some(Self {
            name: name.strip_prefix("corecast_")?.to_owned(),
            labels,
            value,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sound_text_is_read_without_complaint() {
        let scrape = Scrape::read(
            "# HELP corecast_a_total A.\n# TYPE corecast_a_total counter\ncorecast_a_total{channel=\"1\",reason=\"x\"} 3\ncorecast_a_total{channel=\"2\",reason=\"x\"} 4\n\
             # HELP corecast_h H.\n# TYPE corecast_h histogram\ncorecast_h_bucket{le=\"0.1\"} 1\ncorecast_h_bucket{le=\"+Inf\"} 2\ncorecast_h_sum 0.7\ncorecast_h_count 2\n",
        );
        assert!(scrape.complaints.is_empty(), "{:?}", scrape.complaints);
        assert!((scrape.sum("a_total", &[("reason", "x")]) - 7.0).abs() < 0.1);
        assert!((scrape.sum("a_total", &[("channel", "2")]) - 4.0).abs() < 0.1);
    }

    #[test]
    fn every_fault_of_the_text_is_a_complaint() {
        for text in [
            "corecast_a 1\n",
            "# HELP corecast_a A.\n# TYPE corecast_a gauge\ncorecast_a{=\"1\"} 1\n",
            "# HELP corecast_a A.\n# TYPE corecast_a counter\n",
            "# HELP corecast_a A.\n# TYPE corecast_a gauge\ncorecast_a one\n",
            "# HELP corecast_a A.\n# TYPE corecast_a gauge\ncorecast_a 1\ncorecast_a 1\n",
            "# HELP corecast_h H.\n# TYPE corecast_h histogram\ncorecast_h_bucket{le=\"0.1\"} 3\ncorecast_h_bucket{le=\"+Inf\"} 2\ncorecast_h_count 2\n",
            "# HELP corecast_h H.\n# TYPE corecast_h histogram\ncorecast_h_bucket{le=\"+Inf\"} 2\ncorecast_h_count 3\n",
        ] {
            assert_eq!(Scrape::read(text).complaints.len(), 1, "{text}");
        }
    }
}
