//! The channels as an M3U playlist. (pure)
//!
//! What stands in a name is made harmless in `escape.rs`. Source: there is no standard; the attributes are those that
//! Kodi, VLC and TiviMate read, in the order in which other producers write them.

use std::fmt::Write;

use super::escape::{attribute, title};
use super::{Asker, Entry, Listing};
use crate::config::Channel;

/// How much a playlist tells of each channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Detail {
    /// Names alone: `type=m3u` of Xtream.
    Plain,
    /// Numbers, logos, groups and guide ids too: `type=m3u_plus`.
    Plus,
}

/// A playlist of all channels; `guide` is whose guide it names, if there is one.
#[must_use]
pub fn playlist<'c>(
    channels: impl IntoIterator<Item = &'c Channel>,
    detail: Detail,
    guide: Option<&Asker>,
) -> Listing<'c> {
    let write = match detail {
        Detail::Plain => push_plain,
        Detail::Plus => push_plus,
    };
    let opening = match (detail, guide) {
        (Detail::Plus, Some(asker)) => {
            // Some players read the one, some the other.
            let url = asker.guide_url();
            format!("#EXTM3U url-tvg=\"{url}\" x-tvg-url=\"{url}\"\n")
        }
        _ => "#EXTM3U\n".to_owned(),
    };
    Listing::new("audio/x-mpegurl", opening, Entry::all(channels), write)
}

fn push_plain(out: &mut String, entry: &Entry<'_>, asker: &Asker) {
    let name = title(&entry.channel.name);
    let url = asker.channel_url(entry.channel);
    push(out, format_args!("#EXTINF:-1,{name}\n{url}\n"));
}

fn push_plus(out: &mut String, entry: &Entry<'_>, asker: &Asker) {
    let channel = entry.channel;
    push(
        out,
        format_args!(
            "#EXTINF:-1 tvg-id=\"{}\" tvg-name=\"{}\" tvg-logo=\"{}\" group-title=\"{}\" tvg-chno=\"{}\",{}\n{}\n",
            attribute(&entry.epg_id()),
            attribute(&channel.name),
            entry.logo(),
            attribute(entry.group),
            channel.number,
            title(&channel.name),
            asker.channel_url(channel),
        ),
    );
}

fn push(out: &mut String, text: std::fmt::Arguments<'_>) {
    // Writing to a String cannot fail; were it to, the entry would be missing and nothing worse.
    if out.write_fmt(text).is_err() {
        out.push('\n');
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::tests::{asker, channels, written};

    #[test]
    fn a_full_playlist_has_an_attribute_for_everything() {
        let channels = channels();
        let listing = playlist(&channels, Detail::Plus, None);
        assert_eq!(listing.content_type, "audio/x-mpegurl");
        assert_eq!(
            written(&listing),
            "#EXTM3U\n\
             #EXTINF:-1 tvg-id=\"news.example\" tvg-name=\"News '24' & more\" \
             tvg-logo=\"http://192.0.2.1/n.png?a=1&b=2\" group-title=\"World News\" tvg-chno=\"7\",News, '24' & more\n\
             http://tv.example:8000/live/anna/a%2Bb%3Ac/1.ts\n\
             #EXTINF:-1 tvg-id=\"2\" tvg-name=\"Two\" tvg-logo=\"\" group-title=\"Channels\" tvg-chno=\"2\",Two\n\
             http://tv.example:8000/live/anna/a%2Bb%3Ac/2.ts\n\
             #EXTINF:-1 tvg-id=\"3\" tvg-name=\"Three - 3\" tvg-logo=\"\" group-title=\"World News\" tvg-chno=\"3\",Three - 3\n\
             http://tv.example:8000/live/anna/a%2Bb%3Ac/3.ts\n"
        );
    }

    #[test]
    fn a_plain_playlist_has_names_alone() {
        let channels = channels();
        assert!(written(&playlist(&channels, Detail::Plain, None)).starts_with(
            "#EXTM3U\n#EXTINF:-1,News, '24' & more\nhttp://tv.example:8000/live/anna/a%2Bb%3Ac/1.ts\n#EXTINF:-1,Two\n"
        ));
    }

    #[test]
    fn the_guide_is_named_in_both_ways_that_players_know() {
        let channels = channels();
        let asker = asker();
        let url = "http://tv.example:8000/xmltv.php?username=anna&password=a%2Bb%3Ac";
        let plus = written(&playlist(&channels, Detail::Plus, Some(&asker)));
        let first = format!("#EXTM3U url-tvg=\"{url}\" x-tvg-url=\"{url}\"");
        assert_eq!(plus.lines().next(), Some(&*first));
        let plain = written(&playlist(&channels, Detail::Plain, Some(&asker)));
        assert_eq!(plain.lines().next(), Some("#EXTM3U"));
    }

    #[test]
    fn no_channels_are_an_empty_playlist() {
        let listing = playlist(&[], Detail::Plus, None);
        assert_eq!(
            (listing.pieces(), listing.piece(0, &asker())),
            (1, "#EXTM3U\n".into())
        );
    }
}
