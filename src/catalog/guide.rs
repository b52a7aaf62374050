//! The channels with their programmes as an XMLTV document. (pure)
//!
//! Programmes come written from `guide`. The rule: what `epg_channel_id` and `tvg-id` say elsewhere is a channel here, and no
//! id stands twice. Source: xmltv.dtd.

use std::collections::HashSet;
use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use super::escape::push_xml;
use super::{Asker, Entry, Listing, XML, XML_DECLARATION};
use crate::config::Channel;
use crate::guide::Guide;

/// A guide of these channels; of several with one id the first.
#[must_use]
pub fn guide<'c>(
    channels: impl IntoIterator<Item = &'c Channel>,
    programmes: &Guide,
) -> Listing<'c> {
    let entries = entries(channels);
    let shelves = entries
        .iter()
        .filter_map(|entry| programmes.shelf(&entry.epg_id()));
    let shelves = shelves.map(Arc::clone).collect();
    let opening = format!("{XML_DECLARATION}<tv generator-info-name=\"corecast\">\n");
    let listing = Listing::new(XML, opening, entries, push_channel).between("", "</tv>\n");
    Listing { shelves, ..listing }
}

/// A number that changes when what [`guide`] writes changes.
#[must_use]
pub fn digest<'c>(channels: impl IntoIterator<Item = &'c Channel>, programmes: &Guide) -> u64 {
    let mut hasher = DefaultHasher::new();
    for entry in entries(channels) {
        let id = entry.epg_id();
        (&id, &entry.channel.name, entry.logo()).hash(&mut hasher);
        programmes
            .shelf(&id)
            .map(|it| it.digest())
            .hash(&mut hasher);
    }
    hasher.finish()
}

fn entries<'c>(channels: impl IntoIterator<Item = &'c Channel>) -> Vec<Entry<'c>> {
    let mut entries = Entry::all(channels);
    let mut seen = HashSet::new();
    entries.retain(|entry| seen.insert(entry.epg_id()));
    entries
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
    use crate::guide::tests::{NOON_S, guide_of, programme};

    #[test]
    fn every_id_is_a_channel_once() {
        let mut channels = channels();
        channels[2].epg_id = Some("news.example".into());
        assert_eq!(
            written(&guide(&channels, &Guide::default())),
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<tv generator-info-name=\"corecast\">\n\
             <channel id=\"news.example\"><display-name>News, &quot;24&quot; &amp; more</display-name>\
             <icon src=\"http://192.0.2.1/n.png?a=1&amp;b=2\"/></channel>\n\
             <channel id=\"2\"><display-name>Two</display-name></channel>\n</tv>\n"
        );
    }

    #[test]
    fn programmes_follow_their_channels_and_are_of_these_alone() {
        let channels = channels();
        let programmes = guide_of(
            &channels,
            &[
                "<channel id=\"x2\"><display-name>Two</display-name></channel>",
                &programme("x2", NOON_S, 3_600, "<title>On two</title>"),
                &programme(
                    "news.example",
                    NOON_S,
                    60,
                    "<title lang=\"en\">News</title>",
                ),
            ],
        );
        let written_for = |channels: &[Channel]| {
            let text = written(&guide(channels, &programmes));
            let (_, programmes) = text.rsplit_once("</channel>\n").unwrap();
            programmes.to_owned()
        };
        let on_two = "<programme start=\"20261123120000 +0000\" stop=\"20261123130000 +0000\" channel=\"2\">\
             <title>On two</title></programme>\n";
        let news = "<programme start=\"20261123120000 +0000\" stop=\"20261123120100 +0000\" channel=\"news.example\">\
             <title lang=\"en\">News</title></programme>\n";
        assert_eq!(written_for(&channels), format!("{news}{on_two}</tv>\n"));
        assert_eq!(written_for(&channels[1..]), format!("{on_two}</tv>\n"));
        assert_eq!(written_for(&channels[2..]), "</tv>\n");
    }

    #[test]
    fn a_digest_changes_with_what_is_written_alone() {
        let (mut listed, nothing) = (channels(), Guide::default());
        let before = digest(&listed, &nothing);
        assert_eq!(digest(&channels(), &nothing), before);
        assert_ne!(digest(&listed[1..], &nothing), before);
        let title = |title: &str| {
            let content = format!("<title>{title}</title>");
            guide_of(
                &channels(),
                &[&programme("news.example", NOON_S, 60, &content)],
            )
        };
        let with_news = digest(&listed, &title("News"));
        assert_ne!(with_news, before);
        assert_eq!(digest(&listed, &title("News")), with_news);
        assert_ne!(digest(&listed, &title("More news")), with_news);
        assert_eq!(
            digest(&listed[1..], &title("News")),
            digest(&listed[1..], &nothing)
        );
        listed[1].name = "Other".into();
        assert_ne!(digest(&listed, &nothing), before);
    }
}
