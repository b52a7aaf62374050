//! What IPTV apps ask beside the stream: the Xtream API, playlists and the guide, as apps and other people's libraries
//! ask for them.

use std::net::TcpStream;
use std::time::Duration;

use corecast_load::packets::Source;
use serde_json::{Value, json};

use crate::canary::Canary;
use crate::clients;
use crate::config::Config;
use crate::http::{self, RawEnd, Reply};
use crate::launch::PASSWORD;
use crate::names::{metric, rejects};
use crate::server::Server;
use crate::upstream::Upstream;
use crate::{scaled, tools};

/// A name with everything in it that ever broke a parser.
const HARD: &str = "News, \"24\" = more; é & <b>|'x'";

fn listed() -> Config {
    Config::new()
        .listed(
            1,
            HARD,
            "group = \"World, \\\"A\\\"; B\"\nlogo = \"http://192.0.2.1/n.png?a=1&b=2,3\"\n\
             epg_id = \"news.example\"\nnumber = 7",
        )
        .listed(2, "Two", "")
        .listed(3, "Three", "group = \"World, \\\"A\\\"; B\"")
}

fn started() -> Server {
    Server::start(&listed().account("anna", PASSWORD))
}

fn url(server: &Server) -> String {
    format!("http://{}", server.address())
}

fn login(path: &str) -> String {
    format!("{path}?username=anna&password={PASSWORD}")
}

#[track_caller]
fn ask(server: &Server, method: &str, target: &str, rest: &str) -> Reply {
    let request = format!("{method} {target} HTTP/1.1\r\nConnection: close\r\n{rest}");
    http::ask(server.address(), &request)
}

#[track_caller]
fn json_of(reply: &Reply) -> Value {
    assert_eq!(reply.status(), 200, "{}", reply.text());
    assert_eq!(
        reply.header("content-type"),
        Some("application/json; charset=utf-8")
    );
    serde_json::from_slice(&reply.body).unwrap()
}

#[test]
fn pyxtream_loads_every_channel_and_finds_nothing_against_its_schemas() {
    let server = started();
    let cache = server.folder().join("cache");
    std::fs::create_dir(&cache).unwrap();
    let told = clients::pyxtream(&url(&server), "anna", PASSWORD, cache.to_str().unwrap());
    assert_eq!(
        told["state"],
        json!({"authenticated": true, "loaded": true})
    );
    assert_eq!(told["complaints"], json!([]));
    assert_eq!(
        told["groups"],
        json!([[1, "World, \"A\"; B"], [2, "Channels"]])
    );
    let channel_url = |id| format!("{}/live/anna/{PASSWORD}/{id}.ts", url(&server));
    let logo = "http://192.0.2.1/n.png?a=1&b=2,3";
    assert_eq!(
        told["channels"],
        json!([
            [
                1,
                HARD,
                "World, \"A\"; B",
                "news.example",
                logo,
                channel_url(1)
            ],
            [2, "Two", "Channels", "2", "", channel_url(2)],
            [3, "Three", "World, \"A\"; B", "3", "", channel_url(3)],
        ])
    );
    assert_eq!((&told["movies"], &told["series"]), (&json!(0), &json!(0)));
    assert_eq!(told["epg"], json!({"epg_listings": []}));
}

#[test]
fn xtream_api_reads_every_answer_in_its_own_types() {
    let server = started();
    let told = clients::xtream_api(&url(&server), "anna", PASSWORD);
    let profile = &told["profile"];
    assert_eq!(
        (
            &profile["username"],
            &profile["password"],
            &profile["status"]
        ),
        (&json!("anna"), &json!(PASSWORD), &json!("Active"))
    );
    assert_eq!(profile["expiresAt"], "2038-01-19T03:14:07.000Z");
    assert_eq!(profile["allowedOutputFormats"], json!(["ts"]));
    assert_eq!(
        (&profile["activeConnections"], &profile["maxConnections"]),
        (&json!(0), &json!(10_000))
    );
    assert_eq!(told["server"]["port"], server.address().port().to_string());
    let ids = |list: &str| -> Vec<(String, u64)> {
        let channels = told[list].as_array().unwrap();
        channels
            .iter()
            .map(|it| {
                (
                    it["id"].as_str().unwrap().to_owned(),
                    it["number"].as_u64().unwrap(),
                )
            })
            .collect()
    };
    let numbered = |id: &str, number| (id.to_owned(), number);
    assert_eq!(
        ids("channels"),
        [numbered("1", 7), numbered("2", 2), numbered("3", 3)]
    );
    assert_eq!(ids("firstCategory"), [numbered("1", 7), numbered("3", 3)]);
    let none = json!({"epg_listings": []});
    assert_eq!((&told["epg"], &told["table"]), (&none, &none));
    assert_eq!(told["movies"], json!([[], []]));
    assert_eq!(told["shows"], json!([[], []]));
    let watched = told["channels"][1]["url"].as_str().unwrap();
    let target = watched.strip_prefix(&url(&server)).unwrap();
    server
        .viewer_of(target)
        .wait("media", |state| state.seen().bytes > 100_000);
}

#[test]
fn a_wrong_login_is_told_in_json_to_apps_and_by_401_to_all_others() {
    // Shards tell each other of guesses, which takes a moment.
    let config = listed().set("server", "shards", 1);
    let server = Server::start(&config.account("anna", PASSWORD));
    let told = clients::xtream_api(&url(&server), "anna", "wrong");
    assert_eq!(told, json!({"profile": {"auth": 0}}));
    for path in ["/panel_api.php", "/player_api.php?action=get_live_streams"] {
        let reply = json_of(&server.get(path));
        assert_eq!(reply, json!({"user_info": {"auth": 0}}), "{path}");
    }
    for path in ["/playlist.m3u", "/get.php", "/xmltv.php"] {
        let reply = server.get(path);
        assert_eq!(reply.status(), 401, "{path}");
        assert!(reply.header("www-authenticate").is_some(), "{path}");
    }
    server.wait_metric(metric::REJECTS, &[("reason", rejects::BAD_CREDENTIALS)], 6);
    // Who offered nothing has not guessed; one guess was made before these.
    for path in ["/player_api.php", "/playlist.m3u", "/xmltv.php", "/get.php"] {
        server.get(&format!("{path}?username=anna&password=wrong"));
    }
    let throttled = server.get(&login("/player_api.php"));
    assert_eq!(throttled.status(), 429, "{}", throttled.text());
}

#[test]
fn both_parsers_read_the_same_playlist() {
    let server = started();
    for target in [
        login("/playlist.m3u"),
        login("/get.php"),
        login("/get.php") + "&type=m3u_plus&output=m3u8",
    ] {
        let reply = server.get(&target);
        assert_eq!(reply.header("content-type"), Some("audio/x-mpegurl"));
        let file = "attachment; filename=\"tv_channels_anna_plus.m3u\"";
        let is_file = target.starts_with("/get.php");
        assert_eq!(reply.header("content-disposition"), is_file.then_some(file));
        let read = clients::ipytv(reply.text());
        assert_eq!(
            read,
            clients::playlist_parser(reply.text()),
            "{}",
            reply.text()
        );
        let name = "News, '24' - more; é & <b>|'x'";
        assert_eq!(
            read[0],
            json!({
                "name": name,
                "url": format!("{}/live/anna/{PASSWORD}/1.ts", url(&server)),
                "id": "news.example",
                "title": name.replace([',', ';'], ""),
                "logo": "http://192.0.2.1/n.png?a=1&b=2,3",
                "group": "World 'A' B",
                "number": "7",
            })
        );
        assert_eq!(read.as_array().unwrap().len(), 3);
        assert_eq!(
            (&read[1]["name"], &read[1]["group"]),
            (&json!("Two"), &json!("Channels"))
        );
    }
}

#[test]
fn plain_playlist_has_names_and_urls_alone() {
    let server = started();
    let reply = server.get(&(login("/get.php") + "&type=m3u"));
    assert!(!reply.text().contains("tvg-"), "{}", reply.text());
    assert_eq!(
        reply.header("content-disposition"),
        Some("attachment; filename=\"tv_channels_anna.m3u\"")
    );
    let read = clients::playlist_parser(reply.text());
    let names: Vec<_> = read
        .as_array()
        .unwrap()
        .iter()
        .map(|it| &it["name"])
        .collect();
    assert_eq!(names, ["News, '24' - more; é & <b>|'x'", "Two", "Three"]);
}

#[test]
fn guide_is_xml_and_names_what_the_channels_name() {
    let server = started();
    let reply = server.get(&login("/xmltv.php"));
    assert_eq!(
        reply.header("content-type"),
        Some("application/xml; charset=utf-8")
    );
    let elements = clients::xml(reply.text());
    let elements = elements.as_array().unwrap();
    let named = |tag: &str| -> Vec<&Value> { elements.iter().filter(|it| it[0] == tag).collect() };
    let ids: Vec<_> = named("channel")
        .iter()
        .map(|it| it[1]["id"].clone())
        .collect();
    let channels = json_of(&server.get(&(login("/player_api.php") + "&action=get_live_streams")));
    let joined: Vec<_> = channels
        .as_array()
        .unwrap()
        .iter()
        .map(|it| it["epg_channel_id"].clone())
        .collect();
    assert_eq!(ids, joined);
    assert_eq!(elements[0][0], "tv");
    assert_eq!(named("display-name")[0][2], HARD);
    assert_eq!(named("programme").len(), 0);
}

#[test]
fn urls_begin_with_the_host_of_their_own_request() {
    let server = started();
    let local = server.address().to_string();
    for (version, header, begin) in [
        ("1.1", "Host: tv.example\r\n", "http://tv.example/live/"),
        (
            "1.1",
            "Host: [2001:db8::1]:81\r\n",
            "http://[2001:db8::1]:81/live/",
        ),
        (
            "1.1",
            "Host: other.example:8000\r\n",
            "http://other.example:8000/live/",
        ),
        ("1.0", "", &*format!("http://{local}/live/")),
        ("1.0", "Host: old.example\r\n", "http://old.example/live/"),
    ] {
        for _ in 0..2 {
            let target = login("/playlist.m3u");
            let request =
                format!("GET {target} HTTP/{version}\r\n{header}Connection: close\r\n\r\n");
            let reply = http::ask(server.address(), &request);
            let urls: Vec<&str> = reply
                .text()
                .lines()
                .filter(|it| !it.starts_with('#'))
                .collect();
            assert_eq!(urls.len(), 3);
            assert!(
                urls.iter().all(|it| it.starts_with(begin)),
                "{header}: {urls:?}"
            );
            assert_eq!(reply.header("cache-control"), Some("no-store"));
        }
    }
    let told = json_of(&ask(
        &server,
        "GET",
        &login("/player_api.php"),
        "Host: tv.example:81\r\n\r\n",
    ));
    assert_eq!(told["server_info"]["url"], "tv.example");
    assert_eq!(told["server_info"]["port"], "81");
}

#[test]
fn urls_begin_with_the_public_url_where_there_is_one() {
    let config = listed().set("server", "public_url", "\"https://tv.example:8443\"");
    let server = Server::start(&config);
    let reply = ask(
        &server,
        "GET",
        "/playlist.m3u",
        "Host: evil.example\r\n\r\n",
    );
    assert!(!reply.text().contains("evil"), "{}", reply.text());
    assert!(
        reply
            .text()
            .contains("\nhttps://tv.example:8443/live/any/any/2.ts\n"),
        "{}",
        reply.text()
    );
    let told = json_of(&server.get("/player_api.php"));
    let server_info = &told["server_info"];
    assert_eq!(
        (&server_info["server_protocol"], &server_info["https_port"]),
        (&json!("https"), &json!("8443"))
    );
}

#[test]
fn without_accounts_an_app_is_whoever_it_says() {
    let server = Server::start(&listed());
    let told = json_of(&server.get("/player_api.php?username=who&password=e%2Fver"));
    assert_eq!(told["user_info"]["username"], "who");
    assert_eq!(told["user_info"]["password"], "e/ver");
    assert_eq!(told["user_info"]["auth"], 1);
    let playlist = server.get("/playlist.m3u?username=who&password=ev%20er");
    assert!(
        playlist.text().contains("/live/who/ev%20er/2.ts\n"),
        "{}",
        playlist.text()
    );
}

#[test]
fn credentials_may_come_by_header_and_by_form() {
    let server = started();
    let form = format!("username=anna&password={PASSWORD}&action=get_live_streams");
    let posted = |target: &str, headers: &str, body: &str| {
        ask(
            &server,
            "POST",
            target,
            &format!("Host: a\r\n{headers}\r\n{body}"),
        )
    };
    let length = |body: &str| format!("Content-Length: {}\r\n", body.len());
    let chunked = format!("{:x}\r\n{form}\r\n0\r\n\r\n", form.len());
    let asked = login("/player_api.php") + "&action=get_live_streams";
    for reply in [
        posted("/player_api.php", &length(&form), &form),
        posted(
            "/player_api.php",
            "Transfer-Encoding: chunked\r\n",
            &chunked,
        ),
        posted(&asked, &length("{}"), "{}"),
        posted(&asked, "", ""),
    ] {
        assert_eq!(json_of(&reply).as_array().unwrap().len(), 3);
    }
    let playlist = posted("/get.php", &length(&form), &form);
    assert!(
        playlist.text().starts_with("#EXTM3U\n"),
        "{}",
        playlist.text()
    );
    let pair = format!("anna:{PASSWORD}");
    let target = format!("{}/playlist.m3u", url(&server));
    let curl = tools::run("curl", &["-s", "-u", &pair, &target]);
    let playlist = String::from_utf8(curl.stdout).unwrap();
    assert!(
        playlist.contains(&format!("/live/anna/{PASSWORD}/2.ts\n")),
        "{playlist}"
    );
    let target = format!("{}/player_api.php", url(&server));
    let expect = ["-s", "-H", "Expect: 100-continue", "-d", &form, &target];
    let curl = tools::run("curl", &expect);
    assert_eq!(
        serde_json::from_slice::<Value>(&curl.stdout).unwrap()[1]["name"],
        "Two"
    );
}

#[test]
fn bodies_are_bounded_in_length_and_time() {
    let server = started();
    let post = |headers: &str, body: &str| {
        ask(
            &server,
            "POST",
            "/player_api.php",
            &format!("Host: a\r\n{headers}\r\n\r\n{body}"),
        )
    };
    let piece = format!("8000\r\n{}\r\n", "a".repeat(0x8000));
    for (headers, body, status) in [
        ("Content-Length: 65537", "", 413),
        ("Transfer-Encoding: chunked", &*piece.repeat(3), 413),
        ("Transfer-Encoding: chunked", "zz\r\n", 400),
        ("Content-Length: 5", "a=b", 408),
        ("Content-Length: 5\r\nExpect: cake", "a=b&c", 417),
    ] {
        let reply = post(headers, body);
        assert_eq!(reply.status(), status, "{headers}: {}", reply.text());
        assert_eq!(reply.header("connection"), Some("close"), "{headers}");
    }
    let fits = format!("a={}&action=get_series", "b".repeat(65_000));
    let reply = post(&format!("Content-Length: {}", fits.len()), &fits);
    assert_eq!(json_of(&reply), json!({"user_info": {"auth": 0}}));
}

#[test]
fn head_is_the_head_of_get_and_options_names_the_methods() {
    let server = started();
    for path in [
        "/player_api.php",
        "/panel_api.php",
        "/get.php",
        "/xmltv.php",
        "/playlist.m3u",
    ] {
        let target = login(path);
        let by_get = ask(&server, "GET", &target, "Host: a\r\n\r\n");
        let by_head = ask(&server, "HEAD", &target, "Host: a\r\n\r\n");
        assert_eq!(by_get.head, by_head.head, "{path}");
        assert_eq!(by_head.body.len(), 0, "{path}");
        let length: usize = by_head.header("content-length").unwrap().parse().unwrap();
        assert_eq!((by_get.body.len(), length > 10), (length, true), "{path}");
        let options = ask(&server, "OPTIONS", path, "Host: a\r\n\r\n");
        assert_eq!(options.status(), 204);
        let allow = options.header("allow").unwrap();
        assert_eq!(allow.contains("POST"), path != "/playlist.m3u", "{path}");
        assert_eq!(options.header("access-control-allow-origin"), Some("*"));
        let deleted = ask(&server, "DELETE", path, "Host: a\r\n\r\n");
        assert_eq!(
            (deleted.status(), deleted.header("allow")),
            (405, Some(allow))
        );
    }
}

#[test]
fn connection_carries_pages_and_then_a_stream() {
    let upstream = Upstream::live(Source::new(1, 2_000));
    let server = Server::start(&Config::new().channel(7, &[upstream.url("/a.ts")]));
    let page = |path: &str| format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n");
    let form = "POST /player_api.php HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\na=b";
    let requests = page("/playlist.m3u") + form + &page("/xmltv.php") + &page("/live/a/b/8.ts");
    let raw = http::exchange(
        TcpStream::connect(server.address()).unwrap(),
        &[requests.as_bytes()],
    );
    let text = String::from_utf8(raw.bytes).unwrap();
    assert_eq!(text.matches("HTTP/1.1 200 OK\r\n").count(), 3, "{text}");
    assert_eq!(
        text.matches("Connection: keep-alive\r\n").count(),
        3,
        "{text}"
    );
    assert_eq!(
        text.matches("HTTP/1.1 404 Not Found\r\n").count(),
        1,
        "{text}"
    );
    assert_eq!(raw.end, Some(RawEnd::Closed));
    let curl = tools::run(
        "curl",
        &[
            "-s",
            "--max-time",
            "2",
            "-o",
            "/dev/null",
            "-o",
            "/dev/null",
            "-w",
            "%{num_connects} %{http_code} ",
            &format!("{}/playlist.m3u", url(&server)),
            &format!("{}/live/a/b/7.ts", url(&server)),
        ],
    );
    assert_eq!(String::from_utf8(curl.stdout).unwrap(), "1 200 0 200 ");
}

#[test]
fn idle_connection_is_closed_after_ten_seconds() {
    let server = Server::start(&listed());
    let request = "GET /lineup_status.json HTTP/1.1\r\nHost: a\r\n\r\n";
    let raw = http::exchange(
        TcpStream::connect(server.address()).unwrap(),
        &[request.as_bytes()],
    );
    assert_eq!((raw.status(), raw.end), (Some(200), Some(RawEnd::Closed)));
    let range = Duration::from_secs(9)..Duration::from_secs(12);
    assert!(range.contains(&raw.took), "{:?}", raw.took);
    assert_eq!(server.metric(metric::REJECTS, &[]), 0);
}

#[test]
fn ten_thousand_channels_are_listed_and_no_viewer_waits() {
    let upstream = Upstream::live(Source::new(1, 2_000));
    let channels = 10_000;
    let config = (100..100 + channels).fold(
        Config::new()
            .set("server", "shards", 1)
            .channel(7, &[upstream.url("/a.ts")]),
        |config, id| config.listed(id, &format!("Channel {id} of many"), "group = \"Many\""),
    );
    let server = Server::start(&config);
    let canary = Canary::new(&server);
    let targets = [
        "/playlist.m3u",
        "/player_api.php?action=get_live_streams",
        "/lineup.json",
        "/xmltv.php",
    ];
    let rounds = scaled(3, 100);
    std::thread::scope(|scope| {
        for target in targets {
            let server = &server;
            scope.spawn(move || {
                for _ in 0..rounds {
                    let reply = server.get(target);
                    let length: usize = reply.header("content-length").unwrap().parse().unwrap();
                    assert_eq!(
                        (reply.status(), reply.body.len()),
                        (200, length),
                        "{target}"
                    );
                    let listed = reply.text().matches("of many").count();
                    let times = if target == "/playlist.m3u" { 2 } else { 1 };
                    assert_eq!(
                        listed,
                        usize::try_from(channels).unwrap() * times,
                        "{target}"
                    );
                }
            });
        }
    });
    canary.assert_untouched();
}
