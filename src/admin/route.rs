//! A path of the API and its query to what is asked for. (pure)
//!
//! The paths, their parameters and bounds are described in `openapi.json`. The rule: a parameter that breaks its bound is
//! refused and not bent, so that nobody pages through what they did not ask for.

use std::ops::RangeInclusive;

use percent_encoding::percent_decode_str;
use url::form_urlencoded;

use crate::admin::viewers::{Place, ROWS_MAX, Sort, ViewerId, Wanted};
use crate::channel::id::{ChannelId, Content};
use crate::http::request::Method;

/// A path of the API. What it names may not exist.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ApiPath {
    /// One channel.
    Channel(Option<ChannelId>),
    /// Every channel.
    Channels,
    /// The order to stop in order.
    Drain,
    /// What happened.
    Events,
    /// A snapshot each second.
    Live,
    /// The last lines of the log.
    Log,
    /// The description of all this.
    OpenApi,
    /// The order to read the configuration again.
    Reload,
    /// The order to fetch a channel anew.
    Restart(Option<ChannelId>),
    /// The server at a glance.
    Status,
    /// One viewer.
    Viewer(Option<ViewerId>),
    /// Viewers.
    Viewers,
}

impl ApiPath {
    /// Finds the path below `/api/v1/`.
    #[must_use]
    pub fn find(path: &str) -> Option<Self> {
        let rest = path.strip_prefix("/api/v1/")?;
        let segments: Vec<&str> = rest.split('/').collect();
        match segments.as_slice() {
            ["channels"] => Some(Self::Channels),
            ["channels", id] => Some(Self::Channel(decoded(id).and_then(|it| channel(&it)))),
            ["channels", id, "restart"] => {
                Some(Self::Restart(decoded(id).and_then(|it| channel(&it))))
            }
            ["drain"] => Some(Self::Drain),
            ["events"] => Some(Self::Events),
            ["live"] => Some(Self::Live),
            ["log"] => Some(Self::Log),
            ["reload"] => Some(Self::Reload),
            ["openapi.json"] => Some(Self::OpenApi),
            ["status"] => Some(Self::Status),
            ["viewers"] => Some(Self::Viewers),
            ["viewers", id] => Some(Self::Viewer(decoded(id).and_then(|it| it.parse().ok()))),
            _ => None,
        }
    }

    /// Its methods, as in an Allow header.
    #[must_use]
    pub fn allow(self) -> &'static str {
        match self {
            Self::Drain | Self::Reload | Self::Restart(_) => "OPTIONS, POST",
            Self::Viewer(_) => "DELETE, OPTIONS",
            _ => "GET, HEAD, OPTIONS",
        }
    }

    /// Whether it has a method.
    #[must_use]
    pub fn has(self, method: Method) -> bool {
        match method {
            Method::Delete => matches!(self, Self::Viewer(_)),
            Method::Get | Method::Head => self.allow().starts_with("GET"),
            Method::Options => true,
            Method::Other => false,
            Method::Post => matches!(self, Self::Drain | Self::Reload | Self::Restart(_)),
        }
    }
}

/// The parameters of a query.
pub struct Query(Vec<(String, String)>);

impl Query {
    /// Reads a query as it was sent. Names that nobody asks for mean nothing.
    #[must_use]
    pub fn new(text: Option<&str>) -> Self {
        let pairs = form_urlencoded::parse(text.unwrap_or_default().as_bytes());
        let owned = pairs.map(|(name, value)| (name.into_owned(), value.into_owned()));
        Self(owned.take(PARAMETERS_MAX).collect())
    }

    /// After which event or line to begin, if that is said.
    ///
    /// # Errors
    /// [`BadParameter`] that breaks its bound.
    pub fn after(&self) -> Result<Option<u64>, BadParameter> {
        self.number("after", 0..=NUMBER_MAX)
    }

    /// Which events or lines are asked for: those after a number, and how many.
    ///
    /// # Errors
    /// [`BadParameter`] that breaks its bound.
    pub fn tail(&self, most: usize) -> Result<(u64, usize), BadParameter> {
        Ok((self.after()?.unwrap_or(0), self.limit(most, 100)?))
    }

    /// Which page of channels is asked for.
    ///
    /// # Errors
    /// [`BadParameter`] that breaks its bound.
    pub fn channels(&self) -> Result<(Option<ChannelId>, usize), BadParameter> {
        let after = self.channel("after", ChannelId::Configured(u32::MAX))?;
        Ok((after, self.limit(CHANNELS_MAX, 500)?))
    }

    /// Which viewers are asked for.
    ///
    /// # Errors
    /// [`BadParameter`] that breaks its bound.
    pub fn viewers(&self) -> Result<Wanted, BadParameter> {
        let sort = match self.value("sort")? {
            Some(name) => Sort::named(name).ok_or(BadParameter("sort"))?,
            None => Sort::default(),
        };
        let after = match self.value("after")? {
            Some(text) => Some(text.parse::<Place>().map_err(|_no| BadParameter("after"))?),
            None => None,
        };
        let search = self.value("search")?.map(str::to_lowercase);
        let is_usable = |text: &String| (1..=SEARCH_CHARS_MAX).contains(&text.chars().count());
        if search.as_ref().is_some_and(|text| !is_usable(text)) {
            return Err(BadParameter("search"));
        }
        Ok(Wanted {
            // No channel has the number 0.
            channel: self.channel("channel", ChannelId::Configured(0))?,
            search,
            sort,
            after,
            most: self.limit(ROWS_MAX, 100)?,
        })
    }

    fn limit(&self, most: usize, default: usize) -> Result<usize, BadParameter> {
        let limit = self.number("limit", 1..=most as u64)?;
        let limit = limit.map(|limit| usize::try_from(limit).unwrap_or(most));
        Ok(limit.unwrap_or(default))
    }

    fn number(
        &self,
        name: &'static str,
        bounds: RangeInclusive<u64>,
    ) -> Result<Option<u64>, BadParameter> {
        let Some(text) = self.value(name)? else {
            return Ok(None);
        };
        let is_plain = text.bytes().all(|byte| byte.is_ascii_digit());
        let number = text.parse().ok().filter(|_| is_plain);
        let number = number.filter(|number| bounds.contains(number));
        number.map(Some).ok_or(BadParameter(name))
    }

    /// A channel; of a number that no channel can have `beyond`.
    fn channel(
        &self,
        name: &'static str,
        beyond: ChannelId,
    ) -> Result<Option<ChannelId>, BadParameter> {
        let Some(text) = self.value(name)? else {
            return Ok(None);
        };
        match channel(text) {
            None if is_number(text) => Ok(Some(beyond)),
            None => Err(BadParameter(name)),
            channel => Ok(channel),
        }
    }

    /// The value of a parameter that may stand once.
    fn value(&self, name: &'static str) -> Result<Option<&str>, BadParameter> {
        let mut values = self.0.iter().filter(|(key, _)| key == name);
        match (values.next(), values.next()) {
            (None, _) => Ok(None),
            (Some((_, value)), None) => Ok(Some(value)),
            (Some(_), Some(_)) => Err(BadParameter(name)),
        }
    }
}

/// A parameter that stands twice, or whose value breaks its bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("malformed parameter {0}: /api/v1/openapi.json says what is allowed")]
pub struct BadParameter(pub &'static str);

/// A channel's id as answers have it; `None` for what no channel can have.
#[must_use]
pub fn channel(text: &str) -> Option<ChannelId> {
    if let Some((kind, hash)) = text.split_once(':') {
        let is_lower = !hash.bytes().any(|byte| byte.is_ascii_uppercase());
        let hash = hash.parse().ok().filter(|_| is_lower)?;
        return match kind {
            "content_id" => Some(ChannelId::Dynamic(Content::ContentId(hash))),
            "infohash" => Some(ChannelId::Dynamic(Content::Infohash(hash))),
            _ => None,
        };
    }
    let number = is_number(text).then(|| text.parse().ok())??;
    Some(ChannelId::Configured(number))
}

/// Whether a text is a number as channels have it, perhaps too great a one.
fn is_number(text: &str) -> bool {
    let is_plain = (1..=10).contains(&text.len()) && text.bytes().all(|it| it.is_ascii_digit());
    is_plain && (text == "0" || !text.starts_with('0'))
}

fn decoded(segment: &str) -> Option<String> {
    let text = percent_decode_str(segment).decode_utf8().ok()?;
    Some(text.into_owned())
}

/// The most channels on one page.
pub const CHANNELS_MAX: usize = 1_000;

/// The greatest number in a query, and the greatest that every reader of JSON takes as it is.
pub const NUMBER_MAX: u64 = (1 << 53) - 1;

/// The longest text that is searched for.
const SEARCH_CHARS_MAX: usize = 64;

/// The most parameters that are looked at.
const PARAMETERS_MAX: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;

    const HASH: &str = "0123456789abcdef0123456789abcdef01234567";

    fn viewers(query: &str) -> Result<Wanted, BadParameter> {
        Query::new(Some(query)).viewers()
    }

    #[test]
    fn a_path_means_one_thing_or_nothing() {
        let seven = Some(ChannelId::Configured(7));
        let viewer = Some("1-a".parse().unwrap());
        let paths = [
            ("status", ApiPath::Status),
            ("channels", ApiPath::Channels),
            ("channels/7", ApiPath::Channel(seven)),
            ("channels/7/restart", ApiPath::Restart(seven)),
            ("channels/%37", ApiPath::Channel(seven)),
            ("channels/x", ApiPath::Channel(None)),
            ("viewers", ApiPath::Viewers),
            ("viewers/1-a", ApiPath::Viewer(viewer)),
            ("viewers/1", ApiPath::Viewer(None)),
            ("events", ApiPath::Events),
            ("live", ApiPath::Live),
            ("log", ApiPath::Log),
            ("drain", ApiPath::Drain),
            ("openapi.json", ApiPath::OpenApi),
            ("reload", ApiPath::Reload),
        ];
        for (path, expected) in paths {
            assert_eq!(ApiPath::find(&format!("/api/v1/{path}")), Some(expected));
        }
        let unknown = [
            "/api",
            "/api/v1",
            "/api/v1/",
            "/api/v2/status",
            "/api/v1/status/",
            "/api/v1//status",
            "/api/v1/channels/7/start",
            "/api/v1/viewers/1-a/x",
            "/API/v1/status",
        ];
        for path in unknown {
            assert_eq!(ApiPath::find(path), None, "{path}");
        }
    }

    #[test]
    fn what_a_path_allows_is_what_it_has() {
        let methods = [
            (Method::Delete, "DELETE"),
            (Method::Get, "GET"),
            (Method::Head, "HEAD"),
            (Method::Options, "OPTIONS"),
            (Method::Post, "POST"),
        ];
        for path in [
            "status",
            "viewers/1-1",
            "channels/1/restart",
            "drain",
            "live",
        ] {
            let path = ApiPath::find(&format!("/api/v1/{path}")).unwrap();
            for (method, name) in methods {
                let is_listed = path.allow().split(", ").any(|it| it == name);
                assert_eq!(path.has(method), is_listed, "{path:?} {name}");
            }
            assert!(!path.has(Method::Other));
        }
    }

    #[test]
    fn a_channel_is_named_in_one_way() {
        assert_eq!(channel("123"), Some(ChannelId::Configured(123)));
        for id in [format!("infohash:{HASH}"), format!("content_id:{HASH}")] {
            assert_eq!(channel(&id).map(|it| it.to_string()), Some(id));
        }
        let upper = format!("infohash:{}", HASH.to_uppercase());
        for text in [
            "",
            "007",
            "+7",
            "7 ",
            "4294967296",
            HASH,
            &upper,
            "x:y",
            "id:0",
        ] {
            assert_eq!(channel(text), None, "{text}");
        }
    }

    #[test]
    fn what_is_not_asked_for_has_its_default() {
        let query = Query::new(None);
        assert_eq!(query.tail(500), Ok((0, 100)));
        assert_eq!(query.channels(), Ok((None, 500)));
        let wanted = query.viewers().unwrap();
        assert_eq!((wanted.sort, wanted.most), (Sort::Started, 100));
        assert_eq!((wanted.channel, wanted.search), (None, None));
        assert!(viewers("unknown=1&&x").is_ok());
    }

    #[test]
    fn parameters_are_taken_within_their_bounds() {
        let wanted = viewers("limit=500&channel=7&sort=behind&search=VL%C3%89+x&after=5-1-a");
        let wanted = wanted.unwrap();
        assert_eq!(wanted.most, 500);
        assert_eq!(wanted.channel, Some(ChannelId::Configured(7)));
        assert_eq!(wanted.sort, Sort::Behind);
        assert_eq!(wanted.search.as_deref(), Some("vl\u{e9} x"));
        assert_eq!(wanted.after, "5-1-a".parse().ok());
        let beyond = viewers("channel=9999999999").unwrap();
        assert_eq!(beyond.channel, Some(ChannelId::Configured(0)));
        let query = Query::new(Some("after=9999999999&limit=1"));
        let last = Some(ChannelId::Configured(u32::MAX));
        assert_eq!(query.channels(), Ok((last, 1)));
    }

    #[test]
    fn a_parameter_that_breaks_its_bound_is_refused_by_name() {
        let long = format!("search={}", "x".repeat(SEARCH_CHARS_MAX + 1));
        let refused = [
            ("limit=0", "limit"),
            ("limit=501", "limit"),
            ("limit=", "limit"),
            ("limit=+5", "limit"),
            ("limit=5&limit=5", "limit"),
            ("limit=99999999999999999999", "limit"),
            ("channel=x", "channel"),
            ("channel=", "channel"),
            ("sort=", "sort"),
            ("sort=age", "sort"),
            ("after=1", "after"),
            ("search=", "search"),
            (&long, "search"),
        ];
        for (query, name) in refused {
            assert_eq!(viewers(query), Err(BadParameter(name)), "{query}");
        }
        let tail = |query| Query::new(Some(query)).tail(500);
        assert_eq!(tail("after=9007199254740992"), Err(BadParameter("after")));
        assert_eq!(
            tail("after=9007199254740991&limit=500"),
            Ok((NUMBER_MAX, 500))
        );
    }
}
