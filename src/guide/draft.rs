//! One programme while it is read: its elements written anew, as clean XML. (pure)
//!
//! Which programmes are read is decided in `read.rs`. The rule: what comes out is well-formed and bounded whatever went in;
//! an element that is too long or has no proper name is left out whole.

use std::ops::Range;

/// What stands in a programme, without the element around it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Draft {
    text: String,
    title: Range<usize>,
    description: Range<usize>,
    language: Range<usize>,
    /// Elements that are open within the programme.
    depth: usize,
    child: Child,
}

/// The element of the programme that is open.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Child {
    role: Role,
    /// Where it begins.
    at: usize,
    /// Where the tag ends that was written last, and whether an element began with it.
    tag_end: usize,
    is_begun: bool,
    /// Where its content begins.
    content_at: usize,
    language: Range<usize>,
    is_left_out: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Role {
    Description,
    #[default]
    Other,
    Title,
}

/// What was read of a programme.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Content<'d> {
    /// Its elements. The ranges are within it.
    pub(super) text: &'d str,
    pub(super) title: Range<usize>,
    pub(super) description: Range<usize>,
    pub(super) language: Range<usize>,
}

impl Draft {
    /// Forgets the programme before.
    pub(super) fn begin(&mut self) {
        self.text.clear();
        (self.title, self.description, self.language) = (0..0, 0..0, 0..0);
        self.depth = 0;
        self.child = Child::default();
    }

    /// An element begins.
    pub(super) fn open(&mut self, name: &str, attributes: impl Iterator<Item = (String, String)>) {
        self.depth += 1;
        if self.depth == 1 {
            self.child = Child {
                role: match name {
                    "desc" => Role::Description,
                    "title" => Role::Title,
                    _ => Role::Other,
                },
                at: self.text.len(),
                ..Child::default()
            };
        }
        if !is_name(name) {
            self.leave_out();
        }
        if self.child.is_left_out {
            return;
        }
        if self.depth > 1 {
            self.drop_layout();
        }
        let tag_at = self.text.len();
        self.text.push('<');
        self.text.push_str(name);
        for (key, value) in attributes.take(ATTRIBUTES_MAX) {
            self.attribute(tag_at, &key, &value);
        }
        self.text.push('>');
        self.child.tag_end = self.text.len();
        self.child.is_begun = true;
        if self.depth == 1 {
            self.child.content_at = self.text.len();
        }
        self.bound();
    }

    fn attribute(&mut self, tag_at: usize, key: &str, value: &str) {
        // No value that has been written holds a quote.
        let begin = format!(" {key}=\"");
        let tag = self.text.get(tag_at..).unwrap_or_default();
        if !is_name(key) || tag.contains(&begin) {
            return;
        }
        self.text.push_str(&begin);
        let value_at = self.text.len();
        push_escaped(&mut self.text, value);
        if self.depth == 1 && key == "lang" {
            self.child.language = value_at..self.text.len();
        }
        self.text.push('"');
    }

    /// Text within the innermost element, without escapes.
    pub(super) fn text(&mut self, text: &str) {
        if self.depth == 0 || self.child.is_left_out {
            return;
        }
        push_escaped(&mut self.text, text);
        self.bound();
    }

    /// The innermost element ends.
    pub(super) fn close(&mut self, name: &str) {
        self.depth = self.depth.saturating_sub(1);
        if self.child.is_left_out {
            return;
        }
        self.drop_layout();
        let content = self.child.content_at..self.text.len();
        if self.child.is_begun && self.text.len() == self.child.tag_end {
            self.text.pop();
            self.text.push_str("/>");
        } else {
            self.text.extend(["</", name, ">"]);
        }
        self.child.tag_end = self.text.len();
        self.child.is_begun = false;
        self.bound();
        if self.depth > 0 || self.child.is_left_out {
            return;
        }
        let content = self.trimmed(content);
        match self.child.role {
            Role::Title if self.title.is_empty() => {
                self.title = content;
                self.language = self.child.language.clone();
            }
            Role::Description if self.description.is_empty() => self.description = content,
            _ => {}
        }
    }

    /// The programme ends; `None` if it has no title.
    pub(super) fn finish(&self) -> Option<Content<'_>> {
        (!self.title.is_empty()).then(|| Content {
            text: &self.text,
            title: self.title.clone(),
            description: self.description.clone(),
            language: self.language.clone(),
        })
    }

    /// A range of plain text without white space around it; nothing if there are elements in it.
    fn trimmed(&self, range: Range<usize>) -> Range<usize> {
        let text = self.text.get(range.clone()).unwrap_or_default();
        if text.contains('<') {
            return 0..0;
        }
        let start = range.start + (text.len() - text.trim_start().len());
        start..start + text.trim().len()
    }

    /// Forgets what breaks lines between two tags, and nothing else.
    fn drop_layout(&mut self) {
        let between = self.text.get(self.child.tag_end..).unwrap_or_default();
        if between.contains('\n') && between.trim_ascii().is_empty() {
            self.text.truncate(self.child.tag_end);
        }
    }

    /// Leaves out the open element if the programme has become too long with it.
    fn bound(&mut self) {
        if self.text.len() > PROGRAMME_BYTES_MAX {
            self.leave_out();
        }
    }

    fn leave_out(&mut self) {
        self.text.truncate(self.child.at);
        self.child.is_left_out = true;
    }
}

/// Appends text for an element or a quoted attribute. What XML 1.0 cannot hold is left out.
fn push_escaped(out: &mut String, text: &str) {
    for letter in text.chars() {
        match letter {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            _ if is_kept(letter) => out.push(letter),
            _ => {}
        }
    }
}

/// Whether XML 1.0 can hold it, and apps can show it.
fn is_kept(letter: char) -> bool {
    match letter {
        '\n' | '\t' => true,
        '\u{fffe}' | '\u{ffff}' => false,
        _ => !letter.is_control(),
    }
}

/// Whether it can name an element or an attribute. XMLTV has none with other letters.
fn is_name(name: &str) -> bool {
    let is_first = |byte: &u8| byte.is_ascii_alphabetic() || *byte == b'_';
    let is_later = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.:".contains(&byte);
    name.as_bytes().first().is_some_and(is_first) && name.bytes().all(is_later)
}

/// The longest programme. Long ones that are seen have 4 KB.
pub(super) const PROGRAMME_BYTES_MAX: usize = 32_768;

/// How many attributes of an element are looked at.
const ATTRIBUTES_MAX: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    fn element(draft: &mut Draft, name: &str, attributes: &[(&str, &str)], text: &str) {
        let attributes = attributes.iter();
        draft.open(
            name,
            attributes.map(|(key, value)| ((*key).into(), (*value).into())),
        );
        if !text.is_empty() {
            draft.text(text);
        }
        draft.close(name);
    }

    fn at<'d>(content: &Content<'d>, range: &Range<usize>) -> &'d str {
        &content.text[range.clone()]
    }

    #[test]
    fn a_programme_keeps_its_elements_and_knows_its_first_title() {
        let mut draft = Draft::default();
        draft.begin();
        draft.text("\n  ");
        element(&mut draft, "title", &[("lang", "de")], " Tom & <Jerry>\n");
        element(&mut draft, "title", &[("lang", "en")], "Second");
        element(&mut draft, "desc", &[], "a\tb\r\nc\u{0}");
        element(&mut draft, "new", &[], "");
        let content = draft.finish().unwrap();
        assert_eq!(
            content.text,
            "<title lang=\"de\"> Tom &amp; &lt;Jerry&gt;\n</title><title lang=\"en\">Second</title>\
             <desc>a\tb\nc</desc><new/>"
        );
        assert_eq!(at(&content, &content.title), "Tom &amp; &lt;Jerry&gt;");
        assert_eq!(at(&content, &content.language), "de");
        assert_eq!(at(&content, &content.description), "a\tb\nc");
    }

    #[test]
    fn elements_within_elements_keep_their_place_and_lose_their_layout() {
        let mut draft = Draft::default();
        draft.begin();
        element(&mut draft, "title", &[], "A");
        draft.open("credits", std::iter::empty());
        draft.text("\n    ");
        element(&mut draft, "actor", &[("role", "\"X\"")], "B");
        draft.text("\n");
        draft.close("credits");
        draft.open("desc", std::iter::empty());
        for piece in ["<", "\n ", ">", " \n"] {
            draft.text(piece);
        }
        draft.close("desc");
        assert_eq!(
            draft.finish().unwrap().text,
            "<title>A</title><credits><actor role=\"&quot;X&quot;\">B</actor></credits>\
             <desc>&lt;\n &gt; \n</desc>"
        );
    }

    #[test]
    fn what_is_no_name_and_what_stands_twice_is_left_out() {
        let mut draft = Draft::default();
        draft.begin();
        element(&mut draft, "title", &[("lang", "a"), ("lang", "b")], "A");
        element(&mut draft, "ti\"tle", &[], "B");
        element(&mut draft, "icon", &[("s<rc", "x"), ("src", "y")], "");
        draft.open("credits", std::iter::empty());
        element(&mut draft, "1st", &[], "C");
        draft.text("D");
        draft.close("credits");
        element(&mut draft, "date", &[], "2026");
        assert_eq!(
            draft.finish().unwrap().text,
            "<title lang=\"a\">A</title><icon src=\"y\"/><date>2026</date>"
        );
    }

    #[test]
    fn without_a_title_there_is_no_programme() {
        let mut draft = Draft::default();
        draft.begin();
        element(&mut draft, "title", &[("lang", "de")], "  ");
        element(&mut draft, "desc", &[], "text");
        assert_eq!(draft.finish(), None);
        element(&mut draft, "title", &[("lang", "en")], "Late");
        let content = draft.finish().unwrap();
        assert_eq!(at(&content, &content.language), "en");
        draft.begin();
        assert_eq!(draft.finish(), None, "the one before is forgotten");
    }

    #[test]
    fn an_element_that_is_too_long_is_left_out_and_the_next_is_not() {
        let mut draft = Draft::default();
        draft.begin();
        element(&mut draft, "title", &[], "A");
        draft.open("desc", std::iter::empty());
        for _ in 0..1_000 {
            draft.text(&"x".repeat(100));
            assert!(draft.text.len() <= PROGRAMME_BYTES_MAX + 600);
        }
        draft.close("desc");
        element(&mut draft, "desc", &[], "short");
        for _ in 0..10_000 {
            element(&mut draft, "category", &[], "News");
        }
        let content = draft.finish().unwrap();
        assert_eq!(at(&content, &content.description), "short");
        assert!(content.text.len() <= PROGRAMME_BYTES_MAX);
        assert!(content.text.ends_with("<category>News</category>"));
    }
}
