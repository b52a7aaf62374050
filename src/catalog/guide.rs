//! The channels as an XMLTV document. (pure)
//!
//! There are no programmes in it yet. The rule: what `epg_channel_id` and `tvg-id` say elsewhere is a channel here, and
//! no id stands twice. Source: xmltv.dtd.

use std::collections::HashSet;

use super::escape::push_xml;
use super::{Asker, Entry, Listing, XML, XML_DECLARATION};
use crate::config::Channel;

/// A guide that names the channels; of several with one id the first.
#[must_use]
pub fn guide<'c>(channels: impl IntoIterator<Item = &'c Channel>) -> Listing<'c> {
    let mut entries = Entry::all(channels);
    let mut seen = HashSet::new();
    entries.retain(|entry| seen.insert(entry.epg_id()));
    let opening = format!("{XML_DECLARATION}<tv generator-info-name=\"corecast\">\n");
    Listing::new(XML, opening, entries, push_channel).between("", "</tv>\n")
}

fn push_channel(out: &mut String, entry: &Entry<'_>, _asker: &Asker) {
    out.push_str("<channel id=\"");
    push_xml(out, &entry.epg_id());
    out.push_str("\"><display-name>");
    push_xml(out, &entry.channel.name);
    out.push_str("</display-name>");
    if !entry.logo().is_empty() {
        out.push_str("<icon src=\"");
        push_xml(out, entry.logo());
        out.push_str("\"/>");
    }
    out.push_str("</channel>\n");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::tests::{channels, written};

    #[test]
    fn every_id_is_a_channel_once() {
        let mut channels = channels();
        channels[2].epg_id = Some("news.example".into());
        assert_eq!(
            written(&guide(&channels)),
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<tv generator-info-name=\"corecast\">\n\
             <channel id=\"news.example\"><display-name>News, &quot;24&quot; &amp; more</display-name>\
             <icon src=\"http://192.0.2.1/n.png?a=1&amp;b=2\"/></channel>\n\
             <channel id=\"2\"><display-name>Two</display-name></channel>\n</tv>\n"
        );
    }
}
