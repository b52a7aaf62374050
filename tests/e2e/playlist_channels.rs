//! Channels that come from lists: files and servers, lists that change and break, and numbers that stay.

use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex};

use corecast_load::packets::Source;
use serde_json::Value;

use crate::clients;
use crate::config::Config;
use crate::engine::Engine;
use crate::launch::{Folder, Launch, PASSWORD};
use crate::names::metric;
use crate::server::Server;
use crate::upstream::{Answer, Step, Upstream};
use crate::viewer::End;
use crate::wire::Double;
use crate::within;

/// A list of these announcements and links.
fn list(entries: &[(String, String)]) -> String {
    let entries = entries
        .iter()
        .map(|(said, link)| format!("#EXTINF:-1 {said}\n{link}\n"));
    format!("#EXTM3U\n{}", entries.collect::<String>())
}

/// Entries that are called `names` and lead to a path of that name.
fn entries(upstream: &Upstream, names: &[&str]) -> Vec<(String, String)> {
    let entry = |name: &&str| {
        let said = format!("tvg-id=\"{name}.id\" group-title=\"UK\",{name}");
        (said, upstream.url(&format!("/{name}.ts")))
    };
    names.iter().map(entry).collect()
}

fn write(folder: &Path, text: &str) {
    let new = folder.join("new.m3u");
    fs::write(&new, text).unwrap();
    fs::rename(new, folder.join("list.m3u")).unwrap();
}

/// A server whose list is this file, looked at each second.
fn with_file(config: Config, text: &str, keys: &str) -> Server {
    let keys = format!("file = \"list.m3u\"\nrefresh_ms = 1000\n{keys}");
    let launch = Launch::new(&config.playlist("own", &keys));
    write(launch.folder(), text);
    launch.start()
}

/// Number and name of each channel, as apps are told.
#[track_caller]
fn told(server: &Server) -> Vec<(u64, String)> {
    let reply = server.get("/player_api.php?action=get_live_streams");
    let channels: Vec<Value> = serde_json::from_slice(&reply.body).unwrap();
    let told = channels.iter().map(|it| {
        let name = it["name"].as_str().unwrap().to_owned();
        (it["stream_id"].as_u64().unwrap(), name)
    });
    told.collect()
}

#[track_caller]
fn wait_told(server: &Server, expected: &[(u64, &str)]) {
    let expected: Vec<_> = expected
        .iter()
        .map(|(id, name)| (*id, (*name).to_owned()))
        .collect();
    within(15_000, &format!("{expected:?}"), || {
        told(server) == expected
    });
}

/// A server of lists that answers with what is in it now.
#[derive(Clone)]
struct Shop(Arc<Mutex<Answer>>);

impl Shop {
    fn open(answer: Answer) -> (Self, Upstream) {
        let shop = Self(Arc::new(Mutex::new(answer)));
        let asked = shop.clone();
        let upstream = Upstream::start(move |_| asked.0.lock().unwrap().clone());
        (shop, upstream)
    }

    fn put(&self, answer: Answer) {
        *self.0.lock().unwrap() = answer;
    }
}

fn served(text: &str) -> Answer {
    Answer::text("200 OK", "audio/x-mpegurl", text)
}

#[test]
fn a_list_in_a_file_is_watched_and_its_changes_touch_nobody_else() {
    let upstream = Upstream::live(Source::new(1, 1_000));
    let text = list(&entries(&upstream, &["a", "b", "c"]));
    let server = with_file(Config::new().demo(5), &text, "");
    let ready = [
        (5, "Channel 5"),
        (10_000, "a"),
        (10_001, "b"),
        (10_002, "c"),
    ];
    assert_eq!(told(&server).len(), 4, "they are there when it is ready");
    wait_told(&server, &ready);
    let (stays, leaves) = (server.viewer(10_002), server.viewer(10_000));
    for viewer in [&stays, &leaves] {
        assert_eq!(viewer.wait_status(), 200);
        viewer.wait("media", |state| state.seen().packets > 100);
    }
    write(
        server.folder(),
        &list(&entries(&upstream, &["d", "c", "b"])),
    );
    wait_told(
        &server,
        &[
            (5, "Channel 5"),
            (10_003, "d"),
            (10_002, "c"),
            (10_001, "b"),
        ],
    );
    assert_eq!(leaves.wait_end(), End::Closed);
    stays.wait_more(300);
    stays.seen().assert_unbroken();
    stays.assert_steady();
    assert_eq!(server.viewer(10_000).wait_status(), 404);
    server.wait_metric(metric::PLAYLIST_CHANNELS, &[], 3);
    write(
        server.folder(),
        &list(&entries(&upstream, &["a", "b", "c"])),
    );
    wait_told(&server, &ready);
}

#[test]
fn every_listing_and_every_account_knows_the_channels_of_lists() {
    let upstream = Upstream::live(Source::new(1, 1_000));
    let mut entries = entries(&upstream, &["a", "b"]);
    entries[0].0 = "tvg-chno=\"3\" tvg-logo=\"http://192.0.2.1/a.png\" group-title=\"FR\",a".into();
    let config = Config::new().account("anna", PASSWORD).account_of(
        "ben",
        &format!("password = {PASSWORD:?}\ngroups = [\"UK\", \"later\"]"),
    );
    let server = with_file(config, &list(&entries), "");
    let get = |path: &str, user: &str| {
        let reply = server.get(&format!("{path}?username={user}&password={PASSWORD}"));
        assert_eq!(reply.status(), 200, "{path}");
        reply.text().to_owned()
    };
    for path in ["/playlist.m3u", "/get.php", "/xmltv.php", "/panel_api.php"] {
        let (all, some) = (get(path, "anna"), get(path, "ben"));
        assert!(all.contains("FR") || path == "/xmltv.php", "{all}");
        assert!(some.contains("b.id"), "{some}");
        assert!(!some.contains("a.png"), "{some}");
        assert!(all.contains("a.png"), "{all}");
    }
    let lineup = server.get(&format!("/anna/{PASSWORD}/lineup.json"));
    let lineup: Value = serde_json::from_slice(&lineup.body).unwrap();
    assert_eq!(lineup[0]["GuideNumber"], "3");
    let target = |user: &str, id: u32| format!("/live/{user}/{PASSWORD}/{id}.ts");
    assert_eq!(server.viewer_of(&target("ben", 10_001)).wait_status(), 200);
    assert_eq!(server.viewer_of(&target("ben", 10_000)).wait_status(), 403);
    assert_eq!(server.viewer_of(&target("anna", 10_000)).wait_status(), 200);
}

const CONTENT: &str = "0a1b2c3d4e5f60718293a4b5c6d7e8f901234567";
const SECRET: &str = "s3cr3t-0f-4-l1st";

/// Entries that hint in each way, two of the engine, and one that is left out.
fn hinting(upstream: &Upstream) -> String {
    let link = |name: &str| upstream.url(&format!("/live/anna/{SECRET}/{name}.ts?token={SECRET}"));
    format!(
        "#EXTM3U\n#EXTINF:-1,Kodi\n{}|User-Agent=Agent%20K&Referer=http://page/\n\
         #EXTINF:-1,Vlc\n#EXTVLCOPT:http-user-agent=Agent V\n#EXTVLCOPT:http-referrer=http://vlc/\n{}\n\
         #EXTINF:-1,Plain\n{}\n#EXTINF:-1,Engine\nacestream://{CONTENT}\n\
         #EXTINF:-1,Local\nhttp://127.0.0.1:6878/ace/getstream?id={CONTENT}\n\
         #EXTINF:-1,Hls\nhttp://h/1.m3u8\n",
        link("kodi"),
        link("vlc"),
        link("plain"),
    )
}

/// A configuration whose list comes from this provider, with a secret wherever one may stand.
fn of_provider(engine: &Engine, provider: &Upstream) -> Config {
    let url = provider.url(&format!("/get.php?username=anna&password={SECRET}"));
    let url = url.replace("http://", &format!("http://u:{SECRET}@"));
    let keys = format!(
        "url = {url:?}\nrefresh_ms = 1000\nuser_agent = \"Usual/1\"\nheaders = {{ X-Key = {SECRET:?} }}"
    );
    Config::new()
        .engine(&engine.url())
        .playlist("provider", &keys)
}

#[test]
fn hints_of_a_list_reach_upstreams_and_its_engine_content_the_engine() {
    let engine = Engine::live(Source::new(2, 1_000));
    let upstream = Upstream::live(Source::new(1, 1_000));
    let (_, provider) = Shop::open(served(&hinting(&upstream)));
    let server = Server::start(&of_provider(&engine, &provider));
    server.wait_metric(metric::PLAYLIST_CHANNELS, &[], 5);
    for id in 10_000..10_005 {
        let viewer = server.viewer(id);
        assert_eq!(viewer.wait_status(), 200, "{id}");
        viewer.wait("media", |state| state.seen().packets > 100);
    }
    assert_asked(upstream.double(), "kodi", ["Agent K", "http://page/"]);
    assert_asked(upstream.double(), "vlc", ["Agent V", "http://vlc/"]);
    assert_asked(upstream.double(), "plain", ["Usual/1", ""]);
    assert!(engine.playbacks() > 0);
    server.wait_log(
        1,
        "playlist read playlist=provider entries=6 channels=5 skipped=hls=1",
    );
}

#[test]
fn a_list_is_asked_for_cheaply_and_shows_its_secrets_to_nobody() {
    let engine = Engine::live(Source::new(2, 1_000));
    let upstream = Upstream::live(Source::new(1, 1_000));
    let text = hinting(&upstream);
    let head = format!("ETag: \"7\"\r\nContent-Length: {}\r\n", text.len());
    let tagged = Answer::head("200 OK", &head).then(Step::Bytes(text.into_bytes()));
    let (_, provider) = Shop::open(tagged);
    let config = of_provider(&engine, &provider);
    let server = Server::start(&config);
    server.wait_metric(metric::PLAYLIST_CHANNELS, &[], 5);
    let asked = || provider.double().asked();
    within(10_000, "a second look", || asked().len() > 1);
    let asked = asked();
    let header = |nth: usize, name: &str| asked[nth].header(name).unwrap_or_default();
    assert_eq!(header(0, "user-agent"), "Usual/1");
    assert_eq!(header(0, "x-key"), SECRET);
    assert!(header(0, "authorization").starts_with("Basic "));
    assert_eq!(header(0, "if-none-match"), "");
    assert_eq!(header(1, "if-none-match"), "\"7\"");
    provider_goes(&server, provider);
    for shown in [
        server.log().join("\n"),
        server.ask_admin("/metrics").text().to_owned(),
        server.get("/playlist.m3u").text().to_owned(),
        server
            .get("/player_api.php?action=get_live_streams")
            .text()
            .to_owned(),
    ] {
        assert!(!shown.contains(SECRET), "{shown}");
    }
    let ran = Launch::new(&config)
        .argument("config")
        .argument("show")
        .run();
    let shown = ran.output;
    assert!(
        shown.contains("get.php?***") && !shown.contains(SECRET),
        "{shown}"
    );
}

/// The provider goes down, which the log tells.
fn provider_goes(server: &Server, mut provider: Upstream) {
    provider.stop();
    server.wait_log(
        1,
        "playlist not refreshed playlist=provider error=\"connect to",
    );
}

/// Looks at the request for a path of this name.
#[track_caller]
fn assert_asked(double: &Double, name: &str, expected: [&str; 2]) {
    let asked = double.asked();
    let asked = asked
        .iter()
        .find(|it| it.path().ends_with(&format!("/{name}.ts")))
        .unwrap();
    let header = |name: &str| asked.header(name).unwrap_or_default();
    assert_eq!(
        [header("user-agent"), header("referer")],
        expected,
        "{name}"
    );
}

#[test]
fn what_is_no_list_changes_nothing() {
    let upstream = Upstream::live(Source::new(1, 1_000));
    let names: Vec<String> = (0..50).map(|number| format!("n{number}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let good = list(&entries(&upstream, &names));
    let (shop, provider) = Shop::open(served(&good));
    let keys = format!("url = {:?}\nrefresh_ms = 1000", provider.url("/list.m3u"));
    let server = Server::start(&Config::new().playlist("provider", &keys));
    server.wait_metric(metric::PLAYLIST_CHANNELS, &[], 50);
    let viewer = server.viewer(10_049);
    viewer.wait("media", |state| state.seen().packets > 100);
    let cut = &good[..good.rfind("http").unwrap()];
    let broken = [
        ("refused", served("<html><body>Forbidden</body></html>")),
        ("refused", served("")),
        ("refused", served("#EXTM3U\n")),
        ("refused", served(cut)),
        ("refused", served(&list(&entries(&upstream, &["one"])))),
        (
            "refused",
            served("#EXTM3U\n#EXT-X-TARGETDURATION:6\n#EXTINF:6,\n1.ts\n"),
        ),
        ("failed", Answer::text("403 Forbidden", "text/plain", "no")),
        (
            "failed",
            Answer::raw("HTTP/1.1 200 OK\r\nContent-Length: 999\r\n\r\n#EXTM3U\n"),
        ),
    ];
    for (result, answer) in broken {
        let before = server.metric(metric::PLAYLIST_REFRESHES, &[("result", result)]);
        shop.put(answer);
        within(15_000, "two more looks", || {
            server.metric(metric::PLAYLIST_REFRESHES, &[("result", result)]) >= before + 2
        });
        assert_eq!(server.metric(metric::PLAYLIST_CHANNELS, &[]), 50);
    }
    server.wait_log(2, "playlist not refreshed playlist=provider");
    shop.put(served(&list(&entries(&upstream, &names[40..]))));
    server.wait_metric_within(15_000, metric::PLAYLIST_CHANNELS, &[], 10);
    viewer.wait_more(100);
    viewer.seen().assert_unbroken();
    assert_eq!(told(&server)[9], (10_049, "n49".to_owned()));
}

#[test]
fn a_start_while_the_provider_is_down_has_the_last_list_with_its_numbers() {
    let state = Folder::new();
    let upstream = Upstream::live(Source::new(1, 1_000));
    let (shop, mut provider) = Shop::open(served(&list(&entries(&upstream, &["a", "b", "c"]))));
    let config = || {
        let keys = format!("url = {:?}\nrefresh_ms = 1000", provider.url("/list.m3u"));
        Config::new()
            .set(
                "server",
                "state_dir",
                format!("{:?}", state.path().join("inner")),
            )
            .playlist("provider", &keys)
    };
    let config = config();
    let server = Server::start(&config);
    wait_told(&server, &[(10_000, "a"), (10_001, "b"), (10_002, "c")]);
    shop.put(served(&list(&entries(&upstream, &["c", "d", "a"]))));
    let last = [(10_002, "c"), (10_003, "d"), (10_000, "a")];
    wait_told(&server, &last);
    let file = state.path().join("inner").join("playlist-provider.numbers");
    within(10_000, "the numbers are kept", || {
        fs::read_to_string(&file).is_ok_and(|text| text.contains("\"name\":\"d\""))
    });
    within(10_000, "the list is kept", || {
        let kept = state.path().join("inner").join("playlist-provider.kept");
        fs::read_to_string(kept).is_ok_and(|text| text.contains("d.ts"))
    });
    drop(server);
    provider.stop();
    let server = Server::start(&config);
    wait_told(&server, &last);
    assert_eq!(told(&server).len(), 3, "they are there when it is ready");
    assert_eq!(server.viewer(10_003).wait_status(), 200);
    server.wait_log(
        1,
        "playlist not refreshed playlist=provider error=\"connect to",
    );
    drop(server);
    // What is broken in the folder is told and survived.
    fs::write(&file, "{").unwrap();
    fs::write(file.with_extension("kept"), "{}\nrest").unwrap();
    let server = Server::start(&config);
    server.wait_log(1, "numbers of a playlist are lost");
    server.wait_log(1, "kept playlist is lost");
    assert!(told(&server).is_empty());
}

#[test]
fn a_state_folder_that_cannot_be_written_is_told_and_survived() {
    let upstream = Upstream::live(Source::new(1, 1_000));
    let config = Config::new().set("server", "state_dir", "\"/proc/corecast\"");
    let server = with_file(config, &list(&entries(&upstream, &["a"])), "");
    wait_told(&server, &[(10_000, "a")]);
    server.wait_log(1, "numbers of a playlist are not kept");
    server.wait_log(
        1,
        "make server.state_dir a folder that corecast may write to",
    );
}

#[test]
fn ten_thousand_entries_are_channels_like_any_other() {
    let upstream = Upstream::live(Source::new(1, 1_000));
    let names: Vec<String> = (0..10_000).map(|number| format!("n{number}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut all = entries(&upstream, &names);
    let server = with_file(Config::new(), &list(&all), "");
    assert_eq!(told(&server).len(), 10_000);
    let viewer = server.viewer(19_999);
    assert_eq!(viewer.wait_status(), 200);
    viewer.wait("media", |state| state.seen().packets > 100);
    all.reverse();
    all.truncate(9_999);
    write(server.folder(), &list(&all));
    server.wait_metric_within(20_000, metric::PLAYLIST_CHANNELS, &[], 9_999);
    assert_eq!(told(&server)[0], (19_999, "n9999".to_owned()));
    viewer.wait_more(300);
    viewer.seen().assert_unbroken();
    viewer.assert_steady();
    let scrape = server.ask_admin("/metrics");
    assert!(
        scrape.text().len() < 500_000,
        "channels that nobody watches are not counted"
    );
    assert!(scrape.text().contains("channel=\"19999\""));
}

#[test]
fn filters_and_merging_make_the_channels_that_were_wanted() {
    let mut down = Upstream::live(Source::new(1, 1_000));
    let upstream = Upstream::live(Source::new(1, 1_000));
    let entry =
        |group: &str, name: &str, link: String| (format!("group-title={group:?},{name}"), link);
    let text = list(&[
        entry("UK", "News", down.url("/news.ts")),
        entry("UK VIP", "Film", upstream.url("/film.ts")),
        entry("UK", "### UK ###", upstream.url("/nothing.ts")),
        entry("FR", "Infos", upstream.url("/infos.ts")),
        entry("UK", "NEWS", upstream.url("/news.ts")),
    ]);
    let keys = "groups = [\"uk*\"]\ngroups_except = [\"*vip\"]\nnames_except = [\"#*\"]\nmerge = true\n\
        id_from = 500\ngroup = \"Mine\"";
    let server = with_file(Config::new(), &text, keys);
    down.stop();
    assert_eq!(told(&server), [(500, "News".to_owned())]);
    assert!(
        server
            .get("/playlist.m3u")
            .text()
            .contains("group-title=\"Mine\"")
    );
    let viewer = server.viewer(500);
    viewer.wait("media of the second", |state| state.seen().packets > 100);
}

#[test]
fn lists_are_read_as_libraries_read_them() {
    let text = "#EXTM3U x-tvg-url=\"http://guide/\"\r\n\
        #EXTINF:-1 tvg-id=\"news.uk\" tvg-name=\"News 24\" tvg-logo=\"http://192.0.2.1/n.png?a=1,2\" group-title=\"UK news\",News, 24 & more\r\n\
        http://192.0.2.1/live/a/b/1.ts\r\n\
        #EXTINF:-1 tvg-id=\"\" tvg-name=\"\" tvg-logo=\"\" group-title=\"\",Ünïcode\r\nhttp://192.0.2.1/2.ts\r\n\
        #EXTINF:0 group-title='Single',Three\r\n#EXTVLCOPT:http-user-agent=X\r\nhttp://192.0.2.1/3.ts\r\n";
    let server = with_file(Config::new(), text, "");
    let ours = clients::playlist_parser(server.get("/playlist.m3u").text());
    let theirs = clients::playlist_parser(text);
    assert_eq!(ours.as_array().unwrap().len(), 3);
    for (ours, theirs) in ours
        .as_array()
        .unwrap()
        .iter()
        .zip(theirs.as_array().unwrap())
    {
        assert_eq!(ours["name"], theirs["name"]);
        assert_eq!(ours["logo"], theirs["logo"]);
    }
    assert_eq!(ours[0]["id"], theirs[0]["id"]);
    assert_eq!(ours[0]["group"], theirs[0]["group"]);
    let names = clients::ipytv(text);
    assert_eq!(names[0]["name"], ours[0]["name"]);
}
