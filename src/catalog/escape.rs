//! Names and URLs as XML and M3U can carry them. (pure)
//!
//! What stands around them belongs to the formats. The rule: a name that an operator writes changes nothing but the
//! place it is written to, whatever is in it.

/// Appends text for an XML element or a quoted attribute. What XML 1.0 cannot hold is left out.
pub(super) fn push_xml(out: &mut String, text: &str) {
    for letter in text.chars() {
        match letter {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&apos;"),
            '\u{fffe}' | '\u{ffff}' => {}
            letter if letter.is_control() => {}
            letter => out.push(letter),
        }
    }
}

/// A name as it stands after the comma of an `#EXTINF` line.
///
/// Kodi looks for the last quote, TiviMate stumbles over `=`, and a line break would begin another entry.
pub(super) fn title(text: &str) -> String {
    let letters = text.chars().map(|letter| match letter {
        '"' => '\'',
        '=' => '-',
        letter if letter.is_control() || is_line_break(letter) => ' ',
        letter => letter,
    });
    single_spaced(&letters.collect::<String>())
}

/// A name as it stands in a quoted attribute: as [`title`], and without the commas at which simple parsers cut the line
/// and the semicolons at which Kodi cuts a group.
pub(super) fn attribute(text: &str) -> String {
    single_spaced(&title(text).replace([',', ';'], " "))
}

fn is_line_break(letter: char) -> bool {
    matches!(letter, '\u{2028}' | '\u{2029}')
}

fn single_spaced(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn xml_holds_any_name_as_text() {
        let mut out = String::new();
        push_xml(&mut out, "A&B <\"c\"> 'd'\u{1}\u{ffff}\r\n é");
        assert_eq!(out, "A&amp;B &lt;&quot;c&quot;&gt; &apos;d&apos; é");
    }

    #[test]
    fn a_title_keeps_its_commas_and_its_line() {
        assert_eq!(title("News, \"24\"\r\nA=B\u{2028}c"), "News, '24' A-B c");
        assert_eq!(title("  "), "");
    }

    #[test]
    fn an_attribute_has_nothing_that_ends_it() {
        assert_eq!(attribute("News, \"24\"; A=B"), "News '24' A-B");
    }
}
