//! Which of a guide's channels are wanted, and under which name each is served. (pure)
//!
//! Reading a guide is `read.rs`. The rule: a channel with an `epg_id` is found by that id, one without by its name, and in
//! neither does case matter; what is served carries the name that the playlist gives as `tvg-id`.

use std::borrow::Cow;
use std::collections::HashMap;

use crate::config::Channel;

/// What joins a channel with its programmes in every answer.
#[must_use]
pub fn key(channel: &Channel) -> Cow<'_, str> {
    match &channel.epg_id {
        Some(epg_id) => Cow::Borrowed(epg_id),
        None => Cow::Owned(channel.id.to_string()),
    }
}

/// The channels that a guide is cut to.
///
/// Shape: a wanted channel is the index of its key; several of the configuration may share one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cut {
    keys: Vec<Box<str>>,
    /// By id in lower case.
    by_id: HashMap<Box<str>, Vec<usize>>,
    /// By name in lower case, single-spaced.
    by_name: HashMap<Box<str>, Vec<usize>>,
}

impl Cut {
    /// Cuts to all channels of a configuration.
    #[must_use]
    pub fn to(channels: &[Channel]) -> Self {
        let mut cut = Self::default();
        let mut known = HashMap::new();
        for channel in channels {
            let key = key(channel);
            let index = *known.entry(key.clone()).or_insert(cut.keys.len());
            if index == cut.keys.len() {
                cut.keys.push(key.into());
            }
            let places = match &channel.epg_id {
                Some(epg_id) => cut.by_id.entry(id_as_compared(epg_id)),
                None => cut.by_name.entry(name_as_compared(&channel.name)),
            };
            let indexes = places.or_default();
            if !indexes.contains(&index) {
                indexes.push(index);
            }
        }
        cut
    }

    /// The same channels as they stand in a guide that has been cut: each by its key.
    #[must_use]
    pub fn as_served(&self) -> Self {
        let mut cut = Self {
            keys: self.keys.clone(),
            ..Self::default()
        };
        for (index, key) in self.keys.iter().enumerate() {
            let indexes = cut.by_id.entry(id_as_compared(key)).or_default();
            indexes.push(index);
        }
        cut
    }

    /// The keys, in the order of the configuration.
    #[must_use]
    pub fn keys(&self) -> &[Box<str>] {
        &self.keys
    }

    /// The channels that want the programmes of a guide's channel with this id.
    #[must_use]
    pub fn of_id(&self, id: &str) -> &[usize] {
        let wanted = self.by_id.get(&*id_as_compared(id));
        wanted.map_or(&[], |it| &**it)
    }

    /// The channels that want the programmes of a guide's channel with this name.
    #[must_use]
    pub fn of_name(&self, name: &str) -> &[usize] {
        let wanted = self.by_name.get(&*name_as_compared(name));
        wanted.map_or(&[], |it| &**it)
    }
}

/// An id as two of them are compared.
#[must_use]
pub fn id_as_compared(id: &str) -> Box<str> {
    id.trim().to_lowercase().into()
}

fn name_as_compared(name: &str) -> Box<str> {
    let words: Vec<_> = name.split_whitespace().collect();
    words.join(" ").to_lowercase().into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::tests::channels;

    #[test]
    fn a_channel_is_found_by_its_id_or_else_by_its_name() {
        let cut = Cut::to(&channels());
        assert_eq!(cut.keys(), ["news.example".into(), "2".into(), "3".into()]);
        assert_eq!(cut.of_id(" News.Example"), [0]);
        assert!(cut.of_id("2").is_empty(), "our number says nothing");
        assert_eq!(cut.of_name(" TWO\n"), [1]);
        assert_eq!(cut.of_name("three  =\u{a0}3"), [2]);
        let has_id = "News, \"24\" & more";
        assert!(cut.of_name(has_id).is_empty(), "it has an id");
    }

    #[test]
    fn channels_that_share_an_id_share_what_is_kept() {
        let mut channels = channels();
        channels[1].epg_id = Some("news.example".into());
        channels[2].epg_id = Some("NEWS.example".into());
        let cut = Cut::to(&channels);
        assert_eq!(cut.keys(), ["news.example".into(), "NEWS.example".into()]);
        assert_eq!(cut.of_id("news.example"), [0, 1]);
    }

    #[test]
    fn what_was_cut_is_found_by_the_keys_it_was_given() {
        let cut = Cut::to(&channels()).as_served();
        assert_eq!(cut.of_id("2"), [1]);
        assert_eq!(cut.of_id("news.example"), [0]);
        assert!(cut.of_name("Two").is_empty());
    }

    #[test]
    fn channels_of_one_name_are_both_found() {
        let mut channels = channels();
        channels[2].name = "two".into();
        assert_eq!(Cut::to(&channels).of_name("Two"), [1, 2]);
    }

    #[test]
    fn a_cut_changes_with_what_guides_are_searched_for_alone() {
        let (before, mut after) = (channels(), channels());
        after[0].name = "Other".into();
        after[1].logo = before[0].logo.clone();
        assert_eq!(Cut::to(&before), Cut::to(&after));
        after[1].name = "Other".into();
        assert_ne!(Cut::to(&before), Cut::to(&after));
    }
}
