//! Prints a configuration with the origin of each value, secrets hidden. (pure)
//!
//! The rule: what is printed is TOML again, and holds no password, no token, no header value and no part of a URL that may
//! carry one.

use std::fmt::{self, Display, Write};
use std::time::Duration;

use url::Url;

use super::read::Provenance;
use super::{
    Account, AtLimit, Batch, Channel, Config, Guide, GuidePlace, Playlist, Provider, Shards,
    SlowPolicy, Stream, Upstream,
};
use crate::account::Login;
use crate::upstream::document::Place;

/// Writes the whole configuration as TOML; beside each value stands where it came from.
///
/// Shape: a channel shows the `[stream]` keys that it sets itself, the rest is as in `[stream]`.
#[must_use]
pub fn show(config: &Config, provenance: &Provenance) -> String {
    let mut page = Page {
        text: String::new(),
        provenance,
    };
    match provenance.file() {
        Some(file) => page.line(format_args!("# file: {}", file.display())),
        None => page.line(format_args!(
            "# no file: built-in defaults and the demo channel"
        )),
    }
    page.server(config);
    page.admin(config);
    page.line(format_args!("\n[stream]"));
    for (name, value) in stream_values(&config.stream) {
        page.value("stream", name, &value);
    }
    page.engine(config);
    for (index, provider) in config.providers.iter().enumerate() {
        page.provider(index, provider);
    }
    for (index, channel) in config.channels.iter().enumerate() {
        page.channel(index, channel);
    }
    for (index, playlist) in config.playlists.iter().enumerate() {
        page.playlist(index, playlist);
    }
    for (index, account) in config.accounts.iter().enumerate() {
        page.account(index, account);
    }
    for (index, guide) in config.guides.iter().enumerate() {
        page.guide(index, guide);
    }
    page.text
}

/// A URL without what may be secret: no user, password, query or fragment, and of the path the last part only, since
/// Xtream paths carry a user and a password before it.
pub struct HiddenUrl<'u>(pub &'u Url);

impl Display for HiddenUrl<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(url) = self;
        write!(f, "{}://", url.scheme())?;
        if !url.username().is_empty() || url.password().is_some() {
            write!(f, "{HIDDEN}@")?;
        }
        write!(f, "{}", url.host_str().unwrap_or(""))?;
        if let Some(port) = url.port() {
            write!(f, ":{port}")?;
        }
        match url.path().rsplit_once('/') {
            Some(("", "")) | None => {}
            Some(("", last)) => write!(f, "/{last}")?,
            Some((_, last)) => write!(f, "/{HIDDEN}/{last}")?,
        }
        if url.query().is_some() {
            write!(f, "?{HIDDEN}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for HiddenUrl<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Display::fmt(self, f)
    }
}

struct Page<'p> {
    text: String,
    provenance: &'p Provenance,
}

impl Page<'_> {
    fn line(&mut self, line: fmt::Arguments<'_>) {
        // Writing to a String cannot fail; were it to, the line would be missing and nothing worse.
        if writeln!(self.text, "{line}").is_err() {
            self.text.push('\n');
        }
    }

    /// One `key = value  # origin`.
    fn value(&mut self, table: &str, name: &str, value: &dyn Display) {
        let pair = format!("{name} = {value}");
        let origin = self.provenance.origin(&format!("{table}.{name}"));
        self.line(format_args!("{pair:<ORIGIN_COLUMN$}  # {origin}"));
    }

    fn server(&mut self, config: &Config) {
        let server = &config.server;
        self.line(format_args!("\n[server]"));
        let addresses: Vec<_> = server
            .listen
            .iter()
            .map(|address| text(&address.to_string()))
            .collect();
        self.value(
            "server",
            "listen",
            &format_args!("[{}]", addresses.join(", ")),
        );
        match server.shards {
            Shards::Auto => self.value("server", "shards", &text("auto")),
            Shards::Count(count) => self.value("server", "shards", &count),
        }
        self.value("server", "pin", &server.pin);
        self.value("server", "viewers_max", &server.viewers_max);
        self.value("server", "open", &server.open);
        let public_url = server.public_url.as_ref().map(HiddenUrl);
        let public_url = public_url.map_or_else(String::new, |url| url.to_string());
        self.value("server", "public_url", &text(&public_url));
        self.value(
            "server",
            "head_timeout_ms",
            &server.head_timeout.as_millis(),
        );
        self.value("server", "write_stall_ms", &server.write_stall.as_millis());
        self.value("server", "drain_ms", &server.drain.as_millis());
        let trusted: Vec<_> = server
            .front
            .trusted
            .iter()
            .map(|network| text(&network.to_string()))
            .collect();
        self.value(
            "server",
            "trusted_proxies",
            &format_args!("[{}]", trusted.join(", ")),
        );
        self.value("server", "proxy_protocol", &server.front.proxy_protocol);
        let state_dir = server.state_dir.to_string_lossy();
        self.value("server", "state_dir", &text(&state_dir));
    }

    fn admin(&mut self, config: &Config) {
        let token = config.admin.token.as_ref().map_or("", |_| HIDDEN);
        self.line(format_args!("\n[admin]"));
        self.value("admin", "listen", &text(&config.admin.listen.to_string()));
        self.value("admin", "token_file", &text(token));
    }

    fn engine(&mut self, config: &Config) {
        self.line(format_args!("\n[engine]"));
        self.value(
            "engine",
            "url",
            &text(&HiddenUrl(&config.engine.url).to_string()),
        );
        self.value("engine", "dynamic", &config.engine.dynamic);
        self.value("engine", "dynamic_max", &config.engine.dynamic_max);
        self.value("engine", "connections_max", &config.engine.connections_max);
    }

    fn provider(&mut self, index: usize, provider: &Provider) {
        let table = format!("provider[{index}]");
        self.line(format_args!("\n[[provider]]"));
        self.value(&table, "name", &text(provider.name.as_str()));
        let host = match provider.port {
            Some(port) => format!("{}:{port}", provider.host),
            None => provider.host.clone(),
        };
        self.value(&table, "host", &text(&host));
        if provider.user.is_some() {
            self.value(&table, "user", &text(HIDDEN));
        }
        let terms = provider.terms;
        self.value(&table, "connections_max", &terms.connections_max);
        self.value(&table, "release_ms", &terms.release.as_millis());
    }

    fn channel(&mut self, index: usize, channel: &Channel) {
        let table = format!("channel[{index}]");
        self.line(format_args!("\n[[channel]]"));
        self.value(&table, "id", &channel.id);
        self.value(&table, "name", &text(&channel.name));
        let logo = channel.logo.as_ref().map(|url| HiddenUrl(url).to_string());
        let listed = [
            ("group", &channel.group),
            ("logo", &logo),
            ("epg_id", &channel.epg_id),
        ];
        for (name, value) in listed {
            if let Some(value) = value {
                self.value(&table, name, &text(value));
            }
        }
        self.value(&table, "number", &channel.number);
        for (name, value) in stream_values(&channel.stream) {
            if self
                .provenance
                .origins
                .contains_key(&format!("{table}.{name}"))
            {
                self.value(&table, name, &value);
            }
        }
        for (index, upstream) in channel.upstreams.iter().enumerate() {
            self.line(format_args!("[[channel.upstream]]"));
            self.upstream(&format!("{table}.upstream[{index}]"), upstream);
        }
    }

    fn upstream(&mut self, table: &str, upstream: &Upstream) {
        let agent = match upstream {
            Upstream::Ace {
                content,
                user_agent,
            } => {
                self.value(
                    table,
                    content.parameter(),
                    &text(&content.hash().to_string()),
                );
                user_agent
            }
            Upstream::Demo { bits_per_second } => {
                self.value(table, "demo", &true);
                self.value(table, "bitrate_bps", bits_per_second);
                &None
            }
            Upstream::Http {
                url,
                user_agent,
                headers,
            } => {
                self.value(table, "url", &text(&HiddenUrl(url).to_string()));
                self.headers(table, headers);
                user_agent
            }
        };
        if let Some(agent) = agent {
            self.value(table, "user_agent", &text(agent));
        }
    }

    fn playlist(&mut self, index: usize, playlist: &Playlist) {
        let table = format!("playlist[{index}]");
        self.line(format_args!("\n[[playlist]]"));
        self.value(&table, "name", &text(&playlist.name));
        match &playlist.place {
            Place::File(file) => self.value(&table, "file", &text(&file.to_string_lossy())),
            Place::Url { url, headers, .. } => {
                self.value(&table, "url", &text(&HiddenUrl(url).to_string()));
                self.headers(&table, headers);
            }
        }
        self.value(&table, "refresh_ms", &playlist.refresh.as_millis());
        let texts = [
            ("user_agent", &playlist.user_agent),
            ("group", &playlist.group),
        ];
        for (name, value) in texts {
            if let Some(value) = value {
                self.value(&table, name, &text(value));
            }
        }
        let filter = &playlist.filter;
        let patterns = [
            ("groups", &filter.groups),
            ("groups_except", &filter.groups_except),
            ("names", &filter.names),
            ("names_except", &filter.names_except),
        ];
        for (name, patterns) in patterns {
            if !patterns.is_empty() {
                let patterns = patterns.iter().map(|it| text(it.as_str()));
                self.value(&table, name, &list(patterns));
            }
        }
        self.value(&table, "id_from", &playlist.id_from);
        self.value(&table, "channels_max", &playlist.channels_max);
        self.value(&table, "merge", &playlist.merge);
    }

    fn headers(&mut self, table: &str, headers: &[(String, String)]) {
        if headers.is_empty() {
            return;
        }
        let hidden = |(name, _): &(String, String)| format!("{} = {}", text(name), text(HIDDEN));
        let pairs: Vec<_> = headers.iter().map(hidden).collect();
        let pairs = pairs.join(", ");
        self.value(table, "headers", &format_args!("{{ {pairs} }}"));
    }

    fn guide(&mut self, index: usize, guide: &Guide) {
        let table = format!("guide[{index}]");
        self.line(format_args!("\n[[guide]]"));
        match &guide.place {
            GuidePlace::File(file) => {
                self.value(&table, "file", &text(&file.display().to_string()));
            }
            GuidePlace::Http {
                url,
                user_agent,
                headers,
            } => {
                self.value(&table, "url", &text(&HiddenUrl(url).to_string()));
                self.headers(&table, headers);
                if let Some(agent) = user_agent {
                    self.value(&table, "user_agent", &text(agent));
                }
            }
        }
        self.value(&table, "refresh_ms", &guide.refresh.as_millis());
        self.value(&table, "past_ms", &guide.past.as_millis());
        self.value(&table, "future_ms", &guide.future.as_millis());
        self.value(&table, "shift_ms", &guide.shift_ms);
        self.value(&table, "bytes_max", &guide.bytes_max);
    }

    fn account(&mut self, index: usize, account: &Account) {
        let table = format!("account[{index}]");
        let origins = &self.provenance.origins;
        let is_in_file = origins.contains_key(&format!("{table}.password_file"));
        self.line(format_args!("\n[[account]]"));
        self.value(&table, "user", &text(&account.user));
        let name = match account.login {
            Login::Hash(_) => "password_hash",
            Login::Password(_) if is_in_file => "password_file",
            Login::Password(_) => "password",
        };
        self.value(&table, name, &text(HIDDEN));
        if let Some(until) = account.valid_until {
            self.value(&table, "valid_until", &until);
        }
        if !account.networks.is_empty() {
            let networks = account.networks.iter().map(|it| text(&it.to_string()));
            self.value(&table, "networks", &list(networks));
        }
        if !account.groups.is_empty() {
            let groups = account.groups.iter().map(|group| text(group));
            self.value(&table, "groups", &list(groups));
        }
        if let Some(channels) = &account.channels {
            let channels = channels.iter().map(ToString::to_string);
            self.value(&table, "channels", &list(channels));
        }
        self.value(&table, "viewers_max", &account.viewers_max);
        let at_limit = match account.at_limit {
            AtLimit::Refuse => "refuse",
            AtLimit::Replace => "replace",
        };
        self.value(&table, "at_limit", &text(at_limit));
        self.value(&table, "bitrate_max_bps", &account.bits_per_second_max);
    }
}

fn stream_values(stream: &Stream) -> [(&'static str, String); 12] {
    let millis = |duration: Duration| duration.as_millis().to_string();
    let slow = match stream.slow {
        SlowPolicy::Skip => "skip",
        SlowPolicy::Drop => "drop",
    };
    let batch = match stream.batch {
        Batch::Auto => text("auto"),
        Batch::Fixed(batch) => millis(batch),
    };
    [
        ("chunk_bytes_max", stream.chunk_bytes_max.to_string()),
        ("chunk_age_ms", millis(stream.chunk_age)),
        ("batch_ms", batch),
        ("ring_ms", millis(stream.ring)),
        ("ring_bytes_max", stream.ring_bytes_max.to_string()),
        ("burst_ms", millis(stream.burst)),
        ("ahead_ms", millis(stream.ahead)),
        ("linger_ms", millis(stream.linger)),
        ("start_timeout_ms", millis(stream.start_timeout)),
        ("idle_timeout_ms", millis(stream.idle_timeout)),
        ("return_ms", millis(stream.return_every)),
        ("slow", text(slow)),
    ]
}

/// A list as TOML writes it.
fn list(items: impl Iterator<Item = String>) -> String {
    let items: Vec<_> = items.collect();
    format!("[{}]", items.join(", "))
}

/// A text as TOML writes it.
fn text(text: &str) -> String {
    toml::Value::from(text).to_string()
}

/// What stands in the place of a secret.
const HIDDEN: &str = "***";

/// Where the origins begin, if the values are short enough.
const ORIGIN_COLUMN: usize = 36;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_shows_its_host_and_the_last_part_of_its_path() {
        for (url, shown) in [
            ("http://127.0.0.1:6878", "http://127.0.0.1:6878"),
            ("http://host/stream.ts", "http://host/stream.ts"),
            (
                "https://u:p@host:8443/live/u/p/7.ts?token=t#f",
                "https://***@host:8443/***/7.ts?***",
            ),
            ("http://u@[::1]:8000/", "http://***@[::1]:8000"),
            ("http://host/dir/", "http://host/***/"),
        ] {
            assert_eq!(HiddenUrl(&Url::parse(url).unwrap()).to_string(), shown);
        }
    }
}
