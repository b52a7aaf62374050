//! What is told of channels that are configured, open, neither, or both.

use std::sync::Arc;

use serde_json::{Value, json};

use super::*;
use crate::admin::snapshot::{Flow, Followed, Known, Snapshot};
use crate::channel::id::Content;
use crate::channel::table::LastError;
use crate::ts::facts::{AudioCodec, Facts, VideoCodec};

const SEVEN: ChannelId = ChannelId::Configured(7);

fn dynamic() -> ChannelId {
    let hash = "0123456789abcdef0123456789abcdef01234567".parse().unwrap();
    ChannelId::Dynamic(Content::Infohash(hash))
}

fn fetched(id: ChannelId, upstream: Option<usize>) -> Fetched {
    Fetched {
        id,
        aliases: Vec::new(),
        name: "Fetched".into(),
        phase: Phase::Live,
        since_us: 2_000_000,
        media: Media {
            facts: Facts {
                video: Some(VideoCodec::H264),
                audio: vec![AudioCodec::Mpeg],
                ..Facts::default()
            },
            bits_per_second: 4_000_000,
            ring_us: 9_500_000,
            upstream,
        },
        upstreams: 2,
        source: "demo".into(),
        ring_max: (10_000_000, 1_000),
    }
}

fn picture(homes: Vec<Fetched>) -> Picture {
    let counts = Counts {
        sent: Flow {
            bytes: 1_000,
            bytes_per_second: 10,
        },
        ..Counts::default()
    };
    let snapshot = Snapshot {
        counts: vec![(Label::Channel(7), counts), (Label::Dynamic, counts)],
        relays: vec![Followed {
            id: SEVEN,
            viewers: 3,
            ring_bytes: 500,
        }],
        homes,
        errors: vec![(
            SEVEN,
            LastError {
                at_us: 1_000_000,
                text: "refused".into(),
            },
        )],
        ..Snapshot::default()
    };
    let known = Known {
        snapshot: Some(Arc::new(snapshot)),
        is_stale: false,
    };
    Picture::of(5_000_000, vec![Known::default(), known])
}

fn index(numbers: &[u32]) -> Index {
    let demo = Upstream::Demo {
        bits_per_second: 1_000_000,
    };
    let channel = |number: &u32| config::Channel {
        id: *number,
        name: "Seven".into(),
        group: Some("News".into()),
        logo: None,
        epg_id: None,
        number: *number,
        playlist: None,
        stream: config::Stream::default(),
        upstreams: vec![demo.clone()],
    };
    Index::new(Arc::new(Config {
        channels: numbers.iter().map(channel).collect(),
        ..Config::default()
    }))
}

fn shown(picture: &Picture, id: ChannelId) -> Option<Value> {
    let (index, calendar) = (index(&[7]), Calendar { started_ms: 1_000 });
    let channels = Channels::new(&index, picture, calendar);
    let channel = channels.channel(id);
    channel.map(|channel| serde_json::to_value(channel).unwrap())
}

#[test]
fn an_open_channel_is_shown_with_its_media_its_viewers_and_its_last_trouble() {
    let shown = shown(&picture(vec![fetched(SEVEN, Some(2))]), SEVEN).unwrap();
    let expected = [
        ("id", json!("7")),
        ("name", json!("Seven")),
        ("group", json!("News")),
        ("state", json!("live")),
        ("since_ms", json!(3_000)),
        ("home_shard", json!(1)),
        ("viewers", json!(3)),
        ("shards", json!([1])),
        ("upstream", json!(2)),
        ("upstreams", json!(2)),
        ("source", json!("demo")),
        ("ring_ms", json!(9_500)),
        ("ring_max_ms", json!(10_000)),
        ("ring_bytes", json!(500)),
        ("out_bits_per_second", json!(80)),
        ("received_bytes", json!(0)),
        ("last_error", json!({"time_ms": 2_000, "text": "refused"})),
    ];
    for (field, value) in expected {
        assert_eq!(shown[field], value, "{field}");
    }
    assert_eq!(shown["media"]["video"], json!("H.264"));
    assert_eq!(shown["media"]["audio"], json!(["MPEG audio"]));
    assert_eq!(shown["media"]["width"], Value::Null);
}

#[test]
fn a_channel_that_nobody_wants_is_idle_and_keeps_what_was_counted() {
    let shown = shown(&picture(Vec::new()), SEVEN).unwrap();
    assert_eq!(shown["state"], json!("idle"));
    assert_eq!(shown["since_ms"], Value::Null);
    assert_eq!(shown["media"], Value::Null);
    let home = placement::home_shard(SEVEN, &[], "", 2);
    assert_eq!(shown["home_shard"], json!(home));
    assert_eq!(shown["source"], json!("demo"));
    assert_eq!(shown["sent_bytes"], json!(1_000));
    assert_eq!(shown["ring_max_ms"], json!(10_000));
}

#[test]
fn while_no_upstream_delivers_nothing_is_told_of_media() {
    let shown = shown(&picture(vec![fetched(SEVEN, None)]), SEVEN).unwrap();
    assert_eq!(shown["media"], Value::Null);
    assert_eq!(shown["upstream"], Value::Null);
}

#[test]
fn a_dynamic_channel_is_shown_while_it_is_open_and_without_counts() {
    assert!(shown(&picture(Vec::new()), dynamic()).is_none());
    let shown = shown(&picture(vec![fetched(dynamic(), Some(1))]), dynamic()).unwrap();
    assert_eq!(shown["is_dynamic"], json!(true));
    assert_eq!(shown["name"], json!("Fetched"));
    assert_eq!(shown["sent_bytes"], Value::Null);
    assert_eq!(shown["skips"], Value::Null);
}

#[test]
fn every_channel_stands_once_in_the_list() {
    let picture = picture(vec![fetched(SEVEN, None), fetched(dynamic(), None)]);
    let (index, calendar) = (index(&[9, 7, 8]), Calendar { started_ms: 0 });
    let channels = Channels::new(&index, &picture, calendar);
    assert_eq!(channels.total(), 4);
    let [eight, nine] = [8, 9].map(ChannelId::Configured);
    let all = [SEVEN, eight, nine, dynamic()];
    assert_eq!(channels.page(None, 9), (all.to_vec(), false));
    assert_eq!(channels.page(None, 4), (all.to_vec(), false));
    assert_eq!(channels.page(None, 3), (all[..3].to_vec(), true));
    assert_eq!(channels.page(Some(eight), 1), (vec![nine], true));
    assert_eq!(channels.page(Some(nine), 9), (vec![dynamic()], false));
    assert_eq!(channels.page(Some(dynamic()), 9), (Vec::new(), false));
    assert_eq!(channels.open_ids().count(), 2);
}

#[test]
fn an_open_channel_that_the_configuration_has_no_more_is_still_shown() {
    let gone = ChannelId::Configured(3);
    let picture = picture(vec![fetched(gone, Some(1))]);
    let (index, calendar) = (index(&[7]), Calendar { started_ms: 0 });
    let channels = Channels::new(&index, &picture, calendar);
    assert_eq!(channels.page(None, 9).0, [gone, SEVEN]);
    assert!(channels.channel(gone).is_some());
}

#[test]
fn a_source_is_told_without_its_secrets() {
    let upstream = Upstream::Http {
        url: "http://user:word@host.test:8080/live/anna/secret/7.ts?token=hidden"
            .parse()
            .unwrap(),
        user_agent: None,
        headers: Vec::new(),
    };
    let told = source(&upstream);
    assert!(told.contains("host.test:8080"), "{told}");
    for secret in ["word", "anna", "secret", "hidden"] {
        assert!(!told.contains(secret), "{told}");
    }
}
