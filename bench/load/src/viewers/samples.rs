//! What a page of Prometheus text says of a metric. (pure)
//!
//! Reading the page belongs in `counters.rs`. The rule: a metric is the sum of its samples under exactly its name, and one
//! that is not there is an error and not zero.

/// The sum of every sample of a metric, whatever its labels.
///
/// # Errors
/// [`SamplesError`] if there is none, or one of them is no finite number.
pub(super) fn sum(page: &str, name: &str) -> Result<f64, SamplesError> {
    let mut sum = None;
    for line in page.lines() {
        let Some(rest) = line.trim_start().strip_prefix(name) else {
            continue;
        };
        // What goes on with anything else is another, longer name.
        let value = match rest.chars().next() {
            Some('{') => after_labels(rest),
            Some(' ' | '\t') => rest,
            _ => continue,
        };
        let value = value.split_whitespace().next().unwrap_or_default();
        let number = value.parse::<f64>().ok().filter(|it| it.is_finite());
        let number = number.ok_or_else(|| SamplesError::NotNumber {
            name: name.to_owned(),
            value: value.chars().take(VALUE_LETTERS_MAX).collect(),
        })?;
        sum = Some(sum.unwrap_or(0.0) + number);
    }
    sum.ok_or_else(|| SamplesError::Absent(name.to_owned()))
}

/// Whether a metric can be called so.
pub(super) fn is_name(text: &str) -> bool {
    let is_letter = |letter: char| letter.is_ascii_alphanumeric() || "_:".contains(letter);
    let begins_well = text.starts_with(|letter: char| !letter.is_ascii_digit());
    begins_well && text.chars().all(is_letter)
}

/// Why a page does not say what a metric is.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SamplesError {
    #[error("{0} is not on the page")]
    Absent(String),
    #[error("a sample of {name} is {value:?}, wanted a finite number")]
    NotNumber { name: String, value: String },
}

/// What follows the labels; a brace or blank within quotes ends nothing.
fn after_labels(text: &str) -> &str {
    let (mut is_quoted, mut is_escaped) = (false, false);
    for (at, letter) in text.char_indices() {
        match letter {
            _ if is_escaped => is_escaped = false,
            '\\' if is_quoted => is_escaped = true,
            '"' => is_quoted = !is_quoted,
            '}' if !is_quoted => return text.get(at + 1..).unwrap_or_default(),
            _ => {}
        }
    }
    ""
}

const VALUE_LETTERS_MAX: usize = 20;

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = "# HELP a_total a_total 7\n# TYPE a_total counter\n\
        a_total{shard=\"0\"} 3\na_total{shard=\"1\",reason=\"} 9 \\\" {\"} 4.5 1700000000000\n\
        a_total_more 100\nother_a_total 1000\nb_seconds 2.5e-3\nc NaN\n d\t1\ne{x=\"1\n";

    #[test]
    fn samples_of_all_labels_are_summed_under_the_exact_name() {
        assert_eq!(sum(PAGE, "a_total"), Ok(7.5));
        assert_eq!(sum(PAGE, "a_total_more"), Ok(100.0));
        assert_eq!(sum(PAGE, "b_seconds"), Ok(0.0025));
        assert_eq!(sum(PAGE, "d"), Ok(1.0));
    }

    #[test]
    fn metric_that_is_not_there_is_not_zero() {
        for name in ["a", "a_tota", "HELP", "f"] {
            assert_eq!(sum(PAGE, name), Err(SamplesError::Absent(name.into())));
        }
    }

    #[test]
    fn sample_that_is_no_number_is_named() {
        for (name, value) in [("c", "NaN"), ("e", "")] {
            let wanted = SamplesError::NotNumber {
                name: name.into(),
                value: value.into(),
            };
            assert_eq!(sum(PAGE, name), Err(wanted));
        }
    }

    #[test]
    fn names_are_letters_digits_underscores_and_colons() {
        for name in ["a", "_a:b_9_total"] {
            assert!(is_name(name), "{name}");
        }
        for name in ["", "9a", "a b", "a{", "a-b", "ä"] {
            assert!(!is_name(name), "{name}");
        }
    }
}
