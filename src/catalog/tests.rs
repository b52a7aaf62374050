//! What `mod.rs` promises, tried; beside it, the channels that the tests of all formats list.

use url::Url;

use super::*;
use crate::config::{Stream, Upstream};

/// Three channels: one with everything and hard names, one with nothing, one of the first one's group.
pub(crate) fn channels() -> Vec<Channel> {
    let mut news = channel(1, "News, \"24\" & more");
    news.group = Some("World; News".into());
    news.logo = Some(Url::parse("http://192.0.2.1/n.png?a=1&b=2").unwrap());
    news.epg_id = Some("news.example".into());
    news.number = 7;
    let mut three = channel(3, "Three = 3");
    three.group.clone_from(&news.group);
    vec![news, channel(2, "Two"), three]
}

fn channel(id: u32, name: &str) -> Channel {
    Channel {
        id,
        name: name.into(),
        group: None,
        logo: None,
        epg_id: None,
        number: id,
        stream: Stream::default(),
        upstreams: vec![Upstream::Demo {
            bits_per_second: 4_000_000,
        }],
        playlist: None,
    }
}

pub(crate) fn asker() -> Asker {
    Asker::new(
        Base::new(false, "tv.example:8000"),
        Some(&offer("anna", "a+b:c")),
        Standing::unlimited(5),
    )
}

fn offer(user: &str, password: &str) -> Credentials {
    Credentials {
        user: user.into(),
        password: Secret::new(password),
    }
}

/// The whole body, for [`asker`].
pub(crate) fn written(listing: &Listing<'_>) -> String {
    let pieces = (0..listing.pieces()).map(|index| listing.piece(index, &asker()));
    let mut text: String = pieces.collect();
    for shelf in listing.shelves() {
        text.push_str(str::from_utf8(shelf.text()).unwrap());
    }
    if !listing.shelves().is_empty() {
        text.push_str(listing.closing());
    }
    text
}

#[test]
fn many_channels_are_written_in_pieces_that_fit_together() {
    for count in [0, 1, 99, 100, 101, 250] {
        let channels: Vec<Channel> = (1..=count).map(|id| channel(id, "a")).collect();
        let listing = tuner::lineup(&channels);
        let expected = usize::try_from(count).unwrap().div_ceil(PIECE_ROWS).max(1);
        assert_eq!(listing.pieces(), expected);
        let whole: Vec<serde_json::Value> = serde_json::from_str(&written(&listing)).unwrap();
        let numbers: Vec<_> = whole.iter().map(|it| it["GuideNumber"].clone()).collect();
        let wanted: Vec<_> = (1..=count).map(|id| id.to_string()).collect();
        assert_eq!(numbers, wanted);
        assert_eq!(listing.piece(expected, &asker()), "", "there is no more");
    }
}

#[test]
fn categories_are_numbered_as_they_appear() {
    let channels = channels();
    let of = |entries: Vec<Entry<'_>>| -> Vec<(u32, u32, String)> {
        let seen = entries.iter();
        seen.map(|it| (it.channel.id, it.category, it.group.to_owned()))
            .collect()
    };
    let news = "World; News".to_owned();
    let others = "Channels".to_owned();
    assert_eq!(
        of(Entry::all(&channels)),
        [
            (1, 1, news.clone()),
            (2, 2, others.clone()),
            (3, 1, news.clone())
        ]
    );
    assert_eq!(
        of(Entry::categories(&channels)),
        [(1, 1, news), (2, 2, others)]
    );
}

#[test]
fn a_url_carries_any_account_that_a_path_can_carry() {
    let channels = channels();
    for (user, password, path) in [
        ("anna", "correct.horse", "anna/correct.horse"),
        ("a b", "ü|\"&", "a%20b/%C3%BC%7C%22%26"),
        ("", "..", "any/any"),
        (".", "a/b", "any/any"),
        ("a\\b", "c", "any/c"),
    ] {
        let asker = Asker::new(
            Base::new(false, "a"),
            Some(&offer(user, password)),
            Standing::unlimited(1),
        );
        assert_eq!(
            asker.channel_url(&channels[0]),
            format!("http://a/live/{path}/1.ts")
        );
    }
    let nobody = Asker::new(Base::new(true, "a"), None, Standing::unlimited(1));
    assert_eq!(
        nobody.channel_url(&channels[0]),
        "https://a/live/any/any/1.ts"
    );
}

#[test]
fn an_asker_does_not_print_its_account() {
    let shown = format!("{:?} {:?}", asker(), tuner::lineup(&channels()));
    assert!(!shown.contains("anna") && !shown.contains("a+b"), "{shown}");
}
