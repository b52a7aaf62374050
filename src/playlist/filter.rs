//! Which entries of a list are wanted. (pure)
//!
//! The patterns come checked from the configuration. The rule: no pattern, whatever it is, takes more than its length times
//! that of the text.

use std::fmt;

/// A pattern that a whole text matches or not, letters of either case.
///
/// Shape: `*` stands for any characters or none, `?` for one, everything else for itself.
#[derive(Clone, PartialEq, Eq)]
pub struct Pattern {
    letters: Vec<char>,
    written: String,
}

impl Pattern {
    /// Takes any text for a pattern.
    #[must_use]
    pub fn new(text: &str) -> Self {
        Self {
            letters: folded(text),
            written: text.to_owned(),
        }
    }

    /// As it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.written
    }

    /// Whether all of a text matches.
    #[must_use]
    pub fn matches(&self, text: &str) -> bool {
        self.matches_folded(&folded(text))
    }

    fn matches_folded(&self, text: &[char]) -> bool {
        let (mut at, mut pattern_at) = (0, 0);
        // Where to go on from when what follows the last star does not fit: the star takes one more.
        let mut star: Option<(usize, usize)> = None;
        while let Some(letter) = text.get(at) {
            match self.letters.get(pattern_at) {
                Some('*') => {
                    star = Some((at, pattern_at));
                    pattern_at += 1;
                }
                Some(wanted) if wanted == letter || *wanted == '?' => {
                    at += 1;
                    pattern_at += 1;
                }
                _ => {
                    let Some((from, star_at)) = star else {
                        return false;
                    };
                    star = Some((from + 1, star_at));
                    at = from + 1;
                    pattern_at = star_at + 1;
                }
            }
        }
        let rest = self.letters.get(pattern_at..).unwrap_or_default();
        rest.iter().all(|letter| *letter == '*')
    }
}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.written, f)
    }
}

/// Which entries of a list are wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// One of these groups; empty is any.
    pub groups: Vec<Pattern>,
    /// None of these groups.
    pub groups_except: Vec<Pattern>,
    /// One of these names; empty is any.
    pub names: Vec<Pattern>,
    /// None of these names.
    pub names_except: Vec<Pattern>,
}

impl Filter {
    /// Whether an entry of this group and name is wanted; the group is empty if it has none.
    #[must_use]
    pub fn wants(&self, group: &str, name: &str) -> bool {
        let (group, name) = (folded(group), folded(name));
        let is_any = |patterns: &[Pattern], text: &[char]| {
            let mut patterns = patterns.iter();
            patterns.any(|pattern| pattern.matches_folded(text))
        };
        let is_in = |patterns: &[Pattern], text| patterns.is_empty() || is_any(patterns, text);
        is_in(&self.groups, &group)
            && !is_any(&self.groups_except, &group)
            && is_in(&self.names, &name)
            && !is_any(&self.names_except, &name)
    }
}

fn folded(text: &str) -> Vec<char> {
    text.chars().flat_map(char::to_lowercase).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn patterns(texts: &[&str]) -> Vec<Pattern> {
        texts.iter().map(|text| Pattern::new(text)).collect()
    }

    #[test]
    fn a_pattern_matches_the_whole_text_in_either_case() {
        for (pattern, text, is_match) in [
            ("News", "news", true),
            ("News", "News 24", false),
            ("news*", "News 24", true),
            ("*24", "News 24", true),
            ("*e?s*", "Old NEWS", true),
            ("?", "é", true),
            ("?", "", false),
            ("*", "", true),
            ("", "", true),
            ("", "x", false),
            ("a*b*c", "aXbXbXc", true),
            ("a*b*c", "aXbXbX", false),
            ("ÄÖ*", "äöü", true),
            ("**x**", "axb", true),
        ] {
            assert_eq!(
                Pattern::new(pattern).matches(text),
                is_match,
                "{pattern} {text}"
            );
        }
    }

    #[test]
    fn a_pattern_of_stars_does_not_explode() {
        let pattern = Pattern::new(&"*a".repeat(100));
        assert!(!pattern.matches(&"a".repeat(99)));
        assert!(pattern.matches(&"a".repeat(200)));
        assert!(!pattern.matches(&("a".repeat(200) + "b")));
    }

    #[test]
    fn an_entry_is_wanted_that_every_list_lets_pass() {
        let filter = Filter {
            groups: patterns(&["UK*", "News"]),
            groups_except: patterns(&["*VIP"]),
            names: Vec::new(),
            names_except: patterns(&["#*", "*test*"]),
        };
        assert!(filter.wants("UK Sport", "One"));
        assert!(filter.wants("news", "One"));
        assert!(!filter.wants("UK VIP", "One"));
        assert!(!filter.wants("", "One"));
        assert!(!filter.wants("News", "##### NEWS #####"));
        assert!(!filter.wants("News", "A TEST channel"));
        assert!(Filter::default().wants("", "anything"));
    }
}
