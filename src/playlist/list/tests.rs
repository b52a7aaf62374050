//! What `list.rs` promises, tried; beside it, the settings that other tests begin with.

use std::path::PathBuf;
use std::time::Duration;

use super::*;
use crate::playlist::filter::{Filter, Pattern};

/// A list of this name in a file, with everything as it is unless it is set.
pub(crate) fn settings(name: &str) -> Playlist {
    Playlist {
        name: name.to_owned(),
        place: Place::File(PathBuf::from("list.m3u")),
        refresh: Duration::from_secs(10),
        user_agent: None,
        group: None,
        filter: Filter::default(),
        id_from: 1000,
        channels_max: 100,
        merge: false,
    }
}

fn read(text: &str, settings: &Playlist) -> List {
    List::read(text.as_bytes(), settings).unwrap()
}

fn names(list: &List) -> Vec<&str> {
    list.channels.iter().map(|it| it.name.as_str()).collect()
}

const LIST: &str = "#EXTM3U\n\
    #EXTINF:-1 tvg-id=\"a.uk\" tvg-logo=\"http://l/a.png\" tvg-chno=\"5\" group-title=\"UK\",Alpha\nhttp://h/1\n\
    #EXTINF:-1 tvg-logo=\"no url\" tvg-chno=\"7.1\" group-title=\"FR\",Beta\nhttp://h/2\n\
    #EXTINF:-1 tvg-chno=\"0\",Gamma\n#EXTGRP:UK\nhttp://h/3\n\
    #EXTINF:-1 group-title=\"UK\",Delta\nhttp://h/4.m3u8\n";

#[test]
fn a_channel_has_what_the_list_says_of_it() {
    let list = read(LIST, &settings("a"));
    assert_eq!(
        (list.entries, names(&list)),
        (4, vec!["Alpha", "Beta", "Gamma"])
    );
    assert_eq!(list.skips().to_string(), "hls=1");
    let [alpha, beta, gamma] = &list.channels[..] else {
        panic!("{list:?}");
    };
    assert_eq!(alpha.epg_id.as_deref(), Some("a.uk"));
    assert_eq!(alpha.logo.as_ref().unwrap().as_str(), "http://l/a.png");
    assert_eq!(
        (alpha.number, alpha.group.as_deref()),
        (Some(5), Some("UK"))
    );
    assert_eq!(
        (beta.number, &beta.logo, &beta.epg_id),
        (None, &None, &None)
    );
    assert_eq!((gamma.number, gamma.group.as_deref()), (None, Some("UK")));
}

#[test]
fn only_wanted_entries_are_channels_and_only_they_are_counted_as_skipped() {
    let mut settings = settings("a");
    settings.filter.groups = vec![Pattern::new("f?")];
    settings.group = Some("All".into());
    let list = read(LIST, &settings);
    assert_eq!((list.entries, names(&list)), (4, vec!["Beta"]));
    assert_eq!(list.skips().to_string(), "none");
    assert_eq!(list.channels[0].group.as_deref(), Some("All"));
}

#[test]
fn what_is_too_much_is_left_out_and_counted() {
    let mut settings = settings("a");
    settings.channels_max = 2;
    let list = read(LIST, &settings);
    assert_eq!(names(&list), ["Alpha", "Beta"]);
    assert_eq!(list.skips().to_string(), "hls=1,over_channels_max=1");
}

#[test]
fn the_same_entry_is_one_channel_and_one_of_the_same_name_another() {
    let text = "#EXTM3U\n#EXTINF:-1,A\nhttp://h/1\n#EXTINF:-1,A\nhttp://h/1\n#EXTINF:-1,A\nhttp://h/2\n\
        #EXTINF:-1,B\nhttp://h/1\n";
    let list = read(text, &settings("a"));
    assert_eq!(names(&list), ["A", "A", "B"]);
    assert_eq!(list.skips().to_string(), "twice=1");
}

#[test]
fn entries_of_one_name_become_one_channel_where_that_is_wanted() {
    let mut settings = settings("a");
    settings.merge = true;
    let mut text =
        "#EXTM3U\n#EXTINF:-1 tvg-id=\"x\",News HD\nhttp://h/1\n#EXTINF:-1,Other\nhttp://h/2\n\
        #EXTINF:-1, NEWS  hd \nhttp://h/3\n#EXTINF:-1,News HD\nhttp://h/1\n"
            .to_owned();
    let list = read(&text, &settings);
    assert_eq!(names(&list), ["News HD", "Other"]);
    assert_eq!(list.channels[0].upstreams.len(), 2);
    assert_eq!(list.skips().to_string(), "twice=1");
    let turned: String = ["#EXTM3U"]
        .into_iter()
        .chain(
            text.lines()
                .skip(1)
                .collect::<Vec<_>>()
                .rchunks(2)
                .flatten()
                .copied(),
        )
        .map(|line| format!("{line}\n"))
        .collect();
    let turned = read(&turned, &settings);
    let of = |list: &List, name: &str| {
        let mut named = list.channels.iter().filter(|it| it.identity.name == name);
        named.next().unwrap().identity.clone()
    };
    assert_eq!(of(&list, "news hd"), of(&turned, "news hd"));
    for number in 0..40 {
        text.push_str(&format!("#EXTINF:-1,Other\nhttp://h/more/{number}\n"));
    }
    let list = read(&text, &settings);
    assert_eq!(list.channels[1].upstreams.len(), UPSTREAMS_MAX);
    assert_eq!(list.skips().to_string(), "over_channels_max=9,twice=1");
}

#[test]
fn a_name_is_one_that_the_configuration_would_take() {
    let long = "é".repeat(300);
    for (announced, link, name) in [
        (",  A \t  b\u{7}c ", "http://h/1", "A b c".to_owned()),
        (
            " tvg-name=\"From attribute\",",
            "http://h/1",
            "From attribute".into(),
        ),
        (" tvg-id=\"id\"", "http://h/1", "id".into()),
        (",", "http://h/a/News%2024.ts?x=1", "News 24".into()),
        (",", "http://h/", "Channel".into()),
        (&format!(",{long}"), "http://h/1", "é".repeat(200)),
    ] {
        let text = format!("#EXTM3U\n#EXTINF:-1{announced}\n{link}\n");
        let list = read(&text, &settings("a"));
        assert_eq!(names(&list), [name], "{announced} {link}");
    }
}

#[test]
fn a_list_without_entries_is_none() {
    for (text, error) in [
        ("#EXTM3U\n", NotAList::Empty),
        ("", NotAList::Empty),
        ("<html>", NotAList::Other),
    ] {
        assert_eq!(
            List::read(text.as_bytes(), &settings("a")).unwrap_err(),
            error
        );
    }
}

#[test]
fn only_a_list_of_this_host_may_name_this_host() {
    let text = "#EXTM3U\n#EXTINF:-1,A\nhttp://127.0.0.1:8080/1\n";
    let mut settings = settings("a");
    assert_eq!(read(text, &settings).channels.len(), 1);
    for (url, skips) in [
        ("http://192.0.2.1/list.m3u", "local=1"),
        ("http://127.0.0.1:9/list.m3u", "none"),
    ] {
        settings.place = Place::Url {
            url: Url::parse(url).unwrap(),
            user_agent: None,
            headers: Vec::new(),
        };
        assert_eq!(read(text, &settings).skips().to_string(), skips, "{url}");
    }
}

#[test]
fn whatever_the_bytes_are_reading_ends() {
    let mut seed = 1_u64;
    let alphabet = b"#EXTINF:-1,\"'= \n\rhttp:/|&%\x00\xff\xc3a{}";
    for _ in 0..500 {
        let mut bytes = b"#EXTM3U\n".to_vec();
        for _ in 0..300 {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let index = usize::try_from(seed >> 33).unwrap() % alphabet.len();
            bytes.push(alphabet[index]);
            if seed >> 60 == 0 {
                bytes.extend(b"\n#EXTINF:-1 tvg-id=\"");
            }
        }
        if let Ok(list) = List::read(&bytes, &settings("a")) {
            assert!(list.entries >= list.channels.len());
        }
    }
}
