//! Takes typed values out of the tree, collecting what is wrong instead of stopping. (pure)
//!
//! Which keys exist and what bounds they have belongs in `sections.rs` and `entries.rs`. The rule: a wrong value is
//! reported and replaced by its default, so that reading goes on and one run names all errors.

use std::collections::HashMap;
use std::ops::RangeInclusive;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::error::{ConfigError, Fault, Origin, nearest};
use super::tree::{Entries, Node, Value, parse_value};

/// Where the values of a configuration came from.
#[derive(Debug, Default)]
pub struct Provenance {
    pub(super) file: Option<Arc<Path>>,
    pub(super) origins: HashMap<String, Origin>,
}

impl Provenance {
    /// The configuration file that was read, if there was one.
    #[must_use]
    pub fn file(&self) -> Option<&Path> {
        self.file.as_deref()
    }

    /// Where a value came from, by its dotted key, as in `server.listen` or `channel[0].upstream[1].url`.
    #[must_use]
    pub fn origin(&self, key: &str) -> &Origin {
        self.origins.get(key).unwrap_or(&Origin::Default)
    }
}

/// What reading has found so far.
#[derive(Debug, Default)]
pub(super) struct Report {
    pub(super) errors: Vec<ConfigError>,
    pub(super) provenance: Provenance,
}

/// One table being read.
pub(super) struct Reader<'r> {
    pub(super) report: &'r mut Report,
    /// Where the table begins.
    pub(super) origin: Origin,
    /// Dotted, with the number of each list entry in brackets.
    path: String,
    entries: Entries,
    asked: Vec<&'static str>,
    /// Otherwise that is its one fault.
    is_table: bool,
}

impl<'r> Reader<'r> {
    /// Begins to read a table; anything else is reported and read as an empty table.
    pub(super) fn new(report: &'r mut Report, path: String, node: Node) -> Self {
        let mut reader = Self {
            report,
            origin: node.origin,
            path,
            entries: Entries::new(),
            asked: Vec::new(),
            is_table: true,
        };
        match node.value {
            Value::Table(entries) => reader.entries = entries,
            other => {
                let fault = wrong_type(&other, "a table");
                let origin = reader.origin.clone();
                reader.report_at("", origin, fault);
                reader.is_table = false;
            }
        }
        reader
    }

    /// Takes a value out of the table and remembers where it came from.
    pub(super) fn take(&mut self, name: &'static str) -> Option<Node> {
        self.asked.push(name);
        let (_, node) = self.entries.remove(name)?;
        let key = self.inner(name);
        let origins = &mut self.report.provenance.origins;
        origins.insert(key, node.origin.clone());
        Some(node)
    }

    /// Reads `true` or `false`.
    pub(super) fn boolean(&mut self, name: &'static str, default: bool) -> bool {
        let Some(node) = self.take(name) else {
            return default;
        };
        match node.value {
            Value::Boolean(value) => value,
            Value::Bare(text) if text == "true" => true,
            Value::Bare(text) if text == "false" => false,
            other => {
                self.fault(name, node.origin, wrong_type(&other, "true or false"));
                default
            }
        }
    }

    /// Reads a whole number within bounds.
    pub(super) fn whole(
        &mut self,
        name: &'static str,
        bounds: RangeInclusive<u64>,
        default: u64,
    ) -> u64 {
        let Some(node) = self.take(name) else {
            return default;
        };
        match whole_in(node.value, &bounds) {
            Ok(value) => value,
            Err(fault) => {
                self.fault(name, node.origin, fault);
                default
            }
        }
    }

    /// Reads a whole number that counts things in memory.
    pub(super) fn size(
        &mut self,
        name: &'static str,
        bounds: RangeInclusive<u64>,
        default: usize,
    ) -> usize {
        usize::try_from(self.whole(name, bounds, default as u64)).unwrap_or(default)
    }

    /// Reads a time in whole milliseconds.
    pub(super) fn millis(
        &mut self,
        name: &'static str,
        bounds: RangeInclusive<u64>,
        default: Duration,
    ) -> Duration {
        let default_ms = u64::try_from(default.as_millis()).unwrap_or(u64::MAX);
        Duration::from_millis(self.whole(name, bounds, default_ms))
    }

    /// Reads a text, if it is there.
    pub(super) fn text(&mut self, name: &'static str) -> Option<(String, Origin)> {
        let node = self.take(name)?;
        match node.value {
            Value::Bare(text) | Value::Text(text) => Some((text, node.origin)),
            other => {
                self.fault(name, node.origin, wrong_type(&other, "a text"));
                None
            }
        }
    }

    /// Reads a text through `parse`, reporting what that refuses.
    pub(super) fn parsed<T>(
        &mut self,
        name: &'static str,
        parse: impl FnOnce(String) -> Result<T, Fault>,
    ) -> Option<(T, Origin)> {
        let (text, origin) = self.text(name)?;
        match parse(text) {
            Ok(value) => Some((value, origin)),
            Err(fault) => {
                self.fault(name, origin, fault);
                None
            }
        }
    }

    /// Reads a text that must be there through `parse`, reporting what that refuses.
    pub(super) fn required<T>(
        &mut self,
        name: &'static str,
        parse: impl FnOnce(String) -> Result<T, Fault>,
    ) -> Option<(T, Origin)> {
        if !self.has(name) {
            self.missing(name, "a text is needed");
        }
        self.parsed(name, parse)
    }

    /// Whether the table has a key that nobody took yet.
    pub(super) fn has(&self, name: &str) -> bool {
        self.entries.contains_key(name)
    }

    /// Reads a list, if it is there. A flag or variable may give a single text in its place.
    pub(super) fn list(&mut self, name: &'static str) -> Option<Vec<Node>> {
        let node = self.take(name)?;
        let value = match node.value {
            Value::Bare(text) if text.trim_start().starts_with('[') => {
                // An IPv6 address begins like a list too.
                parse_value(text.trim(), &node.origin)
                    .unwrap_or_else(|_syntax| single(text, &node.origin))
            }
            Value::Bare(text) => single(text, &node.origin),
            other => other,
        };
        match value {
            Value::List(items) => Some(items),
            other => {
                self.fault(name, node.origin, wrong_type(&other, "a list"));
                None
            }
        }
    }

    /// Reports a list or table with fewer or more entries than allowed, and says whether it has as many as it may.
    pub(super) fn counts(
        &mut self,
        name: &'static str,
        seen: usize,
        unit: &'static str,
        allowed: RangeInclusive<usize>,
    ) -> bool {
        let is_allowed = allowed.contains(&seen);
        if !is_allowed {
            let (least, most) = allowed.into_inner();
            let fault = Fault::Length {
                seen,
                unit,
                least,
                most,
            };
            let origin = self.origin_of(&[name]);
            self.fault(name, origin, fault);
        }
        is_allowed
    }

    /// Takes out a list of tables, each to be read with the path that comes with it.
    pub(super) fn tables(&mut self, name: &'static str) -> Vec<(String, Node)> {
        let items = self.list(name).unwrap_or_default();
        let path = self.inner(name);
        items
            .into_iter()
            .enumerate()
            .map(|(index, node)| (format!("{path}[{index}]"), node))
            .collect()
    }

    /// The path of a key of this table.
    pub(super) fn inner(&self, name: &str) -> String {
        match (self.path.as_str(), name) {
            ("", name) => name.into(),
            (path, "") => path.into(),
            (path, name) => format!("{path}.{name}"),
        }
    }

    /// Reports what is wrong with the value of a key.
    pub(super) fn fault(&mut self, name: &'static str, origin: Origin, fault: Fault) {
        self.report_at(name, origin, fault);
    }

    /// Reports that a key which must be there is not.
    pub(super) fn missing(&mut self, name: &'static str, allowed: &'static str) {
        let origin = self.origin.clone();
        self.report_at(name, origin, Fault::Missing { allowed });
    }

    /// Where the first of these keys that is set came from, else where the table begins.
    pub(super) fn origin_of(&self, names: &[&str]) -> Origin {
        let origins = &self.report.provenance.origins;
        let set = names.iter().find_map(|name| origins.get(&self.inner(name)));
        set.unwrap_or(&self.origin).clone()
    }

    /// Reports the keys that nobody asked for, each with the name it was probably meant to be.
    pub(super) fn finish(mut self) {
        for (name, (origin, _)) in std::mem::take(&mut self.entries) {
            let suggestion = nearest(&name, self.asked.iter().copied())
                .map(Into::into)
                .or_else(|| elsewhere(&name));
            self.report_at(&name, origin, Fault::Unknown { suggestion });
        }
    }

    fn report_at(&mut self, name: &str, origin: Origin, fault: Fault) {
        if !self.is_table {
            return;
        }
        // A quoted key may hold anything.
        let name = name.escape_debug().to_string();
        let key = without_numbers(&self.inner(&name));
        self.report.errors.push(ConfigError { origin, key, fault });
    }
}

/// One text of a flag or variable as a list.
fn single(text: String, origin: &Origin) -> Value {
    Value::List(vec![Node {
        origin: origin.clone(),
        value: Value::Text(text),
    }])
}

/// The fault of a value whose type is not the one allowed.
pub(super) fn wrong_type(value: &Value, allowed: &'static str) -> Fault {
    Fault::Type {
        seen: value.type_name(),
        allowed,
    }
}

/// A whole number within bounds, or what is wrong with it.
///
/// # Errors
/// [`Fault::Type`] if it is no whole number, [`Fault::OutOfRange`] if it is outside the bounds.
pub(super) fn whole_in(value: Value, bounds: &RangeInclusive<u64>) -> Result<u64, Fault> {
    let number = match value {
        Value::Bare(text) => match parse_value(text.trim(), &Origin::Default) {
            Ok(Value::Integer(Some(number))) => number,
            _ => return Err(wrong_type(&Value::Bare(text), "a whole number")),
        },
        Value::Integer(Some(number)) => number,
        other => return Err(wrong_type(&other, "a whole number")),
    };
    u64::try_from(number)
        .ok()
        .filter(|number| bounds.contains(number))
        .ok_or_else(|| Fault::OutOfRange {
            value: number.to_string(),
            least: *bounds.start(),
            most: *bounds.end(),
        })
}

/// A text as an error shows it: quoted, escaped, cut short.
pub(super) fn shown(text: &str) -> String {
    if text.chars().count() > SHOWN_CHARS_MAX {
        let begin: String = text.chars().take(SHOWN_CHARS_MAX).collect();
        return format!("{begin:?}…");
    }
    format!("{text:?}")
}

/// The section in which a key of this name exists.
fn elsewhere(name: &str) -> Option<String> {
    let (section, _) = super::KEYS
        .iter()
        .find(|(_, names)| names.contains(&name))?;
    Some(format!("{section}.{name}"))
}

/// `channel[3].id` -> `channel.id`: the place is told by line and column.
fn without_numbers(path: &str) -> String {
    let mut is_number = false;
    path.chars()
        .filter(|letter| {
            let was_number = is_number;
            is_number = *letter == '[' || (is_number && *letter != ']');
            !was_number && !is_number
        })
        .collect()
}

/// Longer texts are cut in errors.
const SHOWN_CHARS_MAX: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    fn read<T>(text: &str, read: impl FnOnce(&mut Reader<'_>) -> T) -> (T, Vec<String>) {
        let mut report = Report::default();
        let path = Arc::from(Path::new("f"));
        let entries = super::super::tree::parse(text, &path, &mut report.errors);
        let node = Node {
            origin: Origin::WholeFile(path),
            value: Value::Table(entries),
        };
        let mut reader = Reader::new(&mut report, "server".into(), node);
        let value = read(&mut reader);
        reader.finish();
        let errors = report.errors.iter().map(ToString::to_string).collect();
        (value, errors)
    }

    #[test]
    fn a_wrong_value_is_reported_and_the_default_is_used() {
        let (value, errors) = read("shards = true\npin = 3", |reader| {
            (
                reader.whole("shards", 1..=9, 4),
                reader.boolean("pin", true),
            )
        });
        assert_eq!(value, (4, true));
        assert_eq!(
            errors,
            [
                "f:1:10: server.shards: is true or false, a whole number is allowed",
                "f:2:7: server.pin: is a number, true or false is allowed"
            ]
        );
    }

    #[test]
    fn bounds_are_inclusive_on_both_ends() {
        for (number, is_allowed) in [(0, false), (1, true), (9, true), (10, false), (-1, false)] {
            let (_, errors) = read(&format!("a = {number}"), |reader| {
                reader.whole("a", 1..=9, 4)
            });
            assert_eq!(errors.is_empty(), is_allowed, "{number}: {errors:?}");
        }
    }

    #[test]
    fn an_unknown_key_is_told_the_nearest_name_or_the_right_section() {
        let ((), errors) = read("shrads = 1\nlinger_ms = 2\nnonsense = 3", |reader| {
            reader.take("shards");
        });
        assert_eq!(
            errors,
            [
                "f:2:1: server.linger_ms: is not known, did you mean `stream.linger_ms`?",
                "f:3:1: server.nonsense: is not known",
                "f:1:1: server.shrads: is not known, did you mean `shards`?"
            ]
        );
    }

    #[test]
    fn a_quoted_key_cannot_make_a_second_line() {
        let ((), errors) = read("\"a\\nb\\u001b\" = 1", |_| ());
        assert_eq!(errors, ["f:1:1: server.a\\nb\\u{1b}: is not known"]);
    }

    #[test]
    fn the_text_of_a_variable_takes_the_type_that_is_asked_for() {
        let bare = |text: &str| Value::Bare(text.into());
        assert_eq!(whole_in(bare(" 50 "), &(0..=99)).unwrap(), 50);
        assert!(whole_in(bare("50 viewers"), &(0..=99)).is_err());
        assert!(whole_in(bare(""), &(0..=99)).is_err());
        assert!(whole_in(bare("100"), &(0..=99)).is_err());
    }

    #[test]
    fn paths_in_errors_carry_no_list_numbers() {
        assert_eq!(
            without_numbers("channel[13].upstream[0].url"),
            "channel.upstream.url"
        );
    }

    #[test]
    fn a_shown_text_is_one_short_line() {
        assert_eq!(shown("a\nb"), "\"a\\nb\"");
        assert!(shown(&"x".repeat(1000)).chars().count() < 80);
    }
}
