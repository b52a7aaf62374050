//! Program guides: as files and behind URLs, broken and very long, and what apps are answered out of them.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{SystemTime, UNIX_EPOCH};

use corecast::guide::stamp::Stamp;
use corecast_load::packets::Source;
use serde_json::{Value, json};

use crate::clients;
use crate::config::Config;
use crate::http::{self, Reply};
use crate::launch::{Folder, Launch, PASSWORD};
use crate::names::metric;
use crate::server::Server;
use crate::tools;
use crate::upstream::{Answer, Step, Upstream};
use crate::viewer::Viewer;
use crate::wire::Double;
use crate::{scaled, within};

const OK: &[(&str, &str)] = &[("result", "ok")];
const FAILED: &[(&str, &str)] = &[("result", "failed")];
const UNCHANGED: &[(&str, &str)] = &[("result", "unchanged")];

const HOUR_S: u64 = 3_600;

/// When what is on has begun: a minute before the first test asked, on the minute.
fn on_since_s() -> u64 {
    static BEGUN: OnceLock<u64> = OnceLock::new();
    *BEGUN.get_or_init(|| {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        now.as_secs() / 60 * 60 - 60
    })
}

fn listed() -> Config {
    Config::new()
        .listed(1, "News", "epg_id = \"news.example\"")
        .listed(2, "Film Plus", "")
        .listed(3, "Other", "epg_id = \"other.example\"")
}

/// A guide with these elements.
fn xmltv(elements: &[String]) -> String {
    let elements = elements.concat();
    format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<tv>\n{elements}</tv>\n")
}

fn programme(channel: &str, start_s: u64, title: &str) -> String {
    let (start, stop) = (Stamp(start_s), Stamp(start_s + HOUR_S));
    format!(
        "<programme start=\"{start}\" stop=\"{stop}\" channel=\"{channel}\">\
         <title lang=\"en\">{title}</title><desc>Of {title}</desc></programme>\n"
    )
}

fn news(title: &str) -> String {
    xmltv(&[programme("news.example", on_since_s(), title)])
}

/// A server whose guide is a file of this content.
fn with_file(config: Config, content: &str) -> Server {
    let launch = Launch::new(&config.guide("file = \"guide.xml\"\nrefresh_ms = 1000"));
    std::fs::write(launch.folder().join("guide.xml"), content).unwrap();
    let server = launch.start();
    looked(&server, OK, 1);
    server
}

/// A server whose guide is behind a URL.
fn with_url(upstream: &Upstream) -> Server {
    let url = upstream.url("/guide.xml");
    Server::start(&listed().guide(&format!("url = {url:?}\nrefresh_ms = 1000")))
}

/// Waits until so many looks ended like this.
#[track_caller]
fn looked(server: &Server, result: &[(&str, &str)], count: u64) {
    within(30_000, &format!("{count} looks {result:?}"), || {
        server.metric(metric::GUIDE_REFRESHES, result) >= count
    });
}

fn ask_for(server: &Server, headers: &str) -> Reply {
    let address = server.address();
    let target = "/xmltv.php";
    let request =
        format!("GET {target} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n{headers}\r\n");
    http::ask(address, &request)
}

/// Channel, start, stop and first title of every programme, as Python reads them.
fn programmes(document: &str) -> Vec<[String; 4]> {
    let elements = clients::xml(document);
    let elements = elements.as_array().unwrap();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let read = elements.iter().enumerate();
    let read = read.filter(|(_, it)| it[0] == "programme").map(|(at, it)| {
        let mut after = elements[at..].iter();
        let title = after.find(|it| it[0] == "title").unwrap();
        [
            text(&it[1]["channel"]),
            text(&it[1]["start"]),
            text(&it[1]["stop"]),
            text(&title[2]),
        ]
    });
    read.collect()
}

fn listings(server: &Server, query: &str) -> Vec<Value> {
    let reply = server.get(&format!("/player_api.php?{query}"));
    assert_eq!(reply.status(), 200);
    let told: Value = serde_json::from_slice(&reply.body).unwrap();
    told["epg_listings"].as_array().unwrap().clone()
}

fn base64(text: &Value) -> String {
    use base64::Engine as _;
    let bytes = base64::prelude::BASE64_STANDARD.decode(text.as_str().unwrap());
    String::from_utf8(bytes.unwrap()).unwrap()
}

#[test]
fn a_guide_as_it_is_found_is_served_clean_and_cut() {
    let on_since_s = on_since_s();
    let at = |hours: u64| {
        let stamp = Stamp(on_since_s + hours * HOUR_S).to_string();
        stamp.trim_end_matches(" +0000").to_owned()
    };
    let east = |hours: u64| format!("{} +0200", at(hours + 2));
    let elements = [
        "<channel id=\"news.example\"><display-name>Any</display-name><icon src=\"http://a/b.png\"/></channel>\n".to_owned(),
        "<channel id=\"film\"><display-name lang=\"de\"> film  plus </display-name></channel>\n".to_owned(),
        format!("<programme start=\"{}\" stop=\"{}\" channel=\"news.example\">\n  <title lang=\"de\">Eins &amp; &#228;</title>\
                 <title lang=\"en\">One</title><desc>A & B</desc>\n <icon src=\"http://a/?x=1&amp;y=2\"/></programme>\n", east(0), east(1)),
        // No end, no zone; the next runs into the one after it.
        format!("<programme start=\"{}\" channel=\"NEWS.example\"><title><![CDATA[Two <2>]]></title></programme>\n", at(1)),
        format!("<programme start=\"{} +00:00\" stop=\"{}\" channel=\"news.example\"><title>Three</title></programme>\n", at(2), at(5)),
        format!("<programme start=\"{}\" stop=\"{} UTC\" channel=\"news.example\"><title>Four</title></programme>\n", at(3), at(4)),
        programme("film", on_since_s, "Film"),
        programme("elsewhere", on_since_s, "Nobody's"),
        programme("news.example", on_since_s - 30 * HOUR_S, "Long over"),
        programme("news.example", on_since_s + 9 * 24 * HOUR_S, "Far away"),
    ];
    let server = with_file(listed(), &xmltv(&elements));
    assert_eq!(server.metric(metric::GUIDE_PROGRAMMES, &[]), 5);
    let reply = server.get("/xmltv.php");
    let is = |channel: &str, from: u64, to: u64, title: &str| {
        let time = |hours| format!("{} +0000", at(hours));
        [channel.to_owned(), time(from), time(to), title.to_owned()]
    };
    assert_eq!(
        programmes(reply.text()),
        [
            is("news.example", 0, 1, "Eins & ä"),
            is("news.example", 1, 2, "Two <2>"),
            is("news.example", 2, 3, "Three"),
            is("news.example", 3, 4, "Four"),
            is("2", 0, 1, "Film"),
        ]
    );
    assert!(
        reply
            .text()
            .contains("<icon src=\"http://a/?x=1&amp;y=2\"/>")
    );
    assert!(reply.text().contains("<title lang=\"en\">One</title>"));
    server.wait_log(1, "channels=2 programmes=5 of=8 malformed=0");
}

#[test]
fn apps_are_told_what_is_on_in_the_types_they_know() {
    let on_since_s = on_since_s();
    let elements: Vec<String> = (0..9)
        .map(|nth| {
            programme(
                "news.example",
                on_since_s + nth * HOUR_S - 2 * HOUR_S,
                &format!("P{nth}"),
            )
        })
        .collect();
    let config = listed().account("anna", PASSWORD);
    let server = with_file(config, &xmltv(&elements));
    let login = format!("username=anna&password={PASSWORD}");
    let next = listings(
        &server,
        &format!("{login}&action=get_short_epg&stream_id=1"),
    );
    let titles: Vec<_> = next.iter().map(|it| base64(&it["title"])).collect();
    assert_eq!(titles, ["P2", "P3", "P4", "P5"]);
    let date = |seconds| {
        let stamp = Stamp(seconds).to_string();
        let (year, month, day) = (&stamp[..4], &stamp[4..6], &stamp[6..8]);
        let (hour, minute) = (&stamp[8..10], &stamp[10..12]);
        format!("{year}-{month}-{day} {hour}:{minute}:00")
    };
    let mut first = next[0].clone();
    let id = first["id"].take();
    assert!(id.as_str().unwrap().parse::<u32>().unwrap() < 1 << 31);
    assert_eq!(
        first,
        json!({
            "id": null,
            "epg_id": "1",
            "title": "UDI=",
            "lang": "en",
            "start": date(on_since_s),
            "end": date(on_since_s + HOUR_S),
            "stop": date(on_since_s + HOUR_S),
            "description": "T2YgUDI=",
            "channel_id": "news.example",
            "start_timestamp": on_since_s.to_string(),
            "stop_timestamp": (on_since_s + HOUR_S).to_string(),
        })
    );
    let two = format!("{login}&action=get_short_epg&stream_id=1&limit=2");
    assert_eq!(listings(&server, &two).len(), 2);
    let whole = format!("{login}&action=get_simple_data_table&stream_id=1");
    let whole = listings(&server, &whole);
    let marks: Vec<_> = whole
        .iter()
        .map(|it| (it["now_playing"].clone(), it["has_archive"].clone()))
        .collect();
    assert_eq!(marks.len(), 9);
    let now = (json!(1), json!(0));
    assert_eq!(marks.iter().position(|it| *it == now), Some(2));
    assert_eq!(whole[2]["id"], id, "an id stays");
    for other in ["2", "4", "x", ""] {
        let query = format!("{login}&action=get_short_epg&stream_id={other}");
        assert_eq!(listings(&server, &query), [json!(null); 0], "{other}");
    }
}

#[test]
fn other_peoples_libraries_read_what_is_on() {
    let elements: Vec<String> = (0..9)
        .map(|nth| programme("news.example", on_since_s() + nth * HOUR_S, "P"))
        .collect();
    let config = listed().account("anna", PASSWORD);
    let server = with_file(config, &xmltv(&elements));
    let url = format!("http://{}", server.address());
    let told = clients::xtream_api(&url, "anna", PASSWORD);
    let seen = |list: &Value| -> Vec<Value> {
        let listings = list["epg_listings"].as_array().unwrap();
        listings.iter().map(|it| it["title"].clone()).collect()
    };
    assert_eq!(seen(&told["epg"]).len(), 4);
    assert_eq!(seen(&told["table"]).len(), 9);
    let cache = server.folder().join("cache");
    std::fs::create_dir(&cache).unwrap();
    let told = clients::pyxtream(&url, "anna", PASSWORD, cache.to_str().unwrap());
    assert_eq!(told["complaints"], json!([]));
    assert_eq!(seen(&told["epg"]).len(), 4);
}

#[test]
fn an_account_sees_the_programmes_of_its_channels_alone() {
    let elements = [
        programme("news.example", on_since_s(), "N"),
        programme("other.example", on_since_s(), "O"),
    ];
    let lines = format!("password = {PASSWORD:?}\nchannels = [3]");
    let config = listed().account_of("ben", &lines).account("anna", PASSWORD);
    let server = with_file(config, &xmltv(&elements));
    let channels = |user: &str| -> Vec<String> {
        let target = format!("/xmltv.php?username={user}&password={PASSWORD}");
        let read = programmes(server.get(&target).text());
        read.into_iter().map(|[channel, ..]| channel).collect()
    };
    assert_eq!(channels("anna"), ["news.example", "other.example"]);
    assert_eq!(channels("ben"), ["other.example"]);
    let login = format!("username=ben&password={PASSWORD}");
    let of = |stream: u32| {
        let query = format!("{login}&action=get_short_epg&stream_id={stream}");
        listings(&server, &query).len()
    };
    assert_eq!((of(1), of(3)), (0, 1));
    let tag = |user: &str| {
        let reply = server.get(&format!("/xmltv.php?username={user}&password={PASSWORD}"));
        reply.header("etag").unwrap().to_owned()
    };
    assert_ne!(tag("anna"), tag("ben"));
}

#[test]
fn playlists_name_the_guide_where_there_is_one() {
    let server = with_file(listed().account("anna", PASSWORD), &news("A"));
    let target = format!("/get.php?username=anna&password={PASSWORD}&type=m3u_plus");
    let playlist = server.get(&target);
    let url = format!(
        "http://{}/xmltv.php?username=anna&password={PASSWORD}",
        server.address()
    );
    let first = playlist.text().lines().next().unwrap();
    assert_eq!(
        first,
        format!("#EXTM3U url-tvg=\"{url}\" x-tvg-url=\"{url}\"")
    );
    let read = clients::ipytv(playlist.text());
    assert_eq!(read, clients::playlist_parser(playlist.text()));
    assert_eq!(read.as_array().unwrap().len(), 3);
    let target = url.strip_prefix(&format!("http://{}", server.address()));
    assert_eq!(programmes(server.get(target.unwrap()).text()).len(), 1);
    let without = Server::start(&listed());
    assert!(without.get("/playlist.m3u").text().starts_with("#EXTM3U\n"));
}

#[test]
fn a_guide_that_is_known_is_not_sent_and_a_packed_one_is_the_same() {
    let elements: Vec<String> = (0..100)
        .map(|nth| {
            programme(
                "news.example",
                on_since_s() + nth * HOUR_S,
                &format!("P{nth}"),
            )
        })
        .chain([programme("other.example", on_since_s(), "O")])
        .collect();
    let server = with_file(listed(), &xmltv(&elements));
    let plain = ask_for(&server, "");
    assert_eq!(plain.header("cache-control"), Some("private, no-cache"));
    assert_eq!(plain.header("vary"), Some("Accept-Encoding"));
    let tag = plain.header("etag").unwrap();
    let date = plain.header("last-modified").unwrap();
    for known in [
        format!("If-None-Match: {tag}\r\n"),
        format!("If-Modified-Since: {date}\r\n"),
    ] {
        let reply = ask_for(&server, &known);
        assert_eq!((reply.status(), reply.body.len()), (304, 0), "{known}");
        assert_eq!(reply.header("etag"), Some(tag));
    }
    let other = ask_for(&server, "If-None-Match: \"other\"\r\n");
    assert_eq!(other.body, plain.body);

    let packed = ask_for(&server, "Accept-Encoding: gzip\r\n");
    assert_eq!(packed.header("content-encoding"), Some("gzip"));
    assert!(packed.body.len() * 4 < plain.body.len());
    let url = format!("http://{}/xmltv.php", server.address());
    let unpacked = tools::run("curl", &["-s", "--compressed", &url]);
    assert!(unpacked.stdout == plain.body);
    let file = server.folder().join("packed.gz");
    std::fs::write(&file, &packed.body).unwrap();
    let program = "import gzip, sys; sys.stdout.buffer.write(gzip.open(sys.argv[1]).read())";
    let unpacked = tools::run("python3", &["-c", program, file.to_str().unwrap()]);
    assert!(unpacked.stdout == plain.body);
    let head = http::ask(
        server.address(),
        "HEAD /xmltv.php HTTP/1.1\r\nHost: a\r\nAccept-Encoding: gzip\r\nConnection: close\r\n\r\n",
    );
    assert_eq!(
        head.header("content-length"),
        packed.header("content-length")
    );
    assert_eq!(head.body.len(), 0);
}

#[test]
fn a_guide_behind_a_url_is_asked_for_only_if_it_is_another() {
    let upstream = Upstream::start(|asked| {
        assert_eq!(asked.method, "GET");
        match asked.header("if-none-match") {
            Some("\"one\"") => Answer::head("304 Not Modified", ""),
            _ => Answer::head("200 OK", "ETag: \"one\"\r\n").then(Step::Bytes(news("A").into())),
        }
    });
    let server = with_url(&upstream);
    looked(&server, UNCHANGED, 2);
    assert_eq!(server.metric(metric::GUIDE_REFRESHES, OK), 1);
    assert_eq!(programmes(server.get("/xmltv.php").text()).len(), 1);
    assert!(!server.log().iter().any(|line| line.contains("/guide.xml")));
}

#[test]
fn a_broken_guide_keeps_the_last_good_one_and_says_why() {
    let good = |title: &str| Answer::text("200 OK", "application/xml", &news(title));
    let whole = news("Cut");
    let cut = Answer::head("200 OK", "").then(Step::Bytes(whole[..whole.len() - 20].into()));
    let short =
        Answer::head("200 OK", "Content-Length: 9999\r\n").then(Step::Bytes(whole[..150].into()));
    let bad = [
        (cut, "the document is broken after 175 bytes"),
        (short, "after 150 bytes"),
        (
            Answer::text("200 OK", "text/html", "<html>login</html>"),
            "is no XMLTV: it begins with",
        ),
        (
            Answer::text("500 Oops", "text/plain", "no"),
            "answered with status 500",
        ),
        (
            Answer::text("200 OK", "application/xml", ""),
            "has no programmes",
        ),
        (
            Answer::text(
                "200 OK",
                "application/xml",
                &xmltv(&[programme("x", on_since_s(), "X")]),
            ),
            "none of them",
        ),
        (Answer::raw("").then(Step::Reset), ""),
    ];
    let count = u64::try_from(bad.len()).unwrap();
    let answers = bad.iter().map(|(answer, _)| answer.clone());
    let answers = [good("First")]
        .into_iter()
        .chain(answers)
        .chain([good("Second")]);
    let upstream = Upstream::in_turn(answers.collect());
    let server = with_url(&upstream);
    let title = || programmes(server.get("/xmltv.php").text())[0][3].clone();
    looked(&server, OK, 1);
    assert_eq!(title(), "First");
    let before = ask_for(&server, "");
    looked(&server, FAILED, count);
    let after = ask_for(&server, "");
    // The next one may be there already, but never a broken one.
    assert!(after.body == before.body || title() == "Second");
    looked(&server, OK, 2);
    assert_eq!(title(), "Second");
    assert_ne!(ask_for(&server, "").header("etag"), before.header("etag"));
    for (_, why) in &bad {
        server.wait_log(1, why);
    }
    server.wait_log(bad.len(), "guide stays as it is guide=1");
}

#[test]
fn a_file_that_is_written_anew_is_read_anew() {
    let server = with_file(listed(), &news("Old"));
    let file = server.folder().join("guide.xml");
    looked(&server, UNCHANGED, 1);
    let new = server.folder().join("new.xml");
    std::fs::write(&new, news("New one")).unwrap();
    std::fs::rename(&new, &file).unwrap();
    looked(&server, OK, 2);
    assert_eq!(programmes(server.get("/xmltv.php").text())[0][3], "New one");
    std::fs::remove_file(&file).unwrap();
    looked(&server, FAILED, 1);
    assert_eq!(programmes(server.get("/xmltv.php").text())[0][3], "New one");
}

#[test]
fn guides_are_merged_and_the_first_counts() {
    let second = xmltv(&[
        programme("news.example", on_since_s(), "Second"),
        programme("other.example", on_since_s(), "Other"),
    ]);
    let config = listed()
        .guide("file = \"missing.xml\"")
        .guide("file = \"first.xml\"")
        .guide("file = \"second.xml\"\nshift_ms = 3600000");
    let launch = Launch::new(&config);
    std::fs::write(launch.folder().join("first.xml"), news("First")).unwrap();
    std::fs::write(launch.folder().join("second.xml"), second).unwrap();
    let server = launch.start();
    looked(&server, OK, 2);
    looked(&server, FAILED, 1);
    let read = programmes(server.get("/xmltv.php").text());
    let shifted = Stamp(on_since_s() + HOUR_S).to_string();
    assert_eq!((read.len(), &*read[0][3]), (2, "First"));
    assert_eq!((&*read[1][3], &read[1][1]), ("Other", &shifted));
    assert_eq!(server.metric(metric::GUIDE_PROGRAMMES, &[]), 2);
}

#[test]
fn the_last_good_guide_outlives_the_process() {
    let mut upstream = Upstream::start(|_| Answer::text("200 OK", "text/xml", &news("Kept")));
    let state = Folder::new();
    let url = upstream.url("/g.xml");
    let config = || {
        listed()
            .set("server", "state_dir", format!("{:?}", state.path()))
            .guide(&format!("url = {url:?}\nshift_ms = 60000"))
    };
    let first = Server::start(&config());
    looked(&first, OK, 1);
    let before = first.get("/xmltv.php");
    drop(first);
    upstream.stop();
    let second = Server::start(&config());
    second.wait_metric(metric::GUIDE_PROGRAMMES, &[], 1);
    assert_eq!(second.get("/xmltv.php").body, before.body);
    looked(&second, FAILED, 1);
    assert_eq!(second.get("/xmltv.php").body, before.body);
}

/// Bytes that belong to the process and to no file.
fn own_bytes(server: &Server) -> u64 {
    let status = format!("/proc/{}/status", server.pid().as_raw_nonzero());
    let status = std::fs::read_to_string(Path::new(&status)).unwrap();
    let mut lines = status.lines();
    let line = lines
        .find_map(|line| line.strip_prefix("RssAnon:"))
        .unwrap();
    let kilobytes: u64 = line.trim().trim_end_matches(" kB").parse().unwrap();
    kilobytes * 1_024
}

#[test]
fn a_guide_of_200_mb_passes_through_and_leaves_what_is_wanted() {
    let strange = (0..200).map(|nth| {
        let channel = format!("strange.{nth}");
        programme(&channel, on_since_s() + nth * 60, &"x".repeat(800))
    });
    let strange = strange.collect::<String>();
    let wanted: String = (0..100)
        .map(|nth| programme("news.example", on_since_s() + nth * HOUR_S, "Wanted"))
        .collect();
    let pieces = 200_000_000 / strange.len() + 1;
    let double = Double::start(move |_, peer| {
        peer.send(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n<tv>")?;
        for piece in 0..pieces {
            peer.send(strange.as_bytes())?;
            if piece == pieces / 2 {
                peer.send(wanted.as_bytes())?;
            }
        }
        peer.send(b"</tv>")
    });
    let url = format!("http://{}/big.xml", double.address());
    let server = Server::start(&listed().guide(&format!("url = {url:?}")));
    let (mut least, mut most) = (u64::MAX, 0);
    within(120_000, "the guide is read", || {
        let bytes = own_bytes(&server);
        (least, most) = (least.min(bytes), most.max(bytes));
        server.metric(metric::GUIDE_REFRESHES, OK) == 1
    });
    assert!(most - least < 24 << 20, "{least} grew to {most}");
    assert_eq!(server.metric(metric::GUIDE_PROGRAMMES, &[]), 100);
    let all = pieces * 200 + 100;
    server.wait_log(1, &format!("programmes=100 of={all}"));
}

#[test]
fn viewers_lose_nothing_while_guides_come_and_are_fetched() {
    let elements: Vec<String> = (0..20_000)
        .map(|nth| {
            programme(
                "news.example",
                on_since_s() + nth * 30,
                &format!("{nth} {}", "x".repeat(300)),
            )
        })
        .collect();
    let document = xmltv(&elements);
    let guide = Upstream::start(move |asked| {
        // Each time another one.
        let document = document.replace(
            "<title lang=\"en\">",
            &format!("<title lang=\"en\">{} ", asked.nth),
        );
        Answer::head("200 OK", "").then(Step::Bytes(document.into()))
    });
    let broadcast = Upstream::live(Source::new(1, 2_000));
    let url = guide.url("/guide.xml");
    let config = Config::new()
        .channel(7, &[broadcast.url("/a.ts")])
        .listed(1, "News", "epg_id = \"news.example\"")
        .guide(&format!("url = {url:?}\nrefresh_ms = 1000"));
    let server = Server::start(&config);
    let viewers: Vec<Viewer> = (0..50).map(|_| server.viewer(7)).collect();
    for viewer in &viewers {
        viewer.wait("media", |state| state.seen().packets > 100);
    }
    let is_over = Arc::new(AtomicBool::new(false));
    let (address, over) = (server.address(), Arc::clone(&is_over));
    let asker = std::thread::spawn(move || {
        let mut asked = 0_u64;
        while !over.load(Ordering::SeqCst) {
            let reply = http::get(address, "/player_api.php?action=get_short_epg&stream_id=1");
            assert_eq!(reply.status(), 200);
            asked += 1;
            if asked.is_multiple_of(50) {
                let url = format!("http://{address}/xmltv.php");
                let fetched = tools::run(
                    "curl",
                    &["-s", "-o", "/dev/null", "-w", "%{http_code}", &url],
                );
                assert_eq!(fetched.stdout, b"200");
            }
        }
        asked
    });
    let count = scaled(3, 60);
    within(count * 20_000, "guides are taken", || {
        server.metric(metric::GUIDE_REFRESHES, OK) >= count
    });
    is_over.store(true, Ordering::SeqCst);
    assert!(asker.join().unwrap() > 10);
    for viewer in &viewers {
        viewer.wait_more(100);
        viewer.seen().assert_unbroken();
        viewer.assert_steady();
    }
    assert_eq!(server.metric(metric::SKIPS, &[]), 0);
}
