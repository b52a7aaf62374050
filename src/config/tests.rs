//! What a whole configuration accepts and refuses, and how it says so.

mod accounts;
mod channels;
mod difference;
mod guides;
mod playlists;
mod server;

use std::collections::BTreeSet;
use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::load::{self, find};
use super::*;

fn inputs(variables: &[(&str, &str)], flags: Flags) -> Inputs {
    Inputs {
        file: None,
        flags,
        variables: variables
            .iter()
            .map(|(name, text)| (name.into(), text.into()))
            .collect(),
    }
}

fn read_with(
    text: &str,
    variables: &[(&str, &str)],
    flags: Flags,
) -> Result<(Config, Provenance), ConfigErrors> {
    let path = Arc::from(Path::new("f"));
    Config::read(Some((text, &path)), &inputs(variables, flags))
}

fn read(text: &str) -> Config {
    match read_with(text, &[], Flags::default()) {
        Ok((config, _)) => config,
        Err(errors) => panic!("{text}: {errors}"),
    }
}

fn errors(text: &str) -> Vec<String> {
    errors_with(text, &[], Flags::default())
}

fn errors_with(text: &str, variables: &[(&str, &str)], flags: Flags) -> Vec<String> {
    match read_with(text, variables, flags) {
        Ok(_) => Vec::new(),
        Err(errors) => errors.to_string().lines().map(Into::into).collect(),
    }
}

#[track_caller]
fn assert_error(text: &str, expected: &str) {
    let errors = errors(text);
    assert!(
        errors.len() == 1 && errors[0].contains(expected),
        "{text}\nexpected {expected}\ngot {errors:?}"
    );
}

fn password_of(account: &Account) -> &str {
    match &account.login {
        Login::Password(password) => password.expose(),
        Login::Hash(_) => panic!("{account:?} has a hash"),
    }
}

/// The value of a text that its own error or show line must not contain.
const TELLTALE: &str = "s3cr3t-t3llt4l3";

#[test]
fn the_example_equals_the_defaults() {
    let (example, provenance) = read_with(EXAMPLE, &[], Flags::default()).unwrap();
    assert_eq!(format!("{example:?}"), format!("{:?}", Config::default()));
    for (section, names) in KEYS
        .iter()
        .filter(|(section, _)| Config::SECTIONS.contains(section))
    {
        for name in *names {
            let key = format!("{section}.{name}");
            assert!(
                matches!(provenance.origin(&key), Origin::File { .. }),
                "{key} is not in the example"
            );
        }
    }
}

#[test]
fn the_commented_examples_are_valid_and_name_every_key() {
    let folder = std::env::temp_dir().join(format!("corecast-example-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("ben.secret"), "pass-of-ben\n").unwrap();
    let begin = EXAMPLE.find("# Channels").unwrap();
    let text: String = EXAMPLE[begin..]
        .lines()
        .filter_map(|line| line.strip_prefix("# "))
        .filter(|line| line.starts_with("[[") || line.split(' ').nth(1) == Some("="))
        .map(|line| format!("{line}\n"))
        .collect();
    let path = Arc::from(folder.join("f"));
    let (config, provenance) = Config::read(Some((&text, &path)), &Inputs::default()).unwrap();
    std::fs::remove_dir_all(&folder).unwrap();
    assert_eq!((config.channels.len(), config.accounts.len()), (1, 3));
    assert_eq!(config.channels[0].upstreams.len(), 4);
    assert_eq!(password_of(&config.accounts[1]), "pass-of-ben");
    let named: BTreeSet<_> = provenance
        .origins
        .keys()
        .filter_map(|key| key.rsplit('.').next())
        .collect();
    for (_, names) in KEYS
        .iter()
        .filter(|(section, _)| !Config::SECTIONS.contains(section))
    {
        for name in *names {
            assert!(named.contains(name), "{name} is not in the example");
        }
    }
}

#[test]
fn without_a_file_there_is_the_demo_channel_and_with_an_empty_one_there_is_none() {
    let (config, provenance) = Config::read(None, &Inputs::default()).unwrap();
    assert_eq!(provenance.file(), None);
    assert_eq!(config.channels.len(), 1);
    assert_eq!(config.channels[0].id, 123);
    assert!(matches!(
        config.channels[0].upstreams[..],
        [Upstream::Demo { .. }]
    ));
    assert!(read("").channels.is_empty());
}

#[test]
fn every_variable_reaches_a_key_that_is_read() {
    for (section, names) in KEYS
        .iter()
        .filter(|(section, _)| Config::SECTIONS.contains(section))
    {
        for name in *names {
            let variable = format!("CORECAST_{section}__{name}").to_ascii_uppercase();
            let errors = errors_with("", &[(&variable, "\u{7f}")], Flags::default());
            assert!(
                errors.len() == 1
                    && errors[0].starts_with(&format!("{variable}: {section}.{name}: ")),
                "{variable}: {errors:?}"
            );
        }
    }
}

#[test]
fn a_flag_wins_over_a_variable_and_a_variable_over_the_file() {
    let text = "[server]\nlisten = [\"127.0.0.1:1\"]\nshards = 1\nviewers_max = 7\n";
    let variables = [
        ("CORECAST_SERVER__LISTEN", "127.0.0.1:2"),
        ("CORECAST_SERVER__SHARDS", "2"),
        ("CORECAST_STREAM__LINGER_MS", "0"),
        ("CORECAST_STREAM__SLOW", "drop"),
        ("CORECAST_SERVER__PIN", "false"),
    ];
    let flags = Flags {
        listen: vec!["127.0.0.1:3".into(), "[::1]:4".into()],
        shards: None,
    };
    let (config, provenance) = read_with(text, &variables, flags).unwrap();
    let listen = ["127.0.0.1:3", "[::1]:4"].map(|address| Listen::Tcp(address.parse().unwrap()));
    assert_eq!(config.server.listen, listen);
    assert_eq!(
        config.server.shards,
        Shards::Count(NonZeroUsize::new(2).unwrap())
    );
    assert_eq!(config.server.viewers_max, 7);
    assert!(!config.server.pin);
    assert_eq!(config.stream.linger, Duration::ZERO);
    assert_eq!(config.stream.slow, SlowPolicy::Drop);
    assert_eq!(provenance.origin("server.listen").to_string(), "--listen");
    assert_eq!(
        provenance.origin("server.shards").to_string(),
        "CORECAST_SERVER__SHARDS"
    );
    assert_eq!(
        provenance.origin("server.viewers_max").to_string(),
        "f:4:15"
    );
    assert_eq!(provenance.origin("server.drain_ms"), &Origin::Default);
}

#[test]
fn a_list_in_a_variable_is_toml_or_one_text() {
    let listen = |text: &str| {
        let variables = [("CORECAST_SERVER__LISTEN", text)];
        read_with("", &variables, Flags::default()).map(|(config, _)| config.server.listen.len())
    };
    assert_eq!(listen("localhost:9").unwrap(), 1);
    assert_eq!(listen("[\"127.0.0.1:8\", '[::1]:9']").unwrap(), 2);
    assert_eq!(
        listen("[::1]:9").unwrap(),
        1,
        "an address of version 6 begins like a list"
    );
    assert!(listen("[\"127.0.0.1:8\"").is_err());
}

#[test]
fn errors_of_flags_and_variables_name_them() {
    let flags = Flags {
        listen: vec!["nowhere:80".into()],
        shards: Some("many".into()),
    };
    let errors = errors_with("", &[("CORECAST_SERVER__VIEWERS_MAX", "0")], flags);
    assert_eq!(errors.len(), 3, "{errors:?}");
    assert!(errors[0].starts_with("--listen: server.listen: \"nowhere:80\" is not an address, "));
    assert!(errors[1].starts_with("--shards: server.shards: "));
    assert_eq!(
        errors[2],
        "CORECAST_SERVER__VIEWERS_MAX: server.viewers_max: is 0, 1 to 1000000 is allowed"
    );
}

#[test]
fn all_errors_are_told_at_once_in_the_order_of_the_file() {
    let errors = errors(
        "[server]\nlisten = \"x\"\nviewers_max = 0\nshard = 1\n\
         [sream]\n\
         [[channel]]\nid = 0\nname = \"\"\n\
         [[account]]\nuser = \"a b\"\npassword = \"x y\"\n",
    );
    let places: Vec<_> = errors
        .iter()
        .map(|error| error.split(": ").take(2).collect::<Vec<_>>().join(" "))
        .collect();
    assert_eq!(
        places,
        [
            "f:2:10 server.listen",
            "f:3:15 server.viewers_max",
            "f:4:1 server.shard",
            "f:5:2 sream",
            "f:6:1 channel.upstream",
            "f:7:6 channel.id",
            "f:8:8 channel.name",
            "f:10:8 account.user",
            "f:11:12 account.password",
        ]
    );
    assert!(errors[2].ends_with("did you mean `shards`?"));
    assert!(errors[3].ends_with("did you mean `stream`?"));
}

#[test]
fn a_broken_file_tells_its_syntax_errors_and_what_holds_in_spite_of_them() {
    let errors = errors(
        "[server]\nlisten = [\"0.0.0.0:80\"\nviewers_max = 0\n\
         [stream]\nburst_ms = -1\nslow = \n\
         [[channel]]\nid = 1\n",
    );
    assert!(
        errors.iter().any(|error| error.contains(": syntax: ")),
        "{errors:?}"
    );
    assert!(
        !errors
            .iter()
            .any(|error| error.contains("missing, at least")),
        "{errors:?}"
    );
    let errors =
        self::errors("[stream]\nslow = skip\nring_ms = 5\n[engine]\ndynamc = true\n[admin\n");
    let places: Vec<_> = errors
        .iter()
        .filter_map(|error| error.split(": ").next())
        .collect();
    assert_eq!(places, ["f:2:8", "f:3:11", "f:5:1", "f:6:7"], "{errors:?}");
}

#[test]
fn a_key_set_twice_is_an_error_at_the_second_place() {
    assert_error(
        "[server]\npin = true\npin = false\n",
        "f:3:1: syntax: duplicate key",
    );
}

#[test]
fn wrong_types_are_told_as_such() {
    assert_error(
        "server = 1\n",
        "f:1:10: server: is a number, a table is allowed",
    );
    assert_error(
        "[channel]\nid = 1\n",
        "channel: is a table, a list is allowed",
    );
    assert_error(
        "channel = [1]\n",
        "f:1:12: channel: is a number, a table is allowed",
    );
    assert_error(
        "[server]\ndrain_ms = 1.5\n",
        "is a number with a point, a whole number is allowed",
    );
    assert_error(
        "[server]\ndrain_ms = \"1\"\n",
        "is a text, a whole number is allowed",
    );
    assert_error(
        "[server]\ndrain_ms = 99999999999999999999\n",
        "is a number beyond 64 bits, a whole number",
    );
    assert_error(
        "[stream]\nslow = \"wait\"\n",
        "\"wait\" is not allowed, \"skip\" or \"drop\" is allowed",
    );
    assert_error(
        "[server]\nshards = \"all\"\n",
        "\"all\" is not allowed, \"auto\" or a number is allowed",
    );
    assert_error("[server]\nshards = 257\n", "is 257, 1 to 256 is allowed");
}

#[test]
fn what_is_shown_is_toml_again_with_origins_and_without_secrets() {
    let text = format!(
        "[engine]\nurl = \"http://e:{TELLTALE}@127.0.0.1:6878\"\n\
         [server]\npublic_url = \"https://tv.example:8443\"\n\
         [[channel]]\nid = 7\nname = \"A \\\"b\\\" \\u00e9\"\nlinger_ms = 1\n\
         group = \"G\"\nlogo = \"http://a/b.png\"\nepg_id = \"e\"\nnumber = 5\n\
         [[channel.upstream]]\nurl = \"http://u:{TELLTALE}@h/live/u/{TELLTALE}/7.ts?t={TELLTALE}\"\n\
         headers = {{ Cookie = \"{TELLTALE}\" }}\nuser_agent = \"x\"\n\
         [[channel.upstream]]\ndemo = true\n\
         [[account]]\nuser = \"a\"\npassword = \"{TELLTALE}\"\n"
    );
    let variables = [("CORECAST_SERVER__VIEWERS_MAX", "50")];
    let flags = Flags {
        listen: vec!["[::1]:0".into()],
        shards: Some("2".into()),
    };
    let (config, provenance) = read_with(&text, &variables, flags).unwrap();
    let shown = show(&config, &provenance);
    assert!(!shown.contains(TELLTALE), "{shown}");
    assert!(!format!("{config:?}").contains(TELLTALE), "{config:?}");
    let line = |begin: &str| {
        let line = shown
            .lines()
            .find(|line| line.starts_with(begin))
            .unwrap_or_default();
        line.split("  # ")
            .map(|part| part.trim().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(line("listen"), ["listen = [\"[::1]:0\"]", "--listen"]);
    assert_eq!(
        line("viewers_max"),
        ["viewers_max = 50", "CORECAST_SERVER__VIEWERS_MAX"]
    );
    assert_eq!(line("drain_ms"), ["drain_ms = 5000", "default"]);
    assert_eq!(line("id "), ["id = 7", "f:6:6"]);
    assert_eq!(line("password"), ["password = \"***\"", "f:21:12"]);
    let again = read(&shown);
    assert_eq!(again.channels[0].name, config.channels[0].name);
    assert_eq!(again.channels[0].stream, config.channels[0].stream);
    let listed = |it: &Config| {
        let channel = it.channels[0].clone();
        let names = (channel.group, channel.epg_id);
        (
            names,
            channel.logo,
            channel.number,
            it.server.public_url.clone(),
        )
    };
    assert_eq!(listed(&again), listed(&config));
    assert_eq!(again.channels[0].number, 5);
    assert_eq!(again.server.listen, config.server.listen);
}

#[test]
fn no_text_makes_reading_panic_and_every_error_has_a_place() {
    let whole: String = EXAMPLE
        .lines()
        .map(|line| format!("{}\n", line.trim_start_matches("# ")))
        .collect();
    let pieces = [
        "[", "]", "[[", "\"", "'''", "=", "{", "}", "\n", "\r", "\0", "#", ".", "é", "-1", "1e9",
        "\u{feff}", "\\u",
    ];
    for seed in 0..500 {
        let mut random = fastrand::Rng::with_seed(seed);
        let text = if seed % 2 == 0 { EXAMPLE } else { &whole };
        let mut letters: Vec<char> = text.chars().collect();
        for _ in 0..random.usize(1..8) {
            let from = random.usize(..letters.len());
            let to = (from + random.usize(..20)).min(letters.len());
            let piece = random.choice(pieces).unwrap_or("");
            letters.splice(from..to, piece.chars());
        }
        let text: String = letters.into_iter().collect();
        let lines = text.split('\n').count();
        let path = Arc::from(Path::new("f"));
        let Err(errors) = Config::read(Some((&text, &path)), &Inputs::default()) else {
            continue;
        };
        for error in errors.errors() {
            let is_within = match &error.origin {
                Origin::File { line, column, .. } => *line <= lines && *column >= 1,
                Origin::WholeFile(_) => true,
                _ => false,
            };
            assert!(is_within, "seed {seed}: {error}");
            assert_eq!(error.to_string().lines().count(), 1, "seed {seed}: {error}");
        }
    }
}

#[test]
fn ten_thousand_channels_and_a_hundred_thousand_accounts_are_read() {
    let mut text = String::new();
    for id in 1..=10_000 {
        text +=
            &format!("[[channel]]\nid = {id}\nname = \"c\"\n[[channel.upstream]]\ndemo = true\n");
    }
    for user in 0..100_000 {
        text += &format!("[[account]]\nuser = \"u{user}\"\npassword = \"p\"\n");
    }
    let config = read(&text);
    assert_eq!(
        (config.channels.len(), config.accounts.len()),
        (10_000, 100_000)
    );
}

/// A name that the server has a path of.
const RESERVED_ONE: &str = "Live";

impl Config {
    const SECTIONS: [&str; 4] = ["server", "admin", "stream", "engine"];
}
