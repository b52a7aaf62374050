//! The programmes of one channel as Xtream apps ask for them. (pure)
//!
//! Source: what panels answer, field by field. The rule: titles and descriptions are base64, times stand there as text and
//! as numbers in text, in the server's time zone, which is UTC.

use std::sync::Arc;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde::Serialize;

use super::xtream::date_and_time;
use super::{Asker, JSON, Listing, json};
use crate::config::Channel;
use crate::guide::{Programme, Shelf, cut};

/// How much of the programmes is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// What is on and what comes next, at most so many.
    Next(usize),
    /// Everything that is known, with what it is to a viewer now.
    Whole,
}

impl Extent {
    /// What is on and what comes next, as many as the parameter `limit` says.
    #[must_use]
    pub fn next(limit: &str) -> Self {
        let limit = limit.parse().ok().filter(|limit| *limit > 0);
        Self::Next(limit.unwrap_or(LIMIT))
    }
}

/// The programmes of a channel that has some.
#[must_use]
pub fn epg(channel: &Channel, shelf: &Arc<Shelf>, extent: Extent, now_s: u64) -> Listing<'static> {
    let (first, rows) = match extent {
        Extent::Next(limit) => {
            let first = shelf.first_not_over(now_s);
            (first, limit.min(shelf.len().saturating_sub(first)))
        }
        Extent::Whole => (0, shelf.len()),
    };
    let (shelf, key) = (Arc::clone(shelf), cut::key(channel).into_owned());
    let channel = channel.id;
    let write = move |out: &mut String, row: usize, _asker: &Asker| {
        let Some(programme) = shelf.programme(first + row) else {
            return;
        };
        let plain = Plain::of(&programme, channel, &key, shelf.number());
        out.push_str(&match extent {
            Extent::Next(_) => json(&plain),
            Extent::Whole => json(&Marked {
                plain,
                now_playing: u8::from((programme.start_s..programme.stop_s).contains(&now_s)),
                has_archive: 0,
            }),
        });
    };
    let opening = OPENING.to_owned();
    Listing::of_rows(JSON, opening, rows, Box::new(write)).between(",", CLOSING)
}

/// The answer for a channel that has no programmes, or for one that does not exist.
#[must_use]
pub fn nothing() -> Listing<'static> {
    Listing::short(JSON, format!("{OPENING}{CLOSING}"))
}

#[derive(Serialize)]
struct Plain<'s> {
    id: String,
    epg_id: String,
    title: String,
    lang: &'s str,
    start: String,
    end: String,
    description: String,
    channel_id: &'s str,
    start_timestamp: String,
    stop_timestamp: String,
    stop: String,
}

impl<'s> Plain<'s> {
    fn of(programme: &'s Programme<'s>, channel: u32, key: &'s str, guide: usize) -> Self {
        let end = date_and_time(programme.stop_s);
        Self {
            id: id(channel, programme.start_s).to_string(),
            epg_id: guide.to_string(),
            title: BASE64_STANDARD.encode(&*programme.title),
            lang: &programme.language,
            start: date_and_time(programme.start_s),
            description: BASE64_STANDARD.encode(&*programme.description),
            channel_id: key,
            start_timestamp: programme.start_s.to_string(),
            stop_timestamp: programme.stop_s.to_string(),
            stop: end.clone(),
            end,
        }
    }
}

#[derive(Serialize)]
struct Marked<'s> {
    #[serde(flatten)]
    plain: Plain<'s>,
    now_playing: u8,
    has_archive: u8,
}

/// A number that no other programme of the channel has, and hardly one of another channel; the same whenever it is asked
/// for. Bound: below 2^31, because apps keep it in 32 bits with a sign.
fn id(channel: u32, start_s: u64) -> u64 {
    // Two times of a channel become one number only if they lie 68 years apart.
    (u64::from(channel.wrapping_mul(MIXER)) ^ start_s) & 0x7fff_ffff
}

const OPENING: &str = r#"{"epg_listings":["#;

const CLOSING: &str = "]}";

/// How many programmes an app gets that does not say how many it wants.
const LIMIT: usize = 4;

/// Spreads the numbers of channels: 2^32 divided by the golden ratio, made odd.
const MIXER: u32 = 0x9e37_79b9;

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::catalog::tests::{channels, written};
    use crate::guide::Guide;
    use crate::guide::tests::{NOON_S, guide_of, programme};

    fn guide() -> Guide {
        let hour = |nth: u64, content: &str| {
            let start_s = NOON_S + 3_600 * nth - 7_200;
            programme("news.example", start_s, 3_600, content)
        };
        let titles = ["0", "1", "2", "3", "4", "5", "6"];
        let mut elements: Vec<String> = (0..)
            .zip(titles)
            .map(|(nth, title)| hour(nth, &format!("<title>{title}</title>")))
            .collect();
        elements[2] = hour(
            2,
            "<title lang=\"de\">Tom &amp; Jerry &#228;</title><desc>\"Zwei\"</desc>",
        );
        let elements: Vec<&str> = elements.iter().map(|it| &**it).collect();
        guide_of(&channels(), &elements)
    }

    fn asked(extent: Extent, now_s: u64) -> Vec<Value> {
        let (channels, guide) = (channels(), guide());
        let shelf = guide.shelf("news.example").unwrap();
        let text = written(&epg(&channels[0], shelf, extent, now_s));
        let value: Value = serde_json::from_str(&text).unwrap();
        value["epg_listings"].as_array().unwrap().clone()
    }

    #[test]
    fn a_programme_has_every_field_in_the_type_of_panels() {
        let now = &asked(Extent::next(""), NOON_S + 60)[0];
        let expected = json!({
            "id": now["id"],
            "epg_id": "1",
            "title": "VG9tICYgSmVycnkgw6Q=",
            "lang": "de",
            "start": "2026-11-23 12:00:00",
            "end": "2026-11-23 13:00:00",
            "description": "Ilp3ZWki",
            "channel_id": "news.example",
            "start_timestamp": "1795435200",
            "stop_timestamp": "1795438800",
            "stop": "2026-11-23 13:00:00",
        });
        assert_eq!(*now, expected);
        let id = now["id"].as_str().unwrap().parse::<u32>().unwrap();
        assert!(id < 1 << 31);
    }

    #[test]
    fn what_is_on_and_what_comes_next_is_as_long_as_asked() {
        let titles = |limit: &str, now_s: u64| -> Vec<String> {
            let listed = asked(Extent::next(limit), now_s);
            let titles = listed.iter().map(|it| {
                let title = BASE64_STANDARD.decode(it["title"].as_str().unwrap());
                String::from_utf8(title.unwrap()).unwrap()
            });
            titles.collect()
        };
        let third = "Tom & Jerry ä";
        assert_eq!(titles("", NOON_S), [third, "3", "4", "5"]);
        assert_eq!(titles("no", NOON_S), [third, "3", "4", "5"]);
        assert_eq!(titles("0", NOON_S), [third, "3", "4", "5"]);
        assert_eq!(titles("1", NOON_S + 3_599), [third]);
        assert_eq!(titles("9", NOON_S + 3_600), ["3", "4", "5", "6"]);
        assert_eq!(titles("9", NOON_S + 99 * 3_600), [""; 0]);
    }

    #[test]
    fn the_whole_schedule_says_what_is_on_now() {
        let listed = asked(Extent::Whole, NOON_S + 60);
        let marks: Vec<_> = listed.iter().map(|it| it["now_playing"].clone()).collect();
        assert_eq!(marks, [0, 0, 1, 0, 0, 0, 0]);
        assert!(listed.iter().all(|it| it["has_archive"] == json!(0)));
    }

    #[test]
    fn ids_are_their_own_within_a_channel() {
        let ids: std::collections::HashSet<_> = (0..10_000)
            .map(|minute| id(7, NOON_S + 60 * minute))
            .collect();
        assert_eq!(ids.len(), 10_000);
        assert_ne!(id(7, NOON_S), id(8, NOON_S));
    }

    #[test]
    fn nothing_is_an_empty_list() {
        assert_eq!(written(&nothing()), r#"{"epg_listings":[]}"#);
    }
}
