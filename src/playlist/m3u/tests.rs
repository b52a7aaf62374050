//! What `m3u.rs` promises, tried on lists as providers write them, and on bytes that are none.

use super::*;

fn read(bytes: &[u8]) -> (Vec<Entry<'_>>, Option<NotAList>) {
    let mut entries = Vec::new();
    for entry in Entries::of(bytes) {
        match entry {
            Ok(entry) => entries.push(entry),
            Err(error) => return (entries, Some(error)),
        }
    }
    (entries, None)
}

/// The only entry of a list.
#[track_caller]
fn only(text: &str) -> Entry<'_> {
    let (mut entries, error) = read(text.as_bytes());
    assert_eq!((entries.len(), error), (1, None), "{text}");
    entries.remove(0)
}

/// The attributes and the title of what stands after `#EXTINF:`.
#[track_caller]
fn announced(text: &str) -> (Vec<(String, String)>, String) {
    let text = format!("#EXTINF:{text}\nhttp://h/1\n");
    let entry = only(&text);
    (entry.attributes, entry.title.into_owned())
}

fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    pairs.iter().map(owned).collect()
}

#[test]
fn an_entry_is_what_stands_before_its_link() {
    let text = "#EXTM3U x-tvg-url=\"http://guide/\"\n\
        #EXTINF:-1 tvg-id=\"news.uk\" tvg-logo=\"http://l/n.png\" group-title=\"UK, news\",News 24\n\
        #EXTGRP:Other\n\
        #EXTVLCOPT:http-user-agent=Player/1.0 (x; y)\n\
        #EXTVLCOPT:http-referrer=http://page/\n\
        #KODIPROP:inputstream=inputstream.adaptive\n\
        http://h/live/anna/secret/7.ts|User-Agent=X\n\
        #EXTINF:-1,Two\n\
        http://h/2\n";
    let (entries, error) = read(text.as_bytes());
    assert_eq!(error, None);
    let [news, two] = &entries[..] else {
        panic!("{entries:?}");
    };
    assert_eq!(news.title, "News 24");
    assert_eq!(news.attribute("tvg-id"), "news.uk");
    assert_eq!(news.attribute("group-title"), "UK, news");
    assert_eq!(news.attribute("tvg-logo"), "http://l/n.png");
    assert_eq!(news.attribute("tvg-chno"), "");
    assert_eq!(news.group, "Other");
    assert_eq!(
        news.hints,
        pairs(&[
            ("http-user-agent", "Player/1.0 (x; y)"),
            ("http-referrer", "http://page/")
        ])
    );
    assert_eq!(news.link, "http://h/live/anna/secret/7.ts|User-Agent=X");
    let bare = Entry {
        title: "Two".into(),
        link: "http://h/2".into(),
        ..Entry::default()
    };
    assert_eq!(*two, bare, "nothing of the first is left");
}

#[test]
fn attributes_are_read_in_any_quoting() {
    for (text, attributes, title) in [
        (
            "-1 a=\"1\" b='2' c=3,T",
            vec![("a", "1"), ("b", "2"), ("c", "3")],
            "T",
        ),
        ("-1 a=\"x, y\",T, u", vec![("a", "x, y")], "T, u"),
        ("-1 a=\"\",T", vec![("a", "")], "T"),
        (
            "-1 A-Name=\"1\"b=\"2\",T",
            vec![("a-name", "1"), ("b", "2")],
            "T",
        ),
        (
            "-1 a=\"The \"Best\" TV\" b=\"2\",T",
            vec![("a", "The \"Best\" TV"), ("b", "2")],
            "T",
        ),
        (
            "-1 a=\"it's\" b='say \"x\"',T",
            vec![("a", "it's"), ("b", "say \"x\"")],
            "T",
        ),
        ("-1 a=\u{201c}1 2\u{201d},T", vec![("a", "1 2")], "T"),
        ("-1 a=\"open,T", vec![("a", "open")], "T"),
        ("-1 a=\"open b=\"2\",T", vec![("a", "open b=\"2")], "T"),
        ("-1 a=\"x=y, z=1\",T", vec![("a", "x=y, z=1")], "T"),
        ("-1 , a=\"1\",T", vec![("a", "1")], "T"),
        ("-1,a=b, c", vec![], "a=b, c"),
        ("-1 stray \" words a=1,T", vec![("a", "1")], "T"),
        ("-1 a=1", vec![("a", "1")], ""),
        ("0 ,T", vec![], "T"),
        ("10.5,T", vec![], "T"),
        (" -1 a = \"1\",T", vec![], "T"),
        ("T", vec![], ""),
        (",", vec![], ""),
        ("", vec![], ""),
        ("-1,\"Quoted\" & 'more'", vec![], "\"Quoted\" & 'more'"),
    ] {
        let (read, seen) = announced(text);
        assert_eq!((read, seen.as_str()), (pairs(&attributes), title), "{text}");
    }
}

#[test]
fn lines_may_end_and_begin_as_they_like() {
    let text =
        "\u{feff}#EXTM3U\r\n\r\n  #extinf:-1,One  \r\n\thttp://h/1 \r\n#EXTINF:-1,Two\rhttp://h/2";
    let (entries, error) = read(text.as_bytes());
    let seen: Vec<(&str, &str)> = entries.iter().map(|it| (&*it.title, &*it.link)).collect();
    assert_eq!(seen, [("One", "http://h/1"), ("Two", "http://h/2")]);
    assert_eq!(error, None);
}

#[test]
fn what_is_no_utf8_is_latin_1() {
    let (entries, _) =
        read(b"#EXTM3U\n#EXTINF:-1 group-title=\"\xc9t\xe9\",Caf\xe9\nhttp://h/\xe9\n");
    assert_eq!(entries[0].title, "Café");
    assert_eq!(entries[0].attribute("group-title"), "Été");
    assert_eq!(entries[0].link, "http://h/é");
}

#[test]
fn hints_before_the_announcement_are_its_own_and_those_of_an_entry_without_link_are_lost() {
    let text = "#EXTM3U\n\
        #EXTVLCOPT:http-user-agent=\"A\"\n#EXTINF:-1,One\nhttp://h/1\n\
        #EXTINF:-1,Lost\n#EXTVLCOPT:http-user-agent=B\n#EXTGRP:Lost\n\
        #EXTINF:-1,Two\n#EXTHTTP:{\"Referer\":\"http://r/\",\"n\":1}\nhttp://h/2\n";
    let (entries, _) = read(text.as_bytes());
    assert_eq!(entries[0].hints, pairs(&[("http-user-agent", "A")]));
    assert_eq!(entries[1].title, "Two");
    assert_eq!(entries[1].hints, pairs(&[("referer", "http://r/")]));
    assert_eq!(entries[1].group, "");
}

#[test]
fn what_is_no_list_is_told_apart() {
    for (text, error) in [
        ("", NotAList::Empty),
        ("\r\n \n", NotAList::Empty),
        ("\u{feff}", NotAList::Empty),
        ("<!DOCTYPE html>\n<html>#EXTM3U</html>", NotAList::Other),
        ("{\"user_info\":{\"auth\":0}}", NotAList::Other),
        ("http://h/1\n", NotAList::Other),
        ("# nothing but a remark\n", NotAList::Other),
        ("#EXTM3UX\nhttp://h/1", NotAList::Other),
        (
            "#EXTM3U\n#EXT-X-TARGETDURATION:6\n#EXTINF:6,\n1.ts\n",
            NotAList::Hls,
        ),
        (
            "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\nlow.m3u8\n",
            NotAList::Hls,
        ),
        ("#EXTM3U\n#EXTINF:-1,One\n", NotAList::Cut),
        (
            "#EXTM3U\n#EXTINF:-1,One\nhttp://h/1\n#EXTINF:-1 tvg-id=\"tw",
            NotAList::Cut,
        ),
    ] {
        assert_eq!(read(text.as_bytes()).1, Some(error), "{text}");
    }
}

#[test]
fn a_list_of_links_alone_is_a_list() {
    let (entries, error) = read(b"# made by hand\n#EXTM3U\nhttp://h/1\nhttp://h/2\n");
    assert_eq!((entries.len(), error), (2, None));
    assert!(entries[0].title.is_empty());
}

#[test]
fn a_long_line_is_cut_and_the_next_is_whole() {
    let long = "x".repeat(LINE_BYTES_MAX);
    let text = format!("#EXTINF:-1,{long}\nhttp://h/1\n#EXTINF:-1,Two\nhttp://h/2\n");
    let (entries, _) = read(text.as_bytes());
    assert_eq!(entries[0].title.len(), LINE_BYTES_MAX - "#EXTINF:-1,".len());
    assert_eq!(entries[1].title, "Two");
}

#[test]
fn no_more_attributes_and_hints_are_kept_than_any_entry_has() {
    let attributes = " a=\"1\"".repeat(1_000);
    let hints = "#EXTVLCOPT:http-user-agent=A\n".repeat(1_000);
    let text = format!("#EXTINF:-1{attributes},T\n{hints}http://h/1\n");
    let entry = only(&text);
    assert_eq!(entry.title, "T");
    assert_eq!(
        (entry.attributes.len(), entry.hints.len()),
        (ATTRIBUTES_MAX, HINTS_MAX)
    );
}

#[test]
fn quotes_that_never_end_cost_no_more_than_a_look() {
    let line = "a=\"x ".repeat(LINE_BYTES_MAX / 5);
    let text = format!("#EXTINF:-1 {line}\nhttp://h/1\n").repeat(200);
    assert_eq!(read(text.as_bytes()).0.len(), 200);
}
