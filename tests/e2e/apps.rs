//! What IPTV apps ask beside the stream: the Xtream API, playlists and the guide, as apps and other people's libraries
//! ask for them.

mod asked;

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
