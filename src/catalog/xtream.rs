//! The Xtream answers: login, categories, channels. (pure)
//!
//! Programmes are written in `epg.rs`. Source: what panels answer, field by field. The rule: each value has the type that panels give it, numbers in text
//! where they have them in text, because apps written for them crash on anything else.

use std::borrow::Cow;

use serde::Serialize;

use super::epg::{self, Extent};
use super::{Asker, Entry, JSON, Listing, json};
use crate::calendar::Moment;
use crate::config::Channel;
use crate::guide::{Guide, cut};

/// What `player_api.php` is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// The channels, all or those of one category.
    Channels {
        /// The number of the category; `Some(None)` is one that cannot exist.
        category: Option<Option<u32>>,
    },
    /// The categories of channels.
    Categories,
    /// The programmes of a channel.
    Epg {
        /// The channel; `None` is one that cannot exist.
        channel: Option<u32>,
        /// How much of them.
        extent: Extent,
    },
    /// The account and the server: without an action, and for every action that does not exist.
    Login,
    /// A list of films or series.
    NoList,
    /// One film.
    NoFilm,
    /// One series.
    NoSeries,
}

impl Action {
    /// Reads the parameter `action`, and of the others what it takes.
    #[must_use]
    pub fn read<'v>(value: impl Fn(&'static str) -> Cow<'v, str>) -> Self {
        let epg = |extent| Self::Epg {
            channel: value("stream_id").parse().ok(),
            extent,
        };
        match &*value("action") {
            "get_live_categories" => Self::Categories,
            "get_live_streams" => Self::Channels {
                category: match &*value("category_id") {
                    "" => None,
                    category => Some(category.parse().ok()),
                },
            },
            "get_short_epg" => epg(Extent::next(&value("limit"))),
            "get_simple_data_table" => epg(Extent::Whole),
            "get_series" | "get_series_categories" | "get_vod_categories" | "get_vod_streams" => {
                Self::NoList
            }
            "get_series_info" => Self::NoSeries,
            "get_vod_info" => Self::NoFilm,
            _ => Self::Login,
        }
    }
}

/// The answer of `player_api.php`; `now_s` are seconds since 1970.
#[must_use]
pub fn player<'c>(
    channels: impl IntoIterator<Item = &'c Channel>,
    action: Action,
    asker: &Asker,
    programmes: &Guide,
    now_s: u64,
) -> Listing<'c> {
    let array =
        |entries, write| Listing::new(JSON, "[".to_owned(), entries, write).between(",", "]");
    match action {
        Action::Categories => array(Entry::categories(channels), push_category),
        Action::Channels { category } => {
            let mut entries = Entry::all(channels);
            entries.retain(|entry| category.is_none_or(|it| it == Some(entry.category)));
            array(entries, push_channel)
        }
        Action::Epg { channel, extent } => {
            let mut channels = channels.into_iter().filter(|it| Some(it.id) == channel);
            let known = channels.next().and_then(|channel| {
                let shelf = programmes.shelf(&cut::key(channel))?;
                Some(epg::epg(channel, shelf, extent, now_s))
            });
            known.unwrap_or_else(epg::nothing)
        }
        Action::Login => Listing::short(JSON, json(&Login::new(asker, now_s))),
        Action::NoFilm => Listing::short(JSON, r#"{"info":[],"movie_data":[]}"#.to_owned()),
        Action::NoList => Listing::short(JSON, "[]".to_owned()),
        Action::NoSeries => {
            let nothing = r#"{"seasons":[],"info":[],"episodes":[]}"#;
            Listing::short(JSON, nothing.to_owned())
        }
    }
}

/// The answer of `panel_api.php`, which older apps ask: login, categories and channels at once.
#[must_use]
pub fn panel<'c>(
    channels: impl IntoIterator<Item = &'c Channel> + Clone,
    asker: &Asker,
    now_s: u64,
) -> Listing<'c> {
    let categories = Entry::categories(channels.clone());
    let categories: Vec<Category<'_>> = categories.iter().map(Category::of).collect();
    let login = json(&Login::new(asker, now_s));
    let login = login.strip_suffix('}').unwrap_or_default();
    let opening = format!(
        r#"{login},"categories":{{"movie":[],"live":{}}},"available_channels":{{"#,
        json(&categories)
    );
    Listing::new(JSON, opening, Entry::all(channels), push_available).between(",", "}}")
}

/// What every action answers to a wrong login, with status 200: only then do apps say that it was wrong.
#[must_use]
pub fn wrong_login() -> Listing<'static> {
    Listing::short(JSON, r#"{"user_info":{"auth":0}}"#.to_owned())
}

fn push_category(out: &mut String, entry: &Entry<'_>, _asker: &Asker) {
    out.push_str(&json(&Category::of(entry)));
}

fn push_channel(out: &mut String, entry: &Entry<'_>, _asker: &Asker) {
    out.push_str(&json(&Live::of(entry)));
}

fn push_available(out: &mut String, entry: &Entry<'_>, _asker: &Asker) {
    let available = Available {
        live: Live::of(entry),
        category_name: entry.group,
        series_no: None,
        container_extension: None,
    };
    out.push_str(&format!("\"{}\":{}", entry.channel.id, json(&available)));
}

#[derive(Serialize)]
struct Login<'a> {
    user_info: User<'a>,
    server_info: Server<'a>,
}

impl<'a> Login<'a> {
    fn new(asker: &'a Asker, now_s: u64) -> Self {
        let base = &asker.base;
        let (http, https) = match base.scheme() {
            "https" => (80, base.port()),
            _ => (base.port(), 443),
        };
        Self {
            user_info: User {
                username: &asker.user,
                password: asker.password.expose(),
                message: "",
                auth: 1,
                status: match asker.standing.is_expired {
                    true => "Expired",
                    false => "Active",
                },
                exp_date: match asker.standing.expires_s {
                    Some(expires_s) => expires_s.to_string(),
                    None => NEVER_S.to_owned(),
                },
                is_trial: "0",
                active_cons: asker.standing.viewers.to_string(),
                created_at: SOMETIME_S,
                max_connections: asker.standing.viewers_max.to_string(),
                allowed_output_formats: ["ts"],
            },
            server_info: Server {
                url: base.host(),
                port: http.to_string(),
                https_port: https.to_string(),
                server_protocol: base.scheme(),
                rtmp_port: "1935",
                timezone: "UTC",
                timestamp_now: now_s,
                time_now: date_and_time(now_s),
                process: true,
            },
        }
    }
}

#[derive(Serialize)]
struct User<'a> {
    username: &'a str,
    password: &'a str,
    message: &'static str,
    auth: u8,
    status: &'static str,
    exp_date: String,
    is_trial: &'static str,
    active_cons: String,
    created_at: &'static str,
    max_connections: String,
    allowed_output_formats: [&'static str; 1],
}

#[derive(Serialize)]
struct Server<'a> {
    url: &'a str,
    port: String,
    https_port: String,
    server_protocol: &'static str,
    rtmp_port: &'static str,
    timezone: &'static str,
    timestamp_now: u64,
    time_now: String,
    process: bool,
}

#[derive(Serialize)]
struct Category<'a> {
    category_id: String,
    category_name: &'a str,
    parent_id: u8,
}

impl<'a> Category<'a> {
    fn of(entry: &Entry<'a>) -> Self {
        Self {
            category_id: entry.category.to_string(),
            category_name: entry.group,
            parent_id: 0,
        }
    }
}

#[derive(Serialize)]
struct Live<'a> {
    num: u32,
    name: &'a str,
    stream_type: &'static str,
    stream_id: u32,
    stream_icon: &'a str,
    epg_channel_id: Cow<'a, str>,
    added: &'static str,
    is_adult: &'static str,
    category_id: String,
    category_ids: [u32; 1],
    custom_sid: &'static str,
    tv_archive: u8,
    direct_source: &'static str,
    tv_archive_duration: u8,
    thumbnail: &'static str,
}

impl<'a> Live<'a> {
    fn of(entry: &Entry<'a>) -> Self {
        Self {
            num: entry.channel.number,
            name: &entry.channel.name,
            stream_type: "live",
            stream_id: entry.channel.id,
            stream_icon: entry.channel.logo.as_ref().map_or("", |url| url.as_str()),
            epg_channel_id: entry.epg_id(),
            added: SOMETIME_S,
            is_adult: "0",
            category_id: entry.category.to_string(),
            category_ids: [entry.category],
            custom_sid: "",
            tv_archive: 0,
            direct_source: "",
            tv_archive_duration: 0,
            thumbnail: "",
        }
    }
}

#[derive(Serialize)]
struct Available<'a> {
    #[serde(flatten)]
    live: Live<'a>,
    category_name: &'a str,
    series_no: Option<u32>,
    container_extension: Option<&'static str>,
}

/// `YYYY-MM-DD HH:MM:SS` in UTC.
pub(super) fn date_and_time(now_s: u64) -> String {
    let at = Moment::of_unix(now_s);
    format!(
        "{:04}-{:02}-{:02} {:02}:{:02}:{:02}",
        at.year, at.month, at.day, at.hour, at.minute, at.second
    )
}

/// When accounts expire. Panels may say `null` for never; two client libraries of two read that as a number, so it is the
/// last second that 32 bits hold.
const NEVER_S: &str = "2147483647";

/// When accounts and channels came into being, which nobody notes: the first second of 2020. The time of the start
/// would make every channel new each time.
const SOMETIME_S: &str = "1577836800";

#[cfg(test)]
mod tests;
