//! A configuration file as a tree of values that know where they stand. (pure)
//!
//! What the values mean belongs in `read.rs`. The rule: a syntax error never hides the others, so whatever can still be
//! understood is kept.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use toml::Spanned;
use toml::de::{DeTable, DeValue};
use toml::value::Datetime;

use super::error::{ConfigError, Fault, Origin};

/// A value with the place it came from.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) origin: Origin,
    pub(super) value: Value,
}

/// What a value is before anybody asked for it.
#[derive(Debug)]
pub(super) enum Value {
    /// Text of a flag or variable, whose type is the one its reader asks for.
    Bare(String),
    Boolean(bool),
    Date(Datetime),
    /// `None` is beyond 64 bits.
    Integer(Option<i64>),
    List(Vec<Node>),
    /// A type that no key has, by name.
    Other(&'static str),
    Table(Entries),
    Text(String),
}

impl Value {
    /// The type as it is called in errors.
    pub(super) fn type_name(&self) -> &'static str {
        match self {
            Self::Bare(text) if text.is_empty() => "empty",
            Self::Bare(_) | Self::Text(_) => "a text",
            Self::Boolean(_) => "true or false",
            Self::Date(_) => "a date",
            Self::Integer(Some(_)) => "a number",
            Self::Integer(None) => "a number beyond 64 bits",
            Self::List(_) => "a list",
            Self::Other(name) => name,
            Self::Table(_) => "a table",
        }
    }
}

/// The values of a table, each with the place of its key.
pub(super) type Entries = BTreeMap<String, (Origin, Node)>;

/// Reads TOML into a tree; what is not TOML is added to `errors`, at most one error a line.
pub(super) fn parse(text: &str, path: &Arc<Path>, errors: &mut Vec<ConfigError>) -> Entries {
    let lines = Lines::of(text, path);
    let (root, faults) = DeTable::parse_recoverable(text);
    let mut syntax: Vec<ConfigError> = faults
        .iter()
        .map(|fault| ConfigError {
            origin: lines.at(fault.span().map_or(0, |span| span.start)),
            key: "syntax".into(),
            fault: Fault::Syntax {
                message: fault.message().into(),
            },
        })
        .collect();
    syntax.sort_by(|a, b| a.origin.cmp(&b.origin));
    syntax.dedup_by_key(|error| line_of(&error.origin));
    errors.append(&mut syntax);
    entries(root.into_inner(), &|span| lines.at(span.start))
}

/// Reads one TOML value that did not stand in a file.
///
/// # Errors
/// The parser's message if it is no single value.
pub(super) fn parse_value(text: &str, origin: &Origin) -> Result<Value, Fault> {
    match DeValue::parse(text) {
        Ok(value) => Ok(tree(value, &|_| origin.clone()).value),
        Err(error) => Err(Fault::Syntax {
            message: error.message().into(),
        }),
    }
}

/// The place where a text ends.
pub(super) fn end_of(text: &str, path: &Arc<Path>) -> Origin {
    Lines::of(text, path).at(text.len())
}

/// The line of a place in the file.
pub(super) fn line_of(origin: &Origin) -> Option<usize> {
    match origin {
        Origin::File { line, .. } => Some(*line),
        _ => None,
    }
}

fn entries(table: DeTable<'_>, place: &dyn Fn(Range<usize>) -> Origin) -> Entries {
    table
        .into_iter()
        .map(|(key, value)| {
            let at = place(key.span());
            (key.into_inner().into_owned(), (at, tree(value, place)))
        })
        .collect()
}

fn tree(value: Spanned<DeValue<'_>>, place: &dyn Fn(Range<usize>) -> Origin) -> Node {
    let origin = place(value.span());
    let value = match value.into_inner() {
        DeValue::Array(items) => {
            Value::List(items.into_iter().map(|item| tree(item, place)).collect())
        }
        DeValue::Boolean(is_true) => Value::Boolean(is_true),
        DeValue::Datetime(date) => Value::Date(date),
        DeValue::Float(_) => Value::Other("a number with a point"),
        DeValue::Integer(digits) => {
            Value::Integer(i64::from_str_radix(digits.as_str(), digits.radix()).ok())
        }
        DeValue::String(text) => Value::Text(text.into_owned()),
        DeValue::Table(table) => Value::Table(entries(table, place)),
    };
    Node { origin, value }
}

/// Turns byte offsets into lines and columns.
struct Lines<'t> {
    text: &'t str,
    path: Arc<Path>,
    begins: Vec<usize>,
}

impl<'t> Lines<'t> {
    fn of(text: &'t str, path: &Arc<Path>) -> Self {
        let after_breaks = text.match_indices('\n').map(|(at, _)| at + 1);
        Self {
            text,
            path: Arc::clone(path),
            begins: std::iter::once(0).chain(after_breaks).collect(),
        }
    }

    fn at(&self, offset: usize) -> Origin {
        let line = self.begins.partition_point(|begin| *begin <= offset).max(1);
        let begin = self.begins.get(line - 1).copied().unwrap_or(0);
        let before = self.text.get(begin..offset).unwrap_or("");
        let mark = usize::from(begin == 0 && before.starts_with('\u{feff}'));
        Origin::File {
            path: Arc::clone(&self.path),
            line,
            column: before.chars().count() + 1 - mark,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(text: &str) -> (Entries, Vec<String>) {
        let mut errors = Vec::new();
        let path = Arc::from(Path::new("f"));
        let entries = parse(text, &path, &mut errors);
        let errors = errors
            .iter()
            .map(|error| error.origin.to_string())
            .collect();
        (entries, errors)
    }

    #[test]
    fn a_value_knows_its_line_and_its_column_in_characters() {
        let (entries, errors) = places("# é\né = \"ß\"\n\"ü\" = { b = 1 }\n");
        assert_eq!(errors.len(), 1, "é is no bare key");
        let (key, node) = &entries["ü"];
        assert_eq!(key.to_string(), "f:3:1");
        assert_eq!(node.origin.to_string(), "f:3:7");
    }

    #[test]
    fn a_byte_order_mark_takes_no_column() {
        let (entries, errors) = places("\u{feff}open = true\r\nx = 1\r\n");
        assert_eq!(errors, Vec::<String>::new());
        assert_eq!(entries["open"].0.to_string(), "f:1:1");
        assert_eq!(entries["x"].0.to_string(), "f:2:1");
    }

    #[test]
    fn every_broken_line_is_named_once_and_the_rest_is_kept() {
        let (entries, errors) = places("a = \nb = tru\nc = 5\nd = 1\nd = 2\n");
        assert_eq!(errors, ["f:1:5", "f:2:5", "f:5:1"]);
        assert!(matches!(entries["c"].1.value, Value::Integer(Some(5))));
    }

    #[test]
    fn a_number_beyond_64_bits_is_known_as_such() {
        let (entries, _) = places("a = 99999999999999999999\nb = 0x7f");
        assert!(matches!(entries["a"].1.value, Value::Integer(None)));
        assert!(matches!(entries["b"].1.value, Value::Integer(Some(127))));
    }

    #[test]
    fn one_value_is_read_and_two_are_refused() {
        let origin = Origin::Variable("V".into());
        assert!(matches!(
            parse_value("50", &origin),
            Ok(Value::Integer(Some(50)))
        ));
        assert!(parse_value("50\nx = 1", &origin).is_err());
    }
}
