//! Configuration files for the server under test. (pure)
//!
//! [`Config::new`] has free ports and times short enough that each test ends in seconds; a test sets what it is about.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::fmt::Write as _;

/// One configuration, section by section.
pub(crate) struct Config {
    sections: BTreeMap<&'static str, BTreeMap<String, String>>,
    tables: String,
}

impl Config {
    /// Two shards on free ports of 127.0.0.1, no channel, no account, short times.
    pub(crate) fn new() -> Self {
        let empty = Self {
            sections: BTreeMap::new(),
            tables: String::new(),
        };
        empty
            .set("server", "listen", r#"["127.0.0.1:0"]"#)
            .set("server", "shards", 2)
            .set("server", "head_timeout_ms", 1000)
            .set("server", "write_stall_ms", 1500)
            .set("server", "drain_ms", 1500)
            .set("admin", "listen", r#""127.0.0.1:0""#)
            .set("stream", "linger_ms", 500)
            .set("stream", "start_timeout_ms", 2500)
            .set("stream", "idle_timeout_ms", 2000)
    }

    /// Sets one key; `value` is written as it is.
    pub(crate) fn set(mut self, section: &'static str, key: &str, value: impl Display) -> Self {
        self.sections
            .entry(section)
            .or_default()
            .insert(key.to_owned(), value.to_string());
        self
    }

    /// Names the engine.
    pub(crate) fn engine(self, url: &str) -> Self {
        self.set("engine", "url", format!("{url:?}"))
    }

    /// A channel whose upstreams are these URLs, best first.
    pub(crate) fn channel(self, id: u32, urls: &[String]) -> Self {
        let upstreams: Vec<String> = urls.iter().map(|url| format!("url = {url:?}")).collect();
        self.channel_of(id, &upstreams)
    }

    /// A channel whose upstreams are given as lines of TOML.
    pub(crate) fn channel_of(mut self, id: u32, upstreams: &[String]) -> Self {
        write!(
            self.tables,
            "[[channel]]\nid = {id}\nname = \"Channel {id}\"\n"
        )
        .unwrap();
        for upstream in upstreams {
            writeln!(self.tables, "[[channel.upstream]]\n{upstream}").unwrap();
        }
        self
    }

    /// A channel with one upstream and further keys as lines of TOML.
    pub(crate) fn channel_keyed(mut self, id: u32, keys: &str, url: &str) -> Self {
        write!(
            self.tables,
            "[[channel]]\nid = {id}\nname = \"Channel {id}\"\n{keys}\n[[channel.upstream]]\nurl = {url:?}\n"
        )
        .unwrap();
        self
    }

    /// A channel as apps list it: its name, further keys as lines of TOML, and the built-in test pattern.
    pub(crate) fn listed(mut self, id: u32, name: &str, keys: &str) -> Self {
        write!(
            self.tables,
            "[[channel]]\nid = {id}\nname = {name:?}\n{keys}\n[[channel.upstream]]\ndemo = true\n"
        )
        .unwrap();
        self
    }

    /// A provider, given as lines of TOML.
    pub(crate) fn provider(mut self, lines: &str) -> Self {
        writeln!(self.tables, "[[provider]]\n{lines}").unwrap();
        self
    }

    /// A list of channels, its keys as lines of TOML.
    pub(crate) fn playlist(mut self, name: &str, keys: &str) -> Self {
        writeln!(self.tables, "[[playlist]]\nname = {name:?}\n{keys}").unwrap();
        self
    }

    /// The built-in test pattern.
    pub(crate) fn demo(self, id: u32) -> Self {
        self.channel_of(id, &["demo = true".to_owned()])
    }

    pub(crate) fn account(self, user: &str, password: &str) -> Self {
        self.account_of(user, &format!("password = {password:?}"))
    }

    /// An account of which all but the user is given as lines of TOML.
    pub(crate) fn account_of(mut self, user: &str, lines: &str) -> Self {
        writeln!(self.tables, "[[account]]\nuser = {user:?}\n{lines}").unwrap();
        self
    }

    /// A program guide that is given as lines of TOML.
    pub(crate) fn guide(mut self, lines: &str) -> Self {
        writeln!(self.tables, "[[guide]]\n{lines}").unwrap();
        self
    }

    /// The file.
    pub(crate) fn toml(&self) -> String {
        let mut text = String::new();
        for (section, keys) in &self.sections {
            writeln!(text, "[{section}]").unwrap();
            for (key, value) in keys {
                writeln!(text, "{key} = {value}").unwrap();
            }
        }
        text + &self.tables
    }
}
