//! What a whole configuration accepts and refuses, and how it says so.

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
    assert_eq!((config.channels.len(), config.accounts.len()), (1, 2));
    assert_eq!(config.channels[0].upstreams.len(), 4);
    assert_eq!(config.accounts[1].password.expose(), "pass-of-ben");
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
            let errors = errors_with("", &[(&variable, "{}")], Flags::default());
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
    let listen = ["127.0.0.1:3", "[::1]:4"].map(|address| address.parse().unwrap());
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
fn listening_to_all_needs_an_account_or_the_word_open() {
    let all = "[server]\nlisten = [\"127.0.0.1:80\", \"0.0.0.0:8000\"]\n";
    assert_error(
        all,
        "f:2:27: server.listen: 0.0.0.0:8000 is not loopback and there is no [[account]]: ",
    );
    read(&format!("{all}open = true\n"));
    read(&format!(
        "{all}[[account]]\nuser = \"a\"\npassword = \"b\"\n"
    ));
    let flags = Flags {
        listen: vec!["[::]:80".into()],
        shards: None,
    };
    let errors = errors_with("", &[], flags);
    assert!(
        errors[0].starts_with("--listen: server.listen: [::]:80 is not loopback"),
        "{errors:?}"
    );
}

#[test]
fn addresses_are_literals_and_do_not_overlap() {
    assert_eq!(
        read("[server]\nlisten = [\"localhost:0\", \"127.0.0.1:0\", \"[::1]:8000\"]\n")
            .server
            .listen
            .len(),
        3
    );
    for (listen, expected) in [
        ("[]", "has 0 addresses, 1 to 16 are allowed"),
        ("[\"example.org:80\"]", "is not an address"),
        ("[\"127.0.0.1\"]", "is not an address"),
        ("[\"127.0.0.1:65536\"]", "is not an address"),
        ("[\"unix:/run/x\"]", "is not an address"),
        ("[80]", "is a number, a text is allowed"),
        (
            "[\"127.0.0.1:7\", \"localhost:7\"]",
            "127.0.0.1:7 is taken already by 127.0.0.1:7 at f:2:11",
        ),
        (
            "[\"127.0.0.1:8001\"]",
            "admin.listen: 127.0.0.1:8001 is taken already by server.listen",
        ),
    ] {
        let admin = "[admin]\nlisten = \"127.0.0.1:8001\"\n";
        assert_error(&format!("[server]\nlisten = {listen}\n{admin}"), expected);
    }
}

#[test]
fn the_admin_listener_needs_a_token_beyond_loopback() {
    assert_error(
        "[admin]\nlisten = \"0.0.0.0:8001\"\n",
        "f:2:10: admin.listen: 0.0.0.0:8001 is not loopback, set admin.token_file or listen on 127.0.0.1",
    );
    let file = std::env::temp_dir().join(format!("corecast-token-{}", std::process::id()));
    let text = format!(
        "[admin]\nlisten = \"0.0.0.0:8001\"\ntoken_file = {:?}\n",
        file.display().to_string()
    );
    assert_error(&text, "cannot be read: No such file");
    std::fs::write(&file, " too-short \n").unwrap();
    assert_error(
        &text,
        "admin.token_file: has 9 characters in the file, 16 to 256 are allowed",
    );
    std::fs::write(&file, "0123456789 abcdef\n").unwrap();
    assert_error(&text, "has a character that is not allowed");
    std::fs::write(&file, "\n0123456789abcdef\n").unwrap();
    let token = read(&text).admin.token.unwrap();
    std::fs::remove_file(&file).unwrap();
    assert_eq!(token.expose(), "0123456789abcdef");
}

#[test]
fn a_secret_beside_the_file_is_found_from_anywhere() {
    let folder = std::env::temp_dir().join(format!("corecast-folder-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("secret"), "pass\n").unwrap();
    let file = folder.join("c.toml");
    std::fs::write(
        &file,
        "[[account]]\nuser = \"a\"\npassword_file = \"secret\"\n",
    )
    .unwrap();
    let inputs = Inputs {
        file: Some(file),
        ..Inputs::default()
    };
    let loaded = Config::load(&inputs);
    std::fs::remove_dir_all(&folder).unwrap();
    assert_eq!(loaded.unwrap().0.accounts[0].password.expose(), "pass");
}

#[test]
fn a_file_that_cannot_be_read_is_an_error_and_not_the_defaults() {
    let inputs = Inputs {
        file: Some("/no/such/corecast.toml".into()),
        ..Inputs::default()
    };
    let message = Config::load(&inputs).unwrap_err().to_string();
    assert!(
        message.starts_with("/no/such/corecast.toml: file: "),
        "{message}"
    );
    let inputs = Inputs {
        file: Some("/".into()),
        ..Inputs::default()
    };
    assert!(Config::load(&inputs).is_err(), "a folder is no file");
}

#[test]
fn a_file_that_is_no_text_is_an_error_with_a_place() {
    let path = Arc::from(Path::new("f"));
    let error = load::text_of(b"a = 1\nb = \"\xc3\xa9\xff\"", &path).unwrap_err();
    assert_eq!(
        error.to_string(),
        "f:2:7: syntax: has a character that is not allowed, UTF-8 is allowed"
    );
    assert_eq!(load::text_of("é".as_bytes(), &path).unwrap(), "é");
}

#[test]
fn a_secret_file_is_not_read_past_its_bound_and_never_shown() {
    let file = std::env::temp_dir().join(format!("corecast-secret-{}", std::process::id()));
    let read = |bytes: &[u8]| {
        std::fs::write(&file, bytes).unwrap();
        secret_file::read_secret(&file.display().to_string(), Path::new(""))
    };
    assert_eq!(read(b" p \n").unwrap(), "p");
    let long = read(&[b'x'; 70_000]).unwrap_err().to_string();
    let mut bytes = TELLTALE.as_bytes().to_vec();
    bytes.push(0xff);
    let no_text = read(&bytes).unwrap_err();
    std::fs::remove_file(&file).unwrap();
    assert!(long.contains("cannot be read: file too large"), "{long}");
    assert!(no_text.to_string().ends_with("cannot be read: no UTF-8"));
    assert!(
        !format!("{no_text:?}").contains("115, 51, 99"),
        "{no_text:?}"
    );
}

#[test]
fn the_first_file_that_exists_is_the_one_that_is_read() {
    assert_eq!(find(None, &["/no/such", "/no/other"]), None);
    assert_eq!(
        find(None, &["/no/such", "/"]).as_deref(),
        Some(Path::new("/"))
    );
    assert_eq!(
        find(Some(Path::new("/no/such")), &["/"]).as_deref(),
        Some(Path::new("/no/such"))
    );
}

#[test]
fn a_channel_has_the_stream_defaults_but_for_what_it_sets() {
    let config = read(
        "[stream]\nlinger_ms = 1\nring_ms = 3000\n\
         [[channel]]\nid = 7\nname = \"News\"\nlinger_ms = 2\nslow = \"drop\"\n\
         [[channel.upstream]]\ndemo = true\n",
    );
    let stream = &config.channels[0].stream;
    assert_eq!(stream.linger, Duration::from_millis(2));
    assert_eq!(stream.ring, Duration::from_secs(3));
    assert_eq!(stream.slow, SlowPolicy::Drop);
    assert_eq!(config.stream.slow, SlowPolicy::Skip);
}

#[test]
fn chunks_are_whole_packets_and_a_burst_fits_the_ring() {
    read("[stream]\nchunk_bytes_max = 376\nburst_ms = 1000\nring_ms = 1000\n");
    assert_error(
        "[stream]\nchunk_bytes_max = 1000\n",
        "stream.chunk_bytes_max: is 1000, a multiple of 188 is allowed",
    );
    assert_error(
        "[stream]\nchunk_bytes_max = 262144\n",
        "is 262144, 188 to 131036 is allowed",
    );
    assert_error(
        "[stream]\nring_ms = 1000\n",
        "f:2:11: stream.burst_ms: burst_ms is 2000, at most ring_ms = 1000",
    );
    assert_error(
        "[[channel]]\nid = 1\nname = \"a\"\nburst_ms = 10001\n[[channel.upstream]]\ndemo = true\n",
        "f:4:12: channel.burst_ms: burst_ms is 10001, at most ring_ms = 10000",
    );
}

#[test]
fn a_preferred_upstream_is_looked_at_never_or_at_most_once_a_second() {
    for (written, every) in [("0", 0), ("1000", 1), ("86400000", 86_400)] {
        let config = read(&format!("[stream]\nreturn_ms = {written}\n"));
        assert_eq!(config.stream.return_every, Duration::from_secs(every));
    }
    assert_error(
        "[stream]\nreturn_ms = 999\n",
        "f:2:13: stream.return_ms: 999 is not allowed, 0 (never) or 1000 to 86400000 is allowed",
    );
    assert_error(
        "[[channel]]\nid = 1\nname = \"a\"\nreturn_ms = 86400001\n[[channel.upstream]]\ndemo = true\n",
        "channel.return_ms: is 86400001, 0 to 86400000 is allowed",
    );
}

#[test]
fn a_channel_has_its_own_lead_within_bounds() {
    let config = read(
        "[stream]\nahead_ms = 1000\n[[channel]]\nid = 1\nname = \"a\"\nahead_ms = 600000\n\
         [[channel.upstream]]\ndemo = true\n",
    );
    assert_eq!(config.stream.ahead, Duration::from_secs(1));
    assert_eq!(config.channels[0].stream.ahead, Duration::from_secs(600));
    assert_error(
        "[stream]\nahead_ms = 999\n",
        "stream.ahead_ms: is 999, 1000 to 600000 is allowed",
    );
}

#[test]
fn a_channel_number_stands_once() {
    let channel = "[[channel]]\nid = 7\nname = \"a\"\n[[channel.upstream]]\ndemo = true\n";
    assert_error(
        &format!("{channel}{channel}"),
        "f:7:6: channel.id: 7 is given already at f:2:6, each may stand once",
    );
}

fn channel_with(upstream: &str) -> String {
    format!("[[channel]]\nid = 1\nname = \"a\"\n[[channel.upstream]]\n{upstream}\n")
}

#[test]
fn an_upstream_is_content_or_a_url_with_headers() {
    let hash = "0123456789abcdef0123456789abcdef01234567";
    let config = read(&channel_with(&format!(
        "content_id = \"{hash}\"\nuser_agent = \"x/1\""
    )));
    let [
        Upstream::Ace {
            content,
            user_agent,
        },
    ] = &config.channels[0].upstreams[..]
    else {
        panic!("{config:?}");
    };
    assert_eq!(content.to_string(), format!("content_id:{hash}"));
    assert_eq!(user_agent.as_deref(), Some("x/1"));
    let config = read(&channel_with(
        "url = \"http://u:p@h:1/a.ts?b=c\"\nheaders = { X-A = \"1\", X-B = \"\" }",
    ));
    let [Upstream::Http { url, headers, .. }] = &config.channels[0].upstreams[..] else {
        panic!("{config:?}");
    };
    assert_eq!(url.password(), Some("p"));
    assert_eq!(
        headers,
        &[("X-A".into(), "1".into()), ("X-B".into(), String::new())]
    );
}

#[test]
fn an_upstream_is_exactly_one_thing() {
    for (upstream, expected) in [
        ("", "f:4:1: channel.upstream: has none, exactly one of"),
        (
            "user_agent = \"x\"",
            "has none, exactly one of demo, url, content_id or infohash is allowed",
        ),
        (
            "demo = true\nurl = \"http://h\"",
            "has demo and url, exactly one of",
        ),
        (
            "demo = false",
            "channel.upstream.demo: false is not allowed, true is allowed",
        ),
        (
            "demo = true\nbitrate_bps = 999999",
            "is 999999, 1000000 to 1000000000 is allowed",
        ),
        (
            "demo = true\nuser_agent = \"x\"",
            "channel.upstream.user_agent: is not allowed beside demo",
        ),
        (
            "url = \"http://h\"\nbitrate_bps = 4000000",
            "bitrate_bps: is not allowed beside url",
        ),
        (
            "infohash = \"x\"",
            "infohash: is not an AceStream identifier, 40",
        ),
        (
            "content_id = \"0123456789abcdef0123456789abcdef01234567\"\nheaders = {}",
            "headers: is not allowed beside content_id",
        ),
    ] {
        assert_error(&channel_with(upstream), expected);
    }
}

#[test]
fn headers_are_valid_and_leave_alone_what_a_request_sets_itself() {
    for (upstream, expected) in [
        (
            "url = \"http://h\"\nuser_agent = \"a\\nb\"",
            "user_agent: has a character",
        ),
        (
            "url = \"http://h\"\nheaders = { Host = \"a\" }",
            "f:6:13: channel.upstream.headers: Host is not allowed",
        ),
        (
            "url = \"http://h\"\nheaders = { transfer-encoding = \"a\" }",
            "headers: transfer-encoding is not allowed",
        ),
        (
            "url = \"http://h\"\nheaders = { \"a b\" = \"a\" }",
            "has a character that is not allowed, a header name",
        ),
        (
            "url = \"http://h\"\nheaders = { A = \"1\", a = \"2\" }",
            "headers: a is not allowed, a header that is not set already",
        ),
        (
            "url = \"http://h\"\nheaders = { a = \"1\\r\\nb: 2\" }",
            "headers: has a character",
        ),
        (
            "url = \"http://h\"\nheaders = { a = 1 }",
            "headers: is a number, a text is allowed",
        ),
        (
            "url = \"http://h\"\nheaders = 1",
            "headers: is a number, a table of texts is allowed",
        ),
        (
            "url = \"http://h\"\nuser_agent = \"x\"\nheaders = { User-Agent = \"y\" }",
            "User-Agent is not allowed",
        ),
    ] {
        assert_error(&channel_with(upstream), expected);
    }
}

#[test]
fn a_url_is_http_with_a_host_and_is_never_shown() {
    for (url, expected) in [
        ("ftp://h/TELL", "another scheme"),
        ("h/TELL", "no http:// before the host"),
        ("http://h:0/TELL", "port 0"),
        ("http://h:99999/TELL", "the port is no number"),
        ("http://h/a b/TELL", "has a space or a control character"),
        ("http://h/a\\r\\nTELL", "has a space or a control character"),
        ("http://[::zz]/TELL", "it cannot be parsed"),
    ] {
        let url = url.replace("TELL", TELLTALE);
        let text =
            format!("[[channel]]\nid = 1\nname = \"a\"\n[[channel.upstream]]\nurl = \"{url}\"\n");
        assert_error(&text, expected);
        assert!(!errors(&text)[0].contains(TELLTALE));
    }
    assert_error(
        "[engine]\nurl = \"http://h/path\"\n",
        "engine.url: is not a usable URL (an engine has no path)",
    );
}

#[test]
fn a_user_is_a_plain_word_and_no_path_of_ours() {
    let with = |user: &str| format!("[[account]]\nuser = \"{user}\"\npassword = \"x\"\n");
    read(&with("Anna.B_7@example-1"));
    assert_error(&with(RESERVED_ONE), "f:2:8: account.user: ");
    for user in ["", "a/b", "a b", "é", "a?b", "a%20", "..", "."] {
        assert_error(&with(user), "f:2:8: account.user: ");
    }
    assert_error(
        &format!("{}{}", with("a"), with("a")),
        "f:5:8: account.user: \"a\" is given already at f:2:8",
    );
}

#[test]
fn a_password_stands_in_a_url_unchanged() {
    let with = |password: &str| format!("[[account]]\nuser = \"a\"\npassword = \"{password}\"\n");
    read(&with("!\\\"$&'()*+,-.:;<=>@[]^_`{|}~"));
    for password in [
        "",
        "a/b",
        "a?b",
        "a#b",
        "a%b",
        "a b",
        "é",
        "a\\r\\nb",
        "..",
        &"x".repeat(129),
    ] {
        assert_error(&with(password), "f:3:12: account.password: ");
    }
    let errors = errors(&with(&format!("{TELLTALE} ?")));
    assert!(!errors[0].contains(TELLTALE), "{errors:?}");
}

#[test]
fn an_account_has_one_password() {
    assert_error(
        "[[account]]\nuser = \"a\"\n",
        "f:1:1: account: has none, exactly one of password or password_file",
    );
    assert_error(
        "[[account]]\nuser = \"a\"\npassword = \"x\"\npassword_file = \"y\"\n",
        "account: has password and password_file, exactly one of",
    );
    assert_error(
        "[[account]]\npassword = \"x\"\n",
        "f:1:1: account.user: is missing, a text is needed",
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
         [[channel]]\nid = 7\nname = \"A \\\"b\\\" \\u00e9\"\nlinger_ms = 1\n\
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
    assert_eq!(line("id "), ["id = 7", "f:4:6"]);
    assert_eq!(line("password"), ["password = \"***\"", "f:15:12"]);
    let again = read(&shown);
    assert_eq!(again.channels[0].name, config.channels[0].name);
    assert_eq!(again.channels[0].stream, config.channels[0].stream);
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
