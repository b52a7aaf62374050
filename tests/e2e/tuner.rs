//! The network tuner that Plex, Jellyfin, Emby and Channels see: from its address to a picture, as they go there.

use serde_json::{Value, json};

use crate::clients;
use crate::config::Config;
use crate::http;
use crate::launch::PASSWORD;
use crate::server::Server;

fn listed() -> Config {
    Config::new()
        .listed(1, "News & <more>", "number = 7")
        .listed(2, "Two", "")
}

/// Follows a URL that the server gave out.
#[track_caller]
fn follow(server: &Server, url: &str) -> http::Reply {
    let begin = format!("http://{}", server.address());
    server.get(
        url.strip_prefix(&begin)
            .unwrap_or_else(|| panic!("{url} leads elsewhere")),
    )
}

#[track_caller]
fn json_at(server: &Server, url: &str) -> Value {
    let reply = follow(server, url);
    assert_eq!(reply.status(), 200, "{url}: {}", reply.text());
    serde_json::from_slice(&reply.body).unwrap()
}

/// From the address that somebody enters in an app to media.
#[track_caller]
fn assert_plays(server: &Server, entered: &str) {
    let discovered = json_at(server, &format!("{entered}/discover.json"));
    assert_eq!(discovered["BaseURL"], entered);
    let status = json_at(server, &format!("{entered}/lineup_status.json"));
    assert_eq!(status["ScanInProgress"], 0);
    let lineup = json_at(server, discovered["LineupURL"].as_str().unwrap());
    let numbers: Vec<_> = lineup
        .as_array()
        .unwrap()
        .iter()
        .map(|it| &it["GuideNumber"])
        .collect();
    assert_eq!(numbers, ["7", "2"]);
    assert_eq!(lineup[0]["GuideName"], "News & <more>");
    let channel = lineup[0]["URL"].as_str().unwrap();
    let target = channel.split_once("/live/").unwrap().1;
    let viewer = server.viewer_of(&format!("/live/{target}"));
    viewer.wait("media", |state| state.seen().bytes > 100_000);
}

#[test]
fn tuner_leads_from_its_address_to_media() {
    let server = Server::start(&listed());
    assert_plays(&server, &format!("http://{}", server.address()));
}

#[test]
fn tuner_with_accounts_has_its_account_in_the_address() {
    let server = Server::start(&listed().account("anna", PASSWORD));
    let address = format!("http://{}", server.address());
    assert_plays(&server, &format!("{address}/anna/{PASSWORD}"));
    for name in [
        "discover.json",
        "lineup.json",
        "lineup.xml",
        "lineup_status.json",
        "device.xml",
    ] {
        for path in [format!("/{name}"), format!("/anna/wrong/{name}")] {
            let reply = server.get(&path);
            // More wrong logins than an address may have are answered otherwise.
            assert!(
                matches!(reply.status(), 401 | 429),
                "{path}: {}",
                reply.status()
            );
            assert!(!reply.text().contains("anna"), "{path}");
        }
    }
}

#[test]
fn tuner_keeps_its_id_over_a_restart_and_another_lineup() {
    let id = |server: &Server| {
        let request =
            "GET /discover.json HTTP/1.1\r\nHost: tv.example:8000\r\nConnection: close\r\n\r\n";
        let reply = http::ask(server.address(), request);
        let discovered: Value = serde_json::from_slice(&reply.body).unwrap();
        discovered["DeviceID"].as_str().unwrap().to_owned()
    };
    let first = id(&Server::start(&listed()));
    assert_eq!(first, id(&Server::start(&listed().listed(3, "Three", ""))));
    assert!(
        first.len() == 8 && first.bytes().all(|it| it.is_ascii_hexdigit()),
        "{first}"
    );
}

#[test]
fn tuner_says_the_same_in_xml() {
    let server = Server::start(&listed());
    let lineup = server.get("/lineup.xml");
    let lineup = clients::xml(lineup.text());
    let texts = |tag: &str| -> Vec<Value> {
        let elements = lineup.as_array().unwrap().iter();
        elements
            .filter(|it| it[0] == tag)
            .map(|it| it[2].clone())
            .collect()
    };
    assert_eq!(texts("GuideNumber"), ["7", "2"]);
    assert_eq!(texts("GuideName"), ["News & <more>", "Two"]);
    let urls = json_at(&server, &format!("http://{}/lineup.json", server.address()));
    let urls: Vec<_> = urls
        .as_array()
        .unwrap()
        .iter()
        .map(|it| it["URL"].clone())
        .collect();
    assert_eq!(texts("URL"), urls);
    let device = server.get("/device.xml");
    let device = clients::xml(device.text());
    let discovered = json_at(
        &server,
        &format!("http://{}/discover.json", server.address()),
    );
    let serial = device
        .as_array()
        .unwrap()
        .iter()
        .find(|it| it[0].as_str().unwrap().ends_with("}serialNumber"));
    assert_eq!(serial.unwrap()[2], discovered["DeviceID"]);
    assert_eq!(discovered["TunerCount"], json!(32));
}
