//! Channels and their upstreams, as the file may give them.

use super::*;

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
fn a_wait_is_a_time_or_follows_the_load() {
    let config = read(
        "[stream]\nbatch_ms = 250\n\
         [[channel]]\nid = 7\nname = \"News\"\nbatch_ms = \"auto\"\n\
         [[channel.upstream]]\ndemo = true\n",
    );
    let fixed = Batch::Fixed(Duration::from_millis(250));
    assert_eq!(
        (config.stream.batch, config.channels[0].stream.batch),
        (fixed, Batch::Auto)
    );
    assert_error(
        "[stream]\nbatch_ms = 1001\n",
        "is 1001, 0 to 1000 is allowed",
    );
    assert_error(
        "[stream]\nbatch_ms = \"soon\"\n",
        "\"soon\" is not allowed, \"auto\" or a number is allowed",
    );
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
fn a_channel_says_how_apps_list_it() {
    let config = read(
        "[[channel]]\nid = 7\nname = \"News\"\ngroup = \"World\"\nlogo = \"https://a/b.png\"\n\
         epg_id = \"news.example\"\nnumber = 3\n[[channel.upstream]]\ndemo = true\n\
         [[channel]]\nid = 8\nname = \"b\"\n[[channel.upstream]]\ndemo = true\n",
    );
    let [news, plain] = &config.channels[..] else {
        panic!("two channels, not {:?}", config.channels);
    };
    assert_eq!(news.group.as_deref(), Some("World"));
    assert_eq!(news.logo.as_ref().map(Url::as_str), Some("https://a/b.png"));
    assert_eq!(news.epg_id.as_deref(), Some("news.example"));
    assert_eq!((news.number, plain.number), (3, 8));
    assert!(plain.group.is_none() && plain.logo.is_none() && plain.epg_id.is_none());
}

#[test]
fn what_apps_list_is_one_line_and_a_logo_can_be_fetched() {
    let error = |line: &str, expected: &str| {
        let channel = "[[channel]]\nid = 7\nname = \"a\"\n[[channel.upstream]]\ndemo = true\n";
        assert_error(
            &channel.replacen("name", &format!("{line}\nname"), 1),
            expected,
        );
    };
    error("group = \"\"", "channel.group: has 0 characters, 1 to 200");
    error(
        "group = \"a\\nb\"",
        "channel.group: has a character that is not allowed",
    );
    error(
        "epg_id = \"a\\u0000\"",
        "channel.epg_id: has a character that is not allowed",
    );
    error(
        "logo = \"/a.png\"",
        "channel.logo: is not a usable URL (no http:// before the host)",
    );
    error(
        "logo = \"file:///a.png\"",
        "channel.logo: is not a usable URL",
    );
    error(
        "number = 0",
        "channel.number: is 0, 1 to 4294967295 is allowed",
    );
}

#[test]
fn two_channels_have_no_number_in_common_be_it_given_or_the_id() {
    let channel = |id: u32, number: &str| {
        format!("[[channel]]\nid = {id}\n{number}name = \"a\"\n[[channel.upstream]]\ndemo = true\n")
    };
    assert_error(
        &(channel(1, "number = 5\n") + &channel(2, "number = 5\n")),
        "f:9:10: channel.number: 5 is given already at f:3:10, each may stand once",
    );
    assert_error(
        &(channel(1, "number = 2\n") + &channel(2, "")),
        "f:8:6: channel.number: 2 is given already at f:3:10, each may stand once",
    );
    read(&(channel(1, "number = 2\n") + &channel(2, "number = 1\n")));
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
fn providers_are_told_apart_by_name_and_by_whom_they_count() {
    let text = "[[provider]]\nhost = \"tv.example:8080\"\nuser = \"anna\"\nconnections_max = 2\nrelease_ms = 3000\n\
                [[provider]]\nname = \"all\"\nhost = \"TV.example\"\nconnections_max = 0\n";
    let (config, provenance) = read_with(text, &[], Flags::default()).unwrap();
    let named: Vec<_> = config
        .providers
        .iter()
        .map(|it| it.name.to_string())
        .collect();
    assert_eq!(named, ["1", "all"]);
    let first = &config.providers[0];
    assert_eq!((first.port, first.terms.connections_max), (Some(8080), 2));
    assert_eq!(first.terms.release.as_secs(), 3);
    assert!(!format!("{config:?}").contains("anna"));
    let shown = show(&config, &provenance);
    assert!(
        !shown.contains("anna") && shown.contains("host = \"tv.example:8080\""),
        "{shown}"
    );
    for (provider, expected) in [
        ("host = \"a\"", "provider.connections_max: is missing"),
        ("connections_max = 1", "provider.host: is missing"),
        (
            "host = \"http://a\"\nconnections_max = 1",
            "\"http://a\" is no host, host or host:port",
        ),
        (
            "host = \"a\"\nconnections_max = 1\nname = \"engine\"",
            "\"engine\" is no name, 1 to 32 of",
        ),
        (
            "host = \"a\"\nconnections_max = 1\nuser = \"\"",
            "provider.user: is missing",
        ),
        (
            "host = \"b\"\nconnections_max = 1\nname = \"first\"",
            "provider.name: first is given already at f:2:8",
        ),
        (
            "host = \"a\"\nconnections_max = 1",
            "provider.host: this host with this user is given already at f:3:8",
        ),
    ] {
        let first = "[[provider]]\nname = \"first\"\nhost = \"a\"\nconnections_max = 1\n";
        let alone = format!("[[provider]]\n{provider}\n");
        let text = match expected.contains("already") {
            true => format!("{first}{alone}"),
            false => alone,
        };
        assert_error(&text, expected);
    }
}
