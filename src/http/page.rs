//! What apps ask for beside streams: the paths, and the parameters that come with them. (pure)
//!
//! What is answered is written in `catalog`, and sent in `site.rs`. The rule: parameters are read as a form sends them,
//! from the query first and then from a POST's body, and of two with one name the first counts.

use std::borrow::Cow;

use percent_encoding::percent_decode_str;
use url::form_urlencoded;

use crate::account::Credentials;
use crate::account::secret::{PASSWORD_BYTES_MAX, Secret};

/// A path of the viewers' listener that is no stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Page {
    /// A tuner as UPnP describes it.
    Device,
    /// What a tuner says of itself.
    Discover,
    /// The program guide.
    Guide,
    /// The lineup of a tuner.
    Lineup,
    /// Whether a tuner scans.
    LineupStatus,
    /// The lineup in XML.
    LineupXml,
    /// Everything at once, as older Xtream apps ask.
    Panel,
    /// One action of the Xtream API.
    Player,
    /// A playlist.
    Playlist,
    /// A playlist as a file of a panel.
    PlaylistFile,
}

impl Page {
    /// Every page with the name of its path.
    pub const ALL: [(Self, &'static str); 10] = [
        (Self::Device, "device.xml"),
        (Self::Discover, "discover.json"),
        (Self::Guide, "xmltv.php"),
        (Self::Lineup, "lineup.json"),
        (Self::LineupStatus, "lineup_status.json"),
        (Self::LineupXml, "lineup.xml"),
        (Self::Panel, "panel_api.php"),
        (Self::Player, "player_api.php"),
        (Self::Playlist, "playlist.m3u"),
        (Self::PlaylistFile, "get.php"),
    ];

    /// The page of this name at the top.
    #[must_use]
    pub fn at_top(name: &str) -> Option<Self> {
        let mut named = Self::ALL.iter().filter(|(_, path)| *path == name);
        named.next().map(|(page, _)| *page)
    }

    /// The page of this name behind a user and a password: apps that know tuners have no other place for them.
    #[must_use]
    pub fn behind_account(name: &str) -> Option<Self> {
        Self::at_top(name).filter(|page| page.is_of_tuner())
    }

    /// Whether it belongs to the tuner that is played.
    #[must_use]
    pub fn is_of_tuner(self) -> bool {
        match self {
            Self::Device | Self::Discover => true,
            Self::Lineup | Self::LineupStatus | Self::LineupXml => true,
            Self::Guide | Self::Panel | Self::Player => false,
            Self::Playlist | Self::PlaylistFile => false,
        }
    }

    /// Whether a wrong login is told in an answer of its own, with status 200.
    #[must_use]
    pub fn tells_wrong_login(self) -> bool {
        matches!(self, Self::Panel | Self::Player)
    }

    /// Whether it takes parameters in a POST's body.
    #[must_use]
    pub fn takes_form(self) -> bool {
        matches!(
            self,
            Self::Guide | Self::Panel | Self::Player | Self::PlaylistFile
        )
    }

    /// Who may keep its answer: an app keeps the guide, which is large, and asks whether it is still the same.
    #[must_use]
    pub fn cache_control(self) -> &'static str {
        match self {
            Self::Guide => "private, no-cache",
            _ => "no-store",
        }
    }

    /// Its methods, as in an Allow header.
    #[must_use]
    pub fn allow(self) -> &'static str {
        match self.takes_form() {
            true => "GET, HEAD, OPTIONS, POST",
            false => "GET, HEAD, OPTIONS",
        }
    }
}

/// The parameters of a request.
///
/// Bound: [`FIELDS_MAX`] of query and body together; further ones are not looked at.
pub struct Form<'a>(Vec<(&'a str, &'a str)>);

impl<'a> Form<'a> {
    /// Reads a query and a body as they were sent; what is no form has no parameters that anybody asks for.
    #[must_use]
    pub fn new(query: &'a str, body: &'a str) -> Self {
        let fields = [query, body].into_iter().flat_map(|text| text.split('&'));
        let pairs = fields
            .filter(|field| !field.is_empty())
            .map(|field| field.split_once('=').unwrap_or((field, "")));
        Self(pairs.take(FIELDS_MAX).collect())
    }

    /// The value of a parameter; without it, nothing.
    #[must_use]
    pub fn value(&self, name: &str) -> Cow<'a, str> {
        self.raw(name).map_or(Cow::Borrowed(""), decoded)
    }

    /// The account that is named, if one is.
    ///
    /// Shape: at most two readings of one pair. A plus means a space in a form, but apps that put a password into a URL
    /// as it is mean a plus.
    #[must_use]
    pub fn accounts(&self) -> Vec<Credentials> {
        let Some(user) = self.raw("username").or_else(|| self.raw("user")) else {
            return Vec::new();
        };
        let password = self.raw("password").unwrap_or_default();
        let of_form = credentials(&decoded(user), &decoded(password));
        let literal = |text| percent_decode_str(text).decode_utf8_lossy();
        let of_path = credentials(&literal(user), &literal(password));
        let mut accounts: Vec<Credentials> = of_form.into_iter().chain(of_path).collect();
        accounts.dedup();
        accounts
    }

    fn raw(&self, name: &str) -> Option<&'a str> {
        let mut named = self.0.iter().filter(|(key, _)| *key == name);
        named.next().map(|(_, value)| *value)
    }
}

/// A value as a form encodes it.
fn decoded(value: &str) -> Cow<'_, str> {
    // With an equals sign in front, all of it is the value of an empty name.
    let text = format!("={value}");
    let mut pairs = form_urlencoded::parse(text.as_bytes());
    pairs.next().map_or(Cow::Borrowed(""), |(_, value)| {
        Cow::Owned(value.into_owned())
    })
}

fn credentials(user: &str, password: &str) -> Option<Credentials> {
    // Every address in an answer repeats them.
    let is_plain =
        |text: &str| text.len() <= PASSWORD_BYTES_MAX && !text.contains(char::is_control);
    (is_plain(user) && is_plain(password)).then(|| Credentials {
        user: user.to_owned(),
        password: Secret::new(password),
    })
}

/// The most parameters that are looked at.
pub const FIELDS_MAX: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(form: &Form<'_>) -> Vec<(String, String)> {
        let accounts = form.accounts();
        let shown = accounts
            .iter()
            .map(|it| (it.user.clone(), it.password.expose().to_owned()));
        shown.collect()
    }

    fn owned(user: &str, password: &str) -> (String, String) {
        (user.into(), password.into())
    }

    #[test]
    fn a_page_is_found_by_its_name_alone() {
        for (page, name) in Page::ALL {
            assert_eq!(Page::at_top(name), Some(page));
            assert_eq!(
                Page::behind_account(name),
                page.is_of_tuner().then_some(page),
                "{name}"
            );
        }
        for name in ["", "get", "Get.php", "get.php/", "lineup.m3u", "7.ts"] {
            assert_eq!(Page::at_top(name), None, "{name}");
        }
    }

    #[test]
    fn a_parameter_is_the_first_of_its_name_and_the_query_comes_before_the_body() {
        let form = Form::new("action=a&x&action=b", "action=c&limit=4&=&&y=1%262");
        assert_eq!(form.value("action"), "a");
        assert_eq!(form.value("limit"), "4");
        assert_eq!(form.value("x"), "");
        assert_eq!(form.value("y"), "1&2");
        assert_eq!(form.value("z"), "");
    }

    #[test]
    fn a_body_that_is_no_form_is_no_parameter() {
        for body in ["{}", "[]", "{\"username\":\"anna\"}", "\u{fffd}"] {
            let form = Form::new("username=ben&password=x", body);
            assert_eq!(pairs(&form), [owned("ben", "x")], "{body}");
        }
    }

    #[test]
    fn an_account_has_either_spelling_and_needs_a_user() {
        assert_eq!(
            pairs(&Form::new("username=anna&password=p", "")),
            [owned("anna", "p")]
        );
        assert_eq!(
            pairs(&Form::new("", "user=anna&password=p")),
            [owned("anna", "p")]
        );
        assert_eq!(pairs(&Form::new("username=anna", "")), [owned("anna", "")]);
        assert_eq!(pairs(&Form::new("password=p", "")), []);
    }

    #[test]
    fn a_plus_is_tried_as_space_and_as_itself() {
        assert_eq!(
            pairs(&Form::new("username=anna&password=a+b%2Bc", "")),
            [owned("anna", "a b+c"), owned("anna", "a+b+c")]
        );
        assert_eq!(pairs(&Form::new("username=a%0Ab&password=p", "")), []);
    }

    #[test]
    fn more_parameters_than_anybody_needs_are_not_looked_at() {
        let many = "a=1&".repeat(FIELDS_MAX);
        assert_eq!(Form::new(&many, "b=2").value("b"), "");
        let few = "a=1&".repeat(FIELDS_MAX - 1);
        assert_eq!(Form::new(&few, "b=2").value("b"), "2");
    }

    #[test]
    fn a_name_that_no_account_can_have_is_no_name() {
        let longest = "a".repeat(PASSWORD_BYTES_MAX);
        let query = |user: &str| format!("username={user}&password=b");
        assert!(!Form::new(&query(&longest), "").accounts().is_empty());
        assert!(
            Form::new(&query(&(longest + "a")), "")
                .accounts()
                .is_empty()
        );
    }
}
