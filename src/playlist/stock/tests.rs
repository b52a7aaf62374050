//! What `stock.rs` promises, tried.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use super::*;
use crate::config::Inputs;
use crate::playlist::list::tests::settings;
use crate::upstream::document::Place;

/// A folder of its own for each test, removed when it is dropped.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let name = format!("corecast-stock-{name}-{}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        fs::create_dir_all(&folder).unwrap();
        Self(folder)
    }

    /// A configuration with a channel 5 and a channel 1001, an account of group UK, and these lists in its folder.
    fn config(&self, lists: &[&str]) -> Config {
        let mut text =
            "[[channel]]\nid = 5\nnumber = 7\nname = \"Five\"\nupstream = [{demo = true}]\n\
            [[channel]]\nid = 1001\nname = \"Own\"\ngroup = \"UK\"\nupstream = [{demo = true}]\n\
            [[account]]\nuser = \"anna\"\npassword = \"p\"\ngroups = [\"UK\"]\n\
            [[account]]\nuser = \"ben\"\npassword = \"p\"\n"
                .to_owned();
        for list in lists {
            text.push_str(&format!(
                "[[playlist]]\nname = \"{list}\"\nfile = \"{list}.m3u\"\nid_from = 1000\n"
            ));
        }
        let file = self.0.join("corecast.toml");
        fs::write(&file, text).unwrap();
        let inputs = Inputs {
            file: Some(file),
            ..Inputs::default()
        };
        Config::load(&inputs).unwrap().0
    }

    fn write(&self, list: &str, entries: &[(&str, &str)]) {
        let mut text = "#EXTM3U\n".to_owned();
        for (attributes, name) in entries {
            text.push_str(&format!(
                "#EXTINF:-1 {attributes},{name}\nhttp://h/{name}.ts\n"
            ));
        }
        fs::write(self.0.join(format!("{list}.m3u")), text).unwrap();
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).unwrap();
    }
}

fn seen(names: &[&str]) -> Seen {
    let entries = names
        .iter()
        .map(|name| format!("#EXTINF:-1,{name}\nhttp://h/{name}.ts\n"));
    let bytes = Bytes::from(format!("#EXTM3U\n{}", entries.collect::<String>()));
    let list = Arc::new(List::read(&bytes, &settings("a")).unwrap());
    Seen { bytes, list }
}

/// Number, number in apps and name of each channel that comes from a list.
fn listed(config: &Config) -> Vec<(u32, u32, &str)> {
    let listed = config.channels.iter().filter(|it| it.playlist.is_some());
    listed
        .map(|it| (it.id, it.number, it.name.as_str()))
        .collect()
}

fn account(config: &Config) -> Vec<u32> {
    let channels = config.accounts[0].channels.as_ref().unwrap();
    channels.iter().copied().collect()
}

#[test]
fn the_channels_of_a_file_are_there_from_the_start() {
    let folder = Folder::new("start");
    folder.write(
        "a",
        &[("group-title=\"UK\" tvg-chno=\"3\"", "One"), ("", "Two")],
    );
    let config = stock(folder.config(&["a"]), &Lists::default(), 1);
    assert_eq!(listed(&config), [(1000, 3, "One"), (1002, 1002, "Two")]);
    assert_eq!(account(&config), [1000, 1001]);
    assert_eq!(config.accounts[1].channels, None);
    let one = &config.channels[2];
    assert_eq!(one.playlist.as_deref(), Some("a"));
    assert_eq!(one.stream, config.stream);
}

#[test]
fn a_list_that_cannot_be_read_leaves_the_others() {
    let folder = Folder::new("missing");
    folder.write("b", &[("", "One")]);
    let config = stock(folder.config(&["a", "b"]), &Lists::default(), 1);
    assert_eq!(listed(&config), [(1000, 1000, "One")]);
    assert!(config.lists.is_missing("a") && !config.lists.is_missing("b"));
    assert_eq!(account(&config), [1001], "a group may be empty for now");
}

#[test]
fn no_two_channels_have_one_number_whatever_lists_say() {
    let folder = Folder::new("numbers");
    let same = [
        ("tvg-chno=\"7\"", "One"),
        ("tvg-chno=\"1002\"", "Two"),
        ("tvg-chno=\"9\"", "Three"),
        ("tvg-chno=\"9\"", "Four"),
        ("tvg-chno=\"1001\"", "Five"),
    ];
    folder.write("a", &same);
    folder.write("b", &same);
    let config = stock(folder.config(&["a", "b"]), &Lists::default(), 1);
    let ids: BTreeSet<u32> = config.channels.iter().map(|it| it.id).collect();
    let numbers: BTreeSet<u32> = config.channels.iter().map(|it| it.number).collect();
    assert_eq!(
        (ids.len(), numbers.len()),
        (12, 12),
        "{:?}",
        listed(&config)
    );
    assert_eq!(listed(&config)[2], (1003, 9, "Three"));
    assert!(numbers.contains(&7) && config.channels[0].number == 7);
}

#[test]
fn another_list_takes_the_place_of_one_and_numbers_stay() {
    let folder = Folder::new("restock");
    folder.write("a", &[("", "One"), ("", "Two")]);
    let config = stock(folder.config(&["a"]), &Lists::default(), 1);
    let playlist = &config.playlists[0];
    let newer = seen(&["Three", "Two"]);
    let config = restock(&config.lists, playlist, newer, 2).unwrap();
    assert_eq!(
        listed(&config),
        [(1003, 1003, "Three"), (1002, 1002, "Two")]
    );
    assert_eq!(
        config.channels.len(),
        4,
        "those of the file stand there once"
    );
    let back = restock(&config.lists, playlist, seen(&["One", "Two"]), 3).unwrap();
    assert_eq!(listed(&back), [(1000, 1000, "One"), (1002, 1002, "Two")]);
    let mut other = playlist.clone();
    other.merge = true;
    assert!(restock(&config.lists, &other, seen(&["X"]), 2).is_none());
}

#[test]
fn an_account_loses_what_left_its_group() {
    let folder = Folder::new("group");
    folder.write(
        "a",
        &[("group-title=\"UK\"", "One"), ("group-title=\"UK\"", "Two")],
    );
    let config = stock(folder.config(&["a"]), &Lists::default(), 1);
    assert_eq!(account(&config), [1000, 1001, 1002]);
    let newer = restock(&config.lists, &config.playlists[0], seen(&["Two"]), 2).unwrap();
    assert_eq!(account(&newer), [1001], "it has no group now");
}

#[test]
fn a_reloaded_configuration_has_the_lists_of_the_one_before() {
    let folder = Folder::new("reload");
    folder.write(
        "a",
        &[("group-title=\"UK\"", "One"), ("group-title=\"FR\"", "Two")],
    );
    let before = stock(folder.config(&["a"]), &Lists::default(), 1);
    fs::remove_file(folder.0.join("a.m3u")).unwrap();
    let same = stock(folder.config(&["a"]), &before.lists, 2);
    assert_eq!(listed(&same), listed(&before));
    // Other settings are read out of the same bytes, and a file's own channel goes before.
    let mut settings = folder.config(&["a"]);
    settings.playlists[0].filter.groups = vec![crate::playlist::filter::Pattern::new("FR")];
    settings.channels[0].id = 1002;
    let filtered = stock(settings, &before.lists, 2);
    assert_eq!(listed(&filtered), [(1003, 1003, "Two")]);
    // Another place is another list, whose numbers go on.
    let mut settings = folder.config(&["a"]);
    settings.playlists[0].place = Place::File(folder.0.join("b.m3u"));
    folder.write("b", &[("", "New"), ("", "Two")]);
    let moved = stock(settings, &before.lists, 2);
    assert_eq!(listed(&moved), [(1003, 1003, "New"), (1002, 1002, "Two")]);
    let gone = stock(folder.config(&[]), &before.lists, 2);
    assert!(listed(&gone).is_empty());
}

#[test]
fn numbers_and_the_last_good_list_outlive_the_process() {
    let folder = Folder::new("kept");
    folder.write("a", &[("", "One"), ("", "Two")]);
    let config = stock(folder.config(&["a"]), &Lists::default(), 1);
    let playlist = &config.playlists[0];
    let numbers = config.lists.numbers("a").unwrap();
    let file = numbers_file(playlist, &config.server);
    assert!(file.starts_with(folder.0.join("corecast-state")));
    kept::replace(&file, &[&numbers.to_json().unwrap()]).unwrap();
    folder.write("a", &[("", "Two"), ("", "Three"), ("", "One")]);
    let next = stock(folder.config(&["a"]), &Lists::default(), 2);
    assert_eq!(
        listed(&next),
        [
            (1002, 1002, "Two"),
            (1003, 1003, "Three"),
            (1000, 1000, "One")
        ]
    );
    for broken in [&b"{"[..], b"", b"\xff", b"[1,2]"] {
        fs::write(&file, broken).unwrap();
        let anew = stock(folder.config(&["a"]), &Lists::default(), 2);
        assert_eq!(listed(&anew)[0], (1000, 1000, "Two"));
    }
}

#[test]
fn ten_thousand_entries_are_channels_and_stay_so() {
    let folder = Folder::new("many");
    let names: Vec<String> = (0..10_000)
        .map(|number| format!("Channel {number}"))
        .collect();
    let mut entries: Vec<(&str, &str)> = names.iter().map(|name| ("", name.as_str())).collect();
    folder.write("a", &entries);
    let config = stock(folder.config(&["a"]), &Lists::default(), 1);
    let first: BTreeSet<_> = listed(&config).into_iter().collect();
    assert_eq!(first.len(), 10_000);
    entries.reverse();
    folder.write("a", &entries);
    let bytes = Bytes::from(fs::read(folder.0.join("a.m3u")).unwrap());
    let turned = read(&config.playlists[0], bytes).unwrap();
    let turned = restock(&config.lists, &config.playlists[0], turned, 2).unwrap();
    assert_ne!(listed(&turned), listed(&config));
    assert_eq!(listed(&turned).into_iter().collect::<BTreeSet<_>>(), first);
}
