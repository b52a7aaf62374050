//! Any bytes as a list of channels: reading ends, and what comes of it keeps the bounds of a channel.

#![no_main]

use std::collections::HashSet;
use std::path::PathBuf;
use std::time::Duration;

use corecast::config::{Playlist, UPSTREAMS_MAX};
use corecast::playlist::filter::{Filter, Pattern};
use corecast::playlist::list::List;
use corecast::playlist::numbers::{Numbers, Taken};
use corecast::upstream::document::Place;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (&str, bool, &[u8])| {
    let (pattern, merge, bytes) = input;
    let settings = Playlist {
        name: "fuzz".to_owned(),
        place: Place::File(PathBuf::from("fuzz.m3u")),
        refresh: Duration::from_secs(10),
        user_agent: None,
        group: None,
        filter: Filter {
            names_except: vec![Pattern::new(pattern)],
            ..Filter::default()
        },
        id_from: 1,
        channels_max: 50,
        merge,
    };
    let Ok(list) = List::read(bytes, &settings) else {
        return;
    };
    assert!(list.entries > 0 && list.channels.len() <= 50);
    for channel in &list.channels {
        let length = channel.name.chars().count();
        assert!((1..=200).contains(&length), "{:?}", channel.name);
        assert!(!channel.name.contains(char::is_control));
        assert!((1..=UPSTREAMS_MAX).contains(&channel.upstreams.len()));
        assert_ne!(channel.number, Some(0));
    }
    let identities: Vec<_> = list.channels.iter().map(|it| &it.identity).collect();
    let free = Taken {
        for_good: &|_| false,
        by_others: &|_| false,
    };
    let mut numbers = Numbers::new(1);
    let first = numbers.assign(&identities, &free, 1);
    let distinct: HashSet<_> = first.iter().collect();
    assert_eq!(distinct.len(), first.len());
    assert_eq!(numbers.assign(&identities, &free, 2), first);
    let json = numbers.to_json().unwrap();
    assert_eq!(Numbers::from_json(&json, 1).unwrap(), numbers);
});
