//! How apps ask, whatever for: hosts, credentials, bodies, methods, connections, very many channels.

use super::*;

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
